//! Snapshots: what was taken in up to a time, consolidated, so that a restart reads the log from there on and not from its start.
//!
//! ```text
//! DATA/snapshots/part-<epoch>-<number>          rows of one table, or of the intake's memory; written once, shared by manifests
//! DATA/snapshots/manifest-<time>.json           a snapshot: its time, positions, tables and parts; written last
//! DATA/snapshots/manifest-<time>.json.rejected  one that could not be used at a start
//! ```
//!
//! | file | noun | what it is |
//! |---|---|---|
//! | [`part`] | [`part::Part`] | a file of rows: blocks with checksums |
//! | [`manifest`] | [`manifest::Manifest`] | what belongs to a snapshot |
//! | [`recorder`] | [`recorder::Recorder`] | the ticker's side: what is new since the last snapshot |
//! | [`keeper`] | [`keeper::Keeper`] | the thread that writes parts and manifests, merges parts and removes old ones |
//! | [`compact`] | | what may be left out of parts that are merged |
//! | [`load`] | [`load::Loaded`] | the newest snapshot whose parts all verify |
//! | [`retention`] | [`retention::Retention`] | what of the log may go once snapshots stand for it |
//! | [`start`] | [`start::Start`] | where a pipeline begins: at a snapshot or at the start of the log |
//!
//! A snapshot holds inputs, not results: views are built from it, so what is declared may change in any way between two starts as
//! long as tables stay what they are. A snapshot of other tables is rejected.
pub mod compact;
pub mod keeper;
pub mod load;
pub mod manifest;
pub mod part;
pub mod recorder;
pub mod retention;
pub mod start;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When snapshots are written, and how many are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// How far they are apart; none: none are written, and one that is there is used all the same.
    pub every: Option<Duration>,
    /// How many are kept.
    pub kept: usize,
    /// What must stay free on the disk: the log needs it more.
    pub free_bytes_min: u64,
    /// The latest time a start may begin at: stores outside that are behind it would have to be written whole.
    pub not_after: Option<dataflows::Time>,
}

impl Setting {
    /// Every five minutes and at a clean end; three are kept.
    pub fn usual() -> Setting {
        Setting { every: Some(Duration::from_secs(300)), ..Setting::off() }
    }

    /// None are written.
    pub fn off() -> Setting {
        Setting { every: None, kept: 3, free_bytes_min: 256 << 20, not_after: None }
    }
}

/// Figures of the snapshots, for metrics and for who starts the process.
#[derive(Default)]
pub struct Status(Mutex<Figures>);

/// Figures of the snapshots.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// How many were written.
    pub written: u64,
    /// How many could not be written.
    pub failed: u64,
    /// Why the last of them could not.
    pub failure: Option<String>,
    /// Why no more are written.
    pub off: Option<String>,
    /// How many could not be used at the start, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// The time of the newest one.
    pub time: u64,
    /// Rows, bytes and files of the newest one.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Its parts.
    pub parts: u64,
    /// How long the last one took to write.
    pub wrote_ms: u64,
    /// How often parts were merged.
    pub merged: u64,
    /// The phases of the start so far, in milliseconds.
    pub phases: Vec<(&'static str, u64)>,
}

impl Status {
    /// The figures now.
    pub fn now(&self) -> Figures {
        self.lock().clone()
    }

    /// A phase of the start has ended.
    pub fn phase(&self, name: &'static str, took: Duration) {
        self.lock().phases.push((name, took.as_millis() as u64));
    }

    /// Whether no more are written.
    pub fn is_off(&self) -> bool {
        self.lock().off.is_some()
    }

    fn change(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place where tests and the crash matrix stop, fail or delay the process: it acts only where `TALLYFLOW_FAIL` is set.
fn point(name: &str) -> Result<(), String> {
    fail::fail_point!(name, |_| Err(format!("fail point {name}")));
    Ok(())
}
