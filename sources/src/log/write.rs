//! `Writer`: the one thread that appends. What waits is written together, made durable together, then acknowledged.
use super::AppendError;
use super::partition::Partition;
use super::queue::{Append, Queue};
use super::record;
use super::segment::{HEADER_BYTES, INDEX_BYTES, Mark, Segment};
use crate::Payload;
use crossbeam_channel::{Sender, TrySendError};
use dataflows::Position;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// A buffer that grew beyond this is given back after the commit.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// Those who want to know of commits.
pub(super) type Subscribers = Arc<Mutex<Vec<Sender<()>>>>;

/// The end of a partition, where records are added.
pub(super) struct Tail {
    partition: Arc<Partition>,
    segment: Arc<Segment>,
    file: fs::File,
    /// Records that are not yet written.
    buffer: Vec<u8>,
    /// How many they are.
    count: u64,
    /// Offsets of some of them, and where in the buffer each begins: the index keeps one in 64 KiB.
    marks: Vec<(u64, usize)>,
}

impl Tail {
    /// Opens the last segment of a partition for appending.
    pub fn open(partition: Arc<Partition>) -> io::Result<Tail> {
        let segment = partition.segment_of(u64::MAX).expect("a partition has a segment");
        let file = fs::OpenOptions::new().write(true).open(&segment.path)?;
        Ok(Tail { partition, segment, file, buffer: Vec::new(), count: 0, marks: Vec::new() })
    }

    /// Puts a record into the buffer; gives its offset.
    fn add(&mut self, time_ms: u64, payload: &Payload) -> u64 {
        let offset = self.partition.end() + self.count;
        let start = self.buffer.len();
        if self.marks.last().is_none_or(|(_, last)| start - last >= INDEX_BYTES as usize) {
            self.marks.push((offset, start));
        }
        self.count += 1;
        record::write(&mut self.buffer, offset, time_ms, payload);
        offset
    }

    /// Writes the buffer after the last record, in a new segment if this one is full.
    fn write(&mut self, segment_bytes: u64) -> Result<(), String> {
        let length = self.segment.length();
        if length > HEADER_BYTES && length + self.buffer.len() as u64 > segment_bytes {
            let (partition, first) = (&self.partition, self.partition.end());
            let (segment, file) =
                Segment::create(&partition.directory, partition.number, first).map_err(|e| {
                    format!("cannot create segment {first:020} in {:?}: {e}", partition.directory)
                })?;
            self.segment = Arc::new(segment);
            self.file = file;
            self.partition.push(self.segment.clone());
        }
        self.file
            .write_all_at(&self.buffer, self.segment.length())
            .map_err(|e| format!("cannot write {} bytes to {:?}: {e}", self.buffer.len(), self.segment.path))
    }

    fn sync(&self) -> Result<(), String> {
        self.file.sync_data().map_err(|e| format!("cannot make {:?} durable: {e}", self.segment.path))
    }

    /// Shows readers what is durable now.
    fn publish(&mut self) {
        let (length, end) = (self.segment.length(), self.partition.end());
        for (offset, start) in &self.marks {
            self.segment.mark(Mark { offset: *offset, position: length + *start as u64 });
        }
        self.segment.set_length(length + self.buffer.len() as u64);
        self.partition.set_end(end + self.count);
        self.clear();
    }

    /// Takes back what was written since the last commit.
    fn cut(&mut self) -> io::Result<()> {
        self.clear();
        self.file.set_len(self.segment.length())
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.count = 0;
        self.marks.clear();
    }
}

/// The one who appends.
pub(super) struct Writer {
    pub tails: Vec<Tail>,
    pub segment_bytes: u64,
    pub subscribers: Subscribers,
    /// Why nothing more is appended until the log is opened again.
    pub refused: Option<String>,
}

/// Closes the queue when the writer ends, however it ends, so that nobody waits for it.
struct Closing<'a>(&'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close("the log's writer has stopped");
        for append in std::iter::from_fn(|| self.0.take()).flatten() {
            (append.done)(Err(AppendError::Unavailable("the log's writer has stopped".to_string())));
        }
    }
}

impl Writer {
    /// Appends until the queue is closed and empty.
    pub fn run(mut self, queue: &Queue) {
        let _closing = Closing(queue);
        while let Some(appends) = queue.take() {
            let bytes = appends.iter().map(|append| append.bytes).sum();
            self.commit(appends);
            queue.release(bytes);
        }
    }

    /// All of it is durable and then acknowledged, or none.
    fn commit(&mut self, appends: Vec<Append>) {
        match self.store(&appends) {
            Ok(positions) => {
                self.notify();
                for (append, positions) in appends.into_iter().zip(positions) {
                    (append.done)(Ok(positions));
                }
            }
            Err(reason) => {
                for append in appends {
                    (append.done)(Err(AppendError::Unavailable(reason.clone())));
                }
            }
        }
    }

    fn store(&mut self, appends: &[Append]) -> Result<Vec<Vec<Position>>, String> {
        if let Some(reason) = &self.refused {
            return Err(reason.clone());
        }
        let positions = self.encode(appends);
        let events: usize = positions.iter().map(Vec::len).sum();
        for i in self.touched() {
            if let Err(reason) = self.tails[i].write(self.segment_bytes) {
                self.cut();
                return Err(format!("cannot append {events} events: {reason}"));
            }
        }
        for i in self.touched() {
            if let Err(reason) = self.tails[i].sync() {
                return Err(self.refuse(format!("cannot append {events} events: {reason}")));
            }
        }
        for i in self.touched() {
            self.tails[i].publish();
        }
        Ok(positions)
    }

    fn encode(&mut self, appends: &[Append]) -> Vec<Vec<Position>> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time_ms = since.as_millis() as u64;
        let mut position = |(partition, payload): &(u32, Payload)| {
            let offset = self.tails[*partition as usize].add(time_ms, payload) + 1;
            Position { partition: *partition, offset }
        };
        appends.iter().map(|append| append.events.iter().map(&mut position).collect()).collect()
    }

    fn touched(&self) -> Vec<usize> {
        (0..self.tails.len()).filter(|i| self.tails[*i].count > 0).collect()
    }

    /// Takes back a commit that could not be written. Where that fails too, the files' ends are unknown: nothing more
    /// is appended before they were looked at.
    fn cut(&mut self) {
        for i in self.touched() {
            if let Err(error) = self.tails[i].cut() {
                let path = &self.tails[i].segment.path;
                let reason = format!("cannot cut {path:?} back after a failed write: {error}");
                self.refuse(reason);
            }
        }
    }

    /// After a failed fsync the kernel may call pages clean that never reached the disk: a second fsync would succeed
    /// and prove nothing. So no more is appended until the log is opened and read again.
    fn refuse(&mut self, reason: String) -> String {
        for tail in &mut self.tails {
            tail.clear();
        }
        let reason = format!("{reason}; the log takes no more events until it is opened again");
        self.refused = Some(reason.clone());
        reason
    }

    fn notify(&self) {
        let mut subscribers = self.subscribers.lock().expect("nobody panics with the subscribers");
        subscribers.retain(|one| !matches!(one.try_send(()), Err(TrySendError::Disconnected(()))));
    }
}

#[cfg(test)]
mod tests;
