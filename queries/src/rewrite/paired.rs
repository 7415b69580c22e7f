//! `(a, b) IN (SELECT x, y ..)`: rows looked for by all their values, as EXISTS.
use super::expression;
use crate::DeclareError;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, UnaryOperator};

/// Conditions that only need to be true: where the answer is NULL, the row is left out as well.
pub(super) fn filter(condition: &mut Expr) -> Result<(), DeclareError> {
    match condition {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            filter(left)?;
            filter(right)
        }
        Expr::Nested(inner) => filter(inner),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
            let inside = match expr.as_mut() {
                Expr::Nested(inner) => inner.as_mut(),
                inner => inner,
            };
            if let Expr::InSubquery { expr: row, subquery, negated } = inside
                && matches!(row.as_ref(), Expr::Tuple(_))
            {
                let turned =
                    Expr::InSubquery { expr: row.clone(), subquery: subquery.clone(), negated: !*negated };
                *condition = turned;
                return filter(condition);
            }
            Ok(())
        }
        Expr::InSubquery { expr, subquery, negated } => {
            let Expr::Tuple(row) = expr.as_ref() else { return Ok(()) };
            let text = match negated {
                false => equal(row, subquery),
                true => format!("NOT {} AND NOT {}", equal(row, subquery), unknown(row, subquery)),
            };
            *condition = expression(&text)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `(a, b) = ANY (SELECT ..)` is IN, and `<> ALL` is NOT IN.
fn said_as_in(expr: &mut Expr) {
    let (left, right, negated) = match expr {
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => (left, right, false),
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => (left, right, true),
        _ => return,
    };
    let query = match right.as_ref() {
        Expr::Subquery(query) => query.clone(),
        Expr::Nested(inner) => match inner.as_ref() {
            Expr::Subquery(query) => query.clone(),
            _ => return,
        },
        _ => return,
    };
    if matches!(left.as_ref(), Expr::Tuple(_)) {
        *expr = Expr::InSubquery { expr: left.clone(), subquery: query, negated };
    }
}

fn subquery(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Subquery(query) => Some(query),
        Expr::Nested(inner) => subquery(inner),
        _ => None,
    }
}

/// `(a, b) < (SELECT x, y ..)`, and the same with ANY and ALL.
fn compared(expr: &Expr) -> Option<String> {
    let (left, op, right) = match expr {
        Expr::BinaryOp { left, op, right }
        | Expr::AnyOp { left, compare_op: op, right, .. }
        | Expr::AllOp { left, compare_op: op, right } => (left, op, subquery(right)?),
        _ => return None,
    };
    let row = super::rows::values(left)?;
    let there: Vec<Expr> = (0..row.len())
        .map(|i| Expr::CompoundIdentifier(vec!["__in".into(), format!("__in_{i}").as_str().into()]))
        .collect();
    let is = super::rows::compared(&row, op, &there)?;
    Some(match expr {
        Expr::AnyOp { .. } => format!(
            "CASE WHEN {} THEN true WHEN {} THEN NULL ELSE false END",
            exists(&row, right, &is),
            exists(&row, right, &format!("({is}) IS NULL"))
        ),
        Expr::AllOp { .. } => format!(
            "CASE WHEN {} THEN false WHEN {} THEN NULL ELSE true END",
            exists(&row, right, &format!("NOT ({is})")),
            exists(&row, right, &format!("({is}) IS NULL"))
        ),
        // Without a row it is NULL, and more than one is an error, as of any subquery that gives a value.
        _ => {
            let names: Vec<String> = (0..row.len()).map(|i| format!("__in_{i}")).collect();
            format!("(SELECT {is} FROM ({right}) AS __in ({}))", names.join(", "))
        }
    })
}

/// Anywhere else it is true, false or NULL.
pub(super) fn rewrite(expr: &mut Expr) -> Result<(), DeclareError> {
    said_as_in(expr);
    if let Some(text) = compared(expr) {
        *expr = expression(&text)?;
        return Ok(());
    }
    let Expr::InSubquery { expr: row, subquery, negated } = expr else { return Ok(()) };
    let Expr::Tuple(row) = row.as_ref() else { return Ok(()) };
    let (found, missing) = if *negated { ("false", "true") } else { ("true", "false") };
    *expr = expression(&format!(
        "CASE WHEN {} THEN {found} WHEN {} THEN NULL ELSE {missing} END",
        equal(row, subquery),
        unknown(row, subquery)
    ))?;
    Ok(())
}

/// Whether a row of the query is the row.
fn equal(row: &[Expr], query: &Query) -> String {
    let pairs = row.iter().enumerate().map(|(i, value)| format!("__in.__in_{i} = ({value})"));
    exists(row, query, &pairs.collect::<Vec<_>>().join(" AND "))
}

/// Whether a row of the query could be the row, if its NULLs were known.
fn unknown(row: &[Expr], query: &Query) -> String {
    let part = |(i, value): (usize, &Expr)| {
        format!("(__in.__in_{i} = ({value}) OR __in.__in_{i} IS NULL OR ({value}) IS NULL)")
    };
    let null = |(i, value): (usize, &Expr)| format!("__in.__in_{i} IS NULL OR ({value}) IS NULL");
    let parts: Vec<String> = row.iter().enumerate().map(part).collect();
    let nulls: Vec<String> = row.iter().enumerate().map(null).collect();
    exists(row, query, &format!("{} AND ({})", parts.join(" AND "), nulls.join(" OR ")))
}

fn exists(row: &[Expr], query: &Query, condition: &str) -> String {
    let names: Vec<String> = (0..row.len()).map(|i| format!("__in_{i}")).collect();
    format!("EXISTS (SELECT 1 FROM ({query}) AS __in ({}) WHERE {condition})", names.join(", "))
}
