//! `avg` of integers and decimals: a decimal, exact until its last digit, as in PostgreSQL. Of floats it is DataFusion's own.
mod groups;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{cast, sum_checked};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Int64Type, i256};
use dataflows::quotient::{average_type, quotient};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility};
use std::collections::HashSet;
use std::sync::Arc;

/// The function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Average {
    aliases: Vec<String>,
    signature: Signature,
}

impl Average {
    pub(super) fn new() -> Average {
        Average { aliases: vec!["mean".into()], signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        "avg"
    }
    fn aliases(&self) -> &[String] {
        &self.aliases
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        use DataType::*;
        let [of] = types else { return plan_err!("avg() takes one argument, not {}", types.len()) };
        Ok(vec![match of {
            Decimal32(digits, scale) | Decimal64(digits, scale) => Decimal128(*digits, *scale),
            Float16 | Float32 | Float64 | Null => Float64,
            of if of.is_numeric() || matches!(of, Duration(_)) => of.clone(),
            Interval(_) => return plan_err!("avg(interval) is not maintained: write sum(..) / count(..)"),
            of => return plan_err!("avg() takes numbers, not {}", dataflows::value::type_name(of)),
        }])
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match average_type(&types[0]) {
            Some(exact) => Ok(exact),
            None => avg_udaf().return_type(types),
        }
    }
    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let DataType::Decimal128(_, to) = args.return_type() else { return avg_udaf().accumulator(args) };
        let seen = args.is_distinct.then(HashSet::new);
        let scale = scale(args.expr_fields[0].data_type());
        Ok(Box::new(Values { sum: i256::ZERO, count: 0, seen, scale, to: *to }))
    }
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field =
            |part: &str, data_type| Arc::new(Field::new(format_state_name(args.name, part), data_type, true));
        let scale = match args.input_fields[0].data_type() {
            DataType::Decimal128(_, scale) => *scale,
            of if of.is_integer() => 0,
            _ => return avg_udaf().state_fields(args),
        };
        Ok(match args.is_distinct {
            true => vec![field("values", DataType::new_list(DataType::Decimal128(38, scale), true))],
            false => {
                vec![field("sum", DataType::Decimal256(76, scale)), field("count", DataType::Int64)]
            }
        })
    }
    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match args.return_type() {
            DataType::Decimal128(..) => !args.is_distinct,
            _ => avg_udaf().groups_accumulator_supported(args),
        }
    }
    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match args.return_type() {
            DataType::Decimal128(_, to) => {
                Ok(Box::new(groups::Groups::new(scale(args.expr_fields[0].data_type()), *to)))
            }
            _ => avg_udaf().create_groups_accumulator(args),
        }
    }
    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match args.return_type() {
            DataType::Decimal128(..) => self.accumulator(args),
            _ => avg_udaf().create_sliding_accumulator(args),
        }
    }
}

fn scale(of: &DataType) -> i8 {
    match of {
        DataType::Decimal128(_, scale) => *scale,
        _ => 0,
    }
}

/// The average of values whose sum has a scale; none where there are none.
fn average(sum: i256, scale: i8, count: i64, to: i8) -> Result<Option<i128>> {
    if count == 0 {
        return Ok(None);
    }
    match quotient((sum, scale), (i256::from_i128(count.into()), 0), to) {
        Some(units) => Ok(Some(units)),
        None => exec_err!("an average does not fit numeric(38,{to})"),
    }
}

/// What the values add up to, and how many they are.
#[derive(Debug)]
struct Values {
    sum: i256,
    count: i64,
    /// The different ones, where each counts once.
    seen: Option<HashSet<i128>>,
    /// The scale of the values.
    scale: i8,
    /// The scale of the average.
    to: i8,
}

impl Values {
    fn change(&mut self, values: &ArrayRef, sign: i64) -> Result<()> {
        let values = cast(values, &DataType::Decimal128(38, self.scale))?;
        let values = values.as_primitive::<Decimal128Type>();
        if let Some(seen) = &mut self.seen {
            seen.extend(values.iter().flatten());
            return Ok(());
        }
        let of_batch = match sum_checked(values) {
            Ok(sum) => i256::from_i128(sum.unwrap_or(0)),
            Err(_) => values.iter().flatten().fold(i256::ZERO, |sum, v| sum.wrapping_add(i256::from_i128(v))),
        };
        self.sum = match sign {
            1 => self.sum.wrapping_add(of_batch),
            _ => self.sum.wrapping_sub(of_batch),
        };
        self.count += sign * (values.len() - values.null_count()) as i64;
        Ok(())
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(&values[0], 1)
    }
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.change(&values[0], -1)
    }
    fn supports_retract_batch(&self) -> bool {
        self.seen.is_none()
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        if let Some(seen) = &mut self.seen {
            for list in states[0].as_list::<i32>().iter().flatten() {
                seen.extend(list.as_primitive::<Decimal128Type>().iter().flatten());
            }
            return Ok(());
        }
        let counts: &Int64Array = states[1].as_primitive::<Int64Type>();
        for (sum, count) in states[0].as_primitive::<Decimal256Type>().iter().zip(counts) {
            self.sum = self.sum.wrapping_add(sum.unwrap_or(i256::ZERO));
            self.count += count.unwrap_or(0);
        }
        Ok(())
    }
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(match &self.seen {
            Some(seen) => {
                let value = |v: &i128| ScalarValue::Decimal128(Some(*v), 38, self.scale);
                let values: Vec<ScalarValue> = seen.iter().map(value).collect();
                let of = DataType::Decimal128(38, self.scale);
                vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &of))]
            }
            None => vec![
                ScalarValue::Decimal256(Some(self.sum), 76, self.scale),
                ScalarValue::Int64(Some(self.count)),
            ],
        })
    }
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let (sum, count) = match &self.seen {
            Some(seen) => {
                let sum = seen.iter().fold(i256::ZERO, |sum, v| sum.wrapping_add(i256::from_i128(*v)));
                (sum, seen.len() as i64)
            }
            None => (self.sum, self.count),
        };
        let value = average(sum, self.scale, count, self.to)?;
        Ok(ScalarValue::Decimal128(value, 38, self.to))
    }
    fn size(&self) -> usize {
        size_of_val(self) + self.seen.as_ref().map_or(0, |seen| seen.capacity() * 2 * size_of::<i128>())
    }
}
