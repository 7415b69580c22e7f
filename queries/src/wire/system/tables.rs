//! `pg_catalog`: the tables that tell of what is declared here. Their columns are PostgreSQL's.
use super::node::Column;
use super::relations::{Attribute, Index, Relation};
use super::value::{Row, Value, is_whole};
use super::views::{cluster, views};
use super::world::{INFORMATION_SCHEMA, PG_CATALOG, PUBLIC, Table, World};
use crate::catalogue::Catalogue;
use datafusion_postgres::pgwire::api::Type;
use std::sync::Arc;

/// The one role that owns everything.
pub(super) const OWNER: i64 = 10;
/// Its name.
pub(super) const OWNER_NAME: &str = "postgres";
pub(super) const DATABASE_OID: i64 = 16_383;
const CLASS: i64 = 1259;
const BTREE: i64 = 403;
const HEAP: i64 = 2;

pub(super) type Named<'a> = Vec<(&'a str, Value)>;

/// A table whose columns are known, from rows that name the columns which say something.
fn of_fixed(world: &World, name: &str, rows: Vec<Named<'_>>) -> (String, Table) {
    let columns = world.fixed().get(name).map(|table| table.columns.clone()).unwrap_or_default();
    filled(name, columns, rows)
}

/// The columns of the tables that nothing but what is declared here stands in.
fn written(name: &str) -> Vec<Column> {
    let text = match name {
        "pg_namespace" => "oid:o nspname nspowner:o nspacl:l",
        "pg_class" => {
            "oid:o relname relnamespace:o reltype:o reloftype:o relowner:o relam:o relfilenode:o reltablespace:o relpages:i reltuples:f \
             relallvisible:i reltoastrelid:o relhasindex:b relisshared:b relpersistence relkind relnatts:s relchecks:s relhasrules:b \
             relhastriggers:b relhassubclass:b relrowsecurity:b relforcerowsecurity:b relispopulated:b relreplident relispartition:b \
             relrewrite:o relfrozenxid relminmxid relacl:l reloptions:l relpartbound"
        }
        _ => {
            "attrelid:o attname atttypid:o attlen:s attnum:s attcacheoff:i atttypmod:i attndims:s attbyval:b attalign attstorage \
             attcompression attnotnull:b atthasdef:b atthasmissing:b attidentity attgenerated attisdropped:b attislocal:b attinhcount:s \
             attcollation:o attstattarget:s attacl:l attoptions:l attfdwoptions:l attmissingval"
        }
    };
    let column = |text: &str| {
        let (name, kind) = match text.split_once(':') {
            None => (text, Type::TEXT),
            Some((name, "o")) => (name, Type::OID),
            Some((name, "i")) => (name, Type::INT4),
            Some((name, "s")) => (name, Type::INT2),
            Some((name, "f")) => (name, Type::FLOAT4),
            Some((name, "b")) => (name, Type::BOOL),
            Some((name, _)) => (name, Type::TEXT_ARRAY),
        };
        Column { of: String::new(), name: name.into(), kind, fields: vec![] }
    };
    text.split_whitespace().map(column).collect()
}

/// The OIDs of PostgreSQL's tables that others refer to.
const OIDS: [(&str, i64); 33] = [
    ("pg_type", 1247),
    ("pg_attribute", 1249),
    ("pg_proc", 1255),
    ("pg_class", CLASS),
    ("pg_authid", 1260),
    ("pg_database", 1262),
    ("pg_tablespace", 1213),
    ("pg_foreign_server", 1417),
    ("pg_sequence", 2224),
    ("pg_foreign_data_wrapper", 2328),
    ("pg_am", 2601),
    ("pg_amop", 2602),
    ("pg_amproc", 2603),
    ("pg_attrdef", 2604),
    ("pg_cast", 2605),
    ("pg_constraint", 2606),
    ("pg_conversion", 2607),
    ("pg_depend", 2608),
    ("pg_description", 2609),
    ("pg_index", 2610),
    ("pg_inherits", 2611),
    ("pg_language", 2612),
    ("pg_namespace", 2615),
    ("pg_opclass", 2616),
    ("pg_operator", 2617),
    ("pg_rewrite", 2618),
    ("pg_trigger", 2620),
    ("pg_opfamily", 2753),
    ("pg_extension", 3079),
    ("pg_policy", 3256),
    ("pg_collation", 3456),
    ("pg_event_trigger", 3466),
    ("pg_publication", 6104),
];

fn filled(name: &str, columns: Vec<Column>, rows: Vec<Named<'_>>) -> (String, Table) {
    let row = |named: Named<'_>| -> Row {
        let value = |column: &Column| match named.iter().find(|(name, _)| *name == column.name) {
            Some((_, value)) => value.clone(),
            None if column.kind == Type::BOOL => Value::Bool(false),
            None if is_whole(&column.kind) => Value::Int(0),
            None => Value::Null,
        };
        columns.iter().map(value).collect()
    };
    let rows = Arc::new(rows.into_iter().map(row).collect());
    (format!("pg_catalog.{name}"), Table { columns, rows })
}

/// Columns by their names and types.
pub(super) fn columns(named: &[(&str, Type)]) -> Vec<Column> {
    let column = |(name, kind): &(&str, Type)| Column {
        of: String::new(),
        name: (*name).into(),
        kind: kind.clone(),
        fields: vec![],
    };
    named.iter().map(column).collect()
}

pub(super) fn own(name: &str, named: &[(&str, Type)], rows: Vec<Named<'_>>) -> (String, Table) {
    filled(name, columns(named), rows)
}

pub(super) fn text(value: &str) -> Value {
    Value::from(value)
}

pub(super) fn int(value: i64) -> Value {
    Value::Int(value)
}

/// All of them but those that tell of themselves.
pub(super) fn all(world: &World, catalogue: &Catalogue) -> Vec<(String, Table)> {
    let mut all = vec![
        filled("pg_namespace", written("pg_namespace"), namespaces()),
        of_fixed(world, "pg_attrdef", defaults(world)),
        of_fixed(world, "pg_constraint", constraints(world)),
        of_fixed(
            world,
            "pg_index",
            world
                .relations
                .iter()
                .flat_map(|known| known.indexes.iter().map(|index| self::index(known, index)))
                .collect(),
        ),
        of_fixed(world, "pg_sequence", sequences(world)),
        of_fixed(world, "pg_depend", depends(world)),
        of_fixed(world, "pg_rewrite", rules(world)),
        of_fixed(world, "pg_authid", vec![role()]),
        functions(world, catalogue),
    ];
    all.extend(views(world));
    all.extend(cluster());
    all
}

fn namespaces<'a>() -> Vec<Named<'a>> {
    [(PG_CATALOG, "pg_catalog"), (PUBLIC, "public"), (INFORMATION_SCHEMA, "information_schema")]
        .map(|(oid, name)| vec![("oid", int(oid)), ("nspname", text(name)), ("nspowner", int(OWNER))])
        .into()
}

pub(super) fn role<'a>() -> Named<'a> {
    let yes = ["rolsuper", "rolinherit", "rolcreaterole", "rolcreatedb", "rolcanlogin", "rolbypassrls"]
        .map(|name| (name, Value::Bool(true)));
    [("oid", int(OWNER)), ("rolname", text(OWNER_NAME)), ("rolconnlimit", int(-1))]
        .into_iter()
        .chain(yes)
        .collect()
}

/// `pg_class` and `pg_attribute`, in which the tables of the system stand too.
pub(super) fn themselves(world: &World) -> Vec<(String, Table)> {
    let (mut classes, mut attributes) = (vec![], vec![]);
    let mut listed = world.listed();
    listed.extend(["pg_class", "pg_attribute"].map(|name| (format!("pg_catalog.{name}"), written(name))));
    for (i, (name, columns)) in (0_i64..).zip(&listed) {
        let (schema, name) = name.split_once('.').unwrap_or_default();
        let space = if schema == "pg_catalog" { PG_CATALOG } else { INFORMATION_SCHEMA };
        let known = OIDS.iter().find(|(known, _)| space == PG_CATALOG && *known == name);
        let oid = known.map_or(15_000 + i, |(_, oid)| *oid);
        let is_view = known.is_none() && (space != PG_CATALOG || !world.fixed().contains_key(name));
        classes.push(class(oid, name, space, if is_view { "v" } else { "r" }, columns.len(), HEAP));
        for (number, column) in (1..).zip(columns) {
            attributes.push(attribute(oid, number, &column.name, &column.kind, -1, false));
        }
    }
    for relation in &world.relations {
        let mut class =
            class(relation.oid, &relation.name, PUBLIC, relation.kind, relation.columns.len(), HEAP);
        class.push(("relhasindex", Value::Bool(!relation.indexes.is_empty())));
        let checks = relation.constraints.iter().filter(|constraint| constraint.kind == "c").count();
        class.push(("relchecks", int(checks as i64)));
        classes.push(class);
        for (number, column) in (1..).zip(&relation.columns) {
            attributes.push(described(relation.oid, number, column));
        }
        for index in &relation.indexes {
            classes.push(self::class(index.oid, &index.name, PUBLIC, "i", index.columns.len(), BTREE));
            for (number, place) in (1..).zip(&index.columns) {
                if let Some(column) = usize::try_from(place - 1).ok().and_then(|at| relation.columns.get(at))
                {
                    attributes.push(attribute(
                        index.oid,
                        number,
                        &column.name,
                        &column.kind,
                        column.modifier,
                        false,
                    ));
                }
            }
        }
    }
    vec![
        filled("pg_class", written("pg_class"), classes),
        filled("pg_attribute", written("pg_attribute"), attributes),
    ]
}

fn class<'a>(oid: i64, name: &str, space: i64, kind: &str, columns: usize, method: i64) -> Named<'a> {
    let method = if matches!(kind, "v" | "S") { 0 } else { method };
    vec![
        ("oid", int(oid)),
        ("relname", text(name)),
        ("relnamespace", int(space)),
        ("relowner", int(OWNER)),
        ("relam", int(method)),
        ("relfilenode", int(oid)),
        ("reltuples", Value::Float(-1.0)),
        ("relpersistence", text("p")),
        ("relkind", text(kind)),
        ("relnatts", int(columns as i64)),
        ("relhasrules", Value::Bool(kind == "v")),
        ("relispopulated", Value::Bool(true)),
        ("relreplident", text(if kind == "r" { "d" } else { "n" })),
    ]
}

fn described<'a>(relation: i64, number: i64, column: &Attribute) -> Named<'a> {
    let mut row =
        attribute(relation, number, &column.name, &column.kind, column.modifier, column.is_required);
    row.retain(|(name, _)| *name != "attidentity");
    row.push(("atthasdef", Value::Bool(column.default.is_some())));
    row.push(("attidentity", text(column.identity)));
    row
}

fn attribute<'a>(
    relation: i64,
    number: i64,
    name: &str,
    kind: &Type,
    modifier: i64,
    is_required: bool,
) -> Named<'a> {
    let length = i64::from(crate::wire::oid::size(kind));
    let is_text =
        matches!(*kind, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::TEXT_ARRAY | Type::VARCHAR_ARRAY);
    vec![
        ("attrelid", int(relation)),
        ("attname", text(name)),
        ("atttypid", int(kind.oid().into())),
        ("attlen", int(length)),
        ("attnum", int(number)),
        ("attcacheoff", int(-1)),
        ("atttypmod", int(modifier)),
        ("attndims", int(i64::from(crate::wire::oid::element_of(kind).is_some()))),
        ("attbyval", Value::Bool((1..=8).contains(&length))),
        ("attalign", text(if length == 8 { "d" } else { "i" })),
        ("attstorage", text(if length > 0 { "p" } else { "x" })),
        ("attcompression", text("")),
        ("attnotnull", Value::Bool(is_required)),
        ("attidentity", text("")),
        ("attgenerated", text("")),
        ("attislocal", Value::Bool(true)),
        ("attcollation", int(if is_text { 100 } else { 0 })),
        ("attstattarget", Value::Null),
    ]
}

fn defaults(world: &World) -> Vec<Named<'_>> {
    let mut rows = vec![];
    for relation in &world.relations {
        for (number, column) in (1..).zip(&relation.columns) {
            if let Some(default) = &column.default {
                rows.push(vec![
                    ("oid", int(relation.oid + (number << 32 >> 8) % 1_000_000_007)),
                    ("adrelid", int(relation.oid)),
                    ("adnum", int(number)),
                    ("adbin", text(default)),
                ]);
            }
        }
    }
    rows
}

fn constraints(world: &World) -> Vec<Named<'_>> {
    let mut rows = vec![];
    for relation in &world.relations {
        for constraint in &relation.constraints {
            rows.push(vec![
                ("oid", int(constraint.oid)),
                ("conname", text(&constraint.name)),
                ("connamespace", int(PUBLIC)),
                ("contype", text(constraint.kind)),
                ("convalidated", Value::Bool(true)),
                ("conrelid", int(relation.oid)),
                ("conindid", int(constraint.index)),
                ("confupdtype", text(" ")),
                ("confdeltype", text(" ")),
                ("confmatchtype", text(" ")),
                ("conislocal", Value::Bool(true)),
                ("connoinherit", Value::Bool(constraint.kind != "c")),
                ("conkey", Value::list(constraint.columns.iter().map(|at| int(*at)))),
                ("conbin", constraint.check.as_deref().map(Value::from).into()),
            ]);
        }
    }
    rows
}

fn index<'a>(relation: &Relation, index: &Index) -> Named<'a> {
    let count = index.columns.len();
    let zeros = || Value::vector(std::iter::repeat_n(0, count));
    vec![
        ("indexrelid", int(index.oid)),
        ("indrelid", int(relation.oid)),
        ("indnatts", int(count as i64)),
        ("indnkeyatts", int(count as i64)),
        ("indisunique", Value::Bool(true)),
        ("indisprimary", Value::Bool(index.is_primary)),
        ("indimmediate", Value::Bool(true)),
        ("indisvalid", Value::Bool(true)),
        ("indisready", Value::Bool(true)),
        ("indislive", Value::Bool(true)),
        ("indkey", Value::vector(index.columns.iter().copied())),
        ("indcollation", zeros()),
        ("indclass", zeros()),
        ("indoption", zeros()),
    ]
}

fn sequences(world: &World) -> Vec<Named<'_>> {
    let row = |relation: &Relation| {
        let (_, _, start, kind) = relation.numbers.as_ref()?;
        Some(vec![
            ("seqrelid", int(relation.oid)),
            ("seqtypid", int(kind.oid().into())),
            ("seqstart", int(*start)),
            ("seqincrement", int(1)),
            ("seqmax", int(greatest(kind))),
            ("seqmin", int(1)),
            ("seqcache", int(1)),
        ])
    };
    world.relations.iter().filter_map(row).collect()
}

/// The greatest number of a type.
pub(super) fn greatest(kind: &Type) -> i64 {
    match *kind {
        Type::INT2 => i16::MAX.into(),
        Type::INT4 => i32::MAX.into(),
        _ => i64::MAX,
    }
}

/// Whose numbers the numbers are.
fn depends(world: &World) -> Vec<Named<'_>> {
    let row = |relation: &Relation| {
        let (table, place, ..) = relation.numbers.as_ref()?;
        let owner = world.by_oid(*table)?;
        let is_identity = !owner.columns.get(place - 1)?.identity.is_empty();
        Some(vec![
            ("classid", int(CLASS)),
            ("objid", int(relation.oid)),
            ("refclassid", int(CLASS)),
            ("refobjid", int(*table)),
            ("refobjsubid", int(*place as i64)),
            ("deptype", text(if is_identity { "i" } else { "a" })),
        ])
    };
    world.relations.iter().filter_map(row).collect()
}

fn rules(world: &World) -> Vec<Named<'_>> {
    let views = world.relations.iter().filter(|relation| relation.query.is_some());
    let row = |relation: &Relation| {
        vec![
            ("oid", int(relation.oid ^ 1 << 30)),
            ("rulename", text("_RETURN")),
            ("ev_class", int(relation.oid)),
            ("ev_type", text("1")),
            ("ev_enabled", text("O")),
            ("is_instead", Value::Bool(true)),
        ]
    };
    views.map(row).collect()
}

/// PostgreSQL's functions, and those that were declared here.
fn functions(world: &World, catalogue: &Catalogue) -> (String, Table) {
    let fixed = world.fixed().get("pg_proc");
    let columns = fixed.map(|table| table.columns.clone()).unwrap_or_default();
    let mut rows: Vec<Row> = fixed.map(|table| table.rows().as_ref().clone()).unwrap_or_default();
    let kind = |written: &dyn std::fmt::Display| {
        super::cast::type_of(&written.to_string()).map_or(25, |kind| i64::from(kind.oid()))
    };
    let mut named = vec![];
    for (number, (name, function)) in (1..).zip(catalogue.functions()) {
        let names = function.arguments.iter().map(|(name, _)| name.as_deref().unwrap_or_default());
        let has_names = function.arguments.iter().any(|(name, _)| name.is_some());
        named.push(vec![
            ("oid", int((1 << 30) + 1_000_000 + number)),
            ("proname", text(name)),
            ("pronamespace", int(PUBLIC)),
            ("proowner", int(OWNER)),
            ("prolang", int(14)),
            ("prokind", text("f")),
            ("provolatile", text("i")),
            ("proparallel", text("s")),
            ("pronargs", int(function.arguments.len() as i64)),
            ("prorettype", int(kind(&function.returns))),
            ("proargtypes", Value::vector(function.arguments.iter().map(|(_, written)| kind(written)))),
            ("proargnames", if has_names { Value::list(names.map(Value::from)) } else { Value::Null }),
            ("prosrc", text(&function.body.to_string())),
        ]);
    }
    let (_, declared) = filled("pg_proc", columns.clone(), named);
    rows.extend(declared.rows.iter().cloned());
    ("pg_catalog.pg_proc".into(), Table { columns, rows: Arc::new(rows) })
}
