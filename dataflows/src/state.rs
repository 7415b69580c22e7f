//! State by key, kept by one worker and stepped one complete time after the other.
//!
//! Times of views are totally ordered, so an operator that waits until a time is complete needs no history: a hash table of
//! groups, or a B-tree of ordered rows, says what was before, and what is after is the difference. Counting by key costs a third of
//! what it costs in an arrangement, and a change touches only what it changes (`benches/src/bin/state.rs` compares them).
pub(crate) mod accumulate;
pub(crate) mod cross;
pub(crate) mod distinct;
pub(crate) mod exact;
pub(crate) mod extreme;
pub(crate) mod group;
pub(crate) mod interner;
pub(crate) mod latest;
pub(crate) mod logic;
pub(crate) mod matched;
pub(crate) mod moments;
pub(crate) mod ordered;
pub(crate) mod outer;
pub(crate) mod temporal;
pub(crate) mod topk;
pub(crate) mod window;

use crate::codec::{Codec, Rows};
use crate::row::{hash, worker_of};
use crate::{Delta, Diff, Time};
use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// Changes on their way to the worker that keeps their key.
#[derive(Clone)]
pub(crate) struct Keyed {
    /// The worker, as a number whose remainder by the number of workers is its index.
    pub target: u64,
    /// When.
    pub time: Time,
    /// Which input of the operator they come from.
    pub side: u8,
    /// The encoded keys, one a row.
    pub keys: Rows,
    /// Their hashes.
    pub hashes: Vec<u64>,
    /// What else the operator asked for, by row.
    pub columns: RecordBatch,
    /// One multiplicity a row.
    pub diffs: Vec<Diff>,
}

/// What a step changes in the operator's output, all at the time of the step.
#[derive(Default)]
pub(crate) struct Produced {
    pub deltas: Vec<Delta>,
    pub errs: Vec<(Arc<str>, Diff)>,
}

/// State that is stepped with all changes of one time, times ascending.
pub(crate) trait State {
    /// Takes the changes in and says what they change in the output.
    fn step(&mut self, time: Time, input: Vec<Keyed>, produced: &mut Produced);
    /// How many keys are held, for the metrics.
    fn len(&self) -> usize;
    /// Whether more is held than a row for each key: all rows of the input, in some form.
    fn holds_rows(&self) -> bool {
        false
    }
}

impl Keyed {
    /// How much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes.len() + 24 * self.diffs.len() + crate::ward::bytes_of(&self.columns)
    }
}

/// Encodes keys and splits rows by the worker that keeps them.
pub(crate) struct Router {
    codec: Codec,
    key: Vec<usize>,
    columns: Vec<usize>,
    side: u8,
    peers: usize,
}

impl Router {
    pub(crate) fn new(codec: Codec, key: Vec<usize>, columns: Vec<usize>, side: u8, peers: usize) -> Router {
        Router { codec, key, columns, side, peers }
    }

    pub(crate) fn route(&self, delta: &Delta, mut give: impl FnMut(Keyed)) {
        let rows = delta.len();
        let key: Vec<ArrayRef> = self.key.iter().map(|i| delta.rows.column(*i).clone()).collect();
        let keys = self.codec.encode(&key, rows);
        let hashes: Vec<u64> = keys.iter().map(hash).collect();
        let columns =
            delta.rows.project(&self.columns).expect("columns were bound when the plan was lowered");
        let (time, side) = (delta.time, self.side);
        if self.peers == 1 {
            return give(Keyed { target: 0, time, side, keys, hashes, columns, diffs: delta.diffs.clone() });
        }
        let mut picks: Vec<Vec<u32>> = vec![Vec::with_capacity(rows / self.peers + 8); self.peers];
        hashes.iter().enumerate().for_each(|(i, h)| picks[worker_of(*h, self.peers)].push(i as u32));
        for (target, picks) in picks.into_iter().enumerate().filter(|(_, p)| !p.is_empty()) {
            let mut part = Rows::default();
            picks.iter().for_each(|i| part.push(keys.row(*i as usize)));
            give(Keyed {
                target: target as u64,
                time,
                side,
                keys: part,
                hashes: picks.iter().map(|i| hashes[*i as usize]).collect(),
                diffs: picks.iter().map(|i| delta.diffs[*i as usize]).collect(),
                columns: pick(&columns, UInt32Array::from(picks)),
            });
        }
    }
}

/// The given rows of a batch.
pub(crate) fn pick(batch: &RecordBatch, rows: UInt32Array) -> RecordBatch {
    let count = rows.len();
    let columns = batch.columns().iter().map(|c| take(c, &rows, None).expect("rows are within the batch"));
    batch_of(batch.schema(), columns.collect(), count)
}

/// A batch of columns that fit the schema; it may have no columns and still rows.
pub(crate) fn batch_of(
    schema: arrow::datatypes::SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
) -> RecordBatch {
    let options =
        arrow::array::RecordBatchOptions::new().with_row_count(Some(rows)).with_match_field_names(false);
    RecordBatch::try_new_with_options(schema, columns, &options)
        .unwrap_or_else(|e| panic!("columns do not fit their schema: {e}"))
}

/// Between processes: columns in Arrow's IPC stream format.
impl Serialize for Keyed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        write_stream(&self.columns, &mut bytes).map_err(serde::ser::Error::custom)?;
        let head = (self.target, self.time, self.side, &self.keys, &self.hashes, &self.diffs);
        (head, bytes).serialize(serializer)
    }
}

fn write_stream(batch: &RecordBatch, bytes: &mut Vec<u8>) -> Result<(), arrow::error::ArrowError> {
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(bytes, &batch.schema())?;
    writer.write(batch)?;
    writer.finish()
}

/// A number that differs for different rows.
pub(crate) fn digest(batch: &RecordBatch) -> u64 {
    let mut bytes = Vec::new();
    match write_stream(batch, &mut bytes) {
        Ok(()) => hash(&bytes),
        // Nothing is shared then.
        Err(_) => batch.columns().first().map_or(0, |column| Arc::as_ptr(column).cast::<u8>() as u64),
    }
}

type Head = (u64, Time, u8, Rows, Vec<u64>, Vec<Diff>);

impl<'de> Deserialize<'de> for Keyed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Keyed, D::Error> {
        use serde::de::Error;
        let ((target, time, side, keys, hashes, diffs), bytes): (Head, Vec<u8>) =
            Deserialize::deserialize(deserializer)?;
        let mut reader =
            arrow::ipc::reader::StreamReader::try_new(&bytes[..], None).map_err(D::Error::custom)?;
        let columns = reader.next().ok_or_else(|| D::Error::custom("a stream without a batch"))?;
        let columns = columns.map_err(D::Error::custom)?;
        Ok(Keyed { target, time, side, keys, hashes, columns, diffs })
    }
}
