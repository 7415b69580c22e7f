//! What waits to be written: a queue that makes producers wait when too much is in flight.
use super::AppendError;
use crate::Payload;
use dataflows::Position;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Producers wait while so much is waiting or being written.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// One commit takes about so much.
const COMMIT_BYTES_MAX: usize = 16 << 20;

/// What is called with the outcome.
pub(super) type Done = Box<dyn FnOnce(Result<Vec<Position>, AppendError>) + Send>;

/// Events that are acknowledged together.
pub(super) struct Append {
    /// Each with its partition.
    pub events: Vec<(u32, Payload)>,
    pub bytes: usize,
    pub done: Done,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Append>,
    in_flight_bytes: usize,
    /// Why nothing more is taken.
    closed: Option<String>,
}

/// From many producers to the writer.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    drained: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the queue")
    }

    /// Adds at the end; waits while too much is in flight. A closed queue gives it back, with the reason.
    pub fn push(&self, append: Append) -> Result<(), (Append, String)> {
        let full = |state: &mut State| {
            let in_flight = state.in_flight_bytes;
            state.closed.is_none() && in_flight > 0 && in_flight + append.bytes > IN_FLIGHT_BYTES_MAX
        };
        let mut state = self.drained.wait_while(self.lock(), full).expect("nobody panics with the queue");
        if let Some(reason) = &state.closed {
            return Err((append, reason.clone()));
        }
        state.in_flight_bytes += append.bytes;
        state.waiting.push_back(append);
        self.filled.notify_one();
        Ok(())
    }

    /// What one commit takes, at least one; none when the queue is closed and nothing waits.
    pub fn take(&self) -> Option<Vec<Append>> {
        let empty = |state: &mut State| state.waiting.is_empty() && state.closed.is_none();
        let mut state = self.filled.wait_while(self.lock(), empty).expect("nobody panics with the queue");
        let mut taken = vec![state.waiting.pop_front()?];
        let mut bytes = taken[0].bytes;
        while state.waiting.front().is_some_and(|next| bytes + next.bytes <= COMMIT_BYTES_MAX) {
            let next = state.waiting.pop_front().expect("there is a front");
            bytes += next.bytes;
            taken.push(next);
        }
        Some(taken)
    }

    /// What was taken is no longer in flight.
    pub fn release(&self, bytes: usize) {
        self.lock().in_flight_bytes -= bytes;
        self.drained.notify_all();
    }

    /// From now on nothing is added; what waits is still taken.
    pub fn close(&self, reason: &str) {
        self.lock().closed.get_or_insert_with(|| reason.to_string());
        self.filled.notify_all();
        self.drained.notify_all();
    }
}
