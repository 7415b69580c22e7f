//! `Node` and `Plan`: a question about the system with its names bound, and what each part of it gives for a row.
use super::value::{Row, Value};
use super::world::World;
use super::{Failure, refused, run};
use datafusion_postgres::pgwire::api::Type;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A column of a source or of a result.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// The name of what it belongs to; none for a result.
    pub(super) of: String,
    pub(super) name: String,
    pub(super) kind: Type,
    /// The names of its fields, where it is a record.
    pub(super) fields: Vec<&'static str>,
}

/// A function of values.
pub(super) type Run = fn(&Asked<'_>, &[Value]) -> Result<Value, Failure>;

/// An expression.
#[derive(Debug)]
pub(super) enum Node {
    Constant(Value),
    Parameter(usize),
    /// A column of the row, or of a row further out.
    Column {
        up: usize,
        at: usize,
    },
    /// A function; a strict one is NULL where an argument is.
    Call {
        run: Run,
        is_strict: bool,
        arguments: Vec<Node>,
    },
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Case {
        arms: Vec<(Node, Node)>,
        otherwise: Option<Box<Node>>,
    },
    Coalesce(Vec<Node>),
    Compare {
        left: Box<Node>,
        operator: Operator,
        right: Box<Node>,
    },
    /// A comparison with any or all members of a list.
    Quantified {
        left: Box<Node>,
        operator: Operator,
        list: Box<Node>,
        is_all: bool,
    },
    Among {
        value: Box<Node>,
        list: Vec<Node>,
    },
    List(Vec<Node>),
    Record(Vec<Node>),
    Item(Box<Node>, Box<Node>),
    Field(Box<Node>, usize),
    /// The one value of a query, whether it has rows, or its rows as a list.
    Scalar(Arc<Plan>),
    Exists(Arc<Plan>),
    Rows(Arc<Plan>),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Distinct,
    NotDistinct,
}

/// A query.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) columns: Vec<Column>,
    pub(super) body: Body,
    /// By columns of the output.
    pub(super) order: Vec<Sort>,
    pub(super) limit: Option<Node>,
    pub(super) offset: Option<Node>,
}

#[derive(Debug)]
pub(super) struct Sort {
    pub(super) value: Node,
    pub(super) is_descending: bool,
    pub(super) nulls_first: bool,
}

#[derive(Debug)]
pub(super) enum Body {
    Select(Box<Select>),
    Set {
        left: Box<Plan>,
        right: Box<Plan>,
        kind: Set,
        is_all: bool,
    },
    Values(Vec<Vec<Node>>),
    /// WITH RECURSIVE: rows, and what follows from the last of them.
    Recursive {
        slot: usize,
        seed: Box<Plan>,
        step: Box<Plan>,
        is_all: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Set {
    Union,
    Intersect,
    Except,
}

#[derive(Debug, Default)]
pub(super) struct Select {
    pub(super) steps: Vec<Step>,
    /// How many columns the sources have; extras stand behind them.
    pub(super) width: usize,
    pub(super) group: Option<Vec<Node>>,
    pub(super) having: Option<Node>,
    pub(super) extras: Vec<Extra>,
    /// The columns, and behind them what the order goes by.
    pub(super) output: Vec<Node>,
    pub(super) visible: usize,
    /// DISTINCT, or DISTINCT ON these of the output.
    pub(super) distinct: Option<Vec<usize>>,
}

/// What is computed over rows, or gives several: a value behind the columns.
#[derive(Debug)]
pub(super) enum Extra {
    Aggregate {
        kind: Aggregate,
        arguments: Vec<Node>,
        order: Vec<Sort>,
        filter: Option<Node>,
        is_distinct: bool,
    },
    RowNumber {
        partition: Vec<Node>,
        order: Vec<Sort>,
    },
    Series {
        run: Run,
        arguments: Vec<Node>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Count,
    Sum,
    Min,
    Max,
    Every,
    Any,
    Strings,
    List,
}

/// One more source of a FROM clause.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) source: Source,
    pub(super) width: usize,
    /// LEFT JOIN: a row stays without a partner.
    pub(super) is_outer: bool,
    /// Conditions of the join.
    pub(super) on: Vec<Node>,
    /// Equalities among them: of the rows before, of the rows of this source.
    pub(super) keys: Vec<(Node, Node)>,
    /// Conditions after it.
    pub(super) after: Vec<Node>,
}

impl Step {
    /// The equalities by which partners are looked up: of a table one, whose index others can use too.
    pub(super) fn looked_up(&self) -> &[(Node, Node)] {
        let is_plain = |(_, right): &(Node, Node)| matches!(right, Node::Column { up: 0, .. });
        match (&self.source, self.keys.iter().position(is_plain)) {
            (Source::Table(_), Some(at)) => &self.keys[at..=at],
            _ => &self.keys,
        }
    }
}

#[derive(Debug)]
pub(super) enum Source {
    Table(String),
    Query(Plan, bool),
    /// Sources in parentheses.
    Joined(Vec<Step>),
    /// Functions that give rows, side by side, and whether they are numbered.
    Series(Vec<(Run, Vec<Node>)>, bool),
    Recursive(usize),
}

/// Who asks, of what, with which parameters.
pub(super) struct Asked<'a> {
    pub(super) world: &'a World,
    pub(super) user: &'a str,
    pub(super) setting: &'a (dyn Fn(&str) -> Option<String> + Sync),
    pub(super) parameters: &'a [Value],
    pub(super) recursive: RefCell<HashMap<usize, Arc<Vec<Row>>>>,
    /// Rows looked at, so that no question goes on for ever.
    pub(super) looked: std::cell::Cell<u64>,
}

/// A row, and those around it.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) row: &'a [Value],
    pub(super) outer: Option<&'a At<'a>>,
    pub(super) asked: &'a Asked<'a>,
}

impl Node {
    /// Its value for a row.
    pub(super) fn value(&self, at: &At<'_>) -> Result<Value, Failure> {
        Ok(match self {
            Node::Constant(value) => value.clone(),
            Node::Parameter(number) => at
                .asked
                .parameters
                .get(*number)
                .cloned()
                .ok_or_else(|| refused(format!("there is no parameter ${}", number + 1)))?,
            Node::Column { up, at: place } => {
                let mut level = at;
                for _ in 0..*up {
                    level =
                        level.outer.ok_or_else(|| refused("a column stands outside of its query".into()))?;
                }
                level.row.get(*place).cloned().unwrap_or_default()
            }
            Node::Call { run, is_strict, arguments } => {
                let values = all(arguments, at)?;
                match *is_strict && values.iter().any(Value::is_null) {
                    true => Value::Null,
                    false => run(at.asked, &values)?,
                }
            }
            Node::And(left, right) => match left.truth(at)? {
                Some(false) => Value::Bool(false),
                one => match (one, right.truth(at)?) {
                    (_, Some(false)) => Value::Bool(false),
                    (Some(true), Some(true)) => Value::Bool(true),
                    _ => Value::Null,
                },
            },
            Node::Or(left, right) => match left.truth(at)? {
                Some(true) => Value::Bool(true),
                one => match (one, right.truth(at)?) {
                    (_, Some(true)) => Value::Bool(true),
                    (Some(false), Some(false)) => Value::Bool(false),
                    _ => Value::Null,
                },
            },
            Node::Case { arms, otherwise } => {
                for (condition, value) in arms {
                    if condition.value(at)?.holds() {
                        return value.value(at);
                    }
                }
                otherwise.as_ref().map_or(Ok(Value::Null), |node| node.value(at))?
            }
            Node::Coalesce(nodes) => {
                for node in nodes {
                    let value = node.value(at)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
            Node::Compare { left, operator, right } => operator.of(&left.value(at)?, &right.value(at)?),
            Node::Quantified { left, operator, list, is_all } => {
                let (left, list) = (left.value(at)?, list.value(at)?);
                let Some(members) = list.members() else { return Ok(Value::Null) };
                quantified(members.iter().map(|member| operator.of(&left, member)), *is_all)
            }
            Node::Among { value, list } => {
                let (value, list) = (value.value(at)?, all(list, at)?);
                quantified(list.iter().map(|member| Operator::Equal.of(&value, member)), false)
            }
            Node::List(nodes) => Value::list(all(nodes, at)?),
            Node::Record(nodes) => Value::Record(all(nodes, at)?.into()),
            Node::Item(list, place) => {
                let (list, place) = (list.value(at)?, place.value(at)?);
                let first = i64::from(!matches!(list, Value::Vector(_)));
                let index = place.number().and_then(|place| usize::try_from(place - first).ok());
                match (list.members(), index) {
                    (Some(members), Some(index)) => members.get(index).cloned().unwrap_or_default(),
                    _ => Value::Null,
                }
            }
            Node::Field(record, place) => match record.value(at)? {
                Value::Record(fields) => fields.get(*place).cloned().unwrap_or_default(),
                _ => Value::Null,
            },
            Node::Scalar(plan) => {
                let mut rows = run::rows(plan, at.asked, Some(at))?;
                match rows.len() {
                    0 => Value::Null,
                    1 => rows.remove(0).into_iter().next().unwrap_or_default(),
                    _ => {
                        return Err(Failure::of(
                            "21000",
                            "more than one row returned by a subquery used as an expression",
                        ));
                    }
                }
            }
            Node::Exists(plan) => Value::Bool(!run::rows(plan, at.asked, Some(at))?.is_empty()),
            Node::Rows(plan) => {
                let rows = run::rows(plan, at.asked, Some(at))?;
                Value::list(rows.into_iter().map(|row| row.into_iter().next().unwrap_or_default()))
            }
        })
    }

    fn truth(&self, at: &At<'_>) -> Result<Option<bool>, Failure> {
        let value = self.value(at)?;
        Ok((!value.is_null()).then(|| value.holds()))
    }

    /// The columns of this query's rows that it reads; none where a query within it may read any.
    pub(super) fn reads(&self) -> Option<BTreeSet<usize>> {
        let mut found = BTreeSet::new();
        self.read(&mut found).then_some(found)
    }

    fn read(&self, found: &mut BTreeSet<usize>) -> bool {
        match self {
            Node::Constant(_) | Node::Parameter(_) => true,
            Node::Column { up, at } => {
                if *up == 0 {
                    found.insert(*at);
                }
                true
            }
            Node::Scalar(_) | Node::Exists(_) | Node::Rows(_) => false,
            Node::Call { arguments, .. } => arguments.iter().all(|node| node.read(found)),
            Node::Coalesce(nodes) | Node::List(nodes) | Node::Record(nodes) => {
                nodes.iter().all(|node| node.read(found))
            }
            Node::And(left, right) | Node::Or(left, right) | Node::Item(left, right) => {
                left.read(found) && right.read(found)
            }
            Node::Compare { left, right, .. } => left.read(found) && right.read(found),
            Node::Quantified { left, list, .. } => left.read(found) && list.read(found),
            Node::Among { value, list } => value.read(found) && list.iter().all(|node| node.read(found)),
            Node::Field(record, _) => record.read(found),
            Node::Case { arms, otherwise } => {
                arms.iter().all(|(condition, value)| condition.read(found) && value.read(found))
                    && otherwise.as_ref().is_none_or(|node| node.read(found))
            }
        }
    }
}

/// The values of several nodes.
pub(super) fn all(nodes: &[Node], at: &At<'_>) -> Result<Vec<Value>, Failure> {
    nodes.iter().map(|node| node.value(at)).collect()
}

fn quantified(found: impl Iterator<Item = Value>, is_all: bool) -> Value {
    let mut unknown = false;
    for value in found {
        match value {
            Value::Bool(yes) if yes != is_all => return Value::Bool(!is_all),
            Value::Bool(_) => {}
            _ => unknown = true,
        }
    }
    if unknown { Value::Null } else { Value::Bool(is_all) }
}

impl Operator {
    fn of(self, left: &Value, right: &Value) -> Value {
        if matches!(self, Operator::Distinct | Operator::NotDistinct) {
            let same = match (left.is_null(), right.is_null()) {
                (false, false) => left.compared(right) == Some(Ordering::Equal),
                (one, other) => one == other,
            };
            return Value::Bool(same == (self == Operator::NotDistinct));
        }
        let order = match (left.is_null() || right.is_null(), left.compared(right)) {
            (true, _) => return Value::Null,
            (false, Some(order)) => order,
            // A text that is no number differs from every number.
            (false, None) => Ordering::Less,
        };
        Value::Bool(match self {
            Operator::Equal => order.is_eq(),
            Operator::NotEqual => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::Distinct | Operator::NotDistinct => return Value::Null,
        })
    }
}
