//! Recursion: a loop of differential operators, whose times are (time, round), so that a change costs what it changes in each round.
//!
//! What does not change with the rounds is rendered outside by the ordinary renderer and enters: as rows, or, where a join inside reads
//! it, as the shared arrangement. Inside, rows are bytes ([`Row`]); [`body`] is the walk over the plans there.
mod body;
mod join;
mod reduce;

use super::arrange::{Imported, Index};
use super::{Oks, Renderer, import, nullable};
use crate::codec::Codec;
use crate::plan::{Binding, Limit, Plan, Rounds};
use crate::row::Row;
use crate::{Delta, Diff, Failure, Time};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use body::Body;
use differential_dataflow::operators::iterate::Variable;
use differential_dataflow::{AsCollection, VecCollection};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::{Filter, Map};
use timely::order::Product;

/// A time and the number of a round.
type Round = Product<Time, u64>;
/// Rows inside a loop.
type Rows<'i> = VecCollection<'i, Round, Row, Diff>;
/// Failures inside a loop.
type Errors<'i> = VecCollection<'i, Round, Arc<str>, Diff>;
/// Rows outside, as bytes.
type Outer<'s> = VecCollection<'s, Time, Row, Diff>;

/// What enters a loop, by fingerprint.
#[derive(Default)]
struct Entering<'s> {
    rows: BTreeMap<String, Outer<'s>>,
    arranged: BTreeMap<String, Imported<'s>>,
}

/// What leaves it of one binding.
struct Leaving<'s> {
    rows: Outer<'s>,
    /// Empty exactly if the rounds came to an end.
    unfinished: Outer<'s>,
    errs: Vec<VecCollection<'s, Time, Arc<str>, Diff>>,
}

/// What is not rendered inside a loop.
pub(super) fn check(bindings: &[Binding]) -> Result<(), String> {
    bindings.iter().try_for_each(|binding| {
        Codec::new(&binding.schema)?;
        body::check(&binding.body)
    })
}

impl<'s> Renderer<'_, 's> {
    /// The rows of one binding. All of them are rendered, and found again by their fingerprints.
    pub(super) fn recursive(&mut self, bindings: &[Binding], output: usize, limit: Limit) -> Oks<'s> {
        let mut entering = Entering::default();
        for binding in bindings {
            self.entering(&binding.body, &mut entering);
            match &binding.rounds {
                Rounds::Replaced => {}
                Rounds::Added { base } | Rounds::New { base } => self.entering(base, &mut entering),
            }
        }
        let one = self.one();
        let outer = self.scope;
        let (leaving, operators) = outer.iterative::<u64, _, _>(|scope| {
            let mut body = Body::new(scope, entering, one);
            let leaving = leave_all(&mut body, bindings, limit, outer);
            (leaving, body.operators)
        });
        self.operators.push(format!("Loop of {} operators: {}", operators.len(), operators.join(", ")));
        let names: Vec<&str> = bindings.iter().map(|binding| binding.name.as_ref()).collect();
        let message: Arc<str> = format!(
            "the recursion of {} did not come to an end within {} rounds",
            names.join(", "),
            limit.rounds
        )
        .into();
        let mut all = vec![];
        for (i, (binding, Leaving { rows, unfinished, errs })) in bindings.iter().zip(leaving).enumerate() {
            self.errs.extend(errs.into_iter().map(|errs| errs.inner));
            if !limit.returns {
                let message = message.clone();
                let failed = unfinished.distinct_core::<Diff>();
                self.errs.push(
                    failed.inner.map(move |(_, time, diff)| -> Failure { (message.clone(), time, diff) }),
                );
            }
            let oks = deltas(rows, &binding.schema);
            let plan = Plan::Recursive { bindings: bindings.to_vec(), output: i, limit };
            self.done.insert(plan.fingerprint(), oks.clone());
            all.push(oks);
        }
        all.swap_remove(output)
    }

    /// Renders the largest parts of a body that read no binding.
    fn entering(&mut self, plan: &Plan, entering: &mut Entering<'s>) {
        if !plan.is_open() {
            if let Entry::Vacant(entry) = entering.rows.entry(plan.fingerprint()) {
                entry.insert(encoded(self.plan(plan), &plan.schema()));
            }
            return;
        }
        let Plan::Join { left, right, on, null_equal, .. } = plan else {
            plan.inputs().into_iter().for_each(|input| self.entering(input, entering));
            return;
        };
        for index in [Index::left(left, on, *null_equal), Index::right(right, on, *null_equal)] {
            if index.plan.is_open() {
                self.entering(&index.plan, entering);
            } else if let Entry::Vacant(entry) = entering.arranged.entry(index.fingerprint()) {
                entry.insert(self.arranged(&index));
            }
        }
    }

    /// One row without columns: what an aggregate without GROUP BY has even where there is nothing.
    fn one(&mut self) -> Outer<'s> {
        let schema: SchemaRef = Arc::new(Schema::empty());
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let one = RecordBatch::try_new_with_options(schema.clone(), vec![], &options)
            .expect("a row without columns fits a schema without columns");
        let one = (self.scope.index() == 0).then_some(one);
        encoded(import::constant(self.scope, one, self.as_of), &schema)
    }
}

/// Renders the bindings one after the other: each reads what those before it hold in this round, and what the others held in the last.
fn leave_all<'s>(
    body: &mut Body<'_>,
    bindings: &[Binding],
    limit: Limit,
    outer: timely::dataflow::Scope<'s, Time>,
) -> Vec<Leaving<'s>> {
    let step = Product::new(Default::default(), 1);
    let last = limit.rounds - 1;
    // The variables that rounds replace; the others are made where they are rendered.
    let variables: Vec<_> = bindings
        .iter()
        .map(|binding| {
            let (variable, rows) = Variable::new(body.scope, step);
            body.bind(&binding.name, rows.clone());
            (variable, rows)
        })
        .collect();
    let mut leaving = vec![];
    for (binding, (variable, held)) in bindings.iter().zip(variables) {
        match &binding.rounds {
            Rounds::Replaced => {
                let rows = body.settled(&binding.body);
                body.bind(&binding.name, rows.clone());
                variable.set(until(rows.clone(), last));
                leaving.push(Leaving {
                    unfinished: from(rows.clone(), last).leave(outer),
                    rows: rows.leave(outer),
                    errs: body.take_errs().into_iter().map(|errs| errs.leave(outer)).collect(),
                });
            }
            Rounds::Added { base } => {
                let base = body.plan(base);
                let next = base.clone().delay(|time| Product::new(time.outer, time.inner + 1));
                let working = base.concat(next.negate()).concat(held);
                body.bind(&binding.name, working.clone());
                let rows = body.settled(&binding.body);
                variable.set(until(rows, last));
                leaving.push(Leaving {
                    rows: sum(working.clone(), last).leave(outer),
                    unfinished: working.leave(outer),
                    errs: body.take_errs().into_iter().map(|e| sum(e, last).leave(outer)).collect(),
                });
            }
            Rounds::New { base } => {
                let base = body.plan(base);
                let (earlier, before) = Variable::new(body.scope, step);
                let working = held.clone().concat(before.negate());
                body.bind(&binding.name, working);
                let rows = body.plan(&binding.body);
                let rows = body.distinct(base.concat(held.clone()).concat(rows));
                earlier.set(until(held, last));
                variable.set(until(rows.clone(), last));
                leaving.push(Leaving {
                    unfinished: from(rows.clone(), last).leave(outer),
                    rows: rows.leave(outer),
                    errs: body.take_errs().into_iter().map(|e| sum(e, last).leave(outer)).collect(),
                });
            }
        }
    }
    leaving
}

/// Changes of the rounds before `round`.
fn until<'i>(rows: Rows<'i>, round: u64) -> Rows<'i> {
    rows.inner.filter(move |(_, time, _)| time.inner < round).as_collection()
}

/// Changes from `round` on.
fn from<'i>(rows: Rows<'i>, round: u64) -> Rows<'i> {
    rows.inner.filter(move |(_, time, _)| time.inner >= round).as_collection()
}

/// What a collection held in the rounds `0 ..= last`, all together: a change in a round is there in all rounds from it on.
fn sum<'i, D: Clone + 'static>(
    rows: VecCollection<'i, Round, D, Diff>,
    last: u64,
) -> VecCollection<'i, Round, D, Diff> {
    let rounds = move |time: &Round| (last + 1).saturating_sub(time.inner) as Diff;
    rows.inner.map(move |(row, time, diff)| (row, time, diff * rounds(&time))).as_collection()
}

/// Rows as bytes.
fn encoded<'s>(input: Oks<'s>, schema: &SchemaRef) -> Outer<'s> {
    let codec = Codec::new(schema).expect(super::CHECKED);
    let rows: StreamVec<'s, Time, (Row, Time, Diff)> = input.unary(Pipeline, "Encode", move |_, _| {
        move |input, output| {
            input.for_each(|cap, data| {
                let mut session = output.session(&cap);
                for Delta { time, rows, diffs } in data.drain(..) {
                    let encoded = codec.encode(rows.columns(), diffs.len());
                    let rows = encoded.iter().zip(&diffs);
                    session.give_iterator(rows.map(|(row, diff)| (Row::from_slice(row), time, *diff)));
                }
            });
        }
    });
    rows.as_collection()
}

/// Bytes as rows.
fn deltas<'s>(rows: Outer<'s>, schema: &SchemaRef) -> Oks<'s> {
    let codec = Codec::new(schema).expect(super::CHECKED);
    let schema = nullable(schema);
    rows.inner.unary(Pipeline, "Decode", move |_, _| {
        move |input, output| {
            input.for_each(|cap, data| {
                let mut session = output.session(&cap);
                // Most of what one round adds a later one takes back.
                differential_dataflow::consolidation::consolidate_updates(data);
                data.sort_by_key(|(_, time, _)| *time);
                for same in data.chunk_by(|a, b| a.1 == b.1) {
                    let bytes: Vec<&[u8]> = same.iter().map(|(row, _, _)| row.as_slice()).collect();
                    let rows = crate::state::batch_of(schema.clone(), codec.decode(&bytes), same.len());
                    let diffs = same.iter().map(|(_, _, diff)| *diff).collect();
                    session.give(Delta { time: same[0].1, rows, diffs });
                }
            });
        }
    })
}
