//! `Meter`: what the API counts of itself, without locks, written as Prometheus text.
use sinks::memory::Read;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use warp::http::StatusCode;

/// Every status the API answers; others are counted as the last.
const STATUSES: [u16; 19] =
    [200, 201, 202, 204, 304, 400, 404, 405, 408, 409, 412, 413, 415, 422, 429, 503, 504, 501, 500];
/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS_US: [u64; 12] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 10_000_000];

/// The routes, as metrics name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Page,
    OpenApi,
    Health,
    Metrics,
    Views,
    View,
    Row,
    Errors,
    Changes,
    Events,
    Queries,
    Sql,
    Quarantine,
    Sinks,
    Backfills,
    Business,
    Unknown,
}

const ROUTES: [(Route, &str); 17] = [
    (Route::Page, "page"),
    (Route::OpenApi, "openapi"),
    (Route::Health, "health"),
    (Route::Metrics, "metrics"),
    (Route::Views, "views"),
    (Route::View, "view"),
    (Route::Row, "row"),
    (Route::Errors, "errors"),
    (Route::Changes, "changes"),
    (Route::Events, "events"),
    (Route::Queries, "queries"),
    (Route::Sql, "sql"),
    (Route::Quarantine, "quarantine"),
    (Route::Sinks, "sinks"),
    (Route::Backfills, "backfills"),
    (Route::Business, "business"),
    (Route::Unknown, "unknown"),
];

#[derive(Default)]
struct Counts {
    by_status: [AtomicU64; STATUSES.len()],
    /// Requests by bucket; the last is for those above all bounds.
    by_latency: [AtomicU64; BUCKETS_US.len() + 1],
    microseconds: AtomicU64,
}

/// The counters.
#[derive(Default)]
pub(super) struct Meter {
    routes: [Counts; ROUTES.len()],
    streams: AtomicI64,
    connections: AtomicI64,
}

/// Counts one while it lives.
pub(super) struct Gauge<'a>(&'a AtomicI64);

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Meter {
    pub(super) fn count(&self, route: Route, status: StatusCode, took: Duration) {
        let counts = &self.routes[route as usize];
        let last = STATUSES.len() - 1;
        let status = STATUSES.iter().position(|known| *known == status.as_u16()).unwrap_or(last);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counts.by_status[status].fetch_add(1, Ordering::Relaxed);
        counts.by_latency[BUCKETS_US.partition_point(|bound| *bound < took)].fetch_add(1, Ordering::Relaxed);
        counts.microseconds.fetch_add(took, Ordering::Relaxed);
    }

    pub(super) fn stream(&self) -> Gauge<'_> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        Gauge(&self.streams)
    }

    pub(super) fn streams(&self) -> i64 {
        self.streams.load(Ordering::Relaxed)
    }

    pub(super) fn connection(&self) -> Gauge<'_> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Gauge(&self.connections)
    }

    /// Its own counters and those of the views.
    pub(super) fn write(&self, read: &Read, out: &mut String) {
        self.write_requests(out);
        self.write_latency(out);
        let gauge = |out: &mut String, name: &str, help: &str, value: String| {
            _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
        };
        gauge(out, "tallyflow_http_streams", "Streams of changes now.", self.streams().to_string());
        let connections = self.connections.load(Ordering::Relaxed).to_string();
        gauge(out, "tallyflow_http_connections", "Connections now.", connections);
        if let Some(time) = read.time() {
            gauge(out, "tallyflow_readable_time_ms", "The time that reads see.", time.to_string());
        }
        write_views(read, out);
    }

    fn write_requests(&self, out: &mut String) {
        let name = "tallyflow_http_requests_total";
        _ = write!(out, "# HELP {name} Requests answered.\n# TYPE {name} counter\n");
        for (counts, (_, route)) in self.routes.iter().zip(ROUTES) {
            for (count, status) in counts.by_status.iter().zip(STATUSES) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    _ = writeln!(out, "{name}{{route=\"{route}\",status=\"{status}\"}} {count}");
                }
            }
        }
    }

    fn write_latency(&self, out: &mut String) {
        let name = "tallyflow_http_request_seconds";
        _ = write!(out, "# HELP {name} Time until an answer began.\n# TYPE {name} histogram\n");
        for (counts, (_, route)) in self.routes.iter().zip(ROUTES) {
            let by_latency: Vec<u64> =
                counts.by_latency.iter().map(|count| count.load(Ordering::Relaxed)).collect();
            let total: u64 = by_latency.iter().sum();
            if total == 0 {
                continue;
            }
            let mut below = 0;
            for (count, bound) in by_latency.iter().zip(BUCKETS_US) {
                below += count;
                let bound = bound as f64 / 1e6;
                _ = writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"{bound}\"}} {below}");
            }
            let seconds = counts.microseconds.load(Ordering::Relaxed) as f64 / 1e6;
            _ = writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {total}");
            _ = writeln!(out, "{name}_sum{{route=\"{route}\"}} {seconds}");
            _ = writeln!(out, "{name}_count{{route=\"{route}\"}} {total}");
        }
    }
}

fn write_views(read: &Read, out: &mut String) {
    type Measure = fn(&sinks::memory::kept::Kept) -> u64;
    let measures: [(&str, &str, Measure); 4] = [
        ("tallyflow_view_rows", "Rows of a view.", |kept| kept.rows().totals().rows),
        ("tallyflow_view_bytes", "Memory of a view's rows and keys.", |kept| kept.rows().totals().bytes),
        ("tallyflow_view_errors", "Failures of a view's expressions now.", |kept| kept.errs_count()),
        ("tallyflow_view_key_violations", "Keys of a view with more than one row.", |kept| {
            kept.key_violations()
        }),
    ];
    for (name, help, measure) in measures {
        _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for kept in read.views() {
            let view =
                kept.shape().view().name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            _ = writeln!(out, "{name}{{view=\"{view}\"}} {}", measure(kept));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_its_own_index() {
        for (i, (route, name)) in ROUTES.iter().enumerate() {
            assert_eq!(*route as usize, i, "{name}");
        }
    }
}
