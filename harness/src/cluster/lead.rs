//! The side of process 0: what its engine is told goes to the followers, and their workers' outputs join its own.
use super::frame::{Answer, Told, receive, send, tick};
use super::greet::{self, Met, Terms};
use super::hosts::Hosts;
use super::parts::ask::Links;
use super::parts::{Opening, Parts};
use super::{PULSE, PULSE_MISSING, Roster, Version};
use crate::Error;
use crate::publish::Visible;
use crossbeam_channel::{RecvTimeoutError, Sender, unbounded};
use dataflows::engine::{Cluster, Engine, Order, Output, Seal, State};
use dataflows::{Plan, View};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The processes that follow this one.
pub struct Lead {
    hosts: Hosts,
    /// Until the engine takes them.
    met: Mutex<Option<Met>>,
    left: AtomicBool,
}

/// A number that differs for different plans.
pub(super) fn mark(plan: &Plan) -> u64 {
    xxhash_rust::xxh3::xxh3_64(plan.fingerprint().as_bytes())
}

impl Lead {
    /// Waits until all followers are there.
    pub fn gather(hosts: &Hosts, terms: Terms) -> Result<Arc<Lead>, Error> {
        let met = greet::lead(hosts, terms)?;
        Ok(Arc::new(Lead { hosts: hosts.clone(), met: Mutex::new(Some(met)), left: AtomicBool::new(false) }))
    }

    /// How many processes there are, with this one.
    pub fn processes(&self) -> usize {
        self.hosts.addresses.len()
    }

    /// Whether a follower was asked to stop: then all do.
    pub fn was_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Starts the engine of all processes, and has them open the log. What fails is told to all who wait for `visible`.
    pub fn start(
        self: &Arc<Lead>,
        output: Sender<Output>,
        visible: Arc<Visible>,
        opening: &Opening,
    ) -> Result<(Engine, Arc<Parts>), Error> {
        let failed = |why: String| Error::failed("start the engine of all processes", why);
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner).take();
        let met = met.ok_or_else(|| failed("it was started before".into()))?;
        let (state, roster) = (Arc::new(State::default()), Arc::new(Mutex::new(Roster::default())));
        let (losses, lost) = unbounded();
        let mut links = vec![];
        for (process, (link, pulse)) in met.links.into_iter().zip(met.pulses).enumerate() {
            let (Some(link), Some(pulse)) = (link, pulse) else { continue };
            let copy = || link.try_clone().map_err(|why| failed(why.to_string()));
            let (mut from, to) = (copy()?, copy()?);
            links.push((to, copy()?));
            let (lead, output, theirs) = (self.clone(), output.clone(), (roster.clone(), state.clone()));
            let (gone, missed, state) = (losses.clone(), losses.clone(), state.clone());
            start_thread(format!("from process {process}"), move || {
                if let Err(why) = lead.take(&mut from, &output, &theirs.0, &theirs.1) {
                    _ = gone.send((process, why));
                }
            })?;
            start_thread(format!("pulse of process {process}"), move || {
                let why = beat(pulse);
                if !state.is_stopping() {
                    _ = missed.send((process, why));
                }
            })?;
        }
        let (writers, mut ends): (Vec<_>, Vec<_>) = links.into_iter().unzip();
        for link in met.parts.iter().flatten() {
            ends.push(link.try_clone().map_err(|why| failed(why.to_string()))?);
        }
        let (watched, lead, failing) = (state.clone(), self.clone(), output.clone());
        drop(losses);
        start_thread("processes".into(), move || {
            let why = loop {
                match lost.recv_timeout(PULSE) {
                    Ok((process, why)) => break greet::lost(&lead.hosts, process, &why),
                    Err(RecvTimeoutError::Timeout) if watched.is_broken() => {
                        break Error::Failed("the workers of all processes were stopped".into());
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            visible.fail(why.clone());
            watched.lose();
            // Whoever is sending must not wait, and the followers end.
            ends.iter().for_each(|end| _ = end.shutdown(Shutdown::Both));
            _ = failing.send(Output { worker: 0, told: 0, seals: vec![], failure: Some(why.to_string()) });
        })?;
        let writers: Arc<Vec<Mutex<TcpStream>>> = Arc::new(writers.into_iter().map(Mutex::new).collect());
        let links = Links { parts: met.parts, orders: writers.clone() };
        let telling = state.clone();
        let tell = move |process: usize, order: &Order| {
            let bytes = {
                let mut roster = roster.lock().unwrap_or_else(PoisonError::into_inner);
                told(order, &mut roster)
            };
            let mut writer = writers[process - 1].lock().unwrap_or_else(PoisonError::into_inner);
            match bytes {
                // A link that is closed is seen where answers are read.
                Ok(bytes) => _ = send(&mut *writer, &bytes),
                Err(_) => _ = telling.lose(),
            }
        };
        let cluster = Cluster { process: 0, sockets: met.rows, tell: Some(Box::new(tell)), state };
        let Terms { workers, state_bytes_max } = met.terms;
        let engine = Engine::start_cluster(workers, output, state_bytes_max, cluster).map_err(failed)?;
        Ok((engine, Parts::open(&self.hosts, links, opening)?))
    }

    /// Takes a follower's answers until it has ended in order; else why it did not.
    fn take(
        &self,
        from: &mut TcpStream,
        output: &Sender<Output>,
        roster: &Mutex<Roster>,
        state: &State,
    ) -> Result<(), String> {
        loop {
            let bytes = receive(from).map_err(|_| "its connection was closed".to_owned())?;
            match Answer::of(&bytes)? {
                Answer::Output { worker, told, seals, failure } => {
                    if failure.is_some() {
                        state.lose();
                    }
                    let roster = roster.lock().unwrap_or_else(PoisonError::into_inner);
                    let seals = seals.into_iter().filter_map(|share| {
                        // Of a view that was dropped nothing more is wanted.
                        let view = roster.view(share.view)?.clone();
                        Some(Seal { view, upper: share.upper, changes: share.changes, errs: share.errs })
                    });
                    let seals = seals.collect();
                    drop(roster);
                    // Nobody listens any more only when the process ends.
                    _ = output.send(Output { worker: worker as usize, told, seals, failure });
                }
                Answer::Leave => self.left.store(true, Ordering::Release),
                Answer::Failed(why) => return Err(why),
                Answer::Bye => return Ok(()),
            }
        }
    }
}

/// An order as a follower is told it. All followers know a view by the same number.
fn told(order: &Order, roster: &mut Roster) -> Result<Vec<u8>, String> {
    let mut number = |view: &Arc<View>, version| match roster.number(view) {
        Some(number) => number,
        None => roster.add(view, version),
    };
    let told = match order {
        Order::Note(text) => Told::Note(text.to_string()),
        Order::CreateTable(table) => Told::CreateTable(table.name.to_string()),
        Order::DropTable(name) => Told::DropTable(name.to_string()),
        Order::CreateView(view, plan) => {
            Told::CreateView(number(view, Version::Serving), view.name.to_string(), mark(plan))
        }
        Order::CreateBeside(view, plan) => {
            let number = number(view, Version::Beside);
            Told::CreateBeside(number, view.name.to_string(), view.sql.to_string(), mark(plan))
        }
        Order::DropView(name) => {
            roster.remove(name, Version::Serving);
            Told::DropView(name.to_string())
        }
        Order::ReplaceView(name) => {
            roster.replace(name);
            Told::ReplaceView(name.to_string())
        }
        Order::DropBeside(name) => {
            roster.remove(name, Version::Beside);
            Told::DropBeside(name.to_string())
        }
        Order::Tick(time, shares) => return tick(*time, shares),
        Order::Shutdown => Told::Shutdown,
    };
    told.bytes()
}

/// Shows the other process that this one lives, until the other does not: then why.
pub(super) fn beat(mut pulse: TcpStream) -> String {
    if pulse.set_read_timeout(Some(PULSE)).is_err() {
        return "its pulse cannot be felt".into();
    }
    let mut heard = Instant::now();
    loop {
        if pulse.write_all(&[0]).is_err() {
            return "its connection was closed".into();
        }
        match pulse.read(&mut [0; 64]) {
            Ok(0) => return "its connection was closed".into(),
            Ok(_) => {
                heard = Instant::now();
                std::thread::sleep(PULSE);
            }
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(_) => return "its connection was closed".into(),
        }
        if heard.elapsed() > PULSE_MISSING {
            return format!("it gave no sign of life for {} s", PULSE_MISSING.as_secs());
        }
    }
}

pub(super) fn start_thread(name: String, run: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let started = std::thread::Builder::new().name(name).spawn(run);
    started.map(|_| ()).map_err(|why| Error::failed("start a thread", why))
}
