//! The log of written pages, for live migration.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwapOption;
use sys::Words;

/// Bytes of guest memory per bit.
const PAGE_SHIFT: u32 = 12;

/// A bitmap with one bit per page of 4 KiB of guest memory: bit n of word m is page 32 m + n, which is the layout of
/// the vhost-user log on little-endian hosts. Others clear bits at any time.
#[derive(Clone, Debug)]
pub struct DirtyLog(Words);

/// Where the log is put, or taken away, while the device runs. The data half looks at it once per round: whoever stores
/// a log can count on it after the worker's next quiescent point.
pub type DirtyLogSlot = Arc<ArcSwapOption<DirtyLog>>;

impl DirtyLog {
    /// A log in `words`. Writes to pages beyond its end go unlogged: whoever gave it has no such memory.
    #[must_use]
    pub fn new(words: Words) -> Self {
        Self(words)
    }

    /// Notes that `length` bytes at guest address `address` were written. After the write: a migration that clears the
    /// bit and reads the page in between must find the bit set again.
    pub fn mark(&self, address: u64, length: usize) {
        if length == 0 {
            return;
        }
        let words = self.0.as_slice();
        let last = address.saturating_add(length as u64 - 1) >> PAGE_SHIFT;
        let end = (words.len() as u64) << 5;
        for page in address >> PAGE_SHIFT..end.min(last.saturating_add(1)) {
            let bit = 1 << (page & 31);
            // The bound of the loop keeps it in range.
            let Some(word) = usize::try_from(page >> 5).ok().and_then(|at| words.get(at)) else { return };
            // Most pages are marked already; a look does not take the cache line away from others.
            if word.load(Ordering::SeqCst) & bit == 0 {
                word.fetch_or(bit, Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests;
