//! Rows of the tables `quarantine`, `late_events` and `late_changes`.
use super::{Late, Quarantined, Standing};
use crate::late::Change;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::compute::cast;
use dataflows::{Table, Time};
use std::sync::Arc;

/// A row of `quarantine`: id, entry, what was decided, and how often it came.
pub type Row<'a> = (u64, &'a Quarantined, &'a Standing, i64);

/// Rows of `quarantine` that came or went.
pub fn quarantine_rows(table: &Table, rows: Vec<Row>) -> RecordBatch {
    let number = |of: &dyn Fn(&Row) -> u64| numbers(rows.iter().map(of));
    let entry =
        |of: &dyn Fn(&Quarantined) -> Option<String>| texts(rows.iter().map(|(_, entry, _, _)| of(entry)));
    let columns = vec![
        number(&|(id, ..)| *id),
        times(rows.iter().map(|(_, entry, _, _)| Some(entry.time))),
        number(&|(_, entry, _, _)| entry.position.partition.into()),
        number(&|(_, entry, _, _)| entry.position.offset),
        entry(&|entry| Some(entry.rule.to_string())),
        entry(&|entry| Some(entry.reason.clone())),
        entry(&|entry| entry.event_id.clone()),
        entry(&|entry| entry.event_source.clone()),
        entry(&|entry| entry.event_type.clone()),
        entry(&|entry| Some(entry.payload.to_string())),
        number(&|(_, entry, _, _)| entry.size),
        texts(rows.iter().map(|(_, _, standing, _)| Some(standing.state.word().to_owned()))),
        texts(rows.iter().map(|(_, _, standing, _)| standing.outcome.as_ref().map(|text| text.to_string()))),
        times(rows.iter().map(|(_, _, standing, _)| standing.settled)),
    ];
    batch(table, columns, rows.iter().map(|(.., diff)| *diff).collect())
}

/// Rows of `late_events` that came.
pub fn late_rows(table: &Table, rows: &[Late]) -> RecordBatch {
    let columns = vec![
        times(rows.iter().map(|late| Some(late.time))),
        numbers(rows.iter().map(|late| late.position.partition.into())),
        numbers(rows.iter().map(|late| late.position.offset)),
        times(rows.iter().map(|late| Some(late.event_time))),
        numbers(rows.iter().map(|late| late.time - late.event_time)),
        texts(rows.iter().map(|late| Some(late.event_type.to_string()))),
        texts(rows.iter().map(|late| Some(late.event_source.clone()))),
        texts(rows.iter().map(|late| Some(late.event_id.clone()))),
    ];
    batch(table, columns, vec![1; rows.len()])
}

/// Rows of `late_changes` that came.
pub fn late_change_rows(table: &Table, rows: &[Change]) -> RecordBatch {
    let number = |of: fn(&Change) -> u64| numbers(rows.iter().map(of));
    let columns = vec![
        times(rows.iter().map(|row| Some(row.time))),
        texts(rows.iter().map(|row| Some(row.view.clone()))),
        number(|row| row.events),
        number(|row| row.late_ms),
        number(|row| row.added),
        number(|row| row.withdrawn),
    ];
    batch(table, columns, vec![1; rows.len()])
}

fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| value as i64)))
}

fn times(values: impl Iterator<Item = Option<Time>>) -> ArrayRef {
    let times = values.map(|time| time.map(|time| time as i64));
    Arc::new(TimestampMillisecondArray::from_iter(times).with_timezone("UTC"))
}

fn texts(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn batch(table: &Table, columns: Vec<ArrayRef>, diffs: Vec<i64>) -> RecordBatch {
    let schema = table.input_schema();
    let columns = columns.iter().zip(schema.fields());
    let mut columns: Vec<ArrayRef> = columns
        .map(|(column, field)| {
            cast(column, field.data_type()).expect("the columns are those of the shipped table")
        })
        .collect();
    columns.push(Arc::new(Int64Array::from(diffs)));
    RecordBatch::try_new(schema, columns).expect("the columns are those of the shipped table")
}
