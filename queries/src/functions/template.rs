//! `to_char` of dates and times, `to_timestamp` and `to_date`: PostgreSQL's templates such as `YYYY-MM-DD HH24:MI:SS`.
mod read;
mod write;

pub(super) use write::suffix;

use super::calendar::{DAY, Moment};
use super::call::{Kind, TIMESTAMP, Takes, fail, instant, native, strict};
use super::picture;
use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::*;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    use Kind::*;
    vec![
        native(
            "to_char",
            Takes::Forms(&[
                &[Instant, Text],
                &[Date, Text],
                &[Numeric, Text],
                &[Float, Text],
                &[Interval, Text],
                &[Time, Text],
                &[Timestamp, Text],
            ]),
            |_| DataType::Utf8,
            to_char,
        ),
        native(
            "to_timestamp",
            Takes::Forms(&[&[Instant], &[Timestamp], &[Double], &[Text, Text]]),
            |types| match types {
                [DataType::Timestamp(_, None)] => TIMESTAMP,
                _ => instant(),
            },
            to_timestamp,
        ),
        native(
            "to_date",
            Takes::Forms(&[&[Text, Text]]),
            |_| DataType::Date32,
            |columns, rows, _| {
                let (input, templates) = (columns[0].as_string::<i32>(), columns[1].as_string::<i32>());
                let found = strict(columns, rows, |i| {
                    let moment = read::read(input.value(i), &tokens(templates.value(i)))?;
                    Ok(Some(moment.timestamp()?.div_euclid(DAY) as i32))
                })?;
                Ok(Arc::new(found.into_iter().collect::<Date32Array>()))
            },
        ),
    ]
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// Stands for itself.
    Literal(char),
    /// A field by its name in capitals, and how it is written.
    Field { name: &'static str, case: Case, bare: bool, ordinal: Option<Case> },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Case {
    Upper,
    Lower,
    Title,
}

/// The names of fields, longer ones before their beginnings.
const FIELDS: [&str; 52] = [
    "A.D.", "A.M.", "AD", "AM", "B.C.", "BC", "CC", "DAY", "DDD", "DD", "DY", "D", "FF1", "FF2", "FF3",
    "FF4", "FF5", "FF6", "HH24", "HH12", "HH", "IDDD", "ID", "IW", "IYYY", "IYY", "IY", "I", "J", "MI", "MM",
    "MONTH", "MON", "MS", "OF", "P.M.", "PM", "Q", "RM", "SSSSS", "SSSS", "SS", "TZH", "TZM", "TZ", "US",
    "WW", "W", "Y,YYY", "YYYY", "YYY", "YY",
];

fn tokens(template: &str) -> Vec<Token> {
    let (mut found, mut rest) = (vec![], template);
    'next: while let Some(first) = rest.chars().next() {
        if first == '"' {
            rest = &rest[1..];
            let mut chars = rest.char_indices();
            while let Some((i, c)) = chars.next() {
                match c {
                    '"' => {
                        rest = &rest[i + 1..];
                        continue 'next;
                    }
                    '\\' => found.extend(chars.next().map(|(_, c)| Token::Literal(c))),
                    c => found.push(Token::Literal(c)),
                }
            }
            break;
        }
        if let Some(after) = rest.strip_prefix("\\\"") {
            found.push(Token::Literal('"'));
            rest = after;
            continue;
        }
        let (mut bare, mut body) = (false, rest);
        for prefix in ["FM", "fm", "TM", "tm", "FX", "fx"] {
            if let Some(after) = body.strip_prefix(prefix) {
                bare |= prefix.eq_ignore_ascii_case("fm");
                body = after;
            }
        }
        if let Some((name, case)) = field(body) {
            body = &body[name.len()..];
            let mut ordinal = None;
            for (suffix, case) in [("TH", Case::Upper), ("th", Case::Lower)] {
                if let Some(after) = body.strip_prefix(suffix) {
                    (ordinal, body) = (Some(case), after);
                }
            }
            found.push(Token::Field { name, case, bare, ordinal });
            rest = body;
        } else if body.len() < rest.len() {
            rest = body;
        } else {
            found.push(Token::Literal(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

fn field(text: &str) -> Option<(&'static str, Case)> {
    let titles = [("Month", "MONTH"), ("Mon", "MON"), ("Day", "DAY"), ("Dy", "DY")];
    if let Some((_, name)) = titles.iter().find(|(title, _)| text.starts_with(title)) {
        return Some((name, Case::Title));
    }
    FIELDS.iter().chain(&["Y"]).find_map(|name| {
        let head = text.get(..name.len())?;
        match head {
            head if head == *name => Some((*name, Case::Upper)),
            head if head == name.to_lowercase() => Some((*name, Case::Lower)),
            _ => None,
        }
    })
}

fn to_char(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    let templates = columns[1].as_string::<i32>();
    let from = &columns[0];
    // A template is mostly the same for all rows.
    let mut last: (String, Vec<Token>) = Default::default();
    let mut known = move |text: &str| {
        if last.0 != text || last.1.is_empty() {
            last = (text.to_string(), tokens(text));
        }
        last.1.clone()
    };
    let found: Vec<Option<String>> = match from.data_type() {
        DataType::Decimal128(..) | DataType::Float64 => {
            strict(columns, rows, |i| picture::write(from, i, templates.value(i)).map(Some))?
        }
        DataType::Interval(_) => {
            let spans = from.as_primitive::<IntervalMonthDayNanoType>();
            strict(columns, rows, |i| {
                let clock = write::Clock::of_interval(spans.value(i));
                write::write(&clock, &known(templates.value(i))).map(Some)
            })?
        }
        DataType::Time64(_) => {
            let times = from.as_primitive::<Time64NanosecondType>();
            strict(columns, rows, |i| {
                let clock = write::Clock::of_interval(IntervalMonthDayNano::new(0, 0, times.value(i)));
                write::write(&clock, &known(templates.value(i))).map(Some)
            })?
        }
        data_type => {
            let zoned = matches!(data_type, DataType::Timestamp(_, Some(_)));
            let times = cast(from, &TIMESTAMP)?;
            let times = times.as_primitive::<TimestampNanosecondType>();
            strict(columns, rows, |i| {
                let clock = write::Clock::of_moment(Moment::of(times.value(i)), zoned);
                write::write(&clock, &known(templates.value(i))).map(Some)
            })?
        }
    };
    Ok(Arc::new(found.into_iter().collect::<StringArray>()))
}

fn to_timestamp(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let found = match (columns, columns[0].data_type()) {
        ([seconds], DataType::Float64) => {
            let seconds = seconds.as_primitive::<Float64Type>();
            strict(columns, rows, |i| {
                let micros = (seconds.value(i) * 1e6).round_ties_even();
                if micros.is_nan() || micros.abs() >= 9.2e15 {
                    return fail(format!("timestamp out of range: {}", seconds.value(i)));
                }
                Ok(Some(micros as i64 * 1000))
            })?
        }
        ([_], _) => return Ok(columns[0].clone()),
        _ => {
            let (input, templates) = (columns[0].as_string::<i32>(), columns[1].as_string::<i32>());
            strict(columns, rows, |i| {
                read::read(input.value(i), &tokens(templates.value(i)))?.timestamp().map(Some)
            })?
        }
    };
    Ok(Arc::new(found.into_iter().collect::<TimestampNanosecondArray>().with_data_type(to.clone())))
}
