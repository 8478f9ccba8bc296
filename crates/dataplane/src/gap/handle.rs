//! The control side's orders.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use nic_switch::VPortId;
use sys::clock;

use super::store::Store;
use super::{Gap, GapCounters, GapLimits};
use crate::handle::{Command, Handle};
use crate::hold::Allowance;
use crate::place::Place;

/// What the worker is told about the gap of a NIC.
pub(crate) enum GapCommand {
    /// The gap is for a NIC that has none.
    Arm {
        gap: Box<Gap>,
        vport: usize,
        reply: Sender<Arc<GapCounters>>,
    },
    Hold {
        reply: Sender<()>,
    },
    Release {
        to: usize,
        reply: Sender<()>,
    },
    Disarm,
}

/// There is no gap that could be told to hold or release frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no gap is armed for NIC {nic}: arm one first")]
pub struct NoGap {
    /// The NIC.
    pub nic: u32,
}

/// Gaps: while a guest is between two paths its frames are kept. Each call returns when the worker has taken note of
/// it; none waits for guests.
impl Handle {
    /// From now on a frame for `vport`, the VPort of NIC number `nic`'s VF, that is refused because the VF's receive
    /// ring is closed ([`port::Refusal::NotReady`]) or its device is gone is kept instead of lost, and begins a gap:
    /// from that one on, all frames for the VPort or the NIC are kept, each once, until [`Handle::release`]. Frames
    /// that the guest sent itself are none of them.
    ///
    /// A NIC that has a gap already keeps it, with its frames, limits and counters; only the VPort is replaced. A
    /// VPort belongs to one gap: another that watched it does so no more.
    ///
    /// The gap ends when it is released to the NIC and drained, or disarmed. It outlives the ports at both places,
    /// not the worker.
    ///
    /// # Errors
    /// No memory, mapping or file descriptor left.
    ///
    /// # Panics
    /// If there is no such NIC or VPort.
    pub fn arm_gap(&self, nic: u32, vport: VPortId, limits: GapLimits) -> io::Result<Arc<GapCounters>> {
        let full = Allowance::new(clock::cycles_per_microsecond(), clock::tsc());
        let gap = Box::new(Gap::new(Store::new(limits)?, full));
        let counters = Arc::clone(&gap.counters);
        let vport = self.shared.extent.index(Place::VPort(vport));
        let (reply, answer) = std::sync::mpsc::channel();
        self.gap(nic, GapCommand::Arm { gap, vport, reply });
        // No answer: the worker has ended, and with it the gap.
        Ok(answer.try_recv().unwrap_or(counters))
    }

    /// From now on all frames for NIC number `nic` and the VPort of its gap are kept, and none leaves the buffer. To
    /// be called before the switches are told of another path: a frame that finds both meanwhile, or the one where
    /// the guest does not listen any more or yet, is kept once.
    ///
    /// # Errors
    /// No gap is armed.
    ///
    /// # Panics
    /// If there is no such NIC.
    pub fn hold(&self, nic: u32) -> Result<(), NoGap> {
        let (reply, answer) = std::sync::mpsc::channel();
        self.gap(nic, GapCommand::Hold { reply });
        answer.try_recv().map_err(|_| NoGap { nic })
    }

    /// Has the frames that were kept for NIC number `nic` delivered at `to`, the NIC or its VPort, in their order,
    /// before any newer frame for them. That goes on after this returns, as the receiver makes room: a port that is
    /// full, closed or not there is waited for, until it is released to another or disarmed. [`GapCounters::read`]
    /// says how far it is; it ends at once if nothing was kept.
    ///
    /// To be called when the switches that lead the guest's frames to `to` are published, the new path before the old
    /// one is taken away where these are two: a broadcast that finds none is nobody's to keep. Released to the NIC,
    /// the gap is over when it is drained, and has nothing to do with the VPort from now on. Released to a VPort, it
    /// is armed for that again.
    ///
    /// # Errors
    /// No gap is armed.
    ///
    /// # Panics
    /// If there is no such NIC or place, or it is neither that NIC nor a VPort.
    pub fn release(&self, nic: u32, to: Place) -> Result<(), NoGap> {
        assert!(
            to == Place::Nic(nic) || matches!(to, Place::VPort(_)),
            "frames of NIC {nic} are not for {to:?}"
        );
        let (reply, answer) = std::sync::mpsc::channel();
        self.gap(nic, GapCommand::Release { to: self.shared.extent.index(to), reply });
        answer.try_recv().map_err(|_| NoGap { nic })
    }

    /// Ends the gap of NIC number `nic`, if it has one. Frames in it are lost, and counted
    /// ([`port::Refusal::GapDiscarded`]). To be called before the VPort is given to another adapter.
    ///
    /// # Panics
    /// If there is no such NIC.
    pub fn disarm_gap(&self, nic: u32) {
        self.gap(nic, GapCommand::Disarm);
    }

    fn gap(&self, nic: u32, command: GapCommand) {
        let place = self.shared.extent.index(Place::Nic(nic));
        self.carry_out(Command::Gap { place, nic: nic as usize, command: Box::new(command) });
    }
}
