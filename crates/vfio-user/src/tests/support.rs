//! A device that records what it is told, and clients with and without a socket.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::MemfdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::protocol::{self, Command, HEADER_SIZE, Header};
use crate::{
    Closed, Connection, DEFAULT_MAX_DMA_MAPS, Decoder, Device, DeviceFlags, DeviceInfo, DmaMap, DmaUnmap,
    Errno, EventFds, IrqAction, IrqData, IrqFlags, IrqInfo, Mapping, MmapArea, Reason, RegionInfo, Session,
    SetIrqs,
};

pub(super) const BAR0: u32 = 0;
pub(super) const BAR2_MAPPED: u32 = 2;
pub(super) const BAR4_WRITE_ONLY: u32 = 4;
pub(super) const ROM_READ_ONLY: u32 = 6;
pub(super) const CONFIG: u32 = 7;
pub(super) const INTX: u32 = 0;
pub(super) const MSIX: u32 = 2;
pub(super) const ERR: u32 = 3;
pub(super) const BAR_SIZE: usize = 0x4000;
pub(super) const AREAS: [MmapArea; 2] =
    [MmapArea { offset: 0x1000, size: 0x1000 }, MmapArea { offset: 0x3000, size: 0x1000 }];

/// A call that the device got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Read { region: u32, offset: u64, length: usize },
    Write { region: u32, offset: u64, data: Vec<u8> },
    Map { iova: u64, size: u64, offset: u64, readable: bool, writable: bool, fd: bool },
    Unmap(DmaUnmap),
    Irqs { index: u32, start: u32, count: u32, action: IrqAction, data: Data },
    Reset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    None,
    Bool(Vec<u8>),
    EventFds(usize),
}

/// A PCI device of plain memory.
#[derive(Debug)]
pub(super) struct TestDevice {
    pub(super) memory: Vec<Vec<u8>>,
    pub(super) file: OwnedFd,
    pub(super) calls: Vec<Call>,
    pub(super) eventfds: EventFds,
    /// What the next fallible call returns.
    pub(super) fail: Option<Errno>,
}

impl Default for TestDevice {
    fn default() -> Self {
        let file = rustix::fs::memfd_create("bar", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, BAR_SIZE as u64).unwrap();
        let size = |index| match index {
            BAR0 | BAR2_MAPPED | BAR4_WRITE_ONLY => BAR_SIZE,
            ROM_READ_ONLY | CONFIG => 4096,
            _ => 0,
        };
        let memory = (0..9).map(|index| (0..size(index)).map(|i| i as u8).collect()).collect();
        Self { memory, file, calls: Vec::new(), eventfds: EventFds::new(), fail: None }
    }
}

impl TestDevice {
    fn call(&mut self, call: Call) -> Result<(), Errno> {
        self.calls.push(call);
        self.fail.take().map_or(Ok(()), Err)
    }

    pub(super) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.calls)
    }
}

impl Device for TestDevice {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { flags: DeviceFlags::RESET | DeviceFlags::PCI, num_regions: 9, num_irqs: 5 }
    }

    fn region(&self, index: u32) -> Option<RegionInfo<'_>> {
        let size = self.memory.get(index as usize)?.len() as u64;
        let mapping = Mapping { fd: self.file.as_fd(), offset: 0x8000, areas: &AREAS };
        Some(RegionInfo {
            size,
            readable: index != BAR4_WRITE_ONLY,
            writable: index != ROM_READ_ONLY,
            mapping: (index == BAR2_MAPPED).then_some(mapping),
        })
    }

    fn irq(&self, index: u32) -> Option<IrqInfo> {
        let (flags, count) = match index {
            INTX => (IrqFlags::EVENTFD | IrqFlags::MASKABLE | IrqFlags::AUTOMASKED, 1),
            MSIX => (IrqFlags::EVENTFD | IrqFlags::MASKABLE, 2048),
            ERR => (IrqFlags::EVENTFD, 1),
            1 | 4 => (IrqFlags::empty(), 0),
            _ => return None,
        };
        Some(IrqInfo { flags, count })
    }

    fn read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        let at = offset as usize;
        data.copy_from_slice(&self.memory[region as usize][at..at + data.len()]);
        self.call(Call::Read { region, offset, length: data.len() })
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let at = offset as usize;
        self.memory[region as usize][at..at + data.len()].copy_from_slice(data);
        self.call(Call::Write { region, offset, data: data.to_vec() })
    }

    fn dma_map(&mut self, map: DmaMap) -> Result<(), Errno> {
        let DmaMap { range, offset, readable, writable, fd } = map;
        let (iova, size, fd) = (range.iova(), range.size(), fd.is_some());
        self.call(Call::Map { iova, size, offset, readable, writable, fd })
    }

    fn dma_unmap(&mut self, unmap: DmaUnmap) -> Result<(), Errno> {
        self.call(Call::Unmap(unmap))
    }

    fn set_irqs(&mut self, set: SetIrqs<'_>) -> Result<(), Errno> {
        let SetIrqs { index, start, count, action, data } = set;
        let data = match data {
            IrqData::None => Data::None,
            IrqData::Bool(bytes) => Data::Bool(bytes.to_vec()),
            IrqData::EventFds(fds) => {
                self.eventfds = fds;
                Data::EventFds(self.eventfds.len())
            }
        };
        self.call(Call::Irqs { index, start, count, action, data })
    }

    fn reset(&mut self) {
        self.calls.push(Call::Reset);
    }
}

/// Encodes a command.
pub(super) fn command(command: Command, payload: &[u8]) -> Vec<u8> {
    raw(0x1234, command as u16, Header::COMMAND, payload)
}

/// Encodes a command that wants no reply.
pub(super) fn posted(command: Command, payload: &[u8]) -> Vec<u8> {
    raw(0x1234, command as u16, Header::NO_REPLY, payload)
}

/// Encodes any message.
pub(super) fn raw(id: u16, command: u16, flags: u32, payload: &[u8]) -> Vec<u8> {
    [Header::new(id, command, flags, payload.len()).as_bytes(), payload].concat()
}

/// Joins 32-bit words, little-endian.
pub(super) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(super) fn version(json: &str) -> Vec<u8> {
    let mut payload = vec![0, 0, 0, 0];
    if !json.is_empty() {
        payload.extend_from_slice(json.as_bytes());
        payload.push(0);
    }
    command(Command::Version, &payload)
}

/// What QEMU 11.1 says.
pub(super) const QEMU_VERSION: &str = r#"{"capabilities": {"pgsizes": 4096, "max_msg_fds": 16,
    "max_dma_maps": 65535, "max_data_xfer_size": 1048576,
    "migration": {"max_bitmap_size": 268435456, "pgsize": 4096}, "write_multiple": true}}"#;

pub(super) fn access(region: u32, offset: u64, count: u32, data: &[u8]) -> Vec<u8> {
    let head = protocol::RegionAccess { offset: offset.into(), region: region.into(), count: count.into() };
    [head.as_bytes(), data].concat()
}

pub(super) fn region_read(region: u32, offset: u64, count: u32) -> Vec<u8> {
    command(Command::RegionRead, &access(region, offset, count, &[]))
}

pub(super) fn region_write(region: u32, offset: u64, data: &[u8]) -> Vec<u8> {
    command(Command::RegionWrite, &access(region, offset, data.len() as u32, data))
}

pub(super) fn dma_map(flags: u32, offset: u64, address: u64, size: u64) -> Vec<u8> {
    let map = protocol::DmaMap {
        argsz: 32.into(),
        flags: flags.into(),
        offset: offset.into(),
        address: address.into(),
        size: size.into(),
    };
    command(Command::DmaMap, map.as_bytes())
}

pub(super) fn dma_unmap(flags: u32, address: u64, size: u64) -> Vec<u8> {
    let unmap = protocol::DmaUnmap {
        argsz: 24.into(),
        flags: flags.into(),
        address: address.into(),
        size: size.into(),
    };
    command(Command::DmaUnmap, unmap.as_bytes())
}

pub(super) fn set_irqs(flags: u32, index: u32, start: u32, count: u32, data: &[u8]) -> Vec<u8> {
    let head = words(&[20 + data.len() as u32, flags, index, start, count]);
    command(Command::DeviceSetIrqs, &[&head, data].concat())
}

pub(super) fn region_info(argsz: u32, index: u32) -> Vec<u8> {
    command(Command::DeviceGetRegionInfo, &words(&[argsz, 0, index, 0, 0, 0, 0, 0]))
}

/// A reply as the client sees it.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    pub(super) fd: Option<OwnedFd>,
}

impl Reply {
    pub(super) fn errno(&self) -> Option<Errno> {
        let failed = self.header.flags.get() & Header::ERROR != 0;
        failed.then(|| Errno::from_raw_os_error(self.header.error.get().cast_signed()))
    }
}

/// A session without a socket.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) device: TestDevice,
}

impl Bench {
    /// Nothing was said yet.
    pub(super) fn fresh() -> Self {
        Self { session: Session::new(DEFAULT_MAX_DMA_MAPS), device: TestDevice::default() }
    }

    /// After VERSION.
    pub(super) fn new() -> Self {
        let mut bench = Self::fresh();
        assert_eq!(bench.ask(&version(QEMU_VERSION)).errno(), None);
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
                self.session.handle(message, &mut self.device).unwrap();
            }
        }
        assert!(!decoder.is_mid_message(), "the message is not complete");
        let output = self.session.output_mut().take_frames();
        let replies = output.into_iter().map(|(bytes, fd)| {
            let (header, payload) = Header::read_from_prefix(&bytes).unwrap();
            assert_eq!(header.size.get() as usize, bytes.len());
            Reply { header, payload: payload.to_vec(), fd }
        });
        replies.collect()
    }

    /// Asks for something that is answered.
    pub(super) fn ask(&mut self, message: &[u8]) -> Reply {
        self.ask_with(message, Vec::new())
    }

    pub(super) fn ask_with(&mut self, message: &[u8], fds: Vec<OwnedFd>) -> Reply {
        let mut replies = self.send(message, fds);
        assert_eq!(replies.len(), 1, "one request, one reply");
        let reply = replies.remove(0);
        assert_eq!(reply.header.id.get(), u16::from_le_bytes([message[0], message[1]]));
        assert_eq!(reply.header.command.get(), u16::from_le_bytes([message[2], message[3]]));
        assert_eq!(reply.header.flags.get() & !Header::ERROR, Header::REPLY);
        assert!(reply.errno().is_none() || reply.payload.is_empty(), "an error reply is a header alone");
        reply
    }

    /// Asks for something that is refused for `reason`, without the device hearing of it.
    pub(super) fn refused(&mut self, message: &[u8], fds: Vec<OwnedFd>, reason: Reason) {
        let (before, total) = (self.session.counters().get(reason), self.session.counters().total());
        let reply = self.ask_with(message, fds);
        let counters = self.session.counters();
        let counted: Vec<_> = counters.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(reply.errno(), Some(reason.errno()), "wanted {reason:?}, counted {counted:?}");
        assert_eq!(counters.get(reason), before + 1, "wanted {reason:?}, counted {counted:?}");
        assert_eq!(counters.total(), total + 1);
        assert_eq!(self.device.take_calls(), []);
    }
}

/// A client and a server on a real socket, both in one thread.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) client: UnixStream,
    pub(super) server: Connection,
    pub(super) device: TestDevice,
}

impl Wire {
    pub(super) fn fresh() -> Self {
        let (client, server) = UnixStream::pair().unwrap();
        let server = Connection::new(server, DEFAULT_MAX_DMA_MAPS);
        Self { client, server, device: TestDevice::default() }
    }

    /// After VERSION.
    pub(super) fn new() -> Self {
        let mut wire = Self::fresh();
        wire.send(&version(QEMU_VERSION), &[]);
        wire.serve().unwrap();
        assert_eq!(wire.receive().errno(), None);
        wire
    }

    pub(super) fn send(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
        send(&self.client, bytes, fds);
    }

    /// Lets the server handle all that was sent.
    pub(super) fn serve(&mut self) -> Result<(), Closed> {
        while self.server.on_readable(&mut self.device)? == crate::Progress::More {}
        Ok(())
    }

    /// Sends a request, serves it, takes the reply.
    pub(super) fn ask(&mut self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Reply {
        self.send(bytes, fds);
        self.serve().unwrap();
        self.receive()
    }

    /// The next message of the server, as QEMU reads it: the header, and its descriptor, in one call.
    pub(super) fn receive(&mut self) -> Reply {
        receive(&self.client)
    }

    /// True if nothing is there for the client.
    pub(super) fn is_quiet(&self) -> bool {
        self.client.set_nonblocking(true).unwrap();
        let quiet = (&self.client).read(&mut [0]).is_err();
        self.client.set_nonblocking(false).unwrap();
        quiet
    }
}

pub(super) fn receive(client: &UnixStream) -> Reply {
    let mut header = [0; HEADER_SIZE];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut iov = [std::io::IoSliceMut::new(&mut header)];
    let received = rustix::net::recvmsg(client, &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    assert_eq!(received.bytes, HEADER_SIZE, "a header arrives whole");
    let mut fds = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let fd = fds.next();
    assert!(fds.next().is_none(), "one descriptor per message at most");
    drop(fds);
    let header = Header::read_from_bytes(&header).unwrap();
    let mut payload = vec![0; header.size.get() as usize - HEADER_SIZE];
    (&*client).read_exact(&mut payload).unwrap();
    Reply { header, payload, fd }
}

pub(super) fn send(client: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    if fds.is_empty() {
        (&*client).write_all(bytes).unwrap();
        return;
    }
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    let iov = [std::io::IoSlice::new(bytes)];
    let sent = rustix::net::sendmsg(client, &iov, &mut control, SendFlags::empty()).unwrap();
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
