//! `format`: texts put in the places of `%s`, `%I` and `%L`.
use super::call::{Kind, RESULT_BYTES_MAX, Takes, bounded, fail, native};
use super::cast;
use arrow::array::*;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![native("format", Takes::Rest(&[Kind::Text], Kind::Any), |_| DataType::Utf8, formatted)]
}

fn formatted(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    let texts: Vec<StringArray> = columns.iter().map(cast::cells_of).collect();
    let mut out = StringBuilder::new();
    for i in 0..rows {
        let value = |k: usize| texts[k].is_valid(i).then(|| texts[k].value(i));
        match value(0) {
            None => out.append_null(),
            Some(pattern) => {
                let text = one(pattern, texts.len() - 1, |k| value(k + 1))?;
                bounded("format", text.len())?;
                out.append_value(text);
            }
        }
    }
    Ok(Arc::new(out.finish()))
}

fn one<'a>(pattern: &str, count: usize, value: impl Fn(usize) -> Option<&'a str>) -> Result<String> {
    let (mut out, mut next) = (String::new(), 0usize);
    let mut chars = pattern.chars().peekable();
    let known = |k: usize| if k < count { Ok(k) } else { fail("too few arguments for format()") };
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut place = None;
        let mut width = digits(&mut chars)?;
        if width.is_some() && chars.next_if_eq(&'$').is_some() {
            match width.take() {
                Some(0) => return fail("format specifies argument 0, but arguments are numbered from 1"),
                number => place = number.map(|number| number - 1),
            }
        }
        let mut left = false;
        if width.is_none() {
            while chars.next_if_eq(&'-').is_some() {
                left = true;
            }
            width = digits(&mut chars)?;
        }
        if width.is_none() && chars.next_if_eq(&'*').is_some() {
            let at = digits(&mut chars)?;
            let at = match at {
                Some(number) if chars.next_if_eq(&'$').is_some() => number.saturating_sub(1),
                Some(_) => return fail("width argument position must be ended by \"$\""),
                None => {
                    next += 1;
                    next - 1
                }
            };
            let number: i64 = match value(known(at)?).map(str::parse) {
                None => 0,
                Some(Ok(number)) => number,
                Some(Err(_)) => return fail("the width of format() is no number"),
            };
            left |= number < 0;
            width = Some(usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX));
        }
        let Some(kind @ ('s' | 'I' | 'L')) = chars.next() else {
            return fail("unrecognized format() type specifier: known are %s, %I, %L and %%");
        };
        let at = known(place.unwrap_or(next))?;
        next = at + 1;
        let text = match (kind, value(at)) {
            ('s', text) => text.unwrap_or_default().to_string(),
            ('I', Some(text)) => super::text::quoted_name(text),
            ('I', None) => return fail("null values cannot be formatted as an SQL identifier"),
            (_, Some(text)) => super::text::quoted_literal(text),
            (_, None) => "NULL".into(),
        };
        let missing = width.unwrap_or(0).saturating_sub(text.chars().count());
        bounded("format", missing.min(RESULT_BYTES_MAX + 1))?;
        let blanks = " ".repeat(missing);
        out.push_str(&if left { text + &blanks } else { blanks + &text });
    }
    Ok(out)
}

fn digits(chars: &mut Peekable<Chars<'_>>) -> Result<Option<usize>> {
    let mut found: Option<usize> = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit).and_then(|c| c.to_digit(10)) {
        let number = found.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(digit as usize));
        match number.filter(|number| *number <= i32::MAX as usize) {
            Some(number) => found = Some(number),
            None => return fail("number is out of range"),
        }
    }
    Ok(found)
}
