//! How many changes a store takes in a second: the whole view first, then deliveries of rows that are other than before.
//!
//! `harness/services start postgres`, then
//! `cargo run --release -p benches --bin sinks -- postgres|redis $(harness/services url SERVER) [KEYS DELIVERIES SIZE,SIZE..]`
//!
//! The view has six columns of the usual types. A delivery changes SIZE rows picked at random (seed 1): every eighth of them goes or
//! comes back, the others become others. Prints changes a second of the median delivery and of all together; the server shares the
//! processors.
use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use dataflows::{Batch, Delta, Tick, View, allocator};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::delivery::{Delivery, Part};
use sinks::memory::{Limits, Memory};
use sinks::{Setting, Sink};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[global_allocator]
static ALLOCATOR: allocator::MiMalloc = allocator::MiMalloc;

/// Which version of each key stands; 0: none.
struct Rows {
    versions: Vec<u32>,
    view: Arc<View>,
    memory: Memory,
    time: u64,
}

fn columns(rows: &[(usize, u32)]) -> Outcome<Vec<ArrayRef>> {
    let stamps =
        rows.iter().map(|(key, version)| 1_767_225_600_000_000 + *key as i64 * 1_000 + i64::from(*version));
    let amounts =
        rows.iter().map(|(key, version)| (*key as i128 * 7 + i128::from(*version) * 13) % 1_000_000);
    let texts = rows.iter().map(|(key, version)| format!("customer {key}, as of version {version}"));
    Ok(vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, _)| format!("C-{key:08}")))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, version)| i64::from(*version)))),
        Arc::new(StringArray::from_iter_values(texts)),
        Arc::new(Decimal128Array::from_iter_values(amounts).with_precision_and_scale(18, 2)?),
        Arc::new(TimestampMicrosecondArray::from_iter_values(stamps).with_timezone("UTC")),
        Arc::new(rows.iter().map(|(key, _)| Some(key % 2 == 0)).collect::<BooleanArray>()),
    ])
}

impl Rows {
    fn new(keys: usize) -> Outcome<Rows> {
        let names = ["customer_id", "version", "note", "balance", "seen_at", "active"];
        let columns = columns(&[])?;
        let fields = names
            .iter()
            .zip(&columns)
            .map(|(name, column)| Field::new(*name, column.data_type().clone(), false));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let sql = "CREATE MATERIALIZED VIEW bench AS ..".into();
        let view = Arc::new(View { name: "bench".into(), schema, key: vec![0], sql });
        let memory = Memory::new(1, Limits::default());
        memory.create(view.clone())?;
        Ok(Rows { versions: vec![0; keys], view, memory, time: 0 })
    }

    /// The rows of some keys become others; the keys that changed.
    fn turn(&mut self, keys: &BTreeSet<usize>, goes: impl Fn(usize) -> bool) -> Outcome<Vec<Box<[u8]>>> {
        let (mut rows, mut diffs) = (vec![], vec![]);
        for key in keys {
            let before = self.versions[*key];
            let after = if before > 0 && goes(*key) { 0 } else { self.time as u32 + 1 };
            for (version, diff) in [(before, -1), (after, 1)] {
                if version > 0 {
                    rows.push((*key, version));
                    diffs.push(diff);
                }
            }
            self.versions[*key] = after;
        }
        self.time += 1;
        let columns = columns(&rows)?;
        let read = self.memory.read();
        let shape = read.view("bench").ok_or("the view is there")?.shape();
        let ids = columns[0].as_string::<i32>().iter().flatten().collect::<BTreeSet<_>>();
        let changed = ids.into_iter().map(|id| {
            let column: ArrayRef = Arc::new(StringArray::from(vec![id]));
            shape.key(&[column]).map(Vec::into_boxed_slice)
        });
        let changed = changed.collect::<Result<_, _>>()?;
        let rows = RecordBatch::try_new(self.view.schema.clone(), columns)?;
        let changes = vec![Delta { time: self.time, rows, diffs }];
        let batches = vec![Batch { view: self.view.clone(), changes, errs: vec![] }];
        self.memory.apply(&Tick { lower: self.time, upper: self.time + 1, positions: vec![], batches })?;
        Ok(changed)
    }

    fn delivery(&self, from: Option<u64>, changed: Option<Vec<Box<[u8]>>>) -> Outcome<Delivery> {
        let kept = self.memory.read().view("bench").ok_or("the view is there")?.clone();
        let part = match changed {
            None => Part::whole(kept),
            Some(keys) => Part::changed(kept, keys),
        };
        Ok(Delivery { from, to: self.time, positions: vec![], parts: vec![part], dropped: vec![] })
    }
}

fn main() -> Outcome<()> {
    allocator::keep_freed();
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().ok_or("name a store: postgres or redis")?;
    let url = arguments.next().ok_or("name its address")?;
    let keys: usize = arguments.next().map_or(Ok(200_000), |n| n.parse())?;
    let deliveries: usize = arguments.next().map_or(Ok(40), |n| n.parse())?;
    let sizes = arguments.next().unwrap_or_else(|| "250,1000,10000".into());
    let options = BTreeMap::from([("url".to_owned(), url)]);
    // Another pipeline each time, so that nothing of an earlier run is there.
    let pipeline = format!("bench-{}", std::process::id());
    let mut sink: Box<dyn Sink> = match kind.as_str() {
        "postgres" => {
            Box::new(sinks::postgres::Postgres::new(&Setting { pipeline, sink: "bench".into(), options })?)
        }
        "redis" => Box::new(sinks::redis::Redis::declared(&pipeline, &options)?),
        other => return Err(format!("no store is called {other}").into()),
    };
    sink.open()?;
    let mut rows = Rows::new(keys)?;
    rows.turn(&(0..keys).collect(), |_| false)?;
    let began = Instant::now();
    sink.apply(&rows.delivery(None, None)?)?;
    println!("whole      {keys:>8} rows     {:>9.0} rows/s", keys as f64 / began.elapsed().as_secs_f64());
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for size in sizes.split(',') {
        let size: usize = size.parse()?;
        let (mut times, mut changes) = (vec![], 0);
        for _ in 0..deliveries {
            let picked: BTreeSet<usize> = (0..size).map(|_| random.random_range(0..keys)).collect();
            let from = rows.time;
            let changed = rows.turn(&picked, |key| key % 8 == 0)?;
            let delivery = rows.delivery(Some(from), Some(changed))?;
            let began = Instant::now();
            sink.apply(&delivery)?;
            times.push(began.elapsed().as_secs_f64());
            changes += picked.len();
        }
        let all: f64 = times.iter().sum();
        times.sort_by(f64::total_cmp);
        println!(
            "changed    {size:>8} a time   {:>9.0} changes/s   p50 {:.1} ms  greatest {:.1} ms",
            changes as f64 / all,
            times[times.len() / 2] * 1e3,
            times[times.len() - 1] * 1e3
        );
    }
    Ok(())
}
