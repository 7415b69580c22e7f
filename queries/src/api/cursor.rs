//! `Cursor`: where a listing goes on, opaque to the client and signed, so that its bytes need no second check.
use std::hash::{BuildHasher, RandomState};

/// Signs for as long as the process lives.
pub(super) struct Signer(RandomState);

/// The last row that was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) key: Vec<u8>,
    pub(super) row: Vec<u8>,
    /// How many copies of it were listed.
    pub(super) copies: u64,
}

impl Signer {
    pub(super) fn new() -> Signer {
        Signer(RandomState::new())
    }

    /// A cursor as text. `scope` names the listing: the cursor is good for no other.
    pub(super) fn write(&self, scope: &str, cursor: &Cursor) -> String {
        let sign = self.0.hash_one((scope, &cursor.key, &cursor.row, cursor.copies));
        format!("{sign:016x}.{}.{}.{}", cursor.copies, hex(&cursor.key), hex(&cursor.row))
    }

    /// The cursor that was written for this listing; none if it was not.
    pub(super) fn read(&self, scope: &str, text: &str) -> Option<Cursor> {
        let mut parts = text.split('.');
        let sign = u64::from_str_radix(parts.next()?, 16).ok()?;
        let copies = parts.next()?.parse().ok()?;
        let (key, row) = (unhex(parts.next()?)?, unhex(parts.next()?)?);
        let cursor = Cursor { key, row, copies };
        let expected = self.0.hash_one((scope, &cursor.key, &cursor.row, cursor.copies));
        (sign == expected && parts.next().is_none()).then_some(cursor)
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits?;
    (digits.len() % 2 == 0).then(|| digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_listing_only() {
        let signer = Signer::new();
        let cursor = Cursor { key: vec![0, 255], row: b"row".to_vec(), copies: 2 };
        let text = signer.write("v", &cursor);
        assert_eq!(signer.read("v", &text), Some(cursor));
        assert_eq!(signer.read("w", &text), None);
        assert_eq!(signer.read("v", &text.replace(".2.", ".3.")), None);
        assert_eq!(signer.read("v", "zz"), None);
        assert_eq!(Signer::new().read("v", &text), None);
    }
}
