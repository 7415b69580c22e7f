//! Functions that give rows, windows in time, and the clock: what plans mean equals the batch oracle at every time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#[path = "lower/evaluate.rs"]
#[allow(dead_code, reason = "only the bag of rows is needed")]
mod evaluate;

use arrow::array::*;
use arrow::datatypes::SchemaRef;
use dataflows::plan::{CLOCK, clock_schema};
use dataflows::{Mode, Table, Time};
use datafusion::common::ScalarValue;
use evaluate::{Row, bag};
use queries::{Catalogue, batch};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const TABLES: &str = "
    CREATE EXTERNAL TABLE t (id INT, k INT, n INT, at TIMESTAMP, words TEXT, doc TEXT) STORED AS CLOUDEVENTS LOCATION 't'
      OPTIONS ('mode' 'latest', 'key' 'id');
    CREATE EXTERNAL TABLE u (id INT, k INT, n INT, at TIMESTAMP, words TEXT, doc TEXT) STORED AS CLOUDEVENTS LOCATION 'u'
      OPTIONS ('mode' 'latest', 'key' 'id');
";

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Ticks are a second apart, from this one on: 2022-01-01 10:00.
const BEGIN: Time = 1_641_031_200_000;

fn changes(random: &mut Random, schema: &SchemaRef, rows: usize, serial: &mut i64) -> RecordBatch {
    let (mut id, mut k, mut n, mut at) = (vec![], vec![], vec![], vec![]);
    let (mut words, mut doc) = (vec![], vec![]);
    let (mut time, mut event, mut deleted) = (vec![], vec![], vec![]);
    for _ in 0..rows {
        *serial += 1;
        id.push(random.below(25) as i32);
        k.push((random.below(6) > 0).then(|| random.below(4) as i32));
        n.push((random.below(6) > 0).then(|| random.below(5) as i32));
        // Within ten seconds of the ticks, by quarters of a second.
        at.push(
            (random.below(8) > 0).then(|| (BEGIN as i64 + 250 * random.below(80) as i64 - 5_000) * 1_000_000),
        );
        words
            .push((random.below(6) > 0).then(|| ["a b c", "a", "", "b b", "c  d"][random.below(5) as usize]));
        doc.push(
            (random.below(6) > 0)
                .then(|| ["[1, \"x\", null]", "[]", "[{\"a\": 2}]"][random.below(3) as usize]),
        );
        time.push(*serial);
        event.push(*serial as u64);
        deleted.push(random.below(5) == 0);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(id)),
        Arc::new(Int32Array::from(k)),
        Arc::new(Int32Array::from(n)),
        Arc::new(TimestampNanosecondArray::from(at)),
        Arc::new(StringArray::from(words)),
        Arc::new(StringArray::from(doc)),
        Arc::new(Int64Array::from(time)),
        Arc::new(UInt64Array::from(event)),
        Arc::new(BooleanArray::from(deleted)),
    ];
    let columns =
        columns.iter().zip(schema.fields()).map(|(c, f)| arrow::compute::cast(c, f.data_type()).unwrap());
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// The rows of a table in mode latest, from all its changes: a later serial wins.
fn current(table: &Table, changes: &[RecordBatch]) -> Vec<RecordBatch> {
    let Mode::Latest { key, .. } = &table.mode else { panic!("the tests' tables are in mode latest") };
    let width = table.schema.fields().len();
    let mut latest: HashMap<Row, Option<(usize, usize)>> = HashMap::new();
    for (b, batch) in changes.iter().enumerate() {
        let deleted = batch.column(width + 2).as_boolean();
        for row in 0..batch.num_rows() {
            let key =
                key.iter().map(|k| ScalarValue::try_from_array(batch.column(*k), row).unwrap()).collect();
            latest.insert(key, (!deleted.value(row)).then_some((b, row)));
        }
    }
    let mut found = vec![];
    for (b, row) in latest.into_values().flatten() {
        let columns = changes[b].columns()[..width].iter().map(|c| c.slice(row, 1)).collect();
        found.push(RecordBatch::try_new(table.schema.clone(), columns).unwrap());
    }
    found
}

/// Every query at several times over the same rows: the plan, evaluated from scratch, and the batch oracle.
fn run(queries: &[&str], seed: u64, size: usize) {
    println!("seed {seed}, {size} rows");
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    let (mut random, mut serial) = (Random(seed), 0);
    let mut tables: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    for mapping in catalogue.tables() {
        let rows = changes(&mut random, &mapping.table.input_schema(), size, &mut serial);
        tables.insert(mapping.table.name.to_string(), current(&mapping.table, &[rows]));
    }
    let mut failed = vec![];
    for sql in queries {
        let one = || one(&catalogue, sql, &tables);
        if let Err(why) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(one)) {
            let text = why.downcast_ref::<String>().cloned().unwrap_or_default();
            failed.push(format!("{sql}: {text}"));
        }
    }
    assert!(failed.is_empty(), "seed {seed}, {size} rows:\n{}", failed.join("\n\n"));
}

fn one(catalogue: &Catalogue, sql: &str, tables: &BTreeMap<String, Vec<RecordBatch>>) {
    let mut tables = tables.clone();
    {
        let compiled = catalogue.compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
        dataflows::engine::Engine::check(&compiled.plan).unwrap_or_else(|why| panic!("{sql}: {why}"));
        for time in [0, BEGIN, BEGIN + 1_750, BEGIN + 3_001, BEGIN + 7_999, BEGIN + 3_600_000] {
            let clock: ArrayRef =
                Arc::new(TimestampMillisecondArray::from(vec![time as i64]).with_timezone("UTC"));
            let clock = RecordBatch::try_new(clock_schema(), vec![clock]).unwrap();
            tables.insert(CLOCK.into(), vec![clock]);
            let expected = batch::answer_of_at(catalogue, &compiled, &tables, Some(time))
                .unwrap_or_else(|why| panic!("{sql}: {why}"));
            let found = evaluate::evaluate(&compiled.plan, &tables);
            assert_eq!(found, bag(&expected), "{sql} at {time}\n{}", compiled.plan);
        }
    }
}

const QUERIES: &[&str] = &[
    // Lists in the SELECT list and in FROM.
    "SELECT id, unnest(string_to_array(words, ' ')) AS word FROM t",
    "SELECT id, generate_series(1, n) FROM t",
    "SELECT id, i FROM t, generate_series(1, n) AS i",
    "SELECT id, i FROM t CROSS JOIN LATERAL generate_series(k, t.n) AS g(i)",
    "SELECT t.id, w, o FROM t, unnest(string_to_array(t.words, ' ')) WITH ORDINALITY AS x(w, o)",
    "SELECT id, w FROM t LEFT JOIN LATERAL unnest(string_to_array(words, ' ')) AS w ON true",
    "SELECT id, w, i FROM t, unnest(string_to_array(words, ' '), generate_series(1, n)) AS x(w, i) WHERE i > 1",
    "SELECT w, count(*) AS n FROM t, string_to_table(words, ' ') AS w GROUP BY w",
    "SELECT id, w FROM t, regexp_split_to_table(words, ' +') AS w",
    "SELECT id, e.value FROM t, jsonb_array_elements(doc) AS e",
    "SELECT id, value FROM t, jsonb_array_elements_text(doc)",
    "SELECT t.id, i, j FROM t, generate_series(1, n) AS i, generate_series(i, 3) AS j WHERE i < j",
    "SELECT t.id, g.i, u.id AS other FROM t, generate_series(1, n) AS g(i), u WHERE u.k = g.i",
    "SELECT t.id, i FROM t CROSS JOIN LATERAL (SELECT x * 2 AS i FROM generate_series(1, n) AS x WHERE x > 1) AS g",
    "SELECT * FROM generate_series(1, 5)",
    "SELECT a FROM generate_series(TIMESTAMP '2022-01-31', TIMESTAMP '2022-06-01', INTERVAL '1 month') AS a",
    "SELECT * FROM abs(-1)",
    // Windows in time.
    "SELECT * FROM TUMBLE(t, at, INTERVAL '3' SECOND)",
    "SELECT k, sum(n) AS s, window_start FROM TUMBLE(t, at, INTERVAL '3 seconds', INTERVAL '1 second') GROUP BY k, window_start",
    "SELECT t.k, count(*) AS c, window_start, window_end FROM HOP(t, at, INTERVAL '2' SECOND, INTERVAL '6' SECOND) GROUP BY 1, 3, 4",
    "SELECT * FROM TABLE(HOP(TABLE t, DESCRIPTOR(at), INTERVAL '2' SECONDS, INTERVAL '3' SECONDS)) AS w",
    "SELECT id, window_start, window_end FROM CUMULATE((SELECT id, at FROM t WHERE n > 1), at, INTERVAL '1 second', INTERVAL '4 seconds')",
    "WITH c AS (SELECT id, at FROM t) SELECT l.id, r.id AS other FROM TUMBLE(c, at, INTERVAL '5' SECOND) AS l JOIN TUMBLE(u, at, INTERVAL '5' SECOND) AS r ON l.window_start = r.window_start",
    // The clock.
    "SELECT id, at FROM t WHERE at > now() - INTERVAL '3 seconds'",
    "SELECT id, at FROM t WHERE at BETWEEN now() - INTERVAL '2 seconds' AND now() + INTERVAL '2 seconds' AND n > 1",
    "SELECT id, at FROM t WHERE at <= now()",
    "SELECT id FROM t WHERE at + INTERVAL '1 second' < localtimestamp",
    "SELECT k, count(*) AS c FROM t WHERE at >= current_timestamp - INTERVAL '4 seconds' GROUP BY k",
    "SELECT t.id, u.id AS other FROM t JOIN u ON t.k = u.k AND u.at < now() AND t.at > now() - INTERVAL '5 seconds'",
    "SELECT t.id, u.id AS other FROM t LEFT JOIN u ON t.k = u.k AND u.at < now()",
    "SELECT t.id, u.id AS other FROM t LEFT JOIN u ON t.k = u.k AND t.at < now()",
    "SELECT id FROM t WHERE at < now() OR n = 1",
    "SELECT id, date_trunc('minute', now()) AS m FROM t",
    "SELECT id FROM t WHERE date_trunc('second', at) = date_trunc('second', now())",
    "SELECT now() AS now",
    "SELECT k, max(at) AS last FROM t GROUP BY k HAVING max(at) < now() - INTERVAL '2 seconds'",
    "SELECT date_trunc('minute', now()) AS m, k, count(*) FILTER (WHERE at < now()) AS c FROM t GROUP BY 1, 2",
    "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.at > now() - INTERVAL '1 second')",
    "SELECT id FROM t WHERE at > now() - INTERVAL '1 month'",
    "SELECT id, at < now() AS gone FROM t",
    "SELECT id FROM t WHERE at::timestamptz + INTERVAL '1 second' <= now() AND at::timestamptz + INTERVAL '3 seconds' > now()",
    "SELECT id, CASE WHEN at + INTERVAL '1 second' <= now() THEN n END AS told, now() < at OR k = 1 AS early FROM t",
    "SELECT t.id, u.id AS other, u.at > now() AS open FROM t LEFT JOIN u ON t.k = u.k AND u.n > 1",
    "SELECT id FROM t WHERE at > now() OR at + INTERVAL '2 seconds' < now() OR n = 1",
    "SELECT id FROM t WHERE at < now() OR at > now() OR at = now() OR at <= now() - INTERVAL '1 second'",
    "SELECT sum(n) AS s FROM (SELECT n, at::timestamptz AS at FROM t) WHERE at < now() AND at + INTERVAL '1 day' > now() AND n > 0",
];

#[test]
fn several_comparisons_with_the_clock_are_one_temporal_filter() {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    for at in ["at::timestamptz", "at", "coalesce(at, TIMESTAMP '2022-01-01')"] {
        let sql = format!(
            "SELECT k, count(*) AS c FROM t WHERE {at} + INTERVAL '1 hour' <= now() AND {at} + INTERVAL '2 hours' > now() GROUP BY k"
        );
        let plan = catalogue.compile(&sql).unwrap_or_else(|why| panic!("{sql}: {why}")).plan.to_string();
        assert!(plan.contains("Temporal from") && !plan.contains("Get __clock"), "{sql}\n{plan}");
    }
    for sql in [
        "SELECT id, at <= now() AS due FROM t",
        "SELECT k, count(*) FILTER (WHERE at < now()) AS c, count(*) AS n FROM t GROUP BY k",
        "SELECT id FROM t WHERE at > now() - INTERVAL '1 day' OR n = 1",
    ] {
        let plan = catalogue.compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}")).plan.to_string();
        assert!(plan.contains("Temporal from") && !plan.contains("Get __clock"), "{sql}\n{plan}");
    }
}

#[test]
fn plans_mean_what_the_batch_oracle_says_at_every_time() {
    for (seed, size) in [(1, 0), (2, 3), (3, 40)] {
        run(QUERIES, seed, size);
    }
}

/// The rows of a query over nothing but constants, as text.
fn rows_of(sql: &str) -> Vec<String> {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    let compiled = catalogue.compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
    let found = evaluate::evaluate(&compiled.plan, &BTreeMap::new());
    let mut rows: Vec<String> = found
        .iter()
        .flat_map(|(row, n)| {
            let cells: Vec<String> = row.iter().map(|cell| cell.to_string()).collect();
            std::iter::repeat_n(cells.join(" "), *n as usize)
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn rows_are_those_of_postgresql() {
    let cases: &[(&str, &[&str])] = &[
        ("SELECT unnest(ARRAY[1, 2, NULL]) AS a, unnest(ARRAY['x']) AS b", &["1 x", "2 NULL", "NULL NULL"]),
        ("SELECT i FROM generate_series(3, 1, -1) AS i", &["1", "2", "3"]),
        ("SELECT i FROM generate_series(3, 1) AS i", &[]),
        ("SELECT i FROM generate_series(1, NULL) AS i", &[]),
        (
            "SELECT i.i, generate_series FROM generate_series(1, 2) AS i, generate_series(1, 1)",
            &["1 1", "2 1"],
        ),
        ("WITH cte AS (SELECT 1 AS v1, unnest(ARRAY[1, 2]) AS v2) SELECT v1 FROM cte", &["1", "1"]),
        ("SELECT key, value FROM json_each('{\"a\": 1, \"b\": \"x\"}')", &["a 1", "b \"x\""]),
        ("SELECT x, o FROM unnest(ARRAY['a', 'b']) WITH ORDINALITY AS u(x, o)", &["a 1", "b 2"]),
        ("SELECT * FROM range(1, 2)", &["1"]),
    ];
    let mut failed = vec![];
    for (sql, expected) in cases {
        match std::panic::catch_unwind(|| rows_of(sql)) {
            Ok(found) if found == *expected => {}
            Ok(found) => failed.push(format!("{sql}: {found:?}")),
            Err(why) => failed.push(format!("{sql}: {:?}", why.downcast_ref::<String>())),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn what_cannot_be_right_is_refused() {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    for (sql, part) in [
        ("SELECT * FROM HOP(t, at, INTERVAL '0', INTERVAL '1')", "no length"),
        ("SELECT * FROM HOP(t, at, INTERVAL '1', INTERVAL '-1')", "no length"),
        ("SELECT * FROM HOP(t, at)", "HOP(table, time"),
        ("SELECT * FROM HOP(t, at, INTERVAL '1 month', INTERVAL '2 months')", "different lengths"),
        ("SELECT * FROM TUMBLE(t, at, INTERVAL '1 hour') EMIT ON WINDOW CLOSE", "EMIT ON WINDOW CLOSE"),
        ("SELECT id, random() AS r FROM t", "random()"),
        ("SELECT json_each(doc) FROM t", "write it in FROM"),
    ] {
        let why = catalogue.compile(sql).map(|_| ()).expect_err(sql).to_string();
        assert!(why.contains(part), "{sql}: {why}");
    }
}

#[test]
fn declared_functions_are_written_out_where_they_are_called() {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    catalogue
        .declare(
            "CREATE FUNCTION count_char(s varchar, c varchar) RETURNS int LANGUAGE SQL AS
               $$SELECT LENGTH(s) - LENGTH(REPLACE(s, c, ''))$$;
             CREATE FUNCTION twice(int) RETURNS int LANGUAGE SQL AS 'SELECT $1 + $1';
             CREATE FUNCTION endless(n int) RETURNS int LANGUAGE SQL RETURN endless(n);
             CREATE MATERIALIZED VIEW v AS SELECT twice(count_char('banana', 'a')) AS n",
        )
        .unwrap();
    let compiled = catalogue.compile("SELECT n FROM v").unwrap();
    assert_eq!(compiled.plan.sources(), [std::sync::Arc::<str>::from("v")]);
    let found = batch::answer(&catalogue, "v", &BTreeMap::new()).unwrap();
    assert_eq!(bag(&found), [(vec![ScalarValue::Int32(Some(6))], 1)].into());
    for (sql, part) in [("SELECT twice(1, 2)", "takes 1 arguments"), ("SELECT endless(1)", "calls itself")] {
        let why = catalogue.compile(sql).map(|_| ()).expect_err(sql).to_string();
        assert!(why.contains(part), "{sql}: {why}");
    }
    catalogue.drop_function("twice").unwrap();
    assert!(catalogue.compile("SELECT twice(1)").is_err());
}
