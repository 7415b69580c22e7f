//! `Bag`: the rows of one side of one key. Most keys have one or a few: these stand in a list without room to spare.
use crate::Diff;
use std::collections::BTreeMap;
use std::rc::Rc;

/// An encoded row, shared by all that speak of it.
pub(super) type Bytes = Rc<[u8]>;

/// How often a row is there, how many partners it has by their multiplicity, and the step that touched it last.
#[derive(Clone, Copy, Default)]
pub(super) struct Count {
    pub rows: Diff,
    pub partners: Diff,
    pub seen: u32,
}

impl Count {
    pub(super) fn lonely(self) -> Diff {
        if self.partners == 0 { self.rows } else { 0 }
    }

    pub(super) fn matched(self) -> Diff {
        if self.partners == 0 { 0 } else { self.rows }
    }
}

/// Rows in the order of their bytes.
pub(super) enum Bag {
    Few(Vec<(Bytes, Count)>),
    Many(BTreeMap<Bytes, Count>),
}

const FEW_MAX: usize = 32;

impl Default for Bag {
    fn default() -> Bag {
        Bag::Few(Vec::new())
    }
}

impl Bag {
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Bag::Few(list) => list.is_empty(),
            Bag::Many(map) => map.is_empty(),
        }
    }

    /// The count of a row; `true` if it was not there, and now is, with 0.
    pub(super) fn entry(&mut self, row: &Bytes) -> (&mut Count, bool) {
        if let Bag::Few(list) = self
            && list.len() == FEW_MAX
            && list.binary_search_by(|(other, _)| other.cmp(row)).is_err()
        {
            *self = Bag::Many(std::mem::take(list).into_iter().collect());
        }
        match self {
            Bag::Few(list) => {
                let (at, fresh) = match list.binary_search_by(|(other, _)| other.cmp(row)) {
                    Ok(at) => (at, false),
                    Err(at) => {
                        if list.len() == list.capacity() {
                            list.reserve_exact(list.len().div_ceil(2).max(1));
                        }
                        list.insert(at, (row.clone(), Count::default()));
                        (at, true)
                    }
                };
                (&mut list[at].1, fresh)
            }
            Bag::Many(map) => {
                let mut fresh = false;
                let count = map.entry(row.clone()).or_insert_with(|| {
                    fresh = true;
                    Count::default()
                });
                (count, fresh)
            }
        }
    }

    pub(super) fn get(&self, row: &Bytes) -> Option<Count> {
        match self {
            Bag::Few(list) => list.binary_search_by(|(other, _)| other.cmp(row)).ok().map(|at| list[at].1),
            Bag::Many(map) => map.get(row).copied(),
        }
    }

    /// Takes a row away that stands here with 0.
    pub(super) fn remove(&mut self, row: &Bytes) {
        match self {
            Bag::Few(list) => {
                if let Ok(at) = list.binary_search_by(|(other, _)| other.cmp(row)) {
                    list.remove(at);
                }
                if list.is_empty() {
                    *list = Vec::new();
                }
            }
            Bag::Many(map) => {
                map.remove(row);
                if map.is_empty() {
                    *self = Bag::default();
                }
            }
        }
    }

    /// The rows that are there.
    pub(super) fn present(&self) -> Vec<Bytes> {
        let there = |(row, count): (&Bytes, &Count)| (count.rows != 0).then(|| row.clone());
        match self {
            Bag::Few(list) => list.iter().filter_map(|(row, count)| there((row, count))).collect(),
            Bag::Many(map) => map.iter().filter_map(there).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bag_is_a_map_however_many_rows_it_has() {
        let (mut bag, mut model, mut seed) = (Bag::default(), BTreeMap::<Bytes, Diff>::new(), 5u64);
        for round in 0..20_000u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // It grows for a while, and shrinks again.
            let row = Bytes::from(((seed >> 33) % 60).to_be_bytes().as_slice());
            if (seed >> 20) % 8 < if round % 2_000 < 1_000 { 6 } else { 2 } {
                let (count, fresh) = bag.entry(&row);
                assert_eq!(fresh, !model.contains_key(&row));
                count.rows += 1;
                *model.entry(row.clone()).or_insert(0) += 1;
            } else {
                bag.remove(&row);
                model.remove(&row);
            }
            assert_eq!(bag.get(&row).map(|count| count.rows), model.get(&row).copied());
            assert_eq!((bag.is_empty(), bag.present()), (model.is_empty(), model.keys().cloned().collect()));
        }
    }
}
