//! A broker that wants a name, a password and TLS: as the log, and as a store.
use crate::services::Service;
use crate::topics::{LONG, Topics, sale};
use crate::{World, counts, no_difference, settle, wait_until};
use harness::outlets::spec::Spec;
use harness::ticks::End;
use sources::Payload;
use std::path::Path;
use std::process::{Command, Stdio};

/// A key and a certificate for it in one file, and the certificate in another.
fn certificate(folder: &Path) -> (String, String) {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (key, certificate, both) = (path("key.pem"), path("certificate.pem"), path("both.pem"));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"]);
    make.args([
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ]);
    assert!(make.stderr(Stdio::null()).status().unwrap().success());
    let text = [&key, &certificate].map(|path| std::fs::read_to_string(path).unwrap()).concat();
    std::fs::write(&both, text).unwrap();
    (both, certificate)
}

#[test]
fn a_broker_that_wants_scram_and_tls_is_read_written_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (both, certificate) = certificate(folder.path());
    let kafka = Service::start_with("kafka", &[&format!("secure={both},flow,open-sesame")]);
    let port = std::fs::read_to_string(kafka.folder().join("1/secure")).unwrap();
    let brokers = format!("127.0.0.1:{}", port.trim());
    let topics = Topics::new(&kafka.url(), 2);
    topics.send(1, &[sale(0, 1)]);
    let password = folder.path().join("password");
    let secured = |password: &Path| {
        let mut config = topics.config();
        config.brokers.clone_from(&brokers);
        let reference = format!("file:{}", password.display());
        for (key, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "flow"),
            ("sasl.password", &reference),
            ("ssl.ca.location", &certificate),
        ] {
            config.properties.insert(key.into(), value.into());
        }
        config
    };
    let world = World::new();
    std::fs::write(&password, "open sesame").unwrap();
    let why = world.start_with(secured(&password)).err().unwrap().to_string();
    assert!(why.contains("cannot open the topics of Kafka"), "{why}");
    std::fs::write(&password, "open-sesame\n").unwrap();
    let config = secured(&password);
    let pipeline = world.start_with(config.clone()).unwrap();
    settle(&pipeline);
    let events: Vec<Payload> = (1..100).map(|n| Payload::Structured(sale(n, 1).into())).collect();
    let mut positions = vec![];
    wait_until("it is written", || match pipeline.log().append_wait(events.clone()) {
        Ok(done) => {
            positions = done;
            true
        }
        Err(_) => false,
    });
    wait_until("it is read", || counts(&pipeline).1 == 100);
    settle(&pipeline);
    no_difference(&pipeline);
    let mut options =
        vec![("brokers".to_owned(), brokers.clone()), ("topic".to_owned(), "out.{view}".to_owned())];
    options.extend(config.properties.iter().map(|(key, value)| (format!("kafka.{key}"), value.clone())));
    let options = options.into_iter().collect();
    let spec = Spec { name: "out".into(), kind: "kafka".into(), views: None, options };
    pipeline.shared().outlets.create(spec).unwrap();
    let now = pipeline.visible().now().time;
    let running = pipeline.shared().outlets.get("out").unwrap();
    assert!(running.wait(LONG, |outlet| outlet.time() >= Some(now)), "{:?}", running.outlet().state());
    // Nothing of the secret stands in the data directory.
    for file in std::fs::read_dir(world.data()).unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read(&file).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains("open-sesame"), "{}", file.display());
    }
    pipeline.finish(End::Now).unwrap();
}
