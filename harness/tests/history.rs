//! `tallyflow backfill` and `tallyflow quarantine` against the real process: through kills, and in the words that users see.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A serving process. It is killed when it is dropped.
struct Server {
    child: Child,
    address: String,
    data: PathBuf,
}

impl Server {
    fn start(data: &Path) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
        command
            .args(["run", "--catalog", "core", "--listen", "127.0.0.1:0", "--workers", "1", "--data"])
            .arg(data);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line =
            lines.find(|line| line.as_ref().unwrap().contains("listening on http://")).unwrap().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let address = line.split("http://").nth(1).unwrap().to_owned();
        Server { child, address, data: data.to_owned() }
    }

    /// Code, stdout, stderr of a command about this process.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
        let Output { status, stdout, stderr } =
            command.args(args).arg("--data").arg(&self.data).output().unwrap();
        (status.code().unwrap_or(-1), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    fn well(&self, args: &[&str]) -> String {
        let (code, out, err) = self.run(args);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out
    }

    fn ask(&self, method: &str, path: &str, media_type: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// The first cell of a SELECT.
    fn number(&self, sql: &str) -> String {
        let (status, answer) = self.ask("POST", "/api/v1/sql", "application/sql", sql);
        assert_eq!(status, 200, "{answer}");
        answer
    }

    fn kill(mut self) -> PathBuf {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.data.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn file(path: &Path, events: &[bytes::Bytes]) {
    let text: Vec<u8> = events.iter().flat_map(|event| [event, &b"\n"[..]].concat()).collect();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_killed_process_goes_on_where_it_was_and_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("history.ndjson");
    let events = drive::workload(21, 60_000);
    file(&source, &events);
    let mut server = Server::start(&folder.path().join("data"));
    let out = server.well(&["backfill", source.to_str().unwrap(), "--detach"]);
    assert!(out.contains("backfill 1 waiting"), "{out}");
    let mut kills = 0;
    loop {
        let (_, job) = server.ask("GET", "/api/v1/backfills/1", "text/plain", "");
        let job: serde_json::Value = serde_json::from_str(&job).unwrap();
        assert_ne!(job["state"], "failed", "{job}");
        let read = job["events_read"].as_u64().unwrap();
        if job["state"] == "done" {
            break;
        }
        if kills < 3 && read > kills * 10_000 + 2_000 {
            kills += 1;
            server = Server::start(&server.kill());
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(kills > 0);
    let out = server.well(&["backfill", "--follow", "1"]);
    assert!(out.contains("backfill 1 done: 60,000 of 60,000 events read"), "{out}");
    let out = server.well(&["check"]);
    assert!(out.contains("no difference"), "{out}");
    let finished = drive::replay(harness::data::Data::temporary(Some("core")).unwrap(), &events, 1, 8_192);
    let read = finished.shared.memory.read();
    for kept in read.views() {
        let name = kept.shape().view().name.to_string();
        let found = server.number(&format!("SELECT count(*) AS n FROM {name}"));
        assert!(found.contains(&kept.rows().totals().rows.to_string()), "{name}: {found}");
    }
}

#[test]
fn a_user_sees_what_a_backfill_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let server = Server::start(&folder.path().join("data"));
    let events = drive::workload(22, 3_000);
    file(Path::new(&path("a.ndjson")), &events);
    let out = server.well(&["backfill", &path("a.ndjson"), "--dry-run"]);
    assert!(out.contains("dry run: nothing was changed") && out.contains("customers: "), "{out}");
    let out = server.well(&["backfill", &path("a.ndjson")]);
    assert!(out.contains("backfill 2 done: 3,000 of 3,000 events read"), "{out}");
    let out = server.well(&["backfill", &path("a.ndjson")]);
    assert!(out.contains(" 0 accepted"), "{out}");
    let out = server.well(&["backfill", "--list"]);
    assert_eq!(out.lines().count(), 3, "{out}");
    std::fs::write(path("b.csv"), "x,y\n").unwrap();
    for (args, part) in [
        (vec!["backfill".to_owned(), path("none.ndjson")], "No such file"),
        (vec!["backfill".to_owned(), path("b.csv")], "no file of events"),
        (vec!["backfill".to_owned(), "--pause".into(), "9".into()], "no backfill 9"),
        (vec!["backfill".to_owned(), "--cancel".into(), "2".into()], "is over"),
        (vec!["backfill".to_owned(), "--topic".into(), "t".into()], "no Kafka"),
    ] {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let (code, out, err) = server.run(&args);
        assert!(code == 1 && err.contains(part), "{args:?}: {code} {out}{err}");
    }
    let (code, _, err) = server.run(&["backfill"]);
    assert!(code == 2 && err.contains("FILE"), "{err}");
    let data = server.kill();
    let output = Command::new(env!("CARGO_BIN_EXE_tallyflow"))
        .args(["backfill", "--list", "--data"])
        .arg(&data)
        .output();
    let err = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(err.contains("tallyflow run"), "{err}");
}

#[test]
fn a_user_repairs_what_is_in_quarantine() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"));
    let customer = |id: &str, created: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/test\",\"type\":\"com.example.bss.customer.created.v1\",\
             \"time\":\"2025-01-01T00:00:00Z\",\"data\":{{\"customerId\":\"{id}\",\"createdAt\":\"{created}\"}}}}"
        )
    };
    for id in ["a", "b", "c"] {
        let (status, answer) =
            server.ask("POST", "/api/v1/events", "application/cloudevents+json", &customer(id, "long ago"));
        assert_eq!(status, 202, "{answer}");
    }
    // The answer of a replay comes when all before it was read.
    while server.well(&["quarantine", "list"]).lines().count() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let out = server.well(&["quarantine", "show", "1"]);
    assert!(out.contains("column") && out.contains(&customer("a", "long ago")), "{out}");
    let (code, out, err) = server.run(&["quarantine", "replay", "1"]);
    assert!(code == 1 && out.contains("failed_again") && err.contains("still cannot be taken"), "{out}{err}");
    let repaired = folder.path().join("repaired.json");
    std::fs::write(&repaired, customer("a", "2024-12-31T00:00:00Z")).unwrap();
    let out = server.well(&["quarantine", "replay", "1", "--event", repaired.to_str().unwrap()]);
    assert!(out.contains("replayed"), "{out}");
    assert_eq!(server.ask("GET", "/api/v1/views/customers/a", "text/plain", "").0, 200);
    // An editor that writes a day in place of the words.
    let mut edit = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
    edit.args(["quarantine", "edit", "2", "--data"]).arg(&server.data).env_remove("VISUAL");
    let edited = edit.env("EDITOR", "sed -i 's/long ago/2024-12-30T00:00:00Z/'").output().unwrap();
    assert!(String::from_utf8(edited.stdout).unwrap().contains("replayed"));
    let out = server.well(&["quarantine", "discard", "3"]);
    assert!(out.contains("discarded"), "{out}");
    let (code, _, err) = server.run(&["quarantine", "discard", "3"]);
    assert!(code == 1 && err.contains("discarded already"), "{err}");
    let (code, _, err) = server.run(&["quarantine", "show", "4"]);
    assert!(code == 1 && err.contains("no record 4"), "{err}");
    assert_eq!(server.well(&["quarantine", "list", "--state", "pending"]), "");
    let answer = server.number("SELECT state, count(*) AS n FROM quarantine GROUP BY state ORDER BY state");
    assert!(answer.contains("discarded") && answer.contains("replayed"), "{answer}");
    let wrong = server.ask("POST", "/api/v1/quarantine/3/replay", "application/cloudevents+json", "{}");
    assert_eq!(wrong.0, 400, "{}", wrong.1);
    let forged =
        customer("f", "x").replace("com.example.bss.customer.created.v1", "dev.tallyflow.quarantine.discard");
    assert_eq!(server.ask("POST", "/api/v1/events", "application/cloudevents+json", &forged).0, 400);
}
