//! The same decision with a record of its steps, for people.

use std::fmt;

use ethernet::{MacAddr, VlanTag};
use port::Cycles;
use serde::Serialize;

use super::{Destinations, DropReason, Packet, Path};
use crate::extension::acl::AclVerdict;
use crate::{CaptureId, Direction, PortId, State};

/// One step of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "step")]
#[expect(missing_docs, reason = "the fields are the values named in the text of the step")]
pub enum Step {
    /// It is shown to a capture.
    Captured { capture: CaptureId, port: PortId },
    /// It may enter, in this VLAN (0 for none); its stations are known under `stations_of`.
    Admitted { vlan: u16, stations_of: u16 },
    /// The ACL lets it pass, by this rule if one matched.
    AclAllowed { port: PortId, direction: Direction, rule: Option<u16> },
    /// The ACL lets it pass, for it belongs to a connection that was allowed.
    AclConnected { port: PortId, direction: Direction },
    /// The ACL denies it.
    AclDenied { port: PortId, direction: Direction, rule: u16 },
    /// The ACL cannot read it.
    AclUnreadable { port: PortId, direction: Direction },
    /// The source is learned.
    Learned { station: MacAddr, port: PortId },
    /// The destination is known.
    Known { station: MacAddr, port: PortId, learned: bool },
    /// The destination is reached by its VF.
    OnVf { port: PortId, external: PortId },
    /// The destination is unknown.
    Unknown { station: MacAddr },
    /// A port of a flood does not get it.
    Excluded { port: PortId, reason: DropReason },
    /// A port gets it, with this tag.
    Destination { port: PortId, tag: Option<VlanTag> },
    /// A port that watches gets a copy.
    Mirrored { port: PortId },
    /// Nobody gets it.
    Dropped { reason: DropReason },
}

impl Step {
    pub(super) const fn acl(port: PortId, direction: Direction, verdict: AclVerdict) -> Self {
        match verdict {
            AclVerdict::Allowed(rule) => Self::AclAllowed { port, direction, rule },
            AclVerdict::Connected => Self::AclConnected { port, direction },
            AclVerdict::Denied(rule) => Self::AclDenied { port, direction, rule },
            AclVerdict::Unreadable => Self::AclUnreadable { port, direction },
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = |direction: &Direction| match direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        match self {
            Self::Captured { capture, port } => write!(f, "shown to capture {} at {port}", capture.0),
            Self::Admitted { vlan: 0, .. } => write!(f, "admitted, in no VLAN"),
            Self::Admitted { vlan, stations_of } if vlan == stations_of => {
                write!(f, "admitted, in VLAN {vlan}")
            }
            Self::Admitted { vlan, stations_of } => {
                write!(f, "admitted, in VLAN {vlan} of the private VLAN {stations_of}")
            }
            Self::AclAllowed { port, direction, rule: Some(rule) } => {
                write!(f, "{} ACL of {port}: rule {rule} allows it", way(direction))
            }
            Self::AclAllowed { port, direction, rule: None } => {
                write!(f, "{} ACL of {port}: no rule matches, so it passes", way(direction))
            }
            Self::AclConnected { port, direction } => {
                write!(f, "{} ACL of {port}: belongs to an allowed connection", way(direction))
            }
            Self::AclDenied { port, direction, rule } => {
                write!(f, "{} ACL of {port}: rule {rule} denies it", way(direction))
            }
            Self::AclUnreadable { port, direction } => {
                write!(f, "{} ACL of {port}: its headers cannot be read with certainty", way(direction))
            }
            Self::Learned { station, port } => write!(f, "{station} would be learned at {port}"),
            Self::Known { station, port, learned: true } => write!(f, "{station} was learned at {port}"),
            Self::Known { station, port, learned: false } => write!(f, "{station} is an address of {port}"),
            Self::OnVf { port, external } => {
                write!(f, "{port} receives through its VF, so it goes to the NIC switch by {external}")
            }
            Self::Unknown { station } => write!(f, "{station} is unknown"),
            Self::Excluded { port, reason } => write!(f, "{port} does not get it: {reason}"),
            Self::Destination { port, tag: None } => write!(f, "delivered to {port}, untagged"),
            Self::Destination { port, tag: Some(tag) } => {
                write!(f, "delivered to {port}, tagged with VLAN {} priority {}", tag.vid(), tag.pcp())
            }
            Self::Mirrored { port } => write!(f, "copied to {port}, which watches"),
            Self::Dropped { reason } => write!(f, "dropped: {reason}"),
        }
    }
}

/// The steps of a decision, in their order. Its text has one line for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The steps; the last are the destinations, or the drop.
    pub steps: Vec<Step>,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// Who writes down the steps. What a silent one does not want is not made.
pub(super) trait Recorder {
    /// The decision is only asked about: what outlives it and is shared between workers must stay as it is.
    const TRACE: bool;

    fn note(&mut self, step: impl FnOnce() -> Step);
}

/// Writes nothing down.
pub(super) struct Silent;

impl Recorder for Silent {
    const TRACE: bool = false;

    #[inline]
    fn note(&mut self, _step: impl FnOnce() -> Step) {}
}

impl Recorder for Vec<Step> {
    const TRACE: bool = true;

    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.push(step());
    }
}

impl Path {
    /// What [`Path::decide`] would do with a frame and why. Nothing is learned, remembered, charged to a limit
    /// or counted; but extensions see the frame.
    #[must_use]
    pub fn trace(&self, state: &State, packet: &Packet<'_>, now: Cycles) -> Trace {
        let mut state = state.clone();
        state.adopt(self);
        let (mut steps, mut out) = (Vec::new(), Destinations::new());
        match self.run(&mut state, packet, now, &mut out, &mut steps) {
            Ok(()) => {
                let mirrors = out.iter().filter(|destination| destination.mirror);
                steps.extend(mirrors.map(|mirror| Step::Mirrored { port: mirror.port }));
            }
            Err(reason) => steps.push(Step::Dropped { reason }),
        }
        Trace { steps }
    }
}
