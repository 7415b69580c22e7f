//! `Truth`: what every view holds at every time that is bound, computed in the plainest way from the bindings and the log.
use super::events::{Deed, Event, read};
use super::log::SimLog;
use crate::progress::Binding;
use dataflows::{Position, Time};
use std::collections::BTreeMap;

/// Rows as JSON, and how often each is there.
pub type Rows = BTreeMap<String, i64>;

/// Everything at one time.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The tick.
    pub binding: Option<Binding>,
    /// Records read.
    pub records: u64,
    /// Events that count.
    pub accepted: u64,
    /// Events that count already.
    pub duplicates: u64,
    /// Records that do not count, by rule.
    pub rejected: BTreeMap<&'static str, u64>,
    seen: BTreeMap<u64, Event>,
    orders: BTreeMap<u64, (u64, Option<(String, i64)>)>,
    paid: Rows,
}

/// All times.
#[derive(Default)]
pub struct Truth {
    states: BTreeMap<Time, State>,
}

impl Truth {
    /// The state at a time that is bound.
    pub fn at(&self, time: Time) -> Option<&State> {
        self.states.get(&time)
    }

    /// The bindings, oldest first.
    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        self.states.values().filter_map(|state| state.binding.as_ref())
    }

    /// The newest time.
    pub fn last(&self) -> Time {
        self.states.last_key_value().map_or(0, |(time, _)| *time)
    }

    /// A tick was bound.
    pub fn bind(&mut self, binding: Binding, log: &SimLog) {
        let mut state = self.states.last_key_value().map(|(_, state)| state.clone()).unwrap_or_default();
        let before = state.binding.take().map(|binding| binding.positions).unwrap_or_default();
        for position in &binding.positions {
            let from = before.iter().find(|p| p.partition == position.partition).map_or(0, |p| p.offset);
            for payload in log.range(position.partition, from, position.offset) {
                state.take(read(&payload), binding.moment.horizon);
            }
        }
        state.binding = Some(binding.clone());
        self.states.insert(binding.moment.time, state);
    }

    /// The bindings after a time were lost.
    pub fn forget_after(&mut self, time: Time) {
        self.states.retain(|bound, _| *bound <= time);
    }
}

impl State {
    fn take(&mut self, event: Option<Event>, horizon: Time) {
        self.records += 1;
        let Some(event) = event else { return self.reject("json") };
        if event.time > horizon {
            return self.reject("future");
        }
        match self.seen.get(&event.id) {
            // The time belongs to the event's content, and it is the same in duplicates.
            Some(first) if *first == event => return self.duplicates += 1,
            Some(_) => return self.reject("conflict"),
            None => _ = self.seen.insert(event.id, event.clone()),
        }
        self.accepted += 1;
        let (id, version, row) = match event.deed {
            Deed::Order(id, customer, amount, version) => (id, version, Some((customer, amount))),
            Deed::Gone(id, version) => (id, version, None),
            Deed::Payment(customer, amount) => {
                let row = format!("{{\"customer\":\"{customer}\",\"amount\":{amount}}}");
                return *self.paid.entry(row).or_default() += 1;
            }
            Deed::Other => return,
        };
        if self.orders.get(&id).is_none_or(|(held, _)| *held < version) {
            self.orders.insert(id, (version, row));
        }
    }

    fn reject(&mut self, rule: &'static str) {
        *self.rejected.entry(rule).or_default() += 1;
    }

    /// The rows of a view.
    pub fn rows(&self, view: &str) -> Rows {
        let orders = || self.orders.iter().filter_map(|(id, (_, row))| Some((id, row.as_ref()?)));
        match view {
            "totals" => {
                let mut totals: BTreeMap<&String, (i64, i64)> = BTreeMap::new();
                for (_, (customer, amount)) in orders() {
                    let total = totals.entry(customer).or_default();
                    *total = (total.0 + 1, total.1 + amount);
                }
                let row = |(customer, (n, total))| {
                    (format!("{{\"customer\":\"{customer}\",\"n\":{n},\"total\":{total}}}"), 1)
                };
                totals.into_iter().map(row).collect()
            }
            "big" => {
                let big = orders().filter(|(_, (_, amount))| *amount >= 50);
                let row = |(id, (customer, amount)): (&u64, &(String, i64))| {
                    (format!("{{\"id\":{id},\"customer\":\"{customer}\",\"amount\":{amount}}}"), 1)
                };
                big.map(row).collect()
            }
            "paid" => self.paid.clone(),
            _ => {
                let row = |(rule, n): (&&str, &u64)| (format!("{{\"rule\":\"{rule}\",\"n\":{n}}}"), 1);
                self.rejected.iter().map(row).collect()
            }
        }
    }

    /// The end of its tick.
    pub fn positions(&self) -> &[Position] {
        self.binding.as_ref().map_or(&[], |binding| &binding.positions)
    }
}
