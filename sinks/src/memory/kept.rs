//! `Kept`: one view at one time, as a reader holds it.
use super::history::{Commit, History, Place};
use super::page::{Entry, Page};
use super::shape::Shape;
use super::tree::Tree;
use arrow::array::{ArrayRef, RecordBatch};
use dataflows::{Batch, Time};
use std::sync::{Arc, Mutex, PoisonError};

/// The rows of a view at one time. Cloning it costs nothing, and it never changes.
#[derive(Clone, Debug)]
pub struct Kept {
    pub(super) shape: Arc<Shape>,
    pub(super) incarnation: u64,
    /// When its first rows became readable; none while they are still to come.
    pub(super) since: Option<Time>,
    pub(super) changed: Time,
    pub(super) rows: Tree,
    pub(super) errs: Tree,
    pub(super) history: Arc<Mutex<History>>,
}

impl Kept {
    /// The view, and how its rows are written.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Tells this view from an earlier one of the same name.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The first time at which it could be read; none while its first rows are still to come.
    pub fn since(&self) -> Option<Time> {
        self.since
    }

    /// The time of its last change.
    pub fn changed(&self) -> Time {
        self.changed
    }

    /// The rows by key.
    pub fn rows(&self) -> &Tree {
        &self.rows
    }

    /// Keys that have more than one row, although the view's key was declared to identify a row.
    pub fn key_violations(&self) -> u64 {
        if self.shape.has_key() { self.rows.totals().shared_keys } else { 0 }
    }

    /// The failures of the view's expressions, and how often each is there.
    pub fn errs(&self) -> impl Iterator<Item = (&str, i64)> {
        self.errs.iter().map(|Entry { key, count, .. }| {
            (std::str::from_utf8(key).expect("a failure's message was text when it was kept"), count)
        })
    }

    /// How many failures there are.
    pub fn errs_count(&self) -> u64 {
        self.errs.totals().rows
    }

    /// The keys under which a batch changes something at any of its times, some of them perhaps several times. What changed and
    /// changed back is among them: a store may have been told of the time between.
    pub fn changed_keys(&self, batch: &Batch) -> Result<Vec<Box<[u8]>>, String> {
        let mut keys = vec![];
        for deltas in batch.changes.chunk_by(|a, b| a.time == b.time) {
            let page = self.shape.page(&deltas.iter().collect::<Vec<_>>())?;
            keys.extend(page.iter().map(|entry| entry.key.into()));
        }
        Ok(keys)
    }

    /// All rows by key, each as often as it is there, in batches of at most so many rows.
    pub fn batches(&self, rows_max: usize) -> impl Iterator<Item = RecordBatch> {
        let mut rows = self.rows.iter().flat_map(|entry| {
            std::iter::repeat_n(
                entry.row,
                usize::try_from(entry.count).expect("a merged tree has no negative counts"),
            )
        });
        std::iter::from_fn(move || {
            let part: Vec<&[u8]> = rows.by_ref().take(rows_max.max(1)).collect();
            (!part.is_empty()).then(|| self.shape.batch(&part))
        })
    }

    /// All rows as they were at an earlier time, where this is a reader's view at `now`; none if that is not known any more.
    pub fn batches_at(&self, at: Time, now: Time, rows_max: usize) -> Option<Vec<RecordBatch>> {
        Some(self.at(at, now)?.batches(rows_max).collect())
    }

    /// The view as it was at an earlier time, where this is a reader's view at `now`; none if that is not known any more.
    pub fn at(&self, at: Time, now: Time) -> Option<Kept> {
        if at > now || self.since.is_none_or(|since| at < since) {
            return None;
        }
        let commits = self.changes_after(self.end_of(at), now, usize::MAX)?;
        let undone = commits.iter().flat_map(|commit| commit.entries.iter());
        let undone = undone.map(|entry| Entry { count: -entry.count, ..entry });
        let rows = self.rows.merge(&Page::consolidated(undone.collect())).ok()?;
        Some(Kept { rows, ..self.clone() })
    }

    /// The earliest time whose rows are known.
    pub fn known_from(&self) -> Time {
        self.history().floor().max(self.since.unwrap_or(Time::MAX))
    }

    /// For each row of key columns whether there is a row with that key.
    pub fn has_keys(&self, columns: &[ArrayRef]) -> Result<Vec<bool>, String> {
        self.shape.has_rows(columns, |key| self.rows.get(key).next().is_some())
    }

    /// The place after all changes of a time that can be read.
    pub fn end_of(&self, time: Time) -> Place {
        self.history().end_of(time)
    }

    /// Up to `count_max` commits that hold changes after a place, none later than `until`; none if some are forgotten.
    pub fn changes_after(&self, place: Place, until: Time, count_max: usize) -> Option<Vec<Arc<Commit>>> {
        self.history().after(place, until, count_max)
    }

    pub(super) fn history(&self) -> std::sync::MutexGuard<'_, History> {
        // A history is changed by single pushes, which leave it whole.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
