//! A delivery as calls of scripts.
use super::keys::{self, Names};
use super::link::Call;
use super::{Owned, Redis, Shard, Table, done, written};
use crate::SinkError;
use crate::delivery::{COUNT, Delivery, Part, definition};
use crate::stored::Stored;
use dataflows::Time;
use std::sync::Arc;

/// The most that is sent before its answers are read.
const CALLS_MAX: usize = 64;
const BYTES_MAX: usize = 8 << 20;
/// The most that one script is given.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Keys and rows of a shard that are still to be sent.
#[derive(Default)]
struct Chunk {
    pairs: Vec<String>,
    bytes: usize,
    sent: u64,
}

/// Calls that wait to be sent together.
struct Calls<'a> {
    what: &'a str,
    calls: Vec<Call<'a>>,
    bytes: usize,
}

impl<'a> Calls<'a> {
    fn new(what: &'a str) -> Calls<'a> {
        Calls { what, calls: vec![], bytes: 0 }
    }

    fn push(&mut self, owned: &mut Owned, call: Call<'a>) -> Result<(), SinkError> {
        self.bytes += call.size();
        self.calls.push(call);
        if self.calls.len() >= CALLS_MAX || self.bytes >= BYTES_MAX { self.send(owned) } else { Ok(()) }
    }

    fn send(&mut self, owned: &mut Owned) -> Result<(), SinkError> {
        if self.calls.is_empty() {
            return Ok(());
        }
        fail::fail_point!("redis_chunk_before", |_| Err(SinkError::Retry("failed by test".into())));
        for answer in owned.link.call_each(&self.calls)? {
            done(answer, self.what)?;
        }
        fail::fail_point!("redis_chunk_after", |_| Err(SinkError::Retry("failed by test".into())));
        (self.calls, self.bytes) = (vec![], 0);
        Ok(())
    }
}

impl Redis {
    /// Applies a delivery. An error leaves what the store holds unknown.
    pub(super) fn deliver(&self, owned: &mut Owned, delivery: &Delivery) -> Result<(), SinkError> {
        if delivery.from != owned.time {
            let (held, from) = (owned.time, delivery.from);
            return Err(SinkError::Moved(format!("redis: the store holds time {held:?}, not {from:?}")));
        }
        if let Some(pending) = owned.pending.filter(|pending| *pending > delivery.to) {
            let to = delivery.to;
            return Err(SinkError::Moved(format!(
                "redis: a delivery up to time {pending} was begun, so one up to {to} comes too early"
            )));
        }
        for part in delivery.parts.iter().filter(|part| !part.is_whole()) {
            let name = &part.view().name;
            if owned.tables.get(name).is_none_or(|table| table.definition != definition(part.view())) {
                return Err(SinkError::Moved(format!("redis: view \"{name}\" is not held as it is defined")));
            }
        }
        self.begin(owned, delivery)?;
        fail::fail_point!("redis_script_before", |_| Err(SinkError::Retry("failed by test".into())));
        for part in &delivery.parts {
            if part.is_whole() {
                self.load(owned, delivery.to, part)?
            } else {
                self.change(owned, delivery.to, part)?
            }
        }
        for name in &delivery.dropped {
            if let Some(table) = owned.tables.remove(name) {
                self.forget(owned, name, &table, 0)?;
            }
        }
        fail::fail_point!("redis_script_after", |_| Err(SinkError::Retry("failed by test".into())));
        self.commit(owned, delivery)
    }

    fn begin(&self, owned: &mut Owned, delivery: &Delivery) -> Result<(), SinkError> {
        let arguments = vec![owned.epoch.to_string(), written(delivery.from), delivery.to.to_string()];
        let call = Call::new(&self.scripts.begin, vec![keys::sink(&self.options.prefix)], arguments);
        done(owned.link.call(call)?, "beginning a delivery")
    }

    fn commit(&self, owned: &mut Owned, delivery: &Delivery) -> Result<(), SinkError> {
        fail::fail_point!("redis_ack_before", |_| Err(SinkError::Retry("failed by test".into())));
        let mut arguments = vec![
            owned.epoch.to_string(),
            written(delivery.from),
            delivery.to.to_string(),
            keys::channel(&self.options.prefix),
        ];
        let gone = delivery.dropped.iter().filter(|name| !owned.tables.contains_key(*name));
        let gone: Vec<String> =
            gone.flat_map(|name| ["def", "times", "view"].map(|kind| format!("{kind}:{name}"))).collect();
        arguments.push(gone.len().to_string());
        arguments.extend(gone);
        let positions = delivery.positions.iter().map(|at| format!("{}:{}", at.partition, at.offset));
        arguments.extend(["positions".into(), positions.collect::<Vec<_>>().join(",")]);
        for part in &delivery.parts {
            let name = &part.view().name;
            let Some(table) = owned.tables.get(name) else { continue };
            let times: Vec<String> = table.shards.iter().map(|shard| shard.time.to_string()).collect();
            arguments.extend([format!("def:{name}"), table.definition.to_string()]);
            arguments.extend([format!("times:{name}"), times.join(",")]);
            if part.is_whole() {
                arguments.extend([format!("view:{name}"), Stored::describe(part.view())]);
            }
        }
        let call = Call::new(&self.scripts.commit, vec![keys::sink(&self.options.prefix)], arguments);
        done(owned.link.call(call)?, "ending a delivery")?;
        fail::fail_point!("redis_ack_after", |_| Err(SinkError::Retry("failed by test".into())));
        (owned.time, owned.pending) = (Some(delivery.to), None);
        Ok(())
    }

    /// Changes what stands under some keys.
    fn change(&self, owned: &mut Owned, to: Time, part: &Part) -> Result<(), SinkError> {
        let name = &part.view().name;
        let table = owned.tables.get(name).expect("changed views are held").clone();
        let what = format!("changing view \"{name}\" up to time {to}");
        let (epoch, definition) = (owned.epoch.to_string(), table.definition.to_string());
        let mut calls = Calls::new(&what);
        let call = |shard: usize, chunk: &mut Chunk, last: bool, pairs: Vec<String>| {
            chunk.sent += 1;
            let (keys, held) = (self.shard(name, shard), &table.shards[shard]);
            let mut arguments =
                vec![epoch.clone(), held.time.to_string(), to.to_string(), definition.clone()];
            arguments.extend([
                held.generation.to_string(),
                chunk.sent.to_string(),
                u8::from(last).to_string(),
            ]);
            arguments.push(self.options.log.to_string());
            arguments.extend(pairs);
            Call::new(
                &self.scripts.change,
                vec![keys.meta(), keys.rows(held.generation), keys.log()],
                arguments,
            )
        };
        let mut chunks: Vec<Chunk> = table.shards.iter().map(|_| Chunk::default()).collect();
        self.each(part, &mut chunks, |shard, chunk, pairs| {
            calls.push(owned, call(shard, chunk, false, pairs))
        })?;
        let touched = |chunk: &Chunk| chunk.sent > 0 || !chunk.pairs.is_empty();
        let mut changed = table.clone();
        for (shard, mut chunk) in chunks.into_iter().enumerate().filter(|(_, chunk)| touched(chunk)) {
            let pairs = std::mem::take(&mut chunk.pairs);
            calls.push(owned, call(shard, &mut chunk, true, pairs))?;
            changed.shards[shard].time = changed.shards[shard].time.max(to);
        }
        calls.send(owned)?;
        owned.tables.insert(name.clone(), changed);
        Ok(())
    }

    /// Puts all rows of a view in the place of those that are there.
    fn load(&self, owned: &mut Owned, to: Time, part: &Part) -> Result<(), SinkError> {
        let name = &part.view().name;
        let old = owned.tables.remove(name);
        let definition = definition(part.view());
        let what = format!("loading view \"{name}\" at time {to}");
        let generations = self.generations(owned, name)?;
        let epoch = owned.epoch.to_string();
        let call = |shard: usize, chunk: &mut Chunk, last: bool, pairs: Vec<String>| {
            chunk.sent += 1;
            let (keys, generation) = (self.shard(name, shard), generations[shard]);
            let mut arguments = vec![epoch.clone(), to.to_string(), definition.to_string()];
            arguments.extend([
                (generation + 1).to_string(),
                chunk.sent.to_string(),
                u8::from(last).to_string(),
            ]);
            arguments.push(self.options.log.to_string());
            arguments.extend(pairs);
            let keys = vec![keys.meta(), keys.rows(generation + 1), keys.rows(generation), keys.log()];
            Call::new(&self.scripts.load, keys, arguments)
        };
        let mut calls = Calls::new(&what);
        let mut chunks: Vec<Chunk> = generations.iter().map(|_| Chunk::default()).collect();
        self.each(part, &mut chunks, |shard, chunk, pairs| {
            calls.push(owned, call(shard, chunk, false, pairs))
        })?;
        calls.send(owned)?;
        // All shards change over together, as nearly as they can.
        for (shard, chunk) in chunks.iter_mut().enumerate() {
            let pairs = std::mem::take(&mut chunk.pairs);
            calls.push(owned, call(shard, chunk, true, pairs))?;
        }
        calls.send(owned)?;
        let shards = generations.iter().map(|generation| Shard { time: to, generation: generation + 1 });
        let table = Table { definition, shards: shards.collect() };
        owned.tables.insert(name.clone(), table);
        match old {
            Some(old) => self.forget(owned, name, &old, self.options.shards),
            None => Ok(()),
        }
    }

    /// The generation of each shard of a view; it may be there although the sink does not know it.
    fn generations(&self, owned: &mut Owned, name: &Arc<str>) -> Result<Vec<u64>, SinkError> {
        let asks = (0..self.options.shards)
            .map(|shard| redis::cmd("HGET").arg(self.shard(name, shard).meta()).arg("gen").to_owned());
        let found: Vec<Option<u64>> = owned.link.read_all(asks.collect())?;
        Ok(found.into_iter().map(|generation| generation.unwrap_or(0)).collect())
    }

    /// Removes the shards of a view from some number on.
    fn forget(
        &self,
        owned: &mut Owned,
        name: &Arc<str>,
        table: &Table,
        from: usize,
    ) -> Result<(), SinkError> {
        let what = format!("forgetting view \"{name}\"");
        let mut calls = Calls::new(&what);
        for (shard, held) in table.shards.iter().enumerate().skip(from) {
            let keys = self.shard(name, shard);
            let rows = [held.generation, held.generation + 1].map(|generation| keys.rows(generation));
            let keys = [vec![keys.meta()], rows.to_vec(), vec![keys.log()]].concat();
            calls.push(owned, Call::new(&self.scripts.drop, keys, vec![owned.epoch.to_string()]))?;
        }
        calls.send(owned)
    }

    /// Sorts what stands into its shards; a chunk that is full is sent when more follows.
    fn each(
        &self,
        part: &Part,
        chunks: &mut [Chunk],
        mut send: impl FnMut(usize, &mut Chunk, Vec<String>) -> Result<(), SinkError>,
    ) -> Result<(), SinkError> {
        let shape = part.kept().shape();
        let names = Names::new(shape);
        for stand in part.stands() {
            let mut row = String::new();
            match stand.row {
                Some(bytes) => shape.write_json(bytes, &mut row),
                None if part.is_whole() => continue,
                None => {}
            }
            if stand.row.is_some() && !shape.has_key() {
                counted(&mut row, stand.count);
            }
            let key = names.of(&stand);
            let shard = keys::shard(&key, chunks.len());
            let chunk = &mut chunks[shard];
            if chunk.pairs.len() >= 2 * self.options.rows || chunk.bytes >= CHUNK_BYTES_MAX {
                chunk.bytes = 0;
                let pairs = std::mem::take(&mut chunk.pairs);
                send(shard, chunk, pairs)?;
            }
            chunk.bytes += key.len() + row.len();
            chunk.pairs.extend([key, row]);
        }
        Ok(())
    }
}

/// Says in a row how often it is there.
fn counted(row: &mut String, count: i64) {
    row.pop();
    let comma = if row.len() > 1 { "," } else { "" };
    row.push_str(&format!("{comma}\"{COUNT}\":{count}}}"));
}

/// A row without how often it is there, and that.
pub(super) fn uncounted(row: &str) -> Option<(String, i64)> {
    let (rest, count) = row.strip_suffix('}')?.rsplit_once(&format!("\"{COUNT}\":"))?;
    Some((rest.strip_suffix(',').unwrap_or(rest).to_owned() + "}", count.parse().ok()?))
}
