//! SQL suites: runs sqllogictest files, a fresh database per file, and says what passed, what was refused and what is wrong.
//!
//! | file | what it is |
//! |---|---|
//! | [`script`] | what a statement does, told from its words |
//! | `run` | a script in its own order, each query also as a view created after the data |
//! | [`upstream`] | a script with its views created before the data |
//! | [`database`] | the product as `sqllogictest` sees it |
//! | [`external`] | tables over CSV files |
//! | [`compare`] | whether rows are the expected ones |
//! | [`differs`] | answers of PostgreSQL that are not those of the suites |
//! | [`report`](mod@report) | the counts |
pub mod compare;
pub mod database;
pub mod differs;
pub mod external;
pub mod report;
pub mod run;
pub mod script;
pub mod upstream;

use crate::Error;
use database::Open;
use report::{Outcome, Tally, Verdict};
use run::Run;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The name by which scripts may skip or select records for us.
pub const ENGINE: &str = "tallyflow";

/// Room for the recursion of deeply nested statements.
const STACK_BYTES: usize = 64 << 20;

/// In which way queries are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Mode {
    /// As they are.
    Plain,
    /// As a materialized view, created where the query stands.
    Wrap,
    /// As a materialized view, created before the data.
    Upstream,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Mode::Plain => "plain",
            Mode::Wrap => "wrap",
            Mode::Upstream => "upstream",
        })
    }
}

/// How cells are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// As PostgreSQL prints them.
    Postgres,
    /// As DataFusion's test files have them.
    Datafusion,
}

/// What to run, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Files, or folders with .slt files in them.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// In which way to run queries; all three if none is named.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub mode: Vec<Mode>,
    /// How cells are printed; by the path if not named.
    #[arg(long, value_enum)]
    pub dialect: Option<Dialect>,
    /// Worker threads of each database.
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
    /// Print each record that does not pass.
    #[arg(long)]
    pub show: bool,
    /// The folder that paths in LOCATION are relative to.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// A file is given up when a record takes longer.
    #[arg(long, default_value_t = 100)]
    pub seconds_max: u64,
}

/// Runs all files and prints the counts; the counts of all.
pub fn run(options: &Options, open: &Open) -> Result<Tally, Error> {
    let mut all = Tally::default();
    for file in files(&options.paths)? {
        let mut tally = Tally::default();
        run_file(&file, options, open, &mut |outcome| {
            if options.show {
                show(outcome);
            }
            tally.add(outcome);
            all.add(outcome);
        })?;
        tell!("{}", file.display());
        tally.lines().iter().for_each(|line| tell!("  {line}"));
    }
    tell!("\nAll files");
    all.lines().iter().for_each(|line| tell!("  {line}"));
    let reasons = all.reasons();
    if !reasons.is_empty() {
        tell!("\nRefused and skipped, by reason");
        reasons.iter().for_each(|line| tell!("  {line}"));
    }
    Ok(all)
}

fn show(outcome: &Outcome) {
    let Outcome { mode, place, sql, verdict, .. } = outcome;
    let (name, detail) = match verdict {
        Verdict::Passed | Verdict::Skipped(_) => return,
        Verdict::Refused(reason) => ("refused", reason.as_str()),
        Verdict::Accepted => ("accepted", "an error is expected"),
        Verdict::Wrong(detail) => ("WRONG", detail.as_str()),
    };
    tell!("{name} {mode} {place}\n{sql}\n  => {}\n", detail.replace('\n', "\n     "));
}

/// The files in the order given, those of a folder by name.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut found = vec![];
    for path in paths {
        if path.is_dir() {
            let failed = |why| Error::failed(format!("read {}", path.display()), why);
            let entries: Result<Vec<_>, _> = std::fs::read_dir(path).map_err(failed)?.collect();
            let mut inside: Vec<PathBuf> =
                entries.map_err(failed)?.iter().map(|entry| entry.path()).collect();
            inside.sort();
            inside.retain(|path| path.is_dir() || path.extension().is_some_and(|of| of == "slt"));
            found.extend(files(&inside)?);
        } else if path.exists() {
            found.push(path.clone());
        } else {
            return Err(Error::Usage(format!("there is no file {}", path.display())));
        }
    }
    Ok(found)
}

/// Runs a file on a thread of its own, so that a record without an end does not stop the others.
fn run_file(
    file: &Path,
    options: &Options,
    open: &Open,
    each: &mut dyn FnMut(&Outcome),
) -> Result<(), Error> {
    let modes = match options.mode.as_slice() {
        [] => vec![Mode::Plain, Mode::Wrap, Mode::Upstream],
        modes => modes.to_vec(),
    };
    let records = run::records(file).map_err(|why| Error::failed(format!("read {}", file.display()), why))?;
    let dialect = options.dialect.unwrap_or_else(|| dialect_of(file));
    let base = options.data.clone().unwrap_or_else(|| data_of(file));
    let own_order: Vec<Mode> = modes.iter().copied().filter(|mode| *mode != Mode::Upstream).collect();
    for pass in [own_order.as_slice(), &[Mode::Upstream]] {
        if pass.is_empty() || !pass.iter().all(|mode| modes.contains(mode)) {
            continue;
        }
        let place = Arc::new(Mutex::new(format!("{}:1", file.display())));
        let (sender, receiver) = channel();
        let work = {
            let (records, pass, base) = (records.clone(), pass.to_vec(), base.clone());
            let (open, place) = (open.clone(), place.clone());
            move || run_pass(records, &pass, dialect, base, &open, (sender, place))
        };
        let thread = std::thread::Builder::new().name("script".into()).stack_size(STACK_BYTES).spawn(work);
        let thread = thread.map_err(|why| Error::failed("start a thread", why))?;
        loop {
            match receiver.recv_timeout(Duration::from_secs(options.seconds_max)) {
                Ok(outcome) => each(&outcome),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let place = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let text = format!("no answer within {} s; the file is given up", options.seconds_max);
                    each(&outcome_of_the_whole(pass[0], place, text));
                    break;
                }
            }
        }
        if thread.is_finished()
            && let Err(panic) = thread.join()
        {
            let place = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
            each(&outcome_of_the_whole(pass[0], place, run::panic_text(panic.as_ref())));
        }
    }
    Ok(())
}

fn outcome_of_the_whole(mode: Mode, place: String, text: String) -> Outcome {
    Outcome { mode, is_query: true, place, sql: String::new(), verdict: Verdict::Wrong(text) }
}

fn run_pass(
    records: Vec<run::Record>,
    modes: &[Mode],
    dialect: Dialect,
    base: PathBuf,
    open: &Open,
    (sender, place): (Sender<Outcome>, Arc<Mutex<String>>),
) {
    let database = match open() {
        Ok(database) => database,
        Err(why) => {
            _ = sender.send(outcome_of_the_whole(modes[0], String::new(), why.to_string()));
            return;
        }
    };
    let mut run = Run::new(database::Connection::new(database, dialect), records, base, place);
    // The receiver is gone where the file was given up.
    let mut report = |outcome| _ = sender.send(outcome);
    match modes {
        [Mode::Upstream] => upstream::run(&mut run, &mut report),
        modes => run.in_order(modes, &mut report),
    }
}

fn dialect_of(file: &Path) -> Dialect {
    let full = std::path::absolute(file).unwrap_or(file.to_path_buf());
    match full.components().any(|part| part.as_os_str().to_string_lossy().contains("datafusion")) {
        true => Dialect::Datafusion,
        false => Dialect::Postgres,
    }
}

/// DataFusion's scripts name data relative to a folder of its repository, which stands beside the suites.
fn data_of(file: &Path) -> PathBuf {
    let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
    let full = std::path::absolute(&folder).unwrap_or(folder.clone());
    full.ancestors()
        .map(|above| above.join("datafusion/repo/datafusion"))
        .find(|repository| repository.exists())
        .map_or(folder, |repository| repository.join("sqllogictest"))
}
