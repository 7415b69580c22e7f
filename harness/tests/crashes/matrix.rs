//! The fault matrix: one kind of fault after the other on real servers under load. After each, all that was acknowledged is in each
//! store, and each store holds what DataFusion's batch answers at its time.
use crate::world::{End, Life, World};
use crate::{limits, servers, stores, streams};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A line: its number in the specification, what goes wrong, and how, once a round. `kafka` says where the log is.
pub struct Line {
    pub number: &'static str,
    pub fault: &'static str,
    pub kafka: bool,
    pub run: fn(&mut World, u64),
}

const ROUNDS: u64 = 3;

fn lines() -> Vec<Line> {
    let line = |number, fault, kafka, run| Line { number, fault, kafka, run };
    vec![
        line("M1", "kill -9 under load", false, |world, _| ended(world, &End::Random)),
        line("M1", "kill -9 within a snapshot", false, |world, round| {
            let place = ["snap_part.after", "snap_rename.before", "snap_manifest.after"][round as usize % 3];
            ended(world, &End::Place(place.into(), 1));
        }),
        line("M2", "two instances: the first stopped, then let go on", true, servers::two_instances),
        line("M3", "Kafka killed, paused, restarted", true, servers::broker),
        line("M4", "PostgreSQL killed", false, servers::postgres_killed),
        line("M4", "backends ended, a lock held, no connection left", false, servers::postgres_held),
        line("M4", "failover that lost the last transactions", false, servers::postgres_rewound),
        line("M4", "PgBouncer restarted", false, servers::pooler),
        line("M5", "Redis killed, emptied, full, its file lost", false, servers::redis),
        line("M6", "disk full", false, limits::disk_full),
        line("M6", "snapshots torn, flipped, gone", false, limits::snapshots),
        line("M6", "read-only file system", false, limits::read_only),
        line("M7", "PostgreSQL dead, the others keep up", false, |world, round| {
            servers::dead(world, "pg", round)
        }),
        line("M8", "Redis dead, the others keep up", false, |world, round| {
            servers::dead(world, "redis", round)
        }),
        line("M9", "Kafka dead, the others keep up", false, |world, round| {
            servers::dead(world, "kafka", round)
        }),
        line("M10", "network slow, deaf, cut", false, servers::network),
        line("M12", "poison, large events, tombstones, aborted", true, servers::poison),
        line("M13", "clock +1 h, -1 h, -10 d", false, limits::clock),
        line("M13", "the same with the log in Kafka", true, limits::clock),
        line("M14", "64 files, little memory, a fifth of a processor", false, limits::scarce),
        line("M15", "readers of changes drop, stall, storm", false, streams::readers),
        line("M16", "upgrade and downgrade with live data", false, limits::upgrade),
    ]
}

/// Runs all of them, or those of TALLYFLOW_LINES, by number or by a word of the fault, and prints the table.
pub fn all() {
    let only = std::env::var("TALLYFLOW_LINES").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|one| !one.is_empty()).collect();
    let rounds =
        std::env::var("TALLYFLOW_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let mut table = vec![];
    let mut failed = vec![];
    let is_meant = |line: &Line| {
        let mut words = line.fault.split([' ', ',', ':']);
        only.is_empty() || only.contains(&line.number) || words.any(|word| only.contains(&word))
    };
    for (at, line) in lines().iter().enumerate().filter(|(_, line)| is_meant(line)) {
        let ran =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(line, 9_000 + at as u64, rounds)));
        match ran {
            Ok(row) => table.push(row),
            Err(_) => {
                table.push(format!("{:<4} {:<50} failed", line.number, line.fault));
                failed.push(format!("{} {}", line.number, line.fault));
            }
        }
    }
    println!(
        "\n{:<4} {:<50} {:>5} {:>7} {:>12} {:>12}",
        "line", "fault", "runs", "faults", "comparisons", "differences"
    );
    table.iter().for_each(|row| println!("{row}"));
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A line so often; its row of the table.
fn run(line: &Line, seed: u64, rounds: u64) -> String {
    let began = Instant::now();
    let mut world = World::new(seed, line.kafka);
    for round in 0..rounds {
        println!("{} {}: round {round}", line.number, line.fault);
        (line.run)(&mut world, round);
        let wrong = stores::differences(&world);
        assert!(wrong.is_empty(), "{} {}, round {round}: {wrong:#?}", line.number, line.fault);
    }
    let counts = world.counts();
    let injected: BTreeMap<&str, u64> =
        counts.iter().filter_map(|(what, n)| Some((what.strip_prefix("fault: ")?, *n))).collect();
    let kills: u64 = counts.iter().filter(|(what, _)| what.starts_with("kill at")).map(|(_, n)| n).sum();
    let faults = injected.values().sum::<u64>() + kills;
    assert!(faults >= rounds, "{} {}: {faults} faults in {rounds} rounds", line.number, line.fault);
    let compared: u64 =
        counts.iter().filter(|(what, _)| what.starts_with("comparisons")).map(|(_, n)| n).sum();
    let seconds = began.elapsed().as_secs();
    let row = format!(
        "{:<4} {:<50} {rounds:>5} {faults:>7} {compared:>12} {:>12} {seconds:>5} s",
        line.number, line.fault, 0
    );
    println!("{row}\n     {injected:?}");
    row
}

fn ended(world: &mut World, end: &End) {
    world.live(end);
    world.settle();
}

/// Something was made to go wrong.
pub fn injected(world: &World, what: &str) {
    world.count(&format!("fault: {what}"));
}

/// So many batches of new events, acknowledged or not.
pub fn load(world: &mut World, life: &mut Life, batches: usize) {
    for _ in 0..batches {
        world.send(life, 30);
    }
}

/// A life under load while something goes wrong, until all is well again and every store has all.
pub fn while_it_runs(world: &mut World, spoil: impl FnOnce(&mut World, &mut Life)) {
    let mut life = world.start("");
    load(world, &mut life, 3);
    spoil(world, &mut life);
    load(world, &mut life, 2);
    world.catch_up(&mut life);
}

/// Looks until something is so.
pub fn until(what: &str, life: &mut Life, mut done: impl FnMut(&mut Life) -> bool) {
    let began = Instant::now();
    while !done(life) {
        assert!(
            began.elapsed() < crate::world::HANG,
            "{what} does not come: {:?} {}",
            life.sinks(),
            life.said()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
