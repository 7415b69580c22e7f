//! The frame of every operator with state by key: rows go to the worker that keeps their key, times are stepped when complete.
use super::{Errs, Oks};
use crate::state::{Keyed, Produced, Router, State};
use crate::{Delta, Failure, Time};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
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

/// What waits for its time to be complete, with the right to answer at that time on both outputs.
type Pending = (Capability<Time>, Capability<Time>, Vec<Keyed>);

/// Steps `state` with all changes of each time, in the order of times. `first` leaves before anything else.
pub(super) fn stateful<'s>(
    name: &str,
    input: StreamVec<'s, Time, Keyed>,
    mut state: Box<dyn State>,
    first: Option<(Time, Produced)>,
    size: Rc<Cell<usize>>,
) -> (Oks<'s>, Errs<'s>) {
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
                let mut produced = Produced::default();
                state.step(time, input, &mut produced);
                send(time, &ok, &err, produced);
                size.set(state.len());
            }
        }
    });
    (ok_stream, err_stream)
}
