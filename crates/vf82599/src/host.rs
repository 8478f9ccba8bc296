//! What the control half needs from outside.

use port::{Cycles, GuestReply, GuestRequest};

use crate::sign::GuestSign;

/// The surroundings of a VF, as its control half sees them. Each call is made on the thread that serves the VF's
/// socket, while the VMM waits for the answer to its message.
pub trait Host {
    /// Returns when no worker touches the VF's queues or its guest's memory any more on the ground of what it read
    /// before: after each worker has passed a quiescent point. The words that stop the worker are stored already.
    fn quiesce(&mut self);

    /// Wakes the worker: a doorbell was rung, or a moderated interrupt waits for its time.
    fn kick(&mut self);

    /// Asks the physical function, which answers by its own rules. Must not wait for anything but a decision: VMMs
    /// give up on a device that does not answer for seconds.
    fn request(&mut self, request: GuestRequest) -> GuestReply;

    /// The guest, or what runs on its behalf, did something to the device by which its driver's coming and going can be
    /// told. Called when that has taken effect, in the order of the guest's actions.
    ///
    /// A guest can do this as often as it writes registers: whoever acts on signs collects them
    /// ([`GuestSigns`](crate::GuestSigns)) and acts at a rate of its own. By default nobody does.
    fn guest_sign(&mut self, _sign: GuestSign) {}

    /// The time.
    fn now(&self) -> Cycles;
}
