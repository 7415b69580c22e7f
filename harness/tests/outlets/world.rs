//! Views whose rows change at random, as an engine's would: what an outlet is offered, and what each view held at each time.
#![allow(dead_code, reason = "each test file drives its own part")]
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use dataflows::{Batch, Delta, Position, Tick, Time, View};
use harness::outlets::offer::Offer;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sinks::delivery::definition;
use sinks::memory::{Limits, Memory, Read};
use sinks::model::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether a view's rows have a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `k` identifies a row.
    Keyed,
    /// A row may be there several times.
    Keyless,
}

/// Rows, and how often each is there.
type Rows = BTreeMap<(i64, String), i64>;

/// Rows as JSON, and how often each is there; by view, with its definition.
type Contents = BTreeMap<Arc<str>, (u64, BTreeMap<String, i64>)>;

pub struct World {
    memory: Memory,
    random: StdRng,
    time: Time,
    views: BTreeMap<Arc<str>, (Arc<View>, Shape, Rows)>,
    building: Vec<Arc<View>>,
    /// What each view held at each time, and its rows.
    past: BTreeMap<Time, Contents>,
    /// All that happened since the views that are there were made, to be told again.
    ticks: Vec<(Tick, Vec<Arc<View>>)>,
}

fn view(name: &str, shape: Shape) -> Arc<View> {
    let fields = vec![Field::new("k", DataType::Int64, true), Field::new("text", DataType::Utf8, true)];
    let key = if shape == Shape::Keyed { vec![0] } else { vec![0, 1] };
    let sql = format!("CREATE MATERIALIZED VIEW {name} AS {shape:?}").into();
    Arc::new(View { name: name.into(), schema: Arc::new(Schema::new(fields)), key, sql })
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            memory: Memory::new(1, Limits::default()),
            random: StdRng::seed_from_u64(seed),
            time: 1_000,
            views: BTreeMap::new(),
            building: vec![],
            past: BTreeMap::new(),
            ticks: vec![],
        }
    }

    pub fn time(&self) -> Option<Time> {
        self.memory.read().time()
    }

    pub fn create(&mut self, name: &str, shape: Shape) {
        let view = view(name, shape);
        self.building.retain(|building| building.name != view.name);
        self.memory.create(view.clone()).unwrap();
        self.ticks
            .push((Tick { lower: 0, upper: 0, positions: vec![], batches: vec![] }, vec![view.clone()]));
        self.views.insert(name.into(), (view, shape, BTreeMap::new()));
    }

    pub fn building(&mut self, name: &str, shape: Shape) {
        self.building.push(view(name, shape));
    }

    /// The view is gone, and with it what happened to it: a replay does not make it again.
    pub fn drop_view(&mut self, name: &str) {
        self.memory.drop_view(name).unwrap();
        self.views.remove(name);
        for (tick, created) in &mut self.ticks {
            tick.batches.retain(|batch| *batch.view.name != *name);
            created.retain(|view| *view.name != *name);
        }
    }

    /// Some rows of each view change.
    pub fn tick(&mut self) -> Offer {
        let lower = self.time;
        self.time += self.random.random_range(1..5);
        let mut batches = vec![];
        for (view, shape, rows) in self.views.values_mut() {
            let mut changes: Vec<(i64, String, i64)> = vec![];
            for _ in 0..self.random.random_range(0..8) {
                let (key, text) =
                    (self.random.random_range(0..30), format!("'é\"{}", self.random.random_range(0..4)));
                let old: Vec<(i64, String)> = rows.keys().filter(|(k, _)| *k == key).cloned().collect();
                if *shape == Shape::Keyed {
                    for row in old.iter() {
                        changes.push((row.0, row.1.clone(), -1));
                        rows.remove(row);
                    }
                    if self.random.random_range(0..3) == 0 {
                        continue;
                    }
                } else if let Some(row) = old.first().filter(|_| self.random.random()) {
                    changes.push((row.0, row.1.clone(), -1));
                    let count = rows.get_mut(row).unwrap();
                    *count -= 1;
                    if *count == 0 {
                        rows.remove(row);
                    }
                    continue;
                }
                changes.push((key, text.clone(), 1));
                *rows.entry((key, text)).or_default() += 1;
            }
            if !changes.is_empty() {
                batches.push(Batch {
                    view: view.clone(),
                    changes: vec![delta(view, self.time, &changes)],
                    errs: vec![],
                });
            }
        }
        let positions = vec![Position { partition: 0, offset: self.time }];
        let tick = Tick { lower, upper: self.time + 1, positions, batches };
        self.memory.apply(&Tick { lower: 0, ..tick.clone() }).unwrap();
        self.time += 1;
        let contents = self.views.iter().map(|(name, (view, _, rows))| {
            let rows = rows.iter().map(|((key, text), count)| {
                (format!("{{\"k\":{key},\"text\":{}}}", serde_json::to_string(text).unwrap()), *count)
            });
            (name.clone(), (definition(view), rows.collect()))
        });
        self.past.insert(tick.upper - 1, contents.collect());
        self.ticks.push((tick.clone(), vec![]));
        offer(&tick, self.memory.read(), &self.building, false)
    }

    /// Another life of the engine: what happened, told in a few ticks of which one ends at the boundary. What is offered on the way.
    pub fn replay(&mut self, boundary: Option<Time>) -> Vec<Offer> {
        self.memory = Memory::new(2, Limits::default());
        let (mut offers, mut held): (Vec<Offer>, Vec<Batch>) = (vec![], vec![]);
        let last = self.ticks.iter().map(|(tick, _)| tick.upper).max().unwrap_or(0);
        for (tick, created) in &self.ticks {
            created.iter().for_each(|view| self.memory.create(view.clone()).unwrap());
            held.extend(tick.batches.clone());
            if tick.upper == 0 || (boundary != Some(tick.upper - 1) && tick.upper != last) {
                continue;
            }
            let mut batches: BTreeMap<Arc<str>, Batch> = BTreeMap::new();
            for batch in held.drain(..) {
                let whole = batches
                    .entry(batch.view.name.clone())
                    .or_insert(Batch { changes: vec![], ..batch.clone() });
                whole
                    .changes
                    .extend(batch.changes.into_iter().map(|delta| Delta { time: tick.upper - 1, ..delta }));
            }
            let told = Tick { lower: 0, batches: batches.into_values().collect(), ..tick.clone() };
            self.memory.apply(&told).unwrap();
            offers.push(offer(&told, self.memory.read(), &self.building, true));
        }
        offers
    }

    /// The views that are there.
    pub fn views(&self) -> Vec<Arc<View>> {
        self.views.values().map(|(view, _, _)| view.clone()).collect()
    }

    /// What a view held at a time.
    pub fn held(&self, name: &str, time: Time) -> BTreeMap<String, i64> {
        let contents = self.past.get(&time).unwrap_or_else(|| panic!("no tick ended at {time}"));
        contents[name].1.clone()
    }

    /// The store holds exactly what the views held at its time.
    pub fn check(&self, store: &Store) {
        let state = store.state();
        let Some(time) = state.time.filter(|_| state.begun.is_none()) else { return };
        let expected = self.past.get(&time).unwrap_or_else(|| panic!("no tick ended at {time}"));
        for (name, (held, rows)) in &state.views {
            let rows: BTreeMap<String, i64> = rows.values().cloned().collect();
            let (definition, expected) =
                expected.get(name).unwrap_or_else(|| panic!("there was no view {name:?} at {time}"));
            assert_eq!((held, &rows), (definition, expected), "view {name} at {time}");
        }
    }
}

fn delta(view: &View, time: Time, changes: &[(i64, String, i64)]) -> Delta {
    let keys = Int64Array::from_iter_values(changes.iter().map(|(key, _, _)| *key));
    let texts = StringArray::from_iter_values(changes.iter().map(|(_, text, _)| text));
    let rows = RecordBatch::try_new(view.schema.clone(), vec![Arc::new(keys), Arc::new(texts)]).unwrap();
    Delta { time, rows, diffs: changes.iter().map(|(_, _, diff)| *diff).collect() }
}

fn offer(tick: &Tick, read: Read, building: &[Arc<View>], grouped: bool) -> Offer {
    let changed = tick.batches.iter().filter_map(|batch| {
        let kept = read.view(&batch.view.name)?;
        Some((batch.view.name.clone(), Arc::new(kept.changed_keys(batch).unwrap())))
    });
    let changed = changed.collect();
    Offer { read, changed, building: Arc::new(building.to_vec()), restored: true, grouped }
}
