//! `Retention`: how long the embedded log keeps what snapshots stand for.
//!
//! Files of the log are removed after a snapshot was written: those that are older than asked for and lie whole below the oldest
//! snapshot that is kept, once as many are kept as the setting says. So a start from any of them finds the log that it needs.
use super::manifest::Point;
use sources::log::Log;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The log, and how long it keeps what is in a snapshot.
pub struct Retention {
    /// The log.
    pub log: Arc<Log>,
    /// How long at least.
    pub keep: Duration,
}

impl Retention {
    /// Removes what is old enough and stands below the oldest snapshot that is kept; says what is gone.
    pub(super) fn apply(&self, oldest: &Point) {
        let Some(before) = SystemTime::now().checked_sub(self.keep) else { return };
        match self.log.trim(oldest.time, &oldest.positions(), before) {
            Ok(begins) => begins.iter().for_each(|begin| {
                report!(
                    "tallyflow: log_keep: partition {} of the log begins at offset {} now",
                    begin.partition,
                    begin.offset
                );
            }),
            Err(why) => report!("tallyflow: log_keep: old files of the log cannot be removed: {why}"),
        }
    }
}
