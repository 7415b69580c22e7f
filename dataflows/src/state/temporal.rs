//! Rows that come and go with the clock: each waits for the time at which it appears, then for the time at which it leaves.
//!
//! The filter is linear: a change is passed on now if its row is visible, and once more, negated, when the row ceases to be. So only the
//! changes still to come are kept, by the time they are due; those of one row cancel out.
use super::{Keyed, Produced, State, batch_of};
use crate::codec::Codec;
use crate::row::Row;
use crate::{Delta, Diff, Time};
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, SchemaRef};
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// What is due, by time. Side 0 are the rows with their bounds (from, until), side 1 is the clock.
pub(crate) struct Temporal {
    due: BTreeMap<Time, HashMap<Row, Diff>>,
    rows: usize,
    codec: Codec,
    schema: SchemaRef,
}

impl Temporal {
    pub(crate) fn new(schema: SchemaRef) -> Result<Temporal, String> {
        Ok(Temporal { due: BTreeMap::new(), rows: 0, codec: Codec::new(&schema)?, schema })
    }

    fn later(&mut self, at: Time, row: &[u8], diff: Diff) {
        let waiting = self.due.entry(at).or_default();
        let row = Row::from_slice(row);
        let sum = match waiting.get_mut(&row) {
            Some(sum) => {
                *sum += diff;
                *sum
            }
            None => {
                self.rows += 1;
                waiting.insert(row, diff);
                return;
            }
        };
        if sum == 0 {
            waiting.remove(&row);
            self.rows -= 1;
            if waiting.is_empty() {
                self.due.remove(&at);
            }
        }
    }
}

impl State for Temporal {
    fn step(&mut self, time: Time, input: Vec<Keyed>, produced: &mut Produced) {
        let mut changes: HashMap<Row, Diff> = HashMap::new();
        for keyed in input.iter().filter(|keyed| keyed.side == 0) {
            let [from, until] = [0, 1].map(|i| keyed.columns.column(i).as_primitive::<Int64Type>());
            for (i, diff) in keyed.diffs.iter().enumerate() {
                if from.is_null(i) || until.is_null(i) {
                    continue;
                }
                let [from, until] = [from, until].map(|bound| Time::try_from(bound.value(i)).unwrap_or(0));
                if until <= from || until <= time {
                    continue;
                }
                let row = keyed.keys.row(i);
                match from <= time {
                    true => *changes.entry(Row::from_slice(row)).or_insert(0) += diff,
                    false => self.later(from, row, *diff),
                }
                // No clock gets there.
                if until < i64::MAX as Time {
                    self.later(until, row, -diff);
                }
            }
        }
        while let Some(entry) = self.due.first_entry().filter(|entry| *entry.key() <= time) {
            let rows = entry.remove();
            self.rows -= rows.len();
            for (row, diff) in rows {
                *changes.entry(row).or_insert(0) += diff;
            }
        }
        let changes: Vec<(Row, Diff)> = changes.into_iter().filter(|(_, diff)| *diff != 0).collect();
        if changes.is_empty() {
            return;
        }
        let rows: Vec<&[u8]> = changes.iter().map(|(row, _)| row.as_slice()).collect();
        let rows = batch_of(self.schema.clone(), self.codec.decode(&rows), rows.len());
        produced.deltas.push(Delta { time, rows, diffs: changes.iter().map(|(_, diff)| *diff).collect() });
    }

    fn len(&self) -> usize {
        self.rows
    }
}
