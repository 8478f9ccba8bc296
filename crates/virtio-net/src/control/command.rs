//! Commands of the control queue.

use ethernet::{MacAddr, McFilterType, RssTypes, VlanTag, multicast_hash};
use port::{GuestRequest, Reception};

use crate::features::Features;
use crate::rss::{HASH_TYPES, KEY_BYTES, RssConfig, TABLE_ENTRIES};

/// Further unicast addresses that a driver may name.
const MAX_UNICAST: usize = 64;

/// Classes and their commands.
const RX: u8 = 0;
const RX_PROMISCUOUS: u8 = 0;
const RX_ALL_MULTICAST: u8 = 1;
const MAC: u8 = 1;
const MAC_TABLE_SET: u8 = 0;
const MAC_ADDR_SET: u8 = 1;
const VLAN: u8 = 2;
const VLAN_ADD: u8 = 0;
const VLAN_DEL: u8 = 1;
const ANNOUNCE: u8 = 3;
const ANNOUNCE_ACK: u8 = 0;
const MQ: u8 = 4;
const MQ_PAIRS_SET: u8 = 0;
const MQ_RSS_CONFIG: u8 = 1;
const GUEST_OFFLOADS: u8 = 5;
const GUEST_OFFLOADS_SET: u8 = 0;

/// A command that makes sense and was negotiated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Promiscuous reception on or off.
    Promiscuous(bool),
    /// Reception of all multicast on or off.
    AllMulticast(bool),
    /// For the physical function, one after the other.
    Requests(Vec<GuestRequest>),
    SetMac(MacAddr),
    Pairs(u16),
    Rss(Box<RssConfig>, u16),
    Offloads(Features),
    Announced,
}

impl Command {
    /// Reads a command; `None` if there is no such command, its data do not fit or a value is out of range.
    pub(super) fn parse(bytes: &[u8], features: Features, max_pairs: u16) -> Option<Self> {
        let ([class, command], data) = bytes.split_first_chunk()?;
        let (needed, parsed) = match (*class, *command) {
            (RX, RX_PROMISCUOUS) => (Features::CTRL_RX, switch(data).map(Self::Promiscuous)),
            (RX, RX_ALL_MULTICAST) => (Features::CTRL_RX, switch(data).map(Self::AllMulticast)),
            (MAC, MAC_TABLE_SET) => (Features::CTRL_RX, tables(data)),
            (MAC, MAC_ADDR_SET) => (Features::CTRL_MAC_ADDR, address(data)),
            (VLAN, VLAN_ADD) => (Features::CTRL_VLAN, vlan(data, GuestRequest::AddVlan)),
            (VLAN, VLAN_DEL) => (Features::CTRL_VLAN, vlan(data, GuestRequest::RemoveVlan)),
            (ANNOUNCE, ANNOUNCE_ACK) => {
                (Features::GUEST_ANNOUNCE, data.is_empty().then_some(Self::Announced))
            }
            (MQ, MQ_PAIRS_SET) => (Features::MQ, pairs(data, max_pairs).map(Self::Pairs)),
            (MQ, MQ_RSS_CONFIG) => (Features::RSS, rss(data, max_pairs)),
            (GUEST_OFFLOADS, GUEST_OFFLOADS_SET) => (Features::CTRL_GUEST_OFFLOADS, offloads(data, features)),
            _ => return None,
        };
        parsed.filter(|_| features.contains(needed | Features::CTRL_VQ))
    }
}

fn switch(data: &[u8]) -> Option<bool> {
    match data {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

/// The reception that two switches amount to.
pub(super) fn reception(promiscuous: bool, all_multicast: bool) -> Reception {
    match (promiscuous, all_multicast) {
        (true, _) => Reception::Promiscuous,
        (false, true) => Reception::AllMulticast,
        (false, false) => Reception::Multicast,
    }
}

fn address(data: &[u8]) -> Option<Command> {
    let mac = MacAddr(data.try_into().ok()?);
    mac.is_unicast().then_some(Command::SetMac(mac))
}

/// Two tables, each with the number of its addresses in front: unicast, then multicast.
fn tables(data: &[u8]) -> Option<Command> {
    let (unicast, data) = table(data)?;
    let (multicast, data) = table(data)?;
    if !data.is_empty() || unicast.len() > MAX_UNICAST {
        return None;
    }
    let unicast = unicast.iter().copied().map(MacAddr).collect();
    let hash = |mac: &[u8; 6]| multicast_hash(MacAddr(*mac), McFilterType::default());
    let multicast = multicast.iter().map(hash).collect();
    Some(Command::Requests(vec![GuestRequest::SetUnicast(unicast), GuestRequest::SetMulticast(multicast)]))
}

fn table(data: &[u8]) -> Option<(&[[u8; 6]], &[u8])> {
    let (count, data) = data.split_first_chunk()?;
    let bytes = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(6)?;
    let (addresses, rest) = data.split_at_checked(bytes)?;
    Some((addresses.as_chunks().0, rest))
}

fn vlan(data: &[u8], request: impl Fn(u16) -> GuestRequest) -> Option<Command> {
    let vid = u16::from_le_bytes(data.try_into().ok()?);
    (vid <= VlanTag::VID_MASK).then(|| Command::Requests(vec![request(vid)]))
}

fn pairs(data: &[u8], max_pairs: u16) -> Option<u16> {
    let pairs = u16::from_le_bytes(data.try_into().ok()?);
    (1..=max_pairs).contains(&pairs).then_some(pairs)
}

fn offloads(data: &[u8], features: Features) -> Option<Command> {
    let bits = Features::from_bits(u64::from_le_bytes(data.try_into().ok()?))?;
    (features & Features::GUEST_OFFLOADS).contains(bits).then_some(Command::Offloads(bits))
}

/// `virtio_net_rss_config`: hash types, mask, default queue, table, number of transmit queues, key.
fn rss(data: &[u8], max_pairs: u16) -> Option<Command> {
    let (types, data) = data.split_first_chunk()?;
    let types = u16::try_from(u32::from_le_bytes(*types)).ok().and_then(RssTypes::from_bits)?;
    let (mask, data) = data.split_first_chunk()?;
    let mask = u16::from_le_bytes(*mask);
    let (default, data) = data.split_first_chunk()?;
    let default = u16::from_le_bytes(*default);
    if mask >= TABLE_ENTRIES || !(mask + 1).is_power_of_two() || !HASH_TYPES.contains(types) {
        return None;
    }
    let (entries, data) = data.split_at_checked(2 * (usize::from(mask) + 1))?;
    let mut table = [0; TABLE_ENTRIES as usize];
    for (queue, bytes) in table.iter_mut().zip(entries.as_chunks().0) {
        *queue = u16::from_le_bytes(*bytes);
    }
    let (count, data) = data.split_at_checked(2)?;
    let count = pairs(count, max_pairs)?;
    let (key_length, key_bytes) = data.split_first()?;
    if usize::from(*key_length) != key_bytes.len() || key_bytes.len() > KEY_BYTES {
        return None;
    }
    let used = table.iter().chain([&default]).max().map_or(1, |queue| queue.saturating_add(1));
    if used > max_pairs {
        return None;
    }
    let mut key = [0; KEY_BYTES];
    key[..key_bytes.len()].copy_from_slice(key_bytes);
    // Receive queues are those of the table, transmit queues those counted.
    Some(Command::Rss(Box::new(RssConfig { types, mask, default, key, table }), count.max(used)))
}
