//! Kafka as the log, on a real broker: each committed record once, in both modes, across restarts, new partitions, transactions and
//! the broker's end; what was lost halts and is told.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;
#[path = "support/hosts.rs"]
mod hosts;
#[path = "kafka/lost.rs"]
mod lost;
#[path = "kafka/parted.rs"]
mod parted;
#[path = "kafka/secured.rs"]
mod secured;
mod services;
#[path = "kafka/topics.rs"]
mod topics;

use drive::{check_now, rows};
use harness::Error;
use harness::cluster::lead::Lead;
use harness::data::Data;
use harness::pipeline::{Pipeline, Setting};
use harness::ticks::End;
use queries::api::host::Host;
use rdkafka::producer::Producer;
use services::Service;
use sources::Payload;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use topics::{LONG, SHARED, Topics, sale, send};

const TABLE: &str = "CREATE EXTERNAL TABLE sales (region TEXT, amount BIGINT) STORED AS CLOUDEVENTS LOCATION 'sale' \
    OPTIONS ('mode' 'append', 'column.region' 'data.region', 'column.amount' 'data.amount')";
const VIEW: &str = "CREATE MATERIALIZED VIEW totals AS SELECT region, count(*) AS n, sum(amount) AS total FROM sales GROUP BY region";

/// A folder with a catalogue and a data directory.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        for (part, sql) in [("tables", TABLE), ("views", VIEW)] {
            std::fs::create_dir_all(folder.path().join("catalogue").join(part)).unwrap();
            std::fs::write(folder.path().join("catalogue").join(part).join("one.sql"), sql).unwrap();
        }
        World { folder }
    }

    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self, topics: &Topics) -> Result<Pipeline, Error> {
        self.start_with(topics.config())
    }

    fn start_with(&self, config: sources::kafka::KafkaConfig) -> Result<Pipeline, Error> {
        // All of the log is needed again at each start.
        self.start_among(config, None, harness::snapshot::Setting::off())
    }

    fn start_among(
        &self,
        config: sources::kafka::KafkaConfig,
        others: Option<std::sync::Arc<Lead>>,
        snapshots: harness::snapshot::Setting,
    ) -> Result<Pipeline, Error> {
        let data = Data::open(&self.data(), self.folder.path().join("catalogue").to_str())?;
        let mut setting = Setting { others, snapshots, ..Setting::serve(1, 1_000) };
        setting.kafka = Some(config);
        setting.pace.idle = Some(Duration::from_millis(100));
        Pipeline::start(data, &setting)
    }
}

fn settle(pipeline: &Pipeline) {
    pipeline.visible().wait(Some(LONG), |reach| reach.restored).unwrap();
    pipeline.settle().unwrap();
}

fn totals(pipeline: &Pipeline) -> Vec<String> {
    rows(&pipeline.memory().read()).remove("totals").unwrap_or_default()
}

/// How many records were read and came to which end.
fn counts(pipeline: &Pipeline) -> (u64, u64, u64, BTreeMap<String, u64>) {
    let intake = pipeline.shared().intake.lock().unwrap();
    let counts = intake.counts();
    let rules = counts.quarantined.iter().map(|(rule, n)| (rule.to_string(), *n)).collect();
    (counts.records, counts.accepted, counts.duplicates, rules)
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < LONG, "{what}: it takes too long");
        std::thread::yield_now();
        _ = crossbeam_channel::bounded::<()>(0).1.recv_timeout(Duration::from_millis(20));
    }
}

fn no_difference(pipeline: &Pipeline) {
    let report = check_now(pipeline);
    assert_eq!((report.differences, report.failed), (vec![], vec![]));
}

#[test]
fn events_of_both_modes_count_and_the_rest_is_in_quarantine() {
    let topics = Topics::new(&SHARED.url(), 2);
    let producer = topics.producer(&[]);
    let name = topics.name.as_str();
    let event = sale(0, 5);
    let structured = [("content-type", "application/cloudevents+json; charset=UTF-8")];
    send(&producer, name, 0, &structured, Some(event.as_bytes()));
    send(&producer, name, 1, &[], Some(event.as_bytes()));
    let binary = [
        ("ce_specversion", "1.0"),
        ("ce_id", "b"),
        ("ce_source", "/shop"),
        ("ce_type", "sale"),
        ("content-type", "application/json"),
    ];
    send(&producer, name, 1, &binary, Some(br#"{"region":"west","amount":7}"#));
    let batch = [("content-type", "application/cloudevents-batch+json")];
    send(&producer, name, 0, &batch, Some(b"[]"));
    send(&producer, name, 0, &[], None);
    send(&producer, name, 0, &[], Some(b"poison"));
    send(&producer, name, 1, &[], Some(&vec![b'x'; 9 << 20]));
    send(&producer, name, 0, &[("ce_\u{e9}", "1")], Some(b"{}"));
    producer.flush(LONG).unwrap();
    let world = World::new();
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    assert_eq!(
        totals(&pipeline),
        [r#"1 x {"region":"north","n":1,"total":"5"}"#, r#"1 x {"region":"west","n":1,"total":"7"}"#]
    );
    let rules = ["attribute", "format", "json", "size", "tombstone"].map(|rule| (rule.to_owned(), 1));
    assert_eq!(counts(&pipeline), (8, 2, 1, BTreeMap::from(rules)));
    let quarantined = pipeline.process().quarantine(0, 10, None);
    let poison = quarantined.iter().find(|one| &*one.rule == "json").unwrap();
    assert_eq!(poison.bytes, "poison");
    let batch = quarantined.iter().find(|one| &*one.rule == "format").unwrap();
    assert!(batch.reason.contains("a record of Kafka is one event") && batch.bytes == "[]", "{batch:?}");
    no_difference(&pipeline);
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn aborted_and_open_transactions_never_count() {
    let topics = Topics::new(&SHARED.url(), 1);
    let name = topics.name.as_str();
    let world = World::new();
    let aborted = topics.transaction("aborted");
    (0..50).for_each(|n| send(&aborted, name, 0, &[], Some(sale(n, 1_000).as_bytes())));
    aborted.flush(LONG).unwrap();
    aborted.abort_transaction(LONG).unwrap();
    let committed = topics.transaction("committed");
    (100..103).for_each(|n| send(&committed, name, 0, &[], Some(sale(n, 1).as_bytes())));
    committed.flush(LONG).unwrap();
    committed.commit_transaction(LONG).unwrap();
    let pipeline = world.start(&topics).unwrap();
    // The brokers write the marks that end a transaction a little after they have answered.
    wait_until("the commit is seen", || counts(&pipeline).0 == 3);
    let open = topics.transaction("open");
    (200..203).for_each(|n| send(&open, name, 0, &[], Some(sale(n, 10).as_bytes())));
    open.flush(LONG).unwrap();
    // Committed, but behind the open one.
    topics.send(0, &[sale(300, 100)]);
    settle(&pipeline);
    assert_eq!(counts(&pipeline).0, 3);
    open.commit_transaction(LONG).unwrap();
    wait_until("the late commit is seen", || counts(&pipeline).0 == 7);
    committed.begin_transaction().unwrap();
    (400..450).for_each(|n| send(&committed, name, 0, &[], Some(sale(n, 1_000).as_bytes())));
    committed.flush(LONG).unwrap();
    committed.abort_transaction(LONG).unwrap();
    // All that is left to read holds no record: 50 aborted, 3 and their mark, 3 and theirs after 1, 50 and theirs.
    wait_until("the aborted are stepped over", || {
        pipeline.visible().now().positions[0].offset == 51 + 4 + 5 + 51
    });
    settle(&pipeline);
    let before = totals(&pipeline);
    assert_eq!(counts(&pipeline), (7, 7, 0, BTreeMap::new()));
    no_difference(&pipeline);
    pipeline.finish(End::Now).unwrap();
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    assert_eq!((totals(&pipeline), counts(&pipeline).0), (before, 7));
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn partitions_and_topics_come_while_it_runs_and_are_read_from_their_start() {
    let topics = Topics::new(&SHARED.url(), 1);
    let other = format!("{}-more", topics.name);
    let mut config = topics.config();
    config.topics = vec![format!("^{}(-.*)?", topics.name)];
    let world = World::new();
    topics.send(0, &[sale(0, 1)]);
    let pipeline = world.start_with(config.clone()).unwrap();
    settle(&pipeline);
    topics.grow(3);
    let begun = Instant::now();
    while topics.producer(&[]).client().fetch_metadata(Some(&topics.name), LONG).unwrap().topics()[0]
        .partitions()
        .len()
        < 3
    {
        assert!(begun.elapsed() < LONG);
    }
    topics.send(2, &[sale(1, 10), sale(2, 10)]);
    topics.create(&other, 2);
    let producer = topics.producer(&[]);
    send(&producer, &other, 1, &[], Some(sale(3, 100).as_bytes()));
    producer.flush(LONG).unwrap();
    wait_until("partitions are found", || pipeline.log().ends().len() == 5);
    wait_until("records are read", || counts(&pipeline).0 == 4);
    settle(&pipeline);
    let before = totals(&pipeline);
    assert_eq!(before.len(), 3);
    no_difference(&pipeline);
    pipeline.finish(End::Now).unwrap();
    let pipeline = world.start_with(config).unwrap();
    settle(&pipeline);
    assert_eq!(totals(&pipeline), before);
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn appended_events_are_read_at_the_positions_that_were_answered() {
    let topics = Topics::new(&SHARED.url(), 3);
    let world = World::new();
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    let events: Vec<Payload> = (0..300).map(|n| Payload::Structured(sale(n, 1).into())).collect();
    let positions = pipeline.log().append_wait(events.clone()).unwrap();
    assert_eq!(positions.len(), 300);
    pipeline.process().wait(&positions).unwrap();
    assert_eq!(counts(&pipeline).1, 300);
    pipeline.log().append_wait(events).unwrap();
    settle(&pipeline);
    assert_eq!(counts(&pipeline), (600, 300, 300, BTreeMap::new()));
    let large = Payload::Structured(vec![b' '; 17 << 20].into());
    let why = pipeline.log().append_wait(vec![large]).unwrap_err();
    assert!(matches!(why, sources::log::AppendError::TooLarge(_)), "{why}");
    // A table that comes later reads the topic from its beginning.
    let names = pipeline.process().declare(&TABLE.replace("sales", "again")).unwrap();
    let view = VIEW.replace("totals", "totals_again").replace("sales", "again");
    pipeline.process().declare(&view).unwrap();
    pipeline.process().live(&["totals_again".to_owned()]).unwrap();
    let all = rows(&pipeline.memory().read());
    assert_eq!((names, &all["totals_again"]), (vec!["again".to_owned()], &all["totals"]));
    let anchors = pipeline.log().anchors(&positions[299..]).unwrap();
    pipeline.log().check_anchors(&positions[299..], &anchors).unwrap();
    let why = pipeline.log().check_anchors(&positions[299..], &[Some(1)]).unwrap_err();
    assert!(why.to_string().contains("LOG_DIVERGED"), "{why}");
    no_difference(&pipeline);
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn a_topic_that_is_created_again_is_another_one() {
    let topics = Topics::new(&SHARED.url(), 1);
    let world = World::new();
    topics.send(0, &(0..20).map(|n| sale(n, 1)).collect::<Vec<_>>());
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    let before = totals(&pipeline);
    topics.delete(&topics.name);
    topics.create(&topics.name, 1);
    topics.send(0, &(100..200).map(|n| sale(n, 1)).collect::<Vec<_>>());
    let halted =
        || pipeline.visible().now().silent.is_some_and(|why| why.to_string().contains("LOG_DIVERGED"));
    wait_until("it is found out", halted);
    assert!(pipeline.process().ready().unwrap_err().contains("LOG_DIVERGED"));
    assert!(!before.is_empty() && !totals(&pipeline).is_empty());
    pipeline.finish(End::Now).unwrap();
    let why = world.start(&topics).err().unwrap().to_string();
    assert!(why.contains("LOG_DIVERGED") && why.contains("created again"), "{why}");
}

#[test]
fn what_retention_deleted_is_missed_and_never_skipped() {
    let topics = Topics::new(&SHARED.url(), 1);
    topics.send(0, &(0..20).map(|n| sale(n, 1)).collect::<Vec<_>>());
    // Gone before the first start: what is there now is the beginning.
    topics.delete_below(0, 5);
    let world = World::new();
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    assert_eq!(counts(&pipeline).0, 15);
    pipeline.finish(End::Now).unwrap();
    topics.delete_below(0, 8);
    let pipeline = world.start(&topics).unwrap();
    let why = pipeline.visible().wait(Some(LONG), |_| false).unwrap_err().to_string();
    assert!(why.contains("RETENTION_LOSS") && why.contains("offset 5") && why.contains("offset 8"), "{why}");
    assert!(pipeline.finish(End::Now).is_err());
}

#[test]
fn a_broker_that_goes_and_comes_again_is_waited_for() {
    let kafka = Service::start("kafka");
    let topics = Topics::new(&kafka.url(), 2);
    let world = World::new();
    topics.send(0, &[sale(0, 1)]);
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    kafka.kill();
    let time = pipeline.visible().now().time;
    wait_until("the clock goes on", || pipeline.visible().now().time > time + 1_000);
    wait_until("it is told", || pipeline.process().ready().is_err_and(|why| why.contains("is silent")));
    assert_eq!(totals(&pipeline).len(), 1);
    let why = pipeline.log().append_wait(vec![Payload::Structured(sale(1, 1).into())]).unwrap_err();
    assert!(matches!(why, sources::log::AppendError::Unavailable(_)), "{why}");
    let why = pipeline.process().declare(&TABLE.replace("sales", "late")).unwrap_err().to_string();
    assert!(why.contains("reads the log from its beginning"), "{why}");
    kafka.restart();
    let sent = |n: usize| pipeline.log().append_wait(vec![Payload::Structured(sale(n, 1).into())]).is_ok();
    wait_until("it is written again", || sent(1));
    topics.send(1, &[sale(2, 1)]);
    wait_until("it is read again", || counts(&pipeline).1 == 3);
    wait_until("it is told again", || pipeline.process().ready().is_ok());
    settle(&pipeline);
    no_difference(&pipeline);
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn a_process_that_is_killed_goes_on_where_it_was() {
    let topics = Topics::new(&SHARED.url(), 3);
    let world = World::new();
    let mut sent = 0;
    for life in 0..4 {
        let mut process = run(&world.data(), &world.folder.path().join("catalogue"), &topics);
        for _ in 0..5 {
            let events: Vec<String> = (sent..sent + 40).map(|n| sale(n, n as i64)).collect();
            topics.send((sent % 3) as i32, &events);
            sent += 40;
        }
        if life % 2 == 0 {
            // Some ticks at least are bound.
            let bound = harness::data::bindings_path(&world.data());
            wait_until("it ticks", || std::fs::metadata(&bound).is_ok_and(|file| file.len() > 500));
        }
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    assert_eq!(counts(&pipeline), (sent as u64, sent as u64, 0, BTreeMap::new()));
    no_difference(&pipeline);
    pipeline.finish(End::Now).unwrap();
}

/// The program itself.
fn run(data: &Path, catalogue: &Path, topics: &Topics) -> std::process::Child {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tallyflow"));
    command.args([
        "run",
        "--listen",
        "127.0.0.1:0",
        "--kafka",
        &topics.config().brokers,
        "--topic",
        &topics.name,
    ]);
    command.arg("--data").arg(data).arg("--catalog").arg(catalogue);
    let config = catalogue.with_file_name("tallyflow.toml");
    if config.exists() {
        command.arg("--config").arg(config);
    }
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn check_reads_kafka_beside_the_process_and_without_it() {
    let topics = Topics::new(&SHARED.url(), 2);
    let world = World::new();
    topics.send(0, &(0..100).map(|n| sale(n, 3)).collect::<Vec<_>>());
    topics.send(1, &(50..150).map(|n| sale(n, 3)).collect::<Vec<_>>());
    std::fs::write(world.folder.path().join("tallyflow.toml"), "[quarantine]\ntopic = \"off\"\n").unwrap();
    let check = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tallyflow"));
        let output = command.arg("check").arg("--data").arg(world.data()).output().unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let mut process = run(&world.data(), &world.folder.path().join("catalogue"), &topics);
    let mut said = String::new();
    wait_until("it answers", || {
        said = check();
        said.contains("3 rows at time")
    });
    assert!(said.contains("no difference"), "{said}");
    process.kill().unwrap();
    process.wait().unwrap();
    let said = check();
    assert!(said.contains("1 views, 3 rows") && said.contains("no difference"), "{said}");
}

#[test]
fn one_of_three_brokers_killed_under_load_loses_nothing() {
    let kafka = Service::start("kafka3");
    let topics = Topics::replicated(&kafka.url(), 6, 3);
    let world = World::new();
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    for part in 0..30 {
        match part {
            10 => kafka.broker("kill", 1),
            20 => kafka.broker("start", 1),
            _ => {}
        }
        let events: Vec<Payload> =
            (part * 500..(part + 1) * 500).map(|n| Payload::Structured(sale(n, 1).into())).collect();
        // What was not acknowledged is sent again, as any client must: duplicates do not count.
        wait_until("it is written", || pipeline.log().append_wait(events.clone()).is_ok());
    }
    wait_until("it is read", || counts(&pipeline).1 == 15_000);
    settle(&pipeline);
    no_difference(&pipeline);
    pipeline.finish(End::Now).unwrap();
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    assert_eq!(counts(&pipeline).1, 15_000);
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn a_data_directory_keeps_the_kind_of_its_log() {
    let topics = Topics::new(&SHARED.url(), 1);
    let world = World::new();
    let catalogue = world.folder.path().join("catalogue");
    let data = || Data::open(&world.data(), catalogue.to_str()).unwrap();
    Pipeline::start(data(), &Setting::serve(1, 10)).unwrap().finish(End::Now).unwrap();
    let why = world.start(&topics).err().unwrap().to_string();
    assert!(why.contains("its log is the embedded one"), "{why}");
    std::fs::remove_dir_all(world.data()).unwrap();
    topics.send(0, &[sale(0, 1)]);
    world.start(&topics).unwrap().finish(End::Now).unwrap();
    // Nothing said: the Kafka it had.
    let pipeline = Pipeline::start(data(), &Setting::serve(1, 10)).unwrap();
    settle(&pipeline);
    assert_eq!(totals(&pipeline).len(), 1);
    pipeline.finish(End::Now).unwrap();
    let mut wrong = topics.config();
    wrong.properties.insert("no.such.property".into(), "1".into());
    let why = world.start_with(wrong).err().unwrap().to_string();
    assert!(why.contains("no.such.property"), "{why}");
}
