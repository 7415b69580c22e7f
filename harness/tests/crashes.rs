//! A process that is killed at any place, under load with duplicates and late events, on real servers: each store holds what
//! DataFusion's batch answers at the store's time, nothing that was acknowledged is missing, and no change is delivered twice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "crashes/events.rs"]
mod events;
#[path = "crashes/limits.rs"]
mod limits;
#[path = "crashes/matrix.rs"]
mod lines;
#[path = "crashes/proxy.rs"]
mod proxy;
#[path = "crashes/servers.rs"]
mod servers;
mod services;
#[path = "crashes/stores.rs"]
mod stores;
#[path = "crashes/streams.rs"]
mod streams;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "kafka/topics.rs"]
mod topics;
#[path = "crashes/world.rs"]
mod world;

use harness::faults::PLACES;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use world::{End, World};

/// Lives of one data directory: it grows with each.
const LIVES: usize = 30;

/// Faults that a sink outlives, before the process is killed.
const CUTS: [(&str, &str); 8] = [
    ("pg_guard_after=cut@2", "pg"),
    ("pg_commit_before=cut@3", "pg"),
    ("pg_commit_after=cut@2", "pg"),
    ("redis_chunk_after=cut@4", "redis"),
    ("redis_ack_after=cut@2", "redis"),
    ("kafka_progress=cut@2", "kafka"),
    ("kafka_commit=cut@2", "kafka"),
    ("bind_fsync.before=stall@3", ""),
];

/// Ends of lives: each place `rounds` times, the cuts, and so many at random.
fn ends(random: &mut StdRng, rounds: u64, at_random: usize) -> Vec<End> {
    let mut ends = vec![];
    for round in 0..rounds {
        for place in PLACES.iter().flat_map(|(_, places)| *places) {
            // Taking over is done once a life.
            let visits = if place.starts_with("takeover") { 1 } else { 5 };
            let visit = if round == 0 && visits > 1 { 2 } else { random.random_range(1..=visits) };
            ends.push(End::Place((*place).to_owned(), visit));
        }
        ends.extend(CUTS.map(|(faults, sink)| End::After(faults.to_owned(), sink)));
    }
    ends.extend((0..at_random).map(|_| End::Random));
    ends.shuffle(random);
    ends
}

/// Runs them, and says what was injected and what differed.
fn matrix(seed: u64, rounds: u64, at_random: usize) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut ends = ends(&mut random, rounds, at_random);
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    // For a fault that is looked into.
    if let Ok(only) = std::env::var("TALLYFLOW_ONLY") {
        ends.retain(|end| format!("{end:?}").contains(&only));
        ends = ends.iter().cycle().take(30).cloned().collect();
    }
    println!("{} lives from seed {seed}", ends.len());
    let mut lives = 0;
    for (number, ends) in ends.chunks(LIVES).enumerate() {
        let mut world = World::new(seed.wrapping_mul(1_000) + number as u64, number % 2 == 1);
        for end in ends {
            let began = std::time::Instant::now();
            world.live(end);
            let lived = began.elapsed().as_millis();
            let wrong = stores::differences(&world);
            println!("{end:?}: lived {lived} ms, compared after {} ms", began.elapsed().as_millis());
            assert!(wrong.is_empty(), "seed {seed}, {end:?}: {wrong:#?}");
        }
        world.settle();
        let wrong = stores::differences(&world);
        assert!(wrong.is_empty(), "seed {seed}, at the end: {wrong:#?}");
        world.counts().into_iter().for_each(|(what, n)| *counts.entry(what).or_default() += n);
        lives += ends.len();
        println!("{:<40} {:>7}", "what", "times");
        counts.iter().for_each(|(what, n)| println!("{what:<40} {n:>7}"));
        println!("{lives} lives, differences {:>20}", 0);
    }
    let places = PLACES.iter().flat_map(|(_, places)| *places).map(|place| format!("kill at {place}"));
    let cuts = CUTS.iter().map(|(faults, _)| faults.split('@').next().unwrap().to_owned());
    if std::env::var_os("TALLYFLOW_ONLY").is_some() {
        return;
    }
    for what in places.chain(cuts).chain(["kill at random".to_owned()]) {
        assert!(counts.get(&what).is_some_and(|n| *n > 0), "{what} never happened");
    }
}

#[test]
fn a_process_killed_at_any_place_leaves_each_store_right() {
    matrix(1, 1, 13);
}

/// By night: `cargo test --release --workspace --test crashes -- --ignored --nocapture two_thousand_kills`; 1,504 at places and after
/// faults, 500 at random. With TALLYFLOW_ROUNDS=2 it is two rounds of the places, and as large a share of those at random.
#[test]
#[ignore = "takes hours"]
fn two_thousand_kills() {
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let seed = std::env::var("TALLYFLOW_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(seed);
    let rounds = std::env::var("TALLYFLOW_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(32);
    matrix(seed, rounds, 500 * rounds as usize / 32);
}

/// The fault matrix: `cargo test --release --workspace --test crashes -- --ignored --nocapture fault_matrix`. TALLYFLOW_LINES=M4,M10 takes
/// some of its lines, TALLYFLOW_ROUNDS=20 runs each so often.
#[test]
#[ignore = "takes a quarter of an hour"]
fn fault_matrix() {
    lines::all();
}
