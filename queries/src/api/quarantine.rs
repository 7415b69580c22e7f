//! `/api/v1/quarantine`: the records that do not count, and what is decided about them.
use super::Api;
use super::call::{Call, json_response};
use super::events::events;
use super::host::{DeclareError, Judgement, Quarantined};
use super::problem::Problem;
use super::views::listing;
use serde_json::{Value, json};
use std::sync::Arc;
use warp::http::StatusCode;
use warp::reply::Response;

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// Bytes of a record that a list shows.
const BYTES_SHOWN: usize = 4_096;
const STATES: [&str; 5] = ["pending", "replayed", "failed_again", "superseded", "discarded"];

/// `GET /api/v1/quarantine`.
pub(super) async fn all(api: &Arc<Api>, call: &Call) -> Result<Response, Problem> {
    let (mut after, mut limit, mut state) = (0, LIMIT, None);
    for (name, value) in call.parameters()? {
        let number =
            || value.parse::<u64>().map_err(|_| Problem::bad(format!("{name}=\"{value}\" is not a number")));
        match name.as_str() {
            "after" => after = number()?,
            "limit" => {
                let wanted = usize::try_from(number()?).ok().filter(|n| (1..=LIMIT_MAX).contains(n));
                limit = wanted.ok_or_else(|| {
                    Problem::bad(format!("limit=\"{value}\" is not a number from 1 to {LIMIT_MAX}"))
                })?;
            }
            "state" if STATES.contains(&value.as_str()) => state = Some(value),
            "state" => {
                let known = STATES.join(", ");
                return Err(Problem::bad(format!("state=\"{value}\" is none of {known}")));
            }
            _ => {
                return Err(Problem::bad(format!(
                    "unknown parameter \"{name}\"; known are after, limit and state"
                )));
            }
        }
    }
    let host = api.host.clone();
    let records = tokio::task::spawn_blocking(move || host.quarantine(after, limit, state.as_deref())).await;
    let records = records.map_err(|_| Problem::internal())?;
    Ok(listing("records", records.iter().map(|record| described(record, BYTES_SHOWN)).collect()))
}

/// `GET /api/v1/quarantine/{id}`: with the whole record.
pub(super) async fn one(api: &Arc<Api>, id: &str) -> Result<Response, Problem> {
    let id = number(id)?;
    let host = api.host.clone();
    let records = tokio::task::spawn_blocking(move || host.quarantine(id - 1, 1, None)).await;
    let records = records.map_err(|_| Problem::internal())?;
    let record = records.iter().find(|record| record.id == id).ok_or_else(|| unknown(id))?;
    Ok(json_response(StatusCode::OK, described(record, usize::MAX).to_string()))
}

/// `POST /api/v1/quarantine/{id}/replay`, with a repaired event in its body or none.
pub(super) async fn replay(api: &Arc<Api>, id: &str, mut call: Call) -> Result<Response, Problem> {
    let id = number(id)?;
    let body = call.body(api.config.events_bytes_max, &api.config).await?;
    let repaired = match body.is_empty() && !call.headers.contains_key("ce-id") {
        true => None,
        false => {
            let mut events = events(&call, body)?;
            let only = events.pop().filter(|_| events.is_empty());
            Some(only.ok_or_else(|| Problem::bad("send one event, the repaired one"))?)
        }
    };
    if let Some(reserved) = repaired.as_ref().and_then(super::events::reserved) {
        let detail = format!("events of type {reserved} are written by the process itself only");
        return Err(Problem::bad(detail));
    }
    judge(api, id, Judgement::Replay(repaired)).await
}

/// `POST /api/v1/quarantine/{id}/discard`.
pub(super) async fn discard(api: &Arc<Api>, id: &str) -> Result<Response, Problem> {
    judge(api, number(id)?, Judgement::Discard).await
}

async fn judge(api: &Arc<Api>, id: u64, judgement: Judgement) -> Result<Response, Problem> {
    let host = api.host.clone();
    let judged = tokio::task::spawn_blocking(move || host.judge(id, judgement)).await;
    let record = judged.map_err(|_| Problem::internal())?.map_err(|why| match why {
        DeclareError::NotFound(_) => unknown(id),
        DeclareError::Conflict(text) => {
            Problem::new(StatusCode::CONFLICT, "settled", "Nothing can be decided about the record", text)
        }
        why => Problem::from(why),
    })?;
    Ok(json_response(StatusCode::OK, described(&record, BYTES_SHOWN).to_string()))
}

fn number(id: &str) -> Result<u64, Problem> {
    let number = id.parse::<u64>().ok().filter(|id| *id > 0);
    number.ok_or_else(|| Problem::not_found(format!("\"{id}\" is no number of a record in quarantine")))
}

fn unknown(id: u64) -> Problem {
    Problem::not_found(format!("there is no record {id} in quarantine"))
}

fn described(record: &Quarantined, bytes_max: usize) -> Value {
    let shown = &record.bytes[..record.bytes.len().min(bytes_max)];
    let mut value = json!({
        "id": record.id,
        "partition": record.position.partition,
        "offset": record.position.offset,
        "time": record.time,
        "rule": &*record.rule,
        "reason": record.reason,
        "event_id": record.event_id,
        "event_source": record.event_source,
        "type": record.event_type,
        "state": record.state,
        "outcome": record.outcome.as_deref(),
        "settled": record.settled,
        "size": record.bytes.len(),
        "record": String::from_utf8_lossy(shown),
    });
    if !record.attributes.is_empty() {
        let attributes = record.attributes.iter().map(|(name, text)| (name.clone(), Value::from(&**text)));
        value["attributes"] = Value::Object(attributes.collect());
    }
    value
}
