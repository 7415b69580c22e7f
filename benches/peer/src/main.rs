//! Queries of Nexmark by Feldera's DBSP, written by hand over the events that the bench `nexmark` makes.
//!
//! `cargo build --release --manifest-path benches/peer/Cargo.toml`, then `cargo run --release -p benches --bin nexmark -- --peer PATH` has
//! each query run by both, one after the other. Alone: `peer QUERY EVENTS BATCH`. Prints the query, k events/s by the clock, by the time
//! the process had a processor, without what makes the events and turns them into rows, MiB at most, 0, and the changes that left.
//!
//! One worker, in memory. Windows are not let go (as in SQL without watermarks), and each query gives the rows of
//! benches/nexmark/QUERY.sql, so that both count the same changes; an average is a quotient of f64 here.
#[path = "../../src/events.rs"]
mod events;
mod queries;
mod rows;
#[path = "../../src/usage.rs"]
mod usage;

use dbsp::Runtime;
use dbsp::mimalloc::MiMalloc;
use events::Events;
use rows::{Rows, schemas};
use std::time::Instant;
use usage::{peak_mib, process_seconds, thread_seconds};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let query = arguments.next().ok_or("which query?")?;
    let name = query.clone();
    let events: usize = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let batch: usize = arguments.next().map_or(Ok(40_000), |n| n.parse())?;
    let (mut circuit, (inputs, output)) =
        Runtime::init_circuit(1, move |circuit| queries::build(circuit, &query))?;
    let mut made = Events::new(schemas());
    let (mut changes, mut making) = (0, 0.0);
    let (started, had) = (Instant::now(), process_seconds());
    let batches = events.div_ceil(batch);
    for _ in 0..batches {
        let began = thread_seconds();
        let rows = Rows::of(made.batch(batch)?)?;
        making += thread_seconds() - began;
        inputs.append(rows);
        circuit.transaction()?;
        changes += output();
    }
    let (took, had) = (started.elapsed().as_secs_f64(), process_seconds() - had);
    let rate = |seconds: f64| (batches * batch) as f64 / seconds.max(1e-9) / 1e3;
    println!(
        "{name:5} {:7.0} {:7.0} {:12.0} {:>6} {:4} {:11} {changes:8}",
        rate(took),
        rate(had),
        rate(had - making),
        "-",
        peak_mib(),
        0
    );
    Ok(())
}
