//! The driver's half of a virtqueue, written slowly from the specification; it knows none of the code under test.
#![expect(clippy::cast_possible_truncation, reason = "numbers of the tests are small, or meant to be cut")]

use std::collections::VecDeque;
use std::sync::atomic::{Ordering, fence};

use guest_memory::{Access, MemoryView};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAILABLE: u16 = 1 << 7;
const USED: u16 = 1 << 15;
/// Entries of each indirect table.
const TABLE: u64 = 16;
/// Most descriptors of a ring.
pub(crate) const MAX_SIZE: u16 = 1024;
/// Bytes of guest memory that a ring takes, its indirect tables included.
pub(crate) const RING_BYTES: u64 = 0x8000 + MAX_SIZE as u64 * TABLE * 16;

/// What was negotiated, as far as rings are concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) packed: bool,
    pub(crate) event_idx: bool,
    pub(crate) in_order: bool,
    pub(crate) indirect: bool,
}

/// A buffer: address and length.
pub(crate) type Buffer = (u64, u32);

/// A virtqueue as the driver sees it.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) kind: Kind,
    pub(crate) size: u16,
    /// Descriptors, driver area, device area.
    pub(crate) parts: [u64; 3],
    tables: u64,
    /// Split: descriptors; packed: buffer ids.
    free: VecDeque<u16>,
    /// Packed: places in the ring.
    room: u16,
    /// By id: descriptors (split) or number of places (packed).
    chains: Vec<Vec<u16>>,
    outstanding: VecDeque<u16>,
    pub(crate) available: u16,
    available_wrap: bool,
    used: u16,
    used_wrap: bool,
}

impl Driver {
    /// A ring of `size` descriptors at `base` that starts at number `start`, on both sides.
    pub(crate) fn new(kind: Kind, base: u64, size: u16, start: u16) -> Self {
        let (index, wrap) = if kind.packed { (start & 0x7fff, start & 0x8000 != 0) } else { (start, false) };
        Self {
            kind,
            size,
            parts: [base, base + 0x4000, base + 0x5000],
            tables: base + 0x8000,
            free: (0..size).collect(),
            room: size,
            chains: vec![vec![]; usize::from(size)],
            outstanding: VecDeque::new(),
            available: index,
            available_wrap: wrap,
            used: index,
            used_wrap: wrap,
        }
    }

    /// Chains that the device has not given back.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The id of the chain that is made available next.
    pub(crate) fn next_id(&self) -> Option<u16> {
        self.free.front().copied()
    }

    /// Makes a chain available; its id, or `None` without room for it.
    pub(crate) fn add(&mut self, view: &MemoryView, readable: &[Buffer], writable: &[Buffer]) -> Option<u16> {
        let read = readable.iter().map(|buffer| (*buffer, 0));
        let mut all: Vec<(Buffer, u16)> =
            read.chain(writable.iter().map(|buffer| (*buffer, WRITE))).collect();
        let id = *self.free.front()?;
        if self.kind.indirect && all.len() > 1 && all.len() <= TABLE as usize {
            let table = self.tables + u64::from(id) * TABLE * 16;
            for (n, ((address, length), flags)) in all.iter().enumerate() {
                let more = if n + 1 < all.len() && !self.kind.packed { NEXT } else { 0 };
                let (third, fourth) =
                    if self.kind.packed { (0, *flags) } else { (flags | more, n as u16 + 1) };
                write(view, table + n as u64 * 16, *address, *length, third, fourth);
            }
            all = vec![((table, all.len() as u32 * 16), INDIRECT)];
        }
        if self.kind.packed { self.add_packed(view, &all) } else { self.add_split(view, &all) }
    }

    fn add_split(&mut self, view: &MemoryView, all: &[(Buffer, u16)]) -> Option<u16> {
        if self.free.len() < all.len() {
            return None;
        }
        let chain: Vec<u16> = self.free.drain(..all.len()).collect();
        for (n, ((address, length), flags)) in all.iter().enumerate() {
            let successor = chain.get(n + 1);
            let more = if successor.is_some() { NEXT } else { 0 };
            let at = self.parts[0] + u64::from(chain[n]) * 16;
            write(view, at, *address, *length, flags | more, successor.copied().unwrap_or(0));
        }
        let head = chain[0];
        self.chains[usize::from(head)] = chain;
        self.outstanding.push_back(head);
        self.set_available(view, self.available, head);
        self.available = self.available.wrapping_add(1);
        self.set_index(view, self.available);
        Some(head)
    }

    /// Split: writes entry number `index` of the available ring.
    pub(crate) fn set_available(&self, view: &MemoryView, index: u16, head: u16) {
        let at = self.parts[1] + 4 + 2 * u64::from(index % self.size);
        view.write_bytes(at, &head.to_le_bytes()).unwrap();
    }

    /// Split: writes the available index.
    pub(crate) fn set_index(&self, view: &MemoryView, index: u16) {
        fence(Ordering::Release);
        view.slice(self.parts[1] + 2, 2, Access::Write).unwrap().write(0, &index.to_le_bytes()).unwrap();
    }

    fn add_packed(&mut self, view: &MemoryView, all: &[(Buffer, u16)]) -> Option<u16> {
        if usize::from(self.room) < all.len() {
            return None;
        }
        let id = self.free.pop_front()?;
        let (mut at, mut wrap) = (self.available, self.available_wrap);
        let mut first = None;
        for (n, ((address, length), flags)) in all.iter().enumerate() {
            let more = if n + 1 < all.len() { NEXT } else { 0 };
            let flags = flags | more | if wrap { AVAILABLE } else { USED };
            let place = self.parts[0] + u64::from(at) * 16;
            view.write_bytes(place, &address.to_le_bytes()).unwrap();
            let word = u64::from(*length) | u64::from(id) << 32 | u64::from(flags) << 48;
            if first.is_none() {
                first = Some((place, word));
            } else {
                view.write_bytes(place + 8, &word.to_le_bytes()).unwrap();
            }
            at += 1;
            if at == self.size {
                (at, wrap) = (0, !wrap);
            }
        }
        let (place, word) = first?;
        view.slice(place, 16, Access::Write).unwrap().store_u64_release(8, word).unwrap();
        (self.available, self.available_wrap) = (at, wrap);
        self.room -= all.len() as u16;
        self.chains[usize::from(id)] = vec![0; all.len()];
        self.outstanding.push_back(id);
        Some(id)
    }

    /// Takes what the device has given back since the last call: ids and lengths.
    pub(crate) fn take(&mut self, view: &MemoryView) -> Vec<(u16, u32)> {
        let mut taken = vec![];
        while let Some((id, length)) = self.peek(view) {
            let ids: Vec<u16> = if self.kind.in_order {
                // One entry stands for all up to this id.
                let last = self.outstanding.iter().position(|one| *one == id).expect("it was made available");
                self.outstanding.drain(..=last).collect()
            } else {
                let at = self.outstanding.iter().position(|one| *one == id).expect("it was made available");
                self.outstanding.remove(at).into_iter().collect()
            };
            for one in ids {
                let chain = std::mem::take(&mut self.chains[usize::from(one)]);
                self.advance(chain.len() as u16);
                if self.kind.packed {
                    self.free.push_back(one);
                } else {
                    self.free.extend(chain);
                }
                taken.push((one, if one == id { length } else { 0 }));
            }
        }
        taken
    }

    fn advance(&mut self, slots: u16) {
        if !self.kind.packed {
            self.used = self.used.wrapping_add(1);
            return;
        }
        self.room += slots;
        self.used += slots;
        if self.used >= self.size {
            self.used -= self.size;
            self.used_wrap = !self.used_wrap;
        }
    }

    /// The next used entry, if there is one.
    fn peek(&self, view: &MemoryView) -> Option<(u16, u32)> {
        if self.kind.packed {
            let place = self.parts[0] + u64::from(self.used) * 16;
            let word = view.slice(place, 16, Access::Read).unwrap().load_u64_acquire(8).unwrap();
            let flags = (word >> 48) as u16;
            let done = (flags & AVAILABLE != 0) == self.used_wrap && (flags & USED != 0) == self.used_wrap;
            return done.then_some(((word >> 32) as u16, word as u32));
        }
        if self.used_index(view) == self.used {
            return None;
        }
        fence(Ordering::Acquire);
        let place = self.parts[2] + 4 + 8 * u64::from(self.used % self.size);
        let [id, length] = view.read_obj::<[u32; 2]>(place).unwrap();
        Some((id as u16, length))
    }

    /// Split: the index of the used ring.
    pub(crate) fn used_index(&self, view: &MemoryView) -> u16 {
        view.read_obj::<u16>(self.parts[2] + 2).unwrap()
    }

    /// Asks for an interrupt when the next chain is given back, or for none.
    pub(crate) fn want_call(&self, view: &MemoryView, wanted: bool) {
        match (self.kind.packed, self.kind.event_idx) {
            (false, true) => {
                let event = if wanted { self.used } else { self.used.wrapping_sub(1) };
                let at = self.parts[1] + 4 + 2 * u64::from(self.size);
                view.write_bytes(at, &event.to_le_bytes()).unwrap();
            }
            (false, false) => {
                view.write_bytes(self.parts[1], &u16::from(!wanted).to_le_bytes()).unwrap();
            }
            (true, true) if wanted => {
                let place = self.used | if self.used_wrap { 0x8000 } else { 0 };
                view.write_bytes(self.parts[1], &(u32::from(place) | 2 << 16).to_le_bytes()).unwrap();
            }
            (true, _) => {
                view.write_bytes(self.parts[1], &(u32::from(!wanted) << 16).to_le_bytes()).unwrap();
            }
        }
        fence(Ordering::SeqCst);
    }

    /// Whether the driver has to kick after it made available what stands between `old` and now (split only for event
    /// indices).
    pub(crate) fn must_kick(&self, view: &MemoryView, old: u16) -> bool {
        fence(Ordering::SeqCst);
        let first = view.read_obj::<u32>(self.parts[2]).unwrap();
        match (self.kind.packed, self.kind.event_idx) {
            (false, false) => first & 1 == 0,
            (false, true) => {
                let at = self.parts[2] + 4 + 8 * u64::from(self.size);
                let event = view.read_obj::<u16>(at).unwrap();
                self.available.wrapping_sub(event).wrapping_sub(1) < self.available.wrapping_sub(old)
            }
            (true, _) => match first >> 16 {
                0 => true,
                2 => {
                    // Only for one chain of one descriptor at a time.
                    let (event, wrap) = (first as u16 & 0x7fff, first & 0x8000 != 0);
                    let last = if self.available == 0 { self.size - 1 } else { self.available - 1 };
                    event == last && wrap == (self.available_wrap ^ (self.available == 0))
                }
                _ => false,
            },
        }
    }
}

fn write(view: &MemoryView, at: u64, address: u64, length: u32, third: u16, fourth: u16) {
    let word = u64::from(length) | u64::from(third) << 32 | u64::from(fourth) << 48;
    view.write_bytes(at, &address.to_le_bytes()).unwrap();
    view.write_bytes(at + 8, &word.to_le_bytes()).unwrap();
}
