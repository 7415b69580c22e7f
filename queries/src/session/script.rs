//! A text cut into statements, and what each asks for.
use crate::DeclareError;
use crate::api::host::QueryKind;
use crate::declare::sink::{self, SinkStatement};
use crate::declare::text::{query, statements, texts};
use dataflows::Time;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    self, CreateTable, Delete, FromTable, Insert, ObjectName, ObjectType, Query, Statement, TableFactor,
    Update,
};
use std::sync::Arc;

/// One statement.
pub(super) struct Piece {
    pub(super) sql: Arc<str>,
    pub(super) act: Act,
}

/// What a statement asks for.
pub(super) enum Act {
    Select(Box<Query>, Option<Time>),
    Insert(Box<Insert>),
    Update(Box<Update>),
    Delete(Box<Delete>),
    Truncate(String),
    CreateTableAs(Box<CreateTable>, Box<Query>),
    Declare {
        name: String,
        tag: String,
        if_not_exists: bool,
    },
    /// CREATE OR REPLACE TABLE: the statement without these words, and the table that it takes the place of.
    Replace {
        name: String,
        sql: String,
    },
    Drop {
        names: Vec<String>,
        kind: QueryKind,
        if_exists: bool,
        cascade: bool,
        tag: String,
    },
    Sink(SinkStatement),
    Flush,
    Explain(String),
    Show(Shown),
    /// Means nothing here, and harms nothing: the tag.
    Ignored(String),
}

pub(super) enum Shown {
    Tables,
    Views,
    Sinks,
    Columns(String),
}

pub(super) fn pieces(sql: &str) -> Result<Vec<Piece>, DeclareError> {
    texts(sql)?.into_iter().map(piece).collect()
}

fn piece(sql: Arc<str>) -> Result<Piece, DeclareError> {
    if let Some(act) = of_words(&sql)? {
        return Ok(Piece { sql, act });
    }
    let (text, at) = as_of(&sql)?;
    let mut list = statements(&text)?;
    let Some((parsed, _)) = list.pop() else { return Err(nothing()) };
    let act = match parsed {
        Parsed::CreateExternalTable(create) => Act::Declare {
            name: plain_name(&create.name)?,
            tag: "CREATE TABLE".into(),
            if_not_exists: create.if_not_exists,
        },
        Parsed::Statement(inner) => of_statement(*inner, at, &sql)?,
        Parsed::Explain(_) | Parsed::CopyTo(_) | Parsed::Reset(_) => return Err(unknown(&sql)),
    };
    Ok(Piece { sql, act })
}

fn nothing() -> DeclareError {
    DeclareError::Syntax { message: "there is no statement in the text".into(), at: None }
}

fn unknown(sql: &str) -> DeclareError {
    let head: Vec<&str> = sql.split_whitespace().take(2).collect();
    DeclareError::Unsupported(format!(
        "{} is not supported: known are SELECT, INSERT, UPDATE, DELETE, CREATE TABLE, CREATE [MATERIALIZED] VIEW, CREATE FUNCTION, DROP, EXPLAIN, SHOW and FLUSH",
        head.join(" ")
    ))
}

/// What is known by its first words, and not to the parser.
fn of_words(sql: &str) -> Result<Option<Act>, DeclareError> {
    if let Some(statement) = sink::parse(sql)? {
        return Ok(Some(Act::Sink(statement)));
    }
    let words: Vec<String> = sql
        .split(|c: char| c.is_whitespace() || c == '(')
        .filter(|w| !w.is_empty())
        .take(4)
        .map(str::to_lowercase)
        .collect();
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    Ok(match (word(0), word(1)) {
        ("flush", "") => Some(Act::Flush),
        ("subscribe", _) => {
            return Err(DeclareError::Unsupported(
                "SUBSCRIBE stands alone in its text: SUBSCRIBE view, by POST /api/v1/sql or GET /api/v1/views/{name}/changes".into(),
            ));
        }
        ("set" | "reset", _) => Some(Act::Ignored("SET".into())),
        ("begin", _) | ("start", "transaction") => Some(Act::Ignored("BEGIN".into())),
        ("commit" | "end", _) => Some(Act::Ignored("COMMIT".into())),
        ("show", "tables") => Some(Act::Show(Shown::Tables)),
        ("show", "sinks") => Some(Act::Show(Shown::Sinks)),
        ("show", "views") => Some(Act::Show(Shown::Views)),
        ("show", "materialized") if word(2) == "views" => Some(Act::Show(Shown::Views)),
        ("show", "columns") if word(2) == "from" => Some(Act::Show(Shown::Columns(word(3).to_owned()))),
        ("describe" | "desc", name) if !name.is_empty() => Some(Act::Show(Shown::Columns(name.to_owned()))),
        ("explain", _) => Some(Act::Explain(explained(sql).to_owned())),
        _ => None,
    })
}

/// What an EXPLAIN is about: a query, or the query of a view that is not declared yet, or the name of one that is.
fn explained(sql: &str) -> &str {
    let mut rest = sql.trim_start();
    for word in ["explain", "analyze", "verbose", "materialized", "view"] {
        let head = rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        if head && rest[word.len()..].starts_with(char::is_whitespace) {
            rest = rest[word.len()..].trim_start();
        }
    }
    rest
}

/// A SELECT without the `AS OF time` at its end, and that time in milliseconds.
fn as_of(sql: &str) -> Result<(String, Option<Time>), DeclareError> {
    let words: Vec<&str> = sql.trim_end().rsplitn(4, char::is_whitespace).collect();
    let is = |i: usize, word: &str| words.get(i).is_some_and(|w| w.eq_ignore_ascii_case(word));
    let starts =
        |word: &str| sql.trim_start().get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word));
    if !(is(1, "of") && is(2, "as") && (starts("select") || starts("with"))) {
        return Ok((sql.to_owned(), None));
    }
    let time = words[0].trim_matches('\'').parse::<Time>();
    let time = time.map_err(|_| {
        DeclareError::Invalid(format!(
            "AS OF {} is no time: write milliseconds since 1970, as an answer's time is written",
            words[0]
        ))
    })?;
    Ok((words.get(3).copied().unwrap_or_default().to_owned(), Some(time)))
}

fn of_statement(statement: Statement, at: Option<Time>, text: &str) -> Result<Act, DeclareError> {
    Ok(match statement {
        Statement::Query(query) => Act::Select(query, at),
        Statement::Insert(insert) => Act::Insert(Box::new(insert)),
        Statement::Update(update) => Act::Update(Box::new(update)),
        Statement::Delete(delete) => Act::Delete(Box::new(delete)),
        Statement::Truncate(truncate) => match truncate.table_names.as_slice() {
            [only] => Act::Truncate(plain_name(&only.name)?),
            _ => return Err(DeclareError::Unsupported("TRUNCATE takes one table".into())),
        },
        Statement::CreateTable(mut create) if create.or_replace && create.query.is_none() => {
            create.or_replace = false;
            Act::Replace { name: plain_name(&create.name)?, sql: create.to_string() }
        }
        Statement::CreateTable(mut create) => match create.query.take() {
            Some(query) => Act::CreateTableAs(Box::new(create), query),
            None => Act::Declare {
                name: plain_name(&create.name)?,
                tag: "CREATE TABLE".into(),
                if_not_exists: create.if_not_exists,
            },
        },
        Statement::CreateView(view) => Act::Declare {
            name: plain_name(&view.name)?,
            tag: if view.materialized { "CREATE MATERIALIZED VIEW" } else { "CREATE VIEW" }.into(),
            if_not_exists: view.if_not_exists,
        },
        Statement::CreateFunction(create) => Act::Declare {
            name: plain_name(&create.name)?,
            tag: "CREATE FUNCTION".into(),
            if_not_exists: false,
        },
        Statement::DropFunction(drop) => Act::Declare {
            name: drop.func_desc.first().map(|one| plain_name(&one.name)).transpose()?.unwrap_or_default(),
            tag: "DROP FUNCTION".into(),
            if_not_exists: false,
        },
        Statement::Drop { object_type, if_exists, names, cascade, .. } => {
            let kind = match object_type {
                ObjectType::Table => QueryKind::Table,
                ObjectType::View => QueryKind::View,
                ObjectType::MaterializedView => QueryKind::MaterializedView,
                _ => return Err(unknown(text)),
            };
            let names = names.iter().map(plain_name).collect::<Result<_, _>>()?;
            Act::Drop { names, kind, if_exists, cascade, tag: format!("DROP {object_type}") }
        }
        _ => return Err(unknown(text)),
    })
}

/// The table of a statement that changes one, and how its rows are called in it.
pub(super) fn target(factor: &TableFactor) -> Result<(String, String), DeclareError> {
    match factor {
        TableFactor::Table { name, alias, .. } => {
            let table = plain_name(name)?;
            let called = alias.as_ref().map_or_else(|| quoted(&table), |alias| alias.name.to_string());
            Ok((table, called))
        }
        other => Err(DeclareError::Unsupported(format!("{other} is no table whose rows can be changed"))),
    }
}

/// The only table of a DELETE.
pub(super) fn deleted_from(delete: &Delete) -> Result<&TableFactor, DeclareError> {
    let (FromTable::WithFromKeyword(list) | FromTable::WithoutKeyword(list)) = &delete.from;
    match (list.as_slice(), &delete.using) {
        ([only], None) if only.joins.is_empty() => Ok(&only.relation),
        _ => Err(DeclareError::Unsupported(
            "DELETE with USING or joins is not supported: write WHERE .. IN (SELECT ..) or WHERE EXISTS (..)"
                .into(),
        )),
    }
}

/// A name in double quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name without a schema (or with `public`), in lower case unless it was quoted.
pub(super) fn plain_name(name: &ObjectName) -> Result<String, DeclareError> {
    let parts: Option<Vec<&ast::Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
    let word = match parts.as_deref() {
        Some([only]) => *only,
        Some([schema, only]) if schema.value.eq_ignore_ascii_case("public") => *only,
        _ => {
            return Err(DeclareError::Unsupported(format!(
                "the name {name} has a schema, and there are no schemas: write it without"
            )));
        }
    };
    Ok(match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_lowercase(),
    })
}

/// A query that we wrote ourselves.
pub(super) fn own_query(sql: &str) -> Result<Box<Query>, DeclareError> {
    query(sql)
}
