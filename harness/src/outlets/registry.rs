//! What sinks there are, by the word that `CREATE SINK .. INTO` takes.
use super::spec::Spec;
use crate::Error;
use sinks::{Setting, Sink, SinkError};

/// Makes a sink of a declared one; nothing is reached yet.
type Make = fn(&Setting) -> Result<Box<dyn Sink>, SinkError>;

/// The kinds.
const KINDS: &[(&str, Make)] = &[
    ("kafka", |setting| Ok(Box::new(sinks::kafka::Kafka::new(setting)?))),
    ("postgres", |setting| Ok(Box::new(sinks::postgres::Postgres::new(setting)?))),
    ("redis", |setting| Ok(Box::new(sinks::redis::Redis::declared(&setting.pipeline, &setting.options)?))),
];

/// The sink that was declared; a refusal says what to write instead.
pub fn open_sink(spec: &Spec, pipeline: &str) -> Result<Box<dyn Sink>, Error> {
    let options = spec.resolved()?;
    let setting = Setting { pipeline: pipeline.to_owned(), sink: spec.name.clone(), options };
    let make = make(&spec.kind)?;
    make(&setting).map_err(|why| Error::failed(format!("open sink {:?}", spec.name), why))
}

fn make(kind: &str) -> Result<Make, Error> {
    let known = || KINDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let found = KINDS.iter().find(|(word, _)| *word == kind).map(|(_, make)| *make);
    found.ok_or_else(|| Error::Usage(format!("there is no sink of kind {kind:?}: known are {}", known())))
}
