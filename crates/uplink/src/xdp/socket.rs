//! AF_XDP sockets opened.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{
    set_socket_send_buffer_size_force, set_xdp_rx_ring_size, set_xdp_tx_ring_size,
    set_xdp_umem_completion_ring_size, set_xdp_umem_fill_ring_size, set_xdp_umem_reg, xdp_mmap_offsets,
};
use rustix::net::xdp::{SocketAddrXdp, SocketAddrXdpFlags, XdpUmemReg, XdpUmemRegFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use super::program::Redirect;
use super::ring::{Consumer, Kind, Producer};
use super::{AttachMode, LARGEST, RING, Rings, XdpQueue, chunk_for};
use crate::config::XdpMode;
use crate::error::OpenError;
use crate::link::{LinkCell, LinkState};
use crate::netlink::Interface;
use crate::pool::Pool;
use crate::wake::Wake;

/// Where the program runs, and who copies frames into the pool.
#[derive(Clone, Copy, Debug)]
struct Way {
    attach: AttachMode,
    zero_copy: bool,
}

const ZERO_COPY: Way = Way { attach: AttachMode::Driver, zero_copy: true };
const COPY: Way = Way { attach: AttachMode::Driver, zero_copy: false };
const GENERIC: Way = Way { attach: AttachMode::Generic, zero_copy: false };

/// How long a queue may be busy.
const PATIENCE: Duration = Duration::from_millis(500);
/// Frames that the kernel copied and the netdev has not sent yet, in bytes.
const SEND_BUFFER: usize = 4 * 1024 * 1024;

/// A socket that is bound, not yet in the program's map.
struct Bound {
    socket: OwnedFd,
    pool: Pool,
    rings: Rings,
    chunk: usize,
}

/// Opens a socket for each receive queue, number 0 to `wakes.len()`, and sends the netdev's frames to them.
pub(crate) fn open(
    interface: &Interface,
    state: &LinkState,
    link: &Arc<LinkCell>,
    mode: XdpMode,
    wakes: &[Wake],
) -> Result<Vec<XdpQueue>, OpenError> {
    let name = &interface.name;
    if !state.up {
        return Err(OpenError::Down { name: name.clone() });
    }
    let chunk = chunk_for(state.mtu as usize).ok_or_else(|| OpenError::MtuTooLarge {
        name: name.clone(),
        mtu: state.mtu,
        most: LARGEST,
    })?;
    let (first, others): (Way, &[Way]) = match mode {
        XdpMode::Best => (ZERO_COPY, &[COPY, GENERIC]),
        XdpMode::ZeroCopy => (ZERO_COPY, &[]),
        XdpMode::Copy => (COPY, &[]),
        XdpMode::Generic => (GENERIC, &[]),
    };
    let mut opened = open_all(interface, first, chunk, wakes.len());
    for way in others {
        if opened.as_ref().is_err_and(OpenError::is_unsupported) {
            opened = open_all(interface, *way, chunk, wakes.len());
        }
    }
    let (bound, redirect) = opened?;
    equip(bound, &Arc::new(redirect), name, link, wakes)
}

/// Binds all sockets, then attaches the program: until then the host's stack gets the frames.
fn open_all(
    interface: &Interface,
    way: Way,
    chunk: usize,
    count: usize,
) -> Result<(Vec<Bound>, Redirect), OpenError> {
    let queues = u32::try_from(count).unwrap_or(u32::MAX);
    let bound =
        (0..queues).map(|queue| bind_queue(interface, way, queue, chunk)).collect::<Result<Vec<_>, _>>()?;
    let sockets: Vec<_> = bound.iter().map(|bound| bound.socket.as_fd()).collect();
    let redirect = Redirect::attach(interface, way.attach, &sockets)?;
    Ok((bound, redirect))
}

fn equip(
    bound: Vec<Bound>,
    redirect: &Arc<Redirect>,
    name: &str,
    link: &Arc<LinkCell>,
    wakes: &[Wake],
) -> Result<Vec<XdpQueue>, OpenError> {
    let queues = bound.into_iter().zip(wakes).map(|(bound, wake)| {
        let Bound { socket, pool, rings, chunk } = bound;
        wake.add(&socket).map_err(|error| OpenError::refused("wait for frames of", name, error))?;
        Ok(XdpQueue::new(socket, pool, rings, chunk, Arc::clone(link), Arc::clone(redirect)))
    });
    queues.collect()
}

fn bind_queue(interface: &Interface, way: Way, queue: u32, chunk: usize) -> Result<Bound, OpenError> {
    let name = &interface.name;
    let refused = |what| move |error: rustix::io::Errno| OpenError::refused(what, name, error.into());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        socket_with(AddressFamily::XDP, SocketType::RAW, flags, None).map_err(|error| match error {
            rustix::io::Errno::PERM => OpenError::Permission { what: "open AF_XDP sockets" },
            error => OpenError::refused("open an AF_XDP socket for", name, error.into()),
        })?;
    let pool = Pool::new("uplink-xdp", 2 * RING as usize * chunk)
        .map_err(|error| OpenError::refused("make a pool of frames for", name, error))?;
    set_xdp_umem_reg(&socket, umem(&pool, chunk)).map_err(|error| match error {
        rustix::io::Errno::NOBUFS => OpenError::MemoryLocked { bytes: pool.memory().len() },
        error => OpenError::refused("register a pool of frames for", name, error.into()),
    })?;
    let rings = make_rings(&socket)
        .map_err(|error| OpenError::refused("make the rings of an AF_XDP socket for", name, error))?;
    let copy = if way.zero_copy { SocketAddrXdpFlags::XDP_ZEROCOPY } else { SocketAddrXdpFlags::XDP_COPY };
    let address = SocketAddrXdp::new(copy | SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP, interface.index, queue);
    bind_patiently(&socket, &address).map_err(|error| match error {
        rustix::io::Errno::BUSY => OpenError::QueueBusy { name: name.clone(), queue },
        rustix::io::Errno::INVAL => OpenError::NoSuchQueue { name: name.clone(), queue },
        error => refused("bind an AF_XDP socket to")(error),
    })?;
    Ok(Bound { socket, pool, rings, chunk })
}

/// The kernel lets go of a queue some time after the socket that had it was closed: by this process, or by the one
/// that is started anew.
fn bind_patiently(socket: &OwnedFd, address: &SocketAddrXdp) -> rustix::io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match bind(socket, address) {
            Err(rustix::io::Errno::BUSY) if Instant::now() < end => std::thread::sleep(PATIENCE / 50),
            result => return result,
        }
    }
}

fn umem(pool: &Pool, chunk: usize) -> XdpUmemReg {
    XdpUmemReg {
        addr: pool.memory().address(),
        len: pool.memory().len() as u64,
        chunk_size: u32::try_from(chunk).unwrap_or(0),
        headroom: 0,
        flags: XdpUmemRegFlags::empty(),
        tx_metadata_len: 0,
    }
}

fn make_rings(socket: &OwnedFd) -> io::Result<Rings> {
    set_socket_send_buffer_size_force(socket, SEND_BUFFER)?;
    set_xdp_umem_fill_ring_size(socket, RING)?;
    set_xdp_umem_completion_ring_size(socket, RING)?;
    set_xdp_rx_ring_size(socket, RING)?;
    set_xdp_tx_ring_size(socket, RING)?;
    let offsets = xdp_mmap_offsets(socket)?;
    Ok(Rings {
        fill: Producer::new(socket, Kind::Fill, &offsets.fr, RING)?,
        receive: Consumer::new(socket, Kind::Receive, &offsets.rx, RING)?,
        transmit: Producer::new(socket, Kind::Transmit, &offsets.tx, RING)?,
        completion: Consumer::new(socket, Kind::Completion, &offsets.cr, RING)?,
    })
}
