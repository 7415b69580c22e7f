//! Scalar functions of one column, computed once for each of its values in a batch: events that follow each other share their second,
//! their channel and their page, and functions of text and time cost hundreds of times what finding a value again does.
use crate::codec::with_integers;
use crate::plan::Expr;
use crate::state::batch_of;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::Volatility;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{Column, LikeExpr};
use hashbrown::HashTable;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::sync::Arc;

/// An expression, and what of it is a function of one column.
pub(super) struct Once {
    whole: Expr,
    /// The whole with columns behind those of the input in the place of `parts`.
    rest: Option<Expr>,
    parts: Vec<Part>,
}

/// A function of one column.
struct Part {
    column: usize,
    /// Over a batch of that column alone.
    expr: Expr,
}

/// Which values the columns of one batch have, as far as that was asked.
#[derive(Default)]
pub(super) struct Known(BTreeMap<usize, Option<Repeats>>);

/// A column whose values are there several times.
pub(super) struct Repeats {
    /// The first row of each value.
    pub heads: UInt32Array,
    /// Which value each row has.
    pub of: UInt32Array,
}

impl Once {
    /// For an expression over so many columns.
    pub(super) fn new(whole: Expr, width: usize) -> Once {
        let mut parts = vec![];
        let rest = cut(&whole, width, &mut parts).filter(|_| !parts.is_empty());
        Once { whole, rest, parts }
    }

    pub(super) fn expression(&self) -> &Expr {
        &self.whole
    }

    /// The values for the rows of a batch, of whose columns something may be known.
    pub(super) fn evaluate(
        &self,
        rows: &RecordBatch,
        known: &mut Known,
    ) -> Result<ArrayRef, DataFusionError> {
        match self.by_values(rows, known) {
            Some(values) => Ok(values),
            // Rows may fail that the whole would not have asked: it decides.
            None => self.whole.evaluate(rows)?.into_array(rows.num_rows()),
        }
    }

    fn by_values(&self, rows: &RecordBatch, known: &mut Known) -> Option<ArrayRef> {
        let rest = self.rest.as_ref()?;
        if rows.num_rows() < ROWS_MIN {
            return None;
        }
        for part in &self.parts {
            let column = rows.column(part.column);
            known.0.entry(part.column).or_insert_with(|| repeats(column)).as_ref()?;
        }
        let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
        let mut columns = rows.columns().to_vec();
        for part in &self.parts {
            let repeats = known.0.get(&part.column)?.as_ref()?;
            let heads = take(rows.column(part.column), &repeats.heads, None).ok()?;
            let schema = Arc::new(Schema::new(vec![rows.schema().field(part.column).clone()]));
            let count = heads.len();
            let field = part.expr.return_field(&schema).ok()?;
            let values = part.expr.evaluate(&batch_of(schema, vec![heads], count)).ok()?;
            let values = take(&values.into_array(count).ok()?, &repeats.of, None).ok()?;
            let field = field.as_ref().clone().with_data_type(values.data_type().clone()).with_nullable(true);
            fields.push(Arc::new(field));
            columns.push(values);
        }
        if let (Some(column), [_]) = (rest.downcast_ref::<Column>(), self.parts.as_slice())
            && column.index() == rows.num_columns()
        {
            return columns.pop();
        }
        let count = rows.num_rows();
        let wide = batch_of(Arc::new(Schema::new(fields)), columns, count);
        rest.evaluate(&wide).ok()?.into_array(count).ok()
    }
}

/// Cuts the largest costly functions of one column out of an expression, if that is what holds any.
fn cut(expr: &Expr, width: usize, parts: &mut Vec<Part>) -> Option<Expr> {
    let mut columns = BTreeSet::new();
    columns_of(expr, &mut columns);
    if columns.is_empty() {
        return Some(expr.clone());
    }
    if let (Some(column), 1, true) = (columns.first(), columns.len(), costly(expr)) {
        if !steady(expr) {
            return None;
        }
        parts.push(Part { column: *column, expr: alone(expr)? });
        return Some(Arc::new(Column::new("part", width + parts.len() - 1)));
    }
    let children = expr.children();
    if children.is_empty() {
        return Some(expr.clone());
    }
    let children: Option<Vec<Expr>> = children.into_iter().map(|child| cut(child, width, parts)).collect();
    expr.clone().with_new_children(children?).ok()
}

fn columns_of(expr: &Expr, found: &mut BTreeSet<usize>) {
    if let Some(column) = expr.downcast_ref::<Column>() {
        found.insert(column.index());
    }
    expr.children().into_iter().for_each(|child| columns_of(child, found));
}

/// Whether it costs more than finding a value again.
fn costly(expr: &Expr) -> bool {
    expr.downcast_ref::<ScalarFunctionExpr>().is_some()
        || expr.downcast_ref::<LikeExpr>().is_some()
        || expr.children().into_iter().any(costly)
}

/// Whether it is the same each time.
fn steady(expr: &Expr) -> bool {
    expr.downcast_ref::<ScalarFunctionExpr>()
        .is_none_or(|call| call.fun().signature().volatility != Volatility::Volatile)
        && expr.children().into_iter().all(steady)
}

/// The same over a batch whose only column is the one that it reads.
fn alone(expr: &Expr) -> Option<Expr> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return Some(Arc::new(Column::new(column.name(), 0)));
    }
    let children = expr.children();
    if children.is_empty() {
        return Some(expr.clone());
    }
    let children: Option<Vec<Expr>> = children.into_iter().map(alone).collect();
    expr.clone().with_new_children(children?).ok()
}

/// Smaller batches are computed row by row.
pub(super) const ROWS_MIN: usize = 64;
/// After so many rows it is asked again whether values repeat.
const ROWS_ASKED: usize = 4096;
/// So many rows must share a value, in the mean.
const ROWS_SHARED: usize = 2;

#[allow(clippy::unnecessary_cast, reason = "for one of the types")]
fn repeats(column: &ArrayRef) -> Option<Repeats> {
    use DataType::*;
    let there = |i: usize| column.is_valid(i);
    match column.data_type() {
        Int8
        | Int16
        | Int32
        | Int64
        | UInt8
        | UInt16
        | UInt32
        | UInt64
        | Date32
        | Date64
        | Timestamp(_, _) => {
            with_integers!(column.data_type(), column, typed => {
                let values = typed.values();
                found(values.len(), |i| there(i).then(|| values[i] as u64), |v| {
                    let wide = u128::from(v ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
                    (wide >> 64) as u64 ^ wide as u64
                })
            })
        }
        Utf8 => {
            let texts = column.as_string::<i32>();
            found(texts.len(), |i| there(i).then(|| texts.value(i).as_bytes()), crate::row::hash)
        }
        Utf8View => {
            let texts = column.as_string_view();
            found(texts.len(), |i| there(i).then(|| texts.value(i).as_bytes()), crate::row::hash)
        }
        _ => None,
    }
}

/// The values, unless too few of them repeat.
pub(super) fn found<K: Copy + Eq + Hash>(
    rows: usize,
    value: impl Fn(usize) -> Option<K>,
    hash: impl Fn(K) -> u64,
) -> Option<Repeats> {
    let mut table: HashTable<(u64, u32)> = HashTable::new();
    let (mut heads, mut of): (Vec<u32>, Vec<u32>) = (vec![], Vec::with_capacity(rows));
    let mut before: Option<(Option<K>, u32)> = None;
    for row in 0..rows {
        let now = value(row);
        let id = match before {
            Some((last, id)) if last == now => id,
            _ => {
                let mark = now.map_or(0, &hash);
                let equal = |(h, id): &(u64, u32)| *h == mark && value(heads[*id as usize] as usize) == now;
                match table.find(mark, equal) {
                    Some((_, id)) => *id,
                    None => {
                        let id = heads.len() as u32;
                        heads.push(row as u32);
                        table.insert_unique(mark, (mark, id), |(h, _)| *h);
                        id
                    }
                }
            }
        };
        before = Some((now, id));
        of.push(id);
        if (row + 1) % ROWS_ASKED == 0 && heads.len() * ROWS_SHARED > row + 1 {
            return None;
        }
    }
    (heads.len() * ROWS_SHARED <= rows).then(|| Repeats { heads: heads.into(), of: of.into() })
}
