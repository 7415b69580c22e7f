//! Frauds of calls.
use super::super::agenda::Act;
use super::super::people::{CITIES, cell};
use super::super::using::Used;
use super::super::{Business, DAY, HOUR, MINUTE};
use super::{Call, Crime, Label};

/// A number: what it begins with, a letter, and the rest.
type Number = (&'static str, u8, u64);

/// A call of a fraud.
#[derive(Clone, Debug)]
pub(in super::super) struct Called {
    line: u32,
    card: u64,
    device: u64,
    /// Who calls, if it is not the line.
    from: Option<Number>,
    to: Number,
    country: &'static str,
    seconds: u64,
    /// Of the cities, that of the cell; none: a cell that nobody knows.
    city: Option<u8>,
}

impl Business {
    /// A line that calls, and its customer.
    fn some_line(&mut self) -> Option<(u32, u32)> {
        let count = self.lines.len() as u64;
        let start = self.random.below(count.max(1));
        let line = (0..count).map(|i| ((start + i) % count) as u32).find(|at| {
            let line = &self.lines[*at as usize];
            line.is_active && line.offering <= 2
        })?;
        Some((line, self.lines[line as usize].person))
    }

    fn plan_call(&mut self, at_ms: u64, called: Called) {
        self.agenda.plan(at_ms, Act::Call(Box::new(Call::Usage(called))));
    }

    /// F4: a card calls from its city, and ten minutes later from another one.
    pub(super) fn call_from_two_places(&mut self, now_ms: u64) -> Option<()> {
        let (line, person) = self.some_line()?;
        let (card, city) = (self.next_number(), self.people[person as usize].city);
        for (i, city) in [city, (city + 2) % CITIES.len() as u8].into_iter().enumerate() {
            let called = Called {
                line,
                card,
                device: card + i as u64,
                from: None,
                to: ("+49", b'S', card),
                country: "DE",
                seconds: 60,
                city: Some(city),
            };
            self.plan_call(now_ms + i as u64 * 10 * MINUTE, called);
        }
        self.plan_label(Label::of(Crime::Clone, now_ms).pivot("imsi/", b'R', card));
        Some(())
    }

    /// F7: a hundred calls in a day to a hundred numbers, from one device with four cards.
    pub(super) fn call_all_day(&mut self, now_ms: u64) -> Option<()> {
        let (line, person) = self.some_line()?;
        let card = self.next_number();
        let begins = (now_ms / DAY + 1) * DAY + self.random.below(11 * HOUR);
        for i in 0..100 {
            let called = Called {
                line,
                card: card + i % 4,
                device: card,
                from: None,
                to: ("+49", b'y', 900_000 + i),
                country: "DE",
                seconds: 60,
                city: None,
            };
            self.plan_call(begins + i * 7 * MINUTE, called);
        }
        self.plan_label(Label::of(Crime::SimBox, begins).customer(person));
        Some(())
    }

    /// F8: twelve long calls within an hour to numbers that share their revenue.
    pub(super) fn share_revenue(&mut self, now_ms: u64) -> Option<()> {
        let (line, person) = self.some_line()?;
        let card = self.next_number();
        for i in 0..12 {
            let called = Called {
                line,
                card,
                device: u64::from(person),
                from: None,
                to: ("+252", b'y', i % 3),
                country: "SO",
                seconds: 290,
                city: None,
            };
            self.plan_call(now_ms + i * 5 * MINUTE, called);
        }
        self.plan_label(Label::of(Crime::Revenue, now_ms).customer(person));
        Some(())
    }

    /// F9: one number abroad rings sixty, and some call back.
    pub(super) fn ring_once(&mut self, now_ms: u64) -> Option<()> {
        let from = ("+216", b'x', self.next_number());
        for i in 0..63 {
            let (line, person) = self.some_line()?;
            let rings = i < 60;
            let called = Called {
                line,
                card: self.lines[line as usize].card,
                device: u64::from(person),
                from: rings.then_some(from),
                to: if rings { ("+49", b'y', from.2 * 100 + i) } else { from },
                country: if rings { "DE" } else { "TN" },
                seconds: if rings { 1 + i % 2 } else { 200 },
                city: None,
            };
            self.plan_call(now_ms + i * 45_000, called);
        }
        self.plan_label(Label::of(Crime::OneRing, now_ms).pivot("msisdn/+216", from.1, from.2));
        Some(())
    }

    pub(super) fn write_called(
        &mut self,
        now_ms: u64,
        called: Called,
        out: &mut Vec<u8>,
    ) -> Option<Option<Used>> {
        let Called { line, card, device, from, to, country, seconds, city } = called;
        let of = &self.lines[line as usize];
        if !of.is_active {
            return None;
        }
        let (msisdn, offering, person) = (of.number, of.offering, of.person);
        let number = self.next_number();
        let subject = ("usage/", b'U', number);
        let kind = "com.example.bss.usage.received.v1";
        self.write_as(now_ms, out, "/bss/mediation/", kind, Some(person), subject, None, |json| {
            json.id("usageId", "", b'U', number);
            json.text("usageType", "voice");
            match from {
                Some((prefix, letter, number)) => json.id("aParty", prefix, letter, number),
                None => json.id("msisdn", "+49", b'S', msisdn),
            }
            json.id("imsi", "", b'R', card);
            json.id("imei", "", b'M', device);
            json.time("startTime", now_ms);
            json.member("duration");
            json.number("amount", seconds);
            json.text("units", "s");
            json.end();
            json.id("bParty", to.0, to.1, to.2);
            json.text("bCountry", country);
            json.text("direction", if from.is_some() { "in" } else { "out" });
            match city {
                Some(city) => cell(json, "cellId", u64::from(city)),
                None => json.text("cellId", "26201-4411-17"),
            }
            json.id("networkRecordId", "", b'U', number);
            json.text("status", "received");
        });
        // Only mobile offerings have a price for calls, their first; who is called pays nothing.
        let used = Used { line, of: 0, at_ms: now_ms, quantity: seconds as i64 * 100 };
        Some((from.is_none() && offering <= 2).then_some(used))
    }
}
