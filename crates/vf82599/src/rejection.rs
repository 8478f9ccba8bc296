//! Why something that the guest or its VMM asked of the VF was not done. Every reason is a counter of the VF.

use std::sync::atomic::{AtomicU64, Ordering};

/// Defines the reasons with their counter names.
macro_rules! rejections {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// Reason of a rejected register access or mailbox message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rejection { $($(#[$doc])* $variant,)+ }

        impl Rejection {
            /// Every reason, in the order of its counters.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Name of the counter.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Position in [`Self::ALL`].
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }
        }
    };
}

rejections! {
    /// BAR access while memory space is disabled or the function is powered down, or any access when it is gone. Reads
    /// are all ones.
    NotDecoded = "access_not_decoded",
    /// BAR access past the end of the register file.
    OutOfRange = "register_out_of_range",
    /// Register write that is not 4 bytes at a multiple of 4.
    WriteWidth = "register_write_width",
    /// Write where the VF has no register.
    Undefined = "register_undefined",
    /// Write to a register that only the device changes.
    ReadOnly = "register_read_only",
    /// Write to the head of a queue that is enabled: the device owns it.
    HeadWhileEnabled = "queue_head_while_enabled",
    /// Config space access past its end, or a write of another width than 1, 2 or 4 bytes.
    ConfigAccess = "config_bad_access",
    /// MSI-X BAR access of a width or at a place that it does not have.
    MsixAccess = "msix_bad_access",
    /// Mailbox message before RESET was answered, or after the physical function asked for another RESET.
    BeforeReset = "mailbox_before_reset",
    /// RESET while no address is assigned: the reply says so, the reset itself is done.
    NoAddressAssigned = "mailbox_no_address_assigned",
    /// Request with the bits of a reply: one that was answered already.
    StaleRequest = "mailbox_stale_request",
    /// Message that no version of the mailbox API has.
    UnknownMessage = "mailbox_unknown_message",
    /// Message of a later API version than the one negotiated.
    LaterApi = "mailbox_message_of_later_api",
    /// API version that is not accepted.
    UnsupportedApi = "mailbox_unsupported_api",
    /// Message about something that this VF does not have.
    NotOffered = "mailbox_not_offered",
    /// Address that no station can have.
    BadAddress = "mailbox_bad_address",
    /// VLAN id out of range.
    BadVlan = "mailbox_bad_vlan",
    /// Longest frame out of range.
    BadFrameLength = "mailbox_bad_frame_length",
    /// Receive mode that does not exist, or not in the API version negotiated.
    BadReception = "mailbox_bad_reception",
    /// More multicast hashes than a message holds.
    TooManyGroups = "mailbox_too_many_groups",
    /// More unicast addresses than a VF may have.
    TooManyAddresses = "mailbox_too_many_addresses",
    /// The physical function refused.
    Refused = "mailbox_refused",
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Counters of rejections, which any thread may read.
#[derive(Debug)]
pub struct Rejections([AtomicU64; Rejection::ALL.len()]);

impl Rejections {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    pub(crate) fn count(&self, reason: Rejection) {
        self.0[reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// How often `reason` applied since the control half was made.
    #[must_use]
    pub fn get(&self, reason: Rejection) -> u64 {
        self.0[reason.index()].load(Ordering::Relaxed)
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Rejection, u64)> {
        Rejection::ALL.iter().map(|reason| (*reason, self.get(*reason)))
    }
}

#[cfg(test)]
mod tests;
