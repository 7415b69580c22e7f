//! `Supply`: the events of files or of a topic, numbered, those that were asked for marked.
use super::job::{Job, Limit};
use crate::quarantine;
use sources::decode::Pattern;
use sources::event::parse;
use sources::file::File;
use sources::{Payload, Source};
use std::path::PathBuf;

/// Opens a topic at its beginning.
pub type Topics = std::sync::Arc<dyn Fn(&str) -> Result<Box<dyn Source>, String> + Send + Sync>;

/// Events of a source, in order.
pub(super) struct Supply {
    from: Events,
    /// The number of the next event.
    next: u64,
}

enum Events {
    Files(File),
    Topic { source: Box<dyn Source>, bytes: u64 },
}

/// One event of a source.
pub(super) struct Numbered {
    /// What `--from` and `--to` mean by an offset.
    pub(super) offset: u64,
    pub(super) payload: Payload,
}

impl Supply {
    /// Of what a job names.
    pub(super) fn open(job: &Job, topics: Option<&Topics>) -> Result<Supply, String> {
        let from = match &job.topic {
            None => {
                let paths: Vec<PathBuf> = job.files.iter().map(|seen| seen.path.clone()).collect();
                Events::Files(File::open(&paths).map_err(|why| why.to_string())?)
            }
            Some(topic) => {
                let open = topics.ok_or_else(|| {
                    format!("cannot read topic {topic:?}: no Kafka is configured for this process")
                })?;
                let source = open(topic)?;
                Events::Topic { source, bytes: 0 }
            }
        };
        Ok(Supply { from, next: 0 })
    }

    /// About the next `bytes_max` bytes; none at the end.
    pub(super) fn next(&mut self, bytes_max: usize) -> Result<Vec<Numbered>, String> {
        let events = match &mut self.from {
            Events::Files(file) => {
                let first = self.next;
                let chunk = file.next_chunk(bytes_max).map_err(|why| why.to_string())?;
                let number = |(i, payload)| Numbered { offset: first + i as u64, payload };
                chunk.into_iter().enumerate().map(number).collect::<Vec<_>>()
            }
            Events::Topic { source, bytes } => {
                let mut records = vec![];
                while records.is_empty() && source.has_backlog() {
                    records = source.poll(bytes_max).map_err(|why| why.to_string())?;
                }
                let number = |record: sources::Record| {
                    *bytes += quarantine::body(&record.payload).len() as u64;
                    Numbered { offset: record.offset, payload: record.payload }
                };
                records.into_iter().map(number).collect()
            }
        };
        self.next += events.len() as u64;
        Ok(events)
    }

    /// Passes over events that were done with.
    pub(super) fn skip(&mut self, count: u64, bytes_max: usize) -> Result<Vec<Numbered>, String> {
        while self.next < count {
            let before = self.next;
            let mut events = self.next(bytes_max)?;
            if events.is_empty() {
                return Err("the source is shorter than it was".into());
            }
            if self.next > count {
                return Ok(events.split_off((count - before) as usize));
            }
        }
        Ok(vec![])
    }

    /// Bytes of the source that were read, as they lie there.
    pub(super) fn bytes_read(&self) -> u64 {
        match &self.from {
            Events::Files(file) => file.bytes_read(),
            Events::Topic { bytes, .. } => *bytes,
        }
    }
}

/// What becomes of an event before it comes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Taken,
    /// It was not asked for.
    Skipped,
    /// Only the process itself writes such events.
    Reserved,
}

/// Which events were asked for.
pub(super) struct Choose {
    from: Option<Limit>,
    to: Option<Limit>,
    types: Option<Pattern>,
}

impl Choose {
    pub(super) fn new(job: &Job) -> Choose {
        Choose { from: job.from, to: job.to, types: job.pattern() }
    }

    /// What cannot be read is taken: quarantine says what is wrong with it.
    pub(super) fn choose(&self, event: &Numbered) -> Choice {
        let by_offset = |limit: &Option<Limit>, within: &dyn Fn(u64) -> bool| match limit {
            Some(Limit::Offset(offset)) => within(*offset),
            Some(Limit::Time(_)) | None => true,
        };
        let begun = by_offset(&self.from, &|from| event.offset >= from);
        if !begun || !by_offset(&self.to, &|to| event.offset < to) {
            return Choice::Skipped;
        }
        if may_be_reserved(&event.payload) && quarantine::reserved(&event.payload) {
            return Choice::Reserved;
        }
        let timed = matches!(self.from, Some(Limit::Time(_))) || matches!(self.to, Some(Limit::Time(_)));
        if !timed && self.types.is_none() {
            return Choice::Taken;
        }
        let Ok(read) = parse(&event.payload) else { return Choice::Taken };
        let time = read.moment.map(|moment| moment.millis());
        let by_time = |limit: &Option<Limit>, within: &dyn Fn(i64, i64) -> bool| match limit {
            Some(Limit::Time(limit)) => time.is_some_and(|time| within(time, *limit)),
            Some(Limit::Offset(_)) | None => true,
        };
        let meant = self.types.as_ref().is_none_or(|types| types.matches(&read.event_type));
        let within =
            by_time(&self.from, &|time, from| time >= from) && by_time(&self.to, &|time, to| time < to);
        if meant && within { Choice::Taken } else { Choice::Skipped }
    }
}

/// Quick, and right where it says no.
fn may_be_reserved(payload: &Payload) -> bool {
    match payload {
        Payload::Structured(bytes) => std::str::from_utf8(bytes).is_ok_and(|text| {
            text.contains(sources::decode::verdict::RESERVED_PREFIX) || text.contains("\\u")
        }),
        Payload::Binary { .. } => true,
    }
}

/// Whether files hold events at all: one of the first lines is a JSON object. Says nothing of what they hold else.
pub(super) fn looks_like_events(job: &Job) -> Result<(), String> {
    for seen in &job.files {
        let mut file = File::open(std::slice::from_ref(&seen.path)).map_err(|why| why.to_string())?;
        let first = file.next_chunk(1).map_err(|why| why.to_string())?;
        let is_object = |payload: &Payload| {
            serde_json::from_slice::<serde_json::Value>(quarantine::body(payload))
                .is_ok_and(|value| value.is_object())
        };
        if !first.is_empty() && !first.iter().any(is_object) {
            return Err(format!(
                "{:?} is no file of events: none of its first lines is a JSON object; write one CloudEvent a line, plain, gzip or zstd",
                seen.path
            ));
        }
    }
    Ok(())
}
