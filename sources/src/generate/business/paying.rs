//! Payments of bills and of loads, refunds, chargebacks, and what loaded money is used for.
use super::agenda::Act;
use super::{Business, DAY, billing};

/// An attempt to pay.
#[derive(Clone, Debug)]
pub(super) struct Payment {
    pub(super) number: u64,
    pub(super) person: u32,
    /// Whose account it is paid on.
    pub(super) account: u32,
    pub(super) bill: Option<u32>,
    pub(super) cents: u64,
    pub(super) method: &'static str,
    /// Its letter and number: `I` with the number of its owner, `X` for a stolen one.
    pub(super) instrument: (u8, u64),
    pub(super) bin: u64,
    pub(super) terminal: u64,
    pub(super) device: u64,
    pub(super) attempt: u32,
    pub(super) retry_of: Option<u64>,
    pub(super) version: u32,
    /// Loads a prepaid account.
    pub(super) is_load: bool,
    /// Of a hundred, how often it is declined.
    pub(super) declined: u64,
}

/// What happens to a payment.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Attempt,
    Authorize,
    Decline,
    Capture,
    Settle,
    ChargeBack,
    Refund,
    TopUp,
    Consume,
}

impl Business {
    /// A payment that has not happened.
    pub(super) fn new_payment(
        &mut self,
        person: u32,
        bill: Option<u32>,
        cents: u64,
        method: &'static str,
    ) -> u32 {
        let place = self.payments.len() as u32;
        let number = self.next_number();
        let shared = u64::from(self.people[person as usize].shares_with);
        self.payments.push(Payment {
            number,
            person,
            account: person,
            bill,
            cents,
            method,
            instrument: (b'I', shared),
            bin: 400_000 + u64::from(person) % 97,
            terminal: u64::from(person) % 31,
            device: shared,
            attempt: 1,
            retry_of: None,
            version: 0,
            is_load: false,
            declined: 8,
        });
        place
    }

    /// Loads a prepaid account: a payment, then the money.
    pub(super) fn load(&mut self, now_ms: u64, person: u32, out: &mut Vec<u8>) -> bool {
        let cents = self.random.pick(&[500, 1_000, 1_000, 1_500, 2_000]);
        let payment = self.new_payment(person, None, cents, "card");
        self.payments[payment as usize].is_load = true;
        self.pay(now_ms, payment, Step::Attempt, out)
    }

    pub(super) fn pay(&mut self, now_ms: u64, payment: u32, step: Step, out: &mut Vec<u8>) -> bool {
        let of = self.payments[payment as usize].clone();
        let soon = now_ms + 500 + self.random.below(4_000);
        let later =
            |business: &mut Business, at: u64, step: Step| business.agenda.plan(at, Act::Pay(payment, step));
        let said = match step {
            Step::Attempt => {
                let is_declined = of.attempt < 3 && self.random.below(100) < of.declined;
                later(self, soon, if is_declined { Step::Decline } else { Step::Authorize });
                ("com.example.bss.payment.pendingAuthorization.v1", "pendingAuthorization")
            }
            Step::Authorize => {
                later(self, soon, Step::Capture);
                ("com.example.bss.payment.authorized.v1", "authorized")
            }
            Step::Decline => {
                if of.bill.is_some() || of.is_load {
                    let number = self.next_number();
                    let retry = self.payments.len() as u32;
                    let again = Payment {
                        number,
                        attempt: of.attempt + 1,
                        retry_of: Some(of.number),
                        version: 0,
                        ..of.clone()
                    };
                    self.payments.push(again);
                    let at = now_ms + self.minutes(60);
                    self.agenda.plan(at, Act::Pay(retry, Step::Attempt));
                }
                ("com.example.bss.payment.failed.v1", "failed")
            }
            Step::Capture => {
                let at = now_ms + self.wait(DAY);
                later(self, at, Step::Settle);
                ("com.example.bss.payment.captured.v1", "captured")
            }
            Step::Settle => {
                if let Some(bill) = of.bill {
                    self.agenda.plan(soon, Act::Bill(bill, billing::Step::Settle));
                }
                if of.is_load {
                    later(self, soon, Step::TopUp);
                }
                if of.bill.is_some() && of.cents > 3_000 && self.people[of.person as usize].is_prepaid {
                    self.clear(now_ms, of.person, of.number);
                }
                let at = now_ms + DAY + self.wait(5 * DAY);
                match self.random.below(100) {
                    0 => later(self, at, Step::ChargeBack),
                    1..=2 => later(self, at, Step::Refund),
                    _ => {}
                }
                ("com.example.bss.payment.settled.v1", "settled")
            }
            Step::ChargeBack => ("com.example.bss.payment.chargedBack.v1", "chargedBack"),
            Step::Refund => return self.refund(now_ms, &of, None, out),
            Step::TopUp => {
                let at = now_ms + self.wait(DAY);
                later(self, at, Step::Consume);
                return self.bucket(now_ms, &of, "com.example.bss.bucket.topUp.v1", of.cents, out);
            }
            Step::Consume => {
                return self.bucket(
                    now_ms,
                    &of,
                    "com.example.bss.bucket.consumed.v1",
                    of.cents * 9 / 10,
                    out,
                );
            }
        };
        self.write_payment(now_ms, payment, said, out);
        true
    }

    fn write_payment(
        &mut self,
        now_ms: u64,
        payment: u32,
        (kind, state): (&'static str, &str),
        out: &mut Vec<u8>,
    ) {
        self.payments[payment as usize].version += 1;
        let of = self.payments[payment as usize].clone();
        let currency = self.currency(of.person);
        let bill = of.bill.map(|bill| self.bills[bill as usize].number);
        let subject = ("payment/", b'P', of.number);
        self.write_as(
            now_ms,
            out,
            "/bss/payments/",
            kind,
            Some(of.person),
            subject,
            Some(of.version),
            |json| {
                json.id("paymentId", "", b'P', of.number);
                json.id("accountId", "", b'A', u64::from(of.account));
                json.id("customerId", "", b'C', u64::from(of.person));
                if let Some(bill) = bill {
                    json.id("billId", "", b'B', bill);
                }
                json.text("state", state);
                json.money("amount", currency, of.cents);
                json.text("method", of.method);
                json.id("instrumentToken", "", of.instrument.0, of.instrument.1);
                json.serial("bin", of.bin);
                json.id("deviceId", "", b'M', of.device);
                json.id("ip", "", b'J', of.device);
                json.id("terminalId", "", b'K', of.terminal);
                json.number("attempt", u64::from(of.attempt));
                if let Some(number) = of.retry_of {
                    json.id("retryOf", "", b'P', number);
                }
                if state == "failed" {
                    json.text("errorCode", "insufficientFunds");
                }
            },
        );
    }

    /// Half of a payment goes back, in the shop of a dealer if one is named.
    pub(super) fn refund(
        &mut self,
        now_ms: u64,
        of: &Payment,
        dealer: Option<u64>,
        out: &mut Vec<u8>,
    ) -> bool {
        let number = self.next_number();
        let currency = self.currency(of.person);
        let bill = of.bill.map(|bill| self.bills[bill as usize].number);
        let (kind, subject) = ("com.example.bss.refund.done.v1", ("refund/", b'G', number));
        let cents = of.cents / 2;
        self.write_as(now_ms, out, "/bss/payments/", kind, Some(of.person), subject, Some(1), |json| {
            json.id("refundId", "", b'G', number);
            json.id("paymentId", "", b'P', of.number);
            json.id("accountId", "", b'A', u64::from(of.account));
            json.id("customerId", "", b'C', u64::from(of.person));
            json.text("state", "done");
            json.money("amount", currency, cents);
            json.text("reason", "goodwill");
            if let Some(dealer) = dealer {
                json.id("dealerId", "", b'Y', dealer);
            }
            json.text("requestor", "agent-1");
            json.text("channel", "shop");
            json.id("instrumentToken", "", of.instrument.0, of.instrument.1);
            if let Some(bill) = bill {
                json.list("billAllocations", |json| {
                    json.object();
                    json.id("billId", "", b'B', bill);
                    json.decimal("amount", cents);
                    json.end();
                });
            }
        });
        true
    }

    /// Money that is loaded or used.
    fn bucket(
        &mut self,
        now_ms: u64,
        of: &Payment,
        kind: &'static str,
        cents: u64,
        out: &mut Vec<u8>,
    ) -> bool {
        let currency = self.currency(of.person);
        let subject = ("bucket/", b'L', of.number);
        self.write_as(now_ms, out, "/bss/charging/", kind, Some(of.person), subject, Some(1), |json| {
            json.id("grantId", "", b'L', of.number);
            json.id("bucketId", "", b'L', u64::from(of.person));
            json.id("accountId", "", b'A', u64::from(of.person));
            json.id("customerId", "", b'C', u64::from(of.person));
            json.text("unit", currency);
            json.decimal("amount", cents);
            json.number("priority", 1);
            json.text("state", "active");
        });
        true
    }
}
