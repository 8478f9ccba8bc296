//! System calls that no crate offers safely: I/O on shared memory, options of packet sockets, ioctls of tun, bpf.

// UNSAFETY: system calls by raw pointers.
#![expect(unsafe_code, reason = "system calls take raw pointers")]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::{c_int, c_ulong, c_void};

use crate::mapping::Mapping;

/// Most messages of one [`send_batch`].
pub(crate) const SEND_BATCH: usize = 64;

/// A place in a mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Offset of the first byte.
    pub(crate) at: usize,
    /// Length in bytes.
    pub(crate) len: usize,
}

/// `read` of one frame into `memory`.
pub(crate) fn read_into(fd: BorrowedFd<'_>, memory: &Mapping, span: Span) -> io::Result<usize> {
    let to = memory.at(span.at, span.len);
    // SAFETY: `span.len` bytes are mapped for writing at `to`, and no reference to them exists.
    length(unsafe { libc::read(fd.as_raw_fd(), to.cast(), span.len) })
}

/// `write` of one frame from `memory`.
pub(crate) fn write_from(fd: BorrowedFd<'_>, memory: &Mapping, span: Span) -> io::Result<usize> {
    let from = memory.at(span.at, span.len);
    // SAFETY: `span.len` bytes are mapped for reading at `from`.
    length(unsafe { libc::write(fd.as_raw_fd(), from.cast(), span.len) })
}

/// `sendmmsg` of frames in `memory`, at most [`SEND_BATCH`], on a bound socket; the number of those that were sent.
pub(crate) fn send_batch(fd: BorrowedFd<'_>, memory: &Mapping, spans: &[Span]) -> io::Result<usize> {
    let spans = &spans[..spans.len().min(SEND_BATCH)];
    let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let mut vectors = [empty; SEND_BATCH];
    for (vector, span) in vectors.iter_mut().zip(spans) {
        vector.iov_base = memory.at(span.at, span.len).cast();
        vector.iov_len = span.len;
    }
    // SAFETY: a message header of zeros is one without address, vectors and control data.
    let mut messages: [libc::mmsghdr; SEND_BATCH] = unsafe { std::mem::zeroed() };
    for (message, vector) in messages.iter_mut().zip(&mut vectors).take(spans.len()) {
        message.msg_hdr.msg_iov = vector;
        message.msg_hdr.msg_iovlen = 1;
    }
    let count = libc::c_uint::try_from(spans.len()).unwrap_or(0);
    // SAFETY: `count` headers, each with one vector over bytes that are mapped for reading; all live until the return.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// An empty `sendto`: tells the kernel to look at a transmit ring.
pub(crate) fn kick_transmit(fd: BorrowedFd<'_>) -> io::Result<()> {
    let (buffer, address) = (std::ptr::null(), std::ptr::null());
    // SAFETY: no bytes and no address are passed.
    let sent = unsafe { libc::sendto(fd.as_raw_fd(), buffer, 0, libc::MSG_DONTWAIT, address, 0) };
    length(sent).map(drop)
}

/// An empty `recvfrom`: tells the kernel to look at a fill ring.
pub(crate) fn kick_receive(fd: BorrowedFd<'_>) -> io::Result<()> {
    let null = std::ptr::null_mut();
    // SAFETY: no buffer and no address are passed.
    let got = unsafe { libc::recv(fd.as_raw_fd(), null, 0, libc::MSG_DONTWAIT) };
    length(got).map(drop)
}

/// Sets a socket option whose value is made of words without addresses in them.
pub(crate) fn set_option(fd: BorrowedFd<'_>, level: c_int, name: c_int, words: &[u32]) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of_val(words)).unwrap_or(0);
    // SAFETY: `len` bytes are readable at the pointer; the options that this crate sets contain no addresses.
    done(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, words.as_ptr().cast(), len) })
}

/// Gets a socket option made of words; those that the kernel did not write are 0.
pub(crate) fn get_option<const N: usize>(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
) -> io::Result<[u32; N]> {
    let mut words = [0_u32; N];
    let mut len = libc::socklen_t::try_from(size_of_val(&words)).unwrap_or(0);
    // SAFETY: `len` bytes are writable at the pointer, and any bytes are valid words.
    done(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, words.as_mut_ptr().cast(), &raw mut len) })?;
    Ok(words)
}

/// Binds a packet socket: from now on it hears the frames of `protocol` that the interface receives.
pub(crate) fn bind_packet(fd: BorrowedFd<'_>, interface: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: any bytes, zeros too, are a valid address.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or(0);
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = c_int::try_from(interface).unwrap_or(0);
    let len = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
    // SAFETY: the address and its length agree.
    done(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) })
}

/// `TUNSETIFF`: makes `fd` a queue of the tap netdev `name`, which the caller has checked to have at most 15 bytes.
pub(crate) fn tun_attach(fd: BorrowedFd<'_>, name: &str, flags: c_int) -> io::Result<()> {
    // SAFETY: any bytes, zeros too, are a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()).take(room) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = u16::try_from(flags).unwrap_or(0).cast_signed();
    // SAFETY: TUNSETIFF reads and writes one `ifreq`.
    done(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })
}

/// `TUNSETOFFLOAD`: what the reader of a tap takes unfinished.
pub(crate) fn tun_set_offload(fd: BorrowedFd<'_>, offloads: c_ulong) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes its argument by value.
    done(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, offloads) })
}

/// `bpf(BPF_MAP_CREATE)`: a map from 32-bit keys to 32-bit values.
pub(crate) fn bpf_map_create(kind: u32, entries: u32) -> io::Result<OwnedFd> {
    const MAP_CREATE: c_int = 0;
    bpf(MAP_CREATE, &mut [u64::from(kind) | 4 << 32, 4 | u64::from(entries) << 32])
}

/// `bpf(BPF_MAP_UPDATE_ELEM)`.
pub(crate) fn bpf_map_set(map: BorrowedFd<'_>, key: u32, value: u32) -> io::Result<()> {
    const MAP_UPDATE_ELEM: c_int = 2;
    let (key, value) = ((&raw const key).expose_provenance(), (&raw const value).expose_provenance());
    bpf_call(MAP_UPDATE_ELEM, &mut [descriptor(map), key as u64, value as u64, 0]).map(drop)
}

/// `bpf(BPF_PROG_LOAD)` of an XDP program without a licence that needs one. With a refusal comes what the verifier
/// said of it.
pub(crate) fn bpf_load_xdp(instructions: &[u64]) -> Result<OwnedFd, (io::Error, String)> {
    const PROG_LOAD: c_int = 5;
    const TYPE_XDP: u64 = 6;
    let licence = c"Dual MIT/GPL";
    let mut log = vec![0_u8; 4096];
    let count = instructions.len() as u64;
    let code = instructions.as_ptr().expose_provenance() as u64;
    let licence = licence.as_ptr().expose_provenance() as u64;
    let log_at = log.as_mut_ptr().expose_provenance() as u64;
    let log_level_and_size = 1 | (log.len() as u64) << 32;
    let mut attributes = [TYPE_XDP | count << 32, code, licence, log_level_and_size, log_at];
    bpf(PROG_LOAD, &mut attributes).map_err(|error| {
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
        (error, String::from_utf8_lossy(&log[..end]).trim().to_owned())
    })
}

/// `bpf(BPF_LINK_CREATE)` of an XDP program on an interface. The program is detached when the descriptor is closed.
pub(crate) fn bpf_link_xdp(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    const LINK_CREATE: c_int = 28;
    const ATTACH_XDP: u64 = 37;
    bpf(
        LINK_CREATE,
        &mut [descriptor(program) | u64::from(interface) << 32, ATTACH_XDP | u64::from(flags) << 32],
    )
}

fn descriptor(fd: BorrowedFd<'_>) -> u64 {
    u64::from(fd.as_raw_fd().cast_unsigned())
}

/// A bpf command that makes a descriptor.
fn bpf(command: c_int, attributes: &mut [u64]) -> io::Result<OwnedFd> {
    let fd = bpf_call(command, attributes)?;
    // SAFETY: the kernel made it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf_call(command: c_int, attributes: &mut [u64]) -> io::Result<c_int> {
    let (at, len) = (attributes.as_mut_ptr().cast::<c_void>(), size_of_val(attributes));
    // SAFETY: the attributes are `len` bytes, and the addresses in them point at what the callers still hold.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, at, len) };
    match c_int::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

fn done(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn length(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
