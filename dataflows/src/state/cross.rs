//! Every row of one input with every row of the other, kept by one worker while the pairs stay within a limit.
//!
//! Beyond the limit the view fails, and nothing is multiplied until there are fewer rows again: then all pairs are given anew.
use super::{Keyed, Produced, State, batch_of};
use crate::codec::Codec;
use crate::row::Row;
use crate::{Delta, Diff, Time};
use arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;

/// Rows with how often each is there.
type Counts = BTreeMap<Row, Diff>;

/// The rows of both sides.
pub(crate) struct Cross {
    codecs: [Codec; 2],
    rows: [Counts; 2],
    schema: SchemaRef,
    pairs_max: u64,
    /// Whether there are too many pairs, so that none was given.
    over: bool,
}

const PAIRS_PER_BATCH: usize = 8192;

impl Cross {
    pub(crate) fn new(
        left: &SchemaRef,
        right: &SchemaRef,
        schema: SchemaRef,
        pairs_max: u64,
    ) -> Result<Cross, String> {
        let codecs = [Codec::new(left)?, Codec::new(right)?];
        Ok(Cross { codecs, rows: Default::default(), schema, pairs_max, over: false })
    }

    fn changes(&self, input: &[Keyed]) -> [Counts; 2] {
        let mut changes = [Counts::new(), Counts::new()];
        for keyed in input {
            let side = usize::from(keyed.side);
            let rows = self.codecs[side].encode(keyed.columns.columns(), keyed.diffs.len());
            for (row, diff) in rows.iter().zip(&keyed.diffs) {
                *changes[side].entry(Row::from_slice(row)).or_insert(0) += diff;
            }
        }
        changes.iter_mut().for_each(|side| side.retain(|_, diff| *diff != 0));
        changes
    }

    /// All pairs of the given rows, `sign` times.
    fn give(&self, time: Time, left: &Counts, right: &Counts, sign: Diff, produced: &mut Produced) {
        let mut pairs: Vec<(&[u8], &[u8], Diff)> = Vec::new();
        for (l, n) in left {
            for (r, m) in right {
                pairs.push((l.as_slice(), r.as_slice(), sign * n * m));
                if pairs.len() == PAIRS_PER_BATCH {
                    self.flush(time, &mut pairs, produced);
                }
            }
        }
        if !pairs.is_empty() {
            self.flush(time, &mut pairs, produced);
        }
    }

    fn flush(&self, time: Time, pairs: &mut Vec<(&[u8], &[u8], Diff)>, produced: &mut Produced) {
        let left: Vec<&[u8]> = pairs.iter().map(|(l, _, _)| *l).collect();
        let right: Vec<&[u8]> = pairs.iter().map(|(_, r, _)| *r).collect();
        let mut columns = self.codecs[0].decode(&left);
        columns.extend(self.codecs[1].decode(&right));
        let rows = batch_of(self.schema.clone(), columns, pairs.len());
        produced.deltas.push(Delta { time, rows, diffs: pairs.iter().map(|(_, _, diff)| *diff).collect() });
        pairs.clear();
    }
}

/// How many different rows there will be.
fn grown(counts: &Counts, changes: &Counts) -> usize {
    let (mut come, mut gone) = (0, 0);
    for (row, diff) in changes {
        match counts.get(row) {
            None => come += 1,
            Some(count) if count + diff == 0 => gone += 1,
            Some(_) => {}
        }
    }
    counts.len() + come - gone
}

fn add(to: &mut Counts, changes: &Counts) {
    for (row, diff) in changes {
        let count = to.entry(row.clone()).or_insert(0);
        *count += diff;
        if *count == 0 {
            to.remove(row);
        }
    }
}

impl State for Cross {
    fn step(&mut self, time: Time, input: Vec<Keyed>, produced: &mut Produced) {
        let [left, right] = self.changes(&input);
        let pairs = grown(&self.rows[0], &left) as u128 * grown(&self.rows[1], &right) as u128;
        let over = pairs > u128::from(self.pairs_max);
        let follow = !self.over && !over;
        if follow {
            self.give(time, &left, &self.rows[1], 1, produced);
        }
        if over && !self.over {
            self.give(time, &self.rows[0], &self.rows[1], -1, produced);
        }
        add(&mut self.rows[0], &left);
        if follow {
            self.give(time, &self.rows[0], &right, 1, produced);
        }
        add(&mut self.rows[1], &right);
        if self.over && !over {
            self.give(time, &self.rows[0], &self.rows[1], 1, produced);
        }
        if over != self.over {
            let message = format!(
                "the cross join has grown beyond {} pairs: add a condition between its two sides",
                self.pairs_max
            );
            produced.errs.push((message.into(), if over { 1 } else { -1 }));
        }
        self.over = over;
    }

    fn len(&self) -> usize {
        self.rows[0].len() + self.rows[1].len()
    }
}
