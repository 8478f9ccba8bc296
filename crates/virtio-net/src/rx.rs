//! Reception: frames into the driver's buffers.

mod shape;
mod target;

use ethernet::VlanTag;
use guest_memory::MemoryView;
use port::{Frame, HEADER_MAX, Pieces, Put, Refusal, Whole};

use self::shape::Shape;
use self::target::{Stop, Target};
use crate::features::Features;
use crate::header::Header;
use crate::ring::{Chain, Cursor, RingError, RingMemory};
use crate::virtqueue::Virtqueue;

const TAG: usize = ethernet::VLAN_TAG_LEN;
/// Headers with a tag.
pub(crate) type Scratch = [u8; HEADER_MAX + TAG];

/// One receive queue.
#[derive(Debug)]
pub(crate) struct RxQueue {
    pub(crate) ring: Virtqueue,
    chain: Box<Chain>,
    scratch: Box<Scratch>,
    /// The last frame found no room: where the driver has to make buffers available.
    starved: Option<Cursor>,
}

/// What a round knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Guest offloads that are switched on.
    pub(crate) offloads: Features,
    /// Bytes of the header.
    pub(crate) header: usize,
    /// A frame may span several chains.
    pub(crate) mergeable: bool,
    /// Longest frame in bytes, tags not counted.
    pub(crate) longest: usize,
}

/// A frame to be delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) frame: &'a Frame<'a>,
    /// Tag for the guest, which gets it in the bytes.
    pub(crate) tag: Option<VlanTag>,
    /// First piece to deliver.
    pub(crate) from: u32,
}

impl RxQueue {
    pub(crate) fn new(ring: Virtqueue) -> Self {
        Self { ring, chain: Box::new(Chain::new()), scratch: Box::new([0; HEADER_MAX + TAG]), starved: None }
    }

    /// Delivers a frame.
    pub(crate) fn put(
        &mut self,
        memory: &RingMemory<'_>,
        view: &MemoryView,
        setting: &Setting,
        job: Job<'_>,
    ) -> Result<Put, RingError> {
        if longest(job.frame) > setting.longest + inner_tag(job.frame) {
            return Ok(Put::Refused(Refusal::TooLong));
        }
        let shape = Shape::of(job.frame, job.tag, setting.offloads);
        if job.from == 0
            && let Some(header) = shape.whole
            && let Some(put) = self.put_whole(memory, view, setting, job, header)?
        {
            return Ok(put);
        }
        let pieces = match Pieces::new(job.frame) {
            Ok(pieces) => pieces,
            Err(reason) => return Ok(Put::Refused(reason)),
        };
        for index in job.from..pieces.count() {
            let piece = pieces.get(index, job.tag, &mut self.scratch);
            let mut target = Target::new();
            let room = setting.header + piece.len();
            let reserved = target.reserve(&mut self.ring, &mut self.chain, memory, view, setting, room);
            if let Err(stop) = reserved {
                return self.stop(memory, &target, stop, index);
            }
            let body = target.write_header(shape.cut_header, setting.header);
            let written = body.and_then(|()| piece.write(target.slices()));
            target.finish(&mut self.ring, memory, written.is_ok());
            if let Err(reason) = written {
                return Ok(Put::Refused(reason));
            }
        }
        self.fed(memory);
        Ok(Put::Done)
    }

    /// Delivers a frame as one; `None` if it has to be cut after all.
    fn put_whole(
        &mut self,
        memory: &RingMemory<'_>,
        view: &MemoryView,
        setting: &Setting,
        job: Job<'_>,
        header: Header,
    ) -> Result<Option<Put>, RingError> {
        let Some(whole) = Whole::new(job.frame, job.tag, &mut self.scratch) else { return Ok(None) };
        let room = setting.header + whole.piece().len();
        let mut target = Target::new();
        let reserved = target.reserve(&mut self.ring, &mut self.chain, memory, view, setting, room);
        if let Err(stop) = reserved {
            return self.stop(memory, &target, stop, 0).map(Some);
        }
        let written =
            target.write_header(header, setting.header).and_then(|()| whole.piece().write(target.slices()));
        target.finish(&mut self.ring, memory, written.is_ok());
        if let Err(reason) = written {
            return Ok(Some(Put::Refused(reason)));
        }
        self.fed(memory);
        Ok(Some(Put::Done))
    }

    /// Piece `index` found no place.
    fn stop(
        &mut self,
        memory: &RingMemory<'_>,
        target: &Target<'_>,
        stop: Stop,
        index: u32,
    ) -> Result<Put, RingError> {
        match stop {
            Stop::Full(at) => {
                self.starved = Some(at);
                Ok(Put::Full { next: index })
            }
            Stop::Refused(reason) => Ok(Put::Refused(reason)),
            Stop::BadChain => {
                target.give_back_empty(&mut self.ring, memory);
                Ok(Put::Refused(Refusal::DmaFault))
            }
            Stop::Broken(error) => Err(error),
        }
    }

    /// There was room.
    #[inline]
    fn fed(&mut self, memory: &RingMemory<'_>) {
        self.starved = None;
        self.ring.disarm(memory);
    }

    /// Where room is waited for, if a sender waits.
    pub(crate) fn starved(&self) -> Option<Cursor> {
        self.starved
    }

    /// Asks the driver, if a sender waits for room, to kick when there is more.
    pub(crate) fn ask_for_room(&mut self, memory: &RingMemory<'_>) {
        if let Some(at) = self.starved {
            self.ring.arm(memory, at);
        }
    }

    /// True, once, if a sender waits for room and there is more.
    pub(crate) fn has_new_room(&mut self, memory: &RingMemory<'_>) -> bool {
        self.starved.take_if(|at| self.ring.is_waiting(memory, *at)).is_some()
    }
}

/// Longest frame that the guest gets of `frame`, in bytes.
fn longest(frame: &Frame<'_>) -> usize {
    let cut = frame.meta().gso.map(|cut| usize::from(cut.gso.header_len) + usize::from(cut.gso.mss));
    cut.map_or(frame.len(), |segment| segment.min(frame.len()))
}

/// A guest's largest frame allows for a second tag on top.
fn inner_tag(frame: &Frame<'_>) -> usize {
    match frame.ethertype() {
        ethernet::TPID_8021Q | ethernet::TPID_8021AD => TAG,
        _ => 0,
    }
}
