//! INSERT, UPDATE, DELETE and TRUNCATE: the rows that come and go are computed here, and kept by the log as one event.
use super::forms::{self, is_default, typed_texts, with_defaults};
use super::read::{Given, Overlay};
use super::rows::{self, Conflict, at, changes, conflicts, duplicate, fitted};
use super::script::{deleted_from, own_query, plain_name, quoted, target};
use super::words::sql_type;
use super::{Answer, Inner, internal};
use crate::catalogue::system::takes_statements;
use crate::declare::create::defaults;
use crate::declare::text::statements;
use crate::{DeclareError, Declared};
use arrow::array::RecordBatch;
use dataflows::Table;
use datafusion::common::ScalarValue;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    AssignmentTarget, ColumnOption, CreateTable, Delete, Expr, Insert, OnConflictAction, OnInsert, Query,
    SelectItem, Statement, TableConstraint, TableObject, Update,
};
use sources::decode::{Mapping, changes as log};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

/// Names the events of writes: the source and id of an event stand for it for ever.
pub(super) struct Writer {
    generation: u64,
    count: u64,
}

impl Writer {
    pub(super) fn new(generation: u64) -> Writer {
        Writer { generation, count: 0 }
    }

    fn next(&mut self) -> String {
        self.count += 1;
        format!("{:x}-{:x}", self.generation, self.count)
    }
}

/// The most that one statement may change: an event of the log holds it.
const STATEMENT_BYTES_MAX: usize = (8 << 20) - 4_096;

/// What a statement takes away and gives.
struct Change {
    taken: RecordBatch,
    given: RecordBatch,
}

impl Inner {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        // It holds a counter only, which is right whoever panicked.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table of a statement, which must be one that takes statements.
    pub(super) fn table(&self, name: &str) -> Result<Arc<Mapping>, DeclareError> {
        match self.host.catalogue().get(name) {
            Some(Declared::Table(mapping)) if takes_statements(&mapping.table) => Ok(mapping.clone()),
            Some(Declared::Table(_)) => Err(DeclareError::Invalid(format!(
                "the rows of table {name:?} come from events: send an event instead"
            ))),
            Some(_) => {
                Err(DeclareError::Invalid(format!("{name:?} is a view: change the tables that it reads")))
            }
            None => Err(DeclareError::NotFound(format!("no table {name:?}"))),
        }
    }

    pub(super) fn insert(&self, insert: &Insert, parameters: &[ScalarValue]) -> Result<Answer, DeclareError> {
        let mapping = self.insert_target(insert)?;
        let table = &mapping.table;
        // Without a key nothing of the table needs to be looked at, and others may write meanwhile.
        let mut writer = self.writer();
        let given = self.inserted(insert, table, parameters)?;
        let none = given.slice(0, 0);
        self.host.live(&[table.name.to_string()])?;
        let read = self.memory.read();
        let kept = read.view(&table.name).ok_or_else(|| internal("the table is there and cannot be read"))?;
        let found = conflicts(table, kept, &none, &given)?;
        let change = match &insert.on {
            None => {
                duplicate(table, &given, &found)?;
                Change { taken: none, given }
            }
            Some(OnInsert::OnConflict(clause)) => match &clause.action {
                OnConflictAction::DoNothing => {
                    Change { taken: none, given: at(&given, |i| found[i] == Conflict::None)? }
                }
                OnConflictAction::DoUpdate(update) => {
                    if found.contains(&Conflict::Given) {
                        return Err(DeclareError::Constraint(
                            "ON CONFLICT DO UPDATE cannot change a row that the same statement gave".into(),
                        ));
                    }
                    let fresh = at(&given, |i| found[i] == Conflict::None)?;
                    let excluded = at(&given, |i| found[i] == Conflict::Stored)?;
                    let assignments: Vec<_> = update.assignments.iter().collect();
                    let on = rows::key(table).iter().map(|column| {
                        let name = quoted(table.schema.field(*column).name());
                        format!("{}.{name} = excluded.{name}", quoted(&table.name))
                    });
                    let on = on.collect::<Vec<_>>().join(" AND ");
                    let from = format!("{} JOIN excluded ON {on}", quoted(&table.name));
                    let overlay =
                        Overlay::from([("excluded".to_owned(), (excluded.schema(), vec![excluded]))]);
                    let selection = update.selection.as_ref().map(Expr::to_string);
                    let mut change = self.changed(
                        table,
                        &quoted(&table.name),
                        &from,
                        &assignments,
                        selection.as_deref(),
                        parameters,
                        overlay,
                    )?;
                    let all = [change.given, fresh];
                    change.given =
                        arrow::compute::concat_batches(&all[0].schema(), &all).map_err(internal)?;
                    change
                }
            },
            Some(other) => {
                return Err(DeclareError::Unsupported(format!(
                    "{other} is not supported: write ON CONFLICT"
                )));
            }
        };
        let count = change.given.num_rows();
        self.write(&mut writer, &mapping, &change)?;
        drop(writer);
        self.answer(table, change.given, insert.returning.as_deref(), format!("INSERT 0 {count}"))
    }

    pub(super) fn insert_target(&self, insert: &Insert) -> Result<Arc<Mapping>, DeclareError> {
        match &insert.table {
            TableObject::TableName(name) => self.table(&plain_name(name)?),
            other => Err(DeclareError::Unsupported(format!("{other} is no table whose rows can be changed"))),
        }
    }

    /// The columns that an INSERT names, and what those are that it does not name.
    pub(super) fn insert_columns(&self, insert: &Insert, table: &Table) -> Result<Vec<usize>, DeclareError> {
        let all = table.schema.fields().len();
        if insert.columns.is_empty() {
            return Ok((0..all).collect());
        }
        let mut columns = vec![];
        for name in &insert.columns {
            let name = plain_name(name)?;
            let column = table.schema.index_of(&name).map_err(|_| {
                DeclareError::Invalid(format!("table {:?} has no column {name:?}", table.name))
            })?;
            if columns.contains(&column) {
                return Err(DeclareError::Invalid(format!("column {name:?} is given twice")));
            }
            columns.push(column);
        }
        Ok(columns)
    }

    fn inserted(
        &self,
        insert: &Insert,
        table: &Table,
        parameters: &[ScalarValue],
    ) -> Result<RecordBatch, DeclareError> {
        let mut columns = self.insert_columns(insert, table)?;
        let defaults = self.defaults(table)?;
        let mut found = vec![];
        match &insert.source {
            Some(source) => {
                let mut query = source.as_ref().clone();
                let width = with_defaults(&mut query, &columns, &defaults);
                typed_texts(&mut query, &columns, table);
                // Values for the first columns only, as PostgreSQL has it.
                columns.truncate(width.unwrap_or(usize::MAX));
                let wanted = columns.iter().map(|i| table.schema.field(*i).data_type().clone()).collect();
                found =
                    self.find(query, Given { parameters, wanted: Some(wanted), ..Given::default() })?.rows;
            }
            None => columns.clear(),
        }
        if insert.source.is_none() {
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
            let empty = Arc::new(arrow::datatypes::Schema::empty());
            found.push(RecordBatch::try_new_with_options(empty, vec![], &options).map_err(internal)?);
        }
        let mut missing = HashMap::new();
        for (column, field) in table.schema.fields().iter().enumerate().filter(|(i, _)| !columns.contains(i))
        {
            let value = match &defaults[column] {
                Some(default) => self.value(&default.to_string(), field.data_type())?,
                None => ScalarValue::try_from(field.data_type()).map_err(internal)?,
            };
            missing.insert(column, value);
        }
        let batches = found.iter().map(|batch| {
            let rows = batch.num_rows();
            let column = |i: usize| match (columns.iter().position(|c| *c == i), missing.get(&i)) {
                (Some(place), _) => Ok(batch.column(place).clone()),
                (None, Some(value)) => value.to_array_of_size(rows).map_err(internal),
                (None, None) => Err(internal("a column is neither given nor missing")),
            };
            let all = (0..table.schema.fields().len()).map(column).collect::<Result<Vec<_>, _>>()?;
            let fields = table.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
            let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
            RecordBatch::try_new(schema, all).map_err(internal)
        });
        self.formed(table, &batches.collect::<Result<Vec<_>, _>>()?)
    }

    /// The DEFAULT of each column.
    fn defaults(&self, table: &Table) -> Result<Vec<Option<Expr>>, DeclareError> {
        let list = self.created(table)?.map(|create| defaults(&create)).unwrap_or_default();
        let of = |name: &str| {
            list.iter().find(|(column, _)| column == name).and_then(|(_, default)| default.clone())
        };
        Ok(table.schema.fields().iter().map(|field| of(field.name())).collect())
    }

    /// The statement that created a table.
    fn created(&self, table: &Table) -> Result<Option<CreateTable>, DeclareError> {
        let catalogue = self.host.catalogue();
        let sql = catalogue.entry(&table.name).map(|entry| entry.sql.clone()).unwrap_or_default();
        Ok(match statements(&sql)?.pop() {
            Some((Parsed::Statement(inner), _)) => match *inner {
                Statement::CreateTable(create) => Some(create),
                _ => None,
            },
            _ => None,
        })
    }

    /// Rows of a table in the forms that its columns keep.
    fn formed(&self, table: &Table, batches: &[RecordBatch]) -> Result<RecordBatch, DeclareError> {
        match self.created(table)? {
            Some(create) => forms::formed(&create, fitted(table, batches)?),
            None => fitted(table, batches),
        }
    }

    /// The value of an expression without columns.
    fn value(&self, expr: &str, wanted: &arrow::datatypes::DataType) -> Result<ScalarValue, DeclareError> {
        let query = own_query(&format!("SELECT {expr}"))?;
        let found = self.find(*query, Given { wanted: Some(vec![wanted.clone()]), ..Given::default() })?;
        let row = found.rows.iter().find(|batch| batch.num_rows() > 0).ok_or_else(|| internal("no value"))?;
        ScalarValue::try_from_array(row.column(0), 0).map_err(internal)
    }

    pub(super) fn update(&self, update: &Update, parameters: &[ScalarValue]) -> Result<Answer, DeclareError> {
        if update.from.is_some() || !update.table.joins.is_empty() {
            return Err(DeclareError::Unsupported(
                "UPDATE with FROM or joins is not supported: write SET column = (SELECT ..) WHERE EXISTS (..)".into(),
            ));
        }
        let (name, called) = target(&update.table.relation)?;
        let mapping = self.table(&name)?;
        let table = &mapping.table;
        let mut writer = self.writer();
        let from = update.table.relation.to_string();
        let assignments: Vec<_> = update.assignments.iter().collect();
        let selection = update.selection.as_ref().map(Expr::to_string);
        let overlay = Overlay::new();
        let change =
            self.changed(table, &called, &from, &assignments, selection.as_deref(), parameters, overlay)?;
        let read = self.memory.read();
        let kept = read.view(&table.name).ok_or_else(|| internal("the table was read a moment ago"))?;
        duplicate(table, &change.given, &conflicts(table, kept, &change.taken, &change.given)?)?;
        self.write(&mut writer, &mapping, &change)?;
        drop(writer);
        let count = change.given.num_rows();
        self.answer(table, change.given, update.returning.as_deref(), format!("UPDATE {count}"))
    }

    /// The rows that assignments change, before and after.
    #[allow(clippy::too_many_arguments, reason = "the clauses of one statement")]
    fn changed(
        &self,
        table: &Table,
        called: &str,
        from: &str,
        assignments: &[&datafusion::sql::sqlparser::ast::Assignment],
        selection: Option<&str>,
        parameters: &[ScalarValue],
        overlay: Overlay,
    ) -> Result<Change, DeclareError> {
        let fields = table.schema.fields();
        let defaults = self.defaults(table)?;
        let mut values: HashMap<usize, String> = HashMap::new();
        for assignment in assignments {
            let AssignmentTarget::ColumnName(name) = &assignment.target else {
                return Err(DeclareError::Unsupported(
                    "SET (a, b) = (..) is not supported: write SET a = .., b = ..".into(),
                ));
            };
            let name = match name.0.last().and_then(|part| part.as_ident()) {
                Some(word) => plain_name(&vec![word.clone()].into())?,
                None => plain_name(name)?,
            };
            let column = table.schema.index_of(&name).map_err(|_| {
                DeclareError::Invalid(format!("table {:?} has no column {name:?}", table.name))
            })?;
            let value = match &assignment.value {
                Expr::Identifier(word) if is_default(word) => {
                    defaults[column].as_ref().map_or_else(|| "NULL".into(), Expr::to_string)
                }
                value => value.to_string(),
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
        let list: Vec<String> = (0..count).map(old).chain((0..count).map(new)).collect();
        let filter = selection.map_or_else(String::new, |selection| format!(" WHERE {selection}"));
        let query = own_query(&format!("SELECT {} FROM {from}{filter}", list.join(", ")))?;
        let types = || fields.iter().map(|field| field.data_type().clone());
        let wanted = Some(types().chain(types()).collect());
        let found = self.find(*query, Given { parameters, overlay, wanted, at: None })?;
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
        let query = own_query(&format!("SELECT {called}.* FROM {relation}{filter}"))?;
        let mut writer = self.writer();
        let found = self.find(*query, Given { parameters, ..Given::default() })?;
        let taken = fitted(&mapping.table, &found.rows)?;
        let change = Change { given: taken.slice(0, 0), taken };
        self.write(&mut writer, &mapping, &change)?;
        drop(writer);
        let count = change.taken.num_rows();
        self.answer(&mapping.table, change.taken, delete.returning.as_deref(), format!("DELETE {count}"))
    }

    pub(super) fn truncate(&self, name: &str) -> Result<Answer, DeclareError> {
        let mapping = self.table(name)?;
        let mut writer = self.writer();
        let found = self.find(*own_query(&format!("SELECT * FROM {}", quoted(name)))?, Given::default())?;
        let taken = fitted(&mapping.table, &found.rows)?;
        let change = Change { given: taken.slice(0, 0), taken };
        self.write(&mut writer, &mapping, &change)?;
        Ok(Answer::Done { tag: "TRUNCATE TABLE".into() })
    }

    pub(super) fn create_table_as(
        &self,
        create: &CreateTable,
        query: Query,
        parameters: &[ScalarValue],
    ) -> Result<Answer, DeclareError> {
        let name = plain_name(&create.name)?;
        if create.or_replace {
            return Err(DeclareError::Unsupported(format!(
                "OR REPLACE with AS is not supported: write DROP TABLE IF EXISTS {name} before it"
            )));
        }
        let done = |rows: usize| Ok(Answer::Done { tag: format!("SELECT {rows}") });
        if create.if_not_exists && self.host.catalogue().get(&name).is_some() {
            return done(0);
        }
        let named: Vec<String> = create.columns.iter().map(|column| column.name.to_string()).collect();
        let found = self.find(query, Given { parameters, ..Given::default() })?;
        let columns = found.schema.fields().iter().enumerate().map(|(i, field)| {
            let name = named.get(i).cloned().unwrap_or_else(|| quoted(field.name()));
            let typed = create.columns.get(i).map(|column| column.data_type.to_string());
            let typed = match typed.filter(|text| !text.is_empty()) {
                Some(text) => text,
                None => sql_type(field.data_type())?,
            };
            // What else a column says there, such as UNIQUE, is not kept.
            let options = create.columns.get(i).map(|column| column.options.as_slice()).unwrap_or_default();
            let options = options.iter().filter(|option| {
                matches!(
                    option.option,
                    ColumnOption::NotNull | ColumnOption::PrimaryKey(_) | ColumnOption::Default(_)
                )
            });
            let options: String = options.map(|option| format!(" {}", option.option)).collect();
            Ok(format!("{name} {typed}{options}"))
        });
        let mut columns = columns.collect::<Result<Vec<_>, DeclareError>>()?;
        let keys = create.constraints.iter().filter(|c| matches!(c, TableConstraint::PrimaryKey(_)));
        columns.extend(keys.map(TableConstraint::to_string));
        self.host.declare(&format!("CREATE TABLE {} ({})", quoted(&name), columns.join(", ")))?;
        let mapping = self.table(&name)?;
        let table = &mapping.table;
        let cast = found.rows.iter().map(|batch| {
            let columns = batch.columns().iter().zip(table.schema.fields());
            let columns = columns.map(|(column, field)| arrow::compute::cast(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>, _>>().map_err(internal)?;
            let fields = table.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
            let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
            RecordBatch::try_new(schema, columns).map_err(internal)
        });
        let filled = cast.collect::<Result<Vec<_>, _>>().and_then(|rows| {
            let given = self.formed(table, &rows)?;
            duplicate(table, &given, &rows::repeated(table, &given)?)?;
            let change = Change { taken: given.slice(0, 0), given };
            self.write(&mut self.writer(), &mapping, &change)?;
            Ok(change)
        });
        let change = match filled {
            Ok(change) => change,
            Err(why) => {
                self.host.drop_query(&name)?;
                return Err(why);
            }
        };
        done(change.given.num_rows())
    }

    /// Appends a change to the log and waits until readers see it.
    fn write(&self, writer: &mut Writer, mapping: &Mapping, change: &Change) -> Result<(), DeclareError> {
        let table = &mapping.table;
        let rows = changes(table, &change.taken, &change.given)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let origin = mapping.origin().ok_or_else(|| internal("a table of statements has an origin"))?;
        let payload = log::write(origin, &writer.next(), &rows).map_err(internal)?;
        if let sources::Payload::Binary { body, .. } = &payload
            && body.len() > STATEMENT_BYTES_MAX
        {
            return Err(DeclareError::Invalid(format!(
                "the statement changes {} bytes of table {:?}, more than the {STATEMENT_BYTES_MAX} that one may: split it",
                body.len(),
                table.name
            )));
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        self.host.append(vec![payload], Box::new(move |result| _ = sender.send(result)));
        let positions = receiver
            .recv()
            .map_err(|_| {
                DeclareError::Unavailable("the log was closed before the change was durable".into())
            })?
            .map_err(|why| DeclareError::Unavailable(why.to_string()))?;
        self.host.wait(&positions)
    }

    pub(super) fn flush(&self) -> Result<(), DeclareError> {
        self.host.flush()
    }

    /// The tag, or what RETURNING asks of the rows.
    fn answer(
        &self,
        table: &Table,
        rows: RecordBatch,
        returning: Option<&[SelectItem]>,
        tag: String,
    ) -> Result<Answer, DeclareError> {
        let Some(items) = returning else { return Ok(Answer::Done { tag }) };
        let items: Vec<String> = items.iter().map(SelectItem::to_string).collect();
        let query = own_query(&format!("SELECT {} FROM {}", items.join(", "), quoted(&table.name)))?;
        let overlay = Overlay::from([(table.name.to_string(), (rows.schema(), vec![rows]))]);
        let found = self.find(*query, Given { overlay, ..Given::default() })?;
        Ok(Answer::Rows { schema: found.schema, rows: found.rows, time: found.time })
    }
}
