//! `FETCH FIRST n ROWS ONLY`, said as LIMIT, and `WITH TIES`, said by rank: all that DataFusion plans.
use crate::DeclareError;
use crate::declare::text;
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    Distinct, ExceptSelectItem, Expr, Ident, LimitClause, OrderByKind, Query, SelectItem, SetExpr, Value,
    VisitorMut, WildcardAdditionalOptions,
};
use std::ops::ControlFlow;

/// Rewrites a query and all queries inside it.
pub(super) fn said_as_limit(query: &mut Query) -> Result<(), DeclareError> {
    match walk::write(query, &mut Fetches) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(text) => Err(DeclareError::Unsupported(text)),
    }
}

struct Fetches;

impl VisitorMut for Fetches {
    type Break = String;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        let Some(fetch) = query.fetch.take() else { return ControlFlow::Continue(()) };
        if fetch.with_ties {
            let count = fetch.quantity.unwrap_or_else(one);
            return match by_rank(query, &count) {
                Some(ranked) => {
                    *query = ranked;
                    ControlFlow::Continue(())
                }
                None => ControlFlow::Break(
                    "FETCH .. WITH TIES takes a plain SELECT with ORDER BY, without DISTINCT and LIMIT: else keep the rows where RANK() OVER (ORDER BY ..) <= n".into(),
                ),
            };
        }
        if fetch.percent {
            return ControlFlow::Break(
                "FETCH .. PERCENT is not maintained: keep the rows where PERCENT_RANK() OVER (ORDER BY ..) <= p".into(),
            );
        }
        let count = fetch.quantity.unwrap_or_else(one);
        match &mut query.limit_clause {
            None => {
                query.limit_clause =
                    Some(LimitClause::LimitOffset { limit: Some(count), offset: None, limit_by: vec![] });
            }
            Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(count),
            Some(_) => return ControlFlow::Break("LIMIT and FETCH in one query: write one of them".into()),
        }
        ControlFlow::Continue(())
    }
}

fn one() -> Expr {
    Expr::value(Value::Number("1".into(), false))
}

/// The rows whose rank is at most `count`: `SELECT list FROM .. ORDER BY keys FETCH FIRST count ROWS WITH TIES`.
fn by_rank(query: &Query, count: &Expr) -> Option<Query> {
    let mut inner = query.clone();
    let with = inner.with.take();
    let OrderByKind::Expressions(keys) = inner.order_by.take()?.kind else { return None };
    let SetExpr::Select(select) = inner.body.as_mut() else { return None };
    let distinct = !matches!(select.distinct, None | Some(Distinct::All));
    let skipped = match inner.limit_clause.take() {
        None => None,
        Some(LimitClause::LimitOffset { limit: None, offset: Some(offset), limit_by })
            if limit_by.is_empty() =>
        {
            Some(offset.value)
        }
        Some(_) => return None,
    };
    if distinct || !query.locks.is_empty() {
        return None;
    }
    let mut list = vec![];
    for mut key in keys {
        key.expr = meant(key.expr, &select.projection)?;
        list.push(key.to_string());
    }
    let keys = list.join(", ");
    let rank = format!(
        "SELECT rank() OVER (ORDER BY {keys}) AS \"{RANK}\", row_number() OVER (ORDER BY {keys}) AS \"{PLACE}\""
    );
    let SetExpr::Select(ranking) = *text::query(&rank).ok()?.body else { return None };
    select.projection.extend(ranking.projection);
    let kept = match skipped {
        None => format!("\"{RANK}\" <= {count}"),
        Some(skipped) => format!("\"{RANK}\" <= ({skipped}) + ({count}) AND \"{PLACE}\" > ({skipped})"),
    };
    let outer = format!("SELECT * FROM ({inner}) AS \"?ties?\" WHERE {kept} ORDER BY \"{RANK}\"");
    let mut outer = text::query(&outer).ok()?;
    if let SetExpr::Select(select) = outer.body.as_mut() {
        let opt_except = Some(ExceptSelectItem {
            first_element: Ident::with_quote('"', RANK),
            additional_elements: vec![Ident::with_quote('"', PLACE)],
        });
        let options = WildcardAdditionalOptions { opt_except, ..WildcardAdditionalOptions::default() };
        select.projection = vec![SelectItem::Wildcard(options)];
    }
    outer.with = with;
    Some(*outer)
}

const RANK: &str = "?rank?";
const PLACE: &str = "?place?";

/// What a key of ORDER BY means: the number of a column, the name of an output column, or else an expression of the input.
fn meant(key: Expr, list: &[SelectItem]) -> Option<Expr> {
    let value = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
        _ => None,
    };
    match &key {
        Expr::Value(written) => match &written.value {
            Value::Number(number, _) => {
                let place = number.to_string().parse::<usize>().ok()?.checked_sub(1)?;
                // The columns of a * before it are not counted here.
                list[..place.min(list.len())].iter().try_for_each(|item| value(item).map(|_| ()))?;
                value(list.get(place)?)
            }
            _ => None,
        },
        Expr::Identifier(name) => {
            let named = list.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias }
                    if alias.value.eq_ignore_ascii_case(&name.value) =>
                {
                    Some(expr.clone())
                }
                _ => None,
            });
            Some(named.unwrap_or(key))
        }
        _ => Some(key),
    }
}
