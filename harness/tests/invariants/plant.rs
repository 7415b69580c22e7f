//! Something wrong in what an invariant reads: a row that is lost, there twice, or has a value of another.
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take, take_record_batch};
use dataflows::Time;
use queries::batch::answer_at;
use queries::{Catalogue, Declared};
use sinks::memory::Read;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of tables and views by name.
pub type Rows = BTreeMap<String, Vec<RecordBatch>>;

const ROWS_PER_BATCH: usize = 8_192;
/// How many rows of each are made wrong, one after the other.
const TRIED: usize = 6;

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
    let (mut level, mut done) = (BTreeSet::from([invariant.to_owned()]), BTreeSet::new());
    while !level.is_empty() {
        let mut next = BTreeSet::new();
        for name in level {
            if name != invariant && fails(catalogue, invariant, &name, rows, time) {
                return true;
            }
            if done.insert(name.clone()) {
                next.extend(catalogue.entry(&name).unwrap().uses.iter().cloned());
            }
        }
        level = next;
    }
    false
}

/// Whether it has a row where a row of `input` is wrong.
fn fails(catalogue: &Catalogue, invariant: &str, input: &str, rows: &Rows, time: Time) -> bool {
    let Some(batches) = rows.get(input).filter(|batches| !batches.is_empty()) else { return false };
    let all = concat_batches(&batches[0].schema(), batches).unwrap();
    // What is made of it is made anew.
    let mut kept = rows.clone();
    for name in catalogue.dependents(input) {
        if matches!(catalogue.get(&name), Some(Declared::MaterializedView(_))) {
            kept.remove(&name);
        }
    }
    wrong(&all).any(|planted| {
        kept.insert(input.to_owned(), vec![planted]);
        let answer = answer_at(catalogue, invariant, &kept, Some(time));
        answer.is_ok_and(|rows| rows.iter().any(|batch| batch.num_rows() > 0))
    })
}

/// The rows with one of them wrong.
fn wrong(all: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let count = all.num_rows() as u32;
    let tried = (0..count).step_by((count as usize / TRIED).max(1)).take(TRIED);
    let pick = |rows: Vec<u32>| take_record_batch(all, &UInt32Array::from(rows)).unwrap();
    tried.flat_map(move |row| {
        let lost = pick((0..count).filter(|other| *other != row).collect());
        let twice = pick((0..count).chain([row]).collect());
        let other = (row + count / 2) % count;
        let changed = (0..all.num_columns()).map(move |column| {
            let places = (0..count).map(|place| if place == row { other } else { place });
            let mut columns = all.columns().to_vec();
            columns[column] = take(&columns[column], &UInt32Array::from_iter_values(places), None).unwrap();
            RecordBatch::try_new(all.schema(), columns).unwrap()
        });
        [lost, twice].into_iter().chain(changed)
    })
}
