//! A catalogue, an engine and the rows of its tables.
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt64Array};
use crossbeam_channel::Receiver;
use dataflows::codec::Codec;
use dataflows::engine::{Collector, Engine, Output};
use dataflows::value::Value;
use dataflows::{Table, Tick, View};
use queries::{Catalogue, Declared, batch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A row of a table of numbers.
pub type Row = Vec<Option<i64>>;
/// Rows with how often each is there.
type Bag = BTreeMap<Vec<u8>, i64>;

/// Seeded.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

pub struct World {
    pub engine: Engine,
    catalogue: Catalogue,
    collector: Collector,
    outputs: Receiver<Output>,
    tables: BTreeMap<String, (Arc<Table>, BTreeSet<Row>)>,
    waiting: Vec<(String, Row, bool)>,
    contents: BTreeMap<String, Bag>,
    errs: BTreeMap<String, i64>,
    views: BTreeMap<String, Arc<View>>,
    /// The views that have become readable.
    pub live: BTreeSet<String>,
    time: u64,
}

impl World {
    pub fn new(workers: usize, tables: &str) -> World {
        let (output, outputs) = crossbeam_channel::unbounded();
        let mut world = World {
            engine: Engine::start(workers, output).unwrap(),
            catalogue: Catalogue::default(),
            collector: Collector::new(workers),
            outputs,
            tables: BTreeMap::new(),
            waiting: vec![],
            contents: BTreeMap::new(),
            errs: BTreeMap::new(),
            views: BTreeMap::new(),
            live: BTreeSet::new(),
            time: 0,
        };
        world.declare(tables);
        world
    }

    pub fn declare(&mut self, sql: &str) {
        for declared in self.catalogue.declare(sql).unwrap_or_else(|why| panic!("{sql}: {why}")) {
            match declared {
                Declared::Table(mapping) => {
                    let table = mapping.table.clone();
                    self.engine.create_table(table.clone());
                    self.tables.insert(table.name.to_string(), (table, BTreeSet::new()));
                }
                Declared::MaterializedView(compiled) => {
                    Engine::check(&compiled.plan).unwrap();
                    self.collector.create(compiled.view.clone());
                    self.engine.create_view(compiled.view.clone(), compiled.plan.clone());
                    self.views.insert(compiled.view.name.to_string(), compiled.view.clone());
                }
                Declared::View { .. } => {}
            }
        }
    }

    /// Puts a row in the place of that with its key, or takes it away.
    pub fn change(&mut self, table: &str, row: Row, gone: bool) {
        let (declared, rows) = self.tables.get_mut(table).unwrap();
        let dataflows::Mode::Latest { key, .. } = &declared.mode else { panic!("{table} has a key") };
        rows.retain(|old| key.iter().any(|k| old[*k] != row[*k]));
        if !gone {
            rows.insert(row.clone());
        }
        self.waiting.push((table.into(), row, gone));
    }

    pub fn rows(&self, table: &str) -> &BTreeSet<Row> {
        &self.tables[table].1
    }

    /// Lets the engine see all changes, and waits for its answer.
    pub fn tick(&mut self) {
        self.time += 1;
        let mut feed = vec![];
        for (name, (table, _)) in &self.tables {
            let changes: Vec<_> = self.waiting.iter().filter(|(table, ..)| table == name).collect();
            let mut columns: Vec<ArrayRef> = (0..table.schema.fields().len())
                .map(|i| {
                    Arc::new(changes.iter().map(|(_, row, _)| row[i]).collect::<Int64Array>()) as ArrayRef
                })
                .collect();
            columns.push(Arc::new(Int64Array::from(vec![self.time as i64; changes.len()])));
            columns.push(Arc::new(UInt64Array::from_iter_values(0..changes.len() as u64)));
            columns.push(Arc::new(BooleanArray::from_iter(changes.iter().map(|(.., gone)| Some(*gone)))));
            feed.push((
                Arc::from(name.as_str()),
                RecordBatch::try_new(table.input_schema(), columns).unwrap(),
            ));
        }
        self.waiting.clear();
        self.engine.tick(self.time, feed);
        let mut reached = 0;
        while reached <= self.time {
            while let Some((tick, fresh)) = self.collector.next() {
                self.live.extend(fresh.iter().map(|view| view.name.to_string()));
                reached = tick.upper;
                self.add(&tick);
            }
            if reached <= self.time {
                self.collector.absorb(self.outputs.recv().unwrap());
            }
        }
    }

    fn add(&mut self, tick: &Tick) {
        for batch in &tick.batches {
            let codec = Codec::new(&batch.view.schema).unwrap();
            let rows = self.contents.entry(batch.view.name.to_string()).or_default();
            for delta in &batch.changes {
                let encoded = codec.encode(delta.rows.columns(), delta.len());
                encoded
                    .iter()
                    .zip(&delta.diffs)
                    .for_each(|(row, n)| *rows.entry(row.to_vec()).or_default() += n);
            }
            rows.retain(|_, n| *n != 0);
            let failed: i64 = batch.errs.iter().map(|(_, _, n)| n).sum();
            *self.errs.entry(batch.view.name.to_string()).or_default() += failed;
        }
    }

    /// The views that fail now.
    pub fn failures(&self) -> Vec<&str> {
        assert!(self.errs.values().all(|n| *n >= 0), "{:?}", self.errs);
        self.errs.iter().filter(|(_, n)| **n > 0).map(|(name, _)| name.as_str()).collect()
    }

    /// The rows of a view of numbers.
    pub fn integers(&self, view: &str) -> BTreeSet<Vec<i64>> {
        let codec = Codec::new(&self.views[view].schema).unwrap();
        let number = |value: Value<'_>| match value {
            Value::Int(n) => n as i64,
            other => panic!("{other:?} is not a number"),
        };
        let rows = self.contents.get(view).into_iter().flat_map(|rows| rows.keys());
        rows.map(|row| codec.values(row).map(number).collect()).collect()
    }

    /// Every view is what the batch oracle says.
    pub fn check(&self) {
        assert_eq!(self.failures(), Vec::<&str>::new());
        let rows = self.tables.iter().map(|(name, (table, rows))| {
            let columns: Vec<ArrayRef> = (0..table.schema.fields().len())
                .map(|i| Arc::new(rows.iter().map(|row| row[i]).collect::<Int64Array>()) as ArrayRef)
                .collect();
            (name.clone(), vec![RecordBatch::try_new(table.schema.clone(), columns).unwrap()])
        });
        let rows: BTreeMap<_, _> = rows.collect();
        for (name, view) in self.views.iter().filter(|(name, _)| self.live.contains(*name)) {
            let codec = Codec::new(&view.schema).unwrap();
            let mut expected = Bag::new();
            for batch in
                batch::answer(&self.catalogue, name, &rows).unwrap_or_else(|why| panic!("{name}: {why}"))
            {
                let encoded = codec.encode(batch.columns(), batch.num_rows());
                encoded.iter().for_each(|row| *expected.entry(row.to_vec()).or_default() += 1);
            }
            let text = |bag: &Bag| -> Vec<String> {
                bag.iter()
                    .map(|(row, n)| format!("{n} x {:?}", codec.values(row).collect::<Vec<_>>()))
                    .collect()
            };
            let found = self.contents.get(name).cloned().unwrap_or_default();
            assert_eq!(text(&found), text(&expected), "{name} at {}", self.time);
        }
    }
}
