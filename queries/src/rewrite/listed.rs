//! Lists of values and single rows in words that DataFusion plans: VALUES with subqueries, VALUES of one value where a value stands,
//! a HAVING without an aggregate, and the negation of an interval.
use super::{expression, function_name, plain_arguments, query};
use crate::DeclareError;
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, GroupByExpr, Select, SelectItem, SetExpr, UnaryOperator, Value, Values,
};
use std::ops::ControlFlow;

/// `VALUES ((SELECT 1), 2), (3, 4)`: each row as a SELECT.
pub(super) fn rewrite(body: &mut SetExpr) -> Result<(), DeclareError> {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            rewrite(left)?;
            rewrite(right)
        }
        SetExpr::Values(values) => {
            typed(values);
            let asks = |cell: &Expr| {
                walk::expressions(cell, |part| match part {
                    Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                        ControlFlow::Break(())
                    }
                    _ => ControlFlow::Continue(()),
                })
                .is_break()
            };
            if !values.rows.iter().flat_map(|row| row.iter()).any(asks) {
                return Ok(());
            }
            let rows = values.rows.iter().map(|row| {
                let cells = row.iter().enumerate().map(|(i, cell)| format!("{cell} AS column{}", i + 1));
                format!("SELECT {}", cells.collect::<Vec<_>>().join(", "))
            });
            *body = *query(&rows.collect::<Vec<_>>().join(" UNION ALL "))?.body;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `VALUES (DATE '2020-02-03'), ('2020-02-04')`: a text without a type has that of its column.
fn typed(values: &mut Values) {
    let width = values.rows.first().map_or(0, |row| row.len());
    for column in 0..width {
        let cells = values.rows.iter().filter_map(|row| row.get(column));
        let mut types: Vec<DataType> = cells.filter_map(told).collect();
        types.dedup();
        let [data_type] = types.as_slice() else { continue };
        for cell in values.rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            if matches!(cell, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_))) {
                let expr = Box::new(std::mem::replace(cell, Expr::value(Value::Null)));
                let data_type = data_type.clone();
                *cell = Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None };
            }
        }
    }
}

/// The type that an expression says it has.
fn told(expr: &Expr) -> Option<DataType> {
    match expr {
        Expr::Cast { data_type, .. } => Some(data_type.clone()),
        Expr::TypedString(typed) => Some(typed.data_type.clone()),
        Expr::Interval(_) => Some(DataType::Interval { fields: None, precision: None }),
        _ => None,
    }
}

/// `SELECT 1 FROM t HAVING c`: one group, also where nothing is counted.
pub(super) fn whole(select: &mut Select) -> Result<(), DeclareError> {
    let is_plain = matches!(&select.group_by, GroupByExpr::Expressions(list, more) if list.is_empty() && more.is_empty());
    let Some(having) = select.having.as_mut().filter(|_| is_plain) else { return Ok(()) };
    let calls = |expr: &Expr| {
        walk::expressions(expr, |part| match part {
            Expr::Function(_) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .is_break()
    };
    let is_call = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => calls(expr),
        _ => false,
    };
    if !calls(having) && !select.projection.iter().any(is_call) {
        *having = expression(&format!("({having}) AND count(*) >= 0"))?;
    }
    Ok(())
}

/// `(VALUES (a))` where a value stands, which the parser takes for a call; and `-interval '1 day 02:00'`, of which the planner would
/// negate the first part alone.
pub(super) fn single(expr: &mut Expr) -> Result<(), DeclareError> {
    match expr {
        Expr::Function(call) if function_name(&call.name) == "values" => {
            if let Some([value]) = plain_arguments(call).as_deref() {
                *expr = expression(&format!("(SELECT {value})"))?;
            }
        }
        Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner }
            if matches!(inner.as_ref(), Expr::Interval(_)) =>
        {
            let interval = std::mem::replace(inner.as_mut(), Expr::value(Value::Null));
            **inner = Expr::Nested(Box::new(interval));
        }
        _ => {}
    }
    Ok(())
}
