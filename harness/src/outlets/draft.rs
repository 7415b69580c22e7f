//! `Draft`: a delivery to a store before its keys are copied.
use super::keys::Keys;
use dataflows::{Position, Time};
use sinks::delivery::{Delivery, Part};
use sinks::memory::kept::Kept;
use std::sync::Arc;

/// A delivery whose keys are still to be copied, which takes a while and needs nothing of the outlet.
pub struct Draft {
    pub(super) from: Option<Time>,
    pub(super) to: Time,
    pub(super) positions: Vec<Position>,
    /// Each view, and the keys of it that changed; none: all rows.
    pub(super) parts: Vec<(Kept, Option<Keys>)>,
    pub(super) dropped: Vec<Arc<str>>,
}

impl Draft {
    /// The delivery.
    pub fn delivery(self) -> Delivery {
        let part = |(kept, keys): (Kept, Option<Keys>)| match keys {
            Some(keys) => Part::changed(kept, keys.list()),
            None => Part::whole(kept),
        };
        let Draft { from, to, positions, parts, dropped } = self;
        Delivery { from, to, positions, parts: parts.into_iter().map(part).collect(), dropped }
    }
}
