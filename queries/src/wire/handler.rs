//! The protocol: messages of a client to statements of its `Connection`, and replies to messages.
use super::access::{Access, Login};
use super::catalog::VERSION;
use super::command::{self, Kind};
use super::connection::{Connection, Prepared, Reply};
use super::fault::{fatal, fault};
use super::stream::{self, How};
use super::{oid, settings};
use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::portal::{Format, Portal, PortalExecutionState};
use datafusion_postgres::pgwire::api::query::{
    ExtendedQueryHandler, SimpleQueryHandler, send_execution_response, send_partial_query_response,
    send_query_response, send_ready_for_query,
};
use datafusion_postgres::pgwire::api::results::{FieldInfo, Response, Tag};
use datafusion_postgres::pgwire::api::stmt::{QueryParser, StoredStatement};
use datafusion_postgres::pgwire::api::store::{Entry, PortalStore};
use datafusion_postgres::pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionGuard, ConnectionHandle, ConnectionManager, DEFAULT_NAME,
    PgWireConnectionState, PidSecretKeyGenerator, RandomPidSecretKeyGenerator, Type,
};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::extendedquery::{Bind, BindComplete, Execute};
use datafusion_postgres::pgwire::messages::response::{
    EmptyQueryResponse, NoticeResponse, TransactionStatus,
};
use datafusion_postgres::pgwire::messages::simplequery::Query;
use datafusion_postgres::pgwire::messages::startup::ParameterStatus;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::future::{Either, select};
use futures::{Sink, SinkExt};
use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, OnceLock};

/// What all connections share.
#[derive(Default)]
pub(super) struct Shared {
    /// Finds the connection that a cancel request means.
    pub(super) manager: Arc<ConnectionManager>,
    keys: RandomPidSecretKeyGenerator,
}

/// Answers one client.
pub(super) struct Handler {
    connection: Arc<Connection>,
    shared: Arc<Shared>,
    /// Whether there is room for it.
    is_welcome: bool,
    access: Access,
    /// Where it is asked for a password.
    login: OnceLock<Login>,
}

impl Handler {
    /// For a client that is served, or only told that there are too many.
    pub(super) fn new(
        connection: Connection,
        shared: Arc<Shared>,
        is_welcome: bool,
        access: Access,
    ) -> Handler {
        Handler { connection: Arc::new(connection), shared, is_welcome, access, login: OnceLock::new() }
    }

    /// Lets a client in.
    async fn admit<C>(&self, client: &mut C) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (id, key) = self.shared.keys.generate(client);
        client.set_pid_and_secret_key(id, key.clone());
        let (handle, guard) = self.shared.manager.register(id, key);
        client.session_extensions().insert::<Arc<ConnectionHandle>>(handle);
        client.session_extensions().insert::<ConnectionGuard>(guard);
        finish_authentication(client, &Told).await
    }
}

/// What a client is told of the server when it connects.
struct Told;

impl ServerParameterProvider for Told {
    fn server_parameters<C: ClientInfo>(&self, client: &C) -> Option<HashMap<String, String>> {
        let mut all: HashMap<String, String> =
            settings::told().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        all.insert("server_version".into(), VERSION.into());
        for (name, shown) in [("application_name", "application_name"), ("user", "session_authorization")] {
            let value = client.metadata().get(name).cloned().unwrap_or_default();
            all.insert(shown.into(), value);
        }
        Some(all)
    }
}

#[async_trait]
impl StartupHandler for Handler {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let startup = match (message, self.login.get()) {
            (PgWireFrontendMessage::Startup(startup), None) => startup,
            (PgWireFrontendMessage::PasswordMessageFamily(message), Some(login)) => {
                let (answer, is_in) = login.hear(client, message).await?;
                client.send(PgWireBackendMessage::Authentication(answer)).await?;
                return if is_in { self.admit(client).await } else { Ok(()) };
            }
            _ => return Err(fatal("08P01", "the client must say who it is first".into())),
        };
        protocol_negotiation(client, &startup).await?;
        if !self.is_welcome {
            return Err(fatal("53300", "sorry, too many clients already".into()));
        }
        if startup
            .parameters
            .get("replication")
            .is_some_and(|value| !matches!(value.as_str(), "false" | "off" | "0"))
        {
            return Err(fatal("0A000", "replication connections are not supported".into()));
        }
        save_startup_parameters_to_metadata(client, &startup);
        self.connection.start(startup.parameters.iter());
        match self.access.login(client.is_secure())? {
            None => self.admit(client).await,
            Some(login) => {
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let offer = login.offer();
                // The startup message came once.
                _ = self.login.set(login);
                client.send(PgWireBackendMessage::Authentication(offer)).await?;
                Ok(())
            }
        }
    }
}

/// Waits for a reply or for the client's wish to have none.
async fn unless_cancelled<C: ClientInfo, T>(
    client: &C,
    work: impl Future<Output = PgWireResult<T>>,
) -> PgWireResult<T> {
    let handle = client.session_extensions().get::<Arc<ConnectionHandle>>();
    unless_wished(handle.map(|handle| handle.as_ref().clone()), work).await
}

async fn unless_wished<T>(
    handle: Option<Arc<ConnectionHandle>>,
    work: impl Future<Output = PgWireResult<T>>,
) -> PgWireResult<T> {
    let Some(handle) = handle else { return work.await };
    let wish = handle.start_query().await;
    match select(pin!(work), wish).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => Err(PgWireError::QueryCanceled),
    }
}

impl Handler {
    /// Does what surrounds a statement: a warning before, a changed setting after, and the status of the transaction.
    async fn around<C>(
        &self,
        client: &mut C,
        kind: Kind,
        work: impl Future<Output = PgWireResult<Reply>>,
    ) -> PgWireResult<Reply>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let status = client.transaction_status();
        if let Some(text) = self.connection.warning(kind, status) {
            let notice: NoticeResponse = ErrorInfo::new("WARNING".into(), "01000".into(), text.into()).into();
            client.feed(PgWireBackendMessage::NoticeResponse(notice)).await?;
        }
        let reply = unless_cancelled(client, work).await;
        match &reply {
            Ok(Reply::Begun) => client.set_transaction_status(status.to_in_transaction_state()),
            Ok(Reply::Resumed) => client.set_transaction_status(TransactionStatus::Transaction),
            Ok(Reply::Ended(_)) => client.set_transaction_status(TransactionStatus::Idle),
            // A transaction that cannot be taken back is over all the same.
            Err(_) if matches!(kind, Kind::Commit | Kind::Rollback) => {
                client.set_transaction_status(TransactionStatus::Idle);
            }
            Ok(Reply::Set(Some((name, value)))) => {
                let status = ParameterStatus::new(name.clone(), value.clone());
                client.feed(PgWireBackendMessage::ParameterStatus(status)).await?;
            }
            _ => {}
        }
        reply
    }
}

#[async_trait]
impl SimpleQueryHandler for Handler {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let commands = command::commands(&query.query)?;
        if commands.is_empty() {
            client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        // Each is answered before the next one runs; the first error ends the text.
        for command in commands {
            let status = client.transaction_status();
            let kind = command.kind();
            let reply = self.around(client, kind, self.connection.run(command, status)).await?;
            let reply = match reply {
                Reply::Changes(changes, lines) => {
                    let fields = Arc::new(oid::columns(&changes.schema(), &Format::UnifiedText)?);
                    let how = lines.map_or(How::Rows { fields, describe: true }, How::Lines);
                    stream::changes(client, *changes, &how).await?;
                    continue;
                }
                Reply::Copy { schema, batches, lines } => {
                    stream::copy(client, &schema, &batches, lines).await?;
                    continue;
                }
                reply => reply,
            };
            match reply.response(&Format::UnifiedText)? {
                Response::Query(rows) => send_query_response(client, rows, true).await?,
                Response::Execution(tag)
                | Response::TransactionStart(tag)
                | Response::TransactionEnd(tag) => {
                    send_execution_response(client, tag).await?;
                }
                _ => {}
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, _client: &mut C, _query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(fault("XX000", "queries are answered as they come".into()))
    }
}

#[async_trait]
impl QueryParser for Connection {
    type Statement = Arc<Prepared>;

    async fn parse_sql<C>(
        &self,
        client: &C,
        sql: &str,
        types: &[Option<Type>],
    ) -> PgWireResult<Option<Self::Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let status = client.transaction_status();
        let prepared = unless_cancelled(client, self.prepare(sql, types, status)).await?;
        Ok(prepared.map(Arc::new))
    }

    fn get_parameter_types(&self, statement: &Self::Statement) -> PgWireResult<Vec<Type>> {
        Ok(statement.types.clone())
    }

    fn get_result_schema(
        &self,
        statement: &Self::Statement,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        oid::columns(&statement.schema(), format.unwrap_or(&Format::UnifiedText))
    }
}

#[async_trait]
impl ExtendedQueryHandler for Handler {
    type Statement = Arc<Prepared>;
    type QueryParser = Connection;

    fn query_parser(&self) -> Arc<Connection> {
        self.connection.clone()
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        let given = message.parameters.len();
        let wrong = |text: String| Err(fault("08P01", text));
        let count = |expected: usize| match given == expected {
            true => Ok(()),
            false => wrong(format!(
                "bind message supplies {given} parameters, but prepared statement requires {expected}"
            )),
        };
        let formats = message.parameter_format_codes.len();
        if formats > 1 && formats != given {
            return wrong(format!("bind message has {formats} parameter formats but {given} parameters"));
        }
        match client.portal_store().get_statement(name) {
            Some(Entry::Value(statement)) => {
                count(statement.statement.types.len())?;
                let (formats, columns) =
                    (message.result_column_format_codes.len(), statement.statement.schema());
                if formats > 1 && formats != columns.fields().len() {
                    let columns = columns.fields().len();
                    return wrong(format!(
                        "bind message has {formats} result formats but query has {columns} columns"
                    ));
                }
                let bound = Portal::try_new(&message, statement)?;
                client.portal_store().put_portal(Arc::new(bound));
            }
            Some(Entry::Empty) => {
                count(0)?;
                client.portal_store().put_empty_portal(portal);
            }
            None => return Err(PgWireError::StatementNotFound(name.to_owned())),
        }
        client.feed(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let rows_max = usize::try_from(message.max_rows).unwrap_or(0);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => portal,
            Some(Entry::Empty) => {
                client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
                return Ok(());
            }
            None => return Err(PgWireError::PortalNotFound(name.to_owned())),
        };
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(*state, PortalExecutionState::Initial) {
            let status = client.transaction_status();
            let kind = portal.statement.statement.kind();
            let reply = self.around(client, kind, self.connection.execute(&portal, status)).await?;
            if kind == Kind::Declare
                && let Some((cursor, prepared)) =
                    self.connection.as_portal(&portal.statement.statement).await?
            {
                // Drivers ask for the columns of a cursor as if it were a portal, as it is in PostgreSQL.
                let statement = Arc::new(StoredStatement::new(cursor.clone(), Arc::new(prepared), vec![]));
                let bind = Bind::new(Some(cursor.clone()), Some(cursor), vec![], vec![], vec![]);
                client.portal_store().put_portal(Arc::new(Portal::try_new(&bind, statement)?));
            }
            let format = &portal.result_column_format;
            let response = match reply {
                Reply::Changes(changes, lines) => {
                    let fields = Arc::new(oid::columns(&changes.schema(), format)?);
                    match lines {
                        None if rows_max > 0 => Response::Query(stream::in_parts(*changes, fields)),
                        lines => {
                            let how = lines.map_or(How::Rows { fields, describe: false }, How::Lines);
                            *state = PortalExecutionState::Finished;
                            return stream::changes(client, *changes, &how).await;
                        }
                    }
                }
                Reply::Copy { schema, batches, lines } => {
                    *state = PortalExecutionState::Finished;
                    return stream::copy(client, &schema, &batches, lines).await;
                }
                reply => reply.response(format)?,
            };
            match response {
                Response::Query(rows) => *state = PortalExecutionState::Suspended(rows),
                Response::Execution(tag)
                | Response::TransactionStart(tag)
                | Response::TransactionEnd(tag) => {
                    *state = PortalExecutionState::Finished;
                    return send_execution_response(client, tag).await;
                }
                _ => {}
            }
        }
        match &mut *state {
            PortalExecutionState::Suspended(rows) => {
                let handle = client.session_extensions().get::<Arc<ConnectionHandle>>();
                let handle = handle.map(|handle| handle.as_ref().clone());
                let sent = send_partial_query_response(client, rows, rows_max);
                if !unless_wished(handle, sent).await? {
                    *state = PortalExecutionState::Finished;
                }
                Ok(())
            }
            _ => send_execution_response(client, Tag::new("SELECT").with_rows(0)).await,
        }
    }

    async fn do_query<C>(
        &self,
        _client: &mut C,
        _portal: &Portal<Self::Statement>,
        _rows_max: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(fault("XX000", "portals are answered as they are executed".into()))
    }
}
