//! The addresses of which the switch knows the port without learning: those of its NICs, and static ones.
//!
//! Open addressing with linear probing, at most half full; a slot is 16 bytes. Guests may choose some of the addresses,
//! so the table is built with the one of several multipliers that makes the shortest walks.

use ethernet::MacAddr;

use crate::PortId;

/// In bits 11:0 the VLAN, in bits 59:12 the address, above them the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    const VACANT: Self = Self(0);

    /// The address among the stations of one VLAN.
    pub(super) const fn exact(mac: MacAddr, family: u16) -> Self {
        Self(1 << 60 | mac.to_u64() << 12 | (family & 0xfff) as u64)
    }

    /// The address in each VLAN of a trunk.
    pub(super) const fn any_vlan(mac: MacAddr) -> Self {
        Self(2 << 60 | mac.to_u64() << 12)
    }

    const fn is_any_vlan(self) -> bool {
        self.0 >> 60 == 2
    }
}

/// Odd numbers with well-mixed bits.
const MULTIPLIERS: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93, 0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

#[derive(Debug)]
pub(super) struct AddressTable {
    slots: Box<[(Key, PortId)]>,
    multiplier: u64,
    shift: u32,
    /// Whether there are keys of trunks.
    any_vlan: bool,
}

impl AddressTable {
    /// The table of `entries`; of two for one key, the first counts.
    pub(super) fn build(entries: &[(Key, PortId)]) -> Self {
        let size = (entries.len() * 2).next_power_of_two().max(4);
        let candidates = MULTIPLIERS.map(|multiplier| {
            let mut table = Self {
                slots: vec![(Key::VACANT, PortId::NONE); size].into(),
                multiplier,
                shift: u64::BITS - size.trailing_zeros(),
                any_vlan: entries.iter().any(|(key, _)| key.is_any_vlan()),
            };
            let longest = entries.iter().map(|&entry| table.insert(entry)).max();
            (longest, table)
        });
        let shortest = candidates.into_iter().min_by_key(|(longest, _)| *longest);
        shortest.expect("there is a table for each multiplier").1
    }

    #[inline]
    pub(super) fn exact(&self, mac: MacAddr, family: u16) -> Option<PortId> {
        self.find(Key::exact(mac, family))
    }

    #[inline]
    pub(super) fn any_vlan(&self, mac: MacAddr) -> Option<PortId> {
        if self.any_vlan { self.find(Key::any_vlan(mac)) } else { None }
    }

    #[inline]
    fn find(&self, key: Key) -> Option<PortId> {
        let (found, port) = self.slots[self.walk(key)];
        (found == key).then_some(port)
    }

    /// The slot of `key`, or the vacant one where it would stand.
    #[inline]
    fn walk(&self, key: Key) -> usize {
        let mut index = self.home(key);
        while self.slots[index].0 != key && self.slots[index].0 != Key::VACANT {
            index = (index + 1) & (self.slots.len() - 1);
        }
        index
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the shift leaves an index into the table")]
    const fn home(&self, key: Key) -> usize {
        (key.0.wrapping_mul(self.multiplier) >> self.shift) as usize
    }

    /// Puts in an entry and tells how far it stands from its home.
    fn insert(&mut self, entry: (Key, PortId)) -> usize {
        let index = self.walk(entry.0);
        if self.slots[index].0 == Key::VACANT {
            self.slots[index] = entry;
        }
        index.wrapping_sub(self.home(entry.0)) & (self.slots.len() - 1)
    }
}
