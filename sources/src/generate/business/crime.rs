//! Fraud of each kind, F1 to F12, and labels that say so a week later.
use super::agenda::Act;
use super::paying::Step;
use super::people::What;
use super::using::Used;
use super::{Business, DAY, HOUR, MINUTE};

/// A kind of fraud: 1 is F1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crime(u8);

/// What turned out to be fraud.
#[derive(Debug)]
pub(super) struct Label {
    kind: u8,
    person: u32,
    payment: Option<u64>,
    terminal: Option<u64>,
    happened_ms: u64,
}

/// A call or a login that belongs to a fraud.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Usage {
        line: u64,
        card: u64,
        device: u64,
        from: Option<u64>,
        to: u64,
        country: &'static str,
        seconds: u64,
    },
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
    },
    Refund {
        payment: u32,
    },
}

const NAMES: [&str; 12] = ["F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12"];

impl Business {
    /// Eight of each kind in a month at scale 1, not before the third day.
    pub(super) fn plan_crimes(&mut self) {
        let count = (8.0 * self.config.scale).ceil() as u64;
        for kind in 1..=12 {
            for _ in 0..count {
                let at = self.config.from_ms + 3 * DAY + self.random.below(25 * DAY);
                self.agenda.plan(at, Act::Crime(Crime(kind)));
            }
        }
    }

    fn someone(&mut self) -> u32 {
        self.random.below(self.people.len() as u64) as u32
    }

    fn plan_label(
        &mut self,
        now_ms: u64,
        kind: u8,
        person: u32,
        payment: Option<u64>,
        terminal: Option<u64>,
    ) {
        let label = Label { kind, person, payment, terminal, happened_ms: now_ms };
        self.agenda.plan(now_ms + 7 * DAY, Act::Label(Box::new(label)));
    }

    /// A payment of a fraud: stolen card, amount, how often of a hundred it is declined.
    fn plan_payment(&mut self, at_ms: u64, person: u32, card: u64, cents: u64, declined: u64) -> u32 {
        let payment = self.new_payment(person, None, cents, "card");
        self.payments[payment as usize].instrument = (b'X', card);
        self.payments[payment as usize].declined = declined;
        self.agenda.plan(at_ms, Act::Pay(payment, Step::Attempt));
        payment
    }

    pub(super) fn crime(&mut self, now_ms: u64, Crime(kind): Crime, out: &mut Vec<u8>) -> bool {
        if self.people.is_empty() {
            return false;
        }
        let person = self.someone();
        let first_card = self.next_number();
        let mut labelled = None;
        match kind {
            1 => {
                for i in 0..8 {
                    let payment =
                        self.plan_payment(now_ms + i * 30_000, person, first_card + i % 3, 1_999, 60);
                    labelled = Some(self.payments[payment as usize].number);
                }
            }
            2 => {
                let victim = (0..self.people.len() as u32).find(|at| self.people[*at as usize].is_prepaid);
                let victim = victim.unwrap_or(person);
                let payment = self.new_payment(victim, None, 90_000, "card");
                self.agenda.plan(now_ms + 12 * DAY, Act::Pay(payment, Step::Attempt));
                let number = self.payments[payment as usize].number;
                self.plan_label(now_ms + 12 * DAY, kind, victim, Some(number), None);
                return false;
            }
            3 => {
                for i in 0..6 {
                    let person = self.someone();
                    let payment = self.plan_payment(now_ms + i * DAY, person, first_card + i, 15_000 + i, 0);
                    self.payments[payment as usize].terminal = 1_000;
                    let number = self.payments[payment as usize].number;
                    self.plan_label(now_ms + i * DAY, kind, person, Some(number), Some(1_000));
                }
                return false;
            }
            4 => {
                let city = self.people[person as usize].city;
                for (i, city) in [city, (city + 2) % 4].into_iter().enumerate() {
                    let login = Call::Login { person, device: first_card + i as u64, city, failed: false };
                    self.agenda.plan(now_ms + i as u64 * 10 * MINUTE, Act::Call(Box::new(login)));
                }
            }
            5 => {
                for i in 0..13 {
                    let person = self.someone();
                    let (cents, declined) = if i == 12 { (6_000, 0) } else { (100 + 17 * i, 75) };
                    let payment =
                        self.plan_payment(now_ms + i * 50_000, person, first_card + i % 7, cents, declined);
                    self.payments[payment as usize].bin = 499_999;
                    self.payments[payment as usize].device = first_card;
                    labelled = Some(self.payments[payment as usize].number);
                }
            }
            6 => {
                for i in 0..5 {
                    let payment = self.plan_payment(now_ms + i * DAY, person, first_card, 12_000, 0);
                    let refund = Call::Refund { payment };
                    self.agenda.plan(now_ms + i * DAY + 8 * HOUR, Act::Call(Box::new(refund)));
                }
            }
            7 => {
                for i in 0..100 {
                    let usage = Call::Usage {
                        line: u64::from(person),
                        card: first_card + i % 4,
                        device: first_card,
                        from: None,
                        to: 900_000 + i,
                        country: "DE",
                        seconds: 60,
                    };
                    self.agenda.plan(now_ms + i * 7 * MINUTE, Act::Call(Box::new(usage)));
                }
            }
            8 => {
                for i in 0..12 {
                    let usage = Call::Usage {
                        line: u64::from(person),
                        card: first_card,
                        device: u64::from(person),
                        from: None,
                        to: 252_000 + i % 3,
                        country: "SO",
                        seconds: 290,
                    };
                    self.agenda.plan(now_ms + i * 4 * MINUTE, Act::Call(Box::new(usage)));
                }
            }
            9 => {
                for i in 0..60 {
                    let to = self.random.below(self.people.len() as u64);
                    let usage = Call::Usage {
                        line: to,
                        card: first_card,
                        device: u64::from(person),
                        from: Some(first_card),
                        to: to + i * 1_000_000,
                        country: "TN",
                        seconds: 1 + i % 2,
                    };
                    self.agenda.plan(now_ms + i * 45_000, Act::Call(Box::new(usage)));
                }
            }
            10 => {
                let victim = (0..self.people.len() as u32).find(|at| self.people[*at as usize].is_defaulter);
                let person = self.new_person(now_ms, Some(victim.unwrap_or(person)));
                self.people[person as usize].is_defaulter = true;
                self.plan_label(now_ms + 3 * DAY, kind, person, None, None);
                self.write_person(now_ms, person, "com.example.bss.customer.created.v1", &[], out);
                return true;
            }
            11 => {
                let device = first_card;
                for i in 0..5 {
                    let login = Call::Login { person, device, city: 1, failed: true };
                    self.agenda.plan(now_ms + i * MINUTE, Act::Call(Box::new(login)));
                }
                let kinds = ["com.example.bss.mfa.reset.v1", "com.example.bss.credential.changed.v1"];
                for (i, kind) in kinds.into_iter().enumerate() {
                    let change = Call::Credential { person, device, kind };
                    self.agenda.plan(now_ms + (10 + i as u64) * MINUTE, Act::Call(Box::new(change)));
                }
                let login = Call::Login { person, device, city: 1, failed: false };
                self.agenda.plan(now_ms + 20 * MINUTE, Act::Call(Box::new(login)));
                self.agenda.plan(now_ms + HOUR, Act::Person(person, What::FirstOrder));
            }
            _ => {
                for i in 1..5 {
                    self.agenda.plan(now_ms + i * HOUR, Act::Crime(Crime(10)));
                }
                return false;
            }
        }
        self.plan_label(now_ms, kind, person, labelled, None);
        false
    }

    pub(super) fn call(&mut self, now_ms: u64, call: &Call, out: &mut Vec<u8>) -> Option<Used> {
        match call.clone() {
            Call::Login { person, device, city, failed } => {
                let kind = match failed {
                    true => "com.example.bss.login.failed.v1",
                    false => "com.example.bss.login.succeeded.v1",
                };
                self.write_login(now_ms, person, kind, device, city, out);
            }
            Call::Credential { person, device, kind } => {
                self.write(now_ms, out, "/bss/identity/", kind, Some(person), |json, _| {
                    json.id("customerId", "", b'C', u64::from(person));
                    json.id("deviceId", "", b'M', device);
                    json.text("field", "password");
                    json.text("channel", "web");
                });
            }
            Call::Refund { payment } => {
                let payment = self.payments[payment as usize].clone();
                self.refund(now_ms, &payment, out);
            }
            Call::Usage { line, card, device, from, to, country, seconds } => {
                let number = self.next_number();
                let subject = ("usage/", b'U', number);
                let kind = "com.example.bss.usage.received.v1";
                self.write_as(now_ms, out, "/bss/mediation/", kind, None, subject, None, |json| {
                    json.id("usageId", "", b'U', number);
                    json.text("usageType", "voice");
                    match from {
                        Some(from) => json.id("aParty", "+216", b'x', from),
                        None => json.id("msisdn", "+49", b's', line),
                    }
                    json.id("imsi", "", b'R', card);
                    json.id("imei", "", b'M', device);
                    json.time("startTime", now_ms);
                    json.member("duration");
                    json.number("amount", seconds);
                    json.text("units", "s");
                    json.end();
                    json.id("bParty", "+", b'y', to);
                    json.text("bCountry", country);
                    json.text("direction", if from.is_some() { "in" } else { "out" });
                    json.text("cellId", "26201-4411-17");
                    json.id("networkRecordId", "", b'U', number);
                    json.text("status", "received");
                });
            }
        }
        None
    }

    pub(super) fn label(&mut self, now_ms: u64, label: &Label, out: &mut Vec<u8>) -> bool {
        let number = self.next_number();
        let kind = "com.example.bss.fraudLabel.confirmed.v1";
        let subject = ("fraudLabel/", b'L', number);
        let person = u64::from(label.person);
        self.write_as(now_ms, out, "/bss/fraud/", kind, Some(label.person), subject, Some(1), |json| {
            json.id("labelId", "", b'L', number);
            json.text("kind", NAMES[usize::from(label.kind) - 1]);
            json.id("pivot", "", b'C', person);
            json.id("customerId", "", b'C', person);
            if let Some(payment) = label.payment {
                json.id("paymentId", "", b'P', payment);
            }
            if let Some(terminal) = label.terminal {
                json.id("terminalId", "", b'K', terminal);
            }
            json.truth("isFraud", true);
            json.time("happenedAt", label.happened_ms);
        });
        true
    }
}
