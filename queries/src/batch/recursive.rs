//! WITH MUTUALLY RECURSIVE for the oracle: every body is computed again and again until nothing changes.
use crate::lower::recursive::{Mutual, held};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dataflows::codec::Codec;
use datafusion::common::TableReference;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use std::sync::Arc;

/// Computes a plan without recursion.
type Run<'a> = &'a dyn Fn(&LogicalPlan) -> Result<Vec<RecordBatch>>;

/// The plan with rows in the place of each recursion.
pub(crate) fn replaced(plan: LogicalPlan, run: Run<'_>) -> Result<LogicalPlan> {
    let replaced = plan.transform_down_with_subqueries(|node| {
        let found = match &node {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref::<Mutual>(),
            _ => None,
        };
        let Some(mutual) = found else { return Ok(Transformed::no(node)) };
        let rows = answer(mutual, run)?;
        let table = MemTable::try_new(mutual.schemas[mutual.output].clone(), vec![rows])?;
        let name = TableReference::bare(mutual.names[mutual.output].as_str());
        let scan = LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(table)), None)?.build()?;
        Ok(Transformed::new(scan, true, TreeNodeRecursion::Jump))
    })?;
    Ok(replaced.data)
}

fn answer(mutual: &Mutual, run: Run<'_>) -> Result<Vec<RecordBatch>> {
    let bodies =
        mutual.bodies.iter().map(|body| replaced(body.clone(), run)).collect::<Result<Vec<LogicalPlan>>>()?;
    let mut rows: Vec<Vec<RecordBatch>> = vec![vec![]; bodies.len()];
    for _ in 0..mutual.rounds {
        let mut changed = false;
        for (i, body) in bodies.iter().enumerate() {
            let next = run(&over(body.clone(), mutual, &rows)?)?;
            let next = next
                .iter()
                .map(|batch| super::as_view(batch, &mutual.schemas[i]))
                .collect::<Result<Vec<_>>>()?;
            changed |= bag(&next, &mutual.schemas[i])? != bag(&rows[i], &mutual.schemas[i])?;
            rows[i] = next;
        }
        if !changed {
            return Ok(rows.swap_remove(mutual.output));
        }
    }
    if mutual.returns {
        return Ok(rows.swap_remove(mutual.output));
    }
    Err(DataFusionError::Execution(format!(
        "the recursion of {} did not come to an end within {} rounds",
        mutual.names.join(", "),
        mutual.rounds
    )))
}

/// A body with rows in the place of the relations.
fn over(body: LogicalPlan, mutual: &Mutual, rows: &[Vec<RecordBatch>]) -> Result<LogicalPlan> {
    let replaced = body.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let Some(i) = held(&scan).and_then(|name| mutual.names.iter().position(|known| known == name)) else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let table = MemTable::try_new(mutual.schemas[i].clone(), vec![rows[i].clone()])?;
        scan.source = provider_as_source(Arc::new(table));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    })?;
    Ok(replaced.data)
}

fn bag(batches: &[RecordBatch], schema: &SchemaRef) -> Result<Vec<Vec<u8>>> {
    let codec = Codec::new(schema).map_err(DataFusionError::Execution)?;
    let mut rows: Vec<Vec<u8>> = batches
        .iter()
        .flat_map(|batch| {
            let encoded = codec.encode(batch.columns(), batch.num_rows());
            encoded.iter().map(<[u8]>::to_vec).collect::<Vec<_>>()
        })
        .collect();
    rows.sort();
    Ok(rows)
}
