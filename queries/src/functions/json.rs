//! JSON is text: a document as it was written, or, made by `jsonb`, in the one form PostgreSQL prints.
mod build;
mod change;
mod document;
mod jsonpath;
mod order;

use super::call::{Kind, Takes, fail, native, strict};
use super::cast;
use arrow::array::*;
use arrow::datatypes::*;
pub(super) use build::VALUE;
pub(crate) use build::{held, to_jsonb};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use document::{Document, element_of, key_of, parse, unquoted};
pub(super) use jsonpath::{exists as path_exists, matches as path_matches};
pub(crate) use order::key;
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
    found.push(native("jsonb_set", SET, text, |c, n, _| set(c, n)));
    found.extend([has_key(), has_any(), has_all(), contains(), concat(), without(), without_path()]);
    found.extend(build::functions());
    found.push(key());
    found.extend(jsonpath::functions());
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

/// A document as a column of json keeps it, or one of jsonb.
pub(crate) fn json_form(text: &str, canonical: bool) -> Result<String> {
    let document = parse(text)?;
    Ok(if canonical { document.canonical() } else { text.to_string() })
}

/// Which parts of a document are rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Elements,
    ElementsText,
    Keys,
    Values,
    ValuesText,
}

/// The parts of a document: as it was written, or as jsonb has them.
pub(crate) fn parts(text: &str, part: Part, canonical: bool) -> Result<Vec<Option<String>>> {
    let document = parse(text)?;
    let document = if canonical { document.sorted() } else { document };
    let shown = |value: &Document| {
        let mut out = String::new();
        match canonical {
            true => value.write(&mut out, ", ", ": "),
            false => value.write(&mut out, ",", ":"),
        }
        out
    };
    let as_text = |value: &Document| match value {
        Document::Null => None,
        Document::Text(text) => Some(text.clone()),
        value => Some(shown(value)),
    };
    Ok(match (part, document) {
        (Part::Elements, Document::Array(list)) => list.iter().map(|v| Some(shown(v))).collect(),
        (Part::ElementsText, Document::Array(list)) => list.iter().map(as_text).collect(),
        (Part::Keys, Document::Object(list)) => list.into_iter().map(|(key, _)| Some(key)).collect(),
        (Part::Values, Document::Object(list)) => list.iter().map(|(_, v)| Some(shown(v))).collect(),
        (Part::ValuesText, Document::Object(list)) => list.iter().map(|(_, v)| as_text(v)).collect(),
        (Part::Elements | Part::ElementsText, _) => {
            return fail("cannot take the elements of JSON that is no array");
        }
        _ => return fail("cannot take the keys of JSON that is no object"),
    })
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
    answer(strict(columns, rows, |i| follow(input.value(i), &steps_at(&columns[1], i)?, as_text))?)
}

/// A path: an array, or the text of one.
fn steps_at(column: &ArrayRef, i: usize) -> Result<Vec<Option<String>>> {
    match column.as_string_opt::<i32>() {
        Some(texts) => cast::split(texts.value(i))
            .map_or_else(|| fail(format!("malformed array literal: \"{}\"", texts.value(i))), Ok),
        None => Ok(strings(&column.as_list::<i32>().value(i))),
    }
}

/// `#-`.
pub(super) fn without_path() -> ScalarUDF {
    native(
        "jsonb_delete_path",
        PATH,
        |_| DataType::Utf8,
        |columns, rows, _| {
            let input = columns[0].as_string::<i32>();
            answer(strict(columns, rows, |i| {
                Ok(Some(parse(input.value(i))?.without_path(&steps_at(&columns[1], i)?).canonical()))
            })?)
        },
    )
}

const SET: Takes = Takes::Forms(&[
    &[Kind::Text, Kind::Texts, Kind::Text],
    &[Kind::Text, Kind::Text, Kind::Text],
    &[Kind::Text, Kind::Texts, Kind::Text, Kind::Any],
    &[Kind::Text, Kind::Text, Kind::Text, Kind::Any],
]);

/// `jsonb_set(document, path, value, create)`.
fn set(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let (input, value) = (columns[0].as_string::<i32>(), columns[2].as_string::<i32>());
    let create = columns.get(3).and_then(|column| column.as_boolean_opt());
    answer(strict(columns, rows, |i| {
        let create = create.is_none_or(|create| create.value(i));
        let steps = steps_at(&columns[1], i)?;
        let found = parse(input.value(i))?.sorted().set(&steps, parse(value.value(i))?, create)?;
        Ok(Some(found.canonical()))
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
pub(crate) fn concat() -> ScalarUDF {
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

/// `document - key`, `document - keys` and `document - index`.
pub(super) fn without() -> ScalarUDF {
    native(
        "json_without",
        Takes::Forms(&[&[Kind::Text, Kind::Integer], &[Kind::Text, Kind::Text], &[Kind::Text, Kind::Texts]]),
        |_| DataType::Utf8,
        |columns, rows, _| {
            let input = columns[0].as_string::<i32>();
            answer(strict(columns, rows, |i| {
                let document = parse(input.value(i))?;
                let left = match columns[1].data_type() {
                    DataType::Utf8 => document.without_key(columns[1].as_string::<i32>().value(i)),
                    DataType::List(_) => {
                        let keys = strings(&columns[1].as_list::<i32>().value(i));
                        keys.iter().flatten().fold(document, |left, key| left.without_key(key))
                    }
                    _ => document.without_index(columns[1].as_primitive::<Int64Type>().value(i)),
                };
                Ok(Some(left.canonical()))
            })?)
        },
    )
}
