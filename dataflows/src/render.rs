//! A `Plan` to operators: one walk, one `match`.
//!
//! Stateless work is vectorised over Arrow batches. State by key stands in [`crate::state`]; what is joined stands in arrangements,
//! each in a dataflow of its own, found by the plan it holds and the key it is arranged by, so that all who need it share it.
//! Failing expressions are rows of a second stream, retracted when their cause is.
mod arrange;
mod compact;
mod flatten;
mod fuse;
mod import;
mod join;
mod map;
mod once;
mod recursive;
mod sorted;
mod stateful;
mod temporal;
mod window;

pub(crate) use arrange::{Arrangement, Index, UPDATE_BYTES};
pub(crate) use import::{Reader, publish};
pub(crate) use map::{message, one_zero};

use crate::codec::Codec;
use crate::plan::{Aggregate, Expr, Order, Plan};
use crate::row::{hash, worker_of};
use crate::state::accumulate::accumulators;
use crate::state::cross::Cross;
use crate::state::group::Groups;
use crate::state::latest::Latest;
use crate::state::matched::{self, Matched};
use crate::state::outer::Outer;
use crate::state::topk::{TopK, Window};
use crate::state::{Produced, Router, State};
use crate::table::{Mode, Table};
use crate::tap::Tap;
use crate::ward::Ward;
use crate::{Delta, Failure, Time};
use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::SortField;
use datafusion::physical_expr::expressions::Column;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::{Scope, StreamVec};

/// Rows that change.
pub(crate) type Oks<'s> = StreamVec<'s, Time, Delta>;
/// Failures that come and go: message, time, diff.
pub(crate) type Errs<'s> = StreamVec<'s, Time, Failure>;

/// What is there to read from when a dataflow is rendered.
#[derive(Default)]
pub(crate) struct Shared {
    /// The changes of every table and view, by name.
    pub taps: BTreeMap<Arc<str>, Rc<RefCell<Tap>>>,
    /// Arrangements by fingerprint.
    pub arrangements: BTreeMap<String, Arrangement>,
}

impl Shared {
    /// Whether the rows of a plan only come: none of them is ever taken back, so that what is not among the first now will never be.
    pub(crate) fn grows(&self, plan: &Plan) -> bool {
        match plan {
            Plan::Get { name, .. } => self.taps.get(name).is_some_and(|tap| tap.borrow().grows()),
            Plan::Values { .. } => true,
            Plan::Map { .. }
            | Plan::Union { .. }
            | Plan::Distinct(_)
            | Plan::Join { .. }
            | Plan::Cross { .. }
            | Plan::Flatten { .. } => plan.inputs().into_iter().all(|input| self.grows(input)),
            Plan::Negate(_)
            | Plan::Matched { .. }
            | Plan::Outer { .. }
            | Plan::Bag { .. }
            | Plan::Aggregate { .. }
            | Plan::TopK { .. }
            | Plan::Local { .. }
            | Plan::Recursive { .. }
            | Plan::Window { .. }
            | Plan::Temporal { .. } => false,
        }
    }
}

/// Renders one dataflow.
pub(crate) struct Renderer<'a, 's> {
    scope: Scope<'s, Time>,
    shared: &'a mut Shared,
    /// The dataflow begins with all rows at this time.
    as_of: Time,
    /// Equal subplans are rendered once.
    done: BTreeMap<String, Oks<'s>>,
    errs: Vec<Errs<'s>>,
    imported_errs: BTreeSet<String>,
    /// The arrangements it reads.
    pub uses: BTreeSet<String>,
    /// The operators, in the order they were rendered, for EXPLAIN.
    pub operators: Vec<String>,
    /// How much each stateful operator holds.
    pub sizes: Vec<Rc<Cell<usize>>>,
    /// Stops all of its operators together.
    ward: Arc<Ward>,
}

impl<'a, 's> Renderer<'a, 's> {
    pub(crate) fn new(scope: Scope<'s, Time>, shared: &'a mut Shared, as_of: Time, ward: &Arc<Ward>) -> Self {
        let ward = ward.clone();
        let (done, errs, imported_errs, uses) = Default::default();
        Renderer {
            scope,
            shared,
            as_of,
            done,
            errs,
            imported_errs,
            uses,
            operators: vec![],
            sizes: vec![],
            ward,
        }
    }

    /// All failures of what was rendered so far.
    pub(crate) fn errs(&mut self) -> Errs<'s> {
        self.scope.concatenate(std::mem::take(&mut self.errs))
    }

    /// No rows, ever: for a dataflow of which only the failures are asked.
    pub(crate) fn nothing(&mut self) -> Oks<'s> {
        import::constant(self.scope, None, self.as_of)
    }

    /// The rows of a plan.
    pub(crate) fn plan(&mut self, plan: &Plan) -> Oks<'s> {
        let fingerprint = plan.fingerprint();
        if let Some(oks) = self.done.get(&fingerprint) {
            return oks.clone();
        }
        let oks = match self.arranged_rows(plan, &fingerprint) {
            Some(oks) => oks,
            None => self.render(plan),
        };
        self.done.insert(fingerprint, oks.clone());
        oks
    }

    fn render(&mut self, plan: &Plan) -> Oks<'s> {
        match plan {
            Plan::Get { name, .. } => self.get(name),
            Plan::Values { rows } => {
                self.operators.push(format!("Values of {} rows", rows.num_rows()));
                let columns = rows.columns().iter().cloned().map(map::one_zero).collect();
                let rows = crate::state::batch_of(nullable(&rows.schema()), columns, rows.num_rows());
                let rows = (self.scope.index() == 0).then_some(rows);
                import::constant(self.scope, rows, self.as_of)
            }
            Plan::Map { input, filter, project, schema } => {
                let (input, filter) = match (&**input, filter) {
                    // What join and aggregate can do on bytes need not be decoded first.
                    (Plan::Join { .. }, None) if fuse::columns(project).is_some() => {
                        return self.join_of(input, &fuse::columns(project).unwrap_or_default(), schema);
                    }
                    (Plan::Aggregate { group, .. }, Some(condition)) if !self.shares_arrangement(input) => {
                        match fuse::having(condition, group.len()) {
                            Some(having) => (self.grouped(input, Some(having)), None),
                            None => (self.plan(input), filter.clone()),
                        }
                    }
                    _ => (self.plan(input), filter.clone()),
                };
                if filter.is_none() && project.is_none() {
                    return input;
                }
                self.operators.push("Map".into());
                let (oks, errs) = map::map(input, filter, project.clone(), nullable(schema), &self.ward);
                self.errs.push(errs);
                oks
            }
            Plan::Union { inputs, .. } => {
                let inputs: Vec<Oks<'s>> = inputs.iter().map(|i| self.plan(i)).collect();
                self.scope.concatenate(inputs)
            }
            Plan::Negate(input) => map::negate(self.plan(input)),
            Plan::Distinct(_) | Plan::Aggregate { .. } => self.grouped(plan, None),
            Plan::Join { schema, .. } => {
                let all: Vec<usize> = (0..schema.fields().len()).collect();
                self.join_of(plan, &all, schema)
            }
            Plan::Matched { left, joined } => self.counted("Matched", left, joined, matched::matched),
            Plan::Bag { left, right, kept } => self.counted("Bag", left, right, matched::bag(*kept)),
            Plan::Cross { left, right, pairs_max, schema } => {
                let state = Cross::new(&left.schema(), &right.schema(), nullable(schema), *pairs_max);
                let sides = [left, right].into_iter().enumerate().map(|(side, input)| {
                    let columns = (0..input.schema().fields().len()).collect();
                    let codec = Codec::for_columns(&input.schema(), &[]).expect(CHECKED);
                    let router = Router::new(codec, vec![], columns, side as u8, self.scope.peers());
                    stateful::route(self.plan(input), router)
                });
                let sides: Vec<_> = sides.collect();
                let input = self.scope.concatenate(sides);
                self.stateful("Cross", input, Box::new(state.expect(CHECKED)), None)
            }
            Plan::Outer { left, right, on, .. } => {
                let state = outer_state(plan).expect(CHECKED);
                let (l, r): (Vec<usize>, Vec<usize>) = on.iter().copied().unzip();
                let keys = [l, r];
                let sides = [left, right].into_iter().zip(keys).enumerate().map(|(side, (input, key))| {
                    let columns = (0..input.schema().fields().len()).collect();
                    let codec = Codec::for_columns(&input.schema(), &key).expect(CHECKED);
                    let router = Router::new(codec, key, columns, side as u8, self.scope.peers());
                    stateful::route(self.plan(input), router)
                });
                let sides: Vec<_> = sides.collect();
                let input = self.scope.concatenate(sides);
                self.stateful("Outer", input, Box::new(state), None)
            }
            Plan::Recursive { bindings, output, limit } => self.recursive(bindings, *output, *limit),
            Plan::Local { .. } => unreachable!("a binding is read only inside its recursion"),
            Plan::TopK { input, partition, .. } => {
                let input_schema = input.schema();
                let state = top_state(plan, self.shared.grows(input)).expect(CHECKED);
                let codec = Codec::for_columns(&input_schema, partition).expect(CHECKED);
                let columns = (0..input_schema.fields().len()).collect();
                let router = Router::new(codec, partition.clone(), columns, 0, self.scope.peers());
                let input = stateful::route(self.plan(input), router);
                self.stateful("TopK", input, Box::new(state), None)
            }
            Plan::Window { .. } => self.window(plan),
            Plan::Flatten { input, lists, schema } => {
                let input = self.plan(input);
                self.operators.push("Flatten".into());
                flatten::flatten(input, lists.clone(), nullable(schema), &self.ward)
            }
            Plan::Temporal { input, from, until } => self.temporal(input, from, until),
        }
    }

    /// The rows of `left`, as often as the counts of both sides say.
    fn counted(&mut self, name: &str, left: &Plan, right: &Plan, visible: matched::Visible) -> Oks<'s> {
        let schema = nullable(&left.schema());
        let columns: Vec<usize> = (0..schema.fields().len()).collect();
        let codec = Codec::new(&schema).expect(CHECKED);
        let sides = [left, right].into_iter().enumerate().map(|(side, input)| {
            let router = Router::new(codec.clone(), columns.clone(), vec![], side as u8, self.scope.peers());
            stateful::route(self.plan(input), router)
        });
        let sides: Vec<_> = sides.collect();
        let input = self.scope.concatenate(sides);
        self.stateful(name, input, Box::new(Matched::new(schema, visible).expect(CHECKED)), None)
    }

    fn get(&mut self, name: &Arc<str>) -> Oks<'s> {
        self.operators.push(format!("Import {name}"));
        let tap = self.shared.taps.get(name).expect("a view is installed after what it reads").clone();
        let (oks, errs) = import::import(self.scope, &tap, self.as_of);
        self.errs.push(errs);
        oks
    }

    /// DISTINCT and GROUP BY, with a condition on the aggregates if there is one that can be fused.
    fn grouped(&mut self, plan: &Plan, having: Option<Expr>) -> Oks<'s> {
        let grows = plan.inputs().into_iter().all(|input| self.shared.grows(input));
        let (input, mut groups, columns) = group_state(plan, having, grows).expect(CHECKED);
        let key = group_columns(plan);
        let codec = Codec::for_columns(&input.schema(), &key).expect(CHECKED);
        let peers = self.scope.peers();
        let owner = worker_of(hash(&[]), peers) == self.scope.index();
        let global = key.is_empty() && matches!(plan, Plan::Aggregate { .. });
        let router = Router::new(codec, key, columns, 0, peers);
        let rows = stateful::route(self.plan(input), router);
        let first = (global && owner).then(|| {
            let mut produced = Produced::default();
            groups.start_global(self.as_of, &mut produced);
            (self.as_of, produced)
        });
        let name = if matches!(plan, Plan::Distinct(_)) { "Distinct" } else { "Aggregate" };
        self.stateful(name, rows, Box::new(groups), first)
    }

    /// Some columns of a join.
    fn join_of(&mut self, plan: &Plan, columns: &[usize], schema: &SchemaRef) -> Oks<'s> {
        let Plan::Join { left, right, on, null_equal, filter, schema: joined_schema } = plan else {
            unreachable!("only joins are joined")
        };
        let (left, right) = (Index::left(left, on, *null_equal), Index::right(right, on, *null_equal));
        let on_bytes = filter.as_ref().map(|f| join::Predicate::new(f, &left, &right));
        match (filter, on_bytes) {
            (Some(filter), Some(None)) => {
                let all: Vec<usize> = (0..joined_schema.fields().len()).collect();
                let joined = self.join(&left, &right, None, &all, joined_schema);
                let project = columns
                    .iter()
                    .map(|i| -> Expr { Arc::new(Column::new(joined_schema.field(*i).name(), *i)) });
                let (oks, errs) = map::map(
                    joined,
                    Some(filter.clone()),
                    Some(project.collect()),
                    nullable(schema),
                    &self.ward,
                );
                self.errs.push(errs);
                oks
            }
            (_, predicate) => self.join(&left, &right, predicate.flatten(), columns, schema),
        }
    }

    fn stateful(
        &mut self,
        name: &str,
        input: StreamVec<'s, Time, crate::state::Keyed>,
        state: Box<dyn State>,
        first: Option<(Time, Produced)>,
    ) -> Oks<'s> {
        self.operators.push(name.into());
        let size = Rc::new(Cell::new(0));
        let (oks, errs) = stateful::stateful(name, input, state, first, size.clone(), &self.ward);
        self.sizes.push(size);
        self.errs.push(errs);
        oks
    }

    /// The rows of a table in mode `latest`, from the raw rows of its events.
    pub(crate) fn latest(&mut self, table: &Table, raw: &Rc<RefCell<Tap>>) -> Oks<'s> {
        let Mode::Latest { key, .. } = &table.mode else {
            unreachable!("only tables in mode latest have a dataflow")
        };
        let (rows, errs) = import::import(self.scope, raw, self.as_of);
        self.errs.push(errs);
        let input_schema = table.input_schema();
        let codec = Codec::for_columns(&input_schema, key).expect(CHECKED);
        let columns = (0..input_schema.fields().len()).collect();
        let router = Router::new(codec, key.clone(), columns, 0, self.scope.peers());
        let rows = stateful::route(rows, router);
        self.stateful("Latest", rows, Box::new(Latest::new(table).expect(CHECKED)), None)
    }
}

const CHECKED: &str = "checked by render::check before the plan was sent to the workers";

/// Whether every operator of a plan can be rendered; says which column or function cannot be kept.
pub(crate) fn check(plan: &Plan) -> Result<(), String> {
    let expressions: Vec<&Expr> = match plan {
        Plan::Map { filter, project, .. } => filter.iter().chain(project.iter().flatten()).collect(),
        Plan::Join { filter, .. } | Plan::Outer { filter, .. } => filter.iter().collect(),
        _ => vec![],
    };
    if expressions.into_iter().any(|expression| depth(expression) > DEPTH_MAX) {
        return Err(format!(
            "an expression is nested deeper than {DEPTH_MAX} operators: write IN (..) in the place of many ORs, or compute parts of it in a view below"
        ));
    }
    match plan {
        Plan::Get { .. } | Plan::Values { .. } | Plan::Map { .. } | Plan::Union { .. } | Plan::Negate(_) => {}
        Plan::Flatten { input, lists, .. } => flatten::check(&input.schema(), lists)?,
        Plan::Temporal { input, .. } => _ = Codec::new(&input.schema())?,
        Plan::Distinct(_) | Plan::Aggregate { .. } => _ = group_state(plan, None, false)?,
        Plan::Join { left, right, on, null_equal, .. } => {
            for index in [Index::left(left, on, *null_equal), Index::right(right, on, *null_equal)] {
                index.codecs()?;
            }
        }
        Plan::Matched { left, .. } | Plan::Bag { left, .. } => _ = Codec::new(&left.schema())?,
        Plan::Outer { left, on, right, .. } => {
            outer_state(plan)?;
            Codec::for_columns(&left.schema(), &on.iter().map(|(l, _)| *l).collect::<Vec<_>>())?;
            Codec::for_columns(&right.schema(), &on.iter().map(|(_, r)| *r).collect::<Vec<_>>())?;
        }
        Plan::Cross { left, right, schema, .. } => {
            Cross::new(&left.schema(), &right.schema(), schema.clone(), 0)?;
        }
        Plan::TopK { input, partition, .. } => {
            Codec::for_columns(&input.schema(), partition)?;
            top_state(plan, false)?;
        }
        Plan::Window { .. } => _ = window::state(plan)?,
        Plan::Recursive { bindings, .. } => recursive::check(bindings)?,
        Plan::Local { .. } => {}
    }
    plan.inputs().into_iter().try_for_each(check)
}

/// How deep an expression may be: a worker's stack must do for it.
const DEPTH_MAX: usize = 512;

fn depth(expression: &Expr) -> usize {
    1 + expression.children().into_iter().map(depth).max().unwrap_or(0)
}

/// The state of an outer join.
fn outer_state(plan: &Plan) -> Result<Outer, String> {
    let Plan::Outer { left, right, on, null_equal, filter, kind, schema } = plan else {
        unreachable!("only outer joins are asked")
    };
    let (l, r) = (left.schema(), right.schema());
    let both = Arc::new(Schema::new(l.fields().iter().chain(r.fields()).cloned().collect::<Vec<_>>()));
    let strict = match null_equal {
        true => [vec![], vec![]],
        false => [on.iter().map(|(l, _)| *l).collect(), on.iter().map(|(_, r)| *r).collect()],
    };
    Outer::new([&l, &r], nullable(&both), nullable(schema), filter.clone(), *kind, strict)
}

/// The input columns that make a group.
fn group_columns(plan: &Plan) -> Vec<usize> {
    match plan {
        Plan::Aggregate { group, .. } => group.clone(),
        _ => (0..plan.schema().fields().len()).collect(),
    }
}

/// The input of a GROUP BY or DISTINCT, its state, and the input columns that its aggregates read.
fn group_state(
    plan: &Plan,
    having: Option<Expr>,
    grows: bool,
) -> Result<(&Plan, Groups, Vec<usize>), String> {
    let (input, aggregates, schema): (_, &[Aggregate], _) = match plan {
        Plan::Aggregate { input, aggregates, schema, .. } => (input, aggregates, schema.clone()),
        Plan::Distinct(input) => (input, &[], input.schema()),
        _ => unreachable!("only these group"),
    };
    let read: BTreeSet<usize> = aggregates.iter().flat_map(Aggregate::columns).collect();
    let columns: Vec<usize> = read.into_iter().collect();
    let input_schema = input.schema();
    let narrow = Schema::new(columns.iter().map(|i| input_schema.field(*i).clone()).collect::<Vec<_>>());
    let place = |column: usize| columns.binary_search(&column).expect("all columns read are listed");
    let aggregates: Vec<Aggregate> = aggregates.iter().map(|a| a.moved(place)).collect();
    let accumulators = accumulators(&aggregates, &narrow, grows)?;
    let groups = Groups::new(nullable(&schema), group_columns(plan).len(), accumulators, having)?;
    Ok((input, groups, columns))
}

/// The state of a top-k.
fn top_state(plan: &Plan, grows: bool) -> Result<TopK, String> {
    let Plan::TopK { input, order, offset, limit, number, schema, .. } = plan else {
        unreachable!("only a top-k has one")
    };
    let window = Window { offset: *offset, limit: *limit, number: *number };
    let fields = order_fields(order, &input.schema());
    // Without ORDER BY the first tie-breaker is the order.
    let ordered = order.iter().map(|o| o.column).collect::<BTreeSet<_>>().len().max(1).min(fields.len());
    TopK::new(nullable(schema), fields, ordered, window, grows)
}

/// The ORDER BY columns with their options, then all others as tie-breakers.
fn order_fields(order: &[Order], schema: &SchemaRef) -> Vec<(usize, SortField)> {
    let mut fields: Vec<(usize, SortField)> = Vec::new();
    let rest =
        (0..schema.fields().len()).map(|column| Order { column, descending: false, nulls_first: false });
    for o in order.iter().copied().chain(rest) {
        if fields.iter().all(|(column, _)| *column != o.column) {
            let options = SortOptions { descending: o.descending, nulls_first: o.nulls_first };
            let data_type = schema.field(o.column).data_type().clone();
            fields.push((o.column, SortField::new_with_options(data_type, options)));
        }
    }
    fields
}

/// The same columns, all of which may be NULL: between operators a promise of NOT NULL would only be checked, never used.
pub(crate) fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
