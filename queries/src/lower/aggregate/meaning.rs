//! Aggregates as PostgreSQL means them, said with those that DataFusion has, before types are made equal:
//!
//! | written | means |
//! |---|---|
//! | `sum(bigint)` | a numeric, which does not wrap around |
//! | `sum(real)` | a real |
//! | `count(a, b)`, `count(DISTINCT a, b)` | the rows in which none of them is NULL |
//! | `approx_distinct(x)` | `count(DISTINCT x)` |
//! | `any_value(x)` | the first of the values in their order that is not NULL |
//! | `string_agg(x, ',' ORDER BY y, 1, y)` | the same with `ORDER BY y` |
//! | `arg_min(x, y)`, `min_by(x, y)`, `arg_max`, `max_by` | the `x` of the first row in the order of `y` |
//!
//! After types are made equal, functions that read rows in an order get one that is total (`in_order`).
use super::joined;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, Operator, cast, lit, when,
};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion::prelude::not;

/// The plan with aggregates that mean what PostgreSQL means.
pub(in crate::lower) fn as_in_postgres(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(node) = node {
            for expr in &node.aggr_expr {
                found |= replaced(expr, node.input.schema())?;
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if !found {
        return Ok(plan);
    }
    // Types change on the way up.
    let changed = plan.transform_up_with_subqueries(|node| {
        let node = node.recompute_schema()?;
        let changed = each_call(node, meant)?;
        Ok(Transformed::yes(match changed.data {
            LogicalPlan::Aggregate(node) => joined::above(node)?,
            other => other,
        }))
    })?;
    Ok(changed.data)
}

/// Functions whose result depends on the order of rows.
const IN_ORDER: [&str; 5] = ["array_agg", "string_agg", "first_value", "last_value", "nth_value"];

/// An aggregate node, in which rows that are equal in a function's ORDER BY are ordered by its argument.
pub(in crate::lower) fn in_order(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    each_call(node, |call, _| {
        let value = match call.params.args.first() {
            Some(value) if IN_ORDER.contains(&call.func.name()) => value,
            _ => return Ok(None),
        };
        let params = &call.params;
        let decided = params.distinct && !params.order_by.is_empty();
        if decided || matches!(value, Expr::Literal(..)) || params.order_by.iter().any(|o| o.expr == *value) {
            return Ok(None);
        }
        // A pair is ordered by its parts.
        let parts = match value {
            Expr::ScalarFunction(pair) if pair.name() == "struct" && !params.distinct => pair.args.clone(),
            value => vec![value.clone()],
        };
        let mut call = call.clone();
        for part in parts {
            if call.params.order_by.iter().all(|o| o.expr != part) {
                call.params.order_by.push(part.sort(true, false));
            }
        }
        Ok(Some(Expr::AggregateFunction(call)))
    })
}

fn each_call(
    node: LogicalPlan,
    change: impl Fn(&AggregateFunction, &DFSchema) -> Result<Option<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Aggregate(node) = node else { return Ok(Transformed::no(node)) };
    let mut changed = false;
    let list = node.aggr_expr.iter().map(|expr| {
        let Expr::AggregateFunction(call) = expr.clone().unalias() else { return Ok(expr.clone()) };
        Ok(match change(&call, node.input.schema())? {
            // Others refer to the column by the text of its expression, which changes.
            Some(other) => {
                changed = true;
                other.alias(expr.schema_name().to_string())
            }
            None => expr.clone(),
        })
    });
    let list = list.collect::<Result<Vec<_>>>()?;
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Aggregate(node)));
    }
    let node = Aggregate::try_new(node.input, node.group_expr, list)?;
    Ok(Transformed::yes(LogicalPlan::Aggregate(node)))
}

fn replaced(expr: &Expr, input: &DFSchema) -> Result<bool> {
    match expr.clone().unalias() {
        Expr::AggregateFunction(call) => Ok(joined::has_one_order(&call)
            || joined::is_real_sum(&call, input)?
            || meant(&call, input)?.is_some()),
        _ => Ok(false),
    }
}

/// What a call means, where that is not what DataFusion takes it for.
fn meant(call: &AggregateFunction, input: &DFSchema) -> Result<Option<Expr>> {
    let args = call.params.args.as_slice();
    let call = match (call.func.name(), args) {
        ("sum", [value]) if is_long(value, input)? => {
            let mut call = call.clone();
            call.params.args = vec![cast(value.clone(), DataType::Decimal128(38, 0))];
            call
        }
        ("count", [_, _, ..]) => {
            let missing = args.iter().cloned().map(Expr::is_null).reduce(Expr::or);
            let there = not(missing.unwrap_or(lit(false)));
            let value = match call.params.distinct {
                true => datafusion::functions::core::r#struct().call(args.to_vec()),
                false => lit(1i64),
            };
            let mut call = call.clone();
            call.params.args = vec![when(there, value).end()?];
            call
        }
        ("approx_distinct", [_]) => {
            let mut call = call.clone();
            call.func = count_udaf();
            call.params.distinct = true;
            call
        }
        ("any_value", [value]) => first(call, value, vec![]),
        ("arg_min", [value, by]) => first(call, value, vec![by.clone().sort(true, false)]),
        ("arg_max", [value, by]) => first(call, value, vec![by.clone().sort(false, false)]),
        (name, _) if IN_ORDER.contains(&name) => return Ok(in_fewer(call)),
        _ => return Ok(None),
    };
    Ok(Some(Expr::AggregateFunction(call)))
}

/// A call whose ORDER BY says nothing twice, and no constant: DataFusion forgets such on one side only.
fn in_fewer(call: &AggregateFunction) -> Option<Expr> {
    let mut order: Vec<datafusion::logical_expr::SortExpr> = vec![];
    for sort in &call.params.order_by {
        let constant = sort.expr.column_refs().is_empty() && !sort.expr.contains_outer();
        if !constant && order.iter().all(|known| known.expr != sort.expr) {
            order.push(sort.clone());
        }
    }
    if order.len() == call.params.order_by.len() {
        return None;
    }
    let mut call = call.clone();
    call.params.order_by = order;
    Some(Expr::AggregateFunction(call))
}

/// The first value in an order: the first that is not NULL where the order is its own, else that of the first row that has the others.
fn first(
    call: &AggregateFunction,
    value: &Expr,
    order: Vec<datafusion::logical_expr::SortExpr>,
) -> AggregateFunction {
    let mut first = call.clone();
    first.func = first_value_udaf();
    first.params.distinct = false;
    if order.is_empty() {
        first.params.null_treatment = Some(NullTreatment::IgnoreNulls);
    }
    let there = order.iter().map(|o| o.expr.clone().is_not_null());
    let filter = call.params.filter.iter().map(|f| f.as_ref().clone()).chain(there).reduce(Expr::and);
    first.params.filter = filter.map(Box::new);
    first.params.args = vec![value.clone()];
    first.params.order_by = order;
    first.params.order_by.push(value.clone().sort(true, false));
    first
}

/// Whether an expression is a bigint in PostgreSQL, whose sum is a numeric; the sum of smaller integers is a bigint.
fn is_long(expr: &Expr, input: &DFSchema) -> Result<bool> {
    Ok(matches!(type_of(expr, input)?, DataType::Int64 | DataType::UInt64) && !is_small(expr, input)?)
}

/// The type of an expression once types are made equal: before that a CASE is taken for what its first branch is.
pub(in crate::lower) fn type_of(expr: &Expr, input: &DFSchema) -> Result<DataType> {
    if !expr.exists(|part| Ok(matches!(part, Expr::Case(_))))? {
        return expr.get_type(input);
    }
    let equal = expr.clone().rewrite(&mut TypeCoercionRewriter::new(input));
    equal.map_or_else(|_| expr.get_type(input), |equal| equal.data.get_type(input))
}

/// Whether an integer is an int in PostgreSQL though DataFusion computes it as a bigint.
fn is_small(expr: &Expr, input: &DFSchema) -> Result<bool> {
    use datafusion::common::ScalarValue;
    Ok(match expr {
        Expr::Literal(ScalarValue::Int64(value), _) => value.is_none_or(|v| i32::try_from(v).is_ok()),
        Expr::Literal(ScalarValue::Null, _) => true,
        Expr::Alias(alias) => is_small(&alias.expr, input)?,
        Expr::Negative(inner) => is_small(inner, input)?,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let same = matches!(
                op,
                Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
            );
            same && is_small(left, input)? && is_small(right, input)?
        }
        Expr::Case(Case { when_then_expr, else_expr, .. }) => {
            let values = when_then_expr.iter().map(|(_, then)| then).chain(else_expr);
            let mut small = true;
            for value in values {
                small &= is_small(value, input)?;
            }
            small
        }
        other => {
            let data_type = other.get_type(input)?;
            data_type.is_integer() && data_type.primitive_width().is_some_and(|bytes| bytes < 8)
        }
    })
}
