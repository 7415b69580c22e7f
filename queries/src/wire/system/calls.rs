//! The functions that questions about the system call. `texts` has those of texts, numbers and lists.
use super::Failure;
use super::bind::{Typed, common, shown};
use super::node::{Asked, Run};
use super::relations::{Constraint, Index, Relation};
use super::texts;
pub(super) use super::texts::*;
use super::value::Value;
use super::world::{path, quoted};
use crate::wire::catalog::{DATABASE, VERSION};
use crate::wire::oid::element_of;
use datafusion_postgres::pgwire::api::Type;

/// A function, and what it gives.
pub(super) struct Known {
    pub(super) run: Run,
    pub(super) kind: Type,
    /// NULL where an argument is.
    pub(super) is_strict: bool,
    /// The types of parameters in the place of its arguments.
    pub(super) takes: Vec<Type>,
    /// Whether what stands for a name is given to it as the name.
    pub(super) takes_text: bool,
}

/// A function that gives several values or rows.
pub(super) struct Series {
    pub(super) run: Run,
    pub(super) kind: Type,
    pub(super) fields: Vec<&'static str>,
}

type Outcome = Result<Value, Failure>;

/// Names that are calls without parentheses.
pub(super) fn is_register(name: &str) -> bool {
    ["current_user", "session_user", "current_role", "user", "current_catalog", "current_schema"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// The function of a name.
pub(super) fn call(name: &str, arguments: &[Typed]) -> Option<Known> {
    let text = |run: Run| (run, Type::TEXT, true);
    let first = || common(&arguments[..arguments.len().min(1)]);
    let (run, kind, is_strict): (Run, Type, bool) = match name {
        "version" => {
            text(|_, _| Ok(format!("PostgreSQL {VERSION} (Tallyflow {})", env!("CARGO_PKG_VERSION")).into()))
        }
        "current_database" | "current_catalog" => text(|_, _| Ok(DATABASE.into())),
        "current_schema" => text(|_, _| Ok("public".into())),
        "current_schemas" => (schemas, Type::TEXT_ARRAY, true),
        "current_user" | "session_user" | "current_role" | "user" => text(|asked, _| Ok(asked.user.into())),
        "pg_get_userbyid" => text(|_, _| Ok(super::tables::OWNER_NAME.into())),
        "current_setting" => text(setting),
        "set_config" => text(|_, values| Ok(values[1].text().into())),
        "format_type" => (format_type, Type::TEXT, false),
        "pg_get_expr" => text(|_, values| Ok(values[0].clone())),
        "pg_get_viewdef" => text(view),
        "pg_get_constraintdef" => text(constraint),
        "pg_get_indexdef" => text(index),
        "pg_get_serial_sequence" => text(sequence),
        "pg_get_function_arguments" | "pg_get_function_identity_arguments" => text(function_arguments),
        "pg_get_function_result" => text(function_result),
        "pg_get_functiondef" | "pg_get_function_sqlbody" => text(|_, _| Ok(Value::Null)),
        "pg_get_ruledef"
        | "pg_get_triggerdef"
        | "pg_get_partkeydef"
        | "pg_get_partition_constraintdef"
        | "pg_get_statisticsobjdef"
        | "pg_get_statisticsobjdef_columns"
        | "pg_describe_object"
        | "pg_identify_object"
        | "pg_get_publication_tables" => text(|_, _| Ok(Value::Null)),
        "obj_description" | "col_description" | "shobj_description" => text(description),
        "to_regclass" => {
            (|asked, values| Ok(asked.world.relation(&values[0].text()).into()), Type::REGCLASS, true)
        }
        "to_regtype" => {
            (|asked, values| Ok(asked.world.type_named(&values[0].text()).into()), Type::REGTYPE, true)
        }
        "to_regnamespace" => {
            (|asked, values| Ok(asked.world.namespace(&values[0].text()).into()), Type::REGNAMESPACE, true)
        }
        "pg_encoding_to_char" => text(|_, _| Ok("UTF8".into())),
        "pg_tablespace_location" => text(|_, _| Ok("".into())),
        "getdatabaseencoding" => text(|_, _| Ok("UTF8".into())),
        "pg_char_to_encoding" => (|_, _| Ok(Value::Int(6)), Type::INT4, true),
        "pg_backend_pid" | "inet_server_port" | "inet_client_port" => {
            (|_, _| Ok(Value::Int(std::process::id().into())), Type::INT4, true)
        }
        "inet_server_addr" | "inet_client_addr" => text(|_, _| Ok("127.0.0.1".into())),
        "pg_is_in_recovery"
        | "pg_is_other_temp_schema"
        | "pg_relation_is_publishable"
        | "pg_relation_is_updatable"
        | "pg_index_column_has_property"
        | "pg_indexam_has_property" => (|_, _| Ok(Value::Bool(false)), Type::BOOL, true),
        "pg_my_temp_schema" | "pg_relation_filenode" => (|_, _| Ok(Value::Int(0)), Type::OID, true),
        "pg_partition_root" => (|_, _| Ok(Value::Null), Type::REGCLASS, true),
        "pg_relation_size"
        | "pg_table_size"
        | "pg_total_relation_size"
        | "pg_indexes_size"
        | "pg_database_size"
        | "pg_tablespace_size"
        | "pg_stat_get_numscans"
        | "pg_stat_get_live_tuples"
        | "txid_current" => (|_, _| Ok(Value::Int(0)), Type::INT8, true),
        "pg_size_pretty" => text(|_, values| Ok(format!("{} bytes", values[0].text()).into())),
        "pg_advisory_unlock_all" => text(|_, _| Ok("".into())),
        "quote_ident" => text(|_, values| Ok(quoted(&values[0].text()).into())),
        "quote_literal" => text(|_, values| Ok(crate::functions::quoted_literal(&values[0].text()).into())),
        "parse_ident" => (
            |_, values| Ok(Value::list(path(&values[0].text()).into_iter().map(Value::from))),
            Type::TEXT_ARRAY,
            true,
        ),
        _ if name.starts_with("has_") && name.ends_with("_privilege") || name == "pg_has_role" => {
            (|_, _| Ok(Value::Bool(true)), Type::BOOL, true)
        }
        _ if name.starts_with("pg_") && name.ends_with("_is_visible") => (is_visible, Type::BOOL, true),
        "nullif" => (texts::nullif, first(), false),
        "greatest" => (texts::greatest, common(arguments), false),
        "least" => (texts::least, common(arguments), false),
        "array_append" | "array_cat" => (texts::appended, first(), false),
        "array_remove" => (texts::removed, first(), true),
        "json_build_object" | "jsonb_build_object" => (texts::json_object, Type::JSONB, false),
        _ => texts::find(name)?,
    };
    let takes = match name {
        "pg_get_viewdef" | "pg_get_constraintdef" | "pg_get_indexdef" | "pg_get_expr" => {
            vec![Type::OID, Type::INT4, Type::BOOL]
        }
        "format_type" => vec![Type::OID, Type::INT4],
        "obj_description" | "shobj_description" => vec![Type::OID, Type::TEXT],
        "col_description" => vec![Type::OID, Type::INT4],
        "generate_series" => vec![Type::INT4; 3],
        _ => vec![Type::TEXT; arguments.len()],
    };
    let takes_text = matches!(
        name,
        "json_build_object"
            | "jsonb_build_object"
            | "concat"
            | "concat_ws"
            | "quote_ident"
            | "array_to_string"
            | "length"
            | "lower"
            | "upper"
            | "pg_get_serial_sequence"
            | "replace"
    );
    Some(Known { run, kind, is_strict, takes, takes_text })
}

/// The function of a name that gives several values or rows.
pub(super) fn series(name: &str, arguments: &[Typed]) -> Option<Series> {
    let of = |run: Run, kind: Type| Some(Series { run, kind, fields: vec![] });
    match name {
        "unnest" => {
            let kind = arguments.first().map_or(Type::TEXT, |list| match list.kind {
                Type::INT2_VECTOR => Type::INT2,
                Type::OID_VECTOR => Type::OID,
                ref list => element_of(list).unwrap_or_else(|| shown(list)),
            });
            of(texts::unnest, if kind == Type::TEXT_ARRAY { Type::TEXT } else { kind })
        }
        "generate_series" => of(texts::numbers, Type::INT4),
        "generate_subscripts" => of(texts::subscripts, Type::INT4),
        "string_to_table" => of(texts::cut, Type::TEXT),
        "_pg_expandarray" => Some(Series { run: texts::expanded, kind: Type::INT4, fields: vec!["x", "n"] }),
        "pg_get_keywords" => Some(Series {
            run: keywords,
            kind: Type::TEXT,
            fields: vec!["word", "catcode", "barelabel", "catdesc", "baredesc"],
        }),
        "pg_options_to_table" => {
            Some(Series { run: nothing, kind: Type::TEXT, fields: vec!["option_name", "option_value"] })
        }
        "aclexplode" => Some(Series {
            run: nothing,
            kind: Type::OID,
            fields: vec!["grantor", "grantee", "privilege_type", "is_grantable"],
        }),
        "pg_partition_ancestors" | "pg_partition_tree" | "pg_listening_channels" => of(nothing, Type::TEXT),
        _ => None,
    }
}

fn nothing(_: &Asked<'_>, _: &[Value]) -> Outcome {
    Ok(Value::list([]))
}

fn keywords(asked: &Asked<'_>, _: &[Value]) -> Outcome {
    let rows = asked.world.fixed().get("pg_get_keywords").map(|table| table.rows()).unwrap_or_default();
    Ok(Value::list(rows.iter().map(|row| Value::Record(row.clone().into()))))
}

fn schemas(_: &Asked<'_>, values: &[Value]) -> Outcome {
    let names: &[&str] = if values[0].holds() { &["pg_catalog", "public"] } else { &["public"] };
    Ok(Value::list(names.iter().map(|name| Value::from(*name))))
}

fn setting(asked: &Asked<'_>, values: &[Value]) -> Outcome {
    let name = values[0].text();
    match (asked.setting)(&name.to_lowercase()) {
        Some(value) => Ok(value.into()),
        None if values.get(1).is_some_and(Value::holds) => Ok(Value::Null),
        None => Err(Failure::of("42704", &format!("unrecognized configuration parameter \"{name}\""))),
    }
}

fn format_type(asked: &Asked<'_>, values: &[Value]) -> Outcome {
    let Some(oid) = values[0].number() else { return Ok(Value::Null) };
    // Without a modifier the type stands alone, with one it is that of a column.
    let modifier = values.get(1).and_then(Value::number);
    Ok(match oid {
        0 => "-".into(),
        oid => asked.world.type_name(oid, modifier).unwrap_or_else(|| "???".into()).into(),
    })
}

fn number(asked: &Asked<'_>, value: &Value) -> Option<i64> {
    value.number().or_else(|| asked.world.relation(&value.text()))
}

fn view(asked: &Asked<'_>, values: &[Value]) -> Outcome {
    let relation = number(asked, &values[0]).and_then(|oid| asked.world.by_oid(oid));
    Ok(relation.and_then(|relation| relation.query.as_ref()).map(|query| format!(" {query};")).into())
}

fn names(relation: &Relation, places: &[i64]) -> String {
    let name = |place: &i64| {
        let column = usize::try_from(place - 1).ok().and_then(|at| relation.columns.get(at));
        column.map(|column| quoted(&column.name)).unwrap_or_default()
    };
    places.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// A constraint as SQL has it.
pub(super) fn constraint_text(relation: &Relation, constraint: &Constraint) -> String {
    match (constraint.kind, &constraint.check) {
        ("c", Some(check)) => format!("CHECK (({check}))"),
        ("p", _) => format!("PRIMARY KEY ({})", names(relation, &constraint.columns)),
        _ => format!("UNIQUE ({})", names(relation, &constraint.columns)),
    }
}

/// An index as SQL has it.
pub(super) fn index_text(relation: &Relation, index: &Index) -> String {
    let columns = names(relation, &index.columns);
    format!(
        "CREATE UNIQUE INDEX {} ON public.{} USING btree ({columns})",
        quoted(&index.name),
        quoted(&relation.name)
    )
}

fn constraint(asked: &Asked<'_>, values: &[Value]) -> Outcome {
    let found = values[0].number().and_then(|oid| asked.world.constraint(oid));
    let is_pretty = values.get(1).is_some_and(Value::holds);
    let text = |(relation, constraint): (&Relation, &Constraint)| match (&constraint.check, is_pretty) {
        (Some(check), true) => format!("CHECK ({check})"),
        _ => constraint_text(relation, constraint),
    };
    Ok(found.map(text).into())
}

fn index(asked: &Asked<'_>, values: &[Value]) -> Outcome {
    let oid = number(asked, &values[0]);
    let found = asked.world.relations.iter().find_map(|relation| {
        relation.indexes.iter().find(|index| Some(index.oid) == oid).map(|index| (relation, index))
    });
    let Some((relation, index)) = found else { return Ok(Value::Null) };
    Ok(match values.get(1).and_then(Value::number) {
        None | Some(0) => index_text(relation, index).into(),
        Some(place) => {
            let place = usize::try_from(place - 1).ok().and_then(|at| index.columns.get(at));
            place.map(|place| names(relation, &[*place])).into()
        }
    })
}

fn sequence(asked: &Asked<'_>, values: &[Value]) -> Outcome {
    let table = number(asked, &values[0]);
    let column = values[1].text();
    let found = asked.world.relations.iter().find(|relation| {
        let of = relation.numbers.as_ref().and_then(|(of, place, ..)| {
            let owner = asked.world.by_oid(*of)?;
            (Some(*of) == table && owner.columns.get(place - 1)?.name == column).then_some(())
        });
        of.is_some()
    });
    Ok(found.map(|relation| format!("public.{}", quoted(&relation.name))).into())
}

fn description(asked: &Asked<'_>, values: &[Value]) -> Outcome {
    let (Some(oid), rows) = (values[0].number(), asked.world.rows("pg_catalog.pg_description")?) else {
        return Ok(Value::Null);
    };
    let class = match values.get(1) {
        Some(Value::Text(class)) => asked.world.relation(class),
        _ => None,
    };
    let place = values.get(1).and_then(Value::number).unwrap_or(0);
    let known = |row: &&Vec<Value>| {
        row[0] == Value::Int(oid)
            && class.is_none_or(|class| row[1] == Value::Int(class))
            && row[2] == Value::Int(place)
    };
    Ok(rows.iter().find(known).and_then(|row| row.get(3)).cloned().unwrap_or_default())
}

fn is_visible(asked: &Asked<'_>, values: &[Value]) -> Outcome {
    let Some(oid) = values[0].number() else { return Ok(Value::Null) };
    // What stands in information_schema is found by its whole name only.
    Ok(Value::Bool(!asked.world.is_hidden(oid)))
}

/// What a function takes and gives.
struct Declared {
    types: Vec<Value>,
    names: Vec<Value>,
    result: Value,
    is_set: bool,
}

fn function(asked: &Asked<'_>, value: &Value) -> Result<Option<Declared>, Failure> {
    let columns = asked.world.columns("pg_catalog.pg_proc")?;
    let rows = asked.world.rows("pg_catalog.pg_proc")?;
    let place = |name: &str| columns.iter().position(|column| column.name == name).unwrap_or_default();
    let Some(row) = rows.iter().find(|row| row[0] == *value) else { return Ok(None) };
    let types = row[place("proargtypes")].members().map(|members| members.to_vec()).unwrap_or_default();
    let names = row[place("proargnames")].members().map(|members| members.to_vec()).unwrap_or_default();
    let (result, is_set) = (row[place("prorettype")].clone(), row[place("proretset")].holds());
    Ok(Some(Declared { types, names, result, is_set }))
}

fn type_name(asked: &Asked<'_>, value: &Value) -> String {
    value.number().and_then(|oid| asked.world.type_name(oid, None)).unwrap_or_else(|| "unknown".into())
}

fn function_arguments(asked: &Asked<'_>, values: &[Value]) -> Outcome {
    let Some(Declared { types, names, .. }) = function(asked, &values[0])? else { return Ok(Value::Null) };
    let argument = |(i, kind): (usize, &Value)| {
        let name = names.get(i).map(Value::text).filter(|name| !name.is_empty());
        let kind = type_name(asked, kind);
        name.map_or(kind.clone(), |name| format!("{} {kind}", quoted(&name)))
    };
    Ok(types.iter().enumerate().map(argument).collect::<Vec<_>>().join(", ").into())
}

fn function_result(asked: &Asked<'_>, values: &[Value]) -> Outcome {
    let found = function(asked, &values[0])?;
    Ok(found
        .map(|found| {
            format!("{}{}", if found.is_set { "SETOF " } else { "" }, type_name(asked, &found.result))
        })
        .into())
}
