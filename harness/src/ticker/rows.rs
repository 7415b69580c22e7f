//! What a tick holds: its rows as the engine likes them, and a hash of its records.
use super::{LateChange, Ticker};
use crate::quarantine::late_change_rows;
use crate::ticks::Piece;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use queries::catalogue::system::LATE_CHANGES;
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

const BATCH_ROWS_MIN: usize = 1_024;

impl Ticker {
    /// Rows of `late_changes` come with this tick.
    pub(super) fn bring_late(&mut self, rows: &[LateChange]) {
        let Some(mapping) = self.system.iter().find(|mapping| &*mapping.table.name == LATE_CHANGES) else {
            return;
        };
        if rows.is_empty() {
            return;
        }
        let batch = late_change_rows(&mapping.table, rows);
        self.recorder.rows(&mapping.table.name, &batch);
        self.rows.push((mapping.table.name.clone(), batch));
    }
}

/// Many small batches of a table as one: the engine works by the batch.
pub(crate) fn together(rows: Vec<(Arc<str>, RecordBatch)>) -> Vec<(Arc<str>, RecordBatch)> {
    if rows.iter().map(|(_, batch)| batch.num_rows()).sum::<usize>() >= rows.len() * BATCH_ROWS_MIN {
        return rows;
    }
    let mut tables: BTreeMap<Arc<str>, Vec<RecordBatch>> = BTreeMap::new();
    for (table, batch) in rows {
        tables.entry(table).or_default().push(batch);
    }
    let one = |(table, batches): (Arc<str>, Vec<RecordBatch>)| {
        let batch =
            concat_batches(&batches[0].schema(), &batches).expect("batches of one table have one schema");
        (table, batch)
    };
    tables.into_iter().map(one).collect()
}

pub(super) fn digest(pieces: &[Piece]) -> u64 {
    let mut digest = Xxh3::new();
    for hash in pieces.iter().flat_map(|piece| &piece.hashes) {
        digest.update(&hash.to_le_bytes());
    }
    digest.digest()
}
