//! Queries and their plans: as text, and by what they mean over seeded rows, against the batch oracle.
#![allow(clippy::unwrap_used)] // A test fails where it stands.
#[path = "lower/evaluate.rs"]
mod evaluate;

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use evaluate::{bag, evaluate};
use queries::{Catalogue, batch};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

const TABLES: &str = "
    CREATE EXTERNAL TABLE a (id INT, k INT, v BIGINT, t TEXT, d DECIMAL(12,2)) STORED AS CLOUDEVENTS LOCATION 'a';
    CREATE EXTERNAL TABLE b (id INT, k BIGINT, w BIGINT, u TEXT) STORED AS CLOUDEVENTS LOCATION 'b';
    CREATE EXTERNAL TABLE c (k INT NOT NULL, name TEXT, n INT) STORED AS CLOUDEVENTS LOCATION 'c'
      OPTIONS ('mode' 'latest', 'key' 'k');
    CREATE VIEW strong AS SELECT id, k, v FROM a WHERE v > 2;
    CREATE VIEW ranked AS SELECT k, v, t, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS place FROM a;
    CREATE MATERIALIZED VIEW totals AS SELECT k, sum(v) AS total FROM a GROUP BY k;
";

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    catalogue
}

fn rows(seed: u64, size: usize) -> BTreeMap<String, Vec<RecordBatch>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let catalogue = catalogue();
    let schema =
        |name: &str| catalogue.tables().find(|m| *m.table.name == *name).unwrap().table.schema.clone();
    let mut number = |nulls: bool, up_to: i64| {
        (0..size)
            .map(|_| {
                if nulls && random.random_range(0..5) == 0 {
                    None
                } else {
                    Some(random.random_range(0..up_to))
                }
            })
            .collect::<Vec<Option<i64>>>()
    };
    let text = |list: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(
            list.into_iter()
                .map(|n| n.map(|n| "xyz"[..1 + n as usize % 3].to_string()))
                .collect::<StringArray>(),
        )
    };
    let int = |list: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(list.into_iter().map(|n| n.map(|n| n as i32)).collect::<Int32Array>())
    };
    let long = |list: Vec<Option<i64>>| -> ArrayRef { Arc::new(list.into_iter().collect::<Int64Array>()) };
    let decimal = |list: Vec<Option<i64>>| -> ArrayRef {
        let list = list.into_iter().map(|n| n.map(|n| i128::from(n) * 125)).collect::<Decimal128Array>();
        Arc::new(list.with_precision_and_scale(12, 2).unwrap())
    };
    let a = vec![
        int(number(false, 6)),
        int(number(true, 4)),
        long(number(true, 6)),
        text(number(true, 3)),
        decimal(number(true, 9)),
    ];
    let b = vec![int(number(true, 6)), long(number(true, 5)), long(number(true, 6)), text(number(false, 3))];
    let few = size.min(5);
    let c = vec![int((0..few as i64).map(Some).collect()), text(number(true, 3)), int(number(true, 4))];
    let c = c.into_iter().map(|column| column.slice(0, few)).collect();
    [("a", a), ("b", b), ("c", c)]
        .into_iter()
        .map(|(name, columns)| (name.to_string(), vec![RecordBatch::try_new(schema(name), columns).unwrap()]))
        .collect()
}

const QUERIES: &[&str] = &[
    "SELECT * FROM a",
    "SELECT k + 1 AS more, t FROM a WHERE v > 1 AND t <> 'x'",
    "SELECT id FROM a UNION ALL SELECT w FROM b",
    "SELECT k FROM a UNION SELECT k FROM b",
    "SELECT DISTINCT k, t FROM a",
    "SELECT k FROM a INTERSECT SELECT k FROM b",
    "SELECT k FROM a EXCEPT SELECT k FROM b",
    "SELECT a.id, b.w FROM a JOIN b ON a.id = b.id",
    "SELECT a.id, b.w FROM a JOIN b ON a.k = b.k",
    "SELECT a.id, b.w FROM a JOIN b ON a.k + 1 = b.k AND a.v < b.w",
    "SELECT a.id, a.k, b.w FROM a LEFT JOIN b ON a.k = b.k",
    "SELECT a.id, a.k, b.w FROM a LEFT JOIN b ON a.k = b.k AND a.v < b.w",
    "SELECT a.id, b.k, b.w FROM a RIGHT JOIN b ON a.id = b.id",
    "SELECT a.id, b.k, b.w FROM a RIGHT JOIN b ON a.id = b.id AND b.w > 2",
    "SELECT a.id, a.v, b.k, b.w FROM a FULL JOIN b ON a.id = b.id",
    "SELECT a.id, a.v, b.k, b.w FROM a FULL JOIN b ON a.id = b.id AND a.v < b.w",
    "SELECT a.id, a.k, c.name FROM a LEFT JOIN c ON a.k = c.k",
    "SELECT a.id, a.k, c.name FROM a LEFT JOIN c ON a.k = c.k AND c.n > 1",
    "SELECT a.id, a.k, c.name FROM a FULL JOIN c ON a.k = c.k",
    "SELECT c.k, c.name, totals.total FROM c JOIN totals ON c.k = totals.k",
    "SELECT id, k FROM a WHERE k IN (SELECT k FROM b)",
    "SELECT id, k FROM a WHERE k NOT IN (SELECT k FROM b)",
    "SELECT id, k FROM a WHERE k NOT IN (SELECT k FROM b WHERE k IS NOT NULL)",
    "SELECT id, k FROM a WHERE k NOT IN (SELECT k FROM b WHERE w > 1000)",
    "SELECT id, k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.id = a.id AND b.w > a.v)",
    "SELECT id, k FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.id = a.id)",
    "SELECT id, k FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.id = a.id AND b.w > a.v)",
    "SELECT id, k FROM a WHERE EXISTS (SELECT 1 FROM b WHERE w > 3)",
    "SELECT id, k FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE w > 1000)",
    "SELECT id, k FROM a WHERE v > 3 OR EXISTS (SELECT 1 FROM b WHERE b.id = a.id)",
    "SELECT id, v FROM a WHERE v > (SELECT avg(w) FROM b)",
    "SELECT id, (SELECT sum(w) FROM b WHERE b.id = a.id) AS theirs FROM a",
    "SELECT k, count(*) AS n, count(v) AS v, sum(v) AS s, avg(v) AS m, min(t) AS lo, max(d) AS hi FROM a GROUP BY k",
    "SELECT k, count(DISTINCT v) AS n, sum(DISTINCT v) AS s, count(*) FILTER (WHERE v > 2) AS big FROM a GROUP BY k",
    "SELECT k, avg(d) AS m, sum(d) AS s, sum(d) FILTER (WHERE t = 'x') AS x FROM a GROUP BY k",
    "SELECT count(*) AS n, sum(v) AS s, max(t) AS t FROM a WHERE v > 1000",
    "SELECT k % 2 AS odd, t, count(*) AS n FROM a GROUP BY k % 2, t HAVING count(*) > 1",
    "SELECT id, v FROM a ORDER BY v DESC LIMIT 4",
    "SELECT id FROM a ORDER BY v, t DESC NULLS FIRST LIMIT 3 OFFSET 2",
    "SELECT id, v * 2 AS twice FROM a ORDER BY v + id LIMIT 5",
    "SELECT k, sum(v) AS s FROM a GROUP BY k ORDER BY s DESC LIMIT 2",
    "SELECT k, v, place FROM ranked WHERE place <= 2",
    "SELECT k, v FROM ranked WHERE place = 1",
    "SELECT k, v FROM ranked WHERE place = 2 AND t = 'x'",
    "SELECT k, v, t FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k % 2 ORDER BY d, id DESC) AS n FROM a) WHERE n < 3",
    "SELECT strong.id, totals.total FROM strong JOIN totals ON strong.k = totals.k",
    "SELECT total, count(*) AS n FROM totals GROUP BY total",
    "SELECT a.id, n.n FROM a CROSS JOIN (SELECT count(*) AS n FROM b) AS n",
    "SELECT a.id, m.m FROM a LEFT JOIN (SELECT max(w) AS m FROM b HAVING max(w) > 4) AS m ON a.v < m.m",
    "SELECT a.id FROM a JOIN b ON a.t IS NOT DISTINCT FROM b.u",
    "SELECT a.id, x.k FROM a JOIN (VALUES (1, 'x'), (2, 'y')) AS x(k, t) ON a.k = x.k",
    "SELECT 1 AS one, 'x' AS x",
    "SELECT CASE WHEN v IS NULL THEN 'none' ELSE t END AS c, 1.5 * d AS more FROM a",
];

#[test]
fn plans_mean_what_the_batch_oracle_says() {
    let catalogue = catalogue();
    for (seed, size) in [(1, 0), (2, 1), (3, 12), (4, 60)] {
        let mut tables = rows(seed, size);
        for sql in QUERIES {
            let compiled = catalogue.compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
            let expected =
                batch::answer_of(&catalogue, &compiled, &tables).unwrap_or_else(|why| panic!("{sql}: {why}"));
            let expected = bag(&expected);
            tables.insert("totals".into(), batch::answer(&catalogue, "totals", &tables).unwrap());
            let found = evaluate(&compiled.plan, &tables);
            assert_eq!(found, expected, "{sql} (seed {seed}, {size} rows)\n{}", compiled.plan);
            if let Some(key) = &compiled.unique {
                let keys: std::collections::HashSet<Vec<_>> =
                    found.keys().map(|row| key.iter().map(|i| row[*i].clone()).collect()).collect();
                let times = found.values().sum::<i64>();
                assert_eq!(keys.len() as i64, times, "{sql}: {key:?} is no key (seed {seed}, {size} rows)");
            }
        }
    }
}

fn check(sql: &str, plan: &str) {
    let found = catalogue().compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}")).plan.to_string();
    if std::env::var_os("UPDATE").is_some() {
        println!("=== {sql}\n{found}");
        return;
    }
    let clean =
        |text: &str| text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("\n");
    let indent = plan.lines().find(|l| !l.trim().is_empty()).map_or(0, |l| l.len() - l.trim_start().len());
    let plan: Vec<&str> = plan.lines().map(|line| line.get(indent..).unwrap_or("")).collect();
    assert_eq!(clean(&found), clean(&plan.join("\n")), "{sql}");
}

#[test]
fn plans_are_as_small_as_they_can_be() {
    check(
        "SELECT id FROM a",
        r#"
            Map select id@0 as id
              Get a
        "#,
    );
    check(
        "SELECT k + 1 AS more FROM a WHERE v > 1",
        r#"
            Map where v@2 > 1 select k@1 + 1 as more
              Get a
        "#,
    );
    check(
        "SELECT k FROM a UNION SELECT k FROM b",
        r#"
            Distinct
              Union
                Map select CAST(k@1 AS Int64) as k
                  Get a
                Map select k@1 as k
                  Get b
        "#,
    );
    check(
        "SELECT a.id, b.w FROM a JOIN b ON a.id = b.id",
        r#"
            Map select id@0 as id, w@2 as w
              Join on id = id
                Map select id@0 as id
                  Get a
                Map select id@0 as id, w@2 as w
                  Get b
        "#,
    );
    check(
        "SELECT a.id, b.w FROM a JOIN b ON a.k = b.k AND a.v < b.w",
        r#"
            Map select id@0 as id, w@5 as w
              Join on a.k = k where v@2 < w@5
                Map select id@0 as id, k@1 as k, v@2 as v, CAST(k@1 AS Int64) as a.k
                  Get a
                Map select k@1 as k, w@2 as w
                  Get b
        "#,
    );
    check(
        "SELECT a.id, b.w FROM a LEFT JOIN b ON a.id = b.id",
        r#"
            Map select id@0 as id, w@2 as w
              Union
                Join on id = id
                  Map select id@0 as id
                    Get a
                  Map select id@0 as id, w@2 as w
                    Get b
                Map select id@0 as id, NULL as id, NULL as w
                  Union
                    Map select id@0 as id
                      Get a
                    Negate
                      Map select id@0 as id
                        Join on id = id
                          Map select id@0 as id
                            Get a
                          Distinct
                            Map select id@0 as id
                              Get b
        "#,
    );
    check(
        "SELECT a.id, c.name FROM a LEFT JOIN c ON a.k = c.k",
        r#"
            Map select id@0 as id, name@3 as name
              Union
                Join on k = k
                  Map select id@0 as id, k@1 as k
                    Get a
                  Map select k@0 as k, name@1 as name
                    Get c
                Map select id@0 as id, k@1 as k, NULL as k, NULL as name
                  Union
                    Map select id@0 as id, k@1 as k
                      Get a
                    Negate
                      Map select id@0 as id, k@1 as k
                        Join on k = k
                          Map select id@0 as id, k@1 as k
                            Get a
                          Map select k@0 as k, name@1 as name
                            Get c
        "#,
    );
    check(
        "SELECT a.id, b.w FROM a LEFT JOIN b ON a.id = b.id AND a.v < b.w",
        r#"
            Map select id@0 as id, w@3 as w
              Union
                Join on id = id where v@1 < w@3
                  Map select id@0 as id, v@2 as v
                    Get a
                  Map select id@0 as id, w@2 as w
                    Get b
                Map select id@0 as id, v@1 as v, NULL as id, NULL as w
                  Union
                    Map select id@0 as id, v@2 as v
                      Get a
                    Negate
                      Matched
                        Map select id@0 as id, v@2 as v
                          Get a
                        Map select id@0 as id, v@1 as v
                          Join on id = id where v@1 < w@3
                            Map select id@0 as id, v@2 as v
                              Get a
                            Map select id@0 as id, w@2 as w
                              Get b
        "#,
    );
    check(
        "SELECT id FROM a WHERE k IN (SELECT k FROM c)",
        r#"
            Map select id@0 as id
              Join on k = k
                Map select id@0 as id, k@1 as k
                  Get a
                Map select k@0 as k
                  Get c
        "#,
    );
    check(
        "SELECT id FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.id = a.id AND b.w > a.v)",
        r#"
            Map select id@0 as id
              Union
                Map select id@0 as id, v@2 as v
                  Get a
                Negate
                  Matched
                    Map select id@0 as id, v@2 as v
                      Get a
                    Map select id@0 as id, v@1 as v
                      Join on id = id where w@3 > v@1
                        Map select id@0 as id, v@2 as v
                          Get a
                        Map select id@0 as id, w@2 as w
                          Get b
        "#,
    );
    check(
        "SELECT k, count(*) AS n, count(DISTINCT v) AS d, sum(v) FILTER (WHERE t = 'x') AS x FROM a GROUP BY k HAVING count(*) > 1",
        r#"
            Map where count(Int64(1))@1 > 1 select k@0 as k, count(Int64(1))@1 as n, count(DISTINCT a.v)@2 as d, sum(a.v) FILTER (WHERE a.t = Utf8("x"))@3 as x
              Aggregate by [k] compute [count(*), count(distinct v), sum(v) filter a.t = Utf8("x")]
                Map select k@1 as k, v@2 as v, t@3 = x as a.t = Utf8("x")
                  Get a
        "#,
    );
    check(
        "SELECT id, v FROM a ORDER BY v DESC LIMIT 4 OFFSET 1",
        r#"
            TopK by [] order [v desc nulls first] offset 1 limit 4
              Map select id@0 as id, v@2 as v
                Get a
        "#,
    );
    check(
        "SELECT k, v FROM ranked WHERE place = 1",
        r#"
            TopK by [k] order [v desc nulls first] offset 0 limit 1
              Map select k@1 as k, v@2 as v
                Get a
        "#,
    );
    check(
        "SELECT k, v, place FROM ranked WHERE place <= 2",
        r#"
            Map select k@0 as k, v@1 as v, row_number() PARTITION BY [a.k] ORDER BY [a.v DESC NULLS FIRST] RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW@2 as place
              TopK numbered by [k] order [v desc nulls first] offset 0 limit 2
                Map select k@1 as k, v@2 as v
                  Get a
        "#,
    );
    check(
        "SELECT strong.id, total FROM strong JOIN totals ON strong.k = totals.k",
        r#"
            Map select id@0 as id, total@3 as total
              Join on k = k
                Map where v@2 > 2 select id@0 as id, k@1 as k
                  Get a
                Get totals
        "#,
    );
    check(
        "SELECT id FROM a WHERE v > (SELECT avg(w) FROM b)",
        r#"
            Map select id@0 as id
              Join on  where CAST(v@1 AS Decimal128(38, 16)) > avg@2
                Map select id@0 as id, v@2 as v
                  Get a
                Map select avg(b.w)@0 as avg
                  Aggregate by [] compute [avg(w)]
                    Map select w@2 as w
                      Get b
        "#,
    );
    check(
        "SELECT 1 AS one, 'x' AS x",
        r#"
            Values 1 rows
        "#,
    );
}

#[test]
fn keys_are_derived_where_the_query_shows_them() {
    let cases: &[(&str, &str)] = &[
        ("SELECT t, k, sum(v) AS s FROM a GROUP BY k, t", "k, t"),
        ("SELECT DISTINCT t, k FROM a", "t, k"),
        ("SELECT name, k FROM c WHERE n > 1", "k"),
        ("SELECT name, n FROM c", "name, n"),
        ("SELECT a.id, c.k, c.name FROM a JOIN c ON a.k = c.k", "id, k, name"),
        ("SELECT totals.k, total, name FROM totals LEFT JOIN c ON totals.k = c.k", "k"),
        ("SELECT k, v, place FROM ranked WHERE place <= 2", "k, place"),
        ("SELECT k, v FROM ranked WHERE place = 1", "k"),
        ("SELECT k, sum(v) AS s FROM a GROUP BY k ORDER BY s DESC LIMIT 2", "k"),
        ("SELECT count(*) AS n, sum(v) AS s FROM a", "n, s"),
        ("SELECT k, name FROM c WHERE k NOT IN (SELECT k FROM b WHERE k IS NOT NULL)", "k"),
        ("CREATE MATERIALIZED VIEW x WITH (key = 't') AS SELECT k, t FROM a", "t"),
    ];
    for (sql, key) in cases {
        let compiled = catalogue().compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
        let names: Vec<&str> =
            compiled.view.key.iter().map(|i| compiled.view.schema.field(*i).name().as_str()).collect();
        assert_eq!(names.join(", "), *key, "{sql}");
    }
}

#[test]
fn a_declared_key_promises_nothing_to_other_queries() {
    let mut catalogue = catalogue();
    catalogue.declare("CREATE MATERIALIZED VIEW loose WITH (key = 'k') AS SELECT k, t FROM a").unwrap();
    let plan = catalogue.compile("SELECT DISTINCT k, t FROM loose").unwrap().plan;
    assert_eq!(plan.to_string(), "Distinct\n  Get loose\n");
}

#[test]
fn types_of_a_view_are_plain() {
    let compiled = catalogue()
        .compile("SELECT NULL AS nothing, substr(t, 1) AS s, count(*) AS n FROM a GROUP BY t")
        .unwrap();
    let types: Vec<&DataType> = compiled.view.schema.fields().iter().map(|field| field.data_type()).collect();
    assert_eq!(types, [&DataType::Utf8, &DataType::Utf8, &DataType::Int64]);
}

#[test]
fn the_order_at_the_top_is_kept_for_those_who_print() {
    let compiled = catalogue().compile("SELECT id, v FROM a ORDER BY v DESC, id LIMIT 4").unwrap();
    let order: Vec<(usize, bool)> = compiled.order.iter().map(|o| (o.column, o.descending)).collect();
    assert_eq!(order, [(1, true), (0, false)]);
}
