//! Aggregates that are finished in a projection above.
//!
//! `string_agg` with a delimiter that is not the same for all rows: the pairs are collected, and joined. Each value but the first comes
//! after its own delimiter, as in PostgreSQL; a NULL delimiter is none. The sum of reals is a real: it is summed as double precision.
use super::meaning::type_of;
use arrow::array::{Array, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, exec_err};
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, ColumnarValue, Expr, LogicalPlan, Projection, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, cast,
};
use std::sync::{Arc, LazyLock};

/// The node, with a projection above it where it needs one. DataFusion keeps one order for all `string_agg` of a node, but any number
/// for `array_agg`: several are joined above as well.
pub(super) fn above(node: Aggregate) -> Result<LogicalPlan> {
    let joined = |call: &AggregateFunction| call.func.name() == "string_agg";
    let calls: Vec<Option<AggregateFunction>> =
        node.aggr_expr.iter().map(|e| call(e).filter(joined)).collect();
    let several = node.aggr_expr.iter().filter_map(call).filter(has_one_order).count() > 1;
    let joins = several || calls.iter().flatten().any(has_other_delimiters);
    let calls = if joins { calls } else { vec![None; calls.len()] };
    let real = |expr: &Expr| call(expr).map_or(Ok(false), |call| is_real_sum(&call, node.input.schema()));
    let reals = node.aggr_expr.iter().map(real).collect::<Result<Vec<bool>>>()?;
    if !joins && !reals.contains(&true) {
        return Ok(LogicalPlan::Aggregate(node));
    }
    let list = node.aggr_expr.iter().zip(&calls).map(|(expr, call)| match call {
        Some(call) => pairs(call).alias(expr.schema_name().to_string()),
        None => expr.clone(),
    });
    let list: Vec<Expr> = list.collect();
    let groups = node.schema.fields().len() - list.len();
    let below = Aggregate::try_new(node.input, node.group_expr, list)?;
    let columns = below.schema.columns().into_iter().enumerate().map(|(i, column)| {
        let (relation, name) = (column.relation.clone(), column.name.clone());
        let column = Expr::Column(column);
        let finished = match i.checked_sub(groups) {
            Some(i) if calls[i].is_some() => JOINED.call(vec![column]),
            Some(i) if reals[i] => cast(column, DataType::Float32),
            _ => return column,
        };
        finished.alias_qualified(relation, name)
    });
    let columns = columns.collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(LogicalPlan::Aggregate(below)))?))
}

fn call(expr: &Expr) -> Option<AggregateFunction> {
    match expr.clone().unalias() {
        Expr::AggregateFunction(call) => Some(call),
        _ => None,
    }
}

/// Whether a call is a sum of reals.
pub(super) fn is_real_sum(call: &AggregateFunction, input: &DFSchema) -> Result<bool> {
    match (call.func.name(), call.params.args.as_slice()) {
        ("sum", [value]) => Ok(type_of(value, input)? == DataType::Float32),
        _ => Ok(false),
    }
}

/// Whether DataFusion asks that all such calls have the same order.
pub(super) fn has_one_order(call: &AggregateFunction) -> bool {
    matches!(call.func.name(), "string_agg" | "nth_value")
}

/// Whether a call joins with different delimiters.
fn has_other_delimiters(call: &AggregateFunction) -> bool {
    call.params.args.get(1).is_some_and(|delimiter| !matches!(delimiter, Expr::Literal(..)))
}

/// `array_agg(struct(value, delimiter) ..) FILTER (WHERE value IS NOT NULL)`.
fn pairs(call: &AggregateFunction) -> Expr {
    let mut call = call.clone();
    let there = call.params.args[0].clone().is_not_null();
    let value = call.params.args[0].clone();
    let pair: Vec<Expr> = call.params.args.drain(..).map(|arg| cast(arg, DataType::Utf8)).collect();
    let pair = datafusion::functions::core::r#struct().call(pair);
    call.func = array_agg_udaf();
    if call.params.distinct {
        // Different values are ordered by nothing else.
        call.params.order_by.iter_mut().filter(|o| o.expr == value).for_each(|o| o.expr = pair.clone());
    }
    call.params.args = vec![pair];
    let filter = call.params.filter.take().map(|filter| *filter);
    call.params.filter = Some(Box::new(filter.into_iter().fold(there, Expr::and)));
    Expr::AggregateFunction(call)
}

static JOINED: LazyLock<ScalarUDF> =
    LazyLock::new(|| ScalarUDF::from(Joined { signature: Signature::any(1, Volatility::Immutable) }));

#[derive(Debug, PartialEq, Eq, Hash)]
struct Joined {
    signature: Signature,
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        "joined"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let lists = args.args[0].to_array(args.number_rows)?;
        let Some(lists) = lists.as_list_opt::<i32>() else {
            return exec_err!("joined() reads lists of pairs, not {}", lists.data_type());
        };
        let mut texts = StringBuilder::new();
        for list in lists.iter() {
            let Some(list) = list else {
                texts.append_null();
                continue;
            };
            let pairs = list.as_struct();
            let (values, delimiters) =
                (pairs.column(0).as_string::<i32>(), pairs.column(1).as_string::<i32>());
            let mut text = String::new();
            for i in 0..pairs.len() {
                if i > 0 && delimiters.is_valid(i) {
                    text += delimiters.value(i);
                }
                text += values.value(i);
            }
            texts.append_value(text);
        }
        Ok(ColumnarValue::Array(Arc::new(texts.finish())))
    }
}
