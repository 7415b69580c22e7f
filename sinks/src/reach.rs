//! `Reach`: how far a writer has brought its store. A store that is further was written by another one since: whoever was held up and
//! goes on must not take it over again.
use crate::SinkError;
use dataflows::Time;

/// What this writer knows of the store's time; nothing before it has opened it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    opened: bool,
    /// The time that the store had when it was opened, or after the last delivery that is known to have landed.
    held: Option<Time>,
    /// The time of a delivery that may have landed.
    tried: Option<Time>,
}

impl Reach {
    /// The store has this time.
    pub(crate) fn hold(&mut self, time: Option<Time>) {
        *self = Reach { opened: true, held: time, tried: None };
    }

    /// A delivery up to this time begins.
    pub(crate) fn attempt(&mut self, time: Time) {
        self.tried = Some(time);
    }

    /// Whether the store was opened before.
    pub(crate) fn is_known(self) -> bool {
        self.opened
    }

    /// The store has this time before it is taken over. It may be earlier than it was: stores are restored.
    pub(crate) fn check(self, found: Option<Time>) -> Result<(), SinkError> {
        match found {
            Some(time) if self.opened && found > self.held && found != self.tried => {
                let held = self.held.map_or("nothing".to_owned(), |held| format!("time {held}"));
                Err(SinkError::Fenced(format!(
                    "another writer has taken the store over: it holds time {time}, and this one left it with {held}"
                )))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_one_wrote_is_beyond_reach() {
        let mut reach = Reach::default();
        assert!(reach.check(Some(9)).is_ok());
        reach.hold(Some(10));
        reach.attempt(20);
        let well = |reach: Reach, times: &[u64]| times.iter().all(|time| reach.check(Some(*time)).is_ok());
        // It landed or not, or the store was restored.
        assert!(well(reach, &[10, 20, 5]) && reach.check(None).is_ok());
        assert!(reach.check(Some(15)).is_err() && reach.check(Some(30)).is_err());
        reach.hold(Some(20));
        assert!(well(reach, &[20, 10]) && reach.check(Some(21)).is_err());
        reach.hold(None);
        assert!(reach.check(Some(1)).is_err());
    }
}
