//! `Outlet`: what one store outside is to be told next. It has no thread and no clock: who drives it does the [`Act`] it names and
//! says how that ended, so that a simulator drives it as well as a thread does.
//!
//! ```text
//! offer ---> waiting keys ---+
//!                            v
//! Open -> opened(held) -> Apply(draft) -> applied -> ..        Retry, Moved: Wait, then Open again
//! ```
//! What waits costs keys: the rows are looked up when a delivery is made. Beyond a limit a view forgets its keys and is sent whole.
use super::draft::Draft;
use super::keys::Keys;
use super::offer::Offer;
use crate::simulate::plant::{Bug, planted};
use dataflows::{Position, Time};
use sinks::delivery::definition;
use sinks::memory::Read;
use sinks::memory::kept::Kept;
use sinks::{Held, SinkError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The bounds of an outlet.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory of the keys that wait; beyond it views are sent whole.
    pub keys_bytes: usize,
    /// How far, in engine time, the store may stay behind while nothing of its views changes.
    pub quiet_ms: Time,
    /// The bounds of the pause after a failure: it doubles from the first to the second, of which a random share is waited.
    pub pause_ms: (u64, u64),
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { keys_bytes: 64 << 20, quiet_ms: 1_000, pause_ms: (100, 30_000) }
    }
}

/// What is to be done next.
pub enum Act {
    /// `Sink::open`, and then [`Outlet::opened`].
    Open,
    /// `Sink::apply` of this, and then [`Outlet::applied`].
    Apply(Draft),
    /// Nothing for so many milliseconds, and then [`Outlet::waited`].
    Wait(u64),
    /// Nothing before the next offer.
    Idle,
    /// Nothing ever.
    Stop,
}

/// What is known of the store: its time, and each of its views with its definition and, where its rows are those that the
/// engine's view has at that time, the engine's view.
#[derive(Clone, Debug, Default)]
struct Known {
    time: Option<Time>,
    positions: Vec<Position>,
    views: BTreeMap<Arc<str>, (u64, Option<u64>)>,
    /// Whether the engine has come to the store's time, or passed it.
    aligned: bool,
    /// Up to which time the store may have rows already, from a delivery that an earlier life began.
    begun: Option<Time>,
}

/// A delivery under way, or one whose end is not known.
struct Sent {
    after: Known,
    keys: BTreeMap<Arc<str>, Keys>,
    whole: BTreeSet<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Opening,
    Ready,
    Sending,
    Pause(u64),
    Stopped(String),
}

/// How often things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Deliveries that the store keeps.
    pub deliveries: u64,
    /// Views sent whole.
    pub whole: u64,
    /// Failures after which it was tried again.
    pub retries: u64,
    /// Deliveries whose end was not known, and that had landed.
    pub landed: u64,
    /// Deliveries whose end was not known, and that had not.
    pub lost: u64,
    /// How often the store was elsewhere than it had been left.
    pub moved: u64,
    /// Views whose keys were forgotten because too many waited.
    pub forgotten: u64,
}

/// The state of one sink.
pub struct Outlet {
    chosen: Option<BTreeSet<Arc<str>>>,
    limits: Limits,
    newest: Option<Offer>,
    definitions: BTreeMap<Arc<str>, (u64, u64)>,
    known: Option<Known>,
    waiting: BTreeMap<Arc<str>, Keys>,
    distrusted: BTreeSet<Arc<str>>,
    sent: Option<Sent>,
    phase: Phase,
    failures: u32,
    last_error: Option<String>,
    was_opened: bool,
    draining: bool,
    random: u64,
    figures: Figures,
}

impl Outlet {
    /// One that was not opened. It keeps the chosen views; none chosen: all. The seed decides its pauses.
    pub fn new(chosen: Option<BTreeSet<Arc<str>>>, limits: Limits, seed: u64) -> Outlet {
        Outlet {
            chosen,
            limits,
            newest: None,
            definitions: BTreeMap::new(),
            known: None,
            waiting: BTreeMap::new(),
            distrusted: BTreeSet::new(),
            sent: None,
            phase: Phase::Open,
            failures: 0,
            last_error: None,
            was_opened: false,
            draining: false,
            random: seed | 1,
            figures: Figures::default(),
        }
    }

    /// Whether changed keys of a view are of use to it.
    pub fn gathers(&self, view: &str) -> bool {
        self.keeps(view) && self.known.is_some() && !matches!(self.phase, Phase::Stopped(_))
    }

    /// Whether a view is one of those it keeps.
    pub fn keeps(&self, view: &str) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| chosen.contains(view))
    }

    /// A tick was published. Times increase.
    pub fn offer(&mut self, offer: &Offer) {
        let Some(time) = offer.read.time().filter(|_| !matches!(self.phase, Phase::Stopped(_))) else {
            return;
        };
        match self.known.as_ref().map(|known| (known.aligned, known.time)) {
            Some((true, _)) => {
                self.gather(offer);
                self.pass(offer, time);
            }
            Some((false, at)) if at.is_some_and(|at| time < at) => {}
            Some((false, _)) => self.align(&offer.read),
            None => {}
        }
        let (read, building) = (offer.read.clone(), offer.building.clone());
        let (restored, grouped) = (offer.restored, offer.grouped);
        self.newest = Some(Offer { read, changed: vec![], building, restored, grouped });
    }

    /// The engine has come to the store's time, or is beyond it. Rows are the same where time, positions and definitions are.
    fn align(&mut self, read: &Read) {
        let Some(mut known) = self.known.take() else { return };
        known.aligned = true;
        let is_same = known.positions.is_empty() || known.positions == read.positions();
        let is_there = known.time == read.time() || planted(Bug::FrontierUnchecked);
        if known.time.is_some() && is_there && (is_same || planted(Bug::FrontierUnchecked)) {
            for (name, (held, incarnation)) in &mut known.views {
                let kept = read.view(name).filter(|kept| kept.since().is_some());
                *incarnation =
                    kept.filter(|kept| self.definition(kept) == *held).map(|kept| kept.incarnation());
            }
        }
        self.known = Some(known);
    }

    /// On the way to the time of a delivery that was broken off, each change must be told. Else nothing of the store is relied upon.
    fn pass(&mut self, offer: &Offer, time: Time) {
        let Some(known) = self.known.as_mut().filter(|known| known.begun.is_some()) else { return };
        if offer.grouped && !planted(Bug::BegunForgotten) {
            self.distrusted.extend(known.views.keys().cloned());
            known.begun = None;
        }
        known.begun = known.begun.filter(|begun| *begun > time);
    }

    fn gather(&mut self, offer: &Offer) {
        for (name, keys) in &offer.changed {
            let Some(kept) = offer.read.view(name) else { continue };
            let known = match &self.sent {
                Some(sent) => sent.after.views.get(name),
                None => self.known.as_ref().and_then(|known| known.views.get(name)),
            };
            let goes_on = known.is_some_and(|(_, incarnation)| *incarnation == Some(kept.incarnation()));
            if goes_on && !self.distrusted.contains(name) {
                self.waiting.entry(name.clone()).or_default().push(keys.clone());
            }
        }
        while self.waiting_bytes() > self.limits.keys_bytes {
            let Some(largest) = self.waiting.iter().max_by_key(|(_, keys)| keys.bytes()) else { return };
            self.forget(&largest.0.clone());
        }
    }

    /// Forgets the keys of a view, which is then sent whole.
    fn forget(&mut self, name: &Arc<str>) {
        self.waiting.remove(name);
        self.figures.forgotten += 1;
        self.distrusted.insert(name.clone());
    }

    /// Has views sent whole, whatever is known of them; none named: all.
    pub fn distrust(&mut self, names: Option<&[String]>) {
        let newest = self.newest.iter().flat_map(|newest| newest.read.views());
        let wanted: Vec<Arc<str>> = match names {
            Some(names) => names.iter().map(|name| name.as_str().into()).collect(),
            None => newest.map(|kept| kept.shape().view().name.clone()).collect(),
        };
        let wanted: Vec<Arc<str>> = wanted.into_iter().filter(|name| self.keeps(name)).collect();
        self.distrusted.extend(wanted);
    }

    /// What is to be done next.
    pub fn act(&mut self) -> Act {
        match &self.phase {
            Phase::Open => {
                self.phase = Phase::Opening;
                Act::Open
            }
            Phase::Ready => match self.draft() {
                Some(draft) => {
                    self.phase = Phase::Sending;
                    Act::Apply(draft)
                }
                None => Act::Idle,
            },
            Phase::Pause(pause) => Act::Wait(*pause),
            Phase::Opening | Phase::Sending => Act::Idle,
            Phase::Stopped(_) => Act::Stop,
        }
    }

    /// What the store does not have of the newest tick; none if there is nothing, or it is not the time for it.
    fn draft(&mut self) -> Option<Draft> {
        let newest = self.newest.clone().filter(|newest| newest.restored)?;
        let known = self.known.clone().filter(|known| known.aligned)?;
        let to = newest.read.time().filter(|to| known.time.is_none_or(|held| held < *to))?;
        let (mut parts, mut after) = (vec![], BTreeMap::new());
        let (mut keys, mut whole) = (BTreeMap::new(), BTreeSet::new());
        for kept in newest.read.views().filter(|kept| kept.since().is_some()) {
            let view = kept.shape().view().clone();
            // Tables that readers look at are no views.
            if !self.keeps(&view.name) || view.sql.is_empty() {
                continue;
            }
            let (definition, incarnation) = (self.definition(kept), kept.incarnation());
            after.insert(view.name.clone(), (definition, Some(incarnation)));
            let held = known.views.get(&view.name) == Some(&(definition, Some(incarnation)));
            if !held || self.distrusted.contains(&view.name) {
                whole.insert(view.name.clone());
                parts.push((kept.clone(), None));
            } else if let Some(changed) = self.waiting.get(&view.name).filter(|keys| !keys.is_empty()) {
                keys.insert(view.name.clone(), changed.clone());
                parts.push((kept.clone(), Some(changed.clone())));
            }
        }
        let gone = known.views.iter().filter(|(name, _)| !after.contains_key(*name));
        let mut dropped = vec![];
        for (name, (held, _)) in gone {
            let building = newest.building.iter().find(|view| view.name == *name && self.keeps(name));
            if building.is_some_and(|view| definition(view) == *held) {
                // Its rows come: until then the store's time must not pass those it has.
                return None;
            }
            dropped.push(name.clone());
        }
        let behind = known.time.is_none_or(|held| to - held >= self.limits.quiet_ms);
        if parts.is_empty() && dropped.is_empty() && !behind && !self.draining {
            return None;
        }
        self.waiting.clear();
        self.distrusted.clear();
        let positions = newest.read.positions().to_vec();
        let after =
            Known { time: Some(to), positions: positions.clone(), views: after, aligned: true, begun: None };
        self.sent = Some(Sent { after, keys, whole });
        Some(Draft { from: known.time, to, positions, parts, dropped })
    }

    fn definition(&mut self, kept: &Kept) -> u64 {
        let view = kept.shape().view();
        let known = self.definitions.get(&view.name).filter(|(of, _)| *of == kept.incarnation());
        if let Some((_, found)) = known {
            return *found;
        }
        let found = definition(view);
        self.definitions.insert(view.name.clone(), (kept.incarnation(), found));
        found
    }

    /// The pause is over.
    pub fn waited(&mut self) {
        if let Phase::Pause(_) = self.phase {
            self.phase = Phase::Open;
        }
    }

    /// How [`Act::Open`] ended.
    pub fn opened(&mut self, result: Result<Held, SinkError>) {
        match result {
            Ok(held) => self.settle(held),
            Err(why) => self.failed(why),
        }
        self.was_opened = true;
    }

    /// Compares what the store says with what is known of it.
    fn settle(&mut self, held: Held) {
        self.phase = Phase::Ready;
        let sent = self.sent.take();
        let known = self.known.take();
        let is = |known: &Known| known.aligned && known.time == held.time;
        match (sent, known) {
            (Some(sent), Some(_)) if is(&sent.after) => {
                self.figures.landed += 1;
                self.known = Some(sent.after);
            }
            (sent, Some(known)) if is(&known) => {
                if let Some(sent) = sent {
                    self.figures.lost += 1;
                    for (name, keys) in sent.keys {
                        self.waiting.entry(name).or_default().merge(keys);
                    }
                    self.distrusted.extend(sent.whole);
                }
                self.known = Some(known);
            }
            (_, known) => {
                self.figures.moved += u64::from(known.is_some());
                self.waiting.clear();
                let views = held.views.iter().map(|(name, definition)| (name.clone(), (*definition, None)));
                let (time, positions, begun) = (held.time, held.positions.clone(), held.begun);
                self.known = Some(Known { time, positions, views: views.collect(), aligned: false, begun });
                let reached = self.newest.as_ref().map(|newest| newest.read.clone());
                if let Some(read) = reached.filter(|read| read.time() >= held.time) {
                    self.align(&read);
                }
            }
        }
        let Some(known) = &mut self.known else { return };
        // What the store has lost, or never had, it gets whole; what it has too much of is dropped.
        for (name, definition) in &held.views {
            known.views.entry(name.clone()).or_insert((*definition, None));
        }
        known.views.retain(|name, _| held.views.iter().any(|(held, _)| held == name));
        for (name, definition) in &held.views {
            if let Some((of, incarnation)) = known.views.get_mut(name)
                && *of != *definition
            {
                (*of, *incarnation) = (*definition, None);
            }
        }
    }

    /// How [`Act::Apply`] ended.
    pub fn applied(&mut self, result: Result<(), SinkError>) {
        match result {
            Ok(()) => {
                if let Some(sent) = self.sent.take() {
                    self.figures.deliveries += 1;
                    self.figures.whole += sent.whole.len() as u64;
                    self.known = Some(sent.after);
                }
                (self.failures, self.last_error, self.phase) = (0, None, Phase::Ready);
            }
            Err(why) => self.failed(why),
        }
    }

    fn failed(&mut self, why: SinkError) {
        self.last_error = Some(why.to_string());
        match why {
            SinkError::Retry(_) => self.pause(),
            SinkError::Moved(_) => {
                // What it was told of cannot be built upon, even where the store says the same time as before.
                if let Some(sent) = &mut self.sent {
                    sent.whole.extend(sent.keys.keys().cloned());
                }
                self.pause();
            }
            SinkError::Fenced(why) | SinkError::Fatal(why) => self.stop(why),
        }
    }

    /// Goes on no more.
    pub fn stop(&mut self, why: String) {
        self.last_error = Some(why.clone());
        self.phase = Phase::Stopped(why);
        (self.newest, self.known, self.sent) = (None, None, None);
        self.waiting.clear();
    }

    fn pause(&mut self) {
        let (first, last) = self.limits.pause_ms;
        let bound = first.saturating_mul(1 << self.failures.min(20)).min(last);
        self.failures += 1;
        self.figures.retries += 1;
        // xorshift64*: all that is asked of it is that several sinks do not try again in step.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let share = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        self.phase = Phase::Pause((bound * share) >> 32);
    }

    /// From here on the store is told of every tick, also of those that change nothing of its views.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether the store has all that was offered and may be delivered.
    pub fn is_level(&self) -> bool {
        let newest = self.newest.as_ref().filter(|newest| newest.restored).and_then(|n| n.read.time());
        match self.phase {
            Phase::Ready => newest.is_none_or(|newest| self.time().is_some_and(|time| time >= newest)),
            Phase::Stopped(_) => true,
            Phase::Open | Phase::Opening | Phase::Sending | Phase::Pause(_) => false,
        }
    }

    /// Whether the last that was tried went wrong.
    pub fn is_failing(&self) -> bool {
        self.failures > 0 || matches!(self.phase, Phase::Stopped(_))
    }

    /// The time that the store is known to hold.
    pub fn time(&self) -> Option<Time> {
        self.known.as_ref().and_then(|known| known.time)
    }

    /// From which time, that of the store, up to which one each tick must be told by itself; none where a store holds one time alone.
    pub fn begun(&self) -> Option<(Time, Time)> {
        let known = self.known.as_ref().filter(|_| !planted(Bug::BegunForgotten))?;
        known.time.zip(known.begun)
    }

    /// Whether opening it was tried, however that ended.
    pub fn was_opened(&self) -> bool {
        self.was_opened
    }

    /// How often things happened.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// Keys that wait.
    pub fn waiting_keys(&self) -> usize {
        self.waiting.values().map(Keys::len).sum()
    }

    /// Memory of the keys that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting.values().map(Keys::bytes).sum()
    }

    /// What it is doing, in a word, and what went wrong last.
    pub fn state(&self) -> (&'static str, Option<&str>) {
        let word = match &self.phase {
            Phase::Open | Phase::Opening if self.failures == 0 => "opening",
            Phase::Open | Phase::Opening | Phase::Pause(_) => "retrying",
            Phase::Ready | Phase::Sending if self.known.as_ref().is_some_and(|known| !known.aligned) => {
                "restoring"
            }
            Phase::Ready | Phase::Sending => "running",
            Phase::Stopped(_) => "stopped",
        };
        (word, self.last_error.as_deref())
    }
}
