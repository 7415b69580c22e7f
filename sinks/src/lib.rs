//! Where changes go. A sink keeps rows and frontier in one atomic act; the same tick again changes nothing.
//!
//! | file | noun | what it is |
//! |---|---|---|
//! | [`memory`] | `Memory` | every view's current rows by key, at one time for all views: what the HTTP API reads |
pub mod memory;

use dataflows::{Tick, Time, View};
use std::sync::Arc;

/// A store that keeps views. Production and simulation both implement it.
pub trait Sink: Send {
    /// Everything before was applied.
    fn frontier(&self) -> Time;
    /// Begins to keep a view; its rows come with the next ticks.
    fn create(&mut self, view: Arc<View>) -> Result<(), SinkError>;
    /// Forgets a view and its rows.
    fn drop_view(&mut self, name: &str) -> Result<(), SinkError>;
    /// Applies all changes of a tick, or none. What lies before the frontier was applied already and changes nothing.
    fn apply(&mut self, tick: &Tick) -> Result<(), SinkError>;
}

/// Why a sink kept nothing, by what the caller can do.
#[derive(Debug)]
pub enum SinkError {
    /// Try the same call again later.
    Retry(String),
    /// Stop this sink.
    Fatal(String),
}

impl std::fmt::Display for SinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SinkError::Retry(text) | SinkError::Fatal(text) => f.write_str(text),
        }
    }
}
impl std::error::Error for SinkError {}
