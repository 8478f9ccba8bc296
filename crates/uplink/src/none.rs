//! A physical port that leads nowhere.

use ethernet::VlanTag;
use port::{Burst, Consumed, Cycles, Frame, Malformed, Port, Put, Refusal};

/// Brings no frame and takes none: an adapter whose cable is not plugged in.
#[derive(Debug)]
pub(crate) struct Unplugged;

impl Port for Unplugged {
    fn fetch(&mut self, _burst: &mut Burst, _now: Cycles) {}

    fn resume(&self) -> u32 {
        0
    }

    fn complete(&mut self, _burst: &Burst, _consumed: Consumed, _now: Cycles) {}

    fn put(&mut self, _frame: &Frame<'_>, _tag: Option<VlanTag>, _from: u32) -> Put {
        Put::Refused(Refusal::NotReady)
    }

    fn flush(&mut self, _now: Cycles) {}

    fn has_work(&self) -> bool {
        false
    }

    fn deadline(&self) -> Option<Cycles> {
        None
    }

    fn take_malformed(&mut self, _count: &mut dyn FnMut(Malformed, u64)) {}
}
