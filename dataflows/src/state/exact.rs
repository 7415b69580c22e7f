//! `ExactSum`: a sum of doubles that is exact, so that it is the same in any order and a retraction leaves nothing behind.
//!
//! A finite double is `m * 2^e` with `|m| < 2^53`. Digits of base 2^32 are kept apart, each in an i128 that is never carried on:
//! a term adds less than 2^85 to one digit, so 2^42 terms fit. Rounding happens once, when the sum is read.
//! (The idea is Kulisch's long accumulator; kept sparse, because the terms of one group lie close together.)
use crate::Diff;

/// Sum and count of doubles with multiplicities.
#[derive(Clone, Default)]
pub(crate) struct ExactSum {
    /// (digit, amount): amount * 2^(32 * digit - 1088), ascending by digit.
    digits: Vec<(u8, i128)>,
    nan: Diff,
    plus_infinity: Diff,
    minus_infinity: Diff,
}

/// 2^(32 * 0 - BIAS) is below the smallest subnormal's unit, 2^-1074.
const BIAS: i32 = 1088;

impl ExactSum {
    /// Adds `value`, `diff` times.
    pub(crate) fn add(&mut self, value: f64, diff: Diff) {
        if value.is_nan() {
            self.nan += diff;
        } else if value == f64::INFINITY {
            self.plus_infinity += diff;
        } else if value == f64::NEG_INFINITY {
            self.minus_infinity += diff;
        } else if value != 0.0 {
            let bits = value.to_bits();
            let exponent = ((bits >> 52) & 0x7ff) as i32;
            let fraction = (bits & ((1 << 52) - 1)) as i128;
            let (mantissa, exponent) =
                if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) };
            let place = exponent + BIAS;
            let amount = (mantissa << (place % 32)) * i128::from(diff) * if value < 0.0 { -1 } else { 1 };
            self.add_digit((place / 32) as u8, amount);
        }
    }

    fn add_digit(&mut self, digit: u8, amount: i128) {
        match self.digits.binary_search_by_key(&digit, |(d, _)| *d) {
            Ok(i) => {
                self.digits[i].1 += amount;
                if self.digits[i].1 == 0 {
                    self.digits.remove(i);
                }
            }
            Err(i) => self.digits.insert(i, (digit, amount)),
        }
    }

    /// The sum, rounded once to the nearest double (ties to even).
    pub(crate) fn value(&self) -> f64 {
        if self.nan > 0 || (self.plus_infinity > 0 && self.minus_infinity > 0) {
            return f64::NAN;
        }
        if self.plus_infinity > 0 {
            return f64::INFINITY;
        }
        if self.minus_infinity > 0 {
            return f64::NEG_INFINITY;
        }
        let (negative, limbs) = self.limbs();
        let value = round(&limbs);
        if negative { -value } else { value }
    }

    /// Sign and magnitude: digits of base 2^32 from the lowest, carried.
    fn limbs(&self) -> (bool, Vec<u32>) {
        let carried = |sign: i128| -> (Vec<u32>, i128) {
            let last = self.digits.last().map_or(0, |(d, _)| *d as usize + 1);
            let (mut limbs, mut carry) = (Vec::with_capacity(last + 4), 0i128);
            let mut next = self.digits.iter().peekable();
            for digit in 0..last + 4 {
                if let Some((_, amount)) = next.next_if(|(d, _)| *d as usize == digit) {
                    carry += amount * sign;
                }
                limbs.push(carry as u32);
                carry >>= 32;
            }
            (limbs, carry)
        };
        match carried(1) {
            (limbs, 0) => (false, limbs),
            _ => (true, carried(-1).0),
        }
    }
}

/// The double nearest to `limbs * 2^-BIAS`.
fn round(limbs: &[u32]) -> f64 {
    let Some(top) = limbs.iter().rposition(|l| *l != 0) else { return 0.0 };
    let high = top as i32 * 32 + 31 - limbs[top].leading_zeros() as i32;
    // The lowest bit a double of this size can have; subnormals end at 2^-1074.
    let low = (high - 52).max(BIAS - 1074);
    let bit = |place: i32| place >= 0 && limbs[place as usize / 32] >> (place % 32) & 1 == 1;
    let mut mantissa = (low..=high).rev().fold(0u64, |m, place| m << 1 | u64::from(bit(place)));
    let half = low > 0 && bit(low - 1);
    let rest = (0..low - 1).any(bit);
    if half && (rest || mantissa & 1 == 1) {
        mantissa += 1;
    }
    // Two exact factors: 2^-1074 itself cannot be had from one power below the normal range.
    let exponent = low - BIAS;
    mantissa as f64 * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact_and_retractions_leave_nothing() {
        let cases: [(&[f64], f64); 8] = [
            (&[0.1, 0.2], 0.1 + 0.2),
            (&[1e308, 1e308, -1e308], 1e308),
            (&[1e16, 1.0, -1e16], 1.0),
            (&[5e-324, 5e-324], 1e-323),
            (&[-1.5, 0.25], -1.25),
            (
                &[1.0, 1e-17, 1e-17, 1e-17, 1e-17, 1e-17, 1e-17, 1e-17, 1e-17, 1e-17, 1e-17, 1e-17, 1e-17],
                1.0000000000000002,
            ),
            (&[f64::MAX, f64::MAX], f64::INFINITY),
            (&[2.2250738585072014e-308, -5e-324], 2.225073858507201e-308),
        ];
        for (terms, sum) in cases {
            let mut exact = ExactSum::default();
            terms.iter().for_each(|t| exact.add(*t, 1));
            assert_eq!(exact.value(), sum, "{terms:?}");
            terms.iter().rev().for_each(|t| exact.add(*t, -1));
            assert!(exact.digits.is_empty() && exact.value() == 0.0);
        }
    }

    #[test]
    fn infinities_and_nan_can_be_taken_back() {
        let mut exact = ExactSum::default();
        exact.add(2.0, 3);
        exact.add(f64::INFINITY, 1);
        assert_eq!(exact.value(), f64::INFINITY);
        exact.add(f64::NEG_INFINITY, 1);
        assert!(exact.value().is_nan());
        exact.add(f64::INFINITY, -1);
        exact.add(f64::NEG_INFINITY, -1);
        assert_eq!(exact.value(), 6.0);
    }
}
