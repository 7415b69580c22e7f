//! `Service`: history brought in while events go on, by the same path: into the log, bound to ticks, each event once.
//!
//! One thread does one backfill after the other. How far each is stands in a file of the data directory, written after the events
//! are in the log: what is brought in again after a crash is a duplicate, which counts nothing.
mod compare;
mod job;
mod rehearse;
mod run;
mod supply;
mod topic;

pub use compare::changed;
pub use job::Changed;
pub use supply::Topics;
pub use topic::opener;

use crate::Error;
use crate::pipeline::Setting;
use crate::ticker::Shared;
use job::{Job, Phase};
use queries::api::backfills::{Backfills, Steer, Wanted};
use queries::api::host::DeclareError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// Brings history in. It ends with [`Service::stop`]; what is not done goes on at the next start.
pub struct Service {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    shared: Shared,
    setting: Setting,
    data: PathBuf,
    catalogue: String,
    topics: Option<Topics>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    jobs: BTreeMap<u64, Job>,
    stopping: bool,
}

impl Service {
    /// Goes on with what a data directory says is to be done.
    pub fn start(
        shared: Shared,
        setting: Setting,
        data: &Path,
        catalogue: &str,
    ) -> Result<Arc<Service>, Error> {
        let jobs = job::load(&folder(data))?.into_iter().map(|job| (job.id, job)).collect();
        let state = Mutex::new(State { jobs, stopping: false });
        let (data, catalogue) = (data.to_owned(), catalogue.to_owned());
        let topics = setting.topics.clone();
        let inner =
            Arc::new(Inner { shared, setting, data, catalogue, topics, state, changed: Condvar::new() });
        let run = inner.clone();
        let thread = std::thread::Builder::new().name("backfill".into()).spawn(move || run.run());
        let thread = thread.map_err(|why| Error::failed("start the thread for backfills", why))?;
        Ok(Arc::new(Service { inner, thread: Mutex::new(Some(thread)) }))
    }

    /// Ends the thread after the piece under way.
    pub fn stop(&self) {
        self.inner.lock().stopping = true;
        self.inner.changed.notify_all();
        let thread = self.thread.lock().expect("no thread panics with its handle").take();
        if let Some(thread) = thread {
            _ = thread.join();
        }
    }
}

impl Backfills for Service {
    fn begin(&self, wanted: Wanted) -> Result<Value, DeclareError> {
        let now = (self.inner.setting.wall)();
        let id = self.inner.lock().jobs.keys().last().map_or(1, |last| last + 1);
        let mut job = Job::new(id, now, wanted).map_err(DeclareError::Invalid)?;
        supply::looks_like_events(&job).map_err(DeclareError::Invalid)?;
        supply::Supply::open(&job, self.inner.topics.as_ref()).map_err(DeclareError::Invalid)?;
        let mut state = self.inner.lock();
        if state.stopping {
            return Err(DeclareError::Unavailable("the process is stopping".into()));
        }
        job.id = state.jobs.keys().last().map_or(1, |last| last + 1);
        self.inner.save(&job).map_err(|why| DeclareError::Unavailable(why.to_string()))?;
        let described = job.described();
        state.jobs.insert(job.id, job);
        drop(state);
        self.inner.changed.notify_all();
        Ok(described)
    }

    fn all(&self) -> Vec<Value> {
        self.inner.lock().jobs.values().rev().map(Job::described).collect()
    }

    fn one(&self, id: u64) -> Option<Value> {
        self.inner.lock().jobs.get(&id).map(Job::described)
    }

    fn steer(&self, id: u64, steer: Steer) -> Result<Value, DeclareError> {
        let mut state = self.inner.lock();
        let unknown = || DeclareError::NotFound(format!("there is no backfill {id}"));
        let job = state.jobs.get_mut(&id).ok_or_else(unknown)?;
        let refused = |why: &str| Err(DeclareError::Conflict(format!("backfill {id} is {why}")));
        job.phase = match (steer, job.phase) {
            (_, phase) if phase.is_over() => return refused("over"),
            (Steer::Cancel, _) => Phase::Cancelled,
            (Steer::Pause, Phase::Paused) => return refused("paused already"),
            (Steer::Pause, _) => Phase::Paused,
            // What was on its way may not have arrived yet.
            (Steer::Resume, Phase::Paused) if job.running.is_some() => Phase::Running,
            (Steer::Resume, Phase::Paused) => Phase::Waiting,
            (Steer::Resume, _) => return refused("not paused"),
        };
        self.inner.save(job).map_err(|why| DeclareError::Unavailable(why.to_string()))?;
        let described = job.described();
        drop(state);
        self.inner.changed.notify_all();
        Ok(described)
    }
}

impl Inner {
    fn run(&self) {
        // Nothing is brought in before the log of earlier lives is read: what is there already must be known.
        let visible = &self.shared.visible;
        if !visible.wait(None, |reach| reach.restored || reach.stopping).is_ok_and(|_| visible.now().restored)
        {
            return;
        }
        while let Some(job) = self.next() {
            let ended = if job.dry_run { self.rehearse(&job) } else { self.bring_in(&job) };
            let mut state = self.lock();
            let stopping = state.stopping;
            let Some(job) = state.jobs.get_mut(&job.id) else { continue };
            job.running = None;
            match ended {
                // Paused, cancelled, or the process ends: it stays as it is.
                Ok(run::Ended::Interrupted) => {}
                Ok(run::Ended::Whole) => job.phase = Phase::Done,
                // What fails while the process ends is tried again at the next start.
                Err(_) if stopping => {}
                Err(why) => (job.phase, job.failure) = (Phase::Failed, Some(why)),
            }
            if let Err(why) = self.save(job) {
                report!("tallyflow: {why}");
            }
        }
    }

    /// The next one to do; none when the process ends.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return None;
            }
            if let Some(job) = state.jobs.values().find(|job| job.phase.is_active()) {
                return Some(job.clone());
            }
            state = self.changed.wait(state).expect("no thread panics with the backfills");
        }
    }

    /// Whether a backfill is to go on.
    fn goes_on(&self, id: u64) -> bool {
        let state = self.lock();
        !state.stopping && state.jobs.get(&id).is_some_and(|job| job.phase.is_active())
    }

    /// Changes what is known of a backfill, and what is kept of it.
    fn update(&self, id: u64, kept: Kept, change: impl FnOnce(&mut Job)) -> Result<(), String> {
        let mut state = self.lock();
        let Some(job) = state.jobs.get_mut(&id) else { return Ok(()) };
        change(job);
        match kept {
            Kept::Now => self.save(job).map_err(|why| why.to_string()),
            Kept::Later => Ok(()),
        }
    }

    fn save(&self, job: &Job) -> Result<(), Error> {
        job.save(&folder(&self.data))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the backfills")
    }
}

/// When a change is kept in the data directory.
#[derive(Clone, Copy)]
enum Kept {
    Now,
    Later,
}

fn folder(data: &Path) -> PathBuf {
    data.join("backfills")
}
