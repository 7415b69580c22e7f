//! The logical clock as a relation.
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The relation whose only row is the logical clock: `now`, replaced at each tick. Every worker knows it.
pub const CLOCK: &str = "__clock";

/// The columns of [`CLOCK`].
pub fn clock_schema() -> SchemaRef {
    let now = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![Field::new("now", now, false)]))
}
