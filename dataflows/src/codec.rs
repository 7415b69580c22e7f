//! `Codec`: Arrow columns to compact row bytes and back, where state needs bytes.
//!
//! A row is its cells one after the other. NULL is a byte 0. Else:
//!
//! | types | bytes |
//! |---|---|
//! | boolean | 1 or 2 |
//! | integers, dates, times | 1 + n, then the n lowest bytes of the zigzag number |
//! | decimals | the same, up to 16 bytes |
//! | floats | 1, then the bits; -0.0 is 0.0 and there is one NaN |
//! | text, bytes | 1 + length up to 250, or 252 and four bytes of length; then the bytes |
//! | intervals | 1, then months, days, nanoseconds |
//! | lists, structs, others | as bytes: `arrow::row`'s form |
//!
//! Equal rows, as GROUP BY sees them, have equal bytes, and only they. The order of bytes means nothing.
mod cells;
mod decode;
mod encode;

use crate::value::Value;
use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use std::sync::Arc;

/// Encoded rows, back to back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rows {
    /// All rows' bytes.
    pub bytes: Vec<u8>,
    /// Where each row begins, and where the last ends: one more than there are rows.
    pub offsets: Vec<usize>,
}

impl Default for Rows {
    fn default() -> Rows {
        Rows { bytes: Vec::new(), offsets: vec![0] }
    }
}

impl Rows {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The bytes of a row.
    pub fn row(&self, i: usize) -> &[u8] {
        &self.bytes[self.offsets[i]..self.offsets[i + 1]]
    }
    /// Adds a row at the end.
    pub fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.offsets.push(self.bytes.len());
    }
    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.offsets.windows(2).map(|w| &self.bytes[w[0]..w[1]])
    }
}

/// How a column's cells are encoded.
#[derive(Clone, Debug)]
enum Kind {
    Null,
    Boolean,
    Integer,
    Decimal,
    Float,
    Text,
    Bytes,
    Interval,
    Nested(Arc<RowConverter>),
}

impl Kind {
    fn of(data_type: &DataType) -> Result<Kind, String> {
        use DataType::*;
        Ok(match data_type {
            Null => Kind::Null,
            Boolean => Kind::Boolean,
            Int8
            | Int16
            | Int32
            | Int64
            | UInt8
            | UInt16
            | UInt32
            | UInt64
            | Date32
            | Date64
            | Time32(_)
            | Time64(_)
            | Timestamp(_, _)
            | Duration(_) => Kind::Integer,
            Decimal128(_, _) => Kind::Decimal,
            Float32 | Float64 => Kind::Float,
            Utf8 | LargeUtf8 | Utf8View => Kind::Text,
            Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => Kind::Bytes,
            Interval(arrow::datatypes::IntervalUnit::MonthDayNano) => Kind::Interval,
            other => {
                let converter = RowConverter::new(vec![SortField::new(other.clone())])
                    .map_err(|e| format!("rows cannot hold the type {other}: {e}"))?;
                Kind::Nested(Arc::new(converter))
            }
        })
    }
}

/// How the rows of one schema are encoded.
#[derive(Clone, Debug)]
pub struct Codec {
    kinds: Vec<Kind>,
    types: Vec<DataType>,
}

impl Codec {
    /// For all columns of a schema; an error names the column whose type cannot be kept.
    pub fn new(schema: &SchemaRef) -> Result<Codec, String> {
        Codec::for_columns(schema, &(0..schema.fields().len()).collect::<Vec<_>>())
    }

    /// For some columns of a schema, in the order given.
    pub fn for_columns(schema: &Schema, columns: &[usize]) -> Result<Codec, String> {
        let types: Vec<DataType> = columns.iter().map(|i| schema.field(*i).data_type().clone()).collect();
        let kinds = columns
            .iter()
            .zip(&types)
            .map(|(i, t)| Kind::of(t).map_err(|e| format!("column \"{}\": {e}", schema.field(*i).name())));
        Ok(Codec { kinds: kinds.collect::<Result<_, _>>()?, types })
    }

    /// Encodes `rows` rows of the given columns, whose types are the codec's.
    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> Rows {
        encode::encode(&self.kinds, columns, rows)
    }

    /// A number for each row, the same for equal rows and seldom for others: of texts it knows length, begin and end only.
    pub(crate) fn fingerprints(&self, columns: &[ArrayRef], rows: usize) -> Vec<u64> {
        encode::fingerprints(&self.kinds, columns, rows)
    }

    /// Decodes rows to columns of the codec's types.
    pub fn decode(&self, rows: &[&[u8]]) -> Vec<ArrayRef> {
        decode::decode(&self.kinds, &self.types, rows)
    }

    /// The cells of one row.
    pub fn values<'a>(&'a self, row: &'a [u8]) -> impl Iterator<Item = Value<'a>> {
        cells::Cells::new(&self.kinds, &self.types, row)
    }

    /// One cell of a row.
    pub fn value<'a>(&'a self, row: &'a [u8], column: usize) -> Value<'a> {
        self.values(row).nth(column).unwrap_or(Value::Null)
    }

    /// The bytes of each cell of a row: cells put one after the other are a row of their columns.
    pub(crate) fn cut<'a>(&self, row: &'a [u8], cells: &mut Vec<&'a [u8]>) {
        cells::cut(&self.kinds, &self.types, row, cells);
    }

    /// Whether the bytes of a cell of a column are those of NULL.
    pub(crate) fn is_null(&self, column: usize, cell: &[u8]) -> bool {
        cells::is_null(&self.kinds[column], cell)
    }

    /// Whether cells of a column can be compared as bytes with cells of `other`'s.
    pub(crate) fn comparable(&self, column: usize, other: &Codec, other_column: usize) -> bool {
        self.types[column] == other.types[other_column] && cells::comparable(&self.kinds[column])
    }

    /// How two cells of one type compare in SQL; none if one is NULL. They must be `comparable`.
    #[inline]
    pub(crate) fn compare(
        &self,
        (row, column): (&[u8], usize),
        other: &Codec,
        (other_row, other_column): (&[u8], usize),
    ) -> Option<std::cmp::Ordering> {
        let a = cells::raw(&self.kinds, &self.types, row, column)?;
        let b = cells::raw(&other.kinds, &other.types, other_row, other_column)?;
        Some(a.cmp(&b))
    }

    /// The types of the columns.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }
}

/// Zigzag: numbers near zero, of either sign, have few bytes.
fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}
fn unzigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}
fn zigzag_wide(v: i128) -> u128 {
    ((v << 1) ^ (v >> 127)) as u128
}
fn unzigzag_wide(v: u128) -> i128 {
    (v >> 1) as i128 ^ -((v & 1) as i128)
}

/// Lengths up to here stand in the first byte.
const LENGTH_SHORT_MAX: usize = 250;
/// The first byte of a longer text.
const LENGTH_LONG: u8 = 252;

/// Runs `$body` with `$array` downcast to the primitive array behind any integer-like type; `$v` names the conversion to i64.
macro_rules! with_integers {
    ($data_type:expr, $array:expr, $typed:ident => $body:expr) => {{
        use arrow::array::AsArray;
        use arrow::datatypes::{DataType::*, TimeUnit::*, *};
        match $data_type {
            Int8 => {
                let $typed = $array.as_primitive::<Int8Type>();
                $body
            }
            Int16 => {
                let $typed = $array.as_primitive::<Int16Type>();
                $body
            }
            Int32 => {
                let $typed = $array.as_primitive::<Int32Type>();
                $body
            }
            Int64 => {
                let $typed = $array.as_primitive::<Int64Type>();
                $body
            }
            UInt8 => {
                let $typed = $array.as_primitive::<UInt8Type>();
                $body
            }
            UInt16 => {
                let $typed = $array.as_primitive::<UInt16Type>();
                $body
            }
            UInt32 => {
                let $typed = $array.as_primitive::<UInt32Type>();
                $body
            }
            UInt64 => {
                let $typed = $array.as_primitive::<UInt64Type>();
                $body
            }
            Date32 => {
                let $typed = $array.as_primitive::<Date32Type>();
                $body
            }
            Date64 => {
                let $typed = $array.as_primitive::<Date64Type>();
                $body
            }
            Time32(Second) => {
                let $typed = $array.as_primitive::<Time32SecondType>();
                $body
            }
            Time32(_) => {
                let $typed = $array.as_primitive::<Time32MillisecondType>();
                $body
            }
            Time64(Microsecond) => {
                let $typed = $array.as_primitive::<Time64MicrosecondType>();
                $body
            }
            Time64(_) => {
                let $typed = $array.as_primitive::<Time64NanosecondType>();
                $body
            }
            Timestamp(Second, _) => {
                let $typed = $array.as_primitive::<TimestampSecondType>();
                $body
            }
            Timestamp(Millisecond, _) => {
                let $typed = $array.as_primitive::<TimestampMillisecondType>();
                $body
            }
            Timestamp(Microsecond, _) => {
                let $typed = $array.as_primitive::<TimestampMicrosecondType>();
                $body
            }
            Timestamp(Nanosecond, _) => {
                let $typed = $array.as_primitive::<TimestampNanosecondType>();
                $body
            }
            Duration(Second) => {
                let $typed = $array.as_primitive::<DurationSecondType>();
                $body
            }
            Duration(Millisecond) => {
                let $typed = $array.as_primitive::<DurationMillisecondType>();
                $body
            }
            Duration(Microsecond) => {
                let $typed = $array.as_primitive::<DurationMicrosecondType>();
                $body
            }
            Duration(Nanosecond) => {
                let $typed = $array.as_primitive::<DurationNanosecondType>();
                $body
            }
            other => unreachable!("{other} is not an integer: bound by Kind::of"),
        }
    }};
}
pub(crate) use with_integers;

#[cfg(test)]
mod tests;
