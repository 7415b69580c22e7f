//! `Start`: where a pipeline begins: at a snapshot and the ticks bound after it, or at the start of the log.
use super::keeper::{self, Keeper, definition};
use super::load::{Loaded, newest};
use super::manifest::{self, Manifest, Rejected, Stream};
use super::recorder::Recorder;
use super::retention::Retention;
use super::{Setting, Status};
use crate::Error;
use crate::data::{Data, bindings_path, snapshots_path};
use crate::progress::{self, Bindings};
use crate::publish::covers;
use crate::statements::{Act, Statement};
use crate::ticks;
use dataflows::{Position, Time};
use queries::Catalogue;
use queries::catalogue::system::LATE_CHANGES;
use sources::Record;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Where a pipeline begins.
pub struct Start {
    /// What is declared there.
    pub catalogue: Catalogue,
    /// The statements that come after.
    pub kept: Vec<Statement>,
    /// The ticks that were bound after.
    pub bound: progress::Reader,
    /// The snapshot, if it is one.
    pub loaded: Option<Loaded>,
    /// Records for the next snapshots.
    pub recorder: Recorder,
    /// Figures.
    pub status: Arc<Status>,
    /// Snapshots that could not be used, and why.
    pub rejected: Vec<String>,
}

/// Where the tick of the newest snapshot is bound: what stands before it in the bindings need not be read.
pub fn known(data: &Data) -> Option<(Time, u64)> {
    let (_, newest) = manifest::list(&snapshots_path(data.path())).ok()?.into_iter().next()?;
    let point = Manifest::read(&newest).ok()?.point;
    Some((point.time, point.bound_at?))
}

/// What of the log the newest snapshot stands for; nothing where there is none.
pub fn covered(data: &Data) -> Vec<Position> {
    let newest = manifest::list(&snapshots_path(data.path())).ok().and_then(|list| list.into_iter().next());
    let manifest = newest.and_then(|(_, newest)| Manifest::read(&newest).ok());
    manifest.map(|manifest| manifest.point.positions()).unwrap_or_default()
}

/// What a snapshot is compared with.
pub struct Log<'a> {
    /// Where the log begins.
    pub begins: Vec<Position>,
    /// Where it ends.
    pub ends: Vec<Position>,
    /// One record of it.
    pub read: &'a dyn Fn(u32, u64) -> Option<Record>,
    /// Whether its reader finds out by itself what the log has lost.
    pub tells_loss: bool,
    /// How long it keeps what snapshots stand for; none: for good, or that is not ours to say.
    pub retention: Option<Retention>,
}

/// Looks for the newest snapshot that can be used. `kept` are all statements of earlier lives, `catalogue` what they add to.
pub fn open(
    data: &Data,
    setting: &Setting,
    threads: usize,
    (catalogue, mut kept): (Catalogue, Vec<Statement>),
    mut log: Log,
    bindings: &Arc<Bindings>,
) -> Result<Start, Error> {
    let (began, folder, status) = (Instant::now(), snapshots_path(data.path()), Arc::new(Status::default()));
    let fits = |manifest: &Manifest| {
        let bound = bound_at(data, manifest)?;
        of_this_log(manifest, &log)?;
        let (declared, done) = declared_at(&catalogue, &kept, manifest.point.time)?;
        same_tables(manifest, &declared)?;
        Ok((declared, done, bound))
    };
    let (mut found, mut rejected) = newest(&folder, setting.not_after, threads, fits)?;
    if found.is_none() && setting.not_after.is_some() {
        // Stores that are further behind than all of them get their views as a whole.
        let (any, also) = newest(&folder, None, threads, fits)?;
        found = any;
        rejected.extend(also);
    }
    status.change(|figures| {
        rejected.iter().for_each(|one| *figures.rejected.entry(one.reason).or_default() += 1);
    });
    let (catalogue, bound, loaded) = match found {
        Some((loaded, (declared, done, bound))) => {
            kept.drain(..done);
            status.phase("snapshot verified and read", began.elapsed());
            (declared, bound, Some(loaded))
        }
        None => (catalogue, progress::Reader::open(&bindings_path(data.path()))?, None),
    };
    let rejected: Vec<String> = rejected.into_iter().map(|one| one.why).collect();
    // Kafka's first offsets may be gone before the first start; what it loses later its reader finds.
    if loaded.is_none()
        && (!log.tells_loss || !rejected.is_empty())
        && let Some(late) = log.begins.iter().find(|position| position.offset > 0)
    {
        let mut why = format!("the log begins at offset {} of partition {}", late.offset, late.partition);
        if !log.tells_loss {
            why.push_str("; what stood before was removed, as log_keep says, and is in snapshots only");
        }
        rejected.iter().for_each(|one| why.push_str(&format!("; {one}")));
        return Err(Error::failed("start: no snapshot can be used, and the log is not whole", why));
    }
    let retention = log.retention.take();
    let recorder = record(data, setting, bindings, &status, loaded.as_ref(), retention)?;
    Ok(Start { catalogue, kept, bound, loaded, recorder, status, rejected })
}

fn record(
    data: &Data,
    setting: &Setting,
    bindings: &Arc<Bindings>,
    status: &Arc<Status>,
    loaded: Option<&Loaded>,
    retention: Option<Retention>,
) -> Result<Recorder, Error> {
    if setting.every.is_none() || data.is_temporary() {
        return Ok(Recorder::off());
    }
    let folder = snapshots_path(data.path());
    let failed = |why: String| Error::failed(format!("make {}", folder.display()), why);
    std::fs::create_dir_all(&folder).map_err(|why| failed(why.to_string()))?;
    manifest::sync_folder(data.path()).map_err(failed)?;
    let readable = manifest::list(&folder).map_err(|why| failed(why.to_string()))?;
    let readable = readable.iter().filter_map(|(_, path)| Manifest::read(path).ok());
    let needed = readable.flat_map(|m| m.parts().map(|part| part.name.clone()).collect::<Vec<_>>()).collect();
    keeper::remove_parts(&folder, &needed);
    let manifest = loaded.map(|loaded| &loaded.manifest);
    let (epoch, (notes, told)) = (data.epoch(), keeper::notes());
    let keeper = Keeper::new(
        folder.clone(),
        setting.clone(),
        epoch,
        bindings.clone(),
        status.clone(),
        manifest,
        retention,
    );
    let thread = std::thread::Builder::new().name("snapshots".into()).spawn(move || keeper.run(told));
    let thread = thread.map_err(|why| Error::failed("start the thread of the snapshots", why))?;
    Ok(Recorder::on(notes, thread, setting, status.clone()))
}

/// The bindings after the snapshot's tick, which must be bound to the same positions.
fn bound_at(data: &Data, manifest: &Manifest) -> Result<progress::Reader, Rejected> {
    let point = &manifest.point;
    let other = |why: String| Rejected::new("bindings", format!("snapshot of time {}: {why}", point.time));
    let place =
        point.bound_at.map(|at| progress::Reader::open_at(&bindings_path(data.path()), point.time, at));
    if let Some(Ok(Some((bound, binding)))) = place
        && binding.positions == point.positions()
    {
        return Ok(bound);
    }
    let mut bound =
        progress::Reader::open(&bindings_path(data.path())).map_err(|why| other(why.to_string()))?;
    loop {
        let Some(binding) = bound.next().map_err(|why| other(why.to_string()))? else {
            return Err(other("the bindings end before it".into()));
        };
        if binding.moment.time < point.time {
            continue;
        }
        return match binding.moment.time == point.time && binding.positions == point.positions() {
            true => Ok(bound),
            false => Err(other("no tick is bound to its time and positions".into())),
        };
    }
}

/// The log must reach to where the snapshot was taken, and hold the same records there.
fn of_this_log(manifest: &Manifest, log: &Log) -> Result<(), Rejected> {
    let point = &manifest.point;
    let other = |why: String| Rejected::new("log", format!("snapshot of time {}: {why}", point.time));
    if !covers(&log.ends, &point.positions()) {
        return Err(other("the log ends before it".into()));
    }
    for (partition, offset, hash) in &point.anchors {
        // Where the log begins later, the record is gone for good.
        if log.begins.iter().any(|begin| begin.partition == *partition && begin.offset > *offset) {
            continue;
        }
        let found = (log.read)(*partition, *offset).map(|record| ticks::hash(&record));
        if found != Some(*hash) {
            return Err(other(format!("partition {partition} holds another record at offset {offset}")));
        }
    }
    Ok(())
}

/// What was declared at a time, and how many statements made it so.
fn declared_at(
    catalogue: &Catalogue,
    kept: &[Statement],
    time: Time,
) -> Result<(Catalogue, usize), Rejected> {
    let mut declared = catalogue.clone();
    let before = kept.iter().take_while(|statement| statement.after < time);
    let mut done = 0;
    for statement in before {
        done += 1;
        let (text, made) = match &statement.act {
            Act::Declare(sql) => (sql, declared.declare(sql).map(|_| ())),
            Act::Drop(name) => (name, declared.drop(name)),
        };
        let failed = |why| format!("snapshot of time {time}: cannot restore statement {text:?}: {why}");
        made.map_err(|why| Rejected::new("statements", failed(why)))?;
    }
    Ok((declared, done))
}

/// Rows are those of the very tables that are declared.
fn same_tables(manifest: &Manifest, declared: &Catalogue) -> Result<(), Rejected> {
    let mut wanted: BTreeMap<Arc<str>, u64> =
        declared.tables().map(|mapping| (mapping.table.name.clone(), definition(mapping))).collect();
    let of = |kept: &manifest::Kept| match &kept.stream {
        Stream::Table(name) => Some((name.clone(), kept.definition)),
        Stream::Seen | Stream::Dropped | Stream::Quarantine => None,
    };
    let held: BTreeMap<Arc<str>, u64> = manifest.streams.iter().filter_map(of).collect();
    // A snapshot of before there was this table stands for nothing in it.
    wanted.retain(|name, _| &**name != LATE_CHANGES || held.contains_key(name));
    if wanted == held {
        return Ok(());
    }
    let names = wanted.keys().chain(held.keys());
    let differ = names.filter(|name| wanted.get(*name) != held.get(*name));
    let differ: std::collections::BTreeSet<&str> = differ.map(|name| name.as_ref()).collect();
    let differ: Vec<&str> = differ.into_iter().collect();
    Err(Rejected::new(
        "definitions",
        format!(
            "snapshot of time {}: other tables are declared now: {}",
            manifest.point.time,
            differ.join(", ")
        ),
    ))
}
