//! The frame of every operator with state by key: rows go to the worker that keeps their key, times are stepped when complete.
use super::{Errs, Oks};
use crate::state::{Keyed, Produced, Router, State};
use crate::ward::{Share, Ward};
use crate::{Delta, Failure, Time};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::Operator;

/// Encodes keys and splits rows by worker.
pub(super) fn route(input: Oks<'_>, router: Router) -> StreamVec<'_, Time, Keyed> {
    input.unary(Pipeline, "Route", |_, _| {
        move |input, output| {
            input.for_each(|cap, data| {
                let mut session = output.session(&cap);
                data.drain(..).for_each(|delta| router.route(&delta, |keyed| session.give(keyed)));
            });
        }
    })
}

/// What an operator holds, about: what waits, and for each row of state as much as a row of its input has.
struct Load {
    share: Share,
    waiting: usize,
    /// Of all input so far: rows, their bytes, and their diffs added up.
    rows: usize,
    bytes: usize,
    live: i64,
    held: usize,
}

/// What a row of state takes beside its values.
const ROW_BYTES: usize = 64;

impl Load {
    fn new(ward: &Arc<Ward>) -> Load {
        Load { share: Share::new(ward), waiting: 0, rows: 0, bytes: 0, live: 0, held: 0 }
    }

    fn wait(&mut self, keyed: &Keyed) {
        let bytes = keyed.bytes();
        self.waiting += bytes;
        self.bytes += bytes;
        self.rows += keyed.diffs.len();
        self.live += keyed.diffs.iter().sum::<i64>();
        self.share.set(self.waiting + self.held);
    }

    fn take(&mut self, input: &[Keyed]) {
        self.waiting = self.waiting.saturating_sub(input.iter().map(Keyed::bytes).sum());
    }

    fn hold(&mut self, length: usize, holds_rows: bool) {
        let live = if holds_rows { usize::try_from(self.live).unwrap_or(0) } else { 0 };
        self.held = length.max(live) * (ROW_BYTES + self.bytes / self.rows.max(1));
        self.share.set(self.waiting + self.held);
    }
}

/// What waits for its time to be complete, with the right to answer at that time on both outputs.
type Pending = (Capability<Time>, Capability<Time>, Vec<Keyed>);

/// Steps `state` with all changes of each time, in the order of times. `first` leaves before anything else.
pub(super) fn stateful<'s>(
    name: &str,
    input: StreamVec<'s, Time, Keyed>,
    state: Box<dyn State>,
    first: Option<(Time, Produced)>,
    size: Rc<Cell<usize>>,
    ward: &Arc<Ward>,
) -> (Oks<'s>, Errs<'s>) {
    let (operator, ward) = (name.to_owned(), ward.clone());
    let mut builder = OperatorBuilder::new(name.into(), input.scope());
    let mut input = builder.new_input(input, Exchange::new(|keyed: &Keyed| keyed.target));
    let (oks, ok_stream) = builder.new_output();
    let (errs, err_stream) = builder.new_output();
    let mut oks = OutputBuilder::<_, CapacityContainerBuilder<Vec<Delta>>>::from(oks);
    let mut errs = OutputBuilder::<_, CapacityContainerBuilder<Vec<Failure>>>::from(errs);
    builder.build(move |mut caps| {
        let mut start = first.map(|(time, produced)| {
            let err = caps.pop().expect("two outputs").delayed(&time);
            let ok = caps.pop().expect("two outputs").delayed(&time);
            (time, ok, err, produced)
        });
        drop(caps);
        let mut pending: BTreeMap<Time, Pending> = BTreeMap::new();
        let (mut state, mut load) = (Some(state), Load::new(&ward));
        move |frontiers| {
            let (mut oks, mut errs) = (oks.activate(), errs.activate());
            let mut send = |time: Time, ok: &Capability<Time>, err: &Capability<Time>, produced: Produced| {
                oks.session_with_builder(ok).give_iterator(produced.deltas.into_iter());
                let failures = produced.errs.into_iter().map(|(message, diff)| (message, time, diff));
                errs.session_with_builder(err).give_iterator(failures);
            };
            if let Some((time, ok, err, produced)) = start.take() {
                send(time, &ok, &err, produced);
            }
            input.for_each(|cap, data| {
                for keyed in data.drain(..) {
                    load.wait(&keyed);
                    let slot = pending.entry(keyed.time).or_insert_with(|| {
                        (cap.delayed(&keyed.time, 0), cap.delayed(&keyed.time, 1), Vec::new())
                    });
                    slot.2.push(keyed);
                }
            });
            while let Some(entry) = pending.first_entry() {
                if frontiers[0].less_equal(entry.key()) {
                    break;
                }
                let (time, (ok, err, input)) = entry.remove_entry();
                load.take(&input);
                let Some(held) = &mut state else { continue };
                let mut produced = Produced::default();
                let done = ward.contain(&operator, || {
                    held.step(time, input, &mut produced);
                    (held.len(), held.holds_rows())
                });
                if let Some((length, holds_rows)) = done {
                    send(time, &ok, &err, produced);
                    size.set(length);
                    load.hold(length, holds_rows);
                }
            }
            if ward.stopped().is_some() && state.is_some() {
                (state, load) = (None, Load::new(&ward));
                size.set(0);
            }
            if state.is_none() {
                pending.values_mut().for_each(|(_, _, input)| input.clear());
            }
        }
    });
    (ok_stream, err_stream)
}
