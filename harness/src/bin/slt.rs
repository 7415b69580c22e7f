//! The `slt` binary: runs sqllogictest files, prints what passed, what was refused and what is wrong; exit code 1 if any is.
use clap::Parser;
use dataflows::allocator;
use harness::slt::database::{Answer, Execute, Open};
use harness::slt::{self, Options};
use harness::{Config, Error, Tallyflow};
use queries::session;
use std::process::ExitCode;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: allocator::MiMalloc = allocator::MiMalloc;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

/// The database of one script: its threads end with it.
struct Database(Option<Tallyflow>);

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(Err(why)) = self.0.take().map(Tallyflow::close) {
            eprintln!("slt: {why}");
        }
    }
}

fn main() -> ExitCode {
    allocator::keep_freed();
    let Arguments { options } = Arguments::parse();
    let workers = options.workers;
    let open: Open = Arc::new(move || {
        let database = Database(Some(Tallyflow::open(Config { workers, ..Config::default() })?));
        let execute: Execute = Box::new(move |sql| {
            let tallyflow = database.0.as_ref().expect("it is taken only when dropped");
            Ok(match tallyflow.execute(sql)?.pop() {
                Some(session::Answer::Rows { schema, rows, .. }) => Answer::Rows(schema, rows),
                Some(session::Answer::Done { tag }) => Answer::Done(count(&tag)),
                None => Answer::Done(0),
            })
        });
        Ok(execute)
    });
    match slt::run(&options, &open) {
        Ok(tally) if tally.wrong() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("slt: {why}");
            match why {
                Error::Usage(_) => ExitCode::from(2),
                Error::Failed(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// The number of rows at the end of a command tag, such as `INSERT 0 3`.
fn count(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|last| last.parse().ok()).unwrap_or(0)
}
