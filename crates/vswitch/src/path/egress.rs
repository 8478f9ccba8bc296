//! What happens to a frame at each of its destinations.

use super::admission::shown;
use super::{Admitted, Destination, Destinations, DropReason, Passage, Path, PortFlags, PortPath};
use super::{Recorder, State, Step};
use crate::extension::Verdict;
use crate::extension::acl::{AclVerdict, Memory};
use crate::extension::capture::CapturePoint;
use crate::{Direction, PortId};

impl Path {
    /// Delivers to each of `ports` that has all of `wanted`, is in the frame's VLAN and does not get its own frame back.
    #[expect(clippy::too_many_arguments, reason = "a loop over offer, with its arguments")]
    pub(super) fn flood<R: Recorder>(
        &self,
        ports: &[PortId],
        wanted: PortFlags,
        passage: &Passage<'_>,
        frame: &Admitted,
        state: &mut State,
        out: &mut Destinations,
        record: &mut R,
    ) {
        for &port in ports {
            let receiver = &self.ports[port.index()];
            let fits = receiver.flags.contains(wanted)
                && !receiver.flags.contains(PortFlags::VF_FLOOD)
                && self.hears(passage.sender, receiver, frame.vlan);
            // The guest's frame may come by its VF and the external port.
            let own = port == passage.packet.from || receiver.mac == passage.source;
            if !fits || own {
                continue;
            }
            if let Err(reason) = self.offer(port, passage, frame, state, out, record) {
                record.note(|| Step::Excluded { port, reason });
                out.exclude(port, reason);
            }
        }
    }

    /// Delivers to a port that is not the sender, if its policies allow that.
    #[inline]
    pub(super) fn offer<R: Recorder>(
        &self,
        port: PortId,
        passage: &Passage<'_>,
        frame: &Admitted,
        state: &mut State,
        out: &mut Destinations,
        record: &mut R,
    ) -> Result<(), DropReason> {
        let receiver = &self.ports[port.index()];
        if !receiver.flags.contains(PortFlags::RECEIVES) {
            return Err(DropReason::NotConnected);
        }
        if !self.hears(passage.sender, receiver, frame.vlan) {
            return Err(DropReason::EgressVlan);
        }
        if receiver.flags.contains(PortFlags::GUARDED) {
            self.guard(port, receiver, passage, state, out, record)?;
        }
        let (tag, preserve_vlan, preserve_priority) = shown(receiver, frame);
        record.note(|| Step::Destination { port, tag });
        out.push(Destination { port, tag, preserve_vlan, preserve_priority, mirror: false });
        Ok(())
    }

    /// The egress chain: built-in policies, then filtering extensions and capturing ones, bottom up.
    fn guard<R: Recorder>(
        &self,
        port: PortId,
        receiver: &PortPath,
        passage: &Passage<'_>,
        state: &mut State,
        out: &mut Destinations,
        record: &mut R,
    ) -> Result<(), DropReason> {
        let policy = self.policy(receiver);
        let packet = passage.packet;
        if let Some(acl) = policy.acl.as_ref().filter(|acl| acl.judges(Direction::Inbound)) {
            let memory = Memory {
                meters: &mut state.meters,
                journal: &mut state.journal,
                now: passage.now,
                look_only: R::TRACE,
            };
            let verdict = acl.judge(Direction::Inbound, packet, passage.flow(), memory);
            record.note(|| Step::acl(port, Direction::Inbound, verdict));
            match verdict {
                AclVerdict::Allowed(_) | AclVerdict::Connected => {}
                AclVerdict::Denied(_) => return Err(DropReason::EgressAcl),
                AclVerdict::Unreadable => return Err(DropReason::EgressUnreadable),
            }
        }
        let mut extensions = policy.filtering.iter().rev();
        if !extensions.all(|extension| extension.egress(packet, port) == Verdict::Pass) {
            return Err(DropReason::EgressFiltered);
        }
        for extension in policy.capturing.iter().rev() {
            // It may look, not judge.
            let _: Verdict = extension.egress(packet, port);
        }
        for &capture in &policy.captures_received {
            record.note(|| Step::Captured { capture, port });
            out.capture(CapturePoint { capture, port, direction: Direction::Inbound });
        }
        Ok(())
    }
}
