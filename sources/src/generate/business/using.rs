//! Calls, data and content of active lines; corrections and voids of them; and what a line has used in its periods.
use super::agenda::{Act, Held};
use super::billing::{Period, period_of};
use super::people::cell;
use super::shelf::{self, Price};
use super::{Business, DAY, HOUR, MINUTE, busy};

/// A record that counts for a bill once it has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) line: u32,
    /// Which of the prices of the line's offering.
    pub(super) of: u8,
    pub(super) at_ms: u64,
    /// In hundredths; less where a correction takes it back.
    pub(super) quantity: i64,
}

/// A record that is corrected or voided.
#[derive(Debug)]
pub(super) struct Amended {
    number: u64,
    used: Used,
    /// The new quantity; none: voided.
    quantity: Option<u64>,
}

/// What a line has used in a period, and the one after: at the bill run both are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub(super) period: Period,
    pub(super) now: [i64; 2],
    pub(super) next: [i64; 2],
    /// One-off charges in cents.
    pub(super) once_now: u64,
    pub(super) once_next: u64,
    once_before: Vec<(u64, u64)>,
}

impl Totals {
    /// Counts a record, unless its period is closed.
    fn add(&mut self, used: &Used) {
        if used.at_ms < self.period.from_ms {
            return;
        }
        let into = if used.at_ms < self.period.until_ms { &mut self.now } else { &mut self.next };
        into[usize::from(used.of)] += used.quantity;
    }

    /// Counts a one-off charge.
    pub(super) fn add_once(&mut self, at_ms: u64, cents: u64) {
        match at_ms {
            _ if self.period.until_ms == 0 => self.once_before.push((at_ms, cents)),
            at if at < self.period.until_ms => self.once_now += cents,
            _ => self.once_next += cents,
        }
    }

    /// The first period begins.
    pub(super) fn begin(&mut self, period: Period) {
        self.period = period;
        for (at_ms, cents) in std::mem::take(&mut self.once_before) {
            self.add_once(at_ms, cents);
        }
    }

    /// The period is billed; the next one is under way.
    pub(super) fn close(&mut self, cycle_day: u64) {
        self.period = period_of(self.period.until_ms, cycle_day);
        self.now = std::mem::take(&mut self.next);
        self.once_now = std::mem::take(&mut self.once_next);
    }
}

impl Business {
    /// A record of a line, and when the next one is due.
    pub(super) fn use_line(&mut self, now_ms: u64, line: u32, out: &mut Vec<u8>) -> Option<Option<Used>> {
        let (offering, person) = (self.lines[line as usize].offering, self.lines[line as usize].person);
        let next = now_ms + self.wait(5 * HOUR / 2);
        if !self.lines[line as usize].is_active || self.random.below(100) >= busy(now_ms) {
            self.agenda.plan(next, Act::Use(line));
            return None;
        }
        let prices = shelf::prices(offering);
        let of = self.random.below(prices.len() as u64) as u8;
        let price = &prices[usize::from(of)];
        let quantity = match price.usage {
            "voice" => 10 + self.random.below(30) * self.random.below(60),
            "data" => 100 + self.random.below(100) * self.random.below(200),
            _ => 500 + self.random.below(9_000),
        };
        // A line makes one call at a time.
        let lasts_ms = if price.usage == "voice" { quantity * MINUTE / 100 } else { 0 };
        self.agenda.plan(next + lasts_ms, Act::Use(line));
        let number = self.next_number();
        let used = Used { line, of, at_ms: now_ms, quantity: quantity as i64 };
        let other = self.random.below(self.lines.len() as u64);
        let other = self.lines[other as usize].number;
        self.write_usage(now_ms, number, person, line, price, quantity, other, out);
        let corrected = self.config.shares.corrected;
        if self.random.share() < corrected {
            let is_void = self.random.below(4) == 0;
            let quantity = (!is_void).then_some(quantity / 2 + 1);
            let at = now_ms + HOUR + self.wait(DAY);
            self.agenda.plan(at, Act::Amend(Box::new(Amended { number, used, quantity })));
        }
        Some(Some(used))
    }

    #[expect(clippy::too_many_arguments, reason = "a record has as many parts")]
    fn write_usage(
        &mut self,
        now_ms: u64,
        number: u64,
        person: u32,
        line: u32,
        price: &Price,
        quantity: u64,
        other: u64,
        out: &mut Vec<u8>,
    ) {
        let (of, card) = (self.lines[line as usize].number, self.lines[line as usize].card);
        let city = u64::from(self.people[person as usize].city);
        let (kind, subject) = ("com.example.bss.usage.received.v1", ("usage/", b'U', number));
        self.write_as(now_ms, out, "/bss/mediation/", kind, Some(person), subject, None, |json| {
            json.id("usageId", "", b'U', number);
            json.text("usageType", price.usage);
            json.id("msisdn", "+49", b'S', of);
            json.id("imsi", "", b'R', card);
            json.id("imei", "", b'M', u64::from(person));
            json.time("startTime", now_ms);
            json.member("volume");
            json.decimal("amount", quantity);
            json.text("units", price.units);
            json.end();
            if price.usage == "voice" {
                json.id("bParty", "+49", b'S', other);
                json.text("bCountry", "DE");
                json.text("direction", "out");
            }
            cell(json, "cellId", city);
            json.id("networkRecordId", "", b'U', number);
            json.text("status", "received");
        });
    }

    /// A correction or a void.
    pub(super) fn amend(
        &mut self,
        now_ms: u64,
        amended: &Amended,
        out: &mut Vec<u8>,
    ) -> Option<Option<Used>> {
        let Amended { number, used, quantity } = *amended;
        let person = self.lines[used.line as usize].person;
        let kind = match quantity {
            Some(_) => "com.example.bss.usage.corrected.v1",
            None => "com.example.bss.usage.voided.v1",
        };
        let units = shelf::prices(self.lines[used.line as usize].offering)[usize::from(used.of)].units;
        let subject = ("usage/", b'U', number);
        self.write_as(now_ms, out, "/bss/mediation/", kind, Some(person), subject, Some(2), |json| {
            json.id("usageId", "", b'U', number);
            json.text("reason", "switch clock fault");
            if let Some(quantity) = quantity {
                json.texts("changedFields", &["volume"]);
                json.member("volume");
                json.decimal("amount", quantity);
                json.text("units", units);
                json.end();
            }
        });
        let difference = quantity.map_or(0, |quantity| quantity as i64) - used.quantity;
        Some(Some(Used { quantity: difference, ..used }))
    }

    /// Counts what an event that has arrived says was used.
    pub(super) fn arrived(&mut self, held: &Held) {
        if let Some(used) = &held.used {
            self.lines[used.line as usize].totals.add(used);
        }
    }

    /// A wait of some minutes.
    pub(super) fn minutes(&mut self, mean: u64) -> u64 {
        self.wait(mean * MINUTE)
    }
}
