//! What happens next: fresh events by share, and the steps that follow from earlier ones when they are due.
mod cash;
mod pay;

use super::random::Random;
use super::world::{
    COUNTRIES, Customer, FAMILY, Flow, GIVEN, OFFERINGS, Payment, RISKS, Session, Subscription,
};
use super::write::{self, Head, When};
use std::collections::BTreeMap;

/// Sign-ups before anything else.
const FIRST_CUSTOMERS: usize = 32;
/// Visits that go on at one time.
const SESSIONS: usize = 256;

/// The business at a moment.
#[derive(Debug)]
pub(super) struct Life {
    tag: [u8; 6],
    population: u32,
    customers: Vec<Customer>,
    /// Order-to-cash flows by place; `free` places may be taken again.
    flows: Vec<Flow>,
    free: Vec<u32>,
    subscriptions: Vec<Subscription>,
    sessions: Vec<Session>,
    /// What is to happen, by when it is due, and in the order planned.
    steps: BTreeMap<(u64, u64), Step>,
    /// The last number given to anything: event, order, step, ...
    number: u64,
}

/// Something that follows from an earlier event. Flows are named by their place.
#[derive(Debug)]
enum Step {
    Start(u32),
    Cancel(u32),
    Complete(u32),
    Provide(Subscription),
    Activate(Subscription),
    Bill(u32),
    Void(u32),
    Pay(pay::Stage, Payment),
    Close(u32),
}

impl Life {
    /// Before the first customer.
    pub(super) fn new(population: u32, seed: u64, start_ms: u64) -> Life {
        let tag = tag(seed, start_ms);
        Life {
            tag,
            population,
            customers: Vec::new(),
            flows: Vec::new(),
            free: Vec::new(),
            subscriptions: Vec::new(),
            sessions: Vec::new(),
            steps: BTreeMap::new(),
            number: 0,
        }
    }

    /// Writes what happens next: a step that is due, or something fresh.
    pub(super) fn happen(&mut self, random: &mut Random, now_ms: u64, when: When, out: &mut Vec<u8>) {
        if let Some(entry) = self.steps.first_entry()
            && entry.key().0 <= now_ms
        {
            let step = entry.remove();
            return self.step(random, now_ms, step, when, out);
        }
        let growing = self.customers.len() < self.population as usize;
        if self.customers.is_empty() || (growing && self.customers.len() < FIRST_CUSTOMERS) {
            return self.sign_up(random, when, out);
        }
        let opening = self.customers.len() < self.population as usize / 10;
        if opening && random.below(2) == 0 {
            return self.sign_up(random, when, out);
        }
        match random.below(10_000) {
            0 => {
                self.burst(random, now_ms);
                self.fact(random, when, out);
            }
            1..=50 => self.order(random, now_ms, when, out),
            51..=350 if growing => self.sign_up(random, when, out),
            51..=90 => self.change_customer(random, when, out),
            91..=100 if !self.subscriptions.is_empty() => self.terminate(random, when, out),
            _ if self.subscriptions.is_empty() && random.below(50) == 0 => {
                self.order(random, now_ms, when, out)
            }
            _ => self.fact(random, when, out),
        }
    }

    /// Writes a usage record or a page view: it changes nothing else.
    pub(super) fn fact(&mut self, random: &mut Random, when: When, out: &mut Vec<u8>) {
        if self.subscriptions.is_empty() || random.below(8) < 3 {
            self.view_page(random, when, out);
        } else {
            self.use_something(random, when, out);
        }
    }

    /// Writes an entity again with its next version and other values; false where there is none yet.
    pub(super) fn correct(&mut self, random: &mut Random, when: When, out: &mut Vec<u8>) -> bool {
        if self.customers.is_empty() {
            return false;
        }
        if !self.flows.is_empty() && random.below(3) > 0 {
            let place = random.below(self.flows.len() as u64) as u32;
            if self.correct_flow(random, place, when, out) {
                return true;
            }
        }
        let number = self.someone(random);
        let customer = &mut self.customers[number as usize];
        customer.mailbox = customer.mailbox.wrapping_add(1);
        customer.birth_year = 1940 + random.below(65) as u16;
        self.write_customer(
            number,
            "com.example.bss.customer.updated.v1",
            &["email", "birthYear"],
            when,
            out,
        );
        true
    }

    /// A customer: half of the time anyone, else one of the busiest tenth or hundredth.
    fn someone(&self, random: &mut Random) -> u32 {
        let all = self.customers.len() as u64;
        let among = match random.below(10) {
            0..=4 => all,
            5..=8 => all.div_ceil(10),
            _ => all.div_ceil(100),
        };
        random.below(among) as u32
    }

    fn sign_up(&mut self, random: &mut Random, when: When, out: &mut Vec<u8>) {
        let number = self.customers.len() as u32;
        self.customers.push(Customer {
            version: 0,
            given: random.below(GIVEN.len() as u64) as u8,
            family: random.below(FAMILY.len() as u64) as u8,
            country: random.below(COUNTRIES.len() as u64) as u8,
            segment: random.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 2, 3]),
            risk: random.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 2]),
            birth_year: 1940 + random.below(65) as u16,
            mailbox: 0,
            status: "active",
            created_ms: when.time_ms,
        });
        self.write_customer(number, "com.example.bss.customer.created.v1", &[], when, out);
    }

    fn change_customer(&mut self, random: &mut Random, when: When, out: &mut Vec<u8>) {
        let number = self.someone(random);
        let customer = &mut self.customers[number as usize];
        let (kind, changed) = match random.below(3) {
            0 => {
                customer.status = if customer.status == "active" { "suspended" } else { "active" };
                ("com.example.bss.customer.statusChanged.v1", "status")
            }
            1 => {
                customer.risk = random.below(RISKS.len() as u64) as u8;
                ("com.example.bss.customer.updated.v1", "riskClass")
            }
            _ => {
                customer.mailbox = customer.mailbox.wrapping_add(1);
                ("com.example.bss.customer.updated.v1", "email")
            }
        };
        self.write_customer(number, kind, &[changed], when, out);
    }

    fn write_customer(
        &mut self,
        number: u32,
        kind: &'static str,
        changed: &[&str],
        when: When,
        out: &mut Vec<u8>,
    ) {
        let sequence = self.next_number();
        let customer = &mut self.customers[number as usize];
        customer.version += 1;
        let head = Head {
            sequence,
            when,
            source: "/bss/crm/",
            kind,
            subject: ("customer/", b'C', u64::from(number)),
            customer: Some(number),
            version: Some(customer.version),
        };
        head.write(out, self.tag, |json| write::customer(json, number, customer, changed));
    }

    fn terminate(&mut self, random: &mut Random, when: When, out: &mut Vec<u8>) {
        let place = random.below(self.subscriptions.len() as u64) as usize;
        let mut subscription = self.subscriptions.swap_remove(place);
        self.write_product(
            &mut subscription,
            "com.example.bss.product.terminated.v1",
            "terminated",
            when,
            out,
        );
    }

    fn write_product(
        &mut self,
        subscription: &mut Subscription,
        kind: &'static str,
        state: &str,
        when: When,
        out: &mut Vec<u8>,
    ) {
        let country = self.country(subscription.customer);
        subscription.version += 1;
        let head = Head {
            sequence: self.next_number(),
            when,
            source: "/bss/inventory/",
            kind,
            subject: ("product/", b'S', subscription.number),
            customer: Some(subscription.customer),
            version: Some(u32::from(subscription.version)),
        };
        head.write(out, self.tag, |json| write::product(json, subscription, country, state));
    }

    fn use_something(&mut self, random: &mut Random, when: When, out: &mut Vec<u8>) {
        let subscription = self.subscriptions[random.below(self.subscriptions.len() as u64) as usize];
        let number = self.next_number();
        let head = Head {
            sequence: number,
            when,
            source: "/bss/mediation/",
            kind: "com.example.bss.usage.received.v1",
            subject: ("usage/", b'U', number),
            customer: Some(subscription.customer),
            version: None,
        };
        let hundredths = 1 + random.below(100) * random.below(1_000);
        head.write(out, self.tag, |json| write::usage(json, number, &subscription, when.time_ms, hundredths));
    }

    fn view_page(&mut self, random: &mut Random, when: When, out: &mut Vec<u8>) {
        let place = random.below(SESSIONS as u64) as usize;
        if place >= self.sessions.len() || self.sessions[place].views_left == 0 {
            let known = !self.customers.is_empty() && random.below(10) < 7;
            let session = Session {
                number: self.next_number(),
                customer: known.then(|| self.someone(random)),
                device: random.pick(&["phone", "phone", "phone", "desktop", "tablet"]),
                views_left: 1 + random.below(20) as u8,
            };
            match self.sessions.get_mut(place) {
                Some(over) => *over = session,
                None => self.sessions.push(session),
            }
        }
        let place = place.min(self.sessions.len() - 1);
        let session = &mut self.sessions[place];
        session.views_left = session.views_left.saturating_sub(1);
        let session = *session;
        let page = random.pick(&["home", "search", "offerings", "offerings", "account", "help"]);
        let offering = (page == "offerings").then(|| random.below(OFFERINGS.len() as u64) as u8);
        let milliseconds = 5 + random.below(40) * random.below(60);
        let head = Head {
            sequence: self.next_number(),
            when,
            source: "/bss/web/",
            kind: "com.example.bss.pageView.recorded.v1",
            subject: ("session/", b'V', session.number),
            customer: session.customer,
            version: None,
        };
        head.write(out, self.tag, |json| write::page_view(json, &session, page, offering, milliseconds));
    }

    fn country(&self, customer: u32) -> u8 {
        self.customers[customer as usize].country
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn plan(&mut self, due_ms: u64, step: Step) {
        let number = self.next_number();
        self.steps.insert((due_ms, number), step);
    }
}

/// The letters that all ids of a run carry.
pub(super) fn tag(seed: u64, start_ms: u64) -> [u8; 6] {
    let mut run = [0; 16];
    run[..8].copy_from_slice(&seed.to_le_bytes());
    run[8..].copy_from_slice(&start_ms.to_le_bytes());
    let mut hash = xxhash_rust::xxh3::xxh3_64(&run);
    std::array::from_fn(|_| {
        let letter = b"abcdefghjkmnpqrstuvwxyz023456789"[(hash % 32) as usize];
        hash /= 32;
        letter
    })
}
