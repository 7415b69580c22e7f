//! From an event's POST to its change on a server-sent stream, at a running process with the bss catalogue.
//!
//! `tallyflow demo --listen 127.0.0.1:8080 &`, then `cargo run --release -p benches --bin latency [-- ADDR SAMPLES [URL [SCHEMA]]]`
//!
//! One connection posts a new customer every 50 ms, another follows `/api/v1/views/customers/changes`. Prints p50, p90, p99 and the
//! greatest latency in milliseconds; what is measured includes the request, the fsync and both connections.
//!
//! With a third argument, the URL of a PostgreSQL that a sink of the process writes to, and a fourth, the schema there
//! (`tallyflow`): until the row can be read in PostgreSQL, asked once a millisecond; and where the time goes: the request, and by
//! the figures of the process the means of appending to the log, of a tick, and of all until readers see an event. Where Kafka is
//! the log, the request ends when all of its brokers have the event.
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    let samples: usize = arguments.next().map_or(Ok(200), |n| n.parse())?;
    let store = arguments.next();
    let schema = arguments.next().unwrap_or_else(|| "tallyflow".into());
    // Ids that no earlier run used.
    let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    if let Some(url) = store {
        let ids = (0..samples).map(|i| format!("bench-{run}-{i}"));
        return tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(stored(&address, &url, &schema, ids));
    }
    let (ready, started) = channel();
    let (seen, arrivals) = channel();
    let prefix = format!("bench-{run}-");
    let (follower, wanted) = (address.clone(), prefix.clone());
    std::thread::spawn(move || {
        if let Err(why) = follow(&follower, &wanted, &ready, &seen) {
            eprintln!("cannot follow the changes at {follower}: {why}");
        }
    });
    started.recv()?;
    let mut sent = HashMap::new();
    let mut connection = BufReader::new(TcpStream::connect(&address)?);
    connection.get_ref().set_nodelay(true)?;
    for i in 0..samples {
        let id = format!("{prefix}{i}");
        sent.insert(id.clone(), Instant::now());
        post(&mut connection, &address, &id)?;
        std::thread::sleep(Duration::from_millis(50));
    }
    report(&sent, &arrivals, samples)
}

/// One event after the other: from its POST until PostgreSQL shows its row.
async fn stored(address: &str, url: &str, schema: &str, ids: impl Iterator<Item = String>) -> Outcome<()> {
    let (client, driver) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(driver);
    let row = format!("SELECT 1 FROM \"{schema}\".customers WHERE customer_id = $1");
    let row = client.prepare(&row).await?;
    let mut connection = BufReader::new(TcpStream::connect(address)?);
    connection.get_ref().set_nodelay(true)?;
    let (mut latencies, mut requests) = (vec![], vec![]);
    let before = spent(address)?;
    for id in ids {
        let sent = Instant::now();
        post(&mut connection, address, &id)?;
        requests.push(sent.elapsed().as_secs_f64() * 1e3);
        while client.query_opt(&row, &[&id]).await?.is_none() {
            if sent.elapsed() > Duration::from_secs(10) {
                return Err(format!("{id} is not in PostgreSQL after 10 s").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        latencies.push(sent.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(50).saturating_sub(sent.elapsed())).await;
    }
    let after = spent(address)?;
    print("until PostgreSQL shows it", latencies);
    print("  of these the request", requests);
    for (name, (seconds, count)) in &after {
        let (earlier, of) = before.get(name).copied().unwrap_or_default();
        println!("  {name}: mean {:.1} ms of {:.0}", (seconds - earlier) * 1e3 / (count - of), count - of);
    }
    Ok(())
}

/// What stages took of all events and ticks so far: seconds, and how many.
fn spent(address: &str) -> Outcome<BTreeMap<String, (f64, f64)>> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let figure = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok())
    };
    let stages = ["append", "tick", "latency"].into_iter().filter_map(|stage| {
        let name = format!("tallyflow_{stage}_seconds");
        let (sum, count) = (figure(&format!("{name}_sum"))?, figure(&format!("{name}_count"))?);
        Some((name, (sum, count)))
    });
    Ok(stages.collect())
}

fn post(connection: &mut BufReader<TcpStream>, address: &str, id: &str) -> Outcome<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    // Some second of this day in the past: the time of day means nothing here.
    let (minute, second) = (now / 60 % 60, now % 60);
    let body = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"{id}\",\"source\":\"/bench\",\"type\":\"com.example.bss.customer.created.v1\",\
         \"time\":\"2026-01-01T00:{minute:02}:{second:02}Z\",\"entityversion\":1,\
         \"data\":{{\"customerId\":\"{id}\",\"name\":\"Bench\",\"country\":\"GB\",\"status\":\"active\"}}}}"
    );
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/cloudevents+json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.get_mut().write_all((head + &body).as_bytes())?;
    let mut line = String::new();
    connection.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 202") {
        return Err(format!("POST /api/v1/events answered {line}").into());
    }
    let mut length = 0;
    while line != "\r\n" {
        line.clear();
        connection.read_line(&mut line)?;
        if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse()?;
        }
    }
    connection.read_exact(&mut vec![0; length])?;
    Ok(())
}

fn follow(address: &str, prefix: &str, ready: &Sender<()>, seen: &Sender<(String, Instant)>) -> Outcome<()> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /api/v1/views/customers/changes HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        // The snapshot ends with a commit: from there on changes are live.
        if line.starts_with("event: commit") {
            _ = ready.send(());
        }
        if let Some(at) = line.find(prefix) {
            let id: String = line[at..].chars().take_while(|c| *c != '"').collect();
            seen.send((id, Instant::now()))?;
        }
    }
    Ok(())
}

fn report(
    sent: &HashMap<String, Instant>,
    arrivals: &Receiver<(String, Instant)>,
    samples: usize,
) -> Outcome<()> {
    let mut latencies: Vec<f64> = Vec::new();
    while latencies.len() < samples {
        let (id, arrived) = arrivals.recv_timeout(Duration::from_secs(5))?;
        let started = sent.get(&id).ok_or("a change of an event that was not sent")?;
        latencies.push(arrived.duration_since(*started).as_secs_f64() * 1e3);
    }
    print("until its change is on the stream", latencies);
    Ok(())
}

fn print(what: &str, mut latencies: Vec<f64>) {
    latencies.sort_by(f64::total_cmp);
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    println!(
        "{what}, {} events: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, greatest {:.1} ms",
        latencies.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}
