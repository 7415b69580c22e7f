//! Reads by a process that holds no engine: rows from a PostgreSQL, in one snapshot with their time, and single rows from a Redis,
//! if there is one. The URLs, answers and headers are those of the engine's own API.
mod listing;

use super::ApiConfig;
use super::call::{AtLeast, Call, json_response, late, percent_decoded, timed};
use super::literal::Literal;
use super::problem::Problem;
use super::server::{accept, answer};
use super::views::{is_known, key_parts, tagged, unchanged};
use dataflows::Time;
use dataflows::value::{Value, type_name};
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use sinks::SinkError;
use sinks::memory::Reached;
use sinks::redis::Options;
use sinks::redis::read::{Found, Reader};
use sinks::stored::Stored;
use sinks::stored::postgres::{Postgres, Snapshot};
use std::convert::Infallible;
use std::future::Future;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use warp::filters::BoxedFilter;
use warp::http::{HeaderMap, HeaderValue, Method, StatusCode};
use warp::reply::Response;
use warp::{Filter, Rejection};

/// How often a store is asked for the time that a reader waits for.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Connections to Redis that are kept for the next request.
const IDLE_MAX: usize = 64;

/// The stores that are read; at least one of them.
pub struct Stores {
    postgres: Option<Postgres>,
    redis: Option<Rows>,
}

/// Readers of a Redis that wait for a request.
struct Rows {
    options: Options,
    idle: Mutex<Vec<Reader>>,
}

impl Stores {
    /// A PostgreSQL, a Redis, or both: then lists come from the first and single rows from the second.
    pub fn new(postgres: Option<Postgres>, redis: Option<Options>) -> Stores {
        let redis = redis.map(|options| Rows { options, idle: Mutex::default() });
        Stores { postgres, redis }
    }
}

struct Outside {
    stores: Stores,
    config: ApiConfig,
}

/// Serves the reads on a listener until `shutdown` is ready.
pub async fn serve_stores(
    listener: std::net::TcpListener,
    stores: Stores,
    config: ApiConfig,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (close, closing) = watch::channel(false);
    let routes = routes(Arc::new(Outside { stores, config: config.clone() }));
    accept(listener, &config, close, shutdown, |socket| {
        let (routes, config, closing) = (routes.clone(), config.clone(), closing.clone());
        async move {
            let service = TowerToHyperService::new(warp::service(routes));
            answer(socket, &config, closing, service).await;
        }
    })
    .await
}

fn routes(outside: Arc<Outside>) -> BoxedFilter<(Response,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let call = warp::method().and(query).and(warp::header::headers_cloned()).and(warp::body::stream());
    warp::path::full()
        .and(call.map(Call::new))
        .and_then(move |path: warp::path::FullPath, call: Call| {
            let outside = outside.clone();
            async move {
                let response = handle(&outside, path.as_str(), &call).await;
                let response = response.unwrap_or_else(Problem::into_response);
                Ok::<Response, Rejection>(response)
            }
        })
        .recover(|_: Rejection| async { Ok::<Response, Infallible>(Problem::internal().into_response()) })
        .unify()
        .boxed()
}

async fn handle(outside: &Outside, path: &str, call: &Call) -> Result<Response, Problem> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    if call.method != Method::GET && call.method != Method::HEAD {
        return Err(match segments[..] {
            ["api", "v1", "views", ..] | ["healthz" | "readyz"] => Problem::method("GET, HEAD"),
            _ => elsewhere(),
        });
    }
    match segments[..] {
        ["healthz"] => Ok(json_response(StatusCode::OK, json!({"status": "alive"}).to_string())),
        ["readyz"] => ready(outside).await,
        ["api", "v1", "views"] => all(outside, call).await,
        ["api", "v1", "views", _, "errors" | "changes"] => Err(elsewhere()),
        ["api", "v1", "views", name] => listing::rows(outside, name, call).await,
        ["api", "v1", "views", name, key] => row(outside, name, key, call).await,
        _ => Err(elsewhere()),
    }
}

fn elsewhere() -> Problem {
    Problem::not_found(
        "this process reads views from stores: /api/v1/views, /api/v1/views/{name}, /api/v1/views/{name}/{key}, /healthz and \
         /readyz are here; all else is answered by the process that keeps the views",
    )
}

/// An error of a store, whose own words stay inside.
fn store_problem(error: SinkError) -> Problem {
    // Where stderr takes nothing, the client is told all the same.
    _ = writeln!(std::io::stderr(), "tallyflow serve: {error}");
    match error {
        SinkError::Retry(_) | SinkError::Moved(_) => {
            Problem::unavailable("the store cannot be read now; the log tells why")
        }
        SinkError::Fenced(_) | SinkError::Fatal(_) => Problem::internal(),
    }
}

/// The time of what was read.
fn time(reached: &Reached) -> Result<Time, Problem> {
    reached.time.ok_or_else(|| Problem::unavailable("no view can be read yet: the store holds none"))
}

/// A snapshot in which as much can be seen as is asked for. It waits as long as the request says.
async fn snapshot(outside: &Outside, postgres: &Postgres, at_least: &AtLeast) -> Result<Snapshot, Problem> {
    let wait = at_least.wait_max(&outside.config);
    let until = Instant::now() + wait;
    loop {
        let snapshot = postgres.snapshot().await.map_err(store_problem)?;
        let reached = snapshot.reached().clone();
        if at_least.is_met(reached.time, &reached.positions) {
            return Ok(snapshot);
        }
        snapshot.end(postgres).await;
        if *at_least == AtLeast::default() {
            time(&reached)?;
        }
        if Instant::now() >= until {
            return Err(late(wait, reached.time, &reached.positions));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

impl Rows {
    /// Does something with a reader, on a thread that may block.
    async fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Reader) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T, Problem> {
        let reader = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = reader.unwrap_or_else(|| Reader::new(self.options.clone()));
        let done = tokio::task::spawn_blocking(move || (act(&mut reader), reader)).await;
        let (result, reader) = done.map_err(|_| Problem::internal())?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(reader);
        }
        drop(idle);
        result.map_err(store_problem)
    }

    /// The views and their time, once as much can be seen as is asked for.
    async fn views(&self, outside: &Outside, at_least: &AtLeast) -> Result<(Reached, Vec<Stored>), Problem> {
        let wait = at_least.wait_max(&outside.config);
        let until = Instant::now() + wait;
        loop {
            let (reached, views) = self.with(Reader::views).await?;
            if at_least.is_met(reached.time, &reached.positions) {
                return Ok((reached, views));
            }
            if *at_least == AtLeast::default() {
                time(&reached)?;
            }
            if Instant::now() >= until {
                return Err(late(wait, reached.time, &reached.positions));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

async fn ready(outside: &Outside) -> Result<Response, Problem> {
    if let Some(postgres) = &outside.stores.postgres {
        let snapshot = postgres.snapshot().await.map_err(store_problem)?;
        let reached = snapshot.reached().clone();
        snapshot.end(postgres).await;
        time(&reached)?;
    }
    if let Some(redis) = &outside.stores.redis {
        time(&redis.with(Reader::views).await?.0)?;
    }
    Ok(json_response(StatusCode::OK, json!({"status": "ready"}).to_string()))
}

/// `GET /api/v1/views`.
async fn all(outside: &Outside, call: &Call) -> Result<Response, Problem> {
    let at_least = AtLeast::only(call)?;
    let (reached, views) = match (&outside.stores.postgres, &outside.stores.redis) {
        (Some(postgres), _) => {
            let snapshot = snapshot(outside, postgres, &at_least).await?;
            let reached = snapshot.reached().clone();
            let tables = snapshot.tables(None).await.map_err(store_problem)?;
            snapshot.end(postgres).await;
            (reached, tables.into_iter().map(|table| table.stored).collect())
        }
        (None, Some(redis)) => redis.views(outside, &at_least).await?,
        (None, None) => return Err(Problem::unavailable("there is no store")),
    };
    let time = time(&reached)?;
    let views: Vec<serde_json::Value> = views.iter().map(describe).collect();
    Ok(timed(time, json!({"time": time, "views": views}).to_string()))
}

fn describe(stored: &Stored) -> serde_json::Value {
    let columns = stored.schema.fields().iter().map(|field| {
        json!({"name": field.name(), "type": type_name(field.data_type()), "nullable": field.is_nullable()})
    });
    let key: Vec<&str> = stored.key.iter().map(|i| stored.schema.field(*i).name().as_str()).collect();
    json!({"name": &*stored.name, "columns": columns.collect::<Vec<_>>(), "key": key})
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(format!("there is no view \"{name}\" in the store"))
}

/// Weak, as the time in the body moves on.
fn etag(stored: &Stored, time: Time) -> HeaderValue {
    let text = format!("W/\"{:x}.{time}\"", stored.definition);
    HeaderValue::try_from(text).expect("digits and quotes can stand in a header")
}

/// The key's parts as values of its columns.
fn key_values(stored: &Stored, key: &str) -> Result<Vec<Literal>, Problem> {
    let parts = key_parts(&stored.name, &stored.schema, &stored.key, key)?;
    let value = |(column, part): (&usize, String)| {
        let field = stored.schema.field(*column);
        let literal = Literal::parse(field.data_type(), &part);
        literal.map_err(|why| Problem::bad(format!("key column \"{}\": {why}", field.name())))
    };
    stored.key.iter().zip(parts).map(value).collect()
}

/// `GET /api/v1/views/{name}/{key}`.
async fn row(outside: &Outside, name: &str, key: &str, call: &Call) -> Result<Response, Problem> {
    let at_least = AtLeast::only(call)?;
    let name = percent_decoded(name)?;
    let Some(redis) = &outside.stores.redis else {
        return listing::row(outside, &name, key, &at_least, &call.headers).await;
    };
    let (_, views) = redis.views(outside, &at_least).await?;
    let stored = views.into_iter().find(|stored| *stored.name == *name).ok_or_else(|| unknown(&name))?;
    let literals = key_values(&stored, key)?;
    let asked = stored.clone();
    let found = redis.with(move |reader| {
        let values: Vec<Value<'_>> = literals.iter().map(Literal::value).collect();
        reader.get(&asked, &values)
    });
    let Found { time, row } = found.await?.ok_or_else(|| unknown(&name))?;
    let rows = row.into_iter().map(|(json, count)| (json, count.unsigned_abs())).collect();
    one(&stored, time, key, rows, &call.headers)
}

/// What stands under a key.
fn one(
    stored: &Stored,
    time: Time,
    key: &str,
    rows: Vec<(String, u64)>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    if rows.is_empty() {
        let detail = format!("view \"{}\" has no row with key {key}", stored.name);
        return Err(Problem::not_found(detail).with("time", json!(time)));
    }
    let etag = etag(stored, time);
    if is_known(headers, &etag) {
        return Ok(unchanged(time, etag));
    }
    let copies = rows.iter().flat_map(|(json, count)| (0..*count).map(move |_| json.as_str()));
    let body = format!("{{\"time\":{time},\"rows\":[{}]}}", copies.collect::<Vec<_>>().join(","));
    Ok(tagged(timed(time, body), etag))
}
