//! The whole BSS catalogue on a generated month, with the events of all its cases among it: at random times every view holds what
//! DataFusion says in batch and what PostgreSQL says of its query; and the same events in any order, some of them twice, in other
//! ticks leave the same bytes.
//!
//! `PROOF_SF=0.001` is the scale of the business, `PROOF_TIMES=20` how often it is asked, `PROOF_SEED=n` what all follows from.
//! A night's run: `PROOF_SF=0.05 PROOF_TIMES=100 PROOF_SEED=$(date +%s) \
//! cargo test --release --locked --workspace --test proof -- --nocapture`
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "proof/answers.rs"]
mod answers;
#[allow(dead_code, reason = "what the cases expect is not asked here")]
#[path = "bss/case.rs"]
mod case;
#[allow(dead_code, reason = "answers come as columns and from PostgreSQL here")]
#[path = "property/compare.rs"]
mod compare;
#[path = "support/drive.rs"]
mod drive;
#[path = "proof/events.rs"]
mod events;
#[path = "property/oracle.rs"]
mod oracle;
#[path = "services/postgres.rs"]
mod postgres;
#[path = "proof/spelled.rs"]
mod spelled;

use answers::{Server, postgres_type};
use arrow::array::RecordBatch;
use bytes::Bytes;
use drive::append;
use harness::check::{compared, naive};
use harness::data::{Data, bindings_path};
use harness::pipeline::{Pipeline, Setting};
use harness::progress;
use harness::ticks::{End, Pace};
use queries::Catalogue;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Views that PostgreSQL is not asked for, and why.
const NOT_ASKED: &[(&str, &str)] = &[];

const ROWS_PER_BATCH: usize = 8_192;

fn setting<T: FromStr>(name: &str, usual: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => usual,
    }
}

fn folder() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries/bss").to_str().unwrap().to_owned()
}

/// A pipeline with the whole catalogue that takes in what is there as soon as it is asked to settle.
fn start(workers: usize, records_max: usize) -> Pipeline {
    let replay = Setting::replay(workers, records_max);
    let at_once = Some(Duration::ZERO);
    let pace = Pace { wait: at_once, wait_busy: at_once, ..replay.pace };
    let data = Data::temporary(Some(&folder())).unwrap();
    Pipeline::start(data, &Setting { pace, ..replay }).unwrap()
}

fn take(pipeline: &Pipeline, events: &[Bytes]) {
    append(pipeline, events);
    pipeline.settle().unwrap();
}

/// Compares every view with both oracles, here and now; what is wrong.
fn wrong(
    pipeline: &Pipeline,
    catalogue: &Catalogue,
    tables: &mut naive::Tables,
    server: &Server,
    empty: &mut BTreeSet<String>,
) -> Vec<String> {
    let read = pipeline.memory().read();
    let time = read.time().unwrap();
    let bindings = progress::Reader::open(&bindings_path(pipeline.data().path())).unwrap();
    let mut rows = tables.at(pipeline.log().reader(), bindings, read.positions(), time).unwrap();
    let views = read.views().filter(|kept| !rows.contains_key(&*kept.shape().view().name));
    let views =
        views.map(|kept| (kept.shape().view().name.to_string(), kept.batches(ROWS_PER_BATCH).collect()));
    let views: Vec<(String, Vec<RecordBatch>)> = views.collect();
    views.iter().filter(|(_, rows)| !rows.is_empty()).for_each(|(name, _)| _ = empty.remove(name));
    let of_tables = rows.clone();
    rows.extend(views);
    let (report, said) = std::thread::scope(|scope| {
        let report = scope.spawn(|| compared(catalogue, of_tables, &read).unwrap());
        let said = server.ask(&rows, time);
        (report.join().unwrap(), said)
    });
    println!(
        "at {time}: {} views of {} rows by DataFusion, {} of {} by PostgreSQL",
        report.views, report.rows, said.views, said.rows
    );
    let batch = report.differences.iter().map(|difference| format!("the batch: {difference:?}"));
    let batch = batch.chain(report.skipped.iter().chain(&report.failed).cloned());
    let mut wrong: Vec<String> = batch.collect();
    wrong.extend(said.wrong);
    let refused: BTreeSet<&str> = said.refused.keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = NOT_ASKED.iter().map(|(view, _)| *view).collect();
    if refused != expected {
        wrong.push(format!("PostgreSQL does not take {:#?}", said.refused));
    }
    wrong.into_iter().map(|why| format!("at {time}: {why}")).collect()
}

#[test]
fn every_view_is_the_batch_answer_whatever_the_order() {
    let began = Instant::now();
    let (scale, times, seed) =
        (setting("PROOF_SF", 0.001), setting("PROOF_TIMES", 20), setting("PROOF_SEED", 20_261_121));
    println!("PROOF_SEED={seed} PROOF_SF={scale} PROOF_TIMES={times}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let events = events::all(seed, scale, Path::new(&folder()));
    // The clock takes its longest steps at the end.
    let (count, tail) = (events.len(), events.len() - events.len() / 50);
    let cut = |time: usize| if time.is_multiple_of(4) { tail..count } else { 1..count };
    let mut cuts: Vec<usize> = (1..times).map(|time| random.random_range(cut(time))).collect();
    cuts.push(count);
    cuts.sort_unstable();
    let catalogue = Catalogue::load(&folder()).unwrap();
    let server = Server::start(&catalogue);
    println!("{} events", events.len());

    let pipeline = start(2, 1_000);
    let mut tables = naive::Tables::new(naive::from_start(&catalogue));
    let mut empty: BTreeSet<String> =
        catalogue.views().map(|compiled| compiled.view.name.to_string()).collect();
    let (mut from, mut found) = (0, vec![]);
    for cut in cuts {
        take(&pipeline, &events[from..cut]);
        from = cut;
        found.extend(wrong(&pipeline, &catalogue, &mut tables, &server, &mut empty));
    }
    println!("{:?} with {times} times; views without a row at any of them: {empty:?}", began.elapsed());
    assert!(found.is_empty(), "{} wrong\n{}", found.len(), found.join("\n"));
    take(&pipeline, &[events::last()]);
    let expected = drive::rows(&pipeline.memory().read());
    let quarantined = pipeline.shared().intake.lock().unwrap().counts().quarantined.clone();
    assert!(!quarantined.contains_key("conflict"), "what stands depends on the order: {quarantined:?}");
    pipeline.finish(End::Drain).unwrap();

    let pipeline = start(1, 777);
    take(&pipeline, &events::arranged(&events, &mut random));
    take(&pipeline, &[events::last()]);
    println!("{:?} with the other order", began.elapsed());
    let found = drive::rows(&pipeline.memory().read());
    pipeline.finish(End::Drain).unwrap();
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    let other: Vec<String> = expected
        .iter()
        .filter(|(view, rows)| found[*view] != **rows)
        .map(|(view, rows)| {
            let only = |a: &[String], b: &[String]| -> Vec<String> {
                let b: BTreeSet<&String> = b.iter().collect();
                a.iter().filter(|row| !b.contains(row)).take(5).cloned().collect()
            };
            let (was, is) = (only(rows, &found[view]), only(&found[view], rows));
            format!("{view}: it was\n{}\n  and is\n{}", was.join("\n"), is.join("\n"))
        })
        .collect();
    assert!(other.is_empty(), "{}", other.join("\n"));
}
