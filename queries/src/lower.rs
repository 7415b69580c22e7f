//! A query to a [`Plan`]: DataFusion plans, types and optimises it, we lower what is left to what a dataflow can maintain.
//!
//! The order of a view's rows is kept as [`Compiled::order`] for those who print them; a set of rows has none, so an ORDER BY without
//! LIMIT means nothing else.
mod aggregate;
mod asof;
pub(crate) mod clock;
mod fetch;
mod flatten;
mod intervals;
mod join;
mod json;
mod lateral;
mod lists;
mod map;
pub(crate) mod names;
mod nulls;
mod ordered;
pub(crate) mod planner;
pub(crate) mod recursive;
mod refuse;
pub(crate) mod repeated;
mod sets;
mod size;
pub(crate) mod spelled;
mod subquery;
mod temporal;
pub(crate) mod ties;
pub(crate) mod told;
mod top;
mod unions;
mod using;
mod window;
pub(crate) mod windowed;

use crate::DeclareError;
use crate::declare::error::from_datafusion;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflows::plan::Order;
use dataflows::{Plan, View};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{
    Distinct, Expr, LogicalPlan, LogicalPlanBuilder, Projection, TableScan, Union, cast,
};
use datafusion::sql::sqlparser::ast::Query;
use planner::Relations;
use std::sync::Arc;

/// A query that can be maintained.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What readers know of it.
    pub view: Arc<View>,
    /// Columns that no two rows share, as the query itself shows; none where it does not. A declared key promises nothing here.
    pub unique: Option<Vec<usize>>,
    /// What the dataflow keeps.
    pub plan: Arc<Plan>,
    /// The query with names resolved, types made equal and orders made total: what the batch oracle starts from.
    pub logical: LogicalPlan,
    /// What was lowered.
    pub optimised: LogicalPlan,
    /// The ORDER BY at the top, over the view's columns, as far as it is over them.
    pub order: Vec<Order>,
}

/// Compiles a query. `key_of` knows the columns that identify a row of a table or a materialized view.
pub(crate) fn compile(
    name: &Arc<str>,
    sql: &Arc<str>,
    query: Query,
    key: Option<&[String]>,
    relations: &Relations,
    key_of: &dyn Fn(&str) -> Option<Vec<usize>>,
) -> Result<Compiled, DeclareError> {
    let written = planner::plan(query, relations)?;
    refuse::refuse(&written)?;
    let order = order_of(&written);
    let typed = planner::analyse(windowed::said(written)?)?;
    let schema = view_schema(name, typed.schema())?;
    let typed = with_types(typed, &schema)?;
    let logical = ties::total(typed).map_err(from_datafusion)?;
    let optimised = planner::optimise(logical.clone())?;
    let optimised = lateral::crossed(optimised).and_then(clock::joined).map_err(from_datafusion)?;
    let lowered = Lowering { key_of }.lower(&optimised)?;
    let plan = renamed(lowered.plan, schema.clone());
    let unique = lowered.key;
    let key = match (key, &unique) {
        (Some(names), _) => declared_key(name, &schema, names)?,
        (None, Some(key)) if !key.is_empty() => key.clone(),
        (None, _) => (0..schema.fields().len()).collect(),
    };
    let view = Arc::new(View { name: name.clone(), schema, key, sql: sql.clone() });
    Ok(Compiled { view, unique, plan: Arc::new(plan), logical, optimised, order })
}

/// The query of a view that is only a name for it: resolved, and refused here where no use of it could be maintained.
pub(crate) fn inlined(name: &str, query: Query, relations: &Relations) -> Result<LogicalPlan, DeclareError> {
    let written = planner::plan(query, relations)?;
    refuse::refuse(&written)?;
    let written = windowed::said(written)?;
    view_schema(name, written.schema())?;
    Ok(written)
}

/// The columns of a view: types that every reader knows, and each name once.
fn view_schema(view: &str, schema: &DFSchema) -> Result<SchemaRef, DeclareError> {
    let mut names = std::collections::HashSet::new();
    let mut fields = vec![];
    for field in schema.fields() {
        let name = names::plain(field.name());
        if !names.insert(name.clone()) {
            return Err(DeclareError::Invalid(format!(
                "view {view:?} has the column {name:?} twice: name one of them with AS"
            )));
        }
        fields.push(Field::new(name, common_type(field.data_type()), field.is_nullable()));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn common_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => common_type(values),
        other => other.clone(),
    }
}

/// The plan with a projection on top where its types are not those of the view.
fn with_types(plan: LogicalPlan, schema: &SchemaRef) -> Result<LogicalPlan, DeclareError> {
    let have = plan.schema().fields().iter();
    if have.zip(schema.fields()).all(|(have, want)| have.data_type() == want.data_type()) {
        return Ok(plan);
    }
    let columns = plan.schema().columns();
    let list = columns.into_iter().zip(schema.fields()).map(|(column, field)| {
        let name = column.name.clone();
        cast(Expr::Column(column), field.data_type().clone()).alias(name)
    });
    let list: Vec<Expr> = list.collect();
    LogicalPlanBuilder::from(plan).project(list).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

fn declared_key(view: &str, schema: &SchemaRef, names: &[String]) -> Result<Vec<usize>, DeclareError> {
    let mut key = vec![];
    for name in names {
        let index = schema.index_of(name).map_err(|_| {
            let known: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            DeclareError::Invalid(format!(
                "the key of view {view:?} names {name:?}, which is no column of it: there are {}",
                known.join(", ")
            ))
        })?;
        if !key.contains(&index) {
            key.push(index);
        }
    }
    if key.is_empty() {
        return Err(DeclareError::Invalid(format!(
            "the key of view {view:?} names no column: leave WITH (key = ..) out"
        )));
    }
    Ok(key)
}

/// The order at the top of a query, as far as it is by its own columns.
fn order_of(plan: &LogicalPlan) -> Vec<Order> {
    let names = plan.schema().columns();
    let mut below = plan;
    let sort = loop {
        below = match below {
            LogicalPlan::Sort(sort) => break sort,
            LogicalPlan::Limit(limit) => &limit.input,
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => return vec![],
        };
    };
    let place = |expr: &Expr| match expr {
        Expr::Column(column) => names.iter().position(|known| known.name == column.name),
        _ => None,
    };
    sort.expr
        .iter()
        .map_while(|sort| {
            let column = place(&sort.expr)?;
            Some(Order { column, descending: !sort.asc, nulls_first: sort.nulls_first })
        })
        .collect()
}

/// A plan, and the columns that identify a row of it; an empty list: it has one row at most.
struct Lowered {
    plan: Plan,
    key: Option<Vec<usize>>,
}

impl Lowered {
    fn is_single(&self) -> bool {
        self.key.as_ref().is_some_and(Vec::is_empty)
    }
}

struct Lowering<'a> {
    key_of: &'a dyn Fn(&str) -> Option<Vec<usize>>,
}

/// The same columns under the names of `schema`.
fn renamed(plan: Plan, schema: SchemaRef) -> Plan {
    let have = plan.schema();
    let project = (0..have.fields().len()).map(|i| map::column(&have, i)).collect();
    map::map(plan, None, Some(project), schema)
}

impl Lowering<'_> {
    /// Lowers a plan to one with the same columns in the same order.
    fn lower(&self, plan: &LogicalPlan) -> Result<Lowered, DeclareError> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.lower(&alias.input),
            LogicalPlan::Unnest(node) => self.unnest(node),
            LogicalPlan::Projection(projection) if clock::is_clock(&projection.input) => {
                self.of_clock(projection)
            }
            LogicalPlan::Projection(projection) => {
                let input = self.lower(&projection.input)?;
                self.project(input, projection)
            }
            LogicalPlan::Filter(filter) => self.filter(&filter.predicate, &filter.input),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let all = (0..input.schema().fields().len()).collect();
                let input = self.lower(input)?;
                match input.key {
                    Some(key) => Ok(Lowered { plan: input.plan, key: Some(key) }),
                    None => Ok(Lowered { plan: Plan::Distinct(Box::new(input.plan)), key: Some(all) }),
                }
            }
            LogicalPlan::Aggregate(node) => self.aggregate(node),
            LogicalPlan::Join(node) => self.join(node),
            LogicalPlan::Limit(node) => self.limit(node),
            LogicalPlan::Sort(sort) => match sort.fetch {
                Some(limit) => self.top_of_sort(&sort.input, &sort.expr, limit),
                None => self.lower(&sort.input),
            },
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::EmptyRelation(node) => {
                let rows = usize::from(node.produce_one_row);
                one_row(node.schema.as_arrow(), rows)
            }
            LogicalPlan::Values(node) => constants(node),
            LogicalPlan::RecursiveQuery(query) => self.recursive(query),
            LogicalPlan::Extension(node) if node.node.as_any().is::<recursive::Mutual>() => {
                self.mutual(node.node.as_any().downcast_ref().expect("asked in the guard"))
            }
            other => {
                let text = other.display().to_string();
                let clause = text.split([':', '(', ' ']).next().unwrap_or("this clause").to_string();
                Err(DeclareError::Unsupported(format!(
                    "{clause} cannot be maintained: write the query with SELECT, JOIN, GROUP BY, UNION, DISTINCT and ORDER BY .. LIMIT"
                )))
            }
        }
    }

    fn scan(&self, scan: &TableScan) -> Result<Lowered, DeclareError> {
        let full = scan.source.schema();
        let name: Arc<str> = scan.table_name.table().into();
        let (key, mut plan) = match recursive::held(scan) {
            Some(_) => (None, Plan::Local { name, schema: full.clone() }),
            None => ((self.key_of)(&name), Plan::Get { name, schema: full.clone() }),
        };
        for filter in &scan.filters {
            let schema = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &full)
                .map_err(from_datafusion)?;
            plan = map::map(plan, Some(map::physical(filter, &schema)?), None, full.clone());
        }
        let Some(list) = &scan.projection else { return Ok(Lowered { plan, key }) };
        let key = key.and_then(|key| key.iter().map(|k| list.iter().position(|i| i == k)).collect());
        Ok(Lowered { plan: map::pick(plan, list), key })
    }

    fn filter(&self, predicate: &Expr, input: &LogicalPlan) -> Result<Lowered, DeclareError> {
        if let LogicalPlan::Window(window) = input
            && let Some(kept) = self.numbered(predicate, window)?
        {
            return Ok(kept);
        }
        match input {
            _ if clock::has_now(predicate) => self.temporal(predicate, input),
            LogicalPlan::Projection(projection) if leads_to_window(&projection.input) => {
                let predicate = below(predicate, &projection.schema, &projection.expr)?;
                let kept = self.filter(&predicate, &projection.input)?;
                self.project(kept, projection)
            }
            LogicalPlan::SubqueryAlias(alias) if leads_to_window(&alias.input) => {
                let columns: Vec<Expr> =
                    alias.input.schema().columns().into_iter().map(Expr::Column).collect();
                self.filter(&below(predicate, &alias.schema, &columns)?, &alias.input)
            }
            input => {
                let predicate = map::physical(predicate, input.schema())?;
                let Lowered { plan, key } = self.lower(input)?;
                let schema = plan.schema();
                Ok(Lowered { plan: map::map(plan, Some(predicate), None, schema), key })
            }
        }
    }

    fn project(&self, input: Lowered, projection: &Projection) -> Result<Lowered, DeclareError> {
        let below = projection.input.schema();
        let list =
            projection.expr.iter().map(|expr| map::physical(expr, below)).collect::<Result<Vec<_>, _>>()?;
        let place = |column: &usize| {
            list.iter().position(|expr| {
                let read = expr.downcast_ref::<datafusion::physical_expr::expressions::Column>();
                read.is_some_and(|read| read.index() == *column)
            })
        };
        let key = input.key.and_then(|key| key.iter().map(place).collect());
        let schema = Arc::new(projection.schema.as_arrow().clone());
        Ok(Lowered { plan: map::map(input.plan, None, Some(list), schema), key })
    }

    fn union(&self, node: &Union) -> Result<Lowered, DeclareError> {
        let schema = Arc::new(node.schema.as_arrow().clone());
        let inputs = node
            .inputs
            .iter()
            .map(|input| Ok(renamed(self.lower(input)?.plan, schema.clone())))
            .collect::<Result<Vec<_>, DeclareError>>()?;
        for input in &inputs {
            let same = input
                .schema()
                .fields()
                .iter()
                .zip(schema.fields())
                .all(|(a, b)| a.data_type() == b.data_type());
            if !same {
                return Err(DeclareError::Invalid(
                    "the branches of a UNION have different types: add a CAST".into(),
                ));
            }
        }
        Ok(Lowered { plan: Plan::Union { inputs, schema }, key: None })
    }
}

/// Whether there is nothing but names between a filter and a window.
fn leads_to_window(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Window(_) => true,
        LogicalPlan::Projection(projection) => leads_to_window(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => leads_to_window(&alias.input),
        _ => false,
    }
}

/// An expression over the columns of `schema`, said with what these columns are made of.
fn below(expr: &Expr, schema: &DFSchema, made_of: &[Expr]) -> Result<Expr, DeclareError> {
    let replaced = expr.clone().transform_down(|part| match &part {
        Expr::Column(column) => {
            let index = schema.index_of_column(column)?;
            Ok(Transformed::new(made_of[index].clone().unalias(), true, TreeNodeRecursion::Jump))
        }
        _ => Ok(Transformed::no(part)),
    });
    Ok(replaced.map_err(from_datafusion)?.data)
}

fn one_row(schema: &Schema, rows: usize) -> Result<Lowered, DeclareError> {
    let schema = Arc::new(schema.clone());
    let columns: Vec<ArrayRef> =
        schema.fields().iter().map(|field| arrow::array::new_null_array(field.data_type(), rows)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let rows = RecordBatch::try_new_with_options(schema, columns, &options)
        .map_err(|why| DeclareError::Internal(why.to_string()))?;
    Ok(Lowered { plan: Plan::Values { rows }, key: Some(vec![]) })
}

fn constants(node: &datafusion::logical_expr::Values) -> Result<Lowered, DeclareError> {
    let schema = Arc::new(node.schema.as_arrow().clone());
    let empty = DFSchema::empty();
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let one = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)
        .map_err(|why| DeclareError::Internal(why.to_string()))?;
    let mut columns: Vec<Vec<ArrayRef>> = vec![vec![]; schema.fields().len()];
    for row in &node.values {
        for (expr, column) in row.iter().zip(&mut columns) {
            let value = map::physical(expr, &empty)?.evaluate(&one).and_then(|value| value.into_array(1));
            column.push(value.map_err(from_datafusion)?);
        }
    }
    let columns: Result<Vec<ArrayRef>, _> = columns
        .iter()
        .map(|list| concat(&list.iter().map(|array| array.as_ref()).collect::<Vec<_>>()))
        .collect();
    let rows = columns
        .and_then(|columns| RecordBatch::try_new(schema, columns))
        .map_err(|why| from_datafusion(why.into()))?;
    let key = (rows.num_rows() <= 1).then(Vec::new);
    Ok(Lowered { plan: Plan::Values { rows }, key })
}
