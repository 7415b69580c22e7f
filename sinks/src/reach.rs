//! `Reach`: how far a writer has ever brought its store. A store that is further was written by another one since: whoever was held up
//! and goes on must not take it over again.
use crate::SinkError;
use dataflows::Time;

/// The latest time that this writer found, wrote or tried to write; none before it has opened the store.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach(Option<Time>);

impl Reach {
    /// It found or tries to write this time.
    pub(crate) fn note(&mut self, time: Option<Time>) {
        self.0 = Some(self.0.unwrap_or(0).max(time.unwrap_or(0)));
    }

    /// Whether the store was opened before.
    pub(crate) fn is_known(self) -> bool {
        self.0.is_some()
    }

    /// The store has this time before it is taken over.
    pub(crate) fn check(self, found: Option<Time>) -> Result<(), SinkError> {
        match (self.0, found) {
            (Some(reach), Some(found)) if found > reach => Err(SinkError::Fenced(format!(
                "another writer has taken the store over: it holds time {found}, and this one came to {reach}"
            ))),
            _ => Ok(()),
        }
    }
}
