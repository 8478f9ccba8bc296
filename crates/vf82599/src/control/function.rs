//! The PCI function: config space and the MSI-X BAR.

use pcie::{ConfigEffect, PowerState, Released};

use super::Control;
use super::reset::Extent;
use crate::host::Host;
use crate::rejection::Rejection;
use crate::sign::GuestSign;
use crate::state::word;

impl Control {
    /// Reads `data.len()` bytes at `offset` of config space. Past its end bytes are 0, in a function that is gone they
    /// are all ones.
    pub fn config_read(&self, offset: u64, data: &mut [u8]) {
        if self.is_unplugged() {
            data.fill(0xff);
            return;
        }
        let read = u16::try_from(offset).is_ok_and(|offset| self.config.read_bytes(offset, data).is_ok());
        if !read {
            self.reject(Rejection::ConfigAccess);
            data.fill(0);
        }
    }

    /// Writes `data`, of 1, 2 or 4 bytes, at `offset` of config space. Returns when all that the write asks for is
    /// done: after bus mastering is off or the function reset or powered down no DMA happens.
    pub fn config_write(&mut self, offset: u64, data: &[u8], host: &mut dyn Host) {
        if self.is_unplugged() {
            self.reject(Rejection::NotDecoded);
            return;
        }
        let effects = u16::try_from(offset).ok().and_then(|offset| self.config.write(offset, data).ok());
        match effects {
            Some(effects) => self.config_changed(&effects, host),
            None => self.reject(Rejection::ConfigAccess),
        }
    }

    /// Acts on changes of config space that were made elsewhere, as by a physical function that resets or powers down
    /// its VF.
    pub fn config_changed(&mut self, effects: &[ConfigEffect], host: &mut dyn Host) {
        for effect in effects {
            match effect {
                ConfigEffect::FunctionLevelReset => self.reset_device(Extent::Function, host),
                ConfigEffect::CommandChanged { .. } => {
                    if self.update_dma(host) {
                        host.guest_sign(GuestSign::BusMasterOff);
                    }
                    self.release_messages();
                }
                ConfigEffect::PowerState(power) => {
                    self.update_dma(host);
                    if *power == PowerState::D3Hot {
                        host.guest_sign(GuestSign::PoweredDown);
                    }
                    self.release_messages();
                }
                ConfigEffect::MsixControlChanged(_) => self.release_messages(),
                // BARs are the VMM's to place; the others are not of a VF.
                ConfigEffect::BarsChanged
                | ConfigEffect::VfBarsChanged
                | ConfigEffect::VfMse(_)
                | ConfigEffect::VfEnableChanged { .. } => {}
            }
            self.look_for_sign(host);
        }
    }

    /// Reads `data.len()` bytes at `offset` of the MSI-X BAR.
    pub fn bar3_read(&self, offset: u64, data: &mut [u8]) {
        if !self.decodes_memory() {
            self.reject(Rejection::NotDecoded);
            data.fill(0xff);
        } else if self.msix.read(offset, data).is_err() {
            self.reject(Rejection::MsixAccess);
        }
    }

    /// Writes `data`, of 4 or 8 bytes, at `offset` of the MSI-X BAR. What is written there is only ever used by who
    /// delivers the messages: this half knows vectors, not addresses.
    pub fn bar3_write(&mut self, offset: u64, data: &[u8]) {
        if !self.decodes_memory() {
            self.reject(Rejection::NotDecoded);
            return;
        }
        match self.msix.write(offset, data) {
            Ok(Some(released)) => self.send(released),
            Ok(None) => {}
            Err(_) => self.reject(Rejection::MsixAccess),
        }
    }

    /// True if the function answers at its BARs.
    pub(super) fn decodes_memory(&self) -> bool {
        self.config.decodes_memory() && !self.is_unplugged()
    }

    pub(super) fn is_unplugged(&self) -> bool {
        self.state.private.load(word::UNPLUGGED) != 0
    }

    /// Lets the data half reach memory, or makes sure that it does not, as config space has it. True if it does no
    /// more.
    pub(super) fn update_dma(&mut self, host: &mut dyn Host) -> bool {
        let allowed = self.config.is_bus_master() && !self.is_unplugged();
        let was_allowed = self.state.private.load(word::DMA_ENABLED) != 0;
        self.state.private.store(word::DMA_ENABLED, u32::from(allowed));
        match (was_allowed, allowed) {
            (true, false) => host.quiesce(),
            (false, true) => host.kick(),
            _ => {}
        }
        was_allowed && !allowed
    }

    /// Sends the messages that were pending and no longer are masked.
    fn release_messages(&self) {
        self.msix.release().for_each(|released| self.send(released));
    }

    /// A vector that is released is open: signalling it delivers the message that was pending.
    fn send(&self, released: Released) {
        self.interrupts.signal(u32::from(released.vector));
    }
}
