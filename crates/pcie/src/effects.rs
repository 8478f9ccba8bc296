//! What a change of config space asks its owner to do.
//!
//! Effects are found by comparing the control registers before and after, so that a write of the value that is there
//! already asks for nothing.

use arrayvec::ArrayVec;

use crate::config_space::ConfigSpace;
use crate::registers::{command, header, msix, sriov};

/// Power state of a function (PCIe 5.3.1). D1 and D2 are optional and not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerState {
    /// Working.
    D0,
    /// Config space answers; no memory access is answered, and no DMA and no message is sent.
    D3Hot,
}

/// MSI-X Message Control (PCIe 7.7.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixControl {
    /// MSI-X Enable.
    pub enable: bool,
    /// Function Mask: every vector is masked, whatever its own mask bit says.
    pub mask_all: bool,
}

/// One thing that the owner of a function has to act on before it answers the access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigEffect {
    /// A function level reset. Config space is reset already; what this changed follows as effects of its own. The
    /// owner ends all DMA, resets the device and its [`MsixTable`](crate::MsixTable).
    FunctionLevelReset,
    /// VF Enable changed. Owners of vanishing VFs end their DMA.
    VfEnableChanged {
        /// Whether the VFs exist now.
        enabled: bool,
        /// How many VFs appeared or vanished.
        num_vfs: u16,
    },
    /// VF Memory Space Enable changed: the VFs answer at their BARs in the PF's SR-IOV capability, or no longer.
    VfMse(bool),
    /// The Command register changed.
    CommandChanged {
        /// Accesses to the BARs are answered.
        memory: bool,
        /// The function may send memory requests: DMA and messages.
        bus_master: bool,
        /// INTx is not disabled.
        intx: bool,
    },
    /// The function's power state changed.
    PowerState(PowerState),
    /// MSI-X Message Control changed: call [`MsixTable::release`](crate::MsixTable::release).
    MsixControlChanged(MsixControl),
    /// A BAR was written, possibly to learn its size.
    BarsChanged,
    /// A VF BAR of the SR-IOV capability was written, possibly to learn its size.
    VfBarsChanged,
}

/// The effects of one access, in the order in which they are to be acted on.
///
/// Each kind occurs at most once.
pub type ConfigEffects = ArrayVec<ConfigEffect, 8>;

/// The registers whose changes are effects.
#[derive(Clone, Copy)]
pub(crate) struct Controls {
    command: u32,
    power: PowerState,
    msix: Option<MsixControl>,
    bars: [u32; 6],
    sriov: Option<SriovControls>,
}

#[derive(Clone, Copy)]
struct SriovControls {
    enabled: bool,
    memory: bool,
    num_vfs: u16,
    bars: [u32; 6],
}

impl Controls {
    pub(crate) fn of(space: &ConfigSpace) -> Self {
        let bars = |first| std::array::from_fn(|index| space.word(first + index));
        Self {
            command: space.word(command::WORD),
            power: space.power_state(),
            msix: space.msix_control(),
            bars: bars(header::BAR0),
            sriov: space.layout().sriov().map(|_| {
                let control = space.word(sriov::CONTROL_WORD);
                SriovControls {
                    enabled: control & sriov::VF_ENABLE != 0,
                    memory: control & sriov::VF_MSE != 0,
                    num_vfs: space.num_vfs_register(),
                    bars: bars(sriov::VF_BAR0_WORD),
                }
            }),
        }
    }

    /// Adds what has changed since `self` was taken, if it is `now`.
    pub(crate) fn changes(&self, now: &Self, effects: &mut ConfigEffects) {
        if let (Some(before), Some(after)) = (&self.sriov, &now.sriov) {
            if before.enabled != after.enabled {
                // A reset that clears VF Enable clears NumVFs with it: what vanishes is what was there.
                let num_vfs = if after.enabled { after.num_vfs } else { before.num_vfs };
                effects.push(ConfigEffect::VfEnableChanged { enabled: after.enabled, num_vfs });
            }
            if before.memory != after.memory {
                effects.push(ConfigEffect::VfMse(after.memory));
            }
            if before.bars != after.bars {
                effects.push(ConfigEffect::VfBarsChanged);
            }
        }
        let control = command::MEMORY_SPACE | command::BUS_MASTER | command::INTERRUPT_DISABLE;
        if (self.command ^ now.command) & control != 0 {
            effects.push(ConfigEffect::CommandChanged {
                memory: now.command & command::MEMORY_SPACE != 0,
                bus_master: now.command & command::BUS_MASTER != 0,
                intx: now.command & command::INTERRUPT_DISABLE == 0,
            });
        }
        if self.power != now.power {
            effects.push(ConfigEffect::PowerState(now.power));
        }
        if let (Some(before), Some(after)) = (self.msix, now.msix)
            && before != after
        {
            effects.push(ConfigEffect::MsixControlChanged(after));
        }
        if self.bars != now.bars {
            effects.push(ConfigEffect::BarsChanged);
        }
    }
}

impl MsixControl {
    pub(crate) const fn from_word(word: u32) -> Self {
        Self { enable: word & msix::ENABLE != 0, mask_all: word & msix::FUNCTION_MASK != 0 }
    }
}
