//! `Page`: entries in the order of their keys, back to back in one piece of memory: what a tree is made of, and a commit.
use dataflows::Diff;

/// One entry of a page: a row under its key, and how often it is there (or changed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry<'a> {
    /// The key's bytes; they compare as SQL orders the key columns.
    pub key: &'a [u8],
    /// The row's bytes, as the view's codec wrote them.
    pub row: &'a [u8],
    /// Its multiplicity, or the change of it.
    pub count: Diff,
}

impl<'a> Entry<'a> {
    /// What entries are ordered by.
    pub(super) fn place(&self) -> (&'a [u8], &'a [u8]) {
        (self.key, self.row)
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    start: u32,
    row: u32,
    count: Diff,
}

/// Entries ascending by key, then row; none twice, none with a count of 0.
#[derive(Clone, Debug, Default)]
pub struct Page {
    bytes: Vec<u8>,
    slots: Vec<Slot>,
}

impl Page {
    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The memory it needs.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.slots.len() * size_of::<Slot>()
    }

    /// Entry number `i`.
    pub fn get(&self, i: usize) -> Entry<'_> {
        let slot = self.slots[i];
        let end = self.slots.get(i + 1).map_or(self.bytes.len(), |next| next.start as usize);
        let (start, row) = (slot.start as usize, slot.row as usize);
        Entry { key: &self.bytes[start..row], row: &self.bytes[row..end], count: slot.count }
    }

    /// All entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Entry<'_>> + Clone {
        (0..self.len()).map(|i| self.get(i))
    }

    /// The first entry at or after a place.
    pub(super) fn lower_bound(&self, key: &[u8], row: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if self.get(middle).place() < (key, row) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Sorts entries and adds up those of the same row.
    pub(super) fn consolidated(mut entries: Vec<Entry<'_>>) -> Page {
        entries.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        let bytes = entries.iter().map(|entry| entry.key.len() + entry.row.len()).sum();
        let mut page = Page { bytes: Vec::with_capacity(bytes), slots: Vec::with_capacity(entries.len()) };
        for group in entries.chunk_by(|a, b| a.place() == b.place()) {
            page.push(Entry { count: group.iter().map(|entry| entry.count).sum(), ..group[0] });
        }
        // Pages stay: what was set aside for changes that cancel out is given back.
        if page.bytes.len() < bytes / 2 {
            page.bytes.shrink_to_fit();
            page.slots.shrink_to_fit();
        }
        page
    }

    /// Appends an entry that follows all that are there; a count of 0 is no entry.
    pub(super) fn push(&mut self, entry: Entry<'_>) {
        if entry.count == 0 {
            return;
        }
        let at = |length: usize| {
            u32::try_from(length).expect("a page and a tick's changes of a view stay below 4 GiB")
        };
        let start = at(self.bytes.len());
        self.bytes.extend_from_slice(entry.key);
        let row = at(self.bytes.len());
        self.bytes.extend_from_slice(entry.row);
        self.slots.push(Slot { start, row, count: entry.count });
    }
}
