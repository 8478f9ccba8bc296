//! A VF as the bus thread has it: the device behind one vfio-user socket.

mod device;
mod memory;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use dataplane::{Attachment, Doorbell, GapLimits, Handle, Kick, Place, PortCounters};
use ethernet::MacAddr;
use guest_memory::{DmaDomain, Limits};
use nic_switch::{VPortId, VfId};
use port::{Cycles, GuestReply, GuestRequest};
use sys::clock;
use vf82599::{
    Control, GuestSign, Host, Identity, Interrupts, MsixExposure, Profile, QueueProfile, Queues, ResetKind,
    VfState,
};

use self::memory::LostMemory;
use super::adapter::{AdapterService, RSS_KEY};
use super::containment::{Panicked, contain};
use super::fd_store::FdStore;
use super::limits::Share;
use super::notices::NoticeBoard;
use super::outside::Outside;
use super::peer_log::PeerLog;
use super::signal::{Alarm, VectorSignal, Vectors};
use super::switchboard::Switchboard;
use crate::config::{Doorbells, Msix, VfModel};

/// All that is needed to make the device of a VF, now and after a rebuild.
#[derive(Clone, Debug)]
pub(crate) struct VfSpec {
    pub(crate) vf: VfId,
    pub(crate) generation: u64,
    pub(crate) vport: VPortId,
    /// Number of its adapter's NIC on the extensible switch.
    pub(crate) nic: u32,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) queue_pairs: u32,
    pub(crate) link_up: bool,
    pub(crate) model: VfModel,
    pub(crate) msix: Msix,
    pub(crate) doorbells: Doorbells,
    pub(crate) config: pcie::ConfigSpace,
    pub(crate) counters: Arc<PortCounters>,
}

impl VfSpec {
    fn identity(&self, rss_key: [u8; RSS_KEY]) -> Identity {
        Identity {
            mac: self.mac,
            queue_pairs: self.queue_pairs,
            msix: match self.msix {
                Msix::Relayed => MsixExposure::Deferred,
                Msix::Native => MsixExposure::Native,
            },
            rss_key,
            ..Identity::default()
        }
    }

    /// Prefix of the VF's names in the fd store.
    pub(crate) fn store_prefix(vf: VfId) -> String {
        format!("vf/{}/", vf.0)
    }
}

impl VfModel {
    /// The part that the guest finds.
    pub(crate) fn profile(self) -> Profile {
        match self {
            Self::X550 => Profile::X550,
            Self::I82599 => Profile::I82599,
        }
    }
}

/// What the device of a VF reaches out to.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) adapter: Arc<AdapterService>,
    pub(crate) switchboard: Arc<Switchboard>,
    pub(crate) outside: Arc<Outside>,
    pub(crate) dataplane: Handle,
    pub(crate) store: Arc<dyn FdStore>,
    pub(crate) alarm: Alarm,
    /// What the virtualization stack is told.
    pub(crate) notices: Arc<NoticeBoard>,
    /// What each VMM may take.
    pub(crate) share: Share,
}

impl Surroundings {
    /// A DMA domain for one VF, within its share.
    fn new_domain(&self) -> Arc<DmaDomain> {
        let Share { dma_maps, bytes, .. } = self.share;
        Arc::new(DmaDomain::new(Limits { max_regions: dma_maps as usize, max_bytes: bytes }))
    }
}

/// [`Host`] of one VF.
#[derive(Debug)]
struct VfHost {
    vf: VfId,
    vport: VPortId,
    nic: u32,
    generation: u64,
    adapter: Arc<AdapterService>,
    dataplane: Handle,
    kick: Kick,
    notices: Arc<NoticeBoard>,
    /// The device of before is being taken over.
    attaching: bool,
}

impl Host for VfHost {
    fn quiesce(&mut self) {
        self.dataplane.quiesce();
    }

    fn kick(&mut self) {
        self.kick.kick();
    }

    fn request(&mut self, request: GuestRequest) -> GuestReply {
        self.adapter.guest_request(self.vf, self.generation, request)
    }

    fn now(&self) -> Cycles {
        clock::tsc()
    }

    fn guest_sign(&mut self, sign: GuestSign) {
        if self.attaching && sign == GuestSign::ReceiveOpen {
            // It has been all the time.
            return;
        }
        // From here on the guest drops what its synthetic adapter receives, and its filter is not on the VF yet.
        if sign == GuestSign::ReceiveOpen
            && self.dataplane.arm_gap(self.nic, self.vport, GapLimits::default()).is_ok()
        {
            // It was armed just now.
            let _ = self.dataplane.hold(self.nic);
        }
        self.notices.sign(self.vf, self.generation, sign);
    }
}

/// The device of one VF.
#[derive(Debug)]
pub(crate) struct Vf {
    pub(crate) spec: VfSpec,
    pub(crate) log: PeerLog,
    state: VfState,
    control: Control,
    host: VfHost,
    domain: Arc<DmaDomain>,
    vectors: Arc<Vectors>,
    interrupts: Arc<Interrupts>,
    around: Surroundings,
    prefix: String,
}

/// Why the device of a VF cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VfError {
    #[error("the state pages of {0} cannot be used")]
    State(VfId, #[source] vf82599::StateError),
    #[error("the config space of {0} cannot be used")]
    Config(VfId, #[source] pcie::StorageError),
    #[error("no file descriptor is left for {0}")]
    Fds(VfId, #[source] io::Error),
}

impl Vf {
    /// A VF after power-on, on the pages `state`.
    pub(crate) fn new(spec: VfSpec, state: VfState, around: &Surroundings) -> Result<Self, VfError> {
        let prefix = VfSpec::store_prefix(spec.vf);
        for (name, fd) in [("state", state.state_fd()), ("rings", state.rings_fd())] {
            let kept = fd.try_clone_to_owned().map_err(|error| VfError::Fds(spec.vf, error))?;
            around.store.put(&format!("{prefix}{name}"), kept, "");
        }
        let vectors = Vectors::new(around.alarm.clone());
        Self::build(spec, state, around.new_domain(), vectors, around, false)
    }

    /// The VF that an earlier data path left in `state` and in the fd store, and, if its guest cannot go on with it,
    /// why.
    pub(crate) fn attach(
        spec: VfSpec,
        state: VfState,
        around: &Surroundings,
    ) -> Result<(Self, Result<(), LostMemory>), VfError> {
        let (prefix, store) = (VfSpec::store_prefix(spec.vf), around.store.as_ref());
        let domain = around.new_domain();
        let restored = memory::restore(&domain, store, &prefix);
        let vectors = Vectors::new(around.alarm.clone());
        memory::restore_vectors(&vectors, store, &prefix).map_err(|error| VfError::Fds(spec.vf, error))?;
        let vf = Self::build(spec, state, domain, vectors, around, true)?;
        Ok((vf, restored))
    }

    fn build(
        spec: VfSpec,
        state: VfState,
        domain: Arc<DmaDomain>,
        vectors: Arc<Vectors>,
        around: &Surroundings,
        attach: bool,
    ) -> Result<Self, VfError> {
        let signal = Box::new(VectorSignal(Arc::clone(&vectors)));
        let interrupts = Arc::new(Interrupts::new(state.clone(), clock::cycles_per_microsecond(), signal));
        let mut host = VfHost {
            vf: spec.vf,
            vport: spec.vport,
            nic: spec.nic,
            generation: spec.generation,
            adapter: Arc::clone(&around.adapter),
            dataplane: around.dataplane.clone(),
            kick: around.dataplane.kick(Place::VPort(spec.vport)),
            notices: Arc::clone(&around.notices),
            attaching: attach,
        };
        let (profile, identity) = (spec.model.profile(), spec.identity(around.adapter.rss_key()));
        let (pages, config) = (state.clone(), spec.config.clone());
        let made = if attach {
            Control::attach(pages, profile, identity, Arc::clone(&interrupts), config, &mut host)
        } else {
            Control::new(pages, profile, identity, Arc::clone(&interrupts), config)
        };
        let mut control = made.map_err(|error| VfError::Config(spec.vf, error))?;
        host.attaching = false;
        if !attach {
            control.set_link(spec.link_up, &mut host);
        }
        let (log, prefix) = (PeerLog::new(spec.vf.to_string()), VfSpec::store_prefix(spec.vf));
        let around = around.clone();
        let vf = Self { spec, log, state, control, host, domain, vectors, interrupts, around, prefix };
        vf.attach_port();
        Ok(vf)
    }

    /// Gives the queues to the worker, in the place of those that it may have.
    fn attach_port(&self) {
        let profile = QueueProfile {
            queue_pairs: self.spec.queue_pairs,
            limits_length: self.spec.model.profile().length_limit,
        };
        let queues =
            Queues::new(self.state.clone(), Arc::clone(&self.domain), Arc::clone(&self.interrupts), profile);
        let doorbell = match self.spec.doorbells {
            Doorbells::Trapped => Doorbell::Kick,
            Doorbells::Mapped => Doorbell::Memory,
        };
        let counters = Arc::clone(&self.spec.counters);
        let attachment = Attachment { port: Box::new(queues), counters, doorbell };
        let place = Place::VPort(self.spec.vport);
        self.around.dataplane.pair(place, self.spec.nic);
        self.around.dataplane.attach(place, attachment);
    }

    /// Keeps the client's socket for a successor, with what the successor must know of the session.
    pub(crate) fn keep_client(&self, socket: OwnedFd, note: &str) {
        self.around.store.put(&format!("{}client", self.prefix), socket, note);
    }

    /// A VMM has connected, or left.
    pub(crate) fn note_client(&self, connected: bool) {
        self.around.notices.client(self.spec.vf, self.spec.generation, connected);
    }

    /// Function level reset by the PF.
    pub(crate) fn reset_by_pf(&mut self) {
        self.control.reset(ResetKind::FunctionLevel, &mut self.host);
    }

    /// The PF changed config space.
    pub(crate) fn config_changed(&mut self, effects: &[pcie::ConfigEffect]) {
        self.control.config_changed(effects, &mut self.host);
    }

    /// The link of the VF goes up or down.
    pub(crate) fn set_link(&mut self, up: bool) {
        self.control.set_link(up, &mut self.host);
    }

    /// The VMM has gone: the device is as after power-on, and reaches no memory.
    pub(crate) fn disconnected(&mut self) {
        self.control.reset(ResetKind::Disconnected, &mut self.host);
        let retired = self.domain.unmap_all();
        self.host.dataplane.quiesce();
        drop(retired);
        if self.domain.faulted() {
            // That mark does not go away, and the memory of the next VMM has nothing to do with it.
            self.domain = self.around.new_domain();
            self.attach_port();
        }
        self.vectors.reset();
        self.forget_client();
    }

    /// As [`disconnected`](Self::disconnected), when what was being done for the VMM has panicked: nothing that the
    /// device still says of rings and memory is believed. If it cannot be reset, the worker has no part of it any more.
    pub(crate) fn abandoned(&mut self) -> Result<(), Panicked> {
        self.host.dataplane.detach(Place::VPort(self.spec.vport));
        self.domain = self.around.new_domain();
        self.forget_client();
        contain(|| self.disconnected())?;
        self.attach_port();
        Ok(())
    }

    /// Nothing of the VMM is left for a successor.
    fn forget_client(&self) {
        for what in ["dma/", "irq/", "client"] {
            self.around.store.remove(&format!("{}{what}", self.prefix));
        }
    }

    /// Takes the device away from the worker and from under the guest.
    pub(crate) fn withdraw(mut self) {
        self.control.unplug(&mut self.host);
        self.host.dataplane.detach(Place::VPort(self.spec.vport));
        self.around.store.remove(&self.prefix);
    }

    /// Vectors that the worker or a register access raised, with their messages for the VMM. Whoever takes them must
    /// send them or raise them again: the guest may have masked the vector until it has seen its message.
    pub(crate) fn take_messages(&self) -> impl Iterator<Item = (u16, pcie::Message)> {
        self.vectors.take_relayed().filter_map(|vector| match self.control.msix().deliver(vector) {
            pcie::Delivery::Message(message) => Some((vector, message)),
            _ => None,
        })
    }

    /// Raises a vector whose message could not be sent.
    pub(crate) fn raise(&self, vector: u16) {
        self.vectors.signal(vector.into());
    }

    /// Memory of the guest has vanished from under a mapping.
    pub(crate) fn has_faulted(&self) -> bool {
        self.domain.faulted()
    }

    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.domain.mapped_bytes()
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }
}
