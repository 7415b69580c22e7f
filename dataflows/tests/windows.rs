//! Window functions on streams of changes: at each time a view's rows are those that their definition gives, whatever the workers
//! and whatever came before. Cases are calls over partitions and orders; the oracle looks at every row for every row.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod oracle;
#[path = "support/processes.rs"]
mod processes;

use WindowFrameUnits::{Groups, Range, Rows};
use arrow::array::*;
use arrow::datatypes::*;
use dataflows::codec::Codec;
use dataflows::engine::{Collector, Engine};
use dataflows::plan::window::{Call, Kind};
use dataflows::plan::*;
use dataflows::{Mode, Table, View};
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate as udaf;
use datafusion::logical_expr::{AggregateUDF, WindowFrame, WindowFrameBound, WindowFrameUnits};
use datafusion::physical_expr::aggregate::AggregateExprBuilder;
use datafusion::physical_expr::expressions::{CastExpr, Column};
use std::collections::BTreeMap;
use std::sync::Arc;

type Multiset = BTreeMap<Vec<u8>, i64>;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    Arc::new(Schema::new(fields.iter().map(|(n, t)| Field::new(*n, t.clone(), true)).collect::<Vec<_>>()))
}

fn table() -> Table {
    let schema = schema(&[
        ("id", DataType::Int64),
        ("k", DataType::Int64),
        ("v", DataType::Int64),
        ("t", DataType::Utf8),
        ("b", DataType::Boolean),
    ]);
    Table { name: "a".into(), schema, mode: Mode::Latest { key: vec![0], version: vec![] } }
}

/// Inserts, updates and deletions of `ids` rows.
fn batch(random: &mut Random, rows: usize, ids: u64, time: u64) -> RecordBatch {
    let mut list = |f: &mut dyn FnMut(&mut Random) -> Option<i64>| -> Vec<Option<i64>> {
        (0..rows).map(|_| f(random)).collect()
    };
    let id = list(&mut |r| Some(r.below(ids) as i64));
    let k = list(&mut |r| (r.below(8) > 0).then(|| r.below(3) as i64));
    let v = list(&mut |r| (r.below(6) > 0).then(|| r.below(12) as i64 - 3));
    let t = list(&mut |r| (r.below(5) > 0).then(|| r.below(3) as i64));
    let b = list(&mut |r| (r.below(6) > 0).then(|| r.below(2) as i64));
    let deleted = list(&mut |r| Some(i64::from(r.below(4) == 0)));
    let event = list(&mut |r| Some(r.below(1 << 30) as i64));
    let flags = |list: &[Option<i64>]| list.iter().map(|v| v.map(|v| v == 1)).collect::<BooleanArray>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(id)),
        Arc::new(Int64Array::from(k)),
        Arc::new(Int64Array::from(v)),
        Arc::new(t.iter().map(|v| v.map(|v| format!("t{v}"))).collect::<StringArray>()),
        Arc::new(flags(&b)),
        Arc::new(Int64Array::from(vec![time as i64; rows])),
        Arc::new(event.iter().map(|v| v.map(|v| v as u64)).collect::<UInt64Array>()),
        Arc::new(flags(&deleted)),
    ];
    RecordBatch::try_new(table().input_schema(), columns).unwrap()
}

fn seconds() -> DataType {
    DataType::Timestamp(TimeUnit::Second, None)
}

/// The table without its id, so that rows are equal to others, with v as other types: k, v, t, b, f, d, at.
fn rows() -> Plan {
    let input = Plan::Get { name: "a".into(), schema: table().schema };
    let column = |name: &str, i: usize| -> Expr { Arc::new(Column::new(name, i)) };
    let v = |t: DataType| -> Expr { Arc::new(CastExpr::new(column("v", 2), t, None)) };
    let project = vec![
        column("k", 1),
        column("v", 2),
        column("t", 3),
        column("b", 4),
        v(DataType::Float64),
        v(DataType::Decimal128(10, 2)),
        v(seconds()),
    ];
    let schema = schema(&[
        ("k", DataType::Int64),
        ("v", DataType::Int64),
        ("t", DataType::Utf8),
        ("b", DataType::Boolean),
        ("f", DataType::Float64),
        ("d", DataType::Decimal128(10, 2)),
        ("at", seconds()),
    ]);
    Plan::Map { input: Box::new(input), filter: None, project: Some(project), schema }
}

#[derive(Clone, Copy)]
enum B {
    All,
    Before(i64),
    Row,
    After(i64),
}

fn frame(units: WindowFrameUnits, start: B, end: B, like: &DataType) -> WindowFrame {
    let amount = |n: i64| match (units, like) {
        (Range, DataType::Timestamp(..)) => ScalarValue::new_interval_mdn(0, 0, n * 1_000_000_000),
        (Range, like) => ScalarValue::Int64(Some(n)).cast_to(like).unwrap(),
        _ => ScalarValue::UInt64(Some(n as u64)),
    };
    let bound = |b: B, first: bool| match b {
        B::All if first => WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
        B::All => WindowFrameBound::Following(ScalarValue::UInt64(None)),
        B::Before(n) => WindowFrameBound::Preceding(amount(n)),
        B::Row => WindowFrameBound::CurrentRow,
        B::After(n) => WindowFrameBound::Following(amount(n)),
    };
    WindowFrame::new_bounds(units, bound(start, true), bound(end, false))
}

fn aggregate(
    function: Arc<AggregateUDF>,
    argument: usize,
    distinct: bool,
    filter: Option<usize>,
    frame: WindowFrame,
) -> Call {
    let schema = rows().schema();
    let column: Expr = Arc::new(Column::new(schema.field(argument).name(), argument));
    let built =
        AggregateExprBuilder::new(function, vec![column]).schema(schema).alias("x").with_distinct(distinct);
    let function = Arc::new(built.build().unwrap());
    let data_type = function.field().data_type().clone();
    Call { kind: Kind::Aggregate { function, filter }, frame, data_type }
}

fn window(partition: Vec<usize>, order: Vec<Order>, ties: Vec<usize>, calls: Vec<Call>) -> Plan {
    let input = rows();
    let mut fields: Vec<Field> = input.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.extend(
        calls.iter().enumerate().map(|(i, c)| Field::new(format!("w{i}"), c.data_type.clone(), true)),
    );
    Plan::Window {
        input: Box::new(input),
        partition,
        order,
        ties,
        calls,
        schema: Arc::new(Schema::new(fields)),
    }
}

/// One window a case, so that each is computed where it can change and nowhere else.
fn plans() -> Vec<(String, Plan)> {
    use udaf::{average, count, min_max, sum, variance};
    let by = |column, descending, nulls_first| Order { column, descending, nulls_first };
    let orders = [
        vec![],
        vec![by(1, false, false)],
        vec![by(1, true, true)],
        vec![by(2, false, true), by(1, true, false)],
    ];
    let any = || frame(Rows, B::All, B::All, &DataType::Int64);
    let place = |kind: Kind, data_type: DataType| Call { kind, frame: any(), data_type };
    let shift = |argument, offset, ignore_nulls| {
        let default = ScalarValue::Int64(if offset == 2 { Some(99) } else { None });
        place(Kind::Shift { argument, offset, default, ignore_nulls }, DataType::Int64)
    };
    let mut list: Vec<(String, Plan)> = vec![];
    let mut add = |name: String, plan: Plan| list.push((name, plan));
    for (i, order) in orders.iter().enumerate() {
        let partition = if i % 2 == 0 { vec![] } else { vec![0] };
        let one = |call: Call| window(partition.clone(), order.clone(), vec![2], vec![call]);
        let number = |kind| one(place(kind, DataType::UInt64));
        add(format!("row_number {i}"), number(Kind::RowNumber));
        add(format!("rank {i}"), number(Kind::Rank));
        add(format!("dense_rank {i}"), number(Kind::DenseRank));
        add(format!("ntile {i}"), number(Kind::Ntile(4)));
        add(format!("percent_rank {i}"), one(place(Kind::PercentRank, DataType::Float64)));
        add(format!("cume_dist {i}"), one(place(Kind::CumeDist, DataType::Float64)));
        for (offset, ignore) in [(1, false), (2, false), (0, false), (-1, false), (2, true), (-2, true)] {
            add(format!("lag {offset} {ignore} {i}"), one(shift(1, offset, ignore)));
        }
        for (units, start, end) in [
            (Rows, B::Before(2), B::Row),
            (Rows, B::Before(1), B::After(2)),
            (Rows, B::After(1), B::After(3)),
            (Rows, B::Before(3), B::Before(2)),
            (Rows, B::Row, B::All),
            (Range, B::All, B::Row),
            (Range, B::Row, B::All),
            (Range, B::All, B::All),
            (Groups, B::Before(1), B::After(1)),
            (Groups, B::After(1), B::After(2)),
            (Groups, B::Before(2), B::Before(1)),
            (Groups, B::All, B::Row),
        ] {
            let frame = || frame(units, start, end, &DataType::Int64);
            let nth = |nth, ignore_nulls| Call {
                kind: Kind::Nth { argument: 1, nth, ignore_nulls },
                frame: frame(),
                data_type: DataType::Int64,
            };
            let calls = vec![
                aggregate(sum::sum_udaf(), 1, false, None, frame()),
                aggregate(count::count_udaf(), 2, false, Some(3), frame()),
                aggregate(min_max::max_udaf(), 1, false, None, frame()),
                nth(1, false),
                nth(-1, false),
                nth(2, true),
            ];
            let name = format!("{} {i}", frame());
            add(name, window(partition.clone(), order.clone(), vec![], calls));
        }
    }
    for (column, like) in
        [(1, DataType::Int64), (4, DataType::Float64), (5, DataType::Decimal128(10, 2)), (6, seconds())]
    {
        for descending in [false, true] {
            for (start, end) in [
                (B::Before(2), B::Row),
                (B::Before(1), B::After(3)),
                (B::After(1), B::After(2)),
                (B::Before(4), B::Before(2)),
                (B::All, B::After(1)),
                (B::Before(1), B::All),
            ] {
                let frame = || frame(Range, start, end, &like);
                let calls = vec![
                    aggregate(sum::sum_udaf(), 4, false, None, frame()),
                    aggregate(average::avg_udaf(), 5, false, Some(3), frame()),
                    aggregate(count::count_udaf(), 1, true, None, frame()),
                    aggregate(variance::var_pop_udaf(), 4, false, None, frame()),
                    aggregate(min_max::min_udaf(), 2, false, None, frame()),
                ];
                let name = format!("{} over {like} {descending}", frame());
                let order = vec![by(column, descending, descending)];
                add(name, window(vec![0], order, vec![], calls));
            }
        }
    }
    list
}

fn add(contents: &mut BTreeMap<String, Multiset>, tick: &dataflows::Tick) {
    for batch in &tick.batches {
        let codec = Codec::new(&batch.view.schema).unwrap();
        let rows = contents.entry(batch.view.name.to_string()).or_default();
        for delta in &batch.changes {
            let encoded = codec.encode(delta.rows.columns(), delta.len());
            for (row, diff) in encoded.iter().zip(&delta.diffs) {
                let count = rows.entry(row.to_vec()).or_insert(0);
                *count += diff;
                if *count == 0 {
                    rows.remove(row);
                }
            }
        }
    }
}

fn run(seed: u64, place: (usize, usize), ticks: u64, rows: u64, ids: u64) {
    let (output, outputs) = crossbeam_channel::unbounded();
    let engine = processes::start(place, &output);
    let workers = place.0 * place.1;
    let (mut collector, mut oracle) = (Collector::new(workers), oracle::Oracle::default());
    engine.create_table(Arc::new(table()));
    oracle.table(table());
    let plans = plans();
    for (name, plan) in &plans {
        Engine::check(plan).unwrap_or_else(|why| panic!("{name}: {why}"));
        let view = View { name: name.as_str().into(), schema: plan.schema(), key: vec![], sql: "".into() };
        let view = Arc::new(view);
        collector.create(view.clone());
        engine.create_view(view, Arc::new(plan.clone()));
    }
    let (mut random, mut contents) = (Random(seed), BTreeMap::new());
    for time in 1..=ticks {
        let n = random.below(rows + 1) as usize;
        let batch = batch(&mut random, n, ids, time);
        oracle.feed("a", &batch);
        engine.tick(time, vec![("a".into(), batch)]);
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
            assert_eq!(contents[name], oracle.evaluate(plan), "{name} at {time}, seed {seed}");
        }
    }
    engine.shutdown();
}

#[test]
fn few_changes_to_small_partitions_are_followed_by_one_worker() {
    run(1, (1, 1), 40, 3, 12);
}

#[test]
fn few_changes_to_larger_partitions_are_followed_by_two_workers() {
    run(2, (1, 2), 16, 6, 40);
}

#[test]
fn many_changes_at_once_are_followed_by_four_workers() {
    run(3, (1, 4), 6, 60, 40);
}

#[test]
fn many_changes_at_once_are_followed_over_processes() {
    run(4, (3, 1), 4, 30, 40);
}
