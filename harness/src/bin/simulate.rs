//! The `simulate` binary: runs simulations, prints the seeds that fail, and what happened how often; exit code 1 if one fails.
use clap::Parser;
use dataflows::allocator;
use harness::simulate::plant::Bug;
use harness::simulate::{Counters, MUST_HAPPEN, run};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

#[global_allocator]
static ALLOCATOR: allocator::MiMalloc = allocator::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them; with --seeds 1 a failure is made again.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Plants the bug of this number, to see it found.
    #[arg(long)]
    plant: Option<usize>,
    /// Threads, each with its own seeds.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    allocator::keep_freed();
    let Arguments { seeds, from, threads, plant } = Arguments::parse();
    let bug = plant.and_then(|number| Bug::ALL.get(number).copied());
    let next = AtomicU64::new(from);
    let work = || {
        let (mut counters, mut failed) = (Counters::default(), 0_u64);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from.saturating_add(seeds) {
                return (counters, failed);
            }
            match run(seed, bug) {
                Ok(found) => counters.merge(&found),
                Err(why) => {
                    failed += 1;
                    println!("FAILED {why}");
                }
            }
        }
    };
    let (mut counters, mut failed) = (Counters::default(), 0);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            // A panic is a failure too, and has said what it is.
            match thread.join() {
                Ok((found, count)) => {
                    counters.merge(&found);
                    failed += count;
                }
                Err(_) => failed += 1,
            }
        }
    });
    println!("{counters}{seeds} seeds from {from} on: {failed} failed");
    let missing: Vec<_> = MUST_HAPPEN.iter().filter(|what| counters.get(what) == 0).collect();
    if seeds >= 200 && !missing.is_empty() {
        println!("FAILED: never happened: {missing:?}");
        failed += 1;
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
