//! What readers can see: the engine's outputs are put together, their ticks made durable, and applied to the readers' store.
use crate::Error;
use crate::faults;
use crate::late::LateChanges;
use crate::outlets::Outlets;
use crate::progress::Bindings;
use crate::simulate::plant::{Bug, planted};
use dataflows::engine::{Collector, Output};
use dataflows::{Position, Time};
use sinks::memory::Memory;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How far readers can see, for those who wait for it.
#[derive(Default)]
pub struct Visible {
    reach: Mutex<Reach>,
    changed: Condvar,
    /// Ticks that are on their way, and since when.
    told: Mutex<VecDeque<(Time, Instant)>>,
    ticks: Spent,
    price_us: AtomicU64,
}

/// How far readers can see.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// The time.
    pub time: Time,
    /// What was read of the log up to then.
    pub positions: Vec<Position>,
    /// Whether the ticks and statements of earlier lives are made again: from then on tables and views may come and go.
    pub restored: bool,
    /// Why it does not go on now; it may later.
    pub stalled: Option<Error>,
    /// Why nothing new comes from the log; what is there stays readable.
    pub silent: Option<Error>,
    /// Whether the process is ending.
    pub stopping: bool,
    /// Why it will not go on.
    pub failure: Option<Error>,
}

impl Reach {
    /// Whether all records below these positions were read.
    pub fn covers(&self, positions: &[Position]) -> bool {
        covers(&self.positions, positions)
    }
}

/// Whether all records below `wanted` lie below `reached`.
pub fn covers(reached: &[Position], wanted: &[Position]) -> bool {
    let offset = |partition| reached.iter().find(|p| p.partition == partition).map_or(0, |p| p.offset);
    wanted.iter().all(|wanted| offset(wanted.partition) >= wanted.offset)
}

impl Visible {
    /// How far it is now.
    pub fn now(&self) -> Reach {
        self.lock().clone()
    }

    /// Says that nothing will go on. The first reason stands.
    pub fn fail(&self, why: Error) {
        self.lock().failure.get_or_insert(why);
        self.changed.notify_all();
    }

    /// Says why it does not go on now, or that it does again.
    pub fn stall(&self, why: Option<Error>) {
        self.lock().stalled = why;
    }

    /// Says why nothing new comes from the log, or that it does again.
    pub fn silent(&self, why: Option<Error>) {
        self.lock().silent = why;
    }

    /// Says that the process is ending.
    pub fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Says that the ticks and statements of earlier lives are made again.
    pub fn restored(&self) {
        self.lock().restored = true;
        self.changed.notify_all();
    }

    /// Waits until something is true of it, or time is up: then `false`.
    pub fn wait(
        &self,
        timeout: Option<Duration>,
        mut done: impl FnMut(&Reach) -> bool,
    ) -> Result<bool, Error> {
        let start = Instant::now();
        let mut reach = self.lock();
        loop {
            if done(&reach) {
                return Ok(true);
            }
            if let Some(why) = &reach.failure {
                return Err(why.clone());
            }
            let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            if left == Some(Duration::ZERO) {
                return Ok(false);
            }
            let waited = self.changed.wait_timeout(reach, left.unwrap_or(Duration::from_secs(3_600)));
            reach = waited.expect("no thread panics with the reach").0;
        }
    }

    /// The engine is about to be told of a tick.
    pub fn told(&self, time: Time) {
        self.told.lock().expect("no thread panics with the list").push_back((time, Instant::now()));
    }

    /// What a tick takes these days, from the engine being told until readers see it.
    pub fn price(&self) -> Duration {
        Duration::from_micros(self.price_us.load(Ordering::Relaxed))
    }

    /// What all ticks took.
    pub fn ticks(&self) -> &Spent {
        &self.ticks
    }

    fn seen(&self, time: Time) {
        let mut told = self.told.lock().expect("no thread panics with the list");
        while let Some((_, at)) = told.pop_front_if(|(told, _)| *told <= time) {
            let took = at.elapsed();
            self.ticks.add(took);
            let before = self.price_us.load(Ordering::Relaxed);
            self.price_us.store((3 * before + took.as_micros() as u64) / 4, Ordering::Relaxed);
        }
    }

    fn reach(&self, time: Time, positions: Vec<Position>) {
        self.seen(time);
        let mut reach = self.lock();
        (reach.time, reach.positions) = (time, positions);
        drop(reach);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Reach> {
        self.reach.lock().expect("no thread panics with the reach")
    }
}

/// How often something was done, and how long it took in all.
#[derive(Default)]
pub struct Spent {
    count: AtomicU64,
    us: AtomicU64,
}

impl Spent {
    fn add(&self, took: Duration) {
        self.us.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// How often, and how many seconds.
    pub fn sum(&self) -> (u64, f64) {
        (self.count.load(Ordering::Relaxed), self.us.load(Ordering::Relaxed) as f64 / 1e6)
    }
}

/// The ticks that were told to the engine and are not seen yet: their times, their positions, and whether each stands also for bound
/// ticks between the one before and itself.
#[derive(Default)]
pub struct Underway(Mutex<VecDeque<(Time, Vec<Position>, bool)>>);

impl Underway {
    /// A tick is about to be told; `grouped`: it stands also for bound ticks before it that are not told.
    pub fn push(&self, time: Time, positions: Vec<Position>, grouped: bool) {
        self.0.lock().expect("no thread panics with the ticks").push_back((time, positions, grouped));
    }

    /// Before which time all may be seen, where the engine is complete before `upper`. Between a tick and one that stands for
    /// several there is nothing true to see: the rows of those between come with the second.
    fn seen_before(&self, upper: Time) -> Time {
        let ticks = self.0.lock().expect("no thread panics with the ticks");
        let next = ticks.partition_point(|(told, ..)| *told < upper);
        match ticks.get(next) {
            Some((.., true)) => next.checked_sub(1).map_or(0, |last| ticks[last].0 + 1),
            Some((.., false)) | None => upper,
        }
    }

    /// How many are not seen yet.
    pub fn len(&self) -> usize {
        self.0.lock().expect("no thread panics with the ticks").len()
    }

    /// Whether all are seen.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets the ticks up to a time; the positions of the last of them, and whether one of them stands for several.
    fn pop(&self, time: Time) -> Option<(Vec<Position>, bool)> {
        let mut ticks = self.0.lock().expect("no thread panics with the ticks");
        let (mut last, mut any) = (None, false);
        while let Some((_, positions, grouped)) = ticks.pop_front_if(|(told, ..)| *told <= time) {
            any |= grouped;
            last = Some(positions);
        }
        last.map(|positions| (positions, any))
    }
}

/// How long events take from the call that appends them until they can be read.
pub struct Latency {
    waiting: Mutex<VecDeque<(Instant, Vec<Position>)>>,
    buckets: [AtomicU64; Latency::BUCKETS],
    sum_us: AtomicU64,
    appends: Spent,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency {
            waiting: Mutex::default(),
            buckets: [const { AtomicU64::new(0) }; Latency::BUCKETS],
            sum_us: 0.into(),
            appends: Spent::default(),
        }
    }
}

impl Latency {
    /// Bucket `i` holds less than 2 to the power of `(i + 1) / 8` microseconds: 9 % wide each, up to an hour and more.
    const BUCKETS: usize = 256;

    /// Events were appended: when it began, and where they stand.
    pub fn appended(&self, began: Instant, ends: &[Position]) {
        self.appends.add(began.elapsed());
        let mut last: Vec<Position> = vec![];
        for end in ends {
            match last.iter_mut().find(|p| p.partition == end.partition) {
                Some(position) => position.offset = position.offset.max(end.offset),
                None => last.push(end.clone()),
            }
        }
        self.waiting.lock().expect("no thread panics with the list").push_back((began, last));
    }

    /// What it took until appended events were durable.
    pub fn appends(&self) -> &Spent {
        &self.appends
    }

    /// The counts of all buckets.
    pub fn counts(&self) -> Vec<u64> {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect()
    }

    /// All latencies added up, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_us.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// The upper end of a bucket in seconds.
    pub fn bucket_end(bucket: usize) -> f64 {
        ((bucket + 1) as f64 / 8.0).exp2() / 1e6
    }

    /// The latency in seconds that a share of the counts stays below; none without counts.
    pub fn quantile(counts: &[u64], share: f64) -> Option<f64> {
        let total: u64 = counts.iter().sum();
        let wanted = (total as f64 * share).ceil().max(1.0) as u64;
        let mut below = 0;
        let found = counts.iter().position(|count| {
            below += count;
            below >= wanted
        });
        found.filter(|_| total > 0).map(Latency::bucket_end)
    }

    fn seen(&self, positions: &[Position]) {
        let mut waiting = self.waiting.lock().expect("no thread panics with the list");
        while waiting.front().is_some_and(|(_, ends)| covers(positions, ends)) {
            let Some((began, _)) = waiting.pop_front() else { return };
            let us = began.elapsed().as_micros().max(1) as u64;
            let bucket = ((us as f64).log2() * 8.0) as usize;
            self.buckets[bucket.min(Latency::BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
            self.sum_us.fetch_add(us, Ordering::Relaxed);
        }
    }
}

/// Puts outputs of the engine before the readers.
pub struct Publisher {
    /// The workers' shares.
    pub collector: Arc<Mutex<Collector>>,
    /// Must be durable first.
    pub bindings: Arc<Bindings>,
    /// The readers' store.
    pub memory: Arc<Memory>,
    /// Where each tick ends.
    pub underway: Arc<Underway>,
    /// Who waits for it.
    pub visible: Arc<Visible>,
    /// Measures it.
    pub latency: Arc<Latency>,
    /// Counts what late events changed.
    pub late: Arc<LateChanges>,
    /// Told of each tick, and never waited for.
    pub outlets: Arc<Outlets>,
}

impl Publisher {
    /// Goes on until the engine has ended.
    pub fn run(self, outputs: crossbeam_channel::Receiver<Output>) -> Result<(), Error> {
        while let Ok(first) = outputs.recv() {
            self.take(std::iter::once(first).chain(outputs.try_iter()))?;
        }
        Ok(())
    }

    /// Puts some outputs before the readers.
    pub(crate) fn take(&self, outputs: impl Iterator<Item = Output>) -> Result<(), Error> {
        // Held until the ticks are applied: a view is dropped before a tick or after it.
        let collector = self.collector.clone();
        let mut collector = collector.lock().expect("no thread panics with the collector");
        for output in outputs {
            if let Some(why) = output.failure {
                return Err(Error::Failed(format!(
                    "{why}: this is a bug; nothing goes on, and all is made again from the log after a restart"
                )));
            }
            collector.absorb(output);
        }
        while let Some((mut tick, complete)) = collector.next_within(|upper| self.underway.seen_before(upper))
        {
            let time = tick.upper - 1;
            if !planted(Bug::BindingAfterOutput) {
                self.bindings.sync(time)?;
            }
            let (positions, grouped) =
                self.underway.pop(time).unwrap_or_else(|| (self.visible.now().positions, false));
            tick.positions = positions;
            self.late.seen(&tick, &complete);
            for view in complete {
                // Readers of the old version go on until the tick.
                let is_there = self.memory.read().view(&view.name).is_some();
                if is_there { self.memory.replace(view) } else { self.memory.create(view) }
                    .map_err(stopped)?;
            }
            self.memory.apply(&tick).map_err(stopped)?;
            self.latency.seen(&tick.positions);
            self.visible.reach(time, tick.positions.clone());
            faults::around("sink_enqueue", || {
                self.outlets.offer(&tick, self.memory.read(), collector.building(), &self.visible, grouped)
            })?;
        }
        Ok(())
    }
}

fn stopped(why: sinks::SinkError) -> Error {
    Error::Failed(why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_seen_within_a_group_of_ticks() {
        let underway = Underway::default();
        assert_eq!(underway.seen_before(5), 5);
        _ = [(10, true), (20, true), (30, false)].map(|(time, grouped)| underway.push(time, vec![], grouped));
        for (upper, seen) in [(10, 0), (11, 11), (15, 11), (20, 11), (21, 21), (25, 25), (30, 30), (40, 40)] {
            assert_eq!(underway.seen_before(upper), seen, "{upper}");
        }
        underway.pop(10);
        assert_eq!((underway.seen_before(20), underway.seen_before(21)), (0, 21));
    }

    #[test]
    fn quantiles_are_upper_ends_of_buckets() {
        let latency = Latency::default();
        let end = |offset| vec![Position { partition: 2, offset }];
        latency.appended(Instant::now(), &end(5));
        latency.appended(Instant::now(), &end(7));
        latency.seen(&end(6));
        assert_eq!(latency.counts().iter().sum::<u64>(), 1);
        let mut counts = vec![0; 100];
        (counts[10], counts[50]) = (99, 1);
        assert_eq!(Latency::quantile(&counts, 0.5), Some(Latency::bucket_end(10)));
        assert_eq!(Latency::quantile(&counts, 0.999), Some(Latency::bucket_end(50)));
        assert_eq!(Latency::quantile(&[0, 0], 0.5), None);
    }
}
