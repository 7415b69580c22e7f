//! `Manifest`: what belongs to a snapshot. A line of JSON and a line with its xxh3; it is written after all its parts are durable.
use super::part::Part;
use crate::intake::Counts;
use dataflows::{Position, Time};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Raised where rows come to be decoded or kept in another way: older snapshots are then rejected.
const FORMAT: u32 = 1;

/// A snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// How it is written.
    pub format: u32,
    /// The program that wrote it.
    pub build: String,
    /// The epoch of the process that wrote it.
    pub epoch: u64,
    /// What was taken in.
    pub point: Point,
    /// The tables, and the intake's memory.
    pub streams: Vec<Kept>,
}

/// How far everything was at the time of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The last tick.
    pub time: Time,
    /// The latest event time that the clock followed.
    pub latest_event: Time,
    /// The end of what was read of the log: partition and offset.
    pub positions: Vec<(u32, u64)>,
    /// The last record read of each partition: partition, offset, and a hash, to tell another log from this one.
    pub anchors: Vec<(u32, u64, u64)>,
    /// Where the tick's record begins in the bindings, where that is known.
    pub bound_at: Option<u64>,
    /// What became of the records.
    pub counts: Counts,
}

impl Point {
    /// The end of what was read of the log.
    pub fn positions(&self) -> Vec<Position> {
        let position = |(partition, offset): &(u32, u64)| Position { partition: *partition, offset: *offset };
        self.positions.iter().map(position).collect()
    }
}

/// What the rows of a part are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The rows that a table was fed with.
    Table(Arc<str>),
    /// The events that count, by the hash of their source and id.
    Seen,
    /// The records that do not count, by position.
    Dropped,
    /// The records in quarantine.
    Quarantine,
}

/// The parts of a stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// What they are.
    pub stream: Stream,
    /// A hash of what the table is; 0 where there is none.
    pub definition: u64,
    /// The parts in the order in which they were written.
    pub parts: Vec<Part>,
}

/// Why a snapshot cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// In a word, for the metrics.
    pub reason: &'static str,
    /// The file, and what is wrong.
    pub why: String,
}

impl Rejected {
    /// For a reason.
    pub fn new(reason: &'static str, why: String) -> Rejected {
        Rejected { reason, why }
    }
}

impl Manifest {
    /// Of parts that are durable.
    pub fn new(epoch: u64, point: Point, streams: Vec<Kept>) -> Manifest {
        Manifest { format: FORMAT, build: env!("CARGO_PKG_VERSION").into(), epoch, point, streams }
    }

    /// All its parts.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.streams.iter().flat_map(|kept| &kept.parts)
    }

    /// Writes it, whole or not at all, also when the power fails. One of the same time must not be there.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let path = path_of(folder, self.point.time);
        let new = path.with_extension("json.new");
        let written = self.write_to(folder, &new, &path);
        if written.is_err() {
            _ = fs::remove_file(&new);
        }
        written.map_err(|why| format!("cannot write {}: {why}", path.display()))
    }

    fn write_to(&self, folder: &Path, new: &Path, path: &Path) -> Result<(), String> {
        let text = |why: std::io::Error| why.to_string();
        super::point("snap_manifest.before")?;
        let json = serde_json::to_string(self).map_err(|why| why.to_string())?;
        let mut file = File::create(new).map_err(text)?;
        write!(file, "{json}\n{:016x}\n", xxh3_64(json.as_bytes())).map_err(text)?;
        file.sync_all().map_err(text)?;
        if path.exists() {
            return Err("it is there already".into());
        }
        fs::rename(new, path).map_err(text)?;
        sync_folder(folder)?;
        super::point("snap_manifest.after")
    }

    /// Reads one.
    pub fn read(path: &Path) -> Result<Manifest, Rejected> {
        let rejected = |reason, why: String| Rejected::new(reason, format!("{}: {why}", path.display()));
        let text = fs::read_to_string(path)
            .map_err(|why| rejected("unreadable", format!("it cannot be read: {why}")))?;
        let torn = || rejected("manifest", "it is cut short or damaged".into());
        let (json, hash) =
            text.strip_suffix('\n').and_then(|text| text.rsplit_once('\n')).ok_or_else(torn)?;
        if u64::from_str_radix(hash, 16).ok() != Some(xxh3_64(json.as_bytes())) || hash.len() != 16 {
            return Err(torn());
        }
        // The format is looked at first: another one may have other fields.
        let value: serde_json::Value = serde_json::from_str(json).map_err(|_| torn())?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(u64::from(FORMAT)) {
            let why = format!("it has format {format:?}, this program reads {FORMAT}");
            return Err(rejected("format", why));
        }
        serde_json::from_str(json).map_err(|why| rejected("format", why.to_string()))
    }
}

/// Makes what was renamed in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<(), String> {
    let synced = File::open(folder).and_then(|file| file.sync_all());
    synced.map_err(|why| format!("cannot sync {}: {why}", folder.display()))
}

/// The manifests in a folder with their times, newest first.
pub fn list(folder: &Path) -> std::io::Result<Vec<(Time, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(why) => return Err(why),
    };
    let mut list = vec![];
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let time = name.strip_prefix("manifest-").and_then(|rest| rest.strip_suffix(".json"));
        list.extend(time.and_then(|time| time.parse().ok()).map(|time| (time, path.clone())));
    }
    list.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    Ok(list)
}

fn path_of(folder: &Path, time: Time) -> PathBuf {
    folder.join(format!("manifest-{time:020}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_whole_or_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let point = Point { time: 7, positions: vec![(0, 5)], ..Point::default() };
        let part = Part { name: "part-1-1".into(), bytes: 64, xxh3: u64::MAX, rows: 0 };
        let kept = Kept { stream: Stream::Table("a".into()), definition: u64::MAX - 1, parts: vec![part] };
        Manifest::new(1, point.clone(), vec![kept.clone()]).write(folder.path()).unwrap();
        let (time, path) = list(folder.path()).unwrap().pop().unwrap();
        assert_eq!(time, 7);
        let read = Manifest::read(&path).unwrap();
        assert_eq!((read.point.clone(), read.parts().next()), (point, kept.parts.first()));
        let why = read.write(folder.path()).unwrap_err();
        assert!(why.contains("it is there already"), "{why}");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).unwrap();
            assert!(Manifest::read(&path).is_err(), "cut at {at}");
            let mut bytes = whole.clone();
            bytes[at] ^= 2;
            fs::write(&path, &bytes).unwrap();
            assert!(Manifest::read(&path).is_err(), "byte {at}");
        }
        let other =
            String::from_utf8(whole).unwrap().lines().next().unwrap().replace("\"format\":1", "\"format\":2");
        fs::write(&path, format!("{other}\n{:016x}\n", xxh3_64(other.as_bytes()))).unwrap();
        assert_eq!(Manifest::read(&path).unwrap_err().reason, "format");
    }
}
