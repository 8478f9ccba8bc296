//! The mailbox through which the guest's driver talks to the physical function.
//!
//! Sixteen words (VFMBMEM) and one register (VFMAILBOX) with a lock bit (VFU), requests (REQ, ACK) and events (PFSTS,
//! PFACK, RSTD) that reading clears. The physical function here answers before the write of REQ returns, so its own
//! lock (PFU) is never seen taken, and it is never seen in reset (RSTI).
//!
//! ```text
//!   guest:  VFU=1, words, REQ -> [ reply in the words, PFSTS|PFACK ] -> read words -> ACK
//!            |<----------- the words belong to this conversation ----------------->|
//! ```
//!
//! Drivers use two framings. The legacy one drops VFU with REQ and takes it again to read; the ESX one holds VFU from
//! the request to the reply. Both end with ACK, which is why an unsolicited message waits for it: put in earlier it
//! would overwrite a request that is being written or a reply that has not been read.
//!
//! All state is in the VF's pages: the VFMAILBOX register, in which REQ stands until the reply does, the flags in
//! [`word::MAILBOX`], the API version, the longest frame and the list of unicast addresses.

mod message;
mod requests;

use std::sync::Arc;

use port::GuestRequest;

pub use self::message::MailboxApi;
use self::message::{ACK, CONTROL_MESSAGE, CTS, Message, NACK, Opcode};
use crate::host::Host;
use crate::profile::{Identity, Profile};
use crate::registers::{VFMAILBOX, VFMBMEM};
use crate::rejection::{Rejection, Rejections};
use crate::sign::GuestSign;
use crate::state::{VfState, word};

/// Written: a request stands in the words.
const REQ: u32 = 1 << 0;
/// Written: the VF has read what the physical function wrote.
const VFMAILBOX_ACK: u32 = 1 << 1;
/// The VF owns the words.
const VFU: u32 = 1 << 2;
/// The physical function has written a message.
const PFSTS: u32 = 1 << 4;
/// The physical function has read the VF's request.
const PFACK: u32 = 1 << 5;
/// The reset is done.
pub(crate) const VFMAILBOX_RSTD: u32 = 1 << 7;
/// Bits that reading clears.
const EVENTS: u32 = PFSTS | PFACK | VFMAILBOX_RSTD;

/// Flags in [`word::MAILBOX`].
mod flag {
    /// RESET was answered: other messages are served.
    pub(super) const CLEAR_TO_SEND: u32 = 1 << 0;
    /// A reply was written and not acknowledged yet.
    pub(super) const REPLY_UNREAD: u32 = 1 << 1;
    /// A control message waits for the end of the conversation.
    pub(super) const CONTROL_DUE: u32 = 1 << 2;
}

/// Longest frame in bytes, frame check sequence included, before the driver asks for another.
pub(crate) const DEFAULT_MAX_FRAME: u32 = 1518;

/// The physical function's end of the mailbox.
#[derive(Debug)]
pub(crate) struct Mailbox {
    state: VfState,
    profile: Profile,
    identity: Identity,
    rejections: Arc<Rejections>,
}

impl Mailbox {
    pub(crate) fn new(
        state: VfState,
        profile: Profile,
        identity: Identity,
        rejections: Arc<Rejections>,
    ) -> Self {
        Self { state, profile, identity, rejections }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn identity_mut(&mut self) -> &mut Identity {
        &mut self.identity
    }

    /// Reads VFMAILBOX, which clears the events.
    pub(crate) fn read(&self) -> u32 {
        let register = self.state.register(VFMAILBOX);
        self.state.set_register(VFMAILBOX, register & !EVENTS);
        register & (VFU | EVENTS)
    }

    /// Writes VFMAILBOX. Drivers write back event bits that they have read: those are ignored. True if a control
    /// message that waited was put in, for which the misc interrupt is due.
    pub(crate) fn write(&self, value: u32, host: &mut dyn Host) -> bool {
        let register = self.state.register(VFMAILBOX) & !VFU | value & VFU;
        self.state.set_register(VFMAILBOX, register | value & REQ);
        if value & REQ != 0 {
            self.serve(host);
        }
        if value & VFMAILBOX_ACK != 0 {
            self.clear_flag(flag::REPLY_UNREAD);
        }
        self.post_control_message()
    }

    /// Serves a request that an earlier data path took and did not answer.
    pub(crate) fn resume(&self, host: &mut dyn Host) {
        if self.state.register(VFMAILBOX) & REQ == 0 {
            return;
        }
        if self.state.register(VFMBMEM) & (ACK | NACK) == 0 {
            self.serve(host);
        } else {
            // The reply was complete; only the events were missing.
            self.finish(PFACK | PFSTS);
        }
    }

    /// The function was reset: nothing that the driver negotiated or asked for holds any more.
    pub(crate) fn reset(&self) {
        self.state.private.store(word::MAILBOX, 0);
        self.forget_requests();
        self.state.registers.window(VFMBMEM as usize / 4, Message::default().len()).clear();
        self.state.set_register(VFMAILBOX, VFMAILBOX_RSTD);
    }

    /// True if the driver has completed RESET.
    pub(crate) fn clear_to_send(&self) -> bool {
        self.has_flag(flag::CLEAR_TO_SEND)
    }

    /// Serves nothing but RESET from now on: the driver has to start over.
    pub(crate) fn require_reset(&self) {
        self.clear_flag(flag::CLEAR_TO_SEND);
    }

    /// Tells the driver that something has changed, as soon as the words are free.
    pub(crate) fn send_control_message(&self) {
        self.set_flag(flag::CONTROL_DUE);
        self.post_control_message();
    }

    /// Puts in the control message that waits, if there is one and the words are free.
    fn post_control_message(&self) -> bool {
        let busy = self.state.register(VFMAILBOX) & VFU != 0 || self.has_flag(flag::REPLY_UNREAD);
        if busy || !self.has_flag(flag::CONTROL_DUE) {
            return false;
        }
        self.clear_flag(flag::CONTROL_DUE);
        let clear_to_send = if self.clear_to_send() { CTS } else { 0 };
        self.state.set_register(VFMBMEM, CONTROL_MESSAGE | clear_to_send);
        self.state.set_register(VFMAILBOX, self.state.register(VFMAILBOX) | PFSTS);
        true
    }

    /// Answers the request in the words.
    fn serve(&self, host: &mut dyn Host) {
        let mut message: Message = std::array::from_fn(|n| self.word(n));
        let request = message[0];
        if request & (ACK | NACK) != 0 {
            self.rejections.count(Rejection::StaleRequest);
            self.finish(PFACK);
            return;
        }
        let outcome = match Opcode::of(request) {
            Some(Opcode::Reset) => self.serve_reset(&mut message, host),
            _ if !self.clear_to_send() => Err(Rejection::BeforeReset),
            None => Err(Rejection::UnknownMessage),
            Some(opcode) if opcode.since() > self.api() => Err(Rejection::LaterApi),
            Some(opcode) => self.serve_message(opcode, &mut message, host),
        };
        let verdict = match outcome {
            Ok(()) => ACK,
            Err(reason) => {
                self.rejections.count(reason);
                NACK
            }
        };
        // RESET has just made it clear to send, but its reply does not say so.
        let is_reset = Opcode::of(request) == Some(Opcode::Reset);
        let clear_to_send = if self.clear_to_send() && !is_reset { CTS } else { 0 };
        for (n, value) in message.iter().enumerate().skip(1) {
            self.set_word(n, *value);
        }
        self.set_word(0, request & !CTS | verdict | clear_to_send);
        self.finish(PFACK | PFSTS);
    }

    /// The request is done with; the driver sees `events`.
    fn finish(&self, events: u32) {
        if events & PFSTS != 0 {
            self.set_flag(flag::REPLY_UNREAD);
        }
        let register = self.state.register(VFMAILBOX) & !REQ;
        self.state.set_register(VFMAILBOX, register | events);
    }

    /// RESET: the driver starts over. It is told its address, or by NACK that none is assigned, and may send from now
    /// on.
    fn serve_reset(&self, message: &mut Message, host: &mut dyn Host) -> Result<(), Rejection> {
        self.forget_requests();
        host.request(GuestRequest::Reset);
        host.guest_sign(GuestSign::MailboxReset);
        self.set_flag(flag::CLEAR_TO_SEND);
        let [low, high] = message::encode_mac(self.identity.mac.unwrap_or_default());
        let filter_type = ethernet::McFilterType::default() as u32;
        message[1..4].copy_from_slice(&[low, high, filter_type]);
        if self.identity.mac.is_some() { Ok(()) } else { Err(Rejection::NoAddressAssigned) }
    }

    /// Back to what holds before any message.
    fn forget_requests(&self) {
        self.state.private.store(word::API, MailboxApi::V1_0.code());
        self.state.private.store(word::MAX_FRAME, DEFAULT_MAX_FRAME);
        self.state.private.store(word::UNICAST, 0);
    }

    fn api(&self) -> MailboxApi {
        MailboxApi::from_code(self.state.private.load(word::API)).unwrap_or(MailboxApi::V1_0)
    }

    fn word(&self, index: usize) -> u32 {
        self.state.registers.load(VFMBMEM as usize / 4 + index)
    }

    fn set_word(&self, index: usize, value: u32) {
        self.state.registers.store(VFMBMEM as usize / 4 + index, value);
    }

    fn has_flag(&self, flag: u32) -> bool {
        self.state.private.load(word::MAILBOX) & flag != 0
    }

    fn set_flag(&self, flag: u32) {
        self.state.private.fetch_or(word::MAILBOX, flag);
    }

    fn clear_flag(&self, flag: u32) {
        self.state.private.fetch_and(word::MAILBOX, !flag);
    }
}

#[cfg(test)]
mod tests;
