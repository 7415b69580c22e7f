//! `Pipeline`: the threads of the process, put together. Log -> reader -> decoders -> ticker -> engine -> publisher -> readers.
//!
//! Every channel between them is bounded: who is slow holds back who is fast, down to the log.
use crate::Error;
use crate::backfill::{self, Service, Topics};
use crate::clock::{Clock, Follow, Wall, wall};
use crate::cluster::lead::Lead;
use crate::cluster::parts::{Opening, Split};
use crate::data::{self, Data};
use crate::feed::Feed;
use crate::host::Process;
use crate::late::LateChanges;
use crate::outlets::spec::Spec;
use crate::outlets::{Drain, Outlets};
use crate::progress::{self, Bindings};
use crate::publish::{Latency, Publisher, Visible};
use crate::snapshot;
use crate::statements::Statements;
use crate::ticker::{Shared, Ticker, maintainable};
use crate::ticks::{End, Handle, Pace, Reader, Setting as ReaderSetting, Tables};
use crossbeam_channel::bounded;
use dataflows::engine::{Collector, Cost, Engine};
use dataflows::{Position, Time};
use queries::Catalogue;
use queries::session::{Limits, Session};
use sinks::memory::Memory;
use sources::Source;
use sources::kafka::KafkaConfig;
use sources::log::LogConfig;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const OUTPUTS_IN_FLIGHT: usize = 1_024;
const COMMANDS_IN_FLIGHT: usize = 16;

/// How a pipeline runs.
#[derive(Clone)]
pub struct Setting {
    /// Threads of the engine, and as many that decode.
    pub workers: usize,
    /// When a tick is cut.
    pub pace: Pace,
    /// What the clock follows at the end of the log.
    pub follow: Follow,
    /// How far events may be ahead of the wall clock.
    pub skew_ms: u64,
    /// The wall clock.
    pub wall: Wall,
    /// Partitions of a new log.
    pub partitions: u32,
    /// How long a file of the embedded log is at most before a new one begins.
    pub segment_bytes: u64,
    /// How long the embedded log keeps what snapshots stand for; none: for good.
    pub log_keep: Option<Duration>,
    /// The Kafka that is the log; none: that of the data, else the embedded log.
    pub kafka: Option<KafkaConfig>,
    /// What one SQL statement may use.
    pub limits: Limits,
    /// What the state of one view may take; a view that needs more is stopped.
    pub state_bytes_max: usize,
    /// The sinks of the config, beside those that SQL declared; none: no sink runs.
    pub sinks: Option<Vec<Spec>>,
    /// Times of earlier lives at which readers' views are remembered, in [`Outlets::remembered`].
    pub remember: Vec<Time>,
    /// When snapshots are written.
    pub snapshots: snapshot::Setting,
    /// Whether history can be brought in, and what was begun goes on.
    pub backfills: bool,
    /// Opens topics to bring in; none where there is no Kafka.
    pub topics: Option<Topics>,
    /// Whether it is counted for how long each dataflow is at work.
    pub costs: bool,
    /// The other processes, where there are any.
    pub others: Option<Arc<Lead>>,
}

/// What the state of one view may take where nothing is said.
pub const STATE_BYTES_MAX: usize = 8 << 30;

impl Setting {
    /// For a process that serves: ticks follow the wall clock, 5 ms apart where they cost little, else at most 10 ms when a little
    /// arrives and 25 ms when much does.
    pub fn serve(workers: usize, tick_events: usize) -> Setting {
        let ms = Duration::from_millis;
        let (wait, wait_busy, idle) = (Some(ms(10)), Some(ms(25)), Some(ms(1_000)));
        let pace = Pace { records_max: tick_events, wait_min: ms(5), wait, wait_busy, idle };
        Setting {
            workers,
            pace,
            follow: Follow::Wall,
            skew_ms: 60_000,
            wall: wall(),
            partitions: 1,
            segment_bytes: LogConfig::default().segment_bytes,
            log_keep: None,
            kafka: None,
            limits: Limits::default(),
            state_bytes_max: STATE_BYTES_MAX,
            sinks: Some(vec![]),
            remember: vec![],
            snapshots: snapshot::Setting::usual(),
            backfills: true,
            topics: None,
            costs: false,
            others: None,
        }
    }

    /// For a replay: full ticks only, at the times of the events.
    pub fn replay(workers: usize, tick_events: usize) -> Setting {
        let snapshots = snapshot::Setting::off();
        let serve = Setting::serve(workers, tick_events);
        let pace = Pace { wait: None, wait_busy: None, idle: None, ..serve.pace };
        Setting { pace, follow: Follow::Log, sinks: None, snapshots, backfills: false, ..serve }
    }
}

/// The running threads, and the data they hold.
pub struct Pipeline {
    data: Data,
    process: Arc<Process>,
    session: Session,
    shared: Shared,
    reader: Handle,
    upstream: Vec<JoinHandle<()>>,
    publisher: JoinHandle<()>,
    repairs: Vec<String>,
}

impl Pipeline {
    /// Opens the data and starts all threads: what was bound is made again, then it goes on.
    pub fn start(data: Data, setting: &Setting) -> Result<Pipeline, Error> {
        let catalogue = load(&data)?;
        let (log, mut repairs) = Feed::open(&data, setting)?;
        let (bindings, torn) =
            Bindings::open(&data::bindings_path(data.path()), snapshot::start::known(&data))?;
        repairs.extend(torn.map(|torn| format!("bindings: {} bytes cut: {}", torn.bytes, torn.reason)));
        let (statements, kept, torn) = Statements::open(&data::statements_path(data.path()))?;
        if torn > 0 {
            repairs.push(format!("statements: {torn} bytes cut"));
        }
        let bindings = Arc::new(bindings);
        let stands = snapshot::start::Log {
            begins: log.reader().positions(),
            ends: log.ends(),
            read: &|partition, offset| log.read(partition, offset).ok(),
            tells_loss: matches!(log, Feed::Kafka(_)),
            retention: log.retention(setting.log_keep)?,
        };
        let outlets = Arc::new(Outlets::new(data.path(), setting.remember.clone())?);
        let mut store_times = vec![];
        if let Some(sinks) = &setting.sinks {
            outlets.start(sinks)?;
            if bindings.last() > 0 {
                store_times = outlets.times();
            }
        }
        // From a snapshot after a store's time on, that store's changes would not be known.
        let mut snapshots = setting.snapshots.clone();
        snapshots.not_after = snapshots.not_after.into_iter().chain(store_times.iter().copied()).min();
        let (threads, restored) = (setting.workers, (catalogue, kept));
        let start = snapshot::start::open(&data, &snapshots, threads, restored, stands, &bindings)?;
        let snapshot::start::Start { catalogue, kept, bound, loaded, recorder, status, rejected } = start;
        let rejected = rejected.iter().map(|why| format!("start: a snapshot was put aside: {why}"));
        repairs.extend(rejected);
        let from = loaded.as_ref().map_or(0, |loaded| loaded.manifest.point.time);
        let (late, torn) = LateChanges::open(&data::late_path(data.path()), from, bindings.last())?;
        if torn > 0 {
            repairs.push(format!("what late events changed: {torn} bytes cut"));
        }
        let declared: Vec<_> = catalogue.entries().iter().map(|entry| entry.declared.clone()).collect();
        let journal = catalogue.journal().to_vec();

        let (output, outputs) = bounded(OUTPUTS_IN_FLIGHT);
        let visible: Arc<Visible> = Arc::default();
        let processes = setting.others.as_ref().map_or(1, |others| others.processes());
        let (engine, parts, known) = match &setting.others {
            Some(others) => {
                let opening = Opening::of(&data, &log, recorder.is_on())?;
                let (engine, parts) = others.start(output, visible.clone(), &opening)?;
                (engine, Some(parts), opening.partitions())
            }
            None => {
                let engine = Engine::start_bounded(setting.workers, output, setting.state_bytes_max);
                (engine.map_err(|why| Error::failed("start the engine", why))?, None, 0)
            }
        };
        if setting.costs {
            engine.count_busy();
        }
        let generation = chrono::Utc::now().timestamp_micros() as u64;
        let shared = Shared {
            log,
            catalogue: Arc::new(Mutex::new(catalogue)),
            engine: Arc::new(RwLock::new(Some(engine))),
            collector: Arc::new(Mutex::new(Collector::new(setting.workers * processes))),
            memory: Arc::new(Memory::new(generation, sinks::memory::Limits::default())),
            bindings,
            underway: Arc::default(),
            intake: Arc::default(),
            tables: Arc::new(RwLock::new(Tables::new(0, vec![]))),
            visible: visible.clone(),
            gauges: Arc::default(),
            outlets,
            snapshots: status,
            late: Arc::new(late),
            parts: parts.clone(),
        };
        let latency = Arc::new(Latency::default());

        let mut kept_times: BTreeSet<Time> = kept.iter().map(|statement| statement.after).collect();
        kept_times.extend(&setting.remember);
        let clock = Clock::new(setting.wall.clone(), setting.follow, setting.skew_ms);
        let mut ticker = Ticker::new(shared.clone(), clock, statements, kept, recorder);
        let began = Instant::now();
        journal.into_iter().for_each(|change| ticker.note(change));
        ticker.install(&declared)?;
        kept_times.extend(&store_times);
        for (from, to) in shared.outlets.begun() {
            kept_times.extend(progress::Reader::times(&data::bindings_path(data.path()), from, to)?);
        }
        collector(&shared).stop_at(store_times);
        shared.snapshots.phase("tables and views installed", began.elapsed());
        let mut source: Box<dyn Source> = match &parts {
            Some(parts) => Box::new(Split::new(parts, &shared.log, known)),
            None => shared.log.reader(),
        };
        if let Some(loaded) = &loaded {
            let positions = loaded.manifest.point.positions();
            source.seek(&positions).map_err(|why| Error::failed("read the log after the snapshot", why))?;
        }
        collector(&shared).stop_at(setting.remember.iter().copied());
        let reader_setting = ReaderSetting {
            pace: setting.pace,
            threads: setting.workers,
            tables: shared.tables.clone(),
            appended: shared.log.subscribe(),
            visible: visible.clone(),
            parts,
        };
        let (reader, steps, handle, mut upstream) = Reader::new(source, reader_setting);
        let (commands, received) = bounded(COMMANDS_IN_FLIGHT);
        let publisher = Publisher {
            collector: shared.collector.clone(),
            bindings: shared.bindings.clone(),
            memory: shared.memory.clone(),
            underway: shared.underway.clone(),
            visible: visible.clone(),
            latency: latency.clone(),
            late: shared.late.clone(),
            outlets: shared.outlets.clone(),
        };
        upstream.push(spawn("reader", &visible, move || reader.run(bound, &kept_times)));
        upstream.push(spawn("ticker", &visible, move || {
            if let Some(loaded) = loaded {
                ticker.begin(loaded)?;
            }
            ticker.run(steps, received)
        }));
        let publisher = spawn("publisher", &visible, move || publisher.run(outputs));
        let backfills = match setting.backfills {
            true => {
                // A rehearsal is made by this process alone.
                let mut setting = Setting { others: None, ..setting.clone() };
                setting.topics = setting.topics.or_else(|| setting.kafka.clone().map(backfill::opener));
                Some(Service::start(shared.clone(), setting, data.path(), data.catalogue())?)
            }
            false => None,
        };
        let process = Arc::new(Process::new(shared.clone(), latency, commands, backfills));
        let session = Session::new(process.clone(), shared.memory.clone(), setting.limits);
        Ok(Pipeline { data, process, session, shared, reader: handle, upstream, publisher, repairs })
    }

    /// What the HTTP API talks to.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// For SQL statements. All its clones write one after the other.
    pub fn session(&self) -> Session {
        self.session.clone()
    }

    /// The readers' store.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.shared.memory
    }

    /// The log it reads.
    pub fn log(&self) -> &Feed {
        &self.shared.log
    }

    /// The parts it is made of.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// How far readers can see.
    pub fn visible(&self) -> &Arc<Visible> {
        &self.shared.visible
    }

    /// The directory it holds.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// What had to be repaired when the data was opened.
    pub fn repairs(&self) -> &[String] {
        &self.repairs
    }

    /// Waits until readers see all that is in the log now.
    pub fn settle(&self) -> Result<Vec<Position>, Error> {
        let ends = self.shared.log.ends();
        self.shared.visible.wait(None, |reach| reach.time > 0 && reach.covers(&ends))?;
        Ok(ends)
    }

    /// What stops it from another thread, at once and with a reason.
    pub fn breaker(&self) -> impl FnOnce(Error) + Send + 'static {
        let (visible, reader) = (self.shared.visible.clone(), self.reader.clone());
        move |why| {
            visible.fail(why);
            visible.stop();
            reader.end(End::Now);
        }
    }

    /// Stops: with [`End::Drain`] when all that is in the log was read and can be seen, with [`End::Now`] after the tick under way.
    pub fn finish(self, end: End) -> Result<Finished, Error> {
        self.process.stop_backfills();
        self.reader.end(end);
        self.shared.visible.stop();
        for thread in self.upstream {
            _ = thread.join();
        }
        let engine = self.shared.engine.write().expect("no thread panics with the engine").take();
        let costs = engine.map(Engine::shutdown).unwrap_or_default();
        _ = self.publisher.join();
        self.shared.outlets.finish(if end == End::Drain { Drain::All } else { Drain::None });
        match self.shared.visible.now().failure {
            Some(why) => Err(why),
            None => Ok(Finished { data: self.data, shared: self.shared, costs }),
        }
    }
}

/// What is left of a pipeline that was stopped: its results can be read, its data is held.
pub struct Finished {
    /// The data directory.
    pub data: Data,
    /// The parts; the engine is gone.
    pub shared: Shared,
    /// What each dataflow of the engine held and took.
    pub costs: Vec<Cost>,
}

/// The catalogue, if the engine can keep all that it declares.
fn load(data: &Data) -> Result<Catalogue, Error> {
    let refused = |why: String| Error::failed(format!("load catalogue {}", data.catalogue()), why);
    let catalogue = Catalogue::load(data.catalogue()).map_err(|why| refused(why.to_string()))?;
    let declared: Vec<_> = catalogue.entries().iter().map(|entry| entry.declared.clone()).collect();
    maintainable(&declared).map_err(refused)?;
    Ok(catalogue)
}

fn collector(shared: &Shared) -> std::sync::MutexGuard<'_, Collector> {
    shared.collector.lock().expect("no thread panics with the collector")
}

/// A thread whose failure, or panic, is told to all who wait.
fn spawn(
    name: &str,
    visible: &Arc<Visible>,
    run: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> JoinHandle<()> {
    struct Guard(Arc<Visible>, String);
    impl Drop for Guard {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.fail(Error::Failed(format!("thread {} panicked: this is a bug", self.1)));
            }
        }
    }
    let guard = Guard(visible.clone(), name.to_owned());
    let body = move || {
        if let Err(why) = run() {
            guard.0.fail(why);
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(body).expect("threads can be started")
}
