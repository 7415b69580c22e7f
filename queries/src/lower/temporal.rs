//! Filters by the clock: a comparison of `now() + interval` with a time of the row says from when on, or until when, the row is there.
use super::{Lowered, Lowering, clock, map};
use crate::DeclareError;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{
    DataType, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use dataflows::Plan;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// A comparison with the clock: `now <operator> time + shift`.
pub(super) struct Bound {
    time: Expr,
    shift_nanoseconds: i128,
    operator: Operator,
}

/// What a comparison says of the clock, if it says when its rows come and go.
pub(super) fn bound(part: &Expr, schema: &DFSchema) -> Option<Bound> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return None };
    let (clock, operator, time) = match (clock::has_now(left), clock::has_now(right)) {
        (true, false) => (left, *op, right),
        (false, true) => (right, op.swap()?, left),
        _ => return None,
    };
    if !matches!(operator, Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq | Operator::Eq) {
        return None;
    }
    let known =
        |data_type: DataType| matches!(data_type, DataType::Timestamp(_, zone) if is_utc(zone.as_deref()));
    if !known(time.get_type(schema).ok()?) {
        return None;
    }
    let shift = -shift(clock)?;
    Some(Bound { time: time.as_ref().clone(), shift_nanoseconds: shift, operator })
}

fn is_utc(zone: Option<&str>) -> bool {
    zone.is_none_or(|zone| matches!(zone, "UTC" | "+00:00" | "Z" | "Etc/UTC"))
}

/// How far an expression is ahead of the clock, if that is the same at all times.
fn shift(expr: &Expr) -> Option<i128> {
    match expr {
        expr if clock::is_now(expr) => Some(0),
        Expr::Cast(inner) => match inner.field.data_type() {
            DataType::Timestamp(unit, zone) if *unit != TimeUnit::Second && is_utc(zone.as_deref()) => {
                shift(&inner.expr)
            }
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Plus if clock::has_now(left) => Some(shift(left)? + length(right)?),
            Operator::Plus => Some(shift(right)? + length(left)?),
            Operator::Minus => Some(shift(left)? - length(right)?),
            _ => None,
        },
        _ => None,
    }
}

/// An interval that is always as long; months are not.
fn length(expr: &Expr) -> Option<i128> {
    const DAY: i128 = 86_400_000_000_000;
    let Expr::Literal(value, _) = expr else { return None };
    match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.months == 0 => {
            Some(i128::from(v.days) * DAY + i128::from(v.nanoseconds))
        }
        ScalarValue::IntervalDayTime(Some(v)) => {
            Some(i128::from(v.days) * DAY + i128::from(v.milliseconds) * 1_000_000)
        }
        ScalarValue::DurationNanosecond(Some(v)) => Some(i128::from(*v)),
        ScalarValue::DurationMicrosecond(Some(v)) => Some(i128::from(*v) * 1_000),
        ScalarValue::DurationMillisecond(Some(v)) => Some(i128::from(*v) * 1_000_000),
        ScalarValue::DurationSecond(Some(v)) => Some(i128::from(*v) * 1_000_000_000),
        _ => None,
    }
}

impl Lowering<'_> {
    /// Rows that come and go with the clock: every part of the predicate is a bound.
    pub(super) fn temporal(
        &self,
        predicate: &Expr,
        input: &LogicalPlan,
    ) -> std::result::Result<Lowered, DeclareError> {
        let mut ends: [(Vec<Edge>, Vec<Expr>); 2] = Default::default();
        let [from, until] = &mut ends;
        for part in split_conjunction(predicate) {
            let Some(Bound { time, shift_nanoseconds, operator }) = bound(part, input.schema()) else {
                return Err(DeclareError::Unsupported(format!(
                    "{part} compares with now() in a way that is not maintained: compare it with a time, as in time > now() - INTERVAL '1 hour'"
                )));
            };
            let add = |end: &mut (Vec<Edge>, Vec<Expr>), passed: bool| {
                end.0.push(Edge { shift_nanoseconds, passed });
                end.1.push(time.clone());
            };
            match operator {
                Operator::Gt => add(from, true),
                Operator::GtEq => add(from, false),
                Operator::Lt => add(until, false),
                Operator::LtEq => add(until, true),
                Operator::Eq => {
                    add(from, false);
                    add(until, true);
                }
                _ => unreachable!("bound() knows these only"),
            }
        }
        let end = |(edges, times): (Vec<Edge>, Vec<Expr>), last: bool| {
            if edges.is_empty() {
                return Ok(None);
            }
            let function = Arc::new(ScalarUDF::new_from_impl(Due::new(edges, last)));
            let call = Expr::ScalarFunction(ScalarFunction::new_udf(function, times));
            map::physical(&call, input.schema()).map(Some)
        };
        let [from, until] = ends;
        let (from, until) = (end(from, true)?, end(until, false)?);
        let Lowered { plan, key } = self.lower(input)?;
        Ok(Lowered { plan: Plan::Temporal { input: Box::new(plan), from, until }, key })
    }
}

/// The first millisecond at which the clock has reached a time and `shift`, or has passed it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Edge {
    shift_nanoseconds: i128,
    passed: bool,
}

impl Edge {
    fn millisecond(&self, time_nanoseconds: i128) -> i64 {
        let at = time_nanoseconds + self.shift_nanoseconds;
        let floor = at.div_euclid(1_000_000);
        let first = if self.passed || at.rem_euclid(1_000_000) != 0 { floor + 1 } else { floor };
        i64::try_from(first.max(0)).unwrap_or(i64::MAX)
    }
}

/// The last, or the first, of some edges, in milliseconds; NULL where one of the times is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Due {
    edges: Vec<Edge>,
    last: bool,
    /// It says all that the function does, since plans are told apart by the names of their functions.
    name: String,
    signature: Signature,
}

impl Due {
    fn new(edges: Vec<Edge>, last: bool) -> Due {
        let parts: Vec<String> = edges
            .iter()
            .map(|edge| format!("{}{}ns", if edge.passed { "after " } else { "" }, edge.shift_nanoseconds))
            .collect();
        let name = format!("{}<{}>", if last { "last" } else { "first" }, parts.join(", "));
        Due { edges, last, name, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Due {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut due: Option<Int64Array> = None;
        for (edge, time) in self.edges.iter().zip(&args.args) {
            let found = edge_of(edge, &time.to_array(args.number_rows)?)?;
            due = Some(match due {
                None => found,
                Some(known) => known
                    .iter()
                    .zip(found.iter())
                    .map(|(a, b)| a.zip(b).map(|(a, b)| if self.last { a.max(b) } else { a.min(b) }))
                    .collect(),
            });
        }
        match due {
            Some(due) => Ok(ColumnarValue::Array(Arc::new(due))),
            None => exec_err!("a bound without times"),
        }
    }
}

fn edge_of(edge: &Edge, times: &ArrayRef) -> Result<Int64Array> {
    let DataType::Timestamp(unit, _) = times.data_type() else {
        return exec_err!("{} is no time", times.data_type());
    };
    let in_nanoseconds: i128 = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    let millisecond = |value: i64| edge.millisecond(i128::from(value) * in_nanoseconds);
    Ok(match unit {
        TimeUnit::Second => times.as_primitive::<TimestampSecondType>().unary::<_, Int64Type>(millisecond),
        TimeUnit::Millisecond => {
            times.as_primitive::<TimestampMillisecondType>().unary::<_, Int64Type>(millisecond)
        }
        TimeUnit::Microsecond => {
            times.as_primitive::<TimestampMicrosecondType>().unary::<_, Int64Type>(millisecond)
        }
        TimeUnit::Nanosecond => {
            times.as_primitive::<TimestampNanosecondType>().unary::<_, Int64Type>(millisecond)
        }
    })
}
