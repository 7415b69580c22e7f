//! Row bytes to columns: one loop per column, a cursor per row.
use super::{Kind, LENGTH_LONG, unzigzag, unzigzag_wide};
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::*;
use std::sync::Arc;

pub(super) fn decode(kinds: &[Kind], types: &[DataType], rows: &[&[u8]]) -> Vec<ArrayRef> {
    let mut cursors = vec![0usize; rows.len()];
    kinds.iter().zip(types).map(|(kind, data_type)| column(kind, data_type, rows, &mut cursors)).collect()
}

fn column(kind: &Kind, data_type: &DataType, rows: &[&[u8]], cursors: &mut [usize]) -> ArrayRef {
    match (kind, data_type) {
        (Kind::Null, _) => {
            cursors.iter_mut().for_each(|at| *at += 1);
            Arc::new(NullArray::new(rows.len()))
        }
        (Kind::Boolean, _) => {
            let cells = rows.iter().zip(cursors).map(|(row, at)| {
                *at += 1;
                match row[*at - 1] {
                    0 => None,
                    tag => Some(tag == 2),
                }
            });
            Arc::new(cells.collect::<BooleanArray>())
        }
        (Kind::Integer, _) => integers(data_type, rows, cursors),
        (Kind::Decimal, _) => {
            let cells = rows.iter().zip(cursors).map(|(row, at)| wide(row, at).map(unzigzag_wide));
            Arc::new(cells.collect::<Decimal128Array>().with_data_type(data_type.clone()))
        }
        (Kind::Float, DataType::Float32) => {
            let cells = rows.iter().zip(cursors).map(|(row, at)| fixed::<4>(row, at).map(f32::from_le_bytes));
            Arc::new(cells.collect::<Float32Array>())
        }
        (Kind::Float, _) => {
            let cells = rows.iter().zip(cursors).map(|(row, at)| fixed::<8>(row, at).map(f64::from_le_bytes));
            Arc::new(cells.collect::<Float64Array>())
        }
        (Kind::Text, _) => texts(data_type, rows, cursors),
        (Kind::Bytes, _) => binaries(data_type, rows, cursors),
        (Kind::Interval, _) => {
            let cells = rows.iter().zip(cursors).map(|(row, at)| fixed::<16>(row, at).map(interval));
            Arc::new(cells.collect::<IntervalMonthDayNanoArray>())
        }
        (Kind::Nested(converter), _) => {
            let parser = converter.parser();
            let parsed = rows.iter().zip(cursors).map(|(row, at)| {
                parser.parse(bytes(row, at).expect("nested cells are never NULL outside their own bytes"))
            });
            let mut columns = converter.convert_rows(parsed).expect("bytes that this converter wrote");
            let column = columns.pop().expect("one column in, one column out");
            // Rows keep what a dictionary says, not its keys.
            match column.data_type() == data_type {
                true => column,
                false => arrow::compute::cast(&column, data_type).expect("the values of this dictionary"),
            }
        }
    }
}

#[inline(always)]
pub(super) fn narrow(row: &[u8], at: &mut usize) -> Option<u64> {
    let tag = row[*at];
    *at += 1;
    let n = (tag as usize).checked_sub(1)?;
    let mut le = [0; 8];
    le[..n].copy_from_slice(&row[*at..*at + n]);
    *at += n;
    Some(u64::from_le_bytes(le))
}

#[inline(always)]
pub(super) fn wide(row: &[u8], at: &mut usize) -> Option<u128> {
    let tag = row[*at];
    *at += 1;
    let n = (tag as usize).checked_sub(1)?;
    let mut le = [0; 16];
    le[..n].copy_from_slice(&row[*at..*at + n]);
    *at += n;
    Some(u128::from_le_bytes(le))
}

#[inline(always)]
pub(super) fn fixed<const N: usize>(row: &[u8], at: &mut usize) -> Option<[u8; N]> {
    *at += 1;
    if row[*at - 1] == 0 {
        return None;
    }
    let mut out = [0; N];
    out.copy_from_slice(&row[*at..*at + N]);
    *at += N;
    Some(out)
}

#[inline(always)]
pub(super) fn bytes<'a>(row: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let tag = row[*at];
    *at += 1;
    let length = match tag {
        0 => return None,
        LENGTH_LONG => fixed_length(row, at),
        short => short as usize - 1,
    };
    *at += length;
    Some(&row[*at - length..*at])
}

fn fixed_length(row: &[u8], at: &mut usize) -> usize {
    let mut le = [0; 4];
    le.copy_from_slice(&row[*at..*at + 4]);
    *at += 4;
    u32::from_le_bytes(le) as usize
}

pub(super) fn interval(bytes: [u8; 16]) -> IntervalMonthDayNano {
    let wide = u128::from_le_bytes(bytes);
    IntervalMonthDayNano::new(wide as i32, (wide >> 32) as i32, (wide >> 64) as i64)
}

fn integers(data_type: &DataType, rows: &[&[u8]], cursors: &mut [usize]) -> ArrayRef {
    macro_rules! primitive {
        ($t:ty) => {{
            let mut values = Vec::with_capacity(rows.len());
            let mut valid = NullBufferBuilder::new(rows.len());
            for (row, at) in rows.iter().zip(cursors) {
                let cell = narrow(row, at);
                valid.append(cell.is_some());
                values.push(unzigzag(cell.unwrap_or(0)) as <$t as ArrowPrimitiveType>::Native);
            }
            let array = PrimitiveArray::<$t>::new(values.into(), valid.finish());
            Arc::new(array.with_data_type(data_type.clone())) as ArrayRef
        }};
    }
    use DataType::*;
    use TimeUnit::*;
    match data_type {
        Int8 => primitive!(Int8Type),
        Int16 => primitive!(Int16Type),
        Int32 => primitive!(Int32Type),
        Int64 => primitive!(Int64Type),
        UInt8 => primitive!(UInt8Type),
        UInt16 => primitive!(UInt16Type),
        UInt32 => primitive!(UInt32Type),
        UInt64 => primitive!(UInt64Type),
        Date32 => primitive!(Date32Type),
        Date64 => primitive!(Date64Type),
        Time32(Second) => primitive!(Time32SecondType),
        Time32(_) => primitive!(Time32MillisecondType),
        Time64(Microsecond) => primitive!(Time64MicrosecondType),
        Time64(_) => primitive!(Time64NanosecondType),
        Timestamp(Second, _) => primitive!(TimestampSecondType),
        Timestamp(Millisecond, _) => primitive!(TimestampMillisecondType),
        Timestamp(Microsecond, _) => primitive!(TimestampMicrosecondType),
        Timestamp(Nanosecond, _) => primitive!(TimestampNanosecondType),
        Duration(Second) => primitive!(DurationSecondType),
        Duration(Millisecond) => primitive!(DurationMillisecondType),
        Duration(Microsecond) => primitive!(DurationMicrosecondType),
        Duration(Nanosecond) => primitive!(DurationNanosecondType),
        other => unreachable!("{other} is not an integer: bound by Kind::of"),
    }
}

fn texts(data_type: &DataType, rows: &[&[u8]], cursors: &mut [usize]) -> ArrayRef {
    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("text cells are written from text")
    }
    match data_type {
        DataType::Utf8 => {
            // Built by hand, so that the text is checked once for the whole column and not cell by cell.
            let (mut values, mut offsets) =
                (Vec::with_capacity(rows.len() * 8), Vec::with_capacity(rows.len() + 1));
            let mut valid = NullBufferBuilder::new(rows.len());
            offsets.push(0i32);
            for (row, at) in rows.iter().zip(cursors) {
                let cell = bytes(row, at);
                valid.append(cell.is_some());
                values.extend_from_slice(cell.unwrap_or_default());
                offsets.push(i32::try_from(values.len()).expect("a batch holds less than 2 GiB of text"));
            }
            let array =
                StringArray::try_new(OffsetBuffer::new(offsets.into()), values.into(), valid.finish());
            Arc::new(array.expect("text cells are written from text"))
        }
        DataType::LargeUtf8 => {
            let cells = rows.iter().zip(cursors).map(|(row, at)| bytes(row, at).map(text));
            Arc::new(cells.collect::<LargeStringArray>())
        }
        _ => {
            let cells = rows.iter().zip(cursors).map(|(row, at)| bytes(row, at).map(text));
            Arc::new(cells.collect::<StringViewArray>())
        }
    }
}

fn binaries(data_type: &DataType, rows: &[&[u8]], cursors: &mut [usize]) -> ArrayRef {
    let cells: Vec<Option<&[u8]>> = rows.iter().zip(cursors).map(|(row, at)| bytes(row, at)).collect();
    match data_type {
        DataType::Binary => Arc::new(BinaryArray::from(cells)),
        DataType::LargeBinary => Arc::new(LargeBinaryArray::from(cells)),
        DataType::FixedSizeBinary(n) => {
            let width = *n as usize;
            let mut values = vec![0; width * cells.len()];
            for (slot, cell) in values.chunks_exact_mut(width.max(1)).zip(&cells) {
                if let Some(cell) = cell {
                    slot.copy_from_slice(cell);
                }
            }
            let valid = NullBuffer::from_iter(cells.iter().map(Option::is_some));
            Arc::new(FixedSizeBinaryArray::new(*n, values.into(), Some(valid)))
        }
        _ => Arc::new(cells.into_iter().collect::<BinaryViewArray>()),
    }
}
