//! Figures of the process in the Prometheus text format.
use crate::publish::Latency;
use crate::ticker::Shared;
use dataflows::{Position, Time};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Figures of the last tick.
#[derive(Default)]
pub struct Gauges {
    ticks: AtomicU64,
    time: AtomicU64,
    records: AtomicU64,
    ticked_us: AtomicU64,
    pace_us: AtomicU64,
}

impl Gauges {
    /// A tick was told to the engine.
    pub fn ticked(&self, time: Time, records: u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        let before = self.ticked_us.swap(now, Ordering::Relaxed);
        self.pace_us.store(if before == 0 { 0 } else { now.saturating_sub(before) }, Ordering::Relaxed);
        self.ticks.fetch_add(1, Ordering::Relaxed);
        self.time.store(time, Ordering::Relaxed);
        self.records.store(records, Ordering::Relaxed);
    }

    /// How many ticks there were.
    pub fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }
}

/// All figures as text.
pub fn render(shared: &Shared, read: &[Position], latency: &Latency) -> String {
    let mut out = String::new();
    intake(shared, &mut out);
    let gauges = &shared.gauges;
    let load = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed) as f64;
    family(&mut out, "tallyflow_ticks_total", "counter", "Ticks made.");
    sample(&mut out, "tallyflow_ticks_total", "", load(&gauges.ticks));
    family(&mut out, "tallyflow_tick_events", "gauge", "Records of the last tick.");
    sample(&mut out, "tallyflow_tick_events", "", load(&gauges.records));
    family(&mut out, "tallyflow_tick_pace_ms", "gauge", "Milliseconds between the last two ticks.");
    sample(&mut out, "tallyflow_tick_pace_ms", "", load(&gauges.pace_us) / 1e3);
    family(&mut out, "tallyflow_time", "gauge", "The logical clock: milliseconds since 1970.");
    sample(&mut out, "tallyflow_time", "", load(&gauges.time));
    family(
        &mut out,
        "tallyflow_ticks_underway",
        "gauge",
        "Ticks told to the engine that readers do not see yet.",
    );
    sample(&mut out, "tallyflow_ticks_underway", "", shared.underway.len() as f64);
    family(&mut out, "tallyflow_backlog_records", "gauge", "Records in the log that readers do not see yet.");
    sample(&mut out, "tallyflow_backlog_records", "", backlog(&shared.log.ends(), read) as f64);
    histogram(latency, &mut out);
    if let Some(engine) = shared.engine.read().expect("no thread panics with the engine").as_ref() {
        let figures = engine.metrics();
        let families = [
            ("tallyflow_state_rows", "Rows of state that a table's, view's or arrangement's operators hold."),
            ("tallyflow_history_rows", "Rows kept of a table or view for those that read it later."),
        ];
        for (name, help) in families {
            family(&mut out, name, "gauge", help);
            let own = figures.iter().filter(|(figure, _)| figure.split('{').next() == Some(name));
            own.for_each(|(figure, value)| sample(&mut out, figure, "", *value));
        }
    }
    process(&mut out);
    out
}

/// How many records lie between two positions.
pub fn backlog(ends: &[Position], read: &[Position]) -> u64 {
    let offset = |partition| read.iter().find(|p| p.partition == partition).map_or(0, |p| p.offset);
    ends.iter().map(|end| end.offset.saturating_sub(offset(end.partition))).sum()
}

/// The greatest resident memory of this process so far, in bytes.
pub fn peak_rss_bytes() -> u64 {
    usage().ru_maxrss as u64 * 1024
}

/// The processor time of this process so far, in seconds.
pub fn cpu_seconds() -> f64 {
    let usage = usage();
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn usage() -> libc::rusage {
    // SAFETY: rusage is plain numbers, for which zero is a value, and the pointer is to our own.
    unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    }
}

fn intake(shared: &Shared, out: &mut String) {
    let intake = shared.intake.lock().expect("no thread panics with the intake");
    let counts = intake.counts().clone();
    let remembered = intake.remembered();
    drop(intake);
    family(out, "tallyflow_events_total", "counter", "Records read, by what became of them.");
    let outcomes = [
        ("accepted", counts.accepted),
        ("duplicate", counts.duplicates),
        ("quarantined", counts.rejected()),
        ("verdict", counts.verdicts),
    ];
    for (outcome, count) in outcomes {
        sample(out, "tallyflow_events_total", &label("outcome", outcome), count as f64);
    }
    family(out, "tallyflow_quarantined_total", "counter", "Records in quarantine, by the rule they break.");
    for (rule, count) in &counts.quarantined {
        sample(out, "tallyflow_quarantined_total", &label("rule", rule), *count as f64);
    }
    family(out, "tallyflow_unmatched_total", "counter", "Accepted events that no table takes, by type.");
    for (event_type, count) in &counts.unmatched {
        sample(out, "tallyflow_unmatched_total", &label("type", event_type), *count as f64);
    }
    family(out, "tallyflow_bytes_total", "counter", "Bytes of the records read.");
    sample(out, "tallyflow_bytes_total", "", counts.bytes as f64);
    family(out, "tallyflow_remembered_events", "gauge", "Events remembered to recognise duplicates.");
    sample(out, "tallyflow_remembered_events", "", remembered as f64);
}

fn histogram(latency: &Latency, out: &mut String) {
    let name = "tallyflow_latency_seconds";
    family(out, name, "histogram", "From the call that appends events until they can be read.");
    let (mut below, counts) = (0, latency.counts());
    for (bucket, count) in counts.iter().enumerate() {
        below += count;
        // One bound for each doubling from 0.5 ms to 4 min; the finer ones are for the live page.
        if bucket % 8 == 7 && (64..224).contains(&bucket) {
            let bound = label("le", &Latency::bucket_end(bucket).to_string());
            sample(out, "tallyflow_latency_seconds_bucket", &bound, below as f64);
        }
    }
    sample(out, "tallyflow_latency_seconds_bucket", &label("le", "+Inf"), below as f64);
    sample(out, "tallyflow_latency_seconds_sum", "", latency.sum_seconds());
    sample(out, "tallyflow_latency_seconds_count", "", below as f64);
}

fn process(out: &mut String) {
    family(out, "process_cpu_seconds_total", "counter", "Processor time used.");
    sample(out, "process_cpu_seconds_total", "", cpu_seconds());
    family(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
    sample(out, "process_resident_memory_bytes", "", rss_bytes() as f64);
    family(out, "tallyflow_peak_memory_bytes", "gauge", "The greatest resident memory so far.");
    sample(out, "tallyflow_peak_memory_bytes", "", peak_rss_bytes() as f64);
}

fn rss_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    // SAFETY: sysconf reads a constant of the system.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(0) as u64
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn sample(out: &mut String, name: &str, labels: &str, value: f64) {
    _ = writeln!(out, "{name}{labels} {value}");
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{{{name}=\"{value}\"}}")
}
