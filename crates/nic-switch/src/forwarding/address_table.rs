//! The exact-match table: which VPort has a unicast address in a VLAN.
//!
//! Open addressing with linear probing in a power-of-two slice, at most half full. A key is one `u64`, a slot is 16
//! bytes, four slots to a cache line: a look-up is a multiplication, a shift and, in the typical case, one load.

#[cfg(test)]
mod tests;

use ethernet::MacAddr;

use super::DropReason;
use crate::VPortId;

/// What a filter matches, packed: in bits 11:0 the VLAN, in bits 59:12 the address, above them the kind of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(u64);

impl Key {
    const VACANT: Self = Self(0);
    const EXACT: u64 = 1 << 60;
    const ANY: u64 = 2 << 60;

    /// The address in one VLAN; 0 is untagged.
    pub(super) const fn exact(mac: MacAddr, vlan: u16) -> Self {
        Self(Self::EXACT | mac.to_u64() << 12 | (vlan & 0xfff) as u64)
    }

    /// The address in whatever VLAN.
    pub(super) const fn any(mac: MacAddr) -> Self {
        Self(Self::ANY | mac.to_u64() << 12)
    }
}

/// The VPort that a key leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) vport: VPortId,
    /// For [`Key::any`]: which of the trunk's VLAN sets must hold the frame's VLAN.
    pub(super) vlans: u16,
    /// The tag is taken away: the receiver is in one VLAN and does not know its number.
    pub(super) strip: bool,
    /// The VPort does not receive, for this reason.
    pub(super) blocked: Option<DropReason>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: Key,
    found: Match,
}

const VACANT: Slot = Slot {
    key: Key::VACANT,
    found: Match { vport: VPortId::DEFAULT, vlans: 0, strip: false, blocked: None },
};

const _: () = assert!(size_of::<Slot>() == 16, "the module's documentation counts on it");

/// Odd numbers with well-mixed bits: a set of addresses that collide under one does not under the others.
const MULTIPLIERS: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93, 0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

/// The most slots that a look-up should read; a table that needs more is built again, in the end larger.
const GOOD_PROBES: usize = 8;

/// How often a table may be doubled in search of short probes.
const DOUBLINGS: u32 = 2;

#[derive(Debug)]
pub(super) struct AddressTable {
    slots: Box<[Slot]>,
    multiplier: u64,
    /// Slots are chosen by the topmost bits of the product: this many bits are shifted out.
    shift: u32,
}

impl AddressTable {
    /// Builds the table. If a key comes twice, the first counts.
    pub(super) fn build(entries: &[(Key, Match)]) -> Self {
        let least = (entries.len() * 2).next_power_of_two().max(4);
        let mut best: Option<(usize, Self)> = None;
        for size in (0..=DOUBLINGS).map(|doubling| least << doubling) {
            for multiplier in MULTIPLIERS {
                let mut table = Self {
                    slots: vec![VACANT; size].into_boxed_slice(),
                    multiplier,
                    shift: u64::BITS - size.trailing_zeros(),
                };
                let probes = entries.iter().map(|&(key, found)| table.insert(key, found)).max().unwrap_or(0);
                if probes <= GOOD_PROBES {
                    return table;
                }
                if best.as_ref().is_none_or(|(least, _)| probes < *least) {
                    best = Some((probes, table));
                }
            }
        }
        best.expect("a table was built with each multiplier").1
    }

    /// What `key` leads to.
    #[inline]
    pub(super) fn find(&self, key: Key) -> Option<&Match> {
        // A table is at most half full, so every walk meets a vacant slot.
        let slot = &self.slots[self.walk(key)];
        (slot.key == key).then_some(&slot.found)
    }

    /// The slot of `key`, or the vacant one where it would stand.
    #[inline]
    fn walk(&self, key: Key) -> usize {
        let mut index = self.home(key);
        while self.slots[index].key != key && self.slots[index].key != Key::VACANT {
            index = (index + 1) & (self.slots.len() - 1);
        }
        index
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the shift leaves an index into the table")]
    const fn home(&self, key: Key) -> usize {
        (key.0.wrapping_mul(self.multiplier) >> self.shift) as usize
    }

    /// Puts in an entry and tells how many slots its look-up reads.
    fn insert(&mut self, key: Key, found: Match) -> usize {
        let index = self.walk(key);
        if self.slots[index].key == Key::VACANT {
            self.slots[index] = Slot { key, found };
        }
        (index.wrapping_sub(self.home(key)) & (self.slots.len() - 1)) + 1
    }
}
