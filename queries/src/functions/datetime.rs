//! Dates and times: parts, truncation, construction, time zones.
use super::calendar::{Moment, days, days_of};
use super::call::{INTERVAL, Kind, TIME, TIMESTAMP, Takes, fail, instant, native, native_to, strict};
use super::rewrite::call;
use arrow::array::*;
use arrow::compute::{CastOptions, cast, cast_with_options, take};
use arrow::datatypes::*;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, ScalarUDF, cast as cast_to};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    use Kind::*;
    let same = |types: &[DataType]| match &types[1] {
        // A date is cut as the instant it starts.
        DataType::Date32 => instant(),
        other => other.clone(),
    };
    vec![
        native(
            "__rounded",
            Takes::Forms(&[&[Time, Integer], &[Instant, Integer], &[Timestamp, Integer]]),
            |types| types[0].clone(),
            rounded,
        ),
        native(
            "date_trunc",
            Takes::Forms(&[
                &[Text, Instant],
                &[Text, Date],
                &[Text, Timestamp],
                &[Text, Interval],
                &[Text, Instant, Text],
            ]),
            same,
            truncate,
        ),
        native(
            "timezone",
            Takes::Forms(&[&[Text, Instant], &[Text, Timestamp]]),
            |types| match &types[1] {
                DataType::Timestamp(_, Some(_)) => TIMESTAMP,
                _ => instant(),
            },
            in_zones,
        ),
        native("make_date", Takes::Forms(&[&[Integer, Integer, Integer]]), |_| DataType::Date32, make_date),
        native(
            "make_time",
            Takes::Forms(&[&[Integer, Integer, Double]]),
            |_| TIME,
            |columns, rows, _| {
                let found = strict(columns, rows, |i| time_of(columns, 0, i).map(Some))?;
                Ok(Arc::new(found.into_iter().collect::<Time64NanosecondArray>()))
            },
        ),
        native(
            "make_timestamp",
            Takes::Forms(&[STAMP]),
            |_| TIMESTAMP,
            |c, n, _| Ok(Arc::new(make_stamp(c, n)?)),
        ),
        native(
            "make_timestamptz",
            Takes::Forms(&[STAMP]),
            |_| instant(),
            |columns, rows, _| Ok(Arc::new(make_stamp(columns, rows)?.with_timezone("UTC"))),
        ),
        native(
            "isfinite",
            Takes::Forms(&[&[Any]]),
            |_| DataType::Boolean,
            |columns, rows, _| {
                let found = strict(columns, rows, |_| Ok(Some(true)))?;
                Ok(Arc::new(found.into_iter().collect::<BooleanArray>()))
            },
        ),
    ]
}

const STAMP: &[Kind] =
    &[Kind::Integer, Kind::Integer, Kind::Integer, Kind::Integer, Kind::Integer, Kind::Double];

fn numbers(columns: &[ArrayRef], k: usize) -> &Int64Array {
    columns[k].as_primitive()
}

fn day_of(columns: &[ArrayRef], i: usize) -> Result<(i64, i64, i64)> {
    let part = |k: usize| numbers(columns, k).value(i);
    let (year, month, day) = (part(0), part(1), part(2));
    let fits = (1..=9999).contains(&year) && (1..=12).contains(&month);
    if !fits || day < 1 || day > days_of(year, month) {
        return fail(format!("date field value out of range: {year}-{month:02}-{day:02}"));
    }
    Ok((year, month, day))
}

fn time_of(columns: &[ArrayRef], from: usize, i: usize) -> Result<i64> {
    let (hour, minute) = (numbers(columns, from).value(i), numbers(columns, from + 1).value(i));
    let second = columns[from + 2].as_primitive::<Float64Type>().value(i);
    if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0.0..=60.0).contains(&second) {
        return fail(format!("time field value out of range: {hour}:{minute:02}:{second}"));
    }
    Ok((hour * 3600 + minute * 60) * 1_000_000_000 + (second * 1e6).round_ties_even() as i64 * 1000)
}

fn make_date(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    let found = strict(columns, rows, |i| {
        let (year, month, day) = day_of(columns, i)?;
        Ok(Some(days(year, month, day) as i32))
    })?;
    Ok(Arc::new(found.into_iter().collect::<Date32Array>()))
}

fn make_stamp(columns: &[ArrayRef], rows: usize) -> Result<TimestampNanosecondArray> {
    let found = strict(columns, rows, |i| {
        let (year, month, day) = day_of(columns, i)?;
        Moment { year, month, day, nanoseconds: time_of(columns, 3, i)? }.timestamp().map(Some)
    })?;
    Ok(found.into_iter().collect())
}

fn unknown<T>(unit: &str) -> Result<T> {
    fail(format!("unit \"{unit}\" is not known: write one such as 'day', 'week', 'month' or 'year'"))
}

fn truncate(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let units = columns[0].as_string::<i32>();
    if *to == INTERVAL {
        let spans = columns[1].as_primitive::<IntervalMonthDayNanoType>();
        let found =
            strict(columns, rows, |i| shortened(&units.value(i).to_lowercase(), spans.value(i)).map(Some))?;
        return Ok(Arc::new(found.into_iter().collect::<IntervalMonthDayNanoArray>()));
    }
    let input = cast(&columns[1], &TIMESTAMP)?;
    let input = input.as_primitive::<TimestampNanosecondType>();
    let found = strict(columns, rows, |i| {
        let unit = units.value(i).to_lowercase();
        match Moment::of(input.value(i)).truncated(&unit) {
            Some(moment) => moment.timestamp().map(Some),
            None => unknown(&unit),
        }
    })?;
    Ok(Arc::new(found.into_iter().collect::<TimestampNanosecondArray>().with_data_type(to.clone())))
}

fn shortened(unit: &str, v: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    let time = |step: i64| IntervalMonthDayNano::new(v.months, v.days, v.nanoseconds / step * step);
    let months = |step: i32| IntervalMonthDayNano::new(v.months / step * step, 0, 0);
    Ok(match unit {
        "microseconds" | "microsecond" => time(1000),
        "milliseconds" | "millisecond" => time(1_000_000),
        "second" | "seconds" => time(1_000_000_000),
        "minute" | "minutes" => time(60_000_000_000),
        "hour" | "hours" => time(3_600_000_000_000),
        "day" | "days" => IntervalMonthDayNano::new(v.months, v.days, 0),
        "month" | "months" => months(1),
        "quarter" | "quarters" => months(3),
        "year" | "years" => months(12),
        "decade" | "decades" => months(120),
        "century" | "centuries" => months(1200),
        "millennium" | "millenniums" => months(12000),
        _ => return unknown(unit),
    })
}

/// `EXTRACT(field FROM ..)`: a decimal with the digits that PostgreSQL shows.
pub(super) fn part(field: &str, of: &DataType) -> ScalarUDF {
    let to = match field {
        // Nothing is finer than a day there.
        "epoch" if *of == DataType::Date32 => WHOLE,
        "second" | "seconds" | "epoch" => DataType::Decimal128(24, 6),
        "millisecond" | "milliseconds" | "msec" | "ms" => DataType::Decimal128(24, 3),
        _ => WHOLE,
    };
    native_to("extract", Takes::Forms(&[&[Kind::Text, Kind::Any]]), to, parts)
}

fn parts(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let fields = columns[0].as_string::<i32>();
    let from = &columns[1];
    let found = match from.data_type() {
        DataType::Interval(_) | DataType::Duration(_) => {
            let spans = cast(from, &INTERVAL)?;
            let spans = spans.as_primitive::<IntervalMonthDayNanoType>();
            strict(columns, rows, |i| part_of_interval(fields.value(i), spans.value(i)).map(Some))?
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let times = cast(from, &TIME)?;
            let times = times.as_primitive::<Time64NanosecondType>();
            strict(columns, rows, |i| {
                let span = IntervalMonthDayNano::new(0, 0, times.value(i));
                part_of_interval(fields.value(i), span).map(Some)
            })?
        }
        _ => {
            let times = cast(from, &TIMESTAMP)?;
            let times = times.as_primitive::<TimestampNanosecondType>();
            let unit = |field: &str| if field == "epoch" && *to == WHOLE { 1_000_000 } else { 1 };
            strict(columns, rows, |i| {
                Ok(Some(part_of(fields.value(i), times.value(i))? / unit(fields.value(i))))
            })?
        }
    };
    Ok(Arc::new(found.into_iter().collect::<Decimal128Array>().with_data_type(to.clone())))
}

fn part_of(field: &str, at: i64) -> Result<i128> {
    let moment = Moment::of(at);
    let micros = moment.second() * 1_000_000 + moment.microseconds();
    Ok(i128::from(match field {
        "year" | "years" => moment.year,
        "month" | "months" | "mon" => moment.month,
        "day" | "days" => moment.day,
        "hour" | "hours" => moment.hour(),
        "minute" | "minutes" => moment.minute(),
        "second" | "seconds" | "millisecond" | "milliseconds" | "msec" | "ms" | "microsecond"
        | "microseconds" | "us" => micros,
        "epoch" => at.div_euclid(1000),
        "dow" => moment.weekday(),
        "isodow" => moment.iso_weekday(),
        "doy" => moment.day_of_year(),
        "week" => moment.iso_week().1,
        "isoyear" => moment.iso_week().0,
        "quarter" | "qtr" => moment.quarter(),
        "century" => moment.century(),
        "decade" => moment.decade(),
        "millennium" => moment.millennium(),
        "julian" => moment.julian(),
        "nanosecond" | "nanoseconds" => micros * 1000,
        _ => return unknown(field),
    }))
}

fn part_of_interval(field: &str, v: IntervalMonthDayNano) -> Result<i128> {
    let micros = v.nanoseconds / 1000;
    let years = v.months / 12;
    Ok(i128::from(match field {
        "year" | "years" => i64::from(years),
        "month" | "months" | "mon" => i64::from(v.months % 12),
        "day" | "days" => i64::from(v.days),
        "hour" | "hours" => micros / 3_600_000_000,
        "minute" | "minutes" => micros / 60_000_000 % 60,
        "second" | "seconds" | "millisecond" | "milliseconds" | "msec" | "ms" | "microsecond"
        | "microseconds" | "us" => micros % 60_000_000,
        // A year has 365.25 days here.
        "epoch" => {
            let days = i128::from(years) * 1461 * 21_600_000_000
                + (i128::from(v.months % 12) * 30 + i128::from(v.days)) * 86_400_000_000;
            return Ok(days + i128::from(micros));
        }
        "quarter" => i64::from(v.months % 12 / 3 + 1),
        "decade" => i64::from(years / 10),
        "century" => i64::from(years / 100),
        "millennium" => i64::from(years / 1000),
        _ => return unknown(field),
    }))
}

/// The type of parts that are whole.
const WHOLE: DataType = DataType::Decimal128(20, 0);

/// A time, or a timestamp, with so many digits after the second.
fn rounded(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let nanoseconds = cast(&columns[0], &DataType::Int64)?;
    let (found, digits) = (nanoseconds.as_primitive::<Int64Type>(), numbers(columns, 1));
    let found = strict(columns, rows, |i| {
        let step = 10i64.pow(9 - u32::try_from(digits.value(i).clamp(0, 9)).unwrap_or(9));
        Ok(Some(found.value(i).saturating_add(step / 2).div_euclid(step).saturating_mul(step)))
    })?;
    let found: ArrayRef = Arc::new(found.into_iter().collect::<Int64Array>());
    Ok(cast(&found, to)?)
}

/// `date - date`.
pub(super) fn days_between() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Date, Kind::Date]]);
    native(
        "date_minus_date",
        takes,
        |_| DataType::Int32,
        |columns, rows, _| {
            let (a, b) = (columns[0].as_primitive::<Date32Type>(), columns[1].as_primitive::<Date32Type>());
            let found = strict(columns, rows, |i| Ok(Some(a.value(i) - b.value(i))))?;
            Ok(Arc::new(found.into_iter().collect::<Int32Array>()))
        },
    )
}

fn moved(columns: &[ArrayRef], rows: usize, sign: i64) -> Result<ArrayRef> {
    let (a, b) = (columns[0].as_primitive::<Date32Type>(), numbers(columns, 1));
    let found = strict(columns, rows, |i| {
        let day = i64::from(a.value(i)).checked_add(sign * b.value(i));
        day.and_then(|v| i32::try_from(v).ok()).map_or_else(|| fail("date out of range"), |v| Ok(Some(v)))
    })?;
    Ok(Arc::new(found.into_iter().collect::<Date32Array>()))
}

/// `date + integer`.
pub(super) fn days_after() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Date, Kind::Integer]]);
    native("date_plus", takes, |_| DataType::Date32, |c, n, _| moved(c, n, 1))
}
/// `date - integer`.
pub(super) fn days_before() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Date, Kind::Integer]]);
    native("date_minus", takes, |_| DataType::Date32, |c, n, _| moved(c, n, -1))
}

/// `at AT TIME ZONE zone`: what is without a zone is in it, what has one is shown in it.
pub(super) fn at_time_zone(zone: &Expr, at: &Expr, at_type: &DataType) -> Result<Option<Expr>> {
    let Expr::Literal(zone, _) = zone else { return Ok(None) };
    let Some(Some(zone)) = zone.try_as_str() else { return Ok(None) };
    let zone = known_zone(zone).map_err(DataFusionError::Plan)?;
    let zoned = DataType::Timestamp(TimeUnit::Nanosecond, Some(zone.into()));
    Ok(match at_type {
        DataType::Timestamp(_, Some(_)) => {
            let local = datafusion::functions::datetime::to_local_time();
            Some(call(local.as_ref().clone(), vec![cast_to(at.clone(), zoned)]))
        }
        DataType::Timestamp(_, None) | DataType::Date32 | DataType::Utf8 => {
            Some(cast_to(cast_to(cast_to(at.clone(), TIMESTAMP), zoned), instant()))
        }
        _ => None,
    })
}

/// The name by which arrow knows a zone.
fn known_zone(zone: &str) -> std::result::Result<String, String> {
    let name = match zone.split_at_checked(1) {
        // PostgreSQL reads a bare offset as POSIX does: positive is west.
        Some(("+", rest)) => format!("-{rest}"),
        Some(("-", rest)) => format!("+{rest}"),
        _ if zone.eq_ignore_ascii_case("utc") || zone.eq_ignore_ascii_case("z") => "UTC".into(),
        _ => zone.to_string(),
    };
    match name.parse::<timezone::Tz>() {
        Ok(_) => Ok(name),
        Err(_) => Err(format!("time zone {zone:?} is not known: write it as in 'Europe/Paris'")),
    }
}

/// `at AT TIME ZONE zone` where each row has a zone of its own: the rows of a zone are cast together.
fn in_zones(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    let zones = cast(&columns[0], &DataType::Utf8)?;
    let (zones, at) = (zones.as_string::<i32>(), &columns[1]);
    let mut of_zone: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for row in (0..rows).filter(|row| zones.is_valid(*row) && at.is_valid(*row)) {
        of_zone.entry(zones.value(row)).or_default().push(row as u32);
    }
    let shows = matches!(at.data_type(), DataType::Timestamp(_, Some(_)));
    let mut found: Vec<Option<i64>> = vec![None; rows];
    for (zone, members) in of_zone {
        let name = known_zone(zone).map_err(DataFusionError::Execution)?;
        let part = take(at, &UInt32Array::from(members.clone()), None)?;
        let zoned = DataType::Timestamp(TimeUnit::Nanosecond, Some(name.as_str().into()));
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let part = cast_with_options(&part, &zoned, &strict)?;
        let part = part.as_primitive::<TimestampNanosecondType>();
        for (i, row) in members.into_iter().enumerate() {
            found[row as usize] = match shows {
                false => Some(part.value(i)),
                true => {
                    let shown = part.value_as_datetime_with_tz(i, name.parse()?);
                    shown.and_then(|shown| shown.naive_local().and_utc().timestamp_nanos_opt())
                }
            };
        }
    }
    let found = TimestampNanosecondArray::from(found);
    Ok(if shows { Arc::new(found) } else { Arc::new(found.with_timezone("UTC")) })
}
