//! Text functions where DataFusion has none, answers differently, or has no bound.
use super::call::{Kind, Takes, bounded, fail, native, strict, texts};
use arrow::array::*;
use arrow::datatypes::*;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    use Kind::*;
    let text = |_: &[DataType]| DataType::Utf8;
    let pad = Takes::Forms(&[&[Text, Integer], &[Text, Integer, Text]]);
    vec![
        native("lpad", pad, text, |c, n, _| padded_by(c, n, "lpad")),
        native("rpad", pad, text, |c, n, _| padded_by(c, n, "rpad")),
        native("upper", Takes::Forms(&[&[Text]]), text, |c, n, _| cased(c, n, &char::to_uppercase)),
        native("lower", Takes::Forms(&[&[Text]]), text, |c, n, _| cased(c, n, &char::to_lowercase)),
        native("repeat", Takes::Forms(&[&[Text, Integer]]), text, repeat),
        uuid_in(),
        native(
            "ascii",
            Takes::Forms(&[&[Text]]),
            |_| DataType::Int32,
            |columns, rows, _| {
                let input = columns[0].as_string::<i32>();
                let code = |i| Ok(Some(input.value(i).chars().next().map_or(0, |c| c as i32)));
                Ok(Arc::new(strict(columns, rows, code)?.into_iter().collect::<Int32Array>()))
            },
        ),
        native("replace", Takes::Forms(&[&[Text, Text, Text]]), text, replace),
        native("string_to_array", Takes::Forms(&[&[Text, Text], &[Text, Text, Text]]), |_| texts(), split),
        native("quote_ident", Takes::Forms(&[&[Text]]), text, |columns, rows, _| {
            let input = columns[0].as_string::<i32>();
            answer(strict(columns, rows, |i| Ok(Some(quoted_name(input.value(i)))))?)
        }),
        native("chr", Takes::Forms(&[&[Integer]]), text, |columns, rows, _| {
            let input = number(columns, 0);
            answer(strict(columns, rows, |i| {
                match u32::try_from(input.value(i)).ok().and_then(char::from_u32) {
                    Some('\0') => fail("null character not permitted"),
                    Some(c) => Ok(Some(c.to_string())),
                    None => fail(format!("requested character not valid: {}", input.value(i))),
                }
            })?)
        }),
        native("regexp_match", Takes::Forms(&[&[Text, Text], &[Text, Text, Text]]), |_| texts(), first_match),
        substring(),
        starts_with(),
        // What a text was cast to, for those who ask for its type.
        native("__varchar", Takes::Forms(&[&[Text, Integer]]), text, |c, _, _| Ok(c[0].clone())),
        native("__bpchar", Takes::Forms(&[&[Text, Integer]]), text, |c, _, _| Ok(c[0].clone())),
        padded(),
    ]
}

fn answer(found: Vec<Option<String>>) -> Result<ArrayRef> {
    Ok(Arc::new(found.into_iter().collect::<StringArray>()))
}

fn text(columns: &[ArrayRef], k: usize) -> &StringArray {
    columns[k].as_string()
}

fn number(columns: &[ArrayRef], k: usize) -> &Int64Array {
    columns[k].as_primitive()
}

/// Each character in another case, where that is one character too.
fn cased<I: ExactSizeIterator<Item = char>>(
    columns: &[ArrayRef],
    rows: usize,
    other: &dyn Fn(char) -> I,
) -> Result<ArrayRef> {
    let one = |c: char| {
        let mut found = other(c);
        if found.len() == 1 { found.next().unwrap_or(c) } else { c }
    };
    answer(strict(columns, rows, |i| Ok(Some(text(columns, 0).value(i).chars().map(one).collect())))?)
}

fn padded_by(columns: &[ArrayRef], rows: usize, name: &str) -> Result<ArrayRef> {
    answer(strict(columns, rows, |i| {
        let input = text(columns, 0).value(i);
        let length = usize::try_from(number(columns, 1).value(i)).unwrap_or(0);
        let fill = columns.get(2).map_or(" ", |c| c.as_string::<i32>().value(i));
        let have = input.chars().count();
        if have >= length || fill.is_empty() {
            return Ok(Some(input.chars().take(length).collect()));
        }
        let widest = fill.chars().map(char::len_utf8).max().unwrap_or(1);
        bounded(name, input.len().saturating_add((length - have).saturating_mul(widest)))?;
        let (whole, part) = ((length - have) / fill.chars().count(), (length - have) % fill.chars().count());
        let padding = fill.repeat(whole) + &fill.chars().take(part).collect::<String>();
        Ok(Some(if name == "lpad" { padding + input } else { input.to_string() + &padding }))
    })?)
}

fn repeat(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    answer(strict(columns, rows, |i| {
        let input = text(columns, 0).value(i);
        let times = usize::try_from(number(columns, 1).value(i)).unwrap_or(0);
        bounded("repeat", input.len().saturating_mul(times))?;
        Ok(Some(input.repeat(times)))
    })?)
}

fn replace(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    answer(strict(columns, rows, |i| {
        let (input, from, to) =
            (text(columns, 0).value(i), text(columns, 1).value(i), text(columns, 2).value(i));
        if from.is_empty() {
            return Ok(Some(input.to_string()));
        }
        let found = input.matches(from).count();
        bounded("replace", input.len().saturating_add(found.saturating_mul(to.len())))?;
        Ok(Some(input.replace(from, to)))
    })?)
}

/// A text as a uuid.
pub(crate) fn uuid_in() -> ScalarUDF {
    native("uuid_in", Takes::Forms(&[&[Kind::Text]]), |_| DataType::Utf8, uuid)
}

/// A uuid in its one form; braces and missing hyphens are accepted as PostgreSQL does.
fn uuid(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    answer(strict(columns, rows, |i| {
        let input = text(columns, 0).value(i);
        let inside = input.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(input);
        let hex: String = inside.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
        // Hyphens stand between groups of four digits, nowhere else.
        let groups = inside.split('-').all(|g| !g.is_empty() && g.len() % 4 == 0);
        if hex.len() != 32 || !groups || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return fail(format!("invalid input syntax for type uuid: \"{input}\""));
        }
        let part = |from: usize, to: usize| &hex[from..to];
        Ok(Some([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")))
    })?)
}

/// A text as a literal; with backslashes it is one with escapes.
pub(crate) fn quoted_literal(text: &str) -> String {
    let text = text.replace('\'', "''");
    match text.contains('\\') {
        true => format!("E'{}'", text.replace('\\', "\\\\")),
        false => format!("'{text}'"),
    }
}

/// A name, in quotes where it needs them.
pub(super) fn quoted_name(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn split(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    let mut out = ListBuilder::new(StringBuilder::new());
    for i in 0..rows {
        if columns[0].is_null(i) {
            out.append_null();
            continue;
        }
        let input = text(columns, 0).value(i);
        let null = columns.get(2).filter(|c| c.is_valid(i)).map(|c| c.as_string::<i32>().value(i));
        let mut push = |part: &str| match null == Some(part) {
            true => out.values().append_null(),
            false => out.values().append_value(part),
        };
        match columns[1].is_valid(i).then(|| text(columns, 1).value(i)) {
            _ if input.is_empty() => {}
            None => input.chars().for_each(|c| push(c.encode_utf8(&mut [0; 4]))),
            Some("") => push(input),
            Some(by) => input.split(by).for_each(push),
        }
        out.append(true);
    }
    Ok(Arc::new(out.finish()))
}

/// `substring(text, from [, for])`; a pattern in the second place is a regular expression.
pub(super) fn substring() -> ScalarUDF {
    use Kind::*;
    let takes = Takes::Forms(&[&[Text, Integer], &[Text, Integer, Integer], &[Text, Text]]);
    native(
        "substr",
        takes,
        |_| DataType::Utf8,
        |columns, rows, _| {
            if columns[1].data_type() == &DataType::Utf8 {
                return matched(columns, rows);
            }
            answer(strict(columns, rows, |i| {
                let (input, from) = (text(columns, 0).value(i), number(columns, 1).value(i));
                let end = match columns.get(2).map(|c| c.as_primitive::<Int64Type>().value(i)) {
                    Some(length) if length < 0 => return fail("negative substring length not allowed"),
                    Some(length) => from.saturating_add(length),
                    None => i64::MAX,
                };
                let skip = usize::try_from(from - 1).unwrap_or(0);
                let take = usize::try_from(end.saturating_sub(from.max(1))).unwrap_or(0);
                Ok(Some(input.chars().skip(skip).take(take).collect()))
            })?)
        },
    )
}

/// The groups of the first match, or all of it where there is no group.
fn first_match(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    let found = datafusion::functions::regex::regexpmatch::regexp_match(columns)?;
    let lists = found.as_list::<i32>();
    let patterns = text(columns, 1);
    for i in (0..rows).filter(|i| lists.is_valid(*i)) {
        // A group without a part of the text is not told, and so neither are the places of the others.
        let pattern = patterns.value(if patterns.len() == 1 { 0 } else { i });
        if groups(pattern).is_some_and(|groups| groups != lists.value(i).len()) {
            return fail(format!(
                "regexp_match: a group of {pattern:?} takes no part in the match: write the group so that it always does, such as (a?) for (a)?"
            ));
        }
    }
    Ok(found)
}

/// How many groups a pattern has that are told; none where it has none, and all of the match is told.
fn groups(pattern: &str) -> Option<usize> {
    let (mut count, mut inside) = (0, false);
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => _ = rest.next(),
            '[' => inside = true,
            ']' => inside = false,
            '(' if !inside && rest.peek() != Some(&'?') => count += 1,
            _ => {}
        }
    }
    (count > 0).then_some(count)
}

/// The first group of the first match, or all of it where there is no group.
fn matched(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let found = datafusion::functions::regex::regexpmatch::regexp_match(columns)?;
    let found = found.as_list::<i32>();
    answer(strict(columns, rows, |i| {
        Ok(found.is_valid(i).then(|| found.value(i)).and_then(|groups| {
            let groups = groups.as_string::<i32>();
            (!groups.is_empty() && groups.is_valid(0)).then(|| groups.value(0).to_string())
        }))
    })?)
}

/// How many bytes there are, times a number.
pub(super) fn byte_length() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Any, Kind::Integer]]);
    native(
        "byte_length",
        takes,
        |_| DataType::Int32,
        |columns, rows, _| {
            let bytes = arrow::compute::cast(&columns[0], &DataType::Binary)?;
            let bytes = bytes.as_binary::<i32>();
            let found = strict(columns, rows, |i| {
                Ok(Some(bytes.value(i).len() as i32 * number(columns, 1).value(i) as i32))
            })?;
            Ok(Arc::new(found.into_iter().collect::<Int32Array>()))
        },
    )
}

/// A `char(n)` with the blanks at its end.
pub(crate) fn padded() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Text, Kind::Integer]]);
    native("__padded", takes, |_| DataType::Utf8, |c, n, _| padded_by(c, n, "char"))
}

/// `text ^@ prefix`.
pub(super) fn starts_with() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Text, Kind::Text]]);
    native(
        "starts_with",
        takes,
        |_| DataType::Boolean,
        |columns, rows, _| {
            let found = strict(columns, rows, |i| {
                Ok(Some(text(columns, 0).value(i).starts_with(text(columns, 1).value(i))))
            })?;
            Ok(Arc::new(found.into_iter().collect::<BooleanArray>()))
        },
    )
}

/// A pattern of SIMILAR TO as a regular expression.
pub(super) fn similar_pattern() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Text, Kind::Text]]);
    native(
        "similar_pattern",
        takes,
        |_| DataType::Utf8,
        |columns, rows, _| {
            answer(strict(columns, rows, |i| {
                let escape = text(columns, 1).value(i).chars().next();
                Ok(Some(similar(text(columns, 0).value(i), escape)))
            })?)
        },
    )
}

/// A pattern of LIKE with its own escape, said with a backslash.
pub(super) fn like_pattern() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Text, Kind::Text]]);
    native(
        "like_pattern",
        takes,
        |_| DataType::Utf8,
        |columns, rows, _| {
            answer(strict(columns, rows, |i| {
                let escape = text(columns, 1).value(i).chars().next();
                let (mut out, mut chars) = (String::new(), text(columns, 0).value(i).chars());
                while let Some(c) = chars.next() {
                    match c {
                        c if Some(c) == escape => out.extend(['\\'].into_iter().chain(chars.next())),
                        '\\' => out.push_str("\\\\"),
                        c => out.push(c),
                    }
                }
                Ok(Some(out))
            })?)
        },
    )
}

/// A replacement of `regexp_replace`: `\&` is the match, `$` is itself.
pub(super) fn replacement() -> ScalarUDF {
    let takes = Takes::Forms(&[&[Kind::Text]]);
    native(
        REPLACEMENT,
        takes,
        |_| DataType::Utf8,
        |columns, rows, _| {
            let input = text(columns, 0);
            answer(strict(columns, rows, |i| {
                Ok(Some(input.value(i).replace('$', "$$").replace("\\&", "\\0")))
            })?)
        },
    )
}

/// The name of the function that makes replacements.
pub(super) const REPLACEMENT: &str = "regexp_replacement";

fn similar(pattern: &str, escape: Option<char>) -> String {
    let mut out = String::from("^(?:");
    let (mut chars, mut class) = (pattern.chars(), false);
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => {
                if let Some(next) = chars.next() {
                    if !next.is_alphanumeric() {
                        out.push('\\');
                    }
                    out.push(next);
                }
            }
            '[' => {
                class = true;
                out.push(c);
            }
            ']' => {
                class = false;
                out.push(c);
            }
            c if class => out.push(c),
            '%' => out.push_str("(?s:.*)"),
            '_' => out.push_str("(?s:.)"),
            '.' | '^' | '$' | '\\' => out.extend(['\\', c]),
            '(' => out.push_str("(?:"),
            c => out.push(c),
        }
    }
    out + ")$"
}
