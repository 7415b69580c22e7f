//! `SimLog`: a log as Kafka's is: offsets without records (aborted transactions, control records), partitions that come, leaders that
//! are lost for a while, and a beginning that moves on.
use super::random::Random;
use dataflows::Position;
use sources::{Payload, Record, Source, SourceError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A log. Clones are the same one.
#[derive(Clone, Default)]
pub struct SimLog(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    partitions: Vec<Partition>,
    /// So many polls fail.
    leaderless: u32,
    /// At most so many records are in a poll.
    batch: usize,
}

#[derive(Default)]
struct Partition {
    begin: u64,
    end: u64,
    records: BTreeMap<u64, Payload>,
}

impl SimLog {
    /// With so many empty partitions.
    pub fn new(partitions: usize) -> SimLog {
        let log = SimLog::default();
        (0..partitions).for_each(|_| log.add_partition());
        log
    }

    /// One more.
    pub fn add_partition(&self) {
        self.lock().partitions.push(Partition::default());
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.lock().partitions.len()
    }

    /// Appends a record somewhere, perhaps after offsets that hold none, perhaps before some.
    pub fn append(&self, payload: Payload, random: &mut Random) -> bool {
        let mut inner = self.lock();
        let place = random.place(inner.partitions.len());
        let partition = &mut inner.partitions[place];
        let (before, after) = (random.percent(12), random.percent(12));
        partition.end += u64::from(before) * (1 + random.below(3));
        partition.records.insert(partition.end, payload);
        partition.end += 1 + u64::from(after);
        before || after
    }

    /// The next polls fail.
    pub fn lose_leader(&self, polls: u32) {
        self.lock().leaderless = polls;
    }

    /// The next polls give so many records.
    pub fn set_batch(&self, batch: usize) {
        self.lock().batch = batch;
    }

    /// Deletes what stands below these positions; what is deleted comes back with [`SimLog::restore`].
    pub fn retain(&self, positions: &[(u32, u64)]) {
        let mut inner = self.lock();
        for (partition, offset) in positions {
            let partition = &mut inner.partitions[*partition as usize];
            partition.begin = partition.begin.max(*offset);
        }
    }

    /// Brings back what retention deleted; whether there was any.
    pub fn restore(&self) -> bool {
        let mut inner = self.lock();
        let was = inner.partitions.iter().any(|partition| partition.begin > 0);
        inner.partitions.iter_mut().for_each(|partition| partition.begin = 0);
        was
    }

    /// Where it begins.
    pub fn begins(&self) -> Vec<Position> {
        self.positions(|partition| partition.begin)
    }

    /// Where it ends.
    pub fn ends(&self) -> Vec<Position> {
        self.positions(|partition| partition.end)
    }

    /// One record, if retention left it.
    pub fn read(&self, partition: u32, offset: u64) -> Option<Record> {
        let inner = self.lock();
        let found = inner.partitions.get(partition as usize).filter(|found| found.begin <= offset)?;
        let payload = found.records.get(&offset)?.clone();
        Some(Record { partition, offset, payload })
    }

    /// All records of a range of offsets, also those that retention deleted.
    pub fn range(&self, partition: u32, from: u64, to: u64) -> Vec<Payload> {
        let inner = self.lock();
        let found = inner.partitions.get(partition as usize);
        found
            .map_or(vec![], |found| found.records.range(from..to.max(from)).map(|(_, p)| p.clone()).collect())
    }

    /// A reader at its beginning.
    pub fn reader(&self) -> SimReader {
        let at = self.begins().into_iter().map(|position| position.offset).collect();
        SimReader { log: self.clone(), at }
    }

    fn positions(&self, of: impl Fn(&Partition) -> u64) -> Vec<Position> {
        let inner = self.lock();
        let position = |(i, partition)| Position { partition: i as u32, offset: of(partition) };
        inner.partitions.iter().enumerate().map(position).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a [`SimLog`].
pub struct SimReader {
    log: SimLog,
    at: Vec<u64>,
}

impl SimReader {
    fn read(&mut self, only: Option<u32>) -> Result<Vec<Record>, SourceError> {
        let log = self.log.clone();
        let mut inner = log.lock();
        if inner.leaderless > 0 {
            inner.leaderless -= 1;
            return Err(SourceError::Retry("the partition has no leader".into()));
        }
        self.at.resize(inner.partitions.len(), 0);
        let mut records = vec![];
        for (i, partition) in inner.partitions.iter().enumerate() {
            if only.is_some_and(|only| only as usize != i) {
                continue;
            }
            let at = &mut self.at[i];
            if *at < partition.begin {
                return Err(SourceError::Halt(format!("partition {i} begins at {} by now", partition.begin)));
            }
            let left = inner.batch.max(1).saturating_sub(records.len());
            let found = partition.records.range(*at..).take(left);
            records.extend(found.map(|(offset, payload)| Record {
                partition: i as u32,
                offset: *offset,
                payload: payload.clone(),
            }));
            let next = records.last().filter(|last| last.partition == i as u32).map(|last| last.offset + 1);
            *at = next.unwrap_or(*at);
            if left > 0 && partition.records.range(*at..).next().is_none() {
                *at = partition.end;
            }
        }
        Ok(records)
    }
}

impl Source for SimReader {
    fn poll(&mut self, _bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.read(None)
    }

    fn poll_partition(&mut self, partition: u32, _bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.read(Some(partition))
    }

    fn positions(&self) -> Vec<Position> {
        let position = |(i, at): (usize, &u64)| Position { partition: i as u32, offset: *at };
        self.at.iter().enumerate().map(position).collect()
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        self.at = self.log.begins().into_iter().map(|begin| begin.offset).collect();
        for position in positions {
            let begin = self.at[position.partition as usize];
            if position.offset < begin {
                return Err(SourceError::Halt(format!("partition {} begins at {begin}", position.partition)));
            }
            self.at[position.partition as usize] = position.offset;
        }
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        let inner = self.log.lock();
        let at = |i: usize| self.at.get(i).copied().unwrap_or(0);
        inner.partitions.iter().enumerate().any(|(i, partition)| at(i) < partition.end)
    }
}
