//! The order below a window, said in its ORDER BY: DataFusion sorts the rows of a window by nothing else.
//!
//! Only where a function does not count by peers, or counts all rows as such. What is left is LAST_VALUE, NTH_VALUE and aggregates that
//! keep an order over RANGE and GROUPS frames that end inside the partition: there the oracle may take another of several peers.
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{
    Expr, LogicalPlan, Projection, Sort, SortExpr, Window, WindowFrame, WindowFrameBound, WindowFrameUnits,
};
use std::sync::Arc;

/// The plan for an engine that does not keep the order of a sort.
pub(crate) fn spelled_out(plan: LogicalPlan) -> Result<LogicalPlan> {
    let said = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Window(window) => said(window),
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(said.data)
}

fn said(window: Window) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(Sort { expr: ties, fetch: None, .. }) = &*window.input else {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    };
    let (mut by_peers, mut by_rows) = (vec![], vec![]);
    for expr in &window.window_expr {
        // Others refer to the column by the text of its expression, which changes.
        let name = expr.schema_name().to_string();
        let spelled = match expr.clone().unalias() {
            Expr::WindowFunction(call) => spell(*call, ties),
            _ => None,
        };
        match spelled {
            Some(call) => by_rows.push(Expr::from(call).alias(name)),
            None => by_peers.push(expr.clone()),
        }
    }
    let columns: Vec<Expr> = window.schema.columns().into_iter().map(Expr::Column).collect();
    let mut plan = window.input;
    for list in [by_peers, by_rows] {
        if !list.is_empty() {
            plan = Arc::new(LogicalPlan::Window(Window::try_new(list, plan)?));
        }
    }
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, plan)?)))
}

/// Says the whole order in the function itself, if that changes nothing else.
fn spell(mut call: WindowFunction, ties: &[SortExpr]) -> Option<WindowFunction> {
    let name = call.fun.name().to_string();
    let params = &mut call.params;
    let unbounded = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) => value.is_null(),
        WindowFrameBound::CurrentRow => false,
    };
    let (start, end) = (&params.window_frame.start_bound, &params.window_frame.end_bound);
    let current = |bound: &WindowFrameBound| matches!(bound, WindowFrameBound::CurrentRow);
    let whole = unbounded(start) && unbounded(end)
        || params.order_by.is_empty()
            && [start, end].into_iter().all(|bound| unbounded(bound) || current(bound));
    let all = |bound: fn(_) -> WindowFrameBound| bound(datafusion::common::ScalarValue::UInt64(None));
    match name.as_str() {
        "rank" | "dense_rank" | "percent_rank" | "cume_dist" => return None,
        "row_number" | "ntile" | "lag" | "lead" => {}
        _ if params.window_frame.units == WindowFrameUnits::Rows => {}
        _ if whole => {
            let (start, end) = (all(WindowFrameBound::Preceding), all(WindowFrameBound::Following));
            params.window_frame = WindowFrame::new_bounds(WindowFrameUnits::Rows, start, end);
        }
        "first_value"
            if unbounded(start)
                && current(end)
                && params.null_treatment != Some(NullTreatment::IgnoreNulls) =>
        {
            let start = all(WindowFrameBound::Preceding);
            params.window_frame =
                WindowFrame::new_bounds(WindowFrameUnits::Rows, start, WindowFrameBound::CurrentRow);
        }
        _ => return None,
    }
    for sort in ties {
        let known = params.order_by.iter().any(|known| known.expr == sort.expr)
            || params.partition_by.contains(&sort.expr);
        if !known {
            params.order_by.push(sort.clone());
        }
    }
    Some(call)
}
