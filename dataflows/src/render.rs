//! A `Plan` to operators: one walk, one `match`.
//!
//! Stateless work is vectorised over Arrow batches. State by key stands in [`crate::state`]; what is joined stands in arrangements,
//! each in a dataflow of its own, found by the plan it holds and the key it is arranged by, so that all who need it share it.
//! Failing expressions are rows of a second stream, retracted when their cause is.
mod arrange;
mod import;
mod join;
mod map;
mod stateful;

pub(crate) use arrange::{Arrangement, Index};
pub(crate) use import::{Reader, publish};

use crate::codec::Codec;
use crate::plan::{Aggregate, Order, Plan};
use crate::row::hash;
use crate::state::accumulate::accumulator;
use crate::state::group::Groups;
use crate::state::latest::Latest;
use crate::state::matched::Matched;
use crate::state::topk::{TopK, Window};
use crate::state::{Produced, Router, State};
use crate::table::{Mode, Table};
use crate::tap::Tap;
use crate::{Delta, Diff, Time};
use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::SortField;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use timely::dataflow::operators::Concatenate;
use timely::dataflow::{Scope, StreamVec};

/// Rows that change.
pub(crate) type Oks<'s> = StreamVec<'s, Time, Delta>;
/// Failures that come and go: message, time, diff.
pub(crate) type Errs<'s> = StreamVec<'s, Time, (Arc<str>, Time, Diff)>;

/// What is there to read from when a dataflow is rendered.
#[derive(Default)]
pub(crate) struct Shared {
    /// The changes of every table and view, by name.
    pub taps: BTreeMap<Arc<str>, Rc<RefCell<Tap>>>,
    /// Arrangements by fingerprint.
    pub arrangements: BTreeMap<String, Arrangement>,
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
}

impl<'a, 's> Renderer<'a, 's> {
    pub(crate) fn new(scope: Scope<'s, Time>, shared: &'a mut Shared, as_of: Time) -> Self {
        let (done, errs, imported_errs, uses) = Default::default();
        Renderer { scope, shared, as_of, done, errs, imported_errs, uses, operators: vec![], sizes: vec![] }
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
                let rows = (self.scope.index() == 0).then(|| rows.clone());
                import::constant(self.scope, rows, self.as_of)
            }
            Plan::Map { input, filter, project, schema } => {
                let input = self.plan(input);
                self.operators.push("Map".into());
                let (oks, errs) = map::map(input, filter.clone(), project.clone(), nullable(schema));
                self.errs.push(errs);
                oks
            }
            Plan::Union { inputs, .. } => {
                let inputs: Vec<Oks<'s>> = inputs.iter().map(|i| self.plan(i)).collect();
                self.scope.concatenate(inputs)
            }
            Plan::Negate(input) => map::negate(self.plan(input)),
            Plan::Distinct(input) => {
                let columns: Vec<usize> = (0..input.schema().fields().len()).collect();
                self.aggregate("Distinct", input, &columns, &[], &input.schema())
            }
            Plan::Aggregate { input, group, aggregates, schema } => {
                self.aggregate("Aggregate", input, group, aggregates, schema)
            }
            Plan::Join { left, right, on, null_equal, filter, schema } => {
                let (left, right) =
                    (Index::left(left, on, *null_equal), Index::right(right, on, *null_equal));
                let joined = self.join(&left, &right, schema);
                match filter {
                    None => joined,
                    Some(filter) => {
                        let (oks, errs) = map::map(joined, Some(filter.clone()), None, nullable(schema));
                        self.errs.push(errs);
                        oks
                    }
                }
            }
            Plan::Matched { left, joined } => {
                let schema = nullable(&left.schema());
                let columns: Vec<usize> = (0..schema.fields().len()).collect();
                let codec = Codec::new(&schema).expect(CHECKED);
                let sides = [left, joined].into_iter().enumerate().map(|(side, input)| {
                    let router =
                        Router::new(codec.clone(), columns.clone(), vec![], side as u8, self.scope.peers());
                    stateful::route(self.plan(input), router)
                });
                let sides: Vec<_> = sides.collect();
                let input = self.scope.concatenate(sides);
                self.stateful("Matched", input, Box::new(Matched::new(schema).expect(CHECKED)), None)
            }
            Plan::TopK { input, partition, order, offset, limit, number, schema } => {
                let window = Window { offset: *offset, limit: *limit, number: *number };
                let input_schema = input.schema();
                let fields = order_fields(order, &input_schema);
                let state = TopK::new(nullable(schema), fields, window).expect(CHECKED);
                let codec = Codec::for_columns(&input_schema, partition).expect(CHECKED);
                let columns = (0..input_schema.fields().len()).collect();
                let router = Router::new(codec, partition.clone(), columns, 0, self.scope.peers());
                let input = stateful::route(self.plan(input), router);
                self.stateful("TopK", input, Box::new(state), None)
            }
        }
    }

    fn get(&mut self, name: &Arc<str>) -> Oks<'s> {
        self.operators.push(format!("Import {name}"));
        let tap = self.shared.taps.get(name).expect("a view is installed after what it reads").clone();
        let (oks, errs) = import::import(self.scope, &tap, self.as_of);
        self.errs.push(errs);
        oks
    }

    fn aggregate(
        &mut self,
        name: &str,
        input: &Plan,
        group: &[usize],
        aggregates: &[Aggregate],
        schema: &SchemaRef,
    ) -> Oks<'s> {
        let input_schema = input.schema();
        let (groups, columns) = group_state(&input_schema, group, aggregates, schema).expect(CHECKED);
        let codec = Codec::for_columns(&input_schema, group).expect(CHECKED);
        let peers = self.scope.peers();
        let router = Router::new(codec, group.to_vec(), columns, 0, peers);
        let rows = stateful::route(self.plan(input), router);
        let mut groups = groups;
        let owner = hash(&[]) % peers as u64 == self.scope.index() as u64;
        let first = (group.is_empty() && owner).then(|| {
            let mut produced = Produced::default();
            groups.start_global(self.as_of, &mut produced);
            (self.as_of, produced)
        });
        self.stateful(name, rows, Box::new(groups), first)
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
        let (oks, errs) = stateful::stateful(name, input, state, first, size.clone());
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
    match plan {
        Plan::Get { .. } | Plan::Values { .. } | Plan::Map { .. } | Plan::Union { .. } | Plan::Negate(_) => {}
        Plan::Distinct(input) => _ = Codec::new(&input.schema())?,
        Plan::Aggregate { input, group, aggregates, schema } => {
            group_state(&input.schema(), group, aggregates, schema)?;
        }
        Plan::Join { left, right, on, null_equal, .. } => {
            for index in [Index::left(left, on, *null_equal), Index::right(right, on, *null_equal)] {
                index.codecs()?;
            }
        }
        Plan::Matched { left, .. } => _ = Codec::new(&left.schema())?,
        Plan::TopK { input, partition, order, schema, .. } => {
            Codec::for_columns(&input.schema(), partition)?;
            let window = Window { offset: 0, limit: 0, number: false };
            TopK::new(schema.clone(), order_fields(order, &input.schema()), window)?;
        }
    }
    plan.inputs().into_iter().try_for_each(check)
}

/// The state of a GROUP BY, and the input columns that its aggregates read.
fn group_state(
    input: &SchemaRef,
    group: &[usize],
    aggregates: &[Aggregate],
    schema: &SchemaRef,
) -> Result<(Groups, Vec<usize>), String> {
    let read: BTreeSet<usize> =
        aggregates.iter().flat_map(|a| a.argument.into_iter().chain(a.filter)).collect();
    let columns: Vec<usize> = read.into_iter().collect();
    let narrow = Schema::new(columns.iter().map(|i| input.field(*i).clone()).collect::<Vec<_>>());
    let place = |column: usize| columns.iter().position(|c| *c == column);
    let accumulators = aggregates.iter().map(|a| {
        let moved =
            Aggregate { argument: a.argument.and_then(place), filter: a.filter.and_then(place), ..a.clone() };
        accumulator(&moved, &narrow)
    });
    let accumulators = accumulators.collect::<Result<Vec<_>, _>>()?;
    Ok((Groups::new(nullable(schema), group.len(), accumulators)?, columns))
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
