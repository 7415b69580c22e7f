//! A restart from a snapshot is a restart from the log: the same rows at every time after, and what is damaged is never used.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;

use dataflows::Time;
use drive::{append, copy, rows, workload};
use harness::data::{Data, snapshots_path};
use harness::intake::Counts;
use harness::pipeline::{Pipeline, Setting};
use harness::snapshot;
use harness::ticks::End;
use harness::{Config, Tallyflow};
use queries::api::host::Host;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SEED: u64 = 11;
const TICK: usize = 25;

type Rows = BTreeMap<String, Vec<String>>;

/// What can be told apart after a tick.
#[derive(Debug, PartialEq)]
struct Seen {
    time: Option<Time>,
    rows: Rows,
    counts: Counts,
    quarantined: Vec<String>,
}

/// Full ticks at the times of the events, and a snapshot after each.
fn each_tick(workers: usize) -> Setting {
    let snapshots = snapshot::Setting {
        every: Some(Duration::ZERO),
        kept: 1_000,
        free_bytes_min: 0,
        ..snapshot::Setting::off()
    };
    Setting { snapshots, ..Setting::replay(workers, TICK) }
}

fn see(pipeline: &Pipeline) -> Seen {
    let read = pipeline.memory().read();
    let intake = pipeline.shared().intake.lock().unwrap();
    let quarantined = intake.quarantine(0, 1_000).map(|entry| format!("{entry:?}")).collect();
    Seen { time: read.time(), rows: rows(&read), counts: intake.counts().clone(), quarantined }
}

fn open(path: &Path, setting: &Setting) -> Pipeline {
    Pipeline::start(Data::open(path, Some("core")).unwrap(), setting).unwrap()
}

/// A copy of a directory, to be changed.
fn copied(folder: &tempfile::TempDir, from: &Path, name: &str) -> PathBuf {
    let to = folder.path().join(name);
    copy(from, &to);
    to
}

/// A copy without snapshots: what the log alone gives.
fn without(folder: &tempfile::TempDir, from: &Path, name: &str) -> PathBuf {
    let to = copied(folder, from, name);
    _ = std::fs::remove_dir_all(snapshots_path(&to));
    to
}

fn manifests(path: &Path) -> Vec<PathBuf> {
    let list = snapshot::manifest::list(&snapshots_path(path)).unwrap();
    list.into_iter().map(|(_, path)| path).collect()
}

/// Appends whole ticks, one after the other, and says what can be seen after each.
fn ticks(pipeline: &Pipeline, events: &[bytes::Bytes]) -> Vec<Seen> {
    let tick = |events: &[bytes::Bytes]| {
        append(pipeline, events);
        pipeline.settle().unwrap();
        see(pipeline)
    };
    events.chunks(TICK).map(tick).collect()
}

#[test]
fn every_tick_after_a_restart_from_any_snapshot_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let events = workload(SEED, 20 * TICK);
    let pipeline = open(&path, &each_tick(2));
    ticks(&pipeline, &events[..16 * TICK]);
    let status = pipeline.shared().snapshots.clone();
    pipeline.finish(End::Drain).unwrap();
    let figures = status.now();
    assert!(figures.written >= 16 && figures.merged > 0 && figures.failed == 0, "{figures:?}");
    // The rest is new once, and then all of it comes again.
    let rest: Vec<_> = events[16 * TICK..].iter().chain(&events[10 * TICK..14 * TICK]).cloned().collect();
    let oracle = open(&without(&folder, &path, "oracle"), &Setting::replay(1, TICK));
    oracle.settle().unwrap();
    let expected: Vec<Seen> = [see(&oracle)].into_iter().chain(ticks(&oracle, &rest)).collect();
    assert!(expected.last().unwrap().counts.duplicates > 4 * TICK as u64 - 20);
    for (newest, workers) in [(0, 1), (1, 2), (7, 4), (14, 1)] {
        let copied = copied(&folder, &path, &format!("from-{newest}"));
        let all = manifests(&copied);
        all[..newest].iter().for_each(|manifest| std::fs::remove_file(manifest).unwrap());
        let pipeline = open(&copied, &each_tick(workers));
        assert_eq!(pipeline.repairs(), [] as [String; 0]);
        pipeline.settle().unwrap();
        let seen: Vec<Seen> = [see(&pipeline)].into_iter().chain(ticks(&pipeline, &rest)).collect();
        assert_eq!(seen, expected, "from the snapshot {newest} before the last");
        let phases = pipeline.shared().snapshots.now().phases;
        assert!(phases.iter().any(|(name, _)| *name == "snapshot verified and read"), "{phases:?}");
        drive::check_now(&pipeline);
        pipeline.finish(End::Drain).unwrap();
    }
}

#[test]
fn what_is_damaged_is_rejected_with_its_reason_and_an_older_one_or_the_log_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let events = workload(SEED, 6 * TICK);
    let pipeline = open(&path, &each_tick(1));
    ticks(&pipeline, &events);
    let expected = see(&pipeline);
    pipeline.finish(End::Drain).unwrap();
    let newest = |path: &Path| manifests(path)[0].clone();
    let part = |path: &Path| {
        let manifest = snapshot::manifest::Manifest::read(&newest(path)).unwrap();
        // One that only the newest names, if there is one.
        let name =
            manifest.parts().max_by_key(|part| (part.name.len(), part.name.clone())).unwrap().name.clone();
        snapshots_path(path).join(name)
    };
    type Damage<'a> = &'a dyn Fn(&Path);
    let flip = |file: PathBuf| {
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(file, bytes).unwrap();
    };
    let cut = |file: PathBuf| {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(file, &bytes[..bytes.len() - 3]).unwrap();
    };
    let cases: [(&str, Damage, &str); 7] = [
        ("a part with a flipped bit", &|path| flip(part(path)), "checksum"),
        ("a part cut short", &|path| cut(part(path)), "length"),
        ("a part missing", &|path| std::fs::remove_file(part(path)).unwrap(), "missing"),
        ("a manifest with a flipped bit", &|path| flip(newest(path)), "manifest"),
        ("a manifest cut short", &|path| cut(newest(path)), "manifest"),
        ("an empty manifest", &|path| std::fs::write(newest(path), "").unwrap(), "manifest"),
        (
            "bindings that end before it",
            &|path| {
                let file = harness::data::bindings_path(path);
                let bytes = std::fs::read(&file).unwrap();
                std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
            },
            "bindings",
        ),
    ];
    for (name, damage, reason) in cases {
        let copied = copied(&folder, &path, name);
        damage(&copied);
        let pipeline = open(&copied, &each_tick(1));
        pipeline.settle().unwrap();
        let figures = pipeline.shared().snapshots.now();
        assert!(figures.rejected.get(reason).is_some_and(|count| *count >= 1), "{name}: {figures:?}");
        assert!(pipeline.repairs().iter().any(|text| text.contains("put aside")), "{name}");
        assert_eq!(see(&pipeline), expected, "{name}");
        let metrics = pipeline.process().metrics();
        assert!(metrics.contains(&format!("tallyflow_snapshot_rejected_total{{reason=\"{reason}\"}}")));
        pipeline.finish(End::Drain).unwrap();
        // It does not come back.
        let pipeline = open(&copied, &each_tick(1));
        assert_eq!(pipeline.shared().snapshots.now().rejected.len(), 0, "{name}");
        pipeline.finish(End::Drain).unwrap();
    }
}

#[test]
fn a_log_with_other_records_is_seen_at_the_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let [ours, other] = [("ours", SEED), ("other", SEED + 1)].map(|(name, seed)| {
        let path = folder.path().join(name);
        let pipeline = open(&path, &each_tick(1));
        ticks(&pipeline, &workload(seed, 4 * TICK));
        pipeline.finish(End::Drain).unwrap();
        path
    });
    let log = harness::data::log_path(&ours);
    std::fs::remove_dir_all(&log).unwrap();
    copy(&harness::data::log_path(&other), &log);
    let pipeline = open(&ours, &each_tick(1));
    assert!(pipeline.repairs()[0].contains("another record"), "{:?}", pipeline.repairs());
    let why = pipeline.finish(End::Drain).err().unwrap().to_string();
    assert!(why.contains("REPLAY_DIVERGED"), "{why}");
}

#[test]
fn a_start_may_be_asked_to_begin_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let pipeline = open(&path, &each_tick(1));
    let seen = ticks(&pipeline, &workload(SEED, 5 * TICK));
    pipeline.finish(End::Drain).unwrap();
    let mut setting = each_tick(1);
    setting.snapshots.not_after = seen[2].time;
    let pipeline = open(&path, &setting);
    pipeline.settle().unwrap();
    assert_eq!(&see(&pipeline), seen.last().unwrap());
    assert_eq!(pipeline.shared().snapshots.now().rejected.len(), 0);
    assert_eq!(pipeline.memory().read().view("order_totals").and_then(|kept| kept.since()), None);
}

/// All rows of a database, and the answers to some queries.
fn answers(path: &Path, workers: usize, queries: &[&str]) -> Vec<String> {
    let tallyflow = opened(path, workers);
    let answer = |sql: &&str| format!("{sql}: {:?}", normalized(&tallyflow.execute(sql)));
    let answers = queries.iter().map(answer).collect();
    tallyflow.close().unwrap();
    answers
}

fn opened(path: &Path, workers: usize) -> Tallyflow {
    Tallyflow::open(Config { data: Some(path.to_owned()), workers, ..Config::default() }).unwrap()
}

/// Answers without the time at which they were given.
fn normalized(answer: &Result<Vec<queries::session::Answer>, queries::DeclareError>) -> String {
    match answer {
        Ok(answers) => {
            let texts = answers.iter().map(|answer| match answer {
                queries::session::Answer::Rows { rows, .. } => {
                    arrow::util::pretty::pretty_format_batches(rows).unwrap().to_string()
                }
                queries::session::Answer::Done { tag } => tag.clone(),
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        Err(why) => format!("refused: {why}"),
    }
}

#[test]
fn statements_tables_and_writes_go_on_after_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let lives: [&[&str]; 4] = [
        &[
            "CREATE TABLE a (k INT PRIMARY KEY, n INT)",
            "CREATE TABLE gone (x INT)",
            "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(n) AS total FROM a",
            "INSERT INTO a VALUES (1, 10), (2, 20), (3, NULL)",
            "INSERT INTO gone VALUES (1)",
            "UPDATE a SET n = 11 WHERE k = 1",
            "DELETE FROM a WHERE k = 2",
        ],
        &[
            "DROP TABLE gone",
            "CREATE TABLE gone (x INT, y TEXT)",
            "INSERT INTO gone VALUES (7, 'seven')",
            "INSERT INTO a VALUES (2, 22)",
        ],
        &[
            "CREATE MATERIALIZED VIEW late AS SELECT a.k, gone.y FROM a LEFT JOIN gone ON a.k * 7 = gone.x",
            "UPDATE a SET n = n + 1",
            "DELETE FROM gone WHERE x > 100",
        ],
        &["INSERT INTO a VALUES (4, 4)", "DELETE FROM a WHERE k = 3", "UPDATE gone SET y = 'sept'"],
    ];
    let queries = [
        "SELECT * FROM a ORDER BY k",
        "SELECT * FROM gone",
        "SELECT * FROM total",
        "SELECT * FROM late ORDER BY k",
    ];
    for (life, statements) in lives.iter().enumerate() {
        let tallyflow = opened(&path, 1 + life % 2);
        let status = tallyflow.pipeline().shared().snapshots.clone();
        for sql in *statements {
            tallyflow.execute(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
        }
        tallyflow.close().unwrap();
        assert_eq!(status.now().rejected.len(), 0);
        assert!(status.now().written > 0);
        let expected = answers(&without(&folder, &path, &format!("oracle-{life}")), 1, &queries);
        let copied = copied(&folder, &path, &format!("life-{life}"));
        assert_eq!(answers(&copied, 2, &queries), expected, "after life {life}");
    }
}

#[test]
fn a_lower_version_after_the_snapshot_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let event = |id: &str, kind: &str, version: i64, state: &str| {
        let text = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"test\",\"type\":\"{kind}\",\"time\":\"2026-01-01T00:00:00Z\",\
             \"data\":{{\"k\":\"{}\",\"version\":{version},\"state\":\"{state}\"}}}}",
            &id[..1]
        );
        bytes::Bytes::from(text)
    };
    let first = [
        event("a1", "thing.set", 5, "five"),
        event("b1", "thing.set", 1, "one"),
        event("c1", "thing.set", 3, "three"),
        event("c2", "thing.gone", 4, ""),
    ];
    let second = [
        event("a2", "thing.set", 4, "four"),
        event("b2", "thing.set", 2, "two"),
        event("c3", "thing.set", 3, "again"),
        event("a1", "thing.set", 5, "five"),
    ];
    let tallyflow = opened(&path, 1);
    let sql = "CREATE EXTERNAL TABLE things (k TEXT, version BIGINT, state TEXT) STORED AS CLOUDEVENTS LOCATION 'thing.*' \
               OPTIONS ('mode' 'latest', 'key' 'k', 'version' 'version', 'delete' 'thing.gone')";
    tallyflow.execute(sql).unwrap();
    tallyflow.execute("CREATE MATERIALIZED VIEW now AS SELECT k, state FROM things").unwrap();
    append(tallyflow.pipeline(), &first);
    tallyflow.pipeline().settle().unwrap();
    tallyflow.close().unwrap();
    let tallyflow = opened(&path, 2);
    append(tallyflow.pipeline(), &second);
    tallyflow.pipeline().settle().unwrap();
    let answer = normalized(&tallyflow.execute("SELECT * FROM now ORDER BY k"));
    assert!(
        answer.contains("| a | five  |") && answer.contains("| b | two   |") && !answer.contains("| c"),
        "{answer}"
    );
    let counts = tallyflow.pipeline().shared().intake.lock().unwrap().counts().clone();
    assert_eq!((counts.accepted, counts.duplicates), (7, 1));
    tallyflow.close().unwrap();
}

#[test]
fn other_tables_in_the_catalogue_mean_the_log_from_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let (path, catalogue) = (folder.path().join("data"), folder.path().join("catalogue"));
    std::fs::create_dir_all(catalogue.join("tables")).unwrap();
    std::fs::create_dir_all(catalogue.join("views")).unwrap();
    let table = |columns: &str, options: &str| {
        let sql = format!(
            "CREATE EXTERNAL TABLE seen ({columns}) STORED AS CLOUDEVENTS LOCATION '*' OPTIONS ({options})"
        );
        std::fs::write(catalogue.join("tables/seen.sql"), sql).unwrap();
    };
    table("kind TEXT", "'column.kind' 'type'");
    std::fs::write(
        catalogue.join("views/kinds.sql"),
        "CREATE MATERIALIZED VIEW kinds AS SELECT kind, count(*) AS n FROM seen GROUP BY kind",
    )
    .unwrap();
    let start = || {
        let data = Data::open(&path, catalogue.to_str()).unwrap();
        let pipeline = Pipeline::start(data, &each_tick(1)).unwrap();
        pipeline.shared().visible.wait(None, |reach| reach.restored).unwrap();
        pipeline
    };
    let pipeline = start();
    ticks(&pipeline, &workload(SEED, 3 * TICK));
    let before = see(&pipeline);
    pipeline.finish(End::Drain).unwrap();
    // A view may be any other.
    std::fs::write(
        catalogue.join("views/kinds.sql"),
        "CREATE MATERIALIZED VIEW kinds AS SELECT kind, 2 * count(*) AS n FROM seen GROUP BY kind",
    )
    .unwrap();
    let pipeline = start();
    pipeline.settle().unwrap();
    assert_eq!(pipeline.repairs(), [] as [String; 0]);
    assert_ne!(see(&pipeline).rows, before.rows);
    pipeline.finish(End::Drain).unwrap();
    table("kind TEXT, origin TEXT", "'column.kind' 'type', 'column.origin' 'source'");
    let pipeline = start();
    pipeline.settle().unwrap();
    assert!(
        pipeline.repairs()[0].contains("other tables are declared now: seen"),
        "{:?}",
        pipeline.repairs()
    );
    assert!(pipeline.shared().snapshots.now().rejected["definitions"] > 0);
    pipeline.finish(End::Drain).unwrap();
}

/// A disk of its own, gone with it.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: &Path, bytes: u64) -> Disk {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={bytes}");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).status();
        assert!(status.unwrap().success(), "a disk that can be full needs the right to mount one");
        Disk(path.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_snapshots_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let disk = Disk::mount(&snapshots_path(&path), 256 << 10);
    let events = workload(SEED, 120 * TICK);
    let pipeline = open(&path, &each_tick(1));
    ticks(&pipeline, &events);
    let seen = see(&pipeline);
    let status = pipeline.shared().snapshots.clone();
    pipeline.finish(End::Drain).unwrap();
    let figures = status.now();
    assert!(figures.written > 0 && figures.failed == 2, "{figures:?}");
    assert!(figures.off.as_ref().is_some_and(|why| why.contains("in a row")), "{figures:?}");
    // What was written before the disk was full is whole.
    let pipeline = open(&path, &each_tick(1));
    assert_eq!(pipeline.repairs(), [] as [String; 0]);
    pipeline.settle().unwrap();
    assert_eq!(see(&pipeline), seen);
    pipeline.finish(End::Drain).unwrap();
    drop(disk);
    // Too little space is seen before anything is written.
    let mut setting = each_tick(1);
    setting.snapshots.free_bytes_min = 1 << 60;
    let pipeline = open(&path, &setting);
    ticks(&pipeline, &workload(SEED + 1, TICK));
    let status = pipeline.shared().snapshots.clone();
    pipeline.finish(End::Drain).unwrap();
    let failure = status.now().failure.unwrap();
    assert!(failure.contains("bytes free"), "{failure}");
    let files = std::fs::read_dir(snapshots_path(&path)).unwrap().count();
    assert_eq!(files, 0);
}

/// The binary with its own workload and a snapshot every few milliseconds.
fn demo(data: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
    command.args([
        "demo",
        "--rate",
        "3000",
        "--workers",
        "2",
        "--snapshot-every",
        "1ms",
        "--listen",
        "127.0.0.1:0",
    ]);
    command.arg("--data").arg(data).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn killed_at_any_moment_of_a_snapshot_the_next_start_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let mut random = SEED;
    let mut kills = 0;
    for _ in 0..8 {
        let newest = || manifests(&path).first().cloned();
        let (before, mut child) = (newest(), demo(&path));
        let began = std::time::Instant::now();
        while newest() == before {
            assert!(child.try_wait().unwrap().is_none(), "the process ended by itself");
            assert!(began.elapsed() < Duration::from_secs(120), "no snapshot was written");
            std::thread::yield_now();
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros(random >> 46));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let seen = |path: &Path| {
            let pipeline =
                Pipeline::start(Data::open(path, None).unwrap(), &Setting::replay(2, 8_192)).unwrap();
            assert_eq!(pipeline.shared().snapshots.now().rejected.len(), 0);
            pipeline.visible().wait(None, |reach| reach.restored).unwrap();
            let finished = pipeline.finish(End::Drain).unwrap();
            let read = finished.shared.memory.read();
            let counts = finished.shared.intake.lock().unwrap().counts().clone();
            (read.time(), rows(&read), counts)
        };
        let from_log = seen(&without(&folder, &path, &format!("log-{kills}")));
        let from_snapshot = seen(&copied(&folder, &path, &format!("snapshot-{kills}")));
        assert!(from_log == from_snapshot, "after kill {kills} rows differ");
    }
}
