//! `Holding`: the side of a process that follows. It reads its partitions, decodes what it is asked for, and holds the rows until it
//! is told what counts.
use super::ahead::{self, Ahead};
use super::frame::{Ask, Range, Reply, piece_bytes};
use super::{Opening, Place};
use crate::Error;
use crate::cluster::frame::{receive, send};
use crate::cluster::lead::start_thread;
use crate::intake::keep_rows;
use crate::ticks::{Piece, Tables, piece};
use crossbeam_channel::{Receiver, Sender, bounded};
use dataflows::Position;
use dataflows::engine::Fed;
use sources::decode::Mapping;
use sources::kafka::Kafka;
use sources::log::LogReader;
use sources::{Record, SourceError};
use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const AGAIN: Duration = Duration::from_millis(50);
/// So often is a record looked for that must be there.
const LOOKS: usize = 600;

/// What a process that follows holds.
pub struct Holding {
    kept: Mutex<Kept>,
    /// Tables came or went.
    changed: Condvar,
    link: Mutex<TcpStream>,
    process: usize,
    processes: usize,
}

struct Kept {
    tables: Arc<Tables>,
    pieces: HashMap<u64, Piece>,
    /// Rows that count with the next tick.
    rows: Fed,
    ended: bool,
}

/// A question, and the records that it is about.
type Work = (u64, Vec<Record>);

impl Holding {
    /// Answers on a link until that is closed, or the guard that is given back is dropped.
    pub fn start(
        link: TcpStream,
        threads: usize,
        (process, processes): (usize, usize),
    ) -> Result<Arc<Holding>, Error> {
        let mut from = link.try_clone().map_err(|why| Error::failed("use the link to process 0", why))?;
        let kept =
            Kept { tables: Tables::new(0, vec![]), pieces: HashMap::new(), rows: vec![], ended: false };
        let (kept, changed, link) = (kept.into(), Condvar::new(), link.into());
        let holding = Arc::new(Holding { kept, changed, link, process, processes });
        let answering = holding.clone();
        start_thread("parts".into(), move || {
            if let Err(why) = answering.answer(&mut from, threads) {
                answering.say(&Reply::Fatal(why).bytes());
            }
        })?;
        Ok(holding)
    }

    /// A table comes.
    pub fn table_comes(&self, mapping: &Arc<Mapping>) {
        self.change(|mappings| mappings.push(mapping.clone()));
    }

    /// A table goes, with the rows that wait for it.
    pub fn table_goes(&self, name: &str) {
        if self.lock().tables.mappings.iter().any(|mapping| &*mapping.table.name == name) {
            self.change(|mappings| mappings.retain(|mapping| &*mapping.table.name != name));
        }
        self.lock().rows.retain(|(table, _)| &**table != name);
    }

    /// The rows of a piece count with the next tick, but for those of some records.
    pub fn count(&self, number: u64, dropped: &[u32]) -> Result<(), String> {
        let mut kept = self.lock();
        let piece = kept
            .pieces
            .remove(&number)
            .ok_or("it is told of a piece that it does not hold: this is a bug")?;
        for table in piece.decoded.tables {
            if let Some((mapping, rows)) = keep_rows(table, dropped) {
                kept.rows.push((piece.tables.mappings[mapping].table.name.clone(), rows));
            }
        }
        Ok(())
    }

    /// The rows that count with this tick.
    pub fn take_rows(&self) -> Fed {
        std::mem::take(&mut self.lock().rows)
    }

    /// Nothing more is answered.
    pub fn end(&self) {
        self.lock().ended = true;
        _ = self.link.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Both);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Mapping>>)) {
        let mut kept = self.lock();
        let mut mappings = kept.tables.mappings.clone();
        change(&mut mappings);
        kept.tables = Tables::new(kept.tables.number + 1, mappings);
        self.changed.notify_all();
    }

    fn say(&self, bytes: &[u8]) {
        // A leader that is gone is noticed where orders are read.
        _ = send(&mut *self.link.lock().unwrap_or_else(PoisonError::into_inner), bytes);
    }

    fn answer(self: &Arc<Holding>, from: &mut TcpStream, threads: usize) -> Result<(), String> {
        let Ok(bytes) = receive(from) else { return Ok(()) };
        let Ask::Open(text) = Ask::of(&bytes)? else {
            return Err("it is asked for a log that is not open".into());
        };
        let opening: Opening = serde_json::from_str(&text).map_err(|why| why.to_string())?;
        let mut reading = match Reading::open(&opening) {
            Ok(reading) => reading,
            Err(why) => {
                self.say(&Reply::Opened(Some(why)).bytes());
                return Ok(());
            }
        };
        self.say(&Reply::Opened(None).bytes());
        let (work, records) = bounded::<Work>(2 * threads);
        for index in 0..threads {
            let (holding, records, rows) = (self.clone(), records.clone(), opening.rows);
            start_thread(format!("decode-{index}"), move || holding.decode(&records, rows))
                .map_err(|why| why.to_string())?;
        }
        while let Ok(bytes) = receive(from) {
            match Ask::of(&bytes)? {
                Ask::Open(_) => return Err("it is asked twice to open the log".into()),
                Ask::Read(ticket, range) => {
                    let records = reading.records(range, || self.lock().ended)?;
                    if records.len() as u64 != range.count {
                        return Err(format!(
                            "REPLAY_DIVERGED: {} records are expected at offsets {} to {} of partition {}, and {} are there",
                            range.count,
                            range.from,
                            range.to,
                            range.partition,
                            records.len()
                        ));
                    }
                    self.hand_out(&work, (ticket, records))?;
                }
                Ask::Again(ticket, number, tables) => self.again(ticket, number, tables, opening.rows)?,
                Ask::Want(ticket, number, wanted) => {
                    let kept = self.lock();
                    let piece =
                        kept.pieces.get(&number).ok_or("it is asked for a piece that it does not hold")?;
                    let payload = |at: &u32| Some((*at, piece.records.get(*at as usize)?.payload.clone()));
                    let payloads = wanted.iter().filter_map(payload).collect();
                    drop(kept);
                    self.say(&Reply::Payloads(ticket, payloads).bytes());
                }
                Ask::Start(positions) => reading.start(self, positions)?,
                Ask::Take(text) => reading.tell(&text)?,
                Ask::More(partition) => reading.more(partition),
            }
        }
        Ok(())
    }

    fn hand_out(&self, to: &Sender<Work>, work: Work) -> Result<(), String> {
        to.send(work).map_err(|_| "its threads have ended: this is a bug".into())
    }

    fn decode(&self, work: &Receiver<Work>, rows: bool) {
        for (number, records) in work {
            let tables = self.lock().tables.clone();
            let made = piece(records, tables);
            match piece_bytes(number, &made, rows) {
                Ok(bytes) => {
                    // Before the leader can tell of it.
                    self.lock().pieces.insert(number, made);
                    self.say(&bytes);
                }
                Err(why) => self.say(&Reply::Fatal(why).bytes()),
            }
        }
    }

    /// Decodes a piece for tables that this process may have still to be told of.
    fn again(&self, ticket: u64, number: u64, tables: u64, rows: bool) -> Result<(), String> {
        let mut kept = self.lock();
        while kept.tables.number < tables && !kept.ended {
            let waited = self.changed.wait_timeout(kept, AGAIN);
            kept = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let old = kept.pieces.remove(&number).ok_or("it is asked for a piece that it does not hold")?;
        let made = piece(old.records, kept.tables.clone());
        let bytes = piece_bytes(ticket, &made, rows)?;
        kept.pieces.insert(number, made);
        drop(kept);
        self.say(&bytes);
        Ok(())
    }
}

/// The log as this process reads it.
enum Reading {
    Files(LogReader),
    Topics(Arc<Kafka>, Arc<Ahead>),
}

impl Reading {
    fn open(opening: &Opening) -> Result<Reading, String> {
        match &opening.log {
            Place::Files { folder, mark, number } => {
                same_files(mark, *number)?;
                LogReader::open_read_only(folder).map(Reading::Files).map_err(|why| why.to_string())
            }
            Place::Kafka { config, numbered, gaps } => {
                let kafka = Kafka::follow(config.clone(), numbered.clone(), gaps.clone());
                let kafka = kafka.map_err(|why| why.to_string())?;
                Ok(Reading::Topics(Arc::new(kafka), Arc::default()))
            }
        }
    }

    /// Reads ahead, from positions on.
    fn start(&self, holding: &Arc<Holding>, positions: Vec<Position>) -> Result<(), String> {
        let Reading::Topics(kafka, ahead) = self else { return Ok(()) };
        let (kafka, ahead, holding) = (kafka.clone(), ahead.clone(), holding.clone());
        let run = move || {
            let say = |reply: &Reply| holding.say(&reply.bytes());
            let is_ended = || holding.lock().ended;
            let opened = loop {
                match ahead::reader(&kafka, holding.process, holding.processes, &positions) {
                    Err(SourceError::Retry(_)) if !is_ended() => std::thread::sleep(AGAIN),
                    opened => break opened,
                }
            };
            match opened {
                Ok(reader) => ahead.read(reader, say, is_ended),
                Err(why) => say(&Reply::Fatal(why.to_string())),
            }
        };
        start_thread("reader".into(), run).map_err(|why| why.to_string())
    }

    /// Takes over a partition that the leader found.
    fn tell(&self, text: &str) -> Result<(), String> {
        let Reading::Topics(kafka, _) = self else { return Ok(()) };
        let numbered = serde_json::from_str(text).map_err(|why| why.to_string())?;
        kafka.tell(numbered).map_err(|why| why.to_string())
    }

    fn more(&self, partition: u32) {
        if let Reading::Topics(_, ahead) = self {
            ahead.more(partition);
        }
    }

    /// Records that are there by the word of the leader.
    fn records(&mut self, range: Range, is_ended: impl Fn() -> bool) -> Result<Vec<Record>, String> {
        let Range { partition, from, to, .. } = range;
        let reader = match self {
            Reading::Files(reader) => reader,
            Reading::Topics(_, ahead) => return Ok(ahead.take(partition, from, to)),
        };
        let mut looks = 0;
        loop {
            match reader.range(partition, from, to) {
                Ok(records) => return Ok(records),
                Err(SourceError::Retry(_)) if looks < LOOKS && !is_ended() => {
                    looks += 1;
                    std::thread::sleep(AGAIN);
                }
                Err(why) => return Err(why.to_string()),
            }
        }
    }
}

/// Whether the files of a path are those that the leader has.
fn same_files(mark: &Path, number: u64) -> Result<(), String> {
    let folder = mark.parent().unwrap_or(mark).display();
    match std::fs::read_to_string(mark) {
        Ok(text) if text == number.to_string() => Ok(()),
        Ok(_) => Err(format!("{folder} is another data directory than that of process 0")),
        Err(why) => Err(format!("cannot read {folder}, where the log of process 0 is: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_another_data_directory_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("reading");
        assert!(same_files(&mark, 7).unwrap_err().contains("cannot read"));
        std::fs::write(&mark, "7").unwrap();
        assert_eq!(same_files(&mark, 7), Ok(()));
        assert!(same_files(&mark, 8).unwrap_err().contains("another data directory"));
    }
}
