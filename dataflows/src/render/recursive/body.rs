//! The walk over the plans inside a loop.
use super::super::fuse;
use super::super::map::Work;
use super::join::{Shared, Side};
use super::reduce::{self, Arranged};
use super::{Entering, Errors, Outer, Round, Rows};
use crate::codec::Codec;
use crate::plan::Plan;
use crate::render::{CHECKED, nullable};
use crate::row::Row;
use crate::state::batch_of;
use crate::{Delta, Diff};
use arrow::datatypes::SchemaRef;
use differential_dataflow::AsCollection;
use std::collections::BTreeMap;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Scope;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

/// What is there inside a loop.
pub(super) struct Body<'i> {
    pub scope: Scope<'i, Round>,
    /// Rows that entered.
    rows: BTreeMap<String, Rows<'i>>,
    /// Arrangements that entered.
    pub shared: BTreeMap<String, Shared<'i>>,
    /// One row without columns.
    one: Rows<'i>,
    locals: BTreeMap<Arc<str>, Rows<'i>>,
    /// Equal subplans are rendered once, as long as the bindings mean the same.
    done: BTreeMap<String, Rows<'i>>,
    pub arranged: BTreeMap<String, Arranged<'i>>,
    errs: Vec<Errors<'i>>,
    /// For EXPLAIN.
    pub operators: Vec<String>,
}

/// What is not rendered inside a loop.
pub(super) fn check(plan: &Plan) -> Result<(), String> {
    if !plan.is_open() {
        return Ok(());
    }
    match plan {
        Plan::Recursive { .. } => Err("a recursion that reads the recursion around it is not supported: name both in one WITH MUTUALLY RECURSIVE".into()),
        Plan::Window { .. } => Err("a window function that reads the recursion around it is not supported: use GROUP BY, or ORDER BY .. LIMIT".into()),
        Plan::Bag { .. } => Err("EXCEPT ALL or INTERSECT ALL that reads the recursion around it is not supported: leave ALL out".into()),
        Plan::Flatten { .. } => Err("UNNEST, or another function that gives rows, over the recursion around it is not supported: join with a table of its elements".into()),
        Plan::Temporal { .. } => Err("now() compared with a column of the recursion around it is not supported: filter before or after".into()),
        Plan::Outer { .. } | Plan::Cross { .. } => Err("a join inside a recursion was not spelled out".into()),
        Plan::Get { .. }
        | Plan::Values { .. }
        | Plan::Local { .. }
        | Plan::Map { .. }
        | Plan::Union { .. }
        | Plan::Negate(_)
        | Plan::Distinct(_)
        | Plan::Join { .. }
        | Plan::Matched { .. }
        | Plan::Aggregate { .. }
        | Plan::TopK { .. } => {
            Codec::new(&plan.schema())?;
            plan.inputs().into_iter().try_for_each(check)
        }
    }
}

impl<'i> Body<'i> {
    pub(super) fn new<'s>(scope: Scope<'i, Round>, entering: Entering<'s>, one: Outer<'s>) -> Body<'i> {
        let rows = entering.rows.into_iter().map(|(name, rows)| (name, rows.enter(scope)));
        let shared = entering.arranged.into_iter().map(|(name, arranged)| (name, arranged.enter(scope)));
        Body {
            scope,
            rows: rows.collect(),
            shared: shared.collect(),
            one: one.enter(scope),
            locals: BTreeMap::new(),
            done: BTreeMap::new(),
            arranged: BTreeMap::new(),
            errs: vec![],
            operators: vec![],
        }
    }

    /// Says what a binding means from here on.
    pub(super) fn bind(&mut self, name: &Arc<str>, rows: Rows<'i>) {
        self.locals.insert(name.clone(), rows);
        self.done.clear();
        self.arranged.clear();
    }

    /// The failures since it was asked last.
    pub(super) fn take_errs(&mut self) -> Vec<Errors<'i>> {
        std::mem::take(&mut self.errs)
    }

    /// The rows of a plan, so that changes which cancel each other do not go around.
    pub(super) fn settled(&mut self, plan: &Plan) -> Rows<'i> {
        let rows = self.plan(plan);
        match plan {
            Plan::Distinct(_) | Plan::Aggregate { .. } | Plan::TopK { .. } => rows,
            Plan::Get { .. }
            | Plan::Values { .. }
            | Plan::Local { .. }
            | Plan::Recursive { .. }
            | Plan::Map { .. }
            | Plan::Union { .. }
            | Plan::Negate(_)
            | Plan::Join { .. }
            | Plan::Matched { .. }
            | Plan::Outer { .. }
            | Plan::Bag { .. }
            | Plan::Cross { .. }
            | Plan::Flatten { .. }
            | Plan::Temporal { .. }
            | Plan::Window { .. } => reduce::consolidated(rows),
        }
    }

    /// The rows of a plan.
    pub(super) fn plan(&mut self, plan: &Plan) -> Rows<'i> {
        let fingerprint = plan.fingerprint();
        if let Some(rows) = self.rows.get(&fingerprint).or_else(|| self.done.get(&fingerprint)) {
            return rows.clone();
        }
        let rows = self.render(plan);
        self.done.insert(fingerprint, rows.clone());
        rows
    }

    fn render(&mut self, plan: &Plan) -> Rows<'i> {
        match plan {
            Plan::Get { .. } | Plan::Values { .. } | Plan::Recursive { .. } => {
                unreachable!("what reads no binding has entered")
            }
            Plan::Outer { .. }
            | Plan::Bag { .. }
            | Plan::Cross { .. }
            | Plan::Flatten { .. }
            | Plan::Temporal { .. }
            | Plan::Window { .. } => {
                unreachable!("refused by check, or spelled out")
            }
            Plan::Local { name, .. } => {
                self.locals.get(name).expect("bound by the recursion around it").clone()
            }
            Plan::Map { input, filter, project, schema } => {
                let rows = self.plan(input);
                if filter.is_none() && project.is_none() {
                    return rows;
                }
                let work = Work::new(filter.clone(), project.clone(), nullable(schema));
                self.map(rows, &input.schema(), work)
            }
            Plan::Union { inputs, .. } => {
                let mut inputs = inputs.iter().map(|input| self.plan(input)).collect::<Vec<_>>();
                let first = inputs.pop().expect("a union has an input");
                first.concatenate(inputs)
            }
            Plan::Negate(input) => self.plan(input).negate(),
            Plan::Distinct(input) => {
                let rows = self.plan(input);
                self.distinct(rows)
            }
            Plan::Join { schema, filter, .. } => {
                let rows = self.join(plan);
                match filter {
                    None => rows,
                    Some(filter) => {
                        let filter = Some(filter.clone());
                        self.map(rows, schema, Work::new(filter, None, nullable(schema)))
                    }
                }
            }
            Plan::Matched { left, joined } => {
                let (left, joined) = (self.plan(left), self.plan(joined));
                self.operators.push("Matched".into());
                reduce::matched(left, joined)
            }
            Plan::Aggregate { input, group, .. } => {
                let rows = self.plan(input);
                let one = group.is_empty().then(|| self.one.clone());
                self.operators.push("Aggregate".into());
                let (rows, errs) = reduce::aggregate(plan, rows, one);
                self.errs.push(errs);
                rows
            }
            Plan::TopK { input, .. } => {
                let rows = self.plan(input);
                self.operators.push("TopK".into());
                let (rows, errs) = reduce::top(plan, rows);
                self.errs.push(errs);
                rows
            }
        }
    }

    pub(super) fn distinct(&mut self, rows: Rows<'i>) -> Rows<'i> {
        self.operators.push("Distinct".into());
        reduce::distinct(rows)
    }

    /// Filters and projects: on bytes where columns are only picked, else by buffers of columns.
    fn map(&mut self, input: Rows<'i>, schema: &SchemaRef, work: Work) -> Rows<'i> {
        self.operators.push("Map".into());
        let codec = Codec::new(schema).expect(CHECKED);
        let picks = fuse::columns(&work.project).filter(|list| {
            let same = |(i, field): (&usize, &Arc<arrow::datatypes::Field>)| {
                schema.field(*i).data_type() == field.data_type()
            };
            work.filter.is_none() && list.iter().zip(work.schema.fields()).all(same)
        });
        if let Some(picks) = picks {
            let side = Side::new(codec, picks);
            return input.map(move |row| side.pick(row.as_slice()));
        }
        let output = Codec::new(&work.schema).expect(CHECKED);
        let schema = nullable(schema);
        let (rows, errs) = mapped(input, codec, schema, work, output);
        self.errs.push(errs);
        rows
    }
}

fn mapped<'i>(
    input: Rows<'i>,
    codec: Codec,
    schema: SchemaRef,
    work: Work,
    output: Codec,
) -> (Rows<'i>, Errors<'i>) {
    let mut builder = OperatorBuilder::new("Map".into(), input.inner.scope());
    let mut input = builder.new_input(input.inner, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (oks, ok_stream) = builder.new_output();
    let (errs, err_stream) = builder.new_output();
    let mut oks = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Row, Round, Diff)>>>::from(oks);
    let mut errs = OutputBuilder::<_, CapacityContainerBuilder<Vec<(Arc<str>, Round, Diff)>>>::from(errs);
    builder.build(move |_| {
        move |_| {
            let (mut oks, mut errs) = (oks.activate(), errs.activate());
            input.for_each(|cap, data| {
                let mut oks = oks.session_with_builder(&cap);
                let mut errs = errs.session_with_builder(&cap);
                let bytes: Vec<&[u8]> = data.iter().map(|(row, _, _)| row.as_slice()).collect();
                let rows = batch_of(schema.clone(), codec.decode(&bytes), bytes.len());
                // Rows of one buffer have many times: what stands for a row's diff on the way is its place.
                let places = (0..data.len() as Diff).collect();
                let delta = Delta { time: 0, rows, diffs: places };
                let mut kept = |delta: Delta| {
                    let encoded = output.encode(delta.rows.columns(), delta.len());
                    for (row, place) in encoded.iter().zip(&delta.diffs) {
                        let (_, time, diff) = &data[*place as usize];
                        oks.give((Row::from_slice(row), *time, *diff));
                    }
                };
                let mut failed = |(message, _, place): crate::Failure| {
                    let (_, time, diff) = &data[place as usize];
                    errs.give((message, *time, *diff));
                };
                work.apply(delta, &mut kept, &mut failed);
            });
        }
    });
    (ok_stream.as_collection(), err_stream.as_collection())
}
