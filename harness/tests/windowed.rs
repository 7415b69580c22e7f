//! Window functions, DISTINCT ON, LIMIT and OFFSET: what the engine keeps through inserts, updates and deletions is what the batch
//! oracle says of the rows that are there. Cases are queries; answers that PostgreSQL gives stand beside some of them.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use dataflows::codec::Codec;
use dataflows::engine::{Collector, Engine};
use dataflows::value::Value;
use queries::{Catalogue, Compiled, batch};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

const TABLE: &str = "
    CREATE EXTERNAL TABLE a (id INT NOT NULL, k INT, v BIGINT, t TEXT, f DOUBLE, d DECIMAL(12,2), at TIMESTAMP)
      STORED AS CLOUDEVENTS LOCATION 'a' OPTIONS ('mode' 'latest', 'key' 'id');
";

type Cells = Vec<String>;

/// Long enough for any machine; an engine that hangs fails the test.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLE).unwrap();
    catalogue
}

/// Columns for the input of the table: its own, then what orders events, then whether the row is deleted.
fn input(rows: &[(Vec<Option<i64>>, bool)], time: i64) -> RecordBatch {
    let catalogue = catalogue();
    let schema = catalogue.tables().next().unwrap().table.input_schema();
    let columns = schema.fields().iter().enumerate().map(|(i, field)| -> ArrayRef {
        let of = |i: usize| rows.iter().map(|(cells, _)| cells[i]).collect::<Int64Array>();
        match (field.name().as_str(), field.data_type()) {
            ("t", _) => Arc::new(of(3).iter().map(|v| v.map(|v| format!("t{v}"))).collect::<StringArray>()),
            ("f", _) => Arc::new(of(4).iter().map(|v| v.map(|v| v as f64 * 0.25)).collect::<Float64Array>()),
            ("at", t) => {
                let scale = |v: Option<i64>| v.map(|v| v * 60_000);
                let millis: Int64Array = of(6).iter().map(scale).collect();
                let millis =
                    cast(&millis, &DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None));
                cast(&millis.unwrap(), t).unwrap()
            }
            (_, t) if i < 7 => cast(&of(i), t).unwrap(),
            (_, DataType::Boolean) => {
                Arc::new(rows.iter().map(|(_, gone)| Some(*gone)).collect::<BooleanArray>())
            }
            (_, t) => cast(&Int64Array::from(vec![time; rows.len()]), t).unwrap(),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

fn current(rows: &BTreeMap<i64, Vec<Option<i64>>>) -> BTreeMap<String, Vec<RecordBatch>> {
    let list: Vec<_> = rows.values().map(|cells| (cells.clone(), false)).collect();
    let batch = input(&list, 0).project(&[0, 1, 2, 3, 4, 5, 6]).unwrap();
    [("a".to_string(), vec![batch])].into()
}

fn text(value: Value<'_>) -> String {
    match value {
        // Doubles that were added in another order differ in their last digits.
        Value::Float(v) => format!("{v:.9e}").replace("-0.0", "0.0"),
        Value::Null => "NULL".into(),
        other => {
            let mut text = String::new();
            other.write_text(&mut text);
            text
        }
    }
}

fn add(bag: &mut BTreeMap<Cells, i64>, rows: &RecordBatch, diffs: impl Iterator<Item = i64>) {
    let codec = Codec::new(&rows.schema()).unwrap();
    let encoded = codec.encode(rows.columns(), rows.num_rows());
    for (row, diff) in encoded.iter().zip(diffs) {
        let cells: Cells = codec.values(row).map(text).collect();
        *bag.entry(cells).or_default() += diff;
    }
    bag.retain(|_, n| *n != 0);
}

fn expected(
    catalogue: &Catalogue,
    compiled: &Compiled,
    rows: &BTreeMap<i64, Vec<Option<i64>>>,
) -> BTreeMap<Cells, i64> {
    let mut bag = BTreeMap::new();
    for batch in batch::answer_of(catalogue, compiled, &current(rows)).unwrap() {
        add(&mut bag, &batch, std::iter::repeat_n(1, batch.num_rows()));
    }
    bag
}

/// What one engine says of all queries, tick after tick.
fn follow(queries: &[&str], workers: usize, seed: u64, ticks: u64, changes: usize, ids: i64) {
    let catalogue = catalogue();
    let (output, outputs) = crossbeam_channel::unbounded();
    let engine = Engine::start(workers, output).unwrap();
    let mut collector = Collector::new(workers);
    engine.create_table(catalogue.tables().next().unwrap().table.clone());
    let compiled: Vec<Compiled> = queries
        .iter()
        .map(|sql| catalogue.compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}")))
        .collect();
    for (i, query) in compiled.iter().enumerate() {
        Engine::check(&query.plan).unwrap_or_else(|why| panic!("{}: {why}", queries[i]));
        let view = dataflows::View { name: format!("q{i}").into(), ..query.view.as_ref().clone() };
        let view = Arc::new(view);
        collector.create(view.clone());
        engine.create_view(view, query.plan.clone());
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut rows: BTreeMap<i64, Vec<Option<i64>>> = BTreeMap::new();
    let mut contents: Vec<BTreeMap<Cells, i64>> = vec![BTreeMap::new(); queries.len()];
    for time in 1..=ticks {
        let mut list: BTreeMap<i64, (Vec<Option<i64>>, bool)> = BTreeMap::new();
        for _ in 0..random.random_range(0..=changes) {
            let id = random.random_range(0..ids);
            let mut cell =
                |up_to: i64| (random.random_range(0..6) > 0).then(|| random.random_range(0..up_to) - 2);
            let cells = vec![Some(id), cell(5), cell(9), cell(5), cell(9), cell(9), cell(30)];
            list.insert(id, (cells, random.random_range(0..4) == 0));
        }
        for (id, (cells, gone)) in &list {
            if *gone {
                rows.remove(id)
            } else {
                rows.insert(*id, cells.clone())
            };
        }
        let list: Vec<_> = list.into_values().collect();
        engine.tick(time, vec![("a".into(), input(&list, time as i64))]);
        let mut reached = 0;
        while reached <= time {
            while let Some((tick, _)) = collector.next() {
                for batch in &tick.batches {
                    let place: usize = batch.view.name[1..].parse().unwrap();
                    for delta in &batch.changes {
                        add(&mut contents[place], &delta.rows, delta.diffs.iter().copied());
                    }
                }
                reached = tick.upper;
            }
            if reached <= time {
                collector.absorb(
                    outputs.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {queries:?}")),
                );
            }
        }
        for (i, query) in compiled.iter().enumerate() {
            let expected = expected(&catalogue, query, &rows);
            assert_eq!(contents[i], expected, "{} at {time}, {workers} workers\n{}", queries[i], query.plan);
        }
    }
    engine.shutdown();
}

const QUERIES: &[&str] = &[
    "SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS n FROM a",
    "SELECT k, v, RANK() OVER (PARTITION BY k ORDER BY v) AS r, DENSE_RANK() OVER (PARTITION BY k ORDER BY v) AS d,
       PERCENT_RANK() OVER (PARTITION BY k ORDER BY v) AS p, CUME_DIST() OVER (PARTITION BY k ORDER BY v) AS c FROM a",
    "SELECT k, RANK() OVER () AS r, ROW_NUMBER() OVER () AS n, count(*) OVER () AS c FROM a",
    "SELECT count(*) OVER () AS c FROM a",
    "SELECT k, v, NTILE(3) OVER (ORDER BY v, k) AS b FROM a",
    "SELECT k, v, LAG(v) OVER (PARTITION BY k ORDER BY at) AS l, LEAD(v, 2, -1) OVER (PARTITION BY k ORDER BY at) AS m FROM a",
    "SELECT k, v, LAG(v, 2) IGNORE NULLS OVER (ORDER BY k, at) AS l FROM a",
    "SELECT k, v, LEAD(v, 1, k * 10) OVER (PARTITION BY t ORDER BY v) AS l FROM a",
    "SELECT k, LAG(7, 1, 0) OVER (ORDER BY k) AS l FROM a",
    "SELECT k, v, FIRST_VALUE(t) OVER (PARTITION BY k ORDER BY v, t) AS a, LAST_VALUE(t) OVER (PARTITION BY k ORDER BY v, t) AS b,
       NTH_VALUE(t, 2) OVER (PARTITION BY k ORDER BY v, t) AS c FROM a",
    "SELECT k, v, FIRST_VALUE(v) IGNORE NULLS OVER w AS a, LAST_VALUE(v) IGNORE NULLS OVER w AS b FROM a
       WINDOW w AS (PARTITION BY k ORDER BY at ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)",
    "SELECT k, v, sum(v) OVER (PARTITION BY k ORDER BY v) AS s, avg(v) OVER (PARTITION BY k) AS m FROM a",
    "SELECT k, f, sum(f) OVER (PARTITION BY k ORDER BY at ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS s FROM a",
    "SELECT k, d, avg(d) OVER (ORDER BY at ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING) AS s FROM a",
    "SELECT k, at, count(*) OVER (PARTITION BY k ORDER BY at RANGE BETWEEN INTERVAL '10 min' PRECEDING AND CURRENT ROW) AS n,
       sum(v) OVER (PARTITION BY k ORDER BY at RANGE BETWEEN INTERVAL '10 min' PRECEDING AND CURRENT ROW) AS s FROM a",
    "SELECT k, v, max(d) OVER (ORDER BY v RANGE BETWEEN 2 PRECEDING AND 1 FOLLOWING) AS m FROM a",
    "SELECT k, d, sum(v) OVER (ORDER BY d DESC RANGE BETWEEN 1.5 PRECEDING AND 2 PRECEDING) AS m FROM a WHERE false
       UNION ALL SELECT k, d, sum(v) OVER (ORDER BY d DESC RANGE BETWEEN 2.5 PRECEDING AND 1 PRECEDING) AS m FROM a",
    "SELECT k, v, sum(k) OVER (ORDER BY v GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS s FROM a",
    "SELECT k, v, count(*) FILTER (WHERE v > 2) OVER (PARTITION BY k ORDER BY v) AS n FROM a",
    "SELECT k, v, count(DISTINCT v) OVER (PARTITION BY k) AS n FROM a",
    "SELECT k, v, sum(v) OVER (PARTITION BY k % 2 ORDER BY v + 1, t) AS n, max(v) OVER (PARTITION BY k % 2) AS m FROM a",
    "SELECT k, sum(v) AS s, RANK() OVER (ORDER BY sum(v) DESC) AS r FROM a GROUP BY k",
    "SELECT k, v, RANK() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM a QUALIFY RANK() OVER (PARTITION BY k ORDER BY v DESC) <= 2",
    "SELECT k, v FROM (SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) AS n FROM a) WHERE n > 1 AND n <= 3",
    "SELECT k, v, n FROM (SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) AS n FROM a) WHERE n >= 2",
    "SELECT DISTINCT ON (k) k, v, t FROM a ORDER BY k, v DESC",
    "SELECT DISTINCT ON (k % 2) v, t FROM a",
    "SELECT DISTINCT ON (k) k, v FROM a ORDER BY k DESC, v LIMIT 2",
    "SELECT DISTINCT ON (k) k, sum(v) AS s FROM a GROUP BY k, t ORDER BY k, s",
    "SELECT id, v FROM a ORDER BY v OFFSET 3",
    "SELECT v FROM a LIMIT 3",
    "SELECT v FROM a OFFSET 4",
    "SELECT v FROM a ORDER BY v DESC NULLS LAST OFFSET 1 LIMIT 1 + 1",
    "SELECT v FROM a ORDER BY v FETCH FIRST 2 ROWS ONLY",
    "SELECT v % 3 AS r, k FROM a ORDER BY r DESC, 2 FETCH FIRST 2 ROWS WITH TIES",
    "SELECT k, sum(v) AS s FROM a GROUP BY k ORDER BY count(*) FETCH FIRST ROW WITH TIES",
    "SELECT v, NTH_VALUE(v, NULL) OVER (ORDER BY v) AS n FROM a",
    "SELECT v FROM a LIMIT 0",
    "SELECT count(*) AS n FROM (SELECT v FROM a LIMIT 3 OFFSET 1) x",
    "SELECT v FROM (SELECT v, k FROM a ORDER BY v DESC LIMIT 6) x LIMIT 2",
    "SELECT x.v, a.k FROM (SELECT v FROM a ORDER BY v LIMIT 2) x JOIN a ON a.v = x.v",
    "(SELECT v FROM a ORDER BY v LIMIT 2) UNION ALL (SELECT k FROM a ORDER BY k DESC LIMIT 1)",
    "SELECT k FROM a ORDER BY v + k, t DESC LIMIT 4",
];

#[test]
fn views_are_what_the_batch_oracle_says_at_every_tick() {
    for query in QUERIES {
        follow(&[query], 1, 1, 12, 4, 14);
        follow(&[query], 2, 2, 5, 30, 40);
    }
    // Many views share one engine.
    follow(QUERIES, 4, 3, 6, 12, 30);
}

fn answers(sql: &str) -> Vec<Cells> {
    let catalogue = catalogue();
    let compiled = catalogue.compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
    let bag = expected(&catalogue, &compiled, &BTreeMap::new());
    bag.into_iter().flat_map(|(row, n)| std::iter::repeat_n(row, n as usize)).collect()
}

#[test]
fn answers_are_those_of_postgresql() {
    let rows = "(VALUES (1, 10), (1, 10), (2, 20), (3, NULL)) AS x(a, b)";
    let cases = [
        ("last_value(b) OVER (ORDER BY a)", vec!["1 10", "1 10", "2 20", "3 NULL"]),
        ("count(*) OVER (ORDER BY a)", vec!["1 2", "1 2", "2 3", "3 4"]),
        ("rank() OVER (ORDER BY a)", vec!["1 1", "1 1", "2 3", "3 4"]),
        ("ntile(3) OVER (ORDER BY a)", vec!["1 1", "1 1", "2 2", "3 3"]),
        ("lag(b, 1, a * 100) OVER (ORDER BY a)", vec!["1 10", "1 100", "2 10", "3 20"]),
        ("sum(9223372036854775807) OVER ()", vec!["1 36893488147419103228"; 4]),
        (
            "sum(b) OVER (ORDER BY b RANGE BETWEEN 10 PRECEDING AND 1 PRECEDING)",
            vec!["1 NULL", "1 NULL", "2 20", "3 NULL"],
        ),
    ];
    for (call, expected) in cases {
        let sql = format!("SELECT a, {call} AS w FROM {rows}");
        let mut found: Vec<String> = answers(&sql).into_iter().map(|row| row.join(" ")).collect();
        found.sort();
        let firsts = |list: &[String]| {
            list.iter().map(|s| s.split(' ').nth(1).unwrap().to_string()).collect::<Vec<_>>()
        };
        let expected: Vec<String> = expected.into_iter().map(String::from).collect();
        if call.starts_with("sum(9") {
            assert_eq!(firsts(&found), firsts(&expected), "{sql}");
        } else {
            assert_eq!(found, expected, "{sql}");
        }
    }
}

#[test]
fn what_cannot_be_answered_as_in_postgresql_is_refused() {
    let cases = [
        ("SELECT approx_distinct(v) OVER () AS n FROM a", "write the exact function"),
        ("SELECT row_number() FILTER (WHERE v > 1) OVER () AS n FROM a", "FILTER"),
        ("SELECT lag(v, k) OVER (ORDER BY v) AS n FROM a", "constant integer"),
        ("SELECT ntile(0) OVER (ORDER BY v) AS n FROM a", "greater than 0"),
        ("SELECT DISTINCT v FROM a ORDER BY v FETCH FIRST 2 ROWS WITH TIES", "RANK()"),
        ("SELECT lag(v, NULL) OVER (ORDER BY v) AS n FROM a", "write NULL"),
        ("SELECT v FROM a LIMIT -1", "negative"),
    ];
    for (sql, words) in cases {
        let why = catalogue().compile(sql).expect_err(sql).to_string();
        assert!(why.contains(words), "{sql}: {why}");
    }
}
