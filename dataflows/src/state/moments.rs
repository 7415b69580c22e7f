//! Variances, covariances, correlation and the regression aggregates, from exact sums: the same value whatever came and went before.
use super::accumulate::{Accumulator, Selection};
use super::exact::{ExactProducts, ExactSum, Whole};
use crate::Diff;
use crate::plan::Moment;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use std::sync::Arc;

/// The sums of a group. Those that its moment does not need stay empty.
#[derive(Clone, Default)]
struct Sums {
    count: Diff,
    x: ExactSum,
    y: ExactSum,
    xx: ExactProducts,
    yy: ExactProducts,
    xy: ExactProducts,
}

impl Sums {
    fn add(&mut self, x: Option<f64>, y: f64, diff: Diff) {
        self.count += diff;
        self.y.add(y, diff);
        x.iter().for_each(|x| self.x.add(*x, diff));
        if y.is_finite() {
            self.yy.add(y, y, diff);
        }
        if let Some(x) = x.filter(|x| x.is_finite()) {
            self.xx.add(x, x, diff);
            if y.is_finite() {
                self.xy.add(x, y, diff);
            }
        }
    }

    /// count * sum(a * b) - sum(a) * sum(b): count^2 times the covariance.
    fn spread(&self, products: &ExactProducts, a: &ExactSum, b: &ExactSum) -> Whole {
        Whole::of(self.count).times(&products.whole()).minus(&a.whole().times(&b.whole()))
    }
}

/// One moment for all groups.
pub(super) struct Moments {
    rows: Selection,
    moment: Moment,
    x: Option<usize>,
    sums: Vec<Sums>,
    output: DataType,
}

impl Moments {
    pub(super) fn new(rows: Selection, moment: Moment, x: Option<usize>, output: DataType) -> Moments {
        Moments { rows, moment, x, sums: Vec::new(), output }
    }

    fn value(&self, sums: &Sums) -> Option<f64> {
        let n = sums.count as f64;
        let sample = n * (n - 1.0);
        if self.moment == Moment::RegrCount {
            return Some(n);
        }
        let needs_two = matches!(self.moment, Moment::VarSamp | Moment::StddevSamp | Moment::CovarSamp);
        if sums.count < 1 || (needs_two && sums.count < 2) {
            return None;
        }
        let xx = || sums.spread(&sums.xx, &sums.x, &sums.x);
        let yy = || sums.spread(&sums.yy, &sums.y, &sums.y);
        let xy = || sums.spread(&sums.xy, &sums.x, &sums.y);
        // PostgreSQL looks whether one side is constant before it looks for a NaN on the other.
        let (special_x, special_y) = (sums.x.is_special(), sums.y.is_special());
        let constant_x = || !special_x && xx().is_zero();
        let constant_y = || !special_y && yy().is_zero();
        match self.moment {
            Moment::RegrAvgX => return Some(sums.x.value() / n),
            Moment::RegrAvgY => return Some(sums.y.value() / n),
            Moment::RegrSxx if !special_x => return Some(xx().product_value() / n),
            Moment::RegrSyy if !special_y => return Some(yy().product_value() / n),
            Moment::Corr if constant_x() || constant_y() => return None,
            Moment::RegrR2 | Moment::RegrSlope | Moment::RegrIntercept if constant_x() => return None,
            Moment::RegrR2 if constant_y() => return Some(1.0),
            _ if special_x || special_y => return Some(f64::NAN),
            _ => {}
        }
        let slope = || xy().product_value() / xx().product_value();
        Some(match self.moment {
            Moment::VarPop => yy().product_value() / (n * n),
            Moment::VarSamp => yy().product_value() / sample,
            Moment::StddevPop => (yy().product_value() / (n * n)).sqrt(),
            Moment::StddevSamp => (yy().product_value() / sample).sqrt(),
            Moment::CovarPop => xy().product_value() / (n * n),
            Moment::CovarSamp => xy().product_value() / sample,
            Moment::Corr | Moment::RegrR2 => {
                let corr = xy().product_value() / (xx().product_value().sqrt() * yy().product_value().sqrt());
                let corr = corr.clamp(-1.0, 1.0);
                if self.moment == Moment::Corr { corr } else { corr * corr }
            }
            Moment::RegrSlope => slope(),
            Moment::RegrIntercept => (sums.y.value() - slope() * sums.x.value()) / n,
            Moment::RegrSxy => xy().product_value() / n,
            Moment::RegrCount | Moment::RegrAvgX | Moment::RegrAvgY | Moment::RegrSxx | Moment::RegrSyy => {
                unreachable!("answered above")
            }
        })
    }
}

impl Accumulator for Moments {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, Sums::default());
    }
    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]) {
        let y =
            batch.column(self.rows.argument.expect("a moment has an argument")).as_primitive::<Float64Type>();
        let x = self.x.map(|x| batch.column(x).as_primitive::<Float64Type>());
        let sums = &mut self.sums;
        self.rows.each(groups, batch, diffs, |i, g, d| {
            if x.is_none_or(|x| x.is_valid(i)) {
                sums[g].add(x.map(|x| x.value(i)), y.value(i), d);
            }
        });
    }
    fn emit(&self, groups: &[u32], _errors: &mut Vec<(usize, Arc<str>)>) -> ArrayRef {
        let values = groups.iter().map(|g| self.value(&self.sums[*g as usize]));
        let values: ArrayRef = Arc::new(values.collect::<Float64Array>());
        cast(&values, &self.output).expect("a double, or a count")
    }
    fn clear(&mut self, group: u32) {
        self.sums[group as usize] = Sums::default();
    }
}
