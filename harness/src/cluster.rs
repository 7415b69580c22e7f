//! More than one process: process 0 leads, the others follow.
//!
//! The leader holds the data, decides, answers, and writes to the stores. A follower keeps nothing: it compiles the same
//! statements, reads and decodes its share of the log's partitions, keeps a share of every view in its workers, and hands its share
//! of the changes back. Rows find their worker over
//! timely's own connections; what the engine is told and what it answers goes over a link of ours, and a pulse shows that a process
//! lives. A process that is lost ends all: the log is the truth, and from it all is made again.
//!
//! | file | what it is |
//! |---|---|
//! | [`hosts`] | the file of addresses |
//! | [`greet`] | how the processes find each other, and who is refused |
//! | [`frame`] | orders and outputs as bytes |
//! | [`parts`] | partitions read by process |
//! | [`lead`] | the side of process 0 |
//! | [`follow`] | the side of the others |
pub mod follow;
pub mod frame;
pub mod greet;
pub mod hosts;
pub mod lead;
pub mod parts;

use dataflows::View;
use std::sync::Arc;
use std::time::Duration;

/// How often a process shows that it lives.
const PULSE: Duration = Duration::from_millis(200);
/// How long it may not.
const PULSE_MISSING: Duration = Duration::from_secs(60);

/// The views that the workers keep, each with its number among all that ever were.
#[derive(Default)]
struct Roster {
    views: Vec<(u64, Arc<View>, Version)>,
    last: u64,
}

/// Whether a view is the one that its name means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Serving,
    Beside,
}

impl Roster {
    fn add(&mut self, view: &Arc<View>, version: Version) -> u64 {
        self.last += 1;
        self.add_as(self.last, view, version);
        self.last
    }

    fn add_as(&mut self, number: u64, view: &Arc<View>, version: Version) {
        self.views.push((number, view.clone(), version));
    }

    fn remove(&mut self, name: &str, version: Version) {
        self.views.retain(|(_, view, which)| *view.name != *name || *which != version);
    }

    /// Doing it again changes nothing: the leader does it for each process that it tells.
    fn replace(&mut self, name: &str) {
        let is_new = |(_, view, version): &(u64, Arc<View>, Version)| {
            *view.name == *name && *version == Version::Beside
        };
        let Some(place) = self.views.iter().position(is_new) else { return };
        self.views[place].2 = Version::Serving;
        let number = self.views[place].0;
        self.views.retain(|(kept, view, _)| *view.name != *name || *kept == number);
    }

    fn number(&self, view: &Arc<View>) -> Option<u64> {
        self.views.iter().find(|(_, known, _)| Arc::ptr_eq(known, view)).map(|(number, ..)| *number)
    }

    fn view(&self, number: u64) -> Option<&Arc<View>> {
        self.views.iter().find(|(known, ..)| *known == number).map(|(_, view, _)| view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_keeps_its_number_until_it_is_dropped_or_replaced() {
        let schema = Arc::new(arrow::datatypes::Schema::empty());
        let view =
            || Arc::new(View { name: "v".into(), schema: schema.clone(), key: vec![], sql: "".into() });
        let (old, new) = (view(), view());
        let mut roster = Roster::default();
        assert_eq!((roster.add(&old, Version::Serving), roster.add(&new, Version::Beside)), (1, 2));
        for _ in 0..2 {
            roster.replace("v");
            assert_eq!((roster.number(&old), roster.number(&new)), (None, Some(2)));
        }
        roster.remove("v", Version::Beside);
        assert!(roster.view(2).is_some());
        roster.remove("v", Version::Serving);
        assert!(roster.view(2).is_none());
    }
}
