//! Arrays behind a structure: found by offset, number and size of the elements, and walked by that size, which may be
//! larger than the structure that this crate knows.

use super::{Structure, filter, payload, payload_range, queue, switch, too_short, vf, vport};
use crate::refusal::Refusal;

/// Where an array says that it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrayBounds {
    pub(crate) offset: u32,
    pub(crate) num_elements: u32,
    pub(crate) element_size: u32,
}

/// The elements of an array in `buffer`, behind a structure of `structure_size` bytes: at most `most` of them, each of at
/// least `least` bytes.
pub(crate) fn elements(
    buffer: &[u8],
    structure_size: usize,
    bounds: ArrayBounds,
    (most, least): (u32, u32),
) -> Result<impl Iterator<Item = &[u8]>, Refusal> {
    let ArrayBounds { offset, num_elements, element_size } = bounds;
    if num_elements > most {
        return Err(Refusal::member("NumElements", num_elements, "no more than the structure can have"));
    }
    if element_size < least {
        return Err(Refusal::member("ElementSize", element_size, "at least the size of an element"));
    }
    // An empty array may point anywhere.
    let bytes = match num_elements.checked_mul(element_size) {
        Some(0) => &[],
        Some(length) => payload(buffer, structure_size, offset, length)?,
        None => return Err(Refusal::PayloadOffset { offset, length: u32::MAX }),
    };
    let size = usize::try_from(element_size).expect("a payload of this size was found");
    Ok(bytes.chunks_exact(size))
}

/// The structure in an element of an array.
pub(crate) fn read_element<T: Structure>(bytes: &[u8]) -> Result<T, Refusal> {
    T::read(bytes).map_err(|refusal| match refusal {
        // The element is all there; its header claims more than the array says. A longer buffer would not help.
        Refusal::BufferTooShort { needed, .. } => {
            Refusal::member("Size of an element", needed, "no more than the element size of the array")
        }
        other => other,
    })
}

/// Bytes of a buffer through the end of such an array, or of the structure if the array is empty.
pub(crate) fn array_end(structure_size: usize, bounds: ArrayBounds) -> Result<usize, Refusal> {
    let ArrayBounds { offset, num_elements, element_size } = bounds;
    match num_elements.checked_mul(element_size) {
        Some(0) => Ok(structure_size),
        Some(length) => Ok(payload_range(structure_size, offset, length)?.1),
        None => Err(Refusal::PayloadOffset { offset, length: u32::MAX }),
    }
}

/// A structure with an array behind it.
pub(crate) trait ArrayHead: Structure {
    /// Says where the array is.
    fn describe(&mut self, bounds: ArrayBounds);
}

macro_rules! info_arrays {
    ($($head:ty),*) => {
        $(impl ArrayHead for $head {
            fn describe(&mut self, bounds: ArrayBounds) {
                self.first_element_offset.set(bounds.offset);
                self.num_elements.set(bounds.num_elements);
                self.element_size.set(bounds.element_size);
            }
        })*
    };
}

info_arrays!(
    switch::SwitchInfoArray,
    vf::VfInfoArray,
    vport::VPortInfoArray,
    filter::FilterInfoArray,
    queue::QueueInfoArray
);

impl ArrayHead for filter::FilterParameters {
    fn describe(&mut self, bounds: ArrayBounds) {
        self.field_array_offset.set(bounds.offset);
        self.field_array_num_elements.set(bounds.num_elements);
        self.field_array_element_size.set(bounds.element_size);
    }
}

/// An answer: `head`, and behind it, on an 8-byte boundary, the `elements`.
pub(crate) fn array<E: Structure>(
    mut head: impl ArrayHead,
    elements: impl IntoIterator<Item = E>,
) -> Vec<u8> {
    let offset = size_of_val(&head).next_multiple_of(8);
    let mut bytes = vec![0; offset];
    for element in elements {
        bytes.extend_from_slice(element.as_bytes());
    }
    let number = |value: usize| u32::try_from(value).expect("an answer is shorter than 4 GiB");
    head.describe(ArrayBounds {
        offset: number(offset),
        num_elements: number((bytes.len() - offset) / size_of::<E>()),
        element_size: number(size_of::<E>()),
    });
    bytes[..size_of_val(&head)].copy_from_slice(head.as_bytes());
    bytes
}

/// Puts `data` at `offset` behind the structure at the front of `input`, as the answer to a read request.
pub(crate) fn with_payload(
    input: &[u8],
    structure_size: usize,
    offset: u32,
    data: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let (start, end) = payload_range(structure_size, offset, length)?;
    let structure = input.get(..structure_size).ok_or_else(|| too_short(structure_size, input.len()))?;
    let mut bytes = structure.to_vec();
    bytes.resize(end, 0);
    bytes[start..].copy_from_slice(data);
    Ok(bytes)
}
