//! `Peers`: the ORDER BY columns of a window as bytes, and values that lie before or after others in that order.
use super::list::List;
use crate::render::one_zero;
use crate::row::Row;
use arrow::array::{Array, ArrayRef, AsArray, Scalar, new_null_array};
use arrow::compute::kernels::numeric::{add, sub};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::ScalarValue;
use std::sync::Arc;

/// The ORDER BY columns.
pub(super) struct Peers {
    /// None without ORDER BY: then all rows are peers.
    converter: Option<RowConverter>,
    /// The first column's type and direction, which RANGE offsets are added to.
    data_type: DataType,
    descending: bool,
    nulls_first: bool,
}

/// Where a distance leads.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Toward {
    Start,
    End,
}

impl Peers {
    pub(super) fn new(
        fields: Vec<SortField>,
        options: Option<(DataType, bool, bool)>,
    ) -> Result<Peers, String> {
        let (data_type, descending, nulls_first) = options.unwrap_or((DataType::Null, false, false));
        let converter = match fields.is_empty() {
            true => None,
            false => Some(
                RowConverter::new(fields).map_err(|e| format!("ORDER BY cannot compare a column: {e}"))?,
            ),
        };
        Ok(Peers { converter, data_type, descending, nulls_first })
    }

    /// The bytes of the columns of each of `rows` rows.
    pub(super) fn lengths(&self, columns: &[ArrayRef], rows: usize) -> Vec<u32> {
        let Some(converter) = &self.converter else { return vec![0; rows] };
        let encoded = converter.convert_columns(columns).expect("the plan was lowered with these types");
        encoded.iter().map(|row| row.data().len() as u32).collect()
    }

    /// Whether an offset can be added to the first column.
    pub(super) fn accepts(&self, amount: &ScalarValue) -> Result<(), String> {
        let refused = |why: String| {
            format!(
                "RANGE with the offset {amount} over an ORDER BY column of type {}: {why}",
                self.data_type
            )
        };
        let hours = matches!(amount, ScalarValue::IntervalMonthDayNano(Some(v)) if v.nanoseconds != 0);
        if self.data_type == DataType::Date32 && hours {
            return Err(refused("cast the column to a timestamp".into()));
        }
        let one = new_null_array(&self.data_type, 1);
        for toward in [Toward::Start, Toward::End] {
            self.moved(&one, amount, toward).map_err(|e| refused(e.to_string()))?;
        }
        Ok(())
    }

    /// The first column of encoded ORDER BY columns.
    pub(super) fn values<'a>(&self, prefixes: impl Iterator<Item = &'a [u8]>) -> ArrayRef {
        let converter = self.converter.as_ref().expect("RANGE with an offset has an ORDER BY column");
        let parser = converter.parser();
        let rows = prefixes.map(|bytes| parser.parse(bytes));
        let columns = converter.convert_rows(rows).expect("rows that this converter wrote");
        columns.into_iter().next().expect("RANGE with an offset has an ORDER BY column")
    }

    fn moved(&self, values: &ArrayRef, amount: &ScalarValue, toward: Toward) -> Result<ArrayRef, String> {
        let amount = Scalar::new(amount.to_array().map_err(|e| e.to_string())?);
        let larger = (toward == Toward::End) != self.descending;
        let moved = if larger { add(values, &amount) } else { sub(values, &amount) };
        let moved = moved.map_err(|e| e.to_string())?;
        Ok(match (&self.data_type, moved.data_type()) {
            // One digit more in front changes nothing in the bytes.
            (DataType::Decimal128(_, a), DataType::Decimal128(_, b)) if a == b => {
                let wide = moved.as_primitive::<Decimal128Type>().clone();
                Arc::new(wide.with_data_type(self.data_type.clone()))
            }
            (want, have) if want == have => one_zero(moved),
            (want, have) => return Err(format!("their sum is a {have}, not a {want}")),
        })
    }

    /// The bytes of values moved by `amount`; none where there is no such value.
    pub(super) fn shifted(
        &self,
        values: &ArrayRef,
        amount: &ScalarValue,
        toward: Toward,
    ) -> Vec<Option<Row>> {
        match self.moved(values, amount, toward) {
            Ok(moved) => self.encode(moved),
            Err(_) => (0..values.len())
                .map(|i| {
                    let one = self.moved(&values.slice(i, 1), amount, toward).ok()?;
                    self.encode(one).pop().flatten()
                })
                .collect(),
        }
    }

    /// Whether what is moved by `amount` and back is where it was: months differ in length, and so do days where clocks are changed.
    pub(super) fn reversible(&self, amount: &ScalarValue) -> bool {
        let utc = match &self.data_type {
            DataType::Timestamp(_, Some(zone)) => matches!(&**zone, "UTC" | "+00:00"),
            _ => true,
        };
        match amount {
            ScalarValue::IntervalMonthDayNano(Some(v)) => v.months == 0 && (utc || v.days == 0),
            _ => true,
        }
    }

    /// As `shifted`, and a little further to one side where floats are rounded.
    pub(super) fn around(
        &self,
        values: &ArrayRef,
        amount: &ScalarValue,
        toward: Toward,
        side: Toward,
    ) -> Vec<Option<Row>> {
        let Ok(moved) = self.moved(values, amount, toward) else {
            return self.shifted(values, amount, toward);
        };
        let larger = (side == Toward::End) != self.descending;
        let sign = if larger { 8.0 } else { -8.0 };
        let wider: ArrayRef = match &self.data_type {
            DataType::Float64 => {
                let values = values.as_primitive::<Float64Type>().values();
                let moved = moved.as_primitive::<Float64Type>();
                let error = |i: usize, v: f64| v + sign * f64::EPSILON * (v.abs() + values[i].abs());
                let wide = (0..moved.len()).map(|i| moved.is_valid(i).then(|| error(i, moved.value(i))));
                one_zero(Arc::new(wide.collect::<arrow::array::Float64Array>()))
            }
            DataType::Float32 => {
                let values = values.as_primitive::<Float32Type>().values();
                let moved = moved.as_primitive::<Float32Type>();
                let error = |i: usize, v: f32| v + sign as f32 * f32::EPSILON * (v.abs() + values[i].abs());
                let wide = (0..moved.len()).map(|i| moved.is_valid(i).then(|| error(i, moved.value(i))));
                one_zero(Arc::new(wide.collect::<arrow::array::Float32Array>()))
            }
            _ => moved,
        };
        self.encode(wider)
    }

    fn encode(&self, column: ArrayRef) -> Vec<Option<Row>> {
        let converter = self.converter.as_ref().expect("RANGE with an offset has an ORDER BY column");
        let rows = converter.convert_columns(&[column]).expect("of the column's type");
        rows.iter().map(|row| Some(Row::from_slice(row.data()))).collect()
    }

    /// The rows of a list whose first ORDER BY column is not NULL.
    pub(super) fn not_null(&self, list: &List) -> (usize, usize) {
        let null = self.encode(new_null_array(&self.data_type, 1)).pop().flatten().expect("one row");
        match self.nulls_first {
            true => (list.upper(null.as_slice()), list.len()),
            false => (0, list.lower(null.as_slice())),
        }
    }
}
