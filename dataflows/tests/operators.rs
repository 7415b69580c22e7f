//! Every operator of the plan, on streams of changes: at each time a view's rows are those that a from-scratch computation gives.
//! Cases are plans and seeded changes; the oracle is `oracle::evaluate`, which knows nothing of differences.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

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
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows with how often each is there.
type Multiset = BTreeMap<Vec<u8>, i64>;

/// An aggregate: function, argument, distinct, filter, type.
type Wanted = (Function, Option<usize>, bool, Option<usize>, DataType);

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

/// Two tables of the same shape: k (few values, some NULL), v (small integers), t (text).
fn base() -> SchemaRef {
    schema(&[("k", DataType::Int64), ("v", DataType::Int64), ("t", DataType::Utf8)])
}

fn column(name: &str, index: usize) -> Expr {
    Arc::new(Column::new(name, index))
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Arc::new(BinaryExpr::new(left, op, right))
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A batch for a table in mode latest by `id`: rows (id, k, v, t), some of them deletions, so that tables shrink as well.
fn batch(random: &mut Random, rows: usize) -> RecordBatch {
    let (mut id, mut k, mut v, mut t) = (vec![], vec![], vec![], vec![]);
    let (mut time, mut event, mut deleted) = (vec![], vec![], vec![]);
    for _ in 0..rows {
        id.push(random.below(60) as i64);
        k.push((random.below(8) > 0).then(|| random.below(7) as i64));
        v.push((random.below(9) > 0).then(|| random.below(5) as i64));
        t.push((random.below(9) > 0).then(|| format!("t{}", random.below(4))));
        time.push(random.below(1000) as i64);
        event.push(random.below(1 << 30));
        deleted.push(random.below(4) == 0);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(id)),
        Arc::new(Int64Array::from(k)),
        Arc::new(Int64Array::from(v)),
        Arc::new(StringArray::from(t)),
        Arc::new(Int64Array::from(time)),
        Arc::new(UInt64Array::from(event)),
        Arc::new(BooleanArray::from(deleted)),
    ];
    RecordBatch::try_new(keyed_table("a").input_schema(), columns).unwrap()
}

fn keyed_table(name: &str) -> Table {
    let schema = schema(&[
        ("id", DataType::Int64),
        ("k", DataType::Int64),
        ("v", DataType::Int64),
        ("t", DataType::Utf8),
    ]);
    Table { name: name.into(), schema, mode: Mode::Latest { key: vec![0], version: vec![] } }
}

/// The table's columns without its id: duplicates become possible.
fn shape(name: &str) -> Plan {
    let input = Plan::Get { name: name.into(), schema: keyed_table(name).schema };
    let project = vec![column("k", 1), column("v", 2), column("t", 3)];
    Plan::Map { input: Box::new(input), filter: None, project: Some(project), schema: base() }
}

fn join(left: Plan, right: Plan, filter: Option<Expr>, null_equal: bool) -> Plan {
    let fields = left.schema().fields().iter().chain(right.schema().fields()).cloned().collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    Plan::Join { left: Box::new(left), right: Box::new(right), on: vec![(0, 0)], null_equal, filter, schema }
}

fn outer(kind: Outer, filter: Option<Expr>, null_equal: bool) -> Plan {
    let (left, right) = (shape("a"), shape("b"));
    let (l, r) = (left.schema(), right.schema());
    let mut fields: Vec<_> = l.fields().iter().cloned().collect();
    match kind {
        Outer::Left | Outer::Right | Outer::Full => fields.extend(r.fields().iter().cloned()),
        Outer::Semi | Outer::Anti => {}
        Outer::Mark => fields.push(Arc::new(Field::new("mark", DataType::Boolean, false))),
    }
    let schema = Arc::new(Schema::new(fields));
    let (left, right) = (Box::new(left), Box::new(right));
    Plan::Outer { left, right, on: vec![(0, 0)], null_equal, filter, kind, schema }
}

fn cross(left: Plan, right: Plan, pairs_max: u64) -> Plan {
    let fields = left.schema().fields().iter().chain(right.schema().fields()).cloned().collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    Plan::Cross { left: Box::new(left), right: Box::new(right), pairs_max, schema }
}

fn aggregate(input: Plan, group: Vec<usize>, list: Vec<Wanted>) -> Plan {
    let input_schema = input.schema();
    let mut fields: Vec<Field> = group.iter().map(|i| input_schema.field(*i).clone()).collect();
    fields.extend(list.iter().enumerate().map(|(i, a)| Field::new(format!("a{i}"), a.4.clone(), true)));
    let aggregates = list.into_iter().map(|(function, argument, distinct, filter, data_type)| Aggregate {
        function,
        argument,
        distinct,
        filter,
        data_type,
    });
    let aggregates = aggregates.collect();
    Plan::Aggregate { input: Box::new(input), group, aggregates, schema: Arc::new(Schema::new(fields)) }
}

fn top(input: Plan, partition: Vec<usize>, offset: usize, limit: usize, number: bool) -> Plan {
    let mut fields: Vec<Field> = input.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    if number {
        fields.push(Field::new("n", DataType::UInt64, false));
    }
    let order = vec![Order { column: 1, descending: true, nulls_first: false }];
    Plan::TopK {
        input: Box::new(input),
        partition,
        order,
        offset,
        limit,
        number,
        schema: Arc::new(Schema::new(fields)),
    }
}

fn plans() -> Vec<(&'static str, Plan)> {
    use DataType::{Float64, Int64, Utf8};
    use Function::*;
    let (a, b) = (|| shape("a"), || shape("b"));
    let even =
        |c: usize| binary(binary(column("v", c), Operator::Modulo, lit(2i64)), Operator::Eq, lit(0i64));
    let filtered = |input: Plan| Plan::Map {
        schema: input.schema(),
        input: Box::new(input),
        filter: Some(even(1)),
        project: None,
    };
    let less = binary(column("v", 1), Operator::Lt, column("v", 4));
    let with_flag = |input: Plan| Plan::Map {
        project: Some(vec![
            column("k", 0),
            column("v", 1),
            column("t", 2),
            even(1),
            binary(column("v", 1), Operator::Multiply, lit(1i64)),
        ]),
        schema: schema(&[("k", Int64), ("v", Int64), ("t", Utf8), ("even", DataType::Boolean), ("w", Int64)]),
        filter: None,
        input: Box::new(input),
    };
    let floats = Plan::Map {
        project: Some(vec![
            column("k", 0),
            Arc::new(datafusion::physical_expr::expressions::CastExpr::new(column("v", 1), Float64, None)),
        ]),
        schema: schema(&[("k", Int64), ("f", Float64)]),
        filter: None,
        input: Box::new(a()),
    };
    let all = vec![
        (Count, None, false, None, Int64),
        (Count, Some(1), false, Some(3), Int64),
        (Sum, Some(4), false, None, Int64),
        (Sum, Some(4), true, None, Int64),
        (Count, Some(2), true, Some(3), Int64),
        (Min, Some(2), false, None, Utf8),
        (Max, Some(1), false, Some(3), Int64),
    ];
    let joined_left = |filter: Option<Expr>| Plan::Map {
        project: Some(vec![column("k", 0), column("v", 1), column("t", 2)]),
        schema: base(),
        filter: None,
        input: Box::new(join(a(), b(), filter, false)),
    };
    let union = |inputs: Vec<Plan>| Plan::Union { inputs, schema: base() };
    vec![
        ("project", a()),
        ("filter", filtered(a())),
        ("union", union(vec![a(), b(), a()])),
        ("distinct", Plan::Distinct(Box::new(union(vec![a(), b()])))),
        ("join", join(a(), b(), None, false)),
        ("join where NULL is NULL", join(a(), b(), None, true)),
        ("join with residual", join(a(), b(), Some(less.clone()), false)),
        ("self join of a distinct", {
            let d = Plan::Distinct(Box::new(a()));
            join(d.clone(), d, None, false)
        }),
        ("matched", Plan::Matched { left: Box::new(a()), joined: Box::new(joined_left(Some(less.clone()))) }),
        ("anti", {
            let matched = Plan::Matched { left: Box::new(a()), joined: Box::new(joined_left(Some(less))) };
            union(vec![a(), Plan::Negate(Box::new(matched))])
        }),
        ("group by", aggregate(with_flag(a()), vec![0], all.clone())),
        ("group by nothing", aggregate(with_flag(filtered(a())), vec![], all)),
        (
            "float sums",
            aggregate(
                floats,
                vec![0],
                vec![(Sum, Some(1), false, None, Float64), (Avg, Some(1), false, None, Float64)],
            ),
        ),
        (
            "aggregate of a join",
            aggregate(join(a(), b(), None, false), vec![1, 5], vec![(Count, None, false, None, Int64)]),
        ),
        ("copies left over", Plan::Bag { left: Box::new(a()), right: Box::new(b()), kept: Kept::Difference }),
        (
            "copies on both sides",
            Plan::Bag { left: Box::new(a()), right: Box::new(b()), kept: Kept::Intersection },
        ),
        ("outer left", outer(Outer::Left, None, false)),
        ("outer right", outer(Outer::Right, None, true)),
        ("outer full", outer(Outer::Full, Some(binary(column("v", 1), Operator::Lt, column("v", 4))), false)),
        (
            "outer left where",
            outer(Outer::Left, Some(binary(column("v", 1), Operator::Lt, column("v", 4))), false),
        ),
        ("outer semi", outer(Outer::Semi, Some(binary(column("v", 1), Operator::Lt, column("v", 4))), false)),
        ("outer anti", outer(Outer::Anti, Some(binary(column("v", 1), Operator::Lt, column("v", 4))), false)),
        ("outer mark", outer(Outer::Mark, None, false)),
        ("every pair", cross(a(), b(), 1_000_000)),
        ("pairs in order", {
            let Plan::Join { left, right, null_equal, schema, .. } = join(a(), b(), None, false) else {
                unreachable!("a join is made")
            };
            let filter = Some(binary(column("v", 1), Operator::Lt, column("v", 4)));
            Plan::Join { left, right, on: vec![], null_equal, filter, schema }
        }),
        // A list of two values and NULL, the other of one.
        ("flatten", {
            let list = |values: Vec<Expr>| -> Expr {
                let function = datafusion::functions_nested::make_array::make_array_udf();
                let item = Arc::new(Field::new_list_field(Int64, true));
                let field = Arc::new(Field::new("list", DataType::List(item), true));
                let options = Arc::new(datafusion::config::ConfigOptions::default());
                Arc::new(ScalarFunctionExpr::new("make_array", function, values, field, options))
            };
            let lists = vec![
                column("k", 0),
                list(vec![column("v", 1), column("k", 0), lit(1i64)]),
                list(vec![lit(2i64)]),
            ];
            let of = |t: DataType| DataType::List(Arc::new(Field::new_list_field(t, true)));
            let wide = Plan::Map {
                schema: schema(&[("k", Int64), ("a", of(Int64)), ("b", of(Int64))]),
                input: Box::new(a()),
                filter: None,
                project: Some(lists),
            };
            let schema = schema(&[("k", Int64), ("a", Int64), ("b", Int64)]);
            Plan::Flatten { input: Box::new(wide), lists: vec![1, 2], schema }
        }),
        ("temporal", {
            let later = |by: i64| {
                binary(binary(column("k", 0), Operator::Multiply, lit(3i64)), Operator::Plus, lit(by))
            };
            let until = binary(later(2), Operator::Plus, column("v", 1));
            Plan::Temporal { input: Box::new(a()), from: Some(later(0)), until: Some(until) }
        }),
        (
            "temporal without an end",
            Plan::Temporal {
                input: Box::new(b()),
                from: Some(binary(column("v", 1), Operator::Multiply, lit(7i64))),
                until: None,
            },
        ),
        (
            "temporal without a beginning",
            Plan::Temporal {
                input: Box::new(b()),
                from: None,
                until: Some(binary(column("v", 1), Operator::Multiply, lit(7i64))),
            },
        ),
        ("top k", top(a(), vec![], 1, 7, false)),
        ("top k by partition, numbered", top(a(), vec![0], 0, 2, true)),
        (
            "constant",
            Plan::Values {
                rows: {
                    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 1, 2]))];
                    RecordBatch::try_new(schema(&[("x", Int64)]), columns).unwrap()
                },
            },
        ),
    ]
}

/// Adds a tick's changes to what each view holds, and checks that they are consolidated.
fn add(contents: &mut BTreeMap<String, Multiset>, tick: &dataflows::Tick) {
    for batch in &tick.batches {
        let codec = Codec::new(&batch.view.schema).unwrap();
        let rows = contents.entry(batch.view.name.to_string()).or_default();
        for delta in &batch.changes {
            assert!(delta.time >= tick.lower && delta.time < tick.upper);
            let encoded = codec.encode(delta.rows.columns(), delta.len());
            for (row, diff) in encoded.iter().zip(&delta.diffs) {
                assert_ne!(*diff, 0);
                *rows.entry(row.to_vec()).or_insert(0) += diff;
            }
        }
        rows.retain(|_, n| *n != 0);
    }
}

/// Runs all plans over `ticks` ticks; `late` views are created in the middle. After each tick every view must equal the oracle's answer.
fn run(seed: u64, place: (usize, usize), ticks: u64, rows: usize) {
    println!("seed {seed}, {place:?} processes and workers, {ticks} ticks of {rows} rows");
    let (output, outputs) = crossbeam_channel::unbounded();
    let engine = processes::start(place, &output);
    let workers = place.0 * place.1;
    let mut collector = Collector::new(workers);
    let mut oracle = oracle::Oracle::default();
    for name in ["a", "b"] {
        engine.create_table(Arc::new(keyed_table(name)));
        oracle.table(keyed_table(name));
    }
    let plans = plans();
    let create = |collector: &mut Collector, from: usize, to: usize, suffix: &str| {
        for (name, plan) in &plans[from..to] {
            Engine::check(plan).unwrap();
            let name = format!("{name}{suffix}");
            let view =
                View { name: name.as_str().into(), schema: plan.schema(), key: vec![], sql: "".into() };
            let view = Arc::new(view);
            collector.create(view.clone());
            engine.create_view(view, Arc::new(plan.clone()));
        }
    };
    create(&mut collector, 0, plans.len() / 2, "");
    let (mut random, mut contents) = (Random(seed), BTreeMap::new());
    for time in 1..=ticks {
        if time == ticks / 2 {
            create(&mut collector, plans.len() / 2, plans.len(), "");
            create(&mut collector, 0, plans.len(), " again");
        }
        if time == ticks - 2 {
            engine.drop_view("join again");
            collector.drop_view("join again");
            contents.remove("join again");
        }
        oracle.now = time as i64;
        let mut feed = vec![];
        for name in ["a", "b"] {
            let n = random.below(rows as u64 + 1) as usize;
            let batch = batch(&mut random, n);
            oracle.feed(name, &batch);
            feed.push((Arc::from(name), batch));
        }
        engine.tick(time, feed);
        // Until the tick is complete, take in what the workers hand over.
        let mut reached = 0;
        while reached <= time {
            while let Some((tick, _)) = collector.next() {
                add(&mut contents, &tick);
                reached = tick.upper;
            }
            if reached <= time {
                collector.absorb(outputs.recv().unwrap());
            }
        }
        for (name, plan) in &plans {
            let expected = oracle.evaluate(plan);
            for name in [name.to_string(), format!("{name} again")] {
                if let Some(rows) = contents.get(&name) {
                    assert_eq!(rows, &expected, "{name} at {time}");
                }
            }
        }
    }
    // Every view has become readable, and none was compared in vain.
    assert_eq!(contents.len(), 2 * plans.len() - 1);
    engine.shutdown();
}

#[test]
fn views_equal_the_answer_from_scratch_at_every_time_with_one_worker() {
    run(1, (1, 1), 30, 40);
}

#[test]
fn views_equal_the_answer_from_scratch_at_every_time_with_two_workers() {
    run(2, (1, 2), 30, 40);
}

#[test]
fn views_equal_the_answer_from_scratch_at_every_time_with_four_workers_and_large_batches() {
    run(3, (1, 4), 8, 3000);
}

#[test]
fn views_equal_the_answer_from_scratch_at_every_time_over_processes() {
    run(4, (2, 2), 12, 60);
    run(5, (3, 1), 8, 1500);
}

#[test]
fn what_was_told_before_the_end_is_answered_in_full() {
    for workers in [1, 2] {
        // The workers have not taken a step when they are told to end.
        let (output, outputs) = crossbeam_channel::unbounded();
        let engine = Engine::start(workers, output).unwrap();
        let (mut collector, mut oracle) = (Collector::new(workers), oracle::Oracle::default());
        engine.create_table(Arc::new(keyed_table("a")));
        oracle.table(keyed_table("a"));
        let plan =
            aggregate(shape("a"), vec![0], vec![(Function::Count, None, false, None, DataType::Int64)]);
        let view = View { name: "v".into(), schema: plan.schema(), key: vec![0], sql: "".into() };
        let view = Arc::new(view);
        collector.create(view.clone());
        engine.create_view(view, Arc::new(plan.clone()));
        let rows = batch(&mut Random(5), 200);
        oracle.feed("a", &rows);
        engine.tick(1, vec![("a".into(), rows)]);
        engine.shutdown();
        let mut contents = BTreeMap::new();
        outputs.iter().for_each(|output| collector.absorb(output));
        while let Some((tick, _)) = collector.next() {
            add(&mut contents, &tick);
        }
        assert_eq!(contents["v"], oracle.evaluate(&plan), "{workers} workers");
    }
}
