//! Views as CSV files (RFC 4180): a header of column names, cells as PostgreSQL prints them, NULL as an empty cell.
use crate::Error;
use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices};
use dataflows::View;
use dataflows::codec::Codec;
use dataflows::plan::Order;
use queries::Compiled;
use sinks::memory::Read;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const ROWS_PER_BATCH: usize = 8_192;

/// Writes a view's rows to a file; how many there are.
pub fn write(read: &Read, compiled: &Compiled, file: &Path) -> Result<usize, Error> {
    let view = &compiled.view;
    let tried = format!("write view {} to {}", view.name, file.display());
    let rows = rows(read, view).map_err(|why| Error::failed(&tried, why))?;
    let mut out = BufWriter::new(File::create(file).map_err(|why| Error::failed(&tried, why))?);
    let names = view.schema.fields().iter().map(|field| field.name().as_str());
    write_line(&mut out, names).map_err(|why| Error::failed(&tried, why))?;
    let codec = Codec::new(&view.schema).map_err(|why| Error::failed(&tried, why))?;
    let encoded = codec.encode(rows.columns(), rows.num_rows());
    let order = sort(compiled, &rows).map_err(|why| Error::failed(&tried, why))?;
    let mut cells = vec![String::new(); view.schema.fields().len()];
    for row in order {
        let bytes = &encoded.bytes[encoded.offsets[row]..encoded.offsets[row + 1]];
        for (cell, value) in cells.iter_mut().zip(codec.values(bytes)) {
            cell.clear();
            value.write_text(cell);
        }
        write_line(&mut out, cells.iter().map(String::as_str)).map_err(|why| Error::failed(&tried, why))?;
    }
    out.flush().map_err(|why| Error::failed(&tried, why))?;
    Ok(rows.num_rows())
}

/// A view's rows as one batch; none where the view is not readable yet.
fn rows(read: &Read, view: &View) -> Result<RecordBatch, arrow::error::ArrowError> {
    let Some(kept) = read.view(&view.name) else { return Ok(RecordBatch::new_empty(view.schema.clone())) };
    let batches: Vec<RecordBatch> = kept.batches(ROWS_PER_BATCH).collect();
    concat_batches(&view.schema, &batches)
}

/// The rows in the view's own order where it has one, then by key, then by all columns.
fn sort(compiled: &Compiled, rows: &RecordBatch) -> Result<Vec<usize>, arrow::error::ArrowError> {
    let ascending = |column| Order { column, descending: false, nulls_first: false };
    let order = compiled
        .order
        .iter()
        .copied()
        .chain(compiled.view.key.iter().copied().map(ascending))
        .chain((0..rows.num_columns()).map(ascending));
    let columns: Vec<SortColumn> = order
        .map(|order| SortColumn {
            values: rows.column(order.column).clone(),
            options: Some(SortOptions { descending: order.descending, nulls_first: order.nulls_first }),
        })
        .collect();
    let indices = lexsort_to_indices(&columns, None)?;
    Ok(indices.values().iter().map(|index| *index as usize).collect())
}

fn write_line<'a>(out: &mut impl Write, cells: impl Iterator<Item = &'a str>) -> std::io::Result<()> {
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            out.write_all(b",")?;
        }
        write_cell(out, cell)?;
    }
    out.write_all(b"\n")
}

fn write_cell(out: &mut impl Write, cell: &str) -> std::io::Result<()> {
    if cell.contains([',', '"', '\n', '\r']) {
        write!(out, "\"{}\"", cell.replace('"', "\"\""))
    } else {
        out.write_all(cell.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_only_where_they_must_be() {
        let mut out = vec![];
        write_line(&mut out, ["a b", "", "1,5", "say \"x\"", "two\nlines"].into_iter()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a b,,\"1,5\",\"say \"\"x\"\"\",\"two\nlines\"\n");
    }
}
