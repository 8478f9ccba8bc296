//! The last decisions that hold for every frame with the same Ethernet header, until the path is replaced.
//!
//! Frames come in bursts, and most of a burst goes to few stations. What collides here costs a decision, nothing else.

use ethernet::{ETHERNET_HEADER_LEN, VlanTag};

use super::{Destination, Packet};
use crate::PortId;

/// Decisions that are kept: 3 KiB, which stay in the cache nearest to the CPU.
const SLOTS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Memo {
    from: PortId,
    header: [u8; ETHERNET_HEADER_LEN],
    tag: Option<VlanTag>,
    destination: Destination,
}

/// The decisions of one worker, by a hash of the header.
#[derive(Debug, Clone)]
pub(crate) struct Memos([Option<Memo>; SLOTS]);

impl Memos {
    pub(crate) const fn new() -> Self {
        Self([None; SLOTS])
    }

    pub(crate) fn clear(&mut self) {
        self.0.fill(None);
    }

    /// What was decided on such a frame.
    #[inline]
    pub(super) fn find(&self, packet: &Packet<'_>) -> Option<Destination> {
        let header = packet.header.first_chunk()?;
        let memo = self.0[slot(packet.from, header)].as_ref()?;
        let same = memo.from == packet.from && memo.header == *header && memo.tag == packet.tag;
        same.then_some(memo.destination)
    }

    pub(super) fn keep(&mut self, packet: &Packet<'_>, destination: Destination) {
        if let Some(header) = packet.header.first_chunk() {
            let Packet { from, tag, .. } = *packet;
            self.0[slot(from, header)] = Some(Memo { from, header: *header, tag, destination });
        }
    }

    /// Decisions that are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

/// By the end of the destination address, where stations differ, and the sender.
#[inline]
fn slot(from: PortId, header: &[u8; ETHERNET_HEADER_LEN]) -> usize {
    let [_, _, a, b, c, d, ..] = *header;
    let mixed = (u32::from_le_bytes([a, b, c, d]) ^ from.0.rotate_left(8)).wrapping_mul(0x9e37_79b9);
    (mixed >> (u32::BITS - SLOTS.trailing_zeros())) as usize
}
