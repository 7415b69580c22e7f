//! `tallyflow demo`: the same process with a generated workload, and a page that shows it live.
use super::Demo;
use super::config::settle;
use super::live::Live;
use super::serve::Server;
use crate::Error;
use crate::data::Data;
use crate::host::Process;
use queries::api::host::Host;
use sources::Payload;
use sources::generate::{Generator, GeneratorConfig, Pace, Shares};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Events come in small groups, as they would from a few writers.
const BREATH: Duration = Duration::from_millis(10);
/// So many a group at most, when the generator has to catch up.
const GROUP_MAX: u64 = 10_000;
/// Enough that five attempts to pay within ten minutes stay rare at the rate of the demo.
const CUSTOMERS: u32 = 100_000;
/// One worker keeps up with the demo many times over; each further one has its price at every tick.
const WORKERS: usize = 1;

/// A few views of the business: the whole of `bss` is for machines with nothing else to do.
const CATALOGUE: &str = "core";

pub(super) fn run(demo: Demo) -> Result<(), Error> {
    let mut settled = settle(demo.serve, WORKERS)?;
    if settled.catalogue.is_none() && Data::catalogue_of(&settled.data)?.is_none() {
        settled.catalogue = Some(CATALOGUE.to_owned());
    }
    let server = Server::open(&settled)?;
    let now_ms = (settled.setting.wall)();
    let config = GeneratorConfig {
        seed: demo.seed.unwrap_or(1),
        start_ms: now_ms,
        rate: demo.rate,
        customers: CUSTOMERS,
        shares: Shares::default(),
    };
    let writer = Writer::start(config, server.pipeline.process().clone());
    let live = Live::start(&server, writer.sent.clone(), demo.rate);
    let over = async {
        match demo.duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let stop = writer.stop.clone();
    server.serve(over, move || {
        stop.store(true, Ordering::Release);
        writer.thread.join().ok();
        live.finish();
    })
}

/// The thread that writes the workload.
struct Writer {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Writer {
    fn start(config: GeneratorConfig, process: Arc<Process>) -> Writer {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), sent.clone());
        let write = move || write(config, &process, &stopped, &count);
        let thread = std::thread::Builder::new()
            .name("generator".into())
            .spawn(write)
            .expect("threads can be started");
        Writer { stop, sent, thread }
    }
}

fn write(config: GeneratorConfig, process: &Process, stop: &AtomicBool, sent: &Arc<AtomicU64>) {
    let mut pace = Pace::new(config.rate);
    let mut generator = Generator::new(config);
    let start = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let mut due = pace.due(start.elapsed());
        while due > 0 && !stop.load(Ordering::Acquire) {
            let group = due.min(GROUP_MAX);
            due -= group;
            let events: Vec<Payload> =
                generator.by_ref().take(group as usize).map(|event| event.payload).collect();
            let sent = sent.clone();
            let done = move |result: Result<Vec<_>, queries::api::host::AppendError>| match result {
                Ok(positions) => _ = sent.fetch_add(positions.len() as u64, Ordering::Relaxed),
                Err(why) => report!("tallyflow: cannot append generated events: {why:?}"),
            };
            process.append(events, Box::new(done));
        }
        std::thread::sleep(BREATH);
    }
}
