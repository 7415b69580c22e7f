//! `/api/v1/streams/`: the views and the log, for those who operate them; `analytics/system/health` in one answer.
use super::super::Api;
use super::super::call::{AtLeast, Call};
use super::super::declared::blocking;
use super::super::host::Judgement;
use super::super::problem::Problem;
use super::super::views;
use super::{answered, no_parameters, unknown};
use serde_json::{Value, json};
use sinks::memory::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

pub(super) const KNOWN: [&str; 4] = ["status", "metadata", "metrics", "cleanup"];
/// Records that one cleanup discards at most, and how long it goes on with it.
const CLEANED_MAX: usize = 1_000;
const CLEANING: Duration = Duration::from_secs(5);
/// The greatest time: integers up to it are the same in every JSON.
const TIME_MAX: f64 = 9_007_199_254_740_991.0;

pub(super) async fn handle(api: &Arc<Api>, what: &str, call: Call) -> Result<Response, Problem> {
    match (what, &call.method) {
        ("cleanup", &Method::POST) => cleanup(api, call).await,
        ("cleanup", _) => Err(Problem::method("POST")),
        (_, method) if *method != Method::GET => Err(Problem::method("GET, HEAD")),
        ("status", _) => status(&AtLeast::only(&call)?.read(api).await?),
        ("metadata", _) => metadata(api, &call).await,
        ("metrics", _) => metrics(api, &call),
        _ => Err(unknown()),
    }
}

/// How far the log is read, and each view with its rows and failures.
fn status(read: &Read) -> Result<Response, Problem> {
    let time = views::time(read)?;
    let positions = read.positions().iter().map(|p| json!({"partition": p.partition, "offset": p.offset}));
    let streams = read.views().map(|kept| {
        let state = if kept.since().is_some() { "running" } else { "building" };
        json!({
            "name": &*kept.shape().view().name,
            "state": state,
            "rows": kept.rows().totals().rows,
            "bytes": kept.rows().totals().bytes,
            "errors": kept.errs_count(),
            "key_violations": kept.key_violations(),
            "since": kept.since(),
            "changed": kept.changed(),
        })
    });
    let (positions, streams): (Vec<Value>, Vec<Value>) = (positions.collect(), streams.collect());
    Ok(answered(StatusCode::OK, json!({"time": time, "positions": positions, "streams": streams})))
}

/// What is declared, with its statement.
async fn metadata(api: &Arc<Api>, call: &Call) -> Result<Response, Problem> {
    no_parameters(call)?;
    let queries = blocking(api, |api| api.host.queries()).await?;
    let streams = queries.iter().map(|query| {
        let kind = format!("{:?}", query.kind);
        json!({"name": &*query.name, "kind": kind, "sql": &*query.sql, "since": query.since})
    });
    Ok(answered(StatusCode::OK, json!({"streams": streams.collect::<Vec<_>>()})))
}

/// The metrics of `/metrics` as JSON: name, labels, value.
fn metrics(api: &Api, call: &Call) -> Result<Response, Problem> {
    no_parameters(call)?;
    let mut text = api.host.metrics();
    text.push('\n');
    api.meter.write(&api.memory.read(), &mut text);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let metrics = lines.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        Some(json!({"name": name, "labels": labels.trim_end_matches('}'), "value": value}))
    });
    Ok(answered(StatusCode::OK, json!({"metrics": metrics.collect::<Vec<_>>()})))
}

/// Discards what waits in quarantine and is older than a time, and forgets commands that readers see.
async fn cleanup(api: &Arc<Api>, mut call: Call) -> Result<Response, Problem> {
    no_parameters(&call)?;
    let wanted = || Problem::bad("send {\"quarantined_before\": a time in milliseconds} as application/json");
    if call.media_type().as_deref() != Some("application/json") {
        return Err(Problem::media_type("send application/json"));
    }
    let body = call.body(api.config.sql_bytes_max, &api.config).await?;
    let body: Value = serde_json::from_slice(&body).map_err(|_| wanted())?;
    let known = body.as_object().is_some_and(|members| members.len() == 1);
    let before = body.get("quarantined_before").and_then(Value::as_f64).filter(|_| known);
    let before = before.filter(|time| time.fract() == 0.0 && (0.0..=TIME_MAX).contains(time));
    let before = before.ok_or_else(wanted)? as u64;
    let discarded = blocking(api, move |api| {
        let waiting = api.host.quarantine(0, CLEANED_MAX, Some("pending"));
        let old = waiting.into_iter().filter(|record| record.time < before);
        let until = Instant::now() + CLEANING;
        let old = old.take_while(|_| Instant::now() < until);
        // Another may decide about a record meanwhile; then that counts.
        old.filter(|record| api.host.judge(record.id, Judgement::Discard).is_ok()).count()
    });
    let discarded = discarded.await?;
    let forgotten = api.commands.forget(&api.memory.read()).await;
    Ok(answered(StatusCode::OK, json!({"discarded": discarded, "forgotten": forgotten})))
}

/// `GET /api/v1/analytics/system/health`.
pub(super) async fn health(api: &Arc<Api>, call: &Call) -> Result<Response, Problem> {
    let read = AtLeast::only(call)?.read(api).await?;
    let time = views::time(&read)?;
    let missing = blocking(api, |api| api.host.ready().err()).await?;
    let building = read.views().filter(|kept| kept.since().is_none()).count();
    let (errors, violations) = read.views().fold((0, 0), |(errors, violations), kept| {
        (errors + kept.errs_count(), violations + kept.key_violations())
    });
    let well = missing.is_none() && building == 0 && errors == 0 && violations == 0;
    let body = json!({
        "time": time, "status": if well { "healthy" } else { "degraded" }, "missing": missing, "views": read.views().len(),
        "building": building, "errors": errors, "key_violations": violations,
    });
    Ok(answered(StatusCode::OK, body))
}
