//! `Tap`: the changes of a table or view inside one worker, for the dataflows that read it, those that come later too.
use crate::codec::Codec;
use crate::render::Reader;
use crate::state::pick;
use crate::ward::bytes_of;
use crate::{Delta, Diff, Failure, Time};
use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;
use hashbrown::HashTable;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// So many small batches are put together.
const LOOSE_MAX: usize = 64;
/// Batches of so many rows stay as they are.
const SMALL_ROWS_MAX: usize = 4096;

/// One worker's share of a table's or view's rows and failures, and who follows them.
pub(crate) struct Tap {
    codec: Codec,
    /// All changes so far, whose sum is the current rows; none are kept for a tap that nobody joins late.
    history: Option<Vec<(RecordBatch, Vec<Diff>)>>,
    /// Rows of the history, and how many it had when it was last consolidated. Insertions alone need no consolidation.
    rows: usize,
    /// What the rows of the history take.
    bytes: usize,
    rows_consolidated: usize,
    retracted: bool,
    /// Batches at the end of the history that were not put together yet.
    loose: usize,
    errs: BTreeMap<Arc<str>, Diff>,
    /// Rows only come: none is ever taken back.
    grows: bool,
    /// Everything before has been pushed.
    upper: Time,
    readers: Vec<Weak<RefCell<Reader>>>,
}

impl Tap {
    /// A tap that remembers, for those that come later.
    pub(crate) fn new(schema: &SchemaRef, upper: Time) -> Result<Tap, String> {
        Ok(Tap { history: Some(Vec::new()), ..Tap::forgetful(schema, upper)? })
    }

    /// A tap whose only reader is there from the start.
    pub(crate) fn forgetful(schema: &SchemaRef, upper: Time) -> Result<Tap, String> {
        let codec = Codec::new(schema)?;
        let (rows, bytes, rows_consolidated, loose, retracted, grows) = (0, 0, 0, 0, false, false);
        let (errs, readers) = Default::default();
        Ok(Tap {
            codec,
            history: None,
            rows,
            bytes,
            rows_consolidated,
            retracted,
            loose,
            errs,
            grows,
            upper,
            readers,
        })
    }

    /// The same, of which it is known whether rows only come.
    pub(crate) fn growing(self, grows: bool) -> Tap {
        Tap { grows, ..self }
    }

    /// Whether rows only come.
    pub(crate) fn grows(&self) -> bool {
        self.grows
    }

    /// Adds changes, and says that no others before `upper` will come.
    pub(crate) fn push(&mut self, deltas: &[Delta], errs: &[Failure], upper: Time) {
        if deltas.is_empty() && errs.is_empty() && upper == self.upper {
            return;
        }
        self.upper = upper;
        self.readers.retain(|reader| match reader.upgrade() {
            Some(reader) => {
                reader.borrow_mut().push(deltas, errs, upper);
                true
            }
            None => false,
        });
        for (message, _, diff) in errs {
            let count = self.errs.entry(message.clone()).or_insert(0);
            *count += diff;
            if *count == 0 {
                self.errs.remove(message);
            }
        }
        if let Some(history) = &mut self.history {
            for delta in deltas {
                self.rows += delta.len();
                self.bytes += bytes_of(&delta.rows) + 8 * delta.len();
                self.retracted |= delta.diffs.iter().any(|d| *d < 0);
                history.push((delta.rows.clone(), delta.diffs.clone()));
                self.loose += 1;
            }
        }
        if self.retracted && self.rows > 2 * self.rows_consolidated + 4096 {
            self.consolidate();
        } else if self.loose >= LOOSE_MAX {
            self.concatenate();
        }
    }

    /// Small batches become one: else each would cost whoever reads them, and each its own buffers.
    fn concatenate(&mut self) {
        let Some(history) = &mut self.history else { return };
        let loose = history.split_off(history.len() - self.loose);
        self.loose = 0;
        let (mut small, mut rows): (Vec<(RecordBatch, Vec<Diff>)>, usize) = (vec![], 0);
        for (batch, diffs) in loose {
            if diffs.len() >= SMALL_ROWS_MAX {
                history.push((batch, diffs));
                continue;
            }
            rows += diffs.len();
            small.push((batch, diffs));
            if rows >= SMALL_ROWS_MAX {
                history.extend(joined(std::mem::take(&mut small)));
                rows = 0;
            }
        }
        history.extend(joined(small));
    }

    fn consolidate(&mut self) {
        let history = self.history.take().unwrap_or_default();
        let deltas = history.into_iter().map(|(rows, diffs)| Delta { time: 0, rows, diffs }).collect();
        let deltas = consolidate(deltas, &self.codec);
        self.rows = deltas.iter().map(Delta::len).sum();
        self.bytes = deltas.iter().map(|d| bytes_of(&d.rows) + 8 * d.len()).sum();
        self.rows_consolidated = self.rows;
        self.loose = deltas.len();
        self.history = Some(deltas.into_iter().map(|d| (d.rows, d.diffs)).collect());
        self.concatenate();
    }

    /// All changes so far as changes at `time`, and the failures.
    pub(crate) fn snapshot(&self, time: Time) -> (Vec<Delta>, Vec<Failure>) {
        let history = self.history.iter().flatten();
        let deltas =
            history.map(|(rows, diffs)| Delta { time, rows: rows.clone(), diffs: diffs.clone() }).collect();
        (deltas, self.errs.iter().map(|(message, diff)| (message.clone(), time, *diff)).collect())
    }

    pub(crate) fn upper(&self) -> Time {
        self.upper
    }

    pub(crate) fn follow(&mut self, reader: &Rc<RefCell<Reader>>) {
        self.readers.push(Rc::downgrade(reader));
    }

    /// Lets the rows go: who comes late finds the failures only.
    pub(crate) fn forget(&mut self) {
        self.history = Some(Vec::new());
        (self.rows, self.bytes, self.rows_consolidated, self.loose) = (0, 0, 0, 0);
    }

    /// What the history takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Rows in the history: at least as many as there are now.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

/// Several batches as one.
fn joined(batches: Vec<(RecordBatch, Vec<Diff>)>) -> Option<(RecordBatch, Vec<Diff>)> {
    let (first, _) = batches.first()?;
    let rows = arrow::compute::concat_batches(&first.schema(), batches.iter().map(|(batch, _)| batch));
    let diffs = batches.iter().flat_map(|(_, diffs)| diffs.iter().copied()).collect();
    Some((rows.expect("one table, one type a column"), diffs))
}

/// Sums the diffs of equal rows over deltas of one time; rows whose sum is 0 are gone.
///
/// Most rows differ from all others in their fingerprints already: only those that may not are compared.
pub(crate) fn consolidate(deltas: Vec<Delta>, codec: &Codec) -> Vec<Delta> {
    let picks = twins(&deltas, codec);
    let encoded: Vec<_> =
        deltas.iter().zip(&picks).map(|(delta, picks)| encode(delta, picks, codec)).collect();
    let mut sums: Vec<Vec<Diff>> = deltas.iter().map(|d| d.diffs.clone()).collect();
    let mut table: HashTable<(u64, u32, u32)> = HashTable::new();
    for (i, rows) in picks.iter().enumerate() {
        for (j, row) in rows.iter().enumerate() {
            let bytes = encoded[i].row(j);
            let hash = crate::row::hash(bytes);
            let equal =
                |(h, a, b): &(u64, u32, u32)| *h == hash && encoded[*a as usize].row(*b as usize) == bytes;
            let entry = table.entry(hash, equal, |(h, _, _)| *h).or_insert((hash, i as u32, j as u32));
            let (_, a, b) = *entry.get();
            if (a, b) != (i as u32, j as u32) {
                let diff = std::mem::take(&mut sums[i][*row as usize]);
                sums[a as usize][picks[a as usize][b as usize] as usize] += diff;
            }
        }
    }
    deltas.into_iter().zip(sums).filter_map(|(delta, sums)| keep(delta, sums)).collect()
}

/// The rows of each delta that share a slot with another row, by their fingerprints: all that may be equal to one.
fn twins(deltas: &[Delta], codec: &Codec) -> Vec<Vec<u32>> {
    let rows: usize = deltas.iter().map(Delta::len).sum();
    if rows < 2 {
        return deltas.iter().map(|_| vec![]).collect();
    }
    // Two bits a slot: whether it was met, and whether it was met again. With 16 slots a row few meet by chance.
    let slots = (rows * 16).next_power_of_two().max(64);
    let (mut once, mut again) = (vec![0u64; slots / 64], vec![0u64; slots / 64]);
    let marks: Vec<Vec<u64>> =
        deltas.iter().map(|delta| codec.fingerprints(delta.rows.columns(), delta.len())).collect();
    for mark in marks.iter().flatten() {
        let slot = *mark as usize & (slots - 1);
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        again[word] |= once[word] & bit;
        once[word] |= bit;
    }
    let shared = |mark: &u64| {
        let slot = *mark as usize & (slots - 1);
        again[slot / 64] >> (slot % 64) & 1 == 1
    };
    let of = |marks: &Vec<u64>| (0..marks.len() as u32).filter(|row| shared(&marks[*row as usize])).collect();
    marks.iter().map(of).collect()
}

/// The bytes of some rows.
fn encode(delta: &Delta, rows: &[u32], codec: &Codec) -> crate::codec::Rows {
    match rows.len() {
        0 => crate::codec::Rows::default(),
        all if all == delta.len() => codec.encode(delta.rows.columns(), all),
        some => codec.encode(pick(&delta.rows, UInt32Array::from(rows.to_vec())).columns(), some),
    }
}

fn keep(delta: Delta, sums: Vec<Diff>) -> Option<Delta> {
    if sums.iter().all(|d| *d != 0) {
        return (!sums.is_empty()).then_some(Delta { diffs: sums, ..delta });
    }
    let kept: Vec<u32> = (0..sums.len() as u32).filter(|i| sums[*i as usize] != 0).collect();
    if kept.is_empty() {
        return None;
    }
    let diffs = kept.iter().map(|i| sums[*i as usize]).collect();
    Some(Delta { time: delta.time, rows: pick(&delta.rows, UInt32Array::from(kept)), diffs })
}
