//! Intervals that are equal though they are written in other ways: `24:00:00` and `1 day`, `30 days` and `1 month`; and so with jsonb: `1`
//! and `1.0`. What compares rows compares their lengths, or their keys; of the values of a group the first in the order of their texts
//! stands for all.
//!
//! | written | means |
//! |---|---|
//! | `GROUP BY iv`, `DISTINCT` | `GROUP BY length(iv)`, and the first `iv` of each |
//! | `count(DISTINCT iv)` | `count(DISTINCT length(iv))` |
//! | `min(iv)`, `max(iv)` | the first `iv` in the order of lengths |
//! | `sum(iv)` | the sums of months, days and time |
//! | `iv IN (SELECT ..)`, joins, `PARTITION BY`, `ORDER BY` | the same by length |
use super::planner::Relations;
use super::sets::is_set_operation;
use super::told;
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use crate::functions::{holds_json, json_key, spans};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, plan_err};
use datafusion::functions_aggregate::expr_fn::{first_value, sum};
use datafusion::logical_expr::expr::{AggregateFunction, InSubquery, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection, ScalarUDF, Sort,
    Subquery, Window,
};
use std::sync::Arc;

/// The plan with intervals compared by their lengths.
pub(super) fn measured(plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    let is = |expr: &Expr, input: &LogicalPlan| {
        expr.get_type(input.schema()).is_ok_and(|data_type| is_interval(&data_type))
    };
    let mut found = false;
    let looked = plan.apply_with_subqueries(|node| {
        found |= node.schema().fields().iter().any(|field| is_interval(field.data_type()));
        found |= node.inputs().iter().any(|i| i.schema().fields().iter().any(|f| is_interval(f.data_type())));
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    looked.map_err(from_datafusion)?;
    if !found {
        return Ok(plan);
    }
    let measure = Measure { is: &is, of: spans::length, noun: "an interval", adds: true };
    let rewritten = plan.transform_up_with_subqueries(|node| measure.one(node).map(Transformed::yes));
    Ok(rewritten.map_err(from_datafusion)?.data)
}

/// The plan with jsonb compared by what orders it.
pub(super) fn keyed(plan: LogicalPlan, relations: &Relations) -> Result<LogicalPlan> {
    let is = |expr: &Expr, input: &LogicalPlan| {
        !matches!(expr, Expr::Literal(..)) && told::of(expr, &[input], relations) == told::Kind::Jsonb
    };
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= match node {
            LogicalPlan::TableScan(scan) => {
                relations.get(scan.table_name.table()).is_some_and(|relation| relation.told.holds_jsonb())
            }
            _ => false,
        };
        node.apply_expressions(|expr| {
            found |= expr.exists(|part| Ok(holds_json(part)))?;
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })
    })?;
    if !found {
        return Ok(plan);
    }
    let measure = Measure { is: &is, of: json_key, noun: "jsonb", adds: false };
    Ok(plan.transform_up_with_subqueries(|node| measure.one(node).map(Transformed::yes))?.data)
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

/// What is compared by something else than itself, and by what.
struct Measure<'a> {
    is: &'a dyn Fn(&Expr, &LogicalPlan) -> bool,
    of: fn() -> ScalarUDF,
    noun: &'static str,
    /// Whether it has a sum.
    adds: bool,
}

impl Measure<'_> {
    fn length(&self, expr: Expr) -> Expr {
        (self.of)().call(vec![expr])
    }

    /// The length of an interval, anything else as it is.
    fn by_length(&self, expr: Expr, input: &LogicalPlan) -> Expr {
        if (self.is)(&expr, input) { self.length(expr) } else { expr }
    }

    fn columns(&self, input: &LogicalPlan) -> Vec<Expr> {
        input.schema().columns().into_iter().map(Expr::Column).collect()
    }

    fn one(&self, node: LogicalPlan) -> Result<LogicalPlan> {
        let node = self.with_subqueries(node)?;
        match node {
            LogicalPlan::Distinct(Distinct::All(input))
                if self.columns(&input).iter().any(|column| (self.is)(column, &input)) =>
            {
                let columns = self.columns(&input);
                self.grouped(Aggregate::try_new(input, columns, vec![])?)
            }
            LogicalPlan::Distinct(Distinct::On(mut on)) => {
                let input = on.input.clone();
                on.on_expr = on.on_expr.into_iter().map(|expr| self.by_length(expr, &input)).collect();
                if let Some(sort) = &mut on.sort_expr {
                    sort.iter_mut().for_each(|s| s.expr = self.by_length(s.expr.clone(), &input));
                }
                Ok(LogicalPlan::Distinct(Distinct::On(on)))
            }
            LogicalPlan::Aggregate(node) => self.grouped(node),
            LogicalPlan::Window(window) => self.windowed(window),
            LogicalPlan::Sort(Sort { mut expr, input, fetch }) => {
                for sort in &mut expr {
                    sort.expr = self.by_length(sort.expr.clone(), &input);
                }
                Ok(LogicalPlan::Sort(Sort { expr, input, fetch }))
            }
            LogicalPlan::Join(mut join) => {
                let columns = || self.columns(&join.left).into_iter().zip(self.columns(&join.right));
                let held = |(l, r): (Expr, Expr)| (self.is)(&l, &join.left) || (self.is)(&r, &join.right);
                if !self.adds && is_set_operation(&join) && columns().any(held) {
                    return plan_err!(
                        "EXCEPT and INTERSECT over {} are not maintained: take its text, (..)::text, or the parts that count",
                        self.noun
                    );
                }
                let (left, right) = (join.left.clone(), join.right.clone());
                for (l, r) in &mut join.on {
                    if (self.is)(l, &left) || (self.is)(r, &right) {
                        (*l, *r) = (self.length(l.clone()), self.length(r.clone()));
                    }
                }
                Ok(LogicalPlan::Join(join))
            }
            other => Ok(other),
        }
    }

    /// `iv IN (SELECT ..)` by length.
    fn with_subqueries(&self, node: LogicalPlan) -> Result<LogicalPlan> {
        let below: Vec<LogicalPlan> = node.inputs().into_iter().cloned().collect();
        let names = NamePreserver::new(&node);
        let changed = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(|part| match part {
                Expr::InSubquery(InSubquery { expr, subquery, negated })
                    if self.columns(&subquery.subquery).iter().any(|c| (self.is)(c, &subquery.subquery))
                        || below.iter().any(|input| (self.is)(&expr, input)) =>
                {
                    let Subquery { subquery, outer_ref_columns, spans } = subquery;
                    let columns = subquery.schema().columns();
                    let measures: Vec<Expr> =
                        columns.into_iter().map(|c| self.length(Expr::Column(c))).collect();
                    let plan = LogicalPlanBuilder::from(subquery).project(measures)?.build()?;
                    let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns, spans };
                    Ok(Transformed::yes(Expr::InSubquery(InSubquery {
                        expr: Box::new(self.length(*expr)),
                        subquery,
                        negated,
                    })))
                }
                part => Ok(Transformed::no(part)),
            })?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })?;
        Ok(changed.data)
    }

    /// A grouping by lengths, under a projection that gives each column what it had been.
    fn grouped(&self, node: Aggregate) -> Result<LogicalPlan> {
        let input = node.input.clone();
        let sets = node.group_expr.iter().any(|expr| match expr {
            Expr::GroupingSet(set) => set.distinct_expr().iter().any(|e| (self.is)(e, &input)),
            _ => false,
        });
        if sets {
            return plan_err!(
                "GROUPING SETS, ROLLUP and CUBE over {} are not maintained: write extract(epoch from ..) of an interval, ->> of jsonb",
                self.noun
            );
        }
        let has_sets = node.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
        let changes = |expr: &Expr| match expr.clone().unalias() {
            Expr::AggregateFunction(call) => self.replaced(&call, &input),
            _ => false,
        };
        if !node.group_expr.iter().any(|expr| (self.is)(expr, &input)) && !node.aggr_expr.iter().any(changes)
        {
            return Ok(LogicalPlan::Aggregate(node));
        }
        if has_sets {
            return plan_err!(
                "min, max, sum and count(DISTINCT ..) of {} beside GROUPING SETS, ROLLUP and CUBE are not maintained: write one GROUP BY for each set and UNION ALL",
                self.noun
            );
        }
        let mut made = Made { groups: vec![], calls: vec![] };
        let mut list = vec![];
        for expr in &node.group_expr {
            let meaning = match (self.is)(expr, &input) {
                true => {
                    made.groups
                        .push(self.length(expr.clone()).alias(format!("__length_{}", made.groups.len())));
                    made.call(first_value(expr.clone(), in_order(expr)))
                }
                false => {
                    made.groups.push(expr.clone());
                    Expr::Column(
                        Aggregate::try_new(node.input.clone(), vec![expr.clone()], vec![])?.schema.columns()
                            [0]
                        .clone(),
                    )
                }
            };
            list.push(meaning);
        }
        for expr in &node.aggr_expr {
            let meaning = match expr.clone().unalias() {
                Expr::AggregateFunction(call) if self.replaced(&call, &input) => made.meant(self, call)?,
                _ => made.call(expr.clone()),
            };
            list.push(meaning);
        }
        let fields = node.schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.name().clone()));
        let list = list.into_iter().zip(fields).map(|(expr, (qualifier, name))| {
            let same = matches!(&expr, Expr::Column(c) if c.relation == qualifier && c.name == name);
            if same { expr } else { expr.alias_qualified(qualifier, name) }
        });
        let list: Vec<Expr> = list.collect();
        let below = Aggregate::try_new(node.input, made.groups, made.calls)?;
        Ok(LogicalPlan::Projection(Projection::try_new(list, Arc::new(LogicalPlan::Aggregate(below)))?))
    }

    fn replaced(&self, call: &AggregateFunction, input: &LogicalPlan) -> bool {
        let [value] = call.params.args.as_slice() else { return false };
        let distinct = call.params.distinct;
        (self.is)(value, input)
            && match call.func.name() {
                "count" => distinct,
                "min" | "max" => true,
                "sum" => self.adds,
                _ => false,
            }
    }

    /// PARTITION BY and ORDER BY of windows by length.
    fn windowed(&self, window: Window) -> Result<LogicalPlan> {
        let input = window.input.clone();
        let mut changed = false;
        let list = window.window_expr.iter().map(|expr| {
            let Expr::WindowFunction(call) = expr.clone().unalias() else { return expr.clone() };
            let mut call: WindowFunction = *call;
            let before = call.params.clone();
            for part in &mut call.params.partition_by {
                *part = self.by_length(part.clone(), &input);
            }
            for sort in &mut call.params.order_by {
                sort.expr = self.by_length(sort.expr.clone(), &input);
            }
            if call.params == before {
                return expr.clone();
            }
            changed = true;
            // Others refer to the column by the text of its expression, which changes.
            Expr::from(call).alias(expr.schema_name().to_string())
        });
        let list: Vec<Expr> = list.collect();
        match changed {
            true => Ok(LogicalPlan::Window(Window::try_new(list, window.input)?)),
            false => Ok(LogicalPlan::Window(window)),
        }
    }
}

/// By text: what differs in it only is equal.
fn in_order(expr: &Expr) -> Vec<datafusion::logical_expr::SortExpr> {
    vec![spans::printer().call(vec![expr.clone()]).sort(true, false)]
}

/// The columns of the grouping below.
struct Made {
    groups: Vec<Expr>,
    calls: Vec<Expr>,
}

impl Made {
    /// A call under a name of its own, as what stands above refers to it.
    fn call(&mut self, call: Expr) -> Expr {
        let name = format!("__call_{}", self.calls.len());
        self.calls.push(call.unalias().alias(&name));
        datafusion::logical_expr::ident(name)
    }

    /// A call over the rows that another one reads.
    fn filtered(&mut self, call: Expr, filter: Option<Box<Expr>>) -> Expr {
        let call = match call {
            Expr::AggregateFunction(mut call) => {
                call.params.filter = filter;
                Expr::AggregateFunction(call)
            }
            other => other,
        };
        self.call(call)
    }

    fn meant(&mut self, measure: &Measure<'_>, call: AggregateFunction) -> Result<Expr> {
        let value = call.params.args[0].clone();
        Ok(match call.func.name() {
            "count" => {
                let mut by_length = call.clone();
                by_length.params.args = vec![measure.length(value)];
                self.call(Expr::AggregateFunction(by_length))
            }
            name @ ("min" | "max") => {
                let mut order = vec![measure.length(value.clone()).sort(name == "min", false)];
                order.extend(in_order(&value));
                let there = value.clone().is_not_null();
                let filter = match &call.params.filter {
                    Some(filter) => filter.as_ref().clone().and(there),
                    None => there,
                };
                self.filtered(first_value(value, order), Some(Box::new(filter)))
            }
            _ if call.params.distinct => {
                return plan_err!("sum of DISTINCT intervals is not maintained: write it without DISTINCT");
            }
            _ => {
                let filter = || call.params.filter.clone();
                let part = |which| spans::part(which).call(vec![value.clone()]);
                let months = self.filtered(sum(part("months")), filter());
                let days = self.filtered(sum(part("days")), filter());
                let time = self.filtered(sum(part("time")), filter());
                spans::of_parts().call(vec![months, days, time])
            }
        })
    }
}
