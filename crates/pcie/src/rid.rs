//! Requester ids and the arithmetic that places virtual functions (SR-IOV 2.1.2, PCIe 9.2.1.2).

use std::fmt;

/// The routing id of a function on its segment: bus in bits 15:8, device in 7:3, function in 2:0.
///
/// With Alternative Routing-ID Interpretation (PCIe 6.13) the low eight bits are one function number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rid(u16);

impl Rid {
    /// The function `function` (0..=7) of device `device` (0..=31), or `None` if one of them is larger.
    #[must_use]
    pub const fn new(bus: u8, device: u8, function: u8) -> Option<Self> {
        if device > 31 || function > 7 {
            return None;
        }
        Some(Self(u16::from_be_bytes([bus, device << 3 | function])))
    }

    /// The function `function` (0..=255) of the only device of `bus`, as ARI numbers it.
    #[must_use]
    pub const fn from_ari(bus: u8, function: u8) -> Self {
        Self(u16::from_be_bytes([bus, function]))
    }

    /// The id as it stands in a transaction's requester id field.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The id as it stands in a transaction's requester id field.
    #[must_use]
    pub const fn to_bits(self) -> u16 {
        self.0
    }

    /// The bus number.
    #[must_use]
    pub const fn bus(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// The device number, 0..=31, without ARI.
    #[must_use]
    pub const fn device(self) -> u8 {
        self.ari_function() >> 3
    }

    /// The function number, 0..=7, without ARI.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.ari_function() & 7
    }

    /// The function number with ARI: device and function in one.
    #[must_use]
    pub const fn ari_function(self) -> u8 {
        self.0.to_be_bytes()[1]
    }
}

impl fmt::Display for Rid {
    /// `bb:dd.f`, as lspci prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus(), self.device(), self.function())
    }
}

/// Where SR-IOV places the virtual functions of a PF: registers First VF Offset and VF Stride (PCIe 9.3.3.9, 9.3.3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VfRouting {
    /// Distance of the first VF from its PF, at least 1.
    pub first_offset: u16,
    /// Distance of one VF from the one before, at least 1.
    pub stride: u16,
}

impl VfRouting {
    /// The id of the VF `index` of `pf`.
    ///
    /// `index` counts from zero; the specification counts from one, so its VF `n` is index `n - 1`.
    ///
    /// # Errors
    /// [`RidOverflow`] if the VF would lie beyond bus 255.
    pub fn rid(self, pf: Rid, index: u16) -> Result<Rid, RidOverflow> {
        let distance = u32::from(self.first_offset) + u32::from(index) * u32::from(self.stride);
        u32::from(pf.to_bits())
            .checked_add(distance)
            .and_then(|bits| u16::try_from(bits).ok())
            .map(Rid::from_bits)
            .ok_or(RidOverflow { pf, index, distance })
    }

    /// The index (from zero) of the VF at `rid`, or `None` if no VF of `pf` can lie there.
    #[must_use]
    pub fn index_of(self, pf: Rid, rid: Rid) -> Option<u16> {
        let distance = rid.to_bits().checked_sub(pf.to_bits())?.checked_sub(self.first_offset)?;
        (distance.checked_rem(self.stride)? == 0).then(|| distance / self.stride)
    }
}

/// A VF would lie beyond the last bus of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "VF index {index} lies {distance} functions after its PF {pf}, beyond ff:1f.7; use a lower bus or fewer VFs"
)]
pub struct RidOverflow {
    /// The physical function.
    pub pf: Rid,
    /// The virtual function, counted from zero.
    pub index: u16,
    /// Distance between the two in routing ids.
    pub distance: u32,
}

#[cfg(test)]
mod tests;
