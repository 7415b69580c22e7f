//! The database under test as `sqllogictest` sees it: statements in, rows of texts out.
use super::Dialect;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, DurationFormat, FormatOptions};
use queries::{DeclareError, text};
use sqllogictest::{DB, DBOutput, DefaultColumnType};
use std::sync::{Arc, Mutex, PoisonError};

/// What a statement answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The rows of a query.
    Rows(SchemaRef, Vec<RecordBatch>),
    /// A statement was carried out, on so many rows.
    Done(u64),
}

/// Runs one statement in a database.
pub type Execute = Box<dyn FnMut(&str) -> Result<Answer, DeclareError> + Send>;
/// Opens an empty database.
pub type Open = Arc<dyn Fn() -> Result<Execute, crate::Error> + Send + Sync>;

/// A connection of a script; all connections of a script share one database.
#[derive(Clone)]
pub struct Connection {
    database: Arc<Mutex<Execute>>,
    dialect: Dialect,
}

impl Connection {
    /// The first connection to a database.
    pub fn new(database: Execute, dialect: Dialect) -> Connection {
        Connection { database: Arc::new(Mutex::new(database)), dialect }
    }

    /// Runs a statement.
    pub fn execute(&self, sql: &str) -> Result<DBOutput<DefaultColumnType>, DeclareError> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        match (database)(sql)? {
            Answer::Done(count) => Ok(DBOutput::StatementComplete(count)),
            Answer::Rows(schema, batches) => Ok(DBOutput::Rows {
                types: schema.fields().iter().map(|field| letter(field.data_type())).collect(),
                rows: batches.iter().flat_map(|batch| rows(batch, self.dialect)).collect(),
            }),
        }
    }
}

impl DB for Connection {
    type Error = DeclareError;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, DeclareError> {
        self.execute(sql)
    }

    fn engine_name(&self) -> &str {
        super::ENGINE
    }
}

fn letter(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        data_type if data_type.is_integer() => DefaultColumnType::Integer,
        data_type if data_type.is_numeric() => DefaultColumnType::FloatingPoint,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DefaultColumnType::Text,
        _ => DefaultColumnType::Any,
    }
}

fn rows(batch: &RecordBatch, dialect: Dialect) -> impl Iterator<Item = Vec<String>> + '_ {
    (0..batch.num_rows())
        .map(move |row| batch.columns().iter().map(|column| cell(column.as_ref(), row, dialect)).collect())
}

fn cell(array: &dyn Array, row: usize, dialect: Dialect) -> String {
    let text = match dialect {
        Dialect::Postgres => text::cell(array, row),
        Dialect::Datafusion => arrow_cell(array, row),
    };
    match text {
        None => "NULL".into(),
        Some(text) if text.is_empty() => "(empty)".into(),
        Some(text) => text,
    }
}

/// As DataFusion's own test files print cells: its text form, save that it quotes no text.
fn arrow_cell(array: &dyn Array, row: usize) -> Option<String> {
    match array.data_type() {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => text::cell(array, row),
        _ if array.is_null(row) => None,
        _ => {
            let options =
                FormatOptions::default().with_null("NULL").with_duration_format(DurationFormat::Pretty);
            let formatter = ArrayFormatter::try_new(array, &options).ok()?;
            Some(formatter.value(row).to_string())
        }
    }
}
