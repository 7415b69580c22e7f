//! Window functions as PostgreSQL means them, where DataFusion means something else or cannot follow: said with others, before types
//! are made equal.
use super::aggregate::meaning::type_of;
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection, Window, cast, lit, when};
use std::sync::Arc;

/// The plan with these functions in the place of others.
pub(crate) fn said(plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    let said = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Window(window) => rewritten(window),
        // What a node gives follows from what it reads.
        node => node.recompute_schema().map(Transformed::yes),
    });
    said.map(|said| said.data).map_err(from_datafusion)
}

fn rewritten(window: Window) -> Result<Transformed<LogicalPlan>> {
    let (mut list, mut extra, mut defaults, mut reals) = (vec![], vec![], vec![], vec![]);
    for (i, expr) in window.window_expr.iter().enumerate() {
        // Others refer to the column by the text of its expression, which changes.
        let name = expr.schema_name().to_string();
        let Expr::WindowFunction(mut call) = expr.clone().unalias() else {
            list.push(expr.clone());
            continue;
        };
        widen(&mut call, &window)?;
        if let ("sum", [value]) = (call.fun.name(), call.params.args.as_slice())
            && type_of(value, window.input.schema())? == DataType::Float32
        {
            reals.push((i, name.clone()));
        }
        if let Some(default) = computed_default(&mut call) {
            let mut there = call.clone();
            there.params.args[0] = lit(true);
            let (value, there_name) = (format!("__value_{i}"), format!("__there_{i}"));
            list.push(Expr::from(*call).alias(&value));
            extra.push(Expr::from(*there).alias(&there_name));
            defaults.push((i, name, value, there_name, default));
        } else if Expr::WindowFunction(call.clone()) == expr.clone().unalias() {
            list.push(expr.clone());
        } else {
            list.push(Expr::from(*call).alias(name));
        }
    }
    let own = list.clone();
    list.extend(extra);
    let width = window.input.schema().fields().len();
    let plan = LogicalPlan::Window(Window::try_new(list, window.input)?);
    if defaults.is_empty() && reals.is_empty() {
        return Ok(Transformed::yes(plan));
    }
    let columns = plan.schema().columns();
    let mut project: Vec<Expr> = columns[..width + own.len()].iter().cloned().map(Expr::Column).collect();
    for (i, name, value, there, default) in defaults {
        let find = |wanted: &str| columns.iter().find(|c| c.name == wanted).cloned().map(Expr::Column);
        let (Some(value), Some(there)) = (find(&value), find(&there)) else { continue };
        let data_type = value.get_type(plan.schema())?;
        let filled = when(there.is_null(), cast(default, data_type)).otherwise(value)?;
        project[width + i] = filled.alias(name);
    }
    for (i, name) in reals {
        project[width + i] = cast(project[width + i].clone(), DataType::Float32).alias(name);
    }
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(project, Arc::new(plan))?)))
}

/// A sum of bigints is a numeric: it does not wrap.
fn widen(call: &mut WindowFunction, window: &Window) -> Result<()> {
    if call.fun.name() != "sum" {
        return Ok(());
    }
    if let [argument] = call.params.args.as_mut_slice() {
        let data_type = type_of(argument, window.input.schema())?;
        if matches!(data_type, DataType::Int64 | DataType::UInt64) {
            *argument = cast(argument.clone(), DataType::Decimal128(38, 0));
        }
    }
    Ok(())
}

/// Takes the default of LAG and LEAD away where it is not a constant.
fn computed_default(call: &mut WindowFunction) -> Option<Expr> {
    let ignore_nulls = call.params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let shifts = matches!(call.fun.name(), "lag" | "lead");
    let computed = call.params.args.get(2).is_some_and(|expr| !matches!(expr, Expr::Literal(..)));
    (shifts && computed && !ignore_nulls).then(|| call.params.args.remove(2))
}
