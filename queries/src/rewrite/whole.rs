//! Names that no column has, which still mean something: a table's is its whole row, as in `row_to_json(t)`, `jsonb_agg(t)` and `SELECT t`;
//! one in capitals is the column that is written so, as in systems that do not fold names.
use super::{expression, function_name, plain_arguments};
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, Expr, Ident, JoinOperator, Query, Select, SelectItem, SetExpr, TableAliasColumnDef,
    TableFactor, VisitorMut,
};
use std::ops::ControlFlow;

/// What the planner says the columns of a query are.
type ColumnsOf<'a> = &'a dyn Fn(&str) -> Option<Vec<String>>;

/// Writes whole rows out, and `(t).a` as `t.a`; whether there is any.
pub(crate) fn written(query: &mut Query, columns_of: ColumnsOf<'_>) -> bool {
    let mut writer = Writer { columns_of, with: vec![], scopes: vec![], found: false };
    _ = walk::write(query, &mut writer);
    writer.found
}

/// A table of a FROM: what it is called, and its columns.
type Known = (Ident, Vec<String>);

struct Writer<'a> {
    columns_of: ColumnsOf<'a>,
    /// The WITH entries around.
    with: Vec<Vec<String>>,
    /// The tables of each SELECT around.
    scopes: Vec<Vec<Known>>,
    found: bool,
}

impl Writer<'_> {
    fn scope(&self, select: &Select) -> Vec<Known> {
        let mut known = vec![];
        for table in &select.from {
            // The row of an outer join's missing side is NULL, not a row of NULLs.
            let whole = table.joins.iter().all(|join| {
                matches!(
                    join.join_operator,
                    JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_)
                )
            });
            let first = table.joins.iter().all(|join| {
                !matches!(
                    join.join_operator,
                    JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
                )
            });
            let rest = table.joins.iter().map(|join| &join.relation).filter(|_| whole);
            for factor in first.then_some(&table.relation).into_iter().chain(rest) {
                known.extend(self.known(factor));
            }
        }
        known
    }

    fn known(&self, factor: &TableFactor) -> Option<Known> {
        let name = match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. } => alias.name.clone(),
            TableFactor::Table { name, alias: None, .. } => name.0.last()?.as_ident()?.clone(),
            _ => return None,
        };
        let with: Vec<String> = self.with.iter().flatten().cloned().collect();
        let with = if with.is_empty() { String::new() } else { format!("WITH {} ", with.join(", ")) };
        let columns = (self.columns_of)(&format!("{with}SELECT * FROM {factor}"));
        Some((name, columns.or_else(|| written_columns(factor))?))
    }

    /// The columns of the row that a name means; none where a column has the name.
    fn row(&self, word: &Ident) -> Option<&Known> {
        let text = normal(word);
        for scope in self.scopes.iter().rev() {
            if scope.iter().any(|(_, columns)| columns.contains(&text)) {
                return None;
            }
            if let Some(known) = scope.iter().find(|(name, _)| normal(name) == text) {
                return Some(known);
            }
        }
        None
    }

    fn row_of(&self, expr: &Expr) -> Option<&Known> {
        match expr {
            Expr::Identifier(word) => self.row(word),
            Expr::Nested(inner) => self.row_of(inner),
            _ => None,
        }
    }

    fn meaning(&self, expr: &Expr) -> Option<Expr> {
        match expr {
            Expr::Function(call) => {
                let arguments = plain_arguments(call)?;
                let [argument] = arguments.as_slice() else { return None };
                let made = match function_name(&call.name).as_str() {
                    "to_json" => self.made("__json_row", argument)?,
                    "to_jsonb" => self.made("jsonb_build_object", argument)?,
                    "__json_value" => format!("__json_value({})", self.made("__json_row", argument)?),
                    _ => return None,
                };
                expression(&made).ok()
            }
            Expr::Identifier(word) => match self.cased(None, word) {
                Some(word) => Some(Expr::Identifier(word)),
                None => expression(&self.made("named_struct", expr)?).ok(),
            },
            Expr::CompoundIdentifier(words) => {
                let [table, column] = words.as_slice() else { return None };
                let column = self.cased(Some(table), column)?;
                Some(Expr::CompoundIdentifier(vec![table.clone(), column]))
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                let Expr::Nested(inner) = root.as_ref() else { return None };
                let Expr::Identifier(table) = inner.as_ref() else { return None };
                let [AccessExpr::Dot(Expr::Identifier(column))] = access_chain.as_slice() else {
                    return None;
                };
                Some(Expr::CompoundIdentifier(vec![table.clone(), column.clone()]))
            }
            _ => None,
        }
    }

    /// A column in the capitals in which it is written, where none has its name in small letters.
    fn cased(&self, table: Option<&Ident>, word: &Ident) -> Option<Ident> {
        if word.quote_style.is_some() || word.value.to_lowercase() == word.value {
            return None;
        }
        let known = self.scopes.iter().flatten();
        let of = known.filter(|(name, _)| table.is_none_or(|table| normal(table) == normal(name)));
        let columns: Vec<&String> = of.flat_map(|(_, columns)| columns).collect();
        let has = |name: &str| columns.iter().any(|column| *column == name);
        (has(&word.value) && !has(&word.value.to_lowercase())).then(|| Ident::with_quote('"', &word.value))
    }

    fn made(&self, function: &str, row: &Expr) -> Option<String> {
        let (name, columns) = self.row_of(row)?;
        let parts = columns.iter().map(|column| {
            let shown = crate::lower::names::shown(column);
            format!("'{}', {name}.\"{}\"", shown.replace('\'', "''"), column.replace('"', "\"\""))
        });
        Some(format!("{function}({})", parts.collect::<Vec<_>>().join(", ")))
    }
}

/// The columns of a subquery that cannot be planned by itself, where it names them all.
fn written_columns(factor: &TableFactor) -> Option<Vec<String>> {
    let TableFactor::Derived { subquery, alias: Some(alias), .. } = factor else { return None };
    let SetExpr::Select(select) = subquery.body.as_ref() else { return None };
    let names = select.projection.iter().map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(normal(alias)),
        SelectItem::UnnamedExpr(Expr::Identifier(word)) => Some(normal(word)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(words)) => words.last().map(normal),
        _ => None,
    });
    let mut names = names.collect::<Option<Vec<_>>>()?;
    for (name, column) in names.iter_mut().zip(&alias.columns) {
        *name = normal(&column.name);
    }
    Some(names)
}

fn normal(word: &Ident) -> String {
    crate::declare::normalized(word)
}

fn with_of(query: &Query) -> Vec<String> {
    query.with.iter().flat_map(|with| with.cte_tables.iter().map(ToString::to_string)).collect()
}

impl VisitorMut for Writer<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.with.push(with_of(query));
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.with.pop();
        ControlFlow::Continue(())
    }

    // `t AS a (x)` names the first columns, and the others keep their names.
    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let mut plain = factor.clone();
        let (TableFactor::Table { alias: Some(alias), args: None, .. }
        | TableFactor::Derived { alias: Some(alias), .. }) = &mut plain
        else {
            return ControlFlow::Continue(());
        };
        // A view names all of its columns.
        if alias.name.value == crate::declare::VIEW {
            return ControlFlow::Continue(());
        }
        let given = std::mem::take(&mut alias.columns).len();
        let Some((_, columns)) = self.known(&plain).filter(|_| given > 0) else {
            return ControlFlow::Continue(());
        };
        if let TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } =
            factor
            && columns.len() > given
        {
            let rest = columns[given..].iter().map(|column| TableAliasColumnDef {
                name: Ident::with_quote('"', crate::lower::names::shown(column)),
                data_type: None,
            });
            alias.columns.extend(rest);
            self.found = true;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let scope = self.scope(select);
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut ast::Select) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    // Before its parts are visited: a function decides how the row is written.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(meaning) = self.meaning(expr) {
            *expr = meaning;
            self.found = true;
        }
        ControlFlow::Continue(())
    }
}
