//! Joins, subqueries and set operations over tables that change: at every tick each view is what the batch oracle says of the rows that
//! are there. A third of the queries runs with one worker, a third with two, a third with four.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use dataflows::View;
use dataflows::codec::Codec;
use dataflows::engine::{Collector, Engine};
use queries::{Catalogue, Compiled, batch};
use std::collections::BTreeMap;
use std::sync::Arc;

const TABLES: &str = "
    CREATE EXTERNAL TABLE a (id INT NOT NULL, k INT, v INT, t TEXT) STORED AS CLOUDEVENTS LOCATION 'a'
        OPTIONS ('mode' 'latest', 'key' 'id');
    CREATE EXTERNAL TABLE b (id INT NOT NULL, k INT, w INT, u TEXT) STORED AS CLOUDEVENTS LOCATION 'b'
        OPTIONS ('mode' 'latest', 'key' 'id');
    CREATE EXTERNAL TABLE c (id INT NOT NULL, k INT, n INT, s TEXT) STORED AS CLOUDEVENTS LOCATION 'c'
        OPTIONS ('mode' 'latest', 'key' 'id');
";

const QUERIES: [&str; 3] = [
    include_str!("../../queries/tests/cases/joins.sql"),
    include_str!("../../queries/tests/cases/sets.sql"),
    include_str!("../../queries/tests/cases/subqueries.sql"),
];

/// Rows with how often each is there.
type Multiset = BTreeMap<Vec<u8>, i64>;
/// k, the other number and the text of a row.
type Cells = (Option<i32>, Option<i32>, Option<String>);

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn number(&mut self) -> Option<i32> {
        (self.below(6) > 0).then(|| self.below(6) as i32)
    }
}

/// What a table holds, by id.
#[derive(Default)]
struct Rows(BTreeMap<i32, Cells>);

impl Rows {
    /// Some rows come, change or go.
    fn change(
        &mut self,
        random: &mut Random,
        count: u64,
        table: &dataflows::Table,
        time: u64,
    ) -> RecordBatch {
        let (mut ids, mut cells, mut gone) = (vec![], vec![], vec![]);
        for _ in 0..count {
            let id = random.below(14) as i32;
            let text = (random.below(5) > 0).then(|| ["x", "y", "z"][random.below(3) as usize].to_string());
            let row: Cells = (random.number(), random.number(), text);
            let deleted = random.below(3) == 0;
            if ids.contains(&id) {
                continue;
            }
            if deleted {
                self.0.remove(&id);
            } else {
                self.0.insert(id, row.clone());
            }
            ids.push(id);
            cells.push(row);
            gone.push(deleted);
        }
        let mut columns = columns(&ids, &cells);
        columns.push(Arc::new(Int64Array::from(vec![time as i64; ids.len()])));
        columns.push(Arc::new(UInt64Array::from(vec![time; ids.len()])));
        columns.push(Arc::new(BooleanArray::from(gone)));
        RecordBatch::try_new(table.input_schema(), columns).unwrap()
    }

    fn batch(&self, table: &dataflows::Table) -> RecordBatch {
        let ids: Vec<i32> = self.0.keys().copied().collect();
        let cells: Vec<Cells> = self.0.values().cloned().collect();
        RecordBatch::try_new(table.schema.clone(), columns(&ids, &cells)).unwrap()
    }
}

fn columns(ids: &[i32], cells: &[Cells]) -> Vec<ArrayRef> {
    vec![
        Arc::new(Int32Array::from(ids.to_vec())),
        Arc::new(cells.iter().map(|c| c.0).collect::<Int32Array>()),
        Arc::new(cells.iter().map(|c| c.1).collect::<Int32Array>()),
        Arc::new(cells.iter().map(|c| c.2.as_deref()).collect::<StringArray>()),
    ]
}

fn add(rows: &mut Multiset, codec: &Codec, columns: &[ArrayRef], diffs: &[i64]) {
    for (row, diff) in codec.encode(columns, diffs.len()).iter().zip(diffs) {
        *rows.entry(row.to_vec()).or_insert(0) += diff;
    }
    rows.retain(|_, n| *n != 0);
}

struct Standing {
    sql: &'static str,
    compiled: Compiled,
    codec: Codec,
    /// None until it is readable, which a view that begins late is some ticks later.
    rows: Option<Multiset>,
}

fn run(seed: u64, workers: usize, ticks: u64) {
    println!("seed {seed}, {workers} workers");
    let mut catalogue = Catalogue::default();
    catalogue.declare(TABLES).unwrap();
    let (output, outputs) = crossbeam_channel::unbounded();
    let engine = Engine::start(workers, output).unwrap();
    let mut collector = Collector::new(workers);
    let tables: Vec<Arc<dataflows::Table>> = catalogue.tables().map(|m| m.table.clone()).collect();
    tables.iter().for_each(|table| engine.create_table(table.clone()));
    let mut standing: BTreeMap<String, Standing> = BTreeMap::new();
    for (i, sql) in QUERIES.iter().flat_map(|text| text.lines()).enumerate() {
        if i % 3 != seed as usize % 3 {
            continue;
        }
        let compiled = catalogue.compile(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
        Engine::check(&compiled.plan).unwrap_or_else(|why| panic!("{sql}: {why}"));
        let name = format!("v{i}");
        let codec = Codec::new(&compiled.view.schema).unwrap();
        standing.insert(name, Standing { sql, compiled, codec, rows: None });
    }
    let create = |collector: &mut Collector, name: &str, compiled: &Compiled| {
        let view = View { name: name.into(), ..compiled.view.as_ref().clone() };
        let view = Arc::new(view);
        collector.create(view.clone());
        engine.create_view(view, compiled.plan.clone());
    };
    let mut random = Random(seed);
    let mut now: BTreeMap<String, Rows> = BTreeMap::new();
    let mut time = 0;
    // A view that begins late catches up when nothing changes any more.
    while time < ticks || (time < 40 * ticks && standing.values().any(|view| view.rows.is_none())) {
        time += 1;
        // Half of the views begin later, when there are rows.
        for (i, (name, view)) in standing.iter().enumerate() {
            if time == if i % 2 == 0 { 1 } else { ticks / 2 } {
                create(&mut collector, name, &view.compiled);
            }
        }
        let feed = tables.iter().map(|table| {
            let count = if time <= ticks { random.below(8) } else { 0 };
            let rows = now.entry(table.name.to_string()).or_default();
            (table.name.clone(), rows.change(&mut random, count, table, time))
        });
        engine.tick(time, feed.collect());
        let mut reached = 0;
        while reached <= time {
            while let Some((tick, fresh)) = collector.next() {
                reached = tick.upper;
                for view in fresh {
                    standing.get_mut(view.name.as_ref()).unwrap().rows = Some(Multiset::new());
                }
                for batch in &tick.batches {
                    let view = standing.get_mut(batch.view.name.as_ref()).unwrap();
                    let rows = view.rows.as_mut().unwrap();
                    for delta in &batch.changes {
                        add(rows, &view.codec, delta.rows.columns(), &delta.diffs);
                    }
                }
            }
            if reached <= time {
                collector.absorb(outputs.recv().unwrap());
            }
        }
        if time > ticks && standing.values().any(|view| view.rows.is_none()) {
            continue;
        }
        let held: BTreeMap<String, Vec<RecordBatch>> =
            tables.iter().map(|t| (t.name.to_string(), vec![now[t.name.as_ref()].batch(t)])).collect();
        for view in standing.values() {
            let Some(found) = &view.rows else { continue };
            // A subquery with two rows where one must be: the view fails, and the oracle does.
            let Ok(expected) = batch::answer_of(&catalogue, &view.compiled, &held) else { continue };
            let mut rows = Multiset::new();
            for batch in &expected {
                add(&mut rows, &view.codec, batch.columns(), &vec![1; batch.num_rows()]);
            }
            assert_eq!(found, &rows, "{} at {time}\n{}", view.sql, view.compiled.plan);
        }
    }
    let unread: Vec<&str> = standing.values().filter(|v| v.rows.is_none()).map(|v| v.sql).collect();
    assert!(unread.is_empty(), "never readable: {unread:?}");
    engine.shutdown();
}

#[test]
fn views_follow_every_change_with_one_worker() {
    run(1, 1, 8);
}

#[test]
fn views_follow_every_change_with_two_workers() {
    run(2, 2, 8);
}

#[test]
fn views_follow_every_change_with_four_workers() {
    run(3, 4, 8);
}
