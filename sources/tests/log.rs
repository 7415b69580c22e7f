//! The log: what was acknowledged is there, in order, once, after whatever happened to the process and its disk.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

#[path = "log/crash.rs"]
mod crash;
#[path = "log/damage.rs"]
mod damage;
#[path = "log/order.rs"]
mod order;

use bytes::Bytes;
use sources::log::{Log, LogConfig, LogReader, Repair};
use sources::{Payload, Record, Source};
use std::path::Path;
use std::sync::Arc;

/// The event with a number; every third one is binary.
fn event(number: u64) -> Payload {
    let filler = "x".repeat(number as usize * 7919 % 40);
    if number % 3 == 2 {
        let attributes = [("id", number.to_string()), ("source", "/test".to_string()), ("note", filler)]
            .map(|(k, v)| (k.to_string(), v));
        return Payload::Binary {
            attributes: attributes.to_vec(),
            body: Bytes::from_static(b"{\"amount\":\"1.20\"}"),
        };
    }
    Payload::Structured(Bytes::from(format!(r#"{{"id":"{number}","source":"/test","note":"{filler}"}}"#)))
}

/// The number of an event.
fn number(payload: &Payload) -> u64 {
    let id = match payload {
        Payload::Structured(bytes) => {
            let event: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            event["id"].as_str().unwrap().to_string()
        }
        Payload::Binary { attributes, .. } => attributes[0].1.clone(),
    };
    id.parse().unwrap()
}

fn config(partitions: u32, segment_bytes: u64) -> LogConfig {
    LogConfig { partitions, segment_bytes, ..LogConfig::default() }
}

fn open(dir: &Path, config: LogConfig) -> (Arc<Log>, Vec<Repair>) {
    Log::open(dir, config).unwrap()
}

/// Everything from the reader's place on, in small steps; offsets rise by one in each partition.
fn drain(reader: &mut LogReader) -> Vec<Record> {
    let mut next: Vec<u64> = reader.positions().iter().map(|p| p.offset).collect();
    let mut all = Vec::new();
    loop {
        let records = reader.poll(1_000).unwrap();
        if records.is_empty() {
            assert!(!reader.has_backlog());
            assert_eq!(reader.positions().iter().map(|p| p.offset).collect::<Vec<_>>(), next);
            return all;
        }
        for record in &records {
            assert_eq!(record.offset, next[record.partition as usize], "partition {}", record.partition);
            next[record.partition as usize] += 1;
        }
        all.extend(records);
    }
}

/// The files of a partition, ascending.
fn files(dir: &Path, partition: u32) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir.join(format!("p{partition:04}"))).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
