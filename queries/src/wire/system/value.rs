//! `Value`: what a question about the system computes with. Types are known where names are bound; here texts stand in for all that
//! has no form of its own, as PostgreSQL's literals of unknown type do.
use datafusion_postgres::pgwire::api::Type;
use std::cmp::Ordering;
use std::sync::Arc;

/// One value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Arc<str>),
    List(Arc<[Value]>),
    /// `int2vector` and `oidvector`: counted from 0, and printed with blanks between.
    Vector(Arc<[Value]>),
    Record(Arc<[Value]>),
}

/// A row.
pub(super) type Row = Vec<Value>;

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text.into())
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Value {
        Value::Bool(yes)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl Value {
    /// A list.
    pub(super) fn list(values: impl IntoIterator<Item = Value>) -> Value {
        Value::List(values.into_iter().collect())
    }

    /// Numbers that are counted from 0.
    pub(super) fn vector(numbers: impl IntoIterator<Item = i64>) -> Value {
        Value::Vector(numbers.into_iter().map(Value::Int).collect())
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether it is true: NULL is not.
    pub(super) fn holds(&self) -> bool {
        match self {
            Value::Bool(yes) => *yes,
            Value::Text(text) => matches!(&**text, "t" | "true"),
            _ => false,
        }
    }

    /// A whole number, also where it is written as text.
    pub(super) fn number(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Bool(yes) => Some(i64::from(*yes)),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Float(number) => Some(*number as i64),
            _ => None,
        }
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        match self {
            Value::Null => String::new(),
            Value::Bool(yes) => if *yes { "true" } else { "false" }.into(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Text(text) => text.to_string(),
            Value::List(values) => format!("{{{}}}", joined(values, element)),
            Value::Vector(values) => values.iter().map(Value::text).collect::<Vec<_>>().join(" "),
            Value::Record(values) => format!("({})", joined(values, element)),
        }
    }

    /// The members of a list, also of one that is written as text.
    pub(super) fn members(&self) -> Option<Arc<[Value]>> {
        match self {
            Value::List(values) | Value::Vector(values) => Some(values.clone()),
            Value::Text(text) => parsed(text),
            _ => None,
        }
    }

    /// What equal values share.
    pub(super) fn key(&self) -> String {
        match self {
            Value::Text(text) => {
                text.trim().parse::<i64>().map_or_else(|_| text.to_string(), |n| n.to_string())
            }
            other => other.text(),
        }
    }

    /// The order of two values that are not NULL; none where they cannot be compared.
    pub(super) fn compared(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Null, _) | (_, Value::Null) => None,
            (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
            (Value::Bool(one), other) | (other, Value::Bool(one)) if matches!(other, Value::Text(_)) => {
                let order = one.cmp(&matches!(other.text().as_str(), "t" | "true" | "on" | "1" | "yes"));
                Some(if matches!(self, Value::Bool(_)) { order } else { order.reverse() })
            }
            (Value::Float(_), _) | (_, Value::Float(_)) => self.float()?.partial_cmp(&other.float()?),
            (Value::List(_) | Value::Vector(_), _) | (_, Value::List(_) | Value::Vector(_)) => {
                lists(&self.members()?, &other.members()?)
            }
            (Value::Record(one), Value::Record(other)) => lists(one, other),
            _ => Some(self.number()?.cmp(&other.number()?)),
        }
    }

    fn float(&self) -> Option<f64> {
        match self {
            Value::Float(number) => Some(*number),
            Value::Text(text) => text.parse().ok(),
            other => other.number().map(|number| number as f64),
        }
    }

    /// The order of a sort: NULL is the greatest.
    pub(super) fn sorted(&self, other: &Value) -> Ordering {
        match (self.is_null(), other.is_null()) {
            (false, false) => self.compared(other).unwrap_or(Ordering::Equal),
            (one, other) => one.cmp(&other),
        }
    }
}

fn lists(one: &[Value], other: &[Value]) -> Option<Ordering> {
    let first = one.iter().zip(other).map(|(one, other)| one.sorted(other)).find(|order| order.is_ne());
    Some(first.unwrap_or_else(|| one.len().cmp(&other.len())))
}

fn joined(values: &[Value], written: fn(&Value) -> String) -> String {
    values.iter().map(written).collect::<Vec<_>>().join(",")
}

fn element(value: &Value) -> String {
    let text = match value {
        Value::Null => return "NULL".into(),
        Value::Bool(yes) => return if *yes { "t" } else { "f" }.into(),
        Value::List(_) => return value.text(),
        other => other.text(),
    };
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(['"', '\\', '{', '}', ',', ' ', '(', ')']);
    match plain {
        true => text,
        false => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// A list of one dimension that is written as `{a,"b c",NULL}`.
fn parsed(text: &str) -> Option<Arc<[Value]>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut found = vec![];
    let (mut word, mut is_quoted, mut was_quoted) = (String::new(), false, false);
    let mut letters = inner.chars();
    let ended = |word: &mut String, was_quoted: &mut bool| {
        let text = std::mem::take(word);
        let is_null = !std::mem::take(was_quoted) && text.eq_ignore_ascii_case("null");
        if is_null { Value::Null } else { Value::from(text) }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => word.extend(letters.next()),
            '"' => (is_quoted, was_quoted) = (!is_quoted, true),
            ',' if !is_quoted => found.push(ended(&mut word, &mut was_quoted)),
            letter => word.push(letter),
        }
    }
    if !inner.is_empty() {
        found.push(ended(&mut word, &mut was_quoted));
    }
    Some(found.into())
}

/// Whether a type is of whole numbers.
pub(super) fn is_whole(kind: &Type) -> bool {
    matches!(*kind, Type::INT2 | Type::INT4 | Type::INT8 | Type::OID | Type::XID | Type::CID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_are_written() {
        for text in ["{}", "{a,b}", "{\"a,b\",NULL,\"null\",\"\"}", "{\"a\\\"b\"}"] {
            let members = Value::from(text).members().expect("it is a list");
            assert_eq!(Value::List(members).text(), text);
        }
    }

    #[test]
    fn a_text_is_what_it_is_compared_with() {
        for (one, other, order) in [
            (Value::Int(7), Value::from("10"), Ordering::Less),
            (Value::from("t"), Value::Bool(false), Ordering::Greater),
            (Value::vector([1, 2]), Value::from("{1,2}"), Ordering::Equal),
        ] {
            assert_eq!(one.compared(&other), Some(order));
            assert_eq!(other.compared(&one), Some(order.reverse()));
        }
    }
}
