//! bool_and, bool_or and the bit_* aggregates: counts of what is set, so that a row can be taken back.
use super::accumulate::{Accumulator, Selection};
use crate::Diff;
use crate::plan::Function;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use std::sync::Arc;

/// bool_and and bool_or.
pub(super) struct Booleans {
    rows: Selection,
    /// How many are true, how many are not.
    counts: Vec<(Diff, Diff)>,
    every: bool,
}

impl Booleans {
    pub(super) fn every(rows: Selection) -> Booleans {
        Booleans { rows, counts: Vec::new(), every: true }
    }
    pub(super) fn any(rows: Selection) -> Booleans {
        Booleans { rows, counts: Vec::new(), every: false }
    }
}

impl Accumulator for Booleans {
    fn grow(&mut self, groups: usize) {
        self.counts.resize(groups, (0, 0));
    }
    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]) {
        let column = batch.column(self.rows.argument.expect("bool_and and bool_or have an argument"));
        let (values, counts) = (column.as_boolean(), &mut self.counts);
        self.rows.each(groups, batch, diffs, |i, g, d| {
            if values.value(i) { counts[g].0 += d } else { counts[g].1 += d }
        });
    }
    fn emit(&self, groups: &[u32], _errors: &mut Vec<(usize, Arc<str>)>) -> ArrayRef {
        let values = groups.iter().map(|g| match self.counts[*g as usize] {
            (0, 0) => None,
            (yes, no) => Some(if self.every { no == 0 } else { yes > 0 }),
        });
        Arc::new(values.collect::<BooleanArray>())
    }
    fn clear(&mut self, group: u32) {
        self.counts[group as usize] = (0, 0);
    }
}

/// How many integers of a group have each bit, and how many there are.
#[derive(Clone)]
struct Ones {
    ones: [Diff; 64],
    count: Diff,
}

/// bit_and, bit_or and bit_xor.
pub(super) struct Bits {
    rows: Selection,
    groups: Vec<Option<Box<Ones>>>,
    function: Function,
    output: DataType,
}

impl Bits {
    pub(super) fn new(rows: Selection, function: &Function, output: DataType) -> Bits {
        Bits { rows, groups: Vec::new(), function: function.clone(), output }
    }

    fn value(&self, of: &Ones) -> u64 {
        let set = |ones: Diff| match self.function {
            Function::BitAnd => ones == of.count,
            Function::BitOr => ones > 0,
            _ => ones % 2 != 0,
        };
        of.ones.iter().rev().fold(0, |bits, ones| bits << 1 | u64::from(set(*ones)))
    }
}

impl Accumulator for Bits {
    fn grow(&mut self, groups: usize) {
        self.groups.resize(groups, None);
    }
    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]) {
        let column = batch.column(self.rows.argument.expect("the bit aggregates have an argument"));
        let unsigned = column.data_type().is_unsigned_integer();
        let wide = if unsigned { DataType::UInt64 } else { DataType::Int64 };
        let wide = cast(column, &wide).expect("integers widen");
        let all = &mut self.groups;
        self.rows.each(groups, batch, diffs, |i, g, d| {
            let bits = if unsigned {
                wide.as_primitive::<UInt64Type>().value(i)
            } else {
                wide.as_primitive::<Int64Type>().value(i) as u64
            };
            let group = all[g].get_or_insert_with(|| Box::new(Ones { ones: [0; 64], count: 0 }));
            group.count += d;
            (0..64).filter(|bit| bits >> bit & 1 == 1).for_each(|bit| group.ones[bit] += d);
        });
    }
    fn emit(&self, groups: &[u32], _errors: &mut Vec<(usize, Arc<str>)>) -> ArrayRef {
        let there = |g: &u32| self.groups[*g as usize].as_ref().filter(|ones| ones.count != 0);
        let values = groups.iter().map(|g| there(g).map(|ones| self.value(ones)));
        let wide: ArrayRef = if self.output.is_unsigned_integer() {
            Arc::new(values.collect::<UInt64Array>())
        } else {
            Arc::new(values.map(|v| v.map(|v| v as i64)).collect::<Int64Array>())
        };
        cast(&wide, &self.output).expect("bits of integers of this type")
    }
    fn clear(&mut self, group: u32) {
        self.groups[group as usize] = None;
    }
}
