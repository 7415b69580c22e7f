//! Variances, correlation and regression from exact sums, as a view has them: the same in any order, and NaN and infinity as
//! PostgreSQL has them, where DataFusion's own round at each row.
use super::moment;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use dataflows::Sums;
use dataflows::plan::Moment;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::functions_aggregate::correlation::corr_udaf;
use datafusion::functions_aggregate::covariance::{covar_pop_udaf, covar_samp_udaf};
use datafusion::functions_aggregate::regr;
use datafusion::functions_aggregate::stddev::{stddev_pop_udaf, stddev_udaf};
use datafusion::functions_aggregate::variance::{var_pop_udaf, var_samp_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature};
use std::collections::HashSet;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

/// All of them.
pub(super) fn all() -> Vec<Arc<AggregateUDF>> {
    let list = [
        var_pop_udaf(),
        var_samp_udaf(),
        stddev_pop_udaf(),
        stddev_udaf(),
        covar_pop_udaf(),
        covar_samp_udaf(),
        corr_udaf(),
        regr::regr_slope_udaf(),
        regr::regr_intercept_udaf(),
        regr::regr_count_udaf(),
        regr::regr_r2_udaf(),
        regr::regr_avgx_udaf(),
        regr::regr_avgy_udaf(),
        regr::regr_sxx_udaf(),
        regr::regr_syy_udaf(),
        regr::regr_sxy_udaf(),
    ];
    list.into_iter().map(|inner| Arc::new(AggregateUDF::from(Exact::new(inner)))).collect()
}

/// A function of DataFusion, computed exactly.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    inner: Arc<AggregateUDF>,
    aliases: Vec<String>,
}

impl Exact {
    fn new(inner: Arc<AggregateUDF>) -> Exact {
        let mut aliases = inner.aliases().to_vec();
        if inner.name() == "var" {
            aliases.push("variance".into());
        }
        Exact { inner, aliases }
    }
}

impl AggregateUDFImpl for Exact {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn aliases(&self) -> &[String] {
        &self.aliases
    }
    fn signature(&self) -> &Signature {
        self.inner.signature()
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }
    /// What it is of no rows: a count is 0.
    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }
    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }
    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let Some(moment) = moment(self.name()) else {
            return plan_err!("{}() is no statistic", self.name());
        };
        let seen = args.is_distinct.then(HashSet::new);
        Ok(Box::new(Rows { moment, sums: Sums::default(), seen, output: args.return_type().clone() }))
    }
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field =
            |part: &str, data_type| Arc::new(Field::new(format_state_name(args.name, part), data_type, true));
        Ok(match args.is_distinct {
            true => vec![field("rows", DataType::new_list(DataType::Float64, true))],
            false => vec![field("sums", DataType::Binary)],
        })
    }
}

/// The rows in which no argument is NULL.
struct Rows {
    moment: Moment,
    sums: Sums,
    /// The different ones, where each counts once: the bits of `x`, if there is one, and of `y`.
    seen: Option<HashSet<(Option<u64>, u64)>>,
    output: DataType,
}

impl Debug for Rows {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({:?})", self.moment)
    }
}

/// There is one zero, and one NaN.
fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

impl Rows {
    fn change(&mut self, values: &[ArrayRef], diff: i64) -> Result<()> {
        let values = values.iter().map(|column| Ok(cast(column, &DataType::Float64)?));
        let values: Vec<ArrayRef> = values.collect::<Result<_>>()?;
        let list: Vec<&Float64Array> = values.iter().map(|column| column.as_primitive()).collect();
        let (y, x) = match list.as_slice() {
            [y] => (y, None),
            [y, x] => (y, Some(x)),
            list => return exec_err!("a statistic of {} columns", list.len()),
        };
        for i in (0..y.len()).filter(|i| y.is_valid(*i) && x.is_none_or(|x| x.is_valid(*i))) {
            let (x, y) = (x.map(|x| x.value(i)), y.value(i));
            match &mut self.seen {
                Some(seen) => _ = seen.insert((x.map(bits), bits(y))),
                None => self.sums.add(x, y, diff),
            }
        }
        Ok(())
    }
}

impl Accumulator for Rows {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(values, 1)
    }
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(values, -1)
    }
    fn supports_retract_batch(&self) -> bool {
        self.seen.is_none()
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(seen) = &mut self.seen else {
            for bytes in states[0].as_binary::<i32>().iter().flatten() {
                let Some(()) = self.sums.merge(bytes) else { return exec_err!("no state of a statistic") };
            }
            return Ok(());
        };
        // Pairs lie one behind the other, a single argument behind a NULL.
        for list in states[0].as_list::<i32>().iter().flatten() {
            let numbers = list.as_primitive::<Float64Type>();
            for i in (1..numbers.len()).step_by(2) {
                let x = numbers.is_valid(i - 1).then(|| bits(numbers.value(i - 1)));
                seen.insert((x, bits(numbers.value(i))));
            }
        }
        Ok(())
    }
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let Some(seen) = &self.seen else { return Ok(vec![ScalarValue::Binary(Some(self.sums.bytes()))]) };
        let number = |bits: Option<u64>| ScalarValue::Float64(bits.map(f64::from_bits));
        let numbers: Vec<ScalarValue> =
            seen.iter().flat_map(|(x, y)| [number(*x), number(Some(*y))]).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&numbers, &DataType::Float64))])
    }
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = match &self.seen {
            None => self.sums.value(self.moment),
            Some(seen) => {
                let mut sums = Sums::default();
                for (x, y) in seen {
                    sums.add(x.map(f64::from_bits), f64::from_bits(*y), 1);
                }
                sums.value(self.moment)
            }
        };
        ScalarValue::Float64(value).cast_to(&self.output)
    }
    fn size(&self) -> usize {
        // Sums hold a few digits each.
        size_of_val(self) + 512 + self.seen.as_ref().map_or(0, |seen| seen.capacity() * 48)
    }
}
