//! Times as events write them: RFC 3339, and the dates and clock times that columns take.

/// An instant, as whole seconds since 1970 and nanoseconds of the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds after them, below a billion.
    pub nanos: u32,
}

impl Moment {
    /// Milliseconds since 1970, cut.
    pub fn millis(&self) -> i64 {
        self.seconds * 1000 + i64::from(self.nanos / 1_000_000)
    }

    /// Nanoseconds since 1970; times that an i64 cannot hold become the nearest that it can.
    pub fn nanos_saturating(&self) -> i64 {
        self.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(self.nanos))
    }
}

/// An RFC 3339 date-time: `2018-04-05T17:31:00.25+02:00`. A leap second counts as the second after it.
pub fn rfc3339(text: &str) -> Result<Moment, &'static str> {
    let written = Written::parse(text)?;
    if !matches!(text.as_bytes()[10], b'T' | b't') {
        return Err("there is no T between date and time");
    }
    written.moment().ok_or("it has no offset from UTC")
}

/// What a TIMESTAMP column takes: RFC 3339, or `2018-04-05 17:31:00.25`, which is UTC.
pub(crate) fn timestamp(text: &str) -> Option<Moment> {
    let written = Written::parse(text).ok()?;
    Written { offset_minutes: Some(written.offset_minutes.unwrap_or(0)), ..written }.moment()
}

/// What a DATE column takes, in days since 1970: `2018-04-05`, or the date as it is written in a time.
pub(crate) fn date(text: &str) -> Option<i32> {
    match text.len() {
        10 => days(text.as_bytes()),
        _ => Written::parse(text).ok().map(|written| written.days),
    }
}

/// What a TIME column takes: `17:31:00.25`, as seconds since midnight and nanoseconds.
pub(crate) fn clock(text: &str) -> Option<(u32, u32)> {
    let (second, nanos, end) = second_of_day(text.as_bytes())?;
    (end == text.len() && second < 86_400).then_some((second, nanos))
}

/// The parts of a date-time as they are written.
struct Written {
    days: i32,
    second: u32,
    nanos: u32,
    offset_minutes: Option<i32>,
}

impl Written {
    fn parse(text: &str) -> Result<Written, &'static str> {
        let bytes = text.as_bytes();
        if bytes.len() < 19 || !matches!(bytes[10], b'T' | b't' | b' ') {
            return Err("it is not of the form 2018-04-05T17:31:00Z");
        }
        let days = days(&bytes[..10]).ok_or("there is no such date")?;
        let (second, nanos, end) = second_of_day(&bytes[11..]).ok_or("there is no such time of day")?;
        let offset_minutes = match &bytes[11 + end..] {
            [] => None,
            [b'Z' | b'z'] => Some(0),
            [sign @ (b'+' | b'-'), zone @ ..] => {
                Some(offset(*sign, zone).ok_or("there is no such offset from UTC")?)
            }
            _ => return Err("what follows the seconds is no offset from UTC"),
        };
        let written = Written { days, second, nanos, offset_minutes };
        let is_leap = bytes[17..19] == *b"60";
        if is_leap && written.moment().is_none_or(|moment| moment.seconds.rem_euclid(86_400) != 0) {
            return Err("a leap second is at the end of a UTC day");
        }
        Ok(written)
    }

    fn moment(&self) -> Option<Moment> {
        let seconds = i64::from(self.days) * 86_400 + i64::from(self.second);
        Some(Moment { seconds: seconds - i64::from(self.offset_minutes?) * 60, nanos: self.nanos })
    }
}

fn offset(sign: u8, zone: &[u8]) -> Option<i32> {
    let &[_, _, b':', _, _] = zone else { return None };
    let (hours, minutes) = (pair(zone, 0)?, pair(zone, 3)?);
    let sign = if sign == b'-' { -1 } else { 1 };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) as i32)
}

fn pair(bytes: &[u8], at: usize) -> Option<u32> {
    let (tens, ones) = (bytes[at].wrapping_sub(b'0'), bytes[at + 1].wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then_some(u32::from(tens) * 10 + u32::from(ones))
}

/// Days since 1970 of `YYYY-MM-DD`.
fn days(bytes: &[u8]) -> Option<i32> {
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (pair(bytes, 0)? * 100 + pair(bytes, 2)?, pair(bytes, 5)?, pair(bytes, 8)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > last {
        return None;
    }
    // Years begin in March here, so that the leap day is the last of its year.
    let shifted = (year + 400 - u32::from(month <= 2)) as i32;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year as i32 - 865_565)
}

/// Second of the day (86,400 and more only for a leap second), nanoseconds, and where the text of both ends.
fn second_of_day(bytes: &[u8]) -> Option<(u32, u32, usize)> {
    if bytes.len() < 8 || bytes[2] != b':' || bytes[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (pair(bytes, 0)?, pair(bytes, 3)?, pair(bytes, 6)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (mut nanos, mut end) = (0, 8);
    if bytes.get(8) == Some(&b'.') {
        let digits = bytes[9..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        end = 9 + digits;
        let kept = &bytes[9..9 + digits.min(9)];
        nanos =
            kept.iter().fold(0, |n, byte| n * 10 + u32::from(byte - b'0')) * 10u32.pow(9 - kept.len() as u32);
    }
    Some((hour * 3600 + minute * 60 + second, nanos, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_times_are_instants() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2010-12-01T08:26:00Z", 1_291_191_960, 0),
            ("2018-04-26t14:48:09.1234z", 1_524_754_089, 123_400_000),
            ("2018-04-26T14:48:09+02:00", 1_524_746_889, 0),
            ("2000-02-29T23:59:59.1234567899-00:30", 951_870_599, 123_456_789),
            ("1969-12-31T23:59:59.5Z", -1, 500_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800, 0),
            ("2017-01-01T01:59:60+02:00", 1_483_228_800, 0),
            ("0000-03-01T00:00:00Z", -62_162_035_200, 0),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
        ];
        for (text, seconds, nanos) in cases {
            assert_eq!(rfc3339(text), Ok(Moment { seconds, nanos }), "{text}");
        }
    }

    #[test]
    fn what_is_no_rfc3339_time_is_refused() {
        let cases = [
            "",
            "2018-04-26",
            "2018-04-26T14:48:09",
            "2018-04-26 14:48:09Z",
            "2018-02-29T00:00:00Z",
            "2018-13-01T00:00:00Z",
            "2018-04-26T24:00:00Z",
            "2018-04-26T14:60:00Z",
            "2018-04-26T14:48:09.Z",
            "2018-04-26T14:48:09+2:00",
            "2018-04-26T14:48:09+24:00",
            "2018-04-26T14:48:60Z",
            "2018-04-26T14:48:09ZZ",
            "2018-04-26T14:48Z",
            "+018-04-26T14:48:09Z",
            "2018-00-26T14:48:09Z",
            "2018-04-00T14:48:09Z",
            "ééééééééééééé",
        ];
        for text in cases {
            assert!(rfc3339(text).is_err(), "{text}");
        }
    }

    #[test]
    fn columns_take_more_than_rfc3339() {
        assert_eq!(
            timestamp("2010-12-01 08:26:00.5"),
            Some(Moment { seconds: 1_291_191_960, nanos: 500_000_000 })
        );
        assert_eq!(date("1970-01-02"), Some(1));
        assert_eq!(date("2024-01-01T00:30:00+02:00"), Some(19_723));
        assert_eq!(date("yesterday"), None);
        assert_eq!(clock("23:59:59.25"), Some((86_399, 250_000_000)));
        assert_eq!(clock("23:59:60"), None);
    }
}
