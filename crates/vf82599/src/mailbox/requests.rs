//! What each message asks for, and the answers.
//!
//! A message that is rejected changes nothing.

use port::{GuestReply, GuestRequest, Reception};

use super::Mailbox;
use super::message::{
    FEATURE_ESX_FRAMING, MailboxApi, Message, Opcode, SPEED_10G, decode_mac, encode_mac, info,
    multicast_hashes,
};
use crate::host::Host;
use crate::registers::{VFRETA, VFRSSRK};
use crate::rejection::Rejection;
use crate::state::word;

/// Longest frames that can be asked for, in bytes, frame check sequence included.
const MAX_FRAME: std::ops::RangeInclusive<u32> = 68..=9728;
/// Multicast hashes in a message: two in each of the 15 words after the first.
const MAX_GROUPS: u32 = 30;
/// Further unicast addresses of a VF. The Linux driver asks for no more than 10.
const MAX_ADDRESSES: usize = 16;
/// The last VLAN id; 4095 is reserved.
const LAST_VLAN: u16 = 4094;
/// Entries of the PF's indirection table, of 2 bits each, 16 in a word.
const INDIRECTION_ENTRIES: usize = 128;

impl Mailbox {
    /// Serves any message but RESET. On success `message` holds the words of the reply.
    pub(super) fn serve_message(
        &self,
        opcode: Opcode,
        message: &mut Message,
        host: &mut dyn Host,
    ) -> Result<(), Rejection> {
        match opcode {
            Opcode::NegotiateApi => self.negotiate_api(message[1]),
            Opcode::NegotiateFeatures => {
                let offered = if self.identity.esx_framing { FEATURE_ESX_FRAMING } else { 0 };
                message[1] &= offered;
                Ok(())
            }
            Opcode::GetQueues => {
                let pairs = self.identity.queue_pairs();
                // No transparent VLAN and one traffic class; queue 0 takes what RSS does not spread.
                message[1..5].copy_from_slice(&[pairs, pairs, 0, 0]);
                Ok(())
            }
            Opcode::GetIndirectionTable => self.indirection_table(message),
            Opcode::GetRssKey => self.rss_key(message),
            Opcode::SetMac => {
                let mac = decode_mac([message[1], message[2]]);
                if !mac.is_unicast() {
                    return Err(Rejection::BadAddress);
                }
                ask(host, GuestRequest::SetMac(mac))
            }
            Opcode::SetUnicast => self.set_unicast(message, host),
            Opcode::SetMulticast => set_multicast(message, host),
            Opcode::SetVlan => set_vlan(message, host),
            Opcode::SetReception => self.set_reception(message, host),
            Opcode::SetMaxFrame => {
                let bytes = message[1];
                if !MAX_FRAME.contains(&bytes) {
                    return Err(Rejection::BadFrameLength);
                }
                ask(host, GuestRequest::SetMaxFrame(bytes))?;
                self.state.private.store(word::MAX_FRAME, bytes);
                Ok(())
            }
            Opcode::GetLinkState => {
                // Whether the physical function lets the VF have a link at all, not whether it is up: a driver that
                // reads 0 does not look at VFLINKS again until its next reset.
                message[1] = 1;
                Ok(())
            }
            Opcode::GetPfLinkState => {
                let up = self.state.private.load(word::LINK);
                message[1..3].copy_from_slice(&[SPEED_10G, up]);
                Ok(())
            }
            // `Reset` has been served by then; IPsec is never granted.
            Opcode::Reset | Opcode::AddIpsec | Opcode::DeleteIpsec => Err(Rejection::NotOffered),
        }
    }

    fn negotiate_api(&self, code: u32) -> Result<(), Rejection> {
        match MailboxApi::from_code(code) {
            Some(api) if api <= self.identity.newest_api => {
                self.state.private.store(word::API, code);
                Ok(())
            }
            _ => Err(Rejection::UnsupportedApi),
        }
    }

    /// GET_RETA: the PF's table, whose 128 entries are twice the 64 that the VF has.
    fn indirection_table(&self, message: &mut Message) -> Result<(), Rejection> {
        if self.profile.rss_registers {
            return Err(Rejection::NotOffered);
        }
        let table = self.state.registers.window(VFRETA as usize / 4, 16);
        for (n, word) in message[1..=INDIRECTION_ENTRIES / 16].iter_mut().enumerate() {
            *word = (0..16).fold(0, |word, slot| {
                let entry = (16 * n + slot) % 64;
                let queue = table.load(entry / 4) >> (8 * (entry % 4)) & 3;
                word | queue << (2 * slot)
            });
        }
        Ok(())
    }

    /// GET_RSS_KEY.
    fn rss_key(&self, message: &mut Message) -> Result<(), Rejection> {
        if self.profile.rss_registers {
            return Err(Rejection::NotOffered);
        }
        let key = self.state.registers.window(VFRSSRK as usize / 4, 10);
        for (n, word) in message[1..=10].iter_mut().enumerate() {
            *word = key.load(n);
        }
        Ok(())
    }

    /// SET_MACVLAN: index 0 clears the list, 1 begins a new one, any other adds to it.
    fn set_unicast(&self, message: &Message, host: &mut dyn Host) -> Result<(), Rejection> {
        let words = &self.state.private;
        let index = info(message[0]);
        let kept = if index <= 1 { 0 } else { (words.load(word::UNICAST) as usize).min(MAX_ADDRESSES) };
        let entry = |n: usize| word::UNICAST + 1 + 2 * n;
        let mut list: Vec<_> =
            (0..kept).map(|n| decode_mac([words.load(entry(n)), words.load(entry(n) + 1)])).collect();
        if index > 0 {
            let mac = decode_mac([message[1], message[2]]);
            if !mac.is_unicast() {
                return Err(Rejection::BadAddress);
            }
            if !list.contains(&mac) {
                list.push(mac);
            }
        }
        if list.len() > MAX_ADDRESSES {
            return Err(Rejection::TooManyAddresses);
        }
        ask(host, GuestRequest::SetUnicast(list.clone()))?;
        for (n, mac) in list.iter().enumerate() {
            let [low, high] = encode_mac(*mac);
            words.store(entry(n), low);
            words.store(entry(n) + 1, high);
        }
        words.store(word::UNICAST, u32::try_from(list.len()).expect("the list has at most 16 entries"));
        Ok(())
    }

    /// UPDATE_XCAST_MODE: the reply names the mode granted.
    fn set_reception(&self, message: &mut Message, host: &mut dyn Host) -> Result<(), Rejection> {
        let asked = match message[1] {
            0 => Reception::Unicast,
            1 => Reception::Multicast,
            2 => Reception::AllMulticast,
            3 if self.api() >= MailboxApi::V1_3 => Reception::Promiscuous,
            _ => return Err(Rejection::BadReception),
        };
        let granted = match host.request(GuestRequest::SetReception(asked)) {
            GuestReply::Granted => asked,
            GuestReply::Reception(granted) => granted,
            GuestReply::Refused => return Err(Rejection::Refused),
        };
        message[1] = match granted {
            Reception::Unicast => 0,
            Reception::Multicast => 1,
            Reception::AllMulticast => 2,
            Reception::Promiscuous => 3,
        };
        Ok(())
    }
}

fn set_multicast(message: &Message, host: &mut dyn Host) -> Result<(), Rejection> {
    let count = info(message[0]);
    if count > MAX_GROUPS {
        return Err(Rejection::TooManyGroups);
    }
    let hashes = multicast_hashes(&message[1..]).take(count as usize).collect();
    ask(host, GuestRequest::SetMulticast(hashes))
}

/// SET_VLAN. VLAN 0 is that of priority tags: every VF hears it and cannot leave it.
fn set_vlan(message: &Message, host: &mut dyn Host) -> Result<(), Rejection> {
    let vlan = match u16::try_from(message[1]) {
        Ok(0) => return Ok(()),
        Ok(vlan) if vlan <= LAST_VLAN => vlan,
        _ => return Err(Rejection::BadVlan),
    };
    let add = info(message[0]) != 0;
    ask(host, if add { GuestRequest::AddVlan(vlan) } else { GuestRequest::RemoveVlan(vlan) })
}

/// Asks for something that is done or not done.
fn ask(host: &mut dyn Host, request: GuestRequest) -> Result<(), Rejection> {
    match host.request(request) {
        GuestReply::Granted | GuestReply::Reception(_) => Ok(()),
        GuestReply::Refused => Err(Rejection::Refused),
    }
}
