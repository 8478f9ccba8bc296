//! Configuration blocks: the backchannel between a VF's driver and the PF (ndis.md C.7).
//!
//! | block | content | who writes it |
//! |---|---|---|
//! | 0 | [`Identity`](BLOCK_IDENTITY): MAC address, link, largest frame; 16 bytes | the PF |
//! | 1 | [`Statistics`](BLOCK_STATISTICS): eight 64-bit counters; 64 bytes | the PF |
//! | 2 to 63 | up to 128 bytes that mean nothing to the PF | the VF's driver |
//!
//! All numbers are little-endian. There are 64 blocks because the mask of an invalidation has 64 bits.

use std::collections::BTreeMap;

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// The block that tells a VF its MAC address (bytes 0 to 5), its link (byte 6: 1 up, 0 down), and its largest frame in
/// bytes (8 to 11).
pub const BLOCK_IDENTITY: u32 = 0;
/// The block with the counters of a VF, in the order of [`VfStatistics`].
pub const BLOCK_STATISTICS: u32 = 1;
/// The number of blocks of a VF.
pub const NUM_BLOCKS: u32 = 64;
/// The largest block, and the longest transfer, in bytes: `VPCI_MAX_READ_WRITE_BLOCK_SIZE`.
pub const MAX_BLOCK_SIZE: u32 = 128;

/// The counters of a VF's VPort, as seen by its guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VfStatistics {
    /// Frames delivered to the VF.
    pub rx_packets: u64,
    /// Bytes delivered to the VF.
    pub rx_bytes: u64,
    /// Frames taken from the VF.
    pub tx_packets: u64,
    /// Bytes taken from the VF.
    pub tx_bytes: u64,
    /// Broadcast frames delivered to the VF.
    pub rx_broadcast: u64,
    /// Multicast frames delivered to the VF.
    pub rx_multicast: u64,
    /// Frames for the VF that were dropped.
    pub rx_dropped: u64,
    /// Frames of the VF that were dropped.
    pub tx_dropped: u64,
}

/// What block 0 says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) mac: MacAddr,
    pub(crate) link_up: bool,
    pub(crate) max_frame: u32,
}

/// The blocks of one VF.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigBlocks {
    pub(crate) statistics: VfStatistics,
    /// Blocks 2 and on that were written; at most 62 of at most 128 bytes each.
    stored: BTreeMap<u32, Vec<u8>>,
}

impl ConfigBlocks {
    /// The first `length` bytes of `block`; bytes that were never written read as zero.
    pub(crate) fn read(&self, block: u32, length: u32, identity: Identity) -> Result<Vec<u8>, Refusal> {
        check(block, length)?;
        let mut bytes = match block {
            BLOCK_IDENTITY => identity_block(identity),
            BLOCK_STATISTICS => statistics_block(&self.statistics),
            _ => self.stored.get(&block).cloned().unwrap_or_default(),
        };
        bytes.resize(usize::try_from(length).expect("a block is short"), 0);
        Ok(bytes)
    }

    /// Replaces the first bytes of `block` by `data`.
    pub(crate) fn write(&mut self, block: u32, data: &[u8]) -> Result<(), Refusal> {
        check(block, u32::try_from(data.len()).unwrap_or(u32::MAX))?;
        if block == BLOCK_IDENTITY || block == BLOCK_STATISTICS {
            return Err(Refusal::BlockReadOnly { block });
        }
        let stored = self.stored.entry(block).or_default();
        if stored.len() < data.len() {
            stored.resize(data.len(), 0);
        }
        stored[..data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn check(block: u32, length: u32) -> Result<(), Refusal> {
    if block >= NUM_BLOCKS {
        return Err(Refusal::UnknownBlock { block });
    }
    if length == 0 || length > MAX_BLOCK_SIZE {
        return Err(Refusal::BlockLength { block, length });
    }
    Ok(())
}

fn identity_block(identity: Identity) -> Vec<u8> {
    let mut bytes = identity.mac.0.to_vec();
    bytes.extend([u8::from(identity.link_up), 0]);
    bytes.extend(identity.max_frame.to_le_bytes());
    bytes.extend([0; 4]);
    bytes
}

fn statistics_block(statistics: &VfStatistics) -> Vec<u8> {
    let VfStatistics {
        rx_packets,
        rx_bytes,
        tx_packets,
        tx_bytes,
        rx_broadcast,
        rx_multicast,
        rx_dropped,
        tx_dropped,
    } = *statistics;
    [rx_packets, rx_bytes, tx_packets, tx_bytes, rx_broadcast, rx_multicast, rx_dropped, tx_dropped]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect()
}

/// Which blocks of a VF are stale, and whether its driver waits to be told.
///
/// The driver posts one request (`IOCTL_VPCI_INVALIDATE_BLOCK`) and posts it again after each answer. Masks that come while
/// none is posted are joined and delivered with the next one, so that nothing is lost and nothing queues up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Invalidation {
    pending: u64,
    posted: bool,
}

impl Invalidation {
    /// Blocks became stale (`NdisMInvalidateConfigBlock`). Returns the mask to complete the posted request with, if one
    /// is posted.
    pub(crate) fn invalidate(&mut self, mask: u64) -> Option<u64> {
        self.pending |= mask;
        if self.posted { self.deliver() } else { None }
    }

    /// The driver posts its request. Returns the mask to complete it with at once, if blocks are stale; otherwise the
    /// request stays posted.
    pub(crate) fn post(&mut self) -> Option<u64> {
        self.posted = true;
        self.deliver()
    }

    /// The driver is gone: its request and all that it did not hear of are forgotten.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    fn deliver(&mut self) -> Option<u64> {
        if self.pending == 0 {
            return None;
        }
        self.posted = false;
        Some(core::mem::take(&mut self.pending))
    }
}

#[cfg(test)]
mod tests;
