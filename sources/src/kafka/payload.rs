//! A record of Kafka as a payload: the CloudEvents Kafka binding, in binary and in structured mode.
use crate::Payload;
use crate::event::{EVENT_BYTES_MAX, Rule};
use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128;

const CONTENT_TYPE: &str = "content-type";
const PREFIX: &str = "ce_";

/// What a record holds. Whatever it is, it is a payload: one that is no event says so when it is decoded.
pub(super) fn payload<'a>(
    headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + Clone,
    value: Option<&[u8]>,
) -> Payload {
    let body = value.unwrap_or_default();
    if body.len() > EVENT_BYTES_MAX {
        let reason = format!(
            "its value has {} bytes, more than the {EVENT_BYTES_MAX} that are read; xxh3 {:032x}",
            body.len(),
            xxh3_128(body)
        );
        return Payload::refused(Rule::Size, reason, Bytes::new());
    }
    let content_type = headers.clone().find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()));
    let content_type = content_type.and_then(|(_, value)| value).unwrap_or_default();
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let media_type = media_type.trim_ascii().to_ascii_lowercase();
    if media_type.starts_with(b"application/cloudevents") {
        return match (media_type.as_slice(), value) {
            (_, None) => tombstone(),
            (b"application/cloudevents+json", Some(_)) => Payload::Structured(Bytes::copy_from_slice(body)),
            (other, Some(_)) => {
                let other = String::from_utf8_lossy(other);
                let reason = match other.contains("-batch") {
                    true => format!("it is a batch ({other}), and a record of Kafka is one event"),
                    false => format!("its format is {other}, and only application/cloudevents+json is read"),
                };
                Payload::refused(Rule::Format, reason, Bytes::copy_from_slice(body))
            }
        };
    }
    let mut attributes = headers.filter(|(name, _)| is_attribute(name)).peekable();
    match value {
        _ if attributes.peek().is_some() => binary(attributes, content_type, body),
        Some(body) => Payload::Structured(Bytes::copy_from_slice(body)),
        None => tombstone(),
    }
}

fn tombstone() -> Payload {
    let reason = "it has no value, and no ce_ headers that would make it an event";
    Payload::refused(Rule::Tombstone, reason.to_owned(), Bytes::new())
}

fn is_attribute(name: &[u8]) -> bool {
    name.get(..PREFIX.len()).is_some_and(|prefix| prefix.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

fn binary<'a>(
    headers: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    content_type: &[u8],
    body: &[u8],
) -> Payload {
    let refused = |reason| Payload::refused(Rule::Attribute, reason, Bytes::copy_from_slice(body));
    let mut attributes = Vec::new();
    for (name, value) in headers {
        let shown = String::from_utf8_lossy(name);
        let Ok(value) = std::str::from_utf8(value.unwrap_or_default()) else {
            return refused(format!("header {shown:?} is not UTF-8"));
        };
        let name = String::from_utf8_lossy(&name[PREFIX.len()..]).to_ascii_lowercase();
        if name == "datacontenttype" || !name.bytes().all(|b| b.is_ascii_alphanumeric()) || name.is_empty() {
            let why = match name.as_str() {
                "datacontenttype" => "the media type of the data is the header content-type",
                _ => "an attribute's name has the letters a to z and digits only",
            };
            return refused(format!("header {shown:?} is there: {why}"));
        }
        attributes.push((name, value.to_owned()));
    }
    if !content_type.is_empty() {
        let Ok(content_type) = std::str::from_utf8(content_type) else {
            return refused("header \"content-type\" is not UTF-8".to_owned());
        };
        attributes.push(("datacontenttype".to_owned(), content_type.trim().to_owned()));
    }
    Payload::Binary { attributes, body: Bytes::copy_from_slice(body) }
}

/// The headers that carry a payload to Kafka, and its value.
pub(super) fn headers(payload: &Payload) -> (Vec<(String, &str)>, &Bytes) {
    match payload {
        Payload::Structured(bytes) => {
            (vec![(CONTENT_TYPE.into(), "application/cloudevents+json; charset=UTF-8")], bytes)
        }
        Payload::Binary { attributes, body } => {
            let header = |(name, _): &(String, String)| match name.as_str() {
                "datacontenttype" => CONTENT_TYPE.to_owned(),
                _ => format!("{PREFIX}{name}"),
            };
            (attributes.iter().map(|one| (header(one), one.1.as_str())).collect(), body)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::parse;

    fn read(headers: &[(&str, &[u8])], value: Option<&[u8]>) -> String {
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), Some(*value)));
        match parse(&payload(headers, value)) {
            Ok(event) => format!("{} {} {:?}", event.id, event.event_type, event.data),
            Err(reject) => reject.to_string(),
        }
    }

    #[test]
    fn records_are_events_in_two_modes_or_rejects_that_say_why() {
        let event = br#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"a":1}}"#;
        let json: (&str, &[u8]) = ("content-type", b"application/cloudevents+json; charset=UTF-8");
        let structured = "1 t Json(\"{\\\"a\\\":1}\")";
        assert_eq!(read(&[json], Some(event)), structured);
        assert_eq!(read(&[], Some(event)), structured);
        assert_eq!(read(&[("Content-Type", b"application/json")], Some(event)), structured);
        let binary: [(&str, &[u8]); 5] = [
            ("ce_specversion", b"1.0"),
            ("ce_id", b"1"),
            ("ce_source", b"/s"),
            ("ce_type", b"t"),
            ("content-type", b"application/json"),
        ];
        assert_eq!(read(&binary, Some(b"{\"a\":1}")), structured);
        assert_eq!(read(&binary, None), "1 t None");
        assert!(read(&binary[..3], Some(b"{}")).starts_with("attribute: "));
        let batch: (&str, &[u8]) = ("content-type", b"application/cloudevents-batch+json");
        assert!(read(&[batch], Some(b"[]")).starts_with("format: it is a batch"));
        let avro: (&str, &[u8]) = ("content-type", b"application/cloudevents+avro");
        assert!(read(&[avro], Some(b"x")).starts_with("format: its format is application/cloudevents+avro"));
        assert!(read(&[], None).starts_with("tombstone: it has no value"));
        assert!(read(&[json], None).starts_with("tombstone: it has no value"));
        assert!(read(&[], Some(b"no event")).starts_with("json: "));
        let large = vec![b' '; EVENT_BYTES_MAX + 1];
        assert!(read(&[], Some(&large)).starts_with("size: its value has 8388609 bytes"));
        let odd: (&str, &[u8]) = ("ce_!rule", b"json");
        assert!(read(&[odd], Some(b"x")).starts_with("attribute: header \"ce_!rule\" is there"));
        let bytes: (&str, &[u8]) = ("ce_id", b"\xff");
        assert!(read(&[bytes], Some(b"x")).starts_with("attribute: header \"ce_id\" is not UTF-8"));
    }

    #[test]
    fn a_payload_goes_to_kafka_and_comes_back() {
        let structured = Payload::Structured(Bytes::from_static(b"{}"));
        let attributes =
            [("id", "1"), ("source", "/\u{e9}"), ("partitionkey", "p"), ("datacontenttype", "text/plain")];
        let attributes = attributes.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let binary = Payload::Binary { attributes, body: Bytes::from_static(b"body") };
        for sent in [structured, binary] {
            let (headers, value) = headers(&sent);
            let headers = headers.iter().map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())));
            assert_eq!(payload(headers, Some(value)), sent);
        }
    }
}
