//! Frames that were lost without a [`port::Put`] or [`port::Malformed`] to tell: by the kernel, or after a port had taken
//! them.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::syscall::get_option;

/// Counters of one queue, which its port alone writes.
#[derive(Debug, Default)]
pub(crate) struct LossCounters {
    truncated: AtomicU64,
    link_down: AtomicU64,
    refused: AtomicU64,
}

impl LossCounters {
    /// A frame was longer than a place in the ring, and the kernel had no room to keep it apart.
    pub(crate) fn truncated(&self) {
        add(&self.truncated, 1);
    }

    /// The netdev was switched off or removed before frames went out.
    pub(crate) fn link_down(&self, frames: usize) {
        add(&self.link_down, frames as u64);
    }

    /// The kernel did not take a frame.
    pub(crate) fn refused(&self) {
        add(&self.refused, 1);
    }
}

/// There is one writer, so that no atomic addition is needed.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// How the kernel is asked what it lost of a queue's frames. The queue belongs to its port: once that is dropped,
/// nothing is lost any more.
#[derive(Clone, Debug)]
pub(crate) enum KernelLosses {
    Packet(Weak<OwnedFd>),
    Xdp(Weak<OwnedFd>),
}

#[derive(Debug)]
pub(crate) struct QueueLosses {
    pub(crate) counters: Arc<LossCounters>,
    pub(crate) kernel: KernelLosses,
    /// Packet sockets start over each time they are asked.
    ring_full: u64,
}

impl QueueLosses {
    pub(crate) fn new(counters: Arc<LossCounters>, kernel: KernelLosses) -> Self {
        Self { counters, kernel, ring_full: 0 }
    }

    fn ring_full(&mut self) -> u64 {
        match &self.kernel {
            KernelLosses::Packet(socket) => {
                let asked = socket.upgrade().and_then(|socket| {
                    get_option::<2>(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS).ok()
                });
                if let Some([_frames, drops]) = asked {
                    self.ring_full += u64::from(drops);
                }
            }
            KernelLosses::Xdp(socket) => {
                let asked =
                    socket.upgrade().and_then(|socket| rustix::net::sockopt::xdp_statistics(&*socket).ok());
                if let Some(all) = asked {
                    self.ring_full = all.rx_dropped + all.rx_ring_full.unwrap_or(0);
                }
            }
        }
        self.ring_full
    }
}

/// Frames lost by an uplink, by the name of the reason.
#[derive(Debug, Default)]
pub struct Losses(pub(crate) Vec<QueueLosses>);

impl Losses {
    /// Names of the reasons with the number of frames that were lost since the uplink was opened, of all its queues
    /// together:
    ///
    /// * `uplink_rx_ring_full`: the worker did not fetch them in time; for AF_XDP also frames longer than a buffer.
    /// * `uplink_rx_truncated`: longer than a place in the ring, and the kernel had no room to keep them apart.
    /// * `uplink_tx_link_down`: taken by the port, then the netdev was switched off or removed.
    /// * `uplink_tx_refused`: taken by the port, then the kernel refused them.
    ///
    /// Asks the kernel: for control threads.
    pub fn read(&mut self) -> [(&'static str, u64); 4] {
        let sum = |pick: fn(&LossCounters) -> &AtomicU64, queues: &[QueueLosses]| {
            queues.iter().map(|queue| pick(&queue.counters).load(Ordering::Relaxed)).sum()
        };
        let ring_full = self.0.iter_mut().map(QueueLosses::ring_full).sum();
        [
            ("uplink_rx_ring_full", ring_full),
            ("uplink_rx_truncated", sum(|c| &c.truncated, &self.0)),
            ("uplink_tx_link_down", sum(|c| &c.link_down, &self.0)),
            ("uplink_tx_refused", sum(|c| &c.refused, &self.0)),
        ]
    }
}
