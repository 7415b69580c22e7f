//! Joins: the inner equi-join is native, the others are written with it, with set difference, and with padding.
//!
//! `matched` is the rows of one side that have a partner, `lonely` those that have none: a left join is the inner join and the lonely
//! left rows padded with NULLs. Both are taken from the inner join itself where that shows each row once at most, so that nothing is
//! arranged twice.
use super::map::{Columns, constant, map, move_columns, null, physical, pick};
use super::{Lowered, Lowering};
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflows::Plan;
use dataflows::plan::{Aggregate, Expr, Function, Outer};
use datafusion::common::{JoinType, NullEquality, ScalarValue};
use datafusion::logical_expr::{Expr as Logical, Join, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, IsNotNullExpr, IsNullExpr};
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// One input of a join.
struct Input {
    /// Its rows.
    plan: Plan,
    /// How many columns it has.
    width: usize,
    /// Its rows with the join keys that had to be computed behind them.
    keyed: Plan,
    /// Where the keys are in `keyed`.
    on: Vec<usize>,
    /// Columns that identify a row of `plan`.
    key: Option<Vec<usize>>,
}

impl Input {
    fn is_single(&self) -> bool {
        self.key.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether at most one row has given join keys.
    fn is_unique(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.iter().all(|column| self.on.contains(column)))
    }
}

struct Pair {
    left: Input,
    right: Input,
    null_equal: bool,
    /// Over the columns of `left.keyed`, then those of `right.keyed`.
    filter: Option<Expr>,
}

impl Lowering<'_> {
    pub(super) fn join(&self, node: &Join) -> Result<Lowered, DeclareError> {
        if let Some(counted) = self.counted(node)? {
            return Ok(counted);
        }
        let left = self.lower(&node.left)?;
        let right = self.lower(&node.right)?;
        let schema = Arc::new(node.schema.as_arrow().clone());
        let pair = pair(node, left, right)?;
        if node.null_aware {
            return not_in(&pair, node);
        }
        if pair.is_unconditional() {
            return existence(pair, node.join_type, schema);
        }
        pair.join(node.join_type, schema)
    }
}

fn pair(node: &Join, left: Lowered, right: Lowered) -> Result<Pair, DeclareError> {
    let mut left_columns = Columns::all(node.left.schema());
    let mut right_columns = Columns::all(node.right.schema());
    let (left_width, right_width) = (left_columns.len(), right_columns.len());
    let mut on = (vec![], vec![]);
    for (a, b) in &node.on {
        on.0.push(left_columns.add(a)?);
        on.1.push(right_columns.add(b)?);
    }
    let keyed_width = left_columns.len();
    let filter = match &node.filter {
        None | Some(Logical::Literal(ScalarValue::Boolean(Some(true)), _)) => None,
        Some(filter) => {
            let both = node.left.schema().join(node.right.schema()).map_err(from_datafusion)?;
            let place = |i: usize| if i < left_width { i } else { i - left_width + keyed_width };
            Some(move_columns(physical(filter, &both)?, place))
        }
    };
    let left = Input {
        keyed: left_columns.over(left.plan.clone()),
        plan: left.plan,
        width: left_width,
        on: on.0,
        key: left.key,
    };
    let right = Input {
        keyed: right_columns.over(right.plan.clone()),
        plan: right.plan,
        width: right_width,
        on: on.1,
        key: right.key,
    };
    same_types(&left, &right)?;
    Ok(Pair { left, right, null_equal: node.null_equality == NullEquality::NullEqualsNull, filter })
}

fn same_types(left: &Input, right: &Input) -> Result<(), DeclareError> {
    for (a, b) in left.on.iter().zip(&right.on) {
        let (l, r) = (left.keyed.schema(), right.keyed.schema());
        let (l, r) = (l.field(*a).data_type().clone(), r.field(*b).data_type().clone());
        if l != r {
            return Err(DeclareError::Invalid(format!(
                "a join compares {l} with {r}: write a CAST on one side"
            )));
        }
    }
    Ok(())
}

fn concat(left: &SchemaRef, right: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(left.fields().iter().chain(right.fields()).cloned().collect::<Vec<_>>()))
}

/// How many pairs a join without any condition may hold.
const PAIRS_MAX: u64 = 1_000_000;

/// How large two inputs may be that a plan holds several times, so that they share arrangements; larger ones stand in it once.
const REPEATED_MAX: usize = 24;

fn size(plan: &Plan) -> usize {
    1 + plan.inputs().into_iter().map(size).sum::<usize>()
}

/// Whether the query itself bounds how many rows there are.
fn is_bounded(plan: &Plan) -> bool {
    match plan {
        Plan::Values { .. } => true,
        Plan::Aggregate { group, .. } => group.is_empty(),
        Plan::TopK { partition, .. } => partition.is_empty(),
        Plan::Map { input, .. } | Plan::Distinct(input) => is_bounded(input),
        Plan::Union { inputs, .. } => inputs.iter().all(is_bounded),
        _ => false,
    }
}

impl Pair {
    /// Whether every row of many meets every row of many.
    fn is_unconditional(&self) -> bool {
        self.left.on.is_empty() && self.filter.is_none() && !self.left.is_single() && !self.right.is_single()
    }

    fn side(&self, side: Side) -> (&Input, &Input) {
        match side {
            Side::Left => (&self.left, &self.right),
            Side::Right => (&self.right, &self.left),
        }
    }

    /// The inner join, with the columns of both sides.
    fn inner(&self) -> Plan {
        let (left, right) = (&self.left, &self.right);
        let schema = concat(&left.keyed.schema(), &right.keyed.schema());
        let keyed_width = left.keyed.schema().fields().len();
        if self.is_unconditional() && !is_bounded(&left.plan) && !is_bounded(&right.plan) {
            let (left, right) = (Box::new(left.plan.clone()), Box::new(right.plan.clone()));
            return Plan::Cross { left, right, pairs_max: PAIRS_MAX, schema };
        }
        let joined = Plan::Join {
            left: Box::new(left.keyed.clone()),
            right: Box::new(right.keyed.clone()),
            on: left.on.iter().copied().zip(right.on.iter().copied()).collect(),
            null_equal: self.null_equal,
            filter: self.filter.clone(),
            schema,
        };
        let visible: Vec<usize> = (0..left.width).chain(keyed_width..keyed_width + right.width).collect();
        pick(joined, &visible)
    }

    /// The columns of one side, taken from the inner join.
    fn of_inner(&self, side: Side) -> Plan {
        let columns: Vec<usize> = match side {
            Side::Left => (0..self.left.width).collect(),
            Side::Right => (self.left.width..self.left.width + self.right.width).collect(),
        };
        pick(self.inner(), &columns)
    }

    /// The rows of one side that have a partner, as often as they are there; `of_join` if the inner join is kept anyway.
    fn matched(&self, side: Side, join_is_kept: bool) -> Plan {
        let (kept, other) = self.side(side);
        if other.is_unique() && (join_is_kept || self.filter.is_some()) {
            return self.of_inner(side);
        }
        if self.filter.is_some() || kept.on.is_empty() {
            return Plan::Matched {
                left: Box::new(kept.plan.clone()),
                joined: Box::new(self.of_inner(side)),
            };
        }
        let keys = pick(other.keyed.clone(), &other.on);
        let keys = if other.is_unique() { keys } else { Plan::Distinct(Box::new(keys)) };
        let joined = Plan::Join {
            schema: concat(&kept.keyed.schema(), &keys.schema()),
            left: Box::new(kept.keyed.clone()),
            right: Box::new(keys),
            on: kept.on.iter().copied().zip(0..).collect(),
            null_equal: self.null_equal,
            filter: None,
        };
        pick(joined, &(0..kept.width).collect::<Vec<_>>())
    }

    /// The rows of one side that have no partner.
    fn lonely(&self, side: Side, join_is_kept: bool) -> Plan {
        let (kept, _) = self.side(side);
        Plan::Union {
            schema: kept.plan.schema(),
            inputs: vec![kept.plan.clone(), Plan::Negate(Box::new(self.matched(side, join_is_kept)))],
        }
    }

    /// The lonely rows of one side, with NULLs for the other.
    fn padded(&self, side: Side, schema: &SchemaRef) -> Result<Plan, DeclareError> {
        let rows = self.lonely(side, true);
        let (kept, other) = self.side(side);
        let own = kept.plan.schema();
        let mut own: Vec<Expr> = (0..kept.width).map(|i| super::map::column(&own, i)).collect();
        let other = other.plan.schema();
        let mut nulls = other.fields().iter().map(|f| null(f.data_type())).collect::<Result<Vec<_>, _>>()?;
        let project = match side {
            Side::Left => {
                own.append(&mut nulls);
                own
            }
            Side::Right => {
                nulls.append(&mut own);
                nulls
            }
        };
        Ok(map(rows, None, Some(project), schema.clone()))
    }

    /// The join as one operator, if it can be.
    fn as_outer(&self, join_type: JoinType) -> Option<Plan> {
        let kind = match join_type {
            JoinType::Left => Outer::Left,
            JoinType::Right => Outer::Right,
            JoinType::Full => Outer::Full,
            JoinType::LeftSemi => Outer::Semi,
            JoinType::LeftAnti => Outer::Anti,
            JoinType::LeftMark => Outer::Mark,
            JoinType::Inner | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => return None,
        };
        let (left, right) = (&self.left.keyed, &self.right.keyed);
        let (l, width) = (left.schema(), left.schema().fields().len());
        let own: Vec<usize> = (0..self.left.width).collect();
        let (schema, visible) = match kind {
            Outer::Left | Outer::Right | Outer::Full => {
                (concat(&l, &right.schema()), [own, (width..width + self.right.width).collect()].concat())
            }
            Outer::Semi | Outer::Anti => (l, own),
            Outer::Mark => {
                let mark = Arc::new(Schema::new(vec![Field::new("mark", DataType::Boolean, false)]));
                (concat(&l, &mark), [own, vec![width]].concat())
            }
        };
        let on = self.left.on.iter().copied().zip(self.right.on.iter().copied()).collect();
        let outer = Plan::Outer {
            left: Box::new(left.clone()),
            right: Box::new(right.clone()),
            on,
            null_equal: self.null_equal,
            filter: self.filter.clone(),
            kind,
            schema,
        };
        Some(pick(outer, &visible))
    }

    fn join(self, join_type: JoinType, schema: SchemaRef) -> Result<Lowered, DeclareError> {
        if size(&self.left.plan) + size(&self.right.plan) > REPEATED_MAX
            && !self.is_unconditional()
            && let Some(plan) = self.as_outer(join_type)
        {
            return Ok(Lowered { plan: super::renamed(plan, schema), key: self.key(join_type) });
        }
        let outer = |parts: Vec<Plan>| Plan::Union { inputs: parts, schema: schema.clone() };
        let plan = match join_type {
            JoinType::Inner => self.inner(),
            JoinType::Left => outer(vec![self.inner(), self.padded(Side::Left, &schema)?]),
            JoinType::Right => outer(vec![self.inner(), self.padded(Side::Right, &schema)?]),
            JoinType::Full => outer(vec![
                self.inner(),
                self.padded(Side::Left, &schema)?,
                self.padded(Side::Right, &schema)?,
            ]),
            JoinType::LeftSemi => self.matched(Side::Left, false),
            JoinType::RightSemi => self.matched(Side::Right, false),
            JoinType::LeftAnti => self.lonely(Side::Left, false),
            JoinType::RightAnti => self.lonely(Side::Right, false),
            JoinType::LeftMark => self.marked(Side::Left, &schema),
            JoinType::RightMark => self.marked(Side::Right, &schema),
        };
        Ok(Lowered { plan: super::renamed(plan, schema), key: self.key(join_type) })
    }

    /// The rows of one side, and whether they have a partner.
    fn marked(&self, side: Side, schema: &SchemaRef) -> Plan {
        let mark = |rows: Plan, value: bool| {
            let own = rows.schema();
            let columns = (0..own.fields().len()).map(|i| super::map::column(&own, i));
            let project = columns.chain([constant(ScalarValue::Boolean(Some(value)))]).collect();
            map(rows, None, Some(project), schema.clone())
        };
        Plan::Union {
            inputs: vec![mark(self.matched(side, false), true), mark(self.lonely(side, false), false)],
            schema: schema.clone(),
        }
    }

    fn key(&self, join_type: JoinType) -> Option<Vec<usize>> {
        let left = self.left.key.clone();
        let right =
            self.right.key.as_ref().map(|key| key.iter().map(|i| i + self.left.width).collect::<Vec<_>>());
        let both = || Some([left.clone()?, right.clone()?].concat());
        match join_type {
            JoinType::Inner if self.right.is_unique() => left,
            JoinType::Inner if self.left.is_unique() => right,
            JoinType::Left if self.right.is_unique() => left,
            JoinType::Right if self.left.is_unique() => right,
            JoinType::Inner | JoinType::Left | JoinType::Right => both(),
            // A padded left row and a padded right row could agree in NULLs.
            JoinType::Full => None,
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => self.left.key.clone(),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => self.right.key.clone(),
        }
    }
}

/// EXISTS without a condition between the two: the other side becomes one row where it has any.
fn existence(pair: Pair, join_type: JoinType, schema: SchemaRef) -> Result<Lowered, DeclareError> {
    let asked = match join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => Side::Left,
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => Side::Right,
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            return pair.join(join_type, schema);
        }
    };
    let any = |input: Input| {
        let counted = counts(pick(input.plan, &[]), None);
        let some = compare(&counted, 0, Operator::Gt, constant(ScalarValue::Int64(Some(0))));
        let counted_schema = counted.schema();
        let plan = map(counted, Some(some), None, counted_schema);
        Input { keyed: plan.clone(), plan, width: 1, on: vec![], key: Some(vec![]) }
    };
    let pair = match asked {
        Side::Left => Pair { right: any(pair.right), ..pair },
        Side::Right => Pair { left: any(pair.left), ..pair },
    };
    pair.join(join_type, schema)
}

/// One row: how many rows there are, and how many of them are not NULL in a column.
fn counts(input: Plan, column: Option<usize>) -> Plan {
    let count = |argument| Aggregate {
        function: Function::Count,
        argument,
        distinct: false,
        filter: None,
        data_type: DataType::Int64,
    };
    let aggregates: Vec<_> =
        [None, column].into_iter().take(1 + usize::from(column.is_some())).map(count).collect();
    let names = ["rows", "values"].into_iter().take(aggregates.len());
    let schema =
        Arc::new(Schema::new(names.map(|n| Field::new(n, DataType::Int64, false)).collect::<Vec<_>>()));
    Plan::Aggregate { input: Box::new(input), group: vec![], aggregates, schema }
}

fn compare(plan: &Plan, index: usize, op: Operator, with: Expr) -> Expr {
    Arc::new(BinaryExpr::new(super::map::column(&plan.schema(), index), op, with))
}

/// NOT IN as PostgreSQL has it: no row where the list holds a NULL, and a NULL is kept only if the list is empty.
fn not_in(pair: &Pair, node: &Join) -> Result<Lowered, DeclareError> {
    let (JoinType::LeftAnti, [on_left], [on_right], None) =
        (node.join_type, pair.left.on.as_slice(), pair.right.on.as_slice(), &pair.filter)
    else {
        return Err(DeclareError::Unsupported(
            "NOT IN with a subquery that may give NULL, inside OR or with a condition on the outer query, is not maintained: write NOT EXISTS (SELECT .. WHERE a = b)".into(),
        ));
    };
    let keyed = &pair.left.keyed;
    let schema = keyed.schema();
    let key = super::map::column(&schema, *on_left);
    let list = counts(pick(pair.right.keyed.clone(), &[*on_right]), Some(0));
    let list_schema = list.schema();
    let without_null = compare(&list, 0, Operator::Eq, super::map::column(&list_schema, 1));
    let empty = compare(&list, 0, Operator::Eq, constant(ScalarValue::Int64(Some(0))));
    let when = |rows: Plan, condition: Expr| {
        let one = map(list.clone(), Some(condition), None, list_schema.clone());
        let joined = Plan::Join {
            schema: concat(&rows.schema(), &one.schema()),
            left: Box::new(rows),
            right: Box::new(one),
            on: vec![],
            null_equal: false,
            filter: None,
        };
        pick(joined, &(0..pair.left.width).collect::<Vec<_>>())
    };
    let known = map(keyed.clone(), Some(Arc::new(IsNotNullExpr::new(key.clone()))), None, schema.clone());
    let unknown = map(keyed.clone(), Some(Arc::new(IsNullExpr::new(key))), None, schema.clone());
    let keys = Plan::Distinct(Box::new(pick(pair.right.keyed.clone(), &[*on_right])));
    let found = Plan::Join {
        schema: concat(&schema, &keys.schema()),
        left: Box::new(known.clone()),
        right: Box::new(keys),
        on: vec![(*on_left, 0)],
        null_equal: false,
        filter: None,
    };
    let found = pick(found, &(0..schema.fields().len()).collect::<Vec<_>>());
    let lonely = Plan::Union { inputs: vec![known, Plan::Negate(Box::new(found))], schema };
    let plan = Plan::Union {
        inputs: vec![when(lonely, without_null), when(unknown, empty)],
        schema: pair.left.plan.schema(),
    };
    Ok(Lowered { plan, key: pair.left.key.clone() })
}
