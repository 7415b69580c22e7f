//! `Generator`: a seeded BSS workload, the same bytes for the same settings on every machine. It stands before the log.
//!
//! | file | what it is |
//! |---|---|
//! | `business.rs` | [`Business`]: the whole life of an operator at its own pace |
//! | `life.rs` | what happens next: customers sign up, order, are billed, pay, use and browse |
//! | `world.rs` | who and what there is: customers, order-to-cash flows, payments, subscriptions, sessions |
//! | `write.rs`, `json.rs` | an event as CloudEvents JSON, written by hand into a buffer |
//! | `damage.rs` | the ways in which an event is broken |
//! | `random.rs` | seeded draws |
//! | `pace.rs` | [`Pace`]: how many events are due |
mod business;
mod damage;
mod json;
mod life;
mod pace;
mod random;
mod world;
mod write;

pub use business::{Business, BusinessConfig};
pub use pace::Pace;

use crate::Payload;
use life::Life;
use random::Random;
use std::collections::BTreeMap;
use write::When;

/// How a workload is made.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorConfig {
    /// What all draws follow from.
    pub seed: u64,
    /// The event time of the first event, in milliseconds since 1970.
    pub start_ms: u64,
    /// Events per second of event time.
    pub rate: f64,
    /// How many customers sign up before sign-ups end. With fewer than about 15 for each event per second many of them pay
    /// five times within ten minutes, burst or not.
    pub customers: u32,
    /// How much of it is not plain.
    pub shares: Shares,
}

/// The shares of all events that are not plain, each between 0 and 1, together below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// Events whose `time` lies a minute to three days before their `recordedtime`; half of them also arrive up to two
    /// seconds after events that were written later, so an entity's versions may come out of order.
    pub late: f64,
    /// Events that come a second time, byte for byte, up to two seconds after the first.
    pub duplicate: f64,
    /// Events that state an entity again, with the next `entityversion` and other values.
    pub corrected: f64,
    /// Events that no table can take.
    pub malformed: f64,
}

impl Default for Shares {
    fn default() -> Shares {
        Shares { late: 0.02, duplicate: 0.01, corrected: 0.01, malformed: 0.001 }
    }
}

/// What is peculiar about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// It happened well before it was recorded.
    Late,
    /// The same bytes came before.
    Duplicate,
    /// It replaces an earlier statement about the same entity.
    Corrected,
    /// It is not a valid event, or a column of its table has the wrong type.
    Malformed,
}

/// A generated event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// The event in structured JSON.
    pub payload: Payload,
    /// What is peculiar about it.
    pub kind: Kind,
    /// Its `time` in milliseconds since 1970; for a malformed one the time it would have had.
    pub event_time_ms: u64,
}

/// An endless, deterministic stream of BSS events (`com.example.bss.*.v1`).
///
/// The first 32 events are sign-ups, then every other one until a tenth of the population is there, then 3 % until it is complete.
/// Of the rest, with default shares: 57 % `usage.received`, 34 % `pageView.recorded`, about 0.5 % `productOrder.created` with some
/// eleven events after each until its bill is settled (`productOrder`, `product`, `customerBill`, `payment`), changes of
/// customers and the kinds named in [`Shares`]. One order in 25 is cancelled, one bill in 33 voided, one payment in 10 declined
/// and tried again. One event in 10,000 starts a burst of 6 to 13 payment attempts by one customer with several cards within
/// seconds (the pattern of card testing). A tenth of the customers makes 55 % of the activity, a hundredth of them 14.5 %.
///
/// Life is compressed: from order to settled payment it takes 2 to 20 seconds of event time. All ids carry a tag made of seed
/// and start, so two runs into one log never speak of the same things.
///
/// ```
/// use sources::generate::{Generator, GeneratorConfig, Shares};
/// let config = GeneratorConfig {
///     seed: 1, start_ms: 1_767_225_600_000, rate: 1000.0, customers: 100, shares: Shares::default(),
/// };
/// let first: Vec<_> = Generator::new(config.clone()).take(500).collect();
/// let again: Vec<_> = Generator::new(config).take(500).collect();
/// assert_eq!(first, again);
/// ```
#[derive(Debug)]
pub struct Generator {
    config: GeneratorConfig,
    random: Random,
    life: Life,
    slot: u64,
    /// Events already written that go out later, by when they are due, and in the order written.
    queue: BTreeMap<(u64, u64), Queued>,
    queued: u64,
}

/// An event that was written and waits.
#[derive(Debug)]
struct Queued {
    bytes: Vec<u8>,
    kind: Kind,
    event_time_ms: u64,
}

impl Generator {
    /// At the beginning of the workload. Panics where the rate is not positive, or the shares are not as [`Shares`] says.
    pub fn new(config: GeneratorConfig) -> Generator {
        assert!(
            config.rate > 0.0 && config.rate.is_finite(),
            "the rate must be positive, not {}",
            config.rate
        );
        let Shares { late, duplicate, corrected, malformed } = config.shares;
        let shares = [late, duplicate, corrected, malformed];
        let fit = shares.iter().all(|share| (0.0..1.0).contains(share)) && shares.iter().sum::<f64>() < 1.0;
        assert!(fit, "shares must lie between 0 and 1 and add up to less than 1, not {:?}", config.shares);
        let random = Random::new(config.seed);
        let life = Life::new(config.customers.max(1), config.seed, config.start_ms);
        Generator { config, random, life, slot: 0, queue: BTreeMap::new(), queued: 0 }
    }

    /// Writes the next event into `out` in place of what was there; returns its kind and event time. Allocates nothing
    /// in the common case.
    pub fn next_into(&mut self, out: &mut Vec<u8>) -> (Kind, u64) {
        let now_ms = self.config.start_ms + (self.slot as f64 * 1000.0 / self.config.rate) as u64;
        self.slot += 1;
        if let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= now_ms
        {
            let mut queued = entry.remove();
            out.clear();
            out.append(&mut queued.bytes);
            self.repeat_some(now_ms, out, queued.kind, queued.event_time_ms);
            return (queued.kind, queued.event_time_ms);
        }
        loop {
            out.clear();
            let (kind, event_time_ms, hold_ms) = self.write(now_ms, out);
            if hold_ms > 0 {
                self.enqueue(now_ms + hold_ms, out.clone(), kind, event_time_ms);
                continue;
            }
            self.repeat_some(now_ms, out, kind, event_time_ms);
            return (kind, event_time_ms);
        }
    }

    /// Writes an event that was not there before: its kind, its event time, and for how long it is held back.
    fn write(&mut self, now_ms: u64, out: &mut Vec<u8>) -> (Kind, u64, u64) {
        let Shares { late, duplicate, corrected, malformed } = self.config.shares;
        // Duplicates take slots of their own: the other shares are of the slots that remain.
        let draw = self.random.share() * (1.0 - duplicate);
        let plain = When { time_ms: now_ms, recorded_ms: None };
        if draw < malformed {
            self.life.fact(&mut self.random, plain, out);
            damage::damage(&mut self.random, out);
            return (Kind::Malformed, now_ms, 0);
        }
        if draw < malformed + corrected && self.life.correct(&mut self.random, plain, out) {
            return (Kind::Corrected, now_ms, 0);
        }
        if draw >= 1.0 - duplicate - late {
            // From a minute to three days, each doubling as likely as the next.
            let delay_ms = (60_000 << self.random.below(12)) + self.random.below(60_000);
            let hold_ms = if self.random.below(2) == 0 { 0 } else { self.random.between(200, 2_000) };
            let time_ms = now_ms.saturating_sub(delay_ms);
            let when = When { time_ms, recorded_ms: Some(now_ms + hold_ms) };
            self.life.happen(&mut self.random, now_ms, when, out);
            return (Kind::Late, time_ms, hold_ms);
        }
        self.life.happen(&mut self.random, now_ms, plain, out);
        (Kind::Plain, now_ms, 0)
    }

    /// Lets the share of duplicates be sent again.
    fn repeat_some(&mut self, now_ms: u64, bytes: &[u8], kind: Kind, event_time_ms: u64) {
        if matches!(kind, Kind::Duplicate | Kind::Malformed) {
            return;
        }
        let Shares { duplicate, malformed, .. } = self.config.shares;
        if self.random.share() * (1.0 - duplicate - malformed) < duplicate {
            let due_ms = now_ms + self.random.between(1, 2_000);
            self.enqueue(due_ms, bytes.to_vec(), Kind::Duplicate, event_time_ms);
        }
    }

    fn enqueue(&mut self, due_ms: u64, bytes: Vec<u8>, kind: Kind, event_time_ms: u64) {
        self.queued += 1;
        self.queue.insert((due_ms, self.queued), Queued { bytes, kind, event_time_ms });
    }
}

impl Iterator for Generator {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        let mut bytes = Vec::with_capacity(1024);
        let (kind, event_time_ms) = self.next_into(&mut bytes);
        Some(Generated { payload: Payload::Structured(bytes.into()), kind, event_time_ms })
    }
}
