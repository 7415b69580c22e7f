//! The schemas of the business's events, and what a value says against one. Of JSON Schema, what the shipped ones use: type,
//! const, enum, required, properties, items, pattern, format, minLength and minimum.
use super::super::call::Call;
use super::super::problem::Problem;
use super::{answered, no_parameters};
use serde_json::{Value, json};
use warp::http::StatusCode;
use warp::reply::Response;

// `SHIPPED`: the schemas by the type of event, without what stands before and behind.
include!(concat!(env!("OUT_DIR"), "/schemas.rs"));

/// What stands before and behind the words of a type.
const BEFORE: &str = "com.example.bss.";
const BEHIND: &str = ".v1";

/// The whole name of a type.
pub(super) fn event_type(words: &str) -> String {
    format!("{BEFORE}{words}{BEHIND}")
}

/// `GET /api/v1/schemas`.
pub(super) fn all(call: &Call) -> Result<Response, Problem> {
    no_parameters(call)?;
    let schemas = SHIPPED.iter().map(|(words, _)| {
        let name = event_type(words);
        let url = format!("/api/v1/schemas/{name}");
        json!({"type": name, "url": url})
    });
    Ok(answered(StatusCode::OK, json!({"schemas": schemas.collect::<Vec<_>>()})))
}

/// `GET /api/v1/schemas/{type}`: by the whole name, or without what stands before and behind.
pub(super) fn one(name: &str, call: &Call) -> Result<Response, Problem> {
    no_parameters(call)?;
    let words = name.strip_prefix(BEFORE).unwrap_or(name);
    let text = text(words.strip_suffix(BEHIND).unwrap_or(words)).ok_or_else(|| {
        Problem::not_found(format!(
            "there is no schema of \"{name}\"; GET /api/v1/schemas names those there are"
        ))
    })?;
    Ok(super::super::call::json_response(StatusCode::OK, text.to_owned()))
}

fn text(words: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|(known, _)| *known == words).map(|(_, text)| *text)
}

/// The schema of a type of event.
pub(super) fn schema(words: &str) -> Value {
    let text = text(words).expect("a test finds the schemas of all types that commands append");
    serde_json::from_str(text).expect("a test reads every shipped schema")
}

/// What a value says against a schema: where, and what is wanted. Nothing where it fits.
pub(super) fn faults(schema: &Value, value: &Value) -> Vec<Value> {
    let mut faults = vec![];
    judge(schema, value, &mut String::new(), &mut faults);
    faults
}

fn judge(schema: &Value, value: &Value, at: &mut String, faults: &mut Vec<Value>) {
    let mut fault = |why: String| faults.push(json!({"at": &*at, "fault": why}));
    if let Some(kind) = schema.get("type").filter(|kind| !is_of(kind, value)) {
        return fault(format!("must be of type {kind}"));
    }
    if schema.get("const").is_some_and(|wanted| wanted != value) {
        fault(format!("must be {}", schema["const"]));
    }
    if let Some(known) = schema.get("enum").and_then(Value::as_array).filter(|known| !known.contains(value)) {
        let known: Vec<String> = known.iter().map(Value::to_string).collect();
        fault(format!("must be one of {}", known.join(", ")));
    }
    if let Some(text) = value.as_str() {
        let shortest = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
        if (text.chars().count() as u64) < shortest {
            fault(format!("must have at least {shortest} characters"));
        }
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str).filter(|p| !fits(p, text)) {
            fault(format!("must be like {pattern}"));
        }
        if let Some(format) = schema.get("format").and_then(Value::as_str).filter(|f| !is_written(f, text)) {
            fault(format!("must be a {format}"));
        }
    }
    let least = schema.get("minimum").and_then(Value::as_f64);
    if let (Some(least), Some(number)) = (least, value.as_f64())
        && number < least
    {
        fault(format!("must be at least {least}"));
    }
    if let Value::Object(members) = value {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if !members.contains_key(name) {
                faults.push(json!({"at": format!("{at}/{name}"), "fault": "is missing"}));
            }
        }
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            if let Some(member) = members.get(name) {
                below(name, schema, member, at, faults);
            }
        }
    }
    if let (Value::Array(elements), Some(schema)) = (value, schema.get("items")) {
        for (i, element) in elements.iter().enumerate() {
            below(&i.to_string(), schema, element, at, faults);
        }
    }
}

fn below(name: &str, schema: &Value, value: &Value, at: &mut String, faults: &mut Vec<Value>) {
    let length = at.len();
    *at += &format!("/{name}");
    judge(schema, value, at, faults);
    at.truncate(length);
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind {
        Value::Array(kinds) => kinds.iter().any(|kind| is_of(kind, value)),
        kind => match kind.as_str() {
            Some("string") => value.is_string(),
            Some("integer") => {
                value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
            }
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            Some("null") => value.is_null(),
            _ => true,
        },
    }
}

/// The patterns of the shipped schemas; a test finds every one of them here.
const PATTERNS: [&str; 3] = [r"^-?[0-9]+$", r"^-?[0-9]+(\.[0-9]+)?$", r"^[A-Z]{3}$"];

fn fits(pattern: &str, text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.strip_prefix('-').unwrap_or(text);
    match PATTERNS.iter().position(|known| *known == pattern) {
        Some(0) => digits(number),
        Some(1) => match number.split_once('.') {
            Some((whole, fraction)) => digits(whole) && digits(fraction),
            None => digits(number),
        },
        Some(_) => text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()),
        None => true,
    }
}

fn is_written(format: &str, text: &str) -> bool {
    match format {
        "date" => is_date(text),
        "date-time" => is_moment(text),
        _ => true,
    }
}

fn is_date(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u32>().ok())?
    };
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    text.len() == 10 && &text[4..5] == "-" && &text[7..8] == "-" && (1..=days).contains(&day)
}

fn is_moment(text: &str) -> bool {
    let Some((day, time)) = text.get(..10).zip(text.get(11..)) else { return false };
    let parted = text.get(10..11).is_some_and(|part| part.eq_ignore_ascii_case("t"));
    let zone = time.find(['Z', 'z', '+', '-']);
    let Some((clock, zone)) = zone.map(|at| time.split_at(at)) else { return false };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let hours = |text: &str, most: [u32; 3]| {
        let parts: Vec<&str> = text.split(':').collect();
        let fit = |(part, most): (&&str, u32)| {
            part.len() == 2
                && part.bytes().all(|b| b.is_ascii_digit())
                && part.parse::<u32>().is_ok_and(|n| n <= most)
        };
        parts.iter().zip(most).all(fit).then_some(parts.len())
    };
    let zoned =
        zone.eq_ignore_ascii_case("z") || zone.get(1..).is_some_and(|at| hours(at, [23, 59, 0]) == Some(2));
    let fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    is_date(day) && parted && hours(whole, [23, 59, 60]) == Some(3) && fraction && zoned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::business::entities::ENTITIES;

    fn patterns(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(members) => {
                found.extend(members.get("pattern").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| patterns(member, found));
            }
            Value::Array(elements) => elements.iter().for_each(|element| patterns(element, found)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_is_read_and_every_pattern_known() {
        assert!(SHIPPED.len() > 100);
        for (words, text) in SHIPPED {
            let (schema, mut found): (Value, _) = (serde_json::from_str(text).unwrap(), vec![]);
            assert_eq!(schema["properties"]["type"]["const"], *event_type(words), "{words}");
            patterns(&schema, &mut found);
            found.iter().for_each(|pattern| assert!(PATTERNS.contains(&&**pattern), "{words}: {pattern}"));
        }
    }

    #[test]
    fn what_commands_append_has_a_schema_that_the_example_fits() {
        for entity in ENTITIES {
            let kinds = [entity.created, entity.changed, entity.removed];
            for kind in kinds.iter().chain(entity.by_state.iter().map(|(_, kind)| kind)) {
                let schema = &schema(kind)["properties"]["data"];
                let example = serde_json::from_str(entity.example).unwrap();
                assert_eq!(faults(schema, &example), Vec::<Value>::new(), "{kind}");
                let required = schema["required"].as_array().unwrap();
                assert!(required.contains(&json!(entity.id)), "{kind}");
            }
        }
    }

    #[test]
    fn a_value_is_judged() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": ["integer", "string"], "pattern": "^-?[0-9]+$"}, "b": {"type": "string", "enum": ["x"]},
            "d": {"type": "string", "format": "date"}, "l": {"type": "array", "items": {"type": "string", "minLength": 1}},
            "t": {"type": "string", "format": "date-time"}}});
        let cases = [
            (json!({"a": 1}), ""),
            (json!({"a": "-12"}), ""),
            (json!({"a": "1.5"}), "/a"),
            (json!({"a": 1.5}), "/a"),
            (json!([]), ""),
            (json!({}), "/a"),
            (json!({"a": 1, "b": "y"}), "/b"),
            (json!({"a": 1, "l": ["z", ""]}), "/l/1"),
            (json!({"a": 1, "d": "2024-02-29"}), ""),
            (json!({"a": 1, "d": "2023-02-29"}), "/d"),
            (json!({"a": 1, "t": "2024-02-29T10:00:00.5+01:00"}), ""),
            (json!({"a": 1, "t": "2024-02-29t10:00:60z"}), ""),
            (json!({"a": 1, "t": "2024-02-29T10:00:00"}), "/t"),
            (json!({"a": 1, "t": "2024-02-29 10:00:00Z"}), "/t"),
        ];
        for (value, at) in cases {
            let found = faults(&schema, &value);
            let expected = !at.is_empty() || value.is_array();
            assert_eq!(!found.is_empty(), expected, "{value}: {found:?}");
            assert!(found.iter().all(|fault| fault["at"] == at), "{value}: {found:?}");
        }
    }
}
