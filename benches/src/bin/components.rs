//! Connected components of a graph of small components: how long one edge that comes or goes takes to be answered.
//!
//! `cargo run --release -p benches --bin components [-- EDGES WORKERS CHANGES]`
//!
//! Prints the seconds until the first answer, then p50, p99 and the greatest latency in milliseconds, for both spellings.
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, UInt64Array};
use dataflows::engine::{Collector, Engine, Output};
use dataflows::{Table, Time};
use queries::{Catalogue, Declared};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use std::time::Instant;

const TABLE: &str = "CREATE EXTERNAL TABLE edge (a BIGINT, b BIGINT) STORED AS CLOUDEVENTS LOCATION 'edge' OPTIONS ('mode' 'latest', 'key' 'a,b')";
const VIEWS: [(&str, &str); 2] = [
    (
        "least label",
        "CREATE MATERIALIZED VIEW v AS WITH MUTUALLY RECURSIVE label (node BIGINT, component BIGINT) AS (
           SELECT node, min(component) FROM (
             SELECT a AS node, a AS component FROM edge UNION ALL SELECT b, b AS component FROM edge
             UNION ALL SELECT e.b, l.component FROM label l JOIN edge e ON l.node = e.a
             UNION ALL SELECT e.a, l.component FROM label l JOIN edge e ON l.node = e.b) AS every GROUP BY node)
         SELECT node, component FROM label",
    ),
    (
        "all pairs",
        "CREATE MATERIALIZED VIEW v AS WITH RECURSIVE
           pair(a, b) AS (SELECT a, b FROM edge UNION SELECT b, a FROM edge),
           reach(a, b) AS (SELECT a, a FROM pair UNION SELECT r.a, p.b FROM reach r JOIN pair p ON r.b = p.a)
         SELECT a AS node, min(b) AS component FROM reach GROUP BY a",
    ),
];

/// Nodes of one component.
const COMPONENT_NODES: i64 = 5;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |or: usize| arguments.next().map_or(Ok(or), |text| text.parse());
    let (edges, workers, changes) = (number(100_000)?, number(1)?, number(200)?);
    for (name, sql) in VIEWS {
        measure(name, sql, edges, workers, changes)?;
    }
    Ok(())
}

fn measure(name: &str, sql: &str, edges: usize, workers: usize, changes: usize) -> Outcome<()> {
    let (output, outputs) = crossbeam_channel::unbounded();
    let engine = Engine::start(workers, output)?;
    let mut collector = Collector::new(workers);
    let mut catalogue = Catalogue::default();
    let mut tables = vec![];
    for declared in catalogue.declare(&format!("{TABLE}; {sql}"))? {
        match declared {
            Declared::Table(mapping) => {
                engine.create_table(mapping.table.clone());
                tables.push(mapping.table.clone());
            }
            Declared::MaterializedView(compiled) => {
                collector.create(compiled.view.clone());
                engine.create_view(compiled.view.clone(), compiled.plan.clone());
            }
            Declared::View { .. } => {}
        }
    }
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let components = (edges as i64 / COMPONENT_NODES).max(1);
    let edge = |random: &mut ChaCha8Rng| {
        let first = random.random_range(0..components) * COMPONENT_NODES;
        (first + random.random_range(0..COMPONENT_NODES), first + random.random_range(0..COMPONENT_NODES))
    };
    let all: Vec<(i64, i64)> = (0..edges).map(|_| edge(&mut random)).collect();
    let mut answer = |time: Time, list: &[(i64, i64)], gone: bool| -> Outcome<f64> {
        let started = Instant::now();
        engine.tick(time, vec![("edge".into(), batch(&tables[0], time, list, gone)?)]);
        wait(&mut collector, &outputs, time)?;
        Ok(started.elapsed().as_secs_f64())
    };
    let first = answer(1, &all, false)?;
    let mut latencies = vec![];
    for i in 0..changes as u64 {
        let changed = all[random.random_range(0..all.len())];
        latencies.push(answer(2 + 2 * i, &[changed], true)? * 1e3);
        latencies.push(answer(3 + 2 * i, &[changed], false)? * 1e3);
    }
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{name}: {edges} edges, {workers} workers: first answer {first:.2} s; one edge: p50 {:.2} ms, p99 {:.2} ms, greatest {:.2} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    engine.shutdown();
    Ok(())
}

fn batch(table: &Table, time: Time, list: &[(i64, i64)], gone: bool) -> Outcome<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(list.iter().map(|(a, _)| Some(*a)).collect::<Int64Array>()),
        Arc::new(list.iter().map(|(_, b)| Some(*b)).collect::<Int64Array>()),
        Arc::new(Int64Array::from(vec![time as i64; list.len()])),
        Arc::new(UInt64Array::from_iter_values(0..list.len() as u64)),
        Arc::new(BooleanArray::from(vec![gone; list.len()])),
    ];
    Ok(RecordBatch::try_new(table.input_schema(), columns)?)
}

fn wait(collector: &mut Collector, outputs: &crossbeam_channel::Receiver<Output>, time: Time) -> Outcome<()> {
    loop {
        while let Some((tick, _)) = collector.next() {
            if tick.upper > time {
                return Ok(());
            }
        }
        collector.absorb(outputs.recv()?);
    }
}
