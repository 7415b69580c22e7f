//! Joins, subqueries and set operations: each query's plan, and the batch oracle, against what PostgreSQL 15 answered over the same rows.
//!
//! `PG='-h 127.0.0.1 -p 5432 -U postgres' UPDATE=1 cargo test .. --test relations` asks a PostgreSQL again and writes the answers down.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#[path = "lower/evaluate.rs"]
mod evaluate;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use datafusion::common::ScalarValue;
use evaluate::{Bag, bag, evaluate};
use queries::{Catalogue, batch};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

const TABLES: &str = "
    CREATE EXTERNAL TABLE a (id INT, k INT, v INT, t TEXT) STORED AS CLOUDEVENTS LOCATION 'a';
    CREATE EXTERNAL TABLE b (id INT, k INT, w INT, u TEXT) STORED AS CLOUDEVENTS LOCATION 'b';
    CREATE EXTERNAL TABLE c (id INT, k INT, n INT, s TEXT) STORED AS CLOUDEVENTS LOCATION 'c';
";

/// Three integers and a text: `-` is NULL.
const ROWS: [(&str, &str); 3] = [
    ("a", "1 1 5 x|2 1 2 y|3 2 - x|4 - 3 z|5 2 2 -|6 4 4 y|7 1 5 x|8 - - -|9 3 0 z"),
    ("b", "1 1 4 x|2 1 5 y|3 2 2 -|4 - 6 x|5 5 1 z|6 2 - y|7 1 4 x|8 - - -|9 6 3 z"),
    ("c", "1 1 4 x|2 2 - y|3 2 1 -|4 - 3 x|5 1 5 z"),
];

fn cells() -> impl Iterator<Item = (&'static str, Vec<Vec<Option<&'static str>>>)> {
    ROWS.into_iter().map(|(name, rows)| {
        let cell = |text: &'static str| (text != "-").then_some(text);
        (name, rows.split('|').map(|row| row.split(' ').map(cell).collect()).collect())
    })
}

fn tables(catalogue: &Catalogue) -> BTreeMap<String, Vec<RecordBatch>> {
    cells()
        .map(|(name, rows)| {
            let schema = catalogue.tables().find(|m| *m.table.name == *name).unwrap().table.schema.clone();
            let number = |i: usize| -> ArrayRef {
                Arc::new(rows.iter().map(|row| row[i].map(|n| n.parse().unwrap())).collect::<Int32Array>())
            };
            let text = Arc::new(rows.iter().map(|row| row[3]).collect::<StringArray>());
            let columns = vec![number(0), number(1), number(2), text];
            (name.to_string(), vec![RecordBatch::try_new(schema, columns).unwrap()])
        })
        .collect()
}

/// The rows as PostgreSQL's COPY writes them, numbers without what comes after six digits.
fn lines(found: &Bag) -> Vec<String> {
    let cell = |value: &ScalarValue| match value {
        value if value.is_null() => "\\N".to_string(),
        ScalarValue::Boolean(Some(truth)) => if *truth { "t" } else { "f" }.into(),
        value => plain(&value.to_string()),
    };
    let mut lines = vec![];
    for (row, times) in found {
        let line = row.iter().map(cell).collect::<Vec<_>>().join("\t");
        lines.extend(std::iter::repeat_n(line, *times as usize));
    }
    lines.sort();
    lines
}

fn plain(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(number) => format!("{number:.6}").trim_end_matches('0').trim_end_matches('.').to_string(),
        Err(_) => text.to_string(),
    }
}

fn asked(queries: &str) -> String {
    let mut script = String::from("SET client_min_messages = warning;\n");
    for (name, rows) in cells() {
        let columns = ["v", "w", "n"][["a", "b", "c"].iter().position(|n| *n == name).unwrap()];
        let text = ["t", "u", "s"][["a", "b", "c"].iter().position(|n| *n == name).unwrap()];
        script += &format!("CREATE TEMP TABLE {name} (id int, k int, {columns} int, {text} text);\n");
        for row in rows {
            let cells: Vec<String> =
                row.iter().map(|cell| cell.map_or("NULL".into(), |cell| format!("'{cell}'"))).collect();
            script += &format!("INSERT INTO {name} VALUES ({});\n", cells.join(", "));
        }
    }
    for (i, query) in queries.lines().enumerate() {
        script += &format!("\\echo === {i}\nCOPY ({query}) TO STDOUT;\n");
    }
    let options = std::env::var("PG").unwrap();
    let mut psql = std::process::Command::new("psql")
        .args(options.split(' '))
        .args(["-q", "-X", "-d", "postgres", "-v", "ON_ERROR_STOP=0"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut psql.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = psql.wait_with_output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut answers = String::new();
    for part in output.split("=== ").skip(1) {
        let (place, rows) = part.split_once('\n').unwrap();
        let query = queries.lines().nth(place.parse().unwrap()).unwrap();
        let mut rows: Vec<String> =
            rows.lines().map(|row| row.split('\t').map(plain).collect::<Vec<_>>().join("\t")).collect();
        rows.sort();
        answers += &format!("{query}\n----\n{}\n\n", rows.join("\n"));
    }
    answers
}

/// Every query of a file, and what it is answered.
fn check(file: &str) {
    let path = |ending: &str| format!("{}/tests/cases/{file}.{ending}", env!("CARGO_MANIFEST_DIR"));
    let queries = std::fs::read_to_string(path("sql")).unwrap();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path("answers"), asked(&queries)).unwrap();
    }
    let answers = std::fs::read_to_string(path("answers")).unwrap();
    let answers: BTreeMap<&str, Vec<&str>> = answers
        .split("\n\n")
        .filter_map(|part| part.split_once("\n----"))
        .map(|(query, rows)| {
            (query.trim_start(), rows.strip_prefix('\n').map_or(vec![], |rows| rows.lines().collect()))
        })
        .collect();
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    let tables = tables(&catalogue);
    let mut wrong = vec![];
    for query in queries.lines() {
        let Some(expected) = answers.get(query) else {
            wrong.push(format!("{query}\n  has no answer"));
            continue;
        };
        let compiled = match catalogue.compile(query) {
            Ok(compiled) => compiled,
            Err(why) => {
                wrong.push(format!("{query}\n  refused: {why}"));
                continue;
            }
        };
        match batch::answer_of(&catalogue, &compiled, &tables) {
            Ok(rows) if lines(&bag(&rows)) == *expected => {}
            Ok(rows) => wrong.push(format!(
                "{query}\n  oracle {:?}\n  expect {expected:?}\n{}",
                lines(&bag(&rows)),
                compiled.logical
            )),
            Err(why) => wrong.push(format!("{query}\n  oracle: {why}")),
        }
        let plan = compiled.plan.clone();
        match std::panic::catch_unwind(AssertUnwindSafe(|| evaluate(&plan, &tables))) {
            Ok(found) if lines(&found) == *expected => {}
            Ok(found) => wrong.push(format!(
                "{query}\n  plan   {:?}\n  expect {expected:?}\n{}",
                lines(&found),
                compiled.plan
            )),
            Err(_) => wrong.push(format!("{query}\n  the evaluator failed\n{}", compiled.plan)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), queries.lines().count(), wrong.join("\n\n"));
}

#[test]
fn joins_are_as_in_postgres() {
    check("joins");
}

#[test]
fn an_asof_join_is_the_nearest_row_by_itself() {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    let tables = tables(&catalogue);
    let lateral = |join: &str, end: &str| {
        format!(
            "SELECT a.id, b.id AS bid FROM a {join} JOIN LATERAL (SELECT * FROM b WHERE a.k = b.k AND a.v >= b.w ORDER BY b.w DESC LIMIT 1) AS b {end}"
        )
    };
    let cases = [
        ("SELECT a.id, b.id AS bid FROM a ASOF JOIN b ON a.k = b.k AND a.v >= b.w", lateral("CROSS", "")),
        (
            "SELECT a.id, b.id AS bid FROM a ASOF LEFT JOIN b ON a.k = b.k AND b.w <= a.v",
            lateral("LEFT", "ON true"),
        ),
        (
            "SELECT a.id, b.id AS bid FROM a ASOF JOIN b MATCH_CONDITION (a.v >= b.w) ON a.k = b.k",
            lateral("LEFT", "ON true"),
        ),
        (
            "SELECT a.id, b.id AS bid FROM a JOIN b FOR SYSTEM_TIME AS OF PROCTIME() ON a.k = b.k",
            "SELECT a.id, b.id AS bid FROM a JOIN b ON a.k = b.k".into(),
        ),
    ];
    for (sql, same) in cases {
        let compiled = |sql: &str| catalogue.compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
        let (found, expected) =
            (evaluate(&compiled(sql).plan, &tables), evaluate(&compiled(&same).plan, &tables));
        assert!(!found.is_empty());
        assert_eq!(lines(&found), lines(&expected), "{sql}");
    }
}

#[test]
fn set_operations_are_as_in_postgres() {
    check("sets");
}

#[test]
fn subqueries_are_as_in_postgres() {
    check("subqueries");
}

#[test]
fn a_view_of_thirty_joins_is_compiled_within_a_second() {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    let joins: Vec<String> = (1..=30).map(|i| format!("LEFT JOIN b AS b{i} ON a.k = b{i}.id")).collect();
    let list: Vec<String> = (1..=30).map(|i| format!("b{i}.w AS w{i}")).collect();
    let sql = format!("SELECT a.id, {} FROM a {}", list.join(", "), joins.join(" "));
    let start = std::time::Instant::now();
    catalogue.compile(&sql).unwrap();
    let inner = sql.replace("LEFT JOIN", "JOIN");
    catalogue.compile(&inner).unwrap();
    println!("two views of 30 joins: {:?}", start.elapsed());
}
