//! Filter and project, fused and vectorised. A batch that fails is halved until the failing row is alone.
use super::once::{Known, Once};
use super::{Errs, Oks};
use crate::plan::Expr;
use crate::state::{batch_of, pick};
use crate::ward::Ward;
use crate::{Delta, Diff, Failure};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, filter_record_batch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use datafusion::common::DataFusionError;
use std::cell::OnceCell;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::Operator;
use timely::progress::operate::FrontierInterest;

/// Keeps what `filter` says and computes `project`; failing rows leave as errs.
pub(super) fn map<'s>(
    input: Oks<'s>,
    filter: Option<Expr>,
    project: Option<Vec<Expr>>,
    schema: SchemaRef,
    ward: &Arc<Ward>,
) -> (Oks<'s>, Errs<'s>) {
    let ward = ward.clone();
    let mut builder = OperatorBuilder::new("Map".into(), input.scope());
    let mut input = builder.new_input(input, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (oks, ok_stream) = builder.new_output();
    let (errs, err_stream) = builder.new_output();
    let mut oks = OutputBuilder::<_, CapacityContainerBuilder<Vec<Delta>>>::from(oks);
    let mut errs = OutputBuilder::<_, CapacityContainerBuilder<Vec<Failure>>>::from(errs);
    let work = Work::new(filter, project, schema);
    builder.build(move |_| {
        move |_| {
            let (mut oks, mut errs) = (oks.activate(), errs.activate());
            input.for_each(|cap, data| {
                let mut oks = oks.session_with_builder(&cap);
                let mut errs = errs.session_with_builder(&cap);
                for delta in data.drain(..).filter(|_| ward.stopped().is_none()) {
                    ward.contain("Map", || work.apply(delta, &mut |d| oks.give(d), &mut |e| errs.give(e)));
                }
            });
        }
    });
    (ok_stream, err_stream)
}

/// A filter and a projection.
pub(super) struct Work {
    pub filter: Option<Expr>,
    pub project: Option<Vec<Expr>>,
    /// The columns that leave.
    pub schema: SchemaRef,
    /// Filter and projection as they are computed, once it is known of how many columns.
    made: OnceCell<(Option<Once>, Vec<Once>)>,
}

impl Work {
    pub(super) fn new(filter: Option<Expr>, project: Option<Vec<Expr>>, schema: SchemaRef) -> Work {
        Work { filter, project, schema, made: OnceCell::new() }
    }

    /// Gives the rows that stay and the failures, each with its diff.
    pub(super) fn apply(&self, delta: Delta, give: &mut impl FnMut(Delta), fail: &mut impl FnMut(Failure)) {
        let rows = delta.len();
        match self.evaluate(&delta) {
            Ok(delta) if delta.is_empty() => {}
            Ok(delta) => give(delta),
            Err(error) if rows == 1 => fail((message(&error), delta.time, delta.diffs[0])),
            Err(_) => {
                let middle = rows / 2;
                for (from, length) in [(0, middle), (middle, rows - middle)] {
                    let part = Delta {
                        time: delta.time,
                        rows: delta.rows.slice(from, length),
                        diffs: delta.diffs[from..from + length].to_vec(),
                    };
                    self.apply(part, give, fail);
                }
            }
        }
    }

    fn evaluate(&self, delta: &Delta) -> Result<Delta, DataFusionError> {
        let Delta { time, rows, diffs } = delta;
        let (filter, project) = self.made.get_or_init(|| {
            let once = |expr: &Expr| Once::new(expr.clone(), rows.num_columns());
            (self.filter.as_ref().map(once), self.project.iter().flatten().map(once).collect())
        });
        let mut known = Known::default();
        let (rows, diffs) = match filter {
            None => (rows.clone(), diffs.clone()),
            Some(filter) => {
                let kept = filter.evaluate(rows, &mut known)?;
                let kept = kept.as_boolean_opt().ok_or_else(|| {
                    let filter = filter.expression();
                    DataFusionError::Execution(format!("the condition {filter} is not a boolean"))
                })?;
                let kept = keep(rows, diffs, kept)?;
                if kept.1.len() < rows.num_rows() {
                    known = Known::default();
                }
                kept
            }
        };
        let rows = match &self.project {
            _ if diffs.is_empty() => rows,
            None => rows,
            Some(_) => {
                let columns: Result<Vec<ArrayRef>, DataFusionError> = project
                    .iter()
                    .zip(self.schema.fields())
                    .map(|(e, field)| {
                        let column = e.evaluate(&rows, &mut known)?;
                        // Functions may answer with another form of a type than they declared (text views).
                        if column.data_type() == field.data_type() {
                            Ok(one_zero(column))
                        } else {
                            // What does not fit is a failure, never NULL.
                            let strict = CastOptions { safe: false, ..CastOptions::default() };
                            Ok(one_zero(cast_with_options(&column, field.data_type(), &strict)?))
                        }
                    })
                    .collect();
                batch_of(self.schema.clone(), columns?, diffs.len())
            }
        };
        Ok(Delta { time: *time, rows, diffs })
    }
}

/// Floats with one zero and one NaN: what GROUP BY counts as equal must be the same row wherever rows are kept.
pub(crate) fn one_zero(column: ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let floats = column.as_primitive::<Float64Type>();
            Arc::new(floats.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }))
        }
        DataType::Float32 => {
            let floats = column.as_primitive::<Float32Type>();
            Arc::new(floats.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }))
        }
        _ => column,
    }
}

fn keep(
    rows: &RecordBatch,
    diffs: &[Diff],
    kept: &arrow::array::BooleanArray,
) -> Result<(RecordBatch, Vec<Diff>), DataFusionError> {
    let taken = |i: usize| kept.is_valid(i) && kept.value(i);
    let count = (0..kept.len()).filter(|i| taken(*i)).count();
    if count == kept.len() {
        return Ok((rows.clone(), diffs.to_vec()));
    }
    let diffs = diffs.iter().enumerate().filter(|(i, _)| taken(*i)).map(|(_, d)| *d).collect();
    if rows.num_columns() == 0 {
        return Ok((pick(rows, UInt32Array::from(vec![0; count])), diffs));
    }
    Ok((filter_record_batch(rows, kept)?, diffs))
}

/// The reason without the frames that DataFusion wraps around it.
pub(crate) fn message(error: &DataFusionError) -> Arc<str> {
    let text = error.find_root().to_string();
    let text = ["Arrow error: ", "Execution error: ", "Compute error: "]
        .iter()
        .fold(text.as_str(), |t, prefix| t.strip_prefix(prefix).unwrap_or(t));
    text.to_lowercase().into()
}

/// The same rows with negated multiplicities.
pub(super) fn negate(input: Oks<'_>) -> Oks<'_> {
    input.unary(Pipeline, "Negate", |_, _| {
        move |input, output| {
            input.for_each(|cap, data| {
                let mut session = output.session(&cap);
                for mut delta in data.drain(..) {
                    delta.diffs.iter_mut().for_each(|d| *d = -*d);
                    session.give(delta);
                }
            });
        }
    })
}
