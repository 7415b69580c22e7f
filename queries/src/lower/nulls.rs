//! `a IS NOT DISTINCT FROM b` between columns, said with plain equalities.
//!
//! The optimiser makes of the operator a join in which NULL equals NULL, and then adds the other equalities of the query to the same join,
//! where NULL would equal NULL as well. Two equalities for one column leave it nothing to confuse.
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, lit};

/// The plan without the operator in conditions.
pub(super) fn equated(plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        if !matches!(node, LogicalPlan::Join(_) | LogicalPlan::Filter(_)) {
            return Ok(Transformed::no(node));
        }
        let schema = merge_schema(&node.inputs());
        node.map_expressions(|expr| expr.transform_up(|part| one(part, &schema)))
    });
    Ok(rewritten.map_err(from_datafusion)?.data)
}

fn one(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::IsNotDistinctFrom, right }) = &part else {
        return Ok(Transformed::no(part));
    };
    let reads = |expr: &Expr| matches!(expr, Expr::Column(_) | Expr::OuterReferenceColumn(..));
    if !reads(left) || !reads(right) {
        return Ok(Transformed::no(part));
    }
    let stands = |expr: &Expr| -> Result<Option<Expr>> {
        let value = ScalarValue::new_default(&expr.get_type(schema)?);
        Ok(value.ok().map(|value| coalesce(vec![expr.clone(), lit(value)])))
    };
    let (Some(l), Some(r)) = (stands(left)?, stands(right)?) else { return Ok(Transformed::no(part)) };
    let nulls = left.as_ref().clone().is_null().eq(right.as_ref().clone().is_null());
    Ok(Transformed::yes(l.eq(r).and(nulls)))
}
