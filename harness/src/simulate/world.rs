//! `World`: what outlives a life (the log, the stores, the files, the clock), what happens next, and what must be true after it.
use super::events::{Events, SQL};
use super::life::{Given, Life, step};
use super::log::SimLog;
use super::random::Random;
use super::truth::Truth;
use super::{Counters, disk, plant};
use crate::Error;
use crate::outlets::outlet::Act;
use crate::outlets::thread::Running;
use dataflows::Time;
use queries::Catalogue;
use sinks::delivery::Delivery;
use sinks::model::{Fault, Model, State, Store};
use sinks::{Sink, SinkError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

const BEGAN_MS: Time = 1_700_000_000_000;
/// More snapshots would be merged, by another thread.
const SNAPSHOTS_MAX: u64 = 3;
/// So many steps are enough to come to rest.
const STEPS_TO_REST: usize = 400;

/// A store, and what is known of it beside what it holds.
pub(super) struct Outside {
    pub(super) name: &'static str,
    pub(super) views: Option<Vec<String>>,
    pub(super) store: Store,
    pub(super) time: Option<Time>,
    dumps: Vec<State>,
    zombies: Vec<Zombie>,
}

/// A writer of an earlier life with the delivery it had under way.
struct Zombie {
    sink: Model,
    delivery: Delivery,
    epoch: u64,
}

/// How a life ends.
enum End {
    Kill,
    Power,
    /// It was still there when its time was over.
    Clean,
}

/// All of it.
pub struct World {
    seed: u64,
    random: Random,
    pub(super) counters: Counters,
    folder: tempfile::TempDir,
    log: SimLog,
    events: Events,
    pub(super) truth: Truth,
    wall: Arc<AtomicU64>,
    catalogue: Catalogue,
    pub(super) stores: Vec<Outside>,
    pub(super) lengths: BTreeMap<Time, u64>,
}

fn text(why: Error) -> String {
    why.to_string()
}

fn catalogue() -> Result<Catalogue, String> {
    static DECLARED: OnceLock<Result<Catalogue, String>> = OnceLock::new();
    let declare = || {
        let mut catalogue = Catalogue::load("empty").map_err(|why| why.to_string())?;
        catalogue.declare(SQL).map_err(|why| why.to_string())?;
        Ok(catalogue)
    };
    DECLARED.get_or_init(declare).clone()
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64) -> Result<World, String> {
        let memory = std::path::Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        builder.prefix("tallyflow-simulate-");
        let folder = if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() };
        let folder = folder.map_err(|why| format!("cannot make a temporary directory: {why}"))?;
        let store = |name, views: Option<&[&str]>| {
            let store = Store::default();
            store.follow(plant::slip());
            let views = views.map(|views| views.iter().map(|view| (*view).to_owned()).collect());
            Outside { name, views, store, time: None, dumps: vec![], zombies: vec![] }
        };
        let mut random = Random::new(seed);
        Ok(World {
            seed,
            log: SimLog::new(1 + random.place(2)),
            random,
            counters: Counters::default(),
            folder,
            events: Events::default(),
            truth: Truth::default(),
            wall: Arc::new(BEGAN_MS.into()),
            catalogue: catalogue()?,
            stores: vec![store("all", None), store("some", Some(&["big", "paid"]))],
            lengths: BTreeMap::new(),
        })
    }

    /// Lives a few lives, and then one without faults until all is at rest.
    pub fn run(mut self) -> Result<Counters, String> {
        for _ in 0..2 + self.random.below(4) {
            let mut life = self.begin(true)?;
            let end = self.live(&mut life)?;
            self.end(life, end)?;
            if self.random.percent(35) {
                disk::damage(self.folder.path(), &mut self.random, &mut self.counters)?;
            }
        }
        let mut life = self.begin(false)?;
        self.repeat(&mut life, false)?;
        self.rest(&mut life)?;
        self.end(life, End::Clean)?;
        Ok(self.counters)
    }

    fn begin(&mut self, faults: bool) -> Result<Life, String> {
        let disk_full = faults && self.random.percent(12);
        let (seed, grouped) = (self.random.number(), 1 + self.random.place(40));
        let faulty = faults && self.random.percent(20);
        if faulty {
            self.stores.iter().for_each(|outside| outside.store.fail([Fault::Before]));
        }
        let life = match Life::begin(self.given(disk_full, seed, grouped)) {
            Err(why) if why.to_string().contains("the log is not whole") && self.log.restore() => {
                // As an operator would: what retention deleted comes back from elsewhere.
                self.counters.count("starts refused: no snapshot, no whole log");
                Life::begin(self.given(disk_full, seed, grouped))
            }
            life => life,
        };
        let life = life.map_err(|why| format!("a start failed: {why}"))?;
        self.counters.add("snapshots rejected", life.rejected as u64);
        self.counters.add("starts from a snapshot", life.from_snapshot.into());
        self.counters.add("bindings torn", life.torn.into());
        self.check_bindings(&life)?;
        self.check_stores()?;
        Ok(life)
    }

    fn given(&self, disk_full: bool, seed: u64, grouped: usize) -> Given<'_> {
        let wall = self.wall.clone();
        let store = |one: &Outside| (one.name.to_owned(), one.views.clone(), one.store.clone());
        Given {
            path: self.folder.path(),
            log: &self.log,
            wall: Arc::new(move || wall.load(Ordering::Relaxed)),
            catalogue: &self.catalogue,
            stores: self.stores.iter().map(store).collect(),
            disk_full,
            seed,
            grouped,
        }
    }

    /// Makes the ticks of earlier lives again; whether it came to their end.
    fn repeat(&mut self, life: &mut Life, faults: bool) -> Result<bool, String> {
        life.publish().map_err(text)?;
        self.check_readers(&life.shared.memory.read())?;
        while life.tick().map_err(text)? {
            life.publish().map_err(text)?;
            self.check_readers(&life.shared.memory.read())?;
            if faults && self.random.percent(2) {
                return Ok(false);
            }
        }
        life.ticker.repeated().map_err(text)?;
        life.publish().map_err(text)?;
        Ok(true)
    }

    fn live(&mut self, life: &mut Life) -> Result<End, String> {
        if !self.repeat(life, true)? {
            return Ok(End::Kill);
        }
        for _ in 0..40 + self.random.below(80) {
            match self.random.below(100) {
                0..22 => self.append(),
                22..38 => self.poll(life)?,
                38..58 => {
                    if let Some(end) = self.cut(life, true)? {
                        return Ok(end);
                    }
                }
                58..80 => {
                    let place = self.random.place(life.stores.len());
                    step(&mut life.stores[place]);
                }
                80..88 => self.disturb_store(),
                88..91 => self.advance(),
                91..93 => self.change_log(),
                93..95 => self.snapshot(life)?,
                95..98 => self.wake_zombie()?,
                _ => return Ok(if self.random.percent(50) { End::Kill } else { End::Power }),
            }
            self.check_stores()?;
            self.check_counts(life)?;
        }
        if self.random.percent(50) {
            self.rest(life)?;
        }
        Ok(End::Clean)
    }

    fn append(&mut self) {
        for _ in 0..1 + self.random.below(6) {
            let now = self.wall.load(Ordering::Relaxed);
            let payload = self.events.next(now, &mut self.random, &mut self.counters);
            let gap = self.log.append(payload, &mut self.random);
            self.counters.add("offset gaps", gap.into());
        }
    }

    fn poll(&mut self, life: &mut Life) -> Result<(), String> {
        self.log.set_batch(1 + self.random.place(8));
        life.reader.poll(None).map(|_| ()).map_err(text)
    }

    /// Cuts a tick and has it made; how the life ends, if it ends there.
    fn cut(&mut self, life: &mut Life, faults: bool) -> Result<Option<End>, String> {
        let queued = life.reader.queued();
        let count = if faults { self.random.place(queued + 1) } else { queued };
        life.reader.cut(count);
        let full = faults && self.random.percent(2);
        plant::fill_disk(full);
        let made = life.tick();
        plant::fill_disk(false);
        if full {
            self.counters.count("disk full");
            return made.map_or(Ok(Some(End::Kill)), |_| Err("a tick was bound on a full disk".into()));
        }
        made.map_err(text)?;
        self.counters.count("ticks");
        if let Some(binding) = life.newest_binding().map_err(text)? {
            let length = disk::bindings_length(self.folder.path());
            self.lengths.insert(binding.moment.time, length);
            self.truth.bind(binding, &self.log);
        }
        if faults && self.random.percent(5) {
            return Ok(Some(if self.random.percent(50) { End::Kill } else { End::Power }));
        }
        life.publish().map_err(text)?;
        self.check_readers(&life.shared.memory.read())?;
        Ok(None)
    }

    fn disturb_store(&mut self) {
        let place = self.random.place(self.stores.len());
        let outside = &mut self.stores[place];
        match self.random.below(10) {
            0..3 => outside.store.fail([Fault::Before]),
            3..5 => outside.store.fail([Fault::After]),
            5..7 => outside.store.fail([Fault::Within]),
            7..9 => outside.dumps.push(outside.store.state()),
            _ if outside.dumps.is_empty() => {}
            _ => {
                // A failover to a replica that was behind, or a restored backup.
                self.counters.count("stores put back");
                let dump = outside.dumps[self.random.place(outside.dumps.len())].clone();
                outside.time = dump.time;
                outside.store.restore(dump);
            }
        }
    }

    fn advance(&mut self) {
        match self.random.percent(20) {
            true => self.wall.fetch_sub(self.random.below(5_000), Ordering::Relaxed),
            false => self.wall.fetch_add(self.random.below(3_000), Ordering::Relaxed),
        };
    }

    fn change_log(&mut self) {
        match self.random.below(4) {
            0 if self.log.partitions() < 4 => {
                self.counters.count("new partitions");
                self.log.add_partition();
            }
            1 | 2 => {
                self.counters.count("leaders lost");
                self.log.lose_leader(1 + self.random.below(4) as u32);
            }
            _ => {
                if let Some(positions) = disk::kept_by_all(self.folder.path()) {
                    self.counters.count("retention");
                    self.log.retain(&positions);
                }
            }
        }
    }

    fn snapshot(&mut self, life: &mut Life) -> Result<(), String> {
        if self.counters.get("snapshots written") >= SNAPSHOTS_MAX
            || life.shared.snapshots.now().time == self.truth.last()
            || life.bound.last().is_some_and(|last| last.moment.time == self.truth.last())
            || self.truth.last() == 0
        {
            return Ok(());
        }
        match life.snapshot().map_err(text)? {
            Some(true) => self.counters.count("snapshots written"),
            Some(false) => self.counters.count("snapshots not written"),
            None => {}
        }
        Ok(())
    }

    /// What an earlier writer had under way comes to the store only now.
    fn wake_zombie(&mut self) -> Result<(), String> {
        let place = self.random.place(self.stores.len());
        let outside = &mut self.stores[place];
        let Some(Zombie { mut sink, delivery, epoch }) = outside.zombies.pop() else { return Ok(()) };
        let done = sink.apply(&delivery);
        if outside.store.epoch() > epoch {
            match done {
                Ok(()) => {
                    return Err(format!("I6: store {}: a writer that was replaced wrote", outside.name));
                }
                Err(SinkError::Fenced(_)) => self.counters.count("zombies fenced"),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn end(&mut self, mut life: Life, end: End) -> Result<(), String> {
        for (running, _) in &life.stores {
            let figures = running.outlet().figures();
            self.counters.add("deliveries", figures.deliveries);
            self.counters.add("views sent whole", figures.whole);
            self.counters.add("deliveries landed, answer lost", figures.landed);
            self.counters.add("deliveries lost", figures.lost);
        }
        if !matches!(end, End::Clean) {
            for ((running, mut sink), outside) in life.stores.drain(..).zip(&mut self.stores) {
                let Act::Apply(draft) = running.outlet().act() else { continue };
                let (delivery, epoch) = (draft.delivery(), outside.store.epoch());
                match self.random.below(3) {
                    0 if delivery.to % 2 == 0 => {
                        self.counters.count("deliveries broken off");
                        outside.store.fail([Fault::Within]);
                        _ = sink.apply(&delivery);
                    }
                    0 => _ = sink.apply(&delivery),
                    1 => outside.zombies.push(Zombie { sink, delivery, epoch }),
                    _ => {}
                }
            }
        } else if self.truth.last() > 0 && self.random.percent(30) {
            self.snapshot(&mut life)?;
        }
        let durable = life.shared.bindings.durable();
        life.end();
        match end {
            End::Kill => self.counters.count("kills"),
            End::Power => {
                self.counters.count("power failures");
                let path = self.folder.path();
                disk::lose_power(path, durable, &self.lengths, &mut self.random, &mut self.counters)?;
            }
            End::Clean => {}
        }
        Ok(())
    }

    /// Without faults all comes to rest: the log is bound to its end, and stores and readers have all of it.
    fn rest(&mut self, life: &mut Life) -> Result<(), String> {
        self.log.lose_leader(0);
        self.log.set_batch(64);
        life.stores.iter().for_each(|(running, _)| running.outlet().drain());
        // A tick after the start says to the stores that all of before is there again.
        self.cut(life, false)?;
        for _ in 0..STEPS_TO_REST {
            life.reader.poll(None).map_err(text)?;
            let last = self.truth.at(self.truth.last());
            let is_read = last.is_some_and(|last| last.positions() == self.log.ends());
            if !is_read {
                self.cut(life, false)?;
            }
            let stepped = life.stores.iter_mut().map(|store| u32::from(step(store))).sum::<u32>() > 0;
            self.check_stores()?;
            self.check_counts(life)?;
            let time = Some(self.truth.last());
            if is_read && !stepped && self.stores.iter().all(|outside| outside.store.state().time == time) {
                return Ok(());
            }
        }
        let state = |(running, _): &(Arc<Running>, Model)| {
            let outlet = running.outlet();
            format!("{:?} at {:?}", outlet.state(), outlet.time())
        };
        let states = life.stores.iter().map(state);
        Err(format!(
            "it does not come to rest: the log ends at {:?}, the last tick {} at {:?}; stores: {:?}",
            self.log.ends(),
            self.truth.last(),
            self.truth.at(self.truth.last()).map(|last| last.positions().to_vec()),
            states.collect::<Vec<_>>()
        ))
    }

    /// The seed it grew from.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}
