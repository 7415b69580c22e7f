//! `Delta`: the unit that flows between operators.
use crate::{Diff, Time};
use arrow::array::RecordBatch;

/// Rows that changed at one time: row `i` of `rows` changed by `diffs[i]`, at `time`.
///
/// The same row may stand in it more than once; a sum of zero means no change.
#[derive(Clone, Debug)]
pub struct Delta {
    /// When the change happened.
    pub time: Time,
    /// The rows.
    pub rows: RecordBatch,
    /// One signed multiplicity for each row of `rows`.
    pub diffs: Vec<Diff>,
}

impl Delta {
    /// Rows that were added once each.
    pub fn inserts(time: Time, rows: RecordBatch) -> Delta {
        let diffs = vec![1; rows.num_rows()];
        Delta { time, rows, diffs }
    }

    /// How many rows it holds, counted before consolidation.
    pub fn len(&self) -> usize {
        self.diffs.len()
    }

    /// Whether it holds no row.
    pub fn is_empty(&self) -> bool {
        self.diffs.is_empty()
    }
}
