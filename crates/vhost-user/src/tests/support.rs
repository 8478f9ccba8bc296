//! A device that watches over its contract, and front ends with and without a socket.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use guest_memory::{DmaDomain, MapRequest};
use rustix::fs::MemfdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use sys::EventFd;
use zerocopy::FromBytes;

use crate::protocol::{HEADER_SIZE, Header, RequestCode, features, protocol_features};
use crate::{
    Backend, Closed, Connection, Decoder, Errno, FileRange, InflightShape, Limits, MemoryChange,
    MemoryRegion, Progress, Reason, Ring, RingEvent, RingPosition, Session, SharedRegion,
};

pub(super) const LIMITS: Limits = Limits { queue_pairs: 2, queue_size: 1024, memory_slots: 12 };

/// What the test device offers: merged buffers, indirect descriptors, event indices, version 1, packed rings.
pub(super) const DEVICE: u64 = 1 << 15 | 1 << 28 | features::EVENT_IDX | 1 << 32 | features::RING_PACKED;
/// A driver with split rings, of a front end that knows protocol features.
pub(super) const SPLIT: u64 = 1 << 32 | features::PROTOCOL_FEATURES;
pub(super) const PACKED: u64 = SPLIT | features::RING_PACKED;

/// Guest memory: 16 MiB at guest address 0x1000_0000, in the front end at `USER`.
pub(super) const GUEST: u64 = 0x1000_0000;
pub(super) const USER: u64 = 0x7f00_0000_0000;
pub(super) const SIZE: u64 = 0x100_0000;
/// Bytes of a log that covers it.
pub(super) const LOG_SIZE: u64 = (GUEST + SIZE) / 4096 / 8;

/// A call that the device got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Features(u64),
    Replace(Vec<MemoryRegion>),
    Add(MemoryRegion),
    Remove(MemoryRegion),
    Start(u16, RingPosition),
    Stop(u16),
    Enabled(u16, bool),
    Event(u16, RingEvent, bool),
    DeviceLog(u16, Option<u64>),
    Log(Option<(u64, u64)>),
    CreateInflight(InflightShape),
    SetInflight(InflightShape),
    Mtu(u16),
    Announce([u8; 6]),
    Status(u8),
    Reset,
}

/// A device that checks that the session keeps its side of the contract.
#[derive(Debug, Default)]
pub(super) struct TestBackend {
    pub(super) calls: Vec<Call>,
    pub(super) memory: Vec<MemoryRegion>,
    pub(super) rings: BTreeMap<u16, Ring>,
    pub(super) log: Option<u64>,
    pub(super) features: u64,
    /// What the next fallible call returns.
    pub(super) fail: Option<Errno>,
    /// What is put on top of the position of a ring that is stopped.
    pub(super) progress: u16,
    /// Where memory is really mapped, for the tests that need it.
    pub(super) domain: Option<DmaDomain>,
}

impl TestBackend {
    pub(super) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }

    fn call(&mut self, call: Call) -> Result<(), Errno> {
        self.calls.push(call);
        self.fail.take().map_or(Ok(()), Err)
    }

    fn map(&self, shared: &SharedRegion) -> Result<(), Errno> {
        let Some(domain) = &self.domain else { return Ok(()) };
        let region = &shared.region;
        let request = MapRequest {
            iova: region.guest(),
            size: region.size(),
            offset: region.offset(),
            writable: true,
            readable: true,
            fd: shared.fd.as_fd(),
        };
        domain.map(request).map_err(|_| Errno::INVAL)
    }

    fn unmap_all(&mut self) {
        self.memory.clear();
        if let Some(domain) = &self.domain {
            drop(domain.unmap_all());
        }
    }

    /// What must hold between two messages.
    pub(super) fn check(&self) {
        for ring in self.rings.values() {
            let packed = matches!(ring.position, RingPosition::Packed { .. });
            assert_eq!(packed, self.features & features::RING_PACKED != 0);
            assert!(packed || ring.size.is_power_of_two());
            for (address, bytes) in parts(ring, self.features) {
                let inside = |region: &MemoryRegion| {
                    address >= region.guest() && address + bytes <= region.guest() + region.size()
                };
                assert!(self.memory.iter().any(inside), "{ring:x?} is not in {:x?}", self.memory);
            }
            if let Some(log) = self.log {
                assert!(self.memory.iter().all(|region| (region.guest() + region.size() - 1) / 32768 < log));
                assert!(ring.device_log.is_none_or(|address| address / 32768 < log));
            }
        }
    }
}

fn parts(ring: &Ring, features: u64) -> [(u64, u64); 3] {
    let size = u64::from(ring.size);
    let event = if features & features::EVENT_IDX != 0 { 2 } else { 0 };
    let (driver, device) = match ring.position {
        RingPosition::Split(_) => (4 + 2 * size + event, 4 + 8 * size + event),
        RingPosition::Packed { .. } => (4, 4),
    };
    [(ring.descriptors, 16 * size), (ring.driver, driver), (ring.device, device)]
}

impl Backend for TestBackend {
    fn features(&self) -> u64 {
        DEVICE
    }

    fn set_features(&mut self, features: u64) {
        assert!(self.rings.is_empty(), "features change while rings run");
        assert_eq!(features & !DEVICE, 0);
        self.features = features;
        self.calls.push(Call::Features(features));
    }

    fn change_memory(&mut self, change: MemoryChange<'_>) -> Result<(), Errno> {
        match change {
            MemoryChange::Replace(regions) => {
                assert!(self.rings.is_empty(), "memory is replaced under running rings");
                self.unmap_all();
                let mapped = regions.iter().try_for_each(|shared| self.map(shared));
                let regions: Vec<_> = regions.iter().map(|shared| shared.region).collect();
                let done = self.call(Call::Replace(regions.clone())).and(mapped);
                if done.is_ok() {
                    self.memory = regions;
                } else {
                    self.unmap_all();
                }
                done
            }
            MemoryChange::Add(shared) => {
                self.call(Call::Add(shared.region))?;
                self.map(shared)?;
                self.memory.push(shared.region);
                Ok(())
            }
            MemoryChange::Remove(region) => {
                self.call(Call::Remove(*region))?;
                let before = self.memory.len();
                self.memory.retain(|known| known != region);
                assert_eq!(self.memory.len(), before - 1);
                self.check();
                Ok(())
            }
        }
    }

    fn start(&mut self, index: u16, ring: Ring) -> Result<(), Errno> {
        assert!(index < LIMITS.rings());
        self.call(Call::Start(index, ring.position))?;
        assert!(self.rings.insert(index, ring).is_none(), "ring {index} starts twice");
        Ok(())
    }

    fn stop(&mut self, index: u16) -> RingPosition {
        let ring = self.rings.remove(&index).expect("a ring that stops has been started");
        self.calls.push(Call::Stop(index));
        match ring.position {
            RingPosition::Split(at) => RingPosition::Split(at.wrapping_add(self.progress)),
            RingPosition::Packed { index, wrap } => {
                let to = index + self.progress % ring.size;
                RingPosition::Packed { index: to % ring.size, wrap: wrap ^ (to >= ring.size) }
            }
        }
    }

    fn set_enabled(&mut self, index: u16, enabled: bool) {
        let ring = self.rings.get_mut(&index).expect("the ring runs");
        assert_ne!(ring.enabled, enabled);
        ring.enabled = enabled;
        self.calls.push(Call::Enabled(index, enabled));
    }

    fn set_event(&mut self, index: u16, event: RingEvent, fd: Option<Arc<EventFd>>) {
        let ring = self.rings.get_mut(&index).expect("the ring runs");
        self.calls.push(Call::Event(index, event, fd.is_some()));
        match event {
            RingEvent::Kick => ring.kick = fd,
            RingEvent::Call => ring.call = fd,
            RingEvent::Err => ring.err = fd,
        }
    }

    fn set_device_log(&mut self, index: u16, address: Option<u64>) {
        let ring = self.rings.get_mut(&index).expect("the ring runs");
        assert_ne!(ring.device_log, address);
        ring.device_log = address;
        self.calls.push(Call::DeviceLog(index, address));
    }

    fn set_log(&mut self, log: Option<FileRange<'_>>) -> Result<(), Errno> {
        self.log = None;
        self.call(Call::Log(log.map(|log| (log.offset, log.size))))?;
        self.log = log.map(|log| log.size);
        self.check();
        Ok(())
    }

    fn create_inflight(&mut self, shape: InflightShape) -> Result<OwnedFd, Errno> {
        self.call(Call::CreateInflight(shape))?;
        Ok(memfd(shape.size()))
    }

    fn set_inflight(&mut self, shape: InflightShape, area: FileRange<'_>) -> Result<(), Errno> {
        assert!(area.size >= shape.size());
        self.call(Call::SetInflight(shape))
    }

    fn set_mtu(&mut self, mtu: u16) -> Result<(), Errno> {
        self.call(Call::Mtu(mtu))
    }

    fn announce(&mut self, mac: [u8; 6]) -> Result<(), Errno> {
        self.call(Call::Announce(mac))
    }

    fn set_status(&mut self, status: u8) {
        assert!(status != 0 || self.rings.is_empty());
        self.calls.push(Call::Status(status));
    }

    fn reset(&mut self) {
        assert!(self.rings.is_empty() && self.log.is_none());
        self.features = 0;
        self.calls.push(Call::Reset);
    }
}

/// Encodes a request.
pub(super) fn message(code: RequestCode, payload: &[u8]) -> Vec<u8> {
    raw(code as u32, 1, payload)
}

/// Encodes a request that wants to be acknowledged.
pub(super) fn acked(code: RequestCode, payload: &[u8]) -> Vec<u8> {
    raw(code as u32, 1 | Header::NEED_REPLY, payload)
}

/// Encodes any message.
pub(super) fn raw(request: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
    [&words(&[request, flags, payload.len() as u32]), payload].concat()
}

/// Joins 32-bit words.
pub(super) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Joins 64-bit words.
pub(super) fn longs(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Payload of SET_MEM_TABLE, from (guest, size, user, offset).
pub(super) fn table(regions: &[[u64; 4]]) -> Vec<u8> {
    [words(&[regions.len() as u32, 0]), longs(&regions.concat())].concat()
}

pub(super) const REGION: [u64; 4] = [GUEST, SIZE, USER, 0];

/// Payload of ADD_MEM_REG and REM_MEM_REG.
pub(super) fn single(region: [u64; 4]) -> Vec<u8> {
    [vec![0; 8], longs(&region)].concat()
}

/// Payload of SET_VRING_ADDR.
pub(super) fn addresses(index: u32, flags: u32, [desc, driver, device]: [u64; 3], log: u64) -> Vec<u8> {
    [words(&[index, flags]), longs(&[desc, device, driver, log])].concat()
}

/// Where the test front ends put the parts of a ring of up to 1,024 entries, in their own address space.
pub(super) fn places(index: u32) -> [u64; 3] {
    let at = USER + u64::from(index) * 0x1_0000;
    [at, at + 0x4000, at + 0x8000]
}

/// What QEMU sends, in its order, to bring ring `index` of 256 entries up.
pub(super) fn ring(index: u32, base: u32) -> Vec<(Vec<u8>, Vec<OwnedFd>)> {
    use RequestCode::{SetVringAddr, SetVringBase, SetVringCall, SetVringKick, SetVringNum};
    vec![
        (message(SetVringNum, &words(&[index, 256])), vec![]),
        (message(SetVringBase, &words(&[index, base])), vec![]),
        (message(SetVringAddr, &addresses(index, 0, places(index), 0)), vec![]),
        (message(SetVringKick, &longs(&[index.into()])), vec![eventfd()]),
        (message(SetVringCall, &longs(&[index.into()])), vec![eventfd()]),
    ]
}

/// A reply as the front end sees it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) request: u32,
    pub(super) payload: Vec<u8>,
    pub(super) fd: Option<OwnedFd>,
}

impl Reply {
    fn decode(header: Header, payload: Vec<u8>, fd: Option<OwnedFd>) -> Self {
        assert_eq!(header.flags.get(), Header::VERSION | Header::REPLY);
        assert_eq!(header.size.get() as usize, payload.len());
        Self { request: header.request.get(), payload, fd }
    }

    pub(super) fn number(&self) -> u64 {
        u64::from_ne_bytes(self.payload.as_slice().try_into().unwrap())
    }
}

/// A session without a socket.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) device: TestBackend,
}

impl Bench {
    /// Nothing was said yet.
    pub(super) fn fresh() -> Self {
        Self { session: Session::new(LIMITS), device: TestBackend::default() }
    }

    /// After the protocol features.
    pub(super) fn new() -> Self {
        let mut bench = Self::fresh();
        let all = longs(&[protocol_features::OFFERED]);
        bench.done(&message(RequestCode::SetProtocolFeatures, &all), vec![]);
        bench
    }

    /// After features and memory, ready for rings.
    pub(super) fn with_memory(features: u64) -> Self {
        let mut bench = Self::new();
        bench.done(&message(RequestCode::SetFeatures, &longs(&[features])), vec![]);
        bench.done(&message(RequestCode::SetMemTable, &table(&[REGION])), vec![memfd(SIZE)]);
        bench
    }

    /// With rings 0 and 1 running, both enabled.
    pub(super) fn running(features: u64) -> Self {
        let mut bench = Self::with_memory(features);
        for index in 0..2 {
            bench.done(&message(RequestCode::SetVringEnable, &words(&[index, 1])), vec![]);
            for (message, fds) in ring(index, if features & features::RING_PACKED == 0 { 0 } else { 0x8000 })
            {
                bench.done(&message, fds);
            }
        }
        assert_eq!(bench.session.running_rings(), 2);
        bench.device.take_calls();
        bench
    }

    /// Hands a message in and returns what comes out of it.
    pub(super) fn send(&mut self, message: &[u8], fds: Vec<OwnedFd>) -> Vec<Reply> {
        let mut decoder = Decoder::default();
        let mut rest = message;
        decoder.push_fds(fds);
        while !rest.is_empty() {
            rest = &rest[decoder.push(rest)..];
            if let Some(message) = decoder.message().unwrap() {
                self.session.handle(message, &mut self.device);
            }
        }
        assert!(!decoder.is_mid_message(), "the message is not complete");
        self.device.check();
        let output = self.session.output_mut().take_frames();
        let replies = output.map(|(bytes, fd)| {
            let (header, payload) = Header::read_from_prefix(&bytes).unwrap();
            Reply::decode(header, payload.to_vec(), fd)
        });
        replies.collect()
    }

    /// Sends what is carried out and not answered.
    pub(super) fn done(&mut self, message: &[u8], fds: Vec<OwnedFd>) {
        let total = self.session.counters().total();
        assert!(self.send(message, fds).is_empty());
        assert_eq!(self.session.counters().total(), total, "{:?}", self.counted());
    }

    /// Asks for something that is answered.
    pub(super) fn ask(&mut self, message: &[u8], fds: Vec<OwnedFd>) -> Reply {
        let mut replies = self.send(message, fds);
        assert_eq!(replies.len(), 1, "one request, one reply; {:?}", self.counted());
        let reply = replies.remove(0);
        assert_eq!(reply.request.to_ne_bytes(), message[..4]);
        reply
    }

    /// Asks with the acknowledgement wanted; true if it went well.
    pub(super) fn try_ask(&mut self, code: RequestCode, payload: &[u8], fds: Vec<OwnedFd>) -> bool {
        self.ask(&acked(code, payload), fds).number() == 0
    }

    /// Sends something that is refused for `reason`: the front end learns of it, the device does not.
    pub(super) fn refused(&mut self, code: RequestCode, payload: &[u8], fds: Vec<OwnedFd>, reason: Reason) {
        self.device.take_calls();
        let (before, total) = (self.session.counters().get(reason), self.session.counters().total());
        let reply = self.ask(&acked(code, payload), fds);
        assert!(reply.payload.is_empty() || reply.number() != 0, "{code:?} went well");
        assert!(reply.fd.is_none());
        assert_eq!(self.session.counters().get(reason), before + 1, "{code:?}: {:?}", self.counted());
        assert_eq!(self.session.counters().total(), total + 1);
        assert_eq!(self.device.take_calls(), [], "{code:?}");
    }

    /// The reasons that came up.
    pub(super) fn counted(&self) -> Vec<(Reason, u64)> {
        self.session.counters().iter().filter(|(_, count)| *count > 0).collect()
    }
}

/// A front end and a back end on a real socket, both in one thread.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) peer: UnixStream,
    pub(super) server: Connection,
    pub(super) device: TestBackend,
}

impl Wire {
    pub(super) fn fresh() -> Self {
        let (peer, server) = UnixStream::pair().unwrap();
        Self { peer, server: Connection::new(server, LIMITS), device: TestBackend::default() }
    }

    pub(super) fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        send(&self.peer, bytes, fds);
    }

    /// Lets the back end handle all that was sent.
    pub(super) fn serve(&mut self) -> Result<(), Closed> {
        while self.server.on_readable(&mut self.device)? == Progress::More {}
        self.device.check();
        Ok(())
    }

    /// The next reply, as QEMU reads it: the header, and its descriptor, in one call.
    pub(super) fn receive(&mut self) -> Reply {
        receive(&self.peer)
    }

    /// All replies that are there.
    pub(super) fn replies(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        while !self.is_quiet() {
            replies.push(self.receive());
        }
        replies
    }

    /// True if nothing is there for the front end.
    pub(super) fn is_quiet(&self) -> bool {
        rustix::net::recv(&self.peer, &mut [0_u8][..], RecvFlags::PEEK | RecvFlags::DONTWAIT).is_err()
    }
}

pub(super) fn receive(peer: &UnixStream) -> Reply {
    let mut header = [0; HEADER_SIZE];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut iov = [std::io::IoSliceMut::new(&mut header)];
    let received = rustix::net::recvmsg(peer, &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    assert_eq!(received.bytes, HEADER_SIZE, "a header arrives whole");
    let mut fds = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let fd = fds.next();
    assert!(fds.next().is_none(), "one descriptor per message at most");
    drop(fds);
    let header = Header::read_from_bytes(&header).unwrap();
    let mut payload = vec![0; header.size.get() as usize];
    (&*peer).read_exact(&mut payload).unwrap();
    Reply::decode(header, payload, fd)
}

pub(super) fn send(peer: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    if fds.is_empty() {
        (&*peer).write_all(bytes).unwrap();
        return;
    }
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    let iov = [std::io::IoSlice::new(bytes)];
    let sent = rustix::net::sendmsg(peer, &iov, &mut control, SendFlags::empty()).unwrap();
    assert_eq!(sent, bytes.len());
}

/// A pipe's write end, and a way to see whether all copies of it are closed.
#[derive(Debug)]
pub(super) struct Canary(OwnedFd);

impl Canary {
    pub(super) fn new() -> (Self, OwnedFd) {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        (Self(read), write)
    }

    /// True once the last copy of the write end is closed.
    pub(super) fn is_closed(&self) -> bool {
        rustix::io::read(&self.0, &mut [0_u8; 1]) == Ok(0)
    }
}

pub(super) fn eventfd() -> OwnedFd {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap()
}

pub(super) fn memfd(size: u64) -> OwnedFd {
    let fd = rustix::fs::memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, size).unwrap();
    fd
}

pub(super) fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}
