//! `Redis`: views as hashes and streams of a Redis, or of a Redis Cluster.
//!
//! A view is spread over shards by its rows' keys. A shard is four keys of one slot, here those of shard 7 of view `totals`:
//!
//! | key | what it holds |
//! |---|---|
//! | `{tallyflow:totals:s07}:meta` | hash: `time` of the last change, `gen` (which rows are true), `epoch` of the writer, `def`inition |
//! | `{tallyflow:totals:s07}:r3` | hash: the rows of generation 3, each as JSON by the JSON array of its key columns |
//! | `{tallyflow:totals:s07}:log` | stream: changes with ids `<time>-<n>`; the last one of a time has `from`, the time before it |
//! | `{tallyflow}:sink` | hash: `time` up to which all shards are true, positions, views |
//!
//! A delivery is noted as pending, changes the shards (each atomically, or in chunks of which the last moves the time), and
//! ends with the sink's time. Who is interrupted begins again at the sink's time: a shard that was changed already says so or,
//! where the next delivery ends later, changes only what differs. So a change stands in the stream once. The next delivery must name
//! each key that one which was broken off may have changed, also where its row is that of the sink's time again.
mod deliver;
mod keys;
mod link;
pub mod read;

use crate::delivery::{Delivery, definition};
use crate::reach::Reach;
use crate::{Content, Held, Sink, SinkError};
use dataflows::{Position, Time, View};
use keys::ShardKeys;
use link::{Answer, Call, Link, Scripts};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where a Redis is, and how views are laid out in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// `redis://..` or `rediss://..`; of a cluster several, with commas.
    pub url: String,
    /// The user, where it is not in the URL.
    pub user: Option<String>,
    /// The password, where it is not in the URL.
    pub password: Option<String>,
    /// A file of certificates to be trusted in place of the system's.
    pub ca: Option<String>,
    /// Whether it is a Redis Cluster.
    pub cluster: bool,
    /// What all keys begin with.
    pub prefix: String,
    /// Over how many shards each view is spread.
    pub shards: usize,
    /// About how many changes the stream of a shard keeps; 0: there are no streams.
    pub log: u64,
    /// How many rows one script changes at most.
    pub rows: usize,
    /// How long a server may answer nothing.
    pub timeout: Duration,
    /// How often all shards are looked at, so that loss is found where nothing changes.
    pub check: Duration,
}

impl Options {
    /// The options of a URL, all others as they are by default.
    pub fn new(url: &str) -> Options {
        Options {
            url: url.to_owned(),
            user: None,
            password: None,
            ca: None,
            cluster: false,
            prefix: "tallyflow".into(),
            shards: 16,
            log: 10_000,
            rows: 500,
            timeout: Duration::from_secs(10),
            check: Duration::from_secs(10),
        }
    }

    /// From names and values as they are declared; an error names the option.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Options, String> {
        let url = options.get("url").ok_or("option \"url\" is missing: write redis://host:port")?;
        let mut parsed = Options::new(url);
        for (name, value) in options {
            let number = |range: std::ops::RangeInclusive<u64>| match value.parse::<u64>() {
                Ok(number) if range.contains(&number) => Ok(number),
                _ => Err(format!(
                    "option \"{name}\" is a number from {} to {}, not \"{value}\"",
                    range.start(),
                    range.end()
                )),
            };
            match &name[..] {
                "url" => {}
                "user" => parsed.user = Some(value.clone()),
                "password" => parsed.password = Some(value.clone()),
                "ca" => parsed.ca = Some(value.clone()),
                "prefix" if value.is_empty() => return Err("option \"prefix\" is empty".into()),
                "prefix" => parsed.prefix = value.clone(),
                "cluster" => {
                    parsed.cluster = value
                        .parse()
                        .map_err(|_| format!("option \"cluster\" is true or false, not \"{value}\""))?;
                }
                "shards" => parsed.shards = number(1..=1024)? as usize,
                "log" => parsed.log = number(0..=1_000_000_000)?,
                "rows" => parsed.rows = number(1..=2_000)? as usize,
                "timeout_ms" => parsed.timeout = Duration::from_millis(number(1..=600_000)?),
                "check_ms" => parsed.check = Duration::from_millis(number(0..=86_400_000)?),
                _ => {
                    return Err(format!(
                        "there is no option \"{name}\": a redis sink takes url, user, password, ca, cluster, prefix, \
                         shards, log, rows, timeout_ms, check_ms"
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Options")
            .field("prefix", &self.prefix)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

/// What a shard holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shard {
    /// The time of its last change.
    time: Time,
    generation: u64,
}

/// A view in the store.
#[derive(Clone, Debug)]
struct Table {
    definition: u64,
    shards: Vec<Shard>,
}

/// What the store holds, as this writer left it.
struct Owned {
    link: Link,
    epoch: u64,
    time: Option<Time>,
    /// Some rows may be true for this time already.
    pending: Option<Time>,
    tables: BTreeMap<Arc<str>, Table>,
    checked: Instant,
}

/// A writer of views to a Redis.
pub struct Redis {
    options: Options,
    pipeline: String,
    scripts: Scripts,
    owned: Option<Owned>,
    reach: Reach,
}

impl Redis {
    /// A writer for a pipeline; rows that another pipeline wrote under the same prefix are not its own.
    pub fn new(pipeline: &str, options: Options) -> Redis {
        Redis {
            options,
            pipeline: pipeline.to_owned(),
            scripts: Scripts::new(),
            owned: None,
            reach: Reach::default(),
        }
    }

    /// A writer by options as they are declared. Each sink needs a prefix of its own.
    pub fn declared(pipeline: &str, options: &BTreeMap<String, String>) -> Result<Redis, SinkError> {
        let options = Options::parse(options).map_err(|why| SinkError::Fatal(format!("redis: {why}")))?;
        Ok(Redis::new(pipeline, options))
    }

    fn shard(&self, view: &str, shard: usize) -> ShardKeys {
        ShardKeys::new(&self.options.prefix, view, shard)
    }

    /// Takes the sink with at least some epoch; returns its fields.
    fn take(&self, link: &mut Link, epoch: u64) -> Result<HashMap<String, String>, SinkError> {
        let arguments = vec![epoch.to_string(), self.pipeline.clone()];
        let call = Call::new(&self.scripts.take, vec![keys::sink(&self.options.prefix)], arguments);
        let value = link.call_all(&[call])?.pop().expect("one answer a call");
        redis::from_redis_value(value).map_err(|e| link::failed(e.into()))
    }

    /// Takes the shards of the views that the sink says it has. What one of them lost makes the whole view unknown.
    fn take_shards(
        &self,
        link: &mut Link,
        sink: &Fields,
    ) -> Result<(BTreeMap<Arc<str>, Table>, u64), SinkError> {
        let mut tables = BTreeMap::new();
        let mut greatest = sink.epoch;
        for (name, (definition, times)) in &sink.views {
            let calls = (0..times.len()).map(|shard| {
                let keys = vec![self.shard(name, shard).meta()];
                Call::new(&self.scripts.take_shard, keys, vec![sink.epoch.to_string()])
            });
            let values = link.call_all(&calls.collect::<Vec<_>>())?;
            let mut table = Table { definition: *definition, shards: vec![] };
            for (value, expected) in values.into_iter().zip(times) {
                let held: [Option<String>; 4] =
                    redis::from_redis_value(value).map_err(|e| link::failed(e.into()))?;
                let [epoch, time, definition, generation] =
                    held.map(|text| text.and_then(|text| text.parse().ok()));
                greatest = greatest.max(epoch.unwrap_or(0));
                let shard = Shard { time: time.unwrap_or(0), generation: generation.unwrap_or(0) };
                let whole = time.is_some_and(|time: u64| time >= *expected);
                if !whole || definition != Some(table.definition) || times.len() != self.options.shards {
                    table.definition = 0;
                }
                table.shards.push(shard);
            }
            tables.insert(name.clone(), table);
        }
        Ok((tables, greatest))
    }

    fn take_over(&self) -> Result<(Owned, Vec<Position>), SinkError> {
        let mut link = Link::open(&self.options)?;
        if self.reach.is_known() {
            let ask = redis::cmd("HGET").arg(keys::sink(&self.options.prefix)).arg("time").to_owned();
            let found: Vec<Option<Time>> = link.read_all(vec![ask])?;
            self.reach.check(found.into_iter().flatten().next())?;
        }
        // Clocks make epochs grow even where the store lost the last one.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        let mut least = now;
        loop {
            let fields = self.take(&mut link, least)?;
            let sink = Fields::parse(&fields)?;
            let (tables, greatest) = self.take_shards(&mut link, &sink)?;
            if greatest > sink.epoch {
                least = greatest + 1;
                continue;
            }
            // A view that is not known is sent whole, whatever its shards hold.
            let known = tables.values().filter(|table| table.definition != 0);
            let latest = known.flat_map(|table| &table.shards).map(|shard| shard.time).max();
            let pending = sink.pending.max(latest).filter(|pending| Some(*pending) > sink.time);
            let (epoch, time, checked) = (sink.epoch, sink.time, Instant::now());
            return Ok((Owned { link, epoch, time, pending, tables, checked }, sink.positions));
        }
    }

    /// Compares all shards with what they held when they were left.
    fn check(&self, owned: &mut Owned) -> Result<(), SinkError> {
        if owned.checked.elapsed() < self.options.check {
            return Ok(());
        }
        for (name, table) in owned.tables.iter().filter(|(_, table)| table.definition != 0) {
            let asks = (0..table.shards.len()).map(|shard| {
                redis::cmd("HMGET").arg(self.shard(name, shard).meta()).arg("time").arg("gen").to_owned()
            });
            let answers: Vec<(Option<Time>, Option<u64>)> = owned.link.read_all(asks.collect())?;
            for (answer, shard) in answers.iter().zip(&table.shards) {
                if *answer != (Some(shard.time), Some(shard.generation)) {
                    return Err(SinkError::Moved(format!(
                        "redis: a shard of view \"{name}\" is at time {answer:?}, not as it was left at {}",
                        shard.time
                    )));
                }
            }
        }
        owned.checked = Instant::now();
        Ok(())
    }
}

/// The fields of the sink's key.
struct Fields {
    epoch: u64,
    time: Option<Time>,
    pending: Option<Time>,
    positions: Vec<Position>,
    /// Each view's definition, and the times of its shards when the sink's time was noted.
    views: BTreeMap<Arc<str>, (u64, Vec<Time>)>,
}

impl Fields {
    fn parse(fields: &HashMap<String, String>) -> Result<Fields, SinkError> {
        let wrong = |field: &str| {
            SinkError::Fatal(format!("redis: field {field:?} of the sink's key cannot be read"))
        };
        let number = |field: &str| match fields.get(field) {
            Some(text) => text.parse::<u64>().map(Some).map_err(|_| wrong(field)),
            None => Ok(None),
        };
        let position = |text: &str| {
            let (partition, offset) = text.split_once(':')?;
            Some(Position { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        };
        let positions =
            fields.get("positions").map_or("", String::as_str).split(',').filter(|text| !text.is_empty());
        let positions = positions.map(position).collect::<Option<_>>().ok_or_else(|| wrong("positions"))?;
        let mut views = BTreeMap::new();
        for field in fields.keys() {
            let Some(name) = field.strip_prefix("def:") else { continue };
            let times = fields.get(&format!("times:{name}")).map_or("", String::as_str);
            let times = times.split(',').map(|time| time.parse().ok()).collect::<Option<Vec<Time>>>();
            let times = times.ok_or_else(|| wrong(field))?;
            views.insert(name.into(), (number(field)?.unwrap_or(0), times));
        }
        let epoch = number("epoch")?.unwrap_or(0);
        Ok(Fields { epoch, time: number("time")?, pending: number("pending")?, positions, views })
    }
}

/// A time in a script's argument; none is empty.
fn written(time: Option<Time>) -> String {
    time.map_or_else(String::new, |time| time.to_string())
}

/// What a script that should have done something says otherwise.
fn done(answer: Answer, what: &str) -> Result<(), SinkError> {
    match answer {
        Answer::Done | Answer::Duplicate => Ok(()),
        Answer::Order => Err(SinkError::Retry(format!("redis: {what}: a part before is missing"))),
        Answer::Fenced => {
            Err(SinkError::Fenced(format!("redis: {what}: another writer has taken the store over")))
        }
        Answer::Moved(word) => {
            Err(SinkError::Moved(format!("redis: {what}: the store is not as it was left ({word})")))
        }
    }
}

impl Sink for Redis {
    fn open(&mut self) -> Result<Held, SinkError> {
        self.owned = None;
        let (owned, positions) = self.take_over()?;
        self.reach.hold(owned.time);
        let views = owned.tables.iter().map(|(name, table)| (name.clone(), table.definition)).collect();
        let held = Held { time: owned.time, positions, begun: owned.pending, views };
        self.owned = Some(owned);
        Ok(held)
    }

    fn apply(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        let Some(mut owned) = self.owned.take() else {
            return Err(SinkError::Retry("redis: the store was not opened".into()));
        };
        self.reach.attempt(delivery.to);
        self.check(&mut owned)?;
        self.deliver(&mut owned, delivery)?;
        self.reach.hold(Some(delivery.to));
        self.owned = Some(owned);
        Ok(())
    }

    fn read(&mut self, view: &Arc<View>) -> Result<Content, SinkError> {
        let mut reader = read::Reader::new(self.options.clone());
        reader.content(view, definition(view))
    }
}
