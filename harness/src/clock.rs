//! `Clock`: the logical clock. While there is backlog it follows the log; when the log is exhausted, the wall clock.
use dataflows::Time;
use std::sync::Arc;

/// Reads the wall clock in milliseconds since 1970; tests pass their own.
pub type Wall = Arc<dyn Fn() -> Time + Send + Sync>;

/// What the clock follows when the log is exhausted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// The wall clock: a process that serves.
    Wall,
    /// The log still: a replay, whose times are those of its events.
    Log,
}

/// Gives each tick its time. Times strictly increase.
pub struct Clock {
    wall: Wall,
    follow: Follow,
    skew_ms: u64,
    last: Time,
    latest_event: Time,
}

/// The time of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The tick's time.
    pub time: Time,
    /// The latest time an event of this tick may carry: what lies beyond is quarantined as `future`.
    pub horizon: Time,
}

impl Clock {
    /// A clock that has not ticked. Events may be `skew_ms` ahead of the wall clock.
    pub fn new(wall: Wall, follow: Follow, skew_ms: u64) -> Clock {
        Clock { wall, follow, skew_ms, last: 0, latest_event: 0 }
    }

    /// The time of the last tick; 0 before the first.
    pub fn last(&self) -> Time {
        self.last
    }

    /// The latest event time it has followed.
    pub fn latest_event(&self) -> Time {
        self.latest_event
    }

    /// The time of the next tick. `events` gives the latest event time in the tick that is not beyond the horizon;
    /// `exhausted` says that the tick reaches the end of the log.
    pub fn next(&mut self, exhausted: bool, events: impl FnOnce(Time) -> Option<Time>) -> Moment {
        let wall = (self.wall)();
        let horizon = wall.saturating_add(self.skew_ms);
        self.latest_event = self.latest_event.max(events(horizon).unwrap_or(0));
        let wanted = match self.follow {
            Follow::Wall if exhausted => wall,
            Follow::Wall | Follow::Log => self.latest_event,
        };
        self.last = wanted.max(self.last + 1);
        Moment { time: self.last, horizon }
    }

    /// A tick that was bound in an earlier life is made again.
    pub fn repeat(&mut self, moment: Moment, latest_event: Option<Time>) {
        self.last = moment.time;
        self.latest_event = self.latest_event.max(latest_event.unwrap_or(0));
    }
}

/// The clock on the wall.
pub fn wall() -> Wall {
    Arc::new(|| chrono::Utc::now().timestamp_millis().max(0) as Time)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (events of the tick, exhausted) -> its time.
    fn times(follow: Follow, ticks: &[(&[Time], bool)]) -> Vec<Time> {
        let mut clock = Clock::new(Arc::new(|| 1_000), follow, 60);
        let latest = |events: &[Time], horizon| events.iter().copied().filter(|t| *t <= horizon).max();
        ticks.iter().map(|(events, end)| clock.next(*end, |horizon| latest(events, horizon)).time).collect()
    }

    #[test]
    fn backlog_follows_the_events_and_never_beyond_the_skew() {
        let ticks: &[(&[Time], bool)] =
            &[(&[5, 3], false), (&[4], false), (&[9_999, 50], false), (&[1_060], false)];
        assert_eq!(times(Follow::Wall, ticks), [5, 6, 50, 1_060]);
        assert_eq!(times(Follow::Log, ticks), [5, 6, 50, 1_060]);
    }

    #[test]
    fn an_exhausted_log_leaves_the_wall_clock() {
        let ticks: &[(&[Time], bool)] = &[(&[5], false), (&[7], true), (&[], true), (&[8], false)];
        assert_eq!(times(Follow::Wall, ticks), [5, 1_000, 1_001, 1_002]);
        assert_eq!(times(Follow::Log, ticks), [5, 7, 8, 9]);
    }
}
