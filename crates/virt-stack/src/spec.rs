//! What the stack is told about adapters, the NIC and time.

use std::time::Duration;

use nic_switch::{Capabilities, FilterTest, InterruptModeration, PortSecurity};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::VmId;

/// Who plugs the VF into the VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Vmm {
    /// The stack, by QMP.
    Qmp,
    /// A person: the VF is offered at its socket and stays there, and the stack follows what the guest does. As
    /// nobody can be asked to unplug it, to leave is a surprise removal after a time-out.
    ByHand,
}

/// A VM network adapter as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSpec {
    /// The VM that has it.
    pub vm: VmId,
    /// Name of the VM, for people and for ALLOCATE_VF; at most 256 UTF-16 units, as `name`.
    pub vm_name: String,
    /// Name of the adapter within the VM.
    pub name: String,
    /// Who plugs VFs into the VM.
    pub vmm: Vmm,
    /// Its switch is the external one, above the SR-IOV adapter; others can have no VF.
    pub above_nic: bool,
    /// IovWeight, 0 to 100: 0 never gives it a VF (`spec/ndis.md` C.10).
    pub weight: u8,
    /// IovQueuePairs: what its VF's VPort has, at least 1.
    pub queue_pairs: u32,
    /// IovInterruptModeration.
    pub interrupt_moderation: InterruptModeration,
    /// What its receive filter matches; the address is that of its VF.
    pub test: FilterTest,
    /// What its guest may do on a VF.
    pub security: PortSecurity,
}

impl AdapterSpec {
    /// Whether a VF made for `other` is not the one that this asks for: these parts of a VF are fixed when it is
    /// made.
    pub(crate) fn needs_another_vf(&self, other: &Self) -> bool {
        self.test.mac != other.test.mac
            || self.queue_pairs != other.queue_pairs
            || self.interrupt_moderation != other.interrupt_moderation
            || self.vmm != other.vmm
    }
}

/// What the NIC has for VFs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// What its switch can do.
    pub capabilities: Capabilities,
    /// NumVFs that were enabled when the NIC was started; cannot change while it runs.
    pub enabled_vfs: u16,
    /// Nondefault VPorts that the PF has.
    pub pf_vports: u32,
    /// Queue pairs of all VPorts of the PF, the default one included.
    pub pf_queue_pairs: u32,
    /// Queue pairs of each nondefault VPort of the PF, if it has any. On a NIC whose VPorts cannot differ, VFs have
    /// to have as many.
    pub pf_vport_queue_pairs: Option<u32>,
}

impl Budgets {
    /// VPorts that VFs can have together: in a single pool what the PF leaves, otherwise one for each VF (D.8).
    pub(crate) fn vports(&self) -> u32 {
        match self.capabilities.single_vport_pool {
            true => self.capabilities.max_vports.saturating_sub(1).saturating_sub(self.pf_vports),
            false => u32::from(self.capabilities.max_vfs),
        }
    }

    /// Queue pairs that VFs can have together.
    pub(crate) fn queue_pairs(&self) -> u32 {
        self.capabilities.max_queue_pairs.saturating_sub(self.pf_queue_pairs)
    }
}

/// Times and limits. The defaults suit QEMU with ACPI hot-plug, which unplugs in 30 to 80 ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a guest that was asked to unplug may take, before the VF is taken from it by surprise. Native PCIe
    /// hot-plug takes 6 s. Default 10 s.
    pub leave_timeout: Duration,
    /// How long frames are held at most for a guest that hears on neither path. Default 2 s.
    pub hold_limit: Duration,
    /// How long a new holder, once its VF is being plugged in, is safe from heavier adapters. It doubles with each
    /// time that the holder takes a VF from another or loses it to one, up to 16 times as long, and is back after
    /// `forget` without. So a weight that flaps moves a VF ever less often. Default 5 s.
    pub least_hold: Duration,
    /// See `least_hold`. Default 10 min.
    pub forget: Duration,
    /// Wait before a step of a teardown, or a receive filter, that the NIC refused is tried again; doubles up to
    /// `retry_most`. Default 100 ms.
    pub retry_first: Duration,
    /// Default 30 s.
    pub retry_most: Duration,
    /// Wait before an adapter whose VF failed gets another; doubles up to `cooling_most`, and begins anew after a
    /// VF that was active for that long. Default 1 s.
    pub cooling_first: Duration,
    /// Default 60 s.
    pub cooling_most: Duration,
    /// Wait before a VMM is asked again to unplug; doubles up to a minute. Default 5 s.
    pub unplug_again: Duration,
    /// How long a device that a VMM has from an earlier life of the daemon may take to turn out to be connected,
    /// before it is unplugged. Default 1 s.
    pub adopt_within: Duration,
    /// How long the data path may take to report what was held. Default 5 s.
    pub report_within: Duration,
    /// Moves of its filter to its VF that a guest may cause at once, by closing and opening its receive ring: a
    /// move is work for every worker. Default 32.
    pub moves: u32,
    /// How long it takes until the guest may cause one more. Default 20 ms.
    pub move_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        Self {
            leave_timeout: s(10),
            hold_limit: s(2),
            least_hold: s(5),
            forget: s(600),
            retry_first: ms(100),
            retry_most: s(30),
            cooling_first: s(1),
            cooling_most: s(60),
            unplug_again: s(5),
            adopt_within: s(1),
            report_within: s(5),
            moves: 32,
            move_every: ms(20),
        }
    }
}

/// `first` doubled `times` times, at most `most`.
pub(crate) fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(most)
}
