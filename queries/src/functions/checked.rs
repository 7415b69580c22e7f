//! Integer arithmetic for DataFusion's own engine: it wraps around where PostgreSQL, and our dataflow, say that a number is out of range.
use arrow::compute::kernels::numeric;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr_common::datum::apply;

/// The plan with arithmetic that fails where it would wrap around. Its types must have been made equal.
pub(crate) fn checked(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        let mut schema = merge_schema(&node.inputs());
        schema.merge(node.schema());
        let names = NamePreserver::new(&node);
        let changed = node.map_expressions(|expr| {
            let name = names.save(&expr);
            // From above, so that types are asked of plain operators: those of nested calls cost more the deeper they are.
            let changed = expr.transform_down(|part| Ok(one(part, &schema)))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })?;
        match changed.transformed {
            true => changed.map_data(LogicalPlan::recompute_schema),
            false => Ok(changed),
        }
    });
    plan.map(|plan| plan.data)
}

fn one(part: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = &part else { return Transformed::no(part) };
    let wraps = matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply);
    let types = (left.get_type(schema), right.get_type(schema));
    match types {
        (Ok(a), Ok(b)) if wraps && a == b && a.is_integer() => {
            let function = ScalarUDF::new_from_impl(Checked(*op, Signature::any(2, Volatility::Immutable)));
            let arguments = vec![left.as_ref().clone(), right.as_ref().clone()];
            Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(function.into(), arguments)))
        }
        _ => Transformed::no(part),
    }
}

/// `+`, `-` or `*` of two integers of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked(Operator, Signature);

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.0 {
            Operator::Plus => "checked_plus",
            Operator::Minus => "checked_minus",
            _ => "checked_times",
        }
    }

    fn signature(&self) -> &Signature {
        &self.1
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kernel = match self.0 {
            Operator::Plus => numeric::add,
            Operator::Minus => numeric::sub,
            _ => numeric::mul,
        };
        apply(&args.args[0], &args.args[1], kernel)
    }
}
