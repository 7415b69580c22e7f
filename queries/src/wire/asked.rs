//! Questions about the system in words that DataFusion plans: what psql and SQLAlchemy ask of what there is none of here.
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query,
    SelectItem, SetExpr, Statement, Value,
};
use std::ops::ControlFlow;

/// Columns of PostgreSQL that hold nothing here: rights.
const EMPTY: [&str; 7] = ["relacl", "attacl", "typacl", "proacl", "nspacl", "lanacl", "datacl"];
/// Lists of pg_index, which has no rows.
const LISTS: [&str; 4] = ["indkey", "indclass", "indoption", "indcollation"];

/// Says what cannot be planned otherwise.
pub(super) fn plainly(statement: &mut Statement) {
    _ = walk::expressions_mut(statement, |expr| {
        let said = match expr {
            Expr::CompoundIdentifier(path) if names(path, &EMPTY) => Some(Expr::value(Value::Null)),
            Expr::Like { negated, any: false, expr: value, pattern, escape_char: Some(escape) } => {
                escaped(escape, pattern).map(|pattern| Expr::Like {
                    negated: *negated,
                    any: false,
                    expr: value.clone(),
                    pattern: Box::new(pattern),
                    escape_char: None,
                })
            }
            Expr::Function(call) => function(call),
            _ => None,
        };
        if let Some(said) = said {
            *expr = said;
        }
        ControlFlow::<()>::Continue(())
    });
}

fn names(path: &[Ident], list: &[&str]) -> bool {
    path.last().is_some_and(|last| list.contains(&last.value.as_str()))
}

fn function(call: &Function) -> Option<Expr> {
    let name = call.name.0.last()?.to_string().to_lowercase();
    match (name.as_str(), &call.args) {
        // Lists of members, options and rights, made by ARRAY(SELECT ..): there are none.
        (_, FunctionArguments::Subquery(_)) => Some(Expr::value(Value::Null)),
        // What describes a column that numbers its rows by itself.
        ("json_build_object", _) => Some(Expr::value(Value::Null)),
        ("unnest", FunctionArguments::List(list)) => match list.args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::CompoundIdentifier(path)))]
                if names(path, &LISTS) =>
            {
                Some(Expr::value(Value::Number("0".into(), false)))
            }
            _ => None,
        },
        ("generate_subscripts", _) => Some(Expr::value(Value::Number("1".into(), false))),
        _ => None,
    }
}

/// A pattern with the only escape that DataFusion knows.
fn escaped(escape: &impl std::fmt::Display, pattern: &Expr) -> Option<Expr> {
    let escape = escape.to_string().replace('\'', "");
    if escape == "\\" || escape.chars().count() != 1 {
        return None;
    }
    let text = |text: &str| Expr::value(Value::SingleQuotedString(text.into()));
    let joined = |left: Expr, right: &str| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::StringConcat,
        right: Box::new(text(right)),
    };
    let whole = Expr::Nested(Box::new(joined(Expr::Nested(Box::new(pattern.clone())), "")));
    called("replace", vec![whole, text(&escape), text("\\")])
}

fn called(name: &str, arguments: Vec<Expr>) -> Option<Expr> {
    let list: Vec<String> = arguments.iter().map(Expr::to_string).collect();
    crate::rewrite::expression(&format!("{name}({})", list.join(", "))).ok()
}

/// Says of each scalar subquery of one row which it is: the least.
pub(super) fn singly(statement: &mut Statement) {
    _ = walk::expressions_mut(statement, |expr| {
        if let Expr::Subquery(query) = expr {
            _ = least(query);
        }
        ControlFlow::<()>::Continue(())
    });
}

fn least(query: &mut Query) -> Option<()> {
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let [SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }] =
        select.projection.as_mut_slice()
    else {
        return None;
    };
    let aggregates = ["count", "min", "max", "sum", "string_agg", "array_agg", "bool_or"];
    let counted = matches!(&*value, Expr::Function(call)
        if call.name.0.last().is_some_and(|name| aggregates.contains(&name.to_string().as_str())));
    if !counted {
        *value = called("min", vec![value.clone()])?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    type Say = fn(&mut Statement);

    #[test]
    fn questions_are_said_plainly() {
        let cases: [(&str, &str, Say); 4] = [
            ("SELECT c.relacl, c.relname FROM c", "SELECT NULL, c.relname FROM c", plainly),
            (
                "SELECT a FROM t WHERE a NOT LIKE 'pg/_' || '%' ESCAPE '/'",
                "SELECT a FROM t WHERE a NOT LIKE replace((('pg/_' || '%') || ''), '/', '\\')",
                plainly,
            ),
            ("SELECT unnest(i.indkey), generate_subscripts(i.indkey, 1)", "SELECT 0, 1", plainly),
            (
                "SELECT (SELECT c.a FROM c WHERE c.b = t.b)",
                "SELECT (SELECT min(c.a) FROM c WHERE c.b = t.b)",
                singly,
            ),
        ];
        for (written, expected, say) in cases {
            let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, written).unwrap_or_default();
            statements.iter_mut().for_each(say);
            assert_eq!(statements.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        }
    }
}
