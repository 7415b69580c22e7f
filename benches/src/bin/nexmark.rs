//! Nexmark: each query from its SQL text, over generated events in memory, beside Feldera's published figures.
//!
//! `cargo run --release -p benches --bin nexmark -- [--queries q4,q5] [--events N] [--batch N] [--workers N] [--runs N] [--latency N]
//! [--peer PROGRAM] [--no-pin]`
//!
//! One process a query and run, pinned to as many cores as it has workers, generator included; of several runs the one with the median
//! rate is shown. Prints k events/s by the clock and by the time the process had a processor (what counts on a busy machine), the
//! latter without the generator too, the process's greatest memory, rows of state, changes that left, and the ratio of the second rate
//! to the peer. `--latency N`: then N single events, each timed from the call until its change is out.
//!
//! `--peer PROGRAM`: after each query that PROGRAM of benches/peer has too, its line, and how our rate without the making of events
//! stands to its rate, both of this run. Its making of events turns them into its rows too, so that the other rates say less.
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use benches::events::{Events, TABLES};
use benches::usage::{peak_mib, process_seconds, thread_seconds};
use dataflows::allocator;
use dataflows::engine::{Collector, Engine, Output};
use queries::catalogue::Catalogue;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

/// As the product has it.
#[global_allocator]
static ALLOCATOR: allocator::MiMalloc = allocator::MiMalloc;

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

/// The queries of benches/peer.
const PEER_HAS: [&str; 12] = ["q0", "q1", "q2", "q3", "q4", "q5", "q7", "q8", "q9", "q17", "q18", "q20"];

#[derive(Clone)]
struct Options {
    queries: Vec<String>,
    events: usize,
    batch: usize,
    workers: usize,
    runs: usize,
    latency: usize,
    pin: bool,
    peer: Option<String>,
    /// This process runs the only query; else it starts one for each.
    only: bool,
}

fn options() -> Result<Options, String> {
    let queries = (0..=22).map(|n| format!("q{n}")).collect();
    let mut options = Options {
        queries,
        events: 1_000_000,
        batch: 40_000,
        workers: 1,
        runs: 1,
        latency: 0,
        pin: true,
        peer: None,
        only: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| text.parse::<usize>().map_err(|e| format!("{argument} {text}: {e}"));
        match argument.as_str() {
            "--queries" => options.queries = value()?.split(',').map(str::to_owned).collect(),
            "--events" => options.events = number(value()?)?,
            "--batch" => options.batch = number(value()?)?.max(1),
            "--workers" => options.workers = number(value()?)?.max(1),
            "--runs" => options.runs = number(value()?)?.max(1),
            "--latency" => options.latency = number(value()?)?,
            "--peer" => options.peer = Some(value()?),
            "--no-pin" => options.pin = false,
            "--only" => options.only = true,
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(options)
}

fn main() -> Result<(), String> {
    allocator::keep_freed();
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
    println!(
        "query  k ev/s  by CPU  engine only  ratio  MiB  state rows  changes  p50/p99/greatest ms of one event"
    );
    for query in &options.queries {
        let ours = median(&options, query, || child(&options, query))?;
        let Some((ours, line)) = ours else { continue };
        println!("{line}");
        let Some(program) = options.peer.as_ref().filter(|_| PEER_HAS.contains(&query.as_str())) else {
            continue;
        };
        let peer = median(&options, query, || {
            let mut command = pinned(&options, program.into());
            command.args([query, &options.events.to_string(), &options.batch.to_string()]);
            Ok(command)
        })?;
        if let Some((peer, line)) = peer {
            println!("{line}  peer, in the same run: ours / its = {:.2}", ours / peer);
        }
    }
    Ok(())
}

/// The line of the run with the median rate by CPU, of as many runs as are wanted, and its rate without the making of events.
fn median(
    options: &Options,
    query: &str,
    command: impl Fn() -> Result<Command, String>,
) -> Result<Option<(f64, String)>, String> {
    let mut lines: Vec<(f64, f64, String)> = vec![];
    for _ in 0..options.runs {
        let output = command()?.stderr(Stdio::inherit()).output();
        let output = output.map_err(|e| format!("cannot start {query}: {e}"))?;
        let line = String::from_utf8_lossy(&output.stdout).trim_end().to_string();
        let number = |i| line.split_whitespace().nth(i).and_then(|rate| rate.parse::<f64>().ok());
        match (number(2), number(3)) {
            (Some(rate), Some(alone)) if output.status.success() => lines.push((rate, alone, line)),
            _ => println!("{query:5}  failed: {}", output.status),
        }
    }
    lines.sort_by(|a, b| a.0.total_cmp(&b.0));
    let middle = lines.len() / 2;
    Ok((!lines.is_empty()).then(|| lines.swap_remove(middle)).map(|(_, alone, line)| (alone, line)))
}

/// A program on as many cores as there are workers.
fn pinned(options: &Options, program: PathBuf) -> Command {
    if !options.pin {
        return Command::new(program);
    }
    let cores: Vec<String> = (0..options.workers).map(|core| core.to_string()).collect();
    let mut command = Command::new("taskset");
    command.args(["-c", &cores.join(",")]).arg(program);
    command
}

/// This program for one query.
fn child(options: &Options, query: &str) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let mut command = pinned(options, program);
    command.args(["--only", "--queries", query]);
    for (name, value) in [
        ("--events", options.events),
        ("--batch", options.batch),
        ("--workers", options.workers),
        ("--latency", options.latency),
    ] {
        command.args([name, &value.to_string()]);
    }
    Ok(command)
}

type Rows = Vec<(Arc<str>, RecordBatch)>;

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
    let [person, auction, bid] = TABLES;
    let schemas = [schema(person)?, schema(auction)?, schema(bid)?];
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

    let mut events = Events::new(schemas);
    let (mut generating, mut time) = (0.0, 1);
    let (started, had) = (Instant::now(), process_seconds());
    for _ in 0..options.events.div_ceil(options.batch) {
        let began = thread_seconds();
        let rows = events.batch(options.batch)?;
        generating += thread_seconds() - began;
        time += 1;
        running.tick(time, rows)?;
    }
    running.take(time)?;
    let (took, had) = (started.elapsed().as_secs_f64(), process_seconds() - had);
    let count = options.events.div_ceil(options.batch) * options.batch;
    let peak = peak_mib();

    let mut waits: Vec<f64> = vec![];
    for _ in 0..options.latency {
        let rows = events.batch(1)?;
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
    let rate = |seconds: f64| count as f64 / seconds.max(1e-9) / 1e3;
    let ratio = PEER.iter().find(|(name, _)| *name == query).map(|(_, peer)| rate(had) / peer);
    println!(
        "{query:5} {:7.0} {:7.0} {:12.0} {:>6} {peak:4} {state:11.0} {:8}  {}/{}/{}",
        rate(took),
        rate(had),
        rate(had - generating),
        ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}")),
        running.changes,
        shown(quantile(0.5)),
        shown(quantile(0.99)),
        shown(waits.last()),
    );
    running.engine.shutdown();
    Ok(())
}

fn side_input(schema: SchemaRef) -> Result<RecordBatch, String> {
    let keys = arrow::array::Int64Array::from_iter_values(0..10_000);
    let values = arrow::array::StringArray::from_iter_values((0..10_000).map(|n| format!("value {n}")));
    RecordBatch::try_new(schema, vec![Arc::new(keys), Arc::new(values)]).map_err(|e| e.to_string())
}
