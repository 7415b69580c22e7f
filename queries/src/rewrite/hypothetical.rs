//! Aggregates WITHIN GROUP that DataFusion has not: the place that a value would have among others, and several percentiles at once.
use super::{expression, function_name};
use crate::DeclareError;
use datafusion::sql::sqlparser::ast::{
    Array, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, OrderByExpr,
};

/// Whether a call is one of these.
pub(super) fn is(call: &Function) -> bool {
    let places = ["rank", "dense_rank", "percent_rank", "cume_dist"];
    let several = match &call.args {
        FunctionArguments::List(list) => {
            matches!(list.args.first(), Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Array(_)))))
        }
        _ => false,
    };
    let name = function_name(&call.name);
    !call.within_group.is_empty()
        && (places.contains(&name.as_str()) || several && name.starts_with("percentile_"))
}

/// Rewrites a call whose parts are rewritten.
pub(super) fn rewrite(expr: &mut Expr) -> Result<(), DeclareError> {
    let Expr::Function(call) = expr else { return Ok(()) };
    if call.within_group.is_empty() || call.over.is_some() {
        return Ok(());
    }
    let FunctionArguments::List(list) = &call.args else { return Ok(()) };
    let values: Option<Vec<&Expr>> = list
        .args
        .iter()
        .map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
            _ => None,
        })
        .collect();
    let Some(values) = values else { return Ok(()) };
    let name = function_name(&call.name);
    let text = match (name.as_str(), values.as_slice()) {
        ("rank" | "dense_rank" | "percent_rank" | "cume_dist", values)
            if values.len() == call.within_group.len() =>
        {
            match place(&name, call, values) {
                Some(text) => text,
                None => {
                    return Err(DeclareError::Unsupported(
                        "dense_rank(..) WITHIN GROUP is maintained for one column: write count(DISTINCT (..)) FILTER (WHERE ..) + 1".into(),
                    ));
                }
            }
        }
        ("percentile_cont" | "percentile_disc", [Expr::Array(Array { elem, .. })]) => several(call, elem),
        _ => return Ok(()),
    };
    *expr = expression(&text)?;
    Ok(())
}

/// Whether a row stands before the values, or with them.
fn before(by: &[OrderByExpr], values: &[&Expr]) -> (String, String) {
    let (mut first, mut equal) = (vec![], String::from("true"));
    for (by, value) in by.iter().zip(values) {
        let descending = by.options.asc == Some(false);
        let nulls_first = by.options.nulls_first.unwrap_or(descending);
        let (key, sign) = (&by.expr, if descending { ">" } else { "<" });
        let null = if nulls_first { format!(" OR ({key}) IS NULL") } else { String::new() };
        first.push(format!("({equal} AND (({key}) {sign} ({value}){null}))"));
        equal = format!("{equal} AND ({key}) = ({value})");
    }
    (format!("({})", first.join(" OR ")), format!("({equal})"))
}

/// The place that a row of these values would have.
fn place(name: &str, call: &Function, values: &[&Expr]) -> Option<String> {
    let (before, equal) = before(&call.within_group, values);
    let counted = |what: &str, condition: &str| match &call.filter {
        Some(filter) => format!("count({what}) FILTER (WHERE ({filter}) AND {condition})"),
        None => format!("count({what}) FILTER (WHERE {condition})"),
    };
    let all = counted("*", "true");
    Some(match (name, call.within_group.as_slice()) {
        ("rank", _) => format!("({} + 1)", counted("*", &before)),
        ("dense_rank", [by]) => {
            let key = &by.expr;
            let there = counted(&format!("DISTINCT {key}"), &format!("{before} AND ({key}) IS NOT NULL"));
            let null = counted("*", &format!("{before} AND ({key}) IS NULL"));
            format!("({there} + CASE WHEN {null} > 0 THEN 1 ELSE 0 END + 1)")
        }
        ("percent_rank", _) => format!(
            "CASE WHEN {all} = 0 THEN CAST(0 AS DOUBLE PRECISION) ELSE CAST({} AS DOUBLE PRECISION) / {all} END",
            counted("*", &before)
        ),
        ("cume_dist", _) => {
            let until = counted("*", &format!("({before} OR {equal})"));
            format!("(CAST({until} + 1 AS DOUBLE PRECISION) / ({all} + 1))")
        }
        _ => return None,
    })
}

/// A list of percentiles; none where there are no values.
fn several(call: &Function, fractions: &[Expr]) -> String {
    let one = |fraction: &Expr| {
        let mut one = call.clone();
        if let FunctionArguments::List(list) = &mut one.args {
            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(fraction.clone()))];
        }
        one.to_string()
    };
    let filter = call.filter.as_ref().map_or(String::new(), |filter| format!(" FILTER (WHERE {filter})"));
    let list: Vec<String> = fractions.iter().map(one).collect();
    let key = call.within_group.first().map(|by| by.expr.to_string()).unwrap_or_default();
    format!("CASE WHEN count({key}){filter} > 0 THEN ARRAY[{}] END", list.join(", "))
}
