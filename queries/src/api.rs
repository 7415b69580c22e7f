//! The HTTP API: reads views from a store, appends events and declares queries through a [`host::Host`].
//!
//! | file | what it is |
//! |---|---|
//! | [`host`] | what the API asks of its process |
//! | `routes` | the shape of each URL, and its methods |
//! | `call` | a request: its query, its body, the time it waits for |
//! | `problem` | errors, as RFC 9457 problem documents |
//! | `views`, `list`, `literal` | reads |
//! | `changes` | a view's changes as server-sent events |
//! | `events`, `declared`, `operate` | ingestion, queries, health and metrics |
//! | `stores` | the stores outside |
//! | `quarantine`, [`backfills`] | what does not count, and history brought in |
//! | `business` | the paths of a business: its entities, commands, figures and schemas |
//! | `sql` | statements in, answers out |
//! | `meter` | what the API counts of itself |
//! | `outside` | the reads of a process that holds no engine, from stores outside |
pub mod backfills;
mod business;
mod call;
mod changes;
mod cursor;
mod declared;
mod events;
pub mod host;
mod list;
mod literal;
mod meter;
mod operate;
mod outside;
mod problem;
mod quarantine;
mod routes;
mod server;
mod sql;
mod stores;
mod views;

pub use outside::{Stores, serve_stores};
pub use server::serve;

use crate::session::Session;
use host::Host;
use meter::Meter;
use sinks::memory::Memory;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The API's bounds.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Connections at a time; more wait to be accepted.
    pub connections_max: usize,
    /// Streams of changes at a time; more are answered 503.
    pub streams_max: usize,
    /// Bytes of a request with events.
    pub events_bytes_max: usize,
    /// Bytes of a request with SQL.
    pub sql_bytes_max: usize,
    /// How long a request's headers may take.
    pub header_wait: Duration,
    /// How long a request's body may take.
    pub body_wait: Duration,
    /// How long `at_least` waits at most.
    pub at_least_wait_max: Duration,
    /// How often a stream tells the time although nothing changed.
    pub progress_every: Duration,
    /// How often a stream shows that it is alive.
    pub heartbeat_every: Duration,
    /// How long a stream waits for a client that does not read.
    pub stream_stall: Duration,
    /// How long requests may go on after the shutdown began.
    pub shutdown_wait: Duration,
}

impl Default for ApiConfig {
    fn default() -> ApiConfig {
        ApiConfig {
            connections_max: 1024,
            streams_max: 512,
            events_bytes_max: 16 << 20,
            sql_bytes_max: 64 << 10,
            header_wait: Duration::from_secs(10),
            body_wait: Duration::from_secs(30),
            at_least_wait_max: Duration::from_secs(30),
            progress_every: Duration::from_secs(5),
            heartbeat_every: Duration::from_secs(15),
            stream_stall: Duration::from_secs(30),
            shutdown_wait: Duration::from_secs(5),
        }
    }
}

/// Waits until the shutdown begins.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // A server that is gone has closed as well.
    _ = closing.wait_for(|closing| *closing).await;
}

/// What every handler has.
struct Api {
    memory: Arc<Memory>,
    host: Arc<dyn Host>,
    session: Session,
    config: ApiConfig,
    meter: Meter,
    /// True when the shutdown began.
    closing: watch::Receiver<bool>,
    /// Signs cursors, so that only what was given out is taken back.
    cursors: cursor::Signer,
    /// Commands that readers do not see yet.
    commands: business::commands::Commands,
}
