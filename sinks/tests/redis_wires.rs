//! `Redis` over TLS, and on a Redis Cluster of three.
#![allow(clippy::unwrap_used, reason = "tests fail by panics")]
#[path = "../../harness/tests/services/mod.rs"]
mod services;
#[path = "redis/world.rs"]
#[allow(dead_code, reason = "shared with the tests of one plain server")]
mod world;

use services::Service;
use sinks::redis::{Options, Redis};
use sinks::{Sink, SinkError};
use std::process::Command;
use world::{World, client, options};

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program}: {text} {}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn a_cluster_holds_each_shard_in_one_slot() {
    let nodes: Vec<Service> =
        (0..3).map(|_| Service::start_with("redis", &["--cluster-enabled", "yes"])).collect();
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    let mut create = vec!["--cluster", "create"];
    create.extend(addresses.iter().map(String::as_str));
    create.push("--cluster-yes");
    run("redis-cli", &create);
    let urls: Vec<String> = nodes.iter().map(Service::url).collect();
    let all = Options { cluster: true, ..options(&urls.join(",")) };
    let mut world = World::new(1);
    let mut sink = Redis::new("pipeline", all.clone());
    for round in 0..6 {
        world.step([300, 20][round % 2]);
        world.bring(&mut sink).unwrap();
        world.compare(&mut sink);
    }
    let keys: Vec<u64> =
        urls.iter().map(|url| redis::cmd("DBSIZE").query(&mut client(url)).unwrap()).collect();
    assert!(keys.iter().all(|count| *count > 0), "{keys:?}");
    // A node that lost all it had is found, and its shards are filled again.
    let emptied = urls.iter().find(|url| {
        let sink: u64 = redis::cmd("EXISTS").arg("{tallyflow}:sink").query(&mut client(url)).unwrap_or(0);
        sink == 0
    });
    () = redis::cmd("FLUSHALL").query(&mut client(emptied.unwrap())).unwrap();
    world.step(5);
    world.bring(&mut sink).unwrap();
    world.compare(&mut sink);
    // What is away for a while comes back.
    nodes[1].kill();
    world.step(20);
    let mut fresh = Redis::new("pipeline", all);
    let away = fresh.open().and_then(|held| fresh.apply(&world.delivery(&held)));
    assert!(matches!(away, Err(SinkError::Retry(_))), "{away:?}");
    nodes[1].restart();
    world.bring(&mut fresh).unwrap();
    world.compare(&mut fresh);
}

#[test]
fn a_server_is_reached_over_tls_if_its_certificate_is_good() {
    let folder = std::path::PathBuf::from(format!("/var/tmp/tallyflow-test-{}-tls", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let names =
        ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    let (key, certificate) = (file("key.pem"), file("certificate.pem"));
    let make = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &certificate];
    run("openssl", &[&make[..], &names[..], &["-addext", "basicConstraints=CA:FALSE"]].concat());
    let server = Service::start_with(
        "redis",
        &["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-auth-clients", "no"],
    );
    let mut world = World::new(2);
    world.step(200);
    let trusting = Options { ca: Some(certificate), ..options(&server.url()) };
    let mut sink = Redis::new("pipeline", trusting.clone());
    world.bring(&mut sink).unwrap();
    world.compare(&mut sink);
    for refused in [
        // The system does not know who signed it, and the name is another one.
        options(&server.url()),
        Options { url: server.url().replace("127.0.0.1", "127.0.0.2"), ..trusting },
    ] {
        assert!(Redis::new("pipeline", refused).open().is_err());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
