//! The `tallyflow` binary: a command line in, an exit code out. What it does stands in `cli`.
use clap::Parser;
use dataflows::allocator;
use harness::Error;
use harness::cli::{Command, Outcome};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocator::MiMalloc = allocator::MiMalloc;

fn main() -> ExitCode {
    allocator::keep_freed();
    // For tests of what a panic does.
    if let Ok(place) = std::env::var("TALLYFLOW_FAULT") {
        dataflows::contain::inject(&place);
    }
    // A thread that panics has met a bug; what it leaves half done must not be read.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // What carries rows between processes panics after workers that were stopped because a process is lost, and timely would
        // panic once more for it. Nobody waits for it, and why all ends is told by whoever saw it.
        if dataflows::contain::said(panic.payload()).starts_with("MergeQueue") {
            loop {
                std::thread::park();
            }
        }
        print(panic);
        // It ends one statement or one view, whose error it becomes.
        if dataflows::contain::is_contained() {
            return;
        }
        harness::report!(
            "tallyflow: this is a bug; the process stops, and resumes from its log when it is started again"
        );
        std::process::abort();
    }));
    let armed = std::env::var(harness::faults::VARIABLE).map_or(Ok(()), |text| harness::faults::arm(&text));
    match armed.and_then(|()| Command::parse().run()) {
        Ok(Outcome::Well) => ExitCode::SUCCESS,
        Ok(Outcome::Differs) => ExitCode::FAILURE,
        Err(why) => {
            harness::report!("tallyflow: {why}");
            match why {
                Error::Usage(_) => ExitCode::from(2),
                Error::Failed(_) => ExitCode::FAILURE,
            }
        }
    }
}
