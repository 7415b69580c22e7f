//! Equal rows of a batch as one row, with all of their diffs: before an operator that makes many rows of each.
use super::once::{ROWS_MIN, found};
use crate::codec::{Codec, Rows};
use crate::row::hash;
use crate::state::pick;
use crate::{Delta, Diff};
use arrow::array::{Array, ArrayRef, ListArray, UInt32Array};
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;

/// Finds equal rows of one schema, some of whose columns are lists.
pub(super) struct Compact {
    lists: Vec<usize>,
    others: Vec<usize>,
    codec: Codec,
}

impl Compact {
    /// None if there is a type whose rows cannot be compared.
    pub(super) fn new(schema: &SchemaRef, lists: &[usize]) -> Option<Compact> {
        let others: Vec<usize> = (0..schema.fields().len()).filter(|i| !lists.contains(i)).collect();
        let codec = Codec::for_columns(schema, &others).ok()?;
        Some(Compact { lists: lists.to_vec(), others, codec })
    }

    /// The rows, each different one once; none if that would not help.
    pub(super) fn compacted(&self, delta: &Delta) -> Option<Delta> {
        let rows = delta.len();
        if rows < ROWS_MIN {
            return None;
        }
        let lists: Vec<Lists<'_>> =
            self.lists.iter().map(|i| Lists::of(delta.rows.column(*i))).collect::<Option<_>>()?;
        let others: Vec<ArrayRef> = self.others.iter().map(|i| delta.rows.column(*i).clone()).collect();
        let others = self.codec.encode(&others, rows);
        let (mut all, mut bytes) = (Rows::default(), vec![]);
        for row in 0..rows {
            bytes.clear();
            bytes.extend_from_slice(others.row(row));
            lists.iter().for_each(|list| list.write(row, &mut bytes));
            all.push(&bytes);
        }
        let repeats = found(rows, |row| Some(all.row(row)), hash)?;
        let mut diffs: Vec<Diff> = vec![0; repeats.heads.len()];
        for (id, diff) in repeats.of.values().iter().zip(&delta.diffs) {
            diffs[*id as usize] += diff;
        }
        let kept = repeats.heads.values().iter().zip(&diffs).filter(|(_, diff)| **diff != 0);
        let rows = pick(&delta.rows, kept.map(|(row, _)| *row).collect::<UInt32Array>());
        diffs.retain(|diff| *diff != 0);
        Some(Delta { time: delta.time, rows, diffs })
    }
}

/// The lists of one column, whose elements are numbers of one width without NULLs.
struct Lists<'a> {
    list: &'a ListArray,
    /// The elements of all lists, as they stand in memory.
    elements: Buffer,
    width: usize,
}

impl<'a> Lists<'a> {
    fn of(column: &'a ArrayRef) -> Option<Lists<'a>> {
        let list = column.as_any().downcast_ref::<ListArray>()?;
        let width = list.values().data_type().primitive_width()?;
        let data = list.values().to_data();
        if data.null_count() > 0 {
            return None;
        }
        let elements = data.buffers().first()?.slice(data.offset() * width);
        Some(Lists { list, elements, width })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.list.is_null(row) {
            return out.extend_from_slice(&u32::MAX.to_le_bytes());
        }
        let offsets = self.list.value_offsets();
        let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
        out.extend_from_slice(&((to - from) as u32).to_le_bytes());
        out.extend_from_slice(&self.elements[from * self.width..to * self.width]);
    }
}
