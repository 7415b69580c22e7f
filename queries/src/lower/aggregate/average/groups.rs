//! The averages of all groups of a query at once.
use super::average;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Decimal256Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Int64Type, i256};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use std::sync::Arc;

/// What the values of each group add up to, and how many they are.
#[derive(Debug)]
pub(super) struct Groups {
    sums: Vec<i256>,
    counts: Vec<i64>,
    /// The scale of the values.
    scale: i8,
    /// The scale of the averages.
    to: i8,
}

impl Groups {
    pub(super) fn new(scale: i8, to: i8) -> Groups {
        Groups { sums: vec![], counts: vec![], scale, to }
    }

    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, i256::ZERO);
        self.counts.resize(groups, 0);
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        self.grow(count);
        let values = cast(&values[0], &DataType::Decimal128(38, self.scale))?;
        let values = values.as_primitive::<Decimal128Type>();
        for (i, group) in groups.iter().enumerate() {
            let taken = filter.is_none_or(|filter| filter.is_valid(i) && filter.value(i));
            if taken && values.is_valid(i) {
                self.sums[*group] = self.sums[*group].wrapping_add(i256::from_i128(values.value(i)));
                self.counts[*group] += 1;
            }
        }
        Ok(())
    }
    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.grow(count);
        let (sums, counts) =
            (states[0].as_primitive::<Decimal256Type>(), states[1].as_primitive::<Int64Type>());
        for (i, group) in groups.iter().enumerate().filter(|(i, _)| sums.is_valid(*i)) {
            self.sums[*group] = self.sums[*group].wrapping_add(sums.value(i));
            self.counts[*group] += counts.value(i);
        }
        Ok(())
    }
    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = (emit.take_needed(&mut self.sums), emit.take_needed(&mut self.counts));
        let values =
            sums.into_iter().zip(counts).map(|(sum, count)| average(sum, self.scale, count, self.to));
        let values = values.collect::<Result<Decimal128Array>>()?;
        Ok(Arc::new(values.with_data_type(DataType::Decimal128(38, self.to))))
    }
    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let sums = Decimal256Array::from(emit.take_needed(&mut self.sums));
        let counts = Int64Array::from(emit.take_needed(&mut self.counts));
        Ok(vec![Arc::new(sums.with_data_type(DataType::Decimal256(76, self.scale))), Arc::new(counts)])
    }
    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let each: Vec<usize> = (0..values[0].len()).collect();
        let mut alone = Groups::new(self.scale, self.to);
        alone.update_batch(values, &each, filter, each.len())?;
        alone.state(EmitTo::All)
    }
    fn size(&self) -> usize {
        self.sums.capacity() * size_of::<i256>() + self.counts.capacity() * size_of::<i64>()
    }
}
