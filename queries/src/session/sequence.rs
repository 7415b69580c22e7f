//! Columns that number their rows. The last number of each stands in a table of its own, `TABLE_COLUMN_seq`, which is made when the first
//! number is needed and changes with the rows: numbers go on after a restart, and are not given again when rows are deleted.
use super::script::quoted;
use super::write::Change;
use super::{Inner, internal};
use crate::declare::constraints::{Numbered, numbered};
use crate::{DeclareError, Declared};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use sources::decode::Mapping;
use std::sync::Arc;

/// One column's numbers, while a statement runs.
pub(super) struct Series {
    pub(super) numbered: Numbered,
    state: Option<State>,
}

struct State {
    mapping: Arc<Mapping>,
    before: Option<i64>,
    last: i64,
}

impl Series {
    pub(super) fn new(numbered: Numbered) -> Series {
        Series { numbered, state: None }
    }

    /// The next number.
    pub(super) fn next(&mut self, inner: &Inner) -> Result<i64, DeclareError> {
        let state = match &mut self.state {
            Some(state) => state,
            none => none.insert(State::known(inner, &self.numbered)?),
        };
        state.last = state.last.checked_add(1).ok_or_else(|| self.numbered.over())?;
        Ok(state.last)
    }

    /// So many numbers.
    pub(super) fn take(
        &mut self,
        inner: &Inner,
        count: usize,
        data_type: &DataType,
    ) -> Result<ArrayRef, DeclareError> {
        let numbers = (0..count).map(|_| self.next(inner)).collect::<Result<Vec<_>, _>>()?;
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        cast_with_options(&Int64Array::from(numbers), data_type, &strict).map_err(|_| self.numbered.over())
    }

    /// What remembers the numbers that were given.
    pub(super) fn change(&self) -> Result<Option<(Arc<Mapping>, Change)>, DeclareError> {
        let Some(State { mapping, before, last }) = &self.state else { return Ok(None) };
        let schema = super::rows::dataflows_nullable(&mapping.table.schema);
        let rows = |number: Option<i64>| {
            let column = Arc::new(Int64Array::from_iter_values(number)) as ArrayRef;
            RecordBatch::try_new(schema.clone(), vec![column]).map_err(internal)
        };
        Ok(Some((mapping.clone(), Change { taken: rows(*before)?, given: rows(Some(*last))? })))
    }
}

impl Inner {
    /// The sequences that go with a table; a sequence whose table stays does not go.
    pub(super) fn sequences(&self, name: &str) -> Result<Vec<String>, DeclareError> {
        let catalogue = self.host.catalogue();
        let Some(Declared::Table(mapping)) = catalogue.get(name) else { return Ok(vec![]) };
        let of = |mapping: &Mapping| -> Result<Vec<Numbered>, DeclareError> {
            Ok(self.declaration(&mapping.table)?.map(|create| numbered(&create)).unwrap_or_default())
        };
        if is_sequence(mapping) {
            for entry in catalogue.entries() {
                if let Declared::Table(other) = &entry.declared
                    && name.starts_with(&*other.table.name)
                    && of(other)?.iter().any(|numbered| numbered.sequence == name)
                {
                    return Err(DeclareError::Conflict(format!(
                        "cannot drop {name:?}: it is used by table {:?}",
                        other.table.name
                    )));
                }
            }
        }
        let found = of(mapping)?.into_iter().map(|numbered| numbered.sequence);
        Ok(found.filter(|sequence| catalogue.get(sequence).is_some()).collect())
    }
}

impl Numbered {
    fn over(&self) -> DeclareError {
        DeclareError::Invalid(format!(
            "reached maximum value of sequence {:?}: its numbers are out of range for column {:?}",
            self.sequence, self.column
        ))
    }
}

impl State {
    fn known(inner: &Inner, numbered: &Numbered) -> Result<State, DeclareError> {
        let name = &numbered.sequence;
        if inner.host.catalogue().get(name).is_none() {
            inner.host.declare(&format!("CREATE TABLE {} (last_value BIGINT NOT NULL)", quoted(name)))?;
        }
        let mapping = match inner.host.catalogue().get(name) {
            Some(Declared::Table(mapping)) if is_sequence(mapping) => mapping.clone(),
            _ => {
                return Err(DeclareError::Conflict(format!(
                    "the numbers of column {:?} cannot be kept: {name:?} is something else",
                    numbered.column
                )));
            }
        };
        let before = inner.last_value(name)?;
        Ok(State { mapping, before, last: before.unwrap_or(numbered.start - 1) })
    }
}

fn is_sequence(mapping: &Mapping) -> bool {
    match mapping.table.schema.fields().as_ref() {
        [only] => only.name() == "last_value" && *only.data_type() == DataType::Int64,
        _ => false,
    }
}
