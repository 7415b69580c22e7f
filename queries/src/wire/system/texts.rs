//! Functions of texts, numbers and lists, as far as questions about the system call them.
use super::node::{Asked, Run};
use super::value::Value;
use super::{Failure, refused};
use arrow::array::{AsArray, StringArray};
use arrow::compute::{regexp_is_match_scalar, regexp_match};
use datafusion_postgres::pgwire::api::Type;
use std::cmp::Ordering;
use std::sync::Arc;

type Outcome = Result<Value, Failure>;

/// The function of a name.
pub(super) fn find(name: &str) -> Option<(Run, Type, bool)> {
    let text = |run: Run| Some((run, Type::TEXT, true));
    let number = |run: Run| Some((run, Type::INT4, true));
    match name {
        "lower" => text(|_, values| Ok(values[0].text().to_lowercase().into())),
        "upper" => text(|_, values| Ok(values[0].text().to_uppercase().into())),
        "length" | "char_length" | "character_length" => {
            number(|_, values| Ok(count(values[0].text().chars().count())))
        }
        "octet_length" => number(|_, values| Ok(count(values[0].text().len()))),
        "concat" => Some((
            |_, values| Ok(values.iter().map(Value::text).collect::<String>().into()),
            Type::TEXT,
            false,
        )),
        "concat_ws" => Some((concat_ws, Type::TEXT, false)),
        "format" => Some((format, Type::TEXT, false)),
        "substring" | "substr" => text(substring),
        "left" => text(|_, values| Ok(taken(&values[0], &values[1], false))),
        "right" => text(|_, values| Ok(taken(&values[0], &values[1], true))),
        "btrim" | "trim" => {
            text(|_, values| Ok(values[0].text().trim_matches(letters(values).as_slice()).into()))
        }
        "ltrim" => {
            text(|_, values| Ok(values[0].text().trim_start_matches(letters(values).as_slice()).into()))
        }
        "rtrim" => text(|_, values| Ok(values[0].text().trim_end_matches(letters(values).as_slice()).into())),
        "replace" => {
            text(|_, values| Ok(values[0].text().replace(&values[1].text(), &values[2].text()).into()))
        }
        "translate" => text(translate),
        "split_part" => text(split_part),
        "regexp_replace" => text(regexp_replace),
        "strpos" => number(|_, values| {
            let (text, part) = (values[0].text(), values[1].text());
            Ok(count(text.find(&part).map_or(0, |at| text[..at].chars().count() + 1)))
        }),
        "starts_with" => Some((
            |_, values| Ok(Value::Bool(values[0].text().starts_with(&values[1].text()))),
            Type::BOOL,
            true,
        )),
        "array_to_string" => text(array_to_string),
        "string_to_array" => Some((|asked, values| cut(asked, values), Type::TEXT_ARRAY, true)),
        "array_length" | "array_upper" => {
            number(|_, values| Ok(bounds(&values[0]).map(|(_, last)| last).into()))
        }
        "array_lower" => number(|_, values| Ok(bounds(&values[0]).map(|(first, _)| first).into())),
        "cardinality" => number(|_, values| Ok(count(values[0].members().unwrap_or_default().len()))),
        "array_position" => number(|_, values| {
            let place = values[0]
                .members()
                .unwrap_or_default()
                .iter()
                .position(|member| member.compared(&values[1]) == Some(Ordering::Equal));
            Ok(place.map(|place| place as i64 + 1).into())
        }),
        "abs" => number(|_, values| Ok(values[0].number().map(i64::abs).into())),
        "mod" => number(rest),
        _ => None,
    }
}

fn count(number: usize) -> Value {
    Value::Int(number as i64)
}

fn letters(values: &[Value]) -> Vec<char> {
    values.get(1).map_or_else(|| vec![' '], |letters| letters.text().chars().collect())
}

fn bounds(list: &Value) -> Option<(i64, i64)> {
    let length = list.members()?.len() as i64;
    let first = i64::from(!matches!(list, Value::Vector(_)));
    (length > 0).then_some((first, first + length - 1))
}

/// `format` with `%s`, `%I`, `%L` and `%%`.
fn format(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let pattern = values.first().map(Value::text).unwrap_or_default();
    let (mut out, mut given) = (String::new(), values.iter().skip(1));
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match (letter, if letter == '%' { letters.next() } else { None }) {
            ('%', Some('%')) => out.push('%'),
            ('%', Some(kind @ ('s' | 'I' | 'L'))) => {
                let text = given.next().map(Value::text).unwrap_or_default();
                match kind {
                    'I' => out += &super::world::quoted(&text),
                    'L' => out += &format!("'{}'", text.replace('\'', "''")),
                    _ => out += &text,
                }
            }
            ('%', other) => {
                return Err(refused(format!("format with %{} is not supported", other.unwrap_or(' '))));
            }
            (letter, _) => out.push(letter),
        }
    }
    Ok(out.into())
}

/// A list without a value.
pub(super) fn removed(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let members = values[0].members().unwrap_or_default();
    let stays = |member: &&Value| member.compared(&values[1]) != Some(Ordering::Equal);
    Ok(Value::list(members.iter().filter(stays).cloned()))
}

fn concat_ws(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let known = values[1..].iter().filter(|value| !value.is_null()).map(Value::text);
    Ok(known.collect::<Vec<_>>().join(&values[0].text()).into())
}

fn substring(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let text = values[0].text();
    let Value::Int(from) = values[1] else {
        let found =
            regexp_match(&StringArray::from(vec![text]), &StringArray::new_scalar(values[1].text()), None)
                .map_err(of_arrow)?;
        let found = found.as_list::<i32>();
        let first = (!arrow::array::Array::is_null(found, 0))
            .then(|| found.value(0).as_string::<i32>().value(0).to_string());
        return Ok(first.into());
    };
    let end = values.get(2).and_then(Value::number).map_or(i64::MAX, |length| from.saturating_add(length));
    let inside = |(i, _): &(usize, char)| (from..end).contains(&(*i as i64 + 1));
    Ok(text.chars().enumerate().filter(inside).map(|(_, letter)| letter).collect::<String>().into())
}

fn taken(text: &Value, length: &Value, from_end: bool) -> Value {
    let letters: Vec<char> = text.text().chars().collect();
    let length = length.number().unwrap_or_default();
    let whole = letters.len() as i64;
    let kept = if length < 0 { (whole + length).max(0) } else { length.min(whole) } as usize;
    let part = if from_end { &letters[letters.len() - kept..] } else { &letters[..kept] };
    part.iter().collect::<String>().into()
}

fn translate(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let (from, to): (Vec<char>, Vec<char>) =
        (values[1].text().chars().collect(), values[2].text().chars().collect());
    let letter = |letter: char| match from.iter().position(|known| *known == letter) {
        Some(at) => to.get(at).copied(),
        None => Some(letter),
    };
    Ok(values[0].text().chars().filter_map(letter).collect::<String>().into())
}

fn split_part(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let (text, between) = (values[0].text(), values[1].text());
    let place = values[2].number().and_then(|place| usize::try_from(place - 1).ok()).unwrap_or(usize::MAX);
    Ok(text.split(&between).nth(place).unwrap_or_default().into())
}

fn regexp_replace(_: &Asked<'_>, values: &[Value]) -> Outcome {
    // Only what cuts a text off is asked for; the rest needs a whole engine.
    let (text, pattern, by) = (values[0].text(), values[1].text(), values[2].text());
    let found = is_match(&text, &pattern, false)?;
    match (found, by.is_empty()) {
        (false, _) => Ok(text.into()),
        (true, _) => Err(refused(
            "regexp_replace over system tables is not supported: use replace or split_part".into(),
        )),
    }
}

fn array_to_string(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let between = values[1].text();
    let absent = values.get(2).map(Value::text);
    let member = |member: &Value| if member.is_null() { absent.clone() } else { Some(member.text()) };
    let members = values[0].members().unwrap_or_default();
    Ok(members.iter().filter_map(member).collect::<Vec<_>>().join(&between).into())
}

/// A text cut at another.
pub(super) fn cut(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let (text, between) = (values[0].text(), values[1].text());
    Ok(match text.is_empty() {
        true => Value::list([]),
        false => Value::list(text.split(&between).map(Value::from)),
    })
}

pub(super) fn nullif(_: &Asked<'_>, values: &[Value]) -> Outcome {
    Ok(if values[0].compared(&values[1]) == Some(Ordering::Equal) { Value::Null } else { values[0].clone() })
}

pub(super) fn greatest(_: &Asked<'_>, values: &[Value]) -> Outcome {
    Ok(values
        .iter()
        .filter(|value| !value.is_null())
        .max_by(|one, other| one.sorted(other))
        .cloned()
        .unwrap_or_default())
}

pub(super) fn least(_: &Asked<'_>, values: &[Value]) -> Outcome {
    Ok(values
        .iter()
        .filter(|value| !value.is_null())
        .min_by(|one, other| one.sorted(other))
        .cloned()
        .unwrap_or_default())
}

pub(super) fn json_object(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let json = |value: &Value| match value {
        Value::Null => "null".to_string(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => value.text(),
        other => serde_json::Value::from(other.text()).to_string(),
    };
    let pair = |pair: &[Value]| {
        let name = serde_json::Value::from(pair[0].text());
        format!("{name}: {}", pair.get(1).map_or_else(|| "null".into(), json))
    };
    Ok(format!("{{{}}}", values.chunks(2).map(pair).collect::<Vec<_>>().join(", ")).into())
}

pub(super) fn not(_: &Asked<'_>, values: &[Value]) -> Outcome {
    Ok(Value::Bool(!values[0].holds()))
}

pub(super) fn negative(_: &Asked<'_>, values: &[Value]) -> Outcome {
    Ok(match &values[0] {
        Value::Float(number) => Value::Float(-number),
        other => other.number().map(|number| -number).into(),
    })
}

pub(super) fn joined(_: &Asked<'_>, values: &[Value]) -> Outcome {
    Ok((values[0].text() + &values[1].text()).into())
}

/// Two lists, or a list and a value, as one list.
pub(super) fn appended(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let members = |value: &Value| match value {
        Value::Null => vec![],
        Value::List(members) | Value::Vector(members) => members.to_vec(),
        other => other.members().map_or_else(|| vec![other.clone()], |members| members.to_vec()),
    };
    Ok(Value::list(values.iter().flat_map(members)))
}

fn computed(values: &[Value], whole: fn(i64, i64) -> Option<i64>, float: fn(f64, f64) -> f64) -> Outcome {
    match (&values[0], &values[1]) {
        (Value::Float(one), Value::Float(other)) => Ok(Value::Float(float(*one, *other))),
        (Value::Float(one), other) => {
            Ok(other.number().map_or(Value::Null, |other| Value::Float(float(*one, other as f64))))
        }
        (one, Value::Float(other)) => {
            Ok(one.number().map_or(Value::Null, |one| Value::Float(float(one as f64, *other))))
        }
        (one, other) => match (one.number(), other.number()) {
            (Some(one), Some(other)) => whole(one, other)
                .map(Value::Int)
                .ok_or_else(|| Failure::of("22003", "a number is out of range, or divided by zero")),
            _ => Err(refused(format!(
                "arithmetic of {:?} and {:?} over system tables is not supported",
                one.text(),
                other.text()
            ))),
        },
    }
}

pub(super) fn plus(_: &Asked<'_>, values: &[Value]) -> Outcome {
    computed(values, i64::checked_add, |one, other| one + other)
}

pub(super) fn minus(_: &Asked<'_>, values: &[Value]) -> Outcome {
    computed(values, i64::checked_sub, |one, other| one - other)
}

pub(super) fn times(_: &Asked<'_>, values: &[Value]) -> Outcome {
    computed(values, i64::checked_mul, |one, other| one * other)
}

pub(super) fn over(_: &Asked<'_>, values: &[Value]) -> Outcome {
    computed(values, i64::checked_div, |one, other| one / other)
}

pub(super) fn rest(_: &Asked<'_>, values: &[Value]) -> Outcome {
    computed(values, i64::checked_rem, |one, other| one % other)
}

pub(super) fn bits_and(_: &Asked<'_>, values: &[Value]) -> Outcome {
    computed(values, |one, other| Some(one & other), |one, _| one)
}

pub(super) fn bits_or(_: &Asked<'_>, values: &[Value]) -> Outcome {
    computed(values, |one, other| Some(one | other), |one, _| one)
}

pub(super) fn contains(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let (all, wanted) = (values[0].members().unwrap_or_default(), values[1].members().unwrap_or_default());
    let has = |wanted: &Value| all.iter().any(|member| member.compared(wanted) == Some(Ordering::Equal));
    Ok(Value::Bool(wanted.iter().all(has)))
}

pub(super) fn overlaps(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let (all, wanted) = (values[0].members().unwrap_or_default(), values[1].members().unwrap_or_default());
    let has = |wanted: &Value| all.iter().any(|member| member.compared(wanted) == Some(Ordering::Equal));
    Ok(Value::Bool(wanted.iter().any(has)))
}

pub(super) fn matches(_: &Asked<'_>, values: &[Value]) -> Outcome {
    is_match(&values[0].text(), &values[1].text(), false).map(Value::Bool)
}

pub(super) fn matches_any_case(_: &Asked<'_>, values: &[Value]) -> Outcome {
    is_match(&values[0].text(), &values[1].text(), true).map(Value::Bool)
}

/// Whether a regular expression finds something. Most that clients ask for are a beginning or a whole name.
fn is_match(text: &str, pattern: &str, any_case: bool) -> Result<bool, Failure> {
    let is_plain = |part: &str| part.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !any_case {
        let whole = pattern.strip_prefix("^(").and_then(|rest| rest.strip_suffix(")$"));
        if let Some(name) = whole.filter(|name| is_plain(name)) {
            return Ok(text == name);
        }
        if let Some(start) = pattern.strip_prefix('^').filter(|start| is_plain(start)) {
            return Ok(text.starts_with(start));
        }
    }
    let flag = any_case.then_some("i");
    let found = regexp_is_match_scalar(&StringArray::from(vec![text]), pattern, flag).map_err(of_arrow)?;
    Ok(found.value(0))
}

fn of_arrow(why: arrow::error::ArrowError) -> Failure {
    Failure::of("2201B", &format!("invalid regular expression: {why}"))
}

pub(super) fn like(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let escape = values[2].text().chars().next();
    Ok(Value::Bool(is_like(&letters_of(&values[0].text()), &letters_of(&values[1].text()), escape)))
}

pub(super) fn like_any_case(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let escape = values[2].text().chars().next();
    let (text, pattern) = (values[0].text().to_lowercase(), values[1].text().to_lowercase());
    Ok(Value::Bool(is_like(&letters_of(&text), &letters_of(&pattern), escape)))
}

fn letters_of(text: &str) -> Vec<char> {
    text.chars().collect()
}

fn is_like(text: &[char], pattern: &[char], escape: Option<char>) -> bool {
    let (mut at, mut place, mut back) = (0, 0, None);
    loop {
        let (step, meant) = match pattern.get(place) {
            Some(letter) if Some(*letter) == escape && place + 1 < pattern.len() => {
                (2, Some(pattern[place + 1]))
            }
            Some('%') => {
                back = Some((at, place + 1));
                place += 1;
                continue;
            }
            Some('_') => (1, None),
            Some(letter) => (1, Some(*letter)),
            None if at == text.len() => return true,
            None => (0, Some('\0')),
        };
        if step > 0 && at < text.len() && meant.is_none_or(|meant| meant == text[at]) {
            (at, place) = (at + 1, place + step);
            continue;
        }
        match back {
            Some((start, after)) if start < text.len() => {
                back = Some((start + 1, after));
                (at, place) = (start + 1, after);
            }
            _ => return false,
        }
    }
}

/// The members of a list.
pub(super) fn unnest(_: &Asked<'_>, values: &[Value]) -> Outcome {
    Ok(Value::List(values[0].members().unwrap_or_default()))
}

pub(super) fn numbers(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let (Some(from), Some(to)) = (values[0].number(), values[1].number()) else { return Ok(Value::list([])) };
    let step = values.get(2).and_then(Value::number).unwrap_or(1);
    if to.saturating_sub(from) / step.max(1) > 1_000_000 || step < 1 {
        return Err(refused("a series over system tables counts upwards, to a million at most".into()));
    }
    Ok(Value::list((from..=to).step_by(step as usize).map(Value::Int)))
}

pub(super) fn subscripts(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let places = bounds(&values[0]).map_or(0..0, |(first, last)| first..last + 1);
    Ok(Value::list(places.map(Value::Int)))
}

/// The members of a list with their places.
pub(super) fn expanded(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let members = values[0].members().unwrap_or_default();
    let pair = |(place, member): (i64, &Value)| Value::Record(Arc::from([member.clone(), Value::Int(place)]));
    Ok(Value::list((1..).zip(members.iter()).map(pair)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_postgres_has_them() {
        for (text, pattern, expected) in [
            ("abc", "a%", true),
            ("abc", "a_c", true),
            ("abc", "%b", false),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("", "%", true),
            ("aab", "%ab", true),
        ] {
            assert_eq!(
                is_like(&letters_of(text), &letters_of(pattern), Some('\\')),
                expected,
                "{text} {pattern}"
            );
        }
        for (text, pattern, expected) in [
            ("pg_toast", "^pg_", true),
            ("orders", "^(orders)$", true),
            ("orders", "^(or.*)$", true),
            ("x", "^pg_", false),
        ] {
            assert_eq!(is_match(text, pattern, false).ok(), Some(expected), "{text} {pattern}");
        }
    }
}
