//! `tallyflow backfill`: asks a running process to bring history in, and shows how far it is.
use super::grouped;
use super::remote::{Remote, Where};
use crate::Error;
use clap::Args;
use queries::api::backfills::Bound;
use serde_json::{Value, json};
use sources::file::Progress;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(250);
/// Without a terminal a line is printed so often.
const LOOKS_A_LINE: u32 = 8;

#[derive(Args, Debug)]
pub(super) struct Backfill {
    /// The files, in order: NDJSON with one CloudEvent a line, plain, gzip or zstd. The process reads them itself.
    #[arg(value_name = "FILE", required_unless_present_any = ["topic", "list", "pause", "resume", "cancel", "follow"])]
    files: Vec<PathBuf>,
    /// A topic in place of files.
    #[arg(long, value_name = "TOPIC", conflicts_with = "files")]
    topic: Option<String>,
    /// The first event: a time such as 2024-03-01 or 2024-03-01T12:00:00Z, or its number in the source, from 0 on.
    #[arg(long, value_name = "TIME|OFFSET", value_parser = bound)]
    from: Option<String>,
    /// What follows the last event.
    #[arg(long, value_name = "TIME|OFFSET", value_parser = bound)]
    to: Option<String>,
    /// Only events of these types: patterns by commas, * stands for any characters.
    #[arg(long = "type", value_name = "PATTERN")]
    types: Option<String>,
    /// Only say what it would change in each view.
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until it is done.
    #[arg(long)]
    detach: bool,
    /// List the backfills of the process.
    #[arg(long, group = "act")]
    list: bool,
    /// Show how far a backfill is, until it is done.
    #[arg(long, value_name = "ID", group = "act")]
    follow: Option<u64>,
    /// Hold a backfill up.
    #[arg(long, value_name = "ID", group = "act")]
    pause: Option<u64>,
    /// Let a paused backfill go on.
    #[arg(long, value_name = "ID", group = "act")]
    resume: Option<u64>,
    /// End a backfill; what it brought in stays.
    #[arg(long, value_name = "ID", group = "act")]
    cancel: Option<u64>,
    #[command(flatten)]
    meant: Where,
}

pub(super) fn run(args: &Backfill) -> Result<(), Error> {
    let remote = Remote::of(&args.meant)?;
    if args.list {
        let list = remote.get("/api/v1/backfills")?;
        list["backfills"].as_array().into_iter().flatten().for_each(|one| tell!("{}", line(one)));
        return Ok(());
    }
    let steer = [(args.pause, "pause"), (args.resume, "resume"), (args.cancel, "cancel")];
    if let Some((id, word)) = steer.into_iter().find_map(|(id, word)| Some((id?, word))) {
        tell!("{}", line(&remote.post(&format!("/api/v1/backfills/{id}/{word}"))?));
        return Ok(());
    }
    let id = match args.follow {
        Some(id) => id,
        None => {
            let begun = begin(args, &remote)?;
            let id = begun["id"].as_u64().unwrap_or(0);
            if args.detach {
                tell!("{}", line(&begun));
                return Ok(());
            }
            id
        }
    };
    follow(&remote, id)
}

fn bound(text: &str) -> Result<String, String> {
    Bound::parse(text).map(|_| text.to_owned())
}

fn begin(args: &Backfill, remote: &Remote) -> Result<Value, Error> {
    let whole = |path: &PathBuf| {
        // Where it is not here, it may be where the process is, which says so if it is not.
        let path = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        path.unwrap_or_else(|_| PathBuf::new())
    };
    let mut wanted = json!({"dry_run": args.dry_run});
    match &args.topic {
        Some(topic) => wanted["topic"] = topic.as_str().into(),
        None => wanted["files"] = args.files.iter().map(|path| json!(whole(path))).collect(),
    }
    let texts = [("from", &args.from), ("to", &args.to), ("type", &args.types)];
    for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
        wanted[name] = text.as_str().into();
    }
    let body = wanted.to_string();
    remote.ask("POST", "/api/v1/backfills", Some(("application/json", body.as_bytes())))
}

/// Shows how far it is until it is over, or held up.
fn follow(remote: &Remote, id: u64) -> Result<(), Error> {
    let path = format!("/api/v1/backfills/{id}");
    let mut job = remote.get(&path)?;
    let progress = Progress::new(number(&job, "bytes_total"));
    let mut looks = 0;
    loop {
        match job["state"].as_str().unwrap_or_default() {
            "waiting" | "checking" | "running" => {}
            "failed" => {
                progress.finish();
                let why = job["failure"].as_str().unwrap_or_default();
                let stays = match number(&job, "appended") {
                    0 => "nothing was brought in".to_owned(),
                    count => format!("the {} events that were brought in before stay", grouped(count)),
                };
                return Err(Error::Failed(format!("{why}; {stays}")));
            }
            _ => {
                progress.finish();
                print_result(&job);
                return Ok(());
            }
        }
        progress.update(number(&job, "events_read"), number(&job, "bytes_read"));
        looks += 1;
        if looks % LOOKS_A_LINE == 0 && !std::io::stderr().is_terminal() {
            report!("{}", line(&job));
        }
        std::thread::sleep(LOOK);
        job = remote.get(&path)?;
    }
}

fn number(job: &Value, name: &str) -> u64 {
    job[name].as_u64().unwrap_or(0)
}

/// A backfill in a line.
fn line(job: &Value) -> String {
    let number = |name| grouped(number(job, name));
    let total =
        job["events_total"].as_u64().map_or_else(String::new, |total| format!(" of {}", grouped(total)));
    let state = job["state"].as_str().unwrap_or_default();
    let mut text = format!(
        "backfill {} {state}: {}{total} events read, {} accepted, {} duplicates, {} rejects",
        job["id"],
        number("events_read"),
        number("accepted"),
        number("duplicates"),
        number("rejects")
    );
    if let Some(rate) = job["events_per_second"].as_u64() {
        text.push_str(&format!(", {} events/s", grouped(rate)));
    }
    if let Some(seconds) = job["eta_seconds"].as_u64() {
        text.push_str(&format!(", {seconds} s to go"));
    }
    if let Some(why) = job["failure"].as_str() {
        text.push_str(&format!(": {why}"));
    }
    text
}

fn print_result(job: &Value) {
    tell!("{}", line(job));
    for (name, what) in [("skipped", "not asked for"), ("reserved", "of types that only the process writes")]
    {
        if number(job, name) > 0 {
            tell!("  {} events {what}", grouped(number(job, name)));
        }
    }
    match job["state"].as_str() {
        Some("paused") => tell!("go on with: tallyflow backfill --resume {}", job["id"]),
        Some("cancelled") => tell!("what was brought in stays"),
        _ => {}
    }
    let Some(changes) = job["changes"].as_array() else { return };
    tell!("dry run: nothing was changed");
    if changes.is_empty() {
        tell!("  no view would change");
    }
    for change in changes {
        let count = |name| grouped(number(change, name));
        let view = change["view"].as_str().unwrap_or_default();
        tell!(
            "  {view}: {} rows added, {} removed, {} changed",
            count("added"),
            count("removed"),
            count("changed")
        );
        for example in change["examples"].as_array().into_iter().flatten() {
            match (&example["before"], &example["after"]) {
                (Value::Null, after) => tell!("    + {after}"),
                (before, Value::Null) => tell!("    - {before}"),
                (before, after) => tell!("    ~ {before}\n      {after}"),
            }
        }
    }
}
