//! What differs between a view before and after: rows that come, rows that go, rows that others of their key take the place of.
use super::job::Changed;
use serde_json::Value;
use sinks::memory::Read;
use sinks::memory::kept::Kept;
use sinks::memory::page::Entry;
use std::iter::Peekable;

const EXAMPLES: usize = 3;

/// The views of which rows differ, by name.
pub fn changed(before: &Read, after: &Read) -> Vec<Changed> {
    let pairs = after.views().filter_map(|after| Some((before.view(&after.shape().view().name)?, after)));
    pairs
        .map(|(before, after)| view_changed(before, after))
        .filter(|found| !found.examples.is_empty())
        .collect()
}

fn view_changed(before: &Kept, after: &Kept) -> Changed {
    let view = after.shape().view().name.to_string();
    let mut found = Changed { view, added: 0, removed: 0, changed: 0, examples: vec![] };
    let (mut old, mut new) = (before.rows().iter().peekable(), after.rows().iter().peekable());
    loop {
        let key = match (old.peek(), new.peek()) {
            (None, None) => return found,
            (Some(entry), None) | (None, Some(entry)) => entry.key,
            (Some(a), Some(b)) => a.key.min(b.key),
        };
        let (gone, come) = differing(rows_of(&mut old, key), rows_of(&mut new, key));
        let places = gone.len().min(come.len());
        let (removed, added) = (gone.len() - places, come.len() - places);
        found.changed += places as u64;
        found.removed += removed as u64;
        found.added += added as u64;
        let json = |row: &&[u8]| {
            let mut text = String::new();
            after.shape().write_json(row, &mut text);
            serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text))
        };
        for i in 0..gone.len().max(come.len()) {
            if found.examples.len() == EXAMPLES {
                break;
            }
            found.examples.push((gone.get(i).map(json), come.get(i).map(json)));
        }
    }
}

/// The rows of one key, each as often as it is there.
fn rows_of<'a>(entries: &mut Peekable<impl Iterator<Item = Entry<'a>>>, key: &[u8]) -> Vec<(&'a [u8], i64)> {
    let mut rows = vec![];
    while let Some(entry) = entries.next_if(|entry| entry.key == key) {
        rows.push((entry.row, entry.count));
    }
    rows
}

/// Rows that are there more often before, and those that are there more often after. Both come in order.
fn differing<'a>(
    before: Vec<(&'a [u8], i64)>,
    after: Vec<(&'a [u8], i64)>,
) -> (Vec<&'a [u8]>, Vec<&'a [u8]>) {
    let count = |rows: &[(&[u8], i64)], row: &[u8]| {
        rows.binary_search_by(|(other, _)| (*other).cmp(row)).map_or(0, |i| rows[i].1)
    };
    let more = |these: &[(&'a [u8], i64)], those: &[(&[u8], i64)]| {
        let rows = these.iter().flat_map(|(row, n)| {
            std::iter::repeat_n(*row, usize::try_from(n - count(those, row)).unwrap_or(0))
        });
        rows.collect::<Vec<_>>()
    };
    (more(&before, &after), more(&after, &before))
}
