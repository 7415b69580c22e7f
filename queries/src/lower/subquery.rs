//! Subqueries to joins, before anything else looks at the plan: what the batch oracle starts from has none left that depend on a row.
//!
//! The general method: `Outer` is the different values of the outer columns that a subquery reads. The subquery is computed once for
//! all of them (`dependent`), and each row of the outer query is joined with what was computed for its values (`answer`).
//! The few forms for which DataFusion has a smaller plan of the same meaning are left to it (`simple`).
mod answer;
mod dependent;
mod free;
pub(super) mod level;
mod outer;
mod simple;
mod single;

use crate::DeclareError;
use crate::declare::error::from_datafusion;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, Join, JoinConstraint, JoinType, LogicalPlan, Projection, Sort, SortExpr, Window,
};
use dependent::Dependent;
use outer::Outer;
use std::sync::Arc;

/// The plan without subqueries that only this method can follow, and without LATERAL.
pub(super) fn flatten(plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    let mut found = false;
    let looked = plan.apply_with_subqueries(|node| {
        found |= has_subquery(node) || matches!(node, LogicalPlan::Subquery(_));
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    looked.map_err(from_datafusion)?;
    if !found {
        return Ok(plan);
    }
    let flat = Flattener::default().plan(plan).map_err(from_datafusion)?;
    // What a subquery gives may be NULL where the planner thought it could not be.
    let typed = flat.transform_up_with_subqueries(|node| Ok(Transformed::yes(node.recompute_schema()?)));
    typed.map(|typed| typed.data).map_err(from_datafusion)
}

/// Whether an expression of a node itself is or holds a subquery.
fn has_subquery(node: &LogicalPlan) -> bool {
    let mut found = false;
    let looked = node.apply_expressions(|expr| {
        found |= holds_subquery(expr);
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(looked.is_ok(), "the closure does not fail");
    found
}

fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_))
}

fn holds_subquery(expr: &Expr) -> bool {
    expr.exists(|part| Ok(is_subquery(part))).expect("the closure does not fail")
}

fn unsupported<T>(text: &str) -> Result<T> {
    Err(datafusion::error::DataFusionError::NotImplemented(text.into()))
}

/// Makes names that no query has.
#[derive(Default)]
struct Flattener {
    names: usize,
}

impl Flattener {
    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("__{what}_{}", self.names)
    }

    fn plan(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = match plan {
            LogicalPlan::Join(join) if free::reads_any(&join.right, join.left.schema())? => {
                return self.lateral(join);
            }
            plan => plan.map_children(|child| Ok(Transformed::yes(self.plan(child)?)))?.data,
        };
        if !has_subquery(&plan) {
            return Ok(plan);
        }
        match plan {
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Sort(sort) => self.sort(sort),
            LogicalPlan::Join(join) => self.condition(join),
            other => unsupported(&format!(
                "a subquery in {} is not maintained: write it as a column of a subquery in FROM",
                other.display().to_string().split([':', '(']).next().unwrap_or("this clause").trim()
            )),
        }
    }

    /// The subqueries that are left to DataFusion, with what is inside them flattened.
    fn inside(&mut self, expr: Expr) -> Result<Expr> {
        let mut within = |subquery: &mut datafusion::logical_expr::Subquery| -> Result<()> {
            let plan = subquery.subquery.as_ref().clone();
            subquery.subquery = Arc::new(self.plan(plan)?);
            Ok(())
        };
        let changed = expr.transform_down(|mut part| {
            match &mut part {
                Expr::Exists(exists) => within(&mut exists.subquery)?,
                Expr::InSubquery(list) => within(&mut list.subquery)?,
                Expr::ScalarSubquery(subquery) => within(subquery)?,
                _ => return Ok(Transformed::no(part)),
            }
            Ok(Transformed::yes(part))
        })?;
        Ok(changed.data)
    }

    fn filter(&mut self, filter: Filter) -> Result<LogicalPlan> {
        let columns = filter.input.schema().columns();
        let mut input = filter.input.clone();
        let base = filter.input;
        let mut rest = vec![];
        for part in split_conjunction(&filter.predicate) {
            rest.push(if !holds_subquery(part) {
                part.clone()
            } else if simple::conjunct(part)? {
                self.inside(part.clone())?
            } else {
                self.answered_as_condition(part.clone(), &base, &mut input)?
            });
        }
        let grown = input.schema().fields().len() != columns.len();
        let predicate = conjunction(rest).expect("a filter has a predicate");
        let kept = LogicalPlan::Filter(Filter::try_new(predicate, input)?);
        if grown { project(kept, columns.into_iter().map(Expr::Column)) } else { Ok(kept) }
    }

    fn projection(&mut self, projection: Projection) -> Result<LogicalPlan> {
        let mut input = projection.input.clone();
        let list = self.list(projection.expr, &projection.input, &mut input, true)?;
        Ok(LogicalPlan::Projection(Projection::try_new(list, input)?))
    }

    fn aggregate(&mut self, aggregate: Aggregate) -> Result<LogicalPlan> {
        let mut input = aggregate.input.clone();
        let group = self.list(aggregate.group_expr, &aggregate.input, &mut input, false)?;
        let list = self.list(aggregate.aggr_expr, &aggregate.input, &mut input, false)?;
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(input, group, list)?))
    }

    fn window(&mut self, window: Window) -> Result<LogicalPlan> {
        let columns = window.schema.columns();
        let mut input = window.input.clone();
        let list = self.list(window.window_expr, &window.input, &mut input, false)?;
        let computed = LogicalPlan::Window(Window::try_new(list, input)?);
        project(computed, columns.into_iter().map(Expr::Column))
    }

    fn sort(&mut self, mut sort: Sort) -> Result<LogicalPlan> {
        let columns = sort.input.schema().columns();
        sort.input = with_read(sort.input, sort.expr.iter().map(|by| &by.expr))?;
        let mut input = sort.input.clone();
        let list = sort.expr.into_iter().map(|by| {
            let expr = self.answered(by.expr, &sort.input, &mut input)?;
            Ok(SortExpr { expr, ..by })
        });
        let expr = list.collect::<Result<Vec<_>>>()?;
        let sorted = LogicalPlan::Sort(Sort { expr, input, fetch: sort.fetch });
        project(sorted, columns.into_iter().map(Expr::Column))
    }

    /// Expressions under the names they had.
    fn list(
        &mut self,
        list: Vec<Expr>,
        base: &Arc<LogicalPlan>,
        input: &mut Arc<LogicalPlan>,
        projected: bool,
    ) -> Result<Vec<Expr>> {
        let names = NamePreserver::new_for_projection();
        let one = |expr: Expr| {
            if !holds_subquery(&expr) {
                return Ok(expr);
            }
            let name = names.save(&expr);
            let expr = match projected && simple::scalars(&expr)? {
                true => self.inside(expr)?,
                false => self.answered(expr, base, input)?,
            };
            Ok(name.restore(expr))
        };
        list.into_iter().map(one).collect()
    }

    /// A join whose ON holds subqueries. They become columns of a side where that is possible.
    fn condition(&mut self, join: Join) -> Result<LogicalPlan> {
        let columns = join.schema.columns();
        let filter = join.filter.clone().expect("a subquery in a join stands in its condition");
        if join.join_type == JoinType::Inner {
            let below = LogicalPlan::Join(Join { filter: None, ..join });
            return self.filter(Filter::try_new(filter, Arc::new(below))?);
        }
        let (mut left, mut right) = (join.left.clone(), join.right.clone());
        let mut rest = vec![];
        for part in split_conjunction(&filter) {
            if !holds_subquery(part) {
                rest.push(part.clone());
                continue;
            }
            let reads = |side: &LogicalPlan| free::all_in(part, side.schema());
            rest.push(if reads(&join.left)? {
                self.answered(part.clone(), &join.left, &mut left)?
            } else if reads(&join.right)? {
                self.answered(part.clone(), &join.right, &mut right)?
            } else {
                return unsupported(
                    "a subquery in the ON of an outer join that reads both sides is not maintained: write it as a column of a subquery in FROM",
                );
            });
        }
        let joined = Join::try_new(
            left,
            right,
            join.on,
            conjunction(rest),
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?;
        project(LogicalPlan::Join(joined), columns.into_iter().map(Expr::Column))
    }

    /// A join whose right side reads columns of the left one.
    fn lateral(&mut self, join: Join) -> Result<LogicalPlan> {
        let columns = join.schema.columns();
        let left = Arc::new(self.plan(join.left.as_ref().clone())?);
        if !matches!(join.join_type, JoinType::Inner | JoinType::Left) || !join.on.is_empty() {
            return unsupported("LATERAL is maintained with JOIN and LEFT JOIN: write one of them");
        }
        let outer = self.outer(&left, &free::columns(&join.right)?)?;
        let right = Dependent { outer: &outer, names: self }.plan(join.right.as_ref().clone())?;
        let right = self.plan(right)?;
        let (on, same) = outer.equal(&left, &right)?;
        let filter = conjunction(join.filter.into_iter().chain(same));
        let joined = joined(left, right, on, filter, join.join_type)?;
        // A condition of the join may hold subqueries of its own.
        let joined = if has_subquery(&joined) { self.plan(joined)? } else { joined };
        project(joined, columns.into_iter().map(Expr::Column))
    }

    /// The values for which a subquery is computed; those of the columns that `input` has.
    fn outer(&mut self, input: &Arc<LogicalPlan>, columns: &[datafusion::common::Column]) -> Result<Outer> {
        if let Some(unknown) = columns.iter().find(|column| !input.schema().has_column(column)) {
            return unsupported(&format!(
                "a subquery reads {} of a query that is not around it directly: pass the column on",
                unknown.flat_name()
            ));
        }
        Outer::new(input, columns, self.name("outer"))
    }
}

/// The input of a sort with the columns that only subqueries of the order read, which the planner does not see.
fn with_read<'a>(input: Arc<LogicalPlan>, order: impl Iterator<Item = &'a Expr>) -> Result<Arc<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = input.as_ref() else { return Ok(input) };
    let mut list = projection.expr.clone();
    for column in order.map(free::of_subqueries).collect::<Result<Vec<_>>>()?.into_iter().flatten() {
        let known = list.iter().any(|expr| *expr == Expr::Column(column.clone()));
        if !known && !input.schema().has_column(&column) && projection.input.schema().has_column(&column) {
            list.push(Expr::Column(column));
        }
    }
    Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(list, projection.input.clone())?)))
}

fn project(plan: LogicalPlan, list: impl Iterator<Item = Expr>) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Projection(Projection::try_new(list.collect(), Arc::new(plan))?))
}

fn joined(
    left: impl Into<Arc<LogicalPlan>>,
    right: impl Into<Arc<LogicalPlan>>,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    join_type: JoinType,
) -> Result<LogicalPlan> {
    Ok(LogicalPlan::Join(Join::try_new(
        left.into(),
        right.into(),
        on,
        filter,
        join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )?))
}
