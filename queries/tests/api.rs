//! The API through a socket: given these ticks and this request, this answer.
// All of this is test code; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

#[path = "api/business.rs"]
mod business;
#[path = "api/streams.rs"]
mod streams;
#[path = "api/world.rs"]
mod world;

use dataflows::Batch;
use sinks::memory::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use world::*;

/// Two views at time 10: `orders` by id, and `notes`, which holds a row twice; `later` is still being built.
fn shop() -> World {
    let world = World::new(Limits::default());
    let (orders, notes) = (view("orders", &[0]), view("a note/s", &[0, 1, 2]));
    world.memory.create(orders.clone()).unwrap();
    world.memory.create(notes.clone()).unwrap();
    let rows = [
        ((1, Some("red"), 250), 1),
        ((2, None, 1_000), 1),
        ((3, Some("a,b \"c\""), -5), 1),
        ((10, Some("red"), 999_999), 1),
    ];
    let zero = ("division by zero".into(), 7, 2);
    let orders = Batch { errs: vec![zero], ..batch(&orders, 7, &rows) };
    let notes = batch(&notes, 7, &[((1, Some("x"), 0), 2), ((1, Some("y"), 0), 1)]);
    world.memory.apply(&tick(0, 11, 5, vec![orders, notes])).unwrap();
    world.memory.create(view("later", &[0])).unwrap();
    world
}

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";
const ONE: &str = r#"{"id":1,"note":"red","total":"2.50"}"#;
const TWO: &str = r#"{"id":2,"note":null,"total":"10.00"}"#;
const THREE: &str = r#"{"id":3,"note":"a,b \"c\"","total":"-0.05"}"#;
const TEN: &str = r#"{"id":10,"note":"red","total":"9999.99"}"#;

#[test]
fn a_read_answers_rows_at_a_time() {
    let world = shop();
    let orders = "/api/v1/views/orders";
    let cases = [
        ("", vec![ONE, TWO, THREE, TEN]),
        ("?limit=10000", vec![ONE, TWO, THREE, TEN]),
        ("?note=red", vec![ONE, TEN]),
        ("?note=red&id[gt]=1", vec![TEN]),
        ("?id=3", vec![THREE]),
        ("?id=4", vec![]),
        ("?id=10&note=red", vec![TEN]),
        ("?id=10&id[lt]=10", vec![]),
        ("?id=1&id=2", vec![]),
        ("?order=id&note=red", vec![ONE, TEN]),
        ("?order=-note,total", vec![TWO, ONE, TEN, THREE]),
        ("?note=a,b+%22c%22", vec![THREE]),
        ("?note[ne]=red", vec![THREE]),
        ("?note[null]=true", vec![TWO]),
        ("?note[null]=false", vec![ONE, THREE, TEN]),
        ("?total[lte]=2.5", vec![ONE, THREE]),
        ("?total[gte]=2.50&total[lt]=10", vec![ONE]),
        ("?total=-0.05", vec![THREE]),
        ("?order=-id", vec![TEN, THREE, TWO, ONE]),
        ("?order=note,-total", vec![THREE, TEN, ONE, TWO]),
        ("?order=-total", vec![TEN, TWO, ONE, THREE]),
        ("?at_least=10&order=id", vec![ONE, TWO, THREE, TEN]),
        ("?at_least=0:5,10&at_least=7&wait=1ms", vec![ONE, TWO, THREE, TEN]),
        ("/3", vec![THREE]),
        ("/10?at_least=3", vec![TEN]),
        ("/%31", vec![ONE]),
    ];
    for (request, rows) in cases {
        let answer = world.get(&format!("{orders}{request}"));
        assert_eq!(answer.body, format!("{{\"time\":10,\"rows\":[{}]}}", rows.join(",")), "{request}");
        assert_eq!((answer.status, answer.header("content-type")), (200, JSON), "{request}");
        assert_eq!(
            (answer.header("tallyflow-time"), answer.header("etag")),
            ("10", "W/\"abc-1.7\""),
            "{request}"
        );
    }
    let twice = r#"{"id":1,"note":"x","total":"0.00"}"#;
    let answer = world.get("/api/v1/views/a%20note%2Fs/1,x,0.00");
    assert_eq!(answer.body, format!("{{\"time\":10,\"rows\":[{twice},{twice}]}}"));
}

#[test]
fn pages_follow_one_another_to_the_end() {
    let world = shop();
    let orders = [
        "",
        "&order=-total",
        "&order=note,id",
        "&order=id,note",
        "&order=id,total",
        "&id=1",
        "&id=1&order=-note",
        "&id[gte]=2",
        "&note=red&order=-id",
    ];
    for order in orders {
        for view in ["orders", "a%20note%2Fs"] {
            if view != "orders" && order.contains("red") {
                continue;
            }
            let whole = world.get(&format!("/api/v1/views/{view}?{order}"));
            let whole: serde_json::Value = serde_json::from_str(&whole.body).unwrap();
            for limit in 1..5 {
                let mut rows = vec![];
                let mut cursor = String::new();
                loop {
                    let page = world.get(&format!("/api/v1/views/{view}?limit={limit}{order}{cursor}"));
                    let page: serde_json::Value = serde_json::from_str(&page.body).unwrap();
                    let part = page["rows"].as_array().expect("rows").clone();
                    assert!(part.len() <= limit);
                    rows.extend(part);
                    let Some(next) = page["next"].as_str() else { break };
                    cursor = format!("&cursor={next}");
                }
                assert_eq!(whole["rows"], serde_json::Value::Array(rows), "{view} {order} by {limit}");
            }
        }
    }
}

#[test]
fn a_wrong_request_is_told_what_is_wrong() {
    let world = shop();
    let v = "/api/v1/views";
    let cases = [
        ("GET", "/nothing", 404, "no such path"),
        ("GET", "/api/v1/views/orders/1/2", 404, "no such path"),
        ("GET", "/api/v1/views/nothing", 404, "there is no materialized view \\\"nothing\\\""),
        ("GET", "/api/v1/views/nothing/1", 404, "there is no materialized view \\\"nothing\\\""),
        ("GET", "/api/v1/views/nothing/changes", 404, "there is no materialized view"),
        ("GET", "/api/v1/views/orders/4", 404, "view \\\"orders\\\" has no row with key 4"),
        ("GET", "/api/v1/views/orders/four", 400, "key column \\\"id\\\": \\\"four\\\" is not a bigint"),
        ("GET", "/api/v1/views/orders/1,2", 400, "the key of view \\\"orders\\\" is id, not 2 values"),
        ("GET", "/api/v1/views/orders/%zz", 400, "malformed percent-encoding in \\\"%zz\\\""),
        ("GET", "/api/v1/views/%ff", 400, "malformed percent-encoding"),
        (
            "GET",
            "/api/v1/views/orders?colour=red",
            400,
            "unknown column \\\"colour\\\"; the columns are id, note, total",
        ),
        ("GET", "/api/v1/views/orders?order=id,colour", 400, "unknown column \\\"colour\\\""),
        ("GET", "/api/v1/views/orders?id=x", 400, "column \\\"id\\\": \\\"x\\\" is not a bigint"),
        ("GET", "/api/v1/views/orders?total=1.005", 400, "\\\"1.005\\\" is not a numeric(12,2)"),
        ("GET", "/api/v1/views/orders?id[like]=1", 400, "unknown comparison \\\"like\\\""),
        ("GET", "/api/v1/views/orders?limit=0", 400, "not a number from 1 to 10000"),
        ("GET", "/api/v1/views/orders?cursor=00.1.aa.bb", 400, "cursor"),
        ("GET", "/api/v1/views/orders?at_least=soon", 400, "neither a time (a number) nor a position"),
        ("GET", "/api/v1/views/orders?at_least=11&wait=1week", 400, "not a duration"),
        ("GET", "/api/v1/views/orders?at_least=11&wait=0", 504, "the time reached is 10"),
        (
            "GET",
            "/api/v1/views/orders?at_least=0:6&wait=0",
            504,
            "\"positions\":[{\"partition\":0,\"offset\":5}]",
        ),
        ("GET", "/api/v1/views/orders/1?at_least=1:1&wait=0", 504, "\"time\":10"),
        ("GET", "/api/v1/views/orders/1?limit=3", 400, "unknown parameter \\\"limit\\\""),
        ("GET", "/api/v1/views/later", 503, "view \\\"later\\\" is being built"),
        ("GET", "/api/v1/queries/nothing", 404, "nothing is declared by the name"),
        ("GET", "/api/v1/quarantine?after=x", 400, "not a number"),
        ("GET", "/api/v1/quarantine?state=lost", 400, "is none of pending, replayed"),
        ("GET", "/api/v1/quarantine/4", 404, "no record 4"),
        ("GET", "/api/v1/quarantine/x", 404, "no number of a record"),
        ("POST", "/api/v1/quarantine/3/discard", 409, "discarded already"),
        ("POST", "/api/v1/quarantine/9/replay", 404, "no record 9"),
        ("GET", "/api/v1/quarantine/1/replay", 405, "use one of: POST"),
        ("POST", "/api/v1/backfills", 415, "as application/json"),
        ("GET", "/api/v1/backfills/2", 404, "no backfill \\\"2\\\""),
        ("POST", "/api/v1/backfills/1/resume", 409, "is not paused"),
        ("POST", "/api/v1/backfills/2/pause", 404, "no backfill 2"),
        ("PUT", "/api/v1/backfills", 405, "use one of: GET, HEAD, POST"),
        ("DELETE", "/api/v1/queries/orders", 409, "is used by"),
        ("DELETE", "/api/v1/queries/nothing", 404, "nothing is declared"),
        ("PUT", v, 405, "use one of: GET, HEAD"),
        ("POST", "/api/v1/views/orders/1", 405, "use one of: GET, HEAD"),
        ("GET", "/api/v1/events", 405, "use one of: POST"),
        ("PATCH", "/api/v1/queries/orders", 405, "use one of: GET, HEAD, DELETE"),
    ];
    for (method, path, status, part) in cases {
        let answer = world.send(method, path, &[], b"");
        assert_eq!((answer.status, answer.header("content-type")), (status, PROBLEM), "{method} {path}");
        assert!(answer.body.contains(part), "{method} {path}: {}", answer.body);
        let document: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(document["status"], status, "{method} {path}");
        assert!(document["type"].as_str().unwrap().starts_with("urn:tallyflow:problem:"));
        assert_eq!(answer.header("allow").is_empty(), status != 405, "{method} {path}");
        assert_eq!(answer.header("retry-after").is_empty(), status != 503, "{method} {path}");
    }
}

#[test]
fn what_the_service_tells_of_itself() {
    let world = shop();
    let cases = [
        ("/healthz", JSON, r#"{"status":"alive"}"#),
        ("/readyz", JSON, r#"{"status":"ready"}"#),
        (
            "/",
            "text/html; charset=utf-8",
            "<td><a href=\"/api/v1/views/a%20note%2Fs\">a note/s</a></td><td>3</td>",
        ),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "tallyflow_events_total 7\n"),
        (
            "/metrics",
            "text/plain; version=0.0.4; charset=utf-8",
            "\ntallyflow_view_rows{view=\"orders\"} 4\n",
        ),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "\ntallyflow_readable_time_ms 10\n"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "{route=\"health\",status=\"200\"} 2\n"),
        ("/api/v1/openapi.json", JSON, "\"openapi\": \"3.1.0\""),
        (
            "/api/v1/views",
            JSON,
            r#""key":["id"],"rows":4,"errors":2,"key_violations":0,"since":10,"changed":7}"#,
        ),
        ("/api/v1/views", JSON, r#"{"name":"total","type":"numeric(12,2)","nullable":false}"#),
        ("/api/v1/views", JSON, r#""since":null"#),
        (
            "/api/v1/views/orders/errors",
            JSON,
            r#"{"time":10,"count":2,"errors":[{"message":"division by zero","count":2}]}"#,
        ),
        (
            "/api/v1/queries",
            JSON,
            r#"{"name":"orders","kind":"materialized view","sql":"CREATE MATERIALIZED VIEW","since":10}"#,
        ),
        ("/api/v1/queries/orders", JSON, r#""explain":"stages of orders""#),
        (
            "/api/v1/quarantine?after=1&limit=1",
            JSON,
            r#"{"records":[{"id":2,"partition":0,"offset":3,"time":10,"rule":"json""#,
        ),
        ("/api/v1/quarantine/2", JSON, r#""state":"pending","outcome":null,"settled":null,"size":2"#),
        ("/api/v1/backfills", JSON, r#"{"backfills":[{"id":1,"state":"running"}]}"#),
        ("/api/v1/backfills/1", JSON, r#"{"id":1,"state":"running"}"#),
    ];
    for (path, media_type, part) in cases {
        let answer = world.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, media_type), "{path}");
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
    let head = world.send("HEAD", "/api/v1/views/orders", &[], b"");
    assert_eq!((head.status, head.body.as_str(), head.header("tallyflow-time")), (200, "", "10"));
    let known = [("if-none-match", "\"x\", W/\"abc-1.7\"")];
    for path in ["/api/v1/views/orders", "/api/v1/views/orders/1"] {
        let same = world.send("GET", path, &known, b"");
        assert_eq!((same.status, same.body.as_str(), same.header("tallyflow-time")), (304, "", "10"));
    }
}

#[test]
fn sql_is_declared_or_refused() {
    let world = shop();
    let sql = "application/sql";
    let cases = [
        (sql, "CREATE VIEW", 201, r#"{"names":["paid"]}"#),
        ("text/plain; charset=utf-8", "CREATE VIEW", 201, r#"{"names":["paid"]}"#),
        (JSON, r#"{"sql":"CREATE VIEW"}"#, 201, r#"{"names":["paid"]}"#),
        (JSON, r#"{"sql":1}"#, 400, "no text member"),
        (JSON, "{", 400, "the body is not JSON"),
        ("text/html", "CREATE VIEW", 415, "send SQL as"),
        (sql, "SELEC", 400, r#""line":1,"column":6"#),
        (sql, "WINDOW", 400, "urn:tallyflow:problem:sql-unsupported"),
        (sql, "MISSING", 400, "unknown table"),
        (sql, "TAKEN", 409, "declared already"),
        (sql, "BROKEN", 500, "the request failed inside the service"),
    ];
    for (media_type, body, status, part) in cases {
        let answer = world.send("POST", "/api/v1/queries", &[("content-type", media_type)], body.as_bytes());
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(answer.body.contains(part) && !answer.body.contains("secret"), "{body}: {}", answer.body);
    }
    let long = world.send("POST", "/api/v1/queries", &[("content-type", sql)], &[b' '; 1025]);
    assert_eq!(long.status, 413);
    let dropped = world.send("DELETE", "/api/v1/queries/p%61id", &[], b"");
    assert_eq!((dropped.status, dropped.body.as_str()), (204, ""));
}

#[test]
fn events_are_taken_whole_or_not_at_all() {
    let world = shop();
    let one = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{}}"#;
    let bad = r#"{"specversion":"1.0","id":"2","type":"t"}"#;
    let (structured, batched) =
        ("application/cloudevents+json; charset=utf-8", "application/cloudevents-batch+json");
    let binary = [("ce-specversion", "1.0"), ("ce-id", "7"), ("ce-source", "/s"), ("ce-type", "t")];
    let with = |media_type| [&[("content-type", media_type)][..], &binary[..]].concat();
    let plain = |media_type| vec![("content-type", media_type)];
    let cases = [
        (
            plain(structured),
            one.to_string(),
            202,
            r#"{"accepted":1,"positions":[{"partition":0,"offset":1}]}"#,
            1,
        ),
        (plain(structured), bad.to_string(), 400, "\"rule\":", 1),
        (plain(structured), "{".to_string(), 400, "\"rule\":\"json\"", 1),
        (plain(batched), format!("[{one},{bad}]"), 400, "\"index\":1", 1),
        (
            plain(batched),
            format!("[{one},{one}]"),
            202,
            r#"{"accepted":2,"positions":[{"partition":0,"offset":3}]}"#,
            3,
        ),
        (plain(batched), "[]".to_string(), 202, r#"{"accepted":0,"positions":[]}"#, 3),
        (with("text/xml"), "<a/>".to_string(), 202, r#""offset":4}"#, 4),
        (binary[..3].to_vec(), "x".to_string(), 400, "\"rule\":", 4),
        (plain("text/plain"), "hello".to_string(), 415, "this is no CloudEvent", 4),
        (
            plain("application/cloudevents+avro"),
            "x".to_string(),
            415,
            "application/cloudevents+avro is not supported",
            4,
        ),
        (plain(structured), " ".repeat(4097), 413, "the body has more than 4096 bytes", 4),
        (
            plain(structured),
            one.replace("/s", "/disk-full"),
            503,
            "no space left on device; nothing was acknowledged",
            4,
        ),
        (plain(structured), one.replace("/s", "/too-large"), 413, "more than 8 MiB", 4),
    ];
    for (headers, body, status, part, appended) in cases {
        let answer = world.send("POST", "/api/v1/events", &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{body}: {}", answer.body);
        assert!(answer.body.contains(part), "{body}: {}", answer.body);
        assert_eq!(world.host.appended.lock().unwrap().len(), appended, "{body}");
        assert_eq!(answer.header("retry-after").is_empty(), status != 503);
    }
}

#[test]
fn a_read_waits_for_what_it_asks() {
    let world = Arc::new(shop());
    let orders = world.memory.read().view("orders").unwrap().shape().view().clone();
    for (round, wanted) in
        ["at_least=20", "at_least=0:31", "at_least=0:41&at_least=37"].into_iter().enumerate()
    {
        let lower = 11 + round as u64 * 10;
        let reader = {
            let world = world.clone();
            std::thread::spawn(move || world.get(&format!("/api/v1/views/orders/5?{wanted}&wait=30s")))
        };
        // Whether the tick comes before or after the request makes no difference to the answer.
        let (old, new) = (((5, None, lower as i128 - 10), -1), ((5, None, lower as i128), 1));
        let changes: &[(Row, i64)] = if round == 0 { &[new] } else { &[old, new] };
        let batches = vec![batch(&orders, lower, changes)];
        world.memory.apply(&tick(lower, lower + 10, 21 + round as u64 * 10, batches)).unwrap();
        let answer = reader.join().unwrap();
        let total = format!("0.{lower}");
        let row = format!("{{\"id\":5,\"note\":null,\"total\":\"{total}\"}}");
        assert_eq!(answer.body, format!("{{\"time\":{},\"rows\":[{row}]}}", lower + 9), "{wanted}");
    }
}

#[test]
fn two_views_are_always_read_at_one_time() {
    let world = World::new(Limits::default());
    let views = [view("debit", &[0]), view("credit", &[0])];
    views.iter().for_each(|view| world.memory.create(view.clone()).unwrap());
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (memory, done) = (world.memory.clone(), done.clone());
            std::thread::spawn(move || {
                let (mut reads, mut last) = (0u64, None);
                while !done.load(Ordering::Relaxed) || reads == 0 {
                    let read = memory.read();
                    let sum: i128 = ["debit", "credit"].iter().map(|name| sum(&read, name)).sum();
                    assert_eq!(sum, 0, "at {:?}", read.time());
                    assert!(read.time() >= last, "time never goes back");
                    last = read.time();
                    reads += 1;
                }
            })
        })
        .collect();
    println!("seed 5");
    let mut random = Random(5);
    let mut totals = [[0i128; 20]; 2];
    for time in 0..2_000u64 {
        let (account, amount) = (random.below(20) as usize, random.below(1_000) as i128 + 1);
        let batches = views.iter().zip([1, -1]).enumerate().map(|(i, (view, sign))| {
            let old = totals[i][account];
            totals[i][account] += amount * sign;
            let row = |total| (account as i64, None, total);
            let mut changes = vec![(row(totals[i][account]), 1)];
            if old != 0 {
                changes.push((row(old), -1));
            }
            batch(view, time, &changes)
        });
        world.memory.apply(&tick(time, time + 1, 0, batches.collect())).unwrap();
    }
    done.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

fn sum(read: &sinks::memory::Read, name: &str) -> i128 {
    let kept = read.view(name).unwrap();
    let cells = kept.rows().iter().map(|entry| match kept.shape().values(entry.row).nth(2) {
        Some(dataflows::value::Value::Decimal(units, _)) => units,
        other => panic!("{other:?} is not a decimal"),
    });
    cells.sum()
}

#[test]
fn history_is_asked_for_and_records_are_judged() {
    let world = shop();
    let json = [("content-type", "application/json")];
    let event = [("content-type", "application/cloudevents+json")];
    let good = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;
    let reserved = good.replace("\"t\"", "\"dev.tallyflow.rows.x\"");
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16, &'a str);
    let cases: [Case; 10] = [
        ("/api/v1/backfills", &json, r#"{"files":["/a"]}"#, 201, r#"{"id":1,"state":"waiting"}"#),
        ("/api/v1/backfills", &json, r#"{"files":["/a"],"dry_run":true}"#, 400, "no such file"),
        ("/api/v1/backfills", &json, r#"{"files":"/a"}"#, 400, "a list of paths"),
        ("/api/v1/backfills/1/pause", &[], "", 200, "paused"),
        ("/api/v1/backfills/1/cancel", &[], "", 200, "cancelled"),
        ("/api/v1/quarantine/1/replay", &[], "", 200, r#""state":"failed_again""#),
        ("/api/v1/quarantine/1/replay", &event, good, 200, r#""state":"replayed""#),
        ("/api/v1/quarantine/1/replay", &event, "{}", 400, "specversion"),
        ("/api/v1/quarantine/1/replay", &event, &reserved, 400, "by the process itself only"),
        ("/api/v1/quarantine/1/discard", &[], "", 200, r#""state":"discarded""#),
    ];
    for (path, headers, body, status, part) in cases {
        let answer = world.send("POST", path, headers, body.as_bytes());
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        assert!(answer.body.contains(part), "{path} {body}: {}", answer.body);
    }
}
