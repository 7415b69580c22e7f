//! What leaves the engine: the changes of a view, and those of all views at one time.
use crate::{Delta, Diff, Time};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// A place in a log: the records of `partition` below `offset`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// The partition's number.
    pub partition: u32,
    /// The next offset: every record below it is meant.
    pub offset: u64,
}

/// A materialized view as its readers know it.
#[derive(Clone, Debug)]
pub struct View {
    /// The name it was declared with.
    pub name: Arc<str>,
    /// Names and types of its columns.
    pub schema: SchemaRef,
    /// The columns that identify a row; all columns where none were declared or derived.
    pub key: Vec<usize>,
    /// The statement that declared it.
    pub sql: Arc<str>,
}

/// A failing expression's message that came (1) or went (-1) at a time.
pub type Failure = (Arc<str>, Time, Diff);

/// All changes of one view in `[lower, upper)` of the tick it came with, consolidated: no row twice at one time, no diff of 0.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whose changes.
    pub view: Arc<View>,
    /// The changes, by ascending time.
    pub changes: Vec<Delta>,
    /// Failures of the view's expressions.
    pub errs: Vec<Failure>,
}

/// The changes of every view in `[lower, upper)`: a sink applies all of them, or none, in one act.
#[derive(Clone, Debug)]
pub struct Tick {
    /// Everything before was delivered by earlier ticks.
    pub lower: Time,
    /// Nothing before is still to come. Readers see the time `upper - 1`.
    pub upper: Time,
    /// What was read of the log up to `upper`, by ascending partition.
    pub positions: Vec<Position>,
    /// One batch for each view that changed.
    pub batches: Vec<Batch>,
}
