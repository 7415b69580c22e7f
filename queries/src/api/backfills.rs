//! `/api/v1/backfills`: history brought in while events go on.
use super::Api;
use super::call::{Call, json_response};
use super::host::DeclareError;
use super::problem::Problem;
use super::views::listing;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use warp::http::StatusCode;
use warp::reply::Response;

/// What brings history in. `harness` implements it.
pub trait Backfills: Send + Sync {
    /// Begins one, and describes it. Blocks until its source is known to be there.
    fn begin(&self, wanted: Wanted) -> Result<Value, DeclareError>;
    /// Describes all, the newest first.
    fn all(&self) -> Vec<Value>;
    /// Describes one.
    fn one(&self, id: u64) -> Option<Value>;
    /// Holds one up, lets it go on or ends it, and describes it.
    fn steer(&self, id: u64, steer: Steer) -> Result<Value, DeclareError>;
}

/// What to bring in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// From where.
    pub origin: Origin,
    /// The first of them.
    pub from: Option<Bound>,
    /// What follows the last of them.
    pub to: Option<Bound>,
    /// Only events of these types: patterns by commas.
    pub types: Option<String>,
    /// Only say what it would change.
    pub dry_run: bool,
}

/// Where history is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In files that the process can read, one after the other.
    Files(Vec<PathBuf>),
    /// In a topic.
    Topic(String),
}

/// Where it begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// At a time of events, in milliseconds since 1970.
    Time(i64),
    /// At a place in the source: in files the number of the event, from 0 on.
    Offset(u64),
}

/// What is done about a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steer {
    /// It waits.
    Pause,
    /// It goes on.
    Resume,
    /// It ends; what it brought in stays.
    Cancel,
}

impl Wanted {
    /// Of the body of a request.
    pub fn parse(text: &str) -> Result<Wanted, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|why| format!("the body is not JSON: {why}"))?;
        let Value::Object(members) = value else { return Err("the body is no JSON object".into()) };
        const KNOWN: [&str; 6] = ["files", "topic", "from", "to", "type", "dry_run"];
        if let Some(unknown) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(format!("unknown member \"{unknown}\"; known are {}", KNOWN.join(", ")));
        }
        let origin = match (members.get("files"), text_of(&members, "topic")?) {
            (None | Some(Value::Null), Some(topic)) => Origin::Topic(topic),
            (Some(Value::Array(files)), None) if !files.is_empty() => {
                let file = |file: &Value| file.as_str().map(PathBuf::from);
                let files = files.iter().map(file).collect::<Option<Vec<_>>>();
                Origin::Files(files.ok_or("\"files\" holds something that is no text")?)
            }
            _ => return Err("name \"files\", a list of paths, or a \"topic\"".into()),
        };
        let dry_run = match members.get("dry_run") {
            None | Some(Value::Null) => false,
            Some(value) => value.as_bool().ok_or("\"dry_run\" is neither true nor false")?,
        };
        let types = text_of(&members, "type")?;
        if let Some(types) = &types {
            sources::decode::Pattern::parse(types)?;
        }
        Ok(Wanted { origin, from: bound(&members, "from")?, to: bound(&members, "to")?, types, dry_run })
    }
}

impl Bound {
    /// An offset, a time such as `2024-03-01T12:00:00Z`, or a day.
    pub fn parse(text: &str) -> Result<Bound, String> {
        if let Ok(offset) = text.parse() {
            return Ok(Bound::Offset(offset));
        }
        let day = (text.len() == 10).then(|| format!("{text}T00:00:00Z"));
        let moment = sources::event::time::rfc3339(day.as_deref().unwrap_or(text));
        moment.map(|moment| Bound::Time(moment.millis())).map_err(|_| {
            format!("\"{text}\" is neither a number nor a time such as 2024-03-01 or 2024-03-01T12:00:00Z")
        })
    }
}

fn bound(members: &Map<String, Value>, name: &str) -> Result<Option<Bound>, String> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Bound::parse(text).map(Some).map_err(|why| format!("\"{name}\": {why}")),
        Some(value) => match value.as_u64() {
            Some(offset) => Ok(Some(Bound::Offset(offset))),
            None => Err(format!("\"{name}\" is neither a number from 0 on nor a time as text")),
        },
    }
}

fn text_of(members: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("\"{name}\" is no text")),
    }
}

/// `POST /api/v1/backfills`.
pub(super) async fn post(api: &Arc<Api>, mut call: Call) -> Result<Response, Problem> {
    let body = call.body(api.config.sql_bytes_max, &api.config).await?;
    if call.media_type().as_deref() != Some("application/json") {
        return Err(Problem::media_type(
            "send {\"files\": [\"..\"]} or {\"topic\": \"..\"} as application/json",
        ));
    }
    let text = String::from_utf8(body.to_vec()).map_err(|_| Problem::bad("the body is not UTF-8 text"))?;
    let wanted = Wanted::parse(&text).map_err(Problem::bad)?;
    let begun = with(api, move |backfills| backfills.begin(wanted)).await?.map_err(problem)?;
    Ok(json_response(StatusCode::CREATED, begun.to_string()))
}

/// `GET /api/v1/backfills`.
pub(super) async fn all(api: &Arc<Api>) -> Result<Response, Problem> {
    Ok(listing("backfills", with(api, |backfills| backfills.all()).await?))
}

/// `GET /api/v1/backfills/{id}`.
pub(super) async fn one(api: &Arc<Api>, id: &str) -> Result<Response, Problem> {
    let number = number(id)?;
    let found = with(api, move |backfills| backfills.one(number)).await?;
    Ok(json_response(StatusCode::OK, found.ok_or_else(|| unknown(id))?.to_string()))
}

/// `POST /api/v1/backfills/{id}/pause`, `/resume` or `/cancel`.
pub(super) async fn steer(api: &Arc<Api>, id: &str, steer: Steer) -> Result<Response, Problem> {
    let number = number(id)?;
    let steered = with(api, move |backfills| backfills.steer(number, steer)).await?.map_err(problem)?;
    Ok(json_response(StatusCode::OK, steered.to_string()))
}

fn number(id: &str) -> Result<u64, Problem> {
    id.parse().map_err(|_| unknown(id))
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no backfill \"{id}\""))
}

fn problem(why: DeclareError) -> Problem {
    match why {
        DeclareError::Invalid(text) => Problem::bad(text),
        DeclareError::Conflict(text) => {
            Problem::new(StatusCode::CONFLICT, "backfill", "The backfill cannot do that now", text)
        }
        why => Problem::from(why),
    }
}

/// Asks on a thread that may wait.
async fn with<T, F>(api: &Arc<Api>, ask: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce(&dyn Backfills) -> T + Send + 'static,
{
    let backfills = api
        .host
        .backfills()
        .ok_or_else(|| Problem::not_found("this process takes no events: it has no backfills"))?;
    tokio::task::spawn_blocking(move || ask(&*backfills)).await.map_err(|_| Problem::internal())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_say_what_they_want_or_are_told_what_is_wrong() {
        let wanted = Wanted::parse(
            r#"{"files": ["/a", "/b"], "from": "2024-03-01", "to": "2024-03-02T12:00:00Z", "type": "a.*", "dry_run": true}"#,
        );
        let (from, to) = (Some(Bound::Time(1_709_251_200_000)), Some(Bound::Time(1_709_380_800_000)));
        let origin = Origin::Files(vec!["/a".into(), "/b".into()]);
        assert_eq!(wanted, Ok(Wanted { origin, from, to, types: Some("a.*".into()), dry_run: true }));
        let topic = Wanted::parse(r#"{"topic": "t", "from": 7}"#).unwrap();
        assert_eq!((topic.origin, topic.from), (Origin::Topic("t".into()), Some(Bound::Offset(7))));
        let wrong = [
            ("{", "not JSON"),
            ("[]", "no JSON object"),
            ("{}", "name \"files\""),
            (r#"{"files": []}"#, "name \"files\""),
            (r#"{"files": ["a"], "topic": "t"}"#, "name \"files\""),
            (r#"{"files": [1]}"#, "no text"),
            (r#"{"files": ["a"], "frm": 1}"#, "unknown member \"frm\""),
            (r#"{"files": ["a"], "from": "yesterday"}"#, "neither a number nor a time"),
            (r#"{"files": ["a"], "to": -1}"#, "\"to\""),
            (r#"{"files": ["a"], "type": "a,,b"}"#, "empty"),
            (r#"{"files": ["a"], "dry_run": 1}"#, "neither true nor false"),
        ];
        for (text, why) in wrong {
            let said = Wanted::parse(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
