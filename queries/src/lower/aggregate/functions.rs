//! The aggregates that PostgreSQL has and DataFusion has not, or answers otherwise: `mode`, `percentile_disc`, `every`, `avg`,
//! the statistics, and `arg_min` and `arg_max` (which `meaning` says with others).
use arrow::array::{Array, ArrayRef, AsArray, new_empty_array};
use arrow::compute::{SortOptions, concat, filter, is_not_null, partition, sort};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::functions_aggregate::bool_and_or::bool_and_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use std::sync::Arc;

/// All of them, to be registered wherever queries are planned.
pub(crate) fn all() -> Vec<Arc<AggregateUDF>> {
    let own = |name: &'static str, aliases: &[&str], arguments: usize| {
        Arc::new(AggregateUDF::from(Own {
            name,
            aliases: aliases.iter().map(|alias| alias.to_string()).collect(),
            arguments,
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    };
    let mut all = vec![
        Arc::new(AggregateUDF::from(super::average::Average::new())),
        Arc::new(bool_and_udaf().as_ref().clone().with_aliases(["every"])),
        own(MODE, &[], 1),
        own(PERCENTILE_DISC, &["quantile_disc"], 2),
        own("arg_min", &["min_by"], 2),
        own("arg_max", &["max_by"], 2),
    ];
    all.extend(super::moments::all());
    all
}

const MODE: &str = "mode";
const PERCENTILE_DISC: &str = "percentile_disc";

#[derive(Debug, PartialEq, Eq, Hash)]
struct Own {
    name: &'static str,
    aliases: Vec<String>,
    arguments: usize,
    signature: Signature,
}

impl AggregateUDFImpl for Own {
    fn name(&self) -> &str {
        self.name
    }
    fn aliases(&self) -> &[String] {
        &self.aliases
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() != self.arguments {
            return plan_err!("{}() takes {} arguments, not {}", self.name, self.arguments, types.len());
        }
        let mut types = types.to_vec();
        if self.name == PERCENTILE_DISC {
            types[1] = DataType::Float64;
        }
        Ok(types)
    }
    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }
    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let pick = match self.name {
            MODE => Pick::MostFrequent,
            PERCENTILE_DISC => Pick::Fraction(fraction(&args)?),
            name => return exec_err!("{name}() is computed as first_value(.. ORDER BY ..)"),
        };
        let options = args.order_bys.first().map_or(SortOptions::default(), |order| order.options);
        let data_type = args.return_field.data_type().clone();
        Ok(Box::new(Values { values: vec![], distinct: args.is_distinct, options, pick, data_type }))
    }
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let values = DataType::new_list(args.return_field.data_type().clone(), true);
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "values"), values, true))])
    }
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
    fn supports_within_group_clause(&self) -> bool {
        matches!(self.name, MODE | PERCENTILE_DISC)
    }
}

/// The constant fraction of a percentile; none for NULL.
fn fraction(args: &AccumulatorArgs) -> Result<Option<f64>> {
    let nothing = RecordBatch::new_empty(Arc::new(Schema::empty()));
    let value = match args.exprs[1].evaluate(&nothing)? {
        datafusion::logical_expr::ColumnarValue::Scalar(value) => value.cast_to(&DataType::Float64)?,
        _ => return plan_err!("the fraction of percentile_disc() must be a constant: write a number"),
    };
    match value {
        ScalarValue::Float64(Some(fraction)) if !(0.0..=1.0).contains(&fraction) => {
            plan_err!("the fraction {fraction} of percentile_disc() is not between 0 and 1")
        }
        ScalarValue::Float64(fraction) => Ok(fraction),
        other => plan_err!("the fraction {other} of percentile_disc() is no number"),
    }
}

/// Which of the ordered values is the answer.
#[derive(Debug)]
enum Pick {
    /// The first of those that occur most often.
    MostFrequent,
    /// The first that this part of the values does not exceed.
    Fraction(Option<f64>),
}

/// The values that are not NULL, as they came.
#[derive(Debug)]
struct Values {
    values: Vec<ArrayRef>,
    distinct: bool,
    options: SortOptions,
    pick: Pick,
    data_type: DataType,
}

impl Values {
    fn all(&self) -> Result<ArrayRef> {
        let list: Vec<&dyn Array> = self.values.iter().map(|values| values.as_ref()).collect();
        match list.as_slice() {
            [] => Ok(new_empty_array(&self.data_type)),
            list => Ok(concat(list)?),
        }
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.push(filter(&values[0], &is_not_null(&values[0])?)?);
        Ok(())
    }
    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.values.extend(states[0].as_list::<i32>().iter().flatten());
        Ok(())
    }
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let all = self.all()?;
        let values = (0..all.len()).map(|i| ScalarValue::try_from_array(&all, i));
        let values = values.collect::<Result<Vec<_>>>()?;
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.data_type))])
    }
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sorted = sort(&self.all()?, Some(self.options))?;
        let runs = partition(std::slice::from_ref(&sorted))?.ranges();
        let at = match &self.pick {
            Pick::MostFrequent => {
                let longest = runs.iter().map(|run| run.len()).max();
                runs.iter().find(|run| Some(run.len()) == longest).map(|run| run.start)
            }
            Pick::Fraction(None) => None,
            Pick::Fraction(Some(fraction)) => {
                let values = if self.distinct { runs.len() } else { sorted.len() };
                let place = ((fraction * values as f64).ceil() as usize).max(1) - 1;
                let runs = runs.get(place).map(|run| run.start);
                if self.distinct { runs } else { (values > 0).then_some(place) }
            }
        };
        match at {
            Some(at) => ScalarValue::try_from_array(&sorted, at),
            None => ScalarValue::try_from(&self.data_type),
        }
    }
    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(|values| values.get_array_memory_size()).sum::<usize>()
    }
}
