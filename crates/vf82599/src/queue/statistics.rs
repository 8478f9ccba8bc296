//! The statistics registers, and the counters behind them.

use crate::registers::{VFGORC_LSB, VFGORC_MSB, VFGOTC_LSB, VFGOTC_MSB, VFGPRC, VFGPTC, VFMPRC};
use crate::state::{VfState, word};

/// Statistics since the last flush.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delta {
    received_packets: u64,
    received_octets: u64,
    multicast: u64,
    sent_packets: u64,
    sent_octets: u64,
}

impl Delta {
    #[inline]
    pub(super) fn received(&mut self, packets: u64, octets: u64, multicast: bool) {
        self.received_packets += packets;
        self.received_octets += octets;
        if multicast {
            self.multicast += packets;
        }
    }

    #[inline]
    pub(super) fn sent(&mut self, packets: u64, octets: u64) {
        self.sent_packets += packets;
        self.sent_octets += octets;
    }

    /// Adds them to the counters in the state, and shows those in the registers: packets have 32 bits, octets 36.
    pub(super) fn flush(&mut self, state: &VfState) {
        let delta = std::mem::take(self);
        if delta.received_packets > 0 {
            state.set_register(VFGPRC, add(state, 0, delta.received_packets).0);
            let (low, high) = add(state, 1, delta.received_octets);
            state.set_register(VFGORC_LSB, low);
            state.set_register(VFGORC_MSB, high & 0xf);
        }
        if delta.multicast > 0 {
            state.set_register(VFMPRC, add(state, 2, delta.multicast).0);
        }
        if delta.sent_packets > 0 {
            state.set_register(VFGPTC, add(state, 3, delta.sent_packets).0);
            let (low, high) = add(state, 4, delta.sent_octets);
            state.set_register(VFGOTC_LSB, low);
            state.set_register(VFGOTC_MSB, high & 0xf);
        }
    }
}

/// Adds to counter number `index`; its halves, low and high.
fn add(state: &VfState, index: usize, value: u64) -> (u32, u32) {
    let at = word::COUNTERS + 2 * index;
    let words = &state.private;
    let sum = (u64::from(words.load(at)) | u64::from(words.load(at + 1)) << 32).wrapping_add(value);
    let (low, high) = halves(sum);
    words.store(at, low);
    words.store(at + 1, high);
    (low, high)
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are meant")]
fn halves(value: u64) -> (u32, u32) {
    (value as u32, (value >> 32) as u32)
}
