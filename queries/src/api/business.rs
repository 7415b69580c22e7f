//! The paths of a business, on top of the views of the catalogue `bss`: a table of paths, each with the view that answers.
//!
//! | file | what it is |
//! |---|---|
//! | `pages` | the table: paths and the views that answer |
//! | `entities` | customers, orders and so on: what their events are called, their versions |
//! | `commands` | POST, PUT and DELETE: checked, appended as events |
//! | `wishes`, `moment` | what a command's headers ask for, and when it is taken |
//! | `schemas` | the schemas of events, and what a value says against one |
//! | `streams` | the views and the log, for those who operate them |
//! | `document` | the description of all that in OpenAPI |
pub(super) mod commands;
pub(super) mod document;
mod entities;
mod moment;
mod pages;
mod schemas;
mod streams;
mod wishes;

use super::Api;
use super::call::{AtLeast, Call, percent_decoded, timed};
use super::declared::blocking;
use super::host::{DeclareError, QueryKind};
use super::list::{self, List};
use super::problem::Problem;
use super::views;
use entities::Entity;
use pages::{Page, Shown};
use serde_json::json;
use sinks::memory::Read;
use sinks::memory::kept::Kept;
use std::borrow::Cow;
use std::sync::Arc;
use warp::http::{HeaderValue, Method, StatusCode};
use warp::reply::Response;

/// Answers a path below `/api/v1/`.
pub(super) async fn handle(api: &Arc<Api>, path: &str, call: Call) -> Result<Response, Problem> {
    let segments: Vec<Cow<'_, str>> =
        path.split('/').map(percent_decoded).collect::<Result<Vec<_>, Problem>>()?;
    let parts: Vec<&str> = segments.iter().map(|part| &**part).collect();
    let get = call.method == Method::GET;
    match parts[..] {
        ["schemas"] if get => schemas::all(&call),
        ["schemas", name] if get => schemas::one(name, &call),
        ["schemas"] | ["schemas", _] => Err(Problem::method("GET, HEAD")),
        ["streams", what] if streams::KNOWN.contains(&what) => streams::handle(api, what, call).await,
        ["analytics", "system", "health"] if get => streams::health(api, &call).await,
        ["analytics", "system", "health"] => Err(Problem::method("GET, HEAD")),
        ["metrics", kind] if call.method == Method::POST && pages::METRICS.contains(&kind) => {
            commands::record(api, kind, call).await
        }
        ["metrics", kind] if pages::METRICS.contains(&kind) && !get => {
            Err(Problem::method("GET, HEAD, POST"))
        }
        [word, ref rest @ ..] => match Entity::named(word) {
            Some(entity) if rest.iter().all(|part| !part.is_empty()) => {
                entity_path(api, entity, rest, call).await
            }
            Some(_) => Err(unknown()),
            None => page(api, &parts, &call).await,
        },
        [] => Err(unknown()),
    }
}

fn unknown() -> Problem {
    Problem::not_found("no such path; /api/v1/openapi.json names those there are")
}

async fn entity_path(
    api: &Arc<Api>,
    entity: &'static Entity,
    rest: &[&str],
    call: Call,
) -> Result<Response, Problem> {
    use commands::Act;
    match (rest, call.method.as_str()) {
        ([], "GET") => rows(api, entity.view, None, &call).await,
        ([], "POST") => commands::command(api, entity, Act::Create, None, call).await,
        ([], _) => Err(Problem::method("GET, HEAD, POST")),
        ([id], "GET") => one(api, entity, id, &call).await,
        ([id], "PUT") => commands::command(api, entity, Act::Replace, Some(id), call).await,
        ([id], "DELETE") => commands::command(api, entity, Act::Remove, Some(id), call).await,
        ([_], _) => Err(Problem::method("GET, HEAD, PUT, DELETE")),
        ([id, "history"], "GET") => history(api, entity, id, &call).await,
        ([_, "history"], _) => Err(Problem::method("GET, HEAD")),
        ([id, "send"], "POST") if entity.word == "invoices" => {
            commands::command(api, entity, Act::Send, Some(id), call).await
        }
        ([_, "send"], _) if entity.word == "invoices" => Err(Problem::method("POST")),
        _ => Err(unknown()),
    }
}

async fn page(api: &Arc<Api>, parts: &[&str], call: &Call) -> Result<Response, Problem> {
    let (page, id) = Page::at(parts).ok_or_else(unknown)?;
    if call.method != Method::GET {
        return Err(Problem::method("GET, HEAD"));
    }
    match (page.shown, id) {
        (Shown::List, _) | (Shown::One | Shown::Of(_), None) => rows(api, page.view, None, call).await,
        (Shown::One, Some(id)) => {
            let (read, kept) = kept(api, &AtLeast::only(call)?, page.view).await?;
            found(api, &read, &kept, id, None, call)
        }
        (Shown::Of(column), Some(id)) => rows(api, page.view, Some((column, id)), call).await,
    }
}

/// A view as it is now or as it was waited for. Tables are shown to readers when they are first asked for.
async fn kept(api: &Arc<Api>, at_least: &AtLeast, view: &'static str) -> Result<(Read, Kept), Problem> {
    let read = at_least.read(api).await?;
    if read.view(view).is_some() {
        let kept = views::readable(&read, view)?.clone();
        return Ok((read, kept));
    }
    let published =
        blocking(api, move |api| match api.host.queries().iter().find(|query| *query.name == *view) {
            Some(query) if query.kind == QueryKind::Table => api.host.publish(view).map(|()| true),
            _ => Ok(false),
        });
    match published.await? {
        Ok(true) => {}
        Ok(false) => return Err(missing(view)),
        Err(DeclareError::NotFound(_)) => return Err(missing(view)),
        Err(DeclareError::Conflict(why)) => return Err(Problem::unavailable(why)),
        Err(why) => return Err(why.into()),
    }
    let read = at_least.read(api).await?;
    let kept = views::readable(&read, view)?.clone();
    Ok((read, kept))
}

fn missing(view: &str) -> Problem {
    let detail = format!(
        "this path reads {view}, which is not in the catalogue: start with --catalog bss, or declare the statements of \
         queries/bss that it needs"
    );
    Problem::not_found(detail).with("missing", view)
}

/// The rows of a view, those of one value if it is given.
async fn rows(
    api: &Arc<Api>,
    view: &'static str,
    only: Option<(&str, &str)>,
    call: &Call,
) -> Result<Response, Problem> {
    let (at_least, rest) = list::at_least(call.parameters()?)?;
    let (mut search, mut parameters) = (None, vec![]);
    for (name, value) in rest {
        match name.as_str() {
            "q" => search = Some(value),
            "sort" => parameters.push(("order".to_owned(), value)),
            _ => parameters.push((name, value)),
        }
    }
    parameters.extend(only.map(|(column, value)| (format!("{column}[eq]"), value.to_owned())));
    let (read, kept) = kept(api, &at_least, view).await?;
    let list = match search {
        Some(text) => List::search(api, &kept, &text, &parameters)?,
        None => List::parse(api, &kept, &parameters)?,
    };
    views::listed(api, views::time(&read)?, kept, list, &call.headers).await
}

/// The row of an entity, with the version that a command may ask for.
async fn one(api: &Arc<Api>, entity: &'static Entity, id: &str, call: &Call) -> Result<Response, Problem> {
    let at_least = AtLeast::only(call)?;
    let (read, kept) = kept(api, &at_least, entity.view).await?;
    let version = match self::kept(api, &at_least, entity.versions).await {
        Ok((_, versions)) => entities::newest(&versions, id)?.map(|newest| newest.version),
        Err(_) => None,
    };
    found(api, &read, &kept, id, version, call)
}

fn found(
    api: &Api,
    read: &Read,
    kept: &Kept,
    id: &str,
    version: Option<i64>,
    call: &Call,
) -> Result<Response, Problem> {
    let time = views::time(read)?;
    let name = &kept.shape().view().name;
    let rows = entities::rows(kept, id)?;
    if rows.is_empty() {
        let detail = format!("view \"{name}\" has no row with key {id}");
        return Err(Problem::not_found(detail).with("time", json!(time)));
    }
    let etag = views::etag(api, kept);
    let mut response = match views::is_known(&call.headers, &etag) {
        true => views::unchanged(time, etag),
        false => {
            let rows = rows.join(",");
            let version = version.map_or_else(String::new, |version| format!("\"version\":{version},"));
            views::tagged(timed(time, format!("{{\"time\":{time},{version}\"rows\":[{rows}]}}")), etag)
        }
    };
    if let Some(version) = version {
        response.headers_mut().insert("tallyflow-version", HeaderValue::from(version));
    }
    Ok(response)
}

/// `GET /api/v1/{entities}/{id}/history`: the versions, the oldest first.
async fn history(
    api: &Arc<Api>,
    entity: &'static Entity,
    id: &str,
    call: &Call,
) -> Result<Response, Problem> {
    let (read, kept) = kept(api, &AtLeast::only(call)?, entity.versions).await?;
    let time = views::time(&read)?;
    let versions = entities::versions(&kept, id)?;
    if versions.is_empty() {
        let detail = format!("nothing was ever said of {} {id}", entity.subject);
        return Err(Problem::not_found(detail).with("time", json!(time)));
    }
    Ok(timed(time, json!({"time": time, "rows": versions}).to_string()))
}

/// Answers what was done or found, as JSON.
fn answered(status: StatusCode, body: serde_json::Value) -> Response {
    super::call::json_response(status, body.to_string())
}

/// Refuses a request that says more than its path.
fn no_parameters(call: &Call) -> Result<(), Problem> {
    match call.parameters()?.first() {
        Some((name, _)) => Err(Problem::bad(format!("unknown parameter \"{name}\"; this path takes none"))),
        None => Ok(()),
    }
}
