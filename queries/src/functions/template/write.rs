//! A moment or an interval written by a template.
use super::super::calendar::Moment;
use super::super::call::fail;
use super::{Case, Token};
use arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::Result;

/// The names of months.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// The names of days, from Sunday.
pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// The months in Roman numbers.
pub(super) const ROMAN: [&str; 12] =
    ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// What a template can show.
pub(super) struct Clock {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    /// The date, where it is not an interval.
    moment: Option<Moment>,
    zoned: bool,
}

impl Clock {
    pub(super) fn of_moment(moment: Moment, zoned: bool) -> Clock {
        Clock {
            year: moment.year,
            month: moment.month,
            day: moment.day,
            hour: moment.hour(),
            minute: moment.minute(),
            second: moment.second(),
            micros: moment.microseconds(),
            moment: Some(moment),
            zoned,
        }
    }

    pub(super) fn of_interval(span: IntervalMonthDayNano) -> Clock {
        let micros = span.nanoseconds / 1000;
        Clock {
            year: i64::from(span.months / 12),
            month: i64::from(span.months % 12),
            day: i64::from(span.days),
            hour: micros / 3_600_000_000,
            minute: micros / 60_000_000 % 60,
            second: micros / 1_000_000 % 60,
            micros: micros % 1_000_000,
            moment: None,
            zoned: false,
        }
    }
}

pub(super) fn write(clock: &Clock, tokens: &[Token]) -> Result<String> {
    let mut out = String::new();
    for token in tokens {
        match token {
            Token::Literal(c) => out.push(*c),
            Token::Field { name, case, bare, ordinal } => {
                let text = field(clock, name, *case, *bare)?;
                out.push_str(&text);
                if let (Some(case), Ok(number)) = (ordinal, text.trim().parse::<i64>()) {
                    out.push_str(&cased(suffix(number), *case));
                }
            }
        }
    }
    Ok(out)
}

/// `st` of `1st`.
pub(crate) fn suffix(number: i64) -> &'static str {
    match (number.abs() % 100, number.abs() % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

fn cased(text: &str, case: Case) -> String {
    match case {
        Case::Upper => text.to_uppercase(),
        Case::Lower => text.to_lowercase(),
        Case::Title => text.to_string(),
    }
}

fn field(clock: &Clock, name: &'static str, case: Case, bare: bool) -> Result<String> {
    let number = |v: i64, width: usize| match (bare, v < 0) {
        (true, _) => v.to_string(),
        (false, true) => format!("-{:0width$}", v.unsigned_abs()),
        (false, false) => format!("{v:0width$}"),
    };
    let padded = |text: &str| match bare {
        true => cased(text, case),
        false => format!("{:9}", cased(text, case)),
    };
    let twelve = || if clock.hour % 12 == 0 { 12 } else { clock.hour % 12 };
    Ok(match name {
        "HH24" => number(clock.hour, 2),
        "HH" | "HH12" => number(twelve(), 2),
        "MI" => number(clock.minute, 2),
        "SS" => number(clock.second, 2),
        "MS" | "FF3" => number(clock.micros / 1000, 3),
        "US" | "FF6" => number(clock.micros, 6),
        "FF1" => number(clock.micros / 100_000, 1),
        "FF2" => number(clock.micros / 10_000, 2),
        "FF4" => number(clock.micros / 100, 4),
        "FF5" => number(clock.micros / 10, 5),
        "SSSS" | "SSSSS" => (clock.hour * 3600 + clock.minute * 60 + clock.second).to_string(),
        "AM" | "PM" => cased(if clock.hour % 24 >= 12 { "PM" } else { "AM" }, case),
        "A.M." | "P.M." => cased(if clock.hour % 24 >= 12 { "P.M." } else { "A.M." }, case),
        "MM" => number(clock.month, 2),
        "DD" => number(clock.day, 2),
        "YYYY" => number(clock.year, 4),
        "YYY" => number(clock.year % 1000, 3),
        "YY" => number(clock.year % 100, 2),
        "Y" => number(clock.year % 10, 1),
        "Y,YYY" => format!("{},{:03}", clock.year / 1000, clock.year % 1000),
        "TZ" => cased(if clock.zoned { "UTC" } else { "" }, case),
        "OF" | "TZH" => "+00".into(),
        "TZM" => "00".into(),
        _ => match &clock.moment {
            Some(moment) => match name {
                "MONTH" | "DAY" => padded(named(moment, name)),
                "MON" | "DY" => cased(&named(moment, name)[..3], case),
                _ => dated(moment, name, case, bare, &number),
            },
            None => {
                return fail(format!("the template has {name}, which an interval or a time does not have"));
            }
        },
    })
}

fn named(moment: &Moment, name: &str) -> &'static str {
    match name {
        "MONTH" | "MON" => MONTHS[moment.month as usize - 1],
        _ => DAYS[moment.weekday() as usize],
    }
}

fn dated(
    moment: &Moment,
    name: &str,
    case: Case,
    bare: bool,
    number: &dyn Fn(i64, usize) -> String,
) -> String {
    let (iso_year, iso_week) = moment.iso_week();
    match name {
        "DDD" => number(moment.day_of_year(), 3),
        "IDDD" => number((iso_week - 1) * 7 + moment.iso_weekday(), 3),
        "D" => (moment.weekday() + 1).to_string(),
        "ID" => moment.iso_weekday().to_string(),
        "WW" => number((moment.day_of_year() - 1) / 7 + 1, 2),
        "IW" => number(iso_week, 2),
        "W" => ((moment.day - 1) / 7 + 1).to_string(),
        "Q" => moment.quarter().to_string(),
        "CC" => number(moment.century(), 2),
        "J" => moment.julian().to_string(),
        "IYYY" => number(iso_year, 4),
        "IYY" => number(iso_year % 1000, 3),
        "IY" => number(iso_year % 100, 2),
        "I" => number(iso_year % 10, 1),
        "AD" | "BC" => cased(if moment.year > 0 { "AD" } else { "BC" }, case),
        "A.D." | "B.C." => cased(if moment.year > 0 { "A.D." } else { "B.C." }, case),
        "RM" => {
            let text = cased(ROMAN[moment.month as usize - 1], case);
            if bare { text } else { format!("{text:4}") }
        }
        _ => String::new(),
    }
}
