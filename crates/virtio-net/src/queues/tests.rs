//! Queues between a worker and drivers.

mod dirty;
mod headers;
mod hostile;
mod notification;
mod offload;
mod racing;
mod restart;
mod traffic;
