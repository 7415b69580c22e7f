//! `CREATE FUNCTION name(arguments) RETURNS type LANGUAGE SQL AS 'SELECT ..'`: the body is written out where the function is called, its
//! arguments and its result cast to their types.
use super::{expression, function_name, plain_arguments, query};
use crate::DeclareError;
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    self, CreateFunction, CreateFunctionBody, DataType, Expr, FunctionReturnType, Query, SelectItem, SetExpr,
    Value, VisitorMut,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// A declared function.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Names, where they have one, and types.
    pub arguments: Vec<(Option<String>, DataType)>,
    /// The type of its result.
    pub returns: DataType,
    /// What it computes, with its arguments in the place of columns.
    pub body: Expr,
}

/// Declared functions by name.
pub type Functions = BTreeMap<String, Function>;

/// How deep calls may be written out: a function that calls itself has no end.
const DEPTH_MAX: usize = 32;
/// How many calls may be written out in one query.
const CALLS_MAX: usize = 10_000;

/// A declaration as its name and what it means.
pub fn parse(create: &CreateFunction) -> Result<(String, Function), DeclareError> {
    let name = function_name(&create.name);
    let refused = |what: &str| DeclareError::Unsupported(format!("function {name:?}: {what}"));
    if name.is_empty() {
        return Err(refused("its name has a schema, and there are no schemas: write it without"));
    }
    let is_sql = create.language.as_ref().is_none_or(|language| language.value.eq_ignore_ascii_case("sql"));
    if !is_sql {
        return Err(refused("only LANGUAGE SQL can be written out: write the body as an expression"));
    }
    let Some(FunctionReturnType::DataType(returns)) = &create.return_type else {
        return Err(refused("write RETURNS with the type of one value"));
    };
    let arguments = create.args.iter().flatten().map(|argument| {
        if argument.default_expr.is_some() || !matches!(argument.mode, None | Some(ast::ArgMode::In)) {
            return Err(refused("an argument has a name and a type, no default and no OUT"));
        }
        Ok((argument.name.as_ref().map(|name| name.value.to_lowercase()), argument.data_type.clone()))
    });
    let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
    let body = match &create.function_body {
        Some(CreateFunctionBody::Return(expr)) => expr.clone(),
        Some(
            CreateFunctionBody::AsBeforeOptions { body, link_symbol: None }
            | CreateFunctionBody::AsAfterOptions(body),
        ) => {
            text_body(body).ok_or_else(|| refused("write its body as AS $$ SELECT .. $$ or RETURN .."))??
        }
        _ => return Err(refused("write its body as AS $$ SELECT .. $$ or RETURN ..")),
    };
    Ok((name, Function { arguments, returns: returns.clone(), body }))
}

/// A body in quotes: a query of one value, or an expression.
fn text_body(body: &Expr) -> Option<Result<Expr, DeclareError>> {
    let Expr::Value(value) = body else { return None };
    let text = match &value.value {
        Value::DollarQuotedString(text) => &text.value,
        Value::SingleQuotedString(text) => text,
        _ => return None,
    };
    let text = text.trim().trim_end_matches(';');
    let is_query = ["select", "with", "values"]
        .iter()
        .any(|word| text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)));
    if !is_query {
        return Some(expression(text));
    }
    Some(query(text).map(Box::new).map(one_value))
}

/// `SELECT x` is `x`; anything else is a subquery.
fn one_value(query: Box<Query>) -> Expr {
    if let SetExpr::Select(select) = query.body.as_ref()
        && let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
            select.projection.as_slice()
        && select.from.is_empty()
        && select.selection.is_none()
        && query.with.is_none()
        && query.limit_clause.is_none()
        && query.order_by.is_none()
    {
        return expr.clone();
    }
    Expr::Subquery(query)
}

/// Writes out every call of a declared function.
pub fn expand(query: &mut Query, functions: &Functions) -> Result<(), DeclareError> {
    if functions.is_empty() {
        return Ok(());
    }
    let mut left = CALLS_MAX;
    match walk::write(query, &mut Expander { functions, depth: 0, left: &mut left }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(why),
    }
}

struct Expander<'a> {
    functions: &'a Functions,
    depth: usize,
    left: &'a mut usize,
}

impl VisitorMut for Expander<'_> {
    type Break = DeclareError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DeclareError> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let name = function_name(&call.name);
        let Some(function) = self.functions.get(&name) else { return ControlFlow::Continue(()) };
        let written = match plain_arguments(call) {
            Some(list) if list.len() == function.arguments.len() => list,
            _ => {
                return ControlFlow::Break(DeclareError::Invalid(format!(
                    "function {name}(..) takes {} arguments, and nothing else",
                    function.arguments.len()
                )));
            }
        };
        if self.depth >= DEPTH_MAX || *self.left == 0 {
            return ControlFlow::Break(DeclareError::Invalid(format!(
                "function {name}(..) calls itself, or others too often, to be written out: write it without"
            )));
        }
        *self.left -= 1;
        let mut body = function.body.clone();
        // The body's own calls first: what the caller wrote has been written out already.
        let mut inner = Expander { functions: self.functions, depth: self.depth + 1, left: self.left };
        if let ControlFlow::Break(why) = walk::write(&mut body, &mut inner) {
            return ControlFlow::Break(why);
        }
        let mut place = Place { function, written: &written };
        _ = walk::write(&mut body, &mut place);
        *expr = cast(body, &function.returns);
        ControlFlow::Continue(())
    }
}

fn cast(expr: Expr, data_type: &DataType) -> Expr {
    Expr::Cast {
        kind: ast::CastKind::Cast,
        expr: Box::new(expr),
        data_type: data_type.clone(),
        array: false,
        format: None,
    }
}

/// Puts the written arguments in the place of their names and numbers.
struct Place<'a> {
    function: &'a Function,
    written: &'a [Expr],
}

impl VisitorMut for Place<'_> {
    type Break = ();

    // Before its parts are visited, so that what was put in is not looked at again: an argument is a leaf.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let index = match expr {
            Expr::Identifier(name) => {
                let name = match name.quote_style {
                    Some(_) => name.value.clone(),
                    None => name.value.to_lowercase(),
                };
                self.function.arguments.iter().position(|(known, _)| known.as_ref() == Some(&name))
            }
            Expr::Value(value) => match &value.value {
                Value::Placeholder(text) => text
                    .strip_prefix('$')
                    .and_then(|n| n.parse::<usize>().ok())
                    .and_then(|n| n.checked_sub(1)),
                _ => None,
            },
            _ => None,
        };
        if let Some((written, (_, data_type))) =
            index.and_then(|i| self.written.get(i).zip(self.function.arguments.get(i)))
        {
            *expr = cast(written.clone(), data_type);
        }
        ControlFlow::Continue(())
    }
}
