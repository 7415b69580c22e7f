//! Which partition an event belongs to: events that share a key stay in order.
use crate::Payload;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// The key of an event: its `partitionkey`, else its subject, else source and id; all its bytes where none can be read.
///
/// The same event has the same key as structured JSON and in binary mode.
pub fn partition_key(payload: &Payload) -> Cow<'_, [u8]> {
    match payload {
        Payload::Structured(bytes) => structured(bytes).unwrap_or(Cow::Borrowed(bytes)),
        Payload::Binary { attributes, body } => {
            let mut found = Found::default();
            for (name, value) in attributes {
                found.see(name, || Some(Cow::Borrowed(value)));
            }
            found.key().unwrap_or(Cow::Borrowed(body))
        }
    }
}

/// The partition of an event.
pub(super) fn partition(payload: &Payload, partitions: u32) -> u32 {
    (xxh3_64(&partition_key(payload)) % u64::from(partitions)) as u32
}

/// The attributes that a key is made of, as far as they were met.
#[derive(Default)]
struct Found<'a> {
    partitionkey: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
}

impl<'a> Found<'a> {
    fn see(&mut self, name: &str, value: impl FnOnce() -> Option<Cow<'a, str>>) {
        match name {
            "partitionkey" => self.partitionkey = value(),
            "subject" => self.subject = value(),
            "source" => self.source = value(),
            "id" => self.id = value(),
            _ => {}
        }
    }

    fn key(self) -> Option<Cow<'a, [u8]>> {
        match (self.partitionkey.or(self.subject), self.source, self.id) {
            (Some(Cow::Borrowed(text)), _, _) => Some(Cow::Borrowed(text.as_bytes())),
            (Some(Cow::Owned(text)), _, _) => Some(Cow::Owned(text.into_bytes())),
            (None, Some(source), Some(id)) => Some(Cow::Owned([source.as_bytes(), id.as_bytes()].join(&0))),
            (None, _, _) => None,
        }
    }
}

fn structured(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut found = Found::default();
    for member in sonic_rs::to_object_iter(text) {
        let (name, value) = member.ok()?;
        found.see(&name, || string(value.as_raw_cow()));
        if found.partitionkey.is_some() {
            break;
        }
    }
    found.key()
}

/// What a JSON string says; nothing where it is no string.
fn string(raw: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if !raw.starts_with('"') {
        return None;
    }
    match raw {
        Cow::Borrowed(text) if !text.contains('\\') => Some(Cow::Borrowed(&text[1..text.len() - 1])),
        raw => serde_json::from_str::<String>(&raw).ok().map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn the_key_is_the_first_of_partitionkey_subject_source_and_id() {
        let cases = [
            (r#"{"id":"1","source":"/s","subject":"c-7","partitionkey":"p"}"#, "p"),
            (
                r#"{"id":"1","source":"/s","subject":"c-7","data":{"subject":"no","partitionkey":"no"}}"#,
                "c-7",
            ),
            (r#"{"id":"1","source":"/s","data":[{"id":"no"}]}"#, "/s\u{0}1"),
            (r#"{"subject":"a\u00e9\"b"}"#, "aé\"b"),
            (r#"{"subject":7,"source":"/s","id":"1"}"#, "/s\u{0}1"),
            (r#"{"id":"1"}"#, r#"{"id":"1"}"#),
            (r#"{"subject":"x","#, r#"{"subject":"x","#),
            (r#"[{"subject":"x"}]"#, r#"[{"subject":"x"}]"#),
            ("no json", "no json"),
            ("", ""),
        ];
        for (text, key) in cases {
            let payload = Payload::Structured(Bytes::from_static(text.as_bytes()));
            assert_eq!(String::from_utf8_lossy(&partition_key(&payload)), key, "{text}");
        }
        let broken = Payload::Structured(Bytes::from_static(b"{\"subject\":\"\xff\"}"));
        assert_eq!(&*partition_key(&broken), b"{\"subject\":\"\xff\"}");
    }

    #[test]
    fn binary_and_structured_events_have_the_same_key() {
        let attributes = [("id", "1"), ("source", "/s"), ("subject", "c-7")];
        let binary = |n: usize| Payload::Binary {
            attributes: attributes[..n].iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            body: Bytes::from_static(b"body"),
        };
        assert_eq!(&*partition_key(&binary(3)), b"c-7");
        assert_eq!(&*partition_key(&binary(2)), b"/s\x001");
        assert_eq!(&*partition_key(&binary(1)), b"body");
    }
}
