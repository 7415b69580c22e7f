//! What may be left out when parts of a table are merged: the rows that mean the same without it.
use arrow::array::{AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use dataflows::{Mode, Table};
use hashbrown::HashMap;
use std::sync::Arc;

/// The rows of a table as it is fed, without those that others stand for: in mode `latest` the events that are not the newest of
/// their key (deletions stay, since an older event may still come), in mode `changes` what came and went.
pub fn compact(table: &Table, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, ArrowError> {
    let visible = table.schema.fields().len();
    match &table.mode {
        Mode::Append => Ok(batches),
        Mode::Latest { key, version } => {
            let order: Vec<usize> = version.iter().copied().chain([visible, visible + 1]).collect();
            newest(&batches, key, &order)
        }
        Mode::Changes { .. } => summed(&batches, visible),
    }
}

/// Rows of the same bytes are the same rows; two spellings of one value are kept both, which changes nothing.
fn encoded(batches: &[RecordBatch], columns: &[usize]) -> Result<Vec<Rows>, ArrowError> {
    let Some(first) = batches.first() else { return Ok(vec![]) };
    let field = |column: &usize| SortField::new(first.column(*column).data_type().clone());
    let converter = RowConverter::new(columns.iter().map(field).collect())?;
    let encode = |batch: &RecordBatch| {
        let columns: Vec<_> = columns.iter().map(|column| batch.column(*column).clone()).collect();
        converter.convert_columns(&columns)
    };
    batches.iter().map(encode).collect()
}

fn newest(batches: &[RecordBatch], key: &[usize], order: &[usize]) -> Result<Vec<RecordBatch>, ArrowError> {
    let (keys, orders) = (encoded(batches, key)?, encoded(batches, order)?);
    let mut best: HashMap<&[u8], &[u8]> = HashMap::new();
    let each = || (0..batches.len()).flat_map(|b| (0..batches[b].num_rows()).map(move |i| (b, i)));
    for (b, i) in each() {
        let order = orders[b].row_data(i);
        best.entry(keys[b].row_data(i)).and_modify(|best| *best = order.max(best)).or_insert(order);
    }
    let keep = |b: usize| -> BooleanArray {
        let rows = 0..batches[b].num_rows();
        rows.map(|i| Some(best[keys[b].row_data(i)] == orders[b].row_data(i))).collect()
    };
    let kept = batches.iter().enumerate().map(|(b, batch)| filter_record_batch(batch, &keep(b)));
    kept.collect()
}

fn summed(batches: &[RecordBatch], diff: usize) -> Result<Vec<RecordBatch>, ArrowError> {
    let rows = encoded(batches, &(0..diff).collect::<Vec<_>>())?;
    let mut sums: HashMap<&[u8], i64> = HashMap::new();
    for (b, batch) in batches.iter().enumerate() {
        for (i, diff) in batch.column(diff).as_primitive::<Int64Type>().values().iter().enumerate() {
            *sums.entry(rows[b].row_data(i)).or_insert(0) += diff;
        }
    }
    // The first of equal rows stands for all of them.
    let one = |(b, batch): (usize, &RecordBatch)| {
        let take = |i: usize| sums.get_mut(rows[b].row_data(i)).map_or(0, std::mem::take);
        let diffs: Vec<i64> = (0..batch.num_rows()).map(take).collect();
        let keep: BooleanArray = diffs.iter().map(|diff| Some(*diff != 0)).collect();
        let mut columns = batch.columns().to_vec();
        columns[diff] = Arc::new(Int64Array::from(diffs));
        filter_record_batch(&RecordBatch::try_new(batch.schema(), columns)?, &keep)
    };
    batches.iter().enumerate().map(one).collect()
}

/// The bytes of a row, comparable with those of others.
trait RowData {
    fn row_data(&self, row: usize) -> &[u8];
}

impl RowData for Rows {
    fn row_data(&self, row: usize) -> &[u8] {
        self.row(row).data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{StringArray, UInt64Array};
    use arrow::datatypes::{DataType, Field, Schema};

    fn table(mode: Mode) -> Table {
        let fields = vec![Field::new("k", DataType::Utf8, true), Field::new("v", DataType::Int64, true)];
        Table { name: "t".into(), schema: Arc::new(Schema::new(fields)), mode }
    }

    /// Rows by key, version, time, event and whether it deletes.
    fn fed(rows: &[(&str, i64, i64, u64, bool)]) -> RecordBatch {
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>()),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.3))),
            Arc::new(rows.iter().map(|row| Some(row.4)).collect::<BooleanArray>()),
        ];
        RecordBatch::try_new(table(latest()).input_schema(), columns).unwrap()
    }

    fn latest() -> Mode {
        Mode::Latest { key: vec![0], version: vec![1] }
    }

    #[test]
    fn the_newest_event_of_a_key_stays_and_so_does_a_deletion() {
        let first = fed(&[("a", 2, 9, 1, false), ("b", 1, 1, 2, false), ("c", 5, 5, 3, true)]);
        let second = fed(&[("a", 1, 10, 4, false), ("b", 1, 2, 5, false), ("c", 4, 9, 6, false)]);
        let third = fed(&[("a", 2, 9, 1, false), ("b", 1, 2, 4, false)]);
        let kept = compact(&table(latest()), vec![first, second, third]).unwrap();
        // One event may have given several rows; equal times are decided by the event.
        let expected = [
            fed(&[("a", 2, 9, 1, false), ("c", 5, 5, 3, true)]),
            fed(&[("b", 1, 2, 5, false)]),
            fed(&[("a", 2, 9, 1, false)]),
        ];
        assert_eq!(kept, expected);
    }

    #[test]
    fn what_came_and_went_is_gone() {
        let table = table(Mode::Changes { key: vec![] });
        let batch = |rows: &[(Option<&str>, i64, i64)]| {
            let columns: Vec<arrow::array::ArrayRef> = vec![
                Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
            ];
            RecordBatch::try_new(table.input_schema(), columns).unwrap()
        };
        let first = batch(&[(Some("a"), 1, 1), (None, 2, 1), (Some("a"), 1, 1)]);
        let second = batch(&[(None, 2, -1), (Some("a"), 1, -1), (Some(""), 2, 1)]);
        let kept = compact(&table, vec![first, second]).unwrap();
        assert_eq!(kept, [batch(&[(Some("a"), 1, 1)]), batch(&[(Some(""), 2, 1)])]);
    }
}
