//! UNNEST: what stands in the place of each output column is picked first, then the lists among them are taken apart.
use super::{Lowered, Lowering, map};
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflows::Plan;
use dataflows::plan::Expr;
use datafusion::logical_expr::{Expr as Logical, Unnest, cast};
use std::sync::Arc;

impl Lowering<'_> {
    pub(super) fn unnest(&self, node: &Unnest) -> Result<Lowered, DeclareError> {
        let input = self.lower(&node.input)?;
        let schema: SchemaRef = Arc::new(node.schema.as_arrow().clone());
        let below = node.input.schema();
        let columns = below.columns();
        let mut project: Vec<Expr> = vec![];
        let mut fields = vec![];
        let mut depths: Vec<(usize, usize)> = vec![];
        let mut lists = node.list_type_columns.iter();
        let mut part = 0;
        for (place, index) in node.dependency_indices.iter().enumerate() {
            part = if place > 0 && node.dependency_indices[place - 1] == *index { part + 1 } else { 0 };
            let column = Logical::Column(columns[*index].clone());
            let data_type = below.field(*index).data_type();
            let expr = if node.struct_type_columns.contains(index) {
                fields.push(schema.field(place).clone());
                datafusion::functions::core::expr_fn::get_field(column, schema_name(data_type, part)?)
            } else if node.list_type_columns.iter().any(|(list, _)| list == index) {
                let depth = lists.next().map_or(1, |(_, list)| list.depth);
                depths.push((place, depth));
                let list = as_list(data_type);
                fields.push(Field::new(schema.field(place).name(), list.clone(), true));
                if list == *data_type { column } else { cast(column, list) }
            } else {
                fields.push(schema.field(place).clone());
                column
            };
            project.push(map::physical(&expr, below)?);
        }
        let plan = map::map(input.plan, None, Some(project), Arc::new(Schema::new(fields)));
        flattened(plan, depths).map(|plan| Lowered { plan: renamed(plan, &schema), key: None })
    }
}

/// The names of the columns of `schema`, where they are others.
fn renamed(plan: Plan, schema: &SchemaRef) -> Plan {
    super::renamed(plan, schema.clone())
}

fn schema_name(data_type: &DataType, part: usize) -> Result<String, DeclareError> {
    match data_type {
        DataType::Struct(fields) if part < fields.len() => Ok(fields[part].name().clone()),
        other => Err(DeclareError::Internal(format!("UNNEST of {other} has no part {part}"))),
    }
}

fn as_list(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => DataType::List(item.clone()),
        other => other.clone(),
    }
}

/// Takes lists apart, and a list of lists as deep as it is asked for.
fn flattened(plan: Plan, depths: Vec<(usize, usize)>) -> Result<Plan, DeclareError> {
    let deepest = depths.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
    if deepest > 1 && depths.len() > 1 {
        return Err(DeclareError::Unsupported(
            "UNNEST of lists of lists beside other lists is not maintained: take them apart in a subquery each".into(),
        ));
    }
    let lists: Vec<usize> = depths.iter().map(|(place, _)| *place).collect();
    let mut plan = plan;
    for _ in 0..deepest {
        let below = plan.schema();
        let fields = below.fields().iter().enumerate().map(|(i, field)| match field.data_type() {
            DataType::List(item) if lists.contains(&i) => {
                Ok(Field::new(field.name(), item.data_type().clone(), true))
            }
            other if lists.contains(&i) => {
                Err(DeclareError::Invalid(format!("{:?} is a {other}: UNNEST takes a list", field.name())))
            }
            _ => Ok(field.as_ref().clone()),
        });
        let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<_>, _>>()?));
        plan = Plan::Flatten { input: Box::new(plan), lists: lists.clone(), schema };
    }
    if deepest == 0 && !lists.is_empty() {
        return Err(from_datafusion(datafusion::error::DataFusionError::Internal(
            "UNNEST of depth 0".into(),
        )));
    }
    Ok(plan)
}
