//! Constant lists beside the rows of a relation: each row would get a copy, which memory may not hold.
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{Expr, LogicalPlan};

/// Elements that a constant list may have where it is repeated.
const ELEMENTS_MAX: usize = 4_096;

/// An error where a constant list would be repeated for each row and is too long for that.
pub(crate) fn bounded(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        let one_row = |input: &&LogicalPlan| matches!(input, LogicalPlan::EmptyRelation(_));
        if node.inputs().iter().all(one_row) {
            return Ok(TreeNodeRecursion::Continue);
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| match part {
                Expr::Literal(ScalarValue::List(list), _) if list.values().len() > ELEMENTS_MAX => exec_err!(
                    "a constant list of {} elements would be repeated for each row, and may have {ELEMENTS_MAX}: write it in FROM, as in FROM t, generate_series(1, 100000)",
                    list.values().len()
                ),
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })
    .map(|_| ())
}
