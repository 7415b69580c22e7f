//! A query cannot take the process down: each of these is answered within its limits, and the next one is answered as ever.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
use harness::{Config, Tallyflow};
use queries::session::{Answer, Limits};
use std::time::{Duration, Instant};

/// What was said, cut short: `rows` or the tag, or `! ` and the error.
fn said(tallyflow: &Tallyflow, sql: &str) -> String {
    match tallyflow.execute(sql) {
        Err(why) => format!("! {why}"),
        Ok(answers) => match answers.last() {
            Some(Answer::Done { tag }) => tag.clone(),
            Some(Answer::Rows { rows, .. }) => {
                let count: usize = rows.iter().map(arrow::array::RecordBatch::num_rows).sum();
                format!("{count} rows")
            }
            None => String::new(),
        },
    }
}

fn limited(seconds: u64) -> Config {
    let limits = Limits {
        memory_bytes: 128 << 20,
        time: Duration::from_secs(seconds),
        rows: 100_000,
        ..Limits::default()
    };
    Config { limits, ..Config::default() }
}

/// MiB of memory that this process holds, or held at most.
fn resident() -> usize {
    memory("VmRSS")
}

fn memory(of: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(of)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() >> 10
}

/// Each statement and a part of its answer. No statement may take much longer than its limit, nor keep what it took.
fn all(tallyflow: &Tallyflow, cases: &[(String, &str)]) {
    let before = resident();
    let mut failures = vec![];
    for (sql, wanted) in cases {
        let start: String = sql.chars().take(90).collect();
        let began = Instant::now();
        let got = said(tallyflow, sql);
        let took = began.elapsed();
        let short: String = got.chars().take(200).collect();
        println!(
            "{:>6} ms {:>5} of {} MiB  {start}\n    {short}",
            took.as_millis(),
            resident(),
            memory("VmHWM")
        );
        if !got.contains(wanted) {
            failures.push(format!("{start}\n  wanted {wanted}\n  got    {short}"));
        }
        if took > Duration::from_secs(60) {
            failures.push(format!("{start}: took {} s", took.as_secs()));
        }
        let next = said(tallyflow, "SELECT 1");
        if next != "1 rows" {
            failures.push(format!("after {start}: {next}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(resident() < before + 1_024, "{} MiB before, {} MiB after", before, resident());
}

fn own(list: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    list.iter().map(|(sql, wanted)| ((*sql).to_owned(), *wanted)).collect()
}

#[test]
fn hungry_queries_are_stopped() {
    let tallyflow = Tallyflow::open(limited(2)).unwrap();
    said(&tallyflow, "CREATE TABLE t (k BIGINT, s TEXT)");
    for part in 0..4 {
        let sql = format!(
            "INSERT INTO t SELECT i + {}, 'row ' || i FROM generate_series(1, 50000) AS g(i)",
            part * 50_000
        );
        assert_eq!(said(&tallyflow, &sql), "INSERT 0 50000");
    }
    let cases = own(&[
        ("SELECT count(*) FROM generate_series(1, 10000000000)", "! a series may have"),
        ("SELECT count(*) FROM t a, t b, t c WHERE a.k + b.k > c.k", "! the query was stopped"),
        ("SELECT count(*) FROM t a JOIN t b ON a.k < b.k AND a.s <> b.s", "! the query was stopped"),
        ("SELECT * FROM t a, t b", "! "),
        ("SELECT a.s || b.s AS x FROM t a, t b ORDER BY 1", "! the query was stopped"),
        (
            "SELECT count(*) FROM (SELECT DISTINCT a.k * 200000 + b.k FROM t a, t b) AS d",
            "! the query was stopped",
        ),
        ("SELECT lpad('', 2147483647)", "at most 16777216"),
        ("SELECT repeat('x', 2147483647)", "at most 16777216"),
        ("SELECT count(lpad(s, 1000000)) FROM t", "! "),
        ("SELECT length(replace(repeat('a', 100000), 'a', repeat('b', 100000)))", "at most 16777216"),
        ("SELECT length(string_agg(repeat(s, 1000), ',')) FROM t", "! the query was stopped"),
        ("SELECT array_agg(a.s || b.s) FROM t a, t b", "! the query was stopped"),
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
            "! the query was stopped",
        ),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n FROM r) SELECT * FROM r", "! the query"),
        (
            "WITH RECURSIVE r(s) AS (SELECT 'ab' UNION ALL SELECT s || s FROM r) SELECT max(length(s)) FROM r",
            "! ",
        ),
        ("SELECT generate_series(1, 1000000) FROM t", "! "),
        ("SELECT count(*) FROM (SELECT generate_series(1, 3000000) FROM t) AS x", "! "),
        ("SELECT array_fill(1, ARRAY[1000000000])", "! "),
        ("SELECT array_length(array_repeat(1, 1000000000), 1)", "! "),
        ("SELECT array_length(array_resize(ARRAY[1], 2000000000, 1), 1)", "! "),
        ("SELECT (-9223372036854775808)::bigint / (-1)::bigint", "! "),
        ("SELECT (-9223372036854775808)::bigint % (-1)::bigint", ""),
        ("SELECT abs((-9223372036854775808)::bigint)", "! "),
        ("SELECT -((-9223372036854775808)::bigint)", "! "),
        ("SELECT 9223372036854775807 + 1", "! "),
        ("SELECT factorial(100000)", "! "),
        ("SELECT power(10::numeric, 100000)", ""),
        ("SELECT 1e400::numeric", "! "),
        ("SELECT round(1.5, 2147483647)", ""),
        ("SELECT 'x' ~ '((a{1,1000}){1,1000}){1,1000}'", "! "),
        ("SELECT repeat('a', 100000) ~ '(a*)*b'", "1 rows"),
        ("SELECT regexp_replace(repeat('a', 1000000), 'a', repeat('b', 1000000), 'g')", "! "),
        ("SELECT arrow_cast('x', 'FixedSizeBinary(2147483647)')", "! "),
        ("SELECT arrow_cast(1, 'FixedSizeList(2147483647, Int32)')", "! "),
        ("SELECT to_char(1.5, repeat('9', 1000000))", ""),
        ("SELECT date '2020-01-01' + 2147483647", "! "),
        ("SELECT timestamp '2020-01-01' + interval '2147483647 years'", "! "),
        ("SELECT chr(2147483647)", "! "),
        ("SELECT substring('abc', -2147483648, 2147483647)", ""),
        ("SELECT overlay('abc' placing 'x' from 2147483647 for 2147483647)", ""),
        ("SELECT date_bin('1 nanosecond', timestamp '2020-01-01', timestamp '1677-09-22')", ""),
        (
            "SELECT k, count(*) FROM t GROUP BY CUBE(k, s, k + 1, k + 2, k + 3, k + 4, k + 5, k + 6, k + 7, k + 8, k + 9, k + 10)",
            "at most 8 columns",
        ),
        ("SELECT * FROM t OFFSET 9223372036854775807 LIMIT 9223372036854775807", ""),
        ("SELECT lag(k, 9223372036854775807) OVER (ORDER BY k) FROM t LIMIT 1", ""),
        ("SELECT ntile(9223372036854775807) OVER (ORDER BY k) FROM t LIMIT 1", ""),
        ("SELECT nth_value(k, 9223372036854775807) OVER (ORDER BY k) FROM t LIMIT 1", ""),
        (
            "SELECT sum(k) OVER (ORDER BY k ROWS BETWEEN 9223372036854775807 PRECEDING AND 9223372036854775807 FOLLOWING) FROM t LIMIT 1",
            "",
        ),
    ]);
    all(&tallyflow, &cases);
    tallyflow.close().unwrap();
}

#[test]
fn statements_too_deep_or_too_large_are_refused() {
    let tallyflow = Tallyflow::open(limited(30)).unwrap();
    said(&tallyflow, "CREATE TABLE t (a BIGINT, b TEXT)");
    let list = |n: usize, of: &dyn Fn(usize) -> String, between: &str| {
        (0..n).map(of).collect::<Vec<_>>().join(between)
    };
    let nested = |n: usize, open: &str, core: &str, close: &str| {
        format!("{}{core}{}", open.repeat(n), close.repeat(n))
    };
    let doubled = |from: &str, n: usize| {
        let head = format!("WITH c0 AS ({from})");
        let rest = list(n, &|i| format!("c{} AS (SELECT x.* FROM c{i} x, c{i} y)", i + 1), ", ");
        format!("{head}, {rest} SELECT count(*) FROM c{n}")
    };
    let wide = |n: usize| list(n, &|i| format!("c{i} BIGINT"), ", ");
    let cases: Vec<(String, &str)> = vec![
        (format!("SELECT {}", nested(10_000, "(", "1", ")")), "deeper than"),
        (format!("SELECT {}", nested(200, "(", "1", ")")), "deeper than 50"),
        (format!("SELECT {}", nested(40, "(", "1", ")")), "1 rows"),
        (format!("SELECT {}", list(100_000, &|_| "1".into(), " + ")), "more than 4096"),
        (format!("SELECT {}", list(300, &|_| "1".into(), " + ")), "1 rows"),
        (format!("SELECT {}", list(300, &|_| "a".into(), " + ") + " FROM t"), "0 rows"),
        (format!("SELECT * FROM t WHERE {}", list(300, &|i| format!("a = {i}"), " OR ")), "0 rows"),
        (
            format!("SELECT * FROM t WHERE {}", list(100, &|i| format!("(a = {i} AND b = 'x{i}')"), " OR ")),
            "0 rows",
        ),
        (format!("SELECT {}", list(300, &|_| "'a'".into(), " || ")), "1 rows"),
        (format!("SELECT {}", list(10_000, &|_| "'a'".into(), " || ")), "more than 4096"),
        (list(200, &|_| "SELECT 1".into(), " UNION ALL "), "200 rows"),
        (list(200, &|_| "SELECT 1".into(), " UNION "), "1 rows"),
        (list(10_000, &|_| "SELECT 1".into(), " UNION "), "more than 4096"),
        (format!("SELECT count(*) FROM {}", list(10_000, &|_| "t".into(), ", ")), "at most 250"),
        (format!("SELECT 1 AS {}", "a".repeat(1 << 20)), "at most 1024"),
        (format!("SELECT \"{}\" FROM t", "a".repeat(1 << 20)), "at most 1024"),
        (format!("SELECT {}", list(10_000, &|i| format!("{i} AS c{i}"), ", ")), "at most 1664"),
        (format!("SELECT {}", list(1_600, &|i| format!("{i} AS c{i}"), ", ")), "1 rows"),
        (format!("CREATE TABLE w ({})", wide(10_000)), "at most 1600"),
        (format!("CREATE TABLE w ({})", wide(500)), "CREATE TABLE"),
        (format!("SELECT a FROM t WHERE a IN ({})", list(20_000, &|i| i.to_string(), ",")), "0 rows"),
        (
            format!("SELECT a FROM t WHERE a IN ({})", list(1_000_000, &|i| (i % 10).to_string(), ",")),
            "more than 2000000",
        ),
        (format!("INSERT INTO t VALUES {}", list(10_000, &|i| format!("({i}, 'x')"), ",")), "INSERT 0 10000"),
        (doubled("SELECT 1 AS a", 40), "too large"),
        (doubled("SELECT * FROM t", 40), "too large"),
        (doubled("SELECT 1 AS a", 5), "1 rows"),
        (format!("SELECT {}", nested(40, "(SELECT ", "1", ")")), ""),
        (format!("SELECT {} FROM t", nested(45, "CASE WHEN a > 1 THEN ", "1", " END")), ""),
        (format!("SELECT {} FROM t LIMIT 1", nested(45, "coalesce(a, ", "1", ")")), "calls are nested"),
        (format!("SELECT {} FROM t LIMIT 1", nested(12, "coalesce(a, ", "1", ")")), "1 rows"),
        (format!("SELECT {} FROM t LIMIT 1", nested(40, "coalesce((", "a", "))")), ""),
        (format!("SELECT {}", nested(40, "CAST(", "1", " AS BIGINT)")), "calls are nested"),
        (format!("SELECT * FROM {}", nested(40, "(", "t", ")")), ""),
        (format!("SELECT * FROM {}", nested(40, "(t JOIN ", "t", " ON true)")), ""),
        (format!("SELECT * FROM {}", nested(40, "LATERAL (SELECT * FROM ", "t", ") AS x")), ""),
        (format!("SELECT {} FROM t", nested(40, "(1, ", "1", ")")), ""),
        (format!("SELECT {} FROM t", nested(40, "1 IN (", "1", ")")), ""),
        (format!("SELECT {} FROM t", nested(40, "1 BETWEEN ", "1", " AND 2")), ""),
        (format!("SELECT {} FROM t", nested(40, "ROW(", "1", ")")), "! "),
        (format!("SELECT {} FROM t", nested(40, "count(*) FILTER (WHERE ", "a", ")")), "! "),
        (format!("SELECT {}", nested(40, "EXISTS (SELECT ", "1", ")")), ""),
        (format!("SELECT {}", nested(40, "ARRAY(SELECT ", "1", ")")), ""),
        (format!("SELECT {}", nested(40, "INTERVAL (", "1", ")")), ""),
        (format!("SELECT {}", nested(40, "f(x => ", "1", ")")), "calls are nested"),
        (format!("SELECT ARRAY{}", nested(45, "[", "1", "]")), ""),
        (format!("SELECT '{}'::jsonb", nested(100_000, "[", "1", "]")), "! "),
        (format!("SELECT CAST('1' AS {})", nested(10_000, "STRUCT<a ", "INT", ">")), "! "),
        (format!("SELECT CAST(NULL AS INT{})", "[]".repeat(10_000)), "! "),
        (";".repeat(1_000_000), ""),
        ("SELECT 1;".repeat(200), "1 rows"),
        (format!("SELECT '{}'", "x".repeat(1 << 20)), "1 rows"),
        (format!("SELECT '{}'", "x".repeat(17 << 20)), "16777216"),
        (format!("CREATE VIEW v AS SELECT {}", list(100_000, &|_| "1".into(), " + ")), "more than 4096"),
        (
            format!("CREATE MATERIALIZED VIEW v AS SELECT {} AS x FROM t", list(300, &|_| "a".into(), " + ")),
            "CREATE",
        ),
        ("SELECT count(*) FROM v".into(), "1 rows"),
        (
            format!(
                "CREATE MATERIALIZED VIEW o AS SELECT a FROM t WHERE {}",
                list(300, &|i| format!("a = {i}"), " OR ")
            ),
            "CREATE",
        ),
        ("SELECT count(*) FROM t".into(), "1 rows"),
    ];
    all(&tallyflow, &cases);
    tallyflow.close().unwrap();
}

#[test]
fn views_of_views_that_double_are_refused() {
    let tallyflow = Tallyflow::open(limited(30)).unwrap();
    let mut cases = own(&[
        ("CREATE TABLE t (a BIGINT)", "CREATE TABLE"),
        ("CREATE VIEW v0 AS SELECT a FROM t", "CREATE VIEW"),
    ]);
    cases.extend(
        (0..20).map(|i| {
            (format!("CREATE VIEW v{} AS SELECT x.a FROM v{i} x JOIN v{i} y ON x.a = y.a", i + 1), "")
        }),
    );
    cases.push(("SELECT * FROM v20".into(), "! "));
    cases.push(("CREATE MATERIALIZED VIEW m AS SELECT * FROM v20".into(), "! "));
    all(&tallyflow, &cases);
    tallyflow.close().unwrap();
}

/// Each view that needs more than its budget is stopped by name and size; others, and what is declared later, go on.
#[test]
fn views_over_budget_are_stopped() {
    for workers in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let config = Config { state_bytes_max: 24 << 20, workers, data: Some(path), ..limited(30) };
        let tallyflow = Tallyflow::open(config.clone()).unwrap();
        let stopped = "was stopped: it needs about";
        let fill = |n: usize, of: &str| {
            format!("INSERT INTO t SELECT i, {of}, 'row ' || i FROM generate_series(1, {n}) AS g(i)")
        };
        let cases = own(&[
            ("CREATE TABLE t (i BIGINT, k BIGINT, s TEXT)", "CREATE TABLE"),
            ("CREATE MATERIALIZED VIEW n AS SELECT count(*) AS n FROM t", "CREATE"),
            ("CREATE MATERIALIZED VIEW fan AS SELECT x.i, y.i AS j FROM t x JOIN t y ON x.k = y.k", "CREATE"),
            (
                "CREATE MATERIALIZED VIEW fans AS SELECT x.i, count(*) AS c FROM t x JOIN t y ON x.k = y.k JOIN t z ON y.k = z.k GROUP BY x.i",
                "CREATE",
            ),
            (
                "CREATE MATERIALIZED VIEW lists AS SELECT k, array_agg(s ORDER BY i) AS l FROM t GROUP BY k",
                "CREATE",
            ),
        ]);
        all(&tallyflow, &cases);
        // A little first: all is well.
        all(
            &tallyflow,
            &[
                (fill(10, "i % 3"), "INSERT 0 10"),
                ("SELECT * FROM fan".into(), "34 rows"),
                ("SELECT * FROM fans".into(), "10 rows"),
                ("SELECT * FROM lists".into(), "3 rows"),
            ],
        );
        // Nine million pairs, and 27 thousand million triples, in one tick.
        all(&tallyflow, &[(fill(3_000, "1"), "INSERT 0 3000")]);
        all(
            &tallyflow,
            &[
                ("SELECT * FROM fan".into(), stopped),
                ("SELECT * FROM fans".into(), ""),
                ("SELECT * FROM lists".into(), "3 rows"),
                ("SELECT * FROM n".into(), "1 rows"),
                ("SELECT count(*) FROM t".into(), "1 rows"),
                (
                    "CREATE MATERIALIZED VIEW late AS SELECT k, count(*) AS n FROM t GROUP BY k".into(),
                    "CREATE",
                ),
                ("INSERT INTO t VALUES (1, 1, 'x')".into(), "INSERT 0 1"),
                ("SELECT * FROM late".into(), "3 rows"),
                ("DROP MATERIALIZED VIEW fans".into(), "DROP"),
            ],
        );
        // It is tried again after a restart, and stopped again.
        tallyflow.close().unwrap();
        let tallyflow = Tallyflow::open(config).unwrap();
        all(
            &tallyflow,
            &[
                ("SELECT * FROM fan".into(), stopped),
                ("SELECT * FROM late".into(), "3 rows"),
                ("DROP MATERIALIZED VIEW fan".into(), "DROP"),
            ],
        );
        tallyflow.close().unwrap();
    }
}
