//! `Recorder`: the ticker's side of snapshots. It gathers what is new and hands it to the [`Keeper`](super::keeper::Keeper).
use super::keeper::Note;
use super::manifest::{Point, Stream};
use super::{Setting, Status};
use crate::Error;
use crate::intake::{Added, Intake};
use crate::quarantine::Quarantined;
use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array};
use crossbeam_channel::Sender;
use sources::decode::Mapping;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// So much waits here before it is written, though no snapshot is due.
const BYTES_MAX: usize = 32 << 20;
/// Entries of the intake's memory that wait before they are packed.
const ADDED_MAX: usize = 65_536;

/// What is new since the last snapshot.
#[derive(Default)]
pub struct Recorder {
    /// None: no snapshots are written.
    on: Option<On>,
}

struct On {
    notes: Sender<Note>,
    thread: JoinHandle<()>,
    every: Duration,
    last: Instant,
    status: Arc<Status>,
    rows: BTreeMap<Stream, Vec<RecordBatch>>,
    bytes: usize,
}

impl Recorder {
    /// One that records nothing.
    pub fn off() -> Recorder {
        Recorder::default()
    }

    /// For a keeper that runs.
    pub(super) fn on(
        notes: Sender<Note>,
        thread: JoinHandle<()>,
        setting: &Setting,
        status: Arc<Status>,
    ) -> Recorder {
        let every = setting.every.unwrap_or(Duration::MAX);
        let (last, rows) = (Instant::now(), BTreeMap::new());
        Recorder { on: Some(On { notes, thread, every, last, status, rows, bytes: 0 }) }
    }

    /// Whether snapshots are written, so that the intake has to say what it adds.
    pub fn is_on(&self) -> bool {
        self.on.as_ref().is_some_and(|on| !on.status.is_off())
    }

    /// A table has come, or is there from the start.
    pub fn table(&mut self, mapping: &Arc<Mapping>) {
        self.note(Note::Table(mapping.clone()));
    }

    /// A table has gone.
    pub fn gone(&mut self, name: &str) {
        if let Some(on) = &mut self.on {
            on.rows.remove(&Stream::Table(name.into()));
        }
        self.note(Note::Gone(name.into()));
    }

    /// Rows that a table is fed with.
    pub fn rows(&mut self, table: &Arc<str>, rows: &RecordBatch) {
        self.push(Stream::Table(table.clone()), rows.clone());
    }

    /// What the intake has added, once it is much.
    pub fn added(&mut self, intake: &mut Intake) {
        if intake.added() >= ADDED_MAX {
            self.pack(intake.take_added());
        }
    }

    /// Whether a snapshot is due.
    pub fn is_due(&self) -> bool {
        self.is_on() && self.on.as_ref().is_some_and(|on| on.last.elapsed() >= on.every)
    }

    /// A snapshot of what was recorded so far.
    pub fn cut(&mut self, mut point: Point, intake: &mut Intake) {
        if !self.is_on() {
            return;
        }
        self.pack(intake.take_added());
        let Some(on) = &mut self.on else { return };
        on.last = Instant::now();
        let entries = intake.ledger_mut().take_touched();
        point.counts = intake.counts().clone();
        if !entries.is_empty() {
            self.push(Stream::Quarantine, quarantine_rows(&entries));
        }
        self.flush();
        self.note(Note::Cut(Box::new(point)));
    }

    /// Waits until all that was cut is written.
    pub fn finish(self) {
        drop(self);
    }

    fn pack(&mut self, added: Added) {
        if !added.seen.is_empty() {
            self.push(Stream::Seen, seen_rows(&added.seen));
        }
        if !added.dropped.is_empty() {
            self.push(Stream::Dropped, dropped_rows(&added.dropped));
        }
    }

    fn push(&mut self, stream: Stream, rows: RecordBatch) {
        let Some(on) = self.on.as_mut().filter(|on| !on.status.is_off()) else { return };
        on.bytes += rows.get_array_memory_size();
        on.rows.entry(stream).or_default().push(rows);
        if on.bytes >= BYTES_MAX {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let Some(on) = &mut self.on else { return };
        on.bytes = 0;
        for (stream, rows) in std::mem::take(&mut on.rows) {
            self.note(Note::Rows(stream, rows));
        }
    }

    /// Waits where the keeper is behind.
    fn note(&mut self, note: Note) {
        if let Some(on) = &self.on {
            // A keeper that is gone has panicked: snapshots end there, the process goes on.
            if on.notes.send(note).is_err() {
                on.status.change(|figures| figures.off = Some("the thread of the snapshots ended".into()));
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(On { notes, thread, .. }) = self.on.take() {
            drop(notes);
            // The directory is let go after this: nothing may write to it then.
            _ = thread.join();
        }
    }
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

fn seen_rows(seen: &[(u128, u64)]) -> RecordBatch {
    let column = |value: fn(&(u128, u64)) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(seen.iter().map(value)))
    };
    batch(vec![
        ("key_high", column(|(key, _)| (key >> 64) as u64)),
        ("key_low", column(|(key, _)| *key as u64)),
        ("content", column(|(_, content)| *content)),
    ])
}

fn dropped_rows(dropped: &[(u32, u64)]) -> RecordBatch {
    let partitions = UInt32Array::from_iter_values(dropped.iter().map(|(partition, _)| *partition));
    let offsets = UInt64Array::from_iter_values(dropped.iter().map(|(_, offset)| *offset));
    batch(vec![("partition", Arc::new(partitions)), ("offset", Arc::new(offsets))])
}

/// Entries of the quarantine, each with its id and all of it as JSON: of several with one id the last stands.
fn quarantine_rows(entries: &[(u64, Quarantined)]) -> RecordBatch {
    let ids = UInt64Array::from_iter_values(entries.iter().map(|(id, _)| *id));
    let json = |(_, entry): &(u64, Quarantined)| serde_json::to_string(entry).expect("an entry is JSON");
    let texts = StringArray::from_iter_values(entries.iter().map(json));
    batch(vec![("id", Arc::new(ids)), ("entry", Arc::new(texts))])
}

/// What the intake remembers, as it was recorded.
pub fn memory_of(
    seen: &[RecordBatch],
    dropped: &[RecordBatch],
    quarantine: &[RecordBatch],
) -> Result<(Added, Vec<Quarantined>), Error> {
    use arrow::array::AsArray;
    use arrow::datatypes::{UInt32Type, UInt64Type};
    let numbers = |batch: &RecordBatch, column: usize| {
        batch.column(column).as_primitive::<UInt64Type>().values().clone()
    };
    let seen = seen.iter().flat_map(|batch| {
        let (high, low, content) = (numbers(batch, 0), numbers(batch, 1), numbers(batch, 2));
        (0..batch.num_rows()).map(move |i| ((u128::from(high[i]) << 64) | u128::from(low[i]), content[i]))
    });
    let dropped = dropped.iter().flat_map(|batch| {
        let (partitions, offsets) =
            (batch.column(0).as_primitive::<UInt32Type>().values().clone(), numbers(batch, 1));
        (0..batch.num_rows()).map(move |i| (partitions[i], offsets[i]))
    });
    let mut entries = BTreeMap::new();
    for batch in quarantine {
        let texts = batch.column(1).as_string::<i32>();
        for (id, text) in numbers(batch, 0).iter().zip(texts.iter().flatten()) {
            let entry: Quarantined = serde_json::from_str(text).map_err(|why| {
                Error::failed(format!("read entry {id} of the quarantine in a snapshot"), why)
            })?;
            entries.insert(*id, entry);
        }
    }
    Ok((Added { seen: seen.collect(), dropped: dropped.collect() }, entries.into_values().collect()))
}
