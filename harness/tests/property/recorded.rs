//! What random worlds found, made small: statements, then a query whose view and answer were not PostgreSQL's.
use super::world::{Query, Statement, World};

const CASES: &[(&[&str], &str)] = &[
    (
        &[
            "CREATE TABLE t (k int, b bigint, n numeric(12,2))",
            "INSERT INTO t VALUES (1, 4, 2.55), (2, 3, NULL), (2, 5, -2.50)",
        ],
        "SELECT k, sum(CASE WHEN b = 4 THEN 0 ELSE n END) AS c0, sum(b * CASE WHEN b = 3 THEN 1 ELSE n END) AS c1, \
         sum(CASE WHEN b = 3 THEN 1 ELSE b END) AS c2 FROM t GROUP BY k",
    ),
    (
        &["CREATE TABLE t (k int, n numeric(12,2))", "INSERT INTO t VALUES (1, 2.55), (2, NULL), (3, -2.50)"],
        "SELECT sum(CASE k WHEN 1 THEN 0 ELSE n END) AS c0, avg(CASE k WHEN 1 THEN 0 ELSE n END) AS c1, \
         max(CASE k WHEN 1 THEN 0 ELSE n END) AS c2 FROM t",
    ),
    (
        &["CREATE TABLE t (k int, n numeric(12,2))", "INSERT INTO t VALUES (1, 2.55), (2, 1), (3, -2.50)"],
        "SELECT k, sum(CASE k WHEN 1 THEN 0 ELSE n END) OVER (ORDER BY k) AS c0, CASE k WHEN 1 THEN 7 ELSE n END / 3 AS c1, \
         CASE k WHEN 1 THEN 7 ELSE n END * 3 AS c2, round(CASE k WHEN 1 THEN 7 ELSE n END, 1) AS c3 FROM t",
    ),
    (
        &["CREATE TABLE t (k int, n numeric(12,2))", "INSERT INTO t VALUES (1, 2.55), (2, NULL), (3, -2.50)"],
        "SELECT k, round(NULL::numeric(12,2), 0) AS c0, round(n, 1) <> n AS c1 FROM t",
    ),
    (
        &["CREATE TABLE t (k int, n numeric(12,2))", "INSERT INTO t VALUES (1, 1.25), (NULL, 1.25), (1, 3)"],
        "SELECT DISTINCT ON (n) n AS c0, coalesce(n, n) AS c1, k / 2 AS c2 FROM t ORDER BY n, 2 NULLS FIRST, 3",
    ),
    (
        &["CREATE TABLE t (k int, a text)", "INSERT INTO t VALUES (1, 'b'), (2, 'a')"],
        "SELECT string_agg('x'::text, ',' ORDER BY 'y'::text, 'y'::text) AS c0, array_agg(a ORDER BY k, k) AS c1 FROM t",
    ),
    (
        &["CREATE TABLE t (k int, b bigint)", "INSERT INTO t VALUES (4, 100), (0, 0), (9, NULL)"],
        "SELECT y.b AS c0 FROM t AS x RIGHT JOIN t AS y ON x.b = y.b AND y.k <> 0 WHERE x.b = x.b",
    ),
    (
        &[
            "CREATE TABLE a (k int)",
            "CREATE TABLE b (d int)",
            "INSERT INTO a VALUES (1), (NULL)",
            "INSERT INTO b VALUES (NULL)",
        ],
        "SELECT k AS c0 FROM a WHERE 1 NOT IN (SELECT d FROM b)",
    ),
    (
        &[
            "CREATE TABLE a (k int)",
            "CREATE TABLE b (d int)",
            "INSERT INTO a VALUES (1), (NULL)",
            "INSERT INTO b VALUES (2)",
        ],
        "SELECT k AS c0 FROM a WHERE NULL::int NOT IN (SELECT d FROM b)",
    ),
    (
        &[
            "CREATE TABLE a (k int, d int)",
            "CREATE TABLE b (e int)",
            "INSERT INTO a VALUES (1, NULL), (2, 1)",
            "INSERT INTO b VALUES (2)",
        ],
        "SELECT k AS c0, (SELECT count(*) FROM b WHERE a.d = a.d) AS c1 FROM a",
    ),
    (
        &[
            "CREATE TABLE a (k int, x int)",
            "CREATE TABLE b (k int, y int)",
            "INSERT INTO a VALUES (0, 4)",
            "INSERT INTO b VALUES (0, 1), (4, 1)",
        ],
        "SELECT k AS c0 FROM a WHERE x IN (SELECT p.k FROM b AS p JOIN b AS q ON p.y = q.y WHERE q.k = a.k)",
    ),
    (
        &[
            "CREATE TABLE a (k int)",
            "CREATE TABLE b (c int)",
            "INSERT INTO a VALUES (4), (5)",
            "INSERT INTO b VALUES (4)",
        ],
        "SELECT k AS c0 FROM a WHERE 4 IN (SELECT c FROM b WHERE c = a.k)",
    ),
    (
        &["CREATE TABLE a (k int)", "INSERT INTO a VALUES (1), (NULL), (4)"],
        "SELECT k AS c0, n AS c1 FROM (SELECT k, count(*) AS n FROM a GROUP BY ROLLUP (k)) AS q WHERE k > 3",
    ),
    (
        &["CREATE TABLE a (k int)", "INSERT INTO a VALUES (1), (NULL)"],
        "SELECT n AS c0 FROM (SELECT 1 AS c, count(*) AS n FROM a) AS q WHERE c = 2",
    ),
    (
        &[
            "CREATE TABLE a (k int)",
            "CREATE TABLE b (c int)",
            "INSERT INTO a VALUES (4), (5)",
            "INSERT INTO b VALUES (5)",
        ],
        "SELECT k AS c0, 4 IN (SELECT c FROM b) AS c1 FROM a WHERE coalesce(4, k) IN (SELECT c FROM b WHERE c = a.k) OR k = 5",
    ),
];

/// Each as a world, whose tables are made and filled before and after the view.
pub fn worlds() -> Vec<World> {
    let world = |i: usize, (statements, sql): &(&[&str], &str)| {
        let (tables, changes): (Vec<&str>, Vec<&str>) =
            statements.iter().copied().partition(|sql| sql.starts_with("CREATE"));
        let changes = || changes.iter().map(|sql| Statement::Other(sql.to_string())).collect();
        World {
            seed: i as u64,
            workers: 1 + i % 2,
            tables: tables.iter().map(|sql| sql.to_string()).collect(),
            queries: (0..2).map(|from_step| Query { sql: sql.to_string(), from_step }).collect(),
            steps: vec![changes()],
        }
    };
    CASES.iter().enumerate().map(|(i, case)| world(i, case)).collect()
}
