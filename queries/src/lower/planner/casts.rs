//! Calls that differ in their casts only, such as `sum(i)` and `sum(CAST(i AS BIGINT))`: DataFusion names a column by its expression
//! without casts, and refuses two of one name. Such casts are put into a CASE that is always true, which gives them another name.
use crate::walk;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{BinaryOperator, CaseWhen, Expr, Query, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Gives calls of one name different ones.
pub(super) fn distinguish(query: &mut Query) {
    let mut alike: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    _ = walk::expressions(query, |expr| {
        if matches!(expr, Expr::Function(_)) {
            alike.entry(without_casts(expr)).or_default().insert(expr.to_string());
        }
        ControlFlow::<()>::Continue(())
    });
    alike.retain(|_, texts| texts.len() > 1);
    if alike.is_empty() {
        return;
    }
    _ = walk::expressions_mut(query, |expr| {
        if matches!(expr, Expr::Function(_))
            && let Some(texts) = alike.get(&without_casts(expr))
            && let Some(number) = texts.iter().position(|text| *text == expr.to_string())
        {
            each_cast(expr, |cast| always(number, cast));
        }
        ControlFlow::<()>::Continue(())
    });
}

fn without_casts(call: &Expr) -> String {
    let mut call = call.clone();
    each_cast(&mut call, |cast| match cast {
        Expr::Cast { expr, .. } => *expr,
        other => other,
    });
    call.to_string()
}

fn each_cast(call: &mut Expr, change: impl Fn(Expr) -> Expr) {
    _ = walk::expressions_mut(call, |part| {
        if matches!(part, Expr::Cast { .. }) {
            *part = change(std::mem::replace(part, Expr::value(Value::Null)));
        }
        ControlFlow::<()>::Continue(())
    });
}

/// `CASE WHEN n = n THEN expr END`.
fn always(number: usize, expr: Expr) -> Expr {
    let constant = || Box::new(Expr::value(Value::Number(number.to_string(), false)));
    let condition = Expr::BinaryOp { left: constant(), op: BinaryOperator::Eq, right: constant() };
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result: expr }],
        else_result: None,
    }
}
