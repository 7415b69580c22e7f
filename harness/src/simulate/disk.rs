//! What a power failure does to bindings, and time to snapshots.
use super::Counters;
use super::random::Random;
use crate::data::{bindings_path, snapshots_path};
use crate::snapshot::manifest::{self, Manifest};
use dataflows::Time;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn failed(path: &Path, why: std::io::Error) -> String {
    format!("the simulated disk cannot change {}: {why}", path.display())
}

/// How long the bindings are.
pub(super) fn bindings_length(data: &Path) -> u64 {
    fs::metadata(bindings_path(data)).map_or(0, |found| found.len())
}

/// Of what was not synced any part may be gone, and the last of it may be torn. `lengths` are those of the file after each tick.
pub(super) fn lose_power(
    data: &Path,
    durable: Time,
    lengths: &BTreeMap<Time, u64>,
    random: &mut Random,
    counters: &mut Counters,
) -> Result<(), String> {
    let path = bindings_path(data);
    let mut bytes = fs::read(&path).map_err(|why| failed(&path, why))?;
    let synced = lengths.get(&durable).copied().unwrap_or(8) as usize;
    if bytes.len() <= synced {
        return Ok(());
    }
    bytes.truncate(synced + random.place(bytes.len() - synced + 1));
    let starts = [8, synced].into_iter().chain(lengths.values().map(|length| *length as usize));
    let last = starts.filter(|start| *start < bytes.len()).max().unwrap_or(8);
    if last >= synced && bytes.len() > last + 8 && random.percent(30) {
        let byte = last + 8 + random.place(bytes.len() - last - 8);
        bytes[byte] ^= 1 << random.below(8);
    }
    counters.count("power failures that cost bindings");
    fs::write(&path, bytes).map_err(|why| failed(&path, why))
}

/// A snapshot is torn, changed, lost, or was never renamed.
pub(super) fn damage(data: &Path, random: &mut Random, counters: &mut Counters) -> Result<(), String> {
    let folder = snapshots_path(data);
    let Some((_, newest)) = manifest::list(&folder).ok().and_then(|list| list.into_iter().next()) else {
        return Ok(());
    };
    let parts: Vec<PathBuf> = match Manifest::read(&newest) {
        Ok(manifest) => manifest.parts().map(|part| folder.join(&part.name)).collect(),
        Err(_) => vec![],
    };
    let whole = parts.is_empty() || random.percent(50);
    let path = if whole { newest.clone() } else { parts[random.place(parts.len())].clone() };
    let Ok(mut bytes) = fs::read(&path) else { return Ok(()) };
    if bytes.is_empty() {
        return Ok(());
    }
    counters.count("snapshots damaged");
    match random.below(4) {
        0 => bytes.truncate(random.place(bytes.len())),
        1 => {
            let byte = random.place(bytes.len());
            bytes[byte] ^= 1 << random.below(8);
        }
        2 => return fs::remove_file(&path).map_err(|why| failed(&path, why)),
        _ => {
            let unnamed = newest.with_extension("json.new");
            return fs::rename(&newest, &unnamed).map_err(|why| failed(&newest, why));
        }
    }
    fs::write(&path, bytes).map_err(|why| failed(&path, why))
}

/// The positions up to which every snapshot that is there has the log; none where there is none.
pub(super) fn kept_by_all(data: &Path) -> Option<Vec<(u32, u64)>> {
    let list = manifest::list(&snapshots_path(data)).ok()?;
    Some(Manifest::read(&list.last()?.1).ok()?.point.positions)
}
