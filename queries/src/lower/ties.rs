//! One answer where SQL allows several: every order that decides which rows stay, or what is said of them, is made total, before any
//! rule moves columns about.
//!
//! Ties are broken by all columns of the sorted rows, ascending, NULLs last, from left to right; rows that are cut off without an
//! ORDER BY are cut off in that order. The rows of a window's partition stand in it too, by a sort below the window: its ORDER BY stays
//! as it is, since peers are what RANK and RANGE frames count by. The batch oracle starts from the same plan.
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, ScalarValue, plan_err};
use datafusion::functions_window::row_number::row_number;
use datafusion::logical_expr::{
    Distinct, DistinctOn, Expr, ExprFunctionExt, FetchType, Filter, Limit, LogicalPlan, Projection, SkipType,
    Sort, SortExpr, Window, col, lit,
};
use std::collections::HashSet;
use std::sync::Arc;

/// The plan with total orders where they matter, and without orders where they do not.
pub(super) fn total(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plain = cuts(plan)?.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Sort(Sort { fetch: None, input, .. }) => {
            Ok(Transformed::yes(Arc::unwrap_or_clone(input)))
        }
        _ => Ok(Transformed::no(node)),
    })?;
    windows(plain.data)
}

/// The plan of a query that is answered once: the same total orders as in a view, and the order in which it is to be answered.
pub(crate) fn settled(plan: LogicalPlan) -> Result<LogicalPlan> {
    windows(cuts(plan)?)
}

fn cuts(plan: LogicalPlan) -> Result<LogicalPlan> {
    let cut = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Limit(limit) => limited(limit),
        LogicalPlan::Aggregate(_) => super::aggregate::meaning::in_order(node),
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(cut.data)
}

fn windows(plan: LogicalPlan) -> Result<LogicalPlan> {
    let placed = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Window(window) => in_order(window),
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(placed.data)
}

/// The plan with DISTINCT ON as the first row of each group, over the columns that it names: DataFusion's own way fails where
/// expressions of its ORDER BY turn out to be equal or constant.
pub(super) fn distinct_by_number(plan: LogicalPlan) -> Result<LogicalPlan> {
    let changed = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Distinct(Distinct::On(mut distinct)) = node else {
            return Ok(Transformed::no(node));
        };
        let sorts = distinct.sort_expr.iter().flatten().map(|sort| &sort.expr);
        let named = distinct.on_expr.iter().chain(&distinct.select_expr).chain(sorts);
        let named: HashSet<Column> = named.flat_map(|expr| expr.column_refs()).cloned().collect();
        let columns = distinct.input.schema().columns();
        let wanted: Vec<Expr> =
            columns.iter().filter(|column| named.contains(column)).cloned().map(Expr::Column).collect();
        if !wanted.is_empty() && wanted.len() < columns.len() {
            distinct.input = Arc::new(LogicalPlan::Projection(Projection::try_new(wanted, distinct.input)?));
        }
        distinct_on(distinct)
    })?;
    Ok(changed.data)
}

fn limited(mut limit: Limit) -> Result<Transformed<LogicalPlan>> {
    limit.skip = number(limit.skip.take(), "OFFSET")?;
    limit.fetch = number(limit.fetch.take(), "LIMIT")?;
    let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
        (limit.get_skip_type()?, limit.get_fetch_type()?)
    else {
        return Ok(Transformed::no(LogicalPlan::Limit(limit)));
    };
    let input = Arc::unwrap_or_clone(limit.input);
    match fetch {
        Some(fetch) => {
            limit.input = Arc::new(sorted(input, &|sort| Ok(cut(sort, skip.saturating_add(fetch))))?);
            Ok(Transformed::yes(LogicalPlan::Limit(limit)))
        }
        None if skip == 0 => Ok(Transformed::yes(input)),
        None => Ok(Transformed::yes(sorted(input, &|sort| skipped(sort, skip))?)),
    }
}

/// A LIMIT or OFFSET as a number, NULL as none.
fn number(expr: Option<Box<Expr>>, clause: &str) -> Result<Option<Box<Expr>>> {
    let Some(expr) = expr else { return Ok(None) };
    let Some(value) = constant(&expr) else { return Ok(Some(expr)) };
    match value.cast_to(&arrow::datatypes::DataType::Int64)? {
        ScalarValue::Int64(None) => Ok(None),
        ScalarValue::Int64(Some(n)) if n < 0 => plan_err!("{clause} must not be negative, and it is {n}"),
        value => Ok(Some(Box::new(lit(value)))),
    }
}

/// The value of an expression that reads nothing.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    if let Expr::Literal(value, _) = expr {
        return Some(value.clone());
    }
    let physical = super::map::physical(expr, &DFSchema::empty()).ok()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let schema = Arc::new(arrow::datatypes::Schema::empty());
    let one = arrow::array::RecordBatch::try_new_with_options(schema, vec![], &options).ok()?;
    let value = physical.evaluate(&one).and_then(|value| value.into_array(1)).ok()?;
    ScalarValue::try_from_array(&value, 0).ok()
}

/// The sort that a limit reads, below what only renames, computes or leaves out, in a total order and changed by `change`.
fn sorted(plan: LogicalPlan, change: &dyn Fn(Sort) -> Result<LogicalPlan>) -> Result<LogicalPlan> {
    let below = |input: Arc<LogicalPlan>| -> Result<Arc<LogicalPlan>> {
        Ok(Arc::new(sorted(Arc::unwrap_or_clone(input), change)?))
    };
    match plan {
        LogicalPlan::Sort(mut sort) => {
            break_ties(&mut sort.expr, &sort.input);
            change(sort)
        }
        LogicalPlan::Projection(mut projection) => {
            projection.input = below(projection.input)?;
            Ok(LogicalPlan::Projection(projection))
        }
        LogicalPlan::SubqueryAlias(mut alias) => {
            alias.input = below(alias.input)?;
            Ok(LogicalPlan::SubqueryAlias(alias))
        }
        other => {
            let mut expr = match &other {
                LogicalPlan::Limit(Limit { input, .. }) => match &**input {
                    LogicalPlan::Sort(sort) => sort.expr.clone(),
                    _ => vec![],
                },
                _ => vec![],
            };
            break_ties(&mut expr, &other);
            if expr.is_empty() {
                expr.push(lit(true).sort(true, false));
            }
            change(Sort { expr, input: Arc::new(other), fetch: None })
        }
    }
}

fn cut(mut sort: Sort, fetch: usize) -> LogicalPlan {
    sort.fetch = Some(sort.fetch.map_or(fetch, |earlier| earlier.min(fetch)));
    LogicalPlan::Sort(sort)
}

/// OFFSET without LIMIT: the rows are numbered, and those after the first `skip` kept.
fn skipped(sort: Sort, skip: usize) -> Result<LogicalPlan> {
    let after = lit(u64::try_from(skip).unwrap_or(u64::MAX));
    numbered(sort.input, vec![], sort.expr, |number| number.gt(after))
}

const NUMBER: &str = "__number";

/// The rows whose number in their partition fulfils a condition, with the columns they had.
fn numbered(
    input: Arc<LogicalPlan>,
    partition: Vec<Expr>,
    order: Vec<SortExpr>,
    condition: impl FnOnce(Expr) -> Expr,
) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let schema = input.schema().clone();
    let call = row_number().partition_by(partition);
    // An ORDER BY of nothing would have a frame by its keys.
    let call = if order.is_empty() { call } else { call.order_by(order) };
    let call = call.build()?.alias(NUMBER);
    let window = LogicalPlan::Window(Window::try_new(vec![call], input)?);
    let kept = LogicalPlan::Filter(Filter::try_new(condition(col(NUMBER)), Arc::new(window))?);
    Ok(LogicalPlan::Projection(Projection::try_new_with_schema(columns, Arc::new(kept), schema)?))
}

/// DISTINCT ON: the first row of each partition.
fn distinct_on(distinct: DistinctOn) -> Result<Transformed<LogicalPlan>> {
    let DistinctOn { on_expr, select_expr, sort_expr, input, schema } = distinct;
    let order = sort_expr.unwrap_or_default();
    let first = numbered(input, on_expr, order.clone(), |number| number.eq(lit(1u64)))?;
    // A limit above cuts the rows off in the same order.
    let placed = match order.is_empty() {
        true => first,
        false => LogicalPlan::Sort(Sort { expr: order, input: Arc::new(first), fetch: None }),
    };
    let projection = Projection::try_new_with_schema(select_expr, Arc::new(placed), schema)?;
    Ok(Transformed::yes(LogicalPlan::Projection(projection)))
}

/// A window over rows in a total order.
fn in_order(mut window: Window) -> Result<Transformed<LogicalPlan>> {
    let Some(Expr::WindowFunction(call)) = window.window_expr.first().map(|expr| expr.clone().unalias())
    else {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    };
    let mut expr: Vec<SortExpr> = vec![];
    let partition = call.params.partition_by.iter().map(|expr| expr.clone().sort(true, false));
    for sort in partition.chain(call.params.order_by.iter().cloned()) {
        if expr.iter().all(|known| known.expr != sort.expr) {
            expr.push(sort);
        }
    }
    break_ties(&mut expr, &window.input);
    if !expr.is_empty() {
        window.input = Arc::new(LogicalPlan::Sort(Sort { expr, input: window.input, fetch: None }));
    }
    Ok(Transformed::yes(LogicalPlan::Window(window)))
}

fn break_ties(order: &mut Vec<SortExpr>, input: &LogicalPlan) {
    for (column, field) in input.schema().columns().into_iter().zip(input.schema().fields()) {
        let column = Expr::Column(column);
        // These have no order.
        if matches!(field.data_type(), DataType::Map(..) | DataType::Union(..) | DataType::RunEndEncoded(..))
        {
            continue;
        }
        if order.iter().all(|known| known.expr != column) {
            order.push(column.sort(true, false));
        }
    }
}
