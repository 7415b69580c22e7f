//! The ways in which an event is broken: each breaks a rule of CloudEvents, of JSON, or of its table's columns.
use super::random::Random;

/// Breaks a usage record or a page view in one of several ways.
pub(super) fn damage(random: &mut Random, event: &mut Vec<u8>) {
    match random.below(5) {
        0 => event.truncate(random.between(1, event.len() as u64 - 1) as usize),
        1 => {
            let name = random.pick(&["specversion", "id", "source", "type"]);
            let (start, end) = member(event, name).expect("every event has the required attributes");
            // The value is followed by a comma: none of these is the last member.
            event.drain(start..=end);
        }
        2 => replace(event, "specversion", "\"3.0\""),
        3 => replace(event, "time", "\"yesterday\""),
        _ if member(event, "milliseconds").is_some() => replace(event, "milliseconds", "\"fast\""),
        _ => replace(event, "amount", "\"plenty\""),
    }
}

/// Whether an event has what [`damage`] breaks.
pub(super) fn can_be_damaged(event: &[u8]) -> bool {
    member(event, "milliseconds").is_some() || member(event, "volume").is_some()
}

/// Puts another value, JSON text, in the place of a member's.
fn replace(event: &mut Vec<u8>, name: &str, value: &str) {
    let (start, end) = member(event, name).expect("the event was written with this member");
    let start = start + name.len() + 3;
    event.splice(start..end, value.bytes());
}

/// Where the first member of this name with a plain value begins, and the byte after its value.
fn member(event: &[u8], name: &str) -> Option<(usize, usize)> {
    let key = format!("\"{name}\":");
    let start = event.windows(key.len()).position(|window| window == key.as_bytes())?;
    let length = event[start..].iter().position(|byte| matches!(byte, b',' | b'}'))?;
    Some((start, start + length))
}
