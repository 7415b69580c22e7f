//! `Keeper`: the thread that keeps snapshots on the disk. It writes what is new as parts, then the manifest; merges parts where they
//! are many; and removes what no kept snapshot needs.
//!
//! A failure leaves the older snapshots as they are, and what is new waits for the next one. After two failures in a row, or where too
//! much waits, no more are written until the next start: the log has everything.
use super::compact::compact;
use super::manifest::{self, Kept, Manifest, Point, Stream, sync_folder};
use super::part::{self, Part};
use super::retention::Retention;
use super::{Setting, Status};
use crate::progress::Bindings;
use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use dataflows::{Mode, Time};
use sources::decode::Mapping;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// Waiting rows become a part, though no snapshot is due, once they take so much.
const PART_BYTES: usize = 64 << 20;
/// More than this does not wait in memory after a failure.
const WAITING_BYTES_MAX: usize = 512 << 20;
/// So many parts of like sizes become one.
const PARTS_ALIKE: usize = 4;
/// Rows of a table that are compared with each other are all in memory: more is not merged.
const COMPACT_BYTES_MAX: u64 = 1 << 30;
const FAILURES_MAX: u32 = 2;

/// What the keeper is told, in the order in which it happened.
pub enum Note {
    /// A table has come, or is there from the start.
    Table(Arc<Mapping>),
    /// A table has gone.
    Gone(Arc<str>),
    /// Rows that came in.
    Rows(Stream, Vec<RecordBatch>),
    /// All rows up to a time were told.
    Cut(Box<Point>),
}

/// The parts of a stream, and what waits to become one.
#[derive(Default)]
struct Held {
    mapping: Option<Arc<Mapping>>,
    definition: u64,
    parts: Vec<Part>,
    waiting: Vec<RecordBatch>,
    bytes: usize,
}

/// The thread's state.
pub struct Keeper {
    folder: PathBuf,
    setting: Setting,
    epoch: u64,
    bindings: Arc<Bindings>,
    status: Arc<Status>,
    held: BTreeMap<Stream, Held>,
    numbered: u64,
    failures: u32,
    last: Time,
    retention: Option<Retention>,
    stop: Arc<AtomicBool>,
    merging: Option<(JoinHandle<()>, Receiver<Merged>)>,
}

/// What became of parts that were merged.
struct Merged {
    stream: Stream,
    inputs: Vec<Part>,
    output: Result<Part, String>,
}

/// What a table is, in a number: rows of another one cannot be used for it.
pub fn definition(mapping: &Mapping) -> u64 {
    xxh3_64(format!("{mapping:?}").as_bytes())
}

impl Keeper {
    /// Starts where `manifest` ended, or with nothing.
    pub fn new(
        folder: PathBuf,
        setting: Setting,
        epoch: u64,
        bindings: Arc<Bindings>,
        status: Arc<Status>,
        manifest: Option<&Manifest>,
        retention: Option<Retention>,
    ) -> Keeper {
        let mut held = BTreeMap::new();
        for Kept { stream, definition, parts } in manifest.map(|m| m.streams.clone()).unwrap_or_default() {
            held.insert(stream, Held { definition, parts, ..Held::default() });
        }
        let last = manifest.map_or(0, |manifest| manifest.point.time);
        let (stop, merging) = (Arc::default(), None);
        Keeper {
            folder,
            setting,
            epoch,
            bindings,
            status,
            held,
            numbered: 0,
            failures: 0,
            last,
            retention,
            stop,
            merging,
        }
    }

    /// Goes on until nobody tells it anything any more.
    pub fn run(mut self, notes: Receiver<Note>) {
        let nothing = never();
        loop {
            let merged = self.merging.as_ref().map_or(&nothing, |(_, merged)| merged).clone();
            select! {
                recv(notes) -> note => match note {
                    Ok(note) => self.take(note),
                    Err(_) => break,
                },
                recv(merged) -> done => self.merged(done.ok()),
            }
        }
        self.stop.store(true, Ordering::Relaxed);
        if let Some((thread, _)) = self.merging.take() {
            _ = thread.join();
        }
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Table(mapping) => {
                let definition = definition(&mapping);
                let held = self.held.entry(Stream::Table(mapping.table.name.clone())).or_default();
                if held.definition != definition {
                    *held = Held { definition, ..Held::default() };
                }
                held.mapping = Some(mapping);
            }
            Note::Gone(name) => _ = self.held.remove(&Stream::Table(name)),
            Note::Rows(stream, rows) => {
                if self.status.is_off() {
                    return;
                }
                let held = self.held.entry(stream.clone()).or_default();
                held.bytes += rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
                held.waiting.extend(rows);
                if held.bytes >= PART_BYTES
                    && self.failures == 0
                    && let Err(why) = self.write_part(&stream)
                {
                    self.failed(why);
                }
            }
            Note::Cut(point) => {
                if self.status.is_off() || point.time <= self.last {
                    return;
                }
                let began = Instant::now();
                match self.snapshot(&point) {
                    Ok(manifest) => self.wrote(&manifest, began),
                    Err(why) => self.failed(why),
                }
            }
        }
    }

    fn snapshot(&mut self, point: &Point) -> Result<Manifest, String> {
        self.check_space()?;
        let streams: Vec<Stream> = self.held.keys().cloned().collect();
        for stream in &streams {
            self.write_part(stream)?;
        }
        sync_folder(&self.folder)?;
        // A snapshot of a tick that is not bound would be one of another history.
        self.bindings.sync(point.time).map_err(|why| why.to_string())?;
        let kept = |(stream, held): (&Stream, &Held)| Kept {
            stream: stream.clone(),
            definition: held.definition,
            parts: held.parts.clone(),
        };
        let manifest = Manifest::new(self.epoch, point.clone(), self.held.iter().map(kept).collect());
        manifest.write(&self.folder)?;
        Ok(manifest)
    }

    fn wrote(&mut self, manifest: &Manifest, began: Instant) {
        (self.failures, self.last) = (0, manifest.point.time);
        self.status.change(|figures| {
            figures.written += 1;
            figures.failure = None;
            figures.time = manifest.point.time;
            figures.rows = manifest.parts().map(|part| part.rows).sum();
            figures.bytes = manifest.parts().map(|part| part.bytes).sum();
            figures.parts = manifest.parts().count() as u64;
            figures.wrote_ms = began.elapsed().as_millis() as u64;
        });
        let oldest = self.tidy();
        if let (Some(retention), Some(oldest)) = (&self.retention, oldest) {
            retention.apply(&oldest);
        }
        self.merge();
    }

    fn failed(&mut self, why: String) {
        self.failures += 1;
        let waiting: usize = self.held.values().map(|held| held.bytes).sum();
        let off = if self.failures >= FAILURES_MAX {
            Some(format!("{FAILURES_MAX} snapshots in a row could not be written, the last because: {why}"))
        } else if waiting > WAITING_BYTES_MAX {
            Some(format!("{waiting} bytes wait to be written, and cannot be: {why}"))
        } else {
            None
        };
        if let Some(off) = &off {
            report!("tallyflow: no more snapshots are written until the next start: {off}");
            self.held.clear();
        } else {
            report!("tallyflow: a snapshot could not be written and is tried again: {why}");
        }
        self.status.change(|figures| {
            figures.failed += 1;
            figures.failure = Some(why);
            figures.off = off;
        });
    }

    /// The log must never find the disk full because of a snapshot.
    fn check_space(&self) -> Result<(), String> {
        let waiting: usize = self.held.values().map(|held| held.bytes).sum();
        let needed = waiting as u64 + self.setting.free_bytes_min;
        match free_bytes(&self.folder) {
            Some(free) if free < needed => Err(format!(
                "{} has {free} bytes free: a snapshot of {waiting} bytes must leave {}",
                self.folder.display(),
                self.setting.free_bytes_min
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn write_part(&mut self, stream: &Stream) -> Result<(), String> {
        let name = self.fresh_name();
        let Some(held) = self.held.get_mut(stream).filter(|held| !held.waiting.is_empty()) else {
            return Ok(());
        };
        let part = part::write(&self.folder, &name, &held.waiting, &AtomicBool::new(false))?;
        held.parts.push(part);
        (held.waiting, held.bytes) = (vec![], 0);
        Ok(())
    }

    fn fresh_name(&mut self) -> String {
        self.numbered += 1;
        format!("part-{}-{}", self.epoch, self.numbered)
    }

    /// Merges the newest parts of a stream where so many are alike in size: each row is written again a few times in all.
    fn merge(&mut self) {
        if self.merging.is_some() {
            return;
        }
        let Some((stream, from)) =
            self.held.iter().find_map(|(stream, held)| Some((stream.clone(), mergeable(held)?)))
        else {
            return;
        };
        let name = self.fresh_name();
        let held = &self.held[&stream];
        let (inputs, mapping) = (held.parts[from..].to_vec(), held.mapping.clone());
        let (folder, stop) = (self.folder.clone(), self.stop.clone());
        let (done, merged) = bounded(1);
        let work = move || {
            let output = merge_parts(&folder, &name, &inputs, mapping.as_deref(), &stop);
            // The keeper may have ended: then the next start removes the part.
            _ = done.send(Merged { stream, inputs, output });
        };
        let thread = std::thread::Builder::new().name("snapshot-merge".into()).spawn(work);
        self.merging = thread.ok().map(|thread| (thread, merged));
    }

    fn merged(&mut self, merged: Option<Merged>) {
        if let Some((thread, _)) = self.merging.take() {
            _ = thread.join();
        }
        let Some(Merged { stream, inputs, output }) = merged else { return };
        let part = match output {
            Ok(part) => part,
            Err(why) => return report!("tallyflow: parts of a snapshot could not be merged: {why}"),
        };
        let held = self.held.get_mut(&stream);
        let place =
            held.as_ref().and_then(|held| held.parts.windows(inputs.len()).position(|run| run == inputs));
        match (held, place) {
            (Some(held), Some(place)) => {
                held.parts.splice(place..place + inputs.len(), [part]);
                self.status.change(|figures| figures.merged += 1);
                self.merge();
            }
            // The table was dropped meanwhile.
            _ => _ = fs::remove_file(self.folder.join(&part.name)),
        }
    }

    /// Removes manifests beyond those that are kept, and parts that none of them names. Gives the oldest point of those that are kept,
    /// if they are as many as are to be.
    fn tidy(&self) -> Option<Point> {
        let manifests = manifest::list(&self.folder).ok()?;
        let mut kept = vec![];
        let mut needed: BTreeSet<String> =
            self.held.values().flat_map(|held| &held.parts).map(|part| part.name.clone()).collect();
        for (i, (_, path)) in manifests.iter().enumerate() {
            if i >= self.setting.kept.max(1) {
                _ = fs::remove_file(path);
            } else if let Ok(manifest) = Manifest::read(path) {
                needed.extend(manifest.parts().map(|part| part.name.clone()));
                kept.push(manifest.point);
            }
        }
        // A part that is being merged right now has another ending, or is named by nobody yet.
        if self.merging.is_none() {
            remove_parts(&self.folder, &needed);
        }
        kept.pop().filter(|_| kept.len() + 1 >= self.setting.kept)
    }
}

/// Removes the parts that are not needed, and what unfinished writes left.
pub fn remove_parts(folder: &std::path::Path, needed: &BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".new") || (name.starts_with("part-") && !needed.contains(&name)) {
            _ = fs::remove_file(entry.path());
        }
    }
}

/// From where on the parts of a stream are merged.
fn mergeable(held: &Held) -> Option<usize> {
    let (mut from, mut sum) = (held.parts.len(), 0);
    while from > 0 && (sum == 0 || held.parts[from - 1].bytes <= sum) {
        from -= 1;
        sum += held.parts[from].bytes;
    }
    let is_compared = held.mapping.as_ref().is_some_and(|mapping| mapping.table.mode != Mode::Append);
    let fits = !is_compared || sum <= COMPACT_BYTES_MAX;
    (held.parts.len() - from >= PARTS_ALIKE && fits).then_some(from)
}

fn merge_parts(
    folder: &std::path::Path,
    name: &str,
    inputs: &[Part],
    mapping: Option<&Mapping>,
    stop: &AtomicBool,
) -> Result<Part, String> {
    let mut batches = Vec::new();
    for input in inputs {
        if stop.load(Ordering::Relaxed) {
            return Err("the process is stopping".into());
        }
        batches.extend(part::read(folder, input).map_err(|rejected| rejected.why)?);
    }
    if let Some(mapping) = mapping {
        // Types that cannot be compared are kept as they are.
        batches = compact(&mapping.table, batches.clone()).unwrap_or(batches);
    }
    part::write(folder, name, &batches, stop)
}

/// What is free for us on the disk of a folder.
fn free_bytes(folder: &std::path::Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: statvfs is plain numbers, for which zero is a value; the path ends in a zero and both pointers are to our own.
    unsafe {
        let mut free: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &mut free) == 0).then(|| free.f_bavail as u64 * free.f_frsize as u64)
    }
}

/// Where notes go, bounded: who records waits for the disk.
pub fn notes() -> (Sender<Note>, Receiver<Note>) {
    bounded(128)
}
