//! `Native`: a scalar function of ours as DataFusion calls it. What a function takes is data: a list of kinds for each form it has.
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::cell::Cell;
use std::hash::{Hash, Hasher};

/// What an argument may be, and what it is made before the function sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// As it is.
    Any,
    /// Text, and what is written as an untyped literal.
    Text,
    /// `Int32` from an integer that is not longer.
    Int,
    /// `Int64` from any integer.
    Integer,
    /// `Float64` from any number.
    Double,
    /// Any integer or decimal, as `Decimal128`.
    Numeric,
    /// Either float, as `Float64`.
    Float,
    /// `timestamp`, in nanoseconds.
    Timestamp,
    /// `timestamptz`, in nanoseconds.
    Instant,
    /// `date`.
    Date,
    /// `time`, in nanoseconds.
    Time,
    /// `interval`.
    Interval,
    /// A list of text.
    Texts,
    /// Any list.
    List,
}

/// `timestamp`.
pub(super) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);
/// `interval`.
pub(super) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
/// `time`.
pub(super) const TIME: DataType = DataType::Time64(TimeUnit::Nanosecond);

/// `timestamptz`.
pub(super) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// A list of text.
pub(super) fn texts() -> DataType {
    DataType::new_list(DataType::Utf8, true)
}

impl Kind {
    /// The type an argument is made; none if it cannot be one of this kind.
    fn accept(self, have: &DataType) -> Option<DataType> {
        use DataType::*;
        if let Dictionary(_, values) = have {
            return self.accept(values);
        }
        let text = matches!(have, Utf8 | LargeUtf8 | Utf8View | Null);
        match self {
            Kind::Any => Some(if *have == Null { Utf8 } else { have.clone() }),
            Kind::Text => text.then_some(Utf8),
            Kind::Int => matches!(have, Int8 | UInt8 | Int16 | UInt16 | Int32).then_some(Int32),
            Kind::Integer => (have.is_integer() || *have == Null).then_some(Int64),
            Kind::Double => (have.is_numeric() || *have == Null).then_some(Float64),
            Kind::Float => matches!(have, Float16 | Float32 | Float64).then_some(Float64),
            Kind::Numeric => match have {
                Int8 | UInt8 | Int16 | UInt16 | Int32 | UInt32 => Some(Decimal128(10, 0)),
                Int64 | UInt64 => Some(Decimal128(20, 0)),
                Decimal128(p, s) => Some(Decimal128(*p, *s)),
                Decimal32(p, s) | Decimal64(p, s) => Some(Decimal128(*p, *s)),
                Decimal256(p, s) => Some(Decimal128((*p).min(38), *s)),
                Null => Some(Decimal128(38, 10)),
                _ => None,
            },
            Kind::Timestamp => match have {
                Timestamp(_, None) | Date32 | Date64 => Some(TIMESTAMP),
                _ => text.then_some(TIMESTAMP),
            },
            Kind::Instant => match have {
                Timestamp(_, Some(_)) => Some(instant()),
                _ => None,
            },
            Kind::Date => match have {
                Date32 | Date64 => Some(Date32),
                _ => None,
            },
            Kind::Time => matches!(have, Time32(_) | Time64(_)).then_some(TIME),
            Kind::Interval => match have {
                Interval(_) | Duration(_) => Some(INTERVAL),
                _ => text.then_some(INTERVAL),
            },
            Kind::Texts => match have {
                List(_) | LargeList(_) | FixedSizeList(..) => Some(texts()),
                _ => None,
            },
            Kind::List => match have {
                List(_) => Some(have.clone()),
                LargeList(f) | FixedSizeList(f, _) => Some(List(f.clone())),
                _ => None,
            },
        }
    }
}

/// The forms a function has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    /// One of these lists, the first that fits.
    Forms(&'static [&'static [Kind]]),
    /// Any arguments, this many at least.
    Any(usize),
    /// The first list, then any number of the last kind.
    Rest(&'static [Kind], Kind),
}

/// The type of the result, from the types of the arguments.
pub(super) type Returns = fn(&[DataType]) -> DataType;
/// The function itself: its arguments as columns of so many rows, and the type of the result.
pub(super) type Body = fn(&[ArrayRef], usize, &DataType) -> Result<ArrayRef>;

/// A scalar function of ours.
#[derive(Debug)]
pub(super) struct Native {
    name: &'static str,
    takes: Takes,
    returns: Returns,
    body: Body,
    /// The type it answers with, where that is not a matter of its arguments.
    target: Option<DataType>,
    signature: Signature,
}

impl PartialEq for Native {
    fn eq(&self, other: &Native) -> bool {
        self.name == other.name && self.target == other.target
    }
}
impl Eq for Native {}
impl Hash for Native {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.target.hash(state);
    }
}

/// A function by its name.
pub(super) fn native(name: &'static str, takes: Takes, returns: Returns, body: Body) -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    ScalarUDF::new_from_impl(Native { name, takes, returns, body, target: None, signature })
}

/// A function that answers with a given type.
pub(super) fn native_to(name: &'static str, takes: Takes, target: DataType, body: Body) -> ScalarUDF {
    let signature = Signature::user_defined(Volatility::Immutable);
    ScalarUDF::new_from_impl(Native {
        name,
        takes,
        returns: |_| DataType::Null,
        body,
        target: Some(target),
        signature,
    })
}

impl ScalarUDFImpl for Native {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(self.target.clone().unwrap_or_else(|| (self.returns)(arguments)))
    }

    fn coerce_types(&self, have: &[DataType]) -> Result<Vec<DataType>> {
        let fit = |kinds: &mut dyn Iterator<Item = Kind>| {
            kinds.zip(have).map(|(kind, have)| kind.accept(have)).collect::<Option<Vec<_>>>()
        };
        let found = match self.takes {
            Takes::Forms(forms) => forms
                .iter()
                .filter(|form| form.len() == have.len())
                .find_map(|form| fit(&mut form.iter().copied())),
            Takes::Any(least) if have.len() >= least => fit(&mut std::iter::repeat(Kind::Any)),
            Takes::Any(_) => None,
            Takes::Rest(first, last) if have.len() >= first.len() => {
                fit(&mut first.iter().copied().chain(std::iter::repeat(last)))
            }
            Takes::Rest(..) => None,
        };
        found.ok_or_else(|| {
            let have: Vec<String> = have.iter().map(dataflows::value::type_name).collect();
            DataFusionError::Plan(format!(
                "{} does not take ({}): add a CAST to the argument that does not fit",
                self.name,
                have.join(", ")
            ))
        })
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = call.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { call.number_rows };
        let columns = call.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        fresh();
        let result = (self.body)(&columns, rows, call.return_field.data_type())?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// The results of a function that is NULL where an argument is.
pub(super) fn strict<T>(
    columns: &[ArrayRef],
    rows: usize,
    mut f: impl FnMut(usize) -> Result<Option<T>>,
) -> Result<Vec<Option<T>>> {
    (0..rows).map(|i| if columns.iter().any(|c| c.is_null(i)) { Ok(None) } else { f(i) }).collect()
}

/// An error of one row.
pub(super) fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(DataFusionError::Execution(text.into()))
}

/// Results larger than this are refused, so that a query cannot take the memory of the process.
pub(super) const RESULT_BYTES_MAX: usize = 16 << 20;
/// The same for all results of one call, which are there at once.
const BATCH_BYTES_MAX: usize = 256 << 20;

thread_local! {
    /// What the call under way has given so far.
    static BATCH_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// A call begins.
pub(super) fn fresh() {
    BATCH_BYTES.set(0);
}

/// Refuses a result that would be too large, by itself or with those of the rows before.
pub(super) fn bounded(name: &str, bytes: usize) -> Result<()> {
    let batch = BATCH_BYTES.get().saturating_add(bytes);
    BATCH_BYTES.set(batch);
    let (what, bytes, most) = match bytes > RESULT_BYTES_MAX {
        true => ("result", bytes, RESULT_BYTES_MAX),
        false => ("results of a batch of rows", batch, BATCH_BYTES_MAX),
    };
    if bytes > most {
        return fail(format!("{name}: the {what} would have {bytes} bytes, at most {most} are allowed"));
    }
    Ok(())
}
