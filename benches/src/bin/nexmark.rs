//! Nexmark: each query from its SQL text, over generated events in memory, beside Feldera's published figures.
//!
//! `cargo run --release -p benches --bin nexmark -- [--queries q4,q5] [--events N] [--batch N] [--workers N] [--latency N] [--no-pin]`
//!
//! One process a query, pinned to as many cores as it has workers, generator included. Prints k events/s, with the generator and
//! without it, the process's greatest memory, rows of state, changes that left, and the ratio to the peer. `--latency N`: then N
//! single events, each timed from the call until its change is out.
use arrow::array::{Int64Builder, RecordBatch, StringBuilder, TimestampNanosecondBuilder};
use arrow::datatypes::SchemaRef;
use dataflows::engine::{Collector, Engine, Output};
use nexmark::EventGenerator;
use nexmark::event::Event;
use queries::catalogue::Catalogue;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

/// As the product has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// k events/s of Feldera's DBSP on one core of such a machine, as its benchmark prints them for batches of 40,000.
const PEER: [(&str, f64); 21] = [
    ("q0", 1000.0),
    ("q1", 673.0),
    ("q2", 954.0),
    ("q3", 879.0),
    ("q4", 619.0),
    ("q5", 826.0),
    ("q6", 569.0),
    ("q7", 638.0),
    ("q8", 887.0),
    ("q9", 250.0),
    ("q12", 826.0),
    ("q13", 557.0),
    ("q14", 828.0),
    ("q15", 548.0),
    ("q16", 262.0),
    ("q17", 370.0),
    ("q18", 388.0),
    ("q19", 373.0),
    ("q20", 421.0),
    ("q21", 788.0),
    ("q22", 704.0),
];

#[derive(Clone)]
struct Options {
    queries: Vec<String>,
    events: usize,
    batch: usize,
    workers: usize,
    latency: usize,
    pin: bool,
    /// This process runs the only query; else it starts one for each.
    only: bool,
}

fn options() -> Result<Options, String> {
    let queries = (0..=22).map(|n| format!("q{n}")).collect();
    let mut options =
        Options { queries, events: 1_000_000, batch: 40_000, workers: 1, latency: 0, pin: true, only: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| text.parse::<usize>().map_err(|e| format!("{argument} {text}: {e}"));
        match argument.as_str() {
            "--queries" => options.queries = value()?.split(',').map(str::to_owned).collect(),
            "--events" => options.events = number(value()?)?,
            "--batch" => options.batch = number(value()?)?.max(1),
            "--workers" => options.workers = number(value()?)?.max(1),
            "--latency" => options.latency = number(value()?)?,
            "--no-pin" => options.pin = false,
            "--only" => options.only = true,
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(options)
}

fn main() -> Result<(), String> {
    let options = options()?;
    if options.only {
        return run(&options, &options.queries[0]);
    }
    println!(
        "{} events in batches of {}, {} worker(s), {}",
        options.events,
        options.batch,
        options.workers,
        if options.pin { "pinned" } else { "not pinned" }
    );
    println!("query  k ev/s  engine only  ratio to peer  MiB  state rows  changes  p50/p99 ms of one event");
    for query in &options.queries {
        let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
        let cores: Vec<String> = (0..options.workers).map(|core| core.to_string()).collect();
        let mut command = match options.pin {
            true => {
                let mut command = Command::new("taskset");
                command.args(["-c", &cores.join(",")]).arg(program);
                command
            }
            false => Command::new(program),
        };
        command.args(["--only", "--queries", query]);
        for (name, value) in [
            ("--events", options.events),
            ("--batch", options.batch),
            ("--workers", options.workers),
            ("--latency", options.latency),
        ] {
            command.args([name, &value.to_string()]);
        }
        let status = command.status().map_err(|e| format!("cannot start {query}: {e}"))?;
        if !status.success() {
            println!("{query:5}  failed: {status}");
        }
    }
    Ok(())
}

/// One batch of events as rows of the three tables.
struct Batches {
    generator: EventGenerator,
    schemas: [SchemaRef; 3],
}

type Rows = Vec<(Arc<str>, RecordBatch)>;

impl Batches {
    fn next(&mut self, events: usize) -> Result<Rows, String> {
        let mut ints: [Vec<Int64Builder>; 3] = [builders(1), builders(5), builders(3)];
        let mut texts: [Vec<StringBuilder>; 3] = [builders(6), builders(3), builders(3)];
        let mut times: [Vec<TimestampNanosecondBuilder>; 3] = [builders(1), builders(2), builders(2)];
        for event in self.generator.by_ref().take(events) {
            match event {
                Event::Person(e) => {
                    ints[0][0].append_value(e.id as i64);
                    let list = [e.name, e.email_address, e.credit_card, e.city, e.state, e.extra];
                    texts[0].iter_mut().zip(list).for_each(|(b, text)| b.append_value(text));
                    times[0][0].append_value(e.date_time as i64 * 1_000_000);
                }
                Event::Auction(e) => {
                    let list = [e.id, e.initial_bid, e.reserve, e.seller, e.category];
                    ints[1].iter_mut().zip(list).for_each(|(b, n)| b.append_value(n as i64));
                    let list = [e.item_name, e.description, e.extra];
                    texts[1].iter_mut().zip(list).for_each(|(b, text)| b.append_value(text));
                    times[1]
                        .iter_mut()
                        .zip([e.date_time, e.expires])
                        .for_each(|(b, t)| b.append_value(t as i64 * 1_000_000));
                }
                Event::Bid(e) => {
                    let list = [e.auction, e.bidder, e.price];
                    ints[2].iter_mut().zip(list).for_each(|(b, n)| b.append_value(n as i64));
                    let list = [e.channel, e.url, e.extra];
                    texts[2].iter_mut().zip(list).for_each(|(b, text)| b.append_value(text));
                    times[2].iter_mut().for_each(|b| b.append_value(e.date_time as i64 * 1_000_000));
                }
            }
        }
        let names = ["person", "auction", "bid"];
        // Columns in the order of the tables: the three kinds of columns are taken one after the other as each table lists them.
        let layouts = ["itttttst", "ittiissiit", "iiittsst"];
        let mut out = vec![];
        for (table, layout) in layouts.iter().enumerate() {
            let (mut i, mut t, mut s) =
                (ints[table].iter_mut(), texts[table].iter_mut(), times[table].iter_mut());
            let columns = layout.chars().map(|kind| -> Option<arrow::array::ArrayRef> {
                Some(match kind {
                    'i' => Arc::new(i.next()?.finish()),
                    't' => Arc::new(t.next()?.finish()),
                    _ => Arc::new(s.next()?.finish()),
                })
            });
            let columns = columns.collect::<Option<Vec<_>>>().ok_or("a layout does not fit its table")?;
            let batch = RecordBatch::try_new(self.schemas[table].clone(), columns);
            let batch = batch.map_err(|e| format!("table {}: {e}", names[table]))?;
            if batch.num_rows() > 0 {
                out.push((names[table].into(), batch));
            }
        }
        Ok(out)
    }
}

fn builders<T: Default>(count: usize) -> Vec<T> {
    (0..count).map(|_| T::default()).collect()
}

struct Running {
    engine: Engine,
    collector: Collector,
    outputs: crossbeam_channel::Receiver<Output>,
    reached: u64,
    changes: usize,
}

impl Running {
    /// Feeds one tick.
    fn tick(&mut self, time: u64, rows: Rows) -> Result<(), String> {
        self.engine.tick(time, rows);
        self.take(time.saturating_sub(1))
    }

    /// Takes outputs until readers could see `time`.
    fn take(&mut self, time: u64) -> Result<(), String> {
        loop {
            while let Some((tick, _)) = self.collector.next() {
                self.reached = tick.upper;
                self.changes += tick.batches.iter().flat_map(|b| &b.changes).map(|d| d.len()).sum::<usize>();
                if let Some((why, ..)) = tick.batches.iter().flat_map(|b| &b.errs).next() {
                    return Err(format!("the view fails: {why}"));
                }
            }
            if self.reached > time {
                return Ok(());
            }
            self.collector.absorb(self.outputs.recv().map_err(|e| format!("the workers ended: {e}"))?);
        }
    }
}

fn run(options: &Options, query: &str) -> Result<(), String> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/nexmark"));
    let read = |name: &str| {
        let path = folder.join(format!("{name}.sql"));
        std::fs::read_to_string(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))
    };
    let mut catalogue = Catalogue::load("empty").map_err(|e| e.to_string())?;
    catalogue.declare(&read("tables")?).map_err(|e| e.to_string())?;
    let sql = format!("CREATE MATERIALIZED VIEW {query} AS {}", read(query)?);
    catalogue.declare(&sql).map_err(|e| format!("{query}: {e}"))?;
    let schema = |name: &str| catalogue.schema(name).map_err(|e| e.to_string());
    let schemas = [schema("person")?, schema("auction")?, schema("bid")?];
    let (output, outputs) = crossbeam_channel::unbounded();
    let engine = Engine::start(options.workers, output)?;
    let mut running =
        Running { engine, collector: Collector::new(options.workers), outputs, reached: 0, changes: 0 };
    for mapping in catalogue.tables() {
        running.engine.create_table(mapping.table.clone());
    }
    for compiled in catalogue.views() {
        Engine::check(&compiled.plan)?;
        running.collector.create(compiled.view.clone());
        running.engine.create_view(compiled.view.clone(), compiled.plan.clone());
    }
    running.tick(1, vec![("side_input".into(), side_input(schema("side_input")?)?)])?;
    running.take(1)?;

    let mut batches = Batches { generator: EventGenerator::default(), schemas };
    let (mut generating, mut time) = (0.0, 1);
    let started = Instant::now();
    for _ in 0..options.events.div_ceil(options.batch) {
        let began = Instant::now();
        let rows = batches.next(options.batch)?;
        generating += began.elapsed().as_secs_f64();
        time += 1;
        running.tick(time, rows)?;
    }
    running.take(time)?;
    let took = started.elapsed().as_secs_f64();
    let events = options.events.div_ceil(options.batch) * options.batch;

    let mut waits: Vec<f64> = vec![];
    for _ in 0..options.latency {
        let rows = batches.next(1)?;
        time += 1;
        let began = Instant::now();
        running.engine.tick(time, rows);
        running.take(time)?;
        waits.push(began.elapsed().as_secs_f64() * 1e3);
    }
    waits.sort_by(f64::total_cmp);
    let quantile =
        |share: f64| waits.get(((waits.len() as f64 * share) as usize).min(waits.len().max(1) - 1));
    let shown = |wait: Option<&f64>| wait.map_or_else(|| "-".into(), |ms| format!("{ms:.2}"));
    let figures = running.engine.metrics();
    let state: f64 = figures
        .iter()
        .filter(|(name, _)| name.starts_with("tallyflow_state_rows"))
        .map(|(_, rows)| rows)
        .sum();
    let rate = events as f64 / took / 1e3;
    let engine_only = events as f64 / (took - generating).max(1e-9) / 1e3;
    let ratio = PEER.iter().find(|(name, _)| *name == query).map(|(_, peer)| rate / peer);
    println!(
        "{query:5} {rate:7.0} {engine_only:12.0} {:>14} {:5} {state:11.0} {:8}  {}/{}",
        ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")),
        peak_mib(),
        running.changes,
        shown(quantile(0.5)),
        shown(quantile(0.99)),
    );
    running.engine.shutdown();
    Ok(())
}

fn side_input(schema: SchemaRef) -> Result<RecordBatch, String> {
    let keys = arrow::array::Int64Array::from_iter_values(0..10_000);
    let values = arrow::array::StringArray::from_iter_values((0..10_000).map(|n| format!("value {n}")));
    RecordBatch::try_new(schema, vec![Arc::new(keys), Arc::new(values)]).map_err(|e| e.to_string())
}

/// The greatest resident memory of this process, as the kernel counts it.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
