//! Columns to row bytes: one pass for the lengths, one that fills, each a loop per column.
use super::{Kind, LENGTH_LONG, LENGTH_SHORT_MAX, Rows, with_integers, zigzag, zigzag_wide};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, IntervalMonthDayNanoType};

pub(super) fn encode(kinds: &[Kind], columns: &[ArrayRef], rows: usize) -> Rows {
    let nested: Vec<Option<arrow::row::Rows>> =
        kinds.iter().zip(columns).map(|(k, c)| convert(k, c)).collect();
    let mut lengths = vec![0usize; rows + 1];
    for ((kind, column), nested) in kinds.iter().zip(columns).zip(&nested) {
        debug_assert_eq!(column.len(), rows, "columns of one batch have one length");
        visit(kind, column, nested.as_ref(), &mut |i, cell| lengths[i] += cell.length());
    }
    // Lengths become offsets.
    let mut total = 0;
    for length in &mut lengths {
        total += std::mem::replace(length, total);
    }
    let (mut bytes, mut cursors) = (vec![0u8; total], lengths.clone());
    for ((kind, column), nested) in kinds.iter().zip(columns).zip(&nested) {
        visit(kind, column, nested.as_ref(), &mut |i, cell| cursors[i] = cell.write(&mut bytes, cursors[i]));
    }
    Rows { bytes, offsets: lengths }
}

pub(super) fn fingerprints(kinds: &[Kind], columns: &[ArrayRef], rows: usize) -> Vec<u64> {
    let mut marks = vec![0u64; rows];
    for (kind, column) in kinds.iter().zip(columns) {
        let nested = convert(kind, column);
        visit(kind, column, nested.as_ref(), &mut |i, cell| marks[i] = mix(marks[i] ^ cell.mark()));
    }
    marks
}

/// Spreads what a number differs in over all of its bits.
#[inline(always)]
fn mix(v: u64) -> u64 {
    let wide = u128::from(v ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
    (wide >> 64) as u64 ^ wide as u64
}

fn convert(kind: &Kind, column: &ArrayRef) -> Option<arrow::row::Rows> {
    match kind {
        // `convert_columns` wants the converter for itself only because of dictionaries, which it no longer keeps.
        Kind::Nested(converter) => Some(
            converter.convert_columns(std::slice::from_ref(column)).expect("types were checked by Kind::of"),
        ),
        _ => None,
    }
}

/// One cell on its way to bytes.
enum Cell<'a> {
    Null,
    Boolean(bool),
    Integer(u64),
    Decimal(u128),
    Float64(u64),
    Float32(u32),
    Interval([u8; 16]),
    Bytes(&'a [u8]),
}

impl Cell<'_> {
    #[inline(always)]
    fn length(&self) -> usize {
        match self {
            Cell::Null | Cell::Boolean(_) => 1,
            Cell::Integer(v) => 1 + (64 - v.leading_zeros() as usize).div_ceil(8),
            Cell::Decimal(v) => 1 + (128 - v.leading_zeros() as usize).div_ceil(8),
            Cell::Float64(_) => 9,
            Cell::Float32(_) => 5,
            Cell::Interval(_) => 17,
            Cell::Bytes(b) if b.len() <= LENGTH_SHORT_MAX => 1 + b.len(),
            Cell::Bytes(b) => 5 + b.len(),
        }
    }

    /// A number that equal cells share.
    #[inline(always)]
    fn mark(&self) -> u64 {
        match self {
            Cell::Null => 0x5851_f42d_4c95_7f2d,
            Cell::Boolean(b) => 1 + u64::from(*b),
            Cell::Integer(v) | Cell::Float64(v) => *v,
            Cell::Float32(v) => u64::from(*v),
            Cell::Decimal(v) => *v as u64 ^ mix((*v >> 64) as u64),
            Cell::Interval(bytes) => ends(bytes),
            Cell::Bytes(bytes) => ends(bytes),
        }
    }

    /// Writes at `at` and returns where the next cell begins.
    #[inline(always)]
    fn write(&self, out: &mut [u8], at: usize) -> usize {
        let mut put = |tag: u8, body: &[u8]| {
            out[at] = tag;
            out[at + 1..at + 1 + body.len()].copy_from_slice(body);
            at + 1 + body.len()
        };
        match self {
            Cell::Null => put(0, &[]),
            Cell::Boolean(b) => put(1 + u8::from(*b), &[]),
            Cell::Integer(v) => {
                let n = (64 - v.leading_zeros() as usize).div_ceil(8);
                put(1 + n as u8, &v.to_le_bytes()[..n])
            }
            Cell::Decimal(v) => {
                let n = (128 - v.leading_zeros() as usize).div_ceil(8);
                put(1 + n as u8, &v.to_le_bytes()[..n])
            }
            Cell::Float64(bits) => put(1, &bits.to_le_bytes()),
            Cell::Float32(bits) => put(1, &bits.to_le_bytes()),
            Cell::Interval(bytes) => put(1, bytes),
            Cell::Bytes(b) if b.len() <= LENGTH_SHORT_MAX => put(1 + b.len() as u8, b),
            Cell::Bytes(b) => {
                let from = put(LENGTH_LONG, &(b.len() as u32).to_le_bytes());
                out[from..from + b.len()].copy_from_slice(b);
                from + b.len()
            }
        }
    }
}

/// The length, the first and the last eight bytes.
#[inline(always)]
fn ends(bytes: &[u8]) -> u64 {
    let eight = |from: &[u8]| {
        let mut le = [0; 8];
        le[..from.len()].copy_from_slice(from);
        u64::from_le_bytes(le)
    };
    let length = bytes.len();
    match length {
        0..=8 => mix(eight(bytes)) ^ length as u64,
        _ => mix(eight(&bytes[..8])) ^ eight(&bytes[length - 8..]).rotate_left(7) ^ length as u64,
    }
}

/// Calls `f` with every cell of a column. The kind is matched once, so that the loops are tight.
#[inline(always)]
fn visit(
    kind: &Kind,
    column: &ArrayRef,
    nested: Option<&arrow::row::Rows>,
    f: &mut impl FnMut(usize, Cell<'_>),
) {
    macro_rules! cells {
        ($array:expr, $v:ident => $cell:expr) => {{
            let array = $array;
            if array.null_count() == 0 {
                (0..array.len()).for_each(|i| {
                    let $v = array.value(i);
                    f(i, $cell)
                });
            } else {
                (0..array.len()).for_each(|i| {
                    if array.is_null(i) {
                        f(i, Cell::Null)
                    } else {
                        let $v = array.value(i);
                        f(i, $cell)
                    }
                });
            }
        }};
    }
    match (kind, column.data_type()) {
        (Kind::Null, _) => (0..column.len()).for_each(|i| f(i, Cell::Null)),
        (Kind::Boolean, _) => cells!(column.as_boolean(), v => Cell::Boolean(v)),
        (Kind::Integer, t) => with_integers!(t, column, a => cells!(a, v => Cell::Integer(zigzag(v as i64)))),
        (Kind::Decimal, _) => {
            cells!(column.as_primitive::<Decimal128Type>(), v => Cell::Decimal(zigzag_wide(v)))
        }
        (Kind::Float, DataType::Float32) => {
            cells!(column.as_primitive::<Float32Type>(), v => Cell::Float32(normal32(v)))
        }
        (Kind::Float, _) => cells!(column.as_primitive::<Float64Type>(), v => Cell::Float64(normal64(v))),
        (Kind::Text, DataType::Utf8) => cells!(column.as_string::<i32>(), v => Cell::Bytes(v.as_bytes())),
        (Kind::Text, DataType::LargeUtf8) => {
            cells!(column.as_string::<i64>(), v => Cell::Bytes(v.as_bytes()))
        }
        (Kind::Text, _) => cells!(column.as_string_view(), v => Cell::Bytes(v.as_bytes())),
        (Kind::Bytes, DataType::Binary) => cells!(column.as_binary::<i32>(), v => Cell::Bytes(v)),
        (Kind::Bytes, DataType::LargeBinary) => cells!(column.as_binary::<i64>(), v => Cell::Bytes(v)),
        (Kind::Bytes, DataType::FixedSizeBinary(_)) => {
            cells!(column.as_fixed_size_binary(), v => Cell::Bytes(v))
        }
        (Kind::Bytes, _) => cells!(column.as_binary_view(), v => Cell::Bytes(v)),
        (Kind::Interval, _) => cells!(column.as_primitive::<IntervalMonthDayNanoType>(), v => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v.months.to_le_bytes());
            bytes[4..8].copy_from_slice(&v.days.to_le_bytes());
            bytes[8..].copy_from_slice(&v.nanoseconds.to_le_bytes());
            Cell::Interval(bytes)
        }),
        (Kind::Nested(_), _) => {
            let rows = nested.expect("converted by encode");
            rows.iter().enumerate().for_each(|(i, row)| f(i, Cell::Bytes(row.data())));
        }
    }
}

fn normal64(v: f64) -> u64 {
    if v.is_nan() { f64::NAN.to_bits() } else { (v + 0.0).to_bits() }
}
fn normal32(v: f32) -> u32 {
    if v.is_nan() { f32::NAN.to_bits() } else { (v + 0.0).to_bits() }
}
