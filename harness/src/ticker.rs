//! `Ticker`: the one thread that decides. It gives each tick its time, binds it, takes its events in and tells the engine; tables
//! and views come and go between two ticks.
mod installed;
mod pieces;
mod replace;
mod rows;
mod snapshots;

pub use installed::shown;
pub use replace::Replace;
pub(crate) use rows::together;

use crate::Error;
use crate::clock::{Clock, Moment};
use crate::cluster::parts::Parts;
use crate::faults;
use crate::feed::Feed;
use crate::intake::{Intake, latest_event};
use crate::late::{Change as LateChange, LateChanges};
use crate::metrics::Gauges;
use crate::outlets::Outlets;
use crate::progress::{Binding, Bindings};
use crate::publish::{Underway, Visible};
use crate::snapshot::{self, recorder::Recorder};
use crate::statements::{Act, Statement, Statements};
use crate::ticks::{Cut, Origin, Step, Tables, Told};
use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender, never, select};
use dataflows::engine::{Collector, Engine};
use dataflows::{Position, Table, Time};
use queries::api::host::QueryKind;
use queries::catalogue::Change;
use queries::{Catalogue, Declared};
use rows::digest;
use sinks::memory::Memory;
use sources::decode::Mapping;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

const BACKFILL_BYTES: usize = 4 << 20;
const BIND_AGAIN: Duration = Duration::from_millis(200);
const READ_AGAIN: Duration = Duration::from_millis(200);

/// What is done between two ticks.
pub enum Command {
    /// Installs what was declared and keeps the statement; answers the time from which on it counts.
    Declare {
        /// The statement.
        sql: String,
        /// What it declared.
        declared: Vec<Declared>,
        /// Takes the answer.
        done: Sender<Result<Time, Error>>,
    },
    /// Lets readers see a table; answers the time from which on they do. This is not kept: who reads again asks again.
    Publish {
        /// The table.
        table: Arc<Table>,
        /// Takes the answer.
        done: Sender<Result<Time, Error>>,
    },
    /// Makes a tick without records; answers its time.
    Tick {
        /// Takes the answer.
        done: Sender<Result<Time, Error>>,
    },
    /// A step on the way to a new version of a view; answers the time from which on it counts.
    Replace {
        /// The step.
        step: Replace,
        /// Takes the answer.
        done: Sender<Result<Time, Error>>,
    },
    /// Takes out what was dropped and keeps that; answers the time from which on it counts.
    Drop {
        /// Its name.
        name: String,
        /// What it is.
        kind: QueryKind,
        /// Takes the answer.
        done: Sender<Result<Time, Error>>,
    },
}

/// The parts that the ticker shares with others.
#[derive(Clone)]
pub struct Shared {
    /// The log, for what a new table must catch up with.
    pub log: Feed,
    /// What is declared.
    pub catalogue: Arc<Mutex<Catalogue>>,
    /// The workers; none once they were ended.
    pub engine: Arc<RwLock<Option<Engine>>>,
    /// Puts their shares together.
    pub collector: Arc<Mutex<Collector>>,
    /// What readers see.
    pub memory: Arc<Memory>,
    /// The bindings.
    pub bindings: Arc<Bindings>,
    /// Ticks told and not seen.
    pub underway: Arc<Underway>,
    /// What was taken in.
    pub intake: Arc<Mutex<Intake>>,
    /// The tables of the moment.
    pub tables: Arc<RwLock<Arc<Tables>>>,
    /// How far readers can see.
    pub visible: Arc<Visible>,
    /// Figures of the last tick.
    pub gauges: Arc<Gauges>,
    /// The stores outside.
    pub outlets: Arc<Outlets>,
    /// Figures of the snapshots.
    pub snapshots: Arc<snapshot::Status>,
    /// What late events changed.
    pub late: Arc<LateChanges>,
    /// The processes that read partitions of their own.
    pub parts: Option<Arc<Parts>>,
}

/// The state of the thread.
pub struct Ticker {
    shared: Shared,
    clock: Clock,
    statements: Statements,
    kept: VecDeque<Statement>,
    positions: Vec<Position>,
    has_repeated: bool,
    /// Whether bound ticks wait for the next one, with which the engine is told of them.
    grouped: bool,
    /// The tables that the process itself keeps.
    system: Vec<Arc<Mapping>>,
    /// Rows that the engine was not told of yet, by table.
    rows: Vec<(Arc<str>, RecordBatch)>,
    recorder: Recorder,
    began: std::time::Instant,
    /// The last record of each partition: its offset and its hash.
    anchors: BTreeMap<u32, (u64, u64)>,
}

impl Ticker {
    /// Before its first tick. `kept` are the statements of earlier lives.
    pub fn new(
        shared: Shared,
        clock: Clock,
        statements: Statements,
        kept: Vec<Statement>,
        recorder: Recorder,
    ) -> Ticker {
        if recorder.is_on() {
            shared.intake.lock().expect("no thread panics with the intake").note_added();
        }
        Ticker {
            shared,
            clock,
            statements,
            kept: kept.into(),
            positions: vec![],
            has_repeated: false,
            grouped: false,
            system: vec![],
            rows: vec![],
            recorder,
            began: std::time::Instant::now(),
            anchors: BTreeMap::new(),
        }
    }

    /// Goes on until the reader has ended.
    pub fn run(mut self, steps: Receiver<Step>, commands: Receiver<Command>) -> Result<(), Error> {
        let mut commands = commands;
        loop {
            select! {
                recv(steps) -> step => match step {
                    Ok(Step::Tick(cut)) => {
                        self.tick(cut)?;
                        // While the engine is at it. Where ticks wait already, whoever publishes does so for several.
                        if steps.is_empty() {
                            self.shared.bindings.sync(self.clock.last())?;
                        }
                        if self.recorder.is_due() && self.rows.is_empty() {
                            self.snapshot();
                        }
                    }
                    Ok(Step::Repeated) => self.repeated()?,
                    Err(_) => break,
                },
                recv(commands) -> command => match command {
                    Ok(command) => self.obey(command)?,
                    Err(_) => commands = never(),
                },
            }
        }
        // Views must be readable even where the log is empty. While bound ticks are repeated no other may come between them.
        if self.has_repeated && self.clock.last() == 0 {
            self.tick_nothing()?;
        }
        // A bound tick that waits for the next one is in no snapshot.
        if self.rows.is_empty() {
            self.snapshot();
        }
        self.recorder.finish();
        Ok(())
    }

    /// From here on ticks are new, and tables and views may come and go.
    pub(crate) fn repeated(&mut self) -> Result<(), Error> {
        if self.restore(Time::MAX)? {
            self.tick_nothing()?;
        }
        self.has_repeated = true;
        self.shared.snapshots.phase("log read again", self.began.elapsed());
        self.shared.visible.restored();
        Ok(())
    }

    pub(crate) fn tick(&mut self, cut: Cut) -> Result<(), Error> {
        if let Origin::Bound(bound, _) = &cut.origin {
            self.restore(bound.moment.time)?;
        }
        let mut pieces = Vec::with_capacity(cut.pieces.len());
        for piece in cut.pieces {
            let piece = piece.recv().map_err(|_| self.no_piece())?;
            self.anchor(&piece);
            pieces.push(self.fresh(piece)?);
        }
        let records = pieces.iter().map(|piece| piece.records.len() as u64).sum();
        let digest = digest(&pieces);
        let latest = |horizon| pieces.iter().filter_map(|piece| latest_event(&piece.decoded, horizon)).max();
        let (moment, told, late) = match &cut.origin {
            Origin::Bound(bound, told) => {
                self.compare(bound, records, digest)?;
                self.clock.repeat(bound.moment, latest(bound.moment.horizon));
                (bound.moment, *told, self.shared.late.brought(bound.moment.time))
            }
            Origin::New { exhausted } => {
                let moment = self.clock.next(*exhausted, latest);
                let positions = cut.positions.clone();
                let late = self.shared.late.bring(moment.time);
                self.bind(&Binding { moment, positions, records, digest })?;
                (moment, Told::Now, late)
            }
        };
        self.positions = cut.positions;
        self.take_in(moment, pieces)?;
        self.bring_late(&late);
        if matches!(cut.origin, Origin::New { .. }) && !self.grouped {
            let intake = self.shared.intake.lock().expect("no thread panics with the intake");
            let (events, late_ms) = intake.ledger().late_at(moment.time);
            self.shared.late.took(moment.time, events, late_ms);
        }
        match told {
            Told::Now => self.tell(moment, records),
            Told::Later => self.grouped = true,
        }
        Ok(())
    }

    /// A tick without records, so that what was declared can be seen.
    fn tick_nothing(&mut self) -> Result<Time, Error> {
        let moment = self.clock.next(true, |_| None);
        let positions = self.positions.clone();
        self.bind(&Binding { moment, positions, records: 0, digest: digest(&[]) })?;
        self.tell(moment, 0);
        Ok(moment.time)
    }

    /// Binds a tick. A disk that is full stops the clock, not the process: readers go on, and ticks too once there is space.
    fn bind(&self, binding: &Binding) -> Result<(), Error> {
        let mut stalled = false;
        while let Err(why) = self.shared.bindings.append(binding) {
            stalled = true;
            self.shared.visible.stall(Some(why.clone()));
            if self.shared.visible.wait(Some(BIND_AGAIN), |reach| reach.stopping)? {
                return Err(why);
            }
        }
        if stalled {
            self.shared.visible.stall(None);
        }
        Ok(())
    }

    /// Tells the engine of all rows that wait.
    fn tell(&mut self, moment: Moment, records: u64) {
        let mut intake = self.shared.intake.lock().expect("no thread panics with the intake");
        let system = intake.ledger_mut().take_rows(&self.system);
        drop(intake);
        system.iter().for_each(|(table, batch)| self.recorder.rows(table, batch));
        self.rows.extend(system);
        let rows = together(std::mem::take(&mut self.rows));
        self.shared.underway.push(moment.time, self.positions.clone(), std::mem::take(&mut self.grouped));
        self.shared.gauges.ticked(moment.time, records);
        self.shared.visible.told(moment.time);
        let is_here = records > 0
            && self.shared.parts.as_ref().is_some_and(|parts| parts.all_read(self.positions.len()));
        let tick = |engine: &Engine| match is_here {
            true => engine.tick_here(moment.time, rows),
            false => engine.tick(moment.time, rows),
        };
        faults::around("step", || self.with_engine(tick));
    }

    fn compare(&self, bound: &Binding, records: u64, digest: u64) -> Result<(), Error> {
        if (bound.records, bound.digest) == (records, digest) {
            return Ok(());
        }
        let from =
            |partition| self.positions.iter().find(|p| p.partition == partition).map_or(0, |p| p.offset);
        if bound.positions.iter().any(|p| self.shared.log.lacks(p.partition, from(p.partition), p.offset)) {
            return Ok(());
        }
        let ranges = bound.positions.iter().filter(|p| p.offset > from(p.partition));
        let ranges =
            ranges.map(|p| format!("partition {} offsets {}..{}", p.partition, from(p.partition), p.offset));
        Err(Error::Failed(format!(
            "REPLAY_DIVERGED: the log no longer holds what was bound to tick {}: {}: {} records with digest {:016x}, now {records} \
             with {digest:016x}; restore the log, or move the data directory away",
            bound.moment.time,
            ranges.collect::<Vec<_>>().join(", "),
            bound.records,
            bound.digest
        )))
    }

    /// Does again what was stated before the tick of this time; whether there was anything.
    fn restore(&mut self, before: Time) -> Result<bool, Error> {
        let mut any = false;
        while let Some(statement) = self.kept.pop_front_if(|statement| statement.after < before) {
            any = true;
            let catalogue = self.shared.catalogue.clone();
            let mut catalogue = catalogue.lock().expect("no thread panics with the catalogue");
            let failed = |text: &str, why: &dyn std::fmt::Display| {
                Error::failed(format!("restore statement {text:?}"), why)
            };
            match statement.act {
                Act::Declare(sql) => {
                    let before = catalogue.clone();
                    let declared = catalogue.declare(&sql).map_err(|why| failed(&sql, &why))?;
                    maintainable(&declared).map_err(|why| failed(&sql, &why))?;
                    self.note(Change::Declare(sql.as_str().into()));
                    // OR REPLACE: the old versions go.
                    for old in declared.iter().filter_map(|one| before.get(one.name())) {
                        self.take_out(old.name(), old.kind())?;
                    }
                    self.install(&declared)?;
                }
                Act::Drop(name) => {
                    let kind = catalogue.get(&name).map(Declared::kind);
                    Catalogue::drop(&mut catalogue, &name).map_err(|why| failed(&name, &why))?;
                    self.note(Change::Drop(name.as_str().into()));
                    self.take_out(&name, kind.expect("what was dropped was there"))?;
                }
            }
        }
        Ok(any)
    }

    fn obey(&mut self, command: Command) -> Result<(), Error> {
        match command {
            Command::Declare { sql, declared, done } => {
                let statement = Statement { after: self.clock.last(), act: Act::Declare(sql.clone()) };
                if let Err(why) = self.statements.append(&statement) {
                    _ = done.send(Err(why));
                    return Ok(());
                }
                self.note(Change::Declare(sql.into()));
                self.install(&declared)?;
                _ = done.send(Ok(self.tick_nothing()?));
            }
            Command::Publish { table, done } => {
                self.publish(&table);
                _ = done.send(Ok(self.tick_nothing()?));
            }
            Command::Replace { step, done } => _ = done.send(self.replace(step)?),
            Command::Tick { done } => _ = done.send(Ok(self.tick_nothing()?)),
            Command::Drop { name, kind, done } => {
                let statement = Statement { after: self.clock.last(), act: Act::Drop(name.clone()) };
                if let Err(why) = self.statements.append(&statement) {
                    _ = done.send(Err(why));
                    return Ok(());
                }
                self.note(Change::Drop(name.as_str().into()));
                self.take_out(&name, kind)?;
                _ = done.send(Ok(self.tick_nothing()?));
            }
        }
        Ok(())
    }

    fn mappings(&self) -> Vec<Arc<Mapping>> {
        self.shared.tables.read().expect("no thread panics with the tables").mappings.clone()
    }

    fn set_tables(&self, mappings: Vec<Arc<Mapping>>) {
        let mut tables = self.shared.tables.write().expect("no thread panics with the tables");
        *tables = Tables::new(tables.number + 1, mappings);
    }

    fn with_engine<T>(&self, act: impl FnOnce(&Engine) -> T) -> T {
        let engine = self.shared.engine.read().expect("no thread panics with the engine");
        act(engine.as_ref().expect("the engine outlives the ticker"))
    }
}

/// Whether the engine can keep all that was declared; else what it cannot.
pub fn maintainable(declared: &[Declared]) -> Result<(), String> {
    declared.iter().try_for_each(|one| match one {
        Declared::Table(mapping) => Engine::check_table(&mapping.table),
        Declared::View { .. } => Ok(()),
        Declared::MaterializedView(compiled) => Engine::check(&compiled.plan),
    })
}
