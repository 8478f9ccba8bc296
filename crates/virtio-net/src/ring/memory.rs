//! The memory of a ring during a round.

use guest_memory::GuestSlice;

use crate::dirty::DirtyLog;
use crate::state::RingConfig;

/// The three parts of a ring, each in one region, and the log of what is written to them.
#[derive(Debug)]
pub(crate) struct RingMemory<'a> {
    pub(crate) descriptors: GuestSlice<'a>,
    pub(crate) driver: GuestSlice<'a>,
    pub(crate) device: GuestSlice<'a>,
    pub(crate) config: RingConfig,
    pub(crate) log: Option<&'a DirtyLog>,
}

impl RingMemory<'_> {
    /// The two words of descriptor `index`, each read once. The slice holds the whole table, so that this does not
    /// fail; a descriptor of zeros is empty.
    #[inline]
    pub(crate) fn descriptor(&self, index: u16) -> [u64; 2] {
        let at = usize::from(index) * super::chain::DESCRIPTOR;
        self.descriptors.read_obj::<[u64; 2]>(at).unwrap_or_default().map(u64::from_le)
    }

    /// The little-endian number at `offset` of the driver's part.
    #[inline]
    pub(crate) fn driver_u16(&self, offset: usize) -> u16 {
        u16::from_le(self.driver.read_obj(offset).unwrap_or_default())
    }

    /// Notes that bytes of the device's part were written.
    #[inline]
    pub(crate) fn mark_device(&self, offset: usize, length: usize) {
        if let Some(log) = self.log {
            log.mark(self.config.device.saturating_add(offset as u64), length);
        }
    }

    /// Notes that bytes of the descriptor ring were written.
    #[inline]
    pub(crate) fn mark_descriptors(&self, offset: usize, length: usize) {
        if let Some(log) = self.log {
            log.mark(self.config.descriptors.saturating_add(offset as u64), length);
        }
    }

    /// Stores the first word of the device's part, behind all stores before.
    #[inline]
    pub(crate) fn store_device_word(&self, low: u16, high: u16) {
        let stored = self.device.store_u32_release(0, u32::from(low) | u32::from(high) << 16);
        debug_assert!(stored.is_ok(), "the device's part is aligned and has at least a word");
        self.mark_device(0, 4);
    }
}
