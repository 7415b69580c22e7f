//! A step of writing a snapshot fails, each in its turn: the older ones stand, the next one is written, and a start is right.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;

use drive::{append, rows, workload};
use harness::data::{Data, snapshots_path};
use harness::faults;
use harness::pipeline::{Pipeline, Setting};
use harness::snapshot;
use harness::ticks::End;
use std::path::Path;
use std::time::Duration;

const TICK: usize = 20;

fn open(path: &Path) -> Pipeline {
    let every = Some(Duration::ZERO);
    let snapshots = snapshot::Setting { every, free_bytes_min: 0, ..snapshot::Setting::off() };
    let setting = Setting { snapshots, ..Setting::replay(1, TICK) };
    Pipeline::start(Data::open(path, Some("core")).unwrap(), &setting).unwrap()
}

/// Appends a tick and waits until its snapshot is written, or was not to be.
fn tick(pipeline: &Pipeline, events: &[bytes::Bytes]) -> snapshot::Figures {
    let count = |figures: &snapshot::Figures| figures.written + figures.failed;
    let status = pipeline.shared().snapshots.clone();
    let before = count(&status.now());
    append(pipeline, events);
    pipeline.settle().unwrap();
    let began = std::time::Instant::now();
    while count(&status.now()) == before && status.now().off.is_none() {
        assert!(began.elapsed() < Duration::from_secs(120), "neither written nor failed");
        std::thread::yield_now();
    }
    status.now()
}

/// The points are the process's own: one test for all of them.
#[test]
fn a_step_that_fails_leaves_the_older_snapshots() {
    let (_, points) = faults::PLACES.iter().find(|(part, _)| *part == "snapshot").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let events = workload(3, 8 * TICK);
    for point in points.iter().copied() {
        let path = folder.path().join(point);
        let pipeline = open(&path);
        let mut chunks = events.chunks(TICK);
        let mut next = || tick(&pipeline, chunks.next().unwrap());
        assert_eq!((next().failed, next().failed), (0, 0));
        let written = snapshot::manifest::list(&snapshots_path(&path)).unwrap();
        fail::cfg(point, "return").unwrap();
        let figures = next();
        assert!(figures.failed == 1 && figures.off.is_none(), "{point}: {figures:?}");
        assert!(figures.failure.as_ref().is_some_and(|why| why.contains(point)), "{point}: {figures:?}");
        fail::cfg(point, "off").unwrap();
        let after = snapshot::manifest::list(&snapshots_path(&path)).unwrap();
        assert!(written.iter().all(|one| after.contains(one)), "{point}");
        let figures = next();
        assert!(figures.failed == 1 && figures.failure.is_none(), "{point}: {figures:?}");
        // Two in a row are one too many.
        fail::cfg(point, "return").unwrap();
        next();
        let figures = next();
        assert!(figures.failed == 3 && figures.off.is_some(), "{point}: {figures:?}");
        fail::cfg(point, "off").unwrap();
        let last = next();
        assert_eq!(last.written, figures.written);
        let expected = rows(&pipeline.memory().read());
        pipeline.finish(End::Drain).unwrap();
        let left = std::fs::read_dir(snapshots_path(&path)).unwrap();
        assert!(
            left.flatten().all(|entry| !entry.file_name().to_string_lossy().ends_with(".new")),
            "{point}"
        );
        let pipeline = open(&path);
        assert_eq!(pipeline.repairs(), [] as [String; 0], "{point}");
        pipeline.settle().unwrap();
        assert_eq!(rows(&pipeline.memory().read()), expected, "{point}");
        pipeline.finish(End::Drain).unwrap();
    }
}
