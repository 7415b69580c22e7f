//! Tables that take statements, views over them, and SELECT over one snapshot: statements in, answers out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
#[path = "support/said.rs"]
mod said;
#[path = "support/wanted.rs"]
mod wanted;

use harness::{Config, Tallyflow};
use queries::session::Answer;
use said::said;
use wanted::all;

const LIFE: &[(&str, &str)] = &[
    ("CREATE TABLE t (id INT PRIMARY KEY, name TEXT NOT NULL, n BIGINT DEFAULT 7)", "CREATE TABLE"),
    ("CREATE TABLE t (id INT)", "! taken"),
    ("CREATE TABLE IF NOT EXISTS t (id INT)", "CREATE TABLE"),
    (
        "CREATE MATERIALIZED VIEW totals AS SELECT name, count(*), sum(n) AS n FROM t GROUP BY name",
        "CREATE MATERIALIZED VIEW",
    ),
    ("CREATE VIEW big AS SELECT * FROM totals WHERE n > 10", "CREATE VIEW"),
    ("INSERT INTO t VALUES (1, 'a', 10), (2, 'a', 5)", "INSERT 0 2"),
    ("INSERT INTO t (id, name) VALUES (3, 'b'), (4, 'b')", "INSERT 0 2"),
    ("INSERT INTO t (id, name, n) VALUES (5, 'c', DEFAULT)", "INSERT 0 1"),
    ("SELECT * FROM totals ORDER BY name", "a|2|15/b|2|14/c|1|7"),
    ("SELECT count FROM big ORDER BY 1 DESC", "2/2"),
    ("INSERT INTO t VALUES (1, 'z', 0)", "! duplicate key"),
    ("INSERT INTO t VALUES (9, 'z', 0), (9, 'z', 1)", "! duplicate key"),
    ("INSERT INTO t VALUES (9, NULL, 0)", "! NOT NULL"),
    ("INSERT INTO t VALUES (1, 'z', 0) ON CONFLICT DO NOTHING", "INSERT 0 0"),
    (
        "INSERT INTO t VALUES (1, 'a', 1), (6, 'd', 1) ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n RETURNING id, n",
        "1|11/6|1",
    ),
    ("UPDATE t SET n = n + 1 WHERE name = 'a'", "UPDATE 2"),
    ("UPDATE t SET id = 2 WHERE id = 1", "! duplicate key"),
    ("UPDATE t SET id = id + 1", "UPDATE 6"),
    ("SELECT id, n FROM t ORDER BY id", "2|12/3|6/4|7/5|7/6|7/7|1"),
    ("DELETE FROM t WHERE id IN (SELECT max(id) FROM t)", "DELETE 1"),
    ("SELECT * FROM totals ORDER BY name", "a|2|18/b|2|14/c|1|7"),
    ("SELECT 1, 1, count(*) FROM t", "1|1|5"),
    ("SELECT id, id FROM t WHERE id = 2", "2|2"),
    ("SELECT sum FROM (SELECT sum(n) FROM t) AS s", "39"),
    ("FLUSH", "FLUSH"),
    ("DROP TABLE t", "! used by"),
    ("DROP VIEW totals", "! materialized"),
    ("DROP VIEW big", "DROP VIEW"),
    ("DROP MATERIALIZED VIEW totals", "DROP MATERIALIZED VIEW"),
    ("TRUNCATE t", "TRUNCATE TABLE"),
    ("SELECT count(*) FROM t", "0"),
    ("DROP TABLE t", "DROP TABLE"),
    ("DROP TABLE IF EXISTS t", "DROP TABLE"),
    ("SELECT * FROM t", "! no table"),
    ("CREATE TABLE t (x INT)", "CREATE TABLE"),
    ("SELECT * FROM t", ""),
    ("INSERT INTO t SELECT 5; INSERT INTO t VALUES (5)", "INSERT 0 1"),
    ("SELECT * FROM t", "5/5"),
    ("DELETE FROM t", "DELETE 2"),
    ("CREATE TABLE u AS SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y'", "SELECT 2"),
    ("SELECT * FROM u ORDER BY a", "1|x/2|y"),
    ("CREATE FUNCTION twice(n INT) RETURNS INT LANGUAGE SQL AS $$SELECT n * 2$$", "CREATE FUNCTION"),
    ("SELECT twice(a) FROM u ORDER BY 1", "2/4"),
    ("CREATE MATERIALIZED VIEW twos AS SELECT twice(a) AS n FROM u", "CREATE MATERIALIZED VIEW"),
    ("SELECT * FROM twos ORDER BY n", "2/4"),
    ("DROP FUNCTION twice", "DROP FUNCTION"),
    ("SELECT twice(1)", "! twice"),
    ("SHOW TABLES", "t/u"),
    ("CREATE TABLE small (i INT); INSERT INTO small VALUES (2147483647)", "INSERT 0 1"),
    ("SELECT i + 1 FROM small", "! "),
    ("SELECT i - 1 FROM small", "2147483646"),
    ("SELEC 1", "! "),
];

/// Functions, clauses without meaning, and what goes with a table.
const USED: &[(&str, &str)] = &[
    (
        "CREATE TABLE b (a INT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '5 s') APPEND ONLY",
        "CREATE TABLE",
    ),
    ("CREATE FUNCTION twice(n INT) RETURNS INT LANGUAGE SQL AS 'SELECT n + n'", "CREATE FUNCTION"),
    (
        "INSERT INTO b VALUES (twice(2), '2020-04-15 8:05'), (4, '2020-04-15 08:06:07'), (5, NULL)",
        "INSERT 0 3",
    ),
    ("SELECT ts FROM b WHERE ts < '2020-04-15 08:06'", "2020-04-15T08:05:00"),
    ("CREATE VIEW one AS SELECT twice(a) AS a FROM b", "CREATE VIEW"),
    (
        "CREATE MATERIALIZED VIEW two AS SELECT a FROM one ORDER BY a FETCH FIRST ROW WITH TIES",
        "CREATE MATERIALIZED VIEW",
    ),
    ("CREATE MATERIALIZED VIEW three AS SELECT a + 1 AS a FROM two", "CREATE MATERIALIZED VIEW"),
    ("SELECT a FROM b ORDER BY a FETCH FIRST 1 ROW WITH TIES", "4/4"),
    ("SELECT * FROM three", "9/9"),
];
const DROPPED: &[(&str, &str)] = &[
    ("SELECT twice(a) AS n FROM three", "18/18"),
    ("DROP FUNCTION twice", "DROP FUNCTION"),
    ("DROP FUNCTION twice", "! no function"),
    ("DROP FUNCTION IF EXISTS twice", "DROP FUNCTION"),
    ("SELECT twice(1)", "! twice"),
    ("SELECT * FROM three", "9/9"),
    ("DROP TABLE b", "! used by"),
    ("DROP VIEW b CASCADE", "! DROP TABLE"),
    ("DROP TABLE b CASCADE", "DROP TABLE"),
    ("SHOW VIEWS", ""),
    ("DROP TABLE IF EXISTS b CASCADE", "DROP TABLE"),
];

#[test]
fn functions_and_what_uses_a_table_are_there_again_until_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data: Some(folder.path().join("data")), workers: 2, ..Config::default() };
    let tallyflow = Tallyflow::open(config.clone()).unwrap();
    all(&tallyflow, USED);
    tallyflow.close().unwrap();
    let tallyflow = Tallyflow::open(config.clone()).unwrap();
    all(&tallyflow, DROPPED);
    tallyflow.close().unwrap();
    let tallyflow = Tallyflow::open(config).unwrap();
    all(&tallyflow, &[("SHOW VIEWS", ""), ("SELECT twice(1)", "! twice")]);
    tallyflow.close().unwrap();
}

#[test]
fn statements_do_what_they_say() {
    let tallyflow = Tallyflow::open(Config::default()).unwrap();
    all(&tallyflow, LIFE);
    tallyflow.close().unwrap();
}

#[test]
fn what_was_written_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data: Some(folder.path().join("data")), workers: 2, ..Config::default() };
    let before = [
        ("CREATE TABLE a (k INT PRIMARY KEY, v TEXT)", "CREATE TABLE"),
        ("INSERT INTO a VALUES (1, 'old')", "INSERT 0 1"),
        ("DROP TABLE a", "DROP TABLE"),
        ("CREATE TABLE a (k INT PRIMARY KEY, v TEXT)", "CREATE TABLE"),
        ("INSERT INTO a VALUES (1, 'x'), (2, 'y')", "INSERT 0 2"),
        (
            "CREATE MATERIALIZED VIEW w AS SELECT v, count(*) AS n FROM a GROUP BY v",
            "CREATE MATERIALIZED VIEW",
        ),
        ("UPDATE a SET v = 'z' WHERE k = 2", "UPDATE 1"),
    ];
    let after = [("SELECT * FROM a ORDER BY k", "1|x/2|z"), ("SELECT * FROM w ORDER BY v", "x|1/z|1")];
    let tallyflow = Tallyflow::open(config.clone()).unwrap();
    all(&tallyflow, &before);
    all(&tallyflow, &after);
    tallyflow.close().unwrap();
    let tallyflow = Tallyflow::open(config).unwrap();
    all(&tallyflow, &after);
    all(
        &tallyflow,
        &[
            ("INSERT INTO a VALUES (2, 'q')", "! duplicate key"),
            ("INSERT INTO a VALUES (3, 'x')", "INSERT 0 1"),
        ],
    );
    all(&tallyflow, &[("SELECT * FROM w ORDER BY v", "x|2/z|1")]);
    tallyflow.close().unwrap();
}

#[test]
fn an_earlier_time_can_be_read() {
    let tallyflow = Tallyflow::open(Config::default()).unwrap();
    all(
        &tallyflow,
        &[("CREATE TABLE t (x INT)", "CREATE TABLE"), ("INSERT INTO t VALUES (1)", "INSERT 0 1")],
    );
    let Some(Answer::Rows { time, .. }) = tallyflow.execute("SELECT * FROM t").unwrap().pop() else {
        panic!("rows")
    };
    all(&tallyflow, &[("UPDATE t SET x = 2", "UPDATE 1"), ("SELECT * FROM t", "2")]);
    assert_eq!(said(&tallyflow, &format!("SELECT * FROM t AS OF {time}")), "1");
    assert!(said(&tallyflow, "SELECT * FROM t AS OF 5").contains("name a time from"));
    tallyflow.close().unwrap();
}
