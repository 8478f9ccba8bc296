//! Where the worker shows frames to its captures. Called only while there are some.

use ethernet::VlanTag;
use port::Frame;

use super::Way;
use super::taps::{Sight, way};
use crate::route::{Crossing, Lost, Outcome, Shown, Target};
use crate::worker::Worker;

impl Lost {
    fn as_str(self) -> &'static str {
        match self {
            Self::NicSwitch(reason) => reason.as_str(),
            Self::Switch(reason) => reason.as_str(),
        }
    }
}

impl Worker {
    /// The frame of decision number `decision`, which port `from` sent, is done with. `lost`: it reached nobody for this
    /// reason, although it was decided to deliver it.
    pub(crate) fn show_sent(&self, from: usize, decision: usize, frame: &Frame<'_>, lost: Option<Lost>) {
        let decided = &self.decisions[decision];
        let lost = match decided.outcome {
            Outcome::Drop(lost) => Some(lost),
            Outcome::Deliver(_) => lost,
        };
        let lost = lost.map(Lost::as_str);
        let tag = frame.meta().tag;
        self.taps.at_port(from, false, Sight { frame, tag, way: Way::Sent, lost });
        match decided.crossing {
            Crossing::None => {}
            Crossing::Up(tag) => {
                self.taps.at_default_vport(Sight { frame, tag, way: Way::Received, lost: None });
            }
            Crossing::Down(tag) => self.taps.at_default_vport(Sight { frame, tag, way: Way::Sent, lost }),
        }
        let decision = u32::try_from(decision).unwrap_or(u32::MAX);
        for excluded in self.router.excluded().iter().filter(|one| one.decision == decision) {
            let lost = Some(excluded.reason.as_str());
            self.taps.at_port(excluded.place as usize, false, Sight { frame, tag, way: Way::Received, lost });
        }
        for Shown { switch, point, tag, .. } in
            self.router.shown().iter().filter(|one| one.decision == decision)
        {
            let way = way(point.direction);
            let lost = if way == Way::Sent { lost } else { None };
            self.taps.at_stage(*switch, *point, Sight { frame, tag: *tag, way, lost });
        }
    }

    /// A copy of a frame was put into a port.
    pub(crate) fn show_received(&self, target: Target, frame: &Frame<'_>) {
        let sight = Sight { frame, tag: target.tag, way: Way::Received, lost: None };
        self.taps.at_port(target.to as usize, target.direct, sight);
    }

    /// A copy of a frame was to be put into a port, but is lost.
    pub(crate) fn show_refused(&self, target: Target, frame: &Frame<'_>, reason: port::Refusal) {
        let lost = Some(reason.as_str());
        let sight = Sight { frame, tag: target.tag, way: Way::Received, lost };
        self.taps.at_port(target.to as usize, target.direct, sight);
    }
}

/// What the tag of a frame is for the receiver `port`; of one that does not get it, `sent`.
pub(crate) fn tag_for(
    port: vswitch::PortId,
    destinations: &[vswitch::Destination],
    sent: Option<VlanTag>,
) -> Option<VlanTag> {
    destinations.iter().find(|to| to.port == port).map_or(sent, |to| to.tag)
}
