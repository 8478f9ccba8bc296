//! What leaves the device besides memory writes.

/// The way out to the driver. Called on the worker: must not block.
pub trait Notify: Send + Sync + std::fmt::Debug {
    /// Interrupts the driver: ring number `ring` has used buffers (the call eventfd of vhost-user).
    fn call(&self, ring: usize);

    /// Says that ring number `ring` is broken until it is set up anew (the error eventfd of vhost-user). Why is in
    /// [`crate::AdapterState::broken`].
    fn error(&self, ring: usize);
}
