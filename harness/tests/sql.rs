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

const CHANGED: &[(&str, &str)] = &[
    ("CREATE TABLE stock (id INT PRIMARY KEY, n INT); CREATE TABLE sold (id INT, n INT)", "CREATE TABLE"),
    ("INSERT INTO stock VALUES (1, 10), (2, 20), (3, 30)", "INSERT 0 3"),
    ("INSERT INTO sold VALUES (1, 4), (1, 3), (2, 5), (2, 5), (9, 1)", "INSERT 0 5"),
    (
        "CREATE MATERIALIZED VIEW sums AS SELECT id, sum(n)::int AS n FROM sold GROUP BY id",
        "CREATE MATERIALIZED VIEW",
    ),
    ("UPDATE stock SET n = stock.n - sums.n FROM sums WHERE sums.id = stock.id", "UPDATE 2"),
    ("SELECT * FROM stock ORDER BY id", "1|3/2|10/3|30"),
    // A row that finds several is changed once.
    (
        "UPDATE stock s SET n = x.n FROM sold AS x WHERE x.id = s.id RETURNING s.id * 10 AS id, s.n",
        "10|3/20|5",
    ),
    // What cannot be given back is not done.
    ("UPDATE stock SET n = 0 RETURNING missing", "! missing"),
    ("DELETE FROM stock RETURNING 1 / (id - 3)", "! zero"),
    ("INSERT INTO stock VALUES (4, 0) RETURNING id / n", "! zero"),
    ("SELECT * FROM stock ORDER BY id", "1|3/2|5/3|30"),
    // Rows that are the same stay as many.
    ("UPDATE sold SET n = sold.n + stock.n FROM stock WHERE stock.id = sold.id AND stock.id = 2", "UPDATE 2"),
    ("SELECT * FROM sold ORDER BY 1, 2", "1|3/1|4/2|10/2|10/9|1"),
    (
        "UPDATE sold SET n = a.n FROM stock a JOIN stock b USING (id) WHERE a.id = sold.id + 1 AND a.id = 3",
        "UPDATE 2",
    ),
    ("SELECT * FROM sold ORDER BY 1, 2", "1|3/1|4/2|30/2|30/9|1"),
    ("DELETE FROM sold USING stock s WHERE s.id = sold.id AND s.n = 5 RETURNING n", "30/30"),
    ("DELETE FROM sold AS x USING stock a, stock b WHERE x.id = a.id AND a.id <> b.id", "DELETE 2"),
    ("SELECT * FROM sold", "9|1"),
    ("SELECT * FROM sums", "9|1"),
    ("INSERT INTO sold SELECT id, n FROM sums RETURNING id, n", "9|1"),
    ("SELECT * FROM sums", "9|2"),
    ("UPDATE stock SET id = 7 FROM sums", "! duplicate key"),
    ("UPDATE stock JOIN sold ON true SET n = 1", "! not supported"),
    ("DELETE FROM stock, sold", "! USING"),
    ("MERGE INTO stock USING sold ON stock.id = sold.id WHEN MATCHED THEN DELETE", "! ON CONFLICT"),
];

const RULED: &[(&str, &str)] = &[
    (
        "CREATE TABLE people (id SERIAL PRIMARY KEY, mail TEXT UNIQUE, age INT CHECK (age >= 0), born INT, died INT,
         CONSTRAINT lives CHECK (died >= born), UNIQUE (born, died))",
        "CREATE TABLE",
    ),
    ("INSERT INTO people (mail, age) VALUES ('a', 1), ('b', NULL) RETURNING id, mail", "1|a/2|b"),
    ("INSERT INTO people (mail, age) VALUES ('c', -1)", "! people_age_check"),
    ("INSERT INTO people (mail) VALUES ('a')", "! people_mail_key"),
    ("INSERT INTO people (mail) VALUES ('d'), ('d')", "! (mail) = (d)"),
    ("INSERT INTO people (mail) VALUES (NULL), (NULL) RETURNING id", "3/4"),
    ("INSERT INTO people (born, died) VALUES (2, 1)", "! lives"),
    ("INSERT INTO people (born, died) VALUES (1, 2), (1, NULL), (1, NULL)", "INSERT 0 3"),
    ("INSERT INTO people (born, died) VALUES (1, 2)", "! people_born_died_key"),
    ("UPDATE people SET mail = 'b' WHERE id = 1", "! people_mail_key"),
    ("UPDATE people SET mail = CASE mail WHEN 'a' THEN 'b' ELSE 'a' END WHERE id <= 2", "UPDATE 2"),
    ("UPDATE people SET mail = mail || '!', age = age - 1 WHERE mail IS NOT NULL", "UPDATE 2"),
    ("UPDATE people SET age = age - 1 WHERE mail = 'b!'", "! people_age_check"),
    ("INSERT INTO people (id, mail) VALUES (DEFAULT, 'x'), (100, 'y') ON CONFLICT (id) DO NOTHING RETURNING id", "8/100"),
    ("INSERT INTO people (mail) VALUES ('x') ON CONFLICT (mail) DO NOTHING", "! primary key (id)"),
    ("INSERT INTO people (mail) VALUES ('x') ON CONFLICT DO NOTHING", "! ON CONFLICT (id)"),
    ("DELETE FROM people WHERE id >= 8", "DELETE 2"),
    ("INSERT INTO people (mail) SELECT 'z' RETURNING id", "9"),
    ("SELECT last_value FROM people_id_seq", "9"),
    ("CREATE TABLE dated (k INT GENERATED ALWAYS AS IDENTITY (START WITH 5), at TIMESTAMP DEFAULT now())", "CREATE TABLE"),
    ("INSERT INTO dated DEFAULT VALUES", "INSERT 0 1"),
    ("INSERT INTO dated (k) VALUES (1)", "! GENERATED ALWAYS"),
    ("INSERT INTO dated (k) SELECT 1", "! GENERATED ALWAYS"),
    ("UPDATE dated SET k = 1", "! GENERATED ALWAYS"),
    ("INSERT INTO dated VALUES (DEFAULT) RETURNING k, at IS NOT NULL", "6|true"),
    ("CREATE TABLE wrong (a INT CHECK (a))", "! boolean"),
    ("CREATE TABLE wrong (a INT CHECK (b > 1))", "! b"),
    ("CREATE TABLE wrong (a INT CHECK (a IN (SELECT 1)))", "! subquery"),
    ("CREATE TABLE wrong (a INT CHECK (sum(a) > 1))", "! aggregate"),
    ("CREATE TABLE wrong (a INT, UNIQUE (b))", "! no column"),
    ("CREATE TABLE wrong (a INT REFERENCES people (id))", "! not supported"),
    ("CREATE TABLE wrong (a INT, FOREIGN KEY (a) REFERENCES people (id))", "! not supported"),
    ("CREATE TABLE wrong (a INT, b INT GENERATED ALWAYS AS (a + 1) STORED)", "! in a view"),
    ("CREATE TABLE wrong (a INT GENERATED ALWAYS AS IDENTITY (INCREMENT BY 2))", "! START WITH"),
    ("CREATE TABLE wrong (a TEXT GENERATED BY DEFAULT AS IDENTITY)", "! BIGINT"),
    ("CREATE TABLE small (k SMALLSERIAL, v INT)", "CREATE TABLE"),
    ("INSERT INTO small (v) VALUES (1); UPDATE small_k_seq SET last_value = 32767", "UPDATE 1"),
    ("INSERT INTO small (v) VALUES (1)", "! out of range"),
];
const RULED_AGAIN: &[(&str, &str)] = &[
    ("INSERT INTO people (mail) VALUES ('q') RETURNING id", "10"),
    ("INSERT INTO people (mail) VALUES ('q')", "! people_mail_key"),
    ("DROP TABLE people_id_seq", "! people"),
    ("DROP TABLE people", "DROP TABLE"),
    ("SELECT * FROM people_id_seq", "! no table"),
    ("CREATE TABLE people (id BIGSERIAL, a INT)", "CREATE TABLE"),
    ("INSERT INTO people (a) VALUES (1) RETURNING id", "1"),
];

#[test]
fn other_tables_say_which_rows_change() {
    let tallyflow = Tallyflow::open(Config::default()).unwrap();
    all(&tallyflow, CHANGED);
    tallyflow.close().unwrap();
}

#[test]
fn rules_of_a_table_hold_for_every_row_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data: Some(folder.path().join("data")), ..Config::default() };
    let tallyflow = Tallyflow::open(config.clone()).unwrap();
    all(&tallyflow, RULED);
    tallyflow.close().unwrap();
    let tallyflow = Tallyflow::open(config).unwrap();
    all(&tallyflow, RULED_AGAIN);
    tallyflow.close().unwrap();
}

/// What a new user may get wrong, and a part of what he is told.
const WRONG: &[(&str, &str)] = &[
    ("SELCT 1", "! line 1"),
    ("SELECT * FORM t", "! line 1"),
    ("SELECT\n  id\nFROM t\nWHER id = 1", "! line 4"),
    ("SELECT (1", "! line 1"),
    ("SELECT 'open", "! line 1"),
    ("SELECT * FROM", "! line 1"),
    ("INSERT INTO t VALUES 1", "! line 1"),
    ("CREATE TABLE", "! line 1"),
    ("CREATE TABLE x (a INT,)", "! line 1"),
    ("DROP t", "! line 1"),
    ("", ""),
    ("SELECT * FROM missing", "! missing"),
    ("SELECT missing FROM t", "! missing"),
    ("SELECT t.missing FROM t", "! missing"),
    ("SELECT x.id FROM t", "! x"),
    ("SELECT id FROM t, t AS u", "! id"),
    ("SELECT missing(1)", "! missing"),
    ("SELECT upper(1, 2)", "! upper"),
    ("SELECT id, count(*) FROM t", "! id"),
    ("SELECT id FROM t WHERE count(*) > 1", "! WHERE"),
    ("SELECT id FROM t WHERE name", "! name"),
    ("SELECT 1 + 'x'", "! x"),
    ("SELECT 'x'::int", "! x"),
    ("SELECT '2024-13-01'::date", "! 2024-13-01"),
    ("SELECT 1 / 0", "! zero"),
    ("SELECT 2147483647::int + 1::int", "! out of range"),
    ("SELECT (SELECT id FROM t)", "! one row"),
    ("SELECT 1 UNION SELECT 1, 2", "! UNION"),
    ("SELECT * FROM t ORDER BY 9", "! 9"),
    ("SELECT * FROM t LIMIT -1", "! LIMIT"),
    ("INSERT INTO t VALUES (1)", "! name"),
    ("INSERT INTO t VALUES (1, 'a', 3)", "! columns"),
    ("INSERT INTO t (id, missing) VALUES (1, 2)", "! missing"),
    ("INSERT INTO t (id, id) VALUES (1, 2)", "! id"),
    ("INSERT INTO t VALUES ('x', 'a')", "! x"),
    ("INSERT INTO v VALUES (1)", "! view"),
    ("INSERT INTO missing VALUES (1)", "! missing"),
    ("UPDATE t SET missing = 1", "! missing"),
    ("UPDATE t SET id = 'x'", "! x"),
    ("UPDATE t SET id = 1, id = 2", "! twice"),
    ("DELETE FROM missing", "! missing"),
    ("TRUNCATE missing", "! missing"),
    ("TRUNCATE t RESTART IDENTITY", "! RESTART"),
    ("CREATE TABLE t (a INT)", "! taken"),
    ("CREATE OR REPLACE TABLE t (a INT)", "! used by v"),
    ("CREATE TABLE x (a INT, a INT)", "! twice"),
    ("CREATE TABLE x (a NOTYPE)", "! NOTYPE"),
    ("CREATE TABLE x (a INT PRIMARY KEY, b INT PRIMARY KEY)", "! primary key"),
    ("CREATE TABLE x (a INT DEFAULT b)", "! DEFAULT"),
    ("CREATE MATERIALIZED VIEW w AS SELECT * FROM missing", "! missing"),
    ("CREATE MATERIALIZED VIEW w AS SELECT random()", "! random"),
    ("CREATE MATERIALIZED VIEW v AS SELECT 1 AS x", "! taken"),
    ("CREATE VIEW v AS SELECT 1", "! taken"),
    ("CREATE MATERIALIZED VIEW w WITH (key = 'missing') AS SELECT id FROM t", "! missing"),
    ("DROP TABLE missing", "! missing"),
    ("DROP VIEW t", "! DROP TABLE"),
    ("DROP TABLE t", "! used by"),
    ("ALTER TABLE t ADD COLUMN x INT", "! ALTER TABLE"),
    ("ALTER MATERIALIZED VIEW v RENAME TO w", "! ALTER"),
    ("CREATE INDEX i ON t (id)", "! index"),
    ("CREATE SCHEMA s", "! not supported"),
    ("CREATE SEQUENCE s", "! SERIAL"),
    ("SELECT * FROM s.t", "! s"),
    ("COMMENT ON TABLE missing IS 'x'", "! missing"),
    ("COMMENT ON TABLE t IS 'x'", "COMMENT"),
    ("SELECT * FROM t AS OF 5", "! name a time from"),
    ("SELECT * FROM t AS OF yesterday", "! milliseconds"),
    ("EXPLAIN missing", "! missing"),
    ("SHOW missing", "! SHOW"),
    ("GRANT ALL ON t TO me", "! not supported"),
    ("SELECT $1", "! $1"),
];

#[test]
fn who_is_wrong_is_told_where_and_harms_nothing() {
    let tallyflow = Tallyflow::open(Config::default()).unwrap();
    all(
        &tallyflow,
        &[
            ("CREATE TABLE t (id INT PRIMARY KEY, name TEXT NOT NULL)", "CREATE TABLE"),
            ("CREATE MATERIALIZED VIEW v AS SELECT id FROM t", "CREATE MATERIALIZED VIEW"),
            ("INSERT INTO t VALUES (1, 'a'), (2, 'b')", "INSERT 0 2"),
        ],
    );
    let fits = |(sql, wanted): &&(&str, &str)| match (said(&tallyflow, sql), wanted.strip_prefix("! ")) {
        (got, Some(part)) => got.starts_with("! ") && got.contains(part),
        (got, None) => got == *wanted,
    };
    let odd: Vec<String> = WRONG
        .iter()
        .filter(|case| !fits(case))
        .map(|(sql, wanted)| format!("{sql}\n  wanted {wanted}\n  got    {}", said(&tallyflow, sql)))
        .collect();
    assert!(odd.is_empty(), "{}", odd.join("\n"));
    all(&tallyflow, &[("SELECT count(*), max(id) FROM v", "2|2"), ("SHOW TABLES", "t"), ("SHOW VIEWS", "v")]);
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
