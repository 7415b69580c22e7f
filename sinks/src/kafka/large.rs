//! `Large`: rows that are longer than a record of their topic may be. They stop nothing: the topic has no row for their keys, and it is
//! told which they are, until they are short enough or gone.
use super::Records;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What stands around key and value at most: the record's frame, its headers, and the frame of its batch.
const FRAME_BYTES: usize = 256;
const SHOWN: usize = 3;
const KEY_LETTERS_SHOWN: usize = 200;

/// The rows that are too long now: by view and key, how long, and how long they may be.
#[derive(Default)]
pub(super) struct Large {
    rows: BTreeMap<(Arc<str>, String), (usize, usize)>,
}

impl Large {
    /// Takes the long rows out of what is sent: their keys get no row. A key that is too long itself is not sent at all.
    pub(super) fn take_out(&mut self, view: &Arc<str>, whole: bool, limit: usize, records: &mut Records) {
        if whole {
            self.rows.retain(|(of, _), _| of != view);
        }
        records.retain_mut(|(key, value)| {
            let place = (view.clone(), std::mem::take(key));
            self.rows.remove(&place);
            let frame = place.1.len() + FRAME_BYTES;
            let bytes = frame + value.as_ref().map_or(0, String::len);
            if bytes > limit {
                *value = None;
                self.rows.insert(place.clone(), (bytes, limit));
            }
            *key = place.1;
            frame <= limit
        });
    }

    /// Which they are; none: all rows are there.
    pub(super) fn told(&self) -> Option<String> {
        let one = |((view, key), (bytes, limit)): (&(Arc<str>, String), &(usize, usize))| {
            let key: String = key.chars().take(KEY_LETTERS_SHOWN).collect();
            format!("{key} of view {view} has {bytes} bytes, its topic takes {limit}")
        };
        let shown: Vec<String> = self.rows.iter().take(SHOWN).map(one).collect();
        let more = self.rows.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        (!shown.is_empty()).then(|| {
            format!(
                "rows are too long for their topic and are not in it: {}{more}: raise max.message.bytes of the topic and the option kafka.message.max.bytes",
                shown.join("; ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_rows_are_told_until_they_are_short_or_gone() {
        let (mut large, view): (Large, Arc<str>) = (Large::default(), "v".into());
        let row = |key: &str, bytes: usize| (key.to_owned(), Some("x".repeat(bytes)));
        let mut records = vec![row("a", 10), row("b", 5_000), row(&"c".repeat(3_000), 1)];
        large.take_out(&view, false, 1_000, &mut records);
        assert_eq!(records, [row("a", 10), ("b".into(), None)]);
        let told = large.told().unwrap();
        assert!(told.contains("b of view v has 5257 bytes") && told.contains("ccc"), "{told}");
        large.take_out(&view, false, 1_000, &mut vec![row("b", 20)]);
        assert!(!large.told().unwrap().contains("b of view"));
        large.take_out(&view, true, 1_000, &mut vec![]);
        assert_eq!(large.told(), None);
    }
}
