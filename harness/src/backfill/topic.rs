//! A topic of Kafka as history: from its first offsets to where it ended when it was opened, one partition after the other.
use super::supply::Topics;
use dataflows::Position;
use sources::kafka::{Kafka, KafkaConfig, KafkaReader};
use sources::{Record, Source, SourceError};
use std::sync::Arc;
use tempfile::TempDir;

/// Opens topics of a cluster.
pub fn opener(config: KafkaConfig) -> Topics {
    Arc::new(move |topic| {
        let one = KafkaConfig { topics: vec![topic.to_owned()], produce_topic: None, ..config.clone() };
        let history = History::open(one).map_err(|why| format!("cannot read topic {topic:?}: {why}"))?;
        Ok(Box::new(history) as Box<dyn Source>)
    })
}

struct History {
    reader: KafkaReader,
    /// Where each partition ended; those that are read to there are gone.
    ends: Vec<Position>,
    /// What the reader reads by.
    _kafka: Kafka,
    /// Numbers of partitions that nobody else goes by.
    _numbers: TempDir,
}

impl History {
    fn open(config: KafkaConfig) -> Result<History, String> {
        let numbers = tempfile::tempdir().map_err(|why| why.to_string())?;
        let (kafka, _) =
            Kafka::open(config, &numbers.path().join("partitions")).map_err(|why| why.to_string())?;
        Ok(History { reader: kafka.reader(), ends: kafka.ends(), _kafka: kafka, _numbers: numbers })
    }
}

impl Source for History {
    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        while let Some(end) = self.ends.first() {
            let at = self.reader.positions();
            let is_read = at.iter().any(|p| p.partition == end.partition && p.offset >= end.offset);
            if end.offset == 0 || is_read {
                self.ends.remove(0);
                continue;
            }
            let mut records = self.reader.poll_partition(end.partition, bytes_max)?;
            records.retain(|record| record.offset < end.offset);
            if !records.is_empty() {
                return Ok(records);
            }
            // What is left may be marks of transactions, which no reader sees.
            if self.reader.ended()? {
                self.ends.remove(0);
            }
        }
        Ok(vec![])
    }

    fn positions(&self) -> Vec<Position> {
        self.reader.positions()
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        self.reader.seek(positions)
    }

    fn has_backlog(&self) -> bool {
        !self.ends.is_empty()
    }
}
