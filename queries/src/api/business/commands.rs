//! Commands: what somebody wants to be so, checked against the schema of its event and appended to the log. Commands of one process
//! are taken one at a time, so that each version follows the one before; who else appends events of the same entity is not waited
//! for.
use super::super::Api;
use super::super::call::{AtLeast, Call};
use super::super::events::append;
use super::super::problem::Problem;
use super::super::views;
use super::entities::{self, Entity, Newest};
use super::moment::now;
use super::wishes::Wishes;
use super::{answered, kept, schemas};
use dataflows::Position;
use serde_json::{Map, Value, json};
use sinks::memory::Read;
use sources::Payload;
use std::collections::hash_map::{DefaultHasher, RandomState};
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Mutex;
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

/// Idempotency keys that are remembered; older ones are found again by the events that they became.
const KEYS_MAX: usize = 10_000;
/// From this many entities on, those that readers see are forgotten.
const WAITING_MAX: usize = 1_024;

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Create,
    Replace,
    Remove,
    Send,
}

/// Commands that were appended.
#[derive(Default)]
pub(in crate::api) struct Commands(Mutex<Done>);

#[derive(Default)]
struct Done {
    /// The last version of entities that readers may not see yet, by word and id.
    waiting: HashMap<(&'static str, String), Waiting>,
    keys: HashMap<String, Keyed>,
    /// The keys, the oldest first.
    order: VecDeque<String>,
}

struct Waiting {
    version: i64,
    data: Map<String, Value>,
    position: Position,
}

/// What a key was used for.
#[derive(Clone)]
struct Keyed {
    request: u64,
    appended: Appended,
}

/// A command that is in the log.
#[derive(Clone)]
struct Appended {
    id: String,
    version: Option<i64>,
    event: Value,
    /// None where an earlier process appended it.
    position: Option<Position>,
}

impl Commands {
    /// Forgets entities that readers see; tells how many.
    pub(super) async fn forget(&self, read: &Read) -> usize {
        let mut done = self.0.lock().await;
        let before = done.waiting.len();
        done.waiting.retain(|_, waiting| !is_seen(read, &waiting.position));
        before - done.waiting.len()
    }
}

fn is_seen(read: &Read, position: &Position) -> bool {
    AtLeast::positions(vec![position.clone()], Duration::ZERO).is_met(read.time(), read.positions())
}

/// `POST`, `PUT` and `DELETE` of an entity.
pub(super) async fn command(
    api: &Arc<Api>,
    entity: &'static Entity,
    act: Act,
    id: Option<&str>,
    mut call: Call,
) -> Result<Response, Problem> {
    let wishes = Wishes::of(api, &call)?;
    let body = match act {
        Act::Create | Act::Replace => body(api, &mut call).await?,
        Act::Remove | Act::Send => Map::new(),
    };
    let request = hashed(&(format!("{act:?} {} {id:?}", entity.word), Value::from(body.clone()).to_string()));
    let id = id.map_or_else(|| named(entity, &body, wishes.key.as_deref()), |id| Ok(id.to_owned()))?;
    let (_, versions) = kept(api, &AtLeast::default(), entity.versions).await?;
    let mut done = api.commands.0.lock().await;
    if let Some(known) = wishes.key.as_ref().and_then(|key| done.keys.get(key)).cloned() {
        if known.request != request {
            return Err(reused());
        }
        drop(done);
        return answer(api, entity.view, Some(entity), known.appended, &wishes).await;
    }
    if let Some(known) = wishes.key.as_ref().and_then(|key| earlier(&versions, &id, key, entity)) {
        drop(done);
        return answer(api, entity.view, Some(entity), known, &wishes).await;
    }
    let read = api.memory.read();
    let newest = match done.waiting.get(&(entity.word, id.clone())) {
        Some(waiting) if !is_seen(&read, &waiting.position) => {
            Some(Newest { version: waiting.version, data: waiting.data.clone() })
        }
        _ => entities::newest(views::readable(&read, entity.versions)?, &id)?,
    };
    let stated = stated(entity, act, &id, body, newest.as_ref(), &wishes)?;
    let key = wishes.key.clone().unwrap_or_else(fresh);
    let event = event(stated.kind, entity, &id, stated.version, &key, stated.data);
    let position = checked(api, stated.kind, &event).await?;
    let Value::Object(data) = event["data"].clone() else { return Err(Problem::internal()) };
    if done.waiting.len() >= WAITING_MAX {
        done.waiting.retain(|_, waiting| !is_seen(&read, &waiting.position));
    }
    done.waiting.insert(
        (entity.word, id.clone()),
        Waiting { version: stated.version, data, position: position.clone() },
    );
    let event = json!({"id": event["id"], "source": event["source"], "type": event["type"]});
    let appended = Appended { id, version: Some(stated.version), event, position: Some(position) };
    if let Some(key) = &wishes.key {
        remember(&mut done, key, Keyed { request, appended: appended.clone() });
    }
    drop(done);
    answer(api, entity.view, Some(entity), appended, &wishes).await
}

/// `POST /api/v1/metrics/{kind}`: a measurement.
pub(super) async fn record(api: &Arc<Api>, kind: &str, mut call: Call) -> Result<Response, Problem> {
    let wishes = Wishes::of(api, &call)?;
    let mut data = body(api, &mut call).await?;
    let name = data.get("metricName").and_then(Value::as_str).unwrap_or("value");
    if name.is_empty() {
        return Err(Problem::bad("metricName is empty: name what was measured, or leave it out"));
    }
    let name = if name.starts_with(&format!("{kind}.")) { name.to_owned() } else { format!("{kind}.{name}") };
    let request = hashed(&(kind, Value::from(data.clone()).to_string()));
    if data.get("metricName").is_none_or(Value::is_string) {
        data.insert("metricName".into(), name.clone().into());
    }
    let mut done = api.commands.0.lock().await;
    if let Some(known) = wishes.key.as_ref().and_then(|key| done.keys.get(key)).cloned() {
        if known.request != request {
            return Err(reused());
        }
        drop(done);
        return answer(api, "", None, known.appended, &wishes).await;
    }
    let id = wishes.key.clone().unwrap_or_else(fresh);
    let event = json!({
        "specversion": "1.0", "id": &id, "source": "/bss/api/metrics", "type": schemas::event_type(RECORDED),
        "time": now(), "datacontenttype": "application/json", "data": data,
    });
    let position = checked(api, RECORDED, &event).await?;
    let event = json!({"id": event["id"], "source": event["source"], "type": event["type"]});
    let appended = Appended { id: name, version: None, event, position: Some(position) };
    if let Some(key) = &wishes.key {
        remember(&mut done, key, Keyed { request, appended: appended.clone() });
    }
    drop(done);
    answer(api, "", None, appended, &wishes).await
}

/// The type of a measurement.
pub(super) const RECORDED: &str = "metric.recorded";

fn reused() -> Problem {
    let detail = "the Idempotency-Key was used for another request: take a new one";
    Problem::new(StatusCode::CONFLICT, "idempotency", "The key is in use", detail)
}

fn remember(done: &mut Done, key: &str, keyed: Keyed) {
    while done.order.len() >= KEYS_MAX {
        let oldest = done.order.pop_front();
        oldest.map(|key| done.keys.remove(&key));
    }
    done.order.push_back(key.to_owned());
    done.keys.insert(key.to_owned(), keyed);
}

async fn body(api: &Api, call: &mut Call) -> Result<Map<String, Value>, Problem> {
    let media_type = call.media_type();
    if media_type.as_deref() != Some("application/json") {
        return Err(Problem::media_type("send the entity as application/json"));
    }
    let body = call.body(api.config.events_bytes_max, &api.config).await?;
    let value: Value =
        serde_json::from_slice(&body).map_err(|why| Problem::bad(format!("the body is not JSON: {why}")))?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Problem::bad("the body is not a JSON object")),
    }
}

/// The id that a body names, or a new one: always the same for a key.
fn named(entity: &Entity, body: &Map<String, Value>, key: Option<&str>) -> Result<String, Problem> {
    match body.get(entity.id) {
        Some(Value::String(id)) if !id.is_empty() => Ok(id.clone()),
        None => {
            let key = key.map_or_else(fresh, |key| format!("{:016x}", hashed(&(entity.word, key))));
            Ok(format!("{}-{key}", entity.prefix))
        }
        Some(_) => Err(invalid(vec![json!({
            "at": format!("/data/{}", entity.id), "fault": "must be a text that is not empty, or left out"
        })])),
    }
}

/// A text that was never given before.
fn fresh() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{:016x}", RandomState::new().hash_one(now))
}

fn hashed(value: &impl Hash) -> u64 {
    // The same in every process of one build.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A command with this key that an earlier process appended.
fn earlier(versions: &sinks::memory::kept::Kept, id: &str, key: &str, entity: &Entity) -> Option<Appended> {
    let rows = entities::versions(versions, id).ok()?;
    let row = rows.iter().find(|row| row["event_id"] == key && row["source"] == source(entity))?;
    let event = json!({"id": row["event_id"], "source": row["source"], "type": row["event_type"]});
    Some(Appended { id: id.into(), version: row["version"].as_i64(), event, position: None })
}

fn source(entity: &Entity) -> String {
    format!("/bss/api/{}", entity.word)
}

/// What a command states.
struct Stated {
    kind: &'static str,
    version: i64,
    data: Map<String, Value>,
}

fn stated(
    entity: &'static Entity,
    act: Act,
    id: &str,
    body: Map<String, Value>,
    newest: Option<&Newest>,
    wishes: &Wishes,
) -> Result<Stated, Problem> {
    let subject = entity.subject;
    if act == Act::Create {
        if let Some(newest) = newest {
            let detail = format!("{subject} {id} is there, at version {}: PUT replaces it", newest.version);
            return Err(Problem::new(StatusCode::CONFLICT, "exists", "It is there already", detail)
                .with("version", newest.version));
        }
        if wishes.versions.is_some() {
            return Err(mismatch(format!("{subject} {id} is not there yet, so it has no version"), None));
        }
        let mut data = body;
        data.insert(entity.id.into(), id.into());
        return Ok(Stated { kind: entity.stated(&data, entity.created), version: 1, data });
    }
    let newest = newest.ok_or_else(|| Problem::not_found(format!("there is no {subject} {id}")))?;
    if !wishes.expect(newest.version) {
        let detail = format!("{subject} {id} is at version {}", newest.version);
        return Err(mismatch(detail, Some(newest.version)));
    }
    let version = newest.version.saturating_add(1);
    let (kind, mut data) = match act {
        Act::Create | Act::Replace => {
            if body.get(entity.id).is_some_and(|named| named != id) {
                let fault = format!("must be the id of the path, {id}, or left out");
                return Err(invalid(vec![json!({"at": format!("/data/{}", entity.id), "fault": fault})]));
            }
            (entity.stated(&body, entity.changed), body)
        }
        Act::Remove => {
            let mut data = newest.data.clone();
            for (member, value) in entity.end {
                match value {
                    Some(value) => _ = data.insert((*member).into(), (*value).into()),
                    None => _ = data.remove(*member),
                }
            }
            if entity.removed == "customerBill.voided" {
                data.insert("voidDate".into(), now()[..10].into());
            }
            (entity.removed, data)
        }
        Act::Send => {
            let state = newest.data.get("state").and_then(Value::as_str).unwrap_or("new").to_owned();
            if !["new", "onHold", "validated"].contains(&&*state) {
                let detail =
                    format!("invoice {id} is {state}: one that is new, onHold or validated can be sent");
                return Err(Problem::new(
                    StatusCode::CONFLICT,
                    "state",
                    "Its state does not allow it",
                    detail,
                ));
            }
            let mut data = newest.data.clone();
            data.insert("state".into(), "sent".into());
            (entity.changed, data)
        }
    };
    data.insert(entity.id.into(), id.into());
    Ok(Stated { kind, version, data })
}

fn mismatch(detail: String, version: Option<i64>) -> Problem {
    let problem = Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "version",
        "The version is not the one expected",
        detail,
    );
    problem.with("version", json!(version))
}

fn event(kind: &str, entity: &Entity, id: &str, version: i64, key: &str, data: Map<String, Value>) -> Value {
    let partition = data.get("customerId").and_then(Value::as_str).filter(|id| !id.is_empty()).unwrap_or(id);
    // An attribute may not have every character that an id has.
    let plain = |id: &str| match id.chars().all(|c| c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ') {
        true => id.to_owned(),
        false => escaped(id),
    };
    json!({
        "specversion": "1.0",
        "id": key,
        "source": source(entity),
        "type": schemas::event_type(kind),
        "subject": format!("{}/{}", entity.subject, plain(id)),
        "time": now(),
        "partitionkey": plain(partition),
        "entityversion": version,
        "datacontenttype": "application/json",
        "data": data,
    })
}

/// Appends an event that its schema allows.
async fn checked(api: &Api, kind: &str, event: &Value) -> Result<Position, Problem> {
    let faults = schemas::faults(&schemas::schema(kind), event);
    if !faults.is_empty() {
        return Err(invalid(faults));
    }
    let payload = Payload::Structured(event.to_string().into());
    sources::event::parse(&payload).map_err(|reject| Problem::bad(reject.reason.to_string()))?;
    append(api, vec![payload]).await?.pop().ok_or_else(Problem::internal)
}

fn invalid(faults: Vec<Value>) -> Problem {
    let first = faults.first().map_or_else(String::new, |fault| {
        format!("{} {}", fault["at"].as_str().unwrap_or(""), fault["fault"].as_str().unwrap_or(""))
    });
    let title = "The entity does not fit the schema of its event";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "schema", title, first).with("faults", faults)
}

/// 202, or 200 once it can be read.
async fn answer(
    api: &Arc<Api>,
    view: &'static str,
    entity: Option<&'static Entity>,
    appended: Appended,
    wishes: &Wishes,
) -> Result<Response, Problem> {
    let Appended { id, version, event, position } = appended;
    let positions: Vec<Position> = position.into_iter().collect();
    let listed = positions.iter().map(|p| json!({"partition": p.partition, "offset": p.offset}));
    let mut body = json!({"id": id, "event": event, "positions": listed.collect::<Vec<_>>()});
    if let Some(version) = version {
        body["version"] = version.into();
    }
    let seen = match wishes.wait {
        Some(wait) => AtLeast::positions(positions, wait).read(api).await.ok(),
        None => None,
    };
    let status = if seen.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    if let (Some(read), true) = (seen, entity.is_some()) {
        // A table that nobody asked for yet is shown from now on.
        let (read, kept) = match read.view(view).cloned() {
            Some(kept) => (read, kept),
            None => kept(api, &AtLeast::default(), view).await?,
        };
        let rows = entities::rows(&kept, &id)?;
        let rows: Vec<Value> = rows.iter().filter_map(|row| serde_json::from_str(row).ok()).collect();
        body["time"] = json!(read.time());
        body["rows"] = rows.into();
    }
    let mut response = answered(status, body);
    let location = entity.map(|entity| format!("/api/v1/{}/{}", entity.word, escaped(&id)));
    if let Some(location) = location.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Some(version) = version {
        response.headers_mut().insert("tallyflow-version", HeaderValue::from(version));
    }
    Ok(response)
}

/// An id as a segment of a path.
fn escaped(id: &str) -> String {
    id.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
