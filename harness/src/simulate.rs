//! Simulation: one seed decides everything, and one thread does everything: the log, the stores, the files, the clock, the crashes. The
//! real binder, intake, engine, snapshots and outlets are driven step by step, and after each step the promises are checked.
//!
//! | file | noun | what it is |
//! |---|---|---|
//! | [`world`] | [`world::World`] | what outlives a life, and what happens next |
//! | `checks` | | what must be true after each step |
//! | `life` | `Life` | the parts of a process between a start and a crash |
//! | [`log`] | [`log::SimLog`] | a log with gaps, new partitions, lost leaders, retention |
//! | `disk` | | what a crash and time do to files |
//! | [`events`] | [`events::Events`] | the events: duplicates, conflicts, garbage, late and future ones |
//! | [`truth`] | [`truth::Truth`] | the views computed anew, naively, from the bindings and the log |
//! | [`plant`] | [`plant::Bug`] | bugs that are planted to see that they are found |
//! | [`random`] | [`random::Random`] | numbers from a seed |
//!
//! Checked: rows of readers and stores at their time are those of the truth (I1); a store's time decreases only where it was put back (I2);
//! bindings are never rewritten (I3); a change is delivered once (I4, I5); a writer that was replaced writes no more (I6); every record
//! is accounted for once (I7); when faults stop, everything comes to rest at the end of the log.
mod checks;
mod disk;
pub mod events;
mod life;
pub mod log;
pub mod plant;
pub mod random;
pub mod truth;
pub mod world;

use plant::Bug;
use std::collections::BTreeMap;

/// How often things happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    /// One more.
    pub fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// So many more.
    pub fn add(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    /// All of another's.
    pub fn merge(&mut self, other: &Counters) {
        other.0.iter().for_each(|(what, count)| self.add(what, *count));
    }

    /// How often it happened.
    pub fn get(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

impl std::fmt::Display for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(what, count)| writeln!(f, "{count:>10} {what}"))
    }
}

/// What must happen at least once in a run of many seeds; else the run says nothing.
pub const MUST_HAPPEN: [&str; 25] = [
    "ticks",
    "duplicates",
    "conflicts",
    "future events",
    "garbage",
    "offset gaps",
    "new partitions",
    "leaders lost",
    "retention",
    "kills",
    "power failures",
    "bindings torn",
    "bindings lost",
    "disk full",
    "snapshots written",
    "snapshots not written",
    "snapshots damaged",
    "snapshots rejected",
    "starts from a snapshot",
    "stores put back",
    "deliveries landed, answer lost",
    "deliveries lost",
    "deliveries broken off",
    "zombies fenced",
    "views sent whole",
];

/// Does one simulation. An error says which promise was broken, and when.
pub fn run(seed: u64, bug: Option<Bug>) -> Result<Counters, String> {
    let _planted = plant::Planted::new(bug);
    world::World::new(seed)?.run().map_err(|why| format!("seed {seed}: {why}"))
}
