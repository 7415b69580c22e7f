//! A moment read by a template: loosely, as PostgreSQL does; what does not fit is an error.
use super::super::calendar::{Moment, date, days, days_of};
use super::super::call::fail;
use super::Token;
use super::write::{DAYS, MONTHS, ROMAN};
use datafusion::common::Result;

#[derive(Default)]
struct Found {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    iso_year: Option<i64>,
    iso_week: Option<i64>,
    iso_day: Option<i64>,
    julian: Option<i64>,
    hour: i64,
    twelve: bool,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    nanoseconds: i64,
    of_day: Option<i64>,
    before_christ: bool,
    offset_seconds: i64,
}

/// Reads `text`; the moment is in UTC.
pub(super) fn read(text: &str, tokens: &[Token]) -> Result<Moment> {
    let (mut rest, mut found) = (text, Found::default());
    for (k, token) in tokens.iter().enumerate() {
        match token {
            Token::Literal(c) if c.is_alphanumeric() => {
                rest = rest.chars().next().map_or(rest, |c| &rest[c.len_utf8()..]);
            }
            Token::Literal(_) => {
                let separates = |c: &char| !c.is_alphanumeric() && !matches!(c, '+' | '-');
                rest = match rest.chars().next() {
                    Some(c) if separates(&c) => &rest[c.len_utf8()..],
                    Some('-' | '+') if !signed(tokens.get(k + 1)) => &rest[1..],
                    _ => rest,
                };
            }
            Token::Field { name, bare, .. } => {
                rest = rest.trim_start();
                if rest.is_empty() {
                    break;
                }
                let exact = matches!(tokens.get(k + 1), Some(Token::Field { .. })) && !bare;
                take(name, &mut rest, exact, &mut found, text)?;
            }
        }
    }
    found.moment(text)
}

fn signed(next: Option<&Token>) -> bool {
    matches!(next, Some(Token::Field { name: "TZH" | "OF", .. }))
}

fn digits(rest: &mut &str, width: usize, exact: bool, name: &str, text: &str) -> Result<(i64, usize)> {
    let limit = if exact { width } else { 18 };
    let count = rest.bytes().take(limit).take_while(u8::is_ascii_digit).count();
    match rest[..count].parse() {
        Ok(number) => {
            *rest = &rest[count..];
            Ok((number, count))
        }
        Err(_) => fail(format!("invalid value \"{rest}\" for \"{name}\" in \"{text}\"")),
    }
}

fn word(rest: &mut &str, words: &[&str], short: bool, name: &str) -> Result<i64> {
    for (i, word) in words.iter().enumerate() {
        let word = if short { &word[..3] } else { word };
        if rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)) {
            *rest = &rest[word.len()..];
            return Ok(i as i64);
        }
    }
    fail(format!("invalid value \"{rest}\" for \"{name}\""))
}

fn take(name: &str, rest: &mut &str, exact: bool, found: &mut Found, text: &str) -> Result<()> {
    let mut number = |width: usize| digits(rest, width, exact, name, text);
    match name {
        "YYYY" | "IYYY" | "YYY" | "YY" | "Y" | "IYY" | "IY" | "I" => {
            let (value, count) = number(name.trim_start_matches('I').len().max(1))?;
            // Two digits are of the years nearest 2020.
            let year = match (name.ends_with("YYYY"), count) {
                (false, 1..=2) if value < 70 => value + 2000,
                (false, 1..=2) => value + 1900,
                (false, 3) if value >= 520 => value + 1000,
                (false, 3) => value + 2000,
                _ => value,
            };
            if name.starts_with('I') { found.iso_year = Some(year) } else { found.year = Some(year) }
        }
        "Y,YYY" => {
            let (thousands, _) = digits(rest, 3, true, name, text)?;
            *rest = rest.strip_prefix(',').unwrap_or(rest);
            found.year = Some(thousands * 1000 + digits(rest, 3, true, name, text)?.0);
        }
        "MM" => found.month = Some(number(2)?.0),
        "DD" => found.day = Some(number(2)?.0),
        "DDD" => found.day_of_year = Some(number(3)?.0),
        "IW" => found.iso_week = Some(number(2)?.0),
        "ID" => found.iso_day = Some(number(1)?.0),
        "J" => found.julian = Some(number(9)?.0),
        "HH24" => found.hour = number(2)?.0,
        "HH" | "HH12" => {
            found.hour = number(2)?.0;
            found.twelve = true;
            if !(1..=12).contains(&found.hour) {
                return fail(format!("hour \"{}\" is invalid for the 12-hour clock", found.hour));
            }
        }
        "MI" => found.minute = number(2)?.0,
        "SS" => found.second = number(2)?.0,
        "SSSS" | "SSSSS" => found.of_day = Some(number(5)?.0),
        "MS" | "US" | "FF1" | "FF2" | "FF3" | "FF4" | "FF5" | "FF6" => {
            let width = match name {
                "MS" => 3,
                "US" => 6,
                other => other[2..].parse().unwrap_or(6),
            };
            let (value, count) = number(width)?;
            let places = u32::try_from(count).unwrap_or(9).min(9);
            found.nanoseconds =
                value / 10i64.pow(u32::try_from(count).unwrap_or(9) - places) * 10i64.pow(9 - places);
        }
        "MONTH" | "MON" => {
            let long = word(rest, &MONTHS, false, name).ok().filter(|_| name == "MONTH");
            let month = long.map_or_else(|| word(rest, &MONTHS, true, name), Ok)?;
            found.month = Some(month + 1);
        }
        "DAY" => _ = word(rest, &DAYS, false, name)?,
        "DY" => _ = word(rest, &DAYS, true, name)?,
        "RM" => {
            let head = rest.to_ascii_uppercase();
            let fits = |i: &usize| head.starts_with(ROMAN[*i]);
            match (0..12).filter(fits).max_by_key(|i| ROMAN[*i].len()) {
                Some(i) => {
                    *rest = &rest[ROMAN[i].len()..];
                    found.month = Some(i as i64 + 1);
                }
                None => return fail(format!("invalid value \"{rest}\" for \"RM\"")),
            }
        }
        "AM" | "PM" | "A.M." | "P.M." => {
            let halves = [["AM", "PM"], ["A.M.", "P.M."]][usize::from(name.len() == 4)];
            found.afternoon = Some(word(rest, &halves, false, name)? == 1);
        }
        "AD" | "BC" | "A.D." | "B.C." => {
            let eras = [["AD", "BC"], ["A.D.", "B.C."]][usize::from(name.len() == 4)];
            found.before_christ = word(rest, &eras, false, name)? == 1;
        }
        "TZH" | "OF" => {
            let sign = if rest.starts_with('-') { -1 } else { 1 };
            *rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
            found.offset_seconds = sign * digits(rest, 2, true, name, text)?.0 * 3600;
            if let Some(minutes) = rest.strip_prefix(':').filter(|_| name == "OF") {
                *rest = minutes;
                found.offset_seconds += sign * digits(rest, 2, true, name, text)?.0 * 60;
            }
        }
        "TZM" => {
            let sign = if found.offset_seconds < 0 { -1 } else { 1 };
            found.offset_seconds += sign * number(2)?.0 * 60;
        }
        "D" | "Q" => _ = number(1)?,
        other => return fail(format!("the template has {other}, which cannot be read: leave it out")),
    }
    Ok(())
}

impl Found {
    fn moment(&self, text: &str) -> Result<Moment> {
        let out = || fail(format!("date/time field value out of range: \"{text}\""));
        let year = match self.before_christ {
            true => 1 - self.year.unwrap_or(1),
            // PostgreSQL reads year 0 as 1 BC.
            false => self.year.unwrap_or(0),
        };
        let (mut month, mut day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let mut at_year = year;
        if let Some(julian) = self.julian {
            (at_year, month, day) = date(julian - 2_440_588);
        } else if let Some(nth) = self.day_of_year {
            if !(1..=366).contains(&nth) {
                return out();
            }
            (at_year, month, day) = date(days(year, 1, 1) + nth - 1);
        } else if let (Some(iso_year), Some(week)) = (self.iso_year, self.iso_week) {
            let fourth = days(iso_year, 1, 4);
            let monday = fourth - (fourth + 3).rem_euclid(7);
            (at_year, month, day) = date(monday + (week - 1) * 7 + self.iso_day.unwrap_or(1) - 1);
        }
        if !(1..=12).contains(&month) || day < 1 || day > days_of(at_year, month) {
            return out();
        }
        let mut hour = self.hour;
        if let (true, Some(afternoon)) = (self.twelve, self.afternoon) {
            hour = hour % 12 + if afternoon { 12 } else { 0 };
        }
        if !(0..24).contains(&hour) || !(0..60).contains(&self.minute) || !(0..60).contains(&self.second) {
            return out();
        }
        let seconds = self.of_day.unwrap_or(hour * 3600 + self.minute * 60 + self.second);
        let local =
            Moment { year: at_year, month, day, nanoseconds: seconds * 1_000_000_000 + self.nanoseconds };
        if self.offset_seconds == 0 {
            return Ok(local);
        }
        Ok(Moment::of(local.timestamp()? - self.offset_seconds * 1_000_000_000))
    }
}
