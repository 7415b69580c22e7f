//! What a view means: a relational plan rendered as timely and differential operators. No I/O, no async.
//!
//! The reader's map, in the order in which a change passes:
//!
//! | file | noun | what it is |
//! |---|---|---|
//! | [`table`] | [`Table`] | what events become before any view sees them |
//! | [`delta`] | [`Delta`] | rows that changed at one time, as an Arrow batch with a diff for each row |
//! | [`plan`] | [`Plan`] | what a dataflow can maintain: an enum, lowered from SQL by `queries` |
//! | [`engine`] | [`engine::Engine`] | the handle to the workers, and what puts their shares of an answer together |
//! | `worker` | | one thread: takes commands in their order, renders, feeds, steps, hands over |
//! | `render` | | a plan to operators: one walk, one `match`; arrangements shared by what they hold and by what key |
//! | `tap` | | the changes of a table or view inside a worker, for those that read them, now or later |
//! | `state` | | groups, top rows, latest versions: state by key, stepped one complete time after the other |
//! | `ward`, [`contain`] | | what keeps one dataflow from harming others: a budget, and contained panics |
//! | [`row`], [`codec`] | [`row::Row`], [`codec::Codec`] | Arrow columns to compact bytes and back, where state needs bytes |
//! | [`allocator`] | | where memory comes from, and how long what was freed is kept |
//! | [`batch`] | [`Batch`], [`Tick`] | all changes of one view up to a time, and of all views at one time |
//! | [`value`] | [`value::Value`] | one cell, borrowed, for those who print rows |
//! | [`quotient`] | | decimals over decimals, with the digits of PostgreSQL |
pub mod allocator;
pub mod batch;
pub mod codec;
pub mod contain;
pub mod delta;
pub mod engine;
pub mod plan;
pub mod quotient;
mod render;
pub mod row;
mod state;
pub mod table;
mod tap;
pub mod value;
mod ward;
mod worker;

pub use batch::{Batch, Failure, Position, Tick, View};
pub use delta::Delta;
pub use plan::Plan;
pub use state::moments::Sums;
pub use table::{Mode, Table};

/// Milliseconds since 1970 on the logical clock (design: ticks strictly increase).
pub type Time = u64;
/// How often a row was added (positive) or taken away (negative).
pub type Diff = i64;
