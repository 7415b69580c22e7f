//! How long a restart takes, from a snapshot and from the log, with the time of each phase.
//!
//! `cargo run --release -p benches --bin restart [-- EVENTS WORKERS FOLDER [CATALOGUE]]`, after `cargo build --release`
//!
//! Writes so many events of the bss workload (10,000,000) to a file, replays it with `tallyflow replay --snapshot` into FOLDER
//! (`./restart-bench`), then starts `tallyflow run` on it twice, with its snapshots and without, and prints what that says once all
//! answers are right: milliseconds, phases, and the greatest memory. CATALOGUE is a folder of SQL files that take the place of bss.
use sources::Payload;
use sources::generate::{Generator, GeneratorConfig, Shares};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const BINARY: &str = "target/release/tallyflow";

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let events: usize = arguments.next().map_or(Ok(10_000_000), |n| n.parse())?;
    let workers = arguments.next().unwrap_or_else(|| "2".into());
    let folder = arguments.next().unwrap_or_else(|| "./restart-bench".into());
    let catalogue: Vec<String> =
        arguments.next().into_iter().flat_map(|path| ["--catalog".into(), path]).collect();
    let (folder, binary) = (Path::new(&folder), std::env::var("TALLYFLOW").unwrap_or(BINARY.into()));
    let (file, data) = (folder.join("events.ndjson"), folder.join("data"));
    std::fs::create_dir_all(folder)?;
    if !data.exists() {
        generate(&file, events)?;
        let mut replay = Command::new(&binary);
        replay
            .args(["replay", "--snapshot", "--workers", &workers, "--data"])
            .arg(&data)
            .arg(&file)
            .args(&catalogue);
        if !replay.status()?.success() {
            return Err("the replay failed".into());
        }
    }
    println!("from a snapshot: {}", start(&binary, &data, &workers, &catalogue)?);
    std::fs::rename(data.join("snapshots"), folder.join("snapshots"))?;
    println!("from the log:    {}", start(&binary, &data, &workers, &catalogue)?);
    _ = std::fs::remove_dir_all(data.join("snapshots"));
    std::fs::rename(folder.join("snapshots"), data.join("snapshots"))?;
    Ok(())
}

fn generate(file: &Path, events: usize) -> Outcome<()> {
    let shares = Shares { late: 0.02, duplicate: 0.01, corrected: 0.01, malformed: 0.0 };
    let config =
        GeneratorConfig { seed: 1, start_ms: 1_750_000_000_000, rate: 5_000.0, customers: 100_000, shares };
    let mut out = BufWriter::new(std::fs::File::create(file)?);
    for event in Generator::new(config).take(events) {
        if let Payload::Structured(bytes) = event.payload {
            out.write_all(&bytes)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(out.flush()?)
}

/// What a start says once it is ready; then it is killed, so that nothing is written at its end.
fn start(binary: &str, data: &Path, workers: &str, catalogue: &[String]) -> Outcome<String> {
    let mut command = Command::new(binary);
    command.args([
        "run",
        "--snapshot-every",
        "off",
        "--listen",
        "127.0.0.1:0",
        "--workers",
        workers,
        "--data",
    ]);
    let began = std::time::Instant::now();
    let mut child = command.arg(data).args(catalogue).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let mut said = None;
    for line in lines {
        let line = line?;
        if line.contains("ready") {
            said = Some(line);
            break;
        }
    }
    let took = began.elapsed();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or(" unknown").trim();
    let answer = format!("{} ms in all, {peak} at most; {}", took.as_millis(), said.ok_or("it ended")?);
    child.kill()?;
    child.wait()?;
    Ok(answer)
}
