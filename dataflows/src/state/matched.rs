//! The rows of one input that stand in another: what semi joins with a residual predicate, and outer joins over them, need.
use super::interner::Interner;
use super::{Keyed, Produced, State, batch_of};
use crate::codec::Codec;
use crate::{Delta, Diff, Time};
use arrow::datatypes::SchemaRef;

/// Counts of each row in `left` (side 0) and in `joined` (side 1).
pub(crate) struct Matched {
    rows: Interner,
    counts: Vec<[Diff; 2]>,
    codec: Codec,
    schema: SchemaRef,
}

impl Matched {
    pub(crate) fn new(schema: SchemaRef) -> Result<Matched, String> {
        Ok(Matched { rows: Interner::default(), counts: Vec::new(), codec: Codec::new(&schema)?, schema })
    }
}

/// How often a row leaves.
fn visible([left, joined]: [Diff; 2]) -> Diff {
    if joined > 0 { left } else { 0 }
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
                    touched.push((id, visible(self.counts[id as usize])));
                }
                self.counts[id as usize][usize::from(keyed.side)] += diff;
            }
        }
        let changes: Vec<(u32, Diff)> = touched
            .iter()
            .map(|(id, before)| (*id, visible(self.counts[*id as usize]) - before))
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
