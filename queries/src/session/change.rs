//! UPDATE, DELETE and TRUNCATE: which rows go, and which come in their places.
use super::read::{Given, Overlay};
use super::rows::{conflicts, duplicate, fitted};
use super::script::{deleted_from, others, own_query, plain_name, quoted, target, using};
use super::write::{Change, Filler, is_default};
use super::{Answer, Inner, internal};
use crate::DeclareError;
use arrow::array::RecordBatch;
use dataflows::Table;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, Assignment, AssignmentTarget, Delete, Expr, Update};
use std::collections::HashMap;

/// Tells the rows of a table apart, also those that are the same.
const PLACE: &str = "\"?place?\"";

/// A table whose rows have places.
pub(super) fn placed(name: &str) -> String {
    format!("(SELECT *, row_number() OVER () AS {PLACE} FROM {})", quoted(name))
}

/// Where the rows of a change are found.
pub(super) struct Source {
    /// The FROM of the query.
    pub(super) from: String,
    /// Whether a row of the table may be found several times; it has a place then.
    pub(super) once: bool,
    pub(super) overlay: Overlay,
}

/// `SET (a, b) = (x, y)` as an assignment to each column.
fn single(assignment: &Assignment) -> Result<Vec<Assignment>, DeclareError> {
    let AssignmentTarget::Tuple(names) = &assignment.target else { return Ok(vec![assignment.clone()]) };
    let values = match &assignment.value {
        Expr::Tuple(values) => values.clone(),
        Expr::Nested(value) => vec![value.as_ref().clone()],
        Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("row") => {
            crate::rewrite::plain_arguments(call).unwrap_or_default()
        }
        Expr::Subquery(query) => {
            let list: Vec<String> = (0..names.len()).map(|i| format!("__set_{i}")).collect();
            let one = |name: &String| {
                let text = format!("(SELECT __set.{name} FROM ({query}) AS __set ({}))", list.join(", "));
                crate::rewrite::expression(&text)
            };
            list.iter().map(one).collect::<Result<_, _>>()?
        }
        other => {
            return Err(DeclareError::Unsupported(format!(
                "SET (a, b) = {other} is not supported: write SET (a, b) = (x, y) or (SELECT x, y)"
            )));
        }
    };
    if values.len() != names.len() {
        return Err(DeclareError::Invalid(format!(
            "{} columns are set to {} values",
            names.len(),
            values.len()
        )));
    }
    let one = |(name, value): (&ast::ObjectName, Expr)| Assignment {
        target: AssignmentTarget::ColumnName(name.clone()),
        value,
    };
    Ok(names.iter().zip(values).map(one).collect())
}

impl Inner {
    pub(super) fn update(&self, update: &Update, parameters: &[ScalarValue]) -> Result<Answer, DeclareError> {
        let others = others(update)?;
        let (name, called) = target(&update.table.relation)?;
        let mapping = self.table(&name)?;
        let table = &mapping.table;
        let mut writer = self.writer();
        let from = match &others {
            None => update.table.relation.to_string(),
            Some(others) => format!("{} AS {called}, {others}", placed(&name)),
        };
        let assignments: Vec<_> = update.assignments.iter().collect();
        let selection = update.selection.as_ref().map(Expr::to_string);
        let source = Source { from, once: others.is_some(), overlay: Overlay::new() };
        let change = self.changed(table, &called, source, &assignments, selection.as_deref(), parameters)?;
        let read = self.memory.read();
        let kept = read.view(&table.name).ok_or_else(|| internal("the table was read a moment ago"))?;
        duplicate(table, &change.given, &conflicts(table, kept, &change.taken, &change.given)?)?;
        let tag = format!("UPDATE {}", change.given.num_rows());
        let given = change.given.clone();
        let answer = self.answer((table, &called), given, update.returning.as_deref(), tag)?;
        self.write(&mut writer, &[(&mapping, &change)])?;
        Ok(self.now(answer))
    }

    /// The rows that assignments change, before and after.
    pub(super) fn changed(
        &self,
        table: &Table,
        called: &str,
        source: Source,
        assignments: &[&Assignment],
        selection: Option<&str>,
        parameters: &[ScalarValue],
    ) -> Result<Change, DeclareError> {
        let fields = table.schema.fields();
        let fillers = self.fillers(table)?;
        let mut values: HashMap<usize, String> = HashMap::new();
        let assignments = assignments.iter().map(|assignment| single(assignment));
        for assignment in assignments.collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
            let AssignmentTarget::ColumnName(name) = &assignment.target else {
                return Err(DeclareError::Internal("an assignment is to one column".into()));
            };
            let name = match name.0.last().and_then(|part| part.as_ident()) {
                Some(word) => plain_name(&vec![word.clone()].into())?,
                None => plain_name(name)?,
            };
            let column = table.schema.index_of(&name).map_err(|_| {
                DeclareError::Invalid(format!("table {:?} has no column {name:?}", table.name))
            })?;
            let value = match (&assignment.value, &fillers[column]) {
                (Expr::Identifier(word), Filler::Null) if is_default(word) => "NULL".into(),
                (Expr::Identifier(word), Filler::Default(expr)) if is_default(word) => expr.to_string(),
                (Expr::Identifier(word), Filler::Number(_)) if is_default(word) => {
                    return Err(DeclareError::Unsupported(format!(
                        "SET {name} = DEFAULT is not supported for a column that numbers its rows: write a value"
                    )));
                }
                (_, Filler::Number(series)) if series.numbered.always => {
                    return Err(DeclareError::Invalid(format!(
                        "column {name:?} is GENERATED ALWAYS and cannot be updated: leave it out"
                    )));
                }
                (value, _) => value.to_string(),
            };
            if values.insert(column, value).is_some() {
                return Err(DeclareError::Invalid(format!("column {name:?} is set twice")));
            }
        }
        let old = |i: usize| format!("{called}.{} AS \"old{i}\"", quoted(fields[i].name()));
        let new = |i: usize| match values.get(&i) {
            Some(value) => format!("({value}) AS \"new{i}\""),
            None => format!("{called}.{} AS \"new{i}\"", quoted(fields[i].name())),
        };
        let count = fields.len();
        let list = (0..count).map(old).chain((0..count).map(new)).collect::<Vec<_>>().join(", ");
        let filter = selection.map_or_else(String::new, |selection| format!(" WHERE {selection}"));
        let Source { from, once, overlay } = source;
        let query = match once {
            false => format!("SELECT {list} FROM {from}{filter}"),
            // A row that finds several is changed once: by the least of what it finds, so that it is always the same.
            true => {
                let names = |half: &'static str| (0..count).map(move |i| format!("\"{half}{i}\""));
                let all = names("old").chain(names("new")).collect::<Vec<_>>().join(", ");
                let order = names("new").collect::<Vec<_>>().join(", ");
                format!(
                    "SELECT {all} FROM (SELECT DISTINCT ON (\"place\") {all} FROM (SELECT {called}.{PLACE} AS \"place\", {list} FROM {from}{filter}) AS \"found\" ORDER BY \"place\", {order}) AS \"once\" ORDER BY {all}"
                )
            }
        };
        let query = own_query(&query)?;
        let types = || fields.iter().map(|field| field.data_type().clone());
        let wanted = Some(types().chain(types()).collect());
        let found = self.find(*query, Given { parameters, overlay, wanted, fewer: false, at: None })?;
        let half = |from: usize| -> Result<Vec<RecordBatch>, DeclareError> {
            let columns: Vec<usize> = (from..from + count).collect();
            found.rows.iter().map(|batch| batch.project(&columns).map_err(internal)).collect()
        };
        Ok(Change { taken: fitted(table, &half(0)?)?, given: self.formed(table, &half(count)?)? })
    }

    pub(super) fn delete(&self, delete: &Delete, parameters: &[ScalarValue]) -> Result<Answer, DeclareError> {
        let relation = deleted_from(delete)?;
        let (name, called) = target(relation)?;
        let mapping = self.table(&name)?;
        let filter = delete.selection.as_ref().map_or_else(String::new, |filter| format!(" WHERE {filter}"));
        let query = match using(delete) {
            None => format!("SELECT {called}.* FROM {relation}{filter}"),
            Some(others) => {
                let fields = mapping.table.schema.fields().iter().enumerate();
                let columns =
                    fields.map(|(i, field)| format!("{called}.{} AS \"old{i}\"", quoted(field.name())));
                let columns = columns.collect::<Vec<_>>().join(", ");
                let names = (0..mapping.table.schema.fields().len()).map(|i| format!("\"old{i}\""));
                let names = names.collect::<Vec<_>>().join(", ");
                let from = format!("{} AS {called}, {others}", placed(&name));
                format!(
                    "SELECT {names} FROM (SELECT DISTINCT ON (\"place\") {names} FROM (SELECT {called}.{PLACE} AS \"place\", {columns} FROM {from}{filter}) AS \"found\" ORDER BY \"place\") AS \"once\""
                )
            }
        };
        let query = own_query(&query)?;
        let mut writer = self.writer();
        let found = self.find(*query, Given { parameters, ..Given::default() })?;
        let taken = fitted(&mapping.table, &found.rows)?;
        let change = Change { given: taken.slice(0, 0), taken };
        let tag = format!("DELETE {}", change.taken.num_rows());
        let taken = change.taken.clone();
        let answer = self.answer((&mapping.table, &called), taken, delete.returning.as_deref(), tag)?;
        self.write(&mut writer, &[(&mapping, &change)])?;
        Ok(self.now(answer))
    }

    pub(super) fn truncate(&self, name: &str) -> Result<Answer, DeclareError> {
        let mapping = self.table(name)?;
        let mut writer = self.writer();
        let found = self.find(*own_query(&format!("SELECT * FROM {}", quoted(name)))?, Given::default())?;
        let taken = fitted(&mapping.table, &found.rows)?;
        let change = Change { given: taken.slice(0, 0), taken };
        self.write(&mut writer, &[(&mapping, &change)])?;
        Ok(Answer::Done { tag: "TRUNCATE TABLE".into() })
    }
}
