//! One answer where SQL allows several: every order that decides which rows stay is made total, before any rule moves columns about.
//!
//! Ties are broken by all columns of the sorted rows, ascending, NULLs last, from left to right. The batch oracle starts from the same plan.
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Expr, FetchType, Limit, LogicalPlan, SkipType, Sort, SortExpr, Window};
use std::sync::Arc;

/// The plan with total orders where rows are cut off, and without orders where none are.
pub(super) fn total(plan: LogicalPlan) -> Result<LogicalPlan> {
    let cut = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) => limited(limit),
        LogicalPlan::Window(window) => numbered(window),
        LogicalPlan::Aggregate(_) => super::aggregate::meaning::in_order(node),
        _ => Ok(Transformed::no(node)),
    })?;
    let plain = cut.data.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Sort(Sort { fetch: None, input, .. }) => {
            Ok(Transformed::yes(Arc::unwrap_or_clone(input)))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(plain.data)
}

fn limited(mut limit: Limit) -> Result<Transformed<LogicalPlan>> {
    let (SkipType::Literal(skip), FetchType::Literal(Some(fetch))) =
        (limit.get_skip_type()?, limit.get_fetch_type()?)
    else {
        return Ok(Transformed::no(LogicalPlan::Limit(limit)));
    };
    limit.input = Arc::new(sorted(Arc::unwrap_or_clone(limit.input), skip.saturating_add(fetch)));
    Ok(Transformed::yes(LogicalPlan::Limit(limit)))
}

/// The sort that a limit reads, below what only renames or computes columns.
fn sorted(plan: LogicalPlan, fetch: usize) -> LogicalPlan {
    match plan {
        LogicalPlan::Sort(mut sort) => {
            break_ties(&mut sort.expr, &sort.input);
            sort.fetch = Some(sort.fetch.map_or(fetch, |earlier| earlier.min(fetch)));
            LogicalPlan::Sort(sort)
        }
        LogicalPlan::Projection(mut projection) => {
            projection.input = Arc::new(sorted(Arc::unwrap_or_clone(projection.input), fetch));
            LogicalPlan::Projection(projection)
        }
        LogicalPlan::SubqueryAlias(mut alias) => {
            alias.input = Arc::new(sorted(Arc::unwrap_or_clone(alias.input), fetch));
            LogicalPlan::SubqueryAlias(alias)
        }
        other => other,
    }
}

fn numbered(window: Window) -> Result<Transformed<LogicalPlan>> {
    let list = window
        .window_expr
        .iter()
        .map(|expr| {
            // Others refer to the column by the text of its expression, which changes.
            let name = expr.schema_name().to_string();
            let mut call = expr.clone().unalias();
            if let Expr::WindowFunction(call) = &mut call {
                break_ties(&mut call.params.order_by, &window.input);
            }
            call.alias(name)
        })
        .collect();
    Ok(Transformed::yes(LogicalPlan::Window(Window::try_new(list, window.input)?)))
}

fn break_ties(order: &mut Vec<SortExpr>, input: &LogicalPlan) {
    for column in input.schema().columns() {
        let column = Expr::Column(column);
        if order.iter().all(|known| known.expr != column) {
            order.push(column.sort(true, false));
        }
    }
}
