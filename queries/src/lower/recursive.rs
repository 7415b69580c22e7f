//! WITH RECURSIVE and WITH MUTUALLY RECURSIVE.
//!
//! The first is DataFusion's `RecursiveQuery`, with PostgreSQL's working table: each round applies the recursive term to the rows that
//! the round before it added. The second is a node of our own ([`Mutual`]): each round computes every relation anew from what the
//! relations hold, beginning with nothing.
use super::planner::{Names, Relations};
use super::{Lowered, Lowering, renamed};
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use crate::declare::mutual;
use arrow::datatypes::{DataType, SchemaRef};
use dataflows::Plan;
use dataflows::plan::{Binding, Limit, Rounds, spelled_out};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef, Result, TableReference};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, RecursiveQuery, TableScan, TableSource,
    UserDefinedLogicalNodeCore, cast,
};
use datafusion::sql::planner::SqlToRel;
use datafusion::sql::sqlparser::ast::{self, ColumnDef, GroupByExpr, Ident, Query, SelectItem, SetExpr};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a relation of a WITH MUTUALLY RECURSIVE holds, as its bodies read it.
pub(crate) struct Held {
    schema: SchemaRef,
}

impl TableSource for Held {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// The name of the relation of a recursion that a scan reads; none if it reads a table or a view.
pub(crate) fn held(scan: &TableScan) -> Option<&str> {
    let own = scan.source.downcast_ref::<Held>().is_some();
    let working =
        || source_as_provider(&scan.source).is_ok_and(|t| t.downcast_ref::<CteWorkTable>().is_some());
    (own || working()).then(|| scan.table_name.table())
}

/// The rows of one relation of a WITH MUTUALLY RECURSIVE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mutual {
    /// The relations.
    pub(crate) names: Vec<String>,
    /// Their columns.
    pub(crate) schemas: Vec<SchemaRef>,
    /// Their queries.
    pub(crate) bodies: Vec<LogicalPlan>,
    /// Which of them it is.
    pub(crate) output: usize,
    /// The greatest number of rounds.
    pub(crate) rounds: u64,
    /// Whether what is held then is the answer.
    pub(crate) returns: bool,
    schema: DFSchemaRef,
}

impl PartialOrd for Mutual {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        let order = (&self.names, self.output, &self.bodies).partial_cmp(&(
            &other.names,
            other.output,
            &other.bodies,
        ));
        order.filter(|order| order.is_ne() || self == other)
    }
}

impl UserDefinedLogicalNodeCore for Mutual {
    fn name(&self) -> &str {
        "MutuallyRecursive"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        self.bodies.iter().collect()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "MutuallyRecursive: {} of {}", self.names[self.output], self.names.join(", "))
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Mutual> {
        Ok(Mutual { bodies: inputs, ..self.clone() })
    }
}

/// Plans a query over the relations of a WITH MUTUALLY RECURSIVE.
pub(super) fn planned(
    query: Query,
    mutual: mutual::Mutual,
    relations: &Relations,
) -> std::result::Result<LogicalPlan, DeclareError> {
    let mut held: BTreeMap<String, Arc<Held>> = BTreeMap::new();
    let (mut names, mut queries) = (vec![], vec![]);
    for relation in mutual.relations {
        let name = crate::declare::normalized(&relation.alias.name);
        let columns = relation.alias.columns.iter().map(|column| {
            let data_type = column.data_type.clone().ok_or_else(|| untyped(&name))?;
            Ok(ColumnDef { name: column.name.clone(), data_type, options: vec![] })
        });
        let columns = columns.collect::<std::result::Result<Vec<_>, DeclareError>>()?;
        if columns.is_empty() {
            return Err(untyped(&name));
        }
        let nothing = BTreeMap::new();
        let schema = SqlToRel::new(&Names { relations, held: &nothing, keyed: false })
            .build_schema(columns)
            .map_err(from_datafusion)?;
        if held.insert(name.clone(), Arc::new(Held { schema: Arc::new(schema) })).is_some() {
            return Err(DeclareError::Invalid(format!(
                "WITH MUTUALLY RECURSIVE names {name:?} twice: rename one"
            )));
        }
        names.push(name);
        let mut query = relation.query;
        let columns: Vec<Ident> = relation.alias.columns.into_iter().map(|column| column.name).collect();
        name_terms(&mut query.body, &columns);
        queries.push(query);
    }
    let sources = Names { relations, held: &held, keyed: false };
    let plan = |query: Query| super::planner::planned(query, &sources);
    let schemas: Vec<SchemaRef> = names.iter().map(|name| held[name].schema.clone()).collect();
    let bodies = names
        .iter()
        .zip(queries)
        .zip(&schemas)
        .map(|((name, query), schema)| declared(name, plan(*query)?, schema));
    let bodies = bodies.collect::<std::result::Result<Vec<_>, _>>()?;
    let result = plan(query)?;
    let replaced = result.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        if scan.source.downcast_ref::<Held>().is_none() {
            return Ok(Transformed::no(node));
        }
        let name = scan.table_name.table();
        let output =
            names.iter().position(|known| known == name).expect("every name that is held was declared");
        let schema = DFSchema::try_from_qualified_schema(TableReference::bare(name), &schemas[output])?;
        let node = Mutual {
            names: names.clone(),
            schemas: schemas.clone(),
            bodies: bodies.clone(),
            output,
            rounds: mutual.limit.rounds,
            returns: mutual.limit.returns,
            schema: Arc::new(schema),
        };
        let node = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(Transformed::new(node, true, TreeNodeRecursion::Jump))
    });
    Ok(replaced.map_err(from_datafusion)?.data)
}

/// The query with the declared names of a recursive relation on the columns of its terms: DataFusion wants each name once, and
/// calls a column and a cast of it the same.
pub(super) fn named(mut query: Query) -> Query {
    let with = query.with.iter_mut().filter(|with| with.recursive);
    for relation in with.flat_map(|with| &mut with.cte_tables) {
        let names: Vec<Ident> = relation.alias.columns.iter().map(|column| column.name.clone()).collect();
        name_terms(&mut relation.query.body, &names);
        if let SetExpr::SetOperation { left, .. } = relation.query.body.as_mut() {
            widen_numbers(left);
        }
    }
    query
}

/// A number with a point has as many digits as it is written with, and so had all that follow from it: the terms of a recursion have one
/// type. PostgreSQL's has no such limit.
fn widen_numbers(body: &mut SetExpr) {
    let select = match body {
        SetExpr::Select(select) => select,
        SetExpr::Query(query) => return widen_numbers(&mut query.body),
        _ => return,
    };
    for item in &mut select.projection {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
        if is_number(expr) == Some(true)
            && let Ok(wide) = crate::rewrite::expression(&format!("CAST({expr} AS NUMERIC(38, 16))"))
        {
            *expr = wide;
        }
    }
}

/// Whether an expression of numbers only has one with a point; none if it has anything else.
fn is_number(expr: &ast::Expr) -> Option<bool> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(number, _) => Some(number.to_string().contains('.')),
            _ => None,
        },
        ast::Expr::Nested(inner) | ast::Expr::UnaryOp { expr: inner, .. } => is_number(inner),
        ast::Expr::BinaryOp { left, right, .. } => Some(is_number(left)? | is_number(right)?),
        _ => None,
    }
}

fn name_terms(body: &mut SetExpr, names: &[Ident]) {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            name_terms(left, names);
            name_terms(right, names);
        }
        SetExpr::Select(select) if select.projection.len() == names.len() => {
            // A new name could hide the column that a GROUP BY means.
            if select.group_by != GroupByExpr::Expressions(vec![], vec![]) {
                return;
            }
            for (item, name) in select.projection.iter_mut().zip(names) {
                if let SelectItem::UnnamedExpr(expr) = item {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: name.clone() };
                }
            }
        }
        _ => {}
    }
}

fn untyped(name: &str) -> DeclareError {
    DeclareError::Invalid(format!(
        "WITH MUTUALLY RECURSIVE must say the columns of {name:?} with their types: write {name} (id INT, name TEXT) AS (..)"
    ))
}

/// A body with the columns that its relation was declared with.
fn declared(
    name: &str,
    body: LogicalPlan,
    schema: &SchemaRef,
) -> std::result::Result<LogicalPlan, DeclareError> {
    let have = body.schema();
    if have.fields().len() != schema.fields().len() {
        return Err(DeclareError::Invalid(format!(
            "{name:?} is declared with {} columns, and its query gives {}",
            schema.fields().len(),
            have.fields().len()
        )));
    }
    let mut list = vec![];
    for ((column, field), wanted) in have.columns().into_iter().zip(have.fields()).zip(schema.fields()) {
        if !widens(field.data_type(), wanted.data_type()) {
            return Err(DeclareError::Invalid(format!(
                "column {:?} of {name:?} is declared {}, and its query gives {}: add a CAST",
                wanted.name(),
                wanted.data_type(),
                field.data_type()
            )));
        }
        list.push(cast(Expr::Column(column), wanted.data_type().clone()).alias(wanted.name()));
    }
    LogicalPlanBuilder::from(body).project(list).and_then(LogicalPlanBuilder::build).map_err(from_datafusion)
}

/// Whether every value of a type is one of another, or fails to be one: nothing is rounded.
fn widens(from: &DataType, to: &DataType) -> bool {
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match (from, to) {
        (a, b) if a == b || (text(a) && text(b)) => true,
        (DataType::Null, _) => true,
        (a, b) if a.is_integer() => {
            b.is_integer() || b.is_floating() || matches!(b, DataType::Decimal128(..))
        }
        (DataType::Decimal128(_, a), DataType::Decimal128(_, b)) => a <= b,
        (DataType::Decimal128(..), b) => b.is_floating(),
        (DataType::Float32, DataType::Float64) => true,
        (DataType::Timestamp(_, a), DataType::Timestamp(_, b)) => a.is_some() == b.is_some(),
        _ => false,
    }
}

/// Why a WITH RECURSIVE cannot be maintained, in the words of its author.
pub(super) fn refusal(query: &RecursiveQuery) -> Option<String> {
    let mut references = 0;
    let counted = query.recursive_term.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            references += usize::from(held(scan) == Some(&query.name));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    counted.expect("the closure does not fail");
    (references > 1).then(|| {
        format!(
            "the recursive term of {:?} names it {references} times, and PostgreSQL allows that once: write WITH MUTUALLY RECURSIVE {} (column type, ..) AS (..)",
            query.name, query.name
        )
    })
}

impl Lowering<'_> {
    /// WITH RECURSIVE.
    pub(super) fn recursive(&self, query: &RecursiveQuery) -> std::result::Result<Lowered, DeclareError> {
        let schema: SchemaRef = Arc::new(query.schema.as_arrow().clone());
        let part = |plan: &LogicalPlan| -> std::result::Result<Plan, DeclareError> {
            let plan = spelled_out(renamed(self.lower(plan)?.plan, schema.clone()));
            let (have, want) = (plan.schema(), &schema);
            match have.fields().iter().zip(want.fields()).find(|(a, b)| a.data_type() != b.data_type()) {
                None => Ok(plan),
                Some((a, b)) => Err(DeclareError::Invalid(format!(
                    "the recursive term of {:?} gives {} for column {:?}, and the other term {}: add a CAST",
                    query.name,
                    a.data_type(),
                    b.name(),
                    b.data_type()
                ))),
            }
        };
        let (base, step) = (part(&query.static_term)?, part(&query.recursive_term)?);
        if !dies(&step) {
            return Err(DeclareError::Unsupported(format!(
                "the recursive term of {:?} gives rows even where there are none to go on from, by an outer join or an aggregate: join {} by an inner join",
                query.name, query.name
            )));
        }
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let (body, rounds) = match query.is_distinct {
            false => (step, Rounds::Added { base: Box::new(base) }),
            true if is_linear(&step) => {
                let both = Plan::Union { inputs: vec![base, step], schema: schema.clone() };
                (Plan::Distinct(Box::new(both)), Rounds::Replaced)
            }
            true => (step, Rounds::New { base: Box::new(base) }),
        };
        let binding = Binding { name: query.name.as_str().into(), schema, body, rounds };
        let plan = Plan::Recursive { bindings: vec![binding], output: 0, limit: Limit::DEFAULT };
        Ok(Lowered { plan, key: query.is_distinct.then_some(all) })
    }

    /// One relation of a WITH MUTUALLY RECURSIVE.
    pub(super) fn mutual(&self, node: &Mutual) -> std::result::Result<Lowered, DeclareError> {
        let binding = |((name, body), schema): ((&String, &LogicalPlan), &SchemaRef)| {
            let body = spelled_out(renamed(self.lower(body)?.plan, schema.clone()));
            Ok(Binding { name: name.as_str().into(), schema: schema.clone(), body, rounds: Rounds::Replaced })
        };
        let bindings = node.names.iter().zip(&node.bodies).zip(&node.schemas).map(binding);
        let bindings = bindings.collect::<std::result::Result<Vec<_>, DeclareError>>()?;
        let limit = Limit { rounds: node.rounds, returns: node.returns };
        Ok(Lowered { plan: Plan::Recursive { bindings, output: node.output, limit }, key: None })
    }
}

/// Whether a plan gives no rows where the relation that it reads has none.
fn dies(plan: &Plan) -> bool {
    match plan {
        Plan::Local { .. } => true,
        Plan::Values { rows } => rows.num_rows() == 0,
        Plan::Map { input, .. } | Plan::Negate(input) | Plan::Distinct(input) | Plan::TopK { input, .. } => {
            dies(input)
        }
        Plan::Aggregate { input, group, .. } => !group.is_empty() && dies(input),
        Plan::Union { inputs, .. } => inputs.iter().all(dies),
        Plan::Join { left, right, .. } => dies(left) || dies(right),
        Plan::Matched { left, joined } => dies(left) || dies(joined),
        Plan::Get { .. }
        | Plan::Recursive { .. }
        | Plan::Outer { .. }
        | Plan::Bag { .. }
        | Plan::Cross { .. }
        | Plan::Flatten { .. }
        | Plan::Temporal { .. }
        | Plan::Window { .. } => false,
    }
}

/// Whether each row of a plan comes of one row of the relation: then it is the same to go on from the new rows or from all.
fn is_linear(plan: &Plan) -> bool {
    match plan {
        Plan::Local { .. } => true,
        Plan::Map { input, .. } | Plan::Distinct(input) => is_linear(input),
        Plan::Union { inputs, .. } => inputs.iter().all(is_linear),
        Plan::Join { left, right, .. } => match (left.is_open(), right.is_open()) {
            (true, false) => is_linear(left),
            (false, true) => is_linear(right),
            _ => false,
        },
        Plan::Matched { left, joined } => !joined.is_open() && is_linear(left),
        Plan::Values { rows } => rows.num_rows() == 0,
        Plan::Get { .. }
        | Plan::Recursive { .. }
        | Plan::Negate(_)
        | Plan::Aggregate { .. }
        | Plan::Outer { .. }
        | Plan::Bag { .. }
        | Plan::Cross { .. }
        | Plan::Flatten { .. }
        | Plan::Temporal { .. }
        | Plan::Window { .. }
        | Plan::TopK { .. } => false,
    }
}
