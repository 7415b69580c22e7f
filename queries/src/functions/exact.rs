//! Numbers that keep their exactness: what PostgreSQL says of the type of `ceil`, `trunc` and `abs`, and casts between decimals and
//! floats, which DataFusion computes by a division.
use super::call::{Kind, Takes, fail, native_to, strict};
use arrow::array::*;
use arrow::datatypes::*;
use dataflows::quotient::{power_of_ten, rounded};
use dataflows::value::type_name;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// `abs(integer)`: the least integer has none.
pub(super) fn integer_abs(of: DataType) -> ScalarUDF {
    native_to("integer_abs", Takes::Forms(&[&[Kind::Any]]), of, |columns, rows, to| {
        let wide = arrow::compute::cast(&columns[0], &DataType::Int64)?;
        let wide = wide.as_primitive::<Int64Type>();
        let most = match to {
            DataType::Int8 => i8::MAX.into(),
            DataType::Int16 => i16::MAX.into(),
            DataType::Int32 => i32::MAX.into(),
            _ => i64::MAX,
        };
        let found = strict(columns, rows, |i| match wide.value(i).checked_abs() {
            Some(found) if found <= most => Ok(Some(found)),
            _ => fail(format!("{} out of range", type_name(to))),
        })?;
        let found: ArrayRef = Arc::new(found.into_iter().collect::<Int64Array>());
        Ok(arrow::compute::cast(&found, to)?)
    })
}

/// Which whole number a decimal is brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Up,
    Down,
    ToZero,
}

/// `ceil`, `floor` and `trunc` of a decimal, to so many places after the point; the places are the second argument.
pub(super) fn cut(how: Cut, (digits, scale): (u8, i8), places: i8) -> ScalarUDF {
    let after = places.max(0);
    let whole = (i16::from(digits) - i16::from(scale)).max(0) + 1;
    let digits = (whole + i16::from(after)).clamp(1.max(i16::from(after)), 38) as u8;
    let takes = Takes::Forms(&[&[Kind::Numeric, Kind::Integer]]);
    let to = DataType::Decimal128(digits, after);
    match how {
        Cut::Up => native_to("numeric_ceil", takes, to, |c, n, to| cut_column(c, n, to, Cut::Up)),
        Cut::Down => native_to("numeric_floor", takes, to, |c, n, to| cut_column(c, n, to, Cut::Down)),
        Cut::ToZero => native_to("numeric_trunc", takes, to, |c, n, to| cut_column(c, n, to, Cut::ToZero)),
    }
}

fn cut_column(columns: &[ArrayRef], rows: usize, to: &DataType, how: Cut) -> Result<ArrayRef> {
    let (input, places) =
        (columns[0].as_primitive::<Decimal128Type>(), columns[1].as_primitive::<Int64Type>());
    let found = strict(columns, rows, |i| {
        let (units, places) = (i256::from_i128(input.value(i)), places.value(i).clamp(-38, 38) as i32);
        let less = i32::from(input.scale()) - places;
        let kept = match less {
            ..=0 => units.checked_mul(power_of_ten(less)),
            less => {
                let unit = power_of_ten(less);
                let (cut, rest) = (units.wrapping_div(unit), units.wrapping_rem(unit));
                let step = match how {
                    Cut::Up if rest > i256::ZERO => i256::ONE,
                    Cut::Down if rest < i256::ZERO => i256::MINUS_ONE,
                    _ => i256::ZERO,
                };
                Some(cut.wrapping_add(step))
            }
        };
        // Places before the point are zeros of a whole number.
        let kept = kept.and_then(|kept| kept.checked_mul(power_of_ten(places.min(0))));
        fitting(kept, to).map(Some)
    })?;
    Ok(Arc::new(found.into_iter().collect::<Decimal128Array>().with_data_type(to.clone())))
}

fn fitting(found: Option<i256>, to: &DataType) -> Result<i128> {
    let most = match to {
        DataType::Decimal128(digits, _) => 10u128.pow((*digits).min(38).into()),
        _ => 0,
    };
    match found.and_then(i256::to_i128).filter(|found| found.unsigned_abs() < most) {
        Some(found) => Ok(found),
        None => fail(format!("numeric field overflow: the value does not fit {}", type_name(to))),
    }
}

/// A float as a decimal: by as many digits as PostgreSQL trusts it with, 6 of a real and 15 of a double.
pub(super) fn float_to_decimal(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(_, scale) = to else { return fail("to_numeric answers with a decimal") };
    let trusted = if columns[0].data_type() == &DataType::Float64 { 15 } else { 6 };
    let floats = arrow::compute::cast(&columns[0], &DataType::Float64)?;
    let floats = floats.as_primitive::<Float64Type>();
    let found = strict(columns, rows, |i| {
        let float = floats.value(i);
        if !float.is_finite() {
            return fail(format!("cannot convert {} to numeric: a numeric has digits only", named(float)));
        }
        let text = format!("{float:.*e}", trusted - 1);
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let units: i128 = mantissa.replace('.', "").parse().unwrap_or(0);
        let exponent: i32 = exponent.parse().unwrap_or(0);
        let shift = exponent - (trusted as i32 - 1) + i32::from(*scale);
        let units = i256::from_i128(units);
        let found = match shift {
            0..=60 => units.checked_mul(power_of_ten(shift)),
            61.. => None,
            -60..0 => rounded(units, power_of_ten(shift)),
            ..-60 => Some(i256::ZERO),
        };
        fitting(if units == i256::ZERO { Some(units) } else { found }, to).map(Some)
    })?;
    Ok(Arc::new(found.into_iter().collect::<Decimal128Array>().with_data_type(to.clone())))
}

fn named(float: f64) -> &'static str {
    if float.is_nan() { "NaN" } else { "infinity" }
}

/// The float that is nearest to a decimal.
pub(super) fn decimal_to_float(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    const EXACT: i128 = 1 << 53;
    let input = columns[0].as_primitive::<Decimal128Type>();
    let scale = input.scale();
    let text = |units: i128| format!("{units}e{}", -i32::from(scale));
    // A whole number and a power of ten that floats have give the nearest float by one division.
    let near = |units: i128| match (units.abs() <= EXACT, scale) {
        (true, 0..=22) => units as f64 / 10f64.powi(scale.into()),
        _ => text(units).parse().unwrap_or(f64::NAN),
    };
    Ok(match to {
        DataType::Float32 => {
            let found =
                strict(columns, rows, |i| Ok(Some(text(input.value(i)).parse().unwrap_or(f32::NAN))))?;
            Arc::new(found.into_iter().collect::<Float32Array>())
        }
        _ => Arc::new(input.unary::<_, Float64Type>(near)),
    })
}
