//! `FETCH FIRST n ROWS ONLY`, said as LIMIT, which is all that DataFusion plans.
use crate::DeclareError;
use datafusion::sql::sqlparser::ast::{LimitClause, Query, Value, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// Rewrites a query and all queries inside it.
pub(super) fn said_as_limit(query: &mut Query) -> Result<(), DeclareError> {
    match VisitMut::visit(query, &mut Fetches) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(text) => Err(DeclareError::Unsupported(text)),
    }
}

struct Fetches;

impl VisitorMut for Fetches {
    type Break = String;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        let Some(fetch) = query.fetch.take() else { return ControlFlow::Continue(()) };
        if fetch.with_ties {
            return ControlFlow::Break(
                "FETCH .. WITH TIES is not maintained: keep the rows where RANK() OVER (ORDER BY ..) <= n"
                    .into(),
            );
        }
        if fetch.percent {
            return ControlFlow::Break(
                "FETCH .. PERCENT is not maintained: keep the rows where PERCENT_RANK() OVER (ORDER BY ..) <= p".into(),
            );
        }
        let count = fetch.quantity.unwrap_or_else(|| {
            datafusion::sql::sqlparser::ast::Expr::value(Value::Number("1".into(), false))
        });
        match &mut query.limit_clause {
            None => {
                query.limit_clause =
                    Some(LimitClause::LimitOffset { limit: Some(count), offset: None, limit_by: vec![] });
            }
            Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(count),
            Some(_) => return ControlFlow::Break("LIMIT and FETCH in one query: write one of them".into()),
        }
        ControlFlow::Continue(())
    }
}
