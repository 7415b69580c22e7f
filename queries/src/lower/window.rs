//! Window functions: arguments become columns in front, then one `Plan::Window` for each partition and order.
use super::map::{Columns, pick};
use super::top::orders;
use super::{Lowered, Lowering, below, map};
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflows::Plan;
use dataflows::plan::window::{Call, Kind};
use dataflows::plan::{Expr as Physical, Order};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{
    AggregateUDF, Expr, LogicalPlan, SortExpr, Window, WindowFrameBound, WindowFrameUnits,
    WindowFunctionDefinition,
};
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::Literal;
use std::sync::Arc;

/// Why a window function cannot be maintained.
pub(super) fn refusal(call: &WindowFunction) -> Option<String> {
    let name = call.fun.name().to_lowercase();
    let known = [
        "row_number",
        "rank",
        "dense_rank",
        "percent_rank",
        "cume_dist",
        "ntile",
        "lag",
        "lead",
        "first_value",
        "last_value",
        "nth_value",
    ];
    match &call.fun {
        WindowFunctionDefinition::WindowUDF(_) if !known.contains(&name.as_str()) => Some(format!(
            "{name}(..) OVER is not maintained: maintained are {} and aggregates",
            known.join(", ")
        )),
        WindowFunctionDefinition::WindowUDF(_) if call.params.filter.is_some() => Some(format!(
            "FILTER in {name}(..) OVER means nothing, since {name} is no aggregate: write the condition in WHERE"
        )),
        WindowFunctionDefinition::AggregateUDF(_) if name.starts_with("approx_") => Some(format!(
            "{name}(..) OVER is not maintained, since it is not exact: write the exact function"
        )),
        _ => negative(call),
    }
}

fn negative(call: &WindowFunction) -> Option<String> {
    let frame = &call.params.window_frame;
    [&frame.start_bound, &frame.end_bound].into_iter().find_map(|bound| {
        let (WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value)) = bound else {
            return None;
        };
        let text = value.to_string();
        (!value.is_null() && text.trim_start().starts_with('-')).then(|| {
            format!("the offset {text} of a frame is negative: write PRECEDING for FOLLOWING, or the other way round")
        })
    })
}

/// What stands below a window: its input's columns, made of columns of `input`, whose rows are in `order`.
struct Below<'a> {
    input: &'a LogicalPlan,
    made_of: Vec<Expr>,
    order: &'a [SortExpr],
}

impl Below<'_> {
    fn of(plan: &LogicalPlan) -> Result<Below<'_>, DeclareError> {
        let own = || plan.schema().columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
        let (mut input, mut made_of) = (plan, own());
        loop {
            let (schema, list, next) = match input {
                LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                    return Ok(Below { input: &sort.input, made_of, order: &sort.expr });
                }
                LogicalPlan::Projection(node) => (&node.schema, node.expr.clone(), &node.input),
                LogicalPlan::SubqueryAlias(node) => {
                    let columns = node.input.schema().columns().into_iter().map(Expr::Column).collect();
                    (&node.schema, columns, &node.input)
                }
                _ => return Ok(Below { input: plan, made_of: own(), order: &[] }),
            };
            made_of = made_of.iter().map(|expr| below(expr, schema, &list)).collect::<Result<_, _>>()?;
            input = next;
        }
    }
}

/// A window function whose arguments are columns.
struct Prepared {
    call: WindowFunction,
    partition: Vec<usize>,
    order: Vec<Order>,
    arguments: Vec<Argument>,
    filter: Option<usize>,
    field: Arc<Field>,
}

/// An argument: some functions want to see that it is constant.
enum Argument {
    Column(usize),
    Constant(ScalarValue),
}

impl Lowering<'_> {
    pub(super) fn window(&self, node: &Window) -> Result<Lowered, DeclareError> {
        let below_it = Below::of(&node.input)?;
        let lowered = self.lower(below_it.input)?;
        let mut columns = Columns::all(below_it.input.schema());
        let made_of = below_it.made_of.iter().map(|expr| columns.add(expr)).collect::<Result<Vec<_>, _>>()?;
        let width = made_of.len();
        let prepared = node
            .window_expr
            .iter()
            .enumerate()
            .map(|(i, expr)| {
                let expr = below(expr, node.input.schema(), &below_it.made_of)?;
                prepare(&expr, node.schema.fields()[width + i].clone(), &mut columns)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let ties = orders(below_it.order, &mut columns)?;
        let mut plan = columns.over(lowered.plan);
        let base = plan.schema();
        // Functions over the same partitions in the same order are one operator.
        let mut places = vec![0; prepared.len()];
        let mut rest: Vec<(usize, Prepared)> = prepared.into_iter().enumerate().collect();
        while let Some((_, first)) = rest.first() {
            let (partition, order) = (first.partition.clone(), first.order.clone());
            let (same, others): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|(_, p)| p.partition == partition && p.order == order);
            rest = others;
            let mut fields: Vec<_> = plan.schema().fields().iter().cloned().collect();
            let mut calls = vec![];
            for (i, prepared) in same {
                places[i] = fields.len();
                fields.push(prepared.field.clone());
                calls.push(call(prepared, &base)?);
            }
            let known =
                |column: &usize| !partition.contains(column) && order.iter().all(|o| o.column != *column);
            let ties = ties.iter().map(|o| o.column).filter(known).collect();
            let schema = Arc::new(Schema::new(fields));
            plan = Plan::Window { input: Box::new(plan), partition, order, ties, calls, schema };
        }
        let list: Vec<usize> = made_of.iter().copied().chain(places).collect();
        let key = lowered
            .key
            .and_then(|key| key.iter().map(|k| made_of.iter().position(|column| column == k)).collect());
        let same = list.iter().copied().eq(0..plan.schema().fields().len());
        Ok(Lowered { plan: if same { plan } else { pick(plan, &list) }, key })
    }
}

fn prepare(expr: &Expr, field: Arc<Field>, columns: &mut Columns<'_>) -> Result<Prepared, DeclareError> {
    let Expr::WindowFunction(call) = expr.clone().unalias() else {
        return Err(DeclareError::Internal(format!("{expr} stands where a window function should")));
    };
    if let Some(text) = refusal(&call) {
        return Err(DeclareError::Unsupported(text));
    }
    let partition =
        call.params.partition_by.iter().map(|expr| columns.add(expr)).collect::<Result<Vec<_>, _>>()?;
    let order = orders(&call.params.order_by, columns)?;
    let arguments = call.params.args.iter().map(|expr| match expr {
        Expr::Literal(value, _) => Ok(Argument::Constant(value.clone())),
        expr => Ok(Argument::Column(columns.add(expr)?)),
    });
    let mut arguments = arguments.collect::<Result<Vec<_>, DeclareError>>()?;
    // What is read from another row is a column of that row, even if it is the same everywhere.
    if let (WindowFunctionDefinition::WindowUDF(_), Some(Argument::Constant(_)), Some(first)) =
        (&call.fun, arguments.first(), call.params.args.first())
        && call.fun.name() != "ntile"
    {
        let typed = datafusion::logical_expr::cast(first.clone(), field.data_type().clone());
        arguments[0] = Argument::Column(columns.add(&typed)?);
    }
    let filter = call.params.filter.as_ref().map(|filter| columns.add(filter)).transpose()?;
    Ok(Prepared { call: *call, partition, order, arguments, filter, field })
}

fn call(prepared: Prepared, schema: &SchemaRef) -> Result<Call, DeclareError> {
    let Prepared { call, arguments, filter, field, .. } = prepared;
    let data_type = field.data_type().clone();
    let frame = call.params.window_frame.clone();
    if frame.units == WindowFrameUnits::Range && call.params.order_by.len() > 1 && offset(&frame) {
        return Err(DeclareError::Invalid("RANGE with an offset takes exactly one ORDER BY column".into()));
    }
    let ignore_nulls = call.params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let kind = match &call.fun {
        WindowFunctionDefinition::AggregateUDF(function) => {
            aggregate(function, &call, &arguments, filter, schema)?
        }
        WindowFunctionDefinition::WindowUDF(function) => {
            let first = || match arguments.first() {
                Some(Argument::Column(column)) => Ok(*column),
                _ => Err(DeclareError::Invalid(format!("{}() needs an argument", function.name()))),
            };
            let number = |i: usize| constant_number(function.name(), arguments.get(i));
            match function.name() {
                "row_number" => Kind::RowNumber,
                "rank" => Kind::Rank,
                "dense_rank" => Kind::DenseRank,
                "percent_rank" => Kind::PercentRank,
                "cume_dist" => Kind::CumeDist,
                "ntile" => match number(0)?.map(u64::try_from) {
                    Some(Ok(buckets)) if buckets > 0 => Kind::Ntile(buckets),
                    _ => {
                        return Err(DeclareError::Invalid(
                            "the argument of ntile must be greater than 0".into(),
                        ));
                    }
                },
                name @ ("lag" | "lead") => {
                    let offset = if arguments.len() > 1 { number(1)? } else { Some(1) };
                    let offset = offset.ok_or_else(|| {
                        DeclareError::Invalid(format!(
                            "the offset of {name} is NULL, which gives NULL everywhere: write NULL"
                        ))
                    })?;
                    let offset = if name == "lag" { offset } else { offset.saturating_neg() };
                    let default = match arguments.get(2) {
                        None => ScalarValue::try_from(&data_type),
                        Some(Argument::Constant(value)) => value.cast_to(&data_type),
                        Some(Argument::Column(_)) => {
                            return Err(DeclareError::Unsupported(format!(
                                "the default of {name} with IGNORE NULLS must be a constant: write COALESCE around it"
                            )));
                        }
                    };
                    let default = default.map_err(from_datafusion)?;
                    Kind::Shift { argument: first()?, offset, default, ignore_nulls }
                }
                "first_value" => Kind::Nth { argument: first()?, nth: 1, ignore_nulls },
                "last_value" => Kind::Nth { argument: first()?, nth: -1, ignore_nulls },
                "nth_value" => {
                    // No row is the NULLth.
                    let nth = number(1)?.unwrap_or(0);
                    Kind::Nth { argument: first()?, nth, ignore_nulls }
                }
                name => return Err(DeclareError::Internal(format!("{name} was not refused"))),
            }
        }
    };
    Ok(Call { kind, frame, data_type })
}

fn offset(frame: &datafusion::logical_expr::WindowFrame) -> bool {
    [&frame.start_bound, &frame.end_bound].into_iter().any(|bound| match bound {
        WindowFrameBound::Preceding(value) | WindowFrameBound::Following(value) => !value.is_null(),
        WindowFrameBound::CurrentRow => false,
    })
}

fn constant_number(name: &str, argument: Option<&Argument>) -> Result<Option<i64>, DeclareError> {
    match argument {
        Some(Argument::Constant(value)) if value.is_null() => Ok(None),
        Some(Argument::Constant(value)) if value.data_type().is_integer() => {
            match value.cast_to(&DataType::Int64).map_err(from_datafusion)? {
                ScalarValue::Int64(number) => Ok(number),
                other => Err(DeclareError::Internal(format!("{other} is no number"))),
            }
        }
        _ => Err(DeclareError::Unsupported(format!("the number given to {name} must be a constant integer"))),
    }
}

fn aggregate(
    function: &Arc<AggregateUDF>,
    call: &WindowFunction,
    arguments: &[Argument],
    filter: Option<usize>,
    schema: &SchemaRef,
) -> Result<Kind, DeclareError> {
    let list = arguments.iter().map(|argument| -> Physical {
        match argument {
            Argument::Column(column) => map::column(schema, *column),
            Argument::Constant(value) => Arc::new(Literal::new(value.clone())),
        }
    });
    let ignore_nulls = call.params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let built = AggregateExprBuilder::new(function.clone(), list.collect())
        .schema(schema.clone())
        .alias(function.name())
        .with_distinct(call.params.distinct)
        .with_ignore_nulls(ignore_nulls)
        .build()
        .map_err(from_datafusion)?;
    Ok(Kind::Aggregate { function: Arc::new(built), filter })
}
