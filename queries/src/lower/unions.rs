//! UNION of floats and decimals: of floats, as in PostgreSQL. DataFusion makes both decimals, among which there is no NaN and no large number.
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use crate::functions::common_number;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Union, cast};
use std::sync::Arc;

/// The plan with such columns cast in each branch.
pub(super) fn floated(plan: LogicalPlan) -> Result<LogicalPlan, DeclareError> {
    let mut changed = false;
    let rewritten = plan.transform_up_with_subqueries(|node| {
        let node = match node {
            LogicalPlan::Union(union) => match common(&union) {
                Some(types) => {
                    changed = true;
                    let inputs = union.inputs.iter().map(|input| fitted(input, &types));
                    LogicalPlan::Union(Union::try_new_with_loose_types(inputs.collect::<Result<_>>()?)?)
                }
                None => LogicalPlan::Union(union),
            },
            node => node,
        };
        // What stands above has the types of what was changed.
        if changed { node.recompute_schema().map(Transformed::yes) } else { Ok(Transformed::no(node)) }
    });
    Ok(rewritten.map_err(from_datafusion)?.data)
}

/// For each column the type that it is cast to; nothing if no column is.
fn common(union: &Union) -> Option<Vec<Option<DataType>>> {
    let width = union.schema.fields().len();
    if union.inputs.iter().any(|input| input.schema().fields().len() != width) {
        return None;
    }
    let of = |i: usize| -> Vec<DataType> {
        union.inputs.iter().map(|input| input.schema().field(i).data_type().clone()).collect()
    };
    let types: Vec<Option<DataType>> = (0..width).map(|i| common_number(&of(i))).collect();
    types.iter().any(Option::is_some).then_some(types)
}

fn fitted(input: &Arc<LogicalPlan>, types: &[Option<DataType>]) -> Result<Arc<LogicalPlan>> {
    let list = input.schema().iter().zip(types).map(|((qualifier, field), to)| {
        let column = Expr::Column(Column::from((qualifier, field.as_ref())));
        match to {
            Some(to) if field.data_type() != to => {
                cast(column, to.clone()).alias_qualified(qualifier.cloned(), field.name())
            }
            _ => column,
        }
    });
    let list: Vec<Expr> = list.collect();
    Ok(Arc::new(LogicalPlanBuilder::from(input.clone()).project(list)?.build()?))
}
