//! `Ward`: what keeps one dataflow from harming others. It counts what its operators hold, and stops them all when that is too much or
//! when one of them failed inside: from then on they take their input and hold nothing, and the dataflow has one failure in place of rows.
use crate::contain::{contain, fault};
use arrow::array::{Array, RecordBatch};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Shared by the operators of a dataflow, and for a view by those of all workers.
pub(crate) struct Ward {
    /// What is kept: "view totals".
    name: String,
    bytes_max: usize,
    bytes: AtomicUsize,
    /// Why it was stopped.
    why: OnceLock<Arc<str>>,
}

impl Ward {
    pub(crate) fn new(name: String, bytes_max: usize) -> Arc<Ward> {
        Arc::new(Ward { name, bytes_max, bytes: AtomicUsize::new(0), why: OnceLock::new() })
    }

    /// Why it was stopped, if it was.
    pub(crate) fn stopped(&self) -> Option<&Arc<str>> {
        self.why.get()
    }

    /// What its operators hold, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Does an operator's work; a panic in it stops the dataflow.
    pub(crate) fn contain<T>(&self, operator: &str, work: impl FnOnce() -> T) -> Option<T> {
        let work = || {
            fault(|| format!("{operator} of {}", self.name));
            work()
        };
        match contain(work) {
            Ok(done) => Some(done),
            Err(why) => {
                self.stop(format!("its operator {operator} failed inside: {why}"));
                None
            }
        }
    }

    fn stop(&self, why: String) {
        // The first reason stands.
        _ = self.why.set(format!("{} was stopped: {why}", self.name).into());
    }
}

/// What one operator holds of it.
pub(crate) struct Share {
    ward: Arc<Ward>,
    bytes: usize,
}

impl Share {
    pub(crate) fn new(ward: &Arc<Ward>) -> Share {
        Share { ward: ward.clone(), bytes: 0 }
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        let ward = &self.ward;
        let before = match bytes > self.bytes {
            true => ward.bytes.fetch_add(bytes - self.bytes, Ordering::Relaxed),
            false => ward.bytes.fetch_sub(self.bytes - bytes, Ordering::Relaxed),
        };
        let now = before.wrapping_add(bytes).wrapping_sub(self.bytes);
        self.bytes = bytes;
        if now > ward.bytes_max {
            let (mib, most) = (now >> 20, ward.bytes_max >> 20);
            ward.stop(format!(
                "it needs about {mib} MiB of state, and one may have {most} MiB: drop it, and declare it over fewer rows"
            ));
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The bytes of a batch's own rows, whatever they are a part of.
pub(crate) fn bytes_of(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_the_first_reason_stands() {
        let ward = Ward::new("view v".into(), 100 << 20);
        let (mut a, mut b) = (Share::new(&ward), Share::new(&ward));
        a.set(60 << 20);
        b.set(30 << 20);
        a.set(50 << 20);
        assert_eq!((ward.bytes() >> 20, ward.stopped()), (80, None));
        b.set(60 << 20);
        assert!(ward.stopped().is_some_and(|why| why.contains("view v") && why.contains("110 MiB")));
        assert_eq!(ward.contain("Map", || -> u8 { panic!("oh") }), None);
        drop((a, b));
        assert!(ward.bytes() == 0 && ward.stopped().is_some_and(|why| why.contains("110 MiB")));
    }
}
