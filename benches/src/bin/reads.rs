//! Reads of the HTTP API while events come: rows by their keys, and lists.
//!
//! `tallyflow demo --listen 127.0.0.1:8080 &`, then `cargo run --release -p benches --bin reads [-- ADDR SECONDS CONNECTIONS DEPTH VIEW]`
//!
//! Takes up to 1,000 keys of the view (`customers`), then has so many connections (4) ask for rows by key for so long (10 s). Each
//! has `DEPTH` requests (16) under way, as clients that pipeline or proxies that gather requests do; 1 is one after the other. Then
//! two connections ask for filtered and ordered pages of 50 rows, 100 in a second. Prints requests a second, p50, p99 and the
//! greatest latency of each; latencies of the first are those of a whole round of `DEPTH` requests. Every answer must be a 200.
//! The client is a process of its own on the same machine: its share of the processor is printed beside the server's figures.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const KEYS: usize = 1_000;
const LISTS_A_SECOND: u32 = 100;
const LIST_CONNECTIONS: u32 = 2;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let address: Arc<str> = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into()).into();
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse());
    let (seconds, connections, depth) = (number(10)?, number(4)?, number(16)? as usize);
    let view = arguments.next().unwrap_or_else(|| "customers".into());
    let (key, keys) = keys(&address, &view)?;
    println!(
        "{} keys of {view} ({key}), {connections} connections, {depth} requests under way on each",
        keys.len()
    );
    let paths: Arc<Vec<String>> =
        Arc::new(keys.iter().map(|key| format!("/api/v1/views/{view}/{key}")).collect());
    let began = processor();
    let rounds = together(connections, |i| {
        let (address, paths) = (address.clone(), paths.clone());
        move || points(&address, &paths, i as usize * 7_919, depth, Duration::from_secs(seconds))
    })?;
    let requests = rounds.len() * depth;
    println!("rows by key: {:.0} a second", requests as f64 / seconds as f64);
    report("  a round", rounds);
    println!("  the client took {:.0} % of a core", 100.0 * (processor() - began) / seconds as f64);
    let pages: Arc<Vec<String>> = Arc::new(vec![
        format!("/api/v1/views/{view}?limit=50"),
        format!("/api/v1/views/{view}?limit=50&order=-{key}"),
        format!("/api/v1/views/{view}?limit=50&{key}={}", keys[keys.len() / 2]),
    ]);
    let pace = Duration::from_secs(1) * LIST_CONNECTIONS / LISTS_A_SECOND;
    let lists = together(u64::from(LIST_CONNECTIONS), |_| {
        let (address, pages) = (address.clone(), pages.clone());
        move || paced(&address, &pages, pace, Duration::from_secs(seconds))
    })?;
    println!("lists: {:.0} a second", lists.len() as f64 / seconds as f64);
    report("  a list", lists);
    Ok(())
}

/// What each of some threads measured.
fn together<F: FnOnce() -> Outcome<Vec<Duration>> + Send + 'static>(
    count: u64,
    act: impl Fn(u64) -> F,
) -> Outcome<Vec<Duration>> {
    let threads: Vec<_> = (0..count).map(|i| std::thread::spawn(act(i))).collect();
    let mut all = vec![];
    for thread in threads {
        all.extend(thread.join().map_err(|_| "a client ended")??);
    }
    Ok(all)
}

/// Rounds of requests for one row each, for a while.
fn points(
    address: &str,
    paths: &[String],
    from: usize,
    depth: usize,
    length: Duration,
) -> Outcome<Vec<Duration>> {
    let mut connection = connect(address)?;
    let (mut next, mut requests, mut body, mut took) = (from, vec![], vec![], vec![]);
    let began = Instant::now();
    while began.elapsed() < length {
        requests.clear();
        for _ in 0..depth {
            write!(requests, "GET {} HTTP/1.1\r\nHost: {address}\r\n\r\n", paths[next % paths.len()])?;
            next += 1;
        }
        let asked = Instant::now();
        connection.get_mut().write_all(&requests)?;
        for _ in 0..depth {
            answer(&mut connection, &mut body)?;
        }
        took.push(asked.elapsed());
    }
    Ok(took)
}

/// One request after the other, each at its time; one that is late has waited since then.
fn paced(address: &str, paths: &[String], pace: Duration, length: Duration) -> Outcome<Vec<Duration>> {
    let mut connection = connect(address)?;
    let (mut body, mut took) = (vec![], vec![]);
    let began = Instant::now();
    let mut due = began;
    while due - began < length {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let path = &paths[took.len() % paths.len()];
        connection
            .get_mut()
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
        answer(&mut connection, &mut body)?;
        took.push(due.elapsed());
        due += pace;
    }
    Ok(took)
}

/// The name of a view's key column and some of its keys, as they stand in a path.
fn keys(address: &str, view: &str) -> Outcome<(String, Vec<String>)> {
    let mut connection = connect(address)?;
    let mut body = vec![];
    let mut ask = |path: &str| -> Outcome<String> {
        connection
            .get_mut()
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
        answer(&mut connection, &mut body)?;
        Ok(String::from_utf8(body.clone())?)
    };
    let about = ask("/api/v1/views")?;
    let about =
        about.split(&format!("\"name\":\"{view}\",\"columns\"")).nth(1).ok_or("there is no such view")?;
    let named = about.split("\"key\":[\"").nth(1).and_then(|rest| rest.split('"').next());
    let name = named.ok_or("the view has no key")?.to_owned();
    let rows = ask(&format!("/api/v1/views/{view}?limit={KEYS}"))?;
    let start = format!("\"{name}\":\"");
    let found = rows.split(&start).skip(1).filter_map(|rest| rest.split('"').next());
    let keys: Vec<String> = found.filter(|key| key.bytes().all(plain)).map(str::to_owned).collect();
    if keys.is_empty() {
        return Err(format!("no row of {view} has a plain text as {name}").into());
    }
    Ok((name, keys))
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

fn connect(address: &str) -> Outcome<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(BufReader::with_capacity(1 << 16, stream))
}

/// Reads one answer; its body takes the place of the one before.
fn answer(connection: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Outcome<()> {
    let (mut line, mut length, mut is_first) = (String::new(), None, true);
    loop {
        line.clear();
        if connection.read_line(&mut line)? == 0 {
            return Err("the server closed the connection".into());
        }
        if is_first && !line.starts_with("HTTP/1.1 200") {
            return Err(format!("the answer is {line:?}").into());
        }
        is_first = false;
        if line == "\r\n" {
            break;
        }
        if let Some((_, value)) =
            line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        {
            length = Some(value.trim().parse()?);
        }
    }
    body.resize(length.ok_or("an answer has no length")?, 0);
    connection.read_exact(body)?;
    Ok(())
}

fn report(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    if !took.is_empty() {
        println!("{what}: p50 {:.2} ms, p99 {:.2} ms, greatest {:.2} ms", at(0.5), at(0.99), at(1.0));
    }
}

/// Seconds of processor time that this process took.
fn processor() -> f64 {
    // Fields 14 and 15 of proc(5), in hundredths of a second; the name before them may hold blanks.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
