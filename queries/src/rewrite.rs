//! Spellings that DataFusion does not plan, written with those that it does: on the syntax tree, before any name is looked up.
//!
//! | file | what |
//! |---|---|
//! | `tokens` | what the parser does not read, before it |
//! | `phrases` | the same: names with the schema `public`, types and clauses of other systems |
//! | [`ddl`] | clauses of CREATE TABLE that mean nothing here |
//! | `windowing` | TUMBLE, HOP, CUMULATE and SESSION in FROM |
//! | `grouped` | TUMBLE, HOP and SESSION in GROUP BY |
//! | `elements` | functions that give rows: written as UNNEST of a list |
//! | `firsts` | DISTINCT ON by number, or with an ORDER BY that says less: said in full |
//! | `hidden` | a WITH whose name one around it has: renamed |
//! | `inherited` | OVER (w ROWS ..): written with what w says |
//! | `listed` | VALUES with subqueries: written as UNION ALL; VALUES of one value; HAVING without an aggregate |
//! | `values` | VALUES with floats and other numbers in one column |
//! | `collected` | ARRAY(SELECT ..) and aggregates of JSON: written with others |
//! | `excluded` | EXCLUDE of a frame: written with the frames around it |
//! | `hypothetical` | RANK(x) WITHIN GROUP and its kin, percentiles of an array: written with others |
//! | `paired` | (a, b) IN (SELECT ..): written as EXISTS |
//! | `rows` | (a, b) < (c, d) and ROW(a, b) IS NULL: written value by value |
//! | `spellings` | OVERLAPS, COLLATE, `num_nulls` and the like |
//! | `calls` | `mod`, `date_part`, `ANY` of a list, slices: written with others |
//! | `borrowed` | functions of Flink, where nothing has their name |
//! | `whole` | a table's name for its whole row, where no column has it |
//! | `clock` | current_date, localtimestamp and the like: written with now() |
//! | [`functions`] | CREATE FUNCTION .. LANGUAGE SQL: written out where they are called |
pub(crate) mod borrowed;
mod calls;
mod clock;
mod collected;
pub mod ddl;
pub(crate) mod elements;
mod excluded;
mod firsts;
pub mod functions;
mod grouped;
mod hidden;
mod hypothetical;
mod inherited;
mod listed;
mod paired;
mod phrases;
mod rows;
mod spellings;
pub(crate) mod tokens;
mod values;
pub(crate) mod whole;
mod windowing;

use crate::DeclareError;
use crate::declare::dialect::{self, POSTGRES};
use crate::walk;
use datafusion::sql::sqlparser::ast::{self, Expr, Query, Select, TableFactor, VisitorMut};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{TokenWithSpan, Tokenizer};
use std::ops::ControlFlow;

/// Rewrites a query in place. What was rewritten is not rewritten again.
pub(crate) fn rewrite(query: &mut Query) -> Result<(), DeclareError> {
    hidden::rewrite(query);
    match walk::write(query, &mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(why),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = DeclareError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DeclareError> {
        firsts::rewrite(query);
        values::rewrite(&mut query.body);
        for table in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            values::as_ints(&mut table.query.body);
        }
        flow(listed::rewrite(&mut query.body))
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DeclareError> {
        if let TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } =
            factor
        {
            return ControlFlow::Break(DeclareError::Unsupported(
                "TABLESAMPLE takes rows by chance: keep those where a hash of their key is small, such as WHERE ascii(md5(id)) % 10 = 0".into(),
            ));
        }
        if let TableFactor::Derived { subquery, .. } = factor {
            values::as_ints(&mut subquery.body);
        }
        flow(windowing::rewrite(factor).and_then(|()| elements::in_from(factor)))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<DeclareError> {
        if let Err(why) = grouped::rewrite(select) {
            return ControlFlow::Break(why);
        }
        spellings::numbered(select);
        inherited::rewrite(select);
        if let Err(why) = listed::whole(select) {
            return ControlFlow::Break(why);
        }
        for condition in [&mut select.selection, &mut select.having].into_iter().flatten() {
            if let ControlFlow::Break(why) = flow(paired::filter(condition)) {
                return ControlFlow::Break(why);
            }
        }
        for item in &mut select.projection {
            clock::name(item);
            spellings::name(item);
            calls::name(item);
            if let ControlFlow::Break(why) = flow(elements::in_list(item)) {
                return ControlFlow::Break(why);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<DeclareError> {
        flow(elements::joined(select))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DeclareError> {
        let rewritten = clock::rewrite(expr)
            .and_then(|()| listed::single(expr))
            .and_then(|()| collected::rewrite(expr))
            .and_then(|()| spellings::rewrite(expr))
            .and_then(|()| calls::rewrite(expr))
            .and_then(|()| paired::rewrite(expr))
            .and_then(|()| excluded::rewrite(expr))
            .and_then(|()| hypothetical::rewrite(expr));
        flow(rewritten)
    }
}

fn flow(found: Result<(), DeclareError>) -> ControlFlow<DeclareError> {
    match found {
        Ok(()) => ControlFlow::Continue(()),
        Err(why) => ControlFlow::Break(why),
    }
}

/// A query that cannot be planned as it is, with other spellings: `ARRAY[..]` as a call, since DataFusion forgets the query around a
/// list that is written as one, and `document['key']` with `->`. Whether there is any.
pub(crate) fn called(query: &mut Query) -> bool {
    let mut found = false;
    let flow: ControlFlow<()> = walk::expressions_mut(query, |expr| {
        let written = match expr {
            Expr::Array(list) if !list.elem.is_empty() => call("make_array", &list.elem).ok(),
            Expr::CompoundFieldAccess { root, access_chain } => member(root, access_chain),
            _ => None,
        };
        if let Some(written) = written {
            *expr = written;
            found = true;
        }
        ControlFlow::Continue(())
    });
    found && flow.is_continue()
}

/// A member of a document.
fn member(root: &Expr, steps: &[ast::AccessExpr]) -> Option<Expr> {
    let keys = steps.iter().map(|step| match step {
        ast::AccessExpr::Subscript(ast::Subscript::Index { index }) => Some(index),
        _ => None,
    });
    let keys = keys.collect::<Option<Vec<_>>>()?;
    let is_text = |expr: &Expr| matches!(expr, Expr::Value(value) if matches!(value.value, ast::Value::SingleQuotedString(_)));
    keys.first().filter(|key| is_text(key))?;
    let path: Vec<String> = keys.iter().map(|key| format!(" -> {key}")).collect();
    expression(&format!("({root}{})", path.concat())).ok()
}

/// A text of our own as syntax, without places: they would not be those of the author's text.
fn parsed<T>(
    sql: &str,
    parse: impl Fn(&mut Parser<'static>) -> Result<T, ParserError>,
) -> Result<T, DeclareError> {
    let tokens = Tokenizer::new(&POSTGRES, sql).tokenize().map_err(|why| invalid(sql, why.to_string()))?;
    let tokens: Vec<TokenWithSpan> = tokens.into_iter().map(TokenWithSpan::wrap).collect();
    dialect::parsed(&tokens, |dialect, tokens| {
        parse(&mut Parser::new(dialect).with_tokens_with_locations(tokens))
    })
    .map_err(|why| invalid(sql, why.to_string()))
}

pub(crate) fn query(sql: &str) -> Result<Query, DeclareError> {
    parsed(sql, |parser| parser.parse_query().map(|query| *query))
}

pub(crate) fn expression(sql: &str) -> Result<Expr, DeclareError> {
    parsed(sql, |parser| parser.parse_expr())
}

/// A query with the keys of its ORDER BY as columns after its own, and how many there are; none where they cannot be columns.
pub fn with_keys(sql: &str) -> Option<(String, usize)> {
    let mut query = query(sql.trim().trim_end_matches(';')).ok()?;
    let ast::OrderByKind::Expressions(list) = &query.order_by.as_ref()?.kind else { return None };
    let keys: Vec<Expr> = list.iter().map(|by| by.expr.clone()).collect();
    let ast::SetExpr::Select(select) = query.body.as_mut() else { return None };
    if select.distinct.is_some() {
        return None;
    }
    let columns = select.projection.clone();
    let meant = |key: &Expr| match key {
        Expr::Value(value) => match &value.value {
            ast::Value::Number(number, _) => {
                let place = number.to_string().parse::<usize>().ok()?.checked_sub(1)?;
                match columns.get(place)? {
                    ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } => {
                        Some(expr.clone())
                    }
                    _ => None,
                }
            }
            _ => None,
        },
        Expr::Identifier(word) => Some(
            columns
                .iter()
                .find_map(|item| match item {
                    ast::SelectItem::ExprWithAlias { expr, alias } if alias.value == word.value => {
                        Some(expr.clone())
                    }
                    _ => None,
                })
                .unwrap_or_else(|| key.clone()),
        ),
        key => Some(key.clone()),
    };
    for (i, key) in keys.iter().enumerate() {
        let alias = ast::Ident::new(format!("__key_{i}"));
        select.projection.push(ast::SelectItem::ExprWithAlias { expr: meant(key)?, alias });
    }
    Some((query.to_string(), keys.len()))
}

fn invalid(sql: &str, why: String) -> DeclareError {
    DeclareError::Invalid(format!("cannot read {sql}: {why}"))
}

/// The name of a function without a schema, in lower case.
fn function_name(name: &ast::ObjectName) -> String {
    match name.0.as_slice() {
        [part] => part.as_ident().map(|word| word.value.to_lowercase()).unwrap_or_default(),
        // PostgreSQL's own functions may be called by their schema.
        [schema, part] if schema.to_string().eq_ignore_ascii_case("pg_catalog") => {
            part.as_ident().map(|word| word.value.to_lowercase()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// The arguments of a call that has nothing else: no DISTINCT, no OVER.
pub(crate) fn plain_arguments(call: &ast::Function) -> Option<Vec<Expr>> {
    let extra = call.filter.is_some() || call.over.is_some() || !call.within_group.is_empty();
    match &call.args {
        _ if extra => None,
        ast::FunctionArguments::None => Some(vec![]),
        ast::FunctionArguments::Subquery(_) => None,
        ast::FunctionArguments::List(list)
            if list.duplicate_treatment.is_none() && list.clauses.is_empty() =>
        {
            list.args.iter().map(expression_of).collect()
        }
        ast::FunctionArguments::List(_) => None,
    }
}

fn expression_of(argument: &ast::FunctionArg) -> Option<Expr> {
    match argument {
        ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    }
}

/// `name(arguments)`.
fn call(name: &str, arguments: &[Expr]) -> Result<Expr, DeclareError> {
    let list: Vec<String> = arguments.iter().map(Expr::to_string).collect();
    expression(&format!("{name}({})", list.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_become_what_can_be_planned() {
        let cases = [
            (
                "SELECT * FROM TUMBLE(t, ts, INTERVAL '5' MINUTE) AS w",
                "SELECT * FROM (SELECT *, date_bin(INTERVAL '5' MINUTE, ts) AS window_start, \
                 date_bin(INTERVAL '5' MINUTE, ts) + INTERVAL '5' MINUTE AS window_end FROM t WHERE ts IS NOT NULL) AS w",
            ),
            (
                "SELECT * FROM generate_series(1, 3)",
                "SELECT * FROM UNNEST(generate_series(1, 3)) AS generate_series (generate_series)",
            ),
            (
                "SELECT i FROM t, unnest(t.a) WITH ORDINALITY AS x(i, n)",
                "SELECT i FROM t, UNNEST(t.a, generate_series(1, array_length(t.a))) AS x (i, n)",
            ),
            (
                "SELECT generate_series(1, n) FROM t",
                "SELECT unnest(generate_series(1, n)) AS generate_series FROM t",
            ),
            (
                "SELECT unnest(generate_series(1, n)) AS i FROM t",
                "SELECT unnest(generate_series(1, n)) AS i FROM t",
            ),
            (
                "SELECT * FROM SESSION(t, ts, INTERVAL '5' MINUTE, k)",
                "SELECT * FROM (SELECT * EXCEPT (__begins, __session), min(ts) OVER (PARTITION BY k, __session) AS window_start, \
                 max(ts) OVER (PARTITION BY k, __session) + INTERVAL '5' MINUTE AS window_end FROM (SELECT *, sum(__begins) OVER \
                 (PARTITION BY k ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS __session FROM (SELECT *, \
                 CASE WHEN ts <= lag(ts) OVER (PARTITION BY k ORDER BY ts) + INTERVAL '5' MINUTE THEN 0 ELSE 1 END AS __begins \
                 FROM t WHERE ts IS NOT NULL) AS __marked) AS __numbered) AS t",
            ),
            ("SELECT current_date", "SELECT CAST(now() AS DATE) AS current_date"),
            (
                "SELECT a BETWEEN !! 2 + b AND 1, a NOT BETWEEN !! 2 AND 1",
                "SELECT (a BETWEEN 2 + b AND 1 OR a BETWEEN 1 AND 2 + b), NOT (a BETWEEN 2 AND 1 OR a BETWEEN 1 AND 2)",
            ),
            (
                "SELECT rank(3) WITHIN GROUP (ORDER BY a DESC) FROM t",
                "SELECT (count(*) FILTER (WHERE ((true AND ((a) > (3) OR (a) IS NULL)))) + 1) AS rank FROM t",
            ),
            (
                "SELECT count(*) OVER (ORDER BY a, __frame_without('current') ROWS 1 PRECEDING) FROM t",
                "SELECT (count(*) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)) AS count FROM t",
            ),
            (
                "VALUES (1.5, 1), (-2, 2), ('NaN'::float8, NULL)",
                "VALUES (CAST(1.5 AS DOUBLE PRECISION), 1), (CAST(-2 AS DOUBLE PRECISION), 2), ('NaN'::FLOAT8, NULL)",
            ),
        ];
        for (written, expected) in cases {
            let mut found = query(written).unwrap_or_else(|why| panic!("{written}: {why}"));
            rewrite(&mut found).unwrap_or_else(|why| panic!("{written}: {why}"));
            assert_eq!(found.to_string(), expected, "{written}");
            let once = found.to_string();
            rewrite(&mut found).unwrap_or_else(|why| panic!("{written}: {why}"));
            assert_eq!(found.to_string(), once, "{written} rewritten twice");
        }
    }
}
