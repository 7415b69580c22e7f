//! `tallyflow replay`: files into the log, through the pipeline to the end, and out as CSV.
use super::{Replay, grouped, workers};
use crate::Error;
use crate::csv;
use crate::data::Data;
use crate::metrics;
use crate::pipeline::{Finished, Pipeline, Setting};
use crate::ticks::End;
use crossbeam_channel::{Receiver, Sender, bounded};
use dataflows::engine::Cost;
use sources::file::{File, Progress};
use sources::log::AppendError;
use std::path::Path;
use std::time::Instant;

const CHUNK_BYTES: usize = 4 << 20;
const CHUNKS_IN_FLIGHT: usize = 8;

pub(super) fn run(args: Replay) -> Result<(), Error> {
    let start = Instant::now();
    let mut file = File::open(&args.files).map_err(|why| Error::failed("replay", why))?;
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out)
            .map_err(|why| Error::failed(format!("make folder {}", out.display()), why))?;
    }
    if let Some(path) = &args.data
        && crate::feed::known(path)?.is_some()
    {
        let why =
            "its log is in Kafka, and a replay would append the files to it; replay into another --data";
        return Err(Error::failed(format!("replay into {}", path.display()), why));
    }
    let data = match &args.data {
        Some(path) => Data::open(path, args.catalog.as_deref())?,
        None => Data::temporary(args.catalog.as_deref())?,
    };
    let mut setting = Setting::replay(workers(args.workers), args.tick_events as usize);
    if args.snapshot {
        setting.snapshots.every = Some(std::time::Duration::MAX);
    }
    setting.costs = args.costs;
    let pipeline = Pipeline::start(data, &setting)?;
    for repair in pipeline.repairs() {
        report!("tallyflow: repaired {repair}");
    }
    break_on_interrupt(pipeline.breaker());
    let progress = Progress::new(file.bytes_total());
    let appended = append(&mut file, &pipeline, &progress);
    progress.finish();
    let (events, appended) = match appended {
        Ok(events) => (events, Ok(())),
        Err(why) => (0, Err(why)),
    };
    // What failed first, in the pipeline or in the file, is what the user must know.
    let finished = pipeline.finish(if appended.is_ok() { End::Drain } else { End::Now });
    let finished = match (finished, appended) {
        (Err(why), _) | (Ok(_), Err(why)) => return Err(why),
        (Ok(finished), Ok(())) => finished,
    };
    report(&finished, events, args.out.as_deref(), start)?;
    if args.costs {
        costs(finished.costs, events);
    }
    Ok(())
}

/// What each dataflow took and holds. Seconds are of all workers together, within its operators.
fn costs(mut costs: Vec<Cost>, events: u64) {
    costs.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let all: f64 = costs.iter().map(|cost| cost.seconds).sum();
    tell!("costs             {all:.3} s in {} dataflows", costs.len());
    tell!("   seconds   share  ns/event  state rows  state KiB  read by  dataflow");
    for cost in &costs {
        let share = cost.seconds / all.max(f64::MIN_POSITIVE) * 100.0;
        let each = cost.seconds * 1e9 / events.max(1) as f64;
        tell!(
            "{:>10.3}  {share:>5.1}%  {each:>8.0}  {:>10}  {:>9}  {:>7}  {}",
            cost.seconds,
            grouped(cost.rows as u64),
            grouped(cost.bytes as u64 >> 10),
            cost.users.len(),
            cost.dataflow
        );
    }
}

/// A temporary data directory is removed also when the user has had enough.
fn break_on_interrupt(stop: impl FnOnce(Error) + Send + 'static) {
    let wait = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        // Without a runtime the signal does what it always does.
        if runtime.is_ok_and(|runtime| runtime.block_on(tokio::signal::ctrl_c()).is_ok()) {
            stop(Error::failed("replay", "interrupted; with --data it can be run again"));
        }
    };
    std::thread::Builder::new().name("interrupt".into()).spawn(wait).expect("threads can be started");
}

/// Appends all that the files hold; how many events.
fn append(file: &mut File, pipeline: &Pipeline, progress: &Progress) -> Result<u64, Error> {
    let failed = |why: &dyn std::fmt::Display| Error::failed("append to the log", why);
    let (tokens, done): (Sender<Result<(), AppendError>>, Receiver<_>) = bounded(CHUNKS_IN_FLIGHT);
    let (mut events, mut in_flight) = (0, 0);
    loop {
        let chunk = file.next_chunk(CHUNK_BYTES).map_err(|why| Error::failed("replay", why))?;
        if chunk.is_empty() {
            break;
        }
        events += chunk.len() as u64;
        if in_flight == CHUNKS_IN_FLIGHT {
            done.recv().expect("this function holds a sender").map_err(|why| failed(&why))?;
            in_flight -= 1;
        }
        let tokens = tokens.clone();
        pipeline.log().append(chunk, Box::new(move |result| _ = tokens.send(result.map(|_| ()))));
        in_flight += 1;
        progress.update(events, file.bytes_read());
        if let Some(why) = pipeline.visible().now().failure {
            return Err(why);
        }
    }
    for _ in 0..in_flight {
        done.recv().expect("this function holds a sender").map_err(|why| failed(&why))?;
    }
    Ok(events)
}

fn report(finished: &Finished, events: u64, out: Option<&Path>, start: Instant) -> Result<(), Error> {
    let read = finished.shared.memory.read();
    let catalogue = finished.shared.catalogue.lock().expect("no thread panics with the catalogue");
    let mut rows = vec![];
    for compiled in catalogue.views() {
        let view = &compiled.view;
        if let Some(out) = out {
            csv::write(&read, compiled, &out.join(format!("{}.csv", view.name)))?;
        }
        let figures =
            read.view(&view.name).map_or((0, 0), |kept| (kept.rows().totals().rows, kept.errs_count()));
        rows.push((view.name.clone(), figures.0, figures.1));
    }
    let seconds = start.elapsed().as_secs_f64();
    let intake = finished.shared.intake.lock().expect("no thread panics with the intake");
    let counts = intake.counts();
    tell!("events read       {}", grouped(events));
    tell!("records in log    {}", grouped(counts.records));
    tell!("  accepted        {}", grouped(counts.accepted));
    tell!("  duplicates      {}", grouped(counts.duplicates));
    tell!("  rejects         {}", grouped(counts.rejected()));
    for (rule, count) in &counts.quarantined {
        tell!("    {rule:<14}{}", grouped(*count));
    }
    tell!("  without table   {}", grouped(counts.unmatched.values().sum()));
    tell!("ticks             {}", grouped(finished.shared.gauges.ticks()));
    tell!("rows");
    for (name, rows, errs) in &rows {
        let errs = if *errs > 0 { format!("  ({} failing)", grouped(*errs)) } else { String::new() };
        tell!("  {name:<32}{:>12}{errs}", grouped(*rows));
    }
    tell!("seconds           {seconds:.3}");
    tell!("events/s          {}", grouped((events as f64 / seconds) as u64));
    tell!("peak RSS          {} MiB", metrics::peak_rss_bytes() >> 20);
    Ok(())
}
