//! A vfio-user client, from the protocol document of QEMU (`docs/interop/vfio-user.rst`).

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::PATIENCE;
use super::memory::{BASE, Memory};

/// Numbers of the commands.
pub(crate) mod command {
    pub(crate) const VERSION: u16 = 1;
    pub(crate) const DMA_MAP: u16 = 2;
    pub(crate) const DMA_UNMAP: u16 = 3;
    pub(crate) const SET_IRQS: u16 = 8;
    pub(crate) const REGION_READ: u16 = 9;
    pub(crate) const REGION_WRITE: u16 = 10;
    pub(crate) const RESET: u16 = 13;
}

/// Regions of a PCI device.
pub(crate) mod region {
    pub(crate) const BAR0: u32 = 0;
    pub(crate) const BAR3: u32 = 3;
    pub(crate) const CONFIG: u32 = 7;
}

const HEADER: usize = 16;
const REPLY: u32 = 1;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;

/// What the server sent on its own: a write into the client's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DmaWrite {
    pub(crate) address: u64,
    pub(crate) data: u32,
}

/// The server refused, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// With this errno.
    Refused(u32),
    Closed,
}

/// One VF's client.
#[derive(Debug)]
pub(crate) struct Vmm {
    stream: UnixStream,
    next_id: u16,
    written: VecDeque<DmaWrite>,
}

impl Vmm {
    /// Connects, and agrees on the version.
    pub(crate) fn connect(path: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut vmm = Self { stream, next_id: 0, written: VecDeque::new() };
        let capabilities = br#"{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576}}"#;
        vmm.call(command::VERSION, &[&[0, 0, 1, 0][..], capabilities, &[0]].concat(), &[])?;
        Ok(vmm)
    }

    pub(crate) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends a command and waits for the payload of its reply.
    pub(crate) fn call(
        &mut self,
        command: u16,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<Vec<u8>, Failure> {
        let id = self.send(command, 0, payload, fds)?;
        self.reply(id)
    }

    /// Waits for the reply to message `id`, which must be the next.
    pub(crate) fn reply(&mut self, id: u16) -> Result<Vec<u8>, Failure> {
        loop {
            let (found, flags, error, payload) = self.receive()?;
            if flags & REPLY == 0 {
                self.take(&payload);
                continue;
            }
            assert_eq!(found, id, "replies come in the order of their commands");
            return if flags & ERROR != 0 { Err(Failure::Refused(error)) } else { Ok(payload) };
        }
    }

    /// Sends a command that wants no reply.
    pub(crate) fn post(&mut self, command: u16, payload: &[u8]) -> Result<(), Failure> {
        self.send(command, NO_REPLY, payload, &[]).map(drop)
    }

    fn send(
        &mut self,
        command: u16,
        flags: u32,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<u16, Failure> {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let size = u32::try_from(HEADER + payload.len()).unwrap();
        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend(id.to_le_bytes());
        message.extend(command.to_le_bytes());
        for word in [size, flags, 0] {
            message.extend(word.to_le_bytes());
        }
        message.extend(payload);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
        }
        let mut rest = &message[..];
        while !rest.is_empty() {
            let sent = sendmsg(&self.stream, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL);
            rest = &rest[sent.map_err(|_| Failure::Closed)?..];
            control.clear();
        }
        Ok(id)
    }

    /// A whole message: id, flags, error, payload.
    fn receive(&mut self) -> Result<(u16, u32, u32, Vec<u8>), Failure> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).map_err(|_| Failure::Closed)?;
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let mut payload = vec![0; word(4) as usize - HEADER];
        self.stream.read_exact(&mut payload).map_err(|_| Failure::Closed)?;
        Ok((u16::from_le_bytes([header[0], header[1]]), word(8), word(12), payload))
    }

    /// Notes what the server sends on its own, which is DMA_WRITE only: address, count, data.
    fn take(&mut self, payload: &[u8]) {
        let (address, rest) = payload.split_at(8);
        assert_eq!(rest[..8], 4u64.to_le_bytes(), "a message has four bytes");
        self.written.push_back(DmaWrite {
            address: u64::from_le_bytes(address.try_into().unwrap()),
            data: u32::from_le_bytes(rest[8..].try_into().unwrap()),
        });
    }

    /// The next write of the server, if one comes within `limit`.
    pub(crate) fn written(&mut self, limit: Duration) -> Option<DmaWrite> {
        while self.written.is_empty() && self.is_readable(limit) {
            let (_, _, _, payload) = self.receive().ok()?;
            self.take(&payload);
        }
        self.written.pop_front()
    }

    /// True if there is something to read, or the server is gone, within `limit`.
    pub(crate) fn is_readable(&self, limit: Duration) -> bool {
        let limit = Timespec::try_from(limit).unwrap();
        poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&limit)).unwrap() > 0
    }

    /// True if the server closes the connection; what it sends before that is passed over.
    pub(crate) fn is_closed(&mut self) -> bool {
        loop {
            match self.stream.read(&mut [0; 256]) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::ConnectionReset,
            }
        }
    }

    /// Makes `memory` reachable for the device, at [`BASE`].
    pub(crate) fn map(&mut self, memory: &Memory) -> Result<(), Failure> {
        self.dma_map(BASE, memory.bytes, 0, memory.file().as_fd())
    }

    pub(crate) fn dma_map(
        &mut self,
        address: u64,
        size: u64,
        offset: u64,
        fd: BorrowedFd<'_>,
    ) -> Result<(), Failure> {
        let (argsz, read_write) = (32_u32, 3_u32);
        let payload = [&bytes(&[argsz, read_write])[..], &words(&[offset, address, size])].concat();
        self.call(command::DMA_MAP, &payload, &[fd]).map(drop)
    }

    pub(crate) fn dma_unmap(&mut self, address: u64, size: u64) -> Result<(), Failure> {
        let payload = [&bytes(&[24, 0])[..], &words(&[address, size])].concat();
        self.call(command::DMA_UNMAP, &payload, &[]).map(drop)
    }

    pub(crate) fn read(&mut self, region: u32, offset: u64, count: u32) -> Result<Vec<u8>, Failure> {
        let payload = access(region, offset, count);
        let reply = self.call(command::REGION_READ, &payload, &[])?;
        Ok(reply[payload.len()..].to_vec())
    }

    pub(crate) fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Failure> {
        self.call(command::REGION_WRITE, &written_access(region, offset, data), &[]).map(drop)
    }

    /// A posted write, as QEMU sends the stores of a guest.
    pub(crate) fn post_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Failure> {
        self.post(command::REGION_WRITE, &written_access(region, offset, data))
    }

    /// Connects MSI-X vectors, from `first` on, to eventfds.
    pub(crate) fn connect_vectors(&mut self, first: u32, eventfds: &[BorrowedFd<'_>]) -> Result<(), Failure> {
        let (eventfd_trigger, msix) = (1_u32 << 2 | 1 << 5, 2_u32);
        let count = u32::try_from(eventfds.len()).unwrap();
        self.call(command::SET_IRQS, &bytes(&[20, eventfd_trigger, msix, first, count]), eventfds).map(drop)
    }

    /// Resets the device, as at the start of the machine.
    pub(crate) fn reset(&mut self) -> Result<(), Failure> {
        self.call(command::RESET, &[], &[]).map(drop)
    }
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn access(region: u32, offset: u64, count: u32) -> Vec<u8> {
    [&words(&[offset])[..], &bytes(&[region, count])].concat()
}

fn written_access(region: u32, offset: u64, data: &[u8]) -> Vec<u8> {
    [&access(region, offset, u32::try_from(data.len()).unwrap()), data].concat()
}
