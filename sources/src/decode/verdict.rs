//! `Verdict`: what was decided about a record in quarantine, as an event of the log, so that a replay decides the same.
//!
//! A replayed record travels whole inside its verdict: the decoder reads what is inside, as if it had come by itself.
use crate::Payload;
use bytes::Bytes;
use dataflows::Position;

/// What the types of all events begin with that nobody but this process may send.
pub const RESERVED_PREFIX: &str = "dev.tallyflow.";
const TYPE_PREFIX: &str = "dev.tallyflow.quarantine.";
const REPLAY: &str = "dev.tallyflow.quarantine.replay";
const DISCARD: &str = "dev.tallyflow.quarantine.discard";
/// What the attributes of a record carried in binary mode begin with; no attribute of an event has a dot.
const INNER: &str = "inner.";

/// What was decided about a record in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The record's own position.
    pub target: Position,
    /// What to do.
    pub act: Act,
}

/// What to do with a record in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Take it in: as it was, or repaired.
    Replay(Payload),
    /// Forget it.
    Discard,
}

impl Verdict {
    /// The event that the log keeps. `id` is given once.
    pub fn write(&self, id: &str) -> Payload {
        let attribute = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let event_type = match &self.act {
            Act::Replay(_) => REPLAY,
            Act::Discard => DISCARD,
        };
        let mut attributes = vec![
            attribute("specversion", "1.0"),
            attribute("id", id),
            attribute("source", "/tallyflow/quarantine"),
            attribute("type", event_type),
            attribute("partition", &self.target.partition.to_string()),
            attribute("offset", &self.target.offset.to_string()),
        ];
        let body = match &self.act {
            Act::Replay(Payload::Structured(bytes)) => bytes.clone(),
            Act::Replay(Payload::Binary { attributes: inner, body }) => {
                attributes.push(attribute(INNER, ""));
                let inner = inner.iter().map(|(name, value)| (format!("{INNER}{name}"), value.clone()));
                attributes.extend(inner);
                body.clone()
            }
            Act::Discard => Bytes::new(),
        };
        Payload::Binary { attributes, body }
    }

    /// The verdict that a record is, if it is one.
    pub fn read(payload: &Payload) -> Option<Verdict> {
        let Payload::Binary { attributes, body } = payload else { return None };
        let find = |wanted: &str| attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let event_type = find("type").filter(|event_type| event_type.starts_with(TYPE_PREFIX))?;
        let target =
            Position { partition: find("partition")?.parse().ok()?, offset: find("offset")?.parse().ok()? };
        let act = match event_type.as_str() {
            REPLAY if find(INNER).is_some() => {
                let inner = attributes.iter().filter_map(|(name, value)| {
                    let name = name.strip_prefix(INNER).filter(|name| !name.is_empty())?;
                    Some((name.to_owned(), value.clone()))
                });
                Act::Replay(Payload::Binary { attributes: inner.collect(), body: body.clone() })
            }
            REPLAY => Act::Replay(Payload::Structured(body.clone())),
            DISCARD => Act::Discard,
            _ => return None,
        };
        Some(Verdict { target, act })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_byte_by_byte() {
        let binary = Payload::Binary {
            attributes: vec![("id".into(), "1".into()), ("type".into(), "t".into())],
            body: Bytes::from_static(b"\xff\x00"),
        };
        let acts = [
            Act::Discard,
            Act::Replay(Payload::Structured(Bytes::from_static(b"{]"))),
            Act::Replay(binary.clone()),
            Act::Replay(Payload::Binary { attributes: vec![], body: Bytes::new() }),
        ];
        for act in acts {
            let verdict = Verdict { target: Position { partition: 3, offset: 1 << 40 }, act };
            assert_eq!(Verdict::read(&verdict.write("a")), Some(verdict));
        }
        assert_eq!(Verdict::read(&binary), None);
    }
}
