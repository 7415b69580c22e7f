//! The cells of one row as values, for those who print or compare.
use super::decode::{bytes, fixed, interval, narrow, wide};
use super::{Kind, unzigzag, unzigzag_wide};
use crate::value::cell::Nested;
use crate::value::{Value, shortest};
use arrow::datatypes::{DataType, TimeUnit};

/// Walks the cells of a row.
pub(super) struct Cells<'a> {
    kinds: std::slice::Iter<'a, Kind>,
    types: std::slice::Iter<'a, DataType>,
    row: &'a [u8],
    at: usize,
}

impl<'a> Cells<'a> {
    pub(super) fn new(kinds: &'a [Kind], types: &'a [DataType], row: &'a [u8]) -> Cells<'a> {
        Cells { kinds: kinds.iter(), types: types.iter(), row, at: 0 }
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (kind, data_type) = (self.kinds.next()?, self.types.next()?);
        let (row, at) = (self.row, &mut self.at);
        let value = match kind {
            Kind::Null => {
                *at += 1;
                None
            }
            Kind::Boolean => {
                *at += 1;
                (row[*at - 1] != 0).then(|| Value::Bool(row[*at - 1] == 2))
            }
            Kind::Integer => narrow(row, at).map(|v| integer(unzigzag(v), data_type)),
            Kind::Decimal => wide(row, at).map(|v| match data_type {
                DataType::Decimal128(_, scale) => Value::Decimal(unzigzag_wide(v), *scale),
                _ => Value::Int(unzigzag_wide(v)),
            }),
            Kind::Float => match data_type {
                // The shortest text of the single-precision number, not of its double.
                DataType::Float32 => {
                    fixed::<4>(row, at).map(|b| Value::Float(shortest(f32::from_le_bytes(b))))
                }
                _ => fixed::<8>(row, at).map(|b| Value::Float(f64::from_le_bytes(b))),
            },
            Kind::Text => {
                bytes(row, at).map(|b| Value::Text(std::str::from_utf8(b).expect("written from text")))
            }
            Kind::Bytes => bytes(row, at).map(Value::Bytes),
            Kind::Interval => fixed::<16>(row, at).map(|b| {
                let v = interval(b);
                Value::Interval(v.months, v.days, v.nanoseconds)
            }),
            Kind::Nested(converter) => {
                let bytes = bytes(row, at);
                bytes.map(|bytes| Nested { converter, bytes }).filter(|v| !v.is_null()).map(Value::Nested)
            }
        };
        Some(value.unwrap_or(Value::Null))
    }
}

/// A cell as far as it must be understood to be compared.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Raw<'a> {
    Number(i128),
    Bytes(&'a [u8]),
}

/// One cell for comparison; none for NULL. Only for kinds that `comparable` allows.
#[inline]
pub(super) fn raw<'a>(kinds: &[Kind], types: &[DataType], row: &'a [u8], column: usize) -> Option<Raw<'a>> {
    let mut at = 0;
    for (i, kind) in kinds.iter().enumerate() {
        let cell = match kind {
            Kind::Null => {
                at += 1;
                None
            }
            Kind::Boolean => {
                at += 1;
                (row[at - 1] != 0).then(|| Raw::Number(i128::from(row[at - 1])))
            }
            Kind::Integer => narrow(row, &mut at).map(|v| match types[i] {
                DataType::UInt64 => Raw::Number(i128::from(unzigzag(v) as u64)),
                _ => Raw::Number(i128::from(unzigzag(v))),
            }),
            Kind::Decimal => wide(row, &mut at).map(|v| Raw::Number(unzigzag_wide(v))),
            Kind::Float if types[i] == DataType::Float32 => {
                fixed::<4>(row, &mut at);
                None
            }
            Kind::Float => {
                fixed::<8>(row, &mut at);
                None
            }
            Kind::Interval => {
                fixed::<16>(row, &mut at);
                None
            }
            Kind::Text | Kind::Bytes | Kind::Nested(_) => bytes(row, &mut at).map(Raw::Bytes),
        };
        if i == column {
            return cell;
        }
    }
    None
}

/// The bytes of each cell of a row, in order.
pub(super) fn cut<'a>(kinds: &[Kind], types: &[DataType], row: &'a [u8], cells: &mut Vec<&'a [u8]>) {
    let mut at = 0;
    for (kind, data_type) in kinds.iter().zip(types) {
        let from = at;
        match kind {
            Kind::Null | Kind::Boolean => at += 1,
            Kind::Integer => _ = narrow(row, &mut at),
            Kind::Decimal => _ = wide(row, &mut at),
            Kind::Float if *data_type == DataType::Float32 => _ = fixed::<4>(row, &mut at),
            Kind::Float => _ = fixed::<8>(row, &mut at),
            Kind::Interval => _ = fixed::<16>(row, &mut at),
            Kind::Text | Kind::Bytes | Kind::Nested(_) => _ = bytes(row, &mut at),
        }
        cells.push(&row[from..at]);
    }
}

/// Whether the bytes of one cell are those of NULL.
pub(super) fn is_null(kind: &Kind, cell: &[u8]) -> bool {
    match kind {
        // NULL is the first of all in the form of `arrow::row`.
        Kind::Nested(_) => bytes(cell, &mut 0).is_none_or(|inner| inner.first() == Some(&0)),
        _ => cell[0] == 0,
    }
}

/// Whether two cells of a kind compare as their raw forms do.
pub(super) fn comparable(kind: &Kind) -> bool {
    match kind {
        Kind::Boolean | Kind::Integer | Kind::Decimal | Kind::Text | Kind::Bytes => true,
        Kind::Null | Kind::Float | Kind::Interval | Kind::Nested(_) => false,
    }
}

fn nanoseconds(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

fn integer(v: i64, data_type: &DataType) -> Value<'static> {
    match data_type {
        DataType::UInt64 => Value::Int(i128::from(v as u64)),
        DataType::Date32 => Value::Date(v as i32),
        DataType::Date64 => Value::Date(v.div_euclid(86_400_000) as i32),
        DataType::Time32(unit) | DataType::Time64(unit) => Value::TimeOfDay(v * nanoseconds(unit)),
        DataType::Timestamp(unit, zone) => {
            Value::Timestamp(i128::from(v) * i128::from(nanoseconds(unit)), zone.is_some())
        }
        DataType::Duration(unit) => Value::Interval(0, 0, v.saturating_mul(nanoseconds(unit))),
        _ => Value::Int(i128::from(v)),
    }
}
