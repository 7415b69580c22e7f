//! `Literal`: a value that a URL spells, typed by the column it stands for.
use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray,
    UInt64Array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema};
use dataflows::codec::Codec;
use dataflows::value::{Value, type_name};
use std::sync::Arc;

/// A value of a column's type.
pub(super) struct Literal {
    codec: Codec,
    bytes: Vec<u8>,
    column: ArrayRef,
}

impl Literal {
    /// What a text means as a value of a type.
    pub(super) fn parse(data_type: &DataType, text: &str) -> Result<Literal, String> {
        let column = column(data_type, text)?;
        let schema = Schema::new(vec![Field::new("value", data_type.clone(), true)]);
        let codec = Codec::new(&Arc::new(schema))?;
        let bytes = codec.encode(std::slice::from_ref(&column), 1).bytes;
        Ok(Literal { codec, bytes, column })
    }

    /// The value as a column of one row.
    pub(super) fn column(&self) -> &ArrayRef {
        &self.column
    }

    /// The value.
    pub(super) fn value(&self) -> Value<'_> {
        self.codec.values(&self.bytes).next().expect("a literal is a row of one column")
    }
}

/// A column of one value.
pub(super) fn column(data_type: &DataType, text: &str) -> Result<ArrayRef, String> {
    let wrong = || format!("\"{text}\" is not a {}", type_name(data_type));
    let array: ArrayRef = match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from(vec![boolean(text).ok_or_else(wrong)?])),
        DataType::UInt64 => Arc::new(UInt64Array::from(vec![text.parse::<u64>().map_err(|_| wrong())?])),
        kind if kind.is_integer() => {
            Arc::new(Int64Array::from(vec![text.parse::<i64>().map_err(|_| wrong())?]))
        }
        kind if kind.is_floating() => {
            Arc::new(Float64Array::from(vec![text.parse::<f64>().map_err(|_| wrong())?]))
        }
        DataType::Decimal128(precision, scale) => {
            let units = decimal(text, *precision, *scale).ok_or_else(wrong)?;
            let array = Decimal128Array::from(vec![units]).with_precision_and_scale(*precision, *scale);
            Arc::new(array.map_err(|_| wrong())?)
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            Arc::new(BinaryArray::from(vec![&hex(text).ok_or_else(wrong)?[..]]))
        }
        kind if kind.is_nested() => return Err(format!("a {} cannot be compared", type_name(kind))),
        _ => Arc::new(StringArray::from(vec![text])),
    };
    if array.data_type() == data_type {
        return Ok(array);
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let array = cast_with_options(&array, data_type, &strict).map_err(|_| wrong())?;
    if array.is_null(0) { Err(wrong()) } else { Ok(array) }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "t" => Some(true),
        "false" | "f" => Some(false),
        _ => None,
    }
}

/// Exact units of a decimal text; none if a digit other than 0 would be lost.
fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::try_from(scale).ok()?;
    let fraction = fraction.trim_end_matches('0');
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !all_digits || whole.is_empty() || fraction.len() > scale {
        return None;
    }
    let units: i128 = format!("{whole}{fraction:0<scale$}").parse().ok()?;
    (units < 10i128.checked_pow(u32::from(precision))?).then_some(if negative { -units } else { units })
}

/// Bytes as PostgreSQL prints them: `\x00ff`.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.strip_prefix("\\x")?.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        let cases = [
            ("12.5", Some(1250)),
            ("-0.01", Some(-1)),
            ("12.500", Some(1250)),
            ("12.505", None),
            ("99999.99", Some(9_999_999)),
            ("100000", None),
            ("1e3", None),
            ("", None),
            (".5", None),
            ("+1", None),
        ];
        for (text, units) in cases {
            assert_eq!(decimal(text, 7, 2), units, "{text}");
        }
    }

    #[test]
    fn a_text_is_typed_by_its_column() {
        let cases = [
            (DataType::Int16, "12", Ok("12")),
            (DataType::Int16, "70000", Err("\"70000\" is not a smallint")),
            (DataType::Utf8View, "a", Ok("a")),
            (DataType::Date32, "2011-01-18", Ok("2011-01-18")),
            (DataType::Date32, "soon", Err("\"soon\" is not a date")),
            (DataType::Boolean, "t", Ok("t")),
            (DataType::Float64, "1e3", Ok("1000")),
            (DataType::Binary, "\\x00fF", Ok("\\x00ff")),
            (DataType::Binary, "\\x0", Err("\"\\x0\" is not a bytea")),
        ];
        for (data_type, text, expected) in cases {
            let result = Literal::parse(&data_type, text).map(|literal| {
                let mut out = String::new();
                literal.value().write_text(&mut out);
                out
            });
            assert_eq!(result.as_deref().map_err(|e| e.as_str()), expected);
        }
    }
}
