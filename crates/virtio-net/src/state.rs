//! The state of a synthetic adapter that outlives a crash of the data path: two pages in a memfd.
//!
//! Page 0 is the device ([`word`]), page 1 its rings, 16 words each ([`ring_word`]). The control half (the thread that
//! serves the front end) stores what the front end says; the data half reads it once per round and stores how far it
//! is. Before a ring, the features or the memory change, the control half stops the rings concerned and waits until
//! each worker has passed a quiescent point.

mod setup;
mod steering;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use ethernet::MacAddr;
use sys::{PagesError, SharedPages, Words};

pub use setup::{Position, RingConfig, RingSetupError};
pub(crate) use setup::{RingView, ring_word};

use crate::features::Features;
use crate::ring::RingError;

/// Most queue pairs of an adapter.
pub const MAX_PAIRS: u16 = 16;

const PAGES: usize = 2;
const PAGE_WORDS: usize = 1024;
const MAGIC: u32 = 0x564e_4554;
const VERSION: u32 = 1;

/// Word numbers in page 0.
pub(crate) mod word {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    pub(crate) const MAX_PAIRS: usize = 2;
    /// Pairs that the driver asked for; rings of others are not used.
    pub(crate) const PAIRS: usize = 3;
    /// Features that driver and device agreed on, low half first.
    pub(crate) const FEATURES: usize = 4;
    /// What of them [`super::Features::GUEST_OFFLOADS`] is switched on, low half first.
    pub(crate) const OFFLOADS: usize = 6;
    /// 1 while the link is up.
    pub(crate) const LINK: usize = 8;
    pub(crate) const MTU: usize = 9;
    /// The address, first four bytes first.
    pub(crate) const MAC: usize = 10;
    /// 1 while the guest is asked to announce itself.
    pub(crate) const ANNOUNCE: usize = 12;
    /// Bit 0 while the driver wants all frames, bit 1 while it wants all multicast.
    pub(crate) const RECEPTION: usize = 13;
    /// What the driver set for RSS: changes, hash types (0 for none), mask, default queue, key, table.
    pub(crate) const RSS_GENERATION: usize = 32;
    pub(crate) const RSS_TYPES: usize = 33;
    pub(crate) const RSS_MASK: usize = 34;
    pub(crate) const RSS_DEFAULT: usize = 35;
    pub(crate) const RSS_KEY: usize = 36;
    pub(crate) const RSS_TABLE: usize = 64;
}

/// The pages of one adapter.
#[derive(Clone, Debug)]
pub struct AdapterState {
    pages: Arc<SharedPages>,
    pub(crate) device: Words,
    pub(crate) rings: Words,
}

/// Why a file does not hold an adapter's state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be mapped.
    #[error("the adapter's state cannot be opened")]
    Pages(#[from] PagesError),
    /// Something else is in it.
    #[error("the file starts with {found:#x}, not with {MAGIC:#x}, the mark of a synthetic adapter's state")]
    NotAnAdapter {
        /// First word of the file.
        found: u32,
    },
    /// Another version of this software made it.
    #[error("the state has layout version {found}; this program knows version {VERSION}")]
    Version {
        /// Version in the file.
        found: u32,
    },
    /// No adapter has so many queue pairs.
    #[error("the state has {found} queue pairs; an adapter has 1 to {MAX_PAIRS}")]
    Pairs {
        /// Number in the file.
        found: u32,
    },
}

impl AdapterState {
    /// State of a new adapter with `max_pairs` queue pairs (1 to [`MAX_PAIRS`]; others count as the nearest of these),
    /// address `mac` and `mtu` bytes of MTU. Its link is down.
    ///
    /// # Errors
    /// No memory or file descriptor left.
    pub fn create(name: &str, max_pairs: u16, mac: MacAddr, mtu: u16) -> Result<Self, PagesError> {
        let state = Self::over(SharedPages::create(name, PAGES)?);
        state.device.store(word::MAGIC, MAGIC);
        state.device.store(word::VERSION, VERSION);
        state.device.store(word::MAX_PAIRS, u32::from(max_pairs.clamp(1, MAX_PAIRS)));
        state.device.store(word::PAIRS, 1);
        state.set_mac(mac);
        state.set_mtu(mtu);
        Ok(state)
    }

    /// State that an earlier data path left.
    ///
    /// # Errors
    /// The file does not hold the state of an adapter in this layout.
    pub fn open(fd: OwnedFd) -> Result<Self, StateError> {
        let state = Self::over(SharedPages::open(fd, PAGES)?);
        let found = state.device.load(word::MAGIC);
        if found != MAGIC {
            return Err(StateError::NotAnAdapter { found });
        }
        let found = state.device.load(word::VERSION);
        if found != VERSION {
            return Err(StateError::Version { found });
        }
        let found = state.device.load(word::MAX_PAIRS);
        if !(1..=u32::from(MAX_PAIRS)).contains(&found) {
            return Err(StateError::Pairs { found });
        }
        Ok(state)
    }

    fn over(pages: SharedPages) -> Self {
        let pages = Arc::new(pages);
        let all = Words::new(Arc::clone(&pages));
        Self { pages, device: all.window(0, PAGE_WORDS), rings: all.window(PAGE_WORDS, PAGE_WORDS) }
    }

    /// Queue pairs that the adapter has.
    #[must_use]
    pub fn max_pairs(&self) -> u16 {
        narrow(self.device.load(word::MAX_PAIRS)).clamp(1, MAX_PAIRS)
    }

    /// Queue pairs that the driver uses.
    #[must_use]
    pub fn pairs(&self) -> u16 {
        narrow(self.device.load(word::PAIRS)).clamp(1, self.max_pairs())
    }

    /// Sets the number of queue pairs that the driver uses, within 1 to the adapter's number.
    pub fn set_pairs(&self, pairs: u16) {
        self.device.store(word::PAIRS, u32::from(pairs.clamp(1, self.max_pairs())));
    }

    /// Number of rings: receive ring n is 2n, transmit ring n is 2n + 1, the last one is the control queue's.
    #[must_use]
    pub fn ring_count(&self) -> usize {
        2 * usize::from(self.max_pairs()) + 1
    }

    /// Number of the control queue's ring.
    #[must_use]
    pub fn control_ring(&self) -> usize {
        self.ring_count() - 1
    }

    /// The features in force: what was set, without those whose needs were not met.
    #[must_use]
    pub fn features(&self) -> Features {
        Features::from_bits_truncate(self.load_pair(word::FEATURES))
    }

    /// Sets what driver and device agreed on. All guest offloads of it are switched on. No ring may be running.
    pub fn set_features(&self, features: Features) {
        let features = features.effective();
        self.store_pair(word::FEATURES, features.bits());
        self.store_pair(word::OFFLOADS, (features & Features::GUEST_OFFLOADS).bits());
    }

    /// The guest offloads that are switched on.
    #[must_use]
    pub fn guest_offloads(&self) -> Features {
        Features::from_bits_truncate(self.load_pair(word::OFFLOADS))
    }

    /// Switches guest offloads: on those given that were agreed on, off all others. Takes effect in the next round.
    pub fn set_guest_offloads(&self, offloads: Features) {
        let agreed = self.features() & Features::GUEST_OFFLOADS;
        self.store_pair(word::OFFLOADS, (offloads & agreed).effective().bits());
    }

    /// Whether the link is up. Without a link no frame is received or taken.
    #[must_use]
    pub fn link_up(&self) -> bool {
        self.device.load(word::LINK) != 0
    }

    /// Sets the link; the driver reads it from the configuration. When it comes up the worker must be told to look once.
    pub fn set_link_up(&self, up: bool) {
        self.device.store(word::LINK, u32::from(up));
    }

    /// Largest MTU in bytes, as the configuration says. Longer frames are not received.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        narrow(self.device.load(word::MTU))
    }

    /// Sets the largest MTU in bytes.
    pub fn set_mtu(&self, mtu: u16) {
        self.device.store(word::MTU, u32::from(mtu));
    }

    /// The address in the configuration.
    #[must_use]
    pub fn mac(&self) -> MacAddr {
        let [a, b, c, d] = self.device.load(word::MAC).to_be_bytes();
        let [e, f, ..] = self.device.load(word::MAC + 1).to_be_bytes();
        MacAddr([a, b, c, d, e, f])
    }

    /// Sets the address in the configuration.
    pub fn set_mac(&self, mac: MacAddr) {
        let [a, b, c, d, e, f] = mac.0;
        self.device.store(word::MAC, u32::from_be_bytes([a, b, c, d]));
        self.device.store(word::MAC + 1, u32::from_be_bytes([e, f, 0, 0]));
    }

    /// Whether the guest is asked to announce itself (`VIRTIO_NET_S_ANNOUNCE`).
    #[must_use]
    pub fn announcing(&self) -> bool {
        self.device.load(word::ANNOUNCE) != 0
    }

    /// Asks the guest to announce itself, or takes that back.
    pub fn set_announcing(&self, announce: bool) {
        self.device.store(word::ANNOUNCE, u32::from(announce));
    }

    /// Whether the driver wants all frames, and whether it wants all multicast.
    pub(crate) fn reception(&self) -> (bool, bool) {
        let bits = self.device.load(word::RECEPTION);
        (bits & 1 != 0, bits & 2 != 0)
    }

    pub(crate) fn set_reception(&self, (promiscuous, all_multicast): (bool, bool)) {
        self.device.store(word::RECEPTION, u32::from(promiscuous) | u32::from(all_multicast) << 1);
    }

    /// The driver starts over: what it asked for by the control queue is forgotten, and no ring runs. The rings are
    /// settled after the worker's next quiescent point.
    pub fn reset(&self) {
        for ring in 0..self.ring_count() {
            self.stop_ring(ring);
            self.enable_ring(ring, false);
        }
        self.set_features(Features::empty());
        self.set_pairs(1);
        self.set_rss(None);
        self.set_reception((false, false));
        self.set_announcing(false);
    }

    /// Why ring number `ring` is broken, if it is.
    #[must_use]
    pub fn broken(&self, ring: usize) -> Option<RingError> {
        let code = self.ring(ring)?.load(ring_word::BROKEN) as usize;
        RingError::ALL.get(code.checked_sub(1)?).copied()
    }

    fn load_pair(&self, at: usize) -> u64 {
        u64::from(self.device.load(at)) | u64::from(self.device.load(at + 1)) << 32
    }

    fn store_pair(&self, at: usize, value: u64) {
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        self.device.store(at, u32::from_le_bytes([a, b, c, d]));
        self.device.store(at + 1, u32::from_le_bytes([e, f, g, h]));
    }
}

/// Words hold 16-bit numbers that we stored; a file that says otherwise is not trusted any further than this.
fn narrow(word: u32) -> u16 {
    u16::try_from(word).unwrap_or(u16::MAX)
}

impl AsFd for AdapterState {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pages.as_fd()
    }
}

#[cfg(test)]
mod tests;
