//! Casts as PostgreSQL does them: numbers round, text is trimmed and read, everything prints.
use super::call::{Kind, Takes, fail, native_to, strict};
use super::exact;
use arrow::array::*;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::*;
use dataflows::value::{cell, type_name};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::borrow::Cow;
use std::sync::Arc;

/// The function that a cast is, where DataFusion's own differs.
pub(super) fn function(from: &DataType, to: &DataType) -> Option<ScalarUDF> {
    use DataType::*;
    let form = |name, body| Some(native_to(name, Takes::Forms(&[&[Kind::Any]]), to.clone(), body));
    match (from, to) {
        (Dictionary(_, values), _) => function(values, to),
        (Decimal128(_, s), to) if to.is_integer() && *s > 0 => form("round_to_integer", decimal_to_integer),
        (Float32 | Float64, to) if to.is_integer() => form("round_to_integer", float_to_integer),
        (Decimal128(..), Float32 | Float64) => form("to_float", exact::decimal_to_float),
        (Float32 | Float64, Decimal128(..)) => form("to_numeric", exact::float_to_decimal),
        (Timestamp(a, _), Timestamp(b, _)) if a > b => form("round_timestamp", rounded),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View | Dictionary(..) | Null) => None,
        (Utf8 | LargeUtf8 | Utf8View, _) => form("from_text", from_text),
        (Boolean | Date32 | Null, Utf8) => None,
        (from, Utf8) if from.is_integer() => None,
        (_, Utf8) => form("to_text", to_text),
        _ => None,
    }
}

/// Any column as text, as PostgreSQL prints it.
pub(super) fn text_of(column: &ArrayRef) -> StringArray {
    let mut out = StringBuilder::new();
    let mut text = String::new();
    for i in 0..column.len() {
        if column.is_null(i) {
            out.append_null();
        } else {
            text.clear();
            // A boolean as text is a word, as a cell a letter.
            match column.data_type() {
                DataType::Boolean => {
                    text.push_str(if column.as_boolean().value(i) { "true" } else { "false" })
                }
                _ => cell::write_text(column.as_ref(), i, &mut text),
            }
            out.append_value(&text);
        }
    }
    out.finish()
}

/// The function that prints.
pub(super) fn printer() -> ScalarUDF {
    native_to("to_text", Takes::Forms(&[&[Kind::Any]]), DataType::Utf8, to_text)
}

/// The function that prints as a column is printed: a boolean is a letter.
pub(super) fn cell_printer() -> ScalarUDF {
    native_to("cell_text", Takes::Forms(&[&[Kind::Any]]), DataType::Utf8, |columns, rows, _| {
        let found = strict(columns, rows, |i| {
            let mut text = String::new();
            cell::write_text(columns[0].as_ref(), i, &mut text);
            Ok(Some(text))
        })?;
        Ok(Arc::new(found.into_iter().collect::<StringArray>()))
    })
}

/// A column as its cells are printed.
pub(super) fn cells_of(column: &ArrayRef) -> StringArray {
    let (mut out, mut text) = (StringBuilder::new(), String::new());
    for i in 0..column.len() {
        text.clear();
        cell::write_text(column.as_ref(), i, &mut text);
        out.append_option(column.is_valid(i).then_some(&text));
    }
    out.finish()
}

fn to_text(columns: &[ArrayRef], _rows: usize, _to: &DataType) -> Result<ArrayRef> {
    Ok(Arc::new(text_of(&columns[0])))
}

fn strictly(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })?)
}

fn decimal_to_integer(columns: &[ArrayRef], _rows: usize, to: &DataType) -> Result<ArrayRef> {
    let decimals = columns[0].as_primitive::<Decimal128Type>();
    let unit = 10i128.pow(u32::from(decimals.scale().unsigned_abs()));
    let whole: Decimal128Array = decimals.unary(|v| {
        let (quotient, rest) = (v / unit, v % unit);
        if rest.unsigned_abs() * 2 >= unit.unsigned_abs() { quotient + v.signum() } else { quotient }
    });
    let whole: ArrayRef = Arc::new(whole.with_data_type(DataType::Decimal128(38, 0)));
    strictly(&whole, to).or_else(|_| fail(format!("{} out of range", type_name(to))))
}

fn float_to_integer(columns: &[ArrayRef], _rows: usize, to: &DataType) -> Result<ArrayRef> {
    let floats = strictly(&columns[0], &DataType::Float64)?;
    let even: Float64Array = floats.as_primitive::<Float64Type>().unary(f64::round_ties_even);
    let wrong = |v: f64| v.is_nan() || v.is_infinite();
    if even.iter().flatten().any(wrong) {
        return fail(format!("{} out of range", type_name(to)));
    }
    let even: ArrayRef = Arc::new(even);
    strictly(&even, to).or_else(|_| fail(format!("{} out of range", type_name(to))))
}

/// A timestamp of a coarser unit: the nearest, not the one before.
fn rounded(columns: &[ArrayRef], _rows: usize, to: &DataType) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, zone) = to else { return fail("round_timestamp answers with a timestamp") };
    let step = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    // A zone is dropped or given in UTC, as between all timestamps of ours.
    let fine = strictly(&columns[0], &DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()))?;
    let near: TimestampNanosecondArray = fine
        .as_primitive::<TimestampNanosecondType>()
        .unary(|v: i64| v.saturating_add(step / 2).div_euclid(step).saturating_mul(step));
    let near: ArrayRef = Arc::new(near.with_timezone_opt(zone.clone()));
    strictly(&near, to)
}

/// A timestamp without zone does not read one.
fn without_zone(text: &str) -> &str {
    let Some(time) = text.find([' ', 'T']).map(|place| place + 1) else { return text };
    let zone = text[time..].find(['+', '-', 'Z', 'z']).map(|place| time + place);
    zone.map_or(text, |zone| text[..zone].trim_end())
}

/// A timestamp whose seconds were left out, `2020-04-15 8:05`, with them.
fn with_seconds(text: &str) -> Cow<'_, str> {
    let Some(start) = text.find([' ', 'T']).map(|place| place + 1) else { return Cow::Borrowed(text) };
    let time = &text[start..];
    let end = time.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(time.len());
    match time[..end].split_once(':') {
        Some((hour, minute)) if minute.len() == 2 && matches!(hour.len(), 1 | 2) => {
            Cow::Owned(format!("{}{hour:0>2}:{minute}:00{}", &text[..start], &time[end..]))
        }
        _ => Cow::Borrowed(text),
    }
}

fn from_text(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let texts = strictly(&columns[0], &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    match to {
        DataType::Boolean => {
            let cells = (0..rows).map(|i| match texts.is_valid(i).then(|| texts.value(i)) {
                None => Ok(None),
                Some(text) => boolean(text).map(Some).map_or_else(|| invalid(text, to), Ok),
            });
            Ok(Arc::new(cells.collect::<Result<BooleanArray>>()?))
        }
        DataType::Binary => {
            let cells = (0..rows).map(|i| match texts.is_valid(i).then(|| texts.value(i)) {
                None => Ok(None),
                Some(text) => bytes(text).map(Some).map_or_else(|| invalid(text, to), Ok),
            });
            let cells = cells.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(cells.iter().map(Option::as_deref).collect::<BinaryArray>()))
        }
        DataType::List(field) => list(texts, field, to),
        DataType::Interval(_) => {
            let words =
                texts.iter().map(|text| text.map(|t| super::interval::words(t).unwrap_or(t.to_string())));
            let words: ArrayRef = Arc::new(words.collect::<StringArray>());
            strictly(&words, to)
        }
        _ => {
            let plain = matches!(to, DataType::Timestamp(_, None));
            let is_time = matches!(to, DataType::Timestamp(..));
            let float = matches!(to, DataType::Float16 | DataType::Float32 | DataType::Float64);
            let trim = |text| match str::trim(text) {
                text if plain => without_zone(text),
                // There is one NaN.
                text if float && text.eq_ignore_ascii_case("-nan") => "NaN",
                text => text,
            };
            let trimmed = texts.iter().map(|text| text.map(trim));
            let trimmed: StringArray = match is_time {
                true => trimmed.map(|text| text.map(with_seconds)).collect(),
                false => trimmed.collect(),
            };
            let trimmed: ArrayRef = Arc::new(trimmed);
            if let DataType::Timestamp(
                TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond,
                zone,
            ) = to
            {
                let fine = DataType::Timestamp(TimeUnit::Nanosecond, zone.clone());
                return rounded(&[from_text(&[trimmed], rows, &fine)?], rows, to);
            }
            strictly(&trimmed, to).or_else(|why| {
                // The first that cannot be read alone is the one to name.
                let bad = (0..rows).find(|i| strictly(&trimmed.slice(*i, 1), to).is_err());
                bad.map_or(Err(why), |i| invalid(texts.value(i), to))
            })
        }
    }
}

fn invalid<T>(text: &str, to: &DataType) -> Result<T> {
    fail(format!("invalid input syntax for type {}: \"{text}\"", type_name(to)))
}

fn boolean(text: &str) -> Option<bool> {
    let text = text.trim().to_ascii_lowercase();
    let starts = |word: &str, least: usize| text.len() >= least && word.starts_with(&text);
    match text.as_str() {
        "1" => Some(true),
        "0" => Some(false),
        _ if starts("true", 1) || starts("yes", 1) || text == "on" => Some(true),
        _ if starts("false", 1) || starts("no", 1) || starts("off", 2) => Some(false),
        _ => None,
    }
}

/// `\x00ff`, or text with `\\` and `\377`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = hex
            .bytes()
            .filter(|b| !b.is_ascii_whitespace())
            .map(|b| (b as char).to_digit(16).map(|d| d as u8))
            .collect::<Option<_>>()?;
        return digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|d| d[0] * 16 + d[1]).collect());
    }
    let (mut out, mut rest) = (vec![], text.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                out.push(b'\\');
                tail
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                tail
            }
            (b'\\', _) => return None,
            (byte, tail) => {
                out.push(*byte);
                tail
            }
        };
    }
    Some(out)
}

/// `{1,2}` to a list, `{{1},{2}}` to one of lists.
fn list(texts: &StringArray, field: &FieldRef, to: &DataType) -> Result<ArrayRef> {
    let (mut elements, mut offsets, mut valid): (Vec<Option<String>>, _, _) = (vec![], vec![0i32], vec![]);
    for text in texts {
        valid.push(text.is_some());
        if let Some(text) = text {
            match split(text) {
                Some(found) => elements.extend(found),
                None => {
                    return fail(format!("malformed array literal: \"{text}\" for type {}", type_name(to)));
                }
            }
        }
        offsets.push(i32::try_from(elements.len()).expect("a batch holds less than 2^31 elements"));
    }
    let rows = elements.len();
    let elements: ArrayRef = Arc::new(elements.into_iter().collect::<StringArray>());
    let values = match field.data_type() {
        DataType::Utf8 => elements,
        inner => from_text(&[elements], rows, inner)?,
    };
    let offsets = arrow::buffer::OffsetBuffer::new(offsets.into());
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, Some(valid.into()))?))
}

/// The elements of an array literal; those that are arrays themselves stay as they are written.
pub(super) fn split(text: &str) -> Option<Vec<Option<String>>> {
    let inside = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let (mut found, mut depth, mut quoted) = (vec![], 0usize, false);
    let (mut element, mut was_quoted) = (String::new(), false);
    let mut chars = inside.chars();
    let finish = |element: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(element);
        let quoted = std::mem::take(was_quoted);
        let trimmed = if quoted { text.as_str() } else { text.trim() };
        (quoted || !trimmed.eq_ignore_ascii_case("null")).then(|| trimmed.to_string())
    };
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let next = chars.next()?;
                if depth > 0 {
                    element.push('\\');
                }
                element.push(next);
            }
            '"' => {
                quoted = !quoted;
                if depth > 0 {
                    element.push('"');
                } else {
                    if quoted && element.trim().is_empty() {
                        element.clear();
                    }
                    was_quoted = true;
                }
            }
            '{' if !quoted => {
                depth += 1;
                element.push(c);
            }
            '}' if !quoted => {
                depth = depth.checked_sub(1)?;
                element.push(c);
            }
            ',' if !quoted && depth == 0 => found.push(finish(&mut element, &mut was_quoted)),
            c => element.push(c),
        }
    }
    if quoted || depth > 0 {
        return None;
    }
    if !found.is_empty() || was_quoted || !element.trim().is_empty() {
        found.push(finish(&mut element, &mut was_quoted));
    }
    Some(found)
}
