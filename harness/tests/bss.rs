//! The BSS catalogue by its cases: for each view events in and rows out, in `queries/bss/cases/VIEW.case`.
//!
//! `CASE=invoices` runs those whose name contains it; `UPDATE=1` writes the rows that were found into the files.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "bss/case.rs"]
mod case;
#[path = "support/drive.rs"]
mod drive;
#[path = "bss/kinds.rs"]
mod kinds;
#[path = "support/retail.rs"]
mod retail;

use bytes::Bytes;
use drive::{append, check_now};
use harness::csv;
use harness::data::Data;
use harness::pipeline::{Pipeline, Setting};
use harness::ticks::{End, Pace};
use queries::{Catalogue, Declared};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SEED: u64 = 20_260_321;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries/bss")
}

fn cases() -> Vec<PathBuf> {
    let wanted = std::env::var("CASE").unwrap_or_default();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "case") && view_of(path).contains(&wanted));
    paths.sort();
    assert!(!paths.is_empty(), "no case is called {wanted:?}");
    paths
}

/// `invoices.case` and `invoices.partly.case` are cases of the view `invoices`.
fn view_of(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.split('.').next().unwrap().to_owned()
}

/// A folder with a view of the catalogue and all that it reads, and nothing else.
fn only(catalogue: &Catalogue, view: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["tables", "views"] {
        fs::create_dir(folder.path().join(part)).unwrap();
    }
    let (mut wanted, mut done) = (vec![view.to_owned()], BTreeSet::new());
    while let Some(name) = wanted.pop() {
        if !done.insert(name.clone()) {
            continue;
        }
        let entry = catalogue.entry(&name).unwrap_or_else(|| panic!("there is no view {name}"));
        let part = match entry.declared {
            Declared::Table(_) => "tables",
            Declared::View { .. } | Declared::MaterializedView(_) => "views",
        };
        let file = folder.path().join(part).join(format!("{name}.sql"));
        fs::write(file, format!("{};\n", entry.sql)).unwrap();
        wanted.extend(entry.uses.iter().cloned());
    }
    folder
}

/// A pipeline that takes in what is there as soon as it is asked to settle.
fn start(catalogue: &Path, workers: usize, records_max: usize) -> Pipeline {
    let replay = Setting::replay(workers, records_max);
    let at_once = Some(Duration::ZERO);
    let pace = Pace { wait: at_once, wait_busy: at_once, ..replay.pace };
    let data = Data::temporary(Some(catalogue.to_str().unwrap())).unwrap();
    Pipeline::start(data, &Setting { pace, ..replay }).unwrap()
}

/// Header and rows of a view as readers see it.
fn rows(pipeline: &Pipeline, view: &str) -> Vec<Vec<String>> {
    let catalogue = pipeline.shared().catalogue.lock().unwrap();
    let compiled = catalogue.views().find(|compiled| *compiled.view.name == *view).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let read = pipeline.memory().read();
    let kept = read.view(view).unwrap_or_else(|| panic!("{view} cannot be read"));
    assert_eq!(kept.errs_count(), 0, "{view} has errors");
    csv::write(&read, compiled, file.path()).unwrap();
    retail::table(file.path())
}

fn bytes(event: &serde_json::Value) -> Bytes {
    Bytes::from(event.to_string())
}

fn quarantined(pipeline: &Pipeline) -> u64 {
    pipeline.shared().intake.lock().unwrap().counts().rejected()
}

/// What is wrong with a case; empty where nothing is.
fn run(path: &Path, catalogue: &Catalogue) -> Vec<String> {
    let (name, view) = (path.file_name().unwrap().to_str().unwrap(), view_of(path));
    let text = fs::read_to_string(path).unwrap();
    let sections = match case::parse(&text) {
        Ok(sections) => sections,
        Err(why) => return vec![format!("{name}: {why}")],
    };
    let mut wrong = vec![];
    let folder = only(catalogue, &view);
    let pipeline = start(folder.path(), 2, 1_000);
    let (mut found, mut all, mut expected) = (vec![], vec![], vec![]);
    for section in &sections {
        let events: Vec<Bytes> = section.events.iter().map(bytes).collect();
        append(&pipeline, &events);
        pipeline.settle().unwrap();
        all.extend(events);
        let actual = rows(&pipeline, &view);
        if let Some(rows) = &section.expected {
            expected = rows.clone();
        }
        if actual != expected {
            let (expected, actual) = (table(&expected), table(&actual));
            wrong.push(format!("{name}, {}\nexpected\n{expected}\nfound\n{actual}", section.title));
        }
        let report = check_now(&pipeline);
        if !(report.differences.is_empty() && report.skipped.is_empty() && report.failed.is_empty()) {
            wrong.push(format!("{name}, {}: the batch says otherwise: {report:?}", section.title));
        }
        found.push(actual);
    }
    if quarantined(&pipeline) > 0 {
        wrong.push(format!("{name}: {} events went to quarantine", quarantined(&pipeline)));
    }
    pipeline.finish(End::Drain).unwrap();
    wrong.extend(
        shuffled(folder.path(), &view, &all, found.last().unwrap()).map(|why| format!("{name}: {why}")),
    );
    for must in kinds::lacking(&text, &sections) {
        wrong.push(format!("{name} shows no event that is {must}, and its head does not say why"));
    }
    if std::env::var("UPDATE").is_ok() {
        fs::write(path, case::written(&text, &sections, &found)).unwrap();
        wrong.retain(|why| !why.contains("\nexpected\n"));
    }
    wrong
}

/// The same events in another order, each twice, in small ticks: the rows at the end are the same.
fn shuffled(catalogue: &Path, view: &str, events: &[Bytes], expected: &[Vec<String>]) -> Option<String> {
    let is_clock = |event: &&Bytes| event.windows(17).any(|part| part == b"com.example.clock");
    let mut arranged: Vec<Bytes> = events.iter().chain(events).cloned().collect();
    arranged.shuffle(&mut ChaCha8Rng::seed_from_u64(SEED));
    // The clock stands where it stood.
    arranged.extend(events.iter().rev().find(is_clock).cloned());
    let pipeline = start(catalogue, 1, 3);
    append(&pipeline, &arranged);
    pipeline.settle().unwrap();
    let found = rows(&pipeline, view);
    pipeline.finish(End::Drain).unwrap();
    (found != expected).then(|| format!("in another order and twice it is\n{}", table(&found)))
}

fn table(rows: &[Vec<String>]) -> String {
    rows.iter().map(|row| format!("  {}", row.join(" | "))).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_materialized_view_has_a_case() {
    let catalogue = Catalogue::load(folder().to_str().unwrap()).unwrap();
    let views: BTreeSet<String> = catalogue.views().map(|compiled| compiled.view.name.to_string()).collect();
    let cases: BTreeSet<String> = cases().iter().map(|path| view_of(path)).collect();
    if std::env::var("CASE").is_err() {
        assert_eq!(views.difference(&cases).collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

#[test]
fn every_case_gives_its_rows() {
    let catalogue = Catalogue::load(folder().to_str().unwrap()).unwrap();
    let wrong: Vec<String> = cases().iter().flat_map(|path| run(path, &catalogue)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
