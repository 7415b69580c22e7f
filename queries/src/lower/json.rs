//! What operators and functions mean for the texts that PostgreSQL has types for: `||`, `jsonb_agg` and the functions that build
//! documents take json for documents, jsonb is compared by value, and blanks at the end of a `char(n)` do not count.
use super::planner::Relations;
use super::told::{Kind, is_text_of, of};
use crate::functions::{json_concat, json_held, json_key, orders, padded, to_jsonb, uuid_in};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{Between, Case, InList, Like, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, cast as cast_to, lit};

/// The plan in which documents are documents.
pub(super) fn said(plan: LogicalPlan, relations: &Relations) -> Result<LogicalPlan> {
    let mut asks = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            asks = asks || expr.exists(|part| Ok(is_candidate(part)))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    if !asks {
        return Ok(plan);
    }
    let said = plan.transform_up_with_subqueries(|node| {
        let below: Vec<LogicalPlan> = node.inputs().into_iter().cloned().collect();
        let inputs: Vec<&LogicalPlan> = below.iter().collect();
        let names = NamePreserver::new(&node);
        let changed = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let changed = expr.transform_up(|part| Ok(meant(part, &inputs, relations)))?;
            Ok(changed.update_data(|expr| name.restore(expr)))
        })?;
        match changed.transformed {
            true => changed.data.recompute_schema().map(Transformed::yes),
            false => Ok(changed),
        }
    })?;
    Ok(said.data)
}

/// Functions that make a document of their arguments.
const BUILDERS: [&str; 7] = [
    "__json_row",
    "to_json",
    "to_jsonb",
    "json_build_object",
    "jsonb_build_object",
    "json_build_array",
    "jsonb_build_array",
];
const VALUE: &str = "__json_value";
/// Functions that see the blanks at the end of a `char(n)`.
const PADDED: [&str; 3] = ["octet_length", "concat", "concat_ws"];

/// Whether it compares, NULL with NULL too.
fn compared(op: Operator) -> bool {
    orders(op) || matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

/// Whether it matches a pattern.
fn matched(op: Operator) -> bool {
    use Operator::{
        ILikeMatch, LikeMatch, NotILikeMatch, NotLikeMatch, RegexIMatch, RegexMatch, RegexNotIMatch,
        RegexNotMatch,
    };
    matches!(
        op,
        RegexMatch
            | RegexIMatch
            | RegexNotMatch
            | RegexNotIMatch
            | LikeMatch
            | ILikeMatch
            | NotLikeMatch
            | NotILikeMatch
    )
}

fn is_candidate(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            *op == Operator::StringConcat || compared(*op) || matched(*op)
        }
        Expr::InList(_) | Expr::Between(_) | Expr::Like(_) | Expr::SimilarTo(_) | Expr::Cast(_) => true,
        Expr::ScalarFunction(call) => {
            call.name() == VALUE
                || call.name() == "nullif"
                || BUILDERS.contains(&call.name())
                || PADDED.contains(&call.name())
        }
        _ => false,
    }
}

fn meant(expr: Expr, inputs: &[&LogicalPlan], relations: &Relations) -> Transformed<Expr> {
    let kind = |expr: &Expr| of(expr, inputs, relations);
    let long = |expr: Expr| match kind(&expr) {
        Kind::Bpchar(length) => padded().call(vec![expr, lit(i64::from(length))]),
        _ => expr,
    };
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compared(op) => {
            let sides = alike(vec![*left, *right], &kind);
            sides.update_data(|sides| match <[Expr; 2]>::try_from(sides) {
                Ok([left, right]) => Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))),
                Err(_) => unreachable!("two sides stay two"),
            })
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matched(op) && matches!(kind(&left), Kind::Bpchar(_)) =>
        {
            Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(long(*left)), op, right)))
        }
        // A number of a document is rounded; a text of digits would not be read.
        Expr::Cast(cast) if cast.field.data_type().is_integer() && kind(&cast.expr) == Kind::Jsonb => {
            let number = cast_to(*cast.expr, DataType::Decimal128(38, 10));
            Transformed::yes(cast_to(number, cast.field.data_type().clone()))
        }
        Expr::ScalarFunction(mut call) if call.name() == "nullif" && call.args.len() == 2 => {
            let first = call.args[0].clone();
            let sides = alike(std::mem::take(&mut call.args), &kind);
            let jsonb = kind(&first) == Kind::Jsonb;
            sides.update_data(|sides| match <[Expr; 2]>::try_from(sides) {
                Ok([a, b]) if jsonb => {
                    let same = (Box::new(a.eq(b)), Box::new(lit(ScalarValue::Utf8(None))));
                    Expr::Case(Case::new(None, vec![same], Some(Box::new(first))))
                }
                Ok([a, b]) => Expr::ScalarFunction(ScalarFunction { args: vec![a, b], ..call }),
                Err(_) => unreachable!("two sides stay two"),
            })
        }
        Expr::InList(InList { expr, list, negated }) => {
            let mut parts = vec![*expr];
            parts.extend(list);
            alike(parts, &kind).update_data(|mut parts| {
                let expr = Box::new(parts.remove(0));
                Expr::InList(InList { expr, list: parts, negated })
            })
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let parts = alike(vec![*expr, *low, *high], &kind);
            parts.update_data(|parts| match <[Expr; 3]>::try_from(parts) {
                Ok([expr, low, high]) => {
                    Expr::Between(Between::new(Box::new(expr), negated, Box::new(low), Box::new(high)))
                }
                Err(_) => unreachable!("three parts stay three"),
            })
        }
        Expr::Like(like) if matches!(kind(&like.expr), Kind::Bpchar(_)) => {
            Transformed::yes(Expr::Like(Like { expr: Box::new(long(*like.expr)), ..like }))
        }
        Expr::SimilarTo(like) if matches!(kind(&like.expr), Kind::Bpchar(_)) => {
            Transformed::yes(Expr::SimilarTo(Like { expr: Box::new(long(*like.expr)), ..like }))
        }
        Expr::ScalarFunction(mut call) if PADDED.contains(&call.name()) => {
            if !call.args.iter().any(|argument| matches!(kind(argument), Kind::Bpchar(_))) {
                return Transformed::no(Expr::ScalarFunction(call));
            }
            call.args = call.args.into_iter().map(long).collect();
            Transformed::yes(Expr::ScalarFunction(call))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            let literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
            let (a, b) = (kind(&left), kind(&right));
            let joins = |this: Kind, other: Kind, side: &Expr| {
                this.is_json() && (other.is_json() || other == Kind::Unclear || literal(side))
            };
            match joins(a, b, &right) || joins(b, a, &left) {
                true => Transformed::yes(json_concat().call(vec![*left, *right])),
                false => {
                    Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }))
                }
            }
        }
        Expr::ScalarFunction(mut call) if call.name() == VALUE => match call.args.as_slice() {
            [column @ Expr::Column(_)] if is_text_of(column, inputs) => match kind(column) {
                Kind::Json | Kind::Jsonb => Transformed::yes(call.args.remove(0)),
                Kind::Text | Kind::Uuid | Kind::Bpchar(_) | Kind::Varchar(_) => {
                    Transformed::yes(to_jsonb().call(call.args))
                }
                Kind::Unclear => Transformed::no(Expr::ScalarFunction(call)),
            },
            [value] if kind(value).is_json() => Transformed::yes(call.args.remove(0)),
            _ => Transformed::no(Expr::ScalarFunction(call)),
        },
        Expr::ScalarFunction(mut call) if BUILDERS.contains(&call.name()) => {
            let mut found = false;
            for argument in &mut call.args {
                if kind(argument).is_json() {
                    *argument = json_held().call(vec![argument.clone()]);
                    found = true;
                }
            }
            match found {
                true => Transformed::yes(Expr::ScalarFunction(call)),
                false => Transformed::no(Expr::ScalarFunction(call)),
            }
        }
        other => Transformed::no(other),
    }
}

/// Values that are compared: jsonb by what orders it, a text beside a `char(n)` without the blanks at its end.
fn alike(parts: Vec<Expr>, kind: &dyn Fn(&Expr) -> Kind) -> Transformed<Vec<Expr>> {
    let kinds: Vec<Kind> = parts.iter().map(kind).collect();
    if kinds.contains(&Kind::Jsonb) {
        return Transformed::yes(parts.into_iter().map(|part| json_key().call(vec![part])).collect());
    }
    let literal = |part: &Expr| matches!(part, Expr::Literal(ScalarValue::Utf8(Some(_)), _));
    if kinds.contains(&Kind::Uuid) && parts.iter().any(literal) {
        let read = |part: Expr| if literal(&part) { uuid_in().call(vec![part]) } else { part };
        return Transformed::yes(parts.into_iter().map(read).collect());
    }
    if !kinds.iter().any(|kind| matches!(kind, Kind::Bpchar(_))) {
        return Transformed::no(parts);
    }
    let cut = |part: Expr| match part {
        Expr::Literal(ScalarValue::Utf8(Some(text)), metadata) => {
            Expr::Literal(ScalarValue::Utf8(Some(text.trim_end_matches(' ').into())), metadata)
        }
        part => part,
    };
    Transformed::yes(parts.into_iter().map(cut).collect())
}
