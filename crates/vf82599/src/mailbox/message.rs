//! Mailbox messages: word 0 and the encodings of the words that follow.

use ethernet::MacAddr;

use crate::registers::MAILBOX_WORDS;

/// Words of the buffer.
pub(super) type Message = [u32; MAILBOX_WORDS as usize];

/// The message was done, or holds the answer.
pub(super) const ACK: u32 = 1 << 31;
/// The message was not done.
pub(super) const NACK: u32 = 1 << 30;
/// The VF may send messages other than RESET.
pub(super) const CTS: u32 = 1 << 29;

/// Unsolicited message of the physical function: something has changed. Without [`CTS`]: start over with RESET.
pub(super) const CONTROL_MESSAGE: u32 = 0x0100;

/// Grant of FEATURES_NEGOTIATE: the ESX framing of the mailbox.
pub(super) const FEATURE_ESX_FRAMING: u32 = 1 << 1;

/// Speed code of GET_PF_LINK_STATE for 10 Gbit/s.
pub(super) const SPEED_10G: u32 = 0x80;

/// Mailbox API versions that are accepted. 1.5 is not: the Linux PF driver never took it, and it means another framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MailboxApi {
    /// 1.0, which every VF begins with after RESET: one queue pair.
    V1_0,
    /// 1.1: more queues.
    V1_1,
    /// 1.2: RSS of the PF, receive modes.
    V1_2,
    /// 1.3: promiscuous mode.
    V1_3,
    /// 1.4: IPsec, which is not granted.
    V1_4,
    /// 1.6: link state of the PF.
    V1_6,
    /// 1.7: features.
    V1_7,
}

impl MailboxApi {
    /// Every version, the oldest first.
    pub const ALL: [Self; 7] =
        [Self::V1_0, Self::V1_1, Self::V1_2, Self::V1_3, Self::V1_4, Self::V1_6, Self::V1_7];

    /// Code of the version in API_NEGOTIATE. 1 is the abandoned 2.0, 6 is 1.5.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::V1_0 => 0,
            Self::V1_1 => 2,
            Self::V1_2 => 3,
            Self::V1_3 => 4,
            Self::V1_4 => 5,
            Self::V1_6 => 7,
            Self::V1_7 => 8,
        }
    }

    /// The version with `code`.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|api| api.code() == code)
    }
}

/// Messages of the VF, by bits 15:0 of word 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Reset,
    SetMac,
    SetMulticast,
    SetVlan,
    SetMaxFrame,
    SetUnicast,
    NegotiateApi,
    GetQueues,
    GetIndirectionTable,
    GetRssKey,
    SetReception,
    AddIpsec,
    DeleteIpsec,
    GetLinkState,
    GetPfLinkState,
    NegotiateFeatures,
}

impl Opcode {
    pub(super) fn of(word: u32) -> Option<Self> {
        Some(match word & 0xffff {
            0x01 => Self::Reset,
            0x02 => Self::SetMac,
            0x03 => Self::SetMulticast,
            0x04 => Self::SetVlan,
            0x05 => Self::SetMaxFrame,
            0x06 => Self::SetUnicast,
            0x08 => Self::NegotiateApi,
            0x09 => Self::GetQueues,
            0x0a => Self::GetIndirectionTable,
            0x0b => Self::GetRssKey,
            0x0c => Self::SetReception,
            0x0d => Self::AddIpsec,
            0x0e => Self::DeleteIpsec,
            0x10 => Self::GetLinkState,
            0x11 => Self::GetPfLinkState,
            0x12 => Self::NegotiateFeatures,
            _ => return None,
        })
    }

    /// The version that brought the message.
    pub(super) fn since(self) -> MailboxApi {
        match self {
            Self::GetQueues => MailboxApi::V1_1,
            Self::GetIndirectionTable | Self::GetRssKey | Self::SetReception => MailboxApi::V1_2,
            Self::AddIpsec | Self::DeleteIpsec => MailboxApi::V1_4,
            Self::GetPfLinkState => MailboxApi::V1_6,
            Self::NegotiateFeatures => MailboxApi::V1_7,
            Self::Reset
            | Self::SetMac
            | Self::SetMulticast
            | Self::SetVlan
            | Self::SetMaxFrame
            | Self::SetUnicast
            | Self::NegotiateApi
            | Self::GetLinkState => MailboxApi::V1_0,
        }
    }
}

/// Bits 23:16 of word 0.
pub(super) fn info(word: u32) -> u32 {
    word >> 16 & 0xff
}

/// The address in two words: six bytes in the order of the wire, the first in the lowest bits.
pub(super) fn decode_mac(words: [u32; 2]) -> MacAddr {
    let [a, b, c, d] = words[0].to_le_bytes();
    let [e, f, ..] = words[1].to_le_bytes();
    MacAddr([a, b, c, d, e, f])
}

/// An address as two words.
pub(super) fn encode_mac(mac: MacAddr) -> [u32; 2] {
    let [a, b, c, d, e, f] = mac.0;
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, 0, 0])]
}

/// The 12-bit hashes packed in `words`, two in each.
pub(super) fn multicast_hashes(words: &[u32]) -> impl Iterator<Item = u16> {
    words.iter().flat_map(|word| {
        let [a, b, c, d] = word.to_le_bytes();
        [u16::from_le_bytes([a, b]) & 0xfff, u16::from_le_bytes([c, d]) & 0xfff]
    })
}
