//! From scratch: evaluates a plan over the current rows of tables, with no notion of change.
mod window;

use arrow::array::*;
use arrow::datatypes::*;
use dataflows::codec::Codec;
use dataflows::plan::*;
use dataflows::{Mode, Table};
use datafusion::common::ScalarValue;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

type Cells = Vec<ScalarValue>;

/// Tables and the events they were fed.
#[derive(Default)]
pub struct Oracle {
    /// What the clock shows.
    pub now: i64,
    tables: BTreeMap<String, (Table, BTreeMap<Cells2, Cells>)>,
    /// What the relations of a recursion hold in a round.
    locals: RefCell<BTreeMap<String, Vec<Cells>>>,
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
            Plan::Local { name, .. } => self.locals.borrow()[name.as_ref()].clone(),
            Plan::Recursive { bindings, output, limit } => self.recursive(bindings, *output, limit),
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
            Plan::Flatten { input, lists, .. } => {
                let mut found = vec![];
                for row in self.rows(input) {
                    let parts: Vec<(usize, ArrayRef)> = lists
                        .iter()
                        .map(|i| match &row[*i] {
                            ScalarValue::List(list) if list.is_valid(0) => (*i, list.value(0)),
                            ScalarValue::List(list) => (*i, new_empty_array(&list.value_type())),
                            other => panic!("{other} is no list"),
                        })
                        .collect();
                    let longest = parts.iter().map(|(_, part)| part.len()).max().unwrap();
                    for k in 0..longest {
                        let mut row = row.clone();
                        for (i, part) in &parts {
                            row[*i] = match k < part.len() {
                                true => ScalarValue::try_from_array(part, k).unwrap(),
                                false => ScalarValue::try_from(part.data_type()).unwrap(),
                            };
                        }
                        found.push(row);
                    }
                }
                found
            }
            Plan::Temporal { input, from, until } => {
                let value = |expr: &Option<Expr>, row: &Cells, none: i64| match expr {
                    None => Some(none),
                    Some(expr) => match self.eval(expr, input, row) {
                        ScalarValue::Int64(bound) => bound,
                        other => panic!("{other} is no bound"),
                    },
                };
                let there = |row: &Cells| {
                    let (from, until) = (value(from, row, 0), value(until, row, i64::MAX));
                    from.zip(until).is_some_and(|(from, until)| from <= self.now && self.now < until)
                };
                self.rows(input).into_iter().filter(there).collect()
            }
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
            Plan::Bag { left, right, kept } => {
                let mut other: BTreeMap<String, i64> = BTreeMap::new();
                self.rows(right).iter().for_each(|r| *other.entry(format!("{r:?}")).or_insert(0) += 1);
                let mut take = |row: &Cells| {
                    let left = other.entry(format!("{row:?}")).or_insert(0);
                    *left -= 1;
                    (*left >= 0) == (*kept == Kept::Intersection)
                };
                self.rows(left).into_iter().filter(|row| take(row)).collect()
            }
            Plan::Outer { left, right, on, null_equal, filter, kind, .. } => {
                let (l, r) = (self.rows(left), self.rows(right));
                let (left, right) = (left.schema(), right.schema());
                let both: Vec<_> = left.fields().iter().chain(right.fields()).cloned().collect();
                let both: SchemaRef = std::sync::Arc::new(Schema::new(both));
                let holds = |a: &Cells, b: &Cells| {
                    on.iter().all(|(i, j)| a[*i] == b[*j] && (*null_equal || !a[*i].is_null()))
                        && filter.as_ref().is_none_or(|f| {
                            self.eval_in(f, &both, &[a.clone(), b.clone()].concat())
                                == ScalarValue::Boolean(Some(true))
                        })
                };
                let nulls = |schema: &SchemaRef| -> Cells {
                    schema.fields().iter().map(|f| ScalarValue::try_from(f.data_type()).unwrap()).collect()
                };
                let mut out = vec![];
                for a in &l {
                    let partners: Vec<&Cells> = r.iter().filter(|b| holds(a, b)).collect();
                    if kind.gives_pairs() {
                        out.extend(partners.iter().map(|b| [a.clone(), (*b).clone()].concat()));
                    }
                    match kind {
                        Outer::Left | Outer::Full if partners.is_empty() => {
                            out.push([a.clone(), nulls(&right)].concat());
                        }
                        Outer::Semi if !partners.is_empty() => out.push(a.clone()),
                        Outer::Anti if partners.is_empty() => out.push(a.clone()),
                        Outer::Mark => {
                            let mark = ScalarValue::Boolean(Some(!partners.is_empty()));
                            out.push([a.clone(), vec![mark]].concat());
                        }
                        _ => {}
                    }
                }
                for b in r.iter().filter(|b| kind.keeps(1) && !l.iter().any(|a| holds(a, b))) {
                    out.push([nulls(&left), b.clone()].concat());
                }
                out
            }
            Plan::Cross { left, right, .. } => {
                let (l, r) = (self.rows(left), self.rows(right));
                l.iter().flat_map(|a| r.iter().map(|b| [a.clone(), b.clone()].concat())).collect()
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
            Plan::Window { input, partition, order, ties, calls, .. } => {
                let mut parts: BTreeMap<String, Vec<Cells>> = BTreeMap::new();
                for row in self.rows(input) {
                    let key: Cells = partition.iter().map(|i| row[*i].clone()).collect();
                    parts.entry(format!("{key:?}")).or_default().push(row);
                }
                let schema = input.schema();
                parts
                    .into_values()
                    .flat_map(|rows| window::evaluate(rows, order, ties, calls, &schema))
                    .collect()
            }
        }
    }

    /// Round by round, until nothing changes.
    fn recursive(&self, bindings: &[Binding], output: usize, limit: &Limit) -> Vec<Cells> {
        let text = |rows: &[Cells]| {
            let mut text: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
            text.sort();
            text
        };
        let mut all: Vec<Vec<Cells>> = vec![vec![]; bindings.len()];
        let hold = |name: &str, rows: Vec<Cells>| _ = self.locals.borrow_mut().insert(name.into(), rows);
        bindings.iter().for_each(|binding| hold(&binding.name, vec![]));
        for round in 0..limit.rounds {
            let mut changed = false;
            for (binding, all) in bindings.iter().zip(&mut all) {
                let rows = match &binding.rounds {
                    Rounds::Added { base } | Rounds::New { base } if round == 0 => self.rows(base),
                    _ => self.rows(&binding.body),
                };
                match &binding.rounds {
                    Rounds::Replaced => {
                        changed |= text(&rows) != text(all);
                        *all = rows.clone();
                        hold(&binding.name, rows);
                    }
                    Rounds::Added { .. } => {
                        changed |= !rows.is_empty();
                        all.extend(rows.clone());
                        hold(&binding.name, rows);
                    }
                    Rounds::New { .. } => {
                        let mut seen: BTreeSet<String> = text(all).into_iter().collect();
                        let rows: Vec<Cells> =
                            rows.into_iter().filter(|row| seen.insert(format!("{row:?}"))).collect();
                        changed |= !rows.is_empty();
                        all.extend(rows.clone());
                        hold(&binding.name, rows);
                    }
                }
            }
            if !changed {
                break;
            }
        }
        all.swap_remove(output)
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
