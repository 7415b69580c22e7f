//! `Relation`: a table or view as PostgreSQL's catalogue has it, from how it was declared.
use super::cast::type_of;
use crate::catalogue::system::is_system;
use crate::catalogue::{Catalogue, Declared, Entry};
use crate::declare::constraints::{numbered, rules, spelled_out};
use crate::declare::text::statements;
use crate::wire::{command, oid};
use dataflows::Mode;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, DataType, Statement, TableConstraint,
};
use datafusion::sql::sqlparser::tokenizer::Token;
use datafusion_postgres::pgwire::api::Type;
use std::collections::HashSet;

/// A table, a view, or the numbers of a column.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) oid: i64,
    pub(super) name: String,
    /// `r`, `v`, `m`, or `S` for the numbers of a column.
    pub(super) kind: &'static str,
    pub(super) columns: Vec<Attribute>,
    /// The query of a view.
    pub(super) query: Option<String>,
    pub(super) constraints: Vec<Constraint>,
    pub(super) indexes: Vec<Index>,
    /// Of numbers: the table's OID, the column's place from 1, the first number and the type.
    pub(super) numbers: Option<(i64, usize, i64, Type)>,
    /// Whether nothing can be read of it yet.
    pub(super) is_virtual: bool,
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) kind: Type,
    pub(super) modifier: i64,
    pub(super) is_required: bool,
    pub(super) default: Option<String>,
    /// `a` or `d` where it numbers its rows as IDENTITY.
    pub(super) identity: &'static str,
}

#[derive(Debug)]
pub(super) struct Constraint {
    pub(super) oid: i64,
    pub(super) name: String,
    /// `p`, `u` or `c`.
    pub(super) kind: &'static str,
    /// Places from 1.
    pub(super) columns: Vec<i64>,
    pub(super) check: Option<String>,
    pub(super) index: i64,
}

#[derive(Debug)]
pub(super) struct Index {
    pub(super) oid: i64,
    pub(super) name: String,
    pub(super) columns: Vec<i64>,
    pub(super) is_primary: bool,
}

/// Numbers for names: the same after a restart, and whatever else is declared.
struct Numbers(HashSet<i64>);

impl Numbers {
    fn of(&mut self, what: &str, name: &str) -> i64 {
        let hash = format!("{what} {name}")
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        let mut number = i64::from(hash % 0x3fff_ffff) + 16_384;
        while !self.0.insert(number) {
            number += 1;
        }
        number
    }
}

/// All relations of a catalogue.
pub(super) fn relations(catalogue: &Catalogue) -> Vec<Relation> {
    let mut numbers = Numbers(HashSet::new());
    let mut found: Vec<Relation> = vec![];
    for entry in catalogue.entries() {
        if !is_system(entry.declared.name()) {
            found.extend(relation(catalogue, entry, &mut numbers));
        }
    }
    // What numbers a column is a table inside, once it has given a number.
    let series: HashSet<String> =
        found.iter().filter(|known| known.kind == "S").map(|known| known.name.clone()).collect();
    let tables: HashSet<String> =
        found.iter().filter(|known| known.kind == "r").map(|known| known.name.clone()).collect();
    found.retain(|known| known.kind != "r" || !series.contains(&known.name));
    for known in &mut found {
        known.is_virtual = known.kind == "S" && !tables.contains(&known.name);
    }
    found
}

fn relation(catalogue: &Catalogue, entry: &Entry, numbers: &mut Numbers) -> Vec<Relation> {
    let name = entry.declared.name().to_string();
    let Ok(schema) = catalogue.schema(&name) else { return vec![] };
    let fields = schema.fields().iter();
    let mut columns: Vec<Attribute> = fields
        .map(|field| Attribute {
            name: field.name().clone(),
            kind: oid::of_field(field).unwrap_or(Type::TEXT),
            modifier: -1,
            is_required: !field.is_nullable(),
            default: None,
            identity: "",
        })
        .collect();
    let oid = numbers.of("relation", &name);
    let (key, kind) = match &entry.declared {
        Declared::Table(mapping) => match &mapping.table.mode {
            Mode::Append => (vec![], "r"),
            Mode::Latest { key, .. } | Mode::Changes { key } => (key.clone(), "r"),
        },
        Declared::View { .. } => (vec![], "v"),
        Declared::MaterializedView(compiled) => (compiled.view.key.clone(), "m"),
    };
    let places = |key: &[usize]| key.iter().map(|at| *at as i64 + 1).collect::<Vec<_>>();
    let (mut constraints, mut indexes, mut series) = (vec![], vec![], vec![]);
    let declared = declaration(entry);
    match &declared {
        Some(create) => {
            described(&mut columns, &create.columns);
            series = sequences(create, oid, &mut columns, numbers);
        }
        None => described(&mut columns, &external(entry)),
    }
    if kind == "r" && !key.is_empty() {
        let called = declared.as_ref().and_then(primary).unwrap_or_else(|| format!("{name}_pkey"));
        let index = numbers.of("index", &called);
        key.iter().for_each(|at| columns[*at].is_required = true);
        constraints.push(Constraint {
            oid: numbers.of("constraint", &format!("{name} {called}")),
            name: called.clone(),
            kind: "p",
            columns: places(&key),
            check: None,
            index,
        });
        indexes.push(Index { oid: index, name: called, columns: places(&key), is_primary: true });
    }
    if kind == "m" && !key.is_empty() && key.len() < columns.len() {
        let called = format!("{name}_key");
        indexes.push(Index {
            oid: numbers.of("index", &called),
            name: called,
            columns: places(&key),
            is_primary: false,
        });
    }
    let rules = declared.as_ref().map(rules).unwrap_or_default();
    for (called, members) in rules.unique {
        let place = |member: &String| columns.iter().position(|column| column.name == *member);
        let places = places(&members.iter().filter_map(place).collect::<Vec<_>>());
        let index = numbers.of("index", &called);
        constraints.push(Constraint {
            oid: numbers.of("constraint", &format!("{name} {called}")),
            name: called.clone(),
            kind: "u",
            columns: places.clone(),
            check: None,
            index,
        });
        indexes.push(Index { oid: index, name: called, columns: places, is_primary: false });
    }
    for (called, condition) in rules.checks {
        constraints.push(Constraint {
            oid: numbers.of("constraint", &format!("{name} {called}")),
            name: called,
            kind: "c",
            columns: vec![],
            check: Some(condition.to_string()),
            index: 0,
        });
    }
    let query = (kind != "r").then(|| query(&entry.sql));
    let own =
        Relation { oid, name, kind, columns, query, constraints, indexes, numbers: None, is_virtual: false };
    std::iter::once(own).chain(series).collect()
}

/// What a CREATE TABLE says of types and defaults.
fn described(columns: &mut [Attribute], written: &[ColumnDef]) {
    for definition in written {
        let called = super::bind::name(&definition.name);
        let Some(column) = columns.iter_mut().find(|column| column.name == called) else { continue };
        if let Some((kind, modifier)) = written_type(&definition.data_type) {
            (column.kind, column.modifier) = (kind, modifier);
        }
        for option in &definition.options {
            if let ColumnOption::Default(value) = &option.option {
                column.default = Some(value.to_string());
            }
        }
    }
}

fn written_type(written: &DataType) -> Option<(Type, i64)> {
    let text = written.to_string().to_lowercase();
    let inside = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(inside, _)| inside);
    let numbers: Vec<i64> = inside
        .map(|inside| inside.split(',').filter_map(|part| part.trim().parse().ok()).collect())
        .unwrap_or_default();
    let base = text.split('(').next().unwrap_or_default().trim();
    let is_list = text.ends_with("[]");
    let kind = match base {
        "char" | "character" | "bpchar" if !is_list => Type::BPCHAR,
        _ => type_of(&text)?,
    };
    let modifier = match (&kind, numbers.as_slice()) {
        (kind, [length]) if matches!(*kind, Type::VARCHAR | Type::BPCHAR) => length + 4,
        (kind, []) if *kind == Type::BPCHAR => 5,
        (kind, [digits]) if *kind == Type::NUMERIC => (digits << 16) + 4,
        (kind, [digits, scale]) if *kind == Type::NUMERIC => (digits << 16 | scale) + 4,
        _ => -1,
    };
    Some((kind, modifier))
}

fn sequences(
    create: &CreateTable,
    table: i64,
    columns: &mut [Attribute],
    numbers: &mut Numbers,
) -> Vec<Relation> {
    let mut found = vec![];
    for numbered in numbered(&spelled_out(create)) {
        let Some(place) = columns.iter().position(|column| column.name == numbered.column) else { continue };
        let is_serial = create.columns.iter().any(|column| {
            super::bind::name(&column.name) == numbered.column
                && column.data_type.to_string().to_lowercase().contains("serial")
        });
        let column = &mut columns[place];
        column.is_required = true;
        match is_serial {
            true => column.default = Some(format!("nextval('{}'::regclass)", numbered.sequence)),
            false => column.identity = if numbered.always { "a" } else { "d" },
        }
        let kind = if is_serial { serial(create, &numbered.column) } else { column.kind.clone() };
        column.kind = kind.clone();
        let value = |name: &str, kind: Type| Attribute {
            name: name.into(),
            kind,
            modifier: -1,
            is_required: true,
            default: None,
            identity: "",
        };
        found.push(Relation {
            oid: numbers.of("relation", &numbered.sequence),
            name: numbered.sequence,
            kind: "S",
            columns: vec![value("last_value", Type::INT8)],
            query: None,
            constraints: vec![],
            indexes: vec![],
            numbers: Some((table, place + 1, numbered.start, kind)),
            is_virtual: false,
        });
    }
    found
}

fn serial(create: &CreateTable, column: &str) -> Type {
    let written = create.columns.iter().find(|known| super::bind::name(&known.name) == column);
    match written.map(|column| column.data_type.to_string().to_lowercase()).as_deref() {
        Some("bigserial" | "serial8") => Type::INT8,
        Some("smallserial" | "serial2") => Type::INT2,
        _ => Type::INT4,
    }
}

fn parsed(entry: &Entry) -> Option<Parsed> {
    statements(&entry.sql).ok()?.pop().map(|(parsed, _)| parsed)
}

fn declaration(entry: &Entry) -> Option<CreateTable> {
    match parsed(entry)? {
        Parsed::Statement(inner) => match *inner {
            Statement::CreateTable(create) => Some(create),
            _ => None,
        },
        _ => None,
    }
}

fn external(entry: &Entry) -> Vec<ColumnDef> {
    match parsed(entry) {
        Some(Parsed::CreateExternalTable(create)) => create.columns,
        _ => vec![],
    }
}

/// The name that a primary key was given.
fn primary(create: &CreateTable) -> Option<String> {
    create.constraints.iter().find_map(|constraint| match constraint {
        TableConstraint::PrimaryKey(key) => key.name.as_ref().map(super::bind::name),
        _ => None,
    })
}

/// The query of a CREATE VIEW, as it was written.
fn query(sql: &str) -> String {
    let Ok(Some(command)) = command::single(sql) else { return sql.to_string() };
    let mut depth = 0_usize;
    for (at, (token, bytes)) in command.tokens.iter().enumerate() {
        match token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(_) if depth == 0 && command.word(at).as_deref() == Some("AS") => {
                return command.sql[bytes.end..].trim().to_string();
            }
            _ => {}
        }
    }
    sql.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_as_they_were_declared() {
        let mut catalogue = Catalogue::load("empty").unwrap();
        catalogue
            .declare(
                "CREATE TABLE t (id BIGSERIAL PRIMARY KEY, code VARCHAR(7) UNIQUE, n NUMERIC(14, 2) DEFAULT 3 CHECK (n > 0), u UUID, j JSONB);
                 CREATE VIEW v AS SELECT id FROM t",
            )
            .unwrap();
        let found = relations(&catalogue);
        let kinds: Vec<(&str, &str)> = found.iter().map(|known| (known.name.as_str(), known.kind)).collect();
        assert_eq!(kinds, [("t", "r"), ("t_id_seq", "S"), ("v", "v")]);
        let columns: Vec<(&str, i64)> =
            found[0].columns.iter().map(|column| (column.kind.name(), column.modifier)).collect();
        assert_eq!(
            columns,
            [("int8", -1), ("varchar", 11), ("numeric", (14 << 16 | 2) + 4), ("uuid", -1), ("jsonb", -1)]
        );
        let names: Vec<&str> =
            found[0].constraints.iter().map(|constraint| constraint.name.as_str()).collect();
        assert_eq!(names, ["t_pkey", "t_code_key", "t_n_check"]);
        assert_eq!(found[2].query.as_deref(), Some("SELECT id FROM t"));
    }
}
