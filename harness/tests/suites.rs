//! Scripts of SQL with their answers, each query as it is, as a view created after the data, and as one created before it.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]
use clap::Parser;
use harness::slt::database::{Answer, Execute, Open};
use harness::slt::{self, Options};
use harness::{Config, Tallyflow};
use queries::session;
use std::path::Path;
use std::sync::Arc;

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

const ALL: &str = "plain,wrap,upstream";

fn passes(file: &str, modes: &str) {
    let open: Open = Arc::new(|| {
        let tallyflow = Tallyflow::open(Config { workers: 2, ..Config::default() })?;
        let execute: Execute = Box::new(move |sql| {
            Ok(match tallyflow.execute(sql)?.pop() {
                Some(session::Answer::Rows { schema, rows, .. }) => Answer::Rows(schema, rows),
                _ => Answer::Done(0),
            })
        });
        Ok(execute)
    });
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suites").join(file);
    let options = Arguments::parse_from(["slt", "--show", "--mode", modes, file.to_str().unwrap()]).options;
    let tally = slt::run(&options, &open).unwrap();
    assert_eq!((tally.wrong(), tally.reasons()), (0, vec![]), "see what is printed");
    assert!(!tally.lines().iter().any(|line| line.contains("accepted")), "{:?}", tally.lines());
}

#[test]
fn numbers_are_as_postgresql_has_them() {
    passes("numbers.slt", ALL);
}

#[test]
fn moments_are_as_postgresql_has_them() {
    passes("moments.slt", ALL);
}

#[test]
fn spellings_are_read() {
    passes("spellings.slt", ALL);
}

#[test]
fn the_dialect_is_that_of_postgresql() {
    passes("dialect.slt", ALL);
}

#[test]
fn names_belong_to_their_queries() {
    passes("scopes.slt", ALL);
}

#[test]
fn the_manuals_examples_are_answered_as_by_postgresql() {
    passes("manuals.slt", ALL);
}
