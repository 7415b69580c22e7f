//! The side of the processes that follow: they compile what the leader compiles, and their workers do what its engine is told.
use super::frame::{Answer, Share, Told, receive, send};
use super::greet::{self, lost};
use super::hosts::Hosts;
use super::lead::{beat, mark, start_thread};
use super::parts::hold::Holding;
use super::{Roster, Version};
use crate::Error;
use crate::ticker::{shown, together};
use crossbeam_channel::{Receiver, bounded};
use dataflows::engine::{Cluster, Engine, Order, Output, State};
use dataflows::{Plan, View};
use queries::catalogue::Change;
use queries::catalogue::system::is_system;
use queries::{Catalogue, Declared};
use std::net::TcpStream;
use std::process::exit;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

const OUTPUTS_IN_FLIGHT: usize = 1_024;
/// How long the leader may take to stop all after a signal here.
const WAIT_STOP: Duration = Duration::from_secs(30);

/// Follows until the leader stops all, or cannot go on.
pub fn follow(hosts: &Hosts) -> Result<(), Error> {
    let met = greet::join(hosts)?;
    let (process, processes) = (hosts.process, hosts.addresses.len());
    let gone = |why: &str| lost(hosts, 0, why);
    let [link, parts, pulse] =
        [met.links, met.parts, met.pulses].map(|list| list.into_iter().next().flatten());
    let (Some(mut link), Some(parts), Some(pulse)) = (link, parts, pulse) else {
        return Err(gone("it is not linked"));
    };
    let copied = |why: std::io::Error| gone(&why.to_string());
    let (writer, last) = (link.try_clone().map_err(copied)?, pulse.try_clone().map_err(copied)?);
    let writer = Arc::new(Mutex::new(writer));
    let (state, roster) = (Arc::new(State::default()), Arc::new(Mutex::new(Roster::default())));
    let (output, outputs) = bounded(OUTPUTS_IN_FLIGHT);
    let cluster = Cluster { process, sockets: met.rows, tell: None, state: state.clone() };
    let engine = Engine::start_cluster(met.terms.workers, output, met.terms.state_bytes_max, cluster);
    let engine = engine.map_err(|why| Error::failed("start the engine", why))?;
    tell!("tallyflow: process {process} of {processes} follows, {} workers", met.terms.workers);
    let (ours, beating) = (hosts.clone(), state.clone());
    start_thread("pulse".into(), move || {
        let why = beat(pulse);
        if !beating.is_stopping() {
            // The workers may wait for ever, and the main thread for them.
            report!("tallyflow: {}", lost(&ours, 0, &why));
            exit(1);
        }
    })?;
    let leaving = writer.clone();
    start_thread("signals".into(), move || leave(&leaving))?;
    let (answering, known) = (writer.clone(), roster.clone());
    let forward = std::thread::Builder::new().name("answers".into());
    let forward = forward.spawn(move || hand_back(&outputs, &answering, &known));
    let forward = forward.map_err(|why| Error::failed("start a thread", why))?;
    let holding = Held(Holding::start(parts, met.terms.workers, (process, processes))?);
    let catalogue = Catalogue::default();
    let mut follower = Follower { engine: &engine, catalogue, roster: &roster, holding: &holding.0 };
    loop {
        let bytes = receive(&mut link).map_err(|_| gone("its connection was closed"))?;
        match Told::of(&bytes).and_then(|told| follower.obey(told)) {
            Ok(Next::Order) => {}
            Ok(Next::End) => break,
            Err(why) => {
                say(&writer, &Answer::Failed(why.clone()));
                return Err(Error::Failed(format!("process {process} cannot follow: {why}")));
            }
        }
    }
    engine.shutdown();
    if state.is_broken() {
        return Err(Error::Failed(format!("process {process} could not complete what it was told")));
    }
    _ = forward.join();
    say(&writer, &Answer::Bye);
    // Nobody shows any more that he lives.
    _ = last.shutdown(std::net::Shutdown::Both);
    tell!("tallyflow: stopped");
    Ok(())
}

/// Ends with the thread that follows.
struct Held(Arc<Holding>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.end();
    }
}

enum Next {
    Order,
    End,
}

struct Follower<'e> {
    engine: &'e Engine,
    catalogue: Catalogue,
    roster: &'e Mutex<Roster>,
    holding: &'e Holding,
}

impl Follower<'_> {
    fn obey(&mut self, told: Told) -> Result<Next, String> {
        let order = match told {
            Told::Note(text) => {
                let change = Change::of(&text).ok_or_else(|| format!("{text:?} is no change"))?;
                self.catalogue.again(&change).map_err(|why| why.to_string())?;
                return Ok(Next::Order);
            }
            Told::CreateTable(name) => match self.catalogue.get(&name) {
                Some(Declared::Table(mapping)) => {
                    if !is_system(&name) {
                        self.holding.table_comes(mapping);
                    }
                    Order::CreateTable(mapping.table.clone())
                }
                _ => return Err(format!("there is no table {name:?}")),
            },
            Told::DropTable(name) => {
                self.holding.table_goes(&name);
                Order::DropTable(name.into())
            }
            Told::CreateView(number, name, plan) => {
                let (view, own) = view(&self.catalogue, &name)?;
                same(&view, &own, plan)?;
                self.roster().add_as(number, &view, Version::Serving);
                Order::CreateView(view, own)
            }
            Told::DropView(name) => {
                self.roster().remove(&name, Version::Serving);
                Order::DropView(name.into())
            }
            Told::CreateBeside(number, name, sql, plan) => {
                let mut next = self.catalogue.clone();
                next.declare(&sql).map_err(|why| why.to_string())?;
                let (view, own) = view(&next, &name)?;
                same(&view, &own, plan)?;
                self.roster().add_as(number, &view, Version::Beside);
                Order::CreateBeside(view, own)
            }
            Told::ReplaceView(name) => {
                self.roster().replace(&name);
                Order::ReplaceView(name.into())
            }
            Told::DropBeside(name) => {
                self.roster().remove(&name, Version::Beside);
                Order::DropBeside(name.into())
            }
            Told::Count(piece, dropped) => {
                self.holding.count(piece, &dropped)?;
                return Ok(Next::Order);
            }
            Told::Tick(time, shares) => {
                let mut all = self.engine.split(time, together(self.holding.take_rows()));
                all.iter_mut().zip(shares).for_each(|(own, share)| own.extend(share));
                Order::Tick(time, all)
            }
            Told::Shutdown => return Ok(Next::End),
        };
        self.engine.obey(order);
        Ok(Next::Order)
    }

    fn roster(&self) -> std::sync::MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a name stands for among the views of the engine: a materialized view, or the rows of a table.
fn view(catalogue: &Catalogue, name: &str) -> Result<(Arc<View>, Arc<Plan>), String> {
    match catalogue.get(name) {
        Some(Declared::MaterializedView(compiled)) => Ok((compiled.view.clone(), compiled.plan.clone())),
        Some(Declared::Table(mapping)) => Ok(shown(&mapping.table)),
        Some(Declared::View { .. }) | None => Err(format!("there is no view {name:?} that is kept")),
    }
}

fn same(view: &View, plan: &Plan, wanted: u64) -> Result<(), String> {
    match mark(plan) == wanted {
        true => Ok(()),
        false => Err(format!("it has another plan of view {:?} than process 0: this is a bug", view.name)),
    }
}

fn say(writer: &Mutex<TcpStream>, answer: &Answer) {
    if let Ok(bytes) = answer.bytes() {
        // A leader that is gone is noticed where orders are read.
        _ = send(&mut *writer.lock().unwrap_or_else(PoisonError::into_inner), &bytes);
    }
}

/// Hands back what the workers made.
fn hand_back(outputs: &Receiver<Output>, writer: &Mutex<TcpStream>, roster: &Mutex<Roster>) {
    for Output { worker, told, seals, failure } in outputs {
        let roster = roster.lock().unwrap_or_else(PoisonError::into_inner);
        let seals = seals.into_iter().filter_map(|seal| {
            let view = roster.number(&seal.view)?;
            Some(Share { view, upper: seal.upper, changes: seal.changes, errs: seal.errs })
        });
        let seals = seals.collect();
        drop(roster);
        let answer = Answer::Output { worker: worker as u64, told, seals, failure };
        match answer.bytes() {
            Ok(bytes) => _ = send(&mut *writer.lock().unwrap_or_else(PoisonError::into_inner), &bytes),
            Err(why) => say(writer, &Answer::Failed(why)),
        }
    }
}

/// A signal here asks the leader to stop all.
fn leave(writer: &Mutex<TcpStream>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Without it a signal ends the process at once, and the leader sees that.
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let interrupt = signal(SignalKind::interrupt());
        let terminate = signal(SignalKind::terminate());
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else { return };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        say(writer, &Answer::Leave);
        tokio::time::sleep(WAIT_STOP).await;
        report!("tallyflow: process 0 did not stop within {} s", WAIT_STOP.as_secs());
        exit(1);
    });
}
