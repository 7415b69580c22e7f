//! Rows collected into one value: `ARRAY(SELECT ..)`, `jsonb_agg` and its kin, written with `array_agg` and `string_agg`.
use super::{expression, function_name};
use crate::DeclareError;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, OrderByExpr,
    OrderByKind, Query, SelectItem, SetExpr, Value,
};

/// Rewrites a call whose arguments are rewritten.
pub(super) fn rewrite(expr: &mut Expr) -> Result<(), DeclareError> {
    let Expr::Function(call) = expr else { return Ok(()) };
    let name = function_name(&call.name);
    if matches!(
        name.as_str(),
        "json_agg"
            | "jsonb_agg"
            | "to_json"
            | "to_jsonb"
            | "row_to_json"
            | "json_build_array"
            | "jsonb_build_array"
    ) && let FunctionArguments::List(list) = &mut call.args
    {
        for argument in &mut list.args {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = argument
                && let Some(row) = super::rows::values(value)
            {
                let members = row.iter().enumerate().map(|(i, value)| format!("'f{}', {value}", i + 1));
                *value = expression(&format!("__json_row({})", members.collect::<Vec<_>>().join(", ")))?;
            }
        }
    }
    let text = match (name.as_str(), &call.args) {
        ("array", FunctionArguments::Subquery(query)) => array(query)?,
        ("json_agg" | "jsonb_agg", FunctionArguments::List(list)) => match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] => {
                let joined = joined(call, &format!("coalesce(__json_value({value}), 'null')"))?;
                match name.as_str() {
                    "json_agg" => format!("json('[' || {joined} || ']')"),
                    _ => format!("jsonb('[' || {joined} || ']')"),
                }
            }
            _ => return Ok(()),
        },
        // Documents in a list are texts to it.
        ("array_to_json" | "to_json" | "to_jsonb", FunctionArguments::List(list)) => {
            match list.args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(inner)))]
                    if function_name(&inner.name) == "array_agg" =>
                {
                    let FunctionArguments::List(of) = &inner.args else { return Ok(()) };
                    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] = of.args.as_slice() else {
                        return Ok(());
                    };
                    let part = format!("coalesce(__json_value({value}), 'null')");
                    let joined = joined_by(inner, &part, "','")?;
                    let kind = if name == "to_jsonb" { "jsonb" } else { "json" };
                    format!("{kind}('[' || {joined} || ']')")
                }
                _ => return Ok(()),
            }
        }
        ("json_object_agg" | "jsonb_object_agg", FunctionArguments::List(list)) => {
            let [
                FunctionArg::Unnamed(FunctionArgExpr::Expr(key)),
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)),
            ] = list.args.as_slice()
            else {
                return Ok(());
            };
            let part = |colon: &str| {
                joined(
                    call,
                    &format!("__json_key({key}) || '{colon}' || coalesce(__json_value({value}), 'null')"),
                )
            };
            match name.as_str() {
                "json_object_agg" => format!("json('{{ ' || {} || ' }}')", part(" : ")?),
                _ => format!("jsonb('{{' || {} || '}}')", part(": ")?),
            }
        }
        _ => return Ok(()),
    };
    *expr = expression(&text)?;
    Ok(())
}

/// `string_agg(part, ', ')` with what else the call says.
fn joined(call: &Function, part: &str) -> Result<Function, DeclareError> {
    joined_by(call, part, "', '")
}

fn joined_by(call: &Function, part: &str, by: &str) -> Result<Function, DeclareError> {
    let mut call = call.clone();
    call.name = ObjectName::from(vec![Ident::new("string_agg")]);
    let argument = |text: &str| Ok(FunctionArg::Unnamed(FunctionArgExpr::Expr(expression(text)?)));
    if let FunctionArguments::List(list) = &mut call.args {
        list.args = vec![argument(part)?, argument(by)?];
    }
    Ok(call)
}

/// `ARRAY(SELECT x .. ORDER BY y)`: the same rows with their keys, collected in the order of these.
fn array(query: &Query) -> Result<String, DeclareError> {
    let mut query = query.clone();
    let order: Vec<OrderByExpr> = match &query.order_by {
        Some(order) => match &order.kind {
            OrderByKind::Expressions(list) => list.clone(),
            OrderByKind::All(_) => vec![],
        },
        None => vec![],
    };
    let mut keys = vec![];
    let mut names = vec!["__element".to_string()];
    for by in order {
        let element = is_element(&by.expr, &query.body);
        let key = match (query.body.as_mut(), element) {
            (_, true) => "__element".to_string(),
            (SetExpr::Select(select), false) if select.distinct.is_none() => {
                let key = format!("__key_{}", keys.len());
                select.projection.push(SelectItem::ExprWithAlias {
                    expr: by.expr.clone(),
                    alias: Ident::new(key.clone()),
                });
                names.push(key.clone());
                key
            }
            _ => {
                return Err(DeclareError::Unsupported(format!(
                    "ARRAY(SELECT ..) ordered by {} is not maintained here: order by its column",
                    by.expr
                )));
            }
        };
        keys.push(format!("{key}{}", by.options));
    }
    let order = if keys.is_empty() { String::new() } else { format!(" ORDER BY {}", keys.join(", ")) };
    Ok(format!(
        "(SELECT __array_or_empty(array_agg(__element{order})) FROM ({query}) AS __collected ({}))",
        names.join(", ")
    ))
}

/// Whether an ORDER BY means the only column.
fn is_element(by: &Expr, body: &SetExpr) -> bool {
    match by {
        Expr::Value(value) => matches!(&value.value, Value::Number(number, _) if *number == "1"),
        Expr::Identifier(word) => match body {
            SetExpr::Select(select) => match select.projection.first() {
                Some(SelectItem::ExprWithAlias { alias, .. }) => alias == word,
                Some(SelectItem::UnnamedExpr(expr)) => expr == by,
                _ => false,
            },
            _ => true,
        },
        by => matches!(body, SetExpr::Select(select)
            if matches!(select.projection.first(), Some(SelectItem::UnnamedExpr(expr)) if expr == by)),
    }
}
