//! Network interfaces by rtnetlink (rtnetlink(7)): look at one, set it up, hear of its changes.

mod message;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ethernet::MacAddr;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use message::{Answer, Request};
pub(crate) use message::{Change, Interface};

/// Longest datagram that is looked at. The kernel's are at most 32 KiB; those of one interface some 2 KiB.
const DATAGRAM: usize = 32 * 1024;
/// The kernel answers at once; longer than this means never.
const PATIENCE: Duration = Duration::from_secs(5);
/// Multicast group of changes to interfaces (`RTMGRP_LINK`).
const GROUP_LINK: u32 = 1;

/// A socket for requests.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(0, SocketFlags::CLOEXEC)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM] })
    }

    /// The interface of that name in this network namespace.
    pub(crate) fn by_name(&mut self, name: &str) -> io::Result<Interface> {
        self.interface(&Request::by_name(name))
    }

    /// The interface of that index.
    pub(crate) fn by_index(&mut self, index: u32) -> io::Result<Interface> {
        self.interface(&Request::by_index(index))
    }

    /// Sets the hardware address.
    pub(crate) fn set_address(&mut self, index: u32, address: MacAddr) -> io::Result<()> {
        self.talk(&Request::set_address(index, address)).map(drop)
    }

    /// Sets the MTU in bytes.
    pub(crate) fn set_mtu(&mut self, index: u32, mtu: u32) -> io::Result<()> {
        self.talk(&Request::set_mtu(index, mtu)).map(drop)
    }

    /// Switches it on.
    pub(crate) fn set_up(&mut self, index: u32) -> io::Result<()> {
        self.talk(&Request::set_up(index)).map(drop)
    }

    fn interface(&mut self, request: &Request) -> io::Result<Interface> {
        self.talk(request)?.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Sends a request and waits for the answer: an interface, or just that it is done.
    fn talk(&mut self, request: &Request) -> io::Result<Option<Interface>> {
        send(&self.socket, request.bytes(), SendFlags::empty())?;
        loop {
            let (length, _) = recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty())?;
            match message::answer(&self.buffer[..length.min(DATAGRAM)], Request::SEQUENCE) {
                Some(Answer::Interface(interface)) => return Ok(Some(interface)),
                Some(Answer::Done) => return Ok(None),
                Some(Answer::Refused(code)) => return Err(io::Error::from_raw_os_error(code)),
                None => {}
            }
        }
    }
}

/// A socket that hears of changes.
#[derive(Debug)]
pub(crate) struct Monitor {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// What a [`Monitor`] heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Of one change to the interface that was asked about.
    Change(Change),
    /// Something was missed: look for yourself.
    Lost,
    /// Nothing more for now.
    Nothing,
}

impl Monitor {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(GROUP_LINK, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        Ok(Self { socket, buffer: vec![0; DATAGRAM] })
    }

    /// The latest change to interface `index` that the next datagrams tell of.
    pub(crate) fn hear(&mut self, index: u32) -> Heard {
        loop {
            match recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => {
                    let change = message::change(&self.buffer[..length.min(DATAGRAM)], index);
                    if let Some(change) = change {
                        return Heard::Change(change);
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return Heard::Nothing,
                Err(rustix::io::Errno::INTR) => {}
                // ENOBUFS, above all: the changes came faster than they were read.
                Err(_) => return Heard::Lost,
            }
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn socket(groups: u32, flags: SocketFlags) -> io::Result<OwnedFd> {
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}
