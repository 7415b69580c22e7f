//! ASOF joins: for each left row the nearest right row by time, written as a LATERAL subquery with ORDER BY and LIMIT 1.
//!
//! `a ASOF [LEFT] JOIN b ON a.k = b.k AND a.t >= b.t` (DuckDB, RisingWave) keeps left rows without a partner only with LEFT;
//! `a ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON a.k = b.k` (Snowflake) always does.
use crate::DeclareError;
use crate::walk;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Join, JoinConstraint, JoinOperator, Query, TableAlias, TableFactor,
    VisitorMut,
};
use std::ops::ControlFlow;

/// Rewrites every ASOF join of a query.
pub(super) fn rewrite(query: &mut Query) -> Result<(), DeclareError> {
    match walk::write(query, &mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(why),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = DeclareError;

    fn pre_visit_select(
        &mut self,
        select: &mut datafusion::sql::sqlparser::ast::Select,
    ) -> ControlFlow<DeclareError> {
        for table in &mut select.from {
            joins(&mut table.joins)?;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DeclareError> {
        match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => joins(&mut table_with_joins.joins),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn joins(list: &mut [Join]) -> ControlFlow<DeclareError> {
    for join in list {
        let rewritten = match (&join.join_operator, join.global) {
            (JoinOperator::AsOf { match_condition, constraint }, _) => {
                lateral(&join.relation, constraint, Some(match_condition), true)
            }
            (JoinOperator::Join(constraint) | JoinOperator::Inner(constraint), true) => {
                lateral(&join.relation, constraint, None, false)
            }
            (JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint), true) => {
                lateral(&join.relation, constraint, None, true)
            }
            _ => continue,
        };
        match rewritten {
            Ok(rewritten) => *join = rewritten,
            Err(text) => return ControlFlow::Break(DeclareError::Unsupported(text)),
        }
    }
    ControlFlow::Continue(())
}

fn lateral(
    relation: &TableFactor,
    constraint: &JoinConstraint,
    matching: Option<&Expr>,
    padded: bool,
) -> Result<Join, String> {
    let on = match constraint {
        JoinConstraint::On(on) => Some(on),
        JoinConstraint::None => None,
        JoinConstraint::Using(_) | JoinConstraint::Natural => {
            return Err(
                "ASOF JOIN is maintained with ON: write the equalities out, as in ON a.k = b.k".into()
            );
        }
    };
    let name = alias(relation).ok_or("an ASOF JOIN needs a name for its right side: write AS b")?;
    let mut parts = vec![];
    on.into_iter().chain(matching).for_each(|expr| conjuncts(expr, &mut parts));
    let candidates: Vec<&&Expr> = match matching {
        Some(_) => parts.iter().rev().take(1).collect(),
        None => parts.iter().filter(|part| nearest(part, &name).is_some()).collect(),
    };
    let [only] = candidates.as_slice() else {
        return Err(
            "an ASOF JOIN needs one comparison of times, such as a.t >= b.t, beside the equalities".into()
        );
    };
    let Some((column, descending)) = nearest(only, &name) else {
        return Err(format!(
            "the comparison of an ASOF JOIN must have a column of {name} alone on one side, with its table: write a.t >= {name}.t"
        ));
    };
    let condition: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
    let direction = if descending { "DESC" } else { "ASC" };
    let text = format!(
        "SELECT * FROM {relation} WHERE {} ORDER BY {column} {direction} LIMIT 1",
        condition.join(" AND ")
    );
    let query = crate::rewrite::query(&text)
        .map(Box::new)
        .map_err(|why| format!("cannot write the ASOF JOIN as a subquery: {why}"))?;
    let alias = TableAlias { explicit: true, name, columns: vec![], at: None };
    let truth = Expr::value(datafusion::sql::sqlparser::ast::Value::Boolean(true));
    Ok(Join {
        relation: TableFactor::Derived { lateral: true, subquery: query, alias: Some(alias), sample: None },
        global: false,
        join_operator: match padded {
            true => JoinOperator::LeftOuter(JoinConstraint::On(truth)),
            false => JoinOperator::CrossJoin(JoinConstraint::None),
        },
    })
}

/// The name by which other parts of the query know a table.
pub(super) fn alias(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().cloned(),
        _ => None,
    }
}

fn conjuncts<'a>(expr: &'a Expr, parts: &mut Vec<&'a Expr>) {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, parts);
            conjuncts(right, parts);
        }
        Expr::Nested(inner) => conjuncts(inner, parts),
        other => parts.push(other),
    }
}

/// The right side's column in a comparison, and whether the greatest value is the nearest.
fn nearest(part: &Expr, name: &Ident) -> Option<(Expr, bool)> {
    let Expr::BinaryOp { left, op, right } = part else { return None };
    let up = match op {
        BinaryOperator::Gt | BinaryOperator::GtEq => true,
        BinaryOperator::Lt | BinaryOperator::LtEq => false,
        _ => return None,
    };
    let of_right = |expr: &Expr| match expr {
        Expr::CompoundIdentifier(path) => path.len() == 2 && path[0].value.eq_ignore_ascii_case(&name.value),
        _ => false,
    };
    match (of_right(left), of_right(right)) {
        (false, true) => Some((right.as_ref().clone(), up)),
        (true, false) => Some((left.as_ref().clone(), !up)),
        _ => None,
    }
}
