//! What CREATE TABLE says of rows beyond their types: CHECK, UNIQUE, and columns that number their rows (SERIAL, IDENTITY).
use super::{normalized, text};
use crate::DeclareError;
use crate::lower::planner::{self, Relation, Relations};
use crate::walk;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    CheckConstraint, ColumnDef, ColumnOption, ColumnOptionDef, CreateTable, DataType as SqlType, Expr,
    GeneratedAs, Ident, NullsDistinctOption, SequenceOptions, TableConstraint, UniqueConstraint, Value,
};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// What every row of a table fulfils.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Conditions that are not false, with their names.
    pub(crate) checks: Vec<(String, Expr)>,
    /// Columns whose values no two rows share, unless one is NULL.
    pub(crate) unique: Vec<(String, Vec<String>)>,
}

/// A column that numbers its rows.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) column: String,
    /// The table that holds the last number.
    pub(crate) sequence: String,
    pub(crate) start: i64,
    /// GENERATED ALWAYS: nobody else gives a number.
    pub(crate) always: bool,
}

/// The same table, whose SERIAL columns say what that is short for.
pub(crate) fn spelled_out(create: &CreateTable) -> CreateTable {
    let mut create = create.clone();
    for column in &mut create.columns {
        let plain = match &column.data_type {
            SqlType::Custom(name, words) if words.is_empty() => {
                match name.to_string().to_lowercase().as_str() {
                    "serial" | "serial4" => SqlType::Integer(None),
                    "bigserial" | "serial8" => SqlType::BigInt(None),
                    "smallserial" | "serial2" => SqlType::SmallInt(None),
                    _ => continue,
                }
            }
            _ => continue,
        };
        column.data_type = plain;
        let generated = ColumnOption::Generated {
            generated_as: GeneratedAs::ByDefault,
            sequence_options: None,
            generation_expr: None,
            generation_expr_mode: None,
            generated_keyword: true,
        };
        column.options.push(ColumnOptionDef { name: None, option: generated });
    }
    for column in &mut create.columns {
        let is_numbered = |option: &ColumnOptionDef| matches!(option.option, ColumnOption::Generated { .. });
        if column.options.iter().any(is_numbered) {
            column.options.push(ColumnOptionDef { name: None, option: ColumnOption::NotNull });
        }
    }
    create
}

/// The columns of a table, spelled out, that number its rows.
pub(crate) fn numbered(create: &CreateTable) -> Vec<Numbered> {
    let table = create.name.0.last().and_then(|part| part.as_ident()).map(normalized).unwrap_or_default();
    let of = |column: &ColumnDef| {
        column.options.iter().find_map(|option| match &option.option {
            ColumnOption::Generated { generated_as, sequence_options, .. } => {
                let name = normalized(&column.name);
                Some(Numbered {
                    sequence: format!("{table}_{name}_seq"),
                    column: name,
                    start: start(sequence_options.as_deref().unwrap_or_default()).unwrap_or(1),
                    always: *generated_as == GeneratedAs::Always,
                })
            }
            _ => None,
        })
    };
    create.columns.iter().filter_map(of).collect()
}

fn start(options: &[SequenceOptions]) -> Option<i64> {
    options.iter().find_map(|option| match option {
        SequenceOptions::StartWith(Expr::Value(value), _) => match &value.value {
            Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    })
}

/// The rules of a table.
pub(crate) fn rules(create: &CreateTable) -> Rules {
    let table = create.name.0.last().and_then(|part| part.as_ident()).map(normalized).unwrap_or_default();
    let mut rules = Rules::default();
    let mut taken = HashSet::new();
    let mut name = |given: Option<&Ident>, made: String| {
        let base = given.map_or(made, normalized);
        let mut name = base.clone();
        let mut number = 0;
        while !taken.insert(name.clone()) {
            number += 1;
            name = format!("{base}{number}");
        }
        name
    };
    for column in &create.columns {
        let called = normalized(&column.name);
        for ColumnOptionDef { name: given, option } in &column.options {
            match option {
                ColumnOption::Check(check) => {
                    let given = given.as_ref().or(check.name.as_ref());
                    rules.checks.push((name(given, format!("{table}_{called}_check")), *check.expr.clone()));
                }
                ColumnOption::Unique(unique) => {
                    let given = given.as_ref().or(unique.name.as_ref());
                    rules.unique.push((name(given, format!("{table}_{called}_key")), vec![called.clone()]));
                }
                _ => {}
            }
        }
    }
    for constraint in &create.constraints {
        match constraint {
            TableConstraint::Check(check) => {
                rules.checks.push((name(check.name.as_ref(), format!("{table}_check")), *check.expr.clone()));
            }
            TableConstraint::Unique(unique) => {
                let columns = columns_of(unique);
                let made = format!("{table}_{}_key", columns.join("_"));
                rules.unique.push((name(unique.name.as_ref(), made), columns));
            }
            _ => {}
        }
    }
    rules
}

fn columns_of(unique: &UniqueConstraint) -> Vec<String> {
    let name = |expr: &Expr| match expr {
        Expr::Identifier(word) => normalized(word),
        other => other.to_string(),
    };
    unique.columns.iter().map(|column| name(&column.column.expr)).collect()
}

/// Whether the rules of a table, spelled out, can be kept.
pub(super) fn check(table: &str, create: &CreateTable, schema: &SchemaRef) -> Result<(), DeclareError> {
    let unsupported = |text: String| Err(DeclareError::Unsupported(text));
    for column in &create.columns {
        let called = format!("{table}.{}", column.name);
        for option in &column.options {
            match &option.option {
                ColumnOption::Unique(unique) => distinct(&called, unique)?,
                ColumnOption::Check(check) => enforced(&called, check)?,
                ColumnOption::Generated { generation_expr: Some(_), .. } => {
                    return unsupported(format!(
                        "GENERATED ALWAYS AS (..) of column {called} is not supported: compute it in a view over the table"
                    ));
                }
                ColumnOption::Generated { sequence_options, .. } => {
                    let index = schema.index_of(&normalized(&column.name)).unwrap_or_default();
                    let data_type = schema.field(index).data_type();
                    if !matches!(data_type, DataType::Int16 | DataType::Int32 | DataType::Int64) {
                        return Err(DeclareError::Invalid(format!(
                            "the identity column {called} must be SMALLINT, INT or BIGINT"
                        )));
                    }
                    for option in sequence_options.iter().flatten() {
                        let known = matches!(option, SequenceOptions::StartWith(..))
                            && start(std::slice::from_ref(option)).is_some();
                        if !known {
                            return unsupported(format!(
                                "{} of column {called} is not supported: known is START WITH, a number",
                                option.to_string().trim()
                            ));
                        }
                    }
                    if column.options.iter().any(|o| matches!(o.option, ColumnOption::Default(_))) {
                        return Err(DeclareError::Invalid(format!(
                            "both a DEFAULT and an identity are given for column {called}"
                        )));
                    }
                }
                _ => {}
            }
        }
    }
    for constraint in &create.constraints {
        match constraint {
            TableConstraint::Unique(unique) => distinct(table, unique)?,
            TableConstraint::Check(check) => enforced(table, check)?,
            _ => {}
        }
    }
    let rules = rules(create);
    for (name, columns) in &rules.unique {
        if let Some(unknown) = columns.iter().find(|column| schema.index_of(column).is_err()) {
            return Err(DeclareError::Invalid(format!(
                "the constraint {name:?} names {unknown:?}: table {table:?} has no column of that name"
            )));
        }
    }
    rules.checks.iter().try_for_each(|(name, expr)| condition(table, name, expr, schema))
}

fn distinct(called: &str, unique: &UniqueConstraint) -> Result<(), DeclareError> {
    let refused = [
        (unique.nulls_distinct == NullsDistinctOption::NotDistinct, "NULLS NOT DISTINCT"),
        (unique.characteristics.is_some(), "DEFERRABLE"),
    ];
    match refused.iter().find(|(present, _)| *present) {
        Some((_, clause)) => Err(DeclareError::Unsupported(format!(
            "UNIQUE .. {clause} of {called} is not supported: leave it out"
        ))),
        None => Ok(()),
    }
}

fn enforced(called: &str, check: &CheckConstraint) -> Result<(), DeclareError> {
    match check.enforced {
        Some(false) => Err(DeclareError::Unsupported(format!(
            "NOT ENFORCED of {called} is not supported: leave the CHECK out"
        ))),
        _ => Ok(()),
    }
}

/// A condition that a row alone decides.
fn condition(table: &str, name: &str, expr: &Expr, schema: &SchemaRef) -> Result<(), DeclareError> {
    let asks = walk::expressions(expr, |expr| match expr {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let refused = |what: &str| {
        Err(DeclareError::Unsupported(format!(
            "the CHECK {name:?} of table {table:?} has {what}: it may only compare columns of one row"
        )))
    };
    if asks.is_break() {
        return refused("a subquery");
    }
    let relation = Relation { schema: schema.clone(), query: None, key: vec![], told: Default::default() };
    let relations: Relations = [(table.to_owned(), Arc::new(relation))].into();
    let query = text::query(&format!("SELECT ({expr}) FROM \"{}\"", table.replace('"', "\"\"")))?;
    let plan = planner::plan(*query, &relations)?;
    let mut grouped = false;
    let looked = plan.apply(|node| {
        grouped |= matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Window(_));
        Ok(TreeNodeRecursion::Continue)
    });
    looked.map_err(super::error::from_datafusion)?;
    if grouped {
        return refused("an aggregate or a window function");
    }
    match plan.schema().field(0).data_type() {
        DataType::Boolean => Ok(()),
        other => Err(DeclareError::Invalid(format!(
            "the CHECK {name:?} of table {table:?} must be boolean, not {other}"
        ))),
    }
}
