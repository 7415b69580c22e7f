//! Documents from values: `to_json`, `json_build_object`, `json_build_array` and their jsonb forms.
use super::super::call::{Kind, Takes, fail, native};
use super::document::{Document, parse};
use super::{answer, strict};
use arrow::array::*;
use arrow::datatypes::*;
use dataflows::value::cell;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

/// What an aggregate of JSON collects: a value as JSON. What is JSON already stays as it is.
pub(in super::super) const VALUE: &str = "__json_value";

/// The functions of this file.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let text = |_: &[DataType]| DataType::Utf8;
    let one = Takes::Forms(&[&[Kind::Any]]);
    vec![
        native("to_json", one, text, |c, n, _| {
            answer(strict(c, n, |i| Ok(Some(document(c[0].as_ref(), i)?.compact())))?)
        }),
        to_jsonb(),
        native(VALUE, one, text, |c, n, _| {
            answer(strict(c, n, |i| Ok(Some(document(c[0].as_ref(), i)?.compact())))?)
        }),
        native("__json_key", one, text, |c, n, _| {
            let key = |i| match c[0].is_null(i) {
                true => fail("field name must not be null"),
                false => {
                    let mut text = String::new();
                    cell::write_text(c[0].as_ref(), i, &mut text);
                    Ok(Some(Document::Text(text).compact()))
                }
            };
            answer((0..n).map(key).collect::<Result<_>>()?)
        }),
        native("json_build_object", Takes::Any(0), text, |c, n, _| {
            answer((0..n).map(|i| object(c, i).map(|d| Some(spaced(&d)))).collect::<Result<_>>()?)
        }),
        native("__json_row", Takes::Any(0), text, |c, n, _| {
            answer((0..n).map(|i| object(c, i).map(|d| Some(d.compact()))).collect::<Result<_>>()?)
        }),
        native("jsonb_build_object", Takes::Any(0), text, |c, n, _| {
            answer((0..n).map(|i| object(c, i).map(|d| Some(d.canonical()))).collect::<Result<_>>()?)
        }),
        native("json_build_array", Takes::Any(0), text, |c, n, _| {
            answer((0..n).map(|i| array(c, i).map(|d| Some(spaced(&d)))).collect::<Result<_>>()?)
        }),
        native("jsonb_build_array", Takes::Any(0), text, |c, n, _| {
            answer((0..n).map(|i| array(c, i).map(|d| Some(d.canonical()))).collect::<Result<_>>()?)
        }),
    ]
}

/// A value as jsonb.
pub(crate) fn to_jsonb() -> ScalarUDF {
    native(
        "to_jsonb",
        Takes::Forms(&[&[Kind::Any]]),
        |_| DataType::Utf8,
        |c, n, _| answer(strict(c, n, |i| Ok(Some(document(c[0].as_ref(), i)?.canonical())))?),
    )
}

/// The only column of a value that is a document, not a text.
const HELD: &str = "__json";

/// A document as an argument of these functions, which take other texts for texts.
pub(crate) fn held() -> ScalarUDF {
    let returns = |_: &[DataType]| DataType::Struct(vec![Field::new(HELD, DataType::Utf8, true)].into());
    native("__json_held", Takes::Forms(&[&[Kind::Text]]), returns, |columns, _, to| {
        let DataType::Struct(fields) = to else { return fail("a held document is a struct") };
        let nulls = columns[0].nulls().cloned();
        Ok(std::sync::Arc::new(StructArray::try_new(fields.clone(), vec![columns[0].clone()], nulls)?))
    })
}

/// As `json_build_object` prints: spaces around the colon.
fn spaced(document: &Document) -> String {
    let mut out = String::new();
    match document {
        Document::Object(members) => {
            out.push('{');
            for (i, (key, value)) in members.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                Document::Text(key.clone()).write(&mut out, ",", ":");
                out.push_str(" : ");
                value.write(&mut out, ",", ":");
            }
            out.push('}');
        }
        other => other.write(&mut out, ", ", ":"),
    }
    out
}

fn object(columns: &[ArrayRef], i: usize) -> Result<Document> {
    if !columns.len().is_multiple_of(2) {
        return fail("json_build_object needs pairs: a key and its value each");
    }
    let members = columns.chunks(2).map(|pair| {
        if pair[0].is_null(i) {
            return fail("a key of json_build_object must not be NULL");
        }
        let mut key = String::new();
        cell::write_text(pair[0].as_ref(), i, &mut key);
        Ok((key, document(pair[1].as_ref(), i)?))
    });
    Ok(Document::Object(members.collect::<Result<_>>()?))
}

fn array(columns: &[ArrayRef], i: usize) -> Result<Document> {
    Ok(Document::Array(columns.iter().map(|c| document(c.as_ref(), i)).collect::<Result<_>>()?))
}

/// A cell as JSON; a number is a number, however large.
fn document(column: &dyn Array, i: usize) -> Result<Document> {
    if column.is_null(i) {
        return Ok(Document::Null);
    }
    let mut text = String::new();
    Ok(match column.data_type() {
        DataType::Boolean => Document::Bool(column.as_boolean().value(i)),
        t if t.is_numeric() => {
            cell::write_text(column, i, &mut text);
            let number = !matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity");
            if number { parse(&text)? } else { Document::Text(text) }
        }
        DataType::List(_) => {
            let values = column.as_list::<i32>().value(i);
            let list = (0..values.len()).map(|j| document(values.as_ref(), j));
            Document::Array(list.collect::<Result<_>>()?)
        }
        DataType::Struct(fields) if fields.len() == 1 && fields[0].name() == HELD => {
            parse(column.as_struct().column(0).as_string::<i32>().value(i))?
        }
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let members =
                fields.iter().zip(columns).map(|(f, c)| Ok((f.name().clone(), document(c.as_ref(), i)?)));
            Document::Object(members.collect::<Result<_>>()?)
        }
        DataType::Timestamp(_, zone) => {
            cell::write_text(column, i, &mut text);
            let text = text.replacen(' ', "T", 1);
            Document::Text(if zone.is_some() { text.replace("+00", "+00:00") } else { text })
        }
        _ => {
            cell::write_text(column, i, &mut text);
            Document::Text(text)
        }
    })
}
