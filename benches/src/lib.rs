//! What the benchmarks share.
pub mod events;
pub mod usage;
