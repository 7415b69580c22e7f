//! `Ranked`: the rows of a partition in their order, each with how often it is there.
use crate::Diff;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A row as bytes that compare as it does.
pub(super) type Key = Rc<[u8]>;

/// Few rows stand in a list, which costs a partition of one row no more than that row; many in a tree.
pub(super) struct Ranked {
    rows: Rows,
    /// The sum of all counts.
    total: i128,
}

enum Rows {
    Few(Vec<(Key, Diff)>),
    Many(BTreeMap<Key, Diff>),
}

const FEW_MAX: usize = 32;

impl Default for Ranked {
    fn default() -> Ranked {
        Ranked { rows: Rows::Few(Vec::new()), total: 0 }
    }
}

impl Ranked {
    /// Adds to the count of a row; at 0 it is gone.
    pub(super) fn add(&mut self, row: &[u8], diff: Diff) {
        self.total += i128::from(diff);
        match &mut self.rows {
            Rows::Few(list) => match list.binary_search_by(|(other, _)| (**other).cmp(row)) {
                Ok(at) => {
                    list[at].1 += diff;
                    if list[at].1 == 0 {
                        list.remove(at);
                    }
                }
                Err(_) if diff == 0 => {}
                Err(_) if list.len() == FEW_MAX => {
                    let mut tree: BTreeMap<Key, Diff> = std::mem::take(list).into_iter().collect();
                    tree.insert(row.into(), diff);
                    self.rows = Rows::Many(tree);
                }
                Err(at) => {
                    if list.is_empty() {
                        list.reserve_exact(1);
                    }
                    list.insert(at, (row.into(), diff));
                }
            },
            Rows::Many(tree) => match tree.get_mut(row) {
                Some(count) => {
                    *count += diff;
                    if *count == 0 {
                        tree.remove(row);
                    }
                }
                None if diff == 0 => {}
                None => _ = tree.insert(row.into(), diff),
            },
        }
        if self.is_empty() {
            *self = Ranked::default();
        }
    }

    /// All rows, the first one first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Key, &Diff)> {
        let (few, many) = match &self.rows {
            Rows::Few(list) => (Some(list.iter().map(|(row, count)| (row, count))), None),
            Rows::Many(tree) => (None, Some(tree.iter())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }

    fn last(&self) -> Option<(&Key, &Diff)> {
        match &self.rows {
            Rows::Few(list) => list.last().map(|(row, count)| (row, count)),
            Rows::Many(tree) => tree.last_key_value(),
        }
    }

    /// The last row, if there are `end` of them at least.
    pub(super) fn last_of(&self, end: i128) -> Option<&Key> {
        (self.total >= end).then(|| self.last().map(|(row, _)| row)).flatten()
    }

    /// Lets go what is behind the first `end` rows.
    pub(super) fn cut(&mut self, end: i128) {
        while let Some((_, count)) = self.last() {
            let rest = self.total - i128::from(*count);
            if rest < end {
                return;
            }
            self.total = rest;
            match &mut self.rows {
                Rows::Few(list) => _ = list.pop(),
                Rows::Many(tree) => _ = tree.pop_last(),
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many different rows.
    pub(super) fn len(&self) -> usize {
        match &self.rows {
            Rows::Few(list) => list.len(),
            Rows::Many(tree) => tree.len(),
        }
    }
}
