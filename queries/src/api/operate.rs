//! For those who operate it: health, readiness, metrics, the API's own description, a page to begin with.
use super::Api;
use super::call::json_response;
use super::problem::Problem;
use serde_json::json;
use std::fmt::Write;
use warp::http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

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

/// `GET /api/v1/openapi.json`.
pub(super) fn openapi(api: &Api) -> Response {
    content(super::business::document::whole(&api.memory.read()), "application/json")
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
