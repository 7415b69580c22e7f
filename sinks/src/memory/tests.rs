//! The store against a plain map: any ticks, any reader, the same rows.
use super::*;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use history::{Change, Place};

/// A small generator of its own, so that a seed means the same for ever (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn view(name: &str, key: Vec<usize>) -> Arc<View> {
    let fields = [("id", DataType::Int64, false), ("note", DataType::Utf8, true)];
    let fields: Vec<Field> =
        fields.into_iter().map(|(name, kind, null)| Field::new(name, kind, null)).collect();
    Arc::new(View { name: name.into(), schema: Arc::new(Schema::new(fields)), key, sql: "".into() })
}

type Row = (i64, Option<String>);

fn delta(view: &View, time: Time, changes: &[(Row, i64)]) -> Delta {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(changes.iter().map(|((id, _), _)| *id)));
    let notes: ArrayRef = Arc::new(StringArray::from_iter(changes.iter().map(|((_, note), _)| note.clone())));
    let rows = RecordBatch::try_new(view.schema.clone(), vec![ids, notes]).unwrap();
    Delta { time, rows, diffs: changes.iter().map(|(_, diff)| *diff).collect() }
}

fn tick(
    view: &Arc<View>,
    lower: Time,
    upper: Time,
    changes: Vec<Delta>,
    errs: Vec<(Arc<str>, Time, i64)>,
) -> Tick {
    Tick { lower, upper, positions: vec![], batches: vec![Batch { view: view.clone(), changes, errs }] }
}

fn rows(read: &Read, name: &str) -> Vec<Row> {
    let mut rows = vec![];
    for batch in read.view(name).unwrap().batches(7) {
        let ids = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        let notes = batch.column(1).as_any().downcast_ref::<StringArray>().unwrap();
        rows.extend(ids.values().iter().zip(notes).map(|(id, note)| (*id, note.map(String::from))));
    }
    rows
}

fn listed(model: &BTreeMap<Row, i64>) -> Vec<Row> {
    let mut rows: Vec<Row> =
        model.iter().flat_map(|(row, n)| std::iter::repeat_n(row.clone(), *n as usize)).collect();
    // NULL is the greatest value.
    rows.sort_by_key(|(id, note)| (*id, note.is_none(), note.clone()));
    rows
}

#[test]
fn any_ticks_give_the_rows_of_a_plain_map() {
    for seed in 1..=6 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let view = view("v", vec![0, 1]);
        let memory = Memory::new(1, Limits::default());
        memory.create(view.clone()).unwrap();
        let mut model: BTreeMap<Row, i64> = BTreeMap::new();
        let mut held: Vec<(Read, Vec<Row>)> = vec![];
        for round in 0..60 {
            let (lower, upper) = (round * 10, round * 10 + 10);
            let size = [1, 3, 40, 700][random.below(4) as usize];
            // Phases of growing and of shrinking, so that leaves are cut and taken in.
            let shrinking = round % 20 > 12;
            let deltas = [lower, lower + 4].map(|time| {
                let mut changes = vec![];
                for _ in 0..size {
                    let note = (random.below(5) > 0).then(|| "x".repeat(random.below(30) as usize));
                    let row = (random.below(900) as i64 - 300, note);
                    let pick = random.below(model.len().max(1) as u64) as usize;
                    let gone = model.iter().nth(pick).map(|(row, n)| (row.clone(), -n)).filter(|_| shrinking);
                    let (row, diff) = gone.unwrap_or((row, 1 + random.below(2) as i64));
                    let held = model.entry(row.clone()).or_default();
                    *held += diff;
                    if *held == 0 {
                        model.remove(&row);
                    }
                    changes.push((row, diff));
                }
                delta(&view, time, &changes)
            });
            let tick = tick(&view, lower, upper, deltas.into(), vec![]);
            memory.apply(&tick).unwrap();
            memory.apply(&tick).unwrap();
            let read = memory.read();
            let expected = listed(&model);
            assert_eq!(rows(&read, "v"), expected, "seed {seed}, round {round}");
            let totals = read.view("v").unwrap().rows().totals();
            assert_eq!(totals.rows as usize, expected.len());
            held.push((read, expected));
        }
        for (read, expected) in held {
            assert_eq!(rows(&read, "v"), expected, "a state that is held does not change");
        }
    }
}

#[test]
fn a_key_finds_its_rows_and_no_other() {
    let view = view("v", vec![0]);
    let memory = Memory::new(1, Limits::default());
    memory.create(view.clone()).unwrap();
    let row = |id: i64, note: &str| ((id, Some(note.to_string())), 1);
    let even: Vec<(Row, i64)> = (-1000..1000).map(|id| row(id * 2, "even")).collect();
    memory.apply(&tick(&view, 0, 1, vec![delta(&view, 0, &even)], vec![])).unwrap();
    let find = |id: i64| {
        let read = memory.read();
        let kept = read.view("v").unwrap();
        let key = kept.shape().key(&[Arc::new(Int64Array::from(vec![id])) as ArrayRef]).unwrap();
        kept.rows().get(&key).count()
    };
    for id in -2000..2000 {
        assert_eq!(find(id), usize::from(id % 2 == 0), "key {id}");
    }
    assert_eq!(memory.read().view("v").unwrap().key_violations(), 0);
    // A key that is not unique keeps all its rows, and is counted.
    let more: Vec<(Row, i64)> =
        (0..300).map(|n| row(8, &format!("more {n}"))).chain([row(10, "two")]).collect();
    memory.apply(&tick(&view, 1, 2, vec![delta(&view, 1, &more)], vec![])).unwrap();
    assert_eq!((find(6), find(8), find(10), find(12)), (1, 301, 2, 1));
    assert_eq!(memory.read().view("v").unwrap().key_violations(), 2);
    let less: Vec<(Row, i64)> = more.into_iter().map(|(row, diff)| (row, -diff)).collect();
    memory.apply(&tick(&view, 2, 3, vec![delta(&view, 2, &less)], vec![])).unwrap();
    assert_eq!((find(8), memory.read().view("v").unwrap().key_violations()), (1, 0));
}

#[test]
fn a_tick_that_cannot_be_applied_changes_nothing() {
    let view = view("v", vec![0]);
    let memory = Memory::new(1, Limits::default());
    memory.create(view.clone()).unwrap();
    assert_eq!(memory.read().view("v").unwrap().since(), None);
    let one = ((1, Some("a".to_string())), 1);
    memory.apply(&tick(&view, 0, 5, vec![delta(&view, 3, std::slice::from_ref(&one))], vec![])).unwrap();
    let gone = ((2, None), -1);
    let fails = tick(&view, 5, 6, vec![delta(&view, 5, &[gone])], vec![]);
    let error = memory.apply(&fails).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot apply the tick up to time 6 to view \"v\": \
         more was taken away than was there of row {\"id\":2,\"note\":null}"
    );
    let gap = tick(&view, 7, 8, vec![], vec![]);
    assert_eq!(
        memory.apply(&gap).unwrap_err().to_string(),
        "cannot apply the tick from time 7: what comes from 5 on is missing"
    );
    assert_eq!(memory.frontier(), 5);
    assert_eq!(rows(&memory.read(), "v"), vec![(1, Some("a".to_string()))]);
    // What lies before the frontier was applied already.
    let again = delta(&view, 3, std::slice::from_ref(&one));
    memory.apply(&tick(&view, 0, 7, vec![again, delta(&view, 6, &[((1, None), 1)])], vec![])).unwrap();
    let mut rows = rows(&memory.read(), "v");
    rows.sort();
    assert_eq!(rows, vec![(1, None), (1, Some("a".to_string()))]);
}

#[test]
fn failures_come_and_go() {
    let view = view("v", vec![0]);
    let memory = Memory::new(1, Limits::default());
    memory.create(view.clone()).unwrap();
    let zero: Arc<str> = "division by zero".into();
    memory.apply(&tick(&view, 0, 1, vec![], vec![(zero.clone(), 0, 2)])).unwrap();
    let before = memory.read();
    memory.apply(&tick(&view, 1, 2, vec![], vec![(zero.clone(), 1, -2)])).unwrap();
    assert_eq!(before.view("v").unwrap().errs().collect::<Vec<_>>(), vec![("division by zero", 2)]);
    assert_eq!(memory.read().view("v").unwrap().errs().count(), 0);
}

#[test]
fn a_history_tells_what_it_forgot() {
    let view = view("v", vec![0]);
    let memory = Memory::new(1, Limits { history_bytes: 1 << 20, history_ms: 20 });
    memory.create(view.clone()).unwrap();
    let row = |note: &str, diff: i64| ((1, Some(note.to_string())), diff);
    memory.apply(&tick(&view, 0, 11, vec![delta(&view, 10, &[row("a", 1)])], vec![])).unwrap();
    memory.apply(&tick(&view, 11, 21, vec![delta(&view, 20, &[row("a", -1), row("b", 1)])], vec![])).unwrap();
    let kept = memory.read().view("v").unwrap().clone();
    let start = kept.changes_after(Place { time: 0, done: 0 }, 20, 9).unwrap();
    assert_eq!(
        start.iter().map(|commit| (commit.time, commit.len())).collect::<Vec<_>>(),
        vec![(10, 1), (20, 1)]
    );
    assert!(matches!(start[1].changes().next(), Some(Change::Update { .. })));
    assert_eq!(kept.end_of(20), Place { time: 20, done: 2 });
    assert_eq!(kept.changes_after(Place { time: 20, done: 2 }, 20, 9).unwrap().len(), 0);
    memory.apply(&tick(&view, 21, 35, vec![], vec![])).unwrap();
    assert!(kept.changes_after(Place { time: 9, done: 0 }, 34, 9).is_none());
    assert!(kept.changes_after(Place { time: 10, done: 0 }, 34, 9).is_none(), "time 10 is forgotten");
    assert!(kept.changes_after(Place { time: 10, done: 1 }, 34, 9).is_none(), "its end was not seen");
    assert_eq!(kept.changes_after(Place { time: 10, done: 2 }, 34, 9).unwrap().len(), 1);
}
