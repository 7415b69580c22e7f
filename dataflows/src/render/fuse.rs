//! What a Map can leave to the operator below it.
use crate::plan::Expr;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use std::sync::Arc;

/// The columns, if a projection only picks columns.
pub(super) fn columns(project: &Option<Vec<Expr>>) -> Option<Vec<usize>> {
    project.as_ref()?.iter().map(|e| e.downcast_ref::<Column>().map(Column::index)).collect()
}

/// A condition on the columns behind the first `keys`, moved to the front, if it is made of comparisons that cannot fail.
pub(super) fn having(condition: &Expr, keys: usize) -> Option<Expr> {
    if let Some(binary) = condition.downcast_ref::<BinaryExpr>() {
        let logical = matches!(binary.op(), Operator::And | Operator::Or);
        let side = |e: &Expr| if logical { having(e, keys) } else { operand(e, keys) };
        if logical || comparison(binary.op()) {
            return Some(Arc::new(BinaryExpr::new(
                side(binary.left())?,
                *binary.op(),
                side(binary.right())?,
            )));
        }
    }
    None
}

fn operand(e: &Expr, keys: usize) -> Option<Expr> {
    if let Some(column) = e.downcast_ref::<Column>() {
        return Some(Arc::new(Column::new(column.name(), column.index().checked_sub(keys)?)));
    }
    e.downcast_ref::<Literal>().map(|_| e.clone())
}

/// Whether it is one of =, <>, <, <=, >, >=.
pub(super) fn comparison(op: &Operator) -> bool {
    matches!(
        op,
        Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
    )
}
