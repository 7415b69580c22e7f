//! A panic ends one statement or one view, or the whole engine with a reason; a restart is right. A view that needs too much is stopped.
//!
//! Faults are injected into the whole process, so all of it is one test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
#[path = "support/said.rs"]
mod said;
#[path = "support/wanted.rs"]
mod wanted;

use dataflows::contain::inject;
use harness::{Config, Tallyflow};
use said::said;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use wanted::all;

fn open(path: &Path, workers: usize) -> Tallyflow {
    Tallyflow::open(Config { data: Some(path.to_owned()), workers, ..Config::default() }).unwrap()
}

const VIEWS: &[(&str, &str)] = &[
    ("CREATE TABLE t (k BIGINT PRIMARY KEY, a BIGINT)", "CREATE TABLE"),
    ("CREATE MATERIALIZED VIEW v AS SELECT k, a * 2 AS b FROM t WHERE a > 0", "CREATE MATERIALIZED VIEW"),
    ("CREATE MATERIALIZED VIEW u AS SELECT count(*) AS n FROM v", "CREATE MATERIALIZED VIEW"),
    ("CREATE MATERIALIZED VIEW w AS SELECT a, count(*) AS n FROM t GROUP BY a", "CREATE MATERIALIZED VIEW"),
    (
        "CREATE MATERIALIZED VIEW j AS SELECT x.k, y.a FROM t x JOIN t y ON x.k = y.a",
        "CREATE MATERIALIZED VIEW",
    ),
    ("INSERT INTO t VALUES (1, 1), (2, 1)", "INSERT 0 2"),
    ("SELECT * FROM u", "2"),
    ("SELECT * FROM j", "1|1/1|1"),
];

const RIGHT: &[(&str, &str)] = &[
    ("SELECT * FROM v ORDER BY k", "1|2/2|2/3|6"),
    ("SELECT * FROM u", "3"),
    ("SELECT * FROM w ORDER BY a", "1|2/3|1"),
    ("SELECT * FROM j ORDER BY k", "1|1/1|1/3|3"),
];

fn in_an_operator(path: &Path, workers: usize) {
    for (place, stopped, others) in [
        ("Map of view v", "v", &["w", "j"]),
        ("Aggregate of view w", "w", &["v", "j"]),
        ("Join of view j", "j", &["v", "w"]),
    ] {
        let path = path.join(format!("{stopped}-{workers}"));
        let tallyflow = open(&path, workers);
        all(&tallyflow, VIEWS);
        inject(place);
        all(&tallyflow, &[("INSERT INTO t VALUES (3, 3)", "INSERT 0 1")]);
        let operator = place.split(' ').next().unwrap();
        let wanted = format!("! view {stopped} was stopped: its operator {operator} failed inside: a fault");
        all(&tallyflow, &[(&format!("SELECT * FROM {stopped}"), &wanted)]);
        for other in others {
            let right: Vec<_> =
                RIGHT.iter().filter(|(sql, _)| sql.contains(&format!("FROM {other} "))).copied().collect();
            assert_eq!(right.len(), 1);
            all(&tallyflow, &right);
        }
        if stopped == "v" {
            all(
                &tallyflow,
                &[
                    ("SELECT * FROM u", "! view v was stopped"),
                    ("DROP MATERIALIZED VIEW u", "DROP MATERIALIZED VIEW"),
                ],
            );
            all(&tallyflow, &[("DROP MATERIALIZED VIEW v", "DROP MATERIALIZED VIEW"), VIEWS[1], VIEWS[2]]);
            all(&tallyflow, RIGHT);
        }
        tallyflow.close().unwrap();
        // It is tried again after a restart.
        let tallyflow = open(&path, 3 - workers);
        all(&tallyflow, RIGHT);
        tallyflow.close().unwrap();
    }
}

fn in_a_worker(path: &Path, workers: usize) {
    let path = path.join(format!("worker-{workers}"));
    let tallyflow = open(&path, workers);
    all(&tallyflow, VIEWS);
    inject(&format!("worker {}", workers - 1));
    let failed = said(&tallyflow, "INSERT INTO t VALUES (3, 3)");
    assert!(failed.contains("failed inside: a fault was injected"), "{failed}");
    let again = said(&tallyflow, "INSERT INTO t VALUES (4, 4)");
    assert!(again.starts_with("! "), "{again}");
    let why = tallyflow.close().unwrap_err().to_string();
    assert!(why.contains(&format!("worker {} failed inside", workers - 1)), "{why}");
    let tallyflow = open(&path, 3 - workers);
    // What failed was durable before the worker saw it; what came after may be, too.
    all(
        &tallyflow,
        &[(
            "DELETE FROM t WHERE k = 4",
            &said(&tallyflow, "SELECT 'DELETE ' || count(*) FROM t WHERE k = 4"),
        )],
    );
    all(&tallyflow, RIGHT);
    tallyflow.close().unwrap();
}

fn in_a_statement(path: &Path) {
    let tallyflow = open(&path.join("statement"), 1);
    for sql in ["SELECT 1", "CREATE TABLE t (a INT)", "INSERT INTO nothing VALUES (1)"] {
        inject("statement");
        all(
            &tallyflow,
            &[(sql, "! the statement failed inside, and others go on: a fault"), ("SELECT 2", "2")],
        );
    }
    all(&tallyflow, VIEWS);
    tallyflow.close().unwrap();
}

/// The binary says what happened and ends with a code that is not 0; without the fault it serves on.
fn in_the_binary(path: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
    command.args(["run", "--listen", "127.0.0.1:0", "--workers", "2", "--catalog", "retail", "--data"]);
    command.arg(path.join("binary")).env("TALLYFLOW_FAULT", "worker 1");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success());
    assert!(
        text.contains("a fault was injected at worker 1") && text.contains("resumes from its log"),
        "{text}"
    );
    let tallyflow = open(&path.join("binary"), 1);
    assert!(!said(&tallyflow, "SHOW VIEWS").is_empty());
    tallyflow.close().unwrap();
}

#[test]
fn a_panic_ends_what_it_is_in() {
    let folder = tempfile::tempdir().unwrap();
    for workers in [1, 2] {
        in_an_operator(folder.path(), workers);
        in_a_worker(folder.path(), workers);
    }
    in_a_statement(folder.path());
    in_the_binary(folder.path());
}
