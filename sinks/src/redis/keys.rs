//! How rows and shards are called in Redis. All keys of a shard hash to one slot of a cluster.
use crate::delivery::Stand;
use crate::memory::shape::Shape;
use dataflows::codec::Codec;
use dataflows::value::Value;
use std::fmt::Write;

/// A name in which nothing can be taken for a separator: all but letters, digits, `_`, `-` and `.` as `%XX`.
pub(super) fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"_-.".contains(&byte) {
            text.push(byte as char);
        } else {
            _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The key of what holds for the whole sink.
pub(super) fn sink(prefix: &str) -> String {
    format!("{{{}}}:sink", escaped(prefix))
}

/// The channel on which each new time is told.
pub(super) fn channel(prefix: &str) -> String {
    format!("{}:time", escaped(prefix))
}

/// The keys of one shard of a view.
#[derive(Clone, Debug)]
pub(super) struct ShardKeys(String);

impl ShardKeys {
    pub(super) fn new(prefix: &str, view: &str, shard: usize) -> ShardKeys {
        ShardKeys(format!("{{{}:{}:s{shard:02}}}", escaped(prefix), escaped(view)))
    }

    /// What holds for the shard: epoch, time, definition, generation of the rows.
    pub(super) fn meta(&self) -> String {
        format!("{}:meta", self.0)
    }

    /// The rows of a generation, by key.
    pub(super) fn rows(&self, generation: u64) -> String {
        format!("{}:r{generation}", self.0)
    }

    /// The stream of changes.
    pub(super) fn log(&self) -> String {
        format!("{}:log", self.0)
    }
}

/// The shard of a key among so many: its CRC-32 (as zlib has it), modulo.
pub(super) fn shard(key: &str, shards: usize) -> usize {
    crc32(key.as_bytes()) as usize % shards
}

fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize] ^ (crc >> 8))
}

/// The key of a row in Redis: a JSON array of its values.
pub(super) fn json<'a>(values: impl Iterator<Item = Value<'a>>) -> String {
    let mut text = String::from("[");
    for (i, value) in values.enumerate() {
        if i > 0 {
            text.push(',');
        }
        value.write_json(&mut text);
    }
    text.push(']');
    text
}

/// Names the rows of a view.
pub(super) struct Names<'a> {
    shape: &'a Shape,
    /// Writes keys under which nothing stands.
    keys: Codec,
}

impl<'a> Names<'a> {
    pub(super) fn new(shape: &'a Shape) -> Names<'a> {
        let keys = Codec::for_columns(&shape.view().schema, &shape.view().key);
        Names { shape, keys: keys.expect("the columns of a view that is kept can be encoded") }
    }

    /// The key of what stands, or no longer stands, somewhere.
    pub(super) fn of(&self, stand: &Stand<'_>) -> String {
        if let Some(row) = stand.row {
            // Key columns need not stand in the order of the row.
            let all: Vec<Value<'_>> = self.shape.values(row).collect();
            return json(self.shape.view().key.iter().map(|column| all[*column]));
        }
        let rows = self.keys.encode(&self.shape.key_columns(&[stand.key]), 1);
        json(self.keys.values(rows.row(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_names_are_escaped() {
        assert_eq!(escaped("order_totals"), "order_totals");
        assert_eq!(escaped("a:{b}%ü"), "a%3A%7Bb%7D%25%C3%BC");
        assert_eq!(ShardKeys::new("p", "v:s", 7).meta(), "{p:v%3As:s07}:meta");
    }

    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
