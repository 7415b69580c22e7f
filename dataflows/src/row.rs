//! `Row`: an owned row of bytes, and the containers that keep many of them in an arrangement.
use differential_dataflow::difference::Semigroup;
use differential_dataflow::lattice::Lattice;
use differential_dataflow::trace::implementations::merge_batcher::{MergeBatcher, vec::VecMerger};
use differential_dataflow::trace::implementations::ord_neu::{OrdValBatch, OrdValBuilder};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{BatchContainer, Layout, OffsetList};
use differential_dataflow::trace::rc_blanket_impls::RcBuilder;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::rc::Rc;
use timely::container::PushInto;
use timely::progress::Timestamp;

/// Bytes of an encoded row; up to 24 of them without a heap allocation (a heap row costs 2.5 times as much in an arrangement).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Row(SmallVec<[u8; 24]>);

impl Row {
    /// Copies the bytes.
    pub fn from_slice(bytes: &[u8]) -> Row {
        Row(SmallVec::from_slice(bytes))
    }
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

/// The one hash by which rows find their worker, and groups their slot: the same in every process.
pub fn hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// The worker that keeps the state of a key. By the upper half of the hash: the lower one finds the slot in that worker's table, and
/// would leave most slots empty if all its keys agreed in it.
pub(crate) fn worker_of(hash: u64, peers: usize) -> usize {
    ((hash >> 32) % peers as u64) as usize
}

/// Needed by the builders of arrangements, which compare owned rows with stored ones.
impl PartialEq<Row> for [u8] {
    fn eq(&self, other: &Row) -> bool {
        self == other.as_slice()
    }
}

/// As bytes: one copy, where the derived form would go byte by byte.
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Row, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Row;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Row, E> {
                Ok(Row::from_slice(bytes))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// Rows back to back: four bytes of overhead a row.
pub struct BytesContainer {
    offsets: OffsetList,
    bytes: Vec<u8>,
}

impl BytesContainer {
    fn with_capacities(rows: usize, bytes: usize) -> BytesContainer {
        let mut offsets = OffsetList::with_capacity(rows + 1);
        offsets.push(0);
        BytesContainer { offsets, bytes: Vec::with_capacity(bytes) }
    }
}

impl BatchContainer for BytesContainer {
    type Owned = Row;
    type ReadItem<'a> = &'a [u8];
    fn into_owned(item: &[u8]) -> Row {
        Row::from_slice(item)
    }
    fn clone_onto(item: &[u8], other: &mut Row) {
        other.0.clear();
        other.0.extend_from_slice(item);
    }
    fn push_ref(&mut self, item: &[u8]) {
        self.push_into(item);
    }
    fn push_own(&mut self, item: &Row) {
        self.push_into(item.as_slice());
    }
    fn clear(&mut self) {
        self.offsets.clear();
        self.offsets.push(0);
        self.bytes.clear();
    }
    fn with_capacity(rows: usize) -> Self {
        Self::with_capacities(rows, 0)
    }
    fn merge_capacity(a: &Self, b: &Self) -> Self {
        Self::with_capacities(a.len() + b.len(), a.bytes.len() + b.bytes.len())
    }
    fn reborrow<'b, 'a: 'b>(item: &'a [u8]) -> &'b [u8] {
        item
    }
    fn index(&self, i: usize) -> &[u8] {
        &self.bytes[self.offsets.index(i)..self.offsets.index(i + 1)]
    }
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }
}

impl PushInto<&[u8]> for BytesContainer {
    fn push_into(&mut self, item: &[u8]) {
        self.bytes.extend_from_slice(item);
        self.offsets.push(self.bytes.len());
    }
}

impl PushInto<Row> for BytesContainer {
    fn push_into(&mut self, item: Row) {
        self.push_into(item.as_slice());
    }
}

/// Bytes for keys and values, plain vectors for times and diffs.
pub struct RowLayout<T, R>(PhantomData<(T, R)>);

impl<T: Timestamp + Lattice, R: Ord + Semigroup + 'static> Layout for RowLayout<T, R> {
    type KeyContainer = BytesContainer;
    type ValContainer = BytesContainer;
    type TimeContainer = Vec<T>;
    type DiffContainer = Vec<R>;
    type OffsetContainer = OffsetList;
}

/// Collects and sorts what has not been sealed.
pub type RowBatcher<T, R> = MergeBatcher<VecMerger<(Row, Row), T, R>>;
/// Makes a batch of it.
pub type RowBuilder<T, R> = RcBuilder<OrdValBuilder<RowLayout<T, R>, Vec<((Row, Row), T, R)>>>;
/// Keeps and merges batches.
pub type RowSpine<T, R> = Spine<Rc<OrdValBatch<RowLayout<T, R>>>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_32_bytes_and_comes_back_from_a_container() {
        assert_eq!(std::mem::size_of::<Row>(), 32);
        for bytes in [&b""[..], b"short", b"a row that is longer than its inline bytes allow"] {
            let row = Row::from_slice(bytes);
            let copy: Row = through_container(&row);
            assert_eq!((copy.as_slice(), hash(bytes)), (bytes, hash(row.as_slice())));
        }
    }

    fn through_container(row: &Row) -> Row {
        let mut container = BytesContainer::with_capacity(0);
        container.push_own(&Row::default());
        container.push_own(row);
        assert_eq!(container.index(0), b"");
        BytesContainer::into_owned(container.index(1))
    }
}
