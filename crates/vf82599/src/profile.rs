//! Which VF it is, and whose.

use ethernet::MacAddr;
use ethernet::rss::RSS_KEY_LEN;
use pcie::VfProfile;

use crate::mailbox::MailboxApi;
use crate::registers::{QUEUES, VECTORS};

/// A personality: which part of the 82599 family the VF is, and what follows from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// PCI device ID, by which the guest chooses its driver's ways.
    pub device: u16,
    /// The VF has RSS registers of its own. Without them the PF's key and table hold, which the guest may ask for.
    pub rss_registers: bool,
    /// The length limit in RXDCTL (RLPML) holds.
    pub length_limit: bool,
}

impl Profile {
    /// X550 VF, 8086:1565: the guest programs RSS itself.
    pub const X550: Self = Self { device: 0x1565, rss_registers: true, length_limit: true };
    /// X540 VF, 8086:1515.
    pub const X540: Self = Self { device: 0x1515, rss_registers: false, length_limit: true };
    /// 82599 VF, 8086:10ed.
    pub const I82599: Self = Self { device: 0x10ed, rss_registers: false, length_limit: false };

    /// The PCI function: ids, BARs and capabilities.
    #[must_use]
    pub fn function(self) -> VfProfile {
        #[expect(clippy::cast_possible_truncation, reason = "there are three")]
        let vectors = VECTORS as u16;
        VfProfile { device: self.device, vectors }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::X550
    }
}

/// How the guest comes to its MSI-X capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MsixExposure {
    /// It is there from the start; the VMM emulates table and masks and takes one eventfd per vector.
    #[default]
    Native,
    /// The capability list is hidden from connect to the first device reset, so that the VMM does not know of MSI-X
    /// and leaves it to this device. Goes round the abort of QEMU 10.2 to 11.1 at `device_del`.
    Deferred,
}

/// What the physical function has settled for one VF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The address assigned; `None` lets the guest's driver make up one.
    pub mac: Option<MacAddr>,
    /// Queue pairs that the guest may use, 1 to 8; other values count as the nearest of these.
    pub queue_pairs: u32,
    /// The newest mailbox API that is accepted.
    pub newest_api: MailboxApi,
    /// Grant the ESX framing of the mailbox, where a driver of API 1.7 offers it.
    pub esx_framing: bool,
    /// RSS key of the physical function, for personalities without RSS registers. Should be random: who knows the key
    /// can aim all flows at one queue.
    pub rss_key: [u8; RSS_KEY_LEN],
    /// How the guest comes to MSI-X.
    pub msix: MsixExposure,
}

impl Identity {
    /// Queue pairs within what the register file has.
    pub(crate) fn queue_pairs(&self) -> u32 {
        self.queue_pairs.clamp(1, QUEUES)
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            mac: None,
            queue_pairs: 2,
            newest_api: MailboxApi::V1_7,
            esx_framing: false,
            rss_key: [0; RSS_KEY_LEN],
            msix: MsixExposure::Native,
        }
    }
}
