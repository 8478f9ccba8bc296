//! A frame as its receiver takes it: whole, or cut into segments.

use std::ops::Range;

use ethernet::checksum::Sum;
use ethernet::{Segmenter, VlanTag, push_vlan};
use guest_memory::{Gather, GuestSlice};

use crate::frame::{Checksum, Frame, HEADER_MAX};
use crate::reason::Refusal;

/// The pieces of a frame for a receiver that takes neither unfinished checksums nor frames to be segmented.
#[derive(Debug)]
pub struct Pieces<'a> {
    frame: &'a Frame<'a>,
    segmenter: Option<Segmenter<'a>>,
}

/// One piece: headers that stand in the caller's scratch buffer or the frame's copy, and a range of the frame's body.
#[derive(Debug)]
pub struct Piece<'a> {
    header: &'a [u8],
    gather: &'a Gather,
    slices: Range<usize>,
    body_start: usize,
    body_len: usize,
    finish: Finish,
}

/// What is still to be filled in when the body is known.
#[derive(Clone, Copy, Debug)]
enum Finish {
    Nothing,
    Internet { start: usize, field: usize, seed: Sum },
    Crc32c { start: usize, field: usize },
}

impl<'a> Pieces<'a> {
    /// Plans the pieces of `frame`.
    ///
    /// # Errors
    /// The frame asks to be cut in a way that makes no sense.
    pub fn new(frame: &'a Frame<'a>) -> Result<Self, Refusal> {
        let segmenter = frame.slot.segmenter().map_err(|_| Refusal::BadSegmentation)?;
        Ok(Self { frame, segmenter })
    }

    /// Number of pieces: 1 for a frame that is not cut.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.segmenter.as_ref().map_or(1, Segmenter::segments)
    }

    /// Length in bytes of the longest piece, without VLAN tag.
    #[must_use]
    pub fn longest(&self) -> usize {
        match (&self.segmenter, self.frame.meta().gso) {
            (Some(_), Some(cut)) => {
                self.frame.len().min(usize::from(cut.gso.header_len) + usize::from(cut.gso.mss))
            }
            _ => self.frame.len(),
        }
    }

    /// Piece number `index`, with `tag` in its bytes if the receiver wants it there. Headers that must be changed are
    /// written into `scratch`.
    #[must_use]
    pub fn get<'s>(
        &'s self,
        index: u32,
        tag: Option<VlanTag>,
        scratch: &'s mut [u8; HEADER_MAX + 4],
    ) -> Piece<'s> {
        let slot = self.frame.slot;
        let mut made = match &self.segmenter {
            Some(segmenter) => self.segment(segmenter, index, scratch),
            None => {
                let finish = whole_frame_finish(self.frame);
                if tag.is_none() {
                    return self.piece(self.frame.header(), slot.body_start, slot.body_len, finish);
                }
                scratch[..slot.header_len].copy_from_slice(self.frame.header());
                Made {
                    header_len: slot.header_len,
                    body_start: slot.body_start,
                    body_len: slot.body_len,
                    finish,
                }
            }
        };
        if let Some(tag) = tag
            && push_vlan(scratch, &mut made.header_len, tag)
        {
            made.finish.shift(ethernet::VLAN_TAG_LEN);
        }
        self.piece(&scratch[..made.header_len], made.body_start, made.body_len, made.finish)
    }

    fn piece<'s>(
        &'s self,
        header: &'s [u8],
        body_start: usize,
        body_len: usize,
        finish: Finish,
    ) -> Piece<'s> {
        let slices = self.frame.slot.slices.clone();
        Piece { header, gather: self.frame.gather, slices, body_start, body_len, finish }
    }

    /// Makes segment `index` with its headers in `scratch`; all of it if it has to be padded.
    fn segment(&self, segmenter: &Segmenter<'_>, index: u32, scratch: &mut [u8; HEADER_MAX + 4]) -> Made {
        let slot = self.frame.slot;
        let plan = segmenter.segment(index, &mut scratch[..HEADER_MAX]);
        let body_start = slot.body_start + plan.payload_offset as usize;
        let (header_len, body_len) = (plan.header_len, plan.payload_len as usize);
        let length = header_len + body_len;
        let payload = header_len..length;
        if length < slot.shortest
            && self
                .frame
                .gather
                .read_range(slot.slices.clone(), body_start, &mut scratch[payload.clone()])
                .is_ok()
        {
            let mut sum = Sum::new();
            sum.add_bytes(&scratch[payload]);
            plan.finish(scratch, sum);
            scratch[length..slot.shortest].fill(0);
            return Made { header_len: slot.shortest, body_start, body_len: 0, finish: Finish::Nothing };
        }
        let start = usize::from(plan.checksum.start);
        let field = start + usize::from(plan.checksum.offset);
        Made {
            header_len,
            body_start,
            body_len,
            finish: Finish::Internet { start, field, seed: plan.checksum.seed },
        }
    }
}

/// A piece whose header stands in the scratch buffer.
struct Made {
    header_len: usize,
    body_start: usize,
    body_len: usize,
    finish: Finish,
}

impl Finish {
    /// Accounts for `by` bytes put in front of what is covered.
    fn shift(&mut self, by: usize) {
        match self {
            Self::Internet { start, field, .. } | Self::Crc32c { start, field } => {
                *start += by;
                *field += by;
            }
            Self::Nothing => {}
        }
    }
}

/// What a frame that is not cut still lacks.
fn whole_frame_finish(frame: &Frame<'_>) -> Finish {
    match frame.meta().checksum {
        Checksum::Unverified | Checksum::Complete => Finish::Nothing,
        Checksum::Partial { start, offset } => {
            let start = usize::from(start);
            let mut seed = Sum::new();
            seed.add_bytes(frame.header().get(start..).unwrap_or_default());
            Finish::Internet { start, field: start + usize::from(offset), seed }
        }
        Checksum::PartialCrc32c { start, offset } => {
            let start = usize::from(start);
            Finish::Crc32c { start, field: start + usize::from(offset) }
        }
    }
}

impl<'a> Piece<'a> {
    /// `frame` with these headers and nothing filled in.
    pub(crate) fn as_it_is(frame: &'a Frame<'a>, header: &'a [u8]) -> Self {
        let slot = frame.slot;
        Self {
            header,
            gather: frame.gather,
            slices: slot.slices.clone(),
            body_start: slot.body_start,
            body_len: slot.body_len,
            finish: Finish::Nothing,
        }
    }
}

impl Piece<'_> {
    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.header.len() + self.body_len
    }

    /// Never: a piece has headers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the piece into `buffers`, one after the other, and fills in its checksum. This is the one copy of the
    /// data path.
    ///
    /// # Errors
    /// The buffers do not hold it, or are not to be written; part of them may be.
    pub fn write(&self, buffers: &[GuestSlice<'_>]) -> Result<(), Refusal> {
        let mut out = Cursor { buffers, at: 0 };
        out.put(self.header)?;
        match self.finish {
            Finish::Nothing => self.copy_body(&mut out, |gather, range, from, into| {
                gather.copy_range(range, from, into).map_err(fault)
            }),
            Finish::Internet { start, field, mut seed } => {
                let mut odd = self.header.len().saturating_sub(start) % 2 == 1;
                self.copy_body(&mut out, |gather, range, from, into| {
                    let mut part = Sum::new();
                    part.add_u32(gather.copy_range_sum(range, from, into).map_err(fault)?);
                    seed.add_sum_at(part, odd);
                    odd ^= into.len() % 2 == 1;
                    Ok(())
                })?;
                // A computed 0 is sent as its equal 0xffff: 0 means "no checksum" in UDP.
                let check = match seed.finish() {
                    0 => u16::MAX,
                    check => check,
                };
                patch(buffers, field, &check.to_be_bytes())
            }
            Finish::Crc32c { start, field } => {
                let mut crc = crc_of_header(self.header.get(start..).unwrap_or_default(), field - start);
                self.copy_body(&mut out, |gather, range, from, into| {
                    crc = copy_crc(gather, range, from, into, crc)?;
                    Ok(())
                })?;
                patch(buffers, field, &crc.to_le_bytes())
            }
        }
    }

    /// Copies the body with `copy`, in runs that lie in one buffer.
    fn copy_body(
        &self,
        out: &mut Cursor<'_, '_>,
        mut copy: impl FnMut(&Gather, Range<usize>, usize, GuestSlice<'_>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut done = 0;
        while done < self.body_len {
            let into = out.take(self.body_len - done)?;
            copy(self.gather, self.slices.clone(), self.body_start + done, into)?;
            done += into.len();
        }
        Ok(())
    }
}

/// Buffers were checked when they were taken: what fails now is memory that is not what it was.
fn fault<E>(_: E) -> Refusal {
    Refusal::DmaFault
}

/// CRC32c of the headers with the field at `field` taken as zero.
fn crc_of_header(bytes: &[u8], field: usize) -> u32 {
    let before = bytes.get(..field).unwrap_or_default();
    let after = bytes.get(field + 4..).unwrap_or_default();
    let crc = ethernet::checksum::crc32c_append(0, before);
    ethernet::checksum::crc32c_append(ethernet::checksum::crc32c_append(crc, &[0; 4]), after)
}

/// Copies as many bytes as `into` has and goes on with a CRC32c over them. By way of private memory, so that what is
/// summed is what is written; SCTP alone pays for it.
fn copy_crc(
    gather: &Gather,
    range: Range<usize>,
    from: usize,
    into: GuestSlice<'_>,
    mut crc: u32,
) -> Result<u32, Refusal> {
    let mut chunk = [0; 512];
    let mut at = 0;
    while at < into.len() {
        let part = &mut chunk[..512.min(into.len() - at)];
        gather.read_range(range.clone(), from + at, part).map_err(fault)?;
        into.write(at, part).map_err(fault)?;
        crc = ethernet::checksum::crc32c_append(crc, part);
        at += part.len();
    }
    Ok(crc)
}

/// Writes `bytes` at position `at` of what `buffers` hold together.
fn patch(buffers: &[GuestSlice<'_>], at: usize, bytes: &[u8]) -> Result<(), Refusal> {
    let mut out = Cursor { buffers, at: 0 };
    let mut skipped = 0;
    while skipped < at {
        skipped += out.take(at - skipped)?.len();
    }
    out.put(bytes)
}

/// A place in a row of buffers.
struct Cursor<'b, 'm> {
    buffers: &'b [GuestSlice<'m>],
    at: usize,
}

impl<'m> Cursor<'_, 'm> {
    /// The next bytes that lie in one buffer, at most `most`.
    fn take(&mut self, most: usize) -> Result<GuestSlice<'m>, Refusal> {
        while let Some(buffer) = self.buffers.first() {
            let length = buffer.len().saturating_sub(self.at).min(most);
            if length > 0
                && let Some(slice) = buffer.sub(self.at, length)
            {
                self.at += length;
                return Ok(slice);
            }
            self.buffers = &self.buffers[1..];
            self.at = 0;
        }
        Err(Refusal::DmaFault)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            let into = self.take(bytes.len())?;
            let (now, later) = bytes.split_at(into.len());
            into.write(0, now).map_err(fault)?;
            bytes = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
