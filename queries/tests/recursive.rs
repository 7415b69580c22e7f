//! What of recursion is understood, and what is refused in which words. That it is maintained right: `harness/tests/recursive.rs`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
use queries::{Catalogue, DeclareError};

const TABLES: &str = "
    CREATE EXTERNAL TABLE edge (a BIGINT, b BIGINT) STORED AS CLOUDEVENTS LOCATION 'edge';
    CREATE EXTERNAL TABLE x (id BIGINT) STORED AS CLOUDEVENTS LOCATION 'x';
";

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    catalogue
}

fn plan(sql: &str) -> String {
    catalogue().compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}")).plan.to_string()
}

#[test]
fn union_all_adds_and_union_replaces() {
    let all = plan(
        "WITH RECURSIVE t(n) AS (SELECT a FROM edge UNION ALL SELECT n + 1 FROM t WHERE n < 9) SELECT n FROM t",
    );
    assert!(all.contains("Recursive t of t (added), to the end within 10000 rounds"), "{all}");
    let distinct = plan(
        "WITH RECURSIVE t(n) AS (SELECT a FROM edge UNION SELECT b FROM t JOIN edge ON n = a) SELECT n FROM t",
    );
    assert!(distinct.contains("Recursive t of t (replaced), to the end"), "{distinct}");
}

#[test]
fn a_limit_is_read_and_shown() {
    let of = |limit: &str| {
        plan(&format!(
            "WITH MUTUALLY RECURSIVE {limit} t (n BIGINT) AS (SELECT a FROM edge UNION SELECT n FROM t) SELECT n FROM t"
        ))
    };
    assert!(of("(RETURN AT RECURSION LIMIT 7)").contains("at most 7 rounds"));
    assert!(of("(error at recursion limit 7)").contains("to the end within 7 rounds"));
    assert!(of("(RECURSION LIMIT 7)").contains("to the end within 7 rounds"));
    assert!(of("").contains("to the end within 10000 rounds"));
}

#[test]
fn a_relation_hides_a_table_of_its_name_and_is_no_use_of_it() {
    let mut catalogue = catalogue();
    let sql = "CREATE MATERIALIZED VIEW v AS WITH MUTUALLY RECURSIVE x (n BIGINT) AS (SELECT a FROM edge UNION SELECT x.n FROM x) SELECT n FROM x";
    catalogue.declare(sql).unwrap();
    assert_eq!(catalogue.entry("v").unwrap().sql.as_ref(), sql);
    assert!(catalogue.views().all(|view| view.plan.sources() == [std::sync::Arc::<str>::from("edge")]));
}

#[test]
fn what_is_refused_says_what_to_write() {
    let cases = [
        (
            "WITH RECURSIVE t(a, b) AS (SELECT a, b FROM edge UNION SELECT x.a, y.b FROM t x JOIN t y ON x.b = y.a) SELECT * FROM t",
            "names it 2 times",
        ),
        (
            "WITH RECURSIVE t(n) AS (SELECT a FROM edge UNION ALL SELECT count(*) FROM t) SELECT n FROM t",
            "join t by an inner join",
        ),
        (
            "WITH RECURSIVE t(n) AS (SELECT a FROM edge UNION ALL SELECT b FROM t RIGHT JOIN edge ON n = a) SELECT n FROM t",
            "join t by an inner join",
        ),
        ("WITH MUTUALLY RECURSIVE t (n) AS (SELECT a FROM edge) SELECT n FROM t", "with their types"),
        ("WITH MUTUALLY RECURSIVE t AS (SELECT a FROM edge) SELECT a FROM t", "with their types"),
        (
            "WITH MUTUALLY RECURSIVE t (n BIGINT, m BIGINT) AS (SELECT a FROM edge) SELECT n FROM t",
            "declared with 2 columns",
        ),
        ("WITH MUTUALLY RECURSIVE t (n BIGINT) AS (SELECT a / 2.0 FROM edge) SELECT n FROM t", "add a CAST"),
        (
            "WITH MUTUALLY RECURSIVE (RETURN AT 3) t (n BIGINT) AS (SELECT a FROM edge) SELECT n FROM t",
            "RECURSION LIMIT n",
        ),
        (
            "SELECT * FROM (WITH MUTUALLY RECURSIVE t (n BIGINT) AS (SELECT a FROM edge) SELECT n FROM t) AS s",
            "below the top of a query",
        ),
    ];
    for (sql, said) in cases {
        let why = catalogue().compile(sql).map(|compiled| compiled.plan).expect_err(sql);
        assert!(!matches!(why, DeclareError::Internal(_)), "{sql}: {why:?}");
        assert!(why.to_string().contains(said), "{sql}: {why}");
    }
}
