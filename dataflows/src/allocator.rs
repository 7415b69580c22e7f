//! The allocator of every process that runs an engine, set the same in the binaries and in the benchmarks.
pub use mimalloc::MiMalloc;

unsafe extern "C" {
    /// Sets an option of the allocator (mimalloc.h).
    fn mi_option_set(option: std::ffi::c_int, value: std::ffi::c_long);
}

/// `mi_option_purge_delay`: how long freed memory is kept before the system has it back.
const PURGE_DELAY: std::ffi::c_int = 15;
/// A tick frees what the next one needs: given back in between, each page is cleared by the system again, a quarter to a half of all
/// time.
const PURGE_DELAY_MS: std::ffi::c_long = 60_000;

/// Keeps freed memory for a minute. To be called first in `main`, where [`MiMalloc`] is the global allocator.
pub fn keep_freed() {
    // SAFETY: the allocator is linked in with this crate, knows the option by this number in its versions 2 and 3, and takes any value.
    unsafe { mi_option_set(PURGE_DELAY, PURGE_DELAY_MS) };
}
