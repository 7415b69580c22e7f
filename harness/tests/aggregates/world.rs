//! A table `a` with a primary key, views over it, an engine that maintains them, and the batch oracle.
use arrow::array::*;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::array_value_to_string;
use dataflows::View;
use dataflows::codec::Codec;
use dataflows::engine::{Collector, Engine};
use queries::{Catalogue, Compiled, batch};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

const TABLE: &str = "CREATE EXTERNAL TABLE a (id BIGINT, k INT, i INT, s SMALLINT, v BIGINT, f DOUBLE, d DECIMAL(12,2),
    t TEXT, u TEXT, b BOOLEAN, at TIMESTAMP, day DATE) STORED AS CLOUDEVENTS LOCATION 'a' OPTIONS ('mode' 'latest', 'key' 'id')";

/// A cell: numbers are compared with a tolerance, since batch sums of floats are rounded at each step.
#[derive(Clone, Debug)]
pub enum Cell {
    Number(f64),
    Text(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Number(number) => write!(f, "{number}"),
            Cell::Text(text) => write!(f, "{text}"),
        }
    }
}

impl Cell {
    fn is_near(&self, other: &Cell) -> bool {
        match (self, other) {
            (Cell::Number(a), Cell::Number(b)) => {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()))
            }
            (Cell::Text(a), Cell::Text(b)) => a == b,
            _ => false,
        }
    }
}

fn cells(batches: &[RecordBatch]) -> Vec<Vec<Cell>> {
    let cell = |column: &ArrayRef, i: usize| match column.data_type() {
        _ if column.is_null(i) => Cell::Text("NULL".into()),
        DataType::Float64 => Cell::Number(column.as_primitive::<arrow::datatypes::Float64Type>().value(i)),
        _ => Cell::Text(array_value_to_string(column, i).unwrap()),
    };
    let mut rows: Vec<Vec<Cell>> = vec![];
    for batch in batches {
        rows.extend((0..batch.num_rows()).map(|i| batch.columns().iter().map(|c| cell(c, i)).collect()));
    }
    let key = |row: &Vec<Cell>| -> Vec<String> {
        let text = |cell: &Cell| match cell {
            Cell::Number(number) => format!("{number:.5}"),
            Cell::Text(text) => text.clone(),
        };
        row.iter().map(text).collect()
    };
    rows.sort_by_key(key);
    rows
}

/// An engine with the views, and the rows of the table.
pub struct World {
    catalogue: Catalogue,
    views: Vec<(Arc<View>, Compiled)>,
    engine: Engine,
    collector: Collector,
    outputs: crossbeam_channel::Receiver<dataflows::engine::Output>,
    contents: BTreeMap<String, BTreeMap<Vec<u8>, i64>>,
    rows: BTreeMap<i64, RecordBatch>,
    time: u64,
    failed: Vec<String>,
}

impl World {
    pub fn new(workers: usize, sql: &[String]) -> World {
        let mut catalogue = Catalogue::default();
        catalogue.declare(TABLE).unwrap();
        let (output, outputs) = crossbeam_channel::unbounded();
        let engine = Engine::start(workers, output).unwrap();
        let mut collector = Collector::new(workers);
        engine.create_table(catalogue.tables().next().unwrap().table.clone());
        let (mut views, mut failed) = (vec![], vec![]);
        for (i, sql) in sql.iter().enumerate() {
            let compiled = catalogue.compile(sql);
            let checked = compiled.map_err(|why| why.to_string()).and_then(|compiled| {
                Engine::check(&compiled.plan)?;
                Ok(compiled)
            });
            let compiled = match checked {
                Ok(compiled) => compiled,
                Err(why) => {
                    failed.push(format!("{sql}: {why}"));
                    continue;
                }
            };
            let view =
                View { name: format!("v{i}").into(), sql: sql.as_str().into(), ..(*compiled.view).clone() };
            let view = Arc::new(view);
            collector.create(view.clone());
            engine.create_view(view.clone(), compiled.plan.clone());
            views.push((view, compiled));
        }
        let (contents, rows) = Default::default();
        World { catalogue, views, engine, collector, outputs, contents, rows, time: 0, failed }
    }

    fn schema(&self) -> SchemaRef {
        self.catalogue.tables().next().unwrap().table.schema.clone()
    }

    /// One tick: rows by id that are put in the place of what was there, or taken away.
    fn tick(&mut self, changes: BTreeMap<i64, Option<RecordBatch>>) {
        self.time += 1;
        let table = self.catalogue.tables().next().unwrap().table.clone();
        let input = table.input_schema();
        let mut parts = vec![];
        for (id, row) in changes {
            let gone = row.is_none();
            let batch = row.clone().or_else(|| self.rows.get(&id).cloned());
            let Some(batch) = batch else { continue };
            match row {
                Some(row) => _ = self.rows.insert(id, row),
                None => _ = self.rows.remove(&id),
            }
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(Int64Array::from(vec![self.time as i64])));
            columns.push(Arc::new(UInt64Array::from(vec![id as u64])));
            columns.push(Arc::new(BooleanArray::from(vec![gone])));
            parts.push(RecordBatch::try_new(input.clone(), columns).unwrap());
        }
        let feed = arrow::compute::concat_batches(&input, &parts).unwrap();
        self.engine.tick(self.time, vec![("a".into(), feed)]);
        let mut reached = 0;
        while reached <= self.time {
            while let Some((tick, _)) = self.collector.next() {
                for batch in &tick.batches {
                    let codec = Codec::new(&batch.view.schema).unwrap();
                    let rows = self.contents.entry(batch.view.name.to_string()).or_default();
                    for delta in &batch.changes {
                        let encoded = codec.encode(delta.rows.columns(), delta.len());
                        for (row, diff) in encoded.iter().zip(&delta.diffs) {
                            *rows.entry(row.to_vec()).or_insert(0) += diff;
                        }
                    }
                    rows.retain(|_, n| *n != 0);
                }
                reached = tick.upper;
            }
            if reached <= self.time {
                self.collector.absorb(self.outputs.recv().unwrap());
            }
        }
    }

    /// The rows of a view.
    pub fn contents(&self, view: usize) -> Vec<Vec<Cell>> {
        let view = &self.views[view].0;
        let codec = Codec::new(&view.schema).unwrap();
        let rows = self.contents.get(view.name.as_ref());
        let rows = rows.into_iter().flatten().flat_map(|(row, n)| {
            assert!(*n > 0, "{}: a row is there {n} times", view.sql);
            std::iter::repeat_n(row.as_slice(), *n as usize)
        });
        let rows: Vec<&[u8]> = rows.collect();
        let fields = view.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        cells(&[RecordBatch::try_new(schema, codec.decode(&rows)).unwrap()])
    }

    fn compare(&mut self) {
        let rows: Vec<RecordBatch> = self.rows.values().cloned().collect();
        let tables = BTreeMap::from([("a".to_string(), rows)]);
        for i in 0..self.views.len() {
            let (view, compiled) = &self.views[i];
            let expected = match batch::answer_of(&self.catalogue, compiled, &tables) {
                Ok(expected) => cells(&expected),
                Err(why) => {
                    self.failed.push(format!("{}: the oracle: {why}", view.sql));
                    continue;
                }
            };
            let found = self.contents(i);
            let same = found.len() == expected.len()
                && found.iter().zip(&expected).all(|(a, b)| a.iter().zip(b).all(|(a, b)| a.is_near(b)));
            if !same {
                self.failed.push(format!(
                    "{} at {}\n    found {found:?}\n    expected {expected:?}",
                    view.sql, self.time
                ));
            }
        }
    }

    /// One tick of rows (id, (k, v)), whose other columns are NULL.
    pub fn feed(&mut self, rows: Vec<(i64, Option<(i64, i64)>)>) {
        let schema = self.schema();
        let row = |id: i64, (k, v): (i64, i64)| {
            let columns = schema.fields().iter().map(|field| -> ArrayRef {
                match field.name().as_str() {
                    "id" => Arc::new(Int64Array::from(vec![id])),
                    "k" => Arc::new(Int32Array::from(vec![k as i32])),
                    "v" => Arc::new(Int64Array::from(vec![v])),
                    _ => new_null_array(field.data_type(), 1),
                }
            });
            RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
        };
        let changes = rows.into_iter().map(|(id, cells)| (id, cells.map(|cells| row(id, cells))));
        let changes = changes.collect();
        self.tick(changes);
    }

    /// Stops the workers; panics with all that went wrong.
    pub fn end(self) {
        assert!(self.failed.is_empty(), "{}", self.failed.join("\n"));
        self.engine.shutdown();
    }
}

fn random_row(schema: &SchemaRef, id: i64, random: &mut ChaCha8Rng) -> RecordBatch {
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let n = random.random_range(0..6i64);
        if field.name() != "id" && random.random_range(0..6) == 0 {
            return new_null_array(field.data_type(), 1);
        }
        match field.name().as_str() {
            "id" => Arc::new(Int64Array::from(vec![id])),
            "k" => Arc::new(Int32Array::from(vec![(n % 4) as i32])),
            "i" => Arc::new(Int32Array::from(vec![n as i32 - 2])),
            "s" => Arc::new(Int16Array::from(vec![n as i16 * 7])),
            "v" => Arc::new(Int64Array::from(vec![n])),
            "f" => Arc::new(Float64Array::from(vec![[0.1, 1e6, -2.5, 0.0, 3.25, 7.0][n as usize]])),
            "d" => {
                let d = Decimal128Array::from(vec![i128::from(n) * 125]);
                Arc::new(d.with_precision_and_scale(12, 2).unwrap())
            }
            "t" => Arc::new(StringArray::from(vec![["x", "y", "zz", "", "x", "ä"][n as usize]])),
            "u" => Arc::new(StringArray::from(vec![["-", "+"][n as usize % 2]])),
            "b" => Arc::new(BooleanArray::from(vec![n > 1])),
            "at" => Arc::new(TimestampNanosecondArray::from(vec![n * 1_000_000_000])),
            "day" => Arc::new(Date32Array::from(vec![n as i32 * 100])),
            other => panic!("{other} is no column of the table"),
        }
    });
    RecordBatch::try_new(schema.clone(), columns.collect()).unwrap()
}

/// Feeds random changes and compares all views at every tick; at the end no row is left.
pub fn run(seed: u64, workers: usize, ticks: u64, size: i64, views: &[String]) {
    println!("seed {seed}, {workers} workers, {ticks} ticks");
    let mut world = World::new(workers, views);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let schema = world.schema();
    for _ in 0..ticks {
        let changes = (0..random.random_range(1..size)).map(|_| {
            let id = random.random_range(0..size);
            let row = (random.random_range(0..3) > 0).then(|| random_row(&schema, id, &mut random));
            (id, row)
        });
        let changes = changes.collect();
        world.tick(changes);
        world.compare();
    }
    let all = world.rows.keys().map(|id| (*id, None)).collect();
    world.tick(all);
    world.compare();
    world.end();
}
