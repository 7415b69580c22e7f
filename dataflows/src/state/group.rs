//! GROUP BY and DISTINCT: one entry a group, whatever the group's size; state is touched once a row, output once a group and tick.
use super::accumulate::Accumulator;
use super::interner::Interner;
use super::{Keyed, Produced, State, batch_of};
use crate::codec::Codec;
use crate::plan::Expr;
use crate::row::hash;
use crate::{Delta, Diff, Time};
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
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
    /// A condition on the accumulators' columns: groups for which it is not true have no row.
    having: Option<Expr>,
    value_schema: SchemaRef,
    groups: Vec<Group>,
    step: u64,
    /// The group of an aggregate without GROUP BY, which always has its row.
    global: Option<u32>,
}

/// What is known of a group beside its accumulators.
#[derive(Clone, Copy, Default)]
struct Group {
    /// How many rows it has.
    rows: Diff,
    /// The step that touched it last, so that each is listed once.
    touched_in: u64,
}

/// The rows of some groups at one moment.
struct Snapshot {
    /// Where each stands in the list of touched groups, ascending.
    places: Vec<u32>,
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
        having: Option<Expr>,
    ) -> Result<Groups, String> {
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let value_schema = schema.project(&columns[key_columns..]).map_err(|e| e.to_string())?;
        Ok(Groups {
            keys: Interner::default(),
            key_codec: Codec::for_columns(&schema, &columns[..key_columns])?,
            value_codec: Codec::for_columns(&schema, &columns[key_columns..])?,
            schema,
            accumulators,
            having,
            value_schema: Arc::new(value_schema),
            groups: Vec::new(),
            step: 0,
            global: None,
        })
    }

    /// Makes it an aggregate without GROUP BY that this worker keeps, and says its first row.
    pub(crate) fn start_global(&mut self, time: Time, produced: &mut Produced) {
        let (group, _) = self.keys.intern(hash(&[]), &[]);
        self.grow();
        self.global = Some(group);
        let snapshot = self.snapshot(&[group]);
        let all: Vec<u32> = (0..snapshot.groups.len() as u32).collect();
        self.produce(time, &snapshot, &all, 1, produced);
    }

    fn grow(&mut self) {
        let n = self.keys.capacity();
        self.groups.resize(n, Group::default());
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
                if i >= self.groups.len() {
                    self.groups.resize(i + 1, Group::default());
                }
                if self.groups[i].touched_in != self.step {
                    self.groups[i].touched_in = self.step;
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
        self.groups[group as usize].rows > 0 || self.global == Some(group)
    }

    fn snapshot(&self, touched: &[u32]) -> Snapshot {
        let there = |(_, group): &(usize, &u32)| self.has_row(**group);
        let (places, groups): (Vec<u32>, Vec<u32>) =
            touched.iter().enumerate().filter(there).map(|(place, group)| (place as u32, *group)).unzip();
        let mut errors = Vec::new();
        let columns = self.accumulators.iter().map(|a| a.emit(&groups, &mut errors)).collect();
        // A group fails once, with its first reason.
        errors.sort_by_key(|(i, _)| *i);
        errors.dedup_by_key(|(i, _)| *i);
        self.having(Snapshot { places, groups, columns, errors })
    }

    /// Leaves out groups that do not meet the condition, before anything is decoded for them. Failed groups stay: their failure is shown.
    fn having(&self, snapshot: Snapshot) -> Snapshot {
        let Some(having) = &self.having else { return snapshot };
        let n = snapshot.groups.len();
        let batch = batch_of(self.value_schema.clone(), snapshot.columns.clone(), n);
        let met = having
            .evaluate(&batch)
            .and_then(|v| v.into_array(n))
            .expect("only conditions that cannot fail are fused");
        let met = met.as_boolean();
        let failed = |i: usize| snapshot.errors.binary_search_by_key(&i, |(at, _)| *at).is_ok();
        let kept: Vec<u32> =
            (0..n).filter(|i| (met.is_valid(*i) && met.value(*i)) || failed(*i)).map(|i| i as u32).collect();
        if kept.len() == n {
            return snapshot;
        }
        let new_place = |old: usize| kept.binary_search(&(old as u32)).expect("failed groups are kept");
        let errors = snapshot.errors.iter().map(|(i, message)| (new_place(*i), message.clone())).collect();
        let of = |list: &[u32]| kept.iter().map(|i| list[*i as usize]).collect();
        let (places, groups) = (of(&snapshot.places), of(&snapshot.groups));
        let kept = UInt32Array::from(kept);
        let take = |c: &ArrayRef| take(c, &kept, None).expect("picks are within the snapshot");
        Snapshot { places, groups, columns: snapshot.columns.iter().map(take).collect(), errors }
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
        while i < old.groups.len() || j < new.groups.len() {
            let (a, b) = (old.places.get(i).unwrap_or(&u32::MAX), new.places.get(j).unwrap_or(&u32::MAX));
            if a == b {
                let failed = !(old.errors.is_empty() && new.errors.is_empty());
                if failed || before.row(i) != after.row(j) {
                    gone.push(i as u32);
                    come.push(j as u32);
                }
                (i, j) = (i + 1, j + 1);
            } else if a < b {
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
        let old = self.snapshot(&touched);
        for (keyed, groups) in input.iter().zip(&numbered) {
            groups.iter().zip(&keyed.diffs).for_each(|(g, d)| self.groups[*g as usize].rows += d);
            self.accumulators.iter_mut().for_each(|a| a.update(groups, &keyed.columns, &keyed.diffs));
        }
        let new = self.snapshot(&touched);
        let (gone, come) = self.changes(&old, &new);
        self.produce(time, &old, &gone, -1, produced);
        self.produce(time, &new, &come, 1, produced);
        for group in touched {
            if self.groups[group as usize].rows == 0 && self.global != Some(group) {
                self.accumulators.iter_mut().for_each(|a| a.clear(group));
                self.keys.remove(group);
            }
        }
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn holds_rows(&self) -> bool {
        self.accumulators.iter().any(|a| a.holds_rows())
    }
}
