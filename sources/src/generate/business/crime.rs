//! Fraud of each kind, F1 to F12, and labels that say so a week later.
//!
//! | file | what it is |
//! |---|---|
//! | `crime/cards.rs` | stolen cards, refunds, money that goes in circles: F1, F2, F3, F5, F6, F12 |
//! | `crime/calls.rs` | machines, shared revenue, one ring: F7, F8, F9, and cards that are in two places (F4) |
//! | `crime/names.rs` | logins, take-overs and those who never meant to pay: F4, F10, F11, F12 |
mod calls;
mod cards;
mod names;

use super::agenda::Act;
use super::using::Used;
use super::{Business, DAY};
use crate::generate::json::Json;
pub(super) use calls::Called;

/// A kind of fraud, in one of the ways that its rule knows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Crime {
    Velocity,
    Outlier,
    Terminal,
    Travel,
    Clone,
    Testing,
    Refunds,
    Dealer,
    SimBox,
    Revenue,
    OneRing,
    Subscription,
    Payout,
    Esim,
    Ring,
    /// One more who shares what a customer has.
    Member(u32),
    Circle,
    FanIn,
    FanOut,
}

/// What somebody found out: a payment, a number or a customer is fraud, or a payment is not.
#[derive(Debug)]
pub(super) struct Label {
    /// The rule that should have found it; none: it is no fraud.
    rule: Option<&'static str>,
    person: Option<u32>,
    payment: Option<u64>,
    terminal: Option<u64>,
    /// What is pivotal where it is no customer: prefix, letter and number.
    pivot: Option<(&'static str, u8, u64)>,
    happened_ms: u64,
}

impl Label {
    fn of(crime: Crime, happened_ms: u64) -> Label {
        let rule = Some(crime.rule());
        Label { rule, person: None, payment: None, terminal: None, pivot: None, happened_ms }
    }

    fn customer(self, person: u32) -> Label {
        Label { person: Some(person), ..self }
    }

    fn payment(self, number: u64) -> Label {
        Label { payment: Some(number), ..self }
    }

    fn pivot(self, prefix: &'static str, letter: u8, number: u64) -> Label {
        Label { pivot: Some((prefix, letter, number)), ..self }
    }
}

/// What belongs to a fraud and is neither a payment nor an order.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Usage(Called),
    Login {
        person: u32,
        device: u64,
        city: u8,
        failed: bool,
    },
    Credential {
        person: u32,
        device: u64,
        kind: &'static str,
        field: &'static str,
    },
    /// A card in a phone that is not its customer's.
    Esim {
        person: u32,
        card: u64,
    },
    Refund {
        payment: u32,
        dealer: Option<u64>,
    },
    WriteOff {
        person: u32,
    },
}

const CRIMES: [Crime; 18] = [
    Crime::Velocity,
    Crime::Outlier,
    Crime::Terminal,
    Crime::Travel,
    Crime::Clone,
    Crime::Testing,
    Crime::Refunds,
    Crime::Dealer,
    Crime::SimBox,
    Crime::Revenue,
    Crime::OneRing,
    Crime::Subscription,
    Crime::Payout,
    Crime::Esim,
    Crime::Ring,
    Crime::Circle,
    Crime::FanIn,
    Crime::FanOut,
];

impl Crime {
    /// The rule that looks for it.
    fn rule(self) -> &'static str {
        match self {
            Crime::Velocity => "F1",
            Crime::Outlier => "F2",
            Crime::Terminal => "F3",
            Crime::Travel | Crime::Clone => "F4",
            Crime::Testing => "F5",
            Crime::Refunds | Crime::Dealer => "F6",
            Crime::SimBox => "F7",
            Crime::Revenue => "F8",
            Crime::OneRing => "F9",
            Crime::Subscription => "F10",
            Crime::Payout | Crime::Esim => "F11",
            Crime::Ring | Crime::Member(_) | Crime::Circle | Crime::FanIn | Crime::FanOut => "F12",
        }
    }

    /// Its first day and the number of days on one of which it may begin: some take a month, or need customers with a past.
    fn days(self) -> (u64, u64) {
        match self {
            Crime::Outlier => (23, 5),
            Crime::Terminal | Crime::Subscription => (3, 5),
            Crime::Ring => (3, 20),
            _ => (4, 24),
        }
    }
}

impl Business {
    /// Four to eight of each kind in a month at scale 1, not before the third day.
    pub(super) fn plan_crimes(&mut self) {
        for crime in CRIMES {
            let ways = CRIMES.iter().filter(|other| other.rule() == crime.rule()).count() as f64;
            let count = (8.0 * self.config.scale / ways.min(2.0)).ceil() as u64;
            let (first, days) = crime.days();
            for _ in 0..count {
                let at = self.config.from_ms + first * DAY + self.random.below(days * DAY);
                self.agenda.plan(at, Act::Crime(crime));
            }
        }
    }

    /// Somebody who lives by no other's card, of those who were there before a time.
    fn someone(&mut self, before_ms: u64, fits: impl Fn(&super::people::Person) -> bool) -> Option<u32> {
        let count = self.people.len() as u64;
        let start = self.random.below(count.max(1));
        (0..count).map(|i| ((start + i) % count) as u32).find(|at| {
            let person = &self.people[*at as usize];
            person.shares_with == *at && person.is.created_ms < before_ms && fits(person)
        })
    }

    /// Several of them, each another.
    fn several(&mut self, before_ms: u64, count: usize) -> Option<Vec<u32>> {
        let mut found: Vec<u32> = vec![];
        for _ in 0..8 * count {
            let person = self.someone(before_ms, |_| true)?;
            if !found.contains(&person) {
                found.push(person);
            }
            if found.len() == count {
                return Some(found);
            }
        }
        None
    }

    fn plan_label(&mut self, label: Label) {
        self.agenda.plan(label.happened_ms + 7 * DAY, Act::Label(Box::new(label)));
    }

    /// A large payment was looked into, and is none.
    pub(super) fn clear(&mut self, now_ms: u64, person: u32, payment: u64) {
        let label = Label {
            rule: None,
            person: Some(person),
            payment: Some(payment),
            terminal: None,
            pivot: None,
            happened_ms: now_ms,
        };
        self.plan_label(label);
    }

    /// Plans what a crime consists of, a day later if nobody is there to commit it; writes the event that it begins with, if any.
    pub(super) fn crime(&mut self, now_ms: u64, crime: Crime, out: &mut Vec<u8>) -> bool {
        let planned = match crime {
            Crime::Velocity => self.try_fast(now_ms),
            Crime::Outlier => self.overspend(now_ms),
            Crime::Terminal => self.skim(now_ms),
            Crime::Testing => self.test_cards(now_ms),
            Crime::Refunds => self.refund_often(now_ms),
            Crime::Dealer => self.refund_at_once(now_ms),
            Crime::Circle => self.go_round(now_ms),
            Crime::FanIn | Crime::FanOut => self.fan(now_ms, crime),
            Crime::Clone => self.call_from_two_places(now_ms),
            Crime::SimBox => self.call_all_day(now_ms),
            Crime::Revenue => self.share_revenue(now_ms),
            Crime::OneRing => self.ring_once(now_ms),
            Crime::Travel => self.log_in_twice(now_ms),
            Crime::Payout | Crime::Esim => self.take_over(now_ms, crime),
            Crime::Ring => self.hang_together(now_ms),
            Crime::Subscription => return self.sign_up_not_to_pay(now_ms, out).is_some(),
            Crime::Member(of) => return self.join_ring(now_ms, of, out),
        };
        if planned.is_none() {
            self.agenda.plan(now_ms + DAY, Act::Crime(crime));
        }
        false
    }

    pub(super) fn call(&mut self, now_ms: u64, call: &Call, out: &mut Vec<u8>) -> Option<Option<Used>> {
        match call.clone() {
            Call::Usage(called) => return self.write_called(now_ms, called, out),
            Call::Login { person, device, city, failed } => {
                let kind = match failed {
                    true => "com.example.bss.login.failed.v1",
                    false => "com.example.bss.login.succeeded.v1",
                };
                self.write_login(now_ms, person, kind, device, city, out);
            }
            Call::Credential { person, device, kind, field } => {
                self.write(now_ms, out, "/bss/identity/", kind, Some(person), |json, _| {
                    json.id("customerId", "", b'C', u64::from(person));
                    json.id("deviceId", "", b'M', device);
                    json.text("field", field);
                    json.text("channel", "web");
                });
            }
            Call::Esim { person, card } => {
                let kind = "com.example.bss.resource.assigned.v1";
                let subject = ("resource/", b'R', card);
                self.write_as(now_ms, out, "/bss/network/", kind, Some(person), subject, Some(1), |json| {
                    json.id("resourceId", "", b'R', card);
                    json.text("kind", "esim");
                    json.id("imsi", "", b'R', card);
                    json.member("assignedTo");
                    json.id("customerId", "", b'C', u64::from(person));
                    json.end();
                    json.time("effectiveAt", now_ms);
                });
            }
            Call::Refund { payment, dealer } => {
                let payment = self.payments[payment as usize].clone();
                self.refund(now_ms, &payment, dealer, out);
            }
            Call::WriteOff { person } => {
                let kind = "com.example.bss.dunning.writtenOff.v1";
                let currency = self.currency(person);
                self.write(now_ms, out, "/bss/collections/", kind, Some(person), |json, _| {
                    json.id("accountId", "", b'A', u64::from(person));
                    json.id("customerId", "", b'C', u64::from(person));
                    json.text("stage", "4");
                    json.text("action", "writeOff");
                    json.money("amount", currency, 21_000);
                });
            }
        }
        Some(None)
    }

    pub(super) fn label(&mut self, now_ms: u64, label: &Label, out: &mut Vec<u8>) -> bool {
        let number = self.next_number();
        let kind = "com.example.bss.fraudLabel.confirmed.v1";
        let subject = ("fraudLabel/", b'L', number);
        self.write_as(now_ms, out, "/bss/fraud/", kind, label.person, subject, Some(1), |json| {
            json.id("labelId", "", b'L', number);
            label.tell(json);
        });
        true
    }
}

impl Label {
    fn tell(&self, json: &mut Json<'_>) {
        if let Some(rule) = self.rule {
            json.text("kind", rule);
        }
        match (self.pivot, self.person) {
            (Some((prefix, letter, number)), _) => json.id("pivot", prefix, letter, number),
            (None, Some(person)) => json.id("pivot", "customer/", b'C', u64::from(person)),
            (None, None) => {}
        }
        if let Some(person) = self.person {
            json.id("customerId", "", b'C', u64::from(person));
        }
        if let Some(payment) = self.payment {
            json.id("paymentId", "", b'P', payment);
        }
        if let Some(terminal) = self.terminal {
            json.id("terminalId", "", b'K', terminal);
        }
        json.truth("isFraud", self.rule.is_some());
        json.time("happenedAt", self.happened_ms);
    }
}
