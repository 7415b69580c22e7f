//! `Parts`: the leader's side. It asks the processes for records of their partitions, and tells them what counts.
use super::frame::{self, Ask, Range, Reply, Sent};
use super::split::Heard;
use super::{Away, Opening};
use crate::Error;
use crate::cluster::frame::{Told, receive, send};
use crate::cluster::greet;
use crate::cluster::hosts::Hosts;
use crate::cluster::lead::start_thread;
use crate::ticks::{Piece, Tables};
use crossbeam_channel::{Receiver, Sender, bounded};
use sources::{Payload, Record};
use std::collections::HashMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many records are a piece that one thread of another process decodes.
const PIECE_RECORDS: usize = 1_024;

/// The processes that read partitions of their own.
pub struct Parts {
    hosts: Hosts,
    ports: Vec<Option<Port>>,
    ticket: AtomicU64,
    open: Mutex<Open>,
    heard: Mutex<Heard>,
    hearing: Condvar,
    none: Arc<Tables>,
}

/// A process that follows.
struct Port {
    link: Mutex<TcpStream>,
    /// Its share of the log is read there.
    reads: AtomicBool,
    records: AtomicU64,
    orders: Arc<Vec<Mutex<TcpStream>>>,
}

/// Questions without an answer.
#[derive(Default)]
struct Open {
    waiting: HashMap<u64, Wait>,
    /// Why no answer will come any more.
    failure: Option<Error>,
}

enum Wait {
    Opened(Sender<Option<String>>),
    Piece { process: usize, piece: u64, reply: Sender<Piece> },
    Payloads(Sender<Vec<(u32, Payload)>>),
}

/// What the leader has for its side: the links, by process, and the links for orders, of the processes from 1 on.
pub struct Links {
    /// By which partitions are read.
    pub parts: Vec<Option<TcpStream>>,
    /// By which followers are told what the engine is told.
    pub orders: Arc<Vec<Mutex<TcpStream>>>,
}

impl Parts {
    /// Has the log opened by all who follow, and waits for their answers.
    pub fn open(hosts: &Hosts, links: Links, opening: &Opening) -> Result<Arc<Parts>, Error> {
        let failed = |why: std::io::Error| Error::failed("use the links to other processes", why);
        let (mut ports, mut from) = (vec![], vec![]);
        for link in links.parts {
            let orders = links.orders.clone();
            from.push(link.as_ref().map(TcpStream::try_clone).transpose().map_err(failed)?);
            ports.push(link.map(|link| Port {
                link: link.into(),
                reads: false.into(),
                records: 0.into(),
                orders,
            }));
        }
        let parts = Arc::new(Parts {
            hosts: hosts.clone(),
            ports,
            ticket: 0.into(),
            open: Mutex::default(),
            heard: Mutex::default(),
            hearing: Condvar::new(),
            none: Tables::new(0, vec![]),
        });
        for (process, from) in from.into_iter().enumerate() {
            let Some(mut from) = from else { continue };
            let parts = parts.clone();
            start_thread(format!("parts of process {process}"), move || {
                let why = parts.listen(process, &mut from);
                // Who waits for an answer fails by this; that a process is lost is seen where its other answers are read.
                parts.fail(greet::lost(&parts.hosts, process, &why));
            })?;
        }
        let text = serde_json::to_string(opening).expect("paths and numbers are JSON");
        for process in 1..parts.ports.len() {
            let (answer, opened) = bounded(1);
            // A link has one such question: its number is that of the process.
            parts.ask(process, process as u64, Wait::Opened(answer), &Ask::Open(text.clone()));
            match opened.recv().map_err(|_| parts.gone())? {
                None => parts.port(process).reads.store(true, Ordering::Release),
                Some(why) => {
                    report!("tallyflow: process {process} reads no partition, process 0 does: {why}")
                }
            }
        }
        parts.ticket.store(parts.ports.len() as u64, Ordering::Release);
        Ok(parts)
    }

    /// Which process reads a partition.
    pub fn owner(&self, partition: u32) -> usize {
        let process = partition as usize % self.ports.len();
        let reads = self.ports[process].as_ref().is_some_and(|port| port.reads.load(Ordering::Acquire));
        if reads { process } else { 0 }
    }

    /// Whether each process has a share of so many partitions.
    pub fn all_read(&self, partitions: usize) -> bool {
        let reads = |port: &Port| port.reads.load(Ordering::Acquire);
        partitions >= self.ports.len() && self.ports.iter().flatten().all(reads)
    }

    /// How many records each process from 1 on has read so far.
    pub fn records(&self) -> Vec<(usize, u64)> {
        let ports = self.ports.iter().enumerate();
        ports
            .filter_map(|(process, port)| Some((process, port.as_ref()?.records.load(Ordering::Relaxed))))
            .collect()
    }

    /// Why no answer will come any more.
    pub fn failure(&self) -> Option<Error> {
        self.lock().failure.clone()
    }

    /// Why an answer did not come.
    pub fn gone(&self) -> Error {
        self.failure().unwrap_or_else(|| Error::failed("read a partition", "another process does not answer"))
    }

    /// Records as pieces of one partition, where that is read elsewhere; the others together.
    pub fn split(&self, records: Vec<Record>) -> Vec<Vec<Record>> {
        let mut runs: Vec<Vec<Record>> = vec![];
        let place = |record: &Record| match self.owner(record.partition) {
            0 => None,
            _ => Some(record.partition),
        };
        for record in records {
            let here = place(&record);
            match runs.last_mut() {
                Some(run) if place(&run[0]) == here && (here.is_none() || run.len() < PIECE_RECORDS) => {
                    run.push(record)
                }
                _ => runs.push(vec![record]),
            }
        }
        runs
    }

    /// Has records decoded that another process holds; false for those that are here. They are of one partition.
    pub fn decode(&self, records: &[Record], reply: &Sender<Piece>) -> bool {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return false };
        let process = self.owner(first.partition);
        if process == 0 {
            return false;
        }
        let piece = self.ticket();
        let count = records.len() as u64;
        let range = Range { partition: first.partition, from: first.offset, to: last.offset + 1, count };
        self.port(process).records.fetch_add(count, Ordering::Relaxed);
        self.ask(
            process,
            piece,
            Wait::Piece { process, piece, reply: reply.clone() },
            &Ask::Read(piece, range),
        );
        true
    }

    /// The same piece, decoded for the tables of the moment.
    pub fn again(&self, away: Away, tables: u64) -> Result<Piece, Error> {
        let (reply, answer) = bounded(1);
        let (ticket, Away { process, piece, .. }) = (self.ticket(), away);
        self.ask(process, ticket, Wait::Piece { process, piece, reply }, &Ask::Again(ticket, piece, tables));
        answer.recv().map_err(|_| self.gone())
    }

    /// Fetches the payloads of some records of a piece.
    pub fn fetch(&self, piece: &mut Piece, wanted: Vec<u32>) -> Result<(), Error> {
        let Some(away) = piece.away.filter(|_| !wanted.is_empty()) else { return Ok(()) };
        let (reply, answer): (_, Receiver<Vec<(u32, Payload)>>) = bounded(1);
        let ticket = self.ticket();
        self.ask(away.process, ticket, Wait::Payloads(reply), &Ask::Want(ticket, away.piece, wanted));
        for (at, payload) in answer.recv().map_err(|_| self.gone())? {
            if let Some(record) = piece.records.get_mut(at as usize) {
                record.payload = payload;
            }
        }
        Ok(())
    }

    /// The rows of a piece count with the tick that the engine is told of next, but for those of some records.
    pub fn count(&self, away: Away, dropped: Vec<u32>) {
        let Ok(bytes) = Told::Count(away.piece, dropped).bytes() else { return };
        let orders = &self.port(away.process).orders[away.process - 1];
        // A link that is closed is seen where answers are read.
        _ = send(&mut *orders.lock().unwrap_or_else(PoisonError::into_inner), &bytes);
    }

    /// Tells the process of a partition something that needs no answer.
    pub(super) fn tell(&self, partition: u32, ask: &Ask) {
        let process = self.owner(partition);
        if process > 0 {
            self.write(process, ask);
        }
    }

    /// Tells all who read.
    pub(super) fn tell_all(&self, ask: &Ask) {
        for (process, port) in self.ports.iter().enumerate() {
            if port.as_ref().is_some_and(|port| port.reads.load(Ordering::Acquire)) {
                self.write(process, ask);
            }
        }
    }

    /// What those said who read Kafka.
    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something was said, or all is lost.
    pub(super) fn wait_heard(&self, at_most: Duration, enough: impl Fn(&Heard) -> bool) {
        let waiting = self.hearing.wait_timeout_while(self.heard(), at_most, |heard| !enough(heard));
        drop(waiting);
    }

    fn ticket(&self) -> u64 {
        self.ticket.fetch_add(1, Ordering::Relaxed)
    }

    fn port(&self, process: usize) -> &Port {
        self.ports[process].as_ref().expect("every process but this one has a link")
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, process: usize, ticket: u64, wait: Wait, ask: &Ask) {
        let mut open = self.lock();
        // Who waits for an answer that cannot come sees its channel closed.
        if open.failure.is_none() {
            open.waiting.insert(ticket, wait);
            drop(open);
            self.write(process, ask);
        }
    }

    fn write(&self, process: usize, ask: &Ask) {
        let mut link = self.port(process).link.lock().unwrap_or_else(PoisonError::into_inner);
        // A link that is closed is seen where answers are read.
        _ = send(&mut *link, &ask.bytes());
    }

    fn fail(&self, why: Error) {
        let mut open = self.lock();
        open.failure.get_or_insert(why);
        open.waiting.clear();
        drop(open);
        self.heard().wake();
        self.hearing.notify_all();
    }

    /// Takes answers until the link is closed, or what comes is none: then why.
    fn listen(&self, process: usize, from: &mut TcpStream) -> String {
        loop {
            let Ok(bytes) = receive(from) else { return "its connection was closed".into() };
            let taken = Reply::of(&bytes).and_then(|reply| self.take(process, reply));
            if let Err(why) = taken {
                return why;
            }
        }
    }

    fn take(&self, process: usize, reply: Reply) -> Result<(), String> {
        let answered = |ticket: u64| {
            let wait = self.lock().waiting.remove(&ticket);
            wait.ok_or_else(|| "it answers what was not asked: this is a bug".to_owned())
        };
        // Who waited may have stopped: then nobody takes the answer.
        match reply {
            Reply::Opened(why) => {
                if let Wait::Opened(reply) = answered(process as u64)? {
                    _ = reply.send(why);
                }
            }
            Reply::Piece(ticket, sent) => {
                if let Wait::Piece { process, piece, reply } = answered(ticket)? {
                    let away = Away { process, piece, tables: sent.tables };
                    _ = reply.send(self.piece(away, *sent));
                }
            }
            Reply::Payloads(ticket, payloads) => {
                if let Wait::Payloads(reply) = answered(ticket)? {
                    _ = reply.send(payloads);
                }
            }
            Reply::Came(..) | Reply::Stalled(_) | Reply::Halt(_) => {
                self.heard().hear(process, reply);
                self.hearing.notify_all();
            }
            Reply::Fatal(why) => self.fail(Error::failed(format!("read the log in process {process}"), why)),
        }
        Ok(())
    }

    fn piece(&self, away: Away, mut sent: Sent) -> Piece {
        let records = frame::records(&mut sent);
        let Sent { hashes, decoded, .. } = sent;
        Piece { records, decoded, hashes, tables: self.none.clone(), away: Some(away) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::parts::Place;
    use std::net::TcpListener;

    /// A process that answers a question of opening so.
    fn opened(why: Option<&str>) -> (Arc<Parts>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let parts = vec![None, Some(listener.accept().unwrap().0)];
        let hosts = Hosts { process: 0, addresses: vec!["a:1".into(), "b:1".into()] };
        let answer = Reply::Opened(why.map(str::to_owned)).bytes();
        let answering = std::thread::spawn(move || {
            assert!(matches!(Ask::of(&receive(&mut theirs).unwrap()).unwrap(), Ask::Open(_)));
            send(&mut theirs, &answer).unwrap();
            theirs
        });
        let place = Place::Files { folder: "x".into(), mark: "y".into(), number: 1 };
        let opening = Opening { log: place, rows: false };
        let parts = Parts::open(&hosts, Links { parts, orders: Arc::default() }, &opening).unwrap();
        (parts, answering.join().unwrap())
    }

    fn records() -> Vec<Record> {
        let offsets = |partition| (0..3).map(move |offset| super::super::elsewhere(partition, offset));
        (0..4).flat_map(offsets).collect()
    }

    #[test]
    fn who_cannot_read_the_log_leaves_its_share_to_the_leader() {
        let (parts, _theirs) = opened(Some("there are no files"));
        assert_eq!(([0, 1, 3].map(|partition| parts.owner(partition)), parts.all_read(4)), ([0; 3], false));
        let runs = parts.split(records());
        assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [12]);
        assert!(!parts.decode(&runs[0], &bounded(1).0));
    }

    #[test]
    fn pieces_are_of_one_partition_in_the_order_of_the_log_and_nobody_waits_for_a_process_that_is_lost() {
        let (parts, mut theirs) = opened(None);
        assert_eq!((parts.all_read(4), parts.all_read(1)), (true, false));
        let runs = parts.split(records());
        let places: Vec<(u32, usize)> = runs.iter().map(|run| (run[0].partition, run.len())).collect();
        assert_eq!(places, [(0, 3), (1, 3), (2, 3), (3, 3)]);
        let (reply, piece) = bounded(1);
        assert!(parts.decode(&runs[3], &reply));
        drop(reply);
        let asked = Ask::of(&receive(&mut theirs).unwrap()).unwrap();
        assert!(matches!(asked, Ask::Read(_, Range { partition: 3, from: 0, to: 3, count: 3 })), "{asked:?}");
        drop(theirs);
        assert!(piece.recv().is_err());
        let why = parts.gone().to_string();
        assert!(why.contains("process 1 at b:1 was lost"), "{why}");
        let (reply, piece) = bounded(1);
        assert!(parts.decode(&runs[1], &reply));
        drop(reply);
        assert!(piece.recv().is_err());
    }
}
