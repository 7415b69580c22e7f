//! `ExactSum`: a sum of doubles that is exact, so that it is the same in any order and a retraction leaves nothing behind.
//!
//! A finite double is `m * 2^e` with `|m| < 2^53`. Digits of base 2^32 are kept apart, each in an i128 that is never carried on:
//! a term adds less than 2^85 to one digit, so 2^42 terms fit. Rounding happens once, when the sum is read.
//! (The idea is Kulisch's long accumulator; kept sparse, because the terms of one group lie close together.)
use crate::Diff;

/// Sum of doubles with multiplicities.
#[derive(Clone, Default)]
pub(crate) struct ExactSum {
    digits: Digits,
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
            let (sign, mantissa, exponent) = parts(value);
            let place = exponent + BIAS;
            let amount = (i128::from(mantissa) << (place % 32)) * i128::from(diff) * sign;
            self.digits.add((place / 32) as u8, amount);
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
        self.digits.whole().value(BIAS)
    }

    /// Appends what it holds.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for count in [self.nan, self.plus_infinity, self.minus_infinity] {
            out.extend(count.to_le_bytes());
        }
        self.digits.write(out);
    }

    /// Adds what another one wrote, and takes it from the front of `bytes`.
    pub(crate) fn read(&mut self, bytes: &mut &[u8]) -> Option<()> {
        for count in [&mut self.nan, &mut self.plus_infinity, &mut self.minus_infinity] {
            *count += Diff::from_le_bytes(*first(bytes)?);
        }
        self.digits.read(bytes)
    }

    /// Whether a term is no number.
    pub(crate) fn is_special(&self) -> bool {
        self.nan > 0 || self.plus_infinity > 0 || self.minus_infinity > 0
    }

    /// The sum of the finite terms, in units of 2^-BIAS.
    pub(crate) fn whole(&self) -> Whole {
        self.digits.whole()
    }
}

/// Sum of products of two finite doubles with multiplicities, in units of 2^-(2 * BIAS): those of a product of two sums.
#[derive(Clone, Default)]
pub(crate) struct ExactProducts(Digits);

impl ExactProducts {
    /// Adds `a * b`, `diff` times. Both must be finite.
    pub(crate) fn add(&mut self, a: f64, b: f64, diff: Diff) {
        let ((sign, a, e), (other, b, f)) = (parts(a), parts(b));
        let (product, place) = (u128::from(a) * u128::from(b), e + f + 2 * BIAS);
        for part in 0..4 {
            let bits = i128::from((product >> (32 * part)) as u32);
            if bits != 0 {
                let amount = (bits << (place % 32)) * i128::from(diff) * sign * other;
                self.0.add((place / 32) as u8 + part, amount);
            }
        }
    }

    /// The sum.
    pub(crate) fn whole(&self) -> Whole {
        self.0.whole()
    }

    /// Appends what it holds.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    /// Adds what another one wrote, and takes it from the front of `bytes`.
    pub(crate) fn read(&mut self, bytes: &mut &[u8]) -> Option<()> {
        self.0.read(bytes)
    }
}

fn first<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

/// A finite double as sign * mantissa * 2^exponent.
fn parts(value: f64) -> (i128, u64, i32) {
    let bits = value.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let sign = if value < 0.0 { -1 } else { 1 };
    if exponent == 0 { (sign, fraction, -1074) } else { (sign, fraction | 1 << 52, exponent - 1075) }
}

/// A whole number: (digit, amount) is amount * 2^(32 * digit), ascending by digit.
#[derive(Clone, Default)]
struct Digits(Vec<(u8, i128)>);

impl Digits {
    fn add(&mut self, digit: u8, amount: i128) {
        match self.0.binary_search_by_key(&digit, |(d, _)| *d) {
            Ok(i) => {
                self.0[i].1 += amount;
                if self.0[i].1 == 0 {
                    self.0.remove(i);
                }
            }
            Err(i) => self.0.insert(i, (digit, amount)),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        // There are less digits than bytes have values.
        out.push(self.0.len() as u8);
        for (digit, amount) in &self.0 {
            out.push(*digit);
            out.extend(amount.to_le_bytes());
        }
    }

    fn read(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let [count] = *first(bytes)?;
        for _ in 0..count {
            let [digit] = *first(bytes)?;
            self.add(digit, i128::from_le_bytes(*first(bytes)?));
        }
        Some(())
    }

    fn whole(&self) -> Whole {
        let carried = |sign: i128| -> (Vec<u32>, i128) {
            let last = self.0.last().map_or(0, |(d, _)| *d as usize + 1);
            let (mut limbs, mut carry) = (Vec::with_capacity(last + 4), 0i128);
            let mut next = self.0.iter().peekable();
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
            (limbs, 0) => Whole { negative: false, limbs },
            _ => Whole { negative: true, limbs: carried(-1).0 },
        }
    }
}

/// A whole number as sign and magnitude: digits of base 2^32 from the lowest.
#[derive(Clone)]
pub(crate) struct Whole {
    negative: bool,
    limbs: Vec<u32>,
}

impl Whole {
    /// A count.
    pub(crate) fn of(count: Diff) -> Whole {
        let size = count.unsigned_abs();
        Whole { negative: count < 0, limbs: vec![size as u32, (size >> 32) as u32] }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.limbs.iter().all(|limb| *limb == 0)
    }

    pub(crate) fn times(&self, other: &Whole) -> Whole {
        let mut limbs = vec![0u32; self.limbs.len() + other.limbs.len()];
        for (i, a) in self.limbs.iter().enumerate().filter(|(_, a)| **a != 0) {
            let mut carry = 0u64;
            for (j, b) in other.limbs.iter().enumerate() {
                carry += u64::from(*a) * u64::from(*b) + u64::from(limbs[i + j]);
                limbs[i + j] = carry as u32;
                carry >>= 32;
            }
            limbs[i + other.limbs.len()] = carry as u32;
        }
        Whole { negative: self.negative != other.negative, limbs }
    }

    pub(crate) fn minus(&self, other: &Whole) -> Whole {
        let size = self.limbs.len().max(other.limbs.len()) + 1;
        let signed = |n: &Whole, i: usize| {
            let limb = n.limbs.get(i).copied().map_or(0, i64::from);
            if n.negative { -limb } else { limb }
        };
        let mut limbs = Vec::with_capacity(size);
        let mut carry = 0i64;
        for i in 0..size {
            carry += signed(self, i) - signed(other, i);
            limbs.push(carry as u32);
            carry >>= 32;
        }
        if carry < 0 {
            // Two's complement: the magnitude is the complement and one.
            let mut one = true;
            for limb in &mut limbs {
                let (flipped, more) = (!*limb).overflowing_add(u32::from(one));
                (*limb, one) = (flipped, more);
            }
        }
        Whole { negative: carry < 0, limbs }
    }

    /// The double nearest to this * 2^-bias, ties to even.
    pub(crate) fn value(&self, bias: i32) -> f64 {
        let value = round(&self.limbs, bias);
        if self.negative { -value } else { value }
    }

    /// The same for a number in the units of `ExactProducts`.
    pub(crate) fn product_value(&self) -> f64 {
        self.value(2 * BIAS)
    }
}

/// The double nearest to `limbs * 2^-bias`.
fn round(limbs: &[u32], bias: i32) -> f64 {
    let Some(top) = limbs.iter().rposition(|l| *l != 0) else { return 0.0 };
    let high = top as i32 * 32 + 31 - limbs[top].leading_zeros() as i32;
    // The lowest bit a double of this size can have; subnormals end at 2^-1074.
    let low = (high - 52).max(bias - 1074);
    let bit = |place: i32| place >= 0 && place <= high && limbs[place as usize / 32] >> (place % 32) & 1 == 1;
    let mut mantissa = (low..=high).rev().fold(0u64, |m, place| m << 1 | u64::from(bit(place)));
    let half = low > 0 && bit(low - 1);
    let rest = (0..low - 1).any(bit);
    if half && (rest || mantissa & 1 == 1) {
        mantissa += 1;
    }
    // Two exact factors: 2^-1074 itself cannot be had from one power below the normal range.
    let exponent = low - bias;
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
            assert!(exact.digits.0.is_empty() && exact.value() == 0.0);
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

    #[test]
    fn the_spread_of_numbers_far_from_zero_is_exact() {
        // n * sum(x * x) - sum(x)^2 of 2^60 + {0, 512, 1024}: 3 * 512^2 * 2.
        let (mut sum, mut squares) = (ExactSum::default(), ExactProducts::default());
        for x in [0.0, 512.0, 1024.0, 7e-300] {
            let x = x + 2f64.powi(60);
            sum.add(x, 1);
            squares.add(x, x, 1);
        }
        sum.add(2f64.powi(60), -1);
        squares.add(2f64.powi(60), 2f64.powi(60), -1);
        let spread = Whole::of(3).times(&squares.whole()).minus(&sum.whole().times(&sum.whole()));
        assert_eq!(spread.product_value(), 6.0 * 512.0 * 512.0);
        let zero = spread.minus(&spread);
        assert!(zero.is_zero() && !spread.is_zero());
        assert_eq!(zero.minus(&spread).product_value(), -6.0 * 512.0 * 512.0);
    }
}
