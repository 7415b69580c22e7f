//! What users of such systems complain of, as dialogues: events in, answers out, in `complaints/cN.case`.
//!
//! The form is that of `bss/case.rs`. A file's head names the views that it needs (`-- views: a, b`). A section asks one question
//! (`-- ? SELECT ..`, or `-- ? quarantine`); before its events it may do something: `-- restart`, `-- declare CREATE ..`.
//! `UPDATE=1` writes the answers that were found.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "bss/case.rs"]
mod case;
#[path = "support/drive.rs"]
mod drive;

use arrow::array::RecordBatch;
use bytes::Bytes;
use drive::{append, check_now};
use harness::data::Data;
use harness::pipeline::{Pipeline, Setting};
use harness::ticks::{End, Pace};
use queries::api::host::Host;
use queries::session::Answer;
use queries::{Catalogue, Declared};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/complaints")
}

/// A folder with these views of the catalogue and all that they read.
fn only(catalogue: &Catalogue, views: &[String]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    ["tables", "views"].iter().for_each(|part| fs::create_dir(folder.path().join(part)).unwrap());
    let (mut wanted, mut done) = (views.to_vec(), BTreeSet::new());
    while let Some(name) = wanted.pop() {
        if !done.insert(name.clone()) {
            continue;
        }
        let entry = catalogue.entry(&name).unwrap_or_else(|| panic!("there is no view {name}"));
        let part = if matches!(entry.declared, Declared::Table(_)) { "tables" } else { "views" };
        fs::write(folder.path().join(part).join(format!("{name}.sql")), format!("{};\n", entry.sql)).unwrap();
        wanted.extend(entry.uses.iter().cloned());
    }
    folder
}

/// A pipeline that takes in what is there as soon as it is asked to settle.
fn start(data: Data) -> Pipeline {
    let replay = Setting::replay(2, 1_000);
    let at_once = Some(Duration::ZERO);
    let pace = Pace { wait: at_once, wait_busy: at_once, ..replay.pace };
    Pipeline::start(data, &Setting { pace, ..replay }).unwrap()
}

/// Header and rows of an answer.
fn answer(pipeline: &Pipeline, question: &str) -> Vec<Vec<String>> {
    if question == "quarantine" {
        let header = vec!["rule".into(), "event_id".into(), "event_source".into()];
        let row = |q: queries::api::host::Quarantined| {
            vec![q.rule.to_string(), q.event_id.unwrap_or_default(), q.event_source.unwrap_or_default()]
        };
        let entries = pipeline.process().quarantine(0, 100, None);
        return std::iter::once(header).chain(entries.into_iter().map(row)).collect();
    }
    let answers = loop {
        match pipeline.session().execute(question) {
            Ok(answers) => break answers,
            // A view that was just declared is still being filled.
            Err(why) if why.to_string().contains("has no rows to read yet") => std::thread::yield_now(),
            Err(why) => panic!("{question}: {why}"),
        }
    };
    let Some(Answer::Rows { rows, schema, .. }) = answers.into_iter().next_back() else {
        panic!("{question} is no question")
    };
    let header = schema.fields().iter().map(|field| field.name().clone()).collect();
    let cells = |batch: &RecordBatch, i: usize| -> Vec<String> {
        let cell =
            |column: &arrow::array::ArrayRef| queries::text::cell(column.as_ref(), i).unwrap_or_default();
        batch.columns().iter().map(cell).collect()
    };
    let rows =
        rows.iter().flat_map(|batch| (0..batch.num_rows()).map(|i| cells(batch, i)).collect::<Vec<_>>());
    std::iter::once(header).chain(rows).collect()
}

/// What is wrong with a dialogue; empty where nothing is.
fn run(path: &Path, catalogue: &Catalogue) -> Vec<String> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let sections = case::parse(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
    let views = text.lines().find_map(|line| line.strip_prefix("-- views: ")).unwrap();
    let views: Vec<String> = views.split(',').map(|view| view.trim().to_owned()).collect();
    let (only, place) = (only(catalogue, &views), tempfile::tempdir().unwrap());
    let data = place.path().join("data");
    let mut pipeline = start(Data::open(&data, Some(only.path().to_str().unwrap())).unwrap());
    let (mut found, mut wrong, mut expected) = (vec![], vec![], vec![]);
    for section in &sections {
        let said =
            |prefix: &'static str| section.lines.iter().filter_map(move |line| line.strip_prefix(prefix));
        if said("-- restart").next().is_some() {
            pipeline.finish(End::Drain).unwrap();
            pipeline = start(Data::open(&data, None).unwrap());
        }
        for sql in said("-- declare ") {
            pipeline.process().declare(sql).unwrap();
        }
        let events: Vec<Bytes> = section.events.iter().map(|event| Bytes::from(event.to_string())).collect();
        append(&pipeline, &events);
        pipeline.settle().unwrap();
        let rows = answer(&pipeline, said("-- ? ").next().unwrap_or_else(|| panic!("{name} asks nothing")));
        if let Some(rows) = &section.expected {
            expected = rows.clone();
        }
        if rows != expected {
            wrong.push(format!("{name}, {}\nexpected {expected:?}\nfound    {rows:?}", section.title));
        }
        let report = check_now(&pipeline);
        if !(report.differences.is_empty() && report.failed.is_empty()) {
            wrong.push(format!("{name}, {}: the batch says otherwise: {report:?}", section.title));
        }
        found.push(rows);
    }
    pipeline.finish(End::Drain).unwrap();
    if std::env::var("UPDATE").is_ok() {
        fs::write(path, case::written(&text, &sections, &found)).unwrap();
        wrong.retain(|why| !why.contains("\nexpected "));
    }
    wrong
}

#[test]
fn each_complaint_is_answered() {
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries/bss");
    let catalogue = Catalogue::load(catalogue.to_str().unwrap()).unwrap();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 16);
    let wrong: Vec<String> = paths.iter().flat_map(|path| run(path, &catalogue)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
