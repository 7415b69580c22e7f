//! `Life`: the parts of a process between a start and a crash, as [`Pipeline`](crate::pipeline::Pipeline) puts them together, without
//! its threads.
use super::log::{SimLog, SimReader};
use crate::Error;
use crate::clock::{Clock, Follow, Wall};
use crate::data::{self, Data};
use crate::outlets::Outlets;
use crate::outlets::outlet::{Act, Limits, Outlet};
use crate::outlets::thread::Running;
use crate::pipeline::{STATE_BYTES_MAX, Setting};
use crate::progress::{self, Binding, Bindings};
use crate::publish::{Latency, Publisher};
use crate::snapshot;
use crate::statements::Statements;
use crate::ticker::{Shared, Ticker};
use crate::ticks::{self, Pace, Reader, Setting as ReaderSetting, Step, Tables, Work};
use crossbeam_channel::{Receiver, bounded, unbounded};
use dataflows::Time;
use dataflows::engine::{Collector, Engine, Output};
use queries::Catalogue;
use sinks::Sink;
use sinks::memory::Memory;
use sinks::model::{Model, Store};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

/// Ticks and pieces that wait in a life: more than all it repeats.
const IN_FLIGHT: usize = 4_096;
/// How long the engine's or the disk's thread may take for its answer: this bounds hangs only.
const HANG: Duration = Duration::from_secs(120);

/// What a life is given.
pub(super) struct Given<'a> {
    pub(super) path: &'a Path,
    pub(super) log: &'a SimLog,
    pub(super) wall: Wall,
    pub(super) catalogue: &'a Catalogue,
    pub(super) stores: Vec<(String, Option<Vec<String>>, Store)>,
    pub(super) disk_full: bool,
    pub(super) seed: u64,
    /// So many records are repeated as one tick.
    pub(super) grouped: usize,
}

/// A running process.
pub(super) struct Life {
    pub(super) shared: Shared,
    pub(super) ticker: Ticker,
    pub(super) reader: Reader<SimReader>,
    pub(super) stores: Vec<(Arc<Running>, Model)>,
    /// Snapshots that were put aside at the start.
    pub(super) rejected: usize,
    pub(super) from_snapshot: bool,
    pub(super) torn: bool,
    /// All ticks that are bound.
    pub(super) bound: Vec<Binding>,
    steps: Receiver<Step>,
    work: Receiver<Work>,
    outputs: Receiver<Output>,
    publisher: Publisher,
    data: Data,
}

impl Life {
    /// Starts; what was bound is read and not told to the engine yet: [`Life::repeat`] does.
    pub(super) fn begin(given: Given) -> Result<Life, Error> {
        let data = Data::open(given.path, Some("empty"))?;
        let file = data::bindings_path(data.path());
        let (bindings, torn) = Bindings::open(&file, snapshot::start::known(&data))?;
        let mut bound = vec![];
        let mut all = progress::Reader::open(&file)?;
        while let Some(binding) = all.next()? {
            bound.push(binding);
        }
        let (statements, kept, _) = Statements::open(&data::statements_path(data.path()))?;
        let bindings = Arc::new(bindings);
        let outlets = Arc::new(Outlets::new(data.path(), vec![])?);
        let limits = Limits { keys_bytes: 4_000, quiet_ms: 50, pause_ms: (1, 2) };
        let driven = |(name, views, store): (String, Option<Vec<String>>, Store)| {
            let chosen = views.as_ref().map(|names| names.iter().map(|name| name.as_str().into()).collect());
            let running = outlets.attach_driven(&name, views, Outlet::new(chosen, limits, given.seed));
            let mut store = (running, store.writer("sim"));
            step(&mut store);
            store
        };
        let stores: Vec<_> = given.stores.into_iter().map(driven).collect();
        let mut kept_times = BTreeSet::new();
        if bindings.last() > 0 {
            kept_times.extend(outlets.times_now());
            for (from, to) in outlets.begun() {
                let path = crate::data::bindings_path(data.path());
                kept_times.extend(crate::progress::Reader::times(&path, from, to)?);
            }
        }
        let begins = snapshot::start::Log {
            begins: given.log.begins(),
            ends: given.log.ends(),
            read: &|partition, offset| given.log.read(partition, offset),
            retention: None,
            tells_loss: false,
        };
        let free_bytes_min = if given.disk_full { 1 << 60 } else { 0 };
        let not_after = kept_times.first().copied();
        let every = Some(Duration::MAX);
        let snapshots = snapshot::Setting { every, kept: 3, free_bytes_min, not_after };
        let restored = (given.catalogue.clone(), kept);
        let start = snapshot::start::open(&data, &snapshots, 1, restored, begins, &bindings)?;
        let declared: Vec<_> = start.catalogue.entries().iter().map(|entry| entry.declared.clone()).collect();
        let setting = Setting::replay(1, given.grouped);
        let (output, outputs) = bounded(IN_FLIGHT);
        let engine = Engine::start_bounded(1, output, STATE_BYTES_MAX)
            .map_err(|why| Error::failed("start the engine", why))?;
        let (feed, _) = crate::feed::Feed::open(&data, &setting)?;
        let shared = Shared {
            log: feed,
            catalogue: Arc::new(Mutex::new(start.catalogue)),
            engine: Arc::new(RwLock::new(Some(engine))),
            collector: Arc::new(Mutex::new(Collector::new(1))),
            memory: Arc::new(Memory::new(given.seed, sinks::memory::Limits::default())),
            bindings,
            underway: Arc::default(),
            intake: Arc::default(),
            tables: Arc::new(RwLock::new(Tables::new(0, vec![]))),
            visible: Arc::default(),
            gauges: Arc::default(),
            outlets,
            snapshots: start.status,
            late: Arc::default(),
            parts: None,
        };
        // Where a binding cannot be written the tick ends at once: nobody would free the disk meanwhile.
        shared.visible.stop();
        let clock = Clock::new(given.wall, Follow::Wall, super::events::SKEW_MS);
        let mut ticker = Ticker::new(shared.clone(), clock, statements, start.kept, start.recorder);
        ticker.install(&declared)?;
        let stops = kept_times.iter().copied();
        shared.collector.lock().expect("no thread panics with the collector").stop_at(stops);
        let mut source = given.log.reader();
        if let Some(loaded) = &start.loaded {
            let positions = loaded.manifest.point.positions();
            sources::Source::seek(&mut source, &positions)
                .map_err(|why| Error::failed("read the log after the snapshot", why))?;
        }
        // Whoever waits for records goes on at once.
        let (appends, appended) = unbounded();
        (0..IN_FLIGHT).for_each(|_| _ = appends.send(()));
        let (tables, visible) = (shared.tables.clone(), shared.visible.clone());
        let pace = Pace { records_max: given.grouped, ..setting.pace };
        let reader_setting =
            ReaderSetting { pace, threads: 1, tables, appended, visible: visible.clone(), parts: None };
        let (mut reader, steps, _, work) = Reader::apart(source, reader_setting, (IN_FLIGHT, IN_FLIGHT));
        let publisher = Publisher {
            collector: shared.collector.clone(),
            bindings: shared.bindings.clone(),
            memory: shared.memory.clone(),
            underway: shared.underway.clone(),
            visible,
            latency: Arc::new(Latency::default()),
            late: shared.late.clone(),
            outlets: shared.outlets.clone(),
        };
        let (rejected, from_snapshot) = (start.rejected.len(), start.loaded.is_some());
        if let Some(loaded) = start.loaded {
            ticker.begin(loaded)?;
        }
        reader.repeat(start.bound, &kept_times)?;
        let torn = torn.is_some();
        Ok(Life {
            shared,
            ticker,
            reader,
            stores,
            rejected,
            from_snapshot,
            torn,
            bound,
            steps,
            work,
            outputs,
            publisher,
            data,
        })
    }

    /// Makes the next tick that the reader has cut; whether there was one.
    pub(super) fn tick(&mut self) -> Result<bool, Error> {
        self.work.try_iter().for_each(|work| ticks::decode(work, &self.shared.tables));
        match self.steps.try_recv() {
            Ok(Step::Tick(cut)) => self.ticker.tick(cut).map(|()| true),
            Ok(Step::Repeated) | Err(_) => Ok(false),
        }
    }

    /// Takes what the engine has made of the ticks.
    pub(super) fn publish(&mut self) -> Result<(), Error> {
        while !self.shared.underway.is_empty() {
            let output = self.outputs.recv_timeout(HANG);
            let output = output.map_err(|why| Error::failed("wait for the engine", why))?;
            self.publisher.take(std::iter::once(output))?;
        }
        Ok(())
    }

    /// What the last tick is bound to.
    pub(super) fn newest_binding(&self) -> Result<Option<Binding>, Error> {
        let (bindings, path) = (&self.shared.bindings, data::bindings_path(self.data.path()));
        let time: Time = bindings.last();
        let Some(at) = bindings.place(time) else { return Ok(None) };
        Ok(progress::Reader::open_at(&path, time, at)?.map(|(_, binding)| binding))
    }

    /// Has a snapshot taken and waits for it; whether it was written, none where no more are.
    pub(super) fn snapshot(&mut self) -> Result<Option<bool>, Error> {
        let status = self.shared.snapshots.clone();
        let (before, began) = (status.now(), Instant::now());
        if status.is_off() {
            return Ok(None);
        }
        self.ticker.snapshot();
        loop {
            let now = status.now();
            if now.written + now.failed > before.written + before.failed {
                return Ok(Some(now.written > before.written));
            }
            if began.elapsed() > HANG {
                return Err(Error::failed("wait for a snapshot", "its thread does not answer"));
            }
            std::thread::yield_now();
        }
    }

    /// Ends: all that is only in memory is gone.
    pub(super) fn end(self) {
        drop(self);
    }
}

impl Drop for Life {
    /// The keeper ends with the ticker, and the directory is let go after it.
    fn drop(&mut self) {
        let engine = self.shared.engine.write().expect("no thread panics with the engine").take();
        engine.into_iter().for_each(|engine| _ = engine.shutdown());
    }
}

/// Does what an outlet says next; false where there is nothing.
pub(super) fn step((running, sink): &mut (Arc<Running>, Model)) -> bool {
    let act = running.outlet().act();
    match act {
        Act::Open => {
            let held = sink.open();
            running.outlet().opened(held);
        }
        Act::Apply(draft) => {
            let done = sink.apply(&draft.delivery());
            running.outlet().applied(done);
        }
        Act::Wait(_) => running.outlet().waited(),
        Act::Idle | Act::Stop => return false,
    }
    true
}
