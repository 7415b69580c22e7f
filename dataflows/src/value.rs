//! `Value`: one cell of a row, borrowed, for those who print or compare rows (JSON, CSV, filters).
pub mod cell;

use crate::quotient::{FINE, zeros_left_out};
use arrow::datatypes::{DataType, i256};
use cell::Nested;
use std::cmp::Ordering;
use std::fmt::Write;

/// One cell. Times keep the unit of their column in `DataType`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// Any integer type.
    Int(i128),
    /// Units and scale: `Decimal(1250, 2)` is 12.50.
    Decimal(i128, i8),
    /// The same, of up to 76 digits.
    Wide(i256, i8),
    /// Either floating-point type.
    Float(f64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Days since 1970-01-01.
    Date(i32),
    /// Nanoseconds since midnight.
    TimeOfDay(i64),
    /// Nanoseconds since 1970; `true` when it has a time zone (then it is UTC).
    Timestamp(i128, bool),
    /// Months, days, nanoseconds.
    Interval(i32, i32, i64),
    /// A value made of values: a list, a struct, a map.
    Nested(Nested<'a>),
}

impl Value<'_> {
    /// Writes the text form that PostgreSQL prints (`2011-01-18 10:01:00`, `12.50`, `t`); nothing for NULL.
    pub fn write_text(&self, out: &mut String) {
        match *self {
            Value::Null => {}
            Value::Bool(b) => out.push_str(if b { "t" } else { "f" }),
            Value::Int(v) => _ = write!(out, "{v}"),
            Value::Decimal(v, scale) => write_decimal(v, scale, out),
            Value::Wide(v, scale) => write_wide(v, scale, out),
            Value::Float(v) => write_float(v, out),
            Value::Text(v) => out.push_str(v),
            Value::Bytes(v) => {
                out.push_str("\\x");
                v.iter().for_each(|b| _ = write!(out, "{b:02x}"));
            }
            Value::Nested(v) => cell::write_text(v.array().as_ref(), 0, out),
            Value::Date(days) => write_date(days as i64, out),
            Value::TimeOfDay(ns) => write_time_of_day(ns, out),
            Value::Timestamp(ns, zoned) => write_timestamp(ns, ' ', if zoned { "+00" } else { "" }, out),
            Value::Interval(months, days, ns) => write_interval(months, days, ns, out),
        }
    }

    /// Writes the JSON form: decimals, times and bytes are strings, integers beyond 2^53 too; NaN and infinities are strings.
    pub fn write_json(&self, out: &mut String) {
        match *self {
            Value::Null => out.push_str("null"),
            Value::Bool(b) => out.push_str(if b { "true" } else { "false" }),
            Value::Int(v) if v.unsigned_abs() <= 1 << 53 => _ = write!(out, "{v}"),
            Value::Float(v) if v.is_finite() => write_float(v, out),
            Value::Text(v) => write_json_string(v, out),
            // The backslash of \x00ff has to be escaped itself.
            Value::Nested(v) => cell::write_json(v.array().as_ref(), 0, out),
            Value::Bytes(_) => {
                let mut text = String::new();
                self.write_text(&mut text);
                write_json_string(&text, out);
            }
            Value::Timestamp(ns, zoned) => {
                out.push('"');
                write_timestamp(ns, 'T', if zoned { "Z" } else { "" }, out);
                out.push('"');
            }
            _ => {
                out.push('"');
                self.write_text(out);
                out.push('"');
            }
        }
    }

    /// SQL order of two values of one column: NULL is the greatest, as PostgreSQL sorts by default; NaN is above all numbers.
    pub fn compare(&self, other: &Value<'_>) -> Ordering {
        use Value::*;
        match (self, other) {
            (Null, Null) => Ordering::Equal,
            (Null, _) => Ordering::Greater,
            (_, Null) => Ordering::Less,
            (Bool(a), Bool(b)) => a.cmp(b),
            (Int(a), Int(b)) => a.cmp(b),
            (Decimal(a, s), Decimal(b, t)) if s == t => a.cmp(b),
            (Float(a), Float(b)) => a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
            (Text(a), Text(b)) => a.cmp(b),
            (Wide(a, s), Wide(b, t)) if s == t => a.cmp(b),
            (Bytes(a), Bytes(b)) => a.cmp(b),
            (Nested(a), Nested(b)) => a.compare(b),
            (Date(a), Date(b)) => a.cmp(b),
            (TimeOfDay(a), TimeOfDay(b)) => a.cmp(b),
            (Timestamp(a, _), Timestamp(b, _)) => a.cmp(b),
            (Interval(m, d, n), Interval(p, e, o)) => {
                let day = 86_400_000_000_000i128;
                let total = |m: i32, d: i32, n: i64| (m as i128 * 30 + d as i128) * day + n as i128;
                total(*m, *d, *n).cmp(&total(*p, *e, *o))
            }
            _ => Ordering::Equal,
        }
    }
}

/// The name of a column type as PostgreSQL spells it, for schemas shown to users.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".into(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".into(),
        DataType::Int32 | DataType::UInt16 => "integer".into(),
        DataType::Int64 | DataType::UInt32 => "bigint".into(),
        DataType::UInt64 => "numeric(20,0)".into(),
        DataType::Float16 | DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("numeric({p},{s})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytea".into()
        }
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Time32(_) | DataType::Time64(_) => "time".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Timestamp(_, Some(_)) => "timestamptz".into(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".into(),
        DataType::List(f)
        | DataType::LargeList(f)
        | DataType::ListView(f)
        | DataType::LargeListView(f)
        | DataType::FixedSizeList(f, _) => format!("{}[]", type_name(f.data_type())),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Null => "unknown".into(),
        other => other.to_string().to_lowercase(),
    }
}

fn write_decimal(v: i128, scale: i8, out: &mut String) {
    let zeros = if scale == FINE { zeros_left_out(v, scale) } else { 0 };
    write_digits(v / 10i128.pow(zeros), scale - zeros as i8, out);
}

fn write_digits(v: i128, scale: i8, out: &mut String) {
    if scale <= 0 {
        _ = write!(out, "{v}");
        out.extend(std::iter::repeat_n('0', if v == 0 { 0 } else { -scale as usize }));
        return;
    }
    let (scale, unit) = (scale as usize, 10u128.pow(scale as u32));
    let a = v.unsigned_abs();
    _ = write!(out, "{}{}.{:0scale$}", if v < 0 { "-" } else { "" }, a / unit, a % unit);
}

fn write_wide(v: i256, scale: i8, out: &mut String) {
    let text = v.to_string();
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    out.push_str(sign);
    match usize::try_from(scale) {
        Ok(0) => out.push_str(digits),
        Ok(scale) => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            _ = write!(out, "{whole}.{fraction}");
        }
        Err(_) => {
            out.push_str(digits);
            out.extend(std::iter::repeat_n('0', if digits == "0" { 0 } else { scale.unsigned_abs().into() }));
        }
    }
}

/// The double whose shortest text is that of a single-precision number.
pub(crate) fn shortest(v: f32) -> f64 {
    v.to_string().parse().unwrap_or(f64::from(v))
}

fn write_float(v: f64, out: &mut String) {
    if v.is_nan() {
        out.push_str("NaN");
    } else if v.is_infinite() {
        out.push_str(if v > 0.0 { "Infinity" } else { "-Infinity" });
    } else if v != 0.0 && (v.abs() >= 1e15 || v.abs() < 1e-4) {
        // PostgreSQL's shortest form: two digits of exponent at least, with its sign.
        let text = format!("{v:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let exponent: i32 = exponent.parse().unwrap_or(0);
        _ = write!(out, "{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs());
    } else {
        _ = write!(out, "{v}");
    }
}

/// Proleptic Gregorian date of a day number (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

fn write_date(days: i64, out: &mut String) {
    let era = write_day(days, out);
    out.push_str(era);
}

/// Writes a day without its era; the era, which stands after the time of day.
fn write_day(days: i64, out: &mut String) -> &'static str {
    let (year, month, day) = civil(days);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    _ = write!(out, "{year:04}-{month:02}-{day:02}");
    era
}

fn write_time_of_day(ns: i64, out: &mut String) {
    let (s, fraction) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    _ = write!(out, "{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    if fraction != 0 {
        let digits = format!("{fraction:09}");
        _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

fn write_timestamp(ns: i128, separator: char, zone: &str, out: &mut String) {
    let day = 86_400_000_000_000i128;
    let era = write_day(ns.div_euclid(day) as i64, out);
    out.push(separator);
    write_time_of_day(ns.rem_euclid(day) as i64, out);
    out.push_str(zone);
    out.push_str(era);
}

fn write_interval(months: i32, days: i32, ns: i64, out: &mut String) {
    let start = out.len();
    let mut negative = false;
    let mut part = |n: i64, unit: &str| {
        if n != 0 {
            let gap = if out.len() > start { " " } else { "" };
            // A positive part after a negative one says so.
            let sign = if negative && n > 0 { "+" } else { "" };
            _ = write!(out, "{gap}{sign}{n} {unit}{}", if n == 1 { "" } else { "s" });
            negative = n < 0;
        }
    };
    part(months as i64 / 12, "year");
    part(months as i64 % 12, "mon");
    part(days as i64, "day");
    if ns != 0 || out.len() == start {
        if out.len() > start {
            out.push(' ');
        }
        if ns < 0 {
            out.push('-');
        } else if negative {
            out.push('+');
        }
        write_time_of_day(i64::try_from(ns.unsigned_abs()).unwrap_or(i64::MAX), out);
    }
}

fn write_json_string(v: &str, out: &mut String) {
    out.push('"');
    let mut from = 0;
    for (i, b) in v.bytes().enumerate() {
        let escape = match b {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..=0x1f => "",
            _ => continue,
        };
        out.push_str(&v[from..i]);
        if escape.is_empty() {
            _ = write!(out, "\\u{b:04x}");
        } else {
            out.push_str(escape);
        }
        from = i + 1;
    }
    out.push_str(&v[from..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_postgresql_prints() {
        let cases = [
            (Value::Decimal(-1250, 2), "-12.50"),
            (Value::Decimal(5, 3), "0.005"),
            (Value::Float(1e20), "1e+20"),
            (Value::Float(0.1), "0.1"),
            (Value::Float(-0.0), "-0"),
            (Value::Date(14_943), "2010-11-30"),
            (Value::Date(-1), "1969-12-31"),
            (Value::Date(-719_163), "0001-12-31 BC"),
            (Value::Timestamp(-719_163 * 86_400_000_000_000, true), "0001-12-31 00:00:00+00 BC"),
            (Value::Timestamp(1_295_344_860_000_000_000, false), "2011-01-18 10:01:00"),
            (Value::Timestamp(1_400_000_000, true), "1970-01-01 00:00:01.4+00"),
            (Value::Interval(14, 1, 3_600_000_000_000), "1 year 2 mons 1 day 01:00:00"),
            (Value::Interval(0, 0, 0), "00:00:00"),
            (Value::Interval(-1, 2, 0), "-1 mons +2 days"),
            (Value::Interval(0, -1, 3_600_000_000_000), "-1 days +01:00:00"),
            (Value::Bytes(b"\x00\xff"), "\\x00ff"),
        ];
        for (value, text) in cases {
            let mut out = String::new();
            value.write_text(&mut out);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn json_strings_are_escaped_and_decimals_are_strings() {
        let cases = [
            (Value::Text("a\"b\\\n\u{1}é"), "\"a\\\"b\\\\\\n\\u0001é\""),
            (Value::Decimal(1, 1), "\"0.1\""),
            (Value::Float(f64::NAN), "\"NaN\""),
            (Value::Int(1 << 60), "\"1152921504606846976\""),
            (Value::Bytes(b"\x00\xff"), "\"\\\\x00ff\""),
            (Value::Timestamp(0, true), "\"1970-01-01T00:00:00Z\""),
        ];
        for (value, json) in cases {
            let mut out = String::new();
            value.write_json(&mut out);
            assert_eq!(out, json);
        }
    }
}
