//! The shape of each URL, as warp filters, and what answers it.
use super::backfills::Steer;
use super::call::Call;
use super::meter::Route;
use super::problem::Problem;
use super::{
    Api, backfills, business, call::AtLeast, changes, declared, events, operate, quarantine, sql, stores,
    views,
};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;
use warp::filters::BoxedFilter;
use warp::http::Method;
use warp::reply::Response;
use warp::{Filter, Rejection};

/// What a path names. Segments are as they came, percent-encoded.
#[derive(Clone, Debug)]
enum Resource {
    Page,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Views,
    View(String),
    Errors(String),
    Changes(String),
    Row(String, String),
    Events,
    Queries,
    Sql,
    Query(String),
    Quarantine,
    Sinks,
    Sink(String),
    SinkCheck(String),
    Quarantined(String),
    Judged(String, Judge),
    Backfills,
    Backfill(String),
    Steered(String, Steer),
    Business(String),
    Unknown,
}

/// What is decided about a quarantined record.
#[derive(Clone, Copy, Debug)]
enum Judge {
    Replay,
    Discard,
}

/// Every path, as the API's description spells it.
#[cfg(test)]
pub(super) const PATHS: [&str; 26] = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/openapi.json",
    "/api/v1/views",
    "/api/v1/views/{name}",
    "/api/v1/views/{name}/errors",
    "/api/v1/views/{name}/changes",
    "/api/v1/views/{name}/{key}",
    "/api/v1/events",
    "/api/v1/queries",
    "/api/v1/sql",
    "/api/v1/queries/{name}",
    "/api/v1/quarantine",
    "/api/v1/sinks",
    "/api/v1/sinks/{name}",
    "/api/v1/sinks/{name}/check",
    "/api/v1/quarantine/{id}",
    "/api/v1/quarantine/{id}/replay",
    "/api/v1/quarantine/{id}/discard",
    "/api/v1/backfills",
    "/api/v1/backfills/{id}",
    "/api/v1/backfills/{id}/pause",
    "/api/v1/backfills/{id}/resume",
    "/api/v1/backfills/{id}/cancel",
];

impl Resource {
    fn route(&self) -> Route {
        match self {
            Resource::Page => Route::Page,
            Resource::Health | Resource::Ready => Route::Health,
            Resource::Metrics => Route::Metrics,
            Resource::OpenApi => Route::OpenApi,
            Resource::Views => Route::Views,
            Resource::View(_) => Route::View,
            Resource::Errors(_) => Route::Errors,
            Resource::Changes(_) => Route::Changes,
            Resource::Row(..) => Route::Row,
            Resource::Events => Route::Events,
            Resource::Queries | Resource::Query(_) => Route::Queries,
            Resource::Sql => Route::Sql,
            Resource::Quarantine | Resource::Quarantined(_) | Resource::Judged(..) => Route::Quarantine,
            Resource::Backfills | Resource::Backfill(_) | Resource::Steered(..) => Route::Backfills,
            Resource::Sinks | Resource::Sink(_) | Resource::SinkCheck(_) => Route::Sinks,
            Resource::Business(_) => Route::Business,
            Resource::Unknown => Route::Unknown,
        }
    }

    fn methods(&self) -> &'static str {
        match self {
            Resource::Events
            | Resource::Sql
            | Resource::SinkCheck(_)
            | Resource::Judged(..)
            | Resource::Steered(..) => "POST",
            Resource::Queries | Resource::Backfills => "GET, HEAD, POST",
            Resource::Query(_) | Resource::Sink(_) => "GET, HEAD, DELETE",
            Resource::Page
            | Resource::Health
            | Resource::Ready
            | Resource::Metrics
            | Resource::OpenApi
            | Resource::Views
            | Resource::View(_)
            | Resource::Errors(_)
            | Resource::Changes(_)
            | Resource::Row(..)
            | Resource::Quarantine
            | Resource::Sinks
            | Resource::Quarantined(_)
            | Resource::Backfill(_)
            | Resource::Business(_)
            | Resource::Unknown => "GET, HEAD",
        }
    }
}

fn resources() -> BoxedFilter<(Resource,)> {
    use Resource::*;
    let operate = warp::path::end()
        .map(|| Page)
        .or(warp::path!("healthz").map(|| Health))
        .unify()
        .or(warp::path!("readyz").map(|| Ready))
        .unify()
        .or(warp::path!("metrics").map(|| Metrics))
        .unify();
    let views = warp::path!("views")
        .map(|| Views)
        .or(warp::path!("views" / String).map(View))
        .unify()
        .or(warp::path!("views" / String / "errors").map(Errors))
        .unify()
        .or(warp::path!("views" / String / "changes").map(Changes))
        .unify()
        .or(warp::path!("views" / String / String).map(Row))
        .unify();
    let rest = warp::path!("events")
        .map(|| Events)
        .or(warp::path!("queries").map(|| Queries))
        .unify()
        .or(warp::path!("queries" / String).map(Query))
        .unify()
        .or(warp::path!("sql").map(|| Sql))
        .unify()
        .or(warp::path!("sinks").map(|| Sinks))
        .unify()
        .or(warp::path!("sinks" / String).map(Sink))
        .unify()
        .or(warp::path!("sinks" / String / "check").map(SinkCheck))
        .unify()
        .or(warp::path!("openapi.json").map(|| OpenApi))
        .unify();
    let kept = warp::path!("quarantine")
        .map(|| Quarantine)
        .or(warp::path!("quarantine" / String).map(Quarantined))
        .unify()
        .or(warp::path!("quarantine" / String / "replay").map(|id| Judged(id, Judge::Replay)))
        .unify()
        .or(warp::path!("quarantine" / String / "discard").map(|id| Judged(id, Judge::Discard)))
        .unify();
    let history = warp::path!("backfills")
        .map(|| Backfills)
        .or(warp::path!("backfills" / String).map(Backfill))
        .unify()
        .or(warp::path!("backfills" / String / "pause").map(|id| Steered(id, Steer::Pause)))
        .unify()
        .or(warp::path!("backfills" / String / "resume").map(|id| Steered(id, Steer::Resume)))
        .unify()
        .or(warp::path!("backfills" / String / "cancel").map(|id| Steered(id, Steer::Cancel)))
        .unify();
    let rest = rest.or(kept).unify().or(history).unify();
    let versioned = warp::path("api").and(warp::path("v1")).and(views.or(rest).unify());
    let business = warp::path("api")
        .and(warp::path("v1"))
        .and(warp::path::tail())
        .map(|tail: warp::path::Tail| Business(tail.as_str().to_owned()));
    operate.or(versioned).unify().or(business).unify().or(warp::any().map(|| Unknown)).unify().boxed()
}

/// All of the API as one filter, which answers whatever comes.
pub(super) fn routes(api: Arc<Api>) -> BoxedFilter<(Response,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let call = warp::method()
        .and(query)
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .map(Call::new);
    resources()
        .and(call)
        .and_then(move |resource: Resource, call: Call| {
            let api = api.clone();
            async move { Ok::<Response, Rejection>(answer(&api, resource, call).await) }
        })
        .boxed()
}

async fn answer(api: &Arc<Api>, resource: Resource, call: Call) -> Response {
    let (route, begun) = (resource.route(), Instant::now());
    let result = handle(api, resource, call).await;
    let response = result.unwrap_or_else(Problem::into_response);
    api.meter.count(route, response.status(), begun.elapsed());
    response
}

async fn handle(api: &Arc<Api>, resource: Resource, mut call: Call) -> Result<Response, Problem> {
    use Resource::*;
    let methods = resource.methods();
    if call.method == Method::HEAD {
        // The server leaves the body out.
        call.method = Method::GET;
    }
    match (resource, &call.method) {
        (Unknown, _) => Err(Problem::not_found("no such path; GET / names those there are")),
        (Business(path), _) => business::handle(api, &path, call).await,
        (Page, &Method::GET) => Ok(operate::page(api)),
        (Health, &Method::GET) => Ok(operate::health()),
        (Ready, &Method::GET) => operate::ready(api),
        (Metrics, &Method::GET) => Ok(operate::metrics(api)),
        (OpenApi, &Method::GET) => Ok(operate::openapi(api)),
        (Views, &Method::GET) => views::all(api, &call).await,
        (View(name), &Method::GET) => views::rows(api, &name, &call).await,
        (Errors(name), &Method::GET) => views::errors(api, &name, &call).await,
        (Changes(name), &Method::GET) => changes::get(api, &name, &call).await,
        (Row(name, key), &Method::GET) => {
            let read = AtLeast::only(&call)?.read(api).await?;
            views::row(api, &read, &name, &key, &call.headers)
        }
        (Events, &Method::POST) => events::post(api, call).await,
        (Queries, &Method::GET) => declared::all(api).await,
        (Queries, &Method::POST) => declared::post(api, call).await,
        (Query(name), &Method::GET) => declared::one(api, &name).await,
        (Query(name), &Method::DELETE) => declared::drop(api, &name).await,
        (Sql, &Method::POST) => sql::post(api, call).await,
        (Sinks, &Method::GET) => stores::all(api).await,
        (Sink(name), &Method::GET) => stores::one(api, &name).await,
        (Sink(name), &Method::DELETE) => stores::drop(api, &name).await,
        (SinkCheck(name), &Method::POST) => stores::check(api, &name, &call).await,
        (Quarantine, &Method::GET) => quarantine::all(api, &call).await,
        (Quarantined(id), &Method::GET) => quarantine::one(api, &id).await,
        (Judged(id, Judge::Replay), &Method::POST) => quarantine::replay(api, &id, call).await,
        (Judged(id, Judge::Discard), &Method::POST) => quarantine::discard(api, &id).await,
        (Backfills, &Method::GET) => backfills::all(api).await,
        (Backfills, &Method::POST) => backfills::post(api, call).await,
        (Backfill(id), &Method::GET) => backfills::one(api, &id).await,
        (Steered(id, steer), &Method::POST) => backfills::steer(api, &id, steer).await,
        _ => Err(Problem::method(methods)),
    }
}

/// The view and key of the most frequent request, a point read without a query, which needs no filters.
pub(super) fn point<B>(request: &warp::http::Request<B>) -> Option<(&str, &str)> {
    let uri = request.uri();
    let rest = uri.path().strip_prefix("/api/v1/views/")?;
    let (name, key) = rest.split_once('/')?;
    let whole = !name.is_empty() && !key.is_empty() && !key.contains('/');
    let row = key != "errors" && key != "changes" && uri.query().is_none();
    (request.method() == Method::GET && whole && row).then_some((name, key))
}

/// Answers a point read as [`routes`] would.
pub(super) fn answer_point<B>(
    api: &Api,
    request: &warp::http::Request<B>,
    name: &str,
    key: &str,
) -> Result<Response, Infallible> {
    let begun = Instant::now();
    let result = views::row(api, &api.memory.read(), name, key, request.headers());
    let response = result.unwrap_or_else(Problem::into_response);
    api.meter.count(Route::Row, response.status(), begun.elapsed());
    Ok(response)
}
