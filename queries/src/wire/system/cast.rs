//! Casts. What is written as `regclass`, `regtype` and so on is a number inside and a name outside.
use super::bind::{Typed, call, shown};
use super::node::{Asked, Node, Run};
use super::value::{Value, is_whole};
use super::{Failure, refused};
use crate::wire::oid::{array_of_element, element_of};
use crate::wire::parameter::named as type_named;
use datafusion::sql::sqlparser::ast::DataType;
use datafusion_postgres::pgwire::api::Type;

/// The type that SQL text names.
pub(super) fn type_of(written: &str) -> Option<Type> {
    let name = written.trim().to_lowercase().replace("pg_catalog.", "").replace('"', "");
    if let Some(element) = name.strip_suffix("[]") {
        return match type_of(element)? {
            Type::REGTYPE => Some(Type::REGTYPE_ARRAY),
            Type::REGCLASS => Some(Type::REGCLASS_ARRAY),
            Type::CHAR | Type::NAME => Some(Type::TEXT_ARRAY),
            element => array_of_element(&element),
        };
    }
    Some(match name.as_str() {
        "oid" => Type::OID,
        "name" | "cstring" => Type::NAME,
        "char" | "bpchar" => Type::CHAR,
        "regclass" => Type::REGCLASS,
        "regtype" => Type::REGTYPE,
        "regnamespace" => Type::REGNAMESPACE,
        "regrole" => Type::REGROLE,
        "regproc" | "regprocedure" | "regoper" | "regoperator" | "regconfig" | "regdictionary" => {
            Type::REGPROC
        }
        "xid" => Type::INT8,
        "int2vector" => Type::INT2_VECTOR,
        "oidvector" => Type::OID_VECTOR,
        other => return type_named(&other.to_uppercase()),
    })
}

/// A value as another type.
pub(super) fn cast(typed: Typed, to: &DataType) -> Result<Typed, Failure> {
    let kind = type_of(&to.to_string()).ok_or_else(|| {
        refused(format!("the type {to} in a question about system tables is not supported"))
    })?;
    cast_to(typed, &kind)
}

fn cast_to(typed: Typed, to: &Type) -> Result<Typed, Failure> {
    if typed.kind == Type::REGPROC && is_whole(to) {
        return Ok(Typed::new(call(function, vec![typed.node]), Type::OID));
    }
    let is_number = is_whole(&typed.kind) || is_name_of(&typed.kind).is_some();
    if let Some(find) = numbered(to) {
        let run = if is_number { same } else { find };
        return Ok(Typed::new(call(run, vec![typed.node]), to.clone()));
    }
    if *to == Type::REGTYPE_ARRAY || *to == Type::REGCLASS_ARRAY {
        return Ok(Typed::new(call(same, vec![typed.node]), to.clone()));
    }
    let run: Run = match *to {
        Type::TEXT | Type::NAME | Type::VARCHAR | Type::BPCHAR => {
            let mut text = to_text(typed);
            text.kind = if *to == Type::NAME { Type::NAME } else { Type::TEXT };
            return Ok(text);
        }
        Type::CHAR => first,
        Type::BOOL => truth,
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID | Type::XID => whole,
        Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => {
            return Ok(Typed::new(call(float, vec![typed.node]), Type::FLOAT8));
        }
        Type::INT2_VECTOR | Type::OID_VECTOR | Type::JSON | Type::JSONB | Type::REGPROC => same,
        _ if element_of(to).is_some() => {
            let node = named(typed).node;
            return Ok(Typed::new(call(list, vec![node]), to.clone()));
        }
        _ => return Err(refused(format!("a cast to {} over system tables is not supported", to.name()))),
    };
    if *to == Type::REGPROC {
        return Ok(Typed::new(call(bare, vec![typed.node]), Type::REGPROC));
    }
    Ok(Typed::new(call(run, vec![typed.node]), to.clone()))
}

/// How a name becomes the number of a type.
fn numbered(kind: &Type) -> Option<Run> {
    Some(match *kind {
        Type::REGCLASS => |asked: &Asked<'_>, values: &[Value]| {
            found(asked.world.relation(&values[0].text()), &values[0], "relation", "42P01")
        },
        Type::REGTYPE => |asked: &Asked<'_>, values: &[Value]| {
            found(asked.world.type_named(&values[0].text()), &values[0], "type", "42704")
        },
        Type::REGNAMESPACE => |asked: &Asked<'_>, values: &[Value]| {
            found(asked.world.namespace(&values[0].text()), &values[0], "schema", "3F000")
        },
        Type::REGROLE => |_: &Asked<'_>, _: &[Value]| Ok(Value::Int(super::tables::OWNER)),
        _ => return None,
    })
}

fn found(number: Option<i64>, name: &Value, what: &str, code: &str) -> Result<Value, Failure> {
    match number.or_else(|| name.number()) {
        Some(number) => Ok(Value::Int(number)),
        None => Err(Failure::of(code, &format!("{what} \"{}\" does not exist", name.text()))),
    }
}

/// How the number of a type becomes a name.
fn is_name_of(kind: &Type) -> Option<Run> {
    Some(match *kind {
        Type::REGCLASS => |asked: &Asked<'_>, values: &[Value]| {
            Ok(name(&values[0], |number| asked.world.relation_name(number)))
        },
        Type::REGTYPE => |asked: &Asked<'_>, values: &[Value]| {
            Ok(name(&values[0], |number| asked.world.type_name(number, None)))
        },
        Type::REGNAMESPACE => |asked: &Asked<'_>, values: &[Value]| {
            Ok(name(&values[0], |number| asked.world.namespace_name(number)))
        },
        Type::REGROLE => |asked: &Asked<'_>, _: &[Value]| Ok(Value::from(asked.user)),
        Type::REGTYPE_ARRAY => |asked: &Asked<'_>, values: &[Value]| {
            Ok(names(&values[0], |number| asked.world.type_name(number, None)))
        },
        Type::REGCLASS_ARRAY => |asked: &Asked<'_>, values: &[Value]| {
            Ok(names(&values[0], |number| asked.world.relation_name(number)))
        },
        _ => return None,
    })
}

fn name(value: &Value, known: impl Fn(i64) -> Option<String>) -> Value {
    match value.number() {
        Some(0) => Value::from("-"),
        Some(number) => Value::from(known(number).unwrap_or_else(|| number.to_string())),
        None => value.clone(),
    }
}

fn names(value: &Value, known: impl Fn(i64) -> Option<String>) -> Value {
    Value::list(value.members().unwrap_or_default().iter().map(|member| name(member, &known)))
}

/// A value as it is shown: names in the place of numbers.
pub(super) fn named(typed: Typed) -> Typed {
    match is_name_of(&typed.kind) {
        Some(run) => {
            let kind = if matches!(typed.kind, Type::REGTYPE_ARRAY | Type::REGCLASS_ARRAY) {
                Type::TEXT_ARRAY
            } else {
                Type::TEXT
            };
            Typed::new(call(run, vec![typed.node]), kind)
        }
        None => typed,
    }
}

/// A value as text.
pub(super) fn to_text(typed: Typed) -> Typed {
    let typed = named(typed);
    match shown(&typed.kind) {
        Type::TEXT | Type::VARCHAR => typed,
        _ => Typed::new(call(text, vec![typed.node]), Type::TEXT),
    }
}

/// A side of a comparison: what stands for a number is a number, unless the other side is a column of texts.
pub(super) fn comparable(typed: Typed, other: &Type) -> Result<Typed, Failure> {
    let is_text = matches!(*other, Type::TEXT | Type::VARCHAR | Type::NAME);
    match is_name_of(&typed.kind).is_some() && is_text && !matches!(typed.node, Node::Constant(_)) {
        true => Ok(named(typed)),
        false if typed.kind == Type::UNKNOWN && numbered(other).is_some() => cast_to(typed, other),
        false => Ok(typed),
    }
}

fn function(asked: &Asked<'_>, values: &[Value]) -> Result<Value, Failure> {
    found(asked.world.function(&values[0].text()), &values[0], "function", "42883")
}

fn same(_: &Asked<'_>, values: &[Value]) -> Result<Value, Failure> {
    Ok(values[0].clone())
}

fn text(_: &Asked<'_>, values: &[Value]) -> Result<Value, Failure> {
    Ok(values[0].text().into())
}

fn bare(_: &Asked<'_>, values: &[Value]) -> Result<Value, Failure> {
    Ok(values[0].text().trim_start_matches("pg_catalog.").into())
}

fn first(_: &Asked<'_>, values: &[Value]) -> Result<Value, Failure> {
    Ok(values[0].text().chars().take(1).collect::<String>().into())
}

fn truth(_: &Asked<'_>, values: &[Value]) -> Result<Value, Failure> {
    match &values[0] {
        Value::Bool(yes) => Ok(Value::Bool(*yes)),
        Value::Int(number) => Ok(Value::Bool(*number != 0)),
        other => match other.text().trim().to_lowercase().as_str() {
            "t" | "true" | "yes" | "on" | "1" => Ok(Value::Bool(true)),
            "f" | "false" | "no" | "off" | "0" => Ok(Value::Bool(false)),
            text => Err(Failure::of("22P02", &format!("invalid input syntax for type boolean: {text:?}"))),
        },
    }
}

fn whole(_: &Asked<'_>, values: &[Value]) -> Result<Value, Failure> {
    let number = values[0].number();
    number.map(Value::Int).ok_or_else(|| {
        Failure::of("22P02", &format!("invalid input syntax for type integer: {:?}", values[0].text()))
    })
}

fn float(_: &Asked<'_>, values: &[Value]) -> Result<Value, Failure> {
    match &values[0] {
        Value::Int(number) => Ok(Value::Float(*number as f64)),
        other => other.text().parse().map(Value::Float).map_err(|_| {
            Failure::of(
                "22P02",
                &format!("invalid input syntax for type double precision: {:?}", other.text()),
            )
        }),
    }
}

fn list(_: &Asked<'_>, values: &[Value]) -> Result<Value, Failure> {
    let members = values[0].members();
    members
        .map(Value::List)
        .ok_or_else(|| Failure::of("22P02", &format!("malformed array literal: {:?}", values[0].text())))
}
