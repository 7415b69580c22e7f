//! `Business`: the whole life of an operator at its own pace, between two times: catalogue, sign-ups, orders, activation, usage,
//! bills, payments, dunning, prepaid, card swaps, visits, and fraud of each kind with labels that come a week later.
//!
//! | file | what it is |
//! |---|---|
//! | `agenda.rs` | what is to happen when |
//! | `people.rs` | customers, accounts, addresses, logins; where cells stand |
//! | `shelf.rs` | what is sold, at which prices, and what use costs |
//! | `orders.rs` | from an order to an active subscription |
//! | `using.rs` | calls, data and content; corrections and voids of them |
//! | `billing.rs` | a bill a month; what becomes of it |
//! | `paying.rs` | payments, refunds, top-ups |
//! | `visits.rs` | pages, carts and searches |
//! | `crime.rs` | fraud F1 to F12 and its labels: `crime/cards.rs`, `crime/calls.rs`, `crime/names.rs` |
mod agenda;
mod billing;
mod crime;
mod orders;
mod paying;
mod people;
mod shelf;
mod using;
mod visits;

use super::damage;
use super::json::Json;
use super::random::Random;
use super::world::COUNTRIES;
use super::write::{Head, When};
use super::{Kind, Shares};
use agenda::{Act, Agenda, Held};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How a business is made.
#[derive(Clone, Debug, PartialEq)]
pub struct BusinessConfig {
    /// What all draws follow from.
    pub seed: u64,
    /// When it opens, in milliseconds since 1970.
    pub from_ms: u64,
    /// When the stream ends: the first time that is not in it.
    pub until_ms: u64,
    /// Its size: 1 is 5,000 customers who sign up in the first month, and about a million events.
    pub scale: f64,
    /// How much of it is not plain.
    pub shares: Shares,
}

/// A deterministic stream of the events of a business in the order of their arrival (`com.example.bss.*.v1`).
///
/// Seven in ten of the customers sign up in the first two days, the others over the month, so the business grows. Use and visits
/// follow the hour of the day and the day of the week. What is late carries its `recordedtime` and comes a minute to three days
/// after it happened. Bills are computed as the views compute them: without late, corrected or malformed events, what
/// `invoice_preview` says of a period is what was billed.
///
/// ```
/// use sources::generate::{Business, BusinessConfig, Shares};
/// let day = 86_400_000;
/// let config = BusinessConfig {
///     seed: 1, from_ms: 1_767_225_600_000, until_ms: 1_767_225_600_000 + 2 * day, scale: 0.01, shares: Shares::default(),
/// };
/// let mut event = vec![];
/// let mut business = Business::new(config);
/// let (_, time_ms) = business.next_into(&mut event).unwrap();
/// assert_eq!(time_ms, 1_767_225_600_000);
/// assert!(event.starts_with(b"{\"specversion\":\"1.0\""));
/// ```
#[derive(Debug)]
pub struct Business {
    config: BusinessConfig,
    random: Random,
    tag: [u8; 6],
    agenda: Agenda,
    people: Vec<people::Person>,
    lines: Vec<orders::Line>,
    deals: Vec<orders::Deal>,
    payments: Vec<paying::Payment>,
    bills: Vec<billing::Bill>,
    visits: Vec<visits::Visit>,
    /// The last number given to anything.
    number: u64,
    /// When the event under way is recorded, if it is late.
    recorded_ms: Option<u64>,
}

impl Business {
    /// Before it opens. Panics where the scale is not positive.
    pub fn new(config: BusinessConfig) -> Business {
        assert!(config.scale > 0.0 && config.scale.is_finite(), "the scale must be positive");
        let mut business = Business {
            random: Random::new(config.seed),
            tag: super::life::tag(config.seed, config.from_ms),
            agenda: Agenda::default(),
            people: vec![],
            lines: vec![],
            deals: vec![],
            payments: vec![],
            bills: vec![],
            visits: vec![],
            number: 0,
            recorded_ms: None,
            config,
        };
        business.open();
        business
    }

    /// Plans the catalogue, the sign-ups and the crimes.
    fn open(&mut self) {
        let from = self.config.from_ms;
        for act in shelf::acts() {
            self.agenda.plan(from, act);
        }
        for city in 0..people::CITIES.len() {
            self.agenda.plan(from, Act::Site(city as u8));
        }
        let customers = (5_000.0 * self.config.scale).ceil() as u64;
        for number in 0..customers {
            let spread = if number * 10 < customers * 7 { 2 * DAY } else { 30 * DAY };
            let at = from + MINUTE + self.random.below(spread);
            self.agenda.plan(at, Act::SignUp);
        }
        self.agenda.plan(from, Act::Measure(0));
        self.plan_crimes();
        self.plan_visitors(customers);
    }

    /// Writes the next event into `out` in place of what was there: its kind and its event time; none at the end.
    pub fn next_into(&mut self, out: &mut Vec<u8>) -> Option<(Kind, u64)> {
        loop {
            let (now_ms, act) = self.agenda.next()?;
            if now_ms >= self.config.until_ms {
                return None;
            }
            out.clear();
            if let Act::Arrive(mut held) = act {
                out.append(&mut held.bytes);
                self.arrived(&held);
                return Some((held.kind, held.event_time_ms));
            }
            let Shares { late, duplicate, malformed, .. } = self.config.shares;
            let is_fixed = matches!(act, Act::Offering(_) | Act::Price(_, _) | Act::Site(_));
            let draw = if is_fixed { 1.0 } else { self.random.share() };
            let delay = (MINUTE << self.random.below(12)) + self.random.below(MINUTE);
            self.recorded_ms = (draw < late).then_some(now_ms + delay);
            let Some(used) = self.act(now_ms, act, out) else { continue };
            let held = Held { bytes: vec![], kind: Kind::Plain, event_time_ms: now_ms, used };
            if draw < late {
                let held = Held { bytes: out.clone(), kind: Kind::Late, ..held };
                self.agenda.plan(now_ms + delay, Act::Arrive(Box::new(held)));
                continue;
            }
            if draw < late + malformed && damage::can_be_damaged(out) {
                self.agenda.plan(now_ms, Act::Arrive(Box::new(Held { bytes: out.clone(), ..held })));
                damage::damage(&mut self.random, out);
                return Some((Kind::Malformed, now_ms));
            }
            if draw < late + malformed + duplicate {
                let again =
                    Held { bytes: out.clone(), kind: Kind::Duplicate, event_time_ms: now_ms, used: None };
                let at = now_ms + self.random.between(1, 2_000);
                self.agenda.plan(at, Act::Arrive(Box::new(again)));
            }
            self.arrived(&held);
            return Some((Kind::Plain, now_ms));
        }
    }

    /// Writes what an act says; none where it says nothing. What was used is counted when the record arrives.
    fn act(&mut self, now_ms: u64, act: Act, out: &mut Vec<u8>) -> Option<Option<using::Used>> {
        let written = match act {
            Act::Offering(place) => self.offering(now_ms, place, out),
            Act::Price(place, of) => self.price(now_ms, place, of, out),
            Act::Site(city) => self.site(now_ms, city, out),
            Act::SignUp => self.sign_up(now_ms, out),
            Act::Person(person, what) => self.person(now_ms, person, what, out),
            Act::Order(deal, step) => self.order(now_ms, deal, step, out),
            Act::Line(line, step) => self.line(now_ms, line, step, out),
            Act::Use(line) => return self.use_line(now_ms, line, out),
            Act::Amend(amended) => return self.amend(now_ms, &amended, out),
            Act::Call(call) => return self.call(now_ms, &call, out),
            Act::Bill(bill, step) => self.bill(now_ms, bill, step, out),
            Act::Pay(payment, step) => self.pay(now_ms, payment, step, out),
            Act::Visit(visit) => self.visit(now_ms, visit, out),
            Act::Crime(kind) => self.crime(now_ms, kind, out),
            Act::Label(label) => self.label(now_ms, &label, out),
            Act::Measure(place) => self.measure(now_ms, place, out),
            Act::Arrive(_) => unreachable!("what arrives was written before"),
        };
        written.then_some(None)
    }

    fn measure(&mut self, now_ms: u64, place: u8, out: &mut Vec<u8>) -> bool {
        let names = ["cpu", "memory", "queue", "latency"];
        self.agenda
            .plan(if place == 3 { now_ms + 15 * MINUTE } else { now_ms }, Act::Measure((place + 1) % 4));
        let value = 1_000 + self.random.below(9_000);
        self.write(now_ms, out, "/bss/metrics/", "com.example.bss.metric.recorded.v1", None, |json, _| {
            json.text("metricName", names[usize::from(place)]);
            json.text("resourceId", "core-1");
            json.text("region", "DE");
            json.decimal("value", value);
            json.text("unit", "percent");
        });
        true
    }

    /// Writes an event that has no entity: a fact.
    fn write(
        &mut self,
        now_ms: u64,
        out: &mut Vec<u8>,
        source: &'static str,
        kind: &'static str,
        customer: Option<u32>,
        data: impl FnOnce(&mut Json<'_>, u64),
    ) {
        let number = self.next_number();
        self.write_as(now_ms, out, source, kind, customer, ("fact/", b'E', number), None, |json| {
            data(json, number)
        });
    }

    /// Writes an event about an entity.
    #[expect(clippy::too_many_arguments, reason = "an envelope has as many parts")]
    fn write_as(
        &mut self,
        now_ms: u64,
        out: &mut Vec<u8>,
        source: &'static str,
        kind: &'static str,
        customer: Option<u32>,
        subject: (&'static str, u8, u64),
        version: Option<u32>,
        data: impl FnOnce(&mut Json<'_>),
    ) {
        let when = When { time_ms: now_ms, recorded_ms: self.recorded_ms };
        let sequence = self.next_number();
        Head { sequence, when, source, kind, subject, customer, version }.write(out, self.tag, data);
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn currency(&self, person: u32) -> &'static str {
        COUNTRIES[usize::from(self.people[person as usize].is.country)].2
    }

    /// A wait around `mean_ms`: between nothing and twice as long.
    fn wait(&mut self, mean_ms: u64) -> u64 {
        1 + self.random.below(2 * mean_ms)
    }
}

/// How much goes on at an hour of a day, of 100: little at night, most in the evening, more at the weekend.
fn busy(now_ms: u64) -> u64 {
    const HOURS: [u64; 24] =
        [20, 12, 8, 6, 6, 10, 22, 40, 55, 60, 62, 65, 70, 66, 62, 62, 66, 74, 85, 95, 100, 90, 65, 38];
    let of_hour = HOURS[(now_ms / HOUR % 24) as usize];
    // The first of January 1970 was a Thursday.
    let is_weekend = matches!((now_ms / DAY + 3) % 7, 5 | 6);
    if is_weekend { of_hour } else { of_hour * 85 / 100 }
}
