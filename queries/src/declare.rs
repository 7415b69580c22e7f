//! SQL text to statements: what stands where, before any name is looked up.
mod bounds;
pub(crate) mod constraints;
pub(crate) mod create;
pub(crate) mod dialect;
pub mod error;
pub(crate) mod mutual;
pub mod sink;
mod spelling;
mod table;
pub(crate) mod text;

pub use bounds::contained;

use crate::DeclareError;
use crate::rewrite::functions::{self, Function};
use dataflows::Table;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, CreateTableOptions, CreateView, Expr, SqlOption, Value};
use sources::decode::Mapping;
use std::sync::Arc;

/// One statement of a text.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The name that it declares.
    pub name: Arc<str>,
    /// Its own text, without what stands around it.
    pub sql: Arc<str>,
    /// The tables and views that its query names.
    pub names: Vec<String>,
    /// What it declares.
    pub kind: Kind,
    /// IF NOT EXISTS: nothing is done where the name is taken.
    pub if_not_exists: bool,
    /// OR REPLACE: it takes the place of the view that has the name.
    pub or_replace: bool,
}

/// What a statement declares.
#[derive(Clone, Debug)]
pub enum Kind {
    /// `CREATE EXTERNAL TABLE`, or `CREATE TABLE`.
    Table(Arc<Mapping>),
    /// `CREATE VIEW`.
    View(Box<ast::Query>),
    /// `CREATE MATERIALIZED VIEW`, with the columns of `WITH (key = '..')`.
    MaterializedView(Box<ast::Query>, Option<Vec<String>>),
    /// `CREATE FUNCTION .. LANGUAGE SQL`.
    Function(Box<Function>),
    /// `DROP FUNCTION`, and whether there needs to be one.
    DropFunction(bool),
    /// A bare query, for those who explain one.
    Query(Box<ast::Query>),
}

/// The statements of a text, in order. Names are not looked up.
pub fn parse(sql: &str) -> Result<Vec<Statement>, DeclareError> {
    text::statements(sql)?.into_iter().map(|(parsed, sql)| statement(parsed, sql)).collect()
}

/// The same statements, in which each `CREATE TABLE` says by `fresh` which table of its name it is.
pub fn originated(sql: &str, mut fresh: impl FnMut() -> String) -> Result<String, DeclareError> {
    let mut texts = vec![];
    for (parsed, text) in text::statements(sql)? {
        match &parsed {
            Parsed::Statement(inner) => match inner.as_ref() {
                ast::Statement::CreateTable(create) if create.query.is_none() => {
                    texts.push(create::with_origin(create, &fresh()).to_string());
                }
                _ => texts.push(text.to_string()),
            },
            _ => texts.push(text.to_string()),
        }
    }
    Ok(texts.join(";\n"))
}

fn statement(mut parsed: Parsed, sql: Arc<str>) -> Result<Statement, DeclareError> {
    // Before names are collected: those of window functions are no tables, but their arguments are.
    if let Parsed::Statement(inner) = &mut parsed {
        match inner.as_mut() {
            ast::Statement::CreateView(view) => crate::rewrite::rewrite(&mut view.query)?,
            ast::Statement::Query(query) => crate::rewrite::rewrite(query)?,
            _ => {}
        }
    }
    let (names, _) = resolve_table_references(&parsed, true).map_err(error::from_datafusion)?;
    let names = names.iter().map(|name| name.table().to_string());
    let names = names.filter(|name| !mutual::is_mark(name)).collect();
    match parsed {
        Parsed::CreateExternalTable(create) => {
            let mapping = table::mapping(create)?;
            let name = mapping.table.name.clone();
            let kind = Kind::Table(Arc::new(mapping));
            Ok(Statement { name, sql, names: vec![], kind, if_not_exists: false, or_replace: false })
        }
        Parsed::Statement(inner) => match *inner {
            ast::Statement::CreateView(view) => view_statement(view, sql, names),
            ast::Statement::CreateTable(create) if create.query.is_none() => {
                let mapping = create::mapping(&create)?;
                let name = mapping.table.name.clone();
                let kind = Kind::Table(Arc::new(mapping));
                Ok(Statement {
                    name,
                    sql,
                    names: vec![],
                    kind,
                    if_not_exists: create.if_not_exists,
                    or_replace: false,
                })
            }
            ast::Statement::Query(query) => {
                let kind = Kind::Query(query);
                Ok(Statement {
                    name: "query".into(),
                    sql,
                    names,
                    kind,
                    if_not_exists: false,
                    or_replace: false,
                })
            }
            ast::Statement::CreateFunction(create) => {
                let (name, function) = functions::parse(&create)?;
                let kind = Kind::Function(Box::new(function));
                Ok(Statement {
                    name: name.into(),
                    sql,
                    names: vec![],
                    kind,
                    if_not_exists: false,
                    or_replace: false,
                })
            }
            ast::Statement::DropFunction(drop) => match drop.func_desc.as_slice() {
                [only] => {
                    let kind = Kind::DropFunction(!drop.if_exists);
                    let name = single_name(&only.name)?.into();
                    Ok(Statement { name, sql, names: vec![], kind, if_not_exists: false, or_replace: false })
                }
                _ => Err(DeclareError::Unsupported("DROP FUNCTION takes one function".into())),
            },
            other => Err(not_declared(&other.to_string())),
        },
        other @ (Parsed::CopyTo(_) | Parsed::Explain(_) | Parsed::Reset(_)) => {
            Err(not_declared(&other.to_string()))
        }
    }
}

fn not_declared(sql: &str) -> DeclareError {
    let head: Vec<&str> = sql.split_whitespace().take(2).collect();
    DeclareError::Unsupported(format!(
        "{} is not a declaration: write CREATE EXTERNAL TABLE, CREATE VIEW or CREATE MATERIALIZED VIEW; views are dropped by name",
        head.join(" ")
    ))
}

fn view_statement(view: CreateView, sql: Arc<str>, names: Vec<String>) -> Result<Statement, DeclareError> {
    let name: Arc<str> = single_name(&view.name)?.into();
    let refused = [
        (view.or_alter, "OR ALTER", "write OR REPLACE"),
        (view.or_replace && view.if_not_exists, "OR REPLACE with IF NOT EXISTS", "write one of them"),
        (view.temporary, "TEMPORARY", "every view lives until it is dropped; leave the word out"),
        (!view.cluster_by.is_empty(), "CLUSTER BY", "leave it out"),
    ];
    for (present, clause, instead) in refused {
        if present {
            return Err(DeclareError::Unsupported(format!(
                "{clause} in the declaration of view {name:?} is not supported: {instead}"
            )));
        }
    }
    let key = key_option(&name, &view.options)?;
    let (if_not_exists, or_replace) = (view.if_not_exists, view.or_replace);
    let view = with_columns(view)?;
    let kind = match (view.materialized, key) {
        (true, key) => Kind::MaterializedView(view.query, key),
        (false, None) => Kind::View(view.query),
        (false, Some(_)) => {
            return Err(DeclareError::Unsupported(format!(
                "view {name:?} cannot have a key, since it is only a name for its query: write CREATE MATERIALIZED VIEW"
            )));
        }
    };
    Ok(Statement { name, sql, names, kind, if_not_exists, or_replace })
}

/// What the query of a view is called where the view names its columns.
pub(crate) const VIEW: &str = "?view?";

/// The view with the names of its column list in its query.
fn with_columns(mut view: CreateView) -> Result<CreateView, DeclareError> {
    if view.columns.is_empty() {
        return Ok(view);
    }
    let columns: Vec<String> = view.columns.drain(..).map(|column| column.name.to_string()).collect();
    let sql = format!("SELECT * FROM ({}) AS \"{}\" ({})", view.query, VIEW, columns.join(", "));
    view.query = text::query(&sql)?;
    Ok(view)
}

fn key_option(name: &str, options: &CreateTableOptions) -> Result<Option<Vec<String>>, DeclareError> {
    let list = match options {
        CreateTableOptions::None => return Ok(None),
        CreateTableOptions::With(list)
        | CreateTableOptions::Options(list)
        | CreateTableOptions::Plain(list)
        | CreateTableOptions::TableProperties(list) => list,
    };
    let mut key = None;
    for option in list {
        match option {
            SqlOption::KeyValue { key: word, value: Expr::Value(value) }
                if word.value.eq_ignore_ascii_case("key") =>
            {
                let Value::SingleQuotedString(columns) = &value.value else {
                    return Err(DeclareError::Invalid(format!(
                        "the key of view {name:?} must be a string of column names, such as WITH (key = 'a,b'), not {value}"
                    )));
                };
                key = Some(list_of_names(columns));
            }
            other => {
                return Err(DeclareError::Invalid(format!(
                    "view {name:?} has the unknown option {other}: known is key, as in WITH (key = 'a,b')"
                )));
            }
        }
    }
    Ok(key)
}

/// The names in a list such as `a, b`.
fn list_of_names(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_string()).filter(|name| !name.is_empty()).collect()
}

/// A name without a schema, in lower case unless it was quoted.
fn single_name(name: &ast::ObjectName) -> Result<String, DeclareError> {
    match name.0.as_slice() {
        [part] => match part.as_ident() {
            Some(word) => Ok(normalized(word)),
            None => Err(DeclareError::Unsupported(format!("{name} is not a plain name"))),
        },
        _ => Err(DeclareError::Unsupported(format!(
            "the name {} has a schema, and there are no schemas: write it without",
            name
        ))),
    }
}

pub(crate) fn normalized(word: &ast::Ident) -> String {
    match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_lowercase(),
    }
}

/// Where a column stands in a table, or which there are.
fn column_of(table: &Table, name: &str) -> Result<usize, DeclareError> {
    table.schema.index_of(name).map_err(|_| {
        let known: Vec<&str> = table.schema.fields().iter().map(|field| field.name().as_str()).collect();
        DeclareError::Invalid(format!(
            "table {:?} has no column {name:?}: it has {}",
            table.name,
            known.join(", ")
        ))
    })
}
