//! Guest memory: a memfd, which the VMM shares with the device and the driver reads and writes.

use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::MemfdFlags;

/// First bus address of guest memory.
pub(crate) const BASE: u64 = 0x10_0000;

/// The memory of one guest.
#[derive(Debug)]
pub(crate) struct Memory {
    file: File,
    pub(crate) bytes: u64,
}

impl Memory {
    pub(crate) fn new(bytes: u64) -> Self {
        Self::with_flags(bytes, MemfdFlags::ALLOW_SEALING)
    }

    /// Memory that nobody can keep from being truncated.
    pub(crate) fn unsealable(bytes: u64) -> Self {
        Self::with_flags(bytes, MemfdFlags::empty())
    }

    fn with_flags(bytes: u64, flags: MemfdFlags) -> Self {
        let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | flags).unwrap();
        let file = File::from(fd);
        file.set_len(bytes).unwrap();
        Self { file, bytes }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn write(&self, address: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, address - BASE).unwrap();
    }

    pub(crate) fn read(&self, address: u64, bytes: &mut [u8]) {
        self.file.read_exact_at(bytes, address - BASE).unwrap();
    }

    pub(crate) fn write_u64(&self, address: u64, value: u64) {
        self.write(address, &value.to_le_bytes());
    }

    pub(crate) fn read_u64(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes);
        u64::from_le_bytes(bytes)
    }
}
