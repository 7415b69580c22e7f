//! `Cursor`: a place in a segment, from which records are read in order, each checked.
use super::record::{self, Fault};
use super::segment::{Mark, OpenError, Segment};
use bytes::Bytes;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// So much is read at once; a record that is greater is read alone.
const READ_BYTES: u64 = 256 << 10;

/// A place in a segment.
pub(super) struct Cursor {
    pub segment: Arc<Segment>,
    file: fs::File,
    /// The offset of the next record.
    pub offset: u64,
    /// Where it begins.
    pub position: u64,
    next_mark_position: u64,
    /// What was read from `position` on.
    buffer: Bytes,
}

/// Why there is no next record, though there are bytes.
#[derive(Debug)]
pub(super) enum Stop {
    /// The file cannot be read now.
    Io(String),
    /// What an interrupted write leaves behind, or damage.
    Torn(String),
    /// Damage.
    Wrong(String),
}

impl From<OpenError> for Stop {
    fn from(error: OpenError) -> Stop {
        match error {
            OpenError::Io(text) => Stop::Io(text),
            OpenError::Damaged(text) => Stop::Wrong(text),
        }
    }
}

impl Cursor {
    /// At the first record of a segment.
    pub fn open(segment: Arc<Segment>) -> Result<Cursor, OpenError> {
        let first = segment.first;
        Cursor::near(segment, first)
    }

    /// At a record at or before `offset`, as close as the index knows one.
    pub fn near(segment: Arc<Segment>, offset: u64) -> Result<Cursor, OpenError> {
        let file = segment.open()?;
        let Mark { offset, position } = segment.nearest(offset);
        let next_mark_position = segment.next_mark_position();
        Ok(Cursor { segment, file, offset, position, next_mark_position, buffer: Bytes::new() })
    }

    /// Goes to `offset`, or to the end of the segment if that comes first.
    pub fn advance(&mut self, offset: u64) -> Result<(), Stop> {
        while self.offset < offset && self.next()?.is_some() {}
        Ok(())
    }

    /// Reads again what was read ahead.
    pub fn forget_read(&mut self) {
        self.buffer = Bytes::new();
    }

    /// The next record's bytes; none at the end of what may be read.
    pub fn next(&mut self) -> Result<Option<Bytes>, Stop> {
        loop {
            let needed = match record::check(&self.buffer, self.offset) {
                Ok(bytes) => return Ok(Some(self.take(bytes))),
                Err(Fault::Short(needed)) => needed as u64,
                Err(Fault::Torn(reason)) => return Err(Stop::Torn(self.forget(&reason))),
                Err(Fault::Wrong(reason)) => return Err(Stop::Wrong(self.forget(&reason))),
            };
            let Some(there) = self.segment.length().checked_sub(self.position) else {
                return Err(Stop::Wrong(self.forget("the file is shorter than it was")));
            };
            if there == 0 {
                return Ok(None);
            }
            if there < needed {
                let reason = format!("a record of {needed} bytes or more is cut after {there}");
                return Err(Stop::Torn(self.forget(&reason)));
            }
            self.fill(READ_BYTES.max(needed).min(there))?;
        }
    }

    fn take(&mut self, bytes: usize) -> Bytes {
        if self.position >= self.next_mark_position {
            self.segment.mark(Mark { offset: self.offset, position: self.position });
            self.next_mark_position = self.segment.next_mark_position();
        }
        self.offset += 1;
        self.position += bytes as u64;
        self.buffer.split_to(bytes)
    }

    /// Where damage was met. What was read is dropped, so that the next call sees the file as it is then.
    fn forget(&mut self, reason: &str) -> String {
        self.buffer = Bytes::new();
        format!("{:?}, byte {} (offset {}): {reason}", self.segment.path, self.position, self.offset)
    }

    fn fill(&mut self, bytes: u64) -> Result<(), Stop> {
        let mut buffer = vec![0; bytes as usize];
        match self.file.read_exact_at(&mut buffer, self.position) {
            Ok(()) => {
                self.buffer = Bytes::from(buffer);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Stop::Torn(self.forget("the file is shorter than it was")))
            }
            Err(error) => Err(Stop::Io(format!("cannot read {:?}: {error}", self.segment.path))),
        }
    }

    /// Whether a whole record follows somewhere after the bad one here: then the bad one is not the end of a write.
    pub fn any_follows(&self) -> Result<bool, Stop> {
        let unreadable = |error: io::Error| Stop::Io(format!("cannot read {:?}: {error}", self.segment.path));
        let length = self.segment.length().min(self.file.metadata().map_err(unreadable)?.len());
        let mut rest = vec![0; length.saturating_sub(self.position + 1) as usize];
        self.file.read_exact_at(&mut rest, self.position + 1).map_err(unreadable)?;
        Ok(record::any_follows(&rest, self.offset))
    }
}
