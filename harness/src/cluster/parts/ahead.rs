//! `Ahead`: Kafka as a process reads it that follows. A thread reads ahead of what is asked for, and tells the leader what there is.
use super::frame::Reply;
use dataflows::Position;
use sources::kafka::{Kafka, KafkaReader};
use sources::{Payload, Record, Source, SourceError};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const POLL_BYTES: usize = 4 << 20;
/// So much is read ahead of what is asked for, of all partitions together.
const AHEAD_BYTES: usize = 32 << 20;
/// So much more of a partition for which the leader waits.
const MORE_BYTES: usize = 8 << 20;
const WAIT: Duration = Duration::from_millis(100);
const AGAIN: Duration = Duration::from_millis(100);

/// What was read and not asked for yet.
#[derive(Default)]
pub struct Ahead {
    queues: Mutex<BTreeMap<u32, Queue>>,
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Record>,
    bytes: usize,
    /// The leader waits for this partition: so much more may be read.
    more: usize,
}

impl Ahead {
    /// Reads on until it is ended, and says what came.
    pub fn read(&self, mut reader: KafkaReader, say: impl Fn(&Reply), is_ended: impl Fn() -> bool) {
        let (mut stalled, mut told): (_, Vec<Position>) = (None, vec![]);
        while !is_ended() {
            let full = self.full(reader.positions().len());
            let records = match reader.poll_those(|partition| !full.contains(&partition), POLL_BYTES) {
                Ok(records) => records,
                Err(SourceError::Retry(_)) => {
                    std::thread::sleep(AGAIN);
                    vec![]
                }
                Err(SourceError::Halt(why)) => return say(&Reply::Halt(why)),
                Err(SourceError::Fatal(why)) => return say(&Reply::Fatal(why)),
            };
            let positions = reader.positions();
            if records.is_empty() && positions == told {
                let now = reader.stalled();
                if now != stalled {
                    say(&Reply::Stalled(now.clone()));
                    stalled = now;
                }
                match full.is_empty() {
                    true => reader.wait(WAIT),
                    // What is not read wakes again and again.
                    false => std::thread::sleep(WAIT / 50),
                }
                continue;
            }
            let came = records.iter().map(|record| (record.partition, record.offset)).collect();
            // Before the leader can ask for it.
            self.keep(records);
            say(&Reply::Came(came, positions.clone()));
            told = positions;
        }
    }

    /// The records of a partition from an offset on and below another, which the leader was told of.
    pub fn take(&self, partition: u32, from: u64, to: u64) -> Vec<Record> {
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(&partition) else { return vec![] };
        let count = queue.records.partition_point(|record| record.offset < to);
        let records: Vec<Record> =
            queue.records.drain(..count).filter(|record| record.offset >= from).collect();
        queue.bytes -= records.iter().map(bytes).sum::<usize>().min(queue.bytes);
        if queue.records.is_empty() {
            (queue.bytes, queue.more) = (0, 0);
        }
        records
    }

    /// The leader waits for a partition.
    pub fn more(&self, partition: u32) {
        self.lock().entry(partition).or_default().more += MORE_BYTES;
    }

    /// The partitions of which enough was read.
    fn full(&self, partitions: usize) -> Vec<u32> {
        let share = AHEAD_BYTES / partitions.max(1);
        let queues = self.lock();
        let is_full = |queue: &Queue| queue.bytes >= share + queue.more;
        queues.iter().filter(|(_, queue)| is_full(queue)).map(|(partition, _)| *partition).collect()
    }

    fn keep(&self, records: Vec<Record>) {
        let mut queues = self.lock();
        for record in records {
            let queue = queues.entry(record.partition).or_default();
            queue.bytes += bytes(&record);
            queue.records.push_back(record);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(record: &Record) -> usize {
    match &record.payload {
        Payload::Structured(bytes) => bytes.len() + 64,
        Payload::Binary { attributes, body } => {
            body.len() + 64 + attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        }
    }
}

/// A reader of the partitions that a process reads, from positions on; none: from the beginning.
pub fn reader(
    kafka: &Kafka,
    process: usize,
    processes: usize,
    positions: &[Position],
) -> Result<KafkaReader, SourceError> {
    let is_own = move |partition: u32| partition as usize % processes == process;
    let mut reader = kafka.reader().only(Box::new(is_own));
    if !positions.is_empty() {
        let own: Vec<Position> = positions.iter().filter(|p| is_own(p.partition)).cloned().collect();
        reader.seek(&own)?;
    }
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_partition_is_read_on_only_when_the_leader_waits_for_it() {
        let ahead = Ahead::default();
        let record = |offset| Record {
            partition: 3,
            offset,
            payload: Payload::Structured(vec![b' '; AHEAD_BYTES / 4].into()),
        };
        ahead.keep((0..2).map(record).collect());
        assert_eq!((ahead.full(1), ahead.full(2)), (vec![], vec![3]));
        ahead.more(3);
        assert_eq!(ahead.full(2), [0; 0]);
        // Offset 1 was never there for the leader, 2 is not asked for.
        ahead.keep(vec![record(2)]);
        let taken: Vec<u64> = ahead.take(3, 0, 2).iter().map(|record| record.offset).collect();
        assert_eq!((taken, ahead.take(3, 2, 2).len(), ahead.take(4, 0, 9).len()), (vec![0, 1], 0, 0));
        assert_eq!(ahead.take(3, 2, 3).len(), 1);
        assert_eq!(ahead.lock()[&3].more, 0);
    }
}
