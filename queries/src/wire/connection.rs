//! `Connection`: what one client has set, prepared and begun, and its statements, each led to who answers it.
use super::catalog;
use super::command::{self, Command, Kind};
use super::copy::{Copy, Lines};
use super::cursor::{self, Cursor, Fetch};
use super::fault::{self, fault};
use super::settings::Settings;
use super::subscribe::{Changes, Subscription};
use super::system::{Asker, Question, System};
use super::{oid, parameter, rows};
use crate::DeclareError;
use crate::session::{Answer, Session, Stop};
use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::api::results::{Response, Tag};
use datafusion_postgres::pgwire::error::PgWireResult;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// One client's.
pub(super) struct Connection {
    session: Session,
    system: Arc<System>,
    state: Mutex<State>,
    /// A statement that was cancelled still ends by itself; the next waits for it, so that a client has one thread at most.
    turn: Arc<Semaphore>,
}

#[derive(Default)]
pub(super) struct State {
    settings: Settings,
    /// The name that the client gave.
    user: String,
    /// What the open transaction has written, and cannot take back.
    pub(super) writes: u64,
    /// The savepoints of the open transaction, and what had been written then.
    pub(super) savepoints: Vec<(String, u64)>,
    pub(super) cursors: HashMap<String, Arc<tokio::sync::Mutex<Cursor>>>,
}

/// A statement that was parsed, and described as far as it can be.
pub(super) struct Prepared {
    pub(super) command: Command,
    /// The types of its parameters.
    pub(super) types: Vec<Type>,
    /// The columns of its rows; none where it gives none.
    pub(super) columns: Option<SchemaRef>,
    /// Where it asks about the system.
    pub(super) question: Option<Question>,
}

/// What a statement gave.
pub(super) enum Reply {
    Rows {
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        tag: String,
    },
    Done(String),
    Begun,
    /// Back at a savepoint: the transaction goes on.
    Resumed,
    Ended(&'static str),
    /// A setting changed: the name and the value that the client is told.
    Set(Option<(String, String)>),
    /// A view's changes, as rows or as lines.
    Changes(Box<Changes>, Option<Lines>),
    Copy {
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        lines: Lines,
    },
}

impl Connection {
    /// A new client's.
    pub(super) fn new(session: Session, system: Arc<System>) -> Connection {
        Connection { session, system, state: Mutex::default(), turn: Arc::new(Semaphore::new(1)) }
    }

    /// Takes over the settings that the client starts with.
    pub(super) fn start<'a>(&self, settings: impl Iterator<Item = (&'a String, &'a String)>) {
        let mut state = self.state();
        for (name, value) in settings {
            if name == "user" {
                state.user.clone_from(value);
            }
            state.settings.start(name, value);
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a client should know before a statement runs: a write is kept, whatever becomes of the transaction.
    pub(super) fn warning(&self, kind: Kind, status: TransactionStatus) -> Option<&'static str> {
        let first =
            kind == Kind::Write && status == TransactionStatus::Transaction && self.state().writes == 0;
        first.then_some("this statement is kept at once: a ROLLBACK cannot take it back")
    }

    /// Runs a statement that was not prepared.
    pub(super) async fn run(&self, command: Command, status: TransactionStatus) -> PgWireResult<Reply> {
        admitted(command.kind(), status)?;
        if command.parameters()? > 0 {
            return Err(fault(
                "42P02",
                "there is no parameter $1: a statement with parameters must be prepared".into(),
            ));
        }
        let question = match self.asks_system(&command) {
            true => Some(self.question(&command).await?),
            false => None,
        };
        let prepared = Prepared { command, types: vec![], columns: None, question };
        self.answer(&prepared, vec![], status).await
    }

    /// Parses and describes a statement.
    pub(super) async fn prepare(
        &self,
        sql: &str,
        said: &[Option<Type>],
        status: TransactionStatus,
    ) -> PgWireResult<Option<Prepared>> {
        let Some(command) = command::single(sql)? else { return Ok(None) };
        let kind = command.kind();
        admitted(kind, status)?;
        let text = |name: &str| Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, true)]));
        let (expected, columns, question) = match kind {
            Kind::Show => (vec![], Some(text(&self.state().settings.show(&command)?.0)), None),
            Kind::Read | Kind::Write => self.expected(&command).await?,
            Kind::Subscribe => {
                let wanted = Subscription::parse(&command, 0, command.tokens.len())?;
                let columns = self.blocking(move |session| Changes::describe(session, &wanted)).await?;
                (vec![], Some(columns), None)
            }
            Kind::Declare => {
                let query = command.part(cursor::declared(&command)?.2, command.tokens.len());
                let types = match query.kind() {
                    Kind::Subscribe => vec![],
                    _ => self.expected(&query).await?.0,
                };
                (types, None, None)
            }
            Kind::Fetch => {
                let cursor = self.cursor(&Fetch::parse(&command)?.cursor)?;
                let columns = cursor.lock().await.schema.clone();
                (vec![], Some(columns), None)
            }
            _ => (vec![], None, None),
        };
        let types = parameter::types(&command, said, &expected)?;
        Ok(Some(Prepared { command, types, columns, question }))
    }

    /// The types of a statement's parameters, its columns, and its plan where it asks about the system.
    async fn expected(
        &self,
        command: &Command,
    ) -> PgWireResult<(Vec<Option<Type>>, Option<SchemaRef>, Option<Question>)> {
        if self.asks_system(command) {
            let question = self.question(command).await?;
            return Ok((question.parameters(), Some(question.schema()), Some(question)));
        }
        let sql = command.sql.clone();
        let found = self.blocking(move |session| session.describe(&sql)).await?;
        let types = found.parameters.iter();
        let told = found.told.iter().map(Option::as_deref).chain(std::iter::repeat(None));
        let types = types.zip(told).map(|(datatype, told)| {
            let datatype = datatype.as_ref().filter(|d| **d != DataType::Null);
            told.and_then(oid::told).map(|(kind, _)| kind).or_else(|| datatype.and_then(|d| oid::of(d).ok()))
        });
        Ok((types.collect(), found.columns, None))
    }

    /// Runs a statement with the parameters that were bound.
    pub(super) async fn execute(
        &self,
        portal: &Portal<Arc<Prepared>>,
        status: TransactionStatus,
    ) -> PgWireResult<Reply> {
        let prepared = &portal.statement.statement;
        admitted(prepared.command.kind(), status)?;
        let bound = portal.parameters.iter().zip(&prepared.types).enumerate();
        let values = bound
            .map(|(i, (bytes, datatype))| {
                parameter::value(bytes.as_deref(), portal.parameter_format.is_binary(i), datatype)
            })
            .collect::<PgWireResult<Vec<ScalarValue>>>()?;
        let reply = self.answer(prepared, values, status).await?;
        match (reply, &prepared.columns) {
            (Reply::Rows { schema, batches, tag }, Some(described)) => {
                let (schema, batches) = rows::as_described(described, schema, batches)?;
                Ok(Reply::Rows { schema, batches, tag })
            }
            (Reply::Rows { tag, .. }, None) if prepared.columns.is_none() => Err(fault(
                "0A000",
                format!("{tag} gave rows that were not described: send the statement without preparing it"),
            )),
            (reply, _) => Ok(reply),
        }
    }

    fn asks_system(&self, command: &Command) -> bool {
        command.kind() == Kind::Read
            && command.asks_system(&|name| self.session.catalogue().get(name).is_some())
    }

    /// A question about the system, bound.
    async fn question(&self, command: &Command) -> PgWireResult<Question> {
        let (system, sql) = (self.system.clone(), command.sql.clone());
        self.apart(move || system.question(&sql)).await
    }

    /// Its answer.
    async fn told(
        &self,
        question: Question,
        values: Vec<ScalarValue>,
    ) -> PgWireResult<(SchemaRef, Vec<RecordBatch>)> {
        let (user, values_set) = {
            let state = self.state();
            (state.user.clone(), state.settings.values())
        };
        self.apart(move || {
            let setting = |name: &str| values_set.get(name).cloned();
            question.rows(&Asker { user: &user, setting: &setting }, &values)
        })
        .await
    }

    /// Work that computes, on a thread of its own.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> PgWireResult<T> + Send + 'static,
    ) -> PgWireResult<T> {
        let failed = || fault("XX000", "the question failed inside; the connection goes on".into());
        let contained =
            move || crate::declare::contained(|| Ok(work())).unwrap_or_else(|why| Err(fault::of(why)));
        self.within(async move { tokio::task::spawn_blocking(contained).await.map_err(|_| failed())? }).await
    }

    async fn answer(
        &self,
        prepared: &Prepared,
        values: Vec<ScalarValue>,
        status: TransactionStatus,
    ) -> PgWireResult<Reply> {
        let command = &prepared.command;
        let kind = command.kind();
        match kind {
            Kind::Begin => {
                if status == TransactionStatus::Idle {
                    self.state().writes = 0;
                }
                Ok(Reply::Begun)
            }
            Kind::Commit if status != TransactionStatus::Error => {
                self.state().end_transaction();
                Ok(Reply::Ended("COMMIT"))
            }
            Kind::Commit | Kind::Rollback => {
                self.state().end_transaction();
                self.taken_back(status)
            }
            Kind::Savepoint | Kind::Release | Kind::RollbackTo => self.savepoint(command, kind, status),
            Kind::Subscribe => {
                let changes = self.changes(command, 0, command.tokens.len()).await?;
                Ok(Reply::Changes(Box::new(changes), None))
            }
            Kind::Copy => {
                let copy = Copy::parse(command)?;
                let query = command.part(copy.from, copy.to);
                let query = if copy.is_name { command::of_table(&query)? } else { query };
                if query.kind() == Kind::Subscribe {
                    let changes = self.changes(&query, 0, query.tokens.len()).await?;
                    return Ok(Reply::Changes(Box::new(changes), Some(copy.lines)));
                }
                let (schema, batches) = self.rows(&query, values).await?;
                Ok(Reply::Copy { schema, batches, lines: copy.lines })
            }
            Kind::Declare => self.declare(command, values).await,
            Kind::Fetch => self.fetch(command).await,
            Kind::Close => self.close(command),
            Kind::Set => Ok(Reply::Set(self.state().settings.assign(command)?)),
            Kind::Reset => {
                self.state().settings.reset(command);
                Ok(Reply::Done("RESET".into()))
            }
            Kind::Show => {
                let (name, value) = self.state().settings.show(command)?;
                Ok(one_text(&name, value))
            }
            Kind::Forget(tag) => Ok(Reply::Done(tag.into())),
            Kind::Absent(instead) => Err(fault("0A000", instead.into())),
            Kind::Write | Kind::Read => match &prepared.question {
                Some(question) => {
                    let (schema, batches) = self.told(question.clone(), values).await?;
                    Ok(Reply::Rows { schema, batches, tag: "SELECT".into() })
                }
                None => self.ask_session(command, values, kind == Kind::Write).await,
            },
        }
    }

    pub(super) async fn changes(&self, command: &Command, from: usize, to: usize) -> PgWireResult<Changes> {
        let wanted = Subscription::parse(command, from, to)?;
        self.blocking(move |session| Changes::begin(session, &wanted)).await
    }

    /// The rows of a query within another statement.
    pub(super) async fn rows(
        &self,
        query: &Command,
        values: Vec<ScalarValue>,
    ) -> PgWireResult<(SchemaRef, Vec<RecordBatch>)> {
        if query.kind() != Kind::Read {
            return Err(fault("42601", format!("a query is expected in place of {}", query.sql)));
        }
        if self.asks_system(query) {
            return self.told(self.question(query).await?, values).await;
        }
        match self.ask_session(query, values, false).await? {
            Reply::Rows { schema, batches, .. } => Ok((schema, batches)),
            _ => Err(fault("42601", format!("{} gives no rows", query.sql))),
        }
    }

    async fn ask_session(
        &self,
        command: &Command,
        values: Vec<ScalarValue>,
        writes: bool,
    ) -> PgWireResult<Reply> {
        // A statement that is cancelled may still be kept, so it counts until it has failed.
        self.state().writes += u64::from(writes);
        let sql = command.sql.clone();
        let answered = self.blocking(move |session| session.execute_with(&sql, &values)).await;
        let answers = answered.inspect_err(|why| {
            if !fault::is_cancelled(why) {
                self.state().writes -= u64::from(writes);
            }
        })?;
        match answers.into_iter().next_back() {
            Some(Answer::Rows { schema, rows, .. }) => {
                let tag = match command.word(0).as_deref() {
                    Some("INSERT") => "INSERT 0",
                    Some("UPDATE") => "UPDATE",
                    Some("DELETE") => "DELETE",
                    _ => "SELECT",
                };
                Ok(Reply::Rows { schema, batches: rows, tag: tag.into() })
            }
            Some(Answer::Done { tag }) => Ok(Reply::Done(tag)),
            None => Ok(Reply::Done(String::new())),
        }
    }

    /// Asks the session on a thread of its own.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session) -> Result<T, DeclareError> + Send + 'static,
    ) -> PgWireResult<T> {
        let turn = self.turn.clone();
        // Dropped with the wait for the answer, however that ends: then the work ends too.
        let wish = Wish(Stop::default());
        let session = self.session.stopped_by(&wish.0, self.state().settings.statement_timeout);
        self.within(async move {
            let _wish = wish;
            let turn = turn.acquire_owned().await.expect("the semaphore is never closed");
            let done = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                work(&session)
            });
            match done.await {
                Ok(done) => done.map_err(fault::of),
                Err(_) => Err(fault("XX000", "the statement failed inside; the connection goes on".into())),
            }
        })
        .await
    }

    /// Stops waiting when the client's time limit has passed.
    pub(super) async fn within<T>(&self, work: impl Future<Output = PgWireResult<T>>) -> PgWireResult<T> {
        let limit = self.state().settings.statement_timeout;
        match limit {
            None => work.await,
            Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
                Err(fault("57014", "canceling statement due to statement timeout".into()))
            }),
        }
    }
}

struct Wish(Stop);

impl Drop for Wish {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Whether a statement may run now: in a transaction that failed, only its end may.
fn admitted(kind: Kind, status: TransactionStatus) -> PgWireResult<()> {
    match (status, kind) {
        (TransactionStatus::Error, Kind::Commit | Kind::Rollback | Kind::RollbackTo) => Ok(()),
        (TransactionStatus::Error, _) => Err(fault(
            "25P02",
            "current transaction is aborted, commands ignored until end of transaction block".into(),
        )),
        _ => Ok(()),
    }
}

fn one_text(name: &str, value: String) -> Reply {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, true)]));
    let column = Arc::new(StringArray::from(vec![value]));
    let batch = RecordBatch::try_new(schema.clone(), vec![column]).expect("one text in one text column");
    Reply::Rows { schema, batches: vec![batch], tag: "SHOW".into() }
}

impl Prepared {
    /// What the statement is.
    pub(super) fn kind(&self) -> Kind {
        self.command.kind()
    }

    /// Its columns, or none.
    pub(super) fn schema(&self) -> SchemaRef {
        self.columns.clone().unwrap_or_else(catalog::no_columns)
    }
}

impl Reply {
    /// The same as the protocol has it.
    pub(super) fn response(self, format: &Format) -> PgWireResult<Response> {
        Ok(match self {
            Reply::Rows { schema, batches, tag } => {
                Response::Query(rows::response(&schema, batches, format, &tag)?)
            }
            Reply::Done(tag) => Response::Execution(Tag::new(&tag)),
            Reply::Set(_) => Response::Execution(Tag::new("SET")),
            Reply::Resumed => Response::Execution(Tag::new("ROLLBACK")),
            Reply::Begun => Response::TransactionStart(Tag::new("BEGIN")),
            Reply::Ended(tag) => Response::TransactionEnd(Tag::new(tag)),
            Reply::Changes(..) | Reply::Copy { .. } => {
                return Err(fault("XX000", "what is sent piece by piece is no whole response".into()));
            }
        })
    }
}
