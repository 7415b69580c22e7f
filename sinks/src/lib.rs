//! Where changes go. A sink keeps rows and frontier in one atomic act; the same delivery again changes nothing.
//!
//! | file | noun | what it is |
//! |---|---|---|
//! | [`kafka`] | `Kafka` | each view a topic of its rows by key |
//! | [`memory`] | `Memory` | every view's current rows by key, at one time for all views: what the HTTP API reads |
//! | [`delivery`] | `Delivery` | what a store outside the process is to hold next |
//! | [`model`] | `Model` | a store outside, in memory: for tests and simulations |
//! | [`postgres`] | `Postgres` | tables of a PostgreSQL |
//! | [`redis`] | `Redis` | hashes and streams of a Redis |
//! | `reach` | `Reach` | whether another writer was there meanwhile |
//! | [`stored`] | `Stored` | a view as a store outside has it, read without an engine |
pub mod delivery;
pub mod kafka;
pub mod memory;
pub mod model;
pub mod postgres;
mod reach;
pub mod redis;
pub mod stored;

use dataflows::{Position, Time, View};
use delivery::Delivery;
use std::sync::Arc;

/// A store outside the process that keeps views. Production and simulation both implement it.
///
/// Calls block; one thread makes them. Rows and the time they are true for are kept in one atomic act, and every act is
/// guarded by the epoch and the time that the store holds, so that nothing is applied twice or by two writers.
pub trait Sink: Send {
    /// Takes the store over: who held it before is fenced from here on. Says what it holds.
    fn open(&mut self) -> Result<Held, SinkError>;
    /// Applies a delivery, or nothing of it. `delivery.from` is what the store holds; views it does not know are made.
    fn apply(&mut self, delivery: &Delivery) -> Result<(), SinkError>;
    /// What the store holds of a view, to be compared. It does not take the store over.
    fn read(&mut self, view: &Arc<View>) -> Result<Content, SinkError>;
    /// What the store could not take, though it goes on without it: names the rows.
    fn warning(&self) -> Option<String> {
        None
    }
}

/// What a store is opened with, whatever its kind.
#[derive(Clone, Default)]
pub struct Setting {
    /// The pipeline's identity: a store that was kept by another one holds nothing of this one's.
    pub pipeline: String,
    /// The sink's name.
    pub sink: String,
    /// What was declared beside the kind and the views, with secrets filled in.
    pub options: std::collections::BTreeMap<String, String>,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        write!(f, "sink {:?} with {:?}", self.sink, self.options.keys())
    }
}

/// What a store holds when it is taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The time its rows are true for; none: it holds nothing.
    pub time: Option<Time>,
    /// What was read of the log up to then.
    pub positions: Vec<Position>,
    /// Up to which time some of its rows are true already, because a delivery was broken off; none: all are those of its time.
    pub begun: Option<Time>,
    /// Its views, each with the [`definition`](delivery::definition) they were kept by.
    pub views: Vec<(Arc<str>, u64)>,
}

/// The rows of a view as a store holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The time they are true for; none: the store does not know the view.
    pub time: Option<Time>,
    /// Each row as the JSON object that [`Shape::write_json`](memory::shape::Shape::write_json) writes, and how often it is there; ascending.
    pub rows: Vec<(String, i64)>,
}

/// Why a sink kept nothing, by what the caller can do.
#[derive(Debug)]
pub enum SinkError {
    /// Try again later: [`Sink::open`] first, which says whether the last act landed.
    Retry(String),
    /// The store is not where the delivery begins (it was restored, emptied, or failed over): open it again and go on from there.
    Moved(String),
    /// Another writer has taken the store over: stop this one.
    Fenced(String),
    /// Stop this sink.
    Fatal(String),
}

impl std::fmt::Display for SinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SinkError::Retry(text)
            | SinkError::Moved(text)
            | SinkError::Fenced(text)
            | SinkError::Fatal(text) => f.write_str(text),
        }
    }
}
impl std::error::Error for SinkError {}

/// A place at which tests make something go wrong.
fn fault(place: &str) -> Result<(), SinkError> {
    fail::fail_point!(place, |_| Err(SinkError::Retry(format!("fault at {place}"))));
    Ok(())
}
