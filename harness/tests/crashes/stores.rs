//! What the stores hold, and whether it is what it must be: the batch's rows at their time, each change once.
use crate::world::World;
use harness::check::remote;
use harness::outlets::{self, compare, spec::Spec};
use harness::statements;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const CALL: Duration = Duration::from_secs(60);
/// How long the end of a transaction may take to be told to all partitions.
const MARKS: Duration = Duration::from_secs(60);

/// A view's rows, by the time for which they are true.
pub type Rows = BTreeMap<u64, Vec<(String, Vec<Value>)>>;

/// What is wrong with the stores; empty: nothing.
pub fn differences(world: &World) -> Vec<String> {
    let mut wrong = vec![];
    for name in ["pg", "redis"] {
        match read(world, name) {
            Ok(rows) => wrong.extend(compared(world, name, rows)),
            // A delivery was broken off between two shards: readers wait until it is ended.
            Err(why) if why.contains("changes faster than it can be read") => {
                world.count("redis between two times");
            }
            Err(why) => wrong.push(format!("{name}: {why}")),
        }
    }
    wrong.extend(streams(world));
    let began = Instant::now();
    loop {
        let found = kafka(world).map_or_else(|why| vec![why], |rows| compared(world, "kafka", rows));
        if found.is_empty() || began.elapsed() > MARKS {
            if !found.is_empty() {
                wrong.extend(found);
                wrong.extend(reach(world));
            }
            return wrong;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Against DataFusion over the log, at the time of the rows.
fn compared(world: &World, store: &str, rows: Rows) -> Vec<String> {
    let mut wrong = vec![];
    for (time, answers) in rows {
        world.count(&format!("comparisons {store}"));
        match remote::at(&world.data(), &world.catalogue(), time, answers) {
            Err(why) => wrong.push(format!("{store} at {time}: {why}")),
            Ok(report) => {
                wrong.extend(report.skipped.into_iter().map(|why| format!("{store} at {time}: {why}")));
                let all = report.differences.into_iter().map(|one| format!("{store} at {time}: {one:?}"));
                wrong.extend(all.take(10));
            }
        }
    }
    wrong
}

/// What a PostgreSQL or a Redis holds, through the readers of their sinks.
pub fn read(world: &World, name: &str) -> Result<Rows, String> {
    let specs: Vec<Spec> = world.specs().into_iter().filter(|spec| spec.name == name).collect();
    let text = |why: harness::Error| why.to_string();
    let stated = statements::read(&harness::data::statements_path(&world.data())).map_err(text)?;
    let (catalogue, _) =
        harness::check::naive::declared(&world.catalogue(), &stated, u64::MAX).map_err(text)?;
    let views: Vec<_> = catalogue.views().map(|compiled| compiled.view.clone()).collect();
    let pipeline = outlets::identity(&world.data()).map_err(text)?;
    let mut rows = Rows::new();
    for view in views {
        let found = compare::contents(&specs, &pipeline, &[view]).map_err(text)?;
        for (_, view, content) in found {
            let content = content?;
            let Some(time) = content.time else { continue };
            let mut all = vec![];
            for (row, count) in content.rows {
                let row: Value = serde_json::from_str(&row).map_err(|why| format!("{row}: {why}"))?;
                (0..count).for_each(|_| all.push(row.clone()));
            }
            rows.entry(time).or_default().push((view.name.to_string(), all));
        }
    }
    Ok(rows)
}

/// What a reader of committed records sees: no change twice, none beside a transaction, the rows that remain.
pub fn kafka(world: &World) -> Result<Rows, String> {
    let text = |why: KafkaError| why.to_string();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", world.kafka.url()).set("group.id", "reader");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().map_err(text)?;
    let prefix = format!("{}.", world.name);
    let metadata = consumer.fetch_metadata(None, CALL).map_err(text)?;
    let topics: Vec<&str> =
        metadata.topics().iter().map(|topic| topic.name()).filter(|name| name.starts_with(&prefix)).collect();
    let mut list = TopicPartitionList::new();
    let mut open = 0;
    for topic in &topics {
        list.add_partition_offset(topic, 0, Offset::Beginning).map_err(text)?;
        open += 1;
    }
    consumer.assign(&list).map_err(text)?;
    let mut held: BTreeMap<String, BTreeMap<String, (u64, Option<String>)>> = BTreeMap::new();
    let (mut times, mut seen): (Vec<u64>, BTreeSet<u64>) = (vec![], BTreeSet::new());
    let mut at: BTreeSet<u64> = BTreeSet::new();
    while open > 0 {
        let message = match consumer.poll(CALL).ok_or("the broker does not answer")? {
            Ok(message) => message,
            Err(KafkaError::PartitionEOF(_)) => {
                open -= 1;
                continue;
            }
            Err(why) => return Err(text(why)),
        };
        let utf = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let (key, value) = (utf(message.key()).unwrap_or_default(), utf(message.payload()));
        let header = message.headers().and_then(|all| all.iter().find(|one| one.key == "tf-time"));
        let time = header.and_then(|one| utf(one.value)).and_then(|text| text.parse().ok());
        let time: u64 = time.ok_or("a record has no tf-time")?;
        let view = message.topic()[prefix.len()..].to_owned();
        if view == "tallyflow-progress" {
            if times.last().is_some_and(|last| *last >= time) {
                return Err(format!("kafka: progress goes from {:?} to {time}", times.last()));
            }
            times.push(time);
            at.insert(time);
            continue;
        }
        seen.insert(time);
        let before = held.entry(view.clone()).or_default().insert(key.clone(), (time, value));
        if let Some((last, _)) = before.filter(|(last, _)| *last >= time) {
            return Err(format!(
                "kafka: {view} {key} at {time} comes after {last}: a change stands there twice"
            ));
        }
    }
    if let Some(lost) = seen.difference(&at).next() {
        return Err(format!("kafka: changes of {lost} stand there without their progress"));
    }
    let Some(time) = times.last() else { return Ok(Rows::new()) };
    let mut answers = vec![];
    for (view, rows) in held {
        let mut all = vec![];
        for (_, row) in rows.into_values() {
            let Some(row) = row else { continue };
            let mut row: Value = serde_json::from_str(&row).map_err(|why| why.to_string())?;
            let count = row.as_object_mut().and_then(|cells| cells.remove("tf_count"));
            (0..count.and_then(|count| count.as_u64()).unwrap_or(1)).for_each(|_| all.push(row.clone()));
        }
        answers.push((view, all));
    }
    Ok(Rows::from([(*time, answers)]))
}

/// How far readers of committed records come in each topic, and where it ends.
fn reach(world: &World) -> Vec<String> {
    let client = |level: &str| -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", world.kafka.url()).set("group.id", "reader");
        config.set("isolation.level", level).create().unwrap()
    };
    let (committed, all) = (client("read_committed"), client("read_uncommitted"));
    let prefix = format!("{}.", world.name);
    let metadata = all.fetch_metadata(None, CALL).unwrap();
    let names = metadata.topics().iter().map(|topic| topic.name()).filter(|name| name.starts_with(&prefix));
    let ends = names.map(|name| {
        let end = |client: &BaseConsumer| client.fetch_watermarks(name, 0, CALL).map(|(_, end)| end);
        format!("topic {name}: committed up to {:?} of {:?}", end(&committed), end(&all))
    });
    ends.collect()
}

/// The streams of Redis: each change follows the one before, and no key changes twice at one time.
fn streams(world: &World) -> Vec<String> {
    let mut wrong = vec![];
    let client = redis::Client::open(world.redis.url()).unwrap();
    let mut link = client.get_connection().unwrap();
    let names: Vec<String> =
        redis::cmd("KEYS").arg(format!("{{{}:*:log", world.name)).query(&mut link).unwrap();
    for name in names {
        let entries: Vec<(String, Vec<String>)> =
            redis::cmd("XRANGE").arg(&name).arg("-").arg("+").query(&mut link).unwrap();
        let (mut last, mut keys): (Option<String>, BTreeSet<String>) = (None, BTreeSet::new());
        let mut from: Option<String> = None;
        for (id, fields) in entries {
            let time = id.split('-').next().unwrap_or_default().to_owned();
            let fields: BTreeMap<String, String> =
                fields.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            if last.as_ref() != Some(&time) {
                keys.clear();
                // What was begun and ended later goes on from what was there before it began.
                last = Some(time.clone());
            }
            if fields.get("op").is_some_and(|op| op == "reload") {
                keys.clear();
            }
            if let Some(key) = fields.get("key").filter(|key| !keys.insert((*key).clone())) {
                wrong.push(format!("redis: {name}: {key} changes twice at {time}"));
            }
            if let Some(said) = fields.get("from") {
                if from.as_ref().is_some_and(|from| from != said && !said.is_empty()) {
                    wrong.push(format!("redis: {name}: {id} follows {said}, and {from:?} was there"));
                }
                from = Some(time);
            }
        }
    }
    wrong.truncate(10);
    wrong
}
