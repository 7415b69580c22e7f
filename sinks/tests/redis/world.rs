//! Views that change at random, what a store is to hold of them, and what its streams say.
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use dataflows::{Batch, Delta, Position, Tick, Time, View};
use sinks::delivery::{Delivery, Part, definition};
use sinks::memory::{Limits, Memory};
use sinks::redis::{Options, Redis};
use sinks::{Content, Held, Sink, SinkError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A small generator of its own, so that a seed means the same for ever (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// Rows of (id, note, amount).
type Row = (i64, Option<String>, u64);

/// A view with the rows it has by now.
struct Table {
    view: Arc<View>,
    rows: BTreeMap<Row, i64>,
}

/// Views, and what one store was told of them.
pub struct World {
    pub memory: Memory,
    tables: Vec<Table>,
    pub time: Time,
    waiting: BTreeMap<Arc<str>, BTreeSet<Box<[u8]>>>,
    pub random: Random,
}

pub fn view(name: &str, key: Vec<usize>, sql: &str) -> Arc<View> {
    let fields = vec![
        Field::new("id", DataType::Int64, false),
        Field::new("no:te", DataType::Utf8, true),
        Field::new("amount", DataType::Float64, false),
    ];
    Arc::new(View { name: name.into(), schema: Arc::new(Schema::new(fields)), key, sql: sql.into() })
}

impl World {
    /// A view with a key, one whose key has two columns in another order, one without a key, one of one row.
    pub fn new(seed: u64) -> World {
        println!("seed {seed}");
        let views = [
            view("totals", vec![0], "a"),
            view("by {note}:id", vec![1, 0], "b"),
            view("lines", vec![0, 1, 2], "c"),
            view("grand", vec![], "d"),
        ];
        let memory = Memory::new(1, Limits::default());
        views.iter().for_each(|view| memory.create(view.clone()).unwrap());
        let tables = views.into_iter().map(|view| Table { view, rows: BTreeMap::new() }).collect();
        World { memory, tables, time: 1_000, waiting: BTreeMap::new(), random: Random(seed) }
    }

    /// Changes up to so many rows of each view.
    pub fn step(&mut self, rows_max: u64) {
        let (lower, upper) = (self.time + 1, self.time + 10);
        let mut batches = vec![];
        for table in &mut self.tables {
            let mut diffs: BTreeMap<Row, i64> = BTreeMap::new();
            for _ in 0..self.random.below(rows_max + 1) {
                change(table, &mut diffs, &mut self.random);
            }
            diffs.retain(|_, diff| *diff != 0);
            for (row, diff) in &diffs {
                *table.rows.entry(row.clone()).or_default() += diff;
            }
            table.rows.retain(|_, count| *count != 0);
            let changes = if diffs.is_empty() { vec![] } else { vec![delta(&table.view, lower, &diffs)] };
            batches.push(Batch { view: table.view.clone(), changes, errs: vec![] });
        }
        let positions = vec![Position { partition: 0, offset: upper }, Position { partition: 7, offset: 3 }];
        self.memory.apply(&Tick { lower, upper, positions, batches: batches.clone() }).unwrap();
        self.time = upper - 1;
        let read = self.memory.read();
        for batch in &batches {
            let keys = read.view(&batch.view.name).unwrap().changed_keys(batch).unwrap();
            self.waiting.entry(batch.view.name.clone()).or_default().extend(keys);
        }
    }

    /// What a store is to be told that holds something: the keys that wait, and views whole that it does not know.
    pub fn delivery(&self, held: &Held) -> Delivery {
        let read = self.memory.read();
        let mut parts = vec![];
        for kept in read.views() {
            let view = kept.shape().view();
            let known = held.time.is_some() && held.views.contains(&(view.name.clone(), definition(view)));
            let keys = self.waiting.get(&view.name).filter(|keys| !keys.is_empty());
            match (known, keys) {
                (true, Some(keys)) => parts.push(Part::changed(kept.clone(), keys.iter().cloned().collect())),
                (true, None) => {}
                (false, _) => parts.push(Part::whole(kept.clone())),
            }
        }
        let foreign = held.views.iter().filter(|(name, _)| read.view(name).is_none());
        let dropped = foreign.map(|(name, _)| name.clone()).collect();
        let positions = read.positions().to_vec();
        Delivery { from: held.time, to: read.time().unwrap(), positions, parts, dropped }
    }

    /// All views whole.
    pub fn whole(&self, from: Option<Time>) -> Delivery {
        self.delivery(&Held { time: None, ..Held::default() }).starting(from)
    }

    /// Makes a store hold the views, as an outlet does: opens it again after an error.
    pub fn bring(&mut self, sink: &mut dyn Sink) -> Result<(), SinkError> {
        let mut tries = 0;
        loop {
            let delivered = sink.open().and_then(|held| {
                let delivery = self.delivery(&held);
                if held.time == Some(delivery.to) { Ok(()) } else { sink.apply(&delivery) }
            });
            match delivered {
                Ok(()) => break,
                Err(SinkError::Retry(_) | SinkError::Moved(_)) if tries < 100 => {
                    tries += 1;
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                Err(error) => return Err(error),
            }
        }
        self.delivered();
        Ok(())
    }

    /// What waited was delivered.
    pub fn delivered(&mut self) {
        self.waiting.clear();
    }

    /// What a view is to be in a store.
    pub fn content(&self, view: &Arc<View>) -> Content {
        let read = self.memory.read();
        let kept = read.view(&view.name).unwrap();
        let mut rows = vec![];
        for entry in kept.rows().iter() {
            let mut text = String::new();
            kept.shape().write_json(entry.row, &mut text);
            rows.push((text, entry.count));
        }
        rows.sort();
        Content { time: read.time(), rows }
    }

    pub fn views(&self) -> Vec<Arc<View>> {
        self.tables.iter().map(|table| table.view.clone()).collect()
    }

    /// Compares all views with what a store holds.
    pub fn compare(&self, sink: &mut dyn Sink) {
        for view in self.views() {
            let held = sink.read(&view).unwrap();
            assert_eq!(held, self.content(&view), "{}", view.name);
        }
    }
}

/// A delivery that begins elsewhere.
pub trait Starting {
    fn starting(self, from: Option<Time>) -> Self;
}
impl Starting for Delivery {
    fn starting(self, from: Option<Time>) -> Delivery {
        Delivery { from, ..self }
    }
}

fn change(table: &Table, diffs: &mut BTreeMap<Row, i64>, random: &mut Random) {
    let notes = [None, Some(""), Some("a\"b"), Some("{x}:y"), Some("ü\n☃"), Some("NULL")];
    let (note, amount) = (notes[random.below(6) as usize].map(String::from), random.below(4) * 25);
    let row = (random.below(3_000) as i64, note, amount);
    if table.view.key.len() == 3 {
        let present = table.rows.get(&row).copied().unwrap_or(0) + diffs.get(&row).copied().unwrap_or(0);
        let diff = if present > 0 && random.below(2) == 0 { -1 } else { 1 };
        *diffs.entry(row).or_default() += diff;
        return;
    }
    // One row a key: what stands under it goes.
    let key = |row: &Row| -> (Option<i64>, Option<Option<String>>) {
        let has = |column| table.view.key.contains(&column);
        (has(0).then_some(row.0), has(1).then(|| row.1.clone()))
    };
    let of = key(&row);
    let (from, to) = match of.0 {
        Some(id) => (id, id),
        None => (i64::MIN, i64::MAX),
    };
    let range = (from, None, 0)..=(to, Some("\u{10FFFF}".into()), u64::MAX);
    let mut standing: BTreeSet<Row> =
        table.rows.range(range.clone()).map(|(row, _)| row.clone()).filter(|row| key(row) == of).collect();
    let touched: Vec<Row> =
        diffs.range(range).map(|(row, _)| row.clone()).filter(|row| key(row) == of).collect();
    standing.extend(touched);
    for row in standing {
        let present = table.rows.get(&row).copied().unwrap_or(0) + diffs.get(&row).copied().unwrap_or(0);
        *diffs.entry(row).or_default() -= present;
    }
    if random.below(4) > 0 {
        *diffs.entry(row).or_default() += 1;
    }
}

fn delta(view: &View, time: Time, diffs: &BTreeMap<Row, i64>) -> Delta {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(diffs.keys().map(|row| row.0)));
    let notes: ArrayRef = Arc::new(StringArray::from_iter(diffs.keys().map(|row| row.1.clone())));
    let amounts: ArrayRef =
        Arc::new(Float64Array::from_iter_values(diffs.keys().map(|row| row.2 as f64 / 100.0)));
    let rows = RecordBatch::try_new(view.schema.clone(), vec![ids, notes, amounts]).unwrap();
    Delta { time, rows, diffs: diffs.values().copied().collect() }
}

/// Options under which streams keep all.
pub fn options(url: &str) -> Options {
    Options { shards: 3, log: 1_000_000, rows: 50, check: std::time::Duration::ZERO, ..Options::new(url) }
}

pub fn sink(url: &str) -> Redis {
    Redis::new("pipeline", options(url))
}

/// A connection of the test's own.
pub fn client(url: &str) -> redis::Connection {
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

type Entry = (String, Vec<(String, String)>);

/// What the streams of a view say since it was loaded, all shards together (none: a row went); checks that each change is said once and that none is missing.
pub fn streamed(connection: &mut redis::Connection, view: &str) -> BTreeMap<String, Option<String>> {
    let mut all = BTreeMap::new();
    for shard in 0..3 {
        let tag = format!("{{tallyflow:{view}:s{shard:02}}}");
        let entries: Vec<Entry> =
            redis::cmd("XRANGE").arg(format!("{tag}:log")).arg("-").arg("+").query(connection).unwrap();
        let mut rows: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut last = String::new();
        let mut open = false;
        for (id, fields) in entries {
            let fields: BTreeMap<String, String> = fields.into_iter().collect();
            match &fields["op"][..] {
                "reload" => rows.clear(),
                "set" => {
                    let (key, row) = (fields["key"].clone(), Some(fields["row"].clone()));
                    assert_ne!(rows.insert(key, row.clone()), Some(row), "{view} {id}: said twice");
                }
                "del" => assert_ne!(
                    rows.insert(fields["key"].clone(), None),
                    Some(None),
                    "{view} {id}: said twice"
                ),
                "none" => {}
                other => panic!("{other}"),
            }
            open = !fields.contains_key("from");
            if let Some(from) = fields.get("from") {
                assert!(from.is_empty() || *from == last, "{view} {id}: from {from}, not {last}");
                last = id.split('-').next().unwrap().into();
            }
        }
        assert!(!open, "{view}: the last change is not whole");
        all.extend(rows);
    }
    all
}

/// The rows of a view by key, as the store has them.
pub fn stored(connection: &mut redis::Connection, view: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for shard in 0..3 {
        let tag = format!("{{tallyflow:{view}:s{shard:02}}}");
        let generation: u64 =
            redis::cmd("HGET").arg(format!("{tag}:meta")).arg("gen").query(connection).unwrap();
        let rows: BTreeMap<String, String> =
            redis::cmd("HGETALL").arg(format!("{tag}:r{generation}")).query(connection).unwrap();
        all.extend(rows);
    }
    all
}
