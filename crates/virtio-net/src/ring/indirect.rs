//! Tables of descriptors that one descriptor stands for.

use guest_memory::MemoryView;

use super::RingError;
use super::chain::{Chain, DESCRIPTOR, Fault, INDIRECT, NEXT, WRITE};

/// How the descriptors of a table follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By their `next` field, up to one without the flag for it (split rings, section 2.7.5.3).
    Linked,
    /// All of them, one after the other (packed rings, section 2.8.7).
    Sequential,
}

/// Adds the buffers of the table of `length` bytes at `address` to `chain`. The table is copied first, and followed in
/// the copy.
pub(super) fn follow(
    view: &MemoryView,
    address: u64,
    length: u32,
    order: Order,
    chain: &mut Chain,
) -> Result<(), RingError> {
    let length = length as usize;
    if length == 0 || !length.is_multiple_of(DESCRIPTOR) {
        return Err(RingError::Indirect);
    }
    let entries = length / DESCRIPTOR;
    let Some(table) = chain.table.get_mut(..entries) else {
        chain.fault = Some(Fault::TooManyBuffers);
        return Ok(());
    };
    if view.read_bytes(address, table.as_flattened_mut()).is_err() {
        chain.fault = Some(Fault::Unmapped);
        return Ok(());
    }
    let mut index = 0;
    for step in 1..=entries {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = chain.table[index];
        let address = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let length = u32::from_le_bytes([i, j, k, l]);
        let (third, fourth) = (u16::from_le_bytes([m, n]), u16::from_le_bytes([o, p]));
        // In a packed ring the third field is the buffer id, which has no meaning here.
        let flags = match order {
            Order::Linked => third,
            Order::Sequential if chain.read_only => fourth & !WRITE,
            Order::Sequential => fourth,
        };
        if flags & INDIRECT != 0 {
            return Err(RingError::Indirect);
        }
        chain.push(address, length, flags);
        index = match order {
            Order::Linked if flags & NEXT == 0 => return Ok(()),
            Order::Linked => usize::from(fourth),
            Order::Sequential if step == entries => return Ok(()),
            Order::Sequential => step,
        };
        if index >= entries {
            return Err(RingError::Next);
        }
    }
    Err(RingError::Endless)
}
