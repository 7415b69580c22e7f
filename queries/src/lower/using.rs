//! USING and NATURAL as PostgreSQL has them: the merged column comes first, and is COALESCE of both sides in a FULL JOIN, the right one
//! in a RIGHT JOIN. DataFusion always takes the left one, so the joins are written with ON, and `*` and the merged names with what they mean.
use super::asof::alias;
use crate::DeclareError;
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor,
    TableWithJoins, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// What the planner says the columns of a query are.
pub(super) type ColumnsOf<'a> = &'a dyn Fn(&str) -> Option<Vec<String>>;

/// Rewrites every USING and NATURAL of a query.
pub(super) fn rewrite(query: &mut Query, columns_of: ColumnsOf<'_>) -> Result<(), DeclareError> {
    let mut rewriter = Rewriter { columns_of, with: vec![] };
    match walk::write(query, &mut rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(text) => Err(DeclareError::Unsupported(text)),
    }
}

struct Rewriter<'a> {
    columns_of: ColumnsOf<'a>,
    /// The WITH entries around, one list for each query that is being read.
    with: Vec<Vec<String>>,
}

impl VisitorMut for Rewriter<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        self.with.push(with_of(query));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        self.with.pop();
        self.with.push(with_of(query));
        let rewritten = self.query(query);
        self.with.pop();
        match rewritten {
            Ok(()) => ControlFlow::Continue(()),
            Err(text) => ControlFlow::Break(text),
        }
    }
}

pub(super) fn with_of(query: &Query) -> Vec<String> {
    query.with.iter().flat_map(|with| with.cte_tables.iter().map(ToString::to_string)).collect()
}

/// A column of a FROM item.
#[derive(Clone)]
struct Known {
    name: String,
    /// How it is written.
    text: String,
    merged: bool,
}

impl Rewriter<'_> {
    fn query(&mut self, query: &mut Query) -> Result<(), String> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            let Some(merged) = self.select(select)? else { return Ok(()) };
            if let Some(order) = &mut query.order_by
                && let OrderByKind::Expressions(list) = &mut order.kind
            {
                for by in list {
                    let is_output =
                        matches!(&by.expr, Expr::Identifier(word) if outputs(select, &normal(word)));
                    if !is_output {
                        replace(&mut by.expr, &merged);
                    }
                }
            }
            return Ok(());
        }
        self.branches(&mut query.body)
    }

    fn branches(&mut self, body: &mut SetExpr) -> Result<(), String> {
        match body {
            SetExpr::Select(select) => self.select(select).map(|_| ()),
            SetExpr::SetOperation { left, right, .. } => {
                self.branches(left)?;
                self.branches(right)
            }
            // A query of its own was visited as one.
            _ => Ok(()),
        }
    }

    /// The merged columns of a SELECT that has any.
    fn select(&mut self, select: &mut Select) -> Result<Option<Vec<Known>>, String> {
        if !select.from.iter().any(uses) {
            return Ok(None);
        }
        let mut all = vec![];
        for table in &mut select.from {
            let columns = self.joined(table)?;
            all.extend(columns);
        }
        let merged: Vec<Known> = all.iter().filter(|column| column.merged).cloned().collect();
        for table in &mut select.from {
            replace(table, &merged);
        }
        let mut list = vec![];
        for mut item in std::mem::take(&mut select.projection) {
            match &mut item {
                SelectItem::Wildcard(options)
                    if *options == Default::default() || options.to_string().is_empty() =>
                {
                    list.extend(all.iter().map(output).collect::<Result<Vec<_>, _>>()?);
                    continue;
                }
                SelectItem::Wildcard(_) => {
                    return Err("EXCLUDE, EXCEPT and REPLACE beside USING or NATURAL are not supported: name the columns".into());
                }
                SelectItem::UnnamedExpr(Expr::Identifier(word)) => {
                    if let Some(column) = merged.iter().find(|column| column.name == normal(word)) {
                        list.push(output(column)?);
                        continue;
                    }
                }
                _ => replace(&mut item, &merged),
            }
            list.push(item);
        }
        select.projection = list;
        replace(&mut select.selection, &merged);
        replace(&mut select.group_by, &merged);
        replace(&mut select.having, &merged);
        replace(&mut select.qualify, &merged);
        Ok(Some(merged))
    }

    fn joined(&mut self, table: &mut TableWithJoins) -> Result<Vec<Known>, String> {
        let mut columns = self.factor(&mut table.relation)?;
        for join in &mut table.joins {
            let right = self.factor(&mut join.relation)?;
            let (constraint, kind) = match &mut join.join_operator {
                JoinOperator::Join(c) | JoinOperator::Inner(c) => (c, Kind::Left),
                JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => (c, Kind::Left),
                JoinOperator::Right(c) | JoinOperator::RightOuter(c) => (c, Kind::Right),
                JoinOperator::FullOuter(c) => (c, Kind::Full),
                JoinOperator::LeftSemi(_) | JoinOperator::LeftAnti(_) => continue,
                JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => {
                    columns = right;
                    continue;
                }
                _ => {
                    columns.extend(right);
                    continue;
                }
            };
            let names: Vec<String> = match &*constraint {
                JoinConstraint::Using(names) => names
                    .iter()
                    .filter_map(|name| name.0.last().and_then(|part| part.as_ident()).map(normal))
                    .collect(),
                JoinConstraint::Natural => {
                    let both = columns.iter().filter(|c| right.iter().any(|r| r.name == c.name));
                    both.map(|column| column.name.clone()).collect()
                }
                JoinConstraint::On(on) => {
                    let mut on = on.clone();
                    let merged: Vec<Known> = columns.iter().filter(|c| c.merged).cloned().collect();
                    replace(&mut on, &merged);
                    *constraint = JoinConstraint::On(on);
                    columns.extend(right);
                    continue;
                }
                JoinConstraint::None => {
                    columns.extend(right);
                    continue;
                }
            };
            columns = merge(columns, right, &names, constraint, kind)?;
        }
        Ok(columns)
    }

    fn factor(&mut self, factor: &mut TableFactor) -> Result<Vec<Known>, String> {
        if let TableFactor::NestedJoin { table_with_joins, alias: None } = factor {
            return self.joined(table_with_joins);
        }
        let unknown = "USING and NATURAL are maintained between tables, views and subqueries with names";
        let name = alias(factor).ok_or_else(|| format!("{unknown}: write AS b"))?;
        let with: Vec<&str> = self.with.iter().flatten().map(String::as_str).collect();
        // What is being defined may be read where one of them is recursive.
        let with = match with.is_empty() {
            true => String::new(),
            false => format!("WITH RECURSIVE {} ", with.join(", ")),
        };
        let text = format!("{with}SELECT * FROM {factor}");
        let columns = (self.columns_of)(&text).ok_or_else(|| {
            format!("{unknown}: write the join with ON instead, since the columns of {name} are not known by themselves")
        })?;
        let written = |column: String| Known {
            text: format!("{name}.{}", quoted(&column)),
            name: column,
            merged: false,
        };
        Ok(columns.into_iter().map(written).collect())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    /// The left side has the merged column.
    Left,
    Right,
    Full,
}

fn merge(
    left: Vec<Known>,
    right: Vec<Known>,
    names: &[String],
    constraint: &mut JoinConstraint,
    kind: Kind,
) -> Result<Vec<Known>, String> {
    let mut merged = vec![];
    let mut conditions = vec![];
    for name in names {
        let find = |side: &[Known], which: &str| match side
            .iter()
            .filter(|c| c.name == *name)
            .collect::<Vec<_>>()[..]
        {
            [only] => Ok(only.text.clone()),
            [] => Err(format!("column {name:?} of USING is not on the {which} side of the join")),
            _ => Err(format!("column {name:?} of USING is on the {which} side of the join more than once")),
        };
        let (l, r) = (find(&left, "left")?, find(&right, "right")?);
        conditions.push(format!("{l} = {r}"));
        let text = match kind {
            Kind::Left => l,
            Kind::Right => r,
            Kind::Full => format!("COALESCE({}, {})", parts(&l), parts(&r)),
        };
        merged.push(Known { name: name.clone(), text, merged: true });
    }
    *constraint = JoinConstraint::On(match conditions.is_empty() {
        true => parsed("true")?,
        false => parsed(&conditions.join(" AND "))?,
    });
    let rest = left.into_iter().chain(right).filter(|column| !names.contains(&column.name));
    merged.extend(rest);
    Ok(merged)
}

/// What a merged column is made of: a COALESCE in another would be written out for each of them.
fn parts(text: &str) -> &str {
    text.strip_prefix("COALESCE(").and_then(|inner| inner.strip_suffix(')')).unwrap_or(text)
}

fn uses(table: &TableWithJoins) -> bool {
    let nested = |factor: &TableFactor| match factor {
        TableFactor::NestedJoin { table_with_joins, .. } => uses(table_with_joins),
        _ => false,
    };
    nested(&table.relation)
        || table.joins.iter().any(|join| {
            let constraint = match &join.join_operator {
                JoinOperator::Join(c)
                | JoinOperator::Inner(c)
                | JoinOperator::Left(c)
                | JoinOperator::LeftOuter(c)
                | JoinOperator::Right(c)
                | JoinOperator::RightOuter(c)
                | JoinOperator::FullOuter(c) => c,
                _ => return nested(&join.relation),
            };
            matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural) || nested(&join.relation)
        })
}

fn normal(word: &Ident) -> String {
    if word.quote_style.is_some() { word.value.clone() } else { word.value.to_lowercase() }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn parsed(text: &str) -> Result<Expr, String> {
    crate::rewrite::expression(text).map_err(|why| format!("cannot write {text} out: {why}"))
}

fn output(column: &Known) -> Result<SelectItem, String> {
    let expr = parsed(&column.text)?;
    Ok(match column.merged {
        true => SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', &column.name) },
        false => SelectItem::UnnamedExpr(expr),
    })
}

/// Whether a SELECT gives a column of that name.
fn outputs(select: &Select, name: &str) -> bool {
    select.projection.iter().any(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => normal(alias) == name,
        SelectItem::UnnamedExpr(Expr::Identifier(word)) => normal(word) == name,
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(path)) => {
            path.last().map(normal).as_deref() == Some(name)
        }
        _ => false,
    })
}

/// Writes out the merged names, except in queries inside.
fn replace(part: &mut impl VisitMut, merged: &[Known]) {
    let outcome = walk::write(part, &mut Names { merged, depth: 0 });
    debug_assert!(outcome.is_continue(), "nothing stops the walk");
}

struct Names<'a> {
    merged: &'a [Known],
    depth: usize,
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Expr::Identifier(word) = expr
            && let Some(column) = self.merged.iter().find(|column| column.name == normal(word))
            && let Ok(meaning) = parsed(&column.text)
        {
            *expr = meaning;
        }
        ControlFlow::Continue(())
    }
}
