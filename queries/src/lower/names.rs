//! Names of unnamed columns as PostgreSQL gives them (FigureColname in its parse_target.c), set before DataFusion invents its own.
//!
//! A name that a SELECT gives twice gets a mark behind it, since DataFusion wants each once; [`shown`] takes it off again.
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query,
    Select, SelectItem, SetExpr, TableFactor, VisitorMut,
};
use std::collections::HashSet;
use std::ops::ControlFlow;

/// Stands between a name and the number that makes it differ.
const MARK: char = '\u{1}';

/// The name that a reader sees.
pub(crate) fn shown(name: &str) -> &str {
    name.split(MARK).next().unwrap_or(name)
}

/// A name that may stand in a schema: the same one with a plain number behind it.
pub(crate) fn plain(name: &str) -> String {
    name.replace(MARK, "_")
}

/// Names what is unnamed in every SELECT of a query.
pub(crate) fn name(query: &mut Query) {
    struct Namer {
        depth: usize,
    }
    impl VisitorMut for Namer {
        type Break = ();
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            each_select(&mut query.body, &mut |select| name_items(select, self.depth == 0));
            self.depth += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
            self.depth -= 1;
            ControlFlow::Continue(())
        }
    }
    // Nothing breaks it off.
    _ = walk::write(query, &mut Namer { depth: 0 });
}

fn each_select(body: &mut SetExpr, act: &mut impl FnMut(&mut Select)) {
    match body {
        SetExpr::Select(select) => act(select),
        // Parenthesised queries are visited by themselves.
        SetExpr::SetOperation { left, right, .. } => {
            each_select(left, act);
            each_select(right, act);
        }
        _ => {}
    }
}

fn name_items(select: &mut Select, is_top: bool) {
    let has_wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
    let mut taken: HashSet<String> = HashSet::new();
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { alias, .. } = item {
            taken.insert(folded(alias));
        }
    }
    let mut aliases: HashSet<String> = HashSet::new();
    let from = From::of(select);
    // DataFusion lets a HAVING see aliases, which must not hide the columns they are cast from.
    let hides = |expr: &Expr| select.having.is_some() && matches!(expr, Expr::Cast { .. });
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let own = column_name(expr);
                let name = own.clone().or_else(|| figured(expr)).unwrap_or_else(|| "?column?".into());
                let is_shadow = own.is_some() && has_wildcard && is_top;
                let kept = !is_shadow && !hides(expr);
                let fresh = kept && taken.insert(name.clone());
                if own.is_some() && fresh && (is_top || !from.is_outer(expr)) {
                    continue;
                }
                let name = if fresh { name } else { marked(&name, &mut taken) };
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
            }
            SelectItem::ExprWithAlias { alias, .. } => {
                let name = folded(alias);
                if !aliases.insert(name.clone()) {
                    *alias = Ident::with_quote('"', marked(&name, &mut taken));
                }
            }
            SelectItem::Wildcard(_)
            | SelectItem::QualifiedWildcard(..)
            | SelectItem::ExprWithAliases { .. } => {}
        }
    }
}

/// The tables that a SELECT names; none where one of them has a name that is not known here.
struct From(Option<Vec<String>>);

impl From {
    fn of(select: &Select) -> From {
        let factors = select.from.iter().flat_map(|table| {
            [&table.relation].into_iter().chain(table.joins.iter().map(|join| &join.relation))
        });
        From(factors.map(Self::called).collect())
    }

    fn called(factor: &TableFactor) -> Option<String> {
        match factor {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. } => Some(folded(&alias.name)),
            TableFactor::Table { name, alias: None, .. } => last_part(name),
            _ => None,
        }
    }

    /// Whether an expression is a column of a query around. DataFusion calls such a column `outer_ref(..)`, unless it is named.
    fn is_outer(&self, expr: &Expr) -> bool {
        match (&self.0, expr) {
            (Some(tables), Expr::Identifier(_)) => tables.is_empty(),
            (Some(tables), Expr::CompoundIdentifier(words)) => match words.as_slice() {
                [table, _] => !tables.contains(&folded(table)),
                _ => false,
            },
            _ => false,
        }
    }
}

fn marked(name: &str, taken: &mut HashSet<String>) -> String {
    (1..)
        .map(|n| format!("{name}{MARK}{n}"))
        .find(|name| taken.insert(name.clone()))
        .expect("numbers do not end")
}

fn folded(word: &Ident) -> String {
    match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_lowercase(),
    }
}

/// The name of a column that is taken as it is.
fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(word) => Some(folded(word)),
        Expr::CompoundIdentifier(words) => words.last().map(folded),
        _ => None,
    }
}

fn last_part(name: &ObjectName) -> Option<String> {
    name.0.last().and_then(|part| part.as_ident()).map(folded)
}

/// The name of an expression; none where PostgreSQL says `?column?`.
fn figured(expr: &Expr) -> Option<String> {
    let word = |text: &str| Some(text.to_owned());
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => column_name(expr),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figured(inner),
        Expr::Function(call) => cast_name(call).or_else(|| last_part(&call.name)),
        Expr::Cast { expr, data_type, .. } => figured(expr).or_else(|| type_name(&data_type.to_string())),
        Expr::TypedString(typed) => type_name(&typed.data_type.to_string()),
        Expr::Interval(_) => word("interval"),
        Expr::Case { else_result, .. } => else_result.as_deref().and_then(figured).or_else(|| word("case")),
        Expr::Exists { .. } => word("exists"),
        Expr::Extract { .. } => word("extract"),
        Expr::Ceil { .. } => word("ceil"),
        Expr::Floor { .. } => word("floor"),
        Expr::Position { .. } => word("position"),
        Expr::Substring { .. } => word("substring"),
        Expr::Trim { .. } => word("btrim"),
        Expr::Overlay { .. } => word("overlay"),
        Expr::AtTimeZone { .. } => word("timezone"),
        Expr::Array(_) => word("array"),
        Expr::Tuple(_) => word("row"),
        Expr::GroupingSets(_) => word("grouping"),
        Expr::CompoundFieldAccess { root, access_chain } => {
            use datafusion::sql::sqlparser::ast::AccessExpr;
            match access_chain.last() {
                Some(AccessExpr::Dot(field)) => figured(field),
                _ => figured(root),
            }
        }
        Expr::Subquery(query) => first_name(query),
        _ => None,
    }
}

/// The name of a cast that is written as a call.
fn cast_name(call: &Function) -> Option<String> {
    let name = match last_part(&call.name)?.as_str() {
        "__varchar" => "varchar",
        "__bpchar" => "bpchar",
        "uuid_in" => "uuid",
        "jsonb" => "jsonb",
        "json" => "json",
        "__rounded" => "timestamp",
        _ => return None,
    };
    let FunctionArguments::List(list) = &call.args else { return None };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))) = list.args.first() else { return None };
    let mut inner = argument;
    // What cuts it is a part of the cast.
    while let Expr::Function(cut) = inner
        && name.ends_with("char")
        && let FunctionArguments::List(list) = &cut.args
        && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) = list.args.first()
        && matches!(last_part(&cut.name).as_deref(), Some("left" | "rtrim"))
    {
        inner = first;
    }
    match inner {
        Expr::Cast { expr, data_type: DataType::Text, .. } if name.ends_with("char") => figured(expr),
        inner => figured(inner),
    }
    .or_else(|| Some(name.to_string()))
}

/// The name of the only column of a scalar subquery.
fn first_name(query: &Query) -> Option<String> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    match select.projection.first()? {
        SelectItem::UnnamedExpr(expr) => figured(expr),
        SelectItem::ExprWithAlias { alias, .. } => Some(shown(&folded(alias)).to_owned()),
        _ => None,
    }
}

/// PostgreSQL's own name of a type.
fn type_name(sql: &str) -> Option<String> {
    let lower = sql.to_lowercase();
    let base = lower.split('(').next().unwrap_or(&lower).trim();
    Some(
        match base {
            "int" | "integer" | "int4" => "int4",
            "bigint" | "int8" => "int8",
            "smallint" | "int2" => "int2",
            "boolean" | "bool" => "bool",
            "real" | "float4" => "float4",
            "double precision" | "double" | "float" | "float8" => "float8",
            "decimal" | "numeric" | "dec" => "numeric",
            "character varying" | "varchar" => "varchar",
            "char" | "character" => "bpchar",
            "timestamp with time zone" | "timestamptz" => "timestamptz",
            "timestamp without time zone" | "timestamp" => "timestamp",
            other => other,
        }
        .to_owned(),
    )
}
