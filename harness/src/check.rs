//! `check`: every view once more, by DataFusion in batch over the log, and what differs from what readers see.
pub mod naive;
pub mod remote;

use crate::Error;
use crate::data;
use crate::feed;
use crate::late;
use crate::progress;
use crate::quarantine::late_change_rows;
use crate::statements::{self, Statement};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dataflows::Time;
use dataflows::codec::Codec;
use dataflows::value::Value;
use queries::catalogue::system::LATE_CHANGES;
use queries::{Catalogue, Declared};
use sinks::memory::Read;
use sinks::memory::kept::Kept;
use sources::Source;
use sources::decode::Mapping;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ROWS_PER_BATCH: usize = 8_192;
/// Sums of floating-point numbers depend on the order of their terms; so many digits do not.
const FLOAT_DIGITS: usize = 10;

/// A row that a view holds more or less often than it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The view.
    pub view: String,
    /// The row as JSON.
    pub row: String,
    /// How often the batch has it.
    pub expected: i64,
    /// How often readers see it.
    pub actual: i64,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Views that were compared.
    pub views: usize,
    /// Rows the batch has in them.
    pub rows: usize,
    /// Views that were not compared, and why.
    pub skipped: Vec<String>,
    /// Views that should have been compared and could not be, and why.
    pub failed: Vec<String>,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Where the truth is: the log, and what was bound and stated about it.
pub struct Truth<S> {
    /// The log from its beginning.
    pub source: S,
    /// What was bound.
    pub bindings: progress::Reader,
    /// What was stated at run time.
    pub statements: Vec<Statement>,
    /// The name of the catalogue.
    pub catalogue: String,
    /// The file of what late events changed: no batch over the log knows when it was counted.
    pub late: PathBuf,
}

impl<S: Source> Truth<S> {
    /// Of a data directory whose log is read by `source`.
    pub fn open(path: &Path, catalogue: &str, source: S) -> Result<Truth<S>, Error> {
        if feed::known(path)?.is_none()
            && let Some(begin) = source.positions().iter().find(|position| position.offset > 0)
        {
            return Err(Error::failed(
                format!("compute the views of {} once more", path.display()),
                format!(
                    "partition {} of the log begins at offset {}: what stood before was removed, as log_keep says, and the batch \
                     needs all of it",
                    begin.partition, begin.offset
                ),
            ));
        }
        Ok(Truth {
            source,
            bindings: progress::Reader::open(&data::bindings_path(path))?,
            statements: statements::read(&data::statements_path(path))?,
            catalogue: catalogue.to_owned(),
            late: data::late_path(path),
        })
    }
}

/// Compares what readers see at one time with the batch over the log up to that time.
pub fn check<S: Source>(truth: Truth<S>, read: &Read) -> Result<Report, Error> {
    let time = time_of(read)?;
    let (catalogue, declared) = naive::declared(&truth.catalogue, &truth.statements, time)?;
    let late = truth.late;
    let mut tables = naive::tables(truth.source, truth.bindings, declared, read.positions(), time)?;
    noted(&late, &catalogue, time, &mut tables)?;
    compared(&catalogue, tables, read)
}

/// What late events changed, as it was noted.
fn noted(
    path: &Path,
    catalogue: &Catalogue,
    time: Time,
    tables: &mut BTreeMap<String, Vec<RecordBatch>>,
) -> Result<(), Error> {
    let Some(Declared::Table(mapping)) = catalogue.get(LATE_CHANGES) else { return Ok(()) };
    let rows = late_change_rows(&mapping.table, &late::read(path, time)?);
    let columns = rows.columns()[..mapping.table.schema.fields().len()].to_vec();
    let rows =
        RecordBatch::try_new(mapping.table.schema.clone(), columns).expect("those of the shipped table");
    tables.insert(LATE_CHANGES.to_owned(), vec![rows]);
    Ok(())
}

fn time_of(read: &Read) -> Result<Time, Error> {
    read.time().ok_or_else(|| Error::failed("check", "nothing can be read yet"))
}

/// Compares what readers see at one time with the batch over the rows of the tables at that time.
pub fn compared(
    catalogue: &Catalogue,
    mut rows: BTreeMap<String, Vec<RecordBatch>>,
    read: &Read,
) -> Result<Report, Error> {
    let time = time_of(read)?;
    let mut report = Report::default();
    for entry in catalogue.entries() {
        let name = entry.declared.name();
        let found = match entry.declared {
            Declared::View { .. } => continue,
            // A table that somebody reads.
            Declared::Table(_) => Ok(rows.get(&**name).cloned().unwrap_or_default()),
            Declared::MaterializedView(_) => queries::batch::answer_at(catalogue, name, &rows, Some(time)),
        };
        let kept = match (read.view(name), &entry.declared) {
            (Some(kept), _) => kept,
            (None, Declared::MaterializedView(_)) => {
                report.failed.push(format!("{name}: it cannot be read"));
                continue;
            }
            (None, _) => continue,
        };
        match found {
            // The batch stops at the first failing expression, or does not see it fail; the view goes on beside it.
            found if kept.errs_count() > 0 => {
                let why = found.map_or_else(|why| why.to_string(), |_| "only the view fails".into());
                report.skipped.push(format!("{name}: {why}"));
            }
            Ok(batches) => {
                report.views += 1;
                report.rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
                report.differences.extend(compare(kept, &batches)?);
                // Views that read this one need not compute it again.
                rows.insert(name.to_string(), batches);
            }
            Err(why) => report.failed.push(format!("{name}: {why}")),
        }
    }
    let unknown =
        read.views().map(|kept| &kept.shape().view().name).filter(|name| catalogue.get(name).is_none());
    report.failed.extend(unknown.map(|name| format!("{name}: nobody declared it")));
    Ok(report)
}

fn compare(kept: &Kept, expected: &[RecordBatch]) -> Result<Vec<Difference>, Error> {
    let view = kept.shape().view();
    let actual: Vec<RecordBatch> = kept.batches(ROWS_PER_BATCH).collect();
    let exact = differences(&view.name, &view.schema, expected, &actual, None)?;
    let floats = view.schema.fields().iter().any(|field| field.data_type().is_floating());
    if exact.is_empty() || !floats {
        return Ok(exact);
    }
    differences(&view.name, &view.schema, expected, &actual, Some(FLOAT_DIGITS))
}

/// Rows that stand in one more often than in the other, in no order but their own.
pub fn differences(
    view: &str,
    schema: &SchemaRef,
    expected: &[RecordBatch],
    actual: &[RecordBatch],
    float_digits: Option<usize>,
) -> Result<Vec<Difference>, Error> {
    let text = |batches: &[RecordBatch]| -> Result<Vec<String>, Error> {
        let mut rows = vec![];
        for batch in batches {
            for_each_row(schema, batch, float_digits, |row| rows.push(row))?;
        }
        Ok(rows)
    };
    Ok(differing(view, text(expected)?.into_iter(), text(actual)?.into_iter()))
}

fn differing(
    view: &str,
    expected: impl Iterator<Item = String>,
    actual: impl Iterator<Item = String>,
) -> Vec<Difference> {
    let mut counts: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    expected.for_each(|row| counts.entry(row).or_default().0 += 1);
    actual.for_each(|row| counts.entry(row).or_default().1 += 1);
    let differing = counts.into_iter().filter(|(_, (expected, actual))| expected != actual);
    differing
        .map(|(row, (expected, actual))| Difference { view: view.into(), row, expected, actual })
        .collect()
}

fn for_each_row(
    schema: &SchemaRef,
    batch: &RecordBatch,
    float_digits: Option<usize>,
    mut take: impl FnMut(String),
) -> Result<(), Error> {
    let failed = |why: String| Error::failed("compare rows", why);
    let codec = Codec::new(schema).map_err(failed)?;
    let encoded = codec.encode(batch.columns(), batch.num_rows());
    for row in 0..batch.num_rows() {
        let mut text = String::from("{");
        let cells = codec.values(&encoded.bytes[encoded.offsets[row]..encoded.offsets[row + 1]]);
        for (field, value) in schema.fields().iter().zip(cells) {
            text.push_str(if text.len() > 1 { ", " } else { "" });
            Value::Text(field.name()).write_json(&mut text);
            text.push_str(": ");
            match (value, float_digits) {
                (Value::Float(number), Some(digits)) => text.push_str(&format!("{number:.digits$e}")),
                (value, _) => value.write_json(&mut text),
            }
        }
        text.push('}');
        take(text);
    }
    Ok(())
}

/// The tables among what was declared.
fn mappings(declared: &[Declared]) -> impl Iterator<Item = Arc<Mapping>> {
    declared.iter().filter_map(|one| match one {
        Declared::Table(mapping) => Some(mapping.clone()),
        Declared::View { .. } | Declared::MaterializedView(_) => None,
    })
}
