//! Rows cut off in an order: `ORDER BY .. LIMIT` and `ROW_NUMBER() OVER (..) <= k`, both `Plan::TopK`.
use super::map::{Columns, map, physical, pick};
use super::{Lowered, Lowering};
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use dataflows::Plan;
use dataflows::plan::Order;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, FetchType, Limit, LogicalPlan, Operator, SkipType, SortExpr, Window,
};
use std::sync::Arc;

/// The rows `offset .. offset + limit`.
struct Slice {
    offset: usize,
    limit: usize,
}

impl Lowering<'_> {
    /// LIMIT, with the ORDER BY that it needs below it.
    pub(super) fn limit(&self, node: &Limit) -> Result<Lowered, DeclareError> {
        let skip = node.get_skip_type().map_err(from_datafusion)?;
        let fetch = node.get_fetch_type().map_err(from_datafusion)?;
        match (skip, fetch) {
            (SkipType::Literal(offset), FetchType::Literal(Some(limit))) => {
                self.slice(&node.input, &Slice { offset, limit })
            }
            _ => Err(DeclareError::Unsupported(
                "LIMIT and OFFSET must be numbers: write the number itself".into(),
            )),
        }
    }

    fn slice(&self, plan: &LogicalPlan, slice: &Slice) -> Result<Lowered, DeclareError> {
        match plan {
            LogicalPlan::Sort(sort) => self.top(&sort.input, &sort.expr, slice),
            LogicalPlan::SubqueryAlias(alias) => self.slice(&alias.input, slice),
            LogicalPlan::Projection(projection) => {
                let input = self.slice(&projection.input, slice)?;
                self.project(input, projection)
            }
            other => {
                let lowered = self.lower(other)?;
                if slice.limit == 0 {
                    let rows = RecordBatch::new_empty(lowered.plan.schema());
                    return Ok(Lowered { plan: Plan::Values { rows }, key: Some(vec![]) });
                }
                if lowered.is_single() && slice.offset == 0 {
                    return Ok(lowered);
                }
                Err(DeclareError::Unsupported(
                    "LIMIT without ORDER BY keeps rows by chance: add ORDER BY in the same SELECT".into(),
                ))
            }
        }
    }

    /// A sort that a limit was pushed into.
    pub(super) fn top_of_sort(
        &self,
        input: &LogicalPlan,
        order: &[SortExpr],
        limit: usize,
    ) -> Result<Lowered, DeclareError> {
        self.top(input, order, &Slice { offset: 0, limit })
    }

    fn top(&self, input: &LogicalPlan, order: &[SortExpr], slice: &Slice) -> Result<Lowered, DeclareError> {
        let lowered = self.lower(input)?;
        if lowered.is_single() && slice.offset == 0 && slice.limit > 0 {
            return Ok(lowered);
        }
        let mut columns = Columns::all(input.schema());
        let width = columns.len();
        let order = orders(order, &mut columns)?;
        let computed = columns.len() > width;
        let rows = columns.over(lowered.plan);
        let schema = rows.schema();
        let order = without_ties(order, &[], schema.fields().len());
        let Slice { offset, limit } = *slice;
        let plan = Plan::TopK {
            input: Box::new(rows),
            partition: vec![],
            order,
            offset,
            limit,
            number: false,
            schema,
        };
        let plan = if computed { pick(plan, &(0..width).collect::<Vec<_>>()) } else { plan };
        let key = if limit <= 1 { Some(vec![]) } else { lowered.key };
        Ok(Lowered { plan, key })
    }

    /// A filter on ROW_NUMBER() that bounds it; none: another function, or no bound.
    pub(super) fn numbered(
        &self,
        predicate: &Expr,
        window: &Window,
    ) -> Result<Option<Lowered>, DeclareError> {
        let (Some(call), LogicalPlan::Sort(sort)) = (row_number(window), &*window.input) else {
            return Ok(None);
        };
        let width = window.input.schema().fields().len();
        let Some((Slice { offset, limit }, rest)) = bound_of(predicate, window, width) else {
            return Ok(None);
        };
        let lowered = self.lower(&sort.input)?;
        let mut columns = Columns::all(window.input.schema());
        let partition =
            call.params.partition_by.iter().map(|expr| columns.add(expr)).collect::<Result<Vec<_>, _>>()?;
        let mut order = orders(&call.params.order_by, &mut columns)?;
        order.extend(orders(&sort.expr, &mut columns)?);
        let all = columns.len();
        let rows = columns.over(lowered.plan);
        let order = without_ties(order, &partition, all);
        let number = Arc::clone(&window.schema.fields()[width]);
        let fields = rows.schema().fields().iter().cloned().chain([number]).collect::<Vec<_>>();
        let plan = Plan::TopK {
            input: Box::new(rows),
            partition: partition.clone(),
            order,
            offset,
            limit,
            number: true,
            schema: Arc::new(Schema::new(fields)),
        };
        let list: Vec<usize> = (0..width).chain([all]).collect();
        let plan = if all > width { pick(plan, &list) } else { plan };
        let key = key_of(&partition, width, limit, lowered.key);
        Ok(Some(match rest {
            None => Lowered { plan, key },
            Some(rest) => {
                let schema = plan.schema();
                Lowered { plan: map(plan, Some(physical(&rest, &window.schema)?), None, schema), key }
            }
        }))
    }
}

/// A row's partition, and its number in it where there are several.
fn key_of(partition: &[usize], width: usize, bound: usize, below: Option<Vec<usize>>) -> Option<Vec<usize>> {
    if partition.iter().any(|column| *column >= width) {
        return below;
    }
    let mut key = partition.to_vec();
    if bound > 1 {
        key.push(width);
    }
    Some(key)
}

pub(super) fn orders(list: &[SortExpr], columns: &mut Columns<'_>) -> Result<Vec<Order>, DeclareError> {
    list.iter()
        .map(|sort| {
            let column = columns.add(&sort.expr)?;
            Ok(Order { column, descending: !sort.asc, nulls_first: sort.nulls_first })
        })
        .collect()
}

/// Leaves out the end of an order that is what `TopK` does with ties anyway.
fn without_ties(mut order: Vec<Order>, partition: &[usize], width: usize) -> Vec<Order> {
    let mut seen = std::collections::HashSet::new();
    order.retain(|o| seen.insert(o.column));
    let plain = |o: &Order| !o.descending && !o.nulls_first;
    let cut = (0..=order.len())
        .find(|cut| {
            let (kept, ties) = order.split_at(*cut);
            let remaining = (0..width)
                .filter(|column| kept.iter().all(|o| o.column != *column) && !partition.contains(column));
            let ties = ties.iter().filter(|o| !partition.contains(&o.column));
            ties.clone().all(plain) && remaining.take(ties.clone().count()).eq(ties.map(|o| o.column))
        })
        .unwrap_or(order.len());
    order.truncate(cut);
    order
}

/// The only function of a window, if it is ROW_NUMBER().
fn row_number(window: &Window) -> Option<WindowFunction> {
    let [only] = window.window_expr.as_slice() else { return None };
    match only.clone().unalias() {
        Expr::WindowFunction(call) if call.fun.name() == "row_number" => Some(*call),
        _ => None,
    }
}

/// The numbers that a predicate lets through, and what else it says; none where it does not bound them.
fn bound_of(predicate: &Expr, window: &Window, number: usize) -> Option<(Slice, Option<Expr>)> {
    let (mut least, mut greatest) = (1, None);
    let mut rest = vec![];
    for part in split_conjunction(predicate) {
        match bound_in(part, window, number) {
            Some(Bound::AtMost(limit)) => {
                greatest = Some(greatest.map_or(limit, |known: u64| known.min(limit)))
            }
            Some(Bound::AtLeast(first)) => least = least.max(first),
            Some(Bound::Exactly(place)) => {
                greatest = Some(greatest.map_or(place, |known: u64| known.min(place)));
                if place != 1 {
                    rest.push(part.clone());
                }
            }
            None => rest.push(part.clone()),
        }
    }
    let offset = usize::try_from(least - 1).ok()?;
    let limit = match greatest {
        Some(greatest) => usize::try_from(greatest).ok()?.saturating_sub(offset),
        None if least > 1 => usize::MAX,
        None => return None,
    };
    Some((Slice { offset, limit }, conjunction(rest)))
}

/// What a comparison says of a number.
enum Bound {
    AtMost(u64),
    AtLeast(u64),
    Exactly(u64),
}

fn bound_in(part: &Expr, window: &Window, number: usize) -> Option<Bound> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return None };
    let is_number = |expr: &Expr| {
        let inner = match expr {
            Expr::Cast(cast) => cast.expr.as_ref(),
            expr => expr,
        };
        matches!(inner, Expr::Column(c) if window.schema.index_of_column(c).ok() == Some(number))
    };
    let (op, literal) = if is_number(left) {
        (*op, right)
    } else if is_number(right) {
        (op.swap()?, left)
    } else {
        return None;
    };
    let Expr::Literal(value, _) = literal.as_ref() else { return None };
    let value = match value {
        ScalarValue::UInt64(Some(value)) => i128::from(*value),
        ScalarValue::Int64(Some(value)) => i128::from(*value),
        ScalarValue::Int32(Some(value)) => i128::from(*value),
        ScalarValue::Decimal128(Some(value), _, 0) => *value,
        _ => return None,
    };
    let clamp = |value: i128| u64::try_from(value.max(0)).ok();
    match op {
        Operator::LtEq => Some(Bound::AtMost(clamp(value)?)),
        Operator::Lt => Some(Bound::AtMost(clamp(value - 1)?)),
        Operator::GtEq => Some(Bound::AtLeast(clamp(value)?.max(1))),
        Operator::Gt => Some(Bound::AtLeast(clamp(value + 1)?.max(1))),
        Operator::Eq => Some(Bound::Exactly(clamp(value)?)),
        _ => None,
    }
}
