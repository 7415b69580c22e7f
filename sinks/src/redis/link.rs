//! `Link`: a connection to a Redis or a Redis Cluster, and what its errors mean to a sink.
use super::Options;
use crate::SinkError;
use redis::cluster::{ClusterClient, ClusterConnection};
use redis::{
    Client, Cmd, Connection, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value,
};
use redis::{IntoConnectionInfo, TlsCertificates};

/// A script: an atomic act on the keys of one slot.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Script {
        Script { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }
}

/// The scripts.
pub(super) struct Scripts {
    pub(super) take: Script,
    pub(super) take_shard: Script,
    pub(super) begin: Script,
    pub(super) commit: Script,
    pub(super) change: Script,
    pub(super) load: Script,
    pub(super) drop: Script,
}

impl Scripts {
    pub(super) fn new() -> Scripts {
        Scripts {
            take: Script::new(include_str!("scripts/take.lua")),
            take_shard: Script::new(include_str!("scripts/take_shard.lua")),
            begin: Script::new(include_str!("scripts/begin.lua")),
            commit: Script::new(include_str!("scripts/commit.lua")),
            change: Script::new(include_str!("scripts/change.lua")),
            load: Script::new(include_str!("scripts/load.lua")),
            drop: Script::new(include_str!("scripts/drop.lua")),
        }
    }
}

/// A call of a script.
pub(super) struct Call<'a> {
    script: &'a Script,
    keys: Vec<String>,
    arguments: Vec<String>,
}

impl<'a> Call<'a> {
    pub(super) fn new(script: &'a Script, keys: Vec<String>, arguments: Vec<String>) -> Call<'a> {
        Call { script, keys, arguments }
    }

    /// Bytes that it sends, about.
    pub(super) fn size(&self) -> usize {
        self.arguments.iter().map(|argument| argument.len() + 16).sum()
    }

    fn command(&self, verb: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(verb);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}

/// What a script says where it says one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// It was done before.
    Duplicate,
    /// What it follows is missing: an earlier call of the same delivery.
    Order,
    /// What the shard or the sink holds is not what the call begins with.
    Moved(String),
    Fenced,
}

fn answer(value: Value) -> Result<Answer, SinkError> {
    let word: String = redis::from_redis_value(value).map_err(|e| failed(e.into()))?;
    Ok(match &word[..] {
        "OK" => Answer::Done,
        "DUP" => Answer::Duplicate,
        "ORDER" => Answer::Order,
        "FENCED" => Answer::Fenced,
        _ => Answer::Moved(word),
    })
}

enum Wire {
    One(Box<Connection>),
    Many(Box<ClusterConnection>),
}

/// A connection.
pub(super) struct Link(Wire);

/// An error as a sink's caller sees it.
pub(super) fn failed(error: RedisError) -> SinkError {
    let text = format!("redis: {error}");
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig, _) => SinkError::Fatal(text),
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) | (_, Some("NOPERM" | "NOAUTH" | "WRONGPASS")) => {
            SinkError::Fatal(format!("{text}: the user needs the keys and channel of the sink's prefix"))
        }
        (_, Some("WRONGTYPE")) => SinkError::Fatal(format!(
            "{text}: something else has written a key of the sink; remove it, or choose another prefix"
        )),
        (_, Some("OOM")) => {
            SinkError::Retry(format!("{text}: give the server more memory, or the sink a shorter log"))
        }
        _ if error.detail().is_some_and(|detail| detail.contains("max number of clients")) => {
            SinkError::Retry(text)
        }
        (ErrorKind::Server(ServerErrorKind::CrossSlot | ServerErrorKind::ResponseError), _)
        | (ErrorKind::UnexpectedReturnType, _) => SinkError::Fatal(text),
        _ => SinkError::Retry(text),
    }
}

impl Link {
    /// Connects. A server that answers nothing for `options.timeout` counts as lost.
    pub(super) fn open(options: &Options) -> Result<Link, SinkError> {
        if options.url.starts_with("rediss:") {
            // Another part of the process may have chosen one already.
            _ = rustls::crypto::ring::default_provider().install_default();
        }
        let read = |path: &String| {
            let pem = std::fs::read(path);
            let pem = pem.map_err(|e| SinkError::Fatal(format!("redis: cannot read {path}: {e}")))?;
            Ok(TlsCertificates { client_tls: None, root_cert: Some(pem) })
        };
        let certificates = options.ca.as_ref().map(read).transpose()?;
        let wire = match options.cluster {
            false => Link::one(options, certificates).map(|one| Wire::One(Box::new(one))),
            true => Link::many(options, certificates).map(|many| Wire::Many(Box::new(many))),
        };
        wire.map(Link).map_err(failed)
    }

    fn one(options: &Options, certificates: Option<TlsCertificates>) -> RedisResult<Connection> {
        let mut info = options.url.as_str().into_connection_info()?;
        let mut settings = info.redis_settings().clone();
        if let Some(user) = &options.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &options.password {
            settings = settings.set_password(password);
        }
        info = info.set_redis_settings(settings);
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(info, certificates)?,
            None => Client::open(info)?,
        };
        let connection = client.get_connection_with_timeout(options.timeout)?;
        connection.set_read_timeout(Some(options.timeout))?;
        connection.set_write_timeout(Some(options.timeout))?;
        Ok(connection)
    }

    fn many(options: &Options, certificates: Option<TlsCertificates>) -> RedisResult<ClusterConnection> {
        let mut builder = ClusterClient::builder(options.url.split(',').map(str::trim))
            .connection_timeout(options.timeout)
            .response_timeout(options.timeout)
            .retries(3)
            .max_retry_wait(1_000);
        if let Some(user) = &options.user {
            builder = builder.username(user);
        }
        if let Some(password) = &options.password {
            builder = builder.password(password);
        }
        if let Some(certificates) = certificates {
            builder = builder.certs(certificates);
        }
        let connection = builder.build()?.get_connection()?;
        connection.set_read_timeout(Some(options.timeout))?;
        connection.set_write_timeout(Some(options.timeout))?;
        Ok(connection)
    }

    /// One command.
    pub(super) fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, SinkError> {
        match &mut self.0 {
            Wire::One(connection) => command.query(&mut **connection),
            Wire::Many(connection) => command.query(&mut **connection),
        }
        .map_err(failed)
    }

    /// Several commands that do not need each other; each has its own result.
    fn ask_all(&mut self, commands: Vec<Cmd>) -> Result<Vec<RedisResult<Value>>, SinkError> {
        match &mut self.0 {
            Wire::One(_) if commands.is_empty() => Ok(vec![]),
            Wire::One(connection) => {
                let mut pipeline = redis::Pipeline::with_capacity(commands.len());
                commands.into_iter().for_each(|command| _ = pipeline.add_command(command));
                pipeline.ignore_errors().query(&mut **connection).map_err(failed)
            }
            // The client sends no scripts to several nodes at once.
            Wire::Many(connection) => {
                Ok(commands.iter().map(|command| command.query(&mut **connection)).collect())
            }
        }
    }

    /// Reads by several commands.
    pub(super) fn read_all<T: FromRedisValue>(&mut self, commands: Vec<Cmd>) -> Result<Vec<T>, SinkError> {
        let values = self.ask_all(commands)?;
        values
            .into_iter()
            .map(|value| value.and_then(|value| Ok(redis::from_redis_value(value)?)).map_err(failed))
            .collect()
    }

    /// Calls scripts in order, many at once. A server that does not know a script is told it.
    pub(super) fn call_all(&mut self, calls: &[Call<'_>]) -> Result<Vec<Value>, SinkError> {
        let commands = calls.iter().map(|call| call.command("EVALSHA", &call.script.hash));
        let mut values = vec![];
        for (value, call) in self.ask_all(commands.collect())?.into_iter().zip(calls) {
            let unknown = |e: &RedisError| e.kind() == ErrorKind::Server(ServerErrorKind::NoScript);
            values.push(match value {
                Err(error) if unknown(&error) => self.ask(&call.command("EVAL", call.script.code))?,
                // It followed one that the server did not know.
                Ok(value) if word(&value) == Some("ORDER") => {
                    self.ask(&call.command("EVAL", call.script.code))?
                }
                other => other.map_err(failed)?,
            });
        }
        Ok(values)
    }

    /// Calls a script that answers with one word.
    pub(super) fn call(&mut self, call: Call<'_>) -> Result<Answer, SinkError> {
        let value = self.call_all(&[call])?.pop().expect("one answer a call");
        answer(value)
    }

    /// Calls scripts that answer with one word each.
    pub(super) fn call_each(&mut self, calls: &[Call<'_>]) -> Result<Vec<Answer>, SinkError> {
        self.call_all(calls)?.into_iter().map(answer).collect()
    }
}

fn word(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
