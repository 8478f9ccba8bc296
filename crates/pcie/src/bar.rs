//! Base address registers: what a function asks for and the register bits that say so (PCIe 7.5.1.2.1).

use crate::layout::{LayoutError, Register};
use crate::registers::bar::{ATTRIBUTES, PREFETCHABLE, TYPE_64BIT};

/// Address width of a memory BAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarWidth {
    /// One register; the range lies below 4 GiB.
    Bits32,
    /// Two registers.
    Bits64,
}

/// A memory range that a function asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Number of the (first) register, 0..=5.
    pub index: u8,
    /// Size in bytes, a power of two.
    pub size: u64,
    /// Address width.
    pub width: BarWidth,
    /// Whether reads have no side effects and writes may be merged.
    pub prefetchable: bool,
}

/// The six registers for `bars`, each range of at least `smallest` bytes.
pub(crate) fn registers(bars: &[Bar], smallest: u64) -> Result<[Register; 6], LayoutError> {
    let mut slots: [Option<Register>; 6] = [None; 6];
    for bar in bars {
        let index = usize::from(bar.index);
        let largest = match bar.width {
            BarWidth::Bits32 => 1 << 31,
            BarWidth::Bits64 => 1 << 63,
        };
        if !bar.size.is_power_of_two() || bar.size < smallest || bar.size > largest {
            return Err(LayoutError::BarSize { index: bar.index, size: bar.size, smallest, largest });
        }
        let address = !(bar.size - 1);
        let prefetchable = if bar.prefetchable { PREFETCHABLE } else { 0 };
        let width = if bar.width == BarWidth::Bits64 { TYPE_64BIT } else { 0 };
        let low = Register::new(prefetchable | width).writable(low_half(address) & !ATTRIBUTES);
        claim(&mut slots, index, low)?;
        if bar.width == BarWidth::Bits64 {
            claim(&mut slots, index + 1, Register::new(0).writable(low_half(address >> 32)))?;
        }
    }
    Ok(slots.map(Option::unwrap_or_default))
}

fn claim(slots: &mut [Option<Register>; 6], index: usize, register: Register) -> Result<(), LayoutError> {
    match slots.get_mut(index) {
        Some(slot @ None) => {
            *slot = Some(register);
            Ok(())
        }
        Some(Some(_)) => Err(LayoutError::BarTaken { index }),
        None => Err(LayoutError::BarIndex { index }),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a 64-bit address is split into two registers")]
fn low_half(address: u64) -> u32 {
    address as u32
}
