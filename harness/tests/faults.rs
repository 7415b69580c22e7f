//! Wherever a delivery to PostgreSQL breaks off, the tables hold the rows of one time, and go on from there.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "services/postgres.rs"]
mod postgres;
#[path = "outlets/world.rs"]
mod world;

use harness::outlets::outlet::{Act, Limits, Outlet};
use postgres::Postgres;
use sinks::{Setting, Sink};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::NoTls;
use world::{Shape, World};

/// Where a delivery or a take-over may break off, and whether what was sent had landed then.
const PLACES: [(&str, Option<bool>); 10] = [
    ("pg_guard_before", Some(false)),
    ("pg_guard_after", Some(false)),
    ("pg_delete", Some(false)),
    ("pg_upsert", Some(false)),
    ("swap_generation", Some(false)),
    ("pg_commit_before", Some(false)),
    ("pg_commit_after", Some(true)),
    ("pg_ack", Some(true)),
    ("takeover_before", None),
    ("takeover_after", None),
];

/// Does all that there is to do; pauses pass at once.
fn level(outlet: &mut Outlet, sink: &mut dyn Sink) {
    for _ in 0..1_000 {
        match outlet.act() {
            Act::Open => {
                let held = sink.open();
                outlet.opened(held);
            }
            Act::Apply(draft) => {
                let done = sink.apply(&draft.delivery());
                outlet.applied(done);
            }
            Act::Wait(_) => outlet.waited(),
            Act::Idle => return,
            Act::Stop => panic!("{:?}", outlet.state()),
        }
    }
    panic!("it does not come to rest: {:?}", outlet.state());
}

/// The tables hold what the views held at the store's time.
fn check(world: &World, sink: &mut dyn Sink, place: &str) {
    for view in world.views() {
        let content = sink.read(&view).unwrap();
        let Some(time) = content.time else { continue };
        let rows: BTreeMap<String, i64> = content.rows.into_iter().collect();
        assert_eq!(rows, world.held(&view.name, time), "{place}: view {} at {time}", view.name);
    }
}

fn run(server: &Postgres, sql: &str) -> Result<(), tokio_postgres::Error> {
    let (address, sql) = (server.address(), sql.to_owned());
    let talk = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
            tokio::spawn(connection);
            client.batch_execute(&sql).await
        })
    };
    // Callers may be within a runtime of their own.
    std::thread::spawn(talk).join().unwrap()
}

const END_ALL: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tallyflow:%'";

#[test]
fn a_delivery_that_breaks_off_anywhere_is_made_good() {
    let scenario = fail::FailScenario::setup();
    let server = Postgres::start().unwrap().expect("PostgreSQL is installed");
    let mut tries = 0..600;
    while run(&server, "SELECT 1").is_err() {
        tries.next().expect("the server answers");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let options = BTreeMap::from([("url".to_owned(), server.address())]);
    let setting = Setting { pipeline: "p".into(), sink: "s".into(), options };
    let mut sink = sinks::postgres::Postgres::new(&setting).unwrap();
    let mut reader = sinks::postgres::Postgres::new(&setting).unwrap();
    let mut world = World::new(5);
    world.create("a", Shape::Keyed);
    world.create("b", Shape::Keyless);
    let mut outlet = Outlet::new(None, Limits { quiet_ms: 0, ..Limits::default() }, 1);
    for round in 0..3 {
        for (place, landed) in PLACES {
            outlet.offer(&world.tick());
            level(&mut outlet, &mut sink);
            let before = outlet.figures();
            fail::cfg(place, "1*return").unwrap();
            match (place, landed) {
                ("swap_generation", _) => outlet.distrust(None),
                // A take-over follows a failure.
                (_, None) => fail::cfg("pg_guard_before", "1*return").unwrap(),
                _ => {}
            }
            outlet.offer(&world.tick());
            level(&mut outlet, &mut sink);
            check(&world, &mut reader, place);
            let after = outlet.figures();
            let expected = match landed {
                Some(true) => (1, 1, 0),
                Some(false) => (1, 0, 1),
                None => (2, 0, 1),
            };
            let found =
                (after.retries - before.retries, after.landed - before.landed, after.lost - before.lost);
            // An empty change has nothing to delete or to write.
            assert!(
                found == expected || (found == (0, 0, 0) && place.starts_with("pg_")),
                "{place} {round}: {found:?}"
            );
            assert_eq!(outlet.time(), world.time());
            fail::remove(place);
        }
        // The server ends the connection just before the commit.
        static ENDED: AtomicBool = AtomicBool::new(false);
        let address = server.address();
        ENDED.store(false, Ordering::SeqCst);
        fail::cfg_callback("pg_commit_before", move || {
            if !ENDED.swap(true, Ordering::SeqCst) {
                let address = address.clone();
                let end = move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
                        tokio::spawn(connection);
                        client.batch_execute(END_ALL).await.unwrap();
                    });
                };
                std::thread::spawn(end).join().unwrap();
            }
        })
        .unwrap();
        let before = outlet.figures();
        outlet.offer(&world.tick());
        level(&mut outlet, &mut sink);
        check(&world, &mut reader, "the end of a backend");
        assert_eq!((outlet.figures().retries, outlet.figures().lost), (before.retries + 1, before.lost + 1));
        fail::remove("pg_commit_before");
    }
    let figures = outlet.figures();
    assert_eq!(figures.moved, 0);
    assert!(figures.landed >= 6 && figures.lost >= 12, "{figures:?}");
    scenario.teardown();
}
