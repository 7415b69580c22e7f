//! `Collector`: the shares of all workers become ticks, each complete for every view.
use super::{Output, Seal};
use crate::codec::Codec;
use crate::tap::consolidate;
use crate::{Batch, Delta, Diff, Failure, Tick, Time, View};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Puts the workers' shares together: a tick is ready when every view is complete at every worker.
pub struct Collector {
    /// The last tick each worker was told of.
    told: Vec<Time>,
    views: BTreeMap<Arc<str>, Collected>,
    /// New versions of views, by name, that are built while the old ones go on.
    beside: BTreeMap<Arc<str>, Collected>,
    /// Everything before has been given out.
    lower: Time,
    /// Times at which a tick ends, whatever has come beyond them.
    stops: BTreeSet<Time>,
}

/// How far the new version of a view is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Its first rows are still to come.
    Building,
    /// It fails, for this reason, or needs more than it may.
    Failed(String),
    /// It can take its place.
    Built,
}

/// What has come of one view.
struct Collected {
    view: Arc<View>,
    codec: Codec,
    uppers: Vec<Time>,
    /// The first upper that each worker told: a greater one says that its first rows are complete.
    firsts: Vec<Option<Time>>,
    changes: Vec<Delta>,
    errs: Vec<Failure>,
    /// Whether ticks wait for it: a view that is there from the start is waited for, one that comes later only once it has caught up.
    awaited: bool,
    /// Whether its first rows were given out.
    live: bool,
}

impl Collected {
    fn upper(&self) -> Time {
        self.uppers.iter().copied().min().unwrap_or(0)
    }

    /// Whether all workers have its first rows.
    fn is_built(&self) -> bool {
        self.uppers.iter().zip(&self.firsts).all(|(upper, first)| first.is_some_and(|first| *upper > first))
    }
}

/// A view that was built is waited for once it is so near, in milliseconds: under a steady load it would else never be level.
const NEAR: Time = 1_000;

impl Collector {
    /// For so many workers.
    pub fn new(workers: usize) -> Collector {
        Collector {
            told: vec![0; workers],
            views: BTreeMap::new(),
            beside: BTreeMap::new(),
            lower: 0,
            stops: BTreeSet::new(),
        }
    }

    /// Has a tick end at each of these times that the workers are told of.
    pub fn stop_at(&mut self, times: impl IntoIterator<Item = Time>) {
        self.stops.extend(times);
    }

    /// A view was created. Unless nothing has been given out yet, it holds nobody back until its first rows are complete.
    ///
    /// # Panics
    /// If a column cannot be kept: `Engine::check` says so before.
    pub fn create(&mut self, view: Arc<View>) {
        let collected = self.collected(&view);
        self.views.insert(view.name.clone(), collected);
    }

    /// A new version of a view was created: it is built beside the old one, and nobody sees it before [`Collector::replace`].
    ///
    /// # Panics
    /// If a column cannot be kept: `Engine::check` says so before.
    pub fn create_beside(&mut self, view: &Arc<View>) {
        let collected = Collected { awaited: false, ..self.collected(view) };
        self.beside.insert(view.name.clone(), collected);
    }

    /// How far the new version of a view is; none where there is none.
    pub fn beside(&self, name: &str) -> Option<Beside> {
        let new = self.beside.get(name)?;
        let mut sums: BTreeMap<&str, Diff> = BTreeMap::new();
        new.errs.iter().for_each(|(message, _, diff)| *sums.entry(message).or_insert(0) += diff);
        if let Some((message, _)) = sums.iter().find(|(_, diff)| **diff != 0) {
            return Some(Beside::Failed(message.to_string()));
        }
        let near = self.lower.saturating_sub(new.upper()) <= NEAR;
        Some(if new.is_built() && near { Beside::Built } else { Beside::Building })
    }

    /// The new version of a view takes the place of the old one: the next tick holds all its rows, and is named to create it.
    pub fn replace(&mut self, name: &str) {
        if let Some(new) = self.beside.remove(name) {
            self.views.insert(new.view.name.clone(), Collected { awaited: true, ..new });
        }
    }

    /// The new version of a view is not wanted any more.
    pub fn drop_beside(&mut self, name: &str) {
        self.beside.remove(name);
    }

    fn collected(&self, view: &Arc<View>) -> Collected {
        let codec = Codec::new(&view.schema).expect("checked by Engine::check");
        let uppers = vec![0; self.told.len()];
        Collected {
            view: view.clone(),
            codec,
            firsts: vec![None; uppers.len()],
            uppers,
            changes: vec![],
            errs: vec![],
            awaited: self.lower == 0,
            live: false,
        }
    }

    /// Whether there is a view of this name, built or being built.
    pub fn has(&self, name: &str) -> bool {
        self.views.contains_key(name)
    }

    /// The views whose first rows were not given out yet.
    pub fn building(&self) -> Vec<Arc<View>> {
        self.views.values().filter(|c| !c.live).map(|c| c.view.clone()).collect()
    }

    /// A view was dropped.
    pub fn drop_view(&mut self, name: &str) {
        self.views.remove(name);
    }

    /// Takes a worker's output in.
    pub fn absorb(&mut self, output: Output) {
        self.told[output.worker] = output.told;
        for Seal { view, upper, changes, errs } in output.seals {
            // Of a view that was dropped, and perhaps declared anew, nothing more is wanted.
            let of = |views: &'_ BTreeMap<Arc<str>, Collected>| {
                views.get(&view.name).is_some_and(|c| Arc::ptr_eq(&c.view, &view))
            };
            let views = match of(&self.beside) {
                true => &mut self.beside,
                false => &mut self.views,
            };
            let Some(collected) = views.get_mut(&view.name).filter(|c| Arc::ptr_eq(&c.view, &view)) else {
                continue;
            };
            collected.uppers[output.worker] = upper;
            collected.firsts[output.worker].get_or_insert(upper);
            collected.changes.extend(changes);
            collected.errs.extend(errs);
        }
    }

    /// The next tick, if the common time of all views has moved; `positions` is left empty. Views that have become complete for the first
    /// time are named in the second part: a sink must `create` them before it applies the tick.
    #[allow(clippy::should_implement_trait, reason = "there is always a next tick, perhaps later")]
    pub fn next(&mut self) -> Option<(Tick, Vec<Arc<View>>)> {
        self.next_within(|upper| upper)
    }

    /// As [`Collector::next`], and the tick ends where `bound` says, at the latest: it is given the time before which all is complete.
    pub fn next_within(&mut self, bound: impl Fn(Time) -> Time) -> Option<(Tick, Vec<Arc<View>>)> {
        let told = self.told.iter().copied().min().unwrap_or(0);
        for collected in self.views.values_mut().filter(|c| !c.awaited && c.is_built()) {
            collected.awaited = self.lower.saturating_sub(collected.upper()) <= NEAR;
        }
        let awaited = self.views.values().filter(|c| c.awaited).map(Collected::upper);
        let upper = awaited.min().unwrap_or(Time::MAX).min(told + 1);
        // A stop at which nothing true can be seen is none.
        let mut stops = self.stops.range(self.lower..).map(|stop| stop + 1);
        let upper = stops.find(|end| bound(*end) >= *end).map_or(upper, |end| upper.min(end));
        let upper = bound(upper).min(upper);
        if upper <= self.lower {
            return None;
        }
        let lower = std::mem::replace(&mut self.lower, upper);
        // A view that is complete up to the common time joins in; its first rows count as changes of this tick.
        let mut fresh = Vec::new();
        for collected in self.views.values_mut().filter(|c| !c.live && c.upper() >= upper) {
            (collected.live, collected.awaited) = (true, true);
            collected.changes.iter_mut().for_each(|d| d.time = d.time.max(lower));
            collected.errs.iter_mut().for_each(|(_, time, _)| *time = (*time).max(lower));
            fresh.push((collected.view.clone(), collected.seal(upper, true)));
        }
        let mut batches: Vec<Batch> = Vec::new();
        let (views, first): (Vec<_>, Vec<_>) = fresh.into_iter().unzip();
        let is_fresh = |c: &Collected| views.iter().any(|v| Arc::ptr_eq(v, &c.view));
        batches.extend(first.into_iter().flatten());
        batches.extend(
            self.views.values_mut().filter(|c| c.live && !is_fresh(c)).filter_map(|c| c.seal(upper, false)),
        );
        Some((Tick { lower, upper, positions: vec![], batches }, views))
    }
}

impl Collected {
    /// The changes before `upper`, consolidated over the workers; `moved` if their times are not those the workers gave them.
    fn seal(&mut self, upper: Time, moved: bool) -> Option<Batch> {
        let (ready, later): (Vec<_>, Vec<_>) = self.changes.drain(..).partition(|d| d.time < upper);
        self.changes = later;
        let mut by_time: BTreeMap<Time, Vec<Delta>> = BTreeMap::new();
        ready.into_iter().for_each(|d| by_time.entry(d.time).or_default().push(d));
        let mut changes = Vec::new();
        for deltas in by_time.into_values() {
            // One worker's share is consolidated already.
            changes.extend(if self.uppers.len() == 1 && !moved {
                deltas
            } else {
                consolidate(deltas, &self.codec)
            });
        }
        let mut sums: BTreeMap<(Time, Arc<str>), Diff> = BTreeMap::new();
        let (ready, later): (Vec<_>, Vec<_>) = self.errs.drain(..).partition(|(_, t, _)| *t < upper);
        self.errs = later;
        ready.into_iter().for_each(|(m, t, d)| *sums.entry((t, m)).or_insert(0) += d);
        let errs: Vec<_> = sums.into_iter().filter(|(_, d)| *d != 0).map(|((t, m), d)| (m, t, d)).collect();
        if changes.is_empty() && errs.is_empty() {
            return None;
        }
        Some(Batch { view: self.view.clone(), changes, errs })
    }
}
