//! The columns of a table's changes: constraints and keys.
use crate::DeclareError;
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use dataflows::{Mode, Table};
use sinks::memory::kept::Kept;
use std::collections::{HashMap, HashSet};

/// The columns of PRIMARY KEY.
pub(super) fn key(table: &Table) -> &[usize] {
    match &table.mode {
        Mode::Changes { key } => key,
        Mode::Append | Mode::Latest { .. } => &[],
    }
}

/// All rows as one batch of the table's own columns; a NULL where none may be is an error.
pub(super) fn fitted(table: &Table, batches: &[RecordBatch]) -> Result<RecordBatch, DeclareError> {
    let options = |rows| arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    let nullable: SchemaRef = dataflows_nullable(&table.schema);
    let list = batches.iter().map(|batch| {
        RecordBatch::try_new_with_options(
            nullable.clone(),
            batch.columns().to_vec(),
            &options(batch.num_rows()),
        )
    });
    let list = list.collect::<Result<Vec<_>, _>>().map_err(super::internal)?;
    let all = concat_batches(&nullable, &list).map_err(super::internal)?;
    for (field, column) in table.schema.fields().iter().zip(all.columns()) {
        if !field.is_nullable() && column.logical_null_count() > 0 {
            return Err(DeclareError::Constraint(format!(
                "null value in column {:?} of table {:?}, which is NOT NULL",
                field.name(),
                table.name
            )));
        }
    }
    Ok(all)
}

pub(super) fn dataflows_nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    std::sync::Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

/// Taken and given rows as one batch of `Table::input_schema`. A row that is taken and given is left out.
pub(super) fn changes(
    table: &Table,
    taken: &RecordBatch,
    given: &RecordBatch,
) -> Result<RecordBatch, DeclareError> {
    let nullable = taken.schema();
    let all = concat_batches(&nullable, [taken, given]).map_err(super::internal)?;
    let mut diffs = vec![-1i64; taken.num_rows()];
    diffs.resize(all.num_rows(), 1);
    let (kept, diffs) = if taken.num_rows() == 0 || given.num_rows() == 0 {
        ((0..all.num_rows() as u32).collect(), diffs)
    } else {
        netted(&encoded(all.columns())?, &diffs)
    };
    let rows = take_record_batch(&all, &UInt32Array::from(kept)).map_err(super::internal)?;
    let mut columns = rows.columns().to_vec();
    columns.push(std::sync::Arc::new(Int64Array::from(diffs)) as ArrayRef);
    RecordBatch::try_new(table.input_schema(), columns).map_err(super::internal)
}

/// The first place of each row whose diffs do not cancel, and their sum.
fn netted(rows: &[OwnedRow], diffs: &[i64]) -> (Vec<u32>, Vec<i64>) {
    let mut sums: HashMap<&OwnedRow, (u32, i64)> = HashMap::new();
    for (i, row) in rows.iter().enumerate() {
        sums.entry(row).or_insert((i as u32, 0)).1 += diffs[i];
    }
    let mut kept: Vec<(u32, i64)> = sums.into_values().filter(|(_, diff)| *diff != 0).collect();
    kept.sort_unstable();
    kept.into_iter().unzip()
}

pub(super) fn encoded(columns: &[ArrayRef]) -> Result<Vec<OwnedRow>, DeclareError> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields).and_then(|converter| converter.convert_columns(columns));
    Ok(rows.map_err(super::internal)?.iter().map(|row| row.owned()).collect())
}

fn keys_of(table: &Table, rows: &RecordBatch) -> Vec<ArrayRef> {
    key(table).iter().map(|column| rows.column(*column).clone()).collect()
}

/// For each given row whether its key is taken: by a row that stays, or by an earlier given row.
pub(super) fn conflicts(
    table: &Table,
    kept: &Kept,
    taken: &RecordBatch,
    given: &RecordBatch,
) -> Result<Vec<Conflict>, DeclareError> {
    if key(table).is_empty() {
        return Ok(vec![Conflict::None; given.num_rows()]);
    }
    let columns = keys_of(table, given);
    let stored = kept.has_keys(&columns).map_err(DeclareError::Internal)?;
    let gone: HashSet<OwnedRow> = encoded(&keys_of(table, taken))?.into_iter().collect();
    let mut seen = HashSet::new();
    let keys = encoded(&columns)?.into_iter().zip(stored);
    Ok(keys
        .map(|(key, stored)| {
            let stands = stored && !gone.contains(&key);
            match (stands, seen.insert(key)) {
                (true, _) => Conflict::Stored,
                (false, false) => Conflict::Given,
                (false, true) => Conflict::None,
            }
        })
        .collect())
}

/// For each row whether an earlier one has its key.
pub(super) fn repeated(table: &Table, rows: &RecordBatch) -> Result<Vec<Conflict>, DeclareError> {
    if key(table).is_empty() {
        return Ok(vec![Conflict::None; rows.num_rows()]);
    }
    let mut seen = HashSet::new();
    let fresh = encoded(&keys_of(table, rows))?.into_iter().map(|key| seen.insert(key));
    Ok(fresh.map(|fresh| if fresh { Conflict::None } else { Conflict::Given }).collect())
}

/// Whether a row may be given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Conflict {
    None,
    /// A row with its key is in the table.
    Stored,
    /// The same statement gave one.
    Given,
}

/// The error of the first row whose key is taken.
pub(super) fn duplicate(
    table: &Table,
    rows: &RecordBatch,
    conflicts: &[Conflict],
) -> Result<(), DeclareError> {
    let Some(place) = conflicts.iter().position(|conflict| *conflict != Conflict::None) else {
        return Ok(());
    };
    let shown = key(table).iter().map(|column| {
        let options = arrow::util::display::FormatOptions::default();
        let cell = arrow::util::display::ArrayFormatter::try_new(rows.column(*column), &options);
        format!(
            "{}={}",
            table.schema.field(*column).name(),
            cell.map(|cell| cell.value(place).to_string()).unwrap_or_default()
        )
    });
    Err(DeclareError::Constraint(format!(
        "duplicate key in table {:?}: there is a row with {}",
        table.name,
        shown.collect::<Vec<_>>().join(", ")
    )))
}

/// The rows at some places.
pub(super) fn at(rows: &RecordBatch, wanted: impl Fn(usize) -> bool) -> Result<RecordBatch, DeclareError> {
    let places = (0..rows.num_rows()).filter(|i| wanted(*i)).map(|i| i as u32);
    take_record_batch(rows, &UInt32Array::from_iter_values(places)).map_err(super::internal)
}
