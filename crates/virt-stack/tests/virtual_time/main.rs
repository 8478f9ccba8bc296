//! The stack in virtual time: a real NIC that answers its OID requests, model guests, VMMs and data path.
#![expect(
    clippy::print_stdout,
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "the whole program is a test"
)]

mod by_hand;
mod failover;
mod failures;
mod lifecycle;
mod random;
mod scheduling;
mod world;
