//! The events of a small business, and the same events in another arrangement.
use bytes::Bytes;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use sources::generate::{Business, BusinessConfig, Shares};

/// 2026-01-01.
const FROM_MS: u64 = 1_767_225_600_000;
const DAY_MS: u64 = 86_400_000;
const DAYS: u64 = 40;

/// Of the measurements of the machines, which are most of the events of a small business, one in so many is taken.
const METRICS: usize = 20;

/// The events of 40 days, some of them late, twice, corrected and malformed.
pub fn month(seed: u64, scale: f64) -> Vec<Bytes> {
    let shares = Shares { late: 0.05, duplicate: 0.03, corrected: 0.05, malformed: 0.002 };
    let until_ms = FROM_MS + DAYS * DAY_MS;
    let mut business = Business::new(BusinessConfig { seed, from_ms: FROM_MS, until_ms, scale, shares });
    let (mut events, mut event, mut metrics) = (vec![], vec![], 0);
    while business.next_into(&mut event).is_some() {
        let is_metric = event.windows(17).any(|part| part == b".metric.recorded.");
        metrics += usize::from(is_metric);
        if !is_metric || metrics % METRICS == 0 {
            events.push(Bytes::copy_from_slice(&event));
        }
    }
    events
}

/// Where the clock stands in the end: so far behind all events that no number of ticks leads there.
pub fn last() -> Bytes {
    let time = chrono::DateTime::from_timestamp_millis((FROM_MS + (DAYS + 1) * DAY_MS) as i64).unwrap();
    let event = json!({
        "specversion": "1.0", "id": "the-last", "source": "/proof", "type": "com.example.clock",
        "time": time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
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
