//! GROUPING SETS, ROLLUP and CUBE as what they stand for: one GROUP BY for each set, the other columns NULL, UNION ALL.
//! The empty set has its row even where there are none to group.
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result, ScalarValue, plan_err};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, EmptyRelation, Expr, GroupingSet, LogicalPlan, Projection, Union, lit,
};
use std::sync::Arc;

/// The plan without grouping sets. `grouping()` must have been resolved to the column `__grouping_id`.
pub(in crate::lower) fn expand(plan: LogicalPlan) -> Result<LogicalPlan> {
    let expanded = plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(node) => match node.group_expr.as_slice() {
            [Expr::GroupingSet(GroupingSet::Cube(list))] if list.len() > CUBE_MAX => too_many(),
            [Expr::GroupingSet(sets)] => match listed(sets) {
                sets if sets.len() > SETS_MAX => too_many(),
                sets => Ok(Transformed::yes(union(&node, &sets)?)),
            },
            _ => Ok(Transformed::no(LogicalPlan::Aggregate(node))),
        },
        _ => Ok(Transformed::no(node)),
    })?;
    Ok(expanded.data)
}

/// Grouping sets of one GROUP BY: each is planned by itself.
const SETS_MAX: usize = 1 << CUBE_MAX;
const CUBE_MAX: usize = 8;

fn too_many<T>() -> Result<T> {
    plan_err!("a GROUP BY of more than {SETS_MAX} grouping sets: CUBE takes at most {CUBE_MAX} columns")
}

fn listed(sets: &GroupingSet) -> Vec<Vec<Expr>> {
    match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(list) => (0..=list.len()).rev().map(|n| list[..n].to_vec()).collect(),
        GroupingSet::Cube(list) => (0..1usize << list.len())
            .map(|left_out| {
                let kept = list.iter().enumerate().filter(|(i, _)| left_out >> i & 1 == 0);
                kept.map(|(_, expr)| expr.clone()).collect()
            })
            .collect(),
    }
}

fn union(node: &Aggregate, sets: &[Vec<Expr>]) -> Result<LogicalPlan> {
    let all: Vec<Expr> = grouping_set_to_exprlist(&node.group_expr)?.into_iter().cloned().collect();
    let branches = sets.iter().map(|set| Ok(Arc::new(branch(node, &all, set)?)));
    let mut branches = branches.collect::<Result<Vec<_>>>()?;
    let below = match branches.len() {
        1 => branches.remove(0),
        _ => Arc::new(LogicalPlan::Union(Union::try_new(branches)?)),
    };
    let columns = (0..node.schema.fields().len()).map(|i| {
        let (relation, field) = node.schema.qualified_field(i);
        Expr::Column(Column::from_name(place(i))).alias_qualified(relation.cloned(), field.name())
    });
    Ok(LogicalPlan::Projection(Projection::try_new(columns.collect(), below)?))
}

fn place(i: usize) -> String {
    format!("c{i}")
}

/// The groups of one set, as columns `c0`, `c1`, ..
fn branch(node: &Aggregate, all: &[Expr], set: &[Expr]) -> Result<LogicalPlan> {
    let mut own: Vec<Expr> = vec![];
    set.iter().for_each(|expr| {
        if !own.contains(expr) {
            own.push(expr.clone());
        }
    });
    let below = if own.is_empty() && node.aggr_expr.is_empty() {
        let schema = Arc::new(datafusion::common::DFSchema::empty());
        LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema })
    } else {
        LogicalPlan::Aggregate(Aggregate::try_new(node.input.clone(), own.clone(), node.aggr_expr.clone())?)
    };
    let have = below.schema().columns();
    let type_of = |i: usize| node.schema.field(i).data_type();
    let mut columns = vec![];
    let mut id = 0u64;
    for (i, expr) in all.iter().enumerate() {
        let place_of = own.iter().position(|other| other == expr);
        id = id << 1 | u64::from(place_of.is_none());
        columns.push(match place_of {
            Some(at) => Expr::Column(have[at].clone()),
            None => lit(ScalarValue::try_from(type_of(i))?),
        });
    }
    columns.push(lit(identity(id, type_of(all.len()))?));
    columns.extend(have[own.len()..].iter().cloned().map(Expr::Column));
    let columns = columns.into_iter().enumerate().map(|(i, expr)| expr.alias(place(i))).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(below))?))
}

fn identity(id: u64, data_type: &DataType) -> Result<ScalarValue> {
    ScalarValue::UInt64(Some(id)).cast_to(data_type)
}
