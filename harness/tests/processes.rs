//! More than one process: the answers are those of one; where a process is lost all stop, and a restart gives the same again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;
#[path = "support/hosts.rs"]
mod hosts;

use drive::{append, check_now, rows, workload};
use harness::cluster::follow::follow;
use harness::cluster::greet::Terms;
use harness::cluster::hosts::Hosts;
use harness::cluster::lead::Lead;
use harness::data::Data;
use harness::pipeline::{Pipeline, STATE_BYTES_MAX, Setting};
use harness::ticks::End;
use hosts::hostfile;
use sources::Payload;
use sources::decode::verdict::{Act, Verdict};
use sources::generate::{Generator, GeneratorConfig, Shares};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bounds hangs only.
const WAIT: Duration = Duration::from_secs(180);

/// A pipeline whose workers are in this process, or also in others: here threads, which share nothing with it but connections.
struct World {
    pipeline: Pipeline,
    followers: Vec<JoinHandle<Result<(), harness::Error>>>,
}

impl World {
    fn open(data: &Path, processes: usize, workers: usize, partitions: u32) -> World {
        World::start(data, processes, Setting { partitions, ..Setting::serve(workers, 100) })
    }

    fn start(data: &Path, processes: usize, mut setting: Setting) -> World {
        let workers = setting.workers;
        let mut followers = vec![];
        if processes > 1 {
            let folder = tempfile::tempdir().unwrap();
            let file = hostfile(folder.path(), processes);
            let hosts = |process| Hosts::read(&file, processes, process).unwrap();
            for hosts in (1..processes).map(hosts) {
                followers.push(std::thread::spawn(move || follow(&hosts)));
            }
            let terms = Terms { workers, state_bytes_max: STATE_BYTES_MAX };
            setting.others = Some(Lead::gather(&hosts(0), terms).unwrap());
        }
        let pipeline = Pipeline::start(Data::open(data, Some("core")).unwrap(), &setting).unwrap();
        World { pipeline, followers }
    }

    fn run(&self, sql: &str) {
        let (session, began) = (self.pipeline.session(), Instant::now());
        while let Err(why) = session.execute(sql) {
            let waits = ["has no rows to read yet", "is still being read"];
            let waits = waits.iter().any(|wait| why.to_string().contains(wait));
            assert!(waits && began.elapsed() < WAIT, "{sql}: {why}");
        }
    }

    /// All rows of all views once they are complete.
    fn rows(&self, views: &[&str]) -> BTreeMap<String, Vec<String>> {
        self.pipeline.settle().unwrap();
        views.iter().for_each(|view| self.run(&format!("SELECT count(*) FROM {view}")));
        rows(&self.pipeline.memory().read())
    }

    fn close(self) {
        self.pipeline.finish(End::Now).unwrap();
        self.followers.into_iter().for_each(|follower| follower.join().unwrap().unwrap());
    }
}

const DECLARED: [&str; 9] = [
    "CREATE TABLE edges (a INT, b INT, PRIMARY KEY (a, b))",
    "CREATE MATERIALIZED VIEW reach AS WITH RECURSIVE r(a, b) AS (SELECT a, b FROM edges UNION SELECT r.a, e.b FROM r JOIN edges AS e \
     ON r.b = e.a) SELECT a, b FROM r",
    "CREATE MATERIALIZED VIEW ranked AS SELECT a, b, row_number() OVER (PARTITION BY a ORDER BY b) AS n, \
     sum(b) OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM edges",
    "CREATE MATERIALIZED VIEW largest AS SELECT a, b FROM edges ORDER BY b DESC, a LIMIT 7",
    "CREATE FUNCTION twice(x BIGINT) RETURNS BIGINT LANGUAGE SQL RETURN x * 2",
    "CREATE MATERIALIZED VIEW joined AS SELECT l.a, count(r.b) AS n, twice(max(r.b)) AS m, string_agg(r.b::TEXT, ',' ORDER BY r.b) AS t \
     FROM edges AS l LEFT JOIN edges AS r ON l.b = r.a AND r.b > 3 GROUP BY l.a",
    "CREATE MATERIALIZED VIEW outside AS SELECT b FROM edges EXCEPT SELECT a FROM edges",
    "CREATE MATERIALIZED VIEW gone AS SELECT DISTINCT a FROM edges",
    "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS n, avg(b) AS mean FROM edges",
];

const CHANGED: [&str; 6] = [
    "DROP MATERIALIZED VIEW gone",
    "DELETE FROM edges WHERE b % 5 = 1",
    "UPDATE edges SET b = b + 100 WHERE a = 4",
    "DROP FUNCTION twice",
    "CREATE OR REPLACE MATERIALIZED VIEW total AS SELECT count(DISTINCT a) AS n, min(b) AS least FROM edges",
    "INSERT INTO edges VALUES (500, 501), (501, 500)",
];

const VIEWS: [&str; 8] =
    ["reach", "ranked", "largest", "joined", "outside", "total", "customers", "payments"];

#[test]
fn several_processes_give_the_answers_of_one_also_after_a_restart() {
    let events = workload(11, 600);
    let mut wanted = None;
    for (processes, workers, partitions, (again, keeps)) in
        [(1, 2, 1, (3, false)), (2, 2, 5, (2, true)), (3, 1, 2, (1, false))]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let world = World::open(&path, processes, workers, partitions);
        append(&world.pipeline, &events[..300]);
        DECLARED.iter().for_each(|sql| world.run(sql));
        let edges: BTreeSet<(u32, u32)> = (0..200).map(|i| (i % 23, i * 7 % 31)).collect();
        let edges: Vec<String> = edges.iter().map(|edge| format!("{edge:?}")).collect();
        world.run(&format!("INSERT INTO edges VALUES {}", edges.join(", ")));
        append(&world.pipeline, &events[300..]);
        let before = world.rows(&VIEWS);
        CHANGED.iter().for_each(|sql| world.run(sql));
        let after = world.rows(&VIEWS);
        VIEWS[..6].iter().for_each(|view| assert!(!after[*view].is_empty(), "{view}"));
        assert_ne!(before, after);
        let report = check_now(&world.pipeline);
        assert!(report.differences.is_empty() && report.failed.is_empty(), "{:?}", report.failed);
        world.close();
        let wanted = wanted.get_or_insert((before.clone(), after.clone()));
        assert_eq!((&before, &after), (&wanted.0, &wanted.1), "{processes} processes");
        // With the snapshot that the clean end left, or from the log alone; by as many processes, or by another number.
        if !keeps {
            std::fs::remove_dir_all(path.join("snapshots")).unwrap();
        }
        let world = World::open(&path, again, workers, partitions);
        assert_eq!(world.rows(&VIEWS), wanted.1, "{again} processes after {processes}");
        world.close();
    }
}

/// Events that the leader must know whole: from the future, contradicting one of the same tick, of an earlier tick, of another
/// partition; a rejected one that is decided about, and one that is empty.
fn troublesome(round: usize) -> Vec<Payload> {
    let event = |id: String, subject: usize, time: &str, n: usize| {
        let text = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/trouble","type":"com.example.trouble","subject":"{subject}",
            "time":"{time}","data":{{"n":{n}}}}}"#
        );
        Payload::Structured(text.into())
    };
    let usual = "2025-06-15T15:00:00Z";
    let mut events = vec![];
    for i in 0..12 {
        events.push(event(format!("ahead-{round}-{i}"), i, "2099-01-01T00:00:00Z", i));
        events.push(event(format!("twice-{round}-{i}"), i, usual, 1));
        events.push(event(format!("twice-{round}-{i}"), i, usual, 2));
        events.push(event(format!("other-{round}-{i}"), i, usual, 1));
        events.push(event(format!("other-{round}-{i}"), i + 1, usual, 2));
        events.push(event(format!("again-{i}"), i, usual, round));
        let attribute = |name: &str, value: String| (name.to_owned(), value);
        let attributes = vec![
            attribute("specversion", "1.0".into()),
            attribute("id", format!("binary-{round}-{i}")),
            attribute("source", "/trouble".into()),
            attribute("type", "com.example.trouble".into()),
        ];
        events.push(Payload::Binary { attributes, body: format!("{i}").into_bytes().into() });
    }
    events.push(Payload::Structured("".into()));
    events.push(Payload::Structured("{]".into()));
    events
}

/// Views differ in few rows, if at all: those are told.
fn assert_same(rows: &BTreeMap<String, Vec<String>>, wanted: &BTreeMap<String, Vec<String>>, who: &str) {
    assert_eq!(rows.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{who}");
    for (view, rows) in rows {
        let wanted = &wanted[view];
        let other = |a: &[String], b: &[String]| a.iter().find(|row| !b.contains(row)).cloned();
        let differs = (other(rows, wanted), other(wanted, rows));
        assert!(rows == wanted, "{view} with {who}: {} rows, not {}: {differs:?}", rows.len(), wanted.len());
    }
}

/// Those of the views, and what the process says of the records that do not count.
const SEEN: [&str; 5] = ["customers", "orders", "troubles", "quarantine", "late_events"];

/// Counts each event once, and again where one that does not count comes through.
const TROUBLES: [&str; 2] = [
    "CREATE EXTERNAL TABLE trouble (id TEXT, n BIGINT) STORED AS CLOUDEVENTS LOCATION 'com.example.trouble' \
     OPTIONS ('mode' 'append', 'column.id' 'id', 'column.n' 'data.n')",
    "CREATE MATERIALIZED VIEW troubles AS SELECT id, count(*) AS times, sum(n) AS total FROM trouble GROUP BY id",
];

#[test]
fn each_process_reads_its_partitions_and_the_ticks_of_one_come_out_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let off = |workers| Setting {
        partitions: 5,
        snapshots: harness::snapshot::Setting::off(),
        ..Setting::serve(workers, 100)
    };
    let counts = |world: &World| {
        let intake = world.pipeline.shared().intake.lock().unwrap();
        let late = intake.quarantine(0, 10_000).map(|(id, entry)| format!("{id} {entry:?}"));
        (intake.counts().clone(), intake.remembered(), late.collect::<Vec<_>>())
    };
    // What others than process 0 hold of the log.
    let elsewhere = |world: &World, processes: u32| -> u64 {
        let ends = world.pipeline.log().ends();
        ends.iter().filter(|end| end.partition % processes > 0).map(|end| end.offset).sum()
    };
    let read = |world: &World| -> u64 {
        let parts = world.pipeline.shared().parts.clone();
        parts.map_or(0, |parts| parts.records().iter().map(|(_, records)| records).sum())
    };
    let events = workload(23, 700);
    let world = World::start(&path, 1, off(2));
    for (round, chunk) in events[..400].chunks(133).enumerate() {
        append(&world.pipeline, chunk);
        world.pipeline.log().append_wait(troublesome(round)).unwrap();
        world.pipeline.settle().unwrap();
        if round == 1 {
            TROUBLES.iter().for_each(|sql| world.run(sql));
        }
    }
    assert!(world.pipeline.log().ends().iter().all(|end| end.offset > 30));
    let (rows, counted) = (world.rows(&SEEN), counts(&world));
    SEEN.iter().for_each(|view| assert!(!rows[*view].is_empty(), "{view} of {:?}", rows.keys()));
    world.close();
    // From the log alone, each tick again as it was bound; rows stay in their processes.
    let world = World::start(&path, 2, off(1));
    assert_same(&world.rows(&SEEN), &rows, "2 processes");
    assert_eq!(counts(&world), counted);
    assert_eq!(read(&world), elsewhere(&world, 2));
    world.close();
    // The same with rows that go to the leader for its snapshot, and new ticks.
    let world = World::open(&path, 3, 2, 5);
    assert_same(&world.rows(&SEEN), &rows, "3 processes");
    append(&world.pipeline, &events[400..]);
    world.pipeline.log().append_wait(troublesome(7)).unwrap();
    world.pipeline.settle().unwrap();
    let (position, rule) = {
        let intake = world.pipeline.shared().intake.lock().unwrap();
        let mut open = intake.quarantine(0, 10_000).map(|(_, entry)| entry.clone());
        let rejected = open.find(|entry| &*entry.rule == "json" && entry.position.partition % 3 > 0).unwrap();
        (rejected.position, rejected.rule)
    };
    let repaired = Payload::Structured(
        r#"{"specversion":"1.0","id":"repaired","source":"/trouble","type":"com.example.trouble"}"#.into(),
    );
    for (id, act) in [("1", Act::Replay(repaired)), ("2", Act::Discard)] {
        let verdict = Verdict { target: position.clone(), act };
        world.pipeline.log().append_wait(vec![verdict.write(id)]).unwrap();
    }
    let (rows, counted) = (world.rows(&SEEN), counts(&world));
    assert_eq!(counted.0.verdicts, 1, "{rule}: the second finds it decided");
    assert_eq!(read(&world), elsewhere(&world, 3));
    let report = check_now(&world.pipeline);
    assert!(report.differences.is_empty() && report.failed.is_empty(), "{:?}", report.failed);
    world.close();
    // One process with the snapshot of three; then three again without it, of more workers.
    for (processes, workers) in [(1, 1), (3, 1)] {
        let world = World::start(&path, processes, Setting::serve(workers, 100));
        assert_same(&world.rows(&SEEN), &rows, &format!("{processes} processes again"));
        assert_eq!(counts(&world), counted);
        world.close();
        std::fs::remove_dir_all(path.join("snapshots")).unwrap();
    }
}

/// A process of the real binary. It is killed when it is dropped.
struct Process {
    child: Child,
    lines: Vec<String>,
    output: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Process {
    fn start(hosts: &Path, process: usize, data: &Path) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
        command.args(["run", "--processes", "2", "--process", &process.to_string(), "--hostfile"]).arg(hosts);
        if process == 0 {
            command
                .args(["--workers", "1", "--catalog", "core", "--listen", "127.0.0.1:0"])
                .args(["--partitions", "4", "--data"])
                .arg(data);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Process { child, lines: vec![], output }
    }

    /// The line that says something.
    fn says(&mut self, text: &str) -> String {
        loop {
            let line =
                self.output.next().unwrap_or_else(|| panic!("it ended without {text:?}: {:?}", self.lines));
            self.lines.push(line.unwrap());
            if let Some(line) = self.lines.last().filter(|line| line.contains(text)) {
                return line.clone();
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Its exit code, and what it said of its end.
    fn end(mut self) -> (Option<i32>, String) {
        let began = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if began.elapsed() > WAIT => panic!("it does not end: {:?}", self.lines),
                None => std::thread::park_timeout(Duration::from_millis(20)),
            }
        };
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Starts both, and says where the leader answers.
fn pair(hosts: &Path, data: &Path) -> (Process, Process, String) {
    let (mut follower, mut leader) = (Process::start(hosts, 1, data), Process::start(hosts, 0, data));
    let line = leader.says("listening on http://");
    follower.says("process 1 of 2 follows");
    let address = line.split("http://").nth(1).unwrap().to_owned();
    leader.says("ready");
    (leader, follower, address)
}

fn post(address: &str, events: &[Payload]) {
    let bodies = events.iter().map(|event| match event {
        Payload::Structured(bytes) => std::str::from_utf8(bytes).unwrap(),
        Payload::Binary { .. } => panic!("the generator writes structured events"),
    });
    let body = format!("[{}]", bodies.collect::<Vec<_>>().join(","));
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/cloudevents-batch+json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
}

fn check(data: &Path) {
    let checked = Command::new(env!("CARGO_BIN_EXE_tallyflow")).args(["check", "--data"]).arg(data).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{}{}", text(&checked.stdout), text(&checked.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_process_that_is_killed_stops_all_and_a_restart_is_exact() {
    let folder = tempfile::tempdir().unwrap();
    let (data, hosts) = (folder.path().join("data"), hostfile(folder.path(), 2));
    let shares = Shares { late: 0.05, duplicate: 0.05, corrected: 0.05, malformed: 0.0 };
    let config = GeneratorConfig { seed: 5, start_ms: 1_750_000_000_000, rate: 500.0, customers: 50, shares };
    let events: Vec<Payload> = Generator::new(config).take(600).map(|event| event.payload).collect();
    let (leader, follower, address) = pair(&hosts, &data);
    post(&address, &events[..200]);
    follower.signal("-KILL");
    drop(follower);
    let (code, said) = leader.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("process 1 at 127.0.0.1:") && said.contains("was lost"), "{said}");
    assert!(!said.contains("this is a bug"), "{said}");
    // The leader the same.
    let (leader, follower, address) = pair(&hosts, &data);
    post(&address, &events[200..400]);
    leader.signal("-KILL");
    drop(leader);
    let (code, said) = follower.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("process 0 at 127.0.0.1:") && said.contains("was lost"), "{said}");
    // Asked to stop, by whichever of them, all stop in order.
    let (leader, follower, address) = pair(&hosts, &data);
    post(&address, &events[400..]);
    follower.signal("-TERM");
    for (code, said) in [leader.end(), follower.end()] {
        assert_eq!(code, Some(0), "{said}");
    }
    check(&data);
}

#[test]
fn a_wrong_hostfile_or_number_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = hostfile(folder.path(), 2);
    let run = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
        let output = command.arg("run").args(args).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let file = hosts.to_str().unwrap();
    for (args, said) in [
        (
            vec!["--processes", "3", "--process", "0", "--hostfile", file],
            "has 2 addresses, and --processes says 3",
        ),
        (
            vec!["--processes", "2", "--process", "2", "--hostfile", file],
            "--process 2 is none of 2 processes",
        ),
        (vec!["--processes", "2", "--hostfile", file], "give --process 0, 1"),
        (vec!["--processes", "2", "--process", "1"], "--hostfile"),
    ] {
        let (code, why) = run(&args);
        assert_eq!(code, Some(2), "{why}");
        assert!(why.contains(said), "{why}");
    }
    let (code, why) = run(&["--processes", "2", "--process", "1", "--hostfile", "/nowhere/hosts"]);
    assert!(code == Some(1) && why.contains("read hostfile /nowhere/hosts"), "{why}");
    // A leader that waits for one of two refuses one of three, and goes on waiting.
    let leader = Process::start(&hosts, 0, &folder.path().join("data"));
    let three = folder.path().join("three");
    let lines = std::fs::read_to_string(&hosts).unwrap();
    std::fs::write(&three, format!("{lines}127.0.0.1:9\n")).unwrap();
    let refused = ["--processes", "3", "--process", "1", "--hostfile", three.to_str().unwrap()];
    let (code, why) = run(&refused);
    assert!(code == Some(1) && why.contains("started with --processes 3"), "{why}");
    let other = folder.path().join("other");
    let first = lines.lines().next().unwrap();
    std::fs::write(&other, format!("{first}\nlocalhost:{}\n", lines.trim().rsplit(':').next().unwrap()))
        .unwrap();
    let refused = ["--processes", "2", "--process", "1", "--hostfile", other.to_str().unwrap()];
    let (code, why) = run(&refused);
    assert!(code == Some(1) && why.contains("names other addresses"), "{why}");
    let (mut leader, mut follower) = (leader, Process::start(&hosts, 1, &folder.path().join("data")));
    follower.says("process 1 of 2 follows");
    leader.says("ready");
}
