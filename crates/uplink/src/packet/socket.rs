//! Packet sockets opened.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use libc::SOL_PACKET;
use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::PacketQueue;
use super::ring::ReceiveRing;
use crate::error::OpenError;
use crate::link::{LinkCell, LinkState};
use crate::losses::LossCounters;
use crate::netlink::Interface;
use crate::syscall::{bind_packet, get_option, set_option};
use crate::wake::Wake;

/// All protocols (`ETH_P_ALL`).
const ALL: u16 = 3;
/// Super-frames that are kept apart from the ring wait here, in bytes.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// Frames that the netdev has not sent yet, in bytes.
const SEND_BUFFER: usize = 4 * 1024 * 1024;
/// Version 2 of the ring.
const TPACKET_V2: u32 = 1;

/// Opens a packet socket for each of `wakes`; they share the frames by flow.
pub(crate) fn open(
    interface: &Interface,
    state: &LinkState,
    link: &Arc<LinkCell>,
    wakes: &[Wake],
) -> Result<Vec<(PacketQueue, Arc<LossCounters>)>, OpenError> {
    let name = &interface.name;
    let mut queues = Vec::with_capacity(wakes.len());
    let mut group = None;
    for wake in wakes {
        let (socket, ring) = open_socket(interface, state)?;
        if wakes.len() > 1 {
            // Until it has joined, a socket hears frames that are others'; no port is at work yet.
            group = Some(
                join(socket.as_fd(), group)
                    .map_err(|error| OpenError::refused("share frames among sockets on", name, error))?,
            );
        }
        let losses = Arc::new(LossCounters::default());
        let queue = PacketQueue::new(socket, ring, Arc::clone(link), Arc::clone(&losses), wake)
            .map_err(|error| OpenError::refused("make a receive pool for", name, error))?;
        queues.push((queue, losses));
    }
    Ok(queues)
}

fn open_socket(interface: &Interface, state: &LinkState) -> Result<(OwnedFd, ReceiveRing), OpenError> {
    let name = &interface.name;
    let socket = deaf_socket(name)?;
    let option = |option, words: &[u32], what| {
        set_option(socket.as_fd(), SOL_PACKET, option, words)
            .map_err(|error| OpenError::refused(what, name, error))
    };
    let buffers = set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)
        .and_then(|()| set_socket_send_buffer_size_force(&socket, SEND_BUFFER));
    buffers.map_err(|error| OpenError::refused("size the socket buffers for", name, error.into()))?;
    option(libc::PACKET_VERSION, &[TPACKET_V2], "choose the ring version for")?;
    option(libc::PACKET_VNET_HDR, &[1], "switch on offload headers for")?;
    option(libc::PACKET_COPY_THRESH, &[1], "keep long frames apart on")?;
    option(libc::PACKET_IGNORE_OUTGOING, &[1], "leave out the host's own frames on")?;
    option(libc::PACKET_QDISC_BYPASS, &[1], "pass by the queueing discipline of")?;
    let ring = ReceiveRing::new(&socket, state.mtu as usize)
        .map_err(|error| OpenError::refused("make a receive ring for", name, error))?;
    bind_packet(socket.as_fd(), interface.index, ALL)
        .map_err(|error| OpenError::refused("bind a packet socket to", name, error))?;
    hear_all(&socket, interface)?;
    Ok((socket, ring))
}

/// Lets the netdev receive all frames, whoever they are for, as long as the result is open: the switch has more
/// addresses than the netdev.
pub(crate) fn promiscuous(interface: &Interface) -> Result<OwnedFd, OpenError> {
    let socket = deaf_socket(&interface.name)?;
    hear_all(&socket, interface)?;
    Ok(socket)
}

/// A packet socket that hears nothing until it is bound: it has no protocol.
fn deaf_socket(name: &str) -> Result<OwnedFd, OpenError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None).map_err(|error| match error {
        rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => {
            OpenError::Permission { what: "open packet sockets" }
        }
        error => OpenError::refused("open a packet socket for", name, error.into()),
    })
}

fn hear_all(socket: &OwnedFd, interface: &Interface) -> Result<(), OpenError> {
    let [low, high] = u16::try_from(libc::PACKET_MR_PROMISC).unwrap_or(0).to_ne_bytes();
    // `struct packet_mreq`: index, type and length of an address that is not needed.
    let request = [interface.index, u32::from_ne_bytes([low, high, 0, 0]), 0, 0];
    set_option(socket.as_fd(), SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
        .map_err(|error| OpenError::refused("hear all frames of", &interface.name, error))
}

/// Lets a socket share frames by flow with those of `group`, or of a new one; the group, for the next.
fn join(socket: BorrowedFd<'_>, group: Option<u32>) -> io::Result<u32> {
    /// By a hash of addresses and ports, in which all frames of a connection agree.
    const BY_HASH: u32 = libc::PACKET_FANOUT_HASH;
    const NEW: u32 = (BY_HASH | libc::PACKET_FANOUT_FLAG_UNIQUEID) << 16;
    set_option(socket, SOL_PACKET, libc::PACKET_FANOUT, &[group.unwrap_or(NEW)])?;
    let [joined] = get_option(socket, SOL_PACKET, libc::PACKET_FANOUT)?;
    Ok(joined & 0xffff | BY_HASH << 16)
}
