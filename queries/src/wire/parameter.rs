//! Parameters: the types that a statement expects, and the values that were bound.
use super::command::Command;
use super::fault::{fault, fault_of_plan};
use super::{binary, oid};
use arrow::array::{ArrayRef, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use std::sync::Arc;

/// The type of each parameter: what the client says, else what the statement was found to expect, else what a cast
/// beside it says, else text.
pub(super) fn types(
    command: &Command,
    said: &[Option<Type>],
    expected: &[Option<Type>],
) -> PgWireResult<Vec<Type>> {
    let count = command.parameters()?.max(said.len());
    let at = |list: &[Option<Type>], i: usize| {
        list.get(i).cloned().flatten().filter(|datatype| *datatype != Type::UNKNOWN)
    };
    let mut known: Vec<Option<Type>> = (0..count).map(|i| at(said, i).or_else(|| at(expected, i))).collect();
    for (place, (token, _)) in command.tokens.iter().enumerate() {
        if let Token::Placeholder(text) = token
            && let Ok(number) = text.trim_start_matches('$').parse::<usize>()
            && let Some(slot @ None) = known.get_mut(number.wrapping_sub(1))
        {
            *slot = written(command, place);
        }
    }
    Ok(known.into_iter().map(|datatype| datatype.unwrap_or(Type::TEXT)).collect())
}

/// The type that stands beside a parameter: a cast, or a number of rows.
fn written(command: &Command, at: usize) -> Option<Type> {
    let token = |at: usize| command.tokens.get(at).map(|(token, _)| token);
    let opens = |at: usize| matches!(command.word(at).as_deref(), Some("CAST" | "TRY_CAST"));
    let is_cast = at >= 2 && token(at - 1) == Some(&Token::LParen) && opens(at - 2);
    let casts = token(at + 1) == Some(&Token::DoubleColon)
        || is_cast && command.word(at + 1).as_deref() == Some("AS");
    if casts {
        let text = &command.sql[command.tokens.get(at + 2)?.1.start..];
        let datatype = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_data_type().ok()?;
        return named(&datatype.to_string().to_uppercase());
    }
    let before = at.checked_sub(1).and_then(|before| command.word(before));
    matches!(before.as_deref(), Some("LIMIT" | "OFFSET" | "FIRST" | "NEXT")).then_some(Type::INT8)
}

/// The type of a name in SQL, in capitals.
pub(super) fn named(name: &str) -> Option<Type> {
    if let Some(inner) = name.strip_suffix("[]") {
        return oid::array_of_element(&named(inner)?);
    }
    let base = name.split('(').next().unwrap_or_default().trim();
    Some(match base {
        "BOOL" | "BOOLEAN" => Type::BOOL,
        "SMALLINT" | "INT2" => Type::INT2,
        "INT" | "INTEGER" | "INT4" => Type::INT4,
        "BIGINT" | "INT8" => Type::INT8,
        "REAL" | "FLOAT4" => Type::FLOAT4,
        "DOUBLE PRECISION" | "DOUBLE" | "FLOAT8" | "FLOAT" => Type::FLOAT8,
        "NUMERIC" | "DECIMAL" | "DEC" => Type::NUMERIC,
        "TEXT" => Type::TEXT,
        "VARCHAR" | "CHARACTER VARYING" => Type::VARCHAR,
        "BYTEA" => Type::BYTEA,
        "DATE" => Type::DATE,
        "TIME" => Type::TIME,
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => Type::TIMESTAMPTZ,
        "TIMESTAMP" if name.contains("WITH TIME ZONE") => Type::TIMESTAMPTZ,
        "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => Type::TIMESTAMP,
        "INTERVAL" => Type::INTERVAL,
        "UUID" => Type::UUID,
        "JSON" => Type::JSON,
        "JSONB" => Type::JSONB,
        _ => return None,
    })
}

/// A value as a client bound it; no bytes are NULL.
pub(super) fn value(bytes: Option<&[u8]>, is_binary: bool, datatype: &Type) -> PgWireResult<ScalarValue> {
    if let Some(inner) = oid::element_of(datatype) {
        return list(bytes, is_binary, &inner);
    }
    let Some(bytes) = bytes else {
        return ScalarValue::try_from(&arrow_type(datatype)).map_err(|why| fault("22023", why.to_string()));
    };
    match is_binary {
        true => scalar(&binary::read(bytes, datatype)?, datatype),
        false => scalar(binary::utf8(bytes)?, datatype),
    }
}

/// What a value of a type is in Arrow; a numeric has the scale of its digits.
fn arrow_type(datatype: &Type) -> DataType {
    match *datatype {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC => DataType::Decimal128(38, 10),
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => DataType::Utf8,
    }
}

fn scalar(text: &str, datatype: &Type) -> PgWireResult<ScalarValue> {
    let invalid = || invalid(datatype, text);
    let trimmed = text.trim();
    Ok(match *datatype {
        Type::BOOL => match trimmed.to_lowercase().as_str() {
            "t" | "true" | "1" | "on" | "y" | "yes" => ScalarValue::Boolean(Some(true)),
            "f" | "false" | "0" | "off" | "n" | "no" => ScalarValue::Boolean(Some(false)),
            _ => return Err(invalid()),
        },
        Type::INT2 => ScalarValue::Int16(Some(trimmed.parse().map_err(|_| invalid())?)),
        Type::INT4 => ScalarValue::Int32(Some(trimmed.parse().map_err(|_| invalid())?)),
        Type::INT8 | Type::OID => ScalarValue::Int64(Some(trimmed.parse().map_err(|_| invalid())?)),
        Type::FLOAT4 => ScalarValue::Float32(Some(trimmed.parse().map_err(|_| invalid())?)),
        Type::FLOAT8 => ScalarValue::Float64(Some(trimmed.parse().map_err(|_| invalid())?)),
        Type::NUMERIC => numeric(trimmed)?,
        Type::BYTEA => ScalarValue::Binary(Some(bytea(text)?)),
        Type::INTERVAL => {
            let words = crate::functions::interval_words(trimmed);
            ScalarValue::from(words.as_str()).cast_to(&arrow_type(datatype)).map_err(|_| invalid())?
        }
        // A driver that sends a date as text may put its zone behind, which says nothing of a day.
        Type::DATE => {
            let day = match trimmed.split_once(' ') {
                Some((day, zone)) if zone.starts_with(['+', '-']) => day,
                _ => trimmed,
            };
            ScalarValue::from(day).cast_to(&DataType::Date32).map_err(|_| invalid())?
        }
        Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            ScalarValue::from(trimmed).cast_to(&arrow_type(datatype)).map_err(|_| invalid())?
        }
        _ => ScalarValue::from(text),
    })
}

fn invalid(datatype: &Type, text: &str) -> PgWireError {
    fault("22P02", format!("invalid input syntax for type {}: {text:?}", datatype.name()))
}

/// A decimal keeps every digit that it was written with.
fn numeric(text: &str) -> PgWireResult<ScalarValue> {
    let invalid = || invalid(&Type::NUMERIC, text);
    let too_long = || fault("22003", format!("numeric {text} has more than 38 digits"));
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| invalid())?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if !digits.trim_start_matches(['-', '+']).bytes().all(|b| b.is_ascii_digit())
        || !digits.bytes().any(|b| b.is_ascii_digit())
        || digits.rfind(['-', '+']).is_some_and(|at| at > 0)
    {
        return Err(invalid());
    }
    let value: i128 = digits.parse().map_err(|_| too_long())?;
    let scale = fraction.len() as i64 - exponent;
    let (value, scale) = match scale {
        ..0 => {
            let zeros = u32::try_from(-scale).map_err(|_| too_long())?;
            (10_i128.checked_pow(zeros).and_then(|ten| value.checked_mul(ten)).ok_or_else(too_long)?, 0)
        }
        scale => (value, i8::try_from(scale).ok().filter(|scale| *scale <= 38).ok_or_else(too_long)?),
    };
    if value.unsigned_abs() >= 10_u128.pow(38) {
        return Err(too_long());
    }
    Ok(ScalarValue::Decimal128(Some(value), 38, scale))
}

fn bytea(text: &str) -> PgWireResult<Vec<u8>> {
    let Some(hex) = text.strip_prefix("\\x") else {
        return match text.contains('\\') {
            true => Err(fault("0A000", "bytea parameters are written in hex, as in \\x00ff".into())),
            false => Ok(text.as_bytes().to_vec()),
        };
    };
    let digit = |c: u8| char::from(c).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    };
    hex.as_bytes().chunks(2).map(pair).collect::<Option<_>>().ok_or_else(|| invalid(&Type::BYTEA, text))
}

fn list(bytes: Option<&[u8]>, is_binary: bool, inner: &Type) -> PgWireResult<ScalarValue> {
    let plain = arrow_type(inner);
    let Some(bytes) = bytes else {
        return ScalarValue::try_from(&DataType::new_list(plain, true))
            .map_err(|why| fault("22023", why.to_string()));
    };
    let texts = match is_binary {
        true => binary::read_list(bytes, inner)?,
        false => elements(binary::utf8(bytes)?)?,
    };
    let element = |text: &Option<String>| match text {
        Some(text) => scalar(text, inner),
        None => value(None, false, inner),
    };
    let mut values: Vec<ScalarValue> = texts.iter().map(element).collect::<PgWireResult<_>>()?;
    // Decimals of one array have one scale.
    let scale = |value: &ScalarValue| match value {
        ScalarValue::Decimal128(Some(_), _, scale) => Some(*scale),
        _ => None,
    };
    if let Some(scale) = values.iter().filter_map(scale).max() {
        for value in &mut values {
            *value = value.cast_to(&DataType::Decimal128(38, scale)).map_err(fault_of_plan)?;
        }
    }
    let column: ArrayRef = match values.is_empty() {
        true => new_empty_array(&plain),
        false => ScalarValue::iter_to_array(values).map_err(fault_of_plan)?,
    };
    let field = Arc::new(Field::new_list_field(column.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([column.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::new(field, offsets, column, None))))
}

/// The elements of an array's text, such as `{1,NULL,"a,b"}`.
fn elements(text: &str) -> PgWireResult<Vec<Option<String>>> {
    let malformed = || fault("22P02", format!("malformed array literal: {text:?}"));
    let inside =
        text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(malformed)?;
    let mut values = Vec::new();
    let mut rest = inside.chars().peekable();
    while rest.peek().is_some() {
        let mut value = String::new();
        let mut was_quoted = false;
        while let Some(c) = rest.next_if(|c| *c != ',') {
            match c {
                '"' => {
                    was_quoted = true;
                    loop {
                        match rest.next().ok_or_else(malformed)? {
                            '"' => break,
                            '\\' => value.push(rest.next().ok_or_else(malformed)?),
                            c => value.push(c),
                        }
                    }
                }
                '\\' => value.push(rest.next().ok_or_else(malformed)?),
                '{' | '}' => return Err(fault("0A000", "array parameters have one dimension here".into())),
                c => value.push(c),
            }
        }
        rest.next();
        values.push(match was_quoted {
            true => Some(value),
            false => Some(value.trim().to_string()).filter(|value| !value.eq_ignore_ascii_case("null")),
        });
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_a_value_of_its_type() {
        let cases = [
            (Type::INT4, "-5", ScalarValue::Int32(Some(-5))),
            (Type::TEXT, "it's", ScalarValue::from("it's")),
            (Type::NUMERIC, "12.50", ScalarValue::Decimal128(Some(1250), 38, 2)),
            (Type::NUMERIC, "-1.5e-3", ScalarValue::Decimal128(Some(-15), 38, 4)),
            (Type::NUMERIC, "7e2", ScalarValue::Decimal128(Some(700), 38, 0)),
            (Type::BOOL, "t", ScalarValue::Boolean(Some(true))),
            (Type::DATE, "1970-01-02", ScalarValue::Date32(Some(1))),
            (Type::DATE, "1970-01-02 +00", ScalarValue::Date32(Some(1))),
            (Type::BYTEA, "\\x00ff", ScalarValue::Binary(Some(vec![0, 255]))),
        ];
        for (datatype, text, expected) in cases {
            assert_eq!(value(Some(text.as_bytes()), false, &datatype).expect("it is a value"), expected);
        }
        for (datatype, text) in [(Type::INT4, "1; drop"), (Type::NUMERIC, "1-2"), (Type::BYTEA, "\\x0")] {
            assert!(value(Some(text.as_bytes()), false, &datatype).is_err());
        }
        let texts = elements("{\"a,b\",\"NULL\",c,NULL}").expect("it is an array");
        assert_eq!(texts, [Some("a,b".into()), Some("NULL".into()), Some("c".into()), None]);
    }
}
