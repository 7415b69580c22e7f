//! Where events come from: bytes with their positions, decoded to CloudEvents and to Arrow rows of declared tables.
//!
//! | file | noun | what it is |
//! |---|---|---|
//! | [`event`] | `Event`, `Reject` | CloudEvents 1.0.2, strict: structured, batch and binary |
//! | [`decode`] | `Table`, `Decoder`, `Decoded` | events to typed columns, and what could not be decoded |
//! | [`file`](mod@file) | `File` | NDJSON files, plain, gzip or zstd |
//! | [`kafka`] | `Kafka` | topics of Kafka: read by manual assignment, produced to idempotently |
//! | [`log`] | `Log` | the embedded log: partitioned segments, fsync before acknowledging, replay from any offset |
//! | [`generate`] | `Generator` | a seeded BSS workload |
//! | [`secret`] | | settings that point to a file or a variable |
pub mod decode;
pub mod event;
pub mod file;
pub mod generate;
pub mod kafka;
pub mod log;
pub mod secret;

use dataflows::Position;

/// One record of a log: an event as it was received, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition it stands in.
    pub partition: u32,
    /// Its number in the partition.
    pub offset: u64,
    /// The event as it came in.
    pub payload: Payload,
}

/// An event as it was received, before anything was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A whole event as JSON: `application/cloudevents+json`, or a line of a file.
    Structured(bytes::Bytes),
    /// Attributes beside the data, as HTTP and Kafka carry them: names in lower case without the `ce-` prefix.
    Binary {
        /// Attribute names and values, `datacontenttype` among them.
        attributes: Vec<(String, String)>,
        /// The data.
        body: bytes::Bytes,
    },
}

/// A log that can be read from any position on. Production and simulation both implement it. Offsets ascend within a
/// partition and may have gaps, which positions step over; partitions may come while it is read.
pub trait Source: Send {
    /// The next records, about `bytes_max` of them at most, in order within each partition; empty when nothing is there now.
    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Record>, SourceError>;
    /// Where the next record of each partition will be read, by ascending partition.
    fn positions(&self) -> Vec<Position>;
    /// Goes to a position in each partition named; the others start at their beginning.
    fn seek(&mut self, positions: &[Position]) -> Result<(), SourceError>;
    /// Whether records are known to be there beyond the positions.
    fn has_backlog(&self) -> bool;
    /// The next records of one partition, where that can be read alone; else of any.
    fn poll_partition(&mut self, _partition: u32, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.poll(bytes_max)
    }
    /// Asked where a poll gave nothing and more was expected: whether the log is known to end at the positions.
    fn ended(&mut self) -> Result<bool, SourceError> {
        Ok(!self.has_backlog())
    }
    /// Why nothing new can come just now, if that has lasted a while.
    fn stalled(&self) -> Option<String> {
        None
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        (**self).poll(bytes_max)
    }
    fn positions(&self) -> Vec<Position> {
        (**self).positions()
    }
    fn seek(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        (**self).seek(positions)
    }
    fn has_backlog(&self) -> bool {
        (**self).has_backlog()
    }
    fn poll_partition(&mut self, partition: u32, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        (**self).poll_partition(partition, bytes_max)
    }
    fn ended(&mut self) -> Result<bool, SourceError> {
        (**self).ended()
    }
    fn stalled(&self) -> Option<String> {
        (**self).stalled()
    }
}

/// Why a source gave nothing, by what the caller can do.
#[derive(Debug)]
pub enum SourceError {
    /// Try the same call again later.
    Retry(String),
    /// The log lost what comes next: read no more; what was made of it before stays right.
    Halt(String),
    /// The log is not what it was: stop.
    Fatal(String),
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SourceError::Retry(text) | SourceError::Halt(text) | SourceError::Fatal(text) => {
                f.write_str(text)
            }
        }
    }
}
impl std::error::Error for SourceError {}
