//! Something wrong in what an invariant reads: a row that is lost, there twice, or has a value of another; or all of
//! them there twice and marked as open.
use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::DataType;
use dataflows::Time;
use queries::batch::answer_at;
use queries::{Catalogue, Declared};
use sinks::memory::Read;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Rows of tables and views by name.
pub type Rows = BTreeMap<String, Vec<RecordBatch>>;

const ROWS_PER_BATCH: usize = 8_192;
/// How many rows of what an invariant reads are made wrong, one after the other.
const TRIED: usize = 20;
/// The same, of what that is made of: it takes longer.
const TRIED_DEEP: usize = 2;

/// The rows of the tables, and of the views that can be read.
pub fn with_views(mut rows: Rows, read: &Read) -> Rows {
    for kept in read.views() {
        let name = kept.shape().view().name.to_string();
        rows.entry(name).or_insert_with(|| kept.batches(ROWS_PER_BATCH).collect());
    }
    rows
}

/// Whether an invariant has a row where something that it reads is wrong: itself, or what that is made of.
pub fn can_fail(catalogue: &Catalogue, invariant: &str, rows: &Rows, time: Time) -> bool {
    let uses = |name: &String| catalogue.entry(name).unwrap().uses.clone();
    let read = uses(&invariant.to_owned());
    let beneath: BTreeSet<String> = read.iter().flat_map(uses).filter(|name| !read.contains(name)).collect();
    let fails = |tried: usize| move |name: &String| fails(catalogue, invariant, name, rows, time, tried);
    read.iter().any(fails(TRIED)) || beneath.iter().any(fails(TRIED_DEEP))
}

/// Whether it has a row where a row of `input` is wrong.
fn fails(catalogue: &Catalogue, invariant: &str, input: &str, rows: &Rows, time: Time, tried: usize) -> bool {
    let Some(batches) = rows.get(input).filter(|batches| !batches.is_empty()) else { return false };
    let all = concat_batches(&batches[0].schema(), batches).unwrap();
    // What is made of it is made anew.
    let mut kept = rows.clone();
    for name in catalogue.dependents(input) {
        if matches!(catalogue.get(&name), Some(Declared::MaterializedView(_))) {
            kept.remove(&name);
        }
    }
    wrong(&all, tried).any(|planted| {
        kept.insert(input.to_owned(), vec![planted]);
        let answer = answer_at(catalogue, invariant, &kept, Some(time));
        answer.is_ok_and(|rows| rows.iter().any(|batch| batch.num_rows() > 0))
    })
}

/// The rows with one of them wrong, or all.
fn wrong(all: &RecordBatch, tried: usize) -> impl Iterator<Item = RecordBatch> {
    let count = all.num_rows() as u32;
    let tried = (0..count).step_by((count as usize / tried).max(1)).take(tried);
    let pick = |rows: Vec<u32>| take_record_batch(all, &UInt32Array::from(rows)).unwrap();
    let one = tried.flat_map(move |row| {
        let lost = pick((0..count).filter(|other| *other != row).collect());
        let twice = pick((0..count).chain([row]).collect());
        let other = (row + count / 2) % count;
        let changed = (0..all.num_columns()).map(move |column| {
            let places = (0..count).map(|place| if place == row { other } else { place });
            let places = UInt32Array::from_iter_values(places);
            with_column(all, column, take(all.column(column), &places, None).unwrap())
        });
        [lost, twice].into_iter().chain(changed)
    });
    let every = pick((0..count).chain(0..count).collect());
    let texts = (0..all.num_columns()).filter(|column| *all.column(*column).data_type() == DataType::Utf8);
    let open = texts.map(move |column| {
        let words = StringArray::from_iter_values((0..every.num_rows()).map(|_| "open"));
        with_column(&every, column, Arc::new(words))
    });
    open.chain(one)
}

fn with_column(all: &RecordBatch, column: usize, values: ArrayRef) -> RecordBatch {
    let mut columns = all.columns().to_vec();
    columns[column] = values;
    RecordBatch::try_new(all.schema(), columns).unwrap()
}
