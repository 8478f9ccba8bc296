//! What a guest's driver shows of itself by what it does to the device.

use arrayvec::ArrayVec;

/// A sign of the guest's driver.
///
/// The first two alternate: they tell of each change of [`Control::is_receiving`](crate::Control::is_receiving). The
/// others tell what the guest, its VMM or the physical function did; if that closes the receive queues,
/// [`GuestSign::ReceiveClosed`] follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GuestSign {
    /// The first receive queue is open and may be filled: the driver is up, frames for the VF are heard.
    ReceiveOpen,
    /// The last receive queue is closed or may no longer be filled: frames for the VF are refused.
    ReceiveClosed,
    /// Bus mastering is off: the driver has let go of the function, or the VMM has.
    BusMasterOff,
    /// The function is in D3hot.
    PoweredDown,
    /// The driver starts over: VFCTRL.RST.
    DriverReset,
    /// The driver starts over: RESET by mailbox, which follows upon VFCTRL.RST or the removal of its address.
    MailboxReset,
    /// The function was reset: function level reset, reset of the machine, or a VMM that went away.
    FunctionReset,
}

impl GuestSign {
    /// Number of different signs.
    pub const COUNT: usize = 7;
}

/// Signs that nobody has acted on yet. However many there are, of each kind only the last is kept: a guest that closes
/// and opens its ring leaves both signs, in that order, and so does one that does it in a loop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestSigns(ArrayVec<GuestSign, { GuestSign::COUNT }>);

impl GuestSigns {
    /// Adds a sign at the end; an earlier one of the kind is forgotten.
    pub fn note(&mut self, sign: GuestSign) {
        self.0.retain(|earlier| *earlier != sign);
        self.0.push(sign);
    }

    /// Takes the signs out, in their order.
    pub fn take(&mut self) -> impl Iterator<Item = GuestSign> + use<> {
        std::mem::take(&mut self.0).into_iter()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
