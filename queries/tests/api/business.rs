//! The paths of a business: entities, their versions, commands, pages, schemas.
use super::world::*;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use dataflows::{Batch, Delta, View};
use serde_json::{Value, json};
use sinks::memory::Limits;
use std::sync::Arc;

const JSON: (&str, &str) = ("content-type", "application/json");

/// A view of texts, but for `version`; `key` counts its columns.
fn texts(name: &str, columns: &[&str], key: usize, rows: &[&[&str]]) -> (Arc<View>, Batch) {
    let field = |name: &&str| match *name {
        "version" => Field::new(*name, DataType::Int64, true),
        _ => Field::new(*name, DataType::Utf8, true),
    };
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let view =
        Arc::new(View { name: name.into(), schema: schema.clone(), key: (0..key).collect(), sql: "".into() });
    let cells = |column: usize| -> ArrayRef {
        let cells = rows.iter().map(|row| row[column]).map(|cell| (cell != "-").then_some(cell));
        match columns[column] {
            "version" => {
                Arc::new(Int64Array::from_iter(cells.map(|cell| cell.map(|cell| cell.parse().unwrap()))))
            }
            _ => Arc::new(StringArray::from_iter(cells)),
        }
    };
    let rows = RecordBatch::try_new(schema, (0..columns.len()).map(cells).collect()).unwrap();
    let diffs = vec![1; rows.num_rows()];
    let changes = vec![Delta { time: 7, rows, diffs }];
    (view.clone(), Batch { view, changes, errs: vec![] })
}

const VERSIONS: [&str; 6] = ["customer_id", "version", "event_id", "event_type", "source", "data"];

/// Three customers, one with two versions; one bill.
fn office() -> World {
    let world = World::new(Limits::default());
    let customers = texts(
        "customers",
        &["customer_id", "name", "status"],
        1,
        &[&["C-1", "Ada", "active"], &["C-10", "-", "closed"], &["C 2/x", "Bob", "active"]],
    );
    let versions = texts(
        "customer_versions",
        &VERSIONS,
        6,
        &[
            &["C-1", "2", "e2", "t.updated", "/crm", r#"{"customerId":"C-1","name":"Ada"}"#],
            &["C-1", "1", "e1", "t.created", "/crm", r#"{"customerId":"C-1"}"#],
            &["C-10", "5", "e3", "t.created", "/crm", "{}"],
            &["C-9", "1", "old", "t.created", "/bss/api/customers", r#"{"customerId":"C-9"}"#],
        ],
    );
    let bills = texts("invoices", &["bill_id", "status"], 1, &[&["B-1", "validated"], &["B-2", "settled"]]);
    let columns = ["bill_id", "version", "event_id", "event_type", "source", "data"];
    let bill_versions = texts(
        "invoice_versions",
        &columns,
        6,
        &[
            &[
                "B-1",
                "1",
                "b1",
                "t",
                "/b",
                r#"{"billId":"B-1","state":"validated","lines":[{"lineId":"1"}]}"#,
            ],
            &["B-2", "3", "b2", "t", "/b", r#"{"billId":"B-2","state":"settled"}"#],
        ],
    );
    let lists = texts(
        "recommendations",
        &["customer_id", "place", "offering_id"],
        2,
        &[&["C-1", "1", "O-1"], &["C-1", "2", "O-2"], &["C-2", "1", "O-1"]],
    );
    let all = [customers, versions, bills, bill_versions, lists];
    all.iter().for_each(|(view, _)| world.memory.create(view.clone()).unwrap());
    world.memory.apply(&tick(0, 11, 0, all.map(|(_, batch)| batch).into())).unwrap();
    world
}

fn body(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).unwrap_or_else(|why| panic!("{why}: {}", answer.body))
}

/// What was appended, without what a clock or chance gave.
fn appended(world: &World) -> Vec<Value> {
    let appended = world.host.appended.lock().unwrap();
    let events = appended.iter().map(|payload| match payload {
        sources::Payload::Structured(bytes) => serde_json::from_slice(bytes).unwrap(),
        sources::Payload::Binary { .. } => panic!("commands are structured"),
    });
    events.collect()
}

#[test]
fn entities_are_listed_searched_sorted_and_found() {
    let world = office();
    let ids = |path: &str| -> Vec<String> {
        let answer = world.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let rows = body(&answer)["rows"].as_array().unwrap().clone();
        rows.iter()
            .map(|row| row.as_object().unwrap().values().next().unwrap().as_str().unwrap().into())
            .collect()
    };
    let cases: [(&str, &[&str]); 9] = [
        ("customers", &["C 2/x", "C-1", "C-10"]),
        ("customers?q=ADA", &["C-1"]),
        ("customers?q=c-1&status=closed", &["C-10"]),
        ("customers?sort=-customer_id", &["C-10", "C-1", "C 2/x"]),
        ("customers?status[ne]=active", &["C-10"]),
        ("customers/C-1", &["C-1"]),
        ("customers/C%202%2Fx", &["C 2/x"]),
        ("recommendations/C-1", &["C-1", "C-1"]),
        ("recommendations/C-3", &[]),
    ];
    for (path, expected) in cases {
        assert_eq!(ids(path), expected, "{path}");
    }
    let first = body(&world.get("/api/v1/customers?q=C&limit=2"));
    let next = first["next"].as_str().unwrap();
    assert_eq!(ids(&format!("customers?q=C&limit=2&cursor={next}")), ["C-10"]);
    let refused = world.get(&format!("/api/v1/customers?q=X&limit=2&cursor={next}"));
    assert_eq!(refused.status, 400);
    let one = world.get("/api/v1/customers/C-1");
    assert_eq!((one.header("tallyflow-version"), &body(&one)["version"]), ("2", &json!(2)));
    let history = body(&world.get("/api/v1/customers/C-1/history"));
    let seen: Vec<_> =
        history["rows"].as_array().unwrap().iter().map(|row| (&row["version"], &row["data"])).collect();
    let (first, second) = (json!({"customerId": "C-1"}), json!({"customerId": "C-1", "name": "Ada"}));
    assert_eq!(seen, [(&json!(1), &first), (&json!(2), &second)]);
}

#[test]
fn what_is_not_there_says_so() {
    let world = office();
    let cases = [
        ("GET", "customers/none", 404, "has no row"),
        ("GET", "customers/none/history", 404, "nothing was ever said"),
        ("GET", "orders", 404, "reads orders, which is not in the catalogue"),
        ("GET", "fraud/rings", 404, "fraud_rings"),
        ("GET", "fraud/other", 404, "no such path"),
        ("GET", "customers//history", 404, "no such path"),
        ("GET", "customers?colour=red", 400, "unknown column"),
        ("GET", "schemas/none", 404, "there is no schema"),
        ("GET", "streams/metadata?a=b", 400, "unknown parameter"),
        ("PATCH", "customers", 405, "GET, HEAD, POST"),
        ("POST", "customers/C-1", 405, "GET, HEAD, PUT, DELETE"),
        ("POST", "fraud/alerts", 405, "GET, HEAD"),
        ("DELETE", "metrics/order", 405, "GET, HEAD, POST"),
        ("GET", "invoices/B-1/send", 405, "POST"),
    ];
    for (method, path, status, text) in cases {
        let answer = world.send(method, &format!("/api/v1/{path}"), &[], b"");
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(text), "{path}: {}", answer.body);
    }
    assert_eq!(body(&world.get("/api/v1/fraud/rings"))["missing"], "fraud_rings");
}

#[test]
fn a_command_is_an_event_of_the_next_version() {
    let world = office();
    let created =
        world.send("POST", "/api/v1/customers", &[JSON], br#"{"customerId":"C-3","status":"active"}"#);
    assert_eq!(created.status, 202, "{}", created.body);
    assert_eq!(created.header("location"), "/api/v1/customers/C-3");
    assert_eq!(body(&created)["positions"], json!([{"partition": 0, "offset": 1}]));
    // Readers do not see it yet, and yet the next command follows it.
    let again = world.send("POST", "/api/v1/customers", &[JSON], br#"{"customerId":"C-3"}"#);
    assert_eq!(again.status, 409, "{}", again.body);
    let put = world.send(
        "PUT",
        "/api/v1/customers/C-3",
        &[JSON, ("if-match", "\"1\"")],
        br#"{"name":"Cy","phone":"1"}"#,
    );
    assert_eq!((put.status, body(&put)["version"].as_i64()), (202, Some(2)), "{}", put.body);
    let gone = world.send("DELETE", "/api/v1/customers/C-3", &[("if-match", "W/\"2\"")], b"");
    assert_eq!(gone.status, 202, "{}", gone.body);
    let sent = world.send("POST", "/api/v1/invoices/B-1/send", &[], b"");
    assert_eq!(sent.status, 202, "{}", sent.body);
    let events = appended(&world);
    let seen: Vec<Value> =
        events.iter().map(|e| json!([e["type"], e["subject"], e["entityversion"], e["data"]])).collect();
    let expected = [
        json!(["com.example.bss.customer.created.v1", "customer/C-3", 1, {"customerId": "C-3", "status": "active"}]),
        json!(["com.example.bss.customer.updated.v1", "customer/C-3", 2, {"name": "Cy", "phone": "1", "customerId": "C-3"}]),
        json!(["com.example.bss.customer.erased.v1", "customer/C-3", 3, {"customerId": "C-3", "status": "closed"}]),
        json!(["com.example.bss.customerBill.stateChanged.v1", "customerBill/B-1", 2,
            {"billId": "B-1", "state": "sent", "lines": [{"lineId": "1"}]}]),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_command_that_does_not_fit_changes_nothing() {
    let world = office();
    type Case<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str, u16, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("POST", "customers", vec![JSON], r#"{"status":"asleep"}"#, 422, "/data/status must be one of"),
        ("POST", "customers", vec![JSON], r#"{"customerId":7}"#, 422, "/data/customerId"),
        ("POST", "customers", vec![JSON], "[]", 400, "not a JSON object"),
        ("POST", "customers", vec![], "{}", 415, "application/json"),
        ("POST", "customers", vec![JSON, ("idempotency-key", "a b")], "{}", 400, "Idempotency-Key"),
        ("POST", "customers?a=b", vec![JSON], "{}", 400, "unknown parameter"),
        ("POST", "customers", vec![JSON], r#"{"customerId":"C-1"}"#, 409, "at version 2"),
        ("PUT", "customers/C-1", vec![JSON, ("if-match", "\"1\"")], "{}", 412, "is at version 2"),
        ("PUT", "customers/C-1", vec![JSON], r#"{"customerId":"C-2"}"#, 422, "the id of the path"),
        ("PUT", "customers/none", vec![JSON], "{}", 404, "there is no customer"),
        ("DELETE", "customers/none", vec![], "", 404, "there is no customer"),
        ("POST", "invoices/B-2/send", vec![], "", 409, "is settled"),
        ("POST", "orders", vec![JSON], "{}", 404, "order_versions"),
        ("POST", "metrics/system", vec![JSON], r#"{"value":"x","unit":"1"}"#, 422, "/data/value"),
        ("POST", "metrics/other", vec![JSON], "{}", 404, "no such path"),
        ("POST", "streams/cleanup", vec![JSON], "{}", 400, "quarantined_before"),
        ("POST", "customers", vec![JSON], r#"{"name":"disk-full"}"#, 503, "no space left"),
    ];
    for (method, path, headers, sent, status, text) in cases {
        let answer = world.send(method, &format!("/api/v1/{path}"), &headers, sent.as_bytes());
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(answer.body.contains(text), "{method} {path}: {}", answer.body);
    }
    assert_eq!(appended(&world), Vec::<Value>::new());
}

#[test]
fn a_key_makes_a_command_once() {
    let world = office();
    let send = |key: &str, sent: &str| {
        world.send("POST", "/api/v1/customers", &[JSON, ("idempotency-key", key)], sent.as_bytes())
    };
    let (first, second) = (send("k1", r#"{"name":"A"}"#), send("k1", r#"{"name":"A"}"#));
    assert_eq!((first.status, second.status), (202, 202), "{} {}", first.body, second.body);
    assert_eq!(body(&first), body(&second));
    assert_eq!(send("k1", r#"{"name":"B"}"#).status, 409);
    // One that an earlier process appended is known by its event.
    let old = send("old", r#"{"customerId":"C-9"}"#);
    assert_eq!(
        (old.status, &body(&old)["version"], &body(&old)["event"]["id"]),
        (202, &json!(1), &json!("old"))
    );
    let metric = |sent: &str| {
        world.send("POST", "/api/v1/metrics/system", &[JSON, ("idempotency-key", "m1")], sent.as_bytes())
    };
    let sent = r#"{"metricName":"load","value":"0.5","unit":"1"}"#;
    assert_eq!((metric(sent).status, metric(sent).status), (202, 202));
    let events = appended(&world);
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!((&events[0]["id"], &events[1]["data"]["metricName"]), (&json!("k1"), &json!("system.load")));
}

#[test]
fn a_command_waits_until_it_can_be_read() {
    let world = office();
    let late = world.send("POST", "/api/v1/customers", &[JSON, ("prefer", "wait=0")], b"{}");
    assert_eq!(late.status, 202, "{}", late.body);
    world.memory.apply(&tick(11, 12, 9, vec![])).unwrap();
    let seen =
        world.send("PUT", "/api/v1/customers/C-1", &[JSON, ("prefer", "respond-async, wait=30")], b"{}");
    assert_eq!(seen.status, 200, "{}", seen.body);
    assert_eq!(body(&seen)["rows"][0]["customer_id"], "C-1");
}

#[test]
fn schemas_and_streams_are_shown() {
    let world = office();
    let schemas = body(&world.get("/api/v1/schemas"));
    let urls: Vec<&str> =
        schemas["schemas"].as_array().unwrap().iter().map(|s| s["url"].as_str().unwrap()).collect();
    assert!(urls.len() > 100);
    for name in ["com.example.bss.customer.created.v1", "customer.created"] {
        let schema = body(&world.get(&format!("/api/v1/schemas/{name}")));
        assert_eq!(schema["title"], "customer created");
    }
    let status = body(&world.get("/api/v1/streams/status"));
    assert_eq!((&status["time"], &status["streams"][0]["name"]), (&json!(10), &json!("customer_versions")));
    assert_eq!(body(&world.get("/api/v1/streams/metadata"))["streams"][0]["name"], "events");
    assert_eq!(body(&world.get("/api/v1/streams/metrics"))["metrics"][0]["value"], "7");
    assert_eq!(body(&world.get("/api/v1/analytics/system/health"))["status"], "healthy");
    let cleaned = world.send("POST", "/api/v1/streams/cleanup", &[JSON], br#"{"quarantined_before":11}"#);
    assert_eq!(body(&cleaned), json!({"discarded": 2, "forgotten": 0}));
}

#[test]
fn an_id_may_have_any_character() {
    let world = office();
    let sent = "{\"customerId\":\"a\\u001eb/ß\"}";
    let created = world.send("POST", "/api/v1/customers", &[JSON], sent.as_bytes());
    assert_eq!(created.status, 202, "{}", created.body);
    assert_eq!(created.header("location"), "/api/v1/customers/a%1Eb%2F%C3%9F");
    let event = appended(&world).remove(0);
    assert_eq!(
        (&event["subject"], &event["data"]["customerId"]),
        (&json!("customer/a%1Eb%2F%C3%9F"), &json!("a\u{1e}b/ß"))
    );
    assert_eq!(world.get("/api/v1/customers?cursor=&limit=1").status, 200);
}
