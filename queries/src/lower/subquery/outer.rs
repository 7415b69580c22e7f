//! The values for which a correlated subquery is computed: the outer columns it reads, each combination once.
use super::Result;
use crate::functions::orders;
use datafusion::common::{Column, NullEquality, ScalarValue, TableReference};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, ExprSchemable, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
    Projection, lit,
};
use std::sync::Arc;

/// Pairs of equal expressions, and what else a condition says.
type Parts = (Vec<(Expr, Expr)>, Vec<Expr>);

/// Outer columns under names of their own.
pub(super) struct Outer {
    /// The combinations, each once.
    pub(super) plan: LogicalPlan,
    /// What each column was called, and what it is called here.
    pub(super) names: Vec<(Column, Column)>,
}

impl Outer {
    pub(super) fn new(input: &Arc<LogicalPlan>, columns: &[Column], name: String) -> Result<Outer> {
        let relation = TableReference::bare(name.clone());
        let place = |i: usize| format!("{name}_{i}");
        let list = columns.iter().enumerate().map(|(i, column)| Expr::Column(column.clone()).alias(place(i)));
        let plan = LogicalPlanBuilder::from(input.as_ref().clone())
            .project(list.collect::<Vec<_>>())?
            .distinct()?
            .alias(relation.clone())?
            .build()?;
        let named =
            |(i, column): (usize, &Column)| (column.clone(), Column::new(Some(relation.clone()), place(i)));
        Ok(Outer { plan, names: columns.iter().enumerate().map(named).collect() })
    }

    /// Its columns.
    pub(super) fn columns(&self) -> Vec<Expr> {
        self.names.iter().map(|(_, here)| Expr::Column(here.clone())).collect()
    }

    /// A dependent plan with its outer columns under names of their own, and these names beside those they had.
    pub(super) fn renamed(
        &self,
        plan: impl Into<Arc<LogicalPlan>>,
        relation: &TableReference,
    ) -> Result<(LogicalPlan, Vec<(Column, Column)>)> {
        let plan = plan.into();
        let columns = plan.schema().columns();
        let width = self.names.len();
        let list = columns.iter().enumerate().map(|(i, column)| {
            let expr = Expr::Column(column.clone());
            if i < width { expr.alias_qualified(Some(relation.clone()), &column.name) } else { expr }
        });
        let renamed = LogicalPlan::Projection(Projection::try_new(list.collect(), plan)?);
        let new = |column: &Column| Column::new(Some(relation.clone()), &column.name);
        let pairs = self.names.iter().map(|(_, here)| (here.clone(), new(here)));
        Ok((renamed, pairs.collect()))
    }

    /// That the outer columns in `left` are those here in `right`: pairs to join by, and conditions.
    pub(super) fn equal(&self, left: &LogicalPlan, right: &LogicalPlan) -> Result<Parts> {
        let pairs = self.names.iter().map(|(there, here)| (there.clone(), here.clone()));
        same(pairs, left, right)
    }
}

/// Equality of columns in which NULL is NULL. It is written with plain equalities only, since the optimiser adds those of the query to
/// a join and would then compare them in the same way: a column that may be NULL on both sides is two, whether it is, and its value.
pub(super) fn same(
    pairs: impl Iterator<Item = (Column, Column)>,
    left: &LogicalPlan,
    right: &LogicalPlan,
) -> Result<Parts> {
    let (mut on, mut rest) = (vec![], vec![]);
    for (l, r) in pairs {
        let known = is_known(left, &l) || is_known(right, &r);
        let data_type = Expr::Column(l.clone()).get_type(left.schema())?;
        let (l, r) = (Expr::Column(l), Expr::Column(r));
        if known {
            on.push((l, r));
        } else if let Ok(value) = ScalarValue::new_default(&data_type) {
            let stands = |column: &Expr| coalesce(vec![column.clone(), lit(value.clone())]);
            on.push((stands(&l), stands(&r)));
            on.push((l.is_null(), r.is_null()));
        } else {
            rest.push(Expr::BinaryExpr(BinaryExpr::new(
                Box::new(l),
                Operator::IsNotDistinctFrom,
                Box::new(r),
            )));
        }
    }
    Ok((on, rest))
}

/// Whether a column is never NULL, as the plan itself shows.
fn is_known(plan: &LogicalPlan, column: &Column) -> bool {
    let Ok(index) = plan.schema().index_of_column(column) else { return false };
    if !plan.schema().field(index).is_nullable() {
        return true;
    }
    match plan {
        LogicalPlan::Filter(filter) => {
            split_conjunction(&filter.predicate).iter().any(|part| rejects_null(part, column))
                || is_known(&filter.input, column)
        }
        LogicalPlan::Projection(projection) => match projection.expr[index].clone().unalias() {
            Expr::Column(below) => is_known(&projection.input, &below),
            _ => false,
        },
        LogicalPlan::Distinct(Distinct::All(input)) => is_known(input, column),
        LogicalPlan::Window(window) => is_known(&window.input, column),
        LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.get(index) {
            Some(Expr::Column(below)) => is_known(&aggregate.input, below),
            _ => false,
        },
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner if join.null_equality == NullEquality::NullEqualsNothing => {
                join.on.iter().any(|(l, r)| [l, r].into_iter().any(|side| is_column(side, column)))
                    || is_known(&join.left, column)
                    || is_known(&join.right, column)
            }
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => is_known(&join.left, column),
            _ => false,
        },
        _ => false,
    }
}

fn is_column(expr: &Expr, column: &Column) -> bool {
    matches!(expr, Expr::Column(found) if found == column)
}

fn rejects_null(part: &Expr, column: &Column) -> bool {
    match part {
        Expr::IsNotNull(inner) => is_column(inner, column),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            orders(*op) && (is_column(left, column) || is_column(right, column))
        }
        _ => false,
    }
}
