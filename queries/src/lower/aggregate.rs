//! GROUP BY: group expressions and arguments become columns in front, then one `Plan::Aggregate`.
use super::map::Columns;
use super::{Lowered, Lowering};
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use dataflows::Plan;
use dataflows::plan::{Aggregate, Function};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{self, Expr, ExprSchemable};
use std::sync::Arc;

/// Why an aggregate function cannot be maintained.
pub(super) fn refusal(call: &AggregateFunction) -> Option<String> {
    let name = call.func.name().to_lowercase();
    if function(&name).is_none() {
        return Some(format!(
            "the aggregate {name}() is not maintained: maintained are count, sum, avg, min and max, each with DISTINCT and FILTER"
        ));
    }
    (call.params.null_treatment.is_some())
        .then(|| format!("RESPECT NULLS or IGNORE NULLS in {name}() is not supported: leave it out"))
}

fn function(name: &str) -> Option<Function> {
    Some(match name {
        "count" => Function::Count,
        "sum" => Function::Sum,
        "avg" | "mean" => Function::Avg,
        "min" => Function::Min,
        "max" => Function::Max,
        _ => return None,
    })
}

impl Lowering<'_> {
    pub(super) fn aggregate(&self, node: &logical_expr::Aggregate) -> Result<Lowered, DeclareError> {
        let input = self.lower(&node.input)?;
        let mut columns = Columns::none(node.input.schema());
        let group = node
            .group_expr
            .iter()
            .map(|expr| match expr {
                Expr::GroupingSet(_) => Err(DeclareError::Unsupported(
                    "GROUPING SETS, CUBE and ROLLUP are not maintained: write one GROUP BY for each set and UNION ALL".into(),
                )),
                expr => columns.add(expr),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let aggregates = node
            .aggr_expr
            .iter()
            .enumerate()
            .map(|(i, expr)| {
                let data_type = node.schema.field(group.len() + i).data_type().clone();
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

fn one(
    expr: &Expr,
    columns: &mut Columns<'_>,
    data_type: arrow::datatypes::DataType,
) -> Result<Aggregate, DeclareError> {
    let Expr::AggregateFunction(call) = expr.clone().unalias() else {
        return Err(DeclareError::Internal(format!("{expr} stands where an aggregate should")));
    };
    if let Some(text) = refusal(&call) {
        return Err(DeclareError::Unsupported(text));
    }
    let name = call.func.name().to_lowercase();
    let function = function(&name).expect("others were refused above");
    let argument = match (function, call.params.args.as_slice()) {
        (Function::Count, [] | [Expr::Literal(..)]) => match call.params.args.first() {
            Some(Expr::Literal(value, _)) if value.is_null() => Some(columns.add(&call.params.args[0])?),
            _ => None,
        },
        (Function::Count, [only]) if !call.params.distinct && !columns.nullable(only)? => None,
        (_, [only]) => Some(columns.add(only)?),
        (_, list) => {
            return Err(DeclareError::Unsupported(format!(
                "{name}() of {} arguments is not maintained: give it one",
                list.len()
            )));
        }
    };
    let filter = call.params.filter.as_ref().map(|filter| columns.add(filter)).transpose()?;
    // The smallest of all is the smallest of the different ones.
    let distinct = call.params.distinct && !matches!(function, Function::Min | Function::Max);
    if distinct && argument.is_none() {
        return Err(DeclareError::Unsupported(
            "count(DISTINCT of a constant) is not maintained: name a column, or write count(*)".into(),
        ));
    }
    Ok(Aggregate { function, argument, distinct, filter, data_type })
}

impl Columns<'_> {
    fn nullable(&self, expr: &Expr) -> Result<bool, DeclareError> {
        expr.nullable(self.input_schema()).map_err(from_datafusion)
    }
}
