//! `Model`: a store outside as it should be, in memory: what the conformance suite holds real stores against, and what simulations write to.
//!
//! Handles of one [`Store`] are writers of it: the one that opened it last may write, the others are fenced.
use crate::delivery::{Delivery, Part, Stand, definition};
use crate::{Content, Held, Sink, SinkError};
use dataflows::{Position, Time, View};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What goes wrong at the next call of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The store cannot be reached: nothing is done.
    Before,
    /// It was done, and the answer is lost.
    After,
    /// Some keys were changed, and then it was broken off, as in a store that is no transaction.
    Within,
    /// The store refuses for good.
    Fatal,
}

/// Rows as JSON and how often each is there, by key.
pub type Rows = BTreeMap<Box<[u8]>, (String, i64)>;

/// A bug that a simulation plants in the writers of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// The time is kept in an act of its own after the rows.
    TimeAfterRows,
    /// A writer that was replaced writes on.
    NoFence,
    /// What landed and was not answered is sent once more.
    AppliedTwice,
    /// A whole view is removed and written in two acts.
    WholeInPieces,
    /// Rows that go stay.
    DeletesLost,
}

/// One change that followers of a store read: the delivery's time, the view, the key.
pub type Change = (Time, Arc<str>, Box<[u8]>);

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The pipeline whose rows it holds.
    pub pipeline: String,
    /// The time its rows are true for.
    pub time: Option<Time>,
    /// What was read of the log up to then.
    pub positions: Vec<Position>,
    /// Up to which time some rows may be true already; readers wait then.
    pub begun: Option<Time>,
    /// Each view's definition, and its rows as JSON with how often each is there, by key.
    pub views: BTreeMap<Arc<str>, (u64, Rows)>,
    /// What its followers read, in order; only where somebody asked for it.
    pub changes: Vec<Change>,
}

#[derive(Debug, Default)]
struct Inner {
    epoch: u64,
    state: State,
    faults: VecDeque<Fault>,
    deliveries: Vec<Record>,
    slip: Option<Slip>,
    follows: bool,
}

/// What a delivery was, for those who count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it began.
    pub from: Option<Time>,
    /// Where it ended.
    pub to: Time,
    /// Each view it changed, and how many keys it named; none: all rows.
    pub parts: Vec<(Arc<str>, Option<usize>)>,
    /// The views it dropped.
    pub dropped: Vec<Arc<str>>,
}

/// A store. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Store(Arc<Mutex<Inner>>);

impl Store {
    /// A writer of it, which writes nothing before it opened it.
    pub fn writer(&self, pipeline: &str) -> Model {
        Model { store: self.clone(), pipeline: pipeline.to_owned(), epoch: None }
    }

    /// What it holds.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Puts an earlier (or any other) state in place of what it holds: a restore, a failover.
    pub fn restore(&self, state: State) {
        self.lock().state = state;
    }

    /// Changes what it holds behind its writers' backs.
    pub fn edit(&self, edit: impl FnOnce(&mut State)) {
        edit(&mut self.lock().state);
    }

    /// What goes wrong at the next calls.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }

    /// Keeps the changes too, and plants a bug, if there is one.
    pub fn follow(&self, slip: Option<Slip>) {
        let mut inner = self.lock();
        (inner.slip, inner.follows) = (slip, true);
    }

    /// How often it was taken over.
    pub fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// What was applied since this was asked last.
    pub fn take_deliveries(&self) -> Vec<Record> {
        std::mem::take(&mut self.lock().deliveries)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whole states take each other's place.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A writer of a [`Store`].
#[derive(Debug)]
pub struct Model {
    store: Store,
    pipeline: String,
    epoch: Option<u64>,
}

/// How much of a delivery is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    All,
    Part,
}

impl Model {
    fn faulty<T>(
        &mut self,
        whole: bool,
        act: impl FnOnce(&mut Self, Extent) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let fault = self.store.lock().faults.pop_front().unwrap_or(Fault::None);
        let slip = self.store.lock().slip;
        match fault {
            Fault::None => act(self, Extent::All),
            Fault::Before => {
                if slip == Some(Slip::WholeInPieces) {
                    let mut inner = self.store.lock();
                    let held = inner.state.views.values_mut().next();
                    held.filter(|_| whole).into_iter().for_each(|(_, rows)| rows.clear());
                }
                self.epoch = None;
                Err(SinkError::Retry("the store cannot be reached".into()))
            }
            Fault::After => {
                let before = self.store.state();
                let done = act(self, Extent::All);
                let mut inner = self.store.lock();
                match slip {
                    Some(Slip::TimeAfterRows) => {
                        (inner.state.time, inner.state.positions) = (before.time, before.positions);
                    }
                    Some(Slip::AppliedTwice) => {
                        let again = inner.state.changes[before.changes.len()..].to_vec();
                        inner.state.changes.extend(again);
                    }
                    _ => {}
                }
                drop(inner);
                self.epoch = None;
                done.and_then(|_| Err(SinkError::Retry("the answer was lost".into())))
            }
            Fault::Within => {
                let done = act(self, Extent::Part);
                self.epoch = None;
                done.and_then(|_| Err(SinkError::Retry("it was broken off".into())))
            }
            Fault::Fatal => Err(SinkError::Fatal("the store refuses".into())),
        }
    }
}

/// Puts what stands under keys into rows; followers are told of what differs.
fn change<'a>(
    part: &Part,
    stands: impl Iterator<Item = Stand<'a>>,
    rows: &mut Rows,
    slip: Option<Slip>,
    to: Time,
    mut follows: Option<&mut Vec<Change>>,
) {
    for stand in stands {
        let row = stand.row.map(|row| {
            let mut text = String::new();
            part.kept().shape().write_json(row, &mut text);
            (text, stand.count)
        });
        if let Some(changes) = follows.as_mut().filter(|_| rows.get(stand.key) != row.as_ref()) {
            changes.push((to, part.view().name.clone(), stand.key.into()));
        }
        match row {
            Some(row) => _ = rows.insert(stand.key.into(), row),
            None if slip == Some(Slip::DeletesLost) => {}
            None => _ = rows.remove(stand.key),
        }
    }
}

impl Sink for Model {
    fn open(&mut self) -> Result<Held, SinkError> {
        self.faulty(false, |model, _| {
            let mut inner = model.store.lock();
            inner.epoch += 1;
            model.epoch = Some(inner.epoch);
            if inner.state.pipeline != model.pipeline {
                inner.state.pipeline = model.pipeline.clone();
                inner.state.time = None;
                inner.state.positions.clear();
                inner.state.begun = None;
                inner.state.views.values_mut().for_each(|(definition, _)| *definition = 0);
            }
            let views = inner.state.views.iter().map(|(name, (definition, _))| (name.clone(), *definition));
            let views = views.collect();
            let (time, positions, begun) =
                (inner.state.time, inner.state.positions.clone(), inner.state.begun);
            Ok(Held { time, positions, begun, views })
        })
    }

    fn apply(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        let whole = delivery.parts.iter().any(Part::is_whole);
        self.faulty(whole, |model, extent| {
            let mut inner = model.store.lock();
            match model.epoch {
                None => return Err(SinkError::Retry("it was not opened".into())),
                Some(epoch) if epoch < inner.epoch && inner.slip != Some(Slip::NoFence) => {
                    return Err(SinkError::Fenced("another writer has taken the store over".into()));
                }
                Some(_) => {}
            }
            let mut state = inner.state.clone();
            // Such as one that was put back to before it was first opened.
            if state.pipeline != model.pipeline {
                return Err(SinkError::Moved(format!("the store holds nothing of {:?}", model.pipeline)));
            }
            if state.time != delivery.from {
                let (holds, from) = (state.time, delivery.from);
                return Err(SinkError::Moved(format!("the store holds time {holds:?}, not {from:?}")));
            }
            if let Some(begun) = state.begun.filter(|begun| *begun > delivery.to) {
                let to = delivery.to;
                return Err(SinkError::Moved(format!("a delivery up to {begun} was begun, not up to {to}")));
            }
            if extent == Extent::Part {
                state.begun = Some(delivery.to);
                for part in delivery.parts.iter().filter(|part| !part.is_whole()) {
                    let name = &part.view().name;
                    let held = state.views.get_mut(name).filter(|held| held.0 == definition(part.view()));
                    let Some((_, rows)) = held else { continue };
                    let keys = part.keys().unwrap_or(0).div_ceil(2);
                    let follows = inner.follows.then_some(&mut state.changes);
                    change(part, part.stands().take(keys), rows, inner.slip, delivery.to, follows);
                }
                inner.state = state;
                return Ok(());
            }
            (state.time, state.positions) = (Some(delivery.to), delivery.positions.clone());
            state.begun = None;
            delivery.dropped.iter().for_each(|name| _ = state.views.remove(name));
            for part in &delivery.parts {
                let definition = definition(part.view());
                let rows = match state.views.entry(part.view().name.clone()) {
                    entry if part.is_whole() => entry.insert_entry((definition, BTreeMap::new())).into_mut(),
                    std::collections::btree_map::Entry::Occupied(held) if held.get().0 == definition => {
                        held.into_mut()
                    }
                    _ => return Err(SinkError::Moved(format!("{:?} is not held", part.view().name))),
                };
                let follows = inner.follows.then_some(&mut state.changes);
                change(part, part.stands(), &mut rows.1, inner.slip, delivery.to, follows);
            }
            let parts = delivery.parts.iter().map(|part| (part.view().name.clone(), part.keys()));
            let (from, to, dropped) = (delivery.from, delivery.to, delivery.dropped.clone());
            let record = Record { from, to, parts: parts.collect(), dropped };
            inner.deliveries.push(record);
            inner.state = state;
            Ok(())
        })
    }

    fn read(&mut self, view: &Arc<View>) -> Result<Content, SinkError> {
        let inner = self.store.lock();
        let Some((_, rows)) = inner.state.views.get(&view.name) else { return Ok(Content::default()) };
        let mut rows: Vec<_> = rows.values().cloned().collect();
        rows.sort();
        Ok(Content { time: inner.state.time, rows })
    }
}
