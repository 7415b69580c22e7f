//! CREATE OR REPLACE: the old version serves until the new one takes its place, in one step; where that fails all is as it was.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use harness::{Config, Tallyflow};
use queries::DeclareError;
use queries::session::Answer;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn open(path: &Path, workers: usize) -> Tallyflow {
    Tallyflow::open(Config { data: Some(path.to_owned()), workers, ..Config::default() }).unwrap()
}

fn run(tallyflow: &Tallyflow, sql: &str) -> String {
    let answers = tallyflow.execute(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
    let text = |answer: &Answer| match answer {
        Answer::Rows { rows, .. } => arrow::util::pretty::pretty_format_batches(rows).unwrap().to_string(),
        Answer::Done { tag } => tag.clone(),
    };
    answers.iter().map(text).collect::<Vec<_>>().join("\n")
}

fn refused(tallyflow: &Tallyflow, sql: &str) -> String {
    match tallyflow.execute(sql) {
        Ok(_) => panic!("{sql} was not refused"),
        Err(why) => why.to_string(),
    }
}

/// Keys 0..keys, each with its own number.
fn fill(tallyflow: &Tallyflow, keys: u32) {
    run(tallyflow, "CREATE TABLE t (k INT PRIMARY KEY, n INT)");
    for from in (0..keys).step_by(1_000) {
        let rows: Vec<String> =
            (from..(from + 1_000).min(keys)).map(|k| format!("({k}, {})", k % 7)).collect();
        run(tallyflow, &format!("INSERT INTO t VALUES {}", rows.join(", ")));
    }
}

/// The row of the key 5 as JSON, and how many rows there are.
fn seen(tallyflow: &Tallyflow, view: &str) -> Option<(String, usize)> {
    let read = tallyflow.pipeline().memory().read();
    let kept = read.view(view)?;
    let (mut row, mut rows) = (String::new(), 0);
    for entry in kept.rows().iter() {
        rows += 1;
        let mut text = String::new();
        kept.shape().write_json(entry.row, &mut text);
        if text.contains("\"k\":5,") {
            row = text;
        }
    }
    Some((row, rows))
}

/// Ends all threads when one ends, in whatever way.
struct Ends<'o>(&'o AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_see_the_old_version_and_then_the_new_one_and_nothing_between() {
    for workers in [1, 2, 4] {
        let folder = tempfile::tempdir().unwrap();
        let tallyflow = open(folder.path(), workers);
        fill(&tallyflow, 3_000);
        run(
            &tallyflow,
            "CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT k, sum(n) AS total FROM t GROUP BY k",
        );
        // It is built once it can be read.
        run(&tallyflow, "SELECT count(*) FROM v");
        let (over, seen_old, seen_new) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (over, seen_old, seen_new, tallyflow) = (&over, &seen_old, &seen_new, &tallyflow);
            scope.spawn(move || {
                let _ends = Ends(over);
                while !over.load(Ordering::Relaxed) {
                    match seen(tallyflow, "v") {
                        Some((row, rows)) if row == "{\"k\":5,\"total\":5}" && rows >= 3_000 => {
                            assert!(!seen_new.load(Ordering::Relaxed), "the old version came back");
                            seen_old.store(true, Ordering::Relaxed);
                        }
                        Some((row, rows)) if row == "{\"k\":5,\"word\":\"n5\",\"n\":1}" && rows >= 3_000 => {
                            seen_new.store(true, Ordering::Relaxed);
                        }
                        other => panic!("{other:?} is neither version"),
                    }
                }
            });
            // The world goes on meanwhile.
            let session = tallyflow.session();
            scope.spawn(move || {
                let _ends = Ends(over);
                for k in 10_000.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    session.execute(&format!("INSERT INTO t VALUES ({k}, 1)")).unwrap();
                }
            });
            let _ends = Ends(over);
            while !seen_old.load(Ordering::Relaxed) && !over.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            run(
                tallyflow,
                "CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT k, 'n' || min(n)::text AS word, count(*) AS n FROM t GROUP BY k",
            );
            while !seen_new.load(Ordering::Relaxed) && !over.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        });
        // It is kept from here on, others can read it, and it can be dropped.
        run(&tallyflow, "UPDATE t SET n = 9 WHERE k = 5");
        run(&tallyflow, "CREATE MATERIALIZED VIEW w AS SELECT word, count(*) AS n FROM v GROUP BY word");
        let answer = run(&tallyflow, "SELECT word FROM v WHERE k = 5; SELECT n FROM w WHERE word = 'n9'");
        assert!(answer.contains("| n9   |") && answer.contains("| 1 |"), "{answer}");
        let before = run(&tallyflow, "SELECT * FROM v ORDER BY k; SELECT * FROM w ORDER BY word");
        tallyflow.close().unwrap();
        // From the snapshot, and from the log.
        for again in 0..2 {
            let tallyflow = open(folder.path(), workers);
            assert!(
                run(&tallyflow, "SELECT * FROM v ORDER BY k; SELECT * FROM w ORDER BY word") == before,
                "{again}"
            );
            tallyflow.close().unwrap();
            std::fs::remove_dir_all(folder.path().join("snapshots")).unwrap();
        }
        let tallyflow = open(folder.path(), workers);
        run(&tallyflow, "DROP MATERIALIZED VIEW w; DROP MATERIALIZED VIEW v");
        assert!(refused(&tallyflow, "SELECT * FROM v").contains('v'));
        tallyflow.close().unwrap();
    }
}

#[test]
fn a_new_version_that_fails_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        Config { data: Some(folder.path().to_owned()), state_bytes_max: 8 << 20, ..Config::default() };
    let tallyflow = Tallyflow::open(config).unwrap();
    fill(&tallyflow, 2_000);
    run(&tallyflow, "CREATE MATERIALIZED VIEW v AS SELECT n, count(*) AS c FROM t GROUP BY n");
    let before = run(&tallyflow, "SELECT * FROM v ORDER BY n");
    let kept = std::fs::read(folder.path().join("queries.sql")).unwrap();
    let cases = [
        ("SELECT k, 1 / (n - 3) AS c FROM t", "divide by zero"),
        ("SELECT a.k, b.k AS l, count(*) AS c FROM t a JOIN t b ON a.n = b.n GROUP BY a.k, b.k", "state"),
    ];
    for (query, why) in cases {
        let sql = format!("CREATE OR REPLACE MATERIALIZED VIEW v AS {query}");
        let text = refused(&tallyflow, &sql);
        assert!(text.contains("the old one stands") && text.contains(why), "{text}");
        assert_eq!(run(&tallyflow, "SELECT * FROM v ORDER BY n"), before);
    }
    assert_eq!(std::fs::read(folder.path().join("queries.sql")).unwrap(), kept);
    run(&tallyflow, "DELETE FROM t WHERE n = 0");
    let after = run(&tallyflow, "SELECT * FROM v ORDER BY n");
    assert_ne!(after, before);
    // What could not be built can be built in another way.
    run(&tallyflow, "CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT n, sum(k) AS c FROM t GROUP BY n");
    let answer = run(&tallyflow, "SELECT count(*) FROM v");
    assert!(answer.contains("| 6 "), "{answer}");
    tallyflow.close().unwrap();
}

#[test]
fn what_cannot_be_replaced_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let tallyflow = open(folder.path(), 1);
    let declared = "CREATE TABLE t (k INT); CREATE VIEW plain AS SELECT k FROM t; CREATE VIEW used AS SELECT k + 1 AS k FROM t; \
                    CREATE MATERIALIZED VIEW kept AS SELECT k FROM t; \
                    CREATE MATERIALIZED VIEW reader AS SELECT count(*) AS n FROM kept CROSS JOIN used";
    run(&tallyflow, declared);
    let cases = [
        ("MATERIALIZED VIEW kept AS SELECT 1 AS k", "it is used by reader"),
        ("VIEW used AS SELECT 1 AS k", "it is used by reader"),
        ("MATERIALIZED VIEW plain AS SELECT 1 AS k", "it is a view that is not materialized"),
        ("VIEW reader AS SELECT 1 AS k", "it is a materialized view"),
        ("MATERIALIZED VIEW t AS SELECT 1 AS k", "it is a table"),
        ("MATERIALIZED VIEW reader AS SELECT n FROM reader", "reader"),
        ("MATERIALIZED VIEW reader AS SELECT nothing FROM kept", "nothing"),
    ];
    for (rest, expected) in cases {
        let text = refused(&tallyflow, &format!("CREATE OR REPLACE {rest}"));
        assert!(text.contains(expected), "{rest}: {text}");
    }
    run(&tallyflow, "INSERT INTO t VALUES (1), (2)");
    run(&tallyflow, "CREATE OR REPLACE VIEW plain AS SELECT k * 10 AS k FROM t");
    assert!(run(&tallyflow, "SELECT max(k) AS m FROM plain").contains("| 20 |"));
    use queries::api::host::Host;
    let both =
        "CREATE OR REPLACE MATERIALIZED VIEW reader AS SELECT 1 AS n; CREATE VIEW more AS SELECT 2 AS n";
    let why = tallyflow.pipeline().process().declare(both).unwrap_err();
    assert!(matches!(&why, DeclareError::Unsupported(text) if text.contains("must stand alone")), "{why}");
    assert!(run(&tallyflow, "SELECT n FROM reader").contains("| 4 |"));
    tallyflow.close().unwrap();
    let tallyflow = open(folder.path(), 2);
    assert!(run(&tallyflow, "SELECT max(k) AS m FROM plain").contains("| 20 |"));
    tallyflow.close().unwrap();
}
