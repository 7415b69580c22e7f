//! To which query an aggregate belongs: in SQL to the one whose columns its arguments are, and in DataFusion to the one it stands in.
use super::Result;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// A plan without an aggregate that is one of a query around the one it stands in.
pub(crate) fn checked(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            for call in &aggregate.aggr_expr {
                let (mut outer, mut own) = (false, false);
                call.apply(|part| {
                    outer |= matches!(part, Expr::OuterReferenceColumn(..));
                    own |= matches!(part, Expr::Column(_));
                    Ok(TreeNodeRecursion::Continue)
                })?;
                if outer && !own {
                    return Err(DataFusionError::NotImplemented(format!(
                        "{call} is over columns of the query around, and so an aggregate of that: write it there, as a column of a subquery in FROM"
                    )));
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(plan)
}
