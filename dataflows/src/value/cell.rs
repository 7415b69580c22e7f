//! The cells of Arrow columns as text: what `Value` cannot borrow, lists and structs among them.
use super::{Value, write_json_string};
use arrow::array::*;
use arrow::datatypes::*;
use arrow::row::RowConverter;
use std::cmp::Ordering;
use std::fmt::Write;

/// A list, a struct, a map or another value made of values, as its row keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Nested<'a> {
    pub(crate) converter: &'a RowConverter,
    pub(crate) bytes: &'a [u8],
}

impl PartialEq for Nested<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Nested<'_> {
    /// The value as a column of one row.
    pub fn array(&self) -> ArrayRef {
        let parser = self.converter.parser();
        let mut columns = self
            .converter
            .convert_rows([parser.parse(self.bytes)])
            .expect("the bytes were written by this converter");
        columns.pop().expect("one column in, one column out")
    }

    /// Whether it is NULL, which is the first byte of its form.
    pub(crate) fn is_null(&self) -> bool {
        self.array().is_null(0)
    }

    /// The order of two values of one column, element by element.
    pub fn compare(&self, other: &Nested<'_>) -> Ordering {
        self.bytes.cmp(other.bytes)
    }
}

/// The cell of a column as a value; none where it is made of values.
pub fn value(column: &dyn Array, i: usize) -> Option<Value<'_>> {
    use DataType::*;
    if column.is_null(i) {
        return Some(Value::Null);
    }
    let nanoseconds = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 1_000_000_000i64,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    macro_rules! number {
        ($t:ty) => {
            column.as_primitive::<$t>().value(i)
        };
    }
    let ticks = |unit: &TimeUnit| match (column.data_type(), unit) {
        (Timestamp(..), TimeUnit::Second) => number!(TimestampSecondType),
        (Timestamp(..), TimeUnit::Millisecond) => number!(TimestampMillisecondType),
        (Timestamp(..), TimeUnit::Microsecond) => number!(TimestampMicrosecondType),
        (Timestamp(..), TimeUnit::Nanosecond) => number!(TimestampNanosecondType),
        (Duration(_), TimeUnit::Second) => number!(DurationSecondType),
        (Duration(_), TimeUnit::Millisecond) => number!(DurationMillisecondType),
        (Duration(_), TimeUnit::Microsecond) => number!(DurationMicrosecondType),
        (Duration(_), TimeUnit::Nanosecond) => number!(DurationNanosecondType),
        (_, TimeUnit::Second) => i64::from(number!(Time32SecondType)),
        (_, TimeUnit::Millisecond) => i64::from(number!(Time32MillisecondType)),
        (_, TimeUnit::Microsecond) => number!(Time64MicrosecondType),
        (_, TimeUnit::Nanosecond) => number!(Time64NanosecondType),
    };
    Some(match column.data_type() {
        Null => Value::Null,
        Boolean => Value::Bool(column.as_boolean().value(i)),
        Int8 => Value::Int(number!(Int8Type).into()),
        Int16 => Value::Int(number!(Int16Type).into()),
        Int32 => Value::Int(number!(Int32Type).into()),
        Int64 => Value::Int(number!(Int64Type).into()),
        UInt8 => Value::Int(number!(UInt8Type).into()),
        UInt16 => Value::Int(number!(UInt16Type).into()),
        UInt32 => Value::Int(number!(UInt32Type).into()),
        UInt64 => Value::Int(number!(UInt64Type).into()),
        Decimal32(_, s) => Value::Decimal(number!(Decimal32Type).into(), *s),
        Decimal64(_, s) => Value::Decimal(number!(Decimal64Type).into(), *s),
        Decimal128(_, s) => Value::Decimal(number!(Decimal128Type), *s),
        Decimal256(_, s) => Value::Wide(number!(Decimal256Type), *s),
        Float16 => Value::Float(super::shortest(number!(Float16Type).to_f32())),
        Float32 => Value::Float(super::shortest(number!(Float32Type))),
        Float64 => Value::Float(number!(Float64Type)),
        Utf8 => Value::Text(column.as_string::<i32>().value(i)),
        LargeUtf8 => Value::Text(column.as_string::<i64>().value(i)),
        Utf8View => Value::Text(column.as_string_view().value(i)),
        Binary => Value::Bytes(column.as_binary::<i32>().value(i)),
        LargeBinary => Value::Bytes(column.as_binary::<i64>().value(i)),
        BinaryView => Value::Bytes(column.as_binary_view().value(i)),
        FixedSizeBinary(_) => Value::Bytes(column.as_fixed_size_binary().value(i)),
        Date32 => Value::Date(number!(Date32Type)),
        Date64 => Value::Date(number!(Date64Type).div_euclid(86_400_000) as i32),
        Time32(unit) | Time64(unit) => Value::TimeOfDay(ticks(unit) * nanoseconds(unit)),
        Timestamp(unit, zone) => {
            Value::Timestamp(i128::from(ticks(unit)) * i128::from(nanoseconds(unit)), zone.is_some())
        }
        Duration(unit) => Value::Interval(0, 0, ticks(unit).saturating_mul(nanoseconds(unit))),
        Interval(IntervalUnit::YearMonth) => Value::Interval(number!(IntervalYearMonthType), 0, 0),
        Interval(IntervalUnit::DayTime) => {
            let v = number!(IntervalDayTimeType);
            Value::Interval(0, v.days, i64::from(v.milliseconds) * 1_000_000)
        }
        Interval(IntervalUnit::MonthDayNano) => {
            let v = number!(IntervalMonthDayNanoType);
            Value::Interval(v.months, v.days, v.nanoseconds)
        }
        _ => return None,
    })
}

/// Writes a cell as PostgreSQL prints it (`{1,2}`, `(1,a)`); nothing for NULL.
pub fn write_text(column: &dyn Array, i: usize, out: &mut String) {
    // A single precision has its exponent from fewer digits on.
    if let Some(reals) = column.as_primitive_opt::<Float32Type>()
        && reals.is_valid(i)
        && reals.value(i).is_finite()
        && reals.value(i).abs() >= 1e6
    {
        let text = format!("{:e}", reals.value(i));
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        _ = write!(out, "{mantissa}e+{exponent:0>2}");
        return;
    }
    if let Some(value) = value(column, i) {
        return value.write_text(out);
    }
    match parts(column, i) {
        Parts::List(values) => {
            out.push('{');
            for j in 0..values.len() {
                if j > 0 {
                    out.push(',');
                }
                write_element(values.as_ref(), j, out);
            }
            out.push('}');
        }
        Parts::Struct(fields) => {
            out.push('(');
            for (j, (_, values)) in fields.iter().enumerate() {
                if j > 0 {
                    out.push(',');
                }
                write_member(values.as_ref(), i, out);
            }
            out.push(')');
        }
        Parts::Map(keys, values) => {
            out.push('{');
            for j in 0..keys.len() {
                if j > 0 {
                    out.push(',');
                }
                write_element(keys.as_ref(), j, out);
                out.push(':');
                write_element(values.as_ref(), j, out);
            }
            out.push('}');
        }
        Parts::Other(values, j) => write_text(values.as_ref(), j, out),
        Parts::Unknown => _ = write!(out, "{}", column.data_type()),
    }
}

/// Writes a cell as JSON: lists as arrays, structs and maps as objects.
pub fn write_json(column: &dyn Array, i: usize, out: &mut String) {
    if let Some(value) = value(column, i) {
        return value.write_json(out);
    }
    match parts(column, i) {
        Parts::List(values) => {
            out.push('[');
            for j in 0..values.len() {
                if j > 0 {
                    out.push(',');
                }
                write_json(values.as_ref(), j, out);
            }
            out.push(']');
        }
        Parts::Struct(fields) => {
            out.push('{');
            for (j, (name, values)) in fields.iter().enumerate() {
                if j > 0 {
                    out.push(',');
                }
                write_json_string(name, out);
                out.push(':');
                write_json(values.as_ref(), i, out);
            }
            out.push('}');
        }
        Parts::Map(keys, values) => {
            out.push('{');
            for j in 0..keys.len() {
                if j > 0 {
                    out.push(',');
                }
                let mut key = String::new();
                write_text(keys.as_ref(), j, &mut key);
                write_json_string(&key, out);
                out.push(':');
                write_json(values.as_ref(), j, out);
            }
            out.push('}');
        }
        Parts::Other(values, j) => write_json(values.as_ref(), j, out),
        Parts::Unknown => out.push_str("null"),
    }
}

enum Parts {
    List(ArrayRef),
    Struct(Vec<(String, ArrayRef)>),
    Map(ArrayRef, ArrayRef),
    Other(ArrayRef, usize),
    Unknown,
}

fn parts(column: &dyn Array, i: usize) -> Parts {
    match column.data_type() {
        DataType::List(_) => Parts::List(column.as_list::<i32>().value(i)),
        DataType::LargeList(_) => Parts::List(column.as_list::<i64>().value(i)),
        DataType::ListView(_) => Parts::List(column.as_list_view::<i32>().value(i)),
        DataType::LargeListView(_) => Parts::List(column.as_list_view::<i64>().value(i)),
        DataType::FixedSizeList(..) => Parts::List(column.as_fixed_size_list().value(i)),
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            Parts::Struct(fields.iter().map(|f| f.name().clone()).zip(columns.iter().cloned()).collect())
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(i);
            Parts::Map(entries.column(0).clone(), entries.column(1).clone())
        }
        DataType::Union(..) => {
            let union = column.as_union();
            Parts::Other(union.value(i), 0)
        }
        DataType::Dictionary(..) => {
            let one = column.slice(i, 1);
            let dictionary = one.as_any_dictionary();
            Parts::Other(dictionary.values().clone(), dictionary.normalized_keys()[0])
        }
        _ => Parts::Unknown,
    }
}

/// An element of an array: in quotes where it would be read as something else.
fn write_element(values: &dyn Array, i: usize, out: &mut String) {
    if values.is_null(i) {
        return out.push_str("NULL");
    }
    let mut text = String::new();
    write_text(values, i, &mut text);
    let list = text.starts_with('{') && value(values, i).is_none();
    let special = |c: char| matches!(c, '"' | '\\' | '{' | '}' | ',') || c.is_ascii_whitespace();
    let quoted = text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special);
    if list || !quoted {
        return out.push_str(&text);
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// A field of a row value: NULL is nothing, quotes are doubled.
fn write_member(values: &dyn Array, i: usize, out: &mut String) {
    if values.is_null(i) {
        return;
    }
    let mut text = String::new();
    write_text(values, i, &mut text);
    let special = |c: char| matches!(c, '"' | '\\' | '(' | ')' | ',') || c.is_ascii_whitespace();
    if !text.is_empty() && !text.contains(special) {
        return out.push_str(&text);
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push(c);
        }
        out.push(c);
    }
    out.push('"');
}
