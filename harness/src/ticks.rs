//! `Reader`: reads the log, cuts it into ticks and has their records decoded by a pool; the order of the log is kept.
//!
//! Ticks that were bound in an earlier life are cut again exactly so; then the [`Pace`] decides.
mod pace;
mod pool;

pub use pace::Pace;
pub use pool::hash;
pub(crate) use pool::{Work, decode, piece};

use crate::Error;
use crate::cluster::parts::{Away, Parts};
use crate::faults;
use crate::progress::{self, Binding};
use crate::publish::Visible;
use crate::simulate::plant::{Bug, planted};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use dataflows::{Position, Time};
use pace::{Next, decide};
use pool::{spawn_decoder, split};
use sources::decode::{Decoded, Decoder, Mapping};
use sources::{Record, Source, SourceError};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const POLL_BYTES: usize = 4 << 20;
const READ_AGAIN: Duration = Duration::from_millis(100);
const TICKS_IN_FLIGHT: usize = 4;

/// How the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum End {
    /// It goes on.
    Open = 0,
    /// Nothing more will be appended: stop when all is read.
    Drain = 1,
    /// Stop now.
    Now = 2,
}

/// The tables that exist, and what decodes events for them.
pub struct Tables {
    /// It rises by one with each table that comes or goes.
    pub number: u64,
    /// The mappings in the order in which `decoder` numbers them.
    pub mappings: Vec<Arc<Mapping>>,
    /// Decodes for all of them.
    pub decoder: Decoder,
}

impl Tables {
    /// For so many mappings.
    pub fn new(number: u64, mappings: Vec<Arc<Mapping>>) -> Arc<Tables> {
        Arc::new(Tables { number, decoder: Decoder::new(mappings.clone()), mappings })
    }
}

/// Some records of a tick, decoded.
pub struct Piece {
    /// The records in the order of the tick.
    pub records: Vec<Record>,
    /// What they are.
    pub decoded: Decoded,
    /// A hash of each record.
    pub hashes: Vec<u64>,
    /// The tables it was decoded for: the ticker decodes again if there are others by now.
    pub tables: Arc<Tables>,
    /// The process that holds it, if that is another one: here are few payloads then, and rows only for snapshots.
    pub away: Option<Away>,
}

/// What the reader hands on.
pub enum Step {
    /// A tick.
    Tick(Cut),
    /// All ticks of earlier lives are cut: what comes now is new.
    Repeated,
}

/// A tick that was cut; its pieces are being decoded.
pub struct Cut {
    /// The pieces in order.
    pub pieces: Vec<Receiver<Piece>>,
    /// The end of the tick in each partition.
    pub positions: Vec<Position>,
    /// Where its time comes from.
    pub origin: Origin,
}

/// Where the time of a tick comes from.
pub enum Origin {
    /// It was bound in an earlier life.
    Bound(Binding, Told),
    /// The clock gives it one.
    New {
        /// Whether it reaches the end of the log.
        exhausted: bool,
    },
}

/// When the engine is told of a tick that was bound in an earlier life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// At once, with those that wait.
    Now,
    /// With the next one that is told at once.
    Later,
}

/// Ends a reader, or wakes it.
#[derive(Clone)]
pub struct Handle {
    end: Arc<AtomicU8>,
    wake: Sender<()>,
}

impl Handle {
    /// Says how the log ends.
    pub fn end(&self, end: End) {
        self.end.fetch_max(end as u8, Ordering::AcqRel);
        _ = self.wake.try_send(());
    }
}

/// Reads the log and cuts it.
pub struct Reader<S> {
    source: S,
    pace: Pace,
    queues: BTreeMap<u32, VecDeque<Record>>,
    queued: usize,
    /// Where the source stands in each partition.
    read: BTreeMap<u32, u64>,
    cut: BTreeMap<u32, u64>,
    last_cut: Option<Instant>,
    pool: Sender<Work>,
    steps: Sender<Step>,
    end: Arc<AtomicU8>,
    nudged: Receiver<()>,
    appended: Receiver<()>,
    visible: Arc<Visible>,
    stalled: Option<String>,
    parts: Option<Arc<Parts>>,
}

/// What a reader is given besides its source.
pub struct Setting {
    /// When it cuts.
    pub pace: Pace,
    /// How many threads decode.
    pub threads: usize,
    /// The tables of the moment.
    pub tables: Arc<std::sync::RwLock<Arc<Tables>>>,
    /// Says that records were appended.
    pub appended: Receiver<()>,
    /// Is told why nothing new comes.
    pub visible: Arc<Visible>,
    /// The processes that read partitions of their own.
    pub parts: Option<Arc<Parts>>,
}

impl<S: Source + 'static> Reader<S> {
    /// A reader and the ticks it will cut, and the threads of its pool, which end with it.
    pub fn new(source: S, setting: Setting) -> (Reader<S>, Receiver<Step>, Handle, Vec<JoinHandle<()>>) {
        let (threads, tables, bounds) =
            (setting.threads, setting.tables.clone(), (2 * setting.threads, TICKS_IN_FLIGHT));
        let (reader, handed, handle, work) = Reader::apart(source, setting, bounds);
        let threads = (0..threads).map(|i| spawn_decoder(i, &work, &tables)).collect();
        (reader, handed, handle, threads)
    }

    /// The same without a pool: whoever drives it decodes. The bounds are those of pieces and of ticks in flight.
    pub(crate) fn apart(
        source: S,
        setting: Setting,
        bounds: (usize, usize),
    ) -> (Reader<S>, Receiver<Step>, Handle, Receiver<Work>) {
        let (pool, work) = bounded(bounds.0);
        let (steps, handed) = bounded(bounds.1);
        let (wake, nudged) = bounded(1);
        let end = Arc::new(AtomicU8::new(End::Open as u8));
        let read: BTreeMap<u32, u64> =
            source.positions().into_iter().map(|p| (p.partition, p.offset)).collect();
        let reader = Reader {
            source,
            pace: setting.pace,
            queues: BTreeMap::new(),
            queued: 0,
            cut: read.clone(),
            read,
            last_cut: None,
            pool,
            steps,
            end: end.clone(),
            nudged,
            appended: setting.appended,
            visible: setting.visible,
            stalled: None,
            parts: setting.parts,
        };
        (reader, handed, Handle { end, wake }, work)
    }

    /// Cuts the bound ticks again, then goes on until the log ends. After each time in `kept` something was stated.
    pub fn run(mut self, bound: progress::Reader, kept: &BTreeSet<Time>) -> Result<(), Error> {
        let went_on = self.repeat(bound, kept)?;
        if went_on && self.steps.send(Step::Repeated).is_ok() { self.follow() } else { Ok(()) }
    }

    /// Cuts what was bound. Nobody reads between two of these ticks any more, so the engine is told of many as one, but never
    /// across a time in `kept`, which may lie between two ticks, nor across the tick after it.
    pub(crate) fn repeat(
        &mut self,
        mut bound: progress::Reader,
        kept: &BTreeSet<Time>,
    ) -> Result<bool, Error> {
        let mut before = bound.last();
        let mut next = bound.next()?;
        let mut held = 0;
        while let Some(binding) = next {
            next = bound.next()?;
            let time = binding.moment.time;
            held += binding.records;
            let ends = next.as_ref().is_none_or(|next| kept.range(time..next.moment.time).next().is_some());
            let must = ends || kept.range(before..time).next().is_some();
            let told = if must || held >= self.pace.records_max as u64 { Told::Now } else { Told::Later };
            if told == Told::Now {
                held = 0;
            }
            if !self.repeat_one(binding, told)? {
                return Ok(false);
            }
            before = time;
        }
        Ok(true)
    }

    fn repeat_one(&mut self, binding: Binding, told: Told) -> Result<bool, Error> {
        while let Some(short) = binding.positions.iter().find(|p| self.reached(p.partition) < p.offset) {
            if self.end() == End::Now {
                return Ok(false);
            }
            let short = short.clone();
            if self.poll(Some(short.partition))? == 0 && self.ended()? {
                return Err(Error::Failed(format!(
                    "REPLAY_DIVERGED: tick {} is bound to partition {} up to offset {}, and the log ends at offset {}",
                    binding.moment.time,
                    short.partition,
                    short.offset,
                    self.reached(short.partition)
                )));
            }
        }
        let mut records = Vec::with_capacity(binding.records as usize);
        for position in &binding.positions {
            if let Some(queue) = self.queues.get_mut(&position.partition) {
                let count = queue.partition_point(|record| record.offset < position.offset);
                records.extend(queue.drain(..count));
            }
            let cut = self.cut.entry(position.partition).or_default();
            *cut = position.offset.max(*cut);
        }
        self.queued -= records.len();
        Ok(self.send(records, Origin::Bound(binding, told)))
    }

    fn follow(&mut self) -> Result<(), Error> {
        loop {
            self.tell_stalled();
            match self.next() {
                Next::Cut(count) => {
                    if !self.cut(count) {
                        return Ok(());
                    }
                    self.last_cut = Some(Instant::now());
                }
                Next::Poll => _ = self.poll(None)?,
                Next::Wait(wait) => self.wait(wait),
                Next::Stop => return Ok(()),
            }
        }
    }

    /// Cuts a tick of so many records; false where nobody takes ticks any more.
    pub(crate) fn cut(&mut self, count: usize) -> bool {
        let records = self.take(count);
        let exhausted = self.queued == 0 && !self.source.has_backlog();
        self.send(records, Origin::New { exhausted })
    }

    /// How many records wait for a tick.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    fn next(&self) -> Next {
        // The end is asked for first: what was appended before it was said is then seen as backlog.
        let end = self.end();
        let since = self.last_cut.map(|last| last.elapsed());
        decide(self.pace, self.queued, self.source.has_backlog(), end, since, self.visible.price())
    }

    fn wait(&self, wait: Option<Duration>) {
        let forever = Duration::from_secs(3_600);
        select! {
            recv(self.appended) -> woken => if woken.is_err() {
                // The log is closed: only the end can come.
                _ = self.nudged.recv_timeout(wait.unwrap_or(forever));
            },
            recv(self.nudged) -> _ => {}
            default(wait.unwrap_or(forever)) => {}
        }
    }

    /// Reads on, in one partition or in all; how many records came.
    pub(crate) fn poll(&mut self, partition: Option<u32>) -> Result<usize, Error> {
        let polled = faults::around("poll", || match partition {
            Some(partition) => self.source.poll_partition(partition, POLL_BYTES),
            None => self.source.poll(POLL_BYTES),
        });
        let records = match polled {
            Ok(records) => records,
            Err(SourceError::Retry(_)) => {
                self.wait(Some(READ_AGAIN));
                vec![]
            }
            // While bound ticks are repeated there is nothing yet that could stay readable.
            Err(SourceError::Halt(why)) if partition.is_none() => {
                self.halt(Error::failed("read on in the log", why));
                vec![]
            }
            Err(SourceError::Halt(why) | SourceError::Fatal(why)) => {
                return Err(Error::failed("read the log", why));
            }
        };
        self.read.extend(self.source.positions().into_iter().map(|p| (p.partition, p.offset)));
        let count = records.len();
        self.queued += count;
        for record in records {
            let before = self.queues.get(&record.partition).and_then(|queue| queue.back());
            if planted(Bug::GapSkipped) && before.is_some_and(|before| before.offset + 1 < record.offset) {
                self.queued -= 1;
                continue;
            }
            self.queues.entry(record.partition).or_default().push_back(record);
        }
        Ok(count)
    }

    /// Whether the log ends where it was read up to.
    fn ended(&mut self) -> Result<bool, Error> {
        match self.source.ended() {
            Ok(ended) => Ok(ended),
            Err(SourceError::Retry(_)) => {
                self.tell_stalled();
                self.wait(Some(READ_AGAIN));
                Ok(false)
            }
            Err(why) => Err(Error::failed("read the log", why)),
        }
    }

    /// No more is read and no tick is made; readers go on with what is there.
    fn halt(&mut self, why: Error) {
        self.visible.silent(Some(why));
        while self.end() == End::Open {
            _ = self.nudged.recv_timeout(Duration::from_secs(3_600));
        }
        self.end.store(End::Now as u8, Ordering::Release);
    }

    fn tell_stalled(&mut self) {
        let stalled = self.source.stalled();
        if stalled != self.stalled {
            self.visible.silent(stalled.clone().map(|why| Error::failed("read on in the log", why)));
            self.stalled = stalled;
        }
    }

    /// The first `count` records that wait, by ascending partition.
    fn take(&mut self, count: usize) -> Vec<Record> {
        let mut records = Vec::with_capacity(count);
        // Where nothing waits, all below the source's position is in: there may be offsets without a record.
        for (partition, read) in &self.read {
            let queue = self.queues.entry(*partition).or_default();
            let share = queue.len().min(count - records.len());
            records.extend(queue.drain(..share));
            if planted(Bug::LastOffset) {
                let last = records.last().filter(|last: &&Record| last.partition == *partition);
                self.cut.extend(last.map(|last| (*partition, last.offset + 1)));
                continue;
            }
            self.cut.insert(*partition, queue.front().map_or(*read, |next| next.offset));
        }
        self.queued -= records.len();
        records
    }

    /// Hands a tick on; false where nobody takes ticks any more.
    fn send(&self, records: Vec<Record>, origin: Origin) -> bool {
        let positions =
            self.cut.iter().map(|(partition, offset)| Position { partition: *partition, offset: *offset });
        let cut_pieces = match &self.parts {
            Some(parts) => parts.split(records).into_iter().flat_map(split).collect(),
            None => split(records),
        };
        let (replies, pieces): (Vec<_>, Vec<_>) = cut_pieces.iter().map(|_| bounded(1)).unzip();
        // The tick goes first: the ticker takes pieces while later ones are being handed out.
        let sent =
            self.steps.send(Step::Tick(Cut { pieces, positions: positions.collect(), origin })).is_ok();
        let mut work: Vec<Work> = cut_pieces.into_iter().zip(replies).collect();
        if let Some(parts) = &self.parts {
            // The others begin before this process does its own share.
            work.retain(|(records, reply)| !parts.decode(records, reply));
        }
        sent && work.into_iter().all(|work| self.pool.send(work).is_ok())
    }

    fn reached(&self, partition: u32) -> u64 {
        self.read.get(&partition).copied().unwrap_or(0)
    }

    fn end(&self) -> End {
        match self.end.load(Ordering::Acquire) {
            0 => End::Open,
            1 => End::Drain,
            _ => End::Now,
        }
    }
}
