//! `/api/v1/queries`: declare tables and views while running, list, explain and drop them.
use super::Api;
use super::call::{Call, json_response, percent_decoded};
use super::host::{DeclareError, Query, QueryKind};
use super::problem::Problem;
use super::views::listing;
use serde_json::{Value, json};
use std::sync::Arc;
use warp::http::StatusCode;
use warp::reply::Response;

/// `POST /api/v1/queries`.
pub(super) async fn post(api: &Arc<Api>, mut call: Call) -> Result<Response, Problem> {
    let body = call.body(api.config.sql_bytes_max, &api.config).await?;
    let text = String::from_utf8(body.to_vec()).map_err(|_| Problem::bad("the body is not UTF-8 text"))?;
    let sql = match call.media_type().as_deref() {
        Some("application/sql" | "text/plain") => text,
        Some("application/json") => sql_member(&text)?,
        _ => {
            return Err(Problem::media_type(
                "send SQL as application/sql or text/plain, or {\"sql\": \"..\"} as application/json",
            ));
        }
    };
    let names = blocking(api, move |api| api.host.declare(&sql)).await??;
    Ok(json_response(StatusCode::CREATED, json!({ "names": names }).to_string()))
}

fn sql_member(text: &str) -> Result<String, Problem> {
    let value: Value =
        serde_json::from_str(text).map_err(|e| Problem::bad(format!("the body is not JSON: {e}")))?;
    let sql = value.get("sql").and_then(Value::as_str);
    sql.map(String::from).ok_or_else(|| Problem::bad("the body has no text member \"sql\""))
}

/// `GET /api/v1/queries`.
pub(super) async fn all(api: &Arc<Api>) -> Result<Response, Problem> {
    let queries = blocking(api, |api| api.host.queries()).await?;
    Ok(listing("queries", queries.iter().map(describe).collect()))
}

/// `GET /api/v1/queries/{name}`.
pub(super) async fn one(api: &Arc<Api>, name: &str) -> Result<Response, Problem> {
    let name = percent_decoded(name)?.into_owned();
    let unknown = Problem::not_found(format!("nothing is declared by the name \"{name}\""));
    let found = blocking(api, move |api| {
        let query = api.host.queries().into_iter().find(|query| *query.name == *name)?;
        let explain = match query.kind {
            QueryKind::Table => None,
            QueryKind::View | QueryKind::MaterializedView => Some(api.host.explain(&name)),
        };
        Some((query, explain))
    });
    let (query, explain) = found.await?.ok_or(unknown)?;
    let mut body = describe(&query);
    if let Some(explain) = explain {
        body["explain"] = explain?.into();
    }
    Ok(json_response(StatusCode::OK, body.to_string()))
}

/// `DELETE /api/v1/queries/{name}`.
pub(super) async fn drop(api: &Arc<Api>, name: &str) -> Result<Response, Problem> {
    let name = percent_decoded(name)?.into_owned();
    blocking(api, move |api| api.host.drop_query(&name)).await??;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn describe(query: &Query) -> Value {
    let kind = match query.kind {
        QueryKind::Table => "table",
        QueryKind::View => "view",
        QueryKind::MaterializedView => "materialized view",
    };
    json!({"name": &*query.name, "kind": kind, "sql": &*query.sql, "since": query.since})
}

/// Runs what may block on a thread where it may; a panic there is an error of the service.
pub(super) async fn blocking<T, F>(api: &Arc<Api>, work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce(&Api) -> T + Send + 'static,
{
    let api = api.clone();
    tokio::task::spawn_blocking(move || work(&api))
        .await
        .map_err(|_| Problem::from(DeclareError::Internal(String::new())))
}
