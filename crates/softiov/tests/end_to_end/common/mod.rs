//! A daemon in a process of its own, and what talks to it.
//!
//! | file | what it is |
//! |---|---|
//! | `daemon` | the process, its command line, what `/proc` says of it |
//! | `vmm` | a vfio-user client: what a VMM does with a VF |
//! | `memory` | guest memory |
//! | `driver` | a guest's driver on top of these: registers, mailbox, rings |
//! | `frames` | frames and what is in them |
//! | `stream` | traffic in the background |
//! | `wire` | a network namespace with an uplink's netdev in it |
//!
//! VMM and driver use nothing of softiov but its sockets. They show in few lines what a VMM has to do to use a VF.

pub(crate) mod daemon;
pub(crate) mod driver;
pub(crate) mod frames;
pub(crate) mod front_end;
pub(crate) mod memory;
pub(crate) mod stream;
pub(crate) mod vmm;
pub(crate) mod wire;

use std::time::{Duration, Instant};

/// More than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `probe` has something; fails with `what` if that takes too long.
pub(crate) fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// As [`wait_for`], for something that becomes true.
pub(crate) fn wait_until(what: &str, mut probe: impl FnMut() -> bool) {
    wait_for(what, || probe().then_some(()));
}
