//! `Cell`: one value of an Arrow column, as PostgreSQL thinks of it. `text` and `binary` write it.
use super::fault::fault;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DecimalType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use dataflows::value::Value;
use datafusion_postgres::pgwire::error::PgWireResult;

/// A value. Instants and days count from 1970, times in microseconds.
pub(super) enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float4(f32),
    Float8(f64),
    /// Decimal digits, with a sign and a point where they have one.
    Numeric(String),
    Text(&'a str),
    Bytes(&'a [u8]),
    Date(i64),
    Time(i64),
    Timestamp(i64),
    Interval {
        months: i32,
        days: i32,
        micros: i64,
    },
    List(ArrayRef),
    /// The fields' columns, and the row.
    Record(&'a [ArrayRef], usize),
}

/// The value at a row.
pub(super) fn cell(array: &dyn Array, row: usize) -> PgWireResult<Cell<'_>> {
    if array.is_null(row) {
        return Ok(Cell::Null);
    }
    Ok(match array.data_type() {
        DataType::Null => Cell::Null,
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int8 => Cell::Int(at::<Int8Type>(array, row).into()),
        DataType::Int16 => Cell::Int(at::<Int16Type>(array, row).into()),
        DataType::Int32 => Cell::Int(at::<Int32Type>(array, row).into()),
        DataType::Int64 => Cell::Int(at::<Int64Type>(array, row)),
        DataType::UInt8 => Cell::Int(at::<UInt8Type>(array, row).into()),
        DataType::UInt16 => Cell::Int(at::<UInt16Type>(array, row).into()),
        DataType::UInt32 => Cell::Int(at::<UInt32Type>(array, row).into()),
        DataType::UInt64 => Cell::Numeric(at::<UInt64Type>(array, row).to_string()),
        DataType::Float16 => Cell::Float4(at::<Float16Type>(array, row).into()),
        DataType::Float32 => Cell::Float4(at::<Float32Type>(array, row)),
        DataType::Float64 => Cell::Float8(at::<Float64Type>(array, row)),
        DataType::Decimal32(p, s) => decimal::<Decimal32Type>(array, row, *p, *s),
        DataType::Decimal64(p, s) => decimal::<Decimal64Type>(array, row, *p, *s),
        DataType::Decimal128(_, scale) => {
            let mut text = String::new();
            Value::Decimal(at::<Decimal128Type>(array, row), *scale).write_text(&mut text);
            Cell::Numeric(text)
        }
        DataType::Decimal256(p, s) => decimal::<Decimal256Type>(array, row, *p, *s),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Cell::Text(array.as_string::<i64>().value(row)),
        DataType::Utf8View => Cell::Text(array.as_string_view().value(row)),
        DataType::Binary => Cell::Bytes(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Cell::Bytes(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Cell::Bytes(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Cell::Bytes(array.as_fixed_size_binary().value(row)),
        DataType::Date32 => Cell::Date(at::<Date32Type>(array, row).into()),
        DataType::Date64 => Cell::Date(at::<Date64Type>(array, row).div_euclid(86_400_000)),
        DataType::Time32(TimeUnit::Second) => {
            Cell::Time(i64::from(at::<Time32SecondType>(array, row)) * 1_000_000)
        }
        DataType::Time32(_) => Cell::Time(i64::from(at::<Time32MillisecondType>(array, row)) * 1_000),
        DataType::Time64(TimeUnit::Microsecond) => Cell::Time(at::<Time64MicrosecondType>(array, row)),
        DataType::Time64(_) => Cell::Time(at::<Time64NanosecondType>(array, row).div_euclid(1_000)),
        DataType::Timestamp(unit, _) => Cell::Timestamp(match unit {
            TimeUnit::Second => micros(at::<TimestampSecondType>(array, row), 1_000_000)?,
            TimeUnit::Millisecond => micros(at::<TimestampMillisecondType>(array, row), 1_000)?,
            TimeUnit::Microsecond => at::<TimestampMicrosecondType>(array, row),
            TimeUnit::Nanosecond => at::<TimestampNanosecondType>(array, row).div_euclid(1_000),
        }),
        DataType::Duration(unit) => Cell::Interval {
            months: 0,
            days: 0,
            micros: match unit {
                TimeUnit::Second => micros(at::<DurationSecondType>(array, row), 1_000_000)?,
                TimeUnit::Millisecond => micros(at::<DurationMillisecondType>(array, row), 1_000)?,
                TimeUnit::Microsecond => at::<DurationMicrosecondType>(array, row),
                TimeUnit::Nanosecond => at::<DurationNanosecondType>(array, row) / 1_000,
            },
        },
        DataType::Interval(unit) => interval(array, row, *unit),
        DataType::List(_) => Cell::List(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Cell::List(array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => Cell::List(array.as_fixed_size_list().value(row)),
        DataType::Struct(_) => Cell::Record(array.as_struct().columns(), row),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            return cell(dictionary.values().as_ref(), dictionary.normalized_keys()[row]);
        }
        other => {
            return Err(fault("0A000", format!("a column of type {other} cannot be sent: cast it to text")));
        }
    })
}

fn at<T: ArrowPrimitiveType>(array: &dyn Array, row: usize) -> T::Native {
    array.as_primitive::<T>().value(row)
}

fn decimal<'a, T: DecimalType>(array: &dyn Array, row: usize, precision: u8, scale: i8) -> Cell<'a> {
    Cell::Numeric(T::format_decimal(at::<T>(array, row), precision, scale))
}

fn micros(count: i64, each: i64) -> PgWireResult<i64> {
    count.checked_mul(each).ok_or_else(|| fault("22008", "timestamp out of range".into()))
}

fn interval<'a>(array: &dyn Array, row: usize, unit: IntervalUnit) -> Cell<'a> {
    match unit {
        IntervalUnit::YearMonth => {
            Cell::Interval { months: at::<IntervalYearMonthType>(array, row), days: 0, micros: 0 }
        }
        IntervalUnit::DayTime => {
            let value = at::<IntervalDayTimeType>(array, row);
            Cell::Interval { months: 0, days: value.days, micros: i64::from(value.milliseconds) * 1_000 }
        }
        IntervalUnit::MonthDayNano => {
            let value = at::<IntervalMonthDayNanoType>(array, row);
            Cell::Interval { months: value.months, days: value.days, micros: value.nanoseconds / 1_000 }
        }
    }
}
