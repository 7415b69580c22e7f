//! Plans inside a loop: what has no operator there is said by operators that have one.
use super::{Expr, Outer, Plan};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{Column, Literal};
use std::sync::Arc;

/// The same rows by joins, unions and negations, wherever the plan reads a recursion around it.
pub fn spelled_out(plan: Plan) -> Plan {
    if !plan.is_open() {
        return plan;
    }
    let boxed = |input: Box<Plan>| Box::new(spelled_out(*input));
    match plan {
        Plan::Map { input, filter, project, schema } => {
            Plan::Map { input: boxed(input), filter, project, schema }
        }
        Plan::Union { inputs, schema } => {
            Plan::Union { inputs: inputs.into_iter().map(spelled_out).collect(), schema }
        }
        Plan::Negate(input) => Plan::Negate(boxed(input)),
        Plan::Distinct(input) => Plan::Distinct(boxed(input)),
        Plan::Join { left, right, on, null_equal, filter, schema } => {
            Plan::Join { left: boxed(left), right: boxed(right), on, null_equal, filter, schema }
        }
        Plan::Matched { left, joined } => Plan::Matched { left: boxed(left), joined: boxed(joined) },
        Plan::Aggregate { input, group, aggregates, schema } => {
            Plan::Aggregate { input: boxed(input), group, aggregates, schema }
        }
        Plan::TopK { input, partition, order, offset, limit, number, schema } => {
            Plan::TopK { input: boxed(input), partition, order, offset, limit, number, schema }
        }
        Plan::Cross { left, right, schema, .. } => Plan::Join {
            left: boxed(left),
            right: boxed(right),
            on: vec![],
            null_equal: false,
            filter: None,
            schema,
        },
        Plan::Outer { left, right, on, null_equal, filter, kind, schema } => {
            let (left, right) = (boxed(left), boxed(right));
            let both = both(&left.schema(), &right.schema());
            let pairs = Plan::Join { left, right, on, null_equal, filter, schema: both };
            outer(pairs, kind, schema)
        }
        other => other,
    }
}

fn both(left: &SchemaRef, right: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(left.fields().iter().chain(right.fields()).cloned().collect::<Vec<_>>()))
}

/// An outer join, from its pairs.
fn outer(pairs: Plan, kind: Outer, schema: SchemaRef) -> Plan {
    let Plan::Join { left, right, .. } = &pairs else { return pairs };
    let sides = [left.as_ref().clone(), right.as_ref().clone()];
    let width = sides[0].schema().fields().len();
    let matched = |side: usize| {
        let own = sides[side].schema();
        let from = side * width;
        let columns = (0..own.fields().len()).map(|i| column(&own, i, from + i)).collect();
        let joined =
            Plan::Map { input: Box::new(pairs.clone()), filter: None, project: Some(columns), schema: own };
        Plan::Matched { left: Box::new(sides[side].clone()), joined: Box::new(joined) }
    };
    let lonely = |side: usize| Plan::Union {
        schema: sides[side].schema(),
        inputs: vec![sides[side].clone(), Plan::Negate(Box::new(matched(side)))],
    };
    let padded = |side: usize| {
        let own = sides[side].schema();
        let place = |i: usize| if side == 0 { Some(i).filter(|i| *i < width) } else { i.checked_sub(width) };
        let project = schema.fields().iter().enumerate().map(|(i, field)| match place(i) {
            Some(i) => column(&own, i, i),
            None => literal(ScalarValue::try_from(field.data_type()).unwrap_or(ScalarValue::Null)),
        });
        Plan::Map {
            project: Some(project.collect()),
            input: Box::new(lonely(side)),
            filter: None,
            schema: schema.clone(),
        }
    };
    let marked = |rows: Plan, mark: bool| {
        let own = rows.schema();
        let columns = (0..own.fields().len()).map(|i| column(&own, i, i));
        let project = columns.chain([literal(ScalarValue::Boolean(Some(mark)))]).collect();
        Plan::Map { input: Box::new(rows), filter: None, project: Some(project), schema: schema.clone() }
    };
    let inputs = match kind {
        Outer::Semi => return matched(0),
        Outer::Anti => return lonely(0),
        Outer::Mark => vec![marked(matched(0), true), marked(lonely(0), false)],
        Outer::Left => vec![pairs.clone(), padded(0)],
        Outer::Right => vec![pairs.clone(), padded(1)],
        Outer::Full => vec![pairs.clone(), padded(0), padded(1)],
    };
    Plan::Union { inputs, schema }
}

fn column(schema: &SchemaRef, name: usize, index: usize) -> Expr {
    Arc::new(Column::new(schema.field(name).name(), index))
}

fn literal(value: ScalarValue) -> Expr {
    Arc::new(Literal::new(value))
}
