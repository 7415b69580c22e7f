//! `SELECT -k AS k FROM t ORDER BY abs(k)`: a name alone in ORDER BY is a column of the result, and in an expression one of FROM.
//! DataFusion takes both for the result's, so where a name is both, the keys are columns of a subquery that is ordered by them.
use super::using::{ColumnsOf, with_of};
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, VisitorMut,
};
use std::ops::ControlFlow;

const ORDERED: &str = "__ordered";

/// Writes such orders out.
pub(super) fn rewrite(query: &mut Query, columns_of: ColumnsOf<'_>) {
    _ = walk::write(query, &mut Rewriter { columns_of, with: vec![] });
}

struct Rewriter<'a> {
    columns_of: ColumnsOf<'a>,
    /// The WITH entries around.
    with: Vec<Vec<String>>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.with.push(with_of(query));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(written) = self.written(query) {
            *query = written;
        }
        self.with.pop();
        ControlFlow::Continue(())
    }
}

impl Rewriter<'_> {
    fn written(&self, query: &Query) -> Option<Query> {
        let SetExpr::Select(select) = query.body.as_ref() else { return None };
        let order = query.order_by.as_ref()?;
        let OrderByKind::Expressions(list) = &order.kind else { return None };
        if select.distinct.is_some() || !list.iter().any(|by| self.is_of_input(&by.expr, select)) {
            return None;
        }
        let names = select.projection.iter().map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => Some(alias.clone()),
            SelectItem::UnnamedExpr(Expr::Identifier(word)) => Some(word.clone()),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(words)) => words.last().cloned(),
            _ => None,
        });
        let names = names.collect::<Option<Vec<Ident>>>()?;
        let mut inner = select.clone();
        let mut keys = vec![];
        for (i, by) in list.iter().enumerate() {
            let mut key: OrderByExpr = by.clone();
            if !is_of_result(&by.expr, &names) {
                let alias = Ident::new(format!("__key_{i}"));
                inner
                    .projection
                    .push(SelectItem::ExprWithAlias { expr: by.expr.clone(), alias: alias.clone() });
                key.expr = Expr::Identifier(alias);
            }
            keys.push(key);
        }
        let list: Vec<String> = names.iter().map(|name| format!("{ORDERED}.{name}")).collect();
        let outer =
            crate::rewrite::query(&format!("SELECT {} FROM ({inner}) AS {ORDERED}", list.join(", "))).ok()?;
        let mut written = query.clone();
        written.body = outer.body;
        if let Some(order) = &mut written.order_by {
            order.kind = OrderByKind::Expressions(keys);
        }
        Some(written)
    }

    /// Whether an expression reads a column of FROM that has the name of another column of the result.
    fn is_of_input(&self, key: &Expr, select: &Select) -> bool {
        if matches!(key, Expr::Identifier(_) | Expr::Value(_)) {
            return false;
        }
        let mut found = false;
        let _: ControlFlow<()> = walk::expressions(key, |part| {
            let (word, known) = match part {
                Expr::Identifier(word) => (word, false),
                Expr::CompoundIdentifier(words) => match words.last() {
                    Some(word) => (word, true),
                    None => return ControlFlow::Continue(()),
                },
                // A subquery has names of its own.
                Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
                    found = false;
                    return ControlFlow::Break(());
                }
                _ => return ControlFlow::Continue(()),
            };
            let name = crate::declare::normalized(word);
            let is_hidden = select.projection.iter().any(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    crate::declare::normalized(alias) == name && !is_column(expr, &name)
                }
                _ => false,
            });
            found |= is_hidden && (known || self.is_in_from(&name, select));
            ControlFlow::Continue(())
        });
        found
    }

    fn is_in_from(&self, name: &str, select: &Select) -> bool {
        let with: Vec<String> = self.with.iter().flatten().cloned().collect();
        let with = if with.is_empty() { String::new() } else { format!("WITH {} ", with.join(", ")) };
        select.from.iter().any(|table| {
            let columns = (self.columns_of)(&format!("{with}SELECT * FROM {table}"));
            columns.is_some_and(|columns| columns.iter().any(|column| column == name))
        })
    }
}

/// A column of the result by its name alone, or a number.
fn is_of_result(key: &Expr, names: &[Ident]) -> bool {
    match key {
        Expr::Identifier(word) => {
            let name = crate::declare::normalized(word);
            names.iter().any(|own| super::names::shown(&crate::declare::normalized(own)) == name)
        }
        Expr::Value(_) => true,
        Expr::Nested(inner) => is_of_result(inner, names),
        _ => false,
    }
}

fn is_column(expr: &Expr, name: &str) -> bool {
    match expr {
        Expr::Identifier(word) => crate::declare::normalized(word) == name,
        Expr::CompoundIdentifier(words) => {
            words.last().is_some_and(|word| crate::declare::normalized(word) == name)
        }
        _ => false,
    }
}
