//! Lists taken apart: a row for each element, the other columns repeated. Linear, so it needs no state.
use super::Oks;
use super::compact::Compact;
use crate::state::{batch_of, pick};
use crate::ward::Ward;
use crate::{Delta, Diff};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use std::sync::Arc;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// Rows that leave in one batch: one row may have any number of elements.
const BATCH_ROWS_MAX: usize = 32_768;

/// Whether the columns are lists; else which is not.
pub(super) fn check(schema: &SchemaRef, lists: &[usize]) -> Result<(), String> {
    let other = lists.iter().map(|i| schema.field(*i)).find(|f| !matches!(f.data_type(), DataType::List(_)));
    match other {
        Some(field) => Err(format!("column {:?} is a {}, not a list", field.name(), field.data_type())),
        None if lists.is_empty() => Err("there is no list to take apart".into()),
        None => Ok(()),
    }
}

/// Takes the lists of each row apart.
pub(super) fn flatten<'s>(input: Oks<'s>, lists: Vec<usize>, schema: SchemaRef, ward: &Arc<Ward>) -> Oks<'s> {
    let ward = ward.clone();
    let compact = Compact::new(&schema, &lists);
    input.unary(Pipeline, "Flatten", |_, _| {
        move |input, output| {
            input.for_each(|cap, data| {
                let mut session = output.session(&cap);
                for delta in data.drain(..).filter(|_| ward.stopped().is_none()) {
                    ward.contain("Flatten", || {
                        // Windows that overlap: what is equal before is made many of once.
                        let fewer = compact.as_ref().and_then(|compact| compact.compacted(&delta));
                        apart(fewer.as_ref().unwrap_or(&delta), &lists, &schema, &mut |delta| {
                            session.give(delta)
                        })
                    });
                }
            });
        }
    })
}

/// The elements of one row's list begin at `from` of its column's values and are `count`.
fn span(list: &ListArray, row: usize) -> (usize, usize) {
    if list.is_null(row) {
        return (0, 0);
    }
    let offsets = list.value_offsets();
    (offsets[row] as usize, (offsets[row + 1] - offsets[row]) as usize)
}

fn apart(delta: &Delta, lists: &[usize], schema: &SchemaRef, give: &mut impl FnMut(Delta)) {
    let columns: Vec<&ListArray> = lists.iter().map(|i| delta.rows.column(*i).as_list::<i32>()).collect();
    if let [list] = columns.as_slice()
        && list.null_count() == 0
        && elements_of(list) <= BATCH_ROWS_MAX * BATCHES_AT_ONCE_MAX
    {
        return give(whole(delta, list, lists, schema));
    }
    let mut part = Part { rows: vec![], diffs: vec![], elements: vec![vec![]; lists.len()] };
    for (row, diff) in delta.diffs.iter().enumerate() {
        let spans: Vec<(usize, usize)> = columns.iter().map(|list| span(list, row)).collect();
        let longest = spans.iter().map(|(_, count)| *count).max().unwrap_or(0);
        for k in 0..longest {
            part.rows.push(row as u32);
            part.diffs.push(*diff);
            for ((from, count), elements) in spans.iter().zip(&mut part.elements) {
                elements.push((k < *count).then_some((from + k) as u64));
            }
            if part.rows.len() == BATCH_ROWS_MAX {
                give(part.take(delta, lists, &columns, schema));
            }
        }
    }
    if !part.rows.is_empty() {
        give(part.take(delta, lists, &columns, schema));
    }
}

/// Elements that leave together where nothing needs to be picked, in batches.
const BATCHES_AT_ONCE_MAX: usize = 16;

fn elements_of(list: &ListArray) -> usize {
    let offsets = list.value_offsets();
    (offsets[list.len()] - offsets[0]) as usize
}

/// The elements of one column of lists stand in their order already.
fn whole(delta: &Delta, list: &ListArray, lists: &[usize], schema: &SchemaRef) -> Delta {
    let count = elements_of(list);
    let (mut rows, mut diffs) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for (row, (span, diff)) in list.value_offsets().windows(2).zip(&delta.diffs).enumerate() {
        let length = (span[1] - span[0]) as usize;
        rows.resize(rows.len() + length, row as u32);
        diffs.resize(diffs.len() + length, *diff);
    }
    let elements = super::map::one_zero(list.values().slice(list.value_offsets()[0] as usize, count));
    repeated(delta, rows, diffs, vec![elements], lists, schema)
}

/// Rows repeated for their elements.
fn repeated(
    delta: &Delta,
    rows: Vec<u32>,
    diffs: Vec<Diff>,
    elements: Vec<ArrayRef>,
    lists: &[usize],
    schema: &SchemaRef,
) -> Delta {
    // The lists themselves are not repeated: that would cost the square of their length.
    let others: Vec<usize> = (0..schema.fields().len()).filter(|i| !lists.contains(i)).collect();
    let kept = delta.rows.project(&others).expect("columns of the batch");
    let kept = pick(&kept, UInt32Array::from(rows));
    let mut kept = kept.columns().iter();
    let columns = (0..schema.fields().len()).map(|i| match lists.iter().position(|list| *list == i) {
        Some(place) => elements[place].clone(),
        None => kept.next().expect("one column for each that is no list").clone(),
    });
    let rows = batch_of(schema.clone(), columns.collect(), diffs.len());
    Delta { time: delta.time, rows, diffs }
}

/// What leaves next: the row each element comes from, its diff, and where the elements stand in the values of each list column.
struct Part {
    rows: Vec<u32>,
    diffs: Vec<Diff>,
    elements: Vec<Vec<Option<u64>>>,
}

impl Part {
    fn take(&mut self, delta: &Delta, lists: &[usize], columns: &[&ListArray], schema: &SchemaRef) -> Delta {
        let (rows, diffs) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.diffs));
        let elements: Vec<ArrayRef> = columns
            .iter()
            .zip(&mut self.elements)
            .map(|(list, places)| {
                let places = UInt64Array::from(std::mem::take(places));
                let taken = take(list.values(), &places, None).expect("places are within the values");
                super::map::one_zero(taken)
            })
            .collect();
        repeated(delta, rows, diffs, elements, lists, schema)
    }
}
