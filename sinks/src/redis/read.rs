//! Reads what a Redis holds of views, without taking it over.
use super::deliver::uncounted;
use super::keys::{self, ShardKeys};
use super::link::Link;
use super::{Fields, Options};
use crate::memory::Reached;
use crate::stored::Stored;
use crate::{Content, SinkError};
use dataflows::value::Value;
use dataflows::{Time, View};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// How often it is tried to read a view whole between two deliveries.
const TRIES: usize = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// A reader of views in a Redis. It connects when it is first asked, and again after an error.
pub struct Reader {
    options: Options,
    link: Option<Link>,
}

/// A row that was looked up by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The time that the row is true for, as all views of the store are.
    pub time: Time,
    /// The row as a JSON object and how often it is there; none: there is none.
    pub row: Option<(String, i64)>,
}

impl Reader {
    /// Does not connect yet.
    pub fn new(options: Options) -> Reader {
        Reader { options, link: None }
    }

    /// The time for which all views are true, what was read of the log up to then, and the views.
    pub fn views(&mut self) -> Result<(Reached, Vec<Stored>), SinkError> {
        let key = keys::sink(&self.options.prefix);
        let fields: HashMap<String, String> = self.with(|link| link.ask(redis::cmd("HGETALL").arg(key)))?;
        let held = Fields::parse(&fields)?;
        let view = |(name, (definition, _)): (&Arc<str>, &(u64, _))| {
            Stored::parse(name, *definition, fields.get(&format!("view:{name}"))?)
        };
        let views = held.views.iter().filter(|(_, (definition, _))| *definition != 0).filter_map(view);
        Ok((Reached { time: held.time, positions: held.positions }, views.collect()))
    }

    /// The row under a key, given by the values of the key columns in their order; none: the store does not have the view by that
    /// definition (any more).
    pub fn get(&mut self, view: &Stored, key: &[Value<'_>]) -> Result<Option<Found>, SinkError> {
        let key = keys::json(key.iter().copied());
        let options = self.options.clone();
        self.with(|link| {
            for _ in 0..TRIES {
                let mut command = redis::cmd("HMGET");
                command.arg(keys::sink(&options.prefix)).arg("time").arg(format!("times:{}", view.name));
                let held: (Option<Time>, Option<String>) = link.ask(&command)?;
                let (Some(time), Some(times)) = held else { return Ok(None) };
                let shards = times.split(',').count();
                let at = ShardKeys::new(&options.prefix, &view.name, keys::shard(&key, shards));
                let before = Shard::read(link, &at)?;
                if before.definition != Some(view.definition) {
                    return Ok(None);
                }
                // A shard that is ahead of the store waits for the others.
                let Some(generation) = before.generation.filter(|_| before.settled(time)) else {
                    std::thread::sleep(PAUSE);
                    continue;
                };
                let row: Option<String> = link.ask(redis::cmd("HGET").arg(at.rows(generation)).arg(&key))?;
                if Shard::read(link, &at)? == before {
                    let row = row.map(|row| read(row, view.has_key())).transpose()?;
                    return Ok(Some(Found { time, row }));
                }
            }
            let name = &view.name;
            Err(SinkError::Retry(format!(
                "redis: view \"{name}\" is being changed, and was not settled in time"
            )))
        })
    }

    /// All rows of a view, at one time.
    pub(super) fn content(&mut self, view: &Arc<View>, definition: u64) -> Result<Content, SinkError> {
        let options = self.options.clone();
        let has_key = !view.key.iter().copied().eq(0..view.schema.fields().len());
        self.with(|link| {
            for _ in 0..TRIES {
                let before = fields(link, &options)?;
                let Some((held, times)) = before.views.get(&view.name) else { return Ok(Content::default()) };
                if *held != definition {
                    return Ok(Content::default());
                }
                if before.pending.is_some() {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                let rows = rows(link, &options, view, times.len())?;
                let after = fields(link, &options)?;
                if (before.time, before.pending) == (after.time, after.pending) {
                    let rows = rows.into_values().map(|row| read(row, has_key));
                    let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
                    rows.sort();
                    return Ok(Content { time: before.time, rows });
                }
            }
            let name = &view.name;
            Err(SinkError::Retry(format!("redis: view \"{name}\" changes faster than it can be read whole")))
        })
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Link) -> Result<T, SinkError>) -> Result<T, SinkError> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => Link::open(&self.options)?,
        };
        let result = act(&mut link);
        if result.is_ok() {
            self.link = Some(link);
        }
        result
    }
}

/// What a shard says of itself.
#[derive(PartialEq, Eq)]
struct Shard {
    time: Option<Time>,
    definition: Option<u64>,
    generation: Option<u64>,
    chunk: Option<String>,
}

impl Shard {
    fn read(link: &mut Link, keys: &ShardKeys) -> Result<Shard, SinkError> {
        let mut command = redis::cmd("HMGET");
        command.arg(keys.meta()).arg("time").arg("def").arg("gen").arg("chunk");
        let (time, definition, generation, chunk) = link.ask(&command)?;
        Ok(Shard { time, definition, generation, chunk })
    }

    /// Whether its rows are those of the store's time.
    fn settled(&self, time: Time) -> bool {
        self.chunk.is_none() && self.time.is_some_and(|own| own <= time)
    }
}

fn read(row: String, has_key: bool) -> Result<(String, i64), SinkError> {
    if has_key {
        return Ok((row, 1));
    }
    uncounted(&row).ok_or_else(|| SinkError::Fatal(format!("redis: a row cannot be read: {row}")))
}

fn fields(link: &mut Link, options: &Options) -> Result<Fields, SinkError> {
    let fields: HashMap<String, String> = link.ask(redis::cmd("HGETALL").arg(keys::sink(&options.prefix)))?;
    Fields::parse(&fields)
}

/// All rows of a view by key, as they are while they are read.
fn rows(
    link: &mut Link,
    options: &Options,
    view: &View,
    shards: usize,
) -> Result<BTreeMap<String, String>, SinkError> {
    let mut rows = BTreeMap::new();
    for shard in 0..shards {
        let keys = ShardKeys::new(&options.prefix, &view.name, shard);
        let generation: Option<u64> = link.ask(redis::cmd("HGET").arg(keys.meta()).arg("gen"))?;
        let Some(generation) = generation else { continue };
        let mut cursor = 0u64;
        loop {
            let mut command = redis::cmd("HSCAN");
            command.arg(keys.rows(generation)).arg(cursor).arg("COUNT").arg(1_000);
            let (next, found): (u64, Vec<(String, String)>) = link.ask(&command)?;
            rows.extend(found);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(rows)
}
