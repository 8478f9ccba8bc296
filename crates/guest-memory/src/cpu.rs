//! What the language has no word for: an optimisation barrier and cache hints.

// UNSAFETY: inline assembly.
#![expect(unsafe_code, reason = "inline assembly")]

use std::arch::asm;

/// Keeps the compiler from reading guest memory again in place of the private memory that `copied` points into.
#[inline(always)]
pub(crate) fn settle(copied: *mut u8) {
    // SAFETY: there is no instruction in it. The compiler must assume that it changes what `copied` points to, so
    // that what was copied there no longer stands for what it was copied from.
    unsafe { asm!("/* {0} */", in(reg) copied, options(nostack, preserves_flags)) };
}

/// Asks the processor to fetch a cache line in order to read it.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) fn prefetch_read(line: *const u8) {
    // SAFETY: a hint, which changes no register and no memory and cannot fault.
    unsafe { asm!("prefetcht0 [{0}]", in(reg) line, options(nostack, preserves_flags, readonly)) };
}

/// Asks the processor to fetch a cache line in order to write it.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
pub(crate) fn prefetch_write(line: *const u8) {
    // SAFETY: as above; 64-bit processors that do not know it take it as a no-op.
    unsafe { asm!("prefetchw [{0}]", in(reg) line, options(nostack, preserves_flags, readonly)) };
}

/// No hint is given on this processor.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn prefetch_read(_line: *const u8) {}

/// No hint is given on this processor.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn prefetch_write(_line: *const u8) {}
