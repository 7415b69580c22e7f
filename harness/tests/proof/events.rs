//! The events of a small business with those of all cases among them, and the same events in another arrangement.
use super::case;
use bytes::Bytes;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sources::generate::{Business, BusinessConfig, Shares};
use std::collections::HashMap;
use std::path::Path;

/// 2026-01-01.
const FROM_MS: u64 = 1_767_225_600_000;
const DAY_MS: u64 = 86_400_000;
const DAYS: u64 = 40;
/// Of the measurements of the machines, which are most of the events of a small business, one in so many is taken.
const METRICS: usize = 20;
/// Where the clock stands in the end: so far behind all events that no number of ticks leads there.
const END: &str = "2026-09-01T00:00:00Z";
/// Events of the cases after it are left out.
const CASES_END: &str = "2026-08-01T00:00:00Z";

/// The events of 40 days, some of them late, twice, corrected and malformed, and those of the cases, each when its time has come.
pub fn all(seed: u64, scale: f64, catalogue: &Path) -> Vec<Bytes> {
    let shares = Shares { late: 0.05, duplicate: 0.03, corrected: 0.05, malformed: 0.002 };
    let until_ms = FROM_MS + DAYS * DAY_MS;
    let mut business = Business::new(BusinessConfig { seed, from_ms: FROM_MS, until_ms, scale, shares });
    let mut cases = cases(catalogue).into_iter().peekable();
    let (mut events, mut event, mut metrics) = (vec![], vec![], 0);
    while let Some((_, time_ms)) = business.next_into(&mut event) {
        let is_metric = event.windows(17).any(|part| part == b".metric.recorded.");
        metrics += usize::from(is_metric);
        if is_metric && metrics % METRICS > 0 {
            continue;
        }
        while let Some((_, event)) = cases.next_if(|(time, _)| *time <= time_ms as i64) {
            events.push(event);
        }
        events.push(Bytes::copy_from_slice(&event));
    }
    events.extend(cases.map(|(_, event)| event));
    // Of two events with one id that say different things the first stands: which that is, is a matter of the order.
    let mut said: HashMap<(String, String), Bytes> = HashMap::new();
    events.retain(|event| match identity(event) {
        Some(identity) => *said.entry(identity).or_insert_with(|| event.clone()) == *event,
        None => true,
    });
    events
}

/// Source and id, if it has them.
fn identity(event: &[u8]) -> Option<(String, String)> {
    let event: Value = serde_json::from_slice(event).ok()?;
    Some((event["source"].as_str()?.to_owned(), event["id"].as_str()?.to_owned()))
}

fn time_ms(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis()
}

/// What the case files say happened, with when: each under a source of its own, since their ids are the same.
fn cases(catalogue: &Path) -> Vec<(i64, Bytes)> {
    let mut files: Vec<_> =
        std::fs::read_dir(catalogue.join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut events: Vec<(i64, Bytes)> = vec![];
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        for section in case::parse(&std::fs::read_to_string(&file).unwrap()).unwrap() {
            for mut event in section.events {
                let source = event["source"].as_str().unwrap();
                event["source"] = Value::from(format!("/case/{name}{source}"));
                events.push((time_ms(event["time"].as_str().unwrap()), Bytes::from(event.to_string())));
            }
        }
    }
    events.retain(|(time, _)| *time < time_ms(CASES_END));
    events.sort_by_key(|(time, _)| *time);
    events
}

/// The event with which the clock reaches its end.
pub fn last() -> Bytes {
    let event = json!({
        "specversion": "1.0", "id": "the-last", "source": "/proof", "type": "com.example.clock", "time": END,
    });
    Bytes::from(event.to_string())
}

/// The same events in any order, one in ten of them twice.
pub fn arranged(events: &[Bytes], random: &mut ChaCha8Rng) -> Vec<Bytes> {
    let twice: Vec<Bytes> = events.iter().filter(|_| random.random_bool(0.1)).cloned().collect();
    let mut arranged: Vec<Bytes> = events.iter().cloned().chain(twice).collect();
    arranged.shuffle(random);
    arranged
}
