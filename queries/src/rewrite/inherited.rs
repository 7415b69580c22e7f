//! `OVER (w ROWS 2 PRECEDING)` with `WINDOW w AS (PARTITION BY a ORDER BY b)`: a window that begins with another, written out.
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, Select, WindowSpec, WindowType,
};
use std::ops::ControlFlow;

/// Writes out the windows of a SELECT that begin with one of its own.
pub(super) fn rewrite(select: &mut Select) {
    if select.named_window.is_empty() {
        return;
    }
    // One that is named may itself begin with one before it.
    for place in 0..select.named_window.len() {
        let (before, rest) = select.named_window.split_at_mut(place);
        if let Some(NamedWindowDefinition(_, NamedWindowExpr::WindowSpec(spec))) = rest.first_mut() {
            complete(spec, before);
        }
    }
    let windows = select.named_window.clone();
    for item in &mut select.projection {
        let _: ControlFlow<()> = walk::expressions_mut(item, |expr| {
            if let Expr::Function(call) = expr
                && let Some(WindowType::WindowSpec(spec)) = &mut call.over
            {
                complete(spec, &windows);
            }
            ControlFlow::Continue(())
        });
    }
}

fn complete(spec: &mut WindowSpec, windows: &[NamedWindowDefinition]) {
    let Some(base) = spec.window_name.as_ref().and_then(|name| found(name, windows)) else { return };
    spec.window_name = None;
    if spec.partition_by.is_empty() {
        spec.partition_by = base.partition_by.clone();
    }
    if spec.order_by.is_empty() {
        spec.order_by = base.order_by.clone();
    }
}

fn found<'a>(name: &Ident, windows: &'a [NamedWindowDefinition]) -> Option<&'a WindowSpec> {
    let NamedWindowDefinition(_, window) =
        windows.iter().find(|NamedWindowDefinition(own, _)| own == name)?;
    match window {
        NamedWindowExpr::WindowSpec(spec) => Some(spec),
        NamedWindowExpr::NamedWindow(other) if other != name => found(other, windows),
        NamedWindowExpr::NamedWindow(_) => None,
    }
}
