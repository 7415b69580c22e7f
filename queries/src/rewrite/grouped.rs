//! Windows in GROUP BY, as Flink wrote them before it had table functions: `GROUP BY k, TUMBLE(ts, size)` with `TUMBLE_START(ts, size)`.
//! They are written with the functions in FROM.
use super::{expression, function_name, plain_arguments};
use crate::DeclareError;
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, Query, Select, SelectItem, SetExpr, TableFactor, VisitorMut,
};
use std::ops::ControlFlow;

/// A window of GROUP BY: what it is called, and its time and lengths.
struct Window {
    name: String,
    arguments: Vec<Expr>,
}

fn window(expr: &Expr) -> Option<Window> {
    let Expr::Function(call) = expr else { return None };
    let name = function_name(&call.name);
    let arguments = plain_arguments(call)?;
    let lengths = match name.as_str() {
        "tumble" | "session" => 1..=1,
        "hop" => 2..=2,
        _ => return None,
    };
    lengths.contains(&arguments.len().checked_sub(1)?).then_some(Window { name, arguments })
}

/// Rewrites a SELECT that is grouped by a window.
pub(super) fn rewrite(select: &mut Select) -> Result<(), DeclareError> {
    let GroupByExpr::Expressions(list, _) = &mut select.group_by else { return Ok(()) };
    let Some(place) = list.iter().position(|expr| window(expr).is_some()) else { return Ok(()) };
    let Some(found) = window(&list[place]) else { return Ok(()) };
    let form = found.name.to_uppercase();
    let refused = |what: &str| DeclareError::Unsupported(format!("GROUP BY {form}(..) {what}"));
    if list.iter().filter(|expr| window(expr).is_some()).count() > 1 {
        return Err(refused("takes one window: join two queries"));
    }
    let [table] = select.from.as_mut_slice() else {
        return Err(refused(&format!("takes one table: write {form}(..) in FROM, around one of them")));
    };
    if !table.joins.is_empty() {
        return Err(refused(&format!("takes one table: write {form}(..) in FROM, around one of them")));
    }
    let time = match &found.arguments[0] {
        Expr::Identifier(word) => word.to_string(),
        Expr::CompoundIdentifier(words) if words.len() == 2 => words[1].to_string(),
        _ => return Err(refused("takes a column for the time")),
    };
    list.remove(place);
    let keys = list.iter().map(|key| match key {
        Expr::Identifier(word) => Ok(word.to_string()),
        Expr::CompoundIdentifier(words) if words.len() == 2 => Ok(words[1].to_string()),
        key => Err(refused(&format!("takes columns for its other keys, not {key}: name it in a subquery"))),
    });
    let keys = if found.name == "session" { keys.collect::<Result<Vec<_>, _>>()? } else { vec![] };
    list.insert(place, expression("window_start")?);
    list.insert(place + 1, expression("window_end")?);
    let (input, alias) = match &table.relation {
        TableFactor::Table { name, alias, args: None, .. } => {
            let own = name.0.last().map(ToString::to_string).unwrap_or_default();
            (name.to_string(), alias.as_ref().map_or(own, |alias| alias.name.to_string()))
        }
        TableFactor::Derived { subquery, alias: Some(alias), lateral: false, .. } => {
            (format!("({subquery})"), alias.name.to_string())
        }
        _ => return Err(refused("takes a table, a view or a subquery with a name")),
    };
    let lengths = found.arguments[1..].iter().map(ToString::to_string);
    let arguments: Vec<String> = [input, time].into_iter().chain(lengths).chain(keys).collect();
    let text = format!("SELECT * FROM {}({}) AS {alias}", found.name, arguments.join(", "));
    let mut made: Query = super::query(&text)?;
    let SetExpr::Select(made) = made.body.as_mut() else { return Ok(()) };
    table.relation = made.from.remove(0).relation;
    super::windowing::rewrite(&mut table.relation)?;
    let mut parts = Parts { name: &found.name };
    let mut flow = ControlFlow::Continue(());
    for item in &mut select.projection {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
            && flow.is_continue()
        {
            flow = walk::write(expr, &mut parts);
        }
    }
    if let (Some(having), true) = (&mut select.having, flow.is_continue()) {
        flow = walk::write(having, &mut parts);
    }
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(why),
    }
}

/// `TUMBLE_START(..)` and the like, each with what it means.
struct Parts<'a> {
    name: &'a str,
}

impl Parts<'_> {
    fn meaning(&self, call: &Function) -> Option<&'static str> {
        let name = function_name(&call.name);
        match name.strip_prefix(self.name)? {
            "" => Some("window_start"),
            "_start" => Some("window_start"),
            "_end" => Some("window_end"),
            "_rowtime" => Some("(window_end - INTERVAL '1 millisecond')"),
            _ => None,
        }
    }
}

impl VisitorMut for Parts<'_> {
    type Break = DeclareError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DeclareError> {
        let Expr::Function(call) = expr else { return ControlFlow::Continue(()) };
        let Some(text) = self.meaning(call) else { return ControlFlow::Continue(()) };
        match expression(text) {
            Ok(meaning) => {
                *expr = meaning;
                ControlFlow::Continue(())
            }
            Err(why) => ControlFlow::Break(why),
        }
    }
}
