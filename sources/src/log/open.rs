//! Opening a log: its description, its partitions, and the end of each, where an interrupted write is cut off.
use super::cursor::{Cursor, Stop};
use super::partition::Partition;
use super::segment::{OpenError, Segment, list};
use super::{LogConfig, LogError, Repair};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `log.json`: what was decided when the log was created.
#[derive(serde::Serialize, serde::Deserialize)]
struct Description {
    version: u32,
    partitions: u32,
}

const VERSION: u32 = 1;
const DESCRIPTION: &str = "log.json";

fn unavailable<'a>(what: &'a str, path: &'a Path) -> impl Fn(io::Error) -> LogError + 'a {
    move |error| LogError::Unavailable(format!("cannot {what} {path:?}: {error}"))
}

/// The partitions, what was repaired in them, and the file that is locked as long as it is held.
pub(super) type Opened = (Vec<Arc<Partition>>, Vec<Repair>, fs::File);

/// Opens a log for writing, or creates it.
pub(super) fn open(dir: &Path, config: &LogConfig) -> Result<Opened, LogError> {
    fs::create_dir_all(dir).map_err(unavailable("create the folder", dir))?;
    let lock = lock(dir)?;
    let partitions = match describe(dir)? {
        Some(description) => description.partitions,
        None => create(dir, config.partitions)?,
    };
    let mut repairs = Vec::new();
    let opened = (0..partitions).map(|number| {
        let segments = segments(dir, number)?;
        let (end, repair) = settle(segments.last().expect("segments() gives at least one"))?;
        repairs.extend(repair);
        Ok(Arc::new(Partition::new(number, directory(dir, number), segments, end)))
    });
    let opened = opened.collect::<Result<_, LogError>>()?;
    Ok((opened, repairs, lock))
}

/// Opens a log that another process may be writing to. Its ends are not known.
pub(super) fn open_read_only(dir: &Path) -> Result<Vec<Arc<Partition>>, LogError> {
    let Some(description) = describe(dir)? else {
        return Err(LogError::Unavailable(format!(
            "cannot read the log in {dir:?}: there is no {DESCRIPTION}"
        )));
    };
    (0..description.partitions)
        .map(|number| {
            let segments = segments(dir, number)?;
            Ok(Arc::new(Partition::new(number, directory(dir, number), segments, u64::MAX)))
        })
        .collect()
}

fn directory(dir: &Path, partition: u32) -> PathBuf {
    dir.join(format!("p{partition:04}"))
}

fn lock(dir: &Path) -> Result<fs::File, LogError> {
    let path = dir.join("lock");
    let file = fs::File::create(&path).map_err(unavailable("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(LogError::Unavailable(format!(
            "cannot open the log in {dir:?}: it is open for writing already"
        ))),
        Err(fs::TryLockError::Error(error)) => Err(unavailable("lock", &path)(error)),
    }
}

fn describe(dir: &Path) -> Result<Option<Description>, LogError> {
    let path = dir.join(DESCRIPTION);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(unavailable("read", &path))?,
    };
    let description: Description =
        serde_json::from_slice(&text).map_err(|error| LogError::Corrupt(format!("{path:?}: {error}")))?;
    match description {
        Description { version: VERSION, partitions: 1.. } => Ok(Some(description)),
        Description { version: VERSION, partitions: 0 } => {
            Err(LogError::Corrupt(format!("{path:?}: a log has at least one partition")))
        }
        Description { version, .. } => {
            Err(LogError::Unavailable(format!("cannot read {path:?}: version {version} is unknown here")))
        }
    }
}

/// Writes a new log: first the partitions, then, once they are durable, the description that makes it one.
fn create(dir: &Path, partitions: u32) -> Result<u32, LogError> {
    if partitions == 0 {
        return Err(LogError::Unavailable(format!(
            "cannot create the log in {dir:?}: partitions must be 1 or more"
        )));
    }
    for number in 0..partitions {
        let directory = directory(dir, number);
        fs::create_dir_all(&directory).map_err(unavailable("create the folder", &directory))?;
        let firsts = list(&directory).map_err(unavailable("read", &directory))?;
        // Whoever lost the description has not lost the records: they are not written over.
        if firsts.iter().any(|first| *first > 0) || has_records(&directory) {
            return Err(LogError::Corrupt(format!(
                "{dir:?}: {DESCRIPTION} is missing, but there are records"
            )));
        }
        Segment::create(&directory, number, 0).map_err(unavailable("create a segment in", &directory))?;
    }
    let text = serde_json::to_vec(&Description { version: VERSION, partitions }).expect("two numbers");
    write_durably(dir, &text).map_err(unavailable("create the log in", dir))?;
    Ok(partitions)
}

fn has_records(directory: &Path) -> bool {
    let path = directory.join(format!("{:020}.seg", 0));
    fs::metadata(path).is_ok_and(|metadata| metadata.len() > super::segment::HEADER_BYTES)
}

fn write_durably(dir: &Path, text: &[u8]) -> io::Result<()> {
    let (path, unfinished) = (dir.join(DESCRIPTION), dir.join("log.json.new"));
    fs::write(&unfinished, text)?;
    fs::File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, &path)?;
    fs::File::open(dir)?.sync_all()?;
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// The segments of a partition, each with a right header.
fn segments(dir: &Path, number: u32) -> Result<Vec<Arc<Segment>>, LogError> {
    let directory = directory(dir, number);
    let firsts = list(&directory).map_err(unavailable("read", &directory))?;
    let segments = firsts.into_iter().map(|first| {
        let path = directory.join(format!("{first:020}.seg"));
        let length = fs::metadata(&path).map_err(unavailable("read", &path))?.len();
        let segment = Segment::new(path, number, first, length);
        segment.open().map_err(LogError::from)?;
        Ok(Arc::new(segment))
    });
    let segments: Vec<_> = segments.collect::<Result<_, LogError>>()?;
    match segments.is_empty() {
        true => Err(LogError::Corrupt(format!("{directory:?}: there is no segment"))),
        false => Ok(segments),
    }
}

/// Finds the end of the last segment, cuts off what an interrupted write left, and makes durable what stays.
fn settle(segment: &Arc<Segment>) -> Result<(u64, Option<Repair>), LogError> {
    let mut cursor = Cursor::open(segment.clone())?;
    let repair = match cursor.advance(u64::MAX) {
        Ok(()) => None,
        Err(Stop::Torn(reason)) if !cursor.any_follows()? => Some(Repair {
            partition: segment.partition,
            offset: cursor.offset,
            bytes_cut: segment.length() - cursor.position,
            reason,
        }),
        Err(Stop::Torn(reason)) => {
            return Err(LogError::Corrupt(format!("{reason}; whole records follow it")));
        }
        Err(stop) => return Err(stop.into()),
    };
    let made_durable = (|| {
        let file = fs::OpenOptions::new().write(true).open(&segment.path)?;
        if repair.is_some() {
            file.set_len(cursor.position)?;
        }
        // What a process wrote before it was killed may be in memory only; readers are about to see it.
        file.sync_all()
    })();
    made_durable.map_err(unavailable("repair", &segment.path))?;
    segment.set_length(cursor.position);
    Ok((cursor.offset, repair))
}

impl From<OpenError> for LogError {
    fn from(error: OpenError) -> LogError {
        match error {
            OpenError::Io(text) => LogError::Unavailable(text),
            OpenError::Damaged(text) => LogError::Corrupt(text),
        }
    }
}

impl From<Stop> for LogError {
    fn from(stop: Stop) -> LogError {
        match stop {
            Stop::Io(text) => LogError::Unavailable(text),
            Stop::Torn(text) | Stop::Wrong(text) => LogError::Corrupt(text),
        }
    }
}
