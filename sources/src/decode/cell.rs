//! `Cell`: one value of an event on its way into a column, and how its text becomes a number.
use crate::event::json::{Json, Kind};
use crate::event::time::Moment;
use std::borrow::Cow;
use std::str::FromStr;

/// A value as the event has it.
pub(super) enum Cell<'e> {
    Null,
    Text(Cow<'e, str>),
    /// A JSON number's own text.
    Number(&'e str),
    Integer(i64),
    Boolean(bool),
    /// The event's time: read already.
    Time(&'e str, Moment),
    /// An object's or array's own text.
    Json(&'e str),
}

impl<'e> Cell<'e> {
    #[inline]
    pub fn of(json: Json<'e>, index: usize) -> Cell<'e> {
        match json.tape.node(index).kind {
            Kind::Null => Cell::Null,
            Kind::True => Cell::Boolean(true),
            Kind::False => Cell::Boolean(false),
            Kind::Number => Cell::Number(json.raw(index)),
            Kind::Text => Cell::Text(json.string(index)),
            Kind::Array | Kind::Object => Cell::Json(json.raw(index)),
        }
    }

    /// What messages show.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Cell::Null => Cow::Borrowed("null"),
            Cell::Text(text) => Cow::Owned(format!("\"{text}\"")),
            Cell::Time(text, _) => Cow::Owned(format!("\"{text}\"")),
            Cell::Number(text) | Cell::Json(text) => Cow::Borrowed(text),
            Cell::Integer(number) => Cow::Owned(number.to_string()),
            Cell::Boolean(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        }
    }

    /// The text of a number, or of a string that may hold one.
    pub fn numeric(&self) -> Option<&str> {
        match self {
            Cell::Number(text) => Some(text),
            Cell::Text(text) => Some(text),
            Cell::Null | Cell::Integer(_) | Cell::Boolean(_) | Cell::Time(..) | Cell::Json(_) => None,
        }
    }
}

/// The units of a decimal number at a scale, exactly: none where a digit other than zero would be lost, or where more
/// than `precision` digits were needed.
pub(super) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    match short(text.as_bytes(), scale) {
        Some(units) if units.unsigned_abs() < 10u64.pow(u32::from(precision.min(18))) => Some(units.into()),
        Some(_) | None => exact(text, precision, scale),
    }
}

/// The common case: few digits, no exponent, and no more decimal places than the scale has.
fn short(text: &[u8], scale: i8) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.len() > 12 || !(0..=6).contains(&scale) {
        return None;
    }
    let (mut units, mut point) = (0i64, None);
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => units = units * 10 + i64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at + 1),
            _ => return None,
        }
    }
    let places = digits.len() - point.unwrap_or(digits.len());
    if digits.len() == usize::from(point.is_some()) {
        return None;
    }
    let missing = u32::from(scale as u8).checked_sub(places as u32)?;
    let units = units * 10i64.pow(missing);
    Some(if negative { -units } else { units })
}

/// Any number of digits and any exponent.
fn exact(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (mut units, mut zeros, mut places, mut any) = (0i128, 0u32, 0i64, false);
    let mut at = 0;
    let mut in_fraction = false;
    while let Some(byte) = digits.get(at) {
        match byte {
            b'0'..=b'9' => {
                any = true;
                places += i64::from(in_fraction);
                if *byte == b'0' {
                    // Trailing zeros are an exponent, so that they never overflow.
                    zeros += u32::from(units != 0);
                } else {
                    units = shifted(units, zeros + 1)?.checked_add(i128::from(byte - b'0'))?;
                    zeros = 0;
                }
            }
            b'.' if !in_fraction => in_fraction = true,
            _ => break,
        }
        at += 1;
    }
    let exponent = match &digits[at..] {
        _ if !any => return None,
        [] => 0,
        [b'e' | b'E', rest @ ..] => exponent(rest)?,
        _ => return None,
    };
    if units == 0 {
        return Some(0);
    }
    let shift = i64::from(zeros) + exponent - places + i64::from(scale);
    let scaled = match u32::try_from(shift) {
        Ok(shift) => shifted(units, shift)?,
        Err(_) => {
            let divisor = shifted(1, u32::try_from(-shift).ok()?)?;
            (units % divisor == 0).then_some(units / divisor)?
        }
    };
    let is_in_range = scaled < shifted(1, u32::from(precision))?;
    is_in_range.then_some(if negative { -scaled } else { scaled })
}

/// Times a power of ten.
fn shifted(units: i128, power: u32) -> Option<i128> {
    match power {
        1 => units.checked_mul(10),
        _ => 10i128.checked_pow(power)?.checked_mul(units),
    }
}

/// An exponent; one that no decimal could have is cut to a number that is still too large.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0i64, |n, byte| (n * 10 + i64::from(byte - b'0')).min(1 << 40));
    Some(if negative { -size } else { size })
}

/// A float of either width; infinite only where the text says so.
pub(super) fn float<F: FromStr + Copy>(text: &str, is_infinite: fn(F) -> bool) -> Option<F> {
    let number: F = text.parse().ok()?;
    let says_infinite = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (says_infinite || !is_infinite(number)).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_nothing() {
        let cases = [
            ("2.550", 18, 3, Some(2550)),
            ("-2.55", 18, 3, Some(-2550)),
            ("2.5500000000000000000000000000000000000000000000", 18, 3, Some(2550)),
            ("2.5501", 18, 3, None),
            ("1e3", 18, 2, Some(100_000)),
            ("1.5E-2", 18, 3, Some(15)),
            ("1500e-3", 18, 1, Some(15)),
            ("0.0000000000000000000000000000000000000000000000000001e52", 18, 0, Some(1)),
            ("10000000000000000000000000000000000000000e-40", 18, 0, Some(1)),
            ("0e999999999999999999999", 18, 0, Some(0)),
            ("1e999999999999999999999", 18, 0, None),
            ("1e-999999999999999999999", 18, 0, None),
            ("999.99", 5, 2, Some(99_999)),
            ("1000.00", 5, 2, None),
            ("99999999999999999999999999999999999999", 38, 0, Some(10i128.pow(38) - 1)),
            ("100000000000000000000000000000000000000", 38, 0, None),
            ("+1", 5, 0, Some(1)),
            (".5", 5, 1, Some(5)),
            ("5.", 5, 0, Some(5)),
            ("1200", 5, -2, Some(12)),
            ("1250", 5, -2, None),
            ("-0", 5, 0, Some(0)),
            ("", 5, 0, None),
            (".", 5, 0, None),
            ("-", 5, 0, None),
            ("1e", 5, 0, None),
            ("1.2.3", 5, 2, None),
            ("1 ", 5, 0, None),
            ("NaN", 5, 0, None),
            ("0x1", 5, 0, None),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(decimal(text, precision, scale), expected, "{text}");
        }
    }

    #[test]
    fn floats_are_infinite_only_in_words() {
        assert_eq!(float("1e308", f64::is_infinite), Some(1e308));
        assert_eq!(float("1e309", f64::is_infinite), None);
        assert_eq!(float("-Infinity", f64::is_infinite), Some(f64::NEG_INFINITY));
        assert!(float("NaN", f64::is_infinite).is_some_and(f64::is_nan));
        assert_eq!(float("1,5", f64::is_infinite), None);
    }
}
