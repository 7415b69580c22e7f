//! `quotient`: one decimal over another, rounded as PostgreSQL rounds it: to sixteen significant digits at least, and to as many after
//! the point as each of the two has. It thinks in digits of base 10000, and so does this.
use arrow::datatypes::{DataType, i256};

/// A decimal: units, and how many of their digits are after the point.
pub type Units = (i256, i8);

/// The digits after the point that the type of a quotient has at least.
pub const SCALE: i8 = 16;
/// The digits after the point of the type of a quotient that has room for them: as many as a value down to 0.0001 has. They are shown as
/// PostgreSQL shows them: zeros at the end are left out beyond those that the size of the value asks for.
pub const FINE: i8 = 21;
/// The significant digits that PostgreSQL gives a quotient.
const SIGNIFICANT: i32 = 16;

/// The type of an average of decimals or integers; none for other types. A wide type leaves less room after the point.
pub fn average_type(of: &DataType) -> Option<DataType> {
    use DataType::*;
    let scale = match of {
        Decimal32(digits, scale) | Decimal64(digits, scale) | Decimal128(digits, scale) => {
            let whole = *digits as i8 - scale;
            let room = if *digits < 38 { 38 - whole } else { SCALE };
            SCALE.min(room).max(*scale)
        }
        of if of.is_integer() => SCALE,
        _ => return None,
    };
    Some(Decimal128(38, scale))
}

/// `top / bottom` in units of a `scale`, half away from zero; none where it has more than 38 digits. `bottom` is not zero.
pub fn quotient(top: Units, bottom: Units, scale: i8) -> Option<i128> {
    let scale = i32::from(scale);
    let kept = digits_after(top, bottom).min(scale);
    let shift = kept - i32::from(top.1) + i32::from(bottom.1);
    let (mut over, mut under) = (top.0, bottom.0);
    if shift >= 0 {
        over = over.checked_mul(power_of_ten(shift))?;
    } else {
        under = match under.checked_mul(power_of_ten(shift)) {
            Some(under) => under,
            None => return Some(0),
        };
    }
    let found = rounded(over, under)?.checked_mul(power_of_ten(scale - kept))?;
    found.to_i128().filter(|units| units.unsigned_abs() < 10u128.pow(38))
}

/// `numerator / denominator`, half away from zero; none where it does not fit, or for zero below.
pub fn rounded(numerator: i256, denominator: i256) -> Option<i256> {
    let quotient = numerator.checked_div(denominator)?;
    let rest = numerator.checked_rem(denominator)?;
    let up = rest.wrapping_abs() >= denominator.wrapping_abs().wrapping_sub(rest.wrapping_abs());
    let negative = numerator.is_negative() != denominator.is_negative();
    let step = if negative { i256::MINUS_ONE } else { i256::ONE };
    if up && rest != i256::ZERO { quotient.checked_add(step) } else { Some(quotient) }
}

/// Ten to the power of `|exponent|`.
pub fn power_of_ten(exponent: i32) -> i256 {
    i256::from_i128(10).wrapping_pow(exponent.unsigned_abs())
}

/// How many zeros at the end of a value of so many digits after the point are not shown.
pub(crate) fn zeros_left_out(units: i128, scale: i8) -> u32 {
    let units = i256::from_i128(units);
    let weight = if units == i256::ZERO { -1 } else { leading((units, scale)).0 };
    let least = (SIGNIFICANT - 4 * weight).clamp(0, scale.into());
    let most = (i32::from(scale) - least) as u32;
    (0..most).take_while(|n| units.wrapping_rem(power_of_ten(*n as i32 + 1)) == i256::ZERO).count() as u32
}

/// How many digits after the point PostgreSQL gives the quotient.
fn digits_after(top: Units, bottom: Units) -> i32 {
    let (top_weight, top_first) = leading(top);
    let (bottom_weight, bottom_first) = leading(bottom);
    let weight = top_weight - bottom_weight - i32::from(top_first <= bottom_first);
    // A quotient that is divided again has twenty digits in PostgreSQL.
    let after = |scale: i8| i32::from(if scale == FINE { FINE - 1 } else { scale });
    (SIGNIFICANT - 4 * weight).max(after(top.1)).max(after(bottom.1))
}

/// The first digit of base 10000 that is not zero, and its place: 0 before the point.
fn leading((units, scale): Units) -> (i32, i128) {
    let units = units.wrapping_abs();
    let Some(last) = digits(units) else { return (0, 0) };
    let weight = (last - i32::from(scale)).div_euclid(4);
    let cut = i32::from(scale) + 4 * weight;
    let first = match cut {
        0.. => units.wrapping_div(power_of_ten(cut)),
        _ => units.wrapping_mul(power_of_ten(cut)),
    };
    (weight, first.as_i128())
}

/// How many decimal digits come after the first one; none for zero.
fn digits(units: i256) -> Option<i32> {
    if let Some(small) = units.to_i128() {
        return small.unsigned_abs().checked_ilog10().map(|n| n as i32);
    }
    let (mut rest, mut count) = (units, 0);
    while rest.to_i128().is_none() {
        rest = rest.wrapping_div(i256::from_i128(10));
        count += 1;
    }
    Some(count + digits(rest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL 15 answers for `top::numeric / bottom::numeric`, cut to sixteen digits after the point.
    #[test]
    fn quotients_have_the_digits_of_postgresql() {
        let cases = [
            ((10, 0), (4, 0), "2.5000000000000000"),
            ((1, 0), (3, 0), "0.3333333333333333"),
            ((-2, 0), (3, 0), "-0.6666666666666667"),
            ((100_000, 0), (3, 0), "33333.3333333333330000"),
            ((-100_000, 0), (6, 0), "-16666.6666666666670000"),
            ((10_000_000_000_000_000_000_000, 0), (3, 0), "3333333333333333333333.0000000000000000"),
            ((20_000_000_000_000_000_000, 2), (3, 0), "66666666666666666.6700000000000000"),
            ((7, 0), (7, 0), "1.0000000000000000"),
            ((0, 2), (7, 0), "0.0000000000000000"),
            ((123_456, 4), (11, 1), "11.2232727272727273"),
        ];
        for ((top, top_scale), (bottom, bottom_scale), want) in cases {
            let units =
                quotient((i256::from_i128(top), top_scale), (i256::from_i128(bottom), bottom_scale), SCALE);
            let mut text = String::new();
            crate::value::Value::Decimal(units.unwrap(), SCALE).write_text(&mut text);
            assert_eq!(text, want, "{top}e-{top_scale} / {bottom}e-{bottom_scale}");
        }
        assert_eq!(quotient((i256::MAX, 0), (i256::ONE, 0), SCALE), None);
    }
}
