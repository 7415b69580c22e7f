//! `Table`: what events become before any view sees them.
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;

/// A declared table, as the engine knows it: where its columns come from in an event is `sources`' business.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name it was declared with.
    pub name: Arc<str>,
    /// The columns that queries see.
    pub schema: SchemaRef,
    /// What a later event does to an earlier one.
    pub mode: Mode,
}

/// What a later event does to an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every event adds its rows.
    Append,
    /// The rows of the event with the greatest version stand for their key; others are not seen.
    ///
    /// Versions are compared by the version columns, then by the event's time, then by a hash of the event's identity: the order in
    /// which events arrive means nothing.
    Latest {
        /// The columns that identify what an event is about.
        key: Vec<usize>,
        /// The version columns; none: the event's time alone.
        version: Vec<usize>,
    },
    /// Rows come and go as INSERT, UPDATE and DELETE say: each fed row carries how often it came (or went, below zero).
    ///
    /// Who feeds it sees to it that no row goes more often than it is there, and that the key identifies one.
    Changes {
        /// PRIMARY KEY; none: the same row may be there several times.
        key: Vec<usize>,
    },
}

impl Table {
    /// The columns of the batches that the engine is fed with: in mode `latest` the table's columns, then `__time` (Int64, nanoseconds
    /// since 1970), `__event` (UInt64, hash of source and id) and `__deleted` (Boolean: the event leaves no row for its key;
    /// then columns other than key and version may be NULL); in mode `changes` the table's columns, then `__diff` (Int64).
    pub fn input_schema(&self) -> SchemaRef {
        match self.mode {
            Mode::Append => self.schema.clone(),
            Mode::Changes { .. } => {
                let diff = Field::new("__diff", DataType::Int64, false);
                let visible = self.schema.fields().iter().map(|f| f.as_ref().clone());
                Arc::new(Schema::new(visible.chain([diff]).collect::<Vec<_>>()))
            }
            Mode::Latest { .. } => {
                let hidden = [
                    Field::new("__time", DataType::Int64, false),
                    Field::new("__event", DataType::UInt64, false),
                    Field::new("__deleted", DataType::Boolean, false),
                ];
                let visible = self.schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
                Arc::new(Schema::new(visible.chain(hidden).collect::<Vec<_>>()))
            }
        }
    }
}
