//! The `slt` binary: runs sqllogictest files, prints what passed, what was refused and what is wrong; exit code 1 if any is.
use clap::Parser;
use harness::Error;
use harness::slt::database::{Execute, Open};
use harness::slt::{self, Options};
use queries::DeclareError;
use std::process::ExitCode;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let Arguments { options } = Arguments::parse();
    let open: Open = Arc::new(|| {
        let execute: Execute = Box::new(|_| Err(DeclareError::Unsupported("no session yet".into())));
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
