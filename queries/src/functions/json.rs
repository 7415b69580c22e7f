//! JSON is text: a document as it was written, or, made by `jsonb`, in the one form PostgreSQL prints.
mod build;
mod document;

use super::call::{Kind, Takes, fail, native, strict};
use super::cast;
use arrow::array::*;
use arrow::datatypes::*;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use document::{Document, element_of, key_of, parse, unquoted};
use std::sync::Arc;

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    use Kind::*;
    let text = |_: &[DataType]| DataType::Utf8;
    let one = Takes::Forms(&[&[Any]]);
    let named = Takes::Rest(&[Text], Text);
    let mut found = vec![
        native("json", one, text, |c, n, _| each(c, n, |t| parse(t).map(|_| Some(t.to_string())))),
        native("jsonb", one, text, |c, n, _| each(c, n, |t| Ok(Some(parse(t)?.canonical())))),
        native("jsonb_strip_nulls", one, text, |c, n, _| {
            each(c, n, |t| Ok(Some(parse(t)?.stripped().canonical())))
        }),
        native("json_strip_nulls", one, text, |c, n, _| {
            each(c, n, |t| Ok(Some(parse(t)?.stripped().compact())))
        }),
        native("jsonb_pretty", one, text, |c, n, _| each(c, n, |t| Ok(Some(parse(t)?.pretty())))),
    ];
    for name in ["json_typeof", "jsonb_typeof"] {
        found.push(native(name, one, text, |c, n, _| each(c, n, |t| Ok(Some(parse(t)?.kind().to_string())))));
    }
    for name in ["json_array_length", "jsonb_array_length"] {
        found.push(native(name, one, |_| DataType::Int32, length));
    }
    found.push(native("json_extract_path", named, text, |c, n, _| along(c, n, false)));
    found.push(native("jsonb_extract_path", named, text, |c, n, _| {
        let raw = along(c, n, false)?;
        each(std::slice::from_ref(&raw), n, |t| Ok(Some(parse(t)?.canonical())))
    }));
    for name in ["json_extract_path_text", "jsonb_extract_path_text"] {
        found.push(native(name, named, text, |c, n, _| along(c, n, true)));
    }
    found.extend([element(), element_text(), path(), path_text()]);
    found.extend([has_key(), has_any(), has_all(), contains(), concat(), without()]);
    found.extend(build::functions());
    found
}

fn answer(found: Vec<Option<String>>) -> Result<ArrayRef> {
    Ok(Arc::new(found.into_iter().collect::<StringArray>()))
}

fn each(columns: &[ArrayRef], rows: usize, f: impl Fn(&str) -> Result<Option<String>>) -> Result<ArrayRef> {
    let input = cast::text_of(&columns[0]);
    answer(strict(columns, rows, |i| f(input.value(i)))?)
}

fn length(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    let input = cast::text_of(&columns[0]);
    let found = strict(columns, rows, |i| match parse(input.value(i))? {
        Document::Array(list) => Ok(Some(list.len() as i32)),
        Document::Object(_) => fail("cannot get array length of a non-array"),
        Document::Null | Document::Bool(_) | Document::Number(_) | Document::Text(_) => {
            fail("cannot get array length of a scalar")
        }
    })?;
    Ok(Arc::new(found.into_iter().collect::<Int32Array>()))
}

const STEP: Takes = Takes::Forms(&[&[Kind::Text, Kind::Integer], &[Kind::Text, Kind::Text]]);
const PATH: Takes = Takes::Forms(&[&[Kind::Text, Kind::Texts], &[Kind::Text, Kind::Text]]);
const KEYS: Takes = Takes::Forms(&[&[Kind::Text, Kind::Texts]]);
const TWO: Takes = Takes::Forms(&[&[Kind::Text, Kind::Text]]);

/// `->`.
pub(super) fn element() -> ScalarUDF {
    native("json_element", STEP, |_| DataType::Utf8, |c, n, _| step(c, n, false))
}
/// `->>`.
pub(super) fn element_text() -> ScalarUDF {
    native("json_element_text", STEP, |_| DataType::Utf8, |c, n, _| step(c, n, true))
}
/// `#>`.
pub(super) fn path() -> ScalarUDF {
    native("json_path", PATH, |_| DataType::Utf8, |c, n, _| by_path(c, n, false))
}
/// `#>>`.
pub(super) fn path_text() -> ScalarUDF {
    native("json_path_text", PATH, |_| DataType::Utf8, |c, n, _| by_path(c, n, true))
}

fn shown(raw: Option<&str>, as_text: bool) -> Option<String> {
    let raw = raw?;
    if as_text { unquoted(raw) } else { Some(raw.to_string()) }
}

fn step(columns: &[ArrayRef], rows: usize, as_text: bool) -> Result<ArrayRef> {
    let input = columns[0].as_string::<i32>();
    let keys = columns[1].as_string_opt::<i32>();
    answer(strict(columns, rows, |i| {
        let raw = match keys {
            Some(keys) => key_of(input.value(i), keys.value(i))?,
            None => element_of(input.value(i), columns[1].as_primitive::<Int64Type>().value(i))?,
        };
        Ok(shown(raw, as_text))
    })?)
}

/// One step of a path: a key of an object, a number of an array.
fn walked<'a>(input: &'a str, key: &str) -> Result<Option<&'a str>> {
    match input.trim_start().starts_with('[') {
        true => key.trim().parse().map_or(Ok(None), |index| element_of(input, index)),
        false => key_of(input, key),
    }
}

fn follow<'a>(input: &'a str, steps: &[Option<String>], as_text: bool) -> Result<Option<String>> {
    let mut at: Option<&'a str> = Some(input.trim());
    for key in steps {
        at = match (at, key) {
            (Some(at), Some(key)) => walked(at, key)?,
            _ => None,
        };
    }
    Ok(shown(at, as_text))
}

fn strings(list: &ArrayRef) -> Vec<Option<String>> {
    list.as_string::<i32>().iter().map(|v| v.map(str::to_string)).collect()
}

fn by_path(columns: &[ArrayRef], rows: usize, as_text: bool) -> Result<ArrayRef> {
    let input = columns[0].as_string::<i32>();
    answer(strict(columns, rows, |i| {
        let steps = match columns[1].as_string_opt::<i32>() {
            Some(texts) => match cast::split(texts.value(i)) {
                Some(steps) => steps,
                None => return fail(format!("malformed array literal: \"{}\"", texts.value(i))),
            },
            None => strings(&columns[1].as_list::<i32>().value(i)),
        };
        follow(input.value(i), &steps, as_text)
    })?)
}

fn along(columns: &[ArrayRef], rows: usize, as_text: bool) -> Result<ArrayRef> {
    let input = columns[0].as_string::<i32>();
    answer(strict(columns, rows, |i| {
        let steps: Vec<_> =
            columns[1..].iter().map(|c| Some(c.as_string::<i32>().value(i).to_string())).collect();
        follow(input.value(i), &steps, as_text)
    })?)
}

fn holds(columns: &[ArrayRef], rows: usize, f: impl Fn(usize) -> Result<bool>) -> Result<ArrayRef> {
    let found = strict(columns, rows, |i| f(i).map(Some))?;
    Ok(Arc::new(found.into_iter().collect::<BooleanArray>()))
}

/// `?`.
pub(super) fn has_key() -> ScalarUDF {
    native(
        "json_has_key",
        TWO,
        |_| DataType::Boolean,
        |columns, rows, _| {
            let (input, key) = (columns[0].as_string::<i32>(), columns[1].as_string::<i32>());
            holds(columns, rows, |i| Ok(parse(input.value(i))?.has(key.value(i))))
        },
    )
}

fn has_some(columns: &[ArrayRef], rows: usize, all: bool) -> Result<ArrayRef> {
    let (input, keys) = (columns[0].as_string::<i32>(), columns[1].as_list::<i32>());
    holds(columns, rows, |i| {
        let document = parse(input.value(i))?;
        let keys = strings(&keys.value(i));
        let mut known = keys.iter().flatten().map(|key| document.has(key));
        Ok(if all { known.all(|has| has) } else { known.any(|has| has) })
    })
}

/// `?|`.
pub(super) fn has_any() -> ScalarUDF {
    native("json_has_any", KEYS, |_| DataType::Boolean, |c, n, _| has_some(c, n, false))
}
/// `?&`.
pub(super) fn has_all() -> ScalarUDF {
    native("json_has_all", KEYS, |_| DataType::Boolean, |c, n, _| has_some(c, n, true))
}

/// `@>`.
pub(super) fn contains() -> ScalarUDF {
    native(
        "json_holds",
        TWO,
        |_| DataType::Boolean,
        |columns, rows, _| {
            let (a, b) = (columns[0].as_string::<i32>(), columns[1].as_string::<i32>());
            holds(columns, rows, |i| Ok(parse(a.value(i))?.contains(&parse(b.value(i))?)))
        },
    )
}

/// `||` of two documents.
pub(super) fn concat() -> ScalarUDF {
    native(
        "json_concat",
        TWO,
        |_| DataType::Utf8,
        |columns, rows, _| {
            let (a, b) = (columns[0].as_string::<i32>(), columns[1].as_string::<i32>());
            answer(strict(columns, rows, |i| {
                Ok(Some(parse(a.value(i))?.joined(parse(b.value(i))?).canonical()))
            })?)
        },
    )
}

/// `document - key` and `document - index`.
pub(super) fn without() -> ScalarUDF {
    native(
        "json_without",
        STEP,
        |_| DataType::Utf8,
        |columns, rows, _| {
            let input = columns[0].as_string::<i32>();
            answer(strict(columns, rows, |i| {
                let document = parse(input.value(i))?;
                let left = match columns[1].as_string_opt::<i32>() {
                    Some(keys) => document.without_key(keys.value(i)),
                    None => document.without_index(columns[1].as_primitive::<Int64Type>().value(i)),
                };
                Ok(Some(left.canonical()))
            })?)
        },
    )
}
