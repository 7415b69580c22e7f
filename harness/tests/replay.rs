//! A replay gives the golden answers, however its events come; and at any moment what the batch gives.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;
#[path = "support/retail.rs"]
mod retail;

use arrow::array::RecordBatch;
use bytes::Bytes;
use drive::{append, check_now, replay, rows, workload, write_all};
use harness::check::differences;
use harness::data::Data;
use harness::pipeline::{Pipeline, Setting};
use harness::ticks::{End, Pace};
use queries::api::host::{DeclareError, Host};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

const SEED: u64 = 20_260_101;

/// The events as they are, or changed in a way that must not matter.
fn arranged(events: &[Bytes], how: &str) -> Vec<Bytes> {
    let mut events = events.to_vec();
    match how {
        "as written" => {}
        "shuffled" => events.shuffle(&mut ChaCha8Rng::seed_from_u64(SEED)),
        "each twice" => events = events.iter().flat_map(|event| [event.clone(), event.clone()]).collect(),
        _ => panic!("no such arrangement"),
    }
    events
}

#[test]
fn retail_views_equal_the_golden_answers() {
    let Some(folder) = retail::folder() else { return };
    let events = retail::events(&folder);
    let cases = [
        (1, "as written", 8_192),
        (2, "as written", 8_192),
        (2, "shuffled", 100),
        (1, "each twice", 100),
        (1, "shuffled", usize::MAX),
        (2, "as written", usize::MAX),
        (2, "as written", 1),
    ];
    for (workers, how, tick_events) in cases {
        let start = Instant::now();
        let arranged = arranged(&events, how);
        let data = Data::temporary(Some("retail")).unwrap();
        let finished = replay(data, &arranged, workers, tick_events);
        let out = tempfile::tempdir().unwrap();
        write_all(&finished, out.path());
        println!(
            "{workers} workers, {how}, ticks of {tick_events}: {:.2} s (seed {SEED})",
            start.elapsed().as_secs_f64()
        );
        retail::assert_golden(&folder, out.path());
        let intake = finished.shared.intake.lock().unwrap();
        let counts = intake.counts();
        assert_eq!((counts.accepted, counts.rejected()), (events.len() as u64, 0));
        assert_eq!(counts.duplicates, (arranged.len() - events.len()) as u64);
    }
}

/// A pipeline that takes in what is there as soon as it is asked to settle.
fn stepwise(data: Data, workers: usize) -> Pipeline {
    let replay = Setting::replay(workers, 1_000);
    let at_once = Some(Duration::ZERO);
    let pace = Pace { wait: at_once, wait_busy: at_once, ..replay.pace };
    Pipeline::start(data, &Setting { pace, partitions: 3, ..replay }).unwrap()
}

/// Appends events in `steps` parts of random sizes, and checks after each.
fn check_in_steps(pipeline: &Pipeline, events: &[Bytes], steps: usize, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut cuts: Vec<usize> = (1..steps).map(|_| random.random_range(1..events.len())).collect();
    cuts.push(events.len());
    cuts.sort_unstable();
    let mut from = 0;
    for to in cuts {
        append(pipeline, &events[from..to]);
        pipeline.settle().unwrap();
        let report = check_now(pipeline);
        assert_eq!(report.differences, [], "after {to} events, seed {seed}");
        assert!(report.views >= 6 && report.skipped.is_empty() && report.failed.is_empty(), "{report:?}");
        from = to;
    }
}

#[test]
fn at_any_moment_of_the_retail_replay_the_batch_agrees() {
    let Some(folder) = retail::folder() else { return };
    let pipeline = stepwise(Data::temporary(Some("retail")).unwrap(), 2);
    check_in_steps(&pipeline, &retail::events(&folder), 20, SEED);
    pipeline.finish(End::Drain).unwrap();
}

#[test]
fn at_any_moment_of_a_workload_the_batch_agrees() {
    for workers in [1, 2] {
        let pipeline = stepwise(Data::temporary(Some("core")).unwrap(), workers);
        check_in_steps(&pipeline, &workload(SEED, 5_000), 20, SEED + workers as u64);
        pipeline.finish(End::Drain).unwrap();
    }
}

#[test]
fn a_planted_difference_is_found() {
    let pipeline = stepwise(Data::temporary(Some("core")).unwrap(), 1);
    append(&pipeline, &workload(SEED, 500));
    pipeline.settle().unwrap();
    let read = pipeline.memory().read();
    let kept = read.views().find(|kept| kept.rows().totals().rows > 1).unwrap();
    let rows: Vec<RecordBatch> = kept.batches(usize::MAX).collect();
    let view = kept.shape().view();
    let one_less = vec![rows[0].slice(1, rows[0].num_rows() - 1)];
    let found = differences(&view.name, &view.schema, &rows, &one_less, None).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].expected, found[0].actual), (found[0].actual + 1, found[0].expected - 1));
    assert_eq!(differences(&view.name, &view.schema, &rows, &rows, None).unwrap(), []);
    pipeline.finish(End::Drain).unwrap();
}

#[test]
fn every_record_is_accepted_or_a_duplicate_or_in_quarantine() {
    let mut events = workload(SEED, 3_000);
    let conflict = Bytes::from_static(br#"{"specversion":"1.0","id":"a","source":"/s","type":"t","data":1}"#);
    let other = Bytes::from_static(br#"{"specversion":"1.0","id":"a","source":"/s","type":"t","data":2}"#);
    let future = br#"{"specversion":"1.0","id":"b","source":"/s","type":"t","time":"2999-01-01T00:00:00Z"}"#;
    events.extend([
        conflict.clone(),
        other,
        conflict,
        Bytes::from_static(future),
        Bytes::from_static(b"{\"specversion\""),
    ]);
    let finished = replay(Data::temporary(Some("core")).unwrap(), &events, 2, 100);
    let intake = finished.shared.intake.lock().unwrap();
    let counts = intake.counts();
    assert_eq!(counts.records, events.len() as u64);
    assert_eq!(counts.accepted + counts.duplicates + counts.rejected(), counts.records);
    assert!(counts.duplicates > 50, "{counts:?}");
    assert_eq!((counts.quarantined["conflict"], counts.quarantined["future"]), (1, 1));
    assert_eq!(intake.quarantine(0, usize::MAX).count() as u64, counts.rejected());
    let (id, last) = intake.quarantine(counts.rejected() - 1, 10).next().unwrap();
    assert_eq!(id, counts.rejected());
    assert!(!last.reason.is_empty());
    let named: Vec<_> =
        intake.quarantine(0, usize::MAX).filter(|(_, entry)| &*entry.rule == "future").collect();
    assert_eq!(named[0].1.event_id.as_deref(), Some("b"));
    assert_eq!(counts.unmatched["t"], 1);
}

#[test]
fn a_table_and_a_view_declared_late_have_the_rows_of_early_ones() {
    let late = "CREATE EXTERNAL TABLE late_customers (customer_id TEXT NOT NULL, country TEXT) STORED AS CLOUDEVENTS \
                LOCATION 'com.example.bss.customer.*' OPTIONS ('column.customer_id' 'data.customerId', 'column.country' 'data.country'); \
                CREATE MATERIALIZED VIEW late_countries AS SELECT country, count(*) AS n FROM late_customers GROUP BY country";
    let events = workload(SEED, 2_000);
    let early = {
        let pipeline = stepwise(Data::temporary(Some("core")).unwrap(), 1);
        pipeline.process().declare(late).unwrap();
        append(&pipeline, &events);
        pipeline.settle().unwrap();
        rows(&pipeline.memory().read())
    };
    let pipeline = stepwise(Data::temporary(Some("core")).unwrap(), 2);
    append(&pipeline, &events[..1_500]);
    pipeline.settle().unwrap();
    assert_eq!(pipeline.process().declare(late).unwrap(), ["late_customers", "late_countries"]);
    append(&pipeline, &events[1_500..]);
    pipeline.settle().unwrap();
    assert_eq!(check_now(&pipeline).differences, []);
    let read = pipeline.memory().read();
    assert!(!early["late_countries"].is_empty());
    assert_eq!(rows(&read), early);
    assert!(matches!(pipeline.process().drop_query("late_customers"), Err(DeclareError::Conflict(_))));
    pipeline.process().drop_query("late_countries").unwrap();
    pipeline.process().drop_query("late_customers").unwrap();
    assert!(pipeline.memory().read().view("late_countries").is_none());
    assert!(matches!(pipeline.process().drop_query("late_countries"), Err(DeclareError::NotFound(_))));
    pipeline.finish(End::Drain).unwrap();
}

/// Makes a catalogue folder of one table `t`, in mode latest, with some columns beside its key, and one view `x`.
fn catalogue(folder: &std::path::Path, columns: &str, view: &str) {
    let table = format!(
        "CREATE EXTERNAL TABLE t (k TEXT NOT NULL, {columns}, v BIGINT) STORED AS CLOUDEVENTS LOCATION 't' \
         OPTIONS ('mode' 'latest', 'key' 'k', 'version' 'v', 'column.v' 'entityversion')"
    );
    let view = format!("CREATE MATERIALIZED VIEW x AS {view}");
    for (name, sql) in [("tables/t.sql", table), ("views/x.sql", view)] {
        std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), sql).unwrap();
    }
}

#[test]
fn zeros_of_either_sign_are_one_row() {
    let folder = tempfile::tempdir().unwrap();
    catalogue(folder.path(), "f DOUBLE PRECISION, i INT", "SELECT f * i AS c FROM t");
    let pipeline = stepwise(Data::temporary(folder.path().to_str()).unwrap(), 1);
    let events = [
        ("a", "-0.0", 1, 1),
        ("a", "0.0", -1, 2),
        ("b", "0.0", 1, 1),
        ("a", "1.5", 2, 3),
        ("b", "1.5", 2, 2),
    ];
    for (id, (key, f, i, version)) in events.into_iter().enumerate() {
        let event = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/s\",\"type\":\"t\",\"entityversion\":{version},\
             \"data\":{{\"k\":\"{key}\",\"f\":{f},\"i\":{i}}}}}"
        );
        append(&pipeline, &[Bytes::from(event)]);
        pipeline.settle().unwrap();
        assert_eq!(check_now(&pipeline).differences, [], "after event {id}");
    }
    let finished = pipeline.finish(End::Drain).unwrap();
    assert_eq!(rows(&finished.shared.memory.read())["x"], ["2 x {\"c\":3}"]);
}
