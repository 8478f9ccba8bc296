//! What stands for the switch: it puts frames into ports and fetches them.

use std::os::fd::AsFd;

use ethernet::VlanTag;
use guest_memory::{Access, DmaDomain, Limits, MapRequest};
use port::{Burst, Consumed, FrameMeta, HEADER_MAX, Pieces, Port, Put, Spec};
use rustix::fs::MemfdFlags;

use super::host::{is_ours, until, wait_readable};
use crate::{LinkEvent, Uplink, Wake};

const MEMORY: u64 = 1 << 20;

/// A guest's memory and a worker's burst.
#[derive(Debug)]
pub(crate) struct Switch {
    domain: DmaDomain,
    burst: Burst,
}

/// A frame that was fetched, as the receiver would get it, in pieces.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) meta: FrameMeta,
    pub(crate) pieces: Vec<Vec<u8>>,
}

impl Switch {
    pub(crate) fn new() -> Self {
        let domain = DmaDomain::new(Limits::default());
        let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, MEMORY).unwrap();
        let request =
            MapRequest { iova: 0, size: MEMORY, offset: 0, writable: true, readable: true, fd: fd.as_fd() };
        domain.map(request).unwrap();
        Self { domain, burst: Burst::new() }
    }

    /// Puts a frame, without a flush.
    pub(crate) fn put(
        &mut self,
        port: &mut dyn Port,
        frame: &[u8],
        spec: &Spec,
        tag: Option<VlanTag>,
    ) -> Put {
        self.try_put(port, frame, spec, tag).expect("a frame that makes sense")
    }

    /// Puts a frame if it makes any sense.
    pub(crate) fn try_put(
        &mut self,
        port: &mut dyn Port,
        frame: &[u8],
        spec: &Spec,
        tag: Option<VlanTag>,
    ) -> Option<Put> {
        self.try_put_from(port, frame, spec, tag, 0)
    }

    /// Puts a frame from piece number `from` on, if it makes any sense.
    pub(crate) fn try_put_from(
        &mut self,
        port: &mut dyn Port,
        frame: &[u8],
        spec: &Spec,
        tag: Option<VlanTag>,
        from: u32,
    ) -> Option<Put> {
        self.burst.begin(self.domain.view());
        self.domain.view().write_bytes(0, frame).unwrap();
        self.burst.gather(0, frame.len()).unwrap();
        let sense = self.burst.commit(spec).is_ok();
        let put = sense.then(|| port.put(&self.burst.frame(0), tag, from));
        self.burst.clear();
        put
    }

    /// Puts a plain frame and flushes.
    pub(crate) fn send(&mut self, port: &mut dyn Port, frame: &[u8]) -> Put {
        let put = self.put(port, frame, &Spec::default(), None);
        port.flush(0);
        put
    }

    /// Fetches once; `done` of the frames are finished with, all if `None`.
    pub(crate) fn fetch(&mut self, port: &mut dyn Port, done: Option<usize>) -> Vec<Fetched> {
        port.fetch(&mut self.burst, 0);
        let count = self.burst.len();
        let fetched = (0..count).map(|index| self.take_apart(index)).collect();
        if count > 0 {
            let frames = done.unwrap_or(count);
            port.complete(&self.burst, Consumed { frames, pieces: 0 }, 0);
        }
        self.burst.clear();
        port.flush(0);
        fetched
    }

    fn take_apart(&self, index: usize) -> Fetched {
        let frame = self.burst.frame(index);
        let pieces = Pieces::new(&frame).unwrap();
        let bytes = (0..pieces.count()).map(|index| {
            let mut scratch = [0; HEADER_MAX + 4];
            let piece = pieces.get(index, None, &mut scratch);
            let view = self.domain.view();
            piece.write(&[view.slice(0, piece.len(), Access::Write).unwrap()]).unwrap();
            let mut bytes = vec![0; piece.len()];
            view.read_bytes(0, &mut bytes).unwrap();
            bytes
        });
        Fetched { meta: *frame.meta(), pieces: bytes.collect() }
    }

    /// Waits for one frame of the tests' own.
    pub(crate) fn receive(&mut self, port: &mut dyn Port, wake: &Wake) -> Fetched {
        let mut found = None;
        until("a frame", || {
            wait_readable(wake, std::time::Duration::from_millis(100));
            // Others are the host's chatter.
            found = self.fetch(port, None).into_iter().find(|fetched| is_ours(&fetched.pieces[0]));
            found.is_some()
        });
        found.unwrap()
    }

    /// Sends by `send` until a frame comes: the other end of a veth that was down loses some while it wakes up.
    pub(crate) fn receive_again(&mut self, port: &mut dyn Port, mut send: impl FnMut()) {
        until("a frame", || {
            send();
            self.fetch(port, None).iter().any(|fetched| is_ours(&fetched.pieces[0]))
        });
    }
}

/// Waits for an event of the link that `wanted` is about.
pub(crate) fn hear(uplink: &mut Uplink, what: &str, mut wanted: impl FnMut(LinkEvent) -> bool) {
    let watcher = uplink.watcher.as_mut().unwrap();
    until(what, || {
        wait_readable(&*watcher, std::time::Duration::from_millis(100));
        watcher.next_event().is_some_and(&mut wanted)
    });
}
