//! From encoded rows to the batches of an arrangement. What came for a time waits as it came and is sorted once, by places: no row is
//! an allocation of its own, and none is moved before it is written to its batch.
use crate::codec::Rows;
use crate::row::{BytesContainer, RowLayout};
use crate::{Diff, Time};
use differential_dataflow::logging::Logger;
use differential_dataflow::trace::implementations::BuilderInput;
use differential_dataflow::trace::implementations::ord_neu::OrdValBuilder;
use differential_dataflow::trace::rc_blanket_impls::RcBuilder;
use differential_dataflow::trace::{Batcher, Description};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use timely::container::{ContainerBuilder, DrainContainer, PushInto};
use timely::progress::Antichain;
use timely::progress::frontier::AntichainRef;

/// Rows on their way to the worker that keeps their keys, all of one time.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Part {
    /// A number whose remainder by the number of workers is the worker's.
    pub target: u64,
    pub time: Time,
    pub keys: Rows,
    pub values: Rows,
    pub diffs: Vec<Diff>,
}

/// Rows of several parts, and in which order they stand.
#[derive(Default)]
pub(super) struct Sorted {
    parts: Vec<Part>,
    order: Vec<Place>,
}

/// Where a row is, and what all equal ones add up to.
#[derive(Clone, Copy)]
struct Place {
    /// The first bytes in which keys differ, or values where all keys are equal: they decide most comparisons.
    head: u128,
    part: u32,
    row: u32,
    diff: Diff,
}

fn head(bytes: &[u8]) -> u128 {
    let mut head = [0; 16];
    let length = bytes.len().min(16);
    head[..length].copy_from_slice(&bytes[..length]);
    u128::from_be_bytes(head)
}

/// How many bytes all begin with; and whether they are all the same.
fn prefix<'a>(mut all: impl Iterator<Item = &'a [u8]>) -> (usize, bool) {
    let Some(first) = all.next() else { return (0, true) };
    let (mut length, mut same) = (first.len(), true);
    for other in all {
        same = same && other == first;
        if !same {
            length = other.iter().zip(&first[..length]).take_while(|(a, b)| a == b).count();
        }
    }
    (length, same)
}

impl Sorted {
    fn of(parts: Vec<Part>) -> Sorted {
        let mut order = Vec::with_capacity(parts.iter().map(|part| part.diffs.len()).sum());
        let (mut skip, by_value) = prefix(parts.iter().flat_map(|part| part.keys.iter()));
        if by_value {
            skip = prefix(parts.iter().flat_map(|part| part.values.iter())).0;
        }
        for (i, part) in parts.iter().enumerate() {
            let heads = if by_value { &part.values } else { &part.keys };
            let rows = heads.iter().zip(&part.diffs).enumerate();
            order.extend(rows.map(|(row, (bytes, diff))| Place {
                head: head(&bytes[skip..]),
                part: i as u32,
                row: row as u32,
                diff: *diff,
            }));
        }
        let mut sorted = Sorted { parts, order: vec![] };
        order.sort_unstable_by(|a, b| a.head.cmp(&b.head).then_with(|| sorted.compare(a, b)));
        let mut kept: Vec<Place> = Vec::with_capacity(order.len());
        for place in order {
            match kept.last_mut() {
                Some(last) if last.head == place.head && sorted.compare(last, &place).is_eq() => {
                    last.diff += place.diff;
                }
                Some(last) if last.diff == 0 => *last = place,
                _ => kept.push(place),
            }
        }
        if kept.last().is_some_and(|last| last.diff == 0) {
            kept.pop();
        }
        sorted.order = kept;
        sorted
    }

    fn compare(&self, a: &Place, b: &Place) -> Ordering {
        let ((key_a, value_a, time_a), (key_b, value_b, time_b)) = (self.row(a), self.row(b));
        key_a.cmp(key_b).then_with(|| value_a.cmp(value_b)).then_with(|| time_a.cmp(&time_b))
    }

    fn row(&self, place: &Place) -> (&[u8], &[u8], Time) {
        let (part, row) = (&self.parts[place.part as usize], place.row as usize);
        (part.keys.row(row), part.values.row(row), part.time)
    }
}

/// The rows of a [`Sorted`] in their order.
pub(super) struct Drain<'a> {
    sorted: &'a Sorted,
    places: std::slice::Iter<'a, Place>,
}

impl<'a> Iterator for Drain<'a> {
    type Item = (&'a [u8], &'a [u8], Time, Diff);
    fn next(&mut self) -> Option<Self::Item> {
        let place = self.places.next()?;
        let (key, value, time) = self.sorted.row(place);
        Some((key, value, time, place.diff))
    }
}

impl DrainContainer for Sorted {
    type Item<'a> = (&'a [u8], &'a [u8], Time, Diff);
    type DrainIter<'a> = Drain<'a>;
    fn drain(&mut self) -> Drain<'_> {
        Drain { places: self.order.iter(), sorted: self }
    }
}

impl BuilderInput<BytesContainer, BytesContainer> for Sorted {
    type Key<'a> = &'a [u8];
    type Val<'a> = &'a [u8];
    type Time = Time;
    type Diff = Diff;
    fn into_parts<'a>(item: Self::Item<'a>) -> (&'a [u8], &'a [u8], Time, Diff) {
        item
    }
    fn key_eq(this: &&[u8], other: &[u8]) -> bool {
        *this == other
    }
    fn val_eq(this: &&[u8], other: &[u8]) -> bool {
        *this == other
    }
    /// At most so many: what is too much is capacity that is not used.
    fn key_val_upd_counts(chain: &[Self]) -> (usize, usize, usize) {
        let rows = chain.iter().map(|sorted| sorted.order.len()).sum();
        (rows, rows, rows)
    }
}

/// Hands parts to the [`Sorter`] as they come.
#[derive(Default)]
pub(super) struct Chunker {
    ready: Vec<Sorted>,
    given: Sorted,
}

impl PushInto<&mut Vec<Part>> for Chunker {
    fn push_into(&mut self, parts: &mut Vec<Part>) {
        self.ready.push(Sorted { parts: std::mem::take(parts), order: vec![] });
    }
}

impl ContainerBuilder for Chunker {
    type Container = Sorted;
    fn extract(&mut self) -> Option<&mut Sorted> {
        self.given = self.ready.pop()?;
        Some(&mut self.given)
    }
    fn finish(&mut self) -> Option<&mut Sorted> {
        self.extract()
    }
}

/// Keeps parts until their times are complete.
pub(super) struct Sorter {
    parts: Vec<Part>,
    lower: Antichain<Time>,
    frontier: Antichain<Time>,
}

impl PushInto<Sorted> for Sorter {
    fn push_into(&mut self, chunk: Sorted) {
        self.parts.extend(chunk.parts);
    }
}

impl Batcher for Sorter {
    type Output = Sorted;
    type Time = Time;

    fn new(_logger: Option<Logger>, _operator: usize) -> Sorter {
        Sorter { parts: vec![], lower: Antichain::from_elem(0), frontier: Antichain::new() }
    }

    fn seal(&mut self, upper: Antichain<Time>) -> (Vec<Sorted>, Description<Time>) {
        let parts = std::mem::take(&mut self.parts);
        let (ready, later): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| !upper.less_equal(&part.time));
        self.parts = later;
        self.frontier = Antichain::from_iter(self.parts.iter().map(|part| part.time));
        let description = Description::new(self.lower.clone(), upper.clone(), Antichain::from_elem(0));
        self.lower = upper;
        let chain = if ready.is_empty() { vec![] } else { vec![Sorted::of(ready)] };
        (chain, description)
    }

    fn frontier(&mut self) -> AntichainRef<'_, Time> {
        self.frontier.borrow()
    }
}

/// Writes sorted rows to a batch.
pub(super) type SortedBuilder = RcBuilder<OrdValBuilder<RowLayout<Time, Diff>, Sorted>>;
