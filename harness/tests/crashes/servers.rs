//! Lines of the matrix that harm servers and the ways to them.
use crate::lines::{injected, load, until, while_it_runs};
use crate::proxy::Proxy;
use crate::services::Service;
use crate::topics::{LONG, send};
use crate::world::{Life, World};
use rdkafka::producer::Producer;
use std::process::Command;
use std::time::Duration;
use tokio_postgres::{Client, NoTls};

fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// Two processes with one identity: the first is stopped, the second takes all stores over, and the first is let go on.
pub fn two_instances(world: &mut World, round: u64) {
    let mut first = world.start("");
    load(world, &mut first, 4);
    let signal = |life: &Life, name: &str| {
        let status = Command::new("kill").args([name, &life.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    };
    signal(&first, "-STOP");
    injected(world, "SIGSTOP");
    let other = world.folder().join(format!("other-{round}"));
    copy(&world.data(), &other);
    world.data = other;
    let mut second = world.start("");
    load(world, &mut second, 2);
    world.catch_up(&mut second);
    signal(&first, "-CONT");
    injected(world, "SIGCONT of a replaced process");
    load(world, &mut second, 4);
    // What is new belongs to the second; the first finds out that it was replaced, and stops writing.
    until("that it was replaced", &mut first, |life| {
        let sinks = life.sinks();
        ["pg", "redis", "kafka"]
            .iter()
            .all(|name| sinks.get(*name).is_some_and(|one| one["state"] == "stopped"))
    });
    load(world, &mut second, 2);
    world.catch_up(&mut second);
}

/// The broker of the log and of a sink.
pub fn broker(world: &mut World, round: u64) {
    while_it_runs(world, |world, life| match round % 3 {
        0 => {
            world.kafka.kill();
            injected(world, "broker killed");
            load(world, life, 1);
            world.kafka.restart();
        }
        1 => {
            world.kafka.pause();
            injected(world, "broker paused");
            load(world, life, 1);
            world.kafka.resume();
        }
        _ => {
            world.kafka.stop();
            injected(world, "broker restarted");
            world.kafka.restart();
        }
    });
}

pub fn postgres_killed(world: &mut World, round: u64) {
    while_it_runs(world, |world, life| {
        match round % 2 {
            0 => world.postgres.kill(),
            _ => world.postgres.stop(),
        }
        injected(world, ["postmaster killed", "server restarted"][round as usize % 2]);
        load(world, life, 4);
        world.postgres.restart();
    });
}

const END_ALL: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tallyflow:%'";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn client(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Backends ended, the writer's row locked by somebody else, no connection to be had.
pub fn postgres_held(world: &mut World, _round: u64) {
    while_it_runs(world, |world, life| {
        let (runtime, url) = (runtime(), world.postgres.url());
        let own = runtime.block_on(client(&url)).unwrap();
        let say = |sql: &str| runtime.block_on(own.batch_execute(sql)).unwrap();
        for _ in 0..3 {
            say(END_ALL);
            injected(world, "backends ended");
            load(world, life, 1);
        }
        say(&format!("BEGIN; SELECT * FROM {}.tf_writer FOR UPDATE", world.name));
        injected(world, "lock held");
        load(world, life, 2);
        pause(3);
        say("ROLLBACK");
        load(world, life, 1);
        let mut others = vec![];
        while let Ok(one) = runtime.block_on(client(&url)) {
            others.push(one);
        }
        assert!(others.len() > 10);
        say(END_ALL);
        // The place that came free.
        others.extend(runtime.block_on(client(&url)).ok());
        injected(world, "connection limit");
        load(world, life, 2);
        pause(1);
    });
}

/// The server comes again as it was a while ago: transactions that were acknowledged are gone.
pub fn postgres_rewound(world: &mut World, round: u64) {
    while_it_runs(world, |world, life| {
        let data = world.postgres.folder().join("data");
        let old = world.postgres.folder().join(format!("data-{round}"));
        world.catch_up(life);
        world.postgres.stop();
        copy(&data, &old);
        world.postgres.restart();
        load(world, life, 3);
        world.catch_up(life);
        world.postgres.kill();
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::rename(&old, &data).unwrap();
        injected(world, "last transactions lost");
        world.postgres.restart();
    });
}

/// The same server through a PgBouncer in transaction mode, which is killed and restarted.
pub fn pooler(world: &mut World, _round: u64) {
    let pooler = Service::pgbouncer(&world.postgres);
    let url = pooler.url();
    world.wire(|spec| {
        if spec.name == "pg" {
            spec.options.insert("url".into(), url.clone());
        }
    });
    while_it_runs(world, |world, life| {
        for kill in [true, false] {
            if kill {
                pooler.kill()
            } else {
                pooler.stop()
            }
            injected(world, "pooler restarted");
            load(world, life, 2);
            pooler.restart();
            load(world, life, 2);
        }
    });
    world.wire(|_| ());
}

/// Killed; emptied; out of memory; its file lost.
pub fn redis(world: &mut World, _round: u64) {
    while_it_runs(world, |world, life| {
        let url = world.redis.url();
        let say = |words: &[&str]| {
            let mut link = redis::Client::open(url.as_str()).unwrap().get_connection().unwrap();
            let mut command = redis::cmd(words[0]);
            words[1..].iter().for_each(|word| _ = command.arg(*word));
            command.query::<redis::Value>(&mut link).unwrap();
        };
        world.redis.kill();
        injected(world, "killed");
        load(world, life, 2);
        world.redis.restart();
        load(world, life, 2);
        say(&["CONFIG", "SET", "maxmemory", "1"]);
        injected(world, "maxmemory");
        load(world, life, 3);
        pause(1);
        say(&["CONFIG", "SET", "maxmemory", "0"]);
        load(world, life, 1);
        world.catch_up(life);
        say(&["FLUSHALL"]);
        injected(world, "FLUSHALL");
        load(world, life, 2);
        world.catch_up(life);
        world.redis.kill();
        std::fs::remove_dir_all(world.redis.folder().join("appendonlydir")).unwrap();
        injected(world, "append-only file lost");
        load(world, life, 1);
        world.redis.restart();
    });
}

/// One store answers nothing for a while; the others go on.
pub fn dead(world: &mut World, name: &str, round: u64) {
    while_it_runs(world, |world, life| {
        world.catch_up(life);
        let server = |world: &World, act: fn(&Service)| match name {
            "pg" => act(&world.postgres),
            "redis" => act(&world.redis),
            _ => act(&world.kafka),
        };
        let held = round % 2 == 1;
        if held {
            server(world, Service::pause)
        } else {
            server(world, Service::kill)
        }
        injected(world, if held { "store paused" } else { "store killed" });
        let time = |life: &mut Life, name: &str| life.sinks().get(name).and_then(|one| one["time"].as_u64());
        for _ in 0..5 {
            load(world, life, 2);
            let now = ["pg", "redis", "kafka"].iter().filter_map(|name| time(life, name)).max().unwrap();
            for other in ["pg", "redis", "kafka"].iter().filter(|other| **other != name) {
                until("that the others keep up", life, |life| time(life, other) > Some(now));
            }
            pause(1);
        }
        if held { server(world, Service::resume) } else { server(world, Service::restart) }
    });
}

/// Slow, deaf in one direction or both, broken after some bytes, refused.
pub fn network(world: &mut World, round: u64) {
    let port = |url: &str| url.rsplit(':').next().unwrap().split('/').next().unwrap().parse::<u16>().unwrap();
    let proxies = [Proxy::new(port(&world.postgres.url())), Proxy::new(port(&world.redis.url()))];
    let ports = [proxies[0].port, proxies[1].port];
    world.wire(|spec| match spec.name.as_str() {
        "pg" => {
            _ = spec
                .options
                .insert("url".into(), format!("postgres://postgres@127.0.0.1:{}/postgres", ports[0]));
        }
        "redis" => _ = spec.options.insert("url".into(), format!("redis://127.0.0.1:{}", ports[1])),
        _ => {}
    });
    while_it_runs(world, |world, life| {
        for proxy in &proxies {
            proxy.delay(Duration::from_millis([20, 200, 700][round as usize % 3]));
            injected(world, "delay");
            load(world, life, 3);
            pause(2);
            proxy.heal();
            for to in [true, false] {
                for bytes in [0, 1, 100, 3_000] {
                    proxy.cut_after(to, bytes + 37 * round as i64);
                    injected(world, "cut after some bytes");
                    load(world, life, 1);
                }
            }
            proxy.heal();
            for (to, from) in [(true, false), (false, true), (true, true)] {
                proxy.deafen(to, from);
                injected(world, "half open");
                load(world, life, 1);
                pause(2);
                proxy.heal();
                load(world, life, 1);
            }
            proxy.deafen(true, true);
            load(world, life, 1);
            proxy.reset();
            injected(world, "reset");
            proxy.heal();
            proxy.refuse();
            injected(world, "refused");
            load(world, life, 1);
            pause(1);
            proxy.heal();
        }
    });
    world.wire(|_| ());
}

/// What is no event, what is too large, tombstones and an aborted transaction among what counts.
pub fn poison(world: &mut World, round: u64) {
    while_it_runs(world, |world, life| {
        let topics = world.topics.as_ref().unwrap();
        let name = topics.name.clone();
        let producer = topics.producer(&[]);
        let large = |n: usize| {
            let padding = "x".repeat(n);
            format!(
                r#"{{"specversion":"1.0","id":"large-{round}-{n}","source":"/shop","type":"sale","time":"2025-06-01T00:00:00Z","data":{{"region":"west","customer":1,"amount":1,"padding":"{padding}"}}}}"#
            )
        };
        for n in 0..20 {
            let partition = n % 3;
            send(&producer, &name, partition, &[], Some(format!("poison {round} {n}").as_bytes()));
            send(&producer, &name, partition, &[], None);
            injected(world, "poison");
            injected(world, "tombstone");
        }
        send(&producer, &name, 0, &[], Some(large(5 << 20).as_bytes()));
        send(&producer, &name, 1, &[], Some(&vec![b'x'; 9 << 20]));
        injected(world, "5 MiB, and 9 MiB");
        producer.flush(LONG).unwrap();
        let aborted = topics.transaction(&format!("{name}-{round}"));
        (0..30).for_each(|n| send(&aborted, &name, 2, &[], Some(large(n).as_bytes())));
        aborted.flush(LONG).unwrap();
        aborted.abort_transaction(LONG).unwrap();
        injected(world, "aborted transaction");
        load(world, life, 2);
        until("quarantine", life, |life| {
            let (_, body) =
                life.ask("GET", "/api/v1/quarantine?limit=1000", "text/plain", "").unwrap_or_default();
            body.matches("\"rule\"").count() as u64 >= 41 * (round + 1)
        });
    });
}
