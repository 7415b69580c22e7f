//! `Column`: typed values that grow by one cell at a time, and can be cut back when an event is rejected.
use super::cell::{Cell, decimal, float};
use crate::event::time::{Moment, clock, date, timestamp};
use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray, new_null_array};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use std::sync::Arc;

/// The values of one column, NULLs as zeros.
pub(super) struct Column {
    data_type: DataType,
    values: Values,
    valid: Vec<bool>,
}

enum Values {
    Integer {
        values: Vec<i64>,
        min: i64,
        max: i64,
    },
    Unsigned {
        values: Vec<u64>,
        max: u64,
    },
    Single(Vec<f32>),
    Double(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Boolean(Vec<bool>),
    Text {
        ends: Vec<i32>,
        bytes: Vec<u8>,
    },
    Bytes {
        ends: Vec<i32>,
        bytes: Vec<u8>,
    },
    Date(Vec<i32>),
    Clock {
        values: Vec<i64>,
        per_second: i64,
    },
    Timestamp {
        values: Vec<i64>,
        per_second: i64,
    },
    /// No cell but NULL fits.
    Unsupported,
}

/// Whether events can fill columns of a type.
pub(super) fn is_supported(data_type: &DataType) -> bool {
    !matches!(Column::new(data_type, 0).values, Values::Unsupported)
}

/// What SQL calls a type.
pub(super) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INTEGER".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "REAL".into(),
        DataType::Float64 => "DOUBLE PRECISION".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "TEXT".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA in base64".into(),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Timestamp(_, None) => "TIMESTAMP".into(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".into(),
        other => other.to_string(),
    }
}

fn per_second(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

impl Column {
    pub fn new(data_type: &DataType, rows: usize) -> Column {
        let integer = |min, max| Values::Integer { values: Vec::with_capacity(rows), min, max };
        let unsigned = |max| Values::Unsigned { values: Vec::with_capacity(rows), max };
        let ends = || {
            let mut ends = Vec::with_capacity(rows + 1);
            ends.push(0);
            ends
        };
        let values = match data_type {
            DataType::Int8 => integer(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => integer(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => integer(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => integer(i64::MIN, i64::MAX),
            DataType::UInt8 => unsigned(u8::MAX.into()),
            DataType::UInt16 => unsigned(u16::MAX.into()),
            DataType::UInt32 => unsigned(u32::MAX.into()),
            DataType::UInt64 => unsigned(u64::MAX),
            DataType::Float32 => Values::Single(Vec::with_capacity(rows)),
            DataType::Float64 => Values::Double(Vec::with_capacity(rows)),
            DataType::Decimal128(precision, scale) => {
                Values::Decimal { values: Vec::with_capacity(rows), precision: *precision, scale: *scale }
            }
            DataType::Boolean => Values::Boolean(Vec::with_capacity(rows)),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Values::Text { ends: ends(), bytes: Vec::with_capacity(rows * 16) }
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                Values::Bytes { ends: ends(), bytes: Vec::new() }
            }
            DataType::Date32 => Values::Date(Vec::with_capacity(rows)),
            DataType::Time32(unit) | DataType::Time64(unit) => {
                Values::Clock { values: Vec::with_capacity(rows), per_second: per_second(unit) }
            }
            DataType::Timestamp(unit, _) => {
                Values::Timestamp { values: Vec::with_capacity(rows), per_second: per_second(unit) }
            }
            _ => Values::Unsupported,
        };
        Column { data_type: data_type.clone(), values, valid: Vec::with_capacity(rows) }
    }

    /// Appends a cell; where it does not fit, the column stays as it was and the answer is false.
    #[inline]
    pub fn push(&mut self, cell: &Cell) -> bool {
        let is_valid = !matches!(cell, Cell::Null);
        let fits = if is_valid { self.values.push(cell) } else { self.values.push_null() };
        if fits.is_some() {
            self.valid.push(is_valid);
        }
        fits.is_some()
    }

    pub fn truncate(&mut self, rows: usize) {
        self.valid.truncate(rows);
        match &mut self.values {
            Values::Integer { values, .. }
            | Values::Clock { values, .. }
            | Values::Timestamp { values, .. } => {
                values.truncate(rows);
            }
            Values::Unsigned { values, .. } => values.truncate(rows),
            Values::Single(values) => values.truncate(rows),
            Values::Double(values) => values.truncate(rows),
            Values::Decimal { values, .. } => values.truncate(rows),
            Values::Boolean(values) => values.truncate(rows),
            Values::Date(values) => values.truncate(rows),
            Values::Text { ends, bytes } | Values::Bytes { ends, bytes } => {
                ends.truncate(rows + 1);
                bytes.truncate(ends.last().map_or(0, |end| *end as usize));
            }
            Values::Unsupported => {}
        }
    }

    pub fn finish(self) -> ArrayRef {
        let Column { data_type, values, valid } = self;
        let rows = valid.len();
        let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
        let flat: ArrayRef = match values {
            Values::Integer { values, .. } => return integers(values, nulls, &data_type),
            Values::Unsigned { values, .. } => return unsigned(values, nulls, &data_type),
            Values::Clock { values, .. } | Values::Timestamp { values, .. } => {
                return times(values, nulls, &data_type);
            }
            Values::Single(values) => Arc::new(PrimitiveArray::<Float32Type>::new(values.into(), nulls)),
            Values::Double(values) => Arc::new(PrimitiveArray::<Float64Type>::new(values.into(), nulls)),
            Values::Decimal { values, .. } => Arc::new(
                PrimitiveArray::<Decimal128Type>::new(values.into(), nulls).with_data_type(data_type.clone()),
            ),
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.into(), nulls)),
            Values::Date(values) => Arc::new(PrimitiveArray::<Date32Type>::new(values.into(), nulls)),
            Values::Text { ends, bytes } => {
                Arc::new(StringArray::new(OffsetBuffer::new(ends.into()), Buffer::from_vec(bytes), nulls))
            }
            Values::Bytes { ends, bytes } => {
                Arc::new(BinaryArray::new(OffsetBuffer::new(ends.into()), Buffer::from_vec(bytes), nulls))
            }
            Values::Unsupported => return new_null_array(&data_type, rows),
        };
        if *flat.data_type() == data_type {
            return flat;
        }
        arrow::compute::cast(&flat, &data_type).expect("text and bytes have three layouts of the same values")
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: impl Into<ScalarBuffer<T::Native>>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(data_type.clone()))
}

fn integers(values: Vec<i64>, nulls: Option<NullBuffer>, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Int8 => {
            primitive::<Int8Type>(values.iter().map(|v| *v as i8).collect::<Vec<_>>(), nulls, data_type)
        }
        DataType::Int16 => {
            primitive::<Int16Type>(values.iter().map(|v| *v as i16).collect::<Vec<_>>(), nulls, data_type)
        }
        DataType::Int32 => {
            primitive::<Int32Type>(values.iter().map(|v| *v as i32).collect::<Vec<_>>(), nulls, data_type)
        }
        _ => primitive::<Int64Type>(values, nulls, data_type),
    }
}

fn unsigned(values: Vec<u64>, nulls: Option<NullBuffer>, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::UInt8 => {
            primitive::<UInt8Type>(values.iter().map(|v| *v as u8).collect::<Vec<_>>(), nulls, data_type)
        }
        DataType::UInt16 => {
            primitive::<UInt16Type>(values.iter().map(|v| *v as u16).collect::<Vec<_>>(), nulls, data_type)
        }
        DataType::UInt32 => {
            primitive::<UInt32Type>(values.iter().map(|v| *v as u32).collect::<Vec<_>>(), nulls, data_type)
        }
        _ => primitive::<UInt64Type>(values, nulls, data_type),
    }
}

fn times(values: Vec<i64>, nulls: Option<NullBuffer>, data_type: &DataType) -> ArrayRef {
    let short = |values: Vec<i64>| values.iter().map(|v| *v as i32).collect::<Vec<_>>();
    match data_type {
        DataType::Time32(TimeUnit::Second) => primitive::<Time32SecondType>(short(values), nulls, data_type),
        DataType::Time32(_) => primitive::<Time32MillisecondType>(short(values), nulls, data_type),
        DataType::Time64(TimeUnit::Nanosecond) => primitive::<Time64NanosecondType>(values, nulls, data_type),
        DataType::Time64(_) => primitive::<Time64MicrosecondType>(values, nulls, data_type),
        DataType::Timestamp(TimeUnit::Second, _) => {
            primitive::<TimestampSecondType>(values, nulls, data_type)
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitive::<TimestampMillisecondType>(values, nulls, data_type)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            primitive::<TimestampMicrosecondType>(values, nulls, data_type)
        }
        _ => primitive::<TimestampNanosecondType>(values, nulls, data_type),
    }
}

impl Values {
    fn push_null(&mut self) -> Option<()> {
        match self {
            Values::Integer { values, .. }
            | Values::Clock { values, .. }
            | Values::Timestamp { values, .. } => {
                values.push(0);
            }
            Values::Unsigned { values, .. } => values.push(0),
            Values::Single(values) => values.push(0.0),
            Values::Double(values) => values.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Boolean(values) => values.push(false),
            Values::Date(values) => values.push(0),
            Values::Text { ends, bytes } | Values::Bytes { ends, bytes } => ends.push(bytes.len() as i32),
            Values::Unsupported => {}
        }
        Some(())
    }

    /// Appends a value that is not NULL, or leaves all as it was and returns none.
    #[inline]
    fn push(&mut self, cell: &Cell) -> Option<()> {
        match self {
            Values::Integer { values, min, max } => {
                let value = match cell {
                    Cell::Integer(value) => *value,
                    _ => cell.numeric()?.parse().ok()?,
                };
                (*min..=*max).contains(&value).then(|| values.push(value))
            }
            Values::Unsigned { values, max } => {
                let value = match cell {
                    Cell::Integer(value) => u64::try_from(*value).ok()?,
                    _ => cell.numeric()?.parse().ok()?,
                };
                (value <= *max).then(|| values.push(value))
            }
            Values::Single(values) => {
                let value = match cell {
                    Cell::Integer(value) => *value as f32,
                    _ => float(cell.numeric()?, f32::is_infinite)?,
                };
                values.push(value);
                Some(())
            }
            Values::Double(values) => {
                let value = match cell {
                    Cell::Integer(value) => *value as f64,
                    _ => float(cell.numeric()?, f64::is_infinite)?,
                };
                values.push(value);
                Some(())
            }
            Values::Decimal { values, precision, scale } => {
                let value = match cell {
                    Cell::Integer(value) => decimal(&value.to_string(), *precision, *scale),
                    _ => decimal(cell.numeric()?, *precision, *scale),
                };
                value.map(|value| values.push(value))
            }
            Values::Boolean(values) => match cell {
                Cell::Boolean(value) => Some(*value),
                Cell::Text(text) => text.parse().ok(),
                Cell::Null | Cell::Number(_) | Cell::Integer(_) | Cell::Time(..) | Cell::Json(_) => None,
            }
            .map(|value| values.push(value)),
            Values::Text { ends, bytes } => match cell {
                Cell::Text(text) => append(ends, bytes, text.as_bytes()),
                Cell::Time(text, _) => append(ends, bytes, text.as_bytes()),
                _ => append(ends, bytes, cell.text().as_bytes()),
            },
            Values::Bytes { ends, bytes } => append(ends, bytes, &STANDARD.decode(string(cell)?).ok()?),
            Values::Date(values) => date(string(cell)?).map(|days| values.push(days)),
            Values::Clock { values, per_second } => {
                let (seconds, nanos) = clock(string(cell)?)?;
                let moment = Moment { seconds: seconds.into(), nanos };
                scaled(moment, *per_second).map(|value| values.push(value))
            }
            Values::Timestamp { values, per_second } => {
                let moment = match cell {
                    Cell::Time(_, moment) => *moment,
                    _ => timestamp(string(cell)?)?,
                };
                scaled(moment, *per_second).map(|value| values.push(value))
            }
            Values::Unsupported => None,
        }
    }
}

fn string<'c>(cell: &'c Cell) -> Option<&'c str> {
    match cell {
        Cell::Text(text) => Some(text),
        Cell::Time(text, _) => Some(text),
        Cell::Null | Cell::Number(_) | Cell::Integer(_) | Cell::Boolean(_) | Cell::Json(_) => None,
    }
}

#[inline]
fn append(ends: &mut Vec<i32>, bytes: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    let end = i32::try_from(bytes.len() + value.len()).ok()?;
    bytes.extend_from_slice(value);
    ends.push(end);
    Some(())
}

/// An instant in the unit of a column; what is finer is cut.
fn scaled(moment: Moment, per_second: i64) -> Option<i64> {
    moment
        .seconds
        .checked_mul(per_second)?
        .checked_add(i64::from(moment.nanos) / (1_000_000_000 / per_second))
}
