//! Several processes, each of which reads its own partitions of a topic.
use crate::hosts::hostfile;
use crate::topics::{LONG, SHARED, Topics, sale, send};
use crate::{World, counts, no_difference, rows, settle, wait_until};
use harness::cluster::follow::follow;
use harness::cluster::greet::Terms;
use harness::cluster::hosts::Hosts;
use harness::cluster::lead::Lead;
use harness::pipeline::{Pipeline, STATE_BYTES_MAX};
use harness::snapshot::Setting as Snapshots;
use harness::ticks::End;
use rdkafka::producer::Producer;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// Records, events that count, duplicates, and rejects by rule.
type Counts = (u64, u64, u64, BTreeMap<String, u64>);

/// A pipeline, and followers in threads, which share nothing with it but connections.
struct Among {
    pipeline: Pipeline,
    followers: Vec<JoinHandle<Result<(), harness::Error>>>,
}

impl Among {
    fn start(world: &World, topics: &Topics, processes: usize, snapshots: &Snapshots) -> Among {
        let file = hostfile(world.folder.path(), processes);
        let hosts = |process| Hosts::read(&file, processes, process).unwrap();
        let mut followers = vec![];
        for hosts in (1..processes).map(hosts) {
            followers.push(std::thread::spawn(move || follow(&hosts)));
        }
        let terms = Terms { workers: 1, state_bytes_max: STATE_BYTES_MAX };
        let lead = (processes > 1).then(|| Lead::gather(&hosts(0), terms).unwrap());
        Among { pipeline: world.start_among(topics.config(), lead, snapshots.clone()).unwrap(), followers }
    }

    /// All rows of the views, and what came of the records.
    fn answers(&self) -> (BTreeMap<String, Vec<String>>, Counts) {
        settle(&self.pipeline);
        (rows(&self.pipeline.memory().read()), counts(&self.pipeline))
    }

    /// How many records were read by others than process 0.
    fn elsewhere(&self) -> u64 {
        let parts = self.pipeline.shared().parts.as_ref();
        parts.map_or(0, |parts| parts.records().iter().map(|(_, records)| records).sum())
    }

    fn close(self) {
        self.pipeline.finish(End::Now).unwrap();
        self.followers.into_iter().for_each(|follower| follower.join().unwrap().unwrap());
    }
}

/// Nobody has read for so long that what comes is no backlog any more.
fn idle(pipeline: &Pipeline) {
    settle(pipeline);
    let began = pipeline.visible().now().time;
    wait_until("it idles", || pipeline.visible().now().time > began + 3_000);
}

#[test]
fn a_topic_that_was_empty_for_a_while_is_read_when_something_comes() {
    let topics = Topics::new(&SHARED.url(), 1);
    let world = World::new();
    let pipeline = world.start(&topics).unwrap();
    idle(&pipeline);
    topics.send(0, &[sale(1, 1)]);
    wait_until("it is read", || counts(&pipeline).0 == 1);
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn each_process_reads_its_partitions_of_a_topic_and_the_answers_are_those_of_one() {
    let topics = Topics::new(&SHARED.url(), 2);
    let name = topics.name.as_str();
    let world = World::new();
    let off = Snapshots::off();
    let among = Among::start(&world, &topics, 3, &off);
    idle(&among.pipeline);
    for partition in 0..2 {
        // Each is there twice, in another partition.
        topics.send(partition, &(0..150).map(|n| sale(n, 1)).collect::<Vec<_>>());
    }
    wait_until("all are read", || counts(&among.pipeline).0 == 300);
    // Offsets without a record: aborted ones, and the marks that end transactions.
    let aborted = topics.transaction("aborted");
    (0..50).for_each(|n| send(&aborted, name, 1, &[], Some(sale(n, 1_000).as_bytes())));
    aborted.flush(LONG).unwrap();
    aborted.abort_transaction(LONG).unwrap();
    let committed = topics.transaction("committed");
    (200..203).for_each(|n| send(&committed, name, 1, &[], Some(sale(n, 10).as_bytes())));
    committed.flush(LONG).unwrap();
    committed.commit_transaction(LONG).unwrap();
    let producer = topics.producer(&[]);
    send(&producer, name, 1, &[], Some(b"poison"));
    send(&producer, name, 1, &[], None);
    send(&producer, name, 1, &[], Some(sale(7, 2).as_bytes()));
    producer.flush(LONG).unwrap();
    wait_until("what is committed is read", || counts(&among.pipeline).0 == 306);
    // Partitions that come while it runs.
    topics.grow(5);
    wait_until("partitions are found", || among.pipeline.log().ends().len() == 5);
    for partition in 2..5 {
        let from = 300 + 10 * partition as usize;
        topics.send(partition, &(from..from + 10).map(|n| sale(n, 5)).collect::<Vec<_>>());
    }
    wait_until("they are read", || counts(&among.pipeline).0 == 336);
    let answers = among.answers();
    let rules = ["conflict", "json", "tombstone"].map(|rule| (rule.to_owned(), 1));
    assert_eq!(answers.1, (336, 150 + 3 + 30, 150, BTreeMap::from(rules)));
    // Partitions 1, 2 and 4.
    assert_eq!(among.elsewhere(), 150 + 6 + 10 + 10);
    no_difference(&among.pipeline);
    among.close();
    // Each tick again as it was bound, by another number of processes; the last one leaves a snapshot.
    for (processes, snapshots) in [(1, &off), (2, &off), (3, &Snapshots::usual())] {
        let among = Among::start(&world, &topics, processes, snapshots);
        assert_eq!(among.answers(), answers, "{processes} processes");
        among.close();
    }
    let among = Among::start(&world, &topics, 2, &Snapshots::usual());
    assert_eq!(among.answers(), answers);
    (0..5).for_each(|partition| topics.send(partition, &[sale(900 + partition as usize, 1)]));
    wait_until("what is new is read", || counts(&among.pipeline).0 == 341);
    assert_eq!(among.elsewhere(), 2);
    settle(&among.pipeline);
    no_difference(&among.pipeline);
    among.close();
}

/// The program itself, as one of two processes.
fn one_of_two(world: &World, topics: &Topics, hosts: &Path, process: usize) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyflow"));
    command.args(["run", "--processes", "2", "--process", &process.to_string(), "--hostfile"]).arg(hosts);
    if process == 0 {
        let brokers = topics.config().brokers;
        command.args(["--listen", "127.0.0.1:0", "--workers", "1", "--kafka", &brokers]);
        command.args(["--topic", &topics.name, "--data"]).arg(world.data());
        command.arg("--catalog").arg(world.folder.path().join("catalogue"));
    }
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// How many records a process had another one read.
fn read_elsewhere(address: &str) -> u64 {
    let Ok(mut stream) = TcpStream::connect(address) else { return 0 };
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut figures = String::new();
    _ = stream.read_to_string(&mut figures);
    let name = "tallyflow_process_records_total{process=\"1\"} ";
    figures.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_process_that_is_killed_while_it_reads_stops_the_other_and_nothing_is_lost() {
    let topics = Topics::new(&SHARED.url(), 2);
    let world = World::new();
    let hosts = hostfile(world.folder.path(), 2);
    let mut sent = 0;
    for victim in [1, 0, 1] {
        let follower = one_of_two(&world, &topics, &hosts, 1);
        let mut leader = one_of_two(&world, &topics, &hosts, 0);
        let mut lines = BufReader::new(leader.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.find_map(|line| line.split("http://").nth(1).map(str::to_owned));
        let address = said.expect("it says where it listens");
        let mut send = || {
            // The second partition is the follower's. Each has one of the other's again.
            for partition in 0..2 {
                let again = (sent > 0).then(|| sent - 1);
                let own = sent..sent + 150;
                topics.send(partition, &own.chain(again).map(|n| sale(n, 1)).collect::<Vec<_>>());
                sent += 150;
            }
        };
        send();
        wait_until("the other process reads", || read_elsewhere(&address) > 0);
        send();
        let mut processes = [leader, follower];
        processes[victim].kill().unwrap();
        processes[victim].wait().unwrap();
        let other = &mut processes[1 - victim];
        let mut code = None;
        wait_until("the other stops", || {
            code = other.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        });
        assert_eq!(code, Some(Some(1)), "killed: {victim}");
    }
    let off = Snapshots::off();
    let among = Among::start(&world, &topics, 2, &off);
    let answers = among.answers();
    let (records, accepted, duplicates, rejected) = &answers.1;
    assert_eq!((*accepted, *duplicates, rejected.len()), (sent as u64, records - sent as u64, 0));
    assert!(*duplicates > 0, "{answers:?}, {} read elsewhere", among.elsewhere());
    no_difference(&among.pipeline);
    among.close();
    let among = Among::start(&world, &topics, 1, &off);
    assert_eq!(among.answers(), answers);
    among.close();
}
