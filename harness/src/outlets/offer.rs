//! `Offer`: a tick as sinks are told of it.
use super::keys::List;
use dataflows::View;
use sinks::memory::Read;
use std::sync::Arc;

/// A tick that was published.
#[derive(Clone)]
pub struct Offer {
    /// All views at its time.
    pub read: Read,
    /// The keys under which views changed since the offer before.
    pub changed: Vec<(Arc<str>, List)>,
    /// Views that are declared and cannot be read yet.
    pub building: Arc<Vec<Arc<View>>>,
    /// Whether the ticks and statements of earlier lives are made again; nothing is delivered before.
    pub restored: bool,
    /// Whether it stands for several ticks that were bound: what changed and changed back between them is not told.
    pub grouped: bool,
}
