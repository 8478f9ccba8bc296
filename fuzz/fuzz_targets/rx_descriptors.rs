//! Receive rings of any content against valid frames.
//!
//! Whatever the rings say, the device writes into the buffers that are posted in them and into the descriptors that
//! it is done with, and nowhere else. Where buffers lie apart, a frame that is done is found in them as it was
//! sent: with its checksum and its tag, or as segments that make up its payload.

#![no_main]

use std::ops::Range;

use arbitrary::Arbitrary;
use ethernet::VlanTag;
use libfuzzer_sys::fuzz_target;
use port::{Burst, FrameMeta, Put, Spec};
use support::frames::{self, Packet, Transport};
use support::memory::{PAGE, Ram, Window};
use support::vf::{DESCRIPTOR, Ring, Vf};
use vf82599::registers::{
    CONTROL, ENABLE, HEAD, RXDCTL_RLPML_EN, RXDCTL_VME, SRRCTL, TAIL, VFMRQC, VFPSRTYPE, VFRETA, rx,
};

const IOVA: u64 = 0x10_0000;
/// Two pages for rings, the rest for buffers; then a page that the device may not write.
const PAGES: usize = 20;
const QUEUES: u32 = 2;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Buffer {
    /// In a row with the others, none over another one.
    Apart,
    Near(u32),
    Any(u64),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Setup {
    blocks: u8,
    kib: u8,
    split: Option<u32>,
    head: u8,
    strip: bool,
    limit: Option<u16>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Post { queue: bool, buffers: Vec<Buffer> },
    Fill(bool),
    Tail { queue: bool, tail: u8 },
    Enable { queue: bool, on: bool },
    Frame { packet: Packet, mss: Option<u16>, offload: bool, tag: Option<u16>, shown: bool, from: u8 },
    Flush,
}

#[derive(Arbitrary, Debug)]
struct Input {
    setups: [Setup; 2],
    rss: Option<u32>,
    steps: Vec<Step>,
}

/// One queue, as its driver knows it.
struct Queue {
    number: u32,
    size: u32,
    buffer: usize,
    control: u32,
    tail: u32,
}

impl Queue {
    fn block(&self) -> u32 {
        rx(self.number, 0)
    }

    /// Where the ring is in memory.
    fn ring(&self) -> usize {
        self.number as usize * PAGE
    }

    fn descriptor(&self, memory: &[u8], index: u32) -> [u64; 2] {
        let at = self.ring() + index as usize * DESCRIPTOR;
        [at, at + 8].map(|at| memory[at..].first_chunk().copied().map_or(0, u64::from_le_bytes))
    }

    fn post(&mut self, ram: &Ram, buffer: Buffer) {
        // The buffers of each queue have a part of memory, as many of them as fit.
        let places = ((PAGES / 2 - 1) * PAGE / self.buffer.max(1)).max(1);
        let place = 2 * PAGE + self.number as usize * (PAGES / 2 - 1) * PAGE;
        let address = match buffer {
            Buffer::Apart => IOVA + (place + self.tail as usize % places * self.buffer) as u64,
            Buffer::Near(n) => IOVA - PAGE as u64 + u64::from(n) % ((PAGES + 3) * PAGE) as u64,
            Buffer::Any(address) => address,
        };
        let at = self.ring() + self.tail as usize * DESCRIPTOR;
        ram.write(at, &[address.to_le_bytes(), [0; 8]].concat());
        self.tail = (self.tail + 1) % self.size;
    }

    fn distance(&self, from: u32, to: u32) -> u32 {
        (to + self.size - from) % self.size
    }
}

/// What the device may write: the buffers that are posted, and their descriptors.
struct Allowed {
    ranges: Vec<Range<usize>>,
    /// For each byte of memory whether it lies in one of them.
    bytes: Vec<bool>,
}

impl Allowed {
    fn now(vf: &Vf, queues: &[Queue], memory: &[u8]) -> Self {
        let mut ranges = Vec::new();
        for queue in queues {
            let register = |r| vf.state.register(queue.block() + r);
            let (tail, mut at) = (register(TAIL), register(HEAD));
            // A queue that is disabled has nothing, and a tail outside of the ring names nothing.
            let names = register(CONTROL) & ENABLE != 0 && tail < queue.size;
            while names && at != tail && at < queue.size {
                let offset = queue.descriptor(memory, at)[0].wrapping_sub(IOVA);
                let offset = usize::try_from(offset).expect("64 bits");
                ranges.push(offset..offset.saturating_add(queue.buffer));
                let descriptor = queue.ring() + at as usize * DESCRIPTOR;
                ranges.push(descriptor..descriptor + DESCRIPTOR);
                at = (at + 1) % queue.size;
            }
        }
        let mut bytes = vec![false; memory.len()];
        for range in &ranges {
            bytes[range.start.min(memory.len())..range.end.min(memory.len())].fill(true);
        }
        // The last page may not be written, whatever is posted.
        bytes[PAGES * PAGE..].fill(false);
        Self { ranges, bytes }
    }

    /// As well as before.
    fn join(&mut self, other: &Self) {
        self.bytes.iter_mut().zip(&other.bytes).for_each(|(byte, other)| *byte |= other);
    }

    fn check(&self, before: &[u8], after: &[u8]) {
        const CHUNK: usize = 256;
        let chunks = (0..before.len()).step_by(CHUNK).map(|start| start..before.len().min(start + CHUNK));
        for at in chunks.filter(|chunk| before[chunk.clone()] != after[chunk.clone()]).flatten() {
            assert!(before[at] == after[at] || self.bytes[at], "byte {at:#x} was written");
        }
    }

    /// No two of what may be written lie over each other.
    fn are_apart(&self) -> bool {
        let mut ranges = self.ranges.clone();
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.windows(2).all(|pair| pair[0].end <= pair[1].start)
    }
}

/// A frame to be delivered, and what must arrive.
struct Sent {
    burst: Burst,
    whole: Vec<u8>,
    header: usize,
    places: [usize; 2],
    transport: Transport,
}

fn send(
    wire: &Ram,
    domain: &guest_memory::DmaDomain,
    packet: &Packet,
    mss: Option<u16>,
    offload: bool,
) -> Option<Sent> {
    let mut built = packet.build(if mss.is_some() { 12_000 } else { 9000 });
    let whole = built.bytes.clone();
    let gso = mss.and_then(|mss| packet.segmentation(&built, mss));
    let mut meta = FrameMeta { gso, ..FrameMeta::default() };
    if offload {
        meta.checksum = built.leave_checksum(packet.transport);
    }
    wire.write(0, &built.bytes);
    let mut burst = Burst::new();
    burst.begin(domain.view());
    let cut = built.bytes.len() / 3;
    burst.gather(0, cut).expect("the wire's memory");
    burst.gather(cut as u64, built.bytes.len() - cut).expect("the wire's memory");
    // What cannot be cut is its sender's fault, and goes no further.
    burst.commit(&Spec { meta, pad_to: 60, ipv4_checksum_at: None }).ok()?;
    Some(Sent {
        burst,
        whole,
        header: built.header,
        places: [built.l3, built.l4],
        transport: packet.transport,
    })
}

impl Sent {
    /// Compares with the frames found in the buffers.
    fn check(&self, from: u32, tag: Option<u16>, arrived: &[Vec<u8>]) {
        let meta = *self.burst.frame(0).meta();
        let plain = |frame: &Vec<u8>| match tag {
            None => frame.clone(),
            Some(tag) => {
                let (without, found) = frames::untagged(frame).expect("the tag is in the bytes");
                assert_eq!(found, tag);
                without
            }
        };
        let Some(cut) = meta.gso else {
            let mut whole = self.whole.clone();
            whole.resize(whole.len().max(60), 0);
            assert!(arrived.len() == 1 && plain(&arrived[0]) == whole, "the frame is not as it was sent");
            return;
        };
        let [l3, l4] = self.places;
        let mut payload = self.whole[self.header..].chunks(cut.gso.mss.into()).skip(from as usize);
        for segment in arrived.iter().map(plain) {
            let end = frames::check(&segment, l3, l4, self.transport);
            assert_eq!(&segment[self.header..end], payload.next().unwrap_or_default());
        }
        assert!(payload.next().is_none(), "segments are missing");
    }
}

/// The frames in the descriptors that the device is done with since its head was at `from`.
fn received(vf: &Vf, queue: &Queue, from: u32, before: &[u8], after: &[u8]) -> Vec<Vec<u8>> {
    let (mut frames, mut frame, mut at) = (Vec::new(), Vec::new(), from);
    while at != vf.state.register(queue.block() + HEAD) {
        let word = queue.descriptor(after, at)[1];
        let (status, length) = (word & 3, (word >> 32 & 0xffff) as usize);
        assert!(status & 1 == 1 && length > 0 && length <= queue.buffer, "not done: {word:#x}");
        let offset = usize::try_from(queue.descriptor(before, at)[0].wrapping_sub(IOVA)).expect("64 bits");
        frame.extend(&after[offset..offset + length]);
        if status & 2 != 0 {
            frames.push(std::mem::take(&mut frame));
        }
        at = (at + 1) % queue.size;
    }
    assert!(frame.is_empty(), "a frame has no end");
    frames
}

fuzz_target!(|input: Input| {
    let (ram, mut vf) = (Ram::new(PAGES + 1), Vf::default());
    ram.write(0, &vec![0xa5; (PAGES + 1) * PAGE]);
    for (page, pages, writable) in [(0, PAGES, true), (PAGES, 1, false)] {
        let (offset, len) = (page * PAGE, pages * PAGE);
        let window = Window { iova: IOVA + offset as u64, offset, len, readable: true, writable };
        ram.map(&vf.domain, window).expect("nothing else is mapped");
    }
    let (wire, domain) = (Ram::new(4), guest_memory::DmaDomain::new(guest_memory::Limits::default()));
    let all = Window { iova: 0, offset: 0, len: wire.len(), readable: true, writable: false };
    wire.map(&domain, all).expect("nothing else is mapped");
    vf.start();
    let mut queues: Vec<Queue> = Vec::new();
    for (number, setup) in (0..QUEUES).zip(input.setups) {
        let size = 8 * (1 + u32::from(setup.blocks % 32));
        let head = u32::from(setup.head) % size;
        let kib = u32::from(setup.kib % 16) + 1;
        let control = if setup.strip { RXDCTL_VME } else { 0 }
            | setup.limit.map_or(0, |limit| RXDCTL_RLPML_EN | u32::from(limit) & 0x3fff);
        vf.write(rx(number, SRRCTL), setup.split.unwrap_or(1 << 25 | kib));
        let base = IOVA + u64::from(number) * PAGE as u64;
        vf.enable(&Ring { block: rx(number, 0), base, size, head, tail: head, control });
        let buffer = (vf.state.register(rx(number, SRRCTL)) & 0x7f) as usize * 1024;
        let mut queue = Queue { number, size, buffer, control, tail: head };
        // A ring that was in use before: what is no longer posted in it has addresses too.
        (0..size).for_each(|_| queue.post(&ram, Buffer::Apart));
        queues.push(queue);
    }
    if let Some(types) = input.rss {
        vf.write(VFMRQC, types | 1);
        vf.write(VFPSRTYPE, 1 << 29);
        (0..16).for_each(|n| vf.write(VFRETA + 4 * n, 0x0100_0100));
    }
    let mut before = ram.snapshot();
    let mut allowed = Allowed::now(&vf, &queues, &before);
    // Something was put since the last flush.
    let mut pending = false;
    for step in input.steps.into_iter().take(64) {
        if let Step::Post { .. } | Step::Fill(_) = step {
            vf.worker.end_round();
            pending = false;
            allowed.check(&before, &ram.snapshot());
        }
        match step {
            Step::Post { queue, buffers } => {
                let queue = &mut queues[usize::from(queue)];
                for buffer in buffers.into_iter().take(64) {
                    queue.post(&ram, buffer);
                }
                vf.write(queue.block() + TAIL, queue.tail);
                before = ram.snapshot();
            }
            Step::Fill(queue) => {
                let queue = &mut queues[usize::from(queue)];
                let head = vf.state.register(queue.block() + HEAD);
                while queue.distance(head, (queue.tail + 1) % queue.size) != 0 {
                    queue.post(&ram, Buffer::Apart);
                }
                vf.write(queue.block() + TAIL, queue.tail);
                before = ram.snapshot();
            }
            Step::Tail { queue, tail } => vf.write(queues[usize::from(queue)].block() + TAIL, tail.into()),
            Step::Enable { queue, on } => {
                let queue = &queues[usize::from(queue)];
                vf.write(queue.block() + CONTROL, queue.control | if on { ENABLE } else { 0 });
                pending &= on;
            }
            Step::Flush => {
                vf.worker.end_round();
                pending = false;
            }
            Step::Frame { packet, mss, offload, tag, shown, from } => {
                let Some(sent) = send(&wire, &domain, &packet, mss, offload) else { continue };
                let heads = [0, 1].map(|number| vf.state.register(rx(number, HEAD)));
                let frame = sent.burst.frame(0);
                let tag = tag.filter(|_| shown);
                let put = vf.worker.put(&frame, tag.map(VlanTag), from.into());
                if put == Put::Done && from == 0 && !pending && allowed.are_apart() {
                    vf.worker.end_round();
                    let after = ram.snapshot();
                    let arrived = queues.iter().zip(heads).map(|(queue, head)| {
                        let tag = tag.filter(|_| queue.control & RXDCTL_VME == 0);
                        (tag, received(&vf, queue, head, &before, &after))
                    });
                    let (tag, arrived) = arrived.max_by_key(|(_, frames)| frames.len()).expect("two queues");
                    sent.check(from.into(), tag, &arrived);
                } else {
                    pending = true;
                }
            }
        }
        let after = ram.snapshot();
        allowed.check(&before, &after);
        before = after;
        let earlier = std::mem::replace(&mut allowed, Allowed::now(&vf, &queues, &before));
        // What a round was begun with holds to its end.
        if pending {
            allowed.join(&earlier);
        }
    }
});
