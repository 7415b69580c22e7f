//! `POST /api/v1/events`: the CloudEvents HTTP binding. Every event is checked before any is appended.
use super::Api;
use super::call::{Call, json_response};
use super::host::AppendError;
use super::problem::Problem;
use bytes::Bytes;
use dataflows::Position;
use serde_json::json;
use sources::Payload;
use sources::decode::verdict::RESERVED_PREFIX;
use sources::event::{Reject, binary, parse, parse_batch};
use std::collections::BTreeMap;
use warp::http::{StatusCode, header};
use warp::reply::Response;

/// Answers 202 once the events are durable, with the positions to read at least.
pub(super) async fn post(api: &Api, mut call: Call) -> Result<Response, Problem> {
    let body = call.body(api.config.events_bytes_max, &api.config).await?;
    let events = events(&call, body)?;
    if let Some(reserved) = events.iter().find_map(reserved) {
        let detail =
            format!("events of type {reserved} are written by the process itself only: send another type");
        return Err(Problem::bad(detail));
    }
    let count = events.len();
    let positions = if events.is_empty() { vec![] } else { append(api, events).await? };
    // The highest position of a partition stands for those below it.
    let mut highest: BTreeMap<u32, u64> = BTreeMap::new();
    for Position { partition, offset } in positions {
        highest.entry(partition).and_modify(|held| *held = offset.max(*held)).or_insert(offset);
    }
    let positions =
        highest.into_iter().map(|(partition, offset)| json!({"partition": partition, "offset": offset}));
    let body = json!({"accepted": count, "positions": positions.collect::<Vec<_>>()});
    Ok(json_response(StatusCode::ACCEPTED, body.to_string()))
}

/// The type of an event that nobody else may send.
pub(super) fn reserved(payload: &Payload) -> Option<String> {
    let event = parse(payload).ok()?;
    event.event_type.starts_with(RESERVED_PREFIX).then(|| event.event_type.into_owned())
}

pub(super) fn events(call: &Call, body: Bytes) -> Result<Vec<Payload>, Problem> {
    let media_type = call.media_type();
    match media_type.as_deref() {
        Some("application/cloudevents+json") => {
            let payload = Payload::Structured(body);
            parse(&payload).map_err(|reject| problem(&reject))?;
            Ok(vec![payload])
        }
        Some("application/cloudevents-batch+json") => parse_batch(&body).map_err(|reject| problem(&reject)),
        Some(other) if other.starts_with("application/cloudevents") => {
            Err(Problem::media_type(format!("{other} is not supported; {MODES}")))
        }
        _ if call.headers.contains_key("ce-specversion") || call.headers.contains_key("ce-id") => {
            let content_type = call.header(&header::CONTENT_TYPE);
            let headers = call.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            Ok(vec![binary(content_type, headers, body).map_err(|reject| problem(&reject))?])
        }
        _ => Err(Problem::media_type(format!("this is no CloudEvent; {MODES}"))),
    }
}

const MODES: &str =
    "send application/cloudevents+json, application/cloudevents-batch+json, or ce- headers with any data";

fn problem(reject: &Reject) -> Problem {
    let (reason, title) = (reject.reason.as_str(), "The event is not a CloudEvent");
    let mut problem = Problem::new(StatusCode::BAD_REQUEST, "event", title, reason)
        .with("rule", reject.rule.word())
        .with("reason", reason);
    // The decoder names the event of a batch in its sentence.
    let index = reason.strip_prefix("event ").and_then(|rest| rest.split_once(" of the batch"));
    let index = index.and_then(|(index, _)| index.parse::<u64>().ok());
    let members =
        [("index", index.map(|i| json!(i))), ("event_id", reject.event_id.as_ref().map(|id| json!(id)))];
    for (name, value) in members.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        problem = problem.with(name, value);
    }
    problem
}

/// Appends events: where they stand, once they are durable.
pub(super) async fn append(api: &Api, events: Vec<Payload>) -> Result<Vec<Position>, Problem> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // The client may have left meanwhile; its events are appended all the same.
    api.host.append(events, Box::new(move |result| _ = sender.send(result)));
    match receiver.await {
        Ok(Ok(positions)) => Ok(positions),
        Ok(Err(AppendError::TooLarge(why))) => Err(Problem::too_large(why)),
        Ok(Err(AppendError::Unavailable(why))) => {
            Err(Problem::unavailable(format!("the log takes no events now: {why}; nothing was acknowledged")))
        }
        Err(_) => Err(Problem::unavailable("the log was closed before the events were durable")),
    }
}
