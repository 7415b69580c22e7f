//! `Session`: SQL statements in, rows or a tag out: what the HTTP API, the PostgreSQL wire and the library share.
//!
//! | file | what it is |
//! |---|---|
//! | `script` | a text cut into statements, and what each asks for |
//! | `read` | SELECT, by DataFusion over one consistent snapshot of tables and views |
//! | `watch` | the time of a running query, and the wish to end it |
//! | `write`, `change` | INSERT; UPDATE, DELETE and TRUNCATE: changes of rows that the log keeps |
//! | `filled` | CREATE TABLE AS |
//! | `forms` | what columns make of the values given to them: lengths, jsonb |
//! | `constraints`, `sequence` | CHECK and UNIQUE; columns that number their rows |
//! | `describe` | what a write takes and gives, before it is run |
//! | `words` | types as CREATE TABLE spells them |
//! | `rows` | the columns of a table's changes: casts, constraints, keys |
mod change;
mod constraints;
mod describe;
mod filled;
mod forms;
mod read;
mod rows;
mod script;
mod sequence;
mod watch;
mod words;
mod write;

use crate::Catalogue;
use crate::api::host::{DeclareError, Host, QueryKind, SinkStatus};
use crate::declare::contained;
use crate::declare::sink::SinkStatement;
use crate::lower::names::shown;
use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflows::Time;
use datafusion::common::ScalarValue;
use script::{Act, Piece};
use sinks::memory::Memory;
use std::sync::{Arc, Mutex};
use std::time::Duration;
pub use watch::Stop;

/// The view of `SUBSCRIBE [TO] view`, if that is what a text says.
pub fn subscribed(sql: &str) -> Option<String> {
    let words: Vec<&str> = sql.trim().trim_end_matches(';').split_whitespace().collect();
    let is = |i: usize, word: &str| words.get(i).is_some_and(|w: &&str| w.eq_ignore_ascii_case(word));
    let name = match words.len() {
        2 if is(0, "subscribe") => words[1],
        3 if is(0, "subscribe") && is(1, "to") => words[2],
        _ => return None,
    };
    Some(match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => name.to_lowercase(),
    })
}

/// What one statement gave.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Rows, all as they were at one time.
    Rows {
        /// Names and types of the columns; a name may stand there twice.
        schema: SchemaRef,
        /// The rows, in order where the query says one.
        rows: Vec<RecordBatch>,
        /// When they were so.
        time: Time,
    },
    /// PostgreSQL's command tag, such as `INSERT 0 3` or `CREATE TABLE`.
    Done {
        /// The tag.
        tag: String,
    },
}

/// What a statement takes and gives, before it is run.
#[derive(Clone, Debug)]
pub struct Description {
    /// The columns of its rows; none where it gives no rows.
    pub columns: Option<SchemaRef>,
    /// The types of `$1`, `$2` and so on, as far as they are known.
    pub parameters: Vec<Option<DataType>>,
    /// What those are that are texts here and have a type of their own in PostgreSQL: `uuid`, `jsonb`, `varchar:8` and so on.
    pub told: Vec<Option<String>>,
}

/// What one statement may use; what needs more is stopped, and others go on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of memory of a SELECT.
    pub memory_bytes: usize,
    /// How long a SELECT may run.
    pub time: Duration,
    /// Rows that it may answer with.
    pub rows: usize,
    /// Bytes of a text of statements.
    pub text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: 1 << 30,
            time: Duration::from_secs(60),
            rows: 10_000_000,
            text_bytes: 16 << 20,
        }
    }
}

/// Runs statements. Clones share one process; each statement is atomic by itself.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    host: Arc<dyn Host>,
    memory: Arc<Memory>,
    limits: Limits,
    /// Writes come one after the other: each sees what the one before did.
    writer: Arc<Mutex<write::Writer>>,
    stop: Stop,
}

impl Session {
    /// A session of a process whose views and tables `memory` shows.
    pub fn new(host: Arc<dyn Host>, memory: Arc<Memory>, limits: Limits) -> Session {
        let writer = Arc::new(Mutex::new(write::Writer::new(memory.generation())));
        Session(Arc::new(Inner { host, memory, limits, writer, stop: Stop::default() }))
    }

    /// The same, whose statements end when `stop` says so, or after a time.
    pub fn stopped_by(&self, stop: &Stop, time: Option<Duration>) -> Session {
        let Inner { host, memory, limits, writer, .. } = &*self.0;
        let limits = Limits { time: time.unwrap_or(limits.time).min(limits.time), ..*limits };
        let (host, memory, writer) = (host.clone(), memory.clone(), writer.clone());
        Session(Arc::new(Inner { host, memory, limits, writer, stop: stop.clone() }))
    }

    /// The process behind it.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.0.host
    }

    /// What its readers see.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.0.memory
    }

    /// Runs each statement of a text, in order. The first error ends it; what was done before it stays done. Blocks.
    pub fn execute(&self, sql: &str) -> Result<Vec<Answer>, DeclareError> {
        self.execute_with(sql, &[])
    }

    /// The same, with values for `$1`, `$2` and so on.
    pub fn execute_with(&self, sql: &str, parameters: &[ScalarValue]) -> Result<Vec<Answer>, DeclareError> {
        contained(|| self.pieces(sql)?.into_iter().map(|piece| self.run(piece, parameters)).collect())
    }

    /// What the only statement of a text takes and gives.
    pub fn describe(&self, sql: &str) -> Result<Description, DeclareError> {
        contained(|| self.described(sql))
    }

    /// Waits until the changes of a view can be read.
    pub fn subscribable(&self, name: &str) -> Result<(), DeclareError> {
        let catalogue = self.0.host.catalogue();
        match catalogue.get(name).map(crate::Declared::kind) {
            None => Err(DeclareError::NotFound(format!("there is no view {name:?}"))),
            Some(QueryKind::View) => Err(DeclareError::Invalid(format!(
                "the rows of {name:?} are not kept, so its changes are not known: CREATE MATERIALIZED VIEW"
            ))),
            Some(_) => self.0.make_readable(&catalogue, &[name.to_owned()]),
        }
    }

    fn described(&self, sql: &str) -> Result<Description, DeclareError> {
        let nothing = Description { columns: None, parameters: vec![], told: vec![] };
        match self.pieces(sql)?.pop().map(|piece| piece.act) {
            Some(Act::Select(query, _)) => self.0.describe(*query),
            Some(Act::Explain(_)) => Ok(Description { columns: Some(text_schema("QUERY PLAN")), ..nothing }),
            Some(Act::Show(what)) => Ok(Description { columns: Some(self.shown(&what)?.0), ..nothing }),
            Some(Act::Insert(insert)) => self.0.describe_insert(&insert),
            Some(Act::Update(update)) => self.0.describe_update(&update),
            Some(Act::Delete(delete)) => self.0.describe_delete(&delete),
            _ => Ok(nothing),
        }
    }

    /// What is declared now.
    pub fn catalogue(&self) -> Catalogue {
        self.0.host.catalogue()
    }

    fn pieces(&self, sql: &str) -> Result<Vec<Piece>, DeclareError> {
        if sql.len() > self.0.limits.text_bytes {
            return Err(DeclareError::Invalid(format!(
                "the text has {} bytes, more than the {} that are read",
                sql.len(),
                self.0.limits.text_bytes
            )));
        }
        script::pieces(sql)
    }

    fn run(&self, piece: Piece, parameters: &[ScalarValue]) -> Result<Answer, DeclareError> {
        let done = |tag: &str| Ok(Answer::Done { tag: tag.to_owned() });
        let inner = &self.0;
        match piece.act {
            Act::Select(query, at) => inner.select(*query, at, parameters),
            Act::Insert(insert) => inner.insert(&insert, parameters),
            Act::Update(update) => inner.update(&update, parameters),
            Act::Delete(delete) => inner.delete(&delete, parameters),
            Act::Truncate(table) => inner.truncate(&table),
            Act::CreateTableAs(create, query) => inner.create_table_as(&create, *query, parameters),
            Act::Declare { name, tag, if_not_exists } => {
                let is_there = |name: &str| inner.host.catalogue().get(name).is_some();
                if !(if_not_exists && is_there(&name)) {
                    inner.host.declare(&piece.sql)?;
                }
                done(&tag)
            }
            Act::Replace { name, sql } => {
                // The new one is looked at before the old one goes.
                let mut catalogue = inner.host.catalogue();
                if catalogue.get(&name).is_some() {
                    catalogue.drop(&name)?;
                    catalogue.declare(&sql)?;
                    let sequences = inner.sequences(&name)?;
                    inner.drop_named(&name, QueryKind::Table, false)?;
                    for sequence in sequences {
                        inner.host.drop_query(&sequence)?;
                    }
                }
                inner.host.declare(&sql)?;
                done("CREATE TABLE")
            }
            Act::Drop { names, kind, if_exists, cascade, tag } => {
                for name in names {
                    if cascade && inner.host.catalogue().get(&name).map(crate::Declared::kind) == Some(kind) {
                        for user in inner.host.catalogue().dependents(&name) {
                            inner.host.drop_query(&user)?;
                        }
                    }
                    let sequences = inner.sequences(&name)?;
                    inner.drop_named(&name, kind, if_exists)?;
                    for sequence in sequences {
                        inner.host.drop_query(&sequence)?;
                    }
                }
                done(&tag)
            }
            Act::Sink(SinkStatement::Create { declared, if_not_exists }) => {
                let is_there = || inner.host.sinks().iter().any(|sink| sink.name == declared.name);
                if !(if_not_exists && is_there()) {
                    inner.host.create_sink(&declared)?;
                }
                done("CREATE SINK")
            }
            Act::Sink(SinkStatement::Drop { name, if_exists }) => {
                if !inner.host.drop_sink(&name)? && !if_exists {
                    return Err(DeclareError::NotFound(format!("there is no sink {name:?}")));
                }
                done("DROP SINK")
            }
            Act::Flush => {
                inner.flush()?;
                done("FLUSH")
            }
            Act::Explain(what) => {
                let text = inner.host.explain(&what)?;
                Ok(inner.text("QUERY PLAN", text.lines().map(str::to_owned).collect()))
            }
            Act::Show(what) => {
                let (schema, columns) = self.shown(&what)?;
                let columns: Vec<arrow::array::ArrayRef> = columns
                    .into_iter()
                    .map(|column| Arc::new(StringArray::from(column)) as arrow::array::ArrayRef)
                    .collect();
                let rows = RecordBatch::try_new(schema.clone(), columns).map_err(internal)?;
                Ok(Answer::Rows { schema, rows: vec![rows], time: inner.time() })
            }
            Act::Commented(name) => match inner.host.catalogue().get(&name) {
                Some(_) => done("COMMENT"),
                None => Err(DeclareError::NotFound(format!("there is no table or view {name:?}"))),
            },
            Act::Ignored(tag) => done(&tag),
        }
    }

    /// SHOW TABLES, SHOW VIEWS, SHOW COLUMNS FROM name.
    fn shown(&self, what: &script::Shown) -> Result<(SchemaRef, Vec<Vec<String>>), DeclareError> {
        let queries = self.0.host.queries();
        let named = |wanted: &dyn Fn(QueryKind) -> bool| {
            queries.iter().filter(|query| wanted(query.kind)).map(|query| query.name.to_string()).collect()
        };
        match what {
            script::Shown::Tables => Ok((text_schema("name"), vec![named(&|kind| kind == QueryKind::Table)])),
            script::Shown::Views => Ok((text_schema("name"), vec![named(&|kind| kind != QueryKind::Table)])),
            script::Shown::Sinks => {
                let fields = ["name", "kind", "views", "state", "time", "lag_ms", "error"];
                let fields = fields.map(|name| Field::new(name, DataType::Utf8, false)).to_vec();
                let sinks = self.0.host.sinks();
                let of = |text: &dyn Fn(&SinkStatus) -> String| sinks.iter().map(text).collect();
                let number = |number: Option<u64>| number.map_or(String::new(), |number| number.to_string());
                let columns = vec![
                    of(&|sink| sink.name.clone()),
                    of(&|sink| sink.kind.clone()),
                    of(&|sink| sink.views.as_ref().map_or("ALL".into(), |views| views.join(", "))),
                    of(&|sink| sink.state.to_owned()),
                    of(&|sink| number(sink.time)),
                    of(&|sink| number(sink.lag_ms)),
                    of(&|sink| sink.error.clone().unwrap_or_default()),
                ];
                Ok((Arc::new(Schema::new(fields)), columns))
            }
            script::Shown::Columns(name) => {
                let schema = self.0.host.catalogue().schema(name)?;
                let fields = ["column_name", "data_type", "is_nullable"];
                let fields = fields.map(|name| Field::new(name, DataType::Utf8, false)).to_vec();
                let of = |text: &dyn Fn(&Field) -> String| schema.fields().iter().map(|f| text(f)).collect();
                let columns = vec![
                    of(&|field| shown(field.name()).to_owned()),
                    of(&|field| field.data_type().to_string()),
                    of(&|field| if field.is_nullable() { "YES" } else { "NO" }.to_owned()),
                ];
                Ok((Arc::new(Schema::new(fields)), columns))
            }
        }
    }
}

impl Inner {
    fn time(&self) -> Time {
        self.memory.read().time().unwrap_or(0)
    }

    fn text(&self, name: &str, lines: Vec<String>) -> Answer {
        let schema = text_schema(name);
        let rows = RecordBatch::try_new(schema.clone(), vec![Arc::new(StringArray::from(lines))])
            .expect("one text column");
        Answer::Rows { schema, rows: vec![rows], time: self.time() }
    }

    fn drop_named(&self, name: &str, kind: QueryKind, if_exists: bool) -> Result<(), DeclareError> {
        let known = self.host.catalogue().get(name).map(crate::Declared::kind);
        let word = |kind| match kind {
            QueryKind::Table => "table",
            QueryKind::View => "view",
            QueryKind::MaterializedView => "materialized view",
        };
        match known {
            None if if_exists => Ok(()),
            None => Err(DeclareError::NotFound(format!(
                "cannot drop {name:?}: there is no {} of that name",
                word(kind)
            ))),
            Some(known) if known != kind => Err(DeclareError::Invalid(format!(
                "{name:?} is a {}: write DROP {}",
                word(known),
                word(known).to_uppercase()
            ))),
            Some(_) => self.host.drop_query(name),
        }
    }
}

fn text_schema(name: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, false)]))
}

fn internal(why: impl std::fmt::Display) -> DeclareError {
    DeclareError::Internal(why.to_string())
}
