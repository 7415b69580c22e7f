//! ORDER BY .. LIMIT, by partition: rows in the wanted order in a B-tree, so that a change reads only the first rows.
use super::interner::Interner;
use super::{Keyed, Produced, State, batch_of};
use crate::row::Row;
use crate::{Delta, Diff, Time};
use arrow::array::{ArrayRef, UInt64Array};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What to keep of each partition.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    pub offset: usize,
    pub limit: usize,
    pub number: bool,
}

/// The first rows of each partition.
pub(crate) struct TopK {
    partitions: Interner,
    rows: Vec<BTreeMap<Row, Diff>>,
    /// All columns: those of the order first, then the others as tie-breakers.
    converter: RowConverter,
    /// Where each output column stands in the converter's order.
    places: Vec<usize>,
    /// The input column at each place.
    columns: Vec<usize>,
    schema: SchemaRef,
    window: Window,
}

impl TopK {
    /// `order` lists every input column once: the ORDER BY columns with their options, then the rest.
    pub(crate) fn new(
        schema: SchemaRef,
        order: Vec<(usize, SortField)>,
        window: Window,
    ) -> Result<TopK, String> {
        let columns: Vec<usize> = order.iter().map(|(i, _)| *i).collect();
        let mut places = vec![0; columns.len()];
        columns.iter().enumerate().for_each(|(place, column)| places[*column] = place);
        let converter = RowConverter::new(order.into_iter().map(|(_, f)| f).collect())
            .map_err(|e| format!("ORDER BY cannot compare a column: {e}"))?;
        Ok(TopK {
            partitions: Interner::default(),
            rows: Vec::new(),
            converter,
            places,
            columns,
            schema,
            window,
        })
    }

    /// The rows inside the window: the row, its number (0 unless asked for), how often.
    fn visible(&self, partition: u32) -> Vec<(Row, u64, Diff)> {
        let Window { offset, limit, number } = self.window;
        let end = offset.saturating_add(limit) as i128;
        let (mut at, mut out) = (0i128, Vec::new());
        for (row, count) in &self.rows[partition as usize] {
            let (from, to) = (at.max(offset as i128), (at + i128::from(*count)).min(end));
            at += i128::from(*count);
            if number {
                out.extend((from..to).map(|n| (row.clone(), n as u64 + 1, 1)));
            } else if from < to {
                out.push((row.clone(), 0, (to - from) as Diff));
            }
            if at >= end {
                break;
            }
        }
        out
    }

    fn add(&mut self, keyed: &Keyed, partitions: &[u32]) {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|i| keyed.columns.column(*i).clone()).collect();
        let rows = self.converter.convert_columns(&columns).expect("the plan was lowered with these types");
        for ((partition, row), diff) in partitions.iter().zip(rows.iter()).zip(&keyed.diffs) {
            let tree = &mut self.rows[*partition as usize];
            let row = Row::from_slice(row.data());
            let count = tree.entry(row.clone()).or_insert(0);
            *count += diff;
            if *count == 0 {
                tree.remove(&row);
            }
        }
    }

    fn produce(&self, time: Time, changes: BTreeMap<(Row, u64), Diff>, produced: &mut Produced) {
        let changes: Vec<_> = changes.into_iter().filter(|(_, diff)| *diff != 0).collect();
        if changes.is_empty() {
            return;
        }
        let parser = self.converter.parser();
        let rows = changes.iter().map(|((row, _), _)| parser.parse(row.as_slice()));
        let decoded = self.converter.convert_rows(rows).expect("rows that this converter wrote");
        let mut columns: Vec<ArrayRef> = self.places.iter().map(|place| decoded[*place].clone()).collect();
        if self.window.number {
            columns.push(Arc::new(changes.iter().map(|((_, n), _)| Some(*n)).collect::<UInt64Array>()));
        }
        let diffs: Vec<Diff> = changes.iter().map(|(_, diff)| *diff).collect();
        produced.deltas.push(Delta {
            time,
            rows: batch_of(self.schema.clone(), columns, diffs.len()),
            diffs,
        });
    }
}

impl State for TopK {
    fn step(&mut self, time: Time, input: Vec<Keyed>, produced: &mut Produced) {
        let mut touched = std::collections::BTreeSet::new();
        let numbered: Vec<Vec<u32>> = input
            .iter()
            .map(|keyed| {
                let ids =
                    keyed.hashes.iter().zip(keyed.keys.iter()).map(|(h, k)| self.partitions.intern(*h, k).0);
                let ids: Vec<u32> = ids.collect();
                touched.extend(ids.iter().copied());
                ids
            })
            .collect();
        self.rows.resize_with(self.partitions.capacity(), BTreeMap::new);
        let mut changes = BTreeMap::new();
        for partition in &touched {
            self.visible(*partition)
                .into_iter()
                .for_each(|(r, n, d)| *changes.entry((r, n)).or_insert(0) -= d);
        }
        input.iter().zip(&numbered).for_each(|(keyed, partitions)| self.add(keyed, partitions));
        for partition in &touched {
            self.visible(*partition)
                .into_iter()
                .for_each(|(r, n, d)| *changes.entry((r, n)).or_insert(0) += d);
            if self.rows[*partition as usize].is_empty() {
                self.partitions.remove(*partition);
            }
        }
        self.produce(time, changes, produced);
    }

    fn len(&self) -> usize {
        self.rows.iter().map(BTreeMap::len).sum()
    }
}
