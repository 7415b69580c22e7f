//! `History`: the last changes of a view by time, so that a stream can go on where it was interrupted.
use super::page::{Entry, Page};
use dataflows::Time;
use std::collections::VecDeque;
use std::sync::Arc;

/// Where a stream stands: `done` steps of `time` were seen, and all before it. Each change is a step, and the end of the
/// time is the last one, so that a copy knows whether what it has of the time is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The time.
    pub time: Time,
    /// How many of its steps were seen.
    pub done: usize,
}

/// What happened to a key, in the words of those who keep a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// A row came, `count` times.
    Insert(Entry<'a>),
    /// A row went; its count is negative.
    Delete(Entry<'a>),
    /// The only row of a key became another.
    Update {
        /// The row that went.
        old: Entry<'a>,
        /// The row that came.
        new: Entry<'a>,
    },
}

/// All changes of a view at one time.
#[derive(Debug)]
pub struct Commit {
    /// When.
    pub time: Time,
    pub(super) entries: Page,
    changes: usize,
}

impl Commit {
    pub(super) fn new(time: Time, entries: Page) -> Commit {
        let mut commit = Commit { time, entries, changes: 0 };
        commit.changes = commit.changes().count();
        commit
    }

    /// How many changes it has.
    pub fn len(&self) -> usize {
        self.changes
    }

    /// The place after it.
    pub fn end(&self) -> Place {
        Place { time: self.time, done: self.changes + 1 }
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// The changes by key, in an order that is always the same.
    pub fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let first = (at < self.entries.len()).then(|| self.entries.get(at))?;
            let mut end = at + 1;
            while end < self.entries.len() && self.entries.get(end).key == first.key {
                end += 1;
            }
            let group = at..end;
            at = end;
            Some(group)
        })
        .flat_map(|group| self.group(group))
    }

    /// One key's changes: an update where one row took the place of another, else what went before what came.
    fn group(&self, group: std::ops::Range<usize>) -> Vec<Change<'_>> {
        let entries: Vec<Entry<'_>> = group.map(|i| self.entries.get(i)).collect();
        match entries[..] {
            [old @ Entry { count: -1, .. }, new @ Entry { count: 1, .. }]
            | [new @ Entry { count: 1, .. }, old @ Entry { count: -1, .. }] => {
                vec![Change::Update { old, new }]
            }
            _ => {
                let went = entries.iter().filter(|entry| entry.count < 0).map(|entry| Change::Delete(*entry));
                let came = entries.iter().filter(|entry| entry.count > 0).map(|entry| Change::Insert(*entry));
                went.chain(came).collect()
            }
        }
    }
}

/// The commits above a floor, bounded in bytes and in engine time.
#[derive(Debug)]
pub(super) struct History {
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    floor: Place,
    bytes_max: usize,
    window_ms: u64,
}

impl History {
    pub(super) fn new(floor: Time, bytes_max: usize, window_ms: u64) -> History {
        let floor = Place { time: floor, done: 0 };
        History { commits: VecDeque::new(), bytes: 0, floor, bytes_max, window_ms }
    }

    pub(super) fn push(&mut self, commit: Commit) {
        self.bytes += commit.entries.size();
        self.commits.push_back(Arc::new(commit));
        while self.bytes > self.bytes_max {
            self.forget_first();
        }
    }

    /// The earliest time that all later changes are known of.
    pub(super) fn floor(&self) -> Time {
        self.floor.time
    }

    /// Forgets what is older than the window at a time.
    pub(super) fn forget(&mut self, now: Time) {
        while self.commits.front().is_some_and(|commit| commit.time + self.window_ms < now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(commit) = self.commits.pop_front() {
            self.bytes -= commit.entries.size();
            self.floor = commit.end();
        }
    }

    /// The place after all changes of a time that is complete.
    pub(super) fn end_of(&self, time: Time) -> Place {
        match self.commits.binary_search_by_key(&time, |commit| commit.time) {
            Ok(i) => self.commits[i].end(),
            Err(_) if time == self.floor.time => self.floor,
            Err(_) => Place { time, done: 0 },
        }
    }

    /// Up to `count_max` commits that hold steps after a place, none later than `until`; none if some are forgotten.
    pub(super) fn after(&self, place: Place, until: Time, count_max: usize) -> Option<Vec<Arc<Commit>>> {
        if place < self.floor {
            return None;
        }
        let first = self.commits.partition_point(|commit| commit.end() <= place);
        let rest = self.commits.iter().skip(first).take_while(|commit| commit.time <= until);
        Some(rest.take(count_max).cloned().collect())
    }
}
