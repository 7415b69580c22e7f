//! The shipped retail views, computed by the batch oracle over the real events, are the golden files.
#![allow(clippy::unwrap_used)] // A test fails where it stands.
use arrow::array::RecordBatch;
use dataflows::codec::Codec;
use dataflows::value::Value;
use queries::{Catalogue, batch};
use sources::decode::Decoder;
use sources::{Payload, Record};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

const VIEWS: [&str; 6] = [
    "revenue_by_day_country",
    "revenue_by_month",
    "customer_360",
    "top20_customers",
    "cohort_retention",
    "copurchase",
];

/// The data beside the checkout; none: printed, and an error where CI must have it.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/online_retail");
    let folder = std::env::var_os("TALLYFLOW_RETAIL").map_or(folder, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", folder.display());
    println!("skipped: {} is missing", folder.display());
    None
}

fn tables(catalogue: &Catalogue, events: &Path) -> BTreeMap<String, Vec<RecordBatch>> {
    let file = std::fs::File::open(events).unwrap();
    let lines = BufReader::new(zstd::Decoder::new(file).unwrap()).lines();
    let record = |(offset, line): (usize, std::io::Result<String>)| Record {
        partition: 0,
        offset: offset as u64,
        payload: Payload::Structured(line.unwrap().into()),
    };
    let records: Vec<Record> = lines.enumerate().map(record).collect();
    let mappings: Vec<_> = catalogue.tables().cloned().collect();
    let mut tables: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    let decoder = Decoder::new(mappings.clone());
    for chunk in records.chunks(4096) {
        for part in decoder.decode(chunk).tables {
            tables.entry(mappings[part.mapping].table.name.to_string()).or_default().push(part.rows);
        }
    }
    tables
}

fn cells(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let mut cells = vec![];
    for batch in batches {
        let codec = Codec::new(&batch.schema()).unwrap();
        let rows = codec.encode(batch.columns(), batch.num_rows());
        cells.extend(rows.iter().map(|row| codec.values(row).map(text).collect::<Vec<_>>()));
    }
    cells
}

fn text(value: Value<'_>) -> String {
    let mut text = String::new();
    value.write_text(&mut text);
    text
}

/// The golden files quote nothing.
fn golden(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = text.lines().map(|line| line.split(',').map(str::to_string).collect::<Vec<_>>());
    (rows.next().unwrap(), rows.collect())
}

#[test]
fn the_oracle_gives_the_golden_files() {
    let Some(folder) = folder() else { return };
    let catalogue = Catalogue::load("retail").unwrap();
    let tables = tables(&catalogue, &folder.join("events.ndjson.zst"));
    for view in VIEWS {
        let (header, mut expected) = golden(&folder.join(format!("golden/{view}.csv")));
        let started = std::time::Instant::now();
        let batches = batch::answer(&catalogue, view, &tables).unwrap();
        println!("{view}: {:?}", started.elapsed());
        let mut found = cells(&batches);
        let compiled = catalogue.views().find(|compiled| *compiled.view.name == *view).unwrap();
        let names: Vec<&str> =
            compiled.view.schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, header, "{view}");
        expected.sort();
        found.sort();
        assert_eq!(found.len(), expected.len(), "rows of {view}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(same(view, found, expected), "{view}: found {found:?}, expected {expected:?}");
        }
    }
}

/// The two ratios of copurchase may differ in the last digit; everything else is exact.
fn same(view: &str, found: &[String], expected: &[String]) -> bool {
    let exact = if view == "copurchase" { 3 } else { expected.len() };
    let near =
        |a: &String, b: &String| (a.parse::<f64>().unwrap() - b.parse::<f64>().unwrap()).abs() <= 0.000_002;
    found[..exact] == expected[..exact]
        && found[exact..].iter().zip(&expected[exact..]).all(|(a, b)| near(a, b))
}

#[test]
fn copurchase_keeps_baskets_once_and_joins_them_with_themselves() {
    let catalogue = Catalogue::load("retail").unwrap();
    let compiled = catalogue.views().find(|compiled| &*compiled.view.name == "copurchase").unwrap();
    let plan = compiled.plan.to_string();
    println!("{plan}");
    let baskets: std::collections::BTreeSet<String> = distincts(&compiled.plan);
    assert_eq!(baskets.len(), 1, "every basket is the same plan, so that it is kept once");
}

fn distincts(plan: &dataflows::Plan) -> std::collections::BTreeSet<String> {
    let mut found: std::collections::BTreeSet<String> =
        plan.inputs().into_iter().flat_map(distincts).collect();
    if let dataflows::Plan::Distinct(_) = plan {
        found.insert(plan.fingerprint());
    }
    found
}
