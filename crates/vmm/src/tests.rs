//! A small QEMU to talk to, and what the handle makes of its answers.

pub(crate) mod fake;
mod monitor;
mod version;
