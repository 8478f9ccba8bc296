//! What happens to a frame before its destinations are chosen.

use super::{Admitted, Choice, Destinations, DropReason, Passage, Path, PortFlags, Recorder, State, Step};
use crate::Direction;
use crate::extension::acl::{AclVerdict, Memory};
use crate::extension::capture::CapturePoint;
use crate::extension::flow::Upper;
use crate::extension::{Verdict, dhcp_guard, router_guard};
use crate::learning::{Lesson, Station};
use crate::state::journal::Charge;

impl Path {
    /// Shows the frame to captures and capturing extensions, then to filtering ones.
    pub(super) fn watch<R: Recorder>(
        &self,
        passage: &Passage<'_>,
        out: &mut Destinations,
        record: &mut R,
    ) -> Result<(), DropReason> {
        let policy = self.policy(passage.sender);
        let port = passage.packet.from;
        for &capture in &policy.captures_sent {
            record.note(|| Step::Captured { capture, port });
            out.capture(CapturePoint { capture, port, direction: Direction::Outbound });
        }
        for extension in &policy.capturing {
            // It may look, not judge.
            let _: Verdict = extension.ingress(passage.packet);
        }
        let passes =
            policy.filtering.iter().all(|extension| extension.ingress(passage.packet) == Verdict::Pass);
        if passes { Ok(()) } else { Err(DropReason::Filtered) }
    }

    /// The built-in policies, in the order of [`DropReason::ALL`].
    pub(super) fn police<R: Recorder>(
        &self,
        passage: &Passage<'_>,
        state: &mut State,
        record: &mut R,
    ) -> Result<(), DropReason> {
        let policy = self.policy(passage.sender);
        let port = passage.packet.from;
        if let Some(acl) = policy.acl.as_ref().filter(|acl| acl.judges(Direction::Outbound)) {
            let memory = Memory {
                meters: &mut state.meters,
                journal: &mut state.journal,
                now: passage.now,
                look_only: R::TRACE,
            };
            let verdict = acl.judge(Direction::Outbound, passage.packet, passage.flow(), memory);
            record.note(|| Step::acl(port, Direction::Outbound, verdict));
            match verdict {
                AclVerdict::Allowed(_) | AclVerdict::Connected => {}
                AclVerdict::Denied(_) => return Err(DropReason::IngressAcl),
                AclVerdict::Unreadable => return Err(DropReason::IngressUnreadable),
            }
        }
        if policy.dhcp_guard || policy.router_guard {
            let flow = passage.flow();
            if flow.upper == Upper::Unreadable {
                return Err(DropReason::IngressUnreadable);
            }
            if policy.dhcp_guard && dhcp_guard::is_server_message(flow) {
                return Err(DropReason::DhcpGuard);
            }
            if policy.router_guard && router_guard::is_router_message(flow) {
                return Err(DropReason::RouterGuard);
            }
        }
        if let Some(rate) = policy.bandwidth {
            let bucket = &mut state.ports[port.index()].bandwidth;
            let before = *bucket;
            if !bucket.admit(rate, passage.packet.wire_length() as u64, passage.now) {
                return Err(DropReason::Bandwidth);
            }
            state.journal.push(Charge::Bandwidth { port, before });
        }
        Ok(())
    }

    /// The frame is about to go to many.
    pub(super) fn limit_storm(&self, passage: &Passage<'_>, state: &mut State) -> Result<(), DropReason> {
        let Some(rate) = self.policy(passage.sender).storm else { return Ok(()) };
        let port = passage.packet.from;
        let bucket = &mut state.ports[port.index()].storm;
        let before = *bucket;
        if !bucket.admit(rate, 1, passage.now) {
            return Err(DropReason::StormLimit);
        }
        state.journal.push(Charge::Storm { port, before });
        Ok(())
    }

    /// Learns where the source is.
    ///
    /// A guest that bridges its ports sends what others sent; such frames are dropped, or they would go round for ever.
    /// Frames from the wire always pass: they may come from a guest's VF, or be what an attacker wants kept out.
    pub(super) fn learn<R: Recorder>(
        &self,
        passage: &Passage<'_>,
        frame: &Admitted,
        state: &mut State,
        record: &mut R,
    ) -> Result<(), DropReason> {
        let port = passage.packet.from;
        let station = Station::new(passage.source, frame.family);
        let last = state.ports[port.index()].last_source;
        if last.is_some_and(|(known, until)| known == station && passage.now < until) {
            return Ok(());
        }
        let external = passage.sender.flags.contains(PortFlags::EXTERNAL);
        if let Some(owner) = self.known(passage.source, frame) {
            let may = owner == port || external || self.policy(passage.sender).team.contains(&passage.source);
            return if may { Ok(()) } else { Err(DropReason::SourceMacElsewhere) };
        }
        match state.learn(station, port, passage.now) {
            Lesson::Refused(_) if !external => return Err(DropReason::MacMovedTooSoon),
            Lesson::Refused(_) | Lesson::Full => return Ok(()),
            Lesson::Known => {}
            Lesson::Learned | Lesson::Moved(_) => {
                record.note(|| Step::Learned { station: passage.source, port });
            }
        }
        state.ports[port.index()].last_source = Some((station, passage.now.saturating_add(state.refresh)));
        Ok(())
    }

    /// Lets the forwarding extension choose.
    pub(super) fn forward_by_extension<R: Recorder>(
        &self,
        passage: &Passage<'_>,
        frame: &Admitted,
        state: &mut State,
        out: &mut Destinations,
        record: &mut R,
    ) -> Choice {
        let Some(extension) = &self.policy(passage.sender).forwarding else { return Choice::Switch };
        extension.forward(passage.packet, &mut |port| {
            let usable = port != passage.packet.from && self.ports.get(port.index()).is_some();
            if usable
                && !out.contains(port)
                && let Err(reason) = self.offer(port, passage, frame, state, out, record)
            {
                out.exclude(port, reason);
            }
        })
    }
}
