//! What every log must be to its readers, whichever kind it is: one suite, run on the embedded log, on files and on a real Kafka.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod services;
#[allow(dead_code, reason = "it makes more topics than this file needs")]
#[path = "kafka/topics.rs"]
mod topics;

use dataflows::Position;
use sources::file::File;
use sources::kafka::Kafka;
use sources::log::{Log, LogConfig, partition_key};
use sources::{Payload, Record, Source, SourceError};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use topics::{LONG, SHARED, Topics, sale};

/// A log, as the suite knows it.
trait Kind {
    /// Writes events behind those that are there, durably.
    fn write(&self, events: &[String]);
    /// A reader at the beginning.
    fn reader(&self) -> Box<dyn Source>;
}

struct Embedded(#[allow(dead_code, reason = "held")] tempfile::TempDir, Arc<Log>);

impl Kind for Embedded {
    fn write(&self, events: &[String]) {
        self.1.append_wait(payloads(events)).unwrap();
    }
    fn reader(&self) -> Box<dyn Source> {
        Box::new(self.1.reader())
    }
}

struct OfKafka(#[allow(dead_code, reason = "held")] tempfile::TempDir, Kafka);

impl Kind for OfKafka {
    fn write(&self, events: &[String]) {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        self.1.append(payloads(events), Box::new(move |done| _ = sender.send(done)));
        receiver.recv_timeout(LONG).unwrap().unwrap();
    }
    fn reader(&self) -> Box<dyn Source> {
        Box::new(self.1.reader())
    }
}

/// A file as a log of one partition: a replay reads it so. It ends where the file ended when it was opened.
struct Lines(tempfile::TempDir);

impl Lines {
    fn path(&self) -> PathBuf {
        self.0.path().join("events.ndjson")
    }
}

impl Kind for Lines {
    fn write(&self, events: &[String]) {
        let file = std::fs::File::options().append(true).create(true).open(self.path());
        let mut file = file.unwrap();
        events.iter().for_each(|event| writeln!(file, "{event}").unwrap());
    }
    fn reader(&self) -> Box<dyn Source> {
        Box::new(OfFile { path: self.path(), file: None, next: 0, ended: false })
    }
}

struct OfFile {
    path: PathBuf,
    file: Option<File>,
    next: u64,
    ended: bool,
}

impl Source for OfFile {
    fn poll(&mut self, bytes_max: usize) -> Result<Vec<Record>, SourceError> {
        if self.file.is_none() || self.ended {
            // What was written since the end was met.
            let (next, mut file) = (self.next, File::open(std::slice::from_ref(&self.path))?);
            let mut skipped = 0;
            while skipped < next {
                let chunk = file.next_chunk(1)?;
                if chunk.is_empty() || skipped + chunk.len() as u64 > next {
                    let rest: Vec<Payload> = chunk.into_iter().skip((next - skipped) as usize).collect();
                    (self.file, self.ended) = (Some(file), rest.is_empty());
                    return Ok(self.number(rest));
                }
                skipped += chunk.len() as u64;
            }
            (self.file, self.ended) = (Some(file), false);
        }
        let chunk = self.file.as_mut().unwrap().next_chunk(bytes_max)?;
        self.ended = chunk.is_empty();
        Ok(self.number(chunk))
    }
    fn positions(&self) -> Vec<Position> {
        vec![Position { partition: 0, offset: self.next }]
    }
    fn seek(&mut self, positions: &[Position]) -> Result<(), SourceError> {
        let offset = positions.iter().find(|p| p.partition == 0).map_or(0, |p| p.offset);
        let all = std::fs::read_to_string(&self.path).unwrap().lines().count() as u64;
        if offset > all {
            return Err(SourceError::Fatal(format!("cannot seek to line {offset}: there are {all}")));
        }
        (self.next, self.file, self.ended) = (offset, None, false);
        Ok(())
    }
    fn has_backlog(&self) -> bool {
        !self.ended
    }
}

impl OfFile {
    fn number(&mut self, payloads: Vec<Payload>) -> Vec<Record> {
        let record = |payload| {
            self.next += 1;
            Record { partition: 0, offset: self.next - 1, payload }
        };
        payloads.into_iter().map(record).collect()
    }
}

fn payloads(events: &[String]) -> Vec<Payload> {
    events.iter().map(|event| Payload::Structured(event.clone().into())).collect()
}

fn events(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| sale(n, n as i64)).collect()
}

/// Reads until `count` records came.
fn read(source: &mut dyn Source, count: usize, bytes_max: usize) -> Vec<Record> {
    let (began, mut records) = (Instant::now(), vec![]);
    while records.len() < count {
        records.extend(source.poll(bytes_max).unwrap());
        assert!(began.elapsed() < LONG, "{} of {count} records came", records.len());
    }
    assert_eq!(records.len(), count);
    records
}

/// Each partition's records, in the order they came.
fn by_partition(records: Vec<Record>) -> BTreeMap<u32, Vec<(u64, Payload)>> {
    let mut partitions: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for record in records {
        partitions.entry(record.partition).or_default().push((record.offset, record.payload));
    }
    partitions
}

fn suite(kind: &dyn Kind) {
    kind.write(&events(0..300));
    let mut reader = kind.reader();
    let all = read(&mut *reader, 300, 1_000);
    at_end(&mut *reader);
    let first = by_partition(all.clone());
    // Each event once; offsets ascend; positions stand behind what was read.
    let mut sent: Vec<Payload> = payloads(&events(0..300));
    let mut read_all: Vec<Payload> = all.into_iter().map(|record| record.payload).collect();
    let by_bytes = |payload: &Payload| match payload {
        Payload::Structured(bytes) => bytes.to_vec(),
        Payload::Binary { body, .. } => body.to_vec(),
    };
    sent.sort_by_key(by_bytes);
    read_all.sort_by_key(by_bytes);
    assert!(sent == read_all, "what was written is read");
    let ends = reader.positions();
    for (partition, records) in &first {
        assert!(records.is_sorted_by_key(|(offset, _)| *offset));
        let end = ends.iter().find(|p| p.partition == *partition).unwrap();
        assert!(end.offset > records.last().unwrap().0);
        // Those of one key stay in order.
        let mut keys: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for (_, payload) in records {
            let number: serde_json::Value = serde_json::from_slice(&by_bytes(payload)).unwrap();
            let number: usize = number["id"].as_str().unwrap().parse().unwrap();
            let before = keys.insert(partition_key(payload).to_vec(), number);
            assert!(before.is_none_or(|before| before < number));
        }
    }
    // A second reader, with other polls, and one partition at a time: the same.
    let mut again = kind.reader();
    assert_eq!(by_partition(read(&mut *again, 300, 50_000)), first);
    let (mut one_by_one, mut records) = (kind.reader(), vec![]);
    for end in &ends {
        let began = Instant::now();
        let reached = |source: &dyn Source| {
            source.positions().iter().any(|p| p.partition == end.partition && p.offset >= end.offset)
        };
        while !reached(&*one_by_one) {
            records.extend(one_by_one.poll_partition(end.partition, 2_000).unwrap());
            assert!(began.elapsed() < LONG);
        }
    }
    assert_eq!(by_partition(records), first);
    // From the middle of each partition on.
    let middle: Vec<Position> = first
        .iter()
        .map(|(partition, records)| Position { partition: *partition, offset: records[records.len() / 2].0 })
        .collect();
    again.seek(&middle).unwrap();
    let positions = again.positions();
    assert!(middle.iter().all(|p| positions.contains(p)), "{positions:?}");
    let rest = first.iter().map(|(partition, records)| (*partition, records[records.len() / 2..].to_vec()));
    let rest: BTreeMap<_, _> = rest.collect();
    let count = rest.values().map(Vec::len).sum();
    assert_eq!(by_partition(read(&mut *again, count, 500)), rest);
    // Beyond the end there is nothing to go to.
    let beyond = Position { offset: ends[0].offset + 1_000, ..ends[0].clone() };
    assert!(matches!(again.seek(&[beyond]), Err(SourceError::Fatal(_))));
    // A reader at the end reads what comes.
    kind.write(&events(300..400));
    let more = read(&mut *reader, 100, 1_000);
    for (partition, records) in by_partition(more) {
        let before = first.get(&partition).map_or(0, |records| records.last().unwrap().0 + 1);
        assert!(records[0].0 >= before && records.is_sorted_by_key(|(offset, _)| *offset));
    }
    at_end(&mut *reader);
}

/// Nothing more comes, and that is known: perhaps a little later, where what ends the log holds no record.
fn at_end(source: &mut dyn Source) {
    let began = Instant::now();
    while !source.ended().unwrap() || source.has_backlog() {
        assert_eq!(source.poll(1_000).unwrap(), vec![]);
        assert!(began.elapsed() < LONG);
    }
    assert_eq!(source.poll(1_000).unwrap(), vec![]);
}

#[test]
fn the_embedded_log_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let config = LogConfig { partitions: 3, ..LogConfig::default() };
    let log = Log::open(folder.path(), config).unwrap().0;
    suite(&Embedded(folder, log));
}

#[test]
fn files_conform() {
    suite(&Lines(tempfile::tempdir().unwrap()));
}

#[test]
fn kafka_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Topics::new(&SHARED.url(), 3);
    let kafka = Kafka::open(topics.config(), &folder.path().join("partitions")).unwrap().0;
    suite(&OfKafka(folder, kafka));
}

#[test]
fn kafka_in_transactions_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Topics::new(&SHARED.url(), 3);
    let kafka = Kafka::open(topics.config(), &folder.path().join("partitions")).unwrap().0;
    suite(&Committed(folder, topics, kafka));
}

/// The same with one transaction a write, and an aborted one before it.
struct Committed(#[allow(dead_code, reason = "held")] tempfile::TempDir, Topics, Kafka);

impl Kind for Committed {
    fn write(&self, events: &[String]) {
        use rdkafka::producer::Producer;
        let producer = self.1.transaction(&self.1.name);
        let send = |event: &String, partition| {
            topics::send(&producer, &self.1.name, partition, &[], Some(event.as_bytes()));
        };
        events.iter().for_each(|event| send(event, 1));
        producer.flush(LONG).unwrap();
        producer.abort_transaction(LONG).unwrap();
        producer.begin_transaction().unwrap();
        // By key, as any writer does.
        let partition =
            |event: &String| (partition_key(&payloads(std::slice::from_ref(event))[0]).len() % 3) as i32;
        events.iter().for_each(|event| send(event, partition(event)));
        producer.flush(LONG).unwrap();
        producer.commit_transaction(LONG).unwrap();
    }
    fn reader(&self) -> Box<dyn Source> {
        Box::new(self.2.reader())
    }
}
