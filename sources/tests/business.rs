//! What the generated business promises: the same bytes for a seed, events that their schemas know, and fraud that is labelled.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use serde_json::Value;
use sources::generate::{Business, BusinessConfig, Kind, Shares};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

const FROM_MS: u64 = 1_767_225_600_000;
const DAY_MS: u64 = 86_400_000;

fn events(seed: u64, days: u64, scale: f64, shares: Shares) -> Vec<(Kind, u64, Vec<u8>)> {
    let config = BusinessConfig { seed, from_ms: FROM_MS, until_ms: FROM_MS + days * DAY_MS, scale, shares };
    let mut business = Business::new(config);
    let (mut events, mut event) = (vec![], vec![]);
    while let Some((kind, time_ms)) = business.next_into(&mut event) {
        events.push((kind, time_ms, event.clone()));
    }
    events
}

#[test]
fn a_seed_gives_the_same_bytes() {
    let one = events(3, 10, 0.004, Shares::default());
    assert_eq!(one, events(3, 10, 0.004, Shares::default()));
    assert_ne!(one, events(4, 10, 0.004, Shares::default()));
}

#[test]
fn every_event_is_of_a_type_that_has_a_schema_and_states_what_it_needs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries/bss/schemas");
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (kind, _, bytes) in events(5, 40, 0.01, Shares::default()) {
        if kind == Kind::Malformed {
            continue;
        }
        let event: Value = serde_json::from_slice(&bytes).unwrap();
        let name = event["type"].as_str().unwrap().trim_start_matches("com.example.bss.").to_owned();
        let schema = schemas.entry(name.clone()).or_insert_with(|| {
            let file = folder.join(format!("{name}.json"));
            let text = std::fs::read(&file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
            serde_json::from_slice(&text).unwrap()
        });
        for required in schema["required"].as_array().unwrap() {
            assert!(!event[required.as_str().unwrap()].is_null(), "{name} lacks {required}: {event}");
        }
        for required in schema["properties"]["data"]["required"].as_array().into_iter().flatten() {
            assert!(!event["data"][required.as_str().unwrap()].is_null(), "{name} lacks {required}: {event}");
        }
        for (field, rule) in schema["properties"]["data"]["properties"].as_object().unwrap() {
            let value = &event["data"][field];
            if let (Some(allowed), false) = (rule["enum"].as_array(), value.is_null()) {
                assert!(allowed.contains(value), "{name}: {field} may not be {value}");
            }
        }
        seen.insert(name);
    }
    assert!(seen.len() > 35, "only {seen:?}");
}

#[test]
fn each_kind_of_fraud_is_labelled_a_week_later() {
    let mut labels: HashMap<String, u32> = HashMap::new();
    for (kind, time_ms, bytes) in events(6, 60, 0.01, Shares::default()) {
        let Ok(event) = serde_json::from_slice::<Value>(&bytes) else { continue };
        if kind == Kind::Plain && event["type"] == "com.example.bss.fraudLabel.confirmed.v1" {
            let happened = event["data"]["happenedAt"].as_str().unwrap();
            let happened = chrono::DateTime::parse_from_rfc3339(happened).unwrap().timestamp_millis() as u64;
            assert_eq!(time_ms - happened, 7 * DAY_MS);
            // An honest payment that was looked into has no kind.
            let kind = event["data"]["kind"].as_str();
            assert_eq!(kind.is_some(), event["data"]["isFraud"] == true, "{event}");
            if let Some(kind) = kind {
                *labels.entry(kind.into()).or_default() += 1;
            }
        }
    }
    assert_eq!(labels.len(), 12, "{labels:?}");
}

#[test]
fn shares_are_as_stated_and_late_ones_say_when_they_were_recorded() {
    let shares = Shares { late: 0.05, duplicate: 0.04, corrected: 0.03, malformed: 0.01 };
    let all = events(7, 20, 0.02, shares);
    let count = |kind: Kind| all.iter().filter(|(of, _, _)| *of == kind).count() as f64 / all.len() as f64;
    for (kind, share) in [(Kind::Late, 0.05), (Kind::Duplicate, 0.04)] {
        assert!((count(kind) - share).abs() < 0.01, "{kind:?}: {}", count(kind));
    }
    assert!(count(Kind::Malformed) > 0.004);
    for (_, _, bytes) in all.iter().filter(|(kind, _, _)| *kind == Kind::Late) {
        let event: Value = serde_json::from_slice(bytes).unwrap();
        assert!(event["recordedtime"].is_string(), "{event}");
    }
}
