//! What happens at VFs, synthetic adapters and VMMs, for whoever runs the virtualization stack.
//!
//! Bus and NetVSP write here and never wait. What a guest or a VMM does again and again before anybody looks is kept once,
//! so that the board is bounded by the number of devices.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nic_switch::VfId;
use vf82599::{GuestSign, GuestSigns};
use virt_stack::VmId;

use super::vmms::VmmNews;

/// Notices of VMMs that are kept at most.
const MOST_OF_VMMS: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The driver of a VF did something. The VF is named by the miniport's generation of its allocation.
    Guest { vf: VfId, generation: u64, sign: GuestSign },
    /// A VMM has connected to the socket of a VF, or left it.
    Client { vf: VfId, generation: u64, connected: bool },
    /// A guest with a driver for the synthetic adapter of this NIC is there, or gone.
    Present { nic: u32, present: bool },
    /// What a VMM told by QMP.
    Vmm { vm: VmId, news: VmmNews },
}

/// The board.
#[derive(Debug, Default)]
pub(crate) struct NoticeBoard {
    inner: Mutex<Inner>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    vfs: BTreeMap<(VfId, u64), OfVf>,
    present: BTreeMap<u32, bool>,
    vmms: VecDeque<(VmId, VmmNews)>,
    /// Somebody wants to be heard who has written nothing.
    nudged: bool,
    ended: bool,
}

#[derive(Debug, Default)]
struct OfVf {
    /// It was connected when last looked at, and the last state since, if there was a change.
    client: Option<bool>,
    /// It was disconnected in between.
    interrupted: bool,
    signs: GuestSigns,
}

impl NoticeBoard {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, write: impl FnOnce(&mut Inner)) {
        write(&mut self.lock());
        self.told.notify_one();
    }

    /// The guest of a VF did something.
    pub(crate) fn sign(&self, vf: VfId, generation: u64, sign: GuestSign) {
        self.write(|inner| inner.vfs.entry((vf, generation)).or_default().signs.note(sign));
    }

    /// A VMM has connected to the socket of a VF, or left it.
    pub(crate) fn client(&self, vf: VfId, generation: u64, connected: bool) {
        self.write(|inner| {
            let of = inner.vfs.entry((vf, generation)).or_default();
            of.interrupted |= !connected;
            of.client = Some(connected);
        });
    }

    /// A guest with a driver for the synthetic adapter of a NIC is there, or gone.
    pub(crate) fn present(&self, nic: u32, present: bool) {
        self.write(|inner| {
            inner.present.insert(nic, present);
        });
    }

    /// A VMM told something by QMP; false if it has to wait until it is heard.
    #[must_use]
    pub(crate) fn vmm(&self, vm: VmId, news: VmmNews) -> bool {
        let mut inner = self.lock();
        let room = inner.vmms.len() < MOST_OF_VMMS;
        if room {
            inner.vmms.push_back((vm, news));
            self.told.notify_one();
        }
        room
    }

    /// Has the reader look at its deadline anew.
    pub(crate) fn nudge(&self) {
        self.write(|inner| inner.nudged = true);
    }

    /// Nobody reads any more.
    pub(crate) fn end(&self) {
        self.write(|inner| inner.ended = true);
    }

    /// What happened since it was last asked; waits for something until `deadline`. `None` when it is over.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Option<Vec<Notice>> {
        let mut inner = self.lock();
        loop {
            if inner.ended {
                return None;
            }
            if std::mem::take(&mut inner.nudged) || inner.has_news() {
                return Some(inner.drain());
            }
            inner = match deadline {
                None => self.told.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left == Duration::ZERO {
                        return Some(Vec::new());
                    }
                    self.told.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Inner {
    fn has_news(&self) -> bool {
        !self.vfs.is_empty() || !self.present.is_empty() || !self.vmms.is_empty()
    }

    /// Everything, with what VMMs say last: a device that is gone was closed before.
    fn drain(&mut self) -> Vec<Notice> {
        let mut notices = Vec::new();
        for ((vf, generation), mut of) in std::mem::take(&mut self.vfs) {
            let client = |connected| Notice::Client { vf, generation, connected };
            if of.interrupted {
                notices.push(client(false));
            }
            if of.client == Some(true) {
                notices.push(client(true));
            }
            notices.extend(of.signs.take().map(|sign| Notice::Guest { vf, generation, sign }));
        }
        let present = std::mem::take(&mut self.present).into_iter();
        notices.extend(present.map(|(nic, present)| Notice::Present { nic, present }));
        let vmms = std::mem::take(&mut self.vmms).into_iter();
        notices.extend(vmms.map(|(vm, news)| Notice::Vmm { vm, news }));
        notices
    }
}

#[cfg(test)]
mod tests;
