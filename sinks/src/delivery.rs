//! `Delivery`: what a store outside the process is to hold next, for all views that it keeps and at one time.
//!
//! A delivery names the keys that changed and gives what stands under them at its time. Rows are absolute: applied once more
//! they change nothing. It is built from a reader's hold on [`Memory`](crate::memory::Memory), so that what waits for a slow store
//! costs its keys and not its rows.
use crate::memory::kept::Kept;
use crate::memory::page::Entry;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflows::{Position, Time, View};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// The column that says how often a row is there, in stores of views that have no key.
pub const COUNT: &str = "tf_count";

/// What a store is to hold next.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The time the store holds before; none: it held nothing.
    pub from: Option<Time>,
    /// The time it holds afterwards.
    pub to: Time,
    /// What was read of the log up to then, by ascending partition.
    pub positions: Vec<Position>,
    /// One part for each view that changed, by name.
    pub parts: Vec<Part>,
    /// Views that the store forgets.
    pub dropped: Vec<Arc<str>>,
}

/// What changes of one view.
#[derive(Clone, Debug)]
pub struct Part {
    kept: Kept,
    keys: Option<Vec<Box<[u8]>>>,
}

/// What stands under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand<'a> {
    /// The key's bytes; they compare as SQL orders the key columns.
    pub key: &'a [u8],
    /// The row's bytes, for [`Shape::write_json`](crate::memory::shape::Shape::write_json) and `values`; none: there is none (any more).
    pub row: Option<&'a [u8]>,
    /// How often the row is there; 0 where there is none. More than 1 only in views without a key.
    pub count: i64,
}

impl Part {
    /// All rows of a view: they take the place of whatever the store has of it.
    pub fn whole(kept: Kept) -> Part {
        Part { kept, keys: None }
    }

    /// What stands under some keys of a view.
    pub fn changed(kept: Kept, mut keys: Vec<Box<[u8]>>) -> Part {
        keys.sort_unstable();
        keys.dedup();
        Part { kept, keys: Some(keys) }
    }

    /// The view.
    pub fn view(&self) -> &Arc<View> {
        self.kept.shape().view()
    }

    /// The view's rows at the delivery's time, and how they are written.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Whether it holds all rows, in place of those the store has.
    pub fn is_whole(&self) -> bool {
        self.keys.is_none()
    }

    /// How many keys it names; none where it holds all rows.
    pub fn keys(&self) -> Option<usize> {
        self.keys.as_ref().map(Vec::len)
    }

    /// What stands under each key, ascending by key. A key that has several rows, against what was declared, shows its first.
    pub fn stands(&self) -> Box<dyn Iterator<Item = Stand<'_>> + '_> {
        match &self.keys {
            Some(keys) => Box::new(keys.iter().map(|key| {
                let entry = self.kept.rows().get(key).next();
                Stand { key, row: entry.map(|entry| entry.row), count: entry.map_or(0, |entry| entry.count) }
            })),
            None => {
                let mut last: Option<&[u8]> = None;
                let first =
                    self.kept.rows().iter().filter(move |entry| last.replace(entry.key) != Some(entry.key));
                Box::new(first.map(|Entry { key, row, count }| Stand { key, row: Some(row), count }))
            }
        }
    }

    /// The columns of [`Part::upserts`]: those of the view and, in views without a key, [`COUNT`].
    pub fn schema(&self) -> SchemaRef {
        schema(self.view(), self.kept.shape().has_key())
    }

    /// Rows that stand, one for each key, in batches of at most so many.
    pub fn upserts(&self, rows_max: usize) -> impl Iterator<Item = RecordBatch> {
        let schema = self.schema();
        let mut standing = self.stands().filter_map(|stand| stand.row.map(|row| (row, stand.count)));
        std::iter::from_fn(move || {
            let (rows, counts): (Vec<&[u8]>, Vec<i64>) = standing.by_ref().take(rows_max.max(1)).unzip();
            (!rows.is_empty()).then(|| {
                let mut columns = self.kept.shape().batch(&rows).columns().to_vec();
                if !self.kept.shape().has_key() {
                    columns.push(Arc::new(Int64Array::from(counts)));
                }
                RecordBatch::try_new(schema.clone(), columns).expect("columns of the view's own types")
            })
        })
    }

    /// The key columns of keys under which nothing stands any more, in batches of at most so many.
    pub fn deletes(&self, rows_max: usize) -> impl Iterator<Item = Vec<ArrayRef>> {
        let mut gone = self.stands().filter(|stand| stand.row.is_none()).map(|stand| stand.key);
        std::iter::from_fn(move || {
            let keys: Vec<&[u8]> = gone.by_ref().take(rows_max.max(1)).collect();
            (!keys.is_empty()).then(|| self.kept.shape().key_columns(&keys))
        })
    }
}

/// What a store keeps of each row of a view: its columns and, where the view has no key, how often the row is there.
pub fn schema(view: &View, has_key: bool) -> SchemaRef {
    if has_key {
        return view.schema.clone();
    }
    let mut fields: Vec<_> = view.schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(COUNT, DataType::Int64, false)));
    Arc::new(Schema::new(fields))
}

/// Tells one definition of a view from another: its name, columns, key and SQL. The same in every run.
pub fn definition(view: &View) -> u64 {
    let mut hash = Xxh3::new();
    let mut text = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    text(&view.name);
    text(&view.sql);
    for field in view.schema.fields() {
        text(field.name());
        text(&format!("{:?} {}", field.data_type(), field.is_nullable()));
    }
    for column in &view.key {
        text(&column.to_string());
    }
    hash.digest()
}
