//! `tallyflow quarantine`: the records of a running process that do not count, and what is decided about them.
use super::remote::{Remote, Where};
use crate::Error;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Records of a page of the list.
const PAGE: usize = 1_000;

#[derive(Args, Debug)]
pub(super) struct Quarantine {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    meant: Where,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Lists records, oldest first.
    List {
        /// Only records of this state: pending, replayed, failed_again, superseded or discarded.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
    },
    /// Shows one record, whole.
    Show {
        /// Its id.
        id: u64,
    },
    /// Opens a record in $EDITOR, and takes in what was saved.
    Edit {
        /// Its id.
        id: u64,
    },
    /// Takes records in: as they were, or one repaired.
    Replay {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<u64>,
        /// A file with the repaired event, as structured JSON; - is standard input.
        #[arg(long, value_name = "FILE")]
        event: Option<PathBuf>,
    },
    /// Forgets records; their bytes stay in the log.
    Discard {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<u64>,
    },
}

pub(super) fn run(args: &Quarantine) -> Result<(), Error> {
    let remote = Remote::of(&args.meant)?;
    match &args.act {
        Act::List { state } => list(&remote, state.as_deref()),
        Act::Show { id } => {
            let record = remote.get(&format!("/api/v1/quarantine/{id}"))?;
            let members = record.as_object().into_iter().flatten();
            for (name, value) in members.filter(|(name, value)| *name != "record" && !value.is_null()) {
                tell!("{name:<13}{}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
            tell!("\n{}", record["record"].as_str().unwrap_or_default());
            Ok(())
        }
        Act::Edit { id } => edit(&remote, *id),
        Act::Replay { ids, event: None } => each(ids, |id| replay(&remote, id, None)),
        Act::Replay { ids, event: Some(file) } => {
            let [id] = ids[..] else {
                return Err(Error::Usage("--event repairs one record: name one id".into()));
            };
            let read = match file == Path::new("-") {
                true => std::io::read_to_string(std::io::stdin()),
                false => std::fs::read_to_string(file),
            };
            let text = read.map_err(|why| Error::failed(format!("read {}", file.display()), why))?;
            replay(&remote, id, Some(&text))
        }
        Act::Discard { ids } => each(ids, |id| {
            tell!("{}", line(&remote.post(&format!("/api/v1/quarantine/{id}/discard"))?));
            Ok(())
        }),
    }
}

/// Does it for each, also after one failed; the first failure is what is said.
fn each(ids: &[u64], act: impl Fn(u64) -> Result<(), Error>) -> Result<(), Error> {
    let results: Vec<_> = ids.iter().map(|id| act(*id)).collect();
    results.into_iter().collect()
}

fn list(remote: &Remote, state: Option<&str>) -> Result<(), Error> {
    let filter = state.map_or_else(String::new, |state| format!("&state={state}"));
    let mut after = 0;
    loop {
        let page = remote.get(&format!("/api/v1/quarantine?after={after}&limit={PAGE}{filter}"))?;
        let records = page["records"].as_array().cloned().unwrap_or_default();
        records.iter().for_each(|record| tell!("{}", line(record)));
        match records.last().and_then(|record| record["id"].as_u64()) {
            Some(last) if records.len() == PAGE => after = last,
            _ => return Ok(()),
        }
    }
}

fn replay(remote: &Remote, id: u64, repaired: Option<&str>) -> Result<(), Error> {
    let body = repaired.map(|text| ("application/cloudevents+json", text.as_bytes()));
    let record = remote.ask("POST", &format!("/api/v1/quarantine/{id}/replay"), body)?;
    tell!("{}", line(&record));
    match record["state"].as_str() {
        Some("failed_again") => Err(Error::Failed(format!("record {id} still cannot be taken"))),
        _ => Ok(()),
    }
}

/// A file in a folder of its own is what the editor gets.
fn edit(remote: &Remote, id: u64) -> Result<(), Error> {
    let record = remote.get(&format!("/api/v1/quarantine/{id}"))?;
    if record.get("attributes").is_some() {
        let why =
            "its attributes stand beside it: write the whole event as JSON, and use replay --event FILE";
        return Err(Error::failed(format!("edit record {id}"), why));
    }
    let failed = |why: &dyn std::fmt::Display| Error::failed(format!("edit record {id}"), why);
    let folder = tempfile::tempdir().map_err(|why| failed(&why))?;
    let file = folder.path().join(format!("quarantine-{id}.json"));
    let text = record["record"].as_str().unwrap_or_default();
    std::fs::write(&file, text).map_err(|why| failed(&why))?;
    let editor = std::env::var("VISUAL").or_else(|_| std::env::var("EDITOR")).unwrap_or_else(|_| "vi".into());
    // An editor may be named with arguments.
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(&file).status();
    let status = status.map_err(|why| failed(&format!("{editor}: {why}")))?;
    if !status.success() {
        return Err(failed(&format!("{editor} ended with {status}: nothing was sent")));
    }
    let edited = std::fs::read_to_string(&file).map_err(|why| failed(&why))?;
    if edited == text {
        tell!("nothing was changed: nothing was sent");
        return Ok(());
    }
    replay(remote, id, Some(edited.trim()))
}

/// A record in a line.
fn line(record: &Value) -> String {
    let text = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
    let why = record["outcome"].as_str().map_or_else(|| text("reason"), str::to_owned);
    format!(
        "{:>6}  {:<12}  {:<11}  {} {}  {why}",
        record["id"].as_u64().unwrap_or(0),
        text("state"),
        text("rule"),
        text("event_source"),
        text("event_id")
    )
}
