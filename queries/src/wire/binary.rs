//! Values in PostgreSQL's binary format, and back to text where a client sends a parameter so.
use super::cell::{Cell, cell};
use super::fault::fault;
use super::{oid, text};
use arrow::array::Array;
use bytes::{Buf, BufMut, BytesMut};
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::error::PgWireResult;

/// Days from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_DAYS: i64 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = EPOCH_DAYS * 86_400_000_000;

/// Appends a value that is not NULL.
pub(super) fn write(out: &mut BytesMut, value: &Cell<'_>, datatype: &Type) -> PgWireResult<()> {
    match value {
        Cell::Null => {}
        Cell::Bool(value) => out.put_u8(u8::from(*value)),
        Cell::Int(value) => match *datatype {
            Type::INT2 => out.put_i16(fits(*value)?),
            Type::INT8 => out.put_i64(*value),
            Type::OID => out.put_u32(fits(*value)?),
            Type::CHAR => out.put_i8(fits(*value)?),
            _ => out.put_i32(fits(*value)?),
        },
        Cell::Float4(value) => out.put_f32(*value),
        Cell::Float8(value) => out.put_f64(*value),
        Cell::Numeric(digits) => numeric(out, digits),
        Cell::Text(text) if *datatype == Type::JSONB => {
            out.put_u8(1);
            out.put_slice(text.as_bytes());
        }
        Cell::Text(text) if *datatype == Type::UUID => {
            let digits: Vec<u8> =
                text.bytes().filter_map(|b| (b as char).to_digit(16)).map(|d| d as u8).collect();
            digits.chunks_exact(2).for_each(|pair| out.put_u8(pair[0] * 16 + pair[1]));
        }
        Cell::Text(text) => out.put_slice(text.as_bytes()),
        Cell::Bytes(bytes) => out.put_slice(bytes),
        Cell::Date(days) => out.put_i32(fits(days - EPOCH_DAYS)?),
        Cell::Time(micros) => out.put_i64(*micros),
        Cell::Timestamp(micros) => out.put_i64(
            micros
                .checked_sub(EPOCH_MICROS)
                .ok_or_else(|| fault("22008", "timestamp out of range".into()))?,
        ),
        Cell::Interval { months, days, micros } => {
            out.put_i64(*micros);
            out.put_i32(*days);
            out.put_i32(*months);
        }
        Cell::List(values) => list(out, values.as_ref(), &oid::element(datatype))?,
        Cell::Record(columns, row) => {
            out.put_i32(fits(columns.len() as i64)?);
            for column in *columns {
                let inner = oid::of(column.data_type())?;
                out.put_u32(inner.oid());
                sized(out, &cell(column.as_ref(), *row)?, &inner)?;
            }
        }
    }
    Ok(())
}

/// A value with its length before it, or -1 for NULL.
pub(super) fn sized(out: &mut BytesMut, value: &Cell<'_>, datatype: &Type) -> PgWireResult<()> {
    if matches!(value, Cell::Null) {
        out.put_i32(-1);
        return Ok(());
    }
    let start = out.len();
    out.put_i32(0);
    write(out, value, datatype)?;
    let length = i32::try_from(out.len() - start - 4)
        .map_err(|_| fault("54000", "a value is larger than 2 GiB".into()))?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn fits<T: TryFrom<i64>>(value: i64) -> PgWireResult<T> {
    T::try_from(value).map_err(|_| fault("22003", format!("{value} is out of range")))
}

fn list(out: &mut BytesMut, values: &dyn Array, inner: &Type) -> PgWireResult<()> {
    if matches!(
        values.data_type(),
        arrow::datatypes::DataType::List(_) | arrow::datatypes::DataType::LargeList(_)
    ) {
        return Err(fault("0A000", "an array of arrays cannot be sent in binary: ask for text".into()));
    }
    let empty = values.is_empty();
    out.put_i32(i32::from(!empty));
    out.put_i32(i32::from(values.null_count() > 0));
    out.put_u32(inner.oid());
    if !empty {
        out.put_i32(fits(values.len() as i64)?);
        out.put_i32(1);
    }
    for row in 0..values.len() {
        sized(out, &cell(values, row)?, inner)?;
    }
    Ok(())
}

/// Digits in base 10,000: how many, the weight of the first, the sign, the digits after the point, and they themselves.
fn numeric(out: &mut BytesMut, digits: &str) {
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => (0x4000, rest),
        None => (0, digits),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = format!("{:0>width$}", whole, width = whole.len().next_multiple_of(4));
    let padded = format!("{:0<width$}", fraction, width = fraction.len().next_multiple_of(4));
    let mut weight = (whole.len() / 4) as i16 - 1;
    let all: Vec<i16> =
        whole.bytes().chain(padded.bytes()).collect::<Vec<u8>>().chunks(4).map(group).collect();
    let leading = all.iter().take_while(|group| **group == 0).count();
    let trailing = all[leading..].iter().rev().take_while(|group| **group == 0).count();
    let significant = &all[leading..all.len() - trailing];
    weight = if significant.is_empty() { 0 } else { weight - leading as i16 };
    out.put_i16(significant.len() as i16);
    out.put_i16(weight);
    out.put_i16(if significant.is_empty() { 0 } else { sign });
    out.put_i16(fraction.len() as i16);
    for group in significant {
        out.put_i16(*group);
    }
}

fn group(digits: &[u8]) -> i16 {
    digits.iter().fold(0, |value, digit| value * 10 + i16::from(digit - b'0'))
}

/// A parameter's text.
pub(super) fn read(mut bytes: &[u8], datatype: &Type) -> PgWireResult<String> {
    let mut out = String::new();
    let value = match *datatype {
        Type::BOOL => Cell::Bool(take::<1>(&mut bytes)?[0] != 0),
        Type::INT2 => Cell::Int(i16::from_be_bytes(take(&mut bytes)?).into()),
        Type::INT4 => Cell::Int(i32::from_be_bytes(take(&mut bytes)?).into()),
        Type::OID => Cell::Int(u32::from_be_bytes(take(&mut bytes)?).into()),
        Type::INT8 => Cell::Int(i64::from_be_bytes(take(&mut bytes)?)),
        Type::FLOAT4 => Cell::Float4(f32::from_be_bytes(take(&mut bytes)?)),
        Type::FLOAT8 => Cell::Float8(f64::from_be_bytes(take(&mut bytes)?)),
        Type::NUMERIC => return read_numeric(&mut bytes),
        Type::BYTEA => Cell::Bytes(std::mem::take(&mut bytes)),
        Type::UUID => Cell::Bytes(std::mem::take(&mut bytes)),
        Type::DATE => Cell::Date(i64::from(i32::from_be_bytes(take(&mut bytes)?)) + EPOCH_DAYS),
        Type::TIME => Cell::Time(i64::from_be_bytes(take(&mut bytes)?)),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => Cell::Timestamp(
            i64::from_be_bytes(take(&mut bytes)?)
                .checked_add(EPOCH_MICROS)
                .ok_or_else(|| fault("22008", "an infinite timestamp is not supported".into()))?,
        ),
        Type::INTERVAL => {
            let micros = i64::from_be_bytes(take(&mut bytes)?);
            let days = i32::from_be_bytes(take(&mut bytes)?);
            Cell::Interval { months: i32::from_be_bytes(take(&mut bytes)?), days, micros }
        }
        Type::JSONB => {
            take::<1>(&mut bytes)?;
            Cell::Text(utf8(std::mem::take(&mut bytes))?)
        }
        _ => Cell::Text(utf8(std::mem::take(&mut bytes))?),
    };
    if !bytes.is_empty() {
        return Err(malformed());
    }
    text::write(&mut out, &value, datatype)?;
    Ok(out)
}

/// The elements of a one-dimensional array parameter.
pub(super) fn read_list(mut bytes: &[u8], inner: &Type) -> PgWireResult<Vec<Option<String>>> {
    let dimensions = i32::from_be_bytes(take(&mut bytes)?);
    take::<8>(&mut bytes)?;
    match dimensions {
        0 => return Ok(vec![]),
        1 => {}
        _ => return Err(fault("0A000", "array parameters have one dimension here".into())),
    }
    let count = i32::from_be_bytes(take(&mut bytes)?);
    take::<4>(&mut bytes)?;
    let mut values = Vec::new();
    for _ in 0..count {
        let length = i32::from_be_bytes(take(&mut bytes)?);
        match usize::try_from(length) {
            Err(_) => values.push(None),
            Ok(length) => {
                let (value, rest) = bytes.split_at_checked(length).ok_or_else(malformed)?;
                values.push(Some(read(value, inner)?));
                bytes = rest;
            }
        }
    }
    Ok(values)
}

pub(super) fn utf8(bytes: &[u8]) -> PgWireResult<&str> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| fault("22021", "invalid byte sequence for encoding \"UTF8\"".into()))?;
    match text.contains('\0') {
        true => Err(fault("22021", "invalid byte sequence for encoding \"UTF8\": 0x00".into())),
        false => Ok(text),
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> PgWireResult<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>().ok_or_else(malformed)?;
    *bytes = rest;
    Ok(*first)
}

fn malformed() -> datafusion_postgres::pgwire::error::PgWireError {
    fault("22P03", "incorrect binary data format in a bind parameter".into())
}

fn read_numeric(bytes: &mut &[u8]) -> PgWireResult<String> {
    if bytes.len() < 8 {
        return Err(malformed());
    }
    let count = usize::try_from(bytes.get_i16()).map_err(|_| malformed())?;
    let weight = i32::from(bytes.get_i16());
    let sign = match bytes.get_u16() {
        0 => "",
        0x4000 => "-",
        _ => return Err(fault("0A000", "NaN and infinity are not supported in numeric".into())),
    };
    let scale = usize::try_from(bytes.get_i16()).map_err(|_| malformed())?;
    if bytes.len() != count * 2 || weight.abs() > 10_000 {
        return Err(malformed());
    }
    let groups: Vec<i16> = (0..count).map(|_| bytes.get_i16()).collect();
    let at = |place: i32| usize::try_from(place).ok().and_then(|i| groups.get(i)).copied().unwrap_or(0);
    let whole: String =
        (0..=weight.max(0)).map(|i| format!("{:04}", if weight < 0 { 0 } else { at(i) })).collect();
    let fraction: String =
        (0..scale.div_ceil(4) as i32).map(|i| format!("{:04}", at(weight + 1 + i))).collect();
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    match scale {
        0 => Ok(format!("{sign}{whole}")),
        scale => Ok(format!("{sign}{whole}.{}", &fraction[..scale])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_come_back() {
        let cases = [
            "0",
            "1",
            "-1",
            "0.00",
            "12345.6789",
            "-0.000001",
            "10000",
            "99999999999999999999999999999999999999",
            "0.1000",
            "100000000.00000001",
            "-70000.5",
        ];
        for case in cases {
            let mut out = BytesMut::new();
            write(&mut out, &Cell::Numeric(case.into()), &Type::NUMERIC).expect("it can be written");
            assert_eq!(read(&out, &Type::NUMERIC).expect("it can be read"), case);
        }
    }
}
