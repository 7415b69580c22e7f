//! `List`: the rows of a partition in their order, found by bytes and by place.
//!
//! Chunks of some hundred rows: a row is put in or taken out for the price of moving a chunk, and its place is known from the sizes of
//! the chunks before.
use crate::row::Row;
use std::sync::Arc;

/// One row of a partition; equal rows are items of their own.
pub(super) struct Item {
    /// All columns, in the order of the window.
    pub row: Row,
    /// How many bytes of `row` are the ORDER BY columns: peers agree in them.
    pub peer: u32,
    /// What was said of it last.
    pub out: Out,
}

impl Item {
    /// The bytes of the ORDER BY columns.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.row.as_slice()[..self.peer as usize]
    }
}

/// The functions' results for a row, as they left.
#[derive(Clone, PartialEq)]
pub(super) enum Out {
    /// Nothing left yet.
    Fresh,
    /// The encoded results.
    Row(Row),
    /// A function failed.
    Failed(Arc<str>),
}

const CHUNK_ROWS_MAX: usize = 512;

/// Rows in ascending order of bytes.
#[derive(Default)]
pub(super) struct List {
    /// None of them is empty.
    chunks: Vec<Vec<Item>>,
    /// The place of the first row of each chunk but the first; right after `settle`.
    starts: Vec<usize>,
    len: usize,
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a row in, behind those that are equal.
    pub(super) fn insert(&mut self, row: &Row, peer: u32) {
        let item = Item { row: row.clone(), peer, out: Out::Fresh };
        self.len += 1;
        let chunk = self.chunks.partition_point(|c| c.last().is_some_and(|last| last.row <= *row));
        let Some(chunk) = chunk.checked_sub(usize::from(chunk == self.chunks.len())) else {
            // Most partitions have a row or two.
            self.chunks.reserve_exact(1);
            return self.chunks.push(vec![item]);
        };
        let items = &mut self.chunks[chunk];
        let at = items.partition_point(|i| i.row <= *row);
        items.insert(at, item);
        if items.len() > CHUNK_ROWS_MAX {
            // Rows that come in order leave full chunks behind.
            let half = if at == CHUNK_ROWS_MAX { CHUNK_ROWS_MAX } else { CHUNK_ROWS_MAX / 2 };
            let rest = items.split_off(half);
            self.chunks.insert(chunk + 1, rest);
        }
    }

    /// Takes one of the rows with these bytes out, if there is one: the last.
    pub(super) fn remove(&mut self, row: &Row) -> Option<Item> {
        let after = self.chunks.partition_point(|c| c.first().is_some_and(|first| first.row <= *row));
        let chunk = after.checked_sub(1)?;
        let at = self.chunks[chunk].partition_point(|i| i.row <= *row).checked_sub(1)?;
        if self.chunks[chunk][at].row != *row {
            return None;
        }
        let item = self.chunks[chunk].remove(at);
        if self.chunks[chunk].is_empty() {
            self.chunks.remove(chunk);
        }
        self.len -= 1;
        Some(item)
    }

    /// Counts the places anew, after rows were put in or taken out and before they are asked for by place.
    pub(super) fn settle(&mut self) {
        self.starts.clear();
        let mut end = 0;
        for pair in self.chunks.windows(2) {
            end += pair[0].len();
            self.starts.push(end);
        }
    }

    fn start(&self, chunk: usize) -> usize {
        chunk.checked_sub(1).map_or(0, |before| self.starts[before])
    }

    fn find(&self, place: usize) -> (usize, usize) {
        let chunk = self.starts.partition_point(|start| *start <= place);
        (chunk, place - self.start(chunk))
    }

    pub(super) fn get(&self, place: usize) -> &Item {
        let (chunk, at) = self.find(place);
        &self.chunks[chunk][at]
    }

    pub(super) fn get_mut(&mut self, place: usize) -> &mut Item {
        let (chunk, at) = self.find(place);
        &mut self.chunks[chunk][at]
    }

    /// The items from one place up to another.
    pub(super) fn range(&self, from: usize, to: usize) -> impl Iterator<Item = &Item> {
        let (chunk, at) = if from < to { self.find(from) } else { (self.chunks.len(), 0) };
        let skipped = self.chunks.iter().skip(chunk).flatten().skip(at);
        skipped.take(to.saturating_sub(from))
    }

    /// The place of the first row that is not before `bytes`.
    pub(super) fn lower(&self, bytes: &[u8]) -> usize {
        self.point(|row| row < bytes)
    }

    /// The place behind the last row that is before `bytes` or begins with them.
    pub(super) fn upper(&self, bytes: &[u8]) -> usize {
        self.point(|row| &row[..row.len().min(bytes.len())] <= bytes)
    }

    fn point(&self, before: impl Fn(&[u8]) -> bool) -> usize {
        let inside = |item: &Item| before(item.row.as_slice());
        let chunk = self.chunks.partition_point(|c| c.last().is_some_and(inside));
        match self.chunks.get(chunk) {
            None => self.len,
            Some(items) => self.start(chunk) + items.partition_point(inside),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_bytes_find_the_same_rows() {
        let (mut list, mut model, mut seed) = (List::default(), Vec::<Vec<u8>>::new(), 5u64);
        for round in 0..40_000u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = ((seed >> 33) % 3000) as u32;
            let bytes = key.to_be_bytes().to_vec();
            let row = Row::from_slice(&bytes);
            if round % 3 == 2 {
                let known = model.binary_search(&bytes).ok();
                assert_eq!(list.remove(&row).is_some(), known.is_some());
                known.into_iter().for_each(|at| _ = model.remove(at));
            } else {
                list.insert(&row, 3);
                let at = model.partition_point(|r| *r <= bytes);
                model.insert(at, bytes);
            }
        }
        list.settle();
        assert_eq!(list.len(), model.len());
        for (place, row) in model.iter().enumerate().step_by(97) {
            assert_eq!(list.get(place).row.as_slice(), row);
            assert_eq!(list.lower(row), model.partition_point(|r| r < row));
            assert_eq!(list.upper(&row[..3]), model.partition_point(|r| r[..3] <= row[..3]));
            let some: Vec<&[u8]> = list.range(place, place + 5).map(|i| i.row.as_slice()).collect();
            assert_eq!(some, model[place..model.len().min(place + 5)].iter().collect::<Vec<_>>());
        }
    }
}
