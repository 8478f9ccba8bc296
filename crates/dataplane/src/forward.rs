//! One burst: decide, put, complete.

use nic_switch::DropReason;
use port::{Burst, Consumed, Cycles, Frame, Put, Refusal};
use sys::clock;

use crate::place::Place;
use crate::route::{Crossing, Lost, Outcome, Target};
use crate::worker::{Slot, Worker};

/// What became of one frame.
pub(crate) enum Fate {
    /// It is done with.
    Done,
    /// It is done with: no port stands where it was to go.
    Nowhere,
    /// Its receiver has no room, and it waits: `pieces` of it were delivered.
    Held { pieces: u32 },
}

impl Worker {
    /// Forwards the frames of `burst`, which port `from` sent; the number of those that are done with. The first of
    /// them may have waited for room already: `was_held`.
    pub(crate) fn forward(&mut self, from: usize, burst: &Burst, was_held: bool, now: Cycles) -> u64 {
        if self.taps.is_empty() {
            self.forward_burst::<false>(from, burst, was_held, now)
        } else {
            self.forward_burst::<true>(from, burst, was_held, now)
        }
    }

    fn forward_burst<const WATCHED: bool>(
        &mut self,
        from: usize,
        burst: &Burst,
        was_held: bool,
        now: Cycles,
    ) -> u64 {
        let mut consumed = Consumed { frames: 0, pieces: 0 };
        let Some(Some(slot)) = self.slots.get(from) else { return 0 };
        let mut resume = slot.port.resume();
        while consumed.frames < burst.len() {
            let first = consumed.frames;
            let decided = self.decide::<WATCHED>(from, burst, first, now);
            if decided == 0 {
                self.rest(from, now);
                break;
            }
            for index in first..first + decided {
                let frame = burst.frame(index);
                match self.one::<WATCHED>(from, index - first, &frame, std::mem::take(&mut resume), now) {
                    Fate::Done | Fate::Nowhere => consumed.frames += 1,
                    Fate::Held { pieces } => {
                        consumed.pieces = pieces;
                        self.router.take_back(index - first);
                        self.count_excluded();
                        return self.complete(from, burst, consumed, was_held, now);
                    }
                }
            }
            self.count_excluded();
        }
        self.complete(from, burst, consumed, was_held, now)
    }

    /// Forwards a frame of softiov's own as if port `from` had sent it. It waits for nobody.
    pub(crate) fn send_as(&mut self, from: usize, frame: &[u8], burst: &mut Burst) {
        burst.clear();
        let now = clock::tsc();
        if burst.insert(frame).is_ok()
            && self.slots.get(from).is_some_and(Option::is_some)
            && self.decide::<true>(from, burst, 0, now) == 1
        {
            if let Fate::Held { .. } = self.one::<true>(from, 0, &burst.frame(0), 0, now) {
                self.held.remove(from);
            }
            self.count_excluded();
        }
        burst.clear();
    }

    fn complete(
        &mut self,
        from: usize,
        burst: &Burst,
        consumed: Consumed,
        was_held: bool,
        now: Cycles,
    ) -> u64 {
        let held = self.held.contains(from);
        let Some(Some(slot)) = self.slots.get_mut(from) else { return 0 };
        if held && !(was_held && consumed.frames == 0) {
            slot.counters.held.add(1);
        }
        slot.port.complete(burst, consumed, now);
        consumed.frames as u64
    }

    /// Port `from` has sent all that its maximum bandwidth allows for now.
    fn rest(&mut self, from: usize, now: Cycles) {
        let Place::Nic(nic) = self.extent.place(from) else { return };
        let until = self.router.rests_until(self.snapshot.load(), nic, now);
        if let Some(Some(slot)) = self.slots.get_mut(from) {
            slot.held_until = Some(until.unwrap_or(now));
            self.held.insert(from);
        }
    }

    /// Decides frames of `burst`, from number `first` on, all by one state of the switches; the number of those that
    /// were decided: none if the first has to wait for bandwidth. Before the first of them is put: the stores of a put
    /// take long, since they go to memory that the guest has in its cache, and decisions in between would wait for them.
    fn decide<const WATCHED: bool>(
        &mut self,
        from: usize,
        burst: &Burst,
        first: usize,
        now: Cycles,
    ) -> usize {
        let at = self.snapshot.load();
        let from = at.extent.place(from);
        self.decisions.clear();
        self.router.begin(at, from);
        for index in first..burst.len() {
            if !self.router.has_room() {
                break;
            }
            let decision = self.router.decide::<WATCHED>(at, from, &burst.frame(index), now);
            if matches!(decision.outcome, Outcome::Drop(Lost::Switch(vswitch::DropReason::Bandwidth))) {
                // It waits, and those behind it.
                self.router.take_back(self.decisions.len());
                break;
            }
            self.decisions.push(decision);
        }
        self.decisions.len()
    }

    /// Counts the receivers that a policy of theirs kept frames from that are done with.
    fn count_excluded(&self) {
        for excluded in self.router.excluded() {
            if let Some(Some(slot)) = self.slots.get(excluded.place as usize) {
                slot.counters.dropped_by_switch[excluded.reason.index()].add(1);
            }
        }
    }

    fn one<const WATCHED: bool>(
        &mut self,
        from: usize,
        number: usize,
        frame: &Frame<'_>,
        resume: u32,
        now: Cycles,
    ) -> Fate {
        let decision = self.decisions[number].clone();
        let fate = match decision.outcome {
            Outcome::Drop(lost) => {
                self.drop_sent(from, lost);
                if WATCHED {
                    self.show_sent(from, number, frame, None);
                }
                return Fate::Done;
            }
            Outcome::Deliver(copies) if copies.len() == 1 => {
                let target = self.router.targets(copies)[0];
                self.deliver_one::<WATCHED>(from, target, frame, resume, now)
            }
            Outcome::Deliver(copies) => self.deliver_several::<WATCHED>(from, copies, frame),
        };
        if let Fate::Held { .. } = fate {
            return fate;
        }
        let lost = matches!(fate, Fate::Nowhere).then_some(Lost::NicSwitch(DropReason::NoDestination));
        if let Some(lost) = lost {
            self.drop_sent(from, lost);
        }
        if WATCHED {
            self.show_sent(from, number, frame, lost);
        }
        if let Some(Some(slot)) = self.slots.get(from) {
            slot.counters.sent.count(frame);
            match decision.crossing {
                Crossing::None => {}
                Crossing::Up(_) => self.default_vport.received.count(frame),
                Crossing::Down(_) => self.default_vport.sent.count(frame),
            }
        }
        fate
    }

    fn deliver_one<const WATCHED: bool>(
        &mut self,
        from: usize,
        target: Target,
        frame: &Frame<'_>,
        resume: u32,
        now: Cycles,
    ) -> Fate {
        match self.put::<WATCHED>(from, target, frame, resume) {
            Some(Put::Full { next }) => {
                let to = target.to as usize;
                let in_gap = self.no_room_in_gap(from, to, next, now);
                let reason = if in_gap.is_some() { Refusal::GapOverflow } else { Refusal::NoBuffers };
                let fate = in_gap.unwrap_or_else(|| self.no_room(from, to, next, now));
                if WATCHED && let Fate::Done = fate {
                    self.show_refused(target, frame, reason);
                }
                fate
            }
            Some(Put::Done | Put::Refused(_)) => Fate::Done,
            None => Fate::Nowhere,
        }
    }

    /// Copies go to whoever has room: one slow receiver must not hold up a frame for all.
    fn deliver_several<const WATCHED: bool>(
        &mut self,
        from: usize,
        copies: std::ops::Range<u32>,
        frame: &Frame<'_>,
    ) -> Fate {
        let mut reached = false;
        let mark = self.gaps.mark();
        for copy in copies {
            let target = self.router.targets(copy..copy + 1)[0];
            if self.gaps.has_kept_since(mark, target.to as usize) {
                // Its guest is between two paths, and this frame is kept for it already.
                continue;
            }
            let put = self.put::<WATCHED>(from, target, frame, 0);
            reached |= put.is_some();
            if let Some(Put::Full { .. }) = put {
                let reason = self.lose(target.to as usize);
                if WATCHED {
                    self.show_refused(target, frame, reason);
                }
            }
        }
        if reached { Fate::Done } else { Fate::Nowhere }
    }

    /// Puts `frame` into the port of `target` and counts what became of it, but for a lack of room; `None` if no port
    /// is attached there. A gap may keep it instead.
    fn put<const WATCHED: bool>(
        &mut self,
        from: usize,
        target: Target,
        frame: &Frame<'_>,
        pieces: u32,
    ) -> Option<Put> {
        let to = target.to as usize;
        let Some(slot) = self.slots.get_mut(to)?.as_mut().filter(|slot| !slot.guarded) else {
            return self.put_by_gap::<WATCHED>(from, target, frame, pieces);
        };
        let put = slot.port.put(frame, target.tag, pieces);
        slot.count(target, frame, put);
        self.touch(to);
        if WATCHED {
            self.show_put(target, frame, put);
        }
        Some(put)
    }

    /// Counts what became of a copy that was put, but for a lack of room, and shows it.
    pub(crate) fn settle<const WATCHED: bool>(&mut self, target: Target, frame: &Frame<'_>, put: Put) -> Put {
        if let Some(Some(slot)) = self.slots.get_mut(target.to as usize) {
            slot.count(target, frame, put);
        }
        if WATCHED {
            self.show_put(target, frame, put);
        }
        put
    }

    fn show_put(&self, target: Target, frame: &Frame<'_>, put: Put) {
        match put {
            Put::Done => self.show_received(target, frame),
            Put::Refused(reason) => self.show_refused(target, frame, reason),
            Put::Full { .. } => {}
        }
    }

    /// Port `to` has no room for what is left of a frame: hold port `from` back, or lose it.
    fn no_room(&mut self, from: usize, to: usize, pieces: u32, now: Cycles) -> Fate {
        let Ok([Some(sender), Some(receiver)]) = self.slots.get_disjoint_mut([from, to]) else {
            return Fate::Done;
        };
        let allowed = receiver.allowance.may_hold(now);
        // The wire waits for nobody: those behind it would all wait with the one who has no room.
        let waits = self.extent.place(from) != Place::Physical;
        if !waits || !allowed || !sender.patience.may_hold(now) {
            receiver.counters.refused[Refusal::NoBuffers.index()].add(1);
            return Fate::Done;
        }
        let until = receiver.allowance.deadline(now).min(sender.patience.deadline(now));
        sender.held_until = Some(until);
        self.held.insert(from);
        Fate::Held { pieces }
    }

    fn drop_sent(&self, from: usize, lost: Lost) {
        let Some(Some(slot)) = self.slots.get(from) else { return };
        match lost {
            Lost::NicSwitch(reason) => slot.counters.dropped[reason.index()].add(1),
            Lost::Switch(reason) => slot.counters.dropped_by_switch[reason.index()].add(1),
        }
    }

    /// A copy for port `to` is lost for want of room: why.
    pub(crate) fn lose(&mut self, to: usize) -> Refusal {
        let reason = if self.gaps.overflow(to) { Refusal::GapOverflow } else { Refusal::NoBuffers };
        if let Some(Some(slot)) = self.slots.get(to) {
            slot.counters.refused[reason.index()].add(1);
        }
        reason
    }
}

impl Slot {
    /// Counts what became of a copy that was put, but for a lack of room.
    #[inline]
    fn count(&mut self, target: Target, frame: &Frame<'_>, put: Put) {
        match put {
            Put::Done => {
                self.counters.received.count(frame);
                self.counters.direct.add(u64::from(target.direct));
                self.allowance.took();
            }
            Put::Refused(reason) => self.counters.refused[reason.index()].add(1),
            Put::Full { .. } => {}
        }
    }
}
