//! Values in PostgreSQL's text format: ISO dates, the `postgres` interval style, shortest exact floats.
use super::cell::{Cell, cell};
use arrow::array::Array;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::error::PgWireResult;
use std::fmt::Write;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Appends a value's text; a NULL has none, its writer says so.
pub(super) fn write(out: &mut String, value: &Cell<'_>, datatype: &Type) -> PgWireResult<()> {
    match value {
        Cell::Null => {}
        Cell::Bool(value) => out.push(if *value { 't' } else { 'f' }),
        Cell::Int(value) => put(out, format_args!("{value}")),
        Cell::Float4(value) => float(out, f64::from(*value), &format!("{value:e}"), 6),
        Cell::Float8(value) => float(out, *value, &format!("{value:e}"), 15),
        Cell::Numeric(digits) => out.push_str(digits),
        Cell::Text(text) => out.push_str(text),
        Cell::Bytes(bytes) if *datatype == Type::UUID => uuid(out, bytes),
        Cell::Bytes(bytes) => {
            out.push_str("\\x");
            hex(out, bytes);
        }
        Cell::Date(days) => {
            let before_christ = date(out, *days);
            out.push_str(before_christ);
        }
        Cell::Time(micros) => time(out, *micros),
        Cell::Timestamp(micros) => {
            let before_christ = date(out, micros.div_euclid(DAY));
            out.push(' ');
            time(out, micros.rem_euclid(DAY));
            if *datatype == Type::TIMESTAMPTZ {
                out.push_str("+00");
            }
            out.push_str(before_christ);
        }
        Cell::Interval { months, days, micros } => interval(out, *months, *days, *micros),
        Cell::List(values) => list(out, values.as_ref(), datatype)?,
        Cell::Record(columns, row) => record(out, columns, *row)?,
    }
    Ok(())
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}

/// Rust's `{:e}` has the shortest digits that read back; PostgreSQL writes them plainly up to `plain` digits before the point.
fn float(out: &mut String, value: f64, shortest: &str, plain: i32) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value < 0.0 { "-Infinity" } else { "Infinity" });
    }
    let (digits, exponent) = shortest.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is a number");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits),
    };
    out.push_str(sign);
    if !(-4..plain).contains(&exponent) {
        let mark = if exponent < 0 { '-' } else { '+' };
        return put(out, format_args!("{digits}e{mark}{:02}", exponent.abs()));
    }
    let digits: String = digits.chars().filter(|c| *c != '.').collect();
    match usize::try_from(exponent) {
        Ok(whole) if digits.len() > whole + 1 => {
            put(out, format_args!("{}.{}", &digits[..=whole], &digits[whole + 1..]));
        }
        Ok(whole) => put(out, format_args!("{digits:0<width$}", width = whole + 1)),
        Err(_) => {
            put(out, format_args!("0.{:0<zeros$}{digits}", "", zeros = exponent.unsigned_abs() as usize - 1))
        }
    }
}

fn hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        put(out, format_args!("{byte:02x}"));
    }
}

fn uuid(out: &mut String, bytes: &[u8]) {
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        put(out, format_args!("{byte:02x}"));
    }
}

/// The day, and what follows it if it is before Christ.
fn date(out: &mut String, days: i64) -> &'static str {
    let (year, month, day) = civil(days);
    let (shown, suffix) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    put(out, format_args!("{shown:04}-{month:02}-{day:02}"));
    suffix
}

/// Year, month and day of a day since 1970, in the Gregorian calendar extended to all times.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years begin in March here, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (number, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, number, day - (153 * month + 2) / 5 + 1)
}

fn time(out: &mut String, micros: i64) {
    let seconds = micros / SECOND;
    put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60));
    fraction(out, micros % SECOND);
}

fn fraction(out: &mut String, micros: i64) {
    if micros != 0 {
        let digits = format!("{micros:06}");
        put(out, format_args!(".{}", digits.trim_end_matches('0')));
    }
}

fn interval(out: &mut String, months: i32, days: i32, micros: i64) {
    let start = out.len();
    // After a negative part, a positive one says so.
    let mut negative = false;
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if count != 0 {
            let space = if out.len() > start { " " } else { "" };
            let plus = if negative && count > 0 { "+" } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            put(out, format_args!("{space}{plus}{count} {unit}{plural}"));
            negative = count < 0;
        }
    }
    if micros == 0 && out.len() > start {
        return;
    }
    let space = if out.len() > start { " " } else { "" };
    let sign = match micros {
        ..0 => "-",
        _ if negative => "+",
        _ => "",
    };
    let whole = micros.unsigned_abs();
    let seconds = whole / SECOND.unsigned_abs();
    put(
        out,
        format_args!("{space}{sign}{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    );
    fraction(out, (micros % SECOND).abs());
}

fn list(out: &mut String, values: &dyn Array, datatype: &Type) -> PgWireResult<()> {
    let inner = super::oid::element(datatype);
    out.push('{');
    for row in 0..values.len() {
        if row > 0 {
            out.push(',');
        }
        let value = cell(values, row)?;
        match value {
            Cell::Null => out.push_str("NULL"),
            // A list in a list is a further dimension of the same array.
            Cell::List(nested) => list(out, nested.as_ref(), datatype)?,
            value => {
                let mut text = String::new();
                write(&mut text, &value, &inner)?;
                let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace();
                if text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special) {
                    quoted(out, &text, '\\');
                } else {
                    out.push_str(&text);
                }
            }
        }
    }
    out.push('}');
    Ok(())
}

fn record(out: &mut String, columns: &[arrow::array::ArrayRef], row: usize) -> PgWireResult<()> {
    out.push('(');
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        let value = cell(column.as_ref(), row)?;
        if matches!(value, Cell::Null) {
            continue;
        }
        let mut text = String::new();
        write(&mut text, &value, &super::oid::of(column.data_type())?)?;
        let special = |c: char| matches!(c, '(' | ')' | ',' | '"' | '\\') || c.is_ascii_whitespace();
        if text.is_empty() || text.contains(special) {
            quoted(out, &text, '"');
        } else {
            out.push_str(&text);
        }
    }
    out.push(')');
    Ok(())
}

fn quoted(out: &mut String, text: &str, escape_of_quote: char) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push(escape_of_quote),
            '\\' => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: Cell<'_>, datatype: &Type) -> String {
        let mut out = String::new();
        write(&mut out, &value, datatype).expect("the value can be written");
        out
    }

    #[test]
    fn floats_are_as_postgres_writes_them() {
        let cases: [(f64, &str); 14] = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123456789012345.0, "123456789012345"),
            (1e15, "1e+15"),
            (1.2345678901234568e17, "1.2345678901234568e+17"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
            (1e300, "1e+300"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(Cell::Float8(value), &Type::FLOAT8), expected);
        }
        for (value, expected) in [(1.1_f32, "1.1"), (123456.0, "123456"), (1234567.0, "1.234567e+06")] {
            assert_eq!(text(Cell::Float4(value), &Type::FLOAT4), expected);
        }
    }

    #[test]
    fn instants_and_intervals_are_as_postgres_writes_them() {
        let second = |s: i64| Cell::Timestamp(s * SECOND);
        assert_eq!(text(second(0), &Type::TIMESTAMP), "1970-01-01 00:00:00");
        assert_eq!(text(Cell::Timestamp(-1), &Type::TIMESTAMPTZ), "1969-12-31 23:59:59.999999+00");
        assert_eq!(text(Cell::Timestamp(1_709_164_800_500_000), &Type::TIMESTAMP), "2024-02-29 00:00:00.5");
        assert_eq!(text(Cell::Date(-719_528), &Type::DATE), "0001-01-01 BC");
        assert_eq!(text(Cell::Date(-719_162), &Type::DATE), "0001-01-01");
        assert_eq!(text(Cell::Date(19_782), &Type::DATE), "2024-02-29");
        let cases = [
            ((0, 0, 0), "00:00:00"),
            ((14, 3, 3_661_500_000), "1 year 2 mons 3 days 01:01:01.5"),
            ((-14, 0, 0), "-1 years -2 mons"),
            ((-1, 1, 0), "-1 mons +1 day"),
            ((0, -1, 1_000_000), "-1 days +00:00:01"),
            ((0, 0, -90_000_000_000), "-25:00:00"),
        ];
        for ((months, days, micros), expected) in cases {
            assert_eq!(text(Cell::Interval { months, days, micros }, &Type::INTERVAL), expected);
        }
    }
}
