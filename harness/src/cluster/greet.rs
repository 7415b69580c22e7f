//! How the processes find each other. Each listens where the hostfile says; a higher number calls a lower one, says who it is, and is
//! let in or told why not. When all are there the leader says so, and nobody listens any more.
use super::frame::{receive_within, send};
use super::hosts::Hosts;
use crate::Error;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const AGAIN: Duration = Duration::from_millis(100);
/// A caller that says nothing holds others up so long.
const WAIT_HELLO: Duration = Duration::from_secs(5);
const WAIT_REPLY: Duration = Duration::from_secs(60);
/// After so long a process says for whom it waits.
const PATIENCE: Duration = Duration::from_secs(3);
const HELLO_BYTES_MAX: u64 = 1 << 16;

/// What the leader decides for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Workers of each process.
    pub workers: usize,
    /// What the state of one view may take in a process.
    pub state_bytes_max: usize,
}

/// All connections of a process, once all are there.
pub struct Met {
    /// What the leader decided.
    pub terms: Terms,
    /// For timely: one to each process, none to itself.
    pub rows: Vec<Option<TcpStream>>,
    /// For orders and answers: to each follower by its number, or to the leader.
    pub links: Vec<Option<TcpStream>>,
    /// The same for what is read of the log.
    pub parts: Vec<Option<TcpStream>>,
    /// The same for the pulse.
    pub pulses: Vec<Option<TcpStream>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Purpose {
    Link,
    Parts,
    Pulse,
    Rows,
}

#[derive(Debug, Serialize, Deserialize)]
struct Hello {
    build: u64,
    hosts: u64,
    processes: usize,
    process: usize,
    purpose: Purpose,
    /// The start of the leader that it belongs to; 0 where it does not know yet.
    run: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Reply {
    Refused(String),
    Here { run: u64, terms: Terms },
}

const GO: &[u8] = b"go";

/// Takes in the followers. Blocks until all are there.
pub fn lead(hosts: &Hosts, terms: Terms) -> Result<Met, Error> {
    let run = chrono::Utc::now().timestamp_micros() as u64;
    let mut hall = Hall::open(hosts, run, terms)?;
    while hall.misses([Purpose::Link, Purpose::Parts, Purpose::Pulse, Purpose::Rows]) {
        hall.admit()?;
    }
    for (process, link) in hall.met.links.iter_mut().enumerate() {
        if let Some(link) = link {
            send(link, GO).map_err(|why| lost(hosts, process, &why.to_string()))?;
        }
    }
    Ok(hall.met)
}

/// Joins the leader, and all others. Blocks until all are there.
pub fn join(hosts: &Hosts) -> Result<Met, Error> {
    let terms = Terms { workers: 0, state_bytes_max: 0 };
    let mut hall = Hall::open(hosts, 0, terms)?;
    let (mut link, run, terms) = hall.call(0, Purpose::Link)?;
    (hall.run, hall.met.terms) = (run, terms);
    hall.met.links[0] = Some(link.try_clone().map_err(|why| lost(hosts, 0, &why.to_string()))?);
    hall.met.parts[0] = Some(hall.call(0, Purpose::Parts)?.0);
    hall.met.pulses[0] = Some(hall.call(0, Purpose::Pulse)?.0);
    for process in 0..hosts.process {
        hall.met.rows[process] = Some(hall.call(process, Purpose::Rows)?.0);
    }
    while hall.misses([Purpose::Rows]) {
        hall.admit()?;
    }
    match receive_within(&mut link, HELLO_BYTES_MAX) {
        Ok(bytes) if bytes == GO => Ok(hall.met),
        Ok(_) => Err(lost(hosts, 0, "it says what nobody asked for")),
        Err(_) => Err(lost(hosts, 0, "it ended before all processes were there")),
    }
}

/// A process is not there any more.
pub fn lost(hosts: &Hosts, process: usize, why: &str) -> Error {
    Error::Failed(format!(
        "process {process} at {} was lost: {why}; all processes stop, and all is made again from the log after a restart",
        hosts.addresses[process]
    ))
}

struct Hall<'h> {
    hosts: &'h Hosts,
    build: u64,
    run: u64,
    listener: TcpListener,
    met: Met,
    began: Instant,
    said: bool,
}

impl<'h> Hall<'h> {
    fn open(hosts: &'h Hosts, run: u64, terms: Terms) -> Result<Hall<'h>, Error> {
        let tried = format!("listen for other processes on {}", hosts.addresses[hosts.process]);
        let address = hosts.resolve(hosts.process).map_err(|why| Error::failed(&tried, why))?;
        let listener = TcpListener::bind(address).map_err(|why| match why.kind() {
            ErrorKind::AddrInUse => Error::failed(
                &tried,
                format!("the address is in use: is there a process {} already?", hosts.process),
            ),
            _ => Error::failed(&tried, why),
        })?;
        listener.set_nonblocking(true).map_err(|why| Error::failed(&tried, why))?;
        let none = || hosts.addresses.iter().map(|_| None).collect();
        let met = Met { terms, rows: none(), links: none(), parts: none(), pulses: none() };
        let build = build().map_err(|why| Error::failed("read the program's own file", why))?;
        Ok(Hall { hosts, build, run, listener, met, began: Instant::now(), said: false })
    }

    fn slots(&mut self, purpose: Purpose) -> &mut Vec<Option<TcpStream>> {
        match purpose {
            Purpose::Link => &mut self.met.links,
            Purpose::Parts => &mut self.met.parts,
            Purpose::Pulse => &mut self.met.pulses,
            Purpose::Rows => &mut self.met.rows,
        }
    }

    /// Whether a process with a higher number has still to call.
    fn misses<const N: usize>(&mut self, purposes: [Purpose; N]) -> bool {
        let own = self.hosts.process;
        purposes.into_iter().any(|purpose| self.slots(purpose)[own + 1..].iter().any(Option::is_none))
    }

    /// Takes a caller in, if there is one. An error says that one that was here is gone.
    fn admit(&mut self) -> Result<(), Error> {
        self.watch()?;
        let Ok((mut caller, address)) = self.listener.accept() else {
            self.say(|hall| {
                let own = hall.hosts.process;
                let links = if own == 0 { &hall.met.links } else { &hall.met.rows };
                let absent = links.iter().enumerate().skip(own + 1).filter(|(_, link)| link.is_none());
                let absent =
                    absent.map(|(process, _)| format!("{process} at {}", hall.hosts.addresses[process]));
                format!("process {}", absent.collect::<Vec<_>>().join(", process "))
            });
            std::thread::sleep(AGAIN / 10);
            return Ok(());
        };
        let set = caller
            .set_nonblocking(false)
            .and_then(|()| caller.set_read_timeout(Some(WAIT_HELLO)))
            .and_then(|()| caller.set_nodelay(true));
        let hello = set.and_then(|()| receive_within(&mut caller, HELLO_BYTES_MAX));
        let hello = hello.ok().and_then(|bytes| serde_json::from_slice::<Hello>(&bytes).ok());
        // Whoever else calls here is none of ours.
        let Some(hello) = hello else { return Ok(()) };
        let refused = self.refuse(&hello);
        let reply = match &refused {
            Some(why) => {
                report!("tallyflow: refused a process that called from {address}: {why}");
                Reply::Refused(why.clone())
            }
            None => Reply::Here { run: self.run, terms: self.met.terms },
        };
        let reply = serde_json::to_vec(&reply).expect("numbers and a text");
        let replied = send(&mut caller, &reply).and_then(|()| caller.set_read_timeout(None));
        if refused.is_none() && replied.is_ok() {
            self.slots(hello.purpose)[hello.process] = Some(caller);
        }
        Ok(())
    }

    /// Why a caller is not taken in.
    fn refuse(&mut self, hello: &Hello) -> Option<String> {
        let (own, processes) = (self.hosts.process, self.hosts.addresses.len());
        let Hello { process, purpose, .. } = hello;
        if hello.build != self.build {
            return Some("it is another build of tallyflow: all processes run the same program".into());
        }
        if hello.processes != processes {
            let theirs = hello.processes;
            return Some(format!(
                "it was started with --processes {theirs}, and process {own} with {processes}"
            ));
        }
        if hello.hosts != self.hosts.digest() {
            return Some(format!("its hostfile names other addresses than that of process {own}"));
        }
        if *process <= own || *process >= processes || (own > 0 && *purpose != Purpose::Rows) {
            return Some(format!("it calls itself process {process}, which does not call process {own}"));
        }
        if *purpose != Purpose::Link && hello.run != self.run {
            return Some(format!("process {process} belongs to another start: start it again"));
        }
        let taken = self.slots(*purpose)[*process].is_some();
        taken.then(|| format!("there is a process {process} already"))
    }

    /// Looks whether those that are linked still are.
    fn watch(&self) -> Result<(), Error> {
        for (process, link) in self.met.links.iter().enumerate() {
            let Some(link) = link else { continue };
            let peeked = link.set_nonblocking(true).and_then(|()| link.peek(&mut [0]));
            let gone = match peeked {
                Ok(length) => length == 0,
                Err(why) => why.kind() != ErrorKind::WouldBlock,
            };
            if gone || link.set_nonblocking(false).is_err() {
                return Err(lost(self.hosts, process, "it ended before all processes were there"));
            }
        }
        Ok(())
    }

    /// Calls a process until it takes this one in.
    fn call(&mut self, process: usize, purpose: Purpose) -> Result<(TcpStream, u64, Terms), Error> {
        let tried = format!("join process {process} at {}", self.hosts.addresses[process]);
        let hello = Hello {
            build: self.build,
            hosts: self.hosts.digest(),
            processes: self.hosts.addresses.len(),
            process: self.hosts.process,
            purpose,
            run: self.run,
        };
        let hello = serde_json::to_vec(&hello).expect("numbers and a word");
        loop {
            match self.call_once(process, &hello) {
                Ok((socket, Reply::Here { run, terms })) => return Ok((socket, run, terms)),
                Ok((_, Reply::Refused(why))) => {
                    return Err(Error::failed(tried, format!("it refuses: {why}")));
                }
                Err(why) if why.kind() == ErrorKind::InvalidData => {
                    return Err(Error::failed(
                        tried,
                        "what answers there is no process of tallyflow: look at the hostfile",
                    ));
                }
                Err(why) if why.kind() == ErrorKind::InvalidInput => return Err(Error::failed(tried, why)),
                Err(_) => {
                    self.watch()?;
                    let address = self.hosts.addresses[process].clone();
                    self.say(|_| format!("process {process} at {address}"));
                    std::thread::sleep(AGAIN);
                }
            }
        }
    }

    fn call_once(&self, process: usize, hello: &[u8]) -> std::io::Result<(TcpStream, Reply)> {
        let address = self.hosts.resolve(process);
        let address = address.map_err(|why| match why.contains("private network") {
            true => std::io::Error::new(ErrorKind::InvalidInput, why),
            false => std::io::Error::other(why),
        })?;
        let mut socket = TcpStream::connect_timeout(&address, WAIT_HELLO)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(WAIT_REPLY))?;
        send(&mut socket, hello)?;
        let reply = receive_within(&mut socket, HELLO_BYTES_MAX)?;
        socket.set_read_timeout(None)?;
        let reply = serde_json::from_slice(&reply);
        Ok((socket, reply.map_err(|why| std::io::Error::new(ErrorKind::InvalidData, why))?))
    }

    /// Says once for whom this one waits, where it takes long.
    fn say(&mut self, whom: impl FnOnce(&Hall<'h>) -> String) {
        if !self.said && self.began.elapsed() > PATIENCE {
            self.said = true;
            tell!("tallyflow: process {} waits for {}", self.hosts.process, whom(self));
        }
    }
}

/// A number that differs for different builds.
fn build() -> std::io::Result<u64> {
    let mut file = std::fs::File::open(std::env::current_exe()?)?;
    let (mut hash, mut buffer) = (xxhash_rust::xxh3::Xxh3::new(), vec![0; 1 << 20]);
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hash.digest()),
            length => hash.update(&buffer[..length]),
        }
    }
}
