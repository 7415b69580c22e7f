//! Customers with their accounts and addresses; logins and complaints.
use super::agenda::Act;
use super::{Business, DAY, HOUR, MINUTE, busy};
use crate::generate::json::Json;
use crate::generate::world::{COUNTRIES, Customer, FAMILY, GIVEN};
use crate::generate::write;

pub(super) const CITIES: [(&str, &str, i64, i64); 4] = [
    ("Berlin", "BE", 52_520, 13_405),
    ("Hamburg", "HH", 53_551, 9_993),
    ("Lyon", "ARA", 45_764, 4_835),
    ("Milano", "LOM", 45_464, 9_190),
];

/// A member with the cell of a city.
pub(super) fn cell(json: &mut Json<'_>, name: &str, city: u64) {
    json.id(name, "26201-", b'c', city);
}

/// A customer and the account of the same number.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) is: Customer,
    /// The day of the month on which periods begin.
    pub(super) cycle_day: u64,
    pub(super) city: u8,
    /// Whether the account loads money before it is used.
    pub(super) is_prepaid: bool,
    /// Pays no bill.
    pub(super) is_defaulter: bool,
    /// The device, instrument and address; rings share those of another.
    pub(super) shares_with: u32,
    pub(super) tickets: u32,
    /// The lines that are billed.
    pub(super) lines: Vec<u32>,
}

/// What a customer does or is told of.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Address,
    Account,
    Bank,
    Login,
    Change,
    Ticket,
    Resolved(u32),
    FirstOrder,
    Load,
}

impl Business {
    /// Where a cell stands.
    pub(super) fn site(&mut self, now_ms: u64, city: u8, out: &mut Vec<u8>) -> bool {
        let (_, _, lat, lon) = CITIES[usize::from(city)];
        let subject = ("resource/", b'c', u64::from(city));
        let kind = "com.example.bss.resource.created.v1";
        self.write_as(now_ms, out, "/bss/network/", kind, None, subject, Some(1), |json| {
            cell(json, "resourceId", u64::from(city));
            json.text("kind", "cell");
            json.place(lat, lon);
            json.time("effectiveAt", now_ms);
        });
        true
    }

    pub(super) fn sign_up(&mut self, now_ms: u64, out: &mut Vec<u8>) -> bool {
        let person = self.new_person(now_ms, None);
        self.write_person(now_ms, person, "com.example.bss.customer.created.v1", &[], out);
        true
    }

    /// A customer, and what they do from now on.
    pub(super) fn new_person(&mut self, now_ms: u64, shares_with: Option<u32>) -> u32 {
        let number = self.people.len() as u32;
        let random = &mut self.random;
        let is = Customer {
            version: 0,
            given: random.below(GIVEN.len() as u64) as u8,
            family: random.below(FAMILY.len() as u64) as u8,
            // Those that pay in euros.
            country: random.below(6) as u8,
            segment: random.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 2, 3]),
            risk: random.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 2]),
            birth_year: 1940 + random.below(65) as u16,
            mailbox: 0,
            status: "active",
            created_ms: now_ms,
        };
        self.people.push(Person {
            is,
            cycle_day: 1 + random.below(28),
            city: random.below(CITIES.len() as u64) as u8,
            is_prepaid: random.below(5) == 0,
            is_defaulter: random.below(25) == 0,
            shares_with: shares_with.unwrap_or(number),
            tickets: 0,
            lines: vec![],
        });
        let soon = [What::Address, What::Account, What::Bank];
        for (i, what) in soon.into_iter().enumerate() {
            self.agenda.plan(now_ms + 1_000 * (i as u64 + 1), Act::Person(number, what));
        }
        let order_ms = now_ms + 5 * MINUTE + self.wait(2 * HOUR);
        self.agenda.plan(order_ms, Act::Person(number, What::FirstOrder));
        for (what, mean) in [(What::Login, 2 * DAY), (What::Change, 40 * DAY), (What::Ticket, 30 * DAY)] {
            let at = now_ms + HOUR + self.wait(mean);
            self.agenda.plan(at, Act::Person(number, what));
        }
        if self.people[number as usize].is_prepaid {
            self.agenda.plan(now_ms + 2 * HOUR, Act::Person(number, What::Load));
        }
        number
    }

    pub(super) fn write_person(
        &mut self,
        now_ms: u64,
        person: u32,
        kind: &'static str,
        changed: &[&str],
        out: &mut Vec<u8>,
    ) {
        self.people[person as usize].is.version += 1;
        let is = self.people[person as usize].is.clone();
        let subject = ("customer/", b'C', u64::from(person));
        self.write_as(now_ms, out, "/bss/crm/", kind, Some(person), subject, Some(is.version), |json| {
            write::customer(json, person, &is, changed);
        });
    }

    pub(super) fn person(&mut self, now_ms: u64, person: u32, what: What, out: &mut Vec<u8>) -> bool {
        let id = u64::from(person);
        let (city, shared) =
            (self.people[person as usize].city, u64::from(self.people[person as usize].shares_with));
        let currency = self.currency(person);
        match what {
            What::Address => {
                let (city, state, lat, lon) = CITIES[usize::from(city)];
                let country = COUNTRIES[usize::from(self.people[person as usize].is.country)].0;
                let (kind, subject) = ("com.example.bss.address.added.v1", ("address/", b'D', id));
                self.write_as(now_ms, out, "/bss/crm/", kind, Some(person), subject, Some(1), |json| {
                    json.id("addressId", "", b'D', id);
                    json.id("customerId", "", b'C', id);
                    json.text("role", "installation");
                    json.id("street", "Street ", b'D', shared);
                    json.text("city", city);
                    json.text("stateOrProvince", state);
                    json.text("country", country);
                    json.place(lat, lon);
                    json.member("validFor");
                    json.time("start", now_ms);
                    json.end();
                });
            }
            What::Account => {
                let cycle = self.people[person as usize].cycle_day;
                let kind = "com.example.bss.billingAccount.created.v1";
                let subject = ("billingAccount/", b'A', id);
                self.write_as(now_ms, out, "/bss/billing/", kind, Some(person), subject, Some(1), |json| {
                    json.id("accountId", "", b'A', id);
                    json.id("customerId", "", b'C', id);
                    json.text("currency", currency);
                    json.text("timeZone", "UTC");
                    json.number("billCycleDay", cycle);
                    json.number("paymentTermsDays", 14);
                    json.text("state", "Active");
                    json.text("paymentStatus", "paid");
                    json.truth("taxExempt", false);
                    json.text("taxRate", "0.2000");
                    json.id("bankAccount", "", b'I', shared);
                });
            }
            What::Bank => {
                let kind = "com.example.bss.login.succeeded.v1";
                self.write_login(now_ms, person, kind, shared, city, out);
            }
            What::Login => {
                let next = now_ms + self.wait(2 * DAY);
                self.agenda.plan(next, Act::Person(person, What::Login));
                if self.random.below(100) >= busy(now_ms) {
                    return false;
                }
                let failed = self.random.below(12) == 0;
                let kind = match failed {
                    true => "com.example.bss.login.failed.v1",
                    false => "com.example.bss.login.succeeded.v1",
                };
                self.write_login(now_ms, person, kind, shared, city, out);
            }
            What::Change => {
                let next = now_ms + self.wait(40 * DAY);
                self.agenda.plan(next, Act::Person(person, What::Change));
                let is = &mut self.people[person as usize].is;
                is.mailbox = is.mailbox.wrapping_add(1);
                self.write_person(now_ms, person, "com.example.bss.customer.updated.v1", &["email"], out);
            }
            What::Ticket => {
                let ticket = self.next_number();
                let next = now_ms + self.wait(30 * DAY);
                self.agenda.plan(next, Act::Person(person, What::Ticket));
                let resolved = now_ms + self.wait(2 * DAY);
                self.agenda.plan(resolved, Act::Person(person, What::Resolved(ticket as u32)));
                self.people[person as usize].tickets += 1;
                let kind = "com.example.bss.troubleTicket.created.v1";
                self.write_ticket(now_ms, person, ticket, kind, ("acknowledged", 1), out);
            }
            What::Resolved(ticket) => {
                let kind = "com.example.bss.troubleTicket.resolved.v1";
                self.write_ticket(now_ms, person, u64::from(ticket), kind, ("resolved", 2), out);
            }
            What::FirstOrder => return self.new_order(now_ms, person, out),
            What::Load => {
                let next = now_ms + DAY + self.wait(DAY);
                self.agenda.plan(next, Act::Person(person, What::Load));
                return self.load(now_ms, person, out);
            }
        }
        true
    }

    pub(super) fn write_login(
        &mut self,
        now_ms: u64,
        person: u32,
        kind: &'static str,
        device: u64,
        city: u8,
        out: &mut Vec<u8>,
    ) {
        let (_, _, lat, lon) = CITIES[usize::from(city) % CITIES.len()];
        self.write(now_ms, out, "/bss/identity/", kind, Some(person), |json, _| {
            json.id("customerId", "", b'C', u64::from(person));
            json.id("deviceId", "", b'M', device);
            json.id("ip", "", b'J', device);
            json.place(lat, lon);
            json.text("channel", "app");
        });
    }

    fn write_ticket(
        &mut self,
        now_ms: u64,
        person: u32,
        ticket: u64,
        kind: &'static str,
        (status, version): (&str, u32),
        out: &mut Vec<u8>,
    ) {
        let subject = ("troubleTicket/", b'T', ticket);
        self.write_as(now_ms, out, "/bss/care/", kind, Some(person), subject, Some(version), |json| {
            json.id("ticketId", "", b'T', ticket);
            json.id("customerId", "", b'C', u64::from(person));
            json.text("type", "complaint");
            json.text("priority", "medium");
            json.text("channel", "phone");
            json.text("status", status);
        });
    }
}
