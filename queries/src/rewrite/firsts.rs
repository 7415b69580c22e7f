//! DISTINCT ON by the numbers of columns, and with an ORDER BY that says less than it: said in full.
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, OrderBy, OrderByExpr, OrderByKind, OrderByOptions, Query, SelectItem, SetExpr, Value,
};

/// Writes the keys of a query's DISTINCT ON, and those of its ORDER BY.
pub(super) fn rewrite(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let projection = &select.projection;
    let Some(Distinct::On(keys)) = &mut select.distinct else { return };
    for key in keys.iter_mut() {
        if matches!(key, Expr::Value(_)) {
            *key = meant(key, projection);
        }
    }
    let Some(OrderBy { kind: OrderByKind::Expressions(list), .. }) = &mut query.order_by else { return };
    let first: Vec<Expr> = list.iter().map(|by| meant(&by.expr, projection)).collect();
    if first.len() >= keys.len() {
        return;
    }
    let (mut front, mut rest) = (vec![], keys.clone());
    for by in &first {
        let Some(place) = rest.iter().position(|key| meant(key, projection) == *by) else { return };
        front.push(rest.remove(place));
    }
    list.extend(rest.iter().map(|key| OrderByExpr {
        expr: key.clone(),
        options: OrderByOptions { asc: None, nulls_first: None },
        with_fill: None,
    }));
    front.extend(rest);
    *keys = front;
}

/// What a key is: a number is a column of the result, and so is a name that one has.
fn meant(key: &Expr, projection: &[SelectItem]) -> Expr {
    let item = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr.clone()),
        _ => None,
    };
    let found = match key {
        Expr::Nested(inner) => return meant(inner, projection),
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => {
                let place = number.to_string().parse::<usize>().ok().and_then(|place| place.checked_sub(1));
                place.and_then(|place| projection.get(place)).and_then(item)
            }
            _ => None,
        },
        Expr::Identifier(word) => projection.iter().find_map(|part| match part {
            SelectItem::ExprWithAlias { expr, alias } if alias == word => Some(expr.clone()),
            _ => None,
        }),
        _ => None,
    };
    found.unwrap_or_else(|| key.clone())
}
