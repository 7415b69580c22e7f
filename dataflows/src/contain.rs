//! Panics that end one statement or one view, and nothing else.
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Does some work; a panic in it is an error, with what the panic said. What the work had in hand must not be used again then.
pub fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    DEPTH.set(DEPTH.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    done.map_err(|panic| said(&*panic))
}

/// Whether a panic here would be contained: who aborts the process on panics asks first.
pub fn is_contained() -> bool {
    DEPTH.get() > 0
}

/// What a panic said, in a line.
pub fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given");
    text.lines().next().unwrap_or_default().to_owned()
}

/// The place at which a test wants a panic.
static FAULT: Mutex<Option<String>> = Mutex::new(None);
/// Whether there is one: looked at wherever a panic may be contained.
static HAS_FAULT: AtomicBool = AtomicBool::new(false);

/// For tests: the next work at this place (`Map of view v`, `worker 0`, `statement`) panics, once.
pub fn inject(place: &str) {
    *FAULT.lock().unwrap_or_else(PoisonError::into_inner) = Some(place.to_owned());
    HAS_FAULT.store(true, Ordering::Release);
}

/// Panics if a test wants it here.
pub fn fault(place: impl FnOnce() -> String) {
    if HAS_FAULT.load(Ordering::Acquire) {
        let place = place();
        let mut fault = FAULT.lock().unwrap_or_else(PoisonError::into_inner);
        if fault.as_deref() == Some(&place) {
            *fault = None;
            HAS_FAULT.store(false, Ordering::Release);
            drop(fault);
            panic!("a fault was injected at {place}");
        }
    }
}
