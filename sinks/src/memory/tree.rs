//! `Tree`: a view's rows by key, persistent: a changed tree shares what did not change, so that a reader keeps the one it has.
use super::page::{Entry, Page};
use dataflows::Diff;
use std::ops::Range;
use std::sync::Arc;

/// Entries of a page, and pages of a branch, at most (a key with several rows may exceed it).
const FANOUT: usize = 64;
/// A page with fewer entries takes in the next one.
const FANOUT_MIN: usize = 16;
/// A page is cut when it has more bytes than this, and even within a key beyond [`GROUP_BYTES_MAX`].
const PAGE_BYTES_MAX: usize = 16 << 10;
const GROUP_BYTES_MAX: usize = 1 << 20;

/// Counts of what a tree, a branch or a page holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows, each as often as it is there.
    pub rows: u64,
    /// Memory of keys and rows.
    pub bytes: u64,
    /// Keys that have more than one row (counted again for each page that a key with very many rows fills).
    pub shared_keys: u64,
}

impl std::iter::Sum for Totals {
    fn sum<I: Iterator<Item = Totals>>(totals: I) -> Totals {
        totals.fold(Totals::default(), |a, b| Totals {
            rows: a.rows + b.rows,
            bytes: a.bytes + b.bytes,
            shared_keys: a.shared_keys + b.shared_keys,
        })
    }
}

/// A row that would be there less than zero times.
#[derive(Debug)]
pub(super) struct Negative(pub(super) Vec<u8>);

#[derive(Debug)]
struct Leaf {
    page: Page,
    totals: Totals,
    /// Whether its first key began in the leaf before.
    continued: bool,
}

#[derive(Debug)]
struct Branch {
    leaves: Vec<Arc<Leaf>>,
    totals: Totals,
}

impl Leaf {
    fn new(page: Page, continued: bool) -> Arc<Leaf> {
        let mut totals = Totals { bytes: page.size() as u64, ..Totals::default() };
        let mut before: Option<(&[u8], Diff)> = None;
        for entry in page.iter() {
            totals.rows += entry.count.unsigned_abs();
            let held = before.filter(|(key, _)| *key == entry.key).map_or(0, |(_, count)| count);
            // A key counts once: when its second row is met.
            totals.shared_keys += u64::from(held <= 1 && held + entry.count > 1);
            before = Some((entry.key, held + entry.count));
        }
        Arc::new(Leaf { page, totals, continued })
    }

    /// The least place that belongs here: rows of a key stay together unless they fill leaves.
    fn lower(&self) -> (&[u8], &[u8]) {
        let first = self.page.get(0);
        (first.key, if self.continued { first.row } else { &[] })
    }
}

impl Branch {
    fn new(leaves: Vec<Arc<Leaf>>) -> Arc<Branch> {
        let totals = leaves.iter().map(|leaf| leaf.totals).sum();
        Arc::new(Branch { leaves, totals })
    }
}

/// Rows by key. Cloning it costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    branches: Arc<Vec<Arc<Branch>>>,
    totals: Totals,
}

impl Tree {
    /// What it holds.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The entries at or after a place, in order.
    pub fn from(&self, key: &[u8], row: &[u8]) -> impl Iterator<Item = Entry<'_>> {
        let branch = holder(&self.branches, |branch| branch.leaves[0].lower(), (key, row));
        let leaves = self.branches.get(branch).map_or(&[][..], |branch| &branch.leaves);
        let leaf = holder(leaves, |leaf| leaf.lower(), (key, row));
        let first = leaves.get(leaf).map_or(0, |leaf| leaf.page.lower_bound(key, row));
        let rest = self.branches.iter().skip(branch + 1).flat_map(|branch| &branch.leaves);
        let mut skip = first;
        leaves.iter().skip(leaf).chain(rest).flat_map(move |leaf| {
            let from = std::mem::take(&mut skip);
            (from..leaf.page.len()).map(|i| leaf.page.get(i))
        })
    }

    /// The entries of one key.
    pub fn get<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = Entry<'a>> {
        self.from(key, &[]).take_while(move |entry| entry.key == key)
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.from(&[], &[])
    }

    /// The tree with changes added; a row whose count falls to 0 is gone.
    pub(super) fn merge(&self, changes: &Page) -> Result<Tree, Negative> {
        if changes.is_empty() {
            return Ok(self.clone());
        }
        let old = &self.branches[..];
        let mut branches = Vec::with_capacity(old.len() + 1);
        let (mut taken, mut from) = (0, 0);
        while from < changes.len() {
            let at = holder(old, |branch| branch.leaves[0].lower(), changes.get(from).place());
            branches.extend_from_slice(&old[taken..at]);
            let to = old.get(at + 1).map_or(changes.len(), |next| bound(changes, next.leaves[0].lower()));
            let leaves = merge_leaves(old.get(at).map_or(&[], |branch| &branch.leaves), changes, from..to)?;
            let count = leaves.len().div_ceil(FANOUT).max(1);
            let width = leaves.len().div_ceil(count).max(1);
            branches.extend(leaves.chunks(width).map(|chunk| Branch::new(chunk.to_vec())));
            (taken, from) = ((at + 1).min(old.len()), to);
        }
        branches.extend_from_slice(&old[taken..]);
        let totals = branches.iter().map(|branch| branch.totals).sum();
        Ok(Tree { branches: Arc::new(branches), totals })
    }
}

/// The part that a place belongs to: the last that begins at or before it, else the first.
fn holder<T>(parts: &[Arc<T>], lower: fn(&T) -> (&[u8], &[u8]), place: (&[u8], &[u8])) -> usize {
    parts.partition_point(|part| lower(part) <= place).saturating_sub(1)
}

fn bound(changes: &Page, place: (&[u8], &[u8])) -> usize {
    changes.lower_bound(place.0, place.1)
}

fn merge_leaves(old: &[Arc<Leaf>], changes: &Page, range: Range<usize>) -> Result<Vec<Arc<Leaf>>, Negative> {
    let empty = Page::default();
    let (mut leaves, mut taken, mut from) = (Vec::with_capacity(old.len() + 1), 0, range.start);
    while from < range.end {
        let at = holder(old, |leaf| leaf.lower(), changes.get(from).place());
        leaves.extend_from_slice(&old[taken..at]);
        let continued = old.get(at).filter(|leaf| leaf.continued).map(|leaf| leaf.page.get(0).key);
        let mut merged = Page::default();
        let mut next = at;
        // A leaf that became small takes in the next one.
        while next == at || (merged.len() < FANOUT_MIN && !merged.is_empty() && next < old.len()) {
            let to = old.get(next + 1).map_or(range.end, |leaf| bound(changes, leaf.lower()).min(range.end));
            merge_page(old.get(next).map_or(&empty, |leaf| &leaf.page), changes, from..to, &mut merged)?;
            (next, from) = (next + 1, to);
        }
        cut(merged, continued, &mut leaves);
        taken = next.min(old.len());
    }
    leaves.extend_from_slice(&old[taken..]);
    Ok(leaves)
}

/// Appends the entries of a page, with some changes added, to another page.
fn merge_page(old: &Page, changes: &Page, range: Range<usize>, out: &mut Page) -> Result<(), Negative> {
    let mut kept = old.iter().peekable();
    for change in range.map(|i| changes.get(i)) {
        while let Some(entry) = kept.next_if(|entry| entry.place() < change.place()) {
            out.push(entry);
        }
        let held = kept.next_if(|entry| entry.place() == change.place()).map_or(0, |entry| entry.count);
        let count = held + change.count;
        if count < 0 {
            return Err(Negative(change.row.to_vec()));
        }
        out.push(Entry { count, ..change });
    }
    kept.for_each(|entry| out.push(entry));
    Ok(())
}

/// Cuts entries into leaves of about the same length, between keys where that is possible.
fn cut(page: Page, continued: Option<&[u8]>, out: &mut Vec<Arc<Leaf>>) {
    if page.is_empty() {
        return;
    }
    let begins_within = continued.is_some_and(|key| key == page.get(0).key);
    let count = page.len().div_ceil(FANOUT).max(page.size().div_ceil(PAGE_BYTES_MAX)).min(page.len());
    if count == 1 {
        out.push(Leaf::new(page, begins_within));
        return;
    }
    let width = page.len().div_ceil(count);
    let mut part = Page::default();
    let mut part_continued = begins_within;
    let mut last: &[u8] = &[];
    for (i, entry) in page.iter().enumerate() {
        let same_key = i > 0 && entry.key == last;
        if part.len() >= width && (!same_key || part.size() > GROUP_BYTES_MAX) {
            out.push(Leaf::new(std::mem::take(&mut part), part_continued));
            part_continued = same_key;
        }
        part.push(entry);
        last = entry.key;
    }
    out.push(Leaf::new(part, part_continued));
}
