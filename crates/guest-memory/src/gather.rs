//! Scatter lists in guest memory.

// UNSAFETY: keeps slices next to the view that they borrow from.
#![expect(unsafe_code, reason = "slices that outlive the borrow of their view")]

#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::copy::{add_folded, copy, copy_sum, swap_halves};
use crate::{Access, DmaError, GuestSlice, MemoryView};

/// The buffers of the frames of a burst, kept together with the view that keeps them mapped, so that they need not
/// borrow the device that they came from. Made once and used again for each burst; allocates nothing after
/// [`Gather::new`].
///
/// Each [`Gather::push`] appends the slices of one buffer and returns where they stand in the list; the buffers of one
/// frame, pushed one after the other, stand from the first range's start to the last range's end.
///
/// As long as it is filled, the worker that owns it is not at a quiescent point.
#[derive(Debug)]
pub struct Gather {
    /// Slices of the memory that `view` keeps mapped. Their lifetime is a lie that ends here: they are handed out for
    /// no longer than a borrow of the `Gather`, and forgotten before `view` is.
    slices: Vec<GuestSlice<'static>>,
    max_slices: usize,
    view: Option<MemoryView>,
}

impl Gather {
    /// A list with room for `max_slices` slices: at least one for each buffer of a burst, and some for buffers that
    /// straddle regions.
    #[must_use]
    pub fn new(max_slices: usize) -> Self {
        Self { slices: Vec::with_capacity(max_slices), max_slices, view: None }
    }

    /// Forgets all slices and goes on with the memory of `view`, which stays mapped until the next `begin` or `clear`.
    pub fn begin(&mut self, view: MemoryView) {
        self.clear();
        self.view = Some(view);
    }

    /// Forgets all slices and lets go of the memory.
    pub fn clear(&mut self) {
        self.slices.clear();
        self.view = None;
    }

    /// Appends the `len` bytes at `addr`, which may lie in several adjacent regions.
    ///
    /// # Errors
    /// As [`MemoryView::first_slice`] for the first byte that is not there, [`DmaError::TooManySegments`],
    /// [`DmaError::NoView`]; nothing was appended then.
    pub fn push(&mut self, addr: u64, len: usize, access: Access) -> Result<Range<usize>, DmaError> {
        let view = self.view.as_ref().ok_or(DmaError::NoView)?;
        let (slices, max_slices) = (&mut self.slices, self.max_slices);
        let start = slices.len();
        let pushed = view.for_each_slice(addr, len, access, |_, slice| {
            if slices.len() == max_slices {
                return Err(DmaError::TooManySegments);
            }
            // SAFETY: the memory stays mapped as long as `view`, which is dropped by `begin`, `clear` and with `self`
            // only. The first two empty the list before; slices that were handed out borrow `self`, and so are gone.
            slices.push(unsafe { slice.forget_lifetime() });
            Ok(())
        });
        if let Err(error) = pushed {
            slices.truncate(start);
            return Err(error);
        }
        Ok(start..slices.len())
    }

    /// The slices of a range that [`Gather::push`] returned, or of several joined; none if there is no such range.
    #[inline]
    #[must_use]
    pub fn slices(&self, range: Range<usize>) -> &[GuestSlice<'_>] {
        self.slices.get(range).unwrap_or_default()
    }

    /// Copies bytes from offset `skip` of the range's bytes on into private memory.
    ///
    /// # Errors
    /// [`DmaError::OutOfBounds`] if the range has fewer bytes, [`DmaError::WrongAccess`]; part of `to` may be written.
    #[inline]
    pub fn read_range(&self, range: Range<usize>, skip: usize, to: &mut [u8]) -> Result<(), DmaError> {
        let len = to.len();
        for_each_part(self.slices(range), skip, len, |done, part| part.read(0, &mut to[done..][..part.len()]))
    }

    /// Copies as many bytes as `destination` has from offset `skip` of the range's bytes on.
    ///
    /// # Errors
    /// [`DmaError::OutOfBounds`] if the range has fewer bytes, [`DmaError::WrongAccess`]; part of the destination may
    /// be written.
    #[inline]
    pub fn copy_range(
        &self,
        range: Range<usize>,
        skip: usize,
        destination: GuestSlice<'_>,
    ) -> Result<(), DmaError> {
        for_each_part(self.slices(range), skip, destination.len(), |done, part| {
            copy(part, part_of(destination, done, part.len())?)
        })
    }

    /// As [`Gather::copy_range`], and returns the sum of the bytes copied, as [`copy_sum`] does, with the first of them
    /// at an even position.
    ///
    /// # Errors
    /// As [`Gather::copy_range`].
    #[inline]
    pub fn copy_range_sum(
        &self,
        range: Range<usize>,
        skip: usize,
        destination: GuestSlice<'_>,
    ) -> Result<u32, DmaError> {
        let mut total = 0;
        for_each_part(self.slices(range), skip, destination.len(), |done, part| {
            let sum = copy_sum(part, part_of(destination, done, part.len())?)?;
            total = add_folded(total, if done % 2 == 1 { swap_halves(sum) } else { sum });
            Ok(())
        })?;
        Ok(total)
    }
}

/// Calls `each` with the parts of `slices` that hold the `len` bytes from offset `skip` on, and the number of bytes
/// before each part.
#[inline]
fn for_each_part<'a>(
    slices: &[GuestSlice<'a>],
    skip: usize,
    len: usize,
    mut each: impl FnMut(usize, GuestSlice<'a>) -> Result<(), DmaError>,
) -> Result<(), DmaError> {
    let mut to_skip = skip;
    let mut done = 0;
    for slice in slices {
        if done == len {
            break;
        }
        if to_skip >= slice.len() {
            to_skip -= slice.len();
            continue;
        }
        let part = part_of(*slice, to_skip, (slice.len() - to_skip).min(len - done))?;
        to_skip = 0;
        each(done, part)?;
        done += part.len();
    }
    if done < len {
        let size = slices.iter().map(GuestSlice::len).sum();
        return Err(DmaError::OutOfBounds { offset: skip, len, size });
    }
    Ok(())
}

#[inline]
fn part_of<'a>(slice: GuestSlice<'a>, offset: usize, len: usize) -> Result<GuestSlice<'a>, DmaError> {
    slice.sub(offset, len).ok_or(DmaError::OutOfBounds { offset, len, size: slice.len() })
}
