//! `information_schema`: the same as `pg_catalog` says, in the words of the standard.
use super::calls::constraint_text;
use super::node::Column;
use super::relations::{Attribute, Relation};
use super::tables::greatest;
use super::value::{Row, Value};
use super::world::{Table, World};
use crate::wire::catalog::DATABASE;
use crate::wire::oid::element_of;
use datafusion_postgres::pgwire::api::Type;
use std::sync::Arc;

fn table(name: &str, written: &str, rows: Vec<Row>) -> (String, Table) {
    let column = |written: &str| {
        let (name, kind) = match written.strip_suffix('#') {
            Some(name) => (name, Type::INT4),
            None => (written, Type::TEXT),
        };
        Column { of: String::new(), name: name.into(), kind, fields: vec![] }
    };
    let columns: Vec<Column> = written.split_whitespace().map(column).collect();
    let fitting = |mut row: Row| {
        row.resize(columns.len(), Value::Null);
        row
    };
    let rows = Arc::new(rows.into_iter().map(fitting).collect());
    (format!("information_schema.{name}"), Table { columns, rows })
}

fn row<const N: usize>(values: [&str; N]) -> Row {
    values.map(Value::from).into()
}

/// All of its views that say something here, and those that are empty. Materialized views stand among the views: in PostgreSQL they
/// are left out, and then dashboards do not offer them.
pub(super) fn all(world: &World) -> Vec<(String, Table)> {
    let known = || world.relations.iter().filter(|relation| matches!(relation.kind, "r" | "v" | "m"));
    let tables = known().map(|relation| {
        let (kind, takes) = if relation.kind == "r" { ("BASE TABLE", "YES") } else { ("VIEW", "NO") };
        let mut out = row([DATABASE, "public", &relation.name, kind]);
        out.resize(9, Value::Null);
        out.extend(row([takes, "NO"]));
        out
    });
    let views = known().filter_map(|relation| {
        let query = format!(" {};", relation.query.as_ref()?);
        Some(row([DATABASE, "public", &relation.name, &query, "NONE", "NO", "NO", "NO", "NO", "NO"]))
    });
    let columns = world.relations.iter().filter(|relation| matches!(relation.kind, "r" | "v" | "m"));
    let columns = columns.flat_map(|relation| {
        (1..).zip(&relation.columns).map(|(at, column)| self::column(world, relation, at, column))
    });
    let (mut constraints, mut keys, mut checks, mut used) = (vec![], vec![], vec![], vec![]);
    for relation in known() {
        for constraint in &relation.constraints {
            let kind = match constraint.kind {
                "p" => "PRIMARY KEY",
                "u" => "UNIQUE",
                _ => "CHECK",
            };
            constraints.push(row([
                DATABASE,
                "public",
                &constraint.name,
                DATABASE,
                "public",
                &relation.name,
                kind,
                "NO",
                "NO",
                "YES",
            ]));
            if constraint.kind == "c" {
                let text = constraint_text(relation, constraint);
                checks.push(row([DATABASE, "public", &constraint.name, text.trim_start_matches("CHECK ")]));
            }
            for (place, at) in (1..).zip(&constraint.columns) {
                let Some(column) = usize::try_from(at - 1).ok().and_then(|at| relation.columns.get(at))
                else {
                    continue;
                };
                let mut out = row([
                    DATABASE,
                    "public",
                    &constraint.name,
                    DATABASE,
                    "public",
                    &relation.name,
                    &column.name,
                ]);
                out.push(Value::Int(place));
                keys.push(out);
                used.push(row([
                    DATABASE,
                    "public",
                    &relation.name,
                    &column.name,
                    DATABASE,
                    "public",
                    &constraint.name,
                ]));
            }
        }
    }
    let sequences = world.relations.iter().filter_map(|relation| {
        let (_, _, start, kind) = relation.numbers.as_ref()?;
        let name = world.type_name(kind.oid().into(), None)?;
        let mut out = row([DATABASE, "public", &relation.name, &name]);
        out.extend([64, 2, 0].map(Value::Int));
        out.extend(row([&start.to_string(), "1", &greatest(kind).to_string(), "1", "NO"]));
        Some(out)
    });
    let schemas =
        ["pg_catalog", "public", "information_schema"].map(|name| row([DATABASE, name, "postgres"]));
    let rights = known().flat_map(|relation| {
        let rights: &[&str] = if relation.kind == "r" {
            &["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE"]
        } else {
            &["SELECT"]
        };
        rights.iter().map(|right| {
            row(["postgres", "postgres", DATABASE, "public", &relation.name, right, "YES", "NO"])
        })
    });
    let rights: Vec<Row> = rights.collect();
    let nothing = |name: &str, written: &str| table(name, written, vec![]);
    vec![
        table(
            "tables",
            "table_catalog table_schema table_name table_type self_referencing_column_name reference_generation user_defined_type_catalog user_defined_type_schema user_defined_type_name is_insertable_into is_typed commit_action",
            tables.collect(),
        ),
        table(
            "views",
            "table_catalog table_schema table_name view_definition check_option is_updatable is_insertable_into is_trigger_updatable is_trigger_deletable is_trigger_insertable_into",
            views.collect(),
        ),
        table(
            "columns",
            "table_catalog table_schema table_name column_name ordinal_position# column_default is_nullable data_type character_maximum_length# character_octet_length# numeric_precision# numeric_precision_radix# numeric_scale# datetime_precision# interval_type interval_precision# character_set_catalog character_set_schema character_set_name collation_catalog collation_schema collation_name domain_catalog domain_schema domain_name udt_catalog udt_schema udt_name scope_catalog scope_schema scope_name maximum_cardinality# dtd_identifier is_self_referencing is_identity identity_generation identity_start identity_increment identity_maximum identity_minimum identity_cycle is_generated generation_expression is_updatable",
            columns.collect(),
        ),
        table(
            "table_constraints",
            "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name constraint_type is_deferrable initially_deferred enforced nulls_distinct",
            constraints,
        ),
        table(
            "key_column_usage",
            "constraint_catalog constraint_schema constraint_name table_catalog table_schema table_name column_name ordinal_position# position_in_unique_constraint#",
            keys,
        ),
        table(
            "check_constraints",
            "constraint_catalog constraint_schema constraint_name check_clause",
            checks,
        ),
        table(
            "constraint_column_usage",
            "table_catalog table_schema table_name column_name constraint_catalog constraint_schema constraint_name",
            used,
        ),
        table(
            "sequences",
            "sequence_catalog sequence_schema sequence_name data_type numeric_precision# numeric_precision_radix# numeric_scale# start_value minimum_value maximum_value increment cycle_option",
            sequences.collect(),
        ),
        table(
            "schemata",
            "catalog_name schema_name schema_owner default_character_set_catalog default_character_set_schema default_character_set_name sql_path",
            schemas.into(),
        ),
        table(
            "table_privileges",
            "grantor grantee table_catalog table_schema table_name privilege_type is_grantable with_hierarchy",
            rights.clone(),
        ),
        table(
            "role_table_grants",
            "grantor grantee table_catalog table_schema table_name privilege_type is_grantable with_hierarchy",
            rights,
        ),
        table("information_schema_catalog_name", "catalog_name", vec![row([DATABASE])]),
        table("enabled_roles", "role_name", vec![row(["postgres"])]),
        table("applicable_roles", "grantee role_name is_grantable", vec![]),
        nothing(
            "referential_constraints",
            "constraint_catalog constraint_schema constraint_name unique_constraint_catalog unique_constraint_schema unique_constraint_name match_option update_rule delete_rule",
        ),
        nothing(
            "triggers",
            "trigger_catalog trigger_schema trigger_name event_manipulation event_object_catalog event_object_schema event_object_table action_statement action_orientation action_timing",
        ),
        nothing(
            "routines",
            "specific_catalog specific_schema specific_name routine_catalog routine_schema routine_name routine_type data_type type_udt_name routine_body routine_definition external_language",
        ),
        nothing(
            "parameters",
            "specific_catalog specific_schema specific_name ordinal_position# parameter_mode parameter_name data_type udt_name",
        ),
        nothing("domains", "domain_catalog domain_schema domain_name data_type"),
        nothing(
            "element_types",
            "object_catalog object_schema object_name object_type collection_type_identifier data_type udt_name",
        ),
        nothing(
            "column_privileges",
            "grantor grantee table_catalog table_schema table_name column_name privilege_type is_grantable",
        ),
        nothing(
            "foreign_tables",
            "foreign_table_catalog foreign_table_schema foreign_table_name foreign_server_catalog foreign_server_name",
        ),
        nothing(
            "user_defined_types",
            "user_defined_type_catalog user_defined_type_schema user_defined_type_name user_defined_type_category",
        ),
        nothing(
            "view_table_usage",
            "view_catalog view_schema view_name table_catalog table_schema table_name",
        ),
        nothing("character_sets", "character_set_catalog character_set_schema character_set_name"),
        nothing("collations", "collation_catalog collation_schema collation_name pad_attribute"),
    ]
}

fn column(world: &World, relation: &Relation, at: i64, column: &Attribute) -> Row {
    let is_list = element_of(&column.kind).is_some();
    let written = world.type_name(column.kind.oid().into(), None).unwrap_or_default();
    let long = match column.kind {
        _ if is_list => "ARRAY".to_string(),
        Type::BPCHAR => "character".to_string(),
        _ => written,
    };
    let inside = (column.modifier >= 4).then(|| column.modifier - 4);
    let is_text = matches!(column.kind, Type::VARCHAR | Type::BPCHAR);
    let length = inside.filter(|_| is_text);
    let (precision, radix, scale) = match column.kind {
        Type::INT2 => (Some(16), Some(2), Some(0)),
        Type::INT4 => (Some(32), Some(2), Some(0)),
        Type::INT8 => (Some(64), Some(2), Some(0)),
        Type::FLOAT4 => (Some(24), Some(2), None),
        Type::FLOAT8 => (Some(53), Some(2), None),
        Type::NUMERIC => (inside.map(|inside| inside >> 16), Some(10), inside.map(|inside| inside & 0xffff)),
        _ => (None, None, None),
    };
    let instant = match column.kind {
        Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::INTERVAL => Some(6),
        Type::DATE => Some(0),
        _ => None,
    };
    let octets =
        length.map(|length| length * 4).or_else(|| (column.kind == Type::TEXT || is_text).then_some(1 << 30));
    let yes = |is: bool| Value::from(if is { "YES" } else { "NO" });
    let numbers = [length, octets, precision, radix, scale, instant].map(Value::from);
    let mut out = row([DATABASE, "public", &relation.name, &column.name]);
    out.extend([
        Value::Int(at),
        column.default.as_deref().map(Value::from).into(),
        yes(!column.is_required),
        long.into(),
    ]);
    out.extend(numbers);
    out.resize(25, Value::Null);
    out.extend(row([DATABASE, "pg_catalog", column.kind.name()]));
    out.resize(32, Value::Null);
    let identity = match column.identity {
        "a" => Value::from("ALWAYS"),
        "d" => Value::from("BY DEFAULT"),
        _ => Value::Null,
    };
    out.extend([Value::from(at.to_string()), yes(false), yes(!identity.is_null()), identity]);
    out.resize(40, Value::Null);
    out.extend([yes(false), Value::from("NEVER"), Value::Null, yes(relation.kind == "r")]);
    out
}
