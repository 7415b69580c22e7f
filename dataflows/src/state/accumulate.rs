//! The aggregate functions as state by group: each row adds its value, multiplied by the row's diff.
use super::distinct::{Distinct, Shared};
use super::exact::ExactSum;
use super::extreme::Extreme;
use super::{logic, moments, ordered};
use crate::Diff;
use crate::codec::Codec;
use crate::plan::{Aggregate, Function};
use crate::quotient::quotient;
use arrow::array::*;
use arrow::datatypes::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::rc::Rc;
use std::sync::Arc;

/// State of one aggregate for all groups of a worker.
pub(crate) trait Accumulator {
    /// Makes room for groups below `groups`.
    fn grow(&mut self, groups: usize);
    /// Adds rows: row `i` of the batch, `diffs[i]` times, to `groups[i]`.
    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]);
    /// The value for each of the groups; a group that has none because its computation failed is named in `errors` by its place.
    fn emit(&self, groups: &[u32], errors: &mut Vec<(usize, Arc<str>)>) -> ArrayRef;
    /// Forgets a group that has no rows left.
    fn clear(&mut self, group: u32);
    /// Whether it holds the values of a group, not only what they add up to.
    fn holds_rows(&self) -> bool {
        false
    }
}

/// The accumulators of the aggregates of a GROUP BY, whose arguments and filters are columns of `schema`; `grows` says that rows only
/// come. Errors name what is not supported.
pub(crate) fn accumulators(
    aggregates: &[Aggregate],
    schema: &Schema,
    grows: bool,
) -> Result<Vec<Box<dyn Accumulator>>, String> {
    let mut shared: BTreeMap<usize, Rc<RefCell<Shared>>> = BTreeMap::new();
    let mut one = |aggregate: &Aggregate| -> Result<Box<dyn Accumulator>, String> {
        let ordered = matches!(aggregate.function, Function::Ordered(_));
        if ordered || !aggregate.distinct || matches!(aggregate.function, Function::Min | Function::Max) {
            return accumulator(aggregate, schema, grows);
        }
        let argument = aggregate.argument.ok_or("DISTINCT needs an argument")?;
        let inner = Aggregate { distinct: false, filter: None, ..aggregate.clone() };
        let values = match shared.entry(argument) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Shared::new(Codec::for_columns(schema, &[argument])?, argument)),
        };
        // A value goes when the last row that has it does: the inner aggregate is told of that too.
        Ok(Box::new(Distinct::new(values, aggregate.filter, accumulator(&inner, schema, false)?)))
    };
    aggregates.iter().map(&mut one).collect()
}

fn accumulator(aggregate: &Aggregate, schema: &Schema, grows: bool) -> Result<Box<dyn Accumulator>, String> {
    let rows = Selection { argument: aggregate.argument, filter: aggregate.filter };
    if let Function::Ordered(call) = &aggregate.function {
        return Ok(Box::new(ordered::Ordered::new(call, aggregate, schema)?));
    }
    let Some(argument) = aggregate.argument else {
        return Ok(Box::new(Count { rows, counts: Vec::new() }));
    };
    let input = schema.field(argument).data_type().clone();
    let output = aggregate.data_type.clone();
    Ok(match (&aggregate.function, &input) {
        (Function::Count, _) => Box::new(Count { rows, counts: Vec::new() }),
        (Function::Sum | Function::Avg, DataType::Float64 | DataType::Float32) => {
            Box::new(Floats { rows, sums: Vec::new(), average: aggregate.function == Function::Avg, output })
        }
        (Function::Sum | Function::Avg, t) if t.is_integer() || matches!(t, DataType::Decimal128(..)) => {
            let finish = match aggregate.function {
                Function::Avg => Finish::average(&input, &output)?,
                _ => Finish::Sum(output),
            };
            Box::new(Integers { rows, sums: Vec::new(), finish })
        }
        (Function::Min, _) => Box::new(Extreme::new(rows, input, true, grows)?),
        (Function::Max, _) => Box::new(Extreme::new(rows, input, false, grows)?),
        (Function::Every, DataType::Boolean) => Box::new(logic::Booleans::every(rows)),
        (Function::Any, DataType::Boolean) => Box::new(logic::Booleans::any(rows)),
        (Function::BitAnd | Function::BitOr | Function::BitXor, t) if t.is_integer() => {
            Box::new(logic::Bits::new(rows, &aggregate.function, output))
        }
        (Function::Moment(moment, x), DataType::Float64) => {
            Box::new(moments::Moments::new(rows, *moment, *x, output))
        }
        (function, t) => {
            return Err(format!("{function:?} of {t} is not supported: cast its argument").to_lowercase());
        }
    })
}

/// Which rows count: those where the filter is true and the argument is not NULL.
pub(super) struct Selection {
    pub(super) argument: Option<usize>,
    pub(super) filter: Option<usize>,
}

impl Selection {
    /// Calls `f` with each row that counts, its group and its diff.
    #[inline(always)]
    pub(super) fn each(
        &self,
        groups: &[u32],
        batch: &RecordBatch,
        diffs: &[Diff],
        mut f: impl FnMut(usize, usize, Diff),
    ) {
        let filter = self.filter.map(|i| batch.column(i).as_boolean());
        let nulls = self.argument.and_then(|i| batch.column(i).logical_nulls());
        if filter.is_none() && nulls.is_none() {
            return (0..groups.len()).for_each(|i| f(i, groups[i] as usize, diffs[i]));
        }
        for i in 0..groups.len() {
            let taken = filter.is_none_or(|c| c.is_valid(i) && c.value(i));
            if taken && nulls.as_ref().is_none_or(|n| n.is_valid(i)) {
                f(i, groups[i] as usize, diffs[i]);
            }
        }
    }
}

/// count(*) and count(x).
struct Count {
    rows: Selection,
    counts: Vec<Diff>,
}

impl Accumulator for Count {
    fn grow(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }
    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]) {
        let counts = &mut self.counts;
        self.rows.each(groups, batch, diffs, |_, g, d| counts[g] += d);
    }
    fn emit(&self, groups: &[u32], _errors: &mut Vec<(usize, Arc<str>)>) -> ArrayRef {
        Arc::new(groups.iter().map(|g| Some(self.counts[*g as usize])).collect::<Int64Array>())
    }
    fn clear(&mut self, group: u32) {
        self.counts[group as usize] = 0;
    }
}

/// An exact integer sum: `wraps * 2^128 + low`, and how many values went in.
#[derive(Clone, Copy, Default)]
struct WideSum {
    low: i128,
    wraps: i64,
    count: Diff,
}

impl WideSum {
    #[inline(always)]
    fn add(&mut self, value: i128, diff: Diff) {
        self.count += diff;
        match value.checked_mul(i128::from(diff)) {
            Some(amount) => self.add_once(amount),
            // Only values near 10^38 with a multiplicity: added one by one.
            None => {
                let step = if diff < 0 { value.wrapping_neg() } else { value };
                (0..diff.unsigned_abs()).for_each(|_| self.add_once(step));
            }
        }
    }
    /// The sum in more bits than it can have; none past them.
    fn wide(&self) -> Option<i256> {
        i256::from_i128(self.low).checked_add(i256::from_parts(0, i128::from(self.wraps)))
    }
    #[inline(always)]
    fn add_once(&mut self, amount: i128) {
        let (low, wrapped) = self.low.overflowing_add(amount);
        self.low = low;
        if wrapped {
            self.wraps += if amount < 0 { -1 } else { 1 };
        }
    }
}

/// How an integer sum becomes the result.
enum Finish {
    Sum(DataType),
    /// The average of values of a scale.
    Average {
        scale: i8,
        output: DataType,
    },
}

impl Finish {
    fn average(input: &DataType, output: &DataType) -> Result<Finish, String> {
        let scale = match input {
            DataType::Decimal128(_, scale) => *scale,
            _ => 0,
        };
        match output {
            DataType::Decimal128(..) => Ok(Finish::Average { scale, output: output.clone() }),
            _ => Err(format!("avg of {input} as {output} is not supported: cast its argument")),
        }
    }

    fn apply(&self, sum: &WideSum) -> Result<i128, String> {
        let whole = if sum.wraps == 0 { Some(sum.low) } else { None };
        match self {
            Finish::Sum(output) => {
                let value = whole.ok_or_else(|| format!("a sum does not fit {output}"))?;
                let fits = match output {
                    DataType::Int64 => i64::try_from(value).is_ok(),
                    DataType::UInt64 => u64::try_from(value).is_ok(),
                    DataType::Decimal128(precision, _) => {
                        value.unsigned_abs() < 10u128.pow(u32::from(*precision))
                    }
                    _ => true,
                };
                if fits { Ok(value) } else { Err(format!("a sum does not fit {output}")) }
            }
            Finish::Average { scale, output } => {
                let DataType::Decimal128(_, to) = output else {
                    unreachable!("the type of an average is bound by Finish::average()")
                };
                let average = sum.wide().and_then(|sum_of| {
                    quotient((sum_of, *scale), (i256::from_i128(sum.count.into()), 0), *to)
                });
                average.ok_or_else(|| format!("an average does not fit {output}"))
            }
        }
    }

    fn output(&self) -> &DataType {
        match self {
            Finish::Sum(output) | Finish::Average { output, .. } => output,
        }
    }
}

/// sum and avg of integers and decimals.
struct Integers {
    rows: Selection,
    sums: Vec<WideSum>,
    finish: Finish,
}

impl Accumulator for Integers {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, WideSum::default());
    }
    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]) {
        let column = batch.column(self.rows.argument.expect("a sum has an argument"));
        let sums = &mut self.sums;
        macro_rules! add {
            ($t:ty) => {{
                let values = column.as_primitive::<$t>().values();
                self.rows.each(groups, batch, diffs, |i, g, d| sums[g].add(values[i] as i128, d));
            }};
        }
        match column.data_type() {
            DataType::Decimal128(_, _) => add!(Decimal128Type),
            DataType::Int64 => add!(Int64Type),
            DataType::Int32 => add!(Int32Type),
            DataType::Int16 => add!(Int16Type),
            DataType::Int8 => add!(Int8Type),
            DataType::UInt64 => add!(UInt64Type),
            DataType::UInt32 => add!(UInt32Type),
            DataType::UInt16 => add!(UInt16Type),
            DataType::UInt8 => add!(UInt8Type),
            other => unreachable!("{other} is not summed as an integer: bound by accumulator()"),
        }
    }
    fn emit(&self, groups: &[u32], errors: &mut Vec<(usize, Arc<str>)>) -> ArrayRef {
        let values = groups.iter().enumerate().map(|(i, g)| {
            let sum = &self.sums[*g as usize];
            if sum.count == 0 {
                return None;
            }
            self.finish.apply(sum).map_err(|e| errors.push((i, e.into()))).ok()
        });
        match self.finish.output() {
            DataType::Int64 => Arc::new(values.map(|v| v.map(|v| v as i64)).collect::<Int64Array>()),
            DataType::UInt64 => Arc::new(values.map(|v| v.map(|v| v as u64)).collect::<UInt64Array>()),
            output => Arc::new(values.collect::<Decimal128Array>().with_data_type(output.clone())),
        }
    }
    fn clear(&mut self, group: u32) {
        self.sums[group as usize] = WideSum::default();
    }
}

/// sum and avg of floats.
struct Floats {
    rows: Selection,
    sums: Vec<(ExactSum, Diff)>,
    average: bool,
    output: DataType,
}

impl Accumulator for Floats {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, Default::default());
    }
    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]) {
        let column = batch.column(self.rows.argument.expect("a sum has an argument"));
        let wide = arrow::compute::cast(column, &DataType::Float64).expect("floats widen");
        let (values, sums) = (wide.as_primitive::<Float64Type>().values(), &mut self.sums);
        self.rows.each(groups, batch, diffs, |i, g, d| {
            sums[g].0.add(values[i], d);
            sums[g].1 += d;
        });
    }
    fn emit(&self, groups: &[u32], _errors: &mut Vec<(usize, Arc<str>)>) -> ArrayRef {
        let values = groups.iter().map(|g| {
            let (sum, count) = &self.sums[*g as usize];
            (*count != 0).then(|| if self.average { sum.value() / *count as f64 } else { sum.value() })
        });
        match self.output {
            DataType::Float32 => Arc::new(values.map(|v| v.map(|v| v as f32)).collect::<Float32Array>()),
            _ => Arc::new(values.collect::<Float64Array>()),
        }
    }
    fn clear(&mut self, group: u32) {
        self.sums[group as usize] = Default::default();
    }
}
