//! The runner of SQL suites, on a database that only counts: what it runs, in which order, and how it counts answers.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]
use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use clap::Parser;
use harness::slt::database::{Answer, Execute, Open};
use harness::slt::{self, Mode, Options};
use queries::DeclareError;
use std::sync::{Arc, Mutex};

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// Answers every query with the number of inserts so far; refuses what names `strange`.
fn open(log: Arc<Mutex<Vec<String>>>) -> Open {
    Arc::new(move || {
        let log = log.clone();
        let mut inserts = 0;
        let execute: Execute = Box::new(move |sql| {
            log.lock().unwrap().push(sql.to_owned());
            if sql.contains("strange") {
                return Err(DeclareError::Unsupported("strange is not supported".into()));
            }
            if sql.contains("panics") {
                panic!("at the disco");
            }
            if sql.starts_with("SELECT") {
                let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
                let column = Arc::new(Int64Array::from(vec![inserts]));
                let rows = RecordBatch::try_new(schema.clone(), vec![column]).unwrap();
                return Ok(Answer::Rows(schema, vec![rows]));
            }
            inserts += i64::from(sql.starts_with("INSERT"));
            Ok(Answer::Done(1))
        });
        Ok(execute)
    })
}

fn run(script: &str, mode: &str) -> (slt::report::Tally, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("case.slt");
    std::fs::write(&file, script).unwrap();
    let options = Arguments::parse_from(["slt", "--mode", mode, file.to_str().unwrap()]).options;
    let log = Arc::new(Mutex::new(vec![]));
    let tally = slt::run(&options, &open(log.clone())).unwrap();
    let log = log.lock().unwrap().clone();
    (tally, log)
}

const SCRIPT: &str = "
statement ok
CREATE TABLE t (a INT)

skipif mysql # it has none
statement ok
CREATE TABLE strange (a INT)

statement ok
INSERT INTO t VALUES (1)

statement ok
CREATE MATERIALIZED VIEW v AS SELECT count(*) FROM t

query I
SELECT * FROM v ORDER BY 1
----
1

query I
SELECT * FROM t
----
7

query I
SELECT a FROM strange
----
1

query error
SELECT 1 FROM t

query I
SELECT 'panics' FROM t
----
1

query I
SET x = 1
----

statement ok
DROP TABLE t
";

#[test]
fn answers_are_counted_by_what_became_of_them() {
    let (tally, _) = run(SCRIPT, "plain");
    let counts = tally.queries(Mode::Plain);
    assert_eq!(
        (counts.passed, counts.refused, counts.accepted, counts.wrong, counts.skipped),
        (1, 1, 1, 2, 1),
        "{:?}",
        tally.lines()
    );
    assert!(tally.reasons().iter().any(|reason| reason.contains("after: strange is not supported")));
}

#[test]
fn each_query_is_wrapped_in_a_view_where_it_stands() {
    let (tally, log) = run(SCRIPT, "wrap");
    assert_eq!(tally.queries(Mode::Wrap).passed, 1, "{:?}", tally.lines());
    let at = log.iter().position(|sql| sql.contains("AS SELECT * FROM v")).unwrap();
    let name = log[at].split_whitespace().nth(3).unwrap();
    assert_eq!(log[at], format!("CREATE MATERIALIZED VIEW {name} AS SELECT * FROM v ORDER BY 1"));
    assert_eq!(log[at + 1], format!("SELECT * FROM {name}"));
    assert_eq!(log[at + 2], format!("DROP MATERIALIZED VIEW {name}"));
}

#[test]
fn upstream_creates_every_view_before_the_data() {
    let (tally, log) = run(SCRIPT, "upstream");
    assert_eq!(tally.queries(Mode::Upstream).passed, 1, "{:?}", tally.lines());
    let place = |text: &str| log.iter().position(|sql| sql.contains(text)).unwrap();
    let data = place("INSERT INTO t");
    for view in ["VIEW v AS", "AS SELECT * FROM v", "AS SELECT * FROM t"] {
        assert!(place("CREATE TABLE t") < place(view) && place(view) < data, "{view}: {log:#?}");
    }
    assert_eq!(log.iter().filter(|sql| sql.contains("VIEW v AS")).count(), 1);
}
