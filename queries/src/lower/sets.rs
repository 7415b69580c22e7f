//! EXCEPT and INTERSECT as PostgreSQL has them: with ALL they count copies, and both sides have one type.
//!
//! DataFusion plans both as joins in which a row stays with all its copies or not at all. Here each copy gets a number, so that the
//! n-th copy of a row meets the n-th of the other side; the lowering knows the form and counts instead.
use super::map::{constant, map};
use super::{Lowered, Lowering, renamed};
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use arrow::datatypes::DataType;
use dataflows::Plan;
use dataflows::plan::Kept;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality, Result, ScalarValue};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::type_coercion::binary::type_union_resolution;
use datafusion::logical_expr::{
    Distinct, Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder, Window, cast,
};
use std::sync::Arc;

/// The names of the number of a copy, left and right.
const COPIES: [&str; 2] = ["__copy_left", "__copy_right"];

/// The plan with its set operations put right.
pub(super) fn counted(plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    let mut changed = false;
    let rewritten = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if is_set_operation(&join) => {
            let rewritten = rewrite(join)?;
            changed |= rewritten.transformed;
            Ok(rewritten)
        }
        node => Ok(Transformed::no(node)),
    });
    let rewritten = rewritten.map_err(from_datafusion)?.data;
    if !changed {
        return Ok(rewritten);
    }
    let typed = rewritten.transform_up_with_subqueries(|node| Ok(Transformed::yes(node.recompute_schema()?)));
    Ok(typed.map_err(from_datafusion)?.data)
}

/// The planner makes such joins for nothing else.
pub(super) fn is_set_operation(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == join.left.schema().fields().len()
        && join.on.len() == join.right.schema().fields().len()
}

fn rewrite(join: Join) -> Result<Transformed<LogicalPlan>> {
    let columns = join.left.schema().columns();
    let common: Vec<DataType> = join
        .left
        .schema()
        .fields()
        .iter()
        .zip(join.right.schema().fields())
        .map(|(l, r)| {
            let both = [l.data_type().clone(), r.data_type().clone()];
            type_union_resolution(&both).unwrap_or_else(|| l.data_type().clone())
        })
        .collect();
    let same = |plan: &LogicalPlan| plan.schema().fields().iter().map(|f| f.data_type()).eq(common.iter());
    let distinct = matches!(join.left.as_ref(), LogicalPlan::Distinct(_));
    if distinct && same(&join.left) && same(&join.right) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let left = with_types(join.left.as_ref(), &common)?;
    let right = with_types(join.right.as_ref(), &common)?;
    let pair = |l: &LogicalPlan, r: &LogicalPlan| -> Vec<(Expr, Expr)> {
        let (l, r) = (l.schema().columns(), r.schema().columns());
        l.into_iter().zip(r).map(|(l, r)| (Expr::Column(l), Expr::Column(r))).collect()
    };
    let (left, right) = match distinct {
        true => (LogicalPlan::Distinct(Distinct::All(Arc::new(left))), right),
        false => (numbered(left, COPIES[0])?, numbered(right, COPIES[1])?),
    };
    let joined = Join::try_new(
        Arc::new(left.clone()),
        Arc::new(right.clone()),
        pair(&left, &right),
        None,
        join.join_type,
        join.join_constraint,
        NullEquality::NullEqualsNull,
        false,
    )?;
    let list: Vec<Expr> = columns.into_iter().map(Expr::Column).collect();
    let plan = LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(list)?.build()?;
    Ok(Transformed::yes(plan))
}

fn with_types(plan: &LogicalPlan, types: &[DataType]) -> Result<LogicalPlan> {
    if plan.schema().fields().iter().map(|field| field.data_type()).eq(types) {
        return Ok(plan.clone());
    }
    let list = plan.schema().columns().into_iter().zip(types).map(|(column, data_type)| {
        let (relation, name) = (column.relation.clone(), column.name.clone());
        cast(Expr::Column(column), data_type.clone()).alias_qualified(relation, name)
    });
    LogicalPlanBuilder::from(plan.clone()).project(list.collect::<Vec<_>>())?.build()
}

fn numbered(plan: LogicalPlan, name: &str) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let order = columns.iter().map(|column| column.clone().sort(true, false)).collect();
    let number = row_number().partition_by(columns).order_by(order).build()?.alias(name);
    Ok(LogicalPlan::Window(Window::try_new(vec![number], Arc::new(plan))?))
}

/// What was numbered.
fn copies(plan: &LogicalPlan) -> Option<&LogicalPlan> {
    match plan {
        LogicalPlan::Window(window) => {
            let last = window.schema.fields().last()?;
            let [Expr::Alias(only)] = window.window_expr.as_slice() else { return None };
            let Expr::WindowFunction(call) = only.expr.as_ref() else { return None };
            let partition = &call.params.partition_by;
            let whole =
                window.input.schema().columns().into_iter().all(|c| partition.contains(&Expr::Column(c)));
            (COPIES.contains(&last.name().as_str()) && whole).then_some(window.input.as_ref())
        }
        LogicalPlan::Projection(projection) => {
            let below = projection.input.schema().columns().into_iter().map(Expr::Column);
            below.eq(projection.expr.iter().cloned()).then(|| copies(&projection.input))?
        }
        LogicalPlan::SubqueryAlias(alias) => copies(&alias.input),
        _ => None,
    }
}

impl Lowering<'_> {
    /// A join of numbered copies, counted; nothing above it reads the number.
    pub(super) fn counted(&self, join: &Join) -> Result<Option<Lowered>, DeclareError> {
        let kept = match join.join_type {
            JoinType::LeftSemi => Kept::Intersection,
            JoinType::LeftAnti => Kept::Difference,
            _ => return Ok(None),
        };
        let paired = join.null_equality == NullEquality::NullEqualsNull
            && join.filter.is_none()
            && join.on.iter().map(|(l, _)| l).cloned().eq(all(&join.left))
            && join.on.iter().map(|(_, r)| r).cloned().eq(all(&join.right));
        let (true, Some(left), Some(right)) = (paired, copies(&join.left), copies(&join.right)) else {
            return Ok(None);
        };
        let left = self.lower(left)?.plan;
        let right = renamed(self.lower(right)?.plan, left.schema());
        let bag = Plan::Bag { left: Box::new(left), right: Box::new(right), kept };
        let schema = Arc::new(join.schema.as_arrow().clone());
        let below = bag.schema();
        let project = (0..below.fields().len()).map(|i| super::map::column(&below, i));
        let project = project.chain([constant(ScalarValue::UInt64(Some(0)))]).collect();
        Ok(Some(Lowered { plan: map(bag, None, Some(project), schema), key: None }))
    }
}

fn all(plan: &LogicalPlan) -> impl Iterator<Item = Expr> {
    plan.schema().columns().into_iter().map(|column: Column| Expr::Column(column))
}
