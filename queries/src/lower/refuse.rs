//! What cannot be maintained, found in the plan as it was written, so that the message names the author's own words.
use crate::DeclareError;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Volatility, WindowFunctionDefinition};

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
    Some(match node {
        LogicalPlan::RecursiveQuery(_) => {
            "WITH RECURSIVE is not maintained yet: write the levels out as a UNION of joins".into()
        }
        LogicalPlan::Unnest(_) => {
            "UNNEST is not maintained: declare a table with one row an element, by OPTIONS ('each' 'data.items')".into()
        }
        LogicalPlan::Distinct(Distinct::On(_)) => {
            "DISTINCT ON is not maintained: write ROW_NUMBER() OVER (PARTITION BY .. ORDER BY ..) and keep the rows where it is 1".into()
        }
        _ => return None,
    })
}

fn expression(expr: &Expr) -> Option<String> {
    match expr {
        Expr::ScalarFunction(call) => match call.func.signature().volatility {
            Volatility::Immutable => None,
            Volatility::Stable => Some(format!(
                "{}() follows the clock, which is not maintained yet: compare the column `time` of the events with each other, or put the limit into the read",
                call.func.name()
            )),
            Volatility::Volatile => Some(format!(
                "{}() gives another value each time, so no row of the view could be kept right: take the value from the event",
                call.func.name()
            )),
        },
        Expr::WindowFunction(call) => {
            let name = call.fun.name().to_lowercase();
            let known = matches!(call.fun, WindowFunctionDefinition::WindowUDF(_)) && name == "row_number";
            (!known).then(|| {
                format!(
                    "{name}(..) OVER is not maintained: maintained is ROW_NUMBER() OVER (..) with a filter such as row_number <= 10; a total of a group is a join with a GROUP BY"
                )
            })
        }
        Expr::Unnest(_) => {
            Some("UNNEST is not maintained: declare a table with one row an element, by OPTIONS ('each' 'data.items')".into())
        }
        Expr::Placeholder(_) => Some("a parameter has no value in a standing query: write the value".into()),
        Expr::ScalarVariable(..) => Some("a variable has no value in a standing query: write the value".into()),
        _ => None,
    }
}
