//! The rows of one input, as often as its count and that of the same row in another say: semi joins with a residual predicate,
//! EXCEPT ALL, INTERSECT ALL.
use super::interner::Interner;
use super::{Keyed, Produced, State, batch_of};
use crate::codec::Codec;
use crate::plan::Kept;
use crate::{Delta, Diff, Time};
use arrow::datatypes::SchemaRef;

/// How often a row leaves that is so often in `left` and in the other input.
pub(crate) type Visible = fn([Diff; 2]) -> Diff;

/// Counts of each row in `left` (side 0) and in the other input (side 1).
pub(crate) struct Matched {
    visible: Visible,
    rows: Interner,
    counts: Vec<[Diff; 2]>,
    codec: Codec,
    schema: SchemaRef,
}

impl Matched {
    pub(crate) fn new(schema: SchemaRef, visible: Visible) -> Result<Matched, String> {
        let codec = Codec::new(&schema)?;
        Ok(Matched { visible, rows: Interner::default(), counts: Vec::new(), codec, schema })
    }
}

/// All of a row's copies if the other input has one.
pub(crate) fn matched([left, joined]: [Diff; 2]) -> Diff {
    if joined > 0 { left } else { 0 }
}

/// The rule of a [`crate::Plan::Bag`].
pub(crate) fn bag(kept: Kept) -> Visible {
    match kept {
        Kept::Difference => |[left, right]| (left - right.max(0)).max(0),
        Kept::Intersection => |[left, right]| left.min(right).max(0),
    }
}

impl State for Matched {
    fn step(&mut self, time: Time, input: Vec<Keyed>, produced: &mut Produced) {
        let mut touched: Vec<(u32, Diff)> = Vec::new();
        let mut seen = hashbrown::HashSet::new();
        for keyed in &input {
            for ((hash, key), diff) in keyed.hashes.iter().zip(keyed.keys.iter()).zip(&keyed.diffs) {
                let (id, _) = self.rows.intern(*hash, key);
                if self.counts.len() <= id as usize {
                    self.counts.resize(id as usize + 1, [0, 0]);
                }
                if seen.insert(id) {
                    touched.push((id, (self.visible)(self.counts[id as usize])));
                }
                self.counts[id as usize][usize::from(keyed.side)] += diff;
            }
        }
        let changes: Vec<(u32, Diff)> = touched
            .iter()
            .map(|(id, before)| (*id, (self.visible)(self.counts[*id as usize]) - before))
            .filter(|(_, diff)| *diff != 0)
            .collect();
        if !changes.is_empty() {
            let keys: Vec<&[u8]> = changes.iter().map(|(id, _)| self.rows.bytes(*id)).collect();
            let rows = batch_of(self.schema.clone(), self.codec.decode(&keys), keys.len());
            produced.deltas.push(Delta { time, rows, diffs: changes.iter().map(|(_, d)| *d).collect() });
        }
        for (id, _) in touched {
            if self.counts[id as usize] == [0, 0] {
                self.rows.remove(id);
            }
        }
    }

    fn len(&self) -> usize {
        self.rows.len()
    }
}
