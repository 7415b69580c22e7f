//! Bugs that a simulation plants, and faults of the disk that only a call itself can meet. Both are of the calling thread alone: nothing
//! else ever turns them on.
use sinks::model::Slip;
use std::cell::Cell;

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A tick ends after its last record and not where the source stands: gaps at the end are never passed.
    LastOffset,
    /// Rows leave before their binding is durable.
    BindingAfterOutput,
    /// After a start from a snapshot, events of before count again.
    DedupeForgotten,
    /// A start from a snapshot does not know what became of the records before.
    SnapshotWithoutIntake,
    /// New bindings are appended to a torn tail.
    TornTail,
    /// A record that follows a gap is not taken.
    GapSkipped,
    /// After a restart a store is taken to be where the engine is.
    FrontierUnchecked,
    /// What a delivery that was broken off may have changed is forgotten.
    BegunForgotten,
    /// A bug of the store's writer.
    Store(Slip),
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 13] = [
        Bug::LastOffset,
        Bug::BindingAfterOutput,
        Bug::DedupeForgotten,
        Bug::SnapshotWithoutIntake,
        Bug::TornTail,
        Bug::GapSkipped,
        Bug::FrontierUnchecked,
        Bug::BegunForgotten,
        Bug::Store(Slip::TimeAfterRows),
        Bug::Store(Slip::NoFence),
        Bug::Store(Slip::AppliedTwice),
        Bug::Store(Slip::WholeInPieces),
        Bug::Store(Slip::DeletesLost),
    ];
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    static DISK_FULL: Cell<bool> = const { Cell::new(false) };
}

/// Whether the bug is planted in this thread.
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// The bug of the stores that is planted in this thread.
pub(crate) fn slip() -> Option<Slip> {
    match PLANTED.get() {
        Some(Bug::Store(slip)) => Some(slip),
        _ => None,
    }
}

/// Whether this thread's simulated disk has no space for bindings.
pub(crate) fn disk_is_full() -> bool {
    DISK_FULL.get()
}

/// Fills the disk, or frees it.
pub(crate) fn fill_disk(full: bool) {
    DISK_FULL.set(full);
}

/// A bug stays planted as long as this lives.
pub(crate) struct Planted(());

impl Planted {
    pub(crate) fn new(bug: Option<Bug>) -> Planted {
        PLANTED.set(bug);
        DISK_FULL.set(false);
        Planted(())
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        PLANTED.set(None);
        DISK_FULL.set(false);
    }
}
