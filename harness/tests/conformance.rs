//! Every sink does the same with the same deliveries: the model, and the real stores.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "services/bouncer.rs"]
mod bouncer;
#[path = "services/postgres.rs"]
mod postgres;
#[path = "conformance/rows.rs"]
mod rows;
#[path = "services/mod.rs"]
mod services;
#[path = "conformance/suite.rs"]
mod suite;

use bouncer::Bouncer;
use postgres::Postgres;
use rows::{Given, Kind, view};
use services::Service;
use sinks::delivery::Part;
use sinks::model::Store;
use sinks::{Setting, Sink, SinkError};
use std::collections::BTreeMap;
use suite::{Place, delivery, holds};
use tokio_postgres::{Client, NoTls};

impl Place for Store {
    fn writer(&self, pipeline: &str) -> Box<dyn Sink> {
        Box::new(Store::writer(self, pipeline))
    }
}

/// A server, reached by an address.
struct Tables(String);

impl Place for Tables {
    fn writer(&self, pipeline: &str) -> Box<dyn Sink> {
        let options = BTreeMap::from([("url".to_owned(), self.0.clone())]);
        let setting = Setting { pipeline: pipeline.into(), sink: "s'ink".into(), options };
        Box::new(sinks::postgres::Postgres::new(&setting).unwrap())
    }
}

/// A server that answers, and a place in it.
fn server() -> (Postgres, Tables) {
    let server = Postgres::start().unwrap().expect("PostgreSQL is installed");
    let place = Tables(server.address());
    // It may still be starting.
    for _ in 0..600 {
        match place.writer("p").read(&view("none", Kind::Keyed)) {
            Ok(_) => return (server, place),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(100)),
        }
    }
    panic!("the server does not answer");
}

/// Runs statements beside the sink.
fn run(server: &Postgres, sql: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&server.address(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let rows = client.simple_query(sql).await.unwrap();
        let cell = |message: &tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
            _ => None,
        };
        rows.iter().filter_map(cell).collect()
    })
}

#[test]
fn the_model_does_what_a_sink_has_to_do() {
    suite::all(&Store::default());
}

#[test]
fn postgresql_does_what_a_sink_has_to_do() {
    let (_server, place) = server();
    suite::all(&place);
}

/// Brokers, and where the topics of one place begin.
struct Topics(String, &'static str);

impl Place for Topics {
    fn writer(&self, pipeline: &str) -> Box<dyn Sink> {
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options =
            BTreeMap::from([option("brokers", &self.0), option("topic", &format!("{}.{{view}}", self.1))]);
        let setting = Setting { pipeline: format!("{}-{pipeline}", self.1), sink: "sink".into(), options };
        Box::new(sinks::kafka::Kafka::new(&setting).unwrap())
    }
}

#[test]
fn kafka_does_what_a_sink_has_to_do() {
    let brokers = Service::start("kafka");
    suite::all(&Topics(brokers.url(), "all"));
}

/// A server of keys.
struct Keys(String);

impl Place for Keys {
    fn writer(&self, pipeline: &str) -> Box<dyn Sink> {
        let options = BTreeMap::from([("url".to_owned(), self.0.clone())]);
        Box::new(sinks::redis::Redis::declared(pipeline, &options).unwrap())
    }
}

#[test]
fn redis_does_what_a_sink_has_to_do() {
    let server = Service::start("redis");
    suite::all(&Keys(server.url()));
}

#[test]
fn postgresql_behind_a_pooler_does_what_a_sink_has_to_do() {
    let (server, _) = server();
    let bouncer = Bouncer::start(server.folder()).unwrap();
    suite::all(&Tables(bouncer.address()));
}

/// A store with one view of some rows at time 10.
fn filled(place: &Tables) -> (Box<dyn Sink>, Given, String) {
    let mut given = Given::new();
    let name = given.create(&view("v", Kind::Keyed));
    given.first_rows(10);
    let mut sink = place.writer("p");
    sink.open().unwrap();
    sink.apply(&delivery(None, 10, vec![Part::whole(given.kept(&name))])).unwrap();
    (sink, given, name)
}

#[test]
fn a_backend_that_is_ended_is_tried_again() {
    let (server, place) = server();
    let (mut sink, mut given, name) = filled(&place);
    run(
        &server,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tallyflow:%'",
    );
    given.change(20);
    let next = delivery(Some(10), 20, vec![given.changed(&name)]);
    assert!(matches!(sink.apply(&next).unwrap_err(), SinkError::Retry(_)));
    assert_eq!(sink.open().unwrap().time, Some(10));
    sink.apply(&next).unwrap();
    holds(sink.as_mut(), &given.kept(&name), 20);
}

#[test]
fn a_writer_that_was_stopped_within_a_transaction_is_ended() {
    let (server, place) = server();
    let (mut sink, mut given, name) = filled(&place);
    // What a process that was stopped in the middle of a delivery looks like to the server.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stopped: Client = runtime.block_on(async {
        let mut config: tokio_postgres::Config = server.address().parse().unwrap();
        config.application_name("tallyflow:s'ink");
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("BEGIN; UPDATE tallyflow.tf_writer SET time = 99").await.unwrap();
        client
    });
    let mut next = place.writer("p");
    assert_eq!(next.open().unwrap().time, Some(10));
    assert!(runtime.block_on(stopped.batch_execute("COMMIT")).is_err());
    given.change(20);
    let changes = delivery(Some(10), 20, vec![given.changed(&name)]);
    assert!(matches!(sink.apply(&changes).unwrap_err(), SinkError::Fenced(_)));
    next.apply(&changes).unwrap();
    holds(next.as_mut(), &given.kept(&name), 20);
}

#[test]
fn what_was_changed_behind_the_writers_back_is_noticed() {
    let (server, place) = server();
    let (mut sink, mut given, name) = filled(&place);
    // An old dump: rows and time of before.
    run(&server, "UPDATE tallyflow.tf_writer SET time = 5");
    given.change(20);
    assert!(matches!(
        sink.apply(&delivery(Some(10), 20, vec![given.changed(&name)])),
        Err(SinkError::Moved(_))
    ));
    assert_eq!(sink.open().unwrap().time, Some(5));
    sink.apply(&delivery(Some(5), 20, vec![Part::whole(given.kept(&name))])).unwrap();
    // Tables dropped, columns dropped: what is held is said, and whole parts mend it.
    for harm in [
        "DROP TABLE tallyflow.v",
        "ALTER TABLE tallyflow.v DROP COLUMN value",
        "DROP SCHEMA tallyflow CASCADE",
    ] {
        let from = sink.open().unwrap().time;
        run(&server, harm);
        given.change(from.unwrap() + 10);
        let to = from.unwrap() + 10;
        let done = sink.apply(&delivery(from, to, vec![given.changed(&name)]));
        assert!(matches!(done, Err(SinkError::Moved(_))), "{harm}: {done:?}");
        let from = sink.open().unwrap().time;
        sink.apply(&delivery(from, to, vec![Part::whole(given.kept(&name))])).unwrap();
        holds(sink.as_mut(), &given.kept(&name), to);
    }
}

#[test]
fn tables_of_others_are_left_alone_and_grants_survive_a_reload() {
    let (server, place) = server();
    run(&server, "CREATE SCHEMA tallyflow; CREATE TABLE tallyflow.v (mine int); CREATE ROLE reader");
    let mut given = Given::new();
    let name = given.create(&view("v", Kind::Keyed));
    given.first_rows(10);
    let mut sink = place.writer("p");
    sink.open().unwrap();
    let first = delivery(None, 10, vec![Part::whole(given.kept(&name))]);
    let why = sink.apply(&first).unwrap_err();
    assert!(matches!(&why, SinkError::Fatal(text) if text.contains("another schema")), "{why}");
    run(&server, "DROP TABLE tallyflow.v");
    sink.open().unwrap();
    sink.apply(&first).unwrap();
    run(&server, "GRANT SELECT ON tallyflow.v TO reader");
    sink.apply(&delivery(Some(10), 20, vec![Part::whole(given.kept(&name))])).unwrap();
    assert_eq!(run(&server, "SELECT has_table_privilege('reader', 'tallyflow.v', 'SELECT')"), ["t"]);
    assert_eq!(run(&server, "SELECT time FROM tallyflow.tf_time"), ["20"]);
    // Nor does a reload break the views of others.
    run(&server, "CREATE VIEW mine AS SELECT count(*) FROM tallyflow.v");
    given.change(30);
    sink.apply(&delivery(Some(20), 30, vec![Part::whole(given.kept(&name))])).unwrap();
    holds(sink.as_mut(), &given.kept(&name), 30);
    assert_eq!(run(&server, "SELECT * FROM mine"), [given.kept(&name).rows().totals().rows.to_string()]);
    given.change(40);
    sink.apply(&delivery(Some(30), 40, vec![given.changed(&name)])).unwrap();
    holds(sink.as_mut(), &given.kept(&name), 40);
}

#[test]
fn what_postgresql_cannot_hold_stops_the_sink_and_names_the_row() {
    let (_server, place) = server();
    let (mut sink, mut given, name) = filled(&place);
    given.put(&name, "zero \0 byte", 20);
    let why = sink.apply(&delivery(Some(10), 20, vec![given.changed(&name)])).unwrap_err();
    assert!(matches!(&why, SinkError::Fatal(text) if text.contains("column \"value\" of row")), "{why}");
    assert_eq!(sink.open().unwrap().time, Some(10));
}

#[test]
fn a_server_is_trusted_as_far_as_was_said() {
    let (server, _) = server();
    let ((bouncer, certificate), (_other, stranger)) =
        (Bouncer::with_tls(server.folder()).unwrap(), Bouncer::with_tls(server.folder()).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = |host: &str, more: &str| {
        let url = format!("postgres://postgres@{host}:{}/postgres?{more}", bouncer.port());
        let written = Tables(url.clone()).writer("p").open().map(|_| ());
        // Who only reads trusts it no further; and before the first writer there is nothing to read.
        let reader = sinks::stored::postgres::Postgres::new(&url, "tallyflow", None).unwrap();
        let read = runtime.block_on(reader.snapshot()).map(|_| ());
        assert_eq!(written.is_ok(), read.is_ok(), "{host} {more}: {written:?} {read:?}");
        written.map_err(|why| why.to_string())
    };
    let root = |file: &std::path::Path| format!("sslmode=verify-full&sslrootcert={}", file.display());
    open("localhost", "").unwrap();
    open("127.0.0.1", "sslmode=require").unwrap();
    open("localhost", &root(&certificate)).unwrap();
    let refused = [
        ("localhost", "sslmode=disable".to_owned()),
        ("localhost", root(&stranger)),
        ("127.0.0.1", root(&certificate)),
    ];
    for (host, more) in refused {
        assert!(open(host, &more).is_err(), "{host} {more}");
    }
}
