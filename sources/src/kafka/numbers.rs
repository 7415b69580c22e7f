//! `Numbers`: which partition of which topic has which number. A number is durable before anything is read under it.
//!
//! The file has a line a partition: the CRC-32 of what follows it in hexadecimal, a space, and JSON. Numbers rise by one from 0.
//! A last line that the last crash tore is cut; anything else that is wrong is an error.
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A partition of a topic, as it was when it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// Its number here.
    pub number: u32,
    /// Its topic.
    pub topic: String,
    /// Its number in the topic.
    pub partition: i32,
    /// The first offset that it had: 0 unless older records were gone already.
    pub first: u64,
    /// What tells the topic from another of its name; empty where the brokers do not say.
    pub topic_id: String,
}

/// The partitions that were ever found.
pub(super) struct Numbers {
    path: PathBuf,
    /// None: another process writes.
    file: Option<File>,
    list: Vec<Arc<Numbered>>,
}

impl Numbers {
    /// Opens or makes the file; tells how many bytes of a torn line were cut.
    pub fn open(path: &Path) -> Result<(Numbers, u64), String> {
        let failed = |why: std::io::Error| format!("cannot open {}: {why}", path.display());
        let made = !path.exists();
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(failed)?;
        let bytes = std::fs::read(path).map_err(failed)?;
        let (list, end) = parse(&bytes).map_err(|why| format!("cannot read {}: {why}", path.display()))?;
        let cut = (bytes.len() - end) as u64;
        if cut > 0 {
            file.set_len(end as u64).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        if made && let Some(folder) = path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        }
        Ok((Numbers { path: path.to_owned(), file: Some(file), list }, cut))
    }

    /// Reads the file as it is now; nothing can be added.
    pub fn open_read_only(path: &Path) -> Result<Numbers, String> {
        let bytes = std::fs::read(path).map_err(|why| format!("cannot open {}: {why}", path.display()))?;
        let (list, _) = parse(&bytes).map_err(|why| format!("cannot read {}: {why}", path.display()))?;
        Ok(Numbers { path: path.to_owned(), file: None, list })
    }

    /// Those that another process has found; it tells of more.
    pub fn told(list: Vec<Numbered>) -> Numbers {
        let list = list.into_iter().map(Arc::new).collect();
        Numbers { path: PathBuf::new(), file: None, list }
    }

    /// Takes the next one over from the process that found it.
    pub fn tell(&mut self, one: Numbered) -> Result<(), String> {
        let (number, count) = (one.number, self.list.len());
        if number as usize != count {
            return Err(format!("partition {number} of Kafka comes as number {count}: this is a bug"));
        }
        self.list.push(Arc::new(one));
        Ok(())
    }

    pub fn list(&self) -> &[Arc<Numbered>] {
        &self.list
    }

    pub fn is_read_only(&self) -> bool {
        self.file.is_none()
    }

    pub fn find(&self, topic: &str, partition: i32) -> Option<&Arc<Numbered>> {
        self.list.iter().find(|one| one.topic == topic && one.partition == partition)
    }

    /// Gives a partition the next number, durably.
    pub fn add(&mut self, topic: &str, partition: i32, first: u64, topic_id: &str) -> Result<(), String> {
        let number = self.list.len() as u32;
        let one = Numbered { number, topic: topic.into(), partition, first, topic_id: topic_id.into() };
        let failed = |why: std::io::Error| format!("cannot write {}: {why}", self.path.display());
        let file = self.file.as_mut().expect("who only reads adds nothing");
        let start = file.stream_position().map_err(failed)?;
        let written = file.write_all(line(&one).as_bytes()).and_then(|()| file.sync_data());
        if let Err(why) = written {
            // Part of it may stand there: the next attempt begins where this one began.
            _ = file.set_len(start).and_then(|()| file.seek(SeekFrom::Start(start)).map(|_| ()));
            return Err(failed(why));
        }
        self.list.push(Arc::new(one));
        Ok(())
    }
}

fn line(one: &Numbered) -> String {
    let text = serde_json::to_string(one).expect("texts and numbers are JSON");
    format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()))
}

/// The partitions, and where the last whole line ends.
fn parse(bytes: &[u8]) -> Result<(Vec<Arc<Numbered>>, usize), String> {
    let (mut list, mut end) = (vec![], 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let one = read(line).filter(|one: &Numbered| one.number as usize == list.len());
        match one {
            Some(one) => list.push(Arc::new(one)),
            None if end + line.len() == bytes.len() => break,
            None => return Err(format!("the line at byte {end} is damaged; restore the file")),
        }
        end += line.len();
    }
    Ok((list, end))
}

fn read(line: &[u8]) -> Option<Numbered> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (crc, text) = line.split_once(' ')?;
    let whole = u32::from_str_radix(crc, 16).ok()? == crc32fast::hash(text.as_bytes());
    if whole { serde_json::from_str(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_across_a_tear_at_any_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        let (mut numbers, cut) = Numbers::open(&path).unwrap();
        assert_eq!(cut, 0);
        numbers.add("a", 0, 0, "x").unwrap();
        numbers.add("a b", 1, 7, "").unwrap();
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for length in first..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let (mut numbers, cut) = Numbers::open(&path).unwrap();
            assert_eq!((numbers.list().len(), cut), (1, (length - first) as u64));
            numbers.add("c", 2, 0, "").unwrap();
            let again = Numbers::open_read_only(&path).unwrap();
            assert_eq!(again.find("c", 2).map(|one| one.number), Some(1));
            assert_eq!(again.find("a b", 1), None);
        }
        let mut damaged = whole.clone();
        damaged[12] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        assert!(Numbers::open(&path).is_err_and(|why| why.contains("damaged")));
    }
}
