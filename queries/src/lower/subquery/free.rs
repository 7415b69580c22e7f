//! Which columns of the queries around it a subquery reads, and the same subquery with these columns under other names.
use super::{Result, is_subquery};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, Subquery};
use std::sync::Arc;

/// Columns by the name they had and the name they get.
pub(super) type Renamed = [(Column, Column)];

/// The outer columns of a plan, each once.
pub(super) fn columns(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let mut found = vec![];
    of_plan(plan, &mut vec![], &mut found)?;
    Ok(found)
}

/// Whether a plan reads outer columns that `schema` has.
pub(super) fn reads_any(plan: &LogicalPlan, schema: &DFSchema) -> Result<bool> {
    Ok(columns(plan)?.iter().any(|column| schema.has_column(column)))
}

/// Whether everything that an expression and its subqueries read is in `schema`.
pub(super) fn all_in(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    let mut found = of_subqueries(expr)?;
    found.extend(expr.column_refs().into_iter().cloned());
    Ok(found.iter().all(|column| schema.has_column(column)))
}

/// The outer columns of the subqueries of an expression.
pub(super) fn of_subqueries(expr: &Expr) -> Result<Vec<Column>> {
    let mut found = vec![];
    of_expr(expr, None, &mut vec![], &mut found)?;
    Ok(found)
}

/// The subquery of an expression that is one.
pub(super) fn subquery(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(list) => Some(&list.subquery),
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::SetComparison(comparison) => Some(&comparison.subquery),
        _ => None,
    }
}

/// The columns that the expressions of a node can read.
fn scope(plan: &LogicalPlan) -> DFSchemaRef {
    Arc::new(merge_schema(&plan.inputs()))
}

fn of_plan(plan: &LogicalPlan, inner: &mut Vec<DFSchemaRef>, found: &mut Vec<Column>) -> Result<()> {
    let mut looked = Ok(());
    plan.apply_expressions(|expr| {
        looked = of_expr(expr, Some(plan), inner, found);
        Ok(if looked.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    looked?;
    if let LogicalPlan::Join(join) = plan {
        of_plan(&join.left, inner, found)?;
        inner.push(join.left.schema().clone());
        of_plan(&join.right, inner, found)?;
        inner.pop();
        return Ok(());
    }
    plan.inputs().into_iter().try_for_each(|input| of_plan(input, inner, found))
}

fn of_expr(
    expr: &Expr,
    node: Option<&LogicalPlan>,
    inner: &mut Vec<DFSchemaRef>,
    found: &mut Vec<Column>,
) -> Result<()> {
    expr.apply(|part| {
        if let Expr::OuterReferenceColumn(_, column) = part
            && !inner.iter().any(|schema| schema.has_column(column))
            && !found.contains(column)
        {
            found.push(column.clone());
        }
        if let Some(subquery) = subquery(part) {
            inner.push(node.map_or_else(|| Arc::new(DFSchema::empty()), scope));
            of_plan(&subquery.subquery, inner, found)?;
            inner.pop();
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// The plan with outer columns under other names; they stay outer columns.
pub(super) fn rebind(plan: LogicalPlan, names: &Renamed) -> Result<LogicalPlan> {
    rebind_in(plan, names, &mut vec![])
}

fn rebind_in(plan: LogicalPlan, names: &Renamed, inner: &mut Vec<DFSchemaRef>) -> Result<LogicalPlan> {
    let around = scope(&plan);
    let plan = match plan {
        LogicalPlan::Join(join) => {
            let left = Arc::new(rebind_in(join.left.as_ref().clone(), names, inner)?);
            inner.push(join.left.schema().clone());
            let right = rebind_in(join.right.as_ref().clone(), names, inner);
            inner.pop();
            LogicalPlan::Join(Join { left, right: Arc::new(right?), ..join })
        }
        LogicalPlan::Subquery(subquery) => LogicalPlan::Subquery(rebound(subquery, names, inner)?),
        plan => plan.map_children(|child| Ok(Transformed::yes(rebind_in(child, names, inner)?)))?.data,
    };
    let preserver = NamePreserver::new(&plan);
    let changed = plan.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let expr = rebind_expr(expr, names, &around, inner)?;
        Ok(Transformed::yes(name.restore(expr)))
    })?;
    Ok(changed.data)
}

fn rebound(subquery: Subquery, names: &Renamed, inner: &mut Vec<DFSchemaRef>) -> Result<Subquery> {
    let plan = rebind_in(subquery.subquery.as_ref().clone(), names, inner)?;
    Ok(Subquery {
        outer_ref_columns: plan.all_out_ref_exprs(),
        subquery: Arc::new(plan),
        spans: subquery.spans,
    })
}

fn rebind_expr(
    expr: Expr,
    names: &Renamed,
    around: &DFSchemaRef,
    inner: &mut Vec<DFSchemaRef>,
) -> Result<Expr> {
    let changed = expr.transform_up(|part| match part {
        Expr::OuterReferenceColumn(field, column) => {
            let shadowed = inner.iter().any(|schema| schema.has_column(&column));
            let new = names.iter().find(|(old, _)| *old == column && !shadowed);
            let column = new.map_or(column, |(_, new)| new.clone());
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        part if is_subquery(&part) => Ok(Transformed::yes(with_subquery(part, |subquery| {
            inner.push(around.clone());
            let subquery = rebound(subquery, names, inner);
            inner.pop();
            subquery
        })?)),
        part => Ok(Transformed::no(part)),
    })?;
    Ok(changed.data)
}

/// The expression with its subquery changed.
fn with_subquery(mut expr: Expr, change: impl FnOnce(Subquery) -> Result<Subquery>) -> Result<Expr> {
    let place = match &mut expr {
        Expr::Exists(exists) => &mut exists.subquery,
        Expr::InSubquery(list) => &mut list.subquery,
        Expr::ScalarSubquery(subquery) => subquery,
        Expr::SetComparison(comparison) => &mut comparison.subquery,
        _ => return Ok(expr),
    };
    *place = change(place.clone())?;
    Ok(expr)
}

/// An expression of the subquery itself, in which outer columns become columns of the plan below; `around` is what that plan was.
pub(super) fn bind(expr: Expr, names: &Renamed, around: &DFSchemaRef) -> Result<Expr> {
    let changed = expr.transform_up(|part| match part {
        Expr::OuterReferenceColumn(field, column) => Ok(match names.iter().find(|(old, _)| *old == column) {
            Some((_, new)) => Transformed::yes(Expr::Column(new.clone())),
            None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
        }),
        part if is_subquery(&part) => Ok(Transformed::yes(with_subquery(part, |subquery| {
            rebound(subquery, names, &mut vec![around.clone()])
        })?)),
        part => Ok(Transformed::no(part)),
    })?;
    Ok(changed.data)
}
