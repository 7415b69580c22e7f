//! The `tallyflow` binary: a command line in, an exit code out. What it does stands in `cli`.
use clap::Parser;
use harness::Error;
use harness::cli::{Command, Outcome};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Sets an option of the allocator (mimalloc.h).
    fn mi_option_set(option: std::ffi::c_int, value: std::ffi::c_long);
}

/// `mi_option_purge_delay`: how long freed memory is kept before the system has it back.
const PURGE_DELAY: std::ffi::c_int = 15;
/// A tick frees what the next one needs: given back in between, each page is cleared by the system again, a quarter of all time.
const PURGE_DELAY_MS: std::ffi::c_long = 60_000;

fn main() -> ExitCode {
    // SAFETY: the allocator is linked in, knows the option by this number in its versions 2 and 3, and takes any value.
    unsafe { mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
    // For tests of what a panic does.
    if let Ok(place) = std::env::var("TALLYFLOW_FAULT") {
        dataflows::contain::inject(&place);
    }
    // A thread that panics has met a bug; what it leaves half done must not be read.
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
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
