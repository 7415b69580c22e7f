//! `Outlets`: the sinks of the process. Each published tick is offered to all of them; each has its own thread, and a dead or slow
//! one harms no other, nor the readers.
//!
//! | file | noun | what it is |
//! |---|---|---|
//! | [`outlet`] | [`outlet::Outlet`] | what one store is to be told next: no thread, no clock |
//! | [`offer`] | [`offer::Offer`] | a tick as sinks are told of it |
//! | [`draft`] | [`draft::Draft`] | a delivery before its keys are copied |
//! | [`keys`] | [`keys::Keys`] | the changed keys that wait |
//! | [`thread`] | [`thread::Running`] | the thread that does what an outlet says |
//! | [`spec`] | [`spec::Spec`] | a sink as it was declared |
//! | [`registry`] | | what kinds of sinks there are |
//! | [`serve`] | | what the HTTP API and SQL ask of the sinks |
//! | [`compare`] | | a store against the view at the store's time |
pub mod compare;
pub mod draft;
pub mod keys;
pub mod offer;
pub mod outlet;
pub mod registry;
pub mod serve;
pub mod spec;
pub mod thread;

use crate::Error;
use crate::publish::Visible;
use dataflows::{Tick, Time, View};
use offer::Offer;
use outlet::{Limits, Outlet};
use sinks::Sink;
use sinks::memory::Read;
use spec::Spec;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use thread::Running;

/// How long a start waits for the stores to say where they are.
const OPEN_WAIT: Duration = Duration::from_secs(10);
/// How long an end waits for what was offered to be delivered.
const DRAIN_WAIT: Duration = Duration::from_secs(20);
/// How long an end waits for a delivery under way.
const END_WAIT: Duration = Duration::from_secs(5);

/// The sinks of a process.
pub struct Outlets {
    /// The pipeline's identity.
    pipeline: String,
    /// Where sinks that SQL declared are kept.
    path: PathBuf,
    list: Mutex<BTreeMap<String, Entry>>,
    newest: Mutex<Option<Offer>>,
    remembered: Mutex<BTreeMap<Time, Option<Read>>>,
}

#[derive(Clone)]
struct Entry {
    running: Arc<Running>,
    /// Whether SQL declared it, so that SQL drops it.
    by_sql: bool,
}

impl Outlets {
    /// None yet. `folder` is the data directory; what is read at some times is remembered.
    pub fn new(folder: &Path, remember: Vec<Time>) -> Result<Outlets, Error> {
        let remembered = remember.into_iter().map(|time| (time, None)).collect();
        Ok(Outlets {
            pipeline: identity(folder)?,
            path: path(folder),
            list: Mutex::default(),
            newest: Mutex::default(),
            remembered: Mutex::new(remembered),
        })
    }

    /// What was read at a time that was to be remembered.
    pub fn remembered(&self, time: Time) -> Option<Read> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(&time).cloned().flatten()
    }

    /// Starts those that are declared, in the config and by SQL.
    pub fn start(&self, config: &[Spec]) -> Result<(), Error> {
        for (spec, by_sql) in
            config.iter().map(|spec| (spec.clone(), false)).chain(kept(&self.path)?.map(|spec| (spec, true)))
        {
            let name = spec.name.clone();
            let sink = registry::open_sink(&spec, &self.pipeline).map_err(|why| why.to_string());
            let entry = Entry { running: self.running(spec, sink), by_sql };
            if self.list().insert(name.clone(), entry).is_some() {
                return Err(Error::Usage(format!("sink {name:?} is declared twice: drop one of them")));
            }
        }
        Ok(())
    }

    /// The times that stores hold, as far as they say so within a while. Deliveries go on exactly from there.
    pub fn times(&self) -> Vec<Time> {
        let began = Instant::now();
        let wait = |running: &Arc<Running>| {
            let left = OPEN_WAIT.saturating_sub(began.elapsed());
            running.wait(left, Outlet::was_opened);
            running.outlet().time()
        };
        self.all().iter().filter_map(wait).collect()
    }

    /// The times of which each tick must be told by itself: those of stores, and from there to where a delivery was broken off.
    pub(crate) fn begun(&self) -> Vec<(Time, Time)> {
        self.all().iter().filter_map(|running| running.outlet().begun()).collect()
    }

    /// The times that stores are known to hold now.
    pub(crate) fn times_now(&self) -> Vec<Time> {
        self.all().iter().filter_map(|running| running.outlet().time()).collect()
    }

    /// Adds a sink that SQL declared. It is kept.
    pub fn create(&self, spec: Spec) -> Result<(), Error> {
        let sink = registry::open_sink(&spec, &self.pipeline)?;
        let mut list = self.list();
        if list.contains_key(&spec.name) {
            return Err(Error::Failed(format!("there is a sink {:?} already: drop it first", spec.name)));
        }
        let kept = list.values().filter(|entry| entry.by_sql).map(|entry| entry.running.spec.clone());
        spec::write(&self.path, &kept.chain([spec.clone()]).collect::<Vec<_>>())?;
        let name = spec.name.clone();
        list.insert(name, Entry { running: self.running(spec, Ok(sink)), by_sql: true });
        Ok(())
    }

    /// Adds a sink that is not kept: a test's, a simulation's.
    pub fn attach(&self, name: &str, views: Option<Vec<String>>, sink: Box<dyn Sink>) {
        let spec = Spec { name: name.into(), kind: "model".into(), views, options: BTreeMap::new() };
        let entry = Entry { running: self.running(spec, Ok(sink)), by_sql: false };
        self.list().insert(name.to_owned(), entry);
    }

    /// Adds a sink without a thread: a simulation does what its outlet says.
    pub(crate) fn attach_driven(
        &self,
        name: &str,
        views: Option<Vec<String>>,
        outlet: Outlet,
    ) -> Arc<Running> {
        let spec = Spec { name: name.into(), kind: "model".into(), views, options: BTreeMap::new() };
        let running = Running::driven(spec, outlet);
        self.list().insert(name.to_owned(), Entry { running: running.clone(), by_sql: false });
        running
    }

    /// Ends a sink that SQL declared, and forgets it; the store keeps what it has. Whether there was one.
    pub fn drop_sink(&self, name: &str) -> Result<bool, Error> {
        let mut list = self.list();
        match list.get(name) {
            None => return Ok(false),
            Some(entry) if !entry.by_sql => {
                return Err(Error::Failed(format!(
                    "cannot drop sink {name:?}: it is declared in the config; remove it there"
                )));
            }
            Some(_) => {}
        }
        let rest = list.values().filter(|entry| entry.by_sql && entry.running.spec.name != name);
        let rest: Vec<Spec> = rest.map(|entry| entry.running.spec.clone()).collect();
        spec::write(&self.path, &rest)?;
        let gone = list.remove(name);
        drop(list);
        gone.inspect(|entry| entry.running.end(END_WAIT));
        Ok(true)
    }

    /// Every sink, by name.
    pub fn all(&self) -> Vec<Arc<Running>> {
        self.list().values().map(|entry| entry.running.clone()).collect()
    }

    /// The sink of a name.
    pub fn get(&self, name: &str) -> Option<Arc<Running>> {
        self.list().get(name).map(|entry| entry.running.clone())
    }

    /// The pipeline's identity.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// A tick was published: all sinks are told, and none is waited for. `building` are views that cannot be read yet;
    /// `grouped`: several ticks that were bound were told as one.
    pub fn offer(
        &self,
        tick: &Tick,
        read: Read,
        building: Vec<Arc<View>>,
        visible: &Visible,
        grouped: bool,
    ) -> Result<(), Error> {
        if let Some(time) = read.time()
            && let Some(place) = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&time)
        {
            *place = Some(read.clone());
        }
        let list = self.list();
        let restored = visible.now().restored;
        let mut changed = vec![];
        for batch in &tick.batches {
            let name = &batch.view.name;
            let Some(kept) = read.view(name) else { continue };
            if list.values().any(|entry| entry.running.outlet().gathers(name)) {
                let keys = kept.changed_keys(batch).map_err(Error::Failed)?;
                changed.push((name.clone(), Arc::new(keys)));
            }
        }
        let offer = Offer { read, changed, building: Arc::new(building), restored, grouped };
        list.values().for_each(|entry| entry.running.offer(&offer));
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Offer { changed: vec![], ..offer });
        Ok(())
    }

    /// Waits until the stores have what was offered, unless they cannot be reached; then ends all.
    pub fn finish(&self, drain: Drain) {
        let began = Instant::now();
        for running in self.all() {
            if drain == Drain::All {
                running.with(Outlet::drain);
                let left = DRAIN_WAIT.saturating_sub(began.elapsed());
                running.wait(left, Outlet::is_level);
            }
        }
        self.all().iter().for_each(|running| running.end(END_WAIT));
    }

    fn running(&self, spec: Spec, sink: Result<Box<dyn Sink>, String>) -> Arc<Running> {
        let chosen = spec.views.as_ref().map(|names| names.iter().map(|name| name.as_str().into()).collect());
        let seed = xxhash_rust::xxh3::xxh3_64(format!("{}/{}", self.pipeline, spec.name).as_bytes());
        let mut outlet = Outlet::new(chosen, Limits::default(), seed);
        if let Some(newest) = &*self.newest.lock().unwrap_or_else(PoisonError::into_inner) {
            outlet.offer(newest);
        }
        Running::start(spec, outlet, sink)
    }

    fn list(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        // Entries come and go by single acts.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an end waits for the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// Until they have what was offered.
    All,
    /// Only for deliveries under way.
    None,
}

/// The file of the sinks that SQL declared.
pub fn path(data: &Path) -> PathBuf {
    data.join("sinks.json")
}

fn kept(path: &Path) -> Result<impl Iterator<Item = Spec>, Error> {
    Ok(spec::read(path)?.into_iter())
}

/// Gives the pipeline a new identity at its next start: every store is compared and filled anew.
pub fn forget_identity(folder: &Path) -> Result<(), Error> {
    let path = folder.join("pipeline");
    let gone = match std::fs::remove_file(&path) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done,
    };
    gone.and_then(|()| std::fs::File::open(folder)?.sync_all())
        .map_err(|why| Error::failed(format!("remove {}", path.display()), why))
}

/// What tells this data directory from all others: stores that another one filled hold nothing of it.
pub fn identity(folder: &Path) -> Result<String, Error> {
    let path = folder.join("pipeline");
    let failed = |why| Error::failed(format!("make the identity {}", path.display()), why);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.len() == 16 => return Ok(text),
        Ok(_) => {}
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
        Err(why) => return Err(failed(why)),
    }
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(failed)?;
    let text = format!("{:016x}", u64::from_le_bytes(bytes));
    let new = folder.join("pipeline.new");
    let put = || {
        let mut file = std::fs::File::create(&new)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        std::fs::File::open(folder)?.sync_all()
    };
    put().map_err(failed)?;
    Ok(text)
}
