//! One burst: decide, put, complete.

use nic_switch::{Delivery, DropReason, Egress, Ingress, Source, VPortId};
use port::{Burst, Consumed, Cycles, Frame, Put, Refusal};

use crate::worker::Worker;

/// Where one frame goes.
#[derive(Clone, Copy)]
pub(crate) enum Decision {
    Drop(DropReason),
    One(Delivery),
    /// Several copies.
    Several(Ingress),
}

/// What became of one frame.
enum Fate {
    /// It is done with.
    Done,
    /// Its receiver has no room, and it waits: `pieces` of it were delivered.
    Held { pieces: u32 },
}

impl Worker {
    /// Forwards the frames of `burst`, which port `from` sent; the number of those that are done with. The first of
    /// them may have waited for room already: `was_held`.
    pub(crate) fn forward(&mut self, from: usize, burst: &Burst, was_held: bool, now: Cycles) -> u64 {
        let mut consumed = Consumed { frames: burst.len(), pieces: 0 };
        let Some(Some(slot)) = self.slots.get(from) else { return 0 };
        let mut resume = slot.port.resume();
        self.decide(from, burst);
        for index in 0..burst.len() {
            let frame = burst.frame(index);
            if let Fate::Held { pieces } = self.one(from, index, &frame, std::mem::take(&mut resume), now) {
                consumed = Consumed { frames: index, pieces };
                break;
            }
        }
        let held = self.held.contains(from);
        let Some(Some(slot)) = self.slots.get_mut(from) else { return 0 };
        if held && !(was_held && consumed.frames == 0) {
            slot.counters.held.add(1);
        }
        slot.port.complete(burst, consumed, now);
        consumed.frames as u64
    }

    /// Decides all frames of `burst`, by one state of the switch. Before the first of them is put: the stores of a put
    /// take long, since they go to memory that the guest has in its cache, and decisions in between would wait for
    /// them.
    fn decide(&mut self, from: usize, burst: &Burst) {
        let forwarding = self.forwarding.load();
        self.decisions.clear();
        for index in 0..burst.len() {
            let ingress = ingress(from, &burst.frame(index));
            let decided = forwarding.decide(&ingress, &mut self.deliveries);
            self.decisions.push(match (decided, &*self.deliveries) {
                (Err(reason), _) => Decision::Drop(reason),
                (Ok(()), [delivery]) => Decision::One(*delivery),
                (Ok(()), _) => Decision::Several(ingress),
            });
        }
    }

    fn one(&mut self, from: usize, index: usize, frame: &Frame<'_>, resume: u32, now: Cycles) -> Fate {
        let fate = match self.decisions[index] {
            Decision::Drop(reason) => {
                self.drop_sent(from, reason);
                return Fate::Done;
            }
            Decision::One(Delivery { to: Egress::VPort(to), tag }) => {
                self.deliver_one(from, to.0 as usize, frame, tag, resume, now)
            }
            Decision::One(Delivery { to: Egress::Physical, .. }) => {
                self.drop_sent(from, DropReason::NoDestination);
                Fate::Done
            }
            Decision::Several(ingress) => self.deliver_several(from, &ingress, frame),
        };
        if let (Fate::Done, Some(Some(slot))) = (&fate, self.slots.get(from)) {
            slot.counters.sent.count(frame);
        }
        fate
    }

    fn deliver_one(
        &mut self,
        from: usize,
        to: usize,
        frame: &Frame<'_>,
        tag: Option<ethernet::VlanTag>,
        resume: u32,
        now: Cycles,
    ) -> Fate {
        match self.put(to, frame, tag, resume) {
            Some(Put::Full { next }) => self.no_room(from, to, next, now),
            Some(Put::Done | Put::Refused(_)) => Fate::Done,
            None => {
                self.drop_sent(from, DropReason::NoDestination);
                Fate::Done
            }
        }
    }

    /// Copies go to whoever has room: one slow receiver must not hold up a frame for all.
    fn deliver_several(&mut self, from: usize, ingress: &Ingress, frame: &Frame<'_>) -> Fate {
        // Decided once more rather than kept: the copies of one frame can be as many as there are VPorts.
        if let Err(reason) = self.forwarding.load().decide(ingress, &mut self.deliveries) {
            self.drop_sent(from, reason);
            return Fate::Done;
        }
        let deliveries = std::mem::take(&mut self.deliveries);
        let mut reached = false;
        for delivery in &*deliveries {
            // There is no physical port yet; its copy goes nowhere.
            let Egress::VPort(to) = delivery.to else { continue };
            let to = to.0 as usize;
            let put = self.put(to, frame, delivery.tag, 0);
            reached |= put.is_some();
            if let Some(Put::Full { .. }) = put {
                self.refuse(to, Refusal::NoBuffers);
            }
        }
        self.deliveries = deliveries;
        if !reached {
            self.drop_sent(from, DropReason::NoDestination);
        }
        Fate::Done
    }

    /// Puts `frame` into port `to` and counts what became of it, but for a lack of room; `None` if no port is attached
    /// there.
    fn put(
        &mut self,
        to: usize,
        frame: &Frame<'_>,
        tag: Option<ethernet::VlanTag>,
        from: u32,
    ) -> Option<Put> {
        let slot = self.slots.get_mut(to)?.as_mut()?;
        let put = slot.port.put(frame, tag, from);
        match put {
            Put::Done => {
                slot.counters.received.count(frame);
                slot.allowance.took();
            }
            Put::Refused(reason) => slot.counters.refused[reason.index()].add(1),
            Put::Full { .. } => {}
        }
        self.touch(to);
        Some(put)
    }

    /// Port `to` has no room for what is left of a frame: hold port `from` back, or lose it.
    fn no_room(&mut self, from: usize, to: usize, pieces: u32, now: Cycles) -> Fate {
        let Ok([Some(sender), Some(receiver)]) = self.slots.get_disjoint_mut([from, to]) else {
            return Fate::Done;
        };
        let allowed = receiver.allowance.may_hold(now);
        if !allowed || !sender.patience.may_hold(now) {
            receiver.counters.refused[Refusal::NoBuffers.index()].add(1);
            return Fate::Done;
        }
        let until = receiver.allowance.deadline(now).min(sender.patience.deadline(now));
        sender.held_until = Some(until);
        self.held.insert(from);
        Fate::Held { pieces }
    }

    fn drop_sent(&self, from: usize, reason: DropReason) {
        if let Some(Some(slot)) = self.slots.get(from) {
            slot.counters.dropped[reason.index()].add(1);
        }
    }

    fn refuse(&self, to: usize, reason: Refusal) {
        if let Some(Some(slot)) = self.slots.get(to) {
            slot.counters.refused[reason.index()].add(1);
        }
    }
}

/// What of a frame the switch decides on.
fn ingress(from: usize, frame: &Frame<'_>) -> Ingress {
    Ingress {
        from: Source::VPort(vport(from)),
        destination: frame.destination(),
        source: frame.source(),
        tag: frame.meta().tag,
        ethertype: frame.ethertype(),
    }
}

/// A port's number is that of its VPort.
fn vport(index: usize) -> VPortId {
    VPortId(u32::try_from(index).unwrap_or(u32::MAX))
}
