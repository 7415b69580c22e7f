//! The oracle: a view's rows as DataFusion's batch engine computes them from the rows of the tables.
//!
//! It shares with the dataflow the parser, the types and the rule for ties; what comes after (optimiser, joins, aggregates, top-k)
//! is DataFusion's own.
pub(crate) mod recursive;

use crate::declare::error::from_datafusion;
use crate::functions::checked::checked;
use crate::lower::clock;
use crate::lower::recursive::held;
use crate::lower::spelled::spelled_out;
use crate::{Catalogue, Compiled, DeclareError, Declared};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use dataflows::Time;
use dataflows::plan::CLOCK;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::collect;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All rows of a materialized view. `tables` holds the rows of the tables; those of a table that is not in it are none.
/// Materialized views that it reads are computed too, unless their rows are among them. Blocks; it may be called from anywhere.
pub fn answer(
    catalogue: &Catalogue,
    view: &str,
    tables: &BTreeMap<String, Vec<RecordBatch>>,
) -> Result<Vec<RecordBatch>, DeclareError> {
    answer_at(catalogue, view, tables, None)
}

/// The same, where now() is the given time. Without one, a view that reads the clock has no answer.
pub fn answer_at(
    catalogue: &Catalogue,
    view: &str,
    tables: &BTreeMap<String, Vec<RecordBatch>>,
    now: Option<Time>,
) -> Result<Vec<RecordBatch>, DeclareError> {
    match catalogue.get(view) {
        Some(Declared::MaterializedView(compiled)) => answer_of_at(catalogue, compiled, tables, now),
        _ => Err(DeclareError::NotFound(format!(
            "cannot compute {view:?}: there is no materialized view of that name"
        ))),
    }
}

/// The rows of a query that may not be declared.
pub fn answer_of(
    catalogue: &Catalogue,
    compiled: &Compiled,
    tables: &BTreeMap<String, Vec<RecordBatch>>,
) -> Result<Vec<RecordBatch>, DeclareError> {
    answer_of_at(catalogue, compiled, tables, None)
}

/// The same, where now() is the given time.
pub fn answer_of_at(
    catalogue: &Catalogue,
    compiled: &Compiled,
    tables: &BTreeMap<String, Vec<RecordBatch>>,
    now: Option<Time>,
) -> Result<Vec<RecordBatch>, DeclareError> {
    let mut known = BTreeMap::new();
    for name in compiled.plan.sources().iter().filter(|name| &***name != CLOCK) {
        fill(catalogue, name, tables, now, &mut known)?;
    }
    // The optimiser may have seen that a table does not matter; the oracle starts from the query before that.
    for name in names(&compiled.logical).map_err(from_datafusion)? {
        fill(catalogue, &name, tables, now, &mut known)?;
    }
    run(compiled, &known, now)
}

pub(crate) type Known = BTreeMap<String, (SchemaRef, Vec<RecordBatch>)>;

fn fill(
    catalogue: &Catalogue,
    name: &str,
    tables: &BTreeMap<String, Vec<RecordBatch>>,
    now: Option<Time>,
    known: &mut Known,
) -> Result<(), DeclareError> {
    if known.contains_key(name) {
        return Ok(());
    }
    let found = match catalogue.get(name) {
        Some(Declared::Table(mapping)) => {
            (mapping.table.schema.clone(), tables.get(name).cloned().unwrap_or_default())
        }
        Some(Declared::MaterializedView(compiled)) => {
            let rows = match tables.get(name) {
                Some(rows) => rows.clone(),
                None => answer_of_at(catalogue, compiled, tables, now)?,
            };
            (compiled.view.schema.clone(), rows)
        }
        Some(Declared::View { .. }) | None => {
            return Err(DeclareError::Internal(format!(
                "the plan reads {name:?}, which has no rows of its own"
            )));
        }
    };
    known.insert(name.to_string(), found);
    Ok(())
}

pub(crate) fn names(plan: &LogicalPlan) -> PlanResult<Vec<String>> {
    let mut found = vec![];
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && held(scan).is_none()
        {
            found.push(scan.table_name.table().to_string());
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn run(compiled: &Compiled, known: &Known, now: Option<Time>) -> Result<Vec<RecordBatch>, DeclareError> {
    let logical = match now {
        Some(now) => clock::at(compiled.logical.clone(), now).map_err(from_datafusion)?,
        None => compiled.logical.clone(),
    };
    let plan = spelled_out(logical).and_then(checked);
    let plan = plan.and_then(|plan| over_rows(plan, known)).map_err(from_datafusion)?;
    let state = crate::lower::planner::state().clone();
    // A thread of its own: the caller may be inside a runtime, where another one cannot be entered.
    let batches = std::thread::scope(|scope| {
        scope.spawn(|| collected(&state, &plan)).join().expect("the batch engine reports its failures")
    });
    let batches = batches.map_err(from_datafusion)?;
    let schema = &compiled.view.schema;
    batches.iter().map(|batch| as_view(batch, schema)).collect::<PlanResult<_>>().map_err(from_datafusion)
}

fn collected(state: &SessionState, plan: &LogicalPlan) -> PlanResult<Vec<RecordBatch>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(DataFusionError::IoError)?;
    let run = |plan: &LogicalPlan| {
        runtime.block_on(async {
            let physical = state.create_physical_plan(plan).await?;
            collect(physical, state.task_ctx()).await
        })
    };
    run(&recursive::replaced(plan.clone(), &run)?)
}

/// The plan with tables of rows in the place of names.
pub(crate) fn over_rows(plan: LogicalPlan, known: &Known) -> PlanResult<LogicalPlan> {
    let replaced = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        if held(&scan).is_some() {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        }
        let (schema, rows) = &known[scan.table_name.table()];
        let rows = rows.iter().map(|batch| as_view(batch, schema)).collect::<PlanResult<Vec<_>>>()?;
        scan.source = provider_as_source(Arc::new(MemTable::try_new(schema.clone(), vec![rows])?));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(replaced.data)
}

/// The same rows with the names and types of `schema`.
fn as_view(batch: &RecordBatch, schema: &SchemaRef) -> PlanResult<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
