//! `Host`: what the API asks of the process it runs in. The API itself does not know the engine.
use crate::Catalogue;
use dataflows::{Position, Time};
use sources::Payload;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The process behind the API: the log it appends to, the queries it keeps. `harness` implements it, tests fake it.
pub trait Host: Send + Sync + 'static {
    /// Appends valid events to the log. `done` is called from another thread once they are durable, with the position of
    /// each event in order: `offset` is the event's own offset plus one, so "at least this position" includes the event.
    fn append(&self, events: Vec<Payload>, done: Box<dyn FnOnce(Result<Vec<Position>, AppendError>) + Send>);
    /// Declares tables and views from SQL statements while running; returns the names declared, in order. Blocks.
    fn declare(&self, sql: &str) -> Result<Vec<String>, DeclareError>;
    /// Drops a view. Blocks.
    fn drop_query(&self, name: &str) -> Result<(), DeclareError>;
    /// Every declared table and view, inlined ones too, by name.
    fn queries(&self) -> Vec<Query>;
    /// What is declared, in the order of declaration.
    fn catalogue(&self) -> Catalogue;
    /// Lets readers see the rows of a table, from now on. Blocks until they do.
    fn publish(&self, table: &str) -> Result<(), DeclareError>;
    /// Blocks until the first rows of tables and views can be read. Errors name one that cannot for long.
    fn live(&self, names: &[String]) -> Result<(), DeclareError>;
    /// Blocks until readers see all records below these positions.
    fn wait(&self, positions: &[Position]) -> Result<(), DeclareError>;
    /// Blocks until readers see all that was acknowledged.
    fn flush(&self) -> Result<(), DeclareError>;
    /// The stages of a declared view or of a SELECT that is not declared.
    fn explain(&self, view_or_sql: &str) -> Result<String, DeclareError>;
    /// Quarantined records with ids above `after`, oldest first.
    fn quarantine(&self, after: u64, limit: usize) -> Vec<Quarantined>;
    /// Metrics in the Prometheus text format, without those of the API itself.
    fn metrics(&self) -> String;
    /// Whether views answer for all that was in the log at the start; else what is still missing.
    fn ready(&self) -> Result<(), String>;
    /// Declares a sink while running. Blocks.
    fn create_sink(&self, _declared: &SinkDeclaration) -> Result<(), DeclareError> {
        Err(DeclareError::Unsupported("this process keeps no sinks".into()))
    }
    /// Ends a sink and forgets it; its store keeps what it has. Whether there was one. Blocks.
    fn drop_sink(&self, _name: &str) -> Result<bool, DeclareError> {
        Ok(false)
    }
    /// Every sink, by name.
    fn sinks(&self) -> Vec<SinkStatus> {
        vec![]
    }
    /// Compares stores (one, or all) with the views at the stores' times; mends them if asked to. Blocks.
    fn check_sinks(&self, _only: Option<&str>, _repair: bool) -> Result<Vec<SinkReport>, DeclareError> {
        Ok(vec![])
    }
}

/// A sink as it is declared.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkDeclaration {
    /// Its name.
    pub name: String,
    /// The views it keeps; none: all.
    pub views: Option<Vec<String>>,
    /// What its store is: `postgres`, `redis`, `kafka`.
    pub kind: String,
    /// Everything else. Values may be secrets.
    pub options: BTreeMap<String, String>,
}

impl std::fmt::Debug for SinkDeclaration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sink {:?} into {} with {:?}", self.name, self.kind, self.options.keys())
    }
}

/// Where a sink is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// What its store is.
    pub kind: String,
    /// The views it keeps; none: all.
    pub views: Option<Vec<String>>,
    /// `opening`, `restoring`, `running`, `retrying` or `stopped`.
    pub state: &'static str,
    /// The time that the store holds, as far as it is known.
    pub time: Option<Time>,
    /// How far that is behind what readers see.
    pub lag_ms: Option<u64>,
    /// Keys that changed and wait.
    pub waiting_keys: usize,
    /// Deliveries that the store keeps.
    pub deliveries: u64,
    /// Views sent whole.
    pub reloads: u64,
    /// Failures after which it was tried again.
    pub retries: u64,
    /// What went wrong last.
    pub error: Option<String>,
}

/// What a comparison of a view in a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkReport {
    /// The sink.
    pub sink: String,
    /// The view; empty where the store as a whole is meant.
    pub view: String,
    /// The time of the store's rows.
    pub time: Option<Time>,
    /// Rows the store has.
    pub rows: usize,
    /// Rows as JSON that are there more or less often than expected: expected, actual.
    pub differences: Vec<(String, i64, i64)>,
    /// Why it could not be compared.
    pub problem: Option<String>,
    /// Whether it was mended.
    pub repaired: bool,
}

/// A declared table or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: QueryKind,
    /// The statement as declared.
    pub sql: Arc<str>,
    /// When its first rows became readable; none while it is being built, or where there is nothing to read.
    pub since: Option<Time>,
}

/// What a declared name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// `CREATE EXTERNAL TABLE`.
    Table,
    /// `CREATE VIEW`: a name for a query, inlined where used.
    View,
    /// `CREATE MATERIALIZED VIEW`: maintained and readable.
    MaterializedView,
}

/// A record that no table could take, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Ascending, the same after a restart.
    pub id: u64,
    /// Where the record stands: its own offset.
    pub position: Position,
    /// The time of the tick that met it.
    pub time: Time,
    /// The rule that it breaks, a stable word such as `json`, `attribute`, `column`, `conflict`, `future`.
    pub rule: Arc<str>,
    /// What is wrong, in a sentence.
    pub reason: String,
    /// The CloudEvents `id`, where it could be read.
    pub event_id: Option<String>,
    /// The CloudEvents `source`, where it could be read.
    pub event_source: Option<String>,
    /// The original bytes (the body in binary mode).
    pub bytes: bytes::Bytes,
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The log cannot take events now (disk full, shutting down): answer 503.
    Unavailable(String),
    /// An event is larger than the log takes: answer 413.
    TooLarge(String),
}

/// Why a statement was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeclareError {
    /// The text is not SQL: what, and where (1-based), if known.
    Syntax {
        /// What is wrong.
        message: String,
        /// Line and column.
        at: Option<(u64, u64)>,
    },
    /// Valid SQL that cannot be maintained: names the clause and what to write instead.
    Unsupported(String),
    /// It names something that is not there, or columns or types do not fit.
    Invalid(String),
    /// Nothing of that name.
    NotFound(String),
    /// The name is taken, or others use the view: names them.
    Conflict(String),
    /// A row breaks a constraint of its table: a key that is taken, a NULL where none may be.
    Constraint(String),
    /// It could not be kept (disk full, shutting down): answer 503.
    Unavailable(String),
    /// It failed inside.
    Internal(String),
}

impl std::fmt::Display for DeclareError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DeclareError::Syntax { message, at: Some((line, column)) } => {
                write!(f, "line {line}, column {column}: {message}")
            }
            DeclareError::Syntax { message, at: None } => f.write_str(message),
            DeclareError::Unsupported(text)
            | DeclareError::Invalid(text)
            | DeclareError::NotFound(text)
            | DeclareError::Conflict(text)
            | DeclareError::Constraint(text)
            | DeclareError::Unavailable(text)
            | DeclareError::Internal(text) => f.write_str(text),
        }
    }
}
impl std::error::Error for DeclareError {}

impl std::fmt::Display for AppendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AppendError::Unavailable(text) | AppendError::TooLarge(text) => f.write_str(text),
        }
    }
}
impl std::error::Error for AppendError {}
