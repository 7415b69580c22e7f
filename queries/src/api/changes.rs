//! `GET /api/v1/views/{name}/changes`: a view's rows, then its changes by time, as server-sent events.
//!
//! A stream pulls from the view's history at its client's pace, so that a slow client costs nothing but its own delay:
//! when the history has forgotten what it would need next, it is told so and comes back by its last id.
use super::call::{AtLeast, Call, percent_decoded};
use super::problem::Problem;
use super::views::{readable, time};
use super::{Api, closed};
use bytes::Bytes;
use dataflows::Time;
use serde_json::json;
use sinks::memory::history::{Change, Commit, Place};
use sinks::memory::kept::Kept;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_stream::wrappers::ReceiverStream;
use warp::Reply;
use warp::http::{HeaderName, HeaderValue, header};
use warp::reply::Response;

/// Bytes of events sent in one piece, about; the queue to the connection holds [`QUEUE`] of them.
const PIECE_BYTES: usize = 32 << 10;
const QUEUE: usize = 4;
/// Commits taken from a history at a time.
const COMMITS: usize = 64;

/// Begins a stream.
pub(super) async fn get(api: &Arc<Api>, name: &str, call: &Call) -> Result<Response, Problem> {
    let mut at_least = AtLeast::default();
    let mut last_id = call.header(&HeaderName::from_static("last-event-id")).map(String::from);
    for (parameter, value) in call.parameters()? {
        match parameter.as_str() {
            "last_event_id" => last_id = last_id.or(Some(value)),
            _ if at_least.take(&parameter, &value)? => {}
            _ => {
                return Err(Problem::bad(format!(
                    "unknown parameter \"{parameter}\"; known are last_event_id, at_least and wait"
                )));
            }
        }
    }
    if api.meter.streams() >= i64::try_from(api.config.streams_max).unwrap_or(i64::MAX) {
        return Err(Problem::unavailable(format!("{} streams are open already", api.config.streams_max)));
    }
    // Subscribed before the first read, so that no tick falls between them.
    let reached = api.memory.watch();
    let read = at_least.read(api).await?;
    let kept = readable(&read, &percent_decoded(name)?)?.clone();
    let time = time(&read)?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let stream =
        Stream { api: api.clone(), sender, reached: Reached(reached), last_id, piece: String::new() };
    tokio::spawn(stream.run(kept, time));
    let mut response = warp::reply::stream(ReceiverStream::new(receiver)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    headers.insert("tallyflow-time", HeaderValue::from(time));
    Ok(response)
}

/// The stream is over: its client left or does not read, or the last event was sent.
struct Over;

struct Reached(watch::Receiver<Arc<sinks::memory::Reached>>);

struct Stream {
    api: Arc<Api>,
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
    reached: Reached,
    last_id: Option<String>,
    /// Events that are still to be sent.
    piece: String,
}

impl Stream {
    async fn run(mut self, kept: Kept, time: Time) {
        let api = self.api.clone();
        let _open = api.meter.stream();
        if let Ok(place) = self.begin(&kept, time).await {
            // Both ends know why it is over.
            _ = self.follow(kept, place).await;
        }
    }

    /// Goes on where the client was, or sends all rows.
    async fn begin(&mut self, kept: &Kept, time: Time) -> Result<Place, Over> {
        self.piece.push_str("retry: 3000\n\n");
        match self.last_id.take().map(|id| resume(&self.api, kept, &id, time)) {
            Some(Ok(place)) => {
                self.flush().await?;
                return Ok(place);
            }
            Some(Err(reason)) => self.event("reset", None, &json!({"reason": reason}).to_string()),
            None => {}
        }
        let begin = format!("{{\"time\":{time},\"rows\":[");
        let mut rows = begin.clone();
        for entry in kept.rows().iter() {
            for _ in 0..entry.count {
                if rows.len() > begin.len() {
                    rows.push(',');
                }
                kept.shape().write_json(entry.row, &mut rows);
                if rows.len() > PIECE_BYTES {
                    self.event("snapshot", None, &format!("{rows}]}}"));
                    self.flush().await?;
                    rows.clone_from(&begin);
                }
            }
        }
        self.event("snapshot", None, &format!("{rows}]}}"));
        let place = kept.end_of(time);
        self.commit(kept, place);
        self.flush().await?;
        Ok(place)
    }

    /// Sends changes as they come.
    async fn follow(&mut self, mut kept: Kept, mut place: Place) -> Result<(), Over> {
        let (progress, heartbeat) = (self.api.config.progress_every, self.api.config.heartbeat_every);
        let mut progress = interval_at(Instant::now() + progress, progress);
        let mut heartbeat = interval_at(Instant::now() + heartbeat, heartbeat);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closing = self.api.closing.clone();
        loop {
            self.reached.0.borrow_and_update();
            let read = self.api.memory.read();
            let name = kept.shape().view().name.clone();
            match read.view(&name).filter(|now| now.incarnation() == kept.incarnation()) {
                Some(now) => kept = now.clone(),
                None => return self.end("reset", "the view was dropped").await,
            }
            let time = read.time().unwrap_or(place.time);
            drop(read);
            place = self.send_changes(&kept, place, time).await?;
            tokio::select! {
                // A closed store has no further ticks; heartbeats tell that the service still lives.
                Ok(()) = self.reached.0.changed() => {}
                _ = progress.tick() => {
                    let id = id(&self.api, &kept, place);
                    self.event("progress", Some(id), &format!("{{\"time\":{}}}", place.time));
                    self.flush().await?;
                }
                _ = heartbeat.tick() => {
                    self.piece.push_str(":\n\n");
                    self.flush().await?;
                }
                () = closed(&mut closing) => return self.end("bye", "the service shuts down").await,
                () = self.sender.closed() => return Err(Over),
            }
        }
    }

    /// Sends all changes after a place up to a time; returns the place after that time.
    async fn send_changes(&mut self, kept: &Kept, mut place: Place, time: Time) -> Result<Place, Over> {
        if kept.changed() < place.time {
            return Ok(Place { time, done: 0 }.max(place));
        }
        loop {
            let Some(commits) = kept.changes_after(place, time, COMMITS) else {
                self.end(
                    "lagged",
                    "changes were forgotten before they could be sent; come back by the last id",
                )
                .await?;
                return Err(Over);
            };
            if commits.is_empty() {
                return Ok(kept.end_of(time).max(place));
            }
            for commit in commits {
                self.send_commit(kept, &commit, place).await?;
                place = commit.end();
            }
        }
    }

    async fn send_commit(&mut self, kept: &Kept, commit: &Commit, place: Place) -> Result<(), Over> {
        let seen = if place.time == commit.time { place.done } else { 0 };
        for (i, change) in commit.changes().enumerate().skip(seen) {
            let step = Place { time: commit.time, done: i + 1 };
            let data = data(kept, commit.time, &change);
            self.event("change", Some(id(&self.api, kept, step)), &data);
            if self.piece.len() > PIECE_BYTES {
                self.flush().await?;
            }
        }
        self.commit(kept, commit.end());
        self.flush().await
    }

    fn commit(&mut self, kept: &Kept, place: Place) {
        let id = id(&self.api, kept, place);
        self.event("commit", Some(id), &format!("{{\"time\":{}}}", place.time));
    }

    fn event(&mut self, name: &str, id: Option<String>, data: &str) {
        if let Some(id) = id {
            _ = writeln!(self.piece, "id: {id}");
        }
        _ = write!(self.piece, "event: {name}\ndata: {data}\n\n");
    }

    async fn end(&mut self, event: &str, reason: &str) -> Result<(), Over> {
        self.event(event, None, &json!({"reason": reason}).to_string());
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Over> {
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        // A client that reads nothing for so long is as good as gone; it comes back by its last id.
        match timeout(self.api.config.stream_stall, self.sender.send(Ok(piece))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }
}

fn data(kept: &Kept, time: Time, change: &Change<'_>) -> String {
    let shape = kept.shape();
    let mut out = format!("{{\"time\":{time},\"op\":");
    match change {
        Change::Insert(entry) => {
            _ = write!(out, "\"insert\",\"diff\":{},\"row\":", entry.count);
            shape.write_json(entry.row, &mut out);
        }
        Change::Delete(entry) => {
            _ = write!(out, "\"delete\",\"diff\":{},\"row\":", entry.count);
            shape.write_json(entry.row, &mut out);
        }
        Change::Update { old, new } => {
            out.push_str("\"update\",\"row\":");
            shape.write_json(new.row, &mut out);
            out.push_str(",\"old\":");
            shape.write_json(old.row, &mut out);
        }
    }
    out.push('}');
    out
}

/// `<generation>.<time>.<step>`.
fn id(api: &Api, kept: &Kept, place: Place) -> String {
    format!("{:x}-{}.{}.{}", api.memory.generation(), kept.incarnation(), place.time, place.done)
}

/// The place that an id names, if changes can go on from there.
fn resume(api: &Api, kept: &Kept, text: &str, time: Time) -> Result<Place, &'static str> {
    let mut parts = text.rsplitn(3, '.');
    let (done, at, generation) = (parts.next(), parts.next(), parts.next());
    let generation_now = format!("{:x}-{}", api.memory.generation(), kept.incarnation());
    let (Some(done), Some(at)) = (done.and_then(|t| t.parse().ok()), at.and_then(|t| t.parse().ok())) else {
        return Err("the id is not one of this service");
    };
    if generation != Some(&generation_now) {
        return Err("the id is of another generation");
    }
    let place = Place { time: at, done };
    if at > time {
        return Err("the id is ahead of what can be read");
    }
    match kept.changes_after(place, time, 0) {
        Some(_) => Ok(place),
        None => Err("the changes after the id are forgotten"),
    }
}
