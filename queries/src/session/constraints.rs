//! CHECK and UNIQUE: whether the rows that a statement gives may be in their table.
use super::read::{Given, Overlay};
use super::rows::{self};
use super::script::{own_query, quoted};
use super::write::Change;
use super::{Inner, internal};
use crate::DeclareError;
use crate::declare::constraints::{rules, spelled_out};
use crate::declare::text::statements;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use dataflows::Table;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{CreateTable, Statement};

impl Inner {
    /// How a table was declared, spelled out.
    pub(super) fn declaration(&self, table: &Table) -> Result<Option<CreateTable>, DeclareError> {
        let catalogue = self.host.catalogue();
        let sql = catalogue.entry(&table.name).map(|entry| entry.sql.clone()).unwrap_or_default();
        Ok(match statements(&sql)?.pop().map(|(parsed, _)| parsed) {
            Some(Parsed::Statement(inner)) => match *inner {
                Statement::CreateTable(create) => Some(spelled_out(&create)),
                _ => None,
            },
            _ => None,
        })
    }

    /// Refuses rows that the table's rules forbid.
    pub(super) fn permitted(&self, table: &Table, change: &Change) -> Result<(), DeclareError> {
        if change.given.num_rows() == 0 {
            return Ok(());
        }
        let Some(create) = self.declaration(table)? else { return Ok(()) };
        let rules = rules(&create);
        let only = |name: &str, rows: &RecordBatch| (name.to_owned(), (rows.schema(), vec![rows.clone()]));
        for (name, condition) in &rules.checks {
            let query = own_query(&format!(
                "SELECT * FROM {} WHERE ({condition}) IS FALSE LIMIT 1",
                quoted(&table.name)
            ))?;
            let overlay = Overlay::from([only(&table.name, &change.given)]);
            let found = self.find(*query, Given { overlay, ..Given::default() })?.rows;
            if let Some(row) = found.iter().find(|batch| batch.num_rows() > 0) {
                return Err(DeclareError::Constraint(format!(
                    "new row for table {:?} violates check constraint {name:?}: ({})",
                    table.name,
                    shown(row)?
                )));
            }
        }
        for (name, columns) in &rules.unique {
            let list = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
            let each = |text: &dyn Fn(&str) -> String, between: &str| {
                columns.iter().map(|column| text(&quoted(column))).collect::<Vec<_>>().join(between)
            };
            let known = each(&|column| format!("{column} IS NOT NULL"), " AND ");
            let theirs = each(&|column| format!("\"t\".{column}"), ", ");
            let same = each(&|column| format!("\"t\".{column} = \"g\".{column}"), " AND ");
            let fresh = format!("(SELECT DISTINCT {list} FROM \"?given?\" WHERE {known}) AS \"g\"");
            let query = own_query(&format!(
                "SELECT {list} FROM (
                     SELECT {theirs}, 1 AS \"?n?\" FROM {} AS \"t\" JOIN {fresh} ON {same}
                     UNION ALL SELECT {theirs}, -1 FROM \"?taken?\" AS \"t\" JOIN {fresh} ON {same}
                     UNION ALL SELECT {list}, 1 FROM \"?given?\" WHERE {known}
                 ) AS \"?rows?\" GROUP BY {list} HAVING sum(\"?n?\") > 1 ORDER BY {list} LIMIT 1",
                quoted(&table.name)
            ))?;
            let overlay = Overlay::from([only("?given?", &change.given), only("?taken?", &change.taken)]);
            let found = self.find(*query, Given { overlay, ..Given::default() })?.rows;
            if let Some(row) = found.iter().find(|batch| batch.num_rows() > 0) {
                return Err(DeclareError::Constraint(format!(
                    "duplicate key value violates unique constraint {name:?} of table {:?}: ({}) = ({}) is there already",
                    table.name,
                    columns.join(", "),
                    shown(row)?
                )));
            }
        }
        Ok(())
    }

    /// The last number that a sequence gave.
    pub(super) fn last_value(&self, sequence: &str) -> Result<Option<i64>, DeclareError> {
        let query = own_query(&format!("SELECT max(last_value) FROM {}", quoted(sequence)))?;
        let found = self.find(*query, Given::default())?.rows;
        let row = found.iter().find(|batch| batch.num_rows() > 0).ok_or_else(|| internal("no last value"))?;
        let column = row.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        Ok((!column.is_null(0)).then(|| column.value(0)))
    }
}

/// Whether ON CONFLICT means the primary key, which is the only thing that it can mean here.
pub(super) fn arbiter(
    table: &Table,
    create: &CreateTable,
    named: Option<&[String]>,
) -> Result<(), DeclareError> {
    let key = rows::key(table);
    let mut wanted: Vec<&str> = key.iter().map(|i| table.schema.field(*i).name().as_str()).collect();
    wanted.sort_unstable();
    match named {
        Some(names) => {
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            names.sort_unstable();
            match names == wanted && !names.is_empty() {
                true => Ok(()),
                false => Err(DeclareError::Unsupported(format!(
                    "ON CONFLICT ({}) is not supported: table {:?} has {}",
                    names.join(", "),
                    table.name,
                    match wanted.is_empty() {
                        true => "no primary key".to_owned(),
                        false => format!("the primary key ({})", wanted.join(", ")),
                    }
                ))),
            }
        }
        None if rules(create).unique.is_empty() => Ok(()),
        None => Err(DeclareError::Unsupported(format!(
            "ON CONFLICT without columns is not supported for table {:?}, which has UNIQUE columns: write ON CONFLICT ({})",
            table.name,
            wanted.join(", ")
        ))),
    }
}

/// The cells of the first row.
fn shown(row: &RecordBatch) -> Result<String, DeclareError> {
    let options = FormatOptions::default().with_null("NULL");
    let cell = |column| {
        ArrayFormatter::try_new(column, &options).map(|cell| cell.value(0).to_string()).map_err(internal)
    };
    let cells = row.columns().iter().map(|column| cell(column.as_ref()));
    Ok(cells.collect::<Result<Vec<_>, _>>()?.join(", "))
}
