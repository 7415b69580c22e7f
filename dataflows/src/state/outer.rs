//! Joins that keep rows without a partner, or ask only whether there is one: both sides by key, each row with how many partners it has.
//!
//! A change meets the rows of its key on the other side, and nothing else; each input stands here once, however the joined rows leave.
mod bag;

use super::interner::Interner;
use super::{Keyed, Produced, State, batch_of};
use crate::codec::Codec;
use crate::plan::{Expr, Outer as Kind};
use crate::{Delta, Diff, Time};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use bag::{Bag, Bytes, Count};
use datafusion::common::DataFusionError;
use differential_dataflow::consolidation::consolidate;
use std::sync::Arc;

/// The rows of one key: left, right.
type Sides = [Bag; 2];
/// Changed rows by key, each once, in order.
type Changes = Vec<(u32, Bytes, Diff)>;
/// Changed rows whose key holds a NULL, each once, in order.
type Alone = Vec<(Bytes, Diff)>;
/// A left row and a right row of a key, and how often the pair comes or goes.
type Pair = (u32, Bytes, Bytes, Diff);

/// Both sides by key.
pub(crate) struct Outer {
    keys: Interner,
    rows: Vec<Sides>,
    codecs: [Codec; 2],
    /// The columns of both sides, for the predicate.
    both: SchemaRef,
    schema: SchemaRef,
    filter: Option<Expr>,
    kind: Kind,
    /// The places of the key in each side, where NULL equals nothing.
    strict: [Vec<usize>; 2],
    /// How many rows are held, and the number of the step.
    held: usize,
    steps: u32,
}

const PAIRS_PER_BATCH: usize = 8192;

/// What one step sees and makes.
struct Step<'a> {
    time: Time,
    pairs: Vec<Pair>,
    /// What each touched row was before, by side.
    before: [Vec<(u32, Bytes, Count)>; 2],
    joined: Vec<((Bytes, Bytes), Diff)>,
    /// Whether only one side changed, so that no pair is met twice.
    once: bool,
    produced: &'a mut Produced,
}

impl Outer {
    /// `both` and `schema` may be NULL in every column; `strict` lists the key columns if NULL equals nothing.
    pub(crate) fn new(
        sides: [&SchemaRef; 2],
        both: SchemaRef,
        schema: SchemaRef,
        filter: Option<Expr>,
        kind: Kind,
        strict: [Vec<usize>; 2],
    ) -> Result<Outer, String> {
        let codecs = [Codec::new(sides[0])?, Codec::new(sides[1])?];
        let (keys, rows, held, steps) = Default::default();
        Ok(Outer { keys, rows, codecs, both, schema, filter, kind, strict, held, steps })
    }

    /// The changes of both sides, and those of rows whose key holds a NULL and so equals none.
    fn changes(&mut self, input: &[Keyed]) -> ([Changes; 2], [Alone; 2]) {
        let mut changes = <[Vec<((u32, Bytes), Diff)>; 2]>::default();
        let mut alone = <[Alone; 2]>::default();
        for keyed in input {
            let side = usize::from(keyed.side);
            let encoded = self.codecs[side].encode(keyed.columns.columns(), keyed.diffs.len());
            let nulls: Vec<_> =
                self.strict[side].iter().filter_map(|i| keyed.columns.column(*i).logical_nulls()).collect();
            for (i, row) in encoded.iter().enumerate() {
                let (row, diff) = (Bytes::from(row), keyed.diffs[i]);
                if nulls.iter().all(|nulls| nulls.is_valid(i)) {
                    let (key, _) = self.keys.intern(keyed.hashes[i], keyed.keys.row(i));
                    changes[side].push(((key, row), diff));
                } else {
                    alone[side].push((row, diff));
                }
            }
        }
        changes.iter_mut().for_each(consolidate);
        alone.iter_mut().for_each(consolidate);
        self.rows.resize_with(self.keys.capacity(), Default::default);
        (changes.map(|side| side.into_iter().map(|((key, row), diff)| (key, row, diff)).collect()), alone)
    }

    /// Notes what a row was before the step; it stands here from now on till the end of the step.
    fn touch(&mut self, side: usize, key: u32, row: &Bytes, step: &mut Step<'_>) {
        let (count, fresh) = self.rows[key as usize][side].entry(row);
        self.held += usize::from(fresh);
        if fresh || count.seen != self.steps {
            count.seen = self.steps;
            step.before[side].push((key, row.clone(), *count));
        }
    }

    /// The changed rows of one side with the rows of the other.
    fn meet(&mut self, side: usize, changes: &Changes, step: &mut Step<'_>) {
        for (key, row, diff) in changes {
            self.touch(side, *key, row, step);
            for other in self.rows[*key as usize][1 - side].present() {
                let (left, right) = if side == 0 { (row.clone(), other) } else { (other, row.clone()) };
                step.pairs.push((*key, left, right, *diff));
                if step.pairs.len() >= PAIRS_PER_BATCH {
                    self.settle(side, step);
                }
            }
        }
        self.settle(side, step);
        for (key, row, diff) in changes {
            self.rows[*key as usize][side].entry(row).0.rows += diff;
        }
    }

    /// Decides the pairs that wait: each that holds changes the partners of both rows.
    fn settle(&mut self, side: usize, step: &mut Step<'_>) {
        let pairs = std::mem::take(&mut step.pairs);
        if pairs.is_empty() {
            return;
        }
        let holds = self.filter.as_ref().map(|filter| self.decide(side, filter, &pairs, step));
        for (i, (key, left, right, diff)) in pairs.into_iter().enumerate() {
            if holds.as_ref().is_some_and(|holds| !(holds.is_valid(i) && holds.value(i))) {
                continue;
            }
            self.touch(0, key, &left, step);
            self.touch(1, key, &right, step);
            let [lefts, rights] = &mut self.rows[key as usize];
            let (l, r) = (lefts.entry(&left).0, rights.entry(&right).0);
            // The row that changed gains what the other has; the other gains what changed.
            let times = if side == 0 { r.rows * diff } else { l.rows * diff };
            match side {
                0 => {
                    r.partners += diff;
                    // A row that is new here counts all its partners, one that was there has them.
                    if l.rows == 0 {
                        l.partners += r.rows;
                    }
                }
                _ => {
                    l.partners += diff;
                    if r.rows == 0 {
                        r.partners += l.rows;
                    }
                }
            }
            if self.kind.gives_pairs() {
                step.joined.push(((left, right), times));
            }
        }
    }

    /// Whether the predicate holds, pair by pair; a pair for which it fails is a failure of the view.
    fn decide(&self, side: usize, filter: &Expr, pairs: &[Pair], step: &mut Step<'_>) -> BooleanArray {
        match self.evaluate(filter, pairs) {
            Ok(holds) => holds,
            Err(_) => pairs
                .iter()
                .map(|pair| match self.evaluate(filter, std::slice::from_ref(pair)) {
                    Ok(holds) => Some(holds.is_valid(0) && holds.value(0)),
                    Err(error) => {
                        let (key, left, right, diff) = pair;
                        let other = if side == 0 { right } else { left };
                        let count = self.rows[*key as usize][1 - side].get(other).unwrap_or_default();
                        let text: Arc<str> = error.find_root().to_string().to_lowercase().into();
                        step.produced.errs.push((text, diff * count.rows));
                        Some(false)
                    }
                })
                .collect(),
        }
    }

    fn evaluate(&self, filter: &Expr, pairs: &[Pair]) -> Result<BooleanArray, DataFusionError> {
        let rows = self.both(pairs.iter().map(|(_, left, right, _)| (left, right)), &self.both);
        let holds = filter.evaluate(&rows)?.into_array(rows.num_rows())?;
        holds
            .as_boolean_opt()
            .cloned()
            .ok_or_else(|| DataFusionError::Execution(format!("the condition {filter} is not a boolean")))
    }

    fn both<'r>(
        &self,
        pairs: impl Iterator<Item = (&'r Bytes, &'r Bytes)>,
        schema: &SchemaRef,
    ) -> RecordBatch {
        let (left, right): (Vec<&[u8]>, Vec<&[u8]>) = pairs.map(|(left, right)| (&**left, &**right)).unzip();
        let mut columns = self.codecs[0].decode(&left);
        columns.extend(self.codecs[1].decode(&right));
        batch_of(schema.clone(), columns, left.len())
    }

    /// Rows of one side as they leave where they have no partner, or where only their having one is asked.
    fn give(&self, side: usize, rows: &[(Bytes, Diff)], mark: Option<bool>, step: &mut Step<'_>) {
        for rows in rows.chunks(PAIRS_PER_BATCH) {
            let bytes: Vec<&[u8]> = rows.iter().map(|(row, _)| &**row).collect();
            let own = self.codecs[side].decode(&bytes);
            let width = own.len();
            let all = self.schema.fields();
            let first = self.kind.gives_pairs() && side == 1;
            let rest = if first { &all[..all.len() - width] } else { &all[width..] };
            let other: Vec<ArrayRef> = match mark {
                Some(mark) => vec![Arc::new(BooleanArray::from(vec![mark; rows.len()]))],
                None => rest.iter().map(|field| new_null_array(field.data_type(), rows.len())).collect(),
            };
            let columns = if first { [other, own].concat() } else { [own, other].concat() };
            let batch = batch_of(self.schema.clone(), columns, rows.len());
            let diffs = rows.iter().map(|(_, diff)| *diff).collect();
            step.produced.deltas.push(Delta { time: step.time, rows: batch, diffs });
        }
    }

    /// What changed of the rows of one side: as `of` says how often they leave.
    fn differences(&self, side: usize, step: &Step<'_>, of: fn(Count) -> Diff) -> Vec<(Bytes, Diff)> {
        let after = |key: u32, row: &Bytes| self.rows[key as usize][side].get(row).unwrap_or_default();
        step.before[side]
            .iter()
            .map(|(key, row, before)| (row.clone(), of(after(*key, row)) - of(*before)))
            .filter(|(_, diff)| *diff != 0)
            .collect()
    }

    fn leave(&self, alone: [Alone; 2], step: &mut Step<'_>) {
        let mut joined = std::mem::take(&mut step.joined);
        if step.once {
            joined.retain(|(_, diff)| *diff != 0);
        } else {
            consolidate(&mut joined);
        }
        for pairs in joined.chunks(PAIRS_PER_BATCH) {
            let rows = self.both(pairs.iter().map(|((left, right), _)| (left, right)), &self.schema);
            let diffs = pairs.iter().map(|(_, diff)| *diff).collect();
            step.produced.deltas.push(Delta { time: step.time, rows, diffs });
        }
        for (side, alone) in alone.into_iter().enumerate() {
            // A right side that is only asked gives nothing.
            if !self.kind.keeps(side) {
                continue;
            }
            let mut lonely = self.differences(side, step, Count::lonely);
            lonely.extend(alone);
            let matched = self.differences(side, step, Count::matched);
            match self.kind {
                Kind::Left | Kind::Right | Kind::Full | Kind::Anti => self.give(side, &lonely, None, step),
                Kind::Semi => self.give(side, &matched, None, step),
                Kind::Mark => {
                    self.give(side, &lonely, Some(false), step);
                    self.give(side, &matched, Some(true), step);
                }
            }
        }
    }
}

impl State for Outer {
    fn step(&mut self, time: Time, input: Vec<Keyed>, produced: &mut Produced) {
        // 0 is what was never touched.
        self.steps = self.steps.checked_add(1).unwrap_or(1);
        let ([left, right], alone) = self.changes(&input);
        let once = left.is_empty() || right.is_empty();
        let (pairs, before, joined) = Default::default();
        let mut step = Step { time, pairs, before, joined, once, produced };
        self.meet(0, &left, &mut step);
        self.meet(1, &right, &mut step);
        self.leave(alone, &mut step);
        for (side, rows) in step.before.iter().enumerate() {
            for (key, row, _) in rows {
                let rows = &mut self.rows[*key as usize][side];
                if rows.get(row).is_some_and(|count| count.rows == 0) {
                    rows.remove(row);
                    self.held -= 1;
                }
                if self.rows[*key as usize].iter().all(Bag::is_empty) {
                    self.keys.remove(*key);
                }
            }
        }
    }

    fn len(&self) -> usize {
        self.held
    }
}
