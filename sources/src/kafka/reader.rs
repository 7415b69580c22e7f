//! `KafkaReader`: all partitions as one `Source`. Each has a queue of its own, so that none is read far ahead of the others.
use super::gaps;
use super::native;
use super::numbers::Numbered;
use super::payload::payload;
use super::{Lookup, Quiet, Shared};
use crate::{Record, Source, SourceError};
use crossbeam_channel::{Receiver, Sender, bounded};
use dataflows::Position;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::base_consumer::{BaseConsumer, PartitionQueue};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Message, Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// So long a poll waits where records are known to be there.
const WAIT: Duration = Duration::from_millis(50);
/// Records that are known to be there and do not come for so long are no backlog: the clock goes on without them.
const STARVED: Duration = Duration::from_secs(2);

/// Reads topics from any position on, in a client of its own.
pub struct KafkaReader {
    shared: Arc<Shared>,
    consumer: Option<Arc<BaseConsumer<Quiet>>>,
    /// By number; of the partitions that are read here.
    places: Vec<Place>,
    /// Which these are; none: all.
    share: Option<Share>,
    /// How many partitions were looked at.
    looked: usize,
    pub(super) wake: (Sender<()>, Receiver<()>),
    /// The place that is read first next time.
    turn: usize,
    /// When something came last.
    fed: Instant,
    /// Why nothing more is read, once it is so.
    lost: Option<String>,
}

/// Says whether a partition is read here.
pub type Share = Box<dyn Fn(u32) -> bool + Send>;

/// Where a partition is read.
struct Place {
    of: Arc<Numbered>,
    queue: Option<PartitionQueue<Quiet>>,
    /// Whether something may stand in the queue.
    ready: Arc<AtomicBool>,
    /// The next offset.
    next: u64,
}

impl KafkaReader {
    pub(super) fn new(shared: Arc<Shared>) -> KafkaReader {
        let mut reader = KafkaReader {
            shared,
            consumer: None,
            places: vec![],
            share: None,
            looked: 0,
            wake: bounded(1),
            turn: 0,
            fed: Instant::now(),
            lost: None,
        };
        reader.look();
        reader
    }

    /// The same, of some partitions only.
    pub fn only(mut self, share: Share) -> KafkaReader {
        self.places.retain(|place| share(place.of.number));
        self.share = Some(share);
        self
    }

    /// Places for partitions that were found meanwhile.
    fn look(&mut self) {
        if self.looked == self.shared.count() {
            return;
        }
        let numbered = self.shared.numbered();
        let looked = std::mem::replace(&mut self.looked, numbered.len());
        let is_read = |of: &Arc<Numbered>| self.share.as_ref().is_none_or(|share| share(of.number));
        let new = numbered.into_iter().skip(looked).filter(is_read);
        let shared = &self.shared;
        let place = |of: Arc<Numbered>| Place {
            next: gaps::past(&shared.gaps, of.number, of.first),
            of,
            queue: None,
            ready: Arc::default(),
        };
        self.places.extend(new.map(place));
    }

    /// Has the partitions assigned that are not yet.
    fn connect(&mut self) -> Result<(), SourceError> {
        self.look();
        if self.places.iter().all(|place| place.queue.is_some()) {
            return Ok(());
        }
        let consumer = match &self.consumer {
            Some(consumer) => consumer.clone(),
            None => {
                self.consumer.insert(Arc::new(self.shared.consumer().map_err(SourceError::Retry)?)).clone()
            }
        };
        let failed =
            |why: KafkaError| SourceError::Retry(format!("cannot assign partitions of Kafka: {why}"));
        let mut list = TopicPartitionList::new();
        for place in self.places.iter_mut().filter(|place| place.queue.is_none()) {
            let Numbered { topic, partition, .. } = &*place.of;
            let queue = consumer.split_partition_queue(topic, *partition);
            let mut queue =
                queue.ok_or_else(|| SourceError::Retry(format!("{topic}/{partition} has no queue")))?;
            let (ready, wake, shared) =
                (place.ready.clone(), self.wake.0.clone(), Arc::downgrade(&self.shared));
            queue.set_nonempty_callback(move || {
                ready.store(true, Ordering::Release);
                _ = wake.try_send(());
                if let Some(shared) = shared.upgrade() {
                    shared.notify();
                }
            });
            // What came before the callback was set wakes nobody.
            place.ready.store(true, Ordering::Release);
            list.add_partition_offset(topic, *partition, Offset::Offset(place.next as i64))
                .map_err(failed)?;
            place.queue = Some(queue);
        }
        let assigned = consumer.incremental_assign(&list);
        if assigned.is_err() {
            let places = self
                .places
                .iter_mut()
                .filter(|place| list.find_partition(&place.of.topic, place.of.partition).is_some());
            places.for_each(|place| place.queue = None);
        }
        assigned.map_err(failed)
    }

    pub(super) fn ready(&mut self) -> Result<(), SourceError> {
        if let Some(why) = self.lost.clone().or_else(|| self.shared.lost()) {
            return Err(SourceError::Halt(why));
        }
        self.connect()?;
        // Errors of the whole client stand here; what they mean shows in the partitions and in what the watch is told.
        if let Some(consumer) = &self.consumer {
            while consumer.poll(Duration::ZERO).is_some() {}
        }
        Ok(())
    }

    pub(super) fn drain(
        &mut self,
        wanted: impl Fn(u32) -> bool,
        bytes_max: usize,
    ) -> Result<Vec<Record>, SourceError> {
        let (mut records, mut left, count) = (vec![], bytes_max, self.places.len());
        let mut emptied = TopicPartitionList::new();
        let turns = (0..count).map(|i| (self.turn + i) % count);
        let turns: Vec<usize> = turns.filter(|at| wanted(self.places[*at].of.number)).collect();
        for (i, at) in turns.iter().copied().enumerate() {
            // What a partition does not use is left for those after it.
            let share = left.div_ceil(turns.len() - i);
            if share == 0 {
                break;
            }
            match self.places[at].read(share, &mut records) {
                Ok(read) => {
                    left = left.saturating_sub(read.bytes);
                    if read.emptied {
                        _ = emptied.add_partition(&self.places[at].of.topic, self.places[at].of.partition);
                    }
                }
                Err(code) => self.trouble(at, code),
            }
        }
        self.turn = if count > 0 { (self.turn + 1) % count } else { 0 };
        self.step(&emptied);
        if !records.is_empty() {
            self.fed = Instant::now();
        }
        match &self.lost {
            Some(why) if records.is_empty() => Err(SourceError::Halt(why.clone())),
            _ => Ok(records),
        }
    }

    /// Steps over offsets that hold no record: those of transactions that were aborted, and the marks that end transactions.
    fn step(&mut self, emptied: &TopicPartitionList) {
        let Some(consumer) = self.consumer.as_ref().filter(|_| emptied.count() > 0) else { return };
        for (topic, partition, position) in native::positions(consumer.client(), emptied) {
            let place = self.places.iter_mut().find(|p| p.of.partition == partition && p.of.topic == topic);
            if let Some(place) = place.filter(|place| place.next < position) {
                place.next = position;
                self.fed = Instant::now();
            }
        }
    }

    /// What an error of a partition means.
    fn trouble(&mut self, at: usize, code: RDKafkaErrorCode) {
        let place = &self.places[at];
        let Numbered { topic, partition, .. } = &*place.of;
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                let why = match self.shared.watermarks(topic, *partition) {
                    Ok((low, _)) if low > place.next => format!(
                        "RETENTION_LOSS: offset {} of {topic}/{partition} is needed, and what is before offset {low} was deleted by \
                         the brokers; nothing was skipped; tallyflow accept-gap goes on without it",
                        place.next
                    ),
                    Ok((_, high)) if high < place.next => format!(
                        "LOG_DIVERGED: {topic}/{partition} was read up to offset {}, and ends at offset {high}: the topic was \
                         re-created or cut, or these are other brokers",
                        place.next
                    ),
                    Ok(_) => {
                        format!("LOG_DIVERGED: offset {} of {topic}/{partition} cannot be read", place.next)
                    }
                    Err(why) => format!("offset {} of {topic}/{partition} cannot be read: {why}", place.next),
                };
                self.lost = Some(why);
            }
            RDKafkaErrorCode::TopicAuthorizationFailed => {
                self.lost =
                    Some(format!("{topic}/{partition} may not be read: {code}; start again once it may"));
            }
            // The client itself tries again: a leader moves, a connection breaks, a topic is not known for a while.
            _ => self.shared.silent(format!("{topic}/{partition} cannot be read: {code}")),
        }
    }

    fn lags(&self) -> bool {
        self.shared.lags(self.places.iter().map(|place| (place.of.number, place.next)))
    }

    fn read_on(&mut self, only: Option<u32>, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.ready()?;
        let wanted = |number| only.is_none_or(|only| only == number);
        let records = self.drain(wanted, bytes_max)?;
        if !records.is_empty() || !(only.is_some() || self.lags()) {
            return Ok(records);
        }
        _ = self.wake.1.recv_timeout(WAIT);
        self.drain(wanted, bytes_max)
    }
}

struct Read {
    bytes: usize,
    emptied: bool,
}

impl Place {
    /// Takes records of about `bytes_max` from the queue.
    fn read(&mut self, bytes_max: usize, records: &mut Vec<Record>) -> Result<Read, RDKafkaErrorCode> {
        let mut bytes = 0;
        let Some(queue) = self.queue.as_ref().filter(|_| self.ready.swap(false, Ordering::AcqRel)) else {
            return Ok(Read { bytes, emptied: false });
        };
        while bytes < bytes_max {
            match queue.poll(Duration::ZERO) {
                None => return Ok(Read { bytes, emptied: true }),
                Some(Ok(message)) => {
                    let offset = message.offset() as u64;
                    // A fetch that was under way when the position was set may come late.
                    if offset < self.next {
                        continue;
                    }
                    bytes += message.payload_len() + 64;
                    let payload = payload(native::headers(&message), message.payload());
                    records.push(Record { partition: self.of.number, offset, payload });
                    self.next = offset + 1;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(why)) => {
                    self.ready.store(true, Ordering::Release);
                    return Err(why.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown));
                }
            }
        }
        self.ready.store(true, Ordering::Release);
        Ok(Read { bytes, emptied: false })
    }
}

impl Source for KafkaReader {
    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.read_on(None, bytes_max)
    }

    fn poll_partition(&mut self, partition: u32, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        self.read_on(Some(partition), bytes_max)
    }

    fn positions(&self) -> Vec<Position> {
        let position = |place: &Place| Position { partition: place.of.number, offset: place.next };
        self.places.iter().map(position).collect()
    }

    fn seek(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        self.look();
        if let Some(unknown) = positions.iter().find(|p| p.partition as usize >= self.looked) {
            return Err(SourceError::Fatal(format!(
                "cannot seek in partition {}: {} were ever found in Kafka",
                unknown.partition, self.looked
            )));
        }
        // A new client: nothing that was fetched for the old positions can come through it.
        for place in &mut self.places {
            let named = positions.iter().find(|p| p.partition == place.of.number);
            let wanted = named.map_or(place.of.first, |p| p.offset);
            place.next = gaps::past(&self.shared.gaps, place.of.number, wanted);
            (place.queue, place.ready) = (None, Arc::default());
        }
        self.consumer = None;
        for place in &self.places {
            let Numbered { topic, partition, .. } = &*place.of;
            let (low, high) = self.shared.watermarks(topic, *partition).map_err(SourceError::Retry)?;
            if place.next < low || place.next > high {
                return Err(SourceError::Fatal(format!(
                    "cannot seek to offset {} of {topic}/{partition}: the log has offsets {low} to {high}",
                    place.next
                )));
            }
        }
        self.fed = Instant::now();
        Ok(())
    }

    fn has_backlog(&self) -> bool {
        // A partition that is not assigned yet wakes nobody.
        let ready =
            self.places.iter().any(|place| place.queue.is_none() || place.ready.load(Ordering::Acquire));
        ready || self.looked < self.shared.count() || (self.lags() && self.fed.elapsed() < STARVED)
    }

    fn ended(&mut self) -> Result<bool, SourceError> {
        for place in &self.places {
            let Numbered { topic, partition, .. } = &*place.of;
            let (_, high) = self.shared.watermarks(topic, *partition).map_err(SourceError::Retry)?;
            if place.next < high {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn stalled(&self) -> Option<String> {
        self.shared.stalled()
    }
}

/// Reads single records, one after the other.
pub(super) struct Finder {
    consumer: Lookup,
}

impl Finder {
    pub fn new(consumer: Lookup) -> Finder {
        Finder { consumer }
    }

    /// The first record at or after an offset and below `end`; none where there is none.
    pub fn find(
        &self,
        of: &Numbered,
        from: u64,
        end: u64,
        wait: Duration,
    ) -> Result<Option<Record>, SourceError> {
        let Numbered { topic, partition, number, .. } = of;
        let failed = |why: &dyn std::fmt::Display| {
            SourceError::Retry(format!("cannot read offset {from} of {topic}/{partition}: {why}"))
        };
        let mut list = TopicPartitionList::new();
        let named = list.add_partition_offset(topic, *partition, Offset::Offset(from as i64));
        named.and_then(|()| self.consumer.assign(&list)).map_err(|why| failed(&why))?;
        let (began, mut found) = (Instant::now(), Err(failed(&"no answer came")));
        while began.elapsed() < wait {
            match self.consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => {
                    let offset = message.offset() as u64;
                    let payload = payload(native::headers(&message), message.payload());
                    found = Ok((offset < end).then_some(Record { partition: *number, offset, payload }));
                    break;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    found = Ok(None);
                    break;
                }
                Some(Err(why)) => {
                    let code = why.rdkafka_error_code();
                    if matches!(
                        code,
                        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
                    ) {
                        found = Err(SourceError::Halt(format!(
                            "offset {from} of {topic}/{partition} is not in the log"
                        )));
                        break;
                    }
                }
            }
        }
        // Nothing more is fetched until the next call.
        _ = self.consumer.unassign();
        found
    }
}
