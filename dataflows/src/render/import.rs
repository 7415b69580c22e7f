//! Between dataflows of one worker: how a dataflow reads a table or view, and how a view gives its changes out.
use super::{Errs, Oks};
use crate::codec::Codec;
use crate::tap::{Tap, consolidate};
use crate::ward::{Share, Ward, bytes_of};
use crate::{Delta, Diff, Failure, Time};
use arrow::array::RecordBatch;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::scheduling::Activator;

/// What has come for one reader since it last looked.
pub(crate) struct Reader {
    deltas: Vec<Delta>,
    errs: Vec<Failure>,
    upper: Time,
    activator: Activator,
}

impl Reader {
    pub(crate) fn push(&mut self, deltas: &[Delta], errs: &[Failure], upper: Time) {
        self.deltas.extend_from_slice(deltas);
        self.errs.extend_from_slice(errs);
        self.upper = upper;
        self.activator.activate();
    }
}

/// A tap as streams: all rows at `as_of`, then every change at its time.
pub(super) fn import<'s>(scope: Scope<'s, Time>, tap: &Rc<RefCell<Tap>>, as_of: Time) -> (Oks<'s>, Errs<'s>) {
    let mut builder = OperatorBuilder::new("Import".into(), scope);
    let (oks, ok_stream) = builder.new_output();
    let (errs, err_stream) = builder.new_output();
    let mut oks = OutputBuilder::<_, CapacityContainerBuilder<Vec<Delta>>>::from(oks);
    let mut errs = OutputBuilder::<_, CapacityContainerBuilder<Vec<Failure>>>::from(errs);
    let activator = scope.activator_for(builder.operator_info().address);
    let (deltas, failures) = tap.borrow().snapshot(as_of);
    let upper = tap.borrow().upper();
    let reader = Rc::new(RefCell::new(Reader { deltas, errs: failures, upper, activator }));
    tap.borrow_mut().follow(&reader);
    builder.build(move |caps| {
        let mut caps: Vec<_> = caps.into_iter().map(|cap| cap.delayed(&as_of)).collect();
        move |_| {
            if caps.is_empty() {
                return;
            }
            let (deltas, failures, upper) = {
                let mut reader = reader.borrow_mut();
                (std::mem::take(&mut reader.deltas), std::mem::take(&mut reader.errs), reader.upper)
            };
            if !deltas.is_empty() {
                let rows = deltas.into_iter().map(|d| Delta { time: d.time.max(as_of), ..d });
                oks.activate().session_with_builder(&caps[0]).give_iterator(rows);
            }
            if !failures.is_empty() {
                let failures = failures.into_iter().map(|(m, t, d)| (m, t.max(as_of), d));
                errs.activate().session_with_builder(&caps[1]).give_iterator(failures);
            }
            if upper == Time::MAX {
                caps.clear();
            } else if upper > *caps[0].time() {
                caps.iter_mut().for_each(|cap| cap.downgrade(&upper));
            }
        }
    });
    (ok_stream, err_stream)
}

/// Rows that never change, from `as_of` on.
pub(super) fn constant<'s>(scope: Scope<'s, Time>, rows: Option<RecordBatch>, as_of: Time) -> Oks<'s> {
    let mut builder = OperatorBuilder::new("Values".into(), scope);
    let (oks, stream) = builder.new_output();
    let mut oks = OutputBuilder::<_, CapacityContainerBuilder<Vec<Delta>>>::from(oks);
    builder.build(move |mut caps| {
        let mut rows = rows.zip(caps.pop().map(|cap| cap.delayed(&as_of)));
        move |_| {
            if let Some((rows, cap)) = rows.take() {
                oks.activate().session_with_builder(&cap).give(Delta::inserts(as_of, rows));
            }
        }
    });
    stream
}

/// The end of a dataflow: whenever more times are complete, calls `seal` with the changes before the new upper, consolidated.
pub(crate) fn publish<'s>(
    oks: Oks<'s>,
    errs: Errs<'s>,
    codec: Codec,
    ward: Arc<Ward>,
    mut seal: impl FnMut(Time, Vec<Delta>, Vec<Failure>) + 'static,
) {
    let mut builder = OperatorBuilder::new("Publish".into(), oks.scope());
    let mut oks = builder.new_input(oks, Pipeline);
    let mut errs = builder.new_input(errs, Pipeline);
    builder.build(move |_| {
        let mut rows: BTreeMap<Time, Vec<Delta>> = BTreeMap::new();
        let mut failures: BTreeMap<(Time, Arc<str>), Diff> = BTreeMap::new();
        let mut upper: Time = 0;
        let (mut share, mut told) = (Share::new(&ward), false);
        let mut waiting = 0;
        move |frontiers| {
            oks.for_each(|_, data| {
                data.drain(..).for_each(|d| {
                    waiting += bytes_of(&d.rows) + 8 * d.len();
                    rows.entry(d.time).or_default().push(d);
                });
            });
            share.set(waiting);
            if let Some(why) = ward.stopped() {
                rows.clear();
                if !std::mem::replace(&mut told, true) {
                    failures.insert((upper, why.clone()), 1);
                }
            }
            errs.for_each(|_, data| {
                data.drain(..).for_each(|(m, t, d)| *failures.entry((t, m)).or_insert(0) += d);
            });
            let reached = frontiers.iter().map(|f| f.frontier().first().copied().unwrap_or(Time::MAX)).min();
            let reached = reached.unwrap_or(Time::MAX);
            if reached <= upper {
                return;
            }
            upper = reached;
            let later = rows.split_off(&upper);
            let complete = std::mem::replace(&mut rows, later);
            waiting = rows.values().flatten().map(|d| bytes_of(&d.rows) + 8 * d.len()).sum();
            share.set(waiting);
            let changes = complete.into_values().flat_map(|deltas| consolidate(deltas, &codec)).collect();
            let later = failures.split_off(&(upper, Arc::from("")));
            let complete = std::mem::replace(&mut failures, later);
            let gone = complete.into_iter().filter(|(_, d)| *d != 0).map(|((t, m), d)| (m, t, d)).collect();
            seal(upper, changes, gone);
        }
    });
}
