//! Keeping frames and delivering them.

use std::sync::Arc;

use port::{Burst, Cycles, Frame, Put, Refusal};
use sys::clock;

use super::{Copy, Gap, GapCommand, GapCounters, Mode};
use crate::forward::Fate;
use crate::place::Place;
use crate::route::Target;
use crate::worker::Worker;

impl Worker {
    /// Obeys an order about the gap of the NIC of this number, which stands at this place.
    pub(crate) fn obey_gap(&mut self, nic: usize, place: usize, command: GapCommand) {
        // Whoever asked may have given up.
        match command {
            GapCommand::Arm { gap, vport, reply } => _ = reply.send(self.arm_gap(nic, place, vport, gap)),
            GapCommand::Hold { reply } => {
                if let Some(gap) = self.gaps.of(nic) {
                    gap.set_mode(Mode::Holding);
                    self.gaps.draining.retain(|one| *one != nic);
                    let _ = reply.send(());
                }
            }
            GapCommand::Release { to, reply } => {
                if self.gaps.of(nic).is_some() {
                    self.release_gap(nic, to);
                    let _ = reply.send(());
                }
            }
            GapCommand::Disarm => self.end_gap(nic, place),
        }
    }

    fn arm_gap(&mut self, nic: usize, place: usize, vport: usize, gap: Box<Gap>) -> Arc<GapCounters> {
        let gap = self.gaps.gaps[nic].get_or_insert(gap);
        let counters = Arc::clone(&gap.counters);
        self.watch(nic, Some(vport));
        self.set_guard(place, Some(nic));
        counters
    }

    /// Has the gap of a NIC watch another VPort, or none.
    fn watch(&mut self, nic: usize, vport: Option<usize>) {
        let Some(gap) = self.gaps.of(nic) else { return };
        let old = std::mem::replace(&mut gap.watch, vport);
        if let Some(old) = old {
            self.set_guard(old, None);
        }
        if let Some(vport) = vport {
            if let Some(other) = self.gaps.at(vport) {
                other.watch = None;
            }
            self.set_guard(vport, Some(nic));
        }
    }

    fn set_guard(&mut self, place: usize, nic: Option<usize>) {
        self.gaps.nics[place] = nic;
        if let Some(Some(slot)) = self.slots.get_mut(place) {
            slot.guarded = nic.is_some();
        }
    }

    fn release_gap(&mut self, nic: usize, to: usize) {
        let vport = matches!(self.extent.place(to), Place::VPort(_)).then_some(to);
        self.watch(nic, vport);
        if let Some(gap) = self.gaps.of(nic) {
            gap.set_mode(Mode::Draining(to));
        }
        if !self.gaps.draining.contains(&nic) {
            self.gaps.draining.push(nic);
        }
        self.end_drain(nic);
    }

    /// If the buffer of a gap that is drained is empty, frames go their way again.
    fn end_drain(&mut self, nic: usize) {
        let Some(gap) = self.gaps.of(nic) else { return };
        if !gap.store.is_empty() {
            return;
        }
        if gap.watch.is_some() {
            gap.store.trim();
            gap.set_mode(Mode::Armed);
            self.gaps.draining.retain(|one| *one != nic);
        } else {
            self.end_gap(nic, self.extent.vports + nic);
        }
    }

    fn end_gap(&mut self, nic: usize, place: usize) {
        self.watch(nic, None);
        self.set_guard(place, None);
        self.gaps.draining.retain(|one| *one != nic);
        if let Some(gap) = self.gaps.gaps[nic].take()
            && let Some(Some(slot)) = self.slots.get(place)
        {
            slot.counters.refused[Refusal::GapDiscarded.index()].add(gap.store.len() as u64);
        }
    }

    /// Puts `frame` where no port stands, or where one does that a gap guards; `None` if there is neither.
    #[cold]
    pub(crate) fn put_by_gap<const WATCHED: bool>(
        &mut self,
        from: usize,
        target: Target,
        frame: &Frame<'_>,
        pieces: u32,
    ) -> Option<Put> {
        let to = target.to as usize;
        let nic = self.gaps.nic(to)?;
        let is_own = self.gaps.nic(from) == Some(nic);
        let gap = self.gaps.of(nic)?;
        if gap.mode == Mode::Armed {
            let watched = gap.watch == Some(to);
            let put = match self.slots.get_mut(to) {
                Some(Some(slot)) => Some(slot.port.put(frame, target.tag, pieces)),
                _ => None,
            };
            // What it looked at for that it lets go of at the flush.
            self.touch(to);
            let closed = matches!(put, None | Some(Put::Refused(Refusal::NotReady)));
            if !closed || !watched || is_own {
                return put.map(|put| self.settle::<WATCHED>(target, frame, put));
            }
            self.gaps.of(nic)?.set_mode(Mode::Holding);
        } else if is_own {
            // A guest never hears its own frames, whichever path they come back by.
            return Some(Put::Done);
        }
        let copy = Copy { tag: target.tag, direct: target.direct, pieces, since: clock::tsc() };
        match self.gaps.keep(nic, frame, copy) {
            Ok(true) => Some(Put::Done),
            Ok(false) => Some(Put::Full { next: pieces }),
            Err(reason) => Some(self.settle::<WATCHED>(target, frame, Put::Refused(reason))),
        }
    }

    /// If a gap takes the frames for port `to` and has no room for what is left of one: hold port `from` back, or lose
    /// it.
    pub(crate) fn no_room_in_gap(
        &mut self,
        from: usize,
        to: usize,
        pieces: u32,
        now: Cycles,
    ) -> Option<Fate> {
        let waits = self.extent.place(from) != Place::Physical;
        let gap = self.gaps.keeper(to)?;
        if let Some(Some(sender)) = self.slots.get_mut(from)
            && waits
            && gap.allowance.may_hold(now)
            && sender.patience.may_hold(now)
        {
            sender.held_until = Some(gap.allowance.deadline(now).min(sender.patience.deadline(now)));
            self.held.insert(from);
            return Some(Fate::Held { pieces });
        }
        self.lose(to);
        Some(Fate::Done)
    }

    /// Delivers from the gaps that were released what their receivers have room for, a burst of each; the number of
    /// frames.
    pub(crate) fn drain_gaps(&mut self, burst: &mut Burst, now: Cycles) -> u64 {
        let mut frames = 0;
        // From the last one on, since one that is drained is taken out.
        for n in (0..self.gaps.draining.len()).rev() {
            let nic = self.gaps.draining[n];
            frames += self.drain(nic, burst, now);
            burst.clear();
            self.end_drain(nic);
        }
        frames
    }

    fn drain(&mut self, nic: usize, burst: &mut Burst, now: Cycles) -> u64 {
        let Some(gap) = self.gaps.of(nic) else { return 0 };
        let Mode::Draining(to) = gap.mode else { return 0 };
        gap.store.load(burst);
        let mut frames = 0;
        for index in 0..burst.len() {
            let frame = burst.frame(index);
            let Some(gap) = self.gaps.of(nic) else { break };
            let Some(copy) = gap.store.first() else { break };
            let Some(Some(slot)) = self.slots.get_mut(to) else { break };
            let put = slot.port.put(&frame, copy.tag, copy.pieces);
            let target =
                Target { to: u32::try_from(to).unwrap_or(u32::MAX), tag: copy.tag, direct: copy.direct };
            match put {
                // It waits, and those behind it. A port that is closed may open again.
                Put::Full { next } => copy.pieces = next,
                Put::Refused(Refusal::NotReady) => {}
                Put::Done => {
                    gap.counters.waited(now.saturating_sub(copy.since));
                    gap.store.pop();
                    gap.counters.released.add(1);
                }
                Put::Refused(_) => {
                    gap.store.pop();
                    gap.counters.refused.add(1);
                }
            }
            self.touch(to);
            if matches!(put, Put::Full { .. } | Put::Refused(Refusal::NotReady)) {
                break;
            }
            self.settle::<true>(target, &frame, put);
            frames += 1;
        }
        frames
    }
}
