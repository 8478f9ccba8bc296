//! A client's bytes and file descriptors, in whatever pieces, through decoder and session.
//!
//! Every message is answered once or, if it wants no reply, not at all; the answer has its id and its command. The
//! device gets only what its trait promises. What waits for the client is bounded, the DMA maps of session and
//! device agree, and when all is over no descriptor is left open.
//!
//! The input is a row of records: a byte that says what happens (see [`Action`]), a byte `n`, and, if the client
//! sends, the `n` bytes that it sends.

#![no_main]

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};

use libfuzzer_sys::fuzz_target;
use rustix::event::EventfdFlags;
use rustix::fs::MemfdFlags;
use rustix::pipe::PipeFlags;
use vfio_user::protocol::{HEADER_SIZE, Header, MAX_MSG_FDS, MessageType, PAGE_SIZE};
use vfio_user::{
    Decoder, Device, DeviceFlags, DeviceInfo, DmaMap, DmaUnmap, DmaWriteError, Errno, EventFds, IrqAction,
    IrqData, IrqFlags, IrqInfo, Mapping, MmapArea, OUTPUT_BOUND, RegionInfo, Session, SetIrqs,
};
use zerocopy::FromBytes;

const MAX_MAPS: u32 = 8;
const REGIONS: u32 = 9;
const IRQS: u32 = 5;
const VECTORS: u32 = 3;
/// A region so large that reading it fills the output.
const LARGE: u64 = 128 << 10;
const AREAS: [MmapArea; 2] =
    [MmapArea { offset: 0x1000, size: 0x1000 }, MmapArea { offset: 0x3000, size: 0x1000 }];

/// What the first byte of a record says.
enum Action {
    /// Bits 1:0 are 0 or 1: the client sends bytes, with bits 7:4 descriptors (15: one more than it may) of the kind in
    /// bits 3:2.
    Send { kind: u8, fds: usize },
    /// 2: the client reads `n` times 16 bytes.
    Read,
    /// 3: the device writes `n` bytes into the client's memory.
    Post,
}

impl Action {
    fn of(byte: u8) -> Self {
        match byte & 3 {
            2 => Self::Read,
            3 => Self::Post,
            _ => {
                let fds = usize::from(byte >> 4);
                Self::Send { kind: byte >> 2 & 3, fds: if fds == 15 { MAX_MSG_FDS + 1 } else { fds } }
            }
        }
    }
}

/// A device that keeps what it gets and checks what it was promised.
struct Model {
    file: OwnedFd,
    maps: BTreeMap<u64, DmaMap>,
    eventfds: EventFds,
    resets: u32,
}

impl Model {
    fn new() -> Self {
        Self { file: memfd(), maps: BTreeMap::new(), eventfds: EventFds::new(), resets: 0 }
    }

    fn size(region: u32) -> u64 {
        match region {
            0 => LARGE,
            2 | 4 => 0x4000,
            6 | 7 => 0x1000,
            _ => 0,
        }
    }

    fn check_access(region: u32, offset: u64, len: usize) -> Result<(), Errno> {
        let end = offset.checked_add(len as u64).expect("an access does not wrap");
        assert!(
            len > 0 && region < REGIONS && end <= Self::size(region),
            "{len} bytes at {offset:#x} of {region}"
        );
        // Devices may refuse; this one does in one of sixteen places.
        if offset & 0xf == 0xb { Err(Errno::IO) } else { Ok(()) }
    }

    /// Descriptors that it keeps.
    fn fds(&self) -> usize {
        1 + self.eventfds.len() + self.maps.values().filter(|map| map.fd.is_some()).count()
    }
}

impl Device for Model {
    fn info(&self) -> DeviceInfo {
        DeviceInfo { flags: DeviceFlags::RESET | DeviceFlags::PCI, num_regions: REGIONS, num_irqs: IRQS }
    }

    fn region(&self, index: u32) -> Option<RegionInfo<'_>> {
        let areas = if index == 2 { &AREAS[..] } else { &[] };
        let mapping =
            matches!(index, 2 | 4).then_some(Mapping { fd: self.file.as_fd(), offset: 0x8000, areas });
        Some(RegionInfo { size: Self::size(index), readable: index != 4, writable: index != 6, mapping })
    }

    fn irq(&self, index: u32) -> Option<IrqInfo> {
        let (flags, count) = match index {
            0 => (IrqFlags::EVENTFD | IrqFlags::MASKABLE | IrqFlags::AUTOMASKED, 1),
            2 => (IrqFlags::EVENTFD | IrqFlags::NORESIZE, VECTORS),
            3 => (IrqFlags::empty(), 1),
            _ => (IrqFlags::empty(), 0),
        };
        Some(IrqInfo { flags, count })
    }

    fn read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno> {
        assert!(region != 4, "region 4 cannot be read");
        assert!(data.iter().all(|byte| *byte == 0), "nothing of before shows through");
        data.fill(0xda);
        Self::check_access(region, offset, data.len())
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno> {
        assert!(region != 6, "region 6 cannot be written");
        Self::check_access(region, offset, data.len())
    }

    fn dma_map(&mut self, map: DmaMap) -> Result<(), Errno> {
        let range = map.range;
        assert!(
            range.size() > 0
                && range.iova().is_multiple_of(PAGE_SIZE)
                && range.size().is_multiple_of(PAGE_SIZE)
        );
        assert!(range.iova().checked_add(range.size() - 1).is_some() && (map.readable || map.writable));
        assert!(map.offset.is_multiple_of(PAGE_SIZE) && map.offset.checked_add(range.size()).is_some());
        for other in self.maps.values().map(|map| map.range) {
            assert!(
                range.last() < other.iova() || other.last() < range.iova(),
                "{range:?} overlaps {other:?}"
            );
        }
        if range.iova() & 0xf000 == 0xb000 {
            return Err(Errno::NOMEM);
        }
        self.maps.insert(range.iova(), map);
        Ok(())
    }

    fn dma_unmap(&mut self, unmap: DmaUnmap) -> Result<(), Errno> {
        match unmap {
            DmaUnmap::All => self.maps.clear(),
            DmaUnmap::Range(range) => {
                let map = self.maps.remove(&range.iova()).expect("only what is mapped is unmapped");
                assert_eq!(map.range, range, "and only all of it");
            }
        }
        Ok(())
    }

    fn set_irqs(&mut self, set: SetIrqs<'_>) -> Result<(), Errno> {
        let SetIrqs { index, start, count, action, data } = set;
        let info = self.irq(index).filter(|_| index < IRQS).expect("only types that exist");
        assert!(start.checked_add(count).is_some_and(|end| end <= info.count), "{start} + {count}");
        assert!(action == IrqAction::Trigger || info.flags.contains(IrqFlags::MASKABLE), "{action:?}");
        match data {
            IrqData::None => assert!(count > 0 || start == 0 && action == IrqAction::Trigger),
            IrqData::Bool(which) => assert_eq!(which.len(), count as usize),
            IrqData::EventFds(eventfds) => {
                assert!(info.flags.contains(IrqFlags::EVENTFD));
                assert!(eventfds.is_empty() || eventfds.len() == count as usize);
                self.eventfds = eventfds;
            }
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.resets += 1;
    }
}

/// The answers that the client still has to get, in their order; `None` is a write of the device.
#[derive(Default)]
struct Client {
    due: VecDeque<Option<(u16, u16)>>,
    /// Of the message that is being read: bytes read so far.
    begun: Vec<u8>,
    posted: u16,
}

impl Client {
    /// Reads up to `most` bytes and checks each message that is complete.
    fn read(&mut self, session: &mut Session, mut most: usize) {
        while let Some((bytes, fd)) = session.output().front().filter(|_| most > 0) {
            assert!(fd.is_none() || self.begun.is_empty(), "a descriptor comes with the first byte");
            let count = bytes.len().min(most);
            let complete = count == bytes.len();
            self.begun.extend(&bytes[..count]);
            session.output_mut().sent(count);
            most -= count;
            if complete {
                self.check();
                self.begun.clear();
            }
        }
    }

    fn check(&mut self) {
        let (header, payload) = Header::read_from_prefix(&self.begun).expect("a message has a header");
        assert_eq!(header.size.get() as usize, self.begun.len());
        let (id, command, flags) = (header.id.get(), header.command.get(), header.flags.get());
        match self.due.pop_front().expect("nothing comes unasked") {
            Some(asked) => {
                assert_eq!((id, command), asked, "answers come in the order of the requests");
                assert_eq!(flags & !Header::ERROR, Header::REPLY);
                let failed = flags & Header::ERROR != 0;
                assert_eq!(failed, header.error.get() != 0);
                assert!(!failed || payload.is_empty(), "an error is a header alone");
            }
            None => {
                assert_eq!((id, command, flags), (self.posted, 12, Header::COMMAND | Header::NO_REPLY));
                self.posted = self.posted.wrapping_add(1);
            }
        }
    }
}

fn memfd() -> OwnedFd {
    rustix::fs::memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("a memfd can be made")
}

fn descriptors(kind: u8, count: usize) -> Vec<OwnedFd> {
    let one = |_| match kind {
        0 => memfd(),
        1 | 2 => rustix::event::eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd can be made"),
        _ => rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe can be made").1,
    };
    (0..count).map(one).collect()
}

fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs is there").count()
}

/// Lets the session handle all of `bytes`; false if the connection is over.
fn send(
    bytes: &[u8],
    decoder: &mut Decoder,
    session: &mut Session,
    device: &mut Model,
    client: &mut Client,
) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        if session.output().is_full() {
            client.read(session, OUTPUT_BOUND);
        }
        let taken = decoder.push(rest);
        assert!(taken > 0, "the decoder takes what is there");
        rest = &rest[taken..];
        match decoder.message() {
            Ok(None) => {}
            Ok(Some(message)) => {
                let header = message.header;
                assert_eq!(message.payload.len() + HEADER_SIZE, header.size.get() as usize);
                let is_reply = header.message_type() == MessageType::Reply;
                if !header.no_reply() && !is_reply {
                    client.due.push_back(Some((header.id.get(), header.command.get())));
                }
                let handled = session.handle(message, device);
                // A server sends DMA_WRITE alone, and only to that a reply is no breach.
                assert_eq!(handled.is_err(), is_reply && header.command.get() != 12);
                if handled.is_err() {
                    return false;
                }
            }
            Err(bad) => {
                if bad.header.message_type() == MessageType::Command && !bad.header.no_reply() {
                    client.due.push_back(Some((bad.header.id.get(), bad.header.command.get())));
                }
                session.refuse_size(&bad);
                return false;
            }
        }
        let (waiting, longest) = (session.output().pending() as u64, 256 + LARGE);
        assert!(waiting <= OUTPUT_BOUND as u64 + longest, "{waiting} bytes wait");
        assert_eq!(session.dma_maps(), device.maps.len());
        assert!(device.maps.len() <= MAX_MAPS as usize);
    }
    true
}

fuzz_target!(|input: &[u8]| {
    let before = open_fds();
    let mut device = Model::new();
    let (mut decoder, mut session, mut client) =
        (Decoder::default(), Session::new(MAX_MAPS), Client::default());
    let mut rest = input;
    while let [action, n, bytes @ ..] = rest {
        rest = bytes;
        match Action::of(*action) {
            Action::Send { kind, fds } => {
                let (now, later) = bytes.split_at(bytes.len().min(usize::from(*n)));
                rest = later;
                // The kernel hands descriptors out with bytes only.
                if !now.is_empty() {
                    decoder.push_fds(descriptors(kind, fds));
                }
                if !send(now, &mut decoder, &mut session, &mut device, &mut client) {
                    break;
                }
            }
            Action::Read => client.read(&mut session, usize::from(*n) * 16),
            Action::Post => {
                match session.dma_write(0xfee0_0000, &input[..input.len().min(usize::from(*n))]) {
                    Ok(()) => client.due.push_back(None),
                    Err(DmaWriteError::NotNegotiated) => assert!(session.negotiated().is_none()),
                    Err(DmaWriteError::Full { .. }) => assert!(session.output().is_full()),
                    Err(DmaWriteError::TooLong { limit, .. }) => assert!(limit < u32::from(*n)),
                    Err(error @ DmaWriteError::Wraps { .. }) => panic!("{error}"),
                }
            }
        }
    }
    client.read(&mut session, usize::MAX);
    assert!(client.due.is_empty(), "{} requests were not answered", client.due.len());
    drop((decoder, session));
    assert_eq!(open_fds(), before + device.fds(), "descriptors were lost");
});
