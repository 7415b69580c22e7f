//! `tallyflow check --sinks`: the stores outside against the views, by the process that runs, or from the log where none does.
use super::config::{merge, settle};
use super::{Check, Outcome, Serve, grouped, workers};
use crate::Error;
use crate::check::{Difference, naive, remote};
use crate::clock::Follow;
use crate::data::{self, Data, Holder};
use crate::outlets::compare::{self, Compared};
use crate::outlets::{self, outlet::Outlet, spec};
use crate::pipeline::{Finished, Pipeline, Setting};
use crate::statements;
use crate::ticks::End;
use dataflows::{Time, View};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const SHOWN_MAX: usize = 20;
const REPAIR_WAIT: Duration = Duration::from_secs(600);

pub(super) fn run(args: &Check) -> Result<Outcome, Error> {
    if Data::catalogue_of(&args.data)?.is_none() {
        return Err(Error::failed(format!("check {}", args.data.display()), "there is no data in it"));
    }
    let found = match Data::holder(&args.data)? {
        Some(holder) => running(&holder, args.repair)?,
        None => stopped(args)?,
    };
    for compared in &found {
        show(compared);
    }
    let bad = found.iter().filter(|compared| !compared.is_well() && !compared.repaired).count();
    let mended = found.iter().filter(|compared| compared.repaired).count();
    let rows: usize = found.iter().map(|compared| compared.rows).sum();
    tell!("{} views in stores, {} rows: {bad} differ, {mended} repaired", found.len(), grouped(rows as u64));
    Ok(if bad == 0 { Outcome::Well } else { Outcome::Differs })
}

fn show(compared: &Compared) {
    let place = format!("sink {} view {}", compared.sink, compared.view);
    let at = compared.time.map_or(String::new(), |time| format!(" at time {time}"));
    if let Some(problem) = &compared.problem {
        tell!("{place}{at}: {problem}");
    }
    for Difference { row, expected, actual, .. } in compared.differences.iter().take(SHOWN_MAX) {
        let what = match (expected, actual) {
            (_, 0) => "missing".to_owned(),
            (0, _) => "extra".to_owned(),
            _ => format!("is there {actual} time(s), expected {expected}"),
        };
        tell!("{place}{at}: {what}: {row}");
    }
    let more = compared.differences.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        tell!("{place}{at}: and {} more", grouped(more as u64));
    }
    if compared.repaired {
        tell!("{place}: repaired");
    }
}

/// Has the process compare: it knows what its views held at the stores' times.
fn running(holder: &Holder, repair: bool) -> Result<Vec<Compared>, Error> {
    let failed = |why: String| Error::failed(format!("check the sinks of process {}", holder.pid), why);
    let address = holder.address.as_deref().ok_or_else(|| failed("it does not answer HTTP yet".into()))?;
    let path = format!("/api/v1/sinks/*/check{}", if repair { "?repair=true" } else { "" });
    let body = remote::post(address, &path).map_err(failed)?;
    let answer: Value = serde_json::from_str(&body).map_err(|why| failed(why.to_string()))?;
    let list = answer["views"].as_array().ok_or_else(|| failed("its answer names no views".into()))?;
    Ok(list.iter().map(compared).collect())
}

fn compared(value: &Value) -> Compared {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let view = text(&value["view"]);
    let difference = |one: &Value| {
        let (expected, actual) = (one["expected"].as_i64().unwrap_or(0), one["actual"].as_i64().unwrap_or(0));
        Difference { view: view.clone(), row: text(&one["row"]), expected, actual }
    };
    Compared {
        sink: text(&value["sink"]),
        time: value["time"].as_u64(),
        rows: value["rows"].as_u64().unwrap_or(0) as usize,
        differences: value["differences"].as_array().into_iter().flatten().map(difference).collect(),
        problem: value["problem"].as_str().map(str::to_owned),
        repaired: value["repaired"].as_bool().unwrap_or(false),
        view: view.clone(),
    }
}

/// Makes the views again from the log, up to the stores' times, and compares.
fn stopped(args: &Check) -> Result<Vec<Compared>, Error> {
    let data = Data::open(&args.data, args.catalog.as_deref())?;
    let serve = merge(Serve::default(), args.config.as_deref())?;
    let settled = settle(serve, workers(args.workers))?;
    let config = settled.setting.sinks.clone().unwrap_or_default();
    let mut specs = config.clone();
    specs.extend(spec::read(&outlets::path(data.path()))?);
    let stated = statements::read(&data::statements_path(data.path()))?;
    let (catalogue, _) = naive::declared(data.catalogue(), &stated, Time::MAX)?;
    let views: Vec<Arc<View>> = catalogue.views().map(|compiled| compiled.view.clone()).collect();
    let held = compare::contents(&specs, &outlets::identity(data.path())?, &views)?;
    let times = held.iter().filter_map(|(_, _, content)| content.as_ref().ok()?.time);
    let remember: BTreeSet<Time> = times.collect();
    let setting = Setting {
        follow: Follow::Wall,
        remember: remember.into_iter().collect(),
        ..Setting::replay(workers(args.workers), super::TICK_EVENTS_DEFAULT)
    };
    let Finished { data, shared, .. } = Pipeline::start(data, &setting)?.finish(End::Drain)?;
    let mut found = vec![];
    for (sink, view, content) in held {
        let failed = |why: &str| Compared {
            sink: sink.clone(),
            view: view.name.to_string(),
            problem: Some(why.to_owned()),
            ..Compared::default()
        };
        found.push(match content {
            Err(why) => failed(&why),
            Ok(content) => match content.time.map(|time| shared.outlets.remembered(time)) {
                None => failed("the store does not have it"),
                Some(None) => failed("the log does not know the store's time"),
                Some(Some(read)) => match read.view(&view.name) {
                    Some(kept) => compare::compared(&sink, kept, content),
                    None => failed("the view was not there at the store's time"),
                },
            },
        });
    }
    // The log is opened once more.
    drop(shared);
    if args.repair && found.iter().any(|compared| !compared.is_well()) {
        let setting = Setting { sinks: Some(config), ..settled.setting };
        let pipeline = Pipeline::start(data, &setting)?;
        pipeline.visible().wait(Some(REPAIR_WAIT), |reach| reach.restored && reach.time > 0)?;
        for running in pipeline.shared().outlets.all() {
            // What differs is named once the outlet knows its views.
            running.wait(REPAIR_WAIT, |outlet: &Outlet| outlet.is_failing() || outlet.time().is_some());
        }
        compare::repair(&pipeline.shared().outlets, &mut found);
        pipeline.finish(End::Now)?;
    }
    Ok(found)
}
