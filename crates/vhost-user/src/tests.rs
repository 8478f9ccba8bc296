//! Tests of the whole: what a front end sees, hostile ones included.

#![expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]

mod backpressure;
mod conversation;
mod handover;
mod hostile;
mod hostile_rings;
mod migration;
mod order;
mod peer;
mod stream;
mod support;
