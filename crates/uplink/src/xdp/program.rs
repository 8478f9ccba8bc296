//! The XDP program that hands a netdev's frames to AF_XDP sockets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::AttachMode;
use crate::error::OpenError;
use crate::netlink::Interface;
use crate::packet::promiscuous;
use crate::syscall::{bpf_link_xdp, bpf_load_xdp, bpf_map_create, bpf_map_set};

/// A map from receive queues to AF_XDP sockets (`BPF_MAP_TYPE_XSKMAP`).
const XSKMAP: u32 = 17;
/// Attach in the network stack, for any netdev (`XDP_FLAGS_SKB_MODE`).
const FLAG_GENERIC: u32 = 1 << 1;
/// Attach in the driver (`XDP_FLAGS_DRV_MODE`).
const FLAG_DRIVER: u32 = 1 << 2;

/// A program that is attached to a netdev, which receives all frames, until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Redirect {
    _link: OwnedFd,
    _map: OwnedFd,
    _promiscuous: OwnedFd,
}

impl Redirect {
    /// Attaches a program to the netdev that hands the frames of receive queue number `n` to `sockets[n]`, and those of
    /// further queues to the host's stack.
    pub(crate) fn attach(
        interface: &Interface,
        mode: AttachMode,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<Self, OpenError> {
        let name = &interface.name;
        let count = u32::try_from(sockets.len()).unwrap_or(u32::MAX);
        let refused = |what| move |error: io::Error| permission(error, what, name);
        let map = bpf_map_create(XSKMAP, count).map_err(refused("make a map of sockets for"))?;
        for (queue, socket) in (0..count).zip(sockets) {
            bpf_map_set(map.as_fd(), queue, socket.as_raw_fd().cast_unsigned())
                .map_err(refused("enter a socket into the map for"))?;
        }
        let program = bpf_load_xdp(&program(&map)).map_err(|(error, log)| {
            let error = if log.is_empty() { error } else { io::Error::new(error.kind(), log) };
            permission(error, "load the redirect program for", name)
        })?;
        let flags = match mode {
            AttachMode::Driver => FLAG_DRIVER,
            AttachMode::Generic => FLAG_GENERIC,
        };
        let link = bpf_link_xdp(program.as_fd(), interface.index, flags).map_err(|error| {
            if error.raw_os_error() == Some(libc::EBUSY) {
                OpenError::XdpBusy { name: name.clone() }
            } else {
                permission(error, "attach the redirect program to", name)
            }
        })?;
        // The link keeps the program.
        Ok(Self { _link: link, _map: map, _promiscuous: promiscuous(interface)? })
    }
}

fn permission(error: io::Error, what: &'static str, name: &str) -> OpenError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => OpenError::Permission { what: "load and attach XDP programs" },
        _ => OpenError::refused(what, name, error),
    }
}

/// `return bpf_redirect_map(&map, ctx->rx_queue_index, XDP_PASS)`, assembled by hand (RFC 9669).
fn program(map: &OwnedFd) -> [u64; 6] {
    /// Load a 32-bit word from memory.
    const LOAD_WORD: u8 = 0x61;
    /// Load a 64-bit constant: two instructions.
    const LOAD_CONSTANT: u8 = 0x18;
    /// Of `LOAD_CONSTANT`, in the place of the source register: the constant is the descriptor of a map.
    const MAP: u8 = 1;
    const MOVE_CONSTANT: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const REDIRECT_MAP: u32 = 51;
    /// Where a frame goes for whose queue there is no socket: to the host's stack.
    const XDP_PASS: u32 = 2;
    /// Offset of `rx_queue_index` in `struct xdp_md`.
    const RX_QUEUE_INDEX: u16 = 16;
    let map = map.as_raw_fd().cast_unsigned();
    [
        instruction(LOAD_WORD, 2, 1, RX_QUEUE_INDEX, 0),
        instruction(LOAD_CONSTANT, 1, MAP, 0, map),
        instruction(0, 0, 0, 0, 0),
        instruction(MOVE_CONSTANT, 3, 0, 0, XDP_PASS),
        instruction(CALL, 0, 0, 0, REDIRECT_MAP),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

/// Operation, destination and source register, offset, constant.
fn instruction(operation: u8, destination: u8, source: u8, offset: u16, constant: u32) -> u64 {
    let [o0, o1] = offset.to_ne_bytes();
    let [c0, c1, c2, c3] = constant.to_ne_bytes();
    // The kernel counts bit fields from the low end on the machines that this runs on.
    u64::from_ne_bytes([operation, destination | source << 4, o0, o1, c0, c1, c2, c3])
}
