//! `LogReader`: the log as a `Source`, in this process or beside the one that writes.
use super::cursor::{Cursor, Stop};
use super::partition::Partition;
use super::segment::OpenError;
use super::{LogError, open, record};
use crate::{Record, Source, SourceError};
use dataflows::Position;
use std::path::Path;
use std::sync::Arc;

/// Reads a log from any position on. Each payload is a slice of a read buffer of 256 KiB: copy what is kept for long.
pub struct LogReader {
    places: Vec<Place>,
    follow: Follow,
    /// The partition that is read first next time.
    turn: usize,
}

/// Who writes to the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    /// This process: the durable ends are known.
    Own,
    /// Another process: the end is where no whole record follows.
    Other,
}

/// Where a partition is read.
struct Place {
    partition: Arc<Partition>,
    /// The next offset.
    offset: u64,
    cursor: Option<Cursor>,
    /// The length of a file of another process whose end was no whole record.
    torn_at: Option<u64>,
}

impl LogReader {
    pub(super) fn new(partitions: &[Arc<Partition>]) -> LogReader {
        LogReader::at_start(partitions.to_vec(), Follow::Own)
    }

    /// Reads a log while another process writes to it. It sees whole records only, perhaps before they are durable:
    /// a record that the writer could not make durable and never acknowledged may be among them.
    pub fn open_read_only(dir: &Path) -> Result<LogReader, LogError> {
        Ok(LogReader::at_start(open::open_read_only(dir)?, Follow::Other))
    }

    /// The same, of some partitions only.
    pub fn only(mut self, wanted: impl Fn(u32) -> bool) -> LogReader {
        self.places.retain(|place| wanted(place.partition.number));
        self
    }

    /// The records of a partition from an offset on and below another, all of which are durable by the word of the process that
    /// writes; `Retry` where they cannot be seen yet.
    pub fn range(&mut self, partition: u32, from: u64, to: u64) -> Result<Vec<Record>, SourceError> {
        let Some(place) = self.places.iter_mut().find(|place| place.partition.number == partition) else {
            return Err(SourceError::Fatal(format!(
                "cannot read from partition {partition}: it is not read here"
            )));
        };
        place.refresh()?;
        if place.offset == from
            && let Some(cursor) = &mut place.cursor
        {
            // What was read after the last range was perhaps not durable yet.
            cursor.forget_read();
        } else {
            place.seek(Follow::Other, from)?;
        }
        let mut records = Vec::with_capacity((to - from) as usize);
        while place.offset < to {
            let Some(record) = place.next(Follow::Other)? else {
                let (number, end) = (place.partition.number, place.offset);
                (place.offset, place.cursor) = (from, None);
                return Err(SourceError::Retry(format!(
                    "cannot read offset {end} of partition {number}: it cannot be seen here"
                )));
            };
            place.push(record, &mut records)?;
        }
        Ok(records)
    }

    fn at_start(partitions: Vec<Arc<Partition>>, follow: Follow) -> LogReader {
        let place = |partition: Arc<Partition>| {
            let offset = partition.first();
            Place { partition, offset, cursor: None, torn_at: None }
        };
        LogReader { places: partitions.into_iter().map(place).collect(), follow, turn: 0 }
    }
}

impl Source for LogReader {
    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        let count = self.places.len();
        let mut records = Vec::new();
        let mut left = bytes_max;
        for i in 0..count {
            // What a partition does not use is left for those after it.
            let share = left.div_ceil(count - i);
            if share == 0 {
                break;
            }
            let place = &mut self.places[(self.turn + i) % count];
            match place.read(self.follow, share, &mut records) {
                Ok(bytes) => left = left.saturating_sub(bytes),
                // Damage stays where it is and is met again; what was read is not to be lost.
                Err(_) if !records.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        self.turn = (self.turn + 1) % count;
        Ok(records)
    }

    fn positions(&self) -> Vec<Position> {
        let position = |place: &Place| Position { partition: place.partition.number, offset: place.offset };
        self.places.iter().map(position).collect()
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        if let Some(unknown) = positions.iter().find(|p| {
            let mut known = self.places.iter().map(|place| place.partition.number);
            known.all(|number| number != p.partition)
        }) {
            let (partition, count) = (unknown.partition, self.places.len());
            return Err(SourceError::Fatal(format!(
                "cannot seek in partition {partition}: the log has {count} partitions"
            )));
        }
        for place in &mut self.places {
            let number = place.partition.number;
            let named = positions.iter().find(|p| p.partition == number);
            place.seek(self.follow, named.map_or(place.partition.first(), |p| p.offset))?;
        }
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        self.places.iter().any(|place| place.has_backlog(self.follow))
    }
}

impl Place {
    /// Reads records of about `bytes_max`, and at least one if there is one.
    fn read(
        &mut self,
        follow: Follow,
        bytes_max: usize,
        records: &mut Vec<Record>,
    ) -> Result<usize, SourceError> {
        if follow == Follow::Other {
            self.refresh()?;
        }
        let mut bytes = 0;
        while bytes < bytes_max {
            let Some(record) = self.next(follow)? else { break };
            bytes += record.len();
            self.push(record, records)?;
        }
        Ok(bytes)
    }

    fn push(&mut self, record: bytes::Bytes, records: &mut Vec<Record>) -> Result<(), SourceError> {
        let (partition, offset) = (self.partition.number, self.offset - 1);
        match record::payload(record) {
            Ok(payload) => records.push(Record { partition, offset, payload }),
            Err(reason) => {
                // It is not passed over: the next call meets it again.
                (self.offset, self.cursor) = (offset, None);
                let directory = &self.partition.directory;
                return Err(SourceError::Fatal(format!(
                    "cannot read offset {offset} in {directory:?}: {reason}"
                )));
            }
        }
        Ok(())
    }

    fn refresh(&self) -> Result<(), SourceError> {
        self.partition.refresh().map_err(|error| {
            SourceError::Retry(format!("cannot read the log in {:?}: {error}", self.partition.directory))
        })
    }

    fn next(&mut self, follow: Follow) -> Result<Option<bytes::Bytes>, SourceError> {
        while self.offset < self.partition.end() {
            let Some(cursor) = &mut self.cursor else {
                self.cursor = Some(cursor_at(&self.partition, self.offset)?);
                continue;
            };
            match cursor.next() {
                Ok(Some(record)) => {
                    self.offset = cursor.offset;
                    return Ok(Some(record));
                }
                // The successor is looked for first: once there is one, the segment does not grow.
                Ok(None) => match self.partition.after(&cursor.segment) {
                    None => return Ok(None),
                    Some(_) if cursor.position < cursor.segment.length() => {}
                    Some(next) if next.first != cursor.offset => return Err(gap(cursor, next.first)),
                    Some(next) => self.cursor = Some(Cursor::open(next)?),
                },
                Err(Stop::Torn(reason)) if follow == Follow::Other => {
                    if self.partition.after(&cursor.segment).is_some() || cursor.any_follows()? {
                        return Err(SourceError::Fatal(format!("{reason}; whole records follow it")));
                    }
                    self.torn_at = Some(cursor.segment.length());
                    return Ok(None);
                }
                Err(stop) => return Err(stop.into()),
            }
        }
        Ok(None)
    }

    fn seek(&mut self, follow: Follow, offset: u64) -> Result<(), SourceError> {
        if follow == Follow::Other {
            self.refresh()?;
        }
        let cursor = cursor_at(&self.partition, offset)?;
        // At an end that is also the beginning of the next segment, the next segment was taken.
        if cursor.offset < offset {
            let (number, end) = (self.partition.number, cursor.offset);
            return Err(SourceError::Fatal(format!(
                "cannot seek to offset {offset} of partition {number}: the log ends at {end}"
            )));
        }
        *self = Place { partition: self.partition.clone(), offset, cursor: Some(cursor), torn_at: None };
        Ok(())
    }

    fn has_backlog(&self, follow: Follow) -> bool {
        match follow {
            Follow::Own => self.offset < self.partition.end(),
            Follow::Other => match &self.cursor {
                // A log that cannot be looked at is one that must be polled, to learn why.
                _ if self.refresh().is_err() => true,
                None => true,
                Some(cursor) => {
                    let length = cursor.segment.length();
                    let grew = cursor.position < length && self.torn_at != Some(length);
                    grew || self.partition.after(&cursor.segment).is_some()
                }
            },
        }
    }
}

/// A cursor at an offset, or at the end of the log if that comes first.
pub(super) fn cursor_at(partition: &Partition, offset: u64) -> Result<Cursor, SourceError> {
    let Some(segment) = partition.segment_of(offset) else {
        let (number, first) = (partition.number, partition.first());
        return Err(SourceError::Fatal(format!(
            "cannot read offset {offset} of partition {number}: the log begins at {first}"
        )));
    };
    let mut cursor = Cursor::near(segment, offset)?;
    match cursor.advance(offset) {
        Ok(()) => Ok(cursor),
        // A second process that reads stops there as `Place::next` does.
        Err(Stop::Torn(_)) if partition.end() == u64::MAX && !cursor.any_follows()? => Ok(cursor),
        Err(stop) => Err(stop.into()),
    }
}

fn gap(cursor: &Cursor, next: u64) -> SourceError {
    let (path, position, offset) = (&cursor.segment.path, cursor.position, cursor.offset);
    SourceError::Fatal(format!(
        "{path:?}, byte {position}: it ends before offset {offset}, the next file begins at {next}"
    ))
}

impl From<Stop> for SourceError {
    fn from(stop: Stop) -> SourceError {
        match stop {
            Stop::Io(text) => SourceError::Retry(text),
            Stop::Torn(text) | Stop::Wrong(text) => SourceError::Fatal(text),
        }
    }
}

impl From<OpenError> for SourceError {
    fn from(error: OpenError) -> SourceError {
        match error {
            OpenError::Io(text) => SourceError::Retry(text),
            OpenError::Damaged(text) => SourceError::Fatal(text),
        }
    }
}
