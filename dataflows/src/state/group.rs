//! GROUP BY and DISTINCT: one entry a group, whatever the group's size; state is touched once a row, output once a group and tick.
use super::accumulate::Accumulator;
use super::interner::Interner;
use super::{Keyed, Produced, State, batch_of};
use crate::codec::Codec;
use crate::row::hash;
use crate::{Delta, Diff, Time};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// Groups with their accumulators. The output is the key columns, then a column each accumulator.
pub(crate) struct Groups {
    keys: Interner,
    key_codec: Codec,
    value_codec: Codec,
    schema: SchemaRef,
    accumulators: Vec<Box<dyn Accumulator>>,
    /// Rows in each group.
    rows: Vec<Diff>,
    /// The step that touched a group last, so that each is listed once.
    touched_in: Vec<u64>,
    step: u64,
    /// The group of an aggregate without GROUP BY, which always has its row.
    global: Option<u32>,
}

/// The rows of some groups at one moment.
struct Snapshot {
    groups: Vec<u32>,
    columns: Vec<ArrayRef>,
    errors: Vec<(usize, Arc<str>)>,
}

impl Groups {
    /// `schema` is that of the output, its first `key_columns` columns the key.
    pub(crate) fn new(
        schema: SchemaRef,
        key_columns: usize,
        accumulators: Vec<Box<dyn Accumulator>>,
    ) -> Result<Groups, String> {
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        Ok(Groups {
            keys: Interner::default(),
            key_codec: Codec::for_columns(&schema, &columns[..key_columns])?,
            value_codec: Codec::for_columns(&schema, &columns[key_columns..])?,
            schema,
            accumulators,
            rows: Vec::new(),
            touched_in: Vec::new(),
            step: 0,
            global: None,
        })
    }

    /// Makes it an aggregate without GROUP BY that this worker keeps, and says its first row.
    pub(crate) fn start_global(&mut self, time: Time, produced: &mut Produced) {
        let (group, _) = self.keys.intern(hash(&[]), &[]);
        self.grow();
        self.global = Some(group);
        let snapshot = self.snapshot(vec![group]);
        self.produce(time, &snapshot, &[0], 1, produced);
    }

    fn grow(&mut self) {
        let n = self.keys.capacity();
        self.rows.resize(n, 0);
        self.touched_in.resize(n, 0);
        self.accumulators.iter_mut().for_each(|a| a.grow(n));
    }

    /// Numbers the groups of all rows; returns them by chunk, and every touched group once.
    fn resolve(&mut self, input: &[Keyed]) -> (Vec<Vec<u32>>, Vec<u32>) {
        self.step += 1;
        let mut touched = Vec::new();
        let mut numbered = Vec::with_capacity(input.len());
        for keyed in input {
            let mut groups = Vec::with_capacity(keyed.hashes.len());
            for (hash, key) in keyed.hashes.iter().zip(keyed.keys.iter()) {
                let (group, _) = self.keys.intern(*hash, key);
                let i = group as usize;
                if i >= self.touched_in.len() {
                    self.touched_in.resize(i + 1, 0);
                }
                if self.touched_in[i] != self.step {
                    self.touched_in[i] = self.step;
                    touched.push(group);
                }
                groups.push(group);
            }
            numbered.push(groups);
        }
        self.grow();
        (numbered, touched)
    }

    fn has_row(&self, group: u32) -> bool {
        self.rows[group as usize] > 0 || self.global == Some(group)
    }

    fn snapshot(&self, groups: Vec<u32>) -> Snapshot {
        let mut errors = Vec::new();
        let columns = self.accumulators.iter().map(|a| a.emit(&groups, &mut errors)).collect();
        // A group fails once, with its first reason.
        errors.sort_by_key(|(i, _)| *i);
        errors.dedup_by_key(|(i, _)| *i);
        Snapshot { groups, columns, errors }
    }

    /// Gives out the rows `picks` of a snapshot, or their failures.
    fn produce(&self, time: Time, from: &Snapshot, picks: &[u32], diff: Diff, produced: &mut Produced) {
        let failed = |i: &u32| from.errors.binary_search_by_key(&(*i as usize), |(at, _)| *at);
        produced
            .errs
            .extend(picks.iter().filter_map(|i| Some((from.errors[failed(i).ok()?].1.clone(), diff))));
        let picks: Vec<u32> = if from.errors.is_empty() {
            picks.to_vec()
        } else {
            picks.iter().copied().filter(|i| failed(i).is_err()).collect()
        };
        if picks.is_empty() {
            return;
        }
        let keys: Vec<&[u8]> = picks.iter().map(|i| self.keys.bytes(from.groups[*i as usize])).collect();
        let mut columns = self.key_codec.decode(&keys);
        let diffs = vec![diff; picks.len()];
        let all = picks.len() == from.groups.len();
        let picks = UInt32Array::from(picks);
        columns.extend(from.columns.iter().map(|c| {
            if all { c.clone() } else { take(c, &picks, None).expect("picks are within the snapshot") }
        }));
        let rows = batch_of(self.schema.clone(), columns, diffs.len());
        produced.deltas.push(Delta { time, rows, diffs });
    }

    /// Groups whose row went, came, or is another: what to take back of `old`, what to add of `new`.
    fn changes(&self, old: &Snapshot, new: &Snapshot) -> (Vec<u32>, Vec<u32>) {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        let (before, after) = (self.encode(old), self.encode(new));
        let (mut i, mut j) = (0, 0);
        // Both list the touched groups in the same order.
        while i < old.groups.len() || j < new.groups.len() {
            let (a, b) = (old.groups.get(i), new.groups.get(j));
            if a.is_some() && a == b {
                let failed = !(old.errors.is_empty() && new.errors.is_empty());
                if failed || before.row(i) != after.row(j) {
                    gone.push(i as u32);
                    come.push(j as u32);
                }
                (i, j) = (i + 1, j + 1);
            } else if a.is_some_and(|g| !self.has_row(*g)) {
                gone.push(i as u32);
                i += 1;
            } else {
                come.push(j as u32);
                j += 1;
            }
        }
        (gone, come)
    }

    fn encode(&self, snapshot: &Snapshot) -> crate::codec::Rows {
        self.value_codec.encode(&snapshot.columns, snapshot.groups.len())
    }
}

impl State for Groups {
    fn step(&mut self, time: Time, input: Vec<Keyed>, produced: &mut Produced) {
        let (numbered, touched) = self.resolve(&input);
        let old = self.snapshot(touched.iter().copied().filter(|g| self.has_row(*g)).collect());
        for (keyed, groups) in input.iter().zip(&numbered) {
            groups.iter().zip(&keyed.diffs).for_each(|(g, d)| self.rows[*g as usize] += d);
            self.accumulators.iter_mut().for_each(|a| a.update(groups, &keyed.columns, &keyed.diffs));
        }
        let new = self.snapshot(touched.iter().copied().filter(|g| self.has_row(*g)).collect());
        let (gone, come) = self.changes(&old, &new);
        self.produce(time, &old, &gone, -1, produced);
        self.produce(time, &new, &come, 1, produced);
        for group in touched {
            if self.rows[group as usize] == 0 && self.global != Some(group) {
                self.accumulators.iter_mut().for_each(|a| a.clear(group));
                self.keys.remove(group);
            }
        }
    }

    fn len(&self) -> usize {
        self.keys.len()
    }
}
