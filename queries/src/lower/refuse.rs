//! What cannot be maintained, found in the plan as it was written, so that the message names the author's own words.
use crate::DeclareError;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};

/// The first thing of a plan that cannot be maintained.
pub(super) fn refuse(plan: &LogicalPlan) -> Result<(), DeclareError> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        found = found.take().or_else(|| relation(node));
        if found.is_none() {
            node.apply_expressions(|expr| {
                expr.apply(|part| {
                    found = found.take().or_else(|| expression(part));
                    Ok(step(found.is_some()))
                })
            })?;
        }
        Ok(step(found.is_some()))
    })
    .map_err(crate::declare::error::from_datafusion)?;
    found.map_or(Ok(()), |text| Err(DeclareError::Unsupported(text)))
}

fn step(found: bool) -> TreeNodeRecursion {
    if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue }
}

fn relation(node: &LogicalPlan) -> Option<String> {
    match node {
        LogicalPlan::RecursiveQuery(query) => super::recursive::refusal(query),
        _ => None,
    }
}

fn expression(expr: &Expr) -> Option<String> {
    match expr {
        Expr::ScalarFunction(call) => match call.func.signature().volatility {
            Volatility::Immutable => None,
            Volatility::Stable => Some(format!(
                "{}() follows a clock or a setting that is not the logical clock: write now()",
                call.func.name()
            )),
            Volatility::Volatile => Some(format!(
                "{}() gives another value each time, so no row of the view could be kept right: take the value from the event",
                call.func.name()
            )),
        },
        Expr::WindowFunction(call) => super::window::refusal(call),
        Expr::Placeholder(_) if super::clock::is_now(expr) => None,
        Expr::Placeholder(_) => Some("a parameter has no value in a standing query: write the value".into()),
        Expr::ScalarVariable(..) => {
            Some("a variable has no value in a standing query: write the value".into())
        }
        _ => None,
    }
}
