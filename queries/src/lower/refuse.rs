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
                "{}() follows a clock or a setting that is not the logical clock: write now()",
                call.func.name()
            )),
            Volatility::Volatile => Some(format!(
                "{}() gives another value each time, so no row of the view could be kept right: take the value from the event",
                call.func.name()
            )),
        },
        Expr::AggregateFunction(call) => super::aggregate::refusal(call),
        Expr::WindowFunction(call) => {
            let name = call.fun.name().to_lowercase();
            let known = matches!(call.fun, WindowFunctionDefinition::WindowUDF(_)) && name == "row_number";
            (!known).then(|| {
                format!(
                    "{name}(..) OVER is not maintained: maintained is ROW_NUMBER() OVER (..) with a filter such as row_number <= 10; a total of a group is a join with a GROUP BY"
                )
            })
        }
        Expr::GroupingSet(_) => {
            Some("GROUPING SETS, CUBE and ROLLUP are not maintained: write one GROUP BY for each set and UNION ALL".into())
        }
        Expr::Placeholder(_) if super::clock::is_now(expr) => None,
        Expr::Placeholder(_) => Some("a parameter has no value in a standing query: write the value".into()),
        Expr::ScalarVariable(..) => Some("a variable has no value in a standing query: write the value".into()),
        _ => None,
    }
}
