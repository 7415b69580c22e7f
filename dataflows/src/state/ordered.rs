//! Aggregates over the rows of a group in an order: the rows in a B-tree by group and order, the value computed anew where they changed.
//!
//! first_value, last_value and nth_value read one row; all others are DataFusion's own accumulators, given all rows of the group.
use super::accumulate::{Accumulator, Selection};
use crate::Diff;
use crate::plan::{self, Aggregate, Argument, Expr};
use crate::render::message;
use crate::row::Row;
use arrow::array::{ArrayRef, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::{SortOptions, cast, take};
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{Column, Literal};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The value of a group, or why it has none.
type Outcome = Result<ScalarValue, Arc<str>>;

/// One ordered aggregate for all groups.
pub(super) struct Ordered {
    selection: Selection,
    /// The column of the batch at each place of a kept row: the order's, then the other arguments'.
    columns: Vec<usize>,
    converter: RowConverter,
    rows: BTreeMap<(u32, Row), Diff>,
    distinct: bool,
    finish: Finish,
    output: DataType,
    /// What the groups' values are, as far as they were asked for since their rows changed.
    known: RefCell<Vec<Option<Outcome>>>,
}

enum Finish {
    /// The value at `place` of the n-th row from the front, or of the -n-th from the back.
    Nth { place: usize, n: i64 },
    /// DataFusion's accumulator over these inputs.
    Fold { call: Box<AggregateFunctionExpr>, inputs: Vec<Expr>, schema: Arc<Schema> },
}

impl Ordered {
    pub(super) fn new(
        call: &plan::Ordered,
        aggregate: &Aggregate,
        schema: &Schema,
    ) -> Result<Ordered, String> {
        let (mut columns, mut fields) = (Vec::new(), Vec::new());
        let mut add = |column: usize, options: SortOptions| {
            if !columns.contains(&column) {
                columns.push(column);
                fields.push(SortField::new_with_options(schema.field(column).data_type().clone(), options));
            }
        };
        for o in &call.order {
            add(o.column, SortOptions { descending: o.descending, nulls_first: o.nulls_first });
        }
        for argument in &call.arguments {
            if let Argument::Column(column) = argument {
                add(*column, SortOptions { descending: false, nulls_first: false });
            }
        }
        let name = call.function.name();
        let converter =
            RowConverter::new(fields).map_err(|e| format!("{name}() cannot order its rows: {e}"))?;
        let finish = Finish::new(call, &columns, schema).map_err(|e| message(&e).to_string())?;
        let skip_nulls = call.ignore_nulls && matches!(finish, Finish::Nth { .. });
        let argument = match call.arguments.first() {
            Some(Argument::Column(column)) if skip_nulls => Some(*column),
            _ => None,
        };
        Ok(Ordered {
            selection: Selection { argument, filter: aggregate.filter },
            columns,
            converter,
            rows: BTreeMap::new(),
            distinct: aggregate.distinct,
            finish,
            output: aggregate.data_type.clone(),
            known: RefCell::default(),
        })
    }

    fn range(&self, group: u32) -> impl DoubleEndedIterator<Item = (&Row, Diff)> {
        let range = self.rows.range((group, Row::default())..(group + 1, Row::default()));
        range.map(|((_, row), count)| (row, if self.distinct { 1 } else { *count }))
    }

    fn nth(&self, group: u32, n: i64) -> Option<&Row> {
        let mut left = n.unsigned_abs();
        let mut passes = |count: Diff| {
            let here = left > 0 && left <= count.unsigned_abs();
            left = left.saturating_sub(count.unsigned_abs());
            here
        };
        if n > 0 {
            self.range(group).find(|(_, count)| passes(*count)).map(|(row, _)| row)
        } else {
            self.range(group).rev().find(|(_, count)| passes(*count)).map(|(row, _)| row)
        }
    }

    fn decode<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Vec<ArrayRef> {
        let parser = self.converter.parser();
        let rows = rows.map(|row| parser.parse(row.as_slice()));
        self.converter.convert_rows(rows).expect("rows that this converter wrote")
    }

    fn fold(
        &self,
        group: u32,
        call: &AggregateFunctionExpr,
        inputs: &[Expr],
        schema: &Arc<Schema>,
    ) -> Result<ScalarValue, DataFusionError> {
        let mut accumulator = call.create_accumulator()?;
        let counts: Vec<Diff> = self.range(group).map(|(_, count)| count).collect();
        if !counts.is_empty() {
            let mut columns = self.decode(self.range(group).map(|(row, _)| row));
            if counts.iter().any(|count| *count != 1) {
                let times = |(i, count): (usize, &Diff)| std::iter::repeat_n(i as u32, *count as usize);
                let picks: UInt32Array = counts.iter().enumerate().flat_map(times).map(Some).collect();
                columns = columns.iter().map(|c| take(c, &picks, None)).collect::<Result<_, _>>()?;
            }
            let rows = columns.first().map_or(0, |column| column.len());
            let batch = RecordBatch::try_new(schema.clone(), columns)?;
            let values = inputs.iter().map(|input| input.evaluate(&batch)?.into_array(rows));
            accumulator.update_batch(&values.collect::<Result<Vec<_>, _>>()?)?;
        }
        accumulator.evaluate()
    }

    fn outcome(&self, group: u32) -> Outcome {
        let Finish::Fold { call, inputs, schema } = &self.finish else { unreachable!("only folds are kept") };
        if let Some(Some(known)) = self.known.borrow().get(group as usize) {
            return known.clone();
        }
        let outcome = self.fold(group, call, inputs, schema).map_err(|why| message(&why));
        if let Some(slot) = self.known.borrow_mut().get_mut(group as usize) {
            *slot = Some(outcome.clone());
        }
        outcome
    }
}

impl Finish {
    fn new(call: &plan::Ordered, columns: &[usize], schema: &Schema) -> Result<Finish, DataFusionError> {
        let place = |column: usize| {
            columns.iter().position(|c| *c == column).expect("columns of arguments and order are kept")
        };
        let n = match (call.function.name(), call.arguments.get(1)) {
            ("first_value", None) => Some(1),
            ("last_value", None) => Some(-1),
            ("nth_value", Some(Argument::Constant(ScalarValue::Int64(Some(n))))) if *n != 0 => Some(*n),
            _ => None,
        };
        if let (Some(n), Some(Argument::Column(column))) = (n, call.arguments.first()) {
            return Ok(Finish::Nth { place: place(*column), n });
        }
        let kept: Vec<_> = columns.iter().map(|c| schema.field(*c).clone().with_nullable(true)).collect();
        let kept = Arc::new(Schema::new(kept));
        let column =
            |column: usize| -> Expr { Arc::new(Column::new(schema.field(column).name(), place(column))) };
        let arguments = call.arguments.iter().map(|argument| -> Expr {
            match argument {
                Argument::Column(index) => column(*index),
                Argument::Constant(value) => Arc::new(Literal::new(value.clone())),
            }
        });
        let order = call.order.iter().map(|o| PhysicalSortExpr {
            expr: column(o.column),
            options: SortOptions { descending: o.descending, nulls_first: o.nulls_first },
        });
        let call = AggregateExprBuilder::new(call.function.clone(), arguments.collect())
            .schema(kept.clone())
            .order_by(order.collect())
            .with_ignore_nulls(call.ignore_nulls)
            .alias(call.function.name())
            .build()?;
        // What it cannot do it says here, before there are rows.
        call.create_accumulator()?;
        let order = call.order_bys().iter().map(|o| o.expr.clone());
        let inputs = call.expressions().into_iter().chain(order).collect();
        Ok(Finish::Fold { call: Box::new(call), inputs, schema: kept })
    }
}

impl Accumulator for Ordered {
    fn holds_rows(&self) -> bool {
        true
    }
    fn grow(&mut self, groups: usize) {
        self.known.get_mut().resize(groups, None);
    }
    fn update(&mut self, groups: &[u32], batch: &RecordBatch, diffs: &[Diff]) {
        use std::collections::btree_map::Entry;
        let columns: Vec<ArrayRef> = self.columns.iter().map(|i| batch.column(*i).clone()).collect();
        let encoded = self.converter.convert_columns(&columns).expect("the types were checked");
        let (rows, known) = (&mut self.rows, self.known.get_mut());
        self.selection.each(groups, batch, diffs, |i, g, d| {
            known[g] = None;
            match rows.entry((g as u32, Row::from_slice(encoded.row(i).data()))) {
                Entry::Vacant(entry) if d != 0 => _ = entry.insert(d),
                Entry::Vacant(_) => {}
                Entry::Occupied(mut entry) => {
                    *entry.get_mut() += d;
                    if *entry.get() == 0 {
                        entry.remove();
                    }
                }
            }
        });
    }
    fn emit(&self, groups: &[u32], errors: &mut Vec<(usize, Arc<str>)>) -> ArrayRef {
        if groups.is_empty() {
            return new_empty_array(&self.output);
        }
        let values = match &self.finish {
            Finish::Nth { place, n } => {
                let found: Vec<Option<&Row>> = groups.iter().map(|g| self.nth(*g, *n)).collect();
                let decoded = self.decode(found.iter().copied().flatten());
                let mut next = 0..;
                let picks: UInt32Array = found.iter().map(|row| row.and_then(|_| next.next())).collect();
                take(&decoded[*place], &picks, None).expect("as many rows as were found")
            }
            Finish::Fold { .. } => {
                let null = || ScalarValue::try_from(&self.output).unwrap_or(ScalarValue::Null);
                let values = groups.iter().enumerate().map(|(i, g)| {
                    self.outcome(*g).unwrap_or_else(|why| {
                        errors.push((i, why));
                        null()
                    })
                });
                ScalarValue::iter_to_array(values.collect::<Vec<_>>()).expect("values of one type")
            }
        };
        if *values.data_type() == self.output {
            return values;
        }
        cast(&values, &self.output).expect("the type that the function declared")
    }
    fn clear(&mut self, group: u32) {
        let range = (group, Row::default())..(group + 1, Row::default());
        let left: Vec<_> = self.rows.range(range).map(|(key, _)| key.clone()).collect();
        left.iter().for_each(|key| _ = self.rows.remove(key));
        self.known.get_mut()[group as usize] = None;
    }
}
