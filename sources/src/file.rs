//! `File`: NDJSON files as events, one a line; plain, gzip or zstd, several in order. A replay begins here.
mod lines;
mod progress;

pub use progress::Progress;

use crate::{Payload, SourceError};
use lines::Lines;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longer lines are refused.
pub const LINE_BYTES_MAX: usize = 16 << 20;

const READ_BYTES: usize = 256 << 10;

/// Files of events, read one after the other.
pub struct File {
    /// Those not begun, the next one last.
    waiting: Vec<PathBuf>,
    current: Option<Lines>,
    bytes_read: Arc<AtomicU64>,
    bytes_total: u64,
}

impl File {
    /// Looks at every file; the first that cannot be read is named.
    pub fn open(paths: &[PathBuf]) -> Result<File, SourceError> {
        let mut bytes_total = 0;
        for path in paths {
            bytes_total += open(path)?.metadata().map_err(|error| unreadable(path, &error))?.len();
        }
        let waiting = paths.iter().rev().cloned().collect();
        Ok(File { waiting, current: None, bytes_read: Arc::default(), bytes_total })
    }

    /// The events of about the next `bytes_max` bytes of lines, at least one; none at the end. They are slices of one
    /// buffer. An error names the file and the line, after the events before it were given.
    pub fn next_chunk(&mut self, bytes_max: usize) -> Result<Vec<Payload>, SourceError> {
        loop {
            if let Some(lines) = &mut self.current {
                let events = lines.next_chunk(bytes_max)?;
                if !events.is_empty() {
                    return Ok(events);
                }
            }
            let Some(path) = self.waiting.pop() else {
                self.current = None;
                return Ok(Vec::new());
            };
            let input = decompress(&path, self.bytes_read.clone())?;
            self.current = Some(Lines::new(path, input));
        }
    }

    /// How many bytes of the files were read, as they lie on the disk.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// How many bytes the files have, as they lie on the disk.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }
}

fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    SourceError::Fatal(format!("cannot read {path:?}: {error}"))
}

fn open(path: &Path) -> Result<fs::File, SourceError> {
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    match file.metadata().map_err(|error| unreadable(path, &error))?.is_dir() {
        true => {
            Err(SourceError::Fatal(format!("cannot read {path:?}: it is a folder, not a file of events")))
        }
        false => Ok(file),
    }
}

/// The file's content. The first bytes say how it is compressed; a name that promises compression must keep its word.
fn decompress(path: &Path, bytes_read: Arc<AtomicU64>) -> Result<Box<dyn Read + Send>, SourceError> {
    let mut input = BufReader::with_capacity(READ_BYTES, Counted { file: open(path)?, bytes_read });
    let magic = input.fill_buf().map_err(|error| unreadable(path, &error))?;
    Ok(match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        // A zstd file may begin with a skippable frame, as `pzstd` writes it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Box::new(zstd::Decoder::with_buffer(input).map_err(|error| unreadable(path, &error))?)
        }
        [] => Box::new(input),
        _ => match path.extension().and_then(|end| end.to_str()) {
            Some(end @ ("gz" | "zst")) => {
                return Err(SourceError::Fatal(format!(
                    "cannot read {path:?}: it is named .{end}, but its content is not"
                )));
            }
            _ => Box::new(input),
        },
    })
}

/// Counts what is read of a file.
struct Counted {
    file: fs::File,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}
