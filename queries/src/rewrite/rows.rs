//! Rows of values, `(a, b)` and `ROW(a, b)`, compared and asked for NULL as PostgreSQL does: value by value.
use super::{function_name, plain_arguments};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};

/// What an expression over rows means; none of another.
pub(super) fn meaning(expr: &Expr) -> Option<String> {
    match expr {
        Expr::BinaryOp { left, op, right } => compared(&values(left)?, op, &values(right)?),
        Expr::IsNull(inner) => {
            Some(joined(values(inner)?.iter().map(|value| format!("({value}) IS NULL")), "AND"))
        }
        // A row with a NULL among its values is neither.
        Expr::IsNotNull(inner) => {
            Some(joined(values(inner)?.iter().map(|value| format!("({value}) IS NOT NULL")), "AND"))
        }
        _ => None,
    }
}

/// The values of a row.
pub(super) fn values(expr: &Expr) -> Option<Vec<Expr>> {
    let parts = match expr {
        Expr::Tuple(parts) => parts.clone(),
        Expr::Function(call) if function_name(&call.name) == "row" => plain_arguments(call)?,
        _ => return None,
    };
    (!parts.is_empty()).then_some(parts)
}

fn joined(parts: impl Iterator<Item = String>, by: &str) -> String {
    format!("({})", parts.collect::<Vec<_>>().join(&format!(" {by} ")))
}

/// Two rows, of which the first values that differ decide.
pub(super) fn compared(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Option<String> {
    if left.len() != right.len() {
        return None;
    }
    let pairs = || left.iter().zip(right);
    let strict = match op {
        BinaryOperator::Eq => return Some(joined(pairs().map(|(l, r)| format!("({l}) = ({r})")), "AND")),
        BinaryOperator::NotEq => return Some(joined(pairs().map(|(l, r)| format!("({l}) <> ({r})")), "OR")),
        BinaryOperator::Lt | BinaryOperator::LtEq => "<",
        BinaryOperator::Gt | BinaryOperator::GtEq => ">",
        _ => return None,
    };
    let last = left.len() - 1;
    let pairs: Vec<_> = pairs().enumerate().collect();
    Some(pairs.into_iter().rev().fold(String::new(), |rest, (i, (l, r))| match i == last {
        true => format!("({l}) {op} ({r})"),
        false => format!("(({l}) {strict} ({r}) OR ({l}) = ({r}) AND {rest})"),
    }))
}
