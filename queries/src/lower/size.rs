//! How large a query's plan would become, counted on its syntax before it is planned: views and WITH are written out wherever they are
//! named, so that a short text can stand for a plan that fits no memory.
use super::planner::Names;
use crate::DeclareError;
use crate::walk;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, Select, Visitor};
use std::ops::ControlFlow;

/// SELECTs and tables, each as often as it is named.
const PARTS_MAX: usize = 4_000;
/// Tables in one FROM.
const TABLES_MAX: usize = 250;
/// Columns of one SELECT list, as in PostgreSQL.
const LIST_MAX: usize = 1_664;
/// Columns of all parts.
const COLUMNS_MAX: usize = 100_000;

/// Refuses a query that would become too large.
pub(super) fn check(query: &Query, names: &Names<'_>) -> Result<(), DeclareError> {
    match walk::read(query, &mut Sizes { names, open: vec![], known: vec![] }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(DeclareError::Invalid(format!("the query is too large: {why}"))),
    }
}

#[derive(Clone, Copy, Default)]
struct Size {
    parts: usize,
    columns: usize,
}

/// A query that is being visited.
struct Open {
    size: Size,
    /// The queries of its WITH, by where they stand.
    named: Vec<(*const Query, String)>,
    /// How much was known before it.
    known: usize,
}

struct Sizes<'a> {
    names: &'a Names<'a>,
    open: Vec<Open>,
    known: Vec<(String, Size)>,
}

impl Sizes<'_> {
    fn add(&mut self, size: Size) -> ControlFlow<String> {
        let Some(open) = self.open.last_mut() else { return ControlFlow::Continue(()) };
        open.size.parts = open.size.parts.saturating_add(size.parts);
        open.size.columns = open.size.columns.saturating_add(size.columns);
        if open.size.parts > PARTS_MAX {
            return ControlFlow::Break(format!(
                "it reads more than {PARTS_MAX} tables and SELECTs, once its views and WITH are written out"
            ));
        }
        if open.size.columns > COLUMNS_MAX {
            return ControlFlow::Break(format!("its parts have more than {COLUMNS_MAX} columns"));
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Sizes<'_> {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let list = query.with.iter().flat_map(|with| &with.cte_tables);
        let named = list.map(|cte| (&raw const *cte.query, word(&cte.alias.name))).collect();
        self.open.push(Open { size: Size::default(), named, known: self.known.len() });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        let Some(open) = self.open.pop() else { return ControlFlow::Continue(()) };
        self.known.truncate(open.known);
        let outer = self.open.last_mut();
        let named = outer.and_then(|outer| outer.named.iter().find(|(at, _)| std::ptr::eq(*at, query)));
        match named {
            Some((_, name)) => {
                self.known.push((name.clone(), open.size));
                ControlFlow::Continue(())
            }
            None => self.add(open.size),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        let tables: usize = select.from.iter().map(|from| 1 + from.joins.len()).sum();
        if tables > TABLES_MAX {
            return ControlFlow::Break(format!(
                "a FROM of {tables} tables, and at most {TABLES_MAX} are joined"
            ));
        }
        let columns = select.projection.len();
        if columns > LIST_MAX {
            return ControlFlow::Break(format!(
                "a SELECT of {columns} columns, and at most {LIST_MAX} are given"
            ));
        }
        self.add(Size { parts: 1, columns })
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<String> {
        let name = match name.0.as_slice() {
            [only] => only.as_ident().map(word).unwrap_or_default(),
            _ => String::new(),
        };
        if let Some((_, size)) = self.known.iter().rev().find(|(known, _)| *known == name) {
            let size = *size;
            return self.add(size);
        }
        let size = self.names.relations.get(&name).map_or(Size { parts: 1, columns: 0 }, |relation| Size {
            parts: relation.query.as_ref().map_or(1, parts),
            columns: relation.schema.fields().len(),
        });
        self.add(size)
    }
}

/// The operators of a plan that come of SELECTs and tables.
fn parts(plan: &LogicalPlan) -> usize {
    let mut count = 0;
    _ = plan.apply(|node| {
        count += usize::from(matches!(node, LogicalPlan::TableScan(_) | LogicalPlan::Projection(_)));
        Ok(match count > PARTS_MAX {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    });
    count
}

fn word(word: &Ident) -> String {
    match word.quote_style {
        Some(_) => word.value.clone(),
        None => word.value.to_lowercase(),
    }
}
