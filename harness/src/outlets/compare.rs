//! A store against the view at the store's time: what is missing, too much or different, and how it is mended.
use super::outlet::Outlet;
use super::thread::Running;
use super::{Outlets, registry};
use crate::Error;
use crate::check::Difference;
use dataflows::{Time, View};
use serde_json::Value;
use sinks::delivery::Part;
use sinks::memory::Memory;
use sinks::memory::kept::Kept;
use sinks::{Content, Sink};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A store that changes while it is read is read again, so often.
const ATTEMPTS_MAX: usize = 20;
/// How long a mended view may take until the store has it.
const REPAIR_WAIT: Duration = Duration::from_secs(600);
/// Floating-point sums may differ in the last digits from those of an earlier life; so many digits do not.
const FLOAT_DIGITS: usize = 10;

/// What a comparison of one view in one store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// The sink.
    pub sink: String,
    /// The view; empty where the whole store is meant.
    pub view: String,
    /// The time of the store's rows.
    pub time: Option<Time>,
    /// Rows the store has.
    pub rows: usize,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Why it could not be compared.
    pub problem: Option<String>,
    /// Whether it was mended.
    pub repaired: bool,
}

impl Compared {
    /// Whether the store is as it should be.
    pub fn is_well(&self) -> bool {
        self.problem.is_none() && self.differences.is_empty()
    }
}

/// Compares the stores of a running process with its views, each view at the time of the store's rows.
pub fn running(outlets: &Outlets, memory: &Memory, only: Option<&str>) -> Vec<Compared> {
    let mut found = vec![];
    for running in outlets.all().iter().filter(|running| only.is_none_or(|only| running.spec.name == only)) {
        let mut sink = match registry::open_sink(&running.spec, outlets.pipeline()) {
            Ok(sink) => sink,
            Err(why) => {
                found.push(failed(running, "", why.to_string()));
                continue;
            }
        };
        found.extend(of_sink(running, memory, sink.as_mut()));
    }
    found
}

/// The same for one sink, which is read by another handle.
pub fn of_sink(running: &Running, memory: &Memory, sink: &mut dyn Sink) -> Vec<Compared> {
    let read = memory.read();
    let kept = read.views().map(|kept| kept.shape().view().clone());
    let wanted = kept.filter(|view| !view.sql.is_empty() && running.outlet().keeps(&view.name));
    let wanted: Vec<Arc<View>> = wanted.collect();
    wanted.iter().map(|view| one(running, memory, sink, view)).collect()
}

fn one(running: &Running, memory: &Memory, sink: &mut dyn Sink, view: &Arc<View>) -> Compared {
    let mut apart = "behind";
    for _ in 0..ATTEMPTS_MAX {
        let content = match sink.read(view) {
            Ok(content) => content,
            Err(why) => return failed(running, &view.name, why.to_string()),
        };
        let Some(time) = content.time else {
            return failed(running, &view.name, "the store does not have it".into());
        };
        let read = memory.read();
        let now = read.time().unwrap_or(0);
        let Some(kept) = read.view(&view.name) else { break };
        if let Some(kept) = kept.at(time, now) {
            return compared(&running.spec.name, &kept, content);
        }
        // The store is behind what is remembered, or ahead of what is restored: it is looked at again a little later.
        apart = if time > now { "ahead" } else { "behind" };
        running.wait(Duration::from_secs(1), |outlet| outlet.time().is_some_and(|reached| reached > time));
    }
    failed(running, &view.name, format!("the store is too far {apart} to be compared"))
}

/// Has what differs sent whole, and waits until the stores have it.
pub fn repair(outlets: &Outlets, found: &mut [Compared]) {
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for bad in found.iter().filter(|compared| !compared.is_well() && !compared.view.is_empty()) {
        wanted.entry(bad.sink.clone()).or_default().push(bad.view.clone());
    }
    for (name, views) in wanted {
        let Some(running) = outlets.get(&name) else { continue };
        let before = running.outlet().figures().whole;
        running.with(|outlet| outlet.distrust(Some(&views)));
        let sent = |outlet: &Outlet| outlet.figures().whole >= before + views.len() as u64;
        let done = running.wait(REPAIR_WAIT, |outlet| sent(outlet) || outlet.state().0 == "stopped");
        let repaired = done && sent(&running.outlet());
        for bad in found.iter_mut().filter(|bad| bad.sink == name && views.contains(&bad.view)) {
            bad.repaired = repaired;
        }
    }
}

fn failed(running: &Running, view: &str, why: String) -> Compared {
    let (sink, view) = (running.spec.name.clone(), view.to_owned());
    Compared { sink, view, problem: Some(why), ..Compared::default() }
}

/// A store's rows against the view at their time.
pub fn compared(sink: &str, kept: &Kept, content: Content) -> Compared {
    let view = kept.shape().view();
    let rows = content.rows.len();
    let mut counts: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    content.rows.into_iter().for_each(|(row, count)| counts.entry(row).or_default().1 += count);
    for stand in Part::whole(kept.clone()).stands() {
        let mut row = String::new();
        kept.shape().write_json(stand.row.unwrap_or_default(), &mut row);
        counts.entry(row).or_default().0 += stand.count;
    }
    counts.retain(|_, (expected, actual)| expected != actual);
    if !counts.is_empty() && view.schema.fields().iter().any(|field| field.data_type().is_floating()) {
        let mut rounded: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        for (row, (expected, actual)) in counts {
            let sums = rounded.entry(with_digits(&row)).or_default();
            *sums = (sums.0 + expected, sums.1 + actual);
        }
        rounded.retain(|_, (expected, actual)| expected != actual);
        counts = rounded;
    }
    let name = view.name.to_string();
    let difference = |(row, (expected, actual))| Difference { view: name.clone(), row, expected, actual };
    let differences = counts.into_iter().map(difference).collect();
    let (sink, view) = (sink.to_owned(), name.clone());
    Compared { sink, view, time: content.time, rows, differences, ..Compared::default() }
}

/// A row whose numbers that are not whole have so many digits.
fn with_digits(row: &str) -> String {
    let Ok(Value::Object(mut cells)) = serde_json::from_str(row) else { return row.to_owned() };
    for value in cells.values_mut().filter(|value| value.is_f64()) {
        let number = value.as_f64().unwrap_or_default();
        *value = Value::String(format!("{number:.FLOAT_DIGITS$e}"));
    }
    Value::Object(cells).to_string()
}

/// A sink, a view, and what the store holds of it.
pub type StoredView = (String, Arc<View>, Result<Content, String>);

/// Reads what stores hold, without taking them over.
pub fn contents(
    outlets: &[super::spec::Spec],
    pipeline: &str,
    views: &[Arc<View>],
) -> Result<Vec<StoredView>, Error> {
    let mut found = vec![];
    for spec in outlets {
        let mut sink = registry::open_sink(spec, pipeline)?;
        let chosen = |view: &&Arc<View>| {
            spec.views.as_ref().is_none_or(|names| names.iter().any(|name| **name == *view.name))
        };
        for view in views.iter().filter(chosen) {
            let content = sink.read(view).map_err(|why| why.to_string());
            found.push((spec.name.clone(), view.clone(), content));
        }
    }
    Ok(found)
}
