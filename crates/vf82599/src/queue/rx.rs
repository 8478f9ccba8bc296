//! Reception: frames into the driver's buffers.

use arrayvec::ArrayVec;
use ethernet::{L3, L4, VlanTag};
use guest_memory::{Access, GuestSlice, MemoryView};
use port::{Checksum, Frame, HEADER_MAX, Piece, Pieces, Put, Refusal};

use super::descriptor::{BYTES, WriteBack};
use super::ring::{Ring, Sync, load_address, store};
use super::rss::Hash;
use crate::registers::{CONTROL, RXDCTL_RLPML, RXDCTL_RLPML_EN, RXDCTL_VME, SRRCTL, rx};
use crate::state::{VfState, word};

/// Frame check sequence in bytes: counted in a guest's largest frame, never delivered.
const FCS: usize = 4;
const TAG: usize = ethernet::VLAN_TAG_LEN;
/// Memory pieces that the buffers of one frame may lie in.
const MAX_SLICES: usize = 32;
/// Descriptors that are written at once.
const MAX_WRITTEN: usize = 4 * MAX_SLICES;
/// The only descriptor type that drivers use: one buffer, advanced.
const ADVANCED_ONE_BUFFER: u32 = 1;
/// How many descriptors ahead of their use buffers are fetched into the cache, and descriptors, which are read then.
const BUFFER_AHEAD: u32 = 8;
const DESCRIPTOR_AHEAD: u32 = 24;

/// One receive queue.
#[derive(Debug)]
pub(super) struct RxQueue {
    block: u32,
    /// This kind of VF honours the length limit of RXDCTL.
    limits_length: bool,
    ring: Ring,
    /// What the registers said in this round.
    round: Option<Round>,
    /// What is to be written over the descriptors from the head on. Done for many at once: the driver that polls takes
    /// the cache line of a descriptor away each time one is written.
    written: ArrayVec<[u64; 2], MAX_WRITTEN>,
    scratch: Box<[u8; HEADER_MAX + TAG]>,
}

/// A frame to be delivered.
pub(super) struct Job<'a> {
    pub(super) frame: &'a Frame<'a>,
    /// Tag for the driver.
    pub(super) tag: Option<VlanTag>,
    /// First piece to deliver.
    pub(super) from: u32,
    pub(super) hash: Option<Hash>,
}

/// What one put delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Received {
    pub(super) packets: u64,
    pub(super) octets: u64,
}

/// A queue as the registers had it in this round. The driver may change them meanwhile: it is told that the change is
/// done after the round (disabling a queue waits for it).
#[derive(Clone, Copy, Debug)]
struct Round {
    /// `None` if the queue is disabled, or set up in a way that the device does not have.
    setup: Option<Setup>,
    /// Descriptors before it are the device's, as of the last look.
    tail: u32,
}

#[derive(Clone, Copy, Debug)]
struct Setup {
    /// Bytes of each buffer.
    buffer: usize,
    /// Longest frame, tags not counted.
    longest: usize,
    /// Most bytes written of one frame, whatever is in them: drivers lay out their buffers by it.
    most: usize,
    strip_tag: bool,
}

impl RxQueue {
    pub(super) fn new(index: u32, limits_length: bool) -> Self {
        let ring = Ring::new(rx(index, 0), word::RX_GENERATION + index as usize);
        let scratch = Box::new([0; HEADER_MAX + TAG]);
        Self { block: rx(index, 0), limits_length, ring, round: None, written: ArrayVec::new(), scratch }
    }

    /// Shows the driver what was put in this round. The registers are looked at again before the next frame.
    pub(super) fn end_round(&mut self, state: &VfState, view: &MemoryView) {
        self.round = None;
        if !self.written.is_empty()
            && let Some(memory) = self.ring.memory(view)
        {
            self.publish(state, &memory);
        }
        self.written.clear();
    }

    /// Writes the descriptors that are done, then the head.
    fn publish(&mut self, state: &VfState, memory: &GuestSlice<'_>) {
        let mut position = self.ring.head();
        for words in self.written.drain(..) {
            store(memory, position, words);
            position = self.ring.after(position, 1);
        }
        self.ring.set_head(state, position);
    }

    /// The descriptor that is filled next.
    fn next(&self) -> u32 {
        // At most MAX_WRITTEN, so that it fits.
        let written = u32::try_from(self.written.len()).unwrap_or(0);
        self.ring.after(self.ring.head(), written)
    }

    /// Delivers a frame; what was delivered of it is added to `received`.
    pub(super) fn put(
        &mut self,
        state: &VfState,
        view: &MemoryView,
        job: &Job<'_>,
        received: &mut Received,
    ) -> Put {
        let mut round = match self.round {
            Some(round) => round,
            None => self.look(state),
        };
        let Some(setup) = round.setup else {
            return Put::Refused(Refusal::NotReady);
        };
        let Some(memory) = self.ring.memory(view) else {
            return Put::Refused(Refusal::DmaFault);
        };
        let pieces = match Pieces::new(job.frame) {
            Ok(pieces) => pieces,
            Err(reason) => return Put::Refused(reason),
        };
        let (in_bytes, out_of_band) = if setup.strip_tag { (None, job.tag) } else { (job.tag, None) };
        if !setup.takes(job.frame, pieces.longest(), in_bytes.is_some()) {
            return Put::Refused(Refusal::TooLong);
        }
        let template = write_back(job.frame, out_of_band, job.hash);
        let mut head = self.next();
        let mut end = Put::Done;
        for index in job.from..pieces.count() {
            let piece = pieces.get(index, in_bytes, &mut self.scratch);
            let needed = piece.len().div_ceil(setup.buffer);
            let mut room = room_up_to(&self.ring, round.tail, self.written.len());
            if (room as usize) < needed {
                // Only now, since reading what the driver writes takes its cache line away.
                round.tail = self.ring.tail(state);
                self.round = Some(round);
                room = room_up_to(&self.ring, round.tail, self.written.len());
            }
            if needed > room as usize {
                end = match needed < self.ring.size() as usize {
                    true => Put::Full { next: index },
                    // It would never fit.
                    false => Put::Refused(Refusal::NoBuffers),
                };
                break;
            }
            prefetch(&self.ring, &memory, view, head, room, setup.buffer);
            if let Err(reason) = fill(&self.ring, &memory, view, head, setup.buffer, &piece) {
                end = Put::Refused(reason);
                break;
            }
            received.packets += 1;
            received.octets += piece.len() as u64;
            let mut left = piece.len();
            while left > 0 {
                let length = left.min(setup.buffer);
                left -= length;
                let status = if left == 0 { template.status } else { WriteBack::DD };
                let length = u16::try_from(length).unwrap_or(u16::MAX);
                self.written.push(WriteBack { status, length, ..template }.encode());
                head = self.ring.after(head, 1);
            }
            if self.written.remaining_capacity() < MAX_SLICES {
                self.publish(state, &memory);
            }
        }
        end
    }

    /// Looks at the registers.
    fn look(&mut self, state: &VfState) -> Round {
        let setup = if self.ring.sync(state) == Sync::Off { None } else { self.setup(state) };
        let round = Round { setup, tail: self.ring.tail(state) };
        self.round = Some(round);
        round
    }

    /// `None` if the driver wants something that the device does not have.
    fn setup(&self, state: &VfState) -> Option<Setup> {
        let split = state.register(self.block + SRRCTL);
        let control = state.register(self.block + CONTROL);
        let buffer = (split & 0x7f) as usize * 1024;
        if buffer == 0 || split >> 25 & 7 != ADVANCED_ONE_BUFFER {
            return None;
        }
        let longest = (state.private.load(word::MAX_FRAME) as usize).saturating_sub(FCS);
        let limited = self.limits_length && control & RXDCTL_RLPML_EN != 0;
        let most = if limited { (control & RXDCTL_RLPML) as usize } else { usize::MAX };
        Some(Setup { buffer, longest, most, strip_tag: control & RXDCTL_VME != 0 })
    }
}

impl Setup {
    /// Whether pieces of up to `longest` bytes may be delivered, with one more tag in the bytes if `tagged`. A
    /// guest's largest frame allows for the tags on top.
    fn takes(&self, frame: &Frame<'_>, longest: usize, tagged: bool) -> bool {
        let tag = if tagged { TAG } else { 0 };
        let bytes = longest + tag;
        if bytes <= self.longest.min(self.most) {
            return true;
        }
        let inner = matches!(frame.ethertype(), ethernet::TPID_8021Q | ethernet::TPID_8021AD);
        let allowed = self.longest + tag + if inner { TAG } else { 0 };
        bytes <= allowed.min(self.most)
    }
}

/// Descriptors that can still be filled, with the tail at `tail` and `written` filled and not shown yet. Counted from the
/// head that the driver sees, since a tail that it moved back says nothing about those that are filled.
fn room_up_to(ring: &Ring, tail: u32, written: usize) -> u32 {
    ring.distance(ring.head(), tail).saturating_sub(u32::try_from(written).unwrap_or(u32::MAX))
}

/// Asks for the cache lines of the descriptors and buffers that come next, `room` descriptors from `head` on being the
/// device's.
#[inline]
fn prefetch(ring: &Ring, memory: &GuestSlice<'_>, view: &MemoryView, head: u32, room: u32, buffer: usize) {
    if room > BUFFER_AHEAD {
        let next = ring.after(head, BUFFER_AHEAD);
        if let Ok(slice) = view.first_slice(load_address(memory, next), buffer, Access::Write) {
            slice.prefetch_write(0);
        }
        if room > DESCRIPTOR_AHEAD {
            memory.prefetch_write(ring.after(head, DESCRIPTOR_AHEAD) as usize * BYTES);
        }
    }
}

/// Copies one piece into the buffers from descriptor `head` on.
fn fill(
    ring: &Ring,
    memory: &GuestSlice<'_>,
    view: &MemoryView,
    head: u32,
    buffer: usize,
    piece: &Piece<'_>,
) -> Result<(), Refusal> {
    let mut slices = ArrayVec::<GuestSlice<'_>, MAX_SLICES>::new();
    let (mut left, mut position) = (piece.len(), head);
    while left > 0 {
        let mut address = load_address(memory, position);
        let mut room = left.min(buffer);
        left -= room;
        position = ring.after(position, 1);
        while room > 0 {
            let slice = view.first_slice(address, room, Access::Write).map_err(|_| Refusal::DmaFault)?;
            room -= slice.len();
            slices.try_push(slice).map_err(|_| Refusal::DmaFault)?;
            if room > 0 {
                address = address.checked_add(slice.len() as u64).ok_or(Refusal::DmaFault)?;
            }
        }
    }
    piece.write(&slices)
}

/// What the descriptor of the frame's last buffer says of it.
fn write_back(frame: &Frame<'_>, tag: Option<VlanTag>, hash: Option<Hash>) -> WriteBack {
    let layout = frame.layout();
    let l3 = match layout.l3 {
        L3::Ipv4 { options: false } => WriteBack::IPV4,
        L3::Ipv4 { options: true } => WriteBack::IPV4 | WriteBack::IPV4_OPTIONS,
        L3::Ipv6 { extensions: false } => WriteBack::IPV6,
        L3::Ipv6 { extensions: true } => WriteBack::IPV6 | WriteBack::IPV6_EXTENSIONS,
        L3::None | L3::Arp | L3::Other => 0,
    };
    let l4 = match layout.l4 {
        _ if layout.fragment => 0,
        L4::Tcp => WriteBack::TCP,
        L4::Udp => WriteBack::UDP,
        L4::Sctp => WriteBack::SCTP,
        L4::None | L4::Icmp | L4::Icmpv6 | L4::Other => 0,
    };
    let mut status = WriteBack::DD | WriteBack::EOP;
    // The checksum named by the sender must be that of the outermost headers, which is what the flag speaks of.
    let verified = match (frame.meta().checksum, frame.meta().gso) {
        (_, Some(cut)) => cut.l4_offset == layout.l4_offset,
        (Checksum::Partial { start, .. } | Checksum::PartialCrc32c { start, .. }, None) => {
            start == layout.l4_offset
        }
        (Checksum::Complete, None) => true,
        (Checksum::Unverified, None) => false,
    };
    if verified && l4 != 0 {
        status |= WriteBack::L4CS;
        if l4 == WriteBack::UDP {
            status |= WriteBack::UDPCS;
        }
    }
    if tag.is_some() {
        status |= WriteBack::VP;
    }
    WriteBack {
        rss_type: hash.map_or(0, |h| h.kind),
        packet_type: l3 | l4,
        hash: hash.map_or(0, |h| h.value),
        status,
        length: 0,
        vlan: tag.map_or(0, |t| t.0),
    }
}
