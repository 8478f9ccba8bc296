//! Which capture wants which frame.

use std::sync::Arc;

use ethernet::{VLAN_TAG_LEN, VlanTag};
use port::Frame;
use sys::clock;
use vswitch::{CapturePoint, Direction};

use super::{CaptureSpec, Captured, Point, Sink, Way};
use crate::place::{Extent, Place};

/// All captures of a worker.
#[derive(Debug, Default)]
pub(crate) struct Taps(Vec<Tap>);

/// One capture, with its points as the worker looks them up.
#[derive(Debug)]
pub(crate) struct Tap {
    sink: Arc<Sink>,
    way: Option<Way>,
    lost_only: bool,
    /// It looks at NICs, and so at the VFs that they have. One of a VPort stays with that, whosever it is.
    of_nics: bool,
    /// Interfaces by the number of the place.
    ports: Box<[Option<u32>]>,
    queues: Box<[Option<u32>]>,
    default_vport: Option<u32>,
    stages: Vec<Stage>,
}

#[derive(Debug)]
struct Stage {
    switch: usize,
    capture: vswitch::CaptureId,
    interfaces: Vec<Option<u32>>,
}

/// A frame at one point.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) frame: &'a Frame<'a>,
    /// As it is seen there.
    pub(super) tag: Option<VlanTag>,
    pub(super) way: Way,
    pub(super) lost: Option<&'static str>,
}

impl Taps {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn add(&mut self, tap: Tap) {
        self.0.push(tap);
    }

    /// The port at number `vf` is the VF of the NIC at number `nic`.
    pub(crate) fn pair(&mut self, nic: usize, vf: usize) {
        for tap in self.0.iter_mut().filter(|tap| tap.of_nics) {
            tap.ports[vf] = tap.ports[nic];
        }
    }

    /// Forgets the captures that have ended.
    pub(crate) fn sweep(&mut self) {
        self.0.retain(|tap| !tap.sink.is_closed());
    }

    /// A frame at the port at `place`; `direct`: it came by a VM queue.
    pub(super) fn at_port(&self, place: usize, direct: bool, sight: Sight<'_>) {
        for tap in &self.0 {
            let of = |table: &[Option<u32>]| table.get(place).copied().flatten();
            tap.show(of(&tap.ports), sight);
            if direct {
                tap.show(of(&tap.queues), sight);
            }
        }
    }

    /// A frame at the default VPort.
    pub(super) fn at_default_vport(&self, sight: Sight<'_>) {
        self.0.iter().for_each(|tap| tap.show(tap.default_vport, sight));
    }

    /// A frame that switch number `switch` shows.
    pub(super) fn at_stage(&self, switch: usize, point: CapturePoint, sight: Sight<'_>) {
        for tap in &self.0 {
            let mine = |stage: &&Stage| stage.switch == switch && stage.capture == point.capture;
            let stage = tap.stages.iter().find(mine);
            tap.show(stage.and_then(|s| s.interfaces.get(point.port.0 as usize).copied().flatten()), sight);
        }
    }
}

impl Tap {
    /// A capture of a worker with so many places.
    pub(crate) fn new(spec: &CaptureSpec, extent: Extent) -> (Self, Arc<Sink>) {
        let interfaces =
            spec.points.iter().flat_map(Point::interfaces).max().map_or(0, |most| most as usize + 1);
        let sink = Arc::new(Sink::new(spec.snaplen.min(super::MAX_SNAPLEN), interfaces));
        let none = || vec![None; extent.places()].into_boxed_slice();
        let mut tap = Self {
            sink: Arc::clone(&sink),
            way: spec.way,
            lost_only: spec.lost_only,
            of_nics: spec
                .points
                .iter()
                .any(|point| matches!(point, Point::Port { place: Place::Nic(_), .. })),
            ports: none(),
            queues: none(),
            default_vport: None,
            stages: Vec::new(),
        };
        for point in &spec.points {
            match point {
                Point::Port { place, interface } => tap.ports[extent.index(*place)] = Some(*interface),
                Point::Queue { nic, interface } => {
                    tap.queues[extent.index(Place::Nic(*nic))] = Some(*interface);
                }
                Point::DefaultVPort { interface } => tap.default_vport = Some(*interface),
                Point::Stage { switch, capture, interfaces } => tap.stages.push(Stage {
                    switch: *switch,
                    capture: *capture,
                    interfaces: interfaces.clone(),
                }),
            }
        }
        (tap, sink)
    }

    fn show(&self, interface: Option<u32>, sight: Sight<'_>) {
        let Some(interface) = interface else { return };
        let Sight { frame, tag, way, lost } = sight;
        // What its receiver did not get, it did not receive.
        let shown = lost.is_some() || !self.lost_only;
        let happened = self.lost_only || lost.is_none() || way == Way::Sent;
        if !shown || !happened || self.way.is_some_and(|wanted| wanted != way) {
            return;
        }
        let length = frame.len() + if tag.is_some() { VLAN_TAG_LEN } else { 0 };
        self.sink.show(Captured { interface, time: clock::tsc(), length, way, lost }, frame, tag);
    }
}

/// As the port of an extensible switch has it.
pub(super) fn way(direction: Direction) -> Way {
    match direction {
        Direction::Outbound => Way::Sent,
        Direction::Inbound => Way::Received,
    }
}
