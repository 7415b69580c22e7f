//! What a column of text is to PostgreSQL: json, jsonb, uuid, `char(n)`, `varchar(n)` or text, which are all text to DataFusion. It is
//! followed through a query's plan, from the declarations of tables and the functions that make such values.
use super::planner::Relations;
use super::recursive::held;
use crate::functions::holds_json;
use arrow::datatypes::{DataType as ArrowType, Field};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, ExprSchemable, JoinType, LogicalPlan};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{CharacterLength, DataType, Statement};
use std::collections::BTreeMap;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Jsonb,
    Uuid,
    /// Blanks at its end do not count; it is as long as this.
    Bpchar(u32),
    /// At most as long as this, where there is a bound.
    Varchar(Option<u32>),
    Text,
    /// It may be one of several.
    Unclear,
}

impl Kind {
    /// Its name and length, as [`PG_TYPE`] says them.
    fn name(self) -> Option<String> {
        Some(match self {
            Kind::Json => "json".into(),
            Kind::Jsonb => "jsonb".into(),
            Kind::Uuid => "uuid".into(),
            Kind::Bpchar(length) => format!("bpchar:{length}"),
            Kind::Varchar(Some(length)) => format!("varchar:{length}"),
            Kind::Varchar(None) => "varchar".into(),
            Kind::Text | Kind::Unclear => return None,
        })
    }

    /// Whether it is a document.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Kind::Json | Kind::Jsonb)
    }

    /// What two of them have in common.
    fn with(self, other: Kind) -> Kind {
        match (self, other) {
            (a, b) if a == b => a,
            (Kind::Jsonb, _) | (_, Kind::Jsonb) => Kind::Jsonb,
            (Kind::Json, _) | (_, Kind::Json) => Kind::Json,
            (Kind::Unclear, _) | (_, Kind::Unclear) => Kind::Unclear,
            (Kind::Varchar(_), Kind::Varchar(_)) => Kind::Varchar(None),
            _ => Kind::Text,
        }
    }
}

/// The columns of a relation that are not text or may not be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(BTreeMap<usize, Kind>);

/// The entry of a field's metadata that says what a text is.
pub(crate) const PG_TYPE: &str = "pg.type";

impl Known {
    /// The same field, which says what it is.
    pub(crate) fn said(&self, column: usize, field: Field) -> Field {
        match self.kind(column).name() {
            Some(name) => field.with_metadata([(PG_TYPE.to_string(), name)].into()),
            None => field,
        }
    }

    /// Whether there is jsonb among them.
    pub(super) fn holds_jsonb(&self) -> bool {
        self.0.values().any(|kind| *kind == Kind::Jsonb)
    }

    /// What a column is.
    pub(crate) fn kind(&self, column: usize) -> Kind {
        self.0.get(&column).copied().unwrap_or(Kind::Text)
    }
}

/// Those of a table, from its declaration.
pub(crate) fn declared(sql: &str) -> Known {
    let lower = sql.to_ascii_lowercase();
    if !["json", "uuid", "char"].iter().any(|word| lower.contains(word)) {
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
    let kinds = columns.iter().enumerate().map(|(place, column)| (place, written(&column.data_type)));
    Known(kinds.filter(|(_, kind)| *kind != Kind::Text).collect())
}

/// What a type of SQL is among the texts.
fn written(sql: &DataType) -> Kind {
    let length = |length: &Option<CharacterLength>| match length {
        Some(CharacterLength::IntegerLength { length, .. }) => u32::try_from(*length).ok(),
        Some(CharacterLength::Max) | None => None,
    };
    match sql {
        DataType::JSON => Kind::Json,
        DataType::JSONB => Kind::Jsonb,
        DataType::Uuid => Kind::Uuid,
        DataType::Char(of) | DataType::Character(of) => Kind::Bpchar(length(of).unwrap_or(1)),
        DataType::Varchar(of)
        | DataType::CharacterVarying(of)
        | DataType::CharVarying(of)
        | DataType::Nvarchar(of) => Kind::Varchar(length(of)),
        _ => Kind::Text,
    }
}

/// The parameters of a query that stand beside a uuid or jsonb.
pub(crate) fn parameters(plan: &LogicalPlan, relations: &Relations) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // Nothing of it fails.
    _ = plan.apply_with_subqueries(|node| {
        let inputs = node.inputs();
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                let sides = match part {
                    Expr::BinaryExpr(BinaryExpr { left, right, .. }) => vec![left.as_ref(), right.as_ref()],
                    Expr::InList(list) => std::iter::once(list.expr.as_ref()).chain(&list.list).collect(),
                    _ => vec![],
                };
                let mut kinds = sides.iter().map(|side| of(side, &inputs, relations));
                let kind = kinds.find(|kind| *kind == Kind::Uuid).and_then(Kind::name);
                for side in sides {
                    if let (Expr::Placeholder(parameter), Some(kind)) = (side, &kind) {
                        found.insert(parameter.id.clone(), kind.clone());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found
}

/// Those of a query.
pub(crate) fn columns(plan: &LogicalPlan, relations: &Relations) -> Known {
    let places = 0..plan.schema().fields().len();
    let kinds = places.map(|place| (place, of_column(plan, place, relations)));
    Known(kinds.filter(|(_, kind)| *kind != Kind::Text).collect())
}

/// What an expression over these inputs is.
pub(super) fn of(expr: &Expr, inputs: &[&LogicalPlan], relations: &Relations) -> Kind {
    let any = |parts: &mut dyn Iterator<Item = &Expr>| {
        let parts = parts.filter(|part| !matches!(part, Expr::Literal(..)));
        let kinds = parts.map(|part| of(part, inputs, relations));
        kinds.reduce(Kind::with).unwrap_or(Kind::Text)
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
            "__jsonb_elements" | "__jsonb_values" | "__jsonb_path_elements" => Kind::Jsonb,
            "__json_elements" | "__json_values" => Kind::Json,
            "json_element" | "json_path" => match call.args.first().map(|of| self::of(of, inputs, relations))
            {
                Some(Kind::Json) => Kind::Json,
                _ => Kind::Jsonb,
            },
            "json" | "to_json" | "__json_row" | "json_build_object" | "json_build_array" => Kind::Json,
            "jsonb_array_length" => Kind::Text,
            _ if holds_json(expr) => Kind::Jsonb,
            "uuid_in" | "gen_random_uuid" => Kind::Uuid,
            "__bpchar" => sized(&call.args).map_or(Kind::Text, Kind::Bpchar),
            "__varchar" => Kind::Varchar(sized(&call.args)),
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

pub(super) fn is_text_of(expr: &Expr, inputs: &[&LogicalPlan]) -> bool {
    inputs.iter().any(|input| expr.get_type(input.schema()).is_ok_and(|of| is_text(&of)))
}

fn named(column: &Column, inputs: &[&LogicalPlan], relations: &Relations) -> Kind {
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

/// Whether a column is a constant without a type of its own.
fn is_written(plan: &LogicalPlan, column: usize) -> bool {
    let LogicalPlan::Projection(node) = plan else { return false };
    matches!(node.expr[column].clone().unalias(), Expr::Literal(..))
}

/// The length that a cast to a type of characters says.
fn sized(arguments: &[Expr]) -> Option<u32> {
    match arguments.get(1) {
        Some(Expr::Literal(ScalarValue::Int64(Some(length)), _)) => u32::try_from(*length).ok(),
        _ => None,
    }
}

/// What a column of a plan is.
fn of_column(plan: &LogicalPlan, column: usize, relations: &Relations) -> Kind {
    if !is_text(plan.schema().field(column).data_type()) {
        return Kind::Text;
    }
    let below = |input: &LogicalPlan, column: usize| of_column(input, column, relations);
    let made = |expr: &Expr, input: &LogicalPlan| of(expr, &[input], relations);
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
            // A text that is only written has the type of the others.
            let typed = node.inputs.iter().filter(|input| !is_written(input, column));
            let kinds = typed.map(|input| below(input, column));
            kinds.reduce(|a, b| if a == b { a } else { Kind::Unclear }).unwrap_or(Kind::Text)
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
                Some(relation) => relation.told.kind(full),
                _ => Kind::Unclear,
            }
        }
        LogicalPlan::Values(node) => {
            let cells = node.values.iter().filter_map(|row| row.get(column));
            let cells = cells.filter(|cell| !matches!(cell, Expr::Literal(..)));
            cells.map(|cell| of(cell, &[], relations)).reduce(Kind::with).unwrap_or(Kind::Text)
        }
        LogicalPlan::EmptyRelation(_) => Kind::Text,
        _ => Kind::Unclear,
    }
}
