//! A bill a month for each account: recurring by days, use, things bought; then payment, dunning, or neither.
use super::agenda::Act;
use super::orders::LineStep;
use super::paying;
use super::shelf::{Price, charge, prices};
use super::{Business, DAY, HOUR};
use crate::generate::json::Json;
use crate::generate::world::OFFERINGS;
use chrono::{DateTime, Datelike, Months, NaiveDate};

/// A billing period: from midnight to midnight, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Period {
    pub(super) from_ms: u64,
    pub(super) until_ms: u64,
}

/// The period that a time falls into, for accounts whose periods begin on a day of the month.
pub(super) fn period_of(at_ms: u64, cycle_day: u64) -> Period {
    let day = DateTime::from_timestamp_millis(at_ms as i64).expect("the calendar knows it").date_naive();
    let of_month = |day: NaiveDate| day.with_day(cycle_day as u32).expect("every month has 28 days");
    let from = match of_month(day) {
        start if start <= day => start,
        start => start - Months::new(1),
    };
    let ms = |day: NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis() as u64;
    Period { from_ms: ms(from), until_ms: ms(from + Months::new(1)) }
}

/// A line of a bill.
#[derive(Clone, Copy, Debug)]
struct Position {
    kind: &'static str,
    line: u32,
    price: Option<&'static Price>,
    cents: u64,
}

/// A bill that was sent.
#[derive(Clone, Debug)]
pub(super) struct Bill {
    pub(super) number: u64,
    pub(super) person: u32,
    pub(super) gross: u64,
    period: Period,
    positions: Vec<Position>,
    state: &'static str,
    version: u32,
    billed_ms: u64,
}

/// What happens to a bill, or to the account of a customer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// The bill run of a customer, whose number stands in the place of a bill's.
    Run,
    Settle,
    Remind,
    Promise,
    Suspend,
    Credit,
    Void,
}

impl Business {
    /// The first period of a line begins; that of a customer, if it is the first line.
    pub(super) fn begin_billing(&mut self, now_ms: u64, line: u32) {
        let person = self.lines[line as usize].person;
        let cycle_day = self.people[person as usize].cycle_day;
        let period = period_of(now_ms, cycle_day);
        self.lines[line as usize].totals.begin(period);
        self.lines[line as usize].is_billed = true;
        self.people[person as usize].lines.push(line);
        if self.people[person as usize].lines.len() == 1 {
            self.agenda.plan(period.until_ms + 2 * HOUR, Act::Bill(person, Step::Run));
        }
    }

    pub(super) fn bill(&mut self, now_ms: u64, of: u32, step: Step, out: &mut Vec<u8>) -> bool {
        match step {
            Step::Run => return self.run(now_ms, of, out),
            Step::Settle => {
                self.bills[of as usize].state = "settled";
                self.write_bill(now_ms, of, "com.example.bss.customerBill.stateChanged.v1", out);
            }
            Step::Void => {
                self.bills[of as usize].state = "voided";
                self.write_bill(now_ms, of, "com.example.bss.customerBill.voided.v1", out);
            }
            Step::Remind | Step::Promise => {
                let Bill { number, person, gross, .. } = self.bills[of as usize];
                let currency = self.currency(person);
                let kind = match step {
                    Step::Remind => "com.example.bss.dunning.stepTriggered.v1",
                    _ => "com.example.bss.dunning.promiseToPay.v1",
                };
                self.write(now_ms, out, "/bss/collections/", kind, Some(person), |json, _| {
                    json.id("accountId", "", b'A', u64::from(person));
                    json.id("customerId", "", b'C', u64::from(person));
                    json.id("billId", "", b'B', number);
                    json.text("stage", "1");
                    json.text("action", "reminder");
                    json.money("amount", currency, gross);
                    json.date("promisedUntil", now_ms + 7 * DAY);
                });
            }
            Step::Suspend => {
                let person = self.bills[of as usize].person;
                let lines = self.people[person as usize].lines.clone();
                for line in lines {
                    self.agenda.plan(now_ms, Act::Line(line, LineStep::Suspend));
                    self.agenda.plan(now_ms + 5 * DAY, Act::Line(line, LineStep::Resume));
                }
                return false;
            }
            Step::Credit => {
                let Bill { number, person, ref positions, .. } = self.bills[of as usize];
                let (cents, category) = (positions[0].cents / 2, self.category(positions[0].line));
                let currency = self.currency(person);
                let note = self.next_number();
                let kind = "com.example.bss.creditNote.issued.v1";
                let subject = ("creditNote/", b'Q', note);
                let tax = (cents + 2) / 5;
                self.write_as(now_ms, out, "/bss/billing/", kind, Some(person), subject, Some(1), |json| {
                    json.id("creditNoteId", "", b'Q', note);
                    json.id("billId", "", b'B', number);
                    json.id("accountId", "", b'A', u64::from(person));
                    json.id("customerId", "", b'C', u64::from(person));
                    json.text("state", "issued");
                    json.text("reason", "goodwill");
                    json.date("issueDate", now_ms);
                    json.money("amount", currency, cents + tax);
                    json.list("lines", |json| {
                        json.object();
                        json.text("refLineId", "1");
                        json.text("category", category);
                        json.money("amount", currency, cents);
                        json.money("tax", currency, tax);
                        json.end();
                    });
                });
            }
        }
        true
    }

    fn category(&self, line: u32) -> &'static str {
        OFFERINGS[usize::from(self.lines[line as usize].offering)].category
    }

    /// The bill run of a customer: what their lines cost in the period that has ended.
    fn run(&mut self, now_ms: u64, person: u32, out: &mut Vec<u8>) -> bool {
        let cycle_day = self.people[person as usize].cycle_day;
        let period = period_of(now_ms - DAY, cycle_day);
        let next = period_of(now_ms, cycle_day);
        self.agenda.plan(next.until_ms + 2 * HOUR, Act::Bill(person, Step::Run));
        let lines = self.people[person as usize].lines.clone();
        let mut positions = vec![];
        for line in lines {
            let of = &mut self.lines[line as usize];
            if of.totals.period != period {
                continue;
            }
            let recurring = recurring(&of.prices, period);
            positions.push(Position { kind: "recurring", line, price: None, cents: recurring });
            for (i, price) in prices(of.offering).iter().enumerate() {
                let cents = charge(price, of.totals.now[i].max(0) as u64);
                positions.push(Position { kind: "usage", line, price: Some(price), cents });
            }
            positions.push(Position { kind: "oneTime", line, price: None, cents: of.totals.once_now });
            of.totals.close(cycle_day);
        }
        positions.retain(|position| position.cents > 0);
        if positions.is_empty() {
            return false;
        }
        let net: u64 = positions.iter().map(|position| position.cents).sum();
        let bill = self.bills.len() as u32;
        let number = self.next_number();
        let gross = net + (2 * net + 5) / 10;
        self.bills.push(Bill {
            number,
            person,
            gross,
            period,
            positions,
            state: "sent",
            version: 0,
            billed_ms: now_ms,
        });
        self.write_bill(now_ms, bill, "com.example.bss.customerBill.created.v1", out);
        self.follow(now_ms, bill, person, gross);
        true
    }

    /// What becomes of a bill.
    fn follow(&mut self, now_ms: u64, bill: u32, person: u32, gross: u64) {
        let later =
            |business: &mut Business, at: u64, step: Step| business.agenda.plan(at, Act::Bill(bill, step));
        match self.random.below(100) {
            0..=1 => {
                let at = now_ms + self.wait(2 * DAY);
                return later(self, at, Step::Void);
            }
            2..=4 => {
                let at = now_ms + self.wait(3 * DAY);
                later(self, at, Step::Credit);
            }
            _ => {}
        }
        if self.people[person as usize].is_defaulter {
            later(self, now_ms + 17 * DAY, Step::Remind);
            later(self, now_ms + 20 * DAY, Step::Promise);
            return later(self, now_ms + 34 * DAY, Step::Suspend);
        }
        let at = now_ms + HOUR + self.wait(6 * DAY);
        let payment = self.new_payment(person, Some(bill), gross, "sepa");
        self.agenda.plan(at, Act::Pay(payment, paying::Step::Attempt));
    }

    fn write_bill(&mut self, now_ms: u64, bill: u32, kind: &'static str, out: &mut Vec<u8>) {
        self.bills[bill as usize].version += 1;
        let of = self.bills[bill as usize].clone();
        let currency = self.currency(of.person);
        let net: u64 = of.positions.iter().map(|position| position.cents).sum();
        let details: Vec<(u64, &'static str, &'static str)> = of
            .positions
            .iter()
            .map(|position| {
                let line = &self.lines[position.line as usize];
                let offering = &OFFERINGS[usize::from(line.offering)];
                (line.number, offering.id, offering.category)
            })
            .collect();
        let subject = ("customerBill/", b'B', of.number);
        self.write_as(
            now_ms,
            out,
            "/bss/billing/",
            kind,
            Some(of.person),
            subject,
            Some(of.version),
            |json| {
                json.id("billId", "", b'B', of.number);
                json.id("billNo", "", b'B', of.number);
                json.id("accountId", "", b'A', u64::from(of.person));
                json.id("customerId", "", b'C', u64::from(of.person));
                json.text("state", of.state);
                json.text("runType", "onCycle");
                json.member("billingPeriod");
                json.date("start", of.period.from_ms);
                json.date("end", of.period.until_ms);
                json.end();
                json.date("billDate", of.billed_ms);
                json.date("paymentDueDate", of.billed_ms + 14 * DAY);
                if of.state == "voided" {
                    json.date("voidDate", now_ms);
                }
                json.money("taxExcluded", currency, net);
                json.money("taxIncluded", currency, of.gross);
                json.list("lines", |json| lines(json, &of, &details, currency, of.gross - net));
            },
        );
    }
}

/// The lines; the last one bears what rounding left of the tax.
fn lines(json: &mut Json<'_>, of: &Bill, details: &[(u64, &str, &str)], currency: &str, tax: u64) {
    let mut left = tax;
    for (i, (position, (subscription, offering, category))) in of.positions.iter().zip(details).enumerate() {
        let own = if i + 1 == of.positions.len() { left } else { left.min(position.cents / 5) };
        left -= own;
        json.object();
        json.number("lineId", i as u64 + 1);
        json.text("type", position.kind);
        json.id("productId", "", b'S', *subscription);
        json.text("offeringId", offering);
        json.text("category", category);
        if let Some(price) = position.price {
            json.text("priceId", price.id);
        }
        json.number("qty", 1);
        json.money("amount", currency, position.cents);
        json.money("tax", currency, own);
        if position.kind == "recurring" {
            json.member("periodCoverage");
            json.date("start", of.period.from_ms);
            json.date("end", of.period.until_ms);
            json.end();
        }
        json.end();
    }
}

/// What a line costs in a period: each price times the days it held, by the days of the period, rounded half up once.
fn recurring(prices: &[(u64, u64)], period: Period) -> u64 {
    let (from, until) = (period.from_ms / DAY, period.until_ms / DAY);
    let mut sum = 0;
    for (i, (at_ms, cents)) in prices.iter().enumerate() {
        let end = prices.get(i + 1).map_or(until, |(next_ms, _)| (next_ms / DAY).min(until));
        sum += end.saturating_sub((at_ms / DAY).max(from)) * cents;
    }
    let days = until - from;
    (2 * sum + days) / (2 * days)
}
