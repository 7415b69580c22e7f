//! History is brought in while events go on: once, also across pauses and kills; a broken source changes nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;
#[path = "support/retail.rs"]
mod retail;

use drive::{check_now, rows, workload};
use harness::csv;
use harness::data::Data;
use harness::pipeline::{Pipeline, Setting};
use harness::ticks::End;
use queries::api::backfills::{Backfills, Bound, Origin, Steer, Wanted};
use queries::api::host::{DeclareError, Host};
use serde_json::Value;
use sources::Payload;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const HANG: Duration = Duration::from_secs(300);

fn start(path: &Path, catalogue: &str) -> Pipeline {
    start_with(path, catalogue, &Setting::serve(1, 8_192))
}

fn start_with(path: &Path, catalogue: &str, setting: &Setting) -> Pipeline {
    let pipeline = Pipeline::start(Data::open(path, Some(catalogue)).unwrap(), setting).unwrap();
    pipeline.visible().wait(None, |reach| reach.restored).unwrap();
    pipeline
}

fn service(pipeline: &Pipeline) -> Arc<dyn Backfills> {
    pipeline.process().backfills().unwrap()
}

fn wanted(file: &Path) -> Wanted {
    let origin = Origin::Files(vec![file.to_path_buf()]);
    Wanted { origin, from: None, to: None, types: None, dry_run: false }
}

/// Waits until something is true of a backfill.
fn until(service: &dyn Backfills, id: u64, done: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let job = service.one(id).unwrap();
        if done(&job) {
            return job;
        }
        assert!(began.elapsed() < HANG, "{job}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn over(job: &Value) -> bool {
    ["done", "failed", "cancelled"].contains(&job["state"].as_str().unwrap())
}

fn bring_in(pipeline: &Pipeline, wanted: Wanted) -> Value {
    let service = service(pipeline);
    let id = service.begin(wanted).unwrap()["id"].as_u64().unwrap();
    until(&*service, id, over)
}

/// A file of events, one a line.
fn file(folder: &Path, name: &str, events: &[bytes::Bytes]) -> PathBuf {
    let path = folder.join(name);
    let mut out = std::fs::File::create(&path).unwrap();
    for event in events {
        out.write_all(event).unwrap();
        out.write_all(b"\n").unwrap();
    }
    path
}

fn figure(job: &Value, name: &str) -> u64 {
    job[name].as_u64().unwrap_or_else(|| panic!("{name} of {job}"))
}

/// Every row of every view, as a run over the same events without a backfill has them.
fn straight(events: &[bytes::Bytes]) -> std::collections::BTreeMap<String, Vec<String>> {
    let finished = drive::replay(Data::temporary(Some("core")).unwrap(), events, 1, 8_192);
    rows(&finished.shared.memory.read())
}

#[test]
fn the_retail_file_comes_in_while_events_go_on_and_counts_once() {
    let Some(folder) = retail::folder() else { return };
    let data = tempfile::tempdir().unwrap();
    let pipeline = start(data.path(), "retail");
    let source = folder.join("events.ndjson.zst");
    let events = retail::events(&folder).len() as u64;
    let stop = Arc::new(AtomicBool::new(false));
    let (process, stopped) = (pipeline.process().clone(), stop.clone());
    let live = std::thread::spawn(move || {
        // The demo's events; of those that the retail tables take, none is a document of theirs.
        for group in workload(11, 200_000).chunks(25) {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            let group = group.iter().cloned().map(Payload::Structured).collect();
            process.append(group, Box::new(|result| _ = result.unwrap()));
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let first = bring_in(&pipeline, wanted(&source));
    assert_eq!(first["state"], "done", "{first}");
    assert_eq!(
        ["events_read", "accepted", "duplicates", "rejects"].map(|name| figure(&first, name)),
        [events, events, 0, 0]
    );
    // The same document with other content: the first stands.
    let document = retail::events(&folder)
        .into_iter()
        .find(|event| event.windows(10).any(|part| part == b"\"items\":[{"))
        .unwrap();
    let corrected =
        String::from_utf8(document.to_vec()).unwrap().replacen("\"quantity\":", "\"quantity\":1", 1);
    pipeline.log().append_wait(vec![Payload::Structured(corrected.into())]).unwrap();
    let second = bring_in(&pipeline, wanted(&source));
    assert_eq!(
        ["accepted", "duplicates", "rejects"].map(|name| figure(&second, name)),
        [0, events, 0],
        "{second}"
    );
    stop.store(true, Ordering::Relaxed);
    live.join().unwrap();
    pipeline.settle().unwrap();
    let conflicts = pipeline.process().quarantine(0, usize::MAX, None);
    assert_eq!(
        conflicts
            .iter()
            .filter(|entry| &*entry.rule == "conflict" && entry.event_source.as_deref() == Some("/billing"))
            .count(),
        1
    );
    let report = check_now(&pipeline);
    assert_eq!((report.differences, report.failed), (vec![], vec![]));
    let finished = pipeline.finish(End::Now).unwrap();
    let out = tempfile::tempdir().unwrap();
    let catalogue = finished.shared.catalogue.lock().unwrap();
    for compiled in catalogue.views() {
        let file = out.path().join(format!("{}.csv", compiled.view.name));
        csv::write(&finished.shared.memory.read(), compiled, &file).unwrap();
    }
    retail::assert_golden(&folder, out.path());
}

#[test]
fn pause_resume_and_cancel() {
    let data = tempfile::tempdir().unwrap();
    let events = workload(3, 60_000);
    let source = file(data.path(), "history.ndjson", &events);
    let pipeline = start(&data.path().join("data"), "core");
    let service = service(&pipeline);
    assert!(matches!(service.steer(1, Steer::Pause), Err(DeclareError::NotFound(_))));
    let id = figure(&service.begin(wanted(&source)).unwrap(), "id");
    until(&*service, id, |job| figure(job, "events_read") > 0);
    service.steer(id, Steer::Pause).unwrap();
    let why = service.steer(id, Steer::Pause).unwrap_err().to_string();
    assert!(why.contains("paused already"), "{why}");
    // What was on its way arrives, and then nothing more.
    let held = loop {
        let before = service.one(id).unwrap();
        pipeline.settle().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let after = service.one(id).unwrap();
        if before["events_read"] == after["events_read"] {
            break after;
        }
    };
    assert_eq!(held["state"], "paused");
    assert!(figure(&held, "events_read") < events.len() as u64, "{held}");
    service.steer(id, Steer::Resume).unwrap();
    assert!(matches!(service.steer(id, Steer::Resume), Err(DeclareError::Conflict(_))));
    let done = until(&*service, id, over);
    assert_eq!((done["state"].as_str(), figure(&done, "events_read")), (Some("done"), events.len() as u64));
    assert!(matches!(service.steer(id, Steer::Cancel), Err(DeclareError::Conflict(_))));
    assert_eq!(rows(&pipeline.memory().read()), straight(&events));
    // Another one is ended: what it brought in stays.
    let more = file(data.path(), "more.ndjson", &workload(4, 60_000));
    let id = figure(&service.begin(wanted(&more)).unwrap(), "id");
    until(&*service, id, |job| figure(job, "events_read") > 0);
    assert_eq!(service.steer(id, Steer::Cancel).unwrap()["state"], "cancelled");
    assert_eq!(service.all().iter().map(|job| figure(job, "id")).collect::<Vec<_>>(), [2, 1]);
    pipeline.settle().unwrap();
    let report = check_now(&pipeline);
    assert_eq!((report.differences, report.failed), (vec![], vec![]));
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn a_stopped_process_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let events = workload(5, 40_000);
    let source = file(folder.path(), "history.ndjson", &events);
    let data = folder.path().join("data");
    let pipeline = start(&data, "core");
    let began = service(&pipeline);
    let id = figure(&began.begin(wanted(&source)).unwrap(), "id");
    until(&*began, id, |job| figure(job, "events_read") > 1_000);
    drop(began);
    pipeline.finish(End::Now).unwrap();
    let pipeline = start(&data, "core");
    let again = service(&pipeline);
    assert!(figure(&again.one(id).unwrap(), "events_read") > 0);
    let done = until(&*again, id, over);
    assert_eq!((done["state"].as_str(), figure(&done, "events_read")), (Some("done"), events.len() as u64));
    pipeline.settle().unwrap();
    assert_eq!(rows(&pipeline.memory().read()), straight(&events));
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn only_what_was_asked_for_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let event = |n: u32, event_type: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{n}\",\"source\":\"/s\",\"type\":\"{event_type}\",\"time\":\"2024-01-{:02}T00:00:00Z\"}}",
            n + 1
        )
    };
    let reserved =
        "{\"specversion\":\"1.0\",\"id\":\"r\",\"source\":\"/s\",\"type\":\"dev\\u002etallyflow.rows.x\"}";
    let mut lines: Vec<bytes::Bytes> =
        (0..20).map(|n| event(n, if n % 2 == 0 { "even" } else { "odd" }).into()).collect();
    lines.push(reserved.into());
    lines.push(bytes::Bytes::from_static(b"{\"specversion\""));
    let source = file(folder.path(), "history.ndjson", &lines);
    let day = |day: i64| Some(Bound::Time(1_704_067_200_000 + day * 86_400_000));
    let cases = [
        (None, None, None, [20, 0, 1, 1]),
        (Some(Bound::Offset(5)), Some(Bound::Offset(8)), None, [3, 19, 0, 0]),
        (day(3), day(6), None, [3, 17, 1, 1]),
        (day(18), None, Some("od*"), [1, 19, 1, 1]),
        (Some(Bound::Offset(18)), None, Some("even"), [1, 19, 1, 1]),
    ];
    for (from, to, types, wanted) in cases {
        let data = tempfile::tempdir().unwrap();
        let pipeline = start(data.path(), "empty");
        let origin = Origin::Files(vec![source.clone()]);
        let asked = Wanted { origin, from, to, types: types.map(str::to_owned), dry_run: false };
        let text = format!("{asked:?}");
        let job = bring_in(&pipeline, asked);
        let names = ["accepted", "skipped", "reserved", "rejects"];
        assert_eq!(names.map(|name| figure(&job, name)), wanted, "{text}: {job}");
        pipeline.finish(End::Now).unwrap();
    }
}

#[test]
fn a_broken_source_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let pipeline = start(&path("data"), "core");
    let service = service(&pipeline);
    std::fs::write(path("table.csv"), "a,b\n1,2\n").unwrap();
    std::fs::write(path("named.ndjson.gz"), "{}\n").unwrap();
    let whole = file(folder.path(), "whole.ndjson", &workload(6, 5_000));
    let packed = std::process::Command::new("gzip").args(["-k"]).arg(&whole).status().unwrap();
    assert!(packed.success());
    let bytes = std::fs::read(path("whole.ndjson.gz")).unwrap();
    std::fs::write(path("torn.ndjson.gz"), &bytes[..bytes.len() * 2 / 3]).unwrap();
    let refused = [
        ("missing.ndjson", "No such file"),
        ("data", "it is a folder"),
        ("table.csv", "no file of events"),
        ("named.ndjson.gz", "its content is not"),
    ];
    for (name, part) in refused {
        let why = service.begin(wanted(&path(name))).unwrap_err();
        assert!(matches!(&why, DeclareError::Invalid(text) if text.contains(part)), "{name}: {why}");
    }
    let topic = Wanted { origin: Origin::Topic("t".into()), ..wanted(&whole) };
    assert!(service.begin(topic).unwrap_err().to_string().contains("no Kafka"));
    assert_eq!(service.all(), Vec::<Value>::new());
    // Only at its end can it be seen that it is torn.
    let torn = bring_in(&pipeline, wanted(&path("torn.ndjson.gz")));
    assert_eq!((torn["state"].as_str(), figure(&torn, "appended")), (Some("failed"), 0), "{torn}");
    assert!(torn["failure"].as_str().unwrap().contains("torn.ndjson.gz"), "{torn}");
    assert_eq!(pipeline.log().ends()[0].offset, 0);
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn a_dry_run_says_what_then_happens() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = start(&folder.path().join("data"), "core");
    rehearsed(folder.path(), &pipeline, || ());
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn a_dry_run_does_without_the_beginning_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = harness::snapshot::Setting {
        every: Some(Duration::ZERO),
        kept: 1,
        free_bytes_min: 0,
        ..harness::snapshot::Setting::off()
    };
    let log_keep = Some(Duration::ZERO);
    let setting = Setting { snapshots, log_keep, segment_bytes: 32 << 10, ..Setting::serve(1, 500) };
    let pipeline = start_with(&folder.path().join("data"), "core", &setting);
    rehearsed(folder.path(), &pipeline, || {
        let began = Instant::now();
        while pipeline.log().trimmed().is_empty() {
            assert!(began.elapsed() < HANG, "nothing was removed");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    pipeline.finish(End::Now).unwrap();
}

/// Has a dry run say what a backfill changes, and compares that with what it then does.
fn rehearsed(folder: &Path, pipeline: &Pipeline, before_it: impl FnOnce()) {
    let events = workload(8, 4_000);
    let late = "CREATE MATERIALIZED VIEW countries AS SELECT country, count(*) AS n FROM customer_states GROUP BY country";
    drive::append(pipeline, &events[..2_000]);
    pipeline.settle().unwrap();
    pipeline.process().declare(late).unwrap();
    pipeline.process().live(&["countries".to_owned()]).unwrap();
    before_it();
    let before = pipeline.memory().read();
    let source = file(folder, "history.ndjson", &events[1_500..]);
    let dry = bring_in(pipeline, Wanted { dry_run: true, ..wanted(&source) });
    assert_eq!(dry["state"], "done", "{dry}");
    pipeline.settle().unwrap();
    assert_eq!(rows(&pipeline.memory().read()), rows(&before));
    assert!(!folder.join("data/backfills/1.rehearsal").exists());
    let wet = bring_in(pipeline, wanted(&source));
    for name in ["events_read", "accepted", "duplicates", "rejects"] {
        assert_eq!(dry[name], wet[name], "{name}");
    }
    pipeline.settle().unwrap();
    let found = harness::backfill::changed(&before, &pipeline.memory().read());
    let said = dry["changes"].as_array().unwrap();
    assert!(said.len() > 3, "{dry}");
    let names = |name: &str| said.iter().map(|change| change[name].clone()).collect::<Vec<_>>();
    assert_eq!(names("view"), found.iter().map(|change| Value::from(&*change.view)).collect::<Vec<_>>());
    for (name, of) in [("added", 0), ("removed", 1), ("changed", 2)] {
        let figures =
            found.iter().map(|change| Value::from([change.added, change.removed, change.changed][of]));
        assert_eq!(names(name), figures.collect::<Vec<_>>(), "{name}");
    }
    let (said, found) = (&said[0]["examples"][0], &found[0].examples[0]);
    assert_eq!(
        (&said["before"], &said["after"]),
        (found.0.as_ref().unwrap_or(&Value::Null), found.1.as_ref().unwrap_or(&Value::Null))
    );
}
