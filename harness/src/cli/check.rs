//! `tallyflow check`: the views of a data directory against the batch.
use super::{Check, Outcome, grouped, workers};
use crate::Error;
use crate::check::{Difference, Report, Truth, check, remote};
use crate::clock::Follow;
use crate::data::Data;
use crate::pipeline::{Pipeline, Setting};
use crate::ticks::End;
use dataflows::Time;

const SHOWN_MAX: usize = 20;

pub(super) fn run(args: &Check) -> Result<Outcome, Error> {
    let Some(catalogue) = Data::catalogue_of(&args.data)? else {
        return Err(Error::failed(format!("check {}", args.data.display()), "there is no data in it"));
    };
    let (report, time) = match Data::holder(&args.data)? {
        Some(holder) => remote::check(&args.data, &catalogue, &holder)?,
        None => check_here(args)?,
    };
    for skipped in &report.skipped {
        tell!("not compared, it has failing expressions: {skipped}");
    }
    for failed in &report.failed {
        tell!("cannot be compared: {failed}");
    }
    for difference in report.differences.iter().take(SHOWN_MAX) {
        tell!("{}", line(difference));
    }
    let more = report.differences.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        tell!("and {} more", grouped(more as u64));
    }
    let found = match report.differences.len() {
        0 => "no difference".to_owned(),
        count => format!("{} rows differ", grouped(count as u64)),
    };
    tell!("{} views, {} rows at time {time}: {found}", report.views, grouped(report.rows as u64));
    Ok(if report.differences.is_empty() && report.failed.is_empty() {
        Outcome::Well
    } else {
        Outcome::Differs
    })
}

/// Starts the views again from the log, and compares.
fn check_here(args: &Check) -> Result<(Report, Time), Error> {
    let data = Data::open(&args.data, args.catalog.as_deref())?;
    let setting = Setting {
        follow: Follow::Wall,
        ..Setting::replay(workers(args.workers), super::TICK_EVENTS_DEFAULT)
    };
    let pipeline = Pipeline::start(data, &setting)?;
    for repair in pipeline.repairs() {
        report!("tallyflow: repaired {repair}");
    }
    let finished = pipeline.finish(End::Drain)?;
    let truth = Truth::open(finished.data.path(), finished.data.catalogue(), finished.shared.log.reader())?;
    let read = finished.shared.memory.read();
    Ok((check(truth, &read)?, read.time().unwrap_or(0)))
}

fn line(difference: &Difference) -> String {
    let Difference { view, row, expected, actual } = difference;
    format!("{view}: expected {expected} time(s), is there {actual} time(s): {row}")
}
