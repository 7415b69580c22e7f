//! Functions that look at places only: ranks, buckets, and the values of rows at a distance or in a frame.
use super::Task;
use super::list::{List, Out};
use crate::codec::Codec;
use crate::value::Value;
use arrow::array::{Array, ArrayRef, Float64Array, UInt32Array, UInt64Array};
use arrow::compute::{concat, take};
use datafusion::common::ScalarValue;
use std::sync::Arc;

/// The rows of some tasks, by their places.
pub(super) struct Places<'a> {
    pub tasks: &'a [Task],
    pub lists: &'a [List],
}

impl Places<'_> {
    fn all(&self) -> impl Iterator<Item = (&Task, &List)> {
        self.tasks.iter().map(|task| (task, &self.lists[task.partition as usize]))
    }

    /// The group of peers of each row, as places, with the list.
    fn groups(&self) -> impl Iterator<Item = (&List, (usize, usize))> {
        self.all()
            .flat_map(|(task, list)| groups(list, task.from, task.to).into_iter().map(move |g| (list, g)))
    }

    pub(super) fn row_numbers(&self) -> ArrayRef {
        let places = self.tasks.iter().flat_map(|task| task.from..task.to);
        Arc::new(UInt64Array::from_iter_values(places.map(|place| place as u64 + 1)))
    }

    pub(super) fn ranks(&self) -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(self.groups().map(|(_, (lower, _))| lower as u64 + 1)))
    }

    /// `column` is where the function stands among the results: the rank before a task's first row is read from there.
    pub(super) fn dense_ranks(&self, codec: &Codec, column: usize) -> ArrayRef {
        let ranks = self.all().flat_map(|(task, list)| dense_ranks(list, task.from, task.to, codec, column));
        Arc::new(UInt64Array::from_iter_values(ranks))
    }

    pub(super) fn percent_ranks(&self) -> ArrayRef {
        let share = |(list, (lower, _)): (&List, (usize, usize))| {
            lower as f64 / list.len().saturating_sub(1).max(1) as f64
        };
        Arc::new(Float64Array::from_iter_values(self.groups().map(share)))
    }

    pub(super) fn cume_dists(&self) -> ArrayRef {
        let share = |(list, (_, upper)): (&List, (usize, usize))| upper as f64 / list.len() as f64;
        Arc::new(Float64Array::from_iter_values(self.groups().map(share)))
    }

    /// Buckets of `rows / buckets` rows, the first `rows % buckets` of them with one more.
    pub(super) fn buckets(&self, buckets: u64) -> ArrayRef {
        let numbers = self.all().flat_map(|(task, list)| {
            let (size, larger) = (list.len() as u64 / buckets, list.len() as u64 % buckets);
            let in_larger = larger * (size + 1);
            (task.from as u64..task.to as u64).map(move |place| match place < in_larger {
                true => place / (size + 1) + 1,
                false => larger + (place - in_larger) / size + 1,
            })
        });
        Arc::new(UInt64Array::from_iter_values(numbers))
    }
}

/// The group of peers of each of the rows `from .. to`, as places.
fn groups(list: &List, from: usize, to: usize) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::with_capacity(to - from);
    for (place, item) in (from..to).zip(list.range(from, to)) {
        match found.last() {
            Some((lower, upper)) if place < *upper => found.push((*lower, *upper)),
            _ => found.push((list.lower(item.prefix()), list.upper(item.prefix()))),
        }
    }
    found
}

fn dense_ranks(list: &List, from: usize, to: usize, codec: &Codec, column: usize) -> Vec<u64> {
    let mut rank = 0;
    if let Some(before) = from.checked_sub(1) {
        rank = match &list.get(before).out {
            Out::Row(row) => match codec.value(row.as_slice(), column) {
                Value::Int(rank) => rank as u64,
                _ => count_groups(list, from),
            },
            Out::Fresh | Out::Failed(_) => count_groups(list, from),
        };
    }
    let mut end = from.checked_sub(1).map_or(0, |before| list.upper(list.get(before).prefix()));
    let ranks = groups(list, from, to).into_iter().enumerate().map(|(i, (_, upper))| {
        if from + i >= end {
            rank += 1;
            end = upper;
        }
        rank
    });
    ranks.collect()
}

/// How many groups of peers there are in the first `to` rows.
fn count_groups(list: &List, to: usize) -> u64 {
    let (mut count, mut place) = (0, 0);
    while place < to {
        place = list.upper(list.get(place).prefix());
        count += 1;
    }
    count
}

/// A column of the rows that tasks read, and which of them count.
pub(super) struct Cells<'a> {
    pub column: ArrayRef,
    pub tasks: &'a [Task],
    pub ignore_nulls: bool,
}

impl Cells<'_> {
    /// The places in the batch of the cells that are not NULL.
    fn filled(&self) -> Vec<usize> {
        (0..self.column.len()).filter(|i| self.column.is_valid(*i)).collect()
    }

    /// The cell `offset` rows before each row.
    pub(super) fn shifted(&self, offset: i64, default: &ScalarValue) -> ArrayRef {
        let filled = if self.ignore_nulls && offset != 0 { Some(self.filled()) } else { None };
        let index = |task: &Task, place: usize| -> Option<usize> {
            let (first, last) = (task.at, task.at + task.end - task.base);
            let at = place - task.base + task.at;
            let found = match &filled {
                None => usize::try_from((at as i64).saturating_sub(offset)).ok(),
                Some(filled) if offset > 0 => {
                    let before = filled.partition_point(|i| *i < at);
                    Some(filled[before.checked_sub(usize::try_from(offset).ok()?)?])
                }
                Some(filled) => {
                    let after = filled.partition_point(|i| *i <= at);
                    let skip = usize::try_from(offset.unsigned_abs()).ok()? - 1;
                    filled.get(after.checked_add(skip)?).copied()
                }
            };
            found.filter(|i| (first..last).contains(i))
        };
        // The default stands behind the last cell.
        let default = default.to_array_of_size(1).expect("a constant");
        let cells =
            concat(&[self.column.as_ref(), default.as_ref()]).expect("the default was cast when lowered");
        let len = self.column.len();
        let rows = self.tasks.iter().flat_map(|task| (task.from..task.to).map(move |place| (task, place)));
        let picks = rows.map(|(task, place)| index(task, place).unwrap_or(len) as u32);
        take(&cells, &UInt32Array::from_iter_values(picks), None).expect("places within the batch")
    }

    /// The nth cell of each frame of a call, from 1, or with a negative number from the end.
    pub(super) fn nth(&self, call: usize, nth: i64) -> ArrayRef {
        let filled = self.ignore_nulls.then(|| self.filled());
        let index = |(start, end): (usize, usize)| -> Option<u32> {
            let (start, end) = match &filled {
                None => (start, end),
                Some(filled) => {
                    (filled.partition_point(|i| *i < start), filled.partition_point(|i| *i < end))
                }
            };
            let distance = usize::try_from(nth.unsigned_abs()).ok()?;
            let at = match nth.signum() {
                1 => start.checked_add(distance - 1).filter(|at| *at < end),
                -1 => end.checked_sub(distance).filter(|at| *at >= start),
                _ => None,
            }?;
            Some(filled.as_ref().map_or(at, |filled| filled[at]) as u32)
        };
        let frames = self.tasks.iter().flat_map(|task| task.inside(call));
        let picks: UInt32Array = frames.map(index).collect();
        take(&self.column, &picks, None).expect("places within the batch")
    }
}
