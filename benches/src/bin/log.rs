//! How fast the log appends and reads: `cargo run --release -p benches --bin log [DIR]`. Medians of five runs on the
//! disk that DIR is on; 500-byte events, batches of 1,000, each acknowledged after its fsync.
use bytes::Bytes;
use sources::log::{Log, LogConfig, partition_key};
use sources::{Payload, Source};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const RUNS: usize = 5;
const BATCH: usize = 1_000;
const BATCHES: usize = 1_000;
const EVENT_BYTES: usize = 500;

fn event(number: usize) -> Payload {
    let head = format!(
        r#"{{"specversion":"1.0","id":"{number}","source":"/bench","type":"order.created","subject":"customer-{}","data":{{"text":""#,
        number * 7919 % 10_007
    );
    let filler = "x".repeat(EVENT_BYTES - head.len() - 3);
    Payload::Structured(Bytes::from(format!("{head}{filler}\"}}}}")))
}

fn batches() -> Vec<Vec<Payload>> {
    (0..BATCHES).map(|batch| (0..BATCH).map(|i| event(batch * BATCH + i)).collect()).collect()
}

/// Events per second of the median run.
fn median(name: &str, mut run: impl FnMut() -> (usize, f64)) {
    let mut rates: Vec<f64> = (0..RUNS)
        .map(|_| {
            let (events, seconds) = run();
            events as f64 / seconds
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let (low, middle, high) = (rates[0], rates[RUNS / 2], rates[RUNS - 1]);
    println!("{name:<44} {:>10.0} events/s   ({low:.0} to {high:.0})", middle);
}

fn fresh(dir: &Path) -> Arc<Log> {
    // There is none before the first run.
    let _ = std::fs::remove_dir_all(dir);
    Log::open(dir, LogConfig::default()).expect("the folder can be written").0
}

/// One producer that does not wait: batches queue up while others are made durable.
fn append(dir: &Path) -> (usize, f64) {
    let (log, batches) = (fresh(dir), batches());
    let (sender, acknowledged) = std::sync::mpsc::channel();
    let start = Instant::now();
    for batch in batches {
        let sender = sender.clone();
        log.append(
            batch,
            Box::new(move |outcome| drop(sender.send(outcome.map(|positions| positions.len())))),
        );
    }
    drop(sender);
    let events = acknowledged.iter().map(|outcome| outcome.expect("the disk has room")).sum();
    (events, start.elapsed().as_secs_f64())
}

/// One producer that waits for each batch.
fn append_wait(dir: &Path) -> (usize, f64) {
    let (log, batches) = (fresh(dir), batches());
    let start = Instant::now();
    let append = |batch| log.append_wait(batch).expect("the disk has room").len();
    (batches.into_iter().map(append).sum(), start.elapsed().as_secs_f64())
}

fn read(log: &Log) -> (usize, f64) {
    let mut reader = log.reader();
    let start = Instant::now();
    let mut events = 0;
    while reader.has_backlog() {
        events += reader.poll(1 << 20).expect("the log was just written").len();
    }
    (events, start.elapsed().as_secs_f64())
}

fn keys() -> (usize, f64) {
    let batches = batches();
    let start = Instant::now();
    let bytes: usize = batches.iter().flatten().map(|event| partition_key(event).len()).sum();
    assert!(bytes > 0);
    (BATCH * BATCHES, start.elapsed().as_secs_f64())
}

fn main() {
    let dir = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("tallyflow-bench-log-{}", std::process::id()));
    median("append, batches of 1,000, many in flight", || append(&dir));
    median("append, batches of 1,000, one at a time", || append_wait(&dir));
    let (log, _) = Log::open(&dir, LogConfig::default()).expect("the log was just written");
    median("read, checksums verified", || read(&log));
    median("partition keys", keys);
    drop(log);
    std::fs::remove_dir_all(&dir).expect("the folder was just written");
}
