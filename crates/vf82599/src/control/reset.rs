//! Resets, and the end of the function.

use pcie::ResetKind as ConfigResetKind;
use port::GuestRequest;

use super::Control;
use crate::host::Host;
use crate::profile::MsixExposure;
use crate::register_map::{Access, REGISTERS};
use crate::registers::{CONTROL, ENABLE, QUEUES, VFMRQC, VFRETA, VFRSSRK, rx, tx};
use crate::sign::GuestSign;
use crate::state::{VfState, word};

/// VFMRQC of a PF that spreads frames by addresses and TCP ports, in both versions of IP.
const PF_RSS: u32 = 0x0033_0001;

/// How the function is reset. VFCTRL.RST, the driver's own reset, comes by the register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetKind {
    /// By the physical function (`OID_SRIOV_RESET_VF`). A guest does the same through config space.
    FunctionLevel,
    /// By the VMM, with its machine: vfio-user DEVICE_RESET.
    Device,
    /// The VMM has closed its connection.
    Disconnected,
}

/// How much of the device a reset concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Extent {
    /// VFCTRL.RST: config space, MSI-X and statistics stay.
    Driver = 1,
    /// Function level reset and all that goes further.
    Function = 2,
}

impl Control {
    /// Resets the function. When this returns all DMA has ended, and nothing of what the guest set up is left but,
    /// through a function level reset, what PCIe calls sticky.
    pub fn reset(&mut self, kind: ResetKind, host: &mut dyn Host) {
        let config_kind = match kind {
            ResetKind::FunctionLevel => ConfigResetKind::FunctionLevel,
            ResetKind::Device | ResetKind::Disconnected => ConfigResetKind::Conventional,
        };
        self.config.reset(config_kind);
        self.reset_device(Extent::Function, host);
        match kind {
            ResetKind::FunctionLevel => {}
            ResetKind::Device => self.config.set_capabilities_hidden(false),
            ResetKind::Disconnected => self.hide_capabilities(),
        }
    }

    /// Takes the function away from under the guest (surprise removal). When this returns all DMA has ended. From now
    /// on reads are all ones, writes are ignored, and nothing brings it back.
    pub fn unplug(&mut self, host: &mut dyn Host) {
        self.state.private.store(word::UNPLUGGED, 1);
        self.stop_queues(host);
        self.look_for_sign(host);
    }

    /// Carries a reset out. Config space, where it is concerned, is reset already.
    pub(super) fn reset_device(&mut self, extent: Extent, host: &mut dyn Host) {
        self.state.private.store(word::RESETTING, extent as u32);
        self.stop_queues(host);
        match extent {
            Extent::Driver => self.forget_driver(),
            Extent::Function => self.clear_function(),
        }
        host.request(GuestRequest::Reset);
        self.state.private.store(word::RESETTING, 0);
        self.update_dma(host);
        host.guest_sign(match extent {
            Extent::Driver => GuestSign::DriverReset,
            Extent::Function => GuestSign::FunctionReset,
        });
        self.look_for_sign(host);
    }

    /// Finishes the reset in which an earlier data path ended.
    pub(super) fn resume_reset(&mut self, host: &mut dyn Host) {
        match self.state.private.load(word::RESETTING) {
            0 => {}
            extent if extent == Extent::Driver as u32 => self.reset_device(Extent::Driver, host),
            _ => self.reset_device(Extent::Function, host),
        }
    }

    /// The first state of a function: there is no worker and no driver to care for.
    pub(super) fn power_on(&self) {
        self.state.private.store(word::DMA_ENABLED, 0);
        self.state.private.store(word::RESETTING, 0);
        self.clear_function();
        self.hide_capabilities();
    }

    /// Stops the data half: no queue is enabled and no memory is touched when this returns.
    fn stop_queues(&self, host: &mut dyn Host) {
        self.state.private.store(word::DMA_ENABLED, 0);
        for queue in 0..QUEUES {
            for (control, generations) in
                [(rx(queue, CONTROL), word::RX_GENERATION), (tx(queue, CONTROL), word::TX_GENERATION)]
            {
                self.state.private.fetch_add(generations + queue as usize, 1);
                self.state.set_register(control, self.state.register(control) & !ENABLE);
            }
        }
        host.quiesce();
    }

    fn clear_function(&self) {
        self.forget_driver();
        reset_registers(&self.state, |access| {
            matches!(access, Access::ReadOnly | Access::OctetsLow | Access::OctetsHigh)
        });
        self.state.private.window(word::COUNTERS, word::COUNTERS_LEN).clear();
        self.msix.reset();
    }

    /// Registers and mailbox as after VFCTRL.RST. Statistics stay: drivers add up differences, and would take a
    /// counter that starts over for one that has wrapped.
    fn forget_driver(&self) {
        self.interrupts.reset();
        reset_registers(&self.state, |access| {
            matches!(
                access,
                Access::Stored | Access::Rss | Access::Head | Access::Tail | Access::QueueControl
            )
        });
        self.program_pf_rss();
        self.mailbox.reset();
    }

    /// In personalities whose guests do not program RSS the physical function does: its key, and all queue pairs in
    /// turn. The guest says in VFPSRTYPE how many of them it uses.
    fn program_pf_rss(&self) {
        if self.profile.rss_registers {
            return;
        }
        let identity = self.mailbox.identity();
        for (n, bytes) in (0..).zip(identity.rss_key.as_chunks().0) {
            self.state.set_register(VFRSSRK + 4 * n, u32::from_le_bytes(*bytes));
        }
        // The table of these parts has two bits per entry.
        let queues = 1 << identity.queue_pairs().ilog2().min(2);
        for n in 0..16 {
            let entries = [0, 1, 2, 3].map(|slot| slot % queues);
            self.state.set_register(VFRETA + 4 * n, u32::from_le_bytes(entries));
        }
        self.state.set_register(VFMRQC, if queues > 1 { PF_RSS } else { 0 });
    }

    fn hide_capabilities(&self) {
        self.config.set_capabilities_hidden(self.mailbox.identity().msix == MsixExposure::Deferred);
    }
}

/// Stores the reset values of the registers of some kinds.
fn reset_registers(state: &VfState, of_kind: impl Fn(Access) -> bool) {
    for register in REGISTERS.iter().filter(|register| of_kind(register.access)) {
        for n in 0..register.count {
            state.set_register(register.offset + n * register.stride, register.reset);
        }
    }
}
