//! `Redis` on real servers: views and streams are what they are to be, whatever happens to the server, the writer and the way between.
#![allow(clippy::unwrap_used, reason = "tests fail by panics")]
#[path = "redis/proxy.rs"]
mod proxy;
#[path = "../../harness/tests/services/mod.rs"]
mod services;
#[path = "redis/world.rs"]
mod world;

use proxy::Proxy;
use services::Service;
use sinks::redis::read::Reader;
use sinks::redis::{Options, Redis};
use sinks::stored::Stored;
use sinks::{Content, Sink, SinkError};
use std::collections::BTreeMap;
use world::{Starting, World, client, options, sink, stored, streamed};

/// Entries of a stream: ids and fields.
type Entries = Vec<(String, BTreeMap<String, String>)>;

fn check(world: &World, sink: &mut Redis, connection: &mut redis::Connection) {
    world.compare(sink);
    for view in ["totals", "by%20%7Bnote%7D%3Aid", "lines", "grand"] {
        let stored = stored(connection, view);
        let said = streamed(connection, view);
        // What was there when a stream began is not in it.
        for (key, row) in &said {
            assert_eq!(stored.get(key), row.as_ref(), "{view} {key}");
        }
    }
}

#[test]
fn any_deliveries_give_the_views_and_their_streams() {
    let server = Service::start("redis");
    let mut connection = client(&server.url());
    for seed in 1..=3 {
        let mut world = World::new(seed);
        () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
        let mut sink = sink(&server.url());
        let mut held = sink.open().unwrap();
        assert_eq!(held.time, None);
        for round in 0..12 {
            for _ in 0..=world.random.below(2) {
                world.step([3, 40, 900][round % 3]);
            }
            let delivery = match world.random.below(6) {
                0 => world.whole(held.time),
                _ => world.delivery(&held),
            };
            sink.apply(&delivery).unwrap();
            world.delivered();
            check(&world, &mut sink, &mut connection);
            if world.random.below(4) == 0 {
                () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut connection).unwrap();
            }
            if world.random.below(3) == 0 {
                sink = world::sink(&server.url());
            }
            held = sink.open().unwrap();
            assert_eq!((held.time, &held.positions), (Some(world.time), &delivery.positions));
        }
        // All that a reload did not bring in whole stands in the streams.
        let dropped = world.views().iter().map(|view| view.name.clone()).collect();
        let to = world.time + 1;
        let delivery =
            sinks::delivery::Delivery { from: held.time, to, positions: vec![], parts: vec![], dropped };
        sink.apply(&delivery).unwrap();
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        assert_eq!(keys, ["{tallyflow}:sink"]);
        for view in world.views() {
            assert_eq!(sink.read(&view).unwrap(), Content::default());
        }
    }
}

#[test]
fn a_delivery_that_is_cut_off_anywhere_is_made_once() {
    let server = Service::start("redis");
    let proxy = Proxy::new(server.port());
    let mut connection = client(&server.url());
    let mut world = World::new(4);
    let mut sink = sink(&proxy.url());
    world.step(900);
    world.bring(&mut sink).unwrap();
    for round in 0..25 {
        world.step(400);
        let held = sink.open().unwrap();
        proxy.cut_after(world.random.below(150_000));
        let first = sink.apply(&world.delivery(&held));
        if first.is_err() && round % 2 == 0 {
            // The engine goes on meanwhile, and the next delivery ends later.
            world.step(100);
        }
        match first {
            Ok(()) => world.delivered(),
            Err(SinkError::Retry(_)) => world.bring(&mut sink).unwrap(),
            Err(error) => panic!("{error:?}"),
        }
        proxy.cut_after(1 << 40);
        check(&world, &mut sink, &mut connection);
    }
}

#[test]
fn a_server_killed_within_a_chunked_delivery_has_it_once_afterwards() {
    let server = Service::start_with("redis", &["--appendfsync", "always"]);
    let mut world = World::new(5);
    let mut sink = sink(&server.url());
    world.step(2_000);
    world.bring(&mut sink).unwrap();
    for _ in 0..3 {
        world.step(3_000);
        let held = sink.open().unwrap();
        let delivery = world.delivery(&held);
        let applied = std::thread::scope(|scope| {
            scope.spawn(|| server.kill());
            sink.apply(&delivery)
        });
        server.restart();
        if applied.is_err() {
            world.step(10);
        }
        world.bring(&mut sink).unwrap();
        check(&world, &mut sink, &mut client(&server.url()));
    }
}

#[test]
fn a_writer_that_was_replaced_is_fenced() {
    let server = Service::start("redis");
    let mut world = World::new(6);
    let (mut old, mut new) = (sink(&server.url()), sink(&server.url()));
    world.step(50);
    world.bring(&mut old).unwrap();
    world.step(50);
    let stale = world.delivery(&old.open().unwrap());
    let held = new.open().unwrap();
    assert!(matches!(old.apply(&stale), Err(SinkError::Fenced(_))));
    new.apply(&world.delivery(&held)).unwrap();
    world.delivered();
    check(&world, &mut new, &mut client(&server.url()));
    // A writer that is past the first guard is stopped by that of each shard.
    world.step(50);
    let held = old.open().unwrap();
    let mut connection = client(&server.url());
    for shard in 0..3 {
        let meta = format!("{{tallyflow:totals:s{shard:02}}}:meta");
        () = redis::cmd("HSET")
            .arg(meta)
            .arg("epoch")
            .arg(9_000_000_000_000u64)
            .query(&mut connection)
            .unwrap();
    }
    assert!(matches!(old.apply(&world.delivery(&held)), Err(SinkError::Fenced(_))));
    world.bring(&mut new).unwrap();
    check(&world, &mut new, &mut connection);
}

#[test]
fn an_emptied_server_is_filled_again() {
    let server = Service::start("redis");
    let mut connection = client(&server.url());
    let mut world = World::new(7);
    let mut sink = sink(&server.url());
    world.step(300);
    world.bring(&mut sink).unwrap();
    let held = sink.open().unwrap();
    () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    world.step(10);
    let moved = sink.apply(&world.delivery(&held));
    assert!(matches!(moved, Err(SinkError::Moved(_))), "{moved:?}");
    assert_eq!(sink.open().unwrap(), sinks::Held::default());
    world.bring(&mut sink).unwrap();
    check(&world, &mut sink, &mut connection);
    // One shard alone.
    world.step(10);
    () = redis::cmd("DEL").arg("{tallyflow:lines:s01}:meta").query(&mut connection).unwrap();
    let held = sink.open().unwrap();
    let unknown: Vec<_> = held.views.iter().filter(|(_, definition)| *definition == 0).collect();
    assert_eq!(unknown.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["lines"]);
    sink.apply(&world.delivery(&held)).unwrap();
    world.delivered();
    check(&world, &mut sink, &mut connection);
}

#[test]
fn a_replica_that_lacks_the_last_deliveries_gets_them_again() {
    let primary = Service::start("redis");
    let at = format!("127.0.0.1 {}", primary.port());
    let replica = Service::start_with("redis", &["--replicaof", &at]);
    let proxy = Proxy::new(primary.port());
    let mut world = World::new(8);
    let mut sink = sink(&proxy.url());
    world.step(200);
    world.bring(&mut sink).unwrap();
    let early = world.time;
    let mut connection = client(&replica.url());
    loop {
        let time: Option<u64> =
            redis::cmd("HGET").arg("{tallyflow}:sink").arg("time").query(&mut connection).unwrap();
        if time == Some(early) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // From here on it receives nothing, and nobody knows.
    () = redis::cmd("REPLICAOF").arg("NO").arg("ONE").query(&mut connection).unwrap();
    let mut since = vec![];
    let mut held = sink.open().unwrap();
    for _ in 0..3 {
        world.step(100);
        let delivery = world.delivery(&held);
        sink.apply(&delivery).unwrap();
        held.time = Some(delivery.to);
        since.push(world.time);
    }
    primary.kill();
    proxy.lead_to(replica.port());
    world.step(20);
    let lost = sink.apply(&world.delivery(&held));
    assert!(matches!(lost, Err(SinkError::Retry(_))), "{lost:?}");
    let held = sink.open().unwrap();
    assert_eq!(held.time, Some(early));
    sink.apply(&world.delivery(&held)).unwrap();
    check(&world, &mut sink, &mut connection);
}

#[test]
fn what_is_wrong_for_good_is_said_in_words() {
    let server = Service::start("redis");
    let mut connection = client(&server.url());
    let mut world = World::new(9);
    world.step(20);
    () = redis::cmd("SET").arg("{tallyflow}:sink").arg("mine").query(&mut connection).unwrap();
    let mut sink = sink(&server.url());
    let error = sink.open().unwrap_err();
    assert!(
        matches!(&error, SinkError::Fatal(text) if text.contains("something else has written a key")),
        "{error:?}"
    );
    () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    () = redis::cmd("SET").arg("{tallyflow:totals:s01}:log").arg("mine").query(&mut connection).unwrap();
    let error = world.bring(&mut sink).unwrap_err();
    assert!(
        matches!(&error, SinkError::Fatal(text) if text.contains("something else has written a key")),
        "{error:?}"
    );
    let user = ["SETUSER", "writer", "on", ">secret", "~{other*", "&*", "+@all"];
    () = redis::cmd("ACL").arg(&user[..]).query(&mut connection).unwrap();
    let mut options =
        Options { user: Some("writer".into()), password: Some("wrong".into()), ..options(&server.url()) };
    let error = Redis::new("pipeline", options.clone()).open().unwrap_err();
    assert!(matches!(&error, SinkError::Fatal(text) if !text.contains("wrong:")), "{error:?}");
    options.password = Some("secret".into());
    let error = Redis::new("pipeline", options.clone()).open().unwrap_err();
    assert!(
        matches!(&error, SinkError::Fatal(text) if text.contains("the user needs the keys")),
        "{error:?}"
    );
    () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    let user = [
        "SETUSER",
        "writer",
        "on",
        ">secret",
        "resetkeys",
        "~{tallyflow*",
        "resetchannels",
        "&tallyflow:*",
        "-@all",
    ];
    let commands = ["+eval", "+evalsha", "+hget", "+hmget", "+hset", "+hdel", "+hgetall", "+hkeys", "+hscan"];
    let streams = ["+xadd", "+xinfo|stream", "+exists", "+unlink", "+publish"];
    let all = [&user[..], &commands[..], &streams[..]].concat();
    () = redis::cmd("ACL").arg(all).query(&mut connection).unwrap();
    let mut sink = Redis::new("pipeline", options);
    world.bring(&mut sink).unwrap();
    check(&world, &mut sink, &mut connection);
    () = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1mb").query(&mut connection).unwrap();
    world.step(20);
    let error = world.bring(&mut sink).unwrap_err();
    assert!(matches!(&error, SinkError::Retry(text) if text.contains("more memory")), "{error:?}");
}

#[test]
fn a_consumer_group_reads_each_change_once() {
    let server = Service::start("redis");
    let mut connection = client(&server.url());
    let mut world = World::new(10);
    let mut sink = sink(&server.url());
    world.step(100);
    world.bring(&mut sink).unwrap();
    let logs: Vec<String> = (0..3).map(|shard| format!("{{tallyflow:totals:s{shard:02}}}:log")).collect();
    for log in &logs {
        () = redis::cmd("XGROUP").arg("CREATE").arg(log).arg("g").arg("$").query(&mut connection).unwrap();
    }
    let mut rows = stored(&mut connection, "totals");
    for round in 0..6 {
        world.step(200);
        world.bring(&mut sink).unwrap();
        for log in &logs {
            let member = ["a", "b"][round % 2];
            let mut read = redis::cmd("XREADGROUP");
            read.arg("GROUP").arg("g").arg(member).arg("COUNT").arg(100_000).arg("STREAMS").arg(log).arg(">");
            let found: Option<Vec<(String, Entries)>> = read.query(&mut connection).unwrap();
            for (id, fields) in found.into_iter().flatten().flat_map(|(_, entries)| entries) {
                match &fields["op"][..] {
                    "set" => _ = rows.insert(fields["key"].clone(), fields["row"].clone()),
                    "del" => _ = rows.remove(&fields["key"]),
                    other => panic!("{id}: {other}"),
                }
            }
        }
        assert_eq!(rows, stored(&mut connection, "totals"));
    }
}

#[test]
fn what_another_pipeline_or_definition_left_is_replaced() {
    let server = Service::start("redis");
    let mut connection = client(&server.url());
    let mut world = World::new(11);
    world.step(100);
    world.bring(&mut sink(&server.url())).unwrap();
    let mut other = World::new(12);
    other.step(100);
    other.step(100);
    let mut sink = Redis::new("another", options(&server.url()));
    let held = sink.open().unwrap();
    assert_eq!(held.time, None);
    assert!(held.views.iter().all(|(_, definition)| *definition == 0));
    other.bring(&mut sink).unwrap();
    check(&other, &mut sink, &mut connection);
    // Another number of shards: all rows move.
    let mut sink = Redis::new("another", Options { shards: 2, ..options(&server.url()) });
    other.step(10);
    other.bring(&mut sink).unwrap();
    other.compare(&mut sink);
    let gone: u64 = redis::cmd("EXISTS").arg("{tallyflow:totals:s02}:meta").query(&mut connection).unwrap();
    assert_eq!(gone, 0);
    // A change cannot be told of a view that is held otherwise.
    let held = sink.open().unwrap();
    let renamed = world::view("totals", vec![0], "another statement");
    assert_eq!(sink.read(&renamed).unwrap(), Content::default());
    other.step(10);
    let moved = sink.apply(&other.delivery(&held).starting(Some(1)));
    assert!(matches!(moved, Err(SinkError::Moved(_))), "{moved:?}");
}

#[test]
fn a_reader_finds_rows_by_key() {
    use dataflows::value::Value;
    let server = Service::start("redis");
    let mut world = World::new(13);
    world.step(500);
    let mut sink = sink(&server.url());
    world.bring(&mut sink).unwrap();
    let mut reader = Reader::new(options(&server.url()));
    let (reached, views) = reader.views().unwrap();
    assert_eq!((reached.time, reached.positions.len()), (Some(world.time), 2));
    let view = world.views()[0].clone();
    let stored = views.iter().find(|stored| stored.name == view.name).unwrap();
    assert_eq!((&stored.schema, &stored.key), (&view.schema, &view.key));
    let content = world.content(&view);
    let mut found = 0;
    for id in 0..3_000 {
        let row = reader.get(stored, &[Value::Int(id)]).unwrap().unwrap();
        assert_eq!(row.time, world.time);
        if let Some((text, 1)) = row.row {
            assert!(content.rows.contains(&(text, 1)));
            found += 1;
        }
    }
    assert_eq!(found, content.rows.len());
    let other = Stored { definition: 7, ..stored.clone() };
    assert_eq!(reader.get(&other, &[Value::Int(1)]).unwrap(), None);
}

#[test]
fn options_are_read_or_refused() {
    let parse = |pairs: &[(&str, &str)]| {
        let map = pairs.iter().map(|(name, value)| (String::from(*name), String::from(*value)));
        Options::parse(&map.collect())
    };
    let read = parse(&[("url", "redis://h:1"), ("shards", "4"), ("cluster", "true"), ("log", "0")]).unwrap();
    assert_eq!((read.shards, read.cluster, read.log, &read.prefix[..]), (4, true, 0, "tallyflow"));
    for (pairs, says) in [
        (&[][..], "\"url\" is missing"),
        (&[("url", "redis://h"), ("shards", "0")], "from 1 to 1024"),
        (&[("url", "redis://h"), ("cluster", "yes")], "true or false"),
        (&[("url", "redis://h"), ("colour", "red")], "there is no option \"colour\""),
    ] {
        let error = parse(pairs).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    assert!(!format!("{:?}", Options::new("redis://:secret@h")).contains("secret"));
}
