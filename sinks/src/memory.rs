//! `Memory`: every view's current rows by key, at one time for all views: what the HTTP API reads.
//!
//! A reader takes the whole state as it is at one time ([`Memory::read`]) and keeps it as long as it likes; a tick makes
//! the next state beside it, sharing what did not change, and puts it in place in one act.
pub mod history;
pub mod kept;
pub mod page;
pub mod shape;
pub mod tree;

use crate::SinkError;
use dataflows::{Batch, Delta, Position, Tick, Time, View};
use history::{Commit, History};
use kept::Kept;
use page::{Entry, Page};
use shape::Shape;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;
use tree::{Negative, Tree};

/// How much of the past is kept for streams that were interrupted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of changes a view.
    pub history_bytes: usize,
    /// Milliseconds of engine time.
    pub history_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { history_bytes: 16 << 20, history_ms: 600_000 }
    }
}

/// How far the readable state has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The time that can be read; none before the first tick.
    pub time: Option<Time>,
    /// What was read of the log up to then, by ascending partition.
    pub positions: Vec<Position>,
}

#[derive(Clone, Debug, Default)]
struct State {
    upper: Time,
    positions: Vec<Position>,
    views: Arc<BTreeMap<Arc<str>, Kept>>,
}

/// All views at one time.
#[derive(Clone, Debug)]
pub struct Read(Arc<State>);

impl Read {
    /// The time; none before the first tick.
    pub fn time(&self) -> Option<Time> {
        self.0.upper.checked_sub(1)
    }

    /// What was read of the log up to then, by ascending partition.
    pub fn positions(&self) -> &[Position] {
        &self.0.positions
    }

    /// The view of a name.
    pub fn view(&self, name: &str) -> Option<&Kept> {
        self.0.views.get(name)
    }

    /// Every view, by name.
    pub fn views(&self) -> impl ExactSizeIterator<Item = &Kept> {
        self.0.views.values()
    }
}

/// Held by the one that writes.
#[derive(Debug, Default)]
struct Writer {
    /// Counts the views created.
    created: u64,
    /// Views that take the place of others at the next tick.
    coming: Vec<Kept>,
}

/// The store. Readers share it by `Arc`; one writer applies ticks.
#[derive(Debug)]
pub struct Memory {
    generation: u64,
    limits: Limits,
    /// Held for a pointer's exchange only.
    state: RwLock<Arc<State>>,
    writer: Mutex<Writer>,
    reached: watch::Sender<Arc<Reached>>,
}

impl Memory {
    /// An empty store. `generation` must differ from those of all earlier stores that a client may have read from.
    pub fn new(generation: u64, limits: Limits) -> Memory {
        let reached = watch::Sender::new(Arc::default());
        Memory { generation, limits, state: RwLock::default(), writer: Mutex::default(), reached }
    }

    /// What it was made with.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// All views as they are now.
    pub fn read(&self) -> Read {
        Read(self.state.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Tells of each tick that was applied. A reader sees at least what it was told of.
    pub fn watch(&self) -> watch::Receiver<Arc<Reached>> {
        self.reached.subscribe()
    }

    /// Everything before was applied.
    pub fn frontier(&self) -> Time {
        self.read().0.upper
    }

    /// Begins to keep a view. It cannot be read before the next tick, which brings its first rows.
    pub fn create(&self, view: Arc<View>) -> Result<(), SinkError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let name = view.name.clone();
        let kept = self.empty(&mut writer, view)?;
        let old = self.read().0;
        let mut views = BTreeMap::clone(&old.views);
        if views.insert(name.clone(), kept).is_some() {
            return Err(SinkError::Fatal(format!("cannot create view \"{name}\": it is kept already")));
        }
        self.publish(State { views: Arc::new(views), ..State::clone(&old) });
        Ok(())
    }

    /// Begins to keep a view in the place of the one of its name, which is read until the next tick: that brings all rows of the new one.
    pub fn replace(&self, view: Arc<View>) -> Result<(), SinkError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.empty(&mut writer, view)?;
        writer.coming.push(kept);
        Ok(())
    }

    fn empty(&self, writer: &mut Writer, view: Arc<View>) -> Result<Kept, SinkError> {
        let name = view.name.clone();
        let shape =
            Shape::new(view).map_err(|e| SinkError::Fatal(format!("cannot keep view \"{name}\": {e}")))?;
        let floor = self.read().0.upper.saturating_sub(1);
        writer.created += 1;
        Ok(Kept {
            shape: Arc::new(shape),
            incarnation: writer.created,
            since: None,
            changed: floor,
            rows: Tree::default(),
            errs: Tree::default(),
            history: Arc::new(Mutex::new(History::new(
                floor,
                self.limits.history_bytes,
                self.limits.history_ms,
            ))),
        })
    }

    /// Forgets a view; who reads it keeps what he has.
    pub fn drop_view(&self, name: &str) -> Result<(), SinkError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.read().0;
        let mut views = BTreeMap::clone(&old.views);
        if views.remove(name).is_none() {
            return Err(SinkError::Fatal(format!("cannot drop view \"{name}\": it is not kept")));
        }
        self.publish(State { views: Arc::new(views), ..State::clone(&old) });
        // Streams of the view must learn that it is gone.
        self.reached.send_modify(|_| ());
        Ok(())
    }

    /// Applies a tick to all views at once, or to none. What lies before the frontier changes nothing; changes of
    /// views that are not kept (any more) are left out.
    pub fn apply(&self, tick: &Tick) -> Result<(), SinkError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.read().0;
        if tick.upper <= old.upper {
            return Ok(());
        }
        if tick.lower > old.upper && old.upper > 0 {
            let (lower, upper) = (tick.lower, old.upper);
            return Err(SinkError::Fatal(format!(
                "cannot apply the tick from time {lower}: what comes from {upper} on is missing"
            )));
        }
        let mut views = BTreeMap::clone(&old.views);
        let mut commits = vec![];
        for kept in writer.coming.drain(..) {
            views.insert(kept.shape.view().name.clone(), kept);
        }
        for batch in &tick.batches {
            if let Some(kept) = views.get_mut(&batch.view.name) {
                let changed = change(kept, batch, old.upper..tick.upper).map_err(|e| {
                    SinkError::Fatal(format!(
                        "cannot apply the tick up to time {} to view \"{}\": {e}",
                        tick.upper, batch.view.name
                    ))
                })?;
                commits.push((batch.view.name.clone(), changed));
            }
        }
        // From here on nothing fails, and nobody reads a history beyond the state he holds.
        for kept in views.values_mut() {
            kept.since.get_or_insert(tick.upper - 1);
            kept.history().forget(tick.upper);
        }
        for (name, commits) in commits {
            let mut history = views[&name].history();
            commits.into_iter().for_each(|commit| history.push(commit));
        }
        let positions = tick.positions.clone();
        self.publish(State { upper: tick.upper, positions: positions.clone(), views: Arc::new(views) });
        self.reached.send_replace(Arc::new(Reached { time: Some(tick.upper - 1), positions }));
        Ok(())
    }

    fn publish(&self, state: State) {
        let state = Arc::new(state);
        let old = std::mem::replace(&mut *self.state.write().unwrap_or_else(PoisonError::into_inner), state);
        // The old state is let go without the lock: it may be the last hold on much memory.
        drop(old);
    }
}

/// Changes a view by what of a batch lies in a range of times; returns the changes by time.
fn change(kept: &mut Kept, batch: &Batch, range: std::ops::Range<Time>) -> Result<Vec<Commit>, String> {
    let mut commits = vec![];
    let deltas: Vec<&Delta> = batch.changes.iter().filter(|delta| range.contains(&delta.time)).collect();
    for group in deltas.chunk_by(|a, b| a.time == b.time) {
        let page = kept.shape.page(group)?;
        if !page.is_empty() {
            commits.push(Commit::new(group[0].time, page));
        }
    }
    if let Some(last) = commits.last() {
        kept.changed = last.time;
    }
    let merged = match &commits[..] {
        [only] => kept.rows.merge(&only.entries),
        several => {
            kept.rows.merge(&Page::consolidated(several.iter().flat_map(|c| c.entries.iter()).collect()))
        }
    };
    kept.rows = merged.map_err(|Negative(row)| {
        let mut text = String::new();
        kept.shape.write_json(&row, &mut text);
        format!("more was taken away than was there of row {text}")
    })?;
    let errs = batch.errs.iter().filter(|(_, time, _)| range.contains(time));
    let errs =
        errs.map(|(message, _, diff)| Entry { key: message.as_bytes(), row: &[], count: *diff }).collect();
    let errs = Page::consolidated(errs);
    kept.errs =
        kept.errs.merge(&errs).map_err(|_| String::from("more failures were taken away than were there"))?;
    Ok(commits)
}

#[cfg(test)]
#[path = "memory/tests.rs"]
mod tests;
