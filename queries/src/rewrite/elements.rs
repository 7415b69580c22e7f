//! Functions that give rows, in FROM and in the SELECT list, written as UNNEST of a list: one operator takes all of them apart.
use super::{call, expression, function_name, plain_arguments, query};
use crate::DeclareError;
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, Ident, JoinOperator, Query, Select, SelectItem,
    TableAlias, TableAliasColumnDef, TableFactor, VisitorMut,
};
use std::ops::ControlFlow;

/// Lists, and the names of the columns of their elements.
type Lists = (Vec<Expr>, Vec<String>);

/// The lists whose elements are the rows of a call, and the names of its columns; none, where it gives one value.
fn lists(name: &str, arguments: &[Expr]) -> Result<Option<Lists>, DeclareError> {
    let one = |list: Expr, column: &str| Ok(Some((vec![list], vec![column.to_string()])));
    let json_name = |part: &str| match name.starts_with("jsonb") {
        true => format!("__jsonb_{part}"),
        false => format!("__json_{part}"),
    };
    let two = |a: &str, b: &str| -> Result<_, DeclareError> {
        let lists = vec![call(&json_name(a), arguments)?, call(&json_name(b), arguments)?];
        Ok(Some((lists, vec!["key".into(), "value".into()])))
    };
    match (name, arguments) {
        ("unnest", _) => {
            let names = (0..arguments.len()).map(|i| match i {
                0 => "unnest".to_string(),
                i => format!("unnest_{i}"),
            });
            Ok(Some((arguments.to_vec(), names.collect())))
        }
        ("generate_series" | "range", [last]) => one(expression(&format!("{name}(0, {last})"))?, name),
        ("generate_series" | "range", _) => one(call(name, arguments)?, name),
        ("generate_subscripts", [list, dimension]) => {
            one(expression(&format!("generate_series(1, array_length({list}, {dimension}))"))?, name)
        }
        ("generate_subscripts", [list, ..]) => {
            one(expression(&format!("generate_series(1, array_length({list}))"))?, name)
        }
        ("json_array_elements" | "jsonb_array_elements", _) => {
            one(call(&json_name("elements"), arguments)?, "value")
        }
        ("json_array_elements_text" | "jsonb_array_elements_text", _) => {
            one(call(&json_name("elements_text"), arguments)?, "value")
        }
        ("jsonb_path_query", [_, _, ..]) => one(call("__jsonb_path_elements", arguments)?, name),
        ("json_object_keys" | "jsonb_object_keys", _) => one(call(&json_name("keys"), arguments)?, name),
        ("json_each" | "jsonb_each", _) => two("keys", "values"),
        ("json_each_text" | "jsonb_each_text", _) => two("keys", "values_text"),
        ("regexp_matches", [text, pattern]) => {
            let found = format!("regexp_match({text}, {pattern})");
            one(expression(&format!("CASE WHEN {found} IS NOT NULL THEN make_array({found}) END"))?, name)
        }
        ("regexp_matches", _) => Err(DeclareError::Unsupported(
            "regexp_matches(.., flags) is not maintained: write it without flags for the first match, or regexp_split_to_table".into(),
        )),
        ("string_to_table", _) => one(call("string_to_array", arguments)?, name),
        ("regexp_split_to_table", [text, pattern]) => one(split(text, pattern)?, name),
        _ => Ok(None),
    }
}

/// The texts between the matches of a pattern: each match becomes a mark that no text has, and that is what separates them.
fn split(text: &Expr, pattern: &Expr) -> Result<Expr, DeclareError> {
    let written = pattern.to_string();
    let constant = matches!(pattern, Expr::Value(_));
    if !constant || written.len() <= 2 || written.contains(['*', '?', '|', '{']) {
        return Err(DeclareError::Unsupported(format!(
            "regexp_split_to_table by {written} is not maintained: write a constant pattern that matches one character at least, without * ? | and braces"
        )));
    }
    let mark = "'\u{E000}\u{F8FF}\u{E001}'";
    expression(&format!(
        "CASE WHEN {text} = '' THEN make_array('') ELSE string_to_array(regexp_replace({text}, {written}, {mark}, 'g'), {mark}) END"
    ))
}

/// A function in FROM.
pub(super) fn in_from(factor: &mut TableFactor) -> Result<(), DeclareError> {
    let (name, arguments, ordinality, alias) = match factor {
        TableFactor::Table { name, args: Some(args), with_ordinality, alias, .. } => {
            (function_name(name), expressions(name, &args.args)?, *with_ordinality, alias.take())
        }
        TableFactor::Function { name, args, with_ordinality, alias, .. } => {
            (function_name(name), expressions(name, args)?, *with_ordinality, alias.take())
        }
        TableFactor::TableFunction { expr: Expr::Function(call), alias } => {
            let Some(arguments) = plain_arguments(call) else { return Ok(()) };
            (function_name(&call.name), arguments, false, alias.take())
        }
        TableFactor::UNNEST { array_exprs, with_ordinality, alias, with_offset: false, .. } => {
            let done = !*with_ordinality
                && alias.as_ref().is_some_and(|alias| alias.columns.len() == array_exprs.len());
            if done {
                return Ok(());
            }
            ("unnest".to_string(), array_exprs.clone(), *with_ordinality, alias.take())
        }
        _ => return Ok(()),
    };
    // LATERAL TABLE(f(..)), as Flink writes it.
    let (name, arguments) = match (name.as_str(), arguments.as_slice()) {
        ("table", [Expr::Function(call)]) => match plain_arguments(call) {
            Some(arguments) => (function_name(&call.name), arguments),
            None => (name, arguments),
        },
        _ => (name, arguments),
    };
    if let ("json_to_record" | "jsonb_to_record" | "json_to_recordset" | "jsonb_to_recordset", [document]) =
        (name.as_str(), arguments.as_slice())
        && !ordinality
    {
        *factor = record(&name, document, alias)?;
        return Ok(());
    }
    *factor = match lists(&name, &arguments)? {
        Some((lists, names)) => from_lists(&name, lists, names, ordinality, alias)?,
        None => one_value(&name, &arguments, ordinality, alias)?,
    };
    Ok(())
}

/// Lists on the right of a RIGHT or FULL JOIN, which cannot be of what is on its left.
pub(super) fn joined(select: &mut Select) -> Result<(), DeclareError> {
    for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
        if let (
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_),
            TableFactor::UNNEST { alias: Some(alias), .. },
        ) = (&join.join_operator, &join.relation)
        {
            let alias = Some(TableAlias { columns: vec![], ..alias.clone() });
            let subquery = Box::new(query(&format!("SELECT * FROM {}", join.relation))?);
            join.relation = TableFactor::Derived { lateral: false, subquery, alias, sample: None };
        }
    }
    Ok(())
}

/// `jsonb_to_recordset(document) AS r (a int, b text)`: the members of its elements that are named, cast to their types.
fn record(name: &str, document: &Expr, alias: Option<TableAlias>) -> Result<TableFactor, DeclareError> {
    let missing = || {
        DeclareError::Invalid(format!(
            "{name}(..) in FROM needs its columns: write {name}(..) AS r (a INT, b TEXT)"
        ))
    };
    let mut alias = alias.ok_or_else(missing)?;
    let element = if name.ends_with("set") { "__element.value".to_string() } else { format!("({document})") };
    let mut columns = vec![];
    for column in std::mem::take(&mut alias.columns) {
        let data_type = column.data_type.ok_or_else(missing)?;
        let key = crate::declare::normalized(&column.name).replace('\'', "''");
        let (arrow, called) = match data_type {
            ast::DataType::JSON | ast::DataType::JSONB => ("->", &column.name),
            ast::DataType::Array(_) => {
                return Err(DeclareError::Unsupported(format!(
                    "the column {} of {name}(..) is a list: take it as JSONB",
                    column.name
                )));
            }
            _ => ("->>", &column.name),
        };
        columns.push(format!("CAST({element} {arrow} '{key}' AS {data_type}) AS {called}"));
    }
    if columns.is_empty() {
        return Err(missing());
    }
    let from = match name.strip_suffix("_to_recordset") {
        Some(kind) => format!(" FROM {kind}_array_elements({document}) AS __element (value)"),
        None => String::new(),
    };
    let mut subquery = query(&format!("SELECT {}{from}", columns.join(", ")))?;
    super::rewrite(&mut subquery)?;
    Ok(TableFactor::Derived { lateral: true, subquery: Box::new(subquery), alias: Some(alias), sample: None })
}

fn expressions(name: &ast::ObjectName, arguments: &[FunctionArg]) -> Result<Vec<Expr>, DeclareError> {
    let list = arguments.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
        other => Err(DeclareError::Unsupported(format!(
            "the argument {other} of {name}(..) in FROM is not supported: write the value alone"
        ))),
    });
    list.collect()
}

fn from_lists(
    function: &str,
    mut lists: Vec<Expr>,
    mut names: Vec<String>,
    ordinality: bool,
    alias: Option<TableAlias>,
) -> Result<TableFactor, DeclareError> {
    // A function of one column calls it like the table.
    if let (Some(alias), [name]) = (&alias, names.as_mut_slice())
        && name != "value"
    {
        *name = alias.name.value.clone();
    }
    if ordinality {
        let lengths: Vec<String> = lists.iter().map(|list| format!("array_length({list})")).collect();
        let longest = match lengths.as_slice() {
            [one] => one.clone(),
            several => format!("greatest({})", several.join(", ")),
        };
        lists.push(expression(&format!("generate_series(1, {longest})"))?);
        names.push("ordinality".into());
    }
    let alias = with_columns(alias, function, &names)?;
    Ok(TableFactor::UNNEST {
        alias: Some(alias),
        array_exprs: lists,
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    })
}

/// The alias with a name for each column: those that it gives, then those of the function.
fn with_columns(
    alias: Option<TableAlias>,
    function: &str,
    names: &[String],
) -> Result<TableAlias, DeclareError> {
    let mut alias = alias.unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::new(function),
        columns: vec![],
        at: None,
    });
    let given = alias.columns.len();
    if given > names.len() {
        return Err(DeclareError::Invalid(format!(
            "{} names {given} columns, but {function}(..) has {}: leave out the others",
            alias.name,
            names.len()
        )));
    }
    // Names in quotes would otherwise be needed for those in upper case.
    let quote = alias.name.quote_style;
    alias.columns.extend(names[given..].iter().map(|name| match (quote, *name == alias.name.value) {
        (Some(quote), true) => TableAliasColumnDef { name: Ident::with_quote(quote, name), data_type: None },
        _ => TableAliasColumnDef::from_name(name),
    }));
    Ok(alias)
}

/// A function of one value: a row of it.
fn one_value(
    name: &str,
    arguments: &[Expr],
    ordinality: bool,
    alias: Option<TableAlias>,
) -> Result<TableFactor, DeclareError> {
    if name.is_empty() {
        return Err(DeclareError::Unsupported(
            "a function with a schema in FROM is not supported: write its name alone".into(),
        ));
    }
    let column = alias.as_ref().map_or(name.to_string(), |alias| alias.name.to_string());
    let number = if ordinality { ", CAST(1 AS BIGINT) AS ordinality" } else { "" };
    let subquery: Query = query(&format!("SELECT {} AS {column}{number}", call(name, arguments)?))?;
    let alias = alias.unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::new(name),
        columns: vec![],
        at: None,
    });
    Ok(TableFactor::Derived { lateral: true, subquery: Box::new(subquery), alias: Some(alias), sample: None })
}

/// The query with the only column of such a function in the place of its name: `e` for `e.value`. Whether there is one.
pub(crate) fn valued(query: &mut Query) -> bool {
    let mut names = Names { of: vec![], found: false };
    _ = walk::write(query, &mut names);
    if !names.of.is_empty() {
        names.found = true;
        _ = walk::write(query, &mut names);
    }
    names.found
}

struct Names {
    /// The functions in FROM whose column is called `value`.
    of: Vec<Ident>,
    /// Whether they are all known, so that they are looked for.
    found: bool,
}

impl Names {
    fn meaning(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Identifier(word) = expr else { return None };
        let name = self.of.iter().find(|name| **name == *word)?;
        Some(Expr::CompoundIdentifier(vec![name.clone(), Ident::new("value")]))
    }
}

impl VisitorMut for Names {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let (false, TableFactor::UNNEST { alias: Some(alias), .. }) = (self.found, factor)
            && matches!(alias.columns.as_slice(), [column] if column.name.value == "value")
        {
            self.of.push(alias.name.clone());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        for item in select.projection.iter_mut().filter(|_| self.found) {
            if let SelectItem::UnnamedExpr(expr @ Expr::Identifier(_)) = item
                && let (Some(meaning), Expr::Identifier(word)) = (self.meaning(expr), &*expr)
            {
                *item = SelectItem::ExprWithAlias { alias: word.clone(), expr: meaning };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(meaning) = self.meaning(expr).filter(|_| self.found) {
            *expr = meaning;
        }
        ControlFlow::Continue(())
    }
}

/// Functions that give rows in a column of the SELECT list.
pub(super) fn in_list(item: &mut SelectItem) -> Result<(), DeclareError> {
    if let SelectItem::UnnamedExpr(Expr::Function(call)) = item {
        let name = function_name(&call.name);
        if plain_arguments(call).is_some_and(|list| gives_rows(&name, &list)) || name == "unnest" {
            let expr = Expr::Function(call.clone());
            *item = SelectItem::ExprWithAlias { expr, alias: Ident::new(name) };
        }
    }
    let expr = match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
        _ => return Ok(()),
    };
    for mark in [true, false] {
        match walk::write(expr, &mut Listed { mark, depth: 0 }) {
            ControlFlow::Continue(()) => {}
            ControlFlow::Break(why) => return Err(why),
        }
    }
    Ok(())
}

fn gives_rows(name: &str, arguments: &[Expr]) -> bool {
    // `range` is a list in DataFusion and a type in PostgreSQL.
    !matches!(name, "unnest" | "range") && matches!(lists(name, arguments), Ok(Some(_)))
}

/// Marks calls that give rows; where one stands in `unnest(..)`, that is what takes it apart. Then marks become `unnest`.
struct Listed {
    mark: bool,
    /// In how many queries within the column: they have SELECT lists of their own.
    depth: usize,
}

const MARK: &str = "__rows_of";

impl VisitorMut for Listed {
    type Break = DeclareError;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<DeclareError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<DeclareError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DeclareError> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        match self.rewritten(function) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(rewritten)) => {
                *expr = rewritten;
                ControlFlow::Continue(())
            }
            Err(why) => ControlFlow::Break(why),
        }
    }
}

impl Listed {
    fn rewritten(&self, function: &Function) -> Result<Option<Expr>, DeclareError> {
        let name = function_name(&function.name);
        let Some(arguments) = plain_arguments(function) else { return Ok(None) };
        if !self.mark {
            return if name == MARK { call("unnest", &arguments).map(Some) } else { Ok(None) };
        }
        if let ("unnest", [Expr::Function(inner)]) = (name.as_str(), arguments.as_slice())
            && function_name(&inner.name) == MARK
            && let Some(list) = plain_arguments(inner)
        {
            return call("unnest", &list).map(Some);
        }
        if !gives_rows(&name, &arguments) {
            return Ok(None);
        }
        match lists(&name, &arguments)? {
            Some((lists, _)) if lists.len() == 1 => call(MARK, &lists).map(Some),
            _ => Err(DeclareError::Unsupported(format!(
                "{name}(..) in the SELECT list gives rows of several columns: write it in FROM"
            ))),
        }
    }
}
