//! Tests of the crate as a whole: conformance to ndis.md, guests, hostile input, random sequences.

mod conformance;
mod guest;
mod hostile;
mod properties;
mod queue_properties;
pub(crate) mod raw;
pub(crate) mod support;
