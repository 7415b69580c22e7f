//! One log in several processes: one of them numbers the partitions, and each reads a share of them.
use super::numbers::Numbers;
use super::reader::KafkaReader;
use super::{Gap, Kafka, KafkaConfig, Numbered};
use crate::{Record, SourceError};
use dataflows::Position;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Kafka {
    /// The log as another process has numbered it: nothing is appended, and no partition found.
    pub fn follow(
        config: KafkaConfig,
        numbered: Vec<Numbered>,
        gaps: Vec<Gap>,
    ) -> Result<Kafka, SourceError> {
        Kafka::start(config, Numbers::told(numbered), gaps)
    }

    /// Takes a partition over that the other process found.
    pub fn tell(&self, numbered: Numbered) -> Result<(), SourceError> {
        let mut numbers = self.shared.numbers.lock().expect("no thread panics with the numbers");
        numbers.tell(numbered).map_err(SourceError::Fatal)?;
        self.shared.count.store(numbers.list().len(), Ordering::Release);
        Ok(())
    }

    /// How it is reached.
    pub fn config(&self) -> &KafkaConfig {
        &self.shared.config
    }

    /// How many partitions were found so far.
    pub fn count(&self) -> usize {
        self.shared.count()
    }

    /// Wakes who waits for records.
    pub fn wake(&self) {
        self.shared.notify();
    }

    /// Whether records are known to be there at or after one of these positions.
    pub fn lags(&self, positions: impl Iterator<Item = Position>) -> bool {
        self.shared.lags(positions.map(|position| (position.partition, position.offset)))
    }

    /// Whether the log is known to end at these positions.
    pub fn ends_at(&self, positions: impl Iterator<Item = Position>) -> Result<bool, SourceError> {
        for Position { partition, offset } in positions {
            let of = self.numbered(partition)?;
            let (_, high) = self.shared.watermarks(&of.topic, of.partition).map_err(SourceError::Retry)?;
            if offset < high {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl KafkaReader {
    /// The next records of those partitions that are wanted now; it does not wait.
    pub fn poll_those(
        &mut self,
        wanted: impl Fn(u32) -> bool,
        bytes_max: usize,
    ) -> Result<Vec<Record>, SourceError> {
        self.ready()?;
        self.drain(wanted, bytes_max)
    }

    /// Waits until something may have come.
    pub fn wait(&self, at_most: Duration) {
        _ = self.wake.1.recv_timeout(at_most);
    }
}
