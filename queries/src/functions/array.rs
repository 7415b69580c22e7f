//! Arrays where DataFusion has no such function or answers differently.
use super::call::{Kind, Takes, bounded, fail, native, strict};
use arrow::array::*;
use arrow::compute::take;
use arrow::datatypes::*;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

/// The functions of this file that are called by name.
pub(super) fn functions() -> Vec<ScalarUDF> {
    use Kind::*;
    let dimension = Takes::Forms(&[&[List, Integer], &[List]]);
    vec![
        native("array_length", dimension, |_| DataType::Int32, |c, n, _| length(c, n)),
        native("array_upper", dimension, |_| DataType::Int32, |c, n, _| length(c, n)),
        native(
            "array_lower",
            dimension,
            |_| DataType::Int32,
            |c, n, _| {
                let found = length(c, n)?;
                let found = found.as_primitive::<Int32Type>();
                Ok(Arc::new(found.unary::<_, Int32Type>(|_| 1)))
            },
        ),
        native(
            "__array_or_empty",
            Takes::Forms(&[&[List]]),
            |types| types[0].clone(),
            |columns, _, _| {
                let lists = columns[0].as_list::<i32>();
                let DataType::List(field) = lists.data_type() else { return fail("a list is a list") };
                let lengths =
                    (0..lists.len()).map(|i| if lists.is_null(i) { 0 } else { lists.value(i).len() });
                let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
                let values: Vec<ArrayRef> =
                    (0..lists.len()).filter(|i| lists.is_valid(*i)).map(|i| lists.value(i)).collect();
                let values: Vec<&dyn Array> = values.iter().map(|v| v.as_ref()).collect();
                let values = match values.as_slice() {
                    [] => new_empty_array(field.data_type()),
                    values => arrow::compute::concat(values)?,
                };
                Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, None)?))
            },
        ),
        native("array_dims", Takes::Forms(&[&[List]]), |_| DataType::Utf8, bounds),
        native("array_ndims", Takes::Forms(&[&[List]]), |_| DataType::Int32, dimensions),
        native("trim_array", Takes::Forms(&[&[List, Integer]]), |types| types[0].clone(), trimmed),
        native(
            "array_fill",
            Takes::Forms(&[&[Any, List]]),
            |types| DataType::new_list(types[0].clone(), true),
            fill,
        ),
    ]
}

/// How many elements there are in a dimension; NULL where there are none.
fn length(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let lists = columns[0].as_list::<i32>();
    let found = strict(columns, rows, |i| {
        let dimension = columns.get(1).map_or(1, |c| c.as_primitive::<Int64Type>().value(i));
        let mut values = lists.value(i);
        for _ in 1..dimension {
            match values.as_list_opt::<i32>() {
                Some(inner) if !inner.is_empty() && inner.is_valid(0) => values = inner.value(0),
                _ => return Ok(None),
            }
        }
        Ok((dimension >= 1 && !values.is_empty()).then_some(values.len() as i32))
    })?;
    Ok(Arc::new(found.into_iter().collect::<Int32Array>()))
}

/// How many dimensions there are; NULL where there are no elements.
fn dimensions(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    let lists = columns[0].as_list::<i32>();
    let found = strict(columns, rows, |i| {
        let (mut values, mut count) = (lists.value(i), 0);
        while !values.is_empty() {
            count += 1;
            values = match values.as_list_opt::<i32>() {
                Some(inner) if inner.is_valid(0) => inner.value(0),
                _ => break,
            };
        }
        Ok((count > 0).then_some(count))
    })?;
    Ok(Arc::new(found.into_iter().collect::<Int32Array>()))
}

/// The first and the last place of each dimension, as `[1:2][1:3]`; NULL where there are no elements.
fn bounds(columns: &[ArrayRef], rows: usize, _to: &DataType) -> Result<ArrayRef> {
    let lists = columns[0].as_list::<i32>();
    let found = strict(columns, rows, |i| {
        let (mut values, mut text) = (lists.value(i), String::new());
        while !values.is_empty() {
            text.push_str(&format!("[1:{}]", values.len()));
            values = match values.as_list_opt::<i32>() {
                Some(inner) if inner.is_valid(0) => inner.value(0),
                _ => break,
            };
        }
        Ok((!text.is_empty()).then_some(text))
    })?;
    Ok(Arc::new(found.into_iter().collect::<StringArray>()))
}

/// Without the last elements.
fn trimmed(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let DataType::List(field) = to else { return fail("trim_array answers with a list") };
    let (lists, less) = (columns[0].as_list::<i32>(), columns[1].as_primitive::<Int64Type>());
    let kept = strict(columns, rows, |i| {
        let values = lists.value(i);
        match usize::try_from(less.value(i)).ok().and_then(|less| values.len().checked_sub(less)) {
            Some(length) => Ok(Some(values.slice(0, length))),
            None => fail(format!("number of elements to trim must be between 0 and {}", values.len())),
        }
    })?;
    let offsets =
        arrow::buffer::OffsetBuffer::from_lengths(kept.iter().map(|v| v.as_ref().map_or(0, |v| v.len())));
    let nulls = kept.iter().map(Option::is_some).collect();
    let values: Vec<&dyn Array> = kept.iter().flatten().map(|values| values.as_ref()).collect();
    let values = match values.as_slice() {
        [] => new_empty_array(field.data_type()),
        values => arrow::compute::concat(values)?,
    };
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, Some(nulls))?))
}

fn fill(columns: &[ArrayRef], rows: usize, to: &DataType) -> Result<ArrayRef> {
    let DataType::List(field) = to else { return fail("array_fill answers with a list") };
    let sizes = columns[1].as_list::<i32>();
    let (mut indices, mut lengths) = (vec![], vec![]);
    for i in 0..rows {
        let size = arrow::compute::cast(&sizes.value(i), &DataType::Int64)?;
        let size = size.as_primitive::<Int64Type>();
        if sizes.is_null(i) || size.len() != 1 || size.is_null(0) {
            return fail("array_fill needs one size, as in ARRAY[3]");
        }
        let count = usize::try_from(size.value(0)).unwrap_or(0);
        bounded("array_fill", count.saturating_mul(16))?;
        indices.extend(std::iter::repeat_n(i as u32, count));
        lengths.push(count);
    }
    let values = take(&columns[0], &UInt32Array::from(indices), None)?;
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field.clone(), offsets, values, None)?))
}
