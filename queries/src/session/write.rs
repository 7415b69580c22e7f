//! INSERT, and what all writes have in common: rows that come and go are kept by the log as one event.
use super::change::Source;
use super::constraints::arbiter;
use super::forms;
use super::read::{Given, Overlay, cancelled};
use super::rows::{self, Conflict, at, changes, conflicts, duplicate, fitted};
use super::script::{inserted_as, own_query, plain_name, quoted};
use super::sequence::Series;
use super::words::sql_type;
use super::{Answer, Inner, internal};
use crate::catalogue::system::takes_statements;
use crate::declare::constraints::numbered;
use crate::declare::create::{defaults, on_conflict};
use crate::rewrite::expression;
use crate::{DeclareError, Declared};
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use dataflows::Table;
use datafusion::common::ScalarValue;
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    self, ConflictTarget, Expr, Ident, Insert, OnConflictAction, OnInsert, Query, SelectItem, SetExpr,
    TableObject, Value,
};
use sources::decode::{Mapping, changes as log};
use std::borrow::Cow;
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
pub(super) struct Change {
    pub(super) taken: RecordBatch,
    pub(super) given: RecordBatch,
}

/// What a column is when INSERT does not name it.
pub(super) enum Filler {
    Null,
    Default(Box<Expr>),
    Number(Series),
}

impl Inner {
    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
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
        let (insert, last_wins) = &self.by_its_table(insert, table)?;
        let mut fillers = self.fillers(table)?;
        self.arbitrated(insert, table)?;
        let called = inserted_as(insert, table);
        // Without a key nothing of the table needs to be looked at, and others may write meanwhile.
        let mut writer = self.writer();
        let mut given = self.inserted(insert, table, parameters, &mut fillers)?;
        let none = given.slice(0, 0);
        self.host.live(&[table.name.to_string()])?;
        let read = self.memory.read();
        let kept = read.view(&table.name).ok_or_else(|| internal("the table is there and cannot be read"))?;
        let mut found = conflicts(table, kept, &none, &given)?;
        if *last_wins && found.contains(&Conflict::Given) {
            let count = given.num_rows() as u64;
            let turned = arrow::array::UInt64Array::from_iter_values((0..count).rev());
            given = arrow::compute::take_record_batch(&given, &turned).map_err(internal)?;
            found = conflicts(table, kept, &none, &given)?;
            given = at(&given, |i| found[i] != Conflict::Given)?;
            found.retain(|conflict| *conflict != Conflict::Given);
        }
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
                        format!("{called}.{name} = excluded.{name}")
                    });
                    let on = on.collect::<Vec<_>>().join(" AND ");
                    let from = format!("{} AS {called} JOIN excluded ON {on}", quoted(&table.name));
                    let overlay =
                        Overlay::from([("excluded".to_owned(), (excluded.schema(), vec![excluded]))]);
                    let selection = update.selection.as_ref().map(Expr::to_string);
                    let source = Source { from, once: false, overlay };
                    let mut change =
                        self.changed(table, &called, source, &assignments, selection.as_deref(), parameters)?;
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
        let tag = format!("INSERT 0 {}", change.given.num_rows());
        let answer = self.answer((table, &called), change.given.clone(), insert.returning.as_deref(), tag)?;
        let numbers = fillers.iter().map(|filler| match filler {
            Filler::Number(series) => series.change(),
            Filler::Null | Filler::Default(_) => Ok(None),
        });
        let numbers: Vec<_> = numbers.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        // The numbers first: whatever becomes of the rows, none is given twice.
        let list = numbers.iter().map(|(mapping, change)| (mapping, change));
        let list: Vec<_> = list.chain([(&mapping, &change)]).collect();
        self.write(&mut writer, &list)?;
        drop(writer);
        Ok(self.now(answer))
    }

    /// The statement with what its table says about conflicts, and whether the last of equal keys counts.
    fn by_its_table<'a>(
        &self,
        insert: &'a Insert,
        table: &Table,
    ) -> Result<(Cow<'a, Insert>, bool), DeclareError> {
        let declaration = if insert.on.is_none() { self.declaration(table)? } else { None };
        let clause = match declaration.as_ref().and_then(on_conflict) {
            Some(_) if rows::key(table).is_empty() => {
                return Err(DeclareError::Invalid(format!(
                    "table {:?} has no key that rows could have in common: declare a PRIMARY KEY beside ON CONFLICT",
                    table.name
                )));
            }
            Some("overwrite") => {
                let names = table.schema.fields().iter().map(|field| quoted(field.name()));
                let set =
                    names.map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ");
                let key = rows::key(table).iter().map(|i| quoted(table.schema.field(*i).name()));
                format!("({}) DO UPDATE SET {set}", key.collect::<Vec<_>>().join(", "))
            }
            Some("ignore") => "DO NOTHING".into(),
            Some(other) => {
                return Err(DeclareError::Invalid(format!(
                    "on_conflict of table {:?} is overwrite or ignore, not {other:?}",
                    table.name
                )));
            }
            None => return Ok((Cow::Borrowed(insert), false)),
        };
        let last_wins = clause != "DO NOTHING";
        let text = format!("INSERT INTO {} VALUES (1) ON CONFLICT {clause}", quoted(&table.name));
        let mut statements = crate::declare::text::statements(&text)?;
        let (Some((Parsed::Statement(inner), _)), mut insert) = (statements.pop(), insert.clone()) else {
            return Err(internal("an INSERT is a statement"));
        };
        if let ast::Statement::Insert(written) = *inner {
            insert.on = written.on;
        }
        Ok((Cow::Owned(insert), last_wins))
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
        fillers: &mut [Filler],
    ) -> Result<RecordBatch, DeclareError> {
        let mut columns = self.insert_columns(insert, table)?;
        let mut found = vec![];
        match &insert.source {
            Some(source) => {
                let mut query = source.as_ref().clone();
                let width = self.with_defaults(&mut query, &columns, fillers)?;
                typed_texts(&mut query, &columns, table);
                // Values for the first columns only, as PostgreSQL has it.
                columns.truncate(width.unwrap_or(usize::MAX));
                let wanted = columns.iter().map(|i| table.schema.field(*i).data_type().clone()).collect();
                let fewer = insert.columns.is_empty();
                found = self
                    .find(query, Given { parameters, wanted: Some(wanted), fewer, ..Given::default() })?
                    .rows;
                columns.truncate(found.first().map_or(0, RecordBatch::num_columns));
            }
            None => columns.clear(),
        }
        if insert.source.is_none() {
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
            let empty = Arc::new(arrow::datatypes::Schema::empty());
            found.push(RecordBatch::try_new_with_options(empty, vec![], &options).map_err(internal)?);
        }
        let mut batches = vec![];
        for batch in &found {
            let mut all = vec![];
            for (column, field) in table.schema.fields().iter().enumerate() {
                let (rows, data_type) = (batch.num_rows(), field.data_type());
                all.push(match columns.iter().position(|given| *given == column) {
                    Some(place) => batch.column(place).clone(),
                    None => match &mut fillers[column] {
                        Filler::Null => new_null_array(data_type, rows),
                        Filler::Default(expr) => self.values(expr, data_type, rows)?,
                        Filler::Number(series) => series.take(self, rows, data_type)?,
                    },
                });
            }
            let fields = table.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
            let schema = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
            batches.push(RecordBatch::try_new(schema, all).map_err(internal)?);
        }
        self.formed(table, &batches)
    }

    /// Rows of a table in the forms that its columns keep.
    pub(super) fn formed(&self, table: &Table, batches: &[RecordBatch]) -> Result<RecordBatch, DeclareError> {
        let rows = fitted(table, batches)?;
        match self.declaration(table)? {
            Some(create) => forms::formed(&create, rows),
            None => Ok(rows),
        }
    }

    /// What each column is when INSERT does not name it.
    pub(super) fn fillers(&self, table: &Table) -> Result<Vec<Filler>, DeclareError> {
        let create = self.declaration(table)?;
        let (list, numbered) =
            create.map(|create| (defaults(&create), numbered(&create))).unwrap_or_default();
        let of = |name: &str| {
            if let Some(numbered) = numbered.iter().find(|numbered| numbered.column == name) {
                return Filler::Number(Series::new(numbered.clone()));
            }
            let default = list.iter().find(|(column, _)| column == name).and_then(|(_, value)| value.clone());
            default.map_or(Filler::Null, |expr| Filler::Default(Box::new(expr)))
        };
        Ok(table.schema.fields().iter().map(|field| of(field.name())).collect())
    }

    /// An expression without columns, computed for each of some rows.
    fn values(&self, expr: &Expr, wanted: &DataType, rows: usize) -> Result<ArrayRef, DeclareError> {
        let query = own_query(&format!("SELECT {expr} FROM \"?rows?\""))?;
        let one = Arc::new(Schema::new(vec![Field::new("?row?", DataType::Int64, false)]));
        let numbers = Arc::new(Int64Array::from_iter_values(0..rows as i64)) as ArrayRef;
        let batch = RecordBatch::try_new(one.clone(), vec![numbers]).map_err(internal)?;
        let overlay = Overlay::from([("?rows?".to_owned(), (one, vec![batch]))]);
        let found =
            self.find(*query, Given { wanted: Some(vec![wanted.clone()]), overlay, ..Given::default() })?;
        let parts: Vec<&dyn Array> = found.rows.iter().map(|batch| batch.column(0).as_ref()).collect();
        match parts.is_empty() {
            true => Ok(new_null_array(wanted, 0)),
            false => arrow::compute::concat(&parts).map_err(internal),
        }
    }

    /// Puts defaults in the places of DEFAULT; how many values a row of VALUES has.
    fn with_defaults(
        &self,
        query: &mut Query,
        columns: &[usize],
        fillers: &mut [Filler],
    ) -> Result<Option<usize>, DeclareError> {
        let only = |filler: &Filler| match filler {
            Filler::Number(series) if series.numbered.always => Some(series.numbered.column.clone()),
            _ => None,
        };
        let refused = |column: String| {
            Err(DeclareError::Invalid(format!(
                "cannot insert a non-DEFAULT value into column {column:?}, which is GENERATED ALWAYS: leave it out"
            )))
        };
        let SetExpr::Values(values) = query.body.as_mut() else {
            return match columns.iter().find_map(|column| only(&fillers[*column])) {
                Some(column) => refused(column),
                None => Ok(None),
            };
        };
        for row in &mut values.rows {
            for (expr, column) in row.iter_mut().zip(columns) {
                let is_default = matches!(expr, Expr::Identifier(word) if is_default(word));
                if let (false, Some(column)) = (is_default, only(&fillers[*column])) {
                    return refused(column);
                }
                if is_default {
                    *expr = match &mut fillers[*column] {
                        Filler::Null => Expr::value(Value::Null),
                        Filler::Default(expr) => expr.as_ref().clone(),
                        Filler::Number(series) => {
                            Expr::value(Value::Number(series.next(self)?.to_string(), false))
                        }
                    };
                }
            }
        }
        Ok(values.rows.first().map(|row| row.len()))
    }

    /// Whether ON CONFLICT names what a table has.
    fn arbitrated(&self, insert: &Insert, table: &Table) -> Result<(), DeclareError> {
        let (Some(OnInsert::OnConflict(clause)), Some(create)) = (&insert.on, self.declaration(table)?)
        else {
            return Ok(());
        };
        match &clause.conflict_target {
            Some(ConflictTarget::Columns(words)) => {
                let names: Vec<String> = words.iter().map(crate::declare::normalized).collect();
                arbiter(table, &create, Some(&names))
            }
            Some(ConflictTarget::OnConstraint(name)) => Err(DeclareError::Unsupported(format!(
                "ON CONFLICT ON CONSTRAINT {name} is not supported: name the columns of the primary key"
            ))),
            None => arbiter(table, &create, None),
        }
    }

    /// Appends changes to the log, together, and waits until readers see them.
    pub(super) fn write(
        &self,
        writer: &mut Writer,
        list: &[(&Arc<Mapping>, &Change)],
    ) -> Result<(), DeclareError> {
        let mut payloads = vec![];
        for (mapping, change) in list {
            let table = &mapping.table;
            self.permitted(table, change)?;
            let rows = changes(table, &change.taken, &change.given)?;
            if rows.num_rows() == 0 {
                continue;
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
            payloads.push(payload);
        }
        if payloads.is_empty() {
            return Ok(());
        }
        if self.stop.is_wished() {
            return Err(cancelled());
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        self.host.append(payloads, Box::new(move |result| _ = sender.send(result)));
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

    /// An answer that was computed before a write, at the time that the write is seen.
    pub(super) fn now(&self, answer: Answer) -> Answer {
        match answer {
            Answer::Rows { schema, rows, .. } => Answer::Rows { schema, rows, time: self.time() },
            done @ Answer::Done { .. } => done,
        }
    }

    /// The tag, or what RETURNING asks of the rows: before they are written, since it may fail.
    pub(super) fn answer(
        &self,
        (table, called): (&Table, &str),
        rows: RecordBatch,
        returning: Option<&[SelectItem]>,
        tag: String,
    ) -> Result<Answer, DeclareError> {
        let Some(items) = returning else { return Ok(Answer::Done { tag }) };
        let items: Vec<String> = items.iter().map(SelectItem::to_string).collect();
        let name = quoted(&table.name);
        let query = own_query(&format!("SELECT {} FROM {name} AS {called}", items.join(", ")))?;
        let overlay = Overlay::from([(table.name.to_string(), (rows.schema(), vec![rows]))]);
        let found = self.find(*query, Given { overlay, ..Given::default() })?;
        Ok(Answer::Rows { schema: found.schema, rows: found.rows, time: found.time })
    }
}

pub(super) fn is_default(word: &Ident) -> bool {
    word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default")
}

/// Casts texts to the types of their columns where they stand in one column of VALUES with other values: `('NaN'), (1.5)`.
fn typed_texts(query: &mut Query, columns: &[usize], table: &Table) {
    let SetExpr::Values(values) = query.body.as_mut() else { return };
    let text =
        |expr: &Expr| matches!(expr, Expr::Value(value) if value.value.clone().into_string().is_some());
    let null = |expr: &Expr| matches!(expr, Expr::Value(value) if value.value == Value::Null);
    for (place, column) in columns.iter().enumerate() {
        let cells = || values.rows.iter().filter_map(|row| row.get(place));
        if !cells().any(text) || cells().all(|cell| text(cell) || null(cell)) {
            continue;
        }
        let target = sql_type(table.schema.field(*column).data_type());
        for cell in values.rows.iter_mut().filter_map(|row| row.get_mut(place)).filter(|cell| text(cell)) {
            if let Some(cast) =
                target.as_ref().ok().and_then(|to| expression(&format!("CAST({cell} AS {to})")).ok())
            {
                *cell = cast;
            }
        }
    }
}
