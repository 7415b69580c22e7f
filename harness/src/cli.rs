//! The command line: what the user typed, and the command it means.
mod backfill;
mod check;
mod config;
mod demo;
mod explain;
pub mod gap;
mod generate;
mod live;
mod quarantine;
mod reads;
mod remote;
mod replay;
mod serve;
mod stores;
mod wire;

use crate::Error;
use clap::{Args, Parser, Subcommand};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const DATA_DEFAULT: &str = "./tallyflow-data";
const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
const TICK_EVENTS_DEFAULT: usize = 8_192;
/// Nobody waits for the ticks of a replay: the more events one has, the more of their changes cancel out.
const REPLAY_TICK_EVENTS_DEFAULT: u32 = 65_536;

/// SQL views over CloudEvents, kept right to the event.
#[derive(Parser, Debug)]
#[command(
    name = "tallyflow",
    version,
    after_help = "Examples:
  tallyflow demo                                    a workload, its views, and where to read them
  tallyflow run --data ./tallyflow-data             serve: POST events, read views
  tallyflow replay events.ndjson.zst --out results  files to CSV, through the same pipeline
  tallyflow explain revenue_daily                   how a view is kept"
)]
pub struct Command {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand, Debug)]
enum Act {
    /// Runs with a generated workload, in a temporary data directory unless one is named.
    #[command(after_help = "Examples:
  tallyflow demo
  tallyflow demo --rate 20000 --for 30s --workers 2
  tallyflow demo --data ./demo-data --listen 127.0.0.1:9000")]
    Demo(Demo),
    /// Serves: takes events over HTTP, keeps the views, answers reads. Ends cleanly at SIGINT and SIGTERM.
    #[command(after_help = "Examples:
  tallyflow run
  tallyflow run --config tallyflow.toml --workers 4
  tallyflow run --data /var/lib/tallyflow --listen 0.0.0.0:8080 --catalog ./my-catalogue
  tallyflow run --processes 2 --process 0 --hostfile hosts --workers 1 --data /var/lib/tallyflow
  tallyflow run --processes 2 --process 1 --hostfile hosts
  tallyflow run --kafka 127.0.0.1:9092 --topic orders,payments
  tallyflow run --kafka b1:9092,b2:9092 --topic '^bss[.].*' --produce-topic bss.events --kafka-property security.protocol=SSL

A config file has the flags' names as keys:
  data = \"/var/lib/tallyflow\"
  listen = \"0.0.0.0:8080\"
  workers = 4
  skew = \"60s\"

  pg = \"0.0.0.0:5433\"
  [postgres_wire]                     # what clients of pg need
  user = \"app\"
  password = \"env:TALLYFLOW_PASSWORD\"
  certificate = \"/etc/tallyflow/server.crt\"
  key = \"/etc/tallyflow/server.key\"
  tls_only = true

  [kafka]                             # in place of the embedded log; a data directory keeps the kind it was made with
  brokers = \"127.0.0.1:9092\"
  topics = [\"orders\", \"^bss[.].*\"]
  produce_topic = \"orders\"
  [kafka.properties]                  # of librdkafka; secrets as file:PATH or env:NAME
  \"sasl.password\" = \"env:KAFKA_PASSWORD\"")]
    Run(Run),
    /// Writes the events of a generated business, in the order of their arrival: NDJSON for `replay`.
    #[command(after_help = "Examples:
  tallyflow generate --sf 0.1 --out events.ndjson
  tallyflow generate --sf 1 --out events.ndjson --seed 7 --from 2026-01-01 --to 2026-03-01")]
    Generate(Generate),
    /// Answers reads from the stores that an engine keeps, without one: so that reads scale out.
    #[command(after_help = "Examples:
  tallyflow serve --postgres postgres://reader@db/app --redis redis://cache:6379
  tallyflow serve --postgres env:READER_URL --listen 0.0.0.0:8081

Rows are listed from PostgreSQL, each answer from one snapshot with its time; single rows are read from Redis where it is
named, else from PostgreSQL. GET /api/v1/views, /api/v1/views/{name}, /api/v1/views/{name}/{key}, with ?at_least= and &wait=.")]
    Serve(reads::Reads),
    /// Takes files of events through the same pipeline to their end, and writes each view as CSV.
    #[command(after_help = "Examples:
  tallyflow replay --catalog retail events.ndjson.zst --out results
  tallyflow replay day1.ndjson.gz day2.ndjson.gz --data ./tallyflow-data --workers 2

Files are NDJSON with one CloudEvent a line, plain, gzip or zstd, read in the order given.")]
    Replay(Replay),
    /// Shows the stages of a view, or of a SELECT that is not declared: SQL, logical plan, plan, operators.
    #[command(after_help = "Examples:
  tallyflow explain revenue_daily
  tallyflow explain --catalog retail copurchase
  tallyflow explain 'SELECT region, count(*) FROM customers GROUP BY region'")]
    Explain(Explain),
    /// Computes every view once more in batch over the log, and prints what differs. Exit code 1 if anything does.
    #[command(after_help = "Examples:
  tallyflow check
  tallyflow check --data ./tallyflow-data
  tallyflow check --sinks --repair")]
    Check(Check),
    /// Has a running process bring history in while events go on: files or a topic, each event once.
    #[command(after_help = "Examples:
  tallyflow backfill history/*.ndjson.zst
  tallyflow backfill --dry-run --from 2024-03-01 --to 2024-04-01 --type 'com.example.bss.order.*' march.ndjson.gz
  tallyflow backfill --list
  tallyflow backfill --pause 3 --url http://127.0.0.1:8080")]
    Backfill(Box<backfill::Backfill>),
    /// Lists the records of a running process that do not count; shows, repairs, takes in or forgets them.
    #[command(after_help = "Examples:
  tallyflow quarantine list --state pending
  tallyflow quarantine show 7
  tallyflow quarantine edit 7
  tallyflow quarantine replay 7 --event repaired.json
  tallyflow quarantine replay 8 9 --url http://127.0.0.1:8080
  tallyflow quarantine discard 10")]
    Quarantine(quarantine::Quarantine),
    /// Accepts as lost what Kafka deleted although it was needed (RETENTION_LOSS), so that the next start goes on without it.
    #[command(after_help = "Examples:
  tallyflow accept-gap --data ./tallyflow-data          what is lost
  tallyflow accept-gap --data ./tallyflow-data --yes    accepted")]
    AcceptGap(gap::AcceptGap),
}

#[derive(Args, Debug)]
struct Demo {
    /// Events per second.
    #[arg(long, default_value_t = 6_667.0, value_parser = rate)]
    rate: f64,
    /// How long; without it until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// What all draws of the workload follow from; without it 1, or in a directory with data one not used yet.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Args, Debug)]
struct Run {
    /// A TOML file; flags win over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    serve: Serve,
}

/// More than one process.
#[derive(Args, Debug)]
struct Cluster {
    /// How many processes keep the views together, each of which reads its share of the partitions.
    #[arg(long, value_name = "N", requires = "hostfile", value_parser = clap::value_parser!(u16).range(1..=256))]
    processes: Option<u16>,
    /// Which one this is, from 0: that one leads, holds the data and answers; the others take all settings from it.
    #[arg(long, value_name = "I", requires = "processes")]
    process: Option<u16>,
    /// Where each process listens for the others: a line HOST:PORT each, on loopback or a private network.
    #[arg(long, value_name = "FILE", requires = "processes")]
    hostfile: Option<PathBuf>,
}

/// What `run` and `demo` have in common; nothing is filled in yet.
#[derive(Args, Debug, Default, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Serve {
    /// Where data is kept [default: ./tallyflow-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The catalogue: a shipped one (bss, core, retail) or a folder with tables/ and views/ [default: that of the data, else bss].
    #[arg(long, value_name = "NAME|DIR")]
    catalog: Option<String>,
    /// Where HTTP is answered [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where the PostgreSQL protocol is answered, such as 127.0.0.1:5433 [default: nowhere].
    #[arg(long, value_name = "ADDR")]
    pg: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    wire_flags: wire::Wire,
    #[arg(skip)]
    postgres_wire: wire::Wire,
    /// Worker threads [default: the number of processors; demo: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Events of a tick at most [default: 8192].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tick_events: Option<u32>,
    /// Partitions of a new log; one that is there keeps what it has. Each costs an fsync a commit [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    partitions: Option<u16>,
    /// How long the embedded log keeps what is in snapshots; it never loses what the oldest kept snapshot needs, and goes by whole files
    /// of 128 MiB [default: for good].
    #[arg(long, value_name = "TIME|off")]
    log_keep: Option<String>,
    /// How far events may be ahead of the clock before they are quarantined [default: 60s].
    #[arg(long, value_name = "TIME")]
    skew: Option<String>,
    #[command(flatten)]
    #[serde(skip)]
    kafka_flags: KafkaFlags,
    #[arg(skip)]
    kafka: Option<sources::kafka::KafkaConfig>,
    /// The stores outside, in the file only: `[[sink]]` with name, kind, views and what the kind takes.
    #[arg(skip)]
    sink: Vec<BTreeMap<String, toml::Value>>,
    /// What becomes of records that do not count, beside the table, where Kafka is the log; in the file only.
    #[arg(skip)]
    quarantine: config::DeadLetters,
    /// How far snapshots of the inputs are apart, so that a restart need not read the whole log; one is written at a clean end too; or
    /// off [default: 5m].
    #[arg(long, value_name = "TIME|off")]
    snapshot_every: Option<String>,
    /// How many snapshots are kept [default: 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    snapshots_kept: Option<u16>,
}

/// Kafka in place of the embedded log.
#[derive(Args, Debug, Default, Clone)]
struct KafkaFlags {
    /// Takes topics of Kafka as the log in place of the embedded one: HOST:PORT of one broker or several, with commas.
    #[arg(long = "kafka", value_name = "BROKERS")]
    brokers: Option<String>,
    /// The topics, with commas or several times; ^ begins a regular expression. Each is read from its first offset on.
    #[arg(long = "topic", value_name = "TOPIC", value_delimiter = ',')]
    topics: Vec<String>,
    /// The topic that POST /api/v1/events appends to [default: the first that is named in full].
    #[arg(long, value_name = "TOPIC")]
    produce_topic: Option<String>,
    /// A property of librdkafka, such as security.protocol=SASL_SSL; secrets as sasl.password=file:PATH or env:NAME.
    #[arg(long = "kafka-property", value_name = "KEY=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
}

#[derive(Args, Debug)]
struct Generate {
    /// How large: 1 is 5,000 customers and about a million events a month.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    sf: f64,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What all draws follow from: the same seed gives the same bytes.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The first day.
    #[arg(long, value_name = "DAY", default_value = "2026-01-01")]
    from: String,
    /// The day after the last.
    #[arg(long, value_name = "DAY", default_value = "2026-02-01")]
    to: String,
    /// Nothing late, doubled, corrected or malformed.
    #[arg(long)]
    plain: bool,
}

#[derive(Args, Debug)]
struct Replay {
    /// The files, in order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The catalogue: a shipped one (bss, core, retail) or a folder with tables/ and views/ [default: that of the data, else bss].
    #[arg(long, value_name = "NAME|DIR")]
    catalog: Option<String>,
    /// Worker threads [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Where the views are written, a CSV file each.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where data is kept; without it a temporary directory.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Events of a tick.
    #[arg(long, value_name = "N", default_value_t = REPLAY_TICK_EVENTS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..))]
    tick_events: u32,
    /// Leaves a snapshot at the end, so that `run` with the same data starts there.
    #[arg(long, requires = "data")]
    snapshot: bool,
    /// Shows what each view, arrangement and table took and holds, the most expensive first.
    #[arg(long)]
    costs: bool,
}

#[derive(Args, Debug)]
struct Explain {
    /// The name of a view, or a SELECT.
    #[arg(value_name = "VIEW|SQL")]
    what: String,
    /// The catalogue: a shipped one (bss, core, retail) or a folder with tables/ and views/.
    #[arg(long, value_name = "NAME|DIR", default_value = "bss")]
    catalog: String,
}

#[derive(Args, Debug)]
struct Check {
    /// Where data is kept.
    #[arg(long, value_name = "DIR", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// Compares the stores outside with the views instead, each at the time it holds.
    #[arg(long)]
    sinks: bool,
    /// Mends what differs in the stores.
    #[arg(long, requires = "sinks")]
    repair: bool,
    /// The TOML file that declares sinks, where no process runs.
    #[arg(long, value_name = "FILE", requires = "sinks")]
    config: Option<PathBuf>,
    /// The catalogue the data was made with; another is refused.
    #[arg(long, value_name = "NAME|DIR")]
    catalog: Option<String>,
    /// Worker threads [default: the number of processors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
}

/// What a command found, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Well,
    /// `check` found differences, which it printed.
    Differs,
}

impl Command {
    /// Does it.
    pub fn run(self) -> Result<Outcome, Error> {
        match self.act {
            Act::Demo(demo) => demo::run(demo).map(|()| Outcome::Well),
            Act::Run(run) => serve::run(run).map(|()| Outcome::Well),
            Act::Generate(generate) => generate::run(&generate).map(|()| Outcome::Well),
            Act::Serve(reads) => reads::run(reads).map(|()| Outcome::Well),
            Act::Replay(replay) => replay::run(replay).map(|()| Outcome::Well),
            Act::Explain(explain) => explain::run(&explain).map(|()| Outcome::Well),
            Act::Check(check) if check.sinks => stores::run(&check),
            Act::Check(check) => check::run(&check),
            Act::Backfill(backfill) => backfill::run(&backfill).map(|()| Outcome::Well),
            Act::Quarantine(quarantine) => quarantine::run(&quarantine).map(|()| Outcome::Well),
            Act::AcceptGap(accept) => gap::run(&accept).map(|()| Outcome::Well),
        }
    }
}

/// As many as there are processors, if none were asked for.
fn workers(asked: Option<u16>) -> usize {
    asked.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

/// `500ms`, `30s`, `5m` or `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("'{text}' is no time such as 500ms, 30s, 5m, 2h or 7d");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let number: u64 = text[..unit_at].parse().map_err(|_| refused())?;
    let unit_ms = match &text[unit_at..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(refused()),
    };
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(refused)
}

fn property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("'{text}' is no KEY=VALUE"))?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("'{text}' is no number of events above 0"))
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_numbers_have_commas() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in ["", "s", "5", "1.5s", "-3s", "5 s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Command::command().debug_assert();
    }
}
