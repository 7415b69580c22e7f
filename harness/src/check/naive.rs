//! The tables as the log says, written a second time and as plainly as can be: what `check` compares with.
//!
//! It shares the decoder with the pipeline, and nothing else: who counts, what is dropped, which version stands is decided here anew.
mod known;

use crate::Error;
use crate::clock::Moment;
use crate::statements::{Act, Statement};
use crate::{intake, progress};
use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::row::{OwnedRow, RowConverter, SortField};
use dataflows::{Mode, Position, Table, Time};
use known::{Fate, Known};
use queries::Catalogue;
use sources::decode::{Decoder, Mapping, Outcome};
use sources::{Record, Source, SourceError};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const POLL_BYTES: usize = 16 << 20;

/// A table, and the ticks for which it had a say in what counts: those after `from`, up to `until`.
pub struct Declared {
    mapping: Arc<Mapping>,
    from: Time,
    until: Time,
    /// Whether it was compared with the records before it.
    begun: bool,
}

/// The catalogue at a time, and its tables with those that were dropped.
pub fn declared(
    name: &str,
    statements: &[Statement],
    time: Time,
) -> Result<(Catalogue, Vec<Declared>), Error> {
    let mut catalogue =
        Catalogue::load(name).map_err(|why| Error::failed(format!("load catalogue {name}"), why))?;
    let mut tables = from_start(&catalogue);
    for Statement { after, act } in statements.iter().filter(|statement| statement.after < time) {
        match act {
            Act::Declare(sql) => {
                let new =
                    catalogue.declare(sql).map_err(|why| Error::failed(format!("declare {sql:?}"), why))?;
                tables.extend(super::mappings(&new).map(|mapping| Declared {
                    mapping,
                    from: *after,
                    until: Time::MAX,
                    begun: false,
                }));
            }
            Act::Drop(name) => {
                catalogue.drop(name).map_err(|why| Error::failed(format!("drop {name}"), why))?;
                let dropped =
                    tables.iter_mut().find(|t| t.until == Time::MAX && *t.mapping.table.name == **name);
                if let Some(dropped) = dropped {
                    dropped.until = *after;
                }
            }
        }
    }
    Ok((catalogue, tables))
}

/// The tables of a catalogue that was there before the first tick.
pub fn from_start(catalogue: &Catalogue) -> Vec<Declared> {
    let start = |mapping| Declared { mapping, from: 0, until: Time::MAX, begun: true };
    catalogue.tables().cloned().map(start).collect()
}

/// The rows of each table at a time: of the records below `positions`, in the ticks they were bound to.
pub fn tables<S: Source>(
    source: S,
    bindings: progress::Reader,
    declared: Vec<Declared>,
    positions: &[Position],
    time: Time,
) -> Result<BTreeMap<String, Vec<RecordBatch>>, Error> {
    Tables::new(declared).at(source, bindings, positions, time)
}

/// The tables at a time, and then at later ones.
pub struct Tables {
    tally: Tally,
    done: BTreeMap<u32, u64>,
    time: Time,
}

impl Tables {
    /// Before the first tick.
    pub fn new(declared: Vec<Declared>) -> Tables {
        Tables { tally: Tally::new(declared), done: BTreeMap::new(), time: 0 }
    }

    /// The rows of each table at a time not before the last one: source and bindings are read from their beginning, and what was
    /// counted already is passed over.
    pub fn at<S: Source>(
        &mut self,
        source: S,
        mut bindings: progress::Reader,
        positions: &[Position],
        time: Time,
    ) -> Result<BTreeMap<String, Vec<RecordBatch>>, Error> {
        let log = read(source, positions)?;
        let done = &mut self.done;
        while let Some(binding) = bindings.next()?.filter(|binding| binding.moment.time <= time) {
            if binding.moment.time <= self.time {
                continue;
            }
            let before = done.iter().filter_map(|(partition, end)| {
                let (log, _) = log.get(partition)?;
                Some((*partition, &log[..log.partition_point(|record| record.offset < *end)]))
            });
            self.tally.declare(binding.moment.time, &before.collect());
            for position in &binding.positions {
                let from = done.insert(position.partition, position.offset).unwrap_or(0);
                let (log, read) =
                    log.get(&position.partition).map_or((&[][..], 0), |(log, read)| (log, *read));
                if from >= position.offset {
                    continue;
                }
                if read < position.offset {
                    return Err(Error::failed("read the log", "it is shorter than what was bound"));
                }
                let at = |offset| log.partition_point(|record| record.offset < offset);
                self.tally.count(binding.moment, &log[at(from)..at(position.offset)]);
            }
        }
        self.time = time;
        self.tally.rows()
    }
}

/// The records of each partition, and up to which offset they were read.
fn read<S: Source>(mut source: S, positions: &[Position]) -> Result<HashMap<u32, (Vec<Record>, u64)>, Error> {
    let mut log: HashMap<u32, (Vec<Record>, u64)> = HashMap::new();
    let short = |source: &S| {
        let at = source.positions();
        let reached = |wanted: &Position| {
            at.iter().any(|p| p.partition == wanted.partition && p.offset >= wanted.offset)
        };
        positions.iter().find(|p| p.offset > 0 && !reached(p)).map(|p| p.partition)
    };
    while let Some(partition) = short(&source) {
        let failed = |why: SourceError| Error::failed("read the log", why);
        let records = source.poll_partition(partition, POLL_BYTES).map_err(failed)?;
        if records.is_empty() && source.ended().map_err(failed)? {
            return Err(Error::failed("read the log", "it is shorter than what readers see"));
        }
        for record in records {
            log.entry(record.partition).or_default().0.push(record);
        }
    }
    for position in source.positions() {
        log.entry(position.partition).or_default().1 = position.offset;
    }
    Ok(log)
}

struct Tally {
    /// Decodes for no table: whether it is an event at all.
    event: Decoder,
    tables: Vec<(Declared, Decoder, Vec<RecordBatch>)>,
    first: HashMap<u128, u64>,
    known: Known,
}

impl Tally {
    fn new(declared: Vec<Declared>) -> Tally {
        let table = |declared: Declared| {
            let decoder = Decoder::new(vec![declared.mapping.clone()]);
            (declared, decoder, vec![])
        };
        Tally {
            event: Decoder::new(vec![]),
            tables: declared.into_iter().map(table).collect(),
            first: HashMap::new(),
            known: Known::default(),
        }
    }

    /// What tables that were declared since the tick before cannot take of the records before it.
    fn declare(&mut self, tick: Time, before: &BTreeMap<u32, &[Record]>) {
        for (declared, decoder, _) in &mut self.tables {
            if declared.from < tick && !std::mem::replace(&mut declared.begun, true) {
                for records in before.values() {
                    self.known.refused_later(declared.from, records, &decoder.decode(records));
                }
            }
        }
    }

    fn count(&mut self, moment: Moment, records: &[Record]) {
        let decoded: Vec<_> = self.tables.iter().map(|(_, decoder, _)| decoder.decode(records)).collect();
        let events = self.event.decode(records).heads;
        let mut counts = vec![false; records.len()];
        for (i, record) in records.iter().enumerate() {
            let heads =
                self.tables.iter().zip(&decoded).filter(|((declared, _, _), _)| {
                    declared.from < moment.time && moment.time <= declared.until
                });
            let mut heads = std::iter::once(&events[i]).chain(heads.map(|(_, decoded)| &decoded.heads[i]));
            let refused = heads.find_map(|head| match &head.outcome {
                Outcome::Reject(reject) => Some((reject.rule.word(), reject.reason.clone())),
                Outcome::Event(_) => None,
            });
            let first = &mut self.first;
            let fate = || match (&events[i].outcome, refused) {
                (_, Some((rule, why))) => Fate::Refused(rule, why),
                (Outcome::Reject(reject), None) => Fate::Refused(reject.rule.word(), reject.reason.clone()),
                (Outcome::Event(event), None) if event.time_ms.is_some_and(|t| t > moment.horizon as i64) => {
                    Fate::Refused(intake::FUTURE, intake::future(moment, event))
                }
                // A rejected event is not remembered: the same one sent again in better shape counts.
                (Outcome::Event(event), None) => match first.insert_first(event.key, event.content) {
                    true => Fate::Counts(event.clone()),
                    false if first[&event.key] == event.content => Fate::Twice,
                    false => Fate::Refused(intake::CONFLICT, intake::CONFLICTS.to_owned()),
                },
            };
            counts[i] = self.known.count(moment.time, record, fate);
        }
        for ((_, _, batches), decoded) in self.tables.iter_mut().zip(decoded) {
            for table in decoded.tables {
                let kept = (0..table.rows.num_rows() as u32)
                    .filter(|row| counts[table.records[*row as usize] as usize]);
                let rows = take_record_batch(&table.rows, &UInt32Array::from_iter_values(kept));
                batches.push(rows.expect("rows of the batch itself"));
            }
        }
    }

    fn rows(&self) -> Result<BTreeMap<String, Vec<RecordBatch>>, Error> {
        let standing = self.tables.iter().filter(|(declared, _, _)| declared.until == Time::MAX);
        let rows = standing.map(|(declared, _, batches)| {
            let table = &declared.mapping.table;
            let batches: Vec<_> = batches.iter().cloned().chain(self.known.rows(table)).collect();
            let rows = match &table.mode {
                Mode::Append => batches,
                Mode::Changes { .. } => changed(table, &batches)?,
                Mode::Latest { key, version } => latest(table, key, version, &batches)?,
            };
            Ok((table.name.to_string(), rows))
        });
        rows.collect::<Result<_, arrow::error::ArrowError>>()
            .map_err(|why| Error::failed("compute the tables", why))
    }
}

trait First {
    /// Whether nothing was there.
    fn insert_first(&mut self, key: u128, content: u64) -> bool;
}

impl First for HashMap<u128, u64> {
    fn insert_first(&mut self, key: u128, content: u64) -> bool {
        let before = self.len();
        self.entry(key).or_insert(content);
        self.len() > before
    }
}

/// Each row as often as its changes add up to.
fn changed(table: &Table, batches: &[RecordBatch]) -> Result<Vec<RecordBatch>, arrow::error::ArrowError> {
    let all = concat_batches(&table.input_schema(), batches)?;
    let columns = table.schema.fields().len();
    let rows = encode(&all, &(0..columns).collect::<Vec<_>>())?;
    let diffs = all.column(columns).as_any().downcast_ref::<Int64Array>().expect("__diff");
    let mut sums: HashMap<&OwnedRow, (u32, i64)> = HashMap::new();
    for (i, row) in rows.iter().enumerate() {
        sums.entry(row).or_insert((i as u32, 0)).1 += diffs.value(i);
    }
    let kept = sums.into_values().flat_map(|(i, count)| std::iter::repeat_n(i, count.max(0) as usize));
    let rows = take_record_batch(&all, &UInt32Array::from_iter_values(kept))?;
    Ok(vec![RecordBatch::try_new(table.schema.clone(), rows.columns()[..columns].to_vec())?])
}

/// The rows of the event with the greatest version, time and hash for each key.
fn latest(
    table: &Table,
    key: &[usize],
    version: &[usize],
    batches: &[RecordBatch],
) -> Result<Vec<RecordBatch>, arrow::error::ArrowError> {
    let all = concat_batches(&table.input_schema(), batches)?;
    let columns = table.schema.fields().len();
    let keys = encode(&all, key)?;
    let versions = encode(&all, version)?;
    let times = all.column(columns).as_any().downcast_ref::<Int64Array>().expect("__time");
    let events = all.column(columns + 1).as_any().downcast_ref::<UInt64Array>().expect("__event");
    let deleted = all.column(columns + 2).as_any().downcast_ref::<BooleanArray>().expect("__deleted");
    let rank = |row: usize| (&versions[row], times.value(row), events.value(row));
    let mut best: HashMap<&OwnedRow, Vec<usize>> = HashMap::new();
    for (row, key) in keys.iter().enumerate() {
        let standing = best.entry(key).or_default();
        match standing.first().map(|first| rank(row).cmp(&rank(*first))) {
            None | Some(std::cmp::Ordering::Equal) => standing.push(row),
            Some(std::cmp::Ordering::Greater) => *standing = vec![row],
            Some(std::cmp::Ordering::Less) => {}
        }
    }
    let kept = best.into_values().flatten().filter(|row| !(deleted.is_valid(*row) && deleted.value(*row)));
    let rows = take_record_batch(&all, &UInt32Array::from_iter_values(kept.map(|row| row as u32)))?;
    let visible: Vec<_> = rows.columns()[..columns].to_vec();
    Ok(vec![RecordBatch::try_new(table.schema.clone(), visible)?])
}

fn encode(rows: &RecordBatch, columns: &[usize]) -> Result<Vec<OwnedRow>, arrow::error::ArrowError> {
    let columns: Vec<_> = columns.iter().map(|column| rows.column(*column).clone()).collect();
    if columns.is_empty() {
        // No version columns: all versions are equal.
        let ones: arrow::array::ArrayRef = Arc::new(UInt32Array::from(vec![1; rows.num_rows()]));
        return encode_columns(&[ones]);
    }
    encode_columns(&columns)
}

fn encode_columns(columns: &[arrow::array::ArrayRef]) -> Result<Vec<OwnedRow>, arrow::error::ArrowError> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(columns)?;
    Ok(rows.iter().map(|row| row.owned()).collect())
}
