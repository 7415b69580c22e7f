//! Arrangements: the rows of a plan by a key, kept by differential dataflow for joins, each in a dataflow of its own.
use super::sorted::{Chunker, Part, SortedBuilder, Sorter};
use super::{Errs, Oks, Renderer, import};
use crate::codec::{Codec, Rows};
use crate::plan::Plan;
use crate::row::{Row, RowSpine, hash};
use crate::tap::Tap;
use crate::ward::{Share, Ward};
use crate::{Delta, Diff, Time};
use arrow::array::{Array, ArrayRef};
use differential_dataflow::operators::arrange::{Arranged, TraceAgent, arrangement::arrange_core};
use differential_dataflow::trace::wrappers::frontier::TraceFrontier;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::Operator;
use timely::progress::Antichain;
use timely::progress::operate::FrontierInterest;

/// Rows by key with their history.
pub(crate) type Trace = TraceAgent<RowSpine<Time, Diff>>;
/// A trace as a dataflow reads it that began at some time.
pub(super) type Imported<'s> = Arranged<'s, TraceFrontier<Trace>>;

/// What is arranged, and by what.
#[derive(Clone)]
pub(crate) struct Index {
    pub plan: Plan,
    /// The columns of the key.
    pub key: Vec<usize>,
    /// All other columns.
    pub values: Vec<usize>,
    pub(super) null_equal: bool,
}

/// An arrangement, its failures, and who uses it.
pub(crate) struct Arrangement {
    pub trace: Trace,
    /// Failures of the expressions below it; no rows.
    pub errs: Rc<RefCell<Tap>>,
    pub dataflow: usize,
    /// The views and arrangements that read it.
    pub users: BTreeSet<String>,
    /// The arrangements that it reads.
    pub uses: BTreeSet<String>,
    pub operators: Vec<String>,
    pub sizes: Vec<Rc<Cell<usize>>>,
    pub description: String,
    /// What it holds.
    pub share: Share,
    /// Updates that came since its upper was last seen to move: they wait, or they were just put in.
    pub fed: Rc<Cell<usize>>,
    pub upper: Time,
}

/// What an update of an arrangement takes, about.
pub(crate) const UPDATE_BYTES: usize = 96;

impl Index {
    fn new(plan: &Plan, key: Vec<usize>, null_equal: bool) -> Index {
        let values = (0..plan.schema().fields().len()).filter(|i| !key.contains(i)).collect();
        Index { plan: plan.clone(), key, values, null_equal }
    }

    pub(crate) fn left(plan: &Plan, on: &[(usize, usize)], null_equal: bool) -> Index {
        Index::new(plan, on.iter().map(|(l, _)| *l).collect(), null_equal)
    }

    pub(crate) fn right(plan: &Plan, on: &[(usize, usize)], null_equal: bool) -> Index {
        Index::new(plan, on.iter().map(|(_, r)| *r).collect(), null_equal)
    }

    /// Codecs of key and values.
    pub(super) fn codecs(&self) -> Result<(Codec, Codec), String> {
        let schema = self.plan.schema();
        Ok((Codec::for_columns(&schema, &self.key)?, Codec::for_columns(&schema, &self.values)?))
    }

    /// Two indexes are the same arrangement exactly if this is the same. It begins with the plan's own fingerprint.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{}{SEPARATOR}{:?} {}", self.plan.fingerprint(), self.key, self.null_equal)
    }

    /// One line for EXPLAIN.
    pub(crate) fn describe(&self) -> String {
        let schema = self.plan.schema();
        let key: Vec<&str> = self.key.iter().map(|i| schema.field(*i).name().as_str()).collect();
        let plan = self.plan.to_string();
        format!("[{}] of {}", key.join(", "), plan.lines().next().unwrap_or(""))
    }
}

const SEPARATOR: char = '\u{1}';

impl<'s> Renderer<'_, 's> {
    /// Arranges the rows of an index: the end of an arrangement's dataflow.
    pub(crate) fn arrange(&mut self, index: &Index, fed: &Rc<Cell<usize>>) -> Trace {
        let rows = self.plan(&index.plan);
        self.operators.push(format!("Arrange {}", index.describe()));
        let parts = keyed(rows, index, &self.ward, fed.clone());
        let exchange = Exchange::new(|part: &Part| part.target);
        arrange_core::<_, _, Chunker, Sorter, SortedBuilder, RowSpine<_, _>>(parts, exchange, "Arrange").trace
    }

    /// The failures below an arrangement, once a dataflow.
    fn import_errs(&mut self, fingerprint: &str, tap: &Rc<RefCell<Tap>>) {
        if self.imported_errs.insert(fingerprint.to_owned()) {
            let (_, errs): (Oks<'s>, Errs<'s>) = import::import(self.scope, tap, self.as_of);
            self.errs.push(errs);
        }
    }

    /// A shared arrangement, as of the time this dataflow begins.
    pub(super) fn arranged(&mut self, index: &Index) -> Imported<'s> {
        self.import_arranged(&index.fingerprint())
    }

    fn import_arranged(&mut self, fingerprint: &str) -> Imported<'s> {
        let found = self.shared.arrangements.get_mut(fingerprint).expect("installed before what reads it");
        let since = Antichain::from_elem(self.as_of);
        let (arranged, _) =
            found.trace.import_frontier_core(self.scope, "ImportArranged", since, Antichain::new());
        let errs = found.errs.clone();
        self.operators.push(format!("Import arrangement by {}", found.description));
        self.uses.insert(fingerprint.to_owned());
        self.import_errs(fingerprint, &errs);
        arranged
    }

    /// Whether an arrangement of a plan's rows is there, so that computing them again would be waste.
    pub(super) fn shares_arrangement(&self, plan: &Plan) -> bool {
        let prefix = format!("{}{SEPARATOR}", plan.fingerprint());
        self.done.contains_key(&plan.fingerprint())
            || self
                .shared
                .arrangements
                .range(prefix.clone()..)
                .next()
                .is_some_and(|(name, _)| name.starts_with(&prefix))
    }

    /// The rows of a plan from an arrangement of it, if there is one and computing them again would cost state.
    pub(super) fn arranged_rows(&mut self, plan: &Plan, fingerprint: &str) -> Option<Oks<'s>> {
        match plan {
            Plan::Get { .. }
            | Plan::Values { .. }
            | Plan::Map { .. }
            | Plan::Union { .. }
            | Plan::Local { .. }
            | Plan::Flatten { .. }
            | Plan::Negate(_) => {
                return None;
            }
            Plan::Distinct(_)
            | Plan::Join { .. }
            | Plan::Matched { .. }
            | Plan::Bag { .. }
            | Plan::Cross { .. }
            | Plan::Outer { .. }
            | Plan::Aggregate { .. }
            | Plan::Recursive { .. }
            | Plan::TopK { .. }
            | Plan::Temporal { .. }
            | Plan::Window { .. } => {}
        }
        let prefix = format!("{fingerprint}{SEPARATOR}");
        let (name, key) = self.shared.arrangements.range(prefix.clone()..).next().map(|(name, _)| {
            let rest = name.strip_prefix(&prefix)?;
            // Without NULL keys an arrangement does not hold all rows.
            let (key, null_equal) = rest.rsplit_once(' ')?;
            let key: Vec<usize> =
                key.trim_matches(['[', ']']).split(", ").filter_map(|k| k.parse().ok()).collect();
            let all = null_equal == "true" || key.iter().all(|k| !plan.schema().field(*k).is_nullable());
            all.then(|| (name.clone(), key))
        })??;
        let index = Index::new(plan, key, true);
        let arranged = self.import_arranged(&name);
        Some(rows_of(arranged, &index))
    }
}

/// Rows to keys and values. Rows with a NULL in their key join nothing and are left out, unless NULL equals NULL.
fn keyed<'s>(
    input: Oks<'s>,
    index: &Index,
    ward: &Arc<Ward>,
    fed: Rc<Cell<usize>>,
) -> StreamVec<'s, Time, Part> {
    let (ward, mut share) = (ward.clone(), Share::new(ward));
    let (keys, values) = index.codecs().expect(super::CHECKED);
    let (key_columns, value_columns, null_equal) =
        (index.key.clone(), index.values.clone(), index.null_equal);
    let peers = input.scope().peers();
    let mut builder = OperatorBuilder::new("Key".into(), input.scope());
    let mut input = builder.new_input(input, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (output, stream) = builder.new_output();
    let mut output = OutputBuilder::<_, CapacityContainerBuilder<Vec<Part>>>::from(output);
    builder.build(move |_| {
        move |_| {
            let mut output = output.activate();
            input.for_each(|cap, data| {
                let mut session = output.session_with_builder(&cap);
                for Delta { time, rows, diffs } in data.drain(..) {
                    fed.set(fed.get() + diffs.len());
                    share.set(fed.get() * UPDATE_BYTES);
                    if ward.stopped().is_some() {
                        continue;
                    }
                    let columns = |list: &[usize]| -> Vec<ArrayRef> {
                        list.iter().map(|i| rows.column(*i).clone()).collect()
                    };
                    let key = columns(&key_columns);
                    let nulls: Vec<_> = if null_equal {
                        vec![]
                    } else {
                        key.iter().filter_map(|c| c.logical_nulls()).collect()
                    };
                    let (k, v) = (
                        keys.encode(&key, diffs.len()),
                        values.encode(&columns(&value_columns), diffs.len()),
                    );
                    let there = |i: usize| nulls.iter().all(|n| n.is_valid(i));
                    let part = Part { target: 0, time, keys: k, values: v, diffs };
                    if peers == 1 && nulls.is_empty() {
                        session.give(part);
                    } else {
                        split(&part, there, peers, |part| session.give(part));
                    }
                }
            });
        }
    });
    stream
}

/// Gives each worker its rows, without those that are not there.
fn split(part: &Part, there: impl Fn(usize) -> bool, peers: usize, give: impl FnMut(Part)) {
    let empty = |target: usize| Part {
        target: target as u64,
        time: part.time,
        keys: Rows::default(),
        values: Rows::default(),
        diffs: vec![],
    };
    let mut parts: Vec<Part> = (0..peers).map(empty).collect();
    for (i, diff) in part.diffs.iter().enumerate().filter(|(i, _)| there(*i)) {
        // As the arrangements inside recursions find their worker.
        let key = part.keys.row(i);
        let to = &mut parts[if peers == 1 { 0 } else { (hash(key) % peers as u64) as usize }];
        to.keys.push(key);
        to.values.push(part.values.row(i));
        to.diffs.push(*diff);
    }
    parts.into_iter().filter(|part| !part.diffs.is_empty()).for_each(give);
}

/// An arrangement's rows as deltas.
fn rows_of<'s>(arranged: Imported<'s>, index: &Index) -> Oks<'s> {
    let (keys, values) = index.codecs().expect(super::CHECKED);
    let schema = super::nullable(&index.plan.schema());
    let index = index.clone();
    let updates = arranged.as_collection(|key, value| (Row::from_slice(key), Row::from_slice(value))).inner;
    updates.unary(Pipeline, "Rows", move |_, _| {
        move |input, output| {
            input.for_each(|cap, data| {
                let mut session = output.session(&cap);
                data.sort_by_key(|(_, time, _)| *time);
                for same in data.chunk_by(|a, b| a.1 == b.1) {
                    let k = keys.decode(&same.iter().map(|((k, _), _, _)| k.as_slice()).collect::<Vec<_>>());
                    let v =
                        values.decode(&same.iter().map(|((_, v), _, _)| v.as_slice()).collect::<Vec<_>>());
                    let columns = index.columns(&k, &v);
                    let rows = crate::state::batch_of(schema.clone(), columns, same.len());
                    session.give(Delta {
                        time: same[0].1,
                        rows,
                        diffs: same.iter().map(|(_, _, d)| *d).collect(),
                    });
                }
            });
        }
    })
}

impl Index {
    /// The plan's columns in their order, of those of key and values.
    pub(super) fn columns(&self, keys: &[ArrayRef], values: &[ArrayRef]) -> Vec<ArrayRef> {
        (0..self.plan.schema().fields().len())
            .map(|column| match self.key.iter().position(|k| *k == column) {
                Some(place) => keys[place].clone(),
                None => values
                    [self.values.binary_search(&column).expect("not in the key, so among the values")]
                .clone(),
            })
            .collect()
    }
}
