//! The retail events and their golden answers, where they are there.
#![allow(dead_code, reason = "each test file uses its own part")]
use bytes::Bytes;
use sources::Payload;
use sources::file::File;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder of the real data; none, and a printed line, where it is missing. CI must have it.
pub fn folder() -> Option<PathBuf> {
    // Beside the clone, or beside a worktree's parent.
    let places = ["../../shared", "../../../shared"];
    let paths =
        places.map(|place| Path::new(env!("CARGO_MANIFEST_DIR")).join(place).join("data/online_retail"));
    if let Some(path) = paths.iter().find(|path| path.join("events.ndjson.zst").exists()) {
        return Some(path.clone());
    }
    let path = &paths[0];
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{} is missing", path.display());
    println!("skipped: {} is missing", path.display());
    None
}

/// Every event, in the order of the file.
pub fn events(folder: &Path) -> Vec<Bytes> {
    let mut file = File::open(&[folder.join("events.ndjson.zst")]).unwrap();
    let mut events = vec![];
    loop {
        let chunk = file.next_chunk(4 << 20).unwrap();
        if chunk.is_empty() {
            return events;
        }
        events.extend(chunk.into_iter().map(|payload| match payload {
            Payload::Structured(bytes) => bytes,
            Payload::Binary { .. } => panic!("a line is structured"),
        }));
    }
}

/// Compares each golden file with the file of the same name in `out`.
pub fn assert_golden(folder: &Path, out: &Path) {
    let mut compared = 0;
    for entry in std::fs::read_dir(folder.join("golden")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_same(name, &table(&path), &table(&out.join(name)));
        compared += 1;
    }
    assert_eq!(compared, 6);
}

fn assert_same(name: &str, golden: &[Vec<String>], ours: &[Vec<String>]) {
    assert_eq!(golden[0], ours[0], "{name}: header");
    assert_eq!(golden.len(), ours.len(), "{name}: rows");
    match name {
        "top20_customers.csv" => assert_eq!(golden, ours, "{name}: order counts"),
        "copurchase.csv" => {
            let by_pair = |rows: &[Vec<String>]| -> BTreeMap<Vec<String>, (f64, f64)> {
                let ratio = |cell: &String| cell.parse::<f64>().unwrap();
                rows[1..].iter().map(|row| (row[..3].to_vec(), (ratio(&row[3]), ratio(&row[4])))).collect()
            };
            for ((golden, g), (ours, o)) in by_pair(golden).iter().zip(&by_pair(ours)) {
                assert_eq!(golden, ours, "{name}");
                assert!(
                    (g.0 - o.0).abs() <= 2e-6 && (g.1 - o.1).abs() <= 2e-6,
                    "{name}: {golden:?} {g:?} {o:?}"
                );
            }
        }
        _ => {
            let sorted = |rows: &[Vec<String>]| {
                let mut rows = rows[1..].to_vec();
                rows.sort();
                rows
            };
            assert_eq!(sorted(golden), sorted(ours), "{name}");
        }
    }
}

/// The cells of a CSV file.
pub fn table(path: &Path) -> Vec<Vec<String>> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|why| panic!("cannot read {}: {why}", path.display()));
    let (mut rows, mut row, mut cell, mut quoted) = (vec![], vec![], String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                cell.push('"');
                chars.next();
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    rows
}
