//! Which columns are jsonb, which is text to DataFusion: known while a query is planned, since `||` and `-` mean something else for it.
use super::planner::{Relation, Relations};
use crate::functions::is_json;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Constraints, Result};
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan, TableScanBuilder, TableSource};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{ColumnDef, DataType, Statement};
use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

/// The metadata of a column of jsonb while a query is planned.
pub(crate) const MARK: &str = "tallyflow.jsonb";

/// The columns of jsonb of a table, from its declaration.
pub(crate) fn declared(sql: &str) -> Vec<usize> {
    if !sql.to_ascii_lowercase().contains("jsonb") {
        return vec![];
    }
    let statement = crate::declare::text::statements(sql).ok().and_then(|mut list| list.pop());
    let columns: Vec<ColumnDef> = match statement.map(|(statement, _)| statement) {
        Some(Parsed::Statement(inner)) => match *inner {
            Statement::CreateTable(create) => create.columns,
            _ => vec![],
        },
        _ => vec![],
    };
    let places = columns.iter().enumerate().filter(|(_, column)| column.data_type == DataType::JSONB);
    places.map(|(place, _)| place).collect()
}

/// The columns of jsonb of a query.
pub(crate) fn columns(plan: &LogicalPlan, relations: &Relations) -> Vec<usize> {
    (0..plan.schema().fields().len()).filter(|column| is_column(plan, *column, relations)).collect()
}

fn is_column(plan: &LogicalPlan, column: usize, relations: &Relations) -> bool {
    let of = |expr: &Expr, input: &LogicalPlan| match expr.clone().unalias() {
        Expr::Column(name) => {
            input.schema().maybe_index_of_column(&name).is_some_and(|i| is_column(input, i, relations))
        }
        made => is_json(&made),
    };
    match plan {
        LogicalPlan::Projection(node) => of(&node.expr[column], &node.input),
        LogicalPlan::Aggregate(node) => node.group_expr.get(column).is_some_and(|expr| of(expr, &node.input)),
        LogicalPlan::Filter(node) => is_column(&node.input, column, relations),
        LogicalPlan::Sort(node) => is_column(&node.input, column, relations),
        LogicalPlan::Limit(node) => is_column(&node.input, column, relations),
        LogicalPlan::SubqueryAlias(node) => is_column(&node.input, column, relations),
        LogicalPlan::Distinct(Distinct::All(input)) => is_column(input, column, relations),
        LogicalPlan::Window(node) => {
            column < node.input.schema().fields().len() && is_column(&node.input, column, relations)
        }
        LogicalPlan::Join(node) if !matches!(node.join_type, JoinType::RightSemi | JoinType::RightAnti) => {
            match column.checked_sub(node.left.schema().fields().len()) {
                None => is_column(&node.left, column, relations),
                Some(column) => {
                    column < node.right.schema().fields().len() && is_column(&node.right, column, relations)
                }
            }
        }
        LogicalPlan::TableScan(scan) => {
            let full = scan.projection.as_ref().map_or(column, |list| list[column]);
            relations.get(scan.table_name.table()).is_some_and(|relation| relation.jsonb.contains(&full))
        }
        _ => false,
    }
}

/// A relation that tells which of its columns are jsonb, and its key where that is asked for.
pub(super) struct Told {
    relation: Arc<Relation>,
    schema: SchemaRef,
    key: Option<Constraints>,
}

impl Told {
    pub(super) fn new(relation: &Arc<Relation>, key: Option<Constraints>) -> Told {
        let mark = |(place, field): (usize, &Arc<Field>)| match relation.jsonb.contains(&place) {
            true => {
                let metadata = [(MARK.to_string(), String::new())].into_iter().collect();
                Arc::new(field.as_ref().clone().with_metadata(metadata))
            }
            false => field.clone(),
        };
        let schema = match relation.jsonb.is_empty() {
            true => relation.schema.clone(),
            false => {
                let fields = relation.schema.fields().iter().enumerate().map(mark);
                Arc::new(Schema::new(fields.collect::<Vec<_>>()))
            }
        };
        Told { relation: relation.clone(), schema, key }
    }
}

impl TableSource for Told {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.key.as_ref()
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.relation.get_logical_plan()
    }
}

/// The plan without these marks, which nothing after the planner knows.
pub(super) fn forgotten(plan: LogicalPlan, told: bool) -> Result<LogicalPlan> {
    if !told {
        return Ok(plan);
    }
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(scan) => {
            let source: Option<Arc<Relation>> =
                (scan.source.as_ref() as &dyn Any).downcast_ref::<Told>().map(|told| told.relation.clone());
            let Some(source) = source else { return Ok(Transformed::no(LogicalPlan::TableScan(scan))) };
            let scan = TableScanBuilder::new(scan.table_name, source)
                .with_projection(scan.projection)
                .with_filters(scan.filters)
                .with_fetch(scan.fetch)
                .build()?;
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        node => node.recompute_schema().map(Transformed::yes),
    })?;
    Ok(plan.data)
}
