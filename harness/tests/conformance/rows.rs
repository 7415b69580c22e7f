//! Views with rows of every type, and changes of them.
use arrow::array::*;
use arrow::datatypes::*;
use dataflows::{Batch, Delta, Tick, Time, View};
use sinks::delivery::Part;
use sinks::memory::kept::Kept;
use sinks::memory::{Limits, Memory};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a view's rows are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Keyed,
    NullableKeys,
    Keyless,
    NoKeyColumn,
}

/// A view of two keys and a text.
pub fn view(name: &str, kind: Kind) -> Arc<View> {
    let nullable = kind != Kind::Keyed;
    let fields = vec![
        Field::new("a", DataType::Int64, nullable),
        Field::new("B \"b\"", DataType::Utf8, nullable),
        Field::new("value", DataType::Utf8, true),
    ];
    let key = match kind {
        Kind::Keyed | Kind::NullableKeys => vec![0, 1],
        Kind::Keyless => vec![0, 1, 2],
        Kind::NoKeyColumn => vec![],
    };
    let sql = format!("CREATE MATERIALIZED VIEW x AS {kind:?}").into();
    Arc::new(View { name: name.into(), schema: Arc::new(Schema::new(fields)), key, sql })
}

/// A view with a column of each type.
pub fn types_view() -> Arc<View> {
    let key = Field::new("id", DataType::Int64, false);
    let fields =
        columns(&[]).into_iter().map(|(name, column)| Field::new(name, column.data_type().clone(), true));
    let fields: Vec<Field> = std::iter::once(key).chain(fields).collect();
    let sql = "CREATE MATERIALIZED VIEW types".into();
    Arc::new(View { name: "types".into(), schema: Arc::new(Schema::new(fields)), key: vec![0], sql })
}

/// Values of each type, one row for each number; none for those that are not among them.
fn columns(rows: &[i64]) -> Vec<(&'static str, ArrayRef)> {
    fn pick<T: Clone>(rows: &[i64], values: &[T]) -> Vec<Option<T>> {
        let one = |row: &i64| {
            let place = *row as usize % (values.len() + 1);
            values.get(place).cloned()
        };
        rows.iter().map(one).collect()
    }
    let texts = ["", "a'b\"c\\d", "Grüße, 世界 🎉", "NULL", "line\nand\ttab", "{1,\"2\"}", "\\N", " "];
    let stamp = |us: &[i64]| us.to_vec();
    let stamps = stamp(&[
        0,
        -1,
        1_295_344_860_123_456,
        -62_135_596_800_000_000,
        -70_000_000_000_000_000,
        253_402_300_800_000_000,
    ]);
    let nanos: Vec<i64> = [0, 1_295_344_860_123_456_000, -1_000].to_vec();
    let floats = [
        0.0,
        -1.5,
        1e300,
        1e-300,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.1,
        123_456_789_012_345_680.0,
    ];
    let decimals = [0, 1, -1_250, 999_999_999_999, -999_999_999_999];
    let mut numbers = ListBuilder::new(Int64Builder::new());
    let mut words = ListBuilder::new(StringBuilder::new());
    let mut prices = ListBuilder::new(Decimal128Builder::new().with_precision_and_scale(10, 2).unwrap());
    let mut nested = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
    for row in rows {
        match row % 4 {
            0 => {
                numbers.append_null();
                words.append_null();
                prices.append_null();
                nested.append_null();
            }
            1 => {
                numbers.append(true);
                words.append(true);
                prices.append(true);
                nested.append(true);
            }
            _ => {
                numbers.append_value([Some(*row), None, Some(i64::MAX)]);
                words.append_value(texts.iter().map(Some).chain([None]));
                prices.append_value([Some(1_250), None, Some(-5)]);
                nested.values().append_value([Some(1), None]);
                nested.values().append_null();
                nested.append(true);
            }
        }
    }
    let decimal = |p, s| {
        let column = Decimal128Array::from(pick(rows, &decimals)).with_precision_and_scale(p, s).unwrap();
        Arc::new(column) as ArrayRef
    };
    let intervals = [
        IntervalMonthDayNano::new(14, 1, 3_600_000_000_000),
        IntervalMonthDayNano::new(0, 0, 0),
        IntervalMonthDayNano::new(-1, 2, -1_500_000_000),
        IntervalMonthDayNano::new(0, -1, 90_000_000_000_000),
    ];
    let pair = StructArray::from(vec![
        (
            Arc::new(Field::new("x", DataType::Int32, true)),
            Arc::new(Int32Array::from(pick(rows, &[1, -2]))) as ArrayRef,
        ),
        (
            Arc::new(Field::new("A \"q\"", DataType::Utf8, true)),
            Arc::new(StringArray::from(pick(rows, &texts))) as ArrayRef,
        ),
    ]);
    vec![
        ("boolean", Arc::new(BooleanArray::from(pick(rows, &[true, false])))),
        ("tiny", Arc::new(Int8Array::from(pick(rows, &[i8::MIN, i8::MAX])))),
        ("small", Arc::new(Int16Array::from(pick(rows, &[i16::MIN, 0, i16::MAX])))),
        ("int", Arc::new(Int32Array::from(pick(rows, &[i32::MIN, 0, i32::MAX])))),
        ("big", Arc::new(Int64Array::from(pick(rows, &[i64::MIN, 0, i64::MAX, 1 << 53, (1 << 53) + 1])))),
        ("huge", Arc::new(UInt64Array::from(pick(rows, &[0, u64::MAX])))),
        ("unsigned", Arc::new(UInt32Array::from(pick(rows, &[0, u32::MAX])))),
        ("real", Arc::new(Float32Array::from(pick(rows, &[0.1f32, -3.4e38, f32::NAN, f32::INFINITY, 1e-5])))),
        ("double", Arc::new(Float64Array::from(pick(rows, &floats)))),
        ("numeric", decimal(12, 2)),
        ("whole", decimal(38, 0)),
        ("fraction", decimal(20, 12)),
        ("text", Arc::new(StringArray::from(pick(rows, &texts)))),
        ("view", Arc::new(StringViewArray::from(pick(rows, &texts)))),
        ("bytes", Arc::new(BinaryArray::from_opt_vec(pick(rows, &[&b"\x00\xff"[..], b"", b"'"])))),
        ("date", Arc::new(Date32Array::from(pick(rows, &[0, -1, 14_943, -719_163, 2_932_897])))),
        ("clock", Arc::new(Time64MicrosecondArray::from(pick(rows, &[0, 1, 86_399_999_999])))),
        ("stamp", Arc::new(TimestampMicrosecondArray::from(pick(rows, &stamps)))),
        ("nano", Arc::new(TimestampNanosecondArray::from(pick(rows, &nanos)))),
        ("zoned", Arc::new(TimestampMicrosecondArray::from(pick(rows, &stamps)).with_timezone("UTC"))),
        ("span", Arc::new(IntervalMonthDayNanoArray::from(pick(rows, &intervals)))),
        ("numbers", Arc::new(numbers.finish())),
        ("words", Arc::new(words.finish())),
        ("prices", Arc::new(prices.finish())),
        ("nested", Arc::new(nested.finish())),
        ("pair", Arc::new(pair)),
    ]
}

/// A row of one of the views above, by what it is made of.
type Row = (Option<i64>, Option<String>, Option<String>);

/// What the views hold, and what changed last.
pub struct Given {
    memory: Memory,
    views: BTreeMap<String, Arc<View>>,
    rows: BTreeMap<String, BTreeMap<Row, i64>>,
    changed: BTreeMap<String, Vec<Box<[u8]>>>,
    round: i64,
}

impl Given {
    pub fn new() -> Given {
        Given {
            memory: Memory::new(1, Limits::default()),
            views: BTreeMap::new(),
            rows: BTreeMap::new(),
            changed: BTreeMap::new(),
            round: 0,
        }
    }

    /// A view comes, in place of the one of its name.
    pub fn create(&mut self, view: &Arc<View>) -> String {
        let name = view.name.to_string();
        if self.views.insert(name.clone(), view.clone()).is_some() {
            self.memory.drop_view(&name).unwrap();
        }
        self.memory.create(view.clone()).unwrap();
        self.rows.insert(name.clone(), BTreeMap::new());
        name
    }

    pub fn kept(&self, name: &str) -> Kept {
        self.memory.read().view(name).unwrap().clone()
    }

    /// The keys of the last change.
    pub fn changed(&self, name: &str) -> Part {
        Part::changed(self.kept(name), self.changed.get(name).cloned().unwrap_or_default())
    }

    pub fn first_rows(&mut self, time: Time) {
        self.change(time);
    }

    /// Each view's rows become others: some go, some come, some become others.
    pub fn change(&mut self, time: Time) {
        self.round += 1;
        let names: Vec<String> = self.views.keys().filter(|name| *name != "many").cloned().collect();
        let next: Vec<(String, BTreeMap<Row, i64>)> =
            names.into_iter().map(|name| (name.clone(), self.next_rows(&self.views[&name]))).collect();
        self.turn(next, time);
    }

    fn next_rows(&self, view: &View) -> BTreeMap<Row, i64> {
        let round = self.round;
        let mut rows = BTreeMap::new();
        let mut put = |a: Option<i64>, b: Option<&str>, value: String, count: i64| {
            rows.insert((a, b.map(str::to_owned), Some(value)), count);
        };
        if &*view.name == "types" {
            for row in (0..40).filter(|row| (row + round) % 5 != 0) {
                put(Some(row), None, (row + round).to_string(), 1);
            }
        } else if view.key.is_empty() {
            if round % 3 != 0 {
                put(Some(round), Some("only"), format!("round {round}"), 1);
            }
        } else {
            let texts = ["", "x'y", "ü\"\\"];
            for a in (0..9).filter(|a| (a + round) % 4 != 0) {
                for (i, b) in texts.iter().enumerate() {
                    let count = if view.key.len() == 3 { 1 + (a + round) % 3 } else { 1 };
                    put(Some(a), Some(b), format!("{}", (a + i as i64 + round) % 5), count);
                }
            }
            if view.schema.field(0).is_nullable() && round % 2 == 1 {
                put(None, Some("x"), format!("{round}"), 1);
                put(Some(1), None, format!("{}", round / 3), 1);
                put(None, None, "both".into(), 1);
            }
        }
        rows
    }

    /// Puts so many rows into a view.
    pub fn many(&mut self, name: &str, count: i64, time: Time) {
        let rows = (0..count).map(|i| ((Some(i), Some(format!("key {i}")), Some("x".repeat(20))), 1));
        self.turn(vec![(name.to_owned(), rows.collect())], time);
    }

    /// Every third of them goes, every third becomes another.
    pub fn many_changed(&mut self, name: &str, time: Time) {
        let rows = self.rows[name].keys().enumerate().filter(|(i, _)| i % 3 != 0);
        let other = |(i, row): (usize, &Row)| match i % 3 {
            1 => ((row.0, row.1.clone(), Some(format!("changed {i}"))), 1),
            _ => (row.clone(), 1),
        };
        let rows = rows.map(other).collect();
        self.turn(vec![(name.to_owned(), rows)], time);
    }

    fn turn(&mut self, next: Vec<(String, BTreeMap<Row, i64>)>, time: Time) {
        let mut batches = vec![];
        for (name, rows) in next {
            let old = self.rows.insert(name.clone(), rows.clone()).unwrap();
            let mut diffs: BTreeMap<Row, i64> = rows;
            old.into_iter().for_each(|(row, count)| *diffs.entry(row).or_default() -= count);
            diffs.retain(|_, diff| *diff != 0);
            let view = self.views[&name].clone();
            let changes =
                vec![Delta { time, rows: batch(&view, &diffs), diffs: diffs.into_values().collect() }];
            batches.push(Batch { view, changes, errs: vec![] });
        }
        let tick = Tick { lower: 0, upper: time + 1, positions: vec![], batches };
        self.memory.apply(&tick).unwrap();
        self.changed.clear();
        for batch in &tick.batches {
            let kept = self.kept(&batch.view.name);
            self.changed.insert(batch.view.name.to_string(), kept.changed_keys(batch).unwrap());
        }
    }
}

fn batch(view: &View, rows: &BTreeMap<Row, i64>) -> RecordBatch {
    let columns: Vec<ArrayRef> = if &*view.name == "types" {
        let ids: Vec<i64> = rows.keys().map(|row| row.0.unwrap()).collect();
        let values: Vec<i64> = rows.keys().map(|row| row.2.as_ref().unwrap().parse().unwrap()).collect();
        let cells = columns(&values).into_iter().map(|(_, column)| column);
        std::iter::once(Arc::new(Int64Array::from(ids)) as ArrayRef).chain(cells).collect()
    } else {
        vec![
            Arc::new(rows.keys().map(|row| row.0).collect::<Int64Array>()),
            Arc::new(rows.keys().map(|row| row.1.clone()).collect::<StringArray>()),
            Arc::new(rows.keys().map(|row| row.2.clone()).collect::<StringArray>()),
        ]
    };
    RecordBatch::try_new(view.schema.clone(), columns).unwrap()
}

impl Given {
    /// One more row, with this value.
    pub fn put(&mut self, name: &str, value: &str, time: Time) {
        let mut rows = self.rows[name].clone();
        rows.insert((Some(77), Some("put".into()), Some(value.into())), 1);
        self.turn(vec![(name.to_owned(), rows)], time);
    }
}
