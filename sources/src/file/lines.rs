//! `Lines`: the lines of one file, as slices of the buffer they were read into.
use super::LINE_BYTES_MAX;
use crate::{Payload, SourceError};
use bytes::Bytes;
use std::io::{self, Read};
use std::path::PathBuf;

const READ_BYTES_MIN: usize = 4 << 10;
const READ_BYTES_MAX: usize = 128 << 10;
const RESERVED_BYTES_MAX: usize = 4 << 20;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The lines of one file.
pub(super) struct Lines {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    /// How many lines were given or passed over.
    count: u64,
    state: State,
}

enum State {
    Reading,
    /// Why no more can be read; the lines before the failure are given first.
    Failed(String),
    Ended,
}

impl Lines {
    pub fn new(path: PathBuf, mut input: Box<dyn Read + Send>) -> Lines {
        let mut rest = Vec::new();
        let state = match input.by_ref().take(BOM.len() as u64).read_to_end(&mut rest) {
            Ok(_) => State::Reading,
            Err(error) => unreadable(&error),
        };
        if rest == BOM {
            rest.clear();
        }
        Lines { path, input, rest, count: 0, state }
    }

    /// The events of about the next `bytes_max` bytes, at least one; none at the end.
    pub fn next_chunk(&mut self, bytes_max: usize) -> Result<Vec<Payload>, SourceError> {
        loop {
            let bytes = self.whole_lines(bytes_max);
            let events = self.split(bytes);
            match &self.state {
                _ if !events.is_empty() => return Ok(events),
                State::Reading => {}
                State::Ended => return Ok(events),
                State::Failed(why) => {
                    let line = self.count + 1;
                    return Err(SourceError::Fatal(format!(
                        "cannot read {:?}, line {line}: {why}",
                        self.path
                    )));
                }
            }
        }
    }

    /// Reads about `bytes_max`, at least to the end of a line, and keeps back the line that is not whole.
    fn whole_lines(&mut self, bytes_max: usize) -> Bytes {
        let mut buffer = std::mem::take(&mut self.rest);
        let goal = buffer.len() + bytes_max.max(READ_BYTES_MIN);
        buffer.reserve(bytes_max.clamp(READ_BYTES_MIN, RESERVED_BYTES_MAX));
        let mut whole = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        while matches!(self.state, State::Reading) && (buffer.len() < goal || whole == 0) {
            let start = buffer.len();
            let wanted = goal.saturating_sub(start).clamp(READ_BYTES_MIN, READ_BYTES_MAX) as u64;
            match self.input.by_ref().take(wanted).read_to_end(&mut buffer) {
                Ok(read) if (read as u64) < wanted => self.state = State::Ended,
                Ok(_) => {}
                Err(error) => self.state = unreadable(&error),
            }
            if let Some(at) = buffer[start..].iter().rposition(|byte| *byte == b'\n') {
                whole = start + at + 1;
            }
            if matches!(self.state, State::Reading) && buffer.len() - whole > LINE_BYTES_MAX + 1 {
                break;
            }
        }
        match self.state {
            State::Ended => {}
            // The line that is not whole is given by nobody: whatever it is, it is not what the file's writer wrote.
            State::Failed(_) => buffer.truncate(whole),
            State::Reading => self.rest = buffer.split_off(whole),
        }
        Bytes::from(buffer)
    }

    fn split(&mut self, bytes: Bytes) -> Vec<Payload> {
        let mut events = Vec::new();
        let mut start = 0;
        while start < bytes.len() {
            let end = newline(&bytes[start..]).map_or(bytes.len(), |at| start + at);
            let line = &bytes[start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > LINE_BYTES_MAX {
                self.state = too_long();
                return events;
            }
            if !line.is_empty() {
                events.push(Payload::Structured(bytes.slice(start..start + line.len())));
            }
            self.count += 1;
            start = end + 1;
        }
        if self.rest.len() > LINE_BYTES_MAX + 1 {
            self.state = too_long();
        }
        events
    }
}

fn unreadable(error: &io::Error) -> State {
    State::Failed(error.to_string())
}

fn too_long() -> State {
    State::Failed(format!("it is longer than {LINE_BYTES_MAX} bytes"))
}

/// Where the first newline is. Looking at 32 bytes at once lets the compiler use vector instructions.
fn newline(bytes: &[u8]) -> Option<usize> {
    let blocks = bytes.chunks(32);
    let has_newline = |block: &[u8]| block.iter().fold(false, |found, byte| found | (*byte == b'\n'));
    let block = blocks.enumerate().find(|(_, block)| has_newline(block))?;
    block.1.iter().position(|byte| *byte == b'\n').map(|at| block.0 * 32 + at)
}
