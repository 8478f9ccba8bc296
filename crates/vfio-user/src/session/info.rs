//! Answers to the questions about device, regions and interrupts.

use crate::device::{Device, Mapping};
use crate::output::Encoder;
use crate::protocol::{self, SparseArea, SparseMmapCapability, wire_size};
use crate::reason::Reason;

const REGION_INFO_SIZE: u32 = wire_size::<protocol::RegionInfo>();

pub(super) fn device(device: &dyn Device, reply: &mut Encoder<'_>) {
    let info = device.info();
    reply.push(&protocol::DeviceInfo {
        argsz: wire_size::<protocol::DeviceInfo>().into(),
        flags: info.flags.bits().into(),
        num_regions: info.num_regions.into(),
        num_irqs: info.num_irqs.into(),
    });
}

/// A client that offers too little room for the capabilities gets the structure alone, with the room needed, the flag
/// and the offset of the capabilities (QEMU fails without the last), and no descriptor (QEMU would lose it when it
/// asks again).
pub(super) fn region(
    device: &dyn Device,
    index: u32,
    argsz: u32,
    client_fds: u32,
    reply: &mut Encoder<'_>,
) -> Result<(), Reason> {
    let region = super::region::find(device, index)?;
    // A file that the client cannot receive does not exist for it.
    let mapping = region.mapping.filter(|_| client_fds > 0 && region.size > 0);
    let areas = mapping.map_or(&[][..], |mapping| mapping.areas);
    let mut flags = 0;
    for (flag, set) in [
        (protocol::REGION_READ, region.readable),
        (protocol::REGION_WRITE, region.writable),
        (protocol::REGION_MMAP, mapping.is_some()),
        (protocol::REGION_CAPS, !areas.is_empty()),
    ] {
        flags |= if set { flag } else { 0 };
    }
    let areas_length = u32::try_from(size_of_val(areas)).expect("the areas of a region are few");
    let needed = REGION_INFO_SIZE
        + if areas.is_empty() { 0 } else { wire_size::<SparseMmapCapability>() + areas_length };
    reply.push(&protocol::RegionInfo {
        argsz: needed.into(),
        flags: flags.into(),
        index: index.into(),
        cap_offset: if areas.is_empty() { 0 } else { REGION_INFO_SIZE }.into(),
        size: region.size.into(),
        offset: mapping.map_or(0, |mapping| mapping.offset).into(),
    });
    match mapping {
        Some(mapping) if needed <= argsz => mapping_details(&mapping, reply),
        _ => Ok(()),
    }
}

fn mapping_details(mapping: &Mapping<'_>, reply: &mut Encoder<'_>) -> Result<(), Reason> {
    reply.attach(mapping.fd.try_clone_to_owned().map_err(|_| Reason::NoFdLeft)?);
    if mapping.areas.is_empty() {
        return Ok(());
    }
    let areas = u32::try_from(mapping.areas.len()).expect("the areas of a region are few");
    reply.push(&SparseMmapCapability {
        id: protocol::REGION_CAP_SPARSE_MMAP.into(),
        version: 1.into(),
        next: 0.into(),
        areas: areas.into(),
        reserved: 0.into(),
    });
    for area in mapping.areas {
        reply.push(&SparseArea { offset: area.offset.into(), size: area.size.into() });
    }
    Ok(())
}

pub(super) fn irq(device: &dyn Device, index: u32, reply: &mut Encoder<'_>) -> Result<(), Reason> {
    let irq = super::irqs::find(device, index)?;
    reply.push(&protocol::IrqInfo {
        argsz: wire_size::<protocol::IrqInfo>().into(),
        flags: irq.flags.bits().into(),
        index: index.into(),
        count: irq.count.into(),
    });
    Ok(())
}
