//! A record as bytes, and back. The layout stands at the top of `log.rs`.
use crate::Payload;
use bytes::{Buf, Bytes};

/// The checksum and the length.
const HEAD_BYTES: usize = 8;
/// Offset, append time and kind.
const FIXED_BYTES: usize = 17;
/// What stands before the payload.
pub(super) const FRAME_BYTES: usize = HEAD_BYTES + FIXED_BYTES;

const STRUCTURED: u8 = 1;
const BINARY: u8 = 2;

/// Why no record could be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// So many bytes are needed to go on.
    Short(usize),
    /// What a write that was interrupted leaves behind, or damage.
    Torn(String),
    /// A record whose checksum is right and whose content is not: never left behind by an interrupted write.
    Wrong(String),
}

/// The bytes a payload takes in a record.
pub(super) fn payload_bytes(payload: &Payload) -> usize {
    match payload {
        Payload::Structured(bytes) => bytes.len(),
        Payload::Binary { attributes, body } => {
            4 + attributes.iter().map(|(name, value)| 8 + name.len() + value.len()).sum::<usize>()
                + body.len()
        }
    }
}

/// Adds a record to `out`.
pub(super) fn write(out: &mut Vec<u8>, offset: u64, time_ms: u64, payload: &Payload) {
    let length = FIXED_BYTES + payload_bytes(payload);
    let start = out.len();
    out.reserve(HEAD_BYTES + length);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&word(length));
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&time_ms.to_le_bytes());
    match payload {
        Payload::Structured(bytes) => {
            out.push(STRUCTURED);
            out.extend_from_slice(bytes);
        }
        Payload::Binary { attributes, body } => {
            out.push(BINARY);
            out.extend_from_slice(&word(attributes.len()));
            for text in attributes.iter().flat_map(|(name, value)| [name, value]) {
                out.extend_from_slice(&word(text.len()));
                out.extend_from_slice(text.as_bytes());
            }
            out.extend_from_slice(body);
        }
    }
    debug_assert_eq!(out.len() - start, HEAD_BYTES + length);
    let crc = crc32fast::hash(&out[start + 4..]);
    out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
}

fn word(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("bound by the log's record_bytes_max").to_le_bytes()
}

fn word_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn offset_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes"))
}

/// How many bytes the record at the beginning of `bytes` takes, once it is whole and has the offset expected.
pub(super) fn check(bytes: &[u8], expected: u64) -> Result<usize, Fault> {
    if bytes.len() < FRAME_BYTES {
        return Err(Fault::Short(FRAME_BYTES));
    }
    let length = word_at(bytes, 4) as usize;
    if length < FIXED_BYTES {
        return Err(Fault::Torn(format!("a length of {length} bytes is less than a record has")));
    }
    let total = HEAD_BYTES + length;
    if bytes.len() < total {
        return Err(Fault::Short(total));
    }
    let (stated, computed) = (word_at(bytes, 0), crc32fast::hash(&bytes[4..total]));
    if stated != computed {
        return Err(Fault::Torn(format!("the checksum is {computed:08x}, the record says {stated:08x}")));
    }
    let offset = offset_of(bytes);
    if offset != expected {
        return Err(Fault::Wrong(format!("offset {offset} stands where {expected} belongs")));
    }
    match bytes[FRAME_BYTES - 1] {
        STRUCTURED | BINARY => Ok(total),
        kind => Err(Fault::Wrong(format!("kind {kind} is unknown to this version"))),
    }
}

/// The payload of a record that was checked; the texts and the body are slices of it.
pub(super) fn payload(mut record: Bytes) -> Result<Payload, String> {
    let kind = record[FRAME_BYTES - 1];
    record.advance(FRAME_BYTES);
    if kind == STRUCTURED {
        return Ok(Payload::Structured(record));
    }
    let count = take_word(&mut record)?;
    let mut attributes = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        attributes.push((take_text(&mut record)?, take_text(&mut record)?));
    }
    Ok(Payload::Binary { attributes, body: record })
}

fn take_word(bytes: &mut Bytes) -> Result<usize, String> {
    bytes.try_get_u32_le().map(|word| word as usize).map_err(|_| "a length is cut short".to_string())
}

fn take_text(bytes: &mut Bytes) -> Result<String, String> {
    let length = take_word(bytes)?;
    if length > bytes.len() {
        return Err(format!("an attribute of {length} bytes goes beyond the record"));
    }
    String::from_utf8(bytes.split_to(length).to_vec()).map_err(|e| format!("an attribute is not UTF-8: {e}"))
}

/// Whether a whole record with an offset of `expected` or a little above begins anywhere in `bytes`.
pub(super) fn any_follows(bytes: &[u8], expected: u64) -> bool {
    let offset_max = expected + (bytes.len() / FRAME_BYTES) as u64 + 1;
    (0..bytes.len().saturating_sub(FRAME_BYTES - 1)).any(|at| {
        let rest = &bytes[at..];
        let offset = offset_of(rest);
        (expected..=offset_max).contains(&offset) && check(rest, offset).is_ok()
    })
}
