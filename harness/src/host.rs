//! `Process`: what the HTTP API asks of the process it runs in.
mod replace;

use crate::Error;
use crate::backfill::Service;
use crate::metrics;
use crate::outlets::serve as stores;
use crate::publish::Latency;
use crate::ticker::{Command, Shared, maintainable};
use crossbeam_channel::{Sender, bounded};
use dataflows::{Position, Time};
use queries::api::backfills::Backfills;
use queries::api::host::{
    AppendError, DeclareError, Host, Judgement, Quarantined, Query, SinkDeclaration, SinkReport, SinkStatus,
};
use queries::catalogue::Entry;
use queries::catalogue::system::is_system;
use queries::{Catalogue, Declared};
use sources::Payload;
use sources::decode::verdict::{Act, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(10);
/// How often a view that is being built is asked for.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(2_000);
const WAIT_SEEN: Duration = Duration::from_secs(60);

/// The process, as the API and the command line know it.
pub struct Process {
    shared: Shared,
    latency: Arc<Latency>,
    commands: Sender<Command>,
    backfills: Option<Arc<Service>>,
    start: Vec<Position>,
    origins: AtomicU64,
    replacing: std::sync::Mutex<replace::Replacing>,
}

impl Process {
    /// For the parts of a pipeline that was just started.
    pub fn new(
        shared: Shared,
        latency: Arc<Latency>,
        commands: Sender<Command>,
        backfills: Option<Arc<Service>>,
    ) -> Process {
        let start = shared.log.ends();
        let (origins, replacing) = (AtomicU64::new(0), Default::default());
        Process { shared, latency, commands, backfills, start, origins, replacing }
    }

    /// Brings no more history in.
    pub fn stop_backfills(&self) {
        if let Some(backfills) = &self.backfills {
            backfills.stop();
        }
    }

    /// How long events take until they can be read.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Waits a while for the log of earlier runs.
    fn restored(&self) -> Result<(), DeclareError> {
        match self.shared.visible.wait(Some(WAIT), |reach| reach.restored) {
            Ok(true) => Ok(()),
            Ok(false) => Err(DeclareError::Conflict(
                "the log of earlier runs is still being read: try again once /readyz answers 200".into(),
            )),
            Err(why) => Err(DeclareError::Internal(why.to_string())),
        }
    }

    /// Gives the ticker a command and waits until it is done: the time from which on it counts.
    fn command(
        &self,
        make: impl FnOnce(Sender<Result<Time, Error>>) -> Command,
    ) -> Result<Time, DeclareError> {
        let stopping = || DeclareError::Unavailable("the process is stopping".into());
        let (done, answer) = bounded(1);
        self.commands.send(make(done)).map_err(|_| stopping())?;
        answer.recv().map_err(|_| stopping())?.map_err(|why| DeclareError::Unavailable(why.to_string()))
    }

    /// A name for a table that no table before had.
    fn fresh_origin(&self) -> String {
        let number = self.origins.fetch_add(1, Ordering::Relaxed);
        format!("{:x}-{number:x}", self.shared.memory.generation())
    }

    /// Waits until readers see a time; what was commanded counts whether or not they do yet.
    fn wait_seen(&self, time: Time) {
        _ = self.shared.visible.wait(Some(WAIT), |reach| reach.time >= time);
    }
}

impl Host for Process {
    fn append(&self, events: Vec<Payload>, done: Box<dyn FnOnce(Result<Vec<Position>, AppendError>) + Send>) {
        let (began, latency) = (Instant::now(), self.latency.clone());
        let done = Box::new(move |result: Result<Vec<Position>, sources::log::AppendError>| {
            if let Ok(positions) = &result {
                latency.appended(began, positions);
            }
            done(result.map_err(|why| match why {
                sources::log::AppendError::Unavailable(text) => AppendError::Unavailable(text),
                sources::log::AppendError::TooLarge(text) => AppendError::TooLarge(text),
            }));
        });
        self.shared.log.append(events, done);
    }

    fn declare(&self, sql: &str) -> Result<Vec<String>, DeclareError> {
        self.restored()?;
        // Held until the statement stands: others see it installed and kept, or not at all.
        let mut catalogue = self.shared.catalogue.lock().expect("no thread panics with the catalogue");
        let mut next = catalogue.clone();
        let sql = queries::declare::contained(|| queries::declare::originated(sql, || self.fresh_origin()))?;
        let declared = next.declare(&sql)?;
        maintainable(&declared).map_err(DeclareError::Unsupported)?;
        if let Some(why) = self.shared.visible.now().silent
            && declared.iter().any(|one| matches!(one, Declared::Table(_)))
        {
            return Err(DeclareError::Unavailable(format!(
                "a new table reads the log from its beginning: {why}"
            )));
        }
        if let Some(begin) = self.shared.log.trimmed().first()
            && let Some(name) = declared.iter().find_map(Declared::needs_history)
        {
            return Err(DeclareError::Conflict(format!(
                "table {name:?} would lack its history: partition {} of the log begins at offset {}, and what stood before was \
                 removed, as log_keep says; write OPTIONS ('history' 'kept') to fill it with what is left",
                begin.partition, begin.offset
            )));
        }
        if let Some(compiled) = Process::replaced(&catalogue, &declared)? {
            return self.replace(catalogue, &next, sql, &compiled);
        }
        let fresh = declared.iter().filter_map(|one| next.entry(one.name()));
        self.unless_replaced(fresh)?;
        let names = declared.iter().map(|one| one.name().to_string()).collect();
        let time = self.command(|done| Command::Declare { sql, declared, done })?;
        *catalogue = next;
        drop(catalogue);
        self.wait_seen(time);
        Ok(names)
    }

    fn drop_query(&self, name: &str) -> Result<(), DeclareError> {
        self.restored()?;
        let mut catalogue = self.shared.catalogue.lock().expect("no thread panics with the catalogue");
        let mut next = catalogue.clone();
        next.drop(name)?;
        self.unless_replacing([name])?;
        let kind = catalogue.get(name).map(Declared::kind).expect("what was dropped was there");
        let time = self.command(|done| Command::Drop { name: name.to_owned(), kind, done })?;
        *catalogue = next;
        drop(catalogue);
        self.wait_seen(time);
        Ok(())
    }

    fn queries(&self) -> Vec<Query> {
        let catalogue = self.shared.catalogue.lock().expect("no thread panics with the catalogue").clone();
        let read = self.shared.memory.read();
        let query = |entry: &Entry| {
            let name = entry.declared.name().clone();
            let since = read.view(&name).and_then(|kept| kept.since());
            Query { name, kind: entry.declared.kind(), sql: entry.sql.clone(), since }
        };
        // Nobody declared the tables that the process itself keeps.
        let declared = catalogue.entries().iter().filter(|entry| !is_system(entry.declared.name()));
        let mut list: Vec<Query> = declared.map(query).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    fn catalogue(&self) -> Catalogue {
        self.shared.catalogue.lock().expect("no thread panics with the catalogue").clone()
    }

    fn publish(&self, table: &str) -> Result<(), DeclareError> {
        self.restored()?;
        // Held: nobody drops the table meanwhile, and nobody else publishes it.
        let catalogue = self.shared.catalogue.lock().expect("no thread panics with the catalogue");
        let Some(Declared::Table(mapping)) = catalogue.get(table) else {
            return Err(DeclareError::NotFound(format!("there is no table {table:?}")));
        };
        let mut time = 0;
        if self.shared.memory.read().view(table).is_none() {
            let table = mapping.table.clone();
            time = self.command(|done| Command::Publish { table, done })?;
        }
        drop(catalogue);
        // Where readers are behind, they see it empty up to there.
        self.wait_seen(time);
        self.live(&[table.to_owned()])
    }

    fn live(&self, names: &[String]) -> Result<(), DeclareError> {
        let (began, mut pause) = (Instant::now(), PAUSE_MIN);
        loop {
            let read = self.shared.memory.read();
            let waits = |name: &&String| read.view(name).is_none_or(|kept| kept.since().is_none());
            let Some(name) = names.iter().find(waits) else { return Ok(()) };
            if began.elapsed() >= WAIT_SEEN {
                return Err(DeclareError::Unavailable(format!(
                    "{name:?} is still being built: try again later"
                )));
            }
            // What was built is shown by the next tick, which would not come for a while if nothing else happens.
            let time = self.command(|done| Command::Tick { done })?;
            _ = self.shared.visible.wait(Some(pause), |reach| reach.time >= time);
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn wait(&self, positions: &[Position]) -> Result<(), DeclareError> {
        match self.shared.visible.wait(Some(WAIT_SEEN), |reach| reach.covers(positions)) {
            Ok(true) => Ok(()),
            Ok(false) => Err(DeclareError::Unavailable(format!(
                "what was written is durable, and was not to be seen for {} s: it will be",
                WAIT_SEEN.as_secs()
            ))),
            Err(why) => Err(DeclareError::Unavailable(why.to_string())),
        }
    }

    fn flush(&self) -> Result<(), DeclareError> {
        self.wait(&self.shared.log.ends())
    }

    fn explain(&self, view_or_sql: &str) -> Result<String, DeclareError> {
        let catalogue = self.shared.catalogue.lock().expect("no thread panics with the catalogue").clone();
        let mut text = queries::explain::explain(&catalogue, view_or_sql)?;
        let name = view_or_sql.trim();
        if let Some(Declared::MaterializedView(_)) = catalogue.get(name)
            && let Some(engine) =
                self.shared.engine.read().expect("no thread panics with the engine").as_ref()
        {
            text.push_str("\nOperators\n");
            text.push_str(&engine.describe(name));
        }
        Ok(text)
    }

    fn quarantine(&self, after: u64, limit: usize, state: Option<&str>) -> Vec<Quarantined> {
        let intake = self.shared.intake.lock().expect("no thread panics with the intake");
        let entries = intake.quarantine(after, usize::MAX);
        let entries =
            entries.filter(|(_, entry)| state.is_none_or(|state| entry.standing.state.word() == state));
        let entries: Vec<_> = entries.take(limit).map(|(id, entry)| (id, entry.clone())).collect();
        drop(intake);
        entries.into_iter().map(|(id, entry)| self.quarantined(id, entry)).collect()
    }

    fn judge(&self, id: u64, judgement: Judgement) -> Result<Quarantined, DeclareError> {
        self.restored()?;
        let find = || {
            let intake = self.shared.intake.lock().expect("no thread panics with the intake");
            let unknown = || DeclareError::NotFound(format!("there is no record {id} in quarantine"));
            intake.ledger().get(id).cloned().ok_or_else(unknown)
        };
        let entry = find()?;
        let target = entry.position.clone();
        if entry.counts {
            return Err(DeclareError::Conflict(format!(
                "record {id} counts, and only a table that was declared after it cannot take it: send a corrected event"
            )));
        }
        if !entry.standing.state.is_open() {
            let state = entry.standing.state.word();
            return Err(DeclareError::Conflict(format!("record {id} is {state} already")));
        }
        let act = match judgement {
            Judgement::Discard => Act::Discard,
            Judgement::Replay(Some(repaired)) => Act::Replay(repaired),
            Judgement::Replay(None) => {
                let record = self.shared.log.read(target.partition, target.offset);
                Act::Replay(record.map_err(|why| DeclareError::Unavailable(why.to_string()))?.payload)
            }
        };
        let verdict = Verdict { target, act }.write(&format!("{id}-{}", self.fresh_origin()));
        let (done, answer) = bounded(1);
        self.append(vec![verdict], Box::new(move |result| _ = done.send(result)));
        let positions =
            answer.recv().map_err(|_| DeclareError::Unavailable("the process is stopping".into()))?;
        self.wait(&positions.map_err(|why| DeclareError::Unavailable(why.to_string()))?)?;
        Ok(self.quarantined(id, find()?))
    }

    fn backfills(&self) -> Option<Arc<dyn Backfills>> {
        self.backfills.clone().map(|service| service as Arc<dyn Backfills>)
    }

    fn metrics(&self) -> String {
        metrics::render(&self.shared, &self.shared.visible.now().positions, &self.latency)
    }

    fn ready(&self) -> Result<(), String> {
        let reach = self.shared.visible.now();
        if let Some(why) = reach.failure {
            return Err(why.to_string());
        }
        if let Some(why) = reach.stalled {
            return Err(format!("{why}; it is tried again"));
        }
        if let Some(why) = reach.silent {
            return Err(why.to_string());
        }
        let missing = metrics::backlog(&self.start, &reach.positions);
        if missing > 0 {
            return Err(format!(
                "{missing} of the records that were in the log at the start are still to be read"
            ));
        }
        if reach.time == 0 || !reach.restored {
            return Err("the first tick is still to be made".into());
        }
        Ok(())
    }

    fn create_sink(&self, declared: &SinkDeclaration) -> Result<(), DeclareError> {
        self.restored()?;
        stores::create(&self.shared, declared)
    }

    fn drop_sink(&self, name: &str) -> Result<bool, DeclareError> {
        stores::drop_sink(&self.shared, name)
    }

    fn sinks(&self) -> Vec<SinkStatus> {
        stores::list(&self.shared)
    }

    fn check_sinks(&self, only: Option<&str>, repair: bool) -> Result<Vec<SinkReport>, DeclareError> {
        self.restored()?;
        stores::check(&self.shared, only, repair)
    }
}

impl Process {
    fn quarantined(&self, id: u64, entry: crate::quarantine::Quarantined) -> Quarantined {
        let record = self.shared.log.read(entry.position.partition, entry.position.offset);
        let (bytes, attributes) = match record.map(|record| record.payload) {
            Ok(Payload::Structured(bytes)) => (bytes, vec![]),
            Ok(Payload::Binary { body, attributes }) => (body, attributes),
            // The log could not be read just now; the entry itself must be seen all the same.
            Err(_) => Default::default(),
        };
        Quarantined {
            id,
            position: entry.position,
            time: entry.time,
            rule: entry.rule,
            reason: entry.reason,
            event_id: entry.event_id,
            event_source: entry.event_source,
            event_type: entry.event_type,
            bytes,
            attributes,
            state: entry.standing.state.word(),
            outcome: entry.standing.outcome,
            settled: entry.standing.settled,
        }
    }
}
