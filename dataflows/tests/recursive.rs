//! Every operator inside a loop, on streams of changes: at each time what a from-scratch computation gives, round by round.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with operators.rs")]
mod oracle;
#[path = "support/processes.rs"]
mod processes;

use arrow::array::*;
use arrow::datatypes::*;
use dataflows::codec::Codec;
use dataflows::engine::{Collector, Engine};
use dataflows::plan::*;
use dataflows::{Mode, Table, View};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};
use std::collections::BTreeMap;
use std::sync::Arc;

fn schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|n| Field::new(*n, DataType::Int64, true)).collect::<Vec<_>>()))
}

fn pair() -> SchemaRef {
    schema(&["a", "b"])
}

fn with_number() -> SchemaRef {
    let number = Arc::new(Field::new("n", DataType::UInt64, true));
    Arc::new(Schema::new(pair().fields().iter().cloned().chain([number]).collect::<Vec<_>>()))
}

fn column(name: &str, index: usize) -> Expr {
    Arc::new(Column::new(name, index))
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Arc::new(BinaryExpr::new(left, op, right))
}

fn edge_table() -> Table {
    Table { name: "edge".into(), schema: pair(), mode: Mode::Latest { key: vec![0, 1], version: vec![] } }
}

fn edge() -> Plan {
    Plan::Get { name: "edge".into(), schema: pair() }
}

fn local(name: &str) -> Plan {
    Plan::Local { name: name.into(), schema: pair() }
}

fn union(inputs: Vec<Plan>) -> Plan {
    Plan::Union { inputs, schema: pair() }
}

fn distinct(input: Plan) -> Plan {
    Plan::Distinct(Box::new(input))
}

/// `left.b = right.a`, keeping `left.a` and `right.b`.
fn hop(left: Plan, right: Plan, null_equal: bool, filter: Option<Expr>) -> Plan {
    let join = Plan::Join {
        left: Box::new(left),
        right: Box::new(right),
        on: vec![(1, 0)],
        null_equal,
        filter,
        schema: schema(&["a", "b", "c", "d"]),
    };
    pick(join, column("a", 0), column("d", 3))
}

fn pick(input: Plan, a: Expr, b: Expr) -> Plan {
    Plan::Map { input: Box::new(input), filter: None, project: Some(vec![a, b]), schema: pair() }
}

fn aggregate(input: Plan, group: Vec<usize>, function: Function) -> Plan {
    let one = |argument| Aggregate {
        function: function.clone(),
        argument,
        distinct: false,
        filter: None,
        data_type: DataType::Int64,
    };
    let aggregates = if group.is_empty() { vec![one(Some(0)), one(Some(1))] } else { vec![one(Some(1))] };
    Plan::Aggregate { input: Box::new(input), group, aggregates, schema: pair() }
}

fn recursive(body: Plan, rounds: Rounds, limit: Limit) -> Plan {
    let binding = Binding { name: "x".into(), schema: pair(), body, rounds };
    Plan::Recursive { bindings: vec![binding], output: 0, limit }
}

fn plans() -> Vec<(&'static str, Plan)> {
    let few = |rounds| Limit { rounds, returns: true };
    let base = || Box::new(edge());
    let less = || Some(binary(column("a", 0), Operator::LtEq, column("d", 3)));
    let closure = |null_equal, filter| {
        let body = distinct(union(vec![edge(), hop(local("x"), edge(), null_equal, filter)]));
        recursive(body, Rounds::Replaced, Limit::DEFAULT)
    };
    let top = |number: bool| Plan::TopK {
        input: Box::new(hop(local("x"), edge(), false, None)),
        partition: vec![0],
        order: vec![Order { column: 1, descending: true, nulls_first: false }],
        offset: 0,
        limit: 2,
        number,
        schema: if number { with_number() } else { pair() },
    };
    let numbered = |plan: Plan| {
        let n = Arc::new(datafusion::physical_expr::expressions::CastExpr::new(
            column("n", 2),
            DataType::Int64,
            None,
        ));
        pick(plan, column("a", 0), n)
    };
    let incremented = Plan::Map {
        input: Box::new(local("x")),
        filter: Some(binary(column("b", 1), Operator::Lt, lit(9i64))),
        project: Some(vec![column("a", 0), binary(column("b", 1), Operator::Plus, lit(1i64))]),
        schema: pair(),
    };
    let known = || distinct(hop(local("x"), local("x"), false, None));
    vec![
        ("closure", closure(false, None)),
        ("closure where NULL is NULL", closure(true, None)),
        ("closure with residual", closure(false, less())),
        (
            "squares",
            recursive(
                distinct(union(vec![edge(), hop(local("x"), local("x"), false, None)])),
                Rounds::Replaced,
                Limit::DEFAULT,
            ),
        ),
        ("counting up", recursive(incremented.clone(), Rounds::Added { base: base() }, Limit::DEFAULT)),
        ("counting up once", recursive(incremented, Rounds::New { base: base() }, Limit::DEFAULT)),
        ("walks", recursive(hop(local("x"), edge(), false, None), Rounds::Added { base: base() }, few(4))),
        ("top", recursive(top(false), Rounds::New { base: base() }, Limit::DEFAULT)),
        ("top, numbered", recursive(numbered(top(true)), Rounds::New { base: base() }, Limit::DEFAULT)),
        (
            "matched",
            recursive(
                distinct(union(vec![
                    edge(),
                    Plan::Matched {
                        left: Box::new(hop(local("x"), edge(), false, None)),
                        joined: Box::new(known()),
                    },
                ])),
                Rounds::Replaced,
                few(5),
            ),
        ),
        (
            "not matched",
            recursive(
                union(vec![
                    edge(),
                    Plan::Negate(Box::new(Plan::Matched {
                        left: Box::new(edge()),
                        joined: Box::new(local("x")),
                    })),
                ]),
                Rounds::Replaced,
                few(5),
            ),
        ),
        (
            "least",
            recursive(
                aggregate(union(vec![edge(), hop(edge(), local("x"), false, None)]), vec![0], Function::Min),
                Rounds::Replaced,
                few(12),
            ),
        ),
        (
            "totals",
            recursive(
                aggregate(union(vec![edge(), local("x")]), vec![], Function::Sum),
                Rounds::Replaced,
                few(3),
            ),
        ),
        (
            "added greatest",
            recursive(
                aggregate(hop(local("x"), edge(), false, None), vec![0], Function::Max),
                Rounds::Added { base: base() },
                few(4),
            ),
        ),
        ("two", {
            let binding = |name: &str, other: &str| Binding {
                name: name.into(),
                schema: pair(),
                body: distinct(union(vec![edge(), hop(local(other), edge(), false, None)])),
                rounds: Rounds::Replaced,
            };
            let bindings = vec![binding("x", "y"), binding("y", "x")];
            let of = |output| Plan::Recursive { bindings: bindings.clone(), output, limit: few(3) };
            union(vec![of(0), of(1)])
        }),
    ]
}

fn run(seed: u64, place: (usize, usize), ticks: u64) {
    println!("seed {seed}, {place:?} processes and workers");
    let mut state = seed;
    let mut below = move |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let (output, outputs) = crossbeam_channel::unbounded();
    let engine = processes::start(place, &output);
    let workers = place.0 * place.1;
    let (mut collector, mut oracle) = (Collector::new(workers), oracle::Oracle::default());
    engine.create_table(Arc::new(edge_table()));
    oracle.table(edge_table());
    for (name, plan) in plans() {
        Engine::check(&plan).unwrap();
        let view = Arc::new(View { name: name.into(), schema: plan.schema(), key: vec![], sql: "".into() });
        collector.create(view.clone());
        engine.create_view(view, Arc::new(plan));
    }
    let endless = recursive(
        hop(local("x"), edge(), false, None),
        Rounds::Added { base: Box::new(edge()) },
        Limit { rounds: 7, returns: false },
    );
    let view = Arc::new(View { name: "endless".into(), schema: pair(), key: vec![], sql: "".into() });
    collector.create(view.clone());
    engine.create_view(view, Arc::new(endless.clone()));
    let (mut failures, mut failed, mut ended) = (0, 0, 0);
    let mut contents: BTreeMap<String, BTreeMap<Vec<u8>, i64>> = BTreeMap::new();
    for time in 1..=ticks {
        let n = 1 + below(6) as usize;
        let mut number = |nulls: bool| (!nulls || below(7) > 0).then(|| below(6) as i64);
        let ends: Vec<_> = (0..n).map(|_| (number(true), number(true))).collect();
        let gone: Vec<bool> = (0..n).map(|_| number(false) < Some(2)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ends.iter().map(|(a, _)| *a).collect::<Int64Array>()),
            Arc::new(ends.iter().map(|(_, b)| *b).collect::<Int64Array>()),
            Arc::new(Int64Array::from(vec![time as i64; n])),
            Arc::new(UInt64Array::from_iter_values(0..n as u64)),
            Arc::new(BooleanArray::from(gone)),
        ];
        let rows = RecordBatch::try_new(edge_table().input_schema(), columns).unwrap();
        oracle.feed("edge", &rows);
        engine.tick(time, vec![("edge".into(), rows)]);
        let mut reached = 0;
        while reached <= time {
            while let Some((tick, _)) = collector.next() {
                reached = tick.upper;
                for batch in &tick.batches {
                    if &*batch.view.name == "endless" {
                        failures += batch.errs.iter().map(|(_, _, diff)| diff).sum::<i64>();
                        continue;
                    }
                    assert!(batch.errs.is_empty(), "{}: {:?}", batch.view.name, batch.errs);
                    let codec = Codec::new(&batch.view.schema).unwrap();
                    let rows = contents.entry(batch.view.name.to_string()).or_default();
                    for delta in &batch.changes {
                        let encoded = codec.encode(delta.rows.columns(), delta.len());
                        encoded
                            .iter()
                            .zip(&delta.diffs)
                            .for_each(|(row, n)| *rows.entry(row.to_vec()).or_default() += n);
                    }
                    rows.retain(|_, n| *n != 0);
                }
            }
            if reached <= time {
                collector.absorb(outputs.recv().unwrap());
            }
        }
        // It fails exactly while the last round of all still has rows.
        let of = |rounds| {
            let Plan::Recursive { bindings, output, .. } = endless.clone() else {
                unreachable!("built above")
            };
            oracle.evaluate(&Plan::Recursive { bindings, output, limit: Limit { rounds, returns: true } })
        };
        let more = of(7) != of(6);
        assert_eq!((failures > 0, failures >= 0), (more, true), "at {time}");
        *if more { &mut failed } else { &mut ended } += 1;
        for (name, plan) in plans() {
            assert_eq!(
                contents.get(name).cloned().unwrap_or_default(),
                oracle.evaluate(&plan),
                "{name} at {time}"
            );
        }
    }
    println!("{failed} times without an end, {ended} times with");
    assert!(failed > 0 && ended > 0);
    engine.shutdown();
}

#[test]
fn loops_equal_the_answer_from_scratch_with_one_worker() {
    run(1, (1, 1), 25);
}

#[test]
fn loops_equal_the_answer_from_scratch_with_two_workers() {
    run(2, (1, 2), 15);
}

#[test]
fn loops_equal_the_answer_from_scratch_with_four_workers() {
    run(3, (1, 4), 8);
}

#[test]
fn loops_equal_the_answer_from_scratch_over_processes() {
    run(4, (2, 2), 8);
}
