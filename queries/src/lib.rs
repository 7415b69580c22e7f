//! SQL to standing queries, and the HTTP API that reads them.
//!
//! | file | noun | what it is |
//! |---|---|---|
//! | [`declare`] | `Statement` | SQL text to statements, each with its own text and place |
//! | [`catalogue`] | [`Catalogue`] | declared tables and views, in order, with what they use |
//! | [`lower`] | [`Compiled`] | a query to a `Plan` that a dataflow can maintain |
//! | [`batch`] | | the same query by DataFusion in batch: the oracle |
//! | [`explain`] | | a view's stages as text |
//! | [`session`] | [`session::Session`] | SQL statements in, rows out: tables that take INSERT, UPDATE and DELETE, SELECT over one snapshot |
//! | [`api`] | | the warp API |
//! | [`wire`] | | the PostgreSQL wire protocol |
pub mod api;
pub mod batch;
pub mod catalogue;
pub mod declare;
pub mod explain;
pub mod lower;
pub mod session;
pub mod wire;

pub use api::host::DeclareError;
pub use catalogue::{Catalogue, Declared};
pub use lower::Compiled;
