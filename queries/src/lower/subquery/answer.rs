//! A subquery in an expression: its rows joined to those of the node, and the expression over the joined columns that says the same.
use super::dependent::Dependent;
use super::outer::{Outer, same};
use super::single::only;
use super::{Flattener, Result, free, is_subquery, joined, unsupported};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, ScalarValue, TableReference};
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::expr::{InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, FetchType, Filter, JoinType, LogicalPlan, Operator, Projection,
    Subquery, binary_expr, lit, when,
};
use std::sync::Arc;

/// The rows of a subquery for all values of the outer columns: these columns, then those of the subquery.
struct Computed {
    rows: Arc<LogicalPlan>,
    /// None where it reads no outer column.
    outer: Option<Outer>,
}

impl Computed {
    fn outer_columns(&self) -> Vec<Expr> {
        self.outer.as_ref().map_or(vec![], Outer::columns)
    }

    /// The only column of the subquery itself.
    fn value(&self) -> Expr {
        let (qualifier, field) = self.rows.schema().qualified_field(self.outer_columns().len());
        Expr::Column(Column::from((qualifier, field)))
    }

    /// The outer columns and the given ones, each combination once.
    fn different(&self, rows: LogicalPlan, list: Vec<Expr>) -> Result<LogicalPlan> {
        let list = self.outer_columns().into_iter().chain(list).collect();
        let projected = LogicalPlan::Projection(Projection::try_new(list, Arc::new(rows))?);
        Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(projected))))
    }

    /// Aggregates by the outer columns; one row where there are none.
    fn grouped(&self, list: Vec<Expr>) -> Result<LogicalPlan> {
        let grouped = Aggregate::try_new(self.rows.clone(), self.outer_columns(), list)?;
        Ok(LogicalPlan::Aggregate(grouped))
    }

    /// The rows of the node, each with its row of `right` or with NULLs.
    fn join(
        &self,
        input: &mut Arc<LogicalPlan>,
        right: LogicalPlan,
        also: Option<(Expr, Expr)>,
        relation: String,
    ) -> Result<()> {
        let (right, (mut on, rest)) = match &self.outer {
            Some(outer) => {
                let (right, pairs) = outer.renamed(right, &TableReference::bare(relation))?;
                let pairs = outer.names.iter().zip(pairs).map(|((there, _), (_, new))| (there.clone(), new));
                let equal = same(pairs, input, &right)?;
                (right, equal)
            }
            None => (right, (vec![], vec![])),
        };
        on.extend(also);
        *input = Arc::new(joined(input.clone(), right, on, conjunction(rest), JoinType::Left)?);
        Ok(())
    }
}

/// A column that this method made.
fn named(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

fn unknown() -> Expr {
    lit(ScalarValue::Boolean(None))
}

impl Flattener {
    /// An expression of a node over `base`, with what its subqueries give joined to `input`.
    pub(super) fn answered(
        &mut self,
        expr: Expr,
        base: &Arc<LogicalPlan>,
        input: &mut Arc<LogicalPlan>,
    ) -> Result<Expr> {
        let answered = expr.transform_up(|part| match is_subquery(&part) {
            true => Ok(Transformed::yes(self.answer(part, base, input)?)),
            false => Ok(Transformed::no(part)),
        })?;
        Ok(answered.data)
    }

    /// The same where NULL is as good as false.
    pub(super) fn answered_as_condition(
        &mut self,
        expr: Expr,
        base: &Arc<LogicalPlan>,
        input: &mut Arc<LogicalPlan>,
    ) -> Result<Expr> {
        match expr {
            Expr::InSubquery(list) if !list.negated => {
                let asked = self.answered(*list.expr, base, input)?;
                let computed = self.computed(&list.subquery, base)?;
                self.found(&computed, asked, input)
            }
            expr => self.answered(expr, base, input),
        }
    }

    fn answer(&mut self, part: Expr, base: &Arc<LogicalPlan>, input: &mut Arc<LogicalPlan>) -> Result<Expr> {
        match part {
            Expr::Exists(exists) => {
                let computed = self.computed(&exists.subquery, base)?;
                let some = self.exists(&computed, input)?;
                Ok(if exists.negated { Expr::Not(Box::new(some)) } else { some })
            }
            Expr::ScalarSubquery(subquery) => {
                let one = is_single(&subquery.subquery)?;
                let computed = self.computed(&subquery, base)?;
                self.scalar(&computed, one, input)
            }
            Expr::InSubquery(list) => self.listed(list, base, input),
            Expr::SetComparison(comparison) => self.compared(comparison, base, input),
            other => Ok(other),
        }
    }

    fn computed(&mut self, subquery: &Subquery, base: &Arc<LogicalPlan>) -> Result<Computed> {
        let columns = free::columns(&subquery.subquery)?;
        let plan = subquery.subquery.as_ref().clone();
        if columns.is_empty() {
            return Ok(Computed { rows: Arc::new(self.plan(plan)?), outer: None });
        }
        let outer = self.outer(base, &columns)?;
        let rows = Dependent { outer: &outer, names: self }.plan(plan)?;
        Ok(Computed { rows: Arc::new(self.plan(rows)?), outer: Some(outer) })
    }

    fn exists(&mut self, computed: &Computed, input: &mut Arc<LogicalPlan>) -> Result<Expr> {
        let name = self.name("exists");
        if computed.outer.is_none() {
            let counted = computed.grouped(vec![count(lit(1i64)).alias(&name)])?;
            computed.join(input, counted, None, self.name("joined"))?;
            return Ok(named(&name).gt(lit(0i64)));
        }
        let rows = computed.rows.as_ref().clone();
        let marks = computed.different(rows, vec![lit(true).alias(&name)])?;
        computed.join(input, marks, None, self.name("joined"))?;
        Ok(named(&name).is_not_null())
    }

    fn scalar(&mut self, computed: &Computed, one: bool, input: &mut Arc<LogicalPlan>) -> Result<Expr> {
        let (name, rows) = (self.name("value"), self.name("rows"));
        let value = computed.value();
        let (below, value) = if one {
            (computed.rows.clone(), value)
        } else {
            let some = self.name("some");
            let grouped = computed.grouped(vec![count(lit(1i64)).alias(&rows), min(value).alias(&some)])?;
            (Arc::new(grouped), only(named(&rows), named(&some)))
        };
        let list = computed.outer_columns().into_iter().chain([value.alias(&name)]).collect();
        let values = LogicalPlan::Projection(Projection::try_new(list, below)?);
        computed.join(input, values, None, self.name("joined"))?;
        Ok(named(&name))
    }

    /// A value as a column of the rows: the optimiser loses a join's condition that turns out to be about a constant.
    fn as_column(&mut self, value: Expr, input: &mut Arc<LogicalPlan>) -> Result<Expr> {
        if matches!(value, Expr::Column(_)) {
            return Ok(value);
        }
        let name = self.name("asked");
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let list = columns.chain([value.alias(&name)]).collect();
        *input = Arc::new(LogicalPlan::Projection(Projection::try_new(list, input.clone())?));
        Ok(named(&name))
    }

    /// Whether a value is among those of the subquery; false for NULL on either side.
    fn found(&mut self, computed: &Computed, asked: Expr, input: &mut Arc<LogicalPlan>) -> Result<Expr> {
        let (name, mark) = (self.name("value"), self.name("found"));
        let asked = self.as_column(asked, input)?;
        let value = computed.value();
        let known = Filter::try_new(value.clone().is_not_null(), computed.rows.clone())?;
        let list = vec![value.alias(&name), lit(true).alias(&mark)];
        let marks = computed.different(LogicalPlan::Filter(known), list)?;
        computed.join(input, marks, Some((asked, named(&name))), self.name("joined"))?;
        Ok(named(&mark).is_not_null())
    }

    /// IN with the three truth values that PostgreSQL has.
    fn listed(
        &mut self,
        list: InSubquery,
        base: &Arc<LogicalPlan>,
        input: &mut Arc<LogicalPlan>,
    ) -> Result<Expr> {
        let asked = *list.expr;
        let computed = self.computed(&list.subquery, base)?;
        let found = self.found(&computed, asked.clone(), input)?;
        let (rows, values) = (self.name("rows"), self.name("values"));
        let counts = vec![count(lit(1i64)).alias(&rows), count(computed.value()).alias(&values)];
        computed.join(input, computed.grouped(counts)?, None, self.name("joined"))?;
        let truth = when(found, lit(true))
            .when(is_empty(&rows), lit(false))
            .when(asked.is_null().or(named(&rows).gt(named(&values))), unknown())
            .otherwise(lit(false))?;
        Ok(if list.negated { Expr::Not(Box::new(truth)) } else { truth })
    }

    /// `x < ANY (..)`, `x >= ALL (..)`: said by the smallest and the greatest value, and by whether there are others or NULLs.
    fn compared(
        &mut self,
        comparison: SetComparison,
        base: &Arc<LogicalPlan>,
        input: &mut Arc<LogicalPlan>,
    ) -> Result<Expr> {
        let SetComparison { expr, subquery, op, quantifier } = comparison;
        let any = quantifier == SetQuantifier::Any;
        match (op, any) {
            (Operator::Eq, true) => return self.listed(InSubquery::new(expr, subquery, false), base, input),
            (Operator::NotEq, false) => {
                return self.listed(InSubquery::new(expr, subquery, true), base, input);
            }
            _ => {}
        }
        let computed = self.computed(&subquery, base)?;
        let (rows, values) = (self.name("rows"), self.name("values"));
        let (low, high) = (self.name("low"), self.name("high"));
        let list = vec![
            count(lit(1i64)).alias(&rows),
            count(computed.value()).alias(&values),
            min(computed.value()).alias(&low),
            max(computed.value()).alias(&high),
        ];
        computed.join(input, computed.grouped(list)?, None, self.name("joined"))?;
        let with = |bound: &str| binary_expr(expr.as_ref().clone(), op, named(bound));
        let (up, down) =
            (matches!(op, Operator::Lt | Operator::LtEq), matches!(op, Operator::Gt | Operator::GtEq));
        let decided = match (op, any) {
            (Operator::Eq, _) => with(&low).and(with(&high)),
            (Operator::NotEq, _) => with(&low).or(with(&high)),
            (_, true) if up => with(&high),
            (_, true) if down => with(&low),
            (_, false) if up => with(&low),
            (_, false) if down => with(&high),
            _ => return unsupported("ANY and ALL are maintained with =, <>, <, <=, > and >="),
        };
        let open = expr.as_ref().clone().is_null().or(named(&rows).gt(named(&values)));
        let decided = if any { decided } else { Expr::Not(Box::new(decided)) };
        when(is_empty(&rows), lit(!any)).when(decided, lit(any)).when(open, unknown()).otherwise(lit(!any))
    }
}

fn is_empty(rows: &str) -> Expr {
    named(rows).is_null().or(Expr::BinaryExpr(BinaryExpr::new(
        Box::new(named(rows)),
        Operator::Eq,
        Box::new(lit(0i64)),
    )))
}

/// Whether a subquery has one row at most, as its own form shows.
fn is_single(plan: &LogicalPlan) -> Result<bool> {
    Ok(match plan {
        LogicalPlan::Projection(projection) => is_single(&projection.input)?,
        LogicalPlan::SubqueryAlias(alias) => is_single(&alias.input)?,
        LogicalPlan::Filter(filter) => is_single(&filter.input)?,
        LogicalPlan::Sort(sort) => is_single(&sort.input)?,
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Limit(limit) => {
            matches!(limit.get_fetch_type()?, FetchType::Literal(Some(0 | 1))) || is_single(&limit.input)?
        }
        _ => false,
    })
}
