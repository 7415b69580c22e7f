//! `Pace`: how many events are due, by a clock that the caller reads.
use std::time::Duration;

/// Keeps to a rate without a clock of its own: the caller says how long ago it started, and sleeps as it likes.
///
/// ```
/// use sources::generate::Pace;
/// use std::time::Duration;
/// let mut pace = Pace::new(2000.0);
/// assert_eq!(pace.due(Duration::from_millis(10)), 20);
/// assert_eq!(pace.due(Duration::from_millis(10)), 0);
/// assert_eq!(pace.due(Duration::from_millis(15)), 10);
/// ```
#[derive(Clone, Debug)]
pub struct Pace {
    rate: f64,
    given: u64,
}

impl Pace {
    /// For so many events per second.
    pub fn new(rate: f64) -> Pace {
        Pace { rate, given: 0 }
    }

    /// How many events became due since the last call, `since_start` after the start. They count as given.
    pub fn due(&mut self, since_start: Duration) -> u64 {
        let total = (since_start.as_secs_f64() * self.rate) as u64;
        let due = total.saturating_sub(self.given);
        self.given += due;
        due
    }

    /// How long it takes until `events` more are due, `since_start` after the start; zero where they are due already.
    pub fn wait(&self, events: u64, since_start: Duration) -> Duration {
        let seconds = (self.given + events) as f64 / self.rate;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).saturating_sub(since_start)
    }
}
