//! `now()` is the logical clock. In a plan it is a parameter, which neither the optimiser nor this machine's clock can fill.
//!
//! A comparison with it in a filter becomes a temporal filter ([`super::temporal`]). Anywhere else, what depends on the clock alone is
//! computed from the clock's only row, made distinct, and joined: so `date_trunc('hour', now())` changes once an hour. A comparison with a
//! time of the row is a column there, true or false as the row passes one of two temporal filters.
use super::{Lowered, Lowering, map, planner, temporal};
use crate::DeclareError;
use arrow::datatypes::{DataType, Field};
use dataflows::plan::{CLOCK, clock_schema};
use dataflows::{Plan, Time};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, Result, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection,
    Union, cast, col, lit,
};
use std::sync::Arc;

const NOW: &str = "$__now";

/// Whether an expression is the clock itself.
pub(crate) fn is_now(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(placeholder) if placeholder.id == NOW)
}

/// Whether an expression reads the clock.
pub(crate) fn has_now(expr: &Expr) -> bool {
    expr.exists(|part| Ok(is_now(part))).unwrap_or(false)
}

/// The plan with the clock in the place of every `now()`.
pub(super) fn placed(plan: LogicalPlan) -> Result<LogicalPlan> {
    replaced(plan, |part| match part {
        Expr::ScalarFunction(call) if call.func.name() == "now" => {
            let data_type = part.get_type(&DFSchema::empty())?;
            let field = Arc::new(Field::new(NOW, data_type, false));
            Ok(Some(Expr::Placeholder(Placeholder::new_with_field(NOW.into(), Some(field)))))
        }
        _ => Ok(None),
    })
}

/// The plan at one time.
pub(crate) fn at(plan: LogicalPlan, now: Time) -> Result<LogicalPlan> {
    let now = ScalarValue::TimestampMillisecond(Some(now as i64), Some("UTC".into()));
    replaced(plan, |part| match part {
        Expr::Placeholder(placeholder) if is_now(part) => {
            let data_type = placeholder.field.as_ref().map_or(now.data_type(), |f| f.data_type().clone());
            Ok(Some(lit(now.cast_to(&data_type)?)))
        }
        _ => Ok(None),
    })
}

/// Replaces parts of all expressions, and keeps the names of columns.
fn replaced(plan: LogicalPlan, with: impl Fn(&Expr) -> Result<Option<Expr>>) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let changed = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(|part| {
                Ok(match with(&part)? {
                    Some(other) => Transformed::yes(other),
                    None => Transformed::no(part),
                })
            })?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })?;
        match changed.transformed {
            true => changed.map_data(LogicalPlan::recompute_schema),
            false => Ok(changed),
        }
    });
    plan.map(|plan| plan.data)
}

/// The plan in which the clock stands in temporal filters only, and is a relation elsewhere.
pub(super) fn joined(plan: LogicalPlan) -> Result<LogicalPlan> {
    let reads = |node: &LogicalPlan| node.expressions().iter().any(has_now);
    let plan = plan.transform_up(|node| match node {
        node if !reads(&node) => Ok(Transformed::no(node)),
        LogicalPlan::Filter(filter) => filtered(filter).map(Transformed::yes),
        LogicalPlan::Join(join) => over_join(join).map(Transformed::yes),
        LogicalPlan::TableScan(_) | LogicalPlan::Values(_) => Ok(Transformed::no(node)),
        node => {
            let columns = node.schema().columns();
            let [input] = node.inputs()[..] else { return Ok(Transformed::no(node)) };
            let names: Vec<String> = node.expressions().iter().map(|e| e.schema_name().to_string()).collect();
            let (input, list) = with_clock(input.clone(), node.expressions(), CLOCK)?;
            let list = list.into_iter().zip(names).map(|(expr, name)| match expr {
                expr if expr.schema_name().to_string() == name => expr,
                expr => expr.alias(name),
            });
            let node = node.with_new_exprs(list.collect(), vec![input])?;
            only(node, columns).map(Transformed::yes)
        }
    })?;
    Ok(plan.data)
}

/// Filters read the clock itself, where the optimiser has them read a column below that is computed from the clock once for several
/// comparisons: else none of them were a bound. Whether anything changed is said.
pub(super) fn inlined(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up(|node| {
        let LogicalPlan::Filter(Filter { predicate, input, .. }) = &node else {
            return Ok(Transformed::no(node));
        };
        let LogicalPlan::Projection(below) = input.as_ref() else { return Ok(Transformed::no(node)) };
        let known = below.schema.columns().into_iter().zip(&below.expr).filter_map(|(column, expr)| {
            let expr = expr.clone().unalias();
            (has_now(&expr) && of_clock_alone(&expr)).then_some((column, expr))
        });
        let known: Vec<(Column, Expr)> = known.collect();
        let place = |column: &Column| known.iter().find(|(known, _)| known == column).map(|(_, expr)| expr);
        let read = predicate.column_refs().into_iter().any(|column| place(column).is_some());
        if !read {
            return Ok(Transformed::no(node));
        }
        let predicate = predicate.clone().transform_up(|part| match &part {
            Expr::Column(column) => match place(column) {
                Some(expr) => Ok(Transformed::yes(expr.clone())),
                None => Ok(Transformed::no(part)),
            },
            _ => Ok(Transformed::no(part)),
        })?;
        let rows = below.schema.columns().into_iter().zip(&below.expr);
        let rows = rows.filter(|(column, _)| place(column).is_none()).map(|(_, expr)| expr.clone());
        let rows = Projection::try_new(rows.collect(), below.input.clone())?;
        let filter = Filter::try_new(predicate.data, Arc::new(LogicalPlan::Projection(rows)))?;
        // Those above that read such a column find it; if there are none, nothing computes it.
        let all = below.schema.columns().into_iter().map(|column| match place(&column) {
            Some(expr) => expr.clone().alias_qualified(column.relation, column.name),
            None => Expr::Column(column),
        });
        let all = LogicalPlanBuilder::from(LogicalPlan::Filter(filter)).project(all)?.build()?;
        Ok(Transformed::yes(all))
    })
}

/// The given columns of a plan.
fn only(plan: LogicalPlan, columns: Vec<Column>) -> Result<LogicalPlan> {
    if plan.schema().columns() == columns {
        return Ok(plan);
    }
    LogicalPlanBuilder::from(plan).project(columns.into_iter().map(Expr::Column))?.build()
}

fn filtered(filter: Filter) -> Result<LogicalPlan> {
    let Filter { predicate, input, .. } = filter;
    let columns = input.schema().columns();
    let (clocked, plain): (Vec<Expr>, Vec<Expr>) =
        split_conjunction_owned(predicate).into_iter().partition(has_now);
    let (bounds, others): (Vec<Expr>, Vec<Expr>) =
        clocked.into_iter().partition(|part| temporal::bound(part, input.schema()).is_some());
    let mut plan = Arc::unwrap_or_clone(input);
    if let Some(plain) = conjunction(plain) {
        plan = LogicalPlan::Filter(Filter::try_new(plain, Arc::new(plan))?);
    }
    if let Some(bounds) = conjunction(bounds) {
        plan = LogicalPlan::Filter(Filter::try_new(bounds, Arc::new(plan))?);
    }
    if others.is_empty() {
        return Ok(plan);
    }
    let (plan, others) = with_clock(plan, others, CLOCK)?;
    let plan = match plan {
        LogicalPlan::Join(join) => with_keys(join, others)?,
        plan => match conjunction(others) {
            Some(others) => LogicalPlan::Filter(Filter::try_new(others, Arc::new(plan))?),
            None => plan,
        },
    };
    only(plan, columns)
}

/// A comparison of a column of the clock with an expression over the rows is a key of their join.
fn with_keys(mut join: Join, others: Vec<Expr>) -> Result<LogicalPlan> {
    let clock = join.right.schema().clone();
    let of_clock = |expr: &Expr| matches!(expr, Expr::Column(column) if clock.has_column(column));
    let reads_clock = |expr: &Expr| expr.column_refs().iter().any(|column| clock.has_column(column));
    let mut rest = vec![];
    for part in others {
        let sides = match &part {
            Expr::BinaryExpr(binary) if binary.op == Operator::Eq => {
                let (a, b) = (binary.left.as_ref(), binary.right.as_ref());
                let usable = |rows: &Expr| !reads_clock(rows) && !rows.column_refs().is_empty();
                match () {
                    () if of_clock(b) && usable(a) => Some((a.clone(), b.clone())),
                    () if of_clock(a) && usable(b) => Some((b.clone(), a.clone())),
                    () => None,
                }
            }
            _ => None,
        };
        match sides {
            Some(pair) => join.on.push(pair),
            None => rest.push(part),
        }
    }
    let plan = LogicalPlan::Join(join);
    match conjunction(rest) {
        Some(rest) => Ok(LogicalPlan::Filter(Filter::try_new(rest, Arc::new(plan))?)),
        None => Ok(plan),
    }
}

/// What a join says of the clock is said above it, or over an input that has the clock's columns as well: they multiply no row.
fn over_join(mut join: Join) -> Result<LogicalPlan> {
    let columns = join.schema.columns();
    if join.join_type == JoinType::Inner {
        let parts = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
        let (clocked, plain): (Vec<Expr>, Vec<Expr>) = parts.into_iter().partition(has_now);
        join.filter = conjunction(plain);
        let plan = match join.on.iter().any(|(a, b)| has_now(a) || has_now(b)) {
            true => beside(join, columns)?,
            false => LogicalPlan::Join(join),
        };
        return match conjunction(clocked) {
            Some(clocked) => filtered(Filter::try_new(clocked, Arc::new(plan))?),
            None => Ok(plan),
        };
    }
    beside(join, columns)
}

fn beside(join: Join, columns: Vec<Column>) -> Result<LogicalPlan> {
    let Join { left, right, on, filter, join_type, join_constraint, null_equality, null_aware, .. } = join;
    let (left_on, right_on): (Vec<Expr>, Vec<Expr>) = on.into_iter().unzip();
    let (left, left_on) = with_clock(Arc::unwrap_or_clone(left), left_on, "__clock_left")?;
    let keys = right_on.len();
    let right_all = right_on.into_iter().chain(filter).collect();
    let (right, mut right_on) = with_clock(Arc::unwrap_or_clone(right), right_all, CLOCK)?;
    let filter = right_on.split_off(keys).pop();
    let on = left_on.into_iter().zip(right_on).collect();
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        filter,
        join_type,
        join_constraint,
        null_equality,
        null_aware,
    )?;
    only(LogicalPlan::Join(join), columns)
}

/// The rows beside the values that the expressions compute from the clock alone, and the expressions over these.
fn with_clock(input: LogicalPlan, list: Vec<Expr>, alias: &str) -> Result<(LogicalPlan, Vec<Expr>)> {
    let (input, list) = with_flags(input, list)?;
    let mut computed: Vec<Expr> = vec![];
    let list = list
        .into_iter()
        .map(|expr| {
            let expr = expr.transform_down(|part| {
                if !has_now(&part) {
                    return Ok(Transformed::new(part, false, TreeNodeRecursion::Jump));
                }
                if !of_clock_alone(&part) {
                    return Ok(Transformed::no(part));
                }
                let place = computed.iter().position(|known| *known == part).unwrap_or_else(|| {
                    computed.push(part);
                    computed.len() - 1
                });
                let column = Expr::Column(Column::new(Some(alias), format!("c{place}")));
                Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
            })?;
            Ok(expr.data)
        })
        .collect::<Result<Vec<_>>>()?;
    if computed.is_empty() {
        return Ok((input, list));
    }
    let source = Arc::new(planner::Relation {
        schema: clock_schema(),
        query: None,
        key: vec![],
        told: Default::default(),
    });
    let scan = LogicalPlanBuilder::scan(CLOCK, source, None)?.build()?;
    let computed = computed.into_iter().enumerate().map(|(i, expr)| {
        let expr = expr.transform_up(|part| match &part {
            Expr::Placeholder(placeholder) if is_now(&part) => {
                let data_type = placeholder.field.as_ref().map(|field| field.data_type().clone());
                let data_type =
                    data_type.unwrap_or_else(|| DataType::clone(clock_schema().field(0).data_type()));
                Ok(Transformed::yes(cast(col(format!("{CLOCK}.now")), data_type)))
            }
            _ => Ok(Transformed::no(part)),
        })?;
        Ok(expr.data.alias(format!("c{i}")))
    });
    let computed = computed.collect::<Result<Vec<_>>>()?;
    let clock = LogicalPlanBuilder::from(scan).project(computed)?.alias(alias)?.build()?;
    Ok((LogicalPlanBuilder::from(input).cross_join(clock)?.build()?, list))
}

/// So many comparisons with the clock become columns of the rows; each makes three of what is below.
const FLAGS_MAX: usize = 2;

/// The rows beside what comparisons of their times with the clock say, and the expressions over these: a row changes when the clock
/// gets to its time, and not with the clock.
fn with_flags(mut input: LogicalPlan, list: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>)> {
    let mut comparisons: Vec<Expr> = vec![];
    for expr in &list {
        expr.apply(|part| {
            let of_rows = part.column_refs().iter().all(|column| input.schema().has_column(column));
            if of_rows && temporal::bound(part, input.schema()).is_some() && !comparisons.contains(part) {
                comparisons.push(part.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    comparisons.retain(|part| opposite(part).is_some());
    if comparisons.is_empty() || comparisons.len() > FLAGS_MAX {
        return Ok((input, list));
    }
    let mut flags = vec![];
    for comparison in &comparisons {
        let mut name = format!("__clock_flag_{}", flags.len());
        while input.schema().has_column_with_unqualified_name(&name) {
            name.push('_');
        }
        let all: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let branch = |when: Expr, flag: Option<bool>| -> Result<Arc<LogicalPlan>> {
            let rows = Filter::try_new(when, Arc::new(input.clone()))?;
            let flag = lit(ScalarValue::Boolean(flag)).alias(name.clone());
            let all = all.iter().cloned().chain([flag]);
            LogicalPlanBuilder::from(LogicalPlan::Filter(rows)).project(all)?.build().map(Arc::new)
        };
        let Some((opposite, time)) = opposite(comparison) else { continue };
        // The first, which knows of NULLs, gives its columns to all.
        let inputs = vec![
            branch(time.is_null(), None)?,
            branch(comparison.clone(), Some(true))?,
            branch(opposite, Some(false))?,
        ];
        let schema = inputs[0].schema().clone();
        input = LogicalPlan::Union(Union { inputs, schema });
        flags.push(Expr::Column(Column::new_unqualified(name)));
    }
    let place = |part: &Expr| comparisons.iter().position(|known| known == part);
    let list = list.into_iter().map(|expr| {
        let expr = expr.transform_down(|part| {
            Ok(match place(&part) {
                Some(place) => Transformed::new(flags[place].clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(part),
            })
        })?;
        Ok(expr.data)
    });
    let list = list.collect::<Result<Vec<_>>>()?;
    Ok((input, list))
}

/// What is true where a comparison with the clock is false, and the time that it compares.
fn opposite(comparison: &Expr) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = comparison else { return None };
    let other = match op {
        Operator::Lt => Operator::GtEq,
        Operator::LtEq => Operator::Gt,
        Operator::Gt => Operator::LtEq,
        Operator::GtEq => Operator::Lt,
        _ => return None,
    };
    let time = if has_now(left) { right } else { left };
    Some((Expr::BinaryExpr(BinaryExpr::new(left.clone(), other, right.clone())), time.as_ref().clone()))
}

/// Whether an expression has one value at one time.
fn of_clock_alone(expr: &Expr) -> bool {
    let other = expr.exists(|part| {
        Ok(matches!(
            part,
            Expr::Column(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Alias(_)
                | Expr::GroupingSet(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::ScalarSubquery(_)
                | Expr::Unnest(_)
        ))
    });
    !other.unwrap_or(true)
}

/// Whether a plan is the relation of the clock.
pub(super) fn is_clock(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::TableScan(scan) if scan.table_name.table() == CLOCK)
}

impl Lowering<'_> {
    /// What is computed from the clock, as one row that changes when its values do.
    pub(super) fn of_clock(&self, projection: &Projection) -> std::result::Result<Lowered, DeclareError> {
        let list = projection
            .expr
            .iter()
            .map(|expr| map::physical(expr, projection.input.schema()))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let clock = Plan::Get { name: CLOCK.into(), schema: clock_schema() };
        let schema = Arc::new(projection.schema.as_arrow().clone());
        let values = map::map(clock, None, Some(list), schema);
        Ok(Lowered { plan: Plan::Distinct(Box::new(values)), key: Some(vec![]) })
    }
}
