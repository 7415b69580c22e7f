//! Intervals: months, days and nanoseconds, each added by itself.
use super::calendar::DAY;
use super::call::{Body, INTERVAL, Kind, TIME, Takes, fail, native, strict};
use arrow::array::*;
use arrow::datatypes::*;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// Microseconds round half to even, as PostgreSQL keeps nothing smaller.
const MICRO: f64 = 1000.0;

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    use Kind::*;
    vec![
        native(
            "make_interval",
            Takes::Forms(&[
                &[],
                &[Integer],
                &[Integer, Integer],
                &[Integer, Integer, Integer],
                &[Integer, Integer, Integer, Integer],
                &[Integer, Integer, Integer, Integer, Integer],
                &[Integer, Integer, Integer, Integer, Integer, Integer],
                &[Integer, Integer, Integer, Integer, Integer, Integer, Double],
            ]),
            |_| INTERVAL,
            make,
        ),
        length(),
    ]
}

type Span = IntervalMonthDayNano;

fn spans(column: &ArrayRef) -> &IntervalMonthDayNanoArray {
    column.as_primitive()
}

fn answer(found: Vec<Option<Span>>) -> Result<ArrayRef> {
    Ok(Arc::new(found.into_iter().collect::<IntervalMonthDayNanoArray>()))
}

fn fits(months: i64, days: i64, nanoseconds: i128) -> Result<Option<Span>> {
    match (i32::try_from(months), i32::try_from(days), i64::try_from(nanoseconds)) {
        (Ok(months), Ok(days), Ok(nanoseconds)) => Ok(Some(Span::new(months, days, nanoseconds))),
        _ => fail("interval out of range"),
    }
}

/// All of it in nanoseconds, a month being 30 days: how intervals compare.
pub(super) fn length() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Interval]]);
    native(
        "interval_length",
        takes,
        |_| DataType::Decimal128(38, 0),
        |columns, rows, to| {
            let input = spans(&columns[0]);
            let found = strict(columns, rows, |i| {
                let v = input.value(i);
                let days = i128::from(v.months) * 30 + i128::from(v.days);
                Ok(Some(days * i128::from(DAY) + i128::from(v.nanoseconds)))
            })?;
            Ok(Arc::new(found.into_iter().collect::<Decimal128Array>().with_data_type(to.clone())))
        },
    )
}

/// The months, the days or the nanoseconds of an interval, to be summed.
pub(super) fn part(which: &str) -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Interval]]);
    let (name, body): (_, Body) = match which {
        "months" => ("interval_months", |c, n, _| numbers(c, n, |v| v.months.into())),
        "days" => ("interval_days", |c, n, _| numbers(c, n, |v| v.days.into())),
        _ => ("interval_time", |c, n, _| numbers(c, n, |v| v.nanoseconds.into())),
    };
    native(name, takes, |_| WIDE, body)
}

const WIDE: DataType = DataType::Decimal128(38, 0);

fn numbers(columns: &[ArrayRef], rows: usize, of: fn(Span) -> i128) -> Result<ArrayRef> {
    let input = spans(&columns[0]);
    let found = strict(columns, rows, |i| Ok(Some(of(input.value(i)))))?;
    Ok(Arc::new(found.into_iter().collect::<Decimal128Array>().with_data_type(WIDE)))
}

/// An interval of its months, days and nanoseconds.
pub(super) fn of_parts() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Numeric, Kind::Numeric, Kind::Numeric]]);
    native(
        "interval_of",
        takes,
        |_| INTERVAL,
        |columns, rows, _| {
            let [months, days, time] = [0, 1, 2].map(|k: usize| columns[k].as_primitive::<Decimal128Type>());
            answer(strict(columns, rows, |i| {
                let small = |v: i128| i64::try_from(v).unwrap_or(i64::MAX);
                fits(small(months.value(i)), small(days.value(i)), time.value(i))
            })?)
        },
    )
}

fn added(columns: &[ArrayRef], rows: usize, sign: i64) -> Result<ArrayRef> {
    let (a, b) = (spans(&columns[0]), spans(&columns[1]));
    answer(strict(columns, rows, |i| {
        let (a, b) = (a.value(i), b.value(i));
        fits(
            i64::from(a.months) + sign * i64::from(b.months),
            i64::from(a.days) + sign * i64::from(b.days),
            i128::from(a.nanoseconds) + i128::from(sign) * i128::from(b.nanoseconds),
        )
    })?)
}

const TWO: Takes = Takes::Forms(&[&[Kind::Interval, Kind::Interval]]);
const SCALED: Takes = Takes::Forms(&[&[Kind::Interval, Kind::Double]]);

/// `interval + interval`.
pub(super) fn plus() -> ScalarUDF {
    native("interval_plus", TWO, |_| INTERVAL, |c, n, _| added(c, n, 1))
}
/// `interval - interval`.
pub(super) fn minus() -> ScalarUDF {
    native("interval_minus", TWO, |_| INTERVAL, |c, n, _| added(c, n, -1))
}
/// `interval * number`.
pub(super) fn times() -> ScalarUDF {
    native(
        "interval_times",
        SCALED,
        |_| INTERVAL,
        |columns, rows, _| {
            let (a, b) = (spans(&columns[0]), columns[1].as_primitive::<Float64Type>());
            answer(strict(columns, rows, |i| scaled(a.value(i), |v| v * b.value(i)))?)
        },
    )
}
/// `interval / number`.
pub(super) fn over() -> ScalarUDF {
    native(
        "interval_over",
        SCALED,
        |_| INTERVAL,
        |columns, rows, _| {
            let (a, b) = (spans(&columns[0]), columns[1].as_primitive::<Float64Type>());
            answer(strict(columns, rows, |i| match b.value(i) {
                0.0 => fail("division by zero"),
                by => scaled(a.value(i), |v| v / by),
            })?)
        },
    )
}

/// What is left of a month goes to the days, what is left of a day to the time.
fn scaled(v: Span, by: impl Fn(f64) -> f64) -> Result<Option<Span>> {
    let rounded = |v: f64| (v * 1e6).round_ties_even() / 1e6;
    let (months, days) = (by(f64::from(v.months)), by(f64::from(v.days)));
    let of_months = rounded((months - months.trunc()) * 30.0);
    let mut seconds = rounded((days - days.trunc() + of_months - of_months.trunc()) * 86_400.0);
    let mut whole = days.trunc() + of_months.trunc();
    if seconds.abs() >= 86_400.0 {
        whole += (seconds / 86_400.0).trunc();
        seconds %= 86_400.0;
    }
    let nanoseconds = ((by(v.nanoseconds as f64) + seconds * 1e9) / MICRO).round_ties_even() * MICRO;
    if !(months.is_finite() && whole.is_finite() && nanoseconds.is_finite()) {
        return fail("interval out of range");
    }
    fits(months as i64, whole as i64, nanoseconds as i128)
}

/// `timestamp - timestamp`: days and the time left.
pub(super) fn between() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Timestamp, Kind::Timestamp]]);
    native(
        "timestamp_minus",
        takes,
        |_| INTERVAL,
        |columns, rows, _| {
            let a = columns[0].as_primitive::<TimestampNanosecondType>();
            let b = columns[1].as_primitive::<TimestampNanosecondType>();
            answer(strict(columns, rows, |i| {
                let all = i128::from(a.value(i)) - i128::from(b.value(i));
                fits(0, (all / i128::from(DAY)) as i64, all % i128::from(DAY))
            })?)
        },
    )
}

/// A time as the interval since midnight.
pub(super) fn since_midnight() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Time]]);
    native(
        "since_midnight",
        takes,
        |_| INTERVAL,
        |columns, rows, _| {
            let a = columns[0].as_primitive::<Time64NanosecondType>();
            answer(strict(columns, rows, |i| fits(0, 0, a.value(i).into()))?)
        },
    )
}

/// `time - time`.
pub(super) fn times_between() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Time, Kind::Time]]);
    native(
        "time_minus_time",
        takes,
        |_| INTERVAL,
        |columns, rows, _| {
            let a = columns[0].as_primitive::<Time64NanosecondType>();
            let b = columns[1].as_primitive::<Time64NanosecondType>();
            answer(strict(columns, rows, |i| fits(0, 0, i128::from(a.value(i) - b.value(i))))?)
        },
    )
}

fn moved(columns: &[ArrayRef], rows: usize, sign: i64) -> Result<ArrayRef> {
    let (a, b) = (columns[0].as_primitive::<Time64NanosecondType>(), spans(&columns[1]));
    let found = strict(columns, rows, |i| {
        Ok(Some((a.value(i) + sign * (b.value(i).nanoseconds % DAY)).rem_euclid(DAY)))
    })?;
    Ok(Arc::new(found.into_iter().collect::<Time64NanosecondArray>()))
}

const TIME_AND_SPAN: Takes = Takes::Forms(&[&[Kind::Time, Kind::Interval]]);

/// `time + interval`, around midnight.
pub(super) fn time_plus() -> ScalarUDF {
    native("time_plus", TIME_AND_SPAN, |_| TIME, |c, n, _| moved(c, n, 1))
}
/// `time - interval`, around midnight.
pub(super) fn time_minus() -> ScalarUDF {
    native("time_minus", TIME_AND_SPAN, |_| TIME, |c, n, _| moved(c, n, -1))
}

fn make(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    let part =
        |k: usize, i: usize| -> i64 { columns.get(k).map_or(0, |c| c.as_primitive::<Int64Type>().value(i)) };
    answer(strict(columns, rows, |i| {
        let seconds = columns.get(6).map_or(0.0, |c| c.as_primitive::<Float64Type>().value(i));
        let micros = (seconds * 1e6).round_ties_even() as i128;
        let nanoseconds =
            (i128::from(part(4, i)) * 3600 + i128::from(part(5, i)) * 60) * 1_000_000_000 + micros * 1000;
        fits(part(0, i) * 12 + part(1, i), part(2, i) * 7 + part(3, i), nanoseconds)
    })?)
}

/// An interval in words (`1 days 2 hours`) where it is written as `1 12:30:00`, `1-2` or `P1DT2H`; none where it is in words already.
pub(super) fn words(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(iso) = text.strip_prefix('P') {
        return iso_words(iso);
    }
    let (mut out, mut changed): (Vec<String>, bool) = (vec![], false);
    let parts: Vec<&str> = text.split_whitespace().collect();
    for (i, part) in parts.iter().enumerate() {
        let (sign, bare) = match part.split_at_checked(1) {
            Some(("-", bare)) => ("-", bare),
            Some(("+", bare)) => ("", bare),
            _ => ("", *part),
        };
        let number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let pieces: Vec<&str> = bare.split(':').collect();
        if matches!(pieces.len(), 2 | 3) && pieces.iter().all(|p| number(p)) {
            let units = ["hours", "minutes", "seconds"];
            out.extend(pieces.iter().zip(units).map(|(piece, unit)| format!("{sign}{piece} {unit}")));
            changed = true;
        } else if let Some((years, months)) = bare.split_once('-').filter(|(a, b)| number(a) && number(b)) {
            out.push(format!("{sign}{years} years {sign}{months} months"));
            changed = true;
        } else {
            out.push(part.to_string());
            // A number before a time of day counts days.
            if number(bare) && parts.get(i + 1).is_some_and(|next| next.contains(':')) {
                out.push("days".into());
                changed = true;
            }
        }
    }
    changed.then(|| out.join(" "))
}

fn iso_words(text: &str) -> Option<String> {
    let (mut out, mut number, mut in_time) = (vec![], String::new(), false);
    for c in text.chars() {
        let unit = match (c, in_time) {
            ('T', false) => {
                in_time = true;
                continue;
            }
            ('0'..='9' | '.' | '-', _) => {
                number.push(c);
                continue;
            }
            ('Y', false) => "years",
            ('M', false) => "months",
            ('W', false) => "weeks",
            ('D', false) => "days",
            ('H', true) => "hours",
            ('M', true) => "minutes",
            ('S', true) => "seconds",
            _ => return None,
        };
        out.push(format!("{} {unit}", std::mem::take(&mut number)));
    }
    (number.is_empty() && !out.is_empty()).then(|| out.join(" "))
}
