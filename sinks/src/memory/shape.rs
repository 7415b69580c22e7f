//! `Shape`: how the rows of one view become bytes, and JSON again.
use super::page::{Entry, Page};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, SortField};
use dataflows::codec::Codec;
use dataflows::value::Value;
use dataflows::{Delta, View};
use std::sync::Arc;

/// A view with the means to read and write its rows.
#[derive(Debug)]
pub struct Shape {
    view: Arc<View>,
    codec: Codec,
    /// For the key's columns alone.
    key_codec: Codec,
    /// None where the key has no column: then there is one key.
    keys: Option<RowConverter>,
    /// What stands before each cell of a row in JSON.
    labels: Vec<String>,
}

impl Shape {
    /// An error names the column whose type cannot be kept.
    pub(super) fn new(view: Arc<View>) -> Result<Shape, String> {
        let codec = Codec::new(&view.schema)?;
        let key_fields: Vec<_> = view.key.iter().map(|i| view.schema.fields()[*i].clone()).collect();
        let key_codec = Codec::new(&Arc::new(Schema::new(key_fields)))?;
        let fields = sorted(view.key.iter().map(|i| view.schema.field(*i).data_type()));
        let keys = match fields.is_empty() {
            true => None,
            false => Some(
                RowConverter::new(fields)
                    .map_err(|e| format!("cannot order by the key of view \"{}\": {e}", view.name))?,
            ),
        };
        let labels = view.schema.fields().iter().enumerate().map(|(i, field)| {
            let mut label = String::from(if i == 0 { "" } else { "," });
            Value::Text(field.name()).write_json(&mut label);
            label + ":"
        });
        let labels = labels.collect();
        Ok(Shape { view, codec, key_codec, keys, labels })
    }

    /// The view.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Whether some of the columns identify a row, so that no row can be there twice.
    pub fn has_key(&self) -> bool {
        !self.view.key.iter().copied().eq(0..self.view.schema.fields().len())
    }

    /// The key bytes of one row, from one array of length 1 for each key column.
    pub fn key(&self, columns: &[ArrayRef]) -> Result<Vec<u8>, String> {
        let Some(keys) = &self.keys else { return Ok(vec![]) };
        let rows = keys.convert_columns(columns).map_err(|e| e.to_string())?;
        Ok(rows.row(0).data().to_vec())
    }

    /// What the bytes of those keys begin with whose first columns have these values, one array of length 1 for each; at least one.
    pub fn key_start(&self, columns: &[ArrayRef]) -> Result<Vec<u8>, String> {
        let converter = RowConverter::new(sorted(columns.iter().map(|column| column.data_type())));
        let rows = converter.and_then(|keys| keys.convert_columns(columns)).map_err(|e| e.to_string())?;
        Ok(rows.row(0).data().to_vec())
    }

    /// The key columns of keys' bytes, one array for each column of the key.
    pub fn key_columns(&self, keys: &[&[u8]]) -> Vec<ArrayRef> {
        let Some(converter) = &self.keys else { return vec![] };
        let parser = converter.parser();
        let rows = keys.iter().map(|key| parser.parse(key));
        converter.convert_rows(rows).expect("a converter reads the keys that it wrote")
    }

    /// Asks of each row of key columns.
    pub(super) fn has_rows(
        &self,
        columns: &[ArrayRef],
        has: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<bool>, String> {
        let Some(keys) = &self.keys else { return Ok(vec![]) };
        let rows = keys.convert_columns(columns).map_err(|e| e.to_string())?;
        Ok(rows.iter().map(|row| has(row.data())).collect())
    }

    /// The cells of a row.
    pub fn values<'a>(&'a self, row: &'a [u8]) -> impl Iterator<Item = Value<'a>> {
        self.codec.values(row)
    }

    /// Writes a row as a JSON object.
    pub fn write_json(&self, row: &[u8], out: &mut String) {
        out.push('{');
        for (label, value) in self.labels.iter().zip(self.codec.values(row)) {
            out.push_str(label);
            value.write_json(out);
        }
        out.push('}');
    }

    /// Writes a key's columns as a JSON object.
    pub fn write_key_json(&self, key: &[u8], out: &mut String) {
        let row = self.key_codec.encode(&self.key_columns(&[key]), 1);
        out.push('{');
        for (i, (column, value)) in self.view.key.iter().zip(self.key_codec.values(&row.bytes)).enumerate() {
            out.push_str(if i == 0 { "" } else { "," });
            out.push_str(self.labels[*column].trim_start_matches(','));
            value.write_json(out);
        }
        out.push('}');
    }

    /// Rows as columns.
    pub fn batch(&self, rows: &[&[u8]]) -> RecordBatch {
        RecordBatch::try_new(self.view.schema.clone(), self.codec.decode(rows))
            .expect("a codec decodes what it encoded")
    }

    /// The changes of some deltas, added up.
    pub(super) fn page(&self, deltas: &[&Delta]) -> Result<Page, String> {
        let mut parts = vec![];
        for delta in deltas {
            let columns = delta.rows.columns();
            let keys: Vec<ArrayRef> = self.view.key.iter().map(|i| columns[*i].clone()).collect();
            let keys = self.keys.as_ref().map(|converter| converter.convert_columns(&keys)).transpose();
            parts.push((
                keys.map_err(|e| e.to_string())?,
                self.codec.encode(columns, delta.len()),
                &delta.diffs,
            ));
        }
        let entries = parts.iter().flat_map(|(keys, rows, diffs)| {
            diffs.iter().enumerate().map(move |(i, diff)| Entry {
                key: keys.as_ref().map_or(&[], |keys| keys.row(i).data()),
                row: &rows.bytes[rows.offsets[i]..rows.offsets[i + 1]],
                count: *diff,
            })
        });
        Ok(Page::consolidated(entries.collect()))
    }
}

/// Columns as keys are ordered by them: NULL is the greatest value, as PostgreSQL sorts.
fn sorted<'a>(kinds: impl Iterator<Item = &'a DataType>) -> Vec<SortField> {
    let order = SortOptions { descending: false, nulls_first: false };
    kinds.map(|kind| SortField::new_with_options(kind.clone(), order)).collect()
}
