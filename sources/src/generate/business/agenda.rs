//! `Agenda`: what is to happen when; of what is to happen at one time, in the order planned.
use super::crime::{Call, Crime, Label};
use super::using::{Amended, Used};
use super::{billing, orders, paying, people};
use crate::generate::Kind;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Something that happens, and is told by one event.
#[derive(Debug)]
pub(super) enum Act {
    Offering(u8),
    Price(u8, u8),
    Site(u8),
    SignUp,
    Person(u32, people::What),
    Order(u32, orders::Step),
    Line(u32, orders::LineStep),
    Use(u32),
    Amend(Box<Amended>),
    Call(Box<Call>),
    Bill(u32, billing::Step),
    Pay(u32, paying::Step),
    Visit(u32),
    Crime(Crime),
    Label(Box<Label>),
    Measure(u8),
    Arrive(Box<Held>),
}

/// An event that was written and comes later, or again.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) event_time_ms: u64,
    pub(super) used: Option<Used>,
}

#[derive(Debug)]
struct Due {
    at_ms: u64,
    place: u64,
    act: Act,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.place == other.place
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (self.at_ms, self.place).cmp(&(other.at_ms, other.place))
    }
}

/// What is to happen.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: BinaryHeap<Reverse<Due>>,
    planned: u64,
}

impl Agenda {
    /// Plans an act.
    pub(super) fn plan(&mut self, at_ms: u64, act: Act) {
        self.planned += 1;
        self.due.push(Reverse(Due { at_ms, place: self.planned, act }));
    }

    /// What happens next, and when.
    pub(super) fn next(&mut self) -> Option<(u64, Act)> {
        self.due.pop().map(|Reverse(due)| (due.at_ms, due.act))
    }
}
