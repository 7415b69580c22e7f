//! Every name of the present, written with `now()`: the logical clock.
use super::{expression, function_name, plain_arguments};
use crate::DeclareError;
use datafusion::sql::sqlparser::ast::{Expr, Ident, SelectItem};

/// What a call means, by its name.
fn meaning(name: &str) -> Option<&'static str> {
    Some(match name {
        "now"
        | "current_timestamp"
        | "transaction_timestamp"
        | "statement_timestamp"
        | "clock_timestamp"
        | "proctime" => "now()",
        "localtimestamp" => "CAST(now() AS TIMESTAMP)",
        "current_date" => "CAST(now() AS DATE)",
        "localtime" => "CAST(now() AS TIME)",
        _ => return None,
    })
}

fn name_of(expr: &Expr) -> Option<String> {
    let Expr::Function(call) = expr else { return None };
    let name = function_name(&call.name);
    // A precision is no more than that of the clock, which has milliseconds.
    (meaning(&name).is_some() && plain_arguments(call).is_some_and(|list| list.len() <= 1)).then_some(name)
}

/// Rewrites a call.
pub(super) fn rewrite(expr: &mut Expr) -> Result<(), DeclareError> {
    if let Expr::Function(call) = expr
        && function_name(&call.name) == "current_time"
    {
        return Err(DeclareError::Unsupported(
            "current_time has a zone, and a TIME here has none: write localtime, or CAST(now() AT TIME ZONE 'Europe/Berlin' AS TIME)".into(),
        ));
    }
    match name_of(expr).as_deref().and_then(meaning) {
        Some("now()") if expr.to_string() == "now()" => Ok(()),
        Some(text) => {
            *expr = expression(text)?;
            Ok(())
        }
        None => Ok(()),
    }
}

/// A column without a name has that of its function, which is about to be rewritten.
pub(super) fn name(item: &mut SelectItem) {
    let SelectItem::UnnamedExpr(expr) = item else { return };
    if let Some(name) = name_of(expr) {
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::new(name) };
    }
}
