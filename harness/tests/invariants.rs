//! What must hold at every time of the BSS catalogue: views of `queries/bss/invariants` that have no row, over a generated month.
//! And each of them can fail: where rows of what it reads are wrong, it has a row.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "support/drive.rs"]
mod drive;
#[path = "support/part.rs"]
mod part;
#[path = "invariants/plant.rs"]
mod plant;

use bytes::Bytes;
use drive::append;
use harness::check::{compared, naive};
use harness::data::{Data, bindings_path};
use harness::pipeline::{Pipeline, Setting};
use harness::progress;
use harness::ticks::{End, Pace};
use part::part;
use queries::Catalogue;
use sources::generate::{Business, BusinessConfig, Shares};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FROM_MS: u64 = 1_767_225_600_000;
const DAY_MS: u64 = 86_400_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries/bss")
}

/// The events of 40 days of a small business.
fn month(seed: u64, shares: Shares) -> Vec<Bytes> {
    let config =
        BusinessConfig { seed, from_ms: FROM_MS, until_ms: FROM_MS + 40 * DAY_MS, scale: 0.004, shares };
    let mut business = Business::new(config);
    let (mut events, mut event) = (vec![], vec![]);
    while business.next_into(&mut event).is_some() {
        events.push(Bytes::copy_from_slice(&event));
    }
    events
}

/// A catalogue of some invariants and what they read.
fn catalogue(files: &[&str]) -> (tempfile::TempDir, BTreeSet<String>) {
    let mut all = Catalogue::load(folder().to_str().unwrap()).unwrap();
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(folder().join("invariants").join(file)).unwrap();
        names.extend(all.declare(&text).unwrap().iter().map(|declared| declared.name().to_string()));
    }
    (part(&all, names.iter().cloned()), names)
}

/// Takes the events in `steps` parts; at no tick has an invariant a row, and in the end each has one where something is wrong.
fn hold(files: &[&str], events: &[Bytes], steps: usize, rejected: bool) {
    let (folder, names) = catalogue(files);
    let replay = Setting::replay(2, 1_000);
    let at_once = Some(Duration::ZERO);
    let pace = Pace { wait: at_once, wait_busy: at_once, ..replay.pace };
    let path = folder.path().to_str().unwrap();
    let data = Data::temporary(Some(path)).unwrap();
    let pipeline = Pipeline::start(data, &Setting { pace, ..replay }).unwrap();
    for (step, part) in events.chunks(events.len().div_ceil(steps)).enumerate() {
        append(&pipeline, part);
        pipeline.settle().unwrap();
        let read = pipeline.memory().read();
        for kept in read.views() {
            let name = kept.shape().view().name.to_string();
            assert_eq!(kept.errs_count(), 0, "{name} fails at step {step}");
            if names.contains(&name) {
                let mut rows = String::new();
                for entry in kept.rows().iter() {
                    kept.shape().write_json(entry.row, &mut rows);
                }
                assert!(rows.is_empty(), "{name} at step {step}: {rows}");
                // Nor had it any within the step.
                let since = kept.since().unwrap();
                assert!(kept.changed() <= since, "{name} had a row at {}, in step {step}", kept.changed());
            }
        }
    }
    let read = pipeline.memory().read();
    let time = read.time().unwrap();
    let catalogue = Catalogue::load(path).unwrap();
    let bindings = progress::Reader::open(&bindings_path(pipeline.data().path())).unwrap();
    let tables = naive::from_start(&catalogue);
    let rows = naive::tables(pipeline.log().reader(), bindings, tables, read.positions(), time).unwrap();
    let report = compared(&catalogue, rows.clone(), &read).unwrap();
    assert!(
        report.differences.is_empty() && report.skipped.is_empty() && report.failed.is_empty(),
        "{report:?}"
    );
    let rows = plant::with_views(rows, &read);
    let never: Vec<&String> =
        names.iter().filter(|name| !plant::can_fail(&catalogue, name, &rows, time)).collect();
    assert!(never.is_empty(), "whatever is wrong, these say nothing: {never:?}");
    for name in ["invoices", "usage_charges", "mrr_monthly", "account_credits"] {
        if let Some(kept) = read.view(name) {
            assert!(kept.rows().totals().rows > 0, "{name} is empty: nothing was shown");
        }
    }
    let counts = pipeline.shared().intake.lock().unwrap().counts().rejected();
    assert_eq!(counts > 0, rejected, "{counts} events in quarantine");
    pipeline.finish(End::Drain).unwrap();
}

#[test]
fn money_is_never_lost() {
    let shares = Shares { late: 0.05, duplicate: 0.03, corrected: 0.05, malformed: 0.002 };
    hold(&["money.sql"], &month(7, shares), 40, true);
}

#[test]
fn usage_is_never_lost() {
    let shares = Shares { late: 0.05, duplicate: 0.03, corrected: 0.05, malformed: 0.002 };
    hold(&["usage.sql"], &month(8, shares), 40, true);
}

#[test]
fn a_preview_is_the_bill_where_nothing_comes_after() {
    let shares = Shares { late: 0.0, duplicate: 0.0, corrected: 0.0, malformed: 0.0 };
    hold(&["plain.sql"], &month(9, shares), 40, false);
}

#[test]
fn nobody_is_lost_or_counted_twice() {
    let shares = Shares { late: 0.05, duplicate: 0.03, corrected: 0.05, malformed: 0.002 };
    hold(&["people.sql"], &month(13, shares), 40, true);
}
