//! Integer arithmetic over constants that overflows is refused: the optimiser would compute it around the corner.
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

/// An error where a constant does not fit its type.
pub(super) fn refuse(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let (Some(value), Ok(data_type)) = (constant(expr), expr.get_type(schema)) else { return Ok(()) };
    let (least, most, name) = match data_type {
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into(), "smallint"),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into(), "integer"),
        DataType::Int64 if is_int(expr) => (i32::MIN.into(), i32::MAX.into(), "integer"),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into(), "bigint"),
        _ => return Ok(()),
    };
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(DataFusionError::Plan(format!("{name} out of range: {expr}"))),
    }
}

/// Whether a constant is an int in PostgreSQL: made of numbers as they are written that all fit one, though they are read as bigint.
pub(super) fn is_int(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => i32::try_from(*value).is_ok(),
        Expr::Literal(value, _) => matches!(value, ScalarValue::Int16(_) | ScalarValue::Int32(_)),
        Expr::Cast(cast) => matches!(cast.field.data_type(), DataType::Int16 | DataType::Int32),
        Expr::Negative(inner) => is_int(inner),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let same = matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide);
            same && is_int(left) && is_int(right)
        }
        _ => false,
    }
}

pub(super) fn constant(expr: &Expr) -> Option<i128> {
    Some(match expr {
        Expr::Literal(value, _) => match value {
            ScalarValue::Int8(Some(v)) => (*v).into(),
            ScalarValue::Int16(Some(v)) => (*v).into(),
            ScalarValue::Int32(Some(v)) => (*v).into(),
            ScalarValue::Int64(Some(v)) => (*v).into(),
            _ => return None,
        },
        Expr::Cast(cast) if cast.field.data_type().is_integer() => constant(&cast.expr)?,
        Expr::Negative(inner) => constant(inner)?.checked_neg()?,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (a, b) = (constant(left)?, constant(right)?);
            match op {
                Operator::Plus => a.checked_add(b)?,
                Operator::Minus => a.checked_sub(b)?,
                Operator::Multiply => a.checked_mul(b)?,
                Operator::Divide => a.checked_div(b)?,
                _ => return None,
            }
        }
        _ => return None,
    })
}
