//! The types of VALUES: where a column of it holds a float, its other numbers are floats too. DataFusion would make all of them decimals,
//! among which there is no NaN. Whole numbers that a subquery gives are ints where they fit one, as in PostgreSQL: DataFusion has bigints,
//! which would go on where an int overflows.
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArguments, Ident, SelectItem, SetExpr, UnaryOperator, Value, Values,
};

/// Rewrites the VALUES of a query's body.
pub(super) fn rewrite(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) => columns(values),
        SetExpr::SetOperation { left, right, .. } => {
            rewrite(left);
            rewrite(right);
        }
        _ => {}
    }
}

fn columns(values: &mut Values) {
    let width = values.rows.first().map_or(0, |row| row.len());
    for column in 0..width {
        if !values.rows.iter().any(|row| row.get(column).is_some_and(is_float)) {
            continue;
        }
        for cell in values.rows.iter_mut().filter_map(|row| row.get_mut(column)) {
            if is_number(cell) {
                let expr = Box::new(std::mem::replace(cell, Expr::value(Value::Null)));
                let data_type = DataType::DoublePrecision;
                *cell = Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None };
            }
        }
    }
}

/// The whole numbers of a subquery's body as ints.
pub(super) fn as_ints(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) => {
            let width = values.rows.first().map_or(0, |row| row.len());
            for column in 0..width {
                let cells = || values.rows.iter().filter_map(|row| row.get(column));
                let null = |cell: &Expr| matches!(cell, Expr::Value(value) if value.value == Value::Null);
                if !cells().all(|cell| is_int(cell) || null(cell)) || cells().all(null) {
                    continue;
                }
                for cell in values.rows.iter_mut().filter_map(|row| row.get_mut(column)) {
                    if !null(cell) {
                        as_int(cell);
                    }
                }
            }
        }
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                match item {
                    SelectItem::UnnamedExpr(expr) if is_int(expr) => {
                        let mut expr = expr.clone();
                        as_int(&mut expr);
                        let alias = Ident::with_quote('"', "?column?");
                        *item = SelectItem::ExprWithAlias { expr, alias };
                    }
                    SelectItem::ExprWithAlias { expr, .. } if is_int(expr) => as_int(expr),
                    _ => {}
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            as_ints(left);
            as_ints(right);
        }
        SetExpr::Query(query) => as_ints(&mut query.body),
        _ => {}
    }
}

/// Whether an expression is a whole number that fits an int.
fn is_int(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.to_string().parse::<i64>().is_ok_and(|v| v <= 1 << 31),
            _ => false,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            matches!(expr.as_ref(), Expr::Value(_)) && is_int(expr)
        }
        _ => false,
    }
}

fn as_int(expr: &mut Expr) {
    // One above the greatest is only written for the least.
    if expr.to_string() == "2147483648" {
        return;
    }
    let inner = Box::new(std::mem::replace(expr, Expr::value(Value::Null)));
    let data_type = DataType::Integer(None);
    *expr = Expr::Cast { kind: CastKind::Cast, expr: inner, data_type, array: false, format: None };
}

/// Whether an expression says that it is a float.
fn is_float(expr: &Expr) -> bool {
    use DataType::*;
    match expr {
        Expr::Cast { data_type, .. } => {
            matches!(
                data_type,
                Float(_) | Float4 | Float8 | Float32 | Float64 | Real | Double(_) | DoublePrecision
            )
        }
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => is_float(expr),
        Expr::Nested(expr) => is_float(expr),
        Expr::Function(call) if call.name.to_string().eq_ignore_ascii_case("arrow_cast") => {
            match &call.args {
                FunctionArguments::List(list) => list
                    .args
                    .get(1)
                    .is_some_and(|kind| matches!(kind.to_string().as_str(), "'Float64'" | "'Float32'")),
                _ => false,
            }
        }
        _ => false,
    }
}

/// Whether an expression is a literal number, or says that it is a decimal.
fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Value::Number(..)),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => is_number(expr),
        Expr::Nested(expr) => is_number(expr),
        Expr::Cast { data_type: DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_), .. } => true,
        _ => false,
    }
}
