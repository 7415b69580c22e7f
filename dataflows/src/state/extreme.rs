//! min and max: the values of each group in their order, or the first one alone where values only come.
use super::accumulate::{Accumulator, Selection};
use crate::Diff;
use crate::codec::with_integers;
use crate::row::Row;
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The least or the greatest value of each group.
pub(super) struct Extreme {
    rows: Selection,
    input: DataType,
    values: Values,
    least: bool,
    /// Values only come: one that is not the first will never be.
    grows: bool,
}

enum Values {
    /// Of types that compare as numbers.
    Numbers(Vec<Bag<i64>>),
    /// Of all others, as bytes that compare as they do.
    Rows(RowConverter, Vec<Bag<Row>>),
}

/// How often each value is there. Most groups have one or, of values that only come, keep one.
#[derive(Clone, Default)]
enum Bag<K> {
    #[default]
    Empty,
    One(K, Diff),
    #[allow(clippy::box_collection, reason = "few groups have it, and all pay for its size")]
    Many(Box<BTreeMap<K, Diff>>),
}

impl<K: Ord + Clone> Bag<K> {
    fn add(&mut self, value: K, diff: Diff) {
        match self {
            Bag::Empty if diff != 0 => *self = Bag::One(value, diff),
            Bag::Empty => {}
            Bag::One(known, count) if *known == value => {
                *count += diff;
                if *count == 0 {
                    *self = Bag::Empty;
                }
            }
            Bag::One(known, count) if diff != 0 => {
                *self = Bag::Many(Box::new(BTreeMap::from([(known.clone(), *count), (value, diff)])));
            }
            Bag::One(..) => {}
            Bag::Many(tree) => {
                let count = tree.entry(value.clone()).or_insert(0);
                *count += diff;
                if *count == 0 {
                    tree.remove(&value);
                }
                if tree.is_empty() {
                    *self = Bag::Empty;
                }
            }
        }
    }

    /// Takes a value's place if it is before it.
    fn replace(&mut self, value: K, least: bool) {
        match self {
            Bag::One(known, _) if (value < *known) == least || value == *known => {
                if value != *known {
                    *known = value;
                }
            }
            Bag::One(..) => {}
            other => *other = Bag::One(value, 1),
        }
    }

    fn first(&self, least: bool) -> Option<&K> {
        match self {
            Bag::Empty => None,
            Bag::One(value, _) => Some(value),
            Bag::Many(tree) => {
                if least { tree.first_key_value() } else { tree.last_key_value() }.map(|(k, _)| k)
            }
        }
    }
}

fn is_number(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(
        data_type,
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | Date32 | Date64 | Timestamp(_, _)
    )
}

impl Extreme {
    pub(super) fn new(rows: Selection, input: DataType, least: bool, grows: bool) -> Result<Extreme, String> {
        // NULLs inside of arrays and structs are greater than anything else.
        let options = SortOptions { descending: false, nulls_first: false };
        let values = match is_number(&input) {
            true => Values::Numbers(Vec::new()),
            false => {
                let converter = RowConverter::new(vec![SortField::new_with_options(input.clone(), options)])
                    .map_err(|e| format!("min and max of {input} are not supported: {e}"))?;
                Values::Rows(converter, Vec::new())
            }
        };
        Ok(Extreme { rows, input, values, least, grows })
    }
}

impl Accumulator for Extreme {
    fn holds_rows(&self) -> bool {
        !self.grows
    }
    fn grow(&mut self, groups: usize) {
        match &mut self.values {
            Values::Numbers(bags) => bags.resize(groups, Bag::Empty),
            Values::Rows(_, bags) => bags.resize(groups, Bag::Empty),
        }
    }
    #[allow(clippy::unnecessary_cast, reason = "for one of the types")]
    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]) {
        let column = batch.column(self.rows.argument.expect("min and max have an argument"));
        let (least, grows) = (self.least, self.grows);
        assert!(!grows || diffs.iter().all(|d| *d >= 0), "values are taken back where they only come");
        match &mut self.values {
            Values::Numbers(bags) => with_integers!(column.data_type(), column, typed => {
                let values = typed.values();
                self.rows.each(groups, batch, diffs, |i, g, d| match grows {
                    true if d > 0 => bags[g].replace(values[i] as i64, least),
                    true => {}
                    false => bags[g].add(values[i] as i64, d),
                })
            }),
            Values::Rows(converter, bags) => {
                let values =
                    converter.convert_columns(std::slice::from_ref(column)).expect("the type was checked");
                // Neighbours that are the same (lines of one document) cost one access.
                let (mut run, mut sum) = (None::<(usize, usize)>, 0);
                let mut put = |(g, i): (usize, usize), d: Diff| {
                    let value = Row::from_slice(values.row(i).data());
                    match grows {
                        true if d > 0 => bags[g].replace(value, least),
                        true => {}
                        false => bags[g].add(value, d),
                    }
                };
                self.rows.each(groups, batch, diffs, |i, g, d| {
                    if run.is_some_and(|(group, at)| group == g && values.row(at) == values.row(i)) {
                        sum += d;
                    } else {
                        if let Some(run) = run {
                            put(run, sum);
                        }
                        (run, sum) = (Some((g, i)), d);
                    }
                });
                if let Some(run) = run {
                    put(run, sum);
                }
            }
        }
    }
    fn emit(&self, groups: &[u32], _errors: &mut Vec<(usize, Arc<str>)>) -> ArrayRef {
        match &self.values {
            Values::Numbers(bags) => {
                let values = groups.iter().map(|g| bags[*g as usize].first(self.least).copied());
                let wide: ArrayRef = Arc::new(values.collect::<Int64Array>());
                let narrow = match self.input {
                    DataType::Date32 => cast(&wide, &DataType::Int32).expect("days that were 32 bits wide"),
                    _ => wide,
                };
                cast(&narrow, &self.input).expect("numbers that came from this type")
            }
            Values::Rows(converter, bags) => {
                let nothing = converter.convert_columns(&[new_null_array(&self.input, 1)]);
                let nothing = nothing.expect("the type was checked");
                let (null, parser) = (nothing.row(0), converter.parser());
                let rows = groups.iter().map(|g| match bags[*g as usize].first(self.least) {
                    Some(value) => parser.parse(value.as_slice()),
                    None => parser.parse(null.data()),
                });
                let mut columns = converter.convert_rows(rows).expect("rows that this converter wrote");
                columns.pop().expect("one column in, one column out")
            }
        }
    }
    fn clear(&mut self, group: u32) {
        match &mut self.values {
            Values::Numbers(bags) => bags[group as usize] = Bag::Empty,
            Values::Rows(_, bags) => bags[group as usize] = Bag::Empty,
        }
    }
}
