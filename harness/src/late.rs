//! `LateChanges`: what events that came late changed. For each tick that took some: how many rows of each view came and went.
//!
//! The publisher counts them once the tick is seen, so they come to the table `late_changes` with a later tick. A replay tells the
//! engine of many ticks at once and could not count again: what a tick brings to the table stands in a file before the tick is bound,
//! a line of JSON behind its checksum, and a replay of the tick brings the same.
use crate::Error;
use dataflows::{Tick, Time, View};
use queries::catalogue::system::is_system;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

/// Rows come to the table so far apart.
const APART_MS: u64 = 5_000;
/// More rows than this become one for each view.
const ROWS_MAX: usize = 512;

/// A row of `late_changes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The tick.
    pub time: Time,
    /// The view.
    pub view: String,
    /// How many late events the tick took.
    pub events: u64,
    /// By how much the latest of them was late.
    pub late_ms: u64,
    /// Rows that came.
    pub added: u64,
    /// Rows that went.
    pub withdrawn: u64,
}

/// The rows that a tick brought to the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// The tick.
    pub tick: Time,
    /// The rows.
    pub rows: Vec<Change>,
}

/// What late events changed. By default nothing is noted.
#[derive(Default)]
pub struct LateChanges(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    file: Option<File>,
    /// Ticks that took late events and are not seen yet: time, events, by how much the latest was late.
    took: VecDeque<(Time, u64, u64)>,
    /// Rows that wait for the tick that brings them.
    waiting: Vec<Change>,
    /// The tick that brought the last ones.
    last: Time,
    /// What bound ticks bring again.
    again: VecDeque<Brought>,
    failed: bool,
}

impl LateChanges {
    /// Opens or makes the file. Ticks up to `from` are in a snapshot; after `bound` none is bound, and what they were to bring waits
    /// again. Also how many bytes of a torn tail were cut.
    pub fn open(path: &Path, from: Time, bound: Time) -> Result<(LateChanges, u64), Error> {
        let failed = |why: String| Error::failed(format!("open {}", path.display()), why);
        let text = |why: std::io::Error| failed(why.to_string());
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.map_err(text)?;
        let bytes = std::fs::read(path).map_err(text)?;
        let (list, whole) = parse(&bytes).map_err(failed)?;
        let mut end = whole;
        let mut inner = Inner { last: from, ..Inner::default() };
        for (brought, start) in list {
            if brought.tick > bound {
                end = end.min(start);
                inner.waiting.extend(brought.rows);
            } else if brought.tick > from {
                inner.again.push_back(brought);
            }
        }
        if end < bytes.len() {
            file.set_len(end as u64).and_then(|()| file.sync_all()).map_err(text)?;
        }
        file.seek(SeekFrom::Start(end as u64)).map_err(text)?;
        inner.file = Some(file);
        Ok((LateChanges(Mutex::new(inner)), (bytes.len() - whole) as u64))
    }

    /// A new tick takes so many late events.
    pub fn took(&self, time: Time, events: u64, late_ms: u64) {
        let mut inner = self.lock();
        if inner.file.is_some() && events > 0 {
            inner.took.push_back((time, events, late_ms));
        }
    }

    /// A tick is seen. The first rows of a view, of those that are `fresh`, are not what its ticks changed.
    pub fn seen(&self, tick: &Tick, fresh: &[Arc<View>]) {
        let mut inner = self.lock();
        while let Some((time, events, late_ms)) = inner.took.pop_front_if(|(time, ..)| *time < tick.upper) {
            for batch in &tick.batches {
                let name = &batch.view.name;
                if is_system(name) || fresh.iter().any(|view| view.name == *name) {
                    continue;
                }
                let (mut added, mut withdrawn) = (0, 0);
                for diff in batch.changes.iter().filter(|delta| delta.time == time).flat_map(|d| &d.diffs) {
                    *if *diff > 0 { &mut added } else { &mut withdrawn } += diff.unsigned_abs();
                }
                if added + withdrawn > 0 {
                    let view = name.to_string();
                    inner.waiting.push(Change { time, view, events, late_ms, added, withdrawn });
                }
            }
        }
    }

    /// The rows that a new tick brings, durable when this returns. Where they cannot be written they wait for a later tick.
    pub fn bring(&self, tick: Time) -> Vec<Change> {
        let mut inner = self.lock();
        let is_due = !inner.waiting.is_empty() && tick >= inner.last + APART_MS;
        if !is_due || inner.file.is_none() {
            return vec![];
        }
        if inner.waiting.len() > ROWS_MAX {
            inner.waiting = together(std::mem::take(&mut inner.waiting));
        }
        let brought = Brought { tick, rows: std::mem::take(&mut inner.waiting) };
        inner.last = tick;
        let written = inner.file.as_mut().map_or(Ok(()), |file| append(file, &brought));
        let failed = written.is_err();
        match written {
            Ok(()) => {
                inner.failed = false;
                return brought.rows;
            }
            Err(why) if !inner.failed => {
                report!("tallyflow: what late events changed cannot be written and is tried again: {why}");
            }
            Err(_) => {}
        }
        (inner.failed, inner.waiting) = (failed, brought.rows);
        vec![]
    }

    /// The rows that a bound tick brought.
    pub fn brought(&self, tick: Time) -> Vec<Change> {
        let mut inner = self.lock();
        let mut rows = vec![];
        while let Some(brought) = inner.again.pop_front_if(|brought| brought.tick <= tick) {
            inner.last = brought.tick;
            rows.extend(brought.rows);
        }
        rows
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no thread panics with what came late")
    }
}

/// What ticks brought up to a time, in a file that another process may hold.
pub fn read(path: &Path, until: Time) -> Result<Vec<Change>, Error> {
    let failed = |why: String| Error::failed(format!("read {}", path.display()), why);
    let bytes = match std::fs::read(path) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        read => read.map_err(|why| failed(why.to_string()))?,
    };
    let (list, _) = parse(&bytes).map_err(failed)?;
    Ok(list.into_iter().filter(|(one, _)| one.tick <= until).flat_map(|(one, _)| one.rows).collect())
}

/// One row for each view: its last tick, and the sums.
fn together(rows: Vec<Change>) -> Vec<Change> {
    let mut views: BTreeMap<String, Change> = BTreeMap::new();
    for row in rows {
        match views.get_mut(&row.view) {
            None => _ = views.insert(row.view.clone(), row),
            Some(sum) => {
                (sum.time, sum.late_ms) = (sum.time.max(row.time), sum.late_ms.max(row.late_ms));
                sum.events += row.events;
                sum.added += row.added;
                sum.withdrawn += row.withdrawn;
            }
        }
    }
    views.into_values().collect()
}

fn append(file: &mut File, brought: &Brought) -> std::io::Result<()> {
    let start = file.stream_position()?;
    let written = file.write_all(render(brought).as_bytes()).and_then(|()| file.sync_data());
    if written.is_err() {
        // Half a line must not stand in front of the next one.
        _ = file.set_len(start).and_then(|()| file.seek(SeekFrom::Start(start)));
    }
    written
}

fn render(brought: &Brought) -> String {
    let json = serde_json::to_string(brought).expect("numbers and texts are JSON");
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

/// The whole lines with where each begins, and where they end.
fn parse(bytes: &[u8]) -> Result<(Vec<(Brought, usize)>, usize), String> {
    let (mut list, mut at) = (vec![], 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match parse_line(line) {
            Some(brought) => list.push((brought, at)),
            None if at + line.len() == bytes.len() => break,
            None => return Err(format!("the line at byte {at} is damaged: move the file away")),
        }
        at += line.len();
    }
    Ok((list, at))
}

fn parse_line(line: &[u8]) -> Option<Brought> {
    let (crc, json) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    (crc == crc32fast::hash(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(time: Time, view: &str) -> Change {
        Change { time, view: view.into(), events: 2, late_ms: time, added: 3, withdrawn: 1 }
    }

    #[test]
    fn what_a_tick_brought_it_brings_again_and_what_was_not_bound_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("late");
        let open = |from, bound| LateChanges::open(&path, from, bound).unwrap();
        let (late, _) = open(0, 0);
        for n in 1..=3 {
            late.lock().waiting.push(change(n, "a"));
            assert_eq!(late.bring(n * APART_MS), [change(n, "a")]);
            assert_eq!(late.bring(n * APART_MS + 1), []);
        }
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(read(&path, 2 * APART_MS).unwrap(), [change(1, "a"), change(2, "a")]);
        let (late, cut) = open(APART_MS, 2 * APART_MS);
        assert_eq!((late.brought(2 * APART_MS - 1), cut), (vec![], 0));
        assert_eq!(late.brought(2 * APART_MS), [change(2, "a")]);
        assert_eq!(late.bring(4 * APART_MS), [change(3, "a")]);
        assert_eq!(read(&path, Time::MAX).unwrap().len(), 3);
        // Torn anywhere in its last line.
        for length in whole.len() - 20..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (late, cut) = open(0, Time::MAX);
            assert!(cut > 0);
            assert_eq!(late.brought(Time::MAX).len(), 2, "{length}");
        }
        let mut damaged = whole.clone();
        damaged[3] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        let why = LateChanges::open(&path, 0, 0).err().unwrap().to_string();
        assert!(why.contains("byte 0"), "{why}");
    }

    #[test]
    fn very_many_rows_become_one_a_view() {
        let rows = [change(1, "a"), change(3, "b"), change(2, "a")];
        let sum = Change { time: 2, view: "a".into(), events: 4, late_ms: 2, added: 6, withdrawn: 2 };
        assert_eq!(together(rows.to_vec()), [sum, change(3, "b")]);
    }
}
