//! A file of a partition: its header, its durable length, and a sparse index of its records.
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What stands before the first record.
pub(super) const HEADER_BYTES: u64 = 28;
const MAGIC: &[u8; 8] = b"TALLYLOG";
const VERSION: u32 = 1;
/// The index knows a record about so often.
pub(super) const INDEX_BYTES: u64 = 64 << 10;

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub offset: u64,
    pub position: u64,
}

/// A file of a partition.
#[derive(Debug)]
pub(super) struct Segment {
    pub path: PathBuf,
    pub partition: u32,
    /// The offset of its first record.
    pub first: u64,
    length: AtomicU64,
    index: Mutex<Vec<Mark>>,
}

impl Segment {
    /// A segment that is there, of which `length` bytes may be read.
    pub fn new(path: PathBuf, partition: u32, first: u64, length: u64) -> Segment {
        let index = vec![Mark { offset: first, position: HEADER_BYTES }];
        Segment { path, partition, first, length: length.into(), index: index.into() }
    }

    /// Writes a new segment: it has its name only once its header is durable, so no header is ever torn.
    pub fn create(directory: &Path, partition: u32, first: u64) -> io::Result<(Segment, fs::File)> {
        let path = directory.join(format!("{first:020}.seg"));
        let unfinished = path.with_extension("new");
        let made = (|| {
            let mut file = fs::File::create(&unfinished)?;
            file.write_all(&header(partition, first))?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            fs::File::open(directory)?.sync_all()?;
            Ok(file)
        })();
        match made {
            Ok(file) => Ok((Segment::new(path, partition, first, HEADER_BYTES), file)),
            Err(error) => {
                // Room for later: what is left of an attempt is of no use, and the next attempt writes over it anyway.
                let _ = fs::remove_file(&unfinished);
                Err(error)
            }
        }
    }

    /// How many bytes may be read.
    pub fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    pub fn set_length(&self, length: u64) {
        self.length.store(length, Ordering::Release);
    }

    /// Notes where a record begins, unless the index knows one close before it.
    pub fn mark(&self, mark: Mark) {
        let mut index = self.index.lock().expect("nobody panics with the index");
        let last = index.last().expect("begins with the first record").position;
        if mark.position >= last + INDEX_BYTES {
            index.push(mark);
        }
    }

    /// The last mark at or before an offset.
    pub fn nearest(&self, offset: u64) -> Mark {
        let index = self.index.lock().expect("nobody panics with the index");
        index[index.partition_point(|mark| mark.offset <= offset).max(1) - 1]
    }

    /// From where on a record is worth a mark.
    pub fn next_mark_position(&self) -> u64 {
        self.index
            .lock()
            .expect("nobody panics with the index")
            .last()
            .map_or(0, |m| m.position + INDEX_BYTES)
    }

    /// Opens the file for reading and checks that its header is the one expected.
    pub fn open(&self) -> Result<fs::File, OpenError> {
        let unreadable = |error: io::Error| OpenError::Io(format!("cannot read {:?}: {error}", self.path));
        let mut file = fs::File::open(&self.path).map_err(unreadable)?;
        let mut found = [0; HEADER_BYTES as usize];
        match file.read_exact(&mut found) {
            Ok(()) if found == header(self.partition, self.first) => Ok(file),
            Ok(()) => {
                Err(OpenError::Damaged(format!("{:?}, byte 0: {}", self.path, self.what_differs(&found))))
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(OpenError::Damaged(format!("{:?}, byte 0: the header is cut short", self.path)))
            }
            Err(error) => Err(unreadable(error)),
        }
    }

    fn what_differs(&self, found: &[u8]) -> String {
        let crc = crc32fast::hash(&found[..24]).to_le_bytes();
        if &found[..8] != MAGIC {
            "this is no segment of a log".to_string()
        } else if found[24..] != crc {
            "the header's checksum is wrong".to_string()
        } else if found[8..12] != VERSION.to_le_bytes() {
            "a version of the format that is unknown here".to_string()
        } else {
            format!("this is not the segment of partition {} from offset {}", self.partition, self.first)
        }
    }
}

/// Why a segment cannot be read.
#[derive(Debug)]
pub(super) enum OpenError {
    Io(String),
    Damaged(String),
}

fn header(partition: u32, first: u64) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&partition.to_le_bytes());
    header[16..24].copy_from_slice(&first.to_le_bytes());
    let crc = crc32fast::hash(&header[..24]);
    header[24..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The first offsets of the segments in a directory, ascending.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(".seg"));
        firsts.extend(digits.filter(|d| d.len() == 20).and_then(|d| d.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}
