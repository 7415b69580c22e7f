//! What the generator promises: the same bytes for a seed, the stated shares, and a history that makes sense.
use serde_json::Value;
use sources::Payload;
use sources::generate::{Generated, Generator, GeneratorConfig, Kind, Pace, Shares};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

const START_MS: u64 = 1_767_225_600_000;
/// XXH3 of the first 50,000 events of seed 7. It changes only with the workload itself.
const GOLDEN: u64 = 16_997_730_057_730_982_745;

fn config(seed: u64) -> GeneratorConfig {
    GeneratorConfig { seed, start_ms: START_MS, rate: 6_667.0, customers: 2_000, shares: Shares::default() }
}

fn bytes(event: &Generated) -> &[u8] {
    match &event.payload {
        Payload::Structured(bytes) => bytes,
        Payload::Binary { .. } => panic!("the generator writes structured events"),
    }
}

fn hash(seed: u64, events: usize) -> u64 {
    let mut hash = Xxh3::new();
    for event in Generator::new(config(seed)).take(events) {
        hash.update(bytes(&event));
    }
    hash.digest()
}

/// Every event with its JSON, where it is JSON.
fn parsed(seed: u64, events: usize) -> impl Iterator<Item = (Generated, Option<Value>)> {
    Generator::new(config(seed)).take(events).map(|event| {
        let json = serde_json::from_slice(bytes(&event)).ok();
        (event, json)
    })
}

#[test]
fn a_seed_gives_the_same_bytes_on_every_machine() {
    assert_eq!(hash(7, 50_000), GOLDEN);
    assert_ne!(hash(8, 1_000), hash(7, 1_000));
}

#[test]
fn both_forms_give_the_same_events() {
    let mut buffer = b"what was there before".to_vec();
    let mut generator = Generator::new(config(3));
    for event in Generator::new(config(3)).take(5_000) {
        let (kind, event_time_ms) = generator.next_into(&mut buffer);
        assert_eq!((kind, event_time_ms), (event.kind, event.event_time_ms));
        assert_eq!(buffer, bytes(&event));
    }
}

#[test]
fn shares_are_as_stated() {
    let shares = Shares { late: 0.05, duplicate: 0.04, corrected: 0.03, malformed: 0.01 };
    for shares in [Shares::default(), shares] {
        let mut counts = HashMap::new();
        for event in Generator::new(GeneratorConfig { shares, ..config(11) }).take(200_000) {
            *counts.entry(event.kind).or_insert(0u32) += 1;
        }
        let stated = [
            (Kind::Late, shares.late),
            (Kind::Duplicate, shares.duplicate),
            (Kind::Corrected, shares.corrected),
            (Kind::Malformed, shares.malformed),
        ];
        for (kind, share) in stated {
            let expected = share * 200_000.0;
            let deviation = (f64::from(counts[&kind]) - expected).abs();
            // Five standard deviations of a binomial count, and what is still queued at the end.
            let tolerance = 5.0 * expected.sqrt() + share * 2.0 * 6_667.0;
            assert!(deviation < tolerance, "{kind:?}: {} events, not {expected}", counts[&kind]);
        }
    }
}

#[test]
fn what_is_not_malformed_is_an_event_with_an_id_of_its_own() {
    let mut seen: HashMap<(String, String), Vec<u8>> = HashMap::new();
    let mut types: HashMap<String, u32> = HashMap::new();
    for (event, json) in parsed(5, 200_000).filter(|(event, _)| event.kind != Kind::Malformed) {
        let json = json.unwrap_or_else(|| panic!("not JSON: {}", String::from_utf8_lossy(bytes(&event))));
        let text =
            |name: &str| json[name].as_str().unwrap_or_else(|| panic!("no {name} in {json}")).to_owned();
        assert_eq!(text("specversion"), "1.0");
        let time = chrono::DateTime::parse_from_rfc3339(&text("time")).unwrap().timestamp_millis() as u64;
        assert_eq!(time, event.event_time_ms);
        let recorded =
            json["recordedtime"].as_str().map(|text| chrono::DateTime::parse_from_rfc3339(text).unwrap());
        if let Some(recorded) = recorded {
            let delay = recorded.timestamp_millis() as u64 - time;
            assert!((60_000..=3 * 86_400_000).contains(&delay), "late by {delay} ms");
        }
        *types.entry(text("type")).or_default() += 1;
        let before = seen.insert((text("source"), text("id")), bytes(&event).to_vec());
        match event.kind {
            Kind::Duplicate => assert_eq!(before.as_deref(), Some(bytes(&event))),
            Kind::Late => assert!(before.is_none() && recorded.is_some(), "{json}"),
            Kind::Plain | Kind::Corrected => assert!(before.is_none() && recorded.is_none(), "{json}"),
            Kind::Malformed => panic!("filtered"),
        }
    }
    for kind in [
        "customer.created",
        "customer.updated",
        "customer.statusChanged",
        "productOrder.created",
        "productOrder.stateChanged",
        "productOrder.amended",
        "productOrder.cancelled",
        "productOrder.completed",
        "customerBill.created",
        "customerBill.stateChanged",
        "customerBill.voided",
        "payment.pendingAuthorization",
        "payment.authorized",
        "payment.captured",
        "payment.settled",
        "payment.failed",
        "product.created",
        "product.activated",
        "product.terminated",
        "usage.received",
        "pageView.recorded",
    ] {
        assert!(types.remove(&format!("com.example.bss.{kind}.v1")).is_some(), "no {kind}");
    }
    assert!(types.is_empty(), "not documented: {types:?}");
}

#[test]
fn malformed_events_break_a_rule_in_every_way() {
    let shares = Shares { malformed: 0.2, ..Shares::default() };
    let mut ways: HashMap<&str, u32> = HashMap::new();
    for event in Generator::new(GeneratorConfig { shares, ..config(13) }).take(50_000) {
        if event.kind != Kind::Malformed {
            continue;
        }
        let way = match serde_json::from_slice::<Value>(bytes(&event)) {
            Err(_) => "json",
            Ok(json) if ["specversion", "id", "source", "type"].iter().any(|name| json[name].is_null()) => {
                "missing"
            }
            Ok(json) if json["specversion"] != "1.0" => "specversion",
            Ok(json) if json["time"] == "yesterday" => "time",
            Ok(json) if json["data"]["milliseconds"] == "fast" => "milliseconds",
            Ok(json) if json["data"]["volume"]["amount"] == "plenty" => "amount",
            Ok(json) => panic!("nothing is wrong with {json}"),
        };
        *ways.entry(way).or_default() += 1;
    }
    assert_eq!(ways.len(), 6, "{ways:?}");
}

#[test]
fn an_entity_exists_before_others_name_it() {
    let events: Vec<(Kind, Value)> = parsed(17, 100_000)
        .filter(|(event, _)| event.kind != Kind::Malformed)
        .map(|(event, json)| (event.kind, json.unwrap()))
        .collect();
    let subject = |json: &Value| json["subject"].as_str().unwrap().split_once('/').unwrap().1.to_owned();
    // What was announced late may be named before: it is no counterexample.
    let late: HashSet<String> =
        events.iter().filter(|(kind, _)| *kind == Kind::Late).map(|(_, json)| subject(json)).collect();
    let mut known: HashSet<String> = HashSet::new();
    let mut checked = 0;
    for (kind, json) in &events {
        let data = &json["data"];
        if *kind == Kind::Plain {
            for name in ["customerId", "orderId", "billId", "productId"] {
                let Some(id) = data[name].as_str() else { continue };
                if subject(json) != id && !late.contains(id) {
                    assert!(known.contains(id), "{id} is not known at {json}");
                    checked += 1;
                }
            }
        }
        known.insert(subject(json));
    }
    assert!(checked > 50_000, "only {checked} references");
}

#[test]
fn a_version_comes_once_and_a_correction_never_first() {
    let mut versions: HashMap<String, Vec<(u64, Kind)>> = HashMap::new();
    for (event, json) in parsed(19, 200_000) {
        if !matches!(event.kind, Kind::Malformed | Kind::Duplicate)
            && let Some(json) = json
            && let Some(version) = json["entityversion"].as_u64()
        {
            versions
                .entry(json["subject"].as_str().unwrap().to_owned())
                .or_default()
                .push((version, event.kind));
        }
    }
    let (mut corrected, mut missing) = (0, 0);
    for (subject, mut versions) in versions {
        versions.sort_unstable_by_key(|(version, _)| *version);
        corrected += versions.iter().filter(|(_, kind)| *kind == Kind::Corrected).count();
        for pair in versions.windows(2) {
            assert!(pair[1].0 > pair[0].0, "{subject} has version {} twice", pair[0].0);
            missing += pair[1].0 - pair[0].0 - 1;
        }
        assert_ne!(versions[0].1, Kind::Corrected, "{subject} begins with a correction");
    }
    assert!(corrected > 1_500, "only {corrected} corrections");
    // Late ones that are still held back at the end: at most two seconds of them.
    assert!(missing < 20, "{missing} versions are missing");
}

#[test]
fn some_customers_are_busy_and_some_pay_in_bursts() {
    let mut events: HashMap<String, u32> = HashMap::new();
    let mut bursts: HashMap<String, HashSet<String>> = HashMap::new();
    for (_, json) in parsed(23, 200_000) {
        let Some(json) = json else { continue };
        let Some(customer) = json["data"]["customerId"].as_str() else { continue };
        *events.entry(customer.to_owned()).or_default() += 1;
        if json["type"] == "com.example.bss.payment.pendingAuthorization.v1"
            && json["data"]["billId"].is_null()
        {
            let token = json["data"]["instrumentToken"].as_str().unwrap();
            bursts.entry(customer.to_owned()).or_default().insert(token.to_owned());
        }
    }
    let mut counts: Vec<u32> = events.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let busiest: u32 = counts[..counts.len() / 10].iter().sum();
    assert!(f64::from(busiest) > 0.4 * f64::from(counts.iter().sum::<u32>()));
    let several_cards = bursts.values().filter(|cards| cards.len() >= 3).count();
    assert!(several_cards >= 5, "{bursts:?}");
}

#[test]
fn pace_gives_what_is_due_and_no_more() {
    let mut pace = Pace::new(1_000.0);
    let cases = [(0, 0), (1, 1), (1, 0), (500, 499), (499, 0), (2_000, 1_500)];
    for (at_ms, due) in cases {
        assert_eq!(pace.due(Duration::from_millis(at_ms)), due);
    }
    assert_eq!(pace.wait(5, Duration::from_millis(2_001)), Duration::from_millis(4));
    assert_eq!(pace.wait(5, Duration::from_millis(2_010)), Duration::ZERO);
}
