//! The real servers, a process that is killed again and again, and the events it is sent.
use crate::events::{CATALOGUE, Events};
use crate::services::Service;
use crate::{stores, topics::Topics};
use harness::faults::VARIABLE;
use harness::outlets::spec::Spec;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// What bounds a test that hangs.
pub const HANG: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(10);
const CHUNKS: usize = 6;

/// How a life ends.
#[derive(Clone, Debug)]
pub enum End {
    /// At a place, at a visit.
    Place(String, u64),
    /// By a signal, some time after a chunk was acknowledged.
    Random,
    /// By a signal, after a place failed or held the thread, and the sink of that name went on. Cuts make a sink try again.
    After(String, &'static str),
}

/// Servers, data, and what was done to them.
pub struct World {
    pub name: String,
    pub postgres: Service,
    pub redis: Service,
    pub kafka: Service,
    pub events: Events,
    pub topics: Option<Topics>,
    /// The data directory of the process that is started next.
    pub data: PathBuf,
    /// What the process finds in its environment.
    pub variables: BTreeMap<String, String>,
    /// What a shell says before it becomes the process, such as `ulimit -n 64`.
    pub before: Option<String>,
    folder: tempfile::TempDir,
    random: StdRng,
    unsent: Vec<Vec<String>>,
    acknowledged: BTreeSet<String>,
    lives: usize,
    counts: RefCell<BTreeMap<String, u64>>,
}

/// A process that ends with the test.
pub struct Life {
    pub child: Child,
    pub address: Option<String>,
    said: PathBuf,
}

impl Drop for Life {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Life {
    /// Whether it runs still.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it wrote.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Where it answers; none once it ended.
    fn address(&mut self) -> Option<String> {
        let began = Instant::now();
        while self.address.is_none() && self.runs() {
            assert!(began.elapsed() < HANG, "it does not answer: {}", self.said());
            let said = self.said();
            let found = said.lines().find_map(|line| line.split("listening on http://").nth(1));
            self.address = found.map(|address| address.trim().to_owned());
            if self.address.is_none() {
                std::thread::sleep(LOOK);
            }
        }
        self.address.clone()
    }

    /// Asks it; status and body, or none where no answer came.
    pub fn ask(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Option<(u16, String)> {
        let address = self.address()?;
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut answer = String::new();
        let mut talk = || {
            let mut stream = TcpStream::connect(&address)?;
            stream.set_read_timeout(Some(HANG))?;
            stream.write_all(head.as_bytes())?;
            stream.write_all(body.as_bytes())?;
            stream.read_to_string(&mut answer)
        };
        talk().ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// What it says of its sinks, by name.
    pub fn sinks(&mut self) -> BTreeMap<String, Value> {
        let Some((200, body)) = self.ask("GET", "/api/v1/sinks", "text/plain", "") else {
            return BTreeMap::new();
        };
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let list = body["sinks"].as_array().cloned().unwrap_or_default();
        list.into_iter().map(|one| (one["name"].as_str().unwrap_or_default().to_owned(), one)).collect()
    }
}

impl World {
    /// With the log in Kafka, or the embedded one.
    pub fn new(seed: u64, kafka_log: bool) -> World {
        World::with(seed, kafka_log, Service::start("postgres"))
    }

    /// With a PostgreSQL of one's own.
    pub fn with(seed: u64, kafka_log: bool, postgres: Service) -> World {
        let folder = tempfile::tempdir().unwrap();
        for (name, sql) in CATALOGUE {
            let file = folder.path().join("catalogue").join(name).with_extension("sql");
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, sql).unwrap();
        }
        let (redis, kafka) = (Service::start("redis"), Service::start("kafka"));
        let topics = kafka_log.then(|| Topics::new(&kafka.url(), 3));
        let world = World {
            name: format!("w{seed}"),
            postgres,
            redis,
            kafka,
            events: Events::new(seed),
            topics,
            data: folder.path().join("data"),
            variables: BTreeMap::new(),
            before: None,
            folder,
            random: StdRng::seed_from_u64(seed ^ 0x5eed),
            unsent: vec![],
            acknowledged: BTreeSet::new(),
            lives: 0,
            counts: RefCell::default(),
        };
        world.wire(|_| ());
        world
    }

    /// Writes the config: the sinks, as something changes them.
    pub fn wire(&self, change: impl Fn(&mut Spec)) {
        let written = self.specs().into_iter().map(|mut spec| {
            change(&mut spec);
            let options: String =
                spec.options.iter().map(|(key, value)| format!("{key:?} = {value:?}\n")).collect();
            format!("[[sink]]\nname = {:?}\nkind = {:?}\n{options}\n", spec.name, spec.kind)
        });
        let text = format!("[quarantine]\ntopic = \"off\"\n\n{}", written.collect::<String>());
        std::fs::write(self.folder.path().join("tallyflow.toml"), text).unwrap();
    }

    /// A folder that goes with the world.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    pub fn catalogue(&self) -> String {
        self.folder.path().join("catalogue").to_str().unwrap().to_owned()
    }

    /// The sinks, as the config declares them.
    pub fn specs(&self) -> Vec<Spec> {
        let spec = |name: &str, kind: &str, options: &[(&str, String)]| Spec {
            name: name.into(),
            kind: kind.into(),
            views: None,
            options: options.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        };
        vec![
            spec("pg", "postgres", &[("url", self.postgres.url()), ("schema", self.name.clone())]),
            spec(
                "redis",
                "redis",
                &[
                    ("url", self.redis.url()),
                    ("prefix", self.name.clone()),
                    ("shards", "3".into()),
                    ("rows", "5".into()),
                    ("log", "1000000".into()),
                ],
            ),
            spec(
                "kafka",
                "kafka",
                &[("brokers", self.kafka.url()), ("topic", format!("{}.{{view}}", self.name))],
            ),
        ]
    }

    /// Something happened once more.
    pub fn count(&self, what: &str) {
        *self.counts.borrow_mut().entry(what.to_owned()).or_default() += 1;
    }

    /// How often what happened.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = self.counts.borrow().clone();
        counts.insert("sales acknowledged".into(), self.acknowledged.len() as u64);
        counts
    }

    /// Starts the process.
    pub fn start(&mut self, faults: &str) -> Life {
        self.lives += 1;
        let said = self.folder.path().join(format!("life-{}", self.lives));
        let out = File::create(&said).unwrap();
        let binary = env!("CARGO_BIN_EXE_tallyflow");
        let mut command = match &self.before {
            None => Command::new(binary),
            Some(before) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), binary]);
                shell
            }
        };
        command.envs(&self.variables);
        command.args(["run", "--workers", "2", "--listen", "127.0.0.1:0", "--snapshot-every", "1s"]);
        command.arg("--data").arg(self.data()).arg("--catalog").arg(self.catalogue());
        command.arg("--config").arg(self.folder.path().join("tallyflow.toml"));
        if let Some(topics) = &self.topics {
            command.args(["--kafka", &topics.config().brokers, "--topic", &topics.name]);
        }
        if !faults.is_empty() {
            command.env(VARIABLE, faults);
        }
        let err = out.try_clone().unwrap();
        let child = command.stdout(out).stderr(err).spawn().unwrap();
        Life { child, address: None, said }
    }

    /// Sends what was not acknowledged before, else new events; whether they were acknowledged.
    pub fn send(&mut self, life: &mut Life, count: usize) -> bool {
        let events = self.unsent.pop().unwrap_or_else(|| self.events.take(count));
        let body = format!("[{}]", events.join(","));
        let answer = life.ask("POST", "/api/v1/events", "application/cloudevents-batch+json", &body);
        match answer {
            Some((202, _)) => {
                self.count("batches acknowledged");
                for event in &events {
                    let event: Value = serde_json::from_str(event).unwrap();
                    if event["type"] == "sale" {
                        self.acknowledged.insert(event["id"].as_str().unwrap().to_owned());
                    }
                }
                true
            }
            other => {
                assert!(
                    other.is_none() || other.as_ref().is_some_and(|(status, _)| *status >= 500),
                    "{other:?}"
                );
                self.count("batches not acknowledged");
                self.unsent.push(events);
                false
            }
        }
    }

    /// A life under load, until it is killed.
    pub fn live(&mut self, end: &End) {
        let faults = match end {
            End::Place(place, visit) => format!("{place}=kill@{visit}"),
            End::Random => String::new(),
            End::After(faults, _) => faults.clone(),
        };
        let mut life = self.start(&faults);
        let chunks = self.random.random_range(1..CHUNKS);
        let began = Instant::now();
        let mut sent = 0;
        while life.runs() {
            assert!(began.elapsed() < HANG, "{end:?} does not come: {}", life.said());
            if self.send(&mut life, if sent < CHUNKS { 30 } else { 2 }) {
                sent += 1;
            }
            if sent >= CHUNKS {
                std::thread::sleep(LOOK);
            }
            let over = match end {
                End::Place(..) => false,
                End::Random => sent >= chunks,
                End::After(_, "") => life.said().contains("fault at"),
                End::After(_, sink) => {
                    let state = life.sinks().remove(*sink).unwrap_or_default();
                    state["retries"].as_u64().unwrap_or(0) > 0 && state["state"] == "running"
                }
            };
            if over {
                std::thread::sleep(Duration::from_millis(self.random.random_range(0..60)));
                _ = life.child.kill();
            }
        }
        let status = life.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "{end:?}: {status}: {}", life.said());
        match end {
            End::Place(place, _) => {
                assert!(life.said().contains(&format!("fault at {place}")), "{}", life.said());
                self.count(&format!("kill at {place}"));
            }
            End::Random => self.count("kill at random"),
            End::After(faults, _) => {
                self.count(faults.split('@').next().unwrap_or_default());
                self.count("kill after a fault");
            }
        }
    }

    /// A last life without faults: all that was made is acknowledged, and each store has it.
    pub fn settle(&mut self) {
        let mut life = self.start("");
        self.catch_up(&mut life);
    }

    /// All that was made is acknowledged by this life, and each store has it.
    pub fn catch_up(&mut self, life: &mut Life) {
        let began = Instant::now();
        while !self.unsent.is_empty() || self.acknowledged != self.events.sales {
            assert!(life.runs(), "it ended: {}", life.said());
            assert!(began.elapsed() < HANG, "events are not acknowledged: {}", life.said());
            if !self.send(life, 2) {
                std::thread::sleep(LOOK);
            }
        }
        while let Some(missing) = self.missing() {
            assert!(began.elapsed() < HANG, "{missing}: {:?} {}", life.sinks(), life.said());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What was acknowledged and does not stand in a store.
    fn missing(&self) -> Option<String> {
        let stores = [stores::read(self, "pg"), stores::read(self, "redis"), stores::kafka(self)];
        for (store, rows) in ["pg", "redis", "kafka"].into_iter().zip(stores) {
            let Ok(rows) = rows else { return Some(format!("{store} cannot be read")) };
            let entries = rows.into_values().flatten().find(|(view, _)| view == "entries");
            let rows = entries.map(|(_, rows)| rows).unwrap_or_default();
            let ids: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
            let held: BTreeSet<&str> = ids.iter().copied().collect();
            assert_eq!(held.len(), ids.len(), "{store}: an event counts twice");
            let lacking = self.acknowledged.iter().filter(|id| !held.contains(id.as_str())).count();
            if lacking > 0 {
                return Some(format!("{store} lacks {lacking} acknowledged events"));
            }
        }
        None
    }
}
