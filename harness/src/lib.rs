//! The process: the only place where all parts meet. An event comes in by the log and leaves as rows that readers see.
//!
//! The reader's map, in the order in which an event passes:
//!
//! | file | noun | what it is |
//! |---|---|---|
//! | [`data`] | [`data::Data`] | the data directory and its lock |
//! | [`feed`] | [`feed::Feed`] | the log, of whichever kind it is |
//! | [`ticks`] | [`ticks::Reader`] | reads the log, cuts it into ticks, has them decoded |
//! | [`clock`] | [`clock::Clock`] | the logical clock: which time a tick gets |
//! | [`progress`] | [`progress::Bindings`] | positions bound to times, durable before anything computed from them is seen |
//! | [`intake`] | [`intake::Intake`] | each event once: duplicates counted, conflicts and future events in quarantine |
//! | [`quarantine`] | [`quarantine::Ledger`] | records that do not count, what was decided about them, and what came late |
//! | [`late`] | [`late::LateChanges`] | what events that came late changed |
//! | [`backfill`] | [`backfill::Service`] | history brought in while events go on |
//! | [`ticker`] | [`ticker::Ticker`] | the one thread that decides: time, binding, intake, engine |
//! | [`pipeline`] | [`pipeline::Pipeline`] | the threads, from the log to the engine and on to the readers |
//! | [`cluster`] | [`cluster::lead::Lead`] | more than one process: who leads, who follows, what goes between them |
//! | [`publish`] | [`publish::Visible`] | what readers can see, and until when |
//! | [`outlets`] | [`outlets::Outlets`] | the stores outside that are told of each tick |
//! | [`snapshot`] | [`snapshot::Start`](snapshot::start::Start) | what was taken in up to a time: a restart goes on from there |
//! | [`statements`] | [`statements::Statements`] | tables and views declared and dropped at run time, kept |
//! | [`host`] | [`host::Process`] | what the HTTP API asks of all this |
//! | [`check`] | [`check::Difference`] | the same views once more, in batch, and what differs |
//! | [`faults`] | | places where tests kill, hold or cut off the process |
//! | [`csv`] | | views as CSV files |
//! | [`library`] | [`Tallyflow`] | all of it inside a program of yours |
//! | [`cli`] | [`cli::Command`] | the command line |
//! | [`simulate`] | | all of this in one thread, from one seed, with all that can go wrong: the binary `simulate` |
//! | [`slt`] | | SQL suites of others: the binary `slt` |
/// A line on stdout. Where nobody takes it (a closed pipe, a full disk) the process goes on without: `println!` would end it.
#[macro_export]
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// A line on stderr, as [`tell!`].
#[macro_export]
macro_rules! report {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

pub mod backfill;
pub mod check;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod csv;
pub mod data;
pub mod faults;
pub mod feed;
pub mod host;
pub mod intake;
pub mod late;
pub mod library;
pub mod metrics;
pub mod outlets;
pub mod pipeline;
pub mod progress;
pub mod publish;
pub mod quarantine;
pub mod simulate;
pub mod slt;
pub mod snapshot;
pub mod statements;
pub mod ticker;
pub mod ticks;

pub use library::{Config, Tallyflow};

/// Why the process, or a command, could not go on: by what the user can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The command was not understood: exit code 2.
    Usage(String),
    /// It was understood and failed: exit code 1.
    Failed(String),
}

impl Error {
    /// A failure: what was tried, on what, and why it failed.
    pub fn failed(tried: impl std::fmt::Display, why: impl std::fmt::Display) -> Error {
        Error::Failed(format!("cannot {tried}: {why}"))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Usage(text) | Error::Failed(text) => f.write_str(text),
        }
    }
}
impl std::error::Error for Error {}
