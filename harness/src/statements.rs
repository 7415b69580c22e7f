//! `Statements`: tables and views declared and dropped at run time, in a file a person can read.
//!
//! Each statement stands behind a line `-- tallyflow: after=TIME act=declare|drop bytes=N crc32=HEX`, where `after` is the last
//! tick before it. At the next start each is done again between the same two ticks, so that the same history gives the same values.
use crate::Error;
use dataflows::Time;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// One statement, and when it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The last tick before it.
    pub after: Time,
    /// What to do.
    pub act: Act,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Declares what this SQL says.
    Declare(String),
    /// Drops the table or view of this name.
    Drop(String),
}

/// The file of statements, open for appending.
pub struct Statements {
    path: PathBuf,
    file: File,
}

impl Statements {
    /// Opens or makes the file; gives what stands in it, and how many bytes of a torn tail were cut.
    pub fn open(path: &Path) -> Result<(Statements, Vec<Statement>, u64), Error> {
        let failed = |why: String| Error::failed(format!("open statements {}", path.display()), why);
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(|why| failed(why.to_string()))?;
        let bytes = std::fs::read(path).map_err(|why| failed(why.to_string()))?;
        let (list, end) = parse(&bytes).map_err(failed)?;
        let cut = (bytes.len() - end) as u64;
        if cut > 0 {
            file.set_len(end as u64).and_then(|()| file.sync_all()).map_err(|why| failed(why.to_string()))?;
        }
        file.seek(SeekFrom::Start(end as u64)).map_err(|why| failed(why.to_string()))?;
        Ok((Statements { path: path.to_owned(), file }, list, cut))
    }

    /// Appends a statement; it is durable when this returns.
    pub fn append(&mut self, statement: &Statement) -> Result<(), Error> {
        let failed = |why| Error::failed(format!("append to statements {}", self.path.display()), why);
        let start = self.file.stream_position().map_err(failed)?;
        let written = self.file.write_all(&render(statement)).and_then(|()| self.file.sync_data());
        written.map_err(|why| {
            // Half a statement must not stand in front of the next one.
            _ = self.file.set_len(start).and_then(|()| self.file.seek(SeekFrom::Start(start)));
            failed(why)
        })
    }
}

/// The statements of a file that another process may hold.
pub fn read(path: &Path) -> Result<Vec<Statement>, Error> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let parsed = parse(&bytes);
            Ok(parsed.map_err(|why| Error::failed(format!("read statements {}", path.display()), why))?.0)
        }
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(why) => Err(Error::failed(format!("read statements {}", path.display()), why)),
    }
}

fn render(statement: &Statement) -> Vec<u8> {
    let (word, text) = match &statement.act {
        Act::Declare(sql) => ("declare", sql),
        Act::Drop(name) => ("drop", name),
    };
    let (bytes, crc) = (text.len(), crc32fast::hash(text.as_bytes()));
    format!("-- tallyflow: after={} act={word} bytes={bytes} crc32={crc:08x}\n{text}\n\n", statement.after)
        .into_bytes()
}

/// The whole statements, and where they end.
fn parse(bytes: &[u8]) -> Result<(Vec<Statement>, usize), String> {
    let (mut list, mut at) = (vec![], 0);
    while at < bytes.len() {
        let Some((statement, length)) = parse_one(&bytes[at..]) else {
            // A whole statement behind a bad one: this is not a torn tail.
            let rest = &bytes[at + 1..];
            let mark = b"\n-- tallyflow: ";
            let mut marks = (0..rest.len()).filter(|next| rest[*next..].starts_with(mark));
            if marks.any(|next| parse_one(&rest[next + 1..]).is_some()) {
                return Err(format!("the statement at byte {at} is damaged"));
            }
            break;
        };
        list.push(statement);
        at += length;
    }
    Ok((list, at))
}

fn parse_one(bytes: &[u8]) -> Option<(Statement, usize)> {
    let line_end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(&bytes[..line_end]).ok()?.strip_prefix("-- tallyflow: ")?;
    let field = |name: &str| line.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let after = field("after")?.parse().ok()?;
    let length: usize = field("bytes")?.parse().ok()?;
    let crc = u32::from_str_radix(field("crc32")?, 16).ok()?;
    let start = line_end + 1;
    let text = bytes.get(start..start.checked_add(length)?)?;
    let tail = bytes.get(start + length..start + length + 2)?;
    if tail != b"\n\n" || crc32fast::hash(text) != crc {
        return None;
    }
    let text = String::from_utf8(text.to_vec()).ok()?;
    let act = match field("act")? {
        "declare" => Act::Declare(text),
        "drop" => Act::Drop(text),
        _ => return None,
    };
    Some((Statement { after, act }, start + length + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements() -> Vec<Statement> {
        vec![
            Statement { after: 0, act: Act::Declare("CREATE VIEW a AS\nSELECT 'é\n-- tallyflow: '".into()) },
            Statement { after: 17, act: Act::Drop("a".into()) },
            Statement { after: 17, act: Act::Declare(String::new()) },
        ]
    }

    #[test]
    fn what_was_appended_is_read_again_whatever_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queries.sql");
        let (mut file, list, cut) = Statements::open(&path).unwrap();
        assert_eq!((list.len(), cut), (0, 0));
        let mut ends = vec![0];
        for statement in statements() {
            file.append(&statement).unwrap();
            ends.push(std::fs::metadata(&path).unwrap().len() as usize);
        }
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let kept = ends.iter().filter(|end| **end <= length).count() - 1;
            let (_, list, cut) = Statements::open(&path).unwrap();
            assert_eq!((list, cut), (statements()[..kept].to_vec(), (length - ends[kept]) as u64));
        }
    }

    #[test]
    fn damage_before_a_whole_statement_is_refused() {
        let mut bytes: Vec<u8> = statements().iter().flat_map(render).collect();
        bytes[60] ^= 1;
        assert!(parse(&bytes).unwrap_err().contains("at byte 0"));
    }
}
