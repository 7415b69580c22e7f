//! Bringing in: pieces go to the log, a bounded number of events at a time, so that live events find a short queue.
use super::job::{Figures, Job, Phase};
use super::supply::{Choice, Choose, Numbered, Supply};
use super::{Inner, Kept};
use crossbeam_channel::{Receiver, bounded};
use dataflows::Position;
use sources::Payload;
use sources::log::AppendError;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes of events that are read at once, and that are appended at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How long a piece may take until it can be read: live events behind it take as long.
const LATENCY: Duration = Duration::from_millis(100);
/// Events that are on their way at a time.
const WINDOW_MIN: usize = 256;
const WINDOW_MAX: usize = 65_536;
/// Pieces on their way, also those of which no event was asked for.
const PIECES_MAX: usize = 256;
/// How often it is written down how far it is.
const KEEP_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked whether to go on, while a piece is waited for.
const LOOK: Duration = Duration::from_millis(200);
/// How long a log that takes nothing is left alone.
const AGAIN: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All was brought in.
    Whole,
    /// Somebody held it up, or the process ends.
    Interrupted,
}

/// Events on their way.
struct Piece {
    events: Vec<Payload>,
    done: Receiver<Result<Vec<Position>, AppendError>>,
    began: Instant,
    /// What was read and passed over with it.
    read: u64,
    skipped: u64,
    reserved: u64,
    bytes: u64,
}

/// How many events may be on their way: fewer when they take long, more when they do not.
struct Window {
    events: usize,
    narrowed: Instant,
}

impl Window {
    fn new() -> Window {
        Window { events: 4 * WINDOW_MIN, narrowed: Instant::now() }
    }

    fn seen(&mut self, began: Instant, events: usize) {
        if began.elapsed() <= LATENCY {
            self.events = (self.events + events / 2).min(WINDOW_MAX);
        } else if began >= self.narrowed {
            // Pieces that were sent before say nothing of what was narrowed since.
            self.events = (self.events * 2 / 3).max(WINDOW_MIN);
            self.narrowed = Instant::now();
        }
    }
}

impl Inner {
    /// Reads the source to its end, and then brings it in from where it was.
    pub(super) fn bring_in(&self, job: &Job) -> Result<Ended, String> {
        job.unchanged()?;
        let Some(job) = self.checked(job)? else { return Ok(Ended::Interrupted) };
        let mut supply = Supply::open(&job, self.topics.as_ref())?;
        let choose = Choose::new(&job);
        // A topic may have lost its first offsets meanwhile: it is read again, and what came in before counts once.
        let done = if job.topic.is_some() { 0 } else { job.figures.read };
        if done == 0 {
            self.update(job.id, Kept::Later, |job| job.figures = Figures::default())?;
        }
        let mut rest = Some(supply.skip(done, CHUNK_BYTES)?).filter(|rest| !rest.is_empty());
        self.update(job.id, Kept::Later, |job| job.running = Some((Instant::now(), done)))?;
        let (mut window, mut under_way, mut kept) = (Window::new(), VecDeque::new(), Instant::now());
        let (mut on_way, mut ended) = (0, false);
        loop {
            let goes_on = self.goes_on(job.id);
            let fits = |on_way, pieces| pieces == 0 || (on_way < window.events && pieces < PIECES_MAX);
            while goes_on && !ended && fits(on_way, under_way.len()) {
                let events = match rest.take() {
                    Some(events) => events,
                    None => supply.next(CHUNK_BYTES)?,
                };
                ended = events.is_empty();
                if !ended {
                    let piece = self.send(&choose, events, supply.bytes_read());
                    on_way += piece.events.len();
                    under_way.push_back(piece);
                }
            }
            let Some(piece) = under_way.pop_front() else {
                job.unchanged()?;
                return Ok(if ended { Ended::Whole } else { Ended::Interrupted });
            };
            on_way -= piece.events.len();
            let (began, events) = (piece.began, piece.events.len());
            let Some(figures) = self.seen(piece)? else { return Ok(Ended::Interrupted) };
            window.seen(began, events);
            let now = kept.elapsed() >= KEEP_EVERY || under_way.is_empty();
            let keep = if now { Kept::Now } else { Kept::Later };
            // Where it cannot be written down now it is later; what is brought in again after a crash counts nothing.
            if self.update(job.id, keep, |job| job.figures.add(&figures)).is_ok() && now {
                kept = Instant::now();
            }
        }
    }

    /// The job once its source was read to the end; none if somebody held it up.
    pub(super) fn checked(&self, job: &Job) -> Result<Option<Job>, String> {
        let mut job = job.clone();
        if job.total.is_none() && job.topic.is_none() {
            self.update(job.id, Kept::Later, |job| job.phase = active(job.phase, Phase::Checking))?;
            let (mut supply, mut total) = (Supply::open(&job, self.topics.as_ref())?, 0);
            loop {
                let events = supply.next(16 * CHUNK_BYTES)?.len() as u64;
                if events == 0 {
                    break;
                }
                total += events;
                if !self.goes_on(job.id) {
                    return Ok(None);
                }
            }
            job.unchanged()?;
            job.total = Some(total);
        }
        let total = job.total;
        self.update(job.id, Kept::Now, |job| {
            (job.phase, job.total) = (active(job.phase, Phase::Running), total);
        })?;
        Ok(Some(job))
    }

    fn send(&self, choose: &Choose, events: Vec<Numbered>, bytes: u64) -> Piece {
        let (mut taken, mut skipped, mut reserved) = (vec![], 0, 0);
        let read = events.len() as u64;
        for event in events {
            match choose.choose(&event) {
                Choice::Taken => taken.push(event.payload),
                Choice::Skipped => skipped += 1,
                Choice::Reserved => reserved += 1,
            }
        }
        let done = self.append(taken.clone());
        Piece { events: taken, done, began: Instant::now(), read, skipped, reserved, bytes }
    }

    fn append(&self, events: Vec<Payload>) -> Receiver<Result<Vec<Position>, AppendError>> {
        let (done, receiver) = bounded(1);
        match events.is_empty() {
            // Nothing is what was asked for: the channel holds one.
            true => _ = done.send(Ok(vec![])),
            false => self.shared.log.append(events, Box::new(move |result| _ = done.send(result))),
        }
        receiver
    }

    /// Waits until a piece can be read; what became of its events. None when the process ends before.
    fn seen(&self, mut piece: Piece) -> Result<Option<Figures>, String> {
        let positions = loop {
            match piece.done.recv() {
                Ok(Ok(positions)) => break positions,
                // A disk that is full: nothing of the piece was appended.
                Ok(Err(AppendError::Unavailable(why))) => {
                    if self
                        .shared
                        .visible
                        .wait(Some(AGAIN), |reach| reach.stopping)
                        .map_err(|why| why.to_string())?
                    {
                        return Ok(None);
                    }
                    if self.lock().stopping {
                        return Ok(None);
                    }
                    report!("tallyflow: a backfill waits for the log: {why}");
                    piece.done = self.append(piece.events.clone());
                }
                Ok(Err(AppendError::TooLarge(why))) => return Err(why),
                Err(_) => return Ok(None),
            }
        };
        let visible = &self.shared.visible;
        while !visible.wait(Some(LOOK), |reach| reach.covers(&positions)).map_err(|why| why.to_string())? {
            if self.lock().stopping {
                return Ok(None);
            }
        }
        let own = positions.iter().map(|end| Position { partition: end.partition, offset: end.offset - 1 });
        let intake = self.shared.intake.lock().expect("no thread panics with the intake");
        let (duplicates, rejects) = intake.fates(own);
        Ok(Some(Figures {
            read: piece.read,
            skipped: piece.skipped,
            reserved: piece.reserved,
            appended: positions.len() as u64,
            duplicates,
            rejects,
            bytes: piece.bytes,
        }))
    }
}

impl Figures {
    /// With those of a further piece.
    pub(super) fn add(&mut self, piece: &Figures) {
        self.read += piece.read;
        self.skipped += piece.skipped;
        self.reserved += piece.reserved;
        self.appended += piece.appended;
        self.duplicates += piece.duplicates;
        self.rejects += piece.rejects;
        self.bytes = piece.bytes;
    }
}

/// The next phase, unless somebody held it up.
fn active(phase: Phase, next: Phase) -> Phase {
    if phase.is_active() { next } else { phase }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_what_pieces_take() {
        let mut window = Window::new();
        let fast = window.events;
        window.seen(Instant::now(), 400);
        assert_eq!(window.events, fast + 200);
        let slow = Instant::now().checked_sub(2 * LATENCY).unwrap();
        window.narrowed = slow;
        window.seen(slow, 400);
        assert_eq!(window.events, (fast + 200) * 2 / 3);
        // One that was sent before the window was narrowed.
        window.seen(slow, 400);
        assert_eq!(window.events, (fast + 200) * 2 / 3);
        (0..100).for_each(|_| {
            window.narrowed = slow;
            window.seen(slow, 1);
        });
        assert_eq!(window.events, WINDOW_MIN);
    }
}
