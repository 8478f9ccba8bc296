//! Register offsets and bits of the PCI Express and SR-IOV specifications, named as they name them.
//!
//! Config space is kept in 32-bit words, so that bits are given as they stand in the word: a 16-bit register at an
//! odd word half has its bits at 31:16.

/// The word at `offset`.
pub(crate) const fn word(offset: u16) -> usize {
    offset as usize / 4
}

/// Word 0x04: Command in 15:0, Status in 31:16 (PCIe 7.5.1.1.3, 7.5.1.1.4).
pub(crate) mod command {
    use super::word;

    pub(crate) const WORD: usize = word(0x04);
    pub(crate) const MEMORY_SPACE: u32 = 1 << 1;
    pub(crate) const BUS_MASTER: u32 = 1 << 2;
    pub(crate) const PARITY_ERROR_RESPONSE: u32 = 1 << 6;
    pub(crate) const SERR_ENABLE: u32 = 1 << 8;
    pub(crate) const INTERRUPT_DISABLE: u32 = 1 << 10;
    pub(crate) const CAPABILITIES_LIST: u32 = 1 << (16 + 4);
    pub(crate) const RECEIVED_MASTER_ABORT: u32 = 1 << (16 + 13);
    /// Master data parity, signaled and received target abort, received master abort, system error, parity error.
    pub(crate) const ERROR_BITS: u32 = 0xf900 << 16;
}

/// The rest of the type 0 header (PCIe 7.5.1).
pub(crate) mod header {
    use super::word;

    pub(crate) const IDS: usize = word(0x00);
    pub(crate) const CLASS_REVISION: usize = word(0x08);
    pub(crate) const CACHE_LINE: usize = word(0x0c);
    pub(crate) const BAR0: usize = word(0x10);
    pub(crate) const SUBSYSTEM: usize = word(0x2c);
    pub(crate) const CAPABILITIES_POINTER: usize = word(0x34);
    pub(crate) const CAPABILITIES_POINTER_MASK: u32 = 0xff;
    pub(crate) const INTERRUPT: usize = word(0x3c);
}

/// Base Address Registers (PCIe 7.5.1.2.1).
pub(crate) mod bar {
    pub(crate) const TYPE_64BIT: u32 = 0b10 << 1;
    pub(crate) const PREFETCHABLE: u32 = 1 << 3;
    pub(crate) const ATTRIBUTES: u32 = 0xf;
}

/// Power Management capability (PCIe 7.5.2).
pub(crate) mod power {
    use super::word;

    pub(crate) const ID: u8 = 0x01;
    pub(crate) const OFFSET: u16 = 0x40;
    /// Version 3, neither D1 nor D2, no PME.
    pub(crate) const CAPABILITIES: u16 = 0x0003;
    pub(crate) const CONTROL_WORD: usize = word(OFFSET + 4);
    pub(crate) const STATE: u32 = 0b11;
    pub(crate) const NO_SOFT_RESET: u32 = 1 << 3;
}

/// MSI-X capability (PCIe 7.7.2).
pub(crate) mod msix {
    use super::word;

    pub(crate) const ID: u8 = 0x11;
    pub(crate) const OFFSET: u16 = 0x70;
    pub(crate) const CONTROL_WORD: usize = word(OFFSET);
    pub(crate) const FUNCTION_MASK: u32 = 1 << (16 + 14);
    pub(crate) const ENABLE: u32 = 1 << (16 + 15);
    pub(crate) const MAX_VECTORS: u16 = 2048;
    pub(crate) const VECTOR_MASKED: u32 = 1;
    pub(crate) const MESSAGE_ADDRESS_LOW: u32 = !0b11;
}

/// PCI Express capability (PCIe 7.5.3).
pub(crate) mod express {
    use super::word;

    pub(crate) const ID: u8 = 0x10;
    pub(crate) const OFFSET: u16 = 0xa0;
    /// Capability version 2, device type 0: endpoint.
    pub(crate) const CAPABILITIES: u16 = 0x0002;
    pub(crate) const FLR_CAPABLE: u32 = 1 << 28;
    pub(crate) const DEVICE_CONTROL_WORD: usize = word(OFFSET + 8);
    /// Relaxed ordering, no snoop, 512-byte read requests: the specification's defaults.
    pub(crate) const DEVICE_CONTROL_RESET: u32 = 0x2810;
    /// Error reporting enables, relaxed ordering, payload size, no snoop, read request size.
    pub(crate) const DEVICE_CONTROL_WRITABLE: u32 = 0x78ff;
    pub(crate) const MAX_PAYLOAD_SIZE: u32 = 0b111 << 5;
    pub(crate) const INITIATE_FLR: u32 = 1 << 15;
    /// Correctable, non-fatal, fatal error, unsupported request detected.
    pub(crate) const DEVICE_STATUS_ERRORS: u32 = 0xf << 16;
    /// ASPM, read completion boundary, common clock, extended synch.
    pub(crate) const LINK_CONTROL_WRITABLE: u32 = 0x00cb;
    /// Completion time-out value and disable.
    pub(crate) const DEVICE_CONTROL2_WRITABLE: u32 = 0x001f;
}

/// Extended capability ids, versions and where this adapter family has them (PCIe 7.6.3).
pub(crate) mod extended {
    pub(crate) const START: u16 = 0x100;
    pub(crate) const AER: (u16, u8, u16) = (0x0001, 2, 0x100);
    pub(crate) const ARI: (u16, u8, u16) = (0x000e, 1, 0x150);
    pub(crate) const SRIOV: (u16, u8, u16) = (0x0010, 1, 0x160);
    pub(crate) const ACS: (u16, u8, u16) = (0x000d, 1, 0x1b0);
}

/// Advanced Error Reporting (PCIe 7.8.4): the errors that an endpoint can have.
pub(crate) mod aer {
    pub(crate) const UNCORRECTABLE: u32 = 0x001f_f010;
    pub(crate) const SEVERITY_RESET: u32 = 0x0006_2010;
    pub(crate) const CORRECTABLE: u32 = 0x0000_31c1;
    /// Advisory non-fatal errors are masked by default.
    pub(crate) const CORRECTABLE_MASK_RESET: u32 = 1 << 13;
}

/// SR-IOV extended capability (PCIe 9.3.3): words relative to the start of config space.
pub(crate) mod sriov {
    use super::{extended, word};

    const BASE: usize = word(extended::SRIOV.2);
    /// Control in 15:0, Status in 31:16.
    pub(crate) const CONTROL_WORD: usize = BASE + 2;
    pub(crate) const VF_ENABLE: u32 = 1 << 0;
    pub(crate) const VF_MSE: u32 = 1 << 3;
    pub(crate) const ARI_CAPABLE_HIERARCHY: u32 = 1 << 4;
    /// NumVFs in 15:0, Function Dependency Link in 23:16.
    pub(crate) const NUM_VFS_WORD: usize = BASE + 4;
    pub(crate) const NUM_VFS: u32 = 0xffff;
    pub(crate) const SYSTEM_PAGE_SIZE_WORD: usize = BASE + 8;
    /// 4 KiB, 8 KiB, 64 KiB, 256 KiB, 1 MiB and 4 MiB: those that every PF must support.
    pub(crate) const SUPPORTED_PAGE_SIZES: u32 = 0x553;
    pub(crate) const VF_BAR0_WORD: usize = BASE + 9;
}
