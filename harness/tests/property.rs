//! Random queries over random tables that change at random: after each step every view holds what DataFusion says in batch, and what
//! PostgreSQL says. A case is a query in such a world.
//!
//! `TALLYFLOW_SEED=n` runs the world of one seed, `TALLYFLOW_CASES=n` that many cases. The night's run, of a million:
//! `TALLYFLOW_CASES=1000000 TALLYFLOW_FROM=$(date +%s) cargo test --release --locked -p harness --test property -- --nocapture`,
//! where `TALLYFLOW_FROM` is the first seed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]
#[path = "property/aggregate.rs"]
mod aggregate;
#[path = "property/compare.rs"]
mod compare;
#[path = "property/expression.rs"]
mod expression;
#[path = "property/generate.rs"]
mod generate;
#[path = "property/kind.rs"]
mod kind;
#[path = "property/oracle.rs"]
mod oracle;
#[path = "services/postgres.rs"]
mod postgres;
#[path = "property/recorded.rs"]
mod recorded;
#[path = "property/run.rs"]
mod run;
#[path = "property/world.rs"]
mod world;

use oracle::Oracle;
use postgres::Postgres;
use run::{Outcome, run, smaller};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use world::{Statement, World};

const CASES: u64 = 2_000;
/// Queries of a world.
const QUERIES: u64 = 20;
/// Worlds at the same time.
const THREADS: usize = 2;
/// Failures that are made small and shown; the others are counted.
const SHOWN: usize = 20;
/// Seeds that once failed: run first.
const REGRESSIONS: &[u64] = &[];

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn seeds() -> Vec<u64> {
    if let Some(seed) = setting("TALLYFLOW_SEED") {
        return vec![seed];
    }
    let from = setting("TALLYFLOW_FROM").unwrap_or(1);
    let worlds = setting("TALLYFLOW_CASES").unwrap_or(CASES).div_ceil(QUERIES);
    REGRESSIONS.iter().copied().chain(from..from + worlds).collect()
}

fn server() -> Option<Postgres> {
    let server = Postgres::start().unwrap();
    if server.is_none() {
        assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed: apt-get install postgresql");
        println!("PostgreSQL is not installed: views are compared with the batch oracle only");
    }
    server
}

fn report(world: &World, text: &str) -> String {
    let mut out = format!("seed {}, {} workers\n", world.seed, world.workers);
    for ddl in &world.tables {
        out.push_str(&format!("  {ddl};\n"));
    }
    for (step, statements) in world.steps.iter().enumerate().filter(|(_, list)| !list.is_empty()) {
        out.push_str(&format!("  -- step {step}\n"));
        for sql in statements.iter().map(Statement::sql) {
            out.push_str(&format!("  {sql};\n"));
        }
    }
    out + "  " + text
}

#[test]
fn what_was_found_stays_right() {
    let server = server();
    let oracle = server.as_ref().map(Oracle::connect);
    for world in recorded::worlds() {
        let outcome = run(&world, oracle.as_ref());
        assert_eq!(outcome.taken, world.queries.len(), "{world:?}");
        let failures: Vec<String> =
            outcome.failures.iter().map(|failure| report(&world, &failure.text)).collect();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
    }
}

#[test]
fn views_are_what_postgresql_says() {
    let server = server();
    let seeds = seeds();
    println!("{} worlds of {QUERIES} queries, seeds from {}", seeds.len(), seeds[0]);
    let next = AtomicU64::new(0);
    let all = Mutex::new(Outcome::default());
    let shown = Mutex::new(vec![]);
    let work = || {
        let oracle = server.as_ref().map(Oracle::connect);
        loop {
            let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) else { return };
            let world = World::new(*seed, QUERIES as usize);
            let outcome = run(&world, oracle.as_ref());
            for failure in &outcome.failures {
                if shown.lock().unwrap().len() >= SHOWN {
                    break;
                }
                let (world, failure) = smaller(&world, failure, oracle.as_ref());
                let text = report(&world, &failure.text);
                println!("{text}");
                shown.lock().unwrap().push(text);
            }
            all.lock().unwrap().add(outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let outcome = all.into_inner().unwrap();
    let refused: usize = outcome.refused.values().sum();
    for (title, list) in [("PostgreSQL does not take", &outcome.rejected), ("refused", &outcome.refused)] {
        for (reason, count) in list {
            println!("{title} {count}: {reason}\n    {}", outcome.examples[reason]);
        }
    }
    println!(
        "{} queries, {} that PostgreSQL does not take, {refused} views refused, {} answers compared, {} failures",
        outcome.taken + outcome.rejected.values().sum::<usize>(),
        outcome.rejected.values().sum::<usize>(),
        outcome.compared,
        outcome.failures.len()
    );
    assert!(outcome.failures.is_empty(), "{} failures; above are the first", outcome.failures.len());
    assert!(refused * 100 <= outcome.taken * 15, "{refused} of {} views were refused", outcome.taken);
}
