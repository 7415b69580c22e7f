//! Who an event is, and what it says: two hashes that do not depend on how it was carried.
use super::json::Json;
use super::{Data, Event};
use smallvec::SmallVec;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// The hash of source and id. Their lengths are hashed too, so no two pairs make one text.
pub(crate) fn key(event: &Event, buffer: &mut Vec<u8>) -> u128 {
    buffer.clear();
    write_field(event.source.as_bytes(), buffer);
    write_field(event.id.as_bytes(), buffer);
    xxh3_128(buffer)
}

/// The hash of all attributes by name, and of the data; `json` is where the data lie if they are JSON.
///
/// A media type left out is `application/json`, as the JSON format says.
pub(crate) fn content(event: &Event, json: Option<(Json, usize)>, buffer: &mut Vec<u8>) -> u64 {
    buffer.clear();
    let implied = json.map(|_| "application/json");
    let known = [
        ("datacontenttype", event.datacontenttype.as_deref().or(implied)),
        ("dataschema", event.dataschema.as_deref()),
        ("id", Some(event.id.as_ref())),
        ("source", Some(event.source.as_ref())),
        ("specversion", Some("1.0")),
        ("subject", event.subject.as_deref()),
        ("time", event.time.as_deref()),
        ("type", Some(event.event_type.as_ref())),
    ];
    let mut extensions: SmallVec<[usize; 4]> = (0..event.extensions.len()).collect();
    extensions.sort_unstable_by(|a, b| event.extensions[*a].name.cmp(&event.extensions[*b].name));
    let mut extensions = extensions.iter().map(|i| &event.extensions[*i]).peekable();
    for (name, value) in known {
        while let Some(extension) = extensions.next_if(|extension| *extension.name < *name) {
            write_attribute(&extension.name, &extension.value.text(), buffer);
        }
        if let Some(value) = value {
            write_attribute(name, value, buffer);
        }
    }
    for extension in extensions {
        write_attribute(&extension.name, &extension.value.text(), buffer);
    }
    // No attribute has an empty name: what follows is the data.
    write_field(b"", buffer);
    match (&event.data, json) {
        (Data::Json(_), Some((json, root))) => json.write_compact(root, buffer),
        (Data::Json(text), None) => buffer.extend_from_slice(text.as_bytes()),
        (Data::Text(text), _) => buffer.extend_from_slice(text.as_bytes()),
        (Data::Bytes(bytes), _) => buffer.extend_from_slice(bytes),
        (Data::None, _) => {}
    }
    xxh3_64(buffer)
}

fn write_attribute(name: &str, value: &str, buffer: &mut Vec<u8>) {
    write_field(name.as_bytes(), buffer);
    write_field(value.as_bytes(), buffer);
}

fn write_field(bytes: &[u8], buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    buffer.extend_from_slice(bytes);
}
