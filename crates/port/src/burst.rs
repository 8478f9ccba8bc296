//! A batch of frames that one queue of one port sent.

use std::ops::Range;

use ethernet::Sum;
use ethernet::checksum::crc32c;
use guest_memory::{Access, Gather, MemoryView};

use crate::frame::{Checksum, Frame, FrameMeta, HEADER_MAX, Kept, Slot};
use crate::reason::Malformed;

/// Most frames in a burst.
pub const BURST: usize = 32;

/// Bytes of a frame without offloads that are copied as its headers: Ethernet, a tag, IPv6 and TCP with options fit.
const HEADER_COPY: usize = 128;

/// Shortest frame: an Ethernet header.
const SHORTEST: usize = 14;

/// Longest IPv4 header.
const IPV4_HEADER_MAX: usize = 60;

/// Most memory pieces of all frames of a burst together.
const MAX_SLICES: usize = 2048;

/// A frame to be added to a burst.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spec {
    /// VLAN tag, checksum and segmentation as the device was asked for. With segmentation the header length says how
    /// much is header.
    pub meta: FrameMeta,
    /// Frames, and segments of them, that are shorter are padded with zeros to this length in bytes: receivers may
    /// count on the least length of the wire. At most [`HEADER_MAX`].
    pub pad_to: usize,
    /// Number of bytes from the start at which an IPv4 header stands whose checksum is to be filled in.
    pub ipv4_checksum_at: Option<u16>,
}

/// Up to [`BURST`] frames. Made once per worker; nothing is allocated after that.
#[derive(Debug)]
pub struct Burst {
    gather: Gather,
    slots: Box<[Slot]>,
    length: usize,
    /// Slices of the frame that is being gathered.
    open: Option<Range<usize>>,
    open_len: usize,
}

impl Default for Burst {
    fn default() -> Self {
        Self::new()
    }
}

impl Burst {
    /// An empty burst.
    #[must_use]
    pub fn new() -> Self {
        let slots = (0..BURST).map(|_| Slot::empty()).collect();
        Self { gather: Gather::new(MAX_SLICES), slots, length: 0, open: None, open_len: 0 }
    }

    /// Empties it for frames in the memory of `view`, which stays mapped until the next `begin` or [`Burst::clear`].
    pub fn begin(&mut self, view: MemoryView) {
        self.gather.begin(view);
        self.reset();
    }

    /// Empties it and lets go of the sender's memory.
    pub fn clear(&mut self) {
        self.gather.clear();
        self.reset();
    }

    fn reset(&mut self) {
        self.length = 0;
        self.open = None;
        self.open_len = 0;
    }

    /// Number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// True without frames.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// True if no further frame fits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.length == self.slots.len()
    }

    /// Frame number `index`, counted from 0.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn frame(&self, index: usize) -> Frame<'_> {
        assert!(index < self.length, "frame {index} of {}", self.length);
        Frame { slot: &self.slots[index], gather: &self.gather }
    }

    /// Adds `length` bytes at guest address `address` to the frame that is being gathered.
    ///
    /// # Errors
    /// The bytes are not the device's to read, or the burst's slices are used up. The frame is forgotten.
    pub fn gather(&mut self, address: u64, length: usize) -> Result<(), Malformed> {
        if length == 0 {
            return Ok(());
        }
        let added = self.gather.push(address, length, Access::Read).map_err(|error| {
            self.open = None;
            self.open_len = 0;
            match error {
                guest_memory::DmaError::TooManySegments => Malformed::TooManyBuffers,
                _ => Malformed::DmaFault,
            }
        })?;
        let start = self.open.as_ref().map_or(added.start, |open| open.start);
        self.open = Some(start..added.end);
        self.open_len += length;
        Ok(())
    }

    /// Adds a frame that lies in no port's memory, as one that softiov itself sends: its first [`HEADER_MAX`] bytes.
    ///
    /// # Errors
    /// It has no whole Ethernet header, or the burst is full.
    pub fn insert(&mut self, frame: &[u8]) -> Result<(), Malformed> {
        let frame = &frame[..frame.len().min(HEADER_MAX)];
        if frame.len() < SHORTEST {
            return Err(Malformed::TooShort);
        }
        let slot = self.slots.get_mut(self.length).ok_or(Malformed::TooManyBuffers)?;
        *slot = Slot { header_len: frame.len(), layout: ethernet::parse(frame), ..Slot::empty() };
        slot.header[..frame.len()].copy_from_slice(frame);
        self.length += 1;
        Ok(())
    }

    /// Bytes gathered for the frame so far.
    #[must_use]
    pub fn gathered(&self) -> usize {
        self.open_len
    }

    /// Forgets the frame that is being gathered.
    pub fn abandon(&mut self) {
        self.open = None;
        self.open_len = 0;
    }

    /// Ends the frame that is being gathered: copies its headers, takes an 802.1Q tag out of them, fills in what is
    /// asked for.
    ///
    /// # Errors
    /// The frame makes no sense; it is forgotten.
    pub fn commit(&mut self, spec: &Spec) -> Result<(), Malformed> {
        let slices = self.open.take().unwrap_or(0..0);
        let length = std::mem::take(&mut self.open_len);
        if length < SHORTEST {
            return Err(Malformed::TooShort);
        }
        let Some(slot) = self.slots.get_mut(self.length) else {
            return Err(Malformed::TooManyBuffers);
        };
        slot.header_len = header_wanted(spec, length)?;
        let header = slot.header.get_mut(..slot.header_len).ok_or(Malformed::HeaderTooLong)?;
        // The one look at the headers: all that follows works on this copy, whatever the sender writes meanwhile.
        self.gather.read_range(slices.clone(), 0, header).map_err(|_| Malformed::DmaFault)?;
        slot.body_start = slot.header_len;
        slot.body_len = length - slot.header_len;
        slot.slices = slices;
        slot.shortest = spec.pad_to.min(HEADER_MAX);
        slot.meta = spec.meta;
        if let Some(at) = spec.ipv4_checksum_at {
            fill_ipv4_checksum(&mut slot.header[..slot.header_len], usize::from(at))?;
        }
        if slot.meta.tag.is_none() {
            take_tag(slot)?;
        }
        // Here rather than where the segments are made: the one to blame is the sender.
        slot.segmenter().map_err(|_| Malformed::BadSegmentation)?;
        slot.layout = ethernet::parse(&slot.header[..slot.header_len]);
        if slot.body_len == 0 && slot.header_len < slot.shortest {
            pad(slot);
        }
        self.length += 1;
        Ok(())
    }

    /// Ends the frame that is being gathered from memory into which [`Frame::keep`] copied it: it is the same again.
    ///
    /// # Errors
    /// The bytes are not those that were kept; the frame is forgotten.
    pub fn restore(&mut self, kept: &Kept) -> Result<(), Malformed> {
        let slices = self.open.take().unwrap_or(0..0);
        let length = std::mem::take(&mut self.open_len);
        let Kept { meta, header_len, shortest } = *kept;
        let body_len = length.checked_sub(header_len).ok_or(Malformed::TooShort)?;
        let slot = self.slots.get_mut(self.length).ok_or(Malformed::TooManyBuffers)?;
        let header = slot.header.get_mut(..header_len).ok_or(Malformed::HeaderTooLong)?;
        self.gather.read_range(slices.clone(), 0, header).map_err(|_| Malformed::DmaFault)?;
        slot.layout = ethernet::parse(header);
        (slot.header_len, slot.body_start, slot.body_len) = (header_len, header_len, body_len);
        (slot.slices, slot.shortest, slot.meta) = (slices, shortest, meta);
        self.length += 1;
        Ok(())
    }
}

/// How many bytes of a frame of `length` bytes must be copied as headers.
fn header_wanted(spec: &Spec, length: usize) -> Result<usize, Malformed> {
    if let Some(cut) = spec.meta.gso {
        let header = usize::from(cut.gso.header_len);
        return if (SHORTEST..length).contains(&header) {
            Ok(header)
        } else {
            Err(Malformed::BadSegmentation)
        };
    }
    let mut wanted = HEADER_COPY;
    if let Some((start, field)) = checksum_field(&spec.meta.checksum) {
        if field.end > length || start < SHORTEST {
            return Err(Malformed::BadChecksumOffset);
        }
        wanted = wanted.max(field.end);
    }
    if let Some(at) = spec.ipv4_checksum_at {
        wanted = wanted.max(usize::from(at) + IPV4_HEADER_MAX);
    }
    Ok(wanted.min(length))
}

/// Where the checksum to be filled in starts to count, and where it goes.
fn checksum_field(checksum: &Checksum) -> Option<(usize, Range<usize>)> {
    let (start, offset, width) = match *checksum {
        Checksum::Partial { start, offset } => (start, offset, 2),
        Checksum::PartialCrc32c { start, offset } => (start, offset, 4),
        Checksum::Unverified | Checksum::Complete => return None,
    };
    let field = usize::from(start) + usize::from(offset);
    Some((usize::from(start), field..field + width))
}

/// Moves an 802.1Q tag from the bytes into the metadata, and the offsets with it.
fn take_tag(slot: &mut Slot) -> Result<(), Malformed> {
    const TAG: u16 = 4;
    let Some(tag) = ethernet::pop_vlan(&mut slot.header, &mut slot.header_len) else {
        return Ok(());
    };
    slot.meta.tag = Some(tag);
    if let Checksum::Partial { start, .. } | Checksum::PartialCrc32c { start, .. } = &mut slot.meta.checksum {
        *start -= TAG;
        // A checksum must not be written over addresses and types that were decided on.
        if usize::from(*start) < SHORTEST {
            return Err(Malformed::BadChecksumOffset);
        }
    }
    if let Some(cut) = &mut slot.meta.gso {
        for offset in [&mut cut.gso.header_len, &mut cut.l3_offset, &mut cut.l4_offset] {
            *offset = offset.saturating_sub(TAG);
        }
    }
    Ok(())
}

/// Fills in the checksum of the IPv4 header at `at`.
fn fill_ipv4_checksum(header: &mut [u8], at: usize) -> Result<(), Malformed> {
    let ip = header.get_mut(at..).filter(|_| at >= SHORTEST).ok_or(Malformed::BadChecksumOffset)?;
    let length = match ip.first() {
        Some(first) if first >> 4 == 4 && first & 0xf >= 5 => usize::from(first & 0xf) * 4,
        _ => return Err(Malformed::BadChecksumOffset),
    };
    let ip = ip.get_mut(..length).ok_or(Malformed::BadChecksumOffset)?;
    ip[10..12].fill(0);
    let mut sum = Sum::new();
    sum.add_bytes(ip);
    ip[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    Ok(())
}

/// Pads a frame that lies in the header copy whole. Zeros do not change an Internet checksum, but they do change a
/// CRC, which is therefore made now.
fn pad(slot: &mut Slot) {
    if let Checksum::PartialCrc32c { .. } = slot.meta.checksum
        && let Some((start, field)) = checksum_field(&slot.meta.checksum)
    {
        slot.header[field.clone()].fill(0);
        let crc = crc32c(&slot.header[start..slot.header_len]);
        slot.header[field].copy_from_slice(&crc.to_le_bytes());
        slot.meta.checksum = Checksum::Complete;
    }
    slot.header[slot.header_len..slot.shortest].fill(0);
    slot.header_len = slot.shortest;
}

#[cfg(test)]
mod tests;
