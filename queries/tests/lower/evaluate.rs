//! What a `Plan` means, said once more and as simply as can be: multisets of rows in hash maps. Slow, and for tests only.
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::datatypes::{DataType, SchemaRef};
use dataflows::Plan;
use dataflows::plan::{Aggregate, Expr, Function, Kept, Order, Outer};
use datafusion::common::ScalarValue;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A row.
pub type Row = Vec<ScalarValue>;
/// How often each row is there.
pub type Bag = HashMap<Row, i64>;

/// The rows of batches.
pub fn bag(batches: &[RecordBatch]) -> Bag {
    let mut bag = Bag::new();
    for batch in batches {
        for i in 0..batch.num_rows() {
            let row = batch.columns().iter().map(|c| ScalarValue::try_from_array(c, i).unwrap()).collect();
            *bag.entry(row).or_default() += 1;
        }
    }
    bag
}

/// The rows of a plan over tables.
pub fn evaluate(plan: &Plan, tables: &BTreeMap<String, Vec<RecordBatch>>) -> Bag {
    let of = |plan: &Plan| evaluate(plan, tables);
    let mut found = match plan {
        Plan::Get { name, .. } => bag(&tables[name.as_ref()]),
        Plan::Local { .. } | Plan::Recursive { .. } => {
            panic!("recursion is tested in harness/tests/recursive.rs")
        }
        Plan::Values { rows } => bag(std::slice::from_ref(rows)),
        Plan::Map { input, filter, project, .. } => mapped(of(input), &input.schema(), filter, project),
        Plan::Union { inputs, .. } => sum(inputs.iter().map(of)),
        Plan::Negate(input) => of(input).into_iter().map(|(row, n)| (row, -n)).collect(),
        Plan::Distinct(input) => of(input).into_iter().map(|(row, n)| (row, n.signum())).collect(),
        Plan::Join { left, right, on, null_equal, filter, schema } => {
            let joined = joined(&of(left), &of(right), on, *null_equal);
            mapped(joined, schema, filter, &None)
        }
        Plan::Matched { left, joined } => {
            let partners = of(joined);
            of(left).into_iter().filter(|(row, _)| partners.contains_key(row)).collect()
        }
        Plan::Bag { left, right, kept } => {
            let other = of(right);
            let keep = |row: &Row, n: i64| match (kept, other.get(row).copied().unwrap_or(0)) {
                (Kept::Difference, m) => (n - m).max(0),
                (Kept::Intersection, m) => n.min(m),
            };
            of(left).into_iter().map(|(row, n)| (row.clone(), keep(&row, n))).collect()
        }
        Plan::Outer { left, right, on, null_equal, filter, kind, .. } => {
            let (l, r) = (left.schema(), right.schema());
            let both = l.fields().iter().chain(r.fields()).cloned().collect::<Vec<_>>();
            let both = std::sync::Arc::new(arrow::datatypes::Schema::new(both));
            outer(of(left), of(right), (l.fields().len(), r.fields()), *kind, |a, b| {
                mapped(joined(a, b, on, *null_equal), &both, filter, &None)
            })
        }
        Plan::Cross { left, right, .. } => joined(&of(left), &of(right), &[], false),
        Plan::Aggregate { input, group, aggregates, .. } => aggregated(of(input), group, aggregates),
        Plan::TopK { input, partition, order, offset, limit, number, .. } => {
            top(of(input), partition, order, *offset, *limit, *number)
        }
        Plan::Window { .. } => panic!("windows are evaluated by the engine, in tests/windows.rs"),
        Plan::Flatten { input, lists, .. } => flattened(of(input), lists),
        Plan::Temporal { input, from, until } => {
            let clock = &tables[dataflows::plan::CLOCK][0];
            let ScalarValue::TimestampMillisecond(Some(now), _) =
                ScalarValue::try_from_array(clock.column(0), 0).unwrap()
            else {
                panic!("the clock shows milliseconds")
            };
            let width = input.schema().fields().len();
            let all = (0..width).map(|i| -> Expr {
                let name = input.schema().field(i).name().clone();
                std::sync::Arc::new(datafusion::physical_expr::expressions::Column::new(&name, i))
            });
            let bounds = [from, until].into_iter().flatten().cloned();
            let rows = mapped(of(input), &input.schema(), &None, &Some(all.chain(bounds).collect()));
            let mut found = Bag::new();
            for (mut row, n) in rows {
                let mut bounds = row.split_off(width).into_iter();
                let mut next = |none: i64| match bounds.next() {
                    Some(ScalarValue::Int64(bound)) => bound,
                    _ => Some(none),
                };
                let first = if from.is_some() { next(0) } else { Some(0) };
                let end = if until.is_some() { next(i64::MAX) } else { Some(i64::MAX) };
                if first.zip(end).is_some_and(|(first, end)| first <= now && now < end) {
                    *found.entry(row).or_default() += n;
                }
            }
            found
        }
    };
    found.retain(|_, n| *n != 0);
    assert!(matches!(plan, Plan::Negate(_)) || found.values().all(|n| *n > 0), "negative rows in\n{plan}");
    found
}

fn flattened(rows: Bag, lists: &[usize]) -> Bag {
    let mut found = Bag::new();
    for (row, n) in rows {
        let parts: Vec<(usize, Vec<ScalarValue>)> = lists
            .iter()
            .map(|i| {
                let ScalarValue::List(list) = &row[*i] else { panic!("{} is no list", row[*i]) };
                let values = match list.is_valid(0) {
                    true => list.value(0),
                    false => new_empty_array(&list.value_type()),
                };
                (*i, (0..values.len()).map(|k| ScalarValue::try_from_array(&values, k).unwrap()).collect())
            })
            .collect();
        let longest = parts.iter().map(|(_, part)| part.len()).max().unwrap();
        for k in 0..longest {
            let mut row = row.clone();
            for (i, part) in &parts {
                let ScalarValue::List(list) = &row[*i] else { panic!("checked above") };
                let null = ScalarValue::try_from(&list.value_type()).unwrap();
                row[*i] = part.get(k).cloned().unwrap_or(null);
            }
            *found.entry(row).or_default() += n;
        }
    }
    found
}

fn sum(bags: impl Iterator<Item = Bag>) -> Bag {
    let mut total = Bag::new();
    for (row, n) in bags.flatten() {
        *total.entry(row).or_default() += n;
    }
    total
}

fn column(rows: &[&Row], index: usize, data_type: &DataType) -> ArrayRef {
    match rows {
        [] => new_empty_array(data_type),
        rows => ScalarValue::iter_to_array(rows.iter().map(|row| row[index].clone())).unwrap(),
    }
}

fn mapped(rows: Bag, schema: &SchemaRef, filter: &Option<Expr>, project: &Option<Vec<Expr>>) -> Bag {
    let list: Vec<(&Row, i64)> = rows.iter().map(|(row, n)| (row, *n)).collect();
    let only: Vec<&Row> = list.iter().map(|(row, _)| *row).collect();
    let columns = schema.fields().iter().enumerate().map(|(i, f)| column(&only, i, f.data_type())).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(list.len()));
    let nullable = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>();
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(nullable));
    let batch = RecordBatch::try_new_with_options(schema, columns, &options).unwrap();
    let array = |expr: &Expr| expr.evaluate(&batch).unwrap().into_array(list.len()).unwrap();
    let kept: Vec<bool> = match filter {
        None => vec![true; list.len()],
        Some(filter) => {
            let mask = array(filter);
            let mask: &BooleanArray = mask.as_any().downcast_ref().unwrap();
            mask.iter().map(|value| value == Some(true)).collect()
        }
    };
    let project: Option<Vec<ArrayRef>> = project.as_ref().map(|list| list.iter().map(array).collect());
    let mut found = Bag::new();
    for (i, (row, n)) in list.iter().enumerate().filter(|(i, _)| kept[*i]) {
        let row = match &project {
            None => (*row).clone(),
            Some(columns) => columns.iter().map(|c| ScalarValue::try_from_array(c, i).unwrap()).collect(),
        };
        *found.entry(row).or_default() += n;
    }
    found
}

fn joined(left: &Bag, right: &Bag, on: &[(usize, usize)], null_equal: bool) -> Bag {
    let mut found = Bag::new();
    for (l, n) in left {
        for (r, m) in right {
            let equal = |(a, b): &(usize, usize)| l[*a] == r[*b] && (null_equal || !l[*a].is_null());
            if on.iter().all(equal) {
                *found.entry(l.iter().chain(r).cloned().collect()).or_default() += n * m;
            }
        }
    }
    found
}

fn outer(
    left: Bag,
    right: Bag,
    (width, others): (usize, &arrow::datatypes::Fields),
    kind: Outer,
    join: impl Fn(&Bag, &Bag) -> Bag,
) -> Bag {
    let pairs = join(&left, &right);
    let (lefts, rights): (HashSet<Row>, HashSet<Row>) =
        pairs.keys().map(|row| (row[..width].to_vec(), row[width..].to_vec())).unzip();
    let nulls = |n: usize| vec![ScalarValue::Null; n];
    let typed: Row = others.iter().map(|f| ScalarValue::try_from(f.data_type()).unwrap()).collect();
    let mut found = Bag::new();
    if kind.gives_pairs() {
        found.extend(pairs);
    }
    for (row, n) in left.iter().filter(|_| kind.keeps(0)) {
        let has = lefts.contains(row);
        let more = match kind {
            Outer::Semi if has => vec![],
            Outer::Anti if !has => vec![],
            Outer::Mark => vec![ScalarValue::Boolean(Some(has))],
            Outer::Left | Outer::Full if !has => typed.clone(),
            _ => continue,
        };
        *found.entry([row.clone(), more].concat()).or_default() += n;
    }
    for (row, n) in right.iter().filter(|(row, _)| kind.keeps(1) && !rights.contains(*row)) {
        let padding = left.keys().next().map_or(nulls(width), |row| {
            row.iter().map(|cell| ScalarValue::try_from(&cell.data_type()).unwrap()).collect()
        });
        *found.entry([padding, row.clone()].concat()).or_default() += n;
    }
    found
}

fn aggregated(rows: Bag, group: &[usize], aggregates: &[Aggregate]) -> Bag {
    let mut groups: HashMap<Row, Vec<(Row, i64)>> = HashMap::new();
    if group.is_empty() {
        groups.insert(vec![], vec![]);
    }
    for (row, n) in rows {
        groups.entry(group.iter().map(|i| row[*i].clone()).collect()).or_default().push((row, n));
    }
    let value = |key: Row, rows: Vec<(Row, i64)>| {
        let computed = aggregates.iter().map(|aggregate| one(aggregate, &rows)).collect::<Vec<_>>();
        (key.into_iter().chain(computed).collect(), 1)
    };
    groups.into_iter().map(|(key, rows)| value(key, rows)).collect()
}

fn one(aggregate: &Aggregate, rows: &[(Row, i64)]) -> ScalarValue {
    let counts = |row: &Row| {
        aggregate.filter.is_none_or(|i| row[i] == ScalarValue::Boolean(Some(true)))
            && aggregate.argument.is_none_or(|i| !row[i].is_null())
    };
    let rows = rows.iter().filter(|(row, _)| counts(row));
    let Some(argument) = aggregate.argument else {
        return ScalarValue::Int64(Some(rows.map(|(_, n)| n).sum()));
    };
    let mut values: Vec<ScalarValue> =
        rows.flat_map(|(row, n)| std::iter::repeat_n(row[argument].clone(), *n as usize)).collect();
    if aggregate.distinct {
        let mut seen = HashSet::new();
        values.retain(|value| seen.insert(value.clone()));
    }
    let nothing = ScalarValue::try_from(&aggregate.data_type).unwrap();
    let total = || {
        let wide = values.iter().map(|value| value.cast_to(&aggregate.data_type).unwrap());
        wide.reduce(|a, b| a.add_checked(&b).unwrap()).map(|sum| sum.cast_to(&aggregate.data_type).unwrap())
    };
    match aggregate.function {
        Function::Count => ScalarValue::Int64(Some(values.len() as i64)),
        Function::Sum => total().unwrap_or(nothing),
        Function::Avg => match (total(), values.len()) {
            (None, _) => nothing,
            (Some(ScalarValue::Float64(Some(sum))), n) => ScalarValue::Float64(Some(sum / n as f64)),
            (Some(ScalarValue::Decimal128(Some(sum), p, s)), n) => {
                let (twice, n) = (2 * sum, n as i128);
                ScalarValue::Decimal128(Some((twice + twice.signum() * n) / (2 * n)), p, s)
            }
            (Some(other), _) => panic!("an average of {other:?}"),
        },
        Function::Min => values.into_iter().min_by(|a, b| a.partial_cmp(b).unwrap()).unwrap_or(nothing),
        Function::Max => values.into_iter().max_by(|a, b| a.partial_cmp(b).unwrap()).unwrap_or(nothing),
        ref other => panic!("{other:?} is compared with DataFusion in harness/tests/aggregates.rs"),
    }
}

fn compare(a: &ScalarValue, b: &ScalarValue, order: &Order) -> Ordering {
    let nulls = |first: Ordering| if order.nulls_first { first } else { first.reverse() };
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => nulls(Ordering::Less),
        (false, true) => nulls(Ordering::Greater),
        (false, false) => {
            let plain = a.partial_cmp(b).unwrap();
            if order.descending { plain.reverse() } else { plain }
        }
    }
}

fn top(rows: Bag, partition: &[usize], order: &[Order], offset: usize, limit: usize, number: bool) -> Bag {
    let mut parts: HashMap<Row, Vec<Row>> = HashMap::new();
    for (row, n) in rows {
        let key = partition.iter().map(|i| row[*i].clone()).collect();
        parts.entry(key).or_default().extend(std::iter::repeat_n(row, n as usize));
    }
    let mut found = Bag::new();
    for mut rows in parts.into_values() {
        rows.sort_by(|a, b| {
            let ties = (0..a.len()).map(|column| Order { column, descending: false, nulls_first: false });
            let mut all = order.iter().copied().chain(ties).map(|o| compare(&a[o.column], &b[o.column], &o));
            all.find(|found| found.is_ne()).unwrap_or(Ordering::Equal)
        });
        for (i, mut row) in rows.into_iter().enumerate().skip(offset).take(limit) {
            if number {
                row.push(ScalarValue::UInt64(Some(i as u64 + 1)));
            }
            *found.entry(row).or_default() += 1;
        }
    }
    found
}
