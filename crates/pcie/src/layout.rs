//! What every bit of a function's config space is: its reset value and who may change it.

use std::fmt;

use crate::CONFIG_SPACE_SIZE;
use crate::builder::MsixParameters;
use crate::registers::{command, extended, header, word};
use crate::sriov::SriovParameters;

/// Words of config space.
pub(crate) const CONFIG_WORDS: usize = CONFIG_SPACE_SIZE / 4;

/// One 32-bit word of config space. Bits that are in no mask are hardwired to their reset value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Register {
    /// The value after reset.
    pub(crate) reset: u32,
    /// Bits that software sets and clears (RW).
    pub(crate) writable: u32,
    /// Bits that the function sets and software clears by writing one (RW1C).
    pub(crate) write_one_to_clear: u32,
    /// Bits that a function level reset leaves alone (sticky bits, and those of PCIe 6.6.2).
    pub(crate) sticky: u32,
}

impl Register {
    pub(crate) const fn new(reset: u32) -> Self {
        Self { reset, writable: 0, write_one_to_clear: 0, sticky: 0 }
    }

    pub(crate) const fn writable(self, mask: u32) -> Self {
        Self { writable: mask, ..self }
    }

    pub(crate) const fn write_one_to_clear(self, mask: u32) -> Self {
        Self { write_one_to_clear: mask, ..self }
    }

    pub(crate) const fn sticky(self, mask: u32) -> Self {
        Self { sticky: mask, ..self }
    }

    /// The word after `value` is written to the bits of `lanes` while it holds `old`.
    pub(crate) const fn written(self, old: u32, value: u32, lanes: u32) -> u32 {
        let writable = self.writable & lanes;
        let cleared = self.write_one_to_clear & lanes & value;
        (old & !writable | value & writable) & !cleared
    }

    /// Bits that never differ from the reset value.
    pub(crate) const fn hardwired(self) -> u32 {
        !(self.writable | self.write_one_to_clear)
    }
}

/// The config space of a kind of function: built once by [`ConfigSpaceBuilder`](crate::ConfigSpaceBuilder), shared by
/// every [`ConfigSpace`](crate::ConfigSpace) of that kind.
pub struct ConfigLayout {
    registers: Box<[Register]>,
    /// Word that holds the power state in its two lowest bits.
    pub(crate) power_word: usize,
    pub(crate) msix: Option<MsixParameters>,
    /// Whether the function accepts a function level reset from Device Control.
    pub(crate) flr: bool,
    pub(crate) sriov: Option<SriovParameters>,
}

impl ConfigLayout {
    pub(crate) fn register(&self, word: usize) -> Register {
        self.registers[word]
    }

    pub(crate) fn registers(&self) -> &[Register] {
        &self.registers
    }

    /// The MSI-X capability, if the function has one.
    #[must_use]
    pub fn msix(&self) -> Option<MsixParameters> {
        self.msix
    }

    /// The SR-IOV capability, if the function has one.
    #[must_use]
    pub fn sriov(&self) -> Option<&SriovParameters> {
        self.sriov.as_ref()
    }
}

impl fmt::Debug for ConfigLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigLayout")
            .field("ids", &format_args!("{:08x}", self.registers[header::IDS].reset))
            .field("msix", &self.msix)
            .field("flr", &self.flr)
            .field("sriov", &self.sriov)
            .finish_non_exhaustive()
    }
}

/// A layout under construction: words, and the capabilities in the order of their offsets.
pub(crate) struct Draft {
    registers: Box<[Register]>,
    standard: Option<u16>,
    extended: Option<u16>,
}

impl Draft {
    pub(crate) fn new() -> Self {
        Self { registers: vec![Register::default(); CONFIG_WORDS].into(), standard: None, extended: None }
    }

    pub(crate) fn set(&mut self, word: usize, register: Register) {
        self.registers[word] = register;
    }

    /// Appends a capability to the list at 0x34. The upper half of the first register of `body` belongs to the
    /// capability, the lower half is its id and link.
    pub(crate) fn capability(&mut self, id: u8, offset: u16, body: &[Register]) {
        self.place(offset, u32::from(id), body);
        match self.standard {
            Some(previous) => self.registers[word(previous)].reset |= u32::from(offset) << 8,
            None => {
                self.registers[command::WORD].reset |= command::CAPABILITIES_LIST;
                self.registers[header::CAPABILITIES_POINTER].reset |= u32::from(offset);
            }
        }
        self.standard = Some(offset);
    }

    /// Appends an extended capability; `body` begins after the header.
    pub(crate) fn extended_capability(&mut self, (id, version, offset): (u16, u8, u16), body: &[Register]) {
        self.place(offset, u32::from(version) << 16 | u32::from(id), &[Register::new(0)]);
        self.place(offset + 4, 0, body);
        // The list always begins at 0x100, with a null capability if nothing else stands there.
        let previous = self.extended.or_else(|| (offset != extended::START).then_some(extended::START));
        if let Some(previous) = previous {
            self.registers[word(previous)].reset |= u32::from(offset) << 20;
        }
        self.extended = Some(offset);
    }

    fn place(&mut self, offset: u16, header: u32, body: &[Register]) {
        let start = word(offset);
        self.registers[start..start + body.len()].copy_from_slice(body);
        self.registers[start].reset |= header;
    }

    pub(crate) fn finish(
        self,
        power_word: usize,
        msix: Option<MsixParameters>,
        flr: bool,
        sriov: Option<SriovParameters>,
    ) -> ConfigLayout {
        ConfigLayout { registers: self.registers, power_word, msix, flr, sriov }
    }
}

/// Why a description is no config space that could exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A BAR's size is no power of two or out of range.
    #[error("BAR {index} of {size} bytes is not a power of two from {smallest} to {largest}")]
    BarSize {
        /// Number of the register.
        index: u8,
        /// Bytes asked for.
        size: u64,
        /// Smallest size in bytes.
        smallest: u64,
        /// Largest size in bytes.
        largest: u64,
    },
    /// A BAR's register does not exist.
    #[error("BAR register {index} does not exist; a function has 0 to 5, and a 64-bit BAR takes two of them")]
    BarIndex {
        /// Number of the register.
        index: usize,
    },
    /// Two BARs want one register.
    #[error("BAR register {index} is used twice; a 64-bit BAR also takes the register after its own")]
    BarTaken {
        /// Number of the register.
        index: usize,
    },
    /// The number of MSI-X vectors is out of range.
    #[error("MSI-X cannot have {0} vectors; it has 1 to 2048")]
    MsixVectors(u16),
    /// The MSI-X structures do not fit.
    #[error(
        "MSI-X table at {table_offset:#x} and pending bits at {pba_offset:#x} of BAR {bar} must be 8-byte aligned, \
         apart from each other and inside a BAR that the function has"
    )]
    MsixPlacement {
        /// BAR that holds both.
        bar: u8,
        /// Offset of the table in bytes.
        table_offset: u32,
        /// Offset of the pending bit array in bytes.
        pba_offset: u32,
    },
    /// An extended capability without the PCI Express capability.
    #[error(
        "extended capabilities need the PCI Express capability: without it a function has only 256 bytes"
    )]
    ExtendedWithoutExpress,
    /// The number of VFs is out of range.
    #[error("SR-IOV cannot have {0} VFs; it has 1 to 256")]
    TotalVfs(u16),
    /// A VF would lie on its PF or on another VF.
    #[error("first VF offset {first_offset} and VF stride {stride} must both be at least 1")]
    VfRouting {
        /// First VF Offset.
        first_offset: u16,
        /// VF Stride.
        stride: u16,
    },
}
