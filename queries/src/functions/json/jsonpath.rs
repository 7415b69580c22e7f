//! Paths of SQL/JSON, `$.a[*] ? (@.b > 2)`: what they lead to in a document, in lax mode, as PostgreSQL has it.
mod read;

use super::document::{Document, parse};
use super::order;
use crate::functions::call::{Kind, Takes, fail, native};
use arrow::array::*;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::cmp::Ordering;
use std::sync::Arc;

/// A path: where it starts, and its steps.
#[derive(Clone, Debug)]
struct Path {
    root: Root,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Root {
    /// `$`
    Whole,
    /// `@`
    Current,
    /// `$name`
    Variable(String),
    Value(Document),
    /// A condition, whose answer is the value.
    Question(Box<Predicate>),
}

#[derive(Clone, Debug)]
enum Step {
    Member(String),
    Members,
    Elements,
    At(Vec<(Index, Option<Index>)>),
    Filter(Predicate),
    Size,
    Type,
    Number,
}

/// A place in an array.
#[derive(Clone, Copy, Debug)]
enum Index {
    First(i64),
    /// So many before the last.
    Last(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compare {
    Equal,
    Other,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Debug)]
enum Predicate {
    And(Box<Predicate>, Box<Predicate>),
    Or(Box<Predicate>, Box<Predicate>),
    Not(Box<Predicate>),
    Unknown(Box<Predicate>),
    Exists(Path),
    Compare(Path, Compare, Path),
    Starts(Path, Path),
    Like(Path, String),
    /// A path that stands alone: no condition.
    Leads(Path),
}

/// What a path is followed in.
#[derive(Clone, Copy)]
struct Scene<'a> {
    whole: &'a Document,
    variables: &'a Document,
}

impl Scene<'_> {
    fn follow(&self, path: &Path, current: &Document) -> Result<Vec<Document>> {
        let start = match &path.root {
            Root::Whole => self.whole.clone(),
            Root::Current => current.clone(),
            Root::Value(value) => value.clone(),
            Root::Variable(name) => match member(self.variables, name) {
                Some(value) => value.clone(),
                None => return fail(format!("could not find jsonpath variable \"{name}\"")),
            },
            Root::Question(question) => self.holds(question, current)?.map_or(Document::Null, Document::Bool),
        };
        path.steps.iter().try_fold(vec![start], |found, step| self.step(step, found))
    }

    fn step(&self, step: &Step, found: Vec<Document>) -> Result<Vec<Document>> {
        let mut out = vec![];
        for value in found {
            match step {
                Step::Member(name) => {
                    out.extend(unwrapped(&value).iter().filter_map(|part| member(part, name)).cloned());
                }
                Step::Members => {
                    for part in unwrapped(&value) {
                        if let Document::Object(list) = part {
                            out.extend(list.iter().map(|(_, part)| part.clone()));
                        }
                    }
                }
                Step::Elements => out.extend(unwrapped(&value).iter().cloned()),
                Step::At(places) => {
                    let list = unwrapped(&value);
                    let place = |index: &Index| match index {
                        Index::First(place) => *place,
                        Index::Last(before) => list.len() as i64 - 1 - before,
                    };
                    for (from, to) in places {
                        let last = to.as_ref().map_or(place(from), place).min(list.len() as i64 - 1);
                        let places = (place(from).max(0)..=last).filter_map(|at| usize::try_from(at).ok());
                        out.extend(places.filter_map(|at| list.get(at)).cloned());
                    }
                }
                Step::Filter(filter) => {
                    for part in unwrapped(&value) {
                        if self.holds(filter, part)? == Some(true) {
                            out.push(part.clone());
                        }
                    }
                }
                Step::Size => {
                    let size = if let Document::Array(list) = &value { list.len() } else { 1 };
                    out.push(Document::Number(size.to_string()));
                }
                Step::Type => out.push(Document::Text(value.kind().into())),
                Step::Number => {
                    for part in unwrapped(&value) {
                        let number = match part {
                            Document::Number(number) => Some(number.clone()),
                            Document::Text(text) => {
                                text.trim().parse::<f64>().ok().map(|_| text.trim().to_string())
                            }
                            _ => None,
                        };
                        match number {
                            Some(number) => out.push(Document::Number(number)),
                            None => {
                                return fail(
                                    "jsonpath item method .double() can only be applied to a string or numeric value",
                                );
                            }
                        }
                    }
                }
            }
        }
        Ok(out)
    }

    /// Whether a condition holds; none where that cannot be said.
    fn holds(&self, predicate: &Predicate, current: &Document) -> Result<Option<bool>> {
        let both = |a: &Predicate, b: &Predicate| -> Result<_> {
            Ok((self.holds(a, current)?, self.holds(b, current)?))
        };
        Ok(match predicate {
            Predicate::And(a, b) => match both(a, b)? {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Predicate::Or(a, b) => match both(a, b)? {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Predicate::Not(inner) => self.holds(inner, current)?.map(|holds| !holds),
            Predicate::Unknown(inner) => Some(self.holds(inner, current)?.is_none()),
            Predicate::Exists(path) => Some(!self.follow(path, current)?.is_empty()),
            Predicate::Compare(a, compare, b) => {
                self.any(a, Some(b), current, &|a, b| compared(a, *compare, b))?
            }
            Predicate::Starts(a, b) => self.any(a, Some(b), current, &|a, b| match (a, b) {
                (Document::Text(a), Document::Text(b)) => Some(a.starts_with(b.as_str())),
                _ => None,
            })?,
            Predicate::Like(path, pattern) => self.any(path, None, current, &|text, _| match text {
                Document::Text(text) => like(text, pattern),
                _ => None,
            })?,
            Predicate::Leads(_) => None,
        })
    }

    /// Whether a test holds for any two of what two paths lead to; where it can be said of none and of some it cannot, that is unknown.
    fn any(
        &self,
        a: &Path,
        b: Option<&Path>,
        current: &Document,
        test: &dyn Fn(&Document, &Document) -> Option<bool>,
    ) -> Result<Option<bool>> {
        let (left, right) = (self.follow(a, current)?, b.map(|b| self.follow(b, current)).transpose()?);
        let right = right.unwrap_or_else(|| vec![Document::Null]);
        let mut unknown = false;
        for a in left.iter().flat_map(unwrapped) {
            for b in right.iter().flat_map(unwrapped) {
                match test(a, b) {
                    Some(true) => return Ok(Some(true)),
                    Some(false) => {}
                    None => unknown = true,
                }
            }
        }
        Ok(if unknown { None } else { Some(false) })
    }
}

/// The elements of an array; anything else as the one element of one.
fn unwrapped(value: &Document) -> &[Document] {
    match value {
        Document::Array(list) => list,
        value => std::slice::from_ref(value),
    }
}

fn member<'a>(value: &'a Document, name: &str) -> Option<&'a Document> {
    match value {
        Document::Object(list) => list.iter().find(|(key, _)| key == name).map(|(_, value)| value),
        _ => None,
    }
}

/// Whether a text has a match of a pattern; none where there is no such pattern.
fn like(text: &str, pattern: &str) -> Option<bool> {
    let text = StringArray::from(vec![text]);
    let found = arrow::compute::kernels::regexp::regexp_is_match_scalar(&text, pattern, None);
    found.ok().map(|found| found.value(0))
}

fn compared(a: &Document, compare: Compare, b: &Document) -> Option<bool> {
    use Document::{Array, Bool, Null, Number, Object, Text};
    let order = match (a, b) {
        (Array(_) | Object(_), _) | (_, Array(_) | Object(_)) => return None,
        (Null, Null) => Ordering::Equal,
        (Null, _) | (_, Null) => return Some(compare == Compare::Other),
        (Bool(a), Bool(b)) => a.cmp(b),
        (Number(_), Number(_)) => order::bytes(a.clone()).cmp(&order::bytes(b.clone())),
        (Text(a), Text(b)) => a.cmp(b),
        _ => return None,
    };
    Some(match compare {
        Compare::Equal => order == Ordering::Equal,
        Compare::Other => order != Ordering::Equal,
        Compare::Less => order == Ordering::Less,
        Compare::AtMost => order != Ordering::Greater,
        Compare::Greater => order == Ordering::Greater,
        Compare::AtLeast => order != Ordering::Less,
    })
}

/// What the path of each row leads to in its document; none where one of them is NULL.
fn each<T>(
    columns: &[ArrayRef],
    rows: usize,
    mut found: impl FnMut(Vec<Document>) -> Result<Option<T>>,
) -> Result<Vec<Option<T>>> {
    let (documents, paths) = (columns[0].as_string::<i32>(), columns[1].as_string::<i32>());
    let variables = columns.get(2).map(|column| column.as_string::<i32>());
    let silent = columns.get(3).and_then(|column| column.as_boolean_opt());
    // Mostly it is the same path for all rows.
    let mut known: Option<(String, Path)> = None;
    let mut row = |i: usize| -> Result<Option<T>> {
        if columns.iter().any(|column| column.is_null(i)) {
            return Ok(None);
        }
        let text = paths.value(i);
        if known.as_ref().is_none_or(|(known, _)| known != text) {
            known = Some((text.to_string(), read::read(text)?));
        }
        let Some((_, path)) = &known else { return Ok(None) };
        let whole = parse(documents.value(i))?.sorted();
        let variables = variables.map_or(Ok(Document::Null), |column| parse(column.value(i)))?;
        let leads = Scene { whole: &whole, variables: &variables }.follow(path, &whole);
        match leads.and_then(&mut found) {
            Err(_) if silent.is_some_and(|silent| silent.value(i)) => Ok(None),
            found => found,
        }
    };
    (0..rows).map(&mut row).collect()
}

const TAKES: Takes = Takes::Forms(&[
    &[Kind::Text, Kind::Text],
    &[Kind::Text, Kind::Text, Kind::Text],
    &[Kind::Text, Kind::Text, Kind::Text, Kind::Any],
]);

/// `@?`: whether the path leads to anything.
pub(crate) fn exists() -> ScalarUDF {
    native(
        "jsonb_path_exists",
        TAKES,
        |_| DataType::Boolean,
        |columns, rows, _| {
            let found = each(columns, rows, |found| Ok(Some(!found.is_empty())))?;
            Ok(Arc::new(found.into_iter().collect::<BooleanArray>()))
        },
    )
}

/// What a condition says; where a path gave something else, what is told of it.
fn answer(found: &[Document], or_else: impl Fn() -> Result<Option<bool>>) -> Result<Option<bool>> {
    match found {
        [Document::Bool(holds)] => Ok(Some(*holds)),
        [Document::Null] => Ok(None),
        _ => or_else(),
    }
}

/// `@@`: what the condition says.
pub(crate) fn matches() -> ScalarUDF {
    native(
        "__jsonb_matches",
        TAKES,
        |_| DataType::Boolean,
        |columns, rows, _| {
            let found = each(columns, rows, |found| answer(&found, || Ok(None)))?;
            Ok(Arc::new(found.into_iter().collect::<BooleanArray>()))
        },
    )
}

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let text = |_: &[DataType]| DataType::Utf8;
    vec![
        exists(),
        matches(),
        native(
            "jsonb_path_match",
            TAKES,
            |_| DataType::Boolean,
            |columns, rows, _| {
                let found = each(columns, rows, |found| {
                    answer(&found, || fail("single boolean result is expected"))
                })?;
                Ok(Arc::new(found.into_iter().collect::<BooleanArray>()))
            },
        ),
        native("jsonb_path_query_array", TAKES, text, |columns, rows, _| {
            let found = each(columns, rows, |found| Ok(Some(Document::Array(found).canonical())))?;
            Ok(Arc::new(found.into_iter().collect::<StringArray>()))
        }),
        native("jsonb_path_query_first", TAKES, text, |columns, rows, _| {
            let found = each(columns, rows, |found| Ok(found.into_iter().next().map(Document::canonical)))?;
            Ok(Arc::new(found.into_iter().collect::<StringArray>()))
        }),
        native(
            "__jsonb_path_elements",
            TAKES,
            |_| DataType::new_list(DataType::Utf8, true),
            |columns, rows, _| {
                let mut out = ListBuilder::new(StringBuilder::new());
                for found in each(columns, rows, |found| Ok(Some(found)))? {
                    for part in found.iter().flatten() {
                        out.values().append_value(part.clone().canonical());
                    }
                    out.append(found.is_some());
                }
                Ok(Arc::new(out.finish()))
            },
        ),
    ]
}
