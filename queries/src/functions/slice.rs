//! `list[from:to]` as PostgreSQL has it: places count from 1, those that are not there are left out, and none is counted from the end.
use super::call::{Kind, Takes, fail, native};
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        // The list, then whether the ends of each dimension were left out (`FT`), then the ends.
        native(
            "__slice",
            Takes::Rest(&[Kind::List, Kind::Text], Kind::Integer),
            |types| types[0].clone(),
            |columns, rows, _| sliced(columns, rows),
        ),
        native(
            "__flat",
            Takes::Forms(&[&[Kind::List]]),
            |types| innermost(&types[0]),
            |columns, _, _| flat(&columns[0]),
        ),
    ]
}

/// One end of a slice.
#[derive(Clone, Copy)]
enum End {
    Open,
    At(i64),
}

fn sliced(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let DataType::List(field) = columns[0].data_type() else { return fail("a slice is of a list") };
    let lists = columns[0].as_list::<i32>();
    let open = columns[1].as_string::<i32>();
    let mut kept: Vec<Option<ArrayRef>> = Vec::with_capacity(rows);
    for row in 0..rows {
        let ends = ends(&columns[2..], open.value(row), row);
        kept.push(match (ends, lists.is_valid(row)) {
            (Some(ends), true) => Some(within(&lists.value(row), &ends)?),
            _ => None,
        });
    }
    list_of(field, &kept)
}

/// The ends of each dimension; none where one of them is NULL.
fn ends(columns: &[ArrayRef], open: &str, row: usize) -> Option<Vec<(End, End)>> {
    let end = |(column, open): (&ArrayRef, char)| match open {
        'o' => Some(End::Open),
        _ if column.is_null(row) => None,
        _ => Some(End::At(column.as_primitive::<Int64Type>().value(row))),
    };
    let all: Vec<End> = columns.iter().zip(open.chars()).map(end).collect::<Option<_>>()?;
    Some(all.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

fn within(values: &ArrayRef, ends: &[(End, End)]) -> Result<ArrayRef> {
    let Some(((from, to), rest)) = ends.split_first() else { return Ok(values.clone()) };
    let length = values.len() as i64;
    let first = match from {
        End::Open => 1,
        End::At(place) => (*place).max(1),
    };
    let last = match to {
        End::Open => length,
        End::At(place) => (*place).min(length),
    };
    let count = last.saturating_sub(first).saturating_add(1).max(0);
    let (skip, take) = if count == 0 { (0, 0) } else { (first - 1, count) };
    let part = values.slice(skip as usize, take as usize);
    if rest.is_empty() {
        return Ok(part);
    }
    match part.data_type() {
        DataType::List(field) => {
            let lists = part.as_list::<i32>();
            let inner = (0..lists.len())
                .map(|i| lists.is_valid(i).then(|| within(&lists.value(i), rest)).transpose())
                .collect::<Result<Vec<_>>>()?;
            let inner = list_of(field, &inner)?;
            // Nothing of one dimension is nothing of all.
            let some = inner.as_list::<i32>().iter().flatten().any(|list| !list.is_empty());
            Ok(if some { inner } else { inner.slice(0, 0) })
        }
        // There is no such dimension.
        _ => Ok(part.slice(0, 0)),
    }
}

fn list_of(field: &arrow::datatypes::FieldRef, kept: &[Option<ArrayRef>]) -> Result<ArrayRef> {
    let offsets = OffsetBuffer::from_lengths(kept.iter().map(|v| v.as_ref().map_or(0, |v| v.len())));
    let nulls = kept.iter().map(Option::is_some).collect();
    let values: Vec<&dyn Array> = kept.iter().flatten().map(|values| values.as_ref()).collect();
    let values = match values.as_slice() {
        [] => new_empty_array(field.data_type()),
        values => arrow::compute::concat(values)?,
    };
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, Some(nulls))?))
}

/// The type of a list of what the innermost lists hold.
fn innermost(of: &DataType) -> DataType {
    match of {
        DataType::List(field) if matches!(field.data_type(), DataType::List(_)) => {
            innermost(field.data_type())
        }
        other => other.clone(),
    }
}

/// All elements of lists of lists, in their order.
fn flat(column: &ArrayRef) -> Result<ArrayRef> {
    let lists = column.as_list::<i32>();
    let DataType::List(field) = column.data_type() else { return fail("a list is a list") };
    if !matches!(field.data_type(), DataType::List(_)) {
        return Ok(column.clone());
    }
    let mut kept = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        kept.push(match lists.is_valid(row) {
            true => {
                let inner = flat(&lists.value(row))?;
                let inner = inner.as_list::<i32>();
                let parts: Vec<ArrayRef> = inner.iter().flatten().collect();
                let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
                Some(match parts.as_slice() {
                    [] => new_empty_array(&inner.value_type()),
                    parts => arrow::compute::concat(parts)?,
                })
            }
            false => None,
        });
    }
    let DataType::List(inner) = innermost(column.data_type()) else { return fail("a list is a list") };
    list_of(&inner, &kept)
}
