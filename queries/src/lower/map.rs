//! Scalar expressions, and the one constructor of `Plan::Map`, which fuses what can be one operator.
use crate::DeclareError;
use crate::declare::error::from_datafusion;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflows::Plan;
use dataflows::plan::Expr;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr as Logical, ExprSchemable};
use datafusion::physical_expr::create_physical_expr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use std::sync::Arc;

/// An expression over the columns of `schema`, ready to be evaluated.
pub(super) fn physical(expr: &Logical, schema: &DFSchema) -> Result<Expr, DeclareError> {
    let mut subquery = false;
    let looked = expr.apply(|part| {
        subquery |= matches!(
            part,
            Logical::Exists(_)
                | Logical::InSubquery(_)
                | Logical::ScalarSubquery(_)
                | Logical::SetComparison(_)
        ) || matches!(part, Logical::OuterReferenceColumn(..));
        Ok(if subquery { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    looked.map_err(from_datafusion)?;
    if subquery {
        return Err(DeclareError::Unsupported(
            "this correlated subquery cannot be written as a join by itself: write it as a join with a GROUP BY on the columns it compares".into(),
        ));
    }
    let props = ExecutionProps::new();
    let physical = create_physical_expr(expr, schema, &props, &PhysicalPlanningContext::default());
    // In PostgreSQL a number that does not fit is an error; DataFusion wraps around unless told.
    let strict = physical.and_then(|physical| {
        physical.transform_up(|part| {
            let Some(binary) = part.downcast_ref::<BinaryExpr>() else { return Ok(Transformed::no(part)) };
            Ok(Transformed::yes(Arc::new(binary.clone().with_fail_on_overflow(true)) as Expr))
        })
    });
    strict.map(|strict| strict.data).map_err(from_datafusion)
}

/// A column of an input.
pub(super) fn column(schema: &Schema, index: usize) -> Expr {
    Arc::new(Column::new(schema.field(index).name(), index))
}

/// The columns at `list`, in that order.
pub(super) fn pick(input: Plan, list: &[usize]) -> Plan {
    let schema = input.schema();
    let project = list.iter().map(|i| column(&schema, *i)).collect();
    let fields: Vec<_> = list.iter().map(|i| schema.field(*i).clone()).collect();
    map(input, None, Some(project), Arc::new(Schema::new(fields)))
}

/// NULL of a type.
pub(super) fn null(data_type: &DataType) -> Result<Expr, DeclareError> {
    Ok(Arc::new(Literal::new(ScalarValue::try_from(data_type).map_err(from_datafusion)?)))
}

/// A constant.
pub(super) fn constant(value: ScalarValue) -> Expr {
    Arc::new(Literal::new(value))
}

/// Columns that are asked for one after the other, each computed once.
pub(super) struct Columns<'a> {
    schema: &'a DFSchema,
    known: Vec<Logical>,
    project: Vec<Expr>,
    fields: Vec<Field>,
}

impl<'a> Columns<'a> {
    /// None yet, over the columns of `schema`.
    pub(super) fn none(schema: &'a DFSchema) -> Columns<'a> {
        Columns { schema, known: vec![], project: vec![], fields: vec![] }
    }

    /// All of `schema`, in order.
    pub(super) fn all(schema: &'a DFSchema) -> Columns<'a> {
        let arrow = schema.as_arrow();
        Columns {
            schema,
            known: schema.columns().into_iter().map(Logical::Column).collect(),
            project: (0..arrow.fields().len()).map(|i| column(arrow, i)).collect(),
            fields: arrow.fields().iter().map(|field| field.as_ref().clone()).collect(),
        }
    }

    /// Where the value of `expr` will stand.
    pub(super) fn add(&mut self, expr: &Logical) -> Result<usize, DeclareError> {
        let expr = expr.clone().unalias();
        if let Some(index) = self.known.iter().position(|known| *known == expr) {
            return Ok(index);
        }
        let (_, field) = expr.to_field(self.schema).map_err(from_datafusion)?;
        self.project.push(physical(&expr, self.schema)?);
        self.fields.push(field.as_ref().clone());
        self.known.push(expr);
        Ok(self.known.len() - 1)
    }

    /// The columns that they are computed from.
    pub(super) fn input_schema(&self) -> &DFSchema {
        self.schema
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The rows of `input` with these columns.
    pub(super) fn over(self, input: Plan) -> Plan {
        map(input, None, Some(self.project), Arc::new(Schema::new(self.fields)))
    }
}

/// A `Plan::Map`, or less: one operator with the one below where that changes nothing, none where it does nothing.
pub(super) fn map(input: Plan, filter: Option<Expr>, project: Option<Vec<Expr>>, schema: SchemaRef) -> Plan {
    let plan = match input {
        Plan::Map { input: below, filter: first, project: None, .. } if filter.is_none() => {
            Plan::Map { input: below, filter: first, project, schema }
        }
        Plan::Map { input: below, filter: first, project: Some(computed), .. }
            if fuses(&computed, &first, &filter, &project) =>
        {
            let filter = filter.map(|filter| substitute(filter, &computed)).or(first);
            let project = match project {
                Some(list) => list.into_iter().map(|expr| substitute(expr, &computed)).collect(),
                None => computed,
            };
            Plan::Map { input: below, filter, project: Some(project), schema }
        }
        Plan::TopK { input: below, partition, order, offset, limit, number: true, schema: numbered }
            if !reads(&filter, &project, numbered.fields().len() - 1) =>
        {
            let fields = numbered.fields()[..numbered.fields().len() - 1].to_vec();
            let schema_below = Arc::new(Schema::new(fields));
            let top = Plan::TopK {
                input: below,
                partition,
                order,
                offset,
                limit,
                number: false,
                schema: schema_below,
            };
            Plan::Map { input: Box::new(top), filter, project, schema }
        }
        Plan::Values { rows } => match evaluate(&rows, &filter, &project, &schema) {
            Some(rows) => Plan::Values { rows },
            None => Plan::Map { input: Box::new(Plan::Values { rows }), filter, project, schema },
        },
        other => Plan::Map { input: Box::new(other), filter, project, schema },
    };
    match plan {
        Plan::Map { input, filter: None, project, schema } if does_nothing(&input, &project, &schema) => {
            *input
        }
        plan => plan,
    }
}

fn index_of(expr: &Expr) -> Option<usize> {
    expr.downcast_ref::<Column>().map(Column::index)
}

/// Whether the upper operator's expressions may be evaluated over the lower one's input: nothing is computed twice,
/// and no expression sees rows that a filter kept from it.
fn fuses(
    computed: &[Expr],
    first: &Option<Expr>,
    filter: &Option<Expr>,
    project: &Option<Vec<Expr>>,
) -> bool {
    let only_columns = computed.iter().all(|expr| index_of(expr).is_some());
    let only_picks = project.as_ref().is_none_or(|list| list.iter().all(|expr| index_of(expr).is_some()));
    match filter {
        Some(_) => first.is_none() && only_columns,
        None => only_columns || only_picks,
    }
}

fn substitute(expr: Expr, computed: &[Expr]) -> Expr {
    expr.transform_down(|part| {
        Ok(match index_of(&part) {
            Some(index) => Transformed::new(computed[index].clone(), true, TreeNodeRecursion::Jump),
            None => Transformed::no(part),
        })
    })
    .expect("the closure does not fail")
    .data
}

/// Moves each column of an expression to another place.
pub(super) fn move_columns(expr: Expr, place: impl Fn(usize) -> usize) -> Expr {
    expr.transform_down(|part| {
        Ok(match part.downcast_ref::<Column>() {
            Some(column) => {
                let moved: Expr = Arc::new(Column::new(column.name(), place(column.index())));
                Transformed::new(moved, true, TreeNodeRecursion::Jump)
            }
            None => Transformed::no(part),
        })
    })
    .expect("the closure does not fail")
    .data
}

fn reads(filter: &Option<Expr>, project: &Option<Vec<Expr>>, index: usize) -> bool {
    let Some(project) = project else { return true };
    filter.iter().chain(project).any(|expr| {
        let mut found = false;
        expr.apply(|part| {
            found |= index_of(part) == Some(index);
            Ok(TreeNodeRecursion::Continue)
        })
        .expect("the closure does not fail");
        found
    })
}

fn does_nothing(input: &Plan, project: &Option<Vec<Expr>>, schema: &SchemaRef) -> bool {
    let before = input.schema();
    let same_names = before.fields().len() == schema.fields().len()
        && before.fields().iter().zip(schema.fields()).all(|(a, b)| a.name() == b.name());
    let same_order = project
        .as_ref()
        .is_none_or(|list| list.iter().enumerate().all(|(i, expr)| index_of(expr) == Some(i)));
    same_names && same_order
}

/// Constant rows are computed here, once, unless that fails: then each reader of the view shall see the failure.
fn evaluate(
    rows: &RecordBatch,
    filter: &Option<Expr>,
    project: &Option<Vec<Expr>>,
    schema: &SchemaRef,
) -> Option<RecordBatch> {
    let kept = match filter {
        Some(filter) => {
            let mask = filter.evaluate(rows).ok()?.into_array(rows.num_rows()).ok()?;
            filter_record_batch(rows, as_boolean_array(&mask).ok()?).ok()?
        }
        None => rows.clone(),
    };
    let columns: Vec<ArrayRef> = match project {
        // A folded constant may have another scale than the call that it was.
        Some(list) => list
            .iter()
            .zip(schema.fields())
            .map(|(expr, field)| {
                let column = expr.evaluate(&kept).and_then(|value| value.into_array(kept.num_rows())).ok()?;
                arrow::compute::cast(&column, field.data_type()).ok()
            })
            .collect::<Option<_>>()?,
        None => kept.columns().to_vec(),
    };
    let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).ok()
}
