//! The queues against a model of their driver.

mod attach;
#[expect(unreachable_pub, reason = "the benchmark uses it too")]
mod driver;
mod frames;
mod hostile;
mod rig;
mod rx;
mod traffic;
mod tx;
