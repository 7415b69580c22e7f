//! `Keys`: the changed keys of a view that wait for a store. Lists of several ticks, shared with other outlets; now and then made one.
use std::sync::Arc;

/// What a key costs beside its bytes.
const KEY_BYTES: usize = 32;
/// Lists that are smaller are not worth sorting.
const MERGE_BYTES_MIN: usize = 256 << 10;

/// The keys of a tick.
pub type List = Arc<Vec<Box<[u8]>>>;

/// Keys, some of them perhaps several times.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    lists: Vec<List>,
    count: usize,
    bytes: usize,
    merged_bytes: usize,
}

impl Keys {
    /// Adds the keys of a tick.
    pub fn push(&mut self, keys: List) {
        self.count += keys.len();
        self.bytes += bytes(&keys);
        self.lists.push(keys);
        // Each time the double of what remained: on average each key is sorted a few times.
        if self.bytes >= MERGE_BYTES_MIN && self.bytes >= 2 * self.merged_bytes {
            let list = self.list();
            (self.count, self.bytes) = (list.len(), bytes(&list));
            self.merged_bytes = self.bytes;
            self.lists = vec![Arc::new(list)];
        }
    }

    /// Adds all keys of others.
    pub fn merge(&mut self, others: Keys) {
        others.lists.into_iter().for_each(|list| self.push(list));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// About the memory they need.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them, each once, ascending.
    pub fn list(&self) -> Vec<Box<[u8]>> {
        let mut all: Vec<Box<[u8]>> = self.lists.iter().flat_map(|list| list.iter().cloned()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn bytes(keys: &[Box<[u8]>]) -> usize {
    keys.iter().map(|key| key.len() + KEY_BYTES).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_come_again_cost_nothing_in_the_long_run() {
        let mut keys = Keys::default();
        let tick: Vec<Box<[u8]>> = (0..1_000u32).map(|key| key.to_be_bytes().into()).collect();
        let tick = Arc::new(tick);
        for _ in 0..1_000 {
            keys.push(tick.clone());
        }
        assert!(keys.bytes() < 2 * MERGE_BYTES_MIN, "{}", keys.bytes());
        assert_eq!(keys.list(), *tick);
    }
}
