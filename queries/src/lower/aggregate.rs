//! GROUP BY: group expressions and arguments become columns in front, then one `Plan::Aggregate`.
//!
//! What the aggregates of a query mean in PostgreSQL is said before, in `meaning` and `sets`, so that the batch oracle reads the same.
mod average;
pub(super) mod functions;
mod joined;
pub(super) mod meaning;
mod moments;
pub(super) mod sets;

use super::map::Columns;
use super::{Lowered, Lowering};
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use arrow::datatypes::DataType;
use dataflows::Plan;
use dataflows::plan::{Aggregate, Argument, Function, Moment, Order, Ordered};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::{self, Cast, Expr, ExprSchemable, when};
use std::sync::Arc;

impl Lowering<'_> {
    pub(super) fn aggregate(&self, node: &logical_expr::Aggregate) -> Result<Lowered, DeclareError> {
        let input = self.lower(&node.input)?;
        let mut columns = Columns::none(node.input.schema());
        let group = node.group_expr.iter().map(|expr| columns.add(expr)).collect::<Result<Vec<_>, _>>()?;
        let aggregates = node
            .aggr_expr
            .iter()
            .enumerate()
            .map(|(i, expr)| {
                let data_type = node.schema.field(node.group_expr.len() + i).data_type().clone();
                one(expr, &mut columns, data_type)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(node.schema.as_arrow().clone());
        let key = Some((0..group.len()).collect());
        let rows = columns.over(input.plan);
        if aggregates.is_empty() {
            return Ok(Lowered { plan: super::renamed(Plan::Distinct(Box::new(rows)), schema), key });
        }
        Ok(Lowered { plan: Plan::Aggregate { input: Box::new(rows), group, aggregates, schema }, key })
    }
}

fn one(expr: &Expr, columns: &mut Columns<'_>, data_type: DataType) -> Result<Aggregate, DeclareError> {
    let Expr::AggregateFunction(call) = expr.clone().unalias() else {
        return Err(DeclareError::Internal(format!("{expr} stands where an aggregate should")));
    };
    let call = guarded(call).map_err(from_datafusion)?;
    let filter = call.params.filter.as_ref().map(|filter| columns.add(filter)).transpose()?;
    let (function, argument, distinct) = match native(&call, columns, &data_type)? {
        Some((function, argument)) => {
            // The smallest of all is the smallest of the different ones; the same holds for these.
            let same = matches!(
                function,
                Function::Min
                    | Function::Max
                    | Function::Every
                    | Function::Any
                    | Function::BitAnd
                    | Function::BitOr
            );
            (function, argument, call.params.distinct && !same)
        }
        None => (ordered(&call, columns)?, None, call.params.distinct),
    };
    Ok(Aggregate { function, argument, distinct, filter, data_type })
}

/// The call with arguments that are computed only where its FILTER is true: elsewhere they may fail.
fn guarded(mut call: AggregateFunction) -> Result<AggregateFunction, DataFusionError> {
    let Some(filter) = call.params.filter.as_deref() else { return Ok(call) };
    let plain = |expr: &Expr| {
        let inner = match expr {
            Expr::Cast(cast) => cast.expr.as_ref(),
            expr => expr,
        };
        matches!(inner, Expr::Column(_) | Expr::Literal(..))
    };
    let order = call.params.order_by.iter_mut().map(|o| &mut o.expr);
    for expr in call.params.args.iter_mut().chain(order).filter(|expr| !plain(expr)) {
        *expr = when(filter.clone(), expr.clone()).end()?;
    }
    Ok(call)
}

/// The function and its argument, if its state is accumulated.
fn native(
    call: &AggregateFunction,
    columns: &mut Columns<'_>,
    output: &DataType,
) -> Result<Option<(Function, Option<usize>)>, DeclareError> {
    let name = call.func.name().to_lowercase();
    let args = call.params.args.as_slice();
    if let Some(moment) = moment(&name) {
        return Ok(match args {
            [y] => Some((Function::Moment(moment, None), Some(columns.add(y)?))),
            // Different pairs are found where rows are kept in an order.
            [y, x] if !call.params.distinct => {
                let x = columns.add(x)?;
                Some((Function::Moment(moment, Some(x)), Some(columns.add(y)?)))
            }
            _ => None,
        });
    }
    let argument = match (name.as_str(), args) {
        ("count", []) => None,
        ("count", [Expr::Literal(value, _)]) if !call.params.distinct && !value.is_null() => None,
        ("count", [only]) if !call.params.distinct && !columns.nullable(only)? => None,
        ("sum", [Expr::Cast(Cast { expr, .. })]) if widened(expr, columns, output)? => Some(expr.as_ref()),
        (_, [only]) => Some(only),
        _ => return Ok(None),
    };
    let input = argument.map(|expr| columns.type_of(expr)).transpose()?;
    let exact =
        |t: &DataType| matches!(t, DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _));
    let function = match (name.as_str(), &input) {
        ("count", _) => Function::Count,
        ("sum", Some(t)) if t.is_integer() || exact(t) => Function::Sum,
        ("avg", Some(t)) if t.is_integer() || exact(t) => Function::Avg,
        ("min", Some(_)) => Function::Min,
        ("max", Some(_)) => Function::Max,
        ("bool_and", Some(DataType::Boolean)) => Function::Every,
        ("bool_or", Some(DataType::Boolean)) => Function::Any,
        ("bit_and", Some(t)) if t.is_integer() => Function::BitAnd,
        ("bit_or", Some(t)) if t.is_integer() => Function::BitOr,
        ("bit_xor", Some(t)) if t.is_integer() => Function::BitXor,
        _ => return Ok(None),
    };
    Ok(Some((function, argument.map(|expr| columns.add(expr)).transpose()?)))
}

/// Whether an integer is only cast so that its sum has room, which it has anyway.
fn widened(expr: &Expr, columns: &Columns<'_>, output: &DataType) -> Result<bool, DeclareError> {
    Ok(*output == DataType::Decimal128(38, 0) && columns.type_of(expr)?.is_integer())
}

fn moment(name: &str) -> Option<Moment> {
    Some(match name {
        "var_pop" => Moment::VarPop,
        "var" | "var_samp" => Moment::VarSamp,
        "stddev_pop" => Moment::StddevPop,
        "stddev" | "stddev_samp" => Moment::StddevSamp,
        "covar_pop" => Moment::CovarPop,
        "covar_samp" => Moment::CovarSamp,
        "corr" => Moment::Corr,
        "regr_slope" => Moment::RegrSlope,
        "regr_intercept" => Moment::RegrIntercept,
        "regr_count" => Moment::RegrCount,
        "regr_r2" => Moment::RegrR2,
        "regr_avgx" => Moment::RegrAvgX,
        "regr_avgy" => Moment::RegrAvgY,
        "regr_sxx" => Moment::RegrSxx,
        "regr_syy" => Moment::RegrSyy,
        "regr_sxy" => Moment::RegrSxy,
        _ => return None,
    })
}

/// Any other function: the rows of the group are kept in their order.
fn ordered(call: &AggregateFunction, columns: &mut Columns<'_>) -> Result<Function, DeclareError> {
    let arguments = call.params.args.iter().enumerate().map(|(i, arg)| match arg {
        Expr::Literal(value, _) if i > 0 => Ok(Argument::Constant(value.clone())),
        arg => columns.add(arg).map(Argument::Column),
    });
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    let order = call.params.order_by.iter().map(|sort| {
        let column = columns.add(&sort.expr)?;
        Ok(Order { column, descending: !sort.asc, nulls_first: sort.nulls_first })
    });
    Ok(Function::Ordered(Arc::new(Ordered {
        function: call.func.clone(),
        arguments,
        order: order.collect::<Result<_, DeclareError>>()?,
        ignore_nulls: call.params.null_treatment == Some(NullTreatment::IgnoreNulls),
    })))
}

impl Columns<'_> {
    fn nullable(&self, expr: &Expr) -> Result<bool, DeclareError> {
        expr.nullable(self.input_schema()).map_err(from_datafusion)
    }

    fn type_of(&self, expr: &Expr) -> Result<DataType, DeclareError> {
        expr.get_type(self.input_schema()).map_err(from_datafusion)
    }
}
