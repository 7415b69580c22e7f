//! `Fold`: an aggregate of each of many frames. Equal frames give equal values whatever was computed before.
//!
//! A frame that only grows is added to. One that moves is taken away from where that is exact: integers, decimals, and the sums of
//! doubles, which are kept exact. All else is aggregated from the frame's first row on.
use crate::state::exact::ExactSum;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use std::ops::Range;
use std::sync::Arc;

/// An aggregate function over frames.
pub(super) struct Fold {
    function: Arc<AggregateFunctionExpr>,
    filter: Option<usize>,
    way: Way,
    data_type: DataType,
}

/// How an accumulator gets from one frame to the next.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Rows can be added only.
    Grow,
    /// Rows can be taken away again.
    Slide,
    /// A sum of doubles; `true`: their average.
    Exact(bool),
}

/// The values of frames, and which of them failed.
pub(super) type Values = (ArrayRef, Vec<(usize, Arc<str>)>);

impl Fold {
    pub(super) fn new(
        function: Arc<AggregateFunctionExpr>,
        filter: Option<usize>,
        input: &arrow::datatypes::Schema,
        data_type: DataType,
    ) -> std::result::Result<Fold, String> {
        let types = function.expressions().iter().map(|e| e.data_type(input)).collect::<Result<Vec<_>>>();
        let types = types.map_err(|e| e.to_string())?;
        let floating = types.iter().any(DataType::is_floating);
        let way = match function.fun().name() {
            _ if function.is_distinct() => Way::Grow,
            "sum" if floating => Way::Exact(false),
            "avg" if floating => Way::Exact(true),
            "count" | "sum" | "avg" | "min" | "max" => {
                let slides = function.create_sliding_accumulator().is_ok_and(|a| a.supports_retract_batch());
                if slides { Way::Slide } else { Way::Grow }
            }
            _ => Way::Grow,
        };
        function.create_accumulator().map_err(|e| e.to_string())?;
        Ok(Fold { function, filter, way, data_type })
    }

    /// Aggregates each frame, part by part: a part's frames are places in `rows`, and neither their starts nor their ends descend.
    pub(super) fn values(&self, rows: &RecordBatch, parts: &[Vec<(usize, usize)>]) -> Values {
        let (mut list, mut failed) = (Vec::with_capacity(parts.iter().map(Vec::len).sum()), vec![]);
        match self.arguments(rows) {
            Ok((arguments, places)) => {
                for frames in parts {
                    self.walk(arguments.clone(), &places, frames, &mut list, &mut failed);
                }
            }
            // What fails for one part fails for no other.
            Err(_) => parts.iter().for_each(|frames| self.alone(rows, frames, &mut list, &mut failed)),
        }
        (column(list, &self.data_type), failed)
    }

    fn null(&self) -> ScalarValue {
        ScalarValue::try_new_null(&self.data_type).expect("a type that rows can hold")
    }

    fn walk(
        &self,
        arguments: Vec<ArrayRef>,
        places: &Places,
        frames: &[(usize, usize)],
        list: &mut Vec<ScalarValue>,
        failed: &mut Vec<(usize, Arc<str>)>,
    ) {
        let mut walk = Walk { fold: self, arguments, state: None, range: 0..0, last: None };
        for (start, end) in frames {
            match walk.value(places.place(*start)..places.place(*end)) {
                Ok(value) => list.push(value),
                Err(why) => {
                    failed.push((list.len(), text(&why)));
                    list.push(self.null());
                }
            }
        }
    }

    /// The frames of one part from the rows that it reads.
    fn alone(
        &self,
        rows: &RecordBatch,
        frames: &[(usize, usize)],
        list: &mut Vec<ScalarValue>,
        failed: &mut Vec<(usize, Arc<str>)>,
    ) {
        let (Some((base, _)), Some((_, end))) = (frames.first(), frames.last()) else { return };
        match self.arguments(&rows.slice(*base, end - base)) {
            Ok((arguments, places)) => {
                let frames: Vec<_> = frames.iter().map(|(start, end)| (start - base, end - base)).collect();
                self.walk(arguments, &places, &frames, list, failed);
            }
            Err(why) => {
                failed.extend((list.len()..list.len() + frames.len()).map(|i| (i, text(&why))));
                list.extend(frames.iter().map(|_| self.null()));
            }
        }
    }

    /// The arguments of the rows that count, and where each row stands among these.
    fn arguments(&self, rows: &RecordBatch) -> Result<(Vec<ArrayRef>, Places)> {
        let kept = self.filter.map(|i| {
            let mask = rows.column(i).as_boolean();
            (0..mask.len()).map(|i| Some(mask.is_valid(i) && mask.value(i))).collect::<BooleanArray>()
        });
        let mut list = vec![];
        for expr in self.function.expressions() {
            let array = expr.evaluate(rows)?.into_array(rows.num_rows())?;
            list.push(match &kept {
                Some(kept) => filter(&array, kept)?,
                None => array,
            });
        }
        if let Way::Exact(_) = self.way {
            list = list.iter().map(|a| cast(a, &DataType::Float64)).collect::<Result<_, _>>()?;
        }
        Ok((list, Places::new(kept.as_ref())))
    }
}

fn text(why: &DataFusionError) -> Arc<str> {
    why.strip_backtrace().into()
}

/// Cells as a column of a type.
fn column(list: Vec<ScalarValue>, data_type: &DataType) -> ArrayRef {
    if list.is_empty() {
        return arrow::array::new_empty_array(data_type);
    }
    let array = ScalarValue::iter_to_array(list).expect("values of one type");
    if array.data_type() == data_type {
        return array;
    }
    cast(&array, data_type).expect("the type that was promised when the plan was lowered")
}

/// From places among all rows to places among those that a filter keeps.
struct Places(Option<Vec<usize>>);

impl Places {
    fn new(kept: Option<&BooleanArray>) -> Places {
        Places(kept.map(|kept| {
            let mut before = vec![0];
            let mut count = 0;
            for i in 0..kept.len() {
                count += usize::from(kept.value(i));
                before.push(count);
            }
            before
        }))
    }

    fn place(&self, place: usize) -> usize {
        self.0.as_ref().map_or(place, |before| before[place])
    }
}

/// What rows were folded into.
enum State {
    Any(Box<dyn Accumulator>),
    Exact(ExactSum, i64),
}

/// A walk over frames from first to last.
struct Walk<'a> {
    fold: &'a Fold,
    arguments: Vec<ArrayRef>,
    state: Option<State>,
    range: Range<usize>,
    last: Option<ScalarValue>,
}

impl Walk<'_> {
    fn value(&mut self, frame: Range<usize>) -> Result<ScalarValue> {
        if frame == self.range
            && let Some(last) = &self.last
        {
            return Ok(last.clone());
        }
        self.last = None;
        match self.reach(frame) {
            Ok(value) => {
                self.last = Some(value.clone());
                Ok(value)
            }
            Err(why) => {
                self.state = None;
                Err(why)
            }
        }
    }

    fn reach(&mut self, frame: Range<usize>) -> Result<ScalarValue> {
        let grows = self.state.is_some() && frame.start == self.range.start && frame.end >= self.range.end;
        let slides = self.state.is_some()
            && self.fold.way != Way::Grow
            && frame.start >= self.range.start
            && frame.end >= self.range.end
            && frame.start < self.range.end;
        let old = std::mem::replace(&mut self.range, frame.clone());
        let (gone, come) = if grows || slides {
            (old.start..frame.start, old.end..frame.end)
        } else {
            self.state = Some(self.fresh()?);
            (0..0, frame)
        };
        let slice = |range: &Range<usize>| -> Vec<ArrayRef> {
            self.arguments.iter().map(|a| a.slice(range.start, range.len())).collect()
        };
        let (gone_rows, come_rows) = (slice(&gone), slice(&come));
        match self.state.as_mut().expect("made above where it was missing") {
            State::Any(accumulator) => {
                if !come.is_empty() {
                    accumulator.update_batch(&come_rows)?;
                }
                if !gone.is_empty() {
                    accumulator.retract_batch(&gone_rows)?;
                }
                accumulator.evaluate()
            }
            State::Exact(sum, count) => {
                for (rows, sign) in [(come_rows, 1), (gone_rows, -1)] {
                    for value in rows[0].as_primitive::<Float64Type>().iter().flatten() {
                        sum.add(value, sign);
                        *count += sign;
                    }
                }
                let divisor = if self.fold.way == Way::Exact(true) { *count as f64 } else { 1.0 };
                let value = ScalarValue::Float64((*count != 0).then(|| sum.value() / divisor));
                value.cast_to(&self.fold.data_type)
            }
        }
    }

    fn fresh(&self) -> Result<State> {
        Ok(match self.fold.way {
            Way::Exact(_) => State::Exact(ExactSum::default(), 0),
            Way::Slide => State::Any(self.fold.function.create_sliding_accumulator()?),
            Way::Grow => State::Any(self.fold.function.create_accumulator()?),
        })
    }
}
