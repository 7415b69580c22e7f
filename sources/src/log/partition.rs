//! `Partition`: the segments of one partition and how far they are durable.
use super::segment::{Segment, list};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

/// A partition. One writes, many read.
#[derive(Debug)]
pub(super) struct Partition {
    pub number: u32,
    pub directory: PathBuf,
    /// Ascending; at least one.
    segments: RwLock<Vec<Arc<Segment>>>,
    end: AtomicU64,
}

impl Partition {
    /// The segments are ascending, and at least one.
    pub fn new(number: u32, directory: PathBuf, segments: Vec<Arc<Segment>>, end: u64) -> Partition {
        assert!(!segments.is_empty(), "a partition has a segment from its creation on");
        Partition { number, directory, segments: segments.into(), end: end.into() }
    }

    /// The offset after the last durable record.
    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Lets readers see the records below `end`; the segment's length was set before.
    pub fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Vec<Arc<Segment>>> {
        self.segments.read().expect("nobody panics with the segments")
    }

    /// The offset of the first record there is.
    pub fn first(&self) -> u64 {
        self.read()[0].first
    }

    /// The segment a record of this offset stands in, or would; none if it is before the first.
    pub fn segment_of(&self, offset: u64) -> Option<Arc<Segment>> {
        let segments = self.read();
        let after = segments.partition_point(|segment| segment.first <= offset);
        after.checked_sub(1).map(|i| segments[i].clone())
    }

    /// The segment that comes after one.
    pub fn after(&self, segment: &Segment) -> Option<Arc<Segment>> {
        let segments = self.read();
        segments.get(segments.partition_point(|other| other.first <= segment.first)).cloned()
    }

    /// Adds a segment after the last; from now on the one before does not grow.
    pub fn push(&self, segment: Arc<Segment>) {
        self.segments.write().expect("nobody panics with the segments").push(segment);
    }

    /// Removes the first files, each whole below an offset and last written before a time; how many. A file that is open stays
    /// readable. They go in their order: what a crash leaves is a log that begins later.
    pub fn trim(&self, floor: u64, before: SystemTime) -> io::Result<usize> {
        let mut removed = 0;
        loop {
            let segments = self.read();
            let [first, next, ..] = &segments[..] else { break };
            if next.first > floor || std::fs::metadata(&first.path)?.modified()? > before {
                break;
            }
            let path = first.path.clone();
            drop(segments);
            std::fs::remove_file(&path)?;
            self.segments.write().expect("nobody panics with the segments").remove(0);
            removed += 1;
        }
        if removed > 0 {
            std::fs::File::open(&self.directory)?.sync_all()?;
        }
        Ok(removed)
    }

    /// Sees what another process wrote: new segments and lengths.
    pub fn refresh(&self) -> io::Result<()> {
        // The list is taken before the lengths: a segment that has a successor is complete.
        let firsts = list(&self.directory)?;
        let mut segments = self.segments.write().expect("nobody panics with the segments");
        let known = segments.len() - 1;
        let last = segments[known].first;
        for first in firsts.into_iter().filter(|first| *first > last) {
            let path = self.directory.join(format!("{first:020}.seg"));
            segments.push(Arc::new(Segment::new(path, self.number, first, 0)));
        }
        for segment in &segments[known..] {
            segment.set_length(std::fs::metadata(&segment.path)?.len());
        }
        Ok(())
    }
}
