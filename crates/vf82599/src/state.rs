//! The state of a VF that outlives a crash of the data path: pages in two memfds.
//!
//! | page | of the state file | of the rings file |
//! |---|---|---|
//! | 0 - 3 | the register file, at its offsets in BAR 0, but for | the registers of the rings, pages 1 and 2 |
//! | 4 | MSI-X table and pending bits | |
//! | 5 | what has no register: see [`word`] | |
//! | 6, 7 | PCI config space and what belongs to it without a register | |
//!
//! The rings have a file of their own because it can be mapped into the guest: whoever maps it gets all of it. Pages
//! that stand for the other file's are never touched, and take no memory.
//!
//! Both halves of the device work on these words: the control half (the thread that serves the socket) and the data
//! half (the worker that owns the queues). Each word has one writer at a time; hand-over between the halves is by
//! release and acquire, and by the worker's quiescent points.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use sys::{PagesError, SharedPages, Words};

use crate::registers;

/// Pages of the state file.
const STATE_PAGES: usize = 8;
/// Pages of the rings file.
const RINGS_PAGES: usize = 3;
/// Offsets in BAR 0 of the registers of the receive and transmit rings.
pub const RINGS: std::ops::Range<u32> = 0x1000..0x3000;

const PAGE_WORDS: usize = 1024;
const MAGIC: u32 = 0x5646_8259;
const VERSION: u32 = 2;

/// Word numbers in page 5.
pub(crate) mod word {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 1;
    /// Mailbox: what the VFMAILBOX register does not show; see `mailbox`.
    pub(crate) const MAILBOX: usize = 2;
    /// Mailbox API version code negotiated.
    pub(crate) const API: usize = 3;
    /// Longest frame that the guest takes, in bytes, frame check sequence included, VLAN tags not: each tag that stays
    /// in the frame makes it 4 bytes longer.
    pub(crate) const MAX_FRAME: usize = 4;
    /// Vectors whose cause waits for the end of its moderation interval.
    pub(crate) const DEFERRED: usize = 5;
    /// 1 while the link is up.
    pub(crate) const LINK: usize = 7;
    /// Packets and octets received and sent since power-on, as 64-bit pairs: rx packets, rx octets, rx multicast, tx
    /// packets, tx octets.
    pub(crate) const COUNTERS: usize = 8;
    /// Words of those.
    pub(crate) const COUNTERS_LEN: usize = 10;
    /// Per receive queue: a number that changes with every write to its control register.
    pub(crate) const RX_GENERATION: usize = 32;
    /// Per transmit queue: likewise.
    pub(crate) const TX_GENERATION: usize = 40;
    /// Per transmit queue: pieces of the frame at the head that were delivered already.
    pub(crate) const TX_RESUME: usize = 48;
    /// 1 if the function may reach guest memory: bus master on, power state D0, not in reset, not unplugged. The data
    /// half stops at its next look when this is 0.
    pub(crate) const DMA_ENABLED: usize = 56;
    /// The reset that is under way, for who has to finish it; 0 for none.
    pub(crate) const RESETTING: usize = 58;
    /// 1 when the function has been taken away from under the guest.
    pub(crate) const UNPLUGGED: usize = 57;
    /// High words of the octet counters, received and sent, as they were when the low words were read.
    pub(crate) const OCTETS_HIGH: usize = 60;
    /// Per transmit queue: two contexts of four words.
    pub(crate) const TX_CONTEXT: usize = 64;
    /// Further unicast addresses that the guest listens to: their number, then two words for each.
    pub(crate) const UNICAST: usize = 256;
}

/// The pages of one VF, and windows on them.
#[derive(Clone, Debug)]
pub struct VfState {
    state: Arc<SharedPages>,
    rings: Arc<SharedPages>,
    /// Register file but for the rings, word n at BAR 0 offset 4n.
    pub(crate) registers: Words,
    /// The registers of [`RINGS`], likewise.
    ring_registers: Words,
    pub(crate) private: Words,
    msix: Words,
    config: Words,
}

impl VfState {
    /// State of a VF that was never reset.
    ///
    /// # Errors
    /// No memory or file descriptor left.
    pub fn create(name: &str) -> Result<Self, PagesError> {
        let rings = SharedPages::create(&format!("{name}-rings"), RINGS_PAGES)?;
        let state = Self::over(SharedPages::create(name, STATE_PAGES)?, rings);
        state.private.store(word::MAGIC, MAGIC);
        state.private.store(word::VERSION, VERSION);
        Ok(state)
    }

    /// State of a VF that an earlier data path left in the files of [`VfState::state_fd`] and [`VfState::rings_fd`].
    ///
    /// # Errors
    /// The files do not hold the state of such a VF in this layout.
    pub fn open(state: OwnedFd, rings: OwnedFd) -> Result<Self, StateError> {
        let state =
            Self::over(SharedPages::open(state, STATE_PAGES)?, SharedPages::open(rings, RINGS_PAGES)?);
        match (state.private.load(word::MAGIC), state.private.load(word::VERSION)) {
            (MAGIC, VERSION) => Ok(state),
            (MAGIC, found) => Err(StateError::Version { found }),
            _ => Err(StateError::NotAVf),
        }
    }

    fn over(state: SharedPages, rings: SharedPages) -> Self {
        let (state, rings) = (Arc::new(state), Arc::new(rings));
        let all = Words::new(Arc::clone(&state));
        Self {
            ring_registers: Words::new(Arc::clone(&rings)),
            state,
            rings,
            registers: all.window(0, registers::REGISTER_WORDS),
            msix: all.window(4 * PAGE_WORDS, PAGE_WORDS),
            private: all.window(5 * PAGE_WORDS, PAGE_WORDS),
            config: all.window(6 * PAGE_WORDS, 2 * PAGE_WORDS),
        }
    }

    /// Memory for the function's [`pcie::ConfigSpace`].
    #[must_use]
    pub fn config_words(&self) -> Words {
        self.config.clone()
    }

    /// Memory for the function's [`pcie::MsixTable`].
    #[must_use]
    pub fn msix_words(&self) -> Words {
        self.msix.clone()
    }

    /// The register at `offset` of BAR 0.
    #[inline]
    #[must_use]
    pub fn register(&self, offset: u32) -> u32 {
        self.file_of(offset).load(offset as usize / 4)
    }

    /// Stores the register at `offset` of BAR 0.
    #[inline]
    pub fn set_register(&self, offset: u32, value: u32) {
        self.file_of(offset).store(offset as usize / 4, value);
    }

    #[inline]
    fn file_of(&self, offset: u32) -> &Words {
        if RINGS.contains(&offset) { &self.ring_registers } else { &self.registers }
    }

    /// The memfd of the state that is nobody else's to see.
    #[must_use]
    pub fn state_fd(&self) -> BorrowedFd<'_> {
        self.state.as_fd()
    }

    /// The memfd of the registers of [`RINGS`], at their offsets in BAR 0: their pages can be mapped into the guest.
    #[must_use]
    pub fn rings_fd(&self) -> BorrowedFd<'_> {
        self.rings.as_fd()
    }
}

/// Why pages cannot be taken as the state of a VF.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file itself is unfit.
    #[error(transparent)]
    Pages(#[from] PagesError),
    /// Something else is in it.
    #[error("the pages do not hold the state of a virtual function")]
    NotAVf,
    /// Another version of softiov wrote it.
    #[error("the state has layout version {found}, this softiov reads version {VERSION}")]
    Version {
        /// Version found.
        found: u32,
    },
}

#[cfg(test)]
mod tests;
