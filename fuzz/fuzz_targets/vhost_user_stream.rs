//! A front end's messages, bytes and file descriptors, in whatever pieces, through decoder and session.
//!
//! Each request that asks for something, or that wants to be acknowledged where that was negotiated, is answered once,
//! and no other is. The device gets only what its trait promises: rings that lie in memory that it has, memory that does
//! not overlap, features that it offers. What waits for the front end is bounded, and when all is over the device has
//! nothing left and no descriptor is open.

#![no_main]

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rustix::event::EventfdFlags;
use rustix::fs::MemfdFlags;
use rustix::pipe::PipeFlags;
use sys::EventFd;
use vhost_user::protocol::{Header, MAX_MSG_FDS, features, protocol_features};
use vhost_user::{
    Backend, Decoder, Errno, FileRange, InflightShape, Limits, MemoryChange, MemoryRegion, OUTPUT_BOUND,
    Ring, RingEvent, RingPosition, Session,
};
use zerocopy::FromBytes;

const LIMITS: Limits = Limits { queue_pairs: 2, queue_size: 1024, memory_slots: 12 };
const OFFERED: u64 = 1 << 15 | 1 << 28 | features::EVENT_IDX | 1 << 32 | features::RING_PACKED;
const PAGE: u64 = 4096;
/// Where the front end has the guest's memory.
const USER: u64 = 0x7f00_0000_0000;

/// Numbers of 64 bits, most of them near what means something.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Small(u8),
    Pages(u8),
    Features(u8),
    Any(u64),
}

impl Number {
    fn value(self) -> u64 {
        match self {
            Self::Small(number) => number.into(),
            Self::Pages(number) => u64::from(number) * PAGE,
            Self::Features(bits) => {
                let all = [
                    1 << 32,
                    features::PROTOCOL_FEATURES,
                    features::RING_PACKED,
                    features::EVENT_IDX,
                    features::LOG_ALL,
                    protocol_features::OFFERED,
                    1 << 15,
                    1 << 28,
                ];
                (0..8).filter(|bit| bits >> bit & 1 == 1).map(|bit| all[bit]).fold(0, |all, one| all | one)
            }
            Self::Any(number) => number,
        }
    }
}

/// What follows a header: fields of the protocol's structures.
#[derive(Arbitrary, Clone, Debug)]
enum Field {
    Byte(u8),
    Short(u16),
    Word(u32),
    /// A ring's number, or a count.
    Little(u8),
    Long(Number),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum File {
    Memory,
    Event,
    Pipe,
}

#[derive(Arbitrary, Clone, Debug)]
enum Step {
    /// A message whose header is right.
    Message { request: u8, acknowledge: bool, fields: Vec<Field>, file: File, files: u8 },
    /// What begins a conversation: features, and one region of memory.
    Begin { packed: bool, pages: u8 },
    /// What starts a ring in that memory.
    Ring { index: u8, size: u8, page: u8 },
    /// Bytes as they are.
    Bytes { bytes: Vec<u8>, file: File, files: u8 },
    /// The front end reads so much.
    Read(u8),
    /// The device's next answer is an error.
    Fail,
}

/// A device that keeps what it gets, and checks what it was promised.
#[derive(Debug, Default)]
struct Device {
    features: u64,
    memory: Vec<(MemoryRegion, OwnedFd)>,
    rings: BTreeMap<u16, Ring>,
    log: Option<u64>,
    fails: bool,
}

impl Device {
    fn answer(&mut self) -> Result<(), Errno> {
        if std::mem::take(&mut self.fails) { Err(Errno::NOMEM) } else { Ok(()) }
    }

    fn add(&mut self, region: MemoryRegion, fd: OwnedFd) {
        assert!(
            region.size() > 0 && region.size().is_multiple_of(PAGE) && region.guest().is_multiple_of(PAGE)
        );
        assert!(region.guest().checked_add(region.size()).is_some());
        for (other, _) in &self.memory {
            let apart = region.guest() + region.size() <= other.guest()
                || other.guest() + other.size() <= region.guest();
            assert!(apart, "{region:?} overlaps {other:?}");
        }
        self.memory.push((region, fd));
        assert!(self.memory.len() <= usize::from(LIMITS.memory_slots));
    }

    /// What holds between two messages.
    fn check(&self) {
        for (index, ring) in &self.rings {
            let packed = self.features & features::RING_PACKED != 0;
            let size = u64::from(ring.size);
            assert!(*index < LIMITS.rings() && size > 0 && ring.size <= LIMITS.queue_size);
            let parts = match ring.position {
                RingPosition::Packed { index, .. } => {
                    assert!(packed && u64::from(index) < size, "{ring:?}");
                    [16 * size, 4, 4]
                }
                RingPosition::Split(_) => {
                    assert!(!packed && ring.size.is_power_of_two(), "{ring:?}");
                    [16 * size, 4 + 2 * size, 4 + 8 * size]
                }
            };
            for (at, length) in [ring.descriptors, ring.driver, ring.device].into_iter().zip(parts) {
                let holds = |region: &MemoryRegion| {
                    at >= region.guest() && at + length <= region.guest() + region.size()
                };
                assert!(self.memory.iter().any(|(region, _)| holds(region)), "{ring:?} lies in no memory");
            }
        }
    }
}

impl Backend for Device {
    fn features(&self) -> u64 {
        OFFERED
    }

    fn set_features(&mut self, features: u64) {
        assert!(self.rings.is_empty(), "features change while rings run");
        assert_eq!(features & !OFFERED, 0, "features that were not offered");
        self.features = features;
    }

    fn change_memory(&mut self, change: MemoryChange<'_>) -> Result<(), Errno> {
        let copy = |fd: &OwnedFd| fd.try_clone().map_err(|_| Errno::NFILE);
        match change {
            MemoryChange::Replace(regions) => {
                assert!(self.rings.is_empty(), "memory is replaced under running rings");
                self.memory.clear();
                self.answer()?;
                for shared in regions {
                    self.add(shared.region, copy(&shared.fd)?);
                }
            }
            MemoryChange::Add(shared) => {
                self.answer()?;
                self.add(shared.region, copy(&shared.fd)?);
            }
            MemoryChange::Remove(region) => {
                self.answer()?;
                let before = self.memory.len();
                self.memory.retain(|(known, _)| known != region);
                assert_eq!(self.memory.len() + 1, before, "{region:?} was not there");
            }
        }
        Ok(())
    }

    fn start(&mut self, index: u16, ring: Ring) -> Result<(), Errno> {
        self.answer()?;
        assert!(self.rings.insert(index, ring).is_none(), "ring {index} starts twice");
        Ok(())
    }

    fn stop(&mut self, index: u16) -> RingPosition {
        self.rings.remove(&index).expect("a ring that stops was started").position
    }

    fn set_enabled(&mut self, index: u16, enabled: bool) {
        self.rings.get_mut(&index).expect("the ring runs").enabled = enabled;
    }

    fn set_event(&mut self, index: u16, event: RingEvent, fd: Option<Arc<EventFd>>) {
        let ring = self.rings.get_mut(&index).expect("the ring runs");
        match event {
            RingEvent::Kick => ring.kick = fd,
            RingEvent::Call => ring.call = fd,
            RingEvent::Err => ring.err = fd,
        }
    }

    fn set_device_log(&mut self, index: u16, _address: Option<u64>) {
        assert!(self.rings.contains_key(&index), "the ring runs");
    }

    fn set_log(&mut self, log: Option<FileRange<'_>>) -> Result<(), Errno> {
        let fails = log.is_some() && self.answer().is_err();
        self.log = log.filter(|_| !fails).map(|range| range.size);
        if fails { Err(Errno::NOMEM) } else { Ok(()) }
    }

    fn create_inflight(&mut self, shape: InflightShape) -> Result<OwnedFd, Errno> {
        self.answer()?;
        assert!(shape.size() > 0);
        Ok(memfd())
    }

    fn set_inflight(&mut self, _shape: InflightShape, _area: FileRange<'_>) -> Result<(), Errno> {
        self.answer()
    }

    fn set_mtu(&mut self, _mtu: u16) -> Result<(), Errno> {
        self.answer()
    }

    fn announce(&mut self, _mac: [u8; 6]) -> Result<(), Errno> {
        self.answer()
    }

    fn set_status(&mut self, status: u8) {
        assert!(status != 0 || self.rings.is_empty(), "rings run behind a reset");
    }

    fn reset(&mut self) {
        assert!(self.rings.is_empty() && self.log.is_none(), "something runs behind a reset");
        self.features = 0;
    }
}

/// Requests that are answered with something else than how it went, by their numbers (protocol, "Front-end message
/// types").
fn asks(request: u32, negotiated: u64) -> bool {
    match request {
        1 | 11 | 15 | 17 | 22 | 24 | 26 | 28 | 30 | 31 | 36 | 40 | 41 | 42 | 43 | 44 => true,
        6 => negotiated & protocol_features::LOG_SHMFD != 0,
        _ => false,
    }
}

#[derive(Default)]
struct FrontEnd {
    /// Requests whose answers it still has to read, in their order.
    due: VecDeque<u32>,
    begun: Vec<u8>,
}

impl FrontEnd {
    fn read(&mut self, session: &mut Session, mut most: usize) {
        while let Some((bytes, fd)) = session.output().front().filter(|_| most > 0) {
            assert!(fd.is_none() || self.begun.is_empty(), "a descriptor comes with the first byte");
            let count = bytes.len().min(most);
            let complete = count == bytes.len();
            self.begun.extend(&bytes[..count]);
            session.output_mut().sent(count);
            most -= count;
            if complete {
                let (header, payload) =
                    Header::read_from_prefix(&self.begun).expect("a message has a header");
                let asked = self.due.pop_front().expect("nothing comes unasked");
                assert_eq!(
                    (header.request.get(), header.flags.get()),
                    (asked, Header::VERSION | Header::REPLY)
                );
                assert_eq!(header.size.get() as usize, payload.len());
                self.begun.clear();
            }
        }
    }
}

fn memfd() -> OwnedFd {
    rustix::fs::memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("a memfd can be made")
}

fn descriptors(file: File, count: u8) -> Vec<OwnedFd> {
    let one = |_| match file {
        File::Memory => memfd(),
        File::Event => rustix::event::eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd can be made"),
        File::Pipe => rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe can be made").1,
    };
    (0..usize::from(count) % (MAX_MSG_FDS + 2)).map(one).collect()
}

fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("procfs is there").count()
}

/// Lets the session handle all of `bytes`; false if the connection is over.
fn send(
    bytes: &[u8],
    decoder: &mut Decoder,
    session: &mut Session,
    device: &mut Device,
    front: &mut FrontEnd,
) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        if session.output().is_full() {
            front.read(session, usize::MAX);
        }
        let taken = decoder.push(rest);
        assert!(taken > 0, "the decoder takes what is there");
        rest = &rest[taken..];
        match decoder.message() {
            Ok(None) => {}
            Ok(Some(message)) => {
                let (request, flags) = (message.header.request.get(), message.header.flags.get());
                let before = session.output().pending();
                let negotiated = session.protocol_features();
                session.handle(message, device);
                let acknowledged = session.protocol_features() & protocol_features::REPLY_ACK != 0;
                let wants = flags & Header::NEED_REPLY != 0 && acknowledged;
                let answered = flags & Header::REPLY == 0 && (asks(request, negotiated) || wants);
                assert_eq!(session.output().pending() - before, usize::from(answered), "request {request}");
                if answered {
                    front.due.push_back(request);
                }
            }
            Err(bad) => {
                session.refuse_header(&bad);
                return false;
            }
        }
        assert!(session.output().pending() <= OUTPUT_BOUND);
        device.check();
        assert_eq!(session.running_rings(), device.rings.len());
    }
    true
}

/// The messages of a step, each with its descriptors; none if it is something else.
fn messages(step: &Step) -> Vec<(Vec<u8>, File, u8)> {
    let message = |request, fields: &[Field]| encode(request, true, fields);
    let long = |number| Field::Long(Number::Any(number));
    match *step {
        Step::Message { request, acknowledge, ref fields, file, files } => {
            vec![(encode(request, acknowledge, fields), file, files)]
        }
        Step::Bytes { ref bytes, file, files } => vec![(bytes.clone(), file, files)],
        Step::Begin { packed, pages } => {
            let ring = if packed { features::RING_PACKED } else { 0 };
            let chosen = 1 << 32 | features::PROTOCOL_FEATURES | ring;
            let size = PAGE * (1 + u64::from(pages));
            let table = [Field::Word(1), Field::Word(0), long(0), long(size), long(USER), long(0)];
            vec![
                (message(16, &[long(protocol_features::OFFERED)]), File::Event, 0),
                (message(2, &[long(chosen)]), File::Event, 0),
                (message(5, &table), File::Memory, 1),
            ]
        }
        Step::Ring { index, size, page } => {
            let index = u32::from(index % 4);
            let base = USER + PAGE * u64::from(page);
            let ring = Field::Word(index);
            let parts =
                [ring.clone(), Field::Word(0), long(base), long(base + 8192), long(base + 4096), long(0)];
            vec![
                (message(8, &[ring.clone(), Field::Word(u32::from(size))]), File::Event, 0),
                (message(10, &[ring.clone(), Field::Word(0)]), File::Event, 0),
                (message(9, &parts), File::Event, 0),
                (message(13, &[long(index.into())]), File::Event, 1),
                (message(12, &[long(index.into())]), File::Event, 1),
                (message(18, &[ring, Field::Word(1)]), File::Event, 0),
            ]
        }
        Step::Read(_) | Step::Fail => Vec::new(),
    }
}

fn encode(request: u8, acknowledge: bool, fields: &[Field]) -> Vec<u8> {
    let mut payload = Vec::new();
    for field in fields.iter().take(40) {
        match *field {
            Field::Byte(byte) => payload.push(byte),
            Field::Short(short) => payload.extend(short.to_le_bytes()),
            Field::Word(word) => payload.extend(word.to_le_bytes()),
            Field::Little(number) => payload.extend(u32::from(number % 8).to_le_bytes()),
            Field::Long(number) => payload.extend(number.value().to_le_bytes()),
        }
    }
    let flags = Header::VERSION | if acknowledge { Header::NEED_REPLY } else { 0 };
    let size = u32::try_from(payload.len()).expect("a message is short");
    [u32::from(request % 48).to_le_bytes(), flags.to_le_bytes(), size.to_le_bytes()]
        .as_flattened()
        .iter()
        .copied()
        .chain(payload)
        .collect()
}

fuzz_target!(|steps: Vec<Step>| {
    let before = open_fds();
    let mut device = Device::default();
    let (mut decoder, mut session, mut front) =
        (Decoder::default(), Session::new(LIMITS), FrontEnd::default());
    'conversation: for step in &steps {
        match step {
            Step::Read(most) => front.read(&mut session, usize::from(*most)),
            Step::Fail => device.fails = true,
            _ => {}
        }
        for (bytes, file, files) in messages(step) {
            // The kernel hands descriptors out with bytes only.
            if !bytes.is_empty() {
                decoder.push_fds(descriptors(file, files));
            }
            if !send(&bytes, &mut decoder, &mut session, &mut device, &mut front) {
                break 'conversation;
            }
        }
    }
    front.read(&mut session, usize::MAX);
    assert!(front.due.is_empty(), "{} requests were not answered", front.due.len());
    device.fails = false;
    session.close(&mut device);
    assert!(device.rings.is_empty() && device.memory.is_empty() && device.log.is_none(), "{device:?}");
    drop((decoder, session, device));
    assert_eq!(open_fds(), before, "descriptors were lost");
});
