//! Filters pushed towards the tables, as DataFusion does it, but never below an aggregate without GROUP BY.
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// The rules with this one in the place of DataFusion's.
pub(super) fn corrected(
    rules: impl Iterator<Item = Arc<dyn OptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let own: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(AboveTotals(PushDownFilter::new()));
    rules.map(|rule| if rule.name() == own.name() { own.clone() } else { rule }).collect()
}

/// An aggregate without GROUP BY gives its one row of nothing, too: a filter below it keeps a row that the same filter above drops. The
/// rule would push one that reads no column, as `1 = 2` of `SELECT * FROM (SELECT 1 AS c, count(*) FROM t) AS q WHERE c = 2`.
#[derive(Debug)]
struct AboveTotals(PushDownFilter);

impl OptimizerRule for AboveTotals {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let stays = match &plan {
            LogicalPlan::Filter(filter) => match filter.input.as_ref() {
                LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
                _ => false,
            },
            _ => false,
        };
        if stays { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}
