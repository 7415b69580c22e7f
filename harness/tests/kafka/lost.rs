//! Records that are gone, that come from elsewhere, and rows that are too long.
use crate::drive::rows;
use crate::topics::{LONG, SHARED, Topics, sale};
use crate::{World, counts, no_difference, settle, totals, wait_until};
use harness::cli::gap;
use harness::data::Data;
use harness::outlets::spec::Spec;
use harness::pipeline::Pipeline;
use harness::ticks::End;
use queries::api::backfills::{Origin, Steer, Wanted};
use queries::api::host::Host;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::Producer;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;

fn sink(pipeline: &Pipeline, name: &str, views: &[&str], options: &[(&str, &str)]) {
    let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let views = Some(views.iter().map(|view| view.to_string()).collect());
    let spec = Spec { name: name.into(), kind: "kafka".into(), views, options };
    pipeline.shared().outlets.create(spec).unwrap();
}

/// Waits until a sink holds all that readers see.
fn level(pipeline: &Pipeline, name: &str) {
    let now = pipeline.visible().now().time;
    let running = pipeline.shared().outlets.get(name).unwrap();
    let done = running.wait(LONG, |outlet| outlet.time() >= Some(now));
    assert!(done, "{:?}", running.outlet().state());
}

/// The last value of each key of a topic's first partition.
fn held(topic: &str) -> BTreeMap<String, Option<String>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", SHARED.url()).set("group.id", "reader");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut held = BTreeMap::new();
    while let Ok(message) = consumer.poll(LONG).unwrap() {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        held.insert(text(message.key().unwrap()), message.payload().map(text));
    }
    held
}

#[test]
fn what_is_lost_is_accepted_by_somebody_who_says_so_and_then_left_out() {
    let topics = Topics::new(&SHARED.url(), 2);
    let target = format!("{}-totals", topics.name);
    let options = [("brokers", topics.config().brokers), ("topic", target.clone())];
    let options = options.each_ref().map(|(key, value)| (*key, value.as_str()));
    topics.send(0, &(0..20).map(|n| sale(n, 1)).collect::<Vec<_>>());
    topics.send(1, &(20..30).map(|n| sale(n, 1)).collect::<Vec<_>>());
    let world = World::new();
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    sink(&pipeline, "out", &["totals"], &options);
    level(&pipeline, "out");
    let before = held(&target);
    pipeline.finish(End::Now).unwrap();
    topics.delete_below(0, 18);
    let pipeline = world.start(&topics).unwrap();
    let why = pipeline.visible().wait(Some(LONG), |_| false).unwrap_err().to_string();
    assert!(why.contains("RETENTION_LOSS") && why.contains("tallyflow accept-gap"), "{why}");
    assert!(pipeline.finish(End::Now).is_err());
    // Nothing is accepted unless somebody says so.
    let accept = |yes: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tallyflow"));
        let output = command.arg("accept-gap").arg("--data").arg(world.data()).args(yes).output().unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code(), text)
    };
    let (code, said) = accept(&[]);
    assert!(code == Some(1) && said.contains("offsets 0 to 17") && said.contains("--yes"), "{code:?} {said}");
    assert_eq!(gap::losses(&Data::open(&world.data(), None).unwrap()).unwrap().len(), 1);
    let (code, said) = accept(&["--yes"]);
    assert!(code == Some(0) && said.contains("accepted"), "{code:?} {said}");
    assert_eq!(accept(&["--yes"]).1.trim(), "nothing that is needed is lost");
    for _ in 0..2 {
        let pipeline = world.start(&topics).unwrap();
        settle(&pipeline);
        assert!(
            pipeline.repairs().iter().any(|one| one.contains("accepted as lost")),
            "{:?}",
            pipeline.repairs()
        );
        assert_eq!(counts(&pipeline).1, 12);
        no_difference(&pipeline);
        level(&pipeline, "out");
        let after = held(&target);
        let view: BTreeMap<String, i64> = after
            .iter()
            .filter_map(|(key, row)| {
                let row: serde_json::Value = serde_json::from_str(row.as_ref()?).unwrap();
                Some((key.clone(), row["n"].as_i64().unwrap()))
            })
            .collect();
        assert_eq!((view.values().sum::<i64>(), after == before), (12, false), "{after:?}");
        pipeline.finish(End::Now).unwrap();
    }
}

#[test]
fn history_in_a_topic_comes_in_once_while_events_go_on() {
    let topics = Topics::new(&SHARED.url(), 1);
    let history = Topics::new(&SHARED.url(), 3);
    for partition in 0..3 {
        let own = (0..400).map(|n| sale(3 * n + partition as usize, 2)).collect::<Vec<_>>();
        history.send(partition, &own);
    }
    let aborted = history.transaction("history");
    (0..5)
        .for_each(|n| crate::send(&aborted, &history.name, 1, &[], Some(sale(9_000 + n, 1_000).as_bytes())));
    aborted.flush(LONG).unwrap();
    aborted.abort_transaction(LONG).unwrap();
    history.send(2, &["poison".to_owned()]);
    // Some of it came live before, and some comes live meanwhile.
    topics.send(0, &(0..30).map(|n| sale(n, 2)).collect::<Vec<_>>());
    let world = World::new();
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    let service = pipeline.process().backfills().unwrap();
    let wanted = |topic: &str| Wanted {
        origin: Origin::Topic(topic.to_owned()),
        from: None,
        to: None,
        types: None,
        dry_run: false,
    };
    assert!(service.begin(wanted("no-such-topic")).unwrap_err().to_string().contains("no-such-topic"));
    let bring_in = || {
        let id = service.begin(wanted(&history.name)).unwrap()["id"].as_u64().unwrap();
        // It may be over already.
        if service.steer(id, Steer::Pause).is_ok() {
            topics.send(0, &[sale(5_000, 2), sale(700, 2)]);
            service.steer(id, Steer::Resume).unwrap();
        }
        wait_until("the backfill", || {
            let job = service.one(id).unwrap();
            assert!(job["state"] != "failed", "{job}");
            job["state"] == "done"
        });
        service.one(id).unwrap()
    };
    let first = bring_in();
    assert_eq!(first["events_read"], 1_201, "{first}");
    topics.send(0, &[sale(5_000, 2), sale(700, 2)]);
    settle(&pipeline);
    wait_until("what came live", || counts(&pipeline).1 == 1_201);
    settle(&pipeline);
    let once = totals(&pipeline);
    no_difference(&pipeline);
    let again = bring_in();
    settle(&pipeline);
    assert_eq!((totals(&pipeline), counts(&pipeline).1), (once, 1_201), "{again}");
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn a_row_that_is_too_long_for_its_topic_stops_nothing_and_is_told() {
    let topics = Topics::new(&SHARED.url(), 1);
    let target = format!("{}-longest", topics.name);
    // Also shorter than a batch of rows that each are short.
    topics.create_limited(&target, 1, "3000");
    let world = World::new();
    let pipeline = world.start(&topics).unwrap();
    settle(&pipeline);
    let declare = "CREATE MATERIALIZED VIEW longest WITH (key = 'amount') AS SELECT amount, max(region) AS region FROM sales GROUP BY amount";
    pipeline.process().declare(declare).unwrap();
    pipeline.process().live(&["longest".to_owned()]).unwrap();
    let long = |n: usize, amount: i64| sale(n, amount).replace("north", &"x".repeat(6_000));
    let mut events: Vec<String> = (0..300).map(|n| sale(n, n as i64)).collect();
    events.push(long(3_000, 7));
    topics.send(0, &events);
    wait_until("the events", || counts(&pipeline).1 == 301);
    settle(&pipeline);
    sink(&pipeline, "out", &["longest"], &[("brokers", &topics.config().brokers), ("topic", &target)]);
    level(&pipeline, "out");
    let running = pipeline.shared().outlets.get("out").unwrap();
    let told = running.warning().unwrap();
    assert!(told.contains(r#"{"amount":7} of view longest"#) && told.contains("3000"), "{told}");
    let now = held(&target);
    assert_eq!(now.len(), 300);
    assert_eq!(
        now.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key).collect::<Vec<_>>(),
        [r#"{"amount":7}"#]
    );
    // It becomes short, and another long.
    topics.send(0, &[sale(3_001, 7).replace("south", "zzz"), long(3_003, 1)]);
    wait_until("the events", || counts(&pipeline).1 == 303);
    settle(&pipeline);
    level(&pipeline, "out");
    let told = running.warning().unwrap();
    assert!(told.contains(r#"{"amount":1} of view longest"#) && !told.contains(r#"{"amount":7}"#), "{told}");
    let now = held(&target);
    assert_eq!(now[r#"{"amount":7}"#].as_deref(), Some(r#"{"amount":7,"region":"zzz"}"#));
    assert_eq!((&now[r#"{"amount":1}"#], rows(&pipeline.memory().read())["longest"].len()), (&None, 300));
    pipeline.finish(End::Now).unwrap();
}

#[test]
fn records_that_do_not_count_come_to_a_topic_of_their_own() {
    let topics = Topics::new(&SHARED.url(), 1);
    let target = format!("{}.quarantine", topics.name);
    topics.send(0, &[sale(0, 1), "poison".to_owned(), sale(1, 1)]);
    let world = World::new();
    for (life, (wanted, more)) in [(1, None), (2, Some("again"))].into_iter().enumerate() {
        let mut process = crate::run(&world.data(), &world.folder.path().join("catalogue"), &topics);
        topics.send(0, &more.map(str::to_owned).into_iter().collect::<Vec<_>>());
        wait_until("the topic", || held(&target).len() == wanted);
        process.kill().unwrap();
        process.wait().unwrap();
        let rows = held(&target);
        let first: serde_json::Value = serde_json::from_str(rows[r#"{"id":1}"#].as_ref().unwrap()).unwrap();
        assert_eq!(
            (&first["rule"], &first["payload"]),
            (&"json".into(), &"poison".into()),
            "life {life}: {rows:?}"
        );
    }
}
