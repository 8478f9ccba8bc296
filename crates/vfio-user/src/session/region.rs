//! Reads and writes of regions.

use crate::device::{Device, RegionInfo};
use crate::output::Encoder;
use crate::protocol::{RegionAccess, SmallWrite, WriteMulti};
use crate::reason::{Reason, Rejection};

pub(super) fn find(device: &dyn Device, index: u32) -> Result<RegionInfo<'_>, Reason> {
    device.region(index).filter(|_| index < device.info().num_regions).ok_or(Reason::RegionIndex)
}

pub(super) fn read(
    device: &mut dyn Device,
    access: RegionAccess,
    reply: &mut Encoder<'_>,
) -> Result<(), Rejection> {
    let (region, offset, count) = (access.region.get(), access.offset.get(), access.count.get());
    check(device, Direction::Read, region, offset, count)?;
    reply.push(&access);
    if count == 0 {
        return Ok(());
    }
    device.read(region, offset, reply.space(count as usize)).map_err(Rejection::device)
}

pub(super) fn write(
    device: &mut dyn Device,
    access: RegionAccess,
    data: &[u8],
    reply: &mut Encoder<'_>,
) -> Result<(), Rejection> {
    let (region, offset) = (access.region.get(), access.offset.get());
    check(device, Direction::Write, region, offset, access.count.get())?;
    if !data.is_empty() {
        device.write(region, offset, data).map_err(Rejection::device)?;
    }
    reply.push(&access);
    Ok(())
}

/// All writes are checked before the first is done. If the device then refuses one, those before it have happened and
/// those after it do not.
pub(super) fn write_multi(
    device: &mut dyn Device,
    writes: &[SmallWrite],
    reply: &mut Encoder<'_>,
) -> Result<(), Rejection> {
    for write in writes {
        check(device, Direction::Write, write.region.get(), write.offset.get(), write.count.get())?;
    }
    for write in writes {
        let data = &write.data[..write.count.get() as usize];
        if !data.is_empty() {
            device.write(write.region.get(), write.offset.get(), data).map_err(Rejection::device)?;
        }
    }
    reply.push(&WriteMulti { count: (writes.len() as u64).into() });
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

fn check(
    device: &dyn Device,
    direction: Direction,
    index: u32,
    offset: u64,
    count: u32,
) -> Result<(), Reason> {
    let region = find(device, index)?;
    if offset.checked_add(count.into()).is_none_or(|end| end > region.size) {
        return Err(Reason::RegionBounds);
    }
    let allowed = match direction {
        Direction::Read => region.readable,
        Direction::Write => region.writable,
    };
    if allowed { Ok(()) } else { Err(Reason::RegionDirection) }
}
