//! From the log to the tables of a PostgreSQL: declared, dropped, compared, mended, and killed at any moment.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;
#[path = "services/postgres.rs"]
mod postgres;

use bytes::Bytes;
use drive::{append, check_now, workload};
use harness::check::remote;
use harness::data::Data;
use harness::outlets::outlet::Outlet;
use harness::outlets::spec::Spec;
use harness::pipeline::{Pipeline, Setting};
use harness::ticks::End;
use postgres::Postgres;
use queries::api::host::Host;
use queries::session::Answer;
use sources::Payload;
use sources::generate::{Generator, GeneratorConfig, Shares};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// What bounds a test that hangs.
const HANG: Duration = Duration::from_secs(300);

/// The first cell of each row.
fn ask(address: &str, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
        tokio::spawn(connection);
        let cell = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
            _ => None,
        };
        Ok(client.simple_query(sql).await?.iter().filter_map(cell).collect())
    })
}

fn server() -> Postgres {
    let server = Postgres::start().unwrap().expect("PostgreSQL is installed");
    for _ in 0..600 {
        if ask(&server.address(), "SELECT 1").is_ok() {
            return server;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the server does not answer");
}

fn spec(server: &Postgres) -> Spec {
    let options = BTreeMap::from([("url".to_owned(), server.address())]);
    Spec { name: "shop".into(), kind: "postgres".into(), views: None, options }
}

/// A pipeline that serves, with a sink of the config.
fn start(path: &Path, sinks: Vec<Spec>) -> Pipeline {
    let setting = Setting { sinks: Some(sinks), ..Setting::serve(2, 500) };
    Pipeline::start(Data::open(path, Some("core")).unwrap(), &setting).unwrap()
}

/// Waits until all that is in the log is in the store.
fn deliver(pipeline: &Pipeline, sink: &str) {
    pipeline.settle().unwrap();
    let time = pipeline.memory().read().time().unwrap();
    let running = pipeline.shared().outlets.get(sink).unwrap();
    let there = |outlet: &Outlet| match outlet.state().0 {
        "running" => outlet.time().is_some_and(|held| held >= time),
        state => state == "stopped",
    };
    let came = running.wait(HANG, there);
    let state = format!("{:?}", running.outlet().state());
    assert!(came && state.contains("running"), "{state}");
}

/// Rows that differ, by view.
fn differing(pipeline: &Pipeline, repair: bool) -> Vec<(String, usize)> {
    let found = pipeline.process().check_sinks(None, repair).unwrap();
    assert!(!found.is_empty());
    let problems: Vec<_> = found.iter().filter_map(|one| one.problem.as_ref()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    let differing = found.iter().filter(|one| !one.differences.is_empty());
    differing.map(|one| (one.view.clone(), one.differences.len())).collect()
}

#[test]
fn tables_follow_the_views_over_restarts_and_are_mended() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let (path, events) = (folder.path().join("data"), workload(11, 1_500));
    let pipeline = start(&path, vec![spec(&server)]);
    append(&pipeline, &events[..700]);
    deliver(&pipeline, "shop");
    assert_eq!(differing(&pipeline, false), []);
    pipeline.finish(End::Now).unwrap();

    // Another life goes on from the store's time: nothing is sent whole.
    let pipeline = start(&path, vec![spec(&server)]);
    append(&pipeline, &events[700..]);
    deliver(&pipeline, "shop");
    let figures = pipeline.shared().outlets.get("shop").unwrap().outlet().figures();
    assert_eq!((figures.whole, figures.moved), (0, 0));
    assert_eq!(differing(&pipeline, false), []);
    assert_eq!(check_now(&pipeline).differences, []);

    // What somebody changed in a table is found, and mended.
    let read = pipeline.memory().read();
    let harmed = read.views().find(|kept| kept.rows().totals().rows > 3).unwrap().shape().view().name.clone();
    ask(&server.address(), &format!("DELETE FROM tallyflow.\"{harmed}\" WHERE ctid IN (SELECT ctid FROM tallyflow.\"{harmed}\" LIMIT 2)")).unwrap();
    assert_eq!(differing(&pipeline, false), [(harmed.to_string(), 2)]);
    differing(&pipeline, true);
    assert_eq!(differing(&pipeline, false), []);
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn sinks_are_declared_and_dropped_by_sql_and_stay_over_restarts() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let path = folder.path().join("data");
    let pipeline = start(&path, vec![]);
    append(&pipeline, &workload(12, 300));
    pipeline.settle().unwrap();
    let session = pipeline.session();
    let view = pipeline.memory().read().views().next().unwrap().shape().view().name.clone();
    let tag = |sql: &str| match session.execute(sql).unwrap().pop().unwrap() {
        Answer::Done { tag } => tag,
        Answer::Rows { rows, .. } => rows.iter().map(|batch| batch.num_rows().to_string()).collect(),
    };
    let secret = folder.path().join("url");
    std::fs::write(&secret, server.address() + "\n").unwrap();
    let create = format!(
        "CREATE SINK one FROM {view} INTO postgres WITH (url = 'file:{}', schema = 'out')",
        secret.display()
    );
    assert_eq!(tag(&create), "CREATE SINK");
    assert_eq!(tag("SHOW SINKS"), "1");
    deliver(&pipeline, "one");
    assert_eq!(differing(&pipeline, false), []);
    let refused = [
        (create.as_str(), "already"),
        ("CREATE SINK x FROM nothing INTO postgres WITH (url = 'host=/nowhere')", "no view"),
        ("CREATE SINK x FROM ALL INTO paper WITH (url = 'x')", "no sink of kind"),
        ("CREATE SINK x FROM ALL INTO postgres WITH (url = 'host=/x', speed = 'fast')", "no option speed"),
        ("DROP SINK x", "no sink"),
    ];
    for (sql, why) in refused {
        let found = session.execute(sql).unwrap_err().to_string();
        assert!(found.contains(why), "{sql}: {found}");
    }
    drop(session);
    pipeline.finish(End::Now).unwrap();
    let pipeline = start(&path, vec![]);
    deliver(&pipeline, "one");
    assert_eq!(pipeline.shared().outlets.get("one").unwrap().outlet().figures().whole, 0);
    pipeline.session().execute("DROP SINK one").unwrap();
    assert!(pipeline.process().sinks().is_empty());
    pipeline.finish(End::Now).unwrap();
    let pipeline = start(&path, vec![]);
    assert!(pipeline.process().sinks().is_empty());
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn a_store_that_is_dead_harms_nobody_and_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let (alive, socket) = (server(), tempfile::tempdir().unwrap());
    let options =
        BTreeMap::from([("url".to_owned(), format!("host={} user=postgres", socket.path().display()))]);
    let dead = Spec { name: "dead".into(), options, ..spec(&alive) };
    let pipeline = start(&folder.path().join("data"), vec![spec(&alive), dead]);
    append(&pipeline, &workload(13, 400));
    deliver(&pipeline, "shop");
    let sinks = pipeline.process().sinks();
    assert_eq!((sinks[0].name.as_str(), sinks[0].state), ("dead", "retrying"));
    assert!(sinks[0].error.as_ref().unwrap().contains("cannot reach the server"));
    pipeline.finish(End::Now).unwrap();
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // `kill` is SIGKILL: nothing can be tidied up.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The process, as a user starts it.
fn process(data: &Path, config: &Path) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
    command.args(["run", "--catalog", "core", "--workers", "2", "--listen", "127.0.0.1:0"]);
    command.arg("--data").arg(data).arg("--config").arg(config).stdout(Stdio::null());
    Process(command.spawn().unwrap())
}

/// Sends events; whether they were acknowledged.
fn send(data: &Path, process: &Process, events: &[Bytes]) -> bool {
    let address = (0..3_000).find_map(|_| {
        let holder = Data::holder(data).unwrap_or(None).filter(|holder| holder.pid == process.0.id());
        std::thread::sleep(Duration::from_millis(20));
        holder.and_then(|holder| holder.address)
    });
    let address = address.expect("the process answers");
    let list: Vec<_> = events.iter().map(|event| String::from_utf8(event.to_vec()).unwrap()).collect();
    let body = format!("[{}]", list.join(","));
    let head = format!(
        "POST /api/v1/events HTTP/1.0\r\nHost: x\r\nContent-Type: application/cloudevents-batch+json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = String::new();
    let talk = |answer: &mut String| {
        let mut stream = TcpStream::connect(&address)?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        stream.read_to_string(answer)
    };
    talk(&mut answer).is_ok() && answer.split(' ').nth(1).is_some_and(|code| code.starts_with('2'))
}

#[test]
fn a_process_killed_at_any_moment_leaves_each_store_whole() {
    let (server, folder) = (server(), tempfile::tempdir().unwrap());
    let (path, config) = (folder.path().join("data"), folder.path().join("tallyflow.toml"));
    std::fs::write(
        &config,
        format!("[[sink]]\nname = \"shop\"\nkind = \"postgres\"\nurl = \"{}\"\n", server.address()),
    )
    .unwrap();
    // A batch with a malformed event is refused as a whole.
    let shares = Shares { late: 0.05, duplicate: 0.05, corrected: 0.05, malformed: 0.0 };
    let config_of =
        GeneratorConfig { seed: 14, start_ms: 1_750_000_000_000, rate: 500.0, customers: 200, shares };
    let payload = |payload| match payload {
        Payload::Structured(bytes) => bytes,
        Payload::Binary { .. } => panic!("the generator writes structured events"),
    };
    let clean: Vec<Bytes> =
        Generator::new(config_of).take(1_000).map(|event| payload(event.payload)).collect();
    let mut rest = clean.chunks(60);
    for life in 0..4 {
        let child = process(&path, &config);
        for _ in 0..3 + life % 2 {
            let Some(chunk) = rest.next() else { break };
            assert!(send(&path, &child, chunk), "events were not acknowledged");
        }
    }
    let pipeline = start(&path, vec![spec(&server)]);
    deliver(&pipeline, "shop");
    let figures = pipeline.shared().outlets.get("shop").unwrap().outlet().figures();
    assert_eq!(differing(&pipeline, false), [], "{figures:?}");
    assert_eq!(check_now(&pipeline).differences, []);
    pipeline.finish(End::Now).unwrap();

    // By the command line, with a process and without.
    let check = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
        command.args(["check", "--sinks", "--data"]).arg(&path).arg("--config").arg(&config).args(more);
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, text) = check(&[]);
    assert_eq!(code, Some(0), "{text}");
    let tables = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'tallyflow' \
                  AND c.relkind = 'r' AND c.relname NOT LIKE 'tf_%' ORDER BY pg_relation_size(c.oid) DESC LIMIT 1";
    let table = ask(&server.address(), tables).unwrap().pop().unwrap();
    let harm = format!(
        "DELETE FROM tallyflow.\"{table}\" WHERE ctid = (SELECT min(ctid) FROM tallyflow.\"{table}\")"
    );
    ask(&server.address(), &harm).unwrap();
    let (code, text) = check(&[]);
    assert!(code == Some(1) && text.contains("missing") && text.contains(&table), "{text}");
    let (code, text) = check(&["--repair"]);
    assert!(code == Some(0) && text.contains("1 repaired"), "{text}");
    let (code, text) = check(&[]);
    assert_eq!(code, Some(0), "{text}");
    let child = process(&path, &config);
    send(&path, &child, &clean[..1]);
    ask(&server.address(), &harm).unwrap();
    let address = Data::holder(&path).unwrap().unwrap().address.unwrap();
    let body = remote::post(&address, "/api/v1/sinks/shop/check").unwrap();
    assert!(body.contains("\"differing\":1"), "{body}");
    let (code, text) = check(&["--repair"]);
    assert!(code == Some(0) && text.contains("1 repaired"), "{text}");
    let (code, text) = check(&[]);
    assert_eq!(code, Some(0), "{text}");
    drop(child);
}
