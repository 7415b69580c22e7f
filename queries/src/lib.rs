//! SQL to standing queries, and the HTTP API that reads them.
//!
//! | file | noun | what it is |
//! |---|---|---|
//! | [`declare`] | `Statement` | SQL text to statements, each with its own text and place |
//! | [`catalogue`] | [`Catalogue`] | declared tables and views, in order, with what they use |
//! | [`rewrite`] | | spellings of other systems, written as DataFusion plans them |
//! | [`lower`] | [`Compiled`] | a query to a `Plan` that a dataflow can maintain |
//! | [`functions`] | | PostgreSQL's functions, operators and types: one registry for all |
//! | [`batch`] | | the same query by DataFusion in batch: the oracle |
//! | [`explain`] | | a view's stages as text |
//! | [`session`] | [`session::Session`] | SQL statements in, rows out: tables that take INSERT, UPDATE and DELETE, SELECT over one snapshot |
//! | [`text`] | | a cell as the text that PostgreSQL prints |
//! | [`api`] | | the warp API |
//! | [`wire`] | | the PostgreSQL wire protocol |
//! | `walk` | | walks over the parsed tree, compiled once |
pub mod api;
pub mod batch;
pub mod catalogue;
pub mod declare;
pub mod explain;
pub mod functions;
pub mod lower;
pub mod rewrite;
pub mod session;
pub mod text;
mod walk;
pub mod wire;

pub use api::host::DeclareError;
pub use catalogue::{Catalogue, Declared};
pub use lower::Compiled;
