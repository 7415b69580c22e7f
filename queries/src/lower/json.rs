//! Which columns are json, which is text to DataFusion: followed through a query's plan, since `||`, `jsonb_agg` and the functions that
//! build documents mean something else for them.
use super::planner::Relations;
use super::recursive::held;
use crate::functions::{holds_json, json_concat, json_held, to_jsonb};
use arrow::datatypes::DataType as ArrowType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, ExprSchemable, JoinType, LogicalPlan, Operator};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{DataType, Statement};

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    Text,
    /// It may be either.
    Unclear,
}

/// The columns of a relation that are json, and those that may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    json: Vec<usize>,
    unclear: Vec<usize>,
}

/// Those of a table, from its declaration.
pub(crate) fn declared(sql: &str) -> Known {
    if !sql.to_ascii_lowercase().contains("json") {
        return Known::default();
    }
    let statement = crate::declare::text::statements(sql).ok().and_then(|mut list| list.pop());
    let columns = match statement.map(|(statement, _)| statement) {
        Some(Parsed::Statement(inner)) => match *inner {
            Statement::CreateTable(create) => create.columns,
            _ => vec![],
        },
        _ => vec![],
    };
    let is_json = |of: &DataType| matches!(of, DataType::JSON | DataType::JSONB);
    let places = columns.iter().enumerate().filter(|(_, column)| is_json(&column.data_type));
    Known { json: places.map(|(place, _)| place).collect(), unclear: vec![] }
}

/// Those of a query.
pub(crate) fn columns(plan: &LogicalPlan, relations: &Relations) -> Known {
    let mut known = Known::default();
    for column in 0..plan.schema().fields().len() {
        match of_column(plan, column, relations) {
            Kind::Json => known.json.push(column),
            Kind::Unclear => known.unclear.push(column),
            Kind::Text => {}
        }
    }
    known
}

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
        let inputs: Vec<LogicalPlan> = node.inputs().into_iter().cloned().collect();
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

fn is_candidate(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op: Operator::StringConcat, .. }) => true,
        Expr::ScalarFunction(call) => call.name() == VALUE || BUILDERS.contains(&call.name()),
        _ => false,
    }
}

fn meant(expr: Expr, inputs: &[LogicalPlan], relations: &Relations) -> Transformed<Expr> {
    let kind = |expr: &Expr| of(expr, inputs, relations);
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) => {
            let literal = |expr: &Expr| matches!(expr, Expr::Literal(..));
            let (a, b) = (kind(&left), kind(&right));
            let joins = |this: Kind, other: Kind, side: &Expr| {
                this == Kind::Json && (other != Kind::Text || literal(side))
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
                Kind::Json => Transformed::yes(call.args.remove(0)),
                Kind::Text => Transformed::yes(to_jsonb().call(call.args)),
                Kind::Unclear => Transformed::no(Expr::ScalarFunction(call)),
            },
            [value] if kind(value) == Kind::Json => Transformed::yes(call.args.remove(0)),
            _ => Transformed::no(Expr::ScalarFunction(call)),
        },
        Expr::ScalarFunction(mut call) if BUILDERS.contains(&call.name()) => {
            let mut found = false;
            for argument in &mut call.args {
                if kind(argument) == Kind::Json {
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

/// What an expression over these inputs is.
fn of(expr: &Expr, inputs: &[LogicalPlan], relations: &Relations) -> Kind {
    let any = |parts: &mut dyn Iterator<Item = &Expr>| {
        parts.filter(|part| !matches!(part, Expr::Literal(..))).fold(Kind::Text, |found, part| {
            match (found, of(part, inputs, relations)) {
                (Kind::Json, _) | (_, Kind::Json) => Kind::Json,
                (Kind::Text, Kind::Text) => Kind::Text,
                _ => Kind::Unclear,
            }
        })
    };
    match expr {
        Expr::Alias(alias) => of(&alias.expr, inputs, relations),
        Expr::Column(column) => named(column, inputs, relations),
        Expr::OuterReferenceColumn(field, _) => match is_text(field.data_type()) {
            true => Kind::Unclear,
            false => Kind::Text,
        },
        Expr::ScalarFunction(call) => match call.name() {
            "coalesce" | "nullif" | "greatest" | "least" | "nvl" => any(&mut call.args.iter()),
            "__jsonb_elements" | "__json_elements" | "__jsonb_values" | "__json_values" => Kind::Json,
            _ if holds_json(expr) => Kind::Json,
            _ => Kind::Text,
        },
        Expr::Case(case) => {
            let parts = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            any(&mut parts.chain(case.else_expr.as_deref()))
        }
        Expr::AggregateFunction(call)
            if matches!(call.func.name(), "first_value" | "last_value" | "min" | "max") =>
        {
            any(&mut call.params.args.iter())
        }
        Expr::WindowFunction(call)
            if matches!(call.fun.name(), "first_value" | "last_value" | "nth_value" | "lag" | "lead") =>
        {
            any(&mut call.params.args.iter().take(1))
        }
        Expr::ScalarSubquery(subquery) => of_column(&subquery.subquery, 0, relations),
        _ => Kind::Text,
    }
}

fn is_text_of(expr: &Expr, inputs: &[LogicalPlan]) -> bool {
    inputs.iter().any(|input| expr.get_type(input.schema()).is_ok_and(|of| is_text(&of)))
}

fn named(column: &Column, inputs: &[LogicalPlan], relations: &Relations) -> Kind {
    let found = inputs
        .iter()
        .find_map(|input| input.schema().maybe_index_of_column(column).map(|place| (input, place)));
    found.map_or(Kind::Unclear, |(input, place)| of_column(input, place, relations))
}

fn is_text(data_type: &ArrowType) -> bool {
    match data_type {
        ArrowType::List(of) => is_text(of.data_type()),
        ArrowType::Utf8 | ArrowType::Utf8View | ArrowType::LargeUtf8 => true,
        _ => false,
    }
}

/// What a column of a plan is.
fn of_column(plan: &LogicalPlan, column: usize, relations: &Relations) -> Kind {
    if !is_text(plan.schema().field(column).data_type()) {
        return Kind::Text;
    }
    let below = |input: &LogicalPlan, column: usize| of_column(input, column, relations);
    let made = |expr: &Expr, input: &LogicalPlan| of(expr, std::slice::from_ref(input), relations);
    match plan {
        LogicalPlan::Projection(node) => made(&node.expr[column], &node.input),
        LogicalPlan::Aggregate(node) => match node.group_expr.iter().chain(&node.aggr_expr).nth(column) {
            Some(Expr::GroupingSet(_)) | None => Kind::Unclear,
            Some(expr) => made(expr, &node.input),
        },
        LogicalPlan::Window(node) => match column.checked_sub(node.input.schema().fields().len()) {
            None => below(&node.input, column),
            Some(place) => made(&node.window_expr[place], &node.input),
        },
        LogicalPlan::Filter(node) => below(&node.input, column),
        LogicalPlan::Sort(node) => below(&node.input, column),
        LogicalPlan::Limit(node) => below(&node.input, column),
        LogicalPlan::SubqueryAlias(node) => below(&node.input, column),
        LogicalPlan::Subquery(node) => below(&node.subquery, column),
        LogicalPlan::Distinct(Distinct::All(input)) => below(input, column),
        LogicalPlan::Distinct(Distinct::On(node)) => made(&node.select_expr[column], &node.input),
        LogicalPlan::Unnest(node) => {
            node.dependency_indices.get(column).map_or(Kind::Unclear, |i| below(&node.input, *i))
        }
        LogicalPlan::Union(node) => {
            let mut kinds = node.inputs.iter().map(|input| below(input, column));
            let first = kinds.next().unwrap_or(Kind::Text);
            if kinds.all(|kind| kind == first) { first } else { Kind::Unclear }
        }
        LogicalPlan::Join(node) => {
            let left = node.left.schema().fields().len();
            match (node.join_type, column.checked_sub(left)) {
                (JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark, _) => Kind::Unclear,
                (_, None) => below(&node.left, column),
                (_, Some(place)) if place < node.right.schema().fields().len() => below(&node.right, place),
                _ => Kind::Unclear,
            }
        }
        LogicalPlan::TableScan(scan) => {
            let full = scan.projection.as_ref().map_or(column, |list| list[column]);
            match relations.get(scan.table_name.table()).filter(|_| held(scan).is_none()) {
                Some(relation) if relation.json.json.contains(&full) => Kind::Json,
                Some(relation) if !relation.json.unclear.contains(&full) => Kind::Text,
                _ => Kind::Unclear,
            }
        }
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => Kind::Text,
        _ => Kind::Unclear,
    }
}
