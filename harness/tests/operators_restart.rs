//! Each kind of operator, over tables that statements change: its view is what a SELECT of its query says, by whatever number of
//! workers, before and after restarts, and after kill -9.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
#[path = "support/said.rs"]
mod said;

use harness::{Config, Tallyflow};
use said::said;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

/// A view for each kind, and for each way in which it is written.
const VIEWS: &[(&str, &str)] = &[
    ("map", "SELECT id, n * 2 AS d, upper(s) AS u FROM a WHERE n > 3"),
    ("failing", "SELECT id, 10 / (n + 1) AS q FROM a"),
    ("unioned", "SELECT k, n FROM a UNION ALL SELECT k, n FROM b"),
    ("except_all", "SELECT k FROM a EXCEPT ALL SELECT k FROM b"),
    ("excepted", "SELECT k FROM a EXCEPT SELECT k FROM b"),
    ("intersected", "SELECT k, n FROM a INTERSECT SELECT k, n FROM b"),
    ("distinct_rows", "SELECT DISTINCT k, s FROM a"),
    ("distinct_on", "SELECT DISTINCT ON (k) k, n, id FROM a ORDER BY k, n DESC, id"),
    ("joined", "SELECT a.id, b.id AS other, a.n + b.n AS n FROM a JOIN b ON a.k = b.k"),
    ("self_joined", "SELECT x.id, y.id AS other FROM a x JOIN a y ON x.k = y.k AND x.id < y.id"),
    ("ranged", "SELECT a.id, b.id AS other FROM a JOIN b ON a.k = b.k AND a.n < b.n"),
    ("lefts", "SELECT a.id, b.id AS other FROM a LEFT JOIN b ON a.k = b.k AND b.n > 2"),
    ("fulls", "SELECT a.id, b.id AS other FROM a FULL JOIN b ON a.id = b.n"),
    ("existing", "SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.n > a.n)"),
    ("missing", "SELECT id FROM a WHERE k NOT IN (SELECT k FROM b WHERE k IS NOT NULL)"),
    ("scalar", "SELECT id, (SELECT max(n) FROM b WHERE b.k = a.k) AS m FROM a"),
    (
        "counted",
        "SELECT k, count(*) AS c, sum(n) AS s, avg(n) AS v, min(n) AS lo, max(s) AS hi FROM a GROUP BY k",
    ),
    ("total", "SELECT count(*) AS c, sum(n) AS s FROM a"),
    (
        "general",
        "SELECT k, array_agg(n ORDER BY id) AS l, string_agg(s, ',' ORDER BY id) AS t, CAST(stddev_pop(n) AS NUMERIC(20, 6)) AS d, count(DISTINCT s) AS u FROM a GROUP BY k",
    ),
    (
        "percentile",
        "SELECT k, percentile_cont(0.5) WITHIN GROUP (ORDER BY n) AS p, bool_and(n > 1) AS e FROM a GROUP BY k",
    ),
    ("sets", "SELECT k, s, count(*) AS c FROM a GROUP BY ROLLUP (k, s)"),
    ("having_some", "SELECT k, count(*) AS c FROM a GROUP BY k HAVING count(*) > 2"),
    ("top", "SELECT id, n FROM a ORDER BY n DESC, id LIMIT 5"),
    (
        "top_of_each",
        "SELECT k, id, r FROM (SELECT k, id, row_number() OVER (PARTITION BY k ORDER BY n DESC, id) AS r FROM a) AS x WHERE r <= 2",
    ),
    (
        "windowed",
        "SELECT id, sum(n) OVER (PARTITION BY k ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS s, rank() OVER (PARTITION BY k ORDER BY n) AS r, lag(n) OVER (PARTITION BY k ORDER BY id) AS l FROM a",
    ),
    ("unnested", "SELECT id, unnest(ARRAY[n, n + 1]) AS x FROM a WHERE n IS NOT NULL"),
    ("series", "SELECT id, i FROM a, generate_series(1, n) AS g(i) WHERE n < 4"),
    ("temporal", "SELECT id FROM a WHERE at < now()"),
    ("ahead", "SELECT count(*) AS c FROM a WHERE at > now() + INTERVAL '1 day'"),
    (
        "tumbled",
        "SELECT window_start, count(*) AS c FROM TUMBLE(a, at, INTERVAL '1 hour') GROUP BY window_start",
    ),
    (
        "reached",
        "WITH RECURSIVE r(x) AS (SELECT id FROM a WHERE id < 3 UNION SELECT b.n FROM r JOIN b ON b.id = r.x) SELECT x FROM r",
    ),
    (
        "constant",
        "SELECT v, count(a.id) AS c FROM (VALUES (1), (2), (3)) AS l(v) LEFT JOIN a ON a.k = l.v GROUP BY v",
    ),
    ("of_views", "SELECT c.k, c.c, t.c AS of FROM counted c, total t"),
];

const TABLES: &str = "CREATE TABLE a (id INT PRIMARY KEY, k INT, n INT, s TEXT, at TIMESTAMPTZ); CREATE TABLE b (id INT PRIMARY KEY, k INT, n INT)";

/// Statements that change the tables, the same for one seed.
fn changes(seed: u64, count: usize) -> Vec<String> {
    let mut state = seed;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut list = vec![];
    for _ in 0..count {
        let (id, k, n) = (below(40), below(5), below(9));
        let k = if k == 4 { "NULL".to_owned() } else { k.to_string() };
        list.push(match below(8) {
            0..=3 => {
                let at = ["1999-12-31 23:30:00Z", "2000-01-01 00:10:00Z", "2200-01-01 00:00:00Z"][below(3) as usize];
                format!("INSERT INTO a VALUES ({id}, {k}, {n}, 's{}', '{at}') ON CONFLICT (id) DO UPDATE SET n = excluded.n, k = excluded.k", n % 3)
            }
            4 | 5 => format!("INSERT INTO b VALUES ({id}, {k}, {n}) ON CONFLICT (id) DO UPDATE SET n = excluded.n"),
            6 => format!("DELETE FROM {} WHERE id % 7 = {}", if n % 2 == 0 { "a" } else { "b" }, n % 7),
            _ => format!("UPDATE a SET n = n + 1 WHERE k = {}", n % 4),
        });
    }
    list
}

fn open(path: &Path, workers: usize) -> Tallyflow {
    Tallyflow::open(Config { data: Some(path.to_owned()), workers, ..Config::default() }).unwrap()
}

fn sorted(text: String) -> Vec<String> {
    let mut rows: Vec<String> = text.split('/').map(str::to_owned).collect();
    rows.sort();
    rows
}

/// Every view as it is, compared with its query in batch.
fn compared(tallyflow: &Tallyflow, when: &str) -> Vec<Vec<String>> {
    println!("{when}");
    let began = std::time::Instant::now();
    let mut all = vec![];
    let mut wrong = vec![];
    for (name, query) in VIEWS {
        let kept = sorted(said(tallyflow, &format!("SELECT * FROM {name}")));
        let batch = sorted(said(tallyflow, query));
        let both_fail = kept[0].starts_with('!') && batch[0].starts_with('!') && *name == "failing";
        if kept != batch && !both_fail || kept[0].starts_with('!') != both_fail {
            wrong.push(format!("{name}\n  kept  {kept:?}\n  batch {batch:?}"));
        }
        all.push(kept);
    }
    println!("compared {} ms", began.elapsed().as_millis());
    assert!(wrong.is_empty(), "{when}:\n{}", wrong.join("\n"));
    all
}

fn declare(tallyflow: &Tallyflow, views: &[(&str, &str)]) {
    for (name, query) in views {
        let tag = said(tallyflow, &format!("CREATE MATERIALIZED VIEW {name} AS {query}"));
        assert_eq!(tag, "CREATE MATERIALIZED VIEW", "{name}");
    }
}

fn run(tallyflow: &Tallyflow, statements: &[String]) {
    for sql in statements {
        let began = std::time::Instant::now();
        let tag = said(tallyflow, sql);
        println!("{} ms {sql}", began.elapsed().as_millis());
        assert!(!tag.starts_with('!'), "{sql}: {tag}");
    }
}

#[test]
fn every_operator_is_right_by_any_workers_before_and_after_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let statements = changes(7, 90);
    let tallyflow = open(&path, 1);
    said(&tallyflow, TABLES);
    // Some are there before the rows, some come in the middle.
    declare(&tallyflow, &VIEWS[..VIEWS.len() / 2]);
    run(&tallyflow, &statements[..20]);
    declare(&tallyflow, &VIEWS[VIEWS.len() / 2..]);
    run(&tallyflow, &statements[20..30]);
    let mut before = compared(&tallyflow, "1 worker");
    tallyflow.close().unwrap();
    for (round, workers) in [2, 4, 1].into_iter().enumerate() {
        let tallyflow = open(&path, workers);
        assert_eq!(compared(&tallyflow, &format!("{workers} workers after a restart")), before);
        run(&tallyflow, &statements[30 + 20 * round..50 + 20 * round]);
        before = compared(&tallyflow, &format!("{workers} workers"));
        tallyflow.close().unwrap();
    }
}

/// The body of an answer of the API.
fn post(address: &str, sql: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let body = serde_json::json!({ "sql": sql }).to_string();
    let head = format!(
        "POST /api/v1/sql HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(answer)
}

#[test]
fn every_operator_is_right_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let tallyflow = open(&path, 2);
    said(&tallyflow, TABLES);
    declare(&tallyflow, VIEWS);
    run(&tallyflow, &changes(11, 20));
    tallyflow.close().unwrap();

    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
    command.args(["run", "--listen", "127.0.0.1:0", "--workers", "4", "--data"]).arg(&path);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.find(|line| line.as_ref().unwrap().contains("listening on http://")).unwrap().unwrap();
    let address = line.split("http://").nth(1).unwrap().to_owned();
    let marks: Vec<String> =
        (0..12).map(|i| format!("INSERT INTO b VALUES ({}, 1, {i})", 1_000 + i)).collect();
    for (change, mark) in changes(13, 12).iter().zip(&marks) {
        assert!(post(&address, change).is_some(), "{change}");
        assert!(post(&address, mark).is_some(), "{mark}");
    }
    // One more is under way when it is killed.
    let last = std::thread::spawn(move || post(&address, "INSERT INTO b VALUES (2000, 1, 1)"));
    child.kill().unwrap();
    child.wait().unwrap();
    let acknowledged = last.join().unwrap().is_some();

    let tallyflow = open(&path, 1);
    compared(&tallyflow, "after kill -9");
    assert_eq!(said(&tallyflow, "SELECT count(*) FROM b WHERE id BETWEEN 1000 AND 1011"), "12");
    let there = said(&tallyflow, "SELECT count(*) FROM b WHERE id = 2000") == "1";
    assert!(there || !acknowledged);
    tallyflow.close().unwrap();
}

#[test]
fn a_view_of_30_joins_is_declared() {
    let tallyflow = Tallyflow::open(Config { workers: 2, ..Config::default() }).unwrap();
    said(&tallyflow, TABLES);
    let joins: String = (1..=30).map(|i| format!(" JOIN b t{i} ON t{i}.id = t{}.n", i - 1)).collect();
    let sql = format!("CREATE MATERIALIZED VIEW chain AS SELECT t0.id, t30.k FROM b t0{joins}");
    let began = std::time::Instant::now();
    assert_eq!(said(&tallyflow, &sql), "CREATE MATERIALIZED VIEW");
    println!("a view of 30 joins declared in {} ms", began.elapsed().as_millis());
    assert_eq!(said(&tallyflow, "INSERT INTO b VALUES (1, 5, 1), (2, 6, 1)"), "INSERT 0 2");
    assert_eq!(sorted(said(&tallyflow, "SELECT * FROM chain")), ["1|5", "2|5"]);
    tallyflow.close().unwrap();
}
