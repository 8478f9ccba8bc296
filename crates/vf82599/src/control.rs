//! The control half: what the thread that serves the VF's socket does with the device.
//!
//! | file | concern |
//! |---|---|
//! | `registers` | BAR 0: every access, with its effect |
//! | `function` | config space, the MSI-X BAR, what changes of them ask for |
//! | `reset` | resets, and going away |
//!
//! A write that ends DMA (a queue disabled, bus mastering off, any reset) follows one order: store the words that stop
//! the worker, [`Host::quiesce`], then change what the worker reads. Only then does the write return, and only then
//! may the server answer it.
//!
//! By the same accesses the guest shows whether its driver is there: see [`GuestSign`].

mod function;
mod registers;
mod reset;

use std::sync::Arc;

use ethernet::MacAddr;
use pcie::{ConfigSpace, MsixTable, StorageError};
use port::Cycles;

use crate::host::Host;
use crate::interrupts::Interrupts;
use crate::mailbox::Mailbox;
use crate::profile::{Identity, Profile};
use crate::registers::{CONTROL, ENABLE, IVAR_VALID, VTIVAR_MISC, rx};
use crate::rejection::{Rejection, Rejections};
use crate::sign::GuestSign;
use crate::state::{VfState, word};

pub use self::reset::ResetKind;

/// The control half of a VF.
#[derive(Debug)]
pub struct Control {
    state: VfState,
    profile: Profile,
    interrupts: Arc<Interrupts>,
    config: ConfigSpace,
    msix: MsixTable,
    mailbox: Mailbox,
    rejections: Arc<Rejections>,
    /// [`Control::is_receiving`], as the host was told last.
    receiving: bool,
    /// No transmit queue that is closed is waited for before this time.
    next_wait: Cycles,
}

impl Control {
    /// A VF after power-on: link down, driver not there yet. `config` lies in [`VfState::config_words`].
    ///
    /// # Errors
    /// `config` is that of a function without MSI-X, or with more vectors than the state has memory for.
    pub fn new(
        state: VfState,
        profile: Profile,
        identity: Identity,
        interrupts: Arc<Interrupts>,
        config: ConfigSpace,
    ) -> Result<Self, StorageError> {
        let msix = MsixTable::create(config.clone(), state.msix_words())?;
        let control = Self::over(state, profile, identity, interrupts, config, msix);
        control.state.private.store(word::LINK, 0);
        control.state.private.store(word::UNPLUGGED, 0);
        control.power_on();
        Ok(control)
    }

    /// The VF that an earlier data path left in `state`, in the midst of whatever it was doing: a reset or a request
    /// that was begun is finished, and each vector is signalled once, since nobody knows whether the last message got
    /// out.
    ///
    /// The last of the signs that it gives says whether the guest is receiving.
    ///
    /// # Errors
    /// As for [`Control::new`].
    pub fn attach(
        state: VfState,
        profile: Profile,
        identity: Identity,
        interrupts: Arc<Interrupts>,
        config: ConfigSpace,
        host: &mut dyn Host,
    ) -> Result<Self, StorageError> {
        let msix = MsixTable::attach(config.clone(), state.msix_words())?;
        let mut control = Self::over(state, profile, identity, interrupts, config, msix);
        control.resume_reset(host);
        control.update_dma(host);
        control.mailbox.resume(host);
        control.interrupts.signal_all();
        host.kick();
        // Nobody knows whether the last sign got out.
        control.receiving = !control.is_receiving();
        control.look_for_sign(host);
        Ok(control)
    }

    fn over(
        state: VfState,
        profile: Profile,
        identity: Identity,
        interrupts: Arc<Interrupts>,
        config: ConfigSpace,
        msix: MsixTable,
    ) -> Self {
        let rejections = Arc::new(Rejections::new());
        let mailbox = Mailbox::new(state.clone(), profile, identity, Arc::clone(&rejections));
        Self { state, profile, interrupts, config, msix, mailbox, rejections, receiving: false, next_wait: 0 }
    }

    /// What was rejected so far.
    #[must_use]
    pub fn rejections(&self) -> &Arc<Rejections> {
        &self.rejections
    }

    /// The function's config space.
    #[must_use]
    pub fn config(&self) -> &ConfigSpace {
        &self.config
    }

    /// The function's MSI-X table, for those who deliver its messages.
    #[must_use]
    pub fn msix(&self) -> &MsixTable {
        &self.msix
    }

    /// True while the guest's driver has a receive queue enabled and the function may fill it: as long as that is so,
    /// frames sent to the VF are heard.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        let enabled = |queue| self.state.register(rx(queue, CONTROL)) & ENABLE != 0;
        let pairs = self.mailbox.identity().queue_pairs();
        self.state.private.load(word::DMA_ENABLED) != 0 && (0..pairs).any(enabled)
    }

    /// Tells the host if [`Control::is_receiving`] has changed. To be called now and then for a guest that has the
    /// registers of the rings mapped; what is written here is looked at anyway.
    pub fn look_for_sign(&mut self, host: &mut dyn Host) {
        let receiving = self.is_receiving();
        if receiving != std::mem::replace(&mut self.receiving, receiving) {
            host.guest_sign(if receiving { GuestSign::ReceiveOpen } else { GuestSign::ReceiveClosed });
        }
    }

    /// Sets the link and tells the driver at once. Nothing happens if the link is in that state already.
    pub fn set_link(&mut self, up: bool, host: &mut dyn Host) {
        let before = self.state.private.load(word::LINK);
        if before == u32::from(up) {
            return;
        }
        self.state.private.store(word::LINK, u32::from(up));
        // Before its RESET is done a driver takes any control message for an order to start over.
        if self.mailbox.clear_to_send() {
            self.mailbox.send_control_message();
        }
        self.raise_misc(host);
    }

    /// Assigns another address, or takes it away. The driver is told to start over with RESET, whose reply names the
    /// address; until then its requests are rejected.
    pub fn set_mac(&mut self, mac: Option<MacAddr>, host: &mut dyn Host) {
        self.mailbox.identity_mut().mac = mac;
        if self.mailbox.clear_to_send() {
            self.mailbox.require_reset();
            self.mailbox.send_control_message();
            self.raise_misc(host);
        }
    }

    /// Raises the vector of mailbox and link causes, if the driver has named one.
    fn raise_misc(&self, host: &mut dyn Host) {
        let vector = self.state.register(VTIVAR_MISC);
        if vector & IVAR_VALID != 0 && self.interrupts.raise(1 << (vector & 3), host.now()) {
            host.kick();
        }
    }

    fn reject(&self, reason: Rejection) {
        self.rejections.count(reason);
    }
}

#[cfg(test)]
mod tests;
