//! Figures of the process in the Prometheus text format.
use crate::feed::Feed;
use crate::publish::{Latency, Spent};
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
    elsewhere(shared, &mut out);
    log(shared, &mut out);
    histogram(latency, &mut out);
    let help = "From the engine being told of a tick until readers see it.";
    spent("tallyflow_tick_seconds", help, shared.visible.ticks(), &mut out);
    snapshots(&shared.snapshots.now(), &mut out);
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
    sinks(shared, &mut out);
    process(&mut out);
    out
}

/// What other processes read of the log.
fn elsewhere(shared: &Shared, out: &mut String) {
    let Some(parts) = &shared.parts else { return };
    let name = "tallyflow_process_records_total";
    family(out, name, "counter", "Records that a process that follows was asked to read and decode.");
    for (process, records) in parts.records() {
        sample(out, name, &label("process", &process.to_string()), records as f64);
    }
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

/// What each sink did, and how far its store is.
fn sinks(shared: &Shared, out: &mut String) {
    let list = crate::outlets::serve::list(shared);
    let figures: Vec<_> = shared.outlets.all().iter().map(|running| running.outlet().figures()).collect();
    let families: [(&str, &str, &str, Vec<f64>); 8] = [
        (
            "tallyflow_sink_lag_ms",
            "gauge",
            "How far a store is behind what readers see, in engine time.",
            list.iter().map(|sink| sink.lag_ms.map_or(f64::NAN, |lag| lag as f64)).collect(),
        ),
        (
            "tallyflow_sink_waiting_keys",
            "gauge",
            "Changed keys that wait for a store.",
            list.iter().map(|sink| sink.waiting_keys as f64).collect(),
        ),
        (
            "tallyflow_sink_up",
            "gauge",
            "Whether deliveries reach a store.",
            list.iter().map(|sink| if sink.state == "running" { 1.0 } else { 0.0 }).collect(),
        ),
        (
            "tallyflow_sink_deliveries_total",
            "counter",
            "Deliveries that a store keeps.",
            figures.iter().map(|figures| figures.deliveries as f64).collect(),
        ),
        (
            "tallyflow_sink_reloads_total",
            "counter",
            "Views sent whole.",
            figures.iter().map(|figures| figures.whole as f64).collect(),
        ),
        (
            "tallyflow_sink_retries_total",
            "counter",
            "Failures after which it was tried again.",
            figures.iter().map(|figures| figures.retries as f64).collect(),
        ),
        (
            "tallyflow_sink_unknown_ends_total",
            "counter",
            "Deliveries whose end was not known at first.",
            figures.iter().map(|figures| (figures.landed + figures.lost) as f64).collect(),
        ),
        (
            "tallyflow_sink_moved_total",
            "counter",
            "How often a store was elsewhere than it had been left.",
            figures.iter().map(|figures| figures.moved as f64).collect(),
        ),
    ];
    for (name, kind, help, values) in families.iter().filter(|_| !list.is_empty()) {
        family(out, name, kind, help);
        for (sink, value) in list.iter().zip(values) {
            sample(out, name, &label("sink", &sink.name), *value);
        }
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

fn snapshots(figures: &crate::snapshot::Figures, out: &mut String) {
    let counters = [
        ("tallyflow_snapshot_written_total", "Snapshots written.", figures.written),
        ("tallyflow_snapshot_failed_total", "Snapshots that could not be written.", figures.failed),
        ("tallyflow_snapshot_merged_total", "Parts of snapshots merged.", figures.merged),
    ];
    for (name, help, value) in counters {
        family(out, name, "counter", help);
        sample(out, name, "", value as f64);
    }
    let name = "tallyflow_snapshot_rejected_total";
    family(out, name, "counter", "Snapshots that could not be used at the start, by reason.");
    for (reason, count) in &figures.rejected {
        sample(out, name, &label("reason", reason), *count as f64);
    }
    let gauges = [
        (
            "tallyflow_snapshot_off",
            "1 where no more snapshots are written.",
            u64::from(figures.off.is_some()),
        ),
        ("tallyflow_snapshot_time", "The time of the newest snapshot.", figures.time),
        ("tallyflow_snapshot_rows", "Its rows.", figures.rows),
        ("tallyflow_snapshot_bytes", "Its bytes.", figures.bytes),
        ("tallyflow_snapshot_parts", "Its files.", figures.parts),
        ("tallyflow_snapshot_write_ms", "How long it took to write.", figures.wrote_ms),
    ];
    for (name, help, value) in gauges {
        family(out, name, "gauge", help);
        sample(out, name, "", value as f64);
    }
    let name = "tallyflow_start_phase_ms";
    family(out, name, "gauge", "How long the phases of the start took.");
    for (phase, ms) in &figures.phases {
        sample(out, name, &label("phase", phase), *ms as f64);
    }
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
    spent(
        "tallyflow_append_seconds",
        "From the call that appends events until they are durable in the log.",
        latency.appends(),
        out,
    );
}

fn spent(name: &str, help: &str, spent: &Spent, out: &mut String) {
    let (count, seconds) = spent.sum();
    family(out, name, "summary", help);
    sample(out, &format!("{name}_sum"), "", seconds);
    sample(out, &format!("{name}_count"), "", count as f64);
}

/// Whether the log can be read, and which partition of which topic has which number.
fn log(shared: &Shared, out: &mut String) {
    family(
        out,
        "tallyflow_log_silent",
        "gauge",
        "1 while nothing new can be read of the log, or never will be.",
    );
    sample(out, "tallyflow_log_silent", "", f64::from(u8::from(shared.visible.now().silent.is_some())));
    if let Feed::Embedded(log) = &shared.log {
        let help = "The first offset that the log holds of each partition; what stood before was removed, as log_keep says.";
        family(out, "tallyflow_log_begin", "gauge", help);
        for begin in log.begins() {
            let labels = label("partition", &begin.partition.to_string());
            sample(out, "tallyflow_log_begin", &labels, begin.offset as f64);
        }
    }
    let Feed::Kafka(kafka) = &shared.log else { return };
    family(
        out,
        "tallyflow_kafka_first_offset",
        "gauge",
        "The first offset of a partition when it was found.",
    );
    for of in kafka.partitions() {
        let (number, in_topic) = (of.number.to_string(), of.partition.to_string());
        let labels = [("partition", &number), ("topic", &of.topic), ("topic_partition", &in_topic)];
        let labels = labels.map(|(name, value)| label(name, value).trim_matches(['{', '}']).to_owned());
        sample(out, "tallyflow_kafka_first_offset", &format!("{{{}}}", labels.join(",")), of.first as f64);
    }
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
