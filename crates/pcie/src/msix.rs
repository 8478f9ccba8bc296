//! MSI-X table and pending bit array of a function (PCIe 7.7.2, 6.1.4).
//!
//! Two threads meet here. A worker calls [`MsixTable::deliver`]; the function's bus thread writes the table and Message
//! Control, and takes what is released. Nothing is locked, and no interrupt is lost:
//!
//! - A worker that finds its vector masked sets the pending bit and *then* looks at the masks again. The bus thread
//!   changes a mask and *then* clears the pending bit of every vector that is open. Both change the pending word by an
//!   atomic read-modify-write, so one of the two is second, and it sees all that the first did before: either the bus
//!   thread finds the bit, or the worker finds the mask open. Whoever clears the bit sends the message, so that it is
//!   sent once.
//! - A worker reads an open vector twice. If the bus thread is changing it, the two differ or it is masked; the vector
//!   then counts as masked, and the write that is under way ends with the bus thread's look at the pending bit.
//!
//! A message that a worker holds when a mask is set may still arrive, as one that had left the hardware would.

use sys::Words;

use crate::builder::MsixParameters;
use crate::config_space::{ConfigSpace, StorageError, check_storage};
use crate::effects::MsixControl;
use crate::registers::msix;

/// Words of a table entry: address low and high, data, vector control.
const ENTRY_WORDS: usize = 4;

/// A message: one 32-bit memory write that is an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to write, a multiple of 4.
    pub address: u64,
    /// What to write.
    pub data: u32,
}

/// What becomes of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Send this message.
    Message(Message),
    /// The vector is masked; its pending bit is set and its message is released when the mask goes.
    Pending,
    /// Nothing is sent or kept: MSI-X is disabled, or the function may not send (no bus mastering, D3hot, absent).
    Disabled,
    /// The function has no such vector; the guest chose a number beyond the table.
    NoSuchVector,
}

/// A message that was pending and is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The vector.
    pub vector: u16,
    /// Its message.
    pub message: Message,
}

/// Why an access to the MSI-X BAR had no effect. Reads that are ignored are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoredAccess {
    /// Not 4 or 8 bytes wide.
    #[error("an access to MSI-X structures is 4 or 8 bytes wide, not {0}")]
    Width(usize),
    /// Not a multiple of the width.
    #[error("an access of {width} bytes at {offset:#x} of the MSI-X structures is not aligned to its width")]
    Misaligned {
        /// Offset in the BAR.
        offset: u64,
        /// Width in bytes.
        width: usize,
    },
    /// Neither table nor pending bits lie there.
    #[error("neither the MSI-X table nor its pending bits lie at {0:#x}")]
    Unimplemented(u64),
    /// Pending bits cannot be written.
    #[error("the MSI-X pending bits at {0:#x} are read-only")]
    ReadOnly(u64),
}

/// Which word of this table's memory an offset in the BAR is.
enum Place {
    Table { vector: u16, word: usize },
    Pending { word: usize },
}

/// Vectors, masks and pending bits of one function. Clones are handles to the same table.
#[derive(Clone, Debug)]
pub struct MsixTable {
    /// The entries, then the pending bits.
    words: Words,
    config: ConfigSpace,
    parameters: MsixParameters,
}

impl MsixTable {
    /// Words of memory that a table takes.
    #[must_use]
    pub const fn words_needed(parameters: &MsixParameters) -> usize {
        (parameters.table_size() + parameters.pba_size()) as usize / 4
    }

    /// The table of `config`'s function after reset: every vector masked, none pending.
    ///
    /// # Errors
    /// [`StorageError`] if the function has no MSI-X or `words` are less than [`Self::words_needed`].
    pub fn create(config: ConfigSpace, words: Words) -> Result<Self, StorageError> {
        let table = Self::attach(config, words)?;
        table.reset();
        Ok(table)
    }

    /// Goes on with the table that a process has left in `words`.
    ///
    /// # Errors
    /// [`StorageError`] if the function has no MSI-X or `words` are less than [`Self::words_needed`].
    pub fn attach(config: ConfigSpace, words: Words) -> Result<Self, StorageError> {
        let parameters = config.layout().msix().ok_or(StorageError::NoMsix)?;
        check_storage(&words, Self::words_needed(&parameters))?;
        Ok(Self { words, config, parameters })
    }

    /// Number of vectors.
    #[must_use]
    pub fn vectors(&self) -> u16 {
        self.parameters.vectors
    }

    /// Masks every vector and forgets what is pending. Called for each reset of the function, after its workers stopped.
    pub fn reset(&self) {
        let pending = self.pending_start();
        for word in 0..Self::words_needed(&self.parameters) {
            let is_control = word < pending && word % ENTRY_WORDS == 3;
            self.words.store(word, if is_control { msix::VECTOR_MASKED } else { 0 });
        }
    }

    /// Raises `vector`. Any thread may call it; it takes no lock and allocates nothing.
    #[must_use]
    pub fn deliver(&self, vector: u16) -> Delivery {
        if vector >= self.parameters.vectors {
            return Delivery::NoSuchVector;
        }
        let Some(control) = self.control() else { return Delivery::Disabled };
        match self.open_message(control, vector) {
            Some(message) => Delivery::Message(message),
            None => self.pend(vector),
        }
    }

    /// The messages that a change of Message Control, of the Command register or of the power state releases.
    ///
    /// Called by the bus thread after each such change; messages not taken stay pending.
    pub fn release(&self) -> impl Iterator<Item = Released> {
        (0..self.parameters.vectors)
            .filter_map(|vector| self.claim(vector).map(|message| Released { vector, message }))
    }

    /// Whether `vector` is pending.
    #[must_use]
    pub fn is_pending(&self, vector: u16) -> bool {
        vector < self.parameters.vectors && {
            let (word, bit) = self.pending_bit(vector);
            self.words.load(word) & bit != 0
        }
    }

    /// Reads `data.len()` bytes at `offset` of the MSI-X BAR.
    ///
    /// # Errors
    /// [`IgnoredAccess`] says why `data` is all zero.
    pub fn read(&self, offset: u64, data: &mut [u8]) -> Result<(), IgnoredAccess> {
        data.fill(0);
        let (Place::Table { word, .. } | Place::Pending { word }) = self.place(offset, data.len())?;
        for (index, bytes) in data.as_chunks_mut().0.iter_mut().enumerate() {
            *bytes = self.words.load(word + index).to_le_bytes();
        }
        Ok(())
    }

    /// Writes `data` at `offset` of the MSI-X BAR. A write that opens a pending vector releases its message.
    ///
    /// # Errors
    /// [`IgnoredAccess`] says why nothing was written.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<Option<Released>, IgnoredAccess> {
        let Place::Table { vector, word } = self.place(offset, data.len())? else {
            return Err(IgnoredAccess::ReadOnly(offset));
        };
        for (index, bytes) in data.as_chunks().0.iter().enumerate() {
            let word = word + index;
            let writable = match word % ENTRY_WORDS {
                0 => msix::MESSAGE_ADDRESS_LOW,
                3 => msix::VECTOR_MASKED,
                _ => u32::MAX,
            };
            self.words.store(word, u32::from_le_bytes(*bytes) & writable);
        }
        Ok(self.claim(vector).map(|message| Released { vector, message }))
    }

    /// Message Control, if the function may send messages at all.
    fn control(&self) -> Option<MsixControl> {
        let control = self.config.msix_control()?;
        (control.enable && self.config.is_bus_master()).then_some(control)
    }

    /// The message of `vector` if it is not masked.
    fn open_message(&self, control: MsixControl, vector: u16) -> Option<Message> {
        if control.mask_all { None } else { whole_message(|| self.entry(vector)) }
    }

    /// Leaves `vector` to the thread that opens it, unless that has happened since it was found masked.
    fn pend(&self, vector: u16) -> Delivery {
        let (word, bit) = self.pending_bit(vector);
        self.words.fetch_or(word, bit);
        self.claim(vector).map_or(Delivery::Pending, Delivery::Message)
    }

    /// Clears the pending bit of `vector` if it is open, and returns the message if the bit was set.
    fn claim(&self, vector: u16) -> Option<Message> {
        let message = self.open_message(self.control()?, vector)?;
        let (word, bit) = self.pending_bit(vector);
        (self.words.fetch_and(word, !bit) & bit != 0).then_some(message)
    }

    fn entry(&self, vector: u16) -> [u32; ENTRY_WORDS] {
        let first = usize::from(vector) * ENTRY_WORDS;
        std::array::from_fn(|index| self.words.load(first + index))
    }

    fn pending_start(&self) -> usize {
        usize::from(self.parameters.vectors) * ENTRY_WORDS
    }

    fn pending_bit(&self, vector: u16) -> (usize, u32) {
        (self.pending_start() + usize::from(vector / 32), 1 << (vector % 32))
    }

    fn place(&self, offset: u64, width: usize) -> Result<Place, IgnoredAccess> {
        if !matches!(width, 4 | 8) {
            return Err(IgnoredAccess::Width(width));
        }
        if !offset.is_multiple_of(width as u64) {
            return Err(IgnoredAccess::Misaligned { offset, width });
        }
        let MsixParameters { table_offset, pba_offset, .. } = self.parameters;
        // Both structures are multiples of 8 bytes at multiples of 8: an aligned access never leaves one.
        let word_in = |start: u32, size: u32| {
            let distance = offset.checked_sub(u64::from(start)).filter(|d| *d < u64::from(size))?;
            u16::try_from(distance / 4).ok()
        };
        if let Some(word) = word_in(table_offset, self.parameters.table_size()) {
            return Ok(Place::Table { vector: word / 4, word: usize::from(word) });
        }
        if let Some(word) = word_in(pba_offset, self.parameters.pba_size()) {
            return Ok(Place::Pending { word: self.pending_start() + usize::from(word) });
        }
        Err(IgnoredAccess::Unimplemented(offset))
    }
}

/// The message of an entry that is not masked and does not change while it is read.
fn whole_message(mut read: impl FnMut() -> [u32; ENTRY_WORDS]) -> Option<Message> {
    let entry @ [low, high, data, control] = read();
    let open = control & msix::VECTOR_MASKED == 0 && read() == entry;
    open.then(|| Message { address: u64::from(high) << 32 | u64::from(low), data })
}

#[cfg(test)]
mod tests;
