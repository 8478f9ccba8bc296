//! Copies from guest memory to guest memory.

// UNSAFETY: guest memory is reached through raw pointers only.
#![expect(unsafe_code, reason = "guest memory is raw memory")]

#[cfg(test)]
mod tests;

use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::{Access, DmaError, GuestSlice};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();
/// Words that are summed side by side.
const LANES: usize = 4;

/// Copies all of `source` to `destination`. They may overlap, since a guest may send to itself: the destination then
/// holds what the source held before.
///
/// # Errors
/// [`DmaError::LengthMismatch`], [`DmaError::WrongAccess`]; nothing was copied.
#[inline]
pub fn copy(source: GuestSlice<'_>, destination: GuestSlice<'_>) -> Result<(), DmaError> {
    let (from, to) = pointers(source, destination)?;
    // SAFETY: both are mapped for the length of the slices, `from` for reading and `to` for writing. They may overlap.
    unsafe { ptr::copy(from, to, source.len()) };
    Ok(())
}

/// Copies all of `source` to `destination`, and returns the ones'-complement sum of what it copied, in one pass. The
/// bytes summed are the bytes stored, whoever writes to the source meanwhile. (Where source and destination overlap,
/// the destination's bytes are not specified.)
///
/// The sum is that of RFC 1071: of the 16-bit words that the bytes make in network order, the first byte being the
/// high half of the first word, folded to 16 bits and not complemented. A last byte without a partner counts as the
/// high half of a word whose low half is 0. So the sum of bytes `AB CD EF` is `fold(0xabcd + 0xef00)`.
///
/// Sums of pieces are joined by adding and folding, or adding up to 65,537 of them and folding then. A piece that
/// starts at an odd position of what is summed, that is, behind pieces of an odd number of bytes together, has the two
/// bytes of its sum swapped before: `u32::from((sum as u16).swap_bytes())`.
///
/// # Errors
/// [`DmaError::LengthMismatch`], [`DmaError::WrongAccess`]; nothing was copied.
#[inline]
pub fn copy_sum(source: GuestSlice<'_>, destination: GuestSlice<'_>) -> Result<u32, DmaError> {
    let (from, to) = pointers(source, destination)?;
    // SAFETY: both are mapped for the length of the slices, `from` for reading and `to` for writing.
    Ok(u32::from(unsafe { copy_and_sum(from, to, source.len()) }))
}

/// Ones'-complement addition of two sums that each have at most 16 bits.
pub(crate) fn add_folded(a: u32, b: u32) -> u32 {
    let sum = a + b;
    (sum & 0xffff) + (sum >> 16)
}

/// The sum of a piece as it counts behind an odd number of bytes.
pub(crate) fn swap_halves(sum: u32) -> u32 {
    (sum & 0xff) << 8 | sum >> 8
}

fn pointers(source: GuestSlice<'_>, destination: GuestSlice<'_>) -> Result<(*const u8, *mut u8), DmaError> {
    if source.len() != destination.len() {
        return Err(DmaError::LengthMismatch {
            source_len: source.len(),
            destination_len: destination.len(),
        });
    }
    let from = source.pointer(0, source.len(), Access::Read)?;
    let to = destination.pointer(0, destination.len(), Access::Write)?;
    Ok((from, to))
}

/// Copies `len` bytes and sums them.
///
/// The source is read in aligned words, each with one atomic load into a register from which it is both stored and
/// added: a plain load is one that the compiler may repeat. Bytes before the first and behind the last whole word are
/// put into words of zeros at the place where they lie in memory. The sum of all these words is the sum of the bytes
/// as if they started at an even address; if they start at an odd one, every byte was taken for the other half of its
/// word, and the sum is swapped (RFC 1071 section 2 B).
///
/// # Safety
/// `len` bytes of guest memory are mapped for reading at `from` and for writing at `to`.
unsafe fn copy_and_sum(from: *const u8, to: *mut u8, len: usize) -> u16 {
    let position = from.addr() % WORD;
    let head = len.min((WORD - position) % WORD);
    let words_end = len - (len - head) % WORD;
    let blocks_end = words_end - (words_end - head) % (LANES * WORD);

    // SAFETY: `head` is at most `len`, and at most what is missing to a whole word.
    let mut sum = unsafe { copy_edge(from, to, head, position) };
    // Several chains, since each addition waits for the carry of the one before it in its chain.
    let mut lanes = [0; LANES];
    let mut at = head;
    while at < blocks_end {
        for lane in &mut lanes {
            // SAFETY: the word lies before `blocks_end`, and `head` bytes in, the source is aligned.
            let word = unsafe { copy_word(from.wrapping_add(at), to.wrapping_add(at)) };
            *lane = add_with_carry(*lane, word);
            at += WORD;
        }
    }
    while at < words_end {
        // SAFETY: the word lies before `words_end`, and `head` bytes in, the source is aligned.
        let word = unsafe { copy_word(from.wrapping_add(at), to.wrapping_add(at)) };
        sum = add_with_carry(sum, word);
        at += WORD;
    }
    // SAFETY: less than a word is left.
    let tail = unsafe { copy_edge(from.wrapping_add(at), to.wrapping_add(at), len - at, 0) };
    sum = lanes.into_iter().fold(add_with_carry(sum, tail), add_with_carry);

    let folded = u16::from_be(fold(sum));
    if position % 2 == 1 { folded.swap_bytes() } else { folded }
}

/// Copies one word and returns it.
///
/// # Safety
/// A word is mapped for reading at `from`, which is aligned for it, and for writing at `to`.
#[inline(always)]
unsafe fn copy_word(from: *const u8, to: *mut u8) -> u64 {
    // SAFETY: mapped and aligned. That others access the same bytes otherwise is the guest's affair, see `slice`.
    let word = unsafe { AtomicU64::from_ptr(from.cast_mut().cast()) }.load(Ordering::Relaxed);
    // SAFETY: mapped; of any alignment.
    unsafe { to.cast::<u64>().write_unaligned(word) };
    word
}

/// Copies `len` bytes and returns a word that holds them from byte `position` on, and zeros elsewhere.
///
/// # Safety
/// `len` bytes are mapped for reading at `from` and for writing at `to`; `position + len` is at most a word.
#[inline(always)]
unsafe fn copy_edge(from: *const u8, to: *mut u8, len: usize, position: usize) -> u64 {
    // In a register: bytes that are stored one by one and loaded as a word make the processor wait.
    let mut word = 0;
    for i in 0..len {
        // SAFETY: mapped. That others access the same byte otherwise is the guest's affair, see `slice`.
        let byte = unsafe { AtomicU8::from_ptr(from.cast_mut().wrapping_add(i)) }.load(Ordering::Relaxed);
        // SAFETY: mapped.
        unsafe { to.wrapping_add(i).write(byte) };
        word |= u64::from(byte) << (8 * (position + i));
    }
    u64::from_le(word)
}

/// Ones'-complement addition: the carry comes back in at the low end.
fn add_with_carry(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u64::from(carry)
}

/// Folds four 16-bit words into one.
#[expect(clippy::cast_possible_truncation, reason = "the second fold of 32 bits leaves no more than 16")]
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}
