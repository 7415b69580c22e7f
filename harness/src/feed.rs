//! `Feed`: the log that the process reads and appends to, of whichever kind it is.
use crate::Error;
use crate::data::{self, Data};
use crate::pipeline::Setting;
use crate::snapshot::retention::Retention;
use crate::ticks;
use crossbeam_channel::Receiver;
use dataflows::{Position, Time};
use sources::kafka::{Kafka, KafkaConfig};
use sources::log::{AppendError, Log, LogConfig, LogReader, Repair};
use sources::{Payload, Record, Source, SourceError};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

/// The log. Clones are the same log.
#[derive(Clone)]
pub enum Feed {
    /// Files in the data directory, appended to by this process only.
    Embedded(Arc<Log>),
    /// Topics of Kafka, to which others append too.
    Kafka(Arc<Kafka>),
}

impl Feed {
    /// Opens the log of a data directory, or makes it; tells what had to be repaired. A directory keeps the kind of its log.
    pub fn open(data: &Data, setting: &Setting) -> Result<(Feed, Vec<String>), Error> {
        match (&setting.kafka, known(data.path())?) {
            (None, None) => Feed::open_embedded(data, setting),
            (None, Some(known)) => Feed::open_kafka(data, known),
            (Some(_), None) if data::log_path(data.path()).exists() => Err(Error::failed(
                format!("open data directory {}", data.path().display()),
                "its log is the embedded one: take Kafka with another --data",
            )),
            (Some(wanted), _) => {
                keep(data.path(), wanted)?;
                Feed::open_kafka(data, wanted.clone())
            }
        }
    }

    fn open_kafka(data: &Data, config: KafkaConfig) -> Result<(Feed, Vec<String>), Error> {
        let opened = Kafka::open(config, &data::kafka_partitions_path(data.path()));
        let (kafka, cut) = opened.map_err(|why| Error::failed("take Kafka as the log", why))?;
        let mut repairs =
            if cut > 0 { vec![format!("partitions of Kafka: {cut} bytes cut")] } else { vec![] };
        repairs.extend(
            kafka.gaps().iter().map(|gap| format!("by going on without what was accepted as lost: {gap}")),
        );
        Ok((Feed::Kafka(Arc::new(kafka)), repairs))
    }

    fn open_embedded(data: &Data, setting: &Setting) -> Result<(Feed, Vec<String>), Error> {
        let config = LogConfig {
            partitions: setting.partitions,
            segment_bytes: setting.segment_bytes,
            ..LogConfig::default()
        };
        let (log, torn) = Log::open(&data::log_path(data.path()), config)
            .map_err(|why| Error::failed(format!("open the log in {}", data.path().display()), why))?;
        let repairs = torn.iter().map(|cut| {
            let Repair { partition, offset, bytes_cut, reason } = cut;
            format!("log partition {partition}: {bytes_cut} bytes from offset {offset} on cut: {reason}")
        });
        let repairs = repairs.collect();
        Ok((Feed::Embedded(log), repairs))
    }

    /// Reads the log of a data directory that another process may hold.
    pub fn read_only(path: &Path) -> Result<Box<dyn Source>, Error> {
        if let Some(config) = known(path)? {
            let kafka = Kafka::open_read_only(config, &data::kafka_partitions_path(path));
            let kafka = kafka.map_err(|why| Error::failed("read the log in Kafka", why))?;
            return Ok(Box::new(Held { reader: kafka.reader(), _kafka: kafka }));
        }
        let log = LogReader::open_read_only(&data::log_path(path));
        let log = log.map_err(|why| Error::failed(format!("read the log in {}", path.display()), why))?;
        Ok(Box::new(log))
    }

    /// Appends events; those of one key stay in the order of the calls. `done` is called from another thread once they are
    /// durable, with the position after each event, in order; or with the reason why they are not known to be.
    pub fn append(
        &self,
        events: Vec<Payload>,
        done: Box<dyn FnOnce(Result<Vec<Position>, AppendError>) + Send>,
    ) {
        match self {
            Feed::Embedded(log) => log.append(events, done),
            Feed::Kafka(kafka) => kafka.append(events, done),
        }
    }

    /// Appends events and waits until they are durable; gives the position after each event, in order.
    pub fn append_wait(&self, events: Vec<Payload>) -> Result<Vec<Position>, AppendError> {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        // The receiver waits below, so there is always one to send to.
        self.append(events, Box::new(move |outcome| drop(sender.send(outcome))));
        receiver.recv().expect("append calls done, whatever happens")
    }

    /// A reader at the beginning of the log.
    pub fn reader(&self) -> Box<dyn Source> {
        match self {
            Feed::Embedded(log) => Box::new(log.reader()),
            Feed::Kafka(kafka) => Box::new(kafka.reader()),
        }
    }

    /// The end of each partition as it is now, ascending: who has read up to there has read all that is there.
    pub fn ends(&self) -> Vec<Position> {
        match self {
            Feed::Embedded(log) => log.ends(),
            Feed::Kafka(kafka) => kafka.ends(),
        }
    }

    /// The partitions of the embedded log of which the beginning was removed, and where each begins.
    pub fn trimmed(&self) -> Vec<Position> {
        match self {
            Feed::Embedded(log) => log.begins().into_iter().filter(|begin| begin.offset > 0).collect(),
            Feed::Kafka(_) => vec![],
        }
    }

    /// How the log is kept as long as asked for. Kafka keeps its own.
    pub fn retention(&self, keep: Option<Duration>) -> Result<Option<Retention>, Error> {
        match (self, keep) {
            (_, None) => Ok(None),
            (Feed::Embedded(log), Some(keep)) => Ok(Some(Retention { log: log.clone(), keep })),
            (Feed::Kafka(_), Some(_)) => Err(Error::Usage(
                "cannot use log_keep: the log is in Kafka, which keeps its topics by retention.ms".into(),
            )),
        }
    }

    /// What is made of the log from its beginning, as of a time: nothing is removed while the guard is held, and afterwards only
    /// what snapshots of later times stand for.
    pub fn reading_whole(&self, time: Time) -> Option<MutexGuard<'_, u64>> {
        match self {
            Feed::Embedded(log) => Some(log.reading_whole(time)),
            Feed::Kafka(_) => None,
        }
    }

    /// One record; `Retry` if it cannot be had now.
    pub fn read(&self, partition: u32, offset: u64) -> Result<Record, SourceError> {
        match self {
            Feed::Embedded(log) => log.read(partition, offset),
            Feed::Kafka(kafka) => kafka.read(partition, offset),
        }
    }

    /// Is sent something after records came: at least once after the last.
    pub fn subscribe(&self) -> Receiver<()> {
        match self {
            Feed::Embedded(log) => log.subscribe(),
            Feed::Kafka(kafka) => kafka.subscribe(),
        }
    }

    /// Whether some of the records between two positions of a partition were accepted as lost.
    pub fn lacks(&self, partition: u32, from: u64, to: u64) -> bool {
        match self {
            Feed::Embedded(_) => false,
            Feed::Kafka(kafka) => {
                kafka.gaps().iter().any(|gap| gap.number == partition && gap.from < to && from < gap.to)
            }
        }
    }

    /// Hashes of the last record below each position, none where none is left: what was read before is known by them again.
    pub fn anchors(&self, positions: &[Position]) -> Result<Vec<Option<u64>>, SourceError> {
        let anchor = |position: &Position| {
            let Position { partition, offset } = *position;
            let last = match self {
                Feed::Embedded(log) => {
                    let begins = log.begins();
                    let first =
                        begins.iter().find(|begin| begin.partition == partition).map_or(0, |b| b.offset);
                    if offset > first { Some(log.read(partition, offset - 1)?) } else { None }
                }
                Feed::Kafka(kafka) => kafka.last_below(partition, offset)?,
            };
            Ok(last.as_ref().map(ticks::hash))
        };
        positions.iter().map(anchor).collect()
    }

    /// Whether the log still holds, below each position, the records that [`Feed::anchors`] hashed; else what is wrong. What
    /// retention deleted since cannot be compared and passes.
    pub fn check_anchors(&self, positions: &[Position], anchors: &[Option<u64>]) -> Result<(), SourceError> {
        let now = self.anchors(positions)?;
        for ((position, before), now) in positions.iter().zip(anchors).zip(now) {
            if before.is_some() && now.is_some() && *before != now {
                return Err(SourceError::Fatal(format!(
                    "LOG_DIVERGED: the record below offset {} of partition {} is not the one that was read there: the log was \
                     replaced or cut; restore it, or move the data directory away",
                    position.offset, position.partition
                )));
            }
        }
        Ok(())
    }
}

/// A reader and what it reads, for as long as it is read.
struct Held {
    reader: sources::kafka::KafkaReader,
    _kafka: Kafka,
}

impl Source for Held {
    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.reader.poll(bytes_max)
    }
    fn positions(&self) -> Vec<Position> {
        self.reader.positions()
    }
    fn seek(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        self.reader.seek(positions)
    }
    fn has_backlog(&self) -> bool {
        self.reader.has_backlog()
    }
    fn poll_partition(&mut self, partition: u32, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.reader.poll_partition(partition, bytes_max)
    }
    fn ended(&mut self) -> Result<bool, SourceError> {
        self.reader.ended()
    }
    fn stalled(&self) -> Option<String> {
        self.reader.stalled()
    }
}

/// The Kafka that a data directory's log is in, if it is.
pub fn known(path: &Path) -> Result<Option<KafkaConfig>, Error> {
    let file = data::kafka_path(path);
    let failed = |why: String| Error::failed(format!("read {}", file.display()), why);
    match std::fs::read_to_string(&file) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|why| failed(why.to_string())),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(failed(why.to_string())),
    }
}

/// Keeps the Kafka of a data directory. Secrets stand there as references only.
fn keep(path: &Path, config: &KafkaConfig) -> Result<(), Error> {
    let file = data::kafka_path(path);
    let failed = |why: &dyn std::fmt::Display| Error::failed(format!("write {}", file.display()), why);
    config.check().map_err(|why| Error::Usage(format!("cannot take Kafka as the log: {why}")))?;
    let text = serde_json::to_string_pretty(config).expect("texts and numbers are JSON");
    let new = file.with_extension("new");
    let written = || {
        let mut out = std::fs::File::create(&new)?;
        writeln!(out, "{text}")?;
        out.sync_all()?;
        std::fs::rename(&new, &file)?;
        std::fs::File::open(path)?.sync_all()
    };
    written().map_err(|why| failed(&why))
}
