//! From an order to an active subscription: order, product, service, card; and its end.
use super::agenda::Act;
use super::using::Totals;
use super::{Business, DAY, HOUR, MINUTE};
use crate::generate::world::OFFERINGS;

/// An order of one offering, and at times a thing beside it.
#[derive(Clone, Debug)]
pub(super) struct Deal {
    pub(super) number: u64,
    pub(super) person: u32,
    pub(super) offering: u8,
    /// A thing that is bought once.
    pub(super) thing: Option<u8>,
    pub(super) ordered_ms: u64,
    pub(super) version: u32,
    pub(super) line: Option<u32>,
}

/// A subscription with its service and card, all of one number.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) person: u32,
    pub(super) offering: u8,
    pub(super) deal: u32,
    pub(super) version: u32,
    pub(super) service_version: u32,
    /// What it costs per month from which time on, in cents; 0 while it is not active.
    pub(super) prices: Vec<(u64, u64)>,
    pub(super) is_active: bool,
    pub(super) is_billed: bool,
    pub(super) card: u64,
    pub(super) totals: Totals,
}

/// What happens to an order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Start,
    Cancel,
    Complete,
    Charge,
}

/// What happens to a subscription.
#[derive(Clone, Copy, Debug)]
pub(super) enum LineStep {
    Create,
    Design,
    Begin,
    End,
    Assign,
    Serve,
    Activate,
    Raise,
    Swap,
    NewCard,
    Suspend,
    Resume,
    Terminate,
}

impl Business {
    /// Writes an order, and plans what follows.
    pub(super) fn new_order(&mut self, now_ms: u64, person: u32, out: &mut Vec<u8>) -> bool {
        let deal = self.deals.len() as u32;
        let number = self.next_number();
        let offering = self.random.pick(&[0, 0, 0, 1, 1, 2, 3, 4, 5]);
        let thing = (self.random.below(3) == 0).then(|| 6 + self.random.below(5) as u8);
        self.deals.push(Deal { number, person, offering, thing, ordered_ms: now_ms, version: 0, line: None });
        let is_cancelled = self.random.below(25) == 0;
        let begun = now_ms + self.wait(20 * MINUTE);
        let next = now_ms + 20 * DAY + self.wait(40 * DAY);
        self.agenda.plan(next, Act::Person(person, super::people::What::FirstOrder));
        if is_cancelled {
            self.agenda.plan(begun, Act::Order(deal, Step::Cancel));
        } else {
            self.agenda.plan(begun, Act::Order(deal, Step::Start));
            let done = begun + MINUTE + self.wait(12 * HOUR);
            self.agenda.plan(done, Act::Order(deal, Step::Complete));
            let line = self.lines.len() as u32;
            let number = self.next_number();
            self.lines.push(Line {
                number,
                person,
                offering,
                deal,
                version: 0,
                service_version: 0,
                prices: vec![],
                is_active: false,
                is_billed: false,
                card: number,
                totals: Totals::default(),
            });
            self.deals[deal as usize].line = Some(line);
            let part = (done - begun) / 8;
            let steps = [
                LineStep::Create,
                LineStep::Design,
                LineStep::Begin,
                LineStep::End,
                LineStep::Assign,
                LineStep::Serve,
                LineStep::Activate,
            ];
            for (i, step) in steps.into_iter().enumerate() {
                self.agenda.plan(begun + part * (i as u64 + 1), Act::Line(line, step));
            }
            if thing.is_some() {
                self.agenda.plan(done, Act::Order(deal, Step::Charge));
            }
        }
        self.write_order(now_ms, deal, ("com.example.bss.productOrder.created.v1", "acknowledged"), out);
        true
    }

    pub(super) fn order(&mut self, now_ms: u64, deal: u32, step: Step, out: &mut Vec<u8>) -> bool {
        let said = match step {
            Step::Start => ("com.example.bss.productOrder.stateChanged.v1", "inProgress"),
            Step::Cancel => ("com.example.bss.productOrder.cancelled.v1", "cancelled"),
            Step::Complete => ("com.example.bss.productOrder.completed.v1", "completed"),
            Step::Charge => return self.charge_thing(now_ms, deal, out),
        };
        self.write_order(now_ms, deal, said, out);
        true
    }

    fn charge_thing(&mut self, now_ms: u64, deal: u32, out: &mut Vec<u8>) -> bool {
        let Deal { number, person, thing, .. } = self.deals[deal as usize];
        let Some(thing) = thing else { return false };
        let (currency, cents) = (self.currency(person), OFFERINGS[usize::from(thing)].cents);
        if let Some(line) = self.deals[deal as usize].line {
            self.lines[line as usize].totals.add_once(now_ms, cents);
        }
        let subject = ("appliedBillingRate/", b'H', number);
        let kind = "com.example.bss.appliedBillingRate.created.v1";
        self.write_as(now_ms, out, "/bss/billing/", kind, Some(person), subject, Some(1), |json| {
            json.id("rateId", "", b'H', number);
            json.id("accountId", "", b'A', u64::from(person));
            json.id("customerId", "", b'C', u64::from(person));
            json.text("type", "oneTime");
            json.text("description", OFFERINGS[usize::from(thing)].name);
            json.date("date", now_ms);
            json.money("amount", currency, cents);
        });
        true
    }

    fn write_order(
        &mut self,
        now_ms: u64,
        deal: u32,
        (kind, state): (&'static str, &str),
        out: &mut Vec<u8>,
    ) {
        self.deals[deal as usize].version += 1;
        let Deal { number, person, offering, thing, ordered_ms, version, .. } = self.deals[deal as usize];
        let currency = self.currency(person);
        let country =
            crate::generate::world::COUNTRIES[usize::from(self.people[person as usize].is.country)].0;
        let items = [Some(offering), thing];
        let items = items.iter().flatten().map(|place| &OFFERINGS[usize::from(*place)]);
        let net: u64 = items.clone().map(|offering| offering.cents).sum();
        let subject = ("productOrder/", b'O', number);
        self.write_as(now_ms, out, "/bss/orders/", kind, Some(person), subject, Some(version), |json| {
            json.id("orderId", "", b'O', number);
            json.id("customerId", "", b'C', u64::from(person));
            json.id("accountId", "", b'A', u64::from(person));
            json.text("channel", "web");
            json.text("region", country);
            json.text("state", state);
            json.time("orderDate", ordered_ms);
            json.member("totals");
            json.money("net", currency, net);
            json.money("tax", currency, (net + 2) / 5);
            json.money("gross", currency, net + (net + 2) / 5);
            json.end();
            json.list("items", |json| {
                for (i, offering) in items.enumerate() {
                    json.object();
                    json.number("itemId", i as u64 + 1);
                    json.text("action", "add");
                    json.text("offeringId", offering.id);
                    json.number("qty", 1);
                    json.money("unitPrice", currency, offering.cents);
                    json.text("state", state);
                    json.end();
                }
            });
        });
    }

    pub(super) fn line(&mut self, now_ms: u64, line: u32, step: LineStep, out: &mut Vec<u8>) -> bool {
        let Line { number, person, offering, .. } = self.lines[line as usize];
        let cents = OFFERINGS[usize::from(offering)].cents;
        match step {
            LineStep::Create => {
                self.write_line(now_ms, line, ("com.example.bss.product.created.v1", "pendingActive"), out);
            }
            LineStep::Design => {
                self.write_service(now_ms, line, ("com.example.bss.service.designed.v1", "designed"), out);
            }
            LineStep::Begin | LineStep::End => {
                let kind = match step {
                    LineStep::Begin => "com.example.bss.provisioning.stepStarted.v1",
                    _ => "com.example.bss.provisioning.stepCompleted.v1",
                };
                self.write(now_ms, out, "/bss/provisioning/", kind, Some(person), |json, _| {
                    json.id("serviceOrderId", "", b'Z', number);
                    json.id("serviceId", "", b'W', number);
                    json.text("step", "HLR");
                    json.number("attempt", 1);
                });
            }
            LineStep::Assign | LineStep::NewCard => {
                let kind = "com.example.bss.resource.assigned.v1";
                self.write_card(now_ms, line, kind, true, out);
            }
            LineStep::Serve => {
                self.write_service(now_ms, line, ("com.example.bss.service.activated.v1", "active"), out);
            }
            LineStep::Activate => {
                self.lines[line as usize].is_active = true;
                self.lines[line as usize].prices.push((now_ms, cents));
                self.write_line(now_ms, line, ("com.example.bss.product.activated.v1", "active"), out);
                self.begin_billing(now_ms, line);
                self.agenda.plan(now_ms + HOUR, Act::Use(line));
                let raised = now_ms + 5 * DAY + self.wait(60 * DAY);
                self.agenda.plan(raised, Act::Line(line, LineStep::Raise));
                let swapped = now_ms + 5 * DAY + self.wait(100 * DAY);
                self.agenda.plan(swapped, Act::Line(line, LineStep::Swap));
                if self.random.below(12) == 0 {
                    let ended = now_ms + 4 * DAY + self.wait(20 * DAY);
                    self.agenda.plan(ended, Act::Line(line, LineStep::Terminate));
                }
            }
            LineStep::Raise if self.lines[line as usize].is_active => {
                self.lines[line as usize].prices.push((now_ms, cents + 100));
                self.write_line(now_ms, line, ("com.example.bss.product.planChanged.v1", "active"), out);
            }
            LineStep::Swap if self.lines[line as usize].is_active => {
                let kind = "com.example.bss.resource.swapped.v1";
                self.write_card(now_ms, line, kind, false, out);
                self.lines[line as usize].card = self.next_number();
                self.agenda.plan(now_ms, Act::Line(line, LineStep::NewCard));
            }
            LineStep::Suspend if self.lines[line as usize].is_active => {
                self.stop(now_ms, line);
                self.write_line(now_ms, line, ("com.example.bss.product.suspended.v1", "suspended"), out);
            }
            LineStep::Resume if !self.lines[line as usize].is_active => {
                let last = self.lines[line as usize].prices.iter().rev().find(|(_, cents)| *cents > 0);
                let cents = last.map_or(cents, |(_, cents)| *cents);
                self.lines[line as usize].is_active = true;
                self.lines[line as usize].prices.push((now_ms, cents));
                self.write_line(now_ms, line, ("com.example.bss.product.resumed.v1", "active"), out);
            }
            LineStep::Terminate if self.lines[line as usize].is_active => {
                self.stop(now_ms, line);
                self.write_line(now_ms, line, ("com.example.bss.product.terminated.v1", "terminated"), out);
            }
            LineStep::Raise | LineStep::Swap | LineStep::Suspend | LineStep::Resume | LineStep::Terminate => {
                return false;
            }
        }
        true
    }

    fn stop(&mut self, now_ms: u64, line: u32) {
        self.lines[line as usize].is_active = false;
        self.lines[line as usize].prices.push((now_ms, 0));
    }

    fn write_line(&mut self, now_ms: u64, line: u32, (kind, state): (&'static str, &str), out: &mut Vec<u8>) {
        self.lines[line as usize].version += 1;
        let of = self.lines[line as usize].clone();
        let currency = self.currency(of.person);
        let last = of.prices.iter().rev().find(|(_, cents)| *cents > 0);
        let cents = last.map_or(OFFERINGS[usize::from(of.offering)].cents, |(_, cents)| *cents);
        let subject = ("product/", b'S', of.number);
        self.write_as(
            now_ms,
            out,
            "/bss/inventory/",
            kind,
            Some(of.person),
            subject,
            Some(of.version),
            |json| {
                json.id("productId", "", b'S', of.number);
                json.id("customerId", "", b'C', u64::from(of.person));
                json.id("accountId", "", b'A', u64::from(of.person));
                json.text("offeringId", OFFERINGS[usize::from(of.offering)].id);
                json.text("state", state);
                json.number("qty", 1);
                json.money("recurringAmount", currency, cents);
                json.text("billingPeriod", "P1M");
                json.time("effectiveAt", now_ms);
                json.truth("autoRenew", true);
                if state == "terminated" {
                    json.text("terminationReason", "voluntary");
                }
                json.list("realizingServices", |json| {
                    json.object();
                    json.id("serviceId", "", b'W', of.number);
                    json.end();
                });
            },
        );
    }

    fn write_service(
        &mut self,
        now_ms: u64,
        line: u32,
        (kind, state): (&'static str, &str),
        out: &mut Vec<u8>,
    ) {
        self.lines[line as usize].service_version += 1;
        let of = self.lines[line as usize].clone();
        let (order, ordered_ms) =
            (self.deals[of.deal as usize].number, self.deals[of.deal as usize].ordered_ms);
        let subject = ("service/", b'W', of.number);
        let version = Some(of.service_version);
        self.write_as(now_ms, out, "/bss/network/", kind, Some(of.person), subject, version, |json| {
            json.id("serviceId", "", b'W', of.number);
            json.id("productId", "", b'S', of.number);
            json.id("customerId", "", b'C', u64::from(of.person));
            json.id("orderId", "", b'O', order);
            json.text("serviceType", OFFERINGS[usize::from(of.offering)].category);
            json.text("state", state);
            json.text("operatingStatus", if state == "active" { "running" } else { "pending" });
            json.time("slaDue", ordered_ms + DAY);
            if state == "active" {
                json.time("activatedAt", now_ms);
            }
        });
    }

    /// A card that a line gets, or that is taken from it.
    fn write_card(
        &mut self,
        now_ms: u64,
        line: u32,
        kind: &'static str,
        is_assigned: bool,
        out: &mut Vec<u8>,
    ) {
        let of = self.lines[line as usize].clone();
        let subject = ("resource/", b'R', of.card);
        let version = Some(if is_assigned { 1 } else { 2 });
        self.write_as(now_ms, out, "/bss/network/", kind, Some(of.person), subject, version, |json| {
            json.id("resourceId", "", b'R', of.card);
            json.text("kind", "sim");
            json.id("imsi", "", b'R', of.card);
            json.id("iccid", "89", b'R', of.card);
            if is_assigned {
                json.id("msisdn", "+49", b'S', of.number);
                json.member("assignedTo");
                json.id("customerId", "", b'C', u64::from(of.person));
                json.id("serviceId", "", b'W', of.number);
                json.end();
            }
            json.time("effectiveAt", now_ms);
        });
    }
}
