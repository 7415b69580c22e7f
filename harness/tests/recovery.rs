//! After a restart, a crash or a torn file the results are the same; where they could not be, the process says so and stops.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;
#[path = "support/retail.rs"]
mod retail;

use dataflows::Time;
use drive::{append, copy, replay, rows, workload};
use harness::check::Truth;
use harness::data::{Data, bindings_path, log_path, snapshots_path};
use harness::feed::Feed;
use harness::pipeline::{Pipeline, Setting};
use harness::progress;
use harness::snapshot;
use harness::ticks::End;
use queries::api::host::Host;
use std::path::Path;
use std::process::{Command, Stdio};

const SEED: u64 = 7;

/// Every row of every view as text.
type Rows = std::collections::BTreeMap<String, Vec<String>>;

/// Opens a directory again without anything new, and reads. Ticks that were small are told to the engine as one.
fn again(path: &Path, workers: usize) -> Result<(Option<Time>, Rows), String> {
    let data = Data::open(path, None).map_err(|why| why.to_string())?;
    let pipeline = Pipeline::start(data, &Setting::replay(workers, 1_000)).map_err(|why| why.to_string())?;
    let finished = pipeline.finish(End::Drain).map_err(|why| why.to_string())?;
    let read = finished.shared.memory.read();
    Ok((read.time(), rows(&read)))
}

fn bound_times(path: &Path) -> Vec<u64> {
    let mut reader = progress::Reader::open(&bindings_path(path)).unwrap();
    std::iter::from_fn(|| reader.next().unwrap()).map(|binding| binding.moment.time).collect()
}

#[test]
fn a_restart_makes_the_same_ticks_and_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let finished = replay(Data::open(&path, Some("core")).unwrap(), &workload(SEED, 400), 1, 10);
    let read = finished.shared.memory.read();
    let (time, first) = (read.time(), rows(&read));
    drop(finished);
    let times = bound_times(&path);
    assert_eq!(times.len(), 40);
    assert_eq!(again(&path, 2).unwrap(), (time, first.clone()));
    assert_eq!(bound_times(&path), times);
    // The same events once more are all duplicates.
    let finished = replay(Data::open(&path, None).unwrap(), &workload(SEED, 400), 2, 10);
    assert_eq!(rows(&finished.shared.memory.read()), first);
    let intake = finished.shared.intake.lock().unwrap();
    assert_eq!(intake.counts().records, 800);
}

#[test]
fn bindings_torn_at_any_byte_give_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let finished = replay(Data::open(&path, Some("core")).unwrap(), &workload(SEED, 60), 1, 20);
    let first = rows(&finished.shared.memory.read());
    drop(finished);
    let whole = std::fs::read(bindings_path(&path)).unwrap();
    // Each byte of the last record, and some before it.
    for length in (0..whole.len()).filter(|length| length + 90 > whole.len() || length % 37 == 0) {
        let torn = folder.path().join(format!("torn-{length}"));
        copy(&path, &torn);
        std::fs::write(bindings_path(&torn), &whole[..length]).unwrap();
        assert_eq!(again(&torn, 1).unwrap().1, first, "cut at byte {length}");
    }
}

#[test]
fn a_log_that_lost_bound_records_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    drop(replay(Data::open(&path, Some("core")).unwrap(), &workload(SEED, 50), 1, 10));
    std::fs::remove_dir_all(log_path(&path)).unwrap();
    let why = again(&path, 1).unwrap_err();
    assert!(why.contains("REPLAY_DIVERGED") && why.contains("partition"), "{why}");
    // Other records in their place are no better.
    let (data, events) =
        (Data::open(&folder.path().join("other"), Some("core")).unwrap(), workload(SEED + 1, 60));
    drop(replay(data, &events, 1, 10));
    std::fs::remove_dir_all(log_path(&path)).unwrap();
    copy(&log_path(&folder.path().join("other")), &log_path(&path));
    let why = again(&path, 1).unwrap_err();
    assert!(why.contains("REPLAY_DIVERGED"), "{why}");
}

#[test]
fn statements_stand_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let events = workload(SEED, 300);
    let pipeline =
        Pipeline::start(Data::open(&path, Some("core")).unwrap(), &Setting::serve(1, 100)).unwrap();
    append(&pipeline, &events[..200]);
    pipeline.settle().unwrap();
    let sql = "CREATE EXTERNAL TABLE seen (kind TEXT) STORED AS CLOUDEVENTS LOCATION '*' OPTIONS ('column.kind' 'type'); \
               CREATE MATERIALIZED VIEW kinds AS SELECT kind, count(*) AS n FROM seen GROUP BY kind";
    pipeline.process().declare(sql).unwrap();
    pipeline.process().declare("CREATE MATERIALIZED VIEW gone AS SELECT count(*) AS n FROM seen").unwrap();
    append(&pipeline, &events[200..]);
    pipeline.settle().unwrap();
    pipeline.process().drop_query("gone").unwrap();
    let before = rows(&pipeline.memory().read());
    pipeline.finish(End::Now).unwrap();
    assert!(!before["kinds"].is_empty() && !before.contains_key("gone"));
    assert_eq!(again(&path, 2).unwrap().1, before);
}

/// Small files, which go as soon as snapshots stand for them; a snapshot after each tick.
fn forgetful(tick_events: usize) -> Setting {
    let snapshots = snapshot::Setting {
        every: Some(std::time::Duration::ZERO),
        free_bytes_min: 0,
        ..snapshot::Setting::off()
    };
    let log_keep = Some(std::time::Duration::ZERO);
    Setting { snapshots, log_keep, segment_bytes: 8 << 10, ..Setting::replay(2, tick_events) }
}

/// A tick, and the snapshot after it.
fn tick_and_snapshot(pipeline: &Pipeline, events: &[bytes::Bytes]) {
    let written = || pipeline.shared().snapshots.now().written;
    let before = written();
    append(pipeline, events);
    pipeline.settle().unwrap();
    while written() == before {
        std::thread::yield_now();
    }
}

#[test]
fn a_log_keeps_what_its_oldest_snapshot_needs_and_says_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, whole) = (folder.path().join("data"), folder.path().join("whole"));
    let events = workload(SEED, 1_200);
    let setting = forgetful(40);
    let start = |path: &Path, setting: &Setting| {
        let pipeline = Pipeline::start(Data::open(path, Some("core")).unwrap(), setting).unwrap();
        pipeline.visible().wait(None, |reach| reach.restored).unwrap();
        pipeline
    };
    let pipeline = start(&path, &setting);
    events[..800].chunks(40).for_each(|tick| tick_and_snapshot(&pipeline, tick));
    let oldest = |path: &Path| {
        let manifests = snapshot::manifest::list(&snapshots_path(path)).unwrap();
        assert_eq!(manifests.len(), 3);
        snapshot::manifest::Manifest::read(&manifests[2].1).unwrap().point.positions()[0].offset
    };
    let begin = |pipeline: &Pipeline| pipeline.log().trimmed()[0].offset;
    assert!(0 < begin(&pipeline) && begin(&pipeline) <= oldest(&path), "{}", begin(&pipeline));
    // A table that would lack its history is refused, unless it says that what is left is enough.
    let table = |name: &str, options: &str| {
        format!(
            "CREATE EXTERNAL TABLE {name} (kind TEXT) STORED AS CLOUDEVENTS LOCATION '*' OPTIONS ('column.kind' 'type'{options}); \
             CREATE MATERIALIZED VIEW {name}_kinds AS SELECT kind, count(*) AS n FROM {name} GROUP BY kind"
        )
    };
    let why = pipeline.process().declare(&table("seen", "")).unwrap_err().to_string();
    assert!(why.contains("log_keep") && why.contains("'history' 'kept'"), "{why}");
    pipeline.process().declare(&table("seen", ", 'history' 'kept'")).unwrap();
    let begin_declared = begin(&pipeline);
    append(&pipeline, &events[800..840]);
    pipeline.settle().unwrap();
    // Nothing goes until the oldest snapshot has the table: a crash here fills it with the same once more.
    assert_eq!(begin(&pipeline), begin_declared);
    let seen = rows(&pipeline.memory().read());
    assert!(!seen["seen_kinds"].is_empty());
    pipeline.finish(End::Now).unwrap();
    let crashed = folder.path().join("crashed");
    copy(&path, &crashed);
    // As if the snapshots after the declaration had not been written.
    let newer = snapshot::manifest::list(&snapshots_path(&crashed)).unwrap();
    newer[..2].iter().for_each(|(_, manifest)| std::fs::remove_file(manifest).unwrap());
    let pipeline = start(&crashed, &setting);
    pipeline.settle().unwrap();
    assert!(rows(&pipeline.memory().read()) == seen, "after a crash rows differ");
    pipeline.finish(End::Now).unwrap();
    let pipeline = start(&path, &setting);
    pipeline.settle().unwrap();
    assert!(rows(&pipeline.memory().read()) == seen, "after a restart rows differ");
    events[840..].chunks(40).for_each(|tick| tick_and_snapshot(&pipeline, tick));
    assert!(begin_declared < begin(&pipeline) && begin(&pipeline) <= oldest(&path));
    let mut last = rows(&pipeline.memory().read());
    let gauge = format!("tallyflow_log_begin{{partition=\"0\"}} {}", begin(&pipeline));
    assert!(pipeline.process().metrics().contains(&gauge), "{gauge}");
    pipeline.finish(End::Now).unwrap();
    // A log of which nothing went gives the same views.
    last.remove("seen_kinds");
    let finished = replay(Data::open(&whole, Some("core")).unwrap(), &events, 1, 40);
    assert!(rows(&finished.shared.memory.read()) == last, "a whole log gives other rows");
    // Who needs what is gone is told so.
    let why = Truth::open(&path, "core", Feed::read_only(&path).unwrap()).err().unwrap().to_string();
    assert!(why.contains("log_keep"), "{why}");
    std::fs::remove_dir_all(snapshots_path(&path)).unwrap();
    let why = again(&path, 1).unwrap_err();
    assert!(why.contains("no snapshot can be used") && why.contains("log_keep"), "{why}");
}

/// Runs the binary's replay of a file; kills it once `ticks` ticks are bound.
fn replay_and_kill(file: &Path, data: &Path, out: &Path, ticks: Option<u64>) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
    command.args(["replay", "--catalog", "retail", "--workers", "2", "--tick-events", "250"]);
    command.arg(file).arg("--data").arg(data).arg("--out").arg(out).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let Some(ticks) = ticks else { return child.wait().unwrap().success() };
    while child.try_wait().unwrap().is_none() {
        let bytes = std::fs::metadata(bindings_path(data)).map_or(0, |meta| meta.len());
        if bytes > 8 + 90 * ticks {
            // `kill` is SIGKILL: nothing can be tidied up.
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn a_replay_killed_at_any_moment_can_be_run_again() {
    let Some(folder) = retail::folder() else { return };
    let file = folder.join("events.ndjson.zst");
    let place = tempfile::tempdir().unwrap();
    let (data, out) = (place.path().join("data"), place.path().join("out"));
    let mut killed = 0;
    for ticks in [1, 40, 90] {
        killed += u32::from(replay_and_kill(&file, &data, &out, Some(ticks)));
    }
    assert!(killed > 0, "the replay was never killed");
    assert!(replay_and_kill(&file, &data, &out, None));
    retail::assert_golden(&folder, &out);
}
