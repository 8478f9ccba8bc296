//! One function's 4096 bytes of configuration space, and the rules of the registers that masks cannot express.
//!
//! One thread at a time writes (the bus thread of the function, or the one that manages it); other threads may read,
//! and may record errors: each word changes by one atomic update, so that no bit set meanwhile is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sys::Words;

use crate::CONFIG_SPACE_SIZE;
use crate::effects::{ConfigEffect, ConfigEffects, Controls, MsixControl, PowerState};
use crate::layout::{CONFIG_WORDS, ConfigLayout};
use crate::registers::{command, express, header, msix, power, sriov};

/// The word after config space: state of the function that no register shows.
pub(crate) const STATE_WORD: usize = CONFIG_WORDS;
/// Bits 1:0 hold the power state of a function without a power management capability.
const STATE_HIDDEN: u32 = 1 << 2;
const STATE_PRESENT: u32 = 1 << 3;

/// How a function is reset (PCIe 6.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetKind {
    /// Function level reset: sticky bits and the link's settings stay.
    FunctionLevel,
    /// Power-on: everything starts anew.
    Conventional,
}

/// Why an access to config space cannot be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The access is not 1, 2 or 4 bytes wide.
    #[error("a configuration access is 1, 2 or 4 bytes wide, not {0}")]
    Width(usize),
    /// The access leaves config space.
    #[error("{length} bytes at {offset:#x} leave the 4096 bytes of configuration space")]
    Range {
        /// First byte.
        offset: u16,
        /// Number of bytes.
        length: usize,
    },
}

/// Why memory cannot hold, or does not hold, the state of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The memory is too small.
    #[error("the state needs {needed} words, the memory has {found}")]
    TooSmall {
        /// Words needed.
        needed: usize,
        /// Words there.
        found: usize,
    },
    /// The memory holds another function, or none.
    #[error("the word at {offset:#x} is {found:#010x} where this function always has {expected:#010x}")]
    Foreign {
        /// Offset in config space.
        offset: usize,
        /// The word in memory.
        found: u32,
        /// The hardwired bits of that word.
        expected: u32,
    },
    /// No vectors to keep.
    #[error("the function has no MSI-X capability")]
    NoMsix,
}

/// Checks that `words` are at least `needed`.
pub(crate) fn check_storage(words: &Words, needed: usize) -> Result<(), StorageError> {
    if words.len() < needed {
        return Err(StorageError::TooSmall { needed, found: words.len() });
    }
    Ok(())
}

/// Config space of one function. Clones are handles to the same function.
///
/// A function that is not present (a VF while VF Enable is 0) reads all ones and ignores writes, through every handle.
#[derive(Clone, Debug)]
pub struct ConfigSpace {
    layout: Arc<ConfigLayout>,
    words: Words,
}

impl ConfigSpace {
    /// Words of memory that a config space takes.
    pub const WORDS: usize = CONFIG_WORDS + 1;

    /// A function after power-on, present.
    ///
    /// # Errors
    /// [`StorageError::TooSmall`] if there are less than [`Self::WORDS`] words.
    pub fn create(layout: Arc<ConfigLayout>, words: Words) -> Result<Self, StorageError> {
        check_storage(&words, Self::WORDS)?;
        let space = Self { layout, words };
        space.power_on();
        Ok(space)
    }

    /// Goes on with the function that a process has left in `words`.
    ///
    /// # Errors
    /// [`StorageError`] if `words` do not hold a function of this layout.
    pub fn attach(layout: Arc<ConfigLayout>, words: Words) -> Result<Self, StorageError> {
        check_storage(&words, Self::WORDS)?;
        for (word, register) in layout.registers().iter().enumerate() {
            let (found, hardwired) = (words.load(word), register.hardwired());
            if (found ^ register.reset) & hardwired != 0 {
                let expected = register.reset & hardwired;
                return Err(StorageError::Foreign { offset: word * 4, found, expected });
            }
        }
        Ok(Self { layout, words })
    }

    /// The layout, shared by all functions of the kind.
    #[must_use]
    pub fn layout(&self) -> &Arc<ConfigLayout> {
        &self.layout
    }

    /// Reads `length` bytes (1, 2 or 4) at `offset`, little-endian; they need not be aligned.
    ///
    /// # Errors
    /// [`AccessError`] for another width or a range that leaves config space.
    pub fn read(&self, offset: u16, length: usize) -> Result<u32, AccessError> {
        check_access(offset, length)?;
        let mut bytes = [0; 4];
        self.read_bytes(offset, &mut bytes[..length])?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads any number of bytes, as VMMs do when they copy the whole of config space.
    ///
    /// # Errors
    /// [`AccessError::Range`] for a range that leaves config space; `data` stays as it is.
    pub fn read_bytes(&self, offset: u16, data: &mut [u8]) -> Result<(), AccessError> {
        check_range(offset, data.len())?;
        for lane in lanes(offset, data.len()) {
            let word = self.visible_word(lane.word).to_le_bytes();
            data[lane.data()].copy_from_slice(&word[lane.bytes()]);
        }
        Ok(())
    }

    /// Writes 1, 2 or 4 bytes at `offset`; they need not be aligned. Bits that software cannot write stay as they are.
    ///
    /// # Errors
    /// [`AccessError`] for another width or a range that leaves config space; nothing is written.
    pub fn write(&self, offset: u16, data: &[u8]) -> Result<ConfigEffects, AccessError> {
        check_access(offset, data.len())?;
        Ok(self.effects_of(|effects| {
            for lane in lanes(offset, data.len()) {
                let (mut value, mut mask) = ([0; 4], [0; 4]);
                value[lane.bytes()].copy_from_slice(&data[lane.data()]);
                mask[lane.bytes()].fill(0xff);
                let (value, mask) = (u32::from_le_bytes(value), u32::from_le_bytes(mask));
                self.write_word(lane.word, value, mask);
                let resets =
                    lane.word == express::DEVICE_CONTROL_WORD && value & mask & express::INITIATE_FLR != 0;
                if resets && self.layout.flr {
                    self.reset_registers(ResetKind::FunctionLevel);
                    effects.push(ConfigEffect::FunctionLevelReset);
                }
            }
        }))
    }

    /// Resets the function; a function level reset is reported as [`ConfigEffect::FunctionLevelReset`] first.
    ///
    /// The switch of [`Self::set_capabilities_hidden`] stays as it is.
    pub fn reset(&self, kind: ResetKind) -> ConfigEffects {
        self.effects_of(|effects| {
            self.reset_registers(kind);
            if kind == ResetKind::FunctionLevel {
                effects.push(ConfigEffect::FunctionLevelReset);
            }
        })
    }

    /// Hides the capability list: Status bit 4 and the capabilities pointer read 0, everything else stays.
    ///
    /// QEMU emulates MSI-X only if it saw the capability when it realized the device, and its emulation aborts at
    /// unplug. Hidden from connect until the first device reset, the capability is the guest's alone.
    pub fn set_capabilities_hidden(&self, hidden: bool) {
        self.set_state(STATE_HIDDEN, hidden);
    }

    /// Whether the capability list is hidden.
    #[must_use]
    pub fn capabilities_hidden(&self) -> bool {
        self.word(STATE_WORD) & STATE_HIDDEN != 0
    }

    /// Whether the function answers at all.
    #[must_use]
    pub fn is_present(&self) -> bool {
        self.word(STATE_WORD) & STATE_PRESENT != 0
    }

    /// Whether the function may send memory requests (DMA and messages): present, in D0, bus mastering enabled.
    #[must_use]
    pub fn is_bus_master(&self) -> bool {
        self.is_working() && self.word(command::WORD) & command::BUS_MASTER != 0
    }

    /// Whether the function answers at its BARs: present, in D0, memory space enabled.
    #[must_use]
    pub fn decodes_memory(&self) -> bool {
        self.is_working() && self.word(command::WORD) & command::MEMORY_SPACE != 0
    }

    /// The power state: of the power management capability, or what [`Self::set_power_state`] made it.
    #[must_use]
    pub fn power_state(&self) -> PowerState {
        if self.word(self.layout.power_word) & power::STATE == 0 { PowerState::D0 } else { PowerState::D3Hot }
    }

    /// Puts the function into a power state, as a PF does with its VFs, which need no power management capability.
    pub fn set_power_state(&self, state: PowerState) -> ConfigEffects {
        self.effects_of(|_| {
            match state {
                PowerState::D0 => self.words.fetch_and(self.layout.power_word, !power::STATE),
                PowerState::D3Hot => self.words.fetch_or(self.layout.power_word, power::STATE),
            };
        })
    }

    /// MSI-X Message Control, or `None` without the capability.
    #[must_use]
    pub fn msix_control(&self) -> Option<MsixControl> {
        self.layout.msix.map(|_| MsixControl::from_word(self.word(msix::CONTROL_WORD)))
    }

    /// Records in the Status register that no memory answered a request of this function. Any thread may call it.
    pub fn record_master_abort(&self) {
        self.words.fetch_or(command::WORD, command::RECEIVED_MASTER_ABORT);
    }

    pub(crate) fn word(&self, word: usize) -> u32 {
        self.words.load(word)
    }

    /// NumVFs as it stands, whether VFs are enabled or not. Only of a function with SR-IOV.
    pub(crate) fn num_vfs_register(&self) -> u16 {
        let [low, high, ..] = self.word(sriov::NUM_VFS_WORD).to_le_bytes();
        u16::from_le_bytes([low, high])
    }

    /// Carries out a `change` and reports what it asks for; a function that is not present does not change.
    pub(crate) fn effects_of(&self, change: impl FnOnce(&mut ConfigEffects)) -> ConfigEffects {
        let mut effects = ConfigEffects::new();
        if self.is_present() {
            let before = Controls::of(self);
            change(&mut effects);
            before.changes(&Controls::of(self), &mut effects);
        }
        effects
    }

    /// Whether a process has left a function in `words` that was present.
    pub(crate) fn is_left_present(words: &Words) -> bool {
        words.len() >= Self::WORDS && words.load(STATE_WORD) & STATE_PRESENT != 0
    }

    /// Starts anew and answers from now on. Presence comes last: no handle sees registers of before.
    pub(crate) fn power_on(&self) {
        self.words.store(STATE_WORD, 0);
        self.reset_registers(ResetKind::Conventional);
        self.set_state(STATE_PRESENT, true);
    }

    /// Answers no longer.
    pub(crate) fn vanish(&self) {
        self.set_state(STATE_PRESENT, false);
    }

    fn is_working(&self) -> bool {
        self.is_present() && self.power_state() == PowerState::D0
    }

    fn set_state(&self, bit: u32, on: bool) {
        if on {
            self.words.fetch_or(STATE_WORD, bit);
        } else {
            self.words.fetch_and(STATE_WORD, !bit);
        }
    }

    /// A word as an access sees it.
    fn visible_word(&self, word: usize) -> u32 {
        let state = self.word(STATE_WORD);
        if state & STATE_PRESENT == 0 {
            return u32::MAX;
        }
        let value = self.word(word);
        match word {
            command::WORD if state & STATE_HIDDEN != 0 => value & !command::CAPABILITIES_LIST,
            header::CAPABILITIES_POINTER if state & STATE_HIDDEN != 0 => {
                value & !header::CAPABILITIES_POINTER_MASK
            }
            _ => value,
        }
    }

    /// Software's write of the bits in `lanes`.
    pub(crate) fn write_word(&self, word: usize, value: u32, lanes: u32) {
        let register = self.layout.register(word);
        self.words.as_slice()[word].update(Ordering::AcqRel, Ordering::Acquire, |old| {
            self.ruled(word, old, register.written(old, value, lanes))
        });
        if word == sriov::SYSTEM_PAGE_SIZE_WORD && self.layout.sriov.is_some() {
            self.align_vf_bars();
        }
    }

    /// What a register takes of `new`, by the rules that depend on more than the bit.
    pub(crate) fn ruled(&self, word: usize, old: u32, new: u32) -> u32 {
        if word == power::CONTROL_WORD && self.layout.power_word == word {
            // A write of a state that is not supported is discarded (PCIe 7.5.2.2).
            let supported = matches!(new & power::STATE, 0 | power::STATE);
            return if supported { new } else { new & !power::STATE | old & power::STATE };
        }
        match &self.layout.sriov {
            Some(parameters) => parameters.ruled(word, old, new, |w| self.word(w)),
            None => new,
        }
    }

    /// VF BARs are multiples of the system page size: a larger one clears bits that were writable before.
    fn align_vf_bars(&self) {
        for index in 0..6 {
            self.write_word(sriov::VF_BAR0_WORD + index, 0, 0);
        }
    }

    fn reset_registers(&self, kind: ResetKind) {
        for (word, register) in self.layout.registers().iter().enumerate() {
            let kept = if kind == ResetKind::FunctionLevel { register.sticky } else { 0 };
            let old = self.word(word);
            let new = old & kept | register.reset & !kept;
            if new != old {
                self.words.store(word, new);
            }
        }
        if self.layout.power_word == STATE_WORD {
            self.words.fetch_and(STATE_WORD, !power::STATE);
        }
    }
}

/// Checks an access of a guest or VMM: 1, 2 or 4 bytes within config space.
pub(crate) fn check_access(offset: u16, length: usize) -> Result<(), AccessError> {
    if !matches!(length, 1 | 2 | 4) {
        return Err(AccessError::Width(length));
    }
    check_range(offset, length)
}

/// Checks that an access of any length lies within config space.
pub(crate) fn check_range(offset: u16, length: usize) -> Result<(), AccessError> {
    match usize::from(offset).checked_add(length) {
        Some(end) if end <= CONFIG_SPACE_SIZE => Ok(()),
        _ => Err(AccessError::Range { offset, length }),
    }
}

/// The part of an access that falls into one word.
struct Lane {
    word: usize,
    first: usize,
    count: usize,
    /// Where the part begins in the access's data.
    done: usize,
}

impl Lane {
    fn bytes(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.count
    }

    fn data(&self) -> std::ops::Range<usize> {
        self.done..self.done + self.count
    }
}

fn lanes(offset: u16, length: usize) -> impl Iterator<Item = Lane> {
    let start = usize::from(offset);
    let mut done = 0;
    std::iter::from_fn(move || {
        let (word, first) = ((start + done) / 4, (start + done) % 4);
        let count = (length - done).min(4 - first);
        let lane = Lane { word, first, count, done };
        done += count;
        (count > 0).then_some(lane)
    })
}

#[cfg(test)]
mod tests;
