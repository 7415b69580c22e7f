//! A dry run: the same catalogue over a copy of the log, and then the source; what differs is what would change.
use super::Inner;
use super::Kept;
use super::compare::changed;
use super::job::{Figures, Job};
use super::run::Ended;
use super::supply::{Choice, Choose, Supply};
use crate::data::{self, Data};
use crate::feed::Feed;
use crate::pipeline::{Pipeline, Setting};
use crate::publish::Reach;
use crate::snapshot;
use crate::snapshot::manifest::{self, Manifest};
use crate::ticks::{End, Pace};
use dataflows::Position;
use queries::api::host::Host;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CHUNK_BYTES: usize = 1 << 20;
/// How often it is looked whether to go on; as often a tick shows what was built.
const LOOK: Duration = Duration::from_millis(100);

impl Inner {
    /// Says what a backfill would change. Nothing of it is kept.
    pub(super) fn rehearse(&self, job: &Job) -> Result<Ended, String> {
        job.unchanged()?;
        let Some(job) = self.checked(job)? else { return Ok(Ended::Interrupted) };
        let folder = super::folder(&self.data).join(format!("{}.rehearsal", job.id));
        let removed = || match std::fs::remove_dir_all(&folder) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("cannot remove {}: {why}", folder.display()))
            }
            _ => Ok(()),
        };
        removed()?;
        let ended = self.rehearse_in(&job, &folder);
        removed()?;
        ended
    }

    fn rehearse_in(&self, job: &Job, folder: &Path) -> Result<Ended, String> {
        self.update(job.id, Kept::Later, |job| {
            job.figures = Figures::default();
            job.running = Some((Instant::now(), 0));
        })?;
        let failed = |why: crate::Error| why.to_string();
        let data = Data::open(folder, Some(&self.catalogue)).map_err(failed)?;
        copy(&self.shared.log, &self.data, folder)
            .map_err(|why| format!("cannot copy the log to {}: {why}", folder.display()))?;
        let wall = (self.setting.wall)();
        let at_once = Some(Duration::ZERO);
        let setting = Setting {
            // Now stands still: what changes is what the events change.
            wall: Arc::new(move || wall),
            pace: Pace { wait: at_once, wait_busy: at_once, idle: Some(LOOK), ..self.setting.pace },
            workers: 1,
            backfills: false,
            // One that is there is used: the log may not be whole.
            snapshots: snapshot::Setting { every: None, ..self.setting.snapshots.clone() },
            log_keep: None,
            ..self.setting.clone()
        };
        let pipeline = Pipeline::start(data, &setting).map_err(failed)?;
        let ended = self.rehearse_on(job, &pipeline);
        pipeline.finish(End::Now).map_err(failed)?;
        ended
    }

    /// Waits until something is true of a rehearsal; false if somebody held it up.
    fn reached(
        &self,
        job: &Job,
        pipeline: &Pipeline,
        mut done: impl FnMut(&Reach) -> bool,
    ) -> Result<bool, String> {
        while self.goes_on(job.id) {
            if pipeline.visible().wait(Some(LOOK), &mut done).map_err(|why| why.to_string())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn rehearse_on(&self, job: &Job, pipeline: &Pipeline) -> Result<Ended, String> {
        let mut supply = Supply::open(job, self.topics.as_ref())?;
        let choose = Choose::new(job);
        // A view that was declared late is known once the log was read again, and filled after the tick that declared it.
        let built = || {
            let (read, catalogue) = (pipeline.memory().read(), pipeline.process().catalogue());
            let mut views = catalogue.views();
            views.all(|compiled| read.view(&compiled.view.name).is_some_and(|kept| kept.since().is_some()))
        };
        let ends = pipeline.log().ends();
        if !self.reached(job, pipeline, |reach| reach.restored && reach.covers(&ends) && built())? {
            return Ok(Ended::Interrupted);
        }
        let before = pipeline.memory().read();
        loop {
            if !self.goes_on(job.id) {
                return Ok(Ended::Interrupted);
            }
            let events = supply.next(CHUNK_BYTES)?;
            if events.is_empty() {
                break;
            }
            let mut figures =
                Figures { read: events.len() as u64, bytes: supply.bytes_read(), ..Figures::default() };
            let mut taken = vec![];
            for event in events {
                match choose.choose(&event) {
                    Choice::Taken => taken.push(event.payload),
                    Choice::Skipped => figures.skipped += 1,
                    Choice::Reserved => figures.reserved += 1,
                }
            }
            let ends = pipeline.log().append_wait(taken).map_err(|why| why.to_string())?;
            if !self.reached(job, pipeline, |reach| reach.covers(&ends))? {
                return Ok(Ended::Interrupted);
            }
            let own = ends.iter().map(|end| Position { partition: end.partition, offset: end.offset - 1 });
            let intake = pipeline.shared().intake.lock().expect("no thread panics with the intake");
            (figures.duplicates, figures.rejects) = intake.fates(own);
            drop(intake);
            figures.appended = ends.len() as u64;
            self.update(job.id, Kept::Later, |job| job.figures.add(&figures))?;
        }
        let changes = changed(&before, &pipeline.memory().read());
        self.update(job.id, Kept::Now, |job| job.changes = Some(changes))?;
        Ok(Ended::Whole)
    }
}

/// Bindings and statements first: the log that is copied after them holds what they speak of. Where its beginning was removed, a
/// snapshot that stands for it comes too; nothing more is removed meanwhile.
fn copy(log: &Feed, from: &Path, to: &Path) -> std::io::Result<()> {
    let _whole = log.reading_whole(0);
    for path in [data::bindings_path, data::statements_path] {
        if path(from).exists() {
            std::fs::copy(path(from), path(to))?;
        }
    }
    if !log.trimmed().is_empty() {
        let (from, to) = (data::snapshots_path(from), data::snapshots_path(to));
        std::fs::create_dir_all(&to)?;
        // The one that is copied may make place for a newer one at the same time.
        while !copy_snapshot(&from, &to)? {}
    }
    copy_folder(&data::log_path(from), &data::log_path(to))
}

/// Copies the newest snapshot; false if it went meanwhile.
fn copy_snapshot(from: &Path, to: &Path) -> std::io::Result<bool> {
    let Some((_, path)) = manifest::list(from)?.into_iter().next() else {
        return Err(std::io::Error::other("the log is not whole, and there is no snapshot"));
    };
    let copied = || {
        let manifest = Manifest::read(&path).map_err(|why| match path.exists() {
            true => std::io::Error::other(why.why),
            false => std::io::ErrorKind::NotFound.into(),
        })?;
        for part in manifest.parts() {
            std::fs::copy(from.join(&part.name), to.join(&part.name))?;
        }
        std::fs::copy(&path, to.join(path.file_name().unwrap_or_default()))
    };
    match copied() {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound && !path.exists() => Ok(false),
        copied => copied.map(|_| true),
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else if path.file_name().is_none_or(|name| name != "lock") {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
