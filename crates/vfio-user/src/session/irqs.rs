//! SET_IRQS: what of it depends on the device's interrupts.

use crate::device::{Device, IrqAction, IrqData, IrqFlags, IrqInfo, SetIrqs};
use crate::reason::{Reason, Rejection};

pub(super) fn find(device: &dyn Device, index: u32) -> Result<IrqInfo, Reason> {
    device.irq(index).filter(|_| index < device.info().num_irqs).ok_or(Reason::IrqIndex)
}

pub(super) fn set(device: &mut dyn Device, set: SetIrqs<'_>) -> Result<(), Rejection> {
    check(find(device, set.index)?, &set)?;
    device.set_irqs(set).map_err(Rejection::device)
}

fn check(irq: IrqInfo, set: &SetIrqs<'_>) -> Result<(), Reason> {
    if set.count == 0 {
        let disables =
            set.start == 0 && set.action == IrqAction::Trigger && matches!(set.data, IrqData::None);
        return if disables { Ok(()) } else { Err(Reason::IrqRange) };
    }
    if set.start.checked_add(set.count).is_none_or(|end| end > irq.count) {
        return Err(Reason::IrqRange);
    }
    let needs = match (set.action, &set.data) {
        (IrqAction::Trigger, IrqData::None | IrqData::Bool(_)) => IrqFlags::empty(),
        (IrqAction::Trigger, IrqData::EventFds(_)) => IrqFlags::EVENTFD,
        (_, IrqData::None | IrqData::Bool(_)) => IrqFlags::MASKABLE,
        (_, IrqData::EventFds(_)) => IrqFlags::MASKABLE | IrqFlags::EVENTFD,
    };
    if irq.flags.contains(needs) { Ok(()) } else { Err(Reason::IrqFlags) }
}
