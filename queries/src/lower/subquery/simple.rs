//! The subqueries that DataFusion writes as joins by itself, rightly and with less state.
use super::{Result, free, holds_subquery};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, Operator};
use std::collections::HashSet;

/// `EXISTS (..)`, `x IN (..)` and their negations that are semi joins; or an expression whose scalar subqueries are simple.
pub(super) fn conjunct(part: &Expr) -> Result<bool> {
    match part {
        Expr::Exists(exists) => filtered(&exists.subquery.subquery),
        Expr::Not(inner) => match inner.as_ref() {
            Expr::Exists(exists) => filtered(&exists.subquery.subquery),
            _ => Ok(false),
        },
        Expr::InSubquery(list) if !holds_subquery(&list.expr) => match list.negated {
            true => Ok(stays_a_column(&list.expr) && free::columns(&list.subquery.subquery)?.is_empty()),
            false => Ok(filtered(&list.subquery.subquery)? && told_apart(&list.subquery.subquery)?),
        },
        part => scalars(part),
    }
}

/// Whether an expression reads a row whatever the optimiser makes of it: NOT IN of a constant would be joined without heed of NULLs.
fn stays_a_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => stays_a_column(&cast.expr),
        _ => false,
    }
}

/// Whether all subqueries of an expression are scalar ones that give one row for each row of the outer query.
pub(super) fn scalars(expr: &Expr) -> Result<bool> {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    let mut simple = true;
    expr.apply(|part| {
        simple &= match part {
            Expr::ScalarSubquery(subquery) => scalar(&subquery.subquery)?,
            part => free::subquery(part).is_none(),
        };
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(simple)
}

/// Rows of something that reads no outer column, kept by conditions that may.
fn filtered(plan: &LogicalPlan) -> Result<bool> {
    if free::columns(plan)?.is_empty() {
        return Ok(true);
    }
    match plan {
        LogicalPlan::Projection(projection) if projection.expr.iter().all(is_local) => {
            filtered(&projection.input)
        }
        // A name around hides the columns that are compared.
        LogicalPlan::Distinct(Distinct::All(input)) => filtered(input),
        LogicalPlan::Filter(filter) => {
            Ok(!holds_subquery(&filter.predicate) && free::columns(&filter.input)?.is_empty())
        }
        _ => Ok(false),
    }
}

/// Whether DataFusion can tell the columns of a correlated IN apart: it knows them by their names without relations, and needs each once.
fn told_apart(plan: &LogicalPlan) -> Result<bool> {
    if free::columns(plan)?.is_empty() {
        return Ok(true);
    }
    let (mut below, mut given) = (plan, HashSet::new());
    loop {
        match below {
            LogicalPlan::Projection(projection) => {
                given.extend(projection.expr.iter().flat_map(|expr| expr.column_refs()));
                below = &projection.input;
            }
            LogicalPlan::SubqueryAlias(alias) => below = &alias.input,
            LogicalPlan::Distinct(Distinct::All(input)) => below = input,
            LogicalPlan::Filter(filter) => {
                let mut names = HashSet::new();
                let tied =
                    split_conjunction(&filter.predicate).into_iter().filter(|part| part.contains_outer());
                let mut tied = tied.flat_map(|part| part.column_refs());
                let unique = filter.input.schema().fields().iter().all(|field| names.insert(field.name()));
                return Ok(unique && !tied.any(|column| given.contains(column)));
            }
            _ => return Ok(false),
        }
    }
}

/// One aggregate over all rows, or over those with an equal column.
fn scalar(plan: &LogicalPlan) -> Result<bool> {
    match plan {
        LogicalPlan::Projection(projection) if projection.expr.iter().all(is_local) => {
            scalar(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => scalar(&alias.input),
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
            Ok(aggregate.aggr_expr.iter().all(is_local) && equated(&aggregate.input)?)
        }
        _ => Ok(false),
    }
}

fn equated(plan: &LogicalPlan) -> Result<bool> {
    if free::columns(plan)?.is_empty() {
        return Ok(true);
    }
    match plan {
        LogicalPlan::Projection(projection) if projection.expr.iter().all(is_local) => {
            equated(&projection.input)
        }
        // A name around hides the column that is compared.
        LogicalPlan::Filter(filter) => {
            let fits = split_conjunction(&filter.predicate).into_iter().all(|part| match part {
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                    let own = |expr: &Expr| matches!(expr, Expr::Column(_));
                    let outer = |expr: &Expr| matches!(expr, Expr::OuterReferenceColumn(..));
                    is_local(part) || (own(left) && outer(right)) || (outer(left) && own(right))
                }
                part => is_local(part),
            });
            Ok(fits && free::columns(&filter.input)?.is_empty())
        }
        _ => Ok(false),
    }
}

fn is_local(expr: &Expr) -> bool {
    !holds_subquery(expr) && !expr.contains_outer()
}
