//! The whole process under a live load: history brought in while events come, and a store that is away for a while.
//!
//! `cargo build --release`, then
//! `cargo run --release -p benches --bin live -- backfill FILE [RATE [WORKERS]]`: `tallyflow replay FILE` with the retail catalogue;
//! then `tallyflow demo` at RATE (1,000) events a second with that catalogue and a view of new customers, and
//! `tallyflow backfill FILE`. Prints both speeds, and how long live events took before and meanwhile.
//! `cargo run --release -p benches --bin live -- outage postgres|redis|none [MINUTES [RATE]]`: `tallyflow demo` at RATE (6,667) with
//! PostgreSQL and Redis as sinks, one of which is stopped for MINUTES (10). Prints the memory of the process, what waits, how far
//! both stores are behind, how long live events took, and how long the store took to catch up. With `none` no store is stopped: what
//! the process needs anyway, since it keeps what it saw.
//!
//! To be run in the workspace; TALLYFLOW names another binary than `target/release/tallyflow`, TALLYFLOW_BEFORE the seconds before
//! anything happens (20).
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const LOOK: Duration = Duration::from_millis(200);
/// A store that is no further behind has caught up.
const LEVEL_MS: f64 = 2_000.0;
const HANG: Duration = Duration::from_secs(900);
/// Something that live events change.
const LIVE: [&str; 2] = [
    "CREATE EXTERNAL TABLE customers (customer_id TEXT, country TEXT) STORED AS CLOUDEVENTS \
     LOCATION 'com.example.bss.customer.created.v1' OPTIONS ('mode' 'append', 'column.customer_id' 'data.customerId', \
     'column.country' 'data.country')",
    "CREATE MATERIALIZED VIEW customers_by_country AS SELECT country, count(*) AS n FROM customers GROUP BY country",
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |i: usize, usual: &str| arguments.get(i).cloned().unwrap_or_else(|| usual.to_owned());
    match (given(0, "").as_str(), arguments.get(1)) {
        ("backfill", Some(file)) => backfill(Path::new(file), &given(2, "1000"), &given(3, "2")),
        ("outage", Some(store)) => outage(store, given(2, "10").parse()?, &given(3, "6667")),
        _ => {
            Err("write backfill FILE [RATE [WORKERS]] or outage postgres|redis|none [MINUTES [RATE]]".into())
        }
    }
}

fn backfill(file: &Path, rate: &str, workers: &str) -> Outcome<()> {
    let replayed = Command::new(binary())
        .args(["replay", "--catalog", "retail", "--workers", workers])
        .arg(file)
        .output()?;
    let said = String::from_utf8_lossy(&replayed.stdout).replace([',', '_'], "");
    let word = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let (Some(events), Some(replay)) = (word("events read"), word("events/s")) else {
        return Err(format!("the replay failed: {}", String::from_utf8_lossy(&replayed.stderr)).into());
    };
    println!("replay:    {events:.0} events, {replay:.0} events/s with {workers} workers");
    let folder = Folder::new()?;
    // The demo's own tables have another mind of what a bill is.
    let server = Server::start(&folder, &["--catalog", "retail", "--rate", rate, "--workers", workers])?;
    LIVE.iter().try_for_each(|sql| server.sql(sql))?;
    std::thread::sleep(before()?);
    let quiet = server.seconds.lock().map_err(|_| "a thread panicked")?.len();
    let began = Instant::now();
    let brought = Command::new(binary()).arg("backfill").arg(file).args(["--url", &server.url()]).output()?;
    let took = began.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&brought.stdout).into_owned();
    if !brought.status.success() {
        return Err(String::from_utf8_lossy(&brought.stderr).into());
    }
    let speed = events / took;
    println!(
        "backfill:  {speed:.0} events/s, {:.0} % of the replay; {}",
        speed / replay * 100.0,
        said.trim()
    );
    let seconds = server.seconds.lock().map_err(|_| "a thread panicked")?;
    // The first seconds are those of a start.
    println!("live at {rate}/s before:    {}", Second::all(&seconds[quiet.min(5)..quiet]));
    println!("live at {rate}/s meanwhile: {}", Second::all(&seconds[quiet..]));
    Ok(())
}

fn outage(store: &str, minutes: f64, rate: &str) -> Outcome<()> {
    let folder = Folder::new()?;
    let stores = ["postgres", "redis"];
    let (none, store) = (store == "none", if store == "none" { stores[0] } else { store });
    if !stores.contains(&store) {
        return Err("the store is postgres or redis, or none".into());
    }
    stores.iter().try_for_each(|store| folder.service("start", store).map(|_| ()))?;
    let server = Server::start(&folder, &["--rate", rate])?;
    for store in stores {
        let url = folder.service("url", store)?;
        server.sql(&format!("CREATE SINK {store} FROM ALL INTO {store} WITH (url = '{url}')"))?;
    }
    std::thread::sleep(before()?);
    println!(
        "{:>8}  {:>8}  {:>12}  {:>12}  {:>12}  live",
        "seconds", "RSS MiB", "keys wait", "behind ms", "other ms"
    );
    let other = stores.iter().find(|other| **other != store).ok_or("there are two")?;
    let began = Instant::now();
    let line = |from: &mut usize| -> Outcome<()> {
        let figures = server.ask("GET", "/metrics", "", "")?;
        let of =
            |name: &str, sink: &str| figure(&figures, &format!("tallyflow_sink_{name}{{sink=\"{sink}\"}}"));
        let seconds = server.seconds.lock().map_err(|_| "a thread panicked")?;
        println!(
            "{:>8.0}  {:>8}  {:>12}  {:>12}  {:>12}  {}",
            began.elapsed().as_secs_f64(),
            server.rss_kib()? >> 10,
            of("waiting_keys", store),
            of("lag_ms", store),
            of("lag_ms", other),
            Second::all(&seconds[*from..])
        );
        *from = seconds.len();
        Ok(())
    };
    let mut from = 0;
    line(&mut from)?;
    if !none {
        folder.service("stop", store)?;
        println!("{store} is stopped");
    }
    let end = Instant::now() + Duration::from_secs_f64(60.0 * minutes);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_secs(30).min(end.saturating_duration_since(Instant::now())));
        line(&mut from)?;
    }
    if none {
        return Ok(());
    }
    folder.service("start", store)?;
    let (started, level) = (Instant::now(), format!("tallyflow_sink_lag_ms{{sink=\"{store}\"}}"));
    println!("{store} is started again");
    let mut reached = None;
    while reached.is_none() {
        std::thread::sleep(LOOK);
        let figures = server.ask("GET", "/metrics", "", "")?;
        reached = (figure(&figures, &level) < LEVEL_MS).then(|| started.elapsed());
        if started.elapsed() > HANG {
            return Err(format!("{store} does not catch up").into());
        }
    }
    line(&mut from)?;
    println!("{store} caught up in {:.1} s", reached.unwrap_or_default().as_secs_f64());
    std::thread::sleep(before()?);
    line(&mut from)
}

fn binary() -> String {
    std::env::var("TALLYFLOW").unwrap_or_else(|_| "target/release/tallyflow".into())
}

fn before() -> Outcome<Duration> {
    Ok(Duration::from_secs(std::env::var("TALLYFLOW_BEFORE").map_or(Ok(20), |text| text.parse())?))
}

/// A sample of the Prometheus text; NaN where there is none.
fn figure(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
}

/// A directory that goes with the stores in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Outcome<Folder> {
        // Not under the home directory: PostgreSQL's user must be able to enter it.
        let path = PathBuf::from(format!("/var/tmp/tallyflow-live-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Folder(path))
    }

    /// What `harness/services` answers. A store ends with this process.
    fn service(&self, verb: &str, store: &str) -> Outcome<String> {
        let output = Command::new("harness/services")
            .args([verb, store])
            .arg(self.0.join(store))
            .env("TALLYFLOW_OWNER", std::process::id().to_string())
            .output()?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for store in ["postgres", "redis"] {
            if self.0.join(store).exists() {
                _ = self.service("remove", store);
            }
        }
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the demo says of one second of live events, in milliseconds.
#[derive(Clone, Copy)]
struct Second {
    p50: f64,
    p99: f64,
}

impl Second {
    fn read(line: &str) -> Option<Second> {
        let after = |name: &str| line.split(name).nth(1)?.split_whitespace().next()?.parse().ok();
        Some(Second { p50: after("p50")?, p99: after("p99")? })
    }

    fn all(seconds: &[Second]) -> String {
        let middle = |of: fn(&Second) -> f64| {
            let mut all: Vec<f64> = seconds.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            (all.get(all.len() / 2).copied().unwrap_or(f64::NAN), all.last().copied().unwrap_or(f64::NAN))
        };
        let (p50, (p99, most)) = (middle(|second| second.p50).0, middle(|second| second.p99));
        format!(
            "p50 {p50:.1} ms, p99 {p99:.1} ms (medians of {} seconds), greatest p99 {most:.1} ms",
            seconds.len()
        )
    }
}

/// A demo. It is killed when it is dropped.
struct Server {
    child: Child,
    address: String,
    seconds: Arc<Mutex<Vec<Second>>>,
}

impl Server {
    fn start(folder: &Folder, arguments: &[&str]) -> Outcome<Server> {
        let mut command = Command::new(binary());
        command
            .args(["demo", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .arg("--data")
            .arg(folder.0.join("data"));
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut address = None;
        while address.is_none() {
            let line = lines.next().ok_or("the demo did not start")??;
            address = line.split("http://").nth(1).map(|address| address.trim().to_owned());
        }
        let seconds: Arc<Mutex<Vec<Second>>> = Arc::default();
        let list = seconds.clone();
        std::thread::spawn(move || {
            for second in lines.map_while(Result::ok).filter_map(|line| Second::read(&line)) {
                if let Ok(mut list) = list.lock() {
                    list.push(second);
                }
            }
        });
        Ok(Server { child, address: address.ok_or("no address")?, seconds })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn rss_kib(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().next().ok_or("no number")?.parse()?)
    }

    /// The body of an answer that is well.
    fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> Outcome<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        match text.starts_with("HTTP/1.1 2") {
            true => Ok(text),
            false => Err(text.into()),
        }
    }

    fn sql(&self, sql: &str) -> Outcome<()> {
        let began = Instant::now();
        let body = format!(
            "{{\"sql\":\"{}\"}}",
            sql.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
        );
        loop {
            match self.ask("POST", "/api/v1/sql", "application/json", &body) {
                // Declarations wait until the process is ready.
                Err(why) if why.to_string().starts_with("HTTP/1.1 503") && began.elapsed() < HANG => {
                    std::thread::sleep(LOOK);
                }
                done => return done.map(|_| ()),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
