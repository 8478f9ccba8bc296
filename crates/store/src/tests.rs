//! The store against a map in memory, and what it refuses.

mod changes;
mod crash;
mod model;
