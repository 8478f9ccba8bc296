//! What the VMM asks of the VF.

use std::ops::Range;
use std::os::fd::AsFd;

use vf82599::registers::{REGISTER_BYTES, VECTORS};
use vf82599::{RINGS, ResetKind};
use vfio_user::{
    Device, DeviceFlags, DeviceInfo, DmaMap, DmaUnmap, Errno, IrqAction, IrqData, IrqFlags, IrqInfo, Mapping,
    MmapArea, RegionInfo, SetIrqs,
};

use super::Vf;
use super::memory::{MapNote, map_name};
use crate::config::Doorbells;

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
/// The registers that have no side effects but doorbells.
const RING_PAGES: MmapArea = MmapArea { offset: RINGS.start as u64, size: (RINGS.end - RINGS.start) as u64 };

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
                let mapping = Mapping { fd: self.state.rings_fd(), offset: 0, areas: &[RING_PAGES] };
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
        let note = MapNote::of(&map);
        // ROM and flash come without a file: nothing that a NIC would reach.
        let Some(fd) = map.fd else { return Ok(()) };
        self.domain.map(note.request(fd.as_fd())).map_err(|error| {
            self.log.warn(format_args!(
                "guest memory cannot be used: {error}; QEMU needs -object memory-backend-memfd,id=mem,size=...,share=on and -machine memory-backend=mem"
            ));
            Errno::INVAL
        })?;
        self.around.store.put(&note.name(&self.prefix), fd, &note.to_string());
        // A guest that was ready before its memory came back has frames to be fetched.
        self.host.kick.kick();
        Ok(())
    }

    fn dma_unmap(&mut self, unmap: DmaUnmap) -> Result<(), Errno> {
        let retired = match unmap {
            DmaUnmap::All => {
                self.around.store.remove(&format!("{}dma/", self.prefix));
                Some(self.domain.unmap_all())
            }
            DmaUnmap::Range(range) => {
                self.around.store.remove(&map_name(&self.prefix, range.iova()));
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
                    let kept = eventfd.as_fd().try_clone_to_owned().map_err(|_| Errno::NFILE)?;
                    self.around.store.put(&vector_name(&self.prefix, vector), kept, "");
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
    fn disconnect_vectors(&self, range: Range<u32>) {
        for vector in range {
            self.vectors.connect(vector, None);
            self.around.store.remove(&vector_name(&self.prefix, vector));
        }
    }
}

/// Name of a vector's eventfd in the store.
fn vector_name(prefix: &str, vector: u32) -> String {
    format!("{prefix}irq/{vector}")
}
