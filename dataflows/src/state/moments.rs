//! Variances, covariances, correlation and the regression aggregates, from exact sums: the same value whatever came and went before.
use super::accumulate::{Accumulator, Selection};
use super::exact::{ExactProducts, ExactSum, Whole};
use crate::Diff;
use crate::plan::Moment;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use std::sync::Arc;

/// Sums of numbers and of their products, exact: what the statistics of a group, or of the rows of a query, are made of. Those that its
/// moment does not need stay empty.
#[derive(Clone, Default)]
pub struct Sums {
    count: Diff,
    x: ExactSum,
    y: ExactSum,
    xx: ExactProducts,
    yy: ExactProducts,
    xy: ExactProducts,
}

impl Sums {
    /// Adds a row `diff` times: its `y`, and its `x` where the statistic has two arguments.
    pub fn add(&mut self, x: Option<f64>, y: f64, diff: Diff) {
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

    /// What it holds, as bytes that `merge` reads.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.count.to_le_bytes().to_vec();
        [&self.x, &self.y].iter().for_each(|sum| sum.write(&mut out));
        [&self.xx, &self.yy, &self.xy].iter().for_each(|sum| sum.write(&mut out));
        out
    }

    /// Adds what others were made of; none if these are not the bytes of one.
    pub fn merge(&mut self, mut bytes: &[u8]) -> Option<()> {
        let (count, rest) = bytes.split_first_chunk()?;
        self.count += Diff::from_le_bytes(*count);
        bytes = rest;
        self.x.read(&mut bytes)?;
        self.y.read(&mut bytes)?;
        self.xx.read(&mut bytes)?;
        self.yy.read(&mut bytes)?;
        self.xy.read(&mut bytes)
    }

    /// The statistic; none where it is NULL.
    pub fn value(&self, moment: Moment) -> Option<f64> {
        let n = self.count as f64;
        let sample = n * (n - 1.0);
        if moment == Moment::RegrCount {
            return Some(n);
        }
        let needs_two = matches!(moment, Moment::VarSamp | Moment::StddevSamp | Moment::CovarSamp);
        if self.count < 1 || (needs_two && self.count < 2) {
            return None;
        }
        let xx = || self.spread(&self.xx, &self.x, &self.x);
        let yy = || self.spread(&self.yy, &self.y, &self.y);
        let xy = || self.spread(&self.xy, &self.x, &self.y);
        // PostgreSQL looks whether one side is constant before it looks for a NaN on the other.
        let (special_x, special_y) = (self.x.is_special(), self.y.is_special());
        let constant_x = || !special_x && xx().is_zero();
        let constant_y = || !special_y && yy().is_zero();
        match moment {
            Moment::RegrAvgX => return Some(self.x.value() / n),
            Moment::RegrAvgY => return Some(self.y.value() / n),
            Moment::RegrSxx if !special_x => return Some(xx().product_value() / n),
            Moment::RegrSyy if !special_y => return Some(yy().product_value() / n),
            Moment::Corr if constant_x() || constant_y() => return None,
            Moment::RegrR2 | Moment::RegrSlope | Moment::RegrIntercept if constant_x() => return None,
            Moment::RegrR2 if constant_y() => return Some(1.0),
            _ if special_x || special_y => return Some(f64::NAN),
            _ => {}
        }
        let slope = || xy().product_value() / xx().product_value();
        Some(match moment {
            Moment::VarPop => yy().product_value() / (n * n),
            Moment::VarSamp => yy().product_value() / sample,
            Moment::StddevPop => (yy().product_value() / (n * n)).sqrt(),
            Moment::StddevSamp => (yy().product_value() / sample).sqrt(),
            Moment::CovarPop => xy().product_value() / (n * n),
            Moment::CovarSamp => xy().product_value() / sample,
            Moment::Corr | Moment::RegrR2 => {
                let corr = xy().product_value() / (xx().product_value().sqrt() * yy().product_value().sqrt());
                let corr = corr.clamp(-1.0, 1.0);
                if moment == Moment::Corr { corr } else { corr * corr }
            }
            Moment::RegrSlope => slope(),
            Moment::RegrIntercept => (self.y.value() - slope() * self.x.value()) / n,
            Moment::RegrSxy => xy().product_value() / n,
            Moment::RegrCount | Moment::RegrAvgX | Moment::RegrAvgY | Moment::RegrSxx | Moment::RegrSyy => {
                unreachable!("answered above")
            }
        })
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
        let values = groups.iter().map(|g| self.sums[*g as usize].value(self.moment));
        let values: ArrayRef = Arc::new(values.collect::<Float64Array>());
        cast(&values, &self.output).expect("a double, or a count")
    }
    fn clear(&mut self, group: u32) {
        self.sums[group as usize] = Sums::default();
    }
}
