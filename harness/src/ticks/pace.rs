//! `Pace`: when a tick is cut, and what the reader does until then.
use super::End;
use std::time::Duration;

const RECORDS_FEW: usize = 32;
/// A tick is cut no sooner after the one before than this many times what ticks take now, as long as the bounds allow: so
/// ticks that cost little come often, and those that cost much never take all there is.
const PRICES: u32 = 2;

/// When a tick is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// So many records are a tick.
    pub records_max: usize,
    /// No tick of fewer is cut sooner after the one before, however little ticks cost.
    pub wait_min: Duration,
    /// Fewer are one after this long at most; none: only when the log has ended.
    pub wait: Option<Duration>,
    /// The same, where more than a few wait: each tick has its price, and many records share it.
    pub wait_busy: Option<Duration>,
    /// No record is one too after this long; none: never.
    pub idle: Option<Duration>,
}

/// What the reader does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Cut(usize),
    Poll,
    Wait(Option<Duration>),
    Stop,
}

pub(super) fn decide(
    pace: Pace,
    queued: usize,
    backlog: bool,
    end: End,
    since_cut: Option<Duration>,
    price: Duration,
) -> Next {
    if end == End::Now {
        return Next::Stop;
    }
    if queued >= pace.records_max {
        return Next::Cut(pace.records_max);
    }
    if backlog {
        return Next::Poll;
    }
    if end == End::Drain {
        return if queued > 0 { Next::Cut(queued) } else { Next::Stop };
    }
    let by_price = |limit: Duration| limit.min(pace.wait_min.max(price.saturating_mul(PRICES)));
    let limit = match queued {
        0 => pace.idle,
        1..=RECORDS_FEW => pace.wait.map(by_price),
        _ => pace.wait_busy.map(by_price),
    };
    let left = limit.map(|limit| limit.saturating_sub(since_cut.unwrap_or(limit)));
    if left == Some(Duration::ZERO) { Next::Cut(queued) } else { Next::Wait(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Pace = Pace {
        records_max: 100,
        wait_min: Duration::from_millis(5),
        wait: Some(Duration::from_millis(10)),
        wait_busy: Some(Duration::from_millis(25)),
        idle: Some(Duration::from_secs(1)),
    };
    const REPLAY: Pace =
        Pace { records_max: 100, wait_min: Duration::ZERO, wait: None, wait_busy: None, idle: None };

    #[test]
    fn ticks_are_cut_by_size_in_backlog_and_by_time_when_little_arrives() {
        let ms = |n| Some(Duration::from_millis(n));
        let cases = [
            (LIVE, 0, false, End::Open, None, Next::Cut(0)),
            (LIVE, 250, true, End::Open, ms(0), Next::Cut(100)),
            (LIVE, 50, true, End::Open, ms(50), Next::Poll),
            (LIVE, 5, false, End::Open, ms(4), Next::Wait(ms(6))),
            (LIVE, 5, false, End::Open, ms(10), Next::Cut(5)),
            (LIVE, 50, false, End::Open, ms(10), Next::Wait(ms(15))),
            (LIVE, 50, false, End::Open, ms(25), Next::Cut(50)),
            (LIVE, 0, false, End::Open, ms(999), Next::Wait(ms(1))),
            (LIVE, 0, false, End::Open, ms(1_000), Next::Cut(0)),
            (LIVE, 50, false, End::Drain, ms(0), Next::Cut(50)),
            (LIVE, 0, false, End::Drain, ms(5_000), Next::Stop),
            (LIVE, 250, true, End::Now, ms(0), Next::Stop),
            (REPLAY, 99, false, End::Open, ms(60_000), Next::Wait(None)),
            (REPLAY, 99, false, End::Drain, ms(0), Next::Cut(99)),
            (REPLAY, 0, true, End::Drain, None, Next::Poll),
        ];
        for (pace, queued, backlog, end, since, next) in cases {
            assert_eq!(
                decide(pace, queued, backlog, end, since, Duration::from_millis(40)),
                next,
                "{queued} {backlog} {end:?} {since:?}"
            );
        }
    }

    #[test]
    fn ticks_that_cost_little_come_often_within_the_bounds() {
        let ms = Duration::from_millis;
        for (price, few, many) in
            [(0, 5, 5), (1, 5, 5), (3, 6, 6), (7, 10, 14), (12, 10, 24), (1_000, 10, 25)]
        {
            let wait = |queued| decide(LIVE, queued, false, End::Open, Some(ms(1)), ms(price));
            assert_eq!((wait(5), wait(50)), (Next::Wait(Some(ms(few - 1))), Next::Wait(Some(ms(many - 1)))));
            assert_eq!(decide(LIVE, 0, false, End::Open, Some(ms(1)), ms(price)), Next::Wait(Some(ms(999))));
            assert_eq!(decide(REPLAY, 9, false, End::Open, Some(ms(1)), ms(price)), Next::Wait(None));
        }
    }
}
