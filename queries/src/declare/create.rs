//! `CREATE TABLE`: a table that takes INSERT, UPDATE and DELETE.
use super::{constraints, normalized, single_name};
use crate::DeclareError;
use crate::lower::planner;
use crate::walk;
use arrow::datatypes::{Field, Schema};
use dataflows::{Mode, Table};
use datafusion::sql::sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableOptions, Expr, IndexColumn, SqlOption, TableConstraint,
    Value,
};
use sources::decode::{Mapping, Pattern, changes};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The option that tells tables of one name that followed each other apart; the process adds it.
const ORIGIN: &str = "origin";
/// Columns of a table, as in PostgreSQL.
const COLUMNS_MAX: usize = 1_600;

/// Values that look like columns.
const VALUES: [&str; 8] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "current_user",
    "session_user",
    "user",
];

/// The mapping of a table whose rows the log carries as they are.
pub(super) fn mapping(create: &CreateTable) -> Result<Mapping, DeclareError> {
    let name = single_name(&create.name)?;
    refuse_clauses(&name, create)?;
    let create = &constraints::spelled_out(create);
    let mut fields: Vec<Field> = planner::columns(create.columns.clone())?
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    if fields.is_empty() {
        return Err(DeclareError::Invalid(format!(
            "table {name:?} has no columns: write (name type, ..) after its name"
        )));
    }
    if fields.len() > COLUMNS_MAX {
        return Err(DeclareError::Invalid(format!(
            "table {name:?} has {} columns, and at most {COLUMNS_MAX} are kept",
            fields.len()
        )));
    }
    let mut names = std::collections::HashSet::new();
    if let Some(twice) = fields.iter().find(|field| !names.insert(field.name().clone())) {
        return Err(DeclareError::Invalid(format!("table {name:?} has the column {:?} twice", twice.name())));
    }
    let key = key(&name, create, &fields)?;
    for column in &key {
        fields[*column].set_nullable(false);
    }
    constraints::check(&name, create, &Arc::new(Schema::new(fields.clone())))?;
    let origin = origin(create).unwrap_or_else(|| name.bytes().map(|byte| format!("{byte:02x}")).collect());
    let types = Pattern::parse(&changes::event_type(&origin)).map_err(DeclareError::Invalid)?;
    let table =
        Table { name: name.into(), schema: Arc::new(Schema::new(fields)), mode: Mode::Changes { key } };
    Ok(Mapping {
        table: Arc::new(table),
        types,
        deletes: None,
        each: None,
        columns: vec![],
        from_what_is_kept: false,
    })
}

fn refuse_clauses(name: &str, create: &CreateTable) -> Result<(), DeclareError> {
    let refused = [
        (create.or_replace, "OR REPLACE", "drop the table first"),
        (create.temporary, "TEMPORARY", "every table lives until it is dropped; leave the word out"),
        (create.like.is_some() || create.clone.is_some(), "LIKE or CLONE", "write the columns out"),
        (create.inherits.is_some(), "INHERITS", "write the columns out"),
        (create.partition_by.is_some(), "PARTITION BY", "leave it out"),
    ];
    match refused.into_iter().find(|(present, ..)| *present) {
        Some((_, clause, instead)) => Err(DeclareError::Unsupported(format!(
            "{clause} in the declaration of table {name:?} is not supported: {instead}"
        ))),
        None => Ok(()),
    }
}

/// The columns of PRIMARY KEY, as a column's option or as a constraint.
fn key(table: &str, create: &CreateTable, fields: &[Field]) -> Result<Vec<usize>, DeclareError> {
    let mut names: Vec<String> = vec![];
    for column in &create.columns {
        for option in &column.options {
            match &option.option {
                ColumnOption::PrimaryKey(_) => names.push(normalized(&column.name)),
                ColumnOption::Default(value) => constant(table, column, value)?,
                ColumnOption::Null | ColumnOption::NotNull | ColumnOption::Comment(_) => {}
                ColumnOption::Unique(_) | ColumnOption::Check(_) | ColumnOption::Generated { .. } => {}
                other => {
                    return Err(DeclareError::Unsupported(format!(
                        "{other} of column {table}.{} is not supported: known are PRIMARY KEY, NOT NULL, DEFAULT, UNIQUE, CHECK and GENERATED .. AS IDENTITY",
                        column.name
                    )));
                }
            }
        }
    }
    for constraint in &create.constraints {
        match constraint {
            TableConstraint::PrimaryKey(key) => {
                for IndexColumn { column, .. } in &key.columns {
                    match &column.expr {
                        Expr::Identifier(word) => names.push(normalized(word)),
                        other => {
                            return Err(DeclareError::Unsupported(format!(
                                "the primary key of table {table:?} names {other}, which is no column"
                            )));
                        }
                    }
                }
            }
            TableConstraint::Unique(_) | TableConstraint::Check(_) => {}
            other => {
                return Err(DeclareError::Unsupported(format!(
                    "the constraint {other} of table {table:?} is not supported: known are PRIMARY KEY, UNIQUE and CHECK"
                )));
            }
        }
    }
    let columns = create.columns.iter().flat_map(|column| &column.options);
    let by_column = columns.filter(|option| matches!(option.option, ColumnOption::PrimaryKey(_))).count();
    let by_table =
        create.constraints.iter().filter(|one| matches!(one, TableConstraint::PrimaryKey(_))).count();
    if by_column + by_table > 1 {
        return Err(DeclareError::Invalid(format!(
            "table {table:?} has more than one primary key: write one PRIMARY KEY (a, b) of several columns"
        )));
    }
    names
        .iter()
        .map(|name| {
            fields.iter().position(|field| field.name() == name).ok_or_else(|| {
                DeclareError::Invalid(format!(
                    "the primary key of table {table:?} names {name:?}, which is no column of it"
                ))
            })
        })
        .collect()
}

/// A default is the same for each row: it names no column.
fn constant(table: &str, column: &ColumnDef, value: &Expr) -> Result<(), DeclareError> {
    let named = walk::expressions(value, |expr| match expr {
        // Words such as current_date are values.
        Expr::Identifier(word) if VALUES.iter().any(|name| word.value.eq_ignore_ascii_case(name)) => {
            ControlFlow::Continue(())
        }
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(expr.to_string()),
        _ => ControlFlow::Continue(()),
    });
    match named {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(name) => Err(DeclareError::Invalid(format!(
            "the DEFAULT of column {table}.{} names the column {name}: write a value, and compute from columns where the row is inserted",
            column.name
        ))),
    }
}

fn options(create: &CreateTable) -> &[SqlOption] {
    match &create.table_options {
        CreateTableOptions::None => &[],
        CreateTableOptions::With(list)
        | CreateTableOptions::Options(list)
        | CreateTableOptions::Plain(list)
        | CreateTableOptions::TableProperties(list) => list,
    }
}

fn origin(create: &CreateTable) -> Option<String> {
    options(create).iter().find_map(|option| match option {
        SqlOption::KeyValue { key, value: Expr::Value(value) } if key.value == ORIGIN => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    })
}

/// What INSERT does with rows whose key is there already, if the table says it: `overwrite` or `ignore`.
pub(crate) fn on_conflict(create: &CreateTable) -> Option<&str> {
    options(create).iter().find_map(|option| match option {
        SqlOption::KeyValue { key, value: Expr::Value(value) } if key.value == "on_conflict" => {
            match &value.value {
                Value::SingleQuotedString(text) => Some(text.as_str()),
                _ => None,
            }
        }
        _ => None,
    })
}

/// The same statement, with an origin of its own.
pub(super) fn with_origin(create: &CreateTable, fresh: &str) -> CreateTable {
    let mut create = create.clone();
    let mut list: Vec<SqlOption> = options(&create).to_vec();
    list.retain(|option| !matches!(option, SqlOption::KeyValue { key, .. } if key.value == ORIGIN));
    list.push(SqlOption::KeyValue {
        key: ORIGIN.into(),
        value: Expr::Value(Value::SingleQuotedString(fresh.to_owned()).into()),
    });
    create.table_options = CreateTableOptions::With(list);
    create.if_not_exists = false;
    create
}

/// What a column is when INSERT does not name it.
pub(crate) fn defaults(create: &CreateTable) -> Vec<(String, Option<Expr>)> {
    let default = |options: &[datafusion::sql::sqlparser::ast::ColumnOptionDef]| {
        options.iter().find_map(|option| match &option.option {
            ColumnOption::Default(expr) => Some(expr.clone()),
            _ => None,
        })
    };
    create.columns.iter().map(|column| (normalized(&column.name), default(&column.options))).collect()
}
