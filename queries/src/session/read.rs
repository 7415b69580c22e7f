//! SELECT, by DataFusion over one consistent snapshot of tables and views.
use super::watch::{STOPPED, TIME_IS_UP, watched};
use super::{Answer, Description, Inner};
use crate::batch::{names, over_rows, recursive};
use crate::declare::error::from_datafusion;
use crate::functions::checked::checked;
use crate::lower::clock;
use crate::lower::names::shown;
use crate::lower::planner::{self, Relation};
use crate::lower::repeated::bounded;
use crate::lower::spelled::spelled_out;
use crate::lower::told::{self, Known};
use crate::lower::{ties, windowed};
use crate::rewrite::functions;
use crate::{Catalogue, DeclareError, Declared};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflows::Time;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast::Query;
use futures::StreamExt;
use sinks::memory::{Read, kept::Kept};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::timeout;

/// Rows in the place of a table's, or under a name that stands for no table.
pub(super) type Overlay = BTreeMap<String, (SchemaRef, Vec<RecordBatch>)>;

/// What a query is run with besides its text.
#[derive(Default)]
pub(super) struct Given<'a> {
    pub(super) parameters: &'a [ScalarValue],
    pub(super) overlay: Overlay,
    /// The types that its columns are cast to.
    pub(super) wanted: Option<Vec<DataType>>,
    /// Whether there may be fewer columns than types, and only the first are meant.
    pub(super) fewer: bool,
    pub(super) at: Option<Time>,
}

/// What it gave: the time that it saw, too.
pub(super) struct Found {
    pub(super) schema: SchemaRef,
    pub(super) rows: Vec<RecordBatch>,
    pub(super) time: Time,
}

const BATCH_ROWS: usize = 8_192;

impl Inner {
    pub(super) fn select(
        &self,
        query: Query,
        at: Option<Time>,
        parameters: &[ScalarValue],
    ) -> Result<Answer, DeclareError> {
        let Found { schema, rows, time } = self.find(query, Given { parameters, at, ..Given::default() })?;
        Ok(Answer::Rows { schema, rows, time })
    }

    pub(super) fn describe(&self, query: Query) -> Result<Description, DeclareError> {
        let catalogue = self.host.catalogue();
        let mut query = query;
        functions::expand(&mut query, catalogue.functions())?;
        let relations = catalogue.relations();
        let plan = planner::plan(query, &relations)?;
        let (told, asked) = (told::columns(&plan, &relations), told::parameters(&plan, &relations));
        let plan = windowed::said(plan)?;
        let types = plan.get_parameter_types().map_err(from_datafusion)?;
        let parameter = |n: usize| types.get(&format!("${n}")).cloned();
        let parameters: Vec<Option<DataType>> = (1..).map_while(parameter).collect();
        let told_of = (1..=parameters.len()).map(|n| asked.get(&format!("${n}")).cloned()).collect();
        let columns = Some(as_shown(plan.schema().as_arrow(), &told));
        Ok(Description { columns, parameters, told: told_of })
    }

    /// Runs a query over what readers see now, or saw at `given.at`.
    pub(super) fn find(&self, query: Query, given: Given) -> Result<Found, DeclareError> {
        let catalogue = self.host.catalogue();
        let mut query = query;
        functions::expand(&mut query, catalogue.functions())?;
        let mut relations = catalogue.relations();
        for (name, (schema, _)) in &given.overlay {
            let relation =
                Relation { schema: schema.clone(), query: None, key: vec![], told: Default::default() };
            relations.insert(name.clone(), Arc::new(relation));
        }
        let now = given.at.or_else(|| self.memory.read().time()).unwrap_or(0);
        let plan = planner::plan(query, &relations)?;
        let told = told::columns(&plan, &relations);
        let plan = windowed::said(plan)?;
        let mut plan = clock::at(plan, now).map_err(from_datafusion)?;
        if let Some(wanted) = &given.wanted {
            let width =
                if given.fewer { plan.schema().fields().len().min(wanted.len()) } else { wanted.len() };
            plan = with_types(plan, &wanted[..width])?;
        }
        if !given.parameters.is_empty() {
            plan = plan.with_param_values(given.parameters.to_vec()).map_err(from_datafusion)?;
        }
        let plan = ties::settled(planner::analyse(plan)?).map_err(from_datafusion)?;
        let mut known = given.overlay;
        let wanted: Vec<String> = names(&plan).map_err(from_datafusion)?;
        let wanted: Vec<String> = wanted.into_iter().filter(|name| !known.contains_key(name)).collect();
        self.make_readable(&catalogue, &wanted)?;
        let read = self.memory.read();
        let time = given.at.or(read.time()).unwrap_or(0);
        for name in wanted {
            let rows = rows_of(&read, &name, given.at)?;
            known.insert(name, rows);
        }
        let plan = spelled_out(plan).and_then(checked);
        let plan = plan.and_then(|plan| over_rows(plan, &known)).map_err(from_datafusion)?;
        let schema = as_shown(plan.schema().as_arrow(), &told);
        let until = Instant::now() + self.limits.time;
        let plan = recursive::replaced(plan, &|part| match Instant::now() < until {
            true => self.collect(part).map_err(|why| DataFusionError::External(Box::new(why))),
            false => Err(DataFusionError::External(Box::new(self.too_long()))),
        });
        let plan = plan.map_err(|why| match why.find_root() {
            DataFusionError::External(inner) => match inner.downcast_ref::<DeclareError>() {
                Some(own) => own.clone(),
                None => from_datafusion(why),
            },
            _ => from_datafusion(why),
        })?;
        let rows = self.collect(&plan)?;
        let rows = rows.into_iter().map(|batch| renamed(&batch, &schema));
        let rows = rows.collect::<Result<Vec<_>, _>>().map_err(super::internal)?;
        let schema = rows.first().map_or(schema, RecordBatch::schema);
        Ok(Found { schema, rows, time })
    }

    /// Waits until all of some tables and views can be read.
    pub(super) fn make_readable(&self, catalogue: &Catalogue, wanted: &[String]) -> Result<(), DeclareError> {
        let waiting = |name: &String| self.memory.read().view(name).is_none_or(|kept| kept.since().is_none());
        for name in wanted {
            if waiting(name) && matches!(catalogue.get(name), Some(Declared::Table(_))) {
                self.host.publish(name)?;
            }
        }
        match wanted.iter().any(waiting) {
            true => self.host.live(wanted),
            false => Ok(()),
        }
    }

    /// Runs a plan within the limits. The caller stands on a thread of its own, outside any runtime.
    fn collect(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>, DeclareError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|why| DeclareError::Unavailable(format!("cannot start a query: {why}")))?;
        // Each operator looks at the clock too: a loop between two of them does not come back here.
        let found = runtime.block_on(async { timeout(self.limits.time, self.collected(plan)).await });
        found.unwrap_or_else(|_| Err(self.too_long()))
    }

    async fn collected(&self, plan: &LogicalPlan) -> Result<Vec<RecordBatch>, DeclareError> {
        let until = Instant::now() + self.limits.time;
        // What does not fit into its memory is refused, not written to the disk of others.
        let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_limit(self.limits.memory_bytes, 1.0)
            .with_disk_manager_builder(disk)
            .build_arc();
        let state = SessionStateBuilder::new_from_existing(planner::state().clone())
            .with_runtime_env(runtime.map_err(from_datafusion)?)
            .build();
        // What is folded here is what will be run.
        let plan = state.optimize(plan).map_err(from_datafusion)?;
        bounded(&plan).map_err(from_datafusion)?;
        let physical = state.create_physical_plan(&plan).await.map_err(|why| self.stopped(why))?;
        let physical = watched(physical, until, &self.stop).map_err(from_datafusion)?;
        let mut stream = execute_stream(physical, state.task_ctx()).map_err(|why| self.stopped(why))?;
        let (mut rows, mut count, mut bytes) = (vec![], 0, 0);
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|why| self.stopped(why))?;
            count += batch.num_rows();
            bytes += batch.get_array_memory_size();
            if count > self.limits.rows {
                return Err(DeclareError::Invalid(format!(
                    "the query gives more than {} rows, the most that one may answer with: add a WHERE or a LIMIT",
                    self.limits.rows
                )));
            }
            if bytes > self.limits.memory_bytes {
                return Err(self.too_large("its rows alone do"));
            }
            rows.push(batch);
        }
        Ok(rows)
    }

    fn stopped(&self, why: DataFusionError) -> DeclareError {
        match why.find_root() {
            DataFusionError::ResourcesExhausted(text) => {
                self.too_large(text.lines().next().unwrap_or_default())
            }
            DataFusionError::Execution(text) if text == TIME_IS_UP => self.too_long(),
            DataFusionError::Execution(text) if text == STOPPED => cancelled(),
            _ => from_datafusion(why),
        }
    }

    fn too_large(&self, why: &str) -> DeclareError {
        DeclareError::Invalid(format!(
            "the query was stopped: it needs more than the {} MiB of memory that one may use ({why})",
            self.limits.memory_bytes >> 20
        ))
    }

    fn too_long(&self) -> DeclareError {
        let seconds = self.limits.time.as_secs_f64();
        DeclareError::Invalid(format!("the query was stopped after {seconds} s, the most that one may take"))
    }
}

/// What a statement ends with that its client no longer wants.
pub(super) fn cancelled() -> DeclareError {
    DeclareError::Invalid("canceling statement due to user request".into())
}

/// The rows of a table or view, now or at an earlier time.
fn rows_of(read: &Read, name: &str, at: Option<Time>) -> Result<(SchemaRef, Vec<RecordBatch>), DeclareError> {
    let kept: &Kept = read.view(name).filter(|kept| kept.since().is_some()).ok_or_else(|| {
        DeclareError::Unavailable(format!("{name:?} has no rows to read yet: try again in a moment"))
    })?;
    let schema = kept.shape().view().schema.clone();
    if let Some((message, _)) = kept.errs().next() {
        return Err(DeclareError::Invalid(format!(
            "view {name:?} cannot be read, since {} of its rows cannot be computed: {message}",
            kept.errs_count()
        )));
    }
    let rows = match at {
        None => kept.batches(BATCH_ROWS).collect(),
        Some(at) => {
            let now = read.time().unwrap_or(0);
            kept.batches_at(at, now, BATCH_ROWS).ok_or_else(|| {
                let from = kept.known_from();
                DeclareError::Invalid(format!(
                    "{name:?} at {at} is not known: name a time from {from} to {now}"
                ))
            })?
        }
    };
    Ok((schema, rows))
}

/// The plan with its columns cast.
fn with_types(plan: LogicalPlan, wanted: &[DataType]) -> Result<LogicalPlan, DeclareError> {
    if plan.schema().fields().len() != wanted.len() {
        let have = plan.schema().fields().len();
        return Err(DeclareError::Invalid(format!("there are {have} values for {} columns", wanted.len())));
    }
    // The types that a union says it has are not those that its branches are cast to.
    let mut settled = true;
    let seen = plan.apply(|node| {
        settled &= !matches!(node, LogicalPlan::Union(_));
        Ok(if settled { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    seen.map_err(from_datafusion)?;
    let list = plan.schema().columns().into_iter().zip(plan.schema().fields().iter()).zip(wanted).enumerate();
    let list: Vec<Expr> = list
        .map(|(i, ((column, have), want))| {
            let column = Expr::Column(column);
            let value = if settled && have.data_type() == want { column } else { cast(column, want.clone()) };
            value.alias(format!("column{i}"))
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(list).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// The columns under the names that readers see.
fn as_shown(schema: &Schema, told: &Known) -> SchemaRef {
    let field = |(place, field): (usize, &Arc<Field>)| {
        told.said(place, field.as_ref().clone().with_name(shown(field.name())).with_nullable(true))
    };
    Arc::new(Schema::new(schema.fields().iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// The names of a schema, with the types that the rows have.
fn renamed(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, arrow::error::ArrowError> {
    let fields = schema.fields().iter().zip(batch.columns());
    let fields: Vec<Field> = fields
        .map(|(field, column)| {
            field.as_ref().clone().with_data_type(column.data_type().clone()).with_nullable(true)
        })
        .collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), batch.columns().to_vec(), &options)
}
