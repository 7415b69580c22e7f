//! `SUBSCRIBE`: a view's rows and then its changes, as rows that do not end.
//!
//! `SUBSCRIBE [TO] view [WITH (SNAPSHOT = false, PROGRESS)] [AS OF time]`, alone, within `COPY (..) TO STDOUT`, or by a cursor. The
//! first columns are `mz_timestamp`, `mz_progressed` where PROGRESS is asked for, and `mz_diff`, as in Materialize.
use super::command::Command;
use super::fault::{self, fault};
use crate::DeclareError;
use crate::session::Session;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflows::Time;
use datafusion::sql::sqlparser::tokenizer::Token;
use datafusion_postgres::pgwire::error::PgWireResult;
use sinks::memory::history::{Change, Place};
use sinks::memory::kept::Kept;
use sinks::memory::page::Entry;
use sinks::memory::{Memory, Reached};
use std::sync::Arc;
use tokio::sync::watch;

/// Rows of a batch, about.
const ROWS: usize = 1_024;
/// Commits taken from a history at a time.
const COMMITS: usize = 64;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) view: String,
    snapshot: bool,
    progress: bool,
    as_of: Option<Time>,
}

impl Subscription {
    /// Of the tokens from a place on, up to another.
    pub(super) fn parse(command: &Command, from: usize, to: usize) -> PgWireResult<Subscription> {
        let wrong = || {
            fault(
                "42601",
                "write SUBSCRIBE view [WITH (SNAPSHOT = false, PROGRESS)] [AS OF milliseconds]".into(),
            )
        };
        let token = |at: usize| (at < to).then(|| command.tokens.get(at).map(|(token, _)| token)).flatten();
        let word = |at: usize| if at < to { command.word(at).unwrap_or_default() } else { String::new() };
        let mut at = from + 1;
        if word(at) == "TO" && matches!(token(at + 1), Some(Token::Word(_) | Token::LParen)) {
            at += 1;
        }
        if token(at) == Some(&Token::LParen) {
            return Err(fault(
                "0A000",
                "SUBSCRIBE takes the name of a view: CREATE MATERIALIZED VIEW of the query, and SUBSCRIBE to it".into(),
            ));
        }
        if word(at) == "PUBLIC" && token(at + 1) == Some(&Token::Period) {
            at += 2;
        }
        let view = match token(at) {
            Some(Token::Word(word)) if word.quote_style.is_some() => word.value.clone(),
            Some(Token::Word(word)) => word.value.to_lowercase(),
            _ => return Err(wrong()),
        };
        let mut found = Subscription { view, snapshot: true, progress: false, as_of: None };
        at += 1;
        if word(at) == "WITH" {
            let end = (at..to).find(|at| token(*at) == Some(&Token::RParen)).ok_or_else(wrong)?;
            let mut next = at + 2;
            while next < end {
                let name = word(next);
                let has_value = token(next + 1) == Some(&Token::Eq);
                let value = match (has_value, word(next + 2).as_str()) {
                    (false, _) | (true, "TRUE" | "ON") => true,
                    (true, "FALSE" | "OFF") => false,
                    _ => return Err(wrong()),
                };
                match name.as_str() {
                    "SNAPSHOT" => found.snapshot = value,
                    "PROGRESS" => found.progress = value,
                    _ => return Err(wrong()),
                }
                next += if has_value { 3 } else { 1 };
                match token(next) {
                    Some(Token::Comma) => next += 1,
                    _ if next == end => {}
                    _ => return Err(wrong()),
                }
            }
            at = end + 1;
        }
        if word(at) == "AS" && word(at + 1) == "OF" {
            let time = match token(at + 2) {
                Some(Token::Number(text, _) | Token::SingleQuotedString(text)) => text.parse().ok(),
                _ => None,
            };
            found.as_of = Some(time.ok_or_else(wrong)?);
            at += 3;
        }
        if at < to { Err(wrong()) } else { Ok(found) }
    }
}

/// A view whose changes are being sent.
pub(super) struct Changes {
    memory: Arc<Memory>,
    reached: watch::Receiver<Arc<Reached>>,
    kept: Kept,
    place: Place,
    schema: SchemaRef,
    progress: bool,
    /// The rows it begins with, still to be sent.
    first: Vec<RecordBatch>,
}

impl Changes {
    /// Begins. Blocks until the view can be read.
    pub(super) fn begin(session: &Session, wanted: &Subscription) -> Result<Changes, DeclareError> {
        session.subscribable(&wanted.view)?;
        // Before the first read, so that no tick falls between them.
        let reached = session.memory().watch();
        let read = session.memory().read();
        let gone = || DeclareError::NotFound(format!("there is no view {:?}", wanted.view));
        let kept = read.view(&wanted.view).ok_or_else(gone)?.clone();
        let now = read.time().unwrap_or(0);
        let time = wanted.as_of.unwrap_or(now);
        let then = match wanted.as_of {
            None => kept.clone(),
            Some(at) => kept.at(at, now).ok_or_else(|| {
                let from = kept.known_from();
                DeclareError::Invalid(format!(
                    "{:?} at {at} is not known: name a time from {from} to {now}",
                    wanted.view
                ))
            })?,
        };
        let mut changes = Changes {
            memory: session.memory().clone(),
            reached,
            schema: schema(&kept, wanted.progress),
            place: kept.end_of(time),
            kept,
            progress: wanted.progress,
            first: vec![],
        };
        if wanted.snapshot {
            let mut rows = Rows::default();
            let mut first = vec![];
            for entry in then.rows().iter() {
                rows.push(time, &entry);
                if rows.diffs.len() >= ROWS {
                    first.push(changes.batch(std::mem::take(&mut rows))?);
                }
            }
            first.push(changes.batch(rows)?);
            changes.first = first;
        }
        if wanted.progress {
            let passed = changes.passed(time)?;
            changes.first.push(passed);
        }
        Ok(changes)
    }

    /// The columns, before it begins.
    pub(super) fn describe(session: &Session, wanted: &Subscription) -> Result<SchemaRef, DeclareError> {
        let wanted = Subscription { snapshot: false, ..wanted.clone() };
        Changes::begin(session, &wanted).map(|changes| changes.schema)
    }

    /// Its columns.
    pub(super) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The next rows; none may be among them. Waits until there is something to say. Nothing is lost where the wait is given up.
    pub(super) async fn next(&mut self) -> PgWireResult<Vec<RecordBatch>> {
        loop {
            if !self.first.is_empty() {
                return Ok(std::mem::take(&mut self.first));
            }
            let found = self.ready()?;
            if !found.is_empty() {
                return Ok(found);
            }
            if self.reached.changed().await.is_err() {
                return Err(fault("57P01", "the service shuts down".into()));
            }
        }
    }

    /// What is there already.
    fn ready(&mut self) -> PgWireResult<Vec<RecordBatch>> {
        self.reached.borrow_and_update();
        let read = self.memory.read();
        let name = self.kept.shape().view().name.clone();
        match read.view(&name).filter(|now| now.incarnation() == self.kept.incarnation()) {
            Some(now) => self.kept = now.clone(),
            None => return Err(fault("42P01", format!("{name:?} was dropped or replaced: subscribe again"))),
        }
        if let Some((message, _)) = self.kept.errs().next() {
            return Err(fault("22000", format!("{name:?} has rows that cannot be computed: {message}")));
        }
        let time = read.time().unwrap_or(self.place.time);
        let mut found = vec![];
        while self.kept.changed() >= self.place.time {
            let lagged =
                || fault("57P05", "changes were forgotten before they were read: subscribe again".into());
            let commits = self.kept.changes_after(self.place, time, COMMITS).ok_or_else(lagged)?;
            if commits.is_empty() {
                break;
            }
            for commit in commits {
                let mut rows = Rows::default();
                for change in commit.changes() {
                    match change {
                        Change::Insert(entry) | Change::Delete(entry) => rows.push(commit.time, &entry),
                        Change::Update { old, new } => {
                            rows.push(commit.time, &old);
                            rows.push(commit.time, &new);
                        }
                    }
                }
                found.push(self.batch(rows).map_err(fault::of)?);
                self.place = commit.end();
            }
            if found.len() >= COMMITS {
                return Ok(found);
            }
        }
        let passed = time > self.place.time;
        self.place = self.kept.end_of(time).max(self.place);
        if self.progress && passed {
            found.push(self.passed(time).map_err(fault::of)?);
        }
        Ok(found)
    }

    fn batch(&self, rows: Rows) -> Result<RecordBatch, DeclareError> {
        let count = rows.diffs.len();
        let parts: Vec<&[u8]> = rows.rows.iter().map(AsRef::as_ref).collect();
        let columns = self.kept.shape().batch(&parts).columns().to_vec();
        let progressed = self.progress.then(|| Arc::new(BooleanArray::from(vec![false; count])) as ArrayRef);
        self.made(
            [Arc::new(Int64Array::from(rows.times)) as ArrayRef]
                .into_iter()
                .chain(progressed)
                .chain([Arc::new(Int64Array::from(rows.diffs)) as ArrayRef])
                .chain(columns)
                .collect(),
        )
    }

    /// The row that says that nothing of a time and before it is to come.
    fn passed(&self, time: Time) -> Result<RecordBatch, DeclareError> {
        let next = Int64Array::from(vec![time as i64 + 1]);
        let nulls = self.schema.fields().iter().skip(2).map(|field| new_null_array(field.data_type(), 1));
        let head = [Arc::new(next) as ArrayRef, Arc::new(BooleanArray::from(vec![true]))];
        self.made(head.into_iter().chain(nulls).collect())
    }

    fn made(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch, DeclareError> {
        RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|why| DeclareError::Internal(why.to_string()))
    }
}

#[derive(Default)]
struct Rows {
    times: Vec<i64>,
    diffs: Vec<i64>,
    rows: Vec<Box<[u8]>>,
}

impl Rows {
    fn push(&mut self, time: Time, entry: &Entry<'_>) {
        self.times.push(time as i64);
        self.diffs.push(entry.count);
        self.rows.push(entry.row.into());
    }
}

fn schema(kept: &Kept, progress: bool) -> SchemaRef {
    let field = |name: &str, datatype| Field::new(name, datatype, true);
    let head = [field("mz_timestamp", DataType::Int64)];
    let progressed = progress.then(|| field("mz_progressed", DataType::Boolean));
    let rest = kept.shape().view().schema.fields().iter();
    let rest = rest.map(|field| {
        let name = crate::lower::names::shown(field.name()).to_owned();
        field.as_ref().clone().with_name(name).with_nullable(true)
    });
    let fields = head.into_iter().chain(progressed).chain([field("mz_diff", DataType::Int64)]).chain(rest);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
