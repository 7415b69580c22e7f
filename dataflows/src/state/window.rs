//! Window functions: each partition's rows in their order, with what was said of each; a change touches the rows that can read it.
//!
//! A step puts rows in and takes rows out, asks every function which rows may have another value now, computes these from the rows
//! around them, and says what differs from what left before.
mod fold;
mod frame;
mod list;
mod peers;
mod place;

use super::interner::Interner;
use super::{Keyed, Produced, State, batch_of};
use crate::codec::Codec;
use crate::plan::window::{Call, Kind};
use crate::render::one_zero;
use crate::row::Row;
use crate::{Delta, Diff, Time};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use fold::Fold;
use frame::{Changed, Frame};
use list::{List, Out};
use peers::Peers;
use place::{Cells, Places};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a window is made of: columns of its input, and functions.
pub(crate) struct Shape {
    /// All input columns once: the ORDER BY columns first, then those that break ties.
    pub order: Vec<(usize, SortField)>,
    /// How many of them are ORDER BY columns.
    pub peers: usize,
    /// The first ORDER BY column's type, whether it descends, and whether its NULLs come first.
    pub first: Option<(DataType, bool, bool)>,
    pub calls: Vec<Call>,
    /// The input's columns, and what leaves: these and one for each call.
    pub input: SchemaRef,
    pub schema: SchemaRef,
}

/// The partitions of one window.
pub(crate) struct Windows {
    partitions: Interner,
    lists: Vec<List>,
    converter: RowConverter,
    /// The input column at each place of the converter.
    columns: Vec<usize>,
    order: usize,
    peers: Peers,
    calls: Vec<(Call, Reads)>,
    results: Codec,
    input: SchemaRef,
    schema: SchemaRef,
    rows: usize,
}

/// How a call reads the rows around.
enum Reads {
    /// Places only, or rows at a fixed distance.
    Places,
    Frame(Frame),
    Fold(Frame, Fold),
}

/// How often a row of a partition comes or goes, and the length of its ORDER BY columns.
struct Change {
    partition: u32,
    row: Row,
    peer: u32,
    diff: Diff,
}

/// The rows `from .. to` of a partition, to be computed anew from the rows `base .. end`.
struct Task {
    partition: u32,
    from: usize,
    to: usize,
    base: usize,
    end: usize,
    /// Where the first row that is read stands in the batch.
    at: usize,
    /// For each call the frames of its rows, if it has frames: places in the partition.
    frames: Vec<Option<Vec<(usize, usize)>>>,
}

impl Task {
    /// The frames of a call as places in the batch.
    fn inside(&self, call: usize) -> impl Iterator<Item = (usize, usize)> {
        let frames = self.frames[call].as_deref().unwrap_or_default();
        frames.iter().map(|(start, end)| (start - self.base + self.at, end - self.base + self.at))
    }
}

/// Tasks of several partitions that are computed together: most are small.
#[derive(Default)]
struct Batch {
    tasks: Vec<Task>,
    rows: usize,
}

impl Batch {
    fn add(&mut self, task: Task) {
        let read = task.end - task.base;
        self.tasks.push(Task { at: self.rows, ..task });
        self.rows += read;
    }
}

const ROWS_PER_BATCH: usize = 8192;

/// What a step says of one row.
struct Said {
    row: Row,
    out: Out,
    diff: Diff,
}

impl Windows {
    /// Fails where a column cannot be compared or kept, or a frame does not fit its ORDER BY.
    pub(crate) fn new(shape: Shape) -> Result<Windows, String> {
        let columns: Vec<usize> = shape.order.iter().map(|(i, _)| *i).collect();
        let fields: Vec<SortField> = shape.order.into_iter().map(|(_, f)| f).collect();
        let peers = Peers::new(fields[..shape.peers].to_vec(), shape.first)?;
        let converter =
            RowConverter::new(fields).map_err(|e| format!("ORDER BY cannot compare a column: {e}"))?;
        let calls = shape.calls.into_iter().map(|call| {
            let reads = match &call.kind {
                Kind::Nth { .. } => Reads::Frame(Frame::new(&call.frame, &peers)?),
                Kind::Aggregate { function, filter } => {
                    let fold = Fold::new(function.clone(), *filter, &shape.input, call.data_type.clone())?;
                    Reads::Fold(Frame::new(&call.frame, &peers)?, fold)
                }
                _ => Reads::Places,
            };
            Ok((call, reads))
        });
        let calls = calls.collect::<Result<Vec<_>, String>>()?;
        let width = shape.input.fields().len();
        let results = Codec::for_columns(&shape.schema, &(width..width + calls.len()).collect::<Vec<_>>())?;
        let (partitions, lists, rows) = Default::default();
        let (input, schema, order) = (shape.input, shape.schema, shape.peers);
        Ok(Windows {
            partitions,
            lists,
            converter,
            columns,
            order,
            peers,
            calls,
            results,
            input,
            schema,
            rows,
        })
    }

    /// The net changes, by partition and row, with the length of the ORDER BY columns.
    fn changes(&mut self, input: &[Keyed]) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::with_capacity(input.iter().map(|keyed| keyed.diffs.len()).sum());
        for keyed in input {
            let count = keyed.hashes.len();
            let columns: Vec<ArrayRef> =
                self.columns.iter().map(|i| one_zero(keyed.columns.column(*i).clone())).collect();
            let lengths = self.peers.lengths(&columns[..self.order], count);
            let encoded = (!columns.is_empty()).then(|| {
                self.converter.convert_columns(&columns).expect("the plan was lowered with these types")
            });
            for (i, key) in keyed.keys.iter().enumerate() {
                let (partition, _) = self.partitions.intern(keyed.hashes[i], key);
                let row = encoded.as_ref().map_or(Row::default(), |rows| Row::from_slice(rows.row(i).data()));
                changes.push(Change { partition, row, peer: lengths[i], diff: keyed.diffs[i] });
            }
        }
        changes.sort_unstable_by(|a, b| (a.partition, &a.row).cmp(&(b.partition, &b.row)));
        changes.dedup_by(|gone, kept| {
            let same = (gone.partition, &gone.row) == (kept.partition, &kept.row);
            kept.diff += if same { gone.diff } else { 0 };
            same
        });
        changes
    }

    /// Takes the changes of one partition in, and adds what is to be computed to `batch`.
    fn apply(&mut self, changes: &[Change], said: &mut Vec<Said>, batch: &mut Batch) {
        let partition = changes[0].partition;
        let list = &mut self.lists[partition as usize];
        self.rows -= list.len();
        for Change { row, peer, diff, .. } in changes {
            (0..*diff).for_each(|_| list.insert(row, *peer));
            for _ in *diff..0 {
                let item = list.remove(row).expect("a row is taken away only where it was put in");
                said.push(Said { row: item.row, out: item.out, diff: -1 });
            }
        }
        list.settle();
        self.rows += list.len();
        let changed: Vec<Changed> = changes
            .iter()
            .filter(|change| change.diff != 0)
            .map(|Change { row, peer, .. }| Changed {
                from: list.lower(row.as_slice()),
                to: list.upper(row.as_slice()),
                prefix: Row::from_slice(&row.as_slice()[..*peer as usize]),
            })
            .collect();
        for (from, to) in self.affected(partition, &changed) {
            batch.add(self.task(partition, from, to));
            if batch.rows >= ROWS_PER_BATCH {
                self.compute(std::mem::take(batch), said);
            }
        }
    }

    /// The rows that may have another value now, as ranges that do not touch each other.
    fn affected(&self, partition: u32, changed: &[Changed]) -> Vec<(usize, usize)> {
        let list = &self.lists[partition as usize];
        let len = list.len();
        // The rows themselves, which may be new.
        let mut ranges: Vec<(usize, usize)> = changed.iter().map(|c| (c.from, c.to)).collect();
        for (call, reads) in &self.calls {
            match (reads, &call.kind) {
                (Reads::Frame(frame) | Reads::Fold(frame, _), _) => {
                    ranges.extend(frame.readers(list, &self.peers, changed));
                }
                (Reads::Places, Kind::RowNumber) => ranges.extend(changed.iter().map(|c| (c.from, len))),
                (Reads::Places, Kind::Rank | Kind::DenseRank) => {
                    ranges.extend(changed.iter().map(|c| (list.lower(c.prefix.as_slice()), len)));
                }
                (Reads::Places, Kind::Shift { offset, ignore_nulls, .. }) => {
                    let reach = if *ignore_nulls && *offset != 0 {
                        usize::MAX
                    } else {
                        usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX)
                    };
                    ranges.extend(changed.iter().map(|c| match *offset > 0 {
                        true => (c.from, c.to.saturating_add(reach).min(len)),
                        false => (c.from.saturating_sub(reach), c.to),
                    }));
                }
                (Reads::Places, _) if !changed.is_empty() => ranges.push((0, len)),
                (Reads::Places, _) => {}
            }
        }
        ranges.retain(|(from, to)| from < to);
        ranges.sort_unstable();
        let mut merged: Vec<(usize, usize)> = vec![];
        for (from, to) in ranges {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        merged
    }

    /// What has to be read to compute the rows `from .. to` of a partition anew.
    fn task(&self, partition: u32, from: usize, to: usize) -> Task {
        let list = &self.lists[partition as usize];
        let frames: Vec<Option<Vec<(usize, usize)>>> = self
            .calls
            .iter()
            .map(|(_, reads)| match reads {
                Reads::Frame(frame) | Reads::Fold(frame, _) => Some(frame.of(list, &self.peers, from, to)),
                Reads::Places => None,
            })
            .collect();
        let (base, end) = self.context(list.len(), from, to, &frames);
        Task { partition, from, to, base, end, at: 0, frames }
    }

    /// Computes the rows of all tasks anew, column by column.
    fn compute(&mut self, batch: Batch, said: &mut Vec<Said>) {
        let Batch { tasks, rows } = batch;
        if tasks.is_empty() {
            return;
        }
        let read = tasks.iter().flat_map(|task| {
            self.lists[task.partition as usize].range(task.base, task.end).map(|item| &item.row)
        });
        let rows = self.decode(read, rows);
        let mut failed: BTreeMap<usize, Arc<str>> = BTreeMap::new();
        let mut columns = vec![];
        for (column, (call, reads)) in self.calls.iter().enumerate() {
            let places = Places { tasks: &tasks, lists: &self.lists };
            let cells = |argument: &usize, ignore_nulls: &bool| Cells {
                column: rows.column(*argument).clone(),
                tasks: &tasks,
                ignore_nulls: *ignore_nulls,
            };
            let array = match (&call.kind, reads) {
                (Kind::RowNumber, _) => places.row_numbers(),
                (Kind::Rank, _) => places.ranks(),
                (Kind::DenseRank, _) => places.dense_ranks(&self.results, column),
                (Kind::PercentRank, _) => places.percent_ranks(),
                (Kind::CumeDist, _) => places.cume_dists(),
                (Kind::Ntile(buckets), _) => places.buckets(*buckets),
                (Kind::Shift { argument, offset, default, ignore_nulls }, _) => {
                    cells(argument, ignore_nulls).shifted(*offset, default)
                }
                (Kind::Nth { argument, nth, ignore_nulls }, _) => {
                    cells(argument, ignore_nulls).nth(column, *nth)
                }
                (Kind::Aggregate { .. }, Reads::Fold(_, fold)) => {
                    let inside: Vec<Vec<_>> =
                        tasks.iter().map(|task| task.inside(column).collect()).collect();
                    let (array, failures) = fold.values(&rows, &inside);
                    failures.into_iter().for_each(|(i, why)| _ = failed.entry(i).or_insert(why));
                    array
                }
                (Kind::Aggregate { .. }, _) => unreachable!("an aggregate is folded"),
            };
            let array = cast(&array, &call.data_type).expect("a result has the type it was lowered with");
            columns.push(one_zero(array));
        }
        let count = tasks.iter().map(|task| task.to - task.from).sum();
        let results = self.results.encode(&columns, count);
        let mut results = results.iter().enumerate();
        for task in tasks {
            let list = &mut self.lists[task.partition as usize];
            for (place, (i, result)) in (task.from..task.to).zip(results.by_ref()) {
                let item = list.get_mut(place);
                let out = match failed.remove(&i) {
                    Some(why) => Out::Failed(why),
                    None if matches!(&item.out, Out::Row(row) if row.as_slice() == result) => continue,
                    None => Out::Row(Row::from_slice(result)),
                };
                if item.out != out {
                    let old = std::mem::replace(&mut item.out, out.clone());
                    if !matches!(old, Out::Fresh) {
                        said.push(Said { row: item.row.clone(), out: old, diff: -1 });
                    }
                    said.push(Said { row: item.row.clone(), out, diff: 1 });
                }
            }
        }
    }

    /// The rows that the functions read for the rows `from .. to`.
    fn context(
        &self,
        len: usize,
        from: usize,
        to: usize,
        frames: &[Option<Vec<(usize, usize)>>],
    ) -> (usize, usize) {
        let (mut base, mut end) = (from, to);
        for ((call, _), frames) in self.calls.iter().zip(frames) {
            for (s, e) in frames.iter().flatten() {
                (base, end) = (base.min(*s), end.max(*e));
            }
            if let Kind::Shift { offset, ignore_nulls, .. } = &call.kind {
                let reach = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
                if *ignore_nulls && *offset != 0 {
                    (base, end) = (0, len);
                } else if *offset > 0 {
                    base = base.min(from.saturating_sub(reach));
                } else {
                    end = end.max(to.saturating_add(reach).min(len));
                }
            }
        }
        (base, end)
    }

    /// Rows as the input had them.
    fn decode<'a>(&self, rows: impl Iterator<Item = &'a Row>, count: usize) -> RecordBatch {
        let parser = self.converter.parser();
        let decoded = if self.columns.is_empty() {
            vec![]
        } else {
            let rows = rows.map(|row| parser.parse(row.as_slice()));
            self.converter.convert_rows(rows).expect("rows that this converter wrote")
        };
        let mut columns: Vec<(usize, ArrayRef)> = self.columns.iter().copied().zip(decoded).collect();
        columns.sort_by_key(|(column, _)| *column);
        batch_of(self.input.clone(), columns.into_iter().map(|(_, array)| array).collect(), count)
    }

    fn produce(&self, time: Time, said: Vec<Said>, produced: &mut Produced) {
        let (mut rows, mut results, mut diffs) = (vec![], vec![], vec![]);
        for said in &said {
            match &said.out {
                Out::Fresh => {}
                Out::Failed(why) => produced.errs.push((why.clone(), said.diff)),
                Out::Row(result) => {
                    rows.push(&said.row);
                    results.push(result.as_slice());
                    diffs.push(said.diff);
                }
            }
        }
        if diffs.is_empty() {
            return;
        }
        let mut columns = self.decode(rows.iter().copied(), diffs.len()).columns().to_vec();
        columns.extend(self.results.decode(&results));
        let rows = batch_of(self.schema.clone(), columns, diffs.len());
        produced.deltas.push(Delta { time, rows, diffs });
    }
}

impl State for Windows {
    fn step(&mut self, time: Time, input: Vec<Keyed>, produced: &mut Produced) {
        let changes = self.changes(&input);
        self.lists.resize_with(self.partitions.capacity(), List::default);
        let (mut said, mut batch) = (vec![], Batch::default());
        for changes in changes.chunk_by(|a, b| a.partition == b.partition) {
            self.apply(changes, &mut said, &mut batch);
            let partition = changes[0].partition;
            if self.lists[partition as usize].len() == 0 {
                self.partitions.remove(partition);
            }
        }
        self.compute(batch, &mut said);
        self.produce(time, said, produced);
    }

    fn len(&self) -> usize {
        self.rows
    }
}
