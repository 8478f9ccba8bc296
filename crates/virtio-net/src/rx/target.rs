//! Chains of buffers that one frame is written into.

use arrayvec::ArrayVec;
use guest_memory::{Access, GuestSlice, MemoryView};
use port::Refusal;

use super::Setting;
use crate::header::Header;
use crate::ring::{Chain, Cursor, MAX_BUFFERS, RingError, RingMemory, Used};
use crate::virtqueue::Virtqueue;

/// Memory pieces, and chains, that one frame may lie in: 64 KiB in buffers of 512 bytes.
const MAX_PARTS: usize = MAX_BUFFERS;

/// Descriptors looked at for one frame. A driver that fills its chains with descriptors without bytes loses them.
const MAX_WALKED: usize = 1024;

/// Why a frame finds no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The driver has to make more buffers available, from this place on.
    Full(Cursor),
    /// It would never fit.
    Refused(Refusal),
    /// The last chain that was taken is of no use.
    BadChain,
    /// The ring is.
    Broken(RingError),
}

/// Buffers for one frame and its header. Nothing is taken from the ring until [`Target::finish`].
#[derive(Debug)]
pub(super) struct Target<'m> {
    slices: ArrayVec<GuestSlice<'m>, MAX_PARTS>,
    /// Guest addresses and lengths of them, for the log.
    places: ArrayVec<(u64, usize), MAX_PARTS>,
    chains: ArrayVec<Used, MAX_PARTS>,
    /// Slices that the header takes whole.
    first: usize,
}

impl<'m> Target<'m> {
    #[inline]
    pub(super) fn new() -> Self {
        Self { slices: ArrayVec::new(), places: ArrayVec::new(), chains: ArrayVec::new(), first: 0 }
    }

    /// Finds `room` bytes in the next chains of `ring`.
    #[inline]
    pub(super) fn reserve(
        &mut self,
        ring: &mut Virtqueue,
        chain: &mut Chain,
        memory: &RingMemory<'_>,
        view: &'m MemoryView,
        setting: &Setting,
        room: usize,
    ) -> Result<(), Stop> {
        let mut at = ring.next();
        let (mut left, mut slots, mut walked) = (room, 0, 0);
        loop {
            ring.prefetch(memory, view, at, setting.header, Access::Write);
            if !ring.chain(memory, view, &mut at, chain).map_err(Stop::Broken)? {
                let never = slots >= usize::from(memory.config.size);
                return Err(if never { Stop::Refused(Refusal::NoBuffers) } else { Stop::Full(at) });
            }
            slots += usize::from(chain.slots);
            walked += chain.walked;
            let before = left;
            let usable = chain.fault.is_none()
                && chain.readable().is_empty()
                && !chain.writable().is_empty()
                && walked <= MAX_WALKED;
            let fault =
                if usable { self.add(chain, memory, view, &mut left).err() } else { Some(Stop::BadChain) };
            // At most what was left, which is a frame.
            let length = u32::try_from(before - left).unwrap_or(u32::MAX);
            let used = Used { id: chain.id, length, slots: chain.slots };
            if self.chains.try_push(used).is_err() {
                return Err(Stop::Refused(Refusal::NoBuffers));
            }
            match fault {
                Some(stop) => return Err(stop),
                None if left == 0 => return Ok(()),
                None if setting.mergeable => {}
                None => return Err(Stop::Refused(Refusal::TooLong)),
            }
        }
    }

    /// Adds as much of the chain's buffers as is needed.
    #[inline]
    fn add(
        &mut self,
        chain: &Chain,
        memory: &RingMemory<'_>,
        view: &'m MemoryView,
        left: &mut usize,
    ) -> Result<(), Stop> {
        for buffer in chain.writable() {
            let (mut address, mut length) = (buffer.address, (*left).min(buffer.length as usize));
            while length > 0 {
                let slice = view.first_slice(address, length, Access::Write).map_err(|_| Stop::BadChain)?;
                if memory.log.is_some() {
                    // As many as slices.
                    let _ = self.places.try_push((address, slice.len()));
                }
                self.slices.try_push(slice).map_err(|_| Stop::Refused(Refusal::NoBuffers))?;
                *left -= slice.len();
                length -= slice.len();
                if length > 0 {
                    address = address.checked_add(slice.len() as u64).ok_or(Stop::BadChain)?;
                }
            }
            if *left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Writes the first `length` bytes of `header`, with the number of chains in it, and goes on behind them.
    #[inline]
    pub(super) fn write_header(&mut self, header: Header, length: usize) -> Result<(), Refusal> {
        let buffers = u16::try_from(self.chains.len()).unwrap_or(u16::MAX);
        let bytes = Header { buffers, ..header }.encode();
        let mut bytes = &bytes[..length];
        while !bytes.is_empty() {
            let slice = self.slices.get_mut(self.first).ok_or(Refusal::DmaFault)?;
            let (now, later) = bytes.split_at(bytes.len().min(slice.len()));
            slice.write(0, now).map_err(|_| Refusal::DmaFault)?;
            match slice.sub(now.len(), slice.len() - now.len()) {
                Some(rest) if !rest.is_empty() => *slice = rest,
                _ => self.first += 1,
            }
            bytes = later;
        }
        Ok(())
    }

    /// What is left for the frame.
    #[inline]
    pub(super) fn slices(&self) -> &[GuestSlice<'m>] {
        self.slices.get(self.first..).unwrap_or_default()
    }

    /// Gives the chains back to the driver, filled if all was written.
    #[inline]
    pub(super) fn finish(&self, ring: &mut Virtqueue, memory: &RingMemory<'_>, filled: bool) {
        if let Some(log) = memory.log {
            for (address, length) in &self.places {
                log.mark(*address, *length);
            }
        }
        if filled {
            for used in &self.chains {
                ring.give_back(memory, *used);
            }
        } else {
            self.give_back_empty(ring, memory);
        }
    }

    /// Gives the chains back to the driver with nothing in them.
    pub(super) fn give_back_empty(&self, ring: &mut Virtqueue, memory: &RingMemory<'_>) {
        for used in &self.chains {
            ring.give_back(memory, Used { length: 0, ..*used });
        }
    }
}
