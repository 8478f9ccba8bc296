//! Rings as the front end sets them up.

use sys::Words;

use super::{AdapterState, narrow};
use crate::features::Features;
use crate::ring::RingError;

/// Largest ring, in descriptors (VIRTIO 1.3 section 2.7).
const MAX_SIZE: u16 = 32_768;

/// Word numbers of a ring.
pub(crate) mod ring_word {
    /// Words of a ring.
    pub(crate) const COUNT: usize = 16;
    /// A number that changes whenever the ring is set up.
    pub(crate) const GENERATION: usize = 0;
    /// [`STARTED`] and [`ENABLED`].
    pub(crate) const CONTROL: usize = 1;
    pub(crate) const SIZE: usize = 2;
    /// Guest addresses, low half first.
    pub(crate) const DESCRIPTORS: usize = 3;
    pub(crate) const DRIVER: usize = 5;
    pub(crate) const DEVICE: usize = 7;
    /// [`super::Position::bits`].
    pub(crate) const POSITION: usize = 9;
    /// 1 + number of the reason.
    pub(crate) const BROKEN: usize = 10;
    /// Pieces of the frame at the position that were delivered already.
    pub(crate) const RESUME: usize = 11;

    pub(crate) const STARTED: u32 = 1;
    pub(crate) const ENABLED: u32 = 2;
}

/// A ring in guest memory. Addresses are guest addresses: a front end's own virtual addresses are translated before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingConfig {
    /// Descriptors: a power of two for split rings, 1 to 32,768.
    pub size: u16,
    /// Descriptor table, or the ring of a packed one; a multiple of 16.
    pub descriptors: u64,
    /// Available ring (a multiple of 2), or the driver's event suppression structure (of 4).
    pub driver: u64,
    /// Used ring, or the device's event suppression structure; a multiple of 4.
    pub device: u64,
}

/// Why a ring cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingSetupError {
    /// No such ring.
    #[error("there is no ring {ring}; the adapter has {count}")]
    NoSuchRing {
        /// Number asked for.
        ring: usize,
        /// Rings that there are.
        count: usize,
    },
    /// The size is none that a ring can have.
    #[error(
        "a ring of {size} descriptors is not possible; it has 1 to {MAX_SIZE}, split rings a power of two"
    )]
    Size {
        /// Size asked for, in descriptors.
        size: u16,
    },
    /// An address is not aligned.
    #[error("the ring's part at {address:#x} must lie on a multiple of {align} bytes")]
    Misaligned {
        /// Guest address asked for.
        address: u64,
        /// Alignment needed in bytes.
        align: u64,
    },
    /// The position does not lie in the ring.
    #[error("position {position:#x} does not lie in a packed ring of {size} descriptors")]
    Position {
        /// The position's bits.
        position: u32,
        /// Size of the ring in descriptors.
        size: u16,
    },
}

/// How far the device is in a ring: the next buffer that it takes, and where it reports the next used one. In a packed
/// ring bit 15 of each is the wrap counter. Between rounds no buffer is in flight, so that both are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Next to be taken.
    pub available: u16,
    /// Next to be reported; without meaning for split rings, which have it in guest memory.
    pub used: u16,
}

impl Position {
    /// As vhost-user's `GET_VRING_BASE` and `SET_VRING_BASE` carry it: available in the low half, used in the high.
    #[must_use]
    pub fn bits(self) -> u32 {
        u32::from(self.available) | u32::from(self.used) << 16
    }

    /// The reverse of [`Position::bits`].
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        let [a, b, c, d] = bits.to_le_bytes();
        Self { available: u16::from_le_bytes([a, b]), used: u16::from_le_bytes([c, d]) }
    }

    /// Where a ring starts that was never used.
    #[must_use]
    pub fn initial(features: Features) -> Self {
        let start = if features.contains(Features::RING_PACKED) { 0x8000 } else { 0 };
        Self { available: start, used: start }
    }
}

impl AdapterState {
    /// Sets ring number `ring` up and starts it at `position`; it is used once it is enabled too. What broke it before
    /// is forgotten. The features must be set, and the ring must be stopped. The worker must be told to look once.
    ///
    /// # Errors
    /// No ring can be like that; it stays stopped. Whether its memory is there is seen at its first use.
    pub fn start_ring(
        &self,
        ring: usize,
        config: RingConfig,
        position: Position,
    ) -> Result<(), RingSetupError> {
        let no_such = RingSetupError::NoSuchRing { ring, count: self.ring_count() };
        let words = self.ring(ring).ok_or(no_such)?;
        let packed = self.features().contains(Features::RING_PACKED);
        let size = config.size;
        if size == 0 || size > MAX_SIZE || (!packed && !size.is_power_of_two()) {
            return Err(RingSetupError::Size { size });
        }
        let driver_align = if packed { 4 } else { 2 };
        for (address, align) in [(config.descriptors, 16), (config.driver, driver_align), (config.device, 4)]
        {
            if address % align != 0 {
                return Err(RingSetupError::Misaligned { address, align });
            }
        }
        if packed && [position.available, position.used].iter().any(|at| at & 0x7fff >= size) {
            return Err(RingSetupError::Position { position: position.bits(), size });
        }
        words.store(ring_word::SIZE, u32::from(size));
        store_address(&words, ring_word::DESCRIPTORS, config.descriptors);
        store_address(&words, ring_word::DRIVER, config.driver);
        store_address(&words, ring_word::DEVICE, config.device);
        words.store(ring_word::POSITION, position.bits());
        words.store(ring_word::BROKEN, 0);
        words.store(ring_word::RESUME, 0);
        words.fetch_add(ring_word::GENERATION, 1);
        words.fetch_or(ring_word::CONTROL, ring_word::STARTED);
        Ok(())
    }

    /// Stops a ring. Its [`AdapterState::position`] is settled after the worker's next quiescent point.
    pub fn stop_ring(&self, ring: usize) {
        if let Some(words) = self.ring(ring) {
            words.fetch_and(ring_word::CONTROL, !ring_word::STARTED);
        }
    }

    /// Enables or disables a ring, started or not. When it is enabled the worker must be told to look once.
    pub fn enable_ring(&self, ring: usize, enabled: bool) {
        if let Some(words) = self.ring(ring) {
            match enabled {
                true => words.fetch_or(ring_word::CONTROL, ring_word::ENABLED),
                false => words.fetch_and(ring_word::CONTROL, !ring_word::ENABLED),
            };
        }
    }

    /// How far the device is in a ring; `None` if there is no such ring.
    #[must_use]
    pub fn position(&self, ring: usize) -> Option<Position> {
        Some(Position::from_bits(self.ring(ring)?.load(ring_word::POSITION)))
    }

    /// The words of ring number `ring`.
    pub(crate) fn ring(&self, ring: usize) -> Option<Words> {
        (ring < self.ring_count()).then(|| self.rings.window(ring * ring_word::COUNT, ring_word::COUNT))
    }
}

fn store_address(words: &Words, at: usize, address: u64) {
    let [a, b, c, d, e, f, g, h] = address.to_le_bytes();
    words.store(at, u32::from_le_bytes([a, b, c, d]));
    words.store(at + 1, u32::from_le_bytes([e, f, g, h]));
}

/// A ring's words as the data half reads and writes them.
#[derive(Clone, Debug)]
pub(crate) struct RingView(Words);

impl RingView {
    pub(crate) fn new(state: &AdapterState, ring: usize) -> Self {
        Self(state.rings.window(ring * ring_word::COUNT, ring_word::COUNT))
    }

    /// True if the ring is to be used.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        const RUNNING: u32 = ring_word::STARTED | ring_word::ENABLED;
        self.0.load(ring_word::CONTROL) & RUNNING == RUNNING && self.0.load(ring_word::BROKEN) == 0
    }

    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.0.load(ring_word::GENERATION)
    }

    pub(crate) fn config(&self) -> RingConfig {
        let address = |at| u64::from(self.0.load(at)) | u64::from(self.0.load(at + 1)) << 32;
        RingConfig {
            size: narrow(self.0.load(ring_word::SIZE)),
            descriptors: address(ring_word::DESCRIPTORS),
            driver: address(ring_word::DRIVER),
            device: address(ring_word::DEVICE),
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position::from_bits(self.0.load(ring_word::POSITION))
    }

    pub(crate) fn set_position(&self, position: Position) {
        self.0.store(ring_word::POSITION, position.bits());
    }

    pub(crate) fn set_broken(&self, error: RingError) {
        self.0.store(ring_word::BROKEN, 1 + error as u32);
    }

    pub(crate) fn resume(&self) -> u32 {
        self.0.load(ring_word::RESUME)
    }

    pub(crate) fn set_resume(&self, pieces: u32) {
        if self.resume() != pieces {
            self.0.store(ring_word::RESUME, pieces);
        }
    }
}
