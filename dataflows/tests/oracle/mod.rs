//! From scratch: evaluates a plan over the current rows of tables, with no notion of change.
use arrow::array::*;
use arrow::datatypes::*;
use dataflows::codec::Codec;
use dataflows::plan::*;
use dataflows::{Mode, Table};
use datafusion::common::ScalarValue;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

type Cells = Vec<ScalarValue>;

/// Tables and the events they were fed.
#[derive(Default)]
pub struct Oracle {
    tables: BTreeMap<String, (Table, BTreeMap<Cells2, Cells>)>,
}

/// A key that sorts: the text of the cells.
type Cells2 = String;

fn cells(batch: &RecordBatch, row: usize) -> Cells {
    batch.columns().iter().map(|c| ScalarValue::try_from_array(c, row).unwrap()).collect()
}

fn batch_of(schema: &SchemaRef, rows: &[Cells]) -> RecordBatch {
    if rows.is_empty() {
        return RecordBatch::new_empty(schema.clone());
    }
    let columns = (0..schema.fields().len())
        .map(|i| ScalarValue::iter_to_array(rows.iter().map(|r| r[i].clone())).unwrap())
        .collect();
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

impl Oracle {
    pub fn table(&mut self, table: Table) {
        self.tables.insert(table.name.to_string(), (table, BTreeMap::new()));
    }

    pub fn feed(&mut self, name: &str, batch: &RecordBatch) {
        let (table, current) = self.tables.get_mut(name).unwrap();
        let Mode::Latest { key, .. } = &table.mode else { panic!("the tests' tables are in mode latest") };
        let n = table.schema.fields().len();
        for row in 0..batch.num_rows() {
            let cells = cells(batch, row);
            let id = format!("{:?}", key.iter().map(|k| &cells[*k]).collect::<Vec<_>>());
            let newer = |old: &Cells| {
                (&cells[n], &cells[n + 1]).partial_cmp(&(&old[n], &old[n + 1])) == Some(Ordering::Greater)
            };
            if current.get(&id).is_none_or(newer) {
                current.insert(id, cells);
            }
        }
    }

    pub fn evaluate(&self, plan: &Plan) -> BTreeMap<Vec<u8>, i64> {
        let rows = self.rows(plan);
        let codec = Codec::new(&plan.schema()).unwrap();
        let mut counts = BTreeMap::new();
        let encoded = codec.encode(batch_of(&plan.schema(), &rows).columns(), rows.len());
        encoded.iter().for_each(|row| *counts.entry(row.to_vec()).or_insert(0) += 1);
        counts
    }

    fn rows(&self, plan: &Plan) -> Vec<Cells> {
        match plan {
            Plan::Get { name, .. } => {
                let (table, current) = &self.tables[name.as_ref()];
                let n = table.schema.fields().len();
                let there = current.values().filter(|c| c[n + 2] == ScalarValue::Boolean(Some(false)));
                there.map(|c| c[..n].to_vec()).collect()
            }
            Plan::Values { rows } => (0..rows.num_rows()).map(|i| cells(rows, i)).collect(),
            Plan::Map { input, filter, project, .. } => {
                let keep = |row: &Cells| {
                    filter
                        .as_ref()
                        .is_none_or(|f| self.eval(f, input, row) == ScalarValue::Boolean(Some(true)))
                };
                let rows = self.rows(input).into_iter().filter(keep);
                match project {
                    None => rows.collect(),
                    Some(list) => {
                        rows.map(|row| list.iter().map(|e| self.eval(e, input, &row)).collect()).collect()
                    }
                }
            }
            Plan::Union { inputs, .. } => self.union(inputs),
            Plan::Negate(_) => panic!("only below a union"),
            Plan::Distinct(input) => {
                let mut seen = BTreeSet::new();
                self.rows(input).into_iter().filter(|r| seen.insert(format!("{r:?}"))).collect()
            }
            Plan::Join { left, right, on, null_equal, filter, .. } => {
                let (l, r) = (self.rows(left), self.rows(right));
                let equal = |a: &Cells, b: &Cells| {
                    on.iter().all(|(i, j)| a[*i] == b[*j] && (*null_equal || !a[*i].is_null()))
                };
                let pairs = l
                    .iter()
                    .flat_map(|a| r.iter().filter(|b| equal(a, b)).map(|b| [a.clone(), b.clone()].concat()));
                let keep = |row: &Cells| {
                    filter.as_ref().is_none_or(|f| {
                        self.eval_in(f, &plan.schema(), row) == ScalarValue::Boolean(Some(true))
                    })
                };
                pairs.filter(keep).collect()
            }
            Plan::Matched { left, joined } => {
                let there: BTreeSet<String> = self.rows(joined).iter().map(|r| format!("{r:?}")).collect();
                self.rows(left).into_iter().filter(|r| there.contains(&format!("{r:?}"))).collect()
            }
            Plan::Aggregate { input, group, aggregates, .. } => {
                let mut groups: BTreeMap<String, (Cells, Vec<Cells>)> = BTreeMap::new();
                if group.is_empty() {
                    groups.insert("[]".into(), (vec![], vec![]));
                }
                for row in self.rows(input) {
                    let key: Cells = group.iter().map(|i| row[*i].clone()).collect();
                    groups.entry(format!("{key:?}")).or_insert_with(|| (key, vec![])).1.push(row);
                }
                let row = |(key, rows): (Cells, Vec<Cells>)| {
                    key.into_iter().chain(aggregates.iter().map(|a| aggregate(a, &rows))).collect()
                };
                groups.into_values().map(row).collect()
            }
            Plan::TopK { input, partition, order, offset, limit, number, .. } => {
                let mut parts: BTreeMap<String, Vec<Cells>> = BTreeMap::new();
                for row in self.rows(input) {
                    let key: Cells = partition.iter().map(|i| row[*i].clone()).collect();
                    parts.entry(format!("{key:?}")).or_default().push(row);
                }
                let mut out = vec![];
                for mut rows in parts.into_values() {
                    rows.sort_by(|a, b| compare(a, b, order));
                    for (i, mut row) in rows.into_iter().enumerate().skip(*offset).take(*limit) {
                        if *number {
                            row.push(ScalarValue::UInt64(Some(i as u64 + 1)));
                        }
                        out.push(row);
                    }
                }
                out
            }
        }
    }

    /// UNION ALL, from which negated inputs are taken away.
    fn union(&self, inputs: &[Plan]) -> Vec<Cells> {
        let mut counts: BTreeMap<String, (Cells, i64)> = BTreeMap::new();
        for input in inputs {
            let (rows, sign) = match input {
                Plan::Negate(input) => (self.rows(input), -1),
                input => (self.rows(input), 1),
            };
            rows.into_iter().for_each(|r| counts.entry(format!("{r:?}")).or_insert((r, 0)).1 += sign);
        }
        counts.into_values().flat_map(|(row, n)| std::iter::repeat_n(row, n as usize)).collect()
    }

    fn eval(&self, expr: &Expr, input: &Plan, row: &Cells) -> ScalarValue {
        self.eval_in(expr, &input.schema(), row)
    }

    fn eval_in(&self, expr: &Expr, schema: &SchemaRef, row: &Cells) -> ScalarValue {
        let batch = batch_of(schema, std::slice::from_ref(row));
        ScalarValue::try_from_array(&expr.evaluate(&batch).unwrap().into_array(1).unwrap(), 0).unwrap()
    }
}

/// NULLs last in either direction, as the tests' orders say; all columns break ties.
fn compare(a: &Cells, b: &Cells, order: &[Order]) -> Ordering {
    let one = |i: usize, descending: bool| match (a[i].is_null(), b[i].is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => {
            let o = a[i].partial_cmp(&b[i]).unwrap();
            if descending { o.reverse() } else { o }
        }
    };
    let wanted = order.iter().map(|o| one(o.column, o.descending)).find(|o| o.is_ne());
    wanted.or_else(|| (0..a.len()).map(|i| one(i, false)).find(|o| o.is_ne())).unwrap_or(Ordering::Equal)
}

fn aggregate(a: &Aggregate, rows: &[Cells]) -> ScalarValue {
    let kept = rows.iter().filter(|r| a.filter.is_none_or(|f| r[f] == ScalarValue::Boolean(Some(true))));
    let Some(argument) = a.argument else { return ScalarValue::Int64(Some(kept.count() as i64)) };
    let mut values: Vec<ScalarValue> = kept.map(|r| r[argument].clone()).filter(|v| !v.is_null()).collect();
    if a.distinct {
        let mut seen = BTreeSet::new();
        values.retain(|v| seen.insert(format!("{v:?}")));
    }
    values.sort_by(|x, y| x.partial_cmp(y).unwrap());
    let number = |v: &ScalarValue| match v {
        ScalarValue::Int64(Some(v)) => *v as f64,
        ScalarValue::Float64(Some(v)) => *v,
        other => panic!("{other} is not a number"),
    };
    let sum: f64 = if matches!(a.function, Function::Sum | Function::Avg) {
        values.iter().map(number).sum()
    } else {
        0.0
    };
    let some = (!values.is_empty()).then_some(());
    match (&a.function, &a.data_type) {
        (Function::Count, _) => ScalarValue::Int64(Some(values.len() as i64)),
        (Function::Sum, DataType::Int64) => ScalarValue::Int64(some.map(|_| sum as i64)),
        (Function::Sum, _) => ScalarValue::Float64(some.map(|_| sum)),
        (Function::Avg, _) => ScalarValue::Float64(some.map(|_| sum / values.len() as f64)),
        (Function::Min, t) => values.first().cloned().unwrap_or(ScalarValue::try_from(t).unwrap()),
        (Function::Max, t) => values.last().cloned().unwrap_or(ScalarValue::try_from(t).unwrap()),
        (other, _) => panic!("{other:?} is compared with DataFusion in harness/tests/aggregates.rs"),
    }
}
