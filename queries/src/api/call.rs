//! `Call`: a request behind its URL's path: what it asks for, what it sends, and which time it waits for.
use super::problem::Problem;
use super::{Api, ApiConfig, closed};
use bytes::{Buf, Bytes};
use dataflows::{Position, Time};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use serde_json::json;
use sinks::memory::{Reached, Read};
use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use warp::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use warp::reply::Response;

/// A request: everything but the path.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    query: String,
    /// In a mutex only because handlers share the rest of the call between threads; it is never locked.
    body: Mutex<BoxStream<'static, Result<Bytes, warp::Error>>>,
}

impl Call {
    pub(super) fn new<S, B>(method: Method, query: String, headers: HeaderMap, body: S) -> Call
    where
        S: Stream<Item = Result<B, warp::Error>> + Send + 'static,
        B: Buf,
    {
        let body = body.map(|part| part.map(|mut part| part.copy_to_bytes(part.remaining()))).boxed();
        Call { method, headers, query, body: Mutex::new(body) }
    }

    /// The query's parameters in order, decoded.
    pub(super) fn parameters(&self) -> Result<Vec<(String, String)>, Problem> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                let decode = |text: &str| percent_decoded(&text.replace('+', " ")).map(Cow::into_owned);
                Ok((decode(name)?, decode(value)?))
            })
            .collect()
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The media type in lower case, without its parameters.
    pub(super) fn media_type(&self) -> Option<String> {
        let text = self.header(&header::CONTENT_TYPE)?;
        Some(text.split(';').next().unwrap_or(text).trim().to_ascii_lowercase())
    }

    /// The whole body, if it comes in time and is not larger than allowed.
    pub(super) async fn body(&mut self, bytes_max: usize, config: &ApiConfig) -> Result<Bytes, Problem> {
        let too_large = || Problem::too_large(format!("the body has more than {bytes_max} bytes"));
        let declared = self.header(&header::CONTENT_LENGTH).and_then(|text| text.parse::<usize>().ok());
        if declared.is_some_and(|length| length > bytes_max) {
            return Err(too_large());
        }
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let read = async {
            let mut whole = Vec::with_capacity(declared.unwrap_or(0));
            while let Some(part) = body.next().await {
                let part = part.map_err(|_| Problem::bad("the body ended before it was complete"))?;
                if whole.len() + part.len() > bytes_max {
                    return Err(too_large());
                }
                whole.extend_from_slice(&part);
            }
            Ok(Bytes::from(whole))
        };
        let late = |_| {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "slow", "The body came too slowly", "send it faster")
        };
        tokio::time::timeout(config.body_wait, read).await.map_err(late)?
    }
}

/// Text with `%XX` decoded.
pub(super) fn percent_decoded(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.contains('%') {
        return Ok(text.into());
    }
    let malformed = || Problem::bad(format!("malformed percent-encoding in \"{text}\""));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Err(malformed()) };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return Err(malformed()) };
        bytes.push((high * 16 + low) as u8);
        rest = tail;
    }
    String::from_utf8(bytes).map(Cow::from).map_err(|_| malformed())
}

/// What a read must have seen at least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AtLeast {
    time: Time,
    positions: Vec<Position>,
    wait: Option<Duration>,
}

impl AtLeast {
    /// Takes a parameter if it is one of its own.
    pub(super) fn take(&mut self, name: &str, value: &str) -> Result<bool, Problem> {
        match name {
            "at_least" => value.split(',').try_for_each(|part| self.add(part.trim()))?,
            "wait" => self.wait = Some(duration(value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads it from a request that takes no other parameter.
    pub(super) fn only(call: &Call) -> Result<AtLeast, Problem> {
        let mut at_least = AtLeast::default();
        for (name, value) in call.parameters()? {
            if !at_least.take(&name, &value)? {
                return Err(Problem::bad(format!(
                    "unknown parameter \"{name}\"; known are at_least and wait"
                )));
            }
        }
        Ok(at_least)
    }

    /// Positions, and how long to wait for them.
    pub(super) fn positions(positions: Vec<Position>, wait: Duration) -> AtLeast {
        AtLeast { time: 0, positions, wait: Some(wait) }
    }

    fn add(&mut self, part: &str) -> Result<(), Problem> {
        let wrong = || {
            Problem::bad(format!(
                "at_least=\"{part}\" is neither a time (a number) nor a position (partition:offset)"
            ))
        };
        match part.split_once(':') {
            None => self.time = self.time.max(part.parse().map_err(|_| wrong())?),
            Some((partition, offset)) => self.positions.push(Position {
                partition: partition.parse().map_err(|_| wrong())?,
                offset: offset.parse().map_err(|_| wrong())?,
            }),
        }
        Ok(())
    }

    /// Whether this is far enough.
    pub(super) fn is_met(&self, time: Option<Time>, positions: &[Position]) -> bool {
        time.is_some_and(|time| time >= self.time)
            && self.positions.iter().all(|wanted| {
                wanted.offset == 0
                    || positions.iter().any(|p| p.partition == wanted.partition && p.offset >= wanted.offset)
            })
    }

    /// How long it waits.
    pub(super) fn wait_max(&self, config: &ApiConfig) -> Duration {
        self.wait.unwrap_or(Duration::from_secs(2)).min(config.at_least_wait_max)
    }

    /// Waits until the store has come that far.
    pub(super) async fn read(&self, api: &Api) -> Result<Read, Problem> {
        let read = api.memory.read();
        if self.is_met(read.time(), read.positions()) {
            return Ok(read);
        }
        if *self == AtLeast::default() {
            return Err(Problem::unavailable("no view can be read yet: the first tick is still to come"));
        }
        let wait = self.wait_max(&api.config);
        let (mut reached, mut closing) = (api.memory.watch(), api.closing.clone());
        let met = |reached: &std::sync::Arc<Reached>| self.is_met(reached.time, &reached.positions);
        let result = tokio::select! {
            result = tokio::time::timeout(wait, reached.wait_for(met)) => result.is_ok(),
            () = closed(&mut closing) => return Err(Problem::unavailable("shutting down")),
        };
        let read = api.memory.read();
        if result { Ok(read) } else { Err(late(wait, read.time(), read.positions())) }
    }
}

/// What was asked for has not come in time.
pub(super) fn late(wait: Duration, reached: Option<Time>, positions: &[Position]) -> Problem {
    let time = reached.map_or_else(|| "none".to_string(), |time| time.to_string());
    let detail = format!(
        "what was asked for is not readable after {} ms; the time reached is {time}",
        wait.as_millis()
    );
    let positions = positions.iter().map(|p| json!({"partition": p.partition, "offset": p.offset}));
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "too-early", "The views are not there yet", detail)
        .with("time", json!(reached))
        .with("positions", positions.collect::<Vec<_>>())
}

/// `500ms`, `2s`, or seconds without a unit.
fn duration(text: &str) -> Result<Duration, Problem> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1000),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| Problem::bad(format!("wait=\"{text}\" is not a duration such as 500ms or 2s")))?;
    Ok(Duration::from_millis(number.saturating_mul(unit)))
}

/// A JSON answer.
pub(super) fn json_response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A JSON answer that was read at a time.
pub(super) fn timed(time: Time, body: String) -> Response {
    let mut response = json_response(StatusCode::OK, body);
    response.headers_mut().insert("tallyflow-time", HeaderValue::from(time));
    response
}
