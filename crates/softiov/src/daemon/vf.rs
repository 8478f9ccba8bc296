//! A VF as the bus thread has it: the device behind one vfio-user socket.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use dataplane::{Handle, Kick, VPortCounters};
use ethernet::MacAddr;
use guest_memory::{DmaDomain, Limits, MapError, MapRequest};
use nic_switch::{VPortId, VfId};
use port::{Cycles, GuestReply, GuestRequest};
use serde::{Deserialize, Serialize};
use sys::{EventFd, clock};
use vf82599::registers::{REGISTER_BYTES, VECTORS};
use vf82599::{
    Control, Host, Identity, Interrupts, MsixExposure, Profile, QueueProfile, Queues, ResetKind, VfState,
};
use vfio_user::{
    Device, DeviceFlags, DeviceInfo, DmaMap, DmaUnmap, Errno, IrqAction, IrqData, IrqFlags, IrqInfo, Mapping,
    MmapArea, RegionInfo, SetIrqs,
};

use super::adapter::AdapterService;
use super::fd_store::FdStore;
use super::rate_limit::RateLimit;
use super::signal::{Alarm, VectorSignal, Vectors};
use crate::config::{Doorbells, Msix, VfModel};

/// Numbers of the vfio-user regions of a PCI function.
mod region {
    pub(super) const BAR0: u32 = 0;
    pub(super) const BAR3: u32 = 3;
    pub(super) const CONFIG: u32 = 7;
    pub(super) const COUNT: u32 = 9;
}

/// Numbers of the vfio-user interrupt types of a PCI function.
mod irq {
    pub(super) const MSIX: u32 = 2;
    pub(super) const COUNT: u32 = 5;
}

/// Bytes of BAR 3, the MSI-X table and its pending bits.
const BAR3_BYTES: u64 = 0x4000;
/// The pages of the register file that have no side effects but doorbells: receive and transmit rings.
const RING_PAGES: MmapArea = MmapArea { offset: 0x1000, size: 0x2000 };

/// All that is needed to make the device of a VF, now and after a rebuild.
#[derive(Clone, Debug)]
pub(crate) struct VfSpec {
    pub(crate) vf: VfId,
    pub(crate) generation: u64,
    pub(crate) vport: VPortId,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) queue_pairs: u32,
    pub(crate) link_up: bool,
    pub(crate) model: VfModel,
    pub(crate) msix: Msix,
    pub(crate) doorbells: Doorbells,
    pub(crate) config: pcie::ConfigSpace,
    pub(crate) counters: Arc<VPortCounters>,
}

impl VfSpec {
    fn profile(&self) -> Profile {
        match self.model {
            VfModel::X550 => Profile::X550,
            VfModel::I82599 => Profile::I82599,
        }
    }

    /// Prefix of the VF's names in the fd store.
    pub(crate) fn store_prefix(vf: VfId) -> String {
        format!("vf/{}/", vf.0)
    }
}

/// What the device of a VF reaches out to.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) adapter: Arc<AdapterService>,
    pub(crate) dataplane: Handle,
    pub(crate) store: Arc<dyn FdStore>,
    pub(crate) alarm: Alarm,
}

/// [`Host`] of one VF.
#[derive(Debug)]
struct VfHost {
    vf: VfId,
    generation: u64,
    adapter: Arc<AdapterService>,
    dataplane: Handle,
    kick: Kick,
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
}

/// The device of one VF.
#[derive(Debug)]
pub(crate) struct Vf {
    pub(crate) spec: VfSpec,
    state: VfState,
    control: Control,
    host: VfHost,
    domain: Arc<DmaDomain>,
    vectors: Arc<Vectors>,
    store: Arc<dyn FdStore>,
    prefix: String,
}

/// Why the device of a VF cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VfError {
    #[error("the state pages of {0} cannot be used")]
    State(VfId, #[source] vf82599::StateError),
    #[error("the config space of {0} cannot be used")]
    Config(VfId, #[source] pcie::StorageError),
}

impl Vf {
    /// A VF after power-on, on the pages `state`.
    pub(crate) fn new(spec: VfSpec, state: VfState, around: &Surroundings) -> Result<Self, VfError> {
        Self::build(spec, state, around, false)
    }

    /// The VF that an earlier data path left in `state` and in the fd store.
    pub(crate) fn attach(spec: VfSpec, state: VfState, around: &Surroundings) -> Result<Self, VfError> {
        Self::build(spec, state, around, true)
    }

    fn build(spec: VfSpec, state: VfState, around: &Surroundings, attach: bool) -> Result<Self, VfError> {
        let profile = spec.profile();
        let prefix = VfSpec::store_prefix(spec.vf);
        let domain = Arc::new(DmaDomain::new(Limits::default()));
        let vectors = Vectors::new(around.alarm.clone());
        let signal = Box::new(VectorSignal(Arc::clone(&vectors)));
        let interrupts = Arc::new(Interrupts::new(state.clone(), clock::cycles_per_microsecond(), signal));
        let index = spec.vport.0 as usize;
        let mut host = VfHost {
            vf: spec.vf,
            generation: spec.generation,
            adapter: Arc::clone(&around.adapter),
            dataplane: around.dataplane.clone(),
            kick: around.dataplane.kick(index),
        };
        if attach {
            restore_memory(&domain, around.store.as_ref(), &prefix);
            restore_vectors(&vectors, around.store.as_ref(), &prefix);
        }
        let identity = Identity {
            mac: spec.mac,
            queue_pairs: spec.queue_pairs,
            msix: match spec.msix {
                Msix::Relayed => MsixExposure::Deferred,
                Msix::Native => MsixExposure::Native,
            },
            rss_key: around.adapter.rss_key(),
            ..Identity::default()
        };
        let config = spec.config.clone();
        let made = if attach {
            Control::attach(state.clone(), profile, identity, Arc::clone(&interrupts), config, &mut host)
        } else {
            Control::new(state.clone(), profile, identity, Arc::clone(&interrupts), config)
        };
        let mut control = made.map_err(|e| VfError::Config(spec.vf, e))?;
        if !attach {
            control.set_link(spec.link_up, &mut host);
        }
        let queues = QueueProfile {
            queue_pairs: spec.queue_pairs,
            limits_length: profile.length_limit,
        };
        let queues = Queues::new(state.clone(), Arc::clone(&domain), interrupts, queues);
        let polled = spec.doorbells == Doorbells::Mapped;
        around.dataplane.attach(index, Box::new(queues), Arc::clone(&spec.counters), polled);
        around.store.put(&format!("{prefix}state"), state.as_fd(), "");
        let store = Arc::clone(&around.store);
        Ok(Self { spec, state, control, host, domain, vectors, store, prefix })
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
        self.vectors.reset();
        for what in ["dma/", "irq/", "client"] {
            self.store.remove(&format!("{}{what}", self.prefix));
        }
    }

    /// Takes the device away from the worker and from under the guest.
    pub(crate) fn withdraw(mut self) {
        self.control.unplug(&mut self.host);
        self.host.dataplane.detach(self.spec.vport.0 as usize);
        self.store.remove(&self.prefix);
    }

    /// Messages of vectors that the worker or a register access raised, for the VMM.
    pub(crate) fn messages(&self) -> Vec<pcie::Message> {
        let deliver = |vector| match self.control.msix().deliver(vector) {
            pcie::Delivery::Message(message) => Some(message),
            _ => None,
        };
        self.vectors.take_relayed().filter_map(deliver).collect()
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

impl Device for Vf {
    fn info(&self) -> DeviceInfo {
        DeviceInfo {
            flags: DeviceFlags::RESET | DeviceFlags::PCI,
            num_regions: region::COUNT,
            num_irqs: irq::COUNT,
        }
    }

    fn region(&self, index: u32) -> Option<RegionInfo<'_>> {
        let (size, mapping) = match index {
            region::BAR0 => {
                let mapping = Mapping { fd: self.state.as_fd(), offset: 0, areas: &[RING_PAGES] };
                (REGISTER_BYTES, (self.spec.doorbells == Doorbells::Mapped).then_some(mapping))
            }
            region::BAR3 => (BAR3_BYTES, None),
            region::CONFIG => (pcie::CONFIG_SPACE_SIZE as u64, None),
            _ => (0, None),
        };
        Some(RegionInfo { size, readable: size > 0, writable: size > 0, mapping })
    }

    fn irq(&self, index: u32) -> Option<IrqInfo> {
        let count = if index == irq::MSIX { VECTORS } else { 0 };
        Some(IrqInfo { flags: IrqFlags::EVENTFD | IrqFlags::NORESIZE, count })
    }

    fn read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        match region {
            region::BAR0 => self.control.bar0_read(offset, data, &self.host),
            region::BAR3 => self.control.bar3_read(offset, data),
            region::CONFIG => self.control.config_read(offset, data),
            _ => return Err(Errno::INVAL),
        }
        Ok(())
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        match region {
            region::BAR0 => self.control.bar0_write(offset, data, &mut self.host),
            region::BAR3 => self.control.bar3_write(offset, data),
            region::CONFIG => self.control.config_write(offset, data, &mut self.host),
            _ => return Err(Errno::INVAL),
        }
        Ok(())
    }

    fn dma_map(&mut self, map: DmaMap) -> Result<(), Errno> {
        // ROM and flash come without a file: nothing that a NIC would reach.
        let Some(fd) = &map.fd else { return Ok(()) };
        let note = MapNote {
            iova: map.range.iova(),
            size: map.range.size(),
            offset: map.offset,
            readable: map.readable,
            writable: map.writable,
        };
        self.domain.map(note.request(fd.as_fd())).map_err(|error| {
            warn_of_memory(self.spec.vf, error);
            Errno::INVAL
        })?;
        self.store.put(&note.name(&self.prefix), fd.as_fd(), &note.to_string());
        // A guest that was ready before its memory came back has frames to be fetched.
        self.host.kick.kick();
        Ok(())
    }

    fn dma_unmap(&mut self, unmap: DmaUnmap) -> Result<(), Errno> {
        let retired = match unmap {
            DmaUnmap::All => {
                self.store.remove(&format!("{}dma/", self.prefix));
                Some(self.domain.unmap_all())
            }
            DmaUnmap::Range(range) => {
                self.store.remove(&format!("{}dma/{:x}/", self.prefix, range.iova()));
                // A range that came without a file was never mapped.
                self.domain.unmap(range.iova(), range.size()).ok()
            }
        };
        self.host.dataplane.quiesce();
        drop(retired);
        Ok(())
    }

    fn set_irqs(&mut self, set: SetIrqs<'_>) -> Result<(), Errno> {
        if set.index != irq::MSIX || set.action != IrqAction::Trigger {
            return Err(Errno::INVAL);
        }
        let range = set.start..set.start.saturating_add(set.count);
        match set.data {
            IrqData::None if set.count == 0 => self.disconnect_vectors(0..VECTORS),
            IrqData::None => range.for_each(|vector| self.vectors.signal(vector)),
            IrqData::Bool(which) => {
                range
                    .zip(which)
                    .filter(|(_, on)| **on != 0)
                    .for_each(|(vector, _)| self.vectors.signal(vector));
            }
            IrqData::EventFds(eventfds) if eventfds.is_empty() => self.disconnect_vectors(range),
            IrqData::EventFds(eventfds) => {
                for (vector, eventfd) in range.zip(eventfds) {
                    self.store.put(&format!("{}irq/{vector}", self.prefix), eventfd.as_fd(), "");
                    self.vectors.connect(vector, Some(eventfd));
                }
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.control.reset(ResetKind::Device, &mut self.host);
    }
}

impl Vf {
    fn disconnect_vectors(&mut self, range: std::ops::Range<u32>) {
        for vector in range {
            self.vectors.connect(vector, None);
            self.store.remove(&format!("{}irq/{vector}", self.prefix));
        }
    }
}

/// What the fd store notes of a DMA map.
#[derive(Debug, Serialize, Deserialize)]
struct MapNote {
    iova: u64,
    size: u64,
    offset: u64,
    readable: bool,
    writable: bool,
}

impl MapNote {
    fn name(&self, prefix: &str) -> String {
        format!("{prefix}dma/{:x}/", self.iova)
    }

    fn request<'fd>(&self, fd: BorrowedFd<'fd>) -> MapRequest<'fd> {
        let Self { iova, size, offset, readable, writable } = *self;
        MapRequest { iova, size, offset, writable, readable, fd }
    }
}

impl fmt::Display for MapNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Tells, now and then, what is wrong with a guest's memory, and how it is made right.
fn warn_of_memory(vf: VfId, error: MapError) {
    static LIMIT: RateLimit = RateLimit::new();
    if LIMIT.allow() {
        tracing::warn!(
            %vf, %error,
            "guest memory cannot be used; QEMU needs -object memory-backend-memfd,id=mem,size=...,share=on and -machine memory-backend=mem"
        );
    }
}

fn restore_memory(domain: &DmaDomain, store: &dyn FdStore, prefix: &str) {
    for entry in store.entries(&format!("{prefix}dma/")) {
        let Ok(note) = serde_json::from_str::<MapNote>(&entry.note) else { continue };
        if let Err(error) = domain.map(note.request(entry.fd.as_fd())) {
            tracing::warn!(map = entry.note, %error, "cannot map guest memory again");
        }
    }
}

fn restore_vectors(vectors: &Vectors, store: &dyn FdStore, prefix: &str) {
    for entry in store.entries(&format!("{prefix}irq/")) {
        if let (Ok(vector), Ok(eventfd)) = (entry.name.parse(), EventFd::from_peer(entry.fd)) {
            vectors.connect(vector, Some(eventfd));
        }
    }
}
