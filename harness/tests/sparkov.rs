//! Rules over labelled card payments, whose labels are known seven days late: precision and recall by month, as views say them.
//!
//! The catalogue is `sparkov/`; the data (simulated, `../shared/data/sparkov`) is not ours to ship. `UPDATE=1` writes the answer anew.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;
#[path = "support/retail.rs"]
mod retail;

use bytes::Bytes;
use chrono::{NaiveDateTime, TimeDelta};
use drive::{append, write_all};
use harness::data::Data;
use harness::pipeline::{Pipeline, Setting};
use harness::ticks::End;
use serde_json::json;
use sources::Payload;
use sources::file::File;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// How long after a payment its label is known.
const KNOWN_AFTER: TimeDelta = TimeDelta::days(7);

/// The file of payments; none, and a printed line, where it is missing. CI must have it.
fn file() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/sparkov");
    let folder = std::env::var_os("TALLYFLOW_SPARKOV").map_or(folder, PathBuf::from);
    let path = folder.join("transactions_2024-01_2024-08.csv.zst");
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", path.display());
    println!("skipped: {} is missing", path.display());
    None
}

/// An event of this dataset, with an id made from the payment's.
fn event(kind: &str, id: &str, at: NaiveDateTime, data: &serde_json::Value) -> Bytes {
    let time = at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let event = json!({
        "specversion": "1.0", "id": id, "source": "/sparkov", "type": format!("com.example.bss.{kind}.v1"),
        "time": time, "data": data
    });
    Bytes::from(event.to_string())
}

/// Turns lines of the file into events, and each label into one seven days later, all in the order of their times.
#[derive(Default)]
struct Story {
    labels: VecDeque<(NaiveDateTime, String, bool)>,
}

impl Story {
    fn labels_until(&mut self, time: NaiveDateTime, out: &mut Vec<Bytes>) {
        while self.labels.front().is_some_and(|(known, ..)| *known <= time) {
            let (known, id, fraud) = self.labels.pop_front().unwrap();
            let data = json!({"paymentId": id, "isFraud": fraud});
            out.push(event("fraudLabel.confirmed", &format!("label-{id}"), known, &data));
        }
    }

    fn payment(&mut self, line: &str, out: &mut Vec<Bytes>) {
        // id, time, account, category, amount, merchant (quoted where it has a comma), lat, long, fraud
        let mut head = line.splitn(6, ',');
        let mut next = || head.next().unwrap();
        let (id, time, account, category, amount) = (next(), next(), next(), next(), next());
        let mut tail = next().rsplitn(4, ',');
        let fraud = tail.next().unwrap() == "1";
        let merchant = tail.nth(2).unwrap().trim_matches('"');
        let time = NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S").unwrap();
        self.labels_until(time, out);
        let data = json!({
            "paymentId": id, "customerId": account, "amount": {"value": amount, "unit": "USD"},
            "merchant": merchant, "category": category
        });
        out.push(event("payment.authorized", id, time, &data));
        self.labels.push_back((time + KNOWN_AFTER, id.to_string(), fraud));
    }
}

fn replay_sparkov(file: &Path, until: &str) -> harness::pipeline::Finished {
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sparkov");
    let data = Data::temporary(Some(catalogue.to_str().unwrap())).unwrap();
    let pipeline = Pipeline::start(data, &Setting::replay(2, 8_192)).unwrap();
    let mut lines = File::open(&[file.to_path_buf()]).unwrap();
    let mut story = Story::default();
    let mut header = true;
    loop {
        let chunk = lines.next_chunk(1 << 20).unwrap();
        let end = chunk.is_empty();
        let mut events = vec![];
        for line in chunk {
            let Payload::Structured(bytes) = line else { panic!("a line is structured") };
            let line = std::str::from_utf8(&bytes).unwrap();
            if !std::mem::take(&mut header) && line.split(',').nth(1).unwrap() < until {
                story.payment(line, &mut events);
            }
        }
        if end {
            story.labels_until(NaiveDateTime::MAX, &mut events);
        }
        append(&pipeline, &events);
        if end {
            return pipeline.finish(End::Drain).unwrap();
        }
    }
}

#[test]
fn precision_and_recall_of_each_rule_by_month_are_as_published() {
    let Some(file) = file() else { return };
    let finished = replay_sparkov(&file, "2025");
    let out = tempfile::tempdir().unwrap();
    write_all(&finished, out.path());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sparkov/rule_quality.csv");
    let found = out.path().join("rule_quality.csv");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::copy(&found, &golden).unwrap();
    }
    let sorted = |path: &Path| {
        let mut rows = retail::table(path);
        rows[1..].sort();
        rows
    };
    assert_eq!(sorted(&found), sorted(&golden));
    let counts = finished.shared.intake.lock().unwrap();
    assert_eq!((counts.counts().accepted, counts.counts().rejected()), (2 * 543_198, 0));
}
