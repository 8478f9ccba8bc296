//! The daemon from end to end: the real program, VMMs and guests at its sockets, no QEMU.
#![expect(clippy::tests_outside_test_module, clippy::unwrap_used, reason = "the whole program is a test")]

mod capture;
mod common;
mod desired;
mod hostile;
mod lifecycle;
mod network;
mod paths;
mod queues;
mod rebuild;
mod refusals;
mod remote;
mod resources;
mod state_file;
mod synthetic;
mod traffic;
mod vlans;
