//! `Kafka`: topics as the log. Partitions are assigned by hand and offsets belong to the reader: no group, no commit.
//!
//! | file | what it is |
//! |---|---|
//! | `config` | brokers, topics, properties, and the settings that exactly-once rests on |
//! | `numbers` | (topic, partition) has a number, durably: positions name it |
//! | `gaps` | offsets that are lost, and were accepted as lost |
//! | `payload` | a record as a CloudEvent in binary or structured mode, or as a reject |
//! | `reader` | `KafkaReader`: the `Source`; only what is committed is read, and positions step over what is not |
//! | `shares` | the partitions in shares, each read by another process |
//! | `produce` | events appended: idempotent, acknowledged by all replicas, keyed |
//! | `identity`, `native` | what librdkafka can and rdkafka does not show |
//!
//! A thread looks for new partitions and topics, and whether the brokers answer. A partition begins at its first offset, never at
//! its end. What was lost (deleted by retention, re-created, cut) halts the reading with a reason; nothing is ever skipped.
mod config;
mod gaps;
mod identity;
mod native;
mod numbers;
mod payload;
mod produce;
mod reader;
mod shares;

pub use config::KafkaConfig;
pub use gaps::Gap;
pub use numbers::Numbered;
pub use produce::Done;
pub use reader::KafkaReader;

use crate::log::AppendError;
use crate::{Payload, Record, SourceError};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use dataflows::Position;
use numbers::Numbers;
use produce::Producer;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use reader::Finder;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long one question to the brokers may take.
const ASK: Duration = Duration::from_secs(5);
/// How long the brokers may be silent when the log is opened.
const OPEN: Duration = Duration::from_secs(30);
/// So long must they be silent until that is told.
const SILENT: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How far back a record is looked for below an offset, at first.
const BACK: u64 = 16;

/// Topics of Kafka as one log. Dropping it ends its threads.
pub struct Kafka {
    shared: Arc<Shared>,
    producer: Option<Producer>,
    finder: Mutex<Option<Finder>>,
    stop: Option<Sender<()>>,
    watch: Option<JoinHandle<()>>,
}

/// Says nothing anywhere: what matters comes back as errors.
pub(crate) struct Quiet;
impl ClientContext for Quiet {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}
impl ConsumerContext for Quiet {}

pub(crate) type Lookup = BaseConsumer<Quiet>;

/// What readers, the producer and the watch share.
pub(crate) struct Shared {
    config: KafkaConfig,
    /// Is asked for topics and offsets, and reads nothing.
    lookup: Lookup,
    numbers: Mutex<Numbers>,
    gaps: Vec<Gap>,
    count: AtomicUsize,
    state: Mutex<State>,
    subscribers: Mutex<Vec<Sender<()>>>,
}

#[derive(Default)]
struct State {
    /// Since when the brokers are silent, and why.
    silent: Option<(Instant, String)>,
    /// Why the log is not what it was.
    lost: Option<String>,
    /// The ends of the partitions as they were last seen: where what is committed ends.
    ends: BTreeMap<u32, u64>,
}

/// Why topics could not be looked at.
enum Trouble {
    Away(String),
    Lost(String),
}

impl Kafka {
    /// Looks at the topics, and numbers their partitions in a file of that path; tells how many torn bytes were cut from it.
    pub fn open(config: KafkaConfig, numbers: &Path) -> Result<(Kafka, u64), SourceError> {
        let gaps = gaps::read(&gaps::path(numbers)).map_err(SourceError::Fatal)?;
        let (numbers, cut) = Numbers::open(numbers).map_err(SourceError::Fatal)?;
        Ok((Kafka::start(config, numbers, gaps)?, cut))
    }

    /// Reads beside the process that holds the file: only the partitions that it has numbered.
    pub fn open_read_only(config: KafkaConfig, numbers: &Path) -> Result<Kafka, SourceError> {
        let gaps = gaps::read(&gaps::path(numbers)).map_err(SourceError::Fatal)?;
        Kafka::start(config, Numbers::open_read_only(numbers).map_err(SourceError::Fatal)?, gaps)
    }

    /// The offsets at and after some positions, or else the first ones, that the brokers deleted and nobody has accepted as lost yet.
    pub fn losses(&self, needed: &[Position]) -> Result<Vec<Gap>, SourceError> {
        let mut losses = vec![];
        for of in self.shared.numbered() {
            let (low, _) = self.shared.watermarks(&of.topic, of.partition).map_err(SourceError::Retry)?;
            let wanted = needed.iter().find(|p| p.partition == of.number).map_or(of.first, |p| p.offset);
            let (number, from) = (of.number, gaps::past(&self.shared.gaps, of.number, wanted));
            if from < low {
                let (topic, partition) = (of.topic.clone(), of.partition);
                losses.push(Gap { number, topic, partition, from, to: low, accepted_ms: 0 });
            }
        }
        Ok(losses)
    }

    /// The offsets that were accepted as lost.
    pub fn gaps(&self) -> &[Gap] {
        &self.shared.gaps
    }

    /// Accepts losses, in the file beside that of the numbers: whoever opens it from now on steps over them.
    pub fn accept(numbers: &Path, losses: &[Gap]) -> Result<(), SourceError> {
        gaps::add(&gaps::path(numbers), losses).map_err(SourceError::Fatal)
    }

    fn start(config: KafkaConfig, numbers: Numbers, gaps: Vec<Gap>) -> Result<Kafka, SourceError> {
        config.check().map_err(SourceError::Fatal)?;
        let lookup = consumer(&config, &[]).map_err(SourceError::Fatal)?;
        let writes = !numbers.is_read_only();
        let shared = Arc::new(Shared {
            count: numbers.list().len().into(),
            numbers: Mutex::new(numbers),
            gaps,
            lookup,
            config,
            state: Mutex::default(),
            subscribers: Mutex::default(),
        });
        let began = Instant::now();
        while let Err(trouble) = shared.refresh() {
            match trouble {
                Trouble::Away(why) if began.elapsed() >= OPEN => {
                    return Err(SourceError::Retry(format!(
                        "cannot open the topics of Kafka at {}: {why}",
                        shared.config.brokers
                    )));
                }
                Trouble::Away(_) => std::thread::sleep(ASK_AGAIN / 5),
                Trouble::Lost(why) => return Err(SourceError::Fatal(why)),
            }
        }
        let topic = shared.config.produce_topic().filter(|_| writes).map(str::to_owned);
        let producer = topic.map(|topic| Producer::new(&shared.config, &topic, &shared)).transpose();
        let (stop, stopped) = bounded(0);
        let watch = std::thread::Builder::new().name("kafka".into()).spawn({
            let shared = shared.clone();
            move || shared.watch(&stopped)
        });
        Ok(Kafka {
            producer: producer.map_err(SourceError::Fatal)?,
            finder: Mutex::default(),
            stop: Some(stop),
            watch: Some(watch.expect("threads can be started")),
            shared,
        })
    }

    /// A reader at the beginning of every partition. Its client is made when it is first polled.
    pub fn reader(&self) -> KafkaReader {
        KafkaReader::new(self.shared.clone())
    }

    /// The partitions found so far, by number.
    pub fn partitions(&self) -> Vec<Arc<Numbered>> {
        self.shared.numbered()
    }

    /// Where what is committed ends in each partition; as it was last seen where the brokers do not answer.
    pub fn ends(&self) -> Vec<Position> {
        let asked = self.shared.numbered();
        for of in &asked {
            if self.shared.is_silent() {
                break;
            }
            if let Err(why) = self.shared.end_of(of) {
                self.shared.silent(why);
            }
        }
        let state = self.shared.state();
        let end = |of: &Arc<Numbered>| Position {
            partition: of.number,
            offset: state.ends.get(&of.number).copied().unwrap_or(of.first),
        };
        asked.iter().map(end).collect()
    }

    /// Is sent something when records come to any reader.
    pub fn subscribe(&self) -> Receiver<()> {
        let (sender, receiver) = bounded(1);
        self.shared.subscribers.lock().expect("nobody panics with the subscribers").push(sender);
        receiver
    }

    /// One record; `Retry` if it cannot be had now, `Halt` if it is gone.
    pub fn read(&self, partition: u32, offset: u64) -> Result<Record, SourceError> {
        let gone =
            || SourceError::Halt(format!("there is no record at offset {offset} of partition {partition}"));
        self.find(partition, offset, offset + 1)?.ok_or_else(gone)
    }

    /// The last record below an offset, if any is left: what was read before can be known by it again.
    pub fn last_below(&self, partition: u32, offset: u64) -> Result<Option<Record>, SourceError> {
        let of = self.numbered(partition)?;
        let (low, _) = self.shared.watermarks(&of.topic, of.partition).map_err(SourceError::Retry)?;
        let (mut back, mut found) = (BACK, None);
        while found.is_none() && offset > low {
            let mut from = offset.saturating_sub(back).max(low);
            let from_low = from == low;
            while let Some(record) = self.find(partition, from, offset)? {
                from = record.offset + 1;
                found = Some(record);
                if from >= offset {
                    break;
                }
            }
            if from_low {
                break;
            }
            back = back.saturating_mul(8);
        }
        Ok(found)
    }

    fn find(&self, partition: u32, from: u64, end: u64) -> Result<Option<Record>, SourceError> {
        let of = self.numbered(partition)?;
        let mut finder = self.finder.lock().expect("no thread panics with the finder");
        let finder = match &mut *finder {
            Some(finder) => finder,
            none => {
                let settings = [("fetch.wait.max.ms", "10"), ("queued.max.messages.kbytes", "1024")];
                let consumer = consumer(&self.shared.config, &settings).map_err(SourceError::Retry)?;
                none.insert(Finder::new(consumer))
            }
        };
        finder.find(&of, from, end, ASK)
    }

    fn numbered(&self, partition: u32) -> Result<Arc<Numbered>, SourceError> {
        let found = self.shared.numbered().get(partition as usize).cloned();
        found.ok_or_else(|| SourceError::Fatal(format!("partition {partition} was never found in Kafka")))
    }

    /// Appends events. `done` is called by another thread once all replicas in sync have them, with the position after each; or
    /// with the reason why that is not known, though some of them may stand in the log.
    pub fn append(&self, events: Vec<Payload>, done: Done) {
        match &self.producer {
            Some(producer) => producer.append(events, done),
            None => done(Err(AppendError::Unavailable(
                "no topic to append to is named: set produce_topic, or name one topic in full".into(),
            ))),
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(watch) = self.watch.take() {
            // A watch that panicked has said so.
            _ = watch.join();
        }
    }
}

fn consumer(config: &KafkaConfig, settings: &[(&str, &str)]) -> Result<Lookup, String> {
    let mut client = config.consumer()?;
    for (key, value) in settings {
        client.set(*key, *value);
    }
    client.create_with_context(Quiet).map_err(|why| format!("cannot make a client for Kafka: {why}"))
}

impl Shared {
    fn consumer(&self) -> Result<Lookup, String> {
        consumer(&self.config, &[])
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    fn numbered(&self) -> Vec<Arc<Numbered>> {
        self.numbers.lock().expect("no thread panics with the numbers").list().to_vec()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the state")
    }

    fn notify(&self) {
        let mut subscribers = self.subscribers.lock().expect("nobody panics with the subscribers");
        subscribers.retain(|one| !matches!(one.try_send(()), Err(TrySendError::Disconnected(()))));
    }

    fn lost(&self) -> Option<String> {
        self.state().lost.clone()
    }

    /// Something is wrong that may pass.
    fn silent(&self, why: String) {
        self.state().silent.get_or_insert_with(|| (Instant::now(), why));
    }

    fn is_silent(&self) -> bool {
        self.state().silent.is_some()
    }

    fn stalled(&self) -> Option<String> {
        let state = self.state();
        let (since, why) = state.silent.as_ref()?;
        let brokers = &self.config.brokers;
        (since.elapsed() >= SILENT).then(|| format!("Kafka at {brokers} is silent: {why}; it is tried again"))
    }

    /// Whether records are known to be there beyond these places.
    fn lags(&self, places: impl Iterator<Item = (u32, u64)>) -> bool {
        let state = self.state();
        places.into_iter().any(|(number, next)| state.ends.get(&number).is_some_and(|end| next < *end))
    }

    /// The first offset, and where what is committed ends.
    fn watermarks(&self, topic: &str, partition: i32) -> Result<(u64, u64), String> {
        let found = self.lookup.fetch_watermarks(topic, partition, ASK);
        let (low, high) =
            found.map_err(|why| format!("cannot ask for the ends of {topic}/{partition}: {why}"))?;
        Ok((low.max(0) as u64, high.max(0) as u64))
    }

    fn end_of(&self, of: &Numbered) -> Result<(), String> {
        let (_, end) = self.watermarks(&of.topic, of.partition)?;
        self.state().ends.insert(of.number, end);
        Ok(())
    }

    /// An event was stored before this offset: it must be read by whoever wants to have read all.
    fn stored(&self, number: u32, end: u64) {
        let mut state = self.state();
        let known = state.ends.entry(number).or_default();
        *known = end.max(*known);
    }

    /// The number of a partition, which it gets now if it has none yet.
    fn number_of(&self, topic: &str, partition: i32) -> Result<u32, String> {
        let find = || {
            let numbers = self.numbers.lock().expect("no thread panics with the numbers");
            numbers.find(topic, partition).map(|of| of.number)
        };
        if let Some(number) = find() {
            return Ok(number);
        }
        let ids = identity::topic_ids(self.lookup.client(), &[topic], ASK)?;
        self.add(topic, partition, ids.get(topic).map_or("", String::as_str))?;
        find().ok_or_else(|| format!("{topic}/{partition} has no number"))
    }

    fn add(&self, topic: &str, partition: i32, topic_id: &str) -> Result<(), String> {
        let (low, end) = self.watermarks(topic, partition)?;
        let mut numbers = self.numbers.lock().expect("no thread panics with the numbers");
        if numbers.find(topic, partition).is_none() && !numbers.is_read_only() {
            numbers.add(topic, partition, low, topic_id)?;
            let count = numbers.list().len();
            self.state().ends.insert(count as u32 - 1, end);
            self.count.store(count, Ordering::Release);
            drop(numbers);
            self.notify();
        }
        Ok(())
    }

    fn watch(&self, stopped: &Receiver<()>) {
        let (mut looked, refresh) = (Instant::now(), self.config.refresh());
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(refresh.min(ASK_AGAIN)) {
            // What others found silent is looked at soon: it may be over.
            if looked.elapsed() < refresh && !self.is_silent() {
                continue;
            }
            let looking = self.refresh();
            looked = Instant::now();
            match looking {
                Ok(()) => self.state().silent = None,
                Err(Trouble::Away(why)) => self.silent(why),
                Err(Trouble::Lost(why)) => {
                    self.state().lost.get_or_insert(why);
                    self.notify();
                }
            }
        }
    }

    /// Looks at the topics: numbers what is new, and sees whether those that are known are still the same.
    fn refresh(&self) -> Result<(), Trouble> {
        while self.lookup.poll(Duration::ZERO).is_some() {}
        let topics = self.topics().map_err(Trouble::Away)?;
        let known = self.numbered();
        let names: BTreeSet<&str> =
            topics.keys().map(String::as_str).chain(known.iter().map(|of| of.topic.as_str())).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let ids = identity::topic_ids(self.lookup.client(), &names, ASK).map_err(Trouble::Away)?;
        for of in &known {
            match ids.get(&of.topic) {
                None => return Err(Trouble::Away(format!("topic {} is not there", of.topic))),
                Some(id) if !id.is_empty() && !of.topic_id.is_empty() && *id != of.topic_id => {
                    return Err(Trouble::Lost(format!(
                        "LOG_DIVERGED: topic {} is not the one that was read: it was deleted and created again (id {}, now {id}), or \
                         these are other brokers; restore the topic, or move the data directory away",
                        of.topic, of.topic_id
                    )));
                }
                Some(_) => {}
            }
        }
        for (topic, partitions) in &topics {
            let id = ids.get(topic).map_or("", String::as_str);
            for partition in partitions {
                if !known.iter().any(|of| of.partition == *partition && of.topic == *topic) {
                    self.add(topic, *partition, id).map_err(Trouble::Away)?;
                }
            }
        }
        known.iter().try_for_each(|of| self.end_of(of)).map_err(Trouble::Away)
    }

    /// The topics that are read, with their partitions.
    fn topics(&self) -> Result<BTreeMap<String, Vec<i32>>, String> {
        let failed = |why| format!("cannot ask for topics: {why}");
        let mut topics = BTreeMap::new();
        if self.config.has_pattern() {
            let metadata = self.lookup.fetch_metadata(None, ASK).map_err(failed)?;
            for topic in metadata.topics().iter().filter(|topic| self.config.reads(topic.name())) {
                let partitions = topic.partitions().iter().map(|partition| partition.id()).collect();
                topics.insert(topic.name().to_owned(), partitions);
            }
        }
        for name in self.config.named() {
            let metadata = self.lookup.fetch_metadata(Some(name), ASK).map_err(failed)?;
            let partitions = metadata.topics().iter().find(|topic| topic.name() == name);
            let partitions = partitions.map_or(&[][..], |topic| topic.partitions());
            if partitions.is_empty() {
                return Err(format!(
                    "there is no topic {name}: create it, or name it by a pattern to wait for it"
                ));
            }
            topics.insert(name.to_owned(), partitions.iter().map(|partition| partition.id()).collect());
        }
        Ok(topics)
    }
}
