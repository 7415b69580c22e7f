//! Why state by key is not an arrangement: `count(*) .. GROUP BY key`, kept by the engine and kept by differential dataflow.
//!
//! `cargo run --release -p benches --bin state [-- ROWS KEYS TICKS]`
//!
//! One worker, text keys of 9 to 25 bytes, the same rows in the same ticks; prints the seconds of each run, the medians and their ratio.
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflows::engine::{Collector, Engine};
use dataflows::plan::{Aggregate, Function, Plan};
use dataflows::row::{Row, RowBatcher, RowBuilder, RowSpine};
use dataflows::{Mode, Table, View};
use differential_dataflow::input::Input;
use differential_dataflow::operators::arrange::Arrange;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Instant;

const RUNS: usize = 5;

fn main() -> Result<(), String> {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let rows = numbers.first().copied().unwrap_or(1_000_000);
    let keys = numbers.get(1).copied().unwrap_or(250_000);
    let ticks = numbers.get(2).copied().unwrap_or(10);
    let seed = 1;
    println!("seed {seed}, {rows} rows, {keys} keys, {ticks} ticks");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut key = || {
        let n = random.random_range(0..keys);
        format!("key-{n:0width$}", width = 5 + n % 17)
    };
    let batches: Vec<Vec<String>> = (0..ticks).map(|_| (0..rows / ticks).map(|_| key()).collect()).collect();
    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for _ in 0..RUNS {
        let (seconds, groups) = engine(&batches)?;
        let (arranged, counted) = arrangement(&batches)?;
        assert_eq!(groups, counted, "both count the same groups");
        println!("engine {seconds:.3} s, arrangement {arranged:.3} s");
        ours.push(seconds);
        theirs.push(arranged);
    }
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    let (a, b) = (ours[RUNS / 2], theirs[RUNS / 2]);
    println!(
        "median: engine {a:.3} s ({:.0} k rows/s), arrangement {b:.3} s, ratio {:.1}",
        rows as f64 / a / 1e3,
        b / a
    );
    Ok(())
}

fn engine(batches: &[Vec<String>]) -> Result<(f64, i64), String> {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("key", DataType::Utf8, true)]));
    let counted = vec![Field::new("key", DataType::Utf8, true), Field::new("n", DataType::Int64, true)];
    let count = Aggregate {
        function: Function::Count,
        argument: None,
        distinct: false,
        filter: None,
        data_type: DataType::Int64,
    };
    let plan = Plan::Aggregate {
        input: Box::new(Plan::Get { name: "t".into(), schema: schema.clone() }),
        group: vec![0],
        aggregates: vec![count],
        schema: Arc::new(Schema::new(counted)),
    };
    let batches: Vec<RecordBatch> = batches
        .iter()
        .map(|keys| -> ArrayRef { Arc::new(StringArray::from_iter_values(keys)) })
        .map(|column| RecordBatch::try_new(schema.clone(), vec![column]).map_err(|e| e.to_string()))
        .collect::<Result<_, _>>()?;
    let (output, outputs) = crossbeam_channel::unbounded();
    let engine = Engine::start(1, output)?;
    let mut collector = Collector::new(1);
    engine.create_table(Arc::new(Table { name: "t".into(), schema, mode: Mode::Append }));
    let view = Arc::new(View { name: "v".into(), schema: plan.schema(), key: vec![0], sql: "".into() });
    collector.create(view.clone());
    engine.create_view(view, Arc::new(plan));
    let started = Instant::now();
    let (mut reached, mut groups) = (0, 0);
    for (i, batch) in batches.iter().enumerate() {
        let time = i as u64 + 1;
        engine.tick(time, vec![("t".into(), batch.clone())]);
        while reached <= time {
            while let Some((tick, _)) = collector.next() {
                reached = tick.upper;
                groups += tick.batches.iter().flat_map(|b| &b.changes).flat_map(|d| &d.diffs).sum::<i64>();
            }
            if reached <= time {
                collector.absorb(outputs.recv().map_err(|e| format!("the worker ended: {e}"))?);
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    engine.shutdown();
    Ok((seconds, groups))
}

fn arrangement(batches: &[Vec<String>]) -> Result<(f64, i64), String> {
    let batches = batches.to_vec();
    let config = timely::Config::thread();
    let guards = timely::execute(config, move |worker| {
        let groups = std::rc::Rc::new(std::cell::Cell::new(0));
        let seen = groups.clone();
        let (mut input, probe) = worker.dataflow::<u64, _, _>(|scope| {
            let (input, rows) = scope.new_collection::<(Row, Row), i64>();
            let counts = rows
                .arrange_named::<RowBatcher<_, _>, RowBuilder<_, _>, RowSpine<_, _>>("Rows")
                .reduce_abelian::<_, RowBuilder<_, _>, RowSpine<_, i64>, _, _>(
                "Count",
                |_, input, output| output.push((Row::from_slice(&input[0].1.to_le_bytes()), 1)),
                |buffer, key, updates| {
                    buffer.clear();
                    buffer.extend(updates.drain(..).map(|(v, t, d)| ((Row::from_slice(key), v), t, d)));
                },
            );
            let changes = counts.as_collection(|key, value| (Row::from_slice(key), Row::from_slice(value)));
            let (probe, changes) = changes.probe();
            changes.inspect(move |(_, _, diff)| seen.set(seen.get() + diff));
            (input, probe)
        });
        let started = Instant::now();
        for (i, keys) in batches.iter().enumerate() {
            keys.iter().for_each(|key| input.update((Row::from_slice(key.as_bytes()), Row::default()), 1));
            input.advance_to(i as u64 + 1);
            input.flush();
            worker.step_while(|| probe.less_than(input.time()));
        }
        (started.elapsed().as_secs_f64(), groups.get())
    })?;
    guards.join().into_iter().next().ok_or("no worker answered")?
}
