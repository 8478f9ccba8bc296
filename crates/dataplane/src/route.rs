//! Where a frame goes: the NIC switch and the extensible switch in turn.
//!
//! ```text
//!   VF VPort, physical port --> NIC switch --+--> VF VPort, physical port
//!                                            +--> VM queue ------------------> its NIC
//!                                            +--> default VPort --> extensible switch --> NICs
//!
//!   NIC --> extensible switch --+--> NICs
//!                               +--> external port = default VPort --> NIC switch --> VF VPort, physical port
//! ```
//!
//! Neither gives a frame back to where it came from, so that no frame is decided by the same switch twice.

use std::ops::Range;

use ethernet::VlanTag;
use nic_switch::{Deliveries, Egress, Ingress, Source, VPortId};
use port::{BURST, Cycles, Frame};
use vswitch::{CapturePoint, Destinations, Direction, Packet, State};

use crate::capture::tag_for;
use crate::handle::SwitchReport;
use crate::place::Place;
use crate::snapshot::{Connection, Snapshot};

/// One copy of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Number of the place.
    pub(crate) to: u32,
    /// The tag that the receiver sees.
    pub(crate) tag: Option<VlanTag>,
    /// It comes to a NIC from the NIC switch, with no stop in the extensible switch.
    pub(crate) direct: bool,
}

/// Why a frame goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    NicSwitch(nic_switch::DropReason),
    Switch(vswitch::DropReason),
}

/// Whether a frame passes the default VPort, the joint of the two switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Crossing {
    #[default]
    None,
    /// From the NIC switch to the extensible switch, with this tag.
    Up(Option<VlanTag>),
    /// From the extensible switch to the NIC switch, likewise.
    Down(Option<VlanTag>),
}

/// What is decided about one frame.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub(crate) outcome: Outcome,
    pub(crate) crossing: Crossing,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Drop(Lost),
    /// The copies, in [`Router::targets`]; not empty.
    Deliver(Range<u32>),
}

/// A place that a policy of its own kept a frame from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excluded {
    pub(crate) decision: u32,
    pub(crate) place: u32,
    pub(crate) reason: vswitch::DropReason,
}

/// A capture of an extensible switch wants a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) decision: u32,
    pub(crate) switch: usize,
    pub(crate) point: CapturePoint,
    /// As the frame has it there.
    pub(crate) tag: Option<VlanTag>,
}

/// What is recorded of the frames that captures of extensible switches want in one burst; what is beyond is not shown.
const MAX_SHOWN: usize = 1024;

/// A worker's memory for decisions. Made once; it does not grow.
#[derive(Debug)]
pub(crate) struct Router {
    deliveries: Deliveries,
    destinations: Destinations,
    states: Box<[State]>,
    targets: Vec<Target>,
    crossing: Crossing,
    excluded: Vec<Excluded>,
    shown: Vec<Shown>,
    /// Decisions since the list was emptied.
    decided: u32,
    /// Of each of them, what its switch had charged before.
    marks: Vec<usize>,
    /// The switch that the frames pass, if one.
    charging: Option<usize>,
    /// Most copies of one frame.
    most: usize,
}

impl Router {
    pub(crate) fn new(deliveries: Deliveries, places: usize, states: Box<[State]>) -> Self {
        Self {
            deliveries,
            destinations: Destinations::new(),
            states,
            targets: Vec::with_capacity(BURST + places),
            crossing: Crossing::None,
            excluded: Vec::with_capacity(places),
            shown: Vec::with_capacity(MAX_SHOWN),
            decided: 0,
            marks: Vec::with_capacity(BURST),
            charging: None,
            most: places,
        }
    }

    /// Forgets what was decided: it stands. The frames that come next are from `from`.
    #[inline]
    pub(crate) fn begin(&mut self, at: &Snapshot, from: Place) {
        self.charging = match from {
            Place::Nic(nic) => at.switches.connection(nic),
            Place::VPort(_) | Place::Physical => at.switches.external(),
        }
        .map(|entry| entry.switch);
        if let Some(switch) = self.charging {
            self.states[switch].settle();
        }
        self.marks.clear();
        self.targets.clear();
        self.excluded.clear();
        self.shown.clear();
        self.decided = 0;
    }

    /// Whether there is memory for one more decision.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.targets.capacity() - self.targets.len() >= self.most
    }

    /// Decision number `first` and those after it will be made again: what they charged is taken back, and what they
    /// excluded is not reported.
    pub(crate) fn take_back(&mut self, first: usize) {
        if let (Some(switch), Some(mark)) = (self.charging, self.marks.get(first)) {
            self.states[switch].take_back(*mark);
        }
        self.excluded.retain(|excluded| (excluded.decision as usize) < first);
    }

    #[inline]
    pub(crate) fn targets(&self, range: Range<u32>) -> &[Target] {
        &self.targets[range.start as usize..range.end as usize]
    }

    /// The places that a policy of theirs kept a frame from.
    pub(crate) fn excluded(&self) -> &[Excluded] {
        &self.excluded
    }

    /// What captures of extensible switches want, if frames were decided with `WATCHED`.
    pub(crate) fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// When NIC number `nic` may send again, if its maximum bandwidth forbids it now.
    #[inline]
    pub(crate) fn rests_until(&self, at: &Snapshot, nic: u32, now: Cycles) -> Option<Cycles> {
        let Connection { switch, port } = at.switches.connection(nic)?;
        let wait = at.switches.path(switch).bandwidth_wait(&self.states[switch], port, now)?;
        Some(now + wait)
    }

    pub(crate) fn report(&self, switch: usize, now: Cycles) -> SwitchReport {
        let Some(state) = self.states.get(switch) else { return SwitchReport::default() };
        let stations = state.learning().entries(now).collect();
        SwitchReport { stations, meters: state.meters().to_vec() }
    }

    /// Decides about a frame from `from`. `WATCHED`: also to which captures it is to be shown.
    #[inline]
    pub(crate) fn decide<const WATCHED: bool>(
        &mut self,
        at: &Snapshot,
        from: Place,
        frame: &Frame<'_>,
        now: Cycles,
    ) -> Decision {
        let start = self.targets.len();
        self.crossing = Crossing::None;
        self.marks.push(self.charging.map_or(0, |switch| self.states[switch].mark()));
        let tag = frame.meta().tag;
        let decided = match from {
            Place::VPort(vport) => self.by_nic_switch::<WATCHED>(at, Source::VPort(vport), frame, tag, now),
            Place::Physical => self.by_nic_switch::<WATCHED>(at, Source::Wire, frame, tag, now),
            Place::Nic(nic) => match at.switches.connection(nic) {
                Some(entry) => self.by_switch::<WATCHED>(at, entry, frame, tag, now),
                None => Err(Lost::Switch(vswitch::DropReason::PortInactive)),
            },
        };
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let outcome = match decided {
            // Somebody gets it, even if another switch on the way had nobody for it.
            _ if self.targets.len() > start => Outcome::Deliver(number(start)..number(self.targets.len())),
            Err(lost) => Outcome::Drop(lost),
            Ok(()) => Outcome::Drop(Lost::NicSwitch(nic_switch::DropReason::NoDestination)),
        };
        self.decided += 1;
        Decision { outcome, crossing: self.crossing }
    }

    fn by_nic_switch<const WATCHED: bool>(
        &mut self,
        at: &Snapshot,
        from: Source,
        frame: &Frame<'_>,
        tag: Option<VlanTag>,
        now: Cycles,
    ) -> Result<(), Lost> {
        let ingress = Ingress {
            from,
            destination: frame.destination(),
            source: frame.source(),
            tag,
            ethertype: frame.ethertype(),
        };
        at.nic_switch.decide(&ingress, &mut self.deliveries).map_err(Lost::NicSwitch)?;
        let mut onward = None;
        for delivery in &*self.deliveries {
            let (to, direct) = match delivery.to {
                Egress::VPort(VPortId::DEFAULT) => {
                    onward = Some(delivery.tag);
                    continue;
                }
                Egress::VPort(vport) => at.switches.behind(vport),
                Egress::Physical => (at.extent.index(Place::Physical), false),
            };
            let to = u32::try_from(to).unwrap_or(u32::MAX);
            self.targets.push(Target { to, tag: delivery.tag, direct });
        }
        match (onward, at.switches.external()) {
            (Some(tag), Some(entry)) => {
                self.crossing = Crossing::Up(tag);
                self.by_switch::<WATCHED>(at, entry, frame, tag, now)
            }
            _ => Ok(()),
        }
    }

    fn by_switch<const WATCHED: bool>(
        &mut self,
        at: &Snapshot,
        entry: Connection,
        frame: &Frame<'_>,
        tag: Option<VlanTag>,
        now: Cycles,
    ) -> Result<(), Lost> {
        let Connection { switch, port } = entry;
        let packet = Packet { tag, ..Packet::of(port, frame) };
        let path = at.switches.path(switch);
        let decided = path.decide(&mut self.states[switch], &packet, now, &mut self.destinations);
        for excluded in self.destinations.excluded() {
            if let Some(place) = at.switches.place(switch, excluded.port)
                && self.excluded.len() < self.excluded.capacity()
            {
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                self.excluded.push(Excluded { decision: self.decided, place, reason: excluded.reason });
            }
        }
        if WATCHED {
            let room = MAX_SHOWN - self.shown.len();
            let (decision, to) = (self.decided, &self.destinations);
            self.shown.extend(to.captures().iter().take(room).map(|&point| {
                let tag = match point.direction {
                    Direction::Outbound => tag,
                    Direction::Inbound => tag_for(point.port, to, tag),
                };
                Shown { decision, switch, point, tag }
            }));
        }
        decided.map_err(Lost::Switch)?;
        let mut onward = None;
        for destination in &*self.destinations {
            if at.switches.external() == Some(Connection { switch, port: destination.port }) {
                onward = Some(destination.tag);
            } else if let Some(to) = at.switches.place(switch, destination.port) {
                let to = u32::try_from(to).unwrap_or(u32::MAX);
                self.targets.push(Target { to, tag: destination.tag, direct: false });
            }
        }
        match onward {
            Some(tag) => {
                self.crossing = Crossing::Down(tag);
                self.by_nic_switch::<WATCHED>(at, Source::VPort(VPortId::DEFAULT), frame, tag, now)
            }
            None => Ok(()),
        }
    }
}
