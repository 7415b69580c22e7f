//! Expressions of a question, with their names bound and their types known.
use super::calls;
use super::cast;
use super::node::{Column, Extra, Node, Operator, Plan, Sort};
use super::value::Value;
use super::world::World;
use super::{Failure, refused};
use crate::wire::oid::array_of_element;
use datafusion::sql::sqlparser::ast::{
    Array, Expr, Ident, ObjectName, OrderByExpr, Query, TrimWhereField, UnaryOperator, Value as Literal,
};
use datafusion_postgres::pgwire::api::Type;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// What all parts of one question share while they are bound.
pub(super) struct Shared<'a> {
    pub(super) world: &'a World,
    /// The types of the parameters, as far as they are known.
    pub(super) parameters: RefCell<Vec<Option<Type>>>,
    pub(super) slots: Cell<usize>,
}

/// Queries with a name, the last one first.
pub(super) type Ctes = Vec<(String, Rc<Cte>)>;

pub(super) enum Cte {
    Query { query: Box<Query>, columns: Vec<String>, is_recursive: bool, ctes: Ctes },
    Working { slot: usize, columns: Vec<Column> },
}

/// The names that an expression can mean.
pub(super) struct Scope<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) outer: Option<&'a Scope<'a>>,
    pub(super) ctes: Ctes,
    pub(super) columns: Vec<Column>,
    /// Columns of a USING that stand for the same as one before.
    pub(super) merged: Vec<usize>,
    pub(super) extras: RefCell<Vec<Extra>>,
    /// The sources that are tables, by the names that they have here.
    pub(super) tables: Vec<(String, String)>,
}

/// An expression with its type.
pub(super) struct Typed {
    pub(super) node: Node,
    pub(super) kind: Type,
    pub(super) fields: Vec<&'static str>,
}

impl Typed {
    pub(super) fn new(node: Node, kind: Type) -> Typed {
        Typed { node, kind, fields: vec![] }
    }
}

/// An unquoted name in small letters.
pub(super) fn name(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// The last part of a name.
pub(super) fn last(object: &ObjectName) -> String {
    object.0.last().and_then(|part| part.as_ident()).map(name).unwrap_or_default()
}

impl Scope<'_> {
    /// An expression, bound.
    pub(super) fn expr(&self, expr: &Expr) -> Result<Typed, Failure> {
        let yes = |node| Ok(Typed::new(node, Type::BOOL));
        match expr {
            Expr::Identifier(ident) if ident.quote_style.is_none() && calls::is_register(&ident.value) => {
                self.call(&name(ident), vec![])
            }
            Expr::Identifier(ident) => self.column(&[name(ident)]),
            Expr::CompoundIdentifier(path) => self.column(&path.iter().map(name).collect::<Vec<_>>()),
            Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => self.expr(inner),
            Expr::Value(value) => self.literal(&value.value),
            Expr::TypedString(typed) => {
                let text = Typed::new(Node::Constant(literal_text(&typed.value.value)), Type::UNKNOWN);
                cast::cast(text, &typed.data_type)
            }
            Expr::Cast { expr, data_type, .. } => cast::cast(self.expr(expr)?, data_type),
            Expr::Prefixed { value, .. } => self.expr(value),
            Expr::IsNull(inner) => yes(is_null(self.expr(inner)?.node)),
            Expr::IsNotNull(inner) => yes(not(is_null(self.expr(inner)?.node))),
            Expr::IsTrue(inner) => yes(same(self.expr(inner)?.node, true)),
            Expr::IsFalse(inner) => yes(same(self.expr(inner)?.node, false)),
            Expr::IsNotTrue(inner) => yes(not(same(self.expr(inner)?.node, true))),
            Expr::IsNotFalse(inner) => yes(not(same(self.expr(inner)?.node, false))),
            Expr::IsDistinctFrom(left, right) => self.compare(left, Operator::Distinct, right),
            Expr::IsNotDistinctFrom(left, right) => self.compare(left, Operator::NotDistinct, right),
            Expr::InList { expr, list, negated } => {
                let value = self.expr(expr)?;
                let list = list.iter().map(|member| self.expr(member)).collect::<Result<Vec<_>, _>>()?;
                list.iter().for_each(|member| self.learn(member, &value.kind));
                let list = list.into_iter().map(|member| member.node).collect();
                yes(negated_if(*negated, Node::Among { value: Box::new(value.node), list }))
            }
            Expr::InSubquery { expr, subquery, negated } => {
                let (left, list) =
                    (Box::new(self.expr(expr)?.node), Box::new(Node::Rows(Arc::new(self.query(subquery)?))));
                yes(negated_if(
                    *negated,
                    Node::Quantified { left, operator: Operator::Equal, list, is_all: false },
                ))
            }
            Expr::Between { expr, negated, low, high } => {
                let low = self.compare(expr, Operator::GreaterOrEqual, low)?;
                let high = self.compare(expr, Operator::LessOrEqual, high)?;
                yes(negated_if(*negated, Node::And(Box::new(low.node), Box::new(high.node))))
            }
            Expr::Like { negated, expr, pattern, escape_char, .. } => {
                let escape =
                    escape_char.as_ref().map_or(Value::from("\\"), |value| literal_text(&value.value));
                let arguments = vec![self.text(expr)?, self.text(pattern)?, Node::Constant(escape)];
                yes(negated_if(*negated, call(calls::like, arguments)))
            }
            Expr::ILike { negated, expr, pattern, escape_char, .. } => {
                let escape =
                    escape_char.as_ref().map_or(Value::from("\\"), |value| literal_text(&value.value));
                let arguments = vec![self.text(expr)?, self.text(pattern)?, Node::Constant(escape)];
                yes(negated_if(*negated, call(calls::like_any_case, arguments)))
            }
            Expr::AnyOp { left, compare_op, right, .. } => self.quantified(left, compare_op, right, false),
            Expr::AllOp { left, compare_op, right } => self.quantified(left, compare_op, right, true),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => yes(not(self.expr(expr)?.node)),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                let value = self.expr(expr)?;
                Ok(Typed::new(call(calls::negative, vec![value.node]), value.kind))
            }
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => self.expr(expr),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Exists { subquery, negated } => {
                yes(negated_if(*negated, Node::Exists(Arc::new(self.query(subquery)?))))
            }
            Expr::Subquery(query) => {
                let plan = self.query(query)?;
                let kind = plan.columns.first().map_or(Type::TEXT, |column| column.kind.clone());
                Ok(Typed::new(Node::Scalar(Arc::new(plan)), kind))
            }
            Expr::Array(Array { elem, .. }) => {
                let values = elem.iter().map(|value| self.expr(value)).collect::<Result<Vec<_>, _>>()?;
                let kind = common(&values);
                let kind = array_of_element(&shown(&kind)).unwrap_or(Type::TEXT_ARRAY);
                Ok(Typed::new(Node::List(values.into_iter().map(|value| value.node).collect()), kind))
            }
            Expr::Tuple(values) => {
                let values = values.iter().map(|value| self.expr(value)).collect::<Result<Vec<_>, _>>()?;
                Ok(Typed::new(
                    Node::Record(values.into_iter().map(|value| value.node).collect()),
                    Type::RECORD,
                ))
            }
            Expr::CompoundFieldAccess { root, access_chain } => self.access(root, access_chain),
            Expr::Function(function) => self.function(function),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.expr(expr)?];
                for part in [substring_from, substring_for].into_iter().flatten() {
                    arguments.push(self.expr(part)?);
                }
                self.call("substring", arguments)
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let function = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "btrim",
                };
                let mut arguments = vec![self.expr(expr)?];
                let what = trim_what.as_deref().or_else(|| trim_characters.as_ref()?.first());
                arguments.extend(what.map(|what| self.expr(what)).transpose()?);
                self.call(function, arguments)
            }
            Expr::Position { expr, r#in } => self.call("strpos", vec![self.expr(r#in)?, self.expr(expr)?]),
            other => Err(refused(format!("{other} in a question about system tables is not supported"))),
        }
    }

    /// An expression as text.
    pub(super) fn text(&self, expr: &Expr) -> Result<Node, Failure> {
        let typed = self.expr(expr)?;
        self.learn(&typed, &Type::TEXT);
        Ok(cast::to_text(typed).node)
    }

    /// A query within an expression.
    pub(super) fn query(&self, query: &Query) -> Result<Plan, Failure> {
        super::query::query(self.shared, query, Some(self), &self.ctes)
    }

    /// A parameter has the type of what it is compared with.
    pub(super) fn learn(&self, typed: &Typed, kind: &Type) {
        if let Node::Parameter(number) = typed.node
            && *kind != Type::UNKNOWN
        {
            let mut known = self.shared.parameters.borrow_mut();
            if let Some(slot @ None) = known.get_mut(number) {
                *slot = Some(shown(kind));
            }
        }
    }

    fn literal(&self, value: &Literal) -> Result<Typed, Failure> {
        Ok(match value {
            Literal::Number(text, _) => match text.parse::<i64>() {
                Ok(number) => {
                    let kind = if i32::try_from(number).is_ok() { Type::INT4 } else { Type::INT8 };
                    Typed::new(Node::Constant(Value::Int(number)), kind)
                }
                Err(_) => {
                    let number = text.parse().map_err(|_| refused(format!("{text} is not a number")))?;
                    Typed::new(Node::Constant(Value::Float(number)), Type::FLOAT8)
                }
            },
            Literal::Boolean(yes) => Typed::new(Node::Constant(Value::Bool(*yes)), Type::BOOL),
            Literal::Null => Typed::new(Node::Constant(Value::Null), Type::UNKNOWN),
            Literal::Placeholder(text) => {
                let number = text.trim_start_matches('$').parse::<usize>().unwrap_or_default();
                let mut known = self.shared.parameters.borrow_mut();
                let length = known.len().max(number);
                known.resize(length, None);
                let place =
                    number.checked_sub(1).ok_or_else(|| refused(format!("there is no parameter {text}")))?;
                let kind = known[place].clone().unwrap_or(Type::UNKNOWN);
                Typed::new(Node::Parameter(place), kind)
            }
            other => Typed::new(Node::Constant(literal_text(other)), Type::UNKNOWN),
        })
    }

    /// A column by its name, here or further out.
    pub(super) fn column(&self, path: &[String]) -> Result<Typed, Failure> {
        let (mut level, mut up) = (Some(self), 0);
        while let Some(scope) = level {
            if let Some(found) = scope.own(path, up)? {
                return Ok(found);
            }
            (level, up) = (scope.outer, up + 1);
        }
        Err(Failure::of("42703", &format!("column \"{}\" does not exist", path.join("."))))
    }

    fn own(&self, path: &[String], up: usize) -> Result<Option<Typed>, Failure> {
        let (of, column) = match path {
            [column] => (None, column),
            [.., of, column] => (Some(of), column),
            [] => return Ok(None),
        };
        let typed = |at: usize| {
            let column = &self.columns[at];
            Typed { node: Node::Column { up, at }, kind: column.kind.clone(), fields: column.fields.clone() }
        };
        let means = |at: &usize| {
            let known = &self.columns[*at];
            known.name == *column && of.map_or(!self.merged.contains(at), |of| known.of == *of)
        };
        let mut found = (0..self.columns.len()).filter(means);
        match (found.next(), found.next()) {
            (Some(at), None) => Ok(Some(typed(at))),
            (Some(_), Some(_)) => {
                Err(Failure::of("42702", &format!("column reference \"{column}\" is ambiguous")))
            }
            // A function that gives one column is meant by its own name too.
            (None, _) if of.is_none() => {
                let mut whole = (0..self.columns.len()).filter(|at| self.columns[*at].of == *column);
                Ok(match (whole.next(), whole.next()) {
                    (Some(at), None) => Some(typed(at)),
                    _ => None,
                })
            }
            (None, _) => Ok(self.hidden(of, column)),
        }
    }

    /// What every row of a table has beside its columns.
    fn hidden(&self, of: Option<&String>, column: &str) -> Option<Typed> {
        let (_, table) = self.tables.iter().find(|(known, _)| Some(known) == of)?;
        match column {
            "tableoid" => {
                let oid = self.shared.world.relation(table);
                Some(Typed::new(Node::Constant(oid.into()), Type::OID))
            }
            "xmin" => Some(Typed::new(Node::Constant(Value::Int(0)), Type::INT8)),
            _ => None,
        }
    }

    pub(super) fn extra(&self, extra: Extra, kind: Type, fields: Vec<&'static str>) -> Typed {
        let mut extras = self.extras.borrow_mut();
        extras.push(extra);
        Typed { node: Node::Column { up: 0, at: self.columns.len() + extras.len() - 1 }, kind, fields }
    }

    /// What an order goes by.
    pub(super) fn order(&self, by: &[OrderByExpr]) -> Result<Vec<Sort>, Failure> {
        by.iter().map(|by| Ok(sort(self.expr(&by.expr)?.node, by))).collect()
    }
}

/// How a value sorts.
pub(super) fn sort(value: Node, by: &OrderByExpr) -> Sort {
    let is_descending = by.options.asc == Some(false);
    Sort { value, is_descending, nulls_first: by.options.nulls_first.unwrap_or(is_descending) }
}

fn literal_text(value: &Literal) -> Value {
    match value.clone().into_string() {
        Some(text) => Value::from(text),
        None => Value::from(value.to_string()),
    }
}

/// A strict call.
pub(super) fn call(run: super::node::Run, arguments: Vec<Node>) -> Node {
    Node::Call { run, is_strict: true, arguments }
}

fn not(node: Node) -> Node {
    call(calls::not, vec![node])
}

pub(super) fn negated_if(negated: bool, node: Node) -> Node {
    if negated { not(node) } else { node }
}

fn is_null(node: Node) -> Node {
    same_as(node, Value::Null)
}

fn same(node: Node, value: bool) -> Node {
    same_as(node, Value::Bool(value))
}

fn same_as(node: Node, value: Value) -> Node {
    Node::Compare {
        left: Box::new(node),
        operator: Operator::NotDistinct,
        right: Box::new(Node::Constant(value)),
    }
}

pub(super) fn wider(one: &Type, other: &Type) -> Type {
    let rank = |kind: &Type| {
        [Type::INT2, Type::INT4, Type::OID, Type::INT8, Type::FLOAT4, Type::FLOAT8]
            .iter()
            .position(|known| known == kind)
    };
    match (rank(one), rank(other)) {
        (Some(a), Some(b)) => {
            if a >= b {
                one.clone()
            } else {
                other.clone()
            }
        }
        (Some(_), None) => one.clone(),
        (None, Some(_)) => other.clone(),
        (None, None) => Type::INT4,
    }
}

/// The type of several values: that of the first which has one.
pub(super) fn common(values: &[Typed]) -> Type {
    let mut known = values.iter().map(|value| &value.kind).filter(|kind| **kind != Type::UNKNOWN);
    let first = known.next().cloned().unwrap_or(Type::TEXT);
    match super::value::is_whole(&first) {
        true => known.fold(
            first,
            |kind, other| if super::value::is_whole(other) { wider(&kind, other) } else { kind },
        ),
        false => first,
    }
}

/// The type that a result has: names are texts.
pub(super) fn shown(kind: &Type) -> Type {
    match *kind {
        Type::UNKNOWN | Type::NAME | Type::CHAR | Type::BPCHAR => Type::TEXT,
        _ => kind.clone(),
    }
}
