//! One ring between the state that the front end set and the guest's memory.

use arrayvec::ArrayVec;
use guest_memory::{Access, Gather, GuestSlice, MemoryView};
use port::Cycles;

use crate::dirty::DirtyLog;
use crate::features::Features;
use crate::notify::Notify;
use crate::ring::{Chain, Cursor, Format, Packed, RingError, RingMemory, Split, Used};
use crate::state::{AdapterState, Position, RingConfig, RingView};

/// Used entries that are kept to be written at once.
const USED: usize = 256;
/// Bytes of a descriptor.
const DESCRIPTOR: usize = 16;

/// A ring of the adapter.
#[derive(Debug)]
pub(crate) struct Virtqueue {
    number: usize,
    state: RingView,
    generation: Option<u32>,
    format: Option<Format>,
    config: RingConfig,
    /// The next chain that the device takes.
    next: Cursor,
    /// Where the round's list of slices has the three parts of the ring.
    mapped: Option<usize>,
    used: ArrayVec<Used, USED>,
    /// Where the driver was asked to kick.
    armed: Option<Cursor>,
    call: Call,
}

/// An interrupt that is due.
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    pending: bool,
    /// No other one before this.
    not_before: Cycles,
}

impl Virtqueue {
    pub(crate) fn new(state: &AdapterState, number: usize) -> Self {
        Self {
            number,
            state: RingView::new(state, number),
            generation: None,
            format: None,
            config: RingConfig::default(),
            next: Cursor::default(),
            mapped: None,
            used: ArrayVec::new(),
            armed: None,
            call: Call::default(),
        }
    }

    /// Opens the ring for this round, its parts being added to `rings`; false if it is not to be used.
    #[inline]
    pub(crate) fn open(&mut self, rings: &mut Gather, features: Features, notify: &dyn Notify) -> bool {
        if self.mapped.is_some() {
            return true;
        }
        if !self.state.is_running() {
            return false;
        }
        match self.map(rings, features) {
            Ok(()) => true,
            Err(error) => {
                self.fail(error, notify);
                false
            }
        }
    }

    fn map(&mut self, rings: &mut Gather, features: Features) -> Result<(), RingError> {
        let config = self.state.config();
        let mut start = None;
        for (address, length, access) in parts(&config, features) {
            match rings.push(address, length, access) {
                Ok(range) if range.len() == 1 => start = start.or(Some(range.start)),
                _ => return Err(RingError::NotMapped),
            }
        }
        self.mapped = start;
        self.config = config;
        let generation = self.state.generation();
        if self.generation != Some(generation)
            && let Some(memory) = self.memory(rings, None)
        {
            self.restart(&memory, features);
            self.generation = Some(generation);
        }
        Ok(())
    }

    /// Goes on where the state says.
    fn restart(&mut self, memory: &RingMemory<'_>, features: Features) {
        let position = self.state.position();
        let format = if features.contains(Features::RING_PACKED) {
            let cursor = Packed::cursor(position.available);
            // Checked when the ring was set up; a state that says otherwise must not lead out of the ring.
            let cursor = Cursor { index: cursor.index % memory.config.size.max(1), ..cursor };
            Format::Packed(Packed::new(memory, features, cursor))
        } else {
            Format::Split(Split::new(memory, features, position.available))
        };
        self.next = format.used();
        self.format = Some(format);
        self.used.clear();
        self.call.pending = false;
        // Whoever ran the ring before may have told the driver not to kick.
        self.armed = None;
        self.arm(memory, self.next);
    }

    /// The ring's memory in this round; `None` if it is not open.
    #[inline]
    pub(crate) fn memory<'a>(&self, rings: &'a Gather, log: Option<&'a DirtyLog>) -> Option<RingMemory<'a>> {
        let start = self.mapped?;
        let [descriptors, driver, device]: &[GuestSlice<'a>; 3] =
            rings.slices(start..start + 3).first_chunk()?;
        let (descriptors, driver, device) = (*descriptors, *driver, *device);
        Some(RingMemory { descriptors, driver, device, config: self.config, log })
    }

    /// The ring is not used any more, from the next round on, until it is set up anew. Said once.
    pub(crate) fn fail(&self, error: RingError, notify: &dyn Notify) {
        if self.state.is_running() {
            self.state.set_broken(error);
            notify.error(self.number);
        }
    }

    /// The next chain to be taken.
    #[inline]
    pub(crate) fn next(&self) -> Cursor {
        self.next
    }

    /// Reads the chain at `at` and moves `at` behind it; false if there is none.
    #[inline]
    pub(crate) fn chain(
        &mut self,
        memory: &RingMemory<'_>,
        view: &MemoryView,
        at: &mut Cursor,
        chain: &mut Chain,
    ) -> Result<bool, RingError> {
        match &mut self.format {
            Some(format) => format.chain(memory, view, self.next, at, chain),
            None => Ok(false),
        }
    }

    /// As [`Format::prefetch`].
    #[inline]
    pub(crate) fn prefetch(
        &self,
        memory: &RingMemory<'_>,
        view: &MemoryView,
        at: Cursor,
        skip: usize,
        access: Access,
    ) {
        if let Some(format) = &self.format {
            format.prefetch(memory, view, at, skip, access);
        }
    }

    /// Gives chains back, which are the next ones; shown to the driver at the flush, or before if there are many.
    #[inline]
    pub(crate) fn give_back(&mut self, memory: &RingMemory<'_>, used: Used) {
        if self.used.is_full() {
            self.publish(memory);
        }
        if let Some(format) = &self.format {
            self.next = format.after(self.next, used.slots);
            self.used.push(used);
        }
    }

    fn publish(&mut self, memory: &RingMemory<'_>) {
        if self.used.is_empty() {
            return;
        }
        let Some(format) = &mut self.format else { return };
        format.report(memory, &self.used);
        self.used.clear();
        self.call.pending |= format.needs_call(memory);
        let position = match format {
            Format::Split(_) => Position { available: self.next.index, used: self.next.index },
            Format::Packed(_) => {
                Position { available: Packed::bits(self.next), used: Packed::bits(self.next) }
            }
        };
        self.state.set_position(position);
    }

    /// Asks the driver to kick for what it makes available at `at`. What was there before is for the device to find.
    pub(crate) fn arm(&mut self, memory: &RingMemory<'_>, at: Cursor) {
        if self.armed != Some(at)
            && let Some(format) = &mut self.format
        {
            format.arm(memory, at);
            self.armed = Some(at);
        }
    }

    /// Tells the driver not to kick, as long as the ring is looked at.
    #[inline]
    pub(crate) fn disarm(&mut self, memory: &RingMemory<'_>) {
        if self.armed.take().is_some()
            && let Some(format) = &mut self.format
        {
            format.disarm(memory);
        }
    }

    /// True if a look at `at` in the ring, which is open, would find something.
    #[inline]
    pub(crate) fn is_waiting(&self, memory: &RingMemory<'_>, at: Cursor) -> bool {
        self.format.as_ref().is_some_and(|format| format.is_waiting(memory, at))
    }

    /// As [`Virtqueue::is_waiting`], of a ring that is not open. One that was never looked at counts as well.
    pub(crate) fn is_waiting_closed(&self, view: &MemoryView, features: Features, at: Cursor) -> bool {
        if !self.state.is_running() {
            return false;
        }
        if self.generation != Some(self.state.generation()) {
            return true;
        }
        let [descriptors, driver, device] = parts(&self.config, features)
            .map(|(address, length, access)| view.slice(address, length, access).ok());
        let (Some(descriptors), Some(driver), Some(device)) = (descriptors, driver, device) else {
            return true;
        };
        let memory = RingMemory { descriptors, driver, device, config: self.config, log: None };
        self.is_waiting(&memory, at)
    }

    /// Shows the driver what was given back, and forgets the round's memory.
    pub(crate) fn end_round(&mut self, rings: &Gather, log: Option<&DirtyLog>) {
        if let Some(memory) = self.memory(rings, log) {
            self.publish(&memory);
        }
        self.mapped = None;
    }

    /// Interrupts the driver if that is due, at most once in `interval` cycles.
    #[inline]
    pub(crate) fn call(&mut self, notify: &dyn Notify, interval: Cycles, now: Cycles) {
        if self.call.pending && now >= self.call.not_before {
            self.call = Call { pending: false, not_before: now.saturating_add(interval) };
            notify.call(self.number);
        }
    }

    /// When [`Virtqueue::call`] is due.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Cycles> {
        self.call.pending.then_some(self.call.not_before)
    }

    /// Pieces of the frame at the next chain that were delivered already.
    #[inline]
    pub(crate) fn resume(&self) -> u32 {
        self.state.resume()
    }

    #[inline]
    pub(crate) fn set_resume(&self, pieces: u32) {
        self.state.set_resume(pieces);
    }
}

/// Addresses and lengths of the parts of a ring, and what the device does with them.
fn parts(config: &RingConfig, features: Features) -> [(u64, usize, Access); 3] {
    let table = DESCRIPTOR * usize::from(config.size);
    let packed = features.contains(Features::RING_PACKED);
    let (driver, device) = if packed { Packed::bytes() } else { Split::bytes(config.size, features) };
    [
        (config.descriptors, table, if packed { Access::ReadWrite } else { Access::Read }),
        (config.driver, driver, Access::Read),
        (config.device, device, Access::ReadWrite),
    ]
}
