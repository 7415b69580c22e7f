//! `Job`: one backfill as the data directory keeps it: what was asked for, and how far it is.
use crate::Error;
use dataflows::Time;
use queries::api::backfills::{Bound, Origin, Wanted};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sources::decode::Pattern;
use sources::file::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// One backfill.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) id: u64,
    /// The wall clock when it was asked for.
    pub(super) asked: Time,
    pub(super) files: Vec<Seen>,
    pub(super) topic: Option<String>,
    pub(super) from: Option<Limit>,
    pub(super) to: Option<Limit>,
    pub(super) types: Option<String>,
    pub(super) dry_run: bool,
    pub(super) phase: Phase,
    /// Why it failed.
    pub(super) failure: Option<String>,
    /// How many events the source has, once it was read to its end.
    pub(super) total: Option<u64>,
    pub(super) figures: Figures,
    /// What a dry run found.
    pub(super) changes: Option<Vec<Changed>>,
    /// Since when it runs, and how many events were read before.
    #[serde(skip)]
    pub(super) running: Option<(Instant, u64)>,
}

/// A file as it was when it was named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    bytes: u64,
    modified_ns: u128,
}

/// Where it begins or ends.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Limit {
    Time(i64),
    Offset(u64),
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Others are before it.
    Waiting,
    /// It reads the source to its end, so that nothing is brought in of one that is broken.
    Checking,
    /// It brings in, or computes what it would change.
    Running,
    Paused,
    Done,
    Failed,
    Cancelled,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    /// Events read of the source and done with: where it goes on.
    pub(super) read: u64,
    /// Of those: not asked for.
    pub(super) skipped: u64,
    /// Of those: of a type that only the process itself writes.
    pub(super) reserved: u64,
    /// Of those: in the log now.
    pub(super) appended: u64,
    /// Of those in the log: the same event counts already.
    pub(super) duplicates: u64,
    /// Of those in the log: in quarantine.
    pub(super) rejects: u64,
    /// Bytes of the source that were read.
    pub(super) bytes: u64,
}

/// What a dry run would change in one view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The view.
    pub view: String,
    /// Rows that come.
    pub added: u64,
    /// Rows that go.
    pub removed: u64,
    /// Rows that others of their key take the place of.
    pub changed: u64,
    /// The first of them: before and after.
    pub examples: Vec<(Option<Value>, Option<Value>)>,
}

impl Phase {
    fn word(self) -> &'static str {
        match self {
            Phase::Waiting => "waiting",
            Phase::Checking => "checking",
            Phase::Running => "running",
            Phase::Paused => "paused",
            Phase::Done => "done",
            Phase::Failed => "failed",
            Phase::Cancelled => "cancelled",
        }
    }

    /// Whether there is something to do.
    pub(super) fn is_active(self) -> bool {
        matches!(self, Phase::Waiting | Phase::Checking | Phase::Running)
    }

    /// Whether nothing more will be done.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Phase::Done | Phase::Failed | Phase::Cancelled)
    }
}

impl Seen {
    /// A file as it is now.
    pub(super) fn now(path: &Path) -> Result<Seen, String> {
        let unreadable = |why: std::io::Error| format!("cannot read {path:?}: {why}");
        let about = std::fs::metadata(path).map_err(unreadable)?;
        let modified = about.modified().map_err(unreadable)?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Seen { path: path.to_owned(), bytes: about.len(), modified_ns: modified.as_nanos() })
    }
}

impl Job {
    /// A new one, if its files are there.
    pub(super) fn new(id: u64, asked: Time, wanted: Wanted) -> Result<Job, String> {
        let limit = |bound: Option<Bound>| {
            bound.map(|bound| match bound {
                Bound::Time(ms) => Limit::Time(ms),
                Bound::Offset(offset) => Limit::Offset(offset),
            })
        };
        let (paths, topic) = match wanted.origin {
            Origin::Files(paths) => (paths, None),
            Origin::Topic(topic) => (vec![], Some(topic)),
        };
        if let Some(relative) = paths.iter().find(|path| path.is_relative()) {
            return Err(format!("{relative:?} is no whole path: the process reads its files itself, from /"));
        }
        File::open(&paths).map_err(|why| why.to_string())?;
        let files = paths.iter().map(|path| Seen::now(path)).collect::<Result<_, _>>()?;
        Ok(Job {
            id,
            asked,
            files,
            topic,
            from: limit(wanted.from),
            to: limit(wanted.to),
            types: wanted.types,
            dry_run: wanted.dry_run,
            phase: Phase::Waiting,
            failure: None,
            total: None,
            figures: Figures::default(),
            changes: None,
            running: None,
        })
    }

    /// The types that it takes; none: all.
    pub(super) fn pattern(&self) -> Option<Pattern> {
        self.types.as_deref().map(|types| Pattern::parse(types).expect("checked when it was asked for"))
    }

    /// Whether its files are those that were named.
    pub(super) fn unchanged(&self) -> Result<(), String> {
        for seen in &self.files {
            if Seen::now(&seen.path)? != *seen {
                return Err(format!(
                    "{:?} was changed since the backfill was asked for: start another, events that are there already count once",
                    seen.path
                ));
            }
        }
        Ok(())
    }

    fn bytes_total(&self) -> u64 {
        self.files.iter().map(|seen| seen.bytes).sum()
    }

    /// Events a second since it runs.
    fn rate(&self) -> Option<f64> {
        let (since, before) = self.running?;
        let seconds = since.elapsed().max(Duration::from_millis(1)).as_secs_f64();
        Some(self.figures.read.saturating_sub(before) as f64 / seconds)
    }

    /// As the API describes it.
    pub(super) fn described(&self) -> Value {
        let figures = &self.figures;
        let limit = |limit: Option<Limit>| match limit {
            None => Value::Null,
            Some(Limit::Offset(offset)) => offset.into(),
            Some(Limit::Time(ms)) => {
                chrono::DateTime::from_timestamp_millis(ms).map(|time| time.to_rfc3339()).into()
            }
        };
        let rate = self.rate().filter(|_| self.phase == Phase::Running);
        let eta = match (rate, self.total) {
            (Some(rate), Some(total)) if rate > 0.0 => {
                Value::from((total.saturating_sub(figures.read) as f64 / rate).ceil() as u64)
            }
            _ => Value::Null,
        };
        let mut value = json!({
            "id": self.id,
            "state": self.phase.word(),
            "files": self.files.iter().map(|seen| &seen.path).collect::<Vec<_>>(),
            "topic": self.topic,
            "from": limit(self.from),
            "to": limit(self.to),
            "type": self.types,
            "dry_run": self.dry_run,
            "asked": self.asked,
            "events_total": self.total,
            "events_read": figures.read,
            "skipped": figures.skipped,
            "reserved": figures.reserved,
            "appended": figures.appended,
            "accepted": figures.appended - figures.duplicates - figures.rejects,
            "duplicates": figures.duplicates,
            "rejects": figures.rejects,
            "bytes_total": self.bytes_total(),
            "bytes_read": figures.bytes,
            "events_per_second": rate.map(|rate| rate.round() as u64),
            "eta_seconds": eta,
            "failure": self.failure,
        });
        if let Some(changes) = &self.changes {
            value["changes"] = changes.iter().map(described_change).collect();
        }
        value
    }

    /// Keeps it in a folder, whole or not at all.
    pub(super) fn save(&self, folder: &Path) -> Result<(), Error> {
        let (path, new) = (self.path(folder), folder.join(format!("{}.new", self.id)));
        let written = std::fs::create_dir_all(folder).and_then(|()| {
            let mut file = std::fs::File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            std::fs::File::open(folder)?.sync_all()
        });
        written.map_err(|why| Error::failed(format!("write {}", path.display()), why))
    }

    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.json", self.id))
    }
}

fn described_change(change: &Changed) -> Value {
    let example =
        |(before, after): &(Option<Value>, Option<Value>)| json!({"before": before, "after": after});
    json!({
        "view": change.view,
        "added": change.added,
        "removed": change.removed,
        "changed": change.changed,
        "examples": change.examples.iter().map(example).collect::<Vec<_>>(),
    })
}

/// Those that a folder keeps.
pub(super) fn load(folder: &Path) -> Result<Vec<Job>, Error> {
    let failed = |why: String| Error::failed(format!("read the backfills in {}", folder.display()), why);
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(why) => return Err(failed(why.to_string())),
    };
    let mut jobs = vec![];
    for entry in entries {
        let path = entry.map_err(|why| failed(why.to_string()))?.path();
        if path.extension().is_some_and(|end| end == "json") {
            let bytes = std::fs::read(&path).map_err(|why| failed(why.to_string()))?;
            let job: Job = serde_json::from_slice(&bytes)
                .map_err(|why| failed(format!("{} is not ours: {why}", path.display())))?;
            jobs.push(job);
        }
    }
    Ok(jobs)
}
