//! What the benchmarks share.
pub mod events;
