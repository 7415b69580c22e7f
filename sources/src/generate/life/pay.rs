//! Payments: an attempt is authorized or declined, then captured, then settled.
use super::{Life, Step};
use crate::generate::random::Random;
use crate::generate::world::Payment;
use crate::generate::write::{self, Head, When};

/// What happens to a payment next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    Attempt,
    Authorize,
    Decline,
    Capture,
    Settle,
}

impl Life {
    /// The first attempt to pay a bill.
    pub(super) fn first_payment(&mut self, random: &mut Random, place: u32) -> Payment {
        let flow = &self.flows[place as usize];
        let (bill, customer, cents) = (flow.number, flow.customer, flow.net() + flow.tax());
        Payment {
            number: self.next_number(),
            customer,
            flow: Some(place),
            bill: Some(bill),
            cents,
            method: random.pick(&["card", "card", "sepa", "wallet"]),
            instrument: (b'I', u64::from(customer)),
            version: 0,
            attempt: 1,
            retry_of: None,
        }
    }

    /// Plans a burst of small payments by one customer with several cards, most of which are declined.
    pub(super) fn burst(&mut self, random: &mut Random, now_ms: u64) {
        let customer = self.someone(random);
        let cards = random.between(3, 5);
        let first_card = self.number + 1;
        self.number += cards;
        let mut due_ms = now_ms;
        for _ in 0..random.between(6, 13) {
            due_ms += random.between(100, 2_000);
            let payment = Payment {
                number: self.next_number(),
                customer,
                flow: None,
                bill: None,
                cents: random.between(50, 499),
                method: "card",
                instrument: (b'X', first_card + random.below(cards)),
                version: 0,
                attempt: 1,
                retry_of: None,
            };
            self.plan(due_ms, Step::Pay(Stage::Attempt, payment));
        }
    }

    /// Writes what happens to a payment, and plans what follows.
    pub(super) fn pay(
        &mut self,
        random: &mut Random,
        now_ms: u64,
        stage: Stage,
        mut payment: Payment,
        when: When,
        out: &mut Vec<u8>,
    ) {
        let soon_ms = now_ms + random.between(100, 1_500);
        self.write_payment(&mut payment, stage, when, out);
        match stage {
            Stage::Attempt => {
                // Nine in ten payments of bills succeed, one in ten attempts of a burst; a third attempt always does.
                let succeeds = match payment.flow {
                    Some(_) => payment.attempt >= 3 || random.below(10) > 0,
                    None => random.below(10) == 0,
                };
                let next = if succeeds { Stage::Authorize } else { Stage::Decline };
                self.plan(soon_ms, Step::Pay(next, payment));
            }
            Stage::Authorize => self.plan(soon_ms, Step::Pay(Stage::Capture, payment)),
            Stage::Capture => self.plan(soon_ms, Step::Pay(Stage::Settle, payment)),
            Stage::Decline => {
                if payment.flow.is_some() {
                    let retry = Payment {
                        number: self.next_number(),
                        version: 0,
                        attempt: payment.attempt + 1,
                        retry_of: Some(payment.number),
                        ..payment
                    };
                    self.plan(soon_ms, Step::Pay(Stage::Attempt, retry));
                }
            }
            Stage::Settle => {
                if let Some(place) = payment.flow {
                    self.plan(soon_ms, Step::Close(place));
                }
            }
        }
    }

    fn write_payment(&mut self, payment: &mut Payment, stage: Stage, when: When, out: &mut Vec<u8>) {
        let (kind, state, error) = match stage {
            Stage::Attempt => {
                ("com.example.bss.payment.pendingAuthorization.v1", "pendingAuthorization", None)
            }
            Stage::Authorize => ("com.example.bss.payment.authorized.v1", "authorized", None),
            Stage::Decline => ("com.example.bss.payment.failed.v1", "failed", Some("insufficientFunds")),
            Stage::Capture => ("com.example.bss.payment.captured.v1", "captured", None),
            Stage::Settle => ("com.example.bss.payment.settled.v1", "settled", None),
        };
        payment.version += 1;
        let head = Head {
            sequence: self.next_number(),
            when,
            source: "/bss/payments/",
            kind,
            subject: ("payment/", b'P', payment.number),
            customer: Some(payment.customer),
            version: Some(payment.version),
        };
        let country = self.country(payment.customer);
        head.write(out, self.tag, |json| write::payment(json, payment, country, state, error));
    }
}
