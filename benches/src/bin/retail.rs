//! The retail views from decoded events in memory: how long the engine alone takes, by view.
//!
//! `cargo run --release -p benches --bin retail -- FILE [--workers N] [--tick-events N] [--views a,b] [--runs N]`
//!
//! FILE is `events.ndjson.zst`. Prints seconds and lines/s of each run and their median, decoding apart.
use dataflows::engine::{Collector, Engine};
use queries::catalogue::Catalogue;
use sources::decode::{Decoded, Decoder};
use sources::{Record, file::File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

struct Options {
    file: PathBuf,
    workers: usize,
    tick_events: usize,
    views: Option<Vec<String>>,
    runs: usize,
}

fn options() -> Result<Options, String> {
    let mut options = Options { file: PathBuf::new(), workers: 2, tick_events: 4096, views: None, runs: 5 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: String| text.parse::<usize>().map_err(|e| format!("{argument} {text}: {e}"));
        match argument.as_str() {
            "--workers" => options.workers = number(value()?)?,
            "--tick-events" => options.tick_events = number(value()?)?,
            "--runs" => options.runs = number(value()?)?,
            "--views" => options.views = Some(value()?.split(',').map(str::to_owned).collect()),
            file => options.file = file.into(),
        }
    }
    Ok(options)
}

fn main() -> Result<(), String> {
    let options = options()?;
    let catalogue = Catalogue::load("retail").map_err(|e| e.to_string())?;
    let started = Instant::now();
    let mut file = File::open(std::slice::from_ref(&options.file)).map_err(|e| e.to_string())?;
    let mut records = Vec::new();
    loop {
        let chunk = file.next_chunk(4 << 20).map_err(|e| e.to_string())?;
        if chunk.is_empty() {
            break;
        }
        for payload in chunk {
            records.push(Record { partition: 0, offset: records.len() as u64, payload });
        }
    }
    println!("read {} events in {:.3} s", records.len(), started.elapsed().as_secs_f64());
    let decoder = Decoder::new(catalogue.tables().cloned().collect());
    let mut seconds = Vec::new();
    for _ in 0..options.runs {
        let started = Instant::now();
        let decoded: Vec<Decoded> =
            records.chunks(options.tick_events).map(|chunk| decoder.decode(chunk)).collect();
        let decoding = started.elapsed().as_secs_f64();
        let lines: usize = decoded.iter().flat_map(|d| &d.tables).map(|t| t.rows.num_rows()).sum();
        let started = Instant::now();
        let rows = run(&options, &catalogue, &decoder, decoded)?;
        let took = started.elapsed().as_secs_f64();
        seconds.push(took);
        println!(
            "decode {decoding:.3} s, engine {took:.3} s, {:.0} lines/s, {rows} changes",
            lines as f64 / took
        );
    }
    seconds.sort_by(f64::total_cmp);
    println!("median {:.3} s", seconds[seconds.len() / 2]);
    Ok(())
}

fn run(
    options: &Options,
    catalogue: &Catalogue,
    decoder: &Decoder,
    ticks: Vec<Decoded>,
) -> Result<usize, String> {
    let (output, outputs) = crossbeam_channel::unbounded();
    let engine = Engine::start(options.workers, output)?;
    let mut collector = Collector::new(options.workers);
    for mapping in catalogue.tables() {
        engine.create_table(mapping.table.clone());
    }
    for compiled in catalogue.views() {
        let name = compiled.view.name.to_string();
        if options.views.as_ref().is_none_or(|list| list.contains(&name)) {
            Engine::check(&compiled.plan)?;
            collector.create(compiled.view.clone());
            engine.create_view(compiled.view.clone(), compiled.plan.clone());
        }
    }
    let tables: Vec<Arc<str>> = decoder.mappings().map(|m| m.table.name.clone()).collect();
    let last = ticks.len() as u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (i, decoded) in ticks.into_iter().enumerate() {
                let rows = decoded.tables.into_iter().map(|t| (tables[t.mapping].clone(), t.rows)).collect();
                engine.tick(i as u64 + 1, rows);
            }
        });
        let (mut reached, mut changes) = (0, 0);
        while reached <= last {
            while let Some((tick, _)) = collector.next() {
                reached = tick.upper;
                changes += tick.batches.iter().flat_map(|b| &b.changes).map(|d| d.len()).sum::<usize>();
            }
            if reached <= last {
                collector.absorb(outputs.recv().map_err(|e| format!("the workers ended: {e}"))?);
            }
        }
        Ok::<usize, String>(changes)
    })
    .inspect(|_| _ = engine.shutdown())
}
