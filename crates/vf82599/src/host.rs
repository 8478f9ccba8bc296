//! What the control half needs from outside.

use port::{Cycles, GuestReply, GuestRequest};

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

    /// The time.
    fn now(&self) -> Cycles;
}
