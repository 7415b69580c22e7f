//! Window functions by their definition: for each row, look at every other row of its partition.
use super::{Cells, batch_of};
use arrow::datatypes::SchemaRef;
use dataflows::plan::Order;
use dataflows::plan::window::{Call, Kind};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{WindowFrameBound, WindowFrameUnits};
use std::cmp::Ordering;

fn compare(a: &ScalarValue, b: &ScalarValue, o: &Order) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => {
            if o.nulls_first {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (false, true) => {
            if o.nulls_first {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        _ => {
            let found = a.partial_cmp(b).unwrap();
            if o.descending { found.reverse() } else { found }
        }
    }
}

fn by(a: &Cells, b: &Cells, list: &[Order]) -> Ordering {
    list.iter().map(|o| compare(&a[o.column], &b[o.column], o)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// The rows of one partition with a cell for each call behind them.
pub fn evaluate(
    mut rows: Vec<Cells>,
    order: &[Order],
    ties: &[usize],
    calls: &[Call],
    schema: &SchemaRef,
) -> Vec<Cells> {
    let width = rows[0].len();
    let plain = |column: usize| Order { column, descending: false, nulls_first: false };
    let all: Vec<Order> =
        order.iter().copied().chain(ties.iter().copied().map(plain)).chain((0..width).map(plain)).collect();
    rows.sort_by(|a, b| by(a, b, &all));
    let found = |i: usize| calls.iter().map(|call| one(&rows, i, order, call, schema)).collect::<Vec<_>>();
    (0..rows.len()).map(|i| rows[i].iter().cloned().chain(found(i)).collect()).collect()
}

fn one(rows: &[Cells], i: usize, order: &[Order], call: &Call, schema: &SchemaRef) -> ScalarValue {
    let peer = |j: usize| by(&rows[j], &rows[i], order);
    let before = (0..rows.len()).filter(|j| peer(*j).is_lt()).count();
    let through = (0..rows.len()).filter(|j| peer(*j).is_le()).count();
    let null = || ScalarValue::try_from(&call.data_type).unwrap();
    let number = |n: usize| ScalarValue::UInt64(Some(n as u64));
    let cell = |j: usize, argument: usize| rows[j][argument].clone();
    match &call.kind {
        Kind::RowNumber => number(i + 1),
        Kind::Rank => number(before + 1),
        Kind::DenseRank => {
            number((0..=i).filter(|j| *j == 0 || by(&rows[*j], &rows[*j - 1], order).is_ne()).count())
        }
        Kind::PercentRank => ScalarValue::Float64(Some(before as f64 / (rows.len() - 1).max(1) as f64)),
        Kind::CumeDist => ScalarValue::Float64(Some(through as f64 / rows.len() as f64)),
        Kind::Ntile(n) => {
            let mut left = i;
            let bucket = (0..*n as usize).find(|b| {
                let size = rows.len() / *n as usize + usize::from(*b < rows.len() % *n as usize);
                let inside = left < size;
                left = left.saturating_sub(size);
                inside
            });
            number(bucket.unwrap() + 1)
        }
        Kind::Shift { argument, offset, default, ignore_nulls } => {
            let (step, mut left) = (if *offset > 0 { -1 } else { 1 }, offset.abs());
            let mut j = i as i64;
            while left > 0 {
                j += step;
                if j < 0 || j >= rows.len() as i64 {
                    return default.clone();
                }
                left -= i64::from(!ignore_nulls || !rows[j as usize][*argument].is_null());
            }
            cell(j as usize, *argument)
        }
        Kind::Nth { argument, nth, ignore_nulls } => {
            let mut frame = frame(rows, i, order, call);
            frame.retain(|j| !ignore_nulls || !rows[*j][*argument].is_null());
            let at = if *nth > 0 { *nth - 1 } else { frame.len() as i64 + *nth };
            usize::try_from(at).ok().and_then(|at| frame.get(at)).map_or_else(null, |j| cell(*j, *argument))
        }
        Kind::Aggregate { function, filter } => {
            let mut frame = frame(rows, i, order, call);
            frame.retain(|j| filter.is_none_or(|f| rows[*j][f] == ScalarValue::Boolean(Some(true))));
            let batch = batch_of(schema, &frame.iter().map(|j| rows[*j].clone()).collect::<Vec<_>>());
            let list = function.expressions();
            let arrays: Vec<_> =
                list.iter().map(|e| e.evaluate(&batch).unwrap().into_array(frame.len()).unwrap()).collect();
            let mut accumulator = function.create_accumulator().unwrap();
            accumulator.update_batch(&arrays).unwrap();
            accumulator.evaluate().unwrap()
        }
    }
}

/// The rows of row i's frame.
fn frame(rows: &[Cells], i: usize, order: &[Order], call: &Call) -> Vec<usize> {
    let group = |i: usize| (1..=i).filter(|j| by(&rows[*j], &rows[*j - 1], order).is_ne()).count() as i64;
    let inside = |j: usize, bound: &WindowFrameBound, start: bool| {
        let (amount, sign) = match bound {
            WindowFrameBound::CurrentRow => (None, 1),
            WindowFrameBound::Preceding(v) if v.is_null() => return true,
            WindowFrameBound::Following(v) if v.is_null() => return true,
            WindowFrameBound::Preceding(v) => (Some(v), -1),
            WindowFrameBound::Following(v) => (Some(v), 1),
        };
        let distance = match amount {
            Some(ScalarValue::UInt64(Some(n))) => *n as i64 * sign,
            _ => 0,
        };
        let found = match call.frame.units {
            WindowFrameUnits::Rows => (j as i64).cmp(&(i as i64 + distance)),
            WindowFrameUnits::Groups => group(j).cmp(&(group(i) + distance)),
            WindowFrameUnits::Range => match amount {
                Some(amount) if !rows[i][order[0].column].is_null() => {
                    let (value, add) = (&rows[i][order[0].column], (sign > 0) != order[0].descending);
                    let bound = if add { value.add_checked(amount) } else { value.sub_checked(amount) };
                    compare(&rows[j][order[0].column], &bound.unwrap(), &order[0])
                }
                _ => by(&rows[j], &rows[i], order),
            },
        };
        if start { found.is_ge() } else { found.is_le() }
    };
    let (start, end) = (&call.frame.start_bound, &call.frame.end_bound);
    (0..rows.len()).filter(|j| inside(*j, start, true) && inside(*j, end, false)).collect()
}
