//! Drives a pipeline from a test: appends, waits, reads.
#![allow(dead_code, reason = "each test file drives its own part")]
use bytes::Bytes;
use harness::check::{Report, Truth, check};
use harness::csv;
use harness::data::Data;
use harness::pipeline::{Finished, Pipeline, Setting};
use harness::ticks::End;
use sinks::memory::Read;
use sources::Payload;
use sources::generate::{Generator, GeneratorConfig, Shares};
use std::collections::BTreeMap;
use std::path::Path;

/// Events of the bss workload, some of them late, twice, corrected or malformed.
pub fn workload(seed: u64, events: usize) -> Vec<Bytes> {
    let shares = Shares { late: 0.05, duplicate: 0.05, corrected: 0.05, malformed: 0.02 };
    let config = GeneratorConfig { seed, start_ms: 1_750_000_000_000, rate: 500.0, customers: 200, shares };
    let payload = |payload| match payload {
        Payload::Structured(bytes) => bytes,
        Payload::Binary { .. } => panic!("the generator writes structured events"),
    };
    Generator::new(config).take(events).map(|event| payload(event.payload)).collect()
}

/// Appends events and waits until they are durable.
pub fn append(pipeline: &Pipeline, events: &[Bytes]) {
    for chunk in events.chunks(1_000) {
        let payloads = chunk.iter().cloned().map(Payload::Structured).collect();
        pipeline.log().append_wait(payloads).unwrap();
    }
}

/// Copies a folder and all in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Replays events to their end.
pub fn replay(data: Data, events: &[Bytes], workers: usize, tick_events: usize) -> Finished {
    let pipeline = Pipeline::start(data, &Setting::replay(workers, tick_events)).unwrap();
    append(&pipeline, events);
    pipeline.finish(End::Drain).unwrap()
}

/// Writes every view as CSV.
pub fn write_all(finished: &Finished, out: &Path) {
    let catalogue = finished.shared.catalogue.lock().unwrap();
    for compiled in catalogue.views() {
        let file = out.join(format!("{}.csv", compiled.view.name));
        csv::write(&finished.shared.memory.read(), compiled, &file).unwrap();
    }
}

/// Every row of every view as text, by view.
pub fn rows(read: &Read) -> BTreeMap<String, Vec<String>> {
    let view = |kept: &sinks::memory::kept::Kept| {
        let mut rows = vec![];
        for entry in kept.rows().iter() {
            let mut text = format!("{} x ", entry.count);
            kept.shape().write_json(entry.row, &mut text);
            rows.push(text);
        }
        rows.sort();
        (kept.shape().view().name.to_string(), rows)
    };
    read.views().map(view).collect()
}

/// Checks what is readable now against the batch.
pub fn check_now(pipeline: &Pipeline) -> Report {
    let reader = pipeline.log().reader();
    let truth = Truth::open(pipeline.data().path(), pipeline.data().catalogue(), reader).unwrap();
    check(truth, &pipeline.memory().read()).unwrap()
}
