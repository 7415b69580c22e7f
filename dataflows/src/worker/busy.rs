//! For how long each dataflow of a worker was at work, from timely's own log of what it schedules.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use timely::logging::{StartStop, TimelyEvent, TimelyEventBuilder};
use timely::worker::Worker;

/// By the index of the dataflow. Nothing is counted until [`Busy::count`].
#[derive(Clone, Default)]
pub(super) struct Busy(Rc<RefCell<Dataflows>>);

#[derive(Default)]
struct Dataflows {
    /// The dataflow of an operator that is one.
    of: BTreeMap<usize, usize>,
    began: BTreeMap<usize, Duration>,
    times: BTreeMap<usize, Duration>,
}

impl Busy {
    /// Counts from now on for the dataflows that are made later.
    pub(super) fn count(&self, worker: &Worker) {
        let found = self.0.clone();
        let Some(mut register) = worker.log_register() else { return };
        register.insert::<TimelyEventBuilder, _>("timely", move |_, events| {
            let found = &mut *found.borrow_mut();
            for (time, event) in events.iter().flat_map(|events| events.iter()) {
                found.note(*time, event);
            }
        });
    }

    /// Seconds that a dataflow was at work.
    pub(super) fn seconds(&self, dataflow: usize) -> f64 {
        self.0.borrow().times.get(&dataflow).map_or(0.0, Duration::as_secs_f64)
    }
}

impl Dataflows {
    fn note(&mut self, time: Duration, event: &TimelyEvent) {
        match event {
            TimelyEvent::Operates(operator) => {
                if let [dataflow] = operator.addr.as_slice() {
                    self.of.insert(operator.id, *dataflow);
                }
            }
            TimelyEvent::Schedule(event) if self.of.contains_key(&event.id) => match event.start_stop {
                StartStop::Start => _ = self.began.insert(event.id, time),
                StartStop::Stop => {
                    let began = self.began.remove(&event.id).unwrap_or(time);
                    *self.times.entry(self.of[&event.id]).or_default() += time.saturating_sub(began);
                }
            },
            _ => {}
        }
    }
}
