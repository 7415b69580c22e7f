//! Numbers: what a decimal or a float does in PostgreSQL where DataFusion does something else.
use super::call::{Kind, Takes, fail, native, native_to, strict};
use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;
use dataflows::quotient::{self, power_of_ten, rounded};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    use Kind::*;
    let double = |_: &[DataType]| DataType::Float64;
    let both: Takes = Takes::Forms(&[&[Double]]);
    vec![
        native("sqrt", both, double, |c, n, _| {
            checked(c, n, "cannot take square root of a negative number", |v| v >= 0.0, f64::sqrt)
        }),
        native("ln", both, double, |c, n, _| {
            checked(c, n, "cannot take logarithm of zero or a negative number", |v| v > 0.0, f64::ln)
        }),
        native("log10", both, double, |c, n, _| {
            checked(c, n, "cannot take logarithm of zero or a negative number", |v| v > 0.0, f64::log10)
        }),
        native("exp", both, double, |c, _, _| {
            computed(
                &[c[0].clone(), c[0].clone()],
                |v, _| v.exp(),
                |v, _, found: f64| {
                    overflow(&[v], found).or((found == 0.0 && v.is_finite()).then_some(UNDERFLOW))
                },
            )
        }),
        native(
            "bitwise_not",
            Takes::Forms(&[&[Integer]]),
            |_| DataType::Int64,
            |c, _, _| Ok(Arc::new(c[0].as_primitive::<Int64Type>().unary::<_, Int64Type>(|v| !v))),
        ),
        native("to_hex", Takes::Forms(&[&[Int], &[Integer]]), |_| DataType::Utf8, hexadecimal),
        native("div", Takes::Forms(&[&[Numeric, Numeric]]), |_| DataType::Decimal128(38, 0), whole_quotient),
    ]
}

/// The digits of the two's complement: an integer has 8, a bigint 16, where they are negative.
fn hexadecimal(columns: &[ArrayRef], rows: usize, _: &DataType) -> Result<ArrayRef> {
    let out = match columns[0].as_primitive_opt::<Int32Type>() {
        Some(column) => strict(columns, rows, |i| Ok(Some(format!("{:x}", column.value(i)))))?,
        None => {
            let column = columns[0].as_primitive::<Int64Type>();
            strict(columns, rows, |i| Ok(Some(format!("{:x}", column.value(i)))))?
        }
    };
    Ok(Arc::new(out.into_iter().collect::<StringArray>()))
}

fn checked(
    columns: &[ArrayRef],
    rows: usize,
    message: &str,
    fine: fn(f64) -> bool,
    f: fn(f64) -> f64,
) -> Result<ArrayRef> {
    let input = columns[0].as_primitive::<Float64Type>();
    let out = strict(columns, rows, |i| match input.value(i) {
        v if v.is_nan() || fine(v) => Ok(Some(f(v))),
        _ => fail(message),
    })?;
    Ok(Arc::new(out.into_iter().collect::<Float64Array>()))
}

const OVERFLOW: &str = "value out of range: overflow";
const UNDERFLOW: &str = "value out of range: underflow";

/// Why a float is no answer: it is infinite, and what it was made of was not.
fn overflow(of: &[f64], found: f64) -> Option<&'static str> {
    (found.is_infinite() && of.iter().all(|v| v.is_finite())).then_some(OVERFLOW)
}

/// A function of two floats, and why its result may be none. There is one NaN.
fn computed(
    columns: &[ArrayRef],
    f: impl Fn(f64, f64) -> f64,
    wrong: impl Fn(f64, f64, f64) -> Option<&'static str>,
) -> Result<ArrayRef> {
    let (a, b) = (columns[0].as_primitive::<Float64Type>(), columns[1].as_primitive::<Float64Type>());
    let nulls = NullBuffer::union(a.nulls(), b.nulls());
    let mut out = Vec::with_capacity(a.len());
    for (i, (a, b)) in a.values().iter().zip(b.values()).enumerate() {
        let found = f(*a, *b);
        if let Some(why) = wrong(*a, *b, found)
            && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(i))
        {
            return fail(why);
        }
        out.push(if found.is_nan() { f64::NAN } else { found });
    }
    Ok(Arc::new(Float64Array::new(out.into(), nulls)))
}

const FLOATS: Takes = Takes::Forms(&[&[Kind::Double, Kind::Double]]);

/// A float of the type wanted; one that is too large for it is an error.
fn single(found: ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if *to != DataType::Float32 {
        return Ok(found);
    }
    let wide = found.as_primitive::<Float64Type>();
    if wide.iter().flatten().any(|v| v.is_finite() && (v as f32).is_infinite()) {
        return fail(OVERFLOW);
    }
    Ok(Arc::new(wide.unary::<_, Float32Type>(|v| v as f32)))
}

/// `-x` of a float: there is one NaN.
pub(super) fn float_negative(to: DataType) -> ScalarUDF {
    native_to("float_negative", Takes::Forms(&[&[Kind::Double]]), to, |columns, _, to| {
        let input = columns[0].as_primitive::<Float64Type>();
        let found: Float64Array = input.unary(|v| if v.is_nan() { f64::NAN } else { -v });
        single(Arc::new(found), to)
    })
}

/// `power(a, b)` and `a ^ b` of floats and integers.
pub(super) fn float_power() -> ScalarUDF {
    native(
        "float_power",
        FLOATS,
        |_| DataType::Float64,
        |columns, _, _| {
            computed(columns, f64::powf, |a, b, found| match (a, b) {
                (0.0, b) if b < 0.0 => Some("zero raised to a negative power is undefined"),
                (a, b) if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 => {
                    Some("a negative number raised to a non-integer power yields a complex result")
                }
                (a, b) if a != 0.0 && a.is_finite() && b.is_finite() && found == 0.0 => Some(UNDERFLOW),
                (a, b) => overflow(&[a, b], found),
            })
        },
    )
}

/// The digits after the point that a product has at most where it must be cut to fit.
const PRODUCT_SCALE_MAX: i8 = 20;

/// Precision and scale of what stands beside a decimal.
pub(super) fn decimal(data_type: &DataType) -> Option<(u8, i8)> {
    use DataType::*;
    Some(match data_type {
        Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s) => (*p, *s),
        Int8 | UInt8 | Int16 | UInt16 | Int32 | UInt32 => (10, 0),
        Int64 | UInt64 => (20, 0),
        _ => return None,
    })
}

/// `left / right` of decimals.
pub(super) fn divided(left: (u8, i8), right: (u8, i8)) -> ScalarUDF {
    // The digits that a quotient has before the point at most.
    let whole = i16::from(left.0) - i16::from(left.1) + i16::from(right.1);
    let least = if whole <= i16::from(38 - quotient::FINE) { quotient::FINE } else { quotient::SCALE };
    let scale = least.max(left.1).max(right.1).min(37);
    let takes = Takes::Forms(&[&[Kind::Numeric, Kind::Numeric]]);
    native_to("numeric_div", takes, DataType::Decimal128(38, scale), divide)
}

/// `left * right` of decimals, where the exact product has more digits than there are.
pub(super) fn product(left: (u8, i8), right: (u8, i8)) -> Option<ScalarUDF> {
    let exact = left.1 + right.1;
    if left.0 + right.0 < 38 || exact <= PRODUCT_SCALE_MAX {
        return None;
    }
    let scale = PRODUCT_SCALE_MAX.max(left.1).max(right.1).min(37);
    let takes = Takes::Forms(&[&[Kind::Numeric, Kind::Numeric]]);
    Some(native_to("numeric_mul", takes, DataType::Decimal128(38, scale), multiply))
}

/// `div(left, right)`: the quotient without what is after the point.
fn whole_quotient(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let (a, b) = operands(columns);
    let found = strict(columns, rows, |i| {
        // Each is brought to the scale of both.
        let (top, bottom) = (
            i256::from_i128(a.value(i)).wrapping_mul(power_of_ten(b.scale().into())),
            i256::from_i128(b.value(i)).wrapping_mul(power_of_ten(a.scale().into())),
        );
        match top.checked_div(bottom) {
            Some(quotient) => fitting(Some(quotient), to),
            None => fail("division by zero"),
        }
    })?;
    Ok(Arc::new(found.into_iter().collect::<Decimal128Array>().with_data_type(to.clone())))
}

/// `left / right` of floats: zero is refused.
pub(super) fn float_quotient() -> ScalarUDF {
    native(
        "float_div",
        FLOATS,
        |_| DataType::Float64,
        |columns, _, _| {
            computed(
                columns,
                |a, b| a / b,
                |a, b, found| match (a, b) {
                    (a, 0.0) if !a.is_nan() => Some("division by zero"),
                    (a, b) if found == 0.0 && a != 0.0 && b.is_finite() => Some(UNDERFLOW),
                    (a, b) => overflow(&[a, b], found),
                },
            )
        },
    )
}

/// The type of `round(numeric, after)`, to which a cast rounds half away from zero. DataFusion's own function has a type that it plans
/// and another that it answers with.
pub(super) fn rounded_type(digits: u8, scale: i8, after: i8) -> DataType {
    let whole = i16::from(digits) - i16::from(scale) + 1;
    let digits = (whole + i16::from(after)).clamp(1.max(i16::from(after)), 38);
    DataType::Decimal128(digits as u8, after)
}

/// `round(float)`: half to even.
pub(super) fn round_even() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Double]]);
    native(
        "round_even",
        takes,
        |_| DataType::Float64,
        |columns, _, _| {
            let floats = columns[0].as_primitive::<Float64Type>();
            Ok(Arc::new(floats.unary::<_, Float64Type>(f64::round_ties_even)))
        },
    )
}

fn operands(columns: &[ArrayRef]) -> (&Decimal128Array, &Decimal128Array) {
    (columns[0].as_primitive(), columns[1].as_primitive())
}

fn fitting(value: Option<i256>, data_type: &DataType) -> Result<Option<i128>> {
    let found = value.and_then(i256::to_i128).filter(|v| v.unsigned_abs() < 10u128.pow(38));
    match found {
        Some(v) => Ok(Some(v)),
        None => fail(format!(
            "the result does not fit {}: cast the operands to fewer digits",
            dataflows::value::type_name(data_type)
        )),
    }
}

fn divide(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let (a, b) = operands(columns);
    let DataType::Decimal128(_, scale) = to else { return fail("numeric_div answers with a decimal") };
    let out = strict(columns, rows, |i| {
        let (top, bottom) = (i256::from_i128(a.value(i)), i256::from_i128(b.value(i)));
        if bottom == i256::ZERO {
            return fail("division by zero");
        }
        fitting(quotient::quotient((top, a.scale()), (bottom, b.scale()), *scale).map(i256::from_i128), to)
    })?;
    Ok(Arc::new(out.into_iter().collect::<Decimal128Array>().with_data_type(to.clone())))
}

fn multiply(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let (a, b) = operands(columns);
    let DataType::Decimal128(_, scale) = to else { return fail("numeric_mul answers with a decimal") };
    let cut = i32::from(a.scale()) + i32::from(b.scale()) - i32::from(*scale);
    let unit = power_of_ten(cut);
    let out = strict(columns, rows, |i| {
        let exact = i256::from_i128(a.value(i)).checked_mul(i256::from_i128(b.value(i)));
        fitting(exact.and_then(|v| if cut > 0 { rounded(v, unit) } else { v.checked_mul(unit) }), to)
    })?;
    Ok(Arc::new(out.into_iter().collect::<Decimal128Array>().with_data_type(to.clone())))
}
