//! UNNEST over columns of earlier items in FROM: its steps are done beside the columns of these items, row by row, and nothing is joined.
//!
//! In PostgreSQL a list that is NULL has no elements.
use datafusion::common::NullHandling;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, JoinType, Result, ScalarValue, TableReference};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, Unnest, expr::Case, lit};

const OWN: &str = "__lateral";

/// The plan with every lateral UNNEST attached to what it reads.
pub(super) fn attached(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Unnest(mut unnest) if unnest.options.preserve_nulls() => {
            unnest.options.null_handling = NullHandling::Drop;
            Ok(Transformed::yes(LogicalPlan::Unnest(unnest)))
        }
        LogicalPlan::Join(join) => match attach(&join)? {
            Some(plan) => Ok(Transformed::yes(plan)),
            None => Ok(Transformed::no(LogicalPlan::Join(join))),
        },
        node => Ok(Transformed::no(node)),
    })?;
    Ok(plan.data)
}

fn attach(join: &Join) -> Result<Option<LogicalPlan>> {
    let kept = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return Ok(None),
    };
    if !reads_outside(&join.right)? || !is_row_wise(&join.right) {
        return Ok(None);
    }
    let always = join.on.is_empty() && join.filter.as_ref().is_none_or(|f| *f == lit(true));
    if kept && !(always && only_lists(&join.right)) {
        return Err(DataFusionError::NotImplemented(
            "LEFT JOIN LATERAL over the elements of a list is maintained ON true alone, and with the list itself: filter above it".into(),
        ));
    }
    let plan = beside(&join.left, &join.right, kept)?;
    let pairs = join.on.iter().map(|(a, b)| a.clone().eq(b.clone()));
    match conjunction(pairs.chain(join.filter.clone())) {
        Some(condition) if !always => LogicalPlanBuilder::from(plan).filter(condition)?.build().map(Some),
        _ => Ok(Some(plan)),
    }
}

/// The columns of `left`, and beside them those that the steps of `right` make of each row.
fn beside(left: &LogicalPlan, right: &LogicalPlan, kept: bool) -> Result<LogicalPlan> {
    let columns = left.schema().columns();
    let attaching = Attaching { outer: left.schema().as_ref().clone(), columns: columns.clone(), kept };
    let plan = attaching.below(right, left.clone())?;
    let named = right
        .schema()
        .iter()
        .enumerate()
        .map(|(i, (relation, field))| own(i).alias_qualified(relation.cloned(), field.name()));
    let list: Vec<Expr> = columns.into_iter().map(Expr::Column).chain(named).collect();
    LogicalPlanBuilder::from(plan).project(list)?.build()
}

/// The plan in which rows meet the elements of constant lists without a join, where they would all meet anyway.
pub(super) fn crossed(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up(|node| {
        let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
        let constant = |side: &LogicalPlan| has_lists(side) && is_row_wise(side);
        if join.join_type != JoinType::Inner || !join.on.is_empty() {
            return Ok(Transformed::no(node));
        }
        let columns: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
        let plan = match (constant(&join.left), constant(&join.right)) {
            (_, true) => beside(&join.left, &join.right, false)?,
            (true, false) => beside(&join.right, &join.left, false)?,
            (false, false) => return Ok(Transformed::no(node)),
        };
        let builder = LogicalPlanBuilder::from(plan).project(columns)?;
        let plan = match &join.filter {
            Some(condition) => builder.filter(condition.clone())?.build()?,
            None => builder.build()?,
        };
        Ok(Transformed::yes(plan))
    })?;
    Ok(plan.data)
}

fn has_lists(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Unnest(_)) || plan.inputs().into_iter().any(has_lists)
}

fn reads_outside(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        found |= node.contains_outer_reference();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether each row of a plan comes from one row outside it.
fn is_row_wise(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::EmptyRelation(node) => node.produce_one_row,
        LogicalPlan::Subquery(node) => is_row_wise(&node.subquery),
        LogicalPlan::SubqueryAlias(node) => is_row_wise(&node.input),
        LogicalPlan::Unnest(node) => node.struct_type_columns.is_empty() && is_row_wise(&node.input),
        LogicalPlan::Filter(node) => !has_subquery(&node.predicate) && is_row_wise(&node.input),
        LogicalPlan::Projection(node) => !node.expr.iter().any(has_subquery) && is_row_wise(&node.input),
        _ => false,
    }
}

fn has_subquery(expr: &Expr) -> bool {
    let found = expr.exists(|part| {
        Ok(matches!(
            part,
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_)
        ))
    });
    found.unwrap_or(true)
}

/// Whether a plan is UNNEST and names: where it has no row, a row of NULLs is that of a list of one NULL.
fn only_lists(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Subquery(node) => only_lists(&node.subquery),
        LogicalPlan::SubqueryAlias(node) => only_lists(&node.input),
        LogicalPlan::Projection(node) => {
            node.expr.iter().all(|expr| matches!(expr.clone().unalias(), Expr::Column(_)))
                && only_lists(&node.input)
        }
        LogicalPlan::Unnest(node) => {
            let lists = node.list_type_columns.len();
            lists == node.input.schema().fields().len()
                && matches!(node.input.as_ref(), LogicalPlan::Projection(p) if matches!(p.input.as_ref(), LogicalPlan::EmptyRelation(_)))
        }
        _ => false,
    }
}

fn own(index: usize) -> Expr {
    Expr::Column(Column::new(Some(OWN), format!("c{index}")))
}

struct Attaching {
    outer: DFSchema,
    /// The columns of the items before, which every step repeats.
    columns: Vec<Column>,
    /// Whether rows without elements stay.
    kept: bool,
}

impl Attaching {
    /// The rows outside with the columns of `plan` beside them, as `__lateral.c0` and so on.
    fn below(&self, plan: &LogicalPlan, outside: LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::EmptyRelation(_) => Ok(outside),
            LogicalPlan::Subquery(node) => self.below(&node.subquery, outside),
            LogicalPlan::SubqueryAlias(node) => self.below(&node.input, outside),
            LogicalPlan::Filter(node) => {
                let input = self.below(&node.input, outside)?;
                let predicate = self.over(&node.predicate, node.input.schema())?;
                LogicalPlanBuilder::from(input).filter(predicate)?.build()
            }
            LogicalPlan::Projection(node) => {
                let input = self.below(&node.input, outside)?;
                let list =
                    node.expr.iter().map(|expr| self.over(&expr.clone().unalias(), node.input.schema()));
                self.project(input, list.collect::<Result<Vec<_>>>()?)
            }
            LogicalPlan::Unnest(node) => {
                let input = self.below(&node.input, outside)?;
                let input = if self.kept { self.padded(input, node)? } else { input };
                self.unnest(input, node)
            }
            other => Err(DataFusionError::Internal(format!("{} is not done row by row", other.display()))),
        }
    }

    fn project(&self, input: LogicalPlan, list: Vec<Expr>) -> Result<LogicalPlan> {
        let relation = TableReference::bare(OWN);
        let named = list
            .into_iter()
            .enumerate()
            .map(|(i, expr)| expr.alias_qualified(Some(relation.clone()), format!("c{i}")));
        let all: Vec<Expr> = self.columns.iter().cloned().map(Expr::Column).chain(named).collect();
        LogicalPlanBuilder::from(input).project(all)?.build()
    }

    /// An expression over the columns of a step, and those outside, over the columns attached.
    fn over(&self, expr: &Expr, schema: &DFSchema) -> Result<Expr> {
        let moved = expr.clone().transform_down(|part| match &part {
            Expr::Column(column) => {
                let index = schema.index_of_column(column)?;
                Ok(Transformed::new(own(index), true, TreeNodeRecursion::Jump))
            }
            Expr::OuterReferenceColumn(_, column) if self.outer.has_column(column) => {
                Ok(Transformed::new(Expr::Column(column.clone()), true, TreeNodeRecursion::Jump))
            }
            _ => Ok(Transformed::no(part)),
        })?;
        Ok(moved.data)
    }

    fn unnest(&self, input: LogicalPlan, node: &Unnest) -> Result<LogicalPlan> {
        // A list that is taken apart to several depths is a column for each of them.
        let sources: Vec<Expr> = node.dependency_indices.iter().map(|i| own(*i)).collect();
        let input = self.project(input, sources)?;
        let mut options = node.options.clone();
        options.null_handling = NullHandling::Drop;
        options.recursions = vec![];
        let mut plan = input;
        let depth = |place: usize| {
            let index = node.dependency_indices[place];
            let mut lists = node.list_type_columns.iter().filter(|(list, _)| *list == index);
            let nth = node.dependency_indices[..place].iter().filter(|i| **i == index).count();
            lists.nth(nth).map_or(0, |(_, list)| list.depth)
        };
        let places = node.dependency_indices.len();
        let deepest = (0..places).map(depth).max().unwrap_or(0);
        if deepest > 1 && (0..places).filter(|place| depth(*place) > 0).count() > 1 {
            return Err(DataFusionError::NotImplemented(
                "UNNEST of lists of lists beside other lists is not maintained: take them apart in a subquery each".into(),
            ));
        }
        for _ in 0..deepest {
            let lists = (0..places).filter(|place| depth(*place) > 0);
            let lists = lists.map(|place| Column::new(Some(OWN), format!("c{place}"))).collect();
            plan = LogicalPlanBuilder::from(plan)
                .unnest_columns_with_options(lists, options.clone())?
                .build()?;
            // What was a list has lost its qualifier.
            let names = plan.schema().columns().into_iter().skip(self.columns.len()).map(Expr::Column);
            plan = self.project(plan, names.collect())?;
        }
        Ok(plan)
    }

    /// The lists of a row that have no element between them become lists of one NULL.
    fn padded(&self, input: LogicalPlan, node: &Unnest) -> Result<LogicalPlan> {
        let lists: Vec<usize> = node.list_type_columns.iter().map(|(index, _)| *index).collect();
        let empty = lists.iter().map(|index| {
            let length = datafusion::functions_nested::expr_fn::cardinality(own(*index));
            own(*index).is_null().or(length.eq(lit(ScalarValue::UInt64(Some(0)))))
        });
        let Some(empty) = conjunction(empty) else { return Ok(input) };
        let width = node.input.schema().fields().len();
        let list = (0..width).map(|i| {
            let nothing = match node.input.schema().field(i).data_type() {
                arrow::datatypes::DataType::List(item) => {
                    let null = ScalarValue::try_from(item.data_type())?;
                    ScalarValue::List(ScalarValue::new_list(&[null], item.data_type(), true))
                }
                other => {
                    return Err(DataFusionError::NotImplemented(format!("LEFT JOIN LATERAL over a {other}")));
                }
            };
            Ok(Expr::Case(Case {
                expr: None,
                when_then_expr: vec![(Box::new(empty.clone()), Box::new(lit(nothing)))],
                else_expr: Some(Box::new(own(i))),
            }))
        });
        let list = list.collect::<Result<Vec<_>>>()?;
        self.project(input, list)
    }
}
