//! Functions that answer with lists, for UNNEST to take apart: bounded series, and the parts of JSON.
use crate::functions::{Part, parts};
use arrow::array::IntervalMonthDayNanoArray;
use arrow::array::timezone::Tz;
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, ListBuilder, PrimitiveArray, StringBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowTimestampType, DataType, Field, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Elements that one series may have.
const SERIES_MAX: usize = 10_000_000;
/// Elements that the series of a batch of rows may have, which are there at once.
const BATCH_MAX: usize = 20_000_000;

/// The function of a name, before DataFusion's own.
pub(super) fn function(name: &str) -> Option<Arc<ScalarUDF>> {
    static FUNCTIONS: LazyLock<BTreeMap<&str, Arc<ScalarUDF>>> = LazyLock::new(|| {
        let all = [
            Kind::Series,
            Kind::Range,
            Kind::Elements(false),
            Kind::Elements(true),
            Kind::ElementsText(false),
            Kind::ElementsText(true),
            Kind::Keys(false),
            Kind::Keys(true),
            Kind::Values(false),
            Kind::Values(true),
            Kind::ValuesText(false),
            Kind::ValuesText(true),
        ];
        let function = |kind: Kind| {
            let signature = Signature::user_defined(Volatility::Immutable);
            (kind.name(), Arc::new(ScalarUDF::new_from_impl(Lists { kind, signature })))
        };
        all.map(function).into_iter().collect()
    });
    FUNCTIONS.get(name).cloned()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Series,
    /// The last value is not in it.
    Range,
    /// Of JSON as it was written, or as jsonb.
    Elements(bool),
    ElementsText(bool),
    Keys(bool),
    Values(bool),
    ValuesText(bool),
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Series => "generate_series",
            Kind::Range => "range",
            Kind::Elements(false) => "__json_elements",
            Kind::Elements(true) => "__jsonb_elements",
            Kind::ElementsText(false) => "__json_elements_text",
            Kind::ElementsText(true) => "__jsonb_elements_text",
            Kind::Keys(false) => "__json_keys",
            Kind::Keys(true) => "__jsonb_keys",
            Kind::Values(false) => "__json_values",
            Kind::Values(true) => "__jsonb_values",
            Kind::ValuesText(false) => "__json_values_text",
            Kind::ValuesText(true) => "__jsonb_values_text",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Lists {
    kind: Kind,
    signature: Signature,
}

impl ScalarUDFImpl for Lists {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let element = match self.kind {
            Kind::Series | Kind::Range => types[0].clone(),
            _ => DataType::Utf8,
        };
        Ok(DataType::List(Arc::new(Field::new("item", element, true))))
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.kind, types.len()) {
            (Kind::Series | Kind::Range, 1..=3) => series_types(self.name(), types),
            (Kind::Series | Kind::Range, n) => plan_err!("{}(..) does not take {n} arguments", self.name()),
            (_, 1) => match &types[0] {
                DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => {
                    Ok(vec![DataType::Utf8])
                }
                other => plan_err!("{}(..) takes JSON, not {other}", self.name()),
            },
            (_, n) => plan_err!("{}(..) takes one argument, not {n}", self.name()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { rows };
        let columns = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let list: ArrayRef = match self.kind {
            Kind::Series => series(&columns, true)?,
            Kind::Range => series(&columns, false)?,
            kind => json(kind, &columns[0])?,
        };
        if scalar {
            return datafusion::common::ScalarValue::try_from_array(&list, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(list))
    }
}

/// Integers count by integers, timestamps (and dates, as midnight) by intervals.
fn series_types(name: &str, types: &[DataType]) -> Result<Vec<DataType>> {
    let times: Vec<&DataType> = types
        .iter()
        .take(2)
        .filter(|t| matches!(t, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64))
        .collect();
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    if times.is_empty() {
        let whole = |t: &DataType| t.is_integer() || t.is_null() || matches!(t, DataType::Decimal128(_, 0));
        if types.iter().all(whole) {
            return Ok(vec![DataType::Int64; types.len()]);
        }
        return plan_err!(
            "{name}(..) is over whole numbers or times: cast its arguments to BIGINT or TIMESTAMP"
        );
    }
    if types.len() != 3 {
        return plan_err!("{name}(..) over times has three arguments: write the step as INTERVAL '1 day'");
    }
    let zoned = times.iter().find(|t| matches!(t, DataType::Timestamp(_, Some(_))));
    let plain = times.iter().find(|t| matches!(t, DataType::Timestamp(..)));
    let element = zoned.or(plain).map_or(DataType::Timestamp(TimeUnit::Nanosecond, None), |t| (**t).clone());
    Ok(vec![element.clone(), element, interval])
}

fn series(columns: &[ArrayRef], closed: bool) -> Result<ArrayRef> {
    match columns[0].data_type() {
        DataType::Int64 => whole(columns, closed),
        DataType::Timestamp(TimeUnit::Second, zone) => {
            times::<TimestampSecondType>(columns, zone, closed, TimestampSecondType::add_month_day_nano)
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => times::<TimestampMillisecondType>(
            columns,
            zone,
            closed,
            TimestampMillisecondType::add_month_day_nano,
        ),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => times::<TimestampMicrosecondType>(
            columns,
            zone,
            closed,
            TimestampMicrosecondType::add_month_day_nano,
        ),
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => times::<TimestampNanosecondType>(
            columns,
            zone,
            closed,
            TimestampNanosecondType::add_month_day_nano,
        ),
        other => exec_err!("a series of {other}"),
    }
}

fn too_long<T>() -> Result<T> {
    exec_err!("a series may have {SERIES_MAX} elements: narrow its bounds or widen its step")
}

fn whole(columns: &[ArrayRef], closed: bool) -> Result<ArrayRef> {
    let list: Vec<&Int64Array> = columns.iter().map(|column| column.as_primitive::<Int64Type>()).collect();
    let (mut values, mut lengths, mut valid) = (vec![], vec![], vec![]);
    for row in 0..columns[0].len() {
        let from = values.len();
        valid.push(list.iter().all(|column| column.is_valid(row)));
        if valid[row] {
            // One argument: how many, from 0.
            let (first, last) = if list.len() == 1 {
                (0, list[0].value(row))
            } else {
                (list[0].value(row), list[1].value(row))
            };
            let step = list.get(2).map_or(1, |column| column.value(row));
            if step == 0 {
                return exec_err!("the step of a series must not be zero");
            }
            let (first, step) = (i128::from(first), i128::from(step));
            let beyond = i128::from(last) + if closed { step.signum() } else { 0 };
            let count = ((beyond - first) + (step - step.signum())) / step;
            if count > SERIES_MAX as i128 || values.len() as i128 + count > BATCH_MAX as i128 {
                return too_long();
            }
            values.extend((0..count.max(0)).map(|i| (first + i * step) as i64));
        }
        lengths.push(values.len() - from);
    }
    let values: ArrayRef = Arc::new(Int64Array::from(values));
    Ok(listed(values, lengths, valid))
}

fn times<T: ArrowTimestampType>(
    columns: &[ArrayRef],
    zone: &Option<Arc<str>>,
    closed: bool,
    after: fn(i64, IntervalMonthDayNano, Tz) -> Option<i64>,
) -> Result<ArrayRef> {
    let [first, last] = [0, 1].map(|i| columns[i].as_primitive::<T>());
    let steps: &IntervalMonthDayNanoArray = columns[2].as_primitive::<IntervalMonthDayNanoType>();
    let tz: Tz = zone.as_deref().unwrap_or("+00:00").parse()?;
    let (mut values, mut lengths, mut valid) = (vec![], vec![], vec![]);
    for row in 0..columns[0].len() {
        let from = values.len();
        valid.push(columns.iter().all(|column| column.is_valid(row)));
        if valid[row] {
            let step = steps.value(row);
            let sign = direction(&step)?;
            let (mut at, last) = (first.value(row), last.value(row));
            while (if sign > 0 { at < last } else { at > last }) || (closed && at == last) {
                if values.len() - from == SERIES_MAX || values.len() == BATCH_MAX {
                    return too_long();
                }
                values.push(at);
                let Some(next) = after(at, step, tz) else { break };
                if next == at {
                    return exec_err!("the step of a series is less than its times can show");
                }
                at = next;
            }
        }
        lengths.push(values.len() - from);
    }
    let values = PrimitiveArray::<T>::from_iter_values(values).with_timezone_opt(zone.clone());
    Ok(listed(Arc::new(values), lengths, valid))
}

/// Whether an interval leads forward or back.
fn direction(step: &IntervalMonthDayNano) -> Result<i32> {
    let nanoseconds = i128::from(step.nanoseconds)
        + 86_400_000_000_000 * (i128::from(step.days) + 30 * i128::from(step.months));
    match nanoseconds.signum() {
        0 => exec_err!("the step of a series must not be zero"),
        sign => Ok(sign as i32),
    }
}

fn listed(values: ArrayRef, lengths: Vec<usize>, valid: Vec<bool>) -> ArrayRef {
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), values, nulls))
}

/// The parts of JSON values. An array has elements, an object keys and values; anything else is an error, as in PostgreSQL.
fn json(kind: Kind, column: &ArrayRef) -> Result<ArrayRef> {
    let column = cast(column, &DataType::Utf8)?;
    let texts = column.as_string::<i32>();
    let mut list = ListBuilder::new(StringBuilder::new());
    for row in 0..texts.len() {
        if texts.is_null(row) {
            list.append_null();
            continue;
        }
        let (part, canonical) = match kind {
            Kind::Elements(canonical) => (Part::Elements, canonical),
            Kind::ElementsText(canonical) => (Part::ElementsText, canonical),
            Kind::Values(canonical) => (Part::Values, canonical),
            Kind::ValuesText(canonical) => (Part::ValuesText, canonical),
            Kind::Series | Kind::Range | Kind::Keys(_) => (Part::Keys, kind == Kind::Keys(true)),
        };
        for part in parts(texts.value(row), part, canonical)? {
            list.values().append_option(part);
        }
        list.append(true);
    }
    Ok(Arc::new(list.finish()))
}
