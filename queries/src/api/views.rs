//! Reads: the views, their rows, one row, their failures. Each answer states the time it was read at.
use super::Api;
use super::call::{AtLeast, Call, json_response, percent_decoded, timed};
use super::list::{self, List};
use super::literal;
use super::problem::Problem;
use arrow::array::ArrayRef;
use arrow::datatypes::Schema;
use dataflows::Time;
use dataflows::value::type_name;
use serde_json::{Value, json};
use sinks::memory::Read;
use sinks::memory::kept::Kept;
use std::borrow::Cow;
use std::sync::Arc;
use warp::http::{HeaderMap, HeaderValue, StatusCode, header};
use warp::reply::Response;

/// Views with more rows are searched on a thread that may block.
const SCAN_INLINE_MAX: u64 = 2_000;
/// Failures shown of a view.
const ERRORS_MAX: usize = 1_000;

/// `GET /api/v1/views`.
pub(super) async fn all(api: &Api, call: &Call) -> Result<Response, Problem> {
    let read = AtLeast::only(call)?.read(api).await?;
    let time = time(&read)?;
    let views: Vec<Value> = read.views().map(describe).collect();
    Ok(timed(time, json!({"time": time, "views": views}).to_string()))
}

fn describe(kept: &Kept) -> Value {
    let view = kept.shape().view();
    let columns = view.schema.fields().iter().map(|field| {
        json!({"name": field.name(), "type": type_name(field.data_type()), "nullable": field.is_nullable()})
    });
    let key: Vec<&str> = view.key.iter().map(|i| view.schema.field(*i).name().as_str()).collect();
    json!({
        "name": &*view.name,
        "columns": columns.collect::<Vec<_>>(),
        "key": key,
        "rows": kept.rows().totals().rows,
        "errors": kept.errs_count(),
        "key_violations": kept.key_violations(),
        "since": kept.since(),
        "changed": kept.changed(),
    })
}

/// `GET /api/v1/views/{name}`.
pub(super) async fn rows(api: &Arc<Api>, name: &str, call: &Call) -> Result<Response, Problem> {
    let (at_least, rest) = list::at_least(call.parameters()?)?;
    let read = at_least.read(api).await?;
    let kept = readable(&read, &percent_decoded(name)?)?.clone();
    let list = List::parse(api, &kept, &rest)?;
    listed(api, time(&read)?, kept, list, &call.headers).await
}

/// The rows of a list, as they were at a time.
pub(super) async fn listed(
    api: &Arc<Api>,
    time: Time,
    kept: Kept,
    list: List,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let etag = etag(api, &kept);
    if is_known(headers, &etag) {
        return Ok(unchanged(time, etag));
    }
    let (rows, next) = if list.is_scan() && kept.rows().totals().rows > SCAN_INLINE_MAX {
        let api = api.clone();
        tokio::task::spawn_blocking(move || list.run(&api, &kept)).await.map_err(|_| Problem::internal())?
    } else {
        list.run(api, &kept)
    };
    let next = next.map_or_else(String::new, |cursor| format!(",\"next\":\"{cursor}\""));
    Ok(tagged(timed(time, format!("{{\"time\":{time},\"rows\":{rows}{next}}}")), etag))
}

/// `GET /api/v1/views/{name}/{key}`, for a store as it is now or as it was waited for.
pub(super) fn row(
    api: &Api,
    read: &Read,
    name: &str,
    key: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let time = time(read)?;
    let kept = readable(read, &percent_decoded(name)?)?;
    let key_bytes = key_bytes(kept, key)?;
    let etag = etag(api, kept);
    if is_known(headers, &etag) {
        return Ok(unchanged(time, etag));
    }
    let mut body = format!("{{\"time\":{time},\"rows\":[");
    let empty = body.len();
    for entry in kept.rows().get(&key_bytes) {
        for _ in 0..entry.count {
            if body.len() > empty {
                body.push(',');
            }
            kept.shape().write_json(entry.row, &mut body);
        }
    }
    if body.len() == empty {
        let detail = format!("view \"{}\" has no row with key {key}", kept.shape().view().name);
        return Err(Problem::not_found(detail).with("time", json!(time)));
    }
    body.push_str("]}");
    Ok(tagged(timed(time, body), etag))
}

/// `GET /api/v1/views/{name}/errors`.
pub(super) async fn errors(api: &Api, name: &str, call: &Call) -> Result<Response, Problem> {
    let read = AtLeast::only(call)?.read(api).await?;
    let time = time(&read)?;
    let kept = readable(&read, &percent_decoded(name)?)?;
    let shown =
        kept.errs().take(ERRORS_MAX).map(|(message, count)| json!({"message": message, "count": count}));
    let body = json!({"time": time, "count": kept.errs_count(), "errors": shown.collect::<Vec<_>>()});
    Ok(timed(time, body.to_string()))
}

pub(super) fn time(read: &Read) -> Result<Time, Problem> {
    read.time()
        .ok_or_else(|| Problem::unavailable("no view can be read yet: the first tick is still to come"))
}

/// The view of a name, if its first rows are there.
pub(super) fn readable<'a>(read: &'a Read, name: &str) -> Result<&'a Kept, Problem> {
    let kept = read
        .view(name)
        .ok_or_else(|| Problem::not_found(format!("there is no materialized view \"{name}\"")))?;
    match kept.since() {
        Some(_) => Ok(kept),
        None => Err(Problem::unavailable(format!("view \"{name}\" is being built"))),
    }
}

fn key_bytes(kept: &Kept, key: &str) -> Result<Vec<u8>, Problem> {
    let view = kept.shape().view();
    let parts = key_parts(&view.name, &view.schema, &view.key, key)?;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(parts.len());
    for (i, part) in view.key.iter().zip(parts) {
        let field = view.schema.field(*i);
        let column = literal::column(field.data_type(), &part);
        columns.push(column.map_err(|why| Problem::bad(format!("key column \"{}\": {why}", field.name())))?);
    }
    kept.shape().key(&columns).map_err(Problem::bad)
}

/// The parts of a key, which are separated by commas, each percent-encoded. Clients that encode the whole are understood where no
/// part holds a comma.
pub(super) fn key_parts(
    name: &str,
    schema: &Schema,
    columns: &[usize],
    key: &str,
) -> Result<Vec<String>, Problem> {
    let parts = key.split(',').map(percent_decoded).collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<String> = match &parts[..] {
        [whole] if columns.len() > 1 => whole.split(',').map(str::to_owned).collect(),
        _ => parts.into_iter().map(Cow::into_owned).collect(),
    };
    if parts.len() != columns.len() {
        let names: Vec<&str> = columns.iter().map(|i| schema.field(*i).name().as_str()).collect();
        let (wanted, given) = (names.join(","), parts.len());
        return Err(Problem::bad(format!("the key of view \"{name}\" is {wanted}, not {given} values")));
    }
    Ok(parts)
}

/// Weak, as the time in the body moves on while the rows stay.
pub(super) fn etag(api: &Api, kept: &Kept) -> HeaderValue {
    let text = format!("W/\"{:x}-{}.{}\"", api.memory.generation(), kept.incarnation(), kept.changed());
    HeaderValue::try_from(text).expect("digits and quotes can stand in a header")
}

pub(super) fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let (Some(given), Ok(etag)) = (headers.get(header::IF_NONE_MATCH), etag.to_str()) else { return false };
    given.to_str().is_ok_and(|given| given.split(',').any(|one| one.trim() == etag))
}

pub(super) fn tagged(mut response: Response, etag: HeaderValue) -> Response {
    response.headers_mut().insert(header::ETAG, etag);
    response
}

pub(super) fn unchanged(time: Time, etag: HeaderValue) -> Response {
    let mut response = tagged(timed(time, String::new()), etag);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// What a listing of anything but rows answers.
pub(super) fn listing(name: &str, items: Vec<Value>) -> Response {
    let mut body = serde_json::Map::new();
    body.insert(name.into(), items.into());
    json_response(StatusCode::OK, Value::Object(body).to_string())
}
