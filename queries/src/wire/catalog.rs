//! What clients are told of the server: its name, its version.
use arrow::datatypes::{Schema, SchemaRef};
use std::sync::Arc;

/// The only database, whatever name a client connects to.
pub(super) const DATABASE: &str = "tallyflow";
/// The PostgreSQL whose manners we have.
pub(super) const VERSION: &str = "16.6";

/// A result without columns.
pub(super) fn no_columns() -> SchemaRef {
    Arc::new(Schema::empty())
}
