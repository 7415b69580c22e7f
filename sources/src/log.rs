//! `Log`: the embedded log, partitioned and append-only. HTTP ingestion appends to it, the engine reads it.
//!
//! ```text
//! DIR/log.json                          {"version":1,"partitions":4}, decided when the log is created
//! DIR/lock                              locked by the one process that writes
//! DIR/p0003/00000000000000001200.seg    a segment of partition 3, named by the offset of its first record
//!
//! segment   magic "TALLYLOG" | version u32 | partition u32 | first offset u64 | crc u32 | record ..
//! record    crc u32 | length u32 | offset u64 | append time, ms u64 | kind u8 | payload
//!   kind 1  a structured event: its bytes
//!   kind 2  a binary event: count u32, then for each attribute (length u32, name, length u32, value); then the body
//! ```
//! Numbers are little-endian. A crc (CRC-32, as in zip) covers all that follows it: the rest of the header's fields are
//! before it, the record's are after it, its length too. `length` counts the bytes after itself. Offsets rise by one.
//!
//! The path of an append: `key` (which partition), `queue` (producers wait here), `write` (one thread: written together,
//! one fdatasync a file, then acknowledged), `record` (bytes). The path of a read: `read`, `cursor`, `record`. `open` cuts
//! off what an interrupted write left at the end of a partition; damage anywhere else is an error that names file and byte.
mod cursor;
mod key;
mod open;
mod partition;
mod queue;
mod read;
mod record;
mod segment;
mod write;

pub use key::partition_key;
pub use read::LogReader;

use crate::{Payload, Record, SourceError};
use crossbeam_channel::Receiver;
use dataflows::Position;
use partition::Partition;
use queue::{Append, Queue};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::SystemTime;
use write::{Subscribers, Tail, Writer};

/// How a log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// How many partitions a new log gets; one that is there keeps what it has.
    pub partitions: u32,
    /// A commit that would make a file longer than this goes to a new file.
    pub segment_bytes: u64,
    /// The longest payload that is taken.
    pub record_bytes_max: usize,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig { partitions: 4, segment_bytes: 128 << 20, record_bytes_max: 16 << 20 }
    }
}

/// What opening cut off the end of a partition: an append that was interrupted, and so never acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The partition.
    pub partition: u32,
    /// The offset that the first record cut would have had; it is given again.
    pub offset: u64,
    /// How much was cut.
    pub bytes_cut: u64,
    /// File, byte, and what was wrong there.
    pub reason: String,
}

impl std::fmt::Display for Repair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Repair { partition, offset, bytes_cut, reason } = self;
        write!(
            f,
            "cut {bytes_cut} bytes of an unfinished write off partition {partition} at offset {offset}: {reason}"
        )
    }
}

/// Why a log cannot be opened, by what the caller can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogError {
    /// It may work later: the disk, the rights, another process that has it.
    Unavailable(String),
    /// The files are not what was written: names the file and the byte.
    Corrupt(String),
}

impl std::fmt::Display for LogError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LogError::Unavailable(text) => f.write_str(text),
            LogError::Corrupt(text) => write!(f, "the log is damaged: {text}"),
        }
    }
}
impl std::error::Error for LogError {}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The log cannot take events now: what was tried, on what file, why it failed.
    Unavailable(String),
    /// An event is longer than `record_bytes_max`.
    TooLarge(String),
}

impl std::fmt::Display for AppendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AppendError::Unavailable(text) | AppendError::TooLarge(text) => f.write_str(text),
        }
    }
}
impl std::error::Error for AppendError {}

/// The embedded log, open for writing. Dropping it writes what still waits and frees it for others.
pub struct Log {
    partitions: Vec<Arc<Partition>>,
    record_bytes_max: usize,
    queue: Arc<Queue>,
    subscribers: Subscribers,
    writer: Option<JoinHandle<()>>,
    /// The time as of which the log was last read from its beginning.
    read_whole: Mutex<u64>,
    _lock: fs::File,
}

impl Log {
    /// Opens a log, or creates it where there is none. Tells what had to be cut off the ends of its partitions.
    pub fn open(dir: &Path, config: LogConfig) -> Result<(Arc<Log>, Vec<Repair>), LogError> {
        let (partitions, repairs, lock) = open::open(dir, &config)?;
        let unwritable =
            |error| LogError::Unavailable(format!("cannot write to the log in {dir:?}: {error}"));
        let tails =
            partitions.iter().cloned().map(Tail::open).collect::<Result<_, _>>().map_err(unwritable)?;
        let (queue, subscribers) = (Arc::<Queue>::default(), Subscribers::default());
        let writer = Writer {
            tails,
            segment_bytes: config.segment_bytes,
            subscribers: subscribers.clone(),
            refused: None,
        };
        let thread = std::thread::Builder::new().name("log".to_string());
        let writer = thread.spawn({
            let queue = queue.clone();
            move || writer.run(&queue)
        });
        let log = Log {
            partitions,
            // A record's length is a u32.
            record_bytes_max: config.record_bytes_max.min(1 << 30),
            queue,
            subscribers,
            writer: Some(writer.map_err(unwritable)?),
            read_whole: Mutex::default(),
            _lock: lock,
        };
        Ok((Arc::new(log), repairs))
    }

    /// Appends events; those of one key stay in the order of the calls. `done` is called once they are durable, with the
    /// position after each event, in order; or with the reason why none of them was appended. It is called by the log's
    /// writer, which must not wait for anything, not even for another append. The call itself waits while 64 MiB are in
    /// flight.
    pub fn append(
        &self,
        events: Vec<Payload>,
        done: Box<dyn FnOnce(Result<Vec<Position>, AppendError>) + Send>,
    ) {
        let mut bytes = 0;
        let (count, max) = (events.len(), self.record_bytes_max);
        for (i, event) in events.iter().enumerate() {
            let event_bytes = record::payload_bytes(event);
            if event_bytes > max {
                let number = i + 1;
                return done(Err(AppendError::TooLarge(format!(
                    "cannot append event {number} of {count}: it has {event_bytes} bytes, the log takes {max}"
                ))));
            }
            bytes += event_bytes + record::FRAME_BYTES;
        }
        let partitions = self.partitions.len() as u32;
        let events = events.into_iter().map(|event| (key::partition(&event, partitions), event)).collect();
        if let Err((append, reason)) = self.queue.push(Append { events, bytes, done }) {
            (append.done)(Err(AppendError::Unavailable(reason)));
        }
    }

    /// Appends events and waits until they are durable; gives the position after each event, in order.
    pub fn append_wait(&self, events: Vec<Payload>) -> Result<Vec<Position>, AppendError> {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        // The receiver waits below, so there is always one to send to.
        self.append(events, Box::new(move |outcome| drop(sender.send(outcome))));
        receiver.recv().expect("append calls done, whatever happens")
    }

    /// A reader at the beginning of the log. It sees what is durable.
    pub fn reader(&self) -> LogReader {
        LogReader::new(&self.partitions)
    }

    /// The durable end of each partition, ascending.
    pub fn ends(&self) -> Vec<Position> {
        let end = |p: &Arc<Partition>| Position { partition: p.number, offset: p.end() };
        self.partitions.iter().map(end).collect()
    }

    /// The first record there is of each partition, ascending.
    pub fn begins(&self) -> Vec<Position> {
        let begin = |p: &Arc<Partition>| Position { partition: p.number, offset: p.first() };
        self.partitions.iter().map(begin).collect()
    }

    /// What is made of the log from its beginning, as of a time, is made: nothing is removed while the guard is held, and afterwards
    /// only by who knows what stood at a later time, so that the same is made of it again.
    pub fn reading_whole(&self, time: u64) -> MutexGuard<'_, u64> {
        let mut read_whole = self.read_whole.lock().expect("nobody panics with the time");
        *read_whole = time.max(*read_whole);
        read_whole
    }

    /// Removes the files that hold nothing but records below `floor` and were last written before a time, all of which were known at
    /// `time`. The last file of a partition stays. Gives the beginnings of the partitions that lost something.
    pub fn trim(&self, time: u64, floor: &[Position], before: SystemTime) -> std::io::Result<Vec<Position>> {
        let read_whole = self.read_whole.lock().expect("nobody panics with the time");
        let mut begins = vec![];
        if *read_whole >= time {
            return Ok(begins);
        }
        for Position { partition, offset } in floor {
            let Some(of) = self.partitions.get(*partition as usize) else { continue };
            if of.trim(*offset, before)? > 0 {
                begins.push(Position { partition: *partition, offset: of.first() });
            }
        }
        Ok(begins)
    }

    /// One record; `Retry` if it is not there yet.
    pub fn read(&self, partition: u32, offset: u64) -> Result<Record, SourceError> {
        let Some(of) = self.partitions.get(partition as usize) else {
            let count = self.partitions.len();
            return Err(SourceError::Fatal(format!(
                "cannot read from partition {partition}: the log has {count} partitions"
            )));
        };
        let end = of.end();
        if offset >= end {
            return Err(SourceError::Retry(format!(
                "cannot read offset {offset} of partition {partition}: the log ends at {end}"
            )));
        }
        let failed =
            |why| SourceError::Fatal(format!("cannot read offset {offset} of partition {partition}: {why}"));
        let mut cursor = read::cursor_at(of, offset)?;
        let record = cursor.next()?.filter(|_| cursor.offset == offset + 1);
        let record = record.ok_or_else(|| failed("its file ends before it".to_string()))?;
        Ok(Record { partition, offset, payload: record::payload(record).map_err(failed)? })
    }

    /// Is sent something after commits: at least once after the last.
    pub fn subscribe(&self) -> Receiver<()> {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        self.subscribers.lock().expect("nobody panics with the subscribers").push(sender);
        receiver
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.queue.close("the log is closed");
        let writer = self.writer.take().expect("taken here only");
        // The last owner may be a `done` that the writer calls: it cannot wait for itself, and ends after this.
        if writer.thread().id() != std::thread::current().id() {
            // A writer that panicked has said so, and has failed what waited.
            let _ = writer.join();
        }
    }
}
