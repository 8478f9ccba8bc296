//! What a guest does with the rings of its synthetic adapter, whatever it is, and what then must hold.
//!
//! - A round writes nothing but the device's part of a ring, and buffers that stand in the receive ring for it to write.
//!   It never writes where it may not.
//! - It takes no more from a ring than the ring holds, and its position stays inside.
//! - Chains of a split transmit ring come back once each, in their order, with their own number.
//! - A ring that makes no sense is broken: that is said once, and then it is not touched until it is set up anew.
//! - Each ring has one interrupt a round at most.

use std::ops::Range;

use arbitrary::Arbitrary;
use port::{BURST, Port};
use virtio_net::{Features, Position, RingConfig};

use crate::memory::PAGE;
use crate::synthetic::{Adapter, READ_ONLY, RINGS, WRITABLE};

const DESCRIPTOR: usize = 16;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAILABLE: u16 = 1 << 7;
const USED: u16 = 1 << 15;
/// Where the parts of ring number `n` are: in the pages from 4 n on.
const RING_PAGES: usize = 4;
/// Where indirect tables are.
const TABLES: usize = 8 * PAGE;
/// Frames that a round may look at and drop besides those that it brings.
const MAX_CHAINS: u16 = 64;
/// Bytes of an indirect table that are looked at.
const MAX_TABLE: usize = 128 * DESCRIPTOR;

/// Where a buffer is.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Place {
    /// Apart from all rings.
    Apart(u16),
    /// Anywhere where the device may write, rings included.
    Any(u32),
    ReadOnly(u8),
    Nowhere(u64),
}

impl Place {
    fn address(self) -> u64 {
        match self {
            Self::Apart(at) => 10 * PAGE as u64 + u64::from(at) % (13 * PAGE as u64),
            Self::Any(at) => u64::from(at) % WRITABLE as u64,
            Self::ReadOnly(at) => READ_ONLY + 16 * u64::from(at),
            Self::Nowhere(at) => at,
        }
    }
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Buffer {
    place: Place,
    length: u16,
    write: bool,
}

#[derive(Arbitrary, Clone, Debug)]
enum Step {
    /// A well-formed chain, in its own ring's direction unless `any`.
    Chain {
        transmit: bool,
        any: bool,
        indirect: bool,
        buffers: [Buffer; 3],
        count: u8,
    },
    /// A descriptor of any content.
    Descriptor {
        transmit: bool,
        index: u16,
        address: Place,
        length: u32,
        fields: [u16; 2],
    },
    /// Bytes anywhere.
    Write {
        at: u32,
        bytes: [u8; 8],
    },
    /// Split: the available index goes on.
    Available {
        transmit: bool,
        by: u16,
    },
    /// The worker fetches, and gives some of it back or delivers it to the adapter itself.
    Round {
        loop_back: bool,
        consumed: u8,
        pieces: bool,
    },
    Doorbells(bool),
    Link(bool),
    Restart,
    /// The ring starts anew, where it was or elsewhere.
    Start {
        transmit: bool,
        at: Option<u16>,
        size: u16,
    },
}

/// A guest's doings.
#[derive(Arbitrary, Clone, Debug)]
pub struct Script {
    features: u8,
    sizes: [u8; 2],
    start: u16,
    steps: Vec<Step>,
}

/// What the guest knows of a ring.
#[derive(Clone, Copy, Debug)]
struct Ring {
    number: usize,
    size: u16,
    /// Where the next chain goes; packed: with the wrap counter in bit 15.
    next: u16,
    descriptors: usize,
    driver: usize,
    device: usize,
}

struct Guest {
    adapter: Adapter,
    packed: bool,
    features: Features,
    rings: [Ring; 2],
}

impl Script {
    /// Carries it out.
    ///
    /// # Panics
    /// If something of the above does not hold.
    pub fn run(&self, packed: bool) {
        let mut features = Features::VERSION_1;
        features.set(Features::RING_PACKED, packed);
        let optional = [
            Features::INDIRECT_DESC,
            Features::EVENT_IDX,
            Features::IN_ORDER,
            Features::MRG_RXBUF,
            Features::CSUM | Features::HOST_TSO4,
        ];
        for (bit, feature) in optional.into_iter().enumerate() {
            features.set(feature, self.features >> bit & 1 == 1);
        }
        let rings = RINGS.map(|number| Ring {
            number,
            size: 1,
            next: 0,
            descriptors: number * RING_PAGES * PAGE,
            driver: (number * RING_PAGES + 1) * PAGE,
            device: (number * RING_PAGES + 2) * PAGE,
        });
        let mut guest = Guest { adapter: Adapter::new(features), packed, features, rings };
        for (ring, size) in RINGS.into_iter().zip(self.sizes) {
            let size = if packed { u16::from(size) + 1 } else { 1 << (size % 9) };
            guest.start(ring, self.start, size);
        }
        for step in &self.steps {
            guest.step(step);
        }
        guest.round(Adapter::fetch);
    }
}

impl Guest {
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Chain { transmit, any, indirect, buffers, count } => {
                let buffers = &buffers[..1 + usize::from(count) % buffers.len()];
                self.chain(transmit.into(), any, indirect, buffers);
            }
            Step::Descriptor { transmit, index, address, length, fields } => {
                let ring = self.rings[usize::from(transmit)];
                let at = ring.descriptors + usize::from(index % ring.size) * DESCRIPTOR;
                self.descriptor(at, address.address(), length, fields);
            }
            Step::Write { at, bytes } => self.adapter.ram.write(at as usize % WRITABLE, &bytes),
            Step::Available { transmit, by } => {
                let ring = &mut self.rings[usize::from(transmit)];
                if !self.packed {
                    ring.next = ring.next.wrapping_add(by);
                    self.adapter.ram.write(ring.driver + 2, &ring.next.to_le_bytes());
                }
            }
            Step::Round { loop_back, consumed, pieces } => self.round(|adapter| {
                adapter.fetch();
                assert!(adapter.burst.len() <= BURST);
                if loop_back {
                    adapter.loop_back();
                } else {
                    let frames = usize::from(consumed) % (adapter.burst.len() + 1);
                    let pieces = u32::from(pieces && frames < adapter.burst.len());
                    adapter.complete(port::Consumed { frames, pieces });
                }
            }),
            Step::Doorbells(wanted) => self.adapter.queues.ask_for_doorbells(wanted),
            Step::Link(up) => self.adapter.state.set_link_up(up),
            Step::Restart => self.adapter.restart(),
            Step::Start { transmit, at, size } => {
                let ring = usize::from(transmit);
                self.adapter.state.stop_ring(ring);
                let here = self.adapter.state.position(ring).expect("the ring is there").available;
                let size = if self.packed { size % 257 } else { 1 << (size % 9) };
                self.start(ring, at.unwrap_or(here), size);
            }
        }
    }

    fn start(&mut self, ring: usize, at: u16, size: u16) {
        let ring = &mut self.rings[ring];
        let at = if self.packed && size > 0 { at & 0x8000 | ((at & 0x7fff) % size) } else { at };
        let [descriptors, driver, device] =
            [ring.descriptors, ring.driver, ring.device].map(|part| part as u64);
        let config = RingConfig { size, descriptors, driver, device };
        let started = self.adapter.start(ring.number, config, Position { available: at, used: at });
        assert_eq!(started, size > 0, "{size} descriptors at {at:#x}");
        if !started {
            return;
        }
        ring.size = size;
        ring.next = at;
        if self.packed {
            self.adapter.ram.write(ring.descriptors, &vec![0; usize::from(size) * DESCRIPTOR]);
            if at & 0x8000 == 0 {
                // Descriptors of the lap before: used, by the other counter.
                for index in 0..usize::from(size) {
                    let flags = (AVAILABLE | USED).to_le_bytes();
                    self.adapter.ram.write(ring.descriptors + index * DESCRIPTOR + 14, &flags);
                }
            }
        } else {
            self.adapter.ram.write(ring.driver + 2, &at.to_le_bytes());
            self.adapter.ram.write(ring.device + 2, &at.to_le_bytes());
        }
    }

    fn descriptor(&self, at: usize, address: u64, length: u32, [third, fourth]: [u16; 2]) {
        let mut bytes = [0; DESCRIPTOR];
        bytes[..8].copy_from_slice(&address.to_le_bytes());
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        bytes[12..14].copy_from_slice(&third.to_le_bytes());
        bytes[14..].copy_from_slice(&fourth.to_le_bytes());
        self.adapter.ram.write(at, &bytes);
    }

    /// Makes a chain available: in a split ring it stands from the descriptor on whose number is the chain's.
    fn chain(&mut self, ring: usize, any: bool, indirect: bool, buffers: &[Buffer]) {
        let Ring { number, size, next, descriptors, driver, .. } = self.rings[ring];
        if buffers.len() > usize::from(size) {
            return;
        }
        let count = u16::try_from(buffers.len()).expect("a chain is short");
        let direction =
            |buffer: &Buffer| if if any { buffer.write } else { number == 0 } { WRITE } else { 0 };
        let first = if self.packed { next & 0x7fff } else { next % size };
        let table = TABLES + (usize::from(first) % 64) * 4 * DESCRIPTOR;
        let mut at = (first, next & 0x8000 != 0);
        for (n, buffer) in (0..count).zip(buffers) {
            let more = if n + 1 < count { NEXT } else { 0 };
            let (address, length) = (buffer.place.address(), u32::from(buffer.length) % 2048);
            if indirect {
                let fields =
                    if self.packed { [0, direction(buffer)] } else { [direction(buffer) | more, n + 1] };
                self.descriptor(table + usize::from(n) * DESCRIPTOR, address, length, fields);
            } else {
                self.link(descriptors, &mut at, size, address, length, direction(buffer) | more, first);
            }
        }
        if indirect {
            let length = 16 * u32::from(count);
            self.link(descriptors, &mut at, size, table as u64, length, INDIRECT, first);
        }
        if self.packed {
            self.rings[ring].next = at.0 | u16::from(at.1) << 15;
        } else {
            self.adapter.ram.write(driver + 4 + 2 * usize::from(next % size), &first.to_le_bytes());
            self.rings[ring].next = next.wrapping_add(1);
            self.adapter.ram.write(driver + 2, &self.rings[ring].next.to_le_bytes());
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a descriptor")]
    fn link(
        &self,
        descriptors: usize,
        at: &mut (u16, bool),
        size: u16,
        address: u64,
        length: u32,
        flags: u16,
        id: u16,
    ) {
        let (index, wrap) = *at;
        let following = (index + 1) % size;
        let fields =
            if self.packed { [id, flags | if wrap { AVAILABLE } else { USED }] } else { [flags, following] };
        self.descriptor(descriptors + usize::from(index) * DESCRIPTOR, address, length, fields);
        *at = (following, wrap ^ (following == 0));
    }

    /// The parts of a ring that are the device's.
    fn device_parts(&self, ring: &Ring) -> [Range<usize>; 2] {
        let size = usize::from(ring.size);
        if self.packed {
            [ring.descriptors..ring.descriptors + size * DESCRIPTOR, ring.device..ring.device + 4]
        } else {
            [ring.device..ring.device + 4 + 8 * size + 2, 0..0]
        }
    }

    /// Buffers of the receive ring that the device may write, as far as memory says so now.
    fn writable(&self, memory: &[u8]) -> Vec<Range<usize>> {
        let ring = &self.rings[0];
        let all = ring.descriptors..ring.descriptors + usize::from(ring.size) * DESCRIPTOR;
        let (mut found, mut tables) = (Vec::new(), Vec::new());
        for (place, flags) in self.entries(memory, all) {
            if flags & INDIRECT != 0 {
                tables.push(place);
            } else if flags & WRITE != 0 {
                found.push(place);
            }
        }
        for table in tables {
            let table = table.start..table.end.min(table.start + MAX_TABLE);
            let entries = self.entries(memory, table).filter(|(_, flags)| flags & WRITE != 0);
            found.extend(entries.map(|(place, _)| place));
        }
        found
    }

    /// What the descriptors of a table describe, as far as it lies where the device may write, and their flags.
    fn entries<'m>(
        &self,
        memory: &'m [u8],
        table: Range<usize>,
    ) -> impl Iterator<Item = (Range<usize>, u16)> + 'm {
        let packed = self.packed;
        let descriptors = memory.get(table).unwrap_or_default().as_chunks::<DESCRIPTOR>().0;
        descriptors.iter().filter_map(move |[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]| {
            let start = u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            let length = u32::from_le_bytes([*i, *j, *k, *l]) as usize;
            let flags = u16::from_le_bytes(if packed { [*o, *p] } else { [*m, *n] });
            let start = usize::try_from(start).ok().filter(|start| *start < WRITABLE)?;
            Some((start..start.saturating_add(length).min(WRITABLE), flags))
        })
    }

    /// A round of the worker.
    fn round(&mut self, work: impl FnOnce(&mut Adapter)) {
        self.adapter.end_round();
        let before = self.adapter.ram.snapshot();
        let counts = RINGS.map(|ring| (self.adapter.counts.calls(ring), self.adapter.counts.errors(ring)));
        let broken = RINGS.map(|ring| self.adapter.state.broken(ring).is_some());
        let used = RINGS.map(|ring| self.used(ring, &before));
        work(&mut self.adapter);
        self.adapter.end_round();
        let after = self.adapter.ram.snapshot();
        for ring in RINGS {
            let (calls, errors) = counts[ring];
            assert!(self.adapter.counts.calls(ring) - calls <= 1, "interrupts of ring {ring}");
            let breaks = u32::from(!broken[ring] && self.adapter.state.broken(ring).is_some());
            assert_eq!(self.adapter.counts.errors(ring) - errors, breaks, "errors of ring {ring}");
        }
        let buffers = self.writable(&before);
        let parts: Vec<_> = self.rings.iter().flat_map(|ring| self.device_parts(ring)).collect();
        // Where a guest lets the device write over rings and tables, what the device reads is not what was there before.
        let meets = |one: &Range<usize>, other: &Range<usize>| one.start < other.end && other.start < one.end;
        if buffers.iter().any(|buffer| meets(buffer, &(0..TABLES + 2 * PAGE))) {
            assert_eq!(before[WRITABLE..], after[WRITABLE..], "written where it may not");
            return;
        }
        let mut allowed = before;
        for range in parts.iter().chain(&buffers).filter(|range| range.end <= WRITABLE) {
            allowed[range.clone()].copy_from_slice(&after[range.clone()]);
        }
        if allowed != after {
            let at = (0..after.len()).find(|at| allowed[*at] != after[*at]);
            panic!("byte {at:x?} was written, which is neither the device's nor a buffer's");
        }
        for ring in RINGS {
            let done = self.used(ring, &after).wrapping_sub(used[ring]);
            if broken[ring] {
                assert_eq!(done, 0, "broken ring {ring} was used");
            }
            self.check_used(ring, used[ring], done, &after);
        }
    }

    /// How far the device is in a ring.
    fn used(&self, ring: usize, memory: &[u8]) -> u16 {
        let at = self.rings[ring].device + 2;
        if self.packed {
            self.adapter.state.position(ring).expect("the ring is there").available
        } else {
            u16::from_le_bytes([memory[at], memory[at + 1]])
        }
    }

    fn check_used(&self, number: usize, from: u16, done: u16, memory: &[u8]) {
        let ring = &self.rings[number];
        if self.packed {
            assert!(self.used(number, memory) & 0x7fff < ring.size, "ring {number} was left");
            return;
        }
        let in_order = self.features.contains(Features::IN_ORDER);
        // Its index in memory is the guest's to overwrite; then nothing can be said of it.
        if number == 0 || in_order || done == 0 || self.adapter.state.broken(number).is_some() {
            return;
        }
        let position = self.adapter.state.position(number).expect("the ring is there").available;
        if position != from.wrapping_add(done) {
            return;
        }
        assert!(done <= ring.size.max(MAX_CHAINS), "{done} chains in a round");
        for n in (0..done).rev().take(usize::from(ring.size)) {
            let index = usize::from(from.wrapping_add(n) % ring.size);
            let (entry, head) = (ring.device + 4 + 8 * index, ring.driver + 4 + 2 * index);
            assert_eq!(memory[entry..entry + 2], memory[head..head + 2], "chain {n} of {done}");
            assert_eq!(memory[entry + 2..entry + 8], [0; 6], "nothing is written to a chain that is sent");
        }
    }
}
