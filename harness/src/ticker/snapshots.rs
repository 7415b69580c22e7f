//! Where the ticker begins at a snapshot, and how it has one taken.
use super::Ticker;
use crate::Error;
use crate::clock::Moment;
use crate::intake::Added;
use crate::simulate::plant::{Bug, planted};
use crate::snapshot::load::Loaded;
use crate::snapshot::manifest::{Point, Stream};
use crate::snapshot::recorder::memory_of;
use crate::ticks::Piece;
use std::time::Instant;

impl Ticker {
    /// Goes to where a snapshot was taken: all its rows count from its time on, and nothing can be read of the time before.
    pub fn begin(&mut self, mut loaded: Loaded) -> Result<(), Error> {
        let began = Instant::now();
        let point = loaded.manifest.point.clone();
        let moment = Moment { time: point.time, horizon: point.time };
        self.clock.repeat(moment, Some(point.latest_event));
        self.positions = point.positions();
        self.anchors = point.anchors.iter().map(|(p, offset, hash)| (*p, (*offset, *hash))).collect();
        let [seen, dropped, quarantine] =
            [Stream::Seen, Stream::Dropped, Stream::Quarantine].map(|stream| loaded.take(&stream));
        for (stream, batches) in loaded.rows {
            if let Stream::Table(table) = stream {
                self.rows.extend(batches.into_iter().map(|batch| (table.clone(), batch)));
            }
        }
        // It stands for all ticks before.
        self.grouped = true;
        self.tell(moment, 0);
        self.shared.snapshots.phase("rows handed to the engine", began.elapsed());
        // The workers build views meanwhile.
        let (memory, quarantine) = memory_of(&seen, &dropped, &quarantine)?;
        let memory = match planted(Bug::DedupeForgotten) {
            true => Added { seen: vec![], ..memory },
            false => memory,
        };
        if planted(Bug::SnapshotWithoutIntake) {
            return Ok(());
        }
        let mut intake = self.shared.intake.lock().expect("no thread panics with the intake");
        intake.restore(point.counts, memory, quarantine);
        self.shared.snapshots.phase("events remembered", began.elapsed());
        Ok(())
    }

    /// Has all that was told so far written down.
    pub(crate) fn snapshot(&mut self) {
        let point = Point {
            time: self.clock.last(),
            latest_event: self.clock.latest_event(),
            positions: self.positions.iter().map(|p| (p.partition, p.offset)).collect(),
            anchors: self.anchors.iter().map(|(p, (offset, hash))| (*p, *offset, *hash)).collect(),
            bound_at: self.shared.bindings.place(self.clock.last()),
            ..Point::default()
        };
        let mut intake = self.shared.intake.lock().expect("no thread panics with the intake");
        self.recorder.cut(point, &mut intake);
    }

    /// The last record of each partition stands for the log up to there.
    pub(super) fn anchor(&mut self, piece: &Piece) {
        let mut end = 0;
        for run in piece.records.chunk_by(|a, b| a.partition == b.partition) {
            end += run.len();
            let last = &piece.records[end - 1];
            self.anchors.insert(last.partition, (last.offset, piece.hashes[end - 1]));
        }
    }
}
