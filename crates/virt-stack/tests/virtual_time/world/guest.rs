//! A VM: its VMM, a guest with net_failover, and the data path of its adapter.
//!
//! net_failover drops what the synthetic adapter receives for as long as a VF is registered, whatever state the VF
//! is in (`spec/ndis.md` D.3).

use std::collections::{BTreeSet, VecDeque};

use nic_switch::FilterId;
use virt_stack::{AdapterSpec, GapFrames, Generation, Path};
use vswitch::VfPath;

/// How a guest, its VMM and its driver behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Behaviour {
    pub(crate) plug_fails: bool,
    pub(crate) has_no_driver: bool,
    pub(crate) ignores_unplug: bool,
    pub(crate) refuses_unplug: bool,
    /// How long it takes to begin to let go, in milliseconds.
    pub(crate) unplug_ms: u64,
}

/// The frames of one adapter: numbered, by the wire and by broadcast.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    last: Option<u64>,
    buffer: VecDeque<u64>,
    held: bool,
    /// A frame has met a closed ring: it and all after it are kept, before anybody says so.
    guarded: bool,
    pub(crate) filter_on_vf: bool,
    pub(crate) path: VfPath,
}

#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) spec: AdapterSpec,
    /// The stack has been told of it, and not yet to remove it.
    pub(crate) wanted: bool,
    /// It was told to remove it, and has not said that it has.
    pub(crate) being_removed: bool,
    pub(crate) policy: bool,
    pub(crate) kept_synthetic: bool,
    pub(crate) running: bool,
    /// Grows with each start: what an earlier run had begun is over.
    pub(crate) run: u64,
    pub(crate) qmp: bool,
    /// Grows with each session of its QMP.
    pub(crate) session: u64,
    pub(crate) behaviour: Behaviour,
    /// The VF at the socket.
    pub(crate) offered: Option<Generation>,
    /// The device in the VMM.
    pub(crate) device: Option<Generation>,
    pub(crate) removing: bool,
    pub(crate) ring_open: bool,
    pub(crate) registered: bool,
    pub(crate) frames: Frames,
    pub(crate) filters: BTreeSet<FilterId>,
    pub(crate) last_told: u64,
}

impl Guest {
    pub(crate) fn new(spec: AdapterSpec) -> Self {
        Self {
            spec,
            wanted: false,
            being_removed: false,
            policy: false,
            kept_synthetic: false,
            running: false,
            run: 0,
            qmp: false,
            session: 0,
            behaviour: Behaviour::default(),
            offered: None,
            device: None,
            removing: false,
            ring_open: false,
            registered: false,
            frames: Frames::default(),
            filters: BTreeSet::new(),
            last_told: 0,
        }
    }

    /// Whether its device is the one at the socket.
    pub(crate) fn is_connected(&self) -> bool {
        self.device.is_some() && self.device == self.offered
    }

    /// A frame for it, by the wire or from the switches.
    pub(crate) fn send(&mut self) {
        if !self.running {
            return;
        }
        let on_vf = self.frames.filter_on_vf;
        let active = matches!(self.frames.path, VfPath::Active(_));
        assert_eq!(on_vf, active, "a broadcast would reach the guest twice or never");
        let frame = self.frames.sent;
        self.frames.sent += 1;
        self.arrive(if on_vf { Path::Vf } else { Path::Synthetic }, frame);
    }

    fn arrive(&mut self, path: Path, frame: u64) {
        if self.frames.held || self.frames.guarded {
            self.frames.buffer.push_back(frame);
        } else if path == Path::Vf && !self.ring_open {
            self.frames.guarded = true;
            self.frames.buffer.push_back(frame);
        } else {
            self.deliver(path, frame);
        }
    }

    fn deliver(&mut self, path: Path, frame: u64) {
        if path == Path::Synthetic && self.registered {
            return;
        }
        assert!(self.frames.last < Some(frame), "frame {frame} twice, or after {:?}", self.frames.last);
        self.frames.last = Some(frame);
        self.frames.received += 1;
    }

    pub(crate) fn hold(&mut self) {
        assert!(!self.frames.held, "held twice");
        self.frames.held = true;
    }

    pub(crate) fn release(&mut self, to: Path) -> GapFrames {
        assert!(self.frames.held, "released without being held");
        self.frames.held = false;
        self.frames.guarded = false;
        let before = self.frames.received;
        let held = std::mem::take(&mut self.frames.buffer);
        let count = held.len() as u64;
        for frame in held {
            self.arrive(to, frame);
        }
        let kept = self.frames.buffer.len() as u64;
        let delivered = self.frames.received - before;
        GapFrames { held: delivered, lost: count - delivered - kept, ..GapFrames::default() }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.frames.held
    }

    pub(crate) fn lost(&self) -> u64 {
        self.frames.sent - self.frames.received - self.frames.buffer.len() as u64
    }

    /// Another run of the VM: what was for the last one does not count.
    pub(crate) fn forget_frames(&mut self) {
        let frames = &mut self.frames;
        *frames = Frames {
            held: frames.held,
            filter_on_vf: frames.filter_on_vf,
            path: frames.path,
            ..Frames::default()
        };
    }
}
