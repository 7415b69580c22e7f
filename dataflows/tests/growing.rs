//! Tables whose rows only come: what keeps less because of that says the same as what does not know, and functions that are computed once
//! a value give what they give row by row.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use arrow::array::*;
use arrow::datatypes::*;
use dataflows::codec::Codec;
use dataflows::engine::{Collector, Engine};
use dataflows::plan::*;
use dataflows::{Mode, Table, View};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, IsNullExpr, LikeExpr, lit};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows with how often each is there.
type Multiset = BTreeMap<Vec<u8>, i64>;

fn schema() -> SchemaRef {
    let fields =
        [("k", DataType::Int64), ("v", DataType::Int64), ("t", DataType::Utf8), ("d", DataType::Date32)];
    Arc::new(Schema::new(fields.map(|(name, t)| Field::new(name, t, true)).to_vec()))
}

fn table(name: &str, mode: Mode) -> Table {
    Table { name: name.into(), schema: schema(), mode }
}

/// Rows of few values, many of them equal.
fn batch(seed: &mut u64, rows: usize) -> RecordBatch {
    let mut below = |n: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % n
    };
    let (mut k, mut v, mut t, mut d) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rows {
        k.push((below(9) > 0).then(|| below(40) as i64));
        v.push((below(9) > 0).then(|| below(60) as i64 - 30));
        t.push((below(9) > 0).then(|| format!("A long text of which one letter is {}", below(30))));
        d.push((below(9) > 0).then(|| below(20) as i32 - 5));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(k)),
        Arc::new(Int64Array::from(v)),
        Arc::new(StringArray::from(t)),
        Arc::new(Date32Array::from(d)),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn get(name: &str) -> Plan {
    Plan::Get { name: name.into(), schema: schema() }
}

fn column(name: &str, index: usize) -> Expr {
    Arc::new(Column::new(name, index))
}

fn top(
    input: Plan,
    partition: Vec<usize>,
    order: Vec<Order>,
    (offset, limit): (usize, usize),
    number: bool,
) -> Plan {
    let mut fields: Vec<Field> = input.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.extend(number.then(|| Field::new("n", DataType::UInt64, false)));
    let schema = Arc::new(Schema::new(fields));
    Plan::TopK { input: Box::new(input), partition, order, offset, limit, number, schema }
}

fn aggregate(input: Plan, group: Vec<usize>) -> Plan {
    use Function::{Count, Max, Min, Sum};
    let flag = 4;
    let list = [
        (Min, Some(1), false, None, DataType::Int64),
        (Max, Some(1), false, Some(flag), DataType::Int64),
        (Min, Some(2), false, Some(flag), DataType::Utf8),
        (Max, Some(2), false, None, DataType::Utf8),
        (Max, Some(3), false, None, DataType::Date32),
        (Count, Some(1), true, None, DataType::Int64),
        (Count, Some(1), true, Some(flag), DataType::Int64),
        (Sum, Some(1), true, Some(flag), DataType::Int64),
        (Count, Some(2), true, Some(flag), DataType::Int64),
    ];
    let mut fields: Vec<Field> = group.iter().map(|i| input.schema().field(*i).clone()).collect();
    fields.extend(list.iter().enumerate().map(|(i, a)| Field::new(format!("a{i}"), a.4.clone(), true)));
    let aggregates = list.map(|(function, argument, distinct, filter, data_type)| Aggregate {
        function,
        argument,
        distinct,
        filter,
        data_type,
    });
    let schema = Arc::new(Schema::new(fields));
    Plan::Aggregate { input: Box::new(input), group, aggregates: aggregates.to_vec(), schema }
}

fn upper(of: Expr) -> Expr {
    let field = Arc::new(Field::new("upper", DataType::Utf8, true));
    let options = Arc::new(datafusion::config::ConfigOptions::default());
    Arc::new(ScalarFunctionExpr::new(
        "upper",
        datafusion::functions::string::upper(),
        vec![of],
        field,
        options,
    ))
}

/// Expressions over the columns of the table, some of one column and some of several.
fn functions() -> Vec<(Expr, DataType)> {
    let like: Expr = Arc::new(LikeExpr::new(false, false, column("t", 2), lit("%1%")));
    let both: Expr = Arc::new(BinaryExpr::new(
        Arc::new(IsNullExpr::new(upper(column("t", 2)))),
        Operator::Or,
        Arc::new(BinaryExpr::new(column("v", 1), Operator::Gt, column("k", 0))),
    ));
    vec![(upper(column("t", 2)), DataType::Utf8), (like, DataType::Boolean), (both, DataType::Boolean)]
}

fn computed(input: Plan) -> Plan {
    let mut fields: Vec<Field> = schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut project: Vec<Expr> = fields.iter().enumerate().map(|(i, f)| column(f.name(), i)).collect();
    for (i, (expr, data_type)) in functions().into_iter().enumerate() {
        project.push(expr);
        fields.push(Field::new(format!("f{i}"), data_type, true));
    }
    let filter: Expr = Arc::new(LikeExpr::new(true, false, column("t", 2), lit("%7")));
    let schema = Arc::new(Schema::new(fields));
    Plan::Map { input: Box::new(input), filter: Some(filter), project: Some(project), schema }
}

fn flagged(input: Plan) -> Plan {
    let mut fields: Vec<Field> = schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut project: Vec<Expr> = fields.iter().enumerate().map(|(i, f)| column(f.name(), i)).collect();
    project.push(Arc::new(BinaryExpr::new(column("v", 1), Operator::Gt, lit(3i64))));
    fields.push(Field::new("flag", DataType::Boolean, true));
    let schema = Arc::new(Schema::new(fields));
    Plan::Map { input: Box::new(input), filter: None, project: Some(project), schema }
}

fn plans(table: &str) -> Vec<(&'static str, Plan)> {
    let by = |column: usize, descending: bool| Order { column, descending, nulls_first: descending };
    let joined = || {
        let fields: Vec<_> = schema().fields().iter().chain(schema().fields()).cloned().collect();
        let (left, right) = (Box::new(get(table)), Box::new(Plan::Distinct(Box::new(get(table)))));
        let schema = Arc::new(Schema::new(fields));
        let filter = Some(Arc::new(BinaryExpr::new(column("v", 1), Operator::Lt, column("v", 5))) as Expr);
        Plan::Join { left, right, on: vec![(0, 0), (3, 3)], null_equal: false, filter, schema }
    };
    vec![
        ("first", top(get(table), vec![0], vec![by(1, true)], (0, 1), false)),
        ("first numbered", top(get(table), vec![0], vec![by(1, false), by(3, true)], (0, 3), true)),
        ("some later ones", top(get(table), vec![2], vec![by(3, true)], (2, 5), true)),
        ("of all", top(get(table), vec![], vec![by(2, false)], (3, 200), false)),
        ("without an order", top(get(table), vec![1], vec![], (1, 2), false)),
        ("none", top(get(table), vec![1], vec![by(0, false)], (0, 0), false)),
        ("of a join", top(joined(), vec![0], vec![by(5, true)], (0, 4), false)),
        ("groups", aggregate(flagged(get(table)), vec![0])),
        ("groups by text", aggregate(flagged(get(table)), vec![2, 0])),
        ("one group", aggregate(flagged(get(table)), vec![])),
        ("computed", computed(get(table))),
    ]
}

fn run(workers: usize, ticks: u64, rows: usize) {
    let (output, outputs) = crossbeam_channel::unbounded();
    let engine = Engine::start(workers, output).unwrap();
    let mut collector = Collector::new(workers);
    engine.create_table(Arc::new(table("grows", Mode::Append)));
    engine.create_table(Arc::new(table("changes", Mode::Changes { key: vec![] })));
    let create = |collector: &mut Collector, suffix: &str| {
        for table in ["grows", "changes"] {
            for (name, plan) in plans(table) {
                Engine::check(&plan).unwrap();
                let name = format!("{name} {table}{suffix}");
                let view =
                    View { name: name.as_str().into(), schema: plan.schema(), key: vec![], sql: "".into() };
                let view = Arc::new(view);
                collector.create(view.clone());
                engine.create_view(view, Arc::new(plan));
            }
        }
    };
    create(&mut collector, "");
    let mut contents: BTreeMap<String, Multiset> = BTreeMap::new();
    let (mut seed, mut computed) = (7, Multiset::new());
    for time in 1..=ticks {
        if time == ticks / 2 {
            create(&mut collector, " late");
        }
        let rows = batch(&mut seed, rows);
        expect(&rows, &mut computed);
        let diffs: ArrayRef = Arc::new(Int64Array::from(vec![1; rows.num_rows()]));
        let columns: Vec<ArrayRef> = rows.columns().iter().cloned().chain([diffs]).collect();
        let changes = table("changes", Mode::Changes { key: vec![] }).input_schema();
        let changes = RecordBatch::try_new(changes, columns).unwrap();
        engine.tick(time, vec![("grows".into(), rows), ("changes".into(), changes)]);
        let mut reached = 0;
        while reached <= time {
            while let Some((tick, _)) = collector.next() {
                reached = tick.upper;
                for batch in &tick.batches {
                    assert!(batch.errs.is_empty(), "{:?}", batch.errs);
                    let codec = Codec::new(&batch.view.schema).unwrap();
                    let held = contents.entry(batch.view.name.to_string()).or_default();
                    for delta in &batch.changes {
                        let encoded = codec.encode(delta.rows.columns(), delta.len());
                        let mut once = std::collections::BTreeSet::new();
                        for (row, diff) in encoded.iter().zip(&delta.diffs) {
                            assert!(*diff != 0 && once.insert(row.to_vec()), "{}", batch.view.name);
                            *held.entry(row.to_vec()).or_insert(0) += diff;
                        }
                    }
                    held.retain(|_, n| *n != 0);
                }
            }
            if reached <= time {
                collector.absorb(outputs.recv().unwrap());
            }
        }
        for (name, _) in plans("grows") {
            for suffix in ["", " late"] {
                let of = |table: &str| contents.get(&format!("{name} {table}{suffix}"));
                assert_eq!(of("grows"), of("changes"), "{name}{suffix} at {time}, {workers} workers");
            }
        }
        assert_eq!(contents.get("computed grows"), Some(&computed), "at {time}, {workers} workers");
    }
    assert!(contents.contains_key("first grows late") && contents.contains_key("groups grows"));
    engine.shutdown();
}

/// Adds what the expressions give for each row by itself.
fn expect(rows: &RecordBatch, to: &mut Multiset) {
    let plan = computed(get("grows"));
    let Plan::Map { filter: Some(filter), project: Some(project), schema, .. } = &plan else {
        unreachable!("made above")
    };
    let codec = Codec::new(schema).unwrap();
    for i in 0..rows.num_rows() {
        let row = rows.slice(i, 1);
        let kept = filter.evaluate(&row).unwrap().into_array(1).unwrap();
        if kept.is_valid(0) && kept.as_boolean().value(0) {
            let cells = project.iter().map(|e| e.evaluate(&row).unwrap().into_array(1).unwrap());
            let encoded = codec.encode(&cells.collect::<Vec<_>>(), 1);
            *to.entry(encoded.row(0).to_vec()).or_insert(0) += 1;
        }
    }
}

#[test]
fn what_only_grows_is_told_as_what_may_shrink_with_one_worker() {
    run(1, 12, 300);
}

#[test]
fn what_only_grows_is_told_as_what_may_shrink_with_four_workers() {
    run(4, 8, 900);
}
