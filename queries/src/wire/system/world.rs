//! `World`: all rows of the system, as of one catalogue, and the names in them.
use super::fixed::All;
use super::node::Column;
use super::relations::{Constraint, Relation};
use super::tables;
use super::value::{Row, Value};
use super::{Failure, described};
use crate::catalogue::Catalogue;
use datafusion_postgres::pgwire::api::Type;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The OIDs of the schemas.
pub(super) const PG_CATALOG: i64 = 11;
pub(super) const PUBLIC: i64 = 2200;
pub(super) const INFORMATION_SCHEMA: i64 = 13_283;

/// A table, and its rows.
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Arc<Vec<Row>>,
}

type Index = Arc<HashMap<Vec<String>, Vec<usize>>>;

/// What questions are asked of.
pub(super) struct World {
    pub(super) relations: Vec<Relation>,
    fixed: Arc<All>,
    /// By schema and name, with a point between.
    tables: HashMap<String, Table>,
    indexes: Mutex<HashMap<(String, usize), Index>>,
    /// Names and elements of types, and whether they are found without their schema.
    types: HashMap<i64, (String, i64, bool)>,
}

impl World {
    /// The system as of a catalogue.
    pub(super) fn new(catalogue: &Catalogue, fixed: Arc<All>) -> World {
        let relations = super::relations::relations(catalogue);
        let mut types = HashMap::new();
        if let Some(known) = fixed.get("pg_type") {
            let place =
                |name: &str| known.columns.iter().position(|column| column.name == name).unwrap_or_default();
            let (oid, name, element) = (place("oid"), place("typname"), place("typelem"));
            let space = place("typnamespace");
            for row in known.rows().iter() {
                let element = row[element].number().unwrap_or_default();
                let is_hidden = row[space] != Value::Int(PG_CATALOG);
                types.insert(row[oid].number().unwrap_or_default(), (row[name].text(), element, is_hidden));
            }
        }
        let mut world = World { relations, fixed, tables: HashMap::new(), indexes: Mutex::default(), types };
        let tables = tables::all(&world, catalogue).into_iter().chain(described::all(&world));
        world.tables = tables.collect();
        world.tables.extend(tables::themselves(&world));
        world
    }

    pub(super) fn fixed(&self) -> &All {
        &self.fixed
    }

    /// The names of all tables that can be asked, with their columns.
    pub(super) fn listed(&self) -> Vec<(String, Vec<Column>)> {
        let mut found: HashMap<String, Vec<Column>> = HashMap::new();
        for (name, table) in self.fixed.iter().filter(|(name, _)| **name != "pg_get_keywords") {
            found.insert(format!("pg_catalog.{name}"), table.columns.clone());
        }
        for (name, table) in &self.tables {
            found.insert(name.clone(), table.columns.clone());
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }

    /// The table that a name means.
    pub(super) fn table(&self, schema: Option<&str>, name: &str) -> Result<String, Failure> {
        let key = format!("{}.{name}", schema.unwrap_or("pg_catalog"));
        let is_fixed = key.strip_prefix("pg_catalog.").is_some_and(|name| self.fixed.contains_key(name));
        if self.tables.contains_key(&key) || is_fixed {
            return Ok(key);
        }
        if schema.is_none_or(|schema| schema == "public")
            && self.relations.iter().any(|known| known.name == name)
        {
            return Err(super::refused(format!(
                "a query that reads {name:?} together with system tables is not supported: ask in two queries"
            )));
        }
        let name = schema.map_or_else(|| name.to_string(), |schema| format!("{schema}.{name}"));
        Err(Failure::of("42P01", &format!("relation \"{name}\" does not exist")))
    }

    /// The columns of a table that was found.
    pub(super) fn columns(&self, key: &str) -> Result<Vec<Column>, Failure> {
        if let Some(table) = self.tables.get(key) {
            return Ok(table.columns.clone());
        }
        let fixed = key.strip_prefix("pg_catalog.").and_then(|name| self.fixed.get(name));
        fixed
            .map(|table| table.columns.clone())
            .ok_or_else(|| Failure::of("42P01", &format!("relation \"{key}\" does not exist")))
    }

    /// The rows of a table that was found.
    pub(super) fn rows(&self, key: &str) -> Result<Arc<Vec<Row>>, Failure> {
        if let Some(table) = self.tables.get(key) {
            return Ok(table.rows.clone());
        }
        let fixed = key.strip_prefix("pg_catalog.").and_then(|name| self.fixed.get(name));
        fixed
            .map(|table| table.rows())
            .ok_or_else(|| Failure::of("42P01", &format!("relation \"{key}\" does not exist")))
    }

    pub(super) fn index(&self, place: &(String, usize)) -> Option<Index> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned()
    }

    pub(super) fn keep(&self, place: (String, usize), index: Index) {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner).insert(place, index);
    }

    /// The OID of a relation by its name, quoted or not, with its schema or without.
    pub(super) fn relation(&self, written: &str) -> Option<i64> {
        let path = path(written);
        let (schema, name) = match path.as_slice() {
            [name] => (None, name.as_str()),
            [.., schema, name] => (Some(schema.as_str()), name.as_str()),
            [] => return None,
        };
        let class = self.tables.get("pg_catalog.pg_class")?;
        let wanted: &[i64] = match schema {
            None => &[PG_CATALOG, PUBLIC],
            Some("public") => &[PUBLIC],
            Some("pg_catalog") => &[PG_CATALOG],
            Some("information_schema") => &[INFORMATION_SCHEMA],
            Some(_) => return None,
        };
        let known = |row: &&Row| {
            row[1] == Value::from(name) && row[2].number().is_some_and(|schema| wanted.contains(&schema))
        };
        class.rows.iter().find(known).and_then(|row| row[0].number())
    }

    /// The name of a relation, as SQL has it.
    pub(super) fn relation_name(&self, oid: i64) -> Option<String> {
        let class = self.tables.get("pg_catalog.pg_class")?;
        let row = class.rows.iter().find(|row| row[0] == Value::Int(oid))?;
        let name = quoted(&row[1].text());
        Some(match row[2].number() {
            Some(INFORMATION_SCHEMA) => format!("information_schema.{name}"),
            _ => name,
        })
    }

    /// Whether a relation or a type is found by its whole name only.
    pub(super) fn is_hidden(&self, oid: i64) -> bool {
        let is_described =
            self.relation_name(oid).is_some_and(|name| name.starts_with("information_schema."));
        is_described || self.types.get(&oid).is_some_and(|(.., is_hidden)| *is_hidden)
    }

    /// The OID of a function by its name.
    pub(super) fn function(&self, written: &str) -> Option<i64> {
        let name = Value::from(path(written).pop()?);
        let table = self.tables.get("pg_catalog.pg_proc")?;
        table.rows.iter().find(|row| row[1] == name).and_then(|row| row[0].number())
    }

    pub(super) fn by_oid(&self, oid: i64) -> Option<&Relation> {
        self.relations.iter().find(|relation| relation.oid == oid)
    }

    pub(super) fn constraint(&self, oid: i64) -> Option<(&Relation, &Constraint)> {
        self.relations.iter().find_map(|relation| {
            relation
                .constraints
                .iter()
                .find(|constraint| constraint.oid == oid)
                .map(|constraint| (relation, constraint))
        })
    }

    /// The OID of a type by its name in SQL.
    pub(super) fn type_named(&self, written: &str) -> Option<i64> {
        let base = written.split('(').next().unwrap_or_default();
        if let Some(kind) = super::cast::type_of(base)
            && !matches!(kind, Type::CHAR | Type::NAME | Type::REGPROC)
        {
            return Some(kind.oid().into());
        }
        let name = path(base).pop()?;
        let name = name.strip_suffix("[]").map_or(name.clone(), |element| format!("_{element}"));
        let name = if name == "char" && !written.contains('"') { "bpchar".into() } else { name };
        self.types.iter().find(|(_, (known, ..))| *known == name).map(|(oid, _)| *oid)
    }

    /// How SQL writes a type.
    pub(super) fn type_name(&self, oid: i64, modifier: Option<i64>) -> Option<String> {
        let (name, element, _) = self.types.get(&oid)?;
        if name.starts_with('_') && *element != 0 {
            return Some(format!("{}[]", self.type_name(*element, modifier)?));
        }
        let inside = modifier.filter(|modifier| *modifier >= 4).map(|modifier| modifier - 4);
        let length = inside.map(|length| format!("({length})")).unwrap_or_default();
        Some(match name.as_str() {
            "bool" => "boolean".into(),
            "int2" => "smallint".into(),
            "int4" => "integer".into(),
            "int8" => "bigint".into(),
            "float4" => "real".into(),
            "float8" => "double precision".into(),
            "varchar" => format!("character varying{length}"),
            "bpchar" => match inside {
                Some(_) => format!("character{length}"),
                None if modifier.is_some() => "bpchar".into(),
                None => "character".into(),
            },
            "char" => "\"char\"".into(),
            "numeric" => match inside {
                Some(inside) => format!("numeric({},{})", inside >> 16, inside & 0xffff),
                None => "numeric".into(),
            },
            "timestamp" => "timestamp without time zone".into(),
            "timestamptz" => "timestamp with time zone".into(),
            "time" => "time without time zone".into(),
            "timetz" => "time with time zone".into(),
            "bit" => "bit".into(),
            "varbit" => "bit varying".into(),
            other => other.into(),
        })
    }

    pub(super) fn namespace(&self, written: &str) -> Option<i64> {
        match path(written).pop()?.as_str() {
            "public" => Some(PUBLIC),
            "pg_catalog" => Some(PG_CATALOG),
            "information_schema" => Some(INFORMATION_SCHEMA),
            _ => None,
        }
    }

    pub(super) fn namespace_name(&self, oid: i64) -> Option<String> {
        match oid {
            PUBLIC => Some("public".into()),
            PG_CATALOG => Some("pg_catalog".into()),
            INFORMATION_SCHEMA => Some("information_schema".into()),
            _ => None,
        }
    }
}

/// The parts of a name that may be quoted.
pub(super) fn path(written: &str) -> Vec<String> {
    let (mut parts, mut word, mut is_quoted, mut was_quoted) = (vec![], String::new(), false, false);
    for letter in written.trim().chars() {
        match letter {
            '"' => (is_quoted, was_quoted) = (!is_quoted, true),
            '.' if !is_quoted => {
                parts.push(std::mem::take(&mut word));
                was_quoted = false;
            }
            letter if is_quoted || was_quoted => word.push(letter),
            letter => word.extend(letter.to_lowercase()),
        }
    }
    parts.push(word);
    parts
}

/// A name as SQL needs it.
pub(super) fn quoted(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
