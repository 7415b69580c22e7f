//! What must be true after each step, whatever went wrong.
use super::life::Life;
use super::truth::Rows;
use super::world::World;
use sinks::delivery::Part;
use sinks::memory::Read;
use std::collections::{BTreeMap, BTreeSet};

const VIEWS: [&str; 4] = ["totals", "big", "paid", "rejects"];

impl World {
    /// I3: what was bound is bound again; only a tail that nothing was computed from may be gone.
    pub(super) fn check_bindings(&mut self, life: &Life) -> Result<(), String> {
        for (now, before) in life.bound.iter().zip(self.truth.bindings()) {
            if now != before {
                return Err(format!("I3: a binding was rewritten: {before:?} is {now:?}"));
            }
        }
        if life.bound.len() > self.truth.bindings().count() {
            return Err(format!("I3: a tick is bound that never was: {:?}", life.bound.last()));
        }
        let last = life.bound.last().map_or(0, |binding| binding.moment.time);
        self.counters.add("bindings lost", u64::from(last < self.truth.last()));
        self.truth.forget_after(last);
        self.lengths.retain(|time, _| *time <= last);
        Ok(())
    }

    /// I1 for readers.
    pub(super) fn check_readers(&self, read: &Read) -> Result<(), String> {
        let Some(time) = read.time() else { return Ok(()) };
        let Some(state) = self.truth.at(time) else {
            return Err(format!("I1: readers are at time {time}, which is not bound"));
        };
        for view in VIEWS {
            let Some(kept) = read.view(view) else { return Err(format!("I1: readers have no view {view}")) };
            let mut rows = Rows::new();
            for stand in Part::whole(kept.clone()).stands() {
                let mut row = String::new();
                kept.shape().write_json(stand.row.unwrap_or_default(), &mut row);
                *rows.entry(row).or_default() += stand.count;
            }
            same(&format!("readers, view {view}, time {time}"), &state.rows(view), &rows)?;
        }
        Ok(())
    }

    /// I1, I2, I4 and I5 for stores.
    pub(super) fn check_stores(&mut self) -> Result<(), String> {
        for outside in &mut self.stores {
            let (held, name) = (outside.store.state(), outside.name);
            if held.time < outside.time {
                return Err(format!("I2: store {name} goes back from {:?} to {:?}", outside.time, held.time));
            }
            outside.time = held.time;
            let distinct: BTreeSet<_> = held.changes.iter().collect();
            if distinct.len() < held.changes.len() {
                return Err(format!("I4: store {name} has told its followers of a change twice"));
            }
            let Some(time) = held.time else {
                if held.views.values().any(|(_, rows)| !rows.is_empty()) {
                    return Err(format!("I1: store {name} has rows and no time"));
                }
                continue;
            };
            let Some(state) = self.truth.at(time) else {
                return Err(format!("I1: store {name} is at time {time}, which is not bound"));
            };
            if held.positions != state.positions() {
                let bound = state.positions();
                return Err(format!("I1: store {name} at {time}: {:?}, bound {bound:?}", held.positions));
            }
            if held.begun.is_some() {
                // Readers wait.
                continue;
            }
            for view in VIEWS {
                let chosen = outside.views.as_ref().is_none_or(|views| views.iter().any(|one| one == view));
                let mut rows = Rows::new();
                let stored = held.views.get(view).map(|(_, rows)| rows.values()).into_iter().flatten();
                stored.for_each(|(row, count)| *rows.entry(row.clone()).or_default() += count);
                let expected = if chosen { state.rows(view) } else { Rows::new() };
                same(&format!("store {name}, view {view}, time {time}"), &expected, &rows)?;
            }
        }
        Ok(())
    }

    /// I7: every record is accounted for, once.
    pub(super) fn check_counts(&self, life: &Life) -> Result<(), String> {
        let Some(state) = self.truth.at(self.truth.last()) else { return Ok(()) };
        let intake = life.shared.intake.lock().expect("no thread panics with the intake");
        let counts = intake.counts();
        let rejected: BTreeMap<&str, u64> =
            counts.quarantined.iter().map(|(rule, count)| (&**rule, *count)).collect();
        let found = (counts.records, counts.accepted, counts.duplicates, rejected);
        let expected = (state.records, state.accepted, state.duplicates, state.rejected.clone());
        match found == expected {
            true => Ok(()),
            false => Err(format!(
                "I7: at time {}: records, accepted, duplicates, rejected are {found:?} and must be {expected:?}",
                self.truth.last()
            )),
        }
    }
}

fn same(what: &str, expected: &Rows, found: &Rows) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let missing: Vec<_> = expected.iter().filter(|(row, n)| found.get(*row) != Some(n)).collect();
    let extra: Vec<_> = found.iter().filter(|(row, n)| expected.get(*row) != Some(n)).collect();
    Err(format!("I1: {what}: missing {missing:?}, too much {extra:?}"))
}
