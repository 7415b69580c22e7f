//! `Ledger`: the records that do not count, and what was decided about each; and the events that came late.
//!
//! It is kept by the intake, tick by tick, so that a replay of the log makes it again. What changes in it is fed to the tables
//! `quarantine` and `late_events` with the tick that changed it.
mod rows;

pub use rows::{late_change_rows, late_rows, quarantine_rows};

use arrow::array::RecordBatch;
use dataflows::{Position, Time};
use hashbrown::HashMap;
use queries::catalogue::system::{LATE_EVENTS, QUARANTINE};
use serde::{Deserialize, Serialize};
use sources::decode::{Mapping, verdict};
use sources::event::parse;
use sources::{Payload, Record};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Events whose time lies so far before their tick are late.
pub const LATE_MS: u64 = 600_000;
/// How much of a record the table shows.
pub const PAYLOAD_BYTES_SHOWN: usize = 4_096;

/// A record in quarantine. Its bytes stay in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The tick that met it.
    pub time: Time,
    /// The record's own position.
    pub position: Position,
    /// The rule it breaks.
    pub rule: Arc<str>,
    /// What is wrong.
    pub reason: String,
    /// The event's id, where it could be read.
    pub event_id: Option<String>,
    /// The event's source, where it could be read.
    pub event_source: Option<String>,
    /// The event's type, where it could be read.
    pub event_type: Option<String>,
    /// The first bytes of the record, as text.
    pub payload: Box<str>,
    /// How long it is.
    pub size: u64,
    /// Whether the record counts all the same: only a table that was declared later cannot take it.
    pub counts: bool,
    /// What was decided about it.
    pub standing: Standing,
}

/// What was decided about a record in quarantine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// In a word.
    pub state: State,
    /// Why it failed again.
    pub outcome: Option<Arc<str>>,
    /// The tick that decided it.
    pub settled: Option<Time>,
}

/// What became of a record in quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing was decided.
    #[default]
    Pending,
    /// It was taken in, as it was or repaired.
    Replayed,
    /// It was sent again, and still cannot be taken.
    FailedAgain,
    /// It was sent again, and the same event counts already.
    Superseded,
    /// It is to be forgotten.
    Discarded,
}

impl State {
    /// As the table has it.
    pub fn word(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Replayed => "replayed",
            State::FailedAgain => "failed_again",
            State::Superseded => "superseded",
            State::Discarded => "discarded",
        }
    }

    /// Whether something can still be decided.
    pub fn is_open(self) -> bool {
        match self {
            State::Pending | State::FailedAgain => true,
            State::Replayed | State::Superseded | State::Discarded => false,
        }
    }
}

/// An event that counts and came late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Late {
    /// The tick that took it in.
    pub time: Time,
    /// Where it stands.
    pub position: Position,
    /// Its own time.
    pub event_time: Time,
    /// Its type.
    pub event_type: Arc<str>,
    /// Its source.
    pub event_source: String,
    /// Its id.
    pub event_id: String,
}

/// A row of the table `quarantine` that came or went.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) index: usize,
    pub(crate) standing: Standing,
    pub(crate) diff: i64,
}

/// All that is in quarantine, and what of it the tables were not told of yet.
#[derive(Default)]
pub struct Ledger {
    entries: Vec<Quarantined>,
    /// The entry of each record that does not count.
    places: HashMap<(u32, u64), usize>,
    changes: Vec<Change>,
    late: Vec<Late>,
    /// Entries that came or were decided about since they were last asked for; none: nobody asks.
    touched: Option<BTreeSet<usize>>,
}

impl From<Vec<Quarantined>> for Ledger {
    fn from(entries: Vec<Quarantined>) -> Ledger {
        let places = entries.iter().enumerate().filter(|(_, entry)| !entry.counts);
        let places = places.map(|(index, entry)| (place(&entry.position), index)).collect();
        Ledger { entries, places, changes: vec![], late: vec![], touched: None }
    }
}

impl Ledger {
    /// Puts a record in.
    pub fn add(&mut self, entry: Quarantined) {
        let index = self.entries.len();
        if !entry.counts {
            self.places.insert(place(&entry.position), index);
        }
        self.changes.push(Change { index, standing: entry.standing.clone(), diff: 1 });
        self.entries.push(entry);
        self.touch(index);
    }

    /// Notes an event that came late.
    pub fn add_late(&mut self, late: Late) {
        self.late.push(late);
    }

    /// How many of the events that the tables were not told of yet came late to a tick, and by how much the latest.
    pub fn late_at(&self, time: Time) -> (u64, u64) {
        let late = self.late.iter().filter(|late| late.time == time);
        late.fold((0, 0), |(count, most), late| (count + 1, most.max(late.time - late.event_time)))
    }

    /// The record that stands at a position, if it is in quarantine and does not count.
    pub fn find(&self, position: &Position) -> Option<&Quarantined> {
        self.places.get(&place(position)).map(|index| &self.entries[*index])
    }

    /// Whether something can be decided about the record at a position.
    pub fn is_open(&self, position: &Position) -> bool {
        self.find(position).is_some_and(|entry| entry.standing.state.is_open())
    }

    /// Decides about the record at a position, about which something can be decided.
    pub fn settle(&mut self, position: &Position, standing: Standing) {
        let Some(index) = self.places.get(&place(position)).copied() else { return };
        let before = std::mem::replace(&mut self.entries[index].standing, standing.clone());
        self.changes.push(Change { index, standing: before, diff: -1 });
        self.changes.push(Change { index, standing, diff: 1 });
        self.touch(index);
    }

    /// From here on it is noted which entries change, for snapshots.
    pub fn note_touched(&mut self) {
        self.touched.get_or_insert_default();
    }

    /// The entries that changed since, as they are now, with their ids.
    pub fn take_touched(&mut self) -> Vec<(u64, Quarantined)> {
        let touched = self.touched.as_mut().map(std::mem::take).unwrap_or_default();
        touched.into_iter().map(|index| (index as u64 + 1, self.entries[index].clone())).collect()
    }

    fn touch(&mut self, index: usize) {
        if let Some(touched) = &mut self.touched {
            touched.insert(index);
        }
    }

    /// The entry of an id.
    pub fn get(&self, id: u64) -> Option<&Quarantined> {
        self.entries.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    /// Entries after the first `after` ones, with their ids, oldest first.
    pub fn after(&self, after: u64, limit: usize) -> impl Iterator<Item = (u64, &Quarantined)> {
        let skipped = usize::try_from(after).unwrap_or(usize::MAX).min(self.entries.len());
        let entries = self.entries[skipped..].iter().enumerate();
        entries.map(move |(i, entry)| ((skipped + i + 1) as u64, entry)).take(limit)
    }

    /// The rows that the tables were not told of yet: those of `quarantine`, then those of `late_events`. Rows that came and went
    /// since are left in: they add up.
    pub fn take_rows(&mut self, tables: &[Arc<Mapping>]) -> Vec<(Arc<str>, RecordBatch)> {
        let find = |name: &str| tables.iter().find(|mapping| &*mapping.table.name == name);
        let (quarantine, late) = (find(QUARANTINE), find(LATE_EVENTS));
        let (changes, lates) = (std::mem::take(&mut self.changes), std::mem::take(&mut self.late));
        let mut rows = vec![];
        if let Some(mapping) = quarantine.filter(|_| !changes.is_empty()) {
            let changes = changes.iter().map(|change| {
                let id = change.index as u64 + 1;
                (id, &self.entries[change.index], &change.standing, change.diff)
            });
            let batch = quarantine_rows(&mapping.table, changes.collect());
            rows.push((mapping.table.name.clone(), batch));
        }
        if let Some(mapping) = late.filter(|_| !lates.is_empty()) {
            rows.push((mapping.table.name.clone(), late_rows(&mapping.table, &lates)));
        }
        rows
    }
}

impl Quarantined {
    /// Of a record that a tick met.
    pub fn of(time: Time, record: &Record, rule: Arc<str>, reason: String) -> Quarantined {
        let (event_id, event_source, event_type) = named(&record.payload);
        let bytes = body(&record.payload);
        let shown = &bytes[..bytes.len().min(PAYLOAD_BYTES_SHOWN)];
        // PostgreSQL's text has no zero byte.
        let payload = String::from_utf8_lossy(shown).replace('\0', "\u{fffd}").into();
        let (position, size) =
            (Position { partition: record.partition, offset: record.offset }, bytes.len() as u64);
        Quarantined {
            time,
            position,
            rule,
            reason,
            event_id,
            event_source,
            event_type,
            payload,
            size,
            counts: false,
            standing: Standing::default(),
        }
    }
}

/// The bytes of a record: in binary mode its body.
pub fn body(payload: &Payload) -> &bytes::Bytes {
    match payload {
        Payload::Structured(bytes) => bytes,
        Payload::Binary { body, .. } => body,
    }
}

/// Id, source and type of an event, as far as they can be read.
fn named(payload: &Payload) -> (Option<String>, Option<String>, Option<String>) {
    if let Ok(event) = parse(payload) {
        return (Some(event.id.into()), Some(event.source.into()), Some(event.event_type.into()));
    }
    let members: serde_json::Value = match payload {
        Payload::Structured(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
        Payload::Binary { .. } => serde_json::Value::Null,
    };
    let find = |wanted: &str| {
        let text = match payload {
            Payload::Binary { attributes, .. } => &attributes.iter().find(|(name, _)| name == wanted)?.1,
            Payload::Structured(_) => members.get(wanted)?.as_str()?,
        };
        Some(text.replace('\0', "\u{fffd}"))
    };
    (find("id"), find("source"), find("type"))
}

/// Whether nobody but the process may send an event.
pub fn reserved(payload: &Payload) -> bool {
    let (_, _, event_type) = named(payload);
    event_type.is_some_and(|event_type| event_type.starts_with(verdict::RESERVED_PREFIX))
}

fn place(position: &Position) -> (u32, u64) {
    (position.partition, position.offset)
}
