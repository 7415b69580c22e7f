//! The API of the business over the real engine, on a generated month: commands become events, events become rows.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;
#[path = "support/part.rs"]
mod part;

use bytes::Bytes;
use drive::append;
use harness::data::Data;
use harness::pipeline::{Pipeline, Setting};
use harness::ticks::End;
use part::part;
use queries::Catalogue;
use queries::api::{ApiConfig, serve};
use serde_json::{Value, json};
use sources::generate::{Business, BusinessConfig, Shares};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use tokio::sync::oneshot;

const DAY_MS: u64 = 86_400_000;
/// 2026-01-01.
const FROM_MS: u64 = 1_767_225_600_000;
/// What the test reads.
const NAMES: [&str; 12] = [
    "customers",
    "customer_versions",
    "invoices",
    "invoice_versions",
    "payments",
    "payment_versions",
    "offering_states",
    "product_versions",
    "revenue_daily",
    "top_customers",
    "payment_anomalies",
    "system_metrics_minutely",
];

/// A catalogue of these and all that they read.
fn catalogue(names: &[&str]) -> tempfile::TempDir {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries/bss");
    let all = Catalogue::load(folder.to_str().unwrap()).unwrap();
    part(&all, names.iter().map(|name| name.to_string()))
}

/// Some weeks of a small business, some of it late, twice, corrected and malformed.
fn month(seed: u64, days: u64, scale: f64) -> Vec<Bytes> {
    let shares = Shares { late: 0.05, duplicate: 0.03, corrected: 0.05, malformed: 0.002 };
    let until_ms = FROM_MS + days * DAY_MS;
    let mut business = Business::new(BusinessConfig { seed, from_ms: FROM_MS, until_ms, scale, shares });
    let (mut events, mut event) = (vec![], vec![]);
    while business.next_into(&mut event).is_some() {
        events.push(Bytes::copy_from_slice(&event));
    }
    events
}

struct Office(SocketAddr);

impl Office {
    /// Status and body of a request; a command waits until it can be read.
    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.0).unwrap();
        let length = body.len();
        let head = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nHost: office\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Prefer: wait=30\r\nConnection: close\r\n{headers}\r\n"
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or_else(|why| panic!("{path}: {why}: {answer}")))
    }

    fn rows(&self, path: &str) -> Vec<Value> {
        let (status, body) = self.send("GET", path, "", "");
        assert_eq!(status, 200, "{path}: {body}");
        body["rows"].as_array().unwrap().clone()
    }

    /// A command that is done: its first row.
    fn done(&self, method: &str, path: &str, headers: &str, body: Value) -> Value {
        let (status, answer) = self.send(method, path, headers, &body.to_string());
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer["rows"][0].clone()
    }
}

#[test]
fn a_bill_is_made_sent_paid_and_voided_by_commands() {
    let folder = catalogue(&NAMES);
    let data = Data::temporary(Some(folder.path().to_str().unwrap())).unwrap();
    let pipeline = Pipeline::start(data, &Setting::serve(2, 1_000)).unwrap();
    append(&pipeline, &month(11, 40, 0.002));
    pipeline.settle().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let office = Office(listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let session = pipeline.session();
    let server = std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let stopped = async { _ = stopped.await };
        runtime.block_on(serve(listener, session, ApiConfig::default(), stopped)).unwrap();
    });

    for path in [
        "customers",
        "invoices",
        "payments",
        "products",
        "analytics/revenue/summary",
        "analytics/customer/top",
    ] {
        assert!(!office.rows(path).is_empty(), "{path}");
    }
    // What the month made can be asked for by id, and its versions with it.
    for (path, key) in [("customers", "customer_id"), ("invoices", "bill_id"), ("products", "offering_id")] {
        let row = office.rows(&format!("{path}?limit=1")).remove(0);
        let id = row[key].as_str().unwrap();
        assert_eq!(office.rows(&format!("{path}/{id}")), std::slice::from_ref(&row));
        let history = office.rows(&format!("{path}/{id}/history"));
        assert!(!history.is_empty() && history[0]["data"].is_object(), "{path}/{id}: {history:?}");
    }

    let customer = json!({"customerId": "C-api", "name": "Ada", "country": "GB", "status": "active"});
    assert_eq!(office.done("POST", "customers", "", customer)["name"], "Ada");
    let anew = json!({"name": "Ada L", "country": "GB", "status": "active"});
    assert_eq!(office.done("PUT", "customers/C-api", "If-Match: \"1\"\r\n", anew.clone())["name"], "Ada L");
    assert_eq!(office.send("PUT", "customers/C-api", "If-Match: \"1\"\r\n", &anew.to_string()).0, 412);
    assert_eq!(office.rows("customers/C-api/history").len(), 2);

    let money = |value: &str| json!({"unit": "EUR", "value": value});
    let bill = json!({
        "billId": "B-api", "accountId": "A-api", "customerId": "C-api", "state": "validated", "billDate": "2026-01-31",
        "paymentDueDate": "2026-02-14", "taxExcluded": money("20.00"), "taxIncluded": money("24.00"),
    });
    assert_eq!(office.done("POST", "invoices", "", bill)["remaining"], "24.00");
    let sent = office.done("POST", "invoices/B-api/send", "", json!({}));
    assert_eq!((&sent["status"], &sent["overdue"]), (&json!("sent"), &json!(true)));
    assert_eq!(office.send("POST", "invoices/B-api/send", "", "").0, 409);
    let payment = json!({
        "paymentId": "P-api", "accountId": "A-api", "customerId": "C-api", "billId": "B-api", "state": "captured",
        "amount": money("24.00"), "method": "card", "billAllocations": [{"billId": "B-api", "amount": "24.00"}],
    });
    let key = "Idempotency-Key: pay-once\r\n";
    assert_eq!(office.done("POST", "payments", key, payment.clone())["net"], "24.00");
    assert_eq!(office.done("POST", "payments", key, payment.clone())["net"], "24.00");
    let mut settled = payment;
    settled["state"] = json!("settled");
    assert_eq!(office.done("PUT", "payments/P-api", "", settled)["state"], "settled");
    let paid = office.rows("invoices/B-api").remove(0);
    assert_eq!((&paid["status"], &paid["remaining"]), (&json!("settled"), &json!("0.00")));
    assert_eq!(office.rows("payments/P-api/history").len(), 2);
    assert_eq!(office.done("DELETE", "invoices/B-api", "", json!({}))["status"], "voided");

    let load = json!({"metricName": "load", "value": "0.7", "unit": "1", "resourceId": "gw-1"});
    assert_eq!(office.send("POST", "metrics/system", "", &load.to_string()).0, 200);
    let nameless = json!({"metricName": "", "value": "0.7", "unit": "1"});
    assert_eq!(office.send("POST", "metrics/system", "", &nameless.to_string()).0, 400);
    let seen = office.rows("metrics/system?metric_name=system.load");
    assert_eq!((seen.len(), &seen[0]["mean"]), (1, &json!("0.700000")));
    assert_eq!(office.send("GET", "fraud/rings", "", "").0, 404);

    drop(stop);
    server.join().unwrap();
    let report = drive::check_now(&pipeline);
    assert!(report.differences.is_empty() && report.failed.is_empty(), "{report:?}");
    pipeline.finish(End::Drain).unwrap();
}

#[test]
fn each_rule_finds_the_fraud_that_was_made_for_it() {
    let folder = catalogue(&["fraud_rule_quality"]);
    let data = Data::temporary(Some(folder.path().to_str().unwrap())).unwrap();
    let pipeline = Pipeline::start(data, &Setting::serve(2, 8_192)).unwrap();
    append(&pipeline, &month(1, 45, 0.01));
    pipeline.settle().unwrap();
    let read = pipeline.memory().read();
    let kept = read.view("fraud_rule_quality").unwrap();
    let mut found: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for entry in kept.rows().iter() {
        let mut row = String::new();
        kept.shape().write_json(entry.row, &mut row);
        let row: Value = serde_json::from_str(&row).unwrap();
        let of = found.entry(row["rule_id"].as_str().unwrap().into()).or_default();
        of.0 += row["frauds"].as_u64().unwrap();
        of.1 += row["caught"].as_u64().unwrap();
    }
    assert_eq!(found.len(), 12, "{found:?}");
    for (rule, (frauds, caught)) in &found {
        // What a terminal is known for is known only after its first frauds.
        let known = if rule == "F3" { 3 } else { *frauds };
        assert!(*frauds > 0 && *caught >= known, "{rule} finds {caught} of {frauds}: {found:?}");
    }
    pipeline.finish(End::Drain).unwrap();
}
