//! `Kafka`: each view a compacted topic of its rows by key; a transaction a delivery, with the time as its last record.
//!
//! | file | what it is |
//! |---|---|
//! | `client` | where the cluster is; errors by what can be done about them |
//! | `topic` | topics, made and read |
//! | `large` | rows that a topic does not take |
//! | `progress` | the record that says how far the sink has come |
//!
//! A record's key is the JSON object of the view's key columns, its value the row, or nothing once the row is gone; the headers
//! `tf-time` and `tf-op` say when and what. Readers with `isolation.level=read_committed` see each change once. A transaction whose
//! end is not known is not tried again: the producer is dropped, a new one fences it, and the progress says what was kept.
mod client;
mod large;
mod progress;
mod topic;

use crate::delivery::{COUNT, Delivery, Part, definition};
use crate::memory::shape::Shape;
use crate::reach::Reach;
use crate::{Content, Held, Setting, Sink, SinkError, fault};
use client::{Cluster, error};
use dataflows::{Time, View};
use large::Large;
use progress::{Progress, Topic};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use topic::Ends;

const CALL: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);
/// A transaction that took longer to end may have a request of its end under way still: no other begins on that producer.
const SLOW: Duration = Duration::from_secs(5);
/// How long the end of a transaction is asked for.
const END: Duration = Duration::from_secs(60);

/// Topics of a cluster.
pub struct Kafka {
    cluster: Cluster,
    sink: String,
    writer: Option<Writer>,
    large: Large,
    reach: Reach,
}

/// A producer that took over, and how far the sink has come.
struct Writer {
    producer: BaseProducer,
    /// Asks for topics.
    consumer: BaseConsumer,
    progress: Progress,
    /// Whether the last transaction ended slowly.
    slow: bool,
    /// The longest record and batch that each topic takes.
    limits: BTreeMap<String, usize>,
}

/// The records of a topic: key, and value or none.
type Records = Vec<(String, Option<String>)>;

impl Kafka {
    /// Options are `brokers`, `topic` (with `{view}`), `partitions`, `replication`, `create_topics`, and `kafka.X` for the client's property X.
    pub fn new(setting: &Setting) -> Result<Kafka, SinkError> {
        let cluster = Cluster::new(setting).map_err(SinkError::Fatal)?;
        Ok(Kafka {
            cluster,
            sink: setting.sink.clone(),
            writer: None,
            large: Large::default(),
            reach: Reach::default(),
        })
    }

    fn take_over(&self) -> Result<Writer, SinkError> {
        let tried = format!("take over {} at the brokers", self.cluster.transactional_id);
        let failed = |why: KafkaError| error(&tried, &why);
        let producer: BaseProducer = self.cluster.producer().create().map_err(failed)?;
        let consumer: BaseConsumer = self.cluster.consumer(true).create().map_err(failed)?;
        if self.reach.is_known() {
            // Who was held up, and replaced meanwhile, must not fence the one that replaced it.
            self.reach.check(self.progress(&consumer, Ends::Now)?.time)?;
        }
        // First of all: whoever wrote before can commit nothing from here on, so that what is read now stands.
        producer.init_transactions(CALL).map_err(failed)?;
        let progress = self.progress(&consumer, Ends::Settled)?;
        Ok(Writer { producer, consumer, progress, slow: false, limits: BTreeMap::new() })
    }

    fn progress(&self, consumer: &BaseConsumer, ends: Ends) -> Result<Progress, SinkError> {
        let topic = &self.cluster.progress;
        topic::ensure(&self.cluster, consumer, topic, 1)?;
        let mut found: Option<Progress> = None;
        topic::read(&self.cluster, topic, 1, ends, |message| {
            let (key, value) = topic::texts(topic, message)?;
            if let Some(value) = value.filter(|_| key == self.sink) {
                let next = Progress::parse(value).ok_or_else(|| {
                    SinkError::Fatal(format!(
                        "topic {topic} holds a record for {key:?} that is not ours: {value}"
                    ))
                })?;
                let last = found.as_ref().filter(|last| last.pipeline == next.pipeline);
                if next.time < last.and_then(|last| last.time) {
                    return Err(SinkError::Fatal(format!(
                        "topic {topic}: the time of {key:?} goes back: {value}"
                    )));
                }
                found = Some(next);
            }
            Ok(())
        })?;
        // Of another pipeline's rows nothing is known: all views are compared with what their topics hold.
        let pipeline = self.cluster.pipeline.clone();
        let ours = found.filter(|found| found.pipeline == pipeline);
        Ok(ours.unwrap_or_else(|| Progress { pipeline, ..Progress::default() }))
    }

    /// What a topic holds: the last value of each key.
    fn content(&self, topic: &Topic) -> Result<BTreeMap<String, String>, SinkError> {
        let mut rows = BTreeMap::new();
        topic::read(&self.cluster, &topic.name, topic.partitions, Ends::Settled, |message| {
            match topic::texts(&topic.name, message)? {
                (key, Some(value)) => _ = rows.insert(key.to_owned(), value.to_owned()),
                (key, None) => _ = rows.remove(key),
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// The records that a part makes: key, and value or none. Where all rows are given, only what the topic does not hold already.
    fn records(&self, part: &Part, topic: &Topic) -> Result<Records, SinkError> {
        let shape = part.kept().shape();
        let mut records = part.stands().map(|stand| {
            let value = stand.row.map(|row| value_of(shape, row, stand.count));
            (key_of(shape, stand.key), value)
        });
        if !part.is_whole() {
            return Ok(records.collect());
        }
        let mut there = self.content(topic)?;
        let mut changed: Vec<_> =
            records.by_ref().filter(|(key, value)| there.remove(key) != *value).collect();
        changed.extend(there.into_keys().map(|key| (key, None)));
        Ok(changed)
    }

    /// The topics as they will be, and the records that make them so.
    fn prepare(
        &mut self,
        writer: &mut Writer,
        delivery: &Delivery,
    ) -> Result<(Progress, Vec<(String, Records)>), SinkError> {
        let mut next = writer.progress.clone();
        (next.time, next.positions) = (Some(delivery.to), delivery.positions.clone());
        next.views.retain(|name, _| !delivery.dropped.contains(name));
        let mut made = vec![];
        for part in &delivery.parts {
            let view = part.view();
            let name = self.cluster.topic_of(&view.name)?;
            let count = topic::ensure(&self.cluster, &writer.consumer, &name, self.cluster.partitions)?;
            if let Some(known) =
                next.views.get(&view.name).filter(|known| known.name == name && known.partitions != count)
            {
                return Err(SinkError::Fatal(format!(
                    "topic {name} has {count} partitions, and had {}: keys would change places; write view {:?} to another topic",
                    known.partitions, view.name
                )));
            }
            let topic = Topic { definition: definition(view), name, partitions: count };
            let mut records = self.records(part, &topic)?;
            let limit = match writer.limits.get(&topic.name) {
                Some(limit) => *limit,
                None => topic::record_bytes_max(&self.cluster, &topic.name)?,
            };
            writer.limits.insert(topic.name.clone(), limit);
            self.large.take_out(&view.name, part.is_whole(), limit, &mut records);
            made.push((topic.name.clone(), records));
            next.views.insert(view.name.clone(), topic);
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = next.views.values().find(|topic| !names.insert(&topic.name)) {
            return Err(SinkError::Fatal(format!(
                "two views would be written to topic {}: put {{view}} into the option topic",
                twice.name
            )));
        }
        Ok((next, made))
    }

    fn deliver(&mut self, writer: &mut Writer, delivery: &Delivery) -> Result<(), SinkError> {
        if writer.slow {
            *writer = self.take_over()?;
            begins_at(writer, delivery)?;
        }
        if writer.progress.time != delivery.from {
            let (held, from) = (writer.progress.time, delivery.from);
            return Err(SinkError::Moved(format!(
                "the topics are at {held:?}, the delivery begins at {from:?}"
            )));
        }
        let (next, made) = self.prepare(writer, delivery)?;
        if let Some(batch) = writer.limits.values().min().filter(|least| **least < self.cluster.batch_bytes) {
            // No batch may be longer than what the topics take.
            self.cluster.batch_bytes = *batch;
            let limits = std::mem::take(&mut writer.limits);
            *writer = Writer { limits, ..self.take_over()? };
            begins_at(writer, delivery)?;
        }
        let tried = format!("write the changes up to {}", delivery.to);
        let failed = |why: KafkaError| error(&tried, &why);
        fault("kafka_begin")?;
        writer.producer.begin_transaction().map_err(failed)?;
        let mut rows = 0;
        for (topic, records) in &made {
            for (key, value) in records {
                send(&writer.producer, topic, key, value.as_deref(), delivery.to).map_err(failed)?;
                rows += 1;
            }
        }
        fault("kafka_send")?;
        let progress = next.write(rows);
        send(&writer.producer, &self.cluster.progress, &self.sink, Some(&progress), delivery.to)
            .map_err(failed)?;
        fault("kafka_progress")?;
        let began = Instant::now();
        commit(&writer.producer, &tried)?;
        writer.slow = began.elapsed() > SLOW;
        fault("kafka_commit")?;
        writer.progress = next;
        Ok(())
    }
}

impl Sink for Kafka {
    fn warning(&self) -> Option<String> {
        self.large.told()
    }

    fn open(&mut self) -> Result<Held, SinkError> {
        self.writer = None;
        let writer = self.take_over()?;
        let held = writer.progress.held();
        self.reach.hold(held.time);
        self.writer = Some(writer);
        Ok(held)
    }

    fn apply(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        // Whatever goes wrong, the producer is given up: the next one fences what may be under way, and reads what was kept.
        let mut writer =
            self.writer.take().ok_or_else(|| SinkError::Retry("the topics were not opened".into()))?;
        if let Err(moved) = begins_at(&writer, delivery) {
            self.writer = Some(writer);
            return Err(moved);
        }
        self.reach.attempt(delivery.to);
        self.deliver(&mut writer, delivery)?;
        self.reach.hold(Some(delivery.to));
        self.writer = Some(writer);
        Ok(())
    }

    fn read(&mut self, view: &Arc<View>) -> Result<Content, SinkError> {
        let tried = format!("read the topic of view {:?}", view.name);
        let consumer: BaseConsumer =
            self.cluster.consumer(true).create().map_err(|why| error(&tried, &why))?;
        if topic::partitions(&consumer, &self.cluster.progress)?.is_none() {
            return Ok(Content::default());
        }
        // The time before and after: no transaction came between, or it is read again.
        for _ in 0..10 {
            let before = self.progress(&consumer, Ends::Settled)?;
            let Some(topic) = before.views.get(&view.name) else { return Ok(Content::default()) };
            let rows = self.content(topic)?;
            if self.progress(&consumer, Ends::Settled)?.time == before.time {
                let keyed = !view.key.iter().copied().eq(0..view.schema.fields().len());
                let mut rows: Vec<_> = rows.into_values().map(|value| row_of(value, keyed)).collect();
                rows.sort();
                return Ok(Content { time: before.time, rows });
            }
        }
        Err(SinkError::Retry(format!("cannot {tried}: it changes faster than it can be read")))
    }
}

/// The topics are where the delivery begins, or it is no delivery for them.
fn begins_at(writer: &Writer, delivery: &Delivery) -> Result<(), SinkError> {
    let (held, from) = (writer.progress.time, delivery.from);
    match held == from {
        true => Ok(()),
        false => {
            Err(SinkError::Moved(format!("the topics are at {held:?}, the delivery begins at {from:?}")))
        }
    }
}

/// The key columns as a JSON object.
fn key_of(shape: &Shape, key: &[u8]) -> String {
    let mut text = String::new();
    shape.write_key_json(key, &mut text);
    text
}

/// The row as a JSON object; in views without a key with how often it is there.
fn value_of(shape: &Shape, row: &[u8], count: i64) -> String {
    let mut text = String::new();
    shape.write_json(row, &mut text);
    if !shape.has_key() {
        text.pop();
        text.push_str(&format!(",\"{COUNT}\":{count}}}"));
    }
    text
}

fn row_of(mut value: String, keyed: bool) -> (String, i64) {
    let mark = format!(",\"{COUNT}\":");
    match value.rfind(&mark).filter(|_| !keyed) {
        None => (value, 1),
        Some(at) => {
            let count = value[at + mark.len()..].trim_end_matches('}').parse().unwrap_or(0);
            value.truncate(at);
            value.push('}');
            (value, count)
        }
    }
}

/// Hands a record to the producer, waiting while its queue is full.
fn send(
    producer: &BaseProducer,
    topic: &str,
    key: &str,
    value: Option<&str>,
    time: Time,
) -> Result<(), KafkaError> {
    let time = time.to_string();
    let op = if value.is_some() { "upsert" } else { "delete" };
    let headers = OwnedHeaders::new()
        .insert(Header { key: "tf-time", value: Some(&time) })
        .insert(Header { key: "tf-op", value: Some(op) });
    let mut record = BaseRecord::<str, str>::to(topic).key(key).headers(headers);
    if let Some(value) = value {
        record = record.payload(value);
    }
    let end = Instant::now() + END;
    loop {
        match producer.send(record) {
            Ok(()) => {
                producer.poll(Duration::ZERO);
                return Ok(());
            }
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if Instant::now() < end =>
            {
                record = back;
                producer.poll(POLL);
            }
            Err((why, _)) => return Err(why),
        }
    }
}

/// Ends the transaction. Anything but a definite yes is an error, after which the producer must not be used again.
fn commit(producer: &BaseProducer, tried: &str) -> Result<(), SinkError> {
    let end = Instant::now() + END;
    loop {
        match producer.commit_transaction(CALL) {
            Ok(()) => return Ok(()),
            Err(KafkaError::Transaction(why)) if why.is_retriable() && Instant::now() < end => {}
            Err(KafkaError::Transaction(why)) if why.txn_requires_abort() => {
                // It ends here if it can; else the next producer ends it.
                _ = producer.abort_transaction(CALL);
                return Err(SinkError::Retry(format!("cannot {tried}: the transaction was aborted: {why}")));
            }
            Err(why) => return Err(error(tried, &why)),
        }
    }
}
