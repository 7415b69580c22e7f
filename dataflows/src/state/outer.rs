//! Joins that keep rows without a partner, or ask only whether there is one: both sides by key, each row with how many partners it has.
//!
//! A change meets the rows of its key on the other side, and nothing else; each input stands here once, however the joined rows leave.
use super::interner::Interner;
use super::{Keyed, Produced, State, batch_of};
use crate::codec::Codec;
use crate::plan::{Expr, Outer as Kind};
use crate::row::Row;
use crate::{Delta, Diff, Time};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a row is there, and how many partners it has, by their multiplicity.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    rows: Diff,
    partners: Diff,
}

impl Count {
    fn lonely(self) -> Diff {
        if self.partners == 0 { self.rows } else { 0 }
    }

    fn matched(self) -> Diff {
        if self.partners == 0 { 0 } else { self.rows }
    }
}

/// The rows of one key: left, right.
type Sides = [BTreeMap<Row, Count>; 2];
/// Changed rows by key.
type Changes = BTreeMap<(u32, Row), Diff>;
/// A left row and a right row of a key, and how often the pair comes or goes.
type Pair = (u32, Row, Row, Diff);

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
}

const PAIRS_PER_BATCH: usize = 8192;

/// What one step sees and makes.
struct Step<'a> {
    time: Time,
    pairs: Vec<Pair>,
    /// What touched rows were before, by side.
    before: [BTreeMap<(u32, Row), Count>; 2],
    joined: BTreeMap<(Row, Row), Diff>,
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
        Ok(Outer { keys: Interner::default(), rows: vec![], codecs, both, schema, filter, kind, strict })
    }

    /// The changes of both sides, and those of rows whose key holds a NULL and so equals none.
    fn changes(&mut self, input: &[Keyed]) -> ([Changes; 2], [BTreeMap<Row, Diff>; 2]) {
        let (mut changes, mut alone) = <([Changes; 2], [BTreeMap<Row, Diff>; 2])>::default();
        for keyed in input {
            let side = usize::from(keyed.side);
            let encoded = self.codecs[side].encode(keyed.columns.columns(), keyed.diffs.len());
            let nulls: Vec<_> =
                self.strict[side].iter().filter_map(|i| keyed.columns.column(*i).logical_nulls()).collect();
            for (i, row) in encoded.iter().enumerate() {
                let (row, diff) = (Row::from_slice(row), keyed.diffs[i]);
                if nulls.iter().all(|nulls| nulls.is_valid(i)) {
                    let (key, _) = self.keys.intern(keyed.hashes[i], keyed.keys.row(i));
                    *changes[side].entry((key, row)).or_insert(0) += diff;
                } else {
                    *alone[side].entry(row).or_insert(0) += diff;
                }
            }
        }
        changes.iter_mut().for_each(|side| side.retain(|_, diff| *diff != 0));
        alone.iter_mut().for_each(|side| side.retain(|_, diff| *diff != 0));
        self.rows.resize_with(self.keys.capacity(), Default::default);
        (changes, alone)
    }

    fn touch(&self, side: usize, key: u32, row: &Row, step: &mut Step<'_>) {
        if !step.before[side].contains_key(&(key, row.clone())) {
            let count = self.rows[key as usize][side].get(row).copied().unwrap_or_default();
            step.before[side].insert((key, row.clone()), count);
        }
    }

    /// The changed rows of one side with the rows of the other.
    fn meet(&mut self, side: usize, changes: &Changes, step: &mut Step<'_>) {
        for ((key, row), diff) in changes {
            self.touch(side, *key, row, step);
            let others = self.rows[*key as usize][1 - side].iter().filter(|(_, count)| count.rows != 0);
            let others: Vec<Row> = others.map(|(other, _)| other.clone()).collect();
            for other in others {
                let (left, right) = if side == 0 { (row.clone(), other) } else { (other, row.clone()) };
                step.pairs.push((*key, left, right, *diff));
                if step.pairs.len() >= PAIRS_PER_BATCH {
                    self.settle(side, step);
                }
            }
        }
        self.settle(side, step);
        for ((key, row), diff) in changes {
            self.rows[*key as usize][side].entry(row.clone()).or_default().rows += diff;
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
            let (l, r) = (lefts.entry(left.clone()).or_default(), rights.entry(right.clone()).or_default());
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
                *step.joined.entry((left, right)).or_insert(0) += times;
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
                        let count =
                            self.rows[*key as usize][1 - side].get(other).copied().unwrap_or_default();
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

    fn both<'r>(&self, pairs: impl Iterator<Item = (&'r Row, &'r Row)>, schema: &SchemaRef) -> RecordBatch {
        let (left, right): (Vec<&[u8]>, Vec<&[u8]>) =
            pairs.map(|(left, right)| (left.as_slice(), right.as_slice())).unzip();
        let mut columns = self.codecs[0].decode(&left);
        columns.extend(self.codecs[1].decode(&right));
        batch_of(schema.clone(), columns, left.len())
    }

    /// Rows of one side as they leave where they have no partner, or where only their having one is asked.
    fn give(&self, side: usize, rows: &[(Row, Diff)], mark: Option<bool>, step: &mut Step<'_>) {
        for rows in rows.chunks(PAIRS_PER_BATCH) {
            let bytes: Vec<&[u8]> = rows.iter().map(|(row, _)| row.as_slice()).collect();
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
    fn differences(&self, side: usize, step: &Step<'_>, of: fn(Count) -> Diff) -> Vec<(Row, Diff)> {
        let after = |key: u32, row: &Row| self.rows[key as usize][side].get(row).copied().unwrap_or_default();
        step.before[side]
            .iter()
            .map(|((key, row), before)| (row.clone(), of(after(*key, row)) - of(*before)))
            .filter(|(_, diff)| *diff != 0)
            .collect()
    }

    fn leave(&self, alone: [BTreeMap<Row, Diff>; 2], step: &mut Step<'_>) {
        let joined: Vec<((Row, Row), Diff)> =
            std::mem::take(&mut step.joined).into_iter().filter(|(_, diff)| *diff != 0).collect();
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
        let ([left, right], alone) = self.changes(&input);
        let (pairs, before, joined) = Default::default();
        let mut step = Step { time, pairs, before, joined, produced };
        self.meet(0, &left, &mut step);
        self.meet(1, &right, &mut step);
        self.leave(alone, &mut step);
        for (side, rows) in step.before.iter().enumerate() {
            for (key, row) in rows.keys() {
                let rows = &mut self.rows[*key as usize][side];
                if rows.get(row).is_some_and(|count| count.rows == 0) {
                    rows.remove(row);
                }
            }
        }
        let touched: std::collections::BTreeSet<u32> =
            step.before.iter().flat_map(|side| side.keys().map(|(key, _)| *key)).collect();
        for key in touched {
            if self.rows[key as usize].iter().all(BTreeMap::is_empty) {
                self.keys.remove(key);
            }
        }
    }

    fn len(&self) -> usize {
        self.rows.iter().flatten().map(BTreeMap::len).sum()
    }
}
