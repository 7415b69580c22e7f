//! Queries of a question, with their names bound.
use super::bind::{Cte, Ctes, Scope, Shared, Typed, last, name, sort};
use super::cast;
use super::from::From;
use super::node::{Body, Column, Extra, Node, Plan, Select, Set, Sort};
use super::value::Value;
use super::{Failure, refused};
use datafusion::sql::sqlparser::ast::{
    self, Distinct, Expr, GroupByExpr, LimitClause, OrderByExpr, OrderByKind, Query, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier,
};
use datafusion_postgres::pgwire::api::Type;
use std::cell::RefCell;
use std::rc::Rc;

/// A query, bound within a scope.
pub(super) fn query(
    shared: &Shared<'_>,
    query: &Query,
    outer: Option<&Scope<'_>>,
    ctes: &Ctes,
) -> Result<Plan, Failure> {
    let mut ctes = ctes.clone();
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        let called = name(&cte.alias.name);
        let columns = cte.alias.columns.iter().map(|column| name(&column.name)).collect();
        let is_recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        let known = Cte::Query { query: cte.query.clone(), columns, is_recursive, ctes: ctes.clone() };
        ctes.insert(0, (called, Rc::new(known)));
    }
    let by = match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(by)) => by.as_slice(),
        Some(OrderByKind::All(_)) => {
            return Err(refused("ORDER BY ALL over system tables is not supported".into()));
        }
        None => &[],
    };
    let mut plan = body(shared, &query.body, by, outer, &ctes)?;
    let empty = scope(shared, outer, &ctes, vec![]);
    let number = |expr: &Expr| -> Result<Node, Failure> {
        let typed = empty.expr(expr)?;
        empty.learn(&typed, &Type::INT8);
        Ok(typed.node)
    };
    match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            plan.limit = limit.as_ref().map(number).transpose()?;
            plan.offset = offset.as_ref().map(|offset| number(&offset.value)).transpose()?;
        }
        Some(LimitClause::OffsetCommaLimit { .. }) => {
            return Err(refused("LIMIT with two numbers is not supported".into()));
        }
        None => {}
    }
    if let Some(fetch) = &query.fetch {
        plan.limit = Some(fetch.quantity.as_ref().map_or(Ok(Node::Constant(Value::Int(1))), number)?);
    }
    Ok(plan)
}

pub(super) fn scope<'a>(
    shared: &'a Shared<'a>,
    outer: Option<&'a Scope<'a>>,
    ctes: &Ctes,
    columns: Vec<Column>,
) -> Scope<'a> {
    Scope {
        shared,
        outer,
        ctes: ctes.clone(),
        columns,
        merged: vec![],
        extras: RefCell::default(),
        tables: vec![],
    }
}

pub(super) fn body(
    shared: &Shared<'_>,
    set: &SetExpr,
    by: &[OrderByExpr],
    outer: Option<&Scope<'_>>,
    ctes: &Ctes,
) -> Result<Plan, Failure> {
    match set {
        SetExpr::Select(written) => select(shared, written, by, outer, ctes),
        SetExpr::Query(inner) => {
            let mut plan = query(shared, inner, outer, ctes)?;
            if !by.is_empty() {
                plan.order = of_result(&plan.columns, by)?;
            }
            Ok(plan)
        }
        SetExpr::SetOperation { left, op, set_quantifier, right } => {
            let kind = match op {
                SetOperator::Union => Set::Union,
                SetOperator::Intersect => Set::Intersect,
                SetOperator::Except | SetOperator::Minus => Set::Except,
            };
            let (left, right) =
                (body(shared, left, &[], outer, ctes)?, body(shared, right, &[], outer, ctes)?);
            if left.columns.len() != right.columns.len() {
                return Err(Failure::of("42601", "each UNION query must have the same number of columns"));
            }
            let mut columns = left.columns.clone();
            for (column, other) in columns.iter_mut().zip(&right.columns) {
                if column.kind == Type::UNKNOWN {
                    column.kind = other.kind.clone();
                }
            }
            let order = of_result(&columns, by)?;
            let is_all = *set_quantifier == SetQuantifier::All;
            let body = Body::Set { left: Box::new(left), right: Box::new(right), kind, is_all };
            Ok(Plan { columns, body, order, limit: None, offset: None })
        }
        SetExpr::Values(values) => {
            let empty = scope(shared, outer, ctes, vec![]);
            let (mut lists, mut columns) = (vec![], vec![]);
            for row in &values.rows {
                let typed = row.iter().map(|expr| empty.expr(expr)).collect::<Result<Vec<_>, _>>()?;
                if columns.is_empty() {
                    let column = |(i, typed): (usize, &Typed)| result(format!("column{}", i + 1), typed);
                    columns = typed.iter().enumerate().map(column).collect();
                }
                lists.push(typed.into_iter().map(|typed| typed.node).collect());
            }
            let order = of_result(&columns, by)?;
            Ok(Plan { columns, body: Body::Values(lists), order, limit: None, offset: None })
        }
        other => Err(refused(format!("{other} over system tables is not supported"))),
    }
}

fn result(name: String, typed: &Typed) -> Column {
    Column { of: String::new(), name, kind: typed.kind.clone(), fields: typed.fields.clone() }
}

/// An order by columns of the result.
fn of_result(columns: &[Column], by: &[OrderByExpr]) -> Result<Vec<Sort>, Failure> {
    let place = |by: &OrderByExpr| {
        let at = output(columns, &by.expr).ok_or_else(|| {
            refused(format!("ORDER BY {} behind UNION or VALUES is not supported: name a column", by.expr))
        })?;
        Ok(sort(Node::Column { up: 0, at }, by))
    };
    by.iter().map(place).collect()
}

/// The output column that an expression names, by its name or its place.
fn output(columns: &[Column], expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Identifier(ident) => {
            let wanted = name(ident);
            columns.iter().position(|column| column.name == wanted)
        }
        Expr::Value(value) => {
            let number = value.value.to_string().parse::<usize>().ok()?;
            (1..=columns.len()).contains(&number).then(|| number - 1)
        }
        _ => None,
    }
}

fn select(
    shared: &Shared<'_>,
    written: &ast::Select,
    by: &[OrderByExpr],
    outer: Option<&Scope<'_>>,
    ctes: &Ctes,
) -> Result<Plan, Failure> {
    let mut scope = scope(shared, outer, ctes, vec![]);
    let mut from = From::default();
    for part in &written.from {
        from.part(&mut scope, part)?;
    }
    let scope = scope;
    for condition in written.selection.iter().flat_map(parts) {
        from.waiting.push(scope.expr(condition)?.node);
    }
    let steps = from.placed();
    let width = scope.columns.len();
    let mut outputs: Vec<(Column, Node)> = vec![];
    for item in &written.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let typed = scope.expr(expr)?;
                outputs.push((result(called(expr), &typed), typed.node));
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                let typed = scope.expr(expr)?;
                outputs.push((result(name(alias), &typed), typed.node));
            }
            SelectItem::Wildcard(_) => outputs.extend(whole(&scope, None)),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(of), _) => {
                outputs.extend(whole(&scope, Some(&last(of))));
            }
            other => return Err(refused(format!("{other} over system tables is not supported"))),
        }
    }
    let (columns, mut output): (Vec<Column>, Vec<Node>) = outputs.into_iter().unzip();
    let visible = output.len();
    let keys = keys(&scope, written, &columns)?;
    let having =
        written.having.as_ref().map(|having| Ok::<_, Failure>(scope.expr(having)?.node)).transpose()?;
    let mut place = |expr: &Expr| -> Result<usize, Failure> {
        if let Some(at) = self::output(&columns, expr) {
            return Ok(at);
        }
        output.push(scope.expr(expr)?.node);
        Ok(output.len() - 1)
    };
    let distinct = match &written.distinct {
        None | Some(Distinct::All) => None,
        Some(Distinct::Distinct) => Some(vec![]),
        Some(Distinct::On(list)) => Some(list.iter().map(&mut place).collect::<Result<_, _>>()?),
    };
    let order = by
        .iter()
        .map(|by| Ok(sort(Node::Column { up: 0, at: place(&by.expr)? }, by)))
        .collect::<Result<_, Failure>>()?;
    let extras = scope.extras.into_inner();
    let is_grouped = !keys.is_empty()
        || having.is_some()
        || extras.iter().any(|extra| matches!(extra, Extra::Aggregate { .. }));
    let select =
        Select { steps, width, group: is_grouped.then_some(keys), having, extras, output, visible, distinct };
    Ok(Plan { columns, body: Body::Select(Box::new(select)), order, limit: None, offset: None })
}

fn keys(scope: &Scope<'_>, written: &ast::Select, columns: &[Column]) -> Result<Vec<Node>, Failure> {
    let GroupByExpr::Expressions(list, modifiers) = &written.group_by else {
        return Err(refused("GROUP BY ALL over system tables is not supported".into()));
    };
    if !modifiers.is_empty() {
        return Err(refused("grouping sets over system tables are not supported".into()));
    }
    let key = |expr: &Expr| {
        let item = match (scope.expr(expr), output(columns, expr)) {
            (Ok(typed), None) => return Ok(typed.node),
            (Ok(typed), Some(_)) if matches!(expr, Expr::Identifier(_)) => return Ok(typed.node),
            (_, Some(at)) => written.projection.get(at),
            (Err(why), None) => return Err(why),
        };
        match item {
            Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => {
                Ok(scope.expr(expr)?.node)
            }
            _ => Err(refused(format!("GROUP BY {expr} over system tables is not supported"))),
        }
    };
    list.iter().map(key).collect()
}

/// All columns, or those of one source.
fn whole(scope: &Scope<'_>, of: Option<&str>) -> Vec<(Column, Node)> {
    let wanted = |(at, column): &(usize, &Column)| match of {
        Some(of) => column.of == of,
        None => !scope.merged.contains(at),
    };
    let output = |(at, column): (usize, &Column)| {
        (Column { of: String::new(), ..column.clone() }, Node::Column { up: 0, at })
    };
    scope.columns.iter().enumerate().filter(wanted).map(output).collect()
}

/// The name of a column that was given none.
fn called(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => name(ident),
        Expr::CompoundIdentifier(path) => path.last().map(name).unwrap_or_default(),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => called(inner),
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last() {
            Some(ast::AccessExpr::Dot(Expr::Identifier(field))) => name(field),
            _ => called(root),
        },
        Expr::Function(function) => last(&function.name),
        Expr::Cast { expr, data_type, .. } => match called(expr).as_str() {
            "?column?" => cast::type_of(&data_type.to_string())
                .map_or("?column?".into(), |kind| kind.name().to_string()),
            inner => inner.to_string(),
        },
        Expr::Case { else_result: Some(inner), .. }
            if matches!(**inner, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) =>
        {
            called(inner)
        }
        Expr::Case { .. } => "case".into(),
        Expr::Array(_) => "array".into(),
        Expr::Exists { .. } => "exists".into(),
        Expr::Subquery(query) => match query.body.as_select().and_then(|select| select.projection.first()) {
            Some(SelectItem::UnnamedExpr(expr)) => called(expr),
            Some(SelectItem::ExprWithAlias { alias, .. }) => name(alias),
            _ => "?column?".into(),
        },
        Expr::Substring { .. } => "substring".into(),
        Expr::Trim { .. } => "btrim".into(),
        Expr::Position { .. } => "position".into(),
        _ => "?column?".into(),
    }
}

/// The conditions that AND joins.
pub(super) fn parts(condition: &Expr) -> Vec<&Expr> {
    match condition {
        Expr::Nested(inner) => parts(inner),
        Expr::BinaryOp { left, op: ast::BinaryOperator::And, right } => {
            let mut found = parts(left);
            found.extend(parts(right));
            found
        }
        other => vec![other],
    }
}
