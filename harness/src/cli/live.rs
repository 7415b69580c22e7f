//! The live page of `demo`: redrawn twice a second on a terminal, a line a second elsewhere.
use super::grouped;
use super::serve::Server;
use crate::feed::Feed;
use crate::host::Process;
use crate::metrics;
use crate::publish::{Latency, Visible};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use dataflows::value::Value;
use sinks::memory::Memory;
use sinks::memory::kept::Kept;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const REDRAW: Duration = Duration::from_millis(500);
const LINE: Duration = Duration::from_secs(1);
const VIEWS_SHOWN: usize = 3;
const ROWS_SHOWN: usize = 5;
const CELL_WIDTH_MAX: usize = 24;
const WIDTH_DEFAULT: usize = 100;

/// The thread that shows.
pub(super) struct Live {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Live {
    pub(super) fn start(server: &Server, sent: Arc<AtomicU64>, rate: f64) -> Live {
        let (stop, stopped) = bounded(1);
        let mut page = Page {
            process: server.pipeline.process().clone(),
            memory: server.pipeline.memory().clone(),
            visible: server.pipeline.visible().clone(),
            log: server.pipeline.log().clone(),
            sent,
            address: server.address.clone(),
            rate,
            start: Instant::now(),
            last: (Instant::now(), 0, vec![], 0.0),
        };
        let terminal = std::io::stdout().is_terminal();
        let show = move || {
            let every = if terminal { REDRAW } else { LINE };
            if !terminal {
                tell!("tallyflow: listening on http://{}", page.address);
            }
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
                let figures = page.figures();
                let text = if terminal { page.page(&figures) } else { figures.line() };
                // Nobody may be reading any more: the demo goes on.
                _ = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
            }
            tell!("{}", page.closing());
        };
        let thread =
            std::thread::Builder::new().name("live".into()).spawn(show).expect("threads can be started");
        Live { stop, thread }
    }

    pub(super) fn finish(self) {
        _ = self.stop.send(());
        _ = self.thread.join();
    }
}

struct Page {
    process: Arc<Process>,
    memory: Arc<Memory>,
    visible: Arc<Visible>,
    log: Feed,
    sent: Arc<AtomicU64>,
    address: String,
    rate: f64,
    start: Instant,
    /// When figures were taken last, and the sent events, latency counts and processor seconds of then.
    last: (Instant, u64, Vec<u64>, f64),
}

struct Figures {
    seconds: u64,
    events_per_second: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    rows: u64,
    backlog: u64,
    cpu_percent: f64,
}

impl Page {
    fn figures(&mut self) -> Figures {
        let (sent, counts, cpu) =
            (self.sent.load(Ordering::Relaxed), self.process.latency().counts(), metrics::cpu_seconds());
        let (then, sent_then, counts_then, cpu_then) =
            std::mem::replace(&mut self.last, (Instant::now(), sent, counts.clone(), cpu));
        let elapsed = then.elapsed().as_secs_f64().max(0.001);
        let since: Vec<u64> =
            counts.iter().enumerate().map(|(i, count)| count - counts_then.get(i).unwrap_or(&0)).collect();
        let read = self.memory.read();
        Figures {
            seconds: self.start.elapsed().as_secs(),
            events_per_second: ((sent - sent_then) as f64 / elapsed).round() as u64,
            p50_ms: Latency::quantile(&since, 0.5).map(|seconds| seconds * 1e3),
            p99_ms: Latency::quantile(&since, 0.99).map(|seconds| seconds * 1e3),
            rows: read.views().map(|kept| kept.rows().totals().rows).sum(),
            backlog: metrics::backlog(&self.log.ends(), &self.visible.now().positions),
            cpu_percent: (cpu - cpu_then) / elapsed * 100.0,
        }
    }

    fn page(&self, figures: &Figures) -> String {
        let mut out = format!("tallyflow demo  {} s, {} events/s asked\n", figures.seconds, self.rate);
        out.push_str(&figures.line());
        let read = self.memory.read();
        // Short views say the most in the fewest rows.
        let mut shown: Vec<&Kept> = read.views().filter(|kept| kept.rows().totals().rows > 0).collect();
        shown.sort_by_key(|kept| kept.rows().totals().rows);
        for kept in shown.into_iter().take(VIEWS_SHOWN) {
            let name = &kept.shape().view().name;
            _ = writeln!(out, "\n{name}: {} rows", grouped(kept.rows().totals().rows));
            table(kept, &mut out);
        }
        let names: Vec<&str> = read.views().map(|kept| &*kept.shape().view().name).collect();
        _ = writeln!(out, "\nviews: {}", names.join(", "));
        _ = writeln!(out, "read more: http://{0}/  and  curl http://{0}/api/v1/views", self.address);
        on_screen(&out, width())
    }

    fn closing(&self) -> String {
        let counts = self.process.latency().counts();
        let ms = |share| {
            Latency::quantile(&counts, share).map_or("-".into(), |seconds| format!("{:.1} ms", seconds * 1e3))
        };
        let seconds = self.start.elapsed().as_secs_f64();
        let sent = self.sent.load(Ordering::Relaxed);
        format!(
            "{} events in {seconds:.1} s ({} events/s), latency p50 {} p99 {}, {:.0} % of a processor, peak RSS {} MiB",
            grouped(sent),
            grouped((sent as f64 / seconds) as u64),
            ms(0.5),
            ms(0.99),
            metrics::cpu_seconds() / seconds * 100.0,
            metrics::peak_rss_bytes() >> 20
        )
    }
}

impl Figures {
    fn line(&self) -> String {
        let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        format!(
            "{:>4} s  {:>9} events/s  latency p50 {:>8}  p99 {:>8}  {:>10} rows  {:>7} behind  {:>3.0} % cpu\n",
            self.seconds,
            grouped(self.events_per_second),
            ms(self.p50_ms),
            ms(self.p99_ms),
            grouped(self.rows),
            grouped(self.backlog),
            self.cpu_percent
        )
    }
}

/// In place of what the terminal shows: each line cut to its width, the rest of the line and of the screen cleared.
fn on_screen(text: &str, width: usize) -> String {
    let mut out = String::from("\x1b[H");
    for line in text.lines() {
        out.extend(line.chars().take(width));
        out.push_str("\x1b[K\n");
    }
    out + "\x1b[J"
}

/// The columns of the terminal.
fn width() -> usize {
    // SAFETY: winsize is plain numbers, for which zero is a value, and the pointer is to our own.
    let columns = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size);
        size.ws_col
    };
    if columns == 0 { WIDTH_DEFAULT } else { usize::from(columns) }
}

/// The first rows of a view, by key.
fn table(kept: &Kept, out: &mut String) {
    let names = kept.shape().view().schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut lines: Vec<Vec<String>> = vec![names];
    for entry in kept.rows().iter().take(ROWS_SHOWN) {
        lines.push(kept.shape().values(entry.row).map(cell).collect());
    }
    let columns = lines[0].len();
    let widths: Vec<usize> = (0..columns)
        .map(|i| lines.iter().map(|line| line[i].chars().count()).max().unwrap_or(0).min(CELL_WIDTH_MAX))
        .collect();
    for line in &lines {
        for (text, width) in line.iter().zip(&widths) {
            let text: String = text.chars().take(*width).collect();
            _ = write!(out, "  {text:<width$}");
        }
        out.push('\n');
    }
}

/// Without control characters: a value must not steer the terminal.
fn cell(value: Value<'_>) -> String {
    let mut text = String::new();
    value.write_text(&mut text);
    text.chars().map(|c| if c.is_control() { '.' } else { c }).collect()
}
