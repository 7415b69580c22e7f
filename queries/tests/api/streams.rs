//! Streams of changes: a client that applies what it is sent equals the view at each commit, wherever it was cut off.
use crate::world::*;
use dataflows::{Batch, Tick, Time};
use serde_json::Value;
use sinks::memory::Limits;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::sync::Arc;

type Copies = BTreeMap<String, i64>;

#[derive(Debug)]
struct Event {
    name: String,
    id: Option<String>,
    data: Value,
}

fn next(reader: &mut BufReader<TcpStream>) -> Option<Event> {
    let (mut name, mut id, mut data) = (String::new(), None, Value::Null);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        match line.trim_end().split_once(": ") {
            Some(("event", text)) => name = text.into(),
            Some(("id", text)) => id = Some(text.into()),
            Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
            Some(("retry", _)) => {}
            Some(other) => panic!("unknown field {other:?}"),
            None if name.is_empty() => {}
            None => return Some(Event { name, id, data }),
        }
    }
}

/// A copy of a view, as any client would keep it.
#[derive(Default)]
struct Client {
    rows: Copies,
    /// Changes of a time that is not complete yet.
    pending: Vec<(String, i64)>,
    last_id: Option<String>,
    time: Option<Time>,
    resets: usize,
    resumes: usize,
}

impl Client {
    fn take(&mut self, event: &Event) {
        let data = &event.data;
        let mut add = |row: &Value, diff: i64| self.pending.push((row.to_string(), diff));
        match event.name.as_str() {
            "reset" => {
                *self = Client { resets: self.resets + 1, resumes: self.resumes, ..Client::default() };
            }
            "snapshot" => data["rows"].as_array().expect("rows").iter().for_each(|row| add(row, 1)),
            "change" => match data["op"].as_str() {
                Some("update") => {
                    add(&data["old"], -1);
                    add(&data["row"], 1);
                }
                Some("insert" | "delete") => add(&data["row"], data["diff"].as_i64().expect("a diff")),
                other => panic!("unknown op {other:?}"),
            },
            "commit" => {
                for (row, diff) in std::mem::take(&mut self.pending) {
                    let count = self.rows.entry(row.clone()).or_default();
                    *count += diff;
                    assert!(*count >= 0, "{row} went more often than it came");
                    if *count == 0 {
                        self.rows.remove(&row);
                    }
                }
                self.time = data["time"].as_u64();
            }
            "progress" | "lagged" | "bye" => {}
            other => panic!("unknown event {other}"),
        }
        if event.id.is_some() {
            self.last_id.clone_from(&event.id);
        }
    }
}

/// Seeded ticks over a view, and what it holds after each time.
fn history(seed: u64, view: &Arc<dataflows::View>, keyed: bool) -> (Vec<Tick>, BTreeMap<Time, Copies>) {
    const NOTES: [Option<&str>; 4] = [None, Some("a"), Some("b\n\"c\""), Some("d")];
    let mut random = Random(seed);
    let (mut ticks, mut expected) = (vec![], BTreeMap::new());
    let mut rows: BTreeMap<Row, i64> = BTreeMap::new();
    let mut lower = 0;
    for _ in 0..150 {
        let upper = lower + 2 + random.below(5);
        let mut changes = vec![];
        for time in lower..upper {
            let mut diffs = vec![];
            for _ in 0..[0, 0, 1, 4, 30][random.below(5) as usize] {
                let row = (random.below(25) as i64, NOTES[random.below(4) as usize], random.below(3) as i128);
                let there =
                    rows.iter().find(|(held, _)| held.0 == row.0).map(|(held, count)| (*held, *count));
                let mut add = |row: Row, diff: i64| {
                    *rows.entry(row).or_default() += diff;
                    diffs.push((row, diff));
                };
                match there {
                    Some((held, count)) if keyed || random.below(2) == 0 => {
                        add(held, -count);
                        if random.below(3) > 0 {
                            add(row, 1);
                        }
                    }
                    _ => add(row, if keyed { 1 } else { 1 + random.below(2) as i64 }),
                }
                rows.retain(|_, count| *count != 0);
            }
            if !diffs.is_empty() {
                changes.push(delta(view, time, &diffs));
            }
            expected.insert(time, copies(&rows));
        }
        let batches = vec![Batch { view: view.clone(), changes, errs: vec![] }];
        ticks.push(tick(lower, upper, upper, batches));
        lower = upper;
    }
    // The last tick changes something, so that every client has an end to wait for.
    let last = (1_000, None, 0);
    *rows.entry(last).or_default() += 1;
    ticks.push(tick(lower, lower + 1, lower + 1, vec![batch(view, lower, &[(last, 1)])]));
    expected.insert(lower, copies(&rows));
    (ticks, expected)
}

fn copies(rows: &BTreeMap<Row, i64>) -> Copies {
    let text = |(id, note, total): &Row| {
        let total = format!("{}.{:02}", total / 100, total % 100);
        serde_json::json!({"id": id, "note": note, "total": total}).to_string()
    };
    rows.iter().map(|(row, count)| (text(row), *count)).collect()
}

/// Follows a view to a time, cut off at random; checks the copy at each commit.
fn follow(world: &World, seed: u64, until: Time, expected: &BTreeMap<Time, Copies>) -> Client {
    let mut random = Random(seed);
    let mut client = Client::default();
    while client.time.is_none_or(|time| time < until) {
        let id = client.last_id.clone();
        let headers: Vec<(&str, &str)> = id.iter().map(|id| ("last-event-id", id.as_str())).collect();
        client.resumes += headers.len();
        let mut reader = world.open("GET", "/api/v1/views/v/changes", &headers, b"");
        assert_eq!(head(&mut reader).0, 200);
        if client.last_id.is_none() {
            // Without an id the stream begins with all rows.
            client = Client { resets: client.resets, resumes: client.resumes, ..Client::default() };
        }
        for _ in 0..1 + random.below(60) {
            let Some(event) = next(&mut reader) else { break };
            client.take(&event);
            if event.name == "commit" {
                let time = client.time.expect("a commit has a time");
                assert_eq!(&client.rows, &expected[&time], "seed {seed}, time {time}");
            }
            if client.time == Some(until) {
                break;
            }
        }
    }
    client
}

#[test]
fn a_client_that_comes_back_misses_nothing() {
    let (mut resumes, mut resets) = (0, 0);
    for (seed, keyed, history_bytes) in
        [(1, true, 16 << 20), (2, false, 16 << 20), (3, true, 3_000), (4, false, 2_000)]
    {
        println!("seed {seed}");
        let view = view("v", if keyed { &[0] } else { &[0, 1, 2] });
        let world = World::new(Limits { history_bytes, history_ms: 600_000 });
        world.memory.create(view.clone()).unwrap();
        let (ticks, expected) = history(seed, &view, keyed);
        let until = ticks.last().expect("ticks").upper - 1;
        world.memory.apply(&ticks[0]).unwrap();
        let clients: Vec<Client> = std::thread::scope(|scope| {
            let (world, expected) = (&world, &expected);
            let clients: Vec<_> =
                (0..3).map(|n| scope.spawn(move || follow(world, seed * 10 + n, until, expected))).collect();
            ticks[1..].iter().for_each(|tick| world.memory.apply(tick).unwrap());
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        for client in clients {
            resumes += client.resumes;
            resets += client.resets;
        }
    }
    println!("{resumes} resumes, {resets} resets");
    assert!(resumes > 0, "clients were cut off");
}

#[test]
fn every_step_of_a_time_can_be_resumed() {
    let view = view("v", &[0]);
    let world = World::new(Limits::default());
    world.memory.create(view.clone()).unwrap();
    world.memory.apply(&tick(0, 10, 1, vec![])).unwrap();
    let rows: Vec<(Row, i64)> = (0..5).map(|id| ((id, None, 0), 1)).collect();
    world.memory.apply(&tick(10, 20, 2, vec![batch(&view, 15, &rows)])).unwrap();
    for step in 0..=6 {
        let id = format!("abc-1.15.{step}");
        let mut reader = world.open("GET", &format!("/api/v1/views/v/changes?last_event_id={id}"), &[], b"");
        head(&mut reader);
        let mut ids = vec![];
        world_ends(&world, step, &view);
        while let Some(event) = next(&mut reader) {
            ids.push(event.id.expect("changes and commits have ids"));
            if event.name == "commit" && event.data["time"] != 15 {
                break;
            }
        }
        let rest = (step + 1..=6).map(|step| format!("abc-1.15.{step}"));
        assert_eq!(ids[..6 - step], rest.collect::<Vec<_>>()[..], "from step {step}");
    }
    let cases = [
        ("abd-1.15.6", "the id is of another generation"),
        ("abc-2.15.6", "the id is of another generation"),
        ("abc-1.1000.0", "the id is ahead of what can be read"),
        ("hello", "the id is not one of this service"),
    ];
    for (id, reason) in cases {
        let mut reader = world.open("GET", "/api/v1/views/v/changes", &[("last-event-id", id)], b"");
        head(&mut reader);
        let reset = next(&mut reader).expect("a first event");
        assert_eq!((reset.name.as_str(), reset.data["reason"].as_str()), ("reset", Some(reason)));
        assert_eq!(next(&mut reader).expect("a second event").name, "snapshot");
    }
}

/// Changes something at a later time, so that a resumed stream has an event to end with.
fn world_ends(world: &World, step: usize, view: &Arc<dataflows::View>) {
    let lower = 20 + step as u64;
    let row = (100 + step as i64, None, 0);
    world.memory.apply(&tick(lower, lower + 1, 3, vec![batch(view, lower, &[(row, 1)])])).unwrap();
}

#[test]
fn what_is_forgotten_is_told_and_sent_anew() {
    let view = view("v", &[0]);
    let world = World::new(Limits { history_bytes: 200, history_ms: 600_000 });
    world.memory.create(view.clone()).unwrap();
    world.memory.apply(&tick(0, 10, 1, vec![batch(&view, 5, &[((0, None, 0), 1)])])).unwrap();
    let mut reader = world.open("GET", "/api/v1/views/v/changes", &[], b"");
    head(&mut reader);
    let mut client = Client::default();
    (0..2).for_each(|_| client.take(&next(&mut reader).expect("snapshot and commit")));
    // More than the history holds, at one time.
    let rows: Vec<(Row, i64)> = (1..50).map(|id| ((id, None, 0), 1)).collect();
    world.memory.apply(&tick(10, 20, 2, vec![batch(&view, 15, &rows)])).unwrap();
    let lagged = next(&mut reader).expect("an event");
    assert_eq!((lagged.name.as_str(), lagged.id.as_deref()), ("lagged", None));
    assert!(next(&mut reader).is_none(), "the stream ends");
    let id = client.last_id.clone().expect("a commit has an id");
    let mut reader = world.open("GET", "/api/v1/views/v/changes", &[("last-event-id", &id)], b"");
    head(&mut reader);
    let events: Vec<Event> = (0..3).map(|_| next(&mut reader).expect("reset, snapshot, commit")).collect();
    assert_eq!(events[0].data["reason"], "the changes after the id are forgotten");
    events.iter().for_each(|event| client.take(event));
    let all: BTreeMap<Row, i64> = (0..50).map(|id| ((id, None, 0), 1)).collect();
    assert_eq!((client.rows, client.time), (copies(&all), Some(19)));
}

#[test]
fn a_stream_is_told_of_its_end() {
    let view = view("v", &[0]);
    for dropped in [true, false] {
        let mut world = World::new(Limits::default());
        world.memory.create(view.clone()).unwrap();
        world.memory.apply(&tick(0, 10, 1, vec![])).unwrap();
        let mut reader = world.open("GET", "/api/v1/views/v/changes", &[], b"");
        head(&mut reader);
        let names: Vec<String> = (0..2).map(|_| next(&mut reader).expect("an event").name).collect();
        assert_eq!(names, ["snapshot", "commit"]);
        if dropped {
            world.memory.drop_view("v").unwrap();
        } else {
            world.close();
        }
        let last = next(&mut reader).expect("a last event").name;
        assert_eq!(last, if dropped { "reset" } else { "bye" });
        assert!(next(&mut reader).is_none());
    }
}
