//! For those who operate it: health, readiness, metrics, quarantine, the API's own description, a page to begin with.
use super::Api;
use super::call::{Call, json_response};
use super::problem::Problem;
use super::views::listing;
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

const QUARANTINE_LIMIT: usize = 100;
const QUARANTINE_LIMIT_MAX: usize = 1_000;
/// Bytes of a quarantined record that are shown.
const RECORD_BYTES_SHOWN: usize = 4_096;

/// `GET /healthz`.
pub(super) fn health() -> Response {
    json_response(StatusCode::OK, json!({"status": "alive"}).to_string())
}

/// `GET /readyz`.
pub(super) fn ready(api: &Api) -> Result<Response, Problem> {
    api.host.ready().map_err(Problem::unavailable)?;
    Ok(json_response(StatusCode::OK, json!({"status": "ready"}).to_string()))
}

/// `GET /metrics`.
pub(super) fn metrics(api: &Api) -> Response {
    let mut text = api.host.metrics();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    api.meter.write(&api.memory.read(), &mut text);
    content(text, "text/plain; version=0.0.4; charset=utf-8")
}

/// `GET /api/v1/quarantine`.
pub(super) async fn quarantine(api: &Arc<Api>, call: &Call) -> Result<Response, Problem> {
    let (mut after, mut limit) = (0, QUARANTINE_LIMIT);
    for (name, value) in call.parameters()? {
        let number =
            value.parse::<u64>().map_err(|_| Problem::bad(format!("{name}=\"{value}\" is not a number")));
        match name.as_str() {
            "after" => after = number?,
            "limit" => {
                let wanted = usize::try_from(number?).ok().filter(|n| (1..=QUARANTINE_LIMIT_MAX).contains(n));
                limit = wanted.ok_or_else(|| {
                    Problem::bad(format!(
                        "limit=\"{value}\" is not a number from 1 to {QUARANTINE_LIMIT_MAX}"
                    ))
                })?;
            }
            _ => {
                return Err(Problem::bad(format!("unknown parameter \"{name}\"; known are after and limit")));
            }
        }
    }
    let host = api.host.clone();
    let records = tokio::task::spawn_blocking(move || host.quarantine(after, limit)).await;
    let records = records.map_err(|_| Problem::internal())?;
    let items = records.iter().map(|record| {
        let shown = &record.bytes[..record.bytes.len().min(RECORD_BYTES_SHOWN)];
        json!({
            "id": record.id,
            "partition": record.position.partition,
            "offset": record.position.offset,
            "time": record.time,
            "rule": &*record.rule,
            "reason": record.reason,
            "event_id": record.event_id,
            "event_source": record.event_source,
            "size": record.bytes.len(),
            "record": String::from_utf8_lossy(shown),
        })
    });
    Ok(listing("records", items.collect()))
}

/// `GET /api/v1/openapi.json`.
pub(super) fn openapi() -> Response {
    content(include_str!("openapi.json").into(), "application/json")
}

/// `GET /`.
pub(super) fn page(api: &Api) -> Response {
    let read = api.memory.read();
    let mut rows = String::new();
    for kept in read.views() {
        let name = escaped(&kept.shape().view().name);
        let path = encoded(&kept.shape().view().name);
        let (count, errors) = (kept.rows().totals().rows, kept.errs_count());
        _ = writeln!(
            rows,
            "<tr><td><a href=\"/api/v1/views/{path}\">{name}</a></td><td>{count}</td><td>{errors}</td>\
             <td><a href=\"/api/v1/views/{path}/changes\">changes</a></td></tr>"
        );
    }
    let time = read.time().map_or_else(|| "nothing yet".to_string(), |time| time.to_string());
    let text = include_str!("page.html").replace("{{time}}", &time).replace("{{views}}", &rows);
    content(text, "text/html; charset=utf-8")
}

fn content(body: String, media_type: &'static str) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Text as one segment of a URL's path.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    #[test]
    fn the_description_is_json_and_knows_every_path() {
        let document: Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let mut paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        paths.sort();
        let mut known: Vec<&str> = super::super::routes::PATHS.to_vec();
        known.sort();
        assert_eq!(paths, known);
    }
}
