//! `Gap`: offsets that the brokers deleted although they were needed, and that somebody accepted as lost. They are stepped over.
//!
//! The file has a line of JSON a gap; it is put in place whole. Only `tallyflow accept-gap` writes it.
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Offsets of a partition that are lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The partition's number here.
    pub number: u32,
    /// Its topic.
    pub topic: String,
    /// Its number in the topic.
    pub partition: i32,
    /// The first that is lost.
    pub from: u64,
    /// The first that is there again.
    pub to: u64,
    /// When it was accepted, in milliseconds since 1970.
    pub accepted_ms: u64,
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Gap { topic, partition, from, to, .. } = self;
        write!(f, "{topic}/{partition}: offsets {from} to {}", to.saturating_sub(1))
    }
}

/// Where the gaps stand, beside the numbers of the partitions.
pub(super) fn path(numbers: &Path) -> PathBuf {
    numbers.with_extension("gaps")
}

/// Those that were accepted.
pub(super) fn read(path: &Path) -> Result<Vec<Gap>, String> {
    let failed = |why: String| format!("cannot read {}: {why}", path.display());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(why) => return Err(failed(why.to_string())),
    };
    text.lines().map(|line| serde_json::from_str(line).map_err(|why| failed(why.to_string()))).collect()
}

/// Accepts more, durably.
pub(super) fn add(path: &Path, more: &[Gap]) -> Result<(), String> {
    let mut text = String::new();
    for gap in read(path)?.iter().chain(more) {
        text.push_str(&serde_json::to_string(gap).expect("texts and numbers are JSON"));
        text.push('\n');
    }
    let new = path.with_extension("gaps.new");
    let put = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
        std::fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    put().map_err(|why: std::io::Error| format!("cannot write {}: {why}", path.display()))
}

/// The next offset that is there.
pub(super) fn past(gaps: &[Gap], number: u32, mut offset: u64) -> u64 {
    for gap in gaps.iter().filter(|gap| gap.number == number) {
        if (gap.from..gap.to).contains(&offset) {
            offset = gap.to;
        }
    }
    offset
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_accepted_is_read_again_and_stepped_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = path(&folder.path().join("kafka.partitions"));
        let gap =
            |number, from, to| Gap { number, topic: "t".into(), partition: 0, from, to, accepted_ms: 1 };
        add(&file, &[gap(0, 5, 8)]).unwrap();
        add(&file, &[gap(0, 8, 10), gap(1, 0, 3)]).unwrap();
        let gaps = read(&file).unwrap();
        assert_eq!(gaps.len(), 3);
        assert_eq!([4, 5, 7, 8, 10].map(|offset| past(&gaps, 0, offset)), [4, 10, 10, 10, 10]);
        assert_eq!(past(&gaps, 1, 0), 3);
        assert_eq!(gaps[0].to_string(), "t/0: offsets 5 to 7");
    }
}
