//! `Interner`: byte strings to small numbers, each reused when its string goes.
use hashbrown::HashTable;

/// A string: itself if it is short, so that finding it costs one cache line, else where it stands in the arena.
#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    length: u32,
    short: [u8; SHORT_MAX],
}

const SHORT_MAX: usize = 20;

impl Entry {
    fn new(hash: u64, bytes: &[u8], arena: &mut Vec<u8>) -> Entry {
        let mut short = [0; SHORT_MAX];
        if bytes.len() <= SHORT_MAX {
            short[..bytes.len()].copy_from_slice(bytes);
        } else {
            short[..8].copy_from_slice(&(arena.len() as u64).to_le_bytes());
            arena.extend_from_slice(bytes);
        }
        Entry { hash, length: bytes.len() as u32, short }
    }

    #[inline(always)]
    fn bytes<'a>(&'a self, arena: &'a [u8]) -> &'a [u8] {
        let length = self.length as usize;
        if length <= SHORT_MAX {
            return &self.short[..length];
        }
        let mut start = [0; 8];
        start.copy_from_slice(&self.short[..8]);
        let start = u64::from_le_bytes(start) as usize;
        &arena[start..start + length]
    }
}

/// Numbers byte strings densely from 0.
#[derive(Default)]
pub(crate) struct Interner {
    table: HashTable<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    arena: Vec<u8>,
    garbage: usize,
}

impl Interner {
    /// The number of a string; `true` if it is new.
    #[inline]
    pub(crate) fn intern(&mut self, hash: u64, bytes: &[u8]) -> (u32, bool) {
        let (entries, arena) = (&self.entries, &self.arena);
        let equal = |id: &u32| {
            let e = &entries[*id as usize];
            e.hash == hash && e.bytes(arena) == bytes
        };
        if let Some(id) = self.table.find(hash, equal) {
            return (*id, false);
        }
        let entry = Entry::new(hash, bytes, &mut self.arena);
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 keys a worker")
            }
        };
        let entries = &self.entries;
        self.table.insert_unique(hash, id, |id| entries[*id as usize].hash);
        (id, true)
    }

    /// The string behind a number that is in use.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        self.entries[id as usize].bytes(&self.arena)
    }

    /// Gives a number back. Its string may come again under another number.
    pub(crate) fn remove(&mut self, id: u32) {
        let Entry { hash, length, .. } = self.entries[id as usize];
        if let Ok(found) = self.table.find_entry(hash, |other| *other == id) {
            found.remove();
            self.free.push(id);
            if length as usize > SHORT_MAX {
                self.garbage += length as usize;
            }
        }
        if self.garbage > 4096 && self.garbage > self.arena.len() / 2 {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut arena = Vec::with_capacity(self.arena.len() - self.garbage);
        for id in &self.table {
            let entry = &mut self.entries[*id as usize];
            *entry = Entry::new(entry.hash, entry.bytes(&self.arena).to_vec().as_slice(), &mut arena);
        }
        self.arena = arena;
        self.garbage = 0;
    }

    /// How many strings are held.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// One more than the greatest number ever given.
    pub(crate) fn capacity(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::hash;

    #[test]
    fn numbers_stay_while_their_string_is_there_and_are_reused_after() {
        let mut interner = Interner::default();
        let mut model = std::collections::BTreeMap::new();
        let mut seed = 7u64;
        for _ in 0..50_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let text = format!("key {:>1$}", (seed >> 33) % 3000, (seed >> 33) as usize % 3000 % 40);
            let known = model.get(&text).copied();
            if seed.is_multiple_of(3)
                && let Some(id) = known
            {
                interner.remove(id);
                model.remove(&text);
                continue;
            }
            let (id, fresh) = interner.intern(hash(text.as_bytes()), text.as_bytes());
            assert_eq!((fresh, known.unwrap_or(id)), (known.is_none(), id));
            model.insert(text, id);
        }
        assert_eq!(interner.len(), model.len());
        assert!(interner.capacity() <= 3000);
        model.iter().for_each(|(text, id)| assert_eq!(interner.bytes(*id), text.as_bytes()));
    }
}
