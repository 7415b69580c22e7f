//! `/api/v1/sinks`: the stores outside: where they are, and whether they hold what they should.
use super::Api;
use super::call::{Call, json_response, percent_decoded};
use super::declared::blocking;
use super::host::{DeclareError, SinkReport, SinkStatus};
use super::problem::Problem;
use super::views::listing;
use serde_json::{Value, json};
use std::sync::Arc;
use warp::http::StatusCode;
use warp::reply::Response;

/// Differences of a view that are shown.
const SHOWN_MAX: usize = 1_000;

/// `GET /api/v1/sinks`.
pub(super) async fn all(api: &Arc<Api>) -> Result<Response, Problem> {
    let sinks = blocking(api, |api| api.host.sinks()).await?;
    Ok(listing("sinks", sinks.iter().map(describe).collect()))
}

/// `GET /api/v1/sinks/{name}`.
pub(super) async fn one(api: &Arc<Api>, name: &str) -> Result<Response, Problem> {
    let name = percent_decoded(name)?.into_owned();
    let unknown = Problem::not_found(format!("there is no sink {name:?}"));
    let sinks = blocking(api, |api| api.host.sinks()).await?;
    let found = sinks.iter().find(|sink| sink.name == name).ok_or(unknown)?;
    Ok(json_response(StatusCode::OK, describe(found).to_string()))
}

/// `DELETE /api/v1/sinks/{name}`.
pub(super) async fn drop(api: &Arc<Api>, name: &str) -> Result<Response, Problem> {
    let name = percent_decoded(name)?.into_owned();
    let missing = DeclareError::NotFound(format!("there is no sink {name:?}"));
    if !blocking(api, move |api| api.host.drop_sink(&name)).await?? {
        return Err(Problem::from(missing));
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// `POST /api/v1/sinks/{name}/check`, where the name may be `*`: compares, and with `?repair=true` mends.
pub(super) async fn check(api: &Arc<Api>, name: &str, call: &Call) -> Result<Response, Problem> {
    let name = percent_decoded(name)?.into_owned();
    let mut repair = false;
    for (key, value) in call.parameters()? {
        repair = match (key.as_str(), value.as_str()) {
            ("repair", "true") => true,
            ("repair", "false") => false,
            _ => return Err(Problem::bad(format!("unknown parameter {key}={value}; known is repair=true"))),
        };
    }
    let only = Some(name).filter(|name| name != "*");
    let found = blocking(api, move |api| api.host.check_sinks(only.as_deref(), repair)).await??;
    let views: Vec<Value> = found.iter().map(report).collect();
    Ok(json_response(StatusCode::OK, json!({ "views": views }).to_string()))
}

fn describe(sink: &SinkStatus) -> Value {
    json!({
        "name": sink.name,
        "kind": sink.kind,
        "views": sink.views,
        "state": sink.state,
        "time": sink.time,
        "lag_ms": sink.lag_ms,
        "waiting_keys": sink.waiting_keys,
        "deliveries": sink.deliveries,
        "reloads": sink.reloads,
        "retries": sink.retries,
        "error": sink.error,
    })
}

fn report(report: &SinkReport) -> Value {
    let differences = report.differences.iter().take(SHOWN_MAX);
    let differences = differences.map(|(row, expected, actual)| {
        // The row is JSON already, and shows as text, so that its numbers stay as they are.
        json!({"row": row, "expected": expected, "actual": actual})
    });
    json!({
        "sink": report.sink,
        "view": report.view,
        "time": report.time,
        "rows": report.rows,
        "differing": report.differences.len(),
        "differences": differences.collect::<Vec<_>>(),
        "problem": report.problem,
        "repaired": report.repaired,
    })
}
