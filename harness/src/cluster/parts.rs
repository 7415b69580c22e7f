//! Partitions read by process: partition p belongs to process p mod N, which reads, decodes and validates it.
//!
//! Process 0 alone decides: which records are a tick, its time, its binding, which events count. The path of a tick:
//!
//! 1. The leader's reader cuts the tick by offsets. Of the partitions of others it knows only which offsets can be had ([`Split`]):
//!    of the embedded log those that are durable, of Kafka those that their process has read.
//! 2. It asks each process for its ranges, in pieces. A process decodes a piece, **holds** its rows, and answers with what the
//!    decisions need: of each record its hash, of each event the hashes of its identity and content, its time and its type, about
//!    75 bytes; and whole the few that are no events like others.
//! 3. The leader's ticker has the latest event time of all pieces, so the tick's time; it binds the tick, and goes through the
//!    pieces in the order of the log, as it does with its own. Where it must know a record whole (what is late, what comes from the
//!    future, what contradicts an earlier event) it asks for these, once a piece.
//! 4. With the orders of the engine each process is told which rows of a piece do not count; at the tick's end it gives the others
//!    to its own workers.
//!
//! So the order of all decisions is that of one process, and the result the same. The cost of a tick is one round between the
//! processes before its time is known, which ticks in flight share; two where something is late. Rows stay where they were decoded,
//! except that they also go to the leader where it keeps snapshots. A process that cannot read the log (the files of the embedded
//! log are on the leader's machine) says so, and the leader reads its share. Tables that come later are filled by the leader.
//!
//! | file | what it is |
//! |---|---|
//! | [`ask`] | [`Parts`]: the leader's side |
//! | [`split`] | [`Split`]: the log as the leader reads it |
//! | [`hold`] | [`hold::Holding`]: the side of the others |
//! | [`ahead`] | Kafka as the others read it: ahead of what they are asked for |
//! | [`frame`] | questions and answers as bytes |
pub mod ahead;
pub mod ask;
pub mod frame;
pub mod hold;
pub mod split;

pub use ask::Parts;
pub use split::Split;

use crate::Error;
use crate::data::{self, Data};
use crate::feed::Feed;
use serde::{Deserialize, Serialize};
use sources::kafka::{Gap, KafkaConfig, Numbered};
use sources::{Payload, Record};
use std::path::PathBuf;

/// Where a piece is that another process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// Which process.
    pub process: usize,
    /// The piece.
    pub piece: u64,
    /// The number of the tables that it was decoded for.
    pub tables: u64,
}

/// How the others open the log.
#[derive(Debug, Serialize, Deserialize)]
pub struct Opening {
    /// Which log.
    log: Place,
    /// Whether the leader wants the rows too.
    rows: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum Place {
    /// Files in a folder, and a file that holds a number by which the folder is known to be the same.
    Files { folder: PathBuf, mark: PathBuf, number: u64 },
    /// Topics, as their partitions are numbered. Secrets stand in the config as references, which each process follows itself.
    Kafka { config: KafkaConfig, numbered: Vec<Numbered>, gaps: Vec<Gap> },
}

impl Opening {
    /// For the log of a data directory.
    pub fn of(data: &Data, log: &Feed, rows: bool) -> Result<Opening, Error> {
        let log = match log {
            Feed::Embedded(_) => {
                let failed =
                    |why| Error::failed(format!("let other processes read {}", data.path().display()), why);
                let path = data.path().canonicalize().map_err(failed)?;
                let (mark, number) = (path.join("reading"), chrono::Utc::now().timestamp_micros() as u64);
                std::fs::write(&mark, number.to_string()).map_err(failed)?;
                Place::Files { folder: data::log_path(&path), mark, number }
            }
            Feed::Kafka(kafka) => Place::Kafka {
                config: kafka.config().clone(),
                numbered: kafka.partitions().iter().map(|of| (**of).clone()).collect(),
                gaps: kafka.gaps().to_vec(),
            },
        };
        Ok(Opening { log, rows })
    }

    /// How many partitions of Kafka it tells of.
    pub fn partitions(&self) -> usize {
        match &self.log {
            Place::Files { .. } => 0,
            Place::Kafka { numbered, .. } => numbered.len(),
        }
    }
}

/// A record that another process holds: its payload is not here.
pub fn elsewhere(partition: u32, offset: u64) -> Record {
    Record { partition, offset, payload: Payload::Structured(bytes::Bytes::new()) }
}

/// Whether the payload of a record is not here. One that is empty itself is as good as here.
pub fn is_elsewhere(record: &Record) -> bool {
    matches!(&record.payload, Payload::Structured(bytes) if bytes.is_empty())
}
