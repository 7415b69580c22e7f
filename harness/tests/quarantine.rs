//! What does not count can be read, repaired and taken in, once; what came late is known; and a restart says the same.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;

use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use drive::{append, check_now, rows};
use harness::data::Data;
use harness::pipeline::{Pipeline, Setting};
use harness::ticks::{End, Pace};
use queries::api::host::{DeclareError, Host, Judgement, Quarantined};
use queries::session::Answer;
use sources::Payload;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// 2026-01-01.
const NOW: u64 = 1_767_225_600_000;

const DECLARE: &str = "CREATE EXTERNAL TABLE t (k TEXT NOT NULL, n INT, v BIGINT) STORED AS CLOUDEVENTS LOCATION 't' \
    OPTIONS ('mode' 'latest', 'key' 'k', 'version' 'v', 'column.v' 'entityversion'); \
    CREATE MATERIALIZED VIEW standing AS SELECT k, n FROM t; \
    CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, sum(n) AS s FROM t; \
    CREATE MATERIALIZED VIEW states AS SELECT rule, state, count(*) AS n FROM quarantine GROUP BY rule, state; \
    CREATE MATERIALIZED VIEW whole AS SELECT * FROM quarantine; \
    CREATE MATERIALIZED VIEW delays AS SELECT type, event_id, late_ms FROM late_events";

struct World {
    pipeline: Pipeline,
    now: Arc<AtomicU64>,
}

impl World {
    /// A process whose wall clock a test turns.
    fn open(path: &Path, partitions: u32, workers: usize) -> World {
        let now = Arc::new(AtomicU64::new(NOW));
        let wall = now.clone();
        let at_once = Some(Duration::ZERO);
        let serve = Setting::serve(workers, 1_000);
        let pace = Pace { wait: at_once, wait_busy: at_once, idle: None, ..serve.pace };
        let wall = Arc::new(move || wall.load(Ordering::SeqCst));
        let setting = Setting { pace, wall, partitions, ..serve };
        let data = Data::open(path, Some("empty")).unwrap();
        let pipeline = Pipeline::start(data, &setting).unwrap();
        pipeline.visible().wait(None, |reach| reach.restored).unwrap();
        World { pipeline, now }
    }

    fn send(&self, events: &[String]) {
        let events: Vec<Bytes> = events.iter().map(|event| Bytes::from(event.clone())).collect();
        append(&self.pipeline, &events);
        self.pipeline.settle().unwrap();
    }

    fn judge(&self, id: u64, judgement: Judgement) -> Result<Quarantined, DeclareError> {
        let judged = self.pipeline.process().judge(id, judgement);
        self.agree();
        judged
    }

    fn replay(&self, id: u64, event: &str) -> Quarantined {
        let payload = Payload::Structured(Bytes::from(event.to_owned()));
        self.judge(id, Judgement::Replay(Some(payload))).unwrap()
    }

    /// The batch says the same as the views.
    fn agree(&self) {
        let report = check_now(&self.pipeline);
        assert_eq!((report.differences, report.failed, report.skipped), (vec![], vec![], vec![]));
    }

    fn rows(&self) -> BTreeMap<String, Vec<String>> {
        self.pipeline.settle().unwrap();
        rows(&self.pipeline.memory().read())
    }

    fn list(&self) -> Vec<Quarantined> {
        self.pipeline.process().quarantine(0, 1_000, None)
    }

    /// The rows of a SELECT, cells by bars.
    fn select(&self, sql: &str) -> Vec<String> {
        let Answer::Rows { rows, .. } = self.pipeline.session().execute(sql).unwrap().remove(0) else {
            panic!("no rows")
        };
        let line = |batch: &arrow::array::RecordBatch, row| {
            let cells = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
            cells.collect::<Vec<_>>().join("|")
        };
        rows.iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| line(batch, row)).collect::<Vec<_>>())
            .collect()
    }
}

fn event(id: &str, key: &str, n: i64, version: i64) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t","time":"2026-01-01T00:00:00Z","entityversion":{version},"data":{{"k":"{key}","n":{n}}}}}"#
    )
}

/// For each rule an event that breaks it.
fn broken() -> Vec<(&'static str, String)> {
    let good = |key: &str| event(key, key, 1, 1);
    vec![
        ("json", good("json").replace("}}", "}")),
        ("specversion", good("specversion").replace("1.0", "2.0")),
        ("attribute", good("attribute").replace(r#""source":"/s","#, "")),
        ("extension", good("extension").replace("entityversion", "entity_version")),
        ("time", good("time").replace("2026-01-01T00:00:00Z", "yesterday")),
        ("data", good("data").replace(r#""data":"#, r#""data_base64":"AA==","data":"#)),
        ("type", good("type").replace(r#""type":"t""#, r#""type":5"#)),
        ("column", good("column").replace(r#""n":1"#, r#""n":"many""#)),
        ("size", good("size").replace(r#""n":1"#, &format!(r#""n":1,"pad":"{}""#, "x".repeat(9 << 20)))),
        ("conflict", event("first", "conflict", 2, 2)),
        ("future", good("future").replace("2026-01-01", "2026-01-02")),
    ]
}

#[test]
fn what_breaks_any_rule_is_a_row_and_repaired_it_counts_once() {
    for (partitions, workers) in [(1, 1), (3, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let world = World::open(folder.path(), partitions, workers);
        world.pipeline.process().declare(DECLARE).unwrap();
        world.send(&[event("first", "first", 1, 1)]);
        for (_, text) in broken() {
            world.send(&[text]);
        }
        world.agree();
        let entries = world.list();
        let rules: Vec<&str> = entries.iter().map(|entry| &*entry.rule).collect();
        assert_eq!(rules, broken().iter().map(|(rule, _)| *rule).collect::<Vec<_>>());
        assert!(entries.iter().all(|entry| entry.state == "pending"));
        assert_eq!(world.rows()["total"], [r#"1 x {"n":1,"s":1}"#]);
        let shown = world.select(
            "SELECT id, rule, state, size > 0, octet_length(payload) <= 4096 FROM quarantine ORDER BY id",
        );
        assert_eq!(shown[0], "1|json|pending|true|true");
        assert_eq!(shown.len(), 11);
        for entry in &entries {
            let (id, rule) = (entry.id, entry.rule.to_string());
            // As it was it still cannot be taken, and no second entry comes of it.
            let again = world.judge(id, Judgement::Replay(None)).unwrap();
            assert_eq!((again.state, again.outcome.is_some()), ("failed_again", true), "{rule}");
            let repaired = event(&format!("repaired-{rule}"), &rule, 10, 1);
            assert_eq!(world.replay(id, &repaired).state, "replayed", "{rule}");
            let twice = world.judge(id, Judgement::Replay(None)).unwrap_err();
            assert!(
                matches!(&twice, DeclareError::Conflict(why) if why.contains("replayed already")),
                "{twice}"
            );
        }
        assert_eq!(world.list().len(), entries.len());
        assert_eq!(world.rows()["total"], [r#"1 x {"n":12,"s":111}"#]);
        let intake = world.pipeline.shared().intake.lock().unwrap();
        let counts = intake.counts();
        let sum = counts.accepted + counts.duplicates + counts.rejected() + counts.verdicts;
        assert_eq!((counts.records, counts.accepted), (sum, 12));
        drop(intake);
        let mut before = world.rows();
        // It was read, and nobody asked for it again; the view `whole` has the same rows.
        assert_eq!(before.remove("quarantine"), before.get("whole").cloned());
        world.pipeline.finish(End::Now).unwrap();
        let world = World::open(folder.path(), partitions, 1);
        assert_eq!(world.rows(), before);
        let states: Vec<_> = world.list().iter().map(|entry| entry.state).collect();
        assert_eq!(states, vec!["replayed"; 11]);
        world.pipeline.finish(End::Now).unwrap();
    }
}

#[test]
fn a_repaired_event_takes_its_place_among_versions() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path(), 1, 1);
    world.pipeline.process().declare(DECLARE).unwrap();
    let wrong = |id: &str, version| event(id, "k", 0, version).replace(r#""n":0"#, r#""n":"?""#);
    world.send(&[event("a", "k", 1, 1), wrong("b", 2), event("c", "k", 3, 3), wrong("d", 4)]);
    assert_eq!(world.rows()["standing"], [r#"1 x {"k":"k","n":3}"#]);
    // Version 2 comes after version 3, and changes nothing; version 4 stands.
    assert_eq!(world.replay(1, &event("b", "k", 2, 2)).state, "replayed");
    assert_eq!(world.rows()["standing"], [r#"1 x {"k":"k","n":3}"#]);
    assert_eq!(world.replay(2, &event("d", "k", 4, 4)).state, "replayed");
    assert_eq!(world.rows()["standing"], [r#"1 x {"k":"k","n":4}"#]);
    // Its sender sends the repaired event too: the same counts once.
    world.send(&[event("d", "k", 4, 4)]);
    assert_eq!(world.rows()["total"], [r#"1 x {"n":1,"s":4}"#]);
    assert_eq!(world.list().len(), 2);
    world.agree();
    world.pipeline.finish(End::Now).unwrap();
}

#[test]
fn what_counts_by_another_way_is_superseded_and_what_is_discarded_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path(), 1, 2);
    world.pipeline.process().declare(DECLARE).unwrap();
    let wrong = |id: &str| event(id, id, 0, 1).replace(r#""n":0"#, r#""n":"?""#);
    world.send(&[wrong("a"), wrong("b"), event("a", "a", 1, 1)]);
    assert_eq!(world.replay(1, &event("a", "a", 1, 1)).state, "superseded");
    let discarded = world.judge(2, Judgement::Discard).unwrap();
    assert_eq!((discarded.state, discarded.settled.is_some()), ("discarded", true));
    for judgement in [Judgement::Discard, Judgement::Replay(None)] {
        let why = world.judge(2, judgement).unwrap_err();
        assert!(matches!(&why, DeclareError::Conflict(why) if why.contains("discarded already")), "{why}");
    }
    assert!(matches!(world.judge(3, Judgement::Discard), Err(DeclareError::NotFound(_))));
    assert_eq!(
        world.rows()["states"],
        [
            r#"1 x {"rule":"column","state":"discarded","n":1}"#,
            r#"1 x {"rule":"column","state":"superseded","n":1}"#
        ]
    );
    let pending = world.pipeline.process().quarantine(0, 10, Some("pending"));
    assert_eq!(pending, vec![]);
    for sql in [
        "DELETE FROM quarantine",
        "INSERT INTO late_events SELECT * FROM late_events",
        "DROP TABLE quarantine",
    ] {
        assert!(world.pipeline.session().execute(sql).is_err(), "{sql}");
    }
    world.pipeline.finish(End::Now).unwrap();
}

#[test]
fn two_verdicts_at_once_count_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path(), 1, 1);
    world.pipeline.process().declare(DECLARE).unwrap();
    world.send(&[event("a", "a", 0, 1).replace(r#""n":0"#, r#""n":"?""#)]);
    std::thread::scope(|scope| {
        for n in 1..=4 {
            let process = world.pipeline.process();
            scope.spawn(move || {
                let repaired = event(&format!("repaired-{n}"), &format!("k{n}"), n, 1);
                _ = process.judge(1, Judgement::Replay(Some(Payload::Structured(repaired.into()))));
            });
        }
    });
    assert!(world.rows()["total"][0].contains(r#""n":1,"#), "{:?}", world.rows()["total"]);
    world.agree();
    world.pipeline.finish(End::Now).unwrap();
}

#[test]
fn what_late_events_changed_is_known_and_a_restart_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let world = World::open(&path, 1, 2);
    let changed = "CREATE MATERIALIZED VIEW changed AS SELECT view, events, late_ms, added, withdrawn FROM late_changes";
    world.pipeline.process().declare(&format!("{DECLARE}; {changed}")).unwrap();
    world.send(&[event("a", "a", 1, 1)]);
    // Twenty minutes after their time: one row comes, one becomes another.
    world.now.fetch_add(1_200_000, Ordering::SeqCst);
    world.send(&[event("b", "b", 1, 1), event("c", "a", 5, 2)]);
    assert_eq!(world.rows()["changed"], [] as [String; 0]);
    let on_time = |id: &str| event(id, id, 1, 1).replace("T00:00:00Z", "T00:20:00Z");
    world.send(&[on_time("d")]);
    // What is five seconds later brings the rows.
    world.now.fetch_add(5_000, Ordering::SeqCst);
    world.send(&[on_time("e")]);
    let row = |view: &str, added: u32, withdrawn: u32| {
        format!(
            r#"1 x {{"view":"{view}","events":2,"late_ms":1200000,"added":{added},"withdrawn":{withdrawn}}}"#
        )
    };
    let expected = [row("delays", 2, 0), row("standing", 2, 1), row("total", 1, 1)];
    let seen = world.rows();
    assert_eq!(seen["changed"], expected);
    let ticks = world.select("SELECT DISTINCT time, view IS NULL FROM late_changes");
    assert_eq!(ticks.len(), 1, "{ticks:?}");
    world.agree();
    world.pipeline.finish(End::Now).unwrap();
    // From the snapshot, from the log, and where the table is filled again by ticks that are told as one.
    for round in 0..3 {
        if round > 0 {
            _ = std::fs::remove_dir_all(harness::data::snapshots_path(&path));
        }
        let world = World::open(&path, 1, 1 + round);
        assert_eq!(world.pipeline.repairs(), [] as [String; 0]);
        assert_eq!(world.rows(), seen, "{round}");
        world.agree();
        world.pipeline.finish(End::Now).unwrap();
    }
    let world = World::open(&path, 1, 1);
    world.now.fetch_add(2_400_000, Ordering::SeqCst);
    world.send(&[event("f", "f", 1, 1)]);
    world.now.fetch_add(5_000, Ordering::SeqCst);
    world.send(&[event("g", "g", 1, 1).replace("T00:00:00Z", "T00:40:00Z")]);
    assert_eq!(world.rows()["changed"].len(), expected.len() + 3);
    world.agree();
    world.pipeline.finish(End::Now).unwrap();
}

#[test]
fn a_snapshot_of_before_there_was_late_changes_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let world = World::open(&path, 1, 1);
    world.pipeline.process().declare(DECLARE).unwrap();
    world.send(&[event("a", "a", 1, 1)]);
    let seen = world.rows();
    world.pipeline.finish(End::Now).unwrap();
    let manifests = harness::snapshot::manifest::list(&harness::data::snapshots_path(&path)).unwrap();
    for (_, manifest) in &manifests {
        let text = std::fs::read_to_string(manifest).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let streams = json["streams"].as_array_mut().unwrap();
        let before = streams.len();
        streams.retain(|kept| kept["stream"]["table"] != "late_changes");
        assert_eq!(streams.len(), before - 1);
        let sum = xxhash_rust::xxh3::xxh3_64(json.to_string().as_bytes());
        std::fs::write(manifest, format!("{json}\n{sum:016x}\n")).unwrap();
    }
    let world = World::open(&path, 1, 1);
    assert_eq!(world.pipeline.repairs(), [] as [String; 0]);
    let phases = world.pipeline.shared().snapshots.now().phases;
    assert!(phases.iter().any(|(name, _)| *name == "snapshot verified and read"), "{phases:?}");
    assert_eq!(world.rows(), seen);
    world.pipeline.finish(End::Now).unwrap();
}

#[test]
fn future_events_wait_and_cannot_move_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path(), 1, 1);
    world.pipeline.process().declare(DECLARE).unwrap();
    let future = event("f", "f", 1, 1).replace("2026-01-01T00:00:00Z", "2026-01-01T06:00:00Z");
    world.send(&[future]);
    let early = world.judge(1, Judgement::Replay(None)).unwrap();
    assert_eq!(early.state, "failed_again");
    assert!(early.outcome.unwrap().contains("the latest that tick"));
    assert!(world.pipeline.memory().read().time().unwrap() < NOW + 1_000);
    world.now.store(NOW + 7 * 3_600_000, Ordering::SeqCst);
    assert_eq!(world.judge(1, Judgement::Replay(None)).unwrap().state, "replayed");
    assert_eq!(world.rows()["standing"], [r#"1 x {"k":"f","n":1}"#]);
    // It counts now, an hour after its own time: that is late.
    assert_eq!(world.rows()["delays"], [r#"1 x {"type":"t","event_id":"f","late_ms":3600000}"#]);
    world.agree();
    world.pipeline.finish(End::Now).unwrap();
}

#[test]
fn events_in_binary_mode_are_replayed_byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path(), 1, 1);
    world.pipeline.process().declare(DECLARE).unwrap();
    let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let names =
        [("specversion", "1.0"), ("id", "b"), ("source", "/s"), ("type", "t"), ("entityversion", "1")];
    let mut attributes: Vec<_> = names.iter().map(|(name, value)| attribute(name, value)).collect();
    attributes.push(attribute("time", "2026-01-01T06:00:00Z"));
    let payload = Payload::Binary { attributes, body: Bytes::from_static(br#"{"k":"b","n":5}"#) };
    world.pipeline.log().append_wait(vec![payload]).unwrap();
    world.pipeline.settle().unwrap();
    world.now.store(NOW + 7 * 3_600_000, Ordering::SeqCst);
    assert_eq!(world.judge(1, Judgement::Replay(None)).unwrap().state, "replayed");
    assert_eq!(world.rows()["standing"], [r#"1 x {"k":"b","n":5}"#]);
    world.pipeline.finish(End::Now).unwrap();
}

#[test]
fn a_table_declared_later_puts_what_it_cannot_take_beside_what_counts() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path(), 3, 1);
    world.pipeline.process().declare(DECLARE).unwrap();
    let events: Vec<String> = (0..20).map(|i| event(&format!("e{i}"), &format!("k{i}"), i, 1)).collect();
    world.send(&events);
    let strict = "CREATE EXTERNAL TABLE strict (k TEXT NOT NULL, missing TEXT NOT NULL) STORED AS CLOUDEVENTS LOCATION 't'";
    world.pipeline.process().declare(strict).unwrap();
    world.agree();
    let entries = world.list();
    assert_eq!(entries.len(), 20);
    assert!(world.rows()["total"][0].contains(r#""n":20"#));
    let why = world.judge(1, Judgement::Discard).unwrap_err().to_string();
    assert!(why.contains("declared after it"), "{why}");
    let before = world.rows();
    world.send(&[event("more", "more", 1, 1)]);
    world.pipeline.finish(End::Now).unwrap();
    // The log is longer now, and the entries have the ids that they had.
    let world = World::open(folder.path(), 3, 2);
    let again = world.rows();
    assert_eq!(again["whole"][..20].len(), before["whole"].len());
    assert!(before["whole"].iter().all(|row| again["whole"].contains(row)));
    world.agree();
    world.pipeline.finish(End::Now).unwrap();
}
