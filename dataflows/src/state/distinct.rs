//! Aggregates over the distinct values of a group. All that read the same column of a GROUP BY share one table of its values, in which
//! each has its own count: `count(DISTINCT x)` with four filters looks a value up once.
use super::accumulate::{Accumulator, Selection};
use super::interner::Interner;
use crate::Diff;
use crate::codec::Codec;
use crate::row::hash;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Any aggregate over the distinct values of a group.
pub(super) struct Distinct {
    shared: Rc<RefCell<Shared>>,
    /// Its place among those that share.
    place: usize,
    inner: Box<dyn Accumulator>,
}

/// The values of one column by group, and how often each is there for each of the aggregates.
pub(super) struct Shared {
    codec: Codec,
    argument: usize,
    /// The filter column of each aggregate.
    filters: Vec<Option<usize>>,
    values: Interner,
    /// So many for each value as there are aggregates.
    counts: Vec<Diff>,
    /// Of the last rows: for each aggregate, by row, whether a value came (1) or went (-1).
    steps: Vec<Vec<Diff>>,
}

impl Distinct {
    /// `inner` is the aggregate without DISTINCT and FILTER.
    pub(super) fn new(
        shared: &Rc<RefCell<Shared>>,
        filter: Option<usize>,
        inner: Box<dyn Accumulator>,
    ) -> Distinct {
        let mut table = shared.borrow_mut();
        let place = table.filters.len();
        table.filters.push(filter);
        table.steps.push(vec![]);
        Distinct { shared: shared.clone(), place, inner }
    }
}

impl Shared {
    pub(super) fn new(codec: Codec, argument: usize) -> Rc<RefCell<Shared>> {
        let (filters, values, counts, steps) = Default::default();
        Rc::new(RefCell::new(Shared { codec, argument, filters, values, counts, steps }))
    }

    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]) {
        let column = batch.column(self.argument);
        let encoded = self.codec.encode(std::slice::from_ref(column), batch.num_rows());
        let width = self.filters.len();
        let filters: Vec<Option<&BooleanArray>> =
            self.filters.iter().map(|filter| filter.map(|i| batch.column(i).as_boolean())).collect();
        let taken = |place: usize, i: usize| {
            filters[place].is_none_or(|filter| filter.is_valid(i) && filter.value(i))
        };
        self.steps.iter_mut().for_each(|steps| {
            steps.clear();
            steps.resize(groups.len(), 0);
        });
        let (values, counts, steps) = (&mut self.values, &mut self.counts, &mut self.steps);
        let (mut key, mut last, mut emptied) = (Vec::new(), u32::MAX, Vec::new());
        let rows = Selection { argument: Some(self.argument), filter: None };
        rows.each(groups, batch, diffs, |i, g, d| {
            if !(0..width).any(|place| taken(place, i)) {
                return;
            }
            // The lines of one document follow each other with the same value: one look-up for all of them.
            let same = key.get(..4) == Some(&(g as u32).to_le_bytes()[..]) && &key[4..] == encoded.row(i);
            if !same {
                key.clear();
                key.extend_from_slice(&(g as u32).to_le_bytes());
                key.extend_from_slice(encoded.row(i));
                last = values.intern(hash(&key), &key).0;
            }
            let at = last as usize * width;
            if at + width > counts.len() {
                counts.resize(at + width, 0);
            }
            for (place, count) in counts[at..at + width].iter_mut().enumerate().filter(|(p, _)| taken(*p, i))
            {
                let before = *count > 0;
                *count += d;
                steps[place][i] = Diff::from(*count > 0) - Diff::from(before);
            }
            if counts[at..at + width].iter().all(|count| *count == 0) {
                emptied.push(last);
            }
        });
        for id in emptied {
            // It may have come again, or be listed twice.
            let at = id as usize * width;
            if counts[at..at + width].iter().all(|count| *count == 0) {
                values.remove(id);
            }
        }
    }
}

impl Accumulator for Distinct {
    fn holds_rows(&self) -> bool {
        true
    }
    fn grow(&mut self, groups: usize) {
        self.inner.grow(groups);
    }
    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]) {
        // The accumulators of a GROUP BY are given the same rows one after the other.
        if self.place == 0 {
            self.shared.borrow_mut().update(groups, batch, diffs);
        }
        self.inner.update(groups, batch, &self.shared.borrow().steps[self.place]);
    }
    fn emit(&self, groups: &[u32], errors: &mut Vec<(usize, Arc<str>)>) -> ArrayRef {
        self.inner.emit(groups, errors)
    }
    fn clear(&mut self, group: u32) {
        self.inner.clear(group);
    }
}
