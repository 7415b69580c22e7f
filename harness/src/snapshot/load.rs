//! `Loaded`: the newest snapshot that fits and whose parts all verify. Of one that does not, nothing is used.
use super::manifest::{self, Manifest, Rejected, Stream};
use super::part;
use crate::Error;
use arrow::array::RecordBatch;
use dataflows::Time;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A snapshot, verified and in memory.
pub struct Loaded {
    /// What it is.
    pub manifest: Manifest,
    /// Its rows.
    pub rows: BTreeMap<Stream, Vec<RecordBatch>>,
}

impl Loaded {
    /// The rows of a stream, which are its own no more.
    pub fn take(&mut self, stream: &Stream) -> Vec<RecordBatch> {
        self.rows.remove(stream).unwrap_or_default()
    }
}

/// The snapshot that was found, with what `fits` found of it, and those that were rejected before.
type Looked<T> = (Option<(Loaded, T)>, Vec<Rejected>);

/// The newest snapshot that `fits`, with what that found, and those that were rejected before it. They are put aside.
pub fn newest<T>(
    folder: &Path,
    not_after: Option<Time>,
    threads: usize,
    fits: impl Fn(&Manifest) -> Result<T, Rejected>,
) -> Result<Looked<T>, Error> {
    let tried = format!("look for snapshots in {}", folder.display());
    let mut rejected = vec![];
    for (time, path) in manifest::list(folder).map_err(|why| Error::failed(&tried, why))? {
        // It is as good as others, and too late for this start.
        if not_after.is_some_and(|latest| time > latest) {
            continue;
        }
        let read = Manifest::read(&path).and_then(|manifest| {
            if manifest.point.time != time {
                let why = format!("{} is of time {}", path.display(), manifest.point.time);
                return Err(Rejected::new("manifest", why));
            }
            let found = fits(&manifest)?;
            Ok((load(folder, manifest, threads)?, found))
        });
        match read {
            Ok(found) => return Ok((Some(found), rejected)),
            Err(why) => {
                // So that it does not come back when the history has gone on without it.
                let aside = path.with_extension("json.rejected");
                std::fs::rename(&path, &aside)
                    .map_err(|error| Error::failed(format!("put {} aside", path.display()), error))?;
                rejected.push(why);
            }
        }
    }
    Ok((None, rejected))
}

fn load(folder: &Path, manifest: Manifest, threads: usize) -> Result<Loaded, Rejected> {
    let parts: Vec<_> = manifest.parts().collect();
    let (next, read) = (AtomicUsize::new(0), Mutex::new(vec![]));
    let work = || {
        while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let batches = part::read(folder, part);
            let failed = batches.is_err();
            read.lock().expect("no thread panics with the list").push((part.name.clone(), batches));
            if failed {
                next.store(parts.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, parts.len().max(1)) {
            scope.spawn(work);
        }
    });
    let mut by_name = BTreeMap::new();
    for (name, batches) in read.into_inner().expect("no thread panics with the list") {
        by_name.insert(name, batches?);
    }
    let mut rows: BTreeMap<Stream, Vec<RecordBatch>> = BTreeMap::new();
    for kept in &manifest.streams {
        let batches = kept.parts.iter().flat_map(|part| by_name.remove(&part.name).unwrap_or_default());
        rows.entry(kept.stream.clone()).or_default().extend(batches);
    }
    Ok(Loaded { manifest, rows })
}
