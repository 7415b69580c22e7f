//! The thread of one sink: does what its [`Outlet`] says. Who publishes never waits for it.
use super::offer::Offer;
use super::outlet::{Act, Outlet};
use super::spec::Spec;
use sinks::{Sink, SinkError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A sink that runs, or has stopped with a reason.
pub struct Running {
    /// What was declared.
    pub spec: Spec,
    outlet: Mutex<Outlet>,
    changed: Condvar,
    ending: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
    warning: Mutex<Option<String>>,
}

impl Running {
    /// Starts the thread; where the sink could not even be made, there is only a reason.
    pub fn start(spec: Spec, mut outlet: Outlet, sink: Result<Box<dyn Sink>, String>) -> Arc<Running> {
        let sink = sink.map_err(|why| outlet.stop(why)).ok();
        let running = Arc::new(Running {
            outlet: Mutex::new(outlet),
            changed: Condvar::new(),
            ending: AtomicBool::new(false),
            thread: Mutex::new(None),
            warning: Mutex::default(),
            spec,
        });
        if let Some(sink) = sink {
            let own = running.clone();
            let name = format!("sink-{}", running.spec.name.chars().take(10).collect::<String>());
            let thread = std::thread::Builder::new().name(name).spawn(move || own.drive(sink));
            let thread = thread.expect("threads can be started");
            *running.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        }
        running
    }

    /// One without a thread: a simulation does what its outlet says.
    pub(crate) fn driven(spec: Spec, outlet: Outlet) -> Arc<Running> {
        let (outlet, changed, ending) = (Mutex::new(outlet), Condvar::new(), AtomicBool::new(false));
        Arc::new(Running {
            spec,
            outlet,
            changed,
            ending,
            thread: Mutex::new(None),
            warning: Mutex::default(),
        })
    }

    /// The state machine. It is whole whoever panicked: the sink's own panics are caught.
    pub fn outlet(&self) -> MutexGuard<'_, Outlet> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store could not take, though it goes on.
    pub fn warning(&self) -> Option<String> {
        self.warning.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A tick was published.
    pub fn offer(&self, offer: &Offer) {
        self.outlet().offer(offer);
        self.changed.notify_all();
    }

    /// Changes the outlet and wakes its thread.
    pub fn with(&self, change: impl FnOnce(&mut Outlet)) {
        change(&mut self.outlet());
        self.changed.notify_all();
    }

    /// Waits until something is true of the outlet, or time is up.
    pub fn wait(&self, timeout: Duration, done: impl Fn(&Outlet) -> bool) -> bool {
        let began = Instant::now();
        let mut outlet = self.outlet();
        while !done(&outlet) {
            let Some(left) = timeout.checked_sub(began.elapsed()) else { return false };
            outlet = self.changed.wait_timeout(outlet, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Ends the thread after what it is doing; after a while without waiting for it.
    pub fn end(&self, patience: Duration) {
        self.ending.store(true, Ordering::Release);
        self.changed.notify_all();
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let began = Instant::now();
        while !thread.is_finished() && began.elapsed() < patience {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        if thread.is_finished() {
            _ = thread.join();
        }
    }

    fn drive(&self, mut sink: Box<dyn Sink>) {
        while let Some(act) = self.act() {
            match act {
                Act::Open => {
                    let held = contained(|| sink.open());
                    self.outlet().opened(held);
                }
                Act::Apply(draft) => {
                    let delivery = draft.delivery();
                    let done = contained(|| sink.apply(&delivery));
                    self.warned(sink.warning());
                    self.outlet().applied(done);
                }
                Act::Wait(pause) => {
                    self.pause(Duration::from_millis(pause));
                    self.outlet().waited();
                }
                Act::Idle => {}
                Act::Stop => break,
            }
            self.changed.notify_all();
        }
    }

    /// Says it once, where operators look.
    fn warned(&self, now: Option<String>) {
        let mut warning = self.warning.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = now.as_ref().filter(|_| *warning != now) {
            report!("tallyflow: sink {:?}: {text}", self.spec.name);
        }
        *warning = now;
    }

    /// What to do next, once there is something; none at the end.
    fn act(&self) -> Option<Act> {
        let mut outlet = self.outlet();
        loop {
            if self.ending.load(Ordering::Acquire) {
                return None;
            }
            match outlet.act() {
                Act::Idle => outlet = self.changed.wait(outlet).unwrap_or_else(PoisonError::into_inner),
                act => return Some(act),
            }
        }
    }

    fn pause(&self, pause: Duration) {
        let began = Instant::now();
        let mut outlet = self.outlet();
        while !self.ending.load(Ordering::Acquire)
            && let Some(left) = pause.checked_sub(began.elapsed())
        {
            outlet = self.changed.wait_timeout(outlet, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A panic of a sink is a failure of that sink.
fn contained<T>(act: impl FnOnce() -> Result<T, SinkError>) -> Result<T, SinkError> {
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|_| Err(SinkError::Fatal("the sink panicked: this is a bug".into())))
}
