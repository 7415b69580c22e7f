//! The PostgreSQL wire protocol: psql, drivers and dashboards speak it to a session.
//!
//! | file | what it is |
//! |---|---|
//! | `bounded` | a socket, encrypted or not, that reads no message larger than a limit |
//! | `access` | passwords and certificates |
//! | `handler` | messages to statements, replies to messages |
//! | `connection` | what one client has set, prepared and begun |
//! | `command` | a text cut into statements, and who answers each |
//! | `settings` | SET, RESET, SHOW |
//! | `system` | questions about the system: `pg_catalog`, `information_schema` |
//! | `catalog` | the server's name and version |
//! | `parameter` | the types and values of `$1`, `$2` |
//! | `rows`, `cell`, `text`, `binary`, `oid` | rows as messages, values in both formats, the types' numbers |
//! | `transaction`, `declared` | savepoints and the ends of transactions, cursors |
//! | `subscribe`, `cursor`, `copy`, `stream` | changes as they come, rows in parts, rows as lines, and what sends them |
//! | `fault` | errors with their SQLSTATE |
//!
//! Every statement is kept by itself. BEGIN and COMMIT are taken, for drivers that cannot do without; a ROLLBACK after
//! writes is an error, since it takes nothing back.
pub mod access;
mod binary;
mod bounded;
mod catalog;
mod cell;
mod command;
mod connection;
mod copy;
mod cursor;
mod declared;
mod fault;
mod handler;
mod oid;
mod parameter;
mod rows;
mod settings;
mod stream;
mod subscribe;
mod system;
mod text;
mod transaction;

use crate::session::Session;
use access::Access;
use bounded::Bounded;
use connection::{Connection, Prepared};
use datafusion_postgres::pgwire::api::cancel::DefaultCancelHandler;
use datafusion_postgres::pgwire::api::{DefaultClient, NoopHandler, PgWireConnectionState as State};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};
use datafusion_postgres::pgwire::messages::PgWireFrontendMessage;
use datafusion_postgres::pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use futures::StreamExt;
use handler::{Handler, Shared};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use system::System;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::codec::Framed;

/// What clients may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Bytes of one message, and so of one statement.
    pub message_bytes_max: usize,
    /// How long a client may take to say who it is.
    pub start_wait: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { connections_max: 100, message_bytes_max: 64 << 20, start_wait: Duration::from_secs(10) }
    }
}

/// Bytes of a message before the password.
const LOGIN_BYTES_MAX: usize = 10_000;

/// How many clients at a time are told that there are too many; more are only closed.
const REFUSALS_MAX: usize = 16;

/// Serves the protocol on a listener until `shutdown` is ready.
pub async fn serve(
    listener: std::net::TcpListener,
    session: Session,
    limits: Limits,
    access: Access,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let system = Arc::new(System::new(session.clone()).map_err(io::Error::other)?);
    let shared = Arc::new(Shared::default());
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    // Ended with this function.
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let socket = tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(_) => {
                    // Out of files or memory: what is open may end meanwhile.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (place, is_welcome) = match places.clone().try_acquire_owned() {
            Ok(place) => (Ok(place), true),
            Err(_) => (refusals.clone().try_acquire_owned(), false),
        };
        let Ok(place) = place else { continue };
        let connection = Connection::new(session.clone(), system.clone());
        let handler = Handler::new(connection, shared.clone(), is_welcome, access.clone());
        let (shared, access) = (shared.clone(), access.clone());
        connections.spawn(async move {
            // How a connection ends is its client's affair.
            _ = converse(socket, Arc::new(handler), shared, limits, access).await;
            drop(place);
        });
    }
}

async fn converse(
    socket: TcpStream,
    handler: Arc<Handler>,
    shared: Arc<Shared>,
    limits: Limits,
    access: Access,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let address = socket.peer_addr()?;
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let start = tokio::time::Instant::now() + limits.start_wait;
    // Who has not said his password yet has little to say.
    let first = if access.asks() { LOGIN_BYTES_MAX } else { limits.message_bytes_max };
    let negotiated = Bounded::negotiated(socket, access.tls(), first.min(limits.message_bytes_max));
    let bounded = tokio::time::timeout_at(start, negotiated).await.map_err(late)??;
    let mut client = DefaultClient::<Arc<Prepared>>::new(address, bounded.is_secure());
    client.state = State::AwaitingStartup;
    let mut framed = Framed::new(bounded, PgWireMessageServerCodec::new(client));
    let cancel = Arc::new(DefaultCancelHandler::new(shared.manager.clone()));
    let mut is_starting = true;
    loop {
        let message = match is_starting {
            true => tokio::time::timeout_at(start, framed.next()).await.map_err(late)?,
            false => framed.next().await,
        };
        let message = match message {
            Some(Ok(PgWireFrontendMessage::Terminate(_))) | None => return Ok(()),
            Some(Ok(message)) => message,
            Some(Err(PgWireError::IoError(why))) if why.kind() != io::ErrorKind::InvalidData => {
                return Err(why);
            }
            Some(Err(why)) => {
                return process_error(&mut framed, fault::fatal("08P01", why.to_string()), false).await;
            }
        };
        let is_extended = message.is_extended_query();
        let (startup, simple, extended) = (handler.clone(), handler.clone(), handler.clone());
        let copy = Arc::new(NoopHandler);
        let done =
            process_message(message, &mut framed, startup, simple, extended, copy, cancel.clone()).await;
        if let Err(why) = done {
            let why = ErrorInfo::from(why);
            // Nothing more is read from a client that was turned away.
            let is_over = why.is_fatal() || is_starting;
            process_error(&mut framed, PgWireError::UserError(Box::new(why)), is_extended).await?;
            if is_over {
                return Ok(());
            }
        }
        let state = framed.codec().client_info.state;
        if is_starting && !matches!(state, State::AwaitingStartup | State::AuthenticationInProgress) {
            is_starting = false;
            framed.get_mut().widen(limits.message_bytes_max);
        }
    }
}
