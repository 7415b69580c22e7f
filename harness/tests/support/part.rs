//! A part of a catalogue, as a folder.
use queries::{Catalogue, Declared};
use std::collections::BTreeSet;
use std::fs;
use tempfile::TempDir;

/// A folder with the tables and views named, and all that they are made of.
pub fn part(all: &Catalogue, names: impl IntoIterator<Item = String>) -> TempDir {
    let out = tempfile::tempdir().unwrap();
    ["tables", "views"].iter().for_each(|part| fs::create_dir(out.path().join(part)).unwrap());
    let (mut wanted, mut done): (Vec<String>, _) = (names.into_iter().collect(), BTreeSet::new());
    while let Some(name) = wanted.pop() {
        if !done.insert(name.clone()) {
            continue;
        }
        let entry = all.entry(&name).unwrap();
        let part = if matches!(entry.declared, Declared::Table(_)) { "tables" } else { "views" };
        fs::write(out.path().join(part).join(format!("{name}.sql")), format!("{};\n", entry.sql)).unwrap();
        wanted.extend(entry.uses.iter().cloned());
    }
    out
}
