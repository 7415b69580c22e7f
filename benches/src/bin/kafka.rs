//! How fast events come out of Kafka: read, then decoded too, then taken by the engine too.
//!
//! `harness/services start kafka`, then `cargo run --release -p benches --bin kafka -- $(harness/services url kafka) TOPIC [EVENTS] [WORKERS]`
//!
//! The topic is there and has partitions; where it is empty, EVENTS of the bss workload (1,000,000 unless said) are appended to it
//! first, which is measured as well. The engine holds the tables of the bss catalogue and no view: what views cost is measured by
//! `components` and `retail`. The broker shares the processors. For the whole process, duplicates and bindings included: run
//! `tallyflow run --kafka BROKERS --topic TOPIC --data NEW` and see how long /readyz takes.
use crossbeam_channel::{bounded, unbounded};
use dataflows::allocator;
use dataflows::engine::{Collector, Engine};
use queries::Catalogue;
use sources::decode::{Decoded, Decoder};
use sources::generate::{Generator, GeneratorConfig, Shares};
use sources::kafka::{Kafka, KafkaConfig};
use sources::{Payload, Record, Source};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const POLL_BYTES: usize = 4 << 20;
const BATCH: usize = 1_000;
const BATCHES_IN_FLIGHT: usize = 64;

#[global_allocator]
static ALLOCATOR: allocator::MiMalloc = allocator::MiMalloc;

fn main() -> Outcome<()> {
    allocator::keep_freed();
    let mut arguments = std::env::args().skip(1);
    let brokers = arguments.next().ok_or("name the brokers: HOST:PORT")?;
    let topic = arguments.next().ok_or("name a topic")?;
    let events: usize = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let workers: usize = arguments.next().map_or(Ok(2), |n| n.parse())?;
    let folder = std::env::temp_dir().join(format!("tallyflow-bench-kafka-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let config = KafkaConfig { brokers, topics: vec![topic], ..KafkaConfig::default() };
    let outcome = run(config, &folder, events, workers);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn run(config: KafkaConfig, folder: &Path, events: usize, workers: usize) -> Outcome<()> {
    let (kafka, _) = Kafka::open(config, &folder.join("partitions"))?;
    let held: u64 = kafka.ends().iter().map(|end| end.offset).sum();
    if held == 0 {
        rate("append", events, || append(&kafka, events))?;
    }
    let count: usize =
        kafka.ends().iter().zip(kafka.partitions()).map(|(end, of)| (end.offset - of.first) as usize).sum();
    rate("read", count, || each_chunk(&kafka, |_| Ok(())))?;
    let catalogue = Catalogue::load("bss")?;
    let decoder = Arc::new(Decoder::new(catalogue.tables().cloned().collect()));
    rate("read, decode", count, || decoded(&kafka, &decoder, workers, |_| ()))?;
    let (output, outputs) = unbounded();
    let engine = Engine::start(workers, output)?;
    decoder.mappings().for_each(|mapping| engine.create_table(mapping.table.clone()));
    let tables: Vec<Arc<str>> = decoder.mappings().map(|mapping| mapping.table.name.clone()).collect();
    rate("read, decode, engine", count, || {
        let mut time = 0;
        decoded(&kafka, &decoder, workers, |chunk| {
            time += 1;
            let rows = chunk.tables.into_iter().map(|table| (tables[table.mapping].clone(), table.rows));
            engine.tick(time, rows.collect());
        })?;
        let (mut collector, mut passed) = (Collector::new(workers), 0);
        while passed <= time {
            collector.absorb(outputs.recv()?);
            passed = std::iter::from_fn(|| collector.next()).last().map_or(passed, |(tick, _)| tick.upper);
        }
        Ok(())
    })?;
    engine.shutdown();
    Ok(())
}

fn rate(name: &str, events: usize, run: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    let start = Instant::now();
    run()?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{name:<24} {:>10.0} events/s   ({events} in {seconds:.2} s)", events as f64 / seconds);
    Ok(())
}

fn append(kafka: &Kafka, events: usize) -> Outcome<()> {
    let shares = Shares { late: 0.01, duplicate: 0.01, corrected: 0.01, malformed: 0.0 };
    let config =
        GeneratorConfig { seed: 1, start_ms: 1_750_000_000_000, rate: 6_667.0, customers: 100_000, shares };
    let mut generator = Generator::new(config).take(events).map(|event| event.payload);
    let (done, answers) = bounded(BATCHES_IN_FLIGHT);
    let (mut open, mut failed) = (0, None);
    loop {
        let batch: Vec<Payload> = generator.by_ref().take(BATCH).collect();
        while open > 0 && (batch.is_empty() || open == BATCHES_IN_FLIGHT) {
            open -= 1;
            if let Err(why) = answers.recv()? {
                failed.get_or_insert(why);
            }
        }
        if batch.is_empty() {
            return failed.map_or(Ok(()), |why: sources::log::AppendError| Err(why.into()));
        }
        let done = done.clone();
        kafka.append(batch, Box::new(move |answer| _ = done.send(answer.map(|_| ()))));
        open += 1;
    }
}

/// Reads all that is there.
fn each_chunk(kafka: &Kafka, mut take: impl FnMut(Vec<Record>) -> Outcome<()>) -> Outcome<()> {
    let (ends, mut reader) = (kafka.ends(), kafka.reader());
    let short = |reader: &dyn Source| {
        reader.positions().iter().zip(&ends).any(|(position, end)| position.offset < end.offset)
    };
    while short(&reader) {
        let chunk = reader.poll(POLL_BYTES)?;
        if !chunk.is_empty() {
            take(chunk)?;
        }
    }
    Ok(())
}

/// Reads all that is there, and decodes it in threads; what is decoded is given in any order.
fn decoded(
    kafka: &Kafka,
    decoder: &Decoder,
    threads: usize,
    mut take: impl FnMut(Decoded) + Send,
) -> Outcome<()> {
    let (work, chunks) = bounded::<Vec<Record>>(2 * threads);
    let (done, results) = bounded(2 * threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (chunks, done) = (chunks.clone(), done.clone());
            scope.spawn(move || chunks.iter().try_for_each(|chunk| done.send(decoder.decode(&chunk))));
        }
        drop((chunks, done));
        scope.spawn(move || results.iter().for_each(&mut take));
        let read = each_chunk(kafka, |chunk| Ok(work.send(chunk)?));
        drop(work);
        read
    })
}
