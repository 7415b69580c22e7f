//! The real binary: what it prints, how it fails, and with which code it ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn tallyflow(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
    command.args(args);
    command
}

/// Code, stdout, stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = tallyflow(args).output().unwrap();
    (status.code().unwrap_or(-1), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A serving process, and where it answers. It is killed when it is dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(data: &Path) -> Server {
        // A write beyond a file size limit shall fail like one on a full disk, without the signal.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_tallyflow")]);
        command.args(["run", "--catalog", "core", "--listen", "127.0.0.1:0", "--workers", "1", "--data"]);
        // What a full disk does to a log of messages too: nobody takes them, and nothing ends.
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut child = command.arg(data).stdout(Stdio::piped()).stderr(full).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line =
            lines.find(|line| line.as_ref().unwrap().contains("listening on http://")).unwrap().unwrap();
        // Read on, so that the process never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let address = line.split("http://").nth(1).unwrap().to_owned();
        Server { child, address }
    }

    /// Status and body.
    fn request(&self, method: &str, path: &str, content_type: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Limits the size of the files it writes (the soft limit, so it can be raised again): the nearest thing to a full disk that needs no mount.
    fn limit_files(&self, bytes: &str) {
        let limit = format!("--fsize={bytes}");
        let status =
            Command::new("prlimit").args(["--pid", &self.child.id().to_string(), &limit]).status().unwrap();
        assert!(status.success());
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, "text/plain", "")
    }

    fn post_event(&self, body: &str) -> (u16, String) {
        self.request("POST", "/api/v1/events", "application/cloudevents+json", body)
    }

    fn signal(&mut self, signal: &str) -> i32 {
        Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn customer(number: u32) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"c-{number}\",\"source\":\"/test\",\"type\":\"com.example.bss.customer.created.v1\",\
         \"time\":\"2025-01-01T00:00:00Z\",\"subject\":\"customer/{number}\",\"data\":{{\"customerId\":\"{number}\"}}}}"
    )
}

const DECLARE: &str = "CREATE EXTERNAL TABLE signups (customer_id TEXT, at TIMESTAMP) STORED AS CLOUDEVENTS LOCATION '*' \
    OPTIONS ('column.customer_id' 'data.customerId', 'column.at' 'time'); \
    CREATE MATERIALIZED VIEW signup_count AS SELECT count(*) AS n FROM signups";

/// The positions of a 202 answer as `at_least` wants them.
fn at_least(answer: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(answer).unwrap();
    let positions = value["positions"].as_array().unwrap();
    let position = |p: &serde_json::Value| format!("at_least={}:{}", p["partition"], p["offset"]);
    positions.iter().map(position).collect::<Vec<_>>().join("&")
}

#[test]
fn help_shows_examples_for_each_command() {
    for command in ["demo", "run", "replay", "explain", "check"] {
        let (code, out, _) = run(&[command, "--help"]);
        assert_eq!(code, 0);
        assert!(out.contains("Examples:") && out.contains(&format!("tallyflow {command}")), "{out}");
    }
}

#[test]
fn wrong_calls_are_told_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let bad = format!("{folder}/bad.ndjson.zst");
    std::fs::write(&bad, [0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3]).unwrap();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["replay"], 2, &["FILE"]),
        (&["demo", "--rate", "0"], 2, &["'0' is no number of events above 0"]),
        (&["demo", "--for", "3"], 2, &["'3' is no time such as"]),
        (&["run", "--workers", "0"], 2, &["workers"]),
        (&["replay", "/nowhere/x.ndjson"], 1, &["tallyflow: cannot replay", "/nowhere/x.ndjson"]),
        (&["replay", folder], 1, &["tallyflow: cannot replay", "folder"]),
        (&["replay", &bad], 1, &["tallyflow: cannot replay", "bad.ndjson.zst"]),
        (&["replay", "--catalog", "nothing", "/dev/null"], 1, &["tallyflow: cannot load catalogue nothing"]),
        (&["demo", "--listen", &address], 1, &["tallyflow: cannot listen on", "address in use", "--listen"]),
        (&["explain", "no_such_view"], 1, &["tallyflow: cannot explain 'no_such_view'"]),
        (&["explain", "SELECT\n  sum(x FROM customers"], 1, &["line 2"]),
        (&["check", "--data", folder], 1, &["there is no data in it"]),
        (&["run", "--config", "/nowhere/tallyflow.toml"], 1, &["cannot read config /nowhere/tallyflow.toml"]),
    ];
    for (args, code, parts) in cases {
        let (found, out, err) = run(args);
        assert_eq!(found, *code, "{args:?}: {out}{err}");
        for part in *parts {
            assert!(err.contains(part), "{args:?}: {part:?} is not in {err:?}");
        }
    }
}

#[test]
fn explain_shows_every_stage() {
    let (code, out, err) = run(&["explain", "--catalog", "retail", "revenue_by_month"]);
    assert_eq!(code, 0, "{err}");
    for part in ["SQL\n", "Logical plan\n", "Plan\n", "Operators\n", "Aggregate"] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
}

#[test]
fn a_replay_says_what_became_of_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson");
    let (first, second) = (customer(1), customer(2));
    std::fs::write(&file, format!("{first}\n{second}\n{first}\n{{\"broken\n\n{second}")).unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    let args =
        ["replay", file.to_str().unwrap(), "--data", data.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let (code, text, err) = run(&args);
    assert_eq!(code, 0, "{err}");
    let figure = |name: &str, text: &str| -> String {
        let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().next_back().unwrap().to_owned()
    };
    let figures =
        |text: &str| ["events read", "accepted", "duplicates", "rejects"].map(|name| figure(name, text));
    assert_eq!(figures(&text), ["5", "2", "2", "1"], "{text}");
    assert!(std::fs::read_dir(&out).unwrap().count() > 0);
    let (code, text, _) = run(&args);
    assert_eq!((code, figures(&text)), (0, ["5", "2", "6", "2"].map(String::from)), "{text}");
    let (code, text, err) = run(&["check", "--data", data.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}{err}");
    assert!(text.contains("no difference"), "{text}");
}

#[test]
fn a_second_process_is_refused_with_the_pid_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let data = folder.path().to_str().unwrap();
    let (code, _, err) = run(&["run", "--catalog", "core", "--data", data, "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 1);
    assert!(err.contains(&format!("process {} holds it", server.child.id())), "{err}");
}

#[test]
fn acknowledged_events_are_read_again_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let (status, answer) = server.request("POST", "/api/v1/queries", "application/sql", DECLARE);
    assert_eq!(status, 201, "{answer}");
    let mut last = String::new();
    for number in 0..20 {
        let (status, answer) = server.post_event(&customer(number));
        assert_eq!(status, 202, "{answer}");
        last = at_least(&answer);
    }
    let (status, answer) = server.get(&format!("/api/v1/views/signup_count?{last}"));
    assert_eq!(status, 200, "{answer}");
    server.signal("-KILL");
    let mut server = Server::start(folder.path());
    let (status, answer) = server.get(&format!("/api/v1/views/signup_count?{last}&wait=20s"));
    assert_eq!(status, 200, "{answer}");
    let value: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(value["rows"][0]["n"], 20, "{answer}");
    assert_eq!(server.signal("-TERM"), 0);
}

#[test]
fn a_full_disk_refuses_events_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let read = |answer: &str| server.get(&format!("/api/v1/views/customers?{}&wait=10s", at_least(answer)));
    let (status, answer) = server.post_event(&customer(1));
    assert_eq!((status, read(&answer).0), (202, 200), "{answer}");
    server.limit_files("100:");
    let (status, answer) = server.post_event(&customer(2));
    assert_eq!(status, 503, "{answer}");
    // No tick can be bound either, within the second after which one is made at the latest; reads go on.
    while server.get("/readyz").0 == 200 {
        assert_eq!(server.get("/api/v1/views/customers/1").0, 200);
    }
    let (_, why) = server.get("/readyz");
    assert!(why.contains("cannot append to bindings"), "{why}");
    server.limit_files("unlimited:");
    let (status, answer) = server.post_event(&customer(3));
    assert_eq!(status, 202, "{answer}");
    let (status, rows) = read(&answer);
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    assert_eq!((status, rows["rows"].as_array().unwrap().len()), (200, 2), "{rows}");
}

#[test]
fn a_running_process_is_checked_by_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    assert_eq!(server.request("POST", "/api/v1/queries", "application/sql", DECLARE).0, 201);
    let mut last = String::new();
    for number in 0..10 {
        last = at_least(&server.post_event(&customer(number)).1);
    }
    assert_eq!(server.get(&format!("/api/v1/views/signup_count?{last}")).0, 200);
    let (code, out, err) = run(&["check", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    // The views of the catalogue, and the one declared now; ten customers and one count.
    assert!(out.contains("8 views, 11 rows") && out.contains("no difference"), "{out}");
}

#[test]
fn wrong_events_are_refused_or_kept_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (status, answer) = server.post_event("{\"specversion\":\"1.0\"");
    assert!(status == 400 && answer.contains("json"), "{status} {answer}");
    let (status, answer) = server.post_event(&customer(1).replace("\"source\":\"/test\",", ""));
    assert!(status == 400 && answer.contains("source"), "{status} {answer}");
    let future = customer(2).replace("2025-01-01", "2100-01-01");
    let other = customer(3).replace("2025-01-01", "2025-01-02");
    let mut last = String::new();
    for event in [customer(3), other, future, customer(4).replace("customer.created", "unknown")] {
        let (status, answer) = server.post_event(&event);
        assert_eq!(status, 202, "{answer}");
        last = at_least(&answer);
        // Read on before the next: which of two events of one id counts is the order of the log.
        let (status, answer) = server.get(&format!("/api/v1/views/customers?{last}&wait=10s"));
        assert_eq!(status, 200, "{answer}");
    }
    assert!(!last.is_empty());
    let (status, answer) = server.get("/api/v1/quarantine");
    assert_eq!(status, 200);
    assert!(answer.contains("\"conflict\"") && answer.contains("\"future\""), "{answer}");
    let (_, metrics) = server.get("/metrics");
    assert!(
        metrics.contains("tallyflow_unmatched_total{type=\"com.example.bss.unknown.v1\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("tallyflow_events_total{outcome=\"quarantined\"} 2"), "{metrics}");
}

#[test]
fn wrong_sql_is_refused_and_a_used_view_stays() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let declare = |sql: &str| server.request("POST", "/api/v1/queries", "application/sql", sql);
    assert_eq!(declare(DECLARE).0, 201);
    let (status, answer) = declare("CREATE MATERIALIZED VIEW x AS\nSELEC 1");
    assert!(status == 400 && answer.contains("\"line\":2"), "{status} {answer}");
    let twice = "CREATE MATERIALIZED VIEW twice AS SELECT n * 2 AS n FROM signup_count";
    assert_eq!(declare(twice).0, 201);
    let (status, answer) = server.request("DELETE", "/api/v1/queries/signup_count", "text/plain", "");
    assert!(status == 409 && answer.contains("twice"), "{status} {answer}");
    assert_eq!(server.request("DELETE", "/api/v1/queries/twice", "text/plain", "").0, 204);
    assert_eq!(server.get("/api/v1/views/twice").0, 404);
}

#[test]
fn a_failing_expression_harms_only_its_rows_and_goes_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let sql = "CREATE EXTERNAL TABLE parts (id TEXT NOT NULL, n BIGINT, version BIGINT) STORED AS CLOUDEVENTS LOCATION 'part.*' \
               OPTIONS ('mode' 'latest', 'key' 'id', 'version' 'version'); \
               CREATE MATERIALIZED VIEW shares AS SELECT id, 100 / n AS share FROM parts";
    let (status, answer) = server.request("POST", "/api/v1/queries", "application/sql", sql);
    assert_eq!(status, 201, "{answer}");
    let part = |id: &str, n: i64, version: i64| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}-{version}\",\"source\":\"/p\",\"type\":\"part.set\",\
             \"data\":{{\"id\":\"{id}\",\"n\":{n},\"version\":{version}}}}}"
        )
    };
    let seen = |event: String| {
        let (status, answer) = server.post_event(&event);
        assert_eq!(status, 202, "{answer}");
        let (status, rows) = server.get(&format!("/api/v1/views/shares?{}&wait=10s", at_least(&answer)));
        assert_eq!(status, 200, "{rows}");
        let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
        let (_, errors) = server.get("/api/v1/views/shares/errors");
        (rows["rows"].as_array().unwrap().len(), errors.to_lowercase().contains("zero"))
    };
    assert_eq!(seen(part("a", 4, 1)), (1, false));
    assert_eq!(seen(part("b", 0, 1)), (1, true));
    assert_eq!(seen(part("c", 5, 1)), (2, true));
    assert_eq!(seen(part("b", 2, 2)), (3, false));
}

#[test]
fn lines_that_nobody_takes_end_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events.ndjson");
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for args in [["generate", "--sf", "0.01", "--out"].as_slice(), &["replay", "--catalog", "core"]] {
        let status = tallyflow(args).arg(&events).stdout(full()).stderr(full()).status().unwrap();
        assert!(status.success(), "{args:?}: {status}");
    }
}

#[test]
fn a_demo_runs_for_as_long_as_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let demo = ["demo", "--for", "2s", "--rate", "500", "--listen", "127.0.0.1:0", "--data", data];
    let (code, out, err) = run(&demo);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("listening on http://127.0.0.1:"), "{out}");
    let closing = out.lines().last().unwrap();
    assert!(closing.contains("events in") && closing.contains("latency p50"), "{out}");
    // What it took in is there again, and goes on.
    let (code, out, err) = run(&demo);
    assert_eq!(code, 0, "{err}");
    assert!(out.lines().last().unwrap().contains("events in"), "{out}");
    let (code, out, err) = run(&["check", "--data", data]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn what_stands_under_a_null_is_not_computed_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let table = "CREATE EXTERNAL TABLE t (k TEXT NOT NULL, ts TIMESTAMP, v BIGINT) STORED AS CLOUDEVENTS LOCATION 't' \
                 OPTIONS ('mode' 'latest', 'key' 'k', 'version' 'v', 'column.v' 'entityversion')";
    let view = "CREATE MATERIALIZED VIEW x AS SELECT k, date_trunc('minute', ts) AS minute FROM \
                (SELECT k, ts, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS n FROM t) AS q WHERE n <= 2";
    let event = |k: u32, ts: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{k}\",\"source\":\"/s\",\"type\":\"t\",\"entityversion\":1,\
             \"data\":{{\"k\":\"{k}\",\"ts\":{ts}}}}}\n"
        )
    };
    std::fs::create_dir_all(path("cat/tables")).unwrap();
    std::fs::create_dir_all(path("cat/views")).unwrap();
    std::fs::write(path("cat/tables/t.sql"), table).unwrap();
    std::fs::write(path("cat/views/x.sql"), view).unwrap();
    std::fs::write(path("e.ndjson"), event(0, "null") + &event(1, "\"2024-02-29T10:14:59Z\"")).unwrap();
    let (code, out, err) =
        run(&["replay", &path("e.ndjson"), "--catalog", &path("cat"), "--out", &path("out")]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(std::fs::read_to_string(path("out/x.csv")).unwrap(), "k,minute\n0,\n1,2024-02-29 10:14:00\n");
}
