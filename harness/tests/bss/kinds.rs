//! Whether a case shows what it must: an event that is late, one that corrects, one that cancels, one that comes twice.
//!
//! A section says by its first word what it shows, and an event of it has to be of that kind. Where the inputs of a view cannot have
//! a kind, the head of its case says so and why: `-- no corrected: logins are facts`.
use super::case::Section;
use chrono::{DateTime, FixedOffset};
use serde_json::Value;

/// What each case must show.
const MUST: [&str; 5] = ["base", "late", "corrected", "cancelled", "duplicate"];
/// Parts of the types of events that set right what another said.
const CORRECTING: [&str; 4] = ["corrected", "creditNote", "Adjustment", "refund"];
/// Parts of the types of events that take back what another said.
const CANCELLING: [&str; 9] =
    ["void", "cancel", "revoked", "removed", "unlisted", "released", "reverted", "terminated", "failed"];

/// The kinds that a case neither shows nor rules out.
pub fn lacking(text: &str, sections: &[Section]) -> Vec<&'static str> {
    let head: Vec<&str> = text.lines().take_while(|line| !line.starts_with("# ")).collect();
    let is_ruled_out = |must: &str| head.iter().any(|line| line.starts_with(&format!("-- no {must}: ")));
    MUST.into_iter().filter(|must| !is_ruled_out(must) && !is_shown(must, sections)).collect()
}

fn is_shown(must: &str, sections: &[Section]) -> bool {
    let mut latest = None;
    sections.iter().any(|section| {
        let is_meant = section.title.starts_with(must);
        let shows = is_meant
            && match must {
                "base" => !section.events.is_empty(),
                "duplicate" => section.lines.iter().any(|line| line.starts_with("again ")),
                "late" => section.events.iter().any(|event| is_late(event, &mut latest)),
                "corrected" => section.events.iter().any(|event| changes(event, &CORRECTING)),
                _ => section.events.iter().any(|event| changes(event, &CANCELLING)),
            };
        latest = section.events.iter().map(|event| time(&event["time"])).chain([latest]).max().flatten();
        shows
    })
}

/// Whether an event was recorded later than it happened, comes after one that happened later, or takes effect before it was told.
fn is_late(event: &Value, latest: &mut Option<DateTime<FixedOffset>>) -> bool {
    let happened = time(&event["time"]);
    let effective = time(&event["data"]["effectiveAt"]).or(time(&event["data"]["validFor"]["start"]));
    let is_late = event["recordedtime"].is_string()
        || happened < *latest
        || effective.is_some_and(|effective| Some(effective) < happened);
    *latest = happened.max(*latest);
    is_late
}

/// Whether an event is the next version of something, names another that it takes the place of, or is of such a type.
fn changes(event: &Value, types: &[&str]) -> bool {
    event["entityversion"].as_i64().is_some_and(|version| version > 1)
        || event["data"]["supersedes"].is_string()
        || types.iter().any(|part| event["type"].as_str().is_some_and(|kind| kind.contains(part)))
}

fn time(text: &Value) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(text.as_str()?).ok()
}
