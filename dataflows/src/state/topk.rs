//! ORDER BY .. LIMIT, by partition: rows in the wanted order, so that a change reads only the first rows.
mod ranked;

use super::interner::Interner;
use super::{Keyed, Produced, State, batch_of, pick};
use crate::{Delta, Diff, Time};
use arrow::array::{ArrayRef, UInt32Array, UInt64Array};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use ranked::{Key, Ranked};
use std::cmp::Ordering;
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
    rows: Vec<Ranked>,
    /// The step that touched each partition last.
    touched_in: Vec<u64>,
    step: u64,
    /// All columns: those of the order first, then the others as tie-breakers.
    converter: RowConverter,
    /// The columns of the order alone: what it says is how a row of `converter` begins.
    prefixes: RowConverter,
    /// How many columns those are.
    ordered: usize,
    /// Where each output column stands in the converter's order.
    places: Vec<usize>,
    /// The input column at each place.
    columns: Vec<usize>,
    schema: SchemaRef,
    window: Window,
    /// Rows only come: what is not among the first will never be, and is not kept.
    grows: bool,
}

/// A row inside the window: the row, its number (0 unless asked for), how often.
type Visible = (Key, u64, Diff);

impl TopK {
    /// `order` lists every input column once: the ORDER BY columns, of which there are `ordered`, with their options, then the rest.
    pub(crate) fn new(
        schema: SchemaRef,
        order: Vec<(usize, SortField)>,
        ordered: usize,
        window: Window,
        grows: bool,
    ) -> Result<TopK, String> {
        let columns: Vec<usize> = order.iter().map(|(i, _)| *i).collect();
        let mut places = vec![0; columns.len()];
        columns.iter().enumerate().for_each(|(place, column)| places[*column] = place);
        let fields: Vec<SortField> = order.into_iter().map(|(_, f)| f).collect();
        let converter = |fields: &[SortField]| {
            RowConverter::new(fields.to_vec()).map_err(|e| format!("ORDER BY cannot compare a column: {e}"))
        };
        Ok(TopK {
            partitions: Interner::default(),
            rows: Vec::new(),
            touched_in: Vec::new(),
            step: 0,
            converter: converter(&fields)?,
            prefixes: converter(&fields[..ordered])?,
            ordered,
            places,
            columns,
            schema,
            window,
            grows,
        })
    }

    /// The place behind the last row inside the window.
    fn end(&self) -> i128 {
        self.window.offset.saturating_add(self.window.limit) as i128
    }

    fn visible(&self, partition: u32) -> Vec<Visible> {
        let (offset, end) = (self.window.offset as i128, self.end());
        let (mut at, mut out) = (0i128, Vec::new());
        for (row, count) in self.rows[partition as usize].iter() {
            let (from, to) = (at.max(offset), (at + i128::from(*count)).min(end));
            at += i128::from(*count);
            if self.window.number {
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

    /// The partition of each row; new ones are listed as touched.
    fn resolve(&mut self, keyed: &Keyed, touched: &mut Vec<u32>) -> Vec<u32> {
        let mut ids = Vec::with_capacity(keyed.hashes.len());
        for (hash, key) in keyed.hashes.iter().zip(keyed.keys.iter()) {
            let (id, _) = self.partitions.intern(*hash, key);
            let at = id as usize;
            if at >= self.touched_in.len() {
                self.touched_in.resize(at + 1, 0);
            }
            if self.touched_in[at] != self.step {
                self.touched_in[at] = self.step;
                touched.push(id);
            }
            ids.push(id);
        }
        ids
    }

    fn add(&mut self, keyed: &Keyed, partitions: &[u32]) {
        let column = |i: &usize| keyed.columns.column(*i).clone();
        let columns: Vec<ArrayRef> = self.columns.iter().map(column).collect();
        if !self.grows {
            return self.insert(&columns, partitions, &keyed.diffs);
        }
        assert!(keyed.diffs.iter().all(|diff| *diff > 0), "rows are taken back where they only come");
        let picks = self.promising(&columns, partitions);
        if picks.len() == partitions.len() {
            return self.insert(&columns, partitions, &keyed.diffs);
        }
        let partitions: Vec<u32> = picks.iter().map(|i| partitions[*i as usize]).collect();
        let diffs: Vec<Diff> = picks.iter().map(|i| keyed.diffs[*i as usize]).collect();
        let kept = pick(&keyed.columns, UInt32Array::from(picks));
        let columns: Vec<ArrayRef> = self.columns.iter().map(|i| kept.column(*i).clone()).collect();
        self.insert(&columns, &partitions, &diffs);
    }

    /// The rows that may be among the first of their partition, seen from the columns of the order alone.
    fn promising(&self, columns: &[ArrayRef], partitions: &[u32]) -> Vec<u32> {
        let prefixes = self.prefixes.convert_columns(&columns[..self.ordered]);
        let prefixes = prefixes.expect("the plan was lowered with these types");
        let end = self.end();
        let behind = |(partition, row): (&u32, arrow::row::Row<'_>)| {
            let last = self.rows[*partition as usize].last_of(end);
            last.is_some_and(|last| {
                let bytes = row.data();
                bytes > &last[..bytes.len().min(last.len())]
            })
        };
        let rows = partitions.iter().zip(prefixes.iter()).enumerate();
        rows.filter(|(_, row)| !behind(*row)).map(|(i, _)| i as u32).collect()
    }

    fn insert(&mut self, columns: &[ArrayRef], partitions: &[u32], diffs: &[Diff]) {
        let rows = self.converter.convert_columns(columns).expect("the plan was lowered with these types");
        let end = self.end();
        for ((partition, row), diff) in partitions.iter().zip(rows.iter()).zip(diffs) {
            let ranked = &mut self.rows[*partition as usize];
            if !self.grows {
                ranked.add(row.data(), *diff);
            } else if ranked.last_of(end).is_none_or(|last| row.data() < &**last) {
                ranked.add(row.data(), *diff);
                ranked.cut(end);
            }
        }
    }

    fn produce(&self, time: Time, changes: Vec<Visible>, produced: &mut Produced) {
        if changes.is_empty() {
            return;
        }
        let parser = self.converter.parser();
        let rows = changes.iter().map(|(row, ..)| parser.parse(row));
        let decoded = self.converter.convert_rows(rows).expect("rows that this converter wrote");
        let mut columns: Vec<ArrayRef> = self.places.iter().map(|place| decoded[*place].clone()).collect();
        if self.window.number {
            columns.push(Arc::new(changes.iter().map(|(_, n, _)| Some(*n)).collect::<UInt64Array>()));
        }
        let diffs: Vec<Diff> = changes.iter().map(|(.., diff)| *diff).collect();
        produced.deltas.push(Delta {
            time,
            rows: batch_of(self.schema.clone(), columns, diffs.len()),
            diffs,
        });
    }
}

/// What changed between two lists, each in the order of rows and numbers.
fn difference(old: Vec<Visible>, new: Vec<Visible>, changes: &mut Vec<Visible>) {
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            // The same row is mostly the same piece of memory.
            (Some((a, n, _)), Some((b, m, _))) if std::rc::Rc::ptr_eq(a, b) => n.cmp(m),
            (Some((a, n, _)), Some((b, m, _))) => a.cmp(b).then(n.cmp(m)),
        };
        let gone = if order.is_le() { old.next() } else { None };
        let come = if order.is_ge() { new.next() } else { None };
        match (gone, come) {
            (Some((row, n, before)), Some((.., after))) if before != after => {
                changes.push((row, n, after - before));
            }
            (Some((row, n, before)), None) => changes.push((row, n, -before)),
            (None, Some(row)) => changes.push(row),
            _ => {}
        }
    }
}

impl State for TopK {
    fn step(&mut self, time: Time, input: Vec<Keyed>, produced: &mut Produced) {
        self.step += 1;
        let mut touched = Vec::new();
        let numbered: Vec<Vec<u32>> = input.iter().map(|keyed| self.resolve(keyed, &mut touched)).collect();
        self.rows.resize_with(self.partitions.capacity(), Ranked::default);
        let before: Vec<Vec<Visible>> = touched.iter().map(|partition| self.visible(*partition)).collect();
        input.iter().zip(&numbered).for_each(|(keyed, partitions)| self.add(keyed, partitions));
        let mut changes = Vec::new();
        for (partition, before) in touched.iter().zip(before) {
            difference(before, self.visible(*partition), &mut changes);
            if self.rows[*partition as usize].is_empty() {
                self.partitions.remove(*partition);
            }
        }
        self.produce(time, changes, produced);
    }

    fn len(&self) -> usize {
        self.rows.iter().map(Ranked::len).sum()
    }
}
